"""Run every benchmark: `python bench/run.py [--quick]`. Stops as soon as an answer is wrong.

Each runs in a process of its own, because the number of threads of some libraries is fixed when they load.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PARTS = (
    "gates.py",
    "adjoint.py",
    "training_step.py",
    "torch_layer.py",
    "pennylane_qnodes.py",
    "large.py",
    "backends.py",
    "memory.py",
    "pauli_sums.py",
    "second_order.py",
    "sampling.py",
    "kernels.py",
    "shot_gradients.py",
    "jax_function.py",
    "anneal_classical.py",
    "anneal_tolerance.py",
    "mitigation.py",
    "noise.py",
)

if __name__ == "__main__":
    for part in PARTS:
        code = subprocess.run([sys.executable, str(Path(__file__).parent / part), *sys.argv[1:]]).returncode
        if code:
            sys.exit(code)
