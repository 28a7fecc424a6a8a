"""Editors, one a module: SDFlow and what it is compared with. Weight files name the kind as `method`."""

from models.editors.base import Editor
from utils.catalogues import Modules

EDITORS: Modules[Editor] = Modules(
    "editor",
    __name__,
    Editor,  # type: ignore[type-abstract]
    helpers=("base", "loading", "stored", "targets"),
)
