"""Classical models beside the hybrid one: same data, same split, a network with as many parameters.

Owns: their sizes and how their settings are chosen. May not know: circuits. Needs scikit-learn, imported on use.
"""

from __future__ import annotations

import itertools
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .data import stratified_split

Array = npt.NDArray[np.float64]
GRID = {"activation": ("relu", "tanh"), "learning_rate_init": (1e-3, 3e-3, 1e-2), "alpha": (1e-4, 0.3)}
EPOCHS = 150


class Baseline(NamedTuple):
    """One classical model."""

    name: str
    parameters: int
    accuracies: tuple[float, ...]  # on the test set, one for each seed
    seconds: float  # of one fit
    settings: str

    @property
    def median(self) -> float:
        """Median test accuracy."""
        return float(np.median(self.accuracies))


def available() -> bool:
    """Whether scikit-learn can be imported."""
    try:
        import sklearn.neural_network  # noqa: F401
    except ImportError:
        return False
    return True


def hidden_units(n_features: int, n_classes: int, parameters: int) -> int:
    """Width of the hidden layer with which a network of one has about this many parameters."""
    return max(1, round((parameters - n_classes) / (n_features + 1 + n_classes)))


def classical_network(
    x: Array, y: npt.NDArray[Any], x_test: Array, y_test: npt.NDArray[Any], parameters: int, seeds: list[int]
) -> Baseline:
    """A perceptron with one hidden layer and as many parameters, at its own best settings.

    The settings are chosen from `GRID` on a fifth of the training data, never on the test set; then it is trained on
    all of the training data once for each seed.

    Args:
        x, x_test: standardised features.
    """
    from sklearn.neural_network import MLPClassifier

    width = hidden_units(x.shape[1], len(np.unique(y)), parameters)

    def fitted(rows: npt.NDArray[np.intp], seed: int, options: dict[str, Any]) -> Any:
        model = MLPClassifier((width,), batch_size=min(32, len(rows)), max_iter=EPOCHS, random_state=seed, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it could go on; the number of epochs is given
            return model.fit(x[rows], y[rows])

    a, b = stratified_split(y, seed=1)
    best: tuple[float, dict[str, Any]] = (-1.0, {})
    for values in itertools.product(*GRID.values()):
        options = dict(zip(GRID, values, strict=True))
        score = float(fitted(a, 0, options).score(x[b], y[b]))
        best = max(best, (score, options), key=lambda pair: pair[0])
    everything = np.arange(len(x))
    start = time.perf_counter()
    models = [fitted(everything, seed, best[1]) for seed in seeds]
    seconds = (time.perf_counter() - start) / len(seeds)
    count = sum(w.size for w in (*models[0].coefs_, *models[0].intercepts_))
    text = f"{width} hidden {best[1]['activation']}, Adam {best[1]['learning_rate_init']:g}, L2 {best[1]['alpha']:g}"
    scores = tuple(float(m.score(x_test, y_test)) for m in models)
    return Baseline("classical network (MLP)", count, scores, seconds, text)


def linear_model(x: Array, y: npt.NDArray[Any], x_test: Array, y_test: npt.NDArray[Any]) -> Baseline:
    """Logistic regression with scikit-learn's defaults: what needs no hidden layer at all."""
    from sklearn.linear_model import LogisticRegression

    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(max_iter=1000).fit(x, y)
    seconds = time.perf_counter() - start
    count = int(model.coef_.size + model.intercept_.size)
    return Baseline("logistic regression", count, (float(model.score(x_test, y_test)),), seconds, "L2 1, lbfgs")
