"""`kg.jax.function`: values and derivatives against the model, one call of the engine each, dtypes, arguments."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from jax_cases import BATCH, OBSERVABLES, N, assert_same, circuit, f, jax, jnp, loss, model, point, x64

import ketgrad as kg
import ketgrad.model_function
from ketgrad.errors import ArgumentError, ArgumentTypeError, NotDifferentiableError, ParameterError

__all__ = ["f", "model", "point", "x64"]  # fixtures


@pytest.mark.parametrize("jit", [jax.jit, lambda f: f], ids=["jit", "eager"])
@pytest.mark.parametrize("batched", [True, False])
def test_values_and_gradients_are_the_models(jit: Any, batched: bool, backend: str, precision: Any, point: Any) -> None:
    model = kg.compile(circuit(), OBSERVABLES, dtype=precision.dtype, backend=backend)
    f, (w, x) = kg.jax.function(model), point
    x = x if batched else x[0]
    values, pullback = model.forward(w, x)
    assert_same(jit(f)(w, x), values, precision.atol)
    value, gradients = jit(jax.value_and_grad(loss(f), (0, 1)))(w, x)
    assert value == pytest.approx((values**2 * [1.0, -0.7]).sum(), abs=10 * precision.atol)
    wanted = pullback(2 * values * [1.0, -0.7])
    assert_same(gradients, (wanted.weights, wanted.inputs), 10 * precision.atol)


def by_row(f: Any, w: Any, x: Any, in_axes: Any) -> Any:
    """As `vmap`, in a loop."""
    given = list(zip((w, x), in_axes, strict=True))
    count = next(a.shape[axis] for a, axis in given if axis is not None)
    return np.stack([f(*(a if axis is None else np.take(a, k, axis) for a, axis in given)) for k in range(count)])


MAPS: dict[str, tuple[Any, ...]] = {  # in_axes, and further axes of the weights and the inputs
    "inputs": ((None, 0), (), (BATCH,)),
    "weights": ((0, None), (BATCH,), ()),
    "both": ((0, 0), (BATCH,), (BATCH,)),
    "weights of a batch": ((0, None), (5,), (BATCH,)),
    "a batch of inputs": ((None, 1), (), (2, BATCH)),
}


def mapped(name: str, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    in_axes, more_w, more_x = MAPS[name]
    return in_axes, rng.normal(size=(*more_w, 2, N, 2)), rng.uniform(-1, 1, size=(*more_x, N))


@pytest.mark.parametrize("name", MAPS)
def test_vmap(name: str, model: kg.Model, f: Any, rng: np.random.Generator) -> None:
    in_axes, w, x = mapped(name, rng)
    assert_same(jax.jit(jax.vmap(f, in_axes))(w, x), by_row(model, w, x, in_axes))
    single = jax.grad(loss(f), (0, 1))
    each = jax.vmap(single, in_axes)(w, x)
    for k in range(2):
        assert_same(each[k], by_row(lambda *a: single(*a)[k], w, x, in_axes))  # noqa: B023
    total = jax.grad(lambda w, x: jax.vmap(loss(f), in_axes)(w, x).sum(), (0, 1))(w, x)
    for k, axis in enumerate(in_axes):
        over = each[k].sum(0) if axis is None else jnp.moveaxis(each[k], 0, axis)
        assert_same(total[k], over)


def test_nested_vmap_and_axes_in_front(model: kg.Model, f: Any, point: Any, rng: np.random.Generator) -> None:
    w, x = point[0] + rng.normal(size=(2, 1, 1, 1)), rng.uniform(size=(3, BATCH, N))
    table = np.stack([[model(a, b) for b in x] for a in w])
    assert_same(jax.vmap(jax.vmap(f, (None, 0)), (0, None))(w, x), table)
    assert_same(jax.vmap(jax.vmap(f, (0, None)), (None, 0))(w, x), table.swapaxes(0, 1))
    assert_same(f(w[0], x), table[0])
    gradient = jax.vmap(jax.grad(loss(f), (0, 1)), (0, None))(w, x)  # x has two axes in front
    for k in range(2):
        one = [jax.grad(loss(f), (0, 1))(w[k], b) for b in x]
        assert_same(gradient[0][k], sum(g[0] for g in one), 1e-11)
        assert_same(gradient[1][k], np.stack([g[1] for g in one]), 1e-11)


@pytest.mark.parametrize("name", ["alone", "batch", *MAPS])
def test_check_grads_in_both_modes_to_second_order(name: str, f: Any, point: Any, rng: np.random.Generator) -> None:
    from jax.test_util import check_grads

    if name in MAPS:
        in_axes, w, x = mapped(name, rng)
        function = jax.vmap(f, in_axes)
    else:
        function, (w, x) = f, point if name == "batch" else (point[0], point[1][0])
    check_grads(function, (w, x), 2, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6, eps=1e-5)


def test_check_grads_on_every_backend(backend: str, point: Any) -> None:
    from jax.test_util import check_grads

    f = kg.jax.function(circuit(), OBSERVABLES, backend=backend)
    check_grads(jax.jit(f), point, 1, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6, eps=1e-5)


@pytest.mark.parametrize("mode", [jax.jacrev, jax.jacfwd])
def test_jacobians(mode: Any, model: kg.Model, f: Any, point: Any) -> None:
    w, x = point
    wanted = model.jacobian(w, x)
    by_weight, by_input = jax.jit(mode(f, (0, 1)))(w, x)
    assert_same(by_weight.reshape(BATCH, 2, -1), wanted.weights)
    every = np.zeros((BATCH, 2, BATCH, N))
    every[np.arange(BATCH), :, np.arange(BATCH)] = wanted.inputs
    assert_same(by_input, every)


def test_hessians_whichever_way(model: kg.Model, f: Any, point: Any) -> None:
    w, x = point

    def gradient(w: Any) -> Any:
        values, pullback = model.forward(w, x)
        return pullback(2 * values * [1.0, -0.7]).weights.reshape(-1)

    h, steps = 1e-5, np.eye(w.size)
    wanted = [(gradient(w + h * s.reshape(w.shape)) - gradient(w - h * s.reshape(w.shape))) / (2 * h) for s in steps]
    ways = [(jax.jacfwd, jax.jacrev), (jax.jacrev, jax.jacrev), (jax.jacrev, jax.jacfwd), (jax.jacfwd, jax.jacfwd)]
    for outer, inner in ways:
        found = jax.jit(outer(inner(loss(f))))(w, x)
        assert_same(found.reshape(w.size, -1), np.array(wanted), 1e-6)
    assert_same(jax.hessian(loss(f))(w, x), found, 1e-12)


def test_a_hessian_has_mixed_blocks(f: Any, point: Any) -> None:
    w, x = point[0], point[1][0]
    blocks = jax.hessian(loss(f), (0, 1))(w, x)
    assert_same(blocks[0][1], jnp.moveaxis(blocks[1][0], 0, -1), 1e-11)
    product = jax.jvp(jax.grad(loss(f), (0, 1)), (w, x), (0.3 * w, 0.7 * x))[1]
    assert_same(product[1], jnp.tensordot(blocks[1][0], 0.3 * w, 3) + blocks[1][1] @ (0.7 * x), 1e-11)


def test_third_derivatives_are_refused(f: Any, point: Any) -> None:
    for third in (jax.jacfwd(jax.hessian(loss(f))), jax.grad(lambda w, x: jax.hessian(loss(f))(w, x).sum())):
        with pytest.raises(NotDifferentiableError, match="no third derivatives"):
            third(*point)


# calls of the engine


@pytest.fixture
def calls(f: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What every plan is asked: (name, rows, sets of cotangents or None, whether there is a tape)."""
    found: list[Any] = []
    plan = type(f.model._ready().plan)
    forward, pullback = plan._forward, plan._pullback

    def forwards(self: Any, shared: Any, rows: Any, *rest: Any) -> Any:
        found.append(("forward", len(rows), None, rest[0]))
        return forward(self, shared, rows, *rest)

    def pulls(self: Any, shared: Any, rows: Any, cotangents: Any, tape: Any, *rest: Any) -> Any:
        found.append(("pullback", len(rows), len(cotangents), tape is not None))
        return pullback(self, shared, rows, cotangents, tape, *rest)

    monkeypatch.setattr(plan, "_forward", forwards)
    monkeypatch.setattr(plan, "_pullback", pulls)
    return found


