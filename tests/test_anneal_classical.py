"""Simulated annealing: reads, distributions, ground states, manners; and that every engine gives the same spins."""

from __future__ import annotations

import itertools
import signal
import time
import unittest

import numpy as np
import pytest

import ketgrad as kg
from ketgrad.anneal import Ising
from ketgrad.backends import get_backend
from ketgrad.backends.spins import ReadRange, SpinModel

dimod = pytest.importorskip("dimod")
pytest.importorskip("dimod.testing")
from ketgrad.anneal import SimulatedAnnealingSampler, SimulatedQuantumAnnealingSampler  # noqa: E402
from ketgrad.anneal.simulated_schedule import default_beta_range  # noqa: E402

SAMPLERS = [SimulatedAnnealingSampler, SimulatedQuantumAnnealingSampler]


@dimod.testing.load_sampler_bqm_tests(SimulatedAnnealingSampler)
class TestSimulatedAnnealing(unittest.TestCase):
    def test_api(self):
        dimod.testing.assert_sampler_api(SimulatedAnnealingSampler())


@dimod.testing.load_sampler_bqm_tests(SimulatedQuantumAnnealingSampler)
class TestSimulatedQuantumAnnealing(unittest.TestCase):
    def test_api(self):
        dimod.testing.assert_sampler_api(SimulatedQuantumAnnealingSampler())


def glass(n: int, whole: bool, seed: int = 0, density: float = 0.4) -> Ising:
    """Random couplings and fields: whole numbers (a narrow model) or real ones (a wide one)."""
    rng = np.random.default_rng(seed)
    pairs = [p for p in itertools.combinations(range(n), 2) if rng.random() < density]
    if whole:
        return Ising.of(rng.integers(-1, 2, n), pairs, rng.choice([-1.0, 1.0, 2.0], len(pairs)))
    return Ising.of(rng.normal(size=n), pairs, rng.normal(size=len(pairs)))


def all_energies(problem: Ising) -> np.ndarray:
    return problem.energies(np.array(list(itertools.product((-1, 1), repeat=problem.n))))


def model_of(problem: Ising, copies: int = 1) -> SpinModel:
    return SpinModel.of(problem.fields, *problem.neighbours, copies)


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """The probability of so large a deviation; states that are expected fewer than ten times are one."""
    from scipy.stats import chi2

    expected = counts.sum() * probabilities
    rare = expected < 10
    seen = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    seen, wanted = seen[wanted > 0], wanted[wanted > 0]
    return float(chi2.sf(((seen - wanted) ** 2 / wanted).sum(), len(seen) - 1))


# the engines


@pytest.mark.parametrize("whole", [True, False])
def test_every_engine_gives_the_same_spins(engine, whole):
    """The Numba engine is the oracle of the native one, on every instruction set; they share no code."""
    problem, rng = glass(37, whole), np.random.default_rng(1)
    reads = ReadRange(2**62 + 12345, 70, 77, rng.choice([-1, 1], size=(3, 37)).astype(np.int8))
    betas = np.array([0.0, 0.01, 0.1, 0.3, 0.7, 1.5, 40.0])
    assert model_of(problem).narrow == whole
    here, there = (get_backend(b).prepare_spins(model_of(problem)) for b in (engine, "numba"))
    np.testing.assert_array_equal(here.anneal(betas, 3, reads), there.anneal(betas, 3, reads))
    classical, transverse = np.linspace(0.0, 6, 12), np.append(np.geomspace(9, 0.001, 11), 0.0)
    for slices, lines in ((2, True), (6, True), (20, False), (32, True), (64, True)):
        here, there = (get_backend(b).prepare_spins(model_of(problem, slices)) for b in (engine, "numba"))
        a, b = (
            e.anneal_paths(classical, transverse, slices, reads._replace(number=9), lines, 4) for e in (here, there)
        )
        np.testing.assert_array_equal(a.spins, b.spins)
        np.testing.assert_allclose(a.energies, b.energies, atol=1e-12)
        np.testing.assert_allclose(a.magnetisations, b.magnetisations, atol=1e-12)


