#!/usr/bin/env python
"""Use every command wrongly, each time in a process of its own, and see whether it answers in one sentence.

    python scripts/checks/wrong_usage.py                                     all wrong usages; 20 minutes on 2 cores
    python scripts/checks/wrong_usage.py --only evaluate.py download.py      those of two commands
    python scripts/checks/wrong_usage.py --json results/reliability/wrong_usage.json

A command survives a wrong usage if it ends by itself with the status that its help promises, prints no traceback, and
says in one line what is wrong. What did not survive is printed. Exit status: 0 all survived, 1 some did not, 2 wrong
usage.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from tqdm import tqdm

from utils.failures import explain_failures
from utils.files import write_text
from utils.options import CommandParser, not_empty, output_file, value_of
from utils.paths import ROOT, displayed
from utils.ranges import Between

LONGEST_LINE = 900  # characters of the answer
PATIENCE = 600  # seconds
CONFIG = str(ROOT / "configs/sdflow/avatars.yaml")
SAMPLES = str(ROOT / "pretrained/avatars/samples")
JUDGE = str(ROOT / "pretrained/avatars/judge.safetensors")
EDITOR = str(ROOT / "pretrained/avatars/editor.safetensors")
AVATARS = ("--domain", str(ROOT / "configs/domains/avatars.yaml"))
BOMB = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{p: *{old}, q: *{old}, r: *{old}, s: *{old}}}\n"
    for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)

# Overrides of a config that trains SDFlow on drawn faces; each is wrong.
OVERRIDES = (
    "method.betas=[0.9]", "method.betas=[0.9,0.99,0.5]", "method.betas=[0.9,1.0]", "method.betas=[-0.1,0.9]",
    "method.betas=0.9", "method.betas=[nan,.nan]", "method.edited_range=[0]", "method.edited_range=[1,0]",
    "method.edited_range=[.nan,1]", "method.edited_range=[0,.inf]", "method.edited_range=wide",
    "method.learning_rate=0", "method.learning_rate=-1e-4", "method.learning_rate=.inf", "method.learning_rate=fast",
    "method.learning_rate=[1]", "method.learning_rate=", "method.learning_rate=1e400", "method.learning_rat=1",
    "method.terms=[]x", "method.terms=[nil]", "method.terms=nll", "method.terms=[1]", "method.name=sdflo",
    "method.name=", "method.name=[1]", "method.name=adatrans", "method.name=../sdflow", "method=5", "method=null",
    "method.flow.hidden=[-5,5]", "method.flow.hidden=[0]", "method.flow.hidden=[1000000000]", "method.flow.hidden=5",
    "method.flow.hidden=[1.5]", "method.flow.hidden=[[1]]", "method.flow.tolerance=-1", "method.flow.tolerance=0",
    "method.flow.tolerance=.nan", "method.flow.solver=euler2", "method.flow.solver=[dopri5]", "method.flow.steps=0",
    "method.flow.gradient=adjoint", "method.flow.end_time=-1", "method.flow.name=realnvp", "method.flow.name=reader",
    "method.flow=null", "method.flow.style_dim=3", "method.semantic_encoder.width=0",
    "method.semantic_encoder.backbone=r35", "method.semantic_encoder.head=[-1]", "method.semantic_encoder=null",
    "method.semantic_encoder.name=stylegan2_generator", "method.semantic_encoder.depths=[1,2]",
    "method.semantic_encoder_start=judge", "training.steps=-1", "training.steps=0", "training.steps=1.5",
    "training.steps=many", "training.steps=[unclosed", "training.steps={a: b", "training.steps='", "training.steps=*x",
    "training.steps=!!python/object:os.system x", "training.steps=!!timestamp x", "training.steps=2024-13-45",
    "training.steps=&a [*a]", "training.steps=1e30", f"training.steps={'9' * 5000}", "training.steps=\t1: 2: 3",
    "training.batch_size=0", "training.batch_size=-16", "training.batch_size=1000000000000",
    "training.batch_size=true", "training.accumulate=3", "training.accumulate=0", "training.seed=-1",
    "training.seed=99999999999999999999", "training.seed=.nan", "training.schedule=linear",
    "training.warmup_steps=-1", "training.loss_weights.mi=.nan", "training.loss_weights.mi=-1",
    "training.loss_weights.m=1", "training.loss_weights=[1]", "training.loss_weights=1", "training.log_every=0",
    "training.preview_every=0", "training.preview_images=0", "training.preview_images=-1",
    "training.checkpoint_every=0", "training.keep_checkpoints=0", "training.workers=-1", "training.workers=100000",
    "training.threads=-1", "training.threads=99999", "training.threads=two", "training=5", "training.=1", "=5", "steps",
    "trainin.steps=5", "training.steps.x=5", "data.name=latent_cach", "data.faces.name=nothing", "data.faces.count=0",
    "data.faces.count=-1", "data.faces.first=-3", "data.faces.correlation=.nan", "data.faces.correlation=2",
    "data.faces.correlation=-0.5", "data.faces.side=0", "data.faces.side=1000000", "data.faces.side=32",
    "data.faces.split=trian", "data.faces.cache=''", "data.faces.cache=LOOP", "data.faces.cache=FILE/x",
    "data.faces.cache=~no-such-user/x", "data.cache=''", "data.batch_size=0", "data.faces=5", "data.faces=[]", "data=5",
    "data={name: image_folder, folder: FOLDER}", "data={name: image_folder, folder: FILE}",
    "data={name: image_folder, folder: nowhere}", "data={name: image_folder, folder: ''}",
    "data={name: encoded_faces, folder: FOLDER}", "data={name: ffhq, folder: FOLDER, split: half}",
    "data={name: labelled_folder, folder: FOLDER, table: FILE}", "data={name: avatar_faces, count: 4}",
    "data={name: celeba, folder: FOLDER, labels: FILE, crop: [5, 5, 1, 1]}", "validation=5", "validation.faces.count=0",
    "validation.faces.nam=x", "domain=5", "domain=''", "domain=nowhere.yaml", "domain=FILE", "domain=FOLDER",
    "domain.precision=float16", "domain.precision=16", "domain.synthesis_batch=0", "domain.synthesis_batch=-4",
    "domain.recompute_from=0", "domain.recompute_from=x", "domain.image_side=0",
    "domain.attributes=[]", "domain.attributes=[Hat, Hat]", "domain.attributes=[Young, Young]", "domain.attributes=Hat",
    "domain.name=", "domain.generator=5", "domain.generator.size=63", "domain.generator.size=-64",
    "domain.generator.channels={4: 0}", "domain.generator.channels={x: 1}", "domain.generator.channels={4: 16}",
    "domain.generator.weights=nowhere.pt", "domain.generator.weights=FILE", "domain.generator.weights=FOLDER",
    "domain.generator.weights=", "domain.generator.weights=LOOP", "domain.generator.weights=~no-such-user/x",
    "domain.generator.name=reader", "domain.generator.name=", "domain.encoder.name=reader",
    "domain.encoder.styles=11", "domain.encoder.widths=[1,2]", "domain.teacher.backbone=r1",
    "domain.teacher.attribute_heads=4", "domain.aligner={name: crop}", "domain.aligner=5",
    "domain.latent_space={name: reader}", "domain.latent_space={name: bent_latent_space, scale: 0}",
    "domain.synthesis_resize=magic", "domain.reconstruction_limit=.nan", "run=''", "run=[a]", "run={a: b}", "base=x",
    "1=2", "method.\udcff=1", "x" * 3000 + "=1", "\x01=1",
)  # fmt: skip


@dataclass(frozen=True)
class Usage:
    """A wrong call of a command.

    Attributes:
        words: after the command; FILE, FOLDER, … stand for what `prepare` makes.
        statuses: with which the command may end.
    """

    command: str
    words: tuple[str, ...]
    statuses: tuple[int, ...] = (2,)


def usages() -> Iterator[Usage]:
    """All wrong calls."""
    words: tuple[str, ...]
    train = partial(Usage, "train.py")
    few = [f"{data}.faces.{value}" for data in ("data", "validation") for value in ("count=2", "cache=null")]
    for override in OVERRIDES:
        others = [word for word in few if word.partition("=")[0] != override.partition("=")[0]]
        yield train(("--config", CONFIG, "--run", "OUT/run", "--dry-run", "--device", "cpu", *others, override))
    for config in (
        "nowhere.yaml", "", " ", "FOLDER", "EMPTY", "LOOP", "NOTHING", "BINARY", "BOMB", "TORN", "LIST", "CIRCLE",
        "NUMBER", "DEEP", "PICTURE", "/dev/null", "/dev/zero", "FILE/x", "~no-such-user/x", "x" * 300, "NUMBER.yam",
    ):  # fmt: skip
        yield train(("--config", config, "--dry-run"))
    unusable = "FILE", "FILE/x", "", "LOOP", "NOTHING", "x" * 300, "PICTURE", "~no-such-user/x", "NEW/" + "y" * 256
    for folder in unusable:
        yield train(("--config", CONFIG, "--run", folder, "--dry-run"))
        yield train(("--resume", folder))
    for words in (
        (), ("--config",), ("--config", CONFIG, "--resume", "FOLDER"), ("--resume", "FOLDER"), ("--resume", "NEW"),
        ("--config", CONFIG, "--devic", "cpu"), ("--config", CONFIG, "--device", "tpu"), ("--resume", "HALF"),
        ("--config", CONFIG, "--device", "cuda:x"), ("--config", CONFIG, "--device", "cuda:99"),
        ("--config", CONFIG, "--device", ""), ("--resume", "BROKEN"), ("--resume", "EMPTYRUN"),
        ("--config", CONFIG, "--steps", "5"), ("--config", CONFIG, "training.steps", "=", "5"),
    ):  # fmt: skip
        yield train(words)
    quick = ("--count", "2", "--strengths", "0.2", "--no-linear", "--no-latents", "-o", "OUT/e", "--device", "cpu")
    for words in (
        ("--count", "1"), ("--count", "0"), ("--count", "-5"), ("--count", "many"), ("--count", "1e3"),
        ("--count", "9" * 5000), ("--strengths",), ("--strengths", "nan"), ("--strengths", "inf"),
        ("--strengths", "1e30"), ("--strengths", "x"), ("--strengths", ""), ("--fit-count", "0"), ("--fit-count", "x"),
        ("--seed", "-1"), ("--seed", "x"), ("--seed", "99999999999999999999"), ("-o", ""), ("-o", "FILE"),
        ("-o", "FILE/x"), ("-o", "LOOP"), ("--baseline", "x"), ("--anchors",), ("--device", "gpu"),
        ("--compare", EDITOR, "--checkpoint", EDITOR), ("--precision", "half"), ("unexpected",), ("--faces",),
    ):  # fmt: skip
        yield Usage("evaluate.py", words)
    for words in (
        ("--faces", "nowhere"), ("--faces", ""), ("--faces", "FILE"), ("--faces", "FOLDER"), ("--faces", "LOOP"),
        ("--faces", "~no-such-user/x"), ("--faces", "BROKENPHOTOS"), ("--checkpoint", "nowhere"), ("--checkpoint", ""),
        ("--checkpoint", "FILE"), ("--checkpoint", "FOLDER"), ("--checkpoint", JUDGE), ("--checkpoint", "LOOP"),
        ("--checkpoint", "PICTURE"), ("--checkpoint", "EMPTY"), ("--domain", "nowhere"),
        ("--semantic-encoder", EDITOR), ("--checkpoint", EDITOR, "--semantic-encoder", EDITOR),
        ("--checkpoint", EDITOR, "--semantic-encoder", "nowhere"), ("--checkpoint", "~no-such-user/x"),
    ):  # fmt: skip
        yield Usage("evaluate.py", (*quick, *words), (1, 2) if "BROKENPHOTOS" in words else (2,))
    for words in (("nowhere",), ("",), (EDITOR, JUDGE), (EDITOR, EDITOR, "--baseline", "Nobody"), ("=x",), ("a|b=c",)):
        yield Usage("evaluate.py", ("--compare", *words, "--count", "2", "--strengths", "0.2", "-o", "OUT/c"))
    encode = partial(Usage, "scripts/encode_dataset.py")
    for words in (
        (), (SAMPLES,), (SAMPLES, "-o", ""), (SAMPLES, "-o", "FILE"), (SAMPLES, "-o", "FILE/x"),
        (SAMPLES, "-o", "LOOP"), ("nowhere", "-o", "OUT/s"), ("", "-o", "OUT/s"), ("FOLDER", "-o", "OUT/s"),
        ("LOOP", "-o", "OUT/s"),
        (SAMPLES, "-o", "OUT/s", "--domain", "nowhere.yaml"), (SAMPLES, "-o", "OUT/s", "--domain", ""),
        (SAMPLES, "-o", "OUT/s", "--domain", "FILE"), (SAMPLES, "-o", "OUT/s", "--domain", "FOLDER"),
        (SAMPLES, "-o", "OUT/s", "--domain", CONFIG), (SAMPLES, "-o", "OUT/s", "--domain", "TORN"),
        (SAMPLES, "-o", "OUT/s", "--shard-size", "0"), (SAMPLES, "-o", "OUT/s", "--shard-size", "x"),
        (SAMPLES, "-o", "OUT/s", "--batch-size", "-1"), (SAMPLES, "-o", "OUT/s", "--batch-size", "1e9"),
        (SAMPLES, "-o", "OUT/s", "--workers", "2"), (SAMPLES, "-o", "OUT/s", "--workers", "0", "--engine", "ray"),
        (SAMPLES, "-o", "OUT/s", "--engine", "spark"), (SAMPLES, "-o", "OUT/s", "--per-gpu", "0"),
        (SAMPLES, "-o", "OUT/s", "--address", "auto"), (SAMPLES, "-o", "OUT/s", "--device", "cuda:7"),
        (SAMPLES, "-o", "SHARDS", *AVATARS), ("~no-such-user/x", "-o", "OUT/s"), ("x" * 300, "-o", "OUT/s"),
    ):  # fmt: skip
        yield encode(words)
    sample = partial(Usage, "scripts/sample_faces.py")
    for words in (
        (), ("-o", ""), ("-o", "FILE"), ("-o", "LOOP"), ("-o", "OUT/f", "--count", "0"),
        ("-o", "OUT/f", "--psi", "nan"), ("-o", "OUT/f", "--psi", "3"), ("-o", "OUT/f", "--seed", "-1"),
        ("-o", "OUT/f", "--mean-of", "0"),
        ("-o", "OUT/f", "--pairs", "FILE"), ("-o", "OUT/f", "--shard-size", "x"), ("-o", "OUT/f", "--domain", "TORN"),
        ("-o", "OUT/f", "--domain", CONFIG), ("-o", "SHARDS", "--count", "2", "--mean-of", "2"),
    ):  # fmt: skip
        yield sample(words)
    measure = partial(Usage, "scripts/measure_generator.py")
    for words in (
        ("--count", "9"), ("--count", "x"), ("--faces", "nowhere"), ("--faces", "FILE"), ("--features", "eyes"),
        ("--domain", "TORN"), ("--domain", CONFIG), ("--generator", "TORN"), ("--generator", ""), ("-o", "FOLDER"),
        ("--seed", "-1"), ("--neighbours", "0"), ("--noise", "much"),
        ("--features", "photographs", "--weights", "FOLDER"), ("x",),
    ):  # fmt: skip
        yield measure(words)
    download = partial(Usage, "scripts/download.py")
    for words in (
        ("nothing",), ("",), ("ffhq", "nothing"), ("--from", "nowhere", "ffhq"), ("--from", "", "ffhq"),
        ("--from", "FILE", "ffhq"), ("--from", "FILE"), ("--from", "LOOP", "ffhq"), ("--check", "--list"),
        ("--timeout", "0"), ("--timeout", "-1"), ("--timeout", "nan"), ("--timeout", "inf"), ("--timeout", "x"),
        ("--attempts", "0"), ("--attempts", "1.5"), ("--manifest", "nowhere"), ("--manifest", ""),
        ("--manifest", "FOLDER"), ("--manifest", "TORN"), ("--manifest", "LIST"), ("--manifest", "NUMBER"),
        ("--manifest", "EMPTY"), ("--manifest", CONFIG), ("--manifest", "BOMB"), ("--manifest", "BINARY"),
    ):  # fmt: skip
        yield download(words)
    for words in (
        (), ("IN",), ("nowhere", "OUT/x.safetensors"), ("", "OUT/x.safetensors"), (JUDGE, ""), (JUDGE, "FOLDER"),
        (JUDGE, "FILE/x"), (JUDGE, "FILE"), (JUDGE, "OUT/x.pt", "--to", "keras"), (JUDGE, "OUT/x.pt", "--to", "e4e"),
        (JUDGE, "OUT/x.safetensors", "--to", "plain"), (JUDGE, "OUT/x.safetensors", "--network", "nothing"),
        (JUDGE, "OUT/x.safetensors", "--network", "realnvp"), ("FOLDER", "OUT/x.pt"), ("PICTURE", "OUT/x.pt"),
        ("EMPTY", "OUT/x.pt"), ("BINARY", "OUT/x.pt"), ("LOOP", "OUT/x.pt"), (JUDGE, "LOOP"), ("/dev/null", "OUT/x.pt"),
        (JUDGE, "OUT/x.pt", "--decoder", "nowhere"), (JUDGE, "OUT/" + "x" * 300 + ".pt"),
        ("~no-such-user/x", "OUT/x.pt"),
    ):  # fmt: skip
        yield Usage("scripts/convert_checkpoint.py", words, (1, 2))
    for words in (
        (), ("",), ("nowhere",), ("FOLDER",), ("FILE",), ("EMPTY",), ("PICTURE",), ("BINARY",), ("LOOP",), ("NOTHING",),
        ("/dev/null",), ("x" * 300,), ("FILE/x",), ("~no-such-user/x",), ("--all", JUDGE), ("NEW\udcff",),
    ):  # fmt: skip
        yield Usage("scripts/inspect_checkpoint.py", words, (1, 2))
    for words in (
        ("--only",), ("--only", "nothing"), ("--threads", "-1"), ("--threads", "99999"), ("--threads", "x"),
        ("--rounds", "0"), ("--rounds", "nan"), ("--json", ""), ("--json", "FOLDER"), ("--json", "FILE/x"),
        ("--plot", "FOLDER"), ("--folder", "FILE"), ("--folder", ""), ("--device", "npu"), ("--device", "cuda:5"),
    ):  # fmt: skip
        yield Usage("scripts/benchmark.py", ("--quick", *words))
    for words in (
        ("--stages",), ("--stages", "nothing"), ("--force", "nothing"), ("--stages", "judge", "--force", "sdflow"),
    ):  # fmt: skip
        yield Usage("scripts/build_avatars.py", (*words, "--dry-run"))
    for words in (
        ("--only", "nothing"), ("--jobs", "0"), ("--jobs", "x"), ("--jobs", "100000"), ("--study", "nowhere"),
        ("--study", ""), ("--study", "FOLDER"), ("--study", "TORN"), ("--study", "NUMBER"), ("--study", CONFIG),
        ("--study", "EMPTY"), ("--runs", "FILE"), ("--runs", ""), ("-o", "FILE/x"), ("--without", ""),
        ("--without", "Nobody"), ("--study", "STUDY"),
    ):  # fmt: skip
        usual = {"-o": "OUT/study", "--runs": "OUT/runs"}
        others = [word for option, place in usual.items() if option not in words for word in (option, place)]
        yield Usage("scripts/study_avatars.py", ("--quick", *others, *words), (1, 2))
    for words in ((), ("nowhere",), ("",), ("FILE",), ("FOLDER",), ("FOLDER", "--only", "x"), ("LOOP",),
                  (str(ROOT / "tests/golden"), "--photos", "FILE")):  # fmt: skip
        yield Usage("scripts/check_golden.py", words, (1, 2) if "--only" in words else (2,))
    for address in ("hf:", "hf:alice", "hf:alice/faces/editor.pt", "hf:alice/faces/../editor.safetensors"):
        yield Usage("edit.py", (SAMPLES, "-o", "OUT", "--checkpoint", address))
        yield Usage("scripts/publish.py", (address, "-o", "OUT", "--licence", "mit"))
    for words in ((EDITOR,), (EDITOR, "-o", "OUT"), (JUDGE, "-o", "OUT", "--licence", "mit"), (EDITOR, "-o", SAMPLES)):
        yield Usage("scripts/publish.py", words)
    export = partial(Usage, "scripts/export_onnx.py")
    for words in (
        (), ("-o", ""), ("-o", "FILE"), ("-o", "FILE/x"), ("-o", "LOOP"), ("-o", "OUT/n", "--steps", "0"),
        ("-o", "OUT/n", "--steps", "x"), ("-o", "OUT/n", "--steps", "1000"), ("-o", "OUT/n", "--checkpoint", "nowhere"),
        ("-o", "OUT/n", "--checkpoint", "FILE"), ("-o", "OUT/n", "--checkpoint", JUDGE), ("-o", "OUT/n", "--half", "x"),
        ("-o", "OUT/n", "--semantic-encoder", JUDGE), ("-o", "OUT/n", "--domain", "nowhere"),
    ):  # fmt: skip
        yield export(words)
    for words in (("--masks", "FOLDER"), ("--masks", "FOLDER", "-o", "OUT", "--seeds", "3:1")):
        yield Usage("scripts/generate.py", words)
    yield Usage("scripts/page.py", ("--port", "x"))
    yield Usage("scripts/page.py", ("--nothing",))
    yield Usage("scripts/demo.py", ("-o", ""))
    yield Usage("scripts/demo.py", ("-o", "FILE"))
    yield Usage("scripts/demo.py", ("x",))
    for words in ((), ("",), ("FILE",), ("OUT/d", "--count", "0"), ("OUT/d", "--count", "x"), ("LOOP",)):
        yield Usage("scripts/avatars/draw_labelled.py", words)
    for words in (("-o", ""), ("-o", "FILE"), ("-o", "FILE/x"), ("x",)):
        yield Usage("scripts/avatars/draw_samples.py", words)
    for words in (("--faces", "0"), ("--faces", "13"), ("--faces", "x"), ("-o", "FOLDER"), ("-o", "FILE/x")):
        yield Usage("scripts/avatars/draw_first_picture.py", words)
    for words in (
        ("--faces", "5"), ("--seed", "-1"), ("--domain", "nowhere"), ("--domain", ""), ("--output", "FOLDER"),
        ("--pictures", "FILE"), ("--only", "nothing"), ("--cache", "FILE"), ("--domain", "NUMBER"),
    ):  # fmt: skip
        yield Usage("scripts/avatars/measure_domain.py", words)
    for words in (
        (), ("nowhere", "-o", "OUT/g"), ("", "-o", "OUT/g"), ("FILE", "-o", "FOLDER"), (JUDGE, "-o", "OUT/g"),
        ("PICTURE", "-o", "OUT/g"), ("FILE", "-o", "OUT/g", "--faces", "0"), ("FILE", "-o", "OUT/g", "--config", "x"),
    ):  # fmt: skip
        yield Usage("scripts/avatars/calibrate_generator.py", words)
    edit = partial(Usage, "edit.py")
    for words in (
        (), (SAMPLES,), ("nowhere", "-o", "OUT/p"), ("FOLDER", "-o", "OUT/p"), (SAMPLES, "-o", "FILE"),
        (SAMPLES, "-o", "OUT/p", "--set", "Smiling"), (SAMPLES, "-o", "OUT/p", "--set", "Smilin=1"),
        (SAMPLES, "-o", "OUT/p", "--set", "Smiling=x"), (SAMPLES, "-o", "OUT/p", "--set", "Smiling=nan"),
        (SAMPLES, "-o", "OUT/p", "--sweep", "Young=1"), (SAMPLES, "-o", "OUT/p", "--sweep", "Young=0:1:0"),
        (SAMPLES, "-o", "OUT/p", "--flip", "Hat"), (SAMPLES, "-o", "OUT/p", "--batch-size", "0"),
        (SAMPLES, "-o", "OUT/p", "--faces", "0"), (SAMPLES, "-o", "OUT/p", "--detector", "cnn"),
        (SAMPLES, "-o", "OUT/p", "--checkpoint", "nowhere"), (SAMPLES, "-o", "OUT/p", "--checkpoint", JUDGE),
        (SAMPLES, "-o", "OUT/p", "--checkpoint", "FILE"), (SAMPLES, "-o", "OUT/p", "--device", "tpu"),
        (SAMPLES, "-o", "OUT/p", "--precision", "half"), (SAMPLES, "-o", "OUT/p", "--semantic-encoder", JUDGE),
    ):  # fmt: skip
        yield edit(words)


def prepare(folder: Path) -> dict[str, str]:
    """Files and folders that are not what they should be: word of a usage → path."""
    files = {
        "FILE": b"no picture, no weights, no config\n", "EMPTY": b"", "BINARY": bytes(range(256)) * 20,
        "TORN": b"training: {steps: 5", "LIST": b"- 1\n- 2\n", "CIRCLE": b"base: CIRCLE\n",
        "NUMBER": b"5: 6\nfiles: 7\n", "DEEP": b"a: " + b"[" * 5000,
        "BOMB": BOMB.encode(), "PICTURE": (ROOT / SAMPLES / "face-01.png").read_bytes(),
        "STUDY": b"domain: 5\nmethods: []\n",
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_bytes(content)
    for name in ("FOLDER", "HALF", "BROKEN/checkpoints", "EMPTYRUN", "BROKENPHOTOS", "SHARDS", "OUT"):
        (folder / name).mkdir(parents=True)
    (folder / "LOOP").symlink_to(folder / "LOOP")
    (folder / "NOTHING").symlink_to(folder / "nowhere")
    (folder / "HALF/config.yaml").write_text("training: {steps: 5}\n", encoding="utf-8")
    (folder / "EMPTYRUN/config.yaml").write_text("", encoding="utf-8")
    (folder / "BROKEN/config.yaml").write_bytes(bytes(range(256)))
    (folder / "BROKENPHOTOS/a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "BROKENPHOTOS/b.jpg").write_bytes(b"")
    (folder / "SHARDS/manifest.json").write_text("{", encoding="utf-8")
    names = (*files, "FOLDER", "HALF", "BROKEN", "EMPTYRUN", "BROKENPHOTOS", "SHARDS", "LOOP", "NOTHING", "OUT")
    return {name: str(folder / name) for name in sorted(names, key=len, reverse=True)}


def placed(word: str, places: dict[str, str]) -> str:
    """A word in which the first name of a prepared file stands for its path."""
    for name, path in places.items():
        before, found, after = word.partition(name)
        if found and (not before or before[-1] in "= ") and (not after or after[0] in "/},"):
            return before + path + after
    return word


def verdict(usage: Usage, status: int | None, errors: str) -> str:
    """Why an answer is none; empty if it is one."""
    if status is None:
        return f"no end within {PATIENCE} seconds"
    if "Traceback (most recent call last)" in errors:
        return f"traceback, {errors.strip().splitlines()[-1][:200]}"
    if status < 0:
        return f"killed by signal {-status}"
    if status not in usage.statuses:
        return f"status {status}"
    said = [line for line in errors.splitlines() if line.strip() and not line.startswith(("usage: ", " "))]
    said = [line for line in said if "%|" not in line and "\r" not in line]  # progress bars
    if not said:
        return "no message"
    if len(said) > 1:
        return f"{len(said)} lines: {said[0][:200]}"
    return f"a line of {len(said[0])} characters" if len(said[0]) > LONGEST_LINE else ""


def attempt(usage: Usage, places: dict[str, str], folder: Path) -> dict[str, object]:
    """Call a command wrongly in a process; what it did."""
    words = [placed(word, places) for word in usage.words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    call = [sys.executable, str(ROOT / usage.command), *words]
    try:
        done = subprocess.run(
            call, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=PATIENCE, check=False,
        )  # fmt: skip
        status, errors = done.returncode, done.stderr
    except subprocess.TimeoutExpired as late:
        status, errors = None, (late.stderr or b"").decode("utf-8", "replace")
    shown = [word if len(word) <= 80 else f"{word[:77]}…" for word in usage.words]
    last = errors.strip().splitlines()[-1:] or [""]
    return {
        "command": usage.command,
        "words": [word.encode("utf-8", "backslashreplace").decode().replace(str(ROOT) + "/", "") for word in shown],
        "status": status,
        "said": last[0].replace(str(folder) + "/", "").replace(str(ROOT) + "/", "")[:300],
        "fault": verdict(usage, status, errors),
    }


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of wrong_usage.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "--only", type=not_empty, nargs="+", metavar="COMMAND", help="commands by file name: train.py download.py"
    )
    parser.add_argument(
        "--jobs", type=value_of(Annotated[int, Between(1, 64)]), default=2, metavar="N",
        help="processes at a time (default: 2)",
    )  # fmt: skip
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write what was tried and what came of it")
    options = parser.parse_args(arguments)
    known = {Path(usage.command).name for usage in usages()}
    for name in options.only or ():
        if name not in known:
            parser.error(f"--only {name}: none of {', '.join(sorted(known))}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse_arguments(arguments)
    chosen = [usage for usage in usages() if not options.only or Path(usage.command).name in options.only]
    results = []
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(options.jobs) as pool:
        folder = Path(name)
        attempts = pool.map(partial(attempt, places=prepare(folder), folder=folder), chosen)
        for result in tqdm(attempts, total=len(chosen), unit="call"):
            results.append(result)
            command = str(result["command"])
            tried[command] += 1
            survived[command] += not result["fault"]
            if result["fault"]:
                tqdm.write(f"{command} {result['words']}: {result['fault']}")
    for command, count in tried.items():
        print(f"{command:<40} {count:>4} tried {survived[command]:>4} survived")
    print(f"{'all':<40} {tried.total():>4} tried {survived.total():>4} survived")
    if options.json:
        about = {
            "command": "python scripts/checks/wrong_usage.py",
            "python": platform.python_version(),
            "tried": tried.total(),
            "survived": survived.total(),
            "commands": {command: {"tried": tried[command], "survived": survived[command]} for command in tried},
        }
        write_text(options.json, json.dumps(about | {"usages": results}, indent=1, ensure_ascii=False) + "\n")
        print(displayed(options.json))
    return 0 if survived == tried else 1


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
