"""Inputs, faces and results of a run of edits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from models.editing.face_choice import FaceChoice
from models.editing.paste_back import PasteMode
from models.editing.saved_latents import LATENT_SUFFIXES, SUFFIX, SavedLatent
from utils.photos import Photo

INPUT, INVERSION, ALIGNED, LATENTS, MASK = "input", "inversion", "aligned", "latents", "mask"  # of a face's files


@dataclass(frozen=True)
class Settings:
    """Options of a run.

    Attributes:
        choice: which faces of a photograph are edited.
        aligned: the pictures are aligned faces.
        paste: how edits are pasted into the photographs; None: not at all.
        keep_gps: keep the GPS position in pasted photographs.
        save_aligned, save_latents, save_masks: write the aligned faces, the latent codes and the masks.
        overwrite: recompute existing results.
        force: edit even if the picture does not look like a face of the domain.
        batch_size: faces that are computed at once.
    """

    choice: FaceChoice = "all"
    aligned: bool = False
    paste: PasteMode | None = None
    keep_gps: bool = False
    save_aligned: bool = False
    save_latents: bool = False
    save_masks: bool = False
    overwrite: bool = False
    force: bool = False
    batch_size: int = 16


@dataclass
class Face:
    """One face on its way through the run.

    Attributes:
        name: of the input's results, with `--face2` and so on after it for the second face.
        outputs: label → file; the labels are `input`, `inversion`, those of the requests, `aligned`, `latents`,
            `mask`.
        finished: labels whose files exist from an earlier run.
        image: aligned face (3, S, S), while it waits to be computed.
        saved: its saved code, where no photo is given.
        entry: of the report.
    """

    name: str
    outputs: dict[str, Path]
    digest: str = ""
    finished: set[str] = field(default_factory=set)
    image: Tensor | None = None
    saved: SavedLatent | None = None
    entry: dict[str, Any] = field(default_factory=dict)

    @property
    def has_failed(self) -> bool:
        """Whether it cannot be edited."""
        return bool(self.entry["status"] == "failed")

    @property
    def is_done(self) -> bool:
        """Whether its pictures exist."""
        return self.entry["status"] in ("edited", "kept")

    def fail(self, reason: str) -> None:
        """Record why the face is not edited."""
        self.entry.update(status="failed", reason=reason)


@dataclass
class Job:
    """One input: a photo with its faces, or one code.

    Attributes:
        row: of the code in a file of another project, which may hold many.
        name: of its results, without suffix.
        data: bytes of the file, while edits are to be pasted into the photograph.
        pasted: label → file of the photograph with this edit.
        faces: empty until they are found.
        entry: of the report, where no face was found.
    """

    photo: Photo
    name: Path
    row: int = 0
    digest: str = ""
    data: bytes = b""
    pasted: dict[str, Path] = field(default_factory=dict)
    faces: list[Face] = field(default_factory=list)
    entry: dict[str, Any] = field(default_factory=dict)

    @property
    def is_latent(self) -> bool:
        """Whether it is a code, without photograph."""
        return self.photo.path.suffix.lower() in LATENT_SUFFIXES

    @property
    def is_foreign_latent(self) -> bool:
        """Whether the code lies in a file of another project."""
        return self.is_latent and self.photo.path.suffix.lower() != SUFFIX

    def fail(self, reason: str) -> None:
        """Record why none of its faces is edited."""
        self.faces, self.data = [], b""
        self.entry.update(status="failed", reason=reason)

    def entries(self) -> list[dict[str, Any]]:
        """Its entries of the report: one for each face, or one where none was found."""
        return [face.entry for face in self.faces] or [self.entry]


@dataclass
class Result:
    """What was computed of one face.

    Attributes:
        pictures: by label.
        saved: its code, if that is to be written.
        codes: those of its edits, by label.
    """

    pictures: dict[str, Image.Image]
    saved: SavedLatent | None = None
    codes: dict[str, Tensor] = field(default_factory=dict)
