"""Time to solution, success and residual energy, beside known values and coverage; the comparison of samplers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ketgrad.anneal import generators
from ketgrad.anneal.comparison import compare
from ketgrad.anneal.success import optimal_time_to_solution, repetitions, success_of, time_to_solution
from ketgrad.errors import ArgumentError, ArgumentTypeError, ParameterError

dimod = pytest.importorskip("dimod")
pytest.importorskip("scipy")


def test_repetitions() -> None:
    assert repetitions(0.5) == pytest.approx(math.log(100) / math.log(2))
    assert repetitions(0.9) == pytest.approx(2)
    assert repetitions(0.999) == 1 and repetitions(1.0) == 1
    assert repetitions(0.0) == math.inf
    assert repetitions(0.25, target=0.75) == pytest.approx(math.log(4) / math.log(4 / 3))
    # the published anneal of the spike at n = 16: T = 10, p = 0.12011
    assert 10 * repetitions(0.12011) == pytest.approx(360, abs=0.5)
    # a run of that many anneals indeed succeeds in 99 of 100 cases
    rng, n = np.random.default_rng(0), math.ceil(float(repetitions(0.05)))
    share = (rng.random((20_000, n)) < 0.05).any(axis=1).mean()
    assert share == pytest.approx(1 - 0.95**n, abs=0.004) and 0.99 <= 1 - 0.95**n < 0.9905


def test_time_to_solution() -> None:
    found = time_to_solution(2.0, 30, 100)
    assert found.value == pytest.approx(2 * math.log(0.01) / math.log(0.7))
    assert found.low < found.value < found.high
    none, all_hits = time_to_solution(1.0, 0, 50), time_to_solution(1.0, 50, 50)
    assert none.value == none.high == math.inf and 50 < none.low < 200
    assert all_hits.value == all_hits.low == 1 < all_hits.high < 2
    assert time_to_solution(1.0, 3, 3).high > 1
    assert time_to_solution(1.0, 30, 100, level=0.5).high < found.high / 2
    assert str(none).startswith("inf (")


@pytest.mark.parametrize(("p", "reads"), [(0.02, 200), (0.3, 30), (0.9, 40)])
def test_intervals_cover(p: float, reads: int) -> None:
    """Of intervals at 90 percent, about 90 percent hold the truth."""
    rng, truth, trials = np.random.default_rng(1), float(repetitions(p)), 400
    inside = 0
    for _ in range(trials):
        found = time_to_solution(1.0, int(rng.binomial(reads, p)), reads, level=0.9)
        inside += found.low <= truth <= found.high
    assert 0.85 < inside / trials < 0.97


def test_optimal_time() -> None:
    times, p = np.array([1.0, 2.0, 4.0, 8.0]), np.array([0.01, 0.1, 0.15, 0.2])
    reads = 100_000
    found = optimal_time_to_solution(times, np.round(p * reads), reads)
    assert found.time == 2 and not found.at_edge
    assert found.value == pytest.approx(2 * float(repetitions(0.1)))
    assert found.low < found.value < found.high < 1.05 * found.low
    edge = optimal_time_to_solution(times[:2], [5, 90], 100)
    assert edge.at_edge and edge.time == 2
    again = optimal_time_to_solution(times[:2], [5, 90], 100)
    assert (again.low, again.high) == (edge.low, edge.high)
    none = optimal_time_to_solution([1.0, 2.0], [0, 0], 10)
    assert none.value == none.high == math.inf and none.low > 5


def test_optimal_time_agrees_with_the_exact_interval_of_one_time() -> None:
    exact = time_to_solution(3.0, 20, 80)
    drawn = optimal_time_to_solution([3.0], [20], 80, draws=6000)
    assert drawn.value == exact.value
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), rel=0.03)


def test_intervals_of_the_median_problem_cover() -> None:
    """Problems whose success varies: the interval of the median holds the median of the population."""
    rng = np.random.default_rng(2)
    times = np.array([1.0, 3.0])
    truth = min(3 * float(repetitions(0.3)), float(repetitions(0.05)))
    inside, trials = 0, 120
    for _ in range(trials):
        spread = np.exp(0.7 * rng.normal(size=(41, 1)))  # of median 1
        p = np.clip(np.array([0.05, 0.3]) * spread, 0, 0.95)
        found = optimal_time_to_solution(times, rng.binomial(200, p), 200, level=0.9, draws=200, seed=rng)
        inside += found.low <= truth <= found.high
    assert 0.8 < inside / trials <= 1


def test_success_of_a_sample_set() -> None:
    energies = np.array([-3.0, -3.0 + 1e-13, -1.0, 2.0])
    samples = dimod.SampleSet.from_samples(
        ([[1, 1], [1, -1], [-1, 1], [-1, -1]], "ab"), "SPIN", energies, num_occurrences=[2, 3, 4, 1]
    )
    found = success_of(samples, -3.0)
    assert (found.hits, found.reads, found.best) == (5, 10, -3.0)
    every = np.repeat(energies, [2, 3, 4, 1])
    assert found.mean == pytest.approx(every.mean()) and found.residual == pytest.approx(every.mean() + 3)
    assert found.error == pytest.approx(every.std(ddof=1) / math.sqrt(10))
    assert found.tts(2.0).value == pytest.approx(2 * math.log(0.01) / math.log(0.5))
    assert success_of(samples).ground == -3.0
    assert success_of(every, -5.0).hits == 0
    assert success_of([1.0]).hits == 1 and math.isnan(success_of([1.0]).error)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: repetitions(1.5), ParameterError, "0 to 1"),
        (lambda: repetitions(0.5, target=1.0), ArgumentError, "target"),
        (lambda: time_to_solution(0.0, 1, 2), ParameterError, "above 0"),
        (lambda: time_to_solution(1.0, 3, 2), ParameterError, "from 0 to reads"),
        (lambda: time_to_solution(1.0, 1, 2, level="x"), ArgumentTypeError, "level"),
        (lambda: optimal_time_to_solution([1.0, 2.0], [1, 2, 3], 9), ParameterError, "of the times"),
        (lambda: optimal_time_to_solution([1.0], [1], 9, draws=0), ArgumentError, "draws"),
        (lambda: success_of([]), ParameterError, "at least one read"),
    ],
)
def test_refused(call, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        call()


# the comparison


class Stuck(dimod.Sampler):
    """A sampler that repeats one state, whatever is asked."""

    properties: dict = {}
    parameters: dict = {"num_reads": [], "value": []}

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def sample(self, bqm, **named):
        self.calls.append(named)
        rows = np.full((named.get("num_reads", 1), bqm.num_variables), named.get("value", 1), dtype=np.int8)
        return dimod.SampleSet.from_samples_bqm((rows, list(bqm.variables)), bqm)


def test_compare() -> None:
    problem = generators.weak_strong()
    stuck = Stuck()
    samplers = {
        "random": dimod.RandomSampler(),
        "ground": stuck,
        "turned": (stuck, {"value": -1}),
        "all": dimod.ExactSolver(),
    }
    found = compare(problem, samplers, reads=50, ground=-40.48)
    random, ground, turned, every = found.rows
    assert [r.name for r in found.rows] == list(samplers) and found.known
    assert ground.success.hits == 50 and ground.distinct == 1 and ground.tts.value == pytest.approx(ground.seconds)
    assert turned.success.hits == 0 and turned.tts.value == math.inf
    assert turned.success.best == pytest.approx(float(problem.energies(-np.ones(16))))
    assert random.success.reads == 50 and random.distinct == 50 and random.success.mean > -20
    assert every.success.reads == 2**16 and every.success.hits == 1
    # warmed up with one read, and no seed for a sampler that does not know it
    assert stuck.calls[:2] == [{"num_reads": 1}, {"num_reads": 50}]
    table = found.table()
    assert "| ground | -40.48 | -40.48 | 50 / 50 | 1 |" in table and "inf (" in table and "-40.48, given" in table
    unknown = compare(problem.to_bqm(), {"turned": (stuck, {"value": -1})}, reads=3)
    assert unknown.ground == turned.success.best and "need not be" in repr(unknown)
    seeded = [compare(problem, {"r": dimod.RandomSampler()}, reads=4, seed=5).rows[0].samples for _ in range(2)]
    assert (seeded[0].record.sample == seeded[1].record.sample).all()


def test_compare_plots() -> None:
    pytest.importorskip("matplotlib")
    found = compare(generators.ferromagnet(4), {"a": Stuck(), "b": (Stuck(), {"num_reads": 2})}, ground=-5.0)
    axes = found.plot().axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b"]
    found.plot().canvas.draw()


@pytest.mark.parametrize("samplers", [{}, [], {"a": 5}, {"a": (Stuck(), 5)}])
def test_compare_refuses(samplers) -> None:
    with pytest.raises(ArgumentTypeError, match="compare"):
        compare(generators.ferromagnet(4), samplers)
