"""Gradients by the adjoint method: one sweep for all parameters and all observables.

Owns: how cotangents of outputs become cotangents of terms, and gradients of slots those of weights and inputs. The
sweep itself is the backend's `pullback`. Source: T. Jones, J. Gacon, arXiv:2009.02823.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends import Plan
from ..finite import require_finite
from ..lowering import Lowered

Array = npt.NDArray[np.float64]


def values(lowered: Lowered, terms: Array) -> Array:
    """Outputs (B, M) from terms (B, R)."""
    readout = lowered.readout
    return terms if readout.is_identity else terms @ readout.coefficients.T + readout.constant


def evaluate(lowered: Lowered, plan: Plan, weights: Array, inputs: Array, differentiate: bool) -> tuple[Array, Any]:
    """Outputs (B, M), and None or the pullback from their cotangents (B, M) to those of weights (P,) and inputs (B, F).

    Args:
        weights, inputs: (P,) and (B, F), contiguous float64, which nobody changes before the pullback.

    Raises:
        ParameterError: weights, inputs or cotangents that are not finite.
    """
    require_finite(weights, "weights")
    if inputs.size:
        require_finite(inputs, "inputs")
    stage = lowered.stage
    terms, tape = plan.forward(*stage.evaluate(weights, inputs), differentiate, None, stage.is_direct)
    if not differentiate:
        return values(lowered, terms), None

    def pull(cotangents: Array) -> tuple[Array, Array]:
        c = np.ascontiguousarray(cotangents, dtype=np.float64)
        require_finite(c, "cotangents")
        return vjp(lowered, plan, weights, inputs, c, tape)[:2]

    return values(lowered, terms), pull


def vjp(
    lowered: Lowered,
    plan: Plan,
    weights: Array,
    inputs: Array,
    cotangents: Array,
    tape: Any = None,
    initial: Any = None,
    bras: Any = None,
    to_initial: bool = False,
) -> tuple[Array, Array, Any]:
    """Gradients of sum(cotangents * outputs): (P,), (B, F), and of the initial states (B, 2^n) or None.

    Args:
        cotangents: (B, M).
        tape: of the same forward call, or None.
        initial: states it started from.
        bras: (B, 2^n) cotangents of the final states, on top of those of the outputs.
        to_initial: whether the gradient of the initial states is wanted.
    """
    stage = lowered.stage
    seeds, ends = to_terms(lowered, cotangents)[None], None if bras is None else bras[None]
    if stage.is_direct and not to_initial:  # nothing to evaluate, nothing new to check
        checked = seeds.flags.c_contiguous and lowered.readout.is_identity
        found = plan.pullback(weights, inputs, seeds, tape, False, initial, ends, checked)
        return found[0][0], found[1][0], None
    slots = stage.evaluate(weights, inputs)
    if to_initial:
        shared, per_sample, start = plan.pullback_to_initial(*slots, seeds, tape, initial, ends)
    else:
        (shared, per_sample), start = plan.pullback(*slots, seeds, tape, False, initial, ends), None
    grad_weights, grad_inputs = stage.pull(weights, inputs, shared, per_sample, each=False)
    return grad_weights[0], grad_inputs[0], None if start is None else start[0]


def pull_sets(
    lowered: Lowered, plan: Plan, weights: Array, inputs: Array, cotangents: Array, tape: Any, each: bool
) -> tuple[Array, Array]:
    """Gradients for K sets of cotangents (K, B, M), in one sweep: by weights (K, P), and by inputs (K, B, F).

    Args:
        tape: of the same forward call, or None.
        each: give the gradients by weights of every sample, (K, B, P), and not their sum.
    """
    slots = lowered.stage.evaluate(weights, inputs)
    pulled = plan.pullback(*slots, to_terms(lowered, cotangents), tape, each)
    return lowered.stage.pull(weights, inputs, *pulled, each=each)


def jacobian(lowered: Lowered, plan: Plan, weights: Array, inputs: Array) -> tuple[Array, Array]:
    """d outputs / d weights (B, M, P) and d outputs / d inputs (B, M, F)."""
    outputs = len(lowered.readout.constant)
    seeds = np.broadcast_to(np.eye(outputs)[:, None, :], (outputs, len(inputs), outputs))
    grad_weights, grad_inputs = pull_sets(lowered, plan, weights, inputs, seeds, None, True)
    return np.moveaxis(grad_weights, 0, 1), np.moveaxis(grad_inputs, 0, 1)


def to_terms(lowered: Lowered, cotangents: Array) -> Array:
    """Cotangents of terms (..., R) from those of outputs (..., M)."""
    readout = lowered.readout
    return cotangents if readout.is_identity else cotangents @ readout.coefficients
