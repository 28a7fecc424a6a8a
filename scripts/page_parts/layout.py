"""The page: what stands where, and what happens when something is pressed or pulled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from models.editing.requests import kinds
from models.editing.studio import Edit, Face
from scripts.page_parts import show
from scripts.page_parts.gate import Uploads
from scripts.page_parts.panels import panels
from scripts.page_parts.panels.base import Controls
from scripts.page_parts.sessions import Session, Sessions
from scripts.page_parts.style import CUT, PICK
from scripts.page_parts.workbench import PageError, Workbench, sentence
from utils.paths import displayed

TITLE = "SDFlow: edit a face"
_HEAD = """# Edit a face
Choose a photograph or a sample face, change it at the right, and save the result. Everything stays on this machine."""
_INTERNAL = {"api_visibility": "private", "concurrency_id": "compute"}


@dataclass
class Room:
    """The controls of one kind of request for one editor."""

    bench: int
    controls: Controls


class Page:
    """Builds the page and answers its events.

    Args:
        samples: files of faces that fit the first editor.
    """

    def __init__(
        self, workbench: Workbench, sessions: Sessions, uploads: Uploads, samples: Sequence[Path] = ()
    ) -> None:
        self.workbench, self.sessions, self.uploads, self.samples = workbench, sessions, uploads, list(samples)
        self.rooms: list[Room] = []

    def build(self) -> gr.Blocks:
        """The page, not yet served."""
        limits = self.workbench.limits
        with gr.Blocks(analytics_enabled=False, title=TITLE, fill_width=True, delete_cache=(60, 600)) as blocks:
            gr.Markdown(_HEAD, elem_id="head")
            with gr.Row():
                with gr.Column(scale=3, min_width=280):
                    self._photo_column()
                with gr.Column(scale=5, min_width=300):
                    self.message = gr.HTML("", elem_id="message")
                    self.anyway = gr.Button("Edit it anyway", visible=False, elem_id="anyway", size="sm")
                    self.viewer = gr.HTML(show.viewer(None), elem_id="viewer", js_on_load=CUT)
                    self.everyone = gr.Checkbox(label="All faces of the photograph", value=False, visible=False)
                    self.save = gr.Button("Save", variant="primary", elem_id="save")
                    self.saved = gr.HTML("", elem_id="saved")
                    self.facts = gr.HTML("", elem_id="facts")
                with gr.Column(scale=4, min_width=280):
                    self._control_column()
            with gr.Tabs():
                with gr.Tab("What the classifier says", elem_id="tab-bars"):
                    gr.HTML("<p class='sd-note'>How sure the classifier is of each attribute.</p>")
                    self.bars = gr.HTML("", elem_id="bars")
                with gr.Tab("Compare editors", elem_id="tab-compare"):
                    self.compare = gr.Button("Compare", elem_id="compare")
                    self.compared = gr.HTML("", elem_id="compared")
            self._wire(blocks)
        blocks.queue(max_size=limits.waiting, api_open=False, default_concurrency_limit=limits.at_once)
        return blocks

    def _photo_column(self) -> None:
        self.photo = gr.Image(
            label="Photograph",
            placeholder="Drop, paste or choose a photograph",
            sources=["upload", "clipboard", "webcam"],
            type="filepath",
            image_mode=None,
            height=200,
            buttons=[],
            elem_id="photo",
        )
        pictures = [Image.open(path).convert("RGB") for path in self.samples]
        self.sample = gr.HTML(show.samples(pictures), elem_id="samples", js_on_load=PICK)
        self.overview = gr.HTML("", elem_id="overview", js_on_load=PICK)

    def _control_column(self) -> None:
        benches = self.workbench.benches
        choices = [(bench.title, number) for number, bench in enumerate(benches)]
        self.bench = gr.Radio(choices, value=0, label="Editor", visible=len(benches) > 1, elem_id="editor")
        self.columns = []
        for number, bench in enumerate(benches):
            with gr.Column(visible=number == 0, elem_id=f"editor-{number}") as column, gr.Tabs():
                self.columns.append(column)
                for kind in bench.studio.requests:
                    panel = panels().get(kind)
                    if panel is None:
                        with gr.Tab(kinds()[kind].title.capitalize()):
                            gr.Markdown("This page has no controls for these requests yet; `edit.py` takes them.")
                        continue
                    with gr.Tab(panel.title, elem_id=f"tab-{number}-{kind}"):
                        self.rooms.append(Room(number, panel.build(bench.studio, f"sd-{number}-{kind}")))

    def _wire(self, blocks: gr.Blocks) -> None:
        compute: dict[str, Any] = {**_INTERNAL, "concurrency_limit": self.workbench.limits.at_once}
        quiet = {**compute, "show_progress": "hidden"}
        slow = any(bench.is_slow for bench in self.workbench.benches)
        follow = {**compute, "show_progress": "full" if slow else "hidden", "show_progress_on": [self.viewer]}
        starts = [component for room in self.rooms for component in (*room.controls.inputs, room.controls.mark)]
        face_outputs = [self.message, self.anyway, self.overview, self.viewer, self.facts, self.bars]
        face_outputs += [self.saved, self.compared, self.everyone, *starts]
        self.face_outputs = face_outputs
        load = {**compute, "show_progress": "minimal", "show_progress_on": [self.viewer]}
        blocks.load(self._opened, [self.bench], face_outputs, **quiet)
        self.photo.input(
            self._uploaded,
            [self.photo, self.bench],
            [self.photo, *face_outputs],
            preprocess=False,
            trigger_mode="always_last",  # a pasted picture comes while the choice of the clipboard is still answered
            **load,
        )
        self.sample.pick(self._sampled, [self.bench], face_outputs, **load)
        self.overview.pick(self._picked, [self.bench], face_outputs, **load)
        self.anyway.click(self._forced, [self.bench], face_outputs, **load)
        changed = [*self.columns, *face_outputs]
        self.bench.change(self._switched, [self.bench], changed, **load)
        pictures = [self.message, self.viewer, self.facts, self.saved]
        for room in self.rooms:
            controls = room.controls
            gr.on(
                list(controls.changes),
                self._follower(room),
                list(controls.inputs),
                pictures,
                trigger_mode="always_last",
                **follow,
            ).then(self._opinions, [self.bench], [self.bars], **quiet)
            controls.reset(self._resetter(), [self.bench], face_outputs, **quiet)
            if controls.series is not None:
                inputs = [*controls.inputs, *controls.series.inputs]
                progress = {**compute, "show_progress": "full", "show_progress_on": [self.saved]}
                controls.series.press(self._series(room), inputs, [self.message, self.saved], **progress)
        self.save.click(self._save, [self.everyone], [self.message, self.saved], **compute)
        self.compare.click(self._compare, None, [self.message, self.compared], **compute)
        blocks.unload(self._closed)

    # Events. Each takes a `gr.Request`, whose session hash tells one tab from another.

    def _opened(self, bench: int, request: gr.Request) -> list[Any]:
        if not self.samples:
            return self._shown(request, bench, lambda session: None)
        return self._shown(request, bench, lambda session: self._take_sample(session, 0))

    def _uploaded(self, upload: dict[str, Any] | None, bench: int, request: gr.Request) -> list[Any]:
        if upload is None:  # camera or clipboard was chosen, and has given nothing yet
            return [gr.skip() for _ in self.face_outputs] + [gr.skip()]

        def take(session: Session) -> None:
            given = upload if isinstance(upload, dict) else {}
            data = self.uploads.take(given.get("path"))
            if data is None:
                raise PageError("The upload did not arrive; try again.")
            self.workbench.take(session, data, given.get("orig_name"))

        return [None, *self._shown(request, bench, take)]

    def _sampled(self, bench: int, event: gr.EventData, request: gr.Request) -> list[Any]:
        return self._shown(request, bench, lambda session: self._take_sample(session, _index(event)))

    def _take_sample(self, session: Session, index: int) -> None:
        path = self.samples[index % len(self.samples)]
        self.workbench.take(session, path.read_bytes(), path=displayed(path))

    def _picked(self, bench: int, event: gr.EventData, request: gr.Request) -> list[Any]:
        def choose(session: Session) -> None:
            if session.photo is not None:
                session.photo.chosen, session.photo.forced = max(0, min(_index(event), session.photo.count - 1)), False
                session.wanted = None

        return self._shown(request, bench, choose)

    def _forced(self, bench: int, request: gr.Request) -> list[Any]:
        def force(session: Session) -> None:
            if session.photo is not None:
                session.photo.forced = True

        return self._shown(request, bench, force)

    def _switched(self, bench: int, request: gr.Request) -> list[Any]:
        columns = [gr.update(visible=number == bench) for number in range(len(self.columns))]
        return [*columns, *self._resetter()(bench, request)]

    def _resetter(self) -> Callable[..., list[Any]]:
        def reset(bench: int, request: gr.Request) -> list[Any]:
            def forget(session: Session) -> None:
                session.wanted = None
                session.clear()

            return self._shown(request, bench, forget)

        return reset

    def _shown(self, request: gr.Request, bench: int, change: Callable[[Session], None]) -> list[Any]:
        """After a change of the session: the face as it is, and the controls where nothing is asked for."""
        session = self.sessions.of(_key(request))

        def work() -> list[Any]:
            with session.lock:
                change(session)
                if session.photo is None:
                    return self._blank("")
                face, photo = self.workbench.face(session, bench), session.photo
                foreign = face.foreign
                warning = sentence(f"this {foreign}") if foreign else ""
                blocked = bool(foreign) and not photo.forced
                opinions = self._opinions_of(face, None)
                several = gr.update(visible=photo.count > 1, value=False)
                fixed = [
                    *(show.message(warning), gr.update(visible=blocked)),
                    *(
                        show.overview(face, self.workbench.faces(photo, bench), photo.chosen),
                        show.viewer(face.inversion),
                    ),
                    *(show.facts(face, None), opinions, "", "", several),
                ]
                return [*fixed, *self._starts(bench, face)]

        try:
            return self.workbench.within_time(work)
        except PageError as error:
            return self._blank(str(error))

    def _blank(self, text: str) -> list[Any]:
        """No face, and why."""
        starts = [gr.skip() for room in self.rooms for _ in (*room.controls.inputs, room.controls.mark)]
        return [show.message(text), gr.update(visible=False), "", show.viewer(None), "", "", "", "", gr.skip(), *starts]

    def _starts(self, bench: int, face: Face) -> list[Any]:
        values: list[Any] = []
        for room in self.rooms:
            count = len(room.controls.inputs) + 1
            values += room.controls.start(face) if room.bench == bench else [gr.skip()] * count
        return values

    def _follower(self, room: Room) -> Callable[..., list[Any]]:
        """The picture after a control of a room was moved."""

        def follow(request: gr.Request, *values: Any) -> list[Any]:
            session = self.sessions.of(_key(request))

            def work() -> list[Any]:
                with session.lock:
                    face = self.workbench.face(session, room.bench)
                    edit = self.workbench.edit(session, room.bench, *room.controls.asked(face, *values))
                    picture = edit.picture if edit else None
                    return ["", show.viewer(face.inversion, picture), show.facts(face, edit), ""]

            try:
                return self.workbench.within_time(work)
            except PageError as error:
                return [show.message(str(error)), gr.skip(), gr.skip(), gr.skip()]

        return follow

    def _opinions(self, bench: int, request: gr.Request) -> Any:
        session = self.sessions.of(_key(request))

        def work() -> str:
            with session.lock:
                face = self.workbench.face(session, bench)
                return self._opinions_of(face, session.wanted.edit if session.wanted else None)

        try:
            return self.workbench.within_time(work)
        except PageError as error:
            return show.message(str(error))

    def _opinions_of(self, face: Face, edit: Edit | None) -> str:
        try:
            return show.bars(*self.workbench.opinions(face, edit))
        except ValueError as error:  # the classifier's file is not needed for editing and may be missing
            return show.message(sentence(str(error)))

    def _series(self, room: Room) -> Callable[..., list[Any]]:
        def save(request: gr.Request, *values: Any) -> list[Any]:
            def work(session: Session) -> str:
                series = room.controls.series
                assert series is not None
                requests, words = series.asked(self.workbench.face(session, room.bench), *values)
                saved = self.workbench.save_series(session, room.bench, requests, words)
                return show.downloads(saved, session.token)

            return self._told(request, work)

        return save

    def _save(self, everyone: bool, request: gr.Request) -> list[Any]:
        def work(session: Session) -> str:
            return show.downloads(self.workbench.save(session, bool(everyone)), session.token)

        return self._told(request, work)

    def _compare(self, request: gr.Request) -> list[Any]:
        return self._told(request, lambda session: show.comparison(self.workbench.compare(session)))

    def _told(self, request: gr.Request, work: Callable[[Session], str]) -> list[Any]:
        """A message, and what the work gives unless it fails."""
        session = self.sessions.of(_key(request))

        def locked() -> str:
            with session.lock:
                return work(session)

        try:
            return ["", self.workbench.within_time(locked)]
        except PageError as error:
            return [show.message(str(error)), ""]

    def _closed(self, request: gr.Request) -> None:
        self.sessions.close(_key(request))


def _key(request: gr.Request) -> str:
    """The tab that a request comes from.

    Raises:
        ValueError: none.
    """
    key = request.session_hash
    if not isinstance(key, str) or not 8 <= len(key) <= 100:
        raise ValueError("a call without a session")
    return key


def _index(event: gr.EventData) -> int:
    """The number of the button that was pressed, whatever a browser sends."""
    given = getattr(event, "index", 0)
    return given if isinstance(given, int) else 0
