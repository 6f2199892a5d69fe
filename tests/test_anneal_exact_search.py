"""The number of steps that a tolerance takes: against independent integration, and the search by itself."""

from __future__ import annotations

import itertools

import anneal_oracle as oracle
import numpy as np
import pytest

from ketgrad.anneal import Diagonal, ExactAnnealing, Ising, Schedule, anneal, exact, exact_search
from ketgrad.anneal.exact_search import error_of_last, first_steps, search
from ketgrad.anneal.exact_steps import steps_of_pieces
from ketgrad.anneal.schedules import Path
from ketgrad.errors import ArgumentError


def random_ising(rng):
    n = int(rng.integers(2, 6))
    pairs = [pair for pair in itertools.combinations(range(n), 2) if rng.random() < 0.7] or [(0, 1)]
    scale = np.exp(rng.uniform(-1, 1))
    return Ising.of(scale * rng.normal(size=n) * (rng.random() < 0.7), pairs, scale * rng.normal(size=len(pairs)))


def random_schedule(rng):
    """A schedule, A and B as functions of s, and where they are not smooth."""
    name = rng.choice(["linear", "circular", "quadratic", "table", "waves"])
    if name == "table":
        s = np.array([0.0, *np.sort(rng.uniform(0.1, 0.9, 2)), 1.0])
        a, b = np.sort(rng.uniform(0, 3, 4))[::-1].copy(), np.sort(rng.uniform(0, 3, 4))
        return (s, a, b), lambda x: (np.interp(x, s, a), np.interp(x, s, b)), s[1:3]
    if name == "waves":
        w = rng.uniform(2, 10)
        functions = (lambda x: 1 - x + 0.3 * np.sin(w * x), lambda x: x + 0.2 * np.sin(w * x) ** 2)
        return functions, lambda x: tuple(f(x) for f in functions), []
    plan = Schedule.of(str(name))
    return str(name), lambda x: tuple(float(v) for v in plan(np.array(x))), []


@pytest.mark.parametrize(("order", "tolerance"), [(4, 1e-3), (4, 1e-6), (4, 1e-8), (6, 1e-6), (6, 1e-8), (2, 1e-4)])
def test_the_tolerance_is_kept_on_any_anneal(order, tolerance):
    """Random problems, schedules, times and paths against Runge-Kutta of eighth order."""
    rng = np.random.default_rng([5, order])
    for _ in range(12):
        problem, (plan, at, kinks) = random_ising(rng), random_schedule(rng)
        total = np.exp(rng.uniform(-1.5, 2.5))
        points = np.array([[0, 0], [0.3, 0.4], [0.55, 0.4], [0.6, 0.7], [1, 1]]) * [total, 1]
        if rng.random() < 0.6:
            points = points[[0, -1]]
        crossed = np.interp(kinks, *points.T[::-1])
        result = ExactAnnealing(problem, order=order).run(plan, path=points, tolerance=tolerance, records=1)
        psi = oracle.evolved(
            oracle.driver(problem.n),
            (diagonal := np.diag(oracle.problem_matrix(problem))),
            np.full(len(diagonal), len(diagonal) ** -0.5),
            lambda t, at=at, points=points: at(float(np.interp(t, *points.T))),
            np.unique([*points[:, 0], *crossed]),
        )
        p = np.abs(psi) ** 2 / np.linalg.norm(psi) ** 2
        assert abs(result.success_probability - p[diagonal < diagonal.min() + 1e-9].sum()) <= tolerance
        assert abs(result.energy - p @ diagonal) <= tolerance * np.ptp(diagonal)
        assert 0 <= result.error <= tolerance


def test_pieces_of_few_steps_are_refined():
    """Four pieces of one step each: twice the steps of the whole are again these."""
    points = [[0, 0], [0.1, 0.4], [0.2, 0.4], [0.25, 0.7], [0.3, 1]]
    problem = Ising.of([0.3, 0.1], [(0, 1)], [1.0])
    result = anneal(problem, path=points, tolerance=1e-8)
    fine = anneal(problem, path=points, steps=400)
    assert abs(result.success_probability - fine.success_probability) <= 1e-8 and result.error > 0


