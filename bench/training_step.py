"""One training step of the hybrid model, with all threads: `ketgrad compare`'s rows, and other sizes beside lightning.

A step's work is one pass over the states of the batch for each instruction forward and two backward (ket and bra). A
tile of samples stays in the cache, so the limit is the time of y *= a in the cache for all these passes, over the
threads. Lightning runs with one OpenMP thread, which is its best number for one sample of these sizes.
"""

from __future__ import annotations

import common
from clock import timed
from common import LIGHTNING, ratio, scale_time

import ketgrad as kg
from ketgrad.compare import check, compare, format_table, format_time, report
from ketgrad.peers import Problem, ketgrad_step, openmp_threads, pennylane_step
from ketgrad.train import Settings

CASES = ((4, 3, 32), (8, 4, 64), (12, 4, 64))
PASSES = 3
CACHED = 13  # qubits of the array for the limit: 128 KiB, in the second cache, large enough to hide numpy's call


def hybrid_case(qubits: int, layers: int, batch: int, seconds: float) -> tuple[str, ...]:
    """Assert on one sample, then time the batch here and one sample of lightning, scaled."""
    problem = Problem.default(qubits, layers, batch)
    step, theirs = ketgrad_step(problem), None
    if LIGHTNING:
        peer = pennylane_step(problem.first(), "lightning.qubit", "adjoint")
        check("lightning.qubit", peer(), ketgrad_step(problem.first())())
        with openmp_threads(1):
            theirs = timed(peer, seconds, 3) * batch
    ours = timed(step, seconds)
    model = kg.compile(problem.circuit, problem.observables)
    updates = PASSES * common.instructions(model) * batch * 2**qubits
    limit = updates * scale_time(CACHED, "complex128") / 2**CACHED / kg.backend_info()["threads"]
    return (
        f"{qubits} qubits, {layers} layers, batch {batch}",
        str(problem.circuit.n_weights),
        str(len(problem.observables)),
        format_time(ours),
        f"{updates / ours / 1e9:.2f}",
        format_time(limit),
        ratio(limit, ours),
        format_time(theirs),
        ratio(theirs, ours),
        f"lightning: 1 sample timed, x {batch}" if LIGHTNING else "",
    )


def main(quick: bool = False) -> None:
    """Print both tables."""
    print(common.heading("Training step of the hybrid model: values, weight and input gradients, all threads"))
    rows = [hybrid_case(*sizes, 0.1 if quick else 1.0) for sizes in (CASES[:1] if quick else CASES)]
    header = (
        "case",
        "weights",
        "readouts",
        "ketgrad",
        "1e9 amplitudes/s",
        "limit",
        "of limit",
        "lightning",
        "lightning/ketgrad",
        "",
    )
    print(format_table(header, rows))
    sizes = (4, 1, 8) if quick else (Settings.qubits, Settings.layers, Settings.batch)
    print("\n" + report(compare(*sizes, quick=True), *sizes))


if __name__ == "__main__":
    main(common.options(__doc__).quick)
