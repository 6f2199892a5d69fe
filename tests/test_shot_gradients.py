"""Gradients and values from finite shots: unbiased, and their reported variance is the observed one."""

from __future__ import annotations

import numpy as np
import pytest

import ketgrad as kg
from ketgrad.errors import ArgumentError
from ketgrad.gradients.shifted_shots import ShiftedShots, allocated


def shot_model(backend: str) -> tuple[kg.Model, np.ndarray, np.ndarray]:
    circuit = kg.Circuit(3)
    w, x = circuit.weights(3), circuit.inputs(2)
    circuit.ry(x[0], 0).crx(w[0], 0, 1).rx(w[1] * x[1], 2).cx(1, 2).single_excitation(w[2], 0, 2).ry(w[1], 1)
    observables = [
        kg.Z(0),
        0.5 * kg.X(1) @ kg.Y(2) - 0.3 * kg.Z(1) + 0.2 * kg.I(),
        kg.Projector("10", (2, 0)) + 0.5 * kg.Z(0) @ kg.Z(2),
        kg.Hermitian([[0.2, 0.5 - 0.1j], [0.5 + 0.1j, -0.7]], (2,)),
    ]
    model = kg.compile(circuit, observables, backend=backend)
    return model, np.array([0.6, -1.1, 2.0]), np.array([[0.5, 0.8], [-0.4, 1.9]])


def test_shot_estimates_are_unbiased_and_know_their_variance(backend):
    model, weights, inputs = shot_model(backend)
    shots, repeats = 100, 400
    drawn = [model.estimate(weights, inputs, shots=shots, seed=s) for s in range(repeats)]
    means, variances = (np.array(a) for a in zip(*drawn, strict=True))
    spread = means.std(axis=0, ddof=1)
    z = (means.mean(axis=0) - model(weights, inputs)) / (spread / np.sqrt(repeats))
    assert np.abs(z).max() < 4.5, z
    ratio = variances.mean(axis=0) / spread**2
    # the terms of one observable that share a setting share its shots, and the variance counts that
    assert np.all((0.75 < ratio) & (ratio < 1.33)), ratio


@pytest.mark.parametrize("allocation", ["uniform", "variance"])
def test_shot_gradients_are_unbiased_and_know_their_variance(backend, allocation):
    model, weights, inputs = shot_model(backend)
    shots, repeats = 50, 300
    exact = model.jacobian(weights, inputs)
    drawn = [model.jacobian(weights, inputs, shots=shots, seed=1000 + s, allocation=allocation) for s in range(repeats)]
    for kind in ("weights", "inputs"):
        estimates = np.array([getattr(j, kind) for j in drawn])
        reported = np.array([getattr(j, f"{kind}_variance") for j in drawn]).mean(axis=0)
        spread = estimates.std(axis=0, ddof=1)
        deviation = estimates.mean(axis=0) - getattr(exact, kind)
        noisy = spread > 1e-9
        z = deviation[noisy] / (spread[noisy] / np.sqrt(repeats))
        assert np.abs(z).max() < 4.5, z
        np.testing.assert_allclose(deviation[~noisy], 0, atol=1e-9)
        ratio = reported[noisy] / spread[noisy] ** 2
        assert np.all((0.65 < ratio) & (ratio < 1.5)), ratio
        np.testing.assert_allclose(reported[~noisy], 0, atol=1e-12)


def test_more_shots_come_closer(backend):
    model, weights, inputs = shot_model(backend)
    exact = model.jacobian(weights, inputs).weights
    error = [
        np.abs(model.jacobian(weights, inputs, shots=shots, seed=3).weights - exact).max() for shots in (100, 100_000)
    ]
    assert error[1] < error[0] / 5 and error[1] < 0.03


def test_same_seed_same_shots_and_a_generator_moves_on(backend):
    model, weights, inputs = shot_model(backend)
    a, b = (model.jacobian(weights, inputs, shots=20, seed=9) for _ in range(2))
    np.testing.assert_array_equal(a.weights, b.weights)
    generator = np.random.default_rng(9)
    c, d = (model.jacobian(weights, inputs, shots=20, seed=generator) for _ in range(2))
    np.testing.assert_array_equal(a.weights, c.weights)
    assert np.any(c.weights != d.weights)


