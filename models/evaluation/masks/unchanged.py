"""An unchanged mask should leave the face as it is."""

from __future__ import annotations

from models.domain import Domain
from models.editors.base import Editor
from models.evaluation.faces import Decomposition, in_batches
from models.evaluation.masks.faces import MaskFaces
from models.evaluation.masks.readings import Measured


def unchanged(editor: Editor, domain: Domain, faces: MaskFaces, before: Decomposition) -> Measured:
    """Of edits towards the mask that the face has.

    Returns:
        unchanged.code (N,), relative error of the code; unchanged.levels (N,), the largest difference of a pixel to the
        inversion, in grey levels.
    """
    latent = in_batches(editor.move, before.rest, before.condition, before.condition, device=domain.device)
    image = in_batches(domain.synthesise, latent, device=domain.device)
    error = (latent - faces.latent).flatten(1).norm(dim=1) / faces.latent.flatten(1).norm(dim=1)
    levels = (image - faces.inversion).abs().flatten(1).amax(1) * 127.5
    return {"unchanged.code": error.numpy(), "unchanged.levels": levels.numpy()}
