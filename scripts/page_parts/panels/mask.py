"""The face's mask under a brush, and automatic edits of it with parts of a second face."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import gradio as gr
import numpy as np
import torch

from models.editing.given_masks import OneMask, as_mask
from models.editing.mask_donors import MaskDonors
from models.editing.requests.base import RequestError
from models.editing.requests.mask import MaskRequest
from models.editing.studio import Face, Studio
from models.parsing.masks import indexed
from scripts.page_parts import painter
from scripts.page_parts.panels.base import Action, Asked, Controls, Faces, Panel
from scripts.page_parts.show import data_uri

_FILE = "painted-mask.png"
_EDITS = {  # automatic edits by the texts of their buttons
    "Mouth": "smile",
    "Nose": "nose",
    "Brows": "brows",
    "Hair": "hair",
    "Add glasses": "add_glasses",
    "Remove glasses": "remove_glasses",
}


class MaskPanel(Panel):
    """A mask to paint in; automatic edits, an uploaded mask and undo change it as the brush does."""

    kind: ClassVar[str] = "mask"
    title: ClassVar[str] = "Mask"
    purpose: ClassVar[str] = "painted masks"
    takes_second: ClassVar[bool] = True

    def build(self, studio: Studio, prefix: str) -> Controls:
        gr.HTML("<p class='sd-note'>Choose a class and paint: the face follows its mask.</p>")
        canvas = gr.HTML("", html_template=painter.template(), js_on_load=painter.SCRIPT, elem_id=f"{prefix}-painter")
        mark = gr.HTML("", elem_id=f"{prefix}-marks")
        gr.HTML("<p class='sd-note'>Take a part of the second face, chosen below:</p>")
        with gr.Row(elem_classes="sd-buttons"):
            buttons = {edit: gr.Button(text, size="sm", min_width=110) for text, edit in _EDITS.items()}
        with gr.Row(elem_classes="sd-buttons"):
            upload = gr.UploadButton("Open a mask", size="sm", file_types=["image"], min_width=80)
            reset = gr.Button("Reset", size="sm", min_width=80, elem_id=f"{prefix}-reset")

        def start(face: Face) -> Sequence[object]:
            picture = f"<style>#{prefix}-painter {{ --face: url({data_uri(face.inversion)}); }}</style>"
            return [painter.written(face, face.mask), picture]

        actions = [Action(button.click, _automatic(edit)) for edit, button in buttons.items()]
        return Controls(
            inputs=[canvas],
            changes=[canvas.input],
            asked=asked,
            start=start,
            mark=mark,
            reset=reset.click,
            actions=[*actions, Action(upload.upload, opened, upload)],
        )


PANEL = MaskPanel()


def asked(faces: Faces, text: object) -> Asked:
    """The request for a painted mask, unless it is the face's own."""
    mask = painter.read(faces.face, text)
    if mask is None or (mask == faces.face.mask).all():
        return Asked()
    stream = io.BytesIO()
    indexed(torch.from_numpy(mask)).save(stream, "PNG")
    given = replace(OneMask.read(stream.getvalue(), len(mask)), name=_FILE.partition(".")[0])
    return Asked(MaskRequest(given), ["--mask", _FILE], {_FILE: stream.getvalue()})


def opened(faces: Faces, data: bytes, text: object) -> list[str]:
    """The mask in a file, in place of the painted one."""
    return [painter.changed(faces.face, as_mask(data, len(faces.face.mask)), text)]


def _automatic(edit: str) -> Callable[..., list[str]]:
    def act(faces: Faces, text: object) -> list[str]:
        face, second = faces.face, faces.find_second()
        mask = painter.read(face, text)
        found = second.studio.pipeline.masks(second.inverted.image)[0].cpu().numpy().astype(np.uint8)
        donors = MaskDonors({"second": found}, trusted=True)
        edited, impossible = donors.edited([edit], face.mask if mask is None else mask)
        if impossible:
            raise RequestError(impossible[0].replace("_", " ").replace("no donor is fit", "the second face is not fit"))
        return [painter.changed(face, edited, text)]

    return act
