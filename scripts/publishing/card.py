"""The model card of an editor: README.md as the Hugging Face Hub reads it, made from what the file itself says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from models.editing import Studio
from models.evaluation.report import readings_table
from scripts.publishing.weights import FrozenNetwork
from utils.config import ConfigError
from utils.paths import displayed

_KNOWN_LICENCES = (  # identifiers of the hub; any other text is given as the licence's name
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "gpl-3.0", "lgpl-3.0", "mpl-2.0", "openrail", "unlicense",
)  # fmt: skip


def front_matter(licence: str, **entries: Any) -> str:
    """The YAML at the top of a page of the hub."""
    own = licence.lower() in _KNOWN_LICENCES
    terms = {"license": licence.lower()} if own else {"license": "other", "license_name": licence}
    return f"---\n{yaml.safe_dump({**terms, **entries}, sort_keys=False, allow_unicode=True)}---\n"


def read_evaluation(folder: Path, editor_hash: str) -> dict[str, Any]:
    """The report of evaluate.py in a folder.

    Raises:
        ConfigError: there is none, or it is of another editor.
    """
    path = folder / "report.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        measured, editors = report["record"]["checkpoint"], report["editors"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{displayed(path)}: is no report of evaluate.py for one editor ({error!r})") from error
    if measured != editor_hash or not isinstance(editors, dict):
        raise ConfigError(f"{displayed(path)}: measures the editor {measured}, this one is {editor_hash}")
    return dict(report)


def model_card(
    studio: Studio,
    name: str,
    licence: str,
    networks: Sequence[FrozenNetwork],
    given: bool,
    evaluation: Mapping[str, Any] | None,
    has_examples: bool,
) -> str:
    """The text of README.md.

    Args:
        name: OWNER/NAME of the repository.
        networks: that the editor needs; given: they lie beside it.
        evaluation: see `read_evaluation`.
        has_examples: there is a `sheet.png`.
    """
    metadata, domain = studio.metadata, studio.pipeline.domain
    title = f"{studio.pipeline.editor.title} for {domain.name}"
    condition = ", ".join(studio.attributes) or ", ".join(studio.requests)
    parts = [
        front_matter(licence, library_name="sdflow", pipeline_tag="image-to-image", tags=["sdflow", "face-editing"]),
        f"# {title}",
        f"An editor for SDFlow that changes {condition} of a face and keeps the rest.",
        *(["![Each row a face, each column one attribute flipped](sheet.png)"] if has_examples else []),
        "## Use",
        "With SDFlow's code, and in it `pip install \".[hub]\"`:",
        f"```\npython edit.py PHOTOS -o OUT --checkpoint hf:{name}\n```",
        f'```python\nfrom models.editing import Studio\n\nstudio = Studio.open("hf:{name}")\n```',
        "The commit that was used stands in the report; `@COMMIT` after the name takes that one again.",
        "## What it is",
        _table(
            {
                "method": metadata["method"],
                "domain": f"{domain.name}, {domain.image_side} × {domain.image_side} pixels",
                "condition": condition,
                "training steps": metadata.get("step", "not recorded"),
                "training data": _training_data(metadata.get("config") or {}),
            }
        ),
        "The whole training config is in the metadata of `editor.safetensors`, as JSON under the key `sdflow`.",
        "## Measured",
        _measured(evaluation),
        "## Licence",
        f"The editor's weights: {licence}. The frozen networks that it works with "
        f"{'lie beside it' if given else 'are not in this repository'} and keep their own terms:",
        "\n".join(f"- {network.part} (`{network.path.name}`): {network.terms}" for network in networks),
        "## Responsible use",
        "Edit faces of people who agreed to it, or of nobody. Do not use an edit to deceive, to harass or to infer "
        "anything about a person. The attributes are a classifier's opinion of a picture, not facts about people, and "
        "carry the bias of their data.",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _table(rows: Mapping[str, Any]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {label} | {value} |" for label, value in rows.items())])


def _training_data(config: Mapping[str, Any]) -> str:
    data = config.get("data") or {}
    faces = data.get("faces") or data
    words = [str(faces.get(key)) for key in ("name", "split") if faces.get(key)]
    count = faces.get("count")
    return " ".join(words + ([f"({count:,} faces)"] if isinstance(count, int) else [])) or "not recorded"


def _measured(evaluation: Mapping[str, Any] | None) -> str:
    if evaluation is None:
        return "Not measured by the publisher; `python evaluate.py --checkpoint` measures it."
    record = evaluation["record"]
    return (
        f"By SDFlow's `evaluate.py` on {record['n']} faces ({record['faces']}), seed {record['seed']}: editing "
        "accuracy is the share of faces whose judged decision turned, preservation the share of the other decisions "
        "that stayed, identity the mean cosine of face embeddings; 95 % intervals, bootstrap over faces.\n\n"
        f"{readings_table(evaluation['editors'])}\n\n![curves](curves.png)"
    )
