#!/usr/bin/env python
"""Rehearse the FFHQ setting at its full size on this machine, with stand-ins for the public weight files.

    python scripts/checks/rehearse_ffhq.py PHOTOS                photographs of faces; results in output/rehearsal

The stand-ins have the formats, the keys and the sizes of the public files and random weights (5 GB; deleted again
unless --keep), so the pictures show no faces: what is rehearsed is that every file is read, that each command runs to
its end, how long it takes and how much memory. Each stage is a command of this project in a process of its own:

download     download.py --check finds the files whole
inspect      inspect_checkpoint.py recognises each
edit         edit.py on the photographs with the published editor's two files, pasted back; aligned faces are saved
train        two steps of configs/sdflow/ffhq.yaml, two faces a step, one at a time (training.accumulate)
mask edit    edit.py on the aligned faces with S²-Flow's two files: one mask and a style, which is one edit
mask train   two steps of configs/s2flow/ffhq.yaml with its DeepLabv3, two faces a step, one at a time
evaluate     evaluate.py on four of the aligned faces with the editor just trained
swap         edit.py with the published identity swap's two files: the first aligned face in each photograph
sample       sample_faces.py, 12 faces of the identity swap's generator
swap train   two steps of configs/id_swap/ffhq_256.yaml on these, six faces a step as published

The measurements are written after each stage. Exit status: 0 all done, 1 a stage failed or took more memory than it
may, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import utils  # noqa: F401 (before PyTorch, see utils/threads.py)

# isort: split
import torch
import yaml
from tqdm import tqdm

from datasets.avatars import AvatarFaces
from models import NETWORKS
from models.parsing.masks import indexed
from scripts.checks.weight_file_samples import prefixed, save_whole
from utils.config import Section, load_config
from utils.failures import explain_failures
from utils.files import write_atomically, write_text
from utils.options import CommandParser, input_path, output_file, output_folder
from utils.paths import ROOT, displayed
from utils.processes import in_subprocess

GIGABYTE = 1e9
NEEDED_SPACE = 10 * GIGABYTE
DOMAIN, MASK_DOMAIN = "configs/domains/ffhq.yaml", "configs/domains/ffhq_s2flow.yaml"
SWAP_DOMAIN, SWAP_CONFIG = "configs/domains/ffhq_256.yaml", "configs/id_swap/ffhq_256.yaml"
ALEXNET = "alexnet-owt-7be5be79.pth"
LIMITS = {"edit": 6.0, "train": 14.0, "mask edit": 6.0, "mask train": 14.0, "swap": 6.0, "swap train": 14.0}  # GB


@dataclass(frozen=True)
class Measured:
    """What a stage took: seconds, peak memory in GB, exit status."""

    stage: str
    seconds: float
    gigabytes: float
    status: int

    @property
    def passed(self) -> bool:
        """Whether it ended well and within its memory."""
        return self.status == 0 and self.gigabytes <= LIMITS.get(self.stage, float("inf"))


def random_network(section: Mapping[str, Any], **sizes: Any) -> Any:
    """A network of a config's section with initial weights."""
    settings = {key: value for key, value in section.items() if key != "weights"} | sizes
    return NETWORKS.build(Section(settings, settings["name"]))


def generator_file(domain: Mapping[str, Any]) -> dict[str, Any]:
    """As `stylegan2-ffhq-config-f.pt`: the averaged network and the mean code."""
    generator = random_network(domain["generator"])
    return {"g_ema": generator.state_dict(), "latent_avg": generator.mean_latent()}


def encoder_file(domain: Mapping[str, Any]) -> dict[str, Any]:
    """As `e4e_ffhq_encode.pt`: encoder and decoder in one state dict, options, mean codes."""
    encoder, generator = random_network(domain["encoder"]), random_network(domain["generator"])
    state = prefixed(encoder.state_dict(), "encoder.") | prefixed(generator.state_dict(), "decoder.")
    mean = generator.mean_latent().expand(generator.latent_count, -1).contiguous()
    options = {"encoder_type": "Encoder4Editing", "start_from_latent_avg": True, "stylegan_size": generator.size}
    return {"state_dict": state, "opts": options, "latent_avg": mean}


def alexnet_file() -> dict[str, Any]:
    """As torchvision's: the trunk of LPIPS."""
    from utils.torchvision_operators import torchvision  # takes seconds

    state: dict[str, Any] = torchvision.models.alexnet(weights=None).state_dict()
    return state


def s2flow_file(method: Mapping[str, Any]) -> dict[str, Any]:
    """As S²-Flow's `last_checkpoint.pt`: flow and mask encoder."""
    encoder = random_network(method["mask_encoder"])
    flow = random_network(method["flow"], semantics=encoder.outputs)
    return {"prior_ntwk": flow.state_dict(), "cnd_ntwk": encoder.state_dict(), "epoch": 100}


