"""Training: the loop, its settings and files, and what each method does in a step."""

import utils  # noqa: F401 (before PyTorch, see utils/threads.py)
