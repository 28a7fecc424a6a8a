"""What is read off codes that should show a mask: agreement with it, the person, the truth, what should have stayed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from models.domain import Domain
from models.editors.base import AttributeEditor, Editor, mask_editor
from models.editors.targets import Flip, resolve_targets
from models.evaluation.contestants import edits_masks
from models.evaluation.counterfactual import root_mean_square
from models.evaluation.faces import Decomposition, decompose, in_batches
from models.evaluation.masks.faces import MaskFaces, MaskRequest, at_mask_side, look
from models.parsing.agreement import confusions

Measured = dict[str, np.ndarray]  # names → numbers, face by face
STRENGTH = 0.0  # of attribute edits: a present attribute is set to 0, an absent one to 1
_LEVELS = 127.5  # grey levels in a unit of [−1, 1]


def read_codes(domain: Domain, faces: MaskFaces, request: MaskRequest, latent: Tensor) -> Measured:
    """Of codes (N, L, D) that should show the request's target masks.

    Returns:
        confusion (N, 19, 19) of target and found mask; identity (N,), cosine to the inversion; outside (N,), mean
        difference to the inversion in grey levels where the face's mask and the target agree; distance (N,) to the
        truth, where it is known.
    """
    image, mask = look(domain, latent, faces.side)
    embedding = in_batches(domain.identity_embedding, image, device=domain.device)
    kept = at_mask_side(faces.mask == request.target, image.shape[-1])
    change = (image - faces.inversion).abs().mean(1) * _LEVELS
    measured = {
        "confusion": confusions(request.target, mask).int().numpy(),
        "identity": (embedding * faces.embedding).sum(1).numpy(),
        "outside": ((change * kept).sum((1, 2)) / kept.sum((1, 2)).clamp(min=1)).numpy(),
    }
    if request.truth is not None:
        measured["distance"] = root_mean_square(image, request.truth).numpy()
    return measured


def taken_apart(editor: Editor, domain: Domain, latent: Tensor, image: Tensor) -> Decomposition:
    """Condition and rest of codes (N, L, D); where the editor reads faces and not their inversions, of (N, 3, S, S)."""
    if not editor.reads_synthesis:
        return decompose(editor, latent, image, domain.device)
    condition = in_batches(lambda w: editor.read(w, domain.synthesise_full(w)), latent, device=domain.device)
    return Decomposition(condition, in_batches(editor.prepare, latent, condition, device=domain.device))


def conditions(editor: Editor, mask: Tensor, device: torch.device) -> Tensor:
    """A mask editor's conditions (N, …) of masks (N, M, M)."""
    reader = mask_editor(editor)
    return in_batches(reader.condition_of, at_mask_side(mask, reader.mask_side).long(), device=device)


def answer(editor: Editor, domain: Domain, request: MaskRequest, before: Decomposition) -> Tensor | None:
    """Codes (N, L, D) in which the editor does what the request asks for; None where it cannot be told to.

    Args:
        before: decomposition of the faces.
    """
    if edits_masks(editor):
        target = conditions(editor, request.target, domain.device)
    elif isinstance(editor, AttributeEditor) and request.attribute in editor.attributes:
        assert request.present is not None
        decisions = torch.zeros(len(request.present), len(editor.attributes), dtype=torch.bool)
        decisions[:, editor.attributes.index(request.attribute)] = request.present
        targets = {request.attribute: Flip(STRENGTH)}
        target = resolve_targets(before.condition, targets, editor.attributes, decisions)
    else:
        return None
    return in_batches(editor.move, before.rest, before.condition, target, device=domain.device)


def prefixed(prefix: str, measured: Measured) -> Measured:
    """The same numbers under longer names."""
    return {f"{prefix}.{name}": values for name, values in measured.items()}


def references(
    domain: Domain, faces: MaskFaces, requests: list[MaskRequest], report: Callable[[int], object]
) -> Measured:
    """The same of the faces without an edit and of the inversions of the truth."""
    measured: Measured = {}
    for request in requests:
        for name, latent in (("unedited", faces.latent), ("ceiling", request.ceiling)):
            measured |= prefixed(f"{request.kind}.{name}", read_codes(domain, faces, request, latent))
            report(1)
    return measured
