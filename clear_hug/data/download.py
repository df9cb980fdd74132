"""Fetching open data sets from PhysioNet: resumable, every file compared with its published checksum.

The transfers are those of the `wfdb` package's PhysioNet client; its own `dl_database` keeps no partial file, knows no
checksums, and cannot read the folder-wise lists of large data sets, which is what this layer adds.
"""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from clear_hug.data.remote_sets import DownloadError, RemoteSet
from clear_hug.files import file_hash

__all__ = ["CONNECTIONS", "DownloadResult", "RemoteFile", "download", "list_files"]

CONNECTIONS = 2
"""At a time; PhysioNet asks for no more."""

_SUMS = "SHA256SUMS.txt"
_BLOCK = 1 << 20
_TIMEOUT_S = 60.0  # without a byte from the server
_BATCH = 1000  # files handed to the threads at a time: the largest data set has 1.6 million


@dataclass(frozen=True)
class RemoteFile:
    """One file: its path inside the data set, its address, and its SHA-256 in hexadecimal."""

    path: str
    url: str
    sha256: str


@dataclass(frozen=True)
class DownloadResult:
    """Files fetched by this call, files that were there already, and bytes received."""

    fetched: int
    there: int
    received: int


def download(
    remote: RemoteSet,
    out: str | Path,
    *,
    only: Sequence[str] = (),
    server: str | None = None,
    on_file: Callable[[int, int, int], None] | None = None,
) -> DownloadResult:
    """Fetch a data set; interrupted and called again, it goes on where it was, within a file too.

    A file appears under its name only when it is whole and its checksum agrees; until then it is `NAME.part`.

    Args:
        remote: which one, from `clear_hug.data.remote_sets.remote_set`.
        out: folder to put it in.
        only: patterns of paths to fetch, such as "records100/*"; none for all. `*` matches slashes too.
        server: address of a mirror in place of PhysioNet's, with the same paths below it.
        on_file: called with (files done, files in all, bytes received) after every file.

    Raises:
        DownloadError: the server refuses or lacks the data set, a transfer breaks, a checksum differs twice, or no
            file matches `only`; what was fetched stays.
    """
    out = Path(out)
    files = [file for file in list_files(remote, server) if not only or any(fnmatchcase(file.path, p) for p in only)]
    if not files:
        raise DownloadError(f"{remote.name} has no file that matches {' or '.join(only) or 'anything'}")
    missing = [file for file in files if not (out / file.path).is_file()]
    there, received = len(files) - len(missing), 0
    if on_file is not None:
        on_file(there, len(files), 0)
    stop = threading.Event()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        try:
            for begin in range(0, len(missing), _BATCH):
                batch = missing[begin : begin + _BATCH]
                jobs = [pool.submit(_fetch, file, out / file.path, stop) for file in batch]
                for number, job in enumerate(as_completed(jobs), begin + 1):
                    received += job.result()
                    if on_file is not None:
                        on_file(there + number, len(files), received)
        except BaseException:
            stop.set()  # also on Ctrl-C: transfers end at their next block and keep what they have
            pool.shutdown(cancel_futures=True)
            raise
    return DownloadResult(len(missing), there, received)


def list_files(remote: RemoteSet, server: str | None = None) -> list[RemoteFile]:
    """All files of a data set, from its published list of checksums.

    Raises:
        DownloadError: the list cannot be had, or a line of it is no checksum and path.
    """
    from wfdb.io.download import PN_INDEX_URL

    base = posixpath.join(server or PN_INDEX_URL, remote.directory)
    _limit_waiting(base)
    text = _read(posixpath.join(base, _SUMS)).decode("utf-8", errors="replace")
    files = []
    for number, line in enumerate(text.splitlines(), 1):
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


def _fetch(file: RemoteFile, target: Path, stop: threading.Event) -> int:
    """Fetch one file, continuing its `.part`; a checksum that differs is given a second chance from the start."""
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    received = 0
    for _ in range(2):
        received += _append(file.url, part, stop)
        if stop.is_set():
            return received
        if file_hash(part) == file.sha256:
            part.replace(target)
            return received
        part.unlink()
    raise DownloadError(f"{file.url} does not have its published checksum, tried twice; try again another day")


def _append(url: str, part: Path, stop: threading.Event) -> int:
    """Add to the partial file what it lacks; returns the bytes received."""
    from wfdb.io import _url  # the client behind `wfdb.dl_files`, the only one there that reads from a position

    received = 0
    try:
        with _url.openurl(url, "rb", buffering=_BLOCK) as stream, part.open("ab") as file:
            stream.seek(file.tell())
            while not stop.is_set() and (block := stream.read(_BLOCK)):
                file.write(block)
                received += len(block)
    except OSError as error:
        raise _plain(error, url) from error
    return received


def _read(url: str) -> bytes:
    from wfdb.io import _url

    try:
        with _url.openurl(url, "rb") as stream:
            return bytes(stream.read())
    except OSError as error:
        raise _plain(error, url) from error


def _limit_waiting(base: str) -> None:
    """Have the client give up on a server that says nothing any more; of its own it would wait forever."""
    from requests.adapters import HTTPAdapter
    from wfdb.io import _url

    class Impatient(HTTPAdapter):
        def send(self, *arguments: Any, **options: Any) -> Any:
            return super().send(*arguments, **{**options, "timeout": _TIMEOUT_S})

    _url._get_session().mount(base, Impatient(pool_maxsize=CONNECTIONS, pool_block=True))


def _plain(error: OSError, url: str) -> DownloadError:
    """The error in one sentence with its remedy; every error of the client is an `OSError`."""
    if isinstance(error, PermissionError) and getattr(error, "url", None):
        return DownloadError(
            f"{url} is not open to everybody; sign the data set's agreement on physionet.org and fetch it from there"
        )
    if isinstance(error, FileNotFoundError) and getattr(error, "url", None):
        return DownloadError(f"there is no {url}; the data set may have moved to a newer version")
    reason = error.strerror or str(error).splitlines()[0] if str(error) else type(error).__name__
    return DownloadError(f"{url} could not be fetched ({reason}); run the same command again to go on")
