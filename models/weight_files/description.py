"""Description of a weight file for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.weight_files.contents import Found, find_networks, nothing_known
from utils.paths import displayed
from utils.weight_files.formats import Checkpoint, read_checkpoint
from utils.weight_files.refusal import RefusedFile, shown
from utils.weights import WeightsError, key_differences

Rows = list[tuple[str, str]]


def describe(path: str | Path) -> Rows:
    """Rows of label and text: format, networks with their sizes, missing and surplus keys.

    Only the index of the file is read, so that files with damaged values can be described too.

    Raises:
        WeightsError: missing, damaged or unsafe file, or a file without a known network; names the file.
    """
    checkpoint = read_checkpoint(path)
    try:
        networks, unknown = find_networks(checkpoint)
        rows = [("format", f"{checkpoint.format}, {_bytes(checkpoint.size)}"), *_own(checkpoint)]
        if not networks:
            raise nothing_known(unknown)
        for found in networks:
            rows += _network(found)
    except RefusedFile as error:
        raise WeightsError(f"{displayed(path)}: {error}") from None
    if unknown:
        rows.append(("not read", _some(unknown)))
    return rows


def _own(checkpoint: Checkpoint) -> Rows:
    """Rows from this project's own metadata."""
    metadata = checkpoint.metadata
    rows = []
    if "method" in metadata:
        attributes = metadata.get("attributes")
        names = f": {', '.join(shown(name) for name in attributes)}" if isinstance(attributes, list) else ""
        rows.append(("method", f"{shown(metadata['method'])}{names}"))
    if "step" in metadata:
        rows.append(("step", shown(metadata["step"])))
    return rows


def _network(found: Found) -> Rows:
    sizes = found.sizes
    place = f" at {shown(found.place)}" if found.place else ""
    rows = [("network", f"{found.kind.title}{place}"), ("sizes", found.kind.summary(sizes))]
    mean = found.extra.get("latent_avg")
    beside = f" and a mean code of {' x '.join(str(n) for n in mean.shape)}" if mean is not None else ""
    rows.append(("tensors", f"{len(found.state)} of {_bytes(sum(t.nbytes for t in found.state.values()))}{beside}"))
    differences = key_differences(found.blueprint(found.section()), found.outline())
    labelled = (("missing", differences.missing), ("surplus", differences.surplus), ("shapes", differences.shapes))
    rows += [(label, _some(keys)) for label, keys in labelled if keys]
    if differences.derived:
        rows.append(("derived", f"{_some(differences.derived)} (not in the file, not needed)"))
    return rows


def _some(keys: Sequence[str], count: int = 3) -> str:
    more = f" and {len(keys) - count} more" if len(keys) > count else ""
    return ", ".join(shown(key) for key in keys[:count]) + more


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
