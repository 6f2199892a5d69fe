"""Paths: strata, weights and draws against the list of all paths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise_cases import chance

from ketgrad.noise.paths import BLOCK, Paths, PathSpace, distinct, stream

SEEDS = st.integers(0, 2**32 - 1)


def random_space(seed: int, sites: int) -> list[np.ndarray]:
    """Probabilities of sites with two to four choices, mostly small errors, some large, the usual one anywhere."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(sites):
        errors = rng.uniform(0, 0.3, rng.integers(1, 4)) * rng.choice([1e-3, 1, 1])
        out.append(rng.permutation(np.append(errors, 1 - errors.sum())))
    return out


def listed(probabilities: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choices of all paths, their probabilities, and how many errors they have."""
    choices = np.array(list(itertools.product(*(range(len(q)) for q in probabilities))))
    choices = choices.reshape(len(choices), len(probabilities))
    weights = np.prod([[q[c] for q, c in zip(probabilities, row, strict=True)] for row in choices], axis=1)
    usual = np.array([np.argmax(q) for q in probabilities])
    return choices, weights, (choices != usual).sum(axis=1)


@given(seed=SEEDS, sites=st.integers(1, 5))
def test_strata_are_those_of_the_list_of_all_paths(seed: int, sites: int):
    probabilities = random_space(seed, sites)
    space, (choices, weights, errors) = PathSpace(probabilities), listed(probabilities)
    for m in range(sites + 2):
        assert space.tail(m) == pytest.approx(weights[errors >= m].sum(), rel=1e-12, abs=1e-300)
        assert space.ways(m) == (errors == m).sum()
        paths = space.enumerated(m)
        found = [tuple(row) for row in space.choices(paths).astype(int).tolist()]
        wanted = {tuple(c.tolist()): w for c, w in zip(choices[errors < m], weights[errors < m], strict=True)}
        assert len(found) == len(wanted)
        assert set(found) == set(wanted)
        assert np.allclose(space.probabilities(paths), [wanted[f] for f in found], rtol=1e-12)


def test_draws_have_the_conditional_distribution():
    statistic, freedom = 0.0, 0
    for seed in range(12):
        probabilities = random_space(seed, 4)
        space, (choices, weights, errors) = PathSpace(probabilities), listed(probabilities)
        for m in range(5):
            if space.tail(m) < 1e-12:
                continue
            found = space.choices(space.drawn(20_000, m, (seed,))).astype(int)
            where = np.ravel_multi_index(tuple(found.T), [len(q) for q in probabilities])  # as in the list
            counts = np.bincount(where, minlength=len(choices))
            expected = 20_000 * np.where(errors >= m, weights, 0.0) / space.tail(m)
            assert not counts[expected == 0].any()
            often = expected > 5
            statistic += ((counts - expected)[often] ** 2 / expected[often]).sum()
            rest = counts[~often].sum(), expected[~often].sum()
            if rest[1] > 5:
                statistic += (rest[0] - rest[1]) ** 2 / rest[1]
            freedom += often.sum() - (rest[1] <= 5)
    assert chance(statistic, freedom) > 1e-6


@given(seed=SEEDS, sites=st.integers(0, 6), budget=st.integers(2, 400))
def test_budgets(seed: int, sites: int, budget: int):
    probabilities = random_space(seed, sites)
    space, (choices, weights, _) = PathSpace(probabilities), listed(probabilities)
    paths = space.paths(budget, (seed,))
    assert paths.weights.sum() == pytest.approx(1, rel=1e-12)
    assert len(paths) <= budget
    exact = paths.counts == 0
    assert exact.sum() + paths.draws <= budget
    assert len(distinct(paths.errors)[0]) == len(paths)
    if paths.tail == 0:  # then nothing is left to chance
        index = {tuple(c): w for c, w in zip(choices.tolist(), weights, strict=True)}
        rows = space.choices(paths.errors).astype(int).tolist()
        assert np.allclose(paths.weights, [index[tuple(r)] for r in rows], rtol=1e-12)
    else:
        assert paths.tail == pytest.approx(space.tail(paths.least))
        assert np.allclose(paths.weights[exact], space.probabilities(paths.errors[exact]), rtol=1e-12)
        assert np.allclose(paths.weights[~exact], paths.tail * paths.counts[~exact] / paths.draws, rtol=1e-12)


def same(a: Paths, b: Paths) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


def test_the_same_seed_gives_the_same_paths_and_more_of_them_begin_with_the_fewer():
    space = PathSpace([np.array([0.9, 0.05, 0.05])] * 30)
    assert same(space.paths(500, (7,)), PathSpace([np.array([0.9, 0.05, 0.05])] * 30).paths(500, (7,)))
    assert not same(space.paths(500, (7,)), space.paths(500, (8,)))
    for m in (0, 1, 3):
        many = space.drawn(3 * BLOCK, m, (7,))
        few = space.drawn(BLOCK + 5, m, (7,))
        width = few.shape[1]
        assert np.array_equal(many[: len(few), :width], few)
        assert (many[: len(few), width:] == -1).all()
        assert not np.array_equal(space.drawn(100, m, (8,)), few[:100, :width])
        assert not np.array_equal(many[:BLOCK], many[BLOCK : 2 * BLOCK])
    users = np.random.default_rng(7).random(4)  # a user's own generator of this seed has other numbers
    assert not np.isin(users, stream((7,), 0).random(100)).any()


def test_what_is_enumerated_is_what_pays():
    weak = PathSpace([np.array([0.999, *[0.001 / 3] * 3])] * 100)
    assert weak.paths(100, (0,)).least == 1  # the path without errors
    few = weak.paths(1000, (0,))
    assert few.least == 2  # and the 300 with one
    assert few.draws == 1000 - 301
    assert few.tail == pytest.approx(1 - 0.999**100 - 100 * 0.001 * 0.999**99)
    strong = PathSpace([np.full(4, 0.25)] * 1000)  # its weights are 0 in floating-point numbers
    assert strong.paths(100, (0,)).least == 0
    assert (strong.paths(100, (0,)).weights == 0.01).all()


def test_the_budget_of_a_standard_error_is_the_cheapest():
    space = PathSpace([np.array([0.999, *[0.001 / 3] * 3])] * 100)
    for error in (1e-1, 1e-2, 2e-3, 1e-3, 1e-4, 3e-6):
        budget = space.budget(0.3, error)
        costs = [sum(map(space.ways, range(m))) + max(32, 1.25 * (space.tail(m) * 0.3 / error) ** 2) for m in range(6)]
        assert budget == np.ceil(min(costs))
        paths = space.paths(budget, (0,))
        assert 0.3 * paths.tail / np.sqrt(paths.draws) <= error
    assert space.budget(0.3, 1e-3) == 301 + 32
    assert PathSpace([np.full(4, 0.25)] * 1000).budget(1.0, 0.1) == 125
    assert PathSpace([np.array([0.9, 0.1])] * 5).budget(1.0, 1e-9) == 32
    assert PathSpace([]).budget(1.0, 1e-9) == 1


def test_errors_that_hardly_ever_happen_are_weighed_without_cancellation():
    space = PathSpace([np.array([1 - 1e-12, 1e-12])] * 50)
    assert space.tail(1) == pytest.approx(50e-12, rel=1e-9)
    assert space.tail(2) == pytest.approx(50 * 49 / 2 * 1e-24, rel=1e-9)
    drawn = space.drawn(4000, 2, (1,))
    assert drawn.shape == (4000, 2)  # exactly two, never three
    assert (drawn[:, 0] < drawn[:, 1]).all()
    ends = np.bincount(drawn.ravel(), minlength=50)
    assert chance(((ends - 160) ** 2 / 160).sum(), 49) > 1e-6


def test_nothing_to_choose():
    space = PathSpace([])
    paths = space.paths(100, (0,))
    assert len(paths) == 1
    assert paths.weights[0] == 1
    assert space.choices(paths.errors).shape == (1, 0)
    assert paths.tail == 0
