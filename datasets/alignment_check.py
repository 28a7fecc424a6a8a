"""Whether pictures that are taken as aligned faces look it: asked before the work, in domains that cut photographs.

Data sets of pictures take the centred square of whatever is there. Where a domain's networks know aligned faces, that
of a photograph shows them shoulders and walls; nothing fails, but what is learned or measured is worth nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from datasets.latent_cache import LatentCache
from datasets.pictures import Pictures, named, read_cropped
from models.domain import Domain
from models.editing.aligners import build_aligner
from models.editing.alignment import Aligner, AlignerMissing
from utils.photos import PhotoError, read_file
from utils.provenance import mark_of

SAMPLE = 200  # pictures that are looked at: 0.1 s each, and 3 s where no face is found
_SIDE = 256  # pixels of a square when it is looked at: no less, so that the detector finds the faces of small ones
_SHOWN = 5  # doubtful pictures in a message


@dataclass(frozen=True)
class AlignmentCheck:
    """What was found.

    Attributes:
        count: pictures in all.
        seen: how many of them were looked at.
        doubts: name and reason of those that do not look aligned.
        missing: what the aligner lacks, so that nothing was looked at.
    """

    count: int
    seen: int = 0
    doubts: Sequence[str] = ()
    missing: str = ""

    @property
    def is_fine(self) -> bool:
        """All that were looked at look aligned."""
        return not self.doubts and not self.missing

    def __str__(self) -> str:
        if self.missing:
            return f"whether the pictures are aligned was not checked: {self.missing}"
        sample = f" (an even sample of {self.count:,})" if self.seen < self.count else ""
        if not self.doubts:
            return f"all of {self.seen:,} pictures{sample} look aligned"
        more = [f"and {len(self.doubts) - _SHOWN:,} more"] if len(self.doubts) > _SHOWN else []
        listed = "; ".join([*self.doubts[:_SHOWN], *more])
        return f"{len(self.doubts):,} of {self.seen:,} pictures{sample} do not look aligned: {listed}"


def check_alignment(domain: Domain, *sources: object) -> AlignmentCheck | None:
    """Look for the faces of the pictures that these data sets read, in an evenly spaced sample of `SAMPLE`.

    Returns:
        None where there is nothing to check: no pictures, or a domain that takes pictures whole.
    """
    aligner = build_aligner(domain)
    faces = [source.faces if isinstance(source, LatentCache) else source for source in sources]
    pictures = {path: one for one in faces if isinstance(one, Pictures) for path in one.files()}
    if not aligner.cuts_photographs or not pictures:
        return None
    paths, count = list(pictures), min(len(pictures), SAMPLE)
    chosen = [paths[index * len(paths) // count] for index in range(count)]
    seen, doubts = 0, []
    bar = tqdm(chosen, unit="picture", desc="are the faces aligned?", dynamic_ncols=True, delay=2, leave=False)
    for path in bar:
        try:
            doubt = _doubt(aligner, path, pictures[path])
        except AlignerMissing as error:
            return AlignmentCheck(len(paths), missing=str(error))
        except (PhotoError, RuntimeError, MemoryError):  # unreadable, which is said elsewhere, or the detector's
            continue
        seen += 1
        doubts += [f"{named(path)}: {doubt}"] if doubt else []
    return AlignmentCheck(len(paths) if count < len(paths) else seen, seen, doubts)


def report_alignment(command: str, domain: Domain, *sources: object, cure: str) -> AlignmentCheck | None:
    """What `check_alignment` finds; on the terminal, too, unless all is fine.

    Args:
        command: that says it.
        cure: what to do about pictures that do not look aligned.
    """
    check = check_alignment(domain, *sources)
    if check is not None and not check.is_fine:
        print(f"{command}: {check}{f'; {cure}' if check.doubts else ''}", file=sys.stderr)
    return check


def _doubt(aligner: Aligner, path: Path, pictures: Pictures) -> str:
    """See `Aligner.doubt`; of what the data set makes of a file."""
    if pictures.crop is None and (mark_of(read_file(path)) or {}).get("aligned"):  # edit.py wrote it
        return ""
    picture = read_cropped(path, _SIDE, pictures.crop)
    if picture.width == picture.height:
        picture = picture.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return aligner.doubt(picture)
