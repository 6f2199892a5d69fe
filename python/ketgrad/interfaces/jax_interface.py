"""Differentiable numpy functions in JAX: five primitives that know each other's derivatives.

Owns: what becomes of them under jit, vmap and differentiation. May not know: circuits, models, devices.

    values(x)         f(x)                                           changes by push
    push(x, d)        how f(x) changes along d                       changes by bend; its transpose is pull
    pull(x, c)        gradient by x of <c, f(x)>                     changes by turn; its transpose is push
    turn(x, c, d)     how pull(x, c) changes along d: a Hessian times d; its transposes are turn and bend
    bend(x, d, e)     how push(x, d) changes along e; its transposes are turn

All but the first are linear in what follows x. That is all that forward and reverse mode, and either over the other,
ask for. Arrays may have axes in front of their own, all the same number, some of length 1. A compiled program calls the
numpy function through the handler that jaxlib registers with XLA's foreign function interface; it hands over numpy
arrays, so nothing waits for a thread that runs the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import NamedSharding, PartitionSpec

from ..errors import BackendUnavailableError, NotDifferentiableError
from . import THIRD, Differentiable, common, second, wide

if jax.__version_info__ < (0, 7):  # where shard_map loses the sums over devices of primitives it does not know
    raise BackendUnavailableError(f"ketgrad needs JAX >= 0.7, found {jax.__version__}; use pip install -U jax")

Out = tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]  # shape and dtype of each result


# what they compute, in numpy


def _lead(arrays: Sequence[Any], axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Lengths of the axes in front of each array's own."""
    return [a.shape[: a.ndim - n] for a, n in zip(arrays, axes, strict=True)]


def _fronts(out: Out, axes: Sequence[int]) -> list[tuple[int, ...]]:
    return [shape[: len(shape) - n] for (shape, _), n in zip(out, axes, strict=True)]


def _spread(arrays: Sequence[Any], axes: Sequence[int], *leads: Sequence[tuple[int, ...]]) -> list[Any]:
    """Each array with axes in front as long as one of `leads` has them for it."""
    return [
        wide(a, common(*each) + a.shape[a.ndim - n :])
        for a, n, *each in zip(arrays, axes, _lead(arrays, axes), *leads, strict=True)
    ]


def _summed(array: Any, shape: tuple[int, ...]) -> Any:
    """The array in this shape, summed over the axes of length 1 that were longer."""
    if array.shape == shape:
        return array
    over = tuple(k for k, (n, wanted) in enumerate(zip(array.shape, shape, strict=True)) if n > wanted)
    return wide(array.sum(axis=over, keepdims=True) if over else array, shape)


def _finished(results: Sequence[Any], out: Out) -> list[Any]:
    pairs = zip(results, out, strict=True)
    return [_summed(np.asarray(r), shape).astype(kind, copy=False) for r, (shape, kind) in pairs]


def _smooth(function: Differentiable) -> list[int]:
    """Which results have a derivative: not samples, not counts."""
    return [k for k, (_, kind) in enumerate(function.result_types()) if kind.kind in "fc"]


def _cotangents(function: Differentiable, given: Sequence[Any], lead: tuple[int, ...]) -> list[Any]:
    """One for each result, as torch would write it, with these axes in front."""
    parts = iter(given)
    out = []
    for shape, kind in function.result_types():
        part = next(parts) if kind.kind in "fc" else np.zeros(shape)
        if part.shape != lead + shape:
            part = part.reshape((1,) * (len(lead) + len(shape) - part.ndim) + part.shape)
            part = wide(_summed(part, tuple(map(min, part.shape, lead + shape))), lead + shape)
        out.append(np.conj(part) if kind.kind == "c" else part)
    return out


def _to_jax(gradients: Sequence[Any], out: Out) -> list[Any]:
    """Without the conjugate; real where the argument is."""
    return [np.conj(g) if kind.kind == "c" else np.real(g) for g, (_, kind) in zip(gradients, out, strict=True)]


