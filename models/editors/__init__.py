"""Editors: they move a latent code from one condition of its face to another. Files name the editor as `method`.

Importing this package does not import PyTorch: requests of the command line name targets, which lie here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.catalogues import Modules

if TYPE_CHECKING:
    from models.editors.base import Editor

EDITORS: Modules[Editor] = Modules(
    "editor",
    __name__,
    "models.editors.base:Editor",
    helpers=("attribute_names", "base", "loading", "stored", "targets"),
)
