#!/usr/bin/env python
"""Damage weight files of every format at random and watch what the readers make of them.

    python scripts/checks/fuzz_weight_files.py --mutations 20000 --seed 1     the long form of what the tests do
    python scripts/checks/fuzz_weight_files.py --formats nvlabs legacy --keep output/fuzz
    python scripts/checks/fuzz_weight_files.py --mutations 5000 --json results/reliability/hostile_weight_files.json

Each damaged file must be refused with one sentence that names it, or give a network with the same keys and shapes as
the whole file and finite weights; without running anything, within 10 seconds and 1 GB beyond its size. Where that
fails the file is kept (--keep). Exit status: 0 every file came out well, 1 some did not.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import random
import sys
import tempfile
import time
import typing
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import utils  # noqa: F401 (before PyTorch, see utils/threads.py)

# isort: split
import torch
from tqdm import tqdm

from models.stylegan2.nvlabs import nvlabs_keys
from models.weight_files import LoadedNetwork, load_network
from models.weight_files.description import describe
from scripts.checks.weight_file_samples import flow_file, prefixed, save, state_of, write_nvlabs, write_tuned
from utils.failures import explain_failures
from utils.files import write_text
from utils.options import CommandParser, output_file, output_folder, value_of
from utils.paths import displayed
from utils.ranges import Count, Seed
from utils.weight_files.refusal import shown
from utils.weights import WeightsError, save_weights

SECONDS = 10
MEMORY = 2**30
_SMALL: dict[str, Any] = {"size": 8, "mapping_layers": 1, "channels": {4: 8, 8: 6}}
# What a file that is only read never causes. Python reports these to audit hooks (PEP 578).
_ACTIONS = ("exec", "compile", "import", "os.", "subprocess.", "shutil.", "socket.", "ctypes.", "pickle.find_class")


@dataclass
class Outcome:
    """What became of one file: `verdict` is `refused`, `loaded`, or what went wrong; `text` the message or network."""

    verdict: str
    text: str = ""
    seconds: float = 0.0


class Watch:
    """Notices actions while it is armed; there can be one in a process, since audit hooks stay."""

    def __init__(self) -> None:
        self.armed = False
        self.actions: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event in ("exec", "compile") and sys._getframe(1).f_code.co_filename == typing.__file__:
            return  # annotations of our own functions, which configs are checked against
        writes = event == "open" and isinstance(arguments[1], str) and bool(set(arguments[1]) & set("wax+"))
        if writes or event.startswith(_ACTIONS):
            self.actions.append(event)


def limit_memory(extra: int = MEMORY) -> None:
    """Bound this process's address space to what it has now and so much more (where the system can)."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        return
    limit = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def trial(path: Path, watch: Watch, whole: LoadedNetwork | None = None) -> Outcome:
    """Inspect and load a file.

    Args:
        whole: the network of the file before it was damaged.
    """
    began = time.process_time()  # of this process: the machine may be busy with others
    faulthandler.dump_traceback_later(12 * SECONDS, exit=True)
    watch.actions.clear()
    watch.armed = True
    try:
        outcome = _attempt(path, whole)
    except Exception as error:
        outcome = Outcome("foreign error", f"{type(error).__name__}: {error}")
    finally:
        watch.armed = False
        faulthandler.cancel_dump_traceback_later()
    outcome.seconds = time.process_time() - began
    if watch.actions:
        return Outcome("action", ", ".join(watch.actions), outcome.seconds)
    return Outcome("slow", outcome.text, outcome.seconds) if outcome.seconds > SECONDS else outcome


def _attempt(path: Path, whole: LoadedNetwork | None) -> Outcome:
    try:
        describe(path)
    except WeightsError as error:
        if not _says_which(path, error):
            return Outcome("nameless error", str(error))
    try:
        loaded = load_network(path)
    except WeightsError as error:
        return Outcome("refused" if _says_which(path, error) else "nameless error", str(error))
    state = loaded.module.state_dict()
    if not all(bool(value.isfinite().all()) for value in state.values()):
        return Outcome("not finite", loaded.kind)
    if whole is not None:
        shapes = {key: value.shape for key, value in whole.module.state_dict().items()}
        if {key: value.shape for key, value in state.items()} != shapes:
            return Outcome("another network", loaded.kind)
    return Outcome("loaded", loaded.kind)


def _says_which(path: Path, error: WeightsError) -> bool:
    return str(error).startswith(f"{displayed(path)}: ") and "\n" not in str(error)


def _zip(path: Path) -> None:
    state = state_of("stylegan2_generator", **_SMALL)
    save(path, {"g_ema": state, "latent_avg": state["style.1.bias"]})


def _legacy(path: Path) -> None:
    save(path, flow_file(state_of("continuous_flow")), legacy=True)


def _nvlabs(path: Path) -> None:
    state = nvlabs_keys(state_of("stylegan2_generator", **_SMALL, label_dim=3, stored_mean=True))
    write_nvlabs(path, {"G_ema": state}, "raise SystemExit", z_dim=8, synthesis_kwargs={"conv_clamp": 256})


def _tuned(path: Path) -> None:
    state = nvlabs_keys(state_of("stylegan2_generator", **_SMALL, stored_mean=True))
    write_tuned(path, state, "raise SystemExit", "G_ema")


