"""QAOA beside dense matrices, theory, and the anneal that it digitises; its training, its sampler, its refusals."""

from __future__ import annotations

import itertools
import math
import unittest

import numpy as np
import pytest

from ketgrad.anneal import Ising, generators
from ketgrad.errors import ArgumentError, ArgumentTypeError, ParameterError

dimod = pytest.importorskip("dimod")
scipy_linalg = pytest.importorskip("scipy.linalg")

from ketgrad.anneal.qaoa import QAOA, QAOASampler, interpolated  # noqa: E402  (needs dimod)


def spins(n: int) -> np.ndarray:
    """All states, in the order of amplitudes: variable 0 is the most significant bit, bit 0 is +1."""
    return np.array(list(itertools.product([1, -1], repeat=n)), dtype=np.int8)


def driver(n: int) -> np.ndarray:
    """-sum X as a dense matrix."""
    x, out = np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros((2**n, 2**n))
    for q in range(n):
        out -= np.kron(np.kron(np.eye(2**q), x), np.eye(2 ** (n - 1 - q)))
    return out


def random_problem(n: int = 4) -> Ising:
    rng = np.random.default_rng(5)
    pairs = list(itertools.combinations(range(n), 2))
    return Ising.of(rng.normal(size=n), pairs, rng.normal(size=len(pairs)), 0.7, [f"v{k}" for k in range(n)])


def dense(problem: Ising, angles: np.ndarray) -> np.ndarray:
    """The final state by matrix exponentials."""
    energies, mixer = problem.energies(spins(problem.n)), driver(problem.n)
    state = np.full(2**problem.n, 2 ** (-problem.n / 2), dtype=complex)
    for gamma, beta in angles:
        state = scipy_linalg.expm(-1j * beta * mixer) @ (np.exp(-1j * gamma * energies) * state)
    return state


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
def test_energies_beside_dense_matrices(dtype: str, backend: str) -> None:
    problem, angles = random_problem(), np.random.default_rng(0).normal(size=(3, 2))
    qaoa, wanted = QAOA(problem, 3, dtype=dtype, backend=backend), np.abs(dense(problem, angles)) ** 2
    atol = 1e-12 if dtype == "complex128" else 1e-5
    np.testing.assert_allclose(qaoa.probabilities(angles), wanted, atol=atol)
    energies = problem.energies(spins(4))
    assert qaoa.energy(angles) == pytest.approx(wanted @ energies, abs=20 * atol)
    assert qaoa.success_probability(angles) == pytest.approx(wanted[energies.argmin()], abs=atol)


def test_gradients() -> None:
    problem, angles = random_problem(), np.random.default_rng(1).normal(size=(3, 2))
    qaoa = QAOA(problem, 3)
    energy, gradient = qaoa.energy_and_gradient(angles)
    assert energy == pytest.approx(qaoa.energy(angles))
    for index in np.ndindex(3, 2):
        step = np.zeros((3, 2))
        step[index] = 1e-5
        slope = (qaoa.energy(angles + step) - qaoa.energy(angles - step)) / 2e-5
        assert gradient[index] == pytest.approx(slope, abs=1e-8)


def test_many_layers_are_the_anneal() -> None:
    """The error of a digitised anneal falls with the square of its step."""
    from scipy.integrate import solve_ivp

    problem, time = random_problem(), 6.0
    energies, mixer = problem.energies(spins(4)), driver(4)

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        s = t / time
        return -1j * ((1 - s) * (mixer @ state) + s * energies * state)

    start = np.full(16, 0.25, dtype=complex)
    wanted = np.abs(solve_ivp(slope, (0, time), start, rtol=1e-10, atol=1e-12).y[:, -1]) ** 2
    errors = []
    for layers in (50, 100, 200):
        qaoa = QAOA(problem, layers)
        errors.append(np.abs(qaoa.probabilities(qaoa.digitised(time)) - wanted).max())
    assert errors[-1] < 1e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15) and errors[1] / errors[2] == pytest.approx(4, rel=0.15)


def test_one_layer_on_the_petersen_graph() -> None:
    nx = pytest.importorskip("networkx")
    found = QAOA(generators.maxcut(nx.petersen_graph()), 1).train(tolerance=1e-12)
    assert -found.energy / 15 == pytest.approx(1 / 2 + 1 / (3 * math.sqrt(3)), abs=1e-8)


def test_rings_reach_what_theory_says() -> None:
    """(2p+1)/(2p+2) of the bonds of an even ring longer than 2p + 1; parameters of p warm-start p + 1."""
    angles = None
    for p in (1, 2, 3):
        ring = generators.ferromagnet(2 * p + 2)
        found = QAOA(ring, p).train(angles, tolerance=1e-12, steps=300)
        angles = found.angles
        assert (1 - found.energy / ring.n) / 2 == pytest.approx((2 * p + 1) / (2 * p + 2), abs=1e-7)
        assert found.history[-1] <= found.history[0] and len(found.history) >= 2


def test_training_beats_its_start_and_success_grows_with_layers() -> None:
    problem = generators.sherrington_kirkpatrick(8, seed=2)
    chances, angles = [], None
    for layers in (1, 4, 16):
        qaoa = QAOA(problem, layers)
        found = qaoa.train(angles, steps=60)
        assert found.energy < qaoa.energy(qaoa.best_ramp())
        assert found.energy == pytest.approx(qaoa.energy(found.angles), abs=1e-9)
        chances.append(found.success_probability)
        angles = found.angles
    assert chances[0] < chances[1] < chances[2] and chances[2] > 0.99


