"""The pages show commands that run, files that exist, help texts that are real and numbers that were measured.

Commands of a page are read by the real parsers. Those that are cheap on the avatars run, in the order of the page and
in one temporary folder, as a reader would call them. (OWN_LABELS.md has a test of its own.)
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shlex
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image, ImageChops

import edit
import models.editors
import train
import training.methods
from models.domain import PARTS, Domain
from models.editing import requests
from scripts.checks.help_texts import COMMANDS, FOLDER, help_path, help_text
from tests.masks import drawn, save_mask
from tests.training.editors import assert_independent_of_the_batch, assert_usable, trained, write_config
from tests.words import replaced
from training.settings import TrainingSettings
from utils.config import check_arguments, load_config
from utils.manifest import SHIPPED_MANIFEST, Manifest
from utils.paths import ROOT
from utils.weights import load_weights, save_weights

FOLDERS = ("configs", "criteria", "datasets", "models", "pretrained", "results", "scripts", "training")
PAGES = [ROOT / "README.md", *sorted(page for name in FOLDERS for page in (ROOT / name).rglob("*.md"))]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
README = TEXTS["README.md"]

SAMPLES = ROOT / "pretrained/avatars/samples"
EDITOR = ROOT / "pretrained/avatars/editor.safetensors"
SWAP = ROOT / "pretrained/avatars/id_swap.safetensors"
QUIET = ("--quiet", "--device", "cpu")
NO_PARSER = {"scripts/checks/help_texts.py"}


def commands(page: str, whole: bool = False) -> list[list[str]]:
    """Every `python …` of a page, in order, as words; `whole`: without those that end with an ellipsis."""
    lines = ["".join(found) for found in re.findall(r"^python (\S.*)$|`python ([^`]+)`", TEXTS[page], re.MULTILINE)]
    return [shlex.split(line.replace("…", ""), comments=True) for line in lines if not (whole and "…" in line)]


def blocks(language: str, page: str) -> list[str]:
    """The fenced blocks of a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXTS[page], re.MULTILINE | re.DOTALL)


def command_module(script: str) -> types.ModuleType:
    """The module behind `python script`."""
    return importlib.import_module(script.removesuffix(".py").replace("/", "."))


class Parsed(Exception):
    """Carries out of a `main` that has its own parser what this parser made of the words."""


