"""Plans that start from given states and are differentiated from given cotangents of the final state."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import strategies
from conftest import Precision
from hypothesis import given
from hypothesis import strategies as st

import ketgrad as kg
from ketgrad.backends import get_backend
from ketgrad.errors import ArgumentError, ParameterError
from ketgrad.lowering import Lowered, lower

WEIGHTS = INPUTS = 2


def drawn(seed: int, n: int) -> tuple[Lowered, strategies.Recipe, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    recipe = strategies.random_recipe(rng, n, 10, WEIGHTS, INPUTS)
    observable, matrix = strategies.random_observable(rng, n, ("sum",))
    return lower(recipe.circuit(), [observable]), recipe, matrix, rng


def random_states(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


@pytest.mark.parametrize("n", [1, 3, 5, 8])
@pytest.mark.parametrize("batch", [1, 3, 17])
@pytest.mark.parametrize("one", [False, True])
def test_states_and_values_start_from_what_is_given(engine: str, precision: Precision, n: int, batch: int, one: bool):
    lowered, recipe, matrix, rng = drawn(n, n)
    w, x = recipe.arguments(rng, batch)
    initial = random_states(rng, 1 if one else batch, 2**n)
    initial /= np.linalg.norm(initial, axis=1)[:, None]
    plan = get_backend(engine).prepare(lowered.program, precision.dtype)
    slots = lowered.stage.evaluate(w, x)
    rows = np.broadcast_to(initial, (batch, 2**n))
    expected = np.array([reference.run(n, recipe.ops(w, r), s) for r, s in zip(x, rows, strict=True)])
    assert np.allclose(plan.states(*slots, initial), expected, rtol=0, atol=precision.atol)
    terms, _ = plan.forward(*slots, initial=initial)
    got = terms @ lowered.readout.coefficients.T + lowered.readout.constant
    wanted = [[reference.expectation(s, matrix)] for s in expected]
    assert np.allclose(got, wanted, rtol=0, atol=30 * precision.atol)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4), batch=st.sampled_from([1, 2, 9]), keep=st.booleans())
def test_gradients_from_bras_and_terms(backend: str, seed: int, n: int, batch: int, keep: bool):
    """L = 2 Re<bra|psi> + sum(cotangents * terms): finite differences in the slots, matrices for the initial states."""
    lowered, recipe, _, rng = drawn(seed, n)
    w, x = recipe.arguments(rng, batch)
    plan = get_backend(backend).prepare(lowered.program)
    initial, bras = random_states(rng, batch, 2**n), random_states(rng, 2, batch, 2**n)
    shared, per_sample = lowered.stage.evaluate(w, x)
    cotangents = rng.normal(size=(2, batch, len(lowered.readout.keys)))

    def losses(shared: np.ndarray, per_sample: np.ndarray, initial: np.ndarray) -> np.ndarray:
        states = plan.states(shared, per_sample, initial)
        terms, _ = plan.forward(shared, per_sample, initial=initial)
        return 2 * (bras.conj() * states).sum(axis=2).real + (cotangents * terms).sum(axis=2)

    tape = plan.forward(shared, per_sample, keep=keep, initial=initial)[1]
    for _ in range(2):
        g_shared, g_samples, g_initial = plan.pullback_to_initial(
            shared, per_sample, cotangents, tape, initial=initial, bras=bras
        )
    plain = plan.pullback(shared, per_sample, cotangents, initial=initial, bras=bras)
    assert np.allclose(plain[0], g_shared, rtol=0, atol=1e-9) and np.allclose(plain[1], g_samples, rtol=0, atol=1e-9)
    each, _ = plan.pullback(shared, per_sample, cotangents, each=True, initial=initial, bras=bras)
    assert np.allclose(each.sum(axis=1), g_shared, rtol=0, atol=1e-9)
    eps, scale = 1e-6, np.abs(initial).sum() ** 2
    for s in range(len(shared)):
        step = eps * (np.arange(len(shared)) == s)
        slope = losses(shared + step, per_sample, initial) - losses(shared - step, per_sample, initial)
        assert np.allclose(slope.sum(axis=1) / (2 * eps), g_shared[:, s], rtol=0, atol=1e-8 * scale)
    for f in range(per_sample.shape[1]):
        step = eps * (np.arange(per_sample.shape[1]) == f)
        slope = losses(shared, per_sample + step, initial) - losses(shared, per_sample - step, initial)
        assert np.allclose(slope / (2 * eps), g_samples[:, :, f], rtol=0, atol=1e-8 * scale)
    direction = random_states(rng, batch, 2**n)
    slope = losses(shared, per_sample, initial + eps * direction) - losses(
        shared, per_sample, initial - eps * direction
    )
    wanted = 2 * (g_initial.conj() * direction).sum(axis=2).real
    assert np.allclose(slope / (2 * eps), wanted, rtol=0, atol=1e-8 * scale)


@pytest.mark.parametrize("batch", [1, 9])
@pytest.mark.parametrize("n", [2, 6])
def test_the_cotangent_of_the_initial_state_is_the_bra_turned_back(
    engine: str, precision: Precision, n: int, batch: int
):
    lowered, recipe, _, rng = drawn(40 + n, n)
    w, x = recipe.arguments(rng, batch)
    bras = random_states(rng, 1, batch, 2**n)
    bras /= np.linalg.norm(bras, axis=2, keepdims=True)
    plan = get_backend(engine).prepare(lowered.program, precision.dtype)
    none = np.zeros((1, batch, len(lowered.readout.keys)))
    found = plan.pullback_to_initial(*lowered.stage.evaluate(w, x), none, bras=bras)[2]
    for b in range(batch):
        forward = reference.run(recipe.n, recipe.ops(w, x[b]), found[0, b].astype(complex))
        assert np.allclose(forward, bras[0, b], rtol=0, atol=precision.atol)


def test_a_circuit_without_parameters_turns_bras_back(backend: str):
    plan = get_backend(backend).prepare(lower(kg.Circuit(1).s(0), []).program)
    none = np.zeros((1, 1, 0))
    found = plan.pullback_to_initial(np.zeros(0), np.zeros((1, 0)), none, bras=np.array([[[0, 1.0]]]))[2]
    assert np.allclose(found, [[[0, -1j]]])


@pytest.mark.slow
def test_a_large_state(engine: str):
    """Above the sizes at which threads share one state."""
    n = 18
    rng = np.random.default_rng(3)
    circuit = kg.Circuit(n).h(0).cx(0, n - 1)
    circuit.rx(circuit.weights(1)[0], 3).s(5)
    plan = get_backend(engine).prepare(lower(circuit, []).program)
    initial, bras = random_states(rng, 1, 2**n), random_states(rng, 1, 1, 2**n)
    angle, none = np.array([0.4]), np.zeros((1, 0))
    inverse = kg.Circuit(n).sdg(5).rx(-0.4, 3).cx(0, n - 1).h(0)
    back = get_backend(engine).prepare(lower(inverse, []).program)
    assert np.allclose(back.states(np.zeros(0), none, plan.states(angle, none, initial)), initial, rtol=0, atol=1e-10)
    found = plan.pullback_to_initial(angle, none, np.zeros((1, 1, 0)), initial=initial, bras=bras)[2]
    assert np.allclose(found[0], back.states(np.zeros(0), none, bras[0]), rtol=0, atol=1e-10)


def test_what_is_refused(backend: str):
    plan = get_backend(backend).prepare(lower(kg.Circuit(2).h(0), [kg.Z(0)]).program)
    none = np.zeros((3, 0))
    with pytest.raises(ParameterError, match=r"initial must have shape \(3, 4\), got \(2, 4\)"):
        plan.states(np.zeros(0), none, np.ones((2, 4)))
    with pytest.raises(ParameterError, match="initial must be finite"):
        plan.forward(np.zeros(0), none, initial=np.full((1, 4), np.nan))
    with pytest.raises(ParameterError, match=r"bras must have shape \(1, 3, 4\)"):
        plan.pullback(np.zeros(0), none, np.zeros((1, 3, 1)), bras=np.ones((1, 1, 4)))
    prepared = get_backend(backend).prepare(lower(kg.Circuit(1).prepare([0.6, 0.8]), []).program)
    with pytest.raises(ArgumentError, match="prepares its own initial state"):
        prepared.states(np.zeros(0), none[:1], np.ones((1, 2)))