def _values(function: Differentiable, operands: Sequence[Any], out: Out, keep: bool = False) -> list[Any]:
    return _finished(function.forward(operands, keep and hasattr(function, "pullback"))[0], out)


def _pull(function: Differentiable, operands: Sequence[Any], out: Out) -> list[Any]:
    n = len(function.axes)
    arrays = _spread(operands[:n], function.axes, _fronts(out, function.axes))
    lead = common(*_lead(arrays, function.axes))
    pull = function.pullback(arrays) if hasattr(function, "pullback") else function.forward(arrays, True)[1]
    return _finished(_to_jax(pull(_cotangents(function, operands[n:], lead)), out), out)


def _changed(
    function: Differentiable, arrays: Sequence[Any], cotangents: Sequence[Any], along: Sequence[Any], leads: Any
) -> tuple[Sequence[Any], Sequence[Any]]:
    arrays = _spread(arrays, function.axes, _lead(along, function.axes), leads)
    along = _spread([np.real(a) for a in along], function.axes, _lead(arrays, function.axes))
    lead = common(*_lead(arrays, function.axes))
    return second(function, arrays, _cotangents(function, cotangents, lead), along)


def _push(function: Differentiable, operands: Sequence[Any], out: Out) -> list[Any]:
    n, smooth = len(function.axes), _smooth(function)
    still = [np.zeros(function.result_types()[k][0]) for k in smooth]
    found = _changed(function, operands[:n], still, operands[n:], [()] * n)[0]
    return _finished([found[k] for k in smooth], out)


def _turn(function: Differentiable, operands: Sequence[Any], out: Out) -> list[Any]:
    n, m = len(function.axes), len(_smooth(function))
    found = _changed(function, operands[:n], operands[n : n + m], operands[n + m :], _fronts(out, function.axes))[1]
    return _finished(_to_jax(found, out), out)


def _bend(function: Differentiable, operands: Sequence[Any], out: Out) -> list[Any]:
    """From `turn` by every component of the results."""
    n, types = len(function.axes), function.result_types()
    lead = common(*_lead(operands, [*function.axes] * 3))
    arrays, along, other = (_spread(operands[k : k + n], function.axes, [lead] * n) for k in (0, n, 2 * n))
    smooth, results = _smooth(function), []
    for k in smooth:
        shape, kind = types[k]
        found = np.zeros(lead + shape, dtype=kind)
        for at in np.ndindex(*shape):
            for unit in (1, 1j) if kind.kind == "c" else (1,):
                cotangents = [np.zeros(types[j][0], types[j][1]) for j in smooth]
                cotangents[smooth.index(k)][at] = np.conj(unit)
                changes = _changed(function, arrays, cotangents, along, [lead] * n)[1]
                moved = [
                    np.sum(np.real(np.conj(c) * e), axis=tuple(range(len(lead), c.ndim)))
                    for c, e in zip(changes, other, strict=True)
                ]
                found[(..., *at)] += unit * sum(moved)
        results.append(found)
    return _finished(results, out)


# as primitives


def _numpy(run: Any, function: Differentiable, params: dict[str, Any]) -> Callable[..., tuple[Any, ...]]:
    return lambda *operands: tuple(run(function, [np.asarray(a) for a in operands], **params))


def _callback(run: Any, *operands: Any, function: Differentiable, out: Out, **params: Any) -> Any:
    """For a JAX that has no way around its own callback, which puts the operands on a device once more."""
    shapes = tuple(jax.ShapeDtypeStruct(*each) for each in out)
    return jax.pure_callback(_numpy(run, function, {"out": out, **params}), shapes, *operands)


def _lower(run: Any, ctx: Any, *operands: Any, function: Differentiable, **params: Any) -> Any:
    call = _numpy(run, function, params)
    emit = mlir.emit_python_callback
    return emit(ctx, call, None, list(operands), ctx.avals_in, ctx.avals_out, has_side_effect=False)[0]


