"""The main job from data to report: split, train once for each seed, measure, compare, write the files.

Owns: the order of the steps and the names of the files in the output folder. May not know: argv, how a page looks.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._version import __version__
from .backends import backend_info
from .baseline import Baseline, available, classical_network, linear_model
from .checkpoint import replace_file, sweep
from .data import Dataset, stratified_split
from .errors import ArgumentError, CheckpointError
from .hybrid import Classifier
from .noisy_training import Variant, others, variant
from .train import Progress, Result, Settings, fit

MODEL, REPORT, RESULTS = "model.npz", "report.html", "results.json"
TEST_FRACTION, SPLIT_SEED = 0.2, 0  # the split is the same for every seed of the training


class Outcome(NamedTuple):
    """Everything a report shows."""

    dataset: Dataset
    n_train: int
    n_test: int
    settings: Settings  # of the first seed
    seeds: tuple[int, ...]
    results: tuple[Result[Classifier], ...]  # one for each seed
    accuracies: tuple[float, ...]  # on the test set, one for each seed
    confusion: npt.NDArray[np.int64]  # (C, C) of the first seed, rows are the true classes
    baselines: tuple[Baseline, ...]
    variants: tuple[Variant, ...]  # of a training under noise: itself first, then what it is compared with
    engine: dict[str, Any]

    @property
    def median(self) -> float:
        """Median test accuracy over the seeds."""
        return float(np.median(self.accuracies))


def checkpoint_path(out: Path, index: int, seed: int, beside: int = 0) -> Path:
    """Where the training with this seed, the index-th of the job or of what is beside it, keeps its checkpoint."""
    if beside:
        return out / f"checkpoint-beside{beside}-seed{seed}.npz"
    return out / ("checkpoint.npz" if index == 0 else f"checkpoint-seed{seed}.npz")


def prepare_folder(out: Path) -> None:
    """Make the output folder and remove what crashed runs left half-written.

    Raises:
        CheckpointError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"cannot make the folder {out}: {reason}; choose another with --out") from error
    sweep(out)


def run(
    dataset: Dataset,
    settings: Settings,
    out: str | os.PathLike[str],
    *,
    seeds: int = 1,
    checkpoint_every: int = 1,
    resume: bool = False,
    classical: bool = True,
    progress: Callable[[int, Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    finished: Callable[[int, Result[Classifier], float], None] | None = None,
    about: dict[str, Any] | None = None,
) -> Outcome:
    """Train on 80 % of a data set, test on the rest, and write model, results and report.

    Args:
        seeds: trainings, with the seeds settings.seed, settings.seed + 1, ...
        classical: also train the classical models, where scikit-learn is installed.
        progress: called with (index of the seed, progress) after every step.
        finished: called with (index of the seed, result, test accuracy).
        about: JSON values kept in the checkpoints, for `resume`.

    Raises:
        ArgumentError: the settings are a regression's.
        DataError, CheckpointError, Stopped: as `train.fit`.
    """
    if settings.task != "classification":
        raise ArgumentError(f"the report is about classification, got task={settings.task!r}; use ketgrad.train.fit")
    folder = Path(out)
    prepare_folder(folder)
    a, b = stratified_split(dataset.labels, TEST_FRACTION, SPLIT_SEED)
    train, test = (dataset.features[a], dataset.labels[a]), (dataset.features[b], dataset.labels[b])
    every = tuple(settings.seed + k for k in range(seeds))
    groups: list[tuple[Settings, list[Result[Any]]]] = []
    for beside, chosen in enumerate([settings, *others(settings)]):
        groups.append((chosen, []))
        for k, seed in enumerate(every):
            result = fit(
                *train,
                dataclasses.replace(chosen, seed=seed),
                test=test,
                checkpoint=checkpoint_path(folder, k, seed, beside),
                checkpoint_every=checkpoint_every,
                resume=resume,
                progress=None if progress is None else lambda p, k=k: progress(k, p),  # type: ignore[misc]
                stop=stop,
                about=about,
            )
            groups[-1][1].append(result)
            if finished is not None:
                finished(k, result, float(result.history["test_accuracy"][-1]))
    results = groups[0][1]
    accuracies = [float(result.history["test_accuracy"][-1]) for result in results]
    network = results[0].network
    network.about = {"data": dataset.name, "target": dataset.target, "feature_names": list(dataset.feature_names)}
    network.save(folder / MODEL)
    outcome = Outcome(
        dataset,
        len(a),
        len(b),
        settings,
        every,
        tuple(results),
        tuple(accuracies),
        confusion_matrix(test[1], network.predict(test[0]), network.classes),
        _classical(results[0], train, test, list(every)) if classical and available() else (),
        tuple(variant(own, found, train, test) for own, found in groups) if settings.noise is not None else (),
        engine(settings.backend),
    )
    _write(folder, outcome)
    return outcome


def _classical(result: Result[Classifier], train: Any, test: Any, seeds: list[int]) -> tuple[Baseline, ...]:
    x, x_test = result.network.standardise(train[0]), result.network.standardise(test[0])
    size = len(result.network.theta)
    return classical_network(x, train[1], x_test, test[1], size, seeds), linear_model(x, train[1], x_test, test[1])


def _write(folder: Path, outcome: Outcome) -> None:
    from .report import render

    page, text = render(outcome).encode(), json.dumps(summary(outcome), indent=2).encode()
    replace_file(folder / REPORT, lambda file: _all(file.write(page)))
    replace_file(folder / RESULTS, lambda file: _all(file.write(text)))


def _all(_: int) -> None:
    """A buffered write takes everything or raises."""


def engine(backend: str | None) -> dict[str, Any]:
    """Facts about the engine and the machine, for people to read."""
    info = backend_info(backend)
    return {**info, "version": __version__, "python": platform.python_version(), "machine": platform.machine()}


def summary(outcome: Outcome) -> dict[str, Any]:
    """The outcome as JSON values."""
    result = outcome.results[0]
    return {
        "data": outcome.dataset.name,
        "samples": {"train": outcome.n_train, "test": outcome.n_test},
        "settings": dataclasses.asdict(outcome.settings),
        "parameters": len(result.network.theta),
        "seeds": list(outcome.seeds),
        "test_accuracies": list(outcome.accuracies),
        "median_test_accuracy": outcome.median,
        "seconds": [r.times["train"] for r in outcome.results],
        "step_seconds": result.times["step"],
        "classes": [str(c) for c in result.network.classes],
        "confusion": outcome.confusion.tolist(),
        "classical": [{**b._asdict(), "median": b.median} for b in outcome.baselines],
        "under_noise": [_row(v) for v in outcome.variants],
        "engine": {k: v for k, v in outcome.engine.items() if isinstance(v, (str, int, float, bool))},
    }


def _row(v: Variant) -> dict[str, Any]:
    return {
        "name": v.name,
        "noise": v.settings.noise,
        "mitigation": v.settings.mitigation,
        "ideal_losses": list(v.losses),
        "ideal_test_accuracies": list(v.accuracies),
        "test_accuracies_as_run": list(v.as_run),
        "circuits": v.circuits,
        "variance_factor": v.variance,
        "seconds": [r.times["train"] for r in v.results],
    }


def confusion_matrix(true: npt.ArrayLike, predicted: npt.ArrayLike, classes: list[Any]) -> npt.NDArray[np.int64]:
    """(C, C) counts; rows are the true classes, columns the predicted ones."""
    at = {c: k for k, c in enumerate(classes)}
    out = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for t, p in zip(np.asarray(true).tolist(), np.asarray(predicted).tolist(), strict=True):
        out[at[t], at[p]] += 1
    return out
