"""What the page needs of the controls of a kind of request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gradio.components import Component

from models.editing.requests.base import Request
from models.editing.studio import Face, Studio

Asked = tuple[Request | None, Sequence[str]]  # a request, if anything is asked for, and the options of edit.py


@dataclass
class Series:
    """A button that asks for several edits at once, to be saved.

    Attributes:
        press: its event.
        inputs: whose values `asked` takes after the face and the values of the controls.
    """

    press: Callable[..., Any]
    inputs: Sequence[Component]
    asked: Callable[..., tuple[Sequence[Request], Sequence[str]]]


@dataclass
class Controls:
    """The controls of one tab.

    Attributes:
        inputs: whose values an edit depends on.
        changes: events after which the picture is to follow.
        asked: (face, *values) → what is asked for; raises ValueError for values that cannot be.
        start: face → values of the inputs with which nothing is asked for, then one value for `mark`.
        mark: shows where the face stands.
        reset: event of a button that brings the inputs back to their start.
    """

    inputs: Sequence[Component]
    changes: Sequence[Callable[..., Any]]
    asked: Callable[..., Asked]
    start: Callable[[Face], Sequence[Any]]
    mark: Component
    reset: Callable[..., Any]
    series: Series | None = field(default=None)


class Panel(ABC):
    """Controls of a kind of request.

    Attributes:
        kind: as editors name it in `Editor.requests`.
        title: of the tab.
    """

    kind: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def build(self, studio: Studio, prefix: str) -> Controls:
        """Put the controls into the tab that is open.

        Args:
            prefix: for `elem_id`, so that no two elements of the page have the same.
        """
