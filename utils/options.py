"""Options that commands share. Nothing here imports PyTorch, so that --help is fast."""

from __future__ import annotations

import argparse
from typing import Literal, get_args

DEVICE_CHOICES = ("auto", "cuda", "cpu", "mps")
Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def not_empty(text: str) -> str:
    """A name of a file or folder; an empty one, which a shell makes of an unset variable, would be the current folder.

    Raises:
        argparse.ArgumentTypeError: it is empty.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """The option `--device`, for `utils.devices.pick_device`."""
    parser.add_argument("--device", default="auto", help=f"one of {', '.join(DEVICE_CHOICES)} (default: auto)")


def add_editor_options(parser: argparse.ArgumentParser, default: str) -> None:
    """The options `--checkpoint`, `--semantic-encoder` and `--domain` of a command, for
    `models.editors.loading.load_editor`, and `--precision`, for the domain it gives.

    Args:
        default: description of what is used without a checkpoint.
    """
    parser.add_argument(
        "--checkpoint", type=not_empty, metavar="RUN", help=f"run folder or editor file (default: {default})"
    )
    parser.add_argument(
        "--semantic-encoder",
        type=not_empty,
        metavar="FILE",
        help="semantic encoder that belongs to a --checkpoint that is a flow alone, as SDFlow publishes it",
    )
    parser.add_argument(
        "--domain",
        type=not_empty,
        metavar="CONFIG",
        help="config of the domain: of these two files (default: configs/domains/ffhq.yaml), or of an editor whose "
        "networks have moved (default: the one in its file)",
    )
    parser.add_argument(
        "--weights",
        type=not_empty,
        metavar="FOLDER",
        help="folder with the weight files of the domain, under the names that its config gives them (default: where "
        "the config says, or beside the editor)",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of generator and encoder; bfloat16 is faster on processors that support it (default: the domain's)",
    )