def _wrapped(path: Path) -> None:
    state = state_of("stylegan2_generator", **_SMALL)
    options = {"hyper_parameters": {"opts": argparse.Namespace(size=8)}, "latent_avg": state["style.1.bias"]}
    save(path, {"state_dict": {"model.loss.weight": torch.ones(2), **prefixed(state, "model.net.G.")}, **options})


def _safetensors(path: Path) -> None:
    save_weights(path, state_of("stylegan2_generator", **_SMALL), {"network": "stylegan2_generator", "arguments": {}})


SAMPLES: dict[str, Callable[[Path], None]] = {
    "zip": _zip,
    "zip-mended": _zip,
    "legacy": _legacy,
    "nvlabs": _nvlabs,
    "tuned-mended": _tuned,
    "wrapped-mended": _wrapped,
    "safetensors": _safetensors,
}


def mutated(data: bytes, source: random.Random) -> bytes:
    """The bytes with one to four changes, half of them near the ends, where directories and pickles lie."""
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        size = len(changed)
        near = min(size, 3000)
        place = source.choice((source.randrange(size), source.randrange(near), size - 1 - source.randrange(near)))
        length = source.choice((1, 1, 2, 8, source.randint(1, 200)))
        kind = source.choice((0, 0, 0, 0, 2, 3, 4, 5))
        if kind == 0:
            changed[place] ^= 1 << source.randrange(8)
        elif kind == 2:
            changed[place : place + length] = source.randbytes(min(length, size - place))
        elif kind == 3 and size > length + 1:
            del changed[place : place + length]
        elif kind == 4:
            start = source.randrange(size)
            changed[place:place] = changed[start : start + length]
        elif source.randrange(4) == 0 and place:
            del changed[place:]
        else:
            changed[place : place + 4] = source.choice((b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff" * 4))
    return bytes(changed)


def mended_zip(data: bytes, source: random.Random) -> bytes:
    """A zip file of `torch.save` whose pickle is damaged and whose checksums are right all the same."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as whole, zipfile.ZipFile(result, "w") as damaged:
        for name in whole.namelist():
            content = whole.read(name)
            damaged.writestr(name, mutated(content, source) if name.endswith("data.pkl") else content)
    return result.getvalue()


def fuzz(
    name: str, mutations: int, seed: int, folder: Path, watch: Watch, progress: Callable[[], object] = lambda: None
) -> tuple[Counter[str], list[tuple[Path, Outcome]]]:
    """Try so many damaged files of one format; returns counts by verdict, and the files that did not come out well."""
    original = folder / f"whole-{name}"
    SAMPLES[name](original)
    data, whole = original.read_bytes(), load_network(original)
    counts: Counter[str] = Counter()
    bad = []
    for index in range(mutations):
        source = random.Random(f"{seed}:{name}:{index}")
        path = folder / f"{name}-{seed}-{index}"
        path.write_bytes(mended_zip(data, source) if name.endswith("-mended") else mutated(data, source))
        outcome = trial(path, watch, whole)
        counts[outcome.verdict] += 1
        if outcome.verdict in ("refused", "loaded"):
            path.unlink()
        else:
            bad.append((path, outcome))
        progress()
    return counts, bad


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of fuzz_weight_files.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "--mutations", type=value_of(Count), default=2000, metavar="N", help="of each format (default: 2000)"
    )
    parser.add_argument("--seed", type=value_of(Seed), default=0, help="of the damage (default: 0)")
    parser.add_argument("--formats", nargs="+", choices=SAMPLES, default=list(SAMPLES), help="default: all")
    parser.add_argument(
        "--keep", type=output_folder, metavar="FOLDER", help="where files go that did not come out well"
    )
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write what was tried and what came of it")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit status 0 every file came out well, 1 some did not."""
    options = parse_arguments(arguments)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="fuzz-checkpoints-"))
    folder.mkdir(parents=True, exist_ok=True)
    formats: dict[str, dict[str, int]] = {}
    failures: list[str] = []
    watch = Watch()
    warm_up(folder)
    limit_memory()
    for name in options.formats:
        with tqdm(total=options.mutations, desc=name, unit="file", leave=False, disable=None) as bar:
            counts, bad = fuzz(name, options.mutations, options.seed, folder, watch, bar.update)
        print(f"{name}: {', '.join(f'{count} {verdict}' for verdict, count in counts.most_common())}", flush=True)
        for path, outcome in bad:
            failures.append(f"{path.name}: {outcome.verdict}: {outcome.text} ({outcome.seconds:.1f} s)")
            print(f"  {path.parent}/{failures[-1]}")
        formats[name] = dict(counts.most_common())
    if options.json:
        tried = options.mutations * len(formats)
        only = "" if options.formats == list(SAMPLES) else f" --formats {' '.join(options.formats)}"
        figures = {
            "command": f"python scripts/checks/fuzz_weight_files.py --mutations {options.mutations} "
            f"--seed {options.seed}{only}",
            "tried": tried,
            "survived": tried - len(failures),
            "formats": formats,
            "failures": failures,
        }
        write_text(options.json, json.dumps(figures, indent=2) + "\n")
        print(displayed(options.json))
    return 1 if failures else 0


def warm_up(folder: Path) -> None:
    """Read a whole file of each format, so that what is imported late is imported before anything is watched."""
    shown("\0")
    import_module("utils.torchvision_operators")
    for name, write in SAMPLES.items():
        write(folder / f"whole-{name}")
        describe(folder / f"whole-{name}")
        load_network(folder / f"whole-{name}")


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
