"""What a person asks for: an edit that resolves to a target condition for each face."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from models.editing.inversion import Inversion
    from models.editors.base import Editor

_LABEL_LIMIT = 100  # labels become parts of file names


class RequestError(ValueError):
    """A request that cannot be understood or served; the message says what would be valid."""


class Goal(NamedTuple):
    """What `Editor.move` is given: the rest of each face and its target condition, both (B, …).

    Attributes:
        failures: for each face why the request cannot be served, an empty text where it can; none at all if it can for
            every face. What such a face is moved to does not matter.
        remarks: the same for what is to be told of an edit, such as a part of it that is impossible for the face.
    """

    rest: Tensor
    target: Tensor
    failures: Sequence[str] = ()
    remarks: Sequence[str] = ()


class Request(ABC):
    """One edit of any number of faces: the same for all, or what it has for each of them by `Inversion.names`.

    Attributes:
        label: short text without spaces or slashes for file names and reports, see `as_label`. Finished pictures are
            kept by label: two requests with one label must give the same edit.
        title: text for people; commas may become line breaks.
        changes_identity: whether it asks for another person, so that it is no fault if one is seen.
        picture: the other face that it is about, where there is one.
    """

    label: str
    changes_identity: ClassVar[bool] = False
    picture: Image.Image | None = None

    @property
    def title(self) -> str:
        return self.label

    @abstractmethod
    def described(self) -> dict[str, str]:
        """What a report says of the request, by name."""

    @abstractmethod
    def resolve(self, faces: Inversion, editor: Editor) -> Goal:
        """The target condition of each face, and the rest of the face: its own unless the request is for another."""

    def measured(self, embedding: Tensor) -> dict[str, float]:
        """What a report says of an edit with this identity embedding (E,) that it says of no other kind; nothing unless
        overridden."""
        return {}

    def pictured(self, unedited: Tensor, face: str, editor: Editor) -> tuple[Image.Image, Image.Image] | None:
        """What it changes of a face, before and after, as pictures for a sheet; None where words say it.

        Args:
            unedited: the generator's picture (1, 3, R, R) of the face.
            face: its name, see `Inversion.names`.
        """
        return None


@dataclass(frozen=True)
class JointRequest(Request):
    """Several requests as one edit: each is given what the ones before it made of the faces.

    Attributes:
        parts: requests that change different things, so that their order does not matter.
    """

    parts: tuple[Request, ...]

    @property
    def label(self) -> str:  # type: ignore[override]
        return as_label(",".join(part.label for part in self.parts))

    @property
    def title(self) -> str:
        return ",".join(part.title for part in self.parts)

    def described(self) -> dict[str, str]:
        return {name: value for part in self.parts for name, value in part.described().items()}

    def resolve(self, faces: Inversion, editor: Editor) -> Goal:
        failures, remarks = [""] * len(faces), [""] * len(faces)
        for part in self.parts:
            goal = part.resolve(faces, editor)
            faces = replace(faces, rest=goal.rest, condition=goal.target)
            failures = [before or after for before, after in zip(failures, goal.failures or failures, strict=True)]
            told = zip(remarks, goal.remarks or [""] * len(faces), strict=True)
            remarks = ["; ".join(filter(None, pair)) for pair in told]
        return Goal(faces.rest, faces.condition, failures, remarks)

    def pictured(self, unedited: Tensor, face: str, editor: Editor) -> tuple[Image.Image, Image.Image] | None:
        return next(filter(None, (part.pictured(unedited, face, editor) for part in self.parts)), None)


def as_label(text: str) -> str:
    """The text within the length of a label; what is cut off is replaced by a hash of the whole text."""
    if len(text) <= _LABEL_LIMIT:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: _LABEL_LIMIT - 9]}-{digest}"


def as_name(text: str) -> str:
    """A file's name as a part of a label."""
    return re.sub(r"[^\w.-]+", "-", text)