def _batch(primitive: Any, operands: Any, dims: Any, *, out: Out, **params: Any) -> Any:
    """One more axis in front; of length 1 for what does not vary along it."""
    pairs = list(zip(operands, dims, strict=True))
    (size,) = {a.shape[d] for a, d in pairs if d is not None}
    operands = [jnp.expand_dims(a, 0) if d is None else jnp.moveaxis(a, d, 0) for a, d in pairs]
    out = tuple(((size, *shape), kind) for shape, kind in out)
    return primitive.bind(*operands, out=out, **params), [0] * len(out)


def _abstract(*avals: Any, out: Out, **_: Any) -> list[Any]:
    """Each device has results of its own inside `shard_map`; elsewhere each has them in full."""
    like = next((a for a in avals if not a.sharding.mesh.empty), avals[0])
    place = NamedSharding(like.sharding.mesh, PartitionSpec())
    return [like.update(shape=shape, dtype=kind, weak_type=False, sharding=place) for shape, kind in out]


def _placed(arrays: list[Any]) -> list[Any]:
    """Arrays as one call takes them: whole, and inside `shard_map` each varying wherever one of them does."""
    if jax.sharding.get_abstract_mesh().manual_axes:
        return [sum((jnp.zeros_like(b, shape=(), dtype=a.dtype) for b in arrays if b is not a), a) for a in arrays]
    reshard = getattr(jax, "reshard", None) or jax.sharding.reshard  # the second until JAX 0.7
    places = [jax.typeof(a).sharding for a in arrays]  # names the axes of a mesh that are part of the type
    whole = [NamedSharding(p.mesh, PartitionSpec()) if any(p.spec) else None for p in places]
    return [a if p is None else reshard(a, p) for a, p in zip(arrays, whole, strict=True)]


def _primitive(name: str, run: Any) -> Any:
    primitive = Primitive(f"ketgrad_{name}")
    primitive.multiple_results = True

    def known(*operands: Any, function: Differentiable, **params: Any) -> list[Any]:
        results = run(function, [np.asarray(a) for a in operands], **params)  # nothing to compile
        return [jnp.asarray(r) for r in results]

    primitive.def_impl(known)
    primitive.def_abstract_eval(_abstract)
    if hasattr(mlir, "emit_python_callback"):
        mlir.register_lowering(primitive, partial(_lower, run))
    else:
        mlir.register_lowering(primitive, mlir.lower_fun(partial(_callback, run), multiple_results=True))
    batching.primitive_batchers[primitive] = partial(_batch, primitive)
    return primitive


_values_p, _push_p, _pull_p, _turn_p, _bend_p = (
    _primitive(run.__name__[1:], run) for run in (_values, _push, _pull, _turn, _bend)
)


# their derivatives


def _types(avals: Sequence[Any]) -> Out:
    return tuple((tuple(a.shape), np.dtype(a.dtype)) for a in avals)


def _moves(tangents: Sequence[Any]) -> bool:
    return any(type(t) is not ad.Zero for t in tangents)


def _filled(tangents: Sequence[Any]) -> list[Any]:
    return [ad.instantiate_zeros(t) for t in tangents]


def _added(parts: Sequence[Sequence[Any]]) -> list[Any]:
    return [sum(each[1:], each[0]) for each in zip(*parts, strict=True)]


def _values_jvp(primals: Any, tangents: Any, *, function: Differentiable, out: Out, keep: bool) -> Any:
    results = _values_p.bind(*primals, function=function, out=out, keep=True)
    smooth = _smooth(function)
    pushed = iter(_push_p.bind(*primals, *_filled(tangents), function=function, out=tuple(out[k] for k in smooth)))
    return results, [next(pushed) if k in smooth else ad.Zero.from_primal_value(r) for k, r in enumerate(results)]


