"""Jacobians and their products in the shapes PennyLane expects of a device that differentiates by itself.

Owns: from pullbacks of a tape's measurements to PennyLane's nesting. May not know: configurations, trackers.
A trainable parameter that is no angle of the circuit has derivative zero here; the preprocessing has seen to it that
there is none but an observable's coefficient, of which it has warned.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane.exceptions import DeviceError

from .exact import Exact

Array = npt.NDArray[Any]


def trainable_columns(tape: Any, slots: Sequence[int | None]) -> list[int | None]:
    """For each trainable parameter of the tape, the angle it is, or None."""
    return [slots[i] if i < len(slots) else None for i in tape.trainable_params]


class Gradients(tuple[Any, ...]):
    """One gradient for each trainable parameter, numbers beside (B,) arrays.

    PennyLane's torch interface asks `np.squeeze(gradients).shape` whether there are any; numpy would refuse to make an
    array of different shapes, and asks this method first.
    """

    def squeeze(self) -> npt.NDArray[np.bool_]:
        return np.ones(len(self), dtype=bool)


class OnExecution:
    """Measurements whose Jacobian is computed together with their results, for grad_on_execution=True."""

    def __init__(self, exact: Exact) -> None:
        self._exact = exact
        self.axes, self.result_types, self.second = exact.axes, exact.result_types, exact.second

    def forward(self, arrays: Sequence[Array], differentiate: bool) -> tuple[Any, Any]:
        """See `interfaces.Differentiable`."""
        results, pullback = self._exact.forward(arrays, differentiate)
        if pullback is None:
            return results, None
        rows = []
        for k, result in enumerate(results):
            for where in np.ndindex(np.shape(result)):
                seeds = [np.zeros(np.shape(r)) for r in results]
                seeds[k][where] = 1.0
                rows.append([np.asarray(g) for g in pullback(seeds)])
        columns = [np.stack(c) for c in zip(*rows, strict=True)]

        def contract(cotangents: Sequence[Array]) -> list[Array]:
            flat = np.concatenate([np.ravel(c) for c in cotangents])
            return [np.tensordot(flat, c, axes=1) for c in columns]

        return results, contract


def pull(exact: Exact, arrays: Sequence[Array], cotangents: Any, columns: Sequence[int | None]) -> tuple[Any, Any]:
    """Results, and for each trainable parameter its gradient: a number, (B,) where it is broadcast, and with one axis
    more in front where there are K sets of cotangents at once."""
    results, pullback = exact.forward(arrays, True)
    assert pullback is not None
    parts = [cotangents] if len(results) == 1 else list(cotangents)
    given = [np.asarray(qml.math.to_numpy(c)) for c in parts]
    shapes = [shape for shape, _ in exact.result_types()]
    more = {g.ndim > len(s) and g.size != np.prod(s, dtype=int) for g, s in zip(given, shapes, strict=True)}
    several = True in more
    sets = [g.reshape(-1, *s) for g, s in zip(given, shapes, strict=True)]
    found = [pullback([np.conj(c) for c in row]) for row in zip(*sets, strict=True)]
    pulled = [np.real(np.stack(g)) for g in zip(*found, strict=True)] if several else [np.real(g) for g in found[0]]
    nothing = np.zeros((len(found),) if several else ())
    return results, Gradients(nothing if c is None else pulled[c] for c in columns)


def jacobian(exact: Exact, arrays: Sequence[Array], columns: Sequence[int | None]) -> tuple[Any, list[Array]]:
    """Results, and for each measurement its derivatives (..., P), with the axes of its result in front."""
    if any(shape != own for (shape, _), (own, _) in zip(exact.result_types(), exact.own, strict=True)):
        raise DeviceError("ketgrad.qubit: Jacobians of broadcast tapes are taken after they are expanded")
    results, pullback = exact.forward(arrays, True)
    assert pullback is not None
    shapes = [shape for shape, _ in exact.result_types()]
    out = [np.zeros((*shape, len(columns))) for shape in shapes]
    for m, shape in enumerate(shapes):
        for where in itertools.product(*map(range, shape)):
            seeds = [np.zeros(s) for s in shapes]
            seeds[m][where] = 1.0
            gradients = pullback(seeds)
            out[m][where] = [0.0 if c is None else np.real(gradients[c]) for c in columns]
    return results, out


def nest(jacobians: Sequence[Array]) -> Any:
    """PennyLane's nesting: an array, a tuple, or a tuple of tuples; axes of length 1 are dropped."""
    if not jacobians[0].shape[-1]:
        return np.zeros(0)
    rows = [tuple(np.moveaxis(j, -1, 0)) if j.shape[-1] > 1 else j[..., 0] for j in jacobians]
    return rows[0] if len(rows) == 1 else tuple(rows)


def tangent_product(jacobians: Sequence[Array], tangents: Any) -> Any:
    """Jacobians times the tangents of the trainable parameters, one array for each measurement."""
    direction = np.array([float(qml.math.to_numpy(t)) for t in tangents])
    products = [np.asarray(j @ direction) for j in jacobians]
    return products[0] if len(products) == 1 else tuple(products)
