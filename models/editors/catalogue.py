"""Editors by name: the name of their module, which files give as `method`."""

from __future__ import annotations

from models.editors.base import Editor
from utils.catalogues import Modules

EDITORS: Modules[Editor] = Modules(
    "editor",
    "models.editors",
    Editor,  # type: ignore[type-abstract]
    helpers=(
        "attribute_names", "base", "by_flow", "catalogue", "loading", "published",
        "relocation", "stored", "targets",
    ),  # fmt: skip
)