def test_a_step_is_one_forward_call_and_its_pullback(f: Any, point: Any, calls: list[Any]) -> None:
    whole = [("forward", BATCH, None, True), ("pullback", BATCH, 1, True)]
    for step in (jax.value_and_grad(loss(f), (0, 1)), jax.jit(jax.value_and_grad(loss(f), (0, 1)))):
        calls.clear()
        jax.block_until_ready(step(*point))
        assert calls == whole
    calls.clear()
    jax.block_until_ready(jax.jit(f)(*point))
    assert calls == [("forward", BATCH, None, False)]
    calls.clear()
    jax.block_until_ready(jax.jit(jax.grad(lambda w, x: f(w, x).sum()))(*point))
    assert calls == [("pullback", BATCH, 1, False)]  # nobody asks for the values
    assert not any(function._kept or function._bytes for function in f._kinds.values())


def test_vmap_is_one_call(f: Any, point: Any, calls: list[Any], rng: np.random.Generator) -> None:
    w, x = point
    many = np.stack([w, w + 0.1, w - 0.2])
    step = jax.value_and_grad(loss(f), (0, 1))
    for in_axes, arguments, rows in (((None, 0), (w, x), BATCH), ((0, None), (many, x), 3 * BATCH)):
        calls.clear()
        jax.block_until_ready(jax.jit(jax.vmap(step, in_axes))(*arguments))
        assert calls == [("forward", rows, None, True), ("pullback", rows, 1, True)]
    calls.clear()
    jax.block_until_ready(jax.vmap(jax.vmap(f, (None, 0)), (None, 0))(w, rng.uniform(size=(2, BATCH, N))))
    assert calls == [("forward", 2 * BATCH, None, False)]


