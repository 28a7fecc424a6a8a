"""What the avatar domain's networks must reach, and a report as a model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


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


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _classifier_table(report: Mapping[str, Any]) -> str:
    parts = [part for part in ("judge", "teacher") if part in report]
    names = list(report[parts[0]]["correlated"]["accuracy"])
    kinds = [(part, kind) for part in parts for kind in ("decorrelated", "correlated")]
    rows = []
    for name in names:
        cells = [_percent(report[part][kind]["accuracy"][name]) for part, kind in kinds]
        ranks = [report[part]["correlated"]["rank_correlation"].get(name) for part in parts]
        rows.append([name, *cells, *("" if rank is None else f"{rank:.3f}" for rank in ranks)])
    titles = [*(f"{part}, {kind}" for part, kind in kinds), *(f"{part}, rank correlation" for part in parts)]
    return _table(["attribute", *titles], rows)


def _attribute_table(report: Mapping[str, Any]) -> str:
    shares = report.get("generator", {}).get("attributes")
    inversion = report.get("encoder")
    header, columns = ["attribute"], []
    if shares:
        header += ["drawn", "generated"]
        columns += [shares["drawn"], shares["generated"]]
    if inversion:
        header += ["kept by inversion", "kept, decorrelated"]
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
    text = f"{report['faces']} held-out faces against the masks that were drawn with them:"
    return ["## Face parser", text, _table(header, rows)]


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
    if "judge" in report or "teacher" in report:
        sections += ["## Judge and teacher", "Accuracy on held-out faces:", _classifier_table(report)]
    if "identity" in report:
        found = report["identity"]
        keys = ("auc", "same_person_cosine", "different_people_cosine")
        kinds = (("all", found), ("attributes mislead", found["hard"]))
        rows = [[kind, *(f"{entry[key]:.4f}" for key in keys)] for kind, entry in kinds]
        sections += ["## Recognition", f"{found['people']} people never seen, {found['views']} pictures each:"]
        sections += [_table(["pairs", "AUC", "cosine, one person", "cosine, two people"], rows)]
    if "generator" in report or "encoder" in report:
        sections += ["## Attributes, by the judge", _attribute_table(report)]
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
        sections += ["## Inversion", _table(header, rows), limit]
    if "parser" in report:
        sections += _parser_section(report["parser"])
    return "\n\n".join(sections) + "\n"
