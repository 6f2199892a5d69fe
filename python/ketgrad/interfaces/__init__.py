"""Differentiable numpy functions as functions of torch, JAX and autograd tensors.

Owns: `Differentiable`, what such a function is, and `call`, which finds the framework. Each framework has a module of
its own, imported on first use. May not know: circuits, models, devices.

Complex numbers: a cotangent g of a complex array y stands for the change Re <g|dy>, as in torch; the modules for JAX
and autograd, which leave out the conjugate, translate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import NotDifferentiableError

Arrays = Sequence[npt.NDArray[Any]]
Pullback = Callable[[Arrays], list[npt.NDArray[Any]]]
SECOND = "ketgrad: there are no second derivatives of this; try diff_method='parameter-shift' with max_diff=2"
THIRD = "ketgrad: there are no third derivatives; in a QNode, try diff_method='parameter-shift' with max_diff=3"


class Differentiable(Protocol):
    """A function of arrays with several arrays as results, and its pullback.

    It may have two methods more: `second`, see there; and `pullback(arrays)`, which gives what
    `forward(arrays, True)[1]` gives, for a framework that cannot hand the pullback on, and is quick after `forward`.
    """

    @property
    def axes(self) -> Sequence[int]:
        """How many axes each argument has of its own."""
        ...

    def forward(self, arrays: Arrays, differentiate: bool) -> tuple[Arrays, Any]:
        """Results, or the rows of one array, and where wanted the pullback from their cotangents to the arguments'.

        Every argument may have further axes in front of its own, in common or of length 1 (JAX's vmap); results then
        have them all, and gradients those of their argument.
        """
        ...

    def result_types(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and dtype of each result, without further axes."""
        ...


def second(
    function: Differentiable, arrays: Arrays, cotangents: Arrays, along: Arrays
) -> tuple[Sequence[npt.NDArray[Any]], Sequence[npt.NDArray[Any]]]:
    """When the arguments move along a direction: how the results change, and how the gradients for these cotangents.

    A function has it as a method `second`, with the same arguments, or refuses.

    Raises:
        NotDifferentiableError: it refuses.
    """
    method = getattr(function, "second", None)
    if method is None:
        raise NotDifferentiableError(SECOND)
    return method(arrays, cotangents, along)  # type: ignore[no-any-return]


@lru_cache(maxsize=1024)
def common(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """`numpy.broadcast_shapes`, remembered: the same few come back in every step of a training."""
    return np.broadcast_shapes(*shapes)


def wide(array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """`numpy.broadcast_to`, which takes its time even where there is nothing to do."""
    return array if array.shape == shape else np.broadcast_to(array, shape)


def framework(tensors: Sequence[Any]) -> str:
    """Whose tensors these are: "torch", "jax", "autograd" or "numpy"."""
    for t in tensors:
        home = _home_of(type(t))  # type: ignore[arg-type]
        if home != "numpy":
            return home
    return "numpy"


@lru_cache(maxsize=256)
def _home_of(kind: type) -> str:
    home = kind.__module__.partition(".")[0]
    return {"torch": "torch", "autograd": "autograd", "jax": "jax", "jaxlib": "jax"}.get(home, "numpy")


def call(function: Differentiable, tensors: Sequence[Any], interface: str) -> Sequence[Any]:
    """The results as tensors of the framework ("numpy", "autograd", "torch" or "jax"), differentiable where it asks."""
    return _caller(interface)(function, tensors)  # type: ignore[no-any-return]


@lru_cache(maxsize=8)
def _caller(interface: str) -> Callable[..., Any]:
    if interface == "numpy":
        return _call_numpy
    return import_module(f".{interface}_interface", __name__).call  # type: ignore[no-any-return]


def _call_numpy(function: Differentiable, tensors: Sequence[Any]) -> Sequence[Any]:
    return function.forward([np.asarray(t) for t in tensors], False)[0]
