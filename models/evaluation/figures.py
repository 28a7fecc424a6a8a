"""Figures of an evaluation."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from utils.files import write_atomically

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito, for colour-blind readers
plt.rcParams.update(
    {
        "figure.dpi": 160,
        "font.size": 9,
        "axes.grid": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "legend.frameon": False,
    }
)


def save(figure: Figure, path: Path, record: Mapping[str, str]) -> None:
    """Write a figure as PNG with the record in its text chunks."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata=dict(record), bbox_inches="tight")
    plt.close(figure)
    write_atomically(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))


def curve_figure(summaries: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Preservation and identity against accuracy, averaged over attributes, and identity for all attributes at once.

    Args:
        summaries: editor → `models.evaluation.curves.summary`.
    """
    panels = (
        ("average", "preservation", "attribute preservation"),
        ("average", "identity", "identity preservation (cosine)"),
        ("all at once", "identity", "identity, all attributes at once (cosine)"),
    )
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.5), layout="constrained")
    for axis, (curve, quantity, label) in zip(axes, panels, strict=True):
        for colour, (editor, summary) in zip(PALETTE, summaries.items(), strict=False):
            columns = summary["curves"][curve]
            accuracy = columns["accuracy"]  # in the order of the strengths: too strong an edit comes back to the left
            low, high = columns[f"{quantity}_low"], columns[f"{quantity}_high"]
            axis.fill_between(accuracy, low, high, color=colour, alpha=0.18, linewidth=0)
            axis.plot(accuracy, columns[quantity], "o-", color=colour, ms=3.5, label=editor)
        axis.set_xlabel("editing accuracy")
        axis.set_title(label, fontsize=9.5)
        axis.set_xlim(right=1.01)
    axes[0].legend(loc="lower left")
    figure.suptitle(title, fontsize=10.5)
    return figure


def histogram_figure(semantics: np.ndarray, attributes: Sequence[str]) -> Figure:
    """Fig. 2 of the paper: how often E_s gives each value, one panel an attribute; semantics (N, A) in [0, 1]."""
    figure, axes = plt.subplots(1, len(attributes), figsize=(2.3 * len(attributes), 2.3), layout="constrained")
    for axis, column, name, colour in zip(np.atleast_1d(axes), semantics.T, attributes, PALETTE, strict=False):
        axis.hist(column, bins=25, range=(0, 1), weights=np.full(len(column), 100 / len(column)), color=colour)
        axis.set_title(name.replace("_", " "), fontsize=9.5)
        axis.set_xlabel("semantic variable")
        axis.set_xticks([0, 0.5, 1])
    np.atleast_1d(axes)[0].set_ylabel("share of faces (%)")
    return figure


def leakage_figure(matrices: Mapping[str, Any], attributes: Sequence[str]) -> Figure:
    """A matrix (A, A) a method, side by side: rows edited, columns decisions that stayed, diagonal the edit's accuracy.

    Args:
        matrices: method → shares, or None where the method does not get as far.
    """
    found = {method: matrix for method, matrix in matrices.items() if matrix is not None}
    columns = max(1, min(3, len(found)))
    rows = max(1, -(-len(found) // columns))
    figure, axes = plt.subplots(rows, columns, figsize=(3.9 * columns, 3.5 * rows), layout="constrained", squeeze=False)
    names = [name.replace("_", " ") for name in attributes]
    for axis in axes.flat[len(found) :]:
        axis.axis("off")
    for index, (axis, (method, matrix)) in enumerate(zip(axes.flat, found.items(), strict=False)):
        values = 100 * np.array(matrix)
        image = axis.imshow(values, cmap="viridis", vmin=70, vmax=100)
        axis.grid(False)
        axis.set_title(method, fontsize=9.5)
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=7.5)
        axis.set_yticks(range(len(names)), names if index % columns == 0 else [""] * len(names), fontsize=7.5)
        for (y, x), value in np.ndenumerate(values):
            colour = "black" if value > 89 else "white"
            axis.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=7.5, color=colour)
    if found:
        figure.colorbar(image, ax=axes, label="% of faces whose decision stayed (diagonal: was turned)", shrink=0.8)
    return figure
