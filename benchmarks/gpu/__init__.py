"""Parts of the proof on a GPU; run ``python benchmarks/gpu_check.py --help``."""
