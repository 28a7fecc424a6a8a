"""Each kind of request that an editor takes gets a tab of its own, whoever brings it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason='not installed: gradio (pip install ".[page]")')

import gradio as gr

from models.editing.requests import kinds
from models.editing.requests.base import Goal, Request
from models.editing.requests.kind import RequestKind
from models.editing.studio import Studio
from scripts.page_parts.panels import panels
from scripts.page_parts.panels.base import Asked, Controls, Faces, Panel
from scripts.page_parts.serving import Server
from scripts.page_parts.workbench import Bench, open_bench
from tests.masks import noise
from tests.page.calls import Tab
from tests.page.conftest import SAMPLES
from tests.photographs import encoded


class Mirrored(Request):
    """The opposite of every attribute."""

    label = "mirrored"

    def described(self) -> dict[str, str]:
        return {}

    def resolve(self, faces: Any, editor: Any) -> Goal:
        return Goal(faces.rest, 1 - faces.condition)


class MirrorKind(RequestKind):
    name = "mirror"
    title = "mirror requests"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--mirror", action="store_true")

    def parse(self, options: argparse.Namespace, pipeline: Any) -> Sequence[Request]:
        return [Mirrored()] if options.mirror else []


class MirrorPanel(Panel):
    kind = "mirror"
    title = "Mirror"

    def build(self, studio: Studio, prefix: str) -> Controls:
        mirrored = gr.Checkbox(label="Mirror", elem_id=f"{prefix}-box")
        mark, reset = gr.HTML(""), gr.Button("Reset")

        def mirror(faces: Faces, value: bool) -> Asked:
            return Asked(Mirrored(), ["--mirror"]) if value else Asked()

        return Controls([mirrored], [mirrored.input], mirror, lambda face: [False, ""], mark, reset.click)


@pytest.fixture()
def bench(avatars: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The avatar editor as one that takes a second kind, and a third without a panel."""
    monkeypatch.setitem(kinds(), "mirror", MirrorKind())
    monkeypatch.setitem(panels(), "mirror", MirrorPanel())

    class Silent(MirrorKind):
        name, title = "silent", "silent requests"

    monkeypatch.setitem(kinds(), "silent", Silent())
    editor = avatars.studio.pipeline.editor
    monkeypatch.setattr(type(editor), "requests", ("attributes", "mirror", "silent"))
    yield avatars


def test_a_new_kind_of_request_has_a_tab(bench: Bench) -> None:
    server = Server([bench], SAMPLES)
    try:
        tabs = [block.label for block in server.blocks.blocks.values() if isinstance(block, gr.Tab)]
        assert tabs[:3] == ["Attributes", "Mirror", "Silent requests"]
        tab = Tab(server)
        tab.show(SAMPLES[0].read_bytes())
        (number,) = [n for n, f in server.blocks.fns.items() if len(f.inputs) == 1 and f.inputs[0].label == "Mirror"]
        tab.number_of = lambda function: number if function == "follow" else Tab.number_of(tab, function)  # type: ignore[method-assign]
        message, viewer, *_ = tab.call("follow", [True])
        assert message == "" and "sd-after" in viewer
        assert "edit.py" in (saved := tab.call("_save", [False])[1]) and "--mirror" in saved
    finally:
        server.close()


def test_several_editors_are_compared(avatars: Bench) -> None:
    other = Bench(avatars.studio, "the other one", ["--checkpoint", "other"], avatars.seconds)
    server = Server([avatars, other], SAMPLES)
    try:
        tab = Tab(server)
        assert tab.call("_compare", [])[0]  # nothing to compare yet
        tab.show(SAMPLES[0].read_bytes())
        tab.move(1.0, 0.5, 0.5, 0.5, 0.5, 1)
        message, html = tab.call("_compare", [])
        assert message == "" and html.count("<img") == 2 and "the other one" in html
        columns = tab.call("_switched", [1])
        assert [column["visible"] for column in columns[:2]] == [False, True]
    finally:
        server.close()


def test_an_editor_without_controls_refers_to_the_command(
    tiny_mask_editor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("mask", "style"):
        monkeypatch.delitem(panels(), kind)
    server = Server([open_bench(str(tiny_mask_editor), device="cpu")], [])
    try:
        blocks = server.blocks.blocks.values()
        tabs = [block.label for block in blocks if isinstance(block, gr.Tab)]
        assert tabs[:2] == ["Mask requests", "Style requests"]
        texts = [block.value for block in blocks if isinstance(block, gr.Markdown)]
        assert sum("`edit.py` takes them" in text for text in texts) == 2
        message, *_ = Tab(server).show(encoded(noise(0)))
        assert not message
    finally:
        server.close()
