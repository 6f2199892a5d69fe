"""Post-selected noisy models, codes and circuits at their edges."""

from __future__ import annotations

import numpy as np
import pytest

import ketgrad as kg
from ketgrad import noise, qec
from ketgrad.errors import ArgumentTypeError, CircuitError, KetgradError, StateError


def test_states_of_a_post_selected_noisy_model_are_those_before_the_selection() -> None:
    circuit = kg.Circuit(2)
    w = circuit.weights(2)
    circuit.ry(w[0], 0).channel(noise.amplitude_damping(0.5), 0).cnot(0, 1).ry(w[1], 1)
    before = kg.compile(circuit, [kg.Z(0)])
    model = qec.post_selected(before, projector=kg.Projector("0", [1]))
    point = [1.1, 0.4]
    np.testing.assert_allclose(model.density_matrix(point), before.density_matrix(point), atol=1e-14)
    np.testing.assert_allclose(model.probabilities(point), before.probabilities(point), atol=1e-14)
    assert np.array_equal(model.sample(point, shots=50, seed=1), before.sample(point, shots=50, seed=1))
    for name in ("state", "forward_state", "metric_tensor"):
        with pytest.raises(KetgradError) as there:
            getattr(before, name)(point)
        with pytest.raises(type(there.value)):
            getattr(model, name)(point)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_what_is_kept_by_rounding_alone_is_refused(dtype: str) -> None:
    code = qec.five_qubit()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        circuit = kg.Circuit(5).ry(float(rng.normal()), 0)
        circuit.extend(qec.encoder(code))
        circuit.rx(np.pi, int(rng.integers(5)))
        with pytest.raises(StateError):
            qec.post_selected(circuit, [code.logical("Z")], projector=code.projector(), dtype=dtype)()


def test_a_schedule_meets_each_qubit_once() -> None:
    with pytest.raises(CircuitError, match="each once"):
        qec.Code("x", ("ZZ",), ("XX",), ("ZI",), schedule=((0, 0, 1),))


@pytest.mark.parametrize("measurements", [0, [0.0], ["0"]])
def test_measurements_of_a_detector_are_numbers(measurements: object) -> None:
    circuit = qec.NoisyCircuit(1)
    circuit.measure([0])
    with pytest.raises(ArgumentTypeError, match="a sequence of numbers of measurements"):
        circuit.detector(measurements)  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["I", "II"])
def test_an_error_of_identities_alone_is_none(word: str) -> None:
    channel = noise.pauli({word: 1.0})
    np.testing.assert_allclose(channel.superoperator(), np.eye(4 ** len(word)), atol=1e-15)
