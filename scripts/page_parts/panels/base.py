"""What the page needs of the controls of a kind of request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from gradio.components import Component

from models.editing.requests.base import Request
from models.editing.studio import Face, Studio


class Asked(NamedTuple):
    """What controls ask for.

    Attributes:
        request: None if nothing is asked for.
        words: options of edit.py that ask for the same.
        files: that these options name, by name.
    """

    request: Request | None = None
    words: Sequence[str] = ()
    files: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True)
class Faces:
    """The faces that a session works with.

    Attributes:
        face: that is edited.
        find_second: gives another face, of which parts, style or identity may be taken; raises ValueError if there is
            none.
        second_path: how a command names its file.
        second_data: bytes of that file.
    """

    face: Face
    find_second: Callable[[], Face]
    second_path: str
    second_data: bytes


@dataclass
class Series:
    """A button that asks for several edits at once, to be saved.

    Attributes:
        press: its event.
        inputs: whose values `asked` takes after the faces and the values of the controls.
    """

    press: Callable[..., Any]
    inputs: Sequence[Component]
    asked: Callable[..., tuple[Sequence[Request], Sequence[str]]]


@dataclass
class Action:
    """A button that changes the controls' values, after which the picture follows.

    Attributes:
        press: its event.
        act: (faces, *values) → the new values; raises ValueError for what cannot be. With an upload, (faces, bytes of
            the file, *values).
        upload: component that holds the file which was chosen.
    """

    press: Callable[..., Any]
    act: Callable[..., Sequence[Any]]
    upload: Component | None = None


@dataclass
class Controls:
    """The controls of one tab.

    Attributes:
        inputs: whose values an edit depends on.
        changes: events after which the picture is to follow.
        asked: (faces, *values) → what is asked for; raises ValueError for values that cannot be.
        start: face → values of the inputs with which nothing is asked for, then one value for `mark`.
        mark: shows where the face stands.
        reset: event of a button that brings the inputs back to their start.
        with_second: values → the values after a second face was chosen, where choosing it asks for something.
    """

    inputs: Sequence[Component]
    changes: Sequence[Callable[..., Any]]
    asked: Callable[..., Asked]
    start: Callable[[Face], Sequence[Any]]
    mark: Component
    reset: Callable[..., Any]
    series: Series | None = None
    actions: Sequence[Action] = ()
    with_second: Callable[..., Sequence[Any]] | None = None


class Panel(ABC):
    """Controls of a kind of request.

    Attributes:
        kind: as editors name it in `Editor.requests`.
        title: of the tab.
        purpose: what an editor with it is for, in a few words; may be empty.
        takes_second: whether a second face can be chosen for it.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    purpose: ClassVar[str] = ""
    takes_second: ClassVar[bool] = False

    @abstractmethod
    def build(self, studio: Studio, prefix: str) -> Controls:
        """Put the controls into the tab that is open.

        Args:
            prefix: for `elem_id`, so that no two elements of the page have the same.
        """
