"""Mask edits: what holds for any two masks, whose part is taken, and how hair goes on behind a face."""

from __future__ import annotations

import numpy as np
import pytest

from models.parsing.donors import CHOICES, Donor, FaceRecord, choose_donor
from models.parsing.inpainting import inpainted
from models.parsing.mask_edits import EDITS, TRANSFERS, edit_mask, face_region, hair_behind_face
from models.parsing.palette import CLASSES

HAIR = CLASSES.index("hair")
RECORDED = [
    [135, 105, 80, 91, 105, 109],
    [144, 115, 161, 71, 124, 95],
    [180, 92, 176, 253, 160, 45],
    [236, 139, 133, 34, 132, 104],
    [178, 150, 147, 154, 212, 81],
    [91, 152, 248, 178, 169, 130],
]
PLAIN, READING, SUN = FaceRecord("NoGlasses", 0.0, "male"), FaceRecord("ReadingGlasses"), FaceRecord("Sunglasses")


def random_masks(seed: int, side: int = 20) -> tuple[np.ndarray, np.ndarray]:
    base, donor = np.random.default_rng(seed).integers(0, 19, (2, side, side)).astype(np.uint8)
    return base, donor


@pytest.mark.parametrize("edit", TRANSFERS)
@pytest.mark.parametrize("seed", range(3))
def test_a_part_never_covers_hair_or_what_has_a_greater_index(edit: str, seed: int) -> None:
    base, donor = random_masks(seed)
    kept = base.copy()
    result, transfer = edit_mask(edit, base, donor), TRANSFERS[edit]
    assert np.array_equal(base, kept) and result.dtype == np.uint8  # the arguments stay
    assert np.array_equal(result[base >= HAIR], base[base >= HAIR])
    changed = result != base
    assert changed.any()
    assert (np.isin(base, transfer.cleared) | (result > base))[changed].all()
    came = np.isin(result, transfer.taken) & ~np.isin(base, (*transfer.taken, *transfer.cleared))
    assert np.array_equal(result[came], donor[came])


def test_the_edit_of_hair_changes_hair_and_background_alone() -> None:
    base, donor = random_masks(0)
    result = edit_mask("hair", base, donor)
    free = np.isin(base, (0, HAIR))
    assert np.array_equal(result[~free], base[~free]) and set(np.unique(result[free])) == {0, HAIR}
    around = free & ~face_region(donor)
    assert np.array_equal(result[around] == HAIR, donor[around] == HAIR)


def test_hair_goes_on_behind_a_face_and_ends_at_a_hat() -> None:
    mask = np.full((32, 32), HAIR, dtype=np.uint8)
    mask[10:22, 10:22] = 1  # a face all around which there is hair
    assert (hair_behind_face(mask) == HAIR).all()
    mask[mask == HAIR] = CLASSES.index("hat")
    assert not hair_behind_face(mask).any()
    bald = np.where(mask == 1, 1, 0).astype(np.uint8)
    assert not hair_behind_face(bald).any()


def test_masks_of_two_sizes_are_refused() -> None:
    base, _ = random_masks(0)
    for edit in EDITS:
        with pytest.raises(ValueError, match="masks of one size"):
            edit_mask(edit, base, base[:10])


@pytest.mark.parametrize(
    ("edit", "own", "other"),
    [
        ("smile", PLAIN, FaceRecord()),
        ("remove_glasses", FaceRecord(), PLAIN),
        ("remove_glasses", SUN, FaceRecord()),
        ("add_glasses", FaceRecord(), SUN),
        ("add_glasses", PLAIN, FaceRecord()),
        ("hair", FaceRecord(), FaceRecord()),
        ("hair", PLAIN, FaceRecord()),
    ],
)
def test_what_no_record_tells_makes_an_edit_impossible(edit: str, own: FaceRecord, other: FaceRecord) -> None:
    records = {index: record for index, record in enumerate((own, other)) if record != FaceRecord()}
    assert choose_donor(edit, 0, [1], records, np.random.RandomState(0)) is None


def test_the_donors_record_tells_which_glasses_are_added() -> None:
    random = np.random.RandomState(0)
    for record, edit in ((READING, "add_reading_glasses"), (SUN, "add_other_glasses")):
        assert choose_donor("add_glasses", 0, [1], {0: PLAIN, 1: record}, random) == Donor(1, edit)
    whole = FaceRecord("NoGlasses", 0.9, "male")
    for edit in set(CHOICES) - {"add_glasses", "remove_glasses"}:
        donor = choose_donor(edit, 0, [1], {0: PLAIN, 1: whole}, random)
        assert donor == Donor(1, edit) and donor.edit in EDITS


@pytest.mark.parametrize("corner", [(0, 0), (0, 11), (11, 0), (11, 11), (0, 5), (5, 0), (11, 5), (5, 11)])
def test_inpainting_keeps_a_constant_up_to_the_border(corner: tuple[int, int]) -> None:
    region = np.zeros((12, 12), dtype=bool)
    region[max(corner[0] - 2, 0) : corner[0] + 3, max(corner[1] - 2, 0) : corner[1] + 3] = True
    picture = np.where(region, 0, 7).astype(np.uint8)
    assert (inpainted(picture, region) == 7).all()


def test_inpainting_gives_opencvs_bytes_near_the_border() -> None:
    """Recorded with OpenCV 5.0: `cv2.inpaint(picture, region, 3, cv2.INPAINT_NS)`."""
    draw = np.random.RandomState(11)
    picture = draw.randint(0, 256, (6, 6)).astype(np.uint8)
    region = draw.rand(6, 6) < 0.5
    picture[region] = 0
    assert inpainted(picture, region).tolist() == RECORDED


def test_nothing_to_fill_and_nothing_known() -> None:
    picture = random_masks(0)[0]
    assert np.array_equal(inpainted(picture, np.zeros_like(picture)), picture)
    assert np.array_equal(inpainted(picture, np.ones_like(picture)), picture)  # nothing to fill it with
