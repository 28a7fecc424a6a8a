"""Import of torchvision beside a PyTorch build that its binary does not fit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from utils import torchvision_operators

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that is imported in torchvision's place while the test runs."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "torchvision"
    package.mkdir()
    yield package / "__init__.py"
    sys.modules.pop("torchvision", None)


def test_networks_work_in_this_environment() -> None:
    model = torchvision_operators.torchvision.models.resnet18(weights=None).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)


def test_matched_install_is_left_alone(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in.write_text("matched = True\n")
    monkeypatch.setattr(torchvision_operators, "_declared", None)
    assert torchvision_operators._import_torchvision().matched
    assert torchvision_operators._declared is None


def test_other_errors_are_not_hidden(stand_in: Path) -> None:
    stand_in.write_text("raise RuntimeError('out of order')\n")
    with pytest.raises(RuntimeError, match="out of order"):
        torchvision_operators._import_torchvision()


def test_missing_operators_are_declared(tmp_path: Path) -> None:
    """In a process of its own: operators are declared once in a process."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "import torch\n"
        "torch.library.register_fake('torchvision::nms')(lambda dets, scores, threshold: dets)\n"
        "torch.library.register_fake('torchvision::qnms')(lambda dets, scores, threshold: dets)\n"
    )
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
        "from utils import torchvision_operators as module\n"
        "assert module._declared is not None and module.torchvision.__file__.startswith(sys.path[0])\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
