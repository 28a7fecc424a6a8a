#!/usr/bin/env python
"""Draw what trials of S²-Flow's training reached: the share of the gap closed against the identity that was kept.

    python scripts/avatars/draw_balance.py        results/avatars/s2flow/balance.json → balance.png beside it
"""

from __future__ import annotations

import json
from typing import Any

from models.evaluation.figures import PALETTE, Figure, plt, save
from utils.failures import explain_failures
from utils.options import CommandParser, output_file
from utils.paths import ROOT, displayed


def main() -> None:
    """Write `balance.png`."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "-o",
        "--output",
        type=output_file,
        default=ROOT / "results/avatars/s2flow/balance.png",
        help="picture (default: results/avatars/s2flow/balance.png)",
    )
    output = parser.parse_args().output
    content = json.loads((ROOT / "results/avatars/s2flow/balance.json").read_text(encoding="utf-8"))
    save(balance_figure(content["trials"]), output, {"faces": str(content["faces"])})
    print(displayed(output))


def balance_figure(trials: list[dict[str, Any]]) -> Figure:
    """Of each trial a line from the kind of request that closed least of its gap to the mean over the kinds."""
    figure, axis = plt.subplots(figsize=(8.5, 4.4), layout="constrained")
    for number, trial in enumerate(trials, start=1):
        x, mean = trial["identity"], trial["share"]
        least = min(kind["share"] for kind in trial["kinds"].values())
        colour = PALETTE[1] if trial.get("ships") else PALETTE[0]
        axis.plot([x, x], [least, mean], color=colour, lw=1, alpha=0.5)
        axis.plot(x, mean, "o", color=colour, ms=5, label=f"{number}  {trial['name']}")
        axis.plot(x, least, "_", color=colour, ms=9)
        axis.annotate(str(number), (x, mean), (4, 3), textcoords="offset points", fontsize=8, color=colour)
    axis.axhline(0.6, color="#888888", ls="--", lw=0.8)
    axis.axvline(0.85, color="#888888", ls="--", lw=0.8)
    axis.set_xlabel("identity to the unedited inversion, as a share of the ceiling's")
    axis.set_ylabel("share of the gap in mean IoU that is closed")
    axis.set_title("dot: mean over the kinds of request; bar: the least of them; dashed: asked for", fontsize=9)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=0.5)
    return figure


if __name__ == "__main__":
    explain_failures()
    main()
