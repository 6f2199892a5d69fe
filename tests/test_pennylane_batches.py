"""Gradients of broadcast tapes through the PennyLane device: one sweep for the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")
pnp = qml.numpy

from pennylane_cases import IGNORED, arguments, assert_same, device_maker, layered, reference  # noqa: E402

from ketgrad.model import Model  # noqa: E402

pytestmark = IGNORED


@pytest.fixture
def make(backend: str) -> Any:
    """A device on the backend under test."""
    return device_maker(backend)


def test_the_gradient_of_a_broadcast_tape_is_one_sweep(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[Any] = []
    real = Model.forward
    monkeypatch.setattr(Model, "forward", lambda self, w, x, **k: shapes.append(np.shape(x)) or real(self, w, x, **k))
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