def parsed(words: list[str], monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """What the command makes of its words, without running it."""
    script, arguments = words[0], words[1:]
    module = command_module(script)
    if script in NO_PARSER:
        assert not arguments
        return argparse.Namespace()
    if hasattr(module, "parse_arguments"):
        return module.parse_arguments(arguments)
    parse_args = argparse.ArgumentParser.parse_args

    def caught(parser: argparse.ArgumentParser, *_: object) -> None:
        raise Parsed(parse_args(parser, arguments))

    with monkeypatch.context() as patch, pytest.raises(Parsed) as stop:
        patch.setattr(argparse.ArgumentParser, "parse_args", caught)
        module.main()
    return stop.value.args[0]


ALL = {tuple(words): None for page in TEXTS for words in commands(page)}


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_commands_are_what_the_parsers_accept(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (ROOT / words[0]).is_file()
    for name in ("FOLDER", "PHOTOS", "FACES", "MASKS"):  # parsers that look whether a file is there find one
        (tmp_path / name).mkdir()
    published = ("LATENTS", "RECORDS", "DATABASE", "all_latents.pickle", "all_att.pickle", "ffhq_lmdb.db")
    for name in ("FILE", "PHOTO", "IN.safetensors", *published):
        (tmp_path / name).touch()
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    options = parsed(list(words), monkeypatch)
    if words[0] == "scripts/download.py":
        Manifest(SHIPPED_MANIFEST).chosen(options.names)
    for word in words:
        assert not word.startswith("configs/") or (ROOT / word).is_file()


def train_words(words: list[str], folder: Path) -> list[str] | None:
    """A dry run on a few faces; where weights are not here, the config is checked without them."""
    options = train.parse_arguments(words)
    if options.resume:
        return None
    config = train.read_config(options)
    method = config.section("method")
    TrainingSettings.from_section(config.section("training"))
    check_arguments(method, training.methods.METHODS.find(method), {"domain"})
    domain = Domain(config.section("domain"))
    if not all(domain.weights_path(part).is_file() for part in PARTS if domain.has(part)):
        return None
    nested = ".faces" if "faces" in config.section("data") else ""
    few = [f"{data}{nested}.{key}" for data in ("data", "validation") for key in ("count=4", f"cache={folder}/drawn")]
    return replaced(words, *few, "--dry-run", *QUIET)


def edit_words(words: list[str], folder: Path) -> list[str] | None:
    """Edits of one sample face with an editor that is here."""
    return None if any("prior-" in word or "pretrained/ffhq" in word for word in words) else replaced(words, *QUIET)


def evaluate_words(words: list[str], folder: Path) -> list[str]:
    """Few faces, one strength, no fits."""
    masks, swaps = (any(name in word for word in words) for name in ("s2flow", "swap"))
    short = [] if masks or swaps else ["--strengths", "0.2"]
    short += ["--no-linear"] if "--compare" not in words and not swaps else []
    short += ["--no-latents"] if masks or swaps or "--compare" not in words else []
    return replaced(words, "--count", "3", *short, "--device", "cpu", "-o", str(folder / "evaluation"))


def measure_words(words: list[str], folder: Path) -> list[str] | None:
    """A few drawn faces and those of the shipped generator."""
    few = ("--count", "12", "--cache", str(folder / "drawn"), "-o", str(folder / "measured.json"))
    return None if "--domain" in words else replaced(words, *few, *QUIET)


def unchanged_words(words: list[str], folder: Path) -> list[str]:
    """The command as it stands."""
    return words


CHEAP: dict[str, Callable[[list[str], Path], list[str] | None]] = {
    "train.py": train_words,
    "edit.py": edit_words,
    "evaluate.py": evaluate_words,
    "scripts/download.py": lambda words, _: words if words in ([], ["--list"]) else None,  # the others may fetch
    "scripts/inspect_checkpoint.py": unchanged_words,
    "scripts/measure_generator.py": measure_words,
    "scripts/convert_checkpoint.py": unchanged_words,
    "scripts/build_avatars.py": lambda words, _: words if "--dry-run" in words else None,
    "scripts/avatars/draw_labelled.py": lambda words, _: replaced(words, "--count", "4"),
    "scripts/avatars/draw_samples.py": lambda words, folder: replaced(words, "-o", str(folder / "samples")),
    "scripts/avatars/draw_first_picture.py": lambda words, folder: replaced(words, "-o", str(folder / "first.png")),
}


def placed(word: str, folder: Path) -> str:
    """A word with the reader's own things put in: pictures, weight files, finished runs."""
    if word in ("FILE", "IN.safetensors"):
        return str(ROOT / "pretrained/avatars/judge.safetensors")
    if word in ("FACES", "PHOTOS", "pretrained/avatars/samples"):
        return str(folder / "faces")
    if word.startswith(("configs/", "pretrained/")):
        return str(ROOT / word)
    if word == "MASK.png":
        return str(save_mask(folder / word, drawn()))
    if style := re.fullmatch(r"(FACES|OTHER\.png)(:[\d.]+)?", word):
        return str(folder / "faces" / ("" if style[1] == "FACES" else "face-01.png")) + (style[2] or "")
    if run := re.fullmatch(r"(?:\w+=)?(runs/[\w-]+)", word):
        state, metadata = load_weights(SWAP if "swap" in word else EDITOR)
        save_weights(folder / run[1] / "editor.safetensors", state, {**metadata, "run": run[1]})  # no two are the same
    return word


def cheap(page: str) -> list[list[str]]:
    """The page's commands that may be run, unless a page before it has them too."""
    before = [words for earlier in list(TEXTS)[: list(TEXTS).index(page)] for words in commands(earlier)]
    own = [] if page == "datasets/OWN_LABELS.md" else commands(page, whole=True)
    return [words for words in own if words[0] in CHEAP and words not in before]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks as small as these are slower on more threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("page", [page for page in TEXTS if cheap(page)])
def test_cheap_commands_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (tmp_path / "faces").mkdir()
    shutil.copy(SAMPLES / "face-01.png", tmp_path / "faces")
    monkeypatch.chdir(tmp_path)
    for script, *words in cheap(page):
        ready = CHEAP[script]([placed(word, tmp_path) for word in words], tmp_path)
        if ready is None:
            continue
        monkeypatch.setattr(sys, "argv", [script, *ready])
        status = command_module(script).main()
        assert not status, (script, *words, capsys.readouterr().err)


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(SAMPLES, tmp_path / SAMPLES.relative_to(ROOT))
    monkeypatch.chdir(tmp_path)
    (source,) = blocks("python", "README.md")
    exec(compile(source, "README.md", "exec"), {})
    assert (tmp_path / "edited.png").stat().st_size > 1000


def test_the_editor_of_the_page_is_an_editor(
    tiny_domain_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "models/editors/README.md"
    editor_source, method_source, request_source = blocks("python", page)
    editor_source = editor_source.replace(
        'title = "mean shift"', 'title = "mean shift"\n    requests = ("attributes", "blend")'
    )
    assert '("attributes", "blend")' in editor_source
    modules = [
        (models.editors, "mean_shift", editor_source),
        (training.methods, "mean_shift", method_source),
        (requests, "blend", request_source),
    ]
    for package, name, source in modules:
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}", raising=False)
    monkeypatch.setattr(requests, "kinds", cache(requests.kinds.__wrapped__))
    config = yaml.safe_load(blocks("yaml", page)[0])
    assert (ROOT / "configs/peers" / config["base"]).is_file()
    path = write_config(tiny_domain_folder, tmp_path, config["method"], config["training"]["steps"])
    run = trained(path, tmp_path / "run")
    editor, domain = assert_usable(run, tmp_path, "mean shift")
    assert_independent_of_the_batch(editor, domain)
    faces = [str(face) for face in sorted(SAMPLES.glob("*.png"))[:2]]
    words = [faces[0], "-o", str(tmp_path / "blended"), "--checkpoint", str(run), "--device", "cpu", "--force"]
    assert edit.main([*words, "--blend", faces[1], "1"]) == 0
    stem, other = (Path(face).stem for face in faces)
    blended = Image.open(tmp_path / f"blended/faces/{stem}--blend-{other}=1.png")
    assert edit.main([faces[1], "-o", str(tmp_path / "other"), *words[3:], "--set", "Smiling=1"]) == 0
    difference = ImageChops.difference(blended, Image.open(tmp_path / f"other/faces/{other}--inversion.png"))
    assert max(high for _, high in difference.getextrema()) <= 1  # all of the other face


def test_every_command_is_on_a_page() -> None:
    shown = {words[0] for words in ALL}
    folders = [ROOT / "scripts" / name for name in ("", "avatars", "benchmarks", "checks", "s2flow")]
    scripts = [path for folder in folders for path in folder.glob("*.py")]
    called = {str(path.relative_to(ROOT)) for path in scripts if '__name__ == "__main__"' in path.read_text("utf-8")}
    assert {"train.py", "edit.py", "evaluate.py"} | called <= shown
    assert "make demo" in README and "make test" in README


def plain(text: str) -> str:
    """Help text without what differs between Python versions: line breaks, and `-o OUT, --output OUT`."""
    text = re.sub(r"(-\w) (\S+), (--[\w-]+) \2", r"\1, \3 \2", text)
    return " ".join(text.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_the_committed_one(command: str) -> None:
    committed = help_path(command).read_text(encoding="utf-8")
    assert plain(committed) == plain(help_text(command)), "python scripts/checks/help_texts.py writes it again"


def test_help_of_all_commands_at_the_top_is_committed() -> None:
    top = {path.stem for path in (ROOT / "scripts").glob("*.py")} - {"__init__", "set_up", "tour"}
    assert {path.stem for path in FOLDER.iterdir()} == top | {"train", "edit", "evaluate"}


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles], target


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 180
    assert len(README.split()) <= 1600


def test_the_table_of_results_is_that_of_the_study() -> None:
    """The README's row of each method against the first table of means in the report."""
    report = TEXTS["results/avatars/study/report.md"].split("Mean over accuracies from 50 to 95 %")[1]
    for name in load_config(ROOT / "configs/study.yaml")["methods"]:
        (row,) = re.findall(rf"^\| {name} \|(.*)$", report, re.MULTILINE)[:1]
        kept, _, identity = (cell.strip().replace(" … ", "–") for cell in row.split("|")[:3])
        short = (kept, identity.replace("0.", "."))
        assert f"| {name} | {' | '.join(short)} |" in README


def shipped_editor_table() -> Iterator[str]:
    """Rows of the table of the shipped editor on the page of results, from the reports of its evaluations."""
    files = [ROOT / "results/avatars" / kind / "report.json" for kind in ("correlated", "decorrelated")]
    reports = [json.loads(file.read_text("utf-8")) for file in files]
    names = ("true counterfactual, encoded", "SDFlow", "linear directions")
    found = [{(row["picture"], row["reference"]): row for row in report["counterfactual"]} for report in reports]

    def cell(row: dict[str, Any], quantity: str, factor: float, digits: int) -> str:
        low, high = row[f"{quantity}_interval"]
        values = [f"{factor * value:.{digits}f}".removeprefix("0") for value in (row[quantity], low, high)]
        return "{} ({}–{})".format(*values)

    for title, quantity, reference, factor, digits in (
        ("other attributes kept, %", "preservation", "inversion", 100, 1),
        ("identity to the inversion", "identity", "inversion", 1, 3),
        ("identity to the photo", "identity", "photo", 1, 3),
    ):
        cells = [cell(rows[name, reference], quantity, factor, digits) for rows in found for name in names]
        yield f"| {title} | {' | '.join(cells)} |"
    distances = [f"{rows[name, 'inversion']['distance']:.3f}"[1:] for rows in found for name in names]
    yield f"| distance to the drawn truth | {' | '.join(distances)} |"


def test_the_table_of_the_shipped_editor_is_that_of_its_evaluations() -> None:
    for line in shipped_editor_table():
        assert line in TEXTS["results/README.md"]


def mask_edits_table() -> Iterator[str]:
    """Rows of the table of mask edits on the page of results, from the report of their evaluation."""
    report = json.loads((ROOT / "results/avatars/s2flow/report.json").read_text("utf-8"))
    edits = report["edits"]
    for kind, rows in {**edits["kinds"], "mean": edits["average"]}.items():

        def cells(quantity: str, *pictures: str, rows: dict[str, Any] = rows) -> list[str]:
            return [f"{rows[picture][quantity]['value']:.3f}"[1:] for picture in pictures]

        share = rows["S²-Flow"]["share"]
        low, high = share["interval"]
        columns = [
            *cells("iou", "unedited", "S²-Flow", "ceiling"),
            f"{100 * share['value']:.0f} ({100 * low:.0f}–{100 * high:.0f})",
            *cells("identity", "S²-Flow", "ceiling"),
            *cells("distance", "unedited", "S²-Flow", "ceiling"),
        ]
        yield f"| {kind} | {' | '.join(columns)} |"


def test_the_table_of_mask_edits_is_that_of_their_evaluation() -> None:
    for line in mask_edits_table():
        assert line in TEXTS["results/README.md"]


def test_the_tables_of_identities_are_those_of_their_evaluations() -> None:
    """Cosine to A with its interval, nearer to A, the judge's decisions, distance; every bar is met."""
    report = json.loads((ROOT / "results/avatars/id_swap/report.json").read_text("utf-8"))
    assert all(bar["met"] for bar in report["bars"])
    swapped = report["pictures"]["ID swap"]
    least = min(one["value"] for one in swapped["agrees"])
    cells = [between(swapped["to A"]), f"{swapped['to B']['value']:.3f}"[1:], f"{100 * swapped['A wins']['value']:.1f}"]
    cells += [f"{100 * least:.1f}", between(swapped["distance"])]
    assert f"| **ID swap** | {' | '.join(cells)} |" in TEXTS["results/README.md"]
    ablation = json.loads((ROOT / "results/avatars/id_swap/ablation.json").read_text("utf-8"))["pictures"]
    named = {"short training": "as shipped, short", "ten codes (W+)": "the mapper gives ten codes (W+)"}
    for name, row in named.items():
        one = ablation[name]
        decisions = ", ".join(f"{100 * each['value']:.0f}" for each in one["agrees"])
        cells = [between(one["to A"]), f"{100 * one['A wins']['value']:.0f}", decisions]
        assert f"| {row} | {' | '.join(cells)} |" in TEXTS["results/README.md"]


def between(estimate: dict[str, Any]) -> str:
    """An estimate below 1 and its interval with three decimals, as tables show it."""
    low, high = estimate["interval"]
    return f"{estimate['value']:.3f} ({low:.3f}–{high:.3f})".replace("0.", ".")


def test_the_table_of_speed_is_that_of_the_benchmark() -> None:
    measured = json.loads((ROOT / "results/benchmark/cpu.json").read_text())["rows"]
    rows = {row["name"]: row["seconds"] for row in measured}
    starts = {"synthesis": "synthesis", "w → z": "flow-editing", "training": "training-step", "`edit.py`": "editing"}
    for start, name in starts.items():
        (line,) = re.findall(rf"^\| {re.escape(start)}[^|]*\|(.*)\|$", README, re.MULTILINE)
        for cell, seconds in zip(line.split("|"), rows[name].values(), strict=False):
            number = cell.strip().removesuffix(" s")
            decimals = len(number.partition(".")[2])
            assert float(number) == round(seconds, decimals), line


def test_the_table_of_the_rehearsal_is_that_of_its_file() -> None:
    page, measured = TEXTS["models/editing/README.md"], json.loads((ROOT / "results/rehearsal.json").read_text())
    rows = re.findall(r"^\| ((?:mask )?\w+)[^|]* \| ([\d.]+) GB \| (\d*)", page, re.MULTILINE)
    stages = [(one["stage"], f"{one['gigabytes']:.1f}", f"{one['allowed'] or 0:.0f}") for one in measured["stages"]]
    assert [(stage, memory, allowed or "0") for stage, memory, allowed in rows] == stages
    assert f"with {measured['faces']} faces, {measured['machine']}." in page
    assert all(one["status"] == 0 for one in measured["stages"])


def test_the_table_of_reliability_is_that_of_its_files() -> None:
    """Each file of figures has a row with its command and numbers."""
    folder, page = ROOT / "results/reliability", TEXTS["results/reliability/README.md"]
    number, cell = r"\| ([\d,]+) ", r"\|[^|]*"
    rows = re.findall(rf"^\| \[[^|]+\]\((\S+)\){'[^|]*'}{number * 2}{cell}\| `([^|`]+)` \|$", page, re.MULTILINE)
    shown = {name: (*(int(count.replace(",", "")) for count in counts), line) for name, *counts, line in rows}
    files = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
    by_hand = files.pop("second_pass.json")
    found = (by_hand["tried"], by_hand["survived_at_first"], by_hand["faults_mended"], by_hand["faults_found"])
    assert "of {:,} tries {:,} ended well, {} of the other {} were mended".format(*found) in page
    third = files.pop("third_pass.json")
    calls = third["calls"].pop("from Python")
    commands = sum(one["tried"] for one in third["calls"].values())
    assert not any(one["exceptions"] for one in third["calls"].values())
    assert f"none of {commands} calls of commands ended with a traceback" in page
    assert f"{calls['exceptions']} of {calls['tried']} calls from Python" in page
    assert shown == {name: (one["tried"], one["survived"], one["command"]) for name, one in files.items()}
    assert all(one["tried"] == one["survived"] for one in files.values())
