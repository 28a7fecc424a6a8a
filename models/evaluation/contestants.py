"""The runs to compare: trained editors of one domain, several seeds of a method."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.domain import Domain
from models.editors.base import Editor
from models.editors.loading import load_editor
from utils.config import ConfigError
from utils.paths import expanded

MEASURED = ("attributes", "mask", "identity")  # kinds of request that there is an evaluation for


def evaluated_editor(editor: Editor, source: str) -> Editor:
    """The same editor, if it can be measured.

    Raises:
        ConfigError: there is no evaluation for any kind of request that it takes.
    """
    if not set(editor.requests) & set(MEASURED):
        raise ConfigError(
            f"{source}: {editor.title} takes requests of other kinds ({', '.join(editor.requests)}) than "
            f"{', '.join(MEASURED[:-1])} and {MEASURED[-1]}, and there is no evaluation for these"
        )
    return editor


def edits_masks(editor: Editor) -> bool:
    """Whether the evaluation of masks and styles measures it, rather than that of attributes."""
    return "mask" in editor.requests


def edits_identities(editor: Editor) -> bool:
    """Whether the evaluation of exchanged identities measures it."""
    return "identity" in editor.requests


@dataclass
class Contestant:
    """One run of one method."""

    method: str
    editor: Editor
    domain: Domain
    metadata: dict[str, Any]


def named_run(text: str) -> tuple[str | None, str]:
    """`NAME=RUN` as name and path; an existing path is taken as a path, even with = in it.

    Raises:
        ConfigError: a name that tables and figures cannot show.
    """
    name, separator, path = text.partition("=")
    if not separator or expanded(text).exists():
        return None, text
    if not name.strip() or not name.isprintable() or set(name) & set("|$"):
        raise ConfigError(f"--compare {text!r}: NAME=RUN takes a name without |, $ and line breaks")
    return name.strip(), path


def load_contestants(runs: Sequence[tuple[str | None, str | Path]], device: torch.device) -> list[Contestant]:
    """Editors of (name, path) pairs; without a name the editor's title is the method's.

    Raises:
        WeightsError: no editor there.
        ConfigError: editors of different domains, the same file twice, runs of different settings as one method, or an
            editor whose kinds of request cannot be evaluated.
    """
    found: list[Contestant] = []
    for name, path in runs:
        loaded, domain, metadata = load_editor(path, device)
        editor = evaluated_editor(loaded, metadata["file"])
        one = Contestant(editor.title if name is None else name, editor, domain, metadata)
        first = next((other for other in found if other.method == one.method), one)
        if any(other.method == one.method and other.metadata["hash"] == metadata["hash"] for other in found):
            raise ConfigError(f"{metadata['file']}: given twice as a run of {one.method}")
        if name is None and _settings(one) != _settings(first):
            raise ConfigError(
                f"{first.metadata['file']} and {metadata['file']} are both {one.method}, but differ in more than their "
                f"seeds; name them: FIRST={first.metadata['file']} SECOND={metadata['file']}"
            )
        found.append(one)
        if not same_space(one, found[0]):
            raise ConfigError(
                f"{metadata['file']}: its latent space is not that of {found[0].metadata['file']}; "
                f"only editors of one domain can be compared"
            )
        if len(found) > 1:  # the networks of the first one serve all
            domain.forget("generator", "encoder")
    return found


def same_space(one: Contestant, other: Contestant) -> bool:
    """Whether two editors edit the codes of the same generator and encoder, in domains of the same attributes."""
    return _place(one) == _place(other)


def _place(one: Contestant) -> tuple[Any, ...]:
    prints = one.metadata["fingerprints"]
    return prints["generator"], prints.get("encoder"), one.domain.attributes


def _settings(one: Contestant) -> Any:
    """A run's config without what differs between seeds: folders and the seeds themselves."""
    config = json.loads(json.dumps(one.metadata.get("config") or {}))
    config.pop("run", None)
    for part in ("training", "method"):
        config.get(part, {}).pop("seed", None)
    for key in ("classifier", "density"):
        config.get("method", {}).pop(key, None)
    return config
