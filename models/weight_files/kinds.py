"""The kinds of networks in weight files, each recognised by keys that no other kind has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from models.adatrans import adatrans_sizes
from models.classifiers import attribute_classifier_sizes
from models.dex import dex_sizes
from models.encoders.latent_discriminator import latent_discriminator_sizes
from models.encoders.psp import psp_sizes
from models.encoders.swap_encoder import swap_encoder_sizes
from models.flows.cnf import flow_sizes
from models.flows.realnvp import realnvp_sizes
from models.identity import iresnet_identity_sizes, irse_identity_sizes
from models.landmarks import mobilefacenet_sizes
from models.latent_mapper import latent_mapper_sizes
from models.latent_transformer import latent_classifier_sizes, latent_transformer_sizes
from models.parsing.face_parser import face_parser_sizes
from models.parsing.mask_encoder import mask_encoder_sizes
from models.parsing.segmentor import deeplab_sizes
from models.semantic_encoder import semantic_encoder_sizes
from models.stylegan2.discriminator import Discriminator
from models.stylegan2.generator import Generator
from models.stylegan2.nvlabs import public_keys, sizes_from_nvlabs
from utils.weight_files.foreign import DIFFUSION, STYLEGAN3

State = Mapping[str, Tensor]
Settings = Mapping[str, Any]
Shapes = Mapping[str, Sequence[int]]
_END_TIME = "chain.1.sqrt_end_time"
_FILTER = "synthesis.b8.conv0.resample_filter"
STYLEFLOW_CONDITIONS = 17  # nine lighting coefficients and eight attributes; SDFlow's published flows have 3 or 5
S2FLOW_CONDITIONS = 19  # what its mask encoder makes of a mask
_S2FLOW_TOLERANCE = 1e-7  # its flow is solved a hundred times more closely than the others


@dataclass(frozen=True)
class Kind:
    """One kind of network.

    Attributes:
        name: as in configs, see `models.NETWORKS`.
        title: for messages.
        signature: keys that such a file has.
        sizes: constructor arguments from the state dict, of which only the shapes are used, and the file's settings.
        summary: one line about these sizes.
        translate: key map from the public names to this project's, where they differ.
        read_first: keys of small tensors whose values `sizes` needs.
        only: regular expression of all its keys, where networks of other projects have the signature's keys as well.
    """

    name: str
    title: str
    signature: tuple[str, ...]
    sizes: Callable[[State, Settings], Mapping[str, Any]]
    summary: Callable[[Mapping[str, Any]], str]
    translate: Callable[[State], dict[str, Tensor]] | None = None
    read_first: tuple[str, ...] = ()
    only: str = ""

    def translated(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The state dict under this project's names."""
        return state if self.translate is None else self.translate(state)

    def fits(self, keys: Mapping[str, Any], prefix: str = "") -> bool:
        """Whether a state dict with these keys, which all begin with the prefix, is of this kind."""
        return all(f"{prefix}{key}" in keys for key in self.signature) and (
            not self.only or all(re.fullmatch(self.only, key[len(prefix) :]) for key in keys)
        )


def styles_of(size: int) -> int:
    """Style vectors of a generator for pictures of this side."""
    return 2 * size.bit_length() - 4


def _by_shape(sizes: Callable[[Shapes], Mapping[str, Any]]) -> Callable[[State, Settings], Mapping[str, Any]]:
    return lambda state, _: sizes({key: tuple(tensor.shape) for key, tensor in state.items()})


def _generator_summary(sizes: Mapping[str, Any]) -> str:
    size = sizes["size"]
    labels = f", conditional on {sizes['label_dim']} labels" if sizes.get("label_dim") else ""
    clamp = f", values clamped at {sizes['conv_clamp']:g}" if sizes.get("conv_clamp") else ""
    mapping = ", transformer as mapping network (W++)" if sizes.get("mapping_network") == "transformer" else ""
    seen = f", {sizes['condition_dim']} numbers beside each style" if sizes.get("condition_dim") else ""
    return f"{size} x {size} pixels, {styles_of(size)} styles of {sizes['style_dim']}{labels}{clamp}{mapping}{seen}"


def _discriminator_summary(sizes: Mapping[str, Any]) -> str:
    return f"{sizes['size']} x {sizes['size']} pixels"


