"""`CombinedFunction`: a mitigated model as a differentiable numpy function of weights and inputs, with axes in front.

Owns: how axes become samples of a batch. May not know: frameworks, how values are combined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .interfaces import Pullback, common, wide
from .mitigation.combination import Mitigated
from .model_function import _core, _rows, _summed, _zeros

Array = npt.NDArray[Any]


class CombinedFunction:
    """A mitigated model as a function of weights (..., P) and inputs (..., F); see `interfaces.Differentiable`.

    Where weights vary, they become inputs of a twin, so that every case is one batch.

    Args:
        model: with M observables.
        dtype: of the values (..., M).
    """

    axes = (1, 1)

    def __init__(self, model: Mitigated, dtype: npt.DTypeLike = np.float64) -> None:
        self.model = model
        self._dtype: np.dtype[Any] = np.dtype(dtype)

    def result_types(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """See `interfaces.Differentiable`."""
        return [((len(self.model.observables),), self._dtype)]

    def forward(self, arrays: Sequence[Array], differentiate: bool) -> tuple[list[Array], Pullback | None]:
        """See `interfaces.Differentiable`."""
        weights, inputs = arrays
        lead = common(weights.shape[:-1], inputs.shape[:-1])
        outputs, n = len(self.model.observables), self.model.n_weights
        if 0 in lead:
            return [np.zeros((*lead, outputs))], _zeros(arrays) if differentiate else None
        if not differentiate:  # what does not vary is computed once; cotangents may vary all the same
            weights, inputs = _core(weights), _core(inputs)
        front = common(weights.shape[:-1], inputs.shape[:-1])
        one = _core(weights)
        shared = math.prod(one.shape[:-1]) == 1
        if shared:
            rows, own = _rows([inputs], front), np.asarray(one, dtype=np.float64).reshape(-1)
            values, pull = self.model.forward(own, rows, _keep=differentiate)
        else:
            rows = _rows([weights, inputs], front)
            values, pull = self.model.weights_as_inputs().forward(None, rows, _keep=differentiate)
        result = wide(values.reshape(*front, outputs), (*lead, outputs))

        def pullback(cotangents: Sequence[Array]) -> list[Array]:
            c = np.asarray(cotangents[0], dtype=np.float64)
            if shared and math.prod(weights.shape[:-1]) == 1:
                found = pull(c.reshape(len(rows), outputs))
                parts = [found.weights.reshape(*[1] * len(lead), n), found.inputs.reshape(*lead, -1)]
            else:  # a gradient by weights for every row
                wanted = self.model.weights_as_inputs().forward(None, _rows([weights, inputs], lead))[1]
                found = wanted(c.reshape(-1, outputs))
                parts = np.split(found.inputs.reshape(*lead, -1), [n], axis=-1)
            return [_summed(g, a.shape[:-1]) for g, a in zip(parts, arrays, strict=True)]

        return [result], pullback if differentiate else None

    def second(
        self, arrays: Sequence[Array], cotangents: Sequence[Array], along: Sequence[Array]
    ) -> tuple[list[Array], list[Array]]:
        """See `interfaces.second`."""
        outputs = len(self.model.observables)
        if 0 in (lead := common(arrays[0].shape[:-1], arrays[1].shape[:-1])):
            return [np.zeros((*lead, outputs))], [np.zeros(a.shape) for a in arrays]
        twin, c = self.model.weights_as_inputs(), np.asarray(cotangents[0], dtype=np.float64)
        rows, moves = _rows(arrays, lead), _rows(along, lead)
        if not c.any():
            moved = np.einsum("bmf,bf->bm", twin.jacobian(None, rows).inputs, moves)
            return [moved.reshape(*lead, outputs)], [np.zeros(a.shape) for a in arrays]
        found = twin.gradient_change(None, rows, None, moves, cotangents=c.reshape(len(rows), -1))
        changes = np.split(found.inputs.reshape(*lead, -1), [self.model.n_weights], axis=-1)
        still = np.zeros((*lead, outputs))  # nobody asks for both
        return [still], [_summed(g, a.shape[:-1]) for g, a in zip(changes, arrays, strict=True)]
