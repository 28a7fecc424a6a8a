"""A whole domain in miniature: every file in the real formats, every network a few kilobytes with random weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are shared among the processes; read when PyTorch is imported
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))

# isort: split

import pytest
import torch
import yaml

from models.domain import PARTS, Domain
from tests.identities import save_swap_editor
from tests.masks import save_mask_editor
from training.methods.sdflow import SDFlowMethod
from utils.weights import save_weights

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
ATTRIBUTES = ["Eyeglasses", "Male", "Young", "Smiling", "Wavy_Hair"]
SIDE, STYLE_DIM, STYLES = 32, 8, 8


def tiny_domain_config(folder: Path) -> dict:
    """Section of a domain whose weights lie in `folder`."""
    classifier = {"name": "attribute_classifier", "backbone": "r18", "width": 4, "attribute_heads": 5, "age_logits": 0}
    networks = {
        "generator": {
            "name": "stylegan2_generator",
            "size": SIDE,
            "style_dim": STYLE_DIM,
            "mapping_layers": 2,
            "channels": {4: 8, 8: 8, 16: 8, 32: 8},
        },
        "encoder": {
            "name": "e4e_encoder",
            "input_size": SIDE,
            "styles": STYLES,
            "style_dim": STYLE_DIM,
            "layers": [1, 1, 1, 1],
            "widths": [16, 16, 16, 16, 16],  # a squeeze-and-excitation unit needs 16
        },
        "teacher": dict(classifier),
        "judge": dict(classifier),
        "identity": {
            "name": "iresnet_identity",
            "layers": [1, 1, 1, 1],
            "width": 4,
            "embedding_dim": 16,
            "input_side": SIDE,
            "crop": None,
        },
        "parser": {"name": "face_parser", "widths": [8, 8]},
    }
    sections = {part: {**network, "weights": str(folder / f"{part}.safetensors")} for part, network in networks.items()}
    return {
        "name": "tiny",
        "attributes": ATTRIBUTES,
        "image_side": SIDE,
        "aligner": {"name": "resize"},
        "weights_hint": "the tests make it",
        "foreign_face_hint": "this domain knows noise only",
        **sections,
    }


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the optional packages without which tests were skipped: those say 'not installed: NAME (HOW)'."""
    reports = [report.longrepr for report in terminalreporter.stats.get("skipped", [])]
    reasons = {report[2].removeprefix("Skipped: ") for report in reports if isinstance(report, tuple)}
    for reason in sorted(reason for reason in reasons if reason.startswith("not installed: ")):
        terminalreporter.write_line(f"skipped because {reason}")


@pytest.fixture(scope="session")
def tiny_domain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `domain.yaml`, the weights of its six networks and `editor.safetensors`, all on 32 × 32 pixels.

    The domain has no reconstruction limit. Do not write into the folder.
    """
    folder = tmp_path_factory.mktemp("tiny_domain")
    path = folder / "domain.yaml"
    path.write_text(yaml.safe_dump(tiny_domain_config(folder), sort_keys=False), encoding="utf-8")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        domain = Domain.from_file(path)
        for part in PARTS:
            state = domain.untrained(part).state_dict()
            if part == "encoder":
                state["latent_avg"] = 0.5 * torch.randn(STYLES, STYLE_DIM)
            save_weights(domain.weights_path(part), state, {"part": part})
        method = SDFlowMethod(
            domain,
            flow={"name": "continuous_flow", "tolerance": 1e-3, "hidden": [16, 16]},
            semantic_encoder={"name": "semantic_encoder", "backbone": "r18", "width": 8, "head": [8, 8]},
        )
        state, metadata = method.exports()["editor"]
    save_weights(folder / "editor.safetensors", state, {**metadata, "config": {}, "step": 0})
    return folder


@pytest.fixture(scope="session")
def tiny_mask_editor(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an S²-Flow editor with random weights in the tiny domain, whose masks are of 32 × 32 pixels."""
    path = tmp_path_factory.mktemp("mask_editor") / "editor.safetensors"
    return save_mask_editor(Domain.from_file(tiny_domain_folder / "domain.yaml"), path)


@pytest.fixture(scope="session")
def tiny_swap_editor(tiny_domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an identity swap with random weights in the tiny domain."""
    path = tmp_path_factory.mktemp("swap_editor") / "editor.safetensors"
    return save_swap_editor(Domain.from_file(tiny_domain_folder / "domain.yaml"), path)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    from scripts.benchmarks.page_latency import FLAGS, chromium

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
