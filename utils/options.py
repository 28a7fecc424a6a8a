"""Options that commands share. Nothing here imports PyTorch, so that --help is fast."""

from __future__ import annotations

import argparse
from typing import Literal, get_args

DEVICE_CHOICES = ("auto", "cuda", "cpu", "mps")
Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """The option `--device`, for `utils.devices.pick_device`."""
    parser.add_argument("--device", default="auto", help=f"one of {', '.join(DEVICE_CHOICES)} (default: auto)")


def add_editor_options(parser: argparse.ArgumentParser, default: str) -> None:
    """The options `--checkpoint`, `--semantic-encoder` and `--domain` of a command, for
    `models.editors.loading.load_editor`, and `--precision`, for the domain it gives.

    Args:
        default: description of what is used without a checkpoint.
    """
    parser.add_argument("--checkpoint", metavar="RUN", help=f"run folder or editor file (default: {default})")
    parser.add_argument(
        "--semantic-encoder",
        metavar="FILE",
        help="semantic encoder that belongs to a --checkpoint that is a flow alone, as SDFlow publishes it",
    )
    parser.add_argument(
        "--domain",
        metavar="CONFIG",
        help="config of the domain of these two files (default: configs/domains/ffhq.yaml)",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of generator and encoder; bfloat16 is faster on processors that support it (default: the domain's)",
    )
