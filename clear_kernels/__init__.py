"""Heartbeat-local sparse attention for multi-lead ECG models, on CPUs and GPUs.

``python -m clear_kernels`` prints which backends can run here, and why the others cannot.
"""

from clear_kernels.backends import backends
from clear_kernels.functional import beat_sparse_attention, packed_view_attention
from clear_kernels.mask import attention_mask
from clear_kernels.module import BeatSparseAttention

__all__ = [
    "BeatSparseAttention",
    "attention_mask",
    "backends",
    "beat_sparse_attention",
    "packed_view_attention",
]
