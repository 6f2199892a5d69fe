"""`Objective`: a number to minimise, from the values of a model or from any function of the weights.

Owns: the loss between values and number, and what optimisers and scans ask for: many values at once, gradient, metric.
May not know: how anything is optimised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ArgumentError, ArgumentTypeError, ParameterError
from .expressions import real_array
from .mitigation.combination import Mitigated
from .model import Model
from .simulator import Seed, check_shots, generator

Array = npt.NDArray[np.float64]
Loss = Callable[[Array], tuple[float, Array]]  # values ([B,] M) -> their loss and its gradient by them


class Objective:
    """What is minimised: loss(model(theta, inputs)).

    Args:
        model: a compiled circuit with observables; or any function theta -> float, for methods that need values only.
        inputs: (F,) or (B, F), where the circuit has inputs.
        loss: from values, (M,) or (B, M), to a number and its gradient by the values; default the sum of the values,
            averaged over the samples.
        shots: measurements of each setting; None is exact.
        seed: of the shots: an int or a numpy Generator.

    Example:
        >>> objective = Objective(model, inputs, lambda v: (((v - y) ** 2).mean(), 2 * (v - y) / v.size))
        >>> scipy.optimize.minimize(objective.value_and_gradient, theta, jac=True)

    Raises:
        ArgumentTypeError: neither a model nor a function.
        ArgumentError: a model without observables.
    """

    def __init__(
        self,
        model: Model | Mitigated | Callable[[Array], Any],
        inputs: Any = None,
        loss: Loss | None = None,
        *,
        shots: int | None = None,
        seed: Seed = None,
    ) -> None:
        self._function: Callable[[Array], Any] | None = None
        if isinstance(model, (Model, Mitigated)):
            if not model.observables:
                raise ArgumentError("an objective needs a model with observables, as in kg.compile(circuit, kg.Z(0))")
            self._model: Model | Mitigated | None = model
        elif callable(model):
            if inputs is not None or loss is not None or shots is not None:
                raise ArgumentError("inputs, loss and shots go with a model; a function has its own")
            self._model, self._function = None, model
        else:
            raise ArgumentTypeError(f"an objective is a Model or a function, got {type(model).__name__}")
        self._inputs = None if inputs is None else real_array(inputs, "inputs")
        self._loss = loss
        self._shots = None if shots is None else check_shots(shots)
        self._rng = generator(seed)

    @classmethod
    def of(cls, cost: Any) -> Objective:
        """`cost` itself, or the objective of a model or function."""
        return cost if isinstance(cost, Objective) else cls(cost)

    def __call__(self, theta: Any) -> float:
        """The number at `theta`, an array of any shape."""
        return float(self.many(real_array(theta, "theta").reshape(1, -1))[0])

    def many(self, rows: Any) -> Array:
        """The numbers at many thetas, (K, P) -> (K,); of a model in one batch."""
        thetas = real_array(rows, "theta")
        if self._model is None:
            assert self._function is not None
            return np.array([_number(self._function(theta)) for theta in thetas])
        p = self._model.n_weights
        if thetas.ndim != 2 or thetas.shape[1] != p:
            raise ParameterError(f"the circuit has {p} weights, got thetas of shape {thetas.shape}")
        x = np.zeros((1, 0)) if self._inputs is None else np.atleast_2d(self._inputs)
        points = np.concatenate([np.repeat(thetas, len(x), axis=0), np.tile(x, (len(thetas), 1))], axis=1)
        values = self._model.weights_as_inputs()(None, points, shots=self._shots, seed=self._rng)
        values = values.reshape(len(thetas), len(x), -1)
        if self._loss is None:
            return np.asarray(values.sum(axis=2).mean(axis=1))
        batched = self._inputs is not None and self._inputs.ndim == 2
        return np.array([_number(self._loss(v if batched else v[0])[0]) for v in values])

    def value_and_gradient(self, theta: Any) -> tuple[float, Array]:
        """The number at `theta` and its gradient, in theta's shape; with shots by parameter-shift.

        Raises:
            ArgumentTypeError: the objective is a function.
        """
        model = self._needs_model("a gradient")
        values, pullback = model.forward(theta, self._inputs, shots=self._shots, seed=self._rng)
        if self._loss is None:
            share = 1.0 / (len(values) if values.ndim == 2 else 1)
            return float(values.sum() * share), pullback(np.full(values.shape, share)).weights
        value, cotangents = self._loss(values)
        return _number(value), pullback(cotangents).weights

    def metric(self, theta: Any, approx: str | None = None) -> Array:
        """The metric tensor at `theta`, (P, P), averaged over the samples; see `Model.metric_tensor`."""
        model = self._needs_model("a metric tensor")
        if isinstance(model, Mitigated):
            raise ArgumentTypeError(
                "a mitigated model has no state and no metric tensor; use that of its circuit, or another optimiser"
            )
        metric = model.metric_tensor(theta, self._inputs, approx=approx)
        return metric if metric.ndim == 2 else metric.mean(axis=0)

    def _needs_model(self, what: str) -> Model | Mitigated:
        if self._model is None:
            raise ArgumentTypeError(f"{what} needs a Model or an Objective of one, got a function; SPSA needs none")
        return self._model


def _number(value: Any) -> float:
    out = np.asarray(value)
    if out.size != 1 or out.dtype.kind not in "fiub":
        raise ArgumentTypeError(f"an objective gives one real number, got {value!r}")
    return float(out.reshape(()))
