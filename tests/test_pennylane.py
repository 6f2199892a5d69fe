"""The PennyLane device's values against PennyLane's own simulator: gates, preparations, measurements, shots."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

qml = pytest.importorskip("pennylane")

from pennylane_cases import (  # noqa: E402
    EXACT,
    IGNORED,
    MATRIX_UNITARY,
    NAMES,
    PAIR,
    N,
    assert_same,
    device_maker,
    operator,
    reference,
    scramble,
)

from ketgrad.gates import GATES  # noqa: E402
from ketgrad.pennylane_device import KetgradQubit  # noqa: E402
from ketgrad.pennylane_device.conversion import SPECS, find_native, is_supported, target_gates  # noqa: E402

pytestmark = IGNORED


@pytest.fixture
def make(backend: str) -> Any:
    """A device on the backend under test."""
    return device_maker(backend)


@pytest.mark.parametrize("name", NAMES)
def test_every_gate_of_the_table_plain_adjoint_and_controlled(name: str, make: Any) -> None:
    wires = [2, 0, 3, 1]
    free = [w for w in range(6) if w not in wires]

    def circuit() -> Any:
        scramble(range(6))
        operator(name, wires)
        qml.adjoint(operator)(name, [1, 3, 0, 2])
        qml.ctrl(operator, control=free, control_values=[0, 1])(name, wires)
        qml.adjoint(qml.ctrl(operator, control=free[:1], control_values=[1]))(name, wires)
        return qml.state()

    assert_same(qml.QNode(circuit, make(6))(), qml.QNode(circuit, reference(6))())


def test_the_table_decides_what_is_native() -> None:
    assert set(SPECS) == {s.pennylane for s in GATES if s.pennylane} - {"MultiControlledX"}
    assert is_supported(qml.MultiControlledX([0, 1, 2], control_values=[0, 1]))
    assert find_native(qml.GlobalPhase(0.3)) is not None
    assert not is_supported(qml.QFT([0, 1, 2])) and not is_supported(qml.Projector([1], 0))
    assert {"RX", "C(RX)", "Adjoint(S)", "GlobalPhase", "MultiControlledX"} <= target_gates()


@pytest.mark.parametrize(
    "build",
    [
        lambda: qml.GlobalPhase(0.4),
        lambda: qml.ctrl(qml.GlobalPhase(0.4), control=[1, 3], control_values=[1, 0]),
        lambda: qml.MultiControlledX([3, 0, 2], control_values=[0, 1]),
        lambda: qml.ControlledQubitUnitary(MATRIX_UNITARY, wires=[3, 1, 0], control_values=[1, 0]),
        lambda: qml.ctrl(qml.adjoint(qml.S(0)), control=2),
        lambda: qml.QFT([3, 1, 0]),
        lambda: qml.GroverOperator([0, 2, 3]),
        lambda: qml.pow(qml.X(2), 0.3),
        lambda: qml.exp(qml.X(0) @ qml.Z(2), 0.3j),
        lambda: qml.Identity([0, 3]),
        lambda: qml.Barrier([0, 1]),
        lambda: qml.U1(0.3, 1),
        lambda: qml.BlockEncode(0.2 * MATRIX_UNITARY, wires=[0, 1]),
        lambda: qml.TrotterProduct(qml.X(0) + qml.Z(1) @ qml.Y(2), 0.4, n=2),
        lambda: qml.FermionicSingleExcitation(0.3, wires=[0, 1, 2]),
    ],
)
def test_what_the_table_lacks_is_decomposed_or_runs_as_a_matrix(build: Any, make: Any) -> None:
    def circuit() -> Any:
        scramble()
        build()
        return qml.state()

    assert_same(qml.QNode(circuit, make())(), qml.QNode(circuit, reference())(), 1e-10)


@pytest.mark.parametrize(
    "build",
    [
        lambda: qml.BasisState([1, 0, 1], wires=[2, 0, 3]),
        lambda: qml.StatePrep(np.array([0.6, 0, 0, 0.8j]), wires=[3, 1]),
        lambda: qml.AmplitudeEmbedding(np.arange(8.0), wires=[1, 0, 2], normalize=True),
        lambda: qml.StatePrep(np.array([1.0, 2.0]), wires=0, pad_with=0, normalize=True),
        lambda: (qml.X(0), qml.StatePrep(np.array([0.6, 0.8]), wires=1))[0],
    ],
)
def test_state_preparation(build: Any, make: Any) -> None:
    def circuit() -> Any:
        build()
        qml.CRX(0.3, [3, 0])
        qml.RY(0.2, 1)
        return qml.state()

    assert_same(qml.QNode(circuit, make())(), qml.QNode(circuit, reference())(), 1e-10)


# measurements


@pytest.mark.parametrize("name", list(EXACT))
@pytest.mark.parametrize("batch", [None, 3])
def test_exact_measurements(name: str, batch: int | None, make: Any) -> None:
    angle = 0.3 if batch is None else np.linspace(0.1, 2.0, batch)

    def circuit(x: Any) -> Any:
        scramble()
        qml.RX(x, 1)
        qml.CRot(0.2, x, 0.1, [0, 3])
        return EXACT[name](), qml.expval(qml.Z(1))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PennyLane's own, about a sparse matrix made dense
        got, wanted = qml.QNode(circuit, make())(angle), qml.QNode(circuit, reference())(angle)
    assert_same(got, wanted, 1e-10)


def test_a_large_matrix_observable_goes_through_the_state(make: Any) -> None:
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(128, 128))
    hermitian = qml.Hermitian(matrix + matrix.T, wires=range(7))

    def circuit() -> Any:
        scramble(range(7))
        return qml.expval(hermitian), qml.var(hermitian)

    assert_same(qml.QNode(circuit, make(7))(), qml.QNode(circuit, reference(7))(), 1e-8)


def test_a_large_sparse_observable_goes_through_the_state(make: Any) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.random(128, 128, density=0.05, random_state=3)
    observable = qml.SparseHamiltonian(sparse.csr_matrix(matrix + matrix.T), wires=[6, 0, 1, 2, 3, 4, 5])

    def circuit(x: Any, measure: Any) -> Any:
        scramble(range(7))
        qml.RX(x, 0)
        return measure(observable)

    for x in (0.3, np.array([0.3, -1.0, 2.0])):
        got = qml.QNode(circuit, make(7))(x, qml.expval)
        assert_same(got, qml.QNode(circuit, reference(7))(x, qml.expval), 1e-10)
        states = qml.QNode(lambda x: (scramble(range(7)), qml.RX(x, 0), qml.state())[2], reference(7))(x)
        order = range(7)
        dense = observable.sparse_matrix(wire_order=order).toarray()
        squares = np.einsum("...i,ij,...j->...", states.conj(), dense @ dense, states).real
        assert_same(qml.QNode(circuit, make(7))(x, qml.var), squares - got**2, 1e-10)


@pytest.mark.parametrize(
    "build",
    [
        lambda x: qml.StatePrep(np.stack([np.cos(x), np.sin(x)], axis=-1), wires=1),
        lambda x: qml.QubitUnitary(np.stack([qml.matrix(qml.RX(t, 0)) for t in x]), wires=2),
        lambda x: qml.ctrl(qml.DiagonalQubitUnitary(np.exp(1j * np.outer(x, [1, 2])), wires=2), control=0),
        lambda x: qml.AngleEmbedding(np.stack([x, 2 * x]).T, wires=[0, 3]),
    ],
)
def test_batches_of_amplitudes_and_matrices(build: Any, make: Any) -> None:
    def circuit(x: Any) -> Any:
        build(x)
        scramble()
        qml.RX(x, 0)
        return qml.expval(qml.Z(1)), qml.state()

    x = np.array([0.2, 1.1, -0.7])
    assert_same(qml.QNode(circuit, make())(x), qml.QNode(circuit, reference())(x))


def test_complex64(make: Any) -> None:
    def circuit() -> Any:
        scramble()
        return qml.state(), qml.expval(qml.Z(0) @ qml.X(2))

    got, wanted = qml.QNode(circuit, make(c_dtype=np.complex64))(), qml.QNode(circuit, reference())()
    assert got[0].dtype == np.complex64
    assert_same(got, wanted, 1e-5)


SAMPLED = {
    "expval word": lambda: qml.expval(qml.X(2) @ qml.Y(0)),
    "expval sum": lambda: qml.expval(0.5 * qml.Z(0) @ qml.Z(3) - qml.X(1) + 0.2 * qml.Y(2)),
    "expval hermitian": lambda: qml.expval(qml.Hermitian(PAIR, wires=[3, 1])),
    "var word": lambda: qml.var(qml.Y(1)),
    "var sum": lambda: qml.var(qml.Z(0) + 0.5 * qml.X(1)),
    "probs wires": lambda: qml.probs(wires=[3, 0]),
    "probs op": lambda: qml.probs(op=qml.X(2) @ qml.Y(0)),
    "projector": lambda: qml.expval(qml.Projector([1, 0], wires=[2, 0])),
    "shadow": lambda: qml.shadow_expval(qml.Z(0) @ qml.Z(1)),
}


@pytest.mark.parametrize("name", list(SAMPLED))
@pytest.mark.parametrize("alone", [True, False])
def test_shots_agree_with_the_exact_value(name: str, alone: bool, make: Any) -> None:
    shots = 40_000

    def circuit() -> Any:
        scramble()
        return SAMPLED[name]() if alone else (SAMPLED[name](), qml.probs(wires=[1]))

    exact = circuit
    if name == "shadow":

        def exact() -> Any:
            scramble()
            z = qml.expval(qml.Z(0) @ qml.Z(1))
            return z if alone else (z, qml.probs(wires=[1]))

    got = qml.set_shots(qml.QNode(circuit, make()), shots)()
    wanted = qml.QNode(exact, reference())()
    # the largest spectral radius is about 4; six standard errors of its mean
    assert_same(got, wanted, 6 * 4 / np.sqrt(shots))


@pytest.mark.parametrize("shots", [7, (7, 7, 3), [(5, 2), 4]])
@pytest.mark.parametrize("batch", [None, 2])
def test_shapes_with_shots(shots: Any, batch: int | None, make: Any) -> None:
    angle = 0.3 if batch is None else np.array([0.1, 0.7])

    def circuit(x: Any) -> Any:
        scramble()
        qml.RX(x, 1)
        return (
            qml.sample(wires=[2, 0]),
            qml.sample(qml.X(1) @ qml.Z(3)),
            qml.probs(wires=[1, 3]),
            qml.expval(qml.Z(0) + qml.X(1)),
            qml.var(qml.Y(2)),
        )

    got = qml.set_shots(qml.QNode(circuit, make()), shots)(angle)
    wanted = qml.set_shots(qml.QNode(circuit, reference()), shots)(angle)
    assert_same(got, wanted, 20.0)  # shapes and nesting; the values are random


def test_counts(make: Any) -> None:
    def circuit() -> Any:
        qml.Hadamard(0)
        qml.CNOT([0, 2])
        return qml.counts(wires=[2, 1, 0]), qml.counts(qml.Z(0)), qml.counts(wires=[1], all_outcomes=True)

    wires, values, everything = qml.set_shots(qml.QNode(circuit, make()), 1000)()
    assert set(wires) == {"000", "101"} and sum(wires.values()) == 1000 and min(wires.values()) > 400
    assert set(values) == {1.0, -1.0} and values[1.0] == wires["000"]  # one basis, so the same samples
    assert everything == {"0": 1000, "1": 0}


def test_seeds(make: Any) -> None:
    def run(device: Any) -> Any:
        node = qml.set_shots(qml.QNode(lambda: (scramble(), qml.sample())[1], device), 50)
        return np.array([node(), node()])

    assert np.array_equal(run(make(seed=3)), run(make(seed=3)))
    assert not np.array_equal(run(make(seed=3)), run(make(seed=4)))
    first, second = run(make(seed=3))
    assert not np.array_equal(first, second)
    assert run(make(seed="global")).shape == run(make(seed=None)).shape == (2, 50, N)


# random QNodes


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[tuple[str, list[int]]], list[str], int | None]:
    """Names and wires of gates, names of measurements, and a batch size."""
    gates = []
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=8)):
        gates.append((name, draw(st.permutations(range(N)))))
    names = draw(st.lists(st.sampled_from([n for n in EXACT if "sparse" not in n]), min_size=1, max_size=3))
    return gates, names, draw(st.sampled_from([None, 2, 3]))


@given(programs())
def test_random_qnodes(program: Any) -> None:
    gates, names, batch = program
    x = 0.3 if batch is None else np.linspace(-1, 2, batch)

    def circuit(x: Any) -> Any:
        scramble()
        for name, wires in gates:
            operator(name, list(wires))
            qml.RY(x, wires[0])
        return [EXACT[name]() for name in names]

    assert_same(qml.QNode(circuit, KetgradQubit(N))(x), qml.QNode(circuit, reference())(x), 1e-10)
