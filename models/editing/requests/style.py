"""Requests for styles: `--style` and `--style-walk`."""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from models.editing.requests.base import Goal, Request, RequestError, as_label, as_name
from models.editing.requests.kind import RequestKind
from models.editing.requests.other_faces import other_faces

if TYPE_CHECKING:
    from torch import Tensor

    from models.editing.inversion import Inversion
    from models.editing.pipeline import EditingPipeline
    from models.editors.base import Editor

SHARE_LIMIT = 1.5
_WALK_LIMIT = 100  # pictures


@dataclass(frozen=True)
class StyleRequest(Request):
    """The rest of each face moved straight towards that of another one.

    Attributes:
        label: see `Request`.
        style: the other rest (L, D).
        share: how far: 0 the face itself, 1 the other style; at most `SHARE_LIMIT`.
    """

    label: str
    style: Tensor
    share: float

    @staticmethod
    def of(style: Tensor, share: float, name: str = "", step: str = "") -> StyleRequest:
        """The request with its label, such as `style-black-0f1e2d3c=0.5`.

        Args:
            step: of a walk, in place of the share in the label.
        """
        digest = hashlib.sha256(style.float().cpu().numpy().tobytes()).hexdigest()[:8]
        named = "-".join(filter(None, ("style", as_name(name), digest)))
        return StyleRequest(as_label(f"{named}={step or format(share, 'g')}"), style, share)

    @property
    def title(self) -> str:
        named, _, value = self.label.rpartition("=")
        return f"style {named.removeprefix('style-').rpartition('-')[0]}".rstrip() + f",{value}"

    def described(self) -> dict[str, str]:
        return {"style": self.label.rpartition("=")[0].removeprefix("style-"), "style share": f"{self.share:.4g}"}

    def resolve(self, faces: Inversion, editor: Editor) -> Goal:
        return Goal(faces.rest.lerp(self.style.to(faces.rest), self.share), faces.condition)


class StyleRequests(RequestKind):
    """Styles of other faces; each `--style` is an edit of its own."""

    name: ClassVar[str] = "style"
    title: ClassVar[str] = "style requests"
    joins: ClassVar[bool] = True

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group(
            "styles", "for editors that keep a style apart, such as those of face masks; each --style is one edit"
        )
        group.add_argument(
            "--style",
            action="append",
            default=[],
            metavar="FILE|FOLDER:SHARE",
            help="move the style towards that of a face, or the mean style of those in a folder, or in a file of codes "
            f"(.npy, .npz, .pt): 0 keeps the face's own, 1 takes the other, up to {SHARE_LIMIT:g} goes beyond it",
        )
        group.add_argument(
            "--style-walk",
            type=int,
            metavar="STEPS",
            help="S²-Flow's walk of so many steps, each from the step before: a picture for every step up to SHARE of "
            "them (published: SHARE 0.1 of 100 steps)",
        )

    def parse(self, options: argparse.Namespace, pipeline: EditingPipeline) -> Sequence[StyleRequest]:
        steps = options.style_walk
        if steps is not None and not options.style:
            raise RequestError("--style-walk: --style must say where it goes")
        if steps is not None and steps < 2:
            raise RequestError(f"--style-walk {steps}: a walk takes 2 steps or more")
        requests = []
        for place, share in [_split(text) for text in options.style]:
            style = _style(place, options, pipeline)
            if steps is None:
                requests.append(StyleRequest.of(style, share, place.stem))
            else:
                requests += _walk(style, share, place.stem, steps)
        return requests

    def settings(self, options: argparse.Namespace) -> dict[str, Any]:
        walk = {"style_walk": options.style_walk} if options.style_walk is not None else {}
        return ({"style": options.style} if options.style else {}) | walk


KIND = StyleRequests()


def checked_share(share: float, text: str) -> float:
    """The share, if it lies in its range.

    Args:
        text: what it was given with, for the message.
    Raises:
        RequestError: it does not.
    """
    if not isinstance(share, Real) or not 0 <= share <= SHARE_LIMIT:  # nor is nan
        raise RequestError(f"{text}: a share of the style is a number from 0 to {SHARE_LIMIT:g}")
    return share


def _split(text: str) -> tuple[Path, float]:
    place, colon, share = text.rpartition(":")
    try:
        value = float(share)
    except ValueError:
        value = math.nan
    if not colon or not place or math.isnan(value):
        raise RequestError(f"--style '{text}': write FILE:SHARE or FOLDER:SHARE, such as black.png:0.5")
    return Path(place), checked_share(value, f"--style '{text}'")


def _walk(style: Tensor, share: float, name: str, steps: int) -> list[StyleRequest]:
    from models.editors.s2flow import style_shares

    count = round(share * steps)
    if not 1 <= count <= min(steps, _WALK_LIMIT):
        raise RequestError(
            f"--style-walk {steps}: {share:g} of the steps are {count}; 1 to {min(steps, _WALK_LIMIT)} can be shown"
        )
    shares = style_shares(steps)[:count].tolist()
    return [StyleRequest.of(style, value, name, f"step{step}of{steps}") for step, value in enumerate(shares)]


def _style(place: Path, options: argparse.Namespace, pipeline: EditingPipeline) -> Tensor:
    """The rest (L, D) of the face in a picture, or the mean of those in a folder or in a file of codes.

    Raises:
        RequestError: a picture that cannot be read, or that shows no face of the domain; a file without codes.
    """
    import torch

    from models.editing.foreign_latents import as_saved, read_codes
    from models.editing.saved_latents import LATENT_SUFFIXES, SUFFIX

    if place.suffix.lower() in LATENT_SUFFIXES - {SUFFIX} and not place.is_dir():
        try:
            codes = read_codes(place, pipeline.domain)
        except ValueError as error:
            raise RequestError(f"--style {error}") from None
        portions = [[as_saved(code, pipeline.domain) for code in some] for some in codes.split(options.batch_size)]
        return torch.cat([pipeline.restore(some, "").rest.sum(0, keepdim=True) for some in portions]).sum(0) / len(
            codes
        )
    total, count = torch.zeros((), device=pipeline.domain.device), 0
    for found, faces in other_faces("--style", place, options, pipeline):
        total, count = total + faces.rest.sum(0), count + len(found)
    return total / count
