"""The fidelity kernel of 300 samples, beside two ways of PennyLane's: a circuit for each pair, and states in one batch.

    python bench/kernels.py [--quick]

The first is `qml.kernels.kernel_matrix` on lightning.qubit, whose every entry runs U(x) and the inverse of U(y): a few
entries are timed and scaled to the N (N - 1) / 2 that `square_kernel_matrix` needs (kernel_matrix itself computes all
N^2, twice as long). The second is what an expert writes: states by broadcasting on default.qubit, then one product.
Both are told that no gradient is wanted (diff_method=None), which is quicker; the pairs are also timed by a QNode
without options. ketgrad starts from the circuit: compiling is included.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pennylane as qml
from clock import once, timed
from common import TOLERANCE, heading, options, ratio

from ketgrad import kernels
from ketgrad.compare import format_table, format_time

GOAL = 20_000  # times the pairs on lightning.qubit


def angle(x: Any) -> None:
    """As `feature_map("angle", n)`; x is (n,) or (B, n)."""
    qml.AngleEmbedding(x, range(x.shape[-1]), rotation="Y")


def iqp(x: Any) -> None:
    """As `feature_map("iqp", n)`, gate by gate, which is quicker than the template."""
    n = x.shape[-1]
    for _ in range(2):
        for q in range(n):
            qml.Hadamard(q)
            qml.RZ(x[..., q], q)
        for i, j in combinations(range(n), 2):
            qml.IsingZZ(x[..., i] * x[..., j], [i, j])


def pair_kernel(embed: Callable[[Any], None], n: int, **how: Any) -> Callable[[Any, Any], float]:
    """The kernel of two samples as PennyLane's users write it."""

    @qml.qnode(qml.device("lightning.qubit", wires=n), **how)
    def circuit(x: Any, y: Any) -> Any:
        embed(x)
        qml.adjoint(embed)(y)
        return qml.probs(wires=range(n))

    return lambda x, y: circuit(x, y)[0]


def batch_kernel(embed: Callable[[Any], None], n: int) -> Callable[[Any], Any]:
    """The kernel of all samples from one batch of states."""

    @qml.qnode(qml.device("default.qubit", wires=n), diff_method=None)
    def states(x: Any) -> Any:
        embed(x)
        return qml.state()

    def kernel(x: Any) -> Any:
        s = states(x)
        return np.abs(s @ s.conj().T) ** 2

    return kernel


def case(name: str, embed: Callable[[Any], None], samples: int, n: int, few: int, seconds: float) -> tuple[str, ...]:
    """Assert all entries that are computed, time, describe."""
    x = np.random.default_rng(0).uniform(-np.pi / 2, np.pi / 2, (samples, n))

    def ours() -> Any:
        return kernels.fidelity(kernels.feature_map(name, n), x)

    gram, batch = ours(), batch_kernel(embed, n)
    assert np.abs(batch(x) - gram).max() < TOLERANCE["complex128"], f"{name}: differs from default.qubit"

    def pairs_time(**how: Any) -> float:
        pair = pair_kernel(embed, n, **how)
        pair(x[0], x[1])  # warm
        time, corner = once(lambda: qml.kernels.kernel_matrix(x[:few], x[:few], pair))
        assert np.abs(corner - gram[:few, :few]).max() < TOLERANCE["complex128"], f"{name}: differs from lightning"
        return time * samples * (samples - 1) / 2 / few**2

    default, pairs = pairs_time(), pairs_time(diff_method=None)
    own, batch_time = timed(ours, seconds), timed(lambda: batch(x), seconds)
    met = "goal met" if pairs >= GOAL * own else "goal MISSED"
    return (
        f"{name}, {n} qubits, {samples} samples",
        format_time(own),
        format_time(default),
        ratio(default, own),
        format_time(pairs),
        ratio(pairs, own),
        format_time(batch_time),
        ratio(batch_time, own),
        f"lightning: {few**2} entries timed, scaled" + ("" if samples < 300 else f"; {met} ({GOAL:,})"),
    )


def main(quick: bool = False) -> None:
    """Print one table."""
    print(heading("Fidelity kernel, compiling included, all threads"))
    samples, n, few, seconds = (40, 4, 3, 0.1) if quick else (300, 8, 24, 2.0)
    rows = [case(name, embed, samples, n, few, seconds) for name, embed in (("iqp", iqp), ("angle", angle))]
    header = (
        "case",
        "ketgrad",
        "lightning, pairs",
        "ratio",
        "diff_method=None",
        "ratio",
        "default.qubit, batch",
        "ratio",
        "",
    )
    print(format_table(header, rows))


if __name__ == "__main__":
    main(options(__doc__).quick)
