"""Noise models of Qiskit: read without Qiskit, and compared with Aer's density matrices where Aer is installed."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ketgrad as kg
from ketgrad import noise
from ketgrad.errors import ArgumentTypeError, CircuitError
from ketgrad.noise.matrices import superoperator

AER = importlib.util.find_spec("qiskit_aer") is not None
FAKE = AER and importlib.util.find_spec("qiskit_ibm_runtime") is not None
needs_aer = pytest.mark.skipif(not AER, reason="needs qiskit-aer")
needs_fake = pytest.mark.skipif(not FAKE, reason="needs qiskit-aer and qiskit-ibm-runtime")


def error(instructions: list[Any], probabilities: list[float], operations: list[str], *places: Any) -> dict[str, Any]:
    out = {"type": "qerror", "instructions": instructions, "probabilities": probabilities, "operations": operations}
    return {**out, "gate_qubits": list(places)} if places else out


def step(name: str, *qubits: int, params: Any = None) -> dict[str, Any]:
    return {"name": name, "qubits": list(qubits)} | ({} if params is None else {"params": params})


def test_words_and_qubits_turn_round():
    """In a label the last letter is the first qubit's."""
    model = noise.from_qiskit({"errors": [error([[step("pauli", 0, 1, params=["XZ"])], []], [0.1, 0.9], ["cx"])]})
    (rule,) = model.rules
    assert rule.channel == noise.pauli({"ZX": 0.1}) and rule.gates == ("cx",) and rule.wires is None
    steps = [step("reset", 1), step("cx", 1, 0), step("h", 0)]
    (rule,) = noise.from_qiskit({"errors": [error([steps], [1.0], ["cz"], (3, 2))]}).rules
    assert rule.wires == (3, 2)
    h, one = np.array([[1, 1], [1, -1]]) / np.sqrt(2), np.eye(2)
    flipped = np.eye(4)[[0, 3, 2, 1]]  # controlled by the second wire
    wanted = [np.kron(h, one) @ flipped @ np.kron(one, k) for k in noise.reset().kraus]
    np.testing.assert_allclose(rule.channel.superoperator(), superoperator(np.array(wanted)), atol=1e-15)


def test_operators_of_every_kind():
    damping = noise.amplitude_damping(0.3)
    d = np.arange(2)
    columns = np.einsum("abcd->badc", damping.superoperator().reshape(2, 2, 2, 2)).reshape(4, 4)
    for name, params in (("kraus", list(damping.kraus)), ("superop", [columns])):
        (rule,) = noise.from_qiskit({"errors": [error([[step(name, 0, params=params)]], [1.0], ["x"])]}).rules
        np.testing.assert_allclose(rule.channel.superoperator(), damping.superoperator(), atol=1e-14)
    u = np.kron(np.diag([1, 1j]), np.array([[0, 1], [1, 0]]))  # the first qubit is flipped
    (rule,) = noise.from_qiskit({"errors": [error([[step("unitary", 0, 1, params=[u])]], [1.0], ["swap"])]}).rules
    np.testing.assert_allclose(rule.channel.kraus[0], np.kron(u[2:, 2:].real * 0 + np.eye(2)[::-1], np.diag(1j**d)))
    chances = [0.97, 0.01, 0.01, 0.01]
    (rule,) = noise.from_qiskit(
        {"errors": [error([[step(w, 0)] for w in ("id", "x", "y", "z")], chances, ["x"])]}
    ).rules
    assert rule.channel.name == "depolarizing" and rule.channel.strengths[0] == pytest.approx(0.03, abs=1e-15)


