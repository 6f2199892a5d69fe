"""Tangents and second derivatives of models, against differences of values and of gradients."""

from __future__ import annotations

import numpy as np
import strategies
from hypothesis import given
from hypothesis import strategies as st

import ketgrad as kg

EPS = 1e-6


def drawn(
    seed: int, n: int, batch: int | None
) -> tuple[kg.Circuit, list[kg.PauliSum], list[np.ndarray], np.random.Generator]:
    rng = np.random.default_rng(seed)
    recipe = strategies.random_recipe(rng, n, 8, 2, 2)
    observables = [strategies.random_observable(rng, n)[0] for _ in range(2)]
    w, x = recipe.arguments(rng, batch or 1)
    dw, dx = recipe.arguments(rng, batch or 1)
    arrays = [w, x, dw, dx] if batch else [w, x[0], dw, dx[0]]
    return recipe.circuit(), observables, arrays, rng


def difference(f, w, x, dw, dx):  # type: ignore[no-untyped-def]
    ahead, behind = f(w + EPS * dw, x + EPS * dx), f(w - EPS * dw, x - EPS * dx)
    return [(a - b) / (2 * EPS) for a, b in zip(ahead, behind, strict=True)]


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 3), batch=st.sampled_from([None, 1, 3]))
def test_tangents(backend: str, seed: int, n: int, batch: int | None):
    circuit, observables, (w, x, dw, dx), _ = drawn(seed, n, batch)
    model = kg.compile(circuit, observables, backend=backend)
    (wanted,) = difference(lambda w, x: [model(w, x)], w, x, dw, dx)
    assert np.allclose(model.tangents(w, x, dw, dx), wanted, rtol=0, atol=1e-6)
    (wanted,) = difference(lambda w, x: [model.state(w, x)], w, x, dw, dx)
    assert np.allclose(model.state_tangents(w, x, dw, dx), wanted, rtol=0, atol=1e-6)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 3), batch=st.sampled_from([None, 1, 3]))
def test_gradient_change(backend: str, seed: int, n: int, batch: int | None):
    circuit, observables, (w, x, dw, dx), rng = drawn(seed, n, batch)
    model = kg.compile(circuit, observables, backend=backend)
    lead = (batch,) if batch else ()
    cotangents = rng.normal(size=(*lead, 2))
    bras = rng.normal(size=(*lead, 2**n)) + 1j * rng.normal(size=(*lead, 2**n))
    weights = rng.normal(size=(*lead, 2**n))

    def quadratic(states: np.ndarray, samples: np.ndarray) -> np.ndarray:
        return np.atleast_2d(weights)[samples] * states

    cases = (
        ({"cotangents": cotangents}, lambda w, x: model.forward(w, x)[1](cotangents)),
        ({"bras": bras}, lambda w, x: model.forward_state(w, x)[1](bras)),
        ({"bras": quadratic}, lambda w, x: pulled(model, weights, w, x)),
        ({"cotangents": cotangents, "bras": bras}, lambda w, x: model.forward(w, x)[1](cotangents, bras=bras)),
    )
    for options, gradient in cases:
        wanted = difference(lambda w, x, g=gradient: g(w, x)[:2], w, x, dw, dx)
        got = model.gradient_change(w, x, dw, dx, **options)
        assert got.weights.shape == w.shape and got.inputs.shape == x.shape
        for a, b in zip(got[:2], wanted, strict=True):
            assert np.allclose(a, b, rtol=0, atol=1e-5 * (1 + np.abs(b).max(initial=0)))


def pulled(model: kg.Model, weights: np.ndarray, w: np.ndarray, x: np.ndarray) -> kg.Gradients:
    states, pull = model.forward_state(w, x)
    return pull(weights * states)


def test_a_hessian_by_hand(backend: str):
    circuit = kg.Circuit(1)
    a = circuit.weights(2)
    circuit.ry(a[0], 0).rx(a[1], 0)
    model = kg.compile(circuit, kg.Z(0), backend=backend)
    w = np.array([1.0, 2.0])
    rows = [model.gradient_change(w, None, e, None, cotangents=[1.0]).weights for e in np.eye(2)]
    off, on = np.sin(1.0) * np.sin(2.0), -np.cos(1.0) * np.cos(2.0)
    assert np.allclose(rows, [[on, off], [off, on]], rtol=0, atol=1e-12)
