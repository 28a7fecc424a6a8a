"""The tab of editors of identities: a second face, somebody who does not exist, the share."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason='not installed: gradio (pip install ".[page]")')

from models.editing.requests import identity
from scripts.page_parts.serving import Server
from scripts.page_parts.workbench import open_bench
from tests.masks import noise
from tests.page.calls import TIMEOUT, Tab, file_data
from tests.page.test_by_http import links, pictures
from tests.page.test_in_a_browser import opened, pixels, pull, source, wait_until  # noqa: F401
from tests.page.test_masks_and_styles import face_of, moved, samples, saved_as_edit_py_does  # noqa: F401
from tests.photographs import encoded

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def server(tiny_swap_editor: Path, samples: list[Path]) -> Iterator[Server]:  # noqa: F811
    server = Server([open_bench(str(tiny_swap_editor), device="cpu")], samples)
    yield server
    server.close()


@pytest.fixture()
def tab(server: Server) -> Tab:
    return Tab(server)


def save(tab: Tab, folder: Path, photo: Path, monkeypatch: pytest.MonkeyPatch, second: bytes = b"") -> list[str]:
    """Save, and check that the command writes the same; gives its words."""
    message, saved = tab.call("_save", [False])
    assert message == ""
    addresses = links(saved)
    monkeypatch.chdir(folder)
    return saved_as_edit_py_does(
        saved,
        lambda name: tab.web.get(tab.url("/" + addresses[name]), timeout=TIMEOUT).content,
        photo,
        folder,
        second,
    )


def jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.resize((900, 900)).save(stream, "JPEG")
    return stream.getvalue()


def test_an_uploaded_second_face_gives_its_identity_and_the_bytes_of_edit_py(
    tab: Tab,
    samples: list[Path],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tab.show(samples[0].read_bytes(), "one.png")
    face = face_of(tab)
    assert "Not edited yet" in tab.call("follow", ["own", 1, 1])[1]
    data = jpeg(noise(3))  # so large that a reduced copy of it would do for the photograph itself
    (path,) = tab.upload(data, "second.png").json()
    answer = tab.call("upload_second", [file_data(path, "second.png"), "own", 1, 1])
    assert answer[0] == "" and answer[5] == "second"  # to choose a face is to ask for it
    edit = tab.server.sessions.of(tab.key).wanted
    assert edit is not None and (pictures(answer[1])[1] == np.asarray(edit.edit.picture)).all()
    (second,) = face.studio.find(Image.open(io.BytesIO(data)))
    assert f"second face: the edited face <b>{edit.edit.identity_to(second):.2f}</b>" in answer[2]
    assert f"the edited face <b>{edit.edit.identity:.2f}</b>" in answer[2]
    assert save(tab, tmp_path, samples[0], monkeypatch, data)[-2:] == ["--identity", "second.png"]
    answer = tab.call("follow", ["second", 0, 1])
    own = face.edit(identity=(face, 0)).picture
    assert (pictures(answer[1])[1] == np.asarray(own)).all()  # the swap of the face with itself


def test_somebody_who_does_not_exist(
    tab: Tab,
    samples: list[Path],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tab.show(samples[0].read_bytes(), "one.png")
    face = face_of(tab)
    answer = tab.call("follow", ["nobody", 0.5, 7])
    assert (pictures(answer[1])[1] == np.asarray(face.edit(identity=("random:7", 0.5)).picture)).all()
    assert "second face" not in answer[2]
    words = save(tab, tmp_path, samples[0], monkeypatch)
    assert words[-4:] == ["--identity", f"{identity.RANDOM}7", "--identity-share", "0.5"]
    message = tab.call("follow", ["nobody", 1, None])[0]
    assert "The seed of somebody who does not exist is a whole number from 0." in message


def test_a_second_picture_that_is_none_is_said_in_a_sentence(
    tiny_swap_editor: Path,
    samples: list[Path],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = open_bench(str(tiny_swap_editor), device="cpu")
    server = Server([bench], samples)
    try:
        tab = Tab(server)
        before = tab.show(samples[0].read_bytes())
        shown = tab.call("pick_second", ["own", 1, 1], event_data={"index": 2})
        assert before[1] == shown[0] == ""
        monkeypatch.setattr(bench.studio.pipeline.domain, "reconstruction_limit", 1e-9)
        for data, words in (
            (b"this is no picture", "Not a picture of a known format"),
            (encoded(noise(8)), "The second face does not look like a face of this domain"),
        ):
            (path,) = tab.upload(data).json()
            answer = tab.call("upload_second", [file_data(path), "second", 1, 1])
            assert words in answer[0] and answer[0].count("<p") == 1
            assert all(isinstance(value, dict) and "value" not in value for value in answer[1:])  # all else stays
    finally:
        server.close()


def test_identities_in_a_browser(server: Server, opened: Callable[..., Page], samples: list[Path]) -> None:  # noqa: F811
    page = opened(server)
    page.get_by_text("Not edited yet").wait_for()
    unedited = pixels(source(page))
    moved(page, lambda: page.get_by_role("button", name="Second face 3").click())
    third = pixels(source(page))
    assert page.get_by_role("radio", name="The second face's").is_checked() and np.abs(third - unedited).max() > 10
    page.get_by_text("Same person as the second face").wait_for()
    assert page.locator("b", has_text="Before").count() == page.locator("b", has_text="After").count() == 1
    page.locator("input[type=file]").last.set_input_files(str(samples[1]))
    wait_until(page, lambda: bool((pixels(source(page)) != third).any()))
    second = pixels(source(page))
    assert (pixels(pull(page, "Share of the other identity", 0)) != second).any()
    pull(page, "Share of the other identity", 1)
    moved(page, lambda: page.get_by_role("radio", name="Of somebody who does not exist").check())
    first = pixels(source(page))
    moved(page, lambda: page.get_by_role("spinbutton", name="Seed").fill("2"))
    assert (pixels(source(page)) != first).any()
    moved(page, lambda: page.get_by_role("button", name="Reset").click())
    assert (pixels(source(page)) == unedited).all()
