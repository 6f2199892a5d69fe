"""`QuantumKernel`, and support vector machines with one: quantum kernels as scikit-learn estimators."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
    clone,
)
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC, SVR
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import kernels
from ..circuit import Circuit
from ..errors import ArgumentError, ArgumentTypeError
from ..feature_maps import feature_map
from ..hybrid import mean_and_scale
from ..model import Model, compile_circuit

Array = npt.NDArray[np.float64]
KINDS = ("fidelity", "projected")


class QuantumKernel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A quantum kernel: a function of two sets of samples, and a transformer that compares with the samples of its fit.

    As a function it goes wherever scikit-learn takes a kernel: `SVC(kernel=QuantumKernel("zz"))`. As a transformer it
    precedes what takes a precomputed kernel: `make_pipeline(QuantumKernel("zz"), SVC(kernel="precomputed"))`. It does
    not scale features; the maps by name expect about -pi/2 to pi/2.

    Args:
        feature_map: a name, as in `ketgrad.kernels.feature_map`, or a `ketgrad.Circuit` with an input for each feature.
        layers: of a feature map by name; None is its usual number.
        kind: "fidelity", or "projected" (Huang et al. 2021).
        gamma: of the projected kernel: a number, "scale" or "median".
        bandwidth: features are multiplied by it. Small ones keep the kernel of many qubits from being all but the
            identity (Shaydulin and Wild 2022); worth a search.
        weights: of a circuit that has some.
        shots: measurements, as in `ketgrad.kernels.fidelity` and `projected`; None is exact.
        dtype, backend: as in `ketgrad.compile`.
        random_state: of the shots; an int gives the same noise every time.

    Attributes:
        X_: (N, F) the samples of the fit; n_features_in_: F; feature_names_in_: of a DataFrame.

    Example:
        >>> from ketgrad.sklearn import QuantumKernel
        >>> SVC(kernel=QuantumKernel("iqp", bandwidth=0.5)).fit(X, y).score(X, y)
    """

    def __init__(
        self,
        feature_map: str | Circuit = "iqp",
        *,
        layers: int | None = None,
        kind: str = "fidelity",
        gamma: float | str = "scale",
        bandwidth: float = 1.0,
        weights: Any = None,
        shots: int | None = None,
        dtype: str = "complex128",
        backend: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.feature_map = feature_map
        self.layers = layers
        self.kind = kind
        self.gamma = gamma
        self.bandwidth = bandwidth
        self.weights = weights
        self.shots = shots
        self.dtype = dtype
        self.backend = backend
        self.random_state = random_state

    def __call__(self, X: Any, Y: Any = None) -> Array:
        """The kernel (N, M) of samples (N, F) and (M, F); Y defaults to X."""
        x = np.asarray(X, dtype=np.float64)
        return self._between(x, None if Y is None or Y is X else np.asarray(Y, dtype=np.float64))

    def fit(self, X: Any, y: Any = None) -> QuantumKernel:
        """Keep the samples (N, F) with which `transform` compares."""
        self.X_ = validate_data(self, X, dtype=np.float64)
        self._model(self.n_features_in_)  # refuses what cannot be before anything is transformed
        self._n_features_out = len(self.X_)
        return self

    def transform(self, X: Any) -> Array:
        """The kernel (M, N) of samples (M, F) with those of the fit."""
        check_is_fitted(self)
        return self._between(validate_data(self, X, dtype=np.float64, reset=False), self.X_)

    def fit_transform(self, X: Any, y: Any = None) -> Array:
        """`fit(X)`, and the kernel (N, N) of its samples with each other."""
        return self._between(self.fit(X).X_, None)

    def _between(self, x: Array, y: Array | None) -> Array:
        if self.kind not in KINDS:
            raise ArgumentError(f"kind must be one of {KINDS}, got {self.kind!r}")
        model = self._model(x.shape[1] if x.ndim == 2 else 1)
        seed = None
        if self.shots is not None:
            seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        options: dict[str, Any] = {"weights": self.weights, "shots": self.shots, "seed": seed}
        if self.kind == "projected":
            options["gamma"] = self.gamma
        function = getattr(kernels, self.kind)
        other = None if y is None else self.bandwidth * y
        return function(model, self.bandwidth * x, other, **options)  # type: ignore[no-any-return]

    def _model(self, n_features: int) -> Model:
        circuit = self.feature_map
        if isinstance(circuit, str):
            circuit = feature_map(circuit, n_features, self.layers)
        elif not isinstance(circuit, Circuit):
            raise ArgumentTypeError(f"a feature map is a name or a Circuit, got {type(circuit).__name__}")
        return compile_circuit(circuit, dtype=self.dtype, backend=self.backend)


class _Machine(BaseEstimator):  # type: ignore[misc]
    """What both machines share: features scaled to -pi/2 ... pi/2, the kernel, and the machine that it goes to."""

    kernel: str | Circuit | QuantumKernel

    def _train(self, x: Array, y: npt.NDArray[Any], machine: Any) -> None:
        start = time.perf_counter()
        self.scaler_ = MinMaxScaler(feature_range=(-np.pi / 2, np.pi / 2)).fit(x)
        kernel = self.kernel
        self.kernel_ = clone(kernel) if isinstance(kernel, QuantumKernel) else QuantumKernel(kernel)
        self.machine_ = machine.fit(self.kernel_.fit_transform(self.scaler_.transform(x)), y)
        self.training_time_ = time.perf_counter() - start

    def _gram(self, X: Any) -> Array:
        check_is_fitted(self)
        x = validate_data(self, X, dtype=np.float64, reset=False)
        return self.kernel_.transform(self.scaler_.transform(x))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(N,) predictions for samples (N, F)."""
        gram = self._gram(X)
        return np.asarray(self.machine_.predict(gram))

    @property
    def params_(self) -> dict[str, Array]:
        """The kernel's samples, scaled, and the coefficients of those that count."""
        check_is_fitted(self)
        machine = self.machine_
        return {"x_train": self.kernel_.X_, "dual_coef": machine.dual_coef_, "intercept": machine.intercept_}


class QuantumKernelClassifier(ClassifierMixin, _Machine):  # type: ignore[misc]
    """A support vector classifier with a quantum kernel; features are scaled to -pi/2 ... pi/2 inside.

    Args:
        kernel: a feature map (a name, or a `ketgrad.Circuit`), or a `QuantumKernel`, which has all options.
        C: how much a misclassified sample costs.

    Attributes:
        classes_: (C,) labels; n_features_in_: F; feature_names_in_: of a DataFrame.
        kernel_, machine_, scaler_: the fitted `QuantumKernel`, `SVC` and `MinMaxScaler`.
        params_: samples and coefficients; training_time_: seconds.

    Example:
        >>> from ketgrad.sklearn import QuantumKernel, QuantumKernelClassifier
        >>> QuantumKernelClassifier(QuantumKernel("heisenberg", kind="projected"), C=10).fit(X, y).score(X, y)
    """

    def __init__(self, kernel: str | Circuit | QuantumKernel = "iqp", *, C: float = 1.0) -> None:
        self.kernel = kernel
        self.C = C

    def fit(self, X: Any, y: Any) -> QuantumKernelClassifier:
        """Train on features (N, F) and labels (N,)."""
        x, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self._train(x, labels, SVC(kernel="precomputed", C=self.C))
        self.classes_ = self.machine_.classes_
        return self

    def decision_function(self, X: Any) -> Array:
        """(N,) for two classes, above 0 for the second; (N, C) for more, the largest for the one that is predicted."""
        gram = self._gram(X)
        return np.asarray(self.machine_.decision_function(gram))


class QuantumKernelRegressor(RegressorMixin, _Machine):  # type: ignore[misc]
    """A support vector regressor with a quantum kernel; features are scaled to -pi/2 ... pi/2 inside.

    Args:
        kernel: a feature map (a name, or a `ketgrad.Circuit`), or a `QuantumKernel`, which has all options.
        C: how much an error costs, per unit of the target's standard deviation.
        epsilon: errors below it, in these units, cost nothing.

    Attributes:
        n_features_in_: F; feature_names_in_: of a DataFrame.
        kernel_, machine_, scaler_: the fitted `QuantumKernel`, `SVR` and `MinMaxScaler`.
        unit_: mean and standard deviation of the target.
        params_: samples and coefficients; training_time_: seconds.

    Example:
        >>> from ketgrad.sklearn import QuantumKernelRegressor
        >>> QuantumKernelRegressor("angle", C=10).fit(X, y).predict(X)
    """

    def __init__(self, kernel: str | Circuit | QuantumKernel = "iqp", *, C: float = 1.0, epsilon: float = 0.1) -> None:
        self.kernel = kernel
        self.C = C
        self.epsilon = epsilon

    def fit(self, X: Any, y: Any) -> QuantumKernelRegressor:
        """Train on features (N, F) and numbers (N,)."""
        x, target = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self.unit_ = mean, scale = mean_and_scale(np.asarray(target, dtype=np.float64))
        self._train(x, (target - mean) / scale, SVR(kernel="precomputed", C=self.C, epsilon=self.epsilon))
        return self

    def predict(self, X: Any) -> Array:
        """(N,) predictions for samples (N, F)."""
        standard = super().predict(X)
        return np.asarray(self.unit_[0] + self.unit_[1] * standard)
