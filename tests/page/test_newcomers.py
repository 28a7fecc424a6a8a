"""What somebody who sees the page for the first time can tell: what it takes, what is off and why, what comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason='not installed: gradio (pip install ".[page]")')

from scripts.page_parts.serving import Server
from scripts.page_parts.workbench import Bench, open_bench
from tests.page.conftest import SAMPLES
from tests.page.test_in_a_browser import opened, pixels, pull, slider, source, upload, wait_until  # noqa: F401
from utils.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

Opened = Callable[..., "Page"]


@pytest.fixture(scope="module")
def two_editors(avatars: Bench) -> Iterator[Server]:
    masks = open_bench(str(ROOT / "pretrained/avatars/s2flow.safetensors"), device="cpu")
    server = Server([avatars, masks], SAMPLES)
    yield server
    server.close()


def test_a_picture_that_cannot_be_edited_leaves_no_dead_controls(
    server: Server,
    opened: Opened,  # noqa: F811
    tmp_path: Path,
) -> None:
    page = opened(server)
    page.get_by_text("Not edited yet").wait_for()
    head = page.locator("#head").inner_text()
    assert "This editor knows drawn avatars only; photographs: python scripts/download.py" in head
    first = source(page)
    edited = pull(page, "Smiling", 1.3)
    (tmp_path / "text.png").write_bytes(b"this is no picture")
    upload(page, tmp_path / "text.png")
    page.get_by_text("Not a picture of a known format. The face before stays").wait_for()
    assert source(page) == edited != first
    page.get_by_role("button", name="Save", exact=True).click()  # what is seen can still be saved
    page.get_by_text("Click one to download it").wait_for()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    upload(page, tmp_path / "noise.png")
    page.get_by_text("The controls are off until you choose another picture").wait_for()
    wait_until(page, lambda: set(inert(page)) == {True})
    assert not slider(page, "Smiling").evaluate("e => { e.focus(); return document.activeElement === e; }")
    page.get_by_role("button", name="Sample face 2").click()
    wait_until(page, lambda: set(inert(page)) == {False})
    pull(page, "Smiling", 0)


def test_without_a_picture_nothing_can_be_pulled(avatars: Bench, opened: Opened) -> None:  # noqa: F811
    server = Server([avatars], [])
    try:
        page = opened(server)
        page.get_by_text("The face appears here").wait_for()
        wait_until(page, lambda: set(inert(page)) == {True})
    finally:
        server.close()


def test_the_picture_stays_in_sight_in_a_narrow_window(server: Server, opened: Opened) -> None:  # noqa: F811
    page = opened(server)
    page.set_viewport_size({"width": 400, "height": 800})
    page.get_by_text("Not edited yet").wait_for()
    for name in ("Eyeglasses", "Strength of all changes"):
        control = slider(page, name)
        control.evaluate("e => e.scrollIntoView({block: 'end'})")
        page.wait_for_timeout(200)
        face, box = page.locator(".sd-view").bounding_box(), control.bounding_box()
        assert face is not None and box is not None
        assert face["y"] >= 0 and face["y"] + face["height"] < box["y"] < 800
        middle = f"document.elementFromPoint({face['x'] + 20}, {face['y'] + face['height'] / 2})"
        assert page.evaluate(f"!!{middle}.closest('#viewer')")  # nothing lies over it
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_another_editor_is_explained_and_starts_anew(two_editors: Server, opened: Opened) -> None:  # noqa: F811
    page = opened(two_editors)
    page.get_by_text("Not edited yet").wait_for()
    page.get_by_text("SDFlow: attributes by sliders; S²-Flow: painted masks, another face's style.").wait_for()
    unedited = pixels(source(page))
    pull(page, "Smiling", 0)
    page.get_by_text("Before: the face as the generator reproduces it").wait_for()
    page.get_by_role("radio", name="S²-Flow").check()
    page.get_by_text("Another editor starts with the face unedited").wait_for()
    wait_until(page, lambda: bool((pixels(source(page)) == unedited).all()))


def test_the_keyboard_is_seen_on_sliders(server: Server, opened: Opened) -> None:  # noqa: F811
    page = opened(server, color_scheme="dark")
    page.get_by_text("Not edited yet").wait_for()
    for name in ("Smiling", "Strength of all changes"):
        control = slider(page, name)
        control.focus()
        page.keyboard.press("ArrowLeft")
        outline = control.evaluate("e => { const s = getComputedStyle(e); return [s.outlineStyle, s.outlineWidth]; }")
        assert outline == ["solid", "3px"]
    rest = slider(page, "Strength of all changes").evaluate(
        "e => getComputedStyle(e).getPropertyValue('--neutral-200')"
    )
    assert rest.strip() == "#3f3f46"  # not the white of light pages


def inert(page: Page) -> list[bool]:
    """Of everything that needs a face, whether it is off."""
    found: list[bool] = page.evaluate("[...document.querySelectorAll('.sd-needs-face')].map(e => e.inert)")
    return found
