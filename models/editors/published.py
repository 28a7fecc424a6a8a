"""Editors as their authors publish them: networks alone, for a domain that their files do not name."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from models.domain import Domain
from models.editors.base import Editor
from models.editors.id_swap import IDSwapEditor
from models.editors.relocation import config_path, relocated
from models.editors.s2flow import S2FlowEditor
from models.editors.sdflow import SDFlowEditor, solving_for_edits
from models.editors.stored import editor_metadata
from models.encoders.swap_encoder import SwapEncoder
from models.flows.cnf import ContinuousFlow
from models.latent_mapper import LatentMapper
from models.parsing.mask_encoder import MaskEncoder
from models.semantic_encoder import SemanticEncoder
from models.weight_files import LoadedNetwork, load_network, network_in
from utils.config import ConfigError, load_config
from utils.paths import displayed
from utils.weight_files.formats import Checkpoint, read_checkpoint
from utils.weights import WeightsError, freeze

_ID_SWAP_DOMAIN = "configs/domains/ffhq_256.yaml"
_ENCODER_NAME, _MAPPER_NAME = "swap_encoder", "mlp"  # how the identity swap's files are called
PUBLISHED_DOMAINS = {5: "configs/domains/ffhq.yaml", 3: "configs/domains/ffhq_3.yaml"}  # by number of attributes
_S2FLOW_DOMAIN = "configs/domains/ffhq_s2flow.yaml"


def load_pair(
    flow_file: Path,
    encoder_file: Path,
    domain_config: str | Path | None,
    device: torch.device | str,
    without: Collection[str],
    weights: str | Path | None,
) -> tuple[Editor, Domain, dict[str, Any]]:
    """An SDFlow editor of two files, as its authors publish it; sizes are read off the tensors."""
    checkpoint = read_checkpoint(flow_file)
    if "method" in checkpoint.metadata:
        raise WeightsError(f"{displayed(flow_file)}: this editor brings its own semantic encoder; leave out the other")
    flow = network_in(checkpoint, "continuous_flow")
    encoder = load_network(encoder_file, "semantic_encoder")
    count = encoder.sizes["attributes"]
    if flow.sizes["semantics"] != count:
        raise WeightsError(
            f"{displayed(flow_file)}: this flow takes {flow.sizes['semantics']} attributes, "
            f"{displayed(encoder_file)} estimates {count}"
        )
    if domain_config is None and count not in PUBLISHED_DOMAINS:
        raise WeightsError(
            f"{displayed(encoder_file)}: estimates {count} attributes, for which no domain is known; "
            f"name them in a copy of configs/domains/ffhq.yaml and give that as --domain"
        )
    domain = _domain(PUBLISHED_DOMAINS[count] if domain_config is None else domain_config, flow_file, device, weights)
    if len(domain.attributes) != count:
        raise ConfigError(
            f"{domain.config.where('attributes')}: names {len(domain.attributes)} attributes, "
            f"{displayed(encoder_file)} estimates {count}"
        )
    _settle(domain, flow_file, flow, encoder)
    assert isinstance(flow.module, ContinuousFlow) and isinstance(encoder.module, SemanticEncoder)
    digest = hashlib.sha256(flow_file.read_bytes() + encoder_file.read_bytes())
    editor = SDFlowEditor(solving_for_edits(flow.module), encoder.module, domain.attributes)
    networks = {"flow": flow.sizes, "semantic_encoder": encoder.sizes}
    parts = [part for part in ("generator", "encoder") if part not in without]
    metadata = {
        **editor_metadata(editor.name, editor.attributes, domain, networks, parts, {}),
        "file": f"{displayed(flow_file)} with {displayed(encoder_file)}",
        "hash": digest.hexdigest()[:16],
    }
    return editor, domain, metadata


def load_s2flow(
    checkpoint: Checkpoint,
    domain_config: str | Path | None,
    device: torch.device | str,
    without: Collection[str],
    weights: str | Path | None,
) -> tuple[Editor, Domain, dict[str, Any]]:
    """An S²-Flow editor of one file with flow and mask encoder; arguments and results as of `load_editor`.

    Raises:
        WeightsError: one of the two is missing, or they do not fit each other or the domain.
        ConfigError: the domain cannot be built.
    """
    file = checkpoint.path
    flow, encoder = (network_in(checkpoint, kind) for kind in ("continuous_flow", "mask_encoder"))
    if flow.sizes["semantics"] != encoder.sizes["outputs"]:
        raise WeightsError(
            f"{displayed(file)}: its flow takes {flow.sizes['semantics']} numbers, its mask encoder gives "
            f"{encoder.sizes['outputs']}"
        )
    domain = _domain(_S2FLOW_DOMAIN if domain_config is None else domain_config, file, device, weights)
    _settle(domain, file, flow, encoder)
    assert isinstance(flow.module, ContinuousFlow) and isinstance(encoder.module, MaskEncoder)
    editor = S2FlowEditor(flow.module, encoder.module, domain.parse)
    networks = {"flow": flow.sizes, "mask_encoder": encoder.sizes}
    parts = [part for part in ("generator", "encoder", "parser") if part not in without]
    metadata = {
        **editor_metadata(editor.name, (), domain, networks, parts, {}),
        "file": displayed(file),
        "hash": hashlib.sha256(file.read_bytes()).hexdigest()[:16],
    }
    return editor, domain, metadata


def load_id_swap(
    checkpoint: Checkpoint,
    mapper_file: Path | None,
    domain_config: str | Path | None,
    device: torch.device | str,
    without: Collection[str],
    weights: str | Path | None,
) -> tuple[Editor, Domain, dict[str, Any]]:
    """An identity swap of two files; arguments and results as of `load_editor`.

    Args:
        checkpoint: the encoder.
        mapper_file: the mapper; by default the file beside the encoder whose name ends as the encoder's, or `mlp.pt`.
    Raises:
        WeightsError: one of the two is missing, or they do not fit each other or the domain.
        ConfigError: the domain cannot be built.
    """
    file = checkpoint.path
    mapper_file = mapper_beside(file) if mapper_file is None else mapper_file
    read = {"encoder": network_in(checkpoint, "swap_encoder"), "mapper": load_network(mapper_file, "latent_mapper")}
    encoder, mapper = read["encoder"].module, read["mapper"].module
    assert isinstance(encoder, SwapEncoder) and isinstance(mapper, LatentMapper)
    numbers = encoder.identity_dim + encoder.attribute_dim
    if mapper.identity_dim + mapper.attribute_dim != numbers:
        raise WeightsError(
            f"{displayed(mapper_file)}: this mapper takes {mapper.identity_dim + mapper.attribute_dim} numbers, "
            f"{displayed(file)} gives {numbers}"
        )
    mapper.identity_dim, mapper.attribute_dim = encoder.identity_dim, encoder.attribute_dim
    domain = _domain(_ID_SWAP_DOMAIN if domain_config is None else domain_config, file, device, weights)
    if mapper.style_dim != domain.style_dim:
        raise WeightsError(
            f"{displayed(mapper_file)}: this mapper makes styles of {mapper.style_dim}, "
            f"the generator of domain '{domain.name}' has {domain.style_dim}"
        )
    for network in (encoder, mapper):
        freeze(network.to(domain.device))
    editor = IDSwapEditor(encoder, mapper, domain.styles)
    networks = {  # of the mapper, what neither encoder nor domain tells
        "encoder": {"name": "swap_encoder", **read["encoder"].sizes},
        "mapper": {"name": "latent_mapper", "hidden": read["mapper"].sizes["hidden"]},
    }
    parts = [part for part in ("generator", "encoder") if domain.has(part) and part not in without]
    digest = hashlib.sha256(file.read_bytes() + mapper_file.read_bytes())
    metadata = {
        **editor_metadata(editor.name, (), domain, networks, parts, {}),
        "file": f"{displayed(file)} with {displayed(mapper_file)}",
        "hash": digest.hexdigest()[:16],
    }
    return editor, domain, metadata


def mapper_beside(file: Path) -> Path:
    """The mapper that belongs to an encoder's file, for `swap_encoder_19_225000_52.pt` `mlp_19_225000_52.pt`.

    Raises:
        WeightsError: there is none.
    """
    ending = file.stem.removeprefix(_ENCODER_NAME) if file.stem.startswith(_ENCODER_NAME) else ""
    names = list(dict.fromkeys(f"{_MAPPER_NAME}{end}{file.suffix}" for end in (ending, "")))
    found = next((file.with_name(name) for name in names if file.with_name(name).is_file()), None)
    if found is None:
        raise WeightsError(
            f"{displayed(file)}: an encoder of another project, which makes an editor together with its mapper: "
            f"--checkpoint ENCODER --mapper FILE (beside it there is no {' or '.join(names)})"
        )
    return found


def _domain(config: str | Path, file: Path, device: torch.device | str, weights: str | Path | None) -> Domain:
    """The domain of an editor in this file."""
    return Domain(relocated(load_config(config_path(config)), file.parent, weights), device)


def _settle(domain: Domain, file: Path, flow: LoadedNetwork, encoder: LoadedNetwork) -> None:
    """Freeze an editor's networks on the domain's device.

    Raises:
        WeightsError: the flow moves other style vectors than the domain's generator has.
    """
    if domain.style_dim != flow.sizes["style_dim"]:
        raise WeightsError(
            f"{displayed(file)}: this flow moves styles of {flow.sizes['style_dim']}, "
            f"the generator of domain '{domain.name}' has {domain.style_dim}"
        )
    for network in (flow, encoder):
        freeze(network.module.to(domain.device))
