"""Requests for identities: `--identity` and `--identity-share`."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from models.editing.requests.attributes import sweep_values
from models.editing.requests.base import Goal, Request, RequestError, as_label, as_name
from models.editing.requests.kind import RequestKind
from models.editing.requests.other_faces import other_faces

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from models.editing.inversion import Inversion
    from models.editing.pipeline import EditingPipeline
    from models.editors.base import Editor

RANDOM = "random:"
_SEEDS = 1 << 63
_CLOSE = 1e-4  # sine of two vectors that are taken for one


@dataclass(frozen=True)
class Other:
    """Another identity.

    Attributes:
        identity: its vector (I,), of unit length.
        name: for labels.
        source: whose it is: a file with the hash of its bytes, or a seed.
        embedding: identity embedding (E,) of that face, where there is a face.
        picture: of that face, aligned.
    """

    identity: Tensor
    name: str
    source: str
    embedding: Tensor | None = None
    picture: Image.Image | None = None

    @staticmethod
    def random(text: str, size: int) -> Other:
        """The identity that nobody has of a text `random:SEED`.

        Raises:
            RequestError: the seed is no whole number from 0.
        """
        return Other(random_identity(seed_of(text), size), text.replace(":", ""), text)


@dataclass(frozen=True)
class IdentityRequest(Request):
    """The identity of each face moved towards another one, all else as it is.

    Attributes:
        label: see `Request`.
        identity: the other identity vector (I,), of unit length.
        share: how far: 0 the face itself, 1 the other person.
        source, embedding, picture: see `Other`.
    """

    label: str
    identity: Tensor
    share: float
    source: str
    embedding: Tensor | None = None
    picture: Image.Image | None = None
    changes_identity: ClassVar[bool] = True

    @staticmethod
    def of(other: Other, share: float) -> IdentityRequest:
        """The request with its label, such as `identity-ann-0f1e2d3c=0.5`."""
        identity, name = other.identity, other.name
        digest = hashlib.sha256(identity.float().cpu().numpy().tobytes()).hexdigest()[:8]
        named = "-".join(filter(None, ("identity", as_name(name), digest)))
        label = as_label(f"{named}={share:g}")
        return IdentityRequest(label, identity, share, other.source, other.embedding, other.picture)

    @property
    def title(self) -> str:
        return self.label.removeprefix("identity-").removesuffix("=1")

    def described(self) -> dict[str, str]:
        return {"identity": self.source, "identity share": f"{self.share:.4g}"}

    def resolve(self, faces: Inversion, editor: Editor) -> Goal:
        return Goal(faces.rest, between(faces.condition, self.identity.to(faces.condition), self.share))

    def measured(self, embedding: Tensor) -> dict[str, float]:
        if self.embedding is None:
            return {}
        return {"identity_to_other": round(float((embedding * self.embedding.to(embedding)).sum()), 5)}


class IdentityRequests(RequestKind):
    """Identities of other faces; each `--identity` and each face of a folder is an edit of its own."""

    name: ClassVar[str] = "identity"
    title: ClassVar[str] = "identity requests"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group(
            "identities", "for editors that swap them: the person of another face, everything else of the photograph"
        )
        group.add_argument(
            "--identity",
            action="append",
            default=[],
            metavar="FILE|FOLDER|random:SEED",
            help="give the faces the identity of the largest face in a picture, of each picture in a folder (an edit "
            "each), or one that nobody has, to make a photograph anonymous",
        )
        group.add_argument(
            "--identity-share",
            metavar="SHARE|FIRST:LAST:COUNT",
            help="how far: 0 the face's own identity, 1 the other (default); 0:1:5 walks there in five pictures",
        )
        group.add_argument(
            "--identity-grid",
            action="store_true",
            help="write grid.png as well: identities in the first row, photographs in the first column",
        )

    def parse(self, options: argparse.Namespace, pipeline: EditingPipeline) -> Sequence[IdentityRequest]:
        given = {"--identity-share": options.identity_share is not None, "--identity-grid": options.identity_grid}
        for option, wanted in given.items():
            if wanted and not options.identity:
                raise RequestError(f"{option}: --identity must say whose identity is meant")
        if not options.identity:
            return []
        shares = _shares(options.identity_share)
        if options.identity_grid and len(shares) > 1:
            raise RequestError("--identity-grid: shows one share, and --identity-share gives several")
        others = [other for place in options.identity for other in _others(place, options, pipeline)]
        return [IdentityRequest.of(other, share) for other in others for share in shares]

    def settings(self, options: argparse.Namespace) -> dict[str, Any]:
        if not options.identity:
            return {}
        share = {"identity_share": options.identity_share} if options.identity_share is not None else {}
        return {"identity": options.identity, **share}


KIND = IdentityRequests()


def between(own: Tensor, other: Tensor, share: float) -> Tensor:
    """Unit vectors (B, I) on the great circles from `own` (B, I) to `other` (I,); at 0 and 1 exactly these."""
    import torch

    if share in (0, 1):
        return other.expand_as(own) if share else own
    cosine = (own * other).sum(1, keepdim=True).clamp(-1, 1)
    angle = cosine.acos()
    away = other - cosine * own
    length = away.norm(dim=1, keepdim=True)
    away = torch.where(length > _CLOSE, away / length.clamp_min(_CLOSE), torch.zeros_like(away))
    return own * (share * angle).cos() + away * (share * angle).sin()


def random_identity(seed: int, size: int) -> Tensor:
    """An identity vector (I,) drawn evenly from the unit sphere."""
    import torch

    vector = torch.randn(size, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vector, dim=0)


def checked_share(share: float, text: str) -> float:
    """The share, if it lies in [0, 1].

    Args:
        text: what it was given with, for the message.
    Raises:
        RequestError: it does not.
    """
    if not isinstance(share, Real) or not 0 <= share <= 1:  # nor is nan
        raise RequestError(f"{text}: a share of an identity is a number from 0 to 1")
    return float(share)


def seed_of(text: str) -> int:
    """The seed in `random:SEED`.

    Raises:
        RequestError: it is no whole number from 0.
    """
    number = text.removeprefix(RANDOM)
    if not (number.isdecimal() and number.isascii()) or int(number[:20]) >= _SEEDS:
        raise RequestError(f"identity '{text}': write {RANDOM}SEED with a whole number, such as {RANDOM}1")
    return int(number)


def _shares(text: str | None) -> list[float]:
    if text is None:
        return [1.0]
    parts = text.split(":")
    try:
        numbers = [float(part) for part in parts[:2]]
        values = numbers if len(parts) == 1 else sweep_values(numbers[0], numbers[1], int(parts[2]))
        fits = len(parts) in (1, 3)
    except (ValueError, IndexError, OverflowError):
        fits, values = False, []
    if not fits:
        raise RequestError(f"--identity-share '{text}': write a share such as 0.5, or FIRST:LAST:COUNT such as 0:1:5")
    return [checked_share(value, f"--identity-share '{text}'") for value in values]


def _others(place: str, options: argparse.Namespace, pipeline: EditingPipeline) -> list[Other]:
    """The identity of a seed, or those of the faces in a picture or a folder.

    Raises:
        RequestError: a picture that cannot be read, or that shows no face of the domain.
    """
    from models.editors.base import identity_editor
    from utils.photos import printable

    if place.startswith(RANDOM):
        return [Other.random(place, identity_editor(pipeline.editor).identity_dim)]
    return [
        Other(identity, one.path.stem, f"{printable(one.path.name)} ({one.digest})", embedding, one.picture)
        for found, faces in other_faces("--identity", Path(place), options, pipeline)
        for one, identity, embedding in zip(found, faces.condition, faces.embedding, strict=True)
    ]
