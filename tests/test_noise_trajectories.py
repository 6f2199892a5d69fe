"""Circuits with channels by trajectories: against the oracle, against density matrices, against differences."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import noise_cases
import numpy as np
import pytest
import reference
import strategies
from conftest import Precision
from hypothesis import given, settings
from hypothesis import strategies as st
from noise_cases import CHANNELS, chance

import ketgrad as kg
from ketgrad import noise
from ketgrad.backends import get_backend
from ketgrad.errors import ArgumentError
from ketgrad.lowering import Lowered, lower
from ketgrad.noise import path_rows, routes, trajectories
from ketgrad.noise.density import DensityPlan
from ketgrad.noise.noisy_backend import with_whole_channels
from ketgrad.noise.path_samples import sample_paths
from ketgrad.noise.trajectories import TrajectoryPlan

SEEDS = st.integers(0, 2**32 - 1)


def planned(circuit: kg.Circuit, observables, backend: str, dtype="complex128", **options):
    """(plan of trajectories, plan of density matrices, what was lowered)."""
    lowered = with_whole_channels(lower(circuit, observables))
    engine, kind = get_backend(backend), np.dtype(dtype)
    return TrajectoryPlan(lowered.program, kind, engine, **options), DensityPlan(lowered.program, kind, engine), lowered


def few_channels(seed: int, n: int, most: int = 3):
    """A random circuit with so few channels that all paths can be enumerated, and its arguments for two samples."""
    rng = np.random.default_rng(seed)
    recipe = noise_cases.random_noisy(rng, n, 8, 2, 2)
    while not recipe.after:
        recipe = noise_cases.random_noisy(rng, n, 8, 2, 2)
    kept = dict(sorted(recipe.after.items(), key=lambda item: rng.random())[:most])
    return noise_cases.NoisyRecipe(recipe.recipe, kept), rng


def slots_of(lowered: Lowered, recipe: noise_cases.NoisyRecipe, rng: np.random.Generator, batch: int):
    w, x = recipe.recipe.arguments(rng, batch)
    return w, x, lowered.stage.evaluate(w, x)


ALL = 20_000  # more paths than those circuits have


@contextlib.contextmanager
def sharing(marks: int) -> Iterator[None]:
    """Paths leave the usual one at so many places, however little there is to share; 0: as ever."""
    with pytest.MonkeyPatch.context() as patch:
        if marks:
            patch.setattr(routes, "MUCH_WORK", 0.0)
            patch.setattr(routes, "LEAST_ROWS", 1)
            patch.setattr(routes, "MARKS", marks)
        yield


# every path: exact


@given(seed=SEEDS, n=st.integers(1, 4), batch=st.sampled_from([1, 3]))
def test_all_paths_together_are_the_density_matrix(backend: str, precision: Precision, seed: int, n: int, batch: int):
    recipe, rng = few_channels(seed, n)
    pairs = [strategies.random_observable(rng, n) for _ in range(3)]
    plan, _, lowered = planned(
        recipe.circuit(), [p for p, _ in pairs], backend, precision.dtype, trajectories=ALL, seed=1
    )
    w, x, slots = slots_of(lowered, recipe, rng, batch)
    outputs = lowered.readout.coefficients
    with sharing(seed % 4):
        values, errors = plan.estimate(*slots, outputs)
    rho = recipe.matrices(w, x)
    wanted = np.array([[reference.mixed_expectation(r, m) for _, m in pairs] for r in rho])
    atol = 20 * precision.atol * (1 + np.abs(wanted).max())
    assert not errors.any()
    assert np.allclose(values + lowered.readout.constant, wanted, rtol=0, atol=atol)
    assert np.allclose(plan.forward(*slots)[0] @ outputs.T, values, rtol=0, atol=atol)
    chances = np.abs(plan.states(*slots)) ** 2
    assert np.allclose(chances, np.einsum("bii->bi", rho).real, rtol=0, atol=20 * precision.atol)


@given(seed=SEEDS, n=st.integers(1, 3))
@settings(max_examples=15)
def test_all_gradients_together_are_those_of_the_density_matrix(backend: str, precision: Precision, seed: int, n: int):
    recipe, rng = few_channels(seed, n)
    observables = [strategies.random_observable(rng, n)[0] for _ in range(2)]
    plan, exact, lowered = planned(recipe.circuit(), observables, backend, precision.dtype, trajectories=ALL, seed=1)
    _, _, slots = slots_of(lowered, recipe, rng, 2)
    start = reference.random_state(n, rng)[None] if seed % 2 else None
    if seed % 3 == 0:
        start = np.array([reference.random_state(n, rng) for _ in range(2)])
    with sharing(seed % 4):
        values, tape = plan.forward(*slots, True, start)
    c = rng.normal(size=(2, *values.shape))
    assert np.allclose(values, exact.forward(*slots, False, start)[0], rtol=0, atol=20 * precision.atol)
    for each in (False, True):
        wanted = exact.pullback_to_initial(*slots, c, None, start, each=each)
        for given_tape in (tape, None):
            found = plan.pullback_to_initial(*slots, c, given_tape, start, each=each)
            plain = plan.pullback(*slots, c, given_tape, each, start)
            for a, b in zip((*found, *plain), (*wanted, *wanted[:2]), strict=True):
                assert a.shape == b.shape
                assert np.allclose(a, b, rtol=0, atol=200 * precision.atol * (1 + np.abs(b).max(initial=0)))


@pytest.mark.parametrize("name", CHANNELS)
def test_every_channel_has_the_right_finite_gradient(backend: str, name: str):
    channel = CHANNELS[name]
    circuit = kg.Circuit(2)
    w = circuit.weights(1)
    circuit.rx(w[0], 0).channel(channel, range(channel.n_wires)).cnot(0, 1).ry(w[0], 1).channel(
        channel, (1, 0)[: channel.n_wires]
    )
    plan, exact, _ = planned(circuit, [kg.Z(0), kg.X(1)], backend, trajectories=ALL)
    for angle in (0.3, 0.0, np.pi):
        slots = np.array([angle]), np.zeros((1, 0))
        values, tape = plan.forward(*slots, True)
        assert np.allclose(values, exact.forward(*slots)[0], rtol=0, atol=1e-12)
        found, wanted = (p.pullback(*slots, np.ones((1, 1, 2)), t)[0] for p, t in ((plan, tape), (exact, None)))
        assert np.isfinite(found).all()
        assert np.allclose(found, wanted, rtol=0, atol=1e-12)


def test_operators_that_cannot_be_undone_cut_the_sweep(backend: str):
    circuit = kg.Circuit(3)
    w = circuit.weights(6)
    for layer in range(2):
        for wire in range(3):
            circuit.ry(w[3 * layer + wire], wire).channel(noise.amplitude_damping(0.1), wire)
        circuit.cx(layer, (layer + 1) % 3)
        circuit.channel(noise.reset() if layer == 1 else noise.amplitude_damping(0.999), layer)
    plan, exact, _ = planned(circuit, [kg.Z(0) @ kg.X(1), kg.Y(2)], backend, trajectories=ALL)
    slots = np.linspace(0.1, 2.0, 6), np.zeros((1, 0))
    cuts = [route.edges[1:-1] for route in plan.routes(ALL).groups]
    assert len(cuts) > 20
    assert all(cuts)  # all go through the reset
    assert max(map(len, cuts)) > 10
    c = np.array([[[0.3, -1.2]]])
    assert np.allclose(plan.pullback(*slots, c)[0], exact.pullback(*slots, c)[0], rtol=0, atol=1e-12)


# some paths: unbiased, with the right standard errors


def noisy_layers(n: int, depth: int, channel: noise.Channel, pair: noise.Channel | None = None, start=None):
    circuit = kg.Circuit(n) if start is None else kg.Circuit(n).prepare(start)
    w = circuit.weights(n * depth)
    for layer in range(depth):
        for wire in range(n):
            circuit.ry(w[layer * n + wire], wire).channel(channel, wire)
        for wire in range(n - 1):
            circuit.cx(wire, wire + 1)
            if pair is not None:
                circuit.channel(pair, (wire + 1, wire))
    return circuit


@pytest.mark.parametrize(
    ("name", "least"), [("depolarizing", 0), ("depolarizing", 1), ("depolarizing", 2), ("amplitude_damping", 1)]
)
def test_standard_errors_are_right(backend: str, name: str, least: int):
    channel = {"depolarizing": noise.depolarizing(0.1), "amplitude_damping": noise.amplitude_damping(0.1)}[name]
    circuit, observables, runs = noisy_layers(2, 3, channel, noise.depolarizing(0.1, 2)), [kg.Z(0), kg.X(1)], 100
    weights, none = np.linspace(0.1, 2.5, 6), np.zeros((1, 0))
    _, exact, _ = planned(circuit, observables, backend)
    wanted, scores, spreads, found = exact.forward(weights, none)[0], [], [], []
    for seed in range(runs):
        plan, *_ = planned(circuit, observables, backend, trajectories=150, seed=seed, least=least)
        values, errors = plan.estimate(weights, none)
        scores.append((values - wanted) / errors)
        found.append(values)
        spreads.append(errors)
    squares = (np.array(scores)[..., 0] ** 2).sum()  # the two outputs share paths; one of them is enough
    assert chance(squares, runs) > 1e-6
    assert chance(squares, runs) < 1 - 1e-6
    ratio = np.var(found, axis=0, ddof=1) / np.mean(np.square(spreads), axis=0)
    assert (np.abs(np.log(ratio)) < 5 * np.sqrt(2 / (runs - 1))).all()  # five standard errors of a variance


def test_the_average_is_the_density_matrix_on_random_circuits(backend: str):
    scores = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        recipe = noise_cases.random_noisy(rng, 3, 10, 2, 2)
        plan, exact, lowered = planned(
            recipe.circuit(), [kg.Z(0) + kg.X(1) @ kg.Y(2)], backend, trajectories=300, seed=seed
        )
        _, _, slots = slots_of(lowered, recipe, rng, 2)
        values, errors = plan.estimate(*slots, lowered.readout.coefficients)
        away = values - exact.forward(*slots)[0] @ lowered.readout.coefficients.T
        scores += [d / e for d, e in [(away[0, 0], errors[0, 0])] if e > 1e-9]
        assert (np.abs(away) <= np.maximum(8 * errors, 1e-9)).all()
    assert len(scores) > 15
    assert chance(np.square(scores).sum(), len(scores)) > 1e-6


def test_splitting_off_the_path_without_errors_saves_at_least_five_in_six_trajectories(backend: str):
    circuit = noisy_layers(6, 8, noise.depolarizing(0.001), noise.depolarizing(0.001, 2))
    weights, none = np.random.default_rng(2).uniform(0, 2, 48), np.zeros((1, 0))
    variances = []
    for least in (0, 1, 2):
        plan, *_ = planned(circuit, [kg.Z(w) for w in range(6)], backend, trajectories=4000, seed=3, least=least)
        paths = plan.routes(plan.trajectories).paths
        variances.append((plan.estimate(weights, none)[1] ** 2 * paths.draws).mean())
    plain, split, enumerated = variances
    assert plain > 5 * split
    assert split > 5 * enumerated


# gradients of some paths


@given(seed=SEEDS, n=st.integers(1, 3))
@settings(max_examples=15)
def test_gradients_are_those_of_the_same_trajectories(backend: str, seed: int, n: int):
    rng = np.random.default_rng(seed)
    recipe = noise_cases.random_noisy(rng, n, 8, 2, 2, share=0.8)
    plan, _, lowered = planned(
        recipe.circuit(), [strategies.random_observable(rng, n)[0] for _ in range(2)], backend, trajectories=40, seed=4
    )
    _, _, (shared, per_sample) = slots_of(lowered, recipe, rng, 2)
    with sharing(seed % 4):
        values, tape = plan.forward(shared, per_sample, True)
    c = rng.normal(size=(1, *values.shape))
    to_shared, to_samples = plan.pullback(shared, per_sample, c, tape)
    step = 1e-5
    for gradient, slots in ((to_shared[0], shared), (to_samples[0], per_sample)):
        way = rng.normal(size=slots.shape)
        moved = [
            (shared + s * way, per_sample) if slots is shared else (shared, per_sample + s * way) for s in (step, -step)
        ]
        up, down = (float((c[0] * plan.forward(*m)[0]).sum()) for m in moved)
        slope = (gradient * way).sum()
        assert slope == pytest.approx((up - down) / (2 * step), abs=1e-7 * (1 + np.abs(slope)))


# rows and chunks


@pytest.mark.parametrize("batch", [1, 5])
def test_chunks_change_nothing(backend: str, batch: int, monkeypatch: pytest.MonkeyPatch):
    circuit = kg.Circuit(3)
    w, x = circuit.weights(3), circuit.inputs(3)
    for wire in range(3):
        circuit.ry(x[wire], wire).rx(w[wire], wire).channel(noise.amplitude_damping(0.2), wire)
        circuit.cx(wire, (wire + 1) % 3).channel(noise.depolarizing(0.1, 2), ((wire + 1) % 3, wire))
    rng = np.random.default_rng(0)
    slots = rng.normal(size=3), rng.normal(size=(batch, 3))
    start = np.array([reference.random_state(3, rng) for _ in range(batch)])
    c = rng.normal(size=(2, batch, 2))

    def results():
        plan, *_ = planned(circuit, [kg.Z(0), kg.X(2)], backend, trajectories=100, seed=9)
        tape = plan.forward(*slots, True, start)[1]
        back = plan.pullback_to_initial(*slots, c, tape, start)
        return *plan.estimate(*slots, None, start), *back, *plan.pullback(*slots, c, None, True), plan.states(*slots)

    whole = results()
    with sharing(4):
        marked = results()
    monkeypatch.setattr(path_rows, "CHUNK_ENTRIES", 60)
    monkeypatch.setattr(path_rows, "CHUNK_BYTES", 16 << 5)
    monkeypatch.setattr(trajectories, "KEPT_BYTES", 16 << 8)
    with sharing(3):
        both = results()
    for other in (marked, results(), both):
        for a, b in zip(whole, other, strict=True):
            assert np.allclose(a, b, rtol=0, atol=1e-12)


def test_paths_leave_the_usual_one_where_its_states_are_kept(backend: str):
    start = reference.random_state(3, np.random.default_rng(6))
    circuit = noisy_layers(3, 3, noise.amplitude_damping(0.05), noise.depolarizing(0.02, 2), start)
    circuit.channel(noise.reset(), 1).ry(0.3, 1)
    weights, none, c = np.linspace(0.1, 2.5, 9), np.zeros((1, 0)), np.array([[[0.4, -1.1]]])
    plans = [planned(circuit, [kg.Z(0), kg.X(1)], backend, trajectories=600, seed=2)[0] for _ in range(2)]
    alone = plans[0].estimate(weights, none), plans[0].pullback(weights, none, c)[0]
    assert plans[0].routes(600).marks == (0,)
    with sharing(5):
        found = plans[1].routes(600)
        shared = plans[1].estimate(weights, none), plans[1].pullback(weights, none, c)[0]
    assert len(found.marks) == 5
    assert {route.mark for route in found.groups} == set(range(5))
    for route in found.groups:
        first = plans[1].rows.slots(none, found.paths.errors[route.rows])
        usual = plans[1].rows.slots(none, np.zeros((1, 0), np.int64))
        before = np.array([place.instruction < route.edges[0] for place in plans[1].rows.single.forks])
        assert (first == usual)[:, before].all()  # nothing happens before they leave
    for a, b in zip((*alone[0], alone[1]), (*shared[0], shared[1]), strict=True):
        assert np.allclose(a, b, rtol=0, atol=1e-12)


def test_samples_of_a_batch_share_their_paths(backend: str):
    circuit = kg.Circuit(2)
    x = circuit.inputs(2)
    circuit.ry(x[0], 0).channel(noise.depolarizing(0.2), 0).cx(0, 1).rx(x[1], 1).channel(noise.depolarizing(0.2), 1)
    plan, *_ = planned(circuit.extend(kg.Circuit(2).h(0)), [kg.Z(0), kg.Y(1)], backend, trajectories=10, seed=1)
    rows, none = np.random.default_rng(1).normal(size=(7, 2)), np.zeros(0)
    together, errors = plan.estimate(none, rows)
    assert errors.any()
    for row, value, error in zip(rows, together, errors, strict=True):
        alone = plan.estimate(none, row[None])
        assert np.allclose(alone[0][0], value, rtol=0, atol=1e-12)
        assert np.allclose(alone[1][0], error, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["depolarizing", "thermal_relaxation", "reset"])
def test_parameter_shift_agrees_with_the_adjoint_method(backend: str, name: str):
    circuit = kg.Circuit(3)
    w, x = circuit.weights(4), circuit.inputs(2)
    circuit.ry(w[0], 0).channel(CHANNELS[name], 0).crx(w[1] * x[0], 0, 1).channel(CHANNELS["depolarizing 2"], (0, 1))
    circuit.rz(w[2], 1).ry(x[1], 2).cx(1, 2).channel(CHANNELS[name], 2).single_excitation(w[3], 0, 2)
    model = kg.compile(
        circuit, [kg.Z(0) + kg.X(1), kg.Y(2)], method="trajectories", trajectories=40, seed=3, backend=backend
    )
    weights, inputs = np.array([0.3, 0.7, 1.1, 0.4]), np.array([[0.3, 0.2], [0.6, -0.4], [1, 2]])
    assert "matrix=s" in model.disassembly()  # what runs are single paths
    exact, shifted = (model.jacobian(weights, inputs, method=m) for m in ("adjoint", "parameter-shift"))
    assert np.allclose(exact.weights, shifted.weights, rtol=0, atol=1e-12)
    assert np.allclose(exact.inputs, shifted.inputs, rtol=0, atol=1e-12)


def test_a_tolerance_is_reached_or_missed_aloud(backend: str):
    circuit = noisy_layers(3, 3, noise.depolarizing(0.05))
    weights, none = np.linspace(0.1, 2.5, 9), np.zeros((1, 0))
    for tolerance in (3e-2, 3e-3):
        plan, exact, _ = planned(circuit, [kg.Z(0), kg.X(1)], backend, trajectories=10**6, seed=5, tolerance=tolerance)
        values, errors = plan.estimate(weights, none)
        assert errors.max() <= tolerance
        assert np.abs(values - exact.forward(weights, none)[0]).max() < 6 * tolerance
        again, tape = plan.forward(weights, none, True)
        assert np.array_equal(again, values)
        assert len(tape.routes.paths) < 10**5
        c = np.ones((1, 1, 2))
        assert np.allclose(plan.pullback(weights, none, c)[0], plan.pullback(weights, none, c, tape)[0], atol=1e-12)
    plan, *_ = planned(circuit, [kg.Z(0)], backend, trajectories=100, tolerance=1e-9)
    with pytest.warns(UserWarning, match="1e-09 was wanted"):
        plan.forward(weights, none)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        planned(circuit, [], backend, trajectories=100, tolerance=1e-9)[0].forward(weights, none)


# shots


@pytest.mark.parametrize("general", [False, True])
def test_shots_have_the_distribution_of_the_density_matrix(backend: str, general: bool):
    statistic = freedom = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        recipe = noise_cases.random_noisy(rng, 3, 10, 2, 2, share=0.7)
        if not general:
            unitary = {k: v for k, v in recipe.after.items() if v[0].is_unitary_mixture}
            recipe = noise_cases.NoisyRecipe(recipe.recipe, unitary)
        plan, _, lowered = planned(recipe.circuit(), [], backend)
        w, x, slots = slots_of(lowered, recipe, rng, 2)
        assert plan.rows.single.is_unitary or general
        shots = sample_paths(plan, *slots, 5000, rng, (0, 2))
        assert shots.shape == (2, 5000)
        for drawn, rho in zip(shots, recipe.matrices(w, x), strict=True):
            chances = np.einsum("ii->i", rho).real.reshape(2, 2, 2).sum(axis=1).T.ravel()  # bit 0, then bit 2
            counts, expected = np.bincount(drawn.astype(int), minlength=4), 5000 * chances
            often = expected > 5
            assert counts[~often].sum() < 40
            statistic += ((counts - expected)[often] ** 2 / expected[often]).sum()
            freedom += often.sum() - 1
    assert chance(statistic, freedom) > 1e-6


def test_shots_by_seed_in_chunks_and_from_other_states(backend: str, monkeypatch: pytest.MonkeyPatch):
    for channel in (noise.depolarizing(0.2), noise.amplitude_damping(0.2)):
        plan, *_ = planned(noisy_layers(3, 2, channel), [], backend)
        slots, bits = (np.linspace(0, 2, 6), np.zeros((1, 0))), (2, 1, 0)
        first, same, other = (sample_paths(plan, *slots, 400, np.random.default_rng(s), bits) for s in (1, 1, 2))
        assert np.array_equal(first, same)
        assert not np.array_equal(first, other)
        half = (
            np.bincount(first[0, :200].astype(int), minlength=8),
            np.bincount(first[0, 200:].astype(int), minlength=8),
        )
        assert np.abs(half[0] - half[1]).max() < 80  # in no order
        with monkeypatch.context() as patch:
            patch.setattr("ketgrad.noise.path_samples.CHUNK_BYTES", 16 << 5)
            pieces = sample_paths(plan, *slots, 400, np.random.default_rng(1), bits)
        if plan.rows.single.is_unitary:
            assert np.array_equal(first, pieces)
        else:
            assert np.abs(np.bincount(pieces[0].astype(int)) - np.bincount(first[0].astype(int))).max() < 100
    plan, *_ = planned(kg.Circuit(2).channel(noise.amplitude_damping(0.5), 0), [], backend)
    states = np.eye(4, dtype=complex)[[1, 2]]
    shots = sample_paths(plan, np.zeros(0), np.zeros((2, 0)), 300, np.random.default_rng(3), (1, 0), states)
    assert (shots[0] == 1).all()
    assert set(shots[1].tolist()) == {0, 2}
    assert 90 < (shots[1] == 2).sum() < 210


def test_shots_of_what_is_not_trace_preserving_are_refused(backend: str):
    plan, *_ = planned(kg.Circuit(1).h(0).channel(noise.projection(0), 0), [kg.Z(0)], backend)
    with pytest.raises(ArgumentError, match=r"off by 1; use method='density'"):
        sample_paths(plan, np.zeros(0), np.zeros((1, 0)), 10, np.random.default_rng(0), (0,))
    assert plan.forward(np.zeros(0), np.zeros((1, 0)))[0] == pytest.approx(0.5)
