"""Loading networks from weight files of any known format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models import NETWORKS
from models.weight_files.contents import MEAN, Found, find_networks, nothing_known
from models.weight_files.kinds import title_of, unsupported, with_article
from utils.config import ConfigError, Section, check_arguments
from utils.paths import displayed
from utils.weight_files.formats import Checkpoint, read_checkpoint
from utils.weight_files.refusal import RefusedFile, shown
from utils.weight_files.stored_tensor import read_tensors
from utils.weights import WeightsError, check_finite, key_differences, load_strict

_DERIVED = 64 * 2**20  # bytes of a network that a file may lack (FIR kernels, noise maps)


@dataclass
class NetworkState:
    """The weights of one network in a file.

    Attributes:
        kind: name of the network, as in configs.
        format: of the file, in words.
        sizes: constructor arguments, read off the tensors.
        tensors: key → tensor under this project's names.
        extra: tensors beside the weights (`latent_avg`).
        metadata: this project's metadata, or the options in a public file.
    """

    kind: str
    format: str
    sizes: dict[str, Any]
    tensors: dict[str, Tensor]
    extra: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class LoadedNetwork:
    """A network with the weights of a file, in evaluation mode; the other attributes as in `NetworkState`."""

    module: nn.Module
    kind: str
    format: str
    sizes: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)


def load_network(path: str | Path, expect: str | Sequence[str] | None = None, hint: str = "") -> LoadedNetwork:
    """The network in a weight file, built and loaded; its sizes are derived from the tensors.

    The file may be this project's safetensors or a public one, under any name: StyleGAN2 of rosinality, e4e, pSp,
    SDFlow and NVlabs, encoders of e4e and pSp, IR-SE and iresnet recognition networks, the semantic encoders and flows
    of SDFlow and StyleFlow, the networks of AdaTrans, Latent Transformer and the identity swap (whole pickled modules).
    Nothing in the file is executed.

    Args:
        expect: expected kind of network, named as in configs (`stylegan2_generator`), or several kinds; default:
            the file's main network.
        hint: what to do when the file is missing.
    Raises:
        WeightsError: missing, damaged or unsafe file, another network, or keys missing or surplus; names the file.
    """
    return network_in(read_checkpoint(path, hint), expect)


def network_in(
    checkpoint: Checkpoint, expect: str | Sequence[str] | None = None, settings: Section | None = None
) -> LoadedNetwork:
    """As `load_network`, for an open file.

    Args:
        settings: a config's section of the network; its sizes must agree with the file.
    Raises:
        WeightsError: as `load_network`.
        ConfigError: the settings do not fit the network in the file.
    """
    source = displayed(checkpoint.path)
    try:
        found = _chosen(checkpoint, expect)
        section = found.section() if settings is None else _agreed(found.section(), settings, source)
        _check_whole(found, section)
        tensors, extra = found.tensors(checkpoint.size)
    except RefusedFile as error:
        raise WeightsError(f"{source}: {error}") from None
    module = NETWORKS.build(section)
    load_strict(module, tensors, checkpoint.path)
    check_finite(tensors, checkpoint.path)
    if found.settings.get("start_from_latent_avg") is False:  # the encoder's codes are no offsets to it
        extra = {**extra, MEAN: torch.zeros(found.sizes["styles"], found.sizes["style_dim"])}
    metadata = checkpoint.metadata or found.settings
    return LoadedNetwork(module.eval(), found.kind.name, checkpoint.format, found.sizes, metadata, extra)


def kinds_in(checkpoint: Checkpoint) -> list[str]:
    """Names of the networks in an open file, the most commonly used one first.

    Raises:
        WeightsError: it holds none of a known kind.
    """
    try:
        networks, unknown = find_networks(checkpoint)
        if not networks:
            raise nothing_known(unknown)
    except RefusedFile as error:
        raise WeightsError(f"{displayed(checkpoint.path)}: {error}") from None
    return [found.kind.name for found in networks]


def fill_network(module: nn.Module, kind: str, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Load the weights of a file of any known format into an existing network.

    Args:
        kind: name of the network, as in configs, for files with several networks.
    Returns:
        tensors of the file that are not weights (`latent_avg`).
    Raises:
        WeightsError: damaged or unsafe file, another network, or keys missing or surplus; names the file.
    """
    try:
        if checkpoint.is_own:
            tensors = read_tensors(checkpoint.content, checkpoint.size)
            extra = {key: tensors.pop(key) for key in ("latent_avg",) if key in tensors}
        else:
            tensors, extra = _chosen(checkpoint, kind).tensors(checkpoint.size)
    except RefusedFile as error:
        raise WeightsError(f"{displayed(checkpoint.path)}: {error}") from None
    load_strict(module, tensors, checkpoint.path)
    check_finite(tensors, checkpoint.path)
    return extra


