"""One large state: value and gradient of all parameters, beside lightning's adjoint and qulacs' backpropagation.

    python bench/large_gradient.py [--sizes 16 20] [--quick]

The circuit is five layers of RZ RY RZ on every wire and a ring of CNOTs, the observable the sum of Z, as in the
literature on adjoint differentiation; and UCCSD on LiH (12 qubits, 631 terms) where PennyLane is installed. Gradients
are compared before anything is timed. The ideal is frozen: the passes of the forward circuit in `large_cases.py`, once
with one state and once with two, and four times its arithmetic (forward, both inverses, inner product).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np  # noqa: E402
from common import heading, timed  # noqa: E402
from large import machine  # noqa: E402
from large_cases import CASES, LAYERS  # noqa: E402
from large_peers import THREADS, installed  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.compare import format_table, format_time  # noqa: E402

Gradient = Callable[[], np.ndarray]


def weights(n: int) -> np.ndarray:
    """(layers, n, 3) angles."""
    return np.random.default_rng(7).uniform(-3, 3, size=(LAYERS, n, 3))


def ketgrad_runs(n: int) -> tuple[Gradient, Callable[[], Any]]:
    """Gradient, and value alone."""
    circuit = kg.Circuit(n)
    w = circuit.weights((LAYERS, n, 3))
    for layer in range(LAYERS):
        for q in range(n):
            circuit.rot(*w[layer, q], q)
        for q in range(n):
            circuit.cx(q, (q + 1) % n)
    total: Any = kg.Z(0)
    for q in range(1, n):
        total = total + kg.Z(q)
    model, angles = kg.compile(circuit, [total]), weights(n)

    def gradient() -> np.ndarray:
        _, pullback = model.forward(angles)
        return np.asarray(pullback(np.ones(1)).weights).reshape(-1)

    return gradient, lambda: model(angles)


def lightning_runs(name: str, n: int) -> Gradient:
    """The device's own vector-Jacobian product."""
    import pennylane as qml

    angles = weights(n)
    ops: list[Any] = []
    for layer in range(LAYERS):
        ops += [qml.Rot(*angles[layer, q], wires=q) for q in range(n)]
        ops += [qml.CNOT([q, (q + 1) % n]) for q in range(n)]
    tape = qml.tape.QuantumScript(ops, [qml.expval(qml.sum(*(qml.Z(q) for q in range(n))))])
    return device_gradient(qml.device(name, wires=n), tape)


def device_gradient(device: Any, tape: Any) -> Gradient:
    """Value and gradient of one tape, by the adjoint method."""
    import pennylane as qml

    config = qml.devices.ExecutionConfig(
        gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=True
    )
    program, config = device.preprocess(config)
    (ready,), _ = program([tape])
    return lambda: np.array(device.execute_and_compute_vjp(ready, (1.0,), config)[1], dtype=float).reshape(-1)


def qulacs_runs(n: int) -> Gradient:
    """Backpropagation through a parametric circuit."""
    import qulacs

    angles, circuit, observable = weights(n), qulacs.ParametricQuantumCircuit(n), qulacs.Observable(n)
    for layer in range(LAYERS):
        for q in range(n):
            for axis, angle in zip("ZYZ", angles[layer, q], strict=True):
                getattr(circuit, f"add_parametric_R{axis}_gate")(q, -float(angle))
        for q in range(n):
            circuit.add_CNOT_gate(q, (q + 1) % n)
    for q in range(n):
        observable.add_operator(1.0, f"Z {q}")
    return lambda: -np.array(circuit.backprop(observable))


def row(label: str, ours: Gradient, value: Callable[[], Any], peers: dict[str, Gradient], ideal: float) -> list[str]:
    """A line of the table, after the gradients have been compared."""
    wanted = ours()
    value()
    times = {}
    for name, gradient in peers.items():
        got = gradient()
        assert np.abs(got - wanted).max() < 1e-8, f"{label}: {name} has another gradient"
        times[name] = timed(gradient, 0.5, 3, 50)
    mine, forward = timed(ours, 0.5, 3, 50), timed(value, 0.5, 3, 50)
    best = min(times, key=lambda p: times[p]) if times else ""
    share = f"{ideal / mine:.2f}" if ideal else "-"
    return [label, format_time(mine), f"{mine / forward:.2f}", share,
            ", ".join(f"{p} {format_time(t)}" for p, t in times.items()),
            f"{times[best] / mine:.1f}" if best else "-"]  # fmt: skip


def lih() -> tuple[Gradient, Callable[[], Any], dict[str, Gradient]]:
    """UCCSD on LiH: all singles and doubles from the Hartree-Fock state, in a minimal basis."""
    import pennylane as qml

    from ketgrad.pennylane_device.observables import pauli_sum

    molecule = qml.qchem.Molecule(["Li", "H"], np.array([[0, 0, 0], [0, 0, 2.969280527]]))
    energy, n = qml.qchem.molecular_hamiltonian(molecule)
    start, (singles, doubles) = qml.qchem.hf_state(4, n), qml.qchem.excitations(4, n)
    angles = 0.1 * np.random.default_rng(0).normal(size=len(singles) + len(doubles))
    circuit = kg.Circuit(n)
    w = circuit.weights(len(angles))
    for q in range(n):
        if start[q]:
            circuit.x(q)
    ops: list[Any] = [qml.BasisState(start, range(n))]
    for k, wires in enumerate([*singles, *doubles]):
        (circuit.single_excitation if len(wires) == 2 else circuit.double_excitation)(w[k], *wires)
        ops.append((qml.SingleExcitation if len(wires) == 2 else qml.DoubleExcitation)(angles[k], wires=wires))
    model = kg.compile(circuit, [pauli_sum(energy, {q: q for q in range(n)})])
    tape = qml.tape.QuantumScript(ops, [qml.expval(energy)])
    tape.trainable_params = list(range(1, len(angles) + 1))
    names = [p for p in installed() if p.startswith("lightning")]
    peers = {name: device_gradient(qml.device(name, wires=n), tape) for name in names}

    def gradient() -> np.ndarray:
        _, pullback = model.forward(angles)
        return np.asarray(pullback(np.ones(1)).weights)

    return gradient, lambda: model(angles), peers


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 20])
    parser.add_argument("--quick", action="store_true", help="only 16 qubits, without LiH")
    options = parser.parse_args()
    kg.set_num_threads(THREADS)
    rates, bandwidth = machine()
    print(heading("One large state: value and gradient of all parameters, complex128"))
    ring = CASES[0]
    table = []
    for n in [16] if options.quick else options.sizes:
        peers = {p: lightning_runs(p, n) for p in installed() if p.startswith("lightning")}
        if "qulacs" in installed():
            peers["qulacs"] = qulacs_runs(n)
        traffic = 3 * ring.passes(n) * 2 * 16 * 2**n / bandwidth
        ideal = max(traffic, 4 * ring.lane_ops(n) * 2**n / rates["complex128"])
        ours, value = ketgrad_runs(n)
        table.append(row(f"{n} qubits, {3 * n * LAYERS} parameters", ours, value, peers, ideal))
    if not options.quick and find_spec("pennylane"):
        ours, value, peers = lih()
        table.append(row("LiH, UCCSD, 12 qubits, 92 parameters", ours, value, peers, 0))
    header = ["circuit", "ketgrad", "gradient/forward", "of ideal", "peers", "best peer/ketgrad"]
    print("\n" + format_table(header, table))


if __name__ == "__main__":
    main()
