"""PennyLane's channels and noise models: equal superoperators, equal density matrices on default.mixed, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pennylane_cases import IGNORED, qml

import ketgrad as kg
from ketgrad import noise
from ketgrad.errors import ArgumentTypeError, CircuitError, GateMatrixError, WireError
from ketgrad.gates import GATES
from ketgrad.noise.matrices import superoperator
from ketgrad.pennylane_device.noise import channel_of, from_pennylane, operator_of

pytestmark = IGNORED
P = st.floats(0, 0.999)  # PennyLane adds 1e-14 under its roots, which shows where they are of almost nothing


def operator(draw: Any, kind: int) -> Any:
    """A channel of PennyLane, or a unitary, with random strengths."""
    w, p, q = [3, 1], draw(P), draw(P)
    if kind < 6:
        names = ("BitFlip", "PhaseFlip", "DepolarizingChannel", "AmplitudeDamping", "PhaseDamping")
        return getattr(qml, names[kind])(p, wires=2) if kind < 5 else qml.GeneralizedAmplitudeDamping(p, q, wires=0)
    if kind == 6:
        return qml.ResetError(p * q, p * (1 - q), wires=0)
    if kind == 7:
        t1 = draw(st.floats(1, 50))
        t2 = t1 * draw(st.floats(0.1, 2))
        return qml.ThermalRelaxationError(q, t1, t2, 3 * p * min(t1, t2), wires=0)
    if kind == 8:
        return qml.PauliError(draw(st.sampled_from(["X", "Y", "Z"])), p, wires=1)
    if kind == 9:
        return qml.PauliError(draw(st.sampled_from(["XY", "IZ", "YX"])), p, wires=w)
    if kind == 10:
        damping = np.kron(noise.amplitude_damping(p).kraus[:, None], noise.phase_flip(q).kraus[None])
        return qml.QubitChannel(list(damping.reshape(-1, 4, 4)), wires=w)
    angle = 6 * p - 3
    if kind == 11:
        rotation = draw(st.sampled_from([qml.RX, qml.RY, qml.RZ, qml.IsingXX, qml.IsingYY, qml.IsingZZ]))
        return rotation(angle, wires=w[: rotation.num_wires])
    return qml.PauliRot(angle, "XYZ", wires=[0, 2, 1]) if kind == 12 else qml.CRot(p, q, angle, wires=w)


@pytest.mark.parametrize("kind", range(14))
@given(data=st.data())
def test_channels_are_the_same(kind, data):
    op = operator(data.draw, kind)
    channel = channel_of(op)
    matrices = op.kraus_matrices() if isinstance(op, qml.operation.Channel) else [qml.matrix(op)]
    wanted = superoperator(np.array([np.asarray(k, dtype=complex) for k in matrices]))
    np.testing.assert_allclose(channel.superoperator(), wanted, rtol=0, atol=1e-12)
    named = not isinstance(op, (qml.QubitChannel, qml.CRot))
    assert bool(channel.strengths) == named


def test_strengths_are_those_of_the_constructors():
    assert channel_of(qml.DepolarizingChannel(0.3, wires=0)) == noise.depolarizing(0.3)
    assert channel_of(qml.GeneralizedAmplitudeDamping(0.3, 0.75, wires=0)) == noise.generalized_amplitude_damping(
        0.3, 0.75
    )
    assert channel_of(qml.ThermalRelaxationError(0.1, 50, 70, 2, wires=0)) == noise.thermal_relaxation(50, 70, 2, 0.1)
    assert channel_of(qml.PauliError("XZ", 0.1, wires=[0, 1])) == noise.pauli({"XZ": 0.1})
    assert channel_of(qml.RZ(0.1, wires=0)) == noise.over_rotation("Z", 0.1)


@pytest.mark.parametrize("spec", [s for s in GATES if s.name not in ("gphase", "exp_diagonal")], ids=lambda s: s.name)
def test_gates_are_asked_about_as_their_operators(spec):
    k = spec.wires or 2
    extra = {"word": "XZ", "dim": 3, "matrix": np.eye(4)[::-1], "diagonal": np.exp(1j * np.arange(4))}.get(spec.extra)
    angles = [0.3, 0.5, -0.7, 1.1][: len(spec.params)]
    circuit = kg.Circuit(6).append(spec, angles, range(k), extra=extra)
    circuit.append(spec, angles, range(k), extra=extra, inverse=True, controls=[5], control_values=[0])
    labels = dict(enumerate("abcdef"))
    plain, other = (operator_of(gate, labels) for gate in circuit.gates)
    wanted = spec.matrix(*angles, wires=None if spec.wires else k, extra=extra)
    np.testing.assert_allclose(qml.matrix(plain, wire_order=list("abcdef"[:k])), wanted, atol=1e-12)
    both = np.eye(2 ** (k + 1), dtype=complex)
    both[: 2**k, : 2**k] = wanted.conj().T
    np.testing.assert_allclose(qml.matrix(other, wire_order=["f", *"abcdef"[:k]]), both, atol=1e-12)


def over_rotated(op: Any, **kwargs: Any) -> None:
    qml.RX(op.parameters[0] * kwargs["excess"], wires=op.wires)
    for w in op.wires:
        qml.AmplitudeDamping(kwargs["gamma"], wires=w)


def crosstalk(op: Any, **_: Any) -> None:
    qml.PauliError("ZX", 0.07, wires=op.wires)
    qml.PhaseFlip(0.05, wires=(set(range(3)) - set(op.wires)).pop())


def a_model() -> Any:
    return qml.NoiseModel(
        {
            qml.noise.op_eq(qml.RX): over_rotated,
            qml.noise.op_in([qml.CNOT, qml.CZ]) & qml.noise.wires_in([0, 1]): crosstalk,
            qml.noise.wires_eq(2): qml.noise.partial_wires(qml.DepolarizingChannel, 0.03),
            qml.noise.op_eq("RY"): qml.noise.partial_wires(qml.ThermalRelaxationError, 0.1, 50.0, 30.0, 2.0),
        },
        excess=0.1,
        gamma=0.04,
    )


def gates(circuit: Any, weights: Any) -> None:
    circuit("rx", 0.7, 0)
    circuit("ry", weights[0], 1)
    circuit("cx", None, 0, 1)
    circuit("rx", -1.1, 2)
    circuit("cz", None, 1, 2)
    circuit("ry", weights[1], 2)
    circuit("cz", None, 2, 0)


def test_noise_models_give_the_density_matrix_of_default_mixed():
    circuit = kg.Circuit(3)
    w = circuit.weights(2)
    gates(lambda name, angle, *wires: circuit.append(name, [] if angle is None else [angle], wires), w)
    names = {"rx": qml.RX, "ry": qml.RY, "cx": qml.CNOT, "cz": qml.CZ}

    @qml.qnode(qml.device("default.mixed", wires=3))
    def theirs(weights: Any) -> Any:
        gates(lambda name, a, *wires: names[name](*([] if a is None else [a]), wires=wires), weights)
        return qml.state()

    values, model = [0.4, -0.9], from_pennylane(a_model())
    noisy = model.apply(circuit)
    mine = kg.compile(noisy, kg.Z(0), method="density").density_matrix(values)
    wanted = qml.noise.add_noise(theirs, a_model())(np.array(values))
    np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-12)
    found = [gate.extra for gate in noisy.gates if gate.spec.name == "channel"]
    assert len(found) == 2 * 2 + 2 + 2 + 2  # two RX, one CNOT, two RY, and two gates on wire 2 alone
    scaled = [g.extra for g in model.scaled(2).to_pauli().apply(circuit).gates if g.spec.name == "channel"]
    assert all(c.is_pauli for c in scaled) and len(scaled) == len(found)
    assert scaled[0].strengths[0] == pytest.approx(2 * 0.07) and "qml.NoiseModel of 4 conditions" in repr(model)


def test_labels_name_the_wires():
    model = qml.NoiseModel({qml.noise.wires_in(["b"]): lambda op, **_: qml.BitFlip(0.1, wires="a")})
    noisy = from_pennylane(model, wires=["a", "b"]).apply(kg.Circuit(2).x(0).x(1))
    assert [(g.spec.name, g.wires) for g in noisy.gates] == [("x", (0,)), ("x", (1,)), ("channel", (0,))]


def test_refusals():
    def before(op: Any, **_: Any) -> None:
        qml.BitFlip(0.1, wires=op.wires)
        qml.apply(op)

    def first(op: Any, **_: Any) -> None:
        qml.apply(op)
        qml.BitFlip(0.1, wires=op.wires)

    def model(function: Any, **options: Any) -> Any:
        return from_pennylane(qml.NoiseModel({qml.noise.op_eq(qml.RX): function}, **options))

    circuit = kg.Circuit(1)
    circuit.rx(circuit.weights(1)[0], 0)
    fixed = kg.Circuit(1).rx(0.1, 0)
    assert len(model(first).apply(fixed).gates) == 2
    for wrong, error, words in (
        (lambda: channel_of(3), ArgumentTypeError, "expected a PennyLane operator, got int"),
        (lambda: channel_of(qml.BitFlip([0.1, 0.2], wires=0)), CircuitError, r"got shape \(2,\)"),
        (lambda: channel_of(qml.CRX([0.1, 0.2], wires=[0, 1])), CircuitError, "nor one unitary"),
        (lambda: channel_of(qml.MultiRZ(0.1, wires=range(4))), CircuitError, "on 4 wires"),
        (lambda: channel_of(qml.PauliError("XXXX", 0.1, wires=range(4))), CircuitError, "1 to 3 letters, got 4"),
        (lambda: channel_of(qml.BitFlip(1.2, wires=0)), GateMatrixError, r"1 \+0\.2"),
        (lambda: from_pennylane(noise.NoiseModel()), ArgumentTypeError, "expected a qml.NoiseModel, got NoiseModel"),
        (lambda: model(before).apply(fixed), CircuitError, "noise before its gate, BitFlip before RX"),
        (lambda: model(over_rotated, excess=0.1, gamma=0.1).apply(circuit), CircuitError, "finite"),
        (lambda: model(first, meas_map={qml.noise.meas_eq(qml.expval): first}), CircuitError, "meas_map"),
        (lambda: from_pennylane(a_model()).apply(kg.Circuit(1).rx(0.1, 0).cz(0, 0)), WireError, "distinct"),
        (lambda: from_pennylane(a_model()).apply(kg.Circuit(2).cz(0, 1)), WireError, "wire 2 is out of range"),
        (lambda: noise.NoiseModel().follow(3), ArgumentTypeError, "a function of the gate"),
    ):
        with pytest.raises(error, match=words):
            wrong()
