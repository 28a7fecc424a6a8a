"""The page: what stands where, and what happens when something is pressed or pulled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from PIL import Image

from models.editing.requests import kinds
from models.editing.requests.base import JointRequest
from models.editing.studio import Edit, Face, Studio
from scripts.page_parts import show
from scripts.page_parts.gate import Uploads
from scripts.page_parts.panels import panels
from scripts.page_parts.panels.base import Action, Asked, Controls, Faces
from scripts.page_parts.sessions import Photo, Session, Sessions
from scripts.page_parts.style import NEEDS_FACE, PICK, VIEW
from scripts.page_parts.workbench import PageError, Workbench, sentence
from utils.paths import displayed

TITLE = "SDFlow: edit a face"
_HEAD = """# Edit a face
{domain}Choose a picture or a sample face, change it with the controls, and save the result. Everything stays on this \
machine."""
_CHANGED_EDITOR = "Another editor starts with the face unedited: what was set with the one before is not taken over."
_KEPT = "The face before stays; choose another picture."
_REFUSED = "The controls are off until you choose another picture or press “Edit it anyway”."
_SECOND = 1  # number of the sample face that is the second face until another is chosen
_INTERNAL = {"api_visibility": "private", "concurrency_id": "compute"}


@dataclass
class Room:
    """The controls of one kind of request for one editor.

    Attributes:
        joins: whether its request and those of the editor's other rooms that join are one edit.
    """

    bench: int
    controls: Controls
    joins: bool


@dataclass
class Second:
    """Where a second face is chosen for an editor."""

    bench: int
    pick: gr.HTML
    upload: gr.Image


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
        self.seconds: list[Second] = []
        self.shown_seconds: list[gr.HTML] = []

    def build(self) -> gr.Blocks:
        """The page, not yet served."""
        limits = self.workbench.limits
        with gr.Blocks(analytics_enabled=False, title=TITLE, fill_width=True, delete_cache=(60, 600)) as blocks:
            gr.Markdown(_HEAD.format(domain=self._domain()), elem_id="head")
            with gr.Row():
                with gr.Column(scale=3, min_width=280, elem_id="photos"):
                    self._photo_column()
                with gr.Column(scale=5, min_width=300, elem_id="face"):
                    self.message = gr.HTML("", elem_id="message")
                    self.anyway = gr.Button("Edit it anyway", visible=False, elem_id="anyway", size="sm")
                    self.viewer = gr.HTML(show.viewer(None), elem_id="viewer", js_on_load=VIEW)
                    self.everyone = gr.Checkbox(label="All faces of the photograph", value=False, visible=False)
                    self.save = gr.Button("Save", variant="primary", elem_id="save", elem_classes=NEEDS_FACE)
                    self.saved = gr.HTML("", elem_id="saved")
                    self.facts = gr.HTML("", elem_id="facts")
                with gr.Column(scale=5, min_width=280, elem_id="controls"):
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

    def _domain(self) -> str:
        """What the first editor's domain says of other pictures, unless it asks only after having seen one."""
        hint = self.workbench.benches[0].studio.pipeline.domain.foreign_face_hint
        first, *more = sentence(hint).split(";", 1)
        return "" if not hint or hint.endswith("?") else f"**{first}**{';'.join(['', *more])} "

    def _photo_column(self) -> None:
        self.photo = _picture("Photograph", "Drop, paste or choose a picture", 200, "photo")
        self.sample = gr.HTML(show.samples(self._pictures()), elem_id="samples", js_on_load=PICK)
        self.overview = gr.HTML("", elem_id="overview", js_on_load=PICK)

    def _pictures(self) -> list[Image.Image]:
        return [Image.open(path).convert("RGB") for path in self.samples]

    def _control_column(self) -> None:
        benches = self.workbench.benches
        choices = [(bench.title, number) for number, bench in enumerate(benches)]
        self.bench = gr.Radio(choices, value=0, label="Editor", visible=len(benches) > 1, elem_id="editor")
        if len(benches) > 1:
            gr.HTML(show.purposes({bench.studio.pipeline.editor.title: _purpose(bench.studio) for bench in benches}))
        self.columns = []
        with gr.Column(elem_classes=NEEDS_FACE):
            for number, bench in enumerate(benches):
                with gr.Column(visible=number == 0, elem_id=f"editor-{number}") as column:
                    self.columns.append(column)
                    with gr.Tabs():
                        for kind in bench.studio.requests:
                            self._tab(number, bench.studio, kind)
                    if any(kind in panels() and panels()[kind].takes_second for kind in bench.studio.requests):
                        self._second_face(number)

    def _tab(self, number: int, studio: Studio, kind: str) -> None:
        panel = panels().get(kind)
        if panel is None:
            with gr.Tab(kinds()[kind].title.capitalize()):
                gr.Markdown("This page has no controls for these requests yet; `edit.py` takes them.")
            return
        with gr.Tab(panel.title, elem_id=f"tab-{number}-{kind}"):
            controls = panel.build(studio, f"sd-{number}-{kind}")
            self.rooms.append(Room(number, controls, kinds()[kind].joins))

    def _second_face(self, number: int) -> None:
        """A second face: by default the second sample, as another one has the first glance."""
        pictures = self._pictures()
        self.shown_seconds.append(gr.HTML(show.second(pictures[_SECOND % len(pictures)] if pictures else None)))
        strip = show.samples(pictures, "Second face")
        pick = gr.HTML(strip, elem_id=f"second-{number}", elem_classes="sd-seconds", js_on_load=PICK)
        upload = _picture("Another second face", "Drop, paste or choose a picture", 120, f"second-photo-{number}")
        self.seconds.append(Second(number, pick, upload))

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
            controls, company = room.controls, self._joining(room.bench) if room.joins else [room]
            inputs = _inputs(company)
            followed = gr.on(
                list(controls.changes),
                self._follower(company),
                inputs,
                pictures,
                trigger_mode="always_last",
                **follow,
            )
            followed.then(self._opinions, [self.bench], [self.bars], **quiet)
            for action in controls.actions:
                given = [action.upload, *inputs] if action.upload else inputs
                changed = [*pictures, *controls.inputs]
                pressed = action.press(self._changer(company, room, action), given, changed, preprocess=False, **load)
                pressed.then(self._opinions, [self.bench], [self.bars], **quiet)
            controls.reset(self._resetter(), [self.bench], face_outputs, **quiet)
            if controls.series is not None:
                inputs = [*controls.inputs, *controls.series.inputs]
                progress = {**compute, "show_progress": "full", "show_progress_on": [self.saved]}
                controls.series.press(self._series(room), inputs, [self.message, self.saved], **progress)
        for second in self.seconds:
            company = self._of_second(second.bench)
            inputs, given = _inputs(company), [second.upload, *_inputs(company)]
            changed = [*pictures, second.upload, *inputs, *self.shown_seconds]
            picked = second.pick.pick(self._second_picker(company), inputs, changed, **load)
            picked.then(self._opinions, [self.bench], [self.bars], **quiet)
            uploaded = second.upload.input(
                *(self._second_uploader(company), given, changed),
                preprocess=False,
                trigger_mode="always_last",
                **load,
            )
            uploaded.then(self._opinions, [self.bench], [self.bars], **quiet)
        self.save.click(self._save, [self.everyone], [self.message, self.saved], **compute)
        self.compare.click(self._compare, None, [self.message, self.compared], **compute)
        blocks.unload(self._closed)

    def _joining(self, bench: int) -> list[Room]:
        """The rooms of an editor whose requests together are one edit, in the order of the editor."""
        return [room for room in self.rooms if room.bench == bench and room.joins]

    def _of_second(self, bench: int) -> list[Room]:
        """The rooms of an editor that a new second face changes: those that join, or one of its own."""
        return self._joining(bench) or [
            room for room in self.rooms if room.bench == bench and room.controls.with_second
        ]

    # Events. Each takes a `gr.Request`, whose session hash tells one tab from another.

    def _opened(self, bench: int, request: gr.Request) -> list[Any]:
        if not self.samples:
            return self._shown(request, bench, lambda session: None)
        return self._shown(request, bench, lambda session: self._take_sample(session, 0))

    def _uploaded(self, upload: dict[str, Any] | None, bench: int, request: gr.Request) -> list[Any]:
        if upload is None:  # camera or clipboard was chosen, and has given nothing yet
            return [gr.skip() for _ in self.face_outputs] + [gr.skip()]

        def take(session: Session) -> None:
            self.workbench.take(session, *self._uploaded_file(upload))

        return [None, *self._shown(request, bench, take)]

    def _uploaded_file(self, upload: object) -> tuple[bytes, object]:
        """Content and given name of an upload, which can be taken once."""
        given = upload if isinstance(upload, dict) else {}
        data = self.uploads.take(given.get("path"))
        if data is None:
            raise PageError("The upload did not arrive; try again.")
        return data, given.get("orig_name")

    def _sampled(self, bench: int, event: gr.EventData, request: gr.Request) -> list[Any]:
        return self._shown(request, bench, lambda session: self._take_sample(session, _index(event)))

    def _take_sample(self, session: Session, index: int) -> None:
        path = self.samples[index % len(self.samples)]
        self.workbench.take(session, path.read_bytes(), path=displayed(path))

    def _sample_photo(self, index: int) -> Photo:
        path = self.samples[index % len(self.samples)]
        return self.workbench.photo(path.read_bytes(), path=displayed(path))

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
        edited = self.sessions.of(_key(request)).wanted is not None
        message, *rest = self._resetter()(bench, request)
        return [*columns, message or show.message(_CHANGED_EDITOR if edited else ""), *rest]

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
                blocked = bool(foreign) and not photo.forced
                warning = sentence(f"this {foreign}") + (f" {_REFUSED}" if blocked else "") if foreign else ""
                opinions = self._opinions_of(face, None)
                several = gr.update(visible=photo.count > 1, value=False)
                fixed = [
                    *(show.message(warning), gr.update(visible=blocked)),
                    *(
                        show.overview(face, self.workbench.faces(photo, bench), photo.chosen),
                        show.viewer(face.inversion, blocked=blocked),
                    ),
                    *(show.facts(face, None), opinions, "", "", several),
                ]
                return [*fixed, *self._starts(bench, face)]

        try:
            return self.workbench.within_time(work)
        except PageError as error:
            if session.photo is None:
                return self._blank(str(error))
            return [show.message(f"{error} {_KEPT}"), *(gr.skip() for _ in self.face_outputs[1:])]

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

    def _follower(self, company: Sequence[Room]) -> Callable[..., list[Any]]:
        """The picture after a control of rooms that ask for one edit was moved."""

        def follow(request: gr.Request, *values: Any) -> list[Any]:
            return self._edited(request, lambda session: self._edit(session, company, values), 0)

        return follow

    def _changer(self, company: Sequence[Room], room: Room, action: Action) -> Callable[..., list[Any]]:
        """The picture, and the values of the controls, after an action of a room changed these."""

        def change(request: gr.Request, *values: Any) -> list[Any]:
            def work(session: Session) -> list[Any]:
                given = [self._uploaded_file(values[0])[0]] if action.upload else []
                now = list(values[len(given) :])
                first = len(_inputs(company[: company.index(room)]))
                own = slice(first, first + len(room.controls.inputs))
                new = now[own] = list(action.act(self._faces(session, room.bench), *given, *now[own]))
                return [*self._edit(session, company, now), *new]

            return self._edited(request, work, len(room.controls.inputs))

        return change

    def _second_picker(self, company: Sequence[Room]) -> Callable[..., list[Any]]:
        def pick_second(event: gr.EventData, request: gr.Request, *values: Any) -> list[Any]:
            return self._with_second(request, company, lambda: self._sample_photo(_index(event)), values)

        return pick_second

    def _second_uploader(self, company: Sequence[Room]) -> Callable[..., list[Any]]:
        def upload_second(request: gr.Request, upload: object, *values: Any) -> list[Any]:
            if upload is None:  # camera or clipboard was chosen, and has given nothing yet
                return [gr.skip() for _ in range(4 + 1 + len(values) + len(self.shown_seconds))]

            def photo() -> Photo:
                return self.workbench.photo(*self._uploaded_file(upload))

            return self._with_second(request, company, photo, values)

        return upload_second

    def _with_second(
        self, request: gr.Request, company: Sequence[Room], find: Callable[[], Photo], values: Sequence[Any]
    ) -> list[Any]:
        """The picture after another second face was chosen, which is then shown."""

        def work(session: Session) -> list[Any]:
            before, session.second = session.second, find()
            try:
                face = self.workbench.second(session, company[0].bench)
            except ValueError:
                session.second = before
                raise
            shown = [show.second(face.picture) for _ in self.shown_seconds]
            now: list[Any] = []
            new: list[Any] = []
            rest = list(values)
            for room in company:
                count, change = len(room.controls.inputs), room.controls.with_second
                own, rest = rest[:count], rest[count:]
                now += change(*own) if change else own
                new += now[-count:] if change else [gr.skip()] * count
            return [*self._edit(session, company, now), None, *new, *shown]

        return self._edited(request, work, 1 + len(values) + len(self.shown_seconds))

    def _edited(self, request: gr.Request, work: Callable[[Session], list[Any]], more: int) -> list[Any]:
        """What the work gives, or why it fails.

        Args:
            more: values that it gives after those of `_edit`.
        """
        session = self.sessions.of(_key(request))

        def locked() -> list[Any]:
            with session.lock:
                return work(session)

        try:
            return self.workbench.within_time(locked)
        except PageError as error:
            return [show.message(str(error)), *(gr.skip() for _ in range(3 + more))]

    def _edit(self, session: Session, company: Sequence[Room], values: Sequence[Any]) -> list[Any]:
        """No message, the picture, its numbers and no files after the edit that the controls of these rooms ask for."""
        bench = company[0].bench
        faces, rest, parts = self._faces(session, bench), list(values), []
        for room in company:
            count = len(room.controls.inputs)
            parts.append(room.controls.asked(faces, *rest[:count]))
            rest = rest[count:]
        asked = _together(parts)
        edit = self.workbench.edit(session, bench, *asked)
        viewer = show.viewer(faces.face.inversion, edit.picture if edit else None)
        return ["", viewer, show.facts(faces.face, edit), ""]

    def _faces(self, session: Session, bench: int) -> Faces:
        face = self.workbench.face(session, bench)
        if session.second is None and self.samples:
            session.second = self._sample_photo(_SECOND)
        path, data = (session.second.path, session.second.data) if session.second else ("", b"")
        return Faces(face, lambda: self.workbench.second(session, bench), path, data)

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
                requests, words = series.asked(self._faces(session, room.bench), *values)
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


def _purpose(studio: Studio) -> str:
    return ", ".join(panels()[kind].purpose for kind in studio.requests if kind in panels() and panels()[kind].purpose)


def _picture(label: str, hint: str, height: int, name: str) -> gr.Image:
    """Takes a picture from a file, the clipboard or the camera."""
    return gr.Image(
        label=label,
        placeholder=hint,
        sources=["upload", "clipboard", "webcam"],
        type="filepath",
        image_mode=None,
        height=height,
        buttons=[],
        elem_id=name,
    )


def _inputs(rooms: Sequence[Room]) -> list[Component]:
    return [component for room in rooms for component in room.controls.inputs]


def _together(parts: Sequence[Asked]) -> Asked:
    """What several controls ask for, as one edit."""
    requests = [part.request for part in parts if part.request is not None]
    words = [word for part in parts for word in part.words]
    files = {name: data for part in parts for name, data in part.files.items()}
    if not requests:
        return Asked()
    return Asked(requests[0] if len(requests) == 1 else JointRequest(tuple(requests)), words, files)


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
