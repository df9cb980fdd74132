"""One run at a time makes a store: a lock that ends with its process, however that ends."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without advisory locks
    fcntl = None  # type: ignore[assignment]

from clear_hug.data.store_format import StoreError

__all__ = ["store_lock"]


@contextmanager
def store_lock(out: Path) -> Iterator[None]:
    """Hold `OUT.lock`, in which the holder's process and host are written.

    The system gives the lock back when a process ends, even a killed one, so that the file it leaves behind stops
    nobody. Where files cannot be locked, the file counts as long as it names a living process of this host.

    Args:
        out: folder of the store to make.

    Raises:
        StoreError: another process holds it.
    """
    path = out.with_name(out.name + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _locked(path)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock is given back, so that nobody locks a file that is going away
        os.close(descriptor)


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _lock(descriptor, path)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it in between: there is another one, or none


def _lock(descriptor: int, path: Path) -> None:
    try:
        if fcntl is None:
            raise OSError("no advisory locks")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _in_use(path, *_holder(descriptor)) from None
    except OSError:  # a file system that has no locks
        pid, host = _holder(descriptor)
        if host == socket.gethostname() and pid != os.getpid() and _alive(pid):
            raise _in_use(path, pid, host) from None


def _in_use(path: Path, pid: int, host: str) -> StoreError:
    who = f"process {pid} on {host}" if pid else "another process"
    out = path.with_name(path.name.removesuffix(".lock"))
    return StoreError(f"{out} is being made by {who} ({path.name}); wait until it is done, or stop it first")


def _holder(descriptor: int) -> tuple[int, str]:
    """Process and host in the file; 0 and "" where it is empty or something else."""
    try:
        said = json.loads(os.pread(descriptor, 4096, 0))
        return int(said["pid"]), str(said["host"])
    except (ValueError, KeyError, TypeError):
        return 0, ""


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
