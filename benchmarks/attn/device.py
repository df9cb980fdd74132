"""The device that a command was asked for, or one line on why it cannot be had."""

from __future__ import annotations

import torch

from clear_hug.training.device import resolve_device


def asked_device(name: str) -> torch.device:
    """The device of a command's ``--device``: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        SystemExit: If the name is unknown, or PyTorch sees no GPU; the message lists the names, or the remedy.
    """
    try:
        return resolve_device(name)
    except ValueError as error:
        raise SystemExit(str(error)) from error
