"""Figures of an evaluation of mask edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from models.evaluation.figures import PALETTE
from models.evaluation.masks.summary import CEILING, LEAST_IDENTITY, LEAST_SHARE, UNEDITED

_UNEDITED_COLOUR, _CEILING_COLOUR = "#bbbbbb", "#444444"
_MARKERS = "osD^vP*"


def kinds_figure(summary: Mapping[str, Any]) -> Figure:
    """Bars of mean IoU with the target by kind of request: unedited, each editor, ceiling."""
    kinds = summary["edits"]["kinds"]
    names = list(summary["editors"])
    pictures = [UNEDITED, *names, CEILING]
    shades = dict(zip(names, PALETTE, strict=False)) | {UNEDITED: _UNEDITED_COLOUR, CEILING: _CEILING_COLOUR}
    width = 0.84 / len(pictures)
    figure, axis = plt.subplots(figsize=(1.9 + 1.1 * len(kinds), 3.6), layout="constrained")
    for place, picture in enumerate(pictures):
        entries = [(at, found[picture]["iou"]) for at, found in enumerate(kinds.values()) if picture in found]
        x = [at + (place - (len(pictures) - 1) / 2) * width for at, _ in entries]
        value = np.array([entry["value"] for _, entry in entries])
        bounds = np.array([entry["interval"] for _, entry in entries]).reshape(-1, 2).T
        error = np.abs(bounds - value)
        axis.bar(x, value, width, yerr=error, color=shades[picture], label=picture, error_kw={"lw": 0.8})
    lowest = min(entry["iou"]["value"] for found in kinds.values() for entry in found.values())
    axis.set_ylim(bottom=max(0.0, np.floor(10 * lowest - 1) / 10))
    axis.set_xticks(range(len(kinds)), [kind.replace("another face's mask", "another\nface's mask") for kind in kinds])
    axis.grid(axis="x", visible=False)
    axis.set_ylabel("mean IoU with the target mask")
    axis.set_title(f"Masks of edits, {summary['record']['faces']} faces, n = {summary['record']['n']}", fontsize=10)
    figure.legend(loc="outside lower center", ncols=len(pictures), fontsize=8)
    return figure


def identity_figure(summary: Mapping[str, Any]) -> Figure | None:
    """Identity against the share of the gap closed, a point each kind of request, with the ceilings' identities; None
    without these.
    """
    kinds = {kind: found for kind, found in summary["edits"]["kinds"].items() if "identity" in found[CEILING]}
    if not kinds:
        return None
    figure, axis = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    ceiling = summary["edits"]["average"][CEILING]["identity"]["value"]
    axis.axvline(LEAST_SHARE, color="#999999", lw=0.8, ls="--")
    axis.axhline(LEAST_IDENTITY * ceiling, color="#999999", lw=0.8, ls="--")
    axis.plot(0, 1, "o", color=_UNEDITED_COLOUR, ms=8, label=UNEDITED)
    for colour, name in zip(PALETTE, summary["editors"], strict=False):
        for marker, found in zip(_MARKERS, kinds.values(), strict=False):
            if name in found and found[name]["share"] is not None:
                share, identity = found[name]["share"], found[name]["identity"]
                axis.errorbar(
                    share["value"], identity["value"], xerr=_error(share), yerr=_error(identity), color=colour,
                    marker=marker, ms=5.5, lw=0.8,
                )  # fmt: skip
        average = summary["edits"]["average"].get(name)
        if average is not None:
            axis.plot(average["share"]["value"], average["identity"]["value"], "X", color=colour, ms=11, mec="white")
    for marker, (kind, found) in zip(_MARKERS, kinds.items(), strict=False):
        axis.plot(1, found[CEILING]["identity"]["value"], marker, color=_CEILING_COLOUR, ms=5.5)
        axis.plot([], [], marker, color="#777777", ms=5.5, label=kind)
    axis.plot(1, ceiling, "X", color=_CEILING_COLOUR, ms=11, mec="white")
    axis.plot([], [], "X", color="#777777", ms=9, label="mean of the kinds")
    for colour, name in zip(PALETTE, summary["editors"], strict=False):
        axis.plot([], [], "-", color=colour, lw=4, label=name)
    axis.plot([], [], "-", color=_CEILING_COLOUR, lw=4, label=CEILING)
    axis.set_xlabel("share of the gap in mean IoU that is closed")
    axis.set_ylabel("identity to the unedited face")
    axis.set_title("Following the mask and keeping the person\n(dashed: what the mean should reach)", fontsize=9.5)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def _error(entry: Mapping[str, Any]) -> np.ndarray:
    """Distances (2, 1) of a number to the bounds of its interval."""
    error: np.ndarray = np.abs(np.array(entry["interval"]) - entry["value"])
    return error[:, None]
