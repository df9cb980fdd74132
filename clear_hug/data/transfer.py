"""One file over HTTP: continued where it stopped, tried again where the line breaks, errors in one sentence.

The transfers are those of `wfdb`'s PhysioNet client (`wfdb.io._url`): its session, its two connections at most, its
ranges. What it lacks is added here: a limit to the wait for a server that has fallen silent, and another try.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import requests
from requests.adapters import HTTPAdapter
from wfdb.io import _url as pn_client

from clear_hug.data.remote_sets import DownloadError

__all__ = ["CONNECTIONS", "TRIES", "fetch", "limit_waiting"]

CONNECTIONS = 2
"""At a time; PhysioNet asks for no more, and wfdb's client opens no more."""

TRIES = 4
_PAUSE_S = 2.0  # before the second try, twice that before the third …
_TIMEOUT_S = 60.0  # without a byte from the server
_CLOSED, _ABSENT, _BUSY = (401, 403), (404, 410), (429, 500, 502, 503, 504)


class _Limited(HTTPAdapter):
    """Gives up on a server from which nothing came for a minute."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        return super().send(request, *args, **{**options, "timeout": _TIMEOUT_S})


def limit_waiting() -> None:
    """Make the client's session, which all its transfers share, give up on silent servers; proxies stay as they are."""
    session = pn_client._get_session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Limited(pool_maxsize=CONNECTIONS, pool_block=True))


def fetch(url: str, file: BinaryIO, stop: threading.Event) -> int:
    """Append to an open file what it lacks of the one at `url`.

    Args:
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
            for size in _blocks(url, file):
                received += size
                if stop.is_set():
                    break
            return received
        except (requests.RequestException, pn_client.NetFileError) as error:
            if attempt == TRIES or not _may_pass(error) or stop.wait(attempt * _PAUSE_S):
                raise _plain(error, url) from error
    return received


def _blocks(url: str, file: BinaryIO) -> Iterator[int]:
    """Sizes of the blocks that were written."""
    held = file.seek(0, os.SEEK_END)
    transfer = pn_client.RangeTransfer(url, held, None)  # closes its connection when it goes out of scope
    for place, block in transfer.iter_chunks():
        if place != held:  # a server without ranges begins anew, whatever was asked for
            file.seek(0)
            file.truncate()
        file.write(block)
        held = place + len(block)
        yield len(block)


def _may_pass(error: Exception) -> bool:
    """Whether another try may go better: not for a refusal, nor for an address that is none."""
    if isinstance(error, pn_client.NetFileError):
        return error.status_code in _BUSY
    return not isinstance(error, ValueError)


def _plain(error: Exception, url: str) -> DownloadError:
    status = getattr(error, "status_code", None)
    if status in _CLOSED:
        return DownloadError(
            f"{url} is not open to everybody; sign the data set's agreement on physionet.org and fetch it from there"
        )
    if status in _ABSENT:
        return DownloadError(f"there is no {url}; the data set may have moved to a newer version")
    reason = f"status {status}" if status else (str(error).splitlines() or [type(error).__name__])[0]
    return DownloadError(f"{url} could not be fetched ({reason}); run the same command again to go on")
