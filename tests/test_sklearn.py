"""The scikit-learn estimators: scikit-learn's own checks, and what its users expect."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, make_circles, make_friedman1
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

import ketgrad as kg
from ketgrad.errors import ArgumentError, ArgumentTypeError, ParameterError
from ketgrad.sklearn import (
    HybridClassifier,
    HybridRegressor,
    QuantumKernel,
    QuantumKernelClassifier,
    QuantumKernelRegressor,
)

QUICK: dict[str, Any] = {
    "n_qubits": 2,
    "n_layers": 1,
    "epochs": 25,
    "learning_rate": 0.05,
    "input_noise": 0.0,
    "batch_size": 16,
}


@parametrize_with_checks(
    [
        HybridClassifier(**QUICK),
        HybridRegressor(**QUICK),
        QuantumKernel("angle"),
        QuantumKernel("angle", kind="projected"),
        QuantumKernelClassifier("angle"),
        QuantumKernelRegressor("angle"),
    ]
)
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_defaults_are_the_trainers() -> None:
    from ketgrad.train import Settings

    ours, theirs = HybridClassifier().get_params(), Settings()
    assert HybridRegressor().get_params() == ours
    for name, other in HybridClassifier._parameter_names.items():
        assert ours[name] == getattr(theirs, other), name
    assert set(ours) == {*HybridClassifier._parameter_names, "verbose", "random_state"}
    assert kg.sklearn.HybridClassifier is HybridClassifier


def test_string_labels_and_dataframes() -> None:
    pandas = pytest.importorskip("pandas")
    iris = load_iris(as_frame=True)
    names = pandas.Series(iris.target_names[iris.target])
    model = HybridClassifier(n_qubits=3, n_layers=2, epochs=15, learning_rate=0.05, input_noise=0.1, random_state=0)
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


# regression


def test_regressor(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = make_friedman1(200, 5, random_state=0)
    train_x, test_x, train_y, test_y = train_test_split(x, 1e3 * y + 5, random_state=0)
    model = HybridRegressor(**{**QUICK, "n_qubits": 4, "weight_decay": 0.1}, verbose=True, random_state=0)
    assert model.fit(train_x, train_y).score(test_x, test_y) > 0.8
    assert "epoch 25: loss" in (out := capsys.readouterr().out) and "R^2 0.9" in out
    assert model.loss_history_.shape == (25,) and model.training_time_ > 0
    assert (model.params_["encoder"] == model.network_.part("encoder")).all() and model.params_["head"].shape == (10, 1)
    back = pickle.loads(pickle.dumps(model))
    assert (back.predict(test_x) == model.predict(test_x)).all()
    assert (clone(model).set_params(verbose=False).fit(train_x, train_y).predict(test_x) == model.predict(test_x)).all()


# kernels


def rings() -> tuple[np.ndarray, ...]:
    x, y = make_circles(120, noise=0.1, factor=0.4, random_state=0)
    return tuple(train_test_split(x, np.array(["outer", "inner"])[y], random_state=0))


def test_kernel_as_function_transformer_and_machine() -> None:
    train_x, test_x, train_y, test_y = rings()
    kernel = QuantumKernel("iqp")
    np.testing.assert_array_equal(kernel(train_x), kg.kernels.fidelity(kg.kernels.feature_map("iqp", 2), train_x))
    scaler = MinMaxScaler((-np.pi / 2, np.pi / 2))
    ways = [
        make_pipeline(scaler, SVC(kernel=kernel, C=10)),
        make_pipeline(scaler, kernel, SVC(kernel="precomputed", C=10)),
        QuantumKernelClassifier("iqp", C=10),
    ]
    scores = [way.fit(train_x, train_y).decision_function(test_x) for way in ways]
    for other in scores[1:]:
        np.testing.assert_allclose(other, scores[0], atol=1e-9)
    assert [way.score(test_x, test_y) for way in ways] == [1.0] * 3
    machine = ways[2]
    assert machine.classes_.tolist() == ["inner", "outer"] and machine.training_time_ > 0
    assert machine.params_["x_train"].max() == pytest.approx(np.pi / 2)
    back = pickle.loads(pickle.dumps(machine))
    assert (back.decision_function(test_x) == scores[2]).all()
    assert ways[1][:-1].get_feature_names_out()[:2].tolist() == ["quantumkernel0", "quantumkernel1"]


def test_projected_kernel_keeps_the_gamma_of_its_fit() -> None:
    train_x, test_x, train_y, test_y = rings()
    for gamma in ("scale", "median", 0.5):
        kernel = QuantumKernel("heisenberg", layers=3, kind="projected", gamma=gamma, bandwidth=0.8)
        circuit = kg.kernels.feature_map("heisenberg", 2, 3)
        expected = kg.kernels.projected(circuit, 0.8 * test_x, 0.8 * train_x, gamma=gamma)
        np.testing.assert_allclose(kernel.fit(train_x).transform(test_x), expected, atol=1e-13)
        np.testing.assert_allclose(kernel.transform(test_x[:1]), expected[:1], atol=1e-13)  # the fit decides
        callable_svc = SVC(kernel=kernel).fit(train_x, train_y)
        assert callable_svc.score(test_x, test_y) >= 0.9


def test_searches_reach_the_kernel() -> None:
    x, _, y, _ = rings()
    grid = {"kernel__bandwidth": [0.01, 1.0], "C": [1.0, 10.0]}
    for model in (QuantumKernelClassifier(QuantumKernel()), SVC(kernel=QuantumKernel())):
        search = GridSearchCV(model, grid, cv=3, n_jobs=1).fit(x, y)
        assert search.best_params_["kernel__bandwidth"] == 1.0 and search.best_score_ > 0.9
        assert search.best_estimator_.get_params()["kernel__feature_map"] == "iqp"


def test_circuits_weights_and_regression(backend: str) -> None:
    circuit = kg.Circuit(2)
    f, w = circuit.inputs(2), circuit.weights(1)
    circuit.ry(f[0], 0).crx(w[0] * f[1], 0, 1).rz(f[1], 1).cx(1, 0).ry(f[1], 0)
    kernel = QuantumKernel(circuit, weights=[0.7], backend=backend, dtype="complex64")
    x, _, _, _ = rings()
    model = clone(QuantumKernelRegressor(kernel, C=50.0, epsilon=0.01)).fit(x, 1e4 + 10 * x[:, 0] * x[:, 1])
    assert model.score(x, 1e4 + 10 * x[:, 0] * x[:, 1]) > 0.95
    direct = kg.kernels.fidelity(kg.compile(circuit, dtype="complex64", backend=backend), x, weights=[0.7])
    np.testing.assert_allclose(kernel(x), direct, atol=1e-6)


def test_kernels_with_shots() -> None:
    x, _, y, _ = rings()
    kernel = QuantumKernel(shots=200, random_state=1)
    assert (kernel(x) == kernel(x)).all() and (kernel(x) == kernel(x).T).all()
    assert 0 < np.abs(kernel(x) - QuantumKernel()(x)).max() < 0.25
    assert QuantumKernelClassifier(kernel).fit(x, y).score(x, y) > 0.9
    fresh = QuantumKernel(shots=200)
    assert (fresh(x) != fresh(x)).any()


def test_bad_kernels_are_told_at_fit() -> None:
    x, _, y, _ = rings()
    for kernel, error, message in (
        (QuantumKernel("ipq"), ArgumentError, "Did you mean 'iqp'"),
        (QuantumKernel(3), ArgumentTypeError, "a name or a Circuit, got int"),
        (QuantumKernel(kind="projekted"), ArgumentError, "kind must be one of"),
        (QuantumKernel(kg.kernels.feature_map("iqp", 3)), ParameterError, r"X has shape \(samples, 3\)"),
        (QuantumKernel("trainable"), ParameterError, "8 weights, got 0"),
        (QuantumKernel(kind="projected", gamma=-1.0), ArgumentError, "gamma must be finite and above 0"),
    ):
        with pytest.raises(error, match=message):
            QuantumKernelClassifier(kernel).fit(x, y)
