"""The shipped editor of masks, on drawn faces that nothing was trained on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from datasets.avatar_edits import AvatarEdits
from datasets.avatars import AvatarFaces
from models.domain import Domain
from models.editors.loading import load_editor
from models.editors.s2flow import S2FlowEditor, mask_editor
from models.parsing.agreement import confusion, mean_iou
from utils.paths import ROOT

FILE = ROOT / "pretrained/avatars/s2flow.safetensors"
COUNT = 16


@pytest.fixture(scope="module")
def shipped() -> tuple[S2FlowEditor, Domain]:
    editor, domain, _ = load_editor(FILE)
    return mask_editor(editor), domain


@pytest.fixture(scope="module")
def edits() -> AvatarEdits:
    return AvatarEdits(AvatarFaces(COUNT, "samples", correlation=0.0))


@torch.no_grad()
def encoded(domain: Domain, edits: AvatarEdits) -> Tensor:
    return domain.encode(torch.stack([edits.faces[index]["image"] for index in range(COUNT)]))


@torch.no_grad()
def test_an_unchanged_mask_leaves_the_picture(shipped: tuple[S2FlowEditor, Domain], edits: AvatarEdits) -> None:
    editor, domain = shipped
    latent = encoded(domain, edits)
    picture = domain.synthesise(latent)
    condition = editor.read(latent, picture)
    again = editor.move(editor.prepare(latent, condition), condition, condition)
    assert (again - latent).norm() <= 1e-3 * latent.norm()
    assert (domain.synthesise(again) - picture).abs().max() * 127.5 < 2


@torch.no_grad()
@pytest.mark.parametrize("kind", ("smile", "glasses", "waves", "head turned"))
def test_pictures_follow_the_masks_of_true_edits(
    shipped: tuple[S2FlowEditor, Domain], edits: AvatarEdits, kind: str
) -> None:
    editor, domain = shipped
    latent, target = encoded(domain, edits), edits.masks(kind).long()
    picture = domain.synthesise(latent)
    condition = editor.read(latent, picture)
    edited = domain.synthesise(editor.move(editor.prepare(latent, condition), condition, editor.condition_of(target)))
    truth = domain.synthesise(domain.encode(edits.images(kind)))
    unedited, reached, ceiling = (
        mean_iou(confusion(target, editor.mask_of(image))) for image in (picture, edited, truth)
    )
    assert reached - unedited > 0.5 * (ceiling - unedited) > 0
    identity = [domain.identity_embedding(image) for image in (picture, edited)]
    assert (identity[0] * identity[1]).sum(1).mean() > 0.85
