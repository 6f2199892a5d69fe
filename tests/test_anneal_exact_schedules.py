"""Schedules, paths, files of them, and spectra along them."""

from __future__ import annotations

import itertools
import math

import anneal_oracle as oracle
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from ketgrad.anneal import (
    Diagonal,
    ExactAnnealing,
    Ising,
    Path,
    Schedule,
    energy_levels,
    locally_adiabatic,
    minimum_gap,
)
from ketgrad.anneal import spectrum as module
from ketgrad.errors import ArgumentError, ArgumentTypeError, DataError, OutOfMemoryError, ParameterError


@pytest.fixture(autouse=True)
def one_thread_of_lapack():
    """Its threads wait for each other where others have the processor."""
    with threadpool_limits(1):
        yield


SPIKE = Schedule.of("linear").scaled(0.5, 1.0)


def spike(n, height):
    weights = np.arange(n + 1.0)
    weights[n // 4] += height
    return Diagonal.by_weight(weights)


def cubic(n):
    """The ferromagnet of three-spin terms, -n m^3."""
    return Diagonal.by_weight(-n * (1 - 2 * np.arange(n + 1) / n) ** 3)


def random_problem(rng, n, fields=True):
    pairs = list(itertools.combinations(range(n), 2))
    return Ising.of(rng.normal(size=n) * fields, pairs, rng.normal(size=len(pairs)))


def test_named_schedules():
    s = np.array([0, 0.25, 1])
    wanted = {
        "linear": ([1, 0.75, 0], s),
        "circular": (np.cos(np.pi / 2 * s), np.sin(np.pi / 2 * s)),
        "quadratic": ([1, 0.5625, 0], s**2),
    }
    for name, (a, b) in wanted.items():
        np.testing.assert_allclose(Schedule.of(name)(s), [a, b], atol=1e-15)
        np.testing.assert_allclose(Schedule.of(name).scaled(0.5, 2)(s), [np.array(a) / 2, 2 * np.array(b)], atol=1e-15)


def test_a_table_is_linear_between_its_knots():
    table = Schedule.of(([0, 0.5, 1], [4, 1, 0], [0, 1, 4]))
    np.testing.assert_allclose(table([0.25, 0.5, 0.75]), [[2.5, 1, 0.5], [0.5, 1, 2.5]])
    np.testing.assert_allclose(table.scaled(0.5, 3).knots, [[0, 0.5, 1], [2, 0.5, 0], [0, 3, 12]])
    constant = Schedule.of((lambda s: 1.0, lambda s: s))
    np.testing.assert_allclose(constant([0.0, 1.0])[0], 1)


def test_a_file_with_the_columns_of_the_hardware(tmp_path):
    file = tmp_path / "annealer.csv"
    file.write_text("\ufeffs,A(s) (GHz),B(s) (GHz),C (normalized)\n0,6,0.2,0\n0.5,1,4,0.5\n\n1,0,12,1\n")
    found = Schedule.of(str(file))
    np.testing.assert_allclose(found.knots, [[0, 0.5, 1], np.pi * np.array([6, 1, 0]), np.pi * np.array([0.2, 4, 12])])
    assert found.name == "annealer.csv"
    problem = Ising.of([0.3, 0], [(0, 1)], [1.0])
    nanoseconds = ExactAnnealing(problem).run(file, 1.5)
    driven, diagonal = oracle.driver(2), np.diag(oracle.problem_matrix(problem))

    def along(t):  # H / hbar = 2 pi (-A/2 sum X + B/2 H_P), in GHz
        s = t / 1.5
        return (
            math.pi * float(np.interp(s, [0, 0.5, 1], [6, 1, 0])),
            math.pi * float(np.interp(s, [0, 0.5, 1], [0.2, 4, 12])),
        )

    psi = oracle.evolved(driven, diagonal, np.full(4, 0.5), along, [0, 0.75, 1.5])
    np.testing.assert_allclose(nanoseconds.probabilities(), np.abs(psi) ** 2, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("s,A,B\n0,1,0\n1,zero,1\n", "line 3"),
        ("s,A,B\n0,1,0\n0.5\n1,0,1\n", "line 3"),
        ("s,A\n0,1\n1,0\n", "line 1 names columns"),
        ("", "line 1"),
        ("s,A,B\n0,1,0\n", "at least 2"),
        ("s,A,B\n0,1,0\n0.9,0,1\n", "from 0 to 1"),
        ("s,A,B\n0,1,0\n1,nan,1\n", "finite"),
        ("s,A,B\n0,1,0\n1,0,1,\xff\n", ""),
    ],
)
def test_bad_files_say_where(tmp_path, text, reason):
    file = tmp_path / "bad.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=f"bad.csv: .*{reason}"):
        Schedule.from_csv(file)
    with pytest.raises(DataError, match="missing"):
        Schedule.of(tmp_path / "missing.csv")


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (ArgumentError, "Did you mean 'linear'", lambda: Schedule.of("linaer")),
        (ArgumentTypeError, "a schedule is", lambda: Schedule.of(3)),
        (ArgumentTypeError, "a schedule is", lambda: Schedule.of((1.0, 2.0))),
        (ParameterError, "one length", lambda: Schedule.table([0, 1], [1, 0], [0, 1, 2])),
        (ParameterError, "ascends", lambda: Schedule.table([0, 0.5, 0.5, 1], [1] * 4, [1] * 4)),
        (ParameterError, "numbers", lambda: Schedule.table([0, 1], ["a", "b"], [0, 1])),
        (ParameterError, "finite", lambda: Schedule.of((lambda s: 1 / s, lambda s: s))(np.zeros(2))),
        (ParameterError, "array of s", lambda: Schedule.of((lambda s: [1, 2, 3], lambda s: s))(np.zeros(2))),
        (ArgumentError, "scale", lambda: Schedule.of("linear").scaled(math.inf)),
        (ParameterError, r"\[t, s\]", lambda: Path.of(None, [[0, 0]])),
        (ParameterError, r"\[t, s\]", lambda: Path.of(None, [[0, 0], [1]])),
        (ParameterError, "ascend", lambda: Path.of(None, [[0, 0], [1, 0.5], [1, 1]])),
        (ParameterError, "from 0 to 1", lambda: Path.of(None, [[0, 0], [1, 1.5]])),
        (ArgumentError, "sector", lambda: energy_levels(spike(4, 1), sector="odd")),
        (ArgumentError, "depend on", lambda: energy_levels(Ising.of([1.0, 2.0]), sector="symmetric")),
        (ArgumentError, "without fields", lambda: energy_levels(Ising.of([1.0, 2.0]), sector="parity")),
        (ArgumentError, "levels", lambda: energy_levels(Ising.of([1.0, 2.0]), levels=0)),
        (ArgumentError, "level", lambda: minimum_gap(Ising.of([1.0, 2.0]), level=9)),
        (ParameterError, "0 to 1", lambda: energy_levels(Ising.of([1.0]), s=[0.0, 2.0])),
        (ArgumentTypeError, "points", lambda: energy_levels(Ising.of([1.0]), s="many")),
        (ArgumentTypeError, "problem", lambda: minimum_gap("ring")),
        (ArgumentError, "closes", lambda: locally_adiabatic(Ising.of([1.0, 0.0, 0.0]))),
    ],
)
def test_mistakes_are_refused(error, text, call):
    with np.errstate(divide="ignore"), pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("fields", [True, False], ids=["fields", "parity"])
