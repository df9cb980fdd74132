"""Parts of `prepare_bench.py`."""
