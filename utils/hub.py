"""Weight files in repositories of the Hugging Face Hub, named `hf:OWNER/NAME[/FILE][@REVISION]`.

Only safetensors are taken. The library `huggingface_hub` fetches and keeps them: its variables HF_HOME, HF_ENDPOINT,
HF_HUB_OFFLINE and HF_TOKEN count here too. `utils.paths.hub_address` gives back the address, with the commit, of a file
in its cache.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from utils.failures import described
from utils.integrity import is_safetensors
from utils.paths import HUB, expanded, hub_address
from utils.weight_files.refusal import WeightsError

USUAL = "editor.safetensors"  # taken from a repository with several files, as from a run folder
_BRANCH = "main"
_SUFFIX = ".safetensors"
_ADDRESS = re.compile(HUB + r"([\w-][\w.-]*/[\w-][\w.-]*)(?:/([^@]+))?(?:@([^@]+))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PATIENCE = 10  # seconds until a hub that does not answer counts as out of reach


@dataclass(frozen=True)
class Address:
    """What an address names: a repository OWNER/NAME, a file in it or the one there is, and a branch, tag or commit."""

    repository: str
    file: str | None
    revision: str

    @classmethod
    def parsed(cls, text: str) -> Address:
        """The address as written.

        Raises:
            WeightsError: it is none, or that of a file other than safetensors.
        """
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise WeightsError(f"{text}: an address on the hub is {HUB}OWNER/NAME[/FILE][@REVISION]")
        repository, file, revision = found.groups()
        if file is not None and not file.endswith(_SUFFIX):
            raise WeightsError(f"{text}: only {_SUFFIX} files are taken from the hub, which cannot execute code")
        if file is not None and not _is_inside(file):
            raise WeightsError(f"{text}: '{file}' is no file inside a repository")
        return cls(repository, file, revision or _BRANCH)

    def pinned(self, file: str, commit: str) -> str:
        """The address of a file of this repository in one commit."""
        return f"{HUB}{self.repository}/{file}@{commit}"


@dataclass(frozen=True)
class Listing:
    """The safetensors of a repository in one commit.

    Attributes:
        sizes: file → bytes, if known.
        offline: it lists what is in the cache, since the hub could not be asked, for this reason.
    """

    commit: str
    sizes: Mapping[str, int | None]
    offline: str = ""


def located(path: str | Path) -> Path:
    """The path of a file or folder that a person names; a file of the hub is fetched first, unless it was before.

    Raises:
        WeightsError: the hub has no such file, keeps it closed or cannot be reached, or the library is missing.
        ValueError: a path in the home folder of a user who is not there.
    """
    text = str(path)
    return _fetched(text, Address.parsed(text)) if text.startswith(HUB) else expanded(path)


def available(path: Path) -> bool:
    """Whether there is such a file. One that belongs beside a file from the hub is fetched, if its repository has it.

    Raises:
        WeightsError: the hub has it, but it cannot be fetched.
    """
    text = hub_address(path)
    if path.is_file() or text is None or path.suffix != _SUFFIX:
        return path.is_file()
    address = Address.parsed(text)
    return address.file in _listing(address.repository, address.revision).sizes and _fetched(text, address).is_file()


def _fetched(text: str, address: Address) -> Path:
    library = _library(text)
    if address.file and _COMMIT.fullmatch(address.revision):  # never changes, so nobody need be asked
        path = _snapshot(address.repository, address.revision) / address.file
        if path.is_file():
            return path
    try:
        listing = _listing(address.repository, address.revision)
        file = _chosen(text, address, listing)
        path = _snapshot(address.repository, listing.commit) / file
        if not path.is_file():
            size = listing.sizes.get(file)
            size_text = "a file of unknown size" if size is None else f"{size / 1e6:,.1f} MB"
            to = library.constants.HF_HUB_CACHE
            print(f"{address.pinned(file, listing.commit)}: fetching {size_text} to {to}", file=sys.stderr, flush=True)
        if not listing.offline:  # else it is in the cache
            library.hf_hub_download(address.repository, file, revision=address.revision)  # notes the commit as well
            if not path.is_file():  # the branch has moved on since the listing
                library.hf_hub_download(address.repository, file, revision=listing.commit)
    except WeightsError:
        raise
    except (library.errors.HTTPError, OSError, RuntimeError) as error:
        raise WeightsError(f"{text}: {_reason(error, address)}") from error
    with path.open("rb") as stream:
        if not is_safetensors(stream.read(4096)):
            raise WeightsError(f"{text}: is called {_SUFFIX} but is none, so it is not read")
    return path


@cache  # so that a process sees one commit of a branch, and asks once
def _listing(repository: str, revision: str) -> Listing:
    address = Address(repository, None, revision)
    text = f"{HUB}{repository}" + (f"@{revision}" if revision != _BRANCH else "")
    library = _library(text)
    try:
        info = library.HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=_PATIENCE)
        files = {entry.rfilename: entry.size for entry in info.siblings or ()}
        own = {name: size for name, size in files.items() if name.endswith(_SUFFIX) and _is_inside(name)}
        return Listing(info.sha, own)
    except (library.errors.HTTPError, OSError) as error:
        if _answered(error):
            raise WeightsError(f"{text}: {_reason(error, address)}") from error
        commit = _known_commit(repository, revision)
        folder = _snapshot(repository, commit)
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob(f"*{_SUFFIX}")}
        if not sizes:
            raise WeightsError(f"{text}: {_reason(error, address)}, and nothing of it is in the cache") from error
        return Listing(commit, sizes, _reason(error, address))
    except library.errors.HFValidationError as error:
        raise WeightsError(f"{text}: '{repository}' can be no repository's name") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{text}: {library.constants.ENDPOINT} does not answer as a hub does") from error


def _chosen(text: str, address: Address, listing: Listing) -> str:
    """The file that an address means.

    Raises:
        WeightsError: there is none, or several that it may mean.
    """
    files = sorted(listing.sizes)
    where = f"the cache ({listing.offline})" if listing.offline else "the repository"
    if address.file is not None:
        if address.file in files:
            return address.file
        raise WeightsError(f"{text}: no such file in {where}, which has {', '.join(files) or f'no {_SUFFIX}'}")
    if not files:
        raise WeightsError(f"{text}: {where} has no {_SUFFIX} file, and others are not taken")
    if USUAL in files:
        return USUAL
    if len(files) > 1:
        first = f"{HUB}{address.repository}/{files[0]}"
        raise WeightsError(f"{text}: {where} has several files, name one ({first}): {', '.join(files)}")
    return files[0]


def _is_inside(file: str) -> bool:
    """Whether this is the plain name of a file in a repository, which leads nowhere else and can be shown."""
    path = PurePosixPath(file)
    plain = file.isprintable() and str(path) == file and "\\" not in file
    return plain and ".." not in path.parts and not path.is_absolute()


def _snapshot(repository: str, commit: str) -> Path:
    """Where the library keeps the files of a commit."""
    library = _library(repository)
    return Path(library.constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots" / commit


def _known_commit(repository: str, revision: str) -> str:
    """The commit that a branch had when it was last fetched; the revision itself if it is none that was."""
    try:
        return (_snapshot(repository, "").parent / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return revision


def _library(text: str) -> Any:
    try:
        import huggingface_hub
        from huggingface_hub import constants, errors  # noqa: F401  (submodules that are used)
    except ImportError as error:
        raise WeightsError(f'{text}: {error.name} is not installed: pip install ".[hub]"') from None
    return huggingface_hub


def _answered(error: Exception) -> bool:
    """Whether the hub itself refuses; otherwise what is in the cache may serve."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return 400 <= status < 500


def _reason(error: Exception, address: Address) -> str:
    """What went wrong, in words of this project."""
    library = _library(address.repository)
    errors, endpoint = library.errors, library.constants.ENDPOINT
    if isinstance(error, errors.GatedRepoError):
        page = f"{endpoint}/{address.repository}"
        return f"the repository is gated: ask for access on {page}, then log in (hf auth login, or HF_TOKEN)"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{endpoint} has no such repository, or a private one (then log in: hf auth login, or HF_TOKEN)"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the repository has no branch, tag or commit '{address.revision}'"
    if isinstance(error, errors.OfflineModeIsEnabled) or library.constants.HF_HUB_OFFLINE:
        return "the hub is not asked (HF_HUB_OFFLINE)"
    if isinstance(error, errors.HfHubHTTPError):
        return f"{endpoint} answers with status {error.response.status_code}"
    if isinstance(error, (errors.HTTPError, errors.LocalEntryNotFoundError)):
        return f"{endpoint} cannot be reached"
    return f"cannot be fetched: {described(error)}"
