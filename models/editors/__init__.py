"""Editors: they move a latent code from one condition of its face to another. Files name the editor as `method`."""

from models.editors.base import Editor
from utils.catalogues import Modules

EDITORS: Modules[Editor] = Modules(
    "editor",
    __name__,
    Editor,  # type: ignore[type-abstract]
    helpers=("base", "loading", "stored", "targets"),
)
