#!/usr/bin/env python
"""Fetch public weight files, or copy those that were saved with a browser. No other command downloads anything.

    python scripts/download.py                             list the files and what the FFHQ setting needs; fetch nothing
    python scripts/download.py ffhq sdflow                 fetch groups of files; existing files are only checked
    python scripts/download.py e4e-ffhq iresnet34          fetch single files
    python scripts/download.py ffhq --from ~/Downloads     copy files that a browser saved to where they are expected
    python scripts/download.py --check                     verify the checksums of all existing files
    python scripts/download.py --list ffhq                 show authors, licence, addresses and destination

An interrupted download is resumed when the same command runs again. A checksum that nobody published is recorded at the
first download (pretrained/checksums.json) and verified from then on. Exit status: 0 all files exist and are right,
1 something is missing or wrong, 2 usage error.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Annotated

from utils.failures import explain_failures
from utils.options import CommandParser, input_file, input_path, not_empty, value_of
from utils.paths import ROOT, displayed
from utils.ranges import Between, Positive

FFHQ_GROUP = "ffhq"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of download.py."""
    parser = CommandParser(__doc__)
    parser.add_argument("names", type=not_empty, nargs="*", metavar="NAME", help="files or groups of the manifest")
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--from",
        dest="folder",
        type=input_path,
        metavar="FOLDER",
        help="copy the files from this folder (or this one file)",
    )
    action.add_argument("--check", action="store_true", help="verify existing files; fetch nothing")
    action.add_argument("--list", action="store_true", help="print everything known about the files; fetch nothing")
    parser.add_argument(
        "--timeout",
        type=value_of(Annotated[Positive, Between(high=86_400)]),
        default=30.0,
        metavar="SECONDS",
        help="longest wait for a byte (default: %(default)g)",
    )
    parser.add_argument(
        "--attempts",
        type=value_of(Annotated[int, Between(1, 1000)]),
        default=5,
        metavar="N",
        help="give up an address after N failures in a row without progress (default: %(default)s)",
    )
    parser.add_argument(
        "--manifest",
        type=input_file,
        default=ROOT / "pretrained/manifest.yaml",
        metavar="FILE",
        help="another list of files (default: pretrained/manifest.yaml)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    if options.folder is not None and options.folder.is_file() and len(options.names) != 1:
        parser.error(f"--from {options.folder}: is a file; name the one NAME it is")
    return options


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are answered before gdown is imported, which takes 0.3 seconds

from tqdm import tqdm

from utils.config import ConfigError
from utils.download import DownloadError, Fetched, Patience, Report, fetch
from utils.failures import described, naming
from utils.hand_fetched import take_from
from utils.integrity import inspect
from utils.manifest import Manifest, Records, WeightFile


def size_text(file: WeightFile) -> str:
    """The size of a file as far as it is known."""
    if file.size is not None:
        return f"{file.size:,} bytes"
    return f"at least {file.megabytes:,g} MB" if file.megabytes is not None else "size not known"


def by_hand(file: WeightFile) -> str:
    """How to get a file with a browser."""
    return (
        f"By hand: open {' or '.join(file.pages)} in a browser, save {file.published[0]}, then run "
        f"'python scripts/download.py {file.name} --from FOLDER' or put it at {displayed(file.destination)}"
    )


def overview(manifest: Manifest) -> str:
    """All files and groups, and the command for the FFHQ setting."""
    lines = []
    for name, file in manifest.files.items():
        state = "here" if file.destination.is_file() else "not here"
        lines.append(f"{name:22} {state:8} {size_text(file):24} {file.what}")
    for name, members in manifest.groups.items():
        missing = [member for member in members if not manifest.files[member].destination.is_file()]
        state = "all here" if not missing else f"missing: {', '.join(missing)}"
        lines.append(f"\n{name}: {manifest.group_texts[name]}\n    {', '.join(members)} ({state})")
    if FFHQ_GROUP in manifest.groups:
        lines.append(f"\nThe FFHQ setting needs the group {FFHQ_GROUP}: python scripts/download.py {FFHQ_GROUP}")
    lines.append("Nothing was fetched. Licences, addresses, download by hand: python scripts/download.py --list")
    return "\n".join(lines)


def _listed(title: str, urls: Sequence[str]) -> list[str]:
    return [f"  {'or' if index else title:12} {url}" for index, url in enumerate(urls)]


def description(file: WeightFile, records: Records) -> str:
    """Everything known about a file.

    Raises:
        ConfigError: the recorded checksums cannot be read.
    """
    known = records.expected(file)
    checksum = f"{known.sha256} ({known.said_by})" if known.sha256 else "not known; recorded at the first download"
    addresses = [address.url for address in file.addresses]
    pages = [url for url in file.pages if url not in addresses]
    lines = [
        f"{file.name}: {file.what}",
        f"  by           {file.by}",
        f"  licence      {file.licence}",
        f"  size         {size_text(file)}",
        f"  SHA-256      {checksum}",
        *_listed("fetched from", addresses or ["(only with a browser)"]),
        *_listed("by browser", pages),
        f"  published as {', '.join(file.published)}",
        f"  stored as    {displayed(file.destination)} ({'here' if file.destination.is_file() else 'not here'})",
    ]
    return "\n".join(lines)


class NotInFolder(DownloadError):
    """A file that `--from` did not find; no error unless the user named it."""


class Bar:
    """A progress bar that appears with the first byte."""

    def __init__(self, name: str, quiet: bool) -> None:
        self.name, self.quiet = name, quiet
        self.bar: tqdm | None = None

    def __call__(self, done: int, total: int | None) -> None:
        if self.bar is None:  # bytes of an earlier run do not count for the speed
            self.bar = tqdm(
                total=total,
                initial=done,
                desc=self.name,
                unit="B",
                unit_scale=True,
                disable=True if self.quiet else None,  # None: where there is no terminal
            )
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()


def _say(text: str) -> None:
    tqdm.write(f"download.py: {text}", file=sys.stderr)


def bring(file: WeightFile, records: Records, options: argparse.Namespace) -> str:
    """Fetch or copy a file, unless it exists and is right; returns what was done.

    Raises:
        DownloadError, ConfigError: it could not be done.
    """
    expected = records.expected(file)
    if options.folder is not None:
        taken = take_from(options.folder, file.published, file.destination, expected)
        if taken is None:
            raise NotInFolder(
                f"{displayed(options.folder)} holds no {file.published[0]} "
                "(a .zip from Google Drive has to be unpacked first)"
            )
        found, fetched = taken
        done, origin = f"copied from {displayed(found)}", found.name
    else:
        patience = Patience(timeout=options.timeout, attempts=options.attempts)
        with Bar(file.name, options.quiet) as bar:
            fetched = fetch(file.addresses, file.destination, expected, patience, Report(bar, _say))
        done, origin = (f"fetched from {fetched.url}" if fetched.url else "exists already"), fetched.url
    return f"{done}; {_settle(file, records, fetched, origin)}"


def _settle(file: WeightFile, records: Records, fetched: Fetched, origin: str) -> str:
    """Record the checksum of a good file where none was known."""
    known = records.expected(file)
    if known.sha256 is None:
        records.add(file, fetched.size, fetched.sha256, origin or "found in place")
        return f"SHA-256 {fetched.sha256} recorded"
    return f"SHA-256 as {known.said_by} says"


def check(file: WeightFile, records: Records, options: argparse.Namespace) -> str:
    """Verify an existing file; returns what was found.

    Raises:
        DownloadError, ConfigError: it is missing or not what it should be.
    """
    if not file.destination.is_file():
        raise DownloadError("missing")
    try:
        with naming(file.destination):
            size, sha256, problem = inspect(file.destination, records.expected(file))
    except OSError as error:
        raise DownloadError(described(error)) from error
    if problem:
        raise DownloadError(f"{displayed(file.destination)}: {problem}; move it away and fetch it again")
    return f"{size:,} bytes, {_settle(file, records, Fetched(size, sha256, ''), '')}"


def _each(
    files: Sequence[WeightFile],
    records: Records,
    options: argparse.Namespace,
    action: Callable[[WeightFile, Records, argparse.Namespace], str],
) -> int:
    """Do it for every file, even if others fail; returns the exit status."""
    failed, absent = 0, []
    for file in files:
        try:
            print(f"{file.name}: {action(file, records, options)}", flush=True)
        except DownloadError as error:
            if isinstance(error, NotInFolder) and not options.names:
                absent.append(file.name)
                continue
            failed += 1
            advice = "" if options.check and file.destination.is_file() else f"\n    {by_hand(file)}"
            _say(f"{file.name}: {error}.{advice}")
    if absent:
        print(f"not found in {displayed(options.folder)}: {', '.join(absent)}")
    if len(files) > 1:
        print(f"{len(files) - failed - len(absent)} of {len(files)} files exist and are right")
    return 1 if failed or len(absent) == len(files) > 0 else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 all files right, 1 some missing or wrong, 2 usage error."""
    sys.stdout.reconfigure(errors="backslashreplace") if isinstance(sys.stdout, io.TextIOWrapper) else None
    options = parse_arguments(arguments)
    try:
        manifest = Manifest(options.manifest)
        records = Records(manifest)
        everything = list(manifest.files.values())
        files = manifest.chosen(options.names) if options.names else everything
        if options.folder is not None and options.folder.is_file() and len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise ConfigError(f"--from {options.folder}: is a file; name the one NAME it is, of {names}")
        if options.list:
            print("\n\n".join(description(file, records) for file in files))
            return 0
        if not options.names and options.check:  # nobody needs all files
            files = [file for file in everything if file.destination.is_file()]
            print(f"missing: {', '.join(file.name for file in everything if file not in files) or 'nothing'}")
        elif not options.names and options.folder is None:
            print(overview(manifest))
            return 0
        return _each(files, records, options, check if options.check else bring)
    except ConfigError as error:
        print(f"download.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        _say(described(error))
        return 1
    except KeyboardInterrupt:
        _say("interrupted; the same command resumes the download")
        return 1


if __name__ == "__main__":
    sys.exit(main())
