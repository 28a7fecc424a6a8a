"""The classes of face masks in the order of CelebAMask-HQ, and the colours that masks are shown and painted in."""

from __future__ import annotations

import numpy as np

CLASSES: tuple[str, ...] = (
    "background", "skin", "nose", "eyeglasses", "left eye", "right eye", "left brow", "right brow", "left ear",
    "right ear", "mouth interior", "upper lip", "lower lip", "hair", "hat", "earring", "necklace", "neck", "clothes",
)  # fmt: skip
PALETTE = np.array(
    [
        (0, 0, 0), (204, 0, 0), (76, 153, 0), (204, 204, 0), (51, 51, 255), (204, 0, 204), (0, 255, 255),
        (51, 255, 255), (102, 51, 0), (255, 0, 0), (102, 204, 0), (255, 255, 0), (0, 0, 153), (0, 0, 204),
        (255, 51, 153), (0, 204, 204), (0, 51, 0), (255, 153, 51), (0, 204, 0),
    ],
    dtype=np.uint8,
)  # fmt: skip
