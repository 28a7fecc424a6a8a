"""What a person asks for: an edit that resolves to a target condition for each face."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from models.editing.inversion import Inversion
    from models.editors.base import Editor

_LABEL_LIMIT = 100  # labels become parts of file names


class RequestError(ValueError):
    """A request that cannot be understood or served; the message says what would be valid."""


class Goal(NamedTuple):
    """What `Editor.move` is given: the rest of each face and its target condition, both (B, …)."""

    rest: Tensor
    target: Tensor


class Request(ABC):
    """One edit, the same for all faces.

    Attributes:
        label: short text without spaces or slashes for file names and reports, see `as_label`. Finished pictures are
            kept by label: two requests with one label must give the same edit.
        title: text for people; commas may become line breaks.
    """

    label: str

    @property
    def title(self) -> str:
        return self.label

    @abstractmethod
    def described(self) -> dict[str, str]:
        """What a report says of the request, by name."""

    @abstractmethod
    def resolve(self, faces: Inversion, editor: Editor) -> Goal:
        """The target condition of each face, and the rest of the face: its own unless the request is for another."""


def as_label(text: str) -> str:
    """The text within the length of a label; what is cut off is replaced by a hash of the whole text."""
    if len(text) <= _LABEL_LIMIT:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: _LABEL_LIMIT - 9]}-{digest}"
