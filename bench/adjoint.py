"""Gradients of one circuit by the adjoint method, one thread, beside the bandwidth limit and lightning.qubit's adjoint.

The limit counts passes over a state as if nothing were fused: one over the ket forward, two (ket and bra) backward for
each gate, each a read and a write, at the bandwidth of y *= a on an array of that size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import common
import numpy as np
from clock import timed
from common import LIGHTNING, TOLERANCE, ratio, scale_time, verdict

import ketgrad as kg
from ketgrad.compare import format_table, format_time
from ketgrad.peers import quantum_function

PASSES = 3


def layered(n: int, layers: int) -> kg.Circuit:
    """`layers` times a Rot on every wire and a ring of CNOTs."""
    circuit = kg.Circuit(n)
    w = circuit.weights((layers, n, 3))
    for layer in range(layers):
        for q in range(n):
            circuit.rot(w[layer, q], q)
        for q in range(n):
            circuit.cx(q, (q + 1) % n)
    return circuit


def lightning_gradient(circuit: kg.Circuit, weights: np.ndarray, dtype: str, observables: int) -> Callable[[], Any]:
    """Lightning's values and adjoint Jacobian through its device, without a QNode."""
    import pennylane as qml

    device = qml.device("lightning.qubit", wires=circuit.n_wires, c_dtype=np.dtype(dtype).type)
    apply = quantum_function(circuit)

    def function() -> list[object]:
        apply(None, weights)
        return [qml.expval(qml.Z(q)) for q in range(observables)]

    config = device.setup_execution_config(qml.devices.ExecutionConfig(gradient_method="adjoint"))
    (tape,), _ = device.preprocess_transforms(config)((qml.tape.make_qscript(function)(),))
    tape.trainable_params = list(range(len(tape.get_parameters(trainable_only=False))))
    return lambda: device.execute_and_compute_derivatives((tape,), config)


def case(n: int, layers: int, dtype: str, observables: int, seconds: float) -> tuple[str, ...]:
    """Assert, time, and describe one gradient."""
    circuit = layered(n, layers)
    weights = np.random.default_rng(1).uniform(-np.pi, np.pi, circuit.n_weights)
    model = kg.compile(circuit, [kg.Z(q) for q in range(observables)], dtype=dtype)
    cotangents = np.ones(observables)

    def gradient() -> np.ndarray:
        return model.forward(weights)[1](cotangents).weights

    got = gradient()
    k, step = circuit.n_weights // 2, 1e-4 if dtype == "complex128" else 3e-2
    d = step * (np.arange(circuit.n_weights) == k)
    exact = kg.compile(circuit, model.observables)
    slope = float((exact(weights + d) - exact(weights - d)).sum() / (2 * step))
    slope /= np.sinc(step / np.pi)  # exact for a frequency of 1, which Rot's angles have
    tolerance = TOLERANCE[dtype] * (100 if dtype == "complex128" else observables)
    assert abs(got[k] - slope) < tolerance, f"n = {n}: gradient {got[k]} and difference {slope}"
    theirs = None
    if LIGHTNING:
        call = lightning_gradient(circuit, weights, dtype, observables)
        jacobian = np.atleast_2d(np.array(call()[1][0], dtype=float).reshape(observables, -1))
        assert np.abs(jacobian.sum(axis=0) - got).max() < tolerance, f"n = {n}: differs from lightning"
        theirs = timed(call, seconds, 3)
    ours = timed(gradient, seconds, 3)
    limit = PASSES * common.instructions(model) * scale_time(n, dtype)
    return (
        f"n = {n}, {dtype}, {observables} readout{'s' * (observables > 1)}",
        str(circuit.n_weights),
        format_time(ours),
        format_time(limit),
        ratio(limit, ours),
        format_time(theirs),
        ratio(theirs, ours),
        verdict(ours, theirs),
    )


def main(quick: bool = False) -> None:
    """Print one table."""
    common.one_thread()
    print(common.heading("Adjoint: value and gradient of two layers of Rot and CNOT, one thread each"))
    sizes = ((10, 2), (14, 2)) if quick else ((10, 2), (16, 2), (20, 2))
    rows = [
        case(n, layers, dtype, observables, 0.1 if quick else 1.0)
        for n, layers in sizes
        for dtype in ("complex128", "complex64")
        for observables in (1, n)
    ]
    header = ("case", "weights", "ketgrad", "limit", "of limit", "lightning", "lightning/ketgrad", "")
    print(format_table(header, rows))


if __name__ == "__main__":
    main(common.options(__doc__).quick)