def _encoder_summary(sizes: Mapping[str, Any]) -> str:
    side = sizes["input_size"]
    return f"{side} x {side} pixels to {sizes['styles']} styles of {sizes['style_dim']}"


def _identity_summary(sizes: Mapping[str, Any]) -> str:
    side, blocks = sizes["input_side"], "-".join(str(n) for n in sizes["layers"])
    return f"{side} x {side} pixels to {sizes['embedding_dim']} numbers, blocks {blocks}"


def _swap_encoder_summary(sizes: Mapping[str, Any]) -> str:
    side, vectors = sizes["input_side"], f"{sizes['identity_dim']} of identity and {sizes['attribute_dim']} of the rest"
    return f"{side} x {side} pixels to {vectors}, blocks {'-'.join(str(n) for n in sizes['layers'])}"


def _latent_mapper_summary(sizes: Mapping[str, Any]) -> str:
    return f"{sizes['identity_dim'] + sizes['attribute_dim']} numbers to one style of {sizes['style_dim']}"


def _mobilefacenet_summary(sizes: Mapping[str, Any]) -> str:
    return f"{sizes['input_side']} x {sizes['input_side']} pixels to {sizes['points']} points"


def _dex_summary(sizes: Mapping[str, Any]) -> str:
    return f"{sizes['classes']} classes, {sum(sizes['layers'])} convolutions of {list(sizes['widths'])} channels"


def _classifier_summary(sizes: Mapping[str, Any]) -> str:
    age = f" and {sizes['age_logits']} age steps" if sizes["age_logits"] else ""
    return f"{sizes['backbone']} of width {sizes['width']}, {sizes['attribute_heads']} attributes{age}"


def _semantic_encoder_summary(sizes: Mapping[str, Any]) -> str:
    head = f", hidden layers of {list(sizes['head'])}" if sizes["head"] else ""
    return f"{sizes['backbone']} of width {sizes['width']}, {sizes['attributes']} attributes{head}"


def _flow_sizes(state: State, _: Settings) -> Mapping[str, Any]:
    end = state.get(_END_TIME)
    time = {} if end is None or end.is_meta else {"end_time": float(end) ** 2}
    sizes = flow_sizes({key: tuple(tensor.shape) for key, tensor in state.items()})
    tolerance = {"tolerance": _S2FLOW_TOLERANCE} if sizes["semantics"] == S2FLOW_CONDITIONS else {}
    return {**sizes, **time, **tolerance}


def _flow_summary(sizes: Mapping[str, Any]) -> str:
    semantics = sizes["semantics"]
    of = {STYLEFLOW_CONDITIONS: "attributes (StyleFlow's)", S2FLOW_CONDITIONS: "numbers of a mask (S²-Flow's)"}
    condition = f"{semantics} {of.get(semantics, 'attributes')}"
    end = f", end time {sizes['end_time']:.4g}" if "end_time" in sizes else ""
    return f"{len(sizes['hidden']) + 1} layers, styles of {sizes['style_dim']}, {condition}{end}"


def _mask_encoder_summary(sizes: Mapping[str, Any]) -> str:
    side = sizes["side"]
    return f"masks of {side} x {side} pixels to {sizes['outputs']} numbers, {sizes['stages']} stages"


def _without_counters(state: State) -> dict[str, Tensor]:
    """S²-Flow's file may have the counters of batch norms that became group norms."""
    return {key: tensor for key, tensor in state.items() if "tracked" not in key}


def _deeplab_summary(sizes: Mapping[str, Any]) -> str:
    blocks = "-".join(str(n) for n in sizes["depths"])
    return f"{sizes['classes']} classes, residual network of width {sizes['width']}, blocks {blocks}"


def _face_parser_summary(sizes: Mapping[str, Any]) -> str:
    return f"levels of {list(sizes['widths'])} channels"


def _latent_discriminator_summary(sizes: Mapping[str, Any]) -> str:
    return f"{sizes['layers']} layers, styles of {sizes['style_dim']}"


def _latent_classifier_summary(sizes: Mapping[str, Any]) -> str:
    return f"{sizes['inputs']} numbers to {sizes['outputs']} attributes"


def _transformer_summary(sizes: Mapping[str, Any]) -> str:
    return f"{sizes['styles']} styles of {sizes['style_dim']}"


