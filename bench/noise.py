"""10 qubits and 100 gates with an error of 0.1 % after each: a value to a standard error of 1e-3, and its gradient.

Layers of RY and a ring of CNOTs, depolarizing noise on the target of every gate, <Z0>, 50 angles. ketgrad's
trajectories are asked for the error, its density matrices are exact. Beside them Aer's density matrix and Aer's
trajectories, with as many shots as plain sampling needs (their spread is measured first), and default.mixed, of whose
parameter-shift circuits (two for each angle) some are timed and the rest extrapolated, which is said. Then how many
trajectories an error of 1e-3 takes: all drawn, with the path without errors split off, and those of one error too.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import common
import numpy as np
from clock import timed, warm_time
from common import ratio

import ketgrad as kg
from ketgrad import noise
from ketgrad.compare import format_table, format_time
from ketgrad.noise.trajectories import TrajectoryPlan

QUBITS, LAYERS, ERROR, WANTED = 10, 5, 1e-3, 1e-3
MODEL = noise.NoiseModel().after(noise.depolarizing(ERROR), on="targets")
AER = find_spec("qiskit_aer") is not None
PENNYLANE = find_spec("pennylane") is not None


def circuit_of(n: int, layers: int) -> kg.Circuit:
    """The gates, without noise."""
    circuit = kg.Circuit(n)
    w = circuit.weights((layers, n))
    for layer in range(layers):
        for q in range(n):
            circuit.ry(w[layer, q], q)
        for q in range(n):
            circuit.cnot(q, (q + 1) % n)
    return circuit


def spreads(n: int, layers: int, weights: np.ndarray, draws: int) -> list[float]:
    """Standard deviations of the value over trajectories: all drawn, and with fewer than 1 and 2 errors split off."""
    lowered = kg.compile(circuit_of(n, layers), kg.Z(0), noise=MODEL)._lowered
    backend, out = kg.backends.get_backend(), []
    for least in (0, 1, 2):
        plan = TrajectoryPlan(
            lowered.program, np.dtype(np.complex128), backend, trajectories=draws, seed=1, least=least
        )
        error = float(plan.estimate(weights.reshape(-1), np.zeros((1, 0)))[1][0, 0])
        out.append(error * np.sqrt(plan.routes(draws).paths.draws))
    return out


def aer_runs(n: int, layers: int, weights: np.ndarray, shots: int) -> dict[str, Callable[[], float]]:
    """Aer's density matrix and trajectories, fusion on, all threads."""
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel, depolarizing_error, pauli_error

    circuit = QuantumCircuit(n)
    for layer in range(layers):
        for q in range(n):
            circuit.ry(float(weights[layer, q]), q)
        for q in range(n):
            circuit.cx(q, (q + 1) % n)
    circuit.save_expectation_value(SparsePauliOp.from_sparse_list([("Z", [0], 1.0)], n), range(n))
    model = NoiseModel()
    error = depolarizing_error(ERROR * 4 / 3, 1)
    model.add_all_qubit_quantum_error(error, ["ry"])
    model.add_all_qubit_quantum_error(error.tensor(pauli_error([("I", 1)])), ["cx"])

    def run(method: str, count: int) -> Callable[[], float]:
        threads = kg.backend_info()["threads"]
        simulator = AerSimulator(method=method, noise_model=model, max_parallel_threads=threads, seed_simulator=1)
        if method == "statevector":
            simulator.set_options(max_parallel_shots=threads)
        return lambda: float(simulator.run(circuit, shots=count).result().data()["expectation_value"])

    return {"Aer, density matrix": run("density_matrix", 1), "Aer, trajectories": run("statevector", shots)}


def mixed_run(n: int, layers: int) -> Callable[[np.ndarray], float]:
    """default.mixed, as a function of the weights."""
    import pennylane as qml

    @qml.qnode(qml.device("default.mixed", wires=n), diff_method=None)
    def node(weights: np.ndarray) -> Any:
        for layer in range(layers):
            for q in range(n):
                qml.RY(weights[layer, q], q)
                qml.DepolarizingChannel(ERROR, q)
            for q in range(n):
                qml.CNOT([q, (q + 1) % n])
                qml.DepolarizingChannel(ERROR, (q + 1) % n)
        return qml.expval(qml.Z(0))

    return lambda weights: float(node(weights))


