"""What is read off the measurements of mask and style edits, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.evaluation.estimates import Estimate, Resamples
from models.evaluation.information import PROBES
from models.evaluation.masks.faces import MaskRequest, MaskTestSet
from models.evaluation.masks.readings import Measured
from models.evaluation.masks.style import SHARES

Rows = dict[str, dict[str, Estimate]]  # unedited, ceiling and each editor → quantity → number
UNEDITED, CEILING = "unedited", "ceiling"
LEAST_SHARE, LEAST_SHARE_OF_A_KIND, LEAST_IDENTITY, MOST_OUTSIDE = 0.6, 0.4, 0.85, 2.0  # what a mean should reach
MOST_CODE, MOST_LEVELS = 1e-3, 2.0  # that an unchanged mask may change
_QUANTITIES = ("identity", "outside", "distance")
_LEAST_GAP = 0.02  # of mean IoU, below which a case says nothing of how much of it was closed
_FEWEST = 10  # faces of a case


def edits_of(kind: str, editors: Mapping[str, Measured], references: Measured, sample: Resamples, known: bool) -> Rows:
    """The numbers of one kind of request.

    Args:
        known: whether the ceiling is the true answer: otherwise it is another person, and only its mask counts.
    """
    sources = {name: (references, f"{kind}.{name}") for name in (UNEDITED, CEILING)}
    sources |= {name: (found, kind) for name, found in editors.items() if f"{kind}.confusion" in found}
    rows: Rows = {}
    for name, (found, prefix) in sources.items():
        confusion = found[f"{prefix}.confusion"]
        rows[name] = {"iou": sample.iou(confusion), "pixels": sample.pixel_accuracy(confusion)}
        if name != CEILING or known:
            present = [quantity for quantity in _QUANTITIES if f"{prefix}.{quantity}" in found]
            rows[name] |= {quantity: sample.mean(found[f"{prefix}.{quantity}"]) for quantity in present}
    for name in rows:
        if name not in (UNEDITED, CEILING):
            rows[name]["share"] = gap_closed(rows, name)
    return rows


def gap_closed(rows: Rows, name: str) -> Estimate:
    """The share of the way from the unedited mean IoU to the ceiling's."""
    return (rows[name]["iou"] - rows[UNEDITED]["iou"]) / (rows[CEILING]["iou"] - rows[UNEDITED]["iou"])


def averaged(tables: Sequence[Rows]) -> Rows:
    """Means over kinds of request of the rows and quantities that all of them have."""
    rows: Rows = {}
    for name in tables[0]:
        if all(name in table for table in tables):
            shared = [quantity for quantity in tables[0][name] if all(quantity in table[name] for table in tables)]
            rows[name] = {
                quantity: Estimate.average([table[name][quantity] for table in tables]) for quantity in shared
            }
    return rows


def compared(rows: Rows) -> dict[str, Any]:
    """For JSON: the numbers, and those of each editor beside the references."""
    result: dict[str, Any] = {}
    for name, row in rows.items():
        extended = dict(row)
        if name not in (UNEDITED, CEILING):
            for quantity in ("identity", "outside"):
                if quantity in rows[CEILING]:
                    extended[f"{quantity}, of the ceiling's"] = row[quantity] / rows[CEILING][quantity]
            if "distance" in row:
                extended["nearer to the truth by"] = rows[UNEDITED]["distance"] - row["distance"]
        result[name] = {quantity: number.json() for quantity, number in extended.items()}
    return result


def edits_summary(
    requests: Sequence[MaskRequest], editors: Mapping[str, Measured], references: Measured, seed: int
) -> dict[str, Any]:
    """For JSON: each kind of request, their average, and that of those which every editor can express."""
    count = len(requests[0].target)
    tables = {
        one.kind: edits_of(one.kind, editors, references, Resamples(count, seed), one.truth is not None)
        for one in requests
    }
    shared = [kind for kind, rows in tables.items() if all(name in rows for name in editors)]
    result: dict[str, Any] = {
        "kinds": {kind: compared(rows) for kind, rows in tables.items()},
        "average": compared(averaged(list(tables.values()))),
    }
    if shared and len(shared) < len(tables):
        result["shared"] = {"kinds": shared, "average": compared(averaged([tables[kind] for kind in shared]))}
    result["cases"] = {one.kind: cases for one in requests if (cases := _cases(one, editors, references, seed))}
    return result


def _cases(request: MaskRequest, editors: Mapping[str, Measured], references: Measured, seed: int) -> dict[str, Any]:
    labels = np.array(request.labels)
    cases = {}
    for label in sorted(set(request.labels) - {""}):
        rows = labels == label
        if rows.sum() < _FEWEST:
            continue
        sample = Resamples(len(labels), seed, rows)
        table = edits_of(request.kind, editors, references, sample, request.truth is not None)
        if table[CEILING]["iou"].value - table[UNEDITED]["iou"].value < _LEAST_GAP:
            for row in table.values():
                row.pop("share", None)
        cases[label] = {"faces": int(rows.sum()), **compared(table)}
    return cases