def test_random_words_are_threefry():
    """Known answers of Random123 for 13 rounds."""
    from numba import njit

    from ketgrad.backends.numba_anneal import _words

    words = njit(lambda k0, k1, c0, c1: _words(k0, k1, c0, c1))
    kat = [((0,) * 4, (0x9D1C5EC6, 0x8BD50731)), ((0xFFFFFFFF,) * 4, (0xFD36D048, 0x2D17272C)),
           ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xBA3E4725, 0xF27D669E))]  # fmt: skip
    for (c0, c1, k0, k1), wanted in kat:
        assert tuple(map(int, words(*map(np.uint32, (k0, k1, c0, c1))))) == wanted


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_reads_depend_on_seed_and_number_alone(sampler, backend, threads):
    problem = glass(48, True)
    options = {"num_sweeps": 20, "seed": 7}
    kg.set_num_threads(1)
    many = sampler(backend).sample(problem, num_reads=150, **options).record.sample
    kg.set_num_threads(3)
    np.testing.assert_array_equal(sampler(backend).sample(problem, num_reads=150, **options).record.sample, many)
    np.testing.assert_array_equal(sampler(backend).sample(problem, num_reads=5, **options).record.sample, many[:5])
    other = sampler(backend).sample(problem, num_reads=150, num_sweeps=20, seed=8).record.sample
    assert (other != many).any(axis=1).mean() > 0.3  # the others found the same ground state


@pytest.mark.parametrize("whole", [True, False])
def test_every_read_differs(backend, whole):
    problem = glass(64, whole, density=0.05)
    for sampler, options in ((SAMPLERS[0], {"beta_range": (0.1, 0.2)}), (SAMPLERS[1], {"beta": 0.2, "num_slices": 4})):
        found = sampler(backend).sample(problem, num_reads=300, num_sweeps=5, seed=3, **options)
        assert len(np.unique(found.record.sample, axis=0)) == 300


def test_units_are_exact_where_they_can_be():
    for scale in (1.0, 0.25, 0.1, 3.0, 1e-7):
        problem = Ising.of(np.array([0.0, 1.0, -2.0]) * scale, [(0, 1), (1, 2)], np.array([3.0, -2.0]) * scale)
        model = model_of(problem)
        assert model.narrow and model.most <= 7 * 3
        np.testing.assert_allclose(model.unit * model.fields, problem.fields, rtol=1e-12)
    wide = Ising.of([1.0, 0.0], [(0, 1)], [1000.0])
    assert model_of(wide).unit == 1.0 and not model_of(wide).narrow
    for copies in (1, 64):
        rough = glass(40, False)
        model = model_of(rough, copies)
        assert 0.9 * 2**30 < model.most * copies <= 2**30
        assert np.abs(model.unit * model.fields - rough.fields).max() <= model.unit
    assert model_of(Ising.of([0.0, 0.0])).most == 0


# physics


@pytest.mark.parametrize("whole", [True, False])
def test_reads_are_boltzmann_distributed(whole):
    """Sweeps at a fixed temperature, from random spins: all states of six spins, pooled over temperatures."""
    for beta in (0.2, 0.6):
        problem = glass(6, whole, seed=4, density=0.8)
        found = SimulatedAnnealingSampler().sample(
            problem, num_reads=40_000, beta_schedule_type="custom", beta_schedule=[beta], num_sweeps_per_beta=60, seed=1
        )
        weights = np.exp(-beta * all_energies(problem))
        bits = (found.record.sample + 1) // 2 @ (1 << np.arange(5, -1, -1))
        assert chi_square(np.bincount(bits, minlength=64), weights / weights.sum()) > 1e-6


def test_tiny_probabilities_have_their_size():
    """A spin in a strong field turns over with exp(-2 beta h), far below 2^-16; from there it falls back at once."""
    beta, h, reads, sweeps = 1.0, 5.0, 64_000, 41
    found = SimulatedAnnealingSampler().sample(
        Ising.of([h]), num_reads=reads, beta_schedule_type="custom", beta_schedule=[beta], num_sweeps_per_beta=sweeps,
        initial_states=[[-1]], initial_states_generator="tile", seed=5,
    )  # fmt: skip
    expected = reads * np.exp(-2 * beta * h)  # a spin that is up falls with certainty, so only the last sweep counts
    assert abs((found.record.sample > 0).sum() - expected) < 5 * np.sqrt(expected) + 1


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("whole", [True, False])
def test_ground_states_of_small_problems(sampler, whole):
    for seed in range(4):
        problem = glass(12, whole, seed)
        found = sampler().sample(problem, num_reads=32, num_sweeps=300, seed=2)
        assert found.record.energy.min() == pytest.approx(all_energies(problem).min())


