"""The PennyLane programs in examples/: what their README promises, the same numbers on PennyLane's own simulator."""

from __future__ import annotations

import itertools
import re
import shlex
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from example_programs import EXAMPLES, program, promised_numbers
from example_programs import PENNYLANE_ROWS as ROWS

qml = pytest.importorskip("pennylane")

DEVICES = ("ketgrad.qubit", "default.qubit")


@pytest.fixture(autouse=True)
def entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a source tree that is not installed, PennyLane is told of the device by hand."""
    plugins = sys.modules["pennylane.devices.device_constructor"].plugin_devices
    if "ketgrad.qubit" not in plugins:
        from ketgrad.pennylane_device import KetgradQubit

        monkeypatch.setitem(plugins, "ketgrad.qubit", SimpleNamespace(load=lambda: KetgradQubit))


@pytest.mark.parametrize(("file", "command", "promise"), ROWS, ids=[file for file, _, _ in ROWS])
def test_readme_commands_print_what_it_says(
    file: str, command: str, promise: str, capsys: pytest.CaptureFixture[str]
) -> None:
    interpreter, path, *arguments = shlex.split(command)
    assert (interpreter, path) == ("python", f"examples/{file}")
    program(file).main(arguments)
    printed = capsys.readouterr().out.split()
    numbers = promised_numbers(promise)
    assert numbers
    for number in numbers:
        assert number in printed, number


@pytest.mark.parametrize("file", [file for file, _, _ in ROWS])
def test_only_the_name_of_the_device_differs(file: str) -> None:
    source = (EXAMPLES / file).read_text()
    code = source.split('"""', 2)[2]
    assert re.findall(r"\S*ketgrad\S*", code) == ['default="ketgrad.qubit",']
    assert "options.device" in code


@pytest.mark.parametrize("device", DEVICES)
def test_hydrogen_reaches_its_ground_state(device: str) -> None:
    result = program("vqe_h2.py").main(["--device", device])
    assert result.energy == pytest.approx(-1.137306036, abs=1e-8)
    assert result.exact == pytest.approx(-1.137306036, abs=1e-8)
    assert result.energy >= result.exact - 1e-12  # the variational principle
    assert result.hartree_fock == pytest.approx(-1.116998997, abs=1e-8)


def test_hydrogen_at_another_bond_length() -> None:
    there, here = (program("vqe_h2.py").main(["--bond", "1.4", "--device", device]) for device in DEVICES)
    assert here.energy == pytest.approx(here.exact, abs=1e-8)
    assert there.energy == pytest.approx(here.energy, abs=1e-10)
    np.testing.assert_allclose(there.angles, here.angles, atol=1e-8)
    assert here.energy > -1.13  # stretched: the option is heard


@pytest.mark.parametrize("device", DEVICES)
def test_qaoa_reaches_the_optimum_of_one_layer(device: str) -> None:
    result = program("qaoa_maxcut.py").main(["--device", device])
    assert result.theory == pytest.approx(0.692450090, abs=5e-10)
    assert result.ratio == pytest.approx(result.theory, abs=1e-9)
    np.testing.assert_allclose(result.angles, [-np.arctan(np.sqrt(1 / 2)), np.pi / 8], atol=1e-6)
    edges = program("qaoa_maxcut.py").nx.petersen_graph().edges
    largest = max(sum(side[a] != side[b] for a, b in edges) for side in itertools.product((0, 1), repeat=10))
    assert result.best_cut == largest == 12


def test_qaoa_is_the_same_at_every_step() -> None:
    there, here = (program("qaoa_maxcut.py").main(["--steps", "3", "--device", device]) for device in DEVICES)
    assert there.ratio == pytest.approx(here.ratio, abs=1e-10)
    assert here.ratio < here.theory - 1e-4  # not there yet, so the angles say something
    np.testing.assert_allclose(there.angles, here.angles, atol=1e-10)


def test_classifier_is_the_same_on_both_devices() -> None:
    arguments = ["--steps", "20", "--seed", "3"]
    there, here = (program("classifier.py").main([*arguments, "--device", device]) for device in DEVICES)
    assert (there.train_accuracy, there.test_accuracy) == (here.train_accuracy, here.test_accuracy)
    assert there.loss == pytest.approx(here.loss, abs=1e-8)
    np.testing.assert_allclose(there.weights, here.weights, atol=1e-8)


def test_classifier_learns() -> None:
    before, after = (program("classifier.py").main(["--steps", str(steps), "--seed", "1"]) for steps in (0, 80))
    assert after.loss < 0.5 * before.loss
    assert min(after.train_accuracy, after.test_accuracy) >= 0.9 > before.test_accuracy


def test_classifier_without_a_progress_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert program("classifier.py").main(["--steps", "1"]).loss > 0
    assert capsys.readouterr().err == ""
