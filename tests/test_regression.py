"""The trainer on numbers: gradient of the squared error, learning, R^2, files, exact resumption."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ketgrad import cli, data, hybrid, job, train
from ketgrad.checkpoint import read_archive
from ketgrad.errors import ArgumentError, CheckpointError, DataError
from ketgrad.train import Settings, Stopped, fit

SMALL = Settings(qubits=3, layers=2, epochs=40, batch=16, lr=0.05, input_noise=0.0, decay=0.0, task="regression")


def wave(n: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A target far from 0 that no linear function fits."""
    x = np.random.default_rng(0).uniform(-1, 1, (n, 2))
    return x, 1e4 + 300 * (np.sin(3 * x[:, 0]) * x[:, 1])


@pytest.mark.parametrize("method", ["adjoint", "parameter-shift"])
def test_gradient_is_the_derivative_of_the_loss(backend: str, method: str) -> None:
    x, y = wave(7)
    options: dict[str, Any] = {"qubits": 2, "layers": 1, "backend": backend, "rng": np.random.default_rng(5)}
    net = hybrid.Regressor.create(x, hybrid.mean_and_scale(y), **options)
    rows, targets = net.standardise(x), net.targets(y)
    assert abs(targets.mean()) < 1e-12 and targets.std() == pytest.approx(1)
    loss, score, gradient = net.loss_and_gradient(rows, targets, method=method)
    error = (net.predict(x) - y) / y.std()
    assert loss == pytest.approx((error**2).mean()) and score == pytest.approx(7 * net.score(x, y))
    theta = net.theta.copy()
    for k in range(len(theta)):
        ends = []
        for step in (1e-5, -1e-5):
            net.theta = theta.copy()
            net.theta[k] += step
            ends.append(net.loss_and_gradient(rows, targets)[0])
        assert abs((ends[0] - ends[1]) / 2e-5 - gradient[k]) < 1e-8, k


def test_it_learns_what_is_not_linear() -> None:
    x, y = wave()
    linear = np.linalg.lstsq(np.c_[np.ones(len(x)), x], y, rcond=None)[0]
    baseline = 1 - ((np.c_[np.ones(len(x)), x] @ linear - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    result = fit(x, y, SMALL, test=(x, y))
    history = result.history
    assert baseline < 0.3 and history["test_accuracy"][-1] > 0.9
    np.testing.assert_allclose(history["accuracy"], 1 - history["loss"], atol=1e-12)  # R^2 of standardised targets
    error = result.network.predict(x) - y
    r2 = 1 - (error**2).sum() / ((y - y.mean()) ** 2).sum()
    assert history["test_accuracy"][-1] == pytest.approx(r2, abs=1e-12)


def test_a_constant_target() -> None:
    x, _ = wave(20)
    result = fit(x, np.full(20, 7.0), dataclasses.replace(SMALL, epochs=20), test=(x, np.full(20, 7.0)))
    assert np.abs(result.network.predict(x) - 7).max() < 0.2
    assert np.isnan(result.history["test_accuracy"]).all()


def test_a_resumed_training_is_the_same(tmp_path: Path) -> None:
    x, y = wave()
    settings = dataclasses.replace(SMALL, epochs=4, input_noise=0.1)
    whole = fit(x, y, settings)
    calls = iter(range(100))
    with pytest.raises(Stopped):
        fit(x, y, settings, checkpoint=tmp_path / "c.npz", stop=lambda: next(calls) == 5)
    assert read_archive(tmp_path / "c.npz", train.KIND)[1]["position"] == 2
    resumed = fit(x, y, settings, checkpoint=tmp_path / "c.npz", resume=True)
    assert (resumed.network.theta == whole.network.theta).all()
    assert (resumed.history["accuracy"] == whole.history["accuracy"]).all()
    with pytest.raises(CheckpointError, match="task was 'regression' and is 'classification'"):
        fit(
            x, y > 1e4, dataclasses.replace(settings, task="classification"), checkpoint=tmp_path / "c.npz", resume=True
        )


def test_files(tmp_path: Path) -> None:
    x, y = wave(20)
    net = fit(x, y, dataclasses.replace(SMALL, epochs=1)).network
    net.save(tmp_path / "net.npz")
    back = hybrid.Regressor.load(tmp_path / "net.npz")
    assert back.unit == net.unit and (back.predict(x) == net.predict(x)).all()
    with pytest.raises(CheckpointError, match="holds a regressor, and a classifier is needed"):
        hybrid.Classifier.load(tmp_path / "net.npz")
    assert cli.main(["predict", str(tmp_path / "net.npz"), "iris"]) == 1


def test_what_is_refused(tmp_path: Path) -> None:
    x, y = wave(20)
    with pytest.raises(DataError, match="labels of a regression are numbers"):
        fit(x, ["a"] * 20, SMALL)
    with pytest.raises(DataError, match="labels must be finite; sample 3 is not"):
        fit(x, np.where(np.arange(20) == 3, np.nan, y), SMALL)
    with pytest.raises(ArgumentError, match="task must be classification or regression, got 'ranking'"):
        Settings(task="ranking")
    with pytest.raises(ArgumentError, match="the report is about classification"):
        job.run(data.load("iris"), SMALL, tmp_path)
