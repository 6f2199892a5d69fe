"""The trainer: gradients, learning, determinism, checkpoints and exact resumption."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ketgrad as kg
from ketgrad import hybrid, train
from ketgrad.adam import Adam, cosine
from ketgrad.checkpoint import read_archive, write_archive
from ketgrad.errors import (
    ArgumentError,
    ArgumentTypeError,
    CheckpointError,
    DataError,
    KetgradError,
    OutOfMemoryError,
    ParameterError,
)
from ketgrad.train import Settings, Stopped, fit

SMALL = Settings(qubits=3, layers=2, epochs=6, batch=16, lr=0.05, input_noise=0.1)


def blobs(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds of four features; one feature is constant."""
    rng = np.random.default_rng(seed)
    labels = np.array(["red", "green", "blue"])[np.arange(n) % 3]
    centres = {"red": [0, 0, 5, 1e6], "green": [3, 0, 5, 1e6], "blue": [0, 3, 5, 1e6]}
    x = np.array([centres[c] for c in labels]) + 0.4 * rng.standard_normal((n, 4)) * [1, 1, 0, 1]
    return x, labels


def state(path: Path) -> dict[str, bytes]:
    """A checkpoint without its times."""
    _, header, arrays = read_archive(path, train.KIND)
    arrays["history"] = arrays["history"][:, :4]
    drop = {"seconds", "step_seconds"}
    return {name: a.tobytes() for name, a in arrays.items()} | {
        "header": repr({k: v for k, v in header.items() if k not in drop}).encode()
    }


# the network


def network(backend: str | None = None, **options: Any) -> tuple[hybrid.Classifier, np.ndarray, np.ndarray]:
    x, y = blobs(12)
    net = hybrid.Classifier.create(
        x, ["blue", "green", "red"], qubits=3, layers=2, backend=backend, rng=np.random.default_rng(5), **options
    )
    return net, net.standardise(x), np.searchsorted(net.classes, y)


@pytest.mark.parametrize("method", ["adjoint", "parameter-shift"])
def test_gradient_is_the_derivative_of_the_loss(backend: str, method: str) -> None:
    net, x, y = network(backend)
    _, _, gradient = net.loss_and_gradient(x, y, method=method)
    theta = net.theta.copy()
    for k in range(len(theta)):
        ends = []
        for step in (1e-5, -1e-5):
            net.theta = theta.copy()
            net.theta[k] += step
            ends.append(net.loss_and_gradient(x, y)[0])
        assert abs((ends[0] - ends[1]) / 2e-5 - gradient[k]) < 1e-8, k


def test_parts_cover_theta_once() -> None:
    net, _, _ = network()
    names = ("encoder", "encoder_bias", "circuit", "head", "head_bias")
    assert sum(net.part(n).size for n in names) == net.theta.size == 4 * 3 + 3 + 18 + 6 * 3 + 3
    net.part("head")[...] = 7
    assert (net.theta == 7).sum() == 18 and net.decayed.sum() == 12 + 18


def test_constant_features_are_harmless() -> None:
    net, x, _ = network()
    assert np.all(x[:, 2] == 0) and np.abs(x).max() <= hybrid.CLIP
    assert np.isfinite(net.probabilities(blobs(5)[0] * 1e6)).all()


def test_probabilities_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    net, _, _ = network()
    x, _ = blobs(11)
    whole = net.probabilities(x)
    monkeypatch.setattr(hybrid, "_ROWS", 3)
    assert np.allclose(net.probabilities(x), whole, atol=1e-13) and np.allclose(whole.sum(axis=1), 1)
    with pytest.raises(ParameterError, match=r"shape \(samples, 4\), got \(11, 3\)"):
        net.probabilities(x[:, :3])


@pytest.mark.parametrize("qubits", [1, 2, 3])
def test_every_number_of_qubits(qubits: int) -> None:
    circuit = hybrid.build_circuit(qubits, 2)
    assert circuit.n_weights == 6 * qubits and len(hybrid.readouts(qubits)) == qubits * (qubits + 1) // 2
    assert sum(g.spec.name == "cz" for g in circuit.gates) == {1: 0, 2: 2, 3: 6}[qubits]


