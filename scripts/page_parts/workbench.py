"""What the page computes: faces of photographs, edits, files. Nothing here knows gradio."""

from __future__ import annotations

import io
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import torch
from PIL import Image

from models.editing.face_choice import FaceChoice, Only
from models.editing.records import INVERSION, Settings
from models.editing.requests.base import Request
from models.editing.run import EditRun
from models.editing.sources import source_of
from models.editing.studio import Edit, Face, Studio
from models.editors.loading import editor_path
from scripts.page_parts.limits import Limits
from scripts.page_parts.names import safe_name
from scripts.page_parts.sessions import Photo, Session, Wanted
from utils.paths import ROOT, displayed, hub_address
from utils.photos import Photo as PhotoFile
from utils.provenance import save_marked_animation

_Result = TypeVar("_Result")
_FRAME_SECONDS = 0.4
_SHIPPED = ROOT / "pretrained/avatars"  # of the editors here, each takes other requests


class PageError(ValueError):
    """Something that the user is told in a sentence."""


@dataclass(frozen=True)
class Bench:
    """A studio as the page offers it.

    Attributes:
        title: for people; no two are the same.
        words: options with which edit.py opens the same editor.
        seconds: that the edit of one face took when the page was opened.
    """

    studio: Studio
    title: str
    words: Sequence[str]
    seconds: float

    @property
    def is_slow(self) -> bool:
        """Whether an edit takes so long that people want to see that something happens."""
        return self.seconds > 0.5


@dataclass(frozen=True)
class Saved:
    """Files that a session may fetch.

    Attributes:
        files: what each is → the name under which the session offers it.
        sizes: what each is → width and height in pixels.
        command: that writes the same files.
        problem: what to beware of.
    """

    files: dict[str, str]
    sizes: dict[str, tuple[int, int]]
    command: str
    problem: str = ""


