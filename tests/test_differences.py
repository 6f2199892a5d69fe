"""Gradients from values alone: central differences and simultaneous perturbation, exact and with shots."""

from __future__ import annotations

import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

import ketgrad as kg
from ketgrad import errors
from ketgrad.gradients import differences
from ketgrad.model import METHODS

W, X = np.array([0.6, -1.1]), np.array([[0.5], [-0.4]])


def small(backend: str | None = None, dtype: str = "complex128") -> kg.Model:
    circuit = kg.Circuit(2)
    w, x = circuit.weights(2), circuit.inputs(1)
    circuit.ry(x[0], 0).crx(w[0], 0, 1).rx(w[1] * x[0], 0).ry(w[1], 1)
    return kg.compile(circuit, [kg.Z(0), 0.5 * kg.X(0) @ kg.Y(1) + kg.Z(1)], dtype=dtype, backend=backend)


@given(seed=st.integers(0, 2**32 - 1), batch=st.sampled_from([None, 1, 3]))
def test_central_differences(backend: str, seed: int, batch: int | None):
    rng = np.random.default_rng(seed)
    recipe = strategies.random_recipe(rng, 3, 8, 2, 2)
    w, x = recipe.arguments(rng, batch or 1)
    x = x if batch else x[0]
    observables = [strategies.random_observable(rng, 3)[0] for _ in range(2)]
    model = kg.compile(recipe.circuit(), observables, backend=backend)
    exact, found = model.jacobian(w, x), model.jacobian(w, x, method="finite-difference")
    for a, b in zip(found[:2], exact[:2], strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-7 * (1 + np.abs(b).max(initial=0)))
    assert found.weights_variance is None


@pytest.mark.parametrize("method", METHODS)
def test_pullbacks_of_every_method(backend, method):
    model = small(backend)
    cotangents = np.array([[1.0, 2.0], [-0.5, 0.3]])
    wanted = model.forward(W, X)[1](cotangents)
    values, pullback = model.forward(W, X, method=method, seed=1, directions=20_000)
    got = pullback(cotangents)
    atol = 0.06 if method == "spsa" else 1e-8
    np.testing.assert_allclose(values, model(W, X), atol=1e-12)
    np.testing.assert_allclose(got.weights, wanted.weights, rtol=0, atol=atol)
    np.testing.assert_allclose(got.inputs, wanted.inputs, rtol=0, atol=atol)


def test_single_precision_takes_a_longer_step(backend):
    model = small(backend, "complex64")
    found = model.jacobian(W, X, method="finite-difference").weights
    np.testing.assert_allclose(found, small(backend).jacobian(W, X).weights, rtol=0, atol=1e-3)
    short = model.jacobian(W, X, method="finite-difference", step=1e-7).weights
    assert np.abs(short - found).max() > 1e-2  # rounding, divided by the step


@pytest.mark.parametrize(
    ("method", "options", "shots"),
    [("finite-difference", {}, 60), ("spsa", {"directions": 8}, 60), ("spsa", {"directions": 8}, None)],
)
def test_estimates_are_unbiased_and_know_their_variance(method, options, shots):
    """Against the differences' own expectation: that of finite steps, from exact values."""
    model, repeats, step = small(), 600, 0.4
    biased = model.jacobian(W, X, method="finite-difference", step=step)
    drawn = [model.jacobian(W, X, method=method, shots=shots, seed=s, step=step, **options) for s in range(repeats)]
    for kind in ("weights", "inputs"):
        found = np.array([getattr(j, kind) for j in drawn])
        reported = np.array([getattr(j, f"{kind}_variance") for j in drawn]).mean(axis=0)
        spread = found.std(axis=0, ddof=1)
        if method == "finite-difference":  # SPSA's bias has other terms of the same order
            z = (found.mean(axis=0) - getattr(biased, kind)) / (spread / np.sqrt(repeats))
            assert np.abs(z).max() < 4.5, z
        ratio = reported / spread**2
        assert np.all((0.75 < ratio) & (ratio < 1.33)), ratio


def test_spsa_over_all_directions_is_the_gradient():
    """With a small step a slope is gradient . d, and d d^T averages to the unit matrix."""
    model = small()
    found = model.jacobian(W, X, method="spsa", seed=0, directions=20_000)
    exact = model.jacobian(W, X)
    for a, b, v in zip(found[:2], exact[:2], found[2:], strict=True):
        assert np.abs((a - b) / np.sqrt(v + 1e-12)).max() < 4.5


def test_random_directions_follow_the_seed():
    model = small()
    one, two, other = (model.jacobian(W, X, method="spsa", seed=s).weights for s in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    assert model.jacobian(W, X, method="spsa", seed=1).weights_variance is None  # one direction has no spread


def test_pieces_change_nothing(monkeypatch):
    model = small()
    options = {"method": "finite-difference", "step": 1e-3}
    whole = model.jacobian(W, X, **options).weights
    monkeypatch.setattr(differences, "CHUNK_ENTRIES", 7)
    np.testing.assert_allclose(model.jacobian(W, X, **options).weights, whole, rtol=0, atol=1e-11)
    many = model.jacobian(W, X, method="spsa", seed=1, directions=4000).weights
    np.testing.assert_allclose(many, model.jacobian(W, X).weights, rtol=0, atol=0.2)


def test_a_circuit_without_parameters():
    model = kg.compile(kg.Circuit(1).h(0), kg.X(0))
    for method in METHODS:
        assert model.jacobian(method=method).weights.shape == (1, 0)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"step": 0.0}, errors.ArgumentError, "above 0"),
        ({"step": float("nan")}, errors.ArgumentError, "nan"),
        ({"step": "small"}, errors.ArgumentTypeError, "radians"),
        ({"directions": 0}, errors.ArgumentError, "got 0"),
        ({"directions": 1.5}, errors.ArgumentTypeError, "integer"),
    ],
)
def test_what_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        small().jacobian(W, X, method="spsa", **options)
    with pytest.raises(errors.ArgumentError, match="Did you mean 'finite-difference'"):
        small().jacobian(W, X, method="finite-differences")
