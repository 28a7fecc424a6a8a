"""Controls of each kind of request: each module of this folder that has a `PANEL` brings one, found by its `kind`.

The page asks an editor which kinds of request it takes (`editor.requests`) and gives each of them a tab.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from scripts.page_parts.panels.base import Panel


@cache
def panels() -> dict[str, Panel]:
    """All panels by the kind of request that they stand for."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    found: list[Panel] = [module.PANEL for module in modules if hasattr(module, "PANEL")]
    return {panel.kind: panel for panel in found}
