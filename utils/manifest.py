"""Public weight files: what each is, where it is offered, where it is stored, and what is known of its bytes.

The manifest (`pretrained/manifest.yaml`) holds what is known beforehand. Checksums that nobody published are recorded
beside it at the first download (`checksums.json`) and verified from then on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import urlsplit

from filelock import FileLock

from utils.config import ConfigError, Section, check_arguments, load_config, nearest
from utils.failures import naming
from utils.files import write_text
from utils.integrity import Expected
from utils.paths import ROOT, absolute, displayed
from utils.ranges import Count, Positive

SHIPPED_MANIFEST = ROOT / "pretrained/manifest.yaml"
_DRIVE = (  # the first answers with the file itself, the second with a confirmation page if the file is large
    "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t",
    "https://drive.google.com/uc?export=download&id={}",
)
_DRIVE_FOLDER = "https://drive.google.com/drive/folders/"
_KINDS = ("url", "drive", "folder", "page")


@dataclass(frozen=True)
class Address:
    """Where a file can be fetched.

    Attributes:
        url: of the file, or of a folder on Google Drive that holds it.
        names: names of the file in that folder; empty where `url` is the file's own.
    """

    url: str
    names: tuple[str, ...] = ()


def drive_addresses(identity: str) -> tuple[Address, ...]:
    """The addresses of a file on Google Drive, given its id."""
    return tuple(Address(template.format(identity)) for template in _DRIVE)


@dataclass(frozen=True)
class WeightFile:
    """One public file.

    Attributes:
        destination: where commands look for it.
        published: names under which its publishers offer it: in a Drive folder, and as a browser saves it.
        megabytes: size of its tensors, counted from the published shapes; the file has at least about that size.
        size, sha256: of the whole file, only where they are known for certain.
        addresses: where it can be fetched, best first.
        pages: where it is found with a browser.
    """

    name: str
    what: str
    by: str
    licence: str
    destination: Path
    published: tuple[str, ...]
    megabytes: float | None
    size: int | None
    sha256: str | None
    addresses: tuple[Address, ...]
    pages: tuple[str, ...]

    @property
    def expected(self) -> Expected:
        """What the manifest knows of its bytes."""
        return Expected(self.size, self.sha256)


def _entry(
    what: str,
    by: str,
    licence: str,
    destination: str,
    sources: list[dict[str, str]],
    published: list[str] | None = None,
    megabytes: Positive | None = None,
    size: Count | None = None,
    sha256: str | None = None,
) -> None:
    """The keys of a file in the manifest, for `check_arguments`."""


class Manifest:
    """The files of a manifest and its groups of them.

    Args:
        path: a YAML file with `files` (name → what, by, licence, destination, sources, published, megabytes, size,
            sha256) and `groups` (name → what, files). Destinations are relative to its folder and stay inside it.
    Raises:
        ConfigError: unreadable, or an entry that cannot be used; names the file and the key.
    """

    def __init__(self, path: Path) -> None:
        config = load_config(path)
        self.path, self.folder = path, path.resolve().parent
        for key in config:
            if key not in ("files", "groups"):
                raise ConfigError(f"{config.where(key)}: a manifest has no such key{nearest(key, ('files', 'groups'))}")
        files = config.section("files")
        self.files = {name: self._file(files.section(name), name) for name in files}
        self.groups: dict[str, tuple[str, ...]] = {}
        self.group_texts: dict[str, str] = {}
        groups = config.section("groups") if "groups" in config else Section({})
        for name in groups:
            self._add_group(groups.section(name), name)
        taken: dict[Path, str] = {}
        for file in self.files.values():
            other = taken.setdefault(file.destination, file.name)
            if other != file.name:
                raise ConfigError(f"{files.where(file.name)}: has the same destination as '{other}'")

    def _add_group(self, section: Section, name: str) -> None:
        members, what = section.get("files"), section.get("what")
        if not isinstance(members, list) or not isinstance(what, str) or set(section) != {"files", "what"}:
            raise ConfigError(f"{section.where()}: a group has 'what' (a text) and 'files' (a list), nothing else")
        for member in members:
            if member not in self.files:
                raise ConfigError(f"{section.where('files')}: no such file '{member}'{nearest(member, self.files)}")
        if name in self.files:
            raise ConfigError(f"{section.where()}: a file has this name already")
        self.groups[name], self.group_texts[name] = tuple(members), what

    def _file(self, section: Section, name: str) -> WeightFile:
        values = check_arguments(section, _entry, what=f"the file {name}")
        destination = self._inside(section, values["destination"])
        sha256 = values.get("sha256")
        if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise ConfigError(f"{section.where('sha256')}: a SHA-256 has 64 hexadecimal digits, not '{sha256}'")
        published = tuple(values.get("published") or (destination.name,))
        for entry in published:
            if not entry or PurePosixPath(entry).name != entry or PureWindowsPath(entry).name != entry:
                raise ConfigError(f"{section.where('published')}: '{entry}' is not the plain name of a file")
        addresses: list[Address] = []
        pages: list[str] = []
        for source in values["sources"]:
            self._add_source(section, source, published, addresses, pages)
        return WeightFile(
            name=name,
            what=values["what"],
            by=values["by"],
            licence=values["licence"],
            destination=destination,
            published=published,
            megabytes=values.get("megabytes"),
            size=values.get("size"),
            sha256=sha256,
            addresses=tuple(addresses),
            pages=tuple(pages),
        )

    def _inside(self, section: Section, text: str) -> Path:
        """The destination as an absolute path. A link to another disk in its place is the user's own choice."""
        posix, windows = PurePosixPath(text), PureWindowsPath(text)
        plain = not (posix.is_absolute() or windows.drive or windows.root or "\\" in text or ".." in posix.parts)
        if not plain or not posix.parts or posix.name.startswith("."):
            raise ConfigError(f"{section.where('destination')}: '{text}' is no file inside {displayed(self.folder)}")
        return self.folder / posix

    @staticmethod
    def _add_source(
        section: Section,
        source: dict[str, str],
        published: tuple[str, ...],
        addresses: list[Address],
        pages: list[str],
    ) -> None:
        where = section.where("sources")
        if len(source) != 1:
            raise ConfigError(f"{where}: each source is one of {', '.join(_KINDS)}")
        [(kind, value)] = source.items()
        if kind not in _KINDS:
            raise ConfigError(f"{where}: a source is no '{kind}'{nearest(kind, _KINDS)}")
        if kind in ("drive", "folder"):
            identity = value.removeprefix(_DRIVE_FOLDER).partition("?")[0] if kind == "folder" else value
            if not re.fullmatch(r"[A-Za-z0-9_-]{10,}", identity):
                noun = "file" if kind == "drive" else "folder"
                raise ConfigError(f"{where}: '{value}' is no Google Drive id of a {noun}")
            if kind == "drive":
                addresses += drive_addresses(identity)
                pages.append(f"https://drive.google.com/file/d/{identity}/view")
            else:
                addresses.append(Address(_DRIVE_FOLDER + identity, published))
                pages.append(_DRIVE_FOLDER + identity)
            return
        try:
            parts = urlsplit(value)
        except ValueError:  # half a bracket
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(f"{where}: '{value}' is no http or https address")
        pages.append(value)
        if kind == "url":
            addresses.append(Address(value))

    def chosen(self, names: Sequence[str]) -> list[WeightFile]:
        """The files of some names of files or groups, each once, in the order in which they were asked for.

        Raises:
            ConfigError: an unknown name.
        """
        found: dict[str, WeightFile] = {}
        for name in names:
            if name not in self.files and name not in self.groups:
                raise ConfigError(
                    f"{displayed(self.path)}: no file or group '{name}'{nearest(name, [*self.groups, *self.files])}"
                )
            found.update({member: self.files[member] for member in self.groups.get(name, (name,))})
        return list(found.values())


