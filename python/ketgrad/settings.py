"""`Settings`: everything that decides the numbers of a training, checked where it is given.

Owns: the defaults and their ranges. May not know: how a training uses them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .errors import ArgumentError, ArgumentTypeError
from .model import METHODS


@dataclass(frozen=True)
class Settings:
    """Everything that decides the numbers of a training.

    Args:
        qubits, layers: of the circuit.
        epochs, batch, lr: passes over the data, samples of a step, first learning rate of the cosine.
        decay: weight decay of encoder and head.
        input_noise: standard deviation of the noise added to standardised features while training.
        seed: of everything random.
        backend: "native", "numba", or None for the best one here.
        dtype: "complex128" or "complex64".
        gradient: "adjoint", "parameter-shift", or "best": adjoint when exact, parameter-shift with shots; or another
            method of `Model.forward`.
        shots: measurements of each setting; None is exact.
        task: "classification", by cross-entropy, or "regression" of one number, by squared error.
        noise: of the gates and the readout of the circuit that is trained, as `ketgrad.noise.parse` reads it.
        mitigation: how its values are mitigated: a name of `ketgrad.noisy_training.MITIGATIONS`.
        trajectories: paths that a noisy value takes; None is exact where that is quick.

    Raises:
        ArgumentTypeError, ArgumentError: a value of the wrong type or out of its range.
    """

    qubits: int = 8
    layers: int = 4
    epochs: int = 50
    batch: int = 32
    lr: float = 0.01
    decay: float = 0.3
    input_noise: float = 0.5
    seed: int = 0
    backend: str | None = None
    dtype: str = "complex128"
    gradient: str = "best"
    shots: int | None = None
    task: str = "classification"
    noise: str | None = None
    mitigation: str | None = None
    trajectories: int | None = None

    def __post_init__(self) -> None:
        for name, high in (("qubits", 62), ("layers", 10**4), ("epochs", 10**6), ("batch", 10**6)):
            self._integer(name, 1, high)
        self._integer("seed", 0, 2**63)
        for name in ("lr", "decay", "input_noise"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
                raise ArgumentTypeError(f"{name} is a number, got {value!r}")
            if not math.isfinite(value) or value < 0 or (name == "lr" and not value):
                raise ArgumentError(
                    f"{name} must be finite and {'above' if name == 'lr' else 'at least'} 0, got {value}"
                )
            object.__setattr__(self, name, float(value))
        if self.dtype not in ("complex64", "complex128"):
            raise ArgumentError(f"dtype must be complex64 or complex128, got {self.dtype!r}")
        if self.gradient not in METHODS:
            raise ArgumentError(f"gradient must be one of {METHODS}, got {self.gradient!r}")
        if self.task not in ("classification", "regression"):
            raise ArgumentError(f"task must be classification or regression, got {self.task!r}")
        if self.shots is not None:
            self._integer("shots", 1, 10**9)
            if self.gradient == "adjoint":
                raise ArgumentError("the adjoint gradient is exact and takes no shots; use gradient='parameter-shift'")

        if self.noise is None and (self.mitigation is not None or self.trajectories is not None):
            raise ArgumentError("mitigation and trajectories are of a noisy circuit; give noise, as in noise='0.01'")
        if self.trajectories is not None:
            self._integer("trajectories", 2, 10**9)
        if self.noise is not None:
            from .noisy_training import check

            check(self.noise, self.mitigation)

    def _integer(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise ArgumentTypeError(f"{name} is an integer, got {value!r}")
        if not low <= value <= high:
            raise ArgumentError(f"{name} must be from {low:,} to {high:,}, got {value}")
        object.__setattr__(self, name, int(value))
