"""Gradients from finite shots, by parameter-shift: time beside lightning.qubit's, and whether they are what they say.

    python bench/shot_gradients.py [--qubits 10] [--layers 5] [--shots 1000] [--seeds 1000] [--quick]

The circuit: layers of Rot on every qubit and a ring of CNOTs; the sum of all Z, and every Z by itself. lightning.qubit
runs a QNode with diff_method="parameter-shift" and as many shots; "rows" are ketgrad's own engine with every shifted
circuit run from its start. Before anything is timed, the exact parameter-shift gradients of all are compared with the
adjoint's.

Then the statistics, of this circuit and of a small one with controlled gates, inputs and products of them, with that
many seeds (ten times as many for the small one): z-scores of all means against the exact gradient, the largest of which
must stay below what one in a thousand runs would exceed if there were no bias; and the pooled ratio of the variance
that is reported to the one that is observed, which must be within 2 % of 1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import NormalDist, median
from typing import Any

import numpy as np
from clock import once, timed
from common import LIGHTNING, heading, ratio

import ketgrad as kg
from ketgrad.backends.shifted import RowShifts
from ketgrad.compare import format_table, format_time

GOAL = 200  # times lightning.qubit's speed, at the default size
MISTAKE = 1e-3  # how often an unbiased estimate may fail


def observables(n: int, together: bool) -> list[kg.PauliSum]:
    """The sum of all Z, or every Z."""
    return [sum((kg.Z(q) for q in range(1, n)), kg.Z(0))] if together else [kg.Z(q) for q in range(n)]


def layered(n: int, layers: int, together: bool) -> kg.Model:
    """The circuit that is timed."""
    circuit = kg.Circuit(n)
    w = circuit.weights((layers, n, 3))
    for layer in range(layers):
        for q in range(n):
            circuit.rot(w[layer, q], q)
        for q in range(n):
            circuit.cnot(q, (q + 1) % n)
    return kg.compile(circuit, observables(n, together))


def mixed() -> tuple[kg.Model, np.ndarray, np.ndarray]:
    """A small model with every kind of rule, two settings, and a batch."""
    circuit = kg.Circuit(4)
    w, x = circuit.weights(8), circuit.inputs(2)
    for q in range(4):
        circuit.ry(x[q % 2] * w[q], q).rx(w[4 + q], q)
    circuit.crx(w[0], 0, 1).single_excitation(w[1], 1, 2).cp(x[0], 2, 3).rzz(w[2], 0, 3).crot(w[3], x[1], w[5], 3, 0)
    model = kg.compile(circuit, [kg.Z(0), kg.X(1) @ kg.Y(2) + 0.3 * kg.Z(3), kg.Projector("01", (1, 2))])
    rng = np.random.default_rng(3)
    return model, rng.uniform(-2, 2, 8), rng.uniform(-2, 2, (3, 2))


def lightning(n: int, layers: int, together: bool, shots: int | None) -> Callable[[np.ndarray], Any]:
    """The Jacobian of lightning.qubit's QNode."""
    import pennylane as qml

    def circuit(w: Any) -> Any:
        for layer in range(layers):
            for q in range(n):
                qml.Rot(*w[layer, q], wires=q)
            for q in range(n):
                qml.CNOT([q, (q + 1) % n])
        if together:
            return qml.expval(qml.sum(*[qml.Z(q) for q in range(n)]))
        return [qml.expval(qml.Z(q)) for q in range(n)]

    node = qml.QNode(circuit, qml.device("lightning.qubit", wires=n, seed=1), diff_method="parameter-shift")
    if shots is not None:
        node = qml.set_shots(node, shots=shots)
    jacobian = qml.jacobian(node if together else lambda w: qml.numpy.stack(node(w)))
    return lambda w: np.asarray(jacobian(qml.numpy.array(w, requires_grad=True))).reshape(-1, w.size)


def rows_of(model: kg.Model) -> kg.Model:
    """The same model, whose shifted circuits run one by one."""
    other = kg.compile(model.circuit, model.observables)
    engines = other._ready()
    engines._made["shifted"] = RowShifts(engines.backend, other._lowered.program, other.dtype)
    return other


