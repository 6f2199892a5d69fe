"""`ModelFunction`: a model as a differentiable numpy function of weights and inputs, with any axes in front of both.

Owns: how axes become samples of a batch, sets of cotangents, or circuits with weights of their own. May not know:
frameworks.

Axes along which an array does not vary (of length 1, or of stride 0 as `numpy.broadcast_to` makes them) cost nothing.
Where weights vary, they become inputs of a twin of the circuit, so that every case is one call of the engine.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .gradients import adjoint
from .interfaces import Pullback, common, wide
from .model import Model

Array = npt.NDArray[Any]
KEPT_BYTES = 256 << 20  # final states, and the points they belong to, between forward calls and their pullbacks
ENTRY_BYTES = 1 << 10  # of Python's objects around them, which outweigh the states of few qubits


def _core(array: Array) -> Array:
    """The array with length 1 along the axes in front along which it does not vary."""
    still = [n > 1 and not (step and array.size) for n, step in zip(array.shape[:-1], array.strides, strict=False)]
    return array[tuple(slice(1 if s else None) for s in still)] if any(still) else array


def _rows(arrays: Sequence[Array], lead: tuple[int, ...]) -> Array:
    """Arrays beside one another, broadcast to these axes in front, as float64 rows."""
    parts = [wide(a, (*lead, a.shape[-1])) for a in arrays]
    whole = np.concatenate(parts, axis=-1, dtype=np.float64) if len(parts) > 1 else parts[0]
    return np.ascontiguousarray(whole, dtype=np.float64).reshape(math.prod(lead), -1)


def _summed(gradient: Array, lead: tuple[int, ...]) -> Array:
    """Summed over the axes in front that have length 1 in `lead`."""
    if gradient.shape[:-1] == lead:
        return gradient
    return np.asarray(gradient.sum(axis=tuple(k for k, n in enumerate(lead) if n < gradient.shape[k]), keepdims=True))


def _zeros(arrays: Sequence[Array]) -> Pullback:
    """The pullback of no samples."""
    return lambda _: [np.zeros(a.shape) for a in arrays]


class _Point:
    """Weights and inputs as the engine wants them: one row for each sample that differs from the others."""

    def __init__(self, function: ModelFunction, weights: Array, inputs: Array) -> None:
        self.lead = common(weights.shape[:-1], inputs.shape[:-1])
        w, x = _core(weights), _core(inputs)
        self.is_twin = math.prod(w.shape[:-1]) > 1
        self.front = common(w.shape[:-1], x.shape[:-1])  # as `lead`, 1 where nothing varies
        self.weights = np.zeros(0) if self.is_twin else np.asarray(w, dtype=np.float64).reshape(-1)
        self.rows = _rows([w, x] if self.is_twin else [x], self.front)
        model = function.model.weights_as_inputs() if self.is_twin else function.model
        self._lowered, self._plan = model._lowered, model._ready().plan
        states = self._plan.kept_bytes(len(self.rows))
        self.kept_bytes = states + self.weights.nbytes + self.rows.nbytes + ENTRY_BYTES
        self._n_weights = function.model.n_weights

    def key(self) -> tuple[Any, ...]:
        """Equal for equal points."""
        return self.rows.shape, self.weights.tobytes(), self.rows.tobytes()

    def forward(self, keep: bool) -> tuple[Array, Any]:
        """Values (..., M), and a tape or None."""
        terms, tape = self._plan.forward(*self._lowered.stage.evaluate(self.weights, self.rows), keep)
        return self._wide(adjoint.values(self._lowered, terms)), tape

    def pull(self, cotangents: Array, tape: Any, weights_lead: tuple[int, ...]) -> list[Array]:
        """Gradients by weights and inputs from cotangents (..., M); the first summed where `weights_lead` has 1."""
        n = len(self.lead)
        sets, samples = ([k for k in range(n) if (self.front[k] == 1) is same] for same in (True, False))
        order, sizes, rows = sets + samples, [self.lead[k] for k in sets], [self.lead[k] for k in samples]
        c = cotangents.transpose(*order, n).reshape(math.prod(sizes), len(self.rows), cotangents.shape[-1])
        each = not self.is_twin and any(weights_lead[k] > 1 for k in samples)
        found = adjoint.pull_sets(self._lowered, self._plan, self.weights, self.rows, c, tape, each)
        fronts = [*sizes, *(rows if each else [1] * len(rows))], [*sizes, *rows]
        back = [*(order.index(k) for k in range(n)), n]
        return self._parted([f.reshape(*s, f.shape[-1]).transpose(back) for f, s in zip(found, fronts, strict=True)])

    def jacobian(self) -> list[Array]:
        """Derivatives of the values by weights (..., M, P) and inputs (..., M, F)."""
        found = adjoint.jacobian(self._lowered, self._plan, self.weights, self.rows)
        return self._parted([self._wide(f) for f in found])

    def _wide(self, rows: Array) -> Array:
        return wide(rows.reshape(self.front + rows.shape[1:]), self.lead + rows.shape[1:])

    def _parted(self, found: list[Array]) -> list[Array]:
        return np.split(found[1], [self._n_weights], axis=-1) if self.is_twin else found


class ModelFunction:
    """A model as a function of weights (..., P) and inputs (..., F); see `interfaces.Differentiable`.

    Args:
        model: with M observables.
        dtype: of the values (..., M).
    """

    axes = (1, 1)

    def __init__(self, model: Model, dtype: npt.DTypeLike = np.float64) -> None:
        self.model = model
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._lock = threading.Lock()
        self._kept: dict[Any, tuple[Any, int]] = {}  # tapes and their bytes, oldest first
        self._bytes = 0

    def result_types(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """See `interfaces.Differentiable`."""
        return [((len(self.model.observables),), self._dtype)]

    def forward(self, arrays: Sequence[Array], differentiate: bool) -> tuple[list[Array], Pullback | None]:
        """See `interfaces.Differentiable`. What will be differentiated leaves its final states for the pullback."""
        if 0 in (lead := common(*(a.shape[:-1] for a in arrays))):
            return [np.zeros((*lead, len(self.model.observables)))], _zeros(arrays) if differentiate else None
        point = _Point(self, *arrays)
        values, tape = point.forward(differentiate and point.kept_bytes <= KEPT_BYTES)
        if tape is not None:
            self._keep(point.key(), tape, point.kept_bytes)
        return [values], self._pullback(point, arrays) if differentiate else None

    def pullback(self, arrays: Sequence[Array]) -> Pullback:
        """See `interfaces.Differentiable`; of arrays that `forward` saw a moment ago, or others."""
        if 0 in common(*(a.shape[:-1] for a in arrays)):
            return _zeros(arrays)
        return self._pullback(_Point(self, *arrays), arrays)

    def _pullback(self, point: _Point, arrays: Sequence[Array]) -> Pullback:
        leads = [a.shape[:-1] for a in arrays]

        def pull(cotangents: Sequence[Array]) -> list[Array]:
            with self._lock:
                tape, size = self._kept.pop(point.key(), (None, 0))  # nobody else has it now
                self._bytes -= size
            found = point.pull(np.asarray(cotangents[0], dtype=np.float64), tape, leads[0])
            return [_summed(g, lead) for g, lead in zip(found, leads, strict=True)]

        return pull

    def second(
        self, arrays: Sequence[Array], cotangents: Sequence[Array], along: Sequence[Array]
    ) -> tuple[list[Array], list[Array]]:
        """See `interfaces.second`."""
        (weights, inputs), (dw, dx) = arrays, along
        if 0 in (lead := common(weights.shape[:-1], inputs.shape[:-1])):
            return [np.zeros((*lead, len(self.model.observables)))], [np.zeros(a.shape) for a in arrays]
        point, c = _Point(self, weights, inputs), np.asarray(cotangents[0], dtype=np.float64)
        if not c.any():
            slopes = zip(point.jacobian(), along, strict=True)
            moved = np.sum([np.einsum("...mp,...p->...m", j, d) for j, d in slopes], axis=0)
            return [moved], [np.zeros(a.shape) for a in arrays]
        lead, n = point.lead, self.model.n_weights
        if math.prod(weights.shape[:-1]) == 1:
            at, along = (point.weights, _rows([inputs], lead)), (dw.reshape(-1), _rows([dx], lead))
            found = self.model.gradient_change(*at, *along, cotangents=c.reshape(len(at[1]), -1))
            changes = [found.weights.reshape(*[1] * len(lead), n), found.inputs.reshape(*lead, -1)]
        else:  # every row has weights, or a direction, or a gradient by them, of its own
            rows, moves = _rows([weights, inputs], lead), _rows([dw, dx], lead)
            found = self.model.weights_as_inputs().gradient_change(
                None, rows, None, moves, cotangents=c.reshape(len(rows), -1)
            )
            changes = np.split(found.inputs.reshape(*lead, -1), [n], axis=-1)
        still = np.zeros((*lead, c.shape[-1]))  # nobody asks for both
        return [still], [_summed(g, a.shape[:-1]) for g, a in zip(changes, arrays, strict=True)]

    def _keep(self, key: Any, tape: Any, size: int) -> None:
        with self._lock:
            self._bytes += size - self._kept.pop(key, (None, 0))[1]
            self._kept[key] = tape, size
            while self._bytes > KEPT_BYTES:  # of calls that nobody differentiated after all
                self._bytes -= self._kept.pop(next(iter(self._kept)))[1]

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "_dtype": self._dtype}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["model"], state["_dtype"])  # type: ignore[misc]
