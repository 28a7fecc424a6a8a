"""What every editor offers: a condition is read from a face, and the rest of the face is moved to another condition."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from models.editors.stored import StoredEditor
from models.editors.targets import Target, resolve_targets


@runtime_checkable
class MaskEditor(Protocol):
    """An editor whose condition is what it reads from the face's mask."""

    @property
    def mask_side(self) -> int:
        """Side of the masks that it reads."""

    def mask_of(self, image: Tensor) -> Tensor:
        """Masks (B, side, side) of class indices in pictures (B, 3, S, S) of any size."""

    def condition_of(self, mask: Tensor) -> Tensor:
        """The condition (B, …) of masks (B, side, side)."""


@runtime_checkable
class IdentityEditor(Protocol):
    """An editor whose condition is an identity vector of unit length."""

    @property
    def identity_dim(self) -> int:
        """Size of the identity vector."""


class Editor(nn.Module, ABC):
    """Splits a face into a condition, which can be changed, and the rest, and joins the rest with another condition.

        condition = editor.read(w, image)
        rest = editor.prepare(w, condition, image)
        edited = editor.move(rest, condition, target)

    A condition is a tensor with a row for each face; what a row is (attribute values, a mask, an identity vector) is
    the editor's own affair. Edits run without gradients and without state that depends on the batch. The state dict is
    what a file keeps of an editor.

    Attributes:
        name: the editor's name in files and configs, see `models.editors.EDITORS`.
        title: its name in reports and messages.
        requests: kinds of request that it takes, the default first, see `models.editing.requests`.
        condition: what a condition is called in reports.
        reads_synthesis: whether the condition that a code is edited with is that of the generator's picture of it, at
            the generator's resolution. Otherwise it is that of the aligned face, of side S as all pictures that are
            read.
        reads_code: whether codes tell it anything. Where it reads pictures alone, a domain needs no encoder.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    requests: ClassVar[tuple[str, ...]]
    condition: ClassVar[str]
    reads_synthesis: ClassVar[bool] = False
    reads_code: ClassVar[bool] = True

    @classmethod
    def restore(cls, stored: StoredEditor) -> Editor:
        """The editor that a file describes, ready to take its tensors.

        Raises:
            ConfigError: the description does not fit this editor.
        """
        raise NotImplementedError(f"{cls.__name__} is not kept in files")

    @abstractmethod
    def read(self, w: Tensor, image: Tensor) -> Tensor:
        """The condition (B, …) of faces given as codes (B, L, D) and pictures (B, 3, S, S)."""

    def prepare(self, w: Tensor, condition: Tensor, image: Tensor | None = None) -> Tensor:
        """The rest (B, …) of each face, computed once for any number of edits: by default the codes themselves.

        Args:
            image: the pictures (B, 3, S, S) that the condition was read from; some editors find the rest there.
        """
        return w

    @abstractmethod
    def move(self, rest: Tensor, condition: Tensor, target: Tensor) -> Tensor:
        """Codes (B, L, D) of faces whose condition was `condition` and becomes `target`, both (B, …).

        Args:
            rest: what `prepare` made of the codes.
        """

    def named(self, condition: Tensor) -> dict[str, float]:
        """The numbers that a report gives for the condition of one face (…), by name; none unless overridden."""
        return {}


class AttributeEditor(Editor):
    """An editor whose condition is the values (B, A) of named attributes: 0 absent, 1 present.

    Args:
        attributes: names, in the order of the condition's columns.
    """

    requests: ClassVar[tuple[str, ...]] = ("attributes",)
    condition: ClassVar[str] = "semantics"

    def __init__(self, attributes: Sequence[str]) -> None:
        super().__init__()
        self.attributes = tuple(attributes)

    def named(self, condition: Tensor) -> dict[str, float]:
        return {name: float(value) for name, value in zip(self.attributes, condition, strict=True)}

    @torch.no_grad()
    def edit(self, w: Tensor, image: Tensor, targets: Mapping[str, Target], decisions: Tensor | None = None) -> Tensor:
        """Edited codes (B, L, D) of faces given as codes (B, L, D) and pictures (B, 3, S, S).

        Args:
            targets: attribute name → target; several are reached in one pass.
            decisions: (B, A), which attributes count as present for `Flip`; default: values of 0.5 or more.
        Raises:
            ValueError: unknown attribute (the nearest name is suggested).
        """
        condition = self.read(w, image)
        target = resolve_targets(condition, targets, self.attributes, decisions)
        return self.move(self.prepare(w, condition, image), condition, target)


def attribute_editor(editor: Editor) -> AttributeEditor:
    """The same editor, for callers that need attributes.

    Raises:
        ValueError: its condition is something else.
    """
    if not isinstance(editor, AttributeEditor):
        raise _another_is_needed("attributes", editor)
    return editor


def mask_editor(editor: Editor) -> MaskEditor:
    """The same editor, for callers that need masks.

    Raises:
        ValueError: its condition is something else.
    """
    if not isinstance(editor, MaskEditor):
        raise _another_is_needed("masks", editor)
    return editor


def identity_editor(editor: Editor) -> IdentityEditor:
    """The same editor, for callers that need identities.

    Raises:
        ValueError: its condition is something else.
    """
    if not isinstance(editor, IdentityEditor):
        raise _another_is_needed("identities", editor)
    return editor


def _another_is_needed(of: str, editor: Editor) -> ValueError:
    return ValueError(f"this needs an editor of {of}; {editor.title} takes: {', '.join(editor.requests)}")