def test_no_step_is_longer_than_asked_for():
    path = Path.of(None, [[0, 0], [0.1, 0.5], [4, 0.6], [10, 1]])
    for steps in (1, 7, 100):
        counts = steps_of_pieces(Schedule.of("linear"), path, steps)
        assert (np.diff(path.times) / counts <= 10 / steps * (1 + 1e-9)).all() and counts.sum() <= steps + 2
    np.testing.assert_array_equal(steps_of_pieces(Schedule.of("linear"), Path.of(7.0), 21), [21])


class Told:
    """An anneal that gives a number."""

    def __init__(self, value, interrupted=False):
        self.final, self.interrupted = np.array([value, 0.0]), interrupted


def test_a_law_that_holds_takes_two_trials_and_one_anneal():
    calls = []

    def told(counts, trial):
        calls.append((int(counts[0]), trial))
        return Told(0.5 + 3.0 * float(counts[0]) ** -4)

    counts, found, error = search(np.array([10]), 4, 1e-6, told)
    assert [trial for _, trial in calls] == [True, True, False] and calls[1][0] == 15
    assert error == pytest.approx(3.0 * float(counts[0]) ** -4) and 0.5e-6 < error <= 1e-6
    assert found.final[0] == pytest.approx(0.5 + error)


def test_terms_that_cancel_do_not_pass_for_small_errors():
    """The error n^-4 - 225 n^-6 is 0 at the second trial, of 15 steps."""

    def told(counts, trial):
        n = float(counts[0])
        return Told(n**-4 - 225 * n**-6)

    for tolerance in (1e-5, 1e-6, 1e-8):
        counts, found, error = search(np.array([10]), 4, tolerance, told)
        assert abs(found.final[0]) <= error * (1 + 1e-9) <= tolerance
    assert error_of_last([(n, told([n], False).final) for n in (15.0, 20.0)], 4) < 0.5 * told([20], False).final[0]


def test_every_piece_counts_with_what_it_is_refined_by():
    """All of the error is that of a piece with one step in the beginning."""
    seen = []

    def told(counts, trial):
        seen.append(counts)
        return Told(0.1 * float(counts[1]) ** -4)

    counts, found, error = search(np.array([40, 1, 9]), 4, 1e-6, told)
    assert all((b >= 1.5 * a).all() for a, b in itertools.pairwise(seen))
    assert 0.1 * float(counts[1]) ** -4 <= error <= 1e-6


def test_a_search_ends():
    with pytest.raises(ArgumentError, match=r"tolerance of 1e-06 needs more than 10,000,000 steps"):
        search(np.array([10]), 4, 1e-6, lambda counts, trial: Told(np.log(float(counts[0]))))
    counts, found, error = search(np.array([10]), 4, 1e-6, lambda counts, trial: Told(0.0, counts[0] > 12))
    assert found.interrupted and error is None and counts[0] == 15


def test_loose_tolerances_start_with_fewer_steps():
    firsts = [first_steps(100, tolerance, 4) for tolerance in (1e-1, 1e-6, 1e-10)]
    assert firsts == [30, 50, 500] and first_steps(4, 1e-6, 4) == exact_search.LEAST_STEPS


@pytest.mark.parametrize("fields", [True, False], ids=["fields", "parity"])
def test_trials_in_single_precision_change_no_result(rng, backend, monkeypatch, fields):
    pairs = list(itertools.combinations(range(6), 2))
    problem = Ising.of(rng.normal(size=6) * fields, pairs, rng.normal(size=15))
    calls = []

    def run(**options):
        return ExactAnnealing(problem, backend=backend).run("linear", 6.0, **options)

    fine = run(steps=400)
    monkeypatch.setattr(exact, "SINGLE_FROM", 4)
    result = run(tolerance=1e-6)
    assert result.state.dtype == np.complex128
    np.testing.assert_array_equal(result.state, run(steps=result.steps).state)
    assert abs(result.success_probability - fine.success_probability) <= 1e-6
    stopped = run(tolerance=1e-6, interrupt=lambda: calls.append(1) or len(calls) == 2)
    assert stopped.interrupted and stopped.state.dtype == np.complex128 and stopped.error is None
    assert run(tolerance=1e-10).error <= 1e-10  # trials are as exact as that needs


def test_one_deep_state_among_flat_energies():
    """What turning a spin changes is nothing for almost all states; the guess must see the one."""
    energies = np.zeros(256)
    energies[77] = -8.0
    problem = Diagonal.of(energies)
    result = anneal(problem, "linear", 8.0, tolerance=1e-6)
    assert abs(result.success_probability - anneal(problem, "linear", 8.0, steps=900).success_probability) <= 1e-6
