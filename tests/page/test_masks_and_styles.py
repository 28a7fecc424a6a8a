"""The tabs of editors of masks: a painted mask, automatic edits, the style of a second face, both together."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason='not installed: gradio (pip install ".[page]")')

from models.editing.studio import Face
from models.parsing import mask_edits
from models.parsing.palette import CLASSES, classes_of, painted, read_mask
from scripts.page_parts import painter
from scripts.page_parts.serving import Server
from scripts.page_parts.workbench import open_bench
from tests.masks import SIDE, drawn, noise, run
from tests.page.calls import TIMEOUT, Tab, file_data
from tests.page.test_by_http import links, pictures
from tests.page.test_in_a_browser import opened, pixels, source, wait_until  # noqa: F401
from tests.photographs import encoded
from utils.weights import load_weights, save_weights

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

TEXT, SHARE = 10, 12  # where an answer to a new face has the mask and the share
CLOTHES = CLASSES.index("clothes")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("samples")
    for number in range(3):
        noise(number).save(folder / f"sample-{number}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def server(tiny_mask_editor: Path, samples: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page with an editor that a few painted pixels move."""
    state, metadata = load_weights(tiny_mask_editor)
    state["mask_encoder.fc.weight"] *= 5
    path = tmp_path_factory.mktemp("sensitive") / "editor.safetensors"
    save_weights(path, state, metadata)
    server = Server([open_bench(str(path), device="cpu")], samples)
    yield server
    server.close()


@pytest.fixture()
def tab(server: Server) -> Tab:
    return Tab(server)


def face_of(tab: Tab) -> Face:
    return tab.server.workbench.face(tab.server.sessions.of(tab.key), 0)


def saved_as_edit_py_does(
    saved: str, read: Callable[[str], bytes], photo: Path, folder: Path, second: bytes = b""
) -> list[str]:
    """Save the offered files in a folder and run the command there: it must write the same bytes; gives its words."""
    names = list(links(saved))
    for name in names:
        (folder / name).write_bytes(read(name))
    (command,) = re.findall(r"<pre[^>]*>(.*?)</pre>", saved)
    words = shlex.split(html.unescape(command))[2:]
    (folder / words[0]).write_bytes(photo.read_bytes())
    if second:
        (folder / "second.png").write_bytes(second)
    ours = [name for name in names if "--" in name]
    assert run(*words) == 0 and ours
    for name in ours:
        assert (folder / "OUT/faces" / name).read_bytes() == (folder / name).read_bytes()
    return words


