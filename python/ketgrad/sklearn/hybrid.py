"""`HybridClassifier` and `HybridRegressor`: the trainer as scikit-learn estimators."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..errors import DataError
from ..settings import Settings
from ..train import fit


class _Hybrid(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: their parameters, which are the trainer's, and a fit with its records."""

    _parameter_names: ClassVar[dict[str, str]] = {
        "n_qubits": "qubits",
        "n_layers": "layers",
        "epochs": "epochs",
        "batch_size": "batch",
        "learning_rate": "lr",
        "weight_decay": "decay",
        "input_noise": "input_noise",
        "backend": "backend",
        "dtype": "dtype",
        "gradient": "gradient",
        "shots": "shots",
        "noise": "noise",
        "mitigation": "mitigation",
        "trajectories": "trajectories",
    }

    def __init__(
        self,
        n_qubits: int = 8,
        n_layers: int = Settings.layers,
        *,
        epochs: int = Settings.epochs,
        batch_size: int = Settings.batch,
        learning_rate: float = Settings.lr,
        weight_decay: float = Settings.decay,
        input_noise: float = Settings.input_noise,
        backend: str | None = None,
        dtype: str = "complex128",
        gradient: str = "best",
        shots: int | None = None,
        noise: str | None = None,
        mitigation: str | None = None,
        trajectories: int | None = None,
        verbose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.n_qubits = n_qubits
        self.n_layers = n_layers
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.input_noise = input_noise
        self.backend = backend
        self.dtype = dtype
        self.gradient = gradient
        self.shots = shots
        self.noise = noise
        self.mitigation = mitigation
        self.trajectories = trajectories
        self.verbose = verbose
        self.random_state = random_state

    def _train(self, x: Any, labels: Any, task: str) -> None:
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        options = {ours: getattr(self, name) for name, ours in self._parameter_names.items()}
        result = fit(
            x, labels, Settings(seed=seed, task=task, **options), progress=self._tell if self.verbose else None
        )
        self.network_ = result.network
        self.loss_history_ = result.history["loss"]
        self.training_time_ = result.times["train"]

    @property
    def params_(self) -> dict[str, npt.NDArray[np.float64]]:
        """The trained arrays by name: encoder, encoder_bias, circuit, head, head_bias; views of `network_.theta`."""
        check_is_fitted(self)
        return self.network_.parts()  # type: ignore[no-any-return]

    def _tell(self, progress: Any) -> None:
        if progress.step == progress.steps:
            print(f"epoch {progress.epoch + 1}: loss {progress.loss:.4f}, {self._score} {progress.accuracy:.4f}")


class HybridClassifier(ClassifierMixin, _Hybrid):  # type: ignore[misc]
    """A classifier with a quantum circuit between two linear layers, all trained together.

    Features are standardised inside. Labels may be numbers or text; data may be a DataFrame.

    Args:
        n_qubits, n_layers: of the circuit.
        epochs, batch_size, learning_rate: passes over the data, samples of a step, first rate of a cosine to 0.
        weight_decay, input_noise: regularisation: of the linear layers, and noise on the standardised features.
        backend, dtype, gradient, shots: as in `ketgrad.train.Settings`.
        verbose: print a line after each epoch.
        random_state: an int gives the same model every time.

    Attributes:
        classes_: (C,) labels; n_features_in_: F; feature_names_in_: of a DataFrame.
        loss_history_: (epochs,) mean training loss; training_time_: seconds of all steps.
        network_: the trained `ketgrad.hybrid.Classifier`; params_: its arrays by name.

    Example:
        >>> from ketgrad.sklearn import HybridClassifier
        >>> HybridClassifier(n_qubits=4, epochs=10, random_state=0).fit(X, y).score(X, y)
    """

    _score = "accuracy"

    def fit(self, X: Any, y: Any) -> HybridClassifier:
        """Train on features (N, F) and labels (N,)."""
        x, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"HybridClassifier needs at least 2 classes, got one class: {str(self.classes_[0])!r}")
        self._train(x, codes, "classification")
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(N, C) probabilities of `classes_`; exact, also where training used shots."""
        check_is_fitted(self)
        x = validate_data(self, X, dtype=np.float64, reset=False)
        return self.network_.probabilities(x)  # type: ignore[no-any-return]

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(N,) the most likely label of each sample."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])


class HybridRegressor(RegressorMixin, _Hybrid):  # type: ignore[misc]
    """A regressor with a quantum circuit between two linear layers, all trained together on squared errors.

    Features and target are standardised inside; data may be a DataFrame.

    Args:
        n_qubits, n_layers, epochs, batch_size, learning_rate, weight_decay, input_noise, backend, dtype, gradient,
        shots, noise, mitigation, trajectories, verbose, random_state: as of `HybridClassifier`.

    Attributes:
        n_features_in_: F; feature_names_in_: of a DataFrame.
        loss_history_: (epochs,) mean squared error of the standardised target while training; training_time_: seconds.
        network_: the trained `ketgrad.hybrid.Regressor`; params_: its arrays by name.

    Example:
        >>> from ketgrad.sklearn import HybridRegressor
        >>> HybridRegressor(n_qubits=4, epochs=50, random_state=0).fit(X, y).predict(X)
    """

    _score = "R^2"

    def fit(self, X: Any, y: Any) -> HybridRegressor:
        """Train on features (N, F) and numbers (N,)."""
        x, target = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self._train(x, target, "regression")
        return self

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """(N,) predictions; exact, also where training used shots."""
        check_is_fitted(self)
        x = validate_data(self, X, dtype=np.float64, reset=False)
        return self.network_.predict(x)  # type: ignore[no-any-return]
