"""The trainer: minibatches, epochs, history, checkpoints and exact resumption, as a library function.

Owns: `fit` and what a checkpoint of a training holds. May not know: the command line, scikit-learn, reports.

All randomness (first parameters, data order, input noise, shots) comes from one generator whose state is in every
checkpoint, so that a resumed training goes through the same numbers as one that was never interrupted.

Example:
    >>> from ketgrad import data, train
    >>> digits = data.load("digits")
    >>> a, b = data.stratified_split(digits.labels)
    >>> result = train.fit(digits.features[a], digits.labels[a], train.Settings(epochs=10))
    >>> result.network.predict(digits.features[b])
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from .adam import Adam, cosine
from .backends import backend_info, get_backend
from .checkpoint import Arrays, read_archive, sweep, write_archive
from .data import fingerprint, sorted_classes
from .errors import ArgumentError, CheckpointError, DataError, KetgradError
from .hybrid import Classifier, Network, Regressor, mean_and_scale
from .noisy_training import noisy_model
from .settings import Settings

__all__ = ["HISTORY", "Progress", "Result", "Settings", "Stopped", "fit", "saved"]

Array = npt.NDArray[np.float64]
N = TypeVar("N", bound=Network)
KIND = "checkpoint"
_DIVERGED = 1e12  # no parameter of a sensible training comes near; beyond it, sums overflow
HISTORY = ("loss", "accuracy", "test_accuracy", "lr", "seconds")  # columns of a history, one row an epoch


class Progress(NamedTuple):
    """What `fit` tells its `progress` callback after every step."""

    epoch: int  # from 0
    step: int  # of this epoch, from 1
    steps: int  # in an epoch
    loss: float  # mean of this epoch so far
    accuracy: float  # of this epoch so far; of a regression R^2
    test_accuracy: float | None  # of the last whole epoch


class Result(NamedTuple, Generic[N]):
    """A trained network, a `Classifier` or a `Regressor`, and how it came about."""

    network: N
    history: dict[str, Array]  # each of HISTORY: (epochs,)
    times: dict[str, float]  # seconds: "train", "test", "checkpoint", "step" (median), steps: "steps"
    notes: tuple[str, ...]


class Stopped(KetgradError):
    """`fit` was asked to stop, and did after writing a checkpoint."""


def fit(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    settings: Settings | None = None,
    *,
    test: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    about: dict[str, Any] | None = None,
) -> Result[Any]:
    """Train a hybrid classifier or, as `settings.task` says, a regressor, whose accuracies are R^2.

    Args:
        features: (N, F) finite numbers.
        labels: (N,) of at least two classes; of a regression, finite numbers.
        test: features and labels whose accuracy is recorded after each epoch; nothing is chosen by it.
        checkpoint: a file that is replaced every `checkpoint_every` epochs and at the end.
        resume: go on from `checkpoint` when it exists.
        progress: called after every step.
        stop: asked after every step; when true, a checkpoint is written and `Stopped` raised.
        about: JSON values kept in the checkpoint beside the settings; `saved` gives them back.

    Raises:
        DataError: the data cannot be trained on.
        CheckpointError: the checkpoint is damaged, belongs to another training, or cannot be written.
        Stopped: `stop` said so.
    """
    chosen = settings or Settings()
    if isinstance(checkpoint_every, bool) or not isinstance(checkpoint_every, int) or checkpoint_every < 1:
        raise ArgumentError(f"checkpoint_every is a number of epochs from 1, got {checkpoint_every!r}")
    trainer = _Trainer(*_checked(features, labels, chosen.task), chosen, test)
    trainer.about = dict(about or {})
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None:
        sweep(path.parent)
        if resume and path.exists():
            trainer.restore(path)
    trainer.run(path, checkpoint_every, progress, stop)
    return trainer.result()


def _numbers(values: npt.ArrayLike, what: str) -> Array:
    try:
        return np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what}: {error}") from None


def _checked(features: npt.ArrayLike, labels: npt.ArrayLike, task: str) -> tuple[Array, npt.NDArray[Any]]:
    x = _numbers(features, "features are a table of numbers")
    y = np.asarray(labels)
    if x.ndim != 2 or not x.size:
        raise DataError(f"features have shape (samples, features) with at least one of each, got {x.shape}")
    if y.shape != (len(x),):
        raise DataError(f"{len(x)} samples need as many labels, got shape {y.shape}")
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise DataError(f"features must be finite; sample {row}, feature {column} is {x[row, column]}")
    if task == "regression":
        y = _numbers(y, "the labels of a regression are numbers")
        if not np.isfinite(y).all():
            raise DataError(f"labels must be finite; sample {np.flatnonzero(~np.isfinite(y))[0]} is not")
    elif len(np.unique(y)) < 2:
        raise DataError(f"at least two classes are needed, got one class: {np.unique(y).tolist()}")
    return x, y


class _Trainer:
    """The state of a training between two steps, and the step."""

    def __init__(
        self, x: Array, y: npt.NDArray[Any], settings: Settings, test: tuple[npt.ArrayLike, npt.ArrayLike] | None
    ) -> None:
        self.settings = settings
        self.rng = np.random.default_rng(settings.seed)
        regression = settings.task == "regression"
        kind: type[Network] = Regressor if regression else Classifier
        self.network = kind.create(
            x,
            mean_and_scale(y) if regression else sorted_classes(y),
            qubits=settings.qubits,
            layers=settings.layers,
            dtype=settings.dtype,
            backend=settings.backend,
            rng=self.rng,
        )
        self.network.noisy = noisy_model(self.network, settings)
        self.x = self.network.standardise(x)
        self.targets = self.network.targets(y)
        self.test = None if test is None else (np.asarray(test[0], dtype=np.float64), np.asarray(test[1]))
        self.steps = -(-len(x) // settings.batch)
        self.adam = Adam(len(self.network.theta), settings.decay, self.network.decayed)
        self.epoch = self.position = self.seen = 0
        self.right = self.loss_sum = self.seconds = 0.0
        self.order = np.zeros(len(x), dtype=np.intp)
        self.history: list[tuple[float, ...]] = []
        self.step_times: list[float] = []
        self.step_before = math.nan
        self.times = {"test": 0.0, "checkpoint": 0.0}
        self.notes: list[str] = []
        self.about: dict[str, Any] = {}
        self._data = fingerprint(x, y)

    # the loop

    def run(
        self,
        path: Path | None,
        every: int,
        progress: Callable[[Progress], None] | None,
        stop: Callable[[], bool] | None,
    ) -> None:
        while self.epoch < self.settings.epochs:
            while self.position < self.steps:
                self.step()
                if progress is not None:
                    progress(self._progress())
                if stop is not None and stop():
                    where = f"epoch {self.epoch + 1}, step {self.position} of {self.steps}"
                    if path is not None:
                        self.save(path)
                    raise Stopped(where)
            self.end_epoch()
            if path is not None and (self.epoch % every == 0 or self.epoch == self.settings.epochs):
                self.save(path)

    def step(self) -> None:
        """One minibatch: draw, differentiate, move."""
        start = time.perf_counter()
        s = self.settings
        if self.position == 0:
            self.order = self.rng.permutation(len(self.x))
        rows = self.order[self.position * s.batch : (self.position + 1) * s.batch]
        x = self.x[rows]
        if s.input_noise:
            x = x + s.input_noise * self.rng.standard_normal(x.shape)
        loss, right, gradient = self.network.loss_and_gradient(
            x, self.targets[rows], method=s.gradient, shots=s.shots, rng=self.rng
        )
        done = self.epoch * self.steps + self.position
        with np.errstate(over="ignore", invalid="ignore"):
            self.adam.step(self.network.theta, gradient, cosine(done, s.epochs * self.steps, s.lr))
        if not math.isfinite(loss) or not np.abs(self.network.theta).max() < _DIVERGED:
            raise ArgumentError(f"the training diverged in step {done + 1}: the loss is {loss}; use lr below {s.lr}")
        self.position += 1
        self.loss_sum += loss * len(rows)
        self.right += right
        self.seen += len(rows)
        took = time.perf_counter() - start
        self.seconds += took
        self.step_times.append(took)

    def end_epoch(self) -> None:
        """Close the books of an epoch."""
        lr = cosine(self.epoch * self.steps, self.settings.epochs * self.steps, self.settings.lr)
        accuracy = self._test_accuracy()
        self.history.append((self.loss_sum / self.seen, self.right / self.seen, accuracy, lr, self.seconds))
        self.epoch, self.position = self.epoch + 1, 0
        self.loss_sum, self.right, self.seen = 0.0, 0.0, 0

    def _test_accuracy(self) -> float:
        if self.test is None:
            return math.nan
        start = time.perf_counter()
        seed = np.random.default_rng([self.settings.seed, self.epoch])  # apart from the training's own stream
        score = self.network.score(*self.test, shots=self.settings.shots, seed=seed)
        self.times["test"] += time.perf_counter() - start
        return score

    def _progress(self) -> Progress:
        last = self.history[-1][2] if self.history else math.nan
        test = None if math.isnan(last) else last
        return Progress(self.epoch, self.position, self.steps, self.loss_sum / self.seen, self.right / self.seen, test)

    def result(self) -> Result[Any]:
        columns = np.array(self.history, dtype=np.float64).reshape(-1, len(HISTORY)).T
        times = {**self.times, "train": self.seconds, "steps": float(self.adam.step_count)}
        times["step"] = self._step_seconds()
        history = dict(zip(HISTORY, columns, strict=True))
        return Result(self.network, history, times, tuple(self.notes))

    def _step_seconds(self) -> float:
        """Median time of a step of this run or, if it made none, of the run it resumed; the first also warms up."""
        return float(np.median(self.step_times[1:] or self.step_times or [self.step_before]))

    # checkpoints

    def _config(self) -> dict[str, Any]:
        """What must be equal for a resumed training to be the same training."""
        config = dataclasses.asdict(self.settings)
        config["backend"] = get_backend(self.settings.backend).name
        return {**config, "samples": len(self.x), "features": self.x.shape[1], "data": self._data}

    def save(self, path: Path) -> None:
        """Replace the checkpoint by the present state."""
        start = time.perf_counter()
        config = self._config()
        header = {
            "config": config,
            "config_crc32": _config_hash(config),
            "engine": _engine(self.settings.backend),
            "about": self.about,
            "rng": self.rng.bit_generator.state,
            "epoch": self.epoch,
            "position": self.position,
            "right": self.right,
            "seen": self.seen,
            "loss_sum": self.loss_sum,
            "seconds": self.seconds,
            "step_seconds": self._step_seconds(),
        }
        history = np.array(self.history, dtype=np.float64).reshape(-1, len(HISTORY))
        arrays = {"theta": self.network.theta, "order": self.order, "history": history, **self.adam.slots()}
        write_archive(path, KIND, header, arrays)
        self.times["checkpoint"] += time.perf_counter() - start

    def restore(self, path: Path) -> None:
        """Take over the state of a checkpoint.

        Raises:
            CheckpointError: damaged, or of a training with other settings or data.
        """
        _, header, arrays = read_archive(path, KIND)
        try:
            self._restore(path, header, arrays)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, KetgradError):
                raise
            raise _invalid(path, error) from error

    def _restore(self, path: Path, header: dict[str, Any], arrays: Arrays) -> None:
        config, own = header["config"], self._config()
        if _config_hash(config) != header["config_crc32"]:
            raise ValueError("settings do not match their checksum")
        different = [f"{k} was {config.get(k)!r} and is {own[k]!r}" for k in own if config.get(k) != own[k]]
        if different:
            raise CheckpointError(
                f"{path} belongs to another training ({'; '.join(different)}); use the same options, or another "
                "--out for a new training"
            )
        wanted = {"theta": self.network.theta.shape, "order": self.order.shape}
        wanted |= {"adam_first": self.network.theta.shape, "adam_second": self.network.theta.shape, "adam_step": ()}
        for name, shape in wanted.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} has shape {arrays[name].shape}")
        if arrays["history"].shape != (header["epoch"], len(HISTORY)):
            raise ValueError("length of the history")
        if np.any(np.sort(arrays["order"]) != np.arange(len(self.x))) and header["position"]:
            raise ValueError("order of the data")
        self.network.theta, self.order = arrays["theta"], arrays["order"]
        self.adam.restore(arrays)
        self.rng.bit_generator.state = header["rng"]
        self.history = [tuple(row) for row in arrays["history"].tolist()]
        self.epoch, self.position = int(header["epoch"]), int(header["position"])
        self.right, self.seen = float(header["right"]), int(header["seen"])
        self.loss_sum, self.seconds = float(header["loss_sum"]), float(header["seconds"])
        self.step_before = float(header["step_seconds"])
        self.notes.append(f"resumed at epoch {self.epoch + 1}, step {self.position + 1}")
        if header["engine"] != _engine(self.settings.backend):
            self.notes.append(
                f"the checkpoint was computed by {header['engine']} and this is {_engine(self.settings.backend)}: "
                "results agree to rounding, not to the bit"
            )


def _engine(backend: str | None) -> str:
    info = backend_info(backend)
    return f"{info['backend']} {info.get('instruction_set', '')}".strip()


def _config_hash(config: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(config, sort_keys=True).encode())


def saved(path: str | os.PathLike[str]) -> tuple[Settings, dict[str, Any]]:
    """The settings a checkpoint was written with, and what `fit` was told `about` it.

    Raises:
        CheckpointError: missing, damaged, or not a checkpoint.
    """
    _, header, _ = read_archive(path, KIND)
    try:
        names = {f.name for f in dataclasses.fields(Settings)}
        return Settings(**{k: v for k, v in header["config"].items() if k in names}), dict(header["about"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _invalid(path, error) from error


def _invalid(path: str | os.PathLike[str], error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} does not hold a valid checkpoint: {error!r}; delete it and start anew")
