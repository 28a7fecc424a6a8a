"""Kinds of request: each module of this folder that has a `KIND` adds options to edit.py and reads edits from them.

A module of a kind imports neither PyTorch nor what imports it, except inside its functions: the options are there, and
usage errors are reported, before PyTorch is imported.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

from models.editing.requests.base import JointRequest, Request, RequestError
from models.editing.requests.kind import RequestKind

if TYPE_CHECKING:
    from models.editing.pipeline import EditingPipeline


@cache
def kinds() -> dict[str, RequestKind]:
    """All kinds of request by name, in the order of their modules."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    found: list[RequestKind] = [module.KIND for module in modules if hasattr(module, "KIND")]
    return {kind.name: kind for kind in found}


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """The options of all kinds of request."""
    for kind in kinds().values():
        kind.add_options(parser)


def parse_requests(options: argparse.Namespace, pipeline: EditingPipeline) -> list[Request]:
    """The edits that a command line asks for, each once; the default of the editor's first kind if it asks for none.

    Args:
        options: parsed by a parser with `add_request_options`.
    Raises:
        RequestError: an option of a kind that the editor does not take, a value that cannot be understood, or no edit.
    """
    editor = pipeline.editor
    takes = ", ".join(editor.requests)
    for kind in kinds().values():
        given = _given(kind, options)
        if given and kind.name not in editor.requests:
            raise RequestError(f"{given[0]}: this editor ({editor.title}) takes no {kind.title}; it takes: {takes}")
    taken = [kinds()[name] for name in editor.requests]
    parsed = [(kind, list(kind.parse(options, pipeline))) for kind in taken]
    requests = [request for kind, found in parsed if not kind.joins for request in found]
    requests += _joined([found for kind, found in parsed if kind.joins and found])
    requests = requests or list(taken[0].default(options, pipeline))
    if not requests:
        raise RequestError(f"no edit is asked for; this editor ({editor.title}) takes: {takes}")
    return list({request.label: request for request in requests}.values())


def request_settings(options: argparse.Namespace, pipeline: EditingPipeline) -> dict[str, Any]:
    """What reports repeat of the options of the kinds that the editor takes."""
    settings = [kinds()[name].settings(options) for name in pipeline.editor.requests]
    return {name: value for some in settings for name, value in some.items()}


def _joined(parts: Sequence[Sequence[Request]]) -> list[Request]:
    """Each request of a kind together with each of the others."""
    if not parts:
        return []
    return [JointRequest(together) if len(together) > 1 else together[0] for together in product(*parts)]


def _given(kind: RequestKind, options: argparse.Namespace) -> list[str]:
    """The kind's options that do not have their default values."""
    parser = argparse.ArgumentParser(add_help=False)
    kind.add_options(parser)
    defaults = vars(parser.parse_args([]))
    return [f"--{name.replace('_', '-')}" for name, value in defaults.items() if getattr(options, name) != value]
