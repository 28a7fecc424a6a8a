#!/usr/bin/env python
"""The main job on drawn faces, in three steps: train a little, edit with the shipped editor, evaluate it.

    python scripts/demo.py            everything goes to output/demo (made anew at each call)
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from utils.paths import ROOT

SAMPLES = "pretrained/avatars/samples"
TERMS = ("nll", "kd", "mi", "reg")


def run(title: str, *command: str) -> None:
    """One command of the project, shown before it runs; its failure ends the demo with its exit status."""
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
    rows.append("   nll and kd fall at once; mi and reg are small while s tells nothing and nothing is edited yet")
    return "\n".join(rows)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "output/demo", help="folder (default: output/demo)")
    output = parser.parse_args().output.resolve()
    shutil.rmtree(output, ignore_errors=True)
    began = time.monotonic()
    run(
        "SDFlow from nothing, 50 steps",
        "train.py",
        *("--config", "configs/sdflow/avatars_balanced.yaml", "--run", str(output / "training")),
        *("training.steps=50", "training.warmup_steps=5", "training.batch_size=8", "data.faces.count=512"),
    )
    print(terms_table(output / "training/log.jsonl"))
    run("edits of the sample faces with the shipped editor", "edit.py", SAMPLES, "-o", str(output / "edits"))
    run(
        "the shipped editor on 200 faces it never saw",
        *("evaluate.py", "--count", "200", "--strengths", "-0.3", "0", "0.3", "0.6", "--no-latents"),
        *("--fit-count", "1000", "-o", str(output / "evaluation")),
    )
    print(f"\nDone in {time.monotonic() - began:.0f} s. Look at:")
    for path in sorted(output.rglob("*.png")):
        if path.parent.name != "faces":  # sheets and figures, not the single faces
            print(f"   {path}")


if __name__ == "__main__":
    main()