def shifted(weights: np.ndarray, index: int, by: float) -> np.ndarray:
    out = weights.copy()
    out.reshape(-1)[index] += by
    return out


def main(argv: list[str] | None = None) -> None:
    options = common.options(__doc__, argv)
    n, layers = (6, 2) if options.quick else (QUBITS, LAYERS)
    seconds, timed_shifts = (0.1, 1) if options.quick else (1.0, 2)
    weights = np.random.default_rng(1).normal(0, 0.4, (layers, n))
    circuit, angles = circuit_of(n, layers), layers * n
    exact = kg.compile(circuit, kg.Z(0), noise=MODEL, method="density")
    paths = kg.compile(circuit, kg.Z(0), noise=MODEL, method="trajectories", tolerance=WANTED)
    value, (drawn, error) = exact(weights)[0], paths.with_standard_errors(weights)
    assert error[0] <= WANTED and abs(drawn[0] - value) < 5 * WANTED
    spread = spreads(n, layers, weights, 2_000 if options.quick else 40_000)
    needed = [int(np.ceil((s / WANTED) ** 2)) for s in spread]
    gradient = exact.forward(weights)[1]([1.0]).weights
    for index in range(0, angles, max(1, angles // 5)):
        ahead, behind = (exact(shifted(weights, index, s * np.pi / 2))[0] for s in (1, -1))
        assert abs(gradient.reshape(-1)[index] - (ahead - behind) / 2) < 1e-10
    assert np.abs(paths.forward(weights)[1]([1.0]).weights - gradient).max() < 20 * WANTED

    rows: list[tuple[str, float, float | None, str]] = []
    for name, model in (("ketgrad, trajectories", paths), ("ketgrad, density matrix", exact)):
        forward = timed(lambda model=model: model(weights), seconds)
        both = timed(lambda model=model: model.forward(weights)[1]([1.0]), seconds)
        rows.append((name, forward, both, "exact" if model is exact else f"standard error {error[0]:.1e}"))
    if AER:
        runs = aer_runs(n, layers, weights, needed[0])
        for name, run in runs.items():
            matrix = "density" in name
            assert abs(run() - value) < (1e-10 if matrix else 5 * WANTED), (name, run(), value)
            rows.append((name, warm_time(run, seconds, 1, 20), None, "exact" if matrix else f"{needed[0]:,} shots"))
    if PENNYLANE:
        mixed = mixed_run(n, layers)
        assert abs(mixed(weights) - value) < 1e-10
        took = warm_time(lambda: mixed(weights), seconds, 1, 20)
        ends = [warm_time(lambda k=k: mixed(shifted(weights, k, 1.0)), 0, 1, 1) for k in range(timed_shifts)]
        note = f"exact; {timed_shifts} of {2 * angles} shifted circuits timed, the others extrapolated"
        rows.append(("default.mixed", took, float(np.median(ends)) * 2 * angles, note))

    print(common.heading(f"{n} qubits, {2 * layers * n} gates, {ERROR:.1%} error, <Z0> = {value:.6f}"))
    best, (best_value, best_both) = rows[0], rows[0][1:3]
    table = [
        (name, format_time(a), ratio(a, best_value), format_time(b) if b else "-", ratio(b, best_both), note)
        for name, a, b, note in rows
    ]
    print(format_table(("", "value", f"/ {best[0]}", "value and gradient", "/", ""), table))
    print("Goals: value 20 times Aer's trajectories and twice its density matrix; gradient 100 times default.mixed's.")
    print(f"\nTrajectories for a standard error of {WANTED:g}:")
    for name, count in zip(("all drawn", "no error split off", "no and one error split off"), needed, strict=True):
        print(f"  {name:28s}{count:10,d}   {needed[0] / count:8.1f} times fewer")


if __name__ == "__main__":
    main()
