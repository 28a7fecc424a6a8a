"""How the threads of a process wait for each other."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

POLICY = "OMP_WAIT_POLICY"
OTHERS = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # of GNU's, and of LLVM's and Intel's OpenMP; each overrides the policy


def wait_without_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenMP's threads sleep where they wait for the others of their team, unless the user has chosen.

    By default a waiting thread spins for milliseconds. Where other processes want the cores, it so takes the time of
    the very thread that it waits for, at every one of the thousands of short loops of an edit. The runtime reads the
    setting once, when it is loaded, and PyTorch loads it: call this before PyTorch is imported. Processes started
    later inherit the setting.
    """
    if not any(name in environment for name in (POLICY, *OTHERS)):
        environment[POLICY] = "PASSIVE"
