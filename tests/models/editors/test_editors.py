"""Editors: targets, the flow's edits and the linear baseline."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.editors.linear import LinearDirectionsEditor
from models.editors.sdflow import SDFlowEditor
from models.editors.targets import Flip, SetTo, resolve_targets
from models.flows.cnf import ContinuousFlow

NAMES = ("Eyeglasses", "Male", "Smiling")


class BrightnessEncoder(nn.Module):
    """Semantics that are the brightness of each colour; training mode would show."""

    def forward(self, image: Tensor) -> Tensor:
        assert not self.training
        return (image.mean((2, 3)) + 1) / 2


def sdflow_editor() -> SDFlowEditor:
    torch.manual_seed(0)
    flow = ContinuousFlow(4, 3, [8, 8], tolerance=1e-7).double()
    with torch.no_grad():
        for parameter in flow.velocity.parameters():
            parameter.mul_(2)
    return SDFlowEditor(flow, BrightnessEncoder(), NAMES)


def faces(count: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    w = torch.randn(count, 2, 4, dtype=torch.float64, generator=generator)
    return w, torch.rand(count, 3, 1, 1, dtype=torch.float64, generator=generator).expand(-1, -1, 5, 5) * 2 - 1


def test_set_writes_the_value_and_flip_goes_beyond_the_other_side() -> None:
    semantics = torch.tensor([[0.9, 0.2, 0.5], [0.1, 0.6, 0.4]])
    wanted = resolve_targets(semantics, {"Smiling": Flip(0.2), "Eyeglasses": SetTo(1.5)}, NAMES)
    torch.testing.assert_close(wanted, torch.tensor([[1.5, 0.2, -0.2], [1.5, 0.6, 1.2]]))
    torch.testing.assert_close(semantics[0], torch.tensor([0.9, 0.2, 0.5]))  # the input stays


def test_decisions_may_come_from_elsewhere() -> None:
    semantics = torch.tensor([[0.9, 0.2, 0.5]])
    judged = torch.tensor([[False, True, True]])
    wanted = resolve_targets(semantics, {"Eyeglasses": Flip(0.0), "Male": Flip(0.3)}, NAMES, judged)
    torch.testing.assert_close(wanted, torch.tensor([[1.0, -0.3, 0.5]]))


def test_an_unknown_attribute_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="unknown attribute 'Smilling'; did you mean 'Smiling'"):
        sdflow_editor().edit(*faces(), {"Smilling": SetTo(1.0)})


def test_an_edit_that_changes_nothing_gives_the_code_back() -> None:
    editor, (w, image) = sdflow_editor(), faces()
    torch.testing.assert_close(editor.edit(w, image, {}), w, rtol=0, atol=1e-5)


def test_an_edit_keeps_z_and_changes_what_is_asked() -> None:
    editor, (w, image) = sdflow_editor(), faces()
    semantics = editor.read(w, image)
    edited = editor.edit(w, image, {"Male": SetTo(1.2), "Smiling": Flip(0.2)})
    assert not edited.requires_grad
    assert (edited - w).abs().amax((1, 2)).min() > 1e-2
    wanted = semantics.clone()
    wanted[:, 1] = 1.2
    wanted[:, 2] = torch.where(semantics[:, 2] >= 0.5, -0.2, 1.2)
    flow = editor.flow
    torch.testing.assert_close(flow(edited, wanted), flow(w, semantics), rtol=0, atol=1e-5)
    back = editor.move(editor.prepare(edited, wanted), wanted, semantics)
    torch.testing.assert_close(back, w, rtol=0, atol=1e-5)


def test_an_edit_during_training_leaves_no_trace_in_the_statistics() -> None:
    editor, (w, image) = sdflow_editor(), faces()
    editor.train()
    editor.edit(w, image, {"Male": Flip()})
    before = {key: value.clone() for key, value in editor.flow.state_dict().items()}
    editor.flow.update_statistics()
    assert all(torch.equal(value, before[key]) for key, value in editor.flow.state_dict().items())


def planted(count: int = 400) -> tuple[Tensor, Tensor, Tensor]:
    """Codes that are the sum of planted directions, with correlated semantics."""
    generator = torch.Generator().manual_seed(2)
    directions = torch.randn(3, 2, 4, dtype=torch.float64, generator=generator)
    semantics = torch.rand(count, 3, dtype=torch.float64, generator=generator)
    semantics[:, 1] = 0.8 * semantics[:, 0] + 0.2 * semantics[:, 1]
    latents = 1 + torch.einsum("na,ald->nld", semantics, directions)
    return latents, semantics, directions


def test_planted_directions_are_found_in_spite_of_correlation() -> None:
    latents, semantics, directions = planted()
    latents = latents + 0.01 * torch.randn(
        latents.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    editor = LinearDirectionsEditor.fit(latents, semantics, NAMES, ridge=1e-8)
    torch.testing.assert_close(editor.directions, directions, rtol=0, atol=0.03)
    alone = torch.linalg.lstsq(semantics[:, :1] - semantics[:, :1].mean(0), (latents - latents.mean(0)).flatten(1))
    assert (alone.solution.reshape(2, 4) - directions[0]).abs().max() > 0.3  # each by itself would be wrong


def test_linear_edits_move_in_attribute_units() -> None:
    latents, semantics, directions = planted()
    editor = LinearDirectionsEditor.fit(latents, semantics, NAMES, ridge=1e-10)
    w, s = latents[:5], semantics[:5]
    torch.testing.assert_close(editor.read(w, w), s, rtol=0, atol=1e-4)
    edited = editor.edit(w, w, {"Male": SetTo(0.7), "Smiling": Flip(0.5)}, decisions=torch.ones(5, 3))
    change = torch.zeros_like(s)
    change[:, 1], change[:, 2] = 0.7 - s[:, 1], -0.5 - s[:, 2]
    torch.testing.assert_close(edited, w + torch.einsum("ba,ald->bld", change, directions), rtol=0, atol=1e-3)


@pytest.mark.parametrize("count", [6, 30])  # fewer and more codes than their 8 numbers
def test_the_readout_is_ridge_regression(count: int) -> None:
    generator = torch.Generator().manual_seed(4)
    latents = torch.randn(count, 2, 4, dtype=torch.float64, generator=generator)
    semantics = torch.rand(count, 3, dtype=torch.float64, generator=generator)
    editor = LinearDirectionsEditor.fit(latents, semantics, NAMES, ridge=0.1)
    x, y = latents.flatten(1), semantics
    x, y = x - x.mean(0), y - y.mean(0)
    penalty = (0.1 * count * x.square().mean()).sqrt() * torch.eye(8, dtype=torch.float64)
    stacked = torch.linalg.lstsq(torch.cat([x, penalty]), torch.cat([y, torch.zeros(8, 3, dtype=torch.float64)]))
    torch.testing.assert_close(editor.readout[:-1], stacked.solution)
    torch.testing.assert_close(editor.read(latents, latents).mean(0), semantics.mean(0))


def test_a_linear_editor_is_its_tensors() -> None:
    latents, semantics, _ = planted(40)
    editor = LinearDirectionsEditor.fit(latents.float(), semantics.float(), NAMES)
    state = editor.state_dict()
    again = LinearDirectionsEditor(state["directions"], state["readout"], NAMES)
    targets = {"Male": Flip(0.2)}
    w = latents.float()
    torch.testing.assert_close(again.edit(w, w, targets), editor.edit(w, w, targets), rtol=0, atol=0)


def test_what_cannot_be_fitted_is_an_error() -> None:
    latents, semantics, _ = planted(40)
    with pytest.raises(ValueError, match="3 codes cannot determine directions of 3 attributes"):
        LinearDirectionsEditor.fit(latents[:3], semantics[:3], NAMES)
    semantics[:, 1] = 0.5
    with pytest.raises(ValueError, match="Male is the same for all codes"):
        LinearDirectionsEditor.fit(latents, semantics, NAMES)
