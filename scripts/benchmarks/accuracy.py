#!/usr/bin/env python
"""Measure what the faster solver and bfloat16 cost in accuracy, on the shipped editor of drawn faces.

    python scripts/benchmarks/accuracy.py                    1000 edits
    python scripts/benchmarks/accuracy.py --count 100 --json accuracy.json

Two measures: the distance of an edited code w_e to a float64 solution of the flow, for the published solver (dopri5,
1e-5) and for ours; and the effect of bfloat16 on the picture (PSNR against float32) and on the judge's decisions.

The published solver chooses its steps for all faces of a batch, and by the log-density too, which depends on a random
probe: its error is measured face by face, as the published code edits, and for all --faces at once, with seeded probes.
Ours has no probe and is measured in one batch.

Limits: our mean error at most that of the published solver; every picture at 40 dB or more; no decision changed. Exit
status: 0 within the limits, 1 not, with each limit that was missed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import utils  # noqa: F401 (before PyTorch, see utils/threads.py)

# isort: split
import torch
from torch import Tensor

from datasets.avatars import AvatarFaces
from models.domain import Domain
from models.editing.inversion import Inversion
from models.editing.pipeline import EditingPipeline
from models.editors.loading import load_editor
from models.editors.sdflow import SDFlowEditor
from models.editors.targets import Flip, resolve_targets
from scripts.published.flow import Flow
from utils.devices import pick_device
from utils.failures import explain_failures
from utils.files import write_text
from utils.options import CommandParser, add_device_option, output_file, value_of
from utils.paths import displayed
from utils.ranges import Count

PUBLISHED_TOLERANCE, TRUE_TOLERANCE = 1e-5, 1e-9
PSNR_LIMIT = 40.0  # dB
PEAK = 2.0  # pictures lie in [−1, 1]
_BATCH = 50


def shipped(device: torch.device) -> tuple[SDFlowEditor, Domain]:
    """The editor of drawn faces as the commands load it."""
    editor, domain, _ = load_editor(None, device)
    assert isinstance(editor, SDFlowEditor)
    return editor, domain


def faces(count: int, batch: int = _BATCH) -> Iterator[Tensor]:
    """Held-out drawn faces in batches."""
    data = AvatarFaces(count, "test")
    for start in range(0, count, batch):
        yield torch.stack([data[index]["image"] for index in range(start, min(start + batch, count))])


def picture_psnr(picture: Tensor, reference: Tensor) -> Tensor:
    """PSNR (B,) of pictures (B, 3, H, W) in [−1, 1], in dB."""
    error = (picture.clamp(-1, 1) - reference.clamp(-1, 1)).square().flatten(1).mean(1)
    return 10 * torch.log10(PEAK**2 / error)


@dataclass(frozen=True)
class SolverErrors:
    """Distances of edited codes to the true ones, ‖w_e − true‖ / ‖true‖ of each edit, (N,).

    Attributes:
        published: each face solved by itself, as the published code edits pictures.
        published_batch: all faces solved at once.
        ours: all faces solved at once.
    """

    published: Tensor
    published_batch: Tensor
    ours: Tensor

    def summary(self) -> dict[str, dict[str, float]]:
        """Mean and largest of each."""
        return {name: {"mean": float(v.mean()), "largest": float(v.max())} for name, v in vars(self).items()}


@torch.no_grad()
def solver_errors(count: int, device: torch.device, seed: int = 0) -> SolverErrors:
    """w → z → w_e for every flip of `count` faces, against float64 at a tolerance of 1e-9.

    All start from the same codes and semantics. The published flow solves to 1e-5 under its own norm and ends with an
    interpolation; ours is the editor as it is loaded.

    Args:
        seed: of the probes of the published flow, which draws one at each solve.
    """
    editor, domain = shipped(device)
    published = Flow.with_weights(editor.flow.state_dict(), PUBLISHED_TOLERANCE).to(device).eval()
    true = copy.deepcopy(editor.flow).double()
    true.tolerance = TRUE_TOLERANCE
    (image,) = faces(count, count)
    w = domain.encode(image.to(device))
    semantics = editor.read(w, image.to(device))
    wanted = [resolve_targets(semantics, {name: Flip()}, editor.attributes) for name in editor.attributes]
    z_true = true(w.double(), semantics.double())
    references = [true.inverse(z_true, target.double()) for target in wanted]

    def published_codes(batch: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        probes = [torch.randn(w.shape, generator=generator).to(device).split(batch) for _ in range(1 + len(wanted))]
        solve = published.integrate
        start = zip(w.split(batch), semantics.split(batch), probes[0], strict=True)
        z = [solve(code, known, probe=probe)[0] for code, known, probe in start]
        for target, drawn in zip(wanted, probes[1:], strict=True):
            parts = zip(z, target.split(batch), drawn, strict=True)
            yield torch.cat([solve(code, to, reverse=True, probe=probe)[0] for code, to, probe in parts])

    def errors(codes: Iterable[Tensor]) -> Tensor:
        pairs = zip(codes, references, strict=True)
        distances = [(w_e - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1) for w_e, exact in pairs]
        return torch.cat(distances).cpu()

    z_ours = editor.prepare(w, semantics)
    return SolverErrors(
        published=errors(published_codes(1)),
        published_batch=errors(published_codes(count)),
        ours=errors(editor.move(z_ours, semantics, target) for target in wanted),
    )


@torch.no_grad()
def bfloat16_effect(edits: int, device: torch.device) -> dict[str, Any]:
    """PSNR of the pictures of bfloat16 against those of float32, and the judge's decisions that differ.

    Each face is inverted, each of its attributes flipped, until there are `edits` edits. The judge runs in float32 on
    both. `decisions` counts all of an edit's, `changed` those that differ, `edits_changed` the edits that have one;
    `margin_of_changed` says how far from 0.5 the changed ones were in float32.
    """
    exact, low = (EditingPipeline(domain, editor) for editor, domain in (shipped(device) for _ in range(2)))
    assert isinstance(exact.editor, SDFlowEditor) and isinstance(low.editor, SDFlowEditor)
    low.domain.precision = "bfloat16"
    attributes = exact.editor.attributes
    quality: list[Tensor] = []
    differing: list[Tensor] = []
    margins: list[Tensor] = []
    for image in faces(-(-edits // len(attributes))):
        inversions: tuple[Inversion, Inversion] = exact.invert(image), low.invert(image)
        for name in attributes:
            # one target for both: a semantic variable near 0.5 could otherwise be flipped to opposite sides
            wanted = resolve_targets(inversions[0].condition, {name: Flip()}, attributes)
            pictures = []
            for pipeline, inversion in zip((exact, low), inversions, strict=True):
                code = pipeline.editor.move(inversion.rest, inversion.condition, wanted)
                pictures.append(pipeline.domain.synthesise_full(code))
            quality.append(picture_psnr(pictures[1], pictures[0]))
            probabilities = [exact.domain.judge_probabilities(exact.domain.resized(picture)) for picture in pictures]
            differing.append((probabilities[0] > 0.5) != (probabilities[1] > 0.5))
            margins.append((probabilities[0] - 0.5).abs())
    psnr, changed, margin = (torch.cat(values)[:edits].cpu() for values in (quality, differing, margins))
    return {
        "edits": len(psnr),
        "psnr": {"mean": float(psnr.mean()), "least": float(psnr.min())},
        "decisions": changed.numel(),
        "changed": int(changed.sum()),
        "edits_changed": int(changed.any(1).sum()),
        "margin_of_changed": sorted(round(float(value), 4) for value in margin[changed]),
    }


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of accuracy.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "--count", type=value_of(Count), default=1000, metavar="N", help="edits to compare in bfloat16 (default: 1000)"
    )
    parser.add_argument(
        "--faces", type=value_of(Count), default=50, metavar="N", help="faces for the solver's error (default: 50)"
    )
    add_device_option(parser)
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write all measurements")
    options = parser.parse_args(arguments)
    try:
        options.device = pick_device(options.device)
    except ValueError as error:
        parser.error(str(error))
    return options


def limits(solver: Mapping[str, Any], low: Mapping[str, Any]) -> dict[str, bool]:
    """Each limit, with what was measured, and whether it is met."""
    ours, published = solver["ours"]["mean"], min(solver[name]["mean"] for name in ("published", "published_batch"))
    least, changed = low["psnr"]["least"], low["changed"]
    return {
        f"mean error of w_e {ours:.1e}, at most the published {published:.1e}": ours <= published,
        f"lowest PSNR in bfloat16 {least:.1f} dB, at least {PSNR_LIMIT:g} dB": least >= PSNR_LIMIT,
        f"decisions changed by bfloat16 {changed} of {low['decisions']}, at most 0": not changed,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parse_arguments(arguments)
    solver = solver_errors(options.faces, options.device).summary()
    titles = {"published": "published, face by face", "published_batch": f"published, {options.faces} faces at once"}
    for name, value in solver.items():
        title = titles.get(name, name)
        print(f"w_e, {title:<29} relative error: mean {value['mean']:.1e}, largest {value['largest']:.1e}")
    low = bfloat16_effect(options.count, options.device)
    print(f"bfloat16, {low['edits']} edits: PSNR mean {low['psnr']['mean']:.1f} dB")
    met = limits(solver, low)
    for limit, reached in met.items():
        print(f"{'met' if reached else 'MISSED'}: {limit}")
    if options.json:
        results = {"faces": options.faces, "solver": solver, "bfloat16": low, "limits": met}
        write_text(options.json, json.dumps(results, indent=1) + "\n")
        print(displayed(options.json))
    if all(met.values()):
        return 0
    print("accuracy.py: a limit is missed, so the exit status is 1", file=sys.stderr)
    return 1


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
