"""The base of methods whose result is an editor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.domain import Domain
from models.editors.base import AttributeEditor, Editor
from models.editors.catalogue import EDITORS
from models.editors.stored import StoredEditor, editor_metadata
from models.editors.targets import Flip
from training.method import Batch, Items, Method
from utils.config import ConfigError, Section, nearest
from utils.images import grid
from utils.weights import load_strict


class EditorMethod(Method):
    """A method whose result is an editor: `editor()` is shown in previews and written at the end.

    Batches hold `image` (B, 3, S, S), `latent` (B, L, D) and `teacher` (B, A), as `LatentCache` gives them.

    Attributes:
        parts: networks of the domain that the editor depends on.
        sections: name → section of each network that a stored editor is rebuilt from.
        settings: further constructor arguments of the editor.
    """

    needs: tuple[str, ...] = ("image", "latent", "teacher")

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
        """Rebuild the editor from what its file will hold.

        Raises:
            ConfigError: the file would not name the networks of the editor.
            WeightsError: its tensors would not be those of the editor.
        """
        editor = self.editor()
        state, metadata = editor.state_dict(), self._metadata(editor, ())
        stored = StoredEditor(state, metadata, self.domain, Path("editor.safetensors"))
        kind: type[Editor] = EDITORS.find(Section({"name": editor.name}, type(editor).__name__))
        with torch.random.fork_rng(devices=[]):  # initial weights that are overwritten
            load_strict(kind.restore(stored), state, stored.file)

    def exports(self) -> Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]]:
        editor = self.editor()
        return {"editor": (editor.state_dict(), self._metadata(editor, self.parts))}

    def _metadata(self, editor: Editor, parts: Sequence[str]) -> dict[str, Any]:
        attributes = editor.attributes if isinstance(editor, AttributeEditor) else ()
        return editor_metadata(editor.name, attributes, self.domain, self.sections, parts, self.settings)


class AttributeEditorMethod(EditorMethod):
    """A method that makes an editor of attributes."""

    def editor(self) -> AttributeEditor:
        raise NotImplementedError

    def preview(self, batch: Batch) -> Tensor:
        """Rows are faces; columns: picture, its inversion, then one flipped attribute each."""
        editor, latent, image = self.editor(), batch["latent"], batch["image"]
        columns = [image, self.domain.synthesise(latent)]
        for name in self.domain.attributes:
            columns.append(self.domain.synthesise(editor.edit(latent, image, {name: Flip(0.2)})))
        return grid(torch.stack(columns, dim=1).flatten(0, 1), columns=len(columns))


def check_terms(method: str, terms: Sequence[str], known: Sequence[str]) -> None:
    """Check which terms of its loss a method is to compute.

    Raises:
        ConfigError: none, or one that the method does not have.
    """
    if not terms:
        raise ConfigError(f"method.terms: none is named; there are {', '.join(known)}")
    for name in terms:
        if name not in known:
            raise ConfigError(f"method.terms: {method} has no term '{name}'{nearest(name, known)}")


def codes_and_scores(data: Items) -> tuple[Tensor, Tensor]:
    """All codes (N, L, D) of a data set and the teacher's probabilities (N, A), in memory.

    Raises:
        ConfigError: it is not a data set of encoded faces.
    """
    if not hasattr(data, "numbers"):
        raise ConfigError("data: this method needs all codes at once; use latent_cache or encoded_faces")
    latent, teacher = data.numbers()
    return latent, teacher
