"""Adjoint derivatives of tapes of expectation values, in the shapes PennyLane expects.

Owns: from the engine's Jacobian and pullback to PennyLane's nesting. May not know: configurations, trackers.
A trainable parameter that is no angle of the circuit (an observable's coefficient) has derivative zero here; the
preprocessing has warned of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pennylane as qml

Array = npt.NDArray[np.float64]


def trainable_columns(tape: Any, slots: Sequence[int | None]) -> list[int | None]:
    """For each trainable parameter of the tape, the angle it is, or None."""
    return [slots[i] if i < len(slots) else None for i in tape.trainable_params]


def pick(gradient: Array, columns: Sequence[int | None]) -> Array:
    """(..., angles) -> (..., trainable parameters)."""
    out = np.zeros((*gradient.shape[:-1], len(columns)))
    for k, column in enumerate(columns):
        if column is not None:
            out[..., k] = gradient[..., column]
    return out


class Gradients(tuple[Any, ...]):
    """One gradient for each trainable parameter, numbers beside (B,) arrays.

    PennyLane's torch interface asks `np.squeeze(gradients).shape` whether there are any; numpy would refuse to make an
    array of different shapes, and asks this method first.
    """

    def squeeze(self) -> npt.NDArray[np.bool_]:
        return np.ones(len(self), dtype=bool)


def pick_each(gradients: Sequence[Any], columns: Sequence[int | None]) -> Gradients:
    """One gradient for each trainable parameter, from one for each angle."""
    return Gradients(np.zeros(()) if column is None else gradients[column] for column in columns)


def pull_batch(
    pullback: Callable[[Array], Any], cotangents: Any, measurements: int, batch: int, batched: Sequence[bool]
) -> list[Array]:
    """Gradients of a broadcast tape: (B,) for a broadcast angle, a number for any other; with K cotangents at once,
    one axis more in front."""
    parts = [cotangents] if measurements == 1 else list(cotangents)
    arrays = [np.real(np.asarray(qml.math.to_numpy(c), dtype=complex)) for c in parts]
    sets = np.stack([a.reshape(-1, batch) for a in arrays], axis=-1)  # (K, B, M)
    pulled = [pullback(np.ascontiguousarray(c)) for c in sets]
    weights, inputs = np.array([g.weights for g in pulled]), np.array([g.inputs for g in pulled])
    plain, varied = itertools.count(), itertools.count()
    out = [inputs[:, :, next(varied)] if b else weights[:, next(plain)] for b in batched]
    return out if arrays[0].ndim > 1 else [g[0] for g in out]


def nest(jacobian: Array) -> Any:
    """(M, P) -> PennyLane's nesting: an array, a tuple, or a tuple of tuples; axes of length 1 are dropped."""
    measurements, parameters = jacobian.shape
    if not parameters:
        return np.zeros(0)
    rows = [tuple(np.array(v) for v in row) if parameters > 1 else np.array(row[0]) for row in jacobian]
    return rows[0] if measurements == 1 else tuple(rows)


def cotangent_rows(cotangents: Any, measurements: int) -> Array:
    """PennyLane's cotangents of one tape as (M,), or (M, K) where there are K of them at once."""
    parts = [cotangents] if measurements == 1 else list(cotangents)
    arrays = [np.real(np.asarray(qml.math.to_numpy(c), dtype=complex)) for c in parts]
    if measurements == 1 and arrays[0].shape == (1,) and isinstance(cotangents, (tuple, list)):
        arrays = [arrays[0][0]]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    return np.array([np.broadcast_to(a, shape) for a in arrays], dtype=np.float64)


def tangent_product(jacobian: Array, tangents: Any) -> Any:
    """(M, P) times the tangents of the trainable parameters, one number for each measurement."""
    product = jacobian @ np.array([float(qml.math.to_numpy(t)) for t in tangents])
    return np.array(product[0]) if len(product) == 1 else tuple(np.array(v) for v in product)
