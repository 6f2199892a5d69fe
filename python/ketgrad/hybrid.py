"""The hybrid network: standardise -> linear encoder -> circuit -> linear head, as one differentiable function.

Owns: its circuit, the layout of its parameters, losses and gradients, and its file. May not know: optimisers, epochs,
data files. Everything outside the circuit is a handful of numpy lines; the circuit is a `Model` like any other.

Shapes: B samples, F features, n qubits, P circuit weights, M = n (n + 1) / 2 readouts, K outputs (C classes, or 1).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from .checkpoint import Arrays, read_archive, write_archive
from .circuit import Circuit
from .errors import ArgumentError, CheckpointError, ParameterError
from .model import Model, compile_circuit
from .pauli import PauliSum, Z
from .persistence import from_document, to_document
from .simulator import Seed

Array = npt.NDArray[np.float64]
CLIP = 3.0  # standard deviations; features that hardly vary would otherwise throw rare samples far out
HALF_PI = np.pi / 2
_ROWS = 512  # samples that are evaluated at once


def build_circuit(qubits: int, layers: int) -> Circuit:
    """Angle embedding by RY, then `layers` times a ring of CZ and a Rot on every wire."""
    circuit = Circuit(qubits)
    x, w = circuit.inputs(qubits), circuit.weights((layers, qubits, 3))
    for q in range(qubits):
        circuit.ry(x[q], q)
    for layer in range(layers):
        for q in range(qubits if qubits > 2 else qubits - 1):
            # CZ, not CNOT: a ring of CNOTs makes a readout the parity of half the wires, which generalises worse
            # (digits, two layers: test accuracy 0.93 with CNOT, 0.96 with CZ)
            circuit.cz(q, (q + 1) % qubits)
        for q in range(qubits):
            circuit.rot(w[layer, q], q)
    return circuit


def readouts(qubits: int) -> list[PauliSum]:
    """Z of every wire, then ZZ of every pair."""
    pairs = [(i, j) for i in range(qubits) for j in range(i + 1, qubits)]
    return [Z(i) for i in range(qubits)] + [Z(i) @ Z(j) for i, j in pairs]


class Network(ABC):
    """A hybrid network with its parameters in one flat array `theta`; its heirs say what the outputs mean.

    Args:
        model: a circuit with `n` inputs and its readouts.
        mean, scale: (F,) of the training features.
        head: JSON values, what an heir's outputs mean.
        about: JSON values kept in the file: feature names, target, data set.
    """

    KIND: ClassVar[str]  # of its files

    def __init__(
        self, model: Model, mean: Array, scale: Array, head: Sequence[Any], about: dict[str, Any] | None = None
    ) -> None:
        self.model, self.mean, self.scale = model, mean, scale
        self.noisy: Any = None  # what is trained in place of the model, with its faces
        self.about = dict(about or {})
        outputs = self._take(list(head))
        shapes = {
            "encoder": (len(mean), model.n_inputs),
            "encoder_bias": (model.n_inputs,),
            "circuit": (model.n_weights,),
            "head": (len(model.observables), outputs),
            "head_bias": (outputs,),
        }
        self._slices: dict[str, tuple[slice, tuple[int, ...]]] = {}
        start = 0
        for name, shape in shapes.items():
            stop = start + int(np.prod(shape))
            self._slices[name] = slice(start, stop), shape
            start = stop
        self.theta: Array = np.zeros(start)

    @classmethod
    def create(
        cls,
        features: Array,
        head: Sequence[Any],
        *,
        qubits: int,
        layers: int,
        dtype: str = "complex128",
        backend: str | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """A network for these training features (N, F), with random parameters."""
        model = compile_circuit(build_circuit(qubits, layers), readouts(qubits), dtype=dtype, backend=backend)
        network = cls(model, *mean_and_scale(features), head)
        network.part("encoder")[...] = rng.normal(0, 0.3 / np.sqrt(features.shape[1]), (features.shape[1], qubits))
        network.part("circuit")[...] = rng.uniform(-0.1, 0.1, model.n_weights)
        network.part("head")[...] = rng.normal(0, 0.1, network.part("head").shape)
        return network

    # what the outputs mean

    @abstractmethod
    def _take(self, head: list[Any]) -> int:
        """Keep what the outputs mean, and say how many there are."""

    @abstractmethod
    def _head(self) -> dict[str, list[Any]]:
        """The head by its name in a file."""

    @abstractmethod
    def targets(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Labels (B,) as `loss_and_gradient` takes them."""

    @abstractmethod
    def _compare(self, outputs: Array, targets: npt.NDArray[Any]) -> tuple[float, float, Array]:
        """Mean loss, sum of the scores, and the loss's gradient (B, K) by the outputs, which may be overwritten."""

    @abstractmethod
    def score(
        self,
        features: Array,
        labels: npt.NDArray[Any],
        *,
        shots: int | None = None,
        seed: Any = None,
        noisy: bool = False,
    ) -> float:
        """How good predictions for raw features are, 1 at best."""

    # parameters

    def part(self, name: str, theta: Array | None = None) -> Array:
        """A view of one named block of `theta` (or of an array of its layout)."""
        where, shape = self._slices[name]
        return (self.theta if theta is None else theta)[where].reshape(shape)

    def parts(self) -> dict[str, Array]:
        """Views of all named blocks of `theta`."""
        return {name: self.part(name) for name in self._slices}

    @property
    def decayed(self) -> npt.NDArray[np.bool_]:
        """Which parameters weight decay pulls to zero: the matrices, neither biases nor angles."""
        out = np.zeros(len(self.theta), dtype=bool)
        for name in ("encoder", "head"):
            out[self._slices[name][0]] = True
        return out

    @property
    def n_features(self) -> int:
        """F."""
        return len(self.mean)

    # the function

    def standardise(self, features: Array) -> Array:
        """(B, F) raw features -> standard deviations from the mean, clipped."""
        return np.clip((features - self.mean) / self.scale, -CLIP, CLIP)

    def _encode(self, x: Array) -> Array:
        return np.asarray(np.tanh(x @ self.part("encoder") + self.part("encoder_bias")))

    @staticmethod
    def _angles(bounded: Array) -> Array:
        # (0, pi), where <Z> = cos is one to one and steepest in the middle
        return HALF_PI * (1.0 + bounded)

    def loss_and_gradient(
        self,
        x: Array,
        targets: npt.NDArray[Any],
        *,
        method: str = "best",
        shots: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[float, float, Array]:
        """Mean loss of a batch, the sum of its scores (how many were right), and the gradient (of theta's layout).

        Args:
            x: (B, F) standardised features.
            targets: (B,) of `targets`.
            rng: where the shots come from.
        """
        bounded = self._encode(x)
        model = self.model if self.noisy is None else self.noisy
        values, pullback = model.forward(
            self.part("circuit"), self._angles(bounded), method=method, shots=shots, seed=rng
        )
        loss, score, delta = self._compare(values @ self.part("head") + self.part("head_bias"), targets)
        gradient = np.empty_like(self.theta)
        self.part("head", gradient)[...] = values.T @ delta
        self.part("head_bias", gradient)[...] = delta.sum(axis=0)
        pulled = pullback(delta @ self.part("head").T)
        self.part("circuit", gradient)[...] = pulled.weights
        before = HALF_PI * pulled.inputs * (1.0 - bounded**2)
        self.part("encoder", gradient)[...] = x.T @ before
        self.part("encoder_bias", gradient)[...] = before.sum(axis=0)
        return loss, score, gradient

    def loss(self, features: Array, labels: npt.NDArray[Any]) -> float:
        """Mean loss of raw features and their labels, by the circuit without noise."""
        return self._compare(self.outputs(features), self.targets(np.asarray(labels)))[0]

    def outputs(
        self, features: npt.ArrayLike, *, shots: int | None = None, seed: Seed = None, noisy: bool = False
    ) -> Array:
        """(B, K) outputs of the head for raw features (B, F).

        Args:
            noisy: by the circuit as it was trained, where that has noise.

        Raises:
            ParameterError: another number of features.
        """
        raw = np.asarray(features, dtype=np.float64)
        if raw.ndim != 2 or raw.shape[1] != self.n_features:
            raise ParameterError(f"features have shape (samples, {self.n_features}), got {raw.shape}")
        model = self.noisy if noisy and self.noisy is not None else self.model
        rng = np.random.default_rng(seed) if shots is not None else None
        out = np.empty((len(raw), len(self.part("head_bias"))))
        for start in range(0, len(raw), _ROWS):
            angles = self._angles(self._encode(self.standardise(raw[start : start + _ROWS])))
            values = model(self.part("circuit"), angles, shots=shots, seed=rng)
            out[start : start + _ROWS] = values @ self.part("head") + self.part("head_bias")
        return out

    # files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that prediction needs to one file, atomically.

        Raises:
            CheckpointError: it cannot be written; an existing file is untouched.
        """
        header, arrays = to_document(self.model)
        own = {"theta": self.theta, "mean": self.mean, "scale": self.scale}
        own |= {f"circuit.{name}": array for name, array in arrays.items()}
        write_archive(path, self.KIND, {**self._head(), "about": self.about, "circuit": header}, own)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, backend: str | None = None) -> Self:
        """Read a network of this class that `save` wrote.

        Raises:
            CheckpointError: missing, damaged, or something else.
        """
        _, header, arrays = read_archive(path, cls.KIND)
        try:
            own: Arrays = {k: arrays.pop(k) for k in ("theta", "mean", "scale")}
            circuit = {k.removeprefix("circuit."): a for k, a in arrays.items()}
            model = from_document(header.pop("circuit"), circuit, str(path), backend)
            about, (head,) = header.pop("about"), header.values()
            network = cls(model, own["mean"], own["scale"], head, about)
        except (LookupError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} does not hold a valid {cls.KIND}: {error!r}") from error
        if own["theta"].shape != network.theta.shape or own["mean"].shape != own["scale"].shape:
            raise CheckpointError(f"{path} does not hold a valid {cls.KIND}: its arrays do not fit each other")
        network.theta = own["theta"]
        return network


class Classifier(Network):
    """Outputs are logits of `classes`, the loss is cross-entropy, a score is a right answer."""

    KIND = "classifier"

    def _take(self, head: list[Any]) -> int:
        self.classes = head
        return len(head)

    def _head(self) -> dict[str, list[Any]]:
        return {"classes": [_plain(c) for c in self.classes]}

    def targets(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """(B,) positions in `classes`."""
        position = {c: k for k, c in enumerate(self.classes)}
        return np.array([position[c] for c in labels.tolist()], dtype=np.intp)

    def _compare(self, outputs: Array, targets: npt.NDArray[Any]) -> tuple[float, float, Array]:
        right = int((outputs.argmax(axis=1) == targets).sum())
        delta, rows = softmax(outputs), np.arange(len(outputs))
        loss = -float(np.log(np.maximum(delta[rows, targets], 1e-300)).mean())
        delta[rows, targets] -= 1.0
        delta /= len(outputs)
        return loss, right, delta

    def probabilities(self, features: npt.ArrayLike, *, shots: int | None = None, seed: Seed = None) -> Array:
        """(B, C) probabilities of the classes for raw features (B, F)."""
        return softmax(self.outputs(features, shots=shots, seed=seed))

    def predict(self, features: npt.ArrayLike) -> list[Any]:
        """The most likely class of each sample."""
        return [self.classes[k] for k in self.outputs(features).argmax(axis=1)]

    def score(
        self,
        features: Array,
        labels: npt.NDArray[Any],
        *,
        shots: int | None = None,
        seed: Any = None,
        noisy: bool = False,
    ) -> float:
        """The share of right answers."""
        found = self.outputs(features, shots=shots, seed=seed, noisy=noisy).argmax(axis=1)
        return float(np.mean([self.classes[k] == label for k, label in zip(found, labels.tolist(), strict=True)]))


class Regressor(Network):
    """One output, the target in units of the training targets (`unit`: mean, scale); squared loss; the score is R^2."""

    KIND = "regressor"

    def _take(self, head: list[Any]) -> int:
        self.unit = float(head[0]), float(head[1])
        return 1

    def _head(self) -> dict[str, list[Any]]:
        return {"unit": list(self.unit)}

    def targets(self, labels: npt.NDArray[Any]) -> Array:
        """(B,) standard deviations from the mean of the training targets."""
        return np.asarray((labels - self.unit[0]) / self.unit[1])

    def _compare(self, outputs: Array, targets: npt.NDArray[Any]) -> tuple[float, float, Array]:
        error = outputs[:, 0] - targets
        squares = float(error @ error)
        return squares / len(error), len(error) - squares, (2.0 / len(error)) * error[:, None]

    def predict(
        self, features: npt.ArrayLike, *, shots: int | None = None, seed: Seed = None, noisy: bool = False
    ) -> Array:
        """(B,) predicted targets for raw features (B, F)."""
        return self.unit[0] + self.unit[1] * self.outputs(features, shots=shots, seed=seed, noisy=noisy)[:, 0]

    def score(
        self,
        features: Array,
        labels: npt.NDArray[Any],
        *,
        shots: int | None = None,
        seed: Any = None,
        noisy: bool = False,
    ) -> float:
        """R^2, the share of the targets' variance that is explained; NaN where there is none."""
        spread = float(((labels - labels.mean()) ** 2).sum())
        error = self.predict(features, shots=shots, seed=seed, noisy=noisy) - labels
        return 1.0 - float(error @ error) / spread if spread else float("nan")


def mean_and_scale(values: Array) -> tuple[Any, Any]:
    """Mean and standard deviation of each column; 1 for the deviation of a constant one."""
    mean, scale = values.mean(axis=0), values.std(axis=0)
    # a constant column has a standard deviation of rounding errors, not always of zero
    return mean, np.where(scale <= 1e-12 * np.maximum(1.0, np.abs(mean)), 1.0, scale)


def softmax(logits: Array) -> Array:
    """Row-wise, without overflow."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _plain(label: Any) -> Any:
    """A label as a JSON value."""
    value = label.item() if isinstance(label, np.generic) else label
    if not isinstance(value, (str, int, float, bool)):
        raise ArgumentError(f"labels are text, numbers or booleans, got {type(value).__name__}")
    return value