def _adatrans_summary(sizes: Mapping[str, Any]) -> str:
    return f"{_transformer_summary(sizes)}, {sizes['layers']} layers, {sizes['conditions']} attributes"


def _realnvp_summary(sizes: Mapping[str, Any]) -> str:
    return f"{sizes['couplings']} couplings, styles of {sizes['style_dim']}"


KINDS: tuple[Kind, ...] = (
    Kind(
        "stylegan2_generator",
        "StyleGAN2 generator",
        ("input.input", "conv1.conv.modulation.weight", "to_rgb1.bias"),
        _by_shape(Generator.sizes_from_shapes),
        _generator_summary,
    ),
    Kind(
        "stylegan2_generator",
        "StyleGAN2 generator",
        ("synthesis.b4.const", "synthesis.b4.conv1.weight", "mapping.fc0.weight"),
        sizes_from_nvlabs,
        _generator_summary,
        translate=public_keys,
        read_first=(_FILTER,),
    ),
    Kind(
        "stylegan2_discriminator",
        "StyleGAN2 discriminator",
        ("convs.0.0.weight", "final_conv.0.weight", "final_linear.0.weight"),
        _by_shape(Discriminator.sizes_from_shapes),
        _discriminator_summary,
    ),
    Kind(
        "e4e_encoder",
        "e4e encoder",
        ("input_layer.0.weight", "styles.0.linear.weight", "latlayer1.weight"),
        _by_shape(psp_sizes),
        _encoder_summary,
    ),
    Kind(
        "psp_encoder",
        "pSp encoder",
        ("input_layer.0.weight", "styles.0.linear.weight", "latlayer1.weight"),
        _by_shape(psp_sizes),
        _encoder_summary,
    ),
    Kind(
        "swap_encoder",
        "swap encoder",
        ("input_layer.0.weight", "body.0.res_layer.1.weight", "output_layer.7.weight", "output_layer2.7.weight"),
        _by_shape(swap_encoder_sizes),
        _swap_encoder_summary,
    ),
    Kind(
        "latent_mapper",
        "swap mapper",
        ("model.0.weight", "model.2.weight"),
        _by_shape(latent_mapper_sizes),
        _latent_mapper_summary,
        only=r"model\.\d+\.(weight|bias)",
    ),
    Kind(
        "mobilefacenet",
        "MobileFaceNet",
        ("conv_23.conv.conv.weight", "conv_6_sep.conv.weight", "output_layer.conv_6_dw.conv.weight"),
        _by_shape(mobilefacenet_sizes),
        _mobilefacenet_summary,
    ),
    Kind(
        "dex",
        "DEX (age or gender)",
        ("conv.0.conv1.weight", "conv.4.conv1.weight", "fc1.0.weight", "fc2.0.weight", "cls.weight"),
        _by_shape(dex_sizes),
        _dex_summary,
    ),
    Kind(
        "ir_se_identity",
        "face recognition network (IR-SE)",
        ("input_layer.0.weight", "body.0.res_layer.1.weight", "output_layer.3.weight"),
        _by_shape(irse_identity_sizes),
        _identity_summary,
        only=r"(?!output_layer2\.).+",  # which the identity swap's encoder has
    ),
    Kind(
        "iresnet_identity",
        "face recognition network (iresnet)",
        ("conv1.weight", "prelu.weight", "layer1.0.bn3.weight", "fc.weight", "features.weight"),
        _by_shape(iresnet_identity_sizes),
        _identity_summary,
    ),
    Kind(
        "attribute_classifier",
        "attribute classifier",
        ("extractor.conv1.weight", "attr_heads.0.0.weight"),
        _by_shape(attribute_classifier_sizes),
        _classifier_summary,
    ),
    Kind(
        "semantic_encoder",
        "semantic encoder",
        ("backbone.conv1.weight", "backbone.layer1.0.conv1.weight"),
        _by_shape(semantic_encoder_sizes),
        _semantic_encoder_summary,
        only=r"backbone\..+",
    ),
    Kind(
        "continuous_flow",
        "continuous flow",
        ("chain.0.running_mean", "chain.1.odefunc.diffeq.layers.0._hyper_gate.weight"),
        _flow_sizes,
        _flow_summary,
        read_first=(_END_TIME,),
    ),
    Kind(
        "mask_encoder",
        "mask encoder",
        ("conv1.1.conv.weight", "conv1.1.bn.running_mean", "fc.weight"),
        _by_shape(mask_encoder_sizes),
        _mask_encoder_summary,
    ),
    Kind(
        "deeplab_v3",
        "DeepLabv3",
        ("aspp.aspp1_bn.weight", "aspp.conv3.bias", "layer1.0.conv1.weight"),
        _by_shape(deeplab_sizes),
        _deeplab_summary,
        translate=_without_counters,
    ),
    Kind(
        "latent_discriminator",
        "latent discriminator",
        ("mlp.0.weight",),
        _by_shape(latent_discriminator_sizes),
        _latent_discriminator_summary,
        only=r"mlp\.\d+\.(weight|bias)",
    ),
    Kind(
        "face_parser",
        "face parser",
        ("down.0.0.0.weight", "down.0.1.0.weight", "head.weight"),
        _by_shape(face_parser_sizes),
        _face_parser_summary,
    ),
    Kind(
        "latent_transformer",
        "Latent Transformer",
        ("dense.0.weight", "dense.1.weight"),
        _by_shape(latent_transformer_sizes),
        _transformer_summary,
        only=r"dense\.\d+\.(weight|bias)",
    ),
    Kind(
        "latent_classifier",
        "latent classifier",
        ("fcs.0.weight", "fcs.1.weight"),
        _by_shape(latent_classifier_sizes),
        _latent_classifier_summary,
        only=r"fcs\.\d+\.(weight|bias)",
    ),
    Kind(
        "adatrans",
        "AdaTrans",
        ("func.rnn.weight_ih_l0", "func.input_layer.0.weight", "func.output_layer.3.weight"),
        _by_shape(adatrans_sizes),
        _adatrans_summary,
    ),
    Kind(
        "realnvp",
        "AdaTrans' RealNVP",
        ("flow.net.layers.0.log_gamma", "flow.net.layers.0.running_mean"),
        _by_shape(realnvp_sizes),
        _realnvp_summary,
    ),
)


