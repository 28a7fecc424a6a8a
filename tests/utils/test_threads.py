"""PyTorch's threads do not spin: the setting is made before PyTorch, and with it the OpenMP runtime, is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils.paths import ROOT
from utils.threads import OTHERS, POLICY, wait_without_spinning

COMMANDS = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.py"), *(ROOT / "scripts").rglob("*.py"))
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)
MODULES = (
    *("models.editing.pipeline", "models.editors.loading", "training.loop", "criteria.likelihood", "datasets.avatars"),
    *("scripts.benchmarks.timing", "utils.weights"),
)
# what is imported, as a command's file or by name, up to PyTorch; prints the policy that PyTorch would see
UNTIL_TORCH = """
import importlib, json, os, runpy, sys

class Reached(BaseException):
    pass

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise Reached

sys.meta_path.insert(0, Finder())
packages = {"utils", "models", "criteria", "datasets", "training", "scripts"}
policies = {}
for name in sys.argv[1:]:
    os.environ.pop("OMP_WAIT_POLICY", None)
    for module in [module for module in sys.modules if module.split(".")[0] in packages]:
        del sys.modules[module]
    try:
        runpy.run_path(name) if name.endswith(".py") else importlib.import_module(name)
    except Reached:
        policies[name] = os.environ.get("OMP_WAIT_POLICY")
print(json.dumps(policies))
"""
SPAWN = """
import os
from utils.processes import in_subprocess

if __name__ == "__main__":
    print(in_subprocess(os.getenv, "OMP_WAIT_POLICY"))
"""


def fresh(**changed: str) -> dict[str, str]:
    """This process's environment without any setting of how threads wait."""
    kept = {name: value for name, value in os.environ.items() if name not in (POLICY, *OTHERS)}
    return {**kept, "PYTHONPATH": str(ROOT), **changed}


def output(arguments: list[str], environment: dict[str, str]) -> str:
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=ROOT,
                            env=environment)  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_command_and_package_decides_before_pytorch() -> None:
    policies = json.loads(output(["-c", UNTIL_TORCH, *COMMANDS, *MODULES], fresh()))
    assert {"train.py", "edit.py", "evaluate.py", "scripts/benchmarks/accuracy.py", *MODULES} <= set(policies)
    assert {name for name, policy in policies.items() if policy != "PASSIVE"} == set()


def test_spawned_processes_inherit_it(tmp_path: Path) -> None:
    script = tmp_path / "spawn.py"
    script.write_text(SPAWN, encoding="utf-8")
    assert output([str(script)], fresh()) == "PASSIVE\n"
    assert output([str(script)], fresh(OMP_WAIT_POLICY="ACTIVE")) == "ACTIVE\n"


@pytest.mark.parametrize("name, value", [(POLICY, "ACTIVE"), (POLICY, ""), *((name, "5") for name in OTHERS)])
def test_the_users_own_setting_stays(name: str, value: str) -> None:
    environment = {name: value}
    wait_without_spinning(environment)
    assert environment == {name: value}


def test_the_default() -> None:
    environment = {"HOME": "/"}
    wait_without_spinning(environment)
    assert environment == {"HOME": "/", POLICY: "PASSIVE"}
