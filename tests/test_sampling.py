"""Samples: their distribution, their dependence on the seed and on nothing else."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import reference
import strategies
from conftest import BACKENDS, Precision

import ketgrad as kg
from ketgrad import backends, simulator
from ketgrad.errors import ArgumentError, ArgumentTypeError

NONE = np.zeros(0), np.zeros((1, 0))


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


def random_model(
    n: int, rng: np.random.Generator, backend: str, dtype: str = "complex128", **kwargs: object
) -> kg.Model:
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
        drawn = []
        for count in (1, 2, 3, 8):
            kg.set_num_threads(count)
            drawn.append(model.sample(None, inputs, shots=200, seed=4))
        for other in drawn[1:]:
            np.testing.assert_array_equal(other, drawn[0])


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
    monkeypatch.setattr(simulator, "TABLE_BITS", 0)  # outcomes evaluated one by one instead of tallied
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