def test_own_errors_replace_those_of_any_qubits():
    z = [[step("z", 0)], [step("id", 0)]]
    document = {
        "errors": [
            error(z, [0.1, 0.9], ["x", "sx", "measure"]),
            error(z, [0.2, 0.8], ["x", "measure", "reset"], (1,), (2,)),
            error([[step("id", 0)]], [1.0], ["h"]),
            {"type": "roerror", "operations": ["measure"], "probabilities": [[0.9, 0.1], [0.2, 0.8]]},
            {
                "type": "roerror",
                "operations": ["measure"],
                "probabilities": [[0.8, 0.2], [0.1, 0.9]],
                "gate_qubits": [(2,)],
            },
        ]
    }
    model = noise.from_qiskit(document)
    out = model.apply(kg.Circuit(3).x(0).x(1).sx(1).h(2))
    rows = [(g.extra.strengths[0], g.wires[0]) for g in out.gates if g.spec.name == "channel"]
    assert rows == pytest.approx(np.array([(0.1, 0), (0.2, 1), (0.1, 1), (0.1, 0), (0.2, 1), (0.2, 2)]))
    assert model.readout == noise.ReadoutErrors(((2, (0.2, 0.1)),), (0.1, 0.2))
    some = noise.from_qiskit(document, qubits=[2, 5])  # qubit 2 is wire 0
    out = some.apply(kg.Circuit(2).x(0).x(1))
    rows = [(g.extra.strengths[0], g.wires[0]) for g in out.gates if g.spec.name == "channel"]
    assert rows == pytest.approx(np.array([(0.2, 0), (0.1, 1), (0.1, 1), (0.2, 0)]))
    assert some.readout == noise.ReadoutErrors(((0, (0.2, 0.1)),), (0.1, 0.2))


def backend() -> SimpleNamespace:
    properties = [SimpleNamespace(t1=100e-6, t2=80e-6), SimpleNamespace(t1=50e-6, t2=None), SimpleNamespace()]
    gates = {
        "sx": {(q,): SimpleNamespace(duration=40e-9, error=e) for q, e in ((0, 1e-3), (1, 1e-5), (2, 0.02))},
        "ecr": {(1, 0): SimpleNamespace(duration=500e-9, error=0.02), (1, 2): None},
        "rz": {(0,): SimpleNamespace(duration=0.0, error=0.0)},
        "measure": {
            (0,): SimpleNamespace(error=0.03),
            (1,): SimpleNamespace(error=0.02, prob_meas1_prep0=0.01, prob_meas0_prep1=0.03),
        },
        "reset": {(0,): SimpleNamespace(duration=1e-6, error=None)},
        "if_else": None,
    }

    class Target(dict):
        operation_names = list(gates)
        qubit_properties = properties

    return SimpleNamespace(target=Target(gates))


def test_backends_have_the_reported_gate_fidelity():
    model = noise.from_qiskit(backend())
    for wires, reported in (((0,), 1e-3), ((2,), 0.02), ((1, 0), 0.02)):
        gate = "sx" if len(wires) == 1 else "ecr"
        circuit = model.apply(kg.Circuit(3).append(gate, (), wires))
        d, channels = 2 ** len(wires), circuit.gates[1:]
        whole = np.eye(4 ** len(wires))
        fidelity = 1.0
        for row in channels:
            if len(row.wires) == len(wires):
                whole = row.extra.superoperator() @ whole
            else:
                fidelity *= np.trace(row.extra.superoperator()).real / 4
        # depolarizing commutes through what the trace sees: F_e of both is p_I F + (1 - p_I) (1 - F) / (d^2 - 1)
        entangled = np.trace(whole).real / d**2
        if len(channels) > 2:
            entangled = entangled * fidelity + (1 - entangled) * (1 - fidelity) / (d * d - 1)
        assert 1 - (d * entangled + 1) / (d + 1) == pytest.approx(reported, rel=1e-9)
    names = [row.extra.name for row in model.apply(kg.Circuit(3).sx(1)).gates[1:]]
    assert names == ["thermal_relaxation"]  # more than what is reported already
    assert model.apply(kg.Circuit(3).sx(1)).gates[1].extra.strengths == (50e-6, 100e-6, 40e-9, 0)
    assert len(model.apply(kg.Circuit(3).rz(0.1, 0).ecr(0, 1).h(2)).gates) == 3
    assert model.readout == noise.ReadoutErrors(((0, (0.03, 0.03)), (1, (0.01, 0.03))))