def test_shots_pullback_uses_parameter_shift(backend):
    model, weights, inputs = shot_model(backend)
    values, pullback = model.forward(weights, inputs, shots=200_000, seed=2)
    np.testing.assert_allclose(values, model(weights, inputs), atol=0.02)
    cotangents = np.ones(values.shape)
    exact = model.forward(weights, inputs)[1](cotangents)
    np.testing.assert_allclose(pullback(cotangents).weights, exact.weights, atol=0.1)
    with pytest.raises(ArgumentError, match="takes no shots"):
        model.forward(weights, inputs, method="adjoint", shots=10)


# where the shots go


def test_shots_are_allocated_in_proportion():
    found = allocated(1000, np.array([1.0, 0.0, 3.0, 0.0]))
    assert found.sum() == 1000 and found.tolist() == [250, 2, 746, 2]
    assert allocated(10, np.zeros(3)).tolist() in ([4, 3, 3], [3, 4, 3], [3, 3, 4])
    rng = np.random.default_rng(0)
    for _ in range(50):
        deviation = rng.exponential(size=rng.integers(1, 40))
        total = int(rng.integers(2 * deviation.size, 5000))
        found = allocated(total, deviation)
        assert found.sum() == total and found.min() >= 2
        wanted = 2 + (total - 2 * deviation.size) * deviation / deviation.sum()
        assert np.abs(found - wanted).max() < 1


def uneven_model(backend: str) -> tuple[kg.Model, np.ndarray]:
    """One angle matters ten times as much as the others."""
    circuit = kg.Circuit(3)
    w = circuit.weights(4)
    circuit.ry(w[0], 0).ry(w[1], 1).rz(w[2], 2).ry(10 * w[3], 2)
    return kg.compile(circuit, [0.1 * kg.Z(0) + 0.1 * kg.Z(1) + kg.Z(2)], backend=backend), np.array(
        [0.3, 0.8, 1.0, 0.1]
    )


def test_allocation_by_variance_lowers_it_at_the_same_price(backend, monkeypatch):
    model, weights = uneven_model(backend)
    asked = []
    draw = ShiftedShots._draw

    def counted(self, shared, per_sample, shifts, shots, *args, **options):
        asked.append(int(shots.sum()))
        return draw(self, shared, per_sample, shifts, shots, *args, **options)

    monkeypatch.setattr(ShiftedShots, "_draw", counted)
    variance, price = {}, {}
    for allocation in ("uniform", "variance"):
        asked.clear()
        found = [model.jacobian(weights, shots=200, seed=s, allocation=allocation) for s in range(20)]
        price[allocation] = sum(asked)
        variance[allocation] = np.mean([j.weights_variance.sum() for j in found])
    assert price["variance"] == price["uniform"] == 20 * 200 * 8
    assert variance["variance"] < 0.7 * variance["uniform"], variance


def test_allocation_without_any_spread(backend):
    """All outcomes are certain: the shots are spread evenly and the gradient is exact."""
    circuit = kg.Circuit(2)
    w = circuit.weights(2)
    model = kg.compile(circuit.rz(w[0], 0).rz(w[1], 1), [kg.Z(0), kg.Z(1)], backend=backend)
    found = model.jacobian([0.1, 0.2], shots=10, seed=0, allocation="variance")
    np.testing.assert_allclose(found.weights, 0, atol=1e-15)
    assert not found.weights_variance.any()


def test_wrong_allocations_are_refused(backend):
    model, weights = uneven_model(backend)
    with pytest.raises(ArgumentError, match="allocation must be one of .*'variance'"):
        model.jacobian(weights, shots=100, allocation="varience")
    for shots in (None, 9):
        with pytest.raises(ArgumentError, match="at least 10 shots"):
            model.jacobian(weights, shots=shots, method="parameter-shift", allocation="variance")


def test_a_model_without_trained_angles_has_an_empty_gradient(backend):
    model = kg.compile(kg.Circuit(1).x(0), kg.Z(0), backend=backend)
    for allocation in ("uniform", "variance"):
        found = model.jacobian(shots=20, seed=0, allocation=allocation)
        assert found.weights.shape == found.weights_variance.shape == (1, 0)
