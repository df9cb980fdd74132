"""From a data set to a store: read, find beats, cut tokens, write; in parallel, resumable, no record lost."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clear_hug.data.chunk_files import write_chunk
from clear_hug.data.row import RecordReader, prepare_file
from clear_hug.data.settings import PrepareSettings
from clear_hug.data.source import Source
from clear_hug.data.store import BeatStore
from clear_hug.data.store_format import MODES, VERSION, StoreError, StoreLayout
from clear_hug.data.store_lock import store_lock
from clear_hug.data.store_writer import BeatStoreWriter, describe_difference, is_store
from clear_hug.data.tokenizers import tokenizer_named
from clear_hug.data.wfdb_reader import read_wfdb

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

__all__ = ["PrepareResult", "prepare"]

_PACKAGES = ("clear-hug", "numpy", "scipy", "wfdb")


@dataclass(frozen=True)
class PrepareResult:
    """What a run did.

    Attributes:
        store: the finished store.
        made: records prepared by this run; the others were there from an earlier, interrupted one.
        elapsed: wall-clock time of this run, s.
        already_complete: True when the store was there with the same settings and nothing was done.
    """

    store: BeatStore
    made: int
    elapsed: float
    already_complete: bool = False


def prepare(
    source: Source,
    out: str | Path,
    settings: PrepareSettings | None = None,
    *,
    store: str = "tokens",
    workers: int = 1,
    overwrite: bool = False,
    read: RecordReader | None = None,
    on_chunk: Callable[[int, int], None] | None = None,
) -> PrepareResult:
    """Prepare a data set.

    Killed at any moment and run again, it goes on where it was and gives the identical store. With joblib's
    `parallel_config`, the same call runs on any of its backends; `clear_hug.data.scheduler` has Dask's.

    Args:
        source: records, labels and splits.
        out: folder of the store; `out.partial` is used on the way.
        settings: None for the defaults.
        store: what to keep, "tokens" or "signals": int16, from which the same tokens (but for rounding) are cut when
            they are asked for; about a quarter of the size.
        workers: processes; -1 for one per core.
        overwrite: make the store anew, even if there is one, finished or with other settings.
        read: reader of one record from its path; None for the source's own.
        on_chunk: called with (records done, of them flagged) after every chunk.

    Raises:
        StoreError: `out` holds a store with other settings and `overwrite` is False, or something that is no store, or
            has no name of its own (`.`, `..`, `/`), or another process is making it.
        ValueError: an unknown `store`, or one that the tokenizer does not have.
    """
    settings = settings or PrepareSettings()
    out = Path(out)
    if out.name in ("", ".."):
        raise StoreError(f"--out {out} is no name of a new folder; add one, as in {out / 'beats'}")
    begin = time.perf_counter()
    _check_mode(store, settings)
    identity = {
        "format_version": VERSION,
        "store": store,
        "settings": settings.to_dict(),
        "source": source.identity(),
    }
    if _complete_already(out, identity, overwrite):
        return PrepareResult(BeatStore.open(out), 0, time.perf_counter() - begin, already_complete=True)
    with store_lock(out):
        if _complete_already(out, identity, overwrite):  # by another run, in between
            return PrepareResult(BeatStore.open(out), 0, time.perf_counter() - begin, already_complete=True)
        shape = (len(settings.leads), settings.slots, settings.samples)
        writer = BeatStoreWriter(out, identity, source, shape, store)
        missing = writer.start(restart=overwrite)
        made = sum(len(rows) for rows in missing)
        done, flagged = len(source.names) - made, 0
        if on_chunk is not None:
            on_chunk(done, flagged)
        for count, bad in _run_chunks(writer, missing, settings, read or reader_for(source, settings), workers):
            done, flagged = done + count, flagged + bad
            if on_chunk is not None:
                on_chunk(done, flagged)
        writer.finish({**settings.to_dict(), "source": _about_source(source), "packages": _versions()})
    return PrepareResult(BeatStore.open(out), made, time.perf_counter() - begin)


def reader_for(source: Source, settings: PrepareSettings) -> RecordReader:
    """The reader of the source's recordings, in no more precision than the tokenizer works with."""
    precision = tokenizer_named(settings.tokenizer).precision
    return partial(read_wfdb, dtype=precision) if source.read is read_wfdb else source.read


def prepare_chunk(
    folder: Path, layout: StoreLayout, rows: range, paths: list[Path], settings: PrepareSettings, read: RecordReader
) -> tuple[int, int]:
    """Prepare consecutive records and write them; the unit of work of one process. Returns records and flagged ones."""
    # Matrices of one recording are too small to share: threads of the BLAS would wait for each other most of the time.
    with _thread_pools().limit(limits=1, user_api="blas"):
        prepared = (prepare_file(path, settings, read, layout.mode == "signals") for path in paths)
        return len(paths), write_chunk(folder, layout, rows, prepared)


@lru_cache(maxsize=1)  # looks through all libraries of the process, which takes milliseconds
def _thread_pools() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _run_chunks(
    writer: BeatStoreWriter, chunks: list[range], settings: PrepareSettings, read: RecordReader, workers: int
) -> Iterator[tuple[int, int]]:
    import joblib  # takes half a second, in which lists of tasks and errors would wait as well

    source, folder, layout = writer.source, writer.partial, writer.layout()
    jobs = (
        joblib.delayed(prepare_chunk)(
            folder, layout, rows, [source.root / source.paths[row] for row in rows], settings, read
        )
        for rows in chunks
    )
    if not chunks:
        return iter(())
    results: Iterator[tuple[int, int]] = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")(jobs)
    return results


def _complete_already(out: Path, identity: dict[str, Any], overwrite: bool) -> bool:
    """True for a store made with the same settings; raises for anything else in the way that must not be replaced."""
    if not out.exists():
        return False
    if not out.is_dir():
        raise StoreError(f"{out} is a file; --out must be a new folder")
    if not any(out.iterdir()):
        out.rmdir()
        return False
    try:
        there = _identity(BeatStore.open(out).manifest)
    except StoreError as error:
        if not is_store(out):
            raise StoreError(f"{out} is a folder of something else; name another --out") from error
        if not overwrite:
            raise StoreError(
                f"{out} is a store that cannot be opened: {error}. Or name another --out, to keep what is left of it"
            ) from error
        return False
    if overwrite:
        return False
    difference = describe_difference(there, identity)
    if difference:
        raise StoreError(f"{out} is a store with other settings ({difference}); name another --out, or use --overwrite")
    return True


def _identity(manifest: dict[str, Any]) -> dict[str, Any]:
    """Later versions call a store of version 1 a store of tokens."""
    return {**manifest["identity"], "format_version": VERSION, "store": manifest.get("store", "tokens")}


def _check_mode(store: str, settings: PrepareSettings) -> None:
    if store not in MODES:
        raise ValueError(f"unknown store {store!r}; choose one of {', '.join(MODES)}")
    if store == "signals" and settings.tokenizer != "beats":
        raise ValueError(
            f"tokens of the {settings.tokenizer} tokenizer are not cut from a signal again; keep them, with "
            "--store tokens"
        )


def _about_source(source: Source) -> dict[str, Any]:
    return {"kind": source.kind, "root": str(source.root), **source.options}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
