"""Gradients and values from finite shots: unbiased, and their reported variance is the observed one."""

from __future__ import annotations

import numpy as np
import pytest

import ketgrad as kg
from ketgrad.errors import ArgumentError


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


def test_shot_gradients_are_unbiased_and_know_their_variance(backend):
    model, weights, inputs = shot_model(backend)
    shots, repeats = 50, 300
    exact = model.jacobian(weights, inputs)
    drawn = [model.jacobian(weights, inputs, shots=shots, seed=1000 + s) for s in range(repeats)]
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
