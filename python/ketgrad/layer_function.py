"""`LayerFunction`: a model as a numpy function of inputs and weights, with a pullback, for tensors of any framework.

Owns: axes in front, batches without samples, weights in several arrays. May not know: frameworks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import NotDifferentiableError
from .mitigation.combination import Mitigated
from .model import Gradients, Model
from .simulator import check_shots

Array = npt.NDArray[Any]


class LayerFunction:
    """The values of a model; see `interfaces.Differentiable`.

    Its arguments are the inputs (..., F), then the weights in one array or several, one after the other of P numbers in
    all; its result is (..., M), float64.

    Args:
        model: with observables.
        shots: measurements of each setting; None is exact.
        seed: of the shots. One function always draws the same; `seeded` makes others.
    """

    def __init__(self, model: Model | Mitigated, shots: int | None = None, seed: Sequence[int] = (0,)) -> None:
        self.model, self.shots, self.seed = model, None if shots is None else check_shots(shots), seed
        shapes = [shape for _, kind, shape, _ in model.circuit.groups if kind == "w"]
        self.axes = (1, *map(len, shapes))

    def seeded(self, seed: Sequence[int]) -> LayerFunction:
        """The same with other draws."""
        return LayerFunction(self.model, self.shots, seed)

    def result_types(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and dtype of the result, without the axes in front."""
        return [((len(self.model.observables),), np.dtype(np.float64))]

    def forward(
        self, arrays: Sequence[Array], differentiate: bool
    ) -> tuple[list[Array], Callable[[Sequence[Array]], list[Array]] | None]:
        """See `interfaces.Differentiable`."""
        inputs, weights = arrays[0], _joined(arrays[1:])
        shapes, outputs = [a.shape for a in arrays], len(self.model.observables)
        whole = (*inputs.shape[:-1], outputs)
        if 0 in whole[:-1]:
            return [np.zeros(whole)], lambda _: [np.zeros(s) for s in shapes]
        seed = None if self.shots is None else np.random.default_rng(self.seed)
        values, pull = self.model.forward(weights, _rows(inputs), shots=self.shots, seed=seed, _keep=differentiate)
        rows = values.shape

        def pullback(cotangents: Sequence[Array]) -> list[Array]:
            return _split(pull(cotangents[0].reshape(rows)), shapes)

        return [values.reshape(whole)], pullback if differentiate else None

    def second(
        self, arrays: Sequence[Array], cotangents: Sequence[Array], along: Sequence[Array]
    ) -> tuple[list[Array], list[Array]]:
        """See `interfaces.second`."""
        if self.shots is not None:
            raise NotDifferentiableError(
                f"second derivatives are exact and take no shots, got shots={self.shots}; leave shots out"
            )
        inputs, weights = arrays[0], _joined(arrays[1:])
        shapes, whole = [a.shape for a in arrays], (*inputs.shape[:-1], len(self.model.observables))
        if 0 in whole[:-1]:
            return [np.zeros(whole)], [np.zeros(s) for s in shapes]
        x, dx, dw = _rows(inputs), _rows(along[0]), _joined(along[1:])
        tangents = self.model.tangents(weights, x, dw, dx)
        rows = cotangents[0].reshape(tangents.shape)
        changes = self.model.gradient_change(weights, x, dw, dx, cotangents=rows)
        return [tangents.reshape(whole)], _split(changes, shapes)


def _joined(parts: Sequence[Array]) -> Array:
    if len(parts) == 1:
        return parts[0].reshape(-1)
    return np.concatenate([p.reshape(-1) for p in parts]) if parts else np.zeros(0)


def _rows(inputs: Array) -> Array:
    """(F,) or (B, F)."""
    return inputs if inputs.ndim <= 2 else inputs.reshape(math.prod(inputs.shape[:-1]), inputs.shape[-1])


def _split(found: Gradients, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Gradients in the shapes of the arguments."""
    flat, start, out = found.weights.reshape(-1), 0, [found.inputs.reshape(shapes[0])]
    for shape in shapes[1:]:
        stop = start + math.prod(shape)
        out.append(flat[start:stop].reshape(shape))
        start = stop
    return out
