"""`ketgrad compare`: equal answers first, then times; and a table that says what was not there."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ketgrad as kg
from ketgrad import compare as compare_module
from ketgrad import peers
from ketgrad.compare import (
    DisagreementError,
    Row,
    add_arguments,
    check,
    compare,
    format_table,
    format_time,
    measure,
    report,
    run,
)
from ketgrad.peers import Problem, ketgrad_step, pennylane_step

SMALL = {"qubits": 3, "layers": 1, "batch": 2}


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def only_ketgrad(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where neither PennyLane nor torch is installed."""
    monkeypatch.setattr(compare_module, "find_spec", lambda name: None)


def test_the_step_is_values_and_both_gradients(backend: str) -> None:
    problem = Problem.default(3, 2, 2)
    values, grad_w, grad_x = ketgrad_step(problem, backend)()
    assert values.shape == problem.cotangents.shape == (2, 6)

    def loss(w: Any, x: Any) -> float:
        model = kg.compile(problem.circuit, problem.observables, backend=backend)
        return float((model(w, x) * problem.cotangents).sum())

    step = 1e-6
    for k in (0, 7, 17):
        d = step * (np.arange(len(grad_w)) == k)
        slope = (loss(problem.weights + d, problem.inputs) - loss(problem.weights - d, problem.inputs)) / (2 * step)
        assert slope == pytest.approx(grad_w[k], abs=1e-7)
    d = np.zeros_like(problem.inputs)
    d[1, 2] = step
    slope = (loss(problem.weights, problem.inputs + d) - loss(problem.weights, problem.inputs - d)) / (2 * step)
    assert slope == pytest.approx(grad_x[1, 2], abs=1e-7)


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("torch", [True, False])
@pytest.mark.parametrize(
    ("device", "method", "samples"),
    [
        ("ketgrad.qubit", "adjoint", 1),
        ("ketgrad.qubit", "adjoint", 3),
        ("default.qubit", "backprop", 1),
        ("default.qubit", "backprop", 3),
        ("default.qubit", "parameter-shift", 1),  # PennyLane cannot shift the inputs of a broadcast batch
    ],
)
def test_pennylane_takes_the_same_step(
    device: str, method: str, samples: int, torch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pennylane")
    if torch:
        pytest.importorskip("torch")
    else:
        monkeypatch.setattr(peers, "find_spec", lambda name: None)
    problem = Problem.default(3, 1, samples)
    assert check(device, pennylane_step(problem, device, method)(), ketgrad_step(problem)()) < 1e-10


def test_affine_angles_and_coefficients_reach_pennylane() -> None:
    pytest.importorskip("pennylane")
    circuit = kg.Circuit(2)
    x, w = circuit.inputs(2), circuit.weights(2)
    circuit.rx(2 * x[0] + 0.1, 0).ry(-w[1], 1).crx(0.5 * w[0], 0, 1).rz(0.3, 1).h(0)
    rng = np.random.default_rng(1)
    problem = Problem(circuit, [0.5 * kg.Z(0), kg.X(1)], rng.normal(size=2), rng.normal(size=(3, 2)), np.ones((3, 2)))
    check("peer", pennylane_step(problem, "ketgrad.qubit", "adjoint")(), ketgrad_step(problem)())


def test_every_row_agrees_and_is_a_ratio_to_the_first() -> None:
    pytest.importorskip("pennylane")
    said: list[str] = []
    rows = compare(**SMALL, quick=True, say=said.append)
    timed = [r for r in rows if r.seconds is not None]
    names = [r.name for r in timed]
    assert names[0].startswith("ketgrad ") and timed[0].ratio == 1.0
    assert {"default.qubit parameter-shift", "default.qubit backprop", "ketgrad.qubit in PennyLane"} <= set(names)
    for r in timed:
        assert r.seconds is not None and r.error is not None
        assert r.ratio == pytest.approx(r.seconds / (timed[0].seconds or 1)) and r.repeats >= 1 and r.error <= 1e-10
    shifted = next(r for r in timed if r.name == "default.qubit parameter-shift")
    assert shifted.note.startswith("1 sample timed, x 2")
    assert [line.split()[0] for line in said] == ["checking"] * len(timed) + ["timing"] * len(timed)


@pytest.mark.usefixtures("only_ketgrad")
def test_what_is_not_installed_is_said() -> None:
    rows = compare(**SMALL, quick=True)
    assert {r.name for r in rows if r.seconds is None} >= {"pennylane (pip install pennylane)"}
    assert all(r.name.startswith("ketgrad ") for r in rows if r.seconds is not None)
    assert "not installed here" in report(rows, **SMALL)


@pytest.mark.usefixtures("only_ketgrad")
def test_nothing_is_timed_when_answers_differ(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([0.0, 1e-9])
    real = ketgrad_step

    def drifting(problem: Problem, backend: str | None = None) -> Callable[[], Any]:
        values, grad_w, grad_x = real(problem, "numba")()
        drift = next(answers)
        return lambda: (values, grad_w + drift, grad_x)

    monkeypatch.setattr(compare_module, "ketgrad_step", drifting)
    monkeypatch.setattr(compare_module, "backend_info", lambda name: {"threads": 1})
    monkeypatch.setattr(compare_module, "measure", lambda *a: pytest.fail("timed"))
    assert run(parse("--qubits", "3", "--layers", "1", "--batch", "2", "--quick")) == 1
    assert "weight gradients differ from ketgrad's by 1e-09" in capsys.readouterr().err


def test_check_names_what_differs() -> None:
    good = (np.ones((2, 3)), np.ones(4), np.ones((2, 5)))
    assert check("peer", good, good) == 0.0
    with pytest.raises(DisagreementError, match="its values differ from ketgrad's by 1, more than 1e-10"):
        check("peer", (good[0] + 1, good[1], good[2]), good)
    with pytest.raises(DisagreementError, match="its input gradients differ from ketgrad's by inf"):
        check("peer", (good[0], good[1], good[2][:1]), good)
    with pytest.raises(DisagreementError, match="by nan"):
        check("peer", (good[0] * np.nan, good[1], good[2]), good)


@pytest.mark.usefixtures("only_ketgrad")
def test_the_command_writes_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.json"
    assert run(parse("--qubits", "3", "--layers", "1", "--batch", "2", "--quick", "--json", str(file))) == 0
    text = capsys.readouterr().out
    assert "9 weights and 2 x 3 inputs" in text and "no quantum advantage" in text
    document = json.loads(file.read_text())
    assert document["qubits"] == 3 and document["rows"][0]["ratio"] == 1.0
    assert document["versions"]["ketgrad"] == kg.__version__


def test_defaults_are_the_trainers() -> None:
    from ketgrad.train import Settings

    args, settings = parse(), Settings()
    assert (args.qubits, args.layers, args.batch) == (settings.qubits, settings.layers, settings.batch)


def test_times_and_tables_read_well() -> None:
    assert [format_time(s) for s in (None, 2e-7, 4.2e-5, 1.234e-3, 0.5, 12.3, 4321.0)] == [
        "-",
        "0.2 us",
        "42 us",
        "1.23 ms",
        "500 ms",
        "12.3 s",
        "4,321 s",
    ]
    table = format_table(("name", "time", "note"), [("a", "10", "x"), ("longer", "5", "")]).splitlines()
    assert table == ["name    time  note", "------  ----  ----", "a         10  x", "longer     5"]
    rows = [Row("a", 1e-3, 3, 1.0, 0.0, ""), Row("lightning.qubit", 1.0, 3, 1000.0, 1e-15, "1 thread")]
    text = report(rows, 3, 1, 2)
    assert "1,000x" in text and "1.0x" in text and "one thread, whatever OMP_NUM_THREADS says" in text
    assert "OMP_NUM_THREADS" not in report(rows[:1], 3, 1, 2)


def test_measure_is_a_median_of_at_least_one() -> None:
    calls: list[int] = []
    seconds, repeats = measure(lambda: calls.append(1), 0.0)
    assert repeats == len(calls) == 1 and seconds >= 0
    assert measure(lambda: None, 10.0, at_most=5)[1] == 5
