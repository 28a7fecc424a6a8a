"""What the avatar domain's networks must reach, and a report as a model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.avatars.measures.classifiers import AMBIGUOUS


@dataclass(frozen=True)
class Bar:
    """A measured number against its bound.

    Attributes:
        name: what was measured.
        value, bound: in the same unit.
        least: whether the bound is the least allowed value rather than the greatest.
    """

    name: str
    value: float
    bound: float
    least: bool

    @property
    def met(self) -> bool:
        """Whether the number is good enough; NaN is not."""
        return self.value >= self.bound if self.least else self.value <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.least else "≤"
        return f"{'met   ' if self.met else 'MISSED'}  {self.name}: {self.value:.4g} ({sign} {self.bound:g})"


def bars(report: Mapping[str, Any]) -> Iterator[Bar]:
    """Bars of all parts that the report holds."""
    for part, kind, bound in (("judge", "decorrelated", 0.99), ("teacher", "correlated", 0.97)):
        if part in report:
            for name, value in report[part][kind]["accuracy"].items():
                yield Bar(f"{part} accuracy, {name}", value, bound, True)
    if "identity" in report:
        yield Bar("identity verification AUC", report["identity"]["auc"], 0.99, True)
        yield Bar("identity cosine of different people", report["identity"]["different_people_cosine"], 0.2, False)
    if "generator" in report:
        found = report["generator"]
        yield Bar("generator Fréchet distance / variance", found["frechet_share"], 0.06, False)
        for name, value in found["attributes"]["difference_points"].items():
            yield Bar(f"generator share of {name}, points off", abs(value), 5.0, False)
        for name, entry in found["nuisances"].items():
            if entry["readable"]:
                yield Bar(f"generator shares of {name}, points off", entry["largest_difference_points"], 5.0, False)
    if "encoder" in report:
        found = report["encoder"]["correlated"]
        for name, value in found["decisions_kept"].items():
            yield Bar(f"inversion keeps {name}", value, 0.96, True)
        yield Bar("inversion identity cosine", found["identity_cosine"], 0.8, True)
    if "parser" in report:
        for kind, bound in (("drawn", 0.85), ("inversions", 0.69)):
            yield Bar(f"parser mean IoU, {kind}", report["parser"][kind]["mean_iou"], bound, True)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def _classifier_table(report: Mapping[str, Any], parts: list[str]) -> str:
    """Accuracy on all faces beside that on the clear ones, with their numbers; rank correlations.

    Two decimals: few faces of thousands are taken wrong, and these are not to be rounded away.
    """
    sets = [("all", "accuracy_all_faces"), ("clear", "accuracy")]
    titles = [title for which, _ in sets for title in (f"{which}, n", *(f"{which}, {part}" for part in parts))]
    rows = []
    for kind in ("correlated", "decorrelated"):
        found = [report[part][kind] for part in parts]
        for name, clear in found[0]["clear_faces"].items():
            cells = []
            for count, (_, key) in zip((found[0]["faces"], clear), sets, strict=True):
                cells += [f"{count:,}", *(_percent(one[key][name], 2) for one in found)]
            ranks = [one["rank_correlation"].get(name) for one in found]
            rows.append([kind, name, *cells, *("" if rank is None else f"{rank:.3f}" for rank in ranks)])
        means = [[_percent(float(np.mean(list(one[key].values()))), 2) for one in found] for _, key in sets]
        rows.append([kind, "mean", "", *means[0], "", *means[1], *("" for _ in parts)])
    return _table(["faces", "attribute", *titles, *(f"rank correlation, {part}" for part in parts)], rows)


def _attribute_table(report: Mapping[str, Any]) -> str:
    shares = report.get("generator", {}).get("attributes")
    inversion = report.get("encoder")
    header, columns = ["attribute"], []
    if shares:
        header += ["drawn", "generated"]
        columns += [shares["drawn"], shares["generated"]]
    if inversion:
        header += ["kept by inversion, correlated", "kept by inversion, decorrelated"]
        columns += [inversion[kind]["decisions_kept"] for kind in ("correlated", "decorrelated")]
    return _table(header, [[name, *(_percent(column[name]) for column in columns)] for name in columns[0]])


def _nuisance_table(nuisances: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            f"{entry['r2']:.2f}",
            " / ".join(_percent(share) for share in entry["generated_in_thirds"]),
            f"{entry['largest_difference_points']:.1f}" if entry["readable"] else "not readable",
        ]
        for name, entry in nuisances.items()
    ]
    header = ["nuisance", "reader's R²", "generated, in thirds of drawn faces", "largest difference, points"]
    return _table(header, rows)


def _parser_section(report: Mapping[str, Any]) -> list[str]:
    found = {kind: report[kind] for kind in ("drawn", "inversions")}
    rows = [
        [name, *(f"{kind['classes'][name][key]:.3f}" for kind in found.values() for key in ("iou", "accuracy"))]
        for name in found["drawn"]["classes"]
    ]
    totals = (kind[key] for kind in found.values() for key in ("mean_iou", "pixel_accuracy"))
    rows.append(["mean, all pixels", *(f"{total:.3f}" for total in totals)])
    header = ["class", "IoU, drawn", "found, drawn", "IoU, inversions", "found, inversions"]
    about = (
        f"{report['faces']:,} held-out faces against the masks that were drawn with them, as they are and inverted. "
        "IoU is intersection over union; *found* is the share of a class's pixels; the last row has mean IoU and the "
        "share of all pixels:"
    )
    return ["## Face parser", about, _table(header, rows)]


def card(report: Mapping[str, Any]) -> str:
    """The report as Markdown tables."""
    parts = report.get("networks", {})
    sections = ["# Networks of the avatar domain"]
    if parts:
        rows = [
            [name, f"{entry['parameters']:,}", f"{entry['megabytes']:.1f} MB", entry["fingerprint"]]
            for name, entry in parts.items()
        ]
        sections += [_table(["network", "parameters", "file", "hash of the weights"], rows)]
    if classifiers := [part for part in ("judge", "teacher") if part in report]:
        sections += [
            "## Judge and teacher",
            "Accuracy against the drawn truth on held-out faces. *Clear* leaves out faces whose age or smile lies "
            f"within {100 * AMBIGUOUS:.0f} % of its range on either side of the threshold; *all* leaves out none.",
            _classifier_table(report, classifiers),
        ]
    if "identity" in report:
        found = report["identity"]
        keys = ("auc", "same_person_cosine", "different_people_cosine")
        kinds = (("all", found), ("attributes mislead", found["hard"]))
        rows = [[kind, *(f"{entry[key]:.4f}" for key in keys)] for kind, entry in kinds]
        sections += ["## Recognition", f"{found['people']} people never seen, {found['views']} pictures each:"]
        sections += [_table(["pairs", "AUC", "cosine, one person", "cosine, two people"], rows)]
    if "generator" in report or "encoder" in report:
        counts = []
        if "generator" in report:
            count = report["generator"]["faces"]
            counts.append(f"shares of faces with the attribute, of {2 * count:,} drawn and {count:,} generated")
        if "encoder" in report:
            count = report["encoder"]["correlated"]["faces"]
            kept = "shares of decisions on the drawn face that its inversion keeps"
            counts.append(f"{kept}, {count:,} faces of each kind")
        sections += ["## Attributes, by the judge", f"{'; '.join(counts)}:".capitalize(), _attribute_table(report)]
    if "generator" in report:
        found = report["generator"]
        sections += [
            "## Generator",
            f"Fréchet distance in the judge's last features, {found['faces']} faces: "
            f"{_percent(found['frechet_share'])} of their variance; two sets of drawn faces: "
            f"{100 * found['frechet_share_of_drawn_faces']:.2f} %.",
            _nuisance_table(found["nuisances"]),
        ]
    if "encoder" in report:
        keys = ("identity_cosine", "feature_distance_share", "pixel_mse")
        sets = [(kind, report["encoder"][kind]) for kind in ("correlated", "decorrelated")]
        rows = [[kind, *(f"{entry[key]:.4f}" for key in keys)] for kind, entry in sets]
        header = ["held-out faces", "identity cosine", "judge's features moved, of variance", "pixel MSE"]
        limit = f"Reconstruction limit, the 99.9th percentile: {report['encoder']['reconstruction_limit']:.4f}."
        about = f"Each drawn face against its own inversion, {sets[0][1]['faces']:,} faces of each kind:"
        sections += ["## Inversion", about, _table(header, rows), limit]
    if "parser" in report:
        sections += _parser_section(report["parser"])
    return "\n\n".join(sections) + "\n"
