"""The study's report: tables from its JSON files around conclusions that a person wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from models.evaluation.comparison_report import UNITS, tables, unread_in, with_interval
from models.evaluation.report import truth_section
from utils.files import write_text

AT = "0.95"
_BEGIN, _END = "<!-- conclusions: written by hand, kept -->", "<!-- end of conclusions -->"
_CONSISTENCY = (
    "cycle error of the code, relative", "cycle error of the picture",
    "order of two edits, difference of the pictures", "rank correlation along a sweep",
)  # fmt: skip


def write(folder: Path) -> None:
    """`report.md` from the results that are in the folder."""
    content = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    target = folder / "report.md"
    old = target.read_text(encoding="utf-8") if target.is_file() else ""
    kept = "\n\nNot written yet.\n\n"
    if _BEGIN in old and _END in old:
        kept = old.split(_BEGIN, 1)[1].split(_END, 1)[0]
    parts = ["# A study of editors on drawn faces", _record(content), f"## What it means\n\n{_BEGIN}{kept}{_END}"]
    for name, section in (
        ("comparison", _comparison), ("faces", _faces), ("ablation", _ablation), ("correlation", _correlation),
        ("beyond", _beyond), ("tuning", _tuning),
    ):  # fmt: skip
        if name in content:
            parts.append(section(content[name]))
    write_text(target, "\n\n".join([*parts, ""]))


def _record(content: dict[str, Any]) -> str:
    record: dict[str, Any] = next((entry["record"] for entry in content.values() if "record" in entry), {})
    listed = " · ".join(f"{key.replace('_', ' ')} {value}" for key, value in record.items())
    return (
        f"`python scripts/study_avatars.py` ({listed}). Tables give means over seeds with 95 % bootstrap intervals "
        "over faces and seeds; differences are taken within a resample. Three seeds are few: what they say of the "
        "spread between seeds is too little rather than too much."
    )


def _comparison(content: dict[str, Any]) -> str:
    parts = ["## Comparison (Fig. 4)", "![curves](comparison.png)", "![leakage](comparison-leakage.png)",
             "![edits](sheet.png)"]  # fmt: skip
    for reference, summary in content["references"].items():
        parts += [f"## Comparison against the {reference}", tables(summary, "SDFlow")]
    return "\n\n".join(parts)


def _faces(content: dict[str, Any]) -> str:
    lines = ["| strength of the copula | attributes that correlate most | correlation |", "| --- " * 3 + "|"]
    for value, found in content["strongest correlations"].items():
        lines.append(f"| {value} | {', '.join(found['attributes'])} | {found['correlation']:.2f} |")
    return "\n\n".join([
        "## The faces", "### What true edits keep of the test faces", truth_section(content["true edits"]),
        "### How far attributes of the training faces correlate", "\n".join(lines),
    ])  # fmt: skip


def _ablation(content: dict[str, Any]) -> str:
    last = list(content["references"]["inversion"]["methods"])[-1]
    parts = ["## Ablation (Fig. 5)", "![curves](ablation.png)"]
    parts += ["### Each step less the one before", "Means over the same accuracies as below.",
              _steps(content["steps"]["inversion"])]  # fmt: skip
    parts.append(tables(content["references"]["inversion"], last))
    parts += ["### Balance of L_kd and L_mi (one seed each)", "![sweep](sweep.png)", _readings(content["sweep"])]
    return "\n\n".join(parts)


def _steps(steps: dict[str, Any]) -> str:
    cells = [(curve, quantity) for curve, entries in next(iter(steps.values())).items() for quantity in entries]
    names = [f"{UNITS[quantity][2]}, {curve.replace('average', 'single attributes')}" for curve, quantity in cells]
    lines = [f"| step | {' | '.join(names)} |", "| --- " * (1 + len(cells)) + "|"]
    for step, found in steps.items():
        values = [with_interval(found[curve][quantity], quantity, signed=True) for curve, quantity in cells]
        lines.append(f"| {step} | {' | '.join(values)} |")
    return "\n".join(lines)


def _readings(summary: dict[str, Any]) -> str:
    lines = ["| run | accuracy reached % | kept % at 95 | identity at 95 | distance at 95 |", "| --- " * 5 + "|"]
    for name, entry in summary["methods"].items():
        average = entry["curves"]["average"]
        cells = []
        for quantity, (factor, digits, _) in UNITS.items():
            found = average[quantity]["at"][AT] if quantity in average else None
            cells.append(unread_in(average, float(AT)) if found is None else f"{factor * found['value']:.{digits}f}")
        lines.append(f"| {name} | {100 * min(average['reaches']):.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _correlation(content: dict[str, Any]) -> str:
    parts = ["## Correlated training faces", "![correlation](correlation.png)"]
    first, last = content["ends"]
    names = [f"{UNITS[quantity][2]} | SDFlow's change less this" for quantity in UNITS]
    lines = [f"| method | {' | '.join(names)} |", "| --- " * (1 + 2 * len(UNITS)) + "|"]
    for name, changes in content["changes"].items():
        cells = [
            "–" if which == "baseline_less_this" and name == "SDFlow"
            else with_interval(changes[quantity][which], quantity, signed=True)
            for quantity in UNITS
            for which in ("change", "baseline_less_this")
        ]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    parts += [f"Change from correlation {first} to {last}, means over accuracies as above:", "\n".join(lines)]
    for value, summary in content["correlations"].items():
        parts += [f"### Correlation {value}", _readings(summary)]
        worst = []
        for name, entry in summary["methods"].items():
            if entry["leakage_at_0.95"] is not None:
                matrix = np.array(entry["leakage_at_0.95"])
                np.fill_diagonal(matrix, 1)
                worst.append(f"{name} {100 * matrix.min():.1f}")
        parts.append(f"Lowest cell of the leakage matrix, %: {' · '.join(worst) or 'no method reaches 95 %'}.")
    return "\n\n".join(parts)


def _beyond(content: dict[str, Any]) -> str:
    methods = content["methods"]
    parts = ["## Beyond the paper"]
    flows = {name: runs for name, runs in methods.items() if "information" in runs[0]}
    if flows:
        places = ("w", "z", "z, shuffled condition")
        lines = ["| flow | probe | " + " | ".join(f"bits in {place}" for place in places) + " | NLL, exact trace |"]
        lines.append("| --- " * 6 + "|")
        for name, runs in flows.items():
            for kind in ("linear", "MLP"):
                cells = [_spread([run["information"][place][kind]["mean"] for run in runs]) for place in places]
                nll = _spread([run["flow"]["NLL, exact trace"] for run in runs])
                lines.append(f"| {name} | {kind} | {' | '.join(cells)} | {nll} |")
        whole = np.mean(list(next(iter(flows.values()))[0]["information"]["decisions themselves"]["bits"].values()))
        parts += ["### Does the flow free z of s?", "![bits](information.png)", "\n".join(lines)]
        parts.append(f"Bits a face and attribute, mean over attributes; the decisions themselves have {whole:.2f}.")
    lines = ["| method | agreement with the judge on inversions % | on edits % | gap |", "| --- " * 4 + "|"]
    for name, runs in [*methods.items(), *content["sweep"].items()]:
        found = [run["agreement"] for run in runs]
        real, edited = (
            _spread([100 * float(np.mean(list(one[f"agreement on {where}"].values()))) for one in found], 1)
            for where in ("inversions", "edits")
        )
        lines.append(f"| {name} | {real} | {edited} | {_spread([100 * one['gap'] for one in found], 1)} |")
    parts += ["### Does the semantic estimate agree with the judge?", "\n".join(lines)]
    parts.append("![reliability](reliability.png)")
    lines = ["| method | " + " | ".join(_CONSISTENCY) + " | milliseconds an edit |", "| --- " * 6 + "|"]
    for name, runs in methods.items():
        cells = [_spread([run["consistency"][key] for run in runs], 4) for key in _CONSISTENCY]
        lines.append(f"| {name} | {' | '.join(cells)} | {_spread([1e3 * run['seconds an edit'] for run in runs], 2)} |")
    parts += ["### Consistency and cost", "\n".join(lines), "Brackets: least and most over seeds."]
    return "\n\n".join(parts)


def _spread(values: list[float], digits: int = 3) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} … {max(values):.{digits}f})"


def _tuning(content: dict[str, Any]) -> str:
    lines = ["| method | setting | kept % | identity | reaches % | |", "| --- " * 6 + "|"]
    for name, entry in content["methods"].items():
        for trial in entry["trials"]:
            setting = ", ".join(f"{key.split('.', 1)[1]} {value}" for key, value in trial["setting"].items())
            kept = "–" if trial["kept"] is None else f"{100 * trial['kept']:.1f}"
            identity = "–" if trial["identity"] is None else f"{trial['identity']:.3f}"
            mark = "chosen" if trial["setting"] == entry["chosen"] else ""
            cells = [name, setting or "nothing changed", kept, identity, f"{100 * trial['reaches']:.1f}", mark]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n\n".join([
        "## Tuning",
        f"Each method had the same number of trials on {content['faces']} validation faces, with a seed of their own: "
        "means over accuracies from 50 to 95 %, the better mean of the two is chosen.",
        "\n".join(lines),
    ])  # fmt: skip
