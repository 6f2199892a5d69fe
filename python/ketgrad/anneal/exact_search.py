"""How many steps a tolerance takes: two short trials, and a final anneal that is checked against both.

Owns: the first guess, the error that anneals with different steps tell, and the search. May not know: how a step is
made, what is noted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError
from .exact_steps import Counts
from .schedules import Path, Schedule

Array = npt.NDArray[np.float64]
MOST_STEPS = 10**7
GUESSED = 1e-6  # the tolerance that a guess is for
TURNS = {2: 7.5, 4: 0.75, 6: 0.45}  # steps a radian for it
FIRST, LEAST = 0.5, 0.6  # the first trial's share of the guess; the least that a loose tolerance leaves of a guess
LEAST_STEPS = 6  # of a trial: fewer say little
SAFETY = 1.5  # how much smaller than the tolerance an error is aimed at
GROWTH = 1.5, 8.0  # of the steps from an anneal to the next


class Outcome(Protocol):
    """What the search asks of an anneal."""

    interrupted: bool

    @property
    def final(self) -> Array:
        """What the tolerance is of."""


Anneal = TypeVar("Anneal", bound=Outcome)


def guess(schedule: Schedule, path: Path, flip_energy: float, order: int) -> int:
    """Steps whose error is near 1e-6: in order 4 of what turns turns by about a radian.

    Args:
        flip_energy: what turning over a spin changes the problem's energy by, `Space.flip_energy`.
    """
    a, b = schedule(path(np.linspace(0, path.total, 257)))
    rate = float(np.mean(2 * np.abs(a) + flip_energy * np.abs(b)))
    return max(4, math.ceil(min(rate * path.total * TURNS[order], MOST_STEPS / 2)))


def first_steps(guessed: int, tolerance: float, order: int) -> int:
    """Of the first trial, from steps for a tolerance of 1e-6."""
    finer = float((GUESSED / tolerance) ** (1 / order))
    return max(LEAST_STEPS, math.ceil(FIRST * guessed * max(LEAST, finer)))


def search(
    counts: Counts, order: int, tolerance: float, anneal: Callable[[Counts, bool], Anneal]
) -> tuple[Counts, Anneal, float | None]:
    """Anneal with different numbers of steps, until one is known to keep the tolerance.

    Two trials come first, often of half and three quarters of the guess. The law of the order predicts from them the
    steps of the final anneal, which is checked by its distance to both; should it miss, the next is predicted from it.
    From one to the next every piece of the path has more steps, for none tells its error otherwise.

    Args:
        counts: (K,) steps of each smooth piece in the first trial.
        anneal: from such counts, and whether it is a trial, which nobody will see.

    Returns:
        The counts, the anneal, and its error; None for one that was interrupted.

    Raises:
        ArgumentError: too many steps.
    """
    fineness = 1.0  # of the piece that is refined least
    seen: list[tuple[float, Array]] = []
    while counts.sum() <= MOST_STEPS:
        trial = len(seen) < 2
        found = anneal(counts, trial)
        if found.interrupted:
            return counts, found, None
        seen, growth = [*seen[-2:], (fineness, found.final)], GROWTH[0]
        if len(seen) > 1:
            error = error_of_last(seen, order)
            if error <= tolerance and not trial:
                return counts, found, error
            growth = min(max((SAFETY * error / tolerance) ** (1 / order), GROWTH[0]), GROWTH[1])
        finer = np.ceil(growth * counts).astype(np.int64)
        fineness *= float((finer / counts).min())
        counts = finer
    raise ArgumentError(f"a tolerance of {tolerance:g} needs more than {MOST_STEPS:,} steps; take a larger one")


def error_of_last(seen: list[tuple[float, Array]], order: int) -> float:
    """The error of the last of two or three anneals, each told by how fine it was, to a factor, and what it gave.

    Two tell the leading term. Three tell the next one, too: where the terms cancel in an anneal, its distance to
    another says little. The larger estimate counts.
    """
    (before, old), (last, new) = seen[-2:]
    error = float(np.abs(new - old).max()) / ((last / before) ** order - 1)
    if len(seen) > 2:
        terms = np.array([[1, (last / f) ** order, (last / f) ** (order + 2)] for f, _ in seen])
        limit = np.linalg.solve(terms, np.array([values for _, values in seen]))[0]
        error = max(error, float(np.abs(limit - new).max()))
    return error
