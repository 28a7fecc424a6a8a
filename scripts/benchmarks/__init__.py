"""What scripts/benchmark.py is made of, and benchmarks of memory, accuracy and alignment."""

ROW_NAMES = (  # of `rows.ROWS`; here, so that --help need not import PyTorch
    "synthesis",
    "synthesis-gradient",
    "synthesis-256",
    "synthesis-256-gradient",
    "encoding",
    "flow-training",
    "flow-editing",
    "training-step",
    "editing",
)
