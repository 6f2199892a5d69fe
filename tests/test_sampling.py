"""Samples: their distribution, their dependence on the seed and on nothing else."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from collections import Counter
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import reference
import strategies
from conftest import BACKENDS, Precision
from hypothesis import given
from subprocesses import command, environment

import ketgrad as kg
from ketgrad import backends, memory, simulator
from ketgrad.backends import shifted
from ketgrad.errors import ArgumentError, ArgumentTypeError, OutOfMemoryError


def chi_square_deviation(observed: np.ndarray, expected: np.ndarray) -> float:
    """How many standard deviations Pearson's statistic lies from its mean (Wilson and Hilferty's cube root)."""
    order = np.argsort(expected)
    observed, expected = observed[order], expected[order]
    small = int(np.searchsorted(np.cumsum(expected), 5.0)) + 1  # bins too rare to count alone go together
    observed = np.r_[observed[:small].sum(), observed[small:]]
    expected = np.r_[expected[:small].sum(), expected[small:]]
    freedom = len(expected) - 1
    if freedom < 1:
        return 0.0
    statistic = float(((observed - expected) ** 2 / expected).sum())
    spread = 2 / (9 * freedom)
    return float(((statistic / freedom) ** (1 / 3) - (1 - spread)) / np.sqrt(spread))


def test_chi_square_deviation_sees_a_wrong_distribution(rng):
    p = np.array([0.1, 0.2, 0.3, 0.4])
    draws = [np.bincount(rng.choice(4, 1000, p=p), minlength=4) for _ in range(50)]
    assert max(abs(chi_square_deviation(d, 1000 * p)) for d in draws) < 4.5
    assert chi_square_deviation(np.bincount(rng.choice(4, 1000), minlength=4), 1000 * p) > 4.5


def random_model(n: int, rng: np.random.Generator, backend: str, dtype: str = "complex128", **kwargs: Any) -> kg.Model:
    circuit = kg.Circuit(n).prepare(reference.random_state(n, rng))
    return kg.compile(circuit, dtype=dtype, backend=backend, **kwargs)


def tally(bits: np.ndarray) -> np.ndarray:
    """(shots, k) -> how often each outcome."""
    k = bits.shape[1]
    return np.bincount(bits @ (1 << np.arange(k)[::-1]), minlength=2**k)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 13])
def test_samples_follow_the_probabilities(backend, precision: Precision, n, rng):
    model = random_model(n, rng, backend, precision.dtype)
    shots = 40_000
    for seed in (1, 2):
        bits = model.sample(shots=shots, seed=seed)
        assert bits.shape == (shots, n) and bits.dtype == np.uint8
        for wires in [tuple(range(n)), tuple(int(w) for w in rng.permutation(n)[: max(1, n // 2)])]:
            got, wanted = tally(bits[:, list(wires)]), shots * model.probabilities(wires=wires)
            assert abs(chi_square_deviation(got, wanted)) < 4.5


@pytest.mark.parametrize("shots", [1, 2, 1000])
def test_subsets_and_orders_of_wires_are_columns_of_the_full_sample(backend, shots, rng):
    model = random_model(4, rng, backend)
    full = model.sample(shots=shots, seed=5)
    for k in (0, 1, 2, 3, 4):
        for wires in itertools.permutations(range(4), k):
            np.testing.assert_array_equal(model.sample(shots=shots, seed=5, wires=wires), full[:, list(wires)])


def test_counts_are_the_tally_of_the_samples(backend, rng):
    model = random_model(3, rng, backend)
    for wires in ((0, 1, 2), (2, 0), (1,)):
        bits = model.sample(shots=500, seed=8, wires=wires)
        counts = model.counts(shots=500, seed=8, wires=wires)
        assert counts == Counter("".join(map(str, row)) for row in bits)
        assert list(counts) == sorted(counts) and sum(counts.values()) == 500
    assert model.counts(shots=500, wires=()) == {"": 500}


def test_batches(backend, rng):
    recipe = strategies.random_recipe(rng, 3, 10, n_weights=2, n_inputs=2)
    weights, inputs = recipe.arguments(rng, 4)
    model = kg.compile(recipe.circuit(), backend=backend)
    bits, counts = (
        model.sample(weights, inputs, shots=20_000, seed=3),
        model.counts(weights, inputs, shots=20_000, seed=3),
    )
    assert bits.shape == (4, 20_000, 3) and len(counts) == 4
    for b in range(4):
        wanted = 20_000 * model.probabilities(weights, inputs[b])
        assert abs(chi_square_deviation(tally(bits[b]), wanted)) < 4.5
        assert counts[b] == Counter("".join(map(str, row)) for row in bits[b])
    assert model.sample(weights, inputs[0], shots=7, seed=1).shape == (7, 3)
    assert isinstance(model.counts(weights, inputs[0], shots=7, seed=1), dict)


# the rule: cumulative(i - 1) <= u * norm < cumulative(i)


def sample(backend: str, states: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    return backends.get_backend(backend).sample(states, uniforms)


@st.composite
def exact_draws(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A state whose probabilities are whole numbers, so that every sum is exact, and uniforms, some at its edges."""
    n, shots = draw(st.integers(1, 14)), draw(st.sampled_from([1, 2, 17, 300, 5000]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kept = draw(st.sampled_from([1.0, 0.5, 0.01, 0.0]))
    state = np.where(rng.random(2**n) < kept, rng.integers(-15, 16, 2**n) + 1j * rng.integers(-15, 16, 2**n), 0)
    state[rng.integers(2**n) if draw(st.booleans()) else -1] = draw(st.sampled_from([1, 1j, 4000]))
    uniforms = rng.random(shots)
    edges = np.cumsum(np.abs(state) ** 2).round() / (np.abs(state) ** 2).sum().round()
    some = rng.choice(edges, shots // 2)
    uniforms[: shots // 2] = np.where(rng.random(len(some)) < 0.5, some, np.nextafter(some, 0))
    uniforms[0] = draw(st.sampled_from([0.0, 1 - 2**-53]))
    return state[None], np.minimum(uniforms, 1 - 2**-53)[None]


@given(exact_draws())
def test_the_index_is_the_one_of_the_rule(backend, precision: Precision, drawn):
    state, uniforms = drawn
    cumulative = np.cumsum((state.real**2 + state.imag**2)[0])
    wanted = np.searchsorted(cumulative, uniforms[0] * cumulative[-1], side="right")
    np.testing.assert_array_equal(sample(backend, state.astype(precision.dtype), uniforms)[0], wanted)


@pytest.mark.parametrize(("n", "shots"), [(16, 10), (16, 100_000), (18, 10_000), (19, 1_100_000), (21, 1)])
def test_the_index_is_the_one_of_the_rule_in_large_states(backend, n, shots, rng):
    state = (rng.integers(-9, 10, (1, 2**n)) * (rng.random((1, 2**n)) < 0.3)).astype(complex)
    uniforms = rng.random((1, shots))
    cumulative = np.cumsum(state[0].real ** 2)
    wanted = np.searchsorted(cumulative, uniforms[0] * cumulative[-1], side="right")
    np.testing.assert_array_equal(sample(backend, state, uniforms)[0], wanted)


def test_one_heavy_outcome_before_many_light_ones(backend, rng):
    """All the light ones lie in one entry of the guide table."""
    state = np.full((1, 2**15), 1e-4, dtype=complex)
    state[0, 0] = 40
    cumulative = np.cumsum(np.abs(state[0]) ** 2)
    uniforms = 1 - rng.random((1, 5000)) * (1 - cumulative[0] / cumulative[-1])
    drawn = sample(backend, state, np.minimum(uniforms, 1 - 2**-53))[0].astype(int)
    wanted = np.searchsorted(cumulative, uniforms[0] * cumulative[-1], side="right")
    assert np.abs(drawn - wanted).max() <= 1 and len(set(drawn)) > 4000


@pytest.mark.parametrize(("n", "shots"), [(3, 1000), (6, 100), (13, 50), (13, 20_000), (17, 300)])
def test_outcomes_and_counts_of_listed_bits(backend, precision: Precision, n, shots, rng):
    """In tables and by sorting, for neighbouring and scattered bits."""
    engine = backends.get_backend(backend)
    states = np.array([reference.random_state(n, rng) for _ in range(3)]).astype(precision.dtype)
    uniforms = rng.random((3, shots))
    indices = engine.sample(states, uniforms)
    for bits in (None, (), (0,), (n - 1,), (2, 1), (0, 2), tuple(rng.permutation(n).tolist()), tuple(range(1, n))):
        listed = range(n - 1, -1, -1) if bits is None else bits
        wanted = np.zeros_like(indices)
        for b in listed:
            wanted = wanted << np.uint64(1) | indices >> np.uint64(b) & np.uint64(1)
        np.testing.assert_array_equal(engine.sample(states, uniforms, bits), wanted)
        tallies = engine.counts(states, uniforms, bits)
        assert [a.dtype for a in tallies] == [np.int64, np.uint64, np.int64] and tallies.starts[0] == 0
        for (outcomes, counts), row in zip(tallies.rows(), wanted, strict=True):
            values, numbers = np.unique(row, return_counts=True)
            np.testing.assert_array_equal(outcomes, values)
            np.testing.assert_array_equal(counts, numbers)


def test_no_rows_and_no_shots(backend):
    engine = backends.get_backend(backend)
    for batch, shots in ((0, 5), (3, 0), (0, 0)):
        states, uniforms = np.ones((batch, 8), complex), np.zeros((batch, shots))
        assert engine.sample(states, uniforms).shape == (batch, shots)
        tallies = engine.counts(states, uniforms)
        assert tallies.starts.tolist() == [0] * (batch + 1) and not len(tallies.outcomes) and not len(tallies.counts)


@pytest.mark.parametrize("bits", [(0, 0), (3,), (-1,), (0.5,)])
def test_bits_that_cannot_be(backend, bits):
    engine = backends.get_backend(backend)
    for call in (engine.sample, engine.counts):
        with pytest.raises(ArgumentError, match="bits must be distinct and below 3"):
            call(np.ones((1, 8), complex), np.zeros((1, 4)), bits)


@pytest.mark.parametrize("n", [1, 4, 12, 15])
def test_inversion_of_the_cumulative_distribution(backend, precision: Precision, n, rng):
    states = np.array([reference.random_state(n, rng) for _ in range(3)]).astype(precision.dtype)
    states[1] *= 3  # the norm is divided out
    uniforms = rng.random((3, 2000))
    uniforms[:, :2] = 0.0, 1 - 2**-53
    drawn = sample(backend, states, uniforms)
    assert drawn.shape == uniforms.shape and drawn.dtype == np.uint64
    for state, u, index in zip(states, uniforms, drawn.astype(np.int64), strict=True):
        cumulative = np.r_[0.0, np.cumsum(np.abs(state.astype(complex)) ** 2)]
        target, edge = u * cumulative[-1], 1e-9 * cumulative[-1]
        assert np.all(cumulative[index] <= target + edge) and np.all(target <= cumulative[index + 1] + edge)


def test_outcomes_of_probability_zero_are_never_drawn(backend, precision: Precision):
    """At both ends of the unit interval, and in gaps, also behind whole blocks of zeros."""
    edges = np.array([[0.0, 1e-320, 0.25, 0.5 - 1e-12, 0.5, 0.75, 1 - 2**-53]])
    for n, first, last in ((3, 2, 5), (13, 4100, 4101), (14, 0, 16383), (14, 5000, 9000), (2, 0, 3)):
        state = np.zeros((1, 2**n), dtype=precision.dtype)
        state[0, [first, last]] = np.sqrt(0.5)
        drawn = sample(backend, state, edges)[0]
        assert set(drawn) <= {first, last}
        assert drawn[0] == drawn[1] == first and drawn[-1] == last, drawn


def test_both_backends_draw_the_same(rng):
    if len(BACKENDS) < 2:
        pytest.skip("compares two backends")
    for n in (2, 7, 13, 16):
        a, b = (random_model(n, np.random.default_rng(n), backend).sample(shots=20_000, seed=n) for backend in BACKENDS)
        assert (a != b).any(axis=1).mean() < 1e-3  # only draws at a bin's edge may differ


# seeds


def test_same_seed_same_samples_for_any_number_of_threads(backend, threads, rng):
    for n, batch in ((3, 1), (3, 100), (13, 3), (17, 1)):
        circuit = kg.Circuit(n)
        x = circuit.inputs(1)
        for q in range(n):
            circuit.ry(x[0] + 0.1 * q, q)
        model = kg.compile(circuit.cx(0, 1).cx(1, 2), backend=backend)
        inputs = rng.normal(size=(batch, 1))
        for shots in (200, 30_000 // batch):  # the latter is shared out within a row where there is one
            drawn = []
            for count in (1, 2, 3, 8):
                kg.set_num_threads(count)
                bits, counts = (f(None, inputs, shots=shots, seed=4) for f in (model.sample, model.counts))
                drawn.append((bits.tobytes(), counts))
            assert drawn[1:] == drawn[:1] * 3


def test_samples_do_not_depend_on_the_size_of_chunks(backend, monkeypatch, rng):
    recipe = strategies.random_recipe(rng, 5, 10, n_inputs=2)
    weights, inputs = recipe.arguments(rng, 9)
    observables = [kg.Z(0), kg.X(1) @ kg.Y(2) + 0.5 * kg.Z(3)]

    def everything() -> list[np.ndarray]:
        model = kg.compile(recipe.circuit(), observables, backend=backend)
        return [
            model.sample(weights, inputs, shots=100, seed=4),
            model.probabilities(weights, inputs, (3, 1)),
            *model.estimate(weights, inputs, shots=100, seed=4),
        ]

    whole = everything()
    monkeypatch.setattr(simulator, "CHUNK_BYTES", 5000)
    for a, b in zip(everything(), whole, strict=True):
        np.testing.assert_array_equal(a, b)
    monkeypatch.setattr(shifted, "TABLE_BITS", 0)  # outcomes evaluated one by one instead of tallied
    for a, b in zip(everything(), whole, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_consecutive_seeds_are_not_correlated(backend):
    model = kg.compile(kg.Circuit(1).h(0), backend=backend)
    shots, seeds = 64, 1000
    means = np.array([model.sample(shots=shots, seed=s).mean() for s in range(seeds)])
    z = (means - 0.5) / np.sqrt(0.25 / shots)
    assert abs(z.mean()) < 4.5 / np.sqrt(seeds)
    assert abs(z.var() - 1) < 4.5 * np.sqrt(2 / seeds)
    for lag in (1, 2, 3):
        assert abs((z[lag:] * z[:-lag]).mean()) < 4.5 / np.sqrt(seeds - lag)
    first = np.array([model.sample(shots=1, seed=s)[0, 0] for s in range(seeds)])
    assert abs(first.mean() - 0.5) < 4.5 * 0.5 / np.sqrt(seeds)


def test_a_seed_is_repeatable_a_generator_moves_on_and_none_is_fresh(backend, rng):
    model = random_model(5, rng, backend)
    np.testing.assert_array_equal(model.sample(shots=50, seed=1), model.sample(shots=50, seed=np.int64(1)))
    assert np.any(model.sample(shots=50, seed=1) != model.sample(shots=50, seed=2))
    generator = np.random.default_rng(1)
    first, second = model.sample(shots=50, seed=generator), model.sample(shots=50, seed=generator)
    np.testing.assert_array_equal(first, model.sample(shots=50, seed=1))
    assert np.any(first != second)
    assert np.any(model.sample(shots=50) != model.sample(shots=50))
    state = np.random.get_state()[1].copy()
    model.sample(shots=5)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # the global generator is nobody's business


def test_basis_states_have_one_outcome_and_no_variance(backend, precision: Precision):
    circuit = kg.Circuit(4).basis_state("0110")
    model = kg.compile(circuit, [kg.Z(1), kg.Projector("01", (0, 1))], dtype=precision.dtype, backend=backend)
    assert model.counts(shots=10, seed=0) == {"0110": 10}
    mean, variance = model.estimate(shots=10, seed=0)
    np.testing.assert_allclose(mean, [-1, 1], atol=1e-12)
    np.testing.assert_allclose(variance, 0, atol=1e-12)


def test_samples_from_given_states(backend, rng):
    state = reference.random_state(3, rng)
    given_start = kg.compile(kg.Circuit(3).h(1), kg.Z(0), backend=backend)
    prepared = kg.compile(kg.Circuit(3).prepare(state).h(1), kg.Z(0), backend=backend)
    bits = given_start.sample(shots=50, seed=1, initial=state)
    np.testing.assert_array_equal(bits, prepared.sample(shots=50, seed=1))
    both = given_start.counts(shots=50, seed=1, initial=np.array([state, state]))
    assert both[0] == prepared.counts(shots=50, seed=1) and both[1] != both[0]


def test_an_estimate_is_the_mean_over_the_samples(backend, rng):
    """Few measured wires of many, and more of them than a table of all outcomes has bits."""
    n, shots = 14, 3000
    wide = kg.Z(0)
    for q in range(1, n):
        wide = wide @ kg.Z(q)
    for observable, wires in ((kg.Z(9) @ kg.Z(2) - 0.5 * kg.Projector("10", (2, 5)), (9, 2, 5)), (wide, range(n))):
        model = random_model(n, rng, backend, observables=[observable])
        bits = model.sample(shots=shots, seed=6, wires=wires).astype(float)
        values = 1 - 2 * ((bits[:, 0] + bits[:, 1]) % 2) - 0.5 * bits[:, 1] * (1 - bits[:, 2])
        if len(wires) == n:
            values = 1 - 2 * (bits.sum(axis=1) % 2)
        mean, variance = model.estimate(shots=shots, seed=6)
        np.testing.assert_allclose(mean, values.mean(), atol=1e-12)
        np.testing.assert_allclose(variance, values.var(ddof=1) / shots, rtol=1e-10)


def test_shots_that_do_not_fit_are_refused_before_they_are_drawn(backend, monkeypatch):
    model = kg.compile(kg.Circuit(1).h(0), kg.Z(0), backend=backend)
    monkeypatch.setattr(memory, "available_bytes", lambda: 100 << 20)
    for call in (model.sample, model.counts, model.estimate):
        started = time.perf_counter()
        with pytest.raises(OutOfMemoryError, match="shots"):
            call(shots=20_000_000)
        assert time.perf_counter() - started < 0.05


INTERRUPT = """
import signal, time
import numpy as np, ketgrad as kg
from ketgrad.backends import get_backend
signal.signal(signal.SIGINT, signal.default_int_handler)
engine, rng = get_backend("{backend}"), np.random.default_rng(1)
states, uniforms = rng.normal(size=(1, 2**20)).astype(complex), rng.random((1, 4_000_000))
def run(some): engine.{kind}(states, uniforms[:, :some], tuple(range(12)))
run(10)
print("ready", flush=True)
try:
    for _ in range(1000): run(None)
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
run(10)
print("usable", flush=True)
"""


@pytest.mark.parametrize("kind", ["sample", "counts"])
def test_control_c_is_heard_while_shots_are_drawn(backend, kind):
    script = INTERRUPT.format(backend=backend, kind=kind)
    with subprocess.Popen(command(script), env=environment(), stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline().strip() == "ready"
            time.sleep(0.7)
            sent = time.monotonic()
            child.send_signal(signal.SIGINT)
            heard, usable = child.communicate(timeout=60)[0].split("\n")[:2]
        finally:
            child.kill()
    assert usable == "usable" and float(heard) - sent < 0.5


@pytest.mark.parametrize(
    ("shots", "error"),
    [(0, ArgumentError), (-1, ArgumentError), (10**9 + 1, ArgumentError), (10**30, ArgumentError),
     (1.0, ArgumentTypeError), ("5", ArgumentTypeError), (True, ArgumentTypeError), (None, ArgumentTypeError),
     ([1], ArgumentTypeError)],
)  # fmt: skip
def test_shots_that_cannot_be(backend, shots, error):
    model = kg.compile(kg.Circuit(1).h(0), kg.Z(0), backend=backend)
    for call in (model.sample, model.counts, model.estimate):
        with pytest.raises(error, match="shots"):
            call(shots=shots)
    if shots is not None:
        for call in (model, model.forward, model.jacobian):
            with pytest.raises(error, match="shots"):
                call(shots=shots)


@pytest.mark.parametrize(
    ("seed", "error"),
    [(-1, ArgumentError), (1.5, ArgumentTypeError), ("a", ArgumentTypeError), (True, ArgumentTypeError)],
)
def test_seeds_that_cannot_be(backend, seed, error):
    model = kg.compile(kg.Circuit(1).h(0), kg.Z(0), backend=backend)
    for call in (model.sample, model.counts, model.estimate):
        with pytest.raises(error, match="seed"):
            call(shots=5, seed=seed)
