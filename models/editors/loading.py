"""Loading a learned editor together with the domain that it belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from models.domain import Domain
from models.editors.base import Editor
from models.editors.catalogue import EDITORS
from models.editors.published import load_id_swap, load_pair, load_s2flow
from models.editors.relocation import relocated
from models.editors.stored import REQUIRED, StoredEditor
from models.weight_files import kinds_in
from models.weight_files.kinds import title_of, with_article
from utils.config import Section, Unfit, convert
from utils.hub import USUAL, located
from utils.paths import ROOT, displayed
from utils.weight_files.formats import read_checkpoint
from utils.weights import WeightsError, check_finite, existing, freeze, load_strict

SHIPPED_EDITOR = ROOT / "pretrained/avatars/editor.safetensors"

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
    mapper: str | Path | None = None,
) -> tuple[Editor, Domain, dict[str, Any]]:
    """The editor of a run folder or file (default: the shipped avatar editor), its domain and the file's metadata.

    The metadata have two more entries: `file`, its name for messages, and `hash`, a short hash of its bytes.

    Args:
        path: run folder, editor file or address on the hub (see `utils.hub`); S²-Flow's `last_checkpoint.pt`; the
            identity swap's `swap_encoder.pt`; with a semantic encoder, a file that holds a flow, such as SDFlow's
            `prior-0010000`.
        semantic_encoder: file of the semantic encoder that belongs to the flow (`labeldist-0010000`).
        domain_config: config of the domain of published editors, whose files do not name it; by default FFHQ, with as
            many attributes as the semantic encoder has. For an editor that names its domain: their places now.
        without: parts of the domain that will not be used: their files need not be there.
        weights: folder of the domain's weight files, under the names that its config gives them. Without it, files of
            these names beside the editor, in its folder or its repository on the hub, are taken where the config's are
            not there.
        mapper: file of the mapper that belongs to the identity swap's encoder; by default the one beside it.
    Raises:
        WeightsError: missing or damaged file, no editor's, or one trained with another generator or encoder.
        ConfigError: the domain cannot be built.
    """
    if semantic_encoder is not None:
        if mapper is not None:
            raise WeightsError("a semantic encoder belongs to a flow and a mapper to a swap encoder: give one of them")
        if path is None:
            raise WeightsError("a semantic encoder alone is no editor: give the flow it belongs to as well")
        files = located(path), located(semantic_encoder)
        return load_pair(*files, domain_config, device, without, weights)
    if mapper is not None and path is None:
        raise WeightsError("a mapper alone is no editor: give the swap encoder it belongs to as well")
    file = editor_path(path)
    checkpoint = read_checkpoint(file, "python scripts/build_avatars.py trains it" if path is None else "")
    if checkpoint.is_own and mapper is not None:
        raise WeightsError(f"{displayed(file)}: this editor brings its own mapper; leave out the other")
    if not checkpoint.is_own:
        kinds = kinds_in(checkpoint)
        if "swap_encoder" in kinds:
            mapper_file = None if mapper is None else located(mapper)
            return load_id_swap(checkpoint, mapper_file, domain_config, device, without, weights)
        if mapper is not None or "latent_mapper" in kinds:
            raise WeightsError(
                f"{displayed(file)}: {with_article(title_of(kinds[0]))}; a mapper makes an editor together with its "
                "swap encoder: --checkpoint ENCODER --mapper FILE"
            )
        if "mask_encoder" in kinds:
            return load_s2flow(checkpoint, domain_config, device, without, weights)
        what = "a flow" if kinds[0] == "continuous_flow" else f"a network ({title_of(kinds[0])})"
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
    networks = {part for part in ("generator", "encoder") if part == "generator" or part in metadata["domain"]}
    if not metadata["fingerprints"].keys() >= networks:
        raise WeightsError(f"{source}: no editor's file: it does not say which generator and encoder it belongs to")


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
