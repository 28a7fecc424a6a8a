"""What reports and files say of a face and of its edits."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from models.editing.inversion import Edited, Inversion
from models.editing.requests.base import Request
from models.editors.base import Editor


def measured_inversion(inversion: Inversion, index: int, editor: Editor) -> dict[str, Any]:
    """Distance and identity of a face's inversion, and what the editor reads from both."""
    return {
        "reconstruction_distance": _rounded(inversion.distance[index]),
        "identity_of_inversion": _rounded(inversion.identity()[index]),
        **_named(editor, editor.condition, inversion.condition[index]),
        **_named(editor, f"{editor.condition}_of_inversion", inversion.condition_of_inversion[index]),
    }


def measured_edit(edited: Edited, index: int, editor: Editor, request: Request) -> dict[str, Any]:
    """What was asked for, what the editor reads from the result, and the identity."""
    return {
        **_named(editor, "wanted", edited.target[index]),
        **_named(editor, editor.condition, edited.condition[index]),
        "identity": _rounded(edited.identity[index]),
        "identity_to_inversion": _rounded(edited.identity_to_inversion[index]),
        **request.measured(edited.embedding[index]),
    }


def _named(editor: Editor, entry: str, condition: Tensor) -> dict[str, dict[str, float]]:
    """The entry for a condition, where the editor names its numbers."""
    numbers = editor.named(condition)
    return {entry: {name: _rounded(value) for name, value in numbers.items()}} if numbers else {}


def _rounded(value: float | Tensor) -> float:
    return round(float(value), 5)
