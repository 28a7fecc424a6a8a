"""An editor as a folder: its parts as ONNX files, and `pipeline.json`, which says how to use them.

The file names the parts in the order in which they are called, the names of what each takes and gives, and what has to
be done to pictures before and after. What is written is run at once and compared with PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.domain import Domain
from models.editors.base import AttributeEditor, Editor
from models.exporting.onnx_files import OnnxFile, write_onnx
from models.exporting.parts import Call, Plan, plan_of
from models.exporting.programs import Program, traced
from models.flows.unrolled import unroll
from models.parsing.palette import CLASSES
from utils.files import write_atomically, write_text

DESCRIPTION = "pipeline.json"
FORMAT = 1
_FACES = 3  # on which a file is compared with PyTorch
_SEED = 0


@dataclass(frozen=True)
class Form:
    """How an editor is exported.

    Attributes:
        steps: in which its flow is solved.
        half: weights are kept as float16.
        graphs: each part is also written as `torch.export` saves it.
    """

    steps: int = 4
    half: bool = False
    graphs: bool = False


def export(
    editor: Editor, domain: Domain, metadata: Mapping[str, Any], folder: Path, form: Form, tell: Callable[[str], object]
) -> dict[str, Any]:
    """Write an editor to a folder; its flows are solved in equal steps from now on, and in float32.

    Args:
        metadata: as `load_editor` gives them.
        tell: is told of each file.
    Returns:
        what is written to `pipeline.json`, at last.
    Raises:
        OSError: a file cannot be written.
    """
    domain.precision = "float32"
    flows, plan = unroll(editor, form.steps), plan_of(editor, domain)
    values = example_values(plan, domain)
    errors = [flow.error(*(values[name] for name in ("latent", "condition", "target"))) for flow in flows]
    files: dict[str, dict[str, Any]] = {}
    first: dict[str, Call] = {}
    steps = []
    for call in (*plan.invert, *plan.edit):
        name = call.part.name
        if name not in files:
            first[name] = call
            program = traced(call.part.compute, call.inputs, values, _networks(editor, domain))
            files[name] = _written(call, program, values, folder, form)
            tell(
                f"{name}.onnx: {call.part.title}; {files[name]['bytes'] / 1e6:.1f} MB, "
                f"difference from PyTorch {files[name]['difference']:.0e}"
            )
        given = zip(first[name].inputs, call.inputs, strict=True)
        inputs = {own: value for own, value in given if own in files[name]["inputs"]}
        steps.append({"file": f"{name}.onnx", "inputs": inputs, "output": call.output})
    description = {
        "format": FORMAT,
        "editor": {"name": editor.name, "title": editor.title, "hash": metadata["hash"]},
        "domain": domain.name,
        "requests": list(editor.requests),
        "condition": {
            "name": editor.condition,
            "shape": list(values["condition"].shape[1:]),
            "attributes": list(editor.attributes) if isinstance(editor, AttributeEditor) else None,
            "mask_classes": list(CLASSES) if "mask" in editor.requests else None,
        },
        "before": {
            "aligner": domain.aligner["name"],
            "crop": "centred square",
            "side": domain.image_side,
            "filter": "lanczos",
            "colours": "RGB",
            "axes": ["batch", "colour", "row", "column"],
            "divide_by": 127.5,
            "subtract": 1.0,
        },
        "after": {"add": 1.0, "multiply_by": 127.5, "clip": [0, 255], "round": "nearest"},
        "invert": steps[: len(plan.invert)],
        "edit": steps[len(plan.invert) :],
        "files": files,
        "weights": "float16" if form.half else "float32",
        "flow": {"steps": form.steps, "largest_error": max(errors)} if errors else None,
    }
    write_text(folder / DESCRIPTION, json.dumps(description, indent=1, ensure_ascii=False) + "\n")
    return description


@torch.no_grad()
def example_values(plan: Plan, domain: Domain, count: int = _FACES, seed: int = _SEED) -> dict[str, Tensor]:
    """All that the calls take and give for faces that the generator makes, each with the condition of the next one."""
    random = torch.Generator().manual_seed(seed)
    generator = domain.generator
    z = torch.randn(count, *generator.z_shape, generator=random).to(domain.device)
    latent = generator.broadcast(generator.mapping(z))
    if domain.latent_space is not None:
        latent = domain.latent_space.enter(latent)
    values = {"image": domain.synthesise(latent)}
    for call in plan.invert:
        values[call.output] = call(values)
    values["target"] = values["condition"].roll(1, 0)
    for call in plan.edit:
        values[call.output] = call(values)
    return values


def _networks(editor: Editor, domain: Domain) -> dict[str, nn.Module]:
    """Everything with weights that an edit may use, after it was used once."""
    space: Any = domain.latent_space
    networks: dict[str, Any] = {**dict(editor.named_children()), **domain.loaded()}
    return networks if space is None else {**networks, "latent_space": space}


def _written(call: Call, program: Program, values: Mapping[str, Tensor], folder: Path, form: Form) -> dict[str, Any]:
    """Write a part; what `pipeline.json` says of its file."""
    path = folder / f"{call.part.name}.onnx"
    write_onnx(program.graph, program.inputs, call.output, path, form.half)
    if form.graphs:
        write_atomically(path.with_suffix(".pt2"), lambda temporary: torch.export.save(program.graph, temporary))
    found = OnnxFile(path)({name: values[name].numpy() for name in program.inputs})
    return {
        "title": call.part.title,
        "inputs": list(program.inputs),
        "bytes": path.stat().st_size,
        "difference": difference(found, values[call.output].numpy()),
    }


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, as a share of the expected value where that is larger than 1."""
    scaled = np.abs(found.astype(np.float64) - expected) / np.maximum(1, np.abs(expected))
    return float(scaled.max())
