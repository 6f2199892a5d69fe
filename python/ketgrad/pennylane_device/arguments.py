"""From the tensors of a tape, as arrays, to the weights, inputs and initial states of a model, and gradients back.

Owns: which angles vary, and the axes of batches. May not know: measurements, frameworks.

Axes of an argument, from the front: those that a framework added (JAX's vmap), then one of the tape's batch where the
argument is broadcast, then its own (the amplitudes of an initial state).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pennylane.exceptions import DeviceError

from ..model import Gradients

Array = npt.NDArray[Any]


def axes_of(tensors: Sequence[Any], has_initial: bool) -> tuple[list[int], int | None]:
    """How many axes each argument has, and the tape's batch or None."""
    axes = [getattr(t, "ndim", 0) for t in tensors]
    if not any(axes):
        return axes, None
    own = [0] * len(tensors)
    if has_initial:
        own[-1] = 1
    batches = [int(t.shape[0]) for t, n, o in zip(tensors, axes, own, strict=True) if n > o]
    return axes, batches[0] if batches else None


class Batch:
    """The axes that results have before their own, and how they stand to the one batch of a model.

    Attributes:
        lead: axes that a framework added.
        shape: those, and one of the tape's batch where it has one.
        batched: whether the model gives a result for each sample.
    """

    lead: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    batched = False

    def _set_axes(self, arrays: Sequence[Array], axes: Sequence[int], batch: int | None) -> list[tuple[int, ...]]:
        """Find lead and shape; gives each argument's axes in front."""
        fronts = [a.shape[: a.ndim - n] for a, n in zip(arrays, axes, strict=True)]
        self.lead = np.broadcast_shapes(*fronts) if any(fronts) else ()
        self.shape = self.lead if batch is None else (*self.lead, batch)
        return fronts

    def spread(self, values: Array) -> Array:
        """Results of the model, (count, ...) or (...), with the axes they have for the caller."""
        if self.batched:
            return values.reshape(*self.shape, *values.shape[1:])
        if not self.shape:
            return values[()]
        return np.array(np.broadcast_to(values, (*self.shape, *values.shape)))  # the caller may write to it

    def gather(self, cotangents: Array, own: int) -> Array:
        """Cotangents of the caller's results as those of the model's; `own` axes are the result's."""
        if not self.shape:
            return cotangents
        tail = cotangents.shape[cotangents.ndim - own :]
        whole = (*self.shape, *tail)
        rows = (cotangents if cotangents.shape == whole else np.broadcast_to(cotangents, whole)).reshape(-1, *tail)
        return rows if self.batched else rows.sum(axis=0)


class Arguments(Batch):
    """The arguments of one call.

    Args:
        arrays: the angles, then the initial state where there is one.
        axes: of each, how many it has without a framework's.
        batch: of the tape, or None.
        has_initial: whether the last one is an initial state.

    Attributes:
        pattern: for each angle, whether it varies.
        weights, inputs, initial: for the model.
    """

    def __init__(self, arrays: Sequence[Array], axes: Sequence[int], batch: int | None, has_initial: bool) -> None:
        self._arrays, self._axes, self._batch = arrays, axes, batch
        numbers = not any([not isinstance(a, np.float64) and (a.ndim or a.dtype != np.float64) for a in arrays])
        self._plain = numbers and batch is None and not has_initial
        if self._plain:  # nothing but numbers
            self.pattern = (False,) * len(arrays)
            self.weights, self.inputs, self.initial = np.array(arrays, dtype=np.float64), None, None
            return
        angles = arrays[:-1] if has_initial else arrays
        self._set_axes(arrays, axes, batch)
        self.pattern = tuple([a.size > 1 for a in angles])
        plain = [_real(a).reshape(()) for a in angles if a.size <= 1]  # a batch of one is plain too
        self.weights = np.array(plain, dtype=np.float64)
        varied = [self._column(a, n) for a, n in zip(angles, axes, strict=False) if a.size > 1]
        self.inputs = np.stack(varied, axis=1) if varied else None
        self.initial = self._states() if has_initial else None
        self.batched = self.inputs is not None or (self.initial is not None and self.initial.ndim == 2)

    def _whole(self, array: Array, axes: int) -> Array:
        """With an axis for the tape's batch, of length 1 where the argument is not broadcast."""
        return array if self._batch is None or axes else array[..., None]

    def _column(self, array: Array, axes: int) -> Array:
        whole = self._whole(_real(array), axes)
        return (whole if whole.shape == self.shape else np.broadcast_to(whole, self.shape)).reshape(-1)

    def _states(self) -> Array:
        array, axes = self._arrays[-1], self._axes[-1]
        size = array.shape[-1]
        if array.size == size:
            return array.reshape(size)
        if self._batch is not None and axes == 1:
            array = array[..., None, :]
        return np.broadcast_to(array, (*self.shape, size)).reshape(-1, size)

    def gradients(self, found: Gradients) -> Any:
        """Of each argument, in its shape."""
        if self._plain:
            return found.weights
        plain, varied = iter(found.weights), iter(np.moveaxis(found.inputs, -1, 0) if self.inputs is not None else ())
        out = []
        for array, axes, varies in zip(self._arrays, self._axes, self.pattern, strict=False):
            if not varies:
                out.append(np.asarray(next(plain)).reshape(array.shape))
            else:
                whole = self._whole(array, axes).shape
                out.append(sum_to(next(varied).reshape(self.shape), whole).reshape(array.shape))
        if self.initial is not None:
            out.append(self._initial_gradient(found))
        return out

    def _initial_gradient(self, found: Gradients) -> Array:
        array, axes = self._arrays[-1], self._axes[-1]
        if found.initial is None:  # nobody asked
            return np.zeros(array.shape, dtype=complex)
        g = 2 * found.initial  # a change of the argument changes the sum by Re <g|change>
        if g.ndim == 1:
            return g.reshape(array.shape)
        whole = array[..., None, :].shape if self._batch is not None and axes == 1 else array.shape
        return sum_to(g.reshape(*self.shape, g.shape[-1]), whole).reshape(array.shape)


def sum_to(array: Array, shape: tuple[int, ...]) -> Array:
    """The sum over the axes along which `shape` was broadcast."""
    extra = array.ndim - len(shape)
    array = array.sum(axis=tuple(range(extra))) if extra else array
    ones = tuple(k for k, (have, want) in enumerate(zip(array.shape, shape, strict=True)) if want == 1 != have)
    return array.sum(axis=ones, keepdims=True) if ones else array


def _real(array: Array) -> Array:
    if array.dtype.kind != "c":
        return array
    if np.any(array.imag):
        raise DeviceError(f"ketgrad.qubit: an angle is a real number, got {array}")
    return array.real
