"""`HybridClassifier`: the trainer as a scikit-learn estimator. Owns: scikit-learn's conventions, and nothing else."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .errors import DataError
from .settings import Settings
from .train import fit

__all__ = ["HybridClassifier"]


class HybridClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier with a quantum circuit between two linear layers, all trained together.

    Features are standardised inside. Labels may be numbers or text; data may be a DataFrame.

    Args:
        n_qubits, n_layers: of the circuit.
        epochs, batch_size, learning_rate: passes over the data, samples of a step, first rate of a cosine to 0.
        weight_decay, noise: regularisation: of the linear layers, and noise on the standardised features.
        backend, dtype, gradient, shots: as in `ketgrad.train.Settings`.
        verbose: print a line after each epoch.
        random_state: an int gives the same model every time.

    Attributes:
        classes_: (C,) labels; n_features_in_: F; feature_names_in_: of a DataFrame.
        loss_history_: (epochs,) mean training loss; network_: the trained `ketgrad.hybrid.Network`.

    Example:
        >>> from ketgrad.sklearn import HybridClassifier
        >>> HybridClassifier(n_qubits=4, epochs=10, random_state=0).fit(X, y).score(X, y)
    """

    _parameter_names: ClassVar[dict[str, str]] = {
        "n_qubits": "qubits",
        "n_layers": "layers",
        "epochs": "epochs",
        "batch_size": "batch",
        "learning_rate": "lr",
        "weight_decay": "decay",
        "noise": "noise",
        "backend": "backend",
        "dtype": "dtype",
        "gradient": "gradient",
        "shots": "shots",
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
        noise: float = Settings.noise,
        backend: str | None = None,
        dtype: str = "complex128",
        gradient: str = "best",
        shots: int | None = None,
        verbose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.n_qubits = n_qubits
        self.n_layers = n_layers
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.noise = noise
        self.backend = backend
        self.dtype = dtype
        self.gradient = gradient
        self.shots = shots
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> HybridClassifier:
        """Train on features (N, F) and labels (N,)."""
        x, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"HybridClassifier needs at least 2 classes, got one class: {str(self.classes_[0])!r}")
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        options = {ours: getattr(self, name) for name, ours in self._parameter_names.items()}
        result = fit(x, codes, Settings(seed=seed, **options), progress=self._tell if self.verbose else None)
        self.network_ = result.network
        self.loss_history_ = result.history["loss"]
        return self

    @staticmethod
    def _tell(progress: Any) -> None:
        if progress.step == progress.steps:
            print(f"epoch {progress.epoch + 1}: loss {progress.loss:.4f}, accuracy {progress.accuracy:.4f}")

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(N, C) probabilities of `classes_`; exact, also where training used shots."""
        check_is_fitted(self)
        return self.network_.probabilities(validate_data(self, X, dtype=np.float64, reset=False))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(N,) the most likely label of each sample."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])
