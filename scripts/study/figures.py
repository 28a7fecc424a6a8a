"""The study's figures, drawn from its JSON files."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from models.evaluation.comparison_figures import LEAST, colours, curve_figure, label_ends
from models.evaluation.figures import PALETTE, leakage_figure, save

AT = "0.95"


def draw(folder: Path, stages: Collection[str]) -> None:
    """The figures of the stages, from their JSON files in the folder."""
    for stage, name, figure in (
        ("comparison", "comparison", _curves), ("comparison", "comparison-leakage", _leakage),
        ("ablation", "ablation", _ablation), ("ablation", "sweep", _sweep),
        ("correlation", "correlation", _correlation),
        ("beyond", "information", _information), ("beyond", "reliability", _reliability),
    ):  # fmt: skip
        if stage in stages:
            content = json.loads((folder / f"{stage}.json").read_text(encoding="utf-8"))
            record = {key: str(value) for key, value in content["record"].items()}
            save(figure(content), folder / f"{name}.png", record)


def _curves(content: dict[str, Any]) -> Figure:
    return curve_figure(content["references"])


def _ablation(content: dict[str, Any]) -> Figure:
    whole = list(content["references"]["inversion"]["methods"])[-1]
    return curve_figure(content["references"], first=whole)


def _leakage(content: dict[str, Any]) -> Figure:
    summary = content["references"]["inversion"]
    matrices = {method: entry["leakage_at_0.95"] for method, entry in summary["methods"].items()}
    return leakage_figure(matrices, summary["attributes"])


def _sweep(content: dict[str, Any]) -> Figure:
    """Preservation and identity of each balance of L_kd and L_mi."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    methods = content["sweep"]["methods"]
    for axis, (quantity, label) in zip(
        axes, (("preservation", "attribute preservation"), ("identity", "identity (cosine)")), strict=True
    ):
        ends = []
        for name, colour in colours(list(methods)).items():
            drawn = methods[name]["curves"]["average"][quantity]["drawn"]
            value = np.array(drawn["value"], dtype=float)
            shown = np.flatnonzero(np.isfinite(value))
            if len(shown):
                axis.plot(content["sweep"]["accuracy"], value, color=colour, lw=1.5)
                ends.append((float(value[shown[-1]]), content["sweep"]["accuracy"][shown[-1]], name, colour))
        axis.set(xlabel="editing accuracy", title=label, xlim=(LEAST, 1.0))
        label_ends(axis, ends)
    return figure


def _correlation(content: dict[str, Any]) -> Figure:
    """What each method keeps at 95 % accuracy against the correlation of its training faces; bars lie side by side."""
    values = list(content["correlations"])
    panels = (("preservation", "attribute preservation"), ("identity", "identity (cosine)"),
              ("distance", "distance to the drawn truth"))  # fmt: skip
    figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.4), layout="constrained")
    methods = list(content["correlations"][values[0]]["methods"])
    for axis, (quantity, label) in zip(axes, panels, strict=True):
        ends = []
        for place, (name, colour) in enumerate(colours(methods).items()):
            shift = 0.015 * (place - (len(methods) - 1) / 2)
            averages = [content["correlations"][v]["methods"][name]["curves"]["average"] for v in values]
            rows = [average[quantity]["at"][AT] for average in averages]
            reached = [(float(v) + shift, row) for v, row in zip(values, rows, strict=True) if row is not None]
            if not reached:
                continue
            x, y = [v for v, _ in reached], [row["value"] for _, row in reached]
            bounds = np.array([row["interval"] or (row["value"], row["value"]) for _, row in reached]).T
            bars = np.maximum(0, [np.array(y) - bounds[0], bounds[1] - np.array(y)])
            axis.errorbar(x, y, bars, color=colour, marker="o", ms=3.5, lw=1.5, capsize=2)
            ends.append((y[-1], x[-1], name, colour))
        axis.set_xlabel("correlation of the training faces\n(strength of their copula)")
        axis.set_title(f"{label}\nat 95 % accuracy", fontsize=9.5)
        axis.set_xticks([float(v) for v in values])
        label_ends(axis, ends)
    return figure


def _information(content: dict[str, Any]) -> Figure:
    """Bits about each attribute in w, in z and in z of a shuffled condition, a panel each flow."""
    flows = {name: runs for name, runs in content["methods"].items() if "information" in runs[0]}
    figure, axes = plt.subplots(1, max(1, len(flows)), figsize=(3.4 * max(1, len(flows)), 3.2), layout="constrained",
                                sharey=True, squeeze=False)  # fmt: skip
    for axis, (name, runs) in zip(axes[0], flows.items(), strict=False):
        places = ("w", "z", "z, shuffled condition")
        names = list(runs[0]["information"]["w"]["linear"]["bits"])
        for index, (place, colour) in enumerate(zip(places, PALETTE, strict=False)):
            bits = np.array([[run["information"][place]["linear"]["bits"][n] for n in names] for run in runs])
            x = np.arange(len(names)) + (index - 1) * 0.27
            axis.bar(x, bits.mean(0), 0.25, color=colour, label=place)
            bars = np.maximum(0, [bits.mean(0) - bits.min(0), bits.max(0) - bits.mean(0)])  # rounding may go below
            axis.errorbar(x, bits.mean(0), bars, fmt="none", ecolor="#333333", lw=0.8, capsize=1.5)
        axis.axhline(0, color="#333333", lw=0.8)
        axis.set_xticks(range(len(names)), [n.replace("_", " ") for n in names], rotation=30, ha="right", fontsize=8)
        axis.set_title(name, fontsize=9.5)
    axes[0][0].set_ylabel("bits that a linear probe reads")
    if flows:
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _reliability(content: dict[str, Any]) -> Figure:
    """Of the faces given a value, how many have the attribute; a panel each method, first run.

    The ablation's frozen classifier is StyleFlow's. A dot is as large as its faces are many.
    """
    methods = {name: runs for name, runs in content["methods"].items() if name in content["record"]["methods"]}
    columns = min(3, len(methods))
    rows = -(-len(methods) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.7 * columns, 2.7 * rows), layout="constrained", sharex=True,
                                sharey=True, squeeze=False)  # fmt: skip
    for axis in axes.flat[len(methods) :]:
        axis.axis("off")
    for axis, (name, runs) in zip(axes.flat, methods.items(), strict=False):
        axis.plot([0, 1], [0, 1], color="#888888", lw=0.8, ls="--")
        for (attribute, bins), colour in zip(runs[0]["agreement"]["reliability"].items(), PALETTE, strict=False):
            said, present, faces = (np.array([one[key] for one in bins]) for key in ("said", "present", "faces"))
            axis.plot(said, present, color=colour, lw=1, alpha=0.6, label=attribute.replace("_", " "))
            axis.scatter(said, present, 3 + 0.7 * faces, color=colour, alpha=0.8, linewidths=0)
        axis.set_title(name, fontsize=9)
        axis.set(xlim=(-0.25, 1.25), xticks=(0, 0.5, 1))
    for axis in axes[-1]:
        axis.set_xlabel("semantic variable")
    for axis in axes[:, 0]:
        axis.set_ylabel("share judged present")
    if methods:
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    return figure
