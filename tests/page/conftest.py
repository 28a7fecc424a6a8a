"""The page served from this process, and a browser for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts.benchmarks.page_latency import FLAGS, chromium
from tests.photographs import photograph_editor
from utils.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from scripts.page_parts.serving import Server
    from scripts.page_parts.workbench import Bench

_FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
SAMPLES = sorted((ROOT / "pretrained/avatars/samples").glob("*.png"))


@pytest.fixture(scope="session")
def avatars() -> Bench:
    from scripts.page_parts.workbench import open_bench

    return open_bench(None, device="cpu")


@pytest.fixture(scope="session")
def photographs(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The tiny editor in a domain that cuts faces out of photographs."""
    from scripts.page_parts.workbench import open_bench

    path = tmp_path_factory.mktemp("editor") / "editor.safetensors"
    return open_bench(photograph_editor(tiny_domain_folder, path), device="cpu")


@pytest.fixture(scope="session")
def server(avatars: Bench) -> Iterator[Server]:
    """The page of drawn faces, with small limits."""
    from scripts.page_parts.limits import Limits
    from scripts.page_parts.serving import Server

    server = Server([avatars], SAMPLES, Limits(megabytes=2, megapixels=4, waiting=300))
    yield server
    server.close()


@pytest.fixture(scope="session")
def photo_server(photographs: Bench) -> Iterator[Server]:
    from scripts.page_parts.serving import Server

    server = Server([photographs], [])
    yield server
    server.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    driver: Any = pytest.importorskip(
        "playwright.sync_api", reason="not installed: playwright (pip install playwright)"
    )
    executable = chromium()
    if executable is None:
        pytest.skip("not installed: Chromium (apt-get install chromium)")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[*FLAGS, *_FAKE_CAMERA])
        yield browser
        browser.close()
