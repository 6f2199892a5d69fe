"""Mitigated models where models go: torch, JAX, objectives and optimisers, a network that is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mitigation_cases import MODEL, OBSERVABLES, circuit, point

import ketgrad as kg
from ketgrad.errors import ArgumentTypeError
from ketgrad.mitigation import cdr, verified, zne

MAKERS = {
    "zne": lambda: zne(circuit(), OBSERVABLES, MODEL, scales=(1, 3), extrapolate="linear"),
    "verified": lambda: verified(circuit(), OBSERVABLES, kg.Z(0) @ kg.Z(2), MODEL),
    "cdr": lambda: cdr(circuit(), OBSERVABLES, MODEL, training=4, differentiate=True),
}


@pytest.fixture(scope="module", params=MAKERS)
def model(request: pytest.FixtureRequest) -> Any:
    return MAKERS[request.param]()


def test_torch(model: Any) -> None:
    torch = pytest.importorskip("torch")
    w, x = point()
    layer = kg.torch.Layer(model, init=w, dtype=torch.float64)
    inputs = torch.tensor(x, requires_grad=True)
    values = layer(inputs)
    wanted, pullback = model.forward(w, x)
    np.testing.assert_allclose(values.detach(), wanted, atol=1e-12)
    (values**2).sum().backward()
    found = pullback(2 * wanted)
    np.testing.assert_allclose(next(layer.parameters()).grad, found.weights, atol=1e-11)
    np.testing.assert_allclose(inputs.grad, found.inputs, atol=1e-11)
    raw = kg.torch.Layer(kg.compile(circuit(), OBSERVABLES), init=w, dtype=torch.float64)
    assert (raw(inputs) - values).detach().abs().max() > 1e-5  # the two are not taken for one another
    shots = kg.torch.Layer(model, init=w, dtype=torch.float64, shots=50_000, seed=1)
    assert 0 < np.abs(shots(inputs).detach().numpy() - wanted).max() < 0.2


def test_torch_second_derivatives_of_a_fixed_combination() -> None:
    torch = pytest.importorskip("torch")
    w, x = point()
    layer = kg.torch.Layer(MAKERS["zne"](), init=w, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(layer, (torch.tensor(x[:1], requires_grad=True),), atol=1e-5)


def test_jax(model: Any) -> None:
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        w, x = point()
        f = kg.jax.function(model)
        wanted, pullback = model.forward(w, x)
        np.testing.assert_allclose(jax.jit(f)(w, x), wanted, atol=1e-12)
        both = jax.jit(jax.grad(lambda w, x: (f(w, x) ** 2).sum(), (0, 1)))(w, x)
        found = pullback(2 * wanted)
        np.testing.assert_allclose(both[0], found.weights, atol=1e-11)
        np.testing.assert_allclose(both[1], found.inputs, atol=1e-11)
        several = np.stack([w, w + 0.1, w - 0.2])
        np.testing.assert_allclose(jax.vmap(f, (0, None))(several, x), [model(v, x) for v in several], atol=1e-12)
        each = jax.vmap(jax.grad(lambda w, x: f(w, x).sum(), (0, 1)), (0, None))(several, x)
        alone = [model.forward(v, x)[1](np.ones((4, 2))) for v in several]
        np.testing.assert_allclose(each[0], [g.weights for g in alone], atol=1e-11)
        np.testing.assert_allclose(each[1], [g.inputs for g in alone], atol=1e-11)
        jac = model.jacobian(w, x)
        reverse, forward = jax.jacrev(f)(w, x), jax.jacfwd(f)(w, x)
        np.testing.assert_allclose(reverse.reshape(4, 2, 6), jac.weights, atol=1e-11)
        np.testing.assert_allclose(forward.reshape(4, 2, 6), jac.weights, atol=1e-11)
        rows = jax.vmap(jax.grad(lambda w, x: f(w, x).sum()), (None, 0))(w, x)
        np.testing.assert_allclose(rows.reshape(4, 6), jac.weights.sum(axis=1), atol=1e-11)
        if model.coefficients is not None:
            hessian = jax.hessian(lambda w: f(w, x).sum())(w).reshape(6, 6)
            step = np.eye(6).reshape(6, 2, 3) * 1e-5
            slopes = [
                (jax.grad(lambda w: f(w, x).sum())(w + e) - jax.grad(lambda w: f(w, x).sum())(w - e)) / 2e-5
                for e in step
            ]
            np.testing.assert_allclose(hessian, np.reshape(slopes, (6, 6)), atol=1e-6)
    finally:
        jax.config.update("jax_enable_x64", before)


def test_objectives(model: Any) -> None:
    from ketgrad.objective import Objective

    w, x = point()
    objective = Objective(model, x, lambda v: (float((v**2).mean()), 2 * v / v.size))
    values, pullback = model.forward(w, x)
    value, gradient = objective.value_and_gradient(w)
    assert value == pytest.approx((values**2).mean()) == objective(w)
    np.testing.assert_allclose(gradient, pullback(2 * values / values.size).weights, atol=1e-12)
    with pytest.raises(ArgumentTypeError, match="no metric tensor"):
        objective.metric(w)
    found = kg.optimise.minimise(objective, w, kg.optimise.SPSA(a=0.2, seed=1), steps=30)
    assert found.value < value


def test_a_network_is_trained_with_it() -> None:
    from ketgrad.hybrid import Classifier

    rng = np.random.default_rng(3)
    features, labels = rng.normal(size=(24, 2)), np.arange(24) % 2
    features[:, 0] += 3 * labels
    network = Classifier.create(features, [0, 1], qubits=2, layers=1, rng=rng)
    network.model = zne(network.model.circuit, network.model.observables, MODEL, scales=(1, 3), extrapolate="linear")
    x, targets = network.standardise(features), network.targets(labels)
    losses = []
    for _ in range(60):
        loss, _, gradient = network.loss_and_gradient(x, targets)
        network.theta -= 0.5 * gradient
        losses.append(loss)
    assert losses[-1] < 0.5 * losses[0] and network.score(features, labels) > 0.85
