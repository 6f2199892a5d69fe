"""Differentiable numpy functions in JAX: a callback with a gradient of its own, under jit and vmap too.

Owns: the custom gradient, and what a callback promises about its results. May not know: circuits, models, devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import Differentiable


def _promise(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype))


def _values(function: Differentiable, *arrays: Any) -> tuple[Any, ...]:
    results, _ = function.forward([np.asarray(a) for a in arrays], False)
    kinds = [jax.dtypes.canonicalize_dtype(kind) for _, kind in function.result_types()]
    return tuple(np.asarray(r, dtype=k) for r, k in zip(results, kinds, strict=True))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _apply(function: Differentiable, *arrays: Any) -> tuple[Any, ...]:
    shapes = tuple(_promise(*kind) for kind in function.result_types())
    return jax.pure_callback(partial(_values, function), shapes, *arrays, vmap_method="expand_dims")  # type: ignore[no-any-return]


def _forward(function: Differentiable, *arrays: Any) -> tuple[Any, Any]:
    return _apply(function, *arrays), arrays


def _spread(arrays: Sequence[Any], axes: Sequence[int], lead: tuple[int, ...]) -> list[Any]:
    return [np.broadcast_to(a, (*lead, *a.shape[a.ndim - n :])) for a, n in zip(arrays, axes, strict=True)]


def _pull(function: Differentiable, arrays: Any, cotangents: Any) -> tuple[Any, ...]:
    """Gradients; where one argument or cotangent has axes in front, every gradient has them."""
    arrays, cotangents = [np.asarray(a) for a in arrays], [np.asarray(c) for c in cotangents]
    types = function.result_types()
    own = [len(shape) for shape, _ in types]
    fronts = [a.shape[: a.ndim - n] for a, n in zip((*arrays, *cotangents), (*function.axes, *own), strict=True)]
    if lead := np.broadcast_shapes(*fronts):
        arrays, cotangents = _spread(arrays, function.axes, lead), _spread(cotangents, own, lead)
    _, pullback = function.forward(arrays, True)
    assert pullback is not None
    gradients = pullback([np.conj(c) if k.kind == "c" else c for c, (_, k) in zip(cotangents, types, strict=True)])
    return tuple(
        np.asarray(np.conj(g) if np.iscomplexobj(a) else np.real(g), dtype=a.dtype)
        for g, a in zip(gradients, arrays, strict=True)
    )


def _backward(function: Differentiable, arrays: Any, cotangents: Any) -> tuple[Any, ...]:
    shapes = tuple(_promise(a.shape, a.dtype) for a in arrays)
    return jax.pure_callback(partial(_pull, function), shapes, arrays, cotangents, vmap_method="expand_dims")  # type: ignore[no-any-return]


_apply.defvjp(_forward, _backward)


def call(function: Differentiable, arrays: Sequence[Any]) -> Sequence[Any]:
    """The function's results as JAX arrays."""
    if any(isinstance(a, jax.core.Tracer) for a in arrays):
        return _apply(function, *(jnp.asarray(a) for a in arrays))  # type: ignore[no-any-return]
    return [jnp.asarray(r) for r in _values(function, *arrays)]
