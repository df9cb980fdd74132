"""One file over HTTP: continued where it stopped, tried again where the line breaks, errors in one sentence."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import BinaryIO

import requests
from requests.adapters import HTTPAdapter

from clear_hug.data.remote_sets import DownloadError

__all__ = ["TRIES", "fetch", "new_session"]

TRIES = 4
_PAUSE_S = 2.0  # before the second try, twice that before the third …
_TIMEOUT_S = 60.0  # without a byte from the server
_BLOCK = 1 << 16
_CLOSED, _ABSENT, _BUSY = (401, 403), (404, 410), (429, 500, 502, 503, 504)


def new_session(connections: int) -> requests.Session:
    """A session of so many connections, which threads may share; proxies and credentials as the environment says."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections, pool_block=True))
    return session


def fetch(session: requests.Session, url: str, file: BinaryIO, stop: threading.Event) -> int:
    """Append to an open file what it lacks of the one at `url`.

    Args:
        session: of `new_session`.
        url: address.
        file: open for reading and writing; what it holds already is taken for the beginning.
        stop: when set, the transfer ends at its next block.

    Returns:
        Bytes received.

    Raises:
        DownloadError: the server refuses or lacks it, or a transfer broke `TRIES` times; what came stays in `file`.
    """
    received = 0
    for attempt in range(1, TRIES + 1):
        try:
            for size in _blocks(session, url, file):
                received += size
                if stop.is_set():
                    break
            return received
        except requests.RequestException as error:
            if attempt == TRIES or not _may_pass(error) or stop.wait(attempt * _PAUSE_S):
                raise _plain(error, url) from error
    return received


def _blocks(session: requests.Session, url: str, file: BinaryIO) -> Iterator[int]:
    """Sizes of the blocks that were written."""
    held = file.seek(0, os.SEEK_END)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={held}-"} if held else {})}
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # it has no more than is there
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:  # the whole file, whatever was asked for
            file.seek(0)
            file.truncate()
        for block in answer.iter_content(_BLOCK):
            file.write(block)
            yield len(block)


def _may_pass(error: requests.RequestException) -> bool:
    """Whether another try may go better: not for a refusal, nor for an address that is none."""
    if error.response is not None:
        return error.response.status_code in _BUSY
    return not isinstance(error, ValueError)


def _plain(error: requests.RequestException, url: str) -> DownloadError:
    status = None if error.response is None else error.response.status_code
    if status in _CLOSED:
        return DownloadError(
            f"{url} is not open to everybody; sign the data set's agreement on physionet.org and fetch it from there"
        )
    if status in _ABSENT:
        return DownloadError(f"there is no {url}; the data set may have moved to a newer version")
    reason = f"status {status}" if status else (str(error).splitlines() or [type(error).__name__])[0]
    return DownloadError(f"{url} could not be fetched ({reason}); run the same command again to go on")
