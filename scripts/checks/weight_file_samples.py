"""Stand-ins for public weight files: their formats, nesting and keys, with random weights at small widths."""

from __future__ import annotations

import argparse
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models import NETWORKS
from utils.config import Section

SIZES: dict[str, dict[str, Any]] = {
    "stylegan2_generator": {
        "size": 16, "style_dim": 8, "mapping_layers": 2, "channels": {4: 8, 8: 6, 16: 4},
    },
    "stylegan2_discriminator": {"size": 16, "channels": {4: 8, 8: 6, 16: 4}},
    "e4e_encoder": {
        "input_size": 32, "styles": 6, "style_dim": 8, "layers": [1, 1, 1, 1], "widths": [4, 6, 8, 10, 12],
    },
    "psp_encoder": {
        "input_size": 32, "styles": 6, "style_dim": 8, "layers": [1, 1, 1, 1], "widths": [4, 6, 8, 10, 12],
    },
    "ir_se_identity": {
        "layers": [1, 2, 1, 1], "widths": [4, 6, 8, 10, 12], "embedding_dim": 16, "input_side": 32,
    },
    "iresnet_identity": {"layers": [1, 2, 1, 1], "width": 4, "embedding_dim": 16, "input_side": 32},
    "attribute_classifier": {"backbone": "r18", "width": 2, "attribute_heads": 3, "age_logits": 2},
    "semantic_encoder": {"backbone": "r18", "width": 2, "attributes": 5, "head": []},
    "continuous_flow": {"style_dim": 8, "semantics": 5, "hidden": [8, 8], "trainable_end_time": True},
    "face_parser": {"widths": [4, 6]},
    "latent_transformer": {"styles": 6, "style_dim": 8},
    "latent_classifier": {"inputs": 48, "hidden": [16, 8], "outputs": 40},
    "adatrans": {"styles": 6, "style_dim": 8, "layers": 2, "width": 12},
    "realnvp": {"style_dim": 8, "couplings": 2, "width": 4},
    "mask_encoder": {"outputs": 19, "side": 32, "stages": 2, "width": 3},
    "swap_encoder": {
        "layers": [1, 2, 1, 1], "widths": [4, 6, 8, 10, 12], "identity_dim": 8, "attribute_dim": 32,
        "identity_width": 4, "attribute_widths": [6, 10], "input_side": 64,
    },
    "latent_mapper": {"identity_dim": 8, "attribute_dim": 32, "hidden": [16, 12], "style_dim": 8},
    "mobilefacenet": {
        "points": 20, "widths": [4, 6, 8], "inner": [5, 6, 7], "units": [1, 2, 1], "residual": [3, 4, 5],
        "input_side": 32,
    },
    "deeplab_v3": {"width": 2, "depths": [1, 2, 1, 1], "groups": 2, "head_width": 4},
}  # fmt: skip
OPTIONS = {"stylegan_size": 16, "start_from_latent_avg": True, "learning_rate": 1e-4, "exp_dir": "/home/a/b", "w": None}


def network(kind: str, seed: int = 0, **sizes: Any) -> nn.Module:
    """A small network of a kind with random weights, its statistics not those of the beginning."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = NETWORKS.build(Section({"name": kind, **SIZES[kind], **sizes}, kind))
        for key, value in module.state_dict().items():
            if key.endswith(("running_mean", "running_var", "sqrt_end_time")):
                value.copy_(0.5 + torch.rand_like(value))
            elif key.endswith("num_batches_tracked"):
                value.fill_(7)
    return module.eval()


def state_of(kind: str, seed: int = 0, **sizes: Any) -> dict[str, Tensor]:
    """Its state dict."""
    return OrderedDict(network(kind, seed, **sizes).state_dict())


def without(state: Mapping[str, Tensor], *endings: str) -> dict[str, Tensor]:
    """The state without keys that contain one of the words."""
    return OrderedDict((key, value) for key, value in state.items() if not any(word in key for word in endings))


def prefixed(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The state with a prefix before each key."""
    return OrderedDict((f"{prefix}{key}", value) for key, value in state.items())


