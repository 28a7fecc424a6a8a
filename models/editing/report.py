"""report.json: what a run of edits was asked to do, and what was measured of each face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.editing.records import Job
from models.editing.run import EditRun


def edit_report(run: EditRun, jobs: Sequence[Job], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is written to report.json.

    Args:
        settings: of the kinds of request, see `request_settings`.
    """
    domain = run.studio.pipeline.domain
    entries = [entry for job in jobs for entry in job.entries()]
    statuses = [entry["status"] for entry in entries]
    return {
        "editor": {key: run.studio.metadata.get(key) for key in ("file", "hash", "method", "step")},
        "domain": domain.name,
        "reconstruction_limit": domain.reconstruction_limit,
        "device": str(domain.device),
        "precision": domain.precision,
        "edits": {request.label: request.described() for request in run.requests},
        **settings,
        "forced": run.settings.force,
        "paste": run.settings.paste,
        "counts": {status: statuses.count(status) for status in sorted(set(statuses))},
        "sheets": [path.name for path in run.sheet.paths],
        "faces": entries,
    }