def test_interpolated_angles() -> None:
    angles = np.array([[1.0, 4.0], [2.0, 3.0]])
    np.testing.assert_allclose(interpolated(angles, 3), [[1, 4], [1.5, 3.5], [2, 3]])
    assert interpolated(angles, 2) is not angles
    np.testing.assert_array_equal(interpolated(angles, 2), angles)
    one_by_one = interpolated(interpolated(angles, 3), 5)
    np.testing.assert_allclose(interpolated(angles, 5), one_by_one, atol=1e-15)
    with pytest.raises(ParameterError, match="p from 1 to 1"):
        interpolated(angles, 1)


def test_a_hundred_layers() -> None:
    qaoa = QAOA(generators.random_regular(10, 3, seed=0), 100)
    energy, gradient = qaoa.energy_and_gradient(qaoa.ramp(0.7))
    ground = qaoa.problem.energies(spins(10)).min()
    assert ground < energy < 0.97 * ground and gradient.shape == (100, 2)


def test_reads() -> None:
    problem = random_problem()
    trained = QAOA(problem, 2).train(steps=20)
    samples = trained.sample(4000, seed=3)
    assert list(samples.variables) == list(problem.labels) and samples.vartype is dimod.SPIN
    np.testing.assert_allclose(samples.record.energy, problem.energies(samples.record.sample), atol=1e-12)
    error = samples.record.energy.std() / math.sqrt(4000)
    assert samples.record.energy.mean() == pytest.approx(trained.energy, abs=5 * error)
    assert (trained.sample(10, seed=3).record.sample == samples.record.sample[:10]).all()


def test_plot() -> None:
    pytest.importorskip("matplotlib")
    lines = QAOA(random_problem(), 4).train(steps=2).plot().axes[0].lines
    assert [len(line.get_xdata()) for line in lines] == [4, 4]


# the sampler


@dimod.testing.load_sampler_bqm_tests(QAOASampler)
class TestDimod(unittest.TestCase):
    """dimod's own tests of samplers."""


def test_sampler_api() -> None:
    dimod.testing.assert_sampler_api(QAOASampler())


def test_sampler() -> None:
    problem = random_problem()
    bqm = problem.to_bqm().change_vartype("BINARY", inplace=False)
    samples = QAOASampler().sample(bqm, layers=3, num_reads=50, seed=1, steps=30)
    assert samples.vartype is dimod.BINARY and len(samples) == 50
    dimod.testing.assert_response_energies(samples, bqm)
    info = samples.info
    assert info["engine"] == "qaoa" and info["layers"] == 3 and len(info["angles"]) == 3 and not info["interrupted"]
    assert info["energy"] == pytest.approx(QAOA(problem, 3).energy(info["angles"]))
    # trained angles for a problem like it, without training
    again = QAOASampler().sample(bqm, layers=3, num_reads=50, seed=1, steps=0, angles=info["angles"])
    assert again.info["gradients"] == 0 and (again.record.sample == samples.record.sample).all()
    annealed = QAOASampler().sample(bqm, layers=40, annealing_time=12.0, schedule="quadratic", steps=0, seed=0)
    np.testing.assert_allclose(annealed.info["angles"], QAOA(problem, 40).digitised(12.0, "quadratic"))


def test_interruption_keeps_the_best_angles() -> None:
    calls = []

    def enough() -> bool:
        calls.append(1)
        return len(calls) == 3

    samples = QAOASampler().sample(
        random_problem().to_bqm(), layers=4, num_reads=7, seed=0, interrupt_function=enough, steps=100
    )
    assert len(samples) == 7 and samples.info["interrupted"] and samples.info["gradients"] == 3
    assert samples.info["energy"] <= samples.info["history"][0]


def test_ctrl_c_keeps_the_best_angles(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = [], QAOA.energy_and_gradient

    def stopped(self: QAOA, angles: np.ndarray) -> tuple[float, np.ndarray]:
        asked.append(1)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return real(self, angles)

    monkeypatch.setattr(QAOA, "energy_and_gradient", stopped)
    found = QAOA(random_problem(), 4).train()
    assert found.interrupted and found.gradients == 3 and found.energy < found.history[0]


def test_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, large = random_problem(), Ising.of(np.zeros(50), [(0, 1)], [1.0])
    with pytest.raises(ArgumentError, match=r"50 variables needs .* at most \d+ variables here; Simulated"):
        QAOA(large, 1)
    monkeypatch.setenv("KETGRAD_MAX_MEMORY", str(10**6))
    with pytest.raises(ArgumentError, match="at most 14 variables"):
        QAOA(generators.ferromagnet(20), 1)
    monkeypatch.undo()
    with pytest.raises(ArgumentTypeError, match="from_bqm"):
        QAOA(problem.to_bqm(), 1)
    with pytest.raises(ArgumentError, match="layers"):
        QAOA(problem, 0)
    qaoa = QAOA(problem, 2)
    with pytest.raises(ParameterError, match="interpolated"):
        qaoa.energy([[0.1, 0.2]])
    with pytest.raises(ParameterError):
        qaoa.energy([[math.nan, 0.2]] * 2)
    for time in (0, -1.0, math.inf, True, "x"):
        with pytest.raises(ArgumentError, match="annealing time"):
            qaoa.digitised(time)
    with pytest.raises(ArgumentError, match="one of both"):
        QAOASampler().sample(problem.to_bqm(), angles=[[0, 0]], annealing_time=1.0)
    with pytest.raises(ArgumentError, match="steps"):
        QAOASampler().sample(problem.to_bqm(), steps=-1)
