#!/usr/bin/env python
"""Open a page in the browser on which faces are edited with the mouse.

    make page                                                             sets up, then opens the page
    python scripts/page.py                                                with the shipped editors of drawn faces
    python scripts/page.py --checkpoint runs/sdflow-avatars               with your own; repeat it to compare editors
    python scripts/page.py --checkpoint prior-0010000 --semantic-encoder labeldist-0010000    (FFHQ)

The page is served to this machine alone. Photographs stay on it and are deleted when the tab is closed. Needs gradio:
pip install ".[page]".
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from typing import Annotated

from utils.failures import explain_failures
from utils.options import A_RUN, PRECISIONS, CommandParser, add_device_option, not_empty, value_of
from utils.ranges import Between, Count, Text

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def own_address(text: str) -> str:
    """`type=` of an address or a name of this machine, at which something can be served."""
    try:
        family, *_, place = socket.getaddrinfo(value_of(Text)(text), 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(place)
    except (OSError, UnicodeError):  # the latter: no possible name
        raise argparse.ArgumentTypeError(f"this machine has no address '{text}'") from None
    return text


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of the page."""
    parser = CommandParser(__doc__)
    editors = parser.add_argument_group("editors")
    editors.add_argument(
        "--checkpoint",
        action="append",
        type=not_empty,
        metavar="RUN",
        help=f"{A_RUN}; several give a choice (default: the shipped editors of drawn faces)",
    )
    editors.add_argument(
        "--semantic-encoder",
        type=not_empty,
        metavar="FILE",
        help="semantic encoder that belongs to the first --checkpoint if that is a flow alone, as SDFlow publishes it",
    )
    editors.add_argument(
        "--domain",
        type=not_empty,
        metavar="CONFIG",
        help="config of the domain of these two files (default: configs/domains/ffhq.yaml)",
    )
    editors.add_argument("--precision", choices=PRECISIONS, help="of generator and encoder (default: the domain's)")
    add_device_option(parser)
    serving = parser.add_argument_group("serving")
    serving.add_argument(
        "--port",
        type=value_of(Annotated[int, Between(1, 65535)]),
        default=7860,
        metavar="N",
        help="(default: %(default)s)",
    )
    serving.add_argument(
        "--host",
        type=own_address,
        default=_LOOPBACK[0],
        metavar="ADDRESS",
        help="where to serve; anything but this machine's own address needs a password (default: %(default)s)",
    )
    serving.add_argument(
        "--password",
        type=word,
        metavar="WORD",
        help="that the page asks for, with the user name sdflow; also read from the variable SDFLOW_PAGE_PASSWORD",
    )
    serving.add_argument("--no-browser", action="store_true", help="do not open a browser")
    bounds = parser.add_argument_group("limits")
    bounds.add_argument(
        "--max-megabytes", type=value_of(Count), default=40, metavar="N", help="of a file (default: %(default)s)"
    )
    bounds.add_argument(
        "--max-megapixels", type=value_of(Count), default=60, metavar="N", help="of a photograph (default: %(default)s)"
    )
    bounds.add_argument(
        "--max-seconds", type=value_of(Count), default=120, metavar="N", help="of one edit (default: %(default)s)"
    )
    bounds.add_argument(
        "--max-waiting",
        type=value_of(Count),
        default=60,
        metavar="N",
        help="edits; beyond it the page is busy (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    options.password = options.password or os.environ.get("SDFLOW_PAGE_PASSWORD")
    if options.host not in _LOOPBACK and not options.password:
        parser.error(f"argument --host: {options.host} can be reached by others, which needs --password")
    return options


def word(text: str) -> str:
    """`type=` of a password."""
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("is empty or holds what cannot be typed")
    return text


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

from models.editors.loading import editor_path
from utils.paths import ROOT, displayed


def shipped_editors() -> list[str | None]:
    """The editors of drawn faces that stand here: None is the default one."""
    files = [ROOT / f"pretrained/avatars/{name}.safetensors" for name in ("s2flow", "id_swap")]
    return [None, *(displayed(file) for file in files if file.exists())]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until interrupted; returns the exit status: 0 ended, 2 wrong usage."""
    options = parse_arguments(arguments)
    try:
        from scripts.page_parts.serving import Server
    except ImportError as error:
        print(f'page.py: {error.name} is not installed: make page, or pip install ".[page]"', file=sys.stderr)
        return 2
    from scripts.page_parts.limits import Limits
    from scripts.page_parts.workbench import open_bench

    checkpoints: list[str | None] = list(options.checkpoint or shipped_editors())
    pairs = [(options.semantic_encoder, options.domain), *[(None, None)] * (len(checkpoints) - 1)]
    try:
        benches = [
            open_bench(path, encoder, domain, options.device, options.precision)
            for path, (encoder, domain) in zip(checkpoints, pairs, strict=True)
        ]
        limits = Limits(
            megabytes=options.max_megabytes,
            megapixels=options.max_megapixels,
            seconds=options.max_seconds,
            waiting=options.max_waiting,
        )
        samples = sorted((editor_path(checkpoints[0]).parent / "samples").glob("*.png"))
        if options.host not in _LOOPBACK:
            print(f"page.py: warning: everybody who reaches {options.host} and knows the password can use this page")
        server = Server(
            *(benches, samples, limits, options.host, options.port, options.password), not options.no_browser
        )
    except (ValueError, OSError) as error:
        print(f"page.py: {error}", file=sys.stderr)
        return 2
    try:
        print(f"the page is open at {server.address} (Ctrl+C ends it)", flush=True)
        server.wait()
    finally:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
