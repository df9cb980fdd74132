"""Fetching open data sets from PhysioNet: resumable, every file compared with its published checksum.

Bytes come through `wfdb`'s PhysioNet client. Its `dl_files` is not used: it writes under the final name from the first
byte on, compares sizes instead of checksums, takes the newest version instead of a named one, and holds whole files in
memory.
"""

from __future__ import annotations

import io
import posixpath
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from clear_hug.data.remote_sets import PHYSIONET, DownloadError, RemoteSet
from clear_hug.data.transfer import CONNECTIONS, fetch, limit_waiting
from clear_hug.files import file_hash

__all__ = ["DownloadResult", "RemoteFile", "download", "list_files"]

_SUMS = "SHA256SUMS.txt"
_BATCH = 1000  # files handed to the threads at a time: the largest data set has 1.6 million


@dataclass(frozen=True)
class RemoteFile:
    """One file: its path inside the data set, its address, and its SHA-256 in hexadecimal."""

    path: str
    url: str
    sha256: str


@dataclass(frozen=True)
class DownloadResult:
    """What a call did.

    Attributes:
        fetched: files.
        there: files that were there already.
        received: bytes.
        wrong: of the fetched files, those that were there but did not have their published checksum.
    """

    fetched: int
    there: int
    received: int
    wrong: int = 0


def download(
    remote: RemoteSet,
    out: str | Path,
    *,
    only: Sequence[str] = (),
    server: str | None = None,
    verify: bool = False,
    on_file: Callable[[int, int, int], None] | None = None,
) -> DownloadResult:
    """Fetch a data set; interrupted and called again, it goes on where it was, within a file too.

    A file appears under its name only when it is whole and its checksum agrees; until then it is `NAME.part`.

    Args:
        remote: which one, from `clear_hug.data.remote_sets.remote_set`.
        out: folder to put it in.
        only: patterns of paths to fetch, such as "records100/*"; none for all. `*` matches slashes too.
        server: address of a mirror in place of PhysioNet's, with the same paths below it.
        verify: compare files that are there with their checksums too, and fetch those again that differ; else they
            are taken for whole.
        on_file: called with (files done, files in all, bytes received) after every file.

    Raises:
        DownloadError: the server refuses or lacks the data set, a transfer breaks, a checksum differs twice, or no
            file matches `only`; what was fetched stays.
    """
    out = Path(out)
    listed = list_files(remote, server)
    files = [file for file in listed if not only or any(fnmatchcase(file.path, pattern) for pattern in only)]
    if not files:
        raise DownloadError(f"{remote.name} has no file that matches {' or '.join(only) or 'anything'}")
    candidates = files if verify else [file for file in files if not (out / file.path).is_file()]
    skipped, received, kept, wrong = len(files) - len(candidates), 0, 0, 0
    if on_file is not None:
        on_file(skipped, len(files), 0)
    stop = threading.Event()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        try:
            for begin in range(0, len(candidates), _BATCH):
                batch = candidates[begin : begin + _BATCH]
                jobs = [pool.submit(_obtain, file, out / file.path, stop) for file in batch]
                for number, job in enumerate(as_completed(jobs), begin + 1):
                    found, size = job.result()
                    received += size
                    kept += found == "right"
                    wrong += found == "wrong"
                    if on_file is not None:
                        on_file(skipped + number, len(files), received)
        except BaseException:
            stop.set()  # also on Ctrl-C: transfers end at their next block and keep what they have
            pool.shutdown(cancel_futures=True)
            raise
    return DownloadResult(len(candidates) - kept, skipped + kept, received, wrong)


def list_files(remote: RemoteSet, server: str | None = None) -> list[RemoteFile]:
    """All files of a data set, from its published list of checksums.

    Args:
        remote: which one.
        server: see `download`.

    Raises:
        DownloadError: the list cannot be had, or a line of it is no checksum and path.
    """
    base = posixpath.join(server or PHYSIONET, remote.directory)
    sums = io.BytesIO()
    limit_waiting()
    fetch(posixpath.join(base, _SUMS), sums, threading.Event())
    files = []
    for number, line in enumerate(sums.getvalue().decode("utf-8", errors="replace").splitlines(), 1):
        sha256, _, path = line.strip().partition(" ")
        path = path.strip().lstrip("*")
        if not sha256:
            continue
        place = PurePosixPath(path)
        if len(sha256) != 64 or not path or place.is_absolute() or ".." in place.parts or ":" in path or "\\" in path:
            raise DownloadError(f"{base}/{_SUMS}, line {number}: {line[:80]!r} is no checksum and path")
        if path.startswith(remote.within):
            files.append(RemoteFile(path[len(remote.within) :], posixpath.join(base, path), sha256.lower()))
    return files


def _obtain(file: RemoteFile, target: Path, stop: threading.Event) -> tuple[str, int]:
    """What was found in its place ("right", "wrong" or "nothing"), and bytes received."""
    if not target.is_file():
        return "nothing", _fetch(file, target, stop)
    if stop.is_set() or file_hash(target) == file.sha256:
        return "right", 0
    return "wrong", _fetch(file, target, stop)


def _fetch(file: RemoteFile, target: Path, stop: threading.Event) -> int:
    """Fetch one file, continuing its `.part`; a checksum that differs is given a second chance from the start."""
    part = target.with_name(target.name + ".part")
    received = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            with part.open("a+b") as stream:
                received += fetch(file.url, stream, stop)
            if stop.is_set():
                return received
            if file_hash(part) == file.sha256:
                part.replace(target)
                return received
            part.unlink()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DownloadError(f"{part} cannot be written ({reason}); make room there or choose another --out") from error
    raise DownloadError(f"{file.url} does not have its published checksum, tried twice; try again another day")