def flow_file(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state as the authors' flow has it, with its counters."""
    return OrderedDict({
        **state, "chain.0.step": torch.zeros(1), "chain.1.odefunc._num_evals": torch.tensor(0.0),
        "chain.2.step": torch.zeros(1),
    })  # fmt: skip


def realnvp_file(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state as AdaTrans' density has it, with the statistics of the last training batch."""
    means = [key for key in state if key.endswith("log_gamma")]
    return OrderedDict({
        **state, **{key.replace("log_gamma", f"batch_{name}"): torch.ones_like(state[key])
                    for key in means for name in ("mean", "var")},
    })  # fmt: skip


def s2flow_file(prefix: str = "") -> dict[str, Any]:
    """What S²-Flow's training saves: flow, mask encoder, epoch and the optimiser's state.

    Args:
        prefix: `module.` as a distributed training has it.
    """
    encoder = network("mask_encoder")
    optimiser = torch.optim.Adam(encoder.parameters())
    sum(p.square().sum() for p in encoder.parameters()).backward()  # type: ignore[union-attr]
    optimiser.step()
    return {
        "epoch": 100,
        "optimizer": optimiser.state_dict(),
        "cnd_ntwk": prefixed(state_of("mask_encoder"), prefix),
        "prior_ntwk": prefixed(flow_file(state_of("continuous_flow", semantics=19)), prefix),
    }


def deeplab_file() -> dict[str, Any]:
    """S²-Flow's face parser as DataParallel saves it, with the counters of norms that no longer are batch norms."""
    state = state_of("deeplab_v3")
    norms = [key.removesuffix(".bias") for key in state if key.endswith(".bias") and key != "aspp.conv3.bias"]
    counters = {f"{norm}.num_batches_tracked": torch.tensor(7) for norm in norms}
    return {"epoch": 3, "arch": "deeplab", "state_dict": prefixed({**state, **counters}, "module.")}


def encoder_file(kind: str = "e4e_encoder", **options: Any) -> dict[str, Any]:
    """A checkpoint of e4e or pSp: encoder and decoder in one state dict, options and mean code beside it."""
    encoder_type = {"e4e_encoder": "Encoder4Editing", "psp_encoder": "GradualStyleEncoder"}[kind]
    return {
        "state_dict": OrderedDict(
            **prefixed(state_of(kind), "encoder."), **prefixed(state_of("stylegan2_generator"), "decoder.")
        ),
        "opts": {**OPTIONS, "encoder_type": encoder_type, **options},
        "latent_avg": torch.arange(48.0).reshape(6, 8) / 48,
        "global_step": 7,
    }


def rosinality_training_file() -> dict[str, Any]:
    """What rosinality's train.py saves: both networks, their average, optimisers and arguments."""
    generator = network("stylegan2_generator", 1)
    optimiser = torch.optim.Adam(generator.parameters())
    sum(p.square().sum() for p in generator.parameters()).backward()  # type: ignore[union-attr]
    optimiser.step()
    return {
        "g": generator.state_dict(),
        "d": state_of("stylegan2_discriminator"),
        "g_ema": state_of("stylegan2_generator"),
        "g_optim": optimiser.state_dict(),
        "args": argparse.Namespace(size=16, path="data", lr=0.002, augment=False),
        "ada_aug_p": 0.0,
    }


# A minimal likeness of `torch_utils.persistence` and `dnnlib`: only what pickle looks at when it writes. The class
# names and modules in the file are NVlabs', and so is the record.


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("the reader must not call this")


class EasyDict(dict[str, Any]):
    """NVlabs' dict with attributes."""


class Persistent:
    """Pickles as a class behind `persistent_class` does."""

    def __init__(self, class_name: str, source: str, **attributes: Any) -> None:
        self.class_name, self.source, self.attributes = class_name, source, attributes

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {
            "type": "class", "version": 6, "module_src": self.source, "class_name": self.class_name,
            "state": self.attributes,
        }  # fmt: skip
        return _reconstruct_persistent_obj, (meta,), None, None, None


@contextmanager
def nvlabs_modules() -> Iterator[None]:
    """Let pickle find the writers under NVlabs' names."""
    persistence, dnnlib_util = types.ModuleType("torch_utils.persistence"), types.ModuleType("dnnlib.util")
    persistence._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    dnnlib_util.EasyDict = EasyDict  # type: ignore[attr-defined]
    modules = {
        "torch_utils": types.ModuleType("torch_utils"), "torch_utils.persistence": persistence,
        "dnnlib": types.ModuleType("dnnlib"), "dnnlib.util": dnnlib_util,
    }  # fmt: skip
    before = {name: sys.modules.get(name) for name in modules}
    names: tuple[tuple[Any, str], ...] = (
        (_reconstruct_persistent_obj, "torch_utils.persistence"), (EasyDict, "dnnlib.util"),
    )  # fmt: skip
    own = [item.__module__ for item, _ in names]
    sys.modules.update(modules)
    for item, name in names:
        item.__module__ = name
    try:
        yield
    finally:
        for (item, _), name in zip(names, own, strict=True):
            item.__module__ = name
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.__setitem__(name, module)


def persistent_tree(state: Mapping[str, Tensor], source: str, class_name: str, **attributes: Any) -> Persistent:
    """A tree of persistent modules whose `state_dict` is the given one."""
    parameters: dict[str, Any] = OrderedDict()
    buffers: dict[str, Any] = OrderedDict()
    children: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        head, _, rest = key.partition(".")
        if rest:
            children.setdefault(head, {})[rest] = value
        elif head in ("resample_filter", "noise_const", "w_avg"):
            buffers[head] = value
        else:
            parameters[head] = nn.Parameter(value)
    modules = OrderedDict((name, persistent_tree(part, source, "Layer")) for name, part in children.items())
    return Persistent(
        class_name, source, training=False, _parameters=parameters, _buffers=buffers, _modules=modules,
        _non_persistent_buffers_set=set(), _backward_hooks=OrderedDict(), _init_args=(), **attributes,
    )  # fmt: skip


def write_nvlabs(path: Path, networks: Mapping[str, Mapping[str, Tensor]], source: str, **init_kwargs: Any) -> None:
    """A pickle as NVlabs' training loop writes it."""
    with nvlabs_modules(), path.open("wb") as stream:
        content: dict[str, Any] = {"training_set_kwargs": EasyDict(path="data.zip", max_size=70000, xflip=True)}
        for name, state in networks.items():
            kwargs = EasyDict(init_kwargs)
            content[name] = persistent_tree(state, source, "Generator", _init_kwargs=kwargs, img_resolution=16)
        pickle.dump({**content, "augment_pipe": None}, stream)


def write_tuned(path: Path, state: Mapping[str, Tensor], source: str, place: str = "", legacy: bool = False) -> Path:
    """A generator as PTI keeps it: NVlabs' record of the module in a file of torch.save, alone or in a dict."""
    with nvlabs_modules():
        generator = persistent_tree(state, source, "Generator", _init_kwargs=EasyDict(z_dim=8), img_resolution=16)
        return save(path, {place: generator} if place else generator, legacy)


SWAP_CLASSES = {  # of the identity swap's public code
    "SwapEncoder": "Models.Encoders.Swap_Encoder.Encoder_Swap",
    "IRSEUnit": "Models.UtilModels.encoders.helpers.bottleneck_IR_SE",
    "SqueezeExcitation": "Models.UtilModels.encoders.helpers.SEModule",
    "LatentMapper": "Models.LatentMapper.LatentMapper",
}


def save_whole(path: Path, module: nn.Module, legacy: bool = False, names: Mapping[str, str] = SWAP_CLASSES) -> Path:
    """`torch.save` of a whole module, whose classes are those of another project and gone afterwards.

    Args:
        names: name of a class of ours → full name of that which its modules get.
    """
    before = dict(sys.modules)
    try:
        for part in module.modules():
            if (full := names.get(type(part).__name__)) is not None:
                home, _, name = full.rpartition(".")
                words = home.split(".")
                for package in (".".join(words[:count]) for count in range(1, len(words) + 1)):
                    place = sys.modules.setdefault(package, types.ModuleType(package))
                    place.__path__ = []
                if not hasattr(place, name):
                    setattr(place, name, type(name, (nn.Module,), {"__module__": home}))
                part.__class__ = getattr(place, name)
        return save(path, module, legacy)
    finally:
        for added in sys.modules.keys() - before.keys():
            del sys.modules[added]


def save(path: Path, content: Any, legacy: bool = False) -> Path:
    """`torch.save` in either format."""
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path
