"""The files of an editor as they are given away: without the publisher's folders, with or without frozen networks."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from models.domain import PARTS, Domain
from utils.manifest import WeightFile, public_file
from utils.paths import ROOT, displayed
from utils.weight_files.formats import read_checkpoint
from utils.weights import WeightsError, load_weights, save_weights

SHIPPED = ROOT / "pretrained/avatars"
OWN = "the publisher's own"


@dataclass(frozen=True)
class FrozenNetwork:
    """A network that an editor needs beside its own file.

    Attributes:
        part: of the domain.
        public: what the manifest says of the file, if it is one that other people published.
        ships: it comes with this project.
    """

    part: str
    path: Path
    public: WeightFile | None
    ships: bool

    @property
    def terms(self) -> str:
        """Whose it is, and its licence as far as it is known."""
        if self.public is not None:
            return f"{self.public.what}; by {self.public.by}; licence: {self.public.licence}"
        return "comes with SDFlow; licence: MIT" if self.ships else OWN


def frozen_networks(domain: Domain) -> list[FrozenNetwork]:
    """The networks of a domain, whether or not their files are there."""
    paths = {part: domain.weights_path(part) for part in PARTS if part in domain.config}
    return [
        FrozenNetwork(part, path, public_file(path), path.resolve().parent == SHIPPED) for part, path in paths.items()
    ]


def copy_weights(source: Path, target: Path) -> list[str]:
    """Copy a weight file of this project: byte for byte, unless its metadata name folders of the publisher.

    Returns:
        the paths that were shortened to their last part.
    """
    state, metadata = load_weights(source)
    private: list[str] = []
    public = _without_folders(metadata, private)
    target.parent.mkdir(parents=True, exist_ok=True)
    if private:
        save_weights(target, state, public)
    else:
        shutil.copyfile(source, target)
    return sorted(set(private))


def _without_folders(value: Any, found: list[str]) -> Any:
    """A copy in which absolute paths are names; they are added to `found`."""
    if isinstance(value, Mapping):
        return {key: _without_folders(entry, found) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_folders(entry, found) for entry in value]
    if isinstance(value, str):
        for path in (PurePosixPath(value), PureWindowsPath(value)):
            if path.is_absolute() or value.startswith("~"):
                found.append(value)
                return path.name
    return value


def check_ours(networks: Sequence[FrozenNetwork]) -> None:
    """Check that networks may be given away: this project trained them.

    Raises:
        WeightsError: one is somebody else's, or missing.
    """
    for network in networks:
        if network.public is not None:
            raise WeightsError(
                f"{displayed(network.path)}: is not yours to give ({network.terms}); users fetch it with "
                f"'python scripts/download.py {network.public.name}'"
            )
        if not read_checkpoint(network.path).is_own:
            raise WeightsError(f"{displayed(network.path)}: is another project's, so its licence is not yours to give")
