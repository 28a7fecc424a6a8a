#!/usr/bin/env python
"""Draw the twelve sample faces of pretrained/avatars/samples, from a split that nothing is trained on.

    python scripts/avatars/draw_samples.py
"""

from __future__ import annotations

from datasets.avatars import AvatarFaces
from utils.failures import explain_failures
from utils.images import to_pillow
from utils.options import CommandParser, output_folder
from utils.paths import ROOT, displayed

CHOSEN = (3, 28, 0, 9, 32, 5, 15, 17, 33, 21, 30, 35)  # every attribute both ways, all ages, skins and hair colours


def main() -> None:
    """Write `face-01.png` and so on."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "-o",
        "--output",
        type=output_folder,
        default=ROOT / "pretrained/avatars/samples",
        help="folder (default: pretrained/avatars/samples)",
    )
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    faces = AvatarFaces(max(CHOSEN) + 1, "samples")
    for number, index in enumerate(CHOSEN, start=1):
        to_pillow(faces[index]["image"]).save(output / f"face-{number:02d}.png")
    print(f"{len(CHOSEN)} faces in {displayed(output)}")


if __name__ == "__main__":
    explain_failures()
    main()
