"""Training: pre-training of CLEAR, features of a frozen encoder, probes on them, metrics, checkpoints.

Import from the modules: `pretrain`, `features`, `probe`, `metrics`, `checkpoint`, `restore`. Nothing is imported here,
so that small helpers come without PyTorch.
"""