def test_network_round_trip(tmp_path: Path) -> None:
    net, _, _ = network(dtype="complex64")
    net.about = {"data": "blobs"}
    net.save(tmp_path / "net.npz")
    back = hybrid.Classifier.load(tmp_path / "net.npz")
    x, _ = blobs(9, seed=3)
    assert back.about == net.about and back.classes == net.classes and back.model.dtype == np.complex64
    assert np.array_equal(back.probabilities(x), net.probabilities(x))
    assert back.predict(x) == net.predict(x)
    with pytest.raises(CheckpointError, match="holds a classifier, and a model"):
        kg.load(tmp_path / "net.npz")


@pytest.mark.parametrize("break_it", ["theta", "classes", "mean"])
def test_damaged_network_files(tmp_path: Path, break_it: str) -> None:
    net, _, _ = network()
    net.save(tmp_path / "net.npz")
    _, header, arrays = read_archive(tmp_path / "net.npz", "classifier")
    if break_it == "theta":
        arrays["theta"] = arrays["theta"][:-1]
    elif break_it == "mean":
        del arrays["mean"]
    else:
        header["classes"] = None
    write_archive(tmp_path / "net.npz", "classifier", header, arrays)
    with pytest.raises(CheckpointError, match="does not hold a valid classifier"):
        hybrid.Classifier.load(tmp_path / "net.npz")


# the optimiser


def test_adam_against_the_textbook() -> None:
    rng = np.random.default_rng(0)
    adam, theta = Adam(3, 0.1, np.array([True, False, True])), np.array([1.0, 2.0, 3.0])
    m, v, expected = np.zeros(3), np.zeros(3), theta.copy()
    for t in range(1, 6):
        g = rng.standard_normal(3)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        expected = (
            expected
            - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            - 0.01 * 0.1 * expected * [1, 0, 1]
        )
        adam.step(theta, g, 0.01)
    assert np.allclose(theta, expected, atol=1e-14)
    assert cosine(0, 10, 0.5) == 0.5 and cosine(5, 10, 0.5) == pytest.approx(0.25) and cosine(10, 10, 0.5) == 0


# training


def test_it_learns(backend: str) -> None:
    x, y = blobs(90)
    result = fit(x, y, dataclasses.replace(SMALL, epochs=12, backend=backend), test=blobs(60, seed=1))
    history = result.history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["test_accuracy"][-1] > 0.95
    assert np.mean(np.array(result.network.predict(x)) == y) > 0.95
    assert history["loss"].shape == (12,) and result.times["steps"] == 12 * 6 and result.times["step"] > 0


def test_the_same_seed_gives_the_same_bits() -> None:
    x, y = blobs()
    one, two = fit(x, y, SMALL), fit(x, y, SMALL)
    assert np.array_equal(one.network.theta, two.network.theta)
    assert np.array_equal(one.history["loss"], two.history["loss"])
    other = fit(x, y, dataclasses.replace(SMALL, seed=1))
    assert not np.array_equal(one.network.theta, other.network.theta)


def test_the_gradient_method_changes_rounding_only() -> None:
    x, y = blobs(32)
    short = dataclasses.replace(SMALL, epochs=2)
    one = fit(x, y, dataclasses.replace(short, gradient="adjoint"))
    two = fit(x, y, dataclasses.replace(short, gradient="parameter-shift"))
    assert np.allclose(one.network.theta, two.network.theta, atol=1e-9)
    assert not np.array_equal(one.network.theta, two.network.theta)  # or parameter-shift did not run


def test_shots_learn_and_are_seeded() -> None:
    x, y = blobs(48)
    settings = dataclasses.replace(SMALL, epochs=4, lr=0.1, shots=200)
    one, two = fit(x, y, settings, test=(x, y)), fit(x, y, settings, test=(x, y))
    assert np.array_equal(one.network.theta, two.network.theta)
    assert np.array_equal(one.history["test_accuracy"], two.history["test_accuracy"])
    assert one.history["loss"][-1] < one.history["loss"][0]
    assert not np.allclose(one.network.theta, fit(x, y, dataclasses.replace(settings, shots=None)).network.theta)


