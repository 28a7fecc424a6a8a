#!/usr/bin/env python
"""Train for 50 steps, edit the sample faces with the shipped editors and evaluate one, all on drawn faces.

    python scripts/demo.py            results in output/demo, which is replaced at each call
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from utils.failures import explain_failures
from utils.options import CommandParser, output_folder
from utils.paths import ROOT

SAMPLES = "pretrained/avatars/samples"
MASKS, OTHER = "pretrained/avatars/s2flow.safetensors", f"{SAMPLES}/face-07.png"
SWAP = "pretrained/avatars/id_swap.safetensors"
TERMS = ("nll", "kd", "mi", "reg")


def run(title: str, *command: str) -> None:
    """Print and run one command of the project; the demo ends where it fails."""
    print(f"\n== {title}\n   python {' '.join(command)}", flush=True)
    status = subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode
    if status:
        sys.exit(f"demo stopped: `python {command[0]}` ended with status {status}")


def terms_table(log: Path) -> str:
    """The four terms during a training as a small table, and how to read it."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [line for line in lines if line["group"] == "train"]
    rows = [f"   {'step':>6}" + "".join(f"{term:>10}" for term in TERMS)]
    rows += [f"   {line['step']:>6}" + "".join(f"{line[term]:>10.4f}" for term in TERMS) for line in steps]
    rows.append(
        "   nll and kd fall quickly; mi and reg stay small as long as s carries no information and edits change little"
    )
    return "\n".join(rows)


def main() -> None:
    """Run the demo."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "-o",
        "--output",
        type=output_folder,
        default=ROOT / "output/demo",
        help="folder for the results, deleted first (default: output/demo)",
    )
    output = parser.parse_args().output.resolve()
    shutil.rmtree(output, ignore_errors=True)
    began = time.monotonic()
    run(
        "train SDFlow from scratch for 50 steps",
        "train.py",
        *("--config", "configs/sdflow/avatars_balanced.yaml", "--run", str(output / "training")),
        *("training.steps=50", "training.warmup_steps=5", "training.batch_size=8", "data.faces.count=512"),
    )
    print(terms_table(output / "training/log.jsonl"))
    run("edit the sample faces with the shipped editor", "edit.py", SAMPLES, "-o", str(output / "edits"))
    masks = ("edit.py", SAMPLES, "--checkpoint", MASKS, "-o")
    run("edit their masks: another's smile", *masks, str(output / "masks"), "--mask-edit", "smile", "--donors", SAMPLES)
    run("edit their style: the colours of another", *masks, str(output / "styles"), "--style", f"{OTHER}:0.6")
    swap = ("edit.py", SAMPLES, "--checkpoint", SWAP, "-o", str(output / "swapped"))
    run("put each person into each of their pictures", *swap, "--identity", SAMPLES, "--identity-grid")
    run(
        "evaluate the shipped editor on 200 held-out faces",
        *("evaluate.py", "--count", "200", "--strengths", "-0.3", "0", "0.3", "0.6", "--no-latents"),
        *("--fit-count", "1000", "-o", str(output / "evaluation")),
    )
    print(f"\nDone in {time.monotonic() - began:.0f} s. Look at:")
    for path in sorted(output.rglob("*.png")):
        if path.parent.name != "faces":  # sheets and figures, not the single faces
            print(f"   {path}")


if __name__ == "__main__":
    explain_failures()
    main()
