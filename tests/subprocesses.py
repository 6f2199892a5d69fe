"""Scripts in a fresh interpreter: for what a test may not do to its own process.

Owns: `run`, which gives back what a script printed, and the environment it runs in.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import ketgrad

PACKAGE = str(Path(ketgrad.__file__).parents[1])
TESTS = str(Path(__file__).parent)
CLEARED = ("KETGRAD_BACKEND", "KETGRAD_REQUIRE_NATIVE", "KETGRAD_SILENCE_FALLBACK", "KETGRAD_MAX_MEMORY", "KETGRAD_ISA",
           "KETGRAD_NUM_THREADS", "OMP_NUM_THREADS")  # fmt: skip


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without ketgrad's variables, with the given ones, and with ketgrad on the path."""
    env = {k: v for k, v in os.environ.items() if k not in CLEARED}
    path = os.pathsep.join([PACKAGE, TESTS, *filter(None, [env.get("PYTHONPATH")])])
    return {**env, "PYTHONPATH": path, **variables}


def command(script: str, *options: str) -> list[str]:
    return [sys.executable, "-X", "faulthandler", *options, "-c", textwrap.dedent(script)]


def run(
    script: str, *options: str, timeout: float = 100, check: bool = True, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a script; with `check`, fail with its output unless it exits with 0."""
    done = subprocess.run(
        command(script, *options), env=environment(**variables), capture_output=True, text=True, timeout=timeout
    )
    if check:
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
