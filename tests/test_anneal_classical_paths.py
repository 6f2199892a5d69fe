"""Simulated quantum annealing against exact thermal values: of the discrete paths, and of the quantum system itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ketgrad.anneal import Ising

pytest.importorskip("dimod")
from ketgrad.anneal import SimulatedQuantumAnnealingSampler  # noqa: E402
from ketgrad.anneal.path_integral import default_gamma  # noqa: E402


def problem_of(n: int, whole: bool, seed: int = 1) -> Ising:
    rng = np.random.default_rng(seed)
    pairs = [p for p in itertools.combinations(range(n), 2) if rng.random() < 0.6]
    if whole:
        return Ising.of(rng.integers(-1, 2, n), pairs, rng.choice([-1.0, 1.0], len(pairs)), offset=0.75)
    return Ising.of(0.5 * rng.normal(size=n), pairs, rng.normal(size=len(pairs)), offset=-0.5)


def all_energies(problem: Ising) -> np.ndarray:
    return problem.energies(np.array(list(itertools.product((-1, 1), repeat=problem.n))))


def summed_x(n: int) -> np.ndarray:
    """Sum of X over all spins, (2^n, 2^n)."""
    out = np.zeros((1 << n, 1 << n))
    states = np.arange(1 << n)
    for k in range(n):
        out[states, states ^ 1 << k] = 1
    return out


def trotter_means(problem: Ising, classical: float, transverse: float, slices: int) -> np.ndarray:
    """<E> and <X> a spin of the discrete paths, by their transfer matrix (D K)^P."""
    n, energies = problem.n, all_energies(problem)
    step = transverse / slices
    hop = np.array([[1.0]])
    for _ in range(n):
        hop = np.kron(hop, [[np.cosh(step), np.sinh(step)], [np.sinh(step), np.cosh(step)]])
    ring = np.linalg.matrix_power(np.exp(-classical / slices * (energies - energies.min()))[:, None] * hop, slices)
    return np.array([energies @ np.diag(ring), np.sum(summed_x(n) * ring.T) / n]) / np.trace(ring)


def quantum_means(problem: Ising, classical: float, transverse: float) -> np.ndarray:
    """<E> and <X> a spin of exp(-classical E(Z) + transverse sum X)."""
    x, energies = summed_x(problem.n), all_energies(problem)
    values, vectors = np.linalg.eigh(classical * np.diag(energies) - transverse * x)
    weights = np.exp(values[0] - values)
    weights /= weights.sum()
    squares = vectors**2 @ weights
    return np.array([energies @ squares, weights @ np.einsum("ka,ka->a", vectors, x @ vectors) / problem.n])


def sampled_means(
    problem: Ising, classical: float, transverse: float, slices: int, lines: bool, reads: int, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Means of energy and sigma-x over independent reads at fixed fields, and their standard errors."""
    sweeps = 200
    found = SimulatedQuantumAnnealingSampler().sample(
        problem, num_reads=reads, num_slices=slices, Hp_field=np.full(sweeps, classical),
        Hd_field=np.full(sweeps, transverse), world_lines=lines, num_measured=sweeps // 2, seed=seed,
    )  # fmt: skip
    values = np.stack([found.record.energy_mean, found.record.sigma_x])
    return values.mean(axis=1), values.std(axis=1) / np.sqrt(reads)


def pooled(deviations: list[np.ndarray]) -> float:
    """The probability of such deviations, in standard errors."""
    from scipy.stats import chi2

    every = np.concatenate(deviations)
    return float(chi2.sf((every**2).sum(), len(every)))


@pytest.mark.parametrize("whole", [True, False])
def test_means_are_those_of_the_discrete_paths(whole):
    cases = [(4, 1.0, 1.5, 4, True), (4, 1.0, 1.5, 4, False), (5, 2.0, 2.0, 8, True), (5, 0.5, 3.0, 2, False),
             (4, 1.0, 1.0, 32, True), (3, 1.5, 0.8, 20, True)]  # fmt: skip
    deviations, against_others = [], []
    for n, classical, transverse, slices, lines in cases:
        problem = problem_of(n, whole)
        mean, error = sampled_means(problem, classical, transverse, slices, lines, 600)
        deviations.append((mean - trotter_means(problem, classical, transverse, slices)) / error)
        against_others.append((mean - trotter_means(problem, classical, 1.02 * transverse, slices)) / error)
    assert pooled(deviations) > 1e-6
    assert pooled(against_others) < 1e-6  # two per cent of the field are seen


