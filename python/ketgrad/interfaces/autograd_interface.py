"""Differentiable numpy functions in autograd, the framework of PennyLane's own numpy.

Owns: the primitive and its gradient. May not know: circuits, models, devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from autograd import numpy as anp
from autograd.extend import Box, defvjp_argnums, primitive
from autograd.tracer import getval

from ..errors import NotDifferentiableError
from . import SECOND, THIRD, Differentiable, second


class _Cell:
    """The pullback of one call, on its way from the primitive to its gradient."""

    pullback: Any = None


@primitive  # type: ignore[untyped-decorator]
def _apply(function: Differentiable, cell: _Cell, *arrays: Any) -> Any:
    """All results behind one another: autograd knows no function of several."""
    results, cell.pullback = function.forward([np.asarray(a) for a in arrays], True)
    return np.concatenate([np.ravel(r) for r in results])


def _gradient(argnums: tuple[int, ...], ans: Any, args: Any, _: Any) -> Callable[[Any], tuple[Any, ...]]:
    function, cell, *arrays = args

    def vjp(g: Any) -> tuple[Any, ...]:
        if isinstance(g, Box) or any(isinstance(a, Box) for a in arrays):
            flat = _pull(function, g, *arrays)  # somebody differentiates the gradient
            starts = np.cumsum([0, *(np.size(getval(a)) for a in arrays)])
            return tuple(
                anp.reshape(flat[starts[n - 2] : starts[n - 1]], np.shape(getval(arrays[n - 2]))) for n in argnums
            )
        gradients = cell.pullback(_parts(function, g))
        return tuple(_like(gradients[n - 2], arrays[n - 2]) for n in argnums)

    return vjp


def _parts(function: Differentiable, flat: Any) -> list[Any]:
    """Cotangents of the results behind one another, as torch would write them."""
    out, start = [], 0
    for shape, kind in function.result_types():
        size = int(np.prod(shape, dtype=int))
        part = np.reshape(flat[start : start + size], shape)
        out.append(part.conj() if kind.kind == "c" else part.real)
        start += size
    return out


def _like(gradient: Any, array: Any) -> Any:
    return np.conj(gradient) if np.iscomplexobj(array) else np.real(gradient)


@primitive  # type: ignore[untyped-decorator]
def _pull(function: Differentiable, g: Any, *arrays: Any) -> Any:
    """All gradients behind one another."""
    if any(np.iscomplexobj(a) for a in arrays):
        raise NotDifferentiableError(SECOND)
    _, pullback = function.forward([np.asarray(a) for a in arrays], True)
    return np.concatenate([np.ravel(np.real(x)) for x in pullback(_parts(function, g))])


def _second(argnums: tuple[int, ...], ans: Any, args: Any, _: Any) -> Callable[[Any], tuple[Any, ...]]:
    function, g, *arrays = args

    def vjp(v: Any) -> tuple[Any, ...]:
        if any(isinstance(a, Box) for a in (v, g, *arrays)):
            raise NotDifferentiableError(THIRD)
        starts = np.cumsum([0, *(np.size(a) for a in arrays)])
        along = [np.reshape(v[a:b], np.shape(x)) for a, b, x in zip(starts, starts[1:], arrays, strict=False)]
        tangents, changes = second(function, [np.asarray(a) for a in arrays], _parts(function, g), along)
        flat = np.concatenate([np.ravel(t) for t in tangents])
        found = [flat if np.iscomplexobj(g) else flat.real, *(np.real(c) for c in changes)]
        return tuple(found[n - 1] for n in argnums)

    return vjp


defvjp_argnums(_apply, _gradient)
defvjp_argnums(_pull, _second)


def call(function: Differentiable, arrays: Sequence[Any]) -> Sequence[Any]:
    """The function's results as autograd arrays."""
    if not any(isinstance(a, Box) for a in arrays):
        results, _ = function.forward([np.asarray(a) for a in arrays], False)
        return results
    flat = _apply(function, _Cell(), *arrays)
    out, start = [], 0
    for shape, kind in function.result_types():
        size = int(np.prod(shape, dtype=int))
        part = flat[start : start + size] if shape else flat[start]
        part = anp.reshape(part, shape) if len(shape) > 1 else part
        out.append(part if kind.kind == "c" or np.dtype(flat.dtype).kind != "c" else anp.real(part))
        start += size
    return out
