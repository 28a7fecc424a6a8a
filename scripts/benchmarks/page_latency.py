#!/usr/bin/env python
"""Time the page in a browser: from the movement of a slider to the picture, and many uploads at once.

    python scripts/benchmarks/page_latency.py             needs gradio, playwright and Chromium

Prints medians and 95th percentiles in milliseconds; --json writes all times.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import requests

from utils.failures import explain_failures
from utils.files import write_text
from utils.options import CommandParser, output_file, value_of
from utils.paths import ROOT
from utils.ranges import Count

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
_SAMPLES = ROOT / "pretrained/avatars/samples"
_PULL = """async count => {
  const slider = document.querySelector('.sd-slider input[type=range]'), times = [];
  const picture = () => document.querySelector('.sd-after').src;
  for (let i = 0; i < count; i++) {
    const before = picture(), began = performance.now();
    slider.value = (i % 2 ? 0.2 : 0.8) + 0.1 * Math.random();
    slider.dispatchEvent(new Event('input', {bubbles: true}));
    while (picture() === before) await new Promise(done => setTimeout(done, 1));
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - began);
    await new Promise(done => setTimeout(done, 150));  // the classifier's bars follow
  }
  return times;
}"""


def chromium() -> str | None:
    """The system's Chromium."""
    return next((path for name in CHROMIUM if (path := shutil.which(name))), None)


def slider_times(address: str, count: int) -> list[float]:
    """Milliseconds from an input event of a slider to the next frame with another picture."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector(".sd-after")
        page.evaluate(_PULL, 5)
        times: list[float] = page.evaluate(_PULL, count)
        browser.close()
    return times


def upload_times(address: str, event: int, count: int) -> list[float]:
    """Milliseconds from each of so many uploads, all begun at once, until its face was found and shown."""
    files = [path.read_bytes() for path in sorted(_SAMPLES.glob("*.png"))]

    def once(number: int) -> float:
        began, key = time.monotonic(), secrets.token_hex(6)
        files_ = {"files": ("face.png", files[number % len(files)])}
        (path,) = requests.post(f"{address}gradio_api/upload", files=files_, timeout=600).json()
        data = {"path": path, "orig_name": "face.png", "meta": {"_type": "gradio.FileData"}}
        call: Any = {"data": [data, 0], "fn_index": event, "session_hash": key}
        requests.post(f"{address}gradio_api/queue/join", json=call, timeout=600).raise_for_status()
        answer = requests.get(f"{address}gradio_api/queue/data", params={"session_hash": key}, stream=True, timeout=600)
        for line in answer.iter_lines():
            if line.startswith(b"data:") and json.loads(line[5:])["msg"] == "process_completed":
                assert json.loads(line[5:])["success"]
                return 1000 * (time.monotonic() - began)
        raise AssertionError("an upload was lost")

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(once, range(count)))


def main() -> int:
    """Run the command; returns its exit status."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "--count", type=value_of(Count), default=100, metavar="N", help="movements, and uploads (default: 100)"
    )
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write all times and the machine's load")
    options = parser.parse_args()
    if chromium() is None:
        print("page.py: Chromium is not installed: apt-get install chromium", file=sys.stderr)
        return 2
    from scripts.page_parts.limits import Limits
    from scripts.page_parts.serving import Server
    from scripts.page_parts.workbench import open_bench

    samples: list[Path] = sorted(_SAMPLES.glob("*.png"))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    server = Server([open_bench(None)], samples, Limits(waiting=2 * options.count))
    try:
        numbers = [n for n, block in server.blocks.fns.items() if getattr(block.fn, "__name__", "") == "_uploaded"]
        rows = {
            "slider to picture": slider_times(server.address, options.count),
            f"{options.count} uploads at once, each": upload_times(server.address, numbers[0], options.count),
        }
    finally:
        server.close()
    print("| | median | 95th percentile |\n| --- | --- | --- |")
    if options.json:
        machine = {"cores": os.cpu_count(), "load before": load}
        write_text(options.json, json.dumps({"machine": machine, "milliseconds": rows}, indent=1) + "\n")
    for name, times in rows.items():
        print(f"| {name} | {np.median(times):.0f} ms | {np.percentile(times, 95):.0f} ms |")
    return 0


if __name__ == "__main__":
    explain_failures()
    sys.exit(main())
