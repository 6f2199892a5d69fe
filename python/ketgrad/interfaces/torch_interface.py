"""Differentiable numpy functions in torch: one autograd node for a whole call.

Owns: tensors to arrays and back, wherever they live. May not know: circuits, models, devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..errors import NotDifferentiableError
from . import THIRD, Arrays, Differentiable, second


def array(tensor: Any) -> np.ndarray[Any, Any]:
    """A tensor as an array, without its history; no copy where it is in the CPU's memory."""
    if not isinstance(tensor, torch.Tensor):
        return np.asarray(tensor)
    if tensor.ndim == 0 and not tensor.is_complex():
        return np.asarray(tensor.item())  # much quicker than through `numpy()`
    if tensor.is_cpu and not tensor.is_complex():
        return tensor.detach().numpy()  # type: ignore[no-any-return]
    return tensor.detach().cpu().resolve_conj().resolve_neg().numpy()  # type: ignore[no-any-return]


def _home(tensors: Sequence[Any]) -> torch.device | None:
    for t in tensors:
        if isinstance(t, torch.Tensor) and t.device.type != "cpu":
            return t.device
    return None


def _tensors(arrays: Arrays, home: torch.device | None) -> tuple[torch.Tensor, ...]:
    """Arrays, or the contiguous rows of one."""
    out = tuple(map(torch.from_numpy if isinstance(arrays, np.ndarray) else tensor, arrays))
    return out if home is None else tuple(t.to(home) for t in out)


def tensor(value: Any) -> torch.Tensor:
    array = value if isinstance(value, (np.ndarray, np.generic)) else np.asarray(value)
    if array.ndim:
        return torch.from_numpy(np.ascontiguousarray(array))
    if array.dtype == np.float64:
        return torch.scalar_tensor(array.item(), dtype=torch.float64)  # much quicker than `tensor`
    return torch.tensor(array)


def like(gradients: Arrays, tensors: Sequence[Any]) -> tuple[Any, ...]:
    """Gradients as tensors like those they belong to; None for what is no tensor."""
    out: list[Any] = []
    for t, g in zip(tensors, gradients, strict=True):
        if not isinstance(t, torch.Tensor):
            out.append(None)
            continue
        found = tensor(g.real if not t.is_complex() and np.iscomplexobj(g) else g)
        out.append(found if t.is_cpu and found.dtype is t.dtype else found.to(device=t.device, dtype=t.dtype))
    return tuple(out)


def _plain_arrays(tensors: Sequence[torch.Tensor]) -> list[Any]:
    """Of tensors of float64 numbers in the CPU's memory: what most calls have, and the quickest to take."""
    return [np.float64(t.item()) if not t.ndim else (t.detach() if t.requires_grad else t).numpy() for t in tensors]


def _save(ctx: Any, values: Sequence[Any]) -> list[Any]:
    """Keep tensors where torch watches over them; what is no tensor stays in the list that `_saved` reads."""
    ctx.save_for_backward(*(v for v in values if isinstance(v, torch.Tensor)))
    return [None if isinstance(v, torch.Tensor) else v for v in values]


def _saved(ctx: Any) -> list[Any]:
    tensors = iter(ctx.saved_tensors)
    if ctx.places is None:
        return list(tensors)
    return [next(tensors) if place is None else place for place in ctx.places]


class _Apply(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, function: Differentiable, *tensors: Any) -> tuple[torch.Tensor, ...]:
        ctx.function = function
        ctx.plain = all([isinstance(t, torch.Tensor) and t.dtype is torch.float64 and t.is_cpu for t in tensors])
        if ctx.plain:
            ctx.places = ctx.save_for_backward(*tensors)  # None
            results, ctx.pullback = function.forward(_plain_arrays(tensors), True)
            return _tensors(results, None)
        results, ctx.pullback = function.forward([array(t) for t in tensors], True)
        ctx.places = _save(ctx, tensors)
        return _tensors(results, _home(tensors))

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[Any, ...]:
        if ctx.plain and not torch.is_grad_enabled():
            gradients = ctx.pullback(_plain_arrays(cotangents))
            if isinstance(gradients, np.ndarray):  # one number each
                return (None, *torch.from_numpy(gradients).unbind())
            return (None, *[torch.from_numpy(np.ascontiguousarray(g, dtype=np.float64)) for g in gradients])
        tensors = _saved(ctx)
        if torch.is_grad_enabled():  # create_graph=True
            return (None, *_Pull.apply(ctx.function, ctx.pullback, len(cotangents), *cotangents, *tensors))
        return (None, *like(ctx.pullback([array(c) for c in cotangents]), tensors))


class _Pull(torch.autograd.Function):  # type: ignore[misc]
    """A pullback as a function of its cotangents and of the arguments."""

    @staticmethod
    def forward(ctx: Any, function: Differentiable, pullback: Any, count: int, *both: Any) -> tuple[Any, ...]:
        ctx.function, ctx.count, ctx.places = function, count, _save(ctx, both)
        return like(pullback([array(c) for c in both[:count]]), both[count:])

    @staticmethod
    def backward(ctx: Any, *along: Any) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise NotDifferentiableError(THIRD)
        both = _saved(ctx)
        arrays = [array(t) for t in both]
        cotangents, arguments = arrays[: ctx.count], arrays[ctx.count :]
        moves = [np.zeros(a.shape) if d is None else array(d) for a, d in zip(arguments, along, strict=True)]
        tangents, changes = second(ctx.function, arguments, cotangents, moves)
        return (None, None, None, *like([*tangents, *changes], both))


class Layer(torch.nn.Module):  # type: ignore[misc]
    """A function some of whose arguments are trained.

    Args:
        function: takes its inputs by position and `weights` by name.
        weights: of each, its initial value, or a shape: drawn uniformly from [0, 2 pi).
    """

    def __init__(self, function: Any, weights: dict[str, Any]) -> None:
        super().__init__()
        self.function = function
        self._names = tuple(weights)
        for name, value in weights.items():
            shape = isinstance(value, (int, tuple, list, torch.Size))
            start = torch.empty(value).uniform_(0, 2 * np.pi) if shape else torch.as_tensor(value).detach().clone()
            self.register_parameter(name, torch.nn.Parameter(start))

    def forward(self, *inputs: Any) -> Any:
        """The function of these inputs; several results side by side along the last axis of one tensor."""
        out = self.function(*inputs, **{name: getattr(self, name) for name in self._names})
        if not isinstance(out, torch.Tensor):
            lead = inputs[0].shape[:-1] if inputs else ()
            out = torch.cat([o.reshape(*lead, -1) for o in out], dim=-1)
        return out.to(inputs[0].dtype) if inputs else out


def call(function: Differentiable, tensors: Sequence[Any]) -> Sequence[torch.Tensor]:
    """The function's results as tensors, on the device of the arguments."""
    if torch.is_grad_enabled() and any(isinstance(t, torch.Tensor) and t.requires_grad for t in tensors):
        return _Apply.apply(function, *tensors)  # type: ignore[no-any-return]
    return _tensors(function.forward([array(t) for t in tensors], False)[0], _home(tensors))
