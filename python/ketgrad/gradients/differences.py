"""Gradients from values alone: central differences, and simultaneous perturbation (SPSA). For comparison.

Owns: which points are evaluated, and what their values say about the slope. All points are rows of one batch. Sources:
J. C. Spall, IEEE Trans. Autom. Control 37, 332 (1992) for the simultaneous perturbation; the steps balance the error of
the difference, of order step^2, against rounding or sampling noise divided by the step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ArgumentTypeError

Array = npt.NDArray[np.float64]
Evaluate = Callable[[Array], tuple[Array, Array]]  # points (rows, D) -> values (rows, M), their variances

CHUNK_ENTRIES = 1 << 22  # parameters held at once
MAX_DIRECTIONS = 10**6


def checked(step: Any, directions: Any, shots: int | None, dtype: np.dtype[Any]) -> tuple[float, int]:
    """`step` in radians, and the number of directions, of a method by differences.

    Args:
        step: None is the cube root of the dtype's precision, or shots^(-1/6).

    Raises:
        ArgumentTypeError: not a number, or not an integer.
        ArgumentError: a step not above 0 or above 2 pi, or directions not from 1 to 10^6.
    """
    if step is None:
        step = float(np.finfo(dtype).eps ** (1 / 3) if shots is None else shots ** (-1 / 6))
    if isinstance(step, (bool, np.bool_)) or not isinstance(step, (int, float, np.integer, np.floating)):
        raise ArgumentTypeError(f"step is a number of radians, got {step!r}")
    if not 0 < step <= 2 * np.pi:
        raise ArgumentError(f"step must be above 0 and at most 2 pi, got {step}")
    if isinstance(directions, (bool, np.bool_)) or not isinstance(directions, (int, np.integer)):
        raise ArgumentTypeError(f"directions is an integer, got {directions!r}")
    if not 1 <= directions <= MAX_DIRECTIONS:
        raise ArgumentError(f"directions must be from 1 to {MAX_DIRECTIONS:,}, got {directions}")
    return float(step), int(directions)


def central(evaluate: Evaluate, points: Array, step: float, outputs: int) -> tuple[Array, Array]:
    """(f(p + step e) - f(p - step e)) / (2 step) for every unit vector e.

    Args:
        points: (B, D).
        outputs: M.

    Returns:
        Slopes and the variances that the values' variances give them, (B, M, D).
    """
    batch, size = points.shape
    values, spread = np.zeros((2 * batch * size, outputs)), np.zeros((2 * batch * size, outputs))
    chunk = max(1, CHUNK_ENTRIES // max(1, size))
    for start in range(0, len(values), chunk):
        rows = np.arange(start, min(start + chunk, len(values)))
        sample, which = np.divmod(rows, 2 * size)
        here = points[sample]
        here[np.arange(len(rows)), which // 2] += np.where(which % 2, -step, step)
        values[rows], spread[rows] = evaluate(here)
    values, spread = (a.reshape(batch, size, 2, outputs) for a in (values, spread))
    slope = (values[:, :, 0] - values[:, :, 1]) / (2 * step)
    return slope.swapaxes(1, 2), spread.sum(axis=2).swapaxes(1, 2) / (2 * step) ** 2


def spsa(
    evaluate: Evaluate, points: Array, step: float, outputs: int, directions: int, rng: np.random.Generator
) -> tuple[Array, Array | None]:
    """(f(p + step d) - f(p - step d)) / (2 step) d, averaged over random directions d of entries +1 and -1.

    Returns:
        Slopes (B, M, D), and their variances from the spread over directions; None for a single direction.
    """
    batch, size = points.shape
    total, squares = np.zeros((batch, outputs, size)), np.zeros((batch, outputs, size))
    chunk = max(1, CHUNK_ENTRIES // max(1, size * batch))
    for start in range(0, directions, chunk):
        count = min(chunk, directions - start)
        signs = rng.choice(np.array([-1.0, 1.0]), (count, batch, size))
        rows = np.stack([points + step * signs, points - step * signs]).reshape(2 * count * batch, size)
        values = evaluate(rows)[0].reshape(2, count, batch, outputs)
        slope = (values[0] - values[1]) / (2 * step)
        total += np.einsum("kbm,kbd->bmd", slope, signs)
        squares += (slope**2).sum(axis=0)[..., None]  # the signs are of square 1
    mean = total / directions
    if directions == 1:
        return mean, None
    return mean, np.maximum(0.0, squares / directions - mean**2) / (directions - 1)
