"""Where noise and mitigation meet or end: readout alone, errors of errors, names and modules, memory, crosstalk."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import ketgrad as kg
from ketgrad import mitigation, noise
from ketgrad.errors import ArgumentError, OutOfMemoryError
from ketgrad.noise import paths


def test_readout_errors_of_a_circuit_without_channels(backend: str) -> None:
    circuit = kg.Circuit(1)
    circuit.rx(circuit.weights(1)[0], 0)
    model = kg.compile(circuit, kg.Z(0), noise=noise.NoiseModel().readout_error(0.1), backend=backend)
    one = np.sin(0.35) ** 2
    np.testing.assert_allclose(model([0.7])[0], 0.8 * np.cos(0.7), atol=1e-12)
    np.testing.assert_allclose(model.probabilities([0.7]), [0.9 - 0.8 * one, 0.1 + 0.8 * one], atol=1e-12)
    mean, variance = model.estimate([0.7], shots=100_000, seed=0)
    assert abs(mean - model([0.7]))[0] < 5 * np.sqrt(variance[0])
    jac = model.jacobian([0.7], shots=100_000, seed=1)
    assert abs(jac.weights[0, 0] + 0.8 * np.sin(0.7)) < 5 * np.sqrt(jac.weights_variance[0, 0])
    undone = mitigation.readout_mitigated(circuit, kg.Z(0), 0.1, backend=backend)
    mean, variance = undone.estimate([0.7], shots=100_000, seed=2)
    assert abs(mean[0] - np.cos(0.7)) < 5 * np.sqrt(variance[0])


def test_shots_by_trajectories_take_paths_of_their_own() -> None:
    circuit = kg.Circuit(4)
    for q in range(4):
        circuit.ry(0.8 + 0.3 * q, q).channel(noise.amplitude_damping(0.15), q)
    for q in range(3):
        circuit.cnot(q, q + 1).channel(noise.amplitude_damping(0.15), q + 1)
    exact = kg.compile(circuit, kg.Z(3), method="density")()
    model = kg.compile(circuit, kg.Z(3), method="trajectories", trajectories=50)
    mean, variance = model.estimate(shots=40_000, seed=3)
    assert abs(mean - exact)[0] < 5 * np.sqrt(variance[0])


def test_errors_that_are_certain_or_of_fewer_qubits_than_their_gate() -> None:
    def of(error: dict[str, object]) -> noise.NoiseModel:
        return noise.from_qiskit({"errors": [{"type": "qerror", **error}]})

    x0, nothing = [{"name": "x", "qubits": [0]}], [{"name": "id", "qubits": [0]}]
    certain = of({"instructions": [x0], "probabilities": [1.0], "operations": ["h"]})
    flipped = kg.compile(kg.Circuit(1).h(0).h(0), kg.Z(0), noise=certain)()
    np.testing.assert_allclose(flipped, [-1.0], atol=1e-12)
    assert not of({"instructions": [nothing], "probabilities": [1.0], "operations": ["h"]}).rules
    for places in ({"gate_qubits": [(0, 1)]}, {}):
        error = {"instructions": [x0, nothing], "probabilities": [0.1, 0.9], "operations": ["cx"], **places}
        (rule,) = of(error).rules
        assert rule.channel == noise.pauli({"XI": 0.1})


def test_no_name_of_mitigation_is_a_module_too() -> None:
    assert not set(mitigation._HOMES) & set(mitigation._HOMES.values())
    code = "import ketgrad as kg; m = kg.mitigation; m.from_cirq; assert callable(m.executor(kg.Z(0)))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_errors_go_through_the_fit_of_a_regression() -> None:
    circuit = kg.Circuit(2)
    w = circuit.weights(3)
    circuit.ry(w[0], 0).cnot(0, 1).rx(w[1], 1).cnot(0, 1).ry(w[2], 0)
    device = noise.NoiseModel().after(noise.depolarizing(0.05, 2), "cx")
    model = mitigation.cdr(circuit, kg.Z(0), device, training=8, seed=1)
    point = [0.4, 0.9, 0.3]
    drawn = [model.estimate(point, shots=40_000, seed=s) for s in range(300)]
    observed = np.var([mean[0] for mean, _ in drawn], ddof=1)
    reported = np.median([variance[0] for _, variance in drawn])
    assert 0.5 < reported / observed < 2


def test_costs_of_stacked_methods_and_of_the_readout() -> None:
    circuit = kg.Circuit(2).ry(0.4, 0).cnot(0, 1)
    once = mitigation.readout_mitigated(circuit, kg.Z(1), noise=noise.NoiseModel().readout_error(0.2))
    assert once.cost().one_norm == pytest.approx(1 / 0.6)
    device = noise.NoiseModel().after(noise.depolarizing(0.01, 2), "cx")
    inner = partial(mitigation.readout_mitigated, errors=0.2)
    both = mitigation.zne(circuit, kg.Z(1), device, scales=(1, 3), extrapolate="linear", compile=inner)
    assert both.cost().one_norm == pytest.approx(2 / 0.6)


def test_crosstalk_does_not_hide_the_noise_of_a_gate_from_its_twirl() -> None:
    circuit = kg.Circuit(3).ry(0.7, 0).ry(0.4, 1).cnot(0, 1).ry(0.3, 1)
    rules = [
        lambda m: m.after(noise.phase_flip(0.01), "cx", at=2),
        lambda m: m.after(noise.over_rotation("X", 0.5), "cx", on="targets"),
    ]
    for order in (rules, rules[::-1]):
        device = noise.NoiseModel()
        for rule in order:
            device = rule(device)
        wanted = kg.compile(circuit, kg.Z(1), noise=device.to_pauli())()
        found = mitigation.twirled(circuit, kg.Z(1), device, frames=None)()
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_paths_ask_for_memory_before_they_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[int] = []

    def refuse(needed: int, what: str) -> None:
        if "paths" in what and blocks:
            raise OutOfMemoryError(f"{what} take {needed} bytes")

    block = paths.PathSpace._block
    monkeypatch.setattr(paths, "require_bytes", refuse)
    monkeypatch.setattr(paths.PathSpace, "_block", lambda *args: blocks.append(1) or block(*args))
    circuit = kg.Circuit(2)
    for _ in range(20):
        circuit.h(0).channel(noise.depolarizing(0.3), 0)
    with pytest.raises(OutOfMemoryError, match="20000 paths|paths take"):
        kg.compile(circuit, kg.Z(0), method="trajectories", trajectories=20_000)()
    assert len(blocks) == 1


@pytest.mark.parametrize("n_wires", [0, -1, "1", True, 1.0])
def test_a_number_of_wires_that_no_gate_has_is_refused(n_wires: object) -> None:
    with pytest.raises(ArgumentError, match="n_wires is how many wires a gate has, from 1"):
        noise.NoiseModel().after(noise.bit_flip(0.1), n_wires=n_wires)  # type: ignore[arg-type]


def test_a_tolerance_is_a_number() -> None:
    with pytest.raises(ArgumentError, match="tolerance is a positive number, got True"):
        kg.compile(kg.Circuit(1).channel(noise.bit_flip(0.1), 0), kg.Z(0), tolerance=True)
