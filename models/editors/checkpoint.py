"""Loading a learned editor together with the domain that it belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import NETWORKS
from models.domain import Domain
from models.editors.base import Editor
from models.editors.sdflow import SDFlowEditor
from utils.config import Section
from utils.paths import ROOT, displayed
from utils.weights import WeightsError, freeze, load_strict, load_weights

SHIPPED_EDITOR = ROOT / "pretrained/avatars/editor.safetensors"
_FILE = "editor.safetensors"
# A training may solve more coarsely than an edit: at 1e-3 codes came back to 2.6e-3, at 3e-5 to 1e-4, for 20
# evaluations instead of 14.
EDITING_TOLERANCE = 3e-5


def editor_path(path: str | Path | None) -> Path:
    """The editor's file: the shipped one for None, that of a run for a folder.

    Raises:
        WeightsError: the folder holds no finished editor.
    """
    path = SHIPPED_EDITOR if path is None else Path(path).expanduser()
    if not path.is_dir():
        return path
    if not (path / _FILE).is_file():
        raise WeightsError(
            f"{displayed(path)}: holds no {_FILE}; train.py writes it at the end of a training "
            f"(go on with: python train.py --resume {displayed(path)})"
        )
    return path / _FILE


def load_editor(
    path: str | Path | None = None, device: torch.device | str = "cpu", without: Collection[str] = ()
) -> tuple[Editor, Domain, dict[str, Any]]:
    """The editor of a run folder or file (default: the shipped avatar editor), its domain and the file's metadata.

    Two more entries stand in the metadata: `file`, its name for messages, and `hash`, a short hash of its bytes.

    Args:
        without: parts of the domain that will not be used: their files need not be there.
    Raises:
        WeightsError: missing or damaged file, no editor's, or one trained with another generator or encoder.
        ConfigError: the domain in it cannot be built.
    """
    file = editor_path(path)
    state, metadata = load_weights(file, "python scripts/build_avatars.py trains it" if path is None else "")
    missing = [key for key in ("method", "domain", "attributes", "networks", "fingerprints") if key not in metadata]
    if missing:
        what = "a training checkpoint: give its run's folder" if "config" in metadata else "no editor's file"
        raise WeightsError(f"{displayed(file)}: {what} (its metadata lack {', '.join(missing)})")
    if metadata["method"] not in _LOADERS:
        raise WeightsError(f"{displayed(file)}: unknown kind of editor '{metadata['method']}'")
    source = displayed(file)
    domain = Domain(Section(metadata["domain"], "domain", {"domain": source}), device)
    used = {part: value for part, value in metadata["fingerprints"].items() if part not in without}
    _check_fingerprints(domain, used, source)
    metadata |= {"file": source, "hash": hashlib.sha256(file.read_bytes()).hexdigest()[:16]}
    return _LOADERS[metadata["method"]](state, metadata, domain, file), domain, metadata


def _check_fingerprints(domain: Domain, trained_with: dict[str, str], source: str) -> None:
    """The latent space is the generator's and the encoder's: with others an editor's codes mean nothing."""
    present = domain.fingerprints(tuple(trained_with))
    for part, expected in trained_with.items():
        if present[part] != expected:
            raise WeightsError(
                f"{source}: this editor was trained with {part} {expected}, but "
                f"{displayed(domain.weights_path(part))} is {part} {present[part]}"
            )


def _load_sdflow(state: dict[str, Tensor], metadata: dict[str, Any], domain: Domain, file: Path) -> Editor:
    attributes = tuple(metadata["attributes"])
    sizes = {"style_dim": domain.style_dim, "semantics": len(attributes), "attributes": len(attributes)}
    networks: dict[str, Any] = {}
    for name in ("flow", "semantic_encoder"):
        section = Section(metadata["networks"][name], f"networks.{name}", {"networks": displayed(file)})
        network = NETWORKS.build(section, **sizes)
        prefix = f"{name}."
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        load_strict(network, own, file)
        networks[name] = freeze(network.to(domain.device))
    networks["flow"].tolerance = min(networks["flow"].tolerance, EDITING_TOLERANCE)
    return SDFlowEditor(networks["flow"], networks["semantic_encoder"], attributes)


_LOADERS = {"sdflow": _load_sdflow}
