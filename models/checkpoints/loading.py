"""Networks out of weight files of any known format, for every place that takes weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.checkpoints.contents import Found, find_networks
from models.checkpoints.kinds import KINDS, title_of
from utils.checkpoints.formats import Checkpoint, read_checkpoint
from utils.checkpoints.refusal import RefusedFile, shown
from utils.paths import displayed
from utils.weights import WeightsError, key_differences, load_strict

_DERIVED = 64 * 2**20  # bytes of a network that a file may lack (FIR kernels, noise maps)


@dataclass
class NetworkState:
    """The weights of one network in a file.

    Attributes:
        kind: name of the network, as configs have it.
        title: the same in words.
        format: of the file, in words.
        sizes: constructor arguments, read off the tensors.
        tensors: key → tensor under this project's names.
        extra: tensors beside the weights (`latent_avg`).
        metadata: what else the file says: this project's metadata, a public file's options.
    """

    kind: str
    title: str
    format: str
    sizes: dict[str, Any]
    tensors: dict[str, Tensor]
    extra: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class LoadedNetwork:
    """A network with the weights of a file, in evaluation mode; attributes as in `NetworkState`."""

    module: nn.Module
    kind: str
    format: str
    metadata: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)


def load_network(path: str | Path, expect: str | Sequence[str] | None = None, hint: str = "") -> LoadedNetwork:
    """Build the network that a weight file holds and fill it; sizes are read off the tensors.

    The file may be this project's safetensors or a public one, whatever its name: StyleGAN2 of rosinality, e4e, pSp,
    SDFlow and NVlabs, encoders of e4e and pSp, IR-SE and iresnet recognition networks, AdaTrans' classifiers, the
    semantic encoders and flows of SDFlow and StyleFlow. Nothing in it is executed.

    Args:
        expect: name of the wanted kind of network, as configs have it (`stylegan2_generator`), or several; default:
            the file's main network.
        hint: what to do when the file is missing.
    Raises:
        WeightsError: missing, damaged or unsafe file, another network, or keys missing or surplus; names the file.
    """
    checkpoint = read_checkpoint(path, hint)
    try:
        found = _chosen(checkpoint, expect)
        module = _whole(found, checkpoint.path)
        tensors, extra = found.tensors(checkpoint.size)
    except RefusedFile as error:
        raise WeightsError(f"{displayed(path)}: {error}") from None
    load_strict(module, tensors, checkpoint.path)
    return LoadedNetwork(module.eval(), found.kind.name, checkpoint.format, _metadata(found, checkpoint), extra)


def read_network(path: str | Path, expect: str | Sequence[str] | None = None, hint: str = "") -> NetworkState:
    """The weights of a file without their network, for callers that build it themselves; arguments as above.

    Of networks that this project has not (AdaTrans', Latent Transformer's) the tensors come as they are.

    Raises:
        WeightsError: missing, damaged or unsafe file, or another network; names the file.
    """
    checkpoint = read_checkpoint(path, hint)
    try:
        found = _chosen(checkpoint, expect)
        sizes = found.sizes()
        tensors, extra = found.tensors(checkpoint.size)
    except RefusedFile as error:
        raise WeightsError(f"{displayed(path)}: {error}") from None
    metadata = _metadata(found, checkpoint)
    return NetworkState(found.kind.name, found.kind.title, checkpoint.format, sizes, tensors, extra, metadata)


def _chosen(checkpoint: Checkpoint, expect: str | Sequence[str] | None) -> Found:
    wanted = (expect,) if isinstance(expect, str) else tuple(expect or ())
    networks, unknown = find_networks(checkpoint, wanted[0] if wanted else "")
    for found in networks:
        if not wanted or found.kind.name in wanted:
            return found
    if networks:
        held = " and ".join(dict.fromkeys(f"a {found.kind.title}" for found in networks))
        raise RefusedFile(f"holds {held}, not a {' or '.join(title_of(name) for name in wanted)}")
    if unknown:
        known = ", ".join(dict.fromkeys(kind.title for kind in KINDS))
        first = shown(unknown[0])
        raise RefusedFile(f"holds no network that is known here (its first key is '{first}'); known: {known}")
    raise RefusedFile("holds no tensors")


def _whole(found: Found, path: Path) -> nn.Module:
    """The network with memory for its weights, once it is clear that the file has them all."""
    blueprint, outline = found.blueprint(), found.outline()
    load_strict(blueprint, outline, path)
    own = blueprint.state_dict()
    for key, tensor in own.items():
        if key in outline and outline[key].is_floating_point() != tensor.is_floating_point():
            raise RefusedFile(f"'{shown(key)}' is of type {outline[key].dtype}, expected {tensor.dtype}")
    if sum(own[key].nbytes for key in key_differences(blueprint, outline).derived) > _DERIVED:
        raise RefusedFile(f"looks like a {found.kind.title}, but of impossible sizes")
    return found.build(found.sizes())


def _metadata(found: Found, checkpoint: Checkpoint) -> dict[str, Any]:
    return checkpoint.metadata or found.settings
