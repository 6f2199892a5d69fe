"""Gradients of broadcast tapes through the PennyLane device: one sweep for the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")
pnp = qml.numpy

from pennylane_cases import IGNORED, arguments, assert_same, device_maker, layered, reference  # noqa: E402

from ketgrad.backends import Plan  # noqa: E402

pytestmark = IGNORED


@pytest.fixture
def make(backend: str) -> Any:
    """A device on the backend under test."""
    return device_maker(backend)


def test_the_gradient_of_a_broadcast_tape_is_one_sweep(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[Any] = []
    real = Plan.forward
    monkeypatch.setattr(Plan, "forward", lambda self, w, x, *a: shapes.append(np.shape(x)) or real(self, w, x, *a))
    weight = np.array([1.0, -2.0, 0.5, 3.0, 0.25])

    def gradient(device: Any, method: str) -> Any:
        node = qml.QNode(layered, device, diff_method=method)
        x, w = (pnp.array(a, requires_grad=True) for a in arguments(5))
        return qml.grad(lambda x, w: qml.math.sum(qml.math.stack(node(x, w)) ** 2 * weight))(x, w)

    got = gradient(make(3), "adjoint")
    assert shapes[-1] == (5, 3)  # the pullback's own; before it the values'
    assert len(shapes) <= 2
    assert_same(got, gradient(reference(3), "backprop"), 1e-10)


def test_several_cotangents_of_a_broadcast_tape_at_once(make: Any) -> None:
    x = np.array([0.1, 0.7, -0.4])
    ops = [qml.RX(x, 0), qml.RY(0.3, 0)]
    for measured in ([qml.expval(qml.Z(0))], [qml.expval(qml.Z(0)), qml.expval(qml.X(0))]):
        tape = qml.tape.QuantumScript(ops, measured)
        tape.trainable_params = [0, 1]
        device = make(1)
        single = np.random.default_rng(1).normal(size=(2, len(measured), 3))
        sets = [tuple(c) if len(measured) > 1 else c[0] for c in single]
        together = tuple(single.swapaxes(0, 1)) if len(measured) > 1 else single[:, 0]
        wanted = [device.compute_vjp([tape], [c])[0] for c in sets]
        (got,) = device.compute_vjp([tape], [together])
        assert got[0].shape == (2, 3) and got[1].shape == (2,)
        for k in range(2):
            assert_same(tuple(g[k] for g in got), tuple(wanted[k]), 1e-12)


@pytest.mark.parametrize(
    ("batch", "in_axes", "jit"),
    [(None, (0, None), True), (None, (None, 0), False), (2, (0, 0), True), (2, (0, None), False)],
)
def test_vmap_is_one_call_of_the_engine(
    make: Any, batch: int | None, in_axes: Any, jit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    node = qml.QNode(layered, make(3))
    arrays = [
        jax.numpy.array(np.stack([a, 0.3 * a, a + 0.2]) if axis == 0 else a)
        for a, axis in zip(arguments(batch), in_axes, strict=True)
    ]

    def loss(x: Any, w: Any) -> Any:
        return sum((k + 1) * (r**2).sum() for k, r in enumerate(node(x, w)))

    gradient = jax.value_and_grad(loss, argnums=(0, 1))
    mapped = jax.vmap(gradient, in_axes=in_axes)
    calls: list[Any] = []
    real = Plan.forward
    monkeypatch.setattr(Plan, "forward", lambda self, *a: calls.append(1) or real(self, *a))
    values, gradients = (jax.jit(mapped) if jit else mapped)(*arrays)
    assert 1 <= len(calls) <= 2  # values, and values again for their pullback
    for k in range(3):
        wanted, slopes = gradient(*(a[k] if axis == 0 else a for a, axis in zip(arrays, in_axes, strict=True)))
        assert_same(np.asarray(values[k]), np.asarray(wanted), 1e-10)
        for got, slope in zip(gradients, slopes, strict=True):
            assert_same(np.asarray(got[k]), np.asarray(slope), 1e-10)


def test_vmap_over_amplitudes(make: Any) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)

    def circuit(v: Any, t: Any) -> Any:
        qml.StatePrep(v / jax.numpy.linalg.norm(v), wires=[0, 1])
        qml.RX(t, 0)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(1)), qml.probs(wires=[0])

    def gradient(device: Any) -> Any:
        node = qml.QNode(circuit, device)
        return jax.vmap(jax.grad(lambda v, t: sum((r**2).sum() for r in node(v, t)), argnums=(0, 1)), in_axes=(0, None))

    v = jax.numpy.array(np.random.default_rng(4).normal(size=(5, 4)))
    for got, wanted in zip(gradient(make(2))(v, 0.3), gradient(reference(2))(v, 0.3), strict=True):
        assert_same(np.asarray(got), np.asarray(wanted), 1e-10)


@pytest.mark.parametrize("wrap", [lambda op: op, qml.adjoint, lambda op: qml.ctrl(op, control=3, control_values=[0])])
@pytest.mark.parametrize("values", [[0, 0], [0, 1], [1, 1]])
def test_a_batch_of_controlled_matrices_keeps_its_control_values(make: Any, values: list[int], wrap: Any) -> None:
    """PennyLane forgets them where it binds the matrix of one element."""
    x, t = np.random.default_rng(6).normal(size=(3, 2, 2)), np.array([0.4, 1.1, 2.0])
    matrices = np.stack([np.linalg.qr(m + 1j * m.T)[0] for m in x])

    def circuit() -> Any:
        qml.RY(t, 0)
        qml.RY(0.8, 1)
        wrap(qml.ctrl(qml.QubitUnitary(matrices, wires=2), control=[0, 1], control_values=values))
        return qml.probs(wires=[2]), qml.expval(qml.Y(2) @ qml.Z(0)), qml.vn_entropy(wires=[0])

    assert_same(qml.QNode(circuit, make(4))(), qml.QNode(circuit, reference(4))(), 1e-10)
