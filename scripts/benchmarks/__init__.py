"""What scripts/benchmark.py and scripts/benchmarks/measure_accuracy.py are made of."""

ROW_NAMES = (  # of `rows.ROWS`; here, because --help need not wait for PyTorch
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
