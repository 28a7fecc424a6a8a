"""Style edits: a face gets the rest of another and keeps its own mask."""

from __future__ import annotations

from torch import Tensor

from models.domain import Domain
from models.editors.base import Editor
from models.evaluation.counterfactual import root_mean_square
from models.evaluation.faces import Decomposition, in_batches
from models.evaluation.masks.faces import MaskTestSet, look
from models.evaluation.masks.readings import Measured, prefixed
from models.parsing.agreement import confusions

SHARES = (0.5, 1.0)  # of the other's style


def style_edits(editor: Editor, domain: Domain, test: MaskTestSet, before: Decomposition) -> Measured:
    """Of edits at each share, under `style.SHARE`; each as `style_references` has it."""
    rest, others = before.rest, test.faces.others
    measured: Measured = {}
    for share in SHARES:
        mixed = rest.lerp(rest[others], share)
        latent = in_batches(editor.move, mixed, before.condition, before.condition, device=domain.device)
        measured |= prefixed(f"style.{share:g}", _read(domain, test, latent))
    return measured


def style_references(domain: Domain, test: MaskTestSet) -> Measured:
    """Of the unedited faces and, where it is drawn, of the inverted truth, the face in the style of its other.

    Returns:
        confusion (N, 19, 19) of the face's mask and the found one; identity (N,); factors (N, F) as read; distance (N,)
        to the truth. Factors and distances are left out where nobody knows them.
    """
    measured = prefixed("style.unedited", _read(domain, test, test.faces.latent))
    if test.style is not None:
        latent = in_batches(domain.encode, test.style, device=domain.device)
        measured |= prefixed("style.ceiling", _read(domain, test, latent))
    return measured


def _read(domain: Domain, test: MaskTestSet, latent: Tensor) -> Measured:
    faces, device = test.faces, domain.device
    image, mask = look(domain, latent, faces.side)
    embedding = in_batches(domain.identity_embedding, image, device=device)
    measured = {
        "confusion": confusions(faces.mask, mask).int().numpy(),
        "identity": (embedding * faces.embedding).sum(1).numpy(),
    }
    if test.reader is not None:
        measured["factors"] = in_batches(test.reader.read, image, device=device).numpy()
    if test.style is not None:
        measured["distance"] = root_mean_square(image, test.style).numpy()
    return measured
