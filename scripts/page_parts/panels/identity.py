"""The identity of a second face, or of somebody who does not exist, and how far to go towards it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import gradio as gr

from models.editing.requests.base import RequestError
from models.editing.requests.identity import RANDOM, IdentityRequest, Other, checked_share
from models.editing.studio import Face, Studio
from models.editors.base import identity_editor
from scripts.page_parts.panels.attributes import number
from scripts.page_parts.panels.base import Asked, Controls, Faces, Panel
from utils.photos import printable

OWN, SECOND, NOBODY = "own", "second", "nobody"
_CHOICES = {
    "Nobody else's": OWN,
    "The second face's, chosen below": SECOND,
    "Of somebody who does not exist": NOBODY,
}


class IdentityPanel(Panel):
    """Whose identity, and the share of it."""

    kind: ClassVar[str] = "identity"
    title: ClassVar[str] = "Identity"
    purpose: ClassVar[str] = "another person's identity"
    takes_second: ClassVar[bool] = True

    def build(self, studio: Studio, prefix: str) -> Controls:
        gr.HTML(
            "<p class='sd-note'>The person of another face in the scene of the photograph: pose, expression, hair, "
            "light and background stay. Use faces of people who agreed to it.</p>"
        )
        whose = gr.Radio(list(_CHOICES.items()), value=OWN, label="Whose identity", elem_id=f"{prefix}-whose")
        share = gr.Slider(
            *(0, 1, 1),
            step=0.05,
            label="Share of the other identity",
            elem_id=f"{prefix}-share",
            elem_classes="sd-plain",
            buttons=[],
        )
        seed = gr.Number(
            1, label="Seed: another number, another person who does not exist", precision=0, minimum=0, step=1
        )
        mark = gr.HTML("", elem_id=f"{prefix}-marks")
        reset = gr.Button("Reset", size="sm", elem_id=f"{prefix}-reset")

        def asked(faces: Faces, chosen: object, given: object, drawn: object) -> Asked:
            if chosen == OWN:
                return Asked()
            share = round(checked_share(number(given), f"{given}"), 2)
            other = _nobody(studio, drawn) if chosen == NOBODY else _second(faces)
            place = other.source if chosen == NOBODY else faces.second_path
            words = ["--identity", place, *(["--identity-share", f"{share:g}"] if share != 1 else [])]
            return Asked(IdentityRequest.of(other, share), words)

        def start(face: Face) -> Sequence[object]:
            return [OWN, 1, 1, ""]

        return Controls(
            inputs=[whose, share, seed],
            changes=[whose.input, share.input, seed.input],
            asked=asked,
            start=start,
            mark=mark,
            reset=reset.click,
            with_second=lambda chosen, given, drawn: [SECOND, given, drawn],
        )


PANEL = IdentityPanel()


def _nobody(studio: Studio, drawn: object) -> Other:
    """The identity of a seed.

    Raises:
        RequestError: it is no whole number from 0.
    """
    if not isinstance(drawn, int):
        raise RequestError("the seed of somebody who does not exist is a whole number from 0")
    return Other.random(f"{RANDOM}{drawn}", identity_editor(studio.pipeline.editor).identity_dim)


def _second(faces: Faces) -> Other:
    """The identity of the second face, named as `edit.py --identity` names it."""
    face, path = faces.find_second(), Path(faces.second_path)
    source = f"{printable(path.name)} ({hashlib.sha256(faces.second_data).hexdigest()[:16]})"
    return Other(face.inverted.condition[0], path.stem, source, face.inverted.embedding[0], face.picture)
