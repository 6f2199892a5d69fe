"""Anneals that are solved for any size: beside dense matrices of all 2^n states, and published tables."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ketgrad.anneal import generators
from ketgrad.anneal.solvable import metropolis_chain, ring_kinks, weight_anneal
from ketgrad.errors import ArgumentError, ParameterError

scipy_integrate = pytest.importorskip("scipy.integrate")


def driver(n: int) -> np.ndarray:
    """sum X as a dense matrix."""
    index = np.arange(2**n)
    return sum((np.equal.outer(index, index ^ (1 << q)).astype(float) for q in range(n)), np.zeros((2**n, 2**n)))


def annealed(energies: np.ndarray, time: float, scale: float = 1.0) -> np.ndarray:
    """Probabilities of all states after the anneal -(1 - s) scale sum X + s E, by an ODE solver."""
    n = int(math.log2(len(energies)))
    mixer, start = driver(n), np.full(2**n, 2 ** (-n / 2), dtype=complex)

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        s = t / time
        return -1j * (s * energies * state - (1 - s) * scale * (mixer @ state))

    solved = scipy_integrate.solve_ivp(slope, (0, time), start, method="DOP853", rtol=1e-9, atol=1e-11)
    return np.abs(solved.y[:, -1]) ** 2


def test_weights_beside_all_states() -> None:
    energies = np.random.default_rng(0).normal(size=6)
    weight = np.bitwise_count(np.arange(32))
    wanted = np.bincount(weight, weights=annealed(energies[weight], 3.0, 0.5))
    np.testing.assert_allclose(weight_anneal(energies, 3.0), wanted, atol=2e-7)
    assert weight_anneal(energies, 3.0, steps=100).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("n", "p"), [(16, 0.12011), (24, 0.10591), (32, 0.09386), (40, 0.08499), (48, 0.07940)], ids=str
)
def test_success_on_the_spike(n: int, p: float) -> None:
    assert weight_anneal(generators.spike(n), 10.0, steps=2000)[0] == pytest.approx(p, abs=1e-5)


def test_chain_beside_all_states() -> None:
    """The Markov matrix of single-spin Metropolis on 2^n states, update by update."""
    n, betas = 4, np.array([0.0, 0.3, 0.3, 2.0, 5.0])
    energies = np.random.default_rng(1).normal(size=n + 1)
    weight = np.bitwise_count(np.arange(2**n))
    p = np.full(2**n, 2.0**-n)
    for beta in betas:
        after = np.zeros_like(p)
        for state, q in itertools.product(range(2**n), range(n)):
            other = state ^ (1 << q)
            accept = min(1.0, math.exp(-beta * (energies[weight[other]] - energies[weight[state]])))
            after[other] += p[state] * accept / n
            after[state] += p[state] * (1 - accept) / n
        p = after
    np.testing.assert_allclose(metropolis_chain(energies, betas), np.bincount(weight, weights=p), atol=1e-14)
    several = metropolis_chain(energies, np.stack([betas, 0 * betas], axis=1))
    np.testing.assert_allclose(several[0], np.bincount(weight, weights=p), atol=1e-14)
    np.testing.assert_allclose(several[1], [math.comb(4, w) / 16 for w in range(5)], atol=1e-14)


def test_a_long_chain_is_thermal() -> None:
    energies, beta = generators.spike(8, 2.0), 0.7
    wanted = np.array([math.comb(8, w) for w in range(9)]) * np.exp(-beta * energies)
    np.testing.assert_allclose(metropolis_chain(energies, np.full(3000, beta)), wanted / wanted.sum(), atol=1e-9)


@pytest.mark.parametrize(("n", "tts"), [(16, 820), (24, 3.42e3), (32, 1.24e4), (40, 4.21e4), (48, 1.36e5)])
def test_annealing_on_the_spike(n: int, tts: float) -> None:
    """Best linear schedule, in sweeps: a cold quench of few sweeps, again and again."""
    found = []
    for sweeps in (1, 2, 3, 4, 6, 12):
        p = metropolis_chain(generators.spike(n), np.linspace(0, 1, n * sweeps)[:, None] * [1.0, 3.0, 30.0])[:, 0]
        found.append((sweeps * math.log(0.01) / np.log1p(-p)).min())
    assert min(found) == pytest.approx(tts, rel=5e-3)


@pytest.mark.parametrize("time", [0.7, 3.0])
def test_kinks_beside_all_states(time: float) -> None:
    n = 6
    ring = generators.ferromagnet(n)
    spins = np.array(list(itertools.product([1, -1], repeat=n)))
    p = annealed(ring.energies(spins), time)
    assert ring_kinks(n, time) == pytest.approx(p @ ((ring.energies(spins) + n) / 2) / n, abs=1e-6)


@pytest.mark.parametrize(
    ("time", "short", "long"),
    [(1, 0.372991, 0.372991), (2, 0.231818, 0.231818), (4, 0.15153, 0.15153), (8, 0.112315, 0.112321)],
)
def test_kinks(time: float, short: float, long: float) -> None:
    assert ring_kinks(16, time) == pytest.approx(short, abs=1e-5)
    assert ring_kinks(512, time) == pytest.approx(long, abs=1e-5)


def test_kinks_follow_kibble_and_zurek() -> None:
    assert ring_kinks(512, 16) == pytest.approx(0.079033, abs=1e-5)
    assert ring_kinks(512, 32, steps=6400) * math.pi * math.sqrt(32) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: weight_anneal([1.0], 1.0), "at least 2"),
        (lambda: weight_anneal([1.0, 2.0], 0.0), "time must be"),
        (lambda: weight_anneal([1.0, math.nan], 1.0), "energies"),
        (lambda: metropolis_chain([1.0, 2.0], [-1.0]), "at least 0"),
        (lambda: ring_kinks(7, 1.0), "even"),
        (lambda: ring_kinks(8, True), "time must be"),
    ],
)
def test_refused(call, says: str) -> None:
    with pytest.raises((ArgumentError, ParameterError), match=says):
        call()