def test_stand_ins_have_the_noise_of_others():
    model = noise.from_qiskit(backend(), qubits=[1, 0], stand_ins={"sx": ["h"], "ecr": ["cx", "cz"]})
    forth, back = (model.apply(kg.Circuit(2).cx(*wires)).gates[1:] for wires in ((0, 1), (1, 0)))
    assert [(g.extra.name, g.wires) for g in forth] == [
        ("depolarizing", (0, 1)),
        ("thermal_relaxation", (0,)),
        ("thermal_relaxation", (1,)),
    ]
    assert [g.extra.strengths[0] for g in forth[1:]] == [50e-6, 100e-6]  # wire 0 is qubit 1
    assert [g.extra for g in back] == [g.extra for g in forth]
    assert [g.wires for g in back] == [(0, 1), (0,), (1,)]
    assert model.apply(kg.Circuit(2).h(1)).gates[1].extra.name == "depolarizing"


def test_refusals():
    for source, kind, words in (
        (3, ArgumentTypeError, "an Aer NoiseModel or a backend with a target, got int"),
        ({"errors": 3}, ArgumentTypeError, "got dict"),
        ({"errors": [error([[step("id", 3)]], [1.0], ["x"])]}, CircuitError, "acts on 4 qubits"),
        ({"errors": [error([[step("rx", 0)]], [1.0], ["x"])]}, CircuitError, "instruction 'rx' on 1"),
        ({"errors": [error([[step("x", 0)]], [0.9], ["x"])]}, CircuitError, "not trace-preserving.*-0.1"),
        ({"errors": [{"type": "roerror", "probabilities": np.eye(4)}]}, CircuitError, "of one qubit each"),
    ):
        with pytest.raises(kind, match=words):
            noise.from_qiskit(source)


# against Aer


def first_is_most_significant(rho: np.ndarray) -> np.ndarray:
    n = len(rho).bit_length() - 1
    axes = [*reversed(range(n)), *reversed(range(n, 2 * n))]
    return rho.reshape((2,) * (2 * n)).transpose(axes).reshape(2**n, 2**n)


def aer_density(circuit: Any, model: Any) -> np.ndarray:
    """Aer's density matrix."""
    from qiskit_aer import AerSimulator

    circuit.save_density_matrix()
    run = AerSimulator(method="density_matrix", noise_model=model).run(circuit, shots=1).result()
    return first_is_most_significant(np.asarray(run.data()["density_matrix"]))


def ours(circuit: kg.Circuit) -> np.ndarray:
    return kg.compile(circuit, kg.Z(0), method="density").density_matrix()


def pairs(n: int, names: list[str], couplings: list[tuple[int, int]], length: int, seed: int) -> tuple[Any, Any]:
    """The same random circuit for Qiskit and here."""
    from qiskit import QuantumCircuit

    rng = np.random.default_rng(seed)
    theirs, mine = QuantumCircuit(n), kg.Circuit(n)
    for _ in range(length):
        name = str(rng.choice(names))
        coupling = couplings[rng.integers(len(couplings))]
        wires = [int(rng.integers(n))] if name in ("sx", "x", "rz", "id", "h") else list(coupling)
        angle = [float(rng.uniform(-3, 3))] if name == "rz" else []
        getattr(theirs, name)(*angle, *wires)
        mine.append(name, angle, wires)
    return theirs, mine


