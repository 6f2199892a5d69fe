"""The circuit, the model and the loss of the tests of `kg.jax`, as fixtures to import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import ketgrad as kg

jax = pytest.importorskip("jax")
jnp = jax.numpy
N, BATCH = 3, 4
OBSERVABLES = [kg.Z(0), kg.X(1) @ kg.Z(2) + 0.3 * kg.Z(1) - 0.5]


@pytest.fixture(autouse=True)
def x64() -> Iterator[None]:
    """64 bits in each of these tests, and afterwards as before."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def circuit() -> kg.Circuit:
    """Angles of every kind: weights, inputs, products of both; a start that is not |0...0>."""
    out = kg.Circuit(N)
    x, w = out.inputs(N), out.weights((2, N, 2))
    out.prepare(np.arange(1.0, 9.0) / np.linalg.norm(np.arange(1.0, 9.0)))
    for layer in range(2):
        for q in range(N):
            out.ry(np.pi * x[q], q).rx(2 * w[layer, q, 0] + 0.1, q)
            out.rz(w[layer, q, 1] * x[q] + w[layer, q, 0] * w[layer, q, 1], q)
        for q in range(N):
            out.crx(w[0, q, 1], q, (q + 1) % N)
    return out


@pytest.fixture(scope="module")
def model() -> kg.Model:
    return kg.compile(circuit(), OBSERVABLES)


@pytest.fixture(scope="module")
def f(model: kg.Model) -> Any:
    return kg.jax.function(model)


@pytest.fixture
def point(rng: np.random.Generator) -> tuple[Any, Any]:
    return rng.normal(size=(2, N, 2)), rng.uniform(-1, 1, size=(BATCH, N))


def assert_same(got: Any, wanted: Any, atol: float = 1e-12) -> None:
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=atol)


def loss(f: Any) -> Callable[..., Any]:
    return lambda w, x: (f(w, x) ** 2 * jnp.array([1.0, -0.7])).sum()
