"""How many steps a tolerance takes: two short trials, and a final anneal that is checked against both.

Owns: the law by which errors fall, the first guess, and the search. May not know: how a step is made, what is noted.

An error of order p is a sum over the smooth pieces of a path, of turns^(p+1) / steps^p. *Fineness* is the number of
steps to which this sum belongs: of a path that is one piece, the number itself.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError
from .exact_steps import counts_of
from .schedules import Path, Schedule

Array = npt.NDArray[np.float64]
MOST_STEPS = 10**7
GUESSED = 1e-6  # the tolerance that a guess is for
TURNS = {2: 7.5, 4: 0.75}  # steps a radian for it
FIRST, NEXT = 0.4, 1.5  # finenesses of the trials: shares of the guess, and of the first
LEAST_STEPS = 6  # of a trial: fewer say little about the law
SAFETY = 1.5  # how much smaller than the tolerance an error is aimed at
GROWTH = 1.5, 8.0  # of the fineness from an anneal to the next


class Law:
    """How the error of an anneal depends on the number of its steps.

    Args:
        flip_energy: what turning over a spin changes the problem's energy by, `Space.flip_energy`.
    """

    def __init__(self, schedule: Schedule, path: Path, flip_energy: float, order: int) -> None:
        self.order = order
        self._path, self._kinks = path, path.kinks(schedule)
        lengths, points = np.diff(self._kinks), max(8, 256 // len(self._kinks))
        times = self._kinks[:-1, None] + lengths[:, None] * (np.arange(points) + 0.5) / points
        a, b = schedule(path(times))
        self._turns = lengths * np.mean(2 * np.abs(a) + flip_energy * np.abs(b), axis=1)
        least = 1e-12 * max(1e-300, float(self._turns.max()))
        rates = np.maximum(self._turns, least) / lengths
        self._turns = rates * lengths
        self._uneven = float(rates.max()) * path.total / float(self._turns.sum())

    @property
    def guess(self) -> int:
        """Steps whose error is near 1e-6, for an order of 4 those of about a radian."""
        return max(4, math.ceil(min(float(self._turns.sum()) * TURNS[self.order], MOST_STEPS / 2)))

    def fineness(self, steps: int) -> float:
        """Of so many steps, shared out as `angles` does."""
        each = self._turns / counts_of(self._kinks, self._path, steps)
        whole = self._turns.sum()
        return float((self._turns / whole @ (each / whole) ** self.order) ** (-1 / self.order))

    def steps(self, fineness: float) -> int:
        """The least number that is as fine."""
        if len(self._turns) == 1:
            return math.ceil(fineness)
        most = math.ceil(self._uneven * fineness) + 1
        return 1 + bisect_left(range(1, most), fineness, key=self.fineness)

    def error(self, finenesses: list[float], values: list[Array]) -> float:
        """Of the last of two or three anneals with different steps, from what they gave, (K,) numbers each.

        Two tell the leading term; of three, the next one is told as well: where both terms cancel in an anneal, its
        difference to another says nothing. The larger estimate counts.
        """
        last, p = finenesses[-1], self.order
        found = float(np.abs(values[-1] - values[-2]).max()) / abs((last / finenesses[-2]) ** p - 1)
        if len(values) > 2:
            terms = np.array([[1, (last / f) ** p, (last / f) ** (p + 2)] for f in finenesses])
            limit = np.linalg.solve(terms, np.array(values))[0]
            found = max(found, float(np.abs(limit - values[-1]).max()))
        return found


class Outcome(Protocol):
    """What the search asks of an anneal."""

    interrupted: bool

    @property
    def final(self) -> Array:
        """What the tolerance is of."""


O = TypeVar("O", bound=Outcome)  # noqa: E741


def search(law: Law, tolerance: float, anneal: Callable[[int, bool], O]) -> tuple[int, O, float | None]:
    """Anneal with different numbers of steps, until one is known to keep the tolerance.

    Two trials come first, often of about a quarter and two fifths of the steps. From them the law predicts the number
    of the final anneal, which is checked by its distance to both; should it miss, the next is predicted from it.

    Args:
        anneal: from a number of steps, and whether it is a trial, which nobody will see.

    Returns:
        The number of steps, the anneal and its error; None for an anneal that was interrupted.

    Raises:
        ArgumentError: too many steps.
    """
    start = law.guess * max(1.0, (GUESSED / tolerance) ** (1 / law.order))
    number = law.steps(max(LEAST_STEPS, FIRST * start))
    finenesses: list[float] = []
    values: list[Array] = []
    while number <= MOST_STEPS:
        trial = len(values) < 2
        track = anneal(number, trial)
        if track.interrupted:
            return number, track, None
        finenesses, values = [*finenesses[-2:], law.fineness(number)], [*values[-2:], track.final]
        growth = NEXT
        if len(values) > 1:
            error = law.error(finenesses, values)
            if error <= tolerance and not trial:
                return number, track, error
            growth = min(max((SAFETY * error / tolerance) ** (1 / law.order), GROWTH[0]), GROWTH[1])
        number = law.steps(growth * finenesses[-1])
    raise ArgumentError(f"a tolerance of {tolerance:g} needs more than {MOST_STEPS:,} steps; take a larger one")