@needs_aer
@pytest.mark.parametrize("seed", range(3))
def test_models_of_every_standard_error_agree_with_aer(seed):
    from qiskit_aer import noise as theirs

    rng = np.random.default_rng(100 + seed)
    p = rng.uniform(0.02, 0.2, 20)
    model = theirs.NoiseModel()
    one, two = theirs.depolarizing_error(p[0], 1), theirs.depolarizing_error(p[1], 2)
    model.add_all_qubit_quantum_error(one.compose(theirs.amplitude_damping_error(p[2], p[3])), ["x"])
    model.add_quantum_error(theirs.phase_amplitude_damping_error(p[4], p[5], p[6]), "x", [1])
    model.add_all_qubit_quantum_error(theirs.thermal_relaxation_error(50, 70, 5, 0.1), "h")
    model.add_quantum_error(theirs.thermal_relaxation_error(50, 30, 5, 0.1), "h", [2])
    model.add_quantum_error(theirs.reset_error(p[7], p[8]), "rz", [0])
    model.add_quantum_error(theirs.phase_damping_error(p[9]), "rz", [1])
    q = np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))[0]
    model.add_all_qubit_quantum_error(two.compose(theirs.coherent_unitary_error(q)), ["cx"])
    model.add_quantum_error(theirs.pauli_error([("XZ", p[10]), ("IY", p[11]), ("II", 1 - p[10] - p[11])]), "cx", [0, 2])
    damped = theirs.amplitude_damping_error(p[12]).tensor(theirs.phase_damping_error(p[13]))
    model.add_quantum_error(damped, "cx", [2, 1])
    model.add_all_qubit_quantum_error(theirs.kraus_error(list(q[:, :2].reshape(2, 2, 2))), "sx")
    couplings = [(0, 1), (1, 0), (0, 2), (2, 1)]
    circuit, mine = pairs(3, ["x", "h", "rz", "cx", "sx"], couplings, 25, seed)
    np.testing.assert_allclose(
        ours(noise.from_qiskit(model).apply(mine)), aer_density(circuit, model), rtol=0, atol=1e-10
    )


@needs_fake
@pytest.mark.parametrize("name", ["FakeManilaV2", "FakeLagosV2"])
def test_fake_backends_agree_with_aer(name):
    """Aer's simulation loses up to 1e-10 of the trace in a channel; Qiskit's own matrices of the same errors do not."""
    import qiskit.quantum_info as qi
    from qiskit_aer.noise import NoiseModel
    from qiskit_aer.noise.device import basic_device_gate_errors
    from qiskit_ibm_runtime import fake_provider

    device = getattr(fake_provider, name)()
    circuit, mine = pairs(5, ["x", "sx", "rz", "id", "cx"], [c for c in device.target["cx"] if max(c) < 5], 40, 7)
    errors = {(gate, tuple(qubits)): e for gate, qubits, e in basic_device_gate_errors(target=device.target)}
    exact = qi.DensityMatrix.from_label("0" * 5)
    for row in circuit.data:
        qubits = tuple(circuit.find_bit(q).index for q in row.qubits)
        exact = exact.evolve(row.operation, qubits)
        if (row.operation.name, qubits) in errors:
            exact = exact.evolve(qi.SuperOp(errors[row.operation.name, qubits]), qubits)
    model = NoiseModel.from_backend(device)
    direct, converted = noise.from_qiskit(device), noise.from_qiskit(model)
    for theirs in (direct, converted):
        np.testing.assert_allclose(ours(theirs.apply(mine)), first_is_most_significant(exact.data), rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours(direct.apply(mine)), aer_density(circuit, model), rtol=0, atol=1e-8)
    for wire in range(5):
        np.testing.assert_allclose(direct.readout.confusion(wire), converted.readout.confusion(wire), atol=1e-12)


@needs_aer
def test_readout_and_measurement_errors_agree_with_aer():
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator
    from qiskit_aer import noise as theirs

    model = theirs.NoiseModel()
    model.add_all_qubit_readout_error(theirs.ReadoutError([[0.9, 0.1], [0.25, 0.75]]))
    model.add_readout_error(theirs.ReadoutError([[0.6, 0.4], [0.05, 0.95]]), [1])
    model.add_quantum_error(theirs.amplitude_damping_error(0.3), "measure", [0])
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.x(1)
    circuit.measure_all()
    shots = 200_000
    counts = AerSimulator(noise_model=model, seed_simulator=3).run(circuit, shots=shots).result().get_counts()
    mine = noise.from_qiskit(model)
    p = np.diag(ours(mine.apply(kg.Circuit(2).h(0).x(1)))).real
    p = mine.readout.probabilities(p, [0, 1])
    seen = np.array([counts.get(f"{k & 1}{k >> 1}", 0) for k in range(4)])
    assert ((seen - shots * p) ** 2 / (shots * p)).sum() < 28  # chi-square with 3 degrees of freedom: p > 1e-6 / 4
