"""A differentiable function of inputs and weights as operators of torch, for whatever traces or transforms a call.

Owns: `ketgrad::values`, `ketgrad::pullback`, `ketgrad::second`; their shapes, derivatives and vmap rules, and which
function a name stands for. May not know: circuits, models. Outside of `torch.compile`, `torch.export` and `torch.func`
a node of autograd (`torch_interface`) does the same with less work per call.

What the forward sweep left for the way back is no tensor. It travels as an attribute of one, the receipt, which lives
as long as torch keeps it; where it gets lost, the sweep is repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..errors import ArgumentError, NotDifferentiableError
from . import THIRD, Differentiable, second
from .torch_interface import array, like, tensor


class Named(Differentiable, Protocol):
    """What a name stands for: a function of inputs (..., F) and weights with one real result (..., M)."""

    def seeded(self, seed: Sequence[int]) -> Named:
        """The same with draws from another seed."""
        ...


FUNCTIONS: WeakValueDictionary[str, Named] = WeakValueDictionary()

_LIBRARY = torch.library.Library("ketgrad", "FRAGMENT")
_DEFINITIONS = (
    "values(Tensor inputs, Tensor weights, Tensor? draw, str function, bool keep) -> (Tensor, Tensor)",
    "pullback(Tensor cotangents, Tensor inputs, Tensor weights, Tensor? draw, Tensor receipt, str function) "
    "-> (Tensor, Tensor)",
    "second(Tensor along_inputs, Tensor along_weights, Tensor cotangents, Tensor inputs, Tensor weights, str function) "
    "-> (Tensor, Tensor, Tensor)",
)
for _definition in _DEFINITIONS:
    _LIBRARY.define(_definition, tags=(torch.Tag.pt2_compliant_tag,))


def wanted() -> bool:
    """Whether somebody traces or transforms what runs now, and has to see operators."""
    return bool(
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or forward_ad._current_level >= 0
    )


def _function(name: str, draw: Tensor | None = None) -> Named:
    found = FUNCTIONS.get(name)
    if found is None:
        raise ArgumentError(
            f"this graph calls the circuit {name!r}, which no layer of this process has; make the kg.torch.Layer that "
            "it was compiled or exported from, or one of the same circuit, and keep it"
        )
    return found if draw is None else found.seeded(draw.tolist())


# what they compute


def _forward(function: Named, inputs: Tensor, weights: Tensor, keep: bool) -> tuple[Any, Any]:
    return function.forward([array(inputs), array(weights)], keep)


def _values(inputs: Tensor, weights: Tensor, draw: Tensor | None, function: str, keep: bool) -> tuple[Tensor, Tensor]:
    (result,), pull = _forward(_function(function, draw), inputs, weights, keep)
    receipt = torch.empty(0, dtype=torch.uint8)
    if keep:
        receipt._ketgrad_pull = pull
    return tensor(result), receipt


def _pulled(
    cotangents: Tensor, inputs: Tensor, weights: Tensor, draw: Tensor | None, receipt: Tensor, function: str
) -> tuple[Tensor, Tensor]:
    pull = getattr(receipt, "_ketgrad_pull", None)
    if pull is None:
        _, pull = _forward(_function(function, draw), inputs, weights, True)
    return like(pull([array(cotangents)]), (inputs, weights))


def _changed(
    along_inputs: Tensor, along_weights: Tensor, cotangents: Tensor, inputs: Tensor, weights: Tensor, function: str
) -> tuple[Tensor, Tensor, Tensor]:
    arrays, along = [array(inputs), array(weights)], [array(along_inputs), array(along_weights)]
    tangents, changes = second(_function(function), arrays, [array(cotangents)], along)
    return like([*tangents, *changes], (cotangents, inputs, weights))


# what shapes they have


@torch.library.register_fake("ketgrad::values", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _values_shapes(inputs: Tensor, weights: Tensor, draw: Any, function: str, keep: bool) -> tuple[Tensor, Tensor]:
    ((own, _),) = _function(function).result_types()
    return inputs.new_empty((*inputs.shape[:-1], *own), dtype=torch.float64), inputs.new_empty(0, dtype=torch.uint8)


@torch.library.register_fake("ketgrad::pullback", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _pullback_shapes(cotangents: Tensor, inputs: Tensor, weights: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return inputs.new_empty(inputs.shape), weights.new_empty(weights.shape)


@torch.library.register_fake("ketgrad::second", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _second_shapes(
    along_inputs: Tensor, along_weights: Tensor, cotangents: Tensor, inputs: Tensor, weights: Tensor, *_: Any
) -> tuple[Tensor, ...]:
    return tuple(t.new_empty(t.shape) for t in (cotangents, inputs, weights))


# how they are differentiated


def values(inputs: Tensor, weights: Tensor, draw: Tensor | None, function: str, keep: bool) -> tuple[Tensor, Tensor]:
    """Values (..., M) of inputs (..., F) and weights, P numbers in any shape, and a receipt.

    Args:
        draw: integers, the seed of the shots; None where the function has none.
        function: its name in `FUNCTIONS`, which has to live as long as what is made of this.
        keep: whether there will be a way back.
    """
    found: tuple[Tensor, Tensor] = _run("values", inputs, weights, draw, function, keep)
    return found


def _run(name: str, *args: Any) -> Any:
    """An operator; as a node where torch.func follows it, which takes no derivatives of operators."""
    followed = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    if followed and not torch.compiler.is_compiling():  # dynamo takes no nodes with a `jvp`
        return _NODES[name].apply(*args)
    return getattr(torch.ops.ketgrad, name)(*args)


def _or_zeros(changes: Sequence[Tensor | None], tensors: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(t) if d is None else d for d, t in zip(changes, tensors, strict=True)]


class _Values(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(inputs: Tensor, weights: Tensor, draw: Any, function: str, keep: bool) -> Any:
        return torch.ops.ketgrad.values(inputs, weights, draw, function, keep)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, w, draw, ctx.function, _ = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(x, w, draw, output[1])
        ctx.save_for_forward(x, w)

    @staticmethod
    def backward(ctx: Any, cotangents: Tensor, _: Any) -> tuple[Any, ...]:
        x, w, draw, receipt = ctx.saved_tensors
        return (*_run("pullback", cotangents, x, w, draw, receipt, ctx.function), None, None, None)

    @staticmethod
    def jvp(ctx: Any, along_x: Any, along_w: Any, *_: Any) -> tuple[Any, ...]:
        x, w = ctx.saved_tensors[:2]
        along = _or_zeros((along_x, along_w), (x, w))
        own = _function(ctx.function).result_types()[0][0]
        nothing = x.new_zeros((*x.shape[:-1], *own), dtype=torch.float64)
        return _run("second", *along, nothing, x, w, ctx.function)[0], None

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *args: Any) -> tuple[Any, Any]:
        if in_dims[1] is None and in_dims[2] is None:  # an axis of the inputs alone makes the batch larger
            return values(args[0].movedim(in_dims[0], 0), *args[1:]), (0, None)
        return _one_by_one("values", info, in_dims, args)


class _Pullback(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(cotangents: Tensor, inputs: Tensor, weights: Tensor, draw: Any, receipt: Tensor, function: str) -> Any:
        return torch.ops.ketgrad.pullback(cotangents, inputs, weights, draw, receipt, function)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        c, x, w, draw, receipt, ctx.function = inputs
        ctx.save_for_backward(c, x, w, draw, receipt)
        ctx.save_for_forward(c, x, w, draw, receipt)

    @staticmethod
    def backward(ctx: Any, along_x: Tensor, along_w: Tensor) -> tuple[Any, ...]:
        return (*_run("second", along_x, along_w, *ctx.saved_tensors[:3], ctx.function), None, None, None)

    @staticmethod
    def jvp(ctx: Any, along_c: Any, along_x: Any, along_w: Any, *_: Any) -> tuple[Any, ...]:
        c, x, w, draw, receipt = ctx.saved_tensors
        dc, dx, dw = _or_zeros((along_c, along_x, along_w), (c, x, w))
        first = _run("pullback", dc, x, w, draw, receipt, ctx.function)
        changes = _run("second", dx, dw, c, x, w, ctx.function)[1:]
        return first[0] + changes[0], first[1] + changes[1]

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *args: Any) -> tuple[Any, Any]:
        cotangents, inputs, weights, draw, receipt, function = args
        if any(d is not None for d in in_dims[1:4]):  # then the receipt is not for one of them
            receipt = torch.zeros_like(receipt)
        return _one_by_one("pullback", info, in_dims, (cotangents, inputs, weights, draw, receipt, function))


class _Second(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        along_inputs: Tensor, along_weights: Tensor, cotangents: Tensor, inputs: Tensor, weights: Tensor, function: str
    ) -> Any:
        return torch.ops.ketgrad.second(along_inputs, along_weights, cotangents, inputs, weights, function)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise NotDifferentiableError(THIRD)

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        raise NotDifferentiableError(THIRD)

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *args: Any) -> tuple[Any, Any]:
        return _one_by_one("second", info, in_dims, args)


def _one_by_one(name: str, info: Any, in_dims: Sequence[int | None], args: Sequence[Any]) -> tuple[Any, Any]:
    rows = [
        _run(name, *(a if d is None else a.select(d, k) for a, d in zip(args, in_dims, strict=True)))
        for k in range(info.batch_size)
    ]
    out = tuple(torch.stack(part) for part in zip(*rows, strict=True))
    return out, (0,) * len(out)


_NODES: dict[str, Any] = {"values": _Values, "pullback": _Pullback, "second": _Second}
for _name, _kernel in (("values", _values), ("pullback", _pulled), ("second", _changed)):
    _node = _NODES[_name]
    _LIBRARY.impl(_name, _kernel, "CPU")
    torch.library.register_autograd(
        f"ketgrad::{_name}", _node.backward, setup_context=_node.setup_context, lib=_LIBRARY
    )
    torch.library.register_vmap(f"ketgrad::{_name}", _node.vmap, lib=_LIBRARY)