def test_labels_of_any_kind() -> None:
    x, y = blobs(30)
    numbers = np.searchsorted(["blue", "green", "red"], y) * 10 - 5
    assert set(fit(x, numbers, dataclasses.replace(SMALL, epochs=1)).network.predict(x)) <= {-5, 5, 15}
    assert fit(x.tolist(), list(y == "red"), dataclasses.replace(SMALL, epochs=1)).network.classes == [False, True]


def test_progress_after_every_step() -> None:
    seen: list[train.Progress] = []
    x, y = blobs(20)
    fit(x, y, dataclasses.replace(SMALL, epochs=2), test=(x, y), progress=seen.append)
    assert [(p.epoch, p.step, p.steps) for p in seen] == [(0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2)]
    assert seen[0].test_accuracy is None and seen[2].test_accuracy is not None


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([[1.0], [2.0]], ["a", "a"], "one class"),
        ([[1.0], [np.nan]], ["a", "b"], "sample 1, feature 0 is nan"),
        ([1.0, 2.0], ["a", "b"], r"shape \(samples, features\)"),
        ([[1.0], [2.0]], ["a"], r"as many labels, got shape \(1,\)"),
        ([["x"], ["y"]], ["a", "b"], "a table of numbers"),
        (np.zeros((2, 0)), ["a", "b"], "at least one of each"),
    ],
)
def test_bad_data(x: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit(x, y, SMALL)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"qubits": 0}, ArgumentError, "qubits must be from 1 to 62, got 0"),
        ({"layers": 1.5}, ArgumentTypeError, "layers is an integer, got 1.5"),
        ({"epochs": True}, ArgumentTypeError, "epochs is an integer"),
        ({"lr": 0}, ArgumentError, "lr must be finite and above 0"),
        ({"lr": float("nan")}, ArgumentError, "lr must be finite"),
        ({"input_noise": -1}, ArgumentError, "input_noise must be finite and at least 0"),
        ({"decay": "x"}, ArgumentTypeError, "decay is a number"),
        ({"dtype": "float32"}, ArgumentError, "dtype must be complex64 or complex128"),
        ({"gradient": "backprop"}, ArgumentError, "gradient must be one of"),
        ({"shots": 0}, ArgumentError, "shots must be from 1"),
        ({"shots": 10, "gradient": "adjoint"}, ArgumentError, "takes no shots"),
    ],
)
def test_bad_settings(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Settings(**options)


def test_divergence_and_oversize_are_reported() -> None:
    x, y = blobs(20)
    with pytest.raises(KetgradError, match="diverged|finite"):
        fit(x, y, dataclasses.replace(SMALL, lr=1e308))
    with pytest.raises(OutOfMemoryError, match="qubits"):
        fit(x, y, dataclasses.replace(SMALL, qubits=50))
    with pytest.raises(ArgumentError, match="checkpoint_every"):
        fit(x, y, SMALL, checkpoint_every=0)


# checkpoints


def stop_after(steps: int) -> Any:
    """A `stop` that says so after this many steps."""
    count = iter(range(steps))
    return lambda: next(count, None) is None


@pytest.mark.parametrize("shots", [None, 20])
@pytest.mark.parametrize("steps", [0, 1, 3, 4, 9])
def test_resuming_anywhere_gives_the_same_bits(tmp_path: Path, steps: int, shots: int | None) -> None:
    x, y = blobs()
    settings = dataclasses.replace(SMALL, epochs=4, shots=shots)  # 4 steps an epoch
    whole, path = tmp_path / "whole.npz", tmp_path / "resumed.npz"
    expected = fit(x, y, settings, test=(x, y), checkpoint=whole)
    with pytest.raises(Stopped, match=f"epoch {steps // 4 + 1}, step {steps % 4 + 1} of 4"):
        fit(x, y, settings, test=(x, y), checkpoint=path, stop=stop_after(steps))
    got = fit(x, y, settings, test=(x, y), checkpoint=path, resume=True)
    assert np.array_equal(got.network.theta, expected.network.theta)
    assert state(path) == state(whole)
    assert "resumed at epoch" in got.notes[0]


def test_resuming_a_finished_training_does_nothing(tmp_path: Path) -> None:
    x, y = blobs()
    path = tmp_path / "c.npz"
    first = fit(x, y, SMALL, checkpoint=path)
    before = path.read_bytes()
    again = fit(x, y, SMALL, checkpoint=path, resume=True)
    assert np.array_equal(first.network.theta, again.network.theta) and path.read_bytes() == before
    assert again.times["step"] == first.times["step"]


def test_checkpoint_every(tmp_path: Path) -> None:
    x, y = blobs()
    path, epochs = tmp_path / "c.npz", []

    def look(_: train.Progress) -> None:
        epochs.append(read_archive(path, train.KIND)[1]["epoch"] if path.exists() else 0)

    fit(x, y, dataclasses.replace(SMALL, batch=60, epochs=5), checkpoint=path, checkpoint_every=2, progress=look)
    assert epochs == [0, 0, 2, 2, 4] and read_archive(path, train.KIND)[1]["epoch"] == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.02}, r"lr was 0.05 and is 0.02"),
        ({"epochs": 7, "seed": 3}, r"epochs was 6 and is 7; seed was 0 and is 3"),
        ({"qubits": 2}, "qubits was 3 and is 2"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    x, y = blobs()
    fit(x, y, SMALL, checkpoint=tmp_path / "c.npz")
    with pytest.raises(CheckpointError, match=f"belongs to another training .*{message}.*use the same options"):
        fit(x, y, dataclasses.replace(SMALL, **change), checkpoint=tmp_path / "c.npz", resume=True)


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    x, y = blobs()
    fit(x, y, SMALL, checkpoint=tmp_path / "c.npz")
    x[0, 0] += 1e-9
    with pytest.raises(CheckpointError, match="data was"):
        fit(x, y, SMALL, checkpoint=tmp_path / "c.npz", resume=True)


@pytest.mark.parametrize("name", ["theta", "order", "adam_first", "history", "config", "rng", "epoch"])
def test_a_checkpoint_that_contradicts_itself_is_refused(tmp_path: Path, name: str) -> None:
    x, y = blobs()
    path = tmp_path / "c.npz"
    with pytest.raises(Stopped):
        fit(x, y, SMALL, checkpoint=path, stop=stop_after(5))
    _, header, arrays = read_archive(path, train.KIND)
    if name in arrays:
        arrays[name] = arrays[name][:-1] if name != "order" else np.zeros_like(arrays[name])
    elif name == "config":
        header["config"]["lr"] = 0.06
    else:
        del header[name]
    write_archive(path, train.KIND, header, arrays)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="does not hold a valid checkpoint.*start anew"):
        fit(x, y, SMALL, checkpoint=path, resume=True)
    assert path.read_bytes() == before


