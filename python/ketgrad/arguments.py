"""What a user hands to a model, as arrays of the shapes that the engine wants, or a refusal that says why.

Owns: the shapes of weights, inputs, initial states and cotangents. May not know: models, engines.

Shapes: P weights, B samples of F inputs, M observables, N = 2^n amplitudes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ArgumentTypeError, ParameterError
from .expressions import real_array

Array = npt.NDArray[np.float64]
States = npt.NDArray[Any]


def parameters(weights: Any, inputs: Any, n_weights: int, n_inputs: int) -> tuple[Array, Array, bool]:
    """Weights (P,), inputs (B, F), and whether the inputs have a batch axis.

    Raises:
        ParameterError: another number of weights or inputs, or a batch without samples.
    """
    w = real_array(weights, "weights").reshape(-1)
    if w.size != n_weights:
        raise ParameterError(f"the circuit has {n_weights} weights, got {w.size}")
    x = real_array(inputs, "inputs")
    batched = x.ndim == 2
    if x.ndim > 2 or (x.shape[-1:] or (0,)) != (n_inputs,):
        if inputs is None:
            raise ParameterError(f"the circuit has {n_inputs} inputs, and none were given")
        raise ParameterError(f"inputs have shape ({n_inputs},) or (batch, {n_inputs}), got {np.shape(inputs)}")
    if batched and not len(x):
        raise ParameterError("inputs: a batch has at least one sample, got none")
    return w, x if batched else x.reshape(1, -1), batched


def with_initial(initial: Any, x: Array, batched: bool, size: int, dtype: Any) -> tuple[States | None, Array, bool]:
    """Initial states (1, N) or (B, N), and the inputs and their batch with which they agree.

    Raises:
        ParameterError: another shape, or a batch of another length.
    """
    if initial is None:
        return None, x, batched
    try:
        states = np.asarray(initial).astype(dtype, copy=False)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"initial states are complex numbers, got {type(initial).__name__}") from None
    if states.ndim not in (1, 2) or states.shape[-1] != size or not states.size:
        raise ParameterError(f"initial states have shape ({size},) or (batch, {size}), got {states.shape}")
    if states.ndim == 1:
        return states[None], x, batched
    if batched and len(states) != len(x):
        raise ParameterError(f"a batch of {len(x)} inputs needs as many initial states, got {len(states)}")
    return states, x if batched else np.repeat(x, len(states), axis=0), True


def output_cotangents(cotangents: Any, batch: int, batched: bool, outputs: int) -> Array:
    """(B, M), from cotangents of the shape of the values."""
    c = real_array(cotangents, "cotangents")
    wanted = (batch, outputs) if batched else (outputs,)
    if np.ndim(cotangents) == 0 and wanted == (1,):
        c = c.reshape(1)
    if c.shape != wanted:
        raise ParameterError(f"cotangents must have the shape of the values {wanted}, got {c.shape}")
    return c.reshape(batch, -1)
