"""The problem that every annealing engine takes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ketgrad.anneal import Ising


def test_energies_are_the_sum_of_their_terms(rng):
    h, pairs, j = rng.normal(size=4), [(2, 0), (0, 2), (1, 3), (1, 2)], rng.normal(size=4)
    problem = Ising.of(h, pairs, j, offset=0.7, labels="abcd")
    for s in itertools.product((-1, 1), repeat=4):
        wanted = 0.7 + np.dot(h, s) + sum(c * s[a] * s[b] for c, (a, b) in zip(j, pairs, strict=True))
        assert problem.energies(s) == pytest.approx(wanted)
    assert len(problem.pairs) == 3 and problem.labels == tuple("abcd")
    assert "4 spins, 3 couplings" in repr(problem)


def test_neighbours_hold_every_pair_twice(rng):
    pairs = [(a, b) for a, b in itertools.combinations(range(7), 2) if rng.random() < 0.5]
    problem = Ising.of(np.zeros(7), pairs, rng.normal(size=len(pairs)))
    starts, others, couplings = problem.neighbours
    dense = np.zeros((7, 7))
    for k in range(7):
        dense[k, others[starts[k] : starts[k + 1]]] = couplings[starts[k] : starts[k + 1]]
    s = rng.choice([-1, 1], size=(5, 7))
    np.testing.assert_allclose(np.einsum("ri,ij,rj->r", s, dense, s) / 2, problem.energies(s))
    assert not problem.has_fields


def test_a_model_of_dimod_keeps_its_energies(rng):
    dimod = pytest.importorskip("dimod")
    for bqm in (dimod.generators.gnm_random_bqm(6, 9, vartype, random_state=3) for vartype in ("SPIN", "BINARY")):
        problem = Ising.from_bqm(bqm)
        spins = rng.choice([-1, 1], size=(8, 6))
        values = spins if bqm.vartype is dimod.SPIN else (spins + 1) // 2
        np.testing.assert_allclose(problem.energies(spins), bqm.energies((values, list(problem.labels))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "at least one variable"),
        (([0.0, 0.0], [(0, 0)], [1.0]), "two variables"),
        (([0.0, 0.0], [(0, 2)], [1.0]), "0 to 1"),
        (([0.0, 0.0], [(0, 1)], []), "one coupling"),
        (([0.0, np.nan],), "finite, got nan at 1"),
        (([0.0, 0.0], [(0, 1)], [np.inf]), "finite"),
        (([0.0, 0.0], (), (), 0.0, "aa"), "distinct labels"),
    ],
)
def test_what_is_no_problem_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Ising.of(*arguments)


def test_spins_are_plus_and_minus_one():
    problem = Ising.of([1.0, 2.0])
    with pytest.raises(ValueError, match="2 b - 1"):
        problem.energies([0, 1])
    with pytest.raises(ValueError, match=r"\(\.\.\., 2\)"):
        problem.energies([1, 1, 1])
