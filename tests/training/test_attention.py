"""Pictures of attention maps, and the folders that a run keeps them in."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from models.domain import Domain
from tests.training.runs import SIDE, trainer
from training.attention import attention_sheet
from training.methods.stylegan2 import StyleGAN2Method
from utils.config import Section


def test_a_row_for_each_block_and_a_column_for_each_head() -> None:
    maps = [torch.zeros(2, 3, 5, 5) for _ in range(4)]
    maps[1][:, 2, 4, 0] = 0.5  # block 1, head 2: the last token looks at the first
    maps[3][:, 0, 1, 3] = 0.25
    sheet = attention_sheet(maps)
    assert sheet.shape == (3, 4 * 44 - 4, 3 * 44 - 4) and sheet.abs().max() <= 1
    bright = sheet.mean(0) * (sheet.min(0).values < 1)  # without the gaps
    top, left = divmod(int(bright.argmax()), bright.shape[1])
    assert (top, left) == (44 + 4 * 8, 2 * 44)
    assert torch.equal(sheet[:, 3 * 44 + 8, 3 * 8], sheet[:, 3 * 44 + 15, 3 * 8 + 7])
    assert -1 < float(sheet[:, 3 * 44 + 8, 3 * 8].mean()) < float(bright.max())


def test_a_training_of_tokens_keeps_them(tiny_domain_folder: Path, tmp_path: Path) -> None:
    config = Domain.from_file(tiny_domain_folder / "domain.yaml").config.plain()
    discriminator = {"name": "stylegan2_discriminator", "size": SIDE, "channels": {4: 8, 8: 8, 16: 8, 32: 8}}
    config["generator"] |= {"style_dim": 16, "mapping_network": "transformer"}
    method = StyleGAN2Method(Domain(Section(config)), discriminator, style_mixing=0.0, preview_side=2)
    trainer(method, tmp_path, 2).run()
    with Image.open(tmp_path / "attention" / "step-0000002.png") as picture:
        assert picture.size == (4 * 68 - 4, 2 * 68 - 4)  # heads and blocks; 8 tokens
    assert (tmp_path / "previews" / "step-0000002.png").is_file()