class Workbench:
    """Photographs in, edits and files out, for sessions.

    Args:
        benches: at least one; the first is shown first.
    """

    def __init__(self, benches: Sequence[Bench], limits: Limits) -> None:
        self.benches, self.limits = list(benches), limits
        self._threads = ThreadPoolExecutor(2 * limits.at_once, "edit")
        self._running = threading.BoundedSemaphore(limits.at_once)

    def within_time(self, work: Callable[[], _Result]) -> _Result:
        """What the work gives.

        Raises:
            PageError: it takes longer than allowed. It then ends unseen.
        """

        def one() -> _Result:
            with self._running:
                return work()

        try:
            return self._threads.submit(one).result(self.limits.seconds)
        except TookTooLong:
            raise PageError(
                f"This takes longer than {self.limits.seconds} seconds; try a smaller photograph."
            ) from None
        except PageError:
            raise
        except ValueError as error:  # of photographs, faces, requests and weights
            raise PageError(sentence(str(error))) from error
        except (RuntimeError, MemoryError, AssertionError, FloatingPointError) as error:
            raise PageError(sentence(f"cannot be computed: {error}")) from error

    def take(self, session: Session, data: bytes, given: object = "", path: str = "") -> Photo:
        """Find the faces of a photograph, which becomes the session's; as `photo`. One that cannot be used changes
        nothing."""
        photo = self.photo(data, given, path)
        self.faces(photo, 0)
        session.take(photo)
        return photo

    def photo(self, data: bytes, given: object = "", path: str = "") -> Photo:
        """A photograph that is not too large; its faces are not searched yet.

        Args:
            given: its name, which is not trusted.
            path: of a file of this project, for the command.
        Raises:
            PageError: it is too large.
        """
        if len(data) > self.limits.megabytes * 10**6:
            raise PageError(f"This file is larger than {self.limits.megabytes} MB.")
        name = Path(path).name if path else safe_name(given, data)
        self._check_pixels(data)
        return Photo(data, name, path or name)

    def _check_pixels(self, data: bytes) -> None:
        try:
            with Image.open(io.BytesIO(data)) as opened:
                width, height = opened.size
        except Exception:  # what is wrong is found out, and said, by the decoder
            return
        if width * height > self.limits.megapixels * 10**6:
            raise PageError(
                f"This photograph has {width} × {height} pixels, more than {self.limits.megapixels} megapixels."
            )

    def faces(self, photo: Photo, number: int) -> list[Face]:
        """The faces of a photograph for a studio; studios of one domain share what was found."""
        if number not in photo.faces:
            studio = self.benches[number].studio
            for other, found in photo.faces.items():
                if self.benches[other].studio.pipeline.domain.name == studio.pipeline.domain.name:
                    photo.faces[number] = [Face(studio, one.source, one.found, one.number) for one in found]
                    return photo.faces[number]
            photo.faces[number] = studio.find(photo.data)
        return photo.faces[number]

    def face(self, session: Session, number: int) -> Face:
        """The chosen face.

        Raises:
            PageError: there is none.
        """
        if session.photo is None:
            raise PageError("Choose a photograph or a sample face first.")
        faces = self.faces(session.photo, number)
        return faces[min(session.photo.chosen, len(faces) - 1)]

    def second(self, session: Session, number: int) -> Face:
        """The face whose parts, style or identity are taken: the largest of its photograph.

        Raises:
            PageError: none was chosen, or it does not look like a face of the editor's domain.
        """
        photo = session.second
        if photo is None:
            raise PageError("Choose a second face first.")
        if number not in photo.faces:
            studio, source = self.benches[number].studio, source_of(photo.data)  # at full size, as edit.py reads it
            found = studio.pipeline.faces(source.picture, "largest", source.is_aligned)
            photo.faces[number] = [Face(studio, source, one) for one in found]
        (face,) = photo.faces[number]
        if face.foreign:
            raise PageError(sentence(f"the second face {face.foreign}"))
        return face

    def edit(
        self,
        session: Session,
        number: int,
        request: Request | None,
        words: Sequence[str],
        files: Mapping[str, bytes] = MappingProxyType({}),
    ) -> Edit | None:
        """The chosen face as a request asks; None, and nothing wanted, without a request."""
        face = self.face(session, number)
        session.wanted = None
        if request is None or session.photo is None:
            return None
        if face.foreign and not session.photo.forced:
            raise PageError(sentence(f"this {face.foreign}"))
        edit = face.edit(request, force=session.photo.forced)
        session.wanted = Wanted(number, request, words, files, edit)
        return edit

    def opinions(self, face: Face, edit: Edit | None) -> tuple[dict[str, float], dict[str, float]]:
        """The classifier's probabilities of all its outputs, before and after the edit."""
        domain = face.studio.pipeline.domain
        images = [face.inverted.image] + ([domain.resized(edit.result.picture)] if edit else [])
        with torch.no_grad():
            values = [torch.sigmoid(domain.teacher(image))[0].tolist() for image in images]
        before = dict(zip(domain.classifier_outputs, values[0], strict=True))
        return before, dict(zip(domain.classifier_outputs, values[-1], strict=True))

    def compare(self, session: Session) -> list[tuple[str, Image.Image | str, float]]:
        """Title, picture or reason why there is none, and identity, of the session's edit by each editor."""
        wanted = self.wanted(session)
        domain = self.benches[wanted.studio].studio.pipeline.domain.name
        results: list[tuple[str, Image.Image | str, float]] = []
        for number, bench in enumerate(self.benches):
            if bench.studio.pipeline.domain.name != domain:
                continue
            try:
                face = self.face(session, number)
                edit = face.edit(wanted.request, force=bool(session.photo and session.photo.forced))
                results.append((bench.title, edit.picture, edit.identity))
            except ValueError as error:
                results.append((bench.title, sentence(str(error)), 0.0))
        return results

    def wanted(self, session: Session) -> Wanted:
        """What the session asks for.

        Raises:
            PageError: nothing yet.
        """
        if session.wanted is None or session.photo is None:
            raise PageError("Change something first.")
        return session.wanted

    def save(self, session: Session, everyone: bool) -> Saved:
        """The files that edit.py would write for the session's edit.

        Args:
            everyone: edit all faces of the photograph, not the chosen one alone.
        """
        wanted = self.wanted(session)
        return self._run(session, wanted.studio, [wanted.request], wanted.words, everyone, wanted.files)

    def save_series(self, session: Session, number: int, requests: Sequence[Request], words: Sequence[str]) -> Saved:
        """The files that edit.py would write for several edits, and an animation of them."""
        self.face(session, number)
        if len(requests) > self.limits.sweep:
            raise PageError(f"At most {self.limits.sweep} pictures.")
        return self._run(session, number, requests, words, everyone=False)

    def _run(
        self,
        session: Session,
        number: int,
        requests: Sequence[Request],
        words: Sequence[str],
        everyone: bool,
        named: Mapping[str, bytes] = MappingProxyType({}),
    ) -> Saved:
        photo, bench = session.photo, self.benches[number]
        assert photo is not None
        studio = bench.studio
        folder = session.new_folder()
        (folder / photo.name).write_bytes(photo.data)
        choice: FaceChoice = "all" if everyone or photo.count < 2 else Only(photo.chosen + 1)
        paste = "difference" if studio.pipeline.aligner.cuts_photographs else None
        settings = Settings(choice=choice, paste=paste, force=photo.forced)  # type: ignore[arg-type]
        run = EditRun(studio, requests, folder / "out", settings)
        (folder / "out/faces").mkdir(parents=True)
        jobs = run.jobs([PhotoFile(folder / photo.name, Path(photo.name))])
        problems = [problem for batch in run.finished(jobs) for problem in batch.problems]
        (job,) = jobs
        done = [face for face in job.faces if face.is_done]
        if not done:
            raise PageError(sentence("; ".join(problems).replace(f"{folder}/", "")))
        files: dict[str, Path] = {}
        for face in done:
            who = f" {face.entry['face']}" if len(done) > 1 else ""
            if len(requests) == 1:
                files[f"Edited face{who}"] = face.outputs[requests[0].label]
        if len(requests) == 1:
            files.update({"Whole photograph": path} if (path := job.pasted.get(requests[0].label)) else {})
        else:
            files["Animation"] = self._animation(studio, run, job.digest, done[0].outputs, requests)
        files["Photo, reconstruction and edits side by side"] = run.sheet.paths[0]
        for name, data in named.items():
            files[name.partition(".")[0].capitalize().replace("-", " ")] = folder / name
            (folder / name).write_bytes(data)
        session.results = {path.name: path for path in files.values()}
        command = ["python", "edit.py", photo.path, "-o", "OUT", *bench.words, *words]
        command += ["--faces", str(choice)] if isinstance(choice, Only) else []
        command += ["--force"] if photo.forced else []
        names = {what: path.name for what, path in files.items()}
        sizes = {what: _size_of(path) for what, path in files.items()}
        return Saved(names, sizes, shlex.join(command), "; ".join(problems).replace(f"{folder}/", ""))

    def _animation(
        self, studio: Studio, run: EditRun, digest: str, outputs: dict[str, Path], requests: Sequence[Request]
    ) -> Path:
        """The edits one after the other and back, as GIF."""
        frames = [Image.open(outputs[request.label]).convert("RGB") for request in requests]
        path = outputs[INVERSION].parent.parent / f"sweep-{requests[0].label.split('=')[0]}.gif"
        labels = [request.label for request in requests]
        record = {"digest": digest, "editor": studio.metadata["hash"], "labels": labels}
        title = f"Face edited with SDFlow: {labels[0]} to {labels[-1]}"
        save_marked_animation(path, [*frames, *frames[-2:0:-1]], title, record, _FRAME_SECONDS)
        return path


def _size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def open_bench(
    checkpoint: str | None,
    semantic_encoder: str | None = None,
    domain: str | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> Bench:
    """Open an editor, edit one grey face with it so that nobody waits for that later, and note how long it took.

    Raises:
        ValueError: the editor cannot be opened.
    """
    studio = Studio.open(
        checkpoint,
        semantic_encoder=semantic_encoder,
        domain=domain,
        device=device,
        precision=precision,  # type: ignore[arg-type]
    )
    studio.prepare()
    began = time.monotonic()
    studio.prepare()
    file = editor_path(checkpoint)
    named = {"--checkpoint": hub_address(file) or checkpoint}  # with the commit, so that the command stays true
    named |= {"--semantic-encoder": semantic_encoder, "--domain": domain}
    named |= {"--precision": precision}
    words = [word for name, value in named.items() if value is not None for word in (name, value)]
    title = f"{studio.pipeline.editor.title}: {', '.join(studio.requests)}"
    title += "" if file.resolve().parent == _SHIPPED else f" ({displayed(file)})"
    return Bench(studio, title, words, time.monotonic() - began)


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
