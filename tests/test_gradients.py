"""Three ways to a gradient that share no code: adjoint, parameter-shift, central differences of the oracle's values."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import reference
import strategies
from conftest import BACKENDS, Precision
from hypothesis import given
from hypothesis import strategies as st
from reference import Op
from strategies import Recipe, recipes

import ketgrad as kg
from ketgrad.errors import NotDifferentiableError
from ketgrad.gates import GATES

seeds = st.integers(0, 2**32 - 1)
DIFFERENTIABLE = [s for s in GATES if s.params]
EXACT, DIFFERENCE = 1e-10, 1e-7


def jacobians(model: kg.Model, weights: np.ndarray, inputs: np.ndarray) -> dict[str, kg.Jacobian]:
    """d values / d parameters by every route of the model: two engines, and row by row through the pullback."""
    out = {m: model.jacobian(weights, inputs, method=m) for m in ("adjoint", "parameter-shift")}
    for method in ("adjoint", "parameter-shift"):
        values, pullback = model.forward(weights, inputs, method=method)
        rows_w, rows_x = [], []
        for index in np.ndindex(values.shape):
            seed = np.zeros(values.shape)
            seed[index] = 1.0
            g = pullback(seed)
            rows_w.append(g.weights)
            rows_x.append(g.inputs[index[0]] if values.ndim == 2 else g.inputs)
        shape = values.shape
        out[f"{method} pullback"] = kg.Jacobian(
            np.reshape(rows_w, (*shape, -1)) if model.n_weights else np.zeros((*shape, 0)),
            np.reshape(rows_x, (*shape, -1)) if model.n_inputs else np.zeros((*shape, 0)),
        )
    return out


def assert_routes_agree(model: kg.Model, weights: np.ndarray, inputs: np.ndarray, atol: float = EXACT) -> kg.Jacobian:
    found = jacobians(model, weights, inputs)
    first = found["adjoint"]
    for name, other in found.items():
        np.testing.assert_allclose(other.weights, first.weights, atol=atol, err_msg=f"{name}, weights")
        np.testing.assert_allclose(other.inputs, first.inputs, atol=atol, err_msg=f"{name}, inputs")
    return first


def central_differences(f, at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """(..., size) derivatives of f by every entry of `at`."""
    out = []
    for i in range(at.size):
        up, down = at.copy(), at.copy()
        up.flat[i] += step
        down.flat[i] -= step
        out.append((f(up) - f(down)) / (2 * step))
    return np.stack(out, axis=-1) if out else np.zeros((*f(at).shape, 0))


def oracle_values(recipe: Recipe, operators: list[np.ndarray], weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """(M,) for one sample."""
    psi = reference.run(recipe.n, recipe.ops(weights, inputs))
    return np.array([reference.expectation(psi, o) for o in operators])


# every gate that has a parameter


@pytest.mark.parametrize("spec", DIFFERENTIABLE, ids=lambda s: s.name)
def test_every_parametrised_gate(spec, engine, rng):
    """With and without further controls, forwards and inverse, on a random state, for sums of words."""
    sizes = [spec.wires] if spec.wires is not None else [1, 3]
    for k, n_controls, inverse in itertools.product(sizes, (0, 1, 2), (False, True)):
        n = max(2, k + n_controls)
        order = [int(w) for w in rng.permutation(n)]
        own, controls = tuple(order[:k]), tuple(order[k : k + n_controls])
        values = tuple(int(v) for v in rng.integers(0, 2, n_controls))
        extra = reference.random_extra(spec.extra, k, rng)
        psi = reference.random_state(n, rng)
        pairs = [strategies.random_observable(rng, n, ("sum",)) for _ in range(2)]
        operators = [o for _, o in pairs]
        circuit = kg.Circuit(n).prepare(psi)
        w = circuit.weights(len(spec.params))
        circuit.append(spec.name, list(w), own, controls=controls, control_values=values, inverse=inverse, extra=extra)
        model = kg.compile(circuit, [ours for ours, _ in pairs], backend=engine)
        angles = rng.uniform(-7, 7, len(spec.params))
        found = assert_routes_agree(model, angles, np.zeros(0))

        def f(t, own=own, controls=controls, values=values, inverse=inverse, extra=extra, psi=psi, operators=operators):
            state = reference.apply_op(psi, Op(spec.name, tuple(t), own, controls, values, inverse, extra))
            return np.array([reference.expectation(state, o) for o in operators])

        np.testing.assert_allclose(model(angles), f(angles), atol=1e-11)
        np.testing.assert_allclose(found.weights, central_differences(f, angles), atol=DIFFERENCE)


@pytest.mark.parametrize("spec", DIFFERENTIABLE, ids=lambda s: s.name)
def test_every_parametrised_gate_inside_a_larger_circuit(spec, backend, precision: Precision, rng):
    """Ten wires: between other gates, in a batch, angles per sample; adjoint against parameter-shift."""
    n, batch = 10, 3
    k = spec.wires if spec.wires is not None else 3
    circuit = kg.Circuit(n)
    x, w = circuit.inputs(len(spec.params)), circuit.weights(2)
    for q in range(n):
        circuit.ry(0.3 + 0.2 * q, q)
    circuit.ry(w[0], 0)
    for _ in range(3):
        order = [int(q) for q in rng.permutation(n)]
        circuit.append(
            spec.name,
            list(x),
            order[:k],
            controls=order[k : k + 1],
            control_values=[int(rng.integers(2))],
            extra=reference.random_extra(spec.extra, k, rng),
        )
        for q in range(0, n - 1, 2):
            circuit.cx(order[q], order[q + 1])
        circuit.rxx(w[1], order[0], order[1])
    model = kg.compile(
        circuit, [kg.Z(0) @ kg.X(9), kg.Y(3), kg.Projector("01", (2, 8))], dtype=precision.dtype, backend=backend
    )
    weights, inputs = rng.uniform(-3, 3, 2), rng.uniform(-3, 3, (batch, len(spec.params)))
    a, b = (model.jacobian(weights, inputs, method=m) for m in ("adjoint", "parameter-shift"))
    atol = 1e-10 if precision.dtype == "complex128" else 2e-4
    np.testing.assert_allclose(a.weights, b.weights, atol=atol)
    np.testing.assert_allclose(a.inputs, b.inputs, atol=atol)


# random circuits


@given(recipe=recipes(max_wires=4, max_length=10), seed=seeds)
def test_random_circuits(backend, recipe, seed):
    """Weights, inputs, products of them, repeated at will; Jacobians that are not square; batches."""
    rng = np.random.default_rng(seed)
    batch = int(rng.integers(1, 4))
    weights, inputs = recipe.arguments(rng, batch)
    if seed % 3 == 0:
        weights[:] = 0.7  # equal values must not be taken for one parameter
        inputs[:] = 0.7
    pairs = [strategies.random_observable(rng, recipe.n) for _ in range(int(rng.integers(1, 5)))]
    operators = [o for _, o in pairs]
    model = kg.compile(recipe.circuit(), [ours for ours, _ in pairs], backend=backend)
    found = assert_routes_agree(model, weights, inputs)
    assert found.weights.shape == (batch, len(pairs), recipe.n_weights)
    assert found.inputs.shape == (batch, len(pairs), recipe.n_inputs)
    for b, row in enumerate(inputs):
        by_w = central_differences(lambda v, row=row: oracle_values(recipe, operators, v, row), weights)
        by_x = central_differences(lambda v: oracle_values(recipe, operators, weights, v), row)
        scale = max(1.0, np.abs(by_w).max(initial=0), np.abs(by_x).max(initial=0))
        np.testing.assert_allclose(found.weights[b], by_w, atol=DIFFERENCE * scale)
        np.testing.assert_allclose(found.inputs[b], by_x, atol=DIFFERENCE * scale)


@given(recipe=recipes(max_wires=6, max_length=20), seed=seeds)
def test_pullback_is_the_jacobian_times_the_cotangents(backend, recipe, seed):
    rng = np.random.default_rng(seed)
    weights, inputs = recipe.arguments(rng, int(rng.choice([1, 5, 35])))
    observables = [strategies.random_observable(rng, recipe.n)[0] for _ in range(3)]
    model = kg.compile(recipe.circuit(), observables, backend=backend)
    jacobian = model.jacobian(weights, inputs)
    cotangents = rng.normal(size=(len(inputs), 3))
    gradients = model.forward(weights, inputs)[1](cotangents)
    np.testing.assert_allclose(gradients.weights, np.einsum("bm,bmp->p", cotangents, jacobian.weights), atol=1e-9)
    np.testing.assert_allclose(gradients.inputs, np.einsum("bm,bmf->bf", cotangents, jacobian.inputs), atol=1e-10)


@given(recipe=recipes(max_wires=5, max_length=16), seed=seeds)
def test_single_precision_stays_close(backend, recipe, seed):
    rng = np.random.default_rng(seed)
    weights, inputs = recipe.arguments(rng, 2)
    word = kg.PauliSum.from_words([(1.0, "".join(rng.choice(list("XYZ"), size=recipe.n)))])
    cotangents = rng.normal(size=(2, 1))
    fine, coarse = (
        kg.compile(recipe.circuit(), word, dtype=d, backend=backend).forward(weights, inputs)[1](cotangents)
        for d in ("complex128", "complex64")
    )
    assert coarse.weights.dtype == coarse.inputs.dtype == np.float64
    np.testing.assert_allclose(coarse.weights, fine.weights, atol=1e-3)
    np.testing.assert_allclose(coarse.inputs, fine.inputs, atol=1e-3)


@pytest.mark.parametrize("n", [12, 14])
def test_circuits_larger_than_a_block(backend, n, rng):
    """More than 4,096 amplitudes: sums over several blocks, one state shared by the threads."""
    recipe = strategies.random_recipe(rng, n, 30, n_weights=4, n_inputs=2)
    weights, inputs = recipe.arguments(rng, 1)
    model = kg.compile(recipe.circuit(), [kg.Z(0) @ kg.Y(n - 1), kg.X(1), kg.Projector("1", (2,))], backend=backend)
    assert_routes_agree(model, weights, inputs)


# parameters used many times


def test_one_parameter_in_many_gates_adds_up(backend):
    circuit = kg.Circuit(1)
    w = circuit.weights(1)
    for _ in range(5):
        circuit.rx(w[0], 0)
    circuit.rx(-2 * w[0] + 0.1, 0)
    model = kg.compile(circuit, kg.Z(0), backend=backend)
    found = assert_routes_agree(model, np.array([0.4]), np.zeros(0))
    np.testing.assert_allclose(found.weights, [[-3 * np.sin(3 * 0.4 + 0.1)]], atol=1e-12)


def test_equal_values_of_distinct_parameters_stay_apart(backend):
    """<Z> = cos(a + 2b): the derivatives differ although the values are the same."""
    circuit = kg.Circuit(1)
    w, x = circuit.weights(1), circuit.inputs(1)
    circuit.rx(w[0], 0).rx(2 * x[0], 0)
    model = kg.compile(circuit, kg.Z(0), backend=backend)
    found = assert_routes_agree(model, np.array([0.4]), np.array([[0.4], [0.4]]))
    np.testing.assert_allclose(found.weights.ravel(), 2 * [-np.sin(1.2)], atol=1e-12)
    np.testing.assert_allclose(found.inputs.ravel(), 2 * [-2 * np.sin(1.2)], atol=1e-12)


def test_expressions(backend, rng):
    """<Z> of one rx is cos(expression), so every derivative is known in closed form."""
    cases = {
        "w[0]*x[0]": (lambda w, x: w[0] * x[0], lambda w, x: ([x[0], 0], [w[0], 0])),
        "x[0]**2": (lambda w, x: x[0] ** 2, lambda w, x: ([0, 0], [2 * x[0], 0])),
        "w[0]**2 - 3*w[1]": (lambda w, x: w[0] * w[0] - 3 * w[1], lambda w, x: ([2 * w[0], -3], [0, 0])),
        "x[0] + w[1] + 2": (lambda w, x: x[0] + w[1] + 2, lambda w, x: ([0, 1], [1, 0])),
        "(pi-x0)(pi-x1)": (
            lambda w, x: (np.pi - x[0]) * (np.pi - x[1]),
            lambda w, x: ([0, 0], [-(np.pi - x[1]), -(np.pi - x[0])]),
        ),
        "(w0+x0)(w1-x1)/2": (
            lambda w, x: (w[0] + x[0]) * (w[1] - x[1]) / 2,
            lambda w, x: ([(w[1] - x[1]) / 2, (w[0] + x[0]) / 2], [(w[1] - x[1]) / 2, -(w[0] + x[0]) / 2]),
        ),
        "w[0] - w[0] + 0.3": (lambda w, x: w[0] - w[0] + 0.3, lambda w, x: ([0, 0], [0, 0])),
    }
    weights, inputs = rng.uniform(-1, 1, 2), rng.uniform(-1, 1, (4, 2))
    for name, (rule, slopes) in cases.items():
        circuit = kg.Circuit(1)
        w, x = circuit.weights(2), circuit.inputs(2)
        circuit.rx(rule(w, x), 0)
        model = kg.compile(circuit, kg.Z(0), backend=backend)
        found = assert_routes_agree(model, weights, inputs)
        for b, row in enumerate(inputs):
            angle = rule(weights, row)
            np.testing.assert_allclose(model(weights, row), [np.cos(angle)], atol=1e-12, err_msg=name)
            for got, slope in zip((found.weights, found.inputs), slopes(weights, row), strict=True):
                np.testing.assert_allclose(got[b, 0], -np.sin(angle) * np.array(slope), atol=1e-11, err_msg=name)


def test_many_observables_in_one_sweep(backend, rng):
    """More observables than parameters, and more than any block of bras."""
    recipe = strategies.random_recipe(rng, 4, 12, n_weights=3, n_inputs=2)
    weights, inputs = recipe.arguments(rng, 3)
    words = ["".join(w) for w in itertools.product("IXYZ", repeat=4)][1:]
    model = kg.compile(recipe.circuit(), [kg.PauliSum.from_words([(1.0, w)]) for w in words], backend=backend)
    a, b = (model.jacobian(weights, inputs, method=m) for m in ("adjoint", "parameter-shift"))
    assert a.weights.shape == (3, 255, 3)
    np.testing.assert_allclose(a.weights, b.weights, atol=EXACT)
    np.testing.assert_allclose(a.inputs, b.inputs, atol=EXACT)


def test_identity_has_no_gradient_and_constants_drop_out(backend):
    circuit = kg.Circuit(1)
    w = circuit.weights(1)
    model = kg.compile(
        circuit.rx(w[0], 0), [kg.I(), kg.Z(0) + 5 * kg.I(), 2 * kg.Projector("1", (0,))], backend=backend
    )
    found = assert_routes_agree(model, np.array([0.4]), np.zeros(0))
    np.testing.assert_allclose(found.weights[:, 0], [0, -np.sin(0.4), np.sin(0.4)], atol=1e-12)
    np.testing.assert_allclose(model([0.4]), [1, np.cos(0.4) + 5, 1 - np.cos(0.4)], atol=1e-12)


def test_unused_parameters_have_gradient_zero(backend):
    circuit = kg.Circuit(1)
    w, x = circuit.weights(3), circuit.inputs(2)
    model = kg.compile(circuit.rx(w[1] + x[0], 0), kg.Z(0), backend=backend)
    found = assert_routes_agree(model, np.ones(3), np.ones((2, 2)))
    assert not found.weights[:, :, [0, 2]].any() and not found.inputs[:, :, 1].any()


def test_a_pullback_may_be_called_again_and_later(backend, rng):
    """The tape belongs to its call: other calls in between, several cotangents, any order."""
    recipe = strategies.random_recipe(rng, 5, 15, n_weights=4, n_inputs=3)
    model = kg.compile(recipe.circuit(), [kg.Z(0), kg.X(4)], backend=backend)
    first, second = recipe.arguments(rng, 6), recipe.arguments(rng, 2)
    c = rng.normal(size=(6, 2))
    _, pull_first = model.forward(*first)
    once = pull_first(c)
    _, pull_second = model.forward(*second)
    pull_second(np.ones((2, 2)))
    again, double = pull_first(c), pull_first(2 * c)
    np.testing.assert_array_equal(once.weights, again.weights)
    np.testing.assert_array_equal(once.inputs, again.inputs)
    np.testing.assert_allclose(double.weights, 2 * once.weights, atol=1e-12)


# what cannot be


def test_too_many_frequencies_name_the_way_out(backend, rng):
    circuit = kg.Circuit(9)
    w = circuit.weights(1)
    circuit.exp_diagonal(w[0], rng.normal(size=512), *range(9))
    model = kg.compile(circuit, kg.X(0), backend=backend)
    with pytest.raises(NotDifferentiableError, match="adjoint"):
        model.jacobian([0.1], method="parameter-shift")
    assert model.jacobian([0.1]).weights.shape == (1, 1)


def test_gradients_never_touch_the_other_engine(monkeypatch, rng):
    """Parameter-shift runs with the adjoint sweep taken away, and the adjoint without any shift."""
    from ketgrad.backends.contract import Plan
    from ketgrad.gradients.parameter_shift import ShiftedBatch

    recipe = strategies.random_recipe(rng, 3, 8, n_weights=2, n_inputs=2)
    weights, inputs = recipe.arguments(rng, 2)
    model = kg.compile(recipe.circuit(), kg.Z(0), backend=BACKENDS[0])

    def refuse(*args, **kwargs):
        raise AssertionError("the other engine was called")

    with monkeypatch.context() as patch:
        patch.setattr(Plan, "pullback", refuse)
        model.jacobian(weights, inputs, method="parameter-shift")
        with pytest.raises(AssertionError):
            model.jacobian(weights, inputs, method="adjoint")
    with monkeypatch.context() as patch:
        patch.setattr(ShiftedBatch, "jacobian", refuse)
        model.jacobian(weights, inputs, method="adjoint")
        with pytest.raises(AssertionError):
            model.jacobian(weights, inputs, method="parameter-shift")