def times(n: int, layers: int, shots: int) -> tuple[list[list[str]], float]:
    """A line for each kind of observables, and the least ratio to lightning.qubit."""
    weights, lines, least = np.random.default_rng(0).uniform(-3, 3, (layers, n, 3)), [], np.inf
    for together in (True, False):
        model, exact = layered(n, layers, together), {}
        by_rows = rows_of(model)
        truth = model.jacobian(weights).weights
        exact["parameter-shift"] = model.jacobian(weights, method="parameter-shift").weights
        exact["rows"] = by_rows.jacobian(weights, method="parameter-shift").weights
        if LIGHTNING:
            exact["lightning"] = lightning(n, layers, together, None)(weights)
        for name, other in exact.items():
            assert np.abs(other - truth).max() < 1e-10, f"{name} differs from the adjoint"

        def ours(allocation: str, model: kg.Model = model) -> float:
            return timed(lambda: model.jacobian(weights, shots=shots, seed=1, allocation=allocation), 1.0)

        uniform, variance = ours("uniform"), ours("variance")
        slow = timed(lambda by_rows=by_rows: by_rows.jacobian(weights, shots=shots, seed=1), 0.5)
        analytic = timed(lambda model=model: model.jacobian(weights, method="parameter-shift"), 0.5)
        theirs = None
        if LIGHTNING:
            call = lightning(n, layers, together, shots)
            theirs = median(once(lambda call=call: call(weights))[0] for _ in range(3))
            least = min(least, theirs / uniform)
        what = "sum of Z" if together else "every Z"
        lines.append([what, str(weights.size), *(format_time(t) if t else "-" for t in
                      (uniform, variance, slow, analytic, theirs)), ratio(theirs, uniform)])  # fmt: skip
    return lines, least


def statistics(
    name: str, model: kg.Model, arguments: tuple[np.ndarray, ...], shots: int, seeds: int, allocation: str
) -> list[str]:
    """A line; asserts that there is no bias and that the variance is the reported one."""
    start, exact = time.perf_counter(), model.jacobian(*arguments)
    truth = np.concatenate([exact.weights.ravel(), exact.inputs.ravel()])
    drawn, reported = np.zeros((seeds, truth.size)), np.zeros(truth.size)
    for seed in range(seeds):
        j = model.jacobian(*arguments, shots=shots, seed=seed, allocation=allocation)
        drawn[seed] = np.concatenate([j.weights.ravel(), j.inputs.ravel()])
        reported += np.concatenate([j.weights_variance.ravel(), j.inputs_variance.ravel()]) / seeds
    observed = drawn.var(axis=0, ddof=1)
    noisy = observed > 1e-20
    assert np.abs(drawn.mean(axis=0) - truth)[~noisy].max(initial=0) < 1e-12
    z = (drawn.mean(axis=0) - truth)[noisy] / np.sqrt(observed[noisy] / seeds)
    limit = NormalDist().inv_cdf(1 - MISTAKE / 2 / noisy.sum())
    pooled = reported[noisy].sum() / observed[noisy].sum()
    assert np.abs(z).max() < limit, f"{name}, {allocation}: z-scores up to {np.abs(z).max():.2f}, allowed {limit:.2f}"
    if seeds >= 1000:
        assert abs(pooled - 1) < 0.02, f"{name}, {allocation}: reported to observed variance {pooled:.4f}"
    return [name, str(seeds), allocation, str(shots), str(noisy.sum()), f"{np.abs(z).max():.2f}", f"{limit:.2f}",
            f"{np.mean(z**2):.3f}", f"{pooled:.4f}", f"{observed.sum():.4g}",
            format_time(time.perf_counter() - start)]  # fmt: skip


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qubits", type=int, default=10)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--shots", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="6 qubits, 2 layers, 100 seeds")
    options = parser.parse_args()
    n, layers, seeds = (6, 2, 100) if options.quick else (options.qubits, options.layers, options.seeds)
    print(heading(f"Parameter-shift with {options.shots} shots a circuit: {n} qubits, {layers} layers"))
    lines, least = times(n, layers, options.shots)
    print(format_table(["observables", "parameters", "ketgrad", "by variance", "rows", "exact", "lightning.qubit",
                        "lightning/ketgrad"], lines))  # fmt: skip
    if LIGHTNING and (n, layers, options.shots) == (10, 5, 1000):
        print(f"\ngoal: {GOAL} times lightning.qubit's speed: {'met' if least >= GOAL else 'MISSED'} ({least:.0f})")
    weights = np.random.default_rng(0).uniform(-3, 3, (layers, n, 3))
    model, *arguments = mixed()
    cases = [
        ("layers, sum of Z", layered(n, layers, True), (weights,), options.shots, seeds),
        ("mixed", model, tuple(arguments), 50, 10 * seeds),
    ]
    found = [statistics(*case, allocation) for case in cases for allocation in ("uniform", "variance")]
    print()
    print(format_table(["circuit", "seeds", "allocation", "shots", "derivatives", "largest |z|", "allowed", "mean z^2",
                        "reported/observed", "total variance", "time"], found))  # fmt: skip


if __name__ == "__main__":
    main()