def makers() -> dict[str, Callable[[], Any]]:
    """What each public file holds, by its name, made when it is asked for: together they would fill the memory."""
    domain = load_config(ROOT / MASK_DOMAIN).plain()
    method = load_config(ROOT / "configs/sdflow/ffhq.yaml").plain()["method"]
    masks = load_config(ROOT / "configs/s2flow/ffhq.yaml").plain()["method"]
    attributes = len(domain["attributes"])
    swap_domain, swap = (load_config(ROOT / name).plain() for name in (SWAP_DOMAIN, SWAP_CONFIG))

    def state(section: Mapping[str, Any], **sizes: Any) -> Callable[[], Any]:
        return lambda: random_network(section, **sizes).state_dict()

    def weights(part: str) -> str:
        return Path(domain[part]["weights"]).name

    return {
        weights("generator"): lambda: generator_file(domain),
        weights("encoder"): lambda: encoder_file(domain),
        **{weights(part): state(domain[part]) for part in ("teacher", "judge", "identity")},
        "model_ir_se50.pth": state({"name": "ir_se_identity"}),
        "prior-0010000": state(method["flow"], semantics=attributes, trainable_end_time=True),
        "labeldist-0010000": state(method["semantic_encoder"], attributes=attributes),
        Path(swap_domain["generator"]["weights"]).name: lambda: {
            "g_ema": random_network(swap_domain["generator"]).state_dict()
        },
        "swap_encoder.pt": lambda: random_network(swap["method"]["encoder"]),
        "mlp.pt": lambda: random_network(swap["method"]["mapper"]),
        "mobilefacenet_model_best.pth.tar": lambda: {
            "state_dict": random_network({"name": "mobilefacenet"}).state_dict()
        },
        ALEXNET: alexnet_file,
        "s2flow_last_checkpoint.pt": lambda: s2flow_file(masks),
        weights("parser"): lambda: {"state_dict": prefixed(state(domain["parser"])(), "module.")},
    }


def _save(content: Any, path: Path) -> None:
    if isinstance(content, torch.nn.Module):  # published so
        save_whole(path, content)
        return
    with path.open("wb") as stream:  # given a path, torch.save refuses one without a suffix
        torch.save(content, stream)


def write_stand_ins(folder: Path) -> None:
    """Files with the names, formats, keys and sizes that the domain's config and the manifest expect."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    for name, make in tqdm(makers().items(), desc="stand-ins", unit="file", dynamic_ncols=True):
        if not (folder / name).is_file():
            content = make()
            write_atomically(folder / name, partial(_save, content))


def stand_in_domain(config: str, output: Path, weights: Path) -> Path:
    """A domain's config with the stand-ins for its files."""
    domain = load_config(ROOT / config).plain()
    for section in domain.values():
        if isinstance(section, dict) and "weights" in section:
            section["weights"] = str(weights / Path(section["weights"]).name)
    domain["attributes"], path = list(domain["attributes"]), output / Path(config).name
    write_text(path, yaml.safe_dump(domain))
    return path


def measure(stage: str, *command: str) -> Measured:
    """Run a command of the project to its end."""
    print(f"\n== {stage}\n   python {' '.join(command)}", flush=True)
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return Measured(stage, time.monotonic() - began, usage.ru_maxrss * unit / GIGABYTE, process.returncode)


def table(found: list[Measured], photos: int) -> str:
    """Markdown of time and peak memory by stage."""
    rows = ["| stage | seconds | peak memory | allowed |", "| --- | --- | --- | --- |"]
    for item in found:
        allowed = f"{LIMITS[item.stage]:.0f} GB" if item.stage in LIMITS else ""
        failed = "" if item.status == 0 else f" (failed: status {item.status})"
        rows.append(f"| {item.stage}{failed} | {item.seconds:.0f} | {item.gigabytes:.1f} GB | {allowed} |")
    return "\n".join([*rows, "", f"{photos} faces, {machine()}"]) + "\n"


