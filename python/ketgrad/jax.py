"""`ketgrad.jax`: a model as a differentiable function of JAX arrays.

Owns: what JAX's users hand in and get back. May not know: how JAX calls us, how the engine runs.

Example:
    >>> values = kg.jax.function(model)
    >>> step = jax.jit(jax.value_and_grad(lambda w, x, y: ((values(w, x)[:, 0] - y) ** 2).mean()))
    >>> loss, gradient = step(weights, inputs, labels)

With optax:
    >>> loss, gradient = step(weights, inputs, labels)
    >>> updates, state = optimizer.update(gradient, state)
    >>> weights = optax.apply_updates(weights, updates)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from .circuit import Circuit
from .combined_function import CombinedFunction
from .errors import ArgumentError, ArgumentTypeError, ParameterError
from .interfaces import jax_interface
from .mitigation.combination import Mitigated
from .model import Model, compile_circuit
from .model_function import ModelFunction
from .pauli import PauliSum

__all__ = ["Function", "function"]


class Function:
    """Expectation values of a model as a function of JAX arrays; made by `ketgrad.jax.function`.

    Pure, and works under `jit`, `vmap`, `grad`, `jacrev`, `jacfwd`, `hessian` and their combinations up to second
    derivatives, which are exact, and in `scan` and `shard_map`. `vmap` over inputs, weights or both is one call of the
    engine. Inputs sharded outside `shard_map` are gathered: every device computes all of them. Picklable.
    """

    def __init__(self, model: Model | Mitigated) -> None:
        self.model = model
        wrap: Any = CombinedFunction if isinstance(model, Mitigated) else ModelFunction
        self._kinds = {np.dtype(kind): wrap(model, kind) for kind in ("float32", "float64")}

    def __call__(self, weights: Any = None, inputs: Any = None) -> jax.Array:
        """Expectation values, (..., M).

        Args:
            weights: P real numbers, any shape; None without weights.
            inputs: (..., F), axes in front are batches; None without inputs.

        Returns:
            Of the dtype that JAX gives weights and inputs together: float32 or float64 (float32 for half precision).
            The state has the model's dtype, whatever theirs. A gradient has the dtype of its argument.

        Raises:
            ParameterError: another number of weights or inputs, or numbers that are not finite; under `jit` the last is
                an error of JAX that quotes it.
            ArgumentTypeError: complex numbers.
            NotDifferentiableError: third derivatives.
        """
        p, f = self.model.n_weights, self.model.n_inputs
        w, x = (jnp.zeros(0, "float16") if a is None else jnp.asarray(a) for a in (weights, inputs))
        for name, array in (("weights", w), ("inputs", x)):
            if jnp.issubdtype(array.dtype, jnp.complexfloating):
                raise ArgumentTypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
        if w.size != p:
            raise ParameterError(f"the circuit has {p} weights, got {w.size}; use jax.vmap for several sets")
        if inputs is None and f:
            raise ParameterError(f"the circuit has {f} inputs, and none were given")
        if x.shape[-1:] != (f,):
            raise ParameterError(f"inputs have shape ({f},) or (batch, {f}), got {x.shape}")
        # numbers without a dtype of their own take that of the others, half precision becomes float32
        kind = jnp.promote_types(jnp.result_type(w, x, float), jnp.float32)
        front = (1,) * (x.ndim - 1)
        arrays = w.astype(kind).reshape(*front, p), x.astype(kind)
        return jax_interface.call(self._kinds[np.dtype(kind)], arrays)[0]

    def __repr__(self) -> str:
        return f"ketgrad.jax.function({self.model!r})"


def function(
    model: Model | Mitigated | Circuit,
    observables: PauliSum | Sequence[PauliSum] | None = None,
    *,
    dtype: npt.DTypeLike | None = None,
    backend: str | None = None,
) -> Function:
    """A function `f(weights, inputs=None) -> values` of JAX arrays, for `jit`, `vmap` and any derivative up to second.

    Args:
        model: a compiled model with observables, or a circuit.
        observables, dtype, backend: of a circuit; see `ketgrad.compile`.

    Raises:
        ArgumentError: a model without observables, or options with a model, which has its own.
        ArgumentTypeError: neither a model nor a circuit.

    Example:
        >>> f = kg.jax.function(circuit, [kg.Z(0), kg.Z(1)])
        >>> jax.jit(jax.grad(lambda w: f(w, inputs).sum()))(weights)
    """
    if isinstance(model, Circuit):
        wanted = "complex128" if dtype is None else dtype
        model = compile_circuit(model, () if observables is None else observables, dtype=wanted, backend=backend)
    elif not isinstance(model, (Model, Mitigated)):
        raise ArgumentTypeError(f"jax.function: expected a Model or a Circuit, got {type(model).__name__}")
    elif not observables is dtype is backend is None:
        raise ArgumentError("jax.function: a model has its own observables, dtype and backend; pass them to kg.compile")
    if not model.observables:
        raise ArgumentError("jax.function: the model has no observables; compile it with some, such as [kg.Z(0)]")
    return Function(model)
