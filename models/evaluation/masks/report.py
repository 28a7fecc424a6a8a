"""The written results of an evaluation of mask and style edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.evaluation.masks.generation import SEEDS
from models.evaluation.masks.summary import CEILING, UNEDITED
from models.evaluation.report import record_text

_INTRODUCTION = (
    "A request is a target mask. *Unedited* is the inversion of the face; *ceiling* is the inversion of the true "
    "answer, the face drawn as the request wants it. All pictures come from the same generator, and the domain's "
    "parser reads their masks. Editors may learn with this parser and with this recognition network; with the drawn "
    "truth they do not. Mean IoU is over the classes of the targets, the pixels of all faces together. The *share of "
    "the gap* is (edited − unedited) / (ceiling − unedited). Identity is the cosine of face embeddings to the unedited "
    "inversion. *Outside* is the mean difference to the unedited inversion where the face's mask and the target agree, "
    "in grey levels of 255. The *distance* to the drawn truth is the root mean square of the pixels, range 0 to 1. In "
    "brackets: 95 % bootstrap intervals over the faces."
)


def markdown(summary: Mapping[str, Any]) -> str:
    """The whole report as a page."""
    name = next(iter(summary["bars"]))
    known = "identity" in summary["edits"]["average"][CEILING]
    parts = [
        f"# Edits of masks and styles with {summary['editors'][name]['file']}",
        record_text(summary["record"]),
        _INTRODUCTION,
    ]
    if summary["missing"]:
        parts += ["Not measured on these faces:\n\n" + "\n".join(f"- {sentence}" for sentence in summary["missing"])]
    parts += ["## What it should reach", bars_table(summary["bars"][name])]
    parts += ["## How well edits follow their masks", masks_table(summary["edits"], name), "![kinds](kinds.png)"]
    parts += ["## What else changes", changes_table(summary["edits"], name)]
    if known:
        parts += ["![identity](identity.png)"]
    if len(summary["editors"]) > 1:
        parts += ["## Beside other editors", *_others(summary["edits"], list(summary["editors"]))]
    if summary["edits"]["cases"]:
        parts += ["## Case by case", cases_table(summary["edits"]["cases"], name)]
    parts += ["## Style edits", *_style(summary["style"]["rows"])]
    parts += ["## Faces from masks and random z", *_generation(summary["generation"])]
    if summary["information"]:
        parts += ["## What z keeps", *_information(summary["information"], summary["borne by"])]
    parts += ["## Unchanged masks", unchanged_table(summary["unchanged"])]
    parts += ["## Edits", "Two faces for each kind of request, not selected.", "![edits](sheet.png)"]
    return "\n\n".join([*parts, ""])


def shown(entry: Mapping[str, Any] | None, digits: int = 3, factor: float = 1) -> str:
    """A number with its interval as a table shows it; a dash where there is none."""
    if entry is None:
        return "–"
    low, high = (f"{factor * bound:.{digits}f}" for bound in entry["interval"])
    between = " to " if "-" in low + high else "–"
    return f"{factor * entry['value']:.{digits}f} ({low}{between}{high})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def bars_table(bars: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: each number against its bound."""
    rows = [
        [
            one["name"],
            "–" if one["value"] is None else f"{one['value']:.3g}",
            f"{'≥' if one['least'] else '≤'} {one['bound']:g}",
            "yes" if one["met"] else "**no**",
        ]
        for one in bars
    ]
    return table(["", "measured", "bar", "met"], rows)


def _kinds(edits: Mapping[str, Any]) -> dict[str, Any]:
    return {**edits["kinds"], "**mean**": edits["average"]}


def masks_table(edits: Mapping[str, Any], name: str) -> str:
    """Markdown: agreement with the target of each kind of request."""
    rows = [
        [
            kind,
            *(shown(found[picture].get("iou")) for picture in (UNEDITED, name, CEILING)),
            shown(found[name].get("share"), 0, 100),
            " / ".join(f"{100 * found[picture]['pixels']['value']:.1f}" for picture in (UNEDITED, name, CEILING)),
        ]
        for kind, found in _kinds(edits).items()
    ]
    header = ["request", "IoU, unedited", "IoU, edited", "IoU, ceiling", "share of the gap, %",
              "pixels right, unedited / edited / ceiling, %"]  # fmt: skip
    return table(header, rows)


def changes_table(edits: Mapping[str, Any], name: str) -> str:
    """Markdown: person, surroundings and truth of each kind of request."""
    rows = []
    for kind, found in _kinds(edits).items():
        edited, ceiling = found[name], found[CEILING]
        rows.append(
            [
                kind, shown(edited.get("identity")), _plain(ceiling, "identity"),
                _plain(edited, "identity, of the ceiling's"), shown(edited.get("outside"), 1),
                _plain(ceiling, "outside", 1), _plain(found[UNEDITED], "distance"), shown(edited.get("distance")),
                _plain(ceiling, "distance"), shown(edited.get("nearer to the truth by")),
            ]
        )  # fmt: skip
    header = ["request", "identity", "its ceiling", "of the ceiling's", "outside", "its ceiling", "distance, unedited",
              "distance, edited", "distance, ceiling", "nearer than unedited by"]  # fmt: skip
    return table(header, rows)


def _plain(row: Mapping[str, Any], quantity: str, digits: int = 3) -> str:
    entry = row.get(quantity)
    return "–" if entry is None else f"{entry['value']:.{digits}f}"


