"""Parts of the attention benchmark; run ``python benchmarks/attn_bench.py --help``."""
