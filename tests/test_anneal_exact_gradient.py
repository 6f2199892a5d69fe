"""Gradients of anneals against finite differences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ketgrad.anneal import Diagonal, ExactAnnealing, Ising, Schedule
from ketgrad.errors import ArgumentError, ParameterError

KNOTS = np.array([[0, 0.3, 0.7, 1], [1.2, 0.8, 0.2, 0.1], [0.1, 0.3, 0.8, 1.1]])


def problem_of(fields, couplings):
    n = len(fields)
    return Ising.of(fields, list(itertools.combinations(range(n), 2)), couplings, offset=0.2)


def difference(function, at, step=1e-3):
    """Central differences of fourth order."""
    out = np.zeros(np.shape(at))
    for k in np.ndindex(out.shape):
        values = []
        for shift in (-2, -1, 1, 2):
            moved = np.array(at, dtype=float)
            moved[k] += shift * step
            values.append(function(moved))
        out[k] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    return out


@pytest.fixture(params=["energy", "success"])
def objective(request):
    return request.param


def value(problem, objective, *, schedule=KNOTS, time=2.0, path=None, steps=12, order=4, backend=None, ground=None):
    """The objective by a plain anneal; success in the states of lowest energy of another problem."""
    result = ExactAnnealing(problem, order=order, backend=backend).run(
        tuple(schedule), None if path is not None else time, path=path, steps=steps, records=1
    )
    if objective == "energy":
        return result.energy
    return float(result.probabilities()[np.isclose(ground, ground.min())].sum())


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("fields", [True, False], ids=["fields", "parity"])
def test_of_everything(rng, backend, objective, order, fields):
    h, j = rng.normal(size=4) * fields, rng.normal(size=6)
    problem = problem_of(h, j)
    states = np.array(list(itertools.product((1, -1), repeat=4)))
    options = {"order": order, "backend": backend, "ground": problem.energies(states)}
    found = ExactAnnealing(problem, order=order, backend=backend).gradient(
        tuple(KNOTS), 2.0, steps=12, objective=objective
    )
    assert found.value == pytest.approx(value(problem, objective, **options), abs=1e-12)

    def close(derivative, function, at):
        np.testing.assert_allclose(derivative, difference(function, at), atol=1e-7 / 10)

    close(found.couplings, lambda x: value(problem_of(h, x), objective, **options), j)
    close(found.fields, lambda x: value(problem_of(x, j), objective, **options), h)
    close(found.time, lambda t: value(problem, objective, time=float(t), **options), np.array(2.0))
    close(
        found.knots,
        lambda x: value(problem, objective, schedule=(KNOTS[0], *x), **options),
        KNOTS[1:],
    )


def test_by_a_parameter_of_functions(rng):
    problem = problem_of(rng.normal(size=4), rng.normal(size=6))
    annealing = ExactAnnealing(problem)
    path = [[0, 0], [1.0, 0.6], [1.5, 0.6], [3.0, 1.0]]

    def functions(p):
        return (lambda s: (1 - s) ** p, lambda s: s**p)

    found = annealing.gradient(functions(1.7), path=path, steps=20)

    def slope(s):
        return np.where(s > 0, s**1.7 * np.log(np.maximum(s, 1e-300)), 0.0)

    by_chain = (found.driver * slope(1 - found.driver_s)).sum() + (found.problem * slope(found.problem_s)).sum()
    numeric = difference(lambda p: annealing.run(functions(p), path=path, steps=20).energy, np.array(1.7))
    assert by_chain == pytest.approx(float(numeric), abs=1e-8)
    assert found.knots is None

    def longer(t):
        return annealing.run(functions(1.7), path=[[t * u, s] for u, s in path], steps=20).energy

    assert 3 * found.time == pytest.approx(float(difference(longer, np.array(1.0))), abs=1e-8)


def test_of_a_table_of_energies_and_of_another_observable(rng):
    energies, observable = rng.normal(size=16), rng.normal(size=16)
    annealing = ExactAnnealing(Diagonal.of(energies))

    def mean(knots):
        return float(annealing.run((KNOTS[0], *knots), 2.0, steps=9).probabilities() @ observable)

    found = annealing.gradient(tuple(KNOTS), 2.0, steps=9, objective=observable)
    np.testing.assert_allclose(found.knots, difference(mean, KNOTS[1:]), atol=1e-8)
    assert found.fields is None and found.couplings is None and found.value == pytest.approx(mean(KNOTS[1:]))
    even = ExactAnnealing(Diagonal.of(np.concatenate([energies, energies[::-1]])))
    wide = rng.normal(size=32)
    p = even.run("linear", 2.0, steps=9)
    assert p.parity and even.gradient("linear", 2.0, steps=9, objective=wide).value == pytest.approx(
        float(p.probabilities() @ wide)
    )


def test_of_reverse_annealing_and_large_tiles(rng):
    n = 11  # beyond the size at which the engine cuts a state into tiles
    j = rng.normal(size=n - 1)

    def chain(couplings):
        return Ising.of(np.full(n, 0.1), [(k, k + 1) for k in range(n - 1)], couplings)

    options = {"path": [[0, 1], [1, 0.3], [2, 1]], "initial": rng.choice([-1, 1], n), "steps": 8}
    found = ExactAnnealing(chain(j)).gradient("linear", **options)
    along = rng.normal(size=n - 1)
    numeric = difference(lambda t: ExactAnnealing(chain(j + t * along)).run("linear", **options).energy, np.array(0.0))
    assert found.couplings @ along == pytest.approx(float(numeric), abs=1e-8)


def test_single_precision_is_near(rng):
    problem = problem_of(rng.normal(size=4), rng.normal(size=6))
    double, single = (ExactAnnealing(problem, dtype=d).gradient("linear", 3.0) for d in ("complex128", "complex64"))
    np.testing.assert_allclose(single.couplings, double.couplings, atol=1e-4)
    np.testing.assert_allclose(single.driver, double.driver, atol=1e-4)


def test_a_schedule_can_be_trained(rng):
    problem = problem_of(rng.normal(size=5), rng.normal(size=10))
    annealing = ExactAnnealing(problem)
    s = np.linspace(0, 1, 5)
    knots, values = np.array([1 - s, s]), []
    for _ in range(15):
        found = annealing.gradient((s, *knots), 3.0, steps=12)
        values.append(found.value)
        knots = knots - 0.02 * found.knots
    assert values[-1] < values[0] - 0.1 and (np.diff(values) < 0).all()


def test_mistakes_are_refused():
    annealing = ExactAnnealing(Ising.of([1.0, 0.0, 0.5]))
    with pytest.raises(ArgumentError, match="objective"):
        annealing.gradient("linear", 1.0, objective="fidelity")
    with pytest.raises(ParameterError, match="observable"):
        annealing.gradient("linear", 1.0, objective=np.ones(4))
    with pytest.raises(ParameterError, match="finite"):
        annealing.gradient("linear", 1.0, objective=np.full(8, np.nan))
    with pytest.raises(ArgumentError, match="knots"):
        Schedule.of("linear").to_knots(np.zeros(1), np.zeros(1), np.zeros(1))
