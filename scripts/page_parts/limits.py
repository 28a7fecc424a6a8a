"""How much one user of the page may ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of the page.

    Attributes:
        megabytes: of an upload.
        megapixels: of a photograph.
        seconds: that an upload or a computation may take.
        waiting: computations that wait; beyond it the page says that it is busy.
        at_once: computations that run.
        sessions: users; the one that was idle longest makes room.
        idle_minutes: after which a session is forgotten.
        sweep: pictures of a sweep.
    """

    megabytes: int = 40
    megapixels: int = 60
    seconds: int = 120
    waiting: int = 60
    at_once: int = 2
    sessions: int = 200
    idle_minutes: int = 60
    sweep: int = 15
