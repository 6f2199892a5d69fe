"""Circuits with channels by density matrices: against the oracle, against differences, through every front door."""

from __future__ import annotations

import noise_cases
import numpy as np
import pytest
import reference
import strategies
from conftest import Precision
from hypothesis import given
from hypothesis import strategies as st
from noise_cases import CHANNELS

import ketgrad as kg
from ketgrad import noise
from ketgrad.backends import get_backend
from ketgrad.errors import ArgumentError
from ketgrad.lowering import lower
from ketgrad.noise.density import DensityPlan
from ketgrad.noise.noisy_model import NoisyModel

EPS = 1e-6
SEEDS = st.integers(0, 2**32 - 1)


def compiled(circuit: kg.Circuit, observables, **options) -> NoisyModel:
    model = kg.compile(circuit, observables, **{"method": "density", **options})
    assert isinstance(model, NoisyModel)
    return model


def drawn(seed: int, n: int, batch: int, length: int = 8):
    rng = np.random.default_rng(seed)
    recipe = noise_cases.random_noisy(rng, n, length, 2, 2)
    pairs = [strategies.random_observable(rng, n) for _ in range(3)]
    return recipe, [p for p, _ in pairs], [m for _, m in pairs], *recipe.recipe.arguments(rng, batch), rng


def difference(f, at: np.ndarray) -> np.ndarray:
    """Central differences of f along every entry of `at`, in the last axis."""
    out = []
    for k in range(at.size):
        step = np.zeros(at.size)
        step[k] = EPS
        step = step.reshape(at.shape)
        out.append((f(at + step) - f(at - step)) / (2 * EPS))
    return np.stack(out, axis=-1) if out else np.zeros((*np.shape(f(at)), 0))


# the plan


@given(seed=SEEDS, n=st.integers(1, 4))
def test_every_instruction_of_a_pure_circuit(backend: str, precision: Precision, seed: int, n: int):
    rng = np.random.default_rng(seed)
    recipe = strategies.random_recipe(rng, n, 10, 2, 2)
    circuit = kg.Circuit(n).prepare(reference.random_state(n, rng)) if seed % 2 else kg.Circuit(n)
    whole, made = circuit, recipe.circuit()
    whole.__dict__.update({**made.__dict__, "initial": circuit.initial})
    observables = [strategies.random_observable(rng, n)[0] for _ in range(3)]
    lowered = lower(whole, observables)
    w, x = recipe.arguments(rng, 3)
    slots = lowered.stage.evaluate(w, x)
    engine = get_backend(backend)
    plain = engine.prepare(lowered.program, precision.dtype)
    plan = DensityPlan(lowered.program, np.dtype(precision.dtype), engine)
    values, tape = plan.forward(*slots, True)
    scale = 20 * precision.atol
    assert np.allclose(values, plain.forward(*slots)[0], rtol=0, atol=scale)
    cotangents = rng.normal(size=(2, 3, values.shape[1]))
    for each in (False, True):
        wanted = plain.pullback(*slots, cotangents, None, each)
        for got in (plan.pullback(*slots, cotangents, tape, each), plan.pullback(*slots, cotangents, None, each)):
            for a, b in zip(got, wanted, strict=True):
                assert a.shape == b.shape
                assert np.allclose(a, b, rtol=0, atol=scale * (1 + np.abs(b).max(initial=0)))
    states = plain.states(*slots)
    assert np.allclose(plan.states(*slots), np.abs(states), rtol=0, atol=np.sqrt(scale) * 0.1)


@pytest.mark.parametrize(("n", "batch"), [(1, 1), (3, 1), (4, 21), (9, 2), (12, 1), (15, 1)])
def test_states_with_a_tape(engine: str, dtype: str, n: int, batch: int):
    rng = np.random.default_rng(n)
    recipe = strategies.random_recipe(rng, n, 20, 2, 2)
    lowered = lower(recipe.circuit(), [kg.Z(0), kg.X(n - 1)])
    slots = lowered.stage.evaluate(*recipe.arguments(rng, batch))
    plan = get_backend(engine).prepare(lowered.program, dtype)
    states, tape = plan.states_and_tape(*slots)
    assert np.array_equal(states, plan.states(*slots))
    c = rng.normal(size=(2, batch, 2))
    for got, wanted in zip(plan.pullback(*slots, c, tape), plan.pullback(*slots, c), strict=True):
        assert np.allclose(got, wanted, rtol=0, atol=1e-13 if dtype == "complex128" else 1e-5)