@pytest.mark.parametrize("dense", [256, 4])
def test_levels_are_those_of_dense_matrices(rng, monkeypatch, fields, dense):
    monkeypatch.setattr(module, "DENSE", dense)
    n = 8
    problem = random_problem(rng, n, fields)
    s = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    found = energy_levels(problem, "circular", s, 4)
    matrix, drive = oracle.problem_matrix(problem), oracle.driver(n)
    if not fields:  # the even states, as rows
        even = (np.eye(2**n) + np.eye(2**n)[::-1])[: 2 ** (n - 1)] / np.sqrt(2)
        matrix, drive = even @ matrix @ even.T, even @ drive @ even.T
    for row, x in zip(found.levels, s, strict=True):
        values = np.linalg.eigvalsh(-np.cos(np.pi / 2 * x) * drive + np.sin(np.pi / 2 * x) * matrix)
        np.testing.assert_allclose(row, values[:4], atol=1e-9)
    assert found.sector == ("full" if fields else "parity")
    np.testing.assert_allclose(found.gaps, found.levels[:, 1] - found.levels[:, 0])


def test_sectors_of_one_problem(rng):
    n = 6
    flat = Ising.of(np.full(n, 0.3), list(itertools.combinations(range(n), 2)), np.full(15, -0.2))
    listed = Diagonal.from_function(n, flat.energies)
    small, same, full = (
        energy_levels(p, "linear", 7, 2, sector=k) for p, k in ((flat, "auto"), (listed, "auto"), (flat, "full"))
    )
    assert (small.sector, full.sector) == ("symmetric", "full") and len(small.levels[0]) == 2
    np.testing.assert_allclose(small.levels[:, 0], full.levels[:, 0], atol=1e-12)
    np.testing.assert_allclose(small.levels, same.levels, atol=1e-12)


