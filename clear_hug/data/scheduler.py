"""Workers on other machines: joblib's work goes to a Dask cluster, named by its scheduler's address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import joblib

__all__ = ["SchedulerError", "on_scheduler"]

_PATIENCE_S = 15


class SchedulerError(ValueError):
    """A cluster that cannot be used; the message names its address and the remedy."""


@contextmanager
def on_scheduler(address: str) -> Iterator[int]:
    """Within, everything that joblib runs in parallel runs on the workers of that scheduler.

    Args:
        address: of the scheduler, such as ``"tcp://10.0.0.1:8786"``.

    Yields:
        How many tasks the cluster runs at a time.

    Raises:
        SchedulerError: Dask is not installed, or no scheduler or no worker answers.
    """
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ImportError as error:
        raise SchedulerError(f"--scheduler needs Dask ({error}): pip install 'clear-hug[dask]'") from error
    try:
        get_address_host_port(address)  # a client of no address complains once more when it is deleted
        client = Client(address, timeout=_PATIENCE_S, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise SchedulerError(
            f"no Dask scheduler answers at {address} ({reason}); start it with `dask scheduler`"
        ) from error
    with client:
        threads = sum(client.ncores().values())
        if not threads:
            raise SchedulerError(f"the scheduler at {address} has no workers; start some with `dask worker {address}`")
        with joblib.parallel_config(backend="dask", client=client):
            yield threads