def read_network(path: str | Path, expect: str | Sequence[str] | None = None) -> NetworkState:
    """The weights in a file, without building the network; arguments as in `load_network`.

    Raises:
        WeightsError: missing, damaged or unsafe file, or another network; names the file.
    """
    checkpoint = read_checkpoint(path)
    try:
        found = _chosen(checkpoint, expect)
        _check_whole(found, found.section())
        sizes = found.sizes
        tensors, extra = found.tensors(checkpoint.size)
    except RefusedFile as error:
        raise WeightsError(f"{displayed(path)}: {error}") from None
    return NetworkState(found.kind.name, checkpoint.format, sizes, tensors, extra, found.settings)


def _chosen(checkpoint: Checkpoint, expect: str | Sequence[str] | None) -> Found:
    wanted = (expect,) if isinstance(expect, str) else tuple(expect or ())
    networks, unknown = find_networks(checkpoint, wanted[0] if wanted else "")
    for found in networks:
        if not wanted or found.kind.name in wanted:
            return found
    if networks:
        other = unsupported(unknown) if "stylegan2_generator" in wanted else None
        held = " and ".join(dict.fromkeys(with_article(found.kind.title) for found in networks))
        asked = " or ".join(with_article(title_of(name)) for name in wanted)
        raise RefusedFile(other or f"holds {held}, not {asked}")
    raise nothing_known(unknown)


def _agreed(section: Section, settings: Section, source: str) -> Section:
    """A config's section, completed from the file.

    Raises:
        ConfigError: the two differ, or the config has a key that the network does not take.
    """
    for key, value in settings.items():
        if key in section and _comparable(section[key]) != _comparable(value):
            raise ConfigError(f"{settings.where(key)}: is {value}, but {source} has {key} {section[key]}")
    agreed = Section({**section, **settings}, settings.path, settings.sources)
    check_arguments(agreed, NETWORKS.find(agreed), what=f"network {agreed['name']}")
    return agreed


def _comparable(value: Any) -> Any:
    """A value as YAML and Python both spell it."""
    if isinstance(value, Mapping):
        return {str(key): _comparable(item) for key, item in value.items()}
    return [_comparable(item) for item in value] if isinstance(value, list | tuple) else value


def _check_whole(found: Found, section: Section) -> None:
    """Check that the file has all weights of the network, before allocating memory for it.

    Raises:
        RefusedFile: keys are missing, surplus, of another shape or type.
    """
    blueprint, outline = found.blueprint(section), found.outline()
    differences = key_differences(blueprint, outline)
    if str(differences):
        raise RefusedFile(f"does not fit {type(blueprint).__name__}: {differences}")
    own = blueprint.state_dict()
    for key, tensor in own.items():
        if key in outline and outline[key].is_floating_point() != tensor.is_floating_point():
            raise RefusedFile(f"'{shown(key)}' is of type {outline[key].dtype}, expected {tensor.dtype}")
    if sum(own[key].nbytes for key in differences.derived) > _DERIVED:
        raise RefusedFile(f"looks like {with_article(found.kind.title)}, but of impossible sizes")
