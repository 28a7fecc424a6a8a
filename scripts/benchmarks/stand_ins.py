"""Networks of the real sizes with drawn weights, as files that the commands read.

The weights are those of the golden cases where an untrained network would not do: an encoder without statistics
overflows, and a flow that does nothing is solved in a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import NETWORKS
from models.domain import Domain
from scripts.checks.golden.case import fill_one
from training.methods.sdflow import SDFlowMethod
from utils.config import Section, as_section, load_config
from utils.paths import ROOT
from utils.weights import freeze, save_weights

Gains = Iterable[tuple[str, float]]
_STATISTICS: Gains = (("running_var$", 0.01), ("running_mean$", 0.1))
_FLOW: Gains = ((r"flow.*_layer\.weight$", 3.0), (r"flow\.chain\.[02]\.weight$", 0.2))
_SEMANTIC_ENCODER: Gains = ((r"(conv\d|downsample\.0)\.weight$", 1.3), (r"fc.*weight$", 0.3))
_GAINS: Mapping[str, Gains] = {
    "encoder": (
        *_STATISTICS,
        (r"(input_layer\.1|shortcut_layer\.1|res_layer\.[04])\.weight$", 0.1),
        (r"(input_layer|res_layer)\.2\.weight$", 0.35),
        (r"fc[12]\.weight$", 3.0),
        (r"^styles\.\d+\.convs\.\d+\.weight$", 1.4),
        (r"^styles\.\d+\.linear\.weight$", 512**0.5),
        (r"^body\.\d+\.res_layer\.3\.weight$", 0.7),
    ),
    "identity": (
        *_STATISTICS,
        (r"(bn[123]|downsample\.1|features)\.weight$", 0.1),
        (r"prelu\.weight$", 0.35),
        (r"conv2\.weight$", 0.7),
    ),
    "editor": (*_FLOW, *_SEMANTIC_ENCODER),
}
_PARTS = ("generator", "encoder", "identity")
_TO_RGB = 0.2  # of a drawn ToRGB's weight, so that few pixels leave [−1, 1] and are cut off


def _fill(module: nn.Module, gains: Gains) -> nn.Module:
    with torch.no_grad():
        for key, value in module.state_dict(keep_vars=True).items():
            value.copy_(torch.from_numpy(fill_one(key, value.shape, gains=gains)))
    return module


@dataclass(frozen=True)
class StandIns:
    """Networks and their sizes, for a benchmark.

    Attributes:
        domain: section without weight files.
        method: section of the SDFlow method.
        sides: resolution of the generator, and a lower one.
        training_batch: faces of a training step; batch norm of few faces and few pixels blows rounding up.
    """

    domain: Mapping[str, Any]
    method: Mapping[str, Any]
    sides: tuple[int, int]
    training_batch: int

    @classmethod
    def ffhq(cls) -> StandIns:
        """Those of FFHQ, as the configs say."""
        domain = load_config(ROOT / "configs/domains/ffhq.yaml").plain()
        return cls(domain, load_config(ROOT / "configs/sdflow/ffhq.yaml").plain()["method"], (1024, 256), 2)

    @classmethod
    def small(cls) -> StandIns:
        """The same kinds of networks, a few kilobytes each, to try a benchmark out."""
        domain = {
            "name": "small",
            "attributes": ["Eyeglasses", "Male", "Young"],
            "image_side": 64,
            "generator": {
                **{"name": "stylegan2_generator", "size": 128, "style_dim": 32, "mapping_layers": 2},
                "channels": {4: 32, 8: 32, 16: 32, 32: 16, 64: 16, 128: 8},
            },
            "encoder": {
                **{"name": "e4e_encoder", "input_size": 64, "styles": 12, "style_dim": 32},
                **{"layers": [1, 1, 1, 1], "widths": [16, 16, 32, 48, 64]},
            },
            "identity": {
                **{"name": "iresnet_identity", "layers": [1, 1, 1, 1], "width": 4, "embedding_dim": 16},
                **{"input_side": 64, "crop": None},
            },
        }
        method = {
            "name": "sdflow",
            "flow": {"name": "continuous_flow", "hidden": [32, 32]},
            "semantic_encoder": {"name": "semantic_encoder", "backbone": "r18", "head": [8]},
        }
        return cls(domain, method, (128, 32), 8)

    @property
    def styles(self) -> int:
        """L: rows of a latent code."""
        return self.sides[0].bit_length() * 2 - 4

    @property
    def style_dim(self) -> int:
        """D: width of a row."""
        return self.domain["generator"].get("style_dim", 512)

    def generator(self, side: int) -> Any:
        """A frozen generator of this resolution, the widths being those of the large one."""
        section = dict(self.domain["generator"], size=side)
        section.pop("weights", None)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = NETWORKS.build(Section(section, "generator"))
        with torch.no_grad():
            for name, value in network.named_parameters():
                if name.endswith("noise.weight"):
                    value.fill_(0.1)
                elif name.startswith("to_rgb") and name.endswith("conv.weight"):
                    value.mul_(_TO_RGB)
        return freeze(network)

    def flow(self) -> Any:
        """A flow with the golden weights."""
        sizes = {"style_dim": self.style_dim, "semantics": len(self.domain["attributes"])}
        holder = nn.ModuleDict({"flow": NETWORKS.build(as_section(dict(self.method["flow"]), "flow"), **sizes)})
        return _fill(holder, _FLOW)["flow"]  # type: ignore[index]

    def write(self, folder: Path) -> None:
        """Files of the domain's networks and of an editor, the editor's last."""
        folder.mkdir(parents=True, exist_ok=True)
        domain = Domain(self.section(folder))
        for part in _PARTS:
            if part == "generator":
                network = self.generator(self.sides[0])
            else:
                network = _fill(domain.untrained(part), _GAINS[part])
            state = network.state_dict()
            if part == "encoder":
                state["latent_avg"] = torch.zeros(self.styles, self.style_dim)
            save_weights(domain.weights_path(part), state, {"part": part})
        method = SDFlowMethod(domain, **{key: value for key, value in self.method.items() if key != "name"})
        _fill(method, _GAINS["editor"])
        state, metadata = method.exports()["editor"]
        save_weights(folder / "editor.safetensors", state, {**metadata, "config": {}, "step": 0})

    def section(self, folder: Path) -> Section:
        """The domain's section with the files of this folder."""
        domain = dict(self.domain, attributes=list(self.domain["attributes"]))
        for part in _PARTS:
            domain[part] = dict(domain[part], weights=str(folder / f"{part}.safetensors"))
        return Section(domain, "domain", {"domain": "benchmark"})