def test_many_slices_and_extrapolation_give_the_quantum_system():
    deviations = []
    for n, classical, transverse in ((10, 1.0, 1.5), (6, 1.0, 1.0), (4, 2.0, 1.0)):
        problem = problem_of(n, False, seed=3)
        exact = quantum_means(problem, classical, transverse)
        (few, few_error), (many, many_error) = (
            sampled_means(problem, classical, transverse, slices, True, 400) for slices in (16, 32)
        )
        mean, error = (4 * many - few) / 3, np.hypot(4 * many_error, few_error) / 3  # the error falls as 1 / P^2
        deviations.append((mean - exact) / error)
        assert np.abs(many - exact).max() < 0.2
    assert pooled(deviations) > 1e-6


def test_the_oracles_agree():
    problem = problem_of(4, False)
    exact = quantum_means(problem, 1.0, 1.2)
    errors = [np.abs(trotter_means(problem, 1.0, 1.2, slices) - exact).max() for slices in (16, 32, 64)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05) and errors[1] / errors[2] == pytest.approx(4, rel=0.02)


def test_without_a_transverse_field_paths_are_classical():
    problem = problem_of(8, True)
    found = SimulatedQuantumAnnealingSampler().sample(
        problem, num_reads=40, Hp_field=np.linspace(0, 8, 200), Hd_field=np.zeros(200), seed=2,
        initial_states=np.ones((40, 8)), num_slices=8,
    )  # fmt: skip
    assert (found.record.sigma_x == 0).all()
    np.testing.assert_allclose(found.record.energy_mean, found.record.energy)  # all slices stay alike
    assert found.record.energy.min() == pytest.approx(all_energies(problem).min())


def test_a_sample_is_the_best_of_its_slices():
    problem = problem_of(8, False)
    found = SimulatedQuantumAnnealingSampler().sample(problem, num_reads=60, num_sweeps=10, gamma=3.0, beta=1.0, seed=4)
    assert (found.record.energy <= found.record.energy_mean + 1e-6).all()
    assert (found.record.energy < found.record.energy_mean - 1e-3).any()


def test_the_ramp_is_told():
    problem = problem_of(5, True)
    info = SimulatedQuantumAnnealingSampler().sample(problem, num_sweeps=4, beta=2.0, gamma=3.0, num_slices=6).info
    np.testing.assert_allclose(info["schedule"]["Hp_field"], 2.0 * np.array([1, 3, 5, 7]) / 8)
    np.testing.assert_allclose(info["schedule"]["Hd_field"], 6.0 * np.array([7, 5, 3, 1]) / 8)
    assert info["num_slices"] == 6 and info["num_measured"] == 1
    assert default_gamma(Ising.of([3.0, 0.0], [(0, 1)], [4.0])) == pytest.approx(np.sqrt((9 + 32) / 2))
    assert default_gamma(Ising.of([0.0])) == 1.0


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"num_slices": 3}, ValueError, "even"),
        ({"num_slices": 0}, ValueError, "num_slices"),
        ({"num_slices": 2.0}, TypeError, "integer"),
        ({"num_slices": 1 << 20}, ValueError, "num_slices"),
        ({"num_sweeps": 0}, ValueError, "num_sweeps"),
        ({"beta": -1.0}, ValueError, "beta"),
        ({"beta": "x"}, TypeError, "beta"),
        ({"gamma": np.nan}, ValueError, "gamma"),
        ({"num_measured": 0}, ValueError, "num_measured"),
        ({"num_measured": 5, "num_sweeps": 4}, ValueError, "num_measured"),
        ({"Hp_field": [1.0]}, ValueError, "together"),
        ({"Hp_field": [1.0], "Hd_field": [1.0, 2.0]}, ValueError, "got 1 and 2"),
        ({"Hp_field": [1.0], "Hd_field": [-1.0]}, ValueError, "Hd_field"),
        ({"Hp_field": [1.0], "Hd_field": [1.0], "beta": 1.0}, ValueError, "leave"),
        ({"Hp_field": [1.0], "Hd_field": [1.0], "num_sweeps": 2}, ValueError, "num_sweeps=2"),
    ],
)
def test_bad_options_are_refused(keywords, error, message):
    with pytest.raises(error, match=message):
        SimulatedQuantumAnnealingSampler().sample(Ising.of([1.0, 1.0]), **keywords)
