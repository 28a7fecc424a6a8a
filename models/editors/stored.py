"""What an editor's file holds: the tensors of the editor, and metadata from which it can be built again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from models import NETWORKS
from models.domain import Domain
from utils.config import ConfigError, Section, as_section
from utils.paths import displayed

Network = TypeVar("Network", bound=nn.Module)
REQUIRED = ("method", "domain", "attributes", "networks", "fingerprints")


@dataclass
class StoredEditor:
    """The content of an editor's file.

    Attributes:
        state: the editor's own state dict.
        domain: what it was trained in.
    """

    state: Mapping[str, Tensor]
    metadata: Mapping[str, Any]
    domain: Domain
    file: Path

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the condition's columns."""
        return tuple(self.metadata["attributes"])

    @property
    def settings(self) -> dict[str, Any]:
        """Constructor arguments of the editor that are neither networks nor tensors."""
        return dict(self.metadata.get("settings", {}))

    def network(self, name: str, **sizes: int) -> Any:
        """The network of this name as the editor's method described it, without its weights.

        Args:
            sizes: see `build_network`.
        Raises:
            ConfigError: it did not.
        """
        file = displayed(self.file)
        if name not in self.metadata["networks"]:
            raise ConfigError(f"{file}: does not describe the network '{name}' (`sections` of its method)")
        sources = {"networks": file}
        section = Section(self.metadata["networks"][name], f"networks.{name}", sources)
        return build_network(section, self.domain, nn.Module, **sizes)


def build_network(section: Mapping[str, Any], domain: Domain, kind: type[Network], **sizes: int) -> Network:
    """A network of an editor; the sizes that the domain knows are not in its section.

    Nor is `conditions`: each network of AdaTrans is one attribute's.

    Args:
        sizes: that the section does not name either, or in the place of the domain's (`semantics` of a flow whose
            condition is no vector of attributes).
    """
    count = len(domain.attributes)
    known = {"styles": domain.styles, "style_dim": domain.style_dim}
    known |= {"semantics": count, "attributes": count, "conditions": 1}
    return NETWORKS.build_a(kind, as_section(section, "network"), **(known | sizes))


def editor_metadata(
    method: str,
    attributes: Sequence[str],
    domain: Domain,
    networks: Mapping[str, Mapping[str, Any]],
    parts: Sequence[str],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The metadata of an editor's file, whose tensors are the editor's state dict.

    Args:
        method: name of the editor, see `Editor.name`.
        attributes: names of the condition's columns; none where a condition is no vector of attributes.
        networks: name → section of each network that `Editor.restore` asks for.
        parts: networks of the domain that the editor depends on.
        settings: see `StoredEditor.settings`.
    """
    return {
        "method": method,
        "domain": domain.config.plain(),
        "attributes": list(attributes),
        "networks": {name: dict(section) for name, section in networks.items()},
        "settings": dict(settings),
        "fingerprints": domain.fingerprints(parts),
    }
