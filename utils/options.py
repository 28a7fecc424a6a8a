"""Options that commands share, and types of options. Nothing here imports PyTorch, so that --help is fast."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

from utils.config import Unfit, convert
from utils.paths import expanded, innermost
from utils.ranges import FileName

A_RUN = "run folder, editor file, or hf:OWNER/NAME[/FILE][@REVISION] on the Hugging Face Hub"
DEVICE_CHOICES = ("auto", "cuda", "cpu", "mps")
Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class CommandParser(argparse.ArgumentParser):
    """Parser of a command. Options are written out, and one that takes a value is given once: a second value would
    replace the first without a word.

    Args:
        description: docstring of the command's module, with which the help begins.
    """

    def __init__(self, description: str | None, prog: str | None = None) -> None:
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, description=description, formatter_class=layout, allow_abbrev=False)
        for action in (None, "store"):
            self.register("action", action, _StoreOnce)


class _StoreOnce(argparse.Action):
    """Keeps the value of an option and refuses another one."""

    filled: argparse.Namespace | None = None

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        if option is not None and self.filled is namespace:
            cure = "it takes one value" if self.nargs is None else "all its values stand behind it"
            raise argparse.ArgumentError(self, f"is given twice; {cure}")
        self.filled = namespace
        setattr(namespace, self.dest, values)


def value_of(annotation: Any) -> Callable[[str], Any]:
    """`type=` of an option whose value an annotation describes, as those of `utils.ranges` do."""

    def parse(text: str) -> Any:
        try:
            return convert(text, annotation)
        except Unfit as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def not_empty(text: str) -> str:
    """`type=` of a name; an empty one, which a shell makes of an unset variable, would be the current folder."""
    name: str = value_of(FileName)(text)
    return name


def output_folder(text: str) -> Path:
    """`type=` of a folder that is there or can be made: neither it nor what it lies in is a file."""
    path = _path(text)
    there = innermost(path)
    if there is not None and not there.is_dir():
        raise argparse.ArgumentTypeError(f"{there} is {_kind(there)}, not a folder")
    return path


def folder_or_none(text: str) -> str | None:
    """`type=` of a folder that is there or can be made, or an empty text for none."""
    return str(output_folder(text)) if text else None


def output_file(text: str) -> Path:
    """`type=` of a file to write: it is no folder, and lies in one that is there or can be made."""
    path = _path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder, not a file")
    output_folder(str(path.parent))
    return path


def input_file(text: str) -> Path:
    """`type=` of a file to read."""
    path = _path(text)
    there = innermost(path)
    if there != path:
        raise argparse.ArgumentTypeError(f"{text}: no such file")
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text} is {_kind(path)}, not a file")
    return path


def input_folder(text: str) -> Path:
    """`type=` of a folder to read."""
    path = output_folder(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: no such folder")
    return path


def input_path(text: str) -> Path:
    """`type=` of a file or folder to read."""
    path = _path(text)
    return path if path.is_file() else input_folder(text)


def _path(text: str) -> Path:
    try:
        return expanded(not_empty(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "a link to nothing" if path.is_symlink() and not path.exists() else "a file"


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """The option `--device`, for `utils.devices.pick_device`."""
    names = ", ".join(DEVICE_CHOICES)
    parser.add_argument("--device", type=device, default="auto", help=f"one of {names} (default: auto)")


def device(text: str) -> str:
    """`type=` of the name of a device, such as cpu, cuda or cuda:1; whether it is there only PyTorch knows."""
    kind, _, number = text.partition(":")
    if kind not in DEVICE_CHOICES or text.endswith(":") or number and (kind == "auto" or not number.isdecimal()):
        raise argparse.ArgumentTypeError(f"'{text}' is none of {', '.join(DEVICE_CHOICES)}, nor cuda:NUMBER")
    return text


def add_editor_options(parser: argparse.ArgumentParser, default: str, precision: bool = True) -> None:
    """The options `--checkpoint`, `--semantic-encoder`, `--mapper` and `--domain` of a command, for
    `models.editors.loading.load_editor`, and `--precision`, for the domain it gives.

    Args:
        default: description of what is used without a checkpoint.
        precision: False leaves `--precision` out.
    """
    parser.add_argument(
        "--checkpoint", type=not_empty, metavar="RUN", help=f"{A_RUN} (default: {default})"
    )
    parser.add_argument(
        "--semantic-encoder",
        type=not_empty,
        metavar="FILE",
        help="semantic encoder that belongs to a --checkpoint that is a flow alone, as SDFlow publishes it",
    )
    parser.add_argument(
        "--mapper",
        type=not_empty,
        metavar="FILE",
        help="mapper that belongs to a --checkpoint that is a swap encoder alone, as the identity swap is published "
        "(default: mlp*.pt beside it)",
    )
    parser.add_argument(
        "--domain",
        type=not_empty,
        metavar="CONFIG",
        help="config of the domain: of published files (default: the FFHQ that they belong to), or of an editor whose "
        "networks have moved or that is older than its domain's face parser (default: the one in its file)",
    )
    parser.add_argument(
        "--weights",
        type=not_empty,
        metavar="FOLDER",
        help="folder with the weight files of the domain, under the names that its config gives them (default: where "
        "the config says, or beside the editor)",
    )
    if not precision:
        return
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of generator and encoder; bfloat16 is faster on processors that support it (default: the domain's)",
    )