def test_another_engine_is_noted(tmp_path: Path) -> None:
    x, y = blobs()
    path = tmp_path / "c.npz"
    with pytest.raises(Stopped):
        fit(x, y, SMALL, checkpoint=path, stop=stop_after(5))
    _, header, arrays = read_archive(path, train.KIND)
    write_archive(path, train.KIND, {**header, "engine": "abacus"}, arrays)
    notes = fit(x, y, SMALL, checkpoint=path, resume=True).notes
    assert "computed by abacus" in notes[1] and "not to the bit" in notes[1]


def test_a_full_disk_stops_with_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    x, y = blobs()
    path = tmp_path / "c.npz"
    fit(x, y, dataclasses.replace(SMALL, epochs=6), checkpoint=tmp_path / "whole.npz")
    real, calls = os.fsync, iter(range(100))

    def full(handle: int) -> None:
        if next(calls) >= 4:  # file and folder, twice
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="no space is left"):
        fit(x, y, SMALL, checkpoint=path)
    monkeypatch.undo()
    assert read_archive(path, train.KIND)[1]["epoch"] == 2
    fit(x, y, SMALL, checkpoint=path, resume=True)
    assert state(path) == state(tmp_path / "whole.npz")


def test_saved_gives_settings_back(tmp_path: Path) -> None:
    x, y = blobs()
    fit(x, y, SMALL, checkpoint=tmp_path / "c.npz", about={"data": "blobs.csv"})
    settings, about = train.saved(tmp_path / "c.npz")
    assert settings == dataclasses.replace(SMALL, backend=settings.backend) and about == {"data": "blobs.csv"}
    with pytest.raises(CheckpointError, match="does not exist"):
        train.saved(tmp_path / "none.npz")