def test_a_jacobian_is_one_sweep(f: Any, point: Any, calls: list[Any]) -> None:
    jax.block_until_ready(jax.jit(jax.jacrev(f, (0, 1)))(point[0], point[1][0]))
    assert calls == [("pullback", 1, 2, False)]  # two observables
    calls.clear()
    jax.block_until_ready(jax.jit(jax.jacfwd(lambda w, x: f(w, x)))(*point))
    assert [c for c in calls if c[0] == "pullback"] == [("pullback", BATCH, 2, False)]  # not one for each weight


def test_what_does_not_fit_is_computed_again(
    f: Any, point: Any, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = jax.grad(loss(f))(*point)
    kept = f._kinds[np.dtype("float64")]
    size = 16 * BATCH * 2**N + sum(a.nbytes for a in point) + ketgrad.model_function.ENTRY_BYTES
    for limit, tape in ((size - 1, False), (size, True)):
        monkeypatch.setattr(ketgrad.model_function, "KEPT_BYTES", limit)
        calls.clear()
        assert_same(jax.grad(loss(f))(*point), wanted)
        assert calls[-1] == ("pullback", BATCH, 1, tape)
    for k in (1, 2, 0):
        jax.jvp(lambda w: f(w, point[1]), (point[0] + k,), (point[0],))
    mean = jax.jit(jax.grad(lambda w: f(w, point[1]).mean()))  # runs no forward call of its own
    for k, tape in ((3, False), (0, True), (0, False)):
        gradient = mean(point[0] + k)
        assert calls[-1] == ("pullback", BATCH, 1, tape)
        assert_same(gradient, f.model.forward(point[0] + k, point[1])[1](np.full((BATCH, 2), 0.125)).weights)
    jax.jvp(lambda w: f(w, point[1]), (point[0],), (point[0],))
    assert len(kept._kept) == 1 and kept._bytes == size
    kept._kept.clear()
    kept._bytes = 0


def test_no_samples(f: Any, point: Any) -> None:
    w, x = point[0], point[1][:0]
    for run in (lambda g: g, jax.jit):
        assert run(f)(w, x).shape == (0, 2)
        assert run(jax.vmap(f, (None, 0)))(w, x).shape == (0, 2)
        assert run(jax.vmap(f, (0, None)))(jnp.zeros((0, *w.shape)), point[1]).shape == (0, BATCH, 2)
        dw, dx = run(jax.grad(lambda w, x: f(w, x).sum(), (0, 1)))(w, x)
        assert not dw.any() and dw.shape == w.shape and dx.shape == x.shape
        assert not run(jax.hessian(lambda w: f(w, x).sum()))(w).any()
        assert run(jax.jacfwd(lambda w: f(w, x)))(w).shape == (0, 2, *w.shape)


# dtypes and arguments


@pytest.mark.parametrize("wide", [True, False], ids=["x64", "x32"])
@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
def test_dtypes(kind: str, wide: bool, model: kg.Model, f: Any, point: Any) -> None:
    if kind == "float64" and not wide:
        kind = "float32"  # what JAX makes of it
    jax.config.update("jax_enable_x64", wide)
    w, x = (jnp.asarray(a, jnp.float32).astype(kind) for a in point)
    step = jax.jit(jax.value_and_grad(lambda w, x: f(w, x).sum(), (0, 1)))
    values, gradients = jax.jit(f)(w, x), step(w, x)[1]
    assert values.dtype == (kind if kind == "float64" else "float32")
    assert [g.dtype for g in gradients] == [w.dtype, x.dtype]
    exact = model(np.asarray(w, np.float64), np.asarray(x, np.float64))
    np.testing.assert_allclose(values, exact, atol=1e-12 if kind == "float64" else 2e-7)
    assert f(w, x.astype("float32")).dtype == values.dtype
    assert jax.jvp(lambda w: f(w, x), (w,), (w,))[1].dtype == values.dtype


def test_numbers_of_python_and_integers(model: kg.Model, f: Any) -> None:
    w = np.arange(12)
    for wide, kind in ((True, "float64"), (False, "float32")):
        jax.config.update("jax_enable_x64", wide)
        for given in (w, w.tolist(), jnp.asarray(w), [float(k) for k in w]):
            values = f(given, [1, 0, 1])
            assert values.dtype == kind
            np.testing.assert_allclose(values, model(w, [1, 0, 1]), atol=1e-5)


def test_circuits_with_weights_or_inputs_only(rng: np.random.Generator) -> None:
    one = kg.Circuit(1)
    f = kg.jax.function(one.ry(one.parameter("a"), 0), kg.Z(0))
    a = jnp.array(0.7)
    assert_same(jax.grad(lambda a: f(a).sum())(a), -jnp.sin(a))
    assert_same(jax.vmap(jax.grad(lambda a: f(a)[0]))(jnp.arange(3.0)), -jnp.sin(jnp.arange(3.0)))
    assert_same(jax.hessian(lambda a: f(a)[0])(a), -jnp.cos(a))
    two = kg.Circuit(1)
    g = kg.jax.function(two.ry(two.inputs(1)[0], 0), kg.Z(0), dtype="complex64")
    x = jnp.array([[0.3], [0.9]])
    assert_same(jax.grad(lambda x: g(None, x).sum())(x), -jnp.sin(x), 1e-6)
    none = kg.jax.function(kg.Circuit(1).h(0), [kg.X(0), kg.Z(0)])
    assert_same(jax.jit(none)(), jnp.array([1.0, 0.0]))


def test_arguments_are_refused_where_they_are_given(model: kg.Model, f: Any, point: Any) -> None:
    w, x = point
    wrong: list[tuple[Any, Any, Any, str]] = [
        (w[0], x, ParameterError, "12 weights, got 6; use jax.vmap"),
        (w, None, ParameterError, "3 inputs, and none were given"),
        (w, x[:, :2], ParameterError, r"inputs have shape \(3,\) or \(batch, 3\), got \(4, 2\)"),
        (w + 1j, x, ArgumentTypeError, "weights must be an array of real numbers, got dtype complex128"),
        (w * np.nan, x, ParameterError, "must be finite"),
    ]
    for weights, inputs, error, text in wrong:
        with pytest.raises(error, match=text):
            f(weights, inputs)
        with pytest.raises(Exception, match=text):
            jax.block_until_ready(jax.jit(f)(weights, inputs))
    with pytest.raises(ArgumentTypeError, match="expected a Model or a Circuit, got str"):
        kg.jax.function("model")
    with pytest.raises(ArgumentError, match="has its own observables"):
        kg.jax.function(model, kg.Z(0))
    with pytest.raises(ArgumentError, match="no observables"):
        kg.jax.function(circuit())


def test_copies_and_pickles(f: Any, point: Any) -> None:
    wanted = jax.grad(loss(f))(*point)
    for twin in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert_same(jax.grad(loss(twin))(*point), wanted)
    assert repr(f) == f"ketgrad.jax.function({f.model!r})"