_FIRST_KEYS = tuple({kind.signature[0] for kind in KINDS})
# Networks that people bring and that are not read: the end of a key that each has, and what is said of it.
_UNSUPPORTED = (
    ("synthesis.input.freqs", STYLEGAN3),
    ("down_blocks.0.resnets.0.conv1.weight", DIFFUSION),
    ("diffusion_model.input_blocks.0.0.weight", DIFFUSION),
)


def kind_of(keys: Mapping[str, Any], preferred: str = "", prefix: str = "") -> Kind | None:
    """The kind of network with these keys; of several with the same keys (pSp and e4e) the one that is named.

    Args:
        prefix: what all keys begin with before the network's own names.
    """
    fitting = [kind for kind in KINDS if kind.fits(keys, prefix)]
    return next((kind for kind in fitting if kind.name == preferred), fitting[0] if fitting else None)


def prefix_of_network(keys: Mapping[str, Any], shared: str) -> str | None:
    """The words that stand before the keys of a known network; None if these are no such keys.

    Args:
        shared: what all keys begin with; the prefix is a part of it, since names may begin alike behind it, too.
    """
    ends = ((key, first) for key in keys if key.endswith(_FIRST_KEYS) for first in _FIRST_KEYS if key.endswith(first))
    prefixes = {key.removesuffix(first) for key, first in ends}
    for prefix in sorted(prefixes, key=len):
        whole_words = not prefix or prefix.endswith(".")
        if whole_words and shared.startswith(prefix) and kind_of(keys, prefix=prefix) is not None:
            return prefix
    return None


def unsupported(keys: Iterable[str]) -> str | None:
    """What a file with these keys holds that is not read, as the end of a sentence; None where that is not known."""
    return next((reason for key in keys for end, reason in _UNSUPPORTED if f".{key}".endswith(f".{end}")), None)


def with_article(title: str) -> str:
    """`a` or `an` before a title."""
    return f"{'an' if title[0].lower() in 'aei' else 'a'} {title}"


def title_of(name: str) -> str:
    """Title of the networks of this name, for messages."""
    return next((kind.title for kind in KINDS if kind.name == name), name)