def test_the_default_temperatures_are_those_of_d_waves_sampler():
    pair = Ising.of([0.0, 0.0], [(0, 1)], [1.0])
    assert default_beta_range(pair) == pytest.approx((np.log(2) / 2, np.log(200) / 2))
    chain = Ising.of([0.5, 0.0, 0.0], [(0, 1), (1, 2)], [2.0, -1.0])
    assert default_beta_range(chain) == pytest.approx((np.log(2) / 6, np.log(100)))
    assert default_beta_range(Ising.of([0.0])) == (0.1, 1.0)
    info = SimulatedAnnealingSampler().sample(pair, num_sweeps=6, num_sweeps_per_beta=2).info
    np.testing.assert_allclose(info["schedule"]["beta"], np.geomspace(*default_beta_range(pair), 3))
    assert info["beta_range"] == pytest.approx(default_beta_range(pair))
    linear = SimulatedAnnealingSampler().sample(pair, num_sweeps=3, beta_range=[0, 2], beta_schedule_type="linear")
    assert linear.info["schedule"]["beta"].tolist() == [0, 1, 2]


def test_without_sweeps_reads_are_the_initial_states():
    problem, rng = glass(30, True), np.random.default_rng(0)
    start = rng.choice([-1, 1], size=(70, 30))
    found = SimulatedAnnealingSampler().sample(problem, num_sweeps=0, initial_states=start)
    np.testing.assert_array_equal(found.record.sample, start)


# manners


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_interrupted_reads_are_kept(sampler, backend):
    problem = glass(60, True)
    found = sampler(backend).sample(problem, num_reads=2_000, num_sweeps=4_000, interrupt_function=lambda: True)
    assert 0 < len(found) < 2_000 and found.info["interrupted"]
    np.testing.assert_allclose(found.record.energy, problem.energies(found.record.sample))


@pytest.fixture
def alarm():
    """Ctrl-C after so many seconds."""

    def press(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, press)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_ctrl_c_keeps_finished_reads(sampler, backend, alarm):
    armed: list[None] = []

    def arm() -> bool:  # after the first block
        if not armed:
            alarm(0.05)
        armed.append(None)
        return False

    found = sampler(backend).sample(glass(60, True), num_reads=10**6, num_sweeps=4_000, interrupt_function=arm)
    assert armed and 0 < len(found) < 10**6 and found.info["interrupted"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_ctrl_c_before_any_read_is_ctrl_c(sampler, backend, alarm):
    problem = Ising.of(np.zeros(2_000), [(k, k + 1) for k in range(1_999)], np.ones(1_999))
    sampler(backend).sample(problem, num_sweeps=1)  # what is compiled on first use is there
    alarm(0.2)
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        sampler(backend).sample(problem, num_sweeps=300_000)
    assert time.perf_counter() - began < 10


PAIR = Ising.of([0.0, 0.0], [(0, 1)], [1.0])


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"num_sweeps": -1}, ValueError, "num_sweeps"),
        ({"num_sweeps": 2**31}, ValueError, "num_sweeps"),
        ({"num_sweeps": 10, "num_sweeps_per_beta": 3}, ValueError, "multiple"),
        ({"num_sweeps_per_beta": 0}, ValueError, "num_sweeps_per_beta"),
        ({"num_sweeps_per_beta": 1.0}, TypeError, "integer"),
        ({"beta_schedule_type": "quadratic"}, ValueError, "geometric"),
        ({"beta_schedule_type": 3}, TypeError, "geometric"),
        ({"beta_schedule_type": "custom"}, ValueError, "beta_schedule"),
        ({"beta_schedule": [1.0]}, ValueError, "custom"),
        ({"beta_schedule_type": "custom", "beta_schedule": [-1.0]}, ValueError, "at least 0"),
        ({"beta_schedule_type": "custom", "beta_schedule": [np.nan]}, ValueError, "finite"),
        ({"beta_schedule_type": "custom", "beta_schedule": []}, ValueError, "shape"),
        ({"beta_schedule_type": "custom", "beta_schedule": "x"}, TypeError, "numbers"),
        ({"beta_schedule_type": "custom", "beta_schedule": [1.0], "num_sweeps": 2}, ValueError, "num_sweeps=2"),
        ({"beta_schedule_type": "custom", "beta_schedule": [1.0], "beta_range": (0, 1)}, ValueError, "contradicts"),
        ({"beta_range": (0, 1)}, ValueError, "above 0"),
        ({"beta_range": (1,)}, ValueError, "first and the last"),
        ({"beta_range": (1, np.inf)}, ValueError, "finite"),
        ({"num_reads": 10**15}, MemoryError, "reads"),
    ],
)
def test_bad_options_are_refused(keywords, error, message):
    with pytest.raises(error, match=message):
        SimulatedAnnealingSampler().sample(PAIR, **keywords)


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="native"):
        SimulatedAnnealingSampler("cuda").sample(PAIR)
