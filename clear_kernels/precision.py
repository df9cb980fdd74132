"""PyTorch's setting for products of float32 on GPUs."""

from __future__ import annotations

import torch


def tf32_allowed() -> bool:
    """Whether products of float32 may be taken in TF32: ``torch.backends.cuda.matmul``."""
    matmul = torch.backends.cuda.matmul
    # Newer releases replace allow_tf32 and refuse to read it once the new setting was used.
    setting = getattr(matmul, "fp32_precision", None)
    return matmul.allow_tf32 if setting is None else setting == "tf32"
