"""Command-line tools."""

import utils  # noqa: F401 (before PyTorch, see utils/threads.py)
