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

from . import Differentiable, second


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


def _are_known(*arrays: Any) -> bool:
    """Whether no transformation of JAX follows them; then no callback is needed, which JAX would compile each time."""
    return not any(isinstance(a, jax.core.Tracer) for a in arrays)


def _forward(function: Differentiable, *arrays: Any) -> tuple[Any, Any]:
    if _are_known(*arrays):
        return tuple(map(jnp.asarray, _values(function, *arrays))), arrays
    return _apply(function, *arrays), arrays


def _spread(arrays: Sequence[Any], axes: Sequence[int], lead: tuple[int, ...]) -> list[Any]:
    return [np.broadcast_to(a, (*lead, *a.shape[a.ndim - n :])) for a, n in zip(arrays, axes, strict=True)]


def _aligned(function: Differentiable, arrays: Any, cotangents: Any, along: Any = ()) -> tuple[list[Any], ...]:
    """As arrays, all with the axes in front that one of them has; cotangents as torch would write them."""
    arrays, cotangents, along = ([np.asarray(a) for a in part] for part in (arrays, cotangents, along))
    types = function.result_types()
    own = [len(shape) for shape, _ in types]
    every = (*zip(arrays, function.axes, strict=True), *zip(cotangents, own, strict=True))
    every += tuple(zip(along, function.axes, strict=False))
    if lead := np.broadcast_shapes(*(a.shape[: a.ndim - n] for a, n in every)):
        arrays, cotangents = _spread(arrays, function.axes, lead), _spread(cotangents, own, lead)
        along = _spread(along, function.axes, lead) if along else []
    cotangents = [np.conj(c) if k.kind == "c" else c for c, (_, k) in zip(cotangents, types, strict=True)]
    return arrays, cotangents, along


def _like(gradients: Any, arrays: Any) -> tuple[Any, ...]:
    return tuple(
        np.asarray(np.conj(g) if np.iscomplexobj(a) else np.real(g), dtype=a.dtype)
        for g, a in zip(gradients, arrays, strict=True)
    )


def _gradients(function: Differentiable, arrays: Any, cotangents: Any) -> tuple[Any, ...]:
    """Gradients; where one argument or cotangent has axes in front, every gradient has them."""
    arrays, cotangents, _ = _aligned(function, arrays, cotangents)
    _, pullback = function.forward(arrays, True)
    assert pullback is not None
    return _like(pullback(cotangents), arrays)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pull(function: Differentiable, arrays: Any, cotangents: Any) -> tuple[Any, ...]:
    shapes = tuple(_promise(a.shape, a.dtype) for a in arrays)
    return jax.pure_callback(  # type: ignore[no-any-return]
        partial(_gradients, function), shapes, arrays, cotangents, vmap_method="expand_dims"
    )


def _changes(function: Differentiable, arrays: Any, cotangents: Any, along: Any) -> tuple[Any, ...]:
    arrays, rows, moves = _aligned(function, arrays, cotangents, along)
    tangents, changes = second(function, arrays, rows, [np.real(m) for m in moves])
    by_cotangent = tuple(
        np.asarray(t if np.iscomplexobj(c) else np.real(t), dtype=np.asarray(c).dtype)
        for t, c in zip(tangents, cotangents, strict=True)
    )
    return _like(changes, arrays), by_cotangent


def _pull_forward(function: Differentiable, arrays: Any, cotangents: Any) -> tuple[Any, Any]:
    return _pull(function, arrays, cotangents), (arrays, cotangents)


def _pull_backward(function: Differentiable, saved: Any, along: Any) -> tuple[Any, Any]:
    shapes = tuple(tuple(_promise(a.shape, a.dtype) for a in part) for part in saved)
    return jax.pure_callback(  # type: ignore[no-any-return]
        partial(_changes, function), shapes, *saved, along, vmap_method="expand_dims"
    )


def _backward(function: Differentiable, arrays: Any, cotangents: Any) -> tuple[Any, ...]:
    if _are_known(*arrays, *cotangents):
        return tuple(map(jnp.asarray, _gradients(function, arrays, cotangents)))
    return _pull(function, arrays, cotangents)  # type: ignore[no-any-return]


_apply.defvjp(_forward, _backward)
_pull.defvjp(_pull_forward, _pull_backward)


def call(function: Differentiable, arrays: Sequence[Any]) -> Sequence[Any]:
    """The function's results as JAX arrays."""
    if _are_known(*arrays):
        return [jnp.asarray(r) for r in _values(function, *arrays)]
    return _apply(function, *(jnp.asarray(a) for a in arrays))  # type: ignore[no-any-return]