@given(seed=SEEDS, n=st.integers(1, 3))
def test_initial_states_and_their_gradient(backend: str, seed: int, n: int):
    recipe, observables, matrices, w, x, rng = drawn(seed, n, 2)
    model = compiled(recipe.circuit(), observables, backend=backend)
    for start in (reference.random_state(n, rng), np.array([reference.random_state(n, rng) for _ in range(2)])):
        values, pullback = model.forward(w, x, initial=start)
        c = rng.normal(size=values.shape)
        found = pullback(c, to_initial=True).initial
        assert found.shape == start.shape

        def moved(part, start=start, c=c):
            return (c * model(w, x, initial=start + part)).sum()

        for unit in (1.0, 1j):
            wanted = difference(lambda d, u=unit: moved(u * d), np.zeros(start.shape)).reshape(start.shape)
            got = 2 * (found.conj() * unit).real
            assert np.allclose(got, wanted, rtol=0, atol=1e-7)
    with pytest.raises(ArgumentError, match="bras"):
        pullback(c, bras=np.zeros(start.shape))


# values and gradients


@given(seed=SEEDS, n=st.integers(1, 4), batch=st.sampled_from([1, 3]))
def test_values_and_density_matrices(backend: str, precision: Precision, seed: int, n: int, batch: int):
    recipe, observables, matrices, w, x, rng = drawn(seed, n, batch)
    model = compiled(recipe.circuit(), observables, backend=backend, dtype=precision.dtype)
    rho = recipe.matrices(w, x)
    wanted = np.array([[reference.mixed_expectation(r, m) for m in matrices] for r in rho])
    atol = 10 * precision.atol * (1 + np.abs(wanted).max())
    assert np.allclose(model(w, x), wanted, rtol=0, atol=atol)
    assert np.allclose(model.density_matrix(w, x), rho, rtol=0, atol=10 * precision.atol)
    assert np.allclose(model.probabilities(w, x), np.einsum("bii->bi", rho).real, rtol=0, atol=10 * precision.atol)
    wires = [int(v) for v in rng.permutation(n)[: max(1, n - 1)]]
    k, rest = len(wires), [v for v in range(n) if v not in wires]
    axes = [*wires, *rest]
    tensor = rho.reshape((batch,) + (2,) * (2 * n)).transpose(0, *(1 + a for a in axes), *(1 + n + a for a in axes))
    part = np.einsum("bikjk->bij", tensor.reshape(batch, 2**k, 2 ** (n - k), 2**k, 2 ** (n - k)))
    assert np.allclose(model.density_matrix(w, x, wires), part, rtol=0, atol=10 * precision.atol)
    wanted = np.einsum("bii->bi", part).real
    assert np.allclose(model.probabilities(w, x, wires), wanted, rtol=0, atol=10 * precision.atol)


@given(seed=SEEDS, n=st.integers(1, 3))
def test_gradients_are_differences_and_parameter_shift(backend: str, seed: int, n: int):
    recipe, observables, _, w, x, rng = drawn(seed, n, 2)
    model = compiled(recipe.circuit(), observables, backend=backend)
    values, pullback = model.forward(w, x)
    c = rng.normal(size=values.shape)
    got, scale = pullback(c), 1e-6 * (1 + sum(abs(v) for o in observables for v, *_ in o))
    assert np.allclose(got.weights, difference(lambda w: (c * model(w, x)).sum(), w), rtol=0, atol=scale)
    assert np.allclose(
        got.inputs, difference(lambda x: (c * model(w, x)).sum(), x).reshape(x.shape), rtol=0, atol=scale
    )
    exact = model.jacobian(w, x)
    assert np.allclose(np.einsum("bm,bmp->p", c, exact.weights), got.weights, rtol=0, atol=1e-10)
    assert np.allclose(np.einsum("bm,bmf->bf", c, exact.inputs), got.inputs, rtol=0, atol=1e-10)
    shifted = model.jacobian(w, x, method="parameter-shift")
    for a, b in zip(exact[:2], shifted[:2], strict=True):
        assert np.allclose(a, b, rtol=0, atol=1e-9 * (1 + np.abs(b).max(initial=0)))


