"""What scripts/benchmark.py is made of, and benchmarks of memory, accuracy and alignment."""

BUSY = "busy"  # the row of `busy.py`
ROW_NAMES = (  # of `rows.ROWS`, and BUSY; here, so that --help need not import PyTorch
    "synthesis",
    "synthesis-gradient",
    "synthesis-256",
    "synthesis-256-gradient",
    "encoding",
    "flow-training",
    "flow-editing",
    "training-step",
    "editing",
    BUSY,
)
