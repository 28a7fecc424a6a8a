"""The written results of an evaluation: JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from models.evaluation.curves import ACCURACY_LEVELS, unread


def curves_csv(results: Mapping[str, Mapping[str, Mapping[str, Any]]], record: Mapping[str, str]) -> str:
    """One line an editor, reference, curve and strength; the record stands in comment lines before.

    Args:
        results: editor → reference → summary.
    """
    stream = io.StringIO()
    for key, value in record.items():
        stream.write(f"# {key}: {value}\n")
    quantities = ("accuracy", "preservation", "identity")
    fields = [f"{q}{suffix}" for q in quantities for suffix in ("", "_low", "_high")]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["editor", "reference", "curve", "strength", *fields])
    for editor, references in results.items():
        for reference, summary in references.items():
            for curve, columns in summary["curves"].items():
                for row, strength in enumerate(summary["strengths"]):
                    values = [f"{columns[field][row]:.5f}" if field in columns else "" for field in fields]
                    writer.writerow([editor, reference, curve, strength, *values])
    return stream.getvalue()


def record_text(record: Mapping[str, Any]) -> str:
    """What a measurement was made with, and below it whether its pictures look aligned, where that was asked."""
    line = " · ".join(f"{key} {value}" for key, value in record.items() if key != "alignment")
    return f"{line}\n\n**Alignment:** {record['alignment']}" if "alignment" in record else line


def _number(value: float | None, factor: float = 100, digits: int = 1) -> str:
    return "–" if value is None else f"{factor * value:.{digits}f}"


def _bounds(entry: Mapping[str, Any], name: str, factor: float, digits: int) -> str:
    value = _number(entry.get(name), factor, digits)
    bounds = entry.get(f"{name}_interval")
    return f"{value} ({factor * bounds[0]:.{digits}f}–{factor * bounds[1]:.{digits}f})" if bounds else value


def readings_table(results: Mapping[str, Mapping[str, Mapping[str, Any]]], curve: str = "average") -> str:
    """Markdown table: what each editor keeps at each accuracy, or why its curve has no reading there."""
    lines = ["| editor | reference | accuracy | strength d | preservation % | identity |", "| --- " * 6 + "|"]
    for editor, references in results.items():
        for reference, summary in references.items():
            for level in ACCURACY_LEVELS:
                entry = summary["readings"][curve][f"{level:.2f}"]
                head = f"| {editor} | {reference} | {100 * level:.0f} % |"
                if entry is None:
                    lines.append(f"{head} {unread(level, **summary['accuracies'][curve])} | – | – |")
                else:
                    preservation = _bounds(entry, "preservation", 100, 1)
                    identity = _bounds(entry, "identity", 1, 3)
                    lines.append(f"{head} {entry['strength']:.2f} | {preservation} | {identity} |")
    return "\n".join(lines)


def attributes_table(summary: Mapping[str, Any], attributes: tuple[str, ...]) -> str:
    """Markdown table: the strength that each attribute needs, and what is kept there."""
    lines = ["| attribute | d at 90 % | d at 95 % | preservation % at 95 % | identity at 95 % |", "| --- " * 5 + "|"]
    for name in attributes:
        strengths = []
        for level in ("0.90", "0.95"):
            kept = summary["readings"][name][level] or {}
            why = unread(float(level), **summary["accuracies"][name])
            strengths.append(f"{kept['strength']:.2f}" if kept else why)
        lines.append(
            f"| {name} | {strengths[0]} | {strengths[1]} | {_number(kept.get('preservation'))} "
            f"| {_number(kept.get('identity'), 1, 3)} |"
        )
    return "\n".join(lines)


def leakage_table(summary: Mapping[str, Any]) -> str:
    """Markdown table of the leakage matrix."""
    leakage = summary["leakage_at_0.95"]
    if leakage is None:
        why = unread(0.95, **summary["accuracies"]["average"])
        return f"No leakage matrix at 95 % average accuracy: it {why}."
    names = leakage["order"]
    lines = ["| edited \\ kept % | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for name, row in zip(names, leakage["matrix"], strict=True):
        lines.append(f"| {name} | " + " | ".join(f"{100 * value:.1f}" for value in row) + " |")
    return "\n".join([*lines, "", f"At {leakage['where']}; the diagonal is the edit's own accuracy."])


def truth_section(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: what true edits keep, and edits where there are some, each row against its reference.

    Args:
        rows: of `models.evaluation.counterfactual`.
    """
    lines = ["| picture | compared with | accuracy % | preservation % | identity | distance to the drawn truth |"]
    lines.append("| --- " * 6 + "|")
    for row in sorted(rows, key=lambda row: row["reference"]):  # all against the inversion, then all against the photo
        lines.append(
            f"| {row['picture']} | {row['reference']} | {_number(row['accuracy'])} "
            f"| {_bounds(row, 'preservation', 100, 1)} | {_bounds(row, 'identity', 1, 3)} | {row['distance']:.4f} |"
        )
    explained = (
        "A true counterfactual is the face drawn again with one attribute turned and all else equal. *Encoded*, it "
        "went through encoder and generator as every edit does: hold edits against that row. It is no upper bound, "
        "since an edit starts from the face's own code and so repeats the errors of its inversion. Accuracy, "
        "preservation and identity are those against the picture named; the distance is always that to the drawn "
        "counterfactual (root mean square of the pixels, range 0 to 1). All are means over the attributes."
    )
    return explained + "\n\n" + "\n".join(lines)


def markdown(report: Mapping[str, Any]) -> str:
    """The whole report as a short Markdown page."""
    results, attributes = report["editors"], tuple(report["attributes"])
    parts = [
        f"# Evaluation of {report['checkpoint']}",
        record_text(report["record"]),
        "Editing accuracy is the share of faces whose judged decision turned, preservation the share of the other "
        "decisions that stayed, identity the mean cosine of face embeddings; against the input photo (as in the "
        "papers) and against its inversion (the loss of the edit alone). A curve is read between its strengths only: "
        "where it begins above an accuracy or does not reach it, nothing is compared. Intervals: 95 %, bootstrap over "
        "faces.",
        "![curves](curves.png)",
        "## Average over attributes",
        readings_table(results),
        "## All attributes at once",
        readings_table(results, "all at once"),
    ]
    for editor, references in results.items():
        parts += [f"## {editor}, attribute by attribute (against the inversion)"]
        parts += [attributes_table(references["inversion"], attributes)]
        parts += [leakage_table(references["inversion"])]
    if report.get("counterfactual"):
        parts += ["## Beside the true counterfactual", truth_section(report["counterfactual"])]
        parts += ["Edits at 95 % average accuracy, or as near to it as they come."]
    if report.get("latents"):
        parts += ["## Latent codes", _listing(report["latents"])]
    return "\n\n".join([*parts, "![histograms](histograms.png)", "![edits](edits.png)", ""])


def _listing(entry: Mapping[str, Any], indent: int = 0) -> str:
    lines = []
    for key, value in entry.items():
        if isinstance(value, Mapping):
            lines += [f"{'  ' * indent}- {key}:", _listing(value, indent + 1)]
        else:
            lines.append(f"{'  ' * indent}- {key}: {_shown(value)}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if abs(value) >= 1e-3 or not value else f"{value:.1e}"
