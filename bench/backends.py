"""The Numba engine beside the native one, on one large state: value, and value with the gradient of every angle.

    python bench/backends.py [--sizes 20] [--dtypes complex64 complex128] [--cases ring QAOA] [--quick]

The circuits are those of `large_cases.py`; for the gradient each of their angles is a weight. Both engines run in turns
in one process, on the same number of threads, and must agree before they are timed. The goal is a ratio of 5 at most.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np  # noqa: E402
from common import heading, timed  # noqa: E402
from large_cases import CASES, LargeCase  # noqa: E402
from large_peers import THREADS, ketgrad_model, matrix_of  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.compare import format_table, format_time  # noqa: E402

GOAL = 5.0
ENGINES = ("native", "numba")
TOLERANCE = {"complex64": 2e-4, "complex128": 1e-9}


def trained(case: LargeCase, n: int, dtype: str, backend: str) -> tuple[kg.Model, np.ndarray]:
    """The case with a weight for each angle, and the angles."""
    gates, circuit = case.gates(n), kg.Circuit(n)
    angles = [a for name, _, some in gates if name != "unitary" for a in some]
    weights = iter(circuit.weights(len(angles))) if angles else iter(())
    for gate in gates:
        name, wires, some = gate
        if name == "unitary":
            circuit.unitary(matrix_of(gate), list(wires))
        else:
            getattr(circuit, name)(*(next(weights) for _ in some), *wires)
    total: Any = kg.Z(0)
    for q in range(1, n):
        total = total + kg.Z(q)
    return kg.compile(circuit, [total], dtype=dtype, backend=backend), np.array(angles)


def gradient(model: kg.Model, angles: np.ndarray) -> np.ndarray:
    """Of the sum of Z."""
    _, pullback = model.forward(angles)
    return np.asarray(pullback(np.ones(1)).weights)


def rows(case: LargeCase, n: int, dtype: str) -> list[list[str]]:
    """Lines of the table: value, and gradient where the case has angles."""
    plain = {e: ketgrad_model(case.gates(n), case.words(n), n, dtype, e) for e in ENGINES}
    calls: dict[str, dict[str, Any]] = {"value": {e: lambda m=m: np.asarray(m()) for e, m in plain.items()}}
    models = {e: trained(case, n, dtype, e) for e in ENGINES}
    if models["native"][0].n_weights:
        calls["gradient"] = {e: lambda m=m: gradient(*m) for e, m in models.items()}
    out = []
    for what, runs in calls.items():
        native, numba = (runs[e]() for e in ENGINES)
        assert np.abs(native - numba).max() < TOLERANCE[dtype] * max(1.0, np.abs(native).max()), (case.name, what)
        times = {e: timed(runs[e], 0.3, 3, 30) for e in ENGINES}
        ratio = times["numba"] / times["native"]
        out.append([case.name, str(n), dtype, what, *(format_time(times[e]) for e in ENGINES), f"{ratio:.1f}",
                    "" if ratio <= GOAL else "missed"])  # fmt: skip
    return out


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20])
    parser.add_argument("--dtypes", nargs="+", default=["complex64", "complex128"])
    parser.add_argument("--cases", nargs="+", default=[], help="words of their names; default all")
    parser.add_argument("--quick", action="store_true", help="only 16 qubits")
    options = parser.parse_args()
    kg.set_num_threads(THREADS)
    print(heading("One large state: the Numba engine beside the native one"))
    table = []
    for case in CASES:
        if options.cases and not any(word in case.name for word in options.cases):
            continue
        for n in [16] if options.quick else options.sizes:
            for dtype in options.dtypes:
                for row in rows(case, n, dtype):
                    table.append(row)
                    print(" ".join(row), flush=True)
    print("\n" + format_table(["case", "n", "dtype", "", *ENGINES, f"ratio (goal {GOAL:.0f})", ""], table))


if __name__ == "__main__":
    main()
