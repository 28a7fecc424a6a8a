"""The page served from this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.photographs import photograph_editor
from utils.paths import ROOT

if TYPE_CHECKING:
    from scripts.page_parts.serving import Server
    from scripts.page_parts.workbench import Bench

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
