"""Golden cases of S²-Flow: palette, mask edits, mask encoder, face parser, and edits with the flow."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from models.editors.s2flow import S2FlowEditor, style_shares, style_walk
from models.flows.cnf import ContinuousFlow, flow_sizes
from models.parsing.donors import FaceRecord, choose_donor
from models.parsing.mask_edits import edit_mask, face_region, hair_behind_face
from models.parsing.mask_encoder import MaskEncoder, mask_encoder_sizes
from models.parsing.palette import PALETTE, classes_of, colour_values, painted
from models.parsing.segmentor import DeepLabV3, deeplab_sizes
from scripts.checks.golden.case import GoldenCase
from utils.weights import freeze

Outputs = dict[str, Any]
FLOW, ENCODER = "prior_ntwk.", "cnd_ntwk."
TOLERANCE = 1e-7


def palette(case: GoldenCase) -> Outputs:
    """Indices to colours and back, and the colours as the mask encoder reads them."""
    index = case.inputs["index"]
    colours = painted(index)
    return {
        "in_index": index,
        "palette": PALETTE,
        "colour": colours,
        "index_back": classes_of(colours),
        "mask": colour_values(torch.from_numpy(index)[None])[0],
        "label_picture": colour_values(case.tensor("palette_logits").argmax(1)),
    }


def donor_records(attributes: dict[str, list[Any]]) -> dict[int, FaceRecord]:
    """The case's records, which give a smile as a truth value and what is missing as an empty list."""
    rows = zip(attributes["glasses"], attributes["smiling"], attributes["gender"], strict=True)
    return {
        face: FaceRecord(glasses or None, float(smiling), gender or None)
        for face, (glasses, smiling, gender) in enumerate(rows)
    }


def mask_edits(case: GoldenCase) -> Outputs:
    """Every edit with its recorded neighbours, and the steps of the edit of hair."""
    maps = case.inputs["maps"]
    records = donor_records(case.meta["attributes"])

    def edited(edit: str, base: int, neighbours: list[int], mask: np.ndarray | None = None) -> np.ndarray:
        """A map, or another mask of that face, after an edit; as it was where the edit is impossible."""
        own = maps[base] if mask is None else mask
        name = {"eyebrows": "brows"}.get(edit, edit)
        donor = choose_donor(name, base, list(neighbours), records, np.random.RandomState(case.salt))
        return own if donor is None else edit_mask(donor.edit, own, maps[donor.face])

    outputs: Outputs = {"in_maps": maps}
    for record in case.meta["edits"]:
        outputs[record["output"]] = edited(record["edit"], record["base"], record["neighbours"])
    for name in case.outputs:
        if match := re.fullmatch(r"hair_(region|inpainted)_(\d+)", name):
            step = {"region": face_region, "inpainted": hair_behind_face}[match[1]]
            outputs[name] = step(maps[int(match[2])]).astype(np.uint8)
        elif (source := name.removesuffix("_colour")) != name:
            outputs[name] = painted(outputs[source])
    for name, recorded in case.outputs.items():  # of several edits of one face with one neighbour
        said = re.search(r"\((\d+)\), neighbour (\d+)", recorded["what"])
        if name in ("grid", "sequential") and said is not None:
            base, neighbours = int(said[1]), [int(said[2])]
            if name == "grid":
                edits = ("smile", "add_glasses", "remove_glasses", "hair")
                outputs[name] = np.stack([edited(edit, base, neighbours) for edit in edits])
            else:
                smiling = edited("smile", base, neighbours)
                outputs[name] = np.stack([maps[base], smiling, edited("hair", base, neighbours, smiling)])
    return outputs


def _encoder(case: GoldenCase, prefix: str = "") -> MaskEncoder:
    shapes = {key.removeprefix(prefix): shape for key, shape in case.shapes.items() if key.startswith(prefix)}
    encoder = MaskEncoder(**mask_encoder_sizes(shapes))
    case.fill(encoder, prefix)
    return encoder.eval()


@torch.no_grad()
def mask_encoder(case: GoldenCase) -> Outputs:
    """The condition, each stage, and what one training call makes of both."""
    encoder, index = _encoder(case), case.tensor("index")
    outputs: Outputs = {"in_index": index, "condition": encoder(index)}
    outputs |= {f"stage{number}": feature for number, feature in enumerate(encoder.features(index), 1)}
    outputs["condition_train"] = encoder.train()(index)
    for stage in range(1, encoder.stages + 1):
        norm = encoder.get_submodule(f"conv{stage}.1.bn")
        for name in ("running_mean", "running_var"):
            outputs[f"conv{stage}_{name}_after"] = getattr(norm, name).clone()
    return outputs | {"condition_true": _encoder(case).double()(index)}


@torch.no_grad()
def segmentor(case: GoldenCase) -> Outputs:
    """Stages, head and classes of a picture that is normalised already."""
    with torch.device("meta"):
        parser = DeepLabV3(**deeplab_sizes(case.shapes))
    parser.to_empty(device="cpu")
    case.fill(parser)
    freeze(parser)
    image = case.tensor("image")
    features = parser.features(image)
    coarse = parser.aspp(features[-1])
    logits = parser.enlarged(coarse, *image.shape[2:])
    outputs: Outputs = {f"layer{number}": feature.mean((2, 3)) for number, feature in enumerate(features, 1)}
    return outputs | {
        "layer4_map": features[-1], "coarse": coarse, "logits_pooled": logits, "logits_corner": logits,
        "label": logits.argmax(1),
    }  # fmt: skip


@torch.no_grad()
def edits(case: GoldenCase) -> Outputs:
    """Semantic, sequential, style and joint edits by the editor, with masks in the place of a parser."""
    shapes = {key.removeprefix(FLOW): shape for key, shape in case.shapes.items() if key.startswith(FLOW)}
    flow = ContinuousFlow(**flow_sizes(shapes), tolerance=TOLERANCE)  # type: ignore[arg-type]
    case.fill(flow, FLOW, flow.derivable)
    editor = S2FlowEditor(flow, _encoder(case, ENCODER), parse=lambda image: image)
    w, index = case.tensor("w"), case.tensor("index")
    conditions = editor.condition_of(index)
    face, first, second, other = conditions.split(1)
    z = editor.prepare(w[:1], face)
    semantic = editor.move(z, face, first)
    both = torch.cat([face, other])
    start = editor.prepare(w, both)
    walk = list(style_walk(start, case.tensor("y_mean").expand_as(start)))
    outputs: Outputs = {
        "in_index": index,
        "conditions": conditions,
        "z_source": z,
        "w_semantic": semantic,
        "w_sequential": editor.move(editor.prepare(semantic, first), first, second),
        "z_style": torch.stack(walk[:10]),
        "z_style_last": walk[-1],
        "share_of_y": style_shares(),
        "w_joint": editor.move(walk[9][:1], face, first),
    }
    for name in case.outputs:
        if match := re.fullmatch(r"w_style_(\d+)", name):
            outputs[name] = editor.move(walk[int(match[1])], both, both)
    return outputs


CASES: dict[str, Callable[[GoldenCase], Outputs]] = {
    r"s2flow_palette(_\w+)?": palette,
    r"s2flow_mask_edits(_\w+)?": mask_edits,
    r"s2flow_mask_encoder(_\w+)?": mask_encoder,
    r"s2flow_segmentor(_\w+)?": segmentor,
    r"s2flow_edits(_\w+)?": edits,
}