def public_file(path: Path) -> WeightFile | None:
    """The file of the shipped manifest that lies, or belongs, at a path, recognised by path or name."""
    for file in Manifest(SHIPPED_MANIFEST).files.values():
        if absolute(path) == file.destination or path.name in file.published:
            return file
    return None


def download_hint(path: Path) -> str:
    """The command that fetches a missing file of the shipped manifest; empty for any other file."""
    file = public_file(path)
    return f"'python scripts/download.py {file.name}' fetches it to {displayed(file.destination)}" if file else ""


class Records:
    """Sizes and checksums that were recorded when a file came for the first time: `checksums.json`."""

    def __init__(self, manifest: Manifest) -> None:
        self.folder = manifest.folder
        self.path = manifest.folder / "checksums.json"

    def _read(self) -> dict[str, dict[str, str | int]]:
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigError(f"{displayed(self.path)}: cannot be read ({error}); move it away") from error
        if not isinstance(values, dict) or not all(_is_record(record) for record in values.values()):
            raise ConfigError(f"{displayed(self.path)}: holds other things than checksums; move it away")
        return values

    def _key(self, file: WeightFile) -> str:
        return file.destination.relative_to(self.folder).as_posix()

    def expected(self, file: WeightFile) -> Expected:
        """What is known of a file: by the manifest where it has a checksum, else by what was recorded.

        Raises:
            ConfigError: the record cannot be read.
        """
        record = self._read().get(self._key(file))
        if file.sha256 is not None or record is None:
            return file.expected
        size = file.size if file.size is not None else int(record["size"])
        return Expected(size, str(record["sha256"]), displayed(self.path))

    def add(self, file: WeightFile, size: int, sha256: str, origin: str) -> None:
        """Record a file, unless there is a record of it.

        Raises:
            ConfigError: the record cannot be read.
            OSError: it cannot be written.
        """
        with naming(self.path), FileLock(self.path.with_name(".checksums.lock")):
            values = self._read()
            if self._key(file) in values:
                return
            values[self._key(file)] = {"size": size, "sha256": sha256, "from": origin}
            write_text(self.path, json.dumps(values, indent=1, sort_keys=True) + "\n")


def _is_record(record: object) -> bool:
    return (
        isinstance(record, dict)
        and isinstance(record.get("size"), int)
        and re.fullmatch(r"[0-9a-f]{64}", str(record.get("sha256"))) is not None
    )
