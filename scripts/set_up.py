#!/usr/bin/env python3
"""Create .venv and install the tested packages and this project into it.

    python3 scripts/set_up.py               (Python 3.10 to 3.13; `make demo` and `make test` call this)
    python3 scripts/set_up.py --with page   (and the packages of an extra of pyproject.toml; `make page` calls this)

A second call returns at once; after a change of requirements.txt or a move of the folder it installs what differs.
Packages that are in .venv and fit are kept, such as a PyTorch that you installed there yourself (the CPU-only build, or
one for your CUDA version). Needs nothing but Python's standard library.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
REQUIREMENTS = ROOT / "requirements.txt"
STAMP = VENV / "installation"
EXTRAS = ("page", "notebook", "heic", "hub", "ray", "export")
OLDEST, NEWEST = (3, 10), (3, 13)
NEEDED_GIGABYTES = 3  # a CPU-only installation takes about 2
SYMPTOMS = (  # words in pip's output and the reason behind them; the first that fits counts
    (
        ("no space left", "disk quota", "errno 28"),
        "the disk is full: the packages take about 2 GB (8 GB with PyTorch's CUDA build)",
    ),
    (  # before 'no matching distribution', which pip says as well when it reaches no registry
        ("connection", "temporary failure in name resolution", "timed out", "network is unreachable", "proxyerror"),
        "the package registry cannot be reached: set-up needs the network once, afterwards nothing does",
    ),
    (
        ("no matching distribution", "could not find a version", "resolutionimpossible"),
        "a package has no ready-made wheel for this Python or machine; try Python 3.11 or 3.12 "
        "(make demo PYTHON=python3.12)",
    ),
)


def stop(reason: str) -> None:
    """End with one clear sentence."""
    sys.exit(f"set-up stopped: {reason}.")


def check_machine() -> None:
    """Refuse a Python or a disk that cannot work, before anything is written."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found, wanted = (".".join(map(str, version)) for version in (sys.version_info[:2], OLDEST))
        newest = ".".join(map(str, NEWEST))
        stop(f"Python {found} is not supported, {wanted} to {newest} are (make demo PYTHON=python3.12)")
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED_GIGABYTES:
        stop(f"{free:.1f} GB are free in {ROOT}, the packages need about {NEEDED_GIGABYTES} GB")


def diagnose(output: str) -> str:
    """The reason behind pip's output, in words."""
    text = output.lower()
    for words, reason in SYMPTOMS:
        if any(word in text for word in words):
            return reason
    return f"pip failed: {output.strip().splitlines()[-1] if output.strip() else 'no message'}"


def install(extras: str = "") -> None:
    """Install the requirements and the project itself into .venv; pip's output goes to .venv/install.log.

    Args:
        extras: of the project, joined by commas: their packages come in addition.

    The project is installed editable, so that every script imports its packages from whatever folder it is called in.
    It is built with the setuptools of .venv, which takes no network: a moved folder is set up again offline.
    """
    print("installing packages into .venv (a few minutes the first time) …", flush=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check"]
    log = ""
    steps = [["-r", str(REQUIREMENTS)], ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]]
    if extras:
        steps.append(["-r", str(REQUIREMENTS), "--no-build-isolation", "-e", f"{ROOT}[{extras}]"])
    for what in steps:
        result = subprocess.run([*pip, *what], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        log += result.stdout
        (VENV / "install.log").write_text(log, encoding="utf-8")
        if result.returncode:
            stop(f"{diagnose(result.stdout)} (details in .venv/install.log)")
    shutil.rmtree(ROOT / "sdflow.egg-info", ignore_errors=True)  # of the build; what counts is in .venv


def installation() -> str:
    """Hash of what an installation depends on: the requirements, the project's packages, and its folder."""
    parts = (REQUIREMENTS.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def installed_extras() -> list[str]:
    """Extras that an earlier call installed, which stay."""
    return STAMP.read_text().split()[1:] if STAMP.is_file() and PYTHON.exists() else []


def main(arguments: list[str] | None = None) -> None:
    """Set up, unless .venv holds this very installation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--with", dest="extras", action="append", default=[], metavar="EXTRA", choices=EXTRAS)
    extras = sorted({*parser.parse_args(arguments).extras, *installed_extras()})
    wanted = " ".join([installation(), *extras])
    if STAMP.is_file() and PYTHON.exists() and STAMP.read_text() == wanted:
        return
    check_machine()
    if not PYTHON.exists():
        print(f"creating .venv with Python {sys.version.split()[0]}", flush=True)
        try:
            venv.create(VENV, with_pip=True, clear=VENV.exists())
        except (OSError, subprocess.CalledProcessError) as error:
            stop(f".venv could not be created ({error}); on Debian and Ubuntu: apt install python3-venv")
    install(",".join(extras))
    STAMP.write_text(wanted)


if __name__ == "__main__":
    main()
