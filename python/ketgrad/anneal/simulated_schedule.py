"""Temperatures of simulated annealing, and how reads are cut into blocks.

Owns: the default range of temperatures, schedules of them, the size of blocks. May not know: dimod, what a sweep does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends import get_backend
from ..backends.spins import ReadRange, SpinEngine, SpinModel, Spins
from ..errors import ArgumentError, ArgumentTypeError
from .problem import Ising

Array = npt.NDArray[np.float64]
BETA_SCHEDULES = ("linear", "geometric", "custom")
BLOCK_SECONDS = 0.1  # of work, about, between two looks at whoever may interrupt


def default_beta_range(problem: Ising) -> tuple[float, float]:
    """(hot, cold): the stiffest spin turns over with probability 1/2; against their weakest terms 0.01 spins do.

    The choice of D-Wave's samplers, so that schedules mean the same.
    """
    starts, _, couplings = problem.neighbours
    if not len(couplings) and not problem.has_fields:
        return 0.1, 1.0
    sums = np.concatenate([[0.0], np.cumsum(np.abs(couplings))])
    most = float((np.abs(problem.fields) + sums[starts[1:]] - sums[starts[:-1]]).max())
    least = np.where(problem.fields != 0, np.abs(problem.fields), np.inf)
    np.minimum.at(least, np.repeat(np.arange(problem.n), np.diff(starts)), np.abs(couplings))
    gap = float(least.min())
    return float(np.log(2.0) / (2.0 * most)), float(np.log((least == gap).sum() / 0.01) / (2.0 * gap))


def numbers(name: str, values: Any, low: float = 0.0) -> Array:
    """(k,) finite numbers, k >= 1.

    Raises:
        ArgumentTypeError, ArgumentError: they are none, or below `low`.
    """
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"{name} is a sequence of numbers, got {values!r:.60}") from None
    if array.ndim != 1 or not array.size:
        raise ArgumentError(f"{name} is a sequence of numbers, got shape {array.shape}")
    bad = np.flatnonzero(~((array >= low) & np.isfinite(array)))
    if len(bad):
        raise ArgumentError(f"{name} must be finite and at least {low:g}, got {array[bad[0]]} at {bad[0]}")
    return array


def beta_schedule(
    problem: Ising, kind: str, beta_range: Any, custom: Any, num_sweeps: int | None, num_sweeps_per_beta: int
) -> Array:
    """(k,) inverse temperatures; k * num_sweeps_per_beta sweeps.

    Raises:
        ArgumentTypeError, ArgumentError: options that contradict each other, or are out of range.
    """
    if kind == "custom":
        if custom is None:
            raise ArgumentError("beta_schedule must be given with beta_schedule_type='custom'")
        betas = numbers("beta_schedule", custom)
        if num_sweeps is not None and num_sweeps != len(betas) * num_sweeps_per_beta:
            raise ArgumentError(
                f"{len(betas)} temperatures of {num_sweeps_per_beta} sweeps are not num_sweeps={num_sweeps}"
            )
        if beta_range is not None and tuple(numbers("beta_range", beta_range)) != (betas[0], betas[-1]):
            raise ArgumentError("beta_range contradicts beta_schedule; leave it out")
        return betas
    if custom is not None:
        raise ArgumentError(f"beta_schedule goes with beta_schedule_type='custom', got {kind!r}")
    steps, left = divmod(1000 if num_sweeps is None else num_sweeps, num_sweeps_per_beta)
    if left:
        raise ArgumentError(f"num_sweeps must be a multiple of num_sweeps_per_beta, got {num_sweeps}")
    ends = numbers("beta_range", default_beta_range(problem) if beta_range is None else beta_range)
    if len(ends) != 2 or (kind == "geometric" and not ends.all()):
        raise ArgumentError(f"beta_range is the first and the last beta, for 'geometric' above 0, got {ends.tolist()}")
    if steps == 1:
        return ends[1:]
    space = np.linspace if kind == "linear" else np.geomspace
    return np.asarray(space(ends[0], ends[1], num=steps), dtype=np.float64)


def prepared(problem: Ising, backend: str | None, copies: int = 1) -> SpinEngine:
    """The problem on a backend, in units that leave room for the sums of `copies` fields."""
    return get_backend(backend).prepare_spins(SpinModel.of(problem.fields, *problem.neighbours, copies))


def ranges(seed: int, reads: int, initial: Spins, together: int, seconds: float) -> Iterator[ReadRange]:
    """Reads in blocks of multiples of `together`, which take `seconds` each time."""
    block = together * max(1, int(BLOCK_SECONDS / max(seconds, 1e-9)))
    for first in range(0, reads, block):
        yield ReadRange(seed, first, min(block, reads - first), initial[first : first + block])
