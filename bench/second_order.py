"""Hessian and metric tensor of a layered circuit, with all threads, beside PennyLane's on default.qubit.

The circuit is that of TensorCircuit's tutorial on gradients: layers of a CNOT ladder and RX RZ RX, the expectation
value of X on all qubits; 6 qubits and 54 parameters, and a larger one. Peers: `jax.hessian` of a QNode with backprop;
`jax.jacfwd` of its state and a Gram product; both under `jax.jit` and compiled before they are timed, which takes
minutes and stands beside them; and `qml.adjoint_metric_tensor`, quicker than the Hadamard tests of `qml.metric_tensor`.
Every entry is compared first.
"""

from __future__ import annotations

from functools import reduce
from importlib.util import find_spec
from operator import matmul
from typing import Any

import common
import numpy as np
from clock import once, timed
from common import ratio

import ketgrad as kg
from ketgrad.compare import format_table, format_time

CASES = ((6, 3), (10, 2))  # qubits, layers
PEERS = find_spec("pennylane") is not None and find_spec("jax") is not None


def model_of(n: int, layers: int) -> kg.Model:
    """The circuit and its observable."""
    circuit = kg.Circuit(n)
    w = circuit.weights((layers, n, 3))
    for layer in range(layers):
        for q in range(n - 1):
            circuit.cnot(q, q + 1)
        for q in range(n):
            circuit.rx(w[layer, q, 0], q).rz(w[layer, q, 1], q).rx(w[layer, q, 2], q)
    return kg.compile(circuit, reduce(matmul, (kg.X(q) for q in range(n))))


def node_of(n: int, layers: int, interface: str, state: bool = False) -> Any:
    """The same as a QNode of values or states; one wire more for values, as `adjoint_metric_tensor` wants it."""
    import pennylane as qml

    @qml.qnode(qml.device("default.qubit", wires=n + (not state)), interface=interface, diff_method="backprop")
    def node(w: Any) -> Any:
        for layer in range(layers):
            for q in range(n - 1):
                qml.CNOT([q, q + 1])
            for q in range(n):
                qml.RX(w[layer, q, 0], q)
                qml.RZ(w[layer, q, 1], q)
                qml.RX(w[layer, q, 2], q)
        return qml.state() if state else qml.expval(reduce(matmul, (qml.X(q) for q in range(n))))

    return node


def compiled(function: Any, weights: np.ndarray) -> tuple[float, Any, Any]:
    """Seconds of the first call under jax.jit, its result, and a call that waits for its result."""
    import jax

    jax.config.update("jax_enable_x64", True)
    fast, at = jax.jit(function), jax.numpy.asarray(weights)

    def call() -> Any:
        return jax.block_until_ready(fast(at))

    return *once(call), call


def hessian_case(n: int, layers: int, seconds: float) -> tuple[str, ...]:
    """Ours against jax.jit(jax.hessian(qnode)), or against differences of gradients."""
    model = model_of(n, layers)
    weights = np.random.default_rng(1).normal(size=(layers, n, 3))
    found, theirs, note = model.hessian(weights), None, ""
    if PEERS:
        import jax

        compiling, value, peer = compiled(jax.hessian(node_of(n, layers, "jax")), weights)
        assert np.abs(np.asarray(value).reshape(found.shape) - found).max() < 1e-10
        theirs = timed(peer, seconds, 3)
        note = f"jax.hessian under jit; its first call took {format_time(compiling)}"
    else:
        step = 1e-5 * np.eye(weights.size)[0].reshape(weights.shape)
        ends = [model.jacobian(weights + s * step).weights[0] for s in (1, -1)]
        assert np.abs((ends[0] - ends[1]) / 2e-5 - found[0]).max() < 1e-8
    return row(n, weights.size, "Hessian", timed(lambda: model.hessian(weights), seconds), theirs, note)


def metric_case(n: int, layers: int, seconds: float) -> list[tuple[str, ...]]:
    """Ours against both of PennyLane's, or against the covariance of the first layer."""
    model = model_of(n, layers)
    weights = np.random.default_rng(1).normal(size=(layers, n, 3))
    found, peers = model.metric_tensor(weights), []
    assert np.abs(found[: 3 * n : 3, : 3 * n : 3] - np.eye(n) / 4).max() < 1e-10  # Xs on |0...0>, CNOTs do nothing
    if PEERS:
        import jax
        import pennylane as qml

        node = node_of(n, layers, "jax", state=True)

        def gram(w: Any) -> Any:
            tangents = jax.jacfwd(node)(w).reshape(2**n, -1)
            along = tangents.conj().T @ node(w)
            return (tangents.conj().T @ tangents - jax.numpy.outer(along, along.conj())).real

        compiling, value, peer = compiled(gram, weights)
        assert np.abs(np.asarray(value) - found).max() < 1e-10
        note = f"jax.jacfwd of the state and a Gram product under jit; its first call took {format_time(compiling)}"
        peers.append((timed(peer, seconds, 3), note))
        at = qml.numpy.array(weights, requires_grad=True)
        time, value = once(lambda: qml.adjoint_metric_tensor(node_of(n, layers, "autograd"))(at))
        assert np.abs(np.asarray(value).reshape(found.shape) - found).max() < 1e-9
        peers.append((time, "qml.adjoint_metric_tensor, one call"))
    ours = timed(lambda: model.metric_tensor(weights), seconds)
    return [row(n, weights.size, "metric tensor", ours, t, note) for t, note in peers or [(None, "")]]


def row(n: int, parameters: int, what: str, ours: float, theirs: float | None, note: str) -> tuple[str, ...]:
    """One line of the table."""
    size = f"{n} qubits, {parameters} parameters"
    return what, size, format_time(ours), format_time(theirs), ratio(theirs, ours), note


def main(quick: bool = False) -> None:
    """Print the table."""
    print(common.heading("Second derivatives of one expectation value, complex128, all threads"))
    seconds = 0.1 if quick else 1.0
    rows = []
    for n, layers in ((3, 1),) if quick else CASES:
        rows.append(hessian_case(n, layers, seconds))
        rows += metric_case(n, layers, seconds)
    print(format_table(("", "case", "ketgrad", "PennyLane", "PennyLane/ketgrad", ""), rows))


if __name__ == "__main__":
    main(common.options(__doc__).quick)