def _others(edits: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """All editors on all requests and, where some can express only a few, on those."""
    parts = []
    everywhere = [name for name in names if name in edits["average"]]
    if len(everywhere) > 1:
        parts += [f"Means over all {len(edits['kinds'])} kinds of request:"]
        parts += [editors_table(edits["average"], everywhere)]
    if "shared" in edits:
        kinds = edits["shared"]["kinds"]
        note = "An editor of attributes sets the attribute to 0 or 1 (strength d = 0)"
        parts += [f"Requests that every editor can express ({', '.join(kinds)}). {note}:"]
        for kind in kinds:
            parts += [f"**{kind}**", editors_table(edits["kinds"][kind], names)]
        parts += ["**mean**", editors_table(edits["shared"]["average"], names)]
    return parts


def editors_table(found: Mapping[str, Any], names: Sequence[str]) -> str:
    """Markdown: a row each editor, between the references."""
    rows = [
        [
            picture, shown(found[picture].get("iou")), shown(found[picture].get("share"), 0, 100),
            shown(found[picture].get("identity")), shown(found[picture].get("outside"), 1),
            shown(found[picture].get("distance")),
        ]
        for picture in (UNEDITED, *names, CEILING)
    ]  # fmt: skip
    return table(["picture", "IoU", "share of the gap, %", "identity", "outside", "distance to the truth"], rows)


def cases_table(cases: Mapping[str, Any], name: str) -> str:
    """Markdown: cases of requests; the share of a gap below two hundredths is left out."""
    rows = [
        [
            f"{kind}: {label}", str(found["faces"]),
            *(_plain(found[picture], "iou") for picture in (UNEDITED, name, CEILING)),
            shown(found[name].get("share"), 0, 100), _plain(found[name], "identity"),
            _plain(found[CEILING], "identity"),
        ]
        for kind, some in cases.items()
        for label, found in some.items()
    ]  # fmt: skip
    header = ["case", "faces", "IoU, unedited", "edited", "ceiling", "share of the gap, %", "identity", "its ceiling"]
    return table(header, rows)


def _style(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    factors = list(rows[0].get("moved", {}))
    lines = [
        [
            f"{row['picture']}, {100 * float(row['share']):.0f} % of the style" if row["share"] else row["picture"],
            *(shown(row["moved"][factor], 2) for factor in factors),
            shown(row["iou"]), shown(row.get("identity")), shown(row.get("distance")),
        ]
        for row in rows
    ]  # fmt: skip
    about = (
        "Each face gets the z of another and keeps its own mask. IoU is that with the face's own mask. The ceiling is "
        "the inversion of the face drawn in the colours, the light and the age of the other."
    )
    if factors:
        about += (
            " A colour *moved* by 1 if it arrived at the other's, by 0 if it stayed: least squares over the faces, of "
            "a regressor's readings of the pictures. The palettes of clothes and backgrounds are rings, on which a way "
            "can also be read as its opposite; hold each column against its ceiling."
        )
    header = ["picture", *(f"{factor.replace('_', ' ')} moved" for factor in factors), "IoU with the own mask",
              "identity to the unedited", "distance to the truth"]  # fmt: skip
    return [about, table(header, lines)]


def _generation(rows: Mapping[str, Any]) -> list[str]:
    about = (
        f"{SEEDS} faces of z ~ N(0, I) for each mask. IoU is that with the given mask; of two faces, that of a face's "
        "mask with the other's inversion. Identity and pixels are cosine and distance between two seeds of a mask, or "
        "between two people."
    )
    has_distance = any("frechet" in row for row in rows.values())
    if has_distance:
        about += (
            " The Fréchet distance is to other drawn faces, in the judge's last features, as a share of their "
            "variance; that of few faces is larger, and all rows have equally many."
        )
    lines = [
        [
            picture, shown(row.get("iou")), shown(row.get("identity")), shown(row.get("pixels")),
            *([f"{100 * row['frechet']:.1f} %" if "frechet" in row else "–"] if has_distance else []),
        ]
        for picture, row in rows.items()
    ]  # fmt: skip
    header = ["pictures", "IoU with the given mask", "identity between seeds", "pixels between seeds"]
    return [about, table(header + (["Fréchet distance"] if has_distance else []), lines)]


def _information(editors: Mapping[str, Any], borne: Mapping[str, str]) -> list[str]:
    about = (
        "Of 1 bit, what a probe reads off a code on faces that it did not learn from, and in brackets the share of "
        "right answers. With a *shuffled condition* z was made with another face's mask, so that nothing was taken "
        "out. A mask shows glasses and smile; skin and light it does not."
    )
    parts = [about]
    for name, codes in editors.items():
        rows = [
            [f"{code}, {kind}", *(
                f"{found[truth]['bits']['value']:.2f} ({100 * found[truth]['right']['value']:.0f} %)" for truth in borne
            )]
            for code, kinds in codes.items()
            for kind, found in kinds.items()
        ]  # fmt: skip
        header = ["code, probe", *(f"{truth} (in the {where})" for truth, where in borne.items())]
        parts += [f"**{name}**", table(header, rows)] if len(editors) > 1 else [table(header, rows)]
    return parts


def unchanged_table(editors: Mapping[str, Any]) -> str:
    """Markdown: what an edit towards a face's own mask changes."""
    rows = [
        [
            name, *(f"{found['code'][which]:.1e}" for which in ("largest", "mean")),
            *(f"{found['levels'][which]:.2f}" for which in ("largest", "mean")),
        ]
        for name, found in editors.items()
    ]  # fmt: skip
    header = ["editor", "relative error of the code, largest", "mean", "largest difference of a pixel, grey levels",
              "mean over faces"]  # fmt: skip
    return table(header, rows)
