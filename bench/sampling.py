"""Shots from a state that is there: time beside one pass over it, and the memory that drawing takes.

    python bench/sampling.py [--sizes 20 24] [--shots 1000 1000000] [--quick]

The pass is ketgrad's own sum of probabilities (a single shot) and, beside it, numpy's dot product of the state with
itself on as many threads; then what a shot costs beyond it. The outcomes are compared with a search in numpy's
cumulative sum before anything is timed: amplitudes are whole numbers, so that both are exact. Memory is the peak of a
fresh process above what it had before the call: tables, scratch and the outcomes. qulacs, where it is installed, draws
as many shots from the same state.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from clock import timed
from common import heading, ratio
from large_peers import THREADS
from memory import MIB, peak

import ketgrad as kg
from ketgrad.backends import get_backend
from ketgrad.compare import format_table, format_time


def random_state(n: int, dtype: str) -> np.ndarray:
    """(1, 2^n) whole numbers."""
    rng = np.random.default_rng(n)
    state = np.empty((1, 1 << n), dtype=dtype)
    state.real, state.imag = (rng.integers(-9, 10, size=(1, 1 << n), dtype=np.int8) for _ in range(2))
    return state


def qulacs_time(state: np.ndarray, shots: int) -> float | None:
    """Of `QuantumState.sampling`."""
    if find_spec("qulacs") is None or state.dtype != np.complex128:
        return None
    import qulacs

    other = qulacs.QuantumState(int(state.size).bit_length() - 1)
    other.load(state[0] / np.linalg.norm(state))
    return timed(lambda: other.sampling(shots), 0.3, 3, 20)


def call_of(state: np.ndarray, what: str, shots: int) -> tuple[Callable[[], Any], np.ndarray]:
    """What is timed, and its uniforms."""
    backend, uniforms = get_backend(), np.random.default_rng(1).random((1, shots))
    if what == "sample":
        return lambda: backend.sample(state, uniforms), uniforms
    n = int(state.size).bit_length() - 1
    return lambda: backend.counts(state, uniforms, (n - 1, n // 2, 1)), uniforms


def memory(n: int, dtype: str, what: str, shots: int) -> int:
    """Peak of a first call, in a process of its own: later calls find buffers that were kept."""
    child = [sys.executable, __file__, "--child", str(n), dtype, what, str(shots)]
    return int(subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True).stdout)


def growth(n: int, dtype: str, what: str, shots: int) -> int:
    """What `memory` starts."""
    call, _ = call_of(random_state(n, dtype), what, shots)
    return peak(call)[0]


def rows(n: int, dtype: str, shots: list[int]) -> list[list[str]]:
    """A line for each number of shots, all bits; and one for the last number, counts of three."""
    state, out = random_state(n, dtype), []
    reals, one = state.view(state.real.dtype)[0], np.full((1, 1), 0.5)
    cumulative = np.cumsum(state.real[0].astype(float) ** 2 + state.imag[0].astype(float) ** 2)
    for what, number in [*(("sample", number) for number in shots), ("counts of 3 wires", shots[-1])]:
        call, uniforms = call_of(state, what, number)
        if what == "sample":
            wanted = np.searchsorted(cumulative, uniforms[0] * cumulative[-1], side="right")
            assert np.array_equal(call()[0], wanted), f"{n} qubits, {dtype}: wrong outcomes"
        mine, a_pass = timed(call, 0.3), timed(lambda: get_backend().sample(state, one), 0.2)
        theirs = qulacs_time(state, number) if what == "sample" else None
        out.append(
            [str(n), dtype, what, f"{number:,}", format_time(mine), format_time(a_pass), ratio(mine, a_pass),
             format_time(timed(lambda: np.dot(reals, reals), 0.2)), f"{(mine - a_pass) / number * 1e9:.0f} ns",
             f"{memory(n, dtype, what, number) / MIB:.0f} MiB", f"{state.nbytes / MIB:.0f} MiB",
             ratio(theirs, mine)]
        )  # fmt: skip
    return out


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 24])
    parser.add_argument("--shots", type=int, nargs="+", default=[1000, 1_000_000])
    parser.add_argument("--quick", action="store_true", help="20 qubits only")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        qubits, dtype, what, shots = options.child
        print(growth(int(qubits), dtype, what, int(shots)))
        return
    kg.set_num_threads(THREADS)
    print(heading("Shots from one state"))
    table = [
        line
        for n in ([20] if options.quick else options.sizes)
        for dtype in ("complex64", "complex128")
        for line in rows(n, dtype, options.shots)
    ]
    header = ["qubits", "dtype", "what", "shots", "ketgrad", "a pass", "passes", "numpy's dot", "a shot", "memory",
              "state", "qulacs/ketgrad"]  # fmt: skip
    print("\n" + format_table(header, table))


if __name__ == "__main__":
    main()