def style_summary(
    editors: Mapping[str, Measured], references: Measured, test: MaskTestSet, seed: int
) -> dict[str, Any]:
    """For JSON: by picture, how far each factor moved of the way to the other's, and what became of the mask."""
    sample, others = Resamples(len(test.faces), seed), test.faces.others.numpy()
    pictures = {(name, ""): (references, f"style.{name}") for name in (UNEDITED, CEILING)}
    for name, found in editors.items():
        pictures |= {(name, f"{share:g}"): (found, f"style.{share:g}") for share in SHARES}
    rows = []
    for (name, share), (found, prefix) in pictures.items():
        if f"{prefix}.confusion" not in found:
            continue
        row: dict[str, Any] = {"picture": name, "share": share, "iou": sample.iou(found[f"{prefix}.confusion"]).json()}
        for quantity in ("identity", "distance"):
            if f"{prefix}.{quantity}" in found:
                row[quantity] = sample.mean(found[f"{prefix}.{quantity}"]).json()
        if test.reader is not None:
            start = references["style.unedited.factors"]
            moved, asked = found[f"{prefix}.factors"] - start, start[others] - start
            row["moved"] = {
                factor: sample.slope(moved[:, column], asked[:, column]).json()
                for column, factor in enumerate(test.reader.names)
            }
        rows.append(row)
    return {"rows": rows}


def generation_summary(
    editors: Mapping[str, Measured], references: Measured, test: MaskTestSet, seed: int
) -> dict[str, Any]:
    """For JSON: agreement with the given masks, difference between seeds, Fréchet distance; with their references."""
    sample = Resamples(len(test.faces), seed)
    own = references["style.unedited.confusion"]
    rows: dict[str, Any] = {
        "inversions of the faces": {"iou": sample.iou(own).json()},
        "inversions of two faces": {
            "iou": sample.iou(references["crossed.confusion"]).json(),
            "identity": sample.mean(references["people.identity"]).json(),
            "pixels": sample.mean(references["people.pixels"]).json(),
        },
    }
    if "style.ceiling.identity" in references:
        styles = sample.mean(references["style.ceiling.identity"])
        rows["inversions of a face in two styles"] = {"identity": styles.json()}
    if "inverted.frechet" in references:
        rows["inversions of the faces"]["frechet"] = float(references["inverted.frechet"])
        rows["the drawn faces"] = {"frechet": float(references["drawn.frechet"])}
    for name, found in editors.items():
        if "generated.confusion" in found:
            rows[name] = {
                "iou": sample.iou(found["generated.confusion"]).json(),
                "identity": sample.mean(found["generated.identity"]).json(),
                "pixels": sample.mean(found["generated.pixels"]).json(),
            }
            if "generated.frechet" in found:
                rows[name]["frechet"] = float(found["generated.frechet"])
    return rows


def information_summary(editors: Mapping[str, Measured], test: MaskTestSet, seed: int) -> dict[str, Any]:
    """For JSON: editor → code → kind of probe → truth → bits and share of right answers."""
    if test.probed is None:
        return {}
    sample, result = Resamples(len(test.faces), seed), dict[str, Any]()
    for name, found in editors.items():
        codes = dict.fromkeys(key.split(".")[1] for key in found if key.startswith("probe."))
        for code in codes:
            for kind in PROBES:
                bits, right = (found[f"probe.{code}.{kind}.{what}"] for what in ("bits", "right"))
                result.setdefault(name, {}).setdefault(code, {})[kind] = {
                    truth: {
                        "bits": sample.mean(bits[:, column]).json(), "right": sample.mean(right[:, column]).json(),
                    }
                    for column, truth in enumerate(test.probed.names)
                }  # fmt: skip
    return result


def unchanged_summary(editors: Mapping[str, Measured]) -> dict[str, Any]:
    """For JSON: editor → largest and mean difference over the faces."""
    return {
        name: {
            quantity: {"largest": float(values.max()), "mean": float(values.mean())}
            for quantity, values in (("code", found["unchanged.code"]), ("levels", found["unchanged.levels"]))
        }
        for name, found in editors.items()
        if "unchanged.code" in found
    }


def bars(summary: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """For JSON: what an editor of masks should reach, and what it reaches; without the truth, some of it is unknown."""
    edits, unchanged = summary["edits"], summary["unchanged"][name]
    average = edits["average"][name]
    shares = {kind: rows[name]["share"] for kind, rows in edits["kinds"].items()}
    found = [
        _bar("share of the gap closed, mean over the kinds", _value(average["share"]), LEAST_SHARE, True),
        *(
            _bar(f"share of the gap closed, {kind}", _value(share), LEAST_SHARE_OF_A_KIND, True)
            for kind, share in shares.items()
        ),
    ]
    if "identity, of the ceiling's" in average:
        person, nearer, outside = (
            _value(average[quantity])
            for quantity in ("identity, of the ceiling's", "nearer to the truth by", "outside, of the ceiling's")
        )
        found += [
            _bar("identity, of the ceiling's", person, LEAST_IDENTITY, True),
            _bar("nearer to the drawn truth than the unedited by", nearer, 0, True),
            _bar("change outside the region, of the ceiling's", outside, MOST_OUTSIDE, False),
        ]
    return [
        *found,
        _bar("unchanged mask: relative error of the code, largest", unchanged["code"]["largest"], MOST_CODE, False),
        _bar("unchanged mask: grey levels, largest", unchanged["levels"]["largest"], MOST_LEVELS, False),
    ]


def _value(entry: Mapping[str, Any] | None) -> float | None:
    return None if entry is None else entry["value"]


def _bar(name: str, value: float | None, bound: float, least: bool) -> dict[str, Any]:
    met = value is not None and (value >= bound if least else value <= bound)
    return {"name": name, "value": value, "bound": bound, "least": least, "met": met}
