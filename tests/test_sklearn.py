"""The scikit-learn estimator: scikit-learn's own checks, and what its users expect."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import ketgrad as kg
from ketgrad.errors import ArgumentError
from ketgrad.sklearn import HybridClassifier

QUICK: dict[str, Any] = {
    "n_qubits": 2,
    "n_layers": 1,
    "epochs": 25,
    "learning_rate": 0.05,
    "noise": 0.0,
    "batch_size": 16,
}


@parametrize_with_checks([HybridClassifier(**QUICK)])
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_defaults_are_the_trainers() -> None:
    from ketgrad.train import Settings

    ours, theirs = HybridClassifier().get_params(), Settings()
    for name, other in HybridClassifier._parameter_names.items():
        assert ours[name] == getattr(theirs, other), name
    assert set(ours) == {*HybridClassifier._parameter_names, "verbose", "random_state"}
    assert kg.sklearn.HybridClassifier is HybridClassifier


def test_string_labels_and_dataframes() -> None:
    pandas = pytest.importorskip("pandas")
    iris = load_iris(as_frame=True)
    names = pandas.Series(iris.target_names[iris.target])
    model = HybridClassifier(n_qubits=3, n_layers=2, epochs=15, learning_rate=0.05, noise=0.1, random_state=0)
    model.fit(iris.data, names)
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert model.feature_names_in_.tolist() == list(iris.data.columns) and model.n_features_in_ == 4
    assert model.score(iris.data, names) > 0.9 and set(model.predict(iris.data)) == set(names)
    p = model.predict_proba(iris.data)
    assert p.shape == (150, 3) and np.allclose(p.sum(axis=1), 1)
    assert model.loss_history_.shape == (15,) and model.loss_history_[-1] < model.loss_history_[0]
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(iris.data.rename(columns=str.upper))


def test_scaling_is_inside() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    x, y = x[:200], y[:200]
    model = HybridClassifier(**QUICK, random_state=1)
    assert np.allclose(
        model.fit(x, y).predict_proba(x), clone(model).fit(1e6 * x - 5, y).predict_proba(1e6 * x - 5), atol=1e-6
    )
    assert model.score(x, y) > 0.9


def test_random_state() -> None:
    x, y = load_iris(return_X_y=True)
    quick = {**QUICK, "epochs": 3}
    one, two, other = (HybridClassifier(**quick, random_state=s).fit(x, y) for s in (3, 3, 4))
    assert np.array_equal(one.network_.theta, two.network_.theta)
    assert not np.array_equal(one.network_.theta, other.network_.theta)
    shared = np.random.RandomState(0)
    first = HybridClassifier(**quick, random_state=shared).fit(x, y)
    assert not np.array_equal(
        first.network_.theta, HybridClassifier(**quick, random_state=shared).fit(x, y).network_.theta
    )


def test_pickle_and_clone() -> None:
    x, y = load_iris(return_X_y=True)
    model = HybridClassifier(**{**QUICK, "epochs": 2}, random_state=0).fit(x, y)
    back = pickle.loads(pickle.dumps(model))
    assert np.array_equal(back.predict_proba(x), model.predict_proba(x))
    assert clone(model).get_params() == model.get_params()


def test_in_a_pipeline_a_search_and_a_cross_validation() -> None:
    x, y = load_iris(return_X_y=True)
    model = HybridClassifier(**{**QUICK, "epochs": 8}, random_state=0)
    assert cross_val_score(make_pipeline(StandardScaler(), model), x, y, cv=2).shape == (2,)
    search = GridSearchCV(model, {"n_layers": [1, 2]}, cv=2).fit(x, y)
    assert search.best_params_["n_layers"] in (1, 2)


def test_backends_and_shots(backend: str) -> None:
    x, y = load_iris(return_X_y=True)
    settings = {**QUICK, "epochs": 2, "backend": backend, "random_state": 0}
    exact = HybridClassifier(**settings).fit(x, y)
    assert exact.network_.model.backend == backend
    noisy = HybridClassifier(**settings, shots=50).fit(x, y)
    assert not np.allclose(exact.loss_history_, noisy.loss_history_)


def test_bad_settings_are_told_at_fit(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = load_iris(return_X_y=True)
    model = HybridClassifier(n_qubits=0)  # the constructor stores and does not judge
    with pytest.raises(ArgumentError, match="qubits must be from 1"):
        model.fit(x, y)
    with pytest.raises(ValueError, match="one class"):
        HybridClassifier(**QUICK).fit(x[:20], y[:20])
    HybridClassifier(**{**QUICK, "epochs": 2}, verbose=True).fit(x, y)
    assert "epoch 2: loss" in capsys.readouterr().out
