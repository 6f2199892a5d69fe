"""A training step of a batch of small circuits beside its ideal time, all threads.

Forward and pullback of the hybrid model (angle embedding, layers of Rot and a ring of CNOTs, <Z> of wires and pairs),
weights and inputs differentiated. The ideal, frozen here, is arithmetic alone, whatever it takes to get there: per
amplitude 2 lane operations (fused multiply-adds of one real number) for the embedding as a product state, 2 for each
RY scaled to one multiplication, 4 for all phases of a layer in one product, no more for CNOTs; four times that for
forward and gradient. A lane operation takes what it takes in a matrix product of BLAS.
"""

from __future__ import annotations

import common
import numpy as np
from clock import timed
from common import lane_rates

import ketgrad as kg
from ketgrad.compare import format_table, format_time
from ketgrad.peers import Problem

LAYERS = 4
SIZES = {64: range(6, 13), 256: (6, 8, 10)}  # batch: qubits
GOAL = 0.25


def ideal_time(qubits: int, batch: int, rate: float) -> float:
    """Seconds of forward and gradient at `rate` lane operations per second."""
    return 4 * (2 + LAYERS * (2 * qubits + 4)) * batch * 2**qubits / rate


def row(qubits: int, batch: int, dtype: str, rate: float, seconds: float) -> tuple[str, ...]:
    """Compare with the parameter-shift rule on two samples, then time."""
    problem, rng = Problem.default(qubits, LAYERS, batch), np.random.default_rng(0)
    model = kg.compile(problem.circuit, problem.observables, dtype=dtype)
    weights, inputs = rng.normal(size=model.n_weights), rng.normal(size=(batch, model.n_inputs))

    def step(rows: np.ndarray = inputs, method: str = "best") -> np.ndarray:
        values, pullback = model.forward(weights, rows, method=method)
        return pullback(np.cos(values)).weights

    shifted = step(inputs[:2], "parameter-shift")
    np.testing.assert_allclose(step(inputs[:2]), shifted, atol=1e-4 if dtype == "complex64" else 1e-10)
    ours, ideal = timed(step, seconds), ideal_time(qubits, batch, rate)
    mode = "lanes" if "as lanes" in str(model.plan(batch=batch)) else "one by one"
    share = ideal / ours
    cells = (str(qubits), str(batch), dtype, str(model.n_weights), mode, format_time(ours), format_time(ideal))
    return (*cells, f"{share:.2f}", "met" if share >= GOAL else "missed")


def main(quick: bool = False) -> None:
    """Print the table."""
    rates = lane_rates()
    print(common.heading("Training step of a batch: values, weight and input gradients, all threads"))
    print(", ".join(f"{d}: {r / 1e9:.1f} G lane operations/s" for d, r in rates.items()))
    cases = [(n, b) for b, sizes in SIZES.items() for n in sizes]
    rows = [row(*c, d, r, 0.1 if quick else 0.6) for d, r in rates.items() for c in (cases[:2] if quick else cases)]
    header = ("qubits", "batch", "dtype", "weights", "samples", "ketgrad", "ideal", "of ideal", f"goal {GOAL}")
    print(format_table(header, rows))


if __name__ == "__main__":
    main(common.options(__doc__).quick)
