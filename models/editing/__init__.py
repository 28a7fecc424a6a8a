"""From photographs to edited photographs: `Studio` for Python, `EditRun` for the command, the steps they share.

    >>> from models.editing import Studio
    >>> Studio.open().attributes
    ('Eyeglasses', 'Male', 'Young', 'Smiling', 'Wavy_Hair')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.editing.studio import Studio as Studio


def __getattr__(name: str) -> Any:
    if name == "Studio":  # on demand, since it imports PyTorch and commands read their options before that
        from models.editing.studio import Studio

        return Studio
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
