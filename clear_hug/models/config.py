"""The numbers that define a CLEAR model, validated where they are written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from clear_hug.leads import STANDARD_LEADS, canonical_leads

InputNorm = Literal["none", "token"]
Compat = Literal["paper", "official"]


@dataclass(frozen=True)
class CLEARConfig:
    """Shape of a CLEAR encoder and decoder (defaults: the paper's base model on 30 beats of 1.5 s at 100 Hz).

    Attributes:
        leads: names of the leads, in the order of axis L of every batch; other spellings become the standard names.
        beats: T, beat slots per lead.
        beat_samples: S, samples per beat token (R peak at ``S // 2``).
        seconds: rows of the time-embedding table; row 0 is padding, row ``1 + floor(t)`` an R peak at t seconds.
        embed_dim: E, width of the encoder; ``depth`` layers of ``heads`` heads with a ReLU MLP of ``mlp_dim``.
        decoder_dim: width of the decoder; ``decoder_depth``, ``decoder_heads`` and ``decoder_mlp_dim`` likewise.
        mask_ratio: share of the valid beats hidden from the encoder in pre-training, between 0 and 1.
        dropout: probability in attention, MLP and residual branches while training.
        input_norm: ``"none"`` feeds millivolts, so that voltage criteria stay visible; ``"token"`` z-scores every
            beat token on the input as the authors' code does. The reconstruction target is z-scored in both cases.
        amplitude: give the encoder each beat's mean, standard deviation and peak-to-peak voltage in mV as well
            (`clear_hug.amplitude`), which keeps the voltages that ``input_norm="token"`` takes away.
        compat: ``"official"`` embeds a beat together with its two neighbours on the token axis (a circular
            convolution of width 3, no bias), which the authors' released weights need; ``"paper"`` embeds it alone.

    Raises:
        ValueError: for a value that no model can have; the message names the value and the remedy.

    Source: Pan et al., "Tracing the Heart's Pathways", AAAI 2026 (arXiv 2512.24002), section on CLEAR.
    """

    leads: tuple[str, ...] = STANDARD_LEADS
    beats: int = 30
    beat_samples: int = 150
    seconds: int = 64
    embed_dim: int = 768
    depth: int = 12
    heads: int = 8
    mlp_dim: int = 1024
    decoder_dim: int = 512
    decoder_depth: int = 4
    decoder_heads: int = 16
    decoder_mlp_dim: int = 1024
    mask_ratio: float = 0.8
    dropout: float = 0.1
    input_norm: InputNorm = "none"
    amplitude: bool = False
    compat: Compat = "paper"

    def __post_init__(self) -> None:
        object.__setattr__(self, "leads", _checked_leads(self.leads))
        for name, least in _LEAST.items():
            _check_integer(name, getattr(self, name), least)
        _check_heads("embed_dim", self.embed_dim, "heads", self.heads)
        _check_heads("decoder_dim", self.decoder_dim, "decoder_heads", self.decoder_heads)
        if not 0.0 < self.mask_ratio < 1.0:
            raise ValueError(
                f"mask_ratio={self.mask_ratio!r} must lie between 0 and 1, both excluded; the paper has 0.8"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout={self.dropout!r} must be at least 0 and below 1; the paper has 0.1")
        _check_choice("input_norm", self.input_norm, get_args(InputNorm))
        _check_choice("compat", self.compat, get_args(Compat))
        if not isinstance(self.amplitude, bool):
            raise ValueError(f"amplitude={self.amplitude!r} must be True or False")

    @property
    def lead_count(self) -> int:
        """L, the number of leads."""
        return len(self.leads)

    @property
    def sequence_length(self) -> int:
        """N = L (T + 1), class tokens included."""
        return self.lead_count * (self.beats + 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives the same configuration back."""
        return {**asdict(self), "leads": list(self.leads)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CLEARConfig:
        """Build a configuration from `to_dict`'s output; fields that are absent take their defaults.

        Raises:
            ValueError: for an unknown field or a value that `CLEARConfig` refuses.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown CLEARConfig fields {unknown}; remove them, the fields are {sorted(known)}")
        return cls(**values)


_LEAST = {
    "beats": 1,
    "beat_samples": 2,  # the unbiased variance of the target needs two samples
    "seconds": 2,
    "embed_dim": 1,
    "depth": 1,
    "heads": 1,
    "mlp_dim": 1,
    "decoder_dim": 1,
    "decoder_depth": 1,
    "decoder_heads": 1,
    "decoder_mlp_dim": 1,
}


def _checked_leads(leads: object) -> tuple[str, ...]:
    if isinstance(leads, str) or not isinstance(leads, (tuple, list)):
        raise ValueError(f"leads={leads!r} must be a tuple of names such as ('I', 'II', 'V5')")
    if not leads:
        raise ValueError("leads=() is empty; name at least one lead, for example leads=('II',)")
    return canonical_leads(leads)


def _check_integer(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r} must be an integer of at least {least}")


def _check_heads(width_name: str, width: int, heads_name: str, heads: int) -> None:
    if width % heads:
        raise ValueError(
            f"{width_name}={width} does not divide into {heads_name}={heads} equal heads; "
            f"use {width_name}={heads * max(1, round(width / heads))} or another number of heads"
        )


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not known; choose one of {list(choices)}")
