"""The style of a second face, and how far to go towards it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import gradio as gr

from models.editing.requests.style import SHARE_LIMIT, StyleRequest, checked_share
from models.editing.studio import Face, Studio
from scripts.page_parts.panels.attributes import number
from scripts.page_parts.panels.base import Asked, Controls, Faces, Panel


class StylePanel(Panel):
    """One slider: the share of the second face's style."""

    kind: ClassVar[str] = "style"
    title: ClassVar[str] = "Style"
    purpose: ClassVar[str] = "another face's style"
    takes_second: ClassVar[bool] = True

    def build(self, studio: Studio, prefix: str) -> Controls:
        gr.HTML(
            "<p class='sd-note'>The style is what the mask does not say: colours of hair, skin and clothes, and the "
            "light. 0 keeps it, 1 takes that of the second face, chosen below; more exaggerates.</p>"
        )
        share = gr.Slider(
            *(0, SHARE_LIMIT, 0),
            step=0.05,
            label="Share of the second face's style",
            elem_id=f"{prefix}-share",
            elem_classes="sd-plain",
            buttons=[],
        )
        mark = gr.HTML("", elem_id=f"{prefix}-marks")
        reset = gr.Button("Reset", size="sm", elem_id=f"{prefix}-reset")

        def start(face: Face) -> Sequence[object]:
            return [0, ""]

        return Controls([share], [share.input], asked, start, mark, reset.click)


PANEL = StylePanel()


def asked(faces: Faces, given: object) -> Asked:
    """The request for a share of the second face's style, unless it is nothing."""
    share = round(checked_share(number(given), f"{given}"), 2)
    if not share:
        return Asked()
    path = faces.second_path
    request = StyleRequest.of(faces.find_second().inverted.rest[0], share, Path(path).stem)
    return Asked(request, ["--style", f"{path}:{share:g}"])
