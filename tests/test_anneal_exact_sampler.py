"""Exact annealing behind dimod's face."""

from __future__ import annotations

import unittest

import numpy as np
import pytest

dimod = pytest.importorskip("dimod")

from ketgrad.anneal import ExactAnnealing, ExactAnnealingSampler, Ising  # noqa: E402
from ketgrad.errors import ArgumentError, ArgumentTypeError, OutOfMemoryError  # noqa: E402

BACK = [[0, 1], [2.0, 0.4], [4.0, 1]]


def test_the_api_of_dimod():
    dimod.testing.assert_sampler_api(ExactAnnealingSampler())


@dimod.testing.load_sampler_bqm_tests(ExactAnnealingSampler)
class TestModelsOfDimod(unittest.TestCase):
    """dimod's own suite; its methods come from the decorator."""


@pytest.fixture
def bqm():
    return dimod.generators.gnm_random_bqm(6, 9, "BINARY", random_state=3)


def test_reads_follow_the_final_state(bqm):
    found = ExactAnnealingSampler().sample(bqm, num_reads=4000, annealing_time=8, seed=5, schedule="circular")
    dimod.testing.assert_response_energies(found, bqm)
    problem = Ising.from_bqm(bqm)
    scale = 1 / max(np.abs(problem.fields).max(), np.abs(problem.couplings).max())
    same = Ising.of(problem.fields * scale, problem.pairs, problem.couplings * scale)
    result = ExactAnnealing(same).run("circular", 8.0)
    lowest = np.isclose(found.record.energy, found.record.energy.min()).mean()
    assert lowest == pytest.approx(result.success_probability, abs=0.04)
    info = found.info
    assert info["success_probability"] == pytest.approx(result.success_probability, abs=1e-3)
    assert info["mean_energy"] == pytest.approx(found.record.energy.mean(), abs=0.1)
    assert (info["schedule"], info["path"], info["interrupted"]) == ("circular", [[0, 0], [8, 1]], False)
    assert info["scale"] == pytest.approx(scale) and info["error"] <= 1e-4 and info["timing"]["sampling_ns"] > 0


def test_reads_depend_on_seed_and_number_alone(bqm):
    few, many, other = (ExactAnnealingSampler().sample(bqm, num_reads=n, seed=s) for n, s in ((5, 1), (50, 1), (50, 2)))
    rows = [x.samples(sorted_by=None)._samples for x in (few, many, other)]
    np.testing.assert_array_equal(rows[0], rows[1][:5])
    assert (rows[1] != rows[2]).any() and len(np.unique(rows[1], axis=0)) > 1


def test_reverse_annealing_starts_where_it_is_told(bqm):
    state = {v: k % 2 for k, v in enumerate(bqm.variables)}
    short = [[0, 1], [1e-6, 0.5], [2e-6, 1]]
    stays = ExactAnnealingSampler().sample(bqm, num_reads=3, anneal_schedule=short, initial_state=state, seed=1)
    assert all(dict(row) == state for row in stays.samples())
    states = [state, {v: 1 - x for v, x in state.items()}, state]
    found = ExactAnnealingSampler().sample(bqm, anneal_schedule=short, initial_states=states, seed=1)
    assert [dict(row) for row in found.samples(sorted_by=None)] == states
    for again in (True, False):
        options = {"num_reads": 6, "anneal_schedule": BACK, "initial_state": state, "reinitialize_state": again}
        first, second = (ExactAnnealingSampler().sample(bqm, seed=7, **options) for _ in range(2))
        np.testing.assert_array_equal(first.record.sample, second.record.sample)
        dimod.testing.assert_response_energies(first, bqm)


def test_interruption_measures_where_the_anneal_is(bqm):
    found = ExactAnnealingSampler().sample(bqm, num_reads=4, annealing_time=200.0, interrupt_function=lambda: True)
    assert found.info["interrupted"] and len(found) == 4
    state = dict.fromkeys(bqm.variables, 0)
    calls = []

    def third():
        calls.append(1)
        return len(calls) == 4

    options = {"anneal_schedule": BACK, "initial_state": state, "reinitialize_state": False, "steps": 2}
    found = ExactAnnealingSampler().sample(bqm, num_reads=9, interrupt_function=third, **options)
    assert found.info["interrupted"] and len(found) == 4


@pytest.mark.parametrize(
    ("error", "text", "options"),
    [
        (ArgumentError, "either a time or a path", {"annealing_time": 1.0, "anneal_schedule": BACK}),
        (ArgumentError, "above 0", {"annealing_time": 0.0}),
        (ArgumentError, "needs an initial_state", {"anneal_schedule": BACK}),
        (ArgumentError, "not both", {"anneal_schedule": BACK, "initial_state": {}, "initial_states": {}}),
        (ArgumentError, "at s = 0 the driver", {"initial_state": {0: 1}}),
        (ArgumentError, "variables of the model", {"anneal_schedule": BACK, "initial_state": {0: 1}}),
        (ArgumentError, "initial_states_generator", {"initial_states_generator": "any"}),
        (ArgumentTypeError, "auto_scale", {"auto_scale": 2}),
        (ArgumentTypeError, "reinitialize_state", {"reinitialize_state": "no"}),
        (ArgumentError, "a schedule is", {"schedule": "fast"}),
        (ArgumentError, "num_reads", {"num_reads": 0}),
    ],
)
def test_mistakes_are_refused(bqm, error, text, options):
    with pytest.raises(error, match=text):
        ExactAnnealingSampler().sample(bqm, **options)


def test_large_models_are_sent_elsewhere():
    bqm = dimod.BinaryQuadraticModel({k: 1.0 for k in range(200)}, {}, "SPIN")
    with pytest.raises(OutOfMemoryError, match=r"200 spins .* At most \d+ spins fit.*SimulatedQuantumAnnealingSampler"):
        ExactAnnealingSampler().sample(bqm)
