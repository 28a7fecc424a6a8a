"""What a run of edits knows of its inputs, faces and results."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from models.editing.alignment import FaceChoice
from models.editing.paste_back import PasteMode
from models.editing.saved_latents import SUFFIX, SavedLatent
from utils.photos import Photo

INPUT, INVERSION, ALIGNED, LATENTS = "input", "inversion", "aligned", "latents"  # labels of a face's files


@dataclass(frozen=True)
class Settings:
    """How a run treats photos and results, as the command line says.

    Attributes:
        choice: which faces of a photograph are edited.
        aligned: the pictures are aligned faces already.
        paste: how edits come back into the photographs; None: they do not.
        batch_size: faces that are computed at once.
    """

    choice: FaceChoice = "all"
    aligned: bool = False
    paste: PasteMode | None = None
    keep_gps: bool = False
    save_aligned: bool = False
    save_latents: bool = False
    overwrite: bool = False
    force: bool = False
    batch_size: int = 16


@dataclass
class Face:
    """One face on its way through the run.

    Attributes:
        outputs: label → file; the labels are `input`, `inversion`, those of the requests, `aligned`, `latents`.
        finished: labels whose files are there from an earlier run.
        image: aligned face (3, S, S), while it waits to be computed.
        saved: its saved code, where no photo is given.
        entry: what the report says of it.
    """

    outputs: dict[str, Path]
    digest: str = ""
    finished: set[str] = field(default_factory=set)
    image: Tensor | None = None
    saved: SavedLatent | None = None
    entry: dict[str, Any] = field(default_factory=dict)

    def fail(self, reason: str) -> None:
        """Record why the face is not edited."""
        self.entry.update(status="failed", reason=reason)


@dataclass
class Job:
    """One input: a photo with its faces, or one saved code.

    Attributes:
        name: of its results, without suffix.
        data: bytes of the file, while edits are to be pasted into the photograph.
        pasted: label → file of the photograph with this edit.
        faces: empty until they are found.
        entry: what the report says where no face was found.
    """

    photo: Photo
    name: Path
    digest: str = ""
    data: bytes = b""
    pasted: dict[str, Path] = field(default_factory=dict)
    faces: list[Face] = field(default_factory=list)
    entry: dict[str, Any] = field(default_factory=dict)

    @property
    def is_latent(self) -> bool:
        """Whether it is a file of saved latents."""
        return self.photo.path.suffix.lower() == SUFFIX

    def entries(self) -> list[dict[str, Any]]:
        """What the report says of it: one entry a face, or one where none was found."""
        return [face.entry for face in self.faces] or [self.entry]


@dataclass
class Result:
    """What was computed of one face.

    Attributes:
        pictures: by label.
        saved: its code, where it is to be written.
        codes: those of its edits, by label.
    """

    pictures: dict[str, Image.Image]
    saved: SavedLatent | None = None
    codes: dict[str, Tensor] = field(default_factory=dict)
