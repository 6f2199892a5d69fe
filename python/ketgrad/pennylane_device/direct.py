"""`Direct`: expectation values of a traced QNode and their gradients, with nothing between the arrays and the engine.

Owns: the call in which nothing is special, as in a step of training: no axes of a framework in front, no channels, no
initial states. What is special goes through `Exact`. May not know: QNodes, frameworks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..gradients import adjoint
from ..model import Model

Array = npt.NDArray[Any]
NONE = np.zeros((1, 0))


class Direct:
    """One model, and which arguments are its weights and inputs.

    Args:
        model: with M observables, whose values are the results.
        shapes: of the arguments; the first axis of one that varies may have any length B.
        shared: positions of the arguments that are weights.
        varied: of those whose rows are inputs.
    """

    def __init__(
        self, model: Model, shapes: Sequence[tuple[int, ...]], shared: Sequence[int], varied: Sequence[int]
    ) -> None:
        self._lowered, self._plan = model._lowered, model._ready().plan
        self._shared = [(a, math.prod(shapes[a])) for a in shared]
        self._varied = [(a, math.prod(shapes[a][1:])) for a in varied]
        used = [*shared, *varied]
        self._each_once = sorted(used) == list(range(len(shapes)))

    def forward(self, arrays: Sequence[Array], differentiate: bool) -> tuple[Any, Callable[..., Any] | None]:
        """Values of float64 arrays, one for each observable or the rows of (M, B), and the pullback."""
        varied = self._varied
        # copies, as the caller may change his arrays
        if len(self._shared) == 1:
            weights = arrays[self._shared[0][0]].flatten()
        else:
            weights = np.concatenate([arrays[a].reshape(-1) for a, _ in self._shared]) if self._shared else NONE[0]
        rows = [arrays[a].reshape(len(arrays[a]), size) for a, size in varied]
        inputs = np.array(rows[0], order="C") if len(rows) == 1 else np.concatenate(rows, axis=1) if rows else NONE
        values, pull = adjoint.evaluate(self._lowered, self._plan, weights, inputs, differentiate)

        def pullback(cotangents: Sequence[Array]) -> list[Array]:
            c = np.array(cotangents)
            return self._gradients(arrays, *pull(c.T if varied else c.reshape(1, -1)))

        return np.ascontiguousarray(values.T) if varied else list(values[0]), pullback if differentiate else None

    def _gradients(self, arrays: Sequence[Array], to_weights: Array, to_inputs: Array) -> list[Array]:
        """Of each argument, in its shape."""
        out: list[Any] = [None] * len(arrays) if self._each_once else [np.zeros(a.shape) for a in arrays]
        start = 0
        for a, size in self._shared:
            out[a] = to_weights[start : start + size].reshape(arrays[a].shape)
            start += size
        start = 0
        for a, size in self._varied:
            g = to_inputs[:, start : start + size].reshape(arrays[a].shape)
            out[a] = g if self._each_once else out[a] + g
            start += size
        return out
