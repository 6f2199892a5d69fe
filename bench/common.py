"""What every benchmark shares: clocks, the measured limit, lightning's raw state vector, tables.

A case asserts its answer before it is timed. Times are medians of warm calls; the limit is measured in the same
process and run, on an array of the same size, so that caches help both alike.
"""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec

import numpy as np
from clock import once, timed

import ketgrad as kg
from ketgrad.compare import environment

LIGHTNING = find_spec("pennylane_lightning") is not None
TOLERANCE = {"complex64": 2e-5, "complex128": 1e-10}


def one_thread() -> None:
    """One thread for ketgrad, and for lightning, which reads this when it is first imported."""
    os.environ["OMP_NUM_THREADS"] = "1"
    kg.set_num_threads(1)


def gate_by_gate() -> None:
    """Run every gate of a large state by itself, as on small ones; for what is said of single gates."""
    if kg.backend_info()["backend"] == "native":
        from ketgrad import _core

        _core.set_tiling(*_core.tiling()[:2], 64)


def options(text: str | None, argv: list[str] | None = None) -> argparse.Namespace:
    """The command line every benchmark has."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer repeats")
    return parser.parse_args(argv)


def scale_time(n_qubits: int, dtype: str) -> float:
    """The limit: time of y *= a on a state of this size, one read and one write of every byte, one thread."""
    y = np.full(1 << n_qubits, 1.0, dtype=dtype).view(np.float32 if dtype == "complex64" else np.float64)
    a = y.dtype.type(1.0)
    repeats = max(1, (1 << 16) >> n_qubits)

    def scale() -> None:
        for _ in range(repeats):
            np.multiply(y, a, out=y)

    return timed(scale, 0.1) / repeats


def lane_rates() -> dict[str, float]:
    """Fused multiply-adds of one real number per second by dtype, from a matrix product, all threads."""
    rates = {}
    for dtype, real in (("complex64", np.float32), ("complex128", np.float64)):
        a = np.ones((1024, 1024), real)
        rates[dtype] = 1024**3 / min(once(lambda a=a: a @ a)[0] for _ in range(5))
    return rates


def ratio(a: float | None, b: float | None) -> str:
    """`a / b` for a table."""
    if a is None or b is None or not b:
        return "-"
    return f"{a / b:.2f}" if a < 100 * b else f"{a / b:,.0f}"


def instructions(model: kg.Model) -> int:
    """How many instructions a model's program has."""
    return sum(line[:5].strip().isdigit() and " TERM " not in line for line in model.disassembly().splitlines())


def verdict(ours: float, theirs: float | None) -> str:
    """Losses are said in words."""
    return "slower than lightning" if theirs is not None and ours > 1.05 * theirs else ""


def heading(title: str) -> str:
    """A title with the facts the numbers belong to."""
    info, facts = kg.backend_info(), environment()
    versions = ", ".join(f"{k} {v}" for k, v in facts["versions"].items() if v != "not installed")
    threads = f"{info['threads']} thread{'s' * (info['threads'] != 1)}"
    return f"\n{title}\n{info['backend']} backend, {info['instruction_set']}, {threads}; {versions}\n"