def _linear_jvp(primitive: Any, change: Any, primals: Any, tangents: Any, *, function: Differentiable, out: Out) -> Any:
    """Of a primitive that is linear, or bilinear, in what follows x; `change` is what it changes by when x moves."""
    n, m = len(function.axes), len(_smooth(function))
    x, rest, dx, moved = primals[:n], primals[n:], tangents[:n], tangents[n:]
    sizes = {_push_p: (n,), _pull_p: (m,), _turn_p: (m, n), _bend_p: (n, n)}[primitive]
    parts, start = [], 0
    for size in sizes:
        here = slice(start, start + size)
        if _moves(moved[here]):
            each = [*rest[: here.start], *_filled(moved[here]), *rest[here.stop :]]
            parts.append(primitive.bind(*x, *each, function=function, out=out))
        start += size
    if _moves(dx):
        if change is None:
            raise NotDifferentiableError(THIRD)
        parts.append(change.bind(*x, *rest, *_filled(dx), function=function, out=out))
    return primitive.bind(*primals, function=function, out=out), _added(parts)


def _transpose(rule: Any, cts: Any, *operands: Any, function: Differentiable, out: Out) -> Any:
    """The rule gives the primitive and its operands for those of ours that are unknown: one group of them."""
    n, m = len(function.axes), len(_smooth(function))
    unknown = [k for k, a in enumerate(operands) if ad.is_undefined_primal(a)]
    transposed, known, where = rule(n, m, operands, _filled(cts), unknown[0])
    avals = [operands[k].aval if k in unknown else jax.typeof(operands[k]) for k in where]
    found = transposed.bind(*known, function=function, out=_types(avals))
    return [found[where.index(k)] if k in unknown else None for k in range(len(operands))]


def _push_transpose(n: int, m: int, operands: Any, cts: Any, _: int) -> Any:
    return _pull_p, (*operands[:n], *cts), range(n, 2 * n)


def _pull_transpose(n: int, m: int, operands: Any, cts: Any, _: int) -> Any:
    return _push_p, (*operands[:n], *cts), range(n, n + m)


def _turn_transpose(n: int, m: int, operands: Any, cts: Any, unknown: int) -> Any:
    if unknown < n + m:
        return _bend_p, (*operands[:n], *operands[n + m :], *cts), range(n, n + m)
    return _turn_p, (*operands[: n + m], *cts), range(n + m, 2 * n + m)


def _bend_transpose(n: int, m: int, operands: Any, cts: Any, unknown: int) -> Any:
    if unknown < 2 * n:
        return _turn_p, (*operands[:n], *cts, *operands[2 * n :]), range(n, 2 * n)
    return _turn_p, (*operands[:n], *cts, *operands[n : 2 * n]), range(2 * n, 3 * n)


ad.primitive_jvps[_values_p] = _values_jvp
for _p, _change, _rule in (
    (_push_p, _bend_p, _push_transpose),
    (_pull_p, _turn_p, _pull_transpose),
    (_turn_p, None, _turn_transpose),
    (_bend_p, None, _bend_transpose),
):
    ad.primitive_jvps[_p] = partial(_linear_jvp, _p, _change)
    ad.primitive_transposes[_p] = partial(_transpose, _rule)


def call(function: Differentiable, arrays: Sequence[Any]) -> Sequence[Any]:
    """The function's results as JAX arrays; axes in front of the arguments' own are the results' too."""
    if not arrays:  # nothing that JAX could follow
        return [jnp.asarray(value) for value in function.forward([], False)[0]]
    given = [jnp.asarray(a) for a in arrays]
    given = _placed([a if jnp.issubdtype(a.dtype, jnp.inexact) else a.astype(float) for a in given])
    lead = common(*_lead(given, function.axes))
    types = ((shape, jax.dtypes.canonicalize_dtype(kind)) for shape, kind in function.result_types())
    out = tuple((lead + shape, kind) for shape, kind in types)
    return _values_p.bind(*given, function=function, out=out, keep=False)  # type: ignore[no-any-return]
