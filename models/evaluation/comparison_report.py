"""The written results of a comparison: one table of readings, one of areas and differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.evaluation.curves import unread
from models.evaluation.report import record_text

UNITS = {"preservation": (100, 1, "kept %"), "identity": (1, 3, "identity"), "distance": (1, 4, "distance to truth")}
_CURVES = {"average": "Single attributes, averaged", "all at once": "All attributes at once"}


def with_interval(entry: Mapping[str, Any] | None, quantity: str, signed: bool = False) -> str:
    """An estimate of `Comparison` as a table shows it; a dash where there is none."""
    if entry is None:
        return "–"
    factor, digits, _ = UNITS[quantity]
    sign = "+" if signed else ""
    value = f"{factor * entry['value']:{sign}.{digits}f}"
    if entry["interval"] is None:
        return value
    bounds = " … ".join(f"{factor * bound:{sign}.{digits}f}" for bound in entry["interval"])
    known = "" if entry["resamples"] > 0.975 else f", of {100 * entry['resamples']:.0f} % of the resamples"
    return f"{value} ({bounds}{known})"


def readings_table(summary: Mapping[str, Any], curve: str) -> str:
    """Markdown: each quantity where each method reaches each accuracy."""
    methods = summary["methods"]
    quantities = [q for q in UNITS if any(q in entry["curves"][curve] for entry in methods.values())]
    names = [UNITS[quantity][2] for quantity in quantities]
    lines = [f"| accuracy | method | seeds | {' | '.join(names)} |", "| --- " * (3 + len(names)) + "|"]
    for level in next(iter(methods.values()))["curves"][curve][quantities[0]]["at"]:
        for method, entry in methods.items():
            cells = [with_interval(entry["curves"][curve][quantity]["at"][level], quantity) for quantity in quantities]
            name = _level(summary, method, curve, level)
            lines.append(f"| {100 * float(level):.0f} % | {name} | {entry['seeds']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _level(summary: Mapping[str, Any], method: str, curve: str, level: str) -> str:
    """A method's name with why it has no reading at a level."""
    why = unread_in(summary["methods"][method]["curves"][curve], float(level))
    return f"{method}: {why}" if why else method


def unread_in(curve: Mapping[str, Any], level: float) -> str:
    """`unread` of a curve of `Comparison.summary`."""
    return unread(level, curve["begins"], min(curve["reaches"]))


def areas_table(summary: Mapping[str, Any], curve: str, baseline: str | None) -> str:
    """Markdown: means over the accuracies of `areas`, and by how much the baseline's are larger."""
    methods = summary["methods"]
    quantities = [q for q in UNITS if any(q in entry["curves"][curve] for entry in methods.values())]
    names = [UNITS[quantity][2] for quantity in quantities]
    head = [f"{name} | {baseline} less this" if baseline else name for name in names]
    width = 1 + len(quantities) * (2 if baseline else 1)
    lines = [f"| method | {' | '.join(head)} |", "| --- " * width + "|"]
    for method, entry in methods.items():
        cells = []
        for quantity in quantities:
            values = entry["curves"][curve][quantity]
            cells.append(with_interval(values["area"], quantity))
            if baseline:
                own = method == baseline
                cells.append("–" if own else with_interval(values.get("baseline_less_this"), quantity, signed=True))
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tables(summary: Mapping[str, Any], baseline: str | None) -> str:
    """Both tables of single edits and of all at once."""
    parts = []
    for curve, title in _CURVES.items():
        parts += [f"### {title}", readings_table(summary, curve)]
        low, high = (100 * bound for bound in summary["areas"][curve])
        parts += [f"Mean over accuracies from {low:.0f} to {high:.0f} %:", areas_table(summary, curve, baseline)]
    return "\n\n".join(parts)


def markdown(report: Mapping[str, Any]) -> str:
    """A comparison as a page."""
    parts = [
        "# Comparison",
        record_text(report["record"]),
        "Accuracy is the share of faces whose judged decision turned, kept the share of the other decisions that "
        "stayed, identity the mean cosine of face embeddings, distance that of edited picture and drawn truth (root "
        "mean square, range 0 to 1). In brackets: 95 % bootstrap intervals over faces and seeds; differences are "
        "taken within a resample.",
        "![curves](curves.png)",
    ]
    for reference, summary in report["references"].items():
        parts += [f"## Against the {reference}", tables(summary, report["baseline"])]
    parts += ["## What leaks at 95 % average accuracy", "![leakage](leakage.png)"]
    parts += ["## Edits", report["sheet"], "![edits](sheet.png)"]
    return "\n\n".join([*parts, ""])
