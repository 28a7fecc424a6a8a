"""What methods share whose result is an editor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from models.domain import Domain
from models.editors import EDITORS
from models.editors.base import Editor, Flip
from models.editors.stored import StoredEditor, editor_metadata
from training.method import Batch, Method
from utils.config import ConfigError, Section
from utils.images import grid
from utils.weights import load_strict


class EditorMethod(Method):
    """A method that makes an editor: `editor()` is shown in previews and written at the end.

    Batches hold `image` (B, 3, S, S), `latent` (B, L, D) and `teacher` (B, A), as `LatentCache` gives them.

    Attributes:
        parts: parts of the domain without which the editor means nothing.
        sections: name → section of each network that the editor is built of again.
        settings: further constructor arguments of the editor.
    """

    def __init__(self, domain: Domain) -> None:
        super().__init__()
        self.domain = domain
        self.parts: tuple[str, ...] = ("generator", "encoder")
        self.sections: dict[str, dict[str, Any]] = {}
        self.settings: dict[str, Any] = {}

    def editor(self) -> Editor:
        """The editor as it has been learned so far."""
        raise NotImplementedError

    def check_result(self) -> None:
        """Make the editor again of what its file will hold.

        Raises:
            ConfigError: the file would not name what the editor is made of.
            WeightsError: it would hold other tensors than the editor has.
        """
        editor = self.editor()
        state, metadata = editor.state_dict(), editor_metadata(editor, self.domain, self.sections, (), self.settings)
        stored = StoredEditor(state, metadata, self.domain, Path("editor.safetensors"))
        kind: type[Editor] = EDITORS.find(Section({"name": editor.name}, type(editor).__name__))
        with torch.random.fork_rng(devices=[]):  # initial weights that are overwritten
            load_strict(kind.restore(stored), state, stored.file)

    def preview(self, batch: Batch) -> Tensor:
        """Rows are faces; columns: picture, its inversion, then one flipped attribute each."""
        editor, latent, image = self.editor(), batch["latent"], batch["image"]
        columns = [image, self.domain.synthesise(latent)]
        for name in self.domain.attributes:
            columns.append(self.domain.synthesise(editor.edit(latent, image, {name: Flip(0.2)})))
        return grid(torch.stack(columns, dim=1).flatten(0, 1), columns=len(columns))

    def exports(self) -> Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]]:
        editor = self.editor()
        metadata = editor_metadata(editor, self.domain, self.sections, self.parts, self.settings)
        return {"editor": (editor.state_dict(), metadata)}


def codes_and_scores(data: Dataset[Batch]) -> tuple[Tensor, Tensor]:
    """All codes (N, L, D) of a data set and the teacher's probabilities (N, A), in memory.

    Raises:
        ConfigError: it is none of encoded faces.
    """
    if not hasattr(data, "numbers"):
        raise ConfigError("data: this method looks at all codes at once; use latent_cache or encoded_faces")
    numbers: tuple[Tensor, Tensor] = data.numbers()
    return numbers
