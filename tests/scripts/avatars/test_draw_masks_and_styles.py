"""The figure of edits by mask and by style is that of the shipped editor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from scripts.avatars import draw_masks_and_styles
from utils.paths import ROOT


def test_the_committed_pictures_are_made_by_the_shipped_editor(tmp_path: Path) -> None:
    draw_masks_and_styles.main(["-o", str(tmp_path)])
    for name in ("figure.png", "row.png"):
        made, kept = (
            np.asarray(Image.open(folder / name).convert("RGB"), dtype=np.int16)
            for folder in (tmp_path, ROOT / "results/avatars/s2flow")
        )
        assert made.shape == kept.shape
        assert np.abs(made - kept).mean() < 0.5, name  # grey levels; other faces differ by more than 5
