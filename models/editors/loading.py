"""Loading a learned editor together with the domain that it belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from models.domain import PARTS, Domain
from models.editors.base import Editor
from models.editors.catalogue import EDITORS
from models.editors.sdflow import SDFlowEditor, solving_for_edits
from models.editors.stored import REQUIRED, StoredEditor, editor_metadata
from models.flows.cnf import ContinuousFlow
from models.semantic_encoder import SemanticEncoder
from models.weight_files import load_network, network_in
from models.weight_files.kinds import title_of
from utils.config import ConfigError, Section, Unfit, convert, load_config
from utils.hub import USUAL, available, located
from utils.paths import ROOT, displayed, expanded, resolve
from utils.weight_files.formats import read_checkpoint
from utils.weights import WeightsError, check_finite, existing, freeze, load_strict

SHIPPED_EDITOR = ROOT / "pretrained/avatars/editor.safetensors"
PUBLISHED_DOMAINS = {5: "configs/domains/ffhq.yaml", 3: "configs/domains/ffhq_3.yaml"}  # by number of attributes

_FORMS: dict[str, Any] = {
    "method": str,
    "domain": Mapping[str, Any],
    "attributes": list[str],
    "networks": Mapping[str, Any],
    "fingerprints": Mapping[str, str],
    "settings": Mapping[str, Any],
}


def editor_path(path: str | Path | None) -> Path:
    """The editor's file: the shipped one for None, that of a run for a folder; one on the hub is fetched.

    Raises:
        WeightsError: the folder holds no finished editor, or the hub has none to give, see `utils.hub.located`.
    """
    path = SHIPPED_EDITOR if path is None else located(path)
    if not path.is_dir():
        return path
    if not (path / USUAL).is_file():
        raise WeightsError(
            f"{displayed(path)}: holds no {USUAL}; train.py writes it at the end of a training "
            f"(go on with: python train.py --resume {displayed(path)})"
        )
    return path / USUAL


def load_editor(
    path: str | Path | None = None,
    device: torch.device | str = "cpu",
    semantic_encoder: str | Path | None = None,
    domain_config: str | Path | None = None,
    without: Collection[str] = (),
    weights: str | Path | None = None,
) -> tuple[Editor, Domain, dict[str, Any]]:
    """The editor of a run folder or file (default: the shipped avatar editor), its domain and the file's metadata.

    The metadata have two more entries: `file`, its name for messages, and `hash`, a short hash of its bytes.

    Args:
        path: run folder, editor file or address on the hub (see `utils.hub`); with a semantic encoder, a file that
            holds a flow, such as SDFlow's `prior-0010000`.
        semantic_encoder: file of the semantic encoder that belongs to the flow (`labeldist-0010000`).
        domain_config: config of the domain of these two, whose files do not name it; by default FFHQ with as many
            attributes as the semantic encoder has. For an editor that names its domain: where the networks lie now.
        without: parts of the domain that will not be used: their files need not be there.
        weights: folder of the domain's weight files, under the names that its config gives them. Without it, files of
            these names beside the editor, in its folder or its repository on the hub, are taken where the config's are
            not there.
    Raises:
        WeightsError: missing or damaged file, no editor's, or one trained with another generator or encoder.
        ConfigError: the domain cannot be built.
    """
    if semantic_encoder is not None:
        if path is None:
            raise WeightsError("a semantic encoder alone is no editor: give the flow it belongs to as well")
        files = located(path), located(semantic_encoder)
        return _load_pair(*files, domain_config, device, without, weights)
    file = editor_path(path)
    checkpoint = read_checkpoint(file, "python scripts/build_avatars.py trains it" if path is None else "")
    if not checkpoint.is_own:
        held = network_in(checkpoint)
        what = "a flow" if held.kind == "continuous_flow" else f"a network ({title_of(held.kind)})"
        raise WeightsError(
            f"{displayed(file)}: {what} of another project, which makes an editor together with its semantic encoder: "
            f"--checkpoint FLOW --semantic-encoder FILE"
        )
    state, metadata = checkpoint.content, checkpoint.metadata
    missing = [key for key in REQUIRED if key not in metadata]
    if missing:
        what = "a training checkpoint: give its run's folder" if "config" in metadata else "no editor's file"
        raise WeightsError(f"{displayed(file)}: {what} (its metadata lack {', '.join(missing)})")
    source = displayed(file)
    _check_metadata(metadata, source)
    kind: type[Editor] = EDITORS.find(Section({"name": metadata["method"]}, "method", {"method": source}))
    recorded = Section(metadata["domain"], "domain", {"domain": source})
    domain = Domain(relocated(recorded, file.parent, weights, domain_config), device)
    used = {part: value for part, value in metadata["fingerprints"].items() if part not in without}
    for part in used:
        _check_present(domain, part)
    check_fingerprints(domain, used, source)
    metadata |= {"file": source, "hash": hashlib.sha256(file.read_bytes()).hexdigest()[:16]}
    editor = kind.restore(StoredEditor(state, metadata, domain, file))
    load_strict(editor, state, file)
    check_finite(state, file)
    freeze(editor.to(domain.device))
    return editor, domain, metadata


def _check_metadata(metadata: Mapping[str, Any], source: str) -> None:
    """Check that what editors are built from is of the right form, before anything relies on it.

    Raises:
        WeightsError: an entry is not.
    """
    for key, form in _FORMS.items():
        try:
            convert(metadata.get(key, {}), form)
        except Unfit as error:
            raise WeightsError(f"{source}: no editor's file: its metadata's {key}{error.path} {error}") from None
    if not metadata["fingerprints"].keys() >= {"generator", "encoder"}:
        raise WeightsError(f"{source}: no editor's file: it does not say which generator and encoder it belongs to")


def _load_pair(
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
    config = load_config(_config_path(PUBLISHED_DOMAINS[count] if domain_config is None else domain_config))
    domain = Domain(relocated(config, flow_file.parent, weights), device)
    if len(domain.attributes) != count:
        raise ConfigError(
            f"{domain.config.where('attributes')}: names {len(domain.attributes)} attributes, "
            f"{displayed(encoder_file)} estimates {count}"
        )
    if domain.style_dim != flow.sizes["style_dim"]:
        raise WeightsError(
            f"{displayed(flow_file)}: this flow moves styles of {flow.sizes['style_dim']}, "
            f"the generator of domain '{domain.name}' has {domain.style_dim}"
        )
    for network in (flow, encoder):
        freeze(network.module.to(domain.device))
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


def _config_path(path: str | Path) -> Path:
    """A config that a person names: in the current folder, or below the project's."""
    here = expanded(path)
    return here if here.is_file() else resolve(here)


