"""The face that annealing samplers show to dimod, around an engine that only draws spins."""

from __future__ import annotations

import numpy as np
import pytest

from ketgrad.anneal import Ising

dimod = pytest.importorskip("dimod")
pytest.importorskip("dimod.testing")
from ketgrad.anneal import sampler as face  # noqa: E402


class Coins(face.AnnealingSampler):
    """Reads are the initial states, or what a generator of (seed, read) draws; blocks of two."""

    engine = "coins"
    options = {"side": ("heads", "tails")}

    def sample(self, bqm, num_reads=None, *, seed=None, side="heads", stop_at=None, initial_states=None,
               initial_states_generator="random", interrupt_function=None, progress=False, **kwargs):  # fmt: skip
        def start(problem, request):
            face.one_of("side", side, self.options["side"])
            return face.Run({"schedule": [1.0]}, blocks(problem, request))

        def blocks(problem, request):
            for first in range(0, request.reads, 2):
                if stop_at is not None and first >= stop_at:
                    raise KeyboardInterrupt
                rows = [
                    request.initial[r] if r < len(request.initial)
                    else np.random.default_rng((request.seed, r)).choice((-1, 1), size=problem.n)
                    for r in range(first, min(first + 2, request.reads))
                ]  # fmt: skip
                yield face.Block(np.array(rows, np.int8), {"read": np.arange(first, first + len(rows))})

        return self._run(
            bqm, start, num_reads=num_reads, seed=seed, initial_states=initial_states,
            initial_states_generator=initial_states_generator, interrupt_function=interrupt_function,
            progress=progress, unknown=kwargs,
        )  # fmt: skip


BQM = dimod.BinaryQuadraticModel({"b": 1.0, "a": -0.5, 7: 0.0}, {("a", 7): 2.0, ("b", 7): -1.5}, 0.25, "SPIN")


def test_it_is_a_sampler_of_dimods():
    dimod.testing.assert_sampler_api(Coins())
    assert Coins().parameters["side"] == ["side_options"] and Coins().properties["side_options"] == ("heads", "tails")
    assert "kwargs" not in Coins().parameters and "num_reads" in Coins().parameters


def test_samples_keep_vartype_labels_and_energies():
    for vartype in ("SPIN", "BINARY"):
        model = BQM.change_vartype(vartype, inplace=False)
        found = Coins().sample(model, num_reads=5, seed=3)
        assert list(found.variables) == list(model.variables) and found.vartype is model.vartype
        dimod.testing.assert_sampleset_energies(found, model)
        assert found.record.read.tolist() == [0, 1, 2, 3, 4] and found.record.num_occurrences.tolist() == [1] * 5
        assert found.info["engine"] == "coins" and found.info["seed"] == 3 and found.info["schedule"] == [1.0]
        assert set(found.info["timing"]) == {"preprocessing_ns", "sampling_ns", "postprocessing_ns"}
    again = Coins().sample(Ising.from_bqm(BQM), num_reads=5, seed=3)
    np.testing.assert_array_equal(again.record.sample, Coins().sample(BQM, num_reads=5, seed=3).record.sample)


def test_a_new_seed_is_told():
    one, two = (Coins().sample(BQM, num_reads=40) for _ in range(2))
    assert one.info["seed"] != two.info["seed"]
    np.testing.assert_array_equal(
        Coins().sample(BQM, num_reads=40, seed=one.info["seed"]).record.sample, one.record.sample
    )


def test_models_without_variables_are_their_offset():
    found = Coins().sample(dimod.BinaryQuadraticModel({}, {}, 1.5, "BINARY"), num_reads=3)
    assert found.record.energy.tolist() == [1.5] * 3 and found.vartype is dimod.BINARY


def test_initial_states_in_any_order_and_vartype():
    spins = {"a": 1, "b": -1, 7: 1}
    wanted = [spins[v] for v in BQM.variables]
    for states in (spins, {v: (s + 1) // 2 for v, s in spins.items()}, ([[1, 1, -1]], [7, "a", "b"])):
        found = Coins().sample(BQM, initial_states=states)
        assert found.record.sample.tolist() == [wanted]
    tiled = Coins().sample(BQM, num_reads=3, initial_states=[spins, {**spins, 7: -1}], initial_states_generator="tile")
    assert tiled.record.sample[:, list(BQM.variables).index(7)].tolist() == [1, -1, 1]
    some = Coins().sample(BQM, num_reads=20, seed=1, initial_states=spins)
    assert some.record.sample[0].tolist() == wanted and len(np.unique(some.record.sample, axis=0)) > 1
    bits = Coins().sample(BQM.change_vartype("BINARY", inplace=False), initial_states=spins)
    assert bits.record.sample.tolist() == [[(s + 1) // 2 for s in wanted]]


def test_interrupted_runs_keep_what_is_finished():
    calls = []
    found = Coins().sample(BQM, num_reads=10, interrupt_function=lambda: calls.append(1) or len(calls) == 2)
    assert len(found) == 4 and found.info["interrupted"]
    assert not Coins().sample(BQM, num_reads=2, interrupt_function=lambda: True).info["interrupted"]
    assert len(Coins().sample(BQM, num_reads=10, stop_at=4)) == 4
    with pytest.raises(KeyboardInterrupt):
        Coins().sample(BQM, num_reads=10, stop_at=0)
    with pytest.raises(ZeroDivisionError):
        Coins().sample(BQM, num_reads=10, interrupt_function=lambda: 1 // 0)


def test_progress_counts_reads(capsys):
    pytest.importorskip("tqdm")
    assert len(Coins().sample(BQM, num_reads=5, progress=True)) == 5
    assert "5/5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"num_reads": 0}, ValueError, "num_reads must be from 1"),
        ({"num_reads": 1.5}, TypeError, "num_reads is an integer"),
        ({"num_reads": True}, TypeError, "num_reads is an integer"),
        ({"seed": -1}, ValueError, "seed must be from 0"),
        ({"seed": "x"}, TypeError, "seed is an integer"),
        ({"side": "edge"}, ValueError, "heads"),
        ({"interrupt_function": 3}, TypeError, "interrupt_function"),
        ({"initial_states_generator": "some"}, ValueError, "tile"),
        ({"initial_states_generator": "none"}, ValueError, "got 0"),
        ({"initial_states_generator": "tile"}, ValueError, "got 0"),
        ({"initial_states": {"a": 1}}, ValueError, "variables of the model"),
        ({"initial_states": {"a": 1, "b": 3, 7: 1}}, ValueError, None),
    ],
)
def test_bad_arguments_are_refused(keywords, error, message):
    with pytest.raises(error, match=message):
        Coins().sample(BQM, **keywords)


def test_bad_models_are_refused():
    for bad in (None, 3, "bqm", np.eye(2)):
        with pytest.raises(TypeError, match="BinaryQuadraticModel"):
            Coins().sample(bad)
    with pytest.raises(ValueError, match="finite"):
        Coins().sample(dimod.BinaryQuadraticModel({"a": np.nan}, {}, 0.0, "SPIN"))


def test_unknown_keywords_warn_as_dimods_do():
    with pytest.warns(dimod.exceptions.SamplerUnknownArgWarning, match="annealing_tine"):
        Coins().sample(BQM, annealing_tine=3)
