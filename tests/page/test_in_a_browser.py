"""The page in Chromium: what a person does with mouse and keyboard, and what then is on the screen."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason='not installed: gradio (pip install ".[page]")')

import edit
from scripts.page_parts.serving import Server
from tests.page.conftest import SAMPLES
from tests.photographs import couple

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

Opened = Callable[..., "Page"]
_BLOB = "const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));"
_DROP = f"""data => {{ {_BLOB}
  const dropped = new DataTransfer();
  dropped.items.add(new File([bytes], 'dropped.png', {{type: 'image/png'}}));
  document.querySelector('#photo button').dispatchEvent(
    new DragEvent('drop', {{bubbles: true, cancelable: true, dataTransfer: dropped}}));
}}"""
_COPY = f"""async data => {{ {_BLOB}
  await navigator.clipboard.write([new ClipboardItem({{'image/png': new Blob([bytes], {{type: 'image/png'}})}})]);
}}"""


@pytest.fixture()
def opened(browser: Browser) -> Iterator[Opened]:
    """Opens a page in a context of its own; nothing on it may fail or ask another machine."""
    contexts: list[Any] = []
    problems: list[str] = []

    def go(server: Server, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": 1240, "height": 1000}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        own = (server.address, "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(own) else problems.append(request.url))
        page.goto(server.address)
        page.wait_for_selector("#viewer")
        return page

    yield go
    for context in contexts:
        context.close()
    assert problems == []


def source(page: Page) -> str:
    """Address of the edited picture, which holds its pixels."""
    return page.locator(".sd-after").get_attribute("src") or ""


def pixels(address: str) -> np.ndarray:
    data = base64.b64decode(address.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def slider(page: Page, name: str) -> Locator:
    return page.get_by_role("slider", name=name)


def pull(page: Page, name: str, value: float) -> str:
    """Pull a slider; gives the picture that then is shown."""
    before = source(page)
    slider(page, name).evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})) }",
        value,
    )
    page.wait_for_function("before => document.querySelector('.sd-after').src !== before", arg=before)
    return source(page)


def upload(page: Page, path: Path) -> None:
    """Choose a file, and wait until the page has dealt with it."""
    page.locator("#overview").evaluate("e => e.dataset.old = e.innerHTML")
    page.locator("#photo input[type=file]").set_input_files(str(path))


def wait_until(page: Page, holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not come about")


def test_from_a_sample_face_to_the_file(server: Server, opened: Opened, tmp_path: Path) -> None:
    page = opened(server)
    page.wait_for_selector(".sd-after")  # a sample face is there
    first = source(page)
    page.get_by_role("button", name="Sample face 3").click()
    page.wait_for_function("before => document.querySelector('.sd-after').src !== before", arg=first)
    unedited = pixels(source(page))
    after = pixels(pull(page, "Eyeglasses", 1.2))
    assert np.abs(after - unedited).max() > 40
    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Edited face").click()
    words = [str(SAMPLES[2]), "-o", str(tmp_path / "out"), "--set", "Eyeglasses=1.2", "--quiet", "--device", "cpu"]
    assert edit.main(words) == 0
    theirs = tmp_path / "out/faces/face-03--Eyeglasses=1.2.png"
    assert download.value.suggested_filename == theirs.name
    assert Path(download.value.path()).read_bytes() == theirs.read_bytes()
    edited = source(page)  # before the click: the answer may come at once
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("old => document.querySelector('.sd-after').src !== old", arg=edited)
    assert (pixels(source(page)) == unedited).all()
    page.get_by_role("tab", name="What the classifier says").click()
    assert page.locator("#bars tbody tr").count() == 5


def test_the_keyboard_reaches_every_control(server: Server, opened: Opened) -> None:
    page = opened(server, color_scheme="dark")
    page.wait_for_selector(".sd-after")
    before = source(page)
    control = slider(page, "Smiling")
    control.focus()
    for _ in range(40):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("before => document.querySelector('.sd-after').src !== before", arg=before)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, a[href]')].filter(e => e.offsetParent !== null
        && !(e.getAttribute('aria-label') || e.innerText.trim() || e.title || e.labels?.length
             || e.closest('label'))).map(e => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []
    cut = page.get_by_role("slider", name="Share of the picture")
    cut.focus()
    page.keyboard.press("End")
    assert (
        page.locator("#viewer")
        .evaluate("e => getComputedStyle(e.querySelector('.sd-over')).clipPath")
        .startswith("inset(0px 0px 0px 100%")
    )


def test_the_second_face_of_an_uploaded_photograph(photo_server: Server, opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "couple.png"
    couple().save(path)
    page = opened(photo_server)
    upload(page, path)
    second = page.get_by_role("button", name="Face 2 of 2")
    second.wait_for()
    before = source(page)
    second.click()
    page.wait_for_function("before => document.querySelector('.sd-after').src !== before", arg=before)
    assert page.get_by_role("button", name="Face 2 of 2").get_attribute("aria-pressed") == "true"
    pull(page, "Smiling", 1.5)
    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Whole photograph").click()
    words = [str(path), "-o", str(tmp_path / "out"), "--faces", "only-2", "--set", "Smiling=1.5"]
    words += photo_server.workbench.benches[0].words
    assert edit.main([*words, "--quiet", "--device", "cpu"]) == 0
    theirs = (tmp_path / "out/photos/couple--Smiling=1.5.png").read_bytes()
    assert Path(download.value.path()).read_bytes() == theirs


def test_what_is_no_face_is_said_and_can_be_edited_anyway(server: Server, opened: Opened, tmp_path: Path) -> None:
    page = opened(server)
    page.wait_for_selector(".sd-after")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    upload(page, tmp_path / "noise.png")
    page.get_by_text("does not look like a face of this domain").wait_for()
    page.get_by_role("button", name="Edit it anyway").click()
    page.get_by_role("button", name="Edit it anyway").wait_for(state="hidden")
    pull(page, "Eyeglasses", 1.5)
    (tmp_path / "text.png").write_bytes(b"this is no picture")
    upload(page, tmp_path / "text.png")
    page.get_by_text("Not a picture of a known format").wait_for()


def test_a_dropped_a_pasted_and_a_filmed_picture(server: Server, opened: Opened) -> None:
    page = opened(server, permissions=["clipboard-read", "clipboard-write", "camera"])
    page.wait_for_selector(".sd-after")
    dropped, pasted = SAMPLES[6:8]

    def shown(path: Path) -> bool:
        if not page.locator("#overview img").count():
            return False
        found = pixels(page.locator("#overview img").get_attribute("src") or "")
        wanted = np.asarray(Image.open(path).convert("RGB"))
        return found.shape == wanted.shape and bool((found == wanted).all())

    page.evaluate(_DROP, base64.b64encode(dropped.read_bytes()).decode())
    wait_until(page, lambda: shown(dropped))
    page.evaluate(_COPY, base64.b64encode(pasted.read_bytes()).decode())
    page.get_by_role("button", name="Paste from clipboard").click()
    wait_until(page, lambda: shown(pasted))
    page.get_by_role("button", name="Capture from camera").click()
    page.get_by_role("button", name="Click to Access Webcam").click()
    page.wait_for_function("[...document.querySelectorAll('video')].some(video => video.videoWidth && !video.paused)")
    page.get_by_role("button", name="capture photo").click()
    page.get_by_text("does not look like a face of this domain").wait_for()


def test_two_users_at_once(server: Server, opened: Opened) -> None:
    pages = [opened(server), opened(server)]
    for page, path in zip(pages, SAMPLES[6:8], strict=True):
        page.wait_for_selector(".sd-after")
        page.evaluate("document.querySelector('.sd-after').remove()")
        upload(page, path)
    for page, path in zip(pages, SAMPLES[6:8], strict=True):
        page.wait_for_selector(".sd-after")
        shown = pixels(page.locator("#overview img").get_attribute("src") or "")
        assert (shown == np.asarray(Image.open(path).convert("RGB"))).all()
    results = [pixels(pull(page, "Male", value)) for page, value in zip(pages, (1.5, -0.5), strict=True)]
    assert np.abs(results[0] - results[1]).max() > 40


def test_a_closed_page_leaves_nothing(server: Server, opened: Opened) -> None:
    page = opened(server)
    page.wait_for_selector(".sd-after")
    count = len(server.sessions)
    page.goto("about:blank")
    for _ in range(200):
        if len(server.sessions) < count:
            break
        page.wait_for_timeout(50)
    assert len(server.sessions) < count


def test_what_is_needed_is_on_the_first_screen(server: Server, opened: Opened) -> None:
    page = opened(server)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_text("Not edited yet").wait_for()
    pull(page, "Smiling", 1.2)
    assert page.locator("b", has_text="Before").count() == page.locator("b", has_text="After").count() == 1
    for control in (page.get_by_role("button", name="Save", exact=True), slider(page, "Strength of all changes")):
        box = control.bounding_box()
        assert box is not None and box["y"] + box["height"] < 850


def test_narrow_windows_do_not_scroll_sideways(server: Server, opened: Opened) -> None:
    page = opened(server)
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_selector(".sd-after")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
