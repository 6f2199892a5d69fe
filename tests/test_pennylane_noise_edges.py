"""PennyLane's channels at their edges: compiled QNodes of arrays, errors that are none, custom channels."""

from __future__ import annotations

import numpy as np
import pennylane as qml
import pytest
from pennylane.exceptions import DeviceError

import ketgrad as kg
from ketgrad.pennylane_device.device import KetgradQubit


def noisy(w):
    qml.RX(w[0], 0)
    qml.RY(w[1] * w[2], 1)
    qml.CNOT([0, 1])
    qml.BitFlip(0.1, wires=0)


@pytest.mark.parametrize("measure", [lambda: qml.var(qml.X(1)), lambda: qml.probs(wires=[1])], ids=["var", "probs"])
def test_gradients_of_compiled_qnodes_by_arrays(measure) -> None:
    def function(w):
        noisy(w)
        return measure()

    w = qml.numpy.array([0.1, 0.2, 0.3])
    compiled = kg.compile(qml.QNode(function, KetgradQubit(wires=2)), np.array(w))
    plain = qml.QNode(function, qml.device("default.mixed", wires=2), diff_method="parameter-shift")
    np.testing.assert_allclose(qml.jacobian(compiled)(w), qml.jacobian(plain)(w), atol=1e-10)


def test_an_error_of_identities_alone_leaves_a_density_matrix() -> None:
    @qml.qnode(KetgradQubit(wires=1))
    def node():
        qml.RX(0.3, 0)
        qml.PauliError("I", 0.1, wires=0)
        return qml.state()

    state = np.array([np.cos(0.15), -1j * np.sin(0.15)])
    np.testing.assert_allclose(node(), np.outer(state, state.conj()), atol=1e-12)


@pytest.mark.filterwarnings("ignore:jax.core:DeprecationWarning")
@pytest.mark.parametrize("method", ["best", "device"])
def test_trained_strengths_of_a_custom_channel_are_refused_and_never_zero(method: str) -> None:
    jax = pytest.importorskip("jax")

    class Flip(qml.operation.Channel):
        num_params = 1
        num_wires = 1
        grad_method = "F"

        @staticmethod
        def compute_kraus_matrices(p):
            return [qml.math.sqrt(1 - p) * np.eye(2), qml.math.sqrt(p) * np.array([[0, 1], [1, 0]])]

    @qml.qnode(KetgradQubit(wires=1), diff_method=method)
    def node(x, s):
        qml.RX(x, 0)
        Flip(s, wires=0)
        return qml.expval(qml.Z(0))

    with pytest.raises(DeviceError, match="the matrices of Flip are constants and have no gradient"):
        jax.grad(node, argnums=(0, 1))(0.3, 0.1)
