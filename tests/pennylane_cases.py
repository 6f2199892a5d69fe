"""What the tests of the PennyLane device share: circuits, operators, measurements, and the comparison of results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")

from ketgrad.pennylane_device import KetgradQubit  # noqa: E402
from ketgrad.pennylane_device.conversion import SPECS  # noqa: E402

# PennyLane's own: default.qubit casts complex expectation values to real ones, it warns of probabilities in the
# eigenbasis of a matrix, and it calls JAX by deprecated names
IGNORED = [
    pytest.mark.filterwarnings("ignore:Using q(p|ml).probs with a Hermitian observable"),
    pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning"),
    pytest.mark.filterwarnings("ignore:jax.core:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Implicit conversion of an array to a dtype:DeprecationWarning"),
]

N = 4
MATRIX = np.array([[1.0, 0.3 - 0.2j], [0.3 + 0.2j, -0.5]])
PAIR = np.kron(MATRIX, MATRIX) + np.diag([0.0, 1.0, 2.0, 3.0])
SPARSE = qml.Hermitian(PAIR, [0, 1]).sparse_matrix()
MATRIX_UNITARY = qml.matrix(qml.Rot(0.3, 0.4, 0.5, 0))


def device_maker(backend: str) -> Callable[..., KetgradQubit]:
    """Devices on one backend."""

    def device(wires: Any = N, **options: Any) -> KetgradQubit:
        return KetgradQubit(wires, backend=backend, **{"seed": 5, **options})

    return device


def reference(wires: Any = N, **options: Any) -> Any:
    return qml.device("default.qubit", wires=wires, **{"seed": 5, **options})


def assert_same(got: Any, wanted: Any, atol: float = 1e-12) -> None:
    """Equal nesting, shapes and numbers."""
    if isinstance(wanted, (tuple, list)):
        assert isinstance(got, (tuple, list)) and len(got) == len(wanted)
        for a, b in zip(got, wanted, strict=True):
            assert_same(a, b, atol)
    else:
        assert np.shape(got) == np.shape(wanted)
        assert np.allclose(np.asarray(got), np.asarray(wanted), rtol=0, atol=atol)


def scramble(wires: Any = range(N)) -> None:
    """A state without symmetries."""
    wires = list(wires)
    for k, w in enumerate(wires):
        qml.Rot(0.3 + k, 1.1 - 0.4 * k, 0.7, w)
    for a, b in zip(wires, wires[1:], strict=False):
        qml.CRY(0.9, [a, b])
        qml.IsingXX(0.4, [a, b])


def operator(name: str, wires: list[int]) -> Any:
    """An instance of a PennyLane operator of the table, its wires taken from `wires`."""
    spec, cls = SPECS[name], getattr(qml, name)
    angles = [0.37 + 0.61 * k for k in range(len(spec.params))]
    own = wires[: spec.wires] if spec.wires else wires[:2]
    extras = {
        "PauliRot": lambda: cls(*angles, "YZ", wires=own),
        "QubitUnitary": lambda: cls(qml.matrix(qml.CRX(0.3, [0, 1]) @ qml.RY(0.2, 0), wire_order=[0, 1]), wires=own),
        "DiagonalQubitUnitary": lambda: cls(np.exp(1j * np.arange(4.0)), wires=own),
        "PCPhase": lambda: cls(*angles, dim=3, wires=own),
    }
    return extras[name]() if name in extras else cls(*angles, wires=own)


NAMES = sorted(SPECS)
DECAY = [np.diag([1, np.sqrt(0.6)]), np.sqrt(0.4) * np.array([[0, 1], [0, 0]])]
CHANNELS: dict[str, tuple[Callable[..., Any], list[float]]] = {  # of parameters and wires, and the parameters
    "AmplitudeDamping": (lambda p, w: qml.AmplitudeDamping(*p, wires=w[:1]), [0.3]),
    "BitFlip": (lambda p, w: qml.BitFlip(*p, wires=w[:1]), [0.1]),
    "DepolarizingChannel": (lambda p, w: qml.DepolarizingChannel(*p, wires=w[:1]), [0.2]),
    "GeneralizedAmplitudeDamping": (lambda p, w: qml.GeneralizedAmplitudeDamping(*p, wires=w[:1]), [0.12, 0.4]),
    "PauliError": (lambda p, w: qml.PauliError("YIX", *p, wires=w[:3]), [0.25]),
    "PhaseDamping": (lambda p, w: qml.PhaseDamping(*p, wires=w[:1]), [0.22]),
    "PhaseFlip": (lambda p, w: qml.PhaseFlip(*p, wires=w[:1]), [0.15]),
    "QubitChannel": (lambda p, w: qml.QubitChannel([np.kron(a, b) for a in DECAY for b in DECAY], wires=w[:2]), []),
    "ResetError": (lambda p, w: qml.ResetError(*p, wires=w[:1]), [0.1, 0.2]),
    "ThermalRelaxationError": (lambda p, w: qml.ThermalRelaxationError(*p, wires=w[:1]), [0.3, 1.0, 1.3, 0.4]),
}


EXACT = {
    "expval word": lambda: qml.expval(qml.X(2) @ qml.Y(0)),
    "expval sum": lambda: qml.expval(qml.Hamiltonian([0.5, -1.5, 2], [qml.Z(0) @ qml.Z(3), qml.X(1), qml.Y(2)])),
    "expval identity": lambda: qml.expval(qml.I(0)),
    "expval overlapping product": lambda: qml.expval(qml.X(0) @ qml.X(1) @ qml.Z(0) @ qml.Z(0) @ qml.X(0)),
    "expval hermitian": lambda: qml.expval(qml.Hermitian(PAIR, wires=[3, 1])),
    "expval hadamard product": lambda: qml.expval(qml.Hadamard(1) @ qml.Z(0) @ qml.Hermitian(MATRIX, 2)),
    "expval scaled sum of matrices": lambda: qml.expval(0.3 * (qml.Hermitian(MATRIX, 0) + qml.Hadamard(2))),
    "expval projector": lambda: qml.expval(qml.Projector([1, 0], wires=[2, 0])),
    "expval state projector": lambda: qml.expval(qml.Projector(np.array([0.6, 0.8]), wires=[1])),
    "expval power": lambda: qml.expval(qml.Hadamard(0) ** 2),
    "expval eigenvalues": lambda: qml.measurements.ExpectationMP(
        eigvals=np.array([1.0, 2, 3, -4]), wires=qml.wires.Wires([2, 0])
    ),
    "expval sparse": lambda: qml.expval(qml.SparseHamiltonian(SPARSE, [3, 0])),
    "var word": lambda: qml.var(qml.X(2) @ qml.Y(0)),
    "var sum": lambda: qml.var(qml.Z(0) + 0.5 * qml.X(1) @ qml.Z(0)),
    "var hermitian": lambda: qml.var(qml.Hermitian(PAIR, wires=[3, 1])),
    "var projector": lambda: qml.var(qml.Projector([1, 0], wires=[2, 0])),
    "probs all": lambda: qml.probs(),
    "probs wires": lambda: qml.probs(wires=[3, 0]),
    "probs op": lambda: qml.probs(op=qml.X(2) @ qml.Y(0)),
    "probs hermitian": lambda: qml.probs(op=qml.Hermitian(MATRIX, wires=[1])),
    "state": lambda: qml.state(),
    "density matrix": lambda: qml.density_matrix(wires=[2, 0]),
    "purity": lambda: qml.purity(wires=[0, 3]),
    "entropy": lambda: qml.vn_entropy(wires=[1, 2]),
    "mutual information": lambda: qml.mutual_info(wires0=[0], wires1=[2, 3]),
}


def layered(x: Any, w: Any) -> Any:
    for q in range(3):
        qml.RY(x[..., q], q)
    for layer in range(2):
        for q in range(3):
            qml.Rot(w[layer, q, 0], w[layer, q, 1], w[layer, q, 2], q)
        for q in range(3):
            qml.CNOT([q, (q + 1) % 3])
    qml.CRX(w[0, 0, 0], [0, 2])
    qml.ctrl(qml.RZ(-w[0, 1, 1], 1), control=0, control_values=0)
    qml.adjoint(qml.SingleExcitation(w[1, 1, 1], [0, 1]))
    qml.GlobalPhase(w[0, 0, 1])
    return [
        qml.expval(qml.Z(0)),
        qml.expval(qml.X(0) @ qml.Y(1) + 0.5 * qml.Z(2)),
        qml.expval(qml.Hermitian(MATRIX, 2)),
        qml.expval(qml.Projector([1, 0], [0, 1])),
    ]


def arguments(batch: int | None) -> tuple[Any, Any]:
    rng = np.random.default_rng(2)
    return rng.normal(size=3 if batch is None else (batch, 3)), rng.normal(size=(2, 3, 3))
