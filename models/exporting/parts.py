"""The computations of an editing pipeline, each a function of tensors, and in what order they make an edit.

They are the calls that `models.editing.pipeline` makes: the domain's encoder and generator, and what every editor
offers. What is measured of an edit (identity, distance) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from models.domain import Domain
from models.editors.base import Editor, mask_editor


@dataclass(frozen=True)
class Part:
    """A computation: one file.

    Attributes:
        title: what it does, in a few words.
        compute: a function of tensors with a row for each face; None stands for one that it does not use.
    """

    name: str
    title: str
    compute: Callable[..., Tensor]


@dataclass(frozen=True)
class Call:
    """A part with the names of what it takes and gives."""

    part: Part
    inputs: tuple[str, ...]
    output: str

    def __call__(self, values: Mapping[str, Tensor]) -> Tensor:
        """What it gives for the values of that name."""
        return self.part.compute(*(values.get(name) for name in self.inputs))


@dataclass(frozen=True)
class Plan:
    """The calls that make an edit.

    Attributes:
        invert: from `image`, an aligned face, to its `condition` and what `edit` takes.
        edit: from that and `target`, another condition, to `picture`.
    """

    invert: tuple[Call, ...]
    edit: tuple[Call, ...]


def plan_of(editor: Editor, domain: Domain) -> Plan:
    """What an edit takes: its codes are those of the domain's encoder, if the editor reads codes."""
    synthesise = Part("synthesise", "G: a picture of a code", domain.synthesise_full)
    invert, seen, rest = [], "image", "latent"
    if editor.reads_code:
        invert.append(Call(Part("encode", "E_img: the code of a face", domain.encode), ("image",), "latent"))
    if editor.reads_synthesis:
        seen = "inversion"
        invert.append(Call(synthesise, ("latent",), seen))
    if "mask" in editor.requests:
        masks = mask_editor(editor)
        invert.append(Call(Part("parse", "the mask of a picture", masks.mask_of), (seen,), "mask"))
        invert.append(Call(Part("condition", "the condition of a mask", masks.condition_of), ("mask",), "condition"))
    else:
        read = Part("read", f"the {editor.condition} of a face", editor.read)
        invert.append(Call(read, ("latent", seen), "condition"))
    if type(editor).prepare is not Editor.prepare:
        rest = "rest"
        prepare = Part("prepare", f"the rest of a face: what an edit of its {editor.condition} keeps", editor.prepare)
        invert.append(Call(prepare, ("latent", "condition", "image"), rest))
    move = Part("move", f"the edited code: the rest with the {editor.condition} that is asked for", editor.move)
    edit = Call(move, (rest, "condition", "target"), "edited"), Call(synthesise, ("edited",), "picture")
    return Plan(tuple(invert), edit)
