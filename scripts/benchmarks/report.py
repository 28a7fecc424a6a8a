"""The benchmark's results for people: a table and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarks.rows import BFLOAT16, FLOAT32, PUBLISHED, Series

_HEAD = (
    "| row | published | float32 | ratio | floor | bfloat16 | ratio | floor | PSNR | memory, GB |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)
_LEGEND = (
    "Medians of {rounds} rounds, with the fastest and the slowest; ratio: published time / ours, with the goal;\n"
    "floor: share of the rate of a matrix product in the same process and type; PSNR of bfloat16 against the\n"
    "published float32, dB; peak memory in a process of its own: published / float32 / bfloat16."
)


def duration(row: Mapping[str, Any], variant: str) -> str:
    """The median with the fastest and the slowest round: `1.23 s (0.92–1.46)`."""
    unit, factor = ("s", 1) if row["seconds"][variant] >= 1 else ("ms", 1000)
    numbers = [factor * value for value in (row["seconds"][variant], *row["spread"][variant])]
    median, fastest, slowest = (f"{value:.2f}" if factor == 1 else f"{value:.0f}" for value in numbers)
    return f"{median} {unit} ({fastest}–{slowest})"


def rounds(rows: Sequence[Mapping[str, Any]]) -> str:
    """The number of rounds behind each median: `5`, or `3 to 5` where rows differ."""
    counts = sorted({len(values) for row in rows if "error" not in row for values in row["rounds"].values()})
    return " to ".join(map(str, dict.fromkeys(counts[:1] + counts[-1:]))) or "no"


def _ours(row: Mapping[str, Any], variant: str) -> list[str]:
    """Time, ratio with its goal, share of the floor."""
    if variant not in row["seconds"]:
        return ["–"] * 3
    goal = row["goals"][variant]
    ratio = f"{row['ratio'][variant]:.2f}×" + ("" if goal is None else f" (≥ {goal:g})")
    return [duration(row, variant), ratio, f"{row['share_of_floor'][variant]:.0%}"]


def line(row: Mapping[str, Any]) -> str:
    """A line of the table, of what `time_row` gives or of a row that failed."""
    if "error" in row:
        return f"| {row['title']} | {row['error']} |" + " |" * 8
    quality = f"{min(row['psnr'].values()):.0f}" if row["psnr"] else "–"
    memory = [value for value in (row["memory"].get(name) for name in (PUBLISHED, FLOAT32, BFLOAT16)) if value]
    held = " / ".join(f"{value / 1e9:.1f}" for value in memory) or "–"
    cells = [row["title"], duration(row, PUBLISHED), *_ours(row, FLOAT32), *_ours(row, BFLOAT16)]
    return "| " + " | ".join([*cells, quality, held]) + " |"


def table(rows: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]) -> str:
    """Markdown: the rows, what the columns mean, and where this was measured."""
    about = (
        f"{machine['date'][:10]}, {machine['device']} ({machine['processor']}, {machine['cores']} cores, "
        f"{machine['threads']} threads), torch {machine['torch']}, operators: {machine['operators']}"
    )
    return "\n".join([*_HEAD, *(line(row) for row in rows), "", _LEGEND.format(rounds=rounds(rows)), "", about]) + "\n"


def figure(series: Sequence[Series], measured: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Log-log panels of seconds against what grows, published dashed.

    Args:
        measured: name of a point's row → what `time_row` gave; points that failed are missing.
    """
    from models.evaluation.figures import PALETTE, plt, save  # matplotlib takes a second that --help need not wait for

    styles = {PUBLISHED: "o--", FLOAT32: "o-", BFLOAT16: "s:"}
    drawing, axes = plt.subplots(1, len(series), figsize=(4 * len(series), 3.6), layout="constrained")
    for axis, one in zip(axes, series, strict=True):
        for colour, (label, points) in zip(PALETTE, one.lines.items(), strict=False):
            for variant, style in styles.items():
                found = [
                    (value, measured[row.name]["seconds"][variant])
                    for value, row in points
                    if row.name in measured and variant in measured[row.name]["seconds"]
                ]
                if found:
                    axis.loglog(*zip(*found, strict=True), style, color=colour, ms=3.5, label=f"{label}, {variant}")
        axis.set_xlabel(one.quantity)
        if one.quantity != "tolerance":
            values = sorted({value for points in one.lines.values() for value, _ in points})
            axis.set_xticks(values, [f"{value:g}" for value in values])
            axis.minorticks_off()
        axis.legend(fontsize=7)
    axes[0].set_ylabel("seconds")
    save(drawing, path, {"Title": "Cost against batch, resolution and tolerance"})