def test_a_painted_mask_is_edited_and_saved_as_edit_py_does(
    tab: Tab, samples: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = tab.show(samples[0].read_bytes(), "one.png")
    face = face_of(tab)
    assert answer[1] == "" and (painter.read(face, answer[TEXT]) == face.mask).all() and answer[SHARE] == 0
    message, viewer, *_ = tab.call("follow", [answer[TEXT], 0])
    assert message == "" and "Not edited yet" in viewer  # the face's own mask asks for nothing
    message, viewer, facts, _ = tab.call("follow", [painter.written(face, drawn()), 0])
    expected = face.edit(mask=drawn()).picture
    assert message == "" and (pictures(viewer)[1] == np.asarray(expected)).all() and "the edited face" in facts
    message, saved = tab.call("_save", [False])
    assert message == ""
    addresses = links(saved)
    monkeypatch.chdir(tmp_path)
    words = saved_as_edit_py_does(
        saved, lambda name: tab.web.get(tab.url("/" + addresses[name]), timeout=TIMEOUT).content, samples[0], tmp_path
    )
    assert words[-2:] == ["--mask", "painted-mask.png"]
    assert (read_mask(tmp_path / "painted-mask.png") == drawn()).all()


def test_mask_and_style_together_are_one_edit(
    tab: Tab, samples: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab.show(samples[0].read_bytes(), "one.png")
    face = face_of(tab)
    text = painter.written(face, drawn(glasses=True))
    (path,) = tab.upload(encoded(noise(3)), "second.png").json()
    answer = tab.call("upload_second", [file_data(path, "second.png"), text, 0.75])
    assert answer[0] == "" and (pictures(answer[-1])[0] == np.asarray(noise(3))).all()
    for values, expected in (
        ((text, 0.75), face.edit(mask=drawn(glasses=True), style=(noise(3), 0.75))),
        ((painter.written(face, face.mask), 1.5), face.edit(style=(noise(3), 1.5))),
    ):
        assert (pictures(tab.call("follow", [*values])[1])[1] == np.asarray(expected.picture)).all()
    tab.call("follow", [text, 0.75])
    _, saved = tab.call("_save", [False])
    addresses = links(saved)
    monkeypatch.chdir(tmp_path)
    words = saved_as_edit_py_does(
        saved,
        lambda name: tab.web.get(tab.url("/" + addresses[name]), timeout=TIMEOUT).content,
        samples[0],
        tmp_path,
        encoded(noise(3)),
    )
    assert words[-4:] == ["--mask", "painted-mask.png", "--style", "second.png:0.75"]
    before = tab.call("follow", [text, 0.75])
    other = tab.call("pick_second", [text, 0.75], event_data={"index": 2})
    assert (pictures(before[1])[1] != pictures(other[1])[1]).any()


def test_automatic_edits_take_parts_of_the_second_face(tab: Tab, samples: list[Path]) -> None:
    tab.show(samples[0].read_bytes())
    face = face_of(tab)
    (second,) = face.studio.find(samples[1])  # until another one is chosen
    donor = face.studio.pipeline.masks(second.inverted.image)[0].numpy().astype(np.uint8)
    text = painter.written(face, drawn())
    for button, edit in (("Hair", "hair"), ("Nose", "nose"), ("Mouth", "smile")):
        answer = tab.press(button, [text, 0])
        expected = mask_edits.edit_mask(edit, drawn(), donor)
        assert answer[0] == "" and (painter.read(face, answer[-1]) == expected).all()
        assert (pictures(answer[1])[1] == np.asarray(face.edit(mask=expected).picture)).all()
    answer = tab.press("Add glasses", [painter.written(face, drawn(glasses=True)), 0])
    assert "Add glasses is impossible: the face wears glasses already." in answer[0]
    assert answer[-1].get("__type__") == "update" and "value" not in answer[-1]  # the mask stays


def test_a_mask_in_a_file(tab: Tab, samples: list[Path]) -> None:
    text = tab.show(samples[0].read_bytes())[TEXT]
    face = face_of(tab)

    def opened_mask(data: bytes) -> list:
        (path,) = tab.upload(data, "mask.png").json()
        return tab.press("Open a mask", [file_data(path, "mask.png"), text, 0])

    large = Image.fromarray(painted(drawn())).resize((3 * SIDE, 3 * SIDE), Image.Resampling.NEAREST)
    answer = opened_mask(encoded(large))
    assert answer[0] == "" and (painter.read(face, answer[-1]) == drawn()).all()
    smooth = large.resize((50, 50), Image.Resampling.BILINEAR)
    for wrong, words in (
        (encoded(smooth), "pixels have a colour outside the palette"),
        (encoded(large.crop((0, 0, 90, 60))), "A mask of 90 × 60 pixels; a face"),
        (b"mask", "Not a picture of a known format"),
        (encoded(Image.new("L", (SIDE, SIDE))), "background alone"),
    ):
        answer = opened_mask(wrong)
        assert words in answer[0] and "role='alert'" in answer[0]
    assert not list(tab.server.uploads.folder.iterdir())


def test_texts_that_no_brush_writes(tab: Tab, samples: list[Path]) -> None:
    tab.show(samples[0].read_bytes())
    face = face_of(tab)
    good = painter.written(face, drawn())
    owner = good.split()[0]
    for wrong in (
        f"{owner} {SIDE}",
        f"{owner} {SIDE} 19*{SIDE**2}",
        f"{owner} {SIDE} 1*{SIDE**2 - 1}",
        f"{owner} 64 1*4096",
        f"{owner} {SIDE} 1*9999999 1*9999999",
        f"{owner} {SIDE} -1*{SIDE**2}",
        f"{owner} {SIDE} {good}",
    ):
        assert "This is no mask of this face." in tab.call("follow", [wrong, 0])[0], wrong
    for other in ("", f"x {SIDE} 1*{SIDE**2}", None, 7, ["x"]):  # of another face, as when two come at once
        message, viewer, *_ = tab.call("follow", [other, 0])
        assert message == "" and "Not edited yet" in viewer
    for share in (-0.1, 1.6, "1", None):
        reply = tab.join("follow", [good, share])
        if reply.status_code == 200:
            tab.web.get(tab.url("/gradio_api/queue/data"), params={"session_hash": tab.key}, timeout=TIMEOUT)
    assert tab.call("follow", [good, 0])[0] == ""  # the page goes on
    assert "Change something first." in Tab(tab.server).call("_save", [False])[0]


def test_second_faces_are_uploads_and_nothing_else(tab: Tab, samples: list[Path]) -> None:
    text = tab.show(samples[0].read_bytes())[TEXT]
    session = tab.server.sessions.of(tab.key)
    for path in ("/etc/passwd", str(samples[1]), "../x", f"{tab.server.uploads.folder}/../x"):
        for number in (tab.number_of("upload_second"), tab.number_of_button("Open a mask")):
            assert tab.join("", [file_data(path), text, 0], fn_index=number).status_code == 403
    tab.call("follow", [text, 0.5])
    before = session.second
    assert before is not None
    for data, words in ((b"text", "Not a picture of a known format"), (encoded(Image.new("L", (9, 9))), "Too small")):
        (path,) = tab.upload(data).json()
        answer = tab.call("upload_second", [file_data(path), text, 0.5])
        assert words in answer[0] and session.second is before
    (path,) = tab.upload(encoded(noise(3))).json()
    assert tab.call("upload_second", [file_data(path), text, 0.5])[0] == ""
    assert "did not arrive" in tab.call("upload_second", [file_data(path), text, 0.5])[0]  # it can be taken once
    other = Tab(tab.server)
    other.show(samples[0].read_bytes())
    other.call("follow", [text, 0.5])
    second = tab.server.sessions.of(other.key).second
    assert second is not None and second.path == str(samples[1])  # not what the first user chose
    tab.server.sessions.close(tab.key)
    assert session.second is None


def test_without_samples_a_second_face_must_be_chosen(tiny_mask_editor: Path) -> None:
    server = Server([open_bench(str(tiny_mask_editor), device="cpu")], [])
    try:
        tab = Tab(server)
        text = tab.show(encoded(noise(0)))[TEXT]
        assert "Choose a second face first." in tab.press("Hair", [text, 0])[0]
        assert "Choose a second face first." in tab.call("follow", [text, 0.5])[0]
    finally:
        server.close()


def test_painting_in_a_browser(
    server: Server,
    opened: Callable[..., Page],  # noqa: F811
    samples: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = opened(server)
    page.get_by_text("Not edited yet").wait_for()
    unedited = pixels(source(page))
    canvas = page.locator(".sd-paint canvas")
    wait_until(page, lambda: len(np.unique(classes(canvas))) > 1)
    own = classes(canvas)
    Image.fromarray(painted(drawn())).save(tmp_path / "drawn.png")
    moved(page, lambda: page.locator("input[type=file]").nth(1).set_input_files(str(tmp_path / "drawn.png")))
    assert (classes(canvas) == drawn()).all()
    page.get_by_role("button", name="clothes", exact=True).click()
    page.get_by_role("slider", name="Brush").fill("8")
    moved(page, lambda: stroke(page, canvas, (0.2, 0.5), (0.8, 0.5)))
    row = classes(canvas)[SIDE // 2]
    assert (row[SIDE // 4 : SIDE * 3 // 4] == CLOTHES).all()
    assert (classes(canvas)[: SIDE // 4] == drawn()[: SIDE // 4]).all()
    painted_once = classes(canvas)
    moved(page, lambda: page.get_by_role("button", name="Hair", exact=True).click())
    wait_until(page, lambda: bool((classes(canvas) != painted_once).any()))
    undo = page.get_by_role("button", name="Undo")
    moved(page, undo.click)
    assert (classes(canvas) == painted_once).all()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="Edited face").wait_for()
    saved = page.locator("#saved").inner_html().replace('"', "'")

    def read(name: str) -> bytes:
        with page.expect_download() as download:
            page.locator(f"#saved a[download='{name}']").click()
        return Path(download.value.path()).read_bytes()

    names = re.findall(r"download='([^']+)'", saved)
    for name in names:
        (tmp_path / name).write_bytes(read(name))
    assert (read_mask(tmp_path / "painted-mask.png") == painted_once).all()
    (edited,) = [name for name in names if "--" in name]
    words = [samples[0], "-o", tmp_path / "out", *server.workbench.benches[0].words]
    assert run(*words, "--mask", tmp_path / "painted-mask.png") == 0
    assert (tmp_path / "out/faces" / edited).read_bytes() == (tmp_path / edited).read_bytes()
    canvas.focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("button", name="necklace", exact=True).click()
    canvas.focus()
    moved(page, lambda: page.keyboard.press("Space"))
    assert (classes(canvas) == CLASSES.index("necklace")).sum() > 30
    for _ in range(3):
        moved(page, undo.click)
    assert (pixels(source(page)) == unedited).all() and (classes(canvas) == own).all() and undo.is_disabled()


def test_what_comes_of_an_older_mask_is_dropped(
    server: Server,
    opened: Callable[..., Page],  # noqa: F811
    tmp_path: Path,
) -> None:
    """Before, a late automatic edit replaced what had been painted since."""
    page = opened(server)
    page.get_by_text("Not edited yet").wait_for()
    canvas = page.locator(".sd-paint canvas")
    wait_until(page, lambda: len(np.unique(classes(canvas))) > 1)
    Image.fromarray(painted(drawn())).save(tmp_path / "drawn.png")
    moved(page, lambda: page.locator("input[type=file]").nth(1).set_input_files(str(tmp_path / "drawn.png")))
    page.get_by_role("button", name="clothes", exact=True).click()
    page.get_by_role("slider", name="Brush").fill("8")
    moved(page, lambda: stroke(page, canvas, (0.2, 0.5), (0.8, 0.5)))
    session = max(server.sessions._open.values(), key=lambda one: one.used)
    with session.lock:  # the edit has been asked for, and takes its time
        page.get_by_role("button", name="Hair", exact=True).click()
        page.wait_for_timeout(300)
        stroke(page, canvas, (0.2, 0.8), (0.8, 0.8))
        painted_since = classes(canvas)
    page.wait_for_timeout(2000)
    assert (classes(canvas) == painted_since).all()
    before = classes(canvas)
    moved(page, lambda: page.get_by_role("button", name="Hair", exact=True).click())  # of the newest mask
    assert (classes(canvas) != before).any()


def test_a_style_in_a_browser(server: Server, opened: Callable[..., Page], samples: list[Path]) -> None:  # noqa: F811
    page = opened(server)
    page.get_by_text("Not edited yet").wait_for()
    unedited = pixels(source(page))
    page.get_by_role("tab", name="Style").click()
    share = page.get_by_role("slider", name="Share of the second face")
    share.wait_for()
    moved(
        page,
        lambda: share.evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})) }",
            1,
        ),
    )
    first = pixels(source(page))
    moved(page, lambda: page.get_by_role("button", name="Second face 3").click())
    second = pixels(source(page))
    assert np.abs(first - unedited).max() > 10 and np.abs(second - first).max() > 10
    page.locator("input[type=file]").last.set_input_files(str(samples[1]))
    wait_until(page, lambda: bool((pixels(source(page)) == first).all()))
    moved(page, lambda: page.get_by_role("button", name="Reset").last.click())
    assert (pixels(source(page)) == unedited).all()


def classes(canvas: Locator) -> np.ndarray:
    """The mask that a canvas shows."""
    colours = canvas.evaluate(
        "e => [...e.getContext('2d').getImageData(0, 0, e.width, e.height).data].filter((_, i) => i % 4 < 3)"
    )
    side = round((len(colours) / 3) ** 0.5)
    found = np.array(colours, dtype=np.uint8).reshape(-1, 3)[: side**2]
    return classes_of(found.reshape(side, side, 3)) if side == SIDE else np.zeros((1, 1), np.uint8)


def moved(page: Page, act: Callable[[], object]) -> None:
    """Do something, and wait for the picture that comes of it and stays."""
    before = source(page)
    act()
    wait_until(page, lambda: source(page) != before)
    for _ in range(100):
        now = source(page)
        page.wait_for_timeout(400)
        if source(page) == now:
            return


def stroke(page: Page, canvas: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Pull the brush from one place of the canvas to another."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=6)
    page.mouse.up()
