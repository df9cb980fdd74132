"""CLEAR and HUG: the encoder of heartbeats, its pre-training, and the heads that diagnose from it."""

from clear_hug.models.batch import check_batch
from clear_hug.models.classifier import ECGClassifier, LinearHead, build_head
from clear_hug.models.clear import CLEAR, CLEAROutput
from clear_hug.models.config import CLEARConfig
from clear_hug.models.decoder import CLEARDecoder
from clear_hug.models.encoder import CLEAREncoder
from clear_hug.models.factories import clear_base, clear_large, clear_tiny, untrained
from clear_hug.models.hug import HUG
from clear_hug.models.normalise import to_millivolts, token_zscore
from clear_hug.models.official import load_official_checkpoint
from clear_hug.models.parameters import format_parameter_counts, parameter_counts

__all__ = [
    "CLEAR",
    "HUG",
    "CLEARConfig",
    "CLEARDecoder",
    "CLEAREncoder",
    "CLEAROutput",
    "ECGClassifier",
    "LinearHead",
    "build_head",
    "check_batch",
    "clear_base",
    "clear_large",
    "clear_tiny",
    "format_parameter_counts",
    "load_official_checkpoint",
    "parameter_counts",
    "to_millivolts",
    "token_zscore",
    "untrained",
]
