"""The edits of a batch of faces, and what is measured of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from models.editing.inversion import Edited, Inversion
from models.editing.measures import measured_edit, measured_inversion
from models.editing.pipeline import EditingPipeline
from models.editing.records import ALIGNED, INPUT, INVERSION, MASK, Face, Result, Settings
from models.editing.requests.base import Request
from models.editing.saved_latents import SavedLatent
from models.parsing.masks import indexed
from utils.images import to_pillow

# Cosine of the embeddings of edit and inversion below which a report warns: face recognition decides on another person
# somewhere between 0.3 and 0.4.
IDENTITY_LIMIT = 0.4


class FaceEditor:
    """Inverts faces, edits them as all requests ask, and measures.

    Args:
        metadata: the editor's, as `load_editor` gives it.
    """

    def __init__(
        self,
        pipeline: EditingPipeline,
        requests: Sequence[Request],
        settings: Settings,
        metadata: Mapping[str, Any],
    ) -> None:
        self.pipeline, self.requests, self.settings, self.metadata = pipeline, requests, settings, metadata

    def compute(self, faces: Sequence[Face]) -> list[tuple[Face, Result]]:
        """The results of all faces of a batch that may be edited; fills in the entries of all.

        Raises:
            RuntimeError: the batch does not fit into memory.
            FloatingPointError: a solver cannot follow one of its faces.
        """
        inversion = self._inverted(faces)
        for index, face in enumerate(faces):
            self._measure_inversion(face, inversion, index)
        chosen = [index for index, face in enumerate(faces) if not face.has_failed]
        if not chosen:
            return []
        inversion, faces = inversion.rows(chosen), [faces[index] for index in chosen]
        results = [self._result(inversion, index) for index in range(len(faces))]
        for request in self.requests:
            edited = self.pipeline.edit(inversion, request)
            for index, face in enumerate(faces):
                if failure := edited.failure(index):
                    face.fail(f"{request.label}: {failure}")
                    continue
                face.entry["edits"][request.label] = self._measured_edit(edited, index, request)
                results[index].pictures[request.label] = to_pillow(edited.picture[index])
                results[index].codes[request.label] = edited.latent[index]
        return [(face, result) for face, result in zip(faces, results, strict=True) if not face.has_failed]

    def _inverted(self, faces: Sequence[Face]) -> Inversion:
        names = [face.name for face in faces]
        saved = [face.saved for face in faces if face.saved is not None]
        if saved:
            return self.pipeline.restore(saved, self.metadata["hash"], names)
        return self.pipeline.invert(torch.stack([face.image for face in faces if face.image is not None]), names)

    def _result(self, inversion: Inversion, index: int) -> Result:
        """The unedited part of a face's result."""
        photo = to_pillow(inversion.image[index])
        saved = self._latent(inversion, index) if self.settings.save_latents else None
        pictures = {INPUT: photo, ALIGNED: photo, INVERSION: to_pillow(inversion.picture[index])}
        if self.settings.save_masks:
            pictures[MASK] = indexed(self.pipeline.masks(inversion.picture[index : index + 1])[0])
        return Result(pictures, saved)

    def _latent(self, inversion: Inversion, index: int) -> SavedLatent:
        return SavedLatent(
            inversion.latent[index],
            inversion.condition[index],
            inversion.embedding[index],
            float(inversion.distance[index]),
            {
                "domain": self.pipeline.domain.name,
                "fingerprints": self.metadata["fingerprints"],
                "editor": self.metadata["hash"],
            },
        )

    def _measure_inversion(self, face: Face, inversion: Inversion, index: int) -> None:
        measured = measured_inversion(inversion, index, self.pipeline.editor)
        face.entry.update(status="not done", **measured, edits={})
        foreign = self.pipeline.foreign(float(inversion.distance[index]))
        if foreign and not self.settings.force:
            face.fail(f"{foreign} (--force edits it anyway)")
        elif foreign:
            face.entry["warning"] = "; ".join([*filter(None, [face.entry.get("warning")]), foreign])

    def _measured_edit(self, edited: Edited, index: int, request: Request) -> dict[str, Any]:
        measured = measured_edit(edited, index, self.pipeline.editor, request)
        identity = measured["identity_to_inversion"]
        warnings = [edited.remarks[index]] if edited.remarks[index] else []
        if identity < IDENTITY_LIMIT and not request.changes_identity:
            said = f"identity {identity:.2f} is left, below {IDENTITY_LIMIT}"
            warnings.append(f"{said}: choose a target nearer to the face")
        if warnings:
            measured["warning"] = f"{request.label}: {'; '.join(warnings)}"
        return measured
