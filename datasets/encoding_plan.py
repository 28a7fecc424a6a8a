"""What an encoding still needs: the photos of a call beside those that its shards hold already.

A photo is known by its name. Each shard records of every photo the size, the time of change and a hash of its file, so
that a changed file is noticed without reading those that were not touched. New photos go into new shards behind the
old ones; the shards of a call that was interrupted are filled first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets.latent_shards import ShardError, ShardFile, Source, hashed, shard_path
from utils.excerpts import excerpt
from utils.paths import displayed
from utils.photos import PhotoError, read_file


@dataclass
class ShardPlan:
    """What is to be done to one shard.

    Attributes:
        places: numbers that its photos have in the whole encoding.
        photos: number and name of each photo that is to be encoded.
        drop: names of the photos that are to be taken out.
    """

    places: range
    photos: list[tuple[int, str]] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """What is to be done to an encoding.

    Attributes:
        shards: all shards, in order.
        kept: number of encoded photos that stay as they are.
        new: names of photos that are encoded for the first time.
        changed: names of encoded photos whose file is another one now.
        missing: names of encoded photos that the call does not name.
    """

    shards: list[ShardPlan] = field(default_factory=list)
    kept: int = 0
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def remarks(self, keep_missing: bool) -> list[str]:
        """What a person should know before the work; nothing of a new encoding."""
        said = []
        if self.kept and self.new:
            said.append(f"{len(self.new)} new photos are encoded beside {self.kept}")
        if self.changed:
            said.append(f"{len(self.changed)} photos changed and are encoded again")
        if self.missing:
            kept = "faces are kept" if keep_missing else "faces are dropped"
            said.append(f"{len(self.missing)} photos are not named; their {kept}")
        return said

    def check(self, folder: Path, update: bool, keep_missing: bool) -> None:
        """Refuse to go on where encoded photos changed or are missing and nobody said what to do with them.

        Raises:
            ShardError: naming them and the options.
        """
        said, options = [], []
        if self.changed and not update:
            said.append(f"{len(self.changed)} changed since then ({excerpt(self.changed[0])} is the first)")
            options.append("--update encodes them again")
        if self.missing and not (update or keep_missing):
            said.append(f"{len(self.missing)} are not among these photos ({excerpt(self.missing[0])} is the first)")
            options.append("--update drops, --keep-missing keeps the faces of those that are not named")
        if said:
            raise ShardError(
                f"{displayed(folder)}: of the photos encoded there {' and '.join(said)}; {'; '.join(options)}"
            )


def plan_encoding(
    folder: Path, places: Sequence[range], shard_size: int, photos: Mapping[str, Path], retry_failed: bool,
    keep_missing: bool,
) -> Plan:  # fmt: skip
    """Compare photos with an encoding.

    Photos that failed are tried again if their file changed, and forgotten if it is gone.

    Args:
        places: of the shards that were begun, whether or not they are there; none in a new encoding.
        photos: name → file, in the order in which they are encoded.
        retry_failed: try all photos again that failed.
        keep_missing: encoded photos that are not among these stay.
    Raises:
        ShardError: a shard is damaged.
    """
    plan = Plan()
    stored = {part.start: ShardFile(shard_path(folder, part.start)) for part in places if _is_there(folder, part)}
    known = {name for shard in stored.values() for name in (*shard.names, *shard.failures)}
    plan.new = [name for name in photos if name not in known]
    waiting = list(plan.new)
    for part in places:
        if part.start in stored:
            plan.shards.append(_changes(plan, part, stored[part.start], photos, retry_failed, keep_missing))
        elif waiting:
            count = min(len(part), len(waiting))
            plan.shards.append(ShardPlan(part[:count], list(zip(part[:count], waiting[:count], strict=True))))
            del waiting[:count]
    end = max((part.stop for part in places), default=0)
    for first in range(0, len(waiting), shard_size):
        names = waiting[first : first + shard_size]
        part = range(end + first, end + first + len(names))
        plan.shards.append(ShardPlan(part, list(zip(part, names, strict=True))))
    return plan


def _is_there(folder: Path, part: range) -> bool:
    return shard_path(folder, part.start).is_file()


def _changes(
    plan: Plan, part: range, shard: ShardFile, photos: Mapping[str, Path], retry_failed: bool, keep_missing: bool
) -> ShardPlan:
    todo = ShardPlan(part)
    numbers = shard.numbers_of(part)
    for name in (*shard.names, *shard.failures):
        failed, path = name in shard.failures, photos.get(name)
        if path is None:
            if failed or not keep_missing:
                todo.drop.append(name)
            if not failed:
                plan.missing.append(name)
        elif _changed(path, shard.sources.get(name)) or failed and retry_failed:
            todo.photos.append((numbers[name], name))
            if not failed:
                plan.changed.append(name)
        elif not failed:
            plan.kept += 1
    return todo


def _changed(path: Path, source: Source | None) -> bool:
    """Whether a file is not the one that was encoded; unknown for the shards of earlier versions."""
    if source is None:
        return False
    try:
        now = path.stat()
        if now.st_size == source.size and now.st_mtime_ns == source.modified:
            return False
        return now.st_size != source.size or hashed(read_file(path)) != source.digest
    except (OSError, PhotoError):
        return source.size >= 0
