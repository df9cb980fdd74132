"""What `prepare` is asked to do with each recording."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, TypeVar, get_type_hints

from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.beats import LOWEST_FS
from clear_hug.data.quality import QualityLimits
from clear_hug.data.tokenizers import tokenizer_named
from clear_hug.leads import STANDARD_LEADS, canonical_leads

__all__ = ["PrepareSettings", "restored"]

_LARGEST_RECORD = 1 << 28
HIGHEST_FS = 10_000.0
"""Bytes of tokens: a Holter recording of a day in three leads has 100,000 beats, in 180 MB."""
_Settings = TypeVar("_Settings")


@dataclass(frozen=True)
class PrepareSettings:
    """Settings of the preparation; all of them are written into the store's manifest.

    Attributes:
        tokenizer: "beats", or "official" for the published one.
        fs: rate of the tokens, Hz; None for the tokenizer's own (100).
        beats: T, slots per lead; None for the tokenizer's own (30; official 15). The default of 30 loses no beat of a
            10 s recording up to 180 bpm.
        beat_samples: S, samples per token; None for the tokenizer's own (1.5 s, which is 150 at 100 Hz; official 96).
            The default of 1.5 s holds a whole beat down to 40 bpm.
        leads: standard lead names, in the order of the tokens.
        quality: thresholds of the quality checks.
        detector: settings of the beat detector.

    Raises:
        ValueError: an unknown tokenizer or lead, a repeated lead, sizes below 1 or beyond 256 MiB of tokens, a rate
            outside of 50 to 10 000 Hz, or sizes that the official tokenizer does not have.
    """

    tokenizer: str = "beats"
    fs: float | None = None
    beats: int | None = None
    beat_samples: int | None = None
    leads: tuple[str, ...] = STANDARD_LEADS
    quality: QualityLimits = field(default_factory=QualityLimits)
    detector: BeatSettings = field(default_factory=BeatSettings)

    def __post_init__(self) -> None:
        defaults = tokenizer_named(self.tokenizer).defaults(self.fs)
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        object.__setattr__(self, "leads", canonical_leads(self.leads))
        if not self.leads:
            raise ValueError("no leads are asked for; name at least one, for example --leads I,II,V1")
        if not (math.isfinite(self.rate) and LOWEST_FS <= self.rate <= HIGHEST_FS):
            raise ValueError(
                f"tokens at {self.fs} Hz: too coarse for a heartbeat, or finer than any recording; ask for "
                f"{LOWEST_FS:g} to {HIGHEST_FS:g} Hz"
            )
        if self.slots < 1 or self.samples < 2:
            raise ValueError(f"beats={self.beats} and beat_samples={self.beat_samples} must be at least 1 and 2")
        held = len(self.leads) * self.slots * self.samples * 4  # bytes of float32
        if held > _LARGEST_RECORD:
            raise ValueError(
                f"beats={self.beats} and beat_samples={self.beat_samples} make {held / 1e9:,.1f} GB of tokens per "
                f"record; at most {_LARGEST_RECORD / 1e9:.1f} GB are possible"
            )
        tokenizer_named(self.tokenizer).check(self.rate, self.slots, self.samples, self.leads)

    @property
    def rate(self) -> float:
        """`fs`, filled in, Hz."""
        return float(self.fs or 0.0)

    @property
    def slots(self) -> int:
        """`beats`, filled in."""
        return int(self.beats or 0)

    @property
    def samples(self) -> int:
        """`beat_samples`, filled in."""
        return int(self.beat_samples or 0)

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON values, with the name and version of the detector that the tokenizer uses."""
        return {
            "fs": self.rate,
            "leads": list(self.leads),
            "beats": self.slots,
            "beat_samples": self.samples,
            "tokenizer": self.tokenizer,
            "detector": tokenizer_named(self.tokenizer).detector,
            "detector_settings": _jsonable(asdict(self.detector)),
            "quality": _jsonable(asdict(self.quality)),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> PrepareSettings:
        """The settings that `to_dict` wrote, e.g. from the manifest of a store or of a checkpoint.

        Raises:
            ValueError: a value is missing, of the wrong type, or was written for another version of the detector.
        """
        try:
            settings = cls(
                tokenizer=saved["tokenizer"],
                fs=saved["fs"],
                beats=saved["beats"],
                beat_samples=saved["beat_samples"],
                leads=tuple(saved["leads"]),
                quality=QualityLimits(**saved["quality"]),
                detector=restored(BeatSettings, saved["detector_settings"]),
            )
            detector = saved["detector"]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"these are not the settings of a preparation ({error!r})") from error
        if detector != settings.to_dict()["detector"]:
            raise ValueError(
                f"these settings are for the beat detector {detector!r}, this version has "
                f"{settings.to_dict()['detector']!r}; prepare the records again, or use the version that wrote them"
            )
        return settings


def restored(kind: type[_Settings], values: Mapping[str, Any]) -> _Settings:
    """Settings from the JSON values of `asdict`: lists become tuples again, and objects the settings inside settings.

    Raises:
        TypeError: a value is missing that has no default, or there is one too many.
    """
    kinds = get_type_hints(kind)
    parts = {
        name: restored(kinds[name], value) if is_dataclass(kinds.get(name)) else _tuples(value)
        for name, value in values.items()
    }
    return kind(**parts)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _jsonable(values: Any) -> Any:
    """Tuples, at any depth, as the lists that JSON has."""
    if isinstance(values, Mapping):
        return {key: _jsonable(value) for key, value in values.items()}
    return list(map(_jsonable, values)) if isinstance(values, tuple) else values
