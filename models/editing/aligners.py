"""Aligners that a domain's config may name."""

from __future__ import annotations

from typing import Any

from models.domain import Domain
from models.editing.alignment import Aligner
from models.editing.requests.base import RequestError
from utils.catalogues import Catalogue
from utils.config import Section, as_section

ALIGNERS = Catalogue(
    "aligner", {"resize": "models.editing.alignment:ResizeAligner", "dlib": "models.editing.face_alignment:DlibAligner"}
)


def build_aligner(domain: Domain, **changes: Any) -> Aligner:
    """The aligner that the domain's config names, with other arguments than the config's where `changes` says so.

    Raises:
        ConfigError: unknown name or argument.
    """
    section = as_section(domain.config.get("aligner", domain.aligner), "aligner")
    if changes:
        section = Section({**section, **changes}, section.path, section.sources)
    aligner: Aligner = ALIGNERS.build(section, image_side=domain.image_side)
    return aligner


def searching_aligner(domain: Domain, **search: Any) -> Aligner:
    """The domain's aligner, searching for faces as it is asked to; None leaves an argument as the config has it.

    Raises:
        RequestError: it does not search for faces.
    """
    aligner = build_aligner(domain)
    changes = {name: value for name, value in search.items() if value is not None}
    if not changes:
        return aligner
    if not aligner.cuts_photographs:
        option = f"--{next(iter(changes)).replace('_', '-')}"
        raise RequestError(f"{option}: domain {domain.name} takes pictures whole and does not search them for faces")
    return build_aligner(domain, **changes)
