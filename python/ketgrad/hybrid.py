"""The hybrid classifier: standardise -> linear encoder -> circuit -> linear head, as one differentiable function.

Owns: its circuit, the layout of its parameters, loss and gradient, and its file. May not know: optimisers, epochs,
data files. Everything outside the circuit is a handful of numpy lines; the circuit is a `Model` like any other.

Shapes: B samples, F features, n qubits, P circuit weights, M = n (n + 1) / 2 readouts, C classes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .checkpoint import Arrays, read_archive, write_archive
from .circuit import Circuit
from .errors import ArgumentError, CheckpointError, ParameterError
from .model import Model, compile_circuit
from .pauli import PauliSum, Z
from .persistence import from_document, to_document

Array = npt.NDArray[np.float64]
KIND = "classifier"
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


class Network:
    """A hybrid classifier with its parameters in one flat array `theta`.

    Args:
        model: a circuit with `n` inputs and its readouts.
        mean, scale: (F,) of the training features.
        classes: the labels, in the order of the head's outputs.
        about: JSON values kept in the file: feature names, target, data set.
    """

    def __init__(
        self, model: Model, mean: Array, scale: Array, classes: Sequence[Any], about: dict[str, Any] | None = None
    ) -> None:
        self.model, self.mean, self.scale = model, mean, scale
        self.classes = list(classes)
        self.about = dict(about or {})
        shapes = {
            "encoder": (len(mean), model.n_inputs),
            "encoder_bias": (model.n_inputs,),
            "circuit": (model.n_weights,),
            "head": (len(model.observables), len(self.classes)),
            "head_bias": (len(self.classes),),
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
        classes: Sequence[Any],
        *,
        qubits: int,
        layers: int,
        dtype: str = "complex128",
        backend: str | None = None,
        rng: np.random.Generator,
    ) -> Network:
        """A network for these training features (N, F), with random parameters."""
        model = compile_circuit(build_circuit(qubits, layers), readouts(qubits), dtype=dtype, backend=backend)
        mean, scale = features.mean(axis=0), features.std(axis=0)
        # a constant column has a standard deviation of rounding errors, not always of zero
        constant = scale <= 1e-12 * np.maximum(1.0, np.abs(mean))
        network = cls(model, mean, np.where(constant, 1.0, scale), classes)
        network.part("encoder")[...] = rng.normal(0, 0.3 / np.sqrt(features.shape[1]), (features.shape[1], qubits))
        network.part("circuit")[...] = rng.uniform(-0.1, 0.1, model.n_weights)
        network.part("head")[...] = rng.normal(0, 0.1, network.part("head").shape)
        return network

    # parameters

    def part(self, name: str, theta: Array | None = None) -> Array:
        """A view of one named block of `theta` (or of an array of its layout)."""
        where, shape = self._slices[name]
        return (self.theta if theta is None else theta)[where].reshape(shape)

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
        targets: npt.NDArray[np.intp],
        *,
        method: str = "best",
        shots: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[float, int, Array]:
        """Mean cross-entropy of a batch, how many were right, and the gradient (of theta's layout).

        Args:
            x: (B, F) standardised features.
            targets: (B,) positions in `classes`.
            rng: where the shots come from.
        """
        bounded = self._encode(x)
        values, pullback = self.model.forward(
            self.part("circuit"), self._angles(bounded), method=method, shots=shots, seed=rng
        )
        logits = values @ self.part("head") + self.part("head_bias")
        p = softmax(logits)
        rows = np.arange(len(x))
        loss = -float(np.log(np.maximum(p[rows, targets], 1e-300)).mean())
        right = int((logits.argmax(axis=1) == targets).sum())
        delta = p
        delta[rows, targets] -= 1.0
        delta /= len(x)
        gradient = np.empty_like(self.theta)
        self.part("head", gradient)[...] = values.T @ delta
        self.part("head_bias", gradient)[...] = delta.sum(axis=0)
        pulled = pullback(delta @ self.part("head").T)
        self.part("circuit", gradient)[...] = pulled.weights
        before = HALF_PI * pulled.inputs * (1.0 - bounded**2)
        self.part("encoder", gradient)[...] = x.T @ before
        self.part("encoder_bias", gradient)[...] = before.sum(axis=0)
        return loss, right, gradient

    def probabilities(
        self, features: npt.ArrayLike, *, shots: int | None = None, seed: int | np.random.Generator | None = None
    ) -> Array:
        """(B, C) probabilities of the classes for raw features (B, F).

        Raises:
            ParameterError: another number of features.
        """
        raw = np.asarray(features, dtype=np.float64)
        if raw.ndim != 2 or raw.shape[1] != self.n_features:
            raise ParameterError(f"features have shape (samples, {self.n_features}), got {raw.shape}")
        rng = np.random.default_rng(seed) if shots is not None else None
        out = np.empty((len(raw), len(self.classes)))
        for start in range(0, len(raw), _ROWS):
            angles = self._angles(self._encode(self.standardise(raw[start : start + _ROWS])))
            values = self.model(self.part("circuit"), angles, shots=shots, seed=rng)
            out[start : start + _ROWS] = softmax(values @ self.part("head") + self.part("head_bias"))
        return out

    def predict(self, features: npt.ArrayLike) -> list[Any]:
        """The most likely class of each sample."""
        return [self.classes[k] for k in self.probabilities(features).argmax(axis=1)]

    # files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that prediction needs to one file, atomically.

        Raises:
            CheckpointError: it cannot be written; an existing file is untouched.
        """
        header, arrays = to_document(self.model)
        extra = {"classes": [_plain(c) for c in self.classes], "about": self.about}
        own = {"theta": self.theta, "mean": self.mean, "scale": self.scale}
        own |= {f"circuit.{name}": array for name, array in arrays.items()}
        write_archive(path, KIND, {**extra, "circuit": header}, own)


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


def load(path: str | os.PathLike[str], *, backend: str | None = None) -> Network:
    """Read a classifier that `Network.save` wrote.

    Raises:
        CheckpointError: missing, damaged, or not a classifier.
    """
    _, header, arrays = read_archive(path, KIND)
    try:
        own: Arrays = {k: arrays.pop(k) for k in ("theta", "mean", "scale")}
        circuit = {k.removeprefix("circuit."): a for k, a in arrays.items()}
        model = from_document(header["circuit"], circuit, str(path), backend)
        network = Network(model, own["mean"], own["scale"], header["classes"], header["about"])
    except (LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not hold a valid classifier: {error!r}") from error
    if own["theta"].shape != network.theta.shape or own["mean"].shape != own["scale"].shape:
        raise CheckpointError(f"{path} does not hold a valid classifier: its arrays do not fit each other")
    network.theta = own["theta"]
    return network
