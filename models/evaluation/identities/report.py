"""The written results of an evaluation of identity swaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.evaluation.masks.report import bars_table, shown, table
from models.evaluation.report import record_text

_INTRODUCTION = (
    "Each face B gets the identity of another, A. The *true hybrid* is drawn: shape of face and features, colour of "
    "skin and eyes and natural colour of the hair are A's, all else is B's. *Inverted* pictures went through the "
    "domain's encoder and generator. *Styles mixed* are B's first styles with A's others, at each layer. Cosines are "
    "those of identity embeddings, to A's picture, to B's and to a stranger's; *first* and *among five* say how often "
    "A is found when all people of the test are ranked. *Decisions* are the judge's, which no editor learns with: the "
    "share that is as on B. The *distance* to the truth is the root mean square of the pixels, range 0 to 1. In "
    "brackets: 95 % bootstrap intervals over the pairs."
)


def markdown(summary: Mapping[str, Any]) -> str:
    """The whole report as a page."""
    first = next(iter(summary["editors"]))
    parts = [
        f"# Identities exchanged with {summary['editors'][first]['file']}",
        record_text(summary["record"]),
        _INTRODUCTION,
    ]
    if summary["missing"]:
        parts += ["Not measured on these faces:\n\n" + "\n".join(f"- {sentence}" for sentence in summary["missing"])]
    parts += ["## What it should reach", bars_table(summary["bars"])]
    parts += ["## Who is it, and what else", pictures_table(summary)]
    parts += ["## The judge's decisions that are B's, %", decisions_table(summary)]
    if summary["nuisances"]:
        parts += [
            "## Pose, light and surroundings",
            "Error of a number read off the picture to B's true one, as a share of the error of a random other face: "
            "0 is B's, 1 is anybody's.",
            nuisances_table(summary),
        ]
    parts += ["## The two vectors", *_vectors(summary)]
    parts += ["## Pictures", "Eight pairs, not selected.", "![pairs](sheet.png)"]
    return "\n\n".join([*parts, ""])


def pictures_table(summary: Mapping[str, Any]) -> str:
    """Markdown: a row a picture."""
    rows = [
        [
            f"**{name}**" if name in summary["editors"] else name,
            shown(found["to A"]), shown(found["to B"]), _plain(found["to a stranger"]), shown(found["A wins"], 0, 100),
            _plain(found["A first"], 0, 100), _plain(found["A among five"], 0, 100), shown(found.get("distance"), 4),
        ]
        for name, found in summary["pictures"].items()
    ]  # fmt: skip
    header = ["picture", "cosine to A", "to B", "to a stranger", "nearer to A than to B, %", "A first, %",
              "A among five, %", "distance to the truth"]  # fmt: skip
    return table(header, rows)


def decisions_table(summary: Mapping[str, Any]) -> str:
    """Markdown: a column an attribute."""
    rows = [
        [name, *(shown(entry, 1, 100) for entry in found["agrees"])] for name, found in summary["pictures"].items()
    ]
    return table(["picture", *(name.replace("_", " ") for name in summary["attributes"])], rows)


def nuisances_table(summary: Mapping[str, Any]) -> str:
    """Markdown: a row a number that an identity does not decide."""
    names = [name for name, found in summary["pictures"].items() if "error" in found]
    rows = [
        [nuisance.replace("_", " "), *(_plain(summary["pictures"][name]["error"][row]) for name in names)]
        for row, nuisance in enumerate(summary["nuisances"])
    ]
    return table(["", *names], rows)


def _vectors(summary: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            name, shown(found.get("same.person")), shown(found["two.people"]), shown(found["rebuilt.identity"]),
            shown(found["rebuilt.distance"]), shown(found["varied"]),
            f"{100 * found['frechet']:.1f} %" if "frechet" in found else "–",
        ]
        for name, found in summary["vectors"].items()
    ]  # fmt: skip
    header = ["editor", "identity vectors of one person", "of two people", "own identity: cosine to the face",
              "own identity: distance to the face", "two people in one scene: cosine", "Fréchet distance"]  # fmt: skip
    parts = [
        "Cosines of identity vectors between two pictures of a person and between two people. With a face's *own* "
        "identity the editor should give the face back. The Fréchet distance of the hybrids to other faces is taken in "
        "the judge's features, as a share of their variance.",
        table(header, rows),
    ]
    if not any(summary["leakage"].values()):
        return parts
    about = (
        "Of 1 bit, what a probe reads off a vector on faces that it did not learn from, mean over the facts, and in "
        f"brackets the share of right answers (chance: half). People: {_listed(summary['facts']['people'])}. "
        f"Scenes: {_listed(summary['facts']['scenes'])}."
    )
    lines = [
        [f"{name}: {vector}", *(_bits(found[facts][kind]) for facts in found for kind in found[facts])]
        for name, vectors in summary["leakage"].items()
        for vector, found in vectors.items()
    ]
    header = ["vector", "people, linear", "people, MLP", "scenes, linear", "scenes, MLP"]
    return [*parts, about, table(header, lines)]


def _bits(found: Mapping[str, Any]) -> str:
    return f"{found['bits']['value']:.2f} ({100 * found['right']['value']:.0f} %)"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _plain(entry: Mapping[str, Any] | None, digits: int = 2, factor: float = 1) -> str:
    return "–" if entry is None else f"{factor * entry['value']:.{digits}f}"