def relocated(
    domain: Section, beside: Path, weights: str | Path | None = None, config: str | Path | None = None
) -> Section:
    """A domain's section with the places where its weight files lie now; fingerprints tell whether they are the same.

    Args:
        beside: folder of the editor.
        weights, config: see `load_editor`.
    Raises:
        ConfigError: the folder is none, or the config cannot be read.
    """
    folder = None if weights is None else expanded(weights)
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"--weights {folder}: there is no such folder")
    named: Mapping[str, Any] = {} if config is None else load_config(_config_path(config))
    moved = domain.plain()
    for part in PARTS:
        section, other = moved.get(part), named.get(part)
        if not isinstance(section, dict) or not isinstance(section.get("weights"), str):
            continue
        if isinstance(other, Mapping) and isinstance(other.get("weights"), str):
            section["weights"] = other["weights"]
        name = Path(section["weights"]).name
        if folder is not None and (folder / name).is_file():
            section["weights"] = str((folder / name).absolute())
        elif not resolve(section["weights"]).exists() and available(beside / name):
            section["weights"] = str((beside / name).absolute())
    return Section(moved, domain.path, domain.sources)


def _check_present(domain: Domain, part: str) -> None:
    """Check that a part's weight file is there.

    Raises:
        WeightsError: it is not; the message says how to name another place.
    """
    path = domain.weights_path(part)
    try:
        existing(path, domain.settings.weights_hint)
    except WeightsError as error:
        raise WeightsError(
            f"{error}; if it lies elsewhere now, name the place with --weights FOLDER or --domain CONFIG, "
            f"or put {path.name} beside the editor"
        ) from None


def check_fingerprints(domain: Domain, trained_with: dict[str, str], source: str, what: str = "editor") -> None:
    """Check that the domain's networks are those that an editor was trained with: others have another latent space.

    Args:
        trained_with: part of the domain → its fingerprint, see `Domain.fingerprints`.
        source, what: of what was trained, for messages.
    Raises:
        WeightsError: a part is another one.
    """
    present = domain.fingerprints(tuple(trained_with))
    for part, expected in trained_with.items():
        if present[part] != expected:
            raise WeightsError(
                f"{source}: this {what} was trained with {part} {expected}, but "
                f"{displayed(domain.weights_path(part))} is {part} {present[part]}"
            )