def machine() -> str:
    """What the stages ran on."""
    return f"{os.cpu_count()} CPU cores, Python {platform.python_version()}, torch {torch.__version__}"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of rehearse_ffhq.py."""
    parser = CommandParser(__doc__)
    parser.add_argument("photos", nargs="+", type=input_path, metavar="PHOTO", help="photographs, or folders of them")
    parser.add_argument(
        "-o", "--output", type=output_folder, default=ROOT / "output/rehearsal", metavar="FOLDER",
        help="folder (default: output/rehearsal)",
    )  # fmt: skip
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write the measurements as JSON, too")
    parser.add_argument("--keep", action="store_true", help="keep the stand-ins (4 GB) for another call")
    options = parser.parse_args(arguments)
    options.output = options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(options.output).free
    if free < NEEDED_SPACE:
        parser.error(f"{options.output}: {free / GIGABYTE:.1f} GB free, {NEEDED_SPACE / GIGABYTE:.0f} GB are needed")
    return options


def rehearse(output: Path, photos: list[str]) -> Iterator[Measured]:
    """All stages, one by one; those that need what a failed one makes fail too, and say so."""
    weights = output / "weights/ffhq"
    # the peak memory of a process is passed on to those that it starts
    in_subprocess(write_stand_ins, weights)
    manifest = output / "weights/manifest.yaml"
    shutil.copy(ROOT / "pretrained/manifest.yaml", manifest)
    domain, mask_domain = (stand_in_domain(config, output, weights) for config in (DOMAIN, MASK_DOMAIN))
    for name in ("edits", "run", "masked", "mask-run", "evaluation", "swaps", "samples", "swap-run"):
        shutil.rmtree(output / name, ignore_errors=True)
    names = sorted(path.name for path in weights.iterdir())
    networks = [name for name in names if name != ALEXNET]  # LPIPS is none of this project's networks
    entries = yaml.safe_load(manifest.read_text("utf-8"))["files"]
    known = [key for key, entry in entries.items() if Path(entry["destination"]).name in names]
    editor = ("--checkpoint", str(weights / "prior-0010000"), "--semantic-encoder", str(weights / "labeldist-0010000"))
    yield measure("download", "scripts/download.py", *known, "--check", "--manifest", str(manifest))
    yield measure("inspect", "scripts/inspect_checkpoint.py", *(str(weights / name) for name in networks))
    yield measure(
        "edit",
        *("edit.py", *photos, "-o", str(output / "edits"), *editor, "--domain", str(domain)),
        *("--flip", "Smiling", "--save-aligned"),
    )
    aligned = output / "edits/aligned"
    count = len(list(aligned.glob("*.png")))
    faces = {"name": "image_folder", "folder": str(aligned), "side": 256, "first": 0, "count": count}
    few = ("training.steps=2", "training.batch_size=2", "training.accumulate=2", "training.workers=0")

    def data(name: str, **settings: Any) -> list[str]:
        values = {"name": name, "batch_size": 2, "cache": str(output / "cache"), "faces": faces, **settings}
        return [f"{key}={json.dumps(values)}" for key in ("data", "validation")]

    yield measure(
        "train",
        *("train.py", "--config", "configs/sdflow/ffhq.yaml", "--run", str(output / "run"), f"domain={domain}"),
        *(*data("latent_cache"), *few),
    )
    mask, mask_editor = output / "mask.png", weights / "s2flow_last_checkpoint.pt"
    indexed(AvatarFaces(1, "samples", masks=True)[0]["mask"]).save(mask)
    yield measure(
        "mask edit",
        *("edit.py", str(aligned), "-o", str(output / "masked"), "--checkpoint", str(mask_editor)),
        *("--domain", str(mask_domain), "--mask", str(mask), "--style", f"{aligned}:0.5", "--save-masks"),
    )
    yield measure(
        "mask train",
        *("train.py", "--config", "configs/s2flow/ffhq.yaml", "--run", str(output / "mask-run")),
        *(f"domain={mask_domain}", *data("mask_targets", nearest=3, side=512), *few),
        f"method.lpips_trunk={weights / ALEXNET}",
    )
    yield measure(
        "evaluate",
        *("evaluate.py", "--checkpoint", str(output / "run"), "--faces", str(aligned)),
        *("--count", "4", "--strengths", "0", "0.5", "--no-latents", "--no-linear"),
        *("-o", str(output / "evaluation")),
    )
    yield from rehearse_swap(output, weights, photos)


def rehearse_swap(output: Path, weights: Path, photos: list[str]) -> Iterator[Measured]:
    """The stages of the identity swap."""
    domain, samples = stand_in_domain(SWAP_DOMAIN, output, weights), output / "samples"
    first = next(iter(sorted((output / "edits/aligned").glob("*.png"))), output / "edits/aligned")
    data = json.dumps({"name": "encoded_faces", "folder": str(samples), "first": 0, "count": 12})
    yield measure(
        "swap",
        *("edit.py", *photos, "-o", str(output / "swaps"), "--checkpoint", str(weights / "swap_encoder.pt")),
        *("--domain", str(domain), "--identity", str(first)),
    )
    yield measure(
        "sample",
        *("scripts/sample_faces.py", "-o", str(samples), "--domain", str(domain), "--count", "12"),
        *("--mean-of", "4096"),
    )
    yield measure(
        "swap train",
        *("train.py", "--config", SWAP_CONFIG, "--run", str(output / "swap-run"), f"domain={domain}"),
        *(f"data={data}", f"validation={data}", f"method.lpips_trunk={weights / ALEXNET}", "training.steps=2"),
        *("training.workers=0", "training.preview_images=2"),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    options = parse_arguments(arguments)
    found = []
    for measured in rehearse(options.output, [str(path.resolve()) for path in options.photos]):
        found.append(measured)
        count = len(list((options.output / "edits/aligned").glob("*")))
        text = table(found, count)
        write_text(options.output / "table.md", text)
        if options.json:
            stages = [{**asdict(item), "allowed": LIMITS.get(item.stage)} for item in found]
            content = {"faces": count, "machine": machine(), "stages": stages}
            write_text(options.json, json.dumps(content, indent=1) + "\n")
    print(f"\n{text}\n{displayed(options.output / 'table.md')}")
    if not options.keep:
        shutil.rmtree(options.output / "weights")
    return 0 if all(item.passed for item in found) else 1


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
