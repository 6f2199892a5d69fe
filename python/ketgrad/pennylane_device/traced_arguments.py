"""The arguments of a traced QNode as weights and inputs of its model, and gradients back.

Owns: `TracedStructure`, models whose angles are polynomials of arguments, and `TracedArguments`. May not know: QNodes,
frameworks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit
from ..model import Gradients
from .arguments import Batch, sum_to
from .conversion import append_row
from .direct import Direct
from .measurements import ExactPlan
from .structure import Pattern, Structure
from .tracing import Trace

Array = npt.NDArray[Any]


class TracedStructure(Structure):
    """Models of a traced circuit; a pattern says which arguments vary from sample to sample as a whole."""

    def __init__(
        self,
        found: Trace,
        shapes: Sequence[tuple[int, ...]],
        dtype: str,
        backend: str | None,
        noise: Mapping[str, Any],
    ) -> None:
        super().__init__(found.probe.reading, found.probe.measurements, False, dtype, backend, noise)
        self.trace, self.shapes = found, shapes

    def _circuit(self, pattern: Pattern) -> Circuit:
        circuit = Circuit(max(1, self.n_wires))
        plain = {a: circuit.weights(self.size(a)) for a in self.trace.shared if not pattern[a]}
        whole = {a: circuit.inputs(self.size(a)) for a in self.trace.shared if pattern[a]}
        each = {a: circuit.inputs(self.size(a) // self.shapes[a][0]) for a in self.trace.varied}
        where = {"all": {**plain, **whole}, "each": each}

        def angle(polynomial: Any) -> Any:
            out: Any = 0.0
            for monomial, factor in polynomial.items():
                term: Any = factor
                for kind, a, index in monomial:
                    term = term * where[kind][a][index]
                out = out + term
            return out

        angles = iter([angle(p) for p in self.trace.polynomials])
        for row in self._rows:
            append_row(circuit, row, angles)
        return circuit

    def direct(self, batch: int | None) -> Direct | None:
        """The quick way of calls without axes in front, where there is one."""
        assert isinstance(self.plan, ExactPlan)
        varied = self.trace.varied
        if self.noisy or not self.plan.only_expectations or (batch is None) is bool(varied):
            return None
        return Direct(self.values((False,) * len(self.shapes)), self.shapes, tuple(self.trace.shared), tuple(varied))

    def size(self, argument: int) -> int:
        """Entries of an argument of the example."""
        return int(np.prod(self.shapes[argument], dtype=int))


class TracedArguments(Batch):
    """Arguments of one call as a model's weights and inputs; see `arguments.Arguments`."""

    initial = None

    def __init__(self, arrays: Sequence[Array], axes: Sequence[int], batch: int | None, traced: Trace) -> None:
        self._arrays, self._axes, self._batch, self._traced = arrays, axes, batch, traced
        fronts = self._set_axes(arrays, axes, batch)
        self.pattern = tuple([bool(f) and math.prod(f) > 1 for f in fronts])
        plain = [arrays[a].reshape(-1) for a in traced.shared if not self.pattern[a]]
        self.weights = plain[0] if len(plain) == 1 else np.concatenate(plain) if plain else None
        columns = [self._whole(arrays[a], axes[a]) for a in traced.shared if self.pattern[a]]
        columns += [self._each(arrays[a], axes[a]) for a in traced.varied]
        self.inputs = columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1) if columns else None
        self.batched = self.inputs is not None

    def _whole(self, array: Array, axes: int) -> Array:
        own = array.shape[array.ndim - axes :]
        rows = array.reshape(*array.shape[: array.ndim - axes], *(() if self._batch is None else (1,)), -1)
        return np.broadcast_to(rows, (*self.shape, int(np.prod(own, dtype=int)))).reshape(-1, rows.shape[-1])

    def _each(self, array: Array, axes: int) -> Array:
        if not self.lead:
            return array.reshape(len(array), -1)
        rows = array.reshape(*array.shape[: array.ndim - axes + 1], -1)
        return np.broadcast_to(rows, (*self.shape, rows.shape[-1])).reshape(-1, rows.shape[-1])

    def gradients(self, found: Gradients) -> list[Array]:
        """Of each argument, in its shape."""
        out: list[Any] = [None] * len(self._arrays)
        weight = column = 0
        for a in self._traced.shared:
            size = math.prod(self._arrays[a].shape[self._arrays[a].ndim - self._axes[a] :])
            if self.pattern[a]:
                g = found.inputs[:, column : column + size].reshape(*self.shape, size)
                out[a] = self._summed(g, self._arrays[a], self._axes[a], size)
                column += size
            else:
                out[a] = found.weights[weight : weight + size].reshape(self._arrays[a].shape)
                weight += size
        for a in self._traced.varied:
            array = self._arrays[a]
            size = math.prod(array.shape[array.ndim - self._axes[a] + 1 :])
            g = found.inputs[:, column : column + size]
            if self.lead:
                g = sum_to(g.reshape(*self.shape, size), (*array.shape[: array.ndim - self._axes[a] + 1], size))
            g = g.reshape(array.shape)
            out[a] = g if out[a] is None else out[a] + g
            column += size
        return [np.zeros(a.shape) if g is None else g for a, g in zip(self._arrays, out, strict=True)]

    def _summed(self, g: Array, array: Array, axes: int, size: int) -> Array:
        front = array.shape[: array.ndim - axes]
        whole = (*front, *(() if self._batch is None else (1,)), size)
        return sum_to(g, whole).reshape(array.shape)
