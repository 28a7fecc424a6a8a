"""Figures of a comparison of methods."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.evaluation.figures import PALETTE

# AdaTrans' published evaluation on FFHQ, three attributes: accuracy, preservation, identity against the photo.
ANCHORS = ((0.949, 0.950, 0.533), (0.973, 0.951, 0.516), (0.992, 0.946, 0.486))
LEAST = 0.3  # accuracy at which the panels begin
_MARKERS = "osD^vP*"  # seven of them and eight colours: 56 pairs
_PANELS = (
    ("average", "preservation", "attribute preservation"),
    ("average", "identity", "identity (cosine)"),
    ("all at once", "identity", "identity, all attributes at once"),
)


def colours(methods: Sequence[str], first: str | None = None) -> dict[str, str]:
    """A colour for each method, in their order but for the one that is to be first; black comes after the palette."""
    order = sorted(methods, key=lambda method: method != first)
    return {method: (*PALETTE, "#000000", "#666666")[index % 8] for index, method in enumerate(order)}


def curve_figure(
    summaries: Mapping[str, Mapping[str, Any]], anchors: bool = False, first: str | None = None
) -> Figure:
    """Rows: reference pictures; columns: preservation and identity against accuracy, identity of all edits at once.

    Args:
        summaries: reference → `Comparison.summary`.
        anchors: draw published points on FFHQ, too.
        first: the method that has the palette's first colour.
    """
    figure, axes = plt.subplots(
        len(summaries), 3, figsize=(11.5, 3.4 * len(summaries)), layout="constrained", squeeze=False
    )
    for row, (reference, summary) in zip(axes, summaries.items(), strict=True):
        for axis, (curve, quantity, label) in zip(row, _PANELS, strict=True):
            _draw(axis, summary, curve, quantity, colours(list(summary["methods"]), first))
            if anchors and reference == "photo" and curve == "average":
                column = 1 if quantity == "preservation" else 2
                points = np.array(ANCHORS)
                axis.plot(points[:, 0], points[:, column], "k*", ms=7)
                axis.annotate("AdaTrans on FFHQ\n(published)", points[0, [0, column]], (-6, -4), fontsize=7,
                              textcoords="offset points", ha="right", va="top")  # fmt: skip
            axis.set_title(f"{label}\nagainst the {reference}", fontsize=9.5)
            axis.set_xlabel("editing accuracy")
    return figure


def _draw(
    axis: Axes, summary: Mapping[str, Any], curve: str, quantity: str, shades: Mapping[str, str]
) -> None:
    grid, methods = np.array(summary["accuracy"]), summary["methods"]
    ends = []
    for marker, (method, colour) in zip(itertools.cycle(_MARKERS), shades.items(), strict=False):
        drawn = methods[method]["curves"][curve][quantity]["drawn"]
        value, low, high = (np.array(drawn[key], dtype=float) for key in ("value", "low", "high"))
        shown = np.flatnonzero(np.isfinite(value))
        if not len(shown):
            continue
        axis.fill_between(grid, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(grid, value, color=colour, marker=marker, ms=3.5, markevery=12, lw=1.5)
        if grid[shown[-1]] >= LEAST:
            ends.append((float(value[shown[-1]]), grid[shown[-1]], method, colour))
    axis.set_xlim(LEAST, 1.0)
    lines = [np.asarray(line.get_ydata(), float)[grid >= LEAST] for line in axis.lines]
    visible = np.concatenate([*lines, np.zeros(0)])
    if np.isfinite(visible).any():
        low, high = np.nanmin(visible), np.nanmax(visible)
        axis.set_ylim(low - 0.08 * (high - low) - 1e-3, high + 0.08 * (high - low) + 1e-3)
    label_ends(axis, ends)


def label_ends(axis: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Names at the right edge, each as near to its curve's end as the others let it."""
    bottom, top = axis.get_ylim()
    least = 0.062 * (top - bottom)
    ends = sorted(ends)
    heights: list[float] = []
    for value, *_ in ends:
        heights.append(max(value, heights[-1] + least) if heights else value)
    over = max(0.0, heights[-1] - top) if heights else 0.0
    heights = [height - over for height in heights]
    for height, (value, end, method, colour) in zip(heights, ends, strict=True):
        axis.annotate(
            method, (end, value), (1.015, height), xycoords="data", textcoords=("axes fraction", "data"), fontsize=7.5,
            color=colour, va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "alpha": 0.6, "relpos": (0, 0.5), "shrinkA": 1},
        )  # fmt: skip
