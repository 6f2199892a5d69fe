"""Probabilistic error cancellation: inverses, their one-norms, unbiased sums and samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mitigation_cases import MODEL, OBSERVABLES, circuit, point

import ketgrad as kg
from ketgrad import noise
from ketgrad.errors import ArgumentError, ArgumentTypeError
from ketgrad.mitigation import QuasiProbability, invert, pec

CHANNELS = {
    "depolarizing": noise.depolarizing(0.05),
    "two wires": noise.depolarizing(0.1, 2),
    "pauli": noise.pauli({"X": 0.02, "Z": 0.1}),
    "phase damping": noise.phase_damping(0.2),
    "amplitude damping": noise.amplitude_damping(0.15),
    "hot": noise.generalized_amplitude_damping(0.15, 0.3),
    "hotter": noise.generalized_amplitude_damping(0.15, 0.9),
    "thermal": noise.thermal_relaxation(50.0, 70.0, 5.0),
    "reset": noise.reset_error(0.02, 0.03),
    "rotated": noise.over_rotation("X", 0.3),
    "rotated pair": noise.over_rotation("XY", 0.3),
    "tilted": noise.amplitude_damping(0.1) @ noise.over_rotation("Y", 0.4) @ noise.phase_damping(0.05),
    "pair": noise.kraus(np.kron(np.eye(2), noise.amplitude_damping(0.1).kraus)),
}


@pytest.mark.parametrize("name", CHANNELS)
def test_inverses_invert(name: str) -> None:
    channel = CHANNELS[name]
    quasi = invert(channel)
    side = 4**channel.n_wires
    np.testing.assert_allclose(quasi.superoperator() @ channel.superoperator(), np.eye(side), atol=1e-10)
    assert quasi.coefficients.sum() == pytest.approx(1) and quasi.gamma >= 1 - 1e-12
    assert quasi.probabilities.sum() == pytest.approx(1) and "gamma=" in repr(quasi)


@pytest.mark.parametrize("p", [0.001, 0.02, 0.3])
def test_one_norm_of_depolarizing(p: float) -> None:
    assert invert(noise.depolarizing(p)).gamma == pytest.approx((3 / (1 - 4 * p / 3) - 1) / 2, rel=1e-12)


def test_one_norms() -> None:
    gamma = invert(noise.depolarizing(0.02)).gamma
    assert gamma == pytest.approx(1.04110, abs=5e-6)
    assert gamma**54 == pytest.approx(8.800, abs=5e-4)
    assert invert(noise.bit_flip(0.1)).gamma == pytest.approx(1 / (1 - 0.2))
    for g in (0.05, 0.2):  # Takagi: the best there is
        assert invert(noise.amplitude_damping(g)).gamma == pytest.approx((1 + g) / (1 - g))
    assert invert(noise.over_rotation("X", 1.0)).gamma == pytest.approx(1)
    circuit = kg.Circuit(2)
    for k in range(54):
        circuit.h(k % 2)
    model = pec(circuit, kg.Z(0), noise.NoiseModel().after(noise.depolarizing(0.02)), samples=20)
    assert model.gamma == pytest.approx(8.800, abs=5e-4) and model.cost().one_norm == pytest.approx(model.gamma)


def test_inverses_of_given_operations() -> None:
    quasi = invert(noise.bit_flip(0.1), ["I", "X"])
    np.testing.assert_allclose(quasi.coefficients, [0.9 / 0.8, -0.1 / 0.8])
    with pytest.raises(ArgumentError, match="miss it by 0."):
        invert(noise.bit_flip(0.1), ["I", "Z"])
    with pytest.raises(ArgumentError, match="number of wires"):
        invert(noise.bit_flip(0.1), ["II"])
    with pytest.raises(ArgumentError, match="has no inverse, its least singular value is 0"):
        invert(noise.bit_flip(0.5))
    with pytest.raises(ArgumentTypeError, match="Channel, got float"):
        invert(0.1)  # type: ignore[arg-type]


def few() -> kg.Circuit:
    out = kg.Circuit(2)
    w, x = out.weights(2), out.inputs(1)
    return out.ry(w[0], 0).rx(x[0], 1).cx(0, 1).ry(w[1], 1)


AT = np.array([0.4, 1.3]), np.array([[0.2], [-0.9]])
PAIR = [kg.Z(1), kg.X(0) @ kg.Z(1)]


@pytest.mark.parametrize("name", ["depolarizing", "pauli", "amplitude damping", "thermal", "rotated", "hot"])
def test_the_exact_sum_has_no_bias(name: str) -> None:
    rule = noise.NoiseModel().after(CHANNELS[name], ["cx"], on="targets").after(CHANNELS[name], ["ry"])
    model = pec(few(), PAIR, rule)
    np.testing.assert_allclose(model(*AT), kg.compile(few(), PAIR)(*AT), atol=1e-12)
    if name != "rotated":
        assert np.abs(kg.compile(rule.apply(few()), PAIR)(*AT) - model(*AT)).max() > 1e-3
    gradients = [m.forward(*AT)[1](np.ones((2, 2))) for m in (model, kg.compile(few(), PAIR))]
    np.testing.assert_allclose(gradients[0].weights, gradients[1].weights, atol=1e-11)
    np.testing.assert_allclose(gradients[0].inputs, gradients[1].inputs, atol=1e-11)


def test_words_fall_on_the_wires_of_their_channel() -> None:
    rule = noise.NoiseModel().after(noise.pauli({"XZ": 0.1, "IY": 0.05, "ZI": 0.02}), ["cx"])
    c = kg.Circuit(3).ry(0.4, 2).rx(0.9, 0).ry(0.3, 1).cx(2, 0).rx(0.5, 2)
    observables = [kg.Z(0), kg.X(2) @ kg.Y(0), kg.Y(2) @ kg.Z(1)]
    np.testing.assert_allclose(pec(c, observables, rule)(), kg.compile(c, observables)(), atol=1e-12)


@pytest.mark.parametrize("name", ["depolarizing", "amplitude damping"])
def test_samples_have_no_bias(name: str) -> None:
    rule = noise.NoiseModel().after(CHANNELS[name], n_wires=1).after(CHANNELS[name], ["cx"], on="each")
    ideal = kg.compile(few(), PAIR)(*AT)
    found = np.array([pec(few(), PAIR, rule, samples=12, seed=s)(*AT) for s in range(60)])
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - ideal) < 5 * error).all() and error.max() < 0.06
    again = pec(few(), PAIR, rule, samples=12, seed=7)
    np.testing.assert_array_equal(again(*AT), found[7])


def test_samples_in_a_batch_are_the_circuits_one_by_one() -> None:
    """Words are inputs of one circuit: the same as gates that are appended."""
    rule = noise.NoiseModel().after(noise.depolarizing(0.2), ["cx"], on="each")
    model = pec(few(), PAIR, rule)
    values = model.circuit_values(*AT)
    quasi = invert(noise.depolarizing(0.2))
    row = 0
    for a in quasi.operations:
        for b in quasi.operations:
            noisy = rule.apply(few())
            first = next(k for k, g in enumerate(noisy.gates) if g.spec.name == "channel")
            words = kg.Circuit(2)
            for letter, wire in ((a, 0), (b, 1)):
                words.append(str(letter).lower(), (), (wire,))
            noisy.gates[first + 2 : first + 2] = words.gates  # both come after both channels: they act on other wires
            np.testing.assert_allclose(values[:, row], kg.compile(noisy, PAIR)(*AT), atol=1e-12)
            row += 1
    assert row == model.n_circuits == 16


def test_wrong_beliefs_leave_a_bias() -> None:
    rule = noise.NoiseModel().after(noise.bit_flip(0.1), ["cx"], on="targets")
    c = kg.Circuit(2).cx(0, 1)
    for believed in (0.05, 0.1, 0.15):
        model = pec(c, kg.Z(1), rule, known=lambda _, p=believed: noise.bit_flip(p))
        assert model()[0] == pytest.approx((1 - 0.2) / (1 - 2 * believed))
    same = pec(c, kg.Z(1), rule, known=lambda channel: invert(channel))
    assert same()[0] == pytest.approx(1.0)
    nothing = pec(c, kg.Z(1), rule, known=lambda _: QuasiProbability(np.ones(1), ("I",)), samples=3)
    assert nothing()[0] == pytest.approx(0.8) and nothing.n_circuits == 1


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="no channels to cancel"):
        pec(circuit(), OBSERVABLES)
    with pytest.raises(ArgumentError, match=r"circuits, at most 4,096 are summed; give samples="):
        pec(circuit(), OBSERVABLES, MODEL)
    with pytest.raises(ArgumentError, match="shots must be from 1"):
        pec(circuit(), OBSERVABLES, MODEL, samples=0)


def test_many_samples_come_close(rng: np.random.Generator) -> None:
    (w, x), ideal = point(), kg.compile(circuit(), OBSERVABLES)
    model: Any = pec(circuit(), OBSERVABLES, MODEL, samples=2000, seed=1)
    raw = kg.compile(MODEL.apply(circuit()), OBSERVABLES)(w, x)
    assert np.abs(model(w, x) - ideal(w, x)).max() < 0.3 * np.abs(raw - ideal(w, x)).max()
