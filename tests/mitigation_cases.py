"""A noisy circuit, what it gives by dense matrices, and finite differences: for the tests of mitigation."""

from __future__ import annotations

from typing import Any

import numpy as np
from reference import Op, embed, op_matrix

import ketgrad as kg
from ketgrad import noise
from ketgrad.expressions import Expression

N = 3
OBSERVABLES = [kg.Z(0), kg.Z(1) @ kg.X(2) - 0.3]
MODEL = (
    noise.NoiseModel().after(noise.depolarizing(0.01), n_wires=1).after(noise.depolarizing(0.02, 2), gates=["cx", "cz"])
)


def circuit() -> kg.Circuit:
    """Weights, inputs, a product of both, a number, an inverse and a controlled gate."""
    out = kg.Circuit(N)
    w, x = out.weights((2, 3)), out.inputs(2)
    out.ry(x[0], 0).ry(2 * x[1] + 0.1, 1).rx(w[0, 0], 0).ry(w[0, 1], 1).rz(w[0, 2], 2).cx(0, 1).h(2)
    out.rx(w[1, 0] * x[0], 0).s(1, inverse=True).cz(1, 2).rot(w[1, 1], 0.2, w[1, 2], 2).cx(2, 0)
    return out


def point(seed: int = 5) -> tuple[Any, Any]:
    """Weights (2, 3) and inputs (4, 2)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 3)), rng.uniform(-1, 1, size=(4, 2))


def angle(value: Any, w: Any, x: Any) -> float:
    """The number an angle becomes."""
    if not isinstance(value, Expression):
        return float(value)
    known = {"w": np.ravel(w), "x": x}
    return float(sum(c * np.prod([known[k][i] for k, i in m]) for m, c in value.terms.items()))


def expectation(noisy: kg.Circuit, observable: kg.PauliSum, w: Any, x: Any) -> float:
    """tr(O rho) of one sample, gate by gate and operator by operator on a dense matrix."""
    n = noisy.n_wires
    rho = np.zeros((2**n, 2**n), dtype=complex)
    rho[0, 0] = 1
    for gate in noisy.gates:
        if gate.spec.name == "channel":
            operators = [embed(k, gate.wires, n) for k in gate.extra.kraus]
        else:
            params = tuple(angle(p, w, x) for p in gate.params)
            op = Op(gate.spec.name, params, gate.wires, gate.controls, gate.control_values, gate.inverse, gate.extra)
            operators = [op_matrix(op, n)]
        rho = sum(k @ rho @ k.conj().T for k in operators)
    return float(np.trace(observable.matrix(n) @ rho).real)


def table(noisy: kg.Circuit, observables: Any, w: Any, x: Any) -> Any:
    """(B, M) of `expectation`."""
    return np.array([[expectation(noisy, o, w, row) for o in observables] for row in x])


def assert_derivatives(model: Any, w: Any, x: Any, rng: Any, atol: float = 1e-7) -> None:
    """Pullback, Jacobian and tangents against central differences."""
    values, pullback = model.forward(w, x)
    c, step = rng.normal(size=values.shape), 1e-5
    found, jac = pullback(c), model.jacobian(w, x)
    assert found.weights.shape == np.shape(w) and found.inputs.shape == x.shape
    slopes = np.array([(model(w + step * e, x) - model(w - step * e, x)) / (2 * step) for e in units(w)])
    np.testing.assert_allclose(jac.weights, np.moveaxis(slopes, 0, -1), atol=atol)
    np.testing.assert_allclose(found.weights.ravel(), (slopes * c).sum(axis=(1, 2)), atol=atol)
    for k, e in enumerate(np.eye(x.shape[1])):
        slope = (model(w, x + step * e) - model(w, x - step * e)) / (2 * step)
        np.testing.assert_allclose(jac.inputs[..., k], slope, atol=atol)
        np.testing.assert_allclose(found.inputs[:, k], (slope * c).sum(axis=1), atol=atol)
    dw, dx = rng.normal(size=np.shape(w)), rng.normal(size=x.shape)
    along = jac.weights @ dw.ravel() + np.einsum("bmf,bf->bm", jac.inputs, dx)
    np.testing.assert_allclose(model.tangents(w, x, dw, dx), along, atol=1e-12)


def units(w: Any) -> Any:
    """Unit vectors of weights, in their shape."""
    return np.eye(np.size(w)).reshape(-1, *np.shape(w))