def test_kets_at_cuts_are_made_again_where_memory_is_short(backend: str, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    recipe = strategies.random_recipe(rng, 2, 24, 2, 2)
    menu = [CHANNELS[name] for name in ("reset", "nothing left", "depolarizing", "measurement", "amplitude_damping")]
    after = {k: (menu[k % len(menu)], (int(rng.integers(2)),)) for k in range(24)}
    w, x = recipe.arguments(rng, 3)
    model = compiled(noise_cases.NoisyRecipe(recipe, after).circuit(), [kg.Z(0), kg.X(1)], backend=backend)
    plan = model._ready().plan
    assert len(plan.parts) > 9
    wanted, kept, held = model.forward(w, x)[1](np.ones((3, 2))), model.strength_jacobian(w, x), plan.held
    monkeypatch.setattr("ketgrad.noise.density.KEPT_BYTES", 0)
    assert plan.held < held
    got = model.forward(w, x)[1](np.ones((3, 2)))
    assert np.array_equal(got.weights, wanted.weights) and np.array_equal(got.inputs, wanted.inputs)
    assert np.array_equal(model.strength_jacobian(w, x), kept)
    wanted = difference(lambda w: model(w, x).sum(), w)
    assert np.allclose(got.weights, wanted, rtol=0, atol=1e-6)


def test_single_precision_is_cut_sooner(backend: str):
    rng = np.random.default_rng(1)
    recipe = strategies.random_recipe(rng, 3, 30, 2, 2)
    after = {k: (noise.amplitude_damping(0.4), (int(rng.integers(3)),)) for k in range(30)}
    w, x = recipe.arguments(rng, 2)
    circuit, observables = noise_cases.NoisyRecipe(recipe, after).circuit(), [kg.Z(0), kg.X(1) @ kg.Y(2)]
    double, single = (compiled(circuit, observables, backend=backend, dtype=d) for d in ("complex128", "complex64"))
    assert len(single._ready().plan.parts) > len(double._ready().plan.parts) > 1
    for a, b in zip(single.jacobian(w, x)[:2], double.jacobian(w, x)[:2], strict=True):
        assert np.allclose(a, b, rtol=0, atol=1e-4)


def test_a_sample_after_another_where_memory_is_short(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    circuit = kg.Circuit(8)
    x = circuit.inputs(8)
    for q in range(8):
        circuit.ry(x[q], q).channel(noise.amplitude_damping(0.1), q)
    model, rows = compiled(circuit, [kg.Z(0), kg.Z(7)]), rng.normal(size=(20, 8))
    wanted = model(None, rows), model.forward(None, rows)[1](np.ones((20, 2))).inputs, model.probabilities(None, rows)
    monkeypatch.setenv("KETGRAD_MAX_MEMORY", "2e7")  # a matrix takes 1 MiB
    got = model(None, rows), model.forward(None, rows)[1](np.ones((20, 2))).inputs, model.probabilities(None, rows)
    for a, b in zip(got, wanted, strict=True):
        assert np.allclose(a, b, rtol=0, atol=1e-12)


@given(seed=SEEDS, n=st.integers(1, 2))
def test_second_derivatives(backend: str, seed: int, n: int):
    recipe, observables, _, w, x, rng = drawn(seed, n, 2, 5)
    model = compiled(recipe.circuit(), observables, backend=backend)
    c = rng.normal(size=(2, 3))
    wanted = difference(lambda w: model.forward(w, x)[1](c).weights, w)
    assert np.allclose(model.hessian(w, x, cotangents=c), wanted, rtol=0, atol=1e-5 * (1 + np.abs(wanted).max()))
    squares = compiled(recipe.circuit(), [o.square() for o in observables], backend=backend)
    assert np.allclose(model.variance(w, x), squares(w, x) - model(w, x) ** 2, rtol=0, atol=1e-9)


def bell(channel: noise.Channel) -> kg.Circuit:
    """The circuit whose gradient is NaN where probabilities are square-rooted on the way."""
    circuit = kg.Circuit(2)
    w = circuit.weights(1)
    circuit.rx(w[0], 0).channel(channel, range(channel.n_wires)).cnot(0, 1)
    return circuit


def bell_slope(channel: noise.Channel, angle: float) -> float:
    def value(angle):
        steps = [
            reference.Op("rx", (angle,), (0,)),
            reference.Noise(channel.kraus, tuple(range(channel.n_wires))),
            reference.Op("cx", (), (0, 1)),
        ]
        return reference.mixed_expectation(reference.run_mixed(2, steps), reference.word(2, {0: "Z"}))

    return (value(angle + np.pi / 2) - value(angle - np.pi / 2)) / 2


@pytest.mark.parametrize("name", CHANNELS)
def test_every_channel_has_the_right_finite_gradient(backend: str, name: str):
    model = compiled(bell(CHANNELS[name]), kg.Z(0), backend=backend)
    for angle in (0.3, 0.0, np.pi):
        values, pullback = model.forward([angle])
        wanted = bell_slope(CHANNELS[name], angle)
        assert pullback([1.0]).weights[0] == pytest.approx(wanted, abs=1e-12)
        assert model.jacobian([angle]).weights[0, 0] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", CHANNELS)
def test_the_same_gradient_through_torch(name: str):
    torch = pytest.importorskip("torch")
    layer = kg.torch.Layer(compiled(bell(CHANNELS[name]), kg.Z(0)), init=(0.3, 0.3), dtype=torch.float64)
    layer().sum().backward()
    assert layer.w.grad[0].item() == pytest.approx(bell_slope(CHANNELS[name], 0.3), abs=1e-12)
    functional = torch.func.grad(lambda w: torch.func.functional_call(layer, {"w": w}).sum())
    assert functional(layer.w.detach())[0].item() == pytest.approx(bell_slope(CHANNELS[name], 0.3), abs=1e-12)


def test_the_same_gradient_through_jax():
    jax = pytest.importorskip("jax")
    for channel in CHANNELS.values():
        f = kg.jax.function(compiled(bell(channel), kg.Z(0)))
        got = jax.grad(lambda w, f=f: f(w).sum())(np.array([0.3], dtype=np.float32))
        assert float(got[0]) == pytest.approx(bell_slope(channel, 0.3), abs=1e-6)


def test_channels_against_pennylane():
    qml = pytest.importorskip("pennylane")
    rng = np.random.default_rng(3)
    device = qml.device("default.mixed", wires=2)
    word = qml.PauliX(0) @ qml.PauliY(1)
    for channel in CHANNELS.values():
        wires = (1, 0)[: channel.n_wires]
        a, b = rng.uniform(-2, 2, 2)

        @qml.qnode(device)
        def node(a=a, b=b, channel=channel, wires=wires):
            qml.RX(a, 0)
            qml.CRY(b, [0, 1])
            qml.QubitChannel(list(channel.kraus), list(wires))
            qml.RZ(a, 1)
            qml.CNOT([1, 0])
            return qml.expval(word), qml.expval(qml.PauliZ(0)), qml.density_matrix([0, 1])

        circuit = kg.Circuit(2).rx(a, 0).cry(b, 0, 1).channel(channel, wires).rz(a, 1).cnot(1, 0)
        model = compiled(circuit, [kg.X(0) @ kg.Y(1), kg.Z(0)])
        *values, rho = node()
        assert np.allclose(model(), values, rtol=0, atol=1e-10)
        assert np.allclose(model.density_matrix(), rho, rtol=0, atol=1e-10)