@pytest.mark.parametrize(
    ("height", "gaps"),
    [
        (lambda n: 0, [0.707107] * 7),
        (math.sqrt, [0.479742, 0.480970, 0.481652, 0.482011, 0.482195, 0.482289, 0.482336]),
        (lambda n: n, [0.212070, 0.159317, 0.117247, 0.085085, 0.061180, 0.043733, 0.031145]),
    ],
    ids=["none", "root", "linear"],
)
def test_gaps_of_spikes(height, gaps):
    for n, wanted in zip((16, 32, 64, 128, 256, 512, 1024), gaps, strict=True):
        gap, s = minimum_gap(spike(n, height(n)), SPIKE)
        assert gap == pytest.approx(wanted, abs=1e-6)
        if n <= 128:
            weights = spike(n, height(n)).weights
            values = np.linalg.eigvalsh(s * np.diag(weights) - (1 - s) / 2 * oracle.symmetric(weights)[0])
            assert gap == pytest.approx(values[1] - values[0], abs=1e-9)


@pytest.mark.parametrize(
    ("n", "wanted", "where"),
    [(8, 0.759087, 0.4241), (16, 0.465469, 0.4222), (32, 0.192997, 0.4261), (64, 0.022526, 0.4303)],
)
def test_gaps_of_three_spin_ferromagnets(n, wanted, where):
    assert minimum_gap(cubic(n)) == (pytest.approx(wanted, abs=1e-6), pytest.approx(where, abs=1e-4))


def test_the_gap_of_all_states_is_found_by_iteration():
    """The spike of ten spins and the weak-strong pair, whose states are not symmetric."""
    weights = spike(10, 10)
    full, _ = minimum_gap(weights, SPIKE, "full")
    assert full <= minimum_gap(weights, SPIKE)[0] + 1e-9
    cell = [(a, b) for a in range(4) for b in range(4, 8)]
    pairs = cell + [(a + 8, b + 8) for a, b in cell] + [(4 + k, 8 + k) for k in range(4)]
    pair = Ising.of([-0.44] * 8 + [1.0] * 8, pairs, -np.ones(len(pairs)))
    gap, s = minimum_gap(pair, points=5)
    assert gap == pytest.approx(0.096087, abs=1e-6) and s == pytest.approx(0.32728, abs=1e-5)


def test_the_least_gap_is_the_least(rng):
    for _ in range(3):
        problem = random_problem(rng, 5)
        gap, s = minimum_gap(problem)
        along = energy_levels(problem, "linear", 401)
        assert along.gaps.min() == pytest.approx(gap, abs=1e-4)
        assert along.gaps.min() >= gap - 1e-12
        assert s == pytest.approx(along.s[along.gaps.argmin()], abs=2.6e-3)


def test_a_locally_adiabatic_anneal_is_slow_where_the_gap_is_small():
    problem = cubic(8)
    slow = locally_adiabatic(problem)
    gap, where = minimum_gap(problem)
    u = np.linspace(0, 1, 2001)
    s = slow(u)[1]
    assert s[0] == 0 and s[-1] == 1 and (np.diff(s) > 0).all()
    speed = np.gradient(s, u)
    gaps = energy_levels(problem, "linear", s[::100]).gaps
    np.testing.assert_allclose(speed[100:-100:100] / speed[1000], (gaps[1:-1] / gaps[10]) ** 2, rtol=0.02)
    assert abs(s[speed.argmin()] - where) < 0.01
    annealing = ExactAnnealing(problem)
    plain, local = (annealing.run(x, 30.0).success_probability for x in ("linear", slow))
    assert local > plain and local > 0.99


def test_vectors_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setenv("KETGRAD_MAX_MEMORY", str(1 << 27))
    with pytest.raises(OutOfMemoryError):
        minimum_gap(Ising.of(np.arange(20.0)))
