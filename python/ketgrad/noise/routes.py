"""Routes: how the paths of a circuit run together.

Owns: where a path leaves the one without errors, whose states serve all paths until then, and where a sweep back has to
be cut because an operator cannot be undone. Paths that agree in both run as one batch. May not know: backends, states.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..memory import require_bytes
from .paths import Integers, Paths, PathSpace, Seed
from .unravelled import Unravelled

MARKS = 8  # places where paths may leave the usual one
MARK_BYTES = 256 << 20  # that a sample's states there may take
LEAST_ROWS = 64  # that leave at one of them: a batch of small states should fill lanes and threads
FULL = 1 << 16  # amplitudes that do
SECONDS_PER_AMPLITUDE = 1e-10  # of one instruction; only to tell much work from little
MUCH_WORK = 2e-3  # seconds, below which calls cost more than sharing saves


class Route(NamedTuple):
    """Paths that run as one batch.

    Attributes:
        mark: which of the marks they start from.
        edges: instructions at which they start, at which a sweep back is cut, and the end.
        rows: which of the paths.
    """

    mark: int
    edges: tuple[int, ...]
    rows: slice


@dataclass(frozen=True, eq=False)
class Routes:
    """Paths in the order in which they run.

    Attributes:
        marks: instructions before which states of the usual path are kept; the first is 0.
        usual: for each mark but the first the edges of the usual path from the mark before to it.
        groups: routes; all paths are in one.
    """

    paths: Paths
    marks: tuple[int, ...]
    usual: tuple[tuple[int, ...], ...]
    groups: tuple[Route, ...]


class Router:
    """Finds routes.

    Args:
        state_bytes: of one state.
        limit: logarithm of how much undoing operators may multiply rounding errors.
    """

    def __init__(self, single: Unravelled, space: PathSpace, state_bytes: int, limit: float) -> None:
        self._space, self._state_bytes, self._limit = space, state_bytes, limit
        self._end, self._size = len(single.program.instructions), 1 << single.program.n_bits
        usual = iter(space.usual.tolist())
        logs = [p.log_conditions[next(usual) if p.column >= 0 else 0] for p in single.places]
        self._usual_log = np.array(logs, dtype=np.float64)
        self._fork = np.flatnonzero([p.column >= 0 for p in single.places])
        errors = zip(space.site.tolist(), space.choice.tolist(), strict=True)
        self._error_log = np.array([single.forks[s].log_conditions[c] for s, c in errors], dtype=np.float64)
        self._instruction = np.array([p.instruction for p in single.places], dtype=np.int64)
        self._edges = np.add.outer(self._instruction, [0, 1]).ravel()  # before and behind each place

    def routes(self, budget: int, seed: Seed, least: int | None) -> Routes:
        """The paths of a budget, in groups."""
        paths = self._space.paths(budget, seed, least)
        marks, mark = self._marks(paths.errors)
        cuts = self._cuts(paths.errors)
        edges = self._edges[: cuts.shape[1]]
        cuts &= (edges > marks[mark][:, None]) & (edges < self._end)
        used = np.flatnonzero(cuts.any(axis=0))
        keys, group = np.unique(np.column_stack([mark, cuts[:, used]]), axis=0, return_inverse=True)
        order, sizes = np.argsort(group.ravel(), kind="stable"), np.bincount(group.ravel())
        paths = replace(paths, errors=paths.errors[order], weights=paths.weights[order], counts=paths.counts[order])
        ends = np.cumsum(sizes).tolist()
        groups = [
            Route(int(k[0]), (int(marks[k[0]]), *_ordered(self._edges[used[k[1:] > 0]]), self._end), slice(b - n, b))
            for k, n, b in zip(keys, sizes.tolist(), ends, strict=True)
        ]
        usually = self._cuts(np.zeros((1, 0), np.int64))
        never = self._edges[: usually.shape[1]][usually[0]]  # where the usual path is not undone
        usual = [(a, *_ordered(never[(a < never) & (never < b)]), b) for a, b in pairwise(marks.tolist())]
        return Routes(paths, tuple(marks.tolist()), tuple(usual), tuple(groups))

    def _marks(self, errors: Integers) -> tuple[Integers, Integers]:
        """Instructions of the marks, and which one each path starts from: the last before its first error."""
        start = np.zeros(1, np.int64)
        work = len(errors) * self._end * self._size * SECONDS_PER_AMPLITUDE
        most = min(MARKS, MARK_BYTES // self._state_bytes)
        if work < MUCH_WORK or len(self._fork) < MARKS or most < 2:
            return start, np.zeros(len(errors), np.int64)
        forks = self._instruction[self._fork]
        leaves = np.full(len(errors), self._end, np.int64)
        if errors.shape[1]:
            some = errors[:, 0] >= 0
            leaves[some] = forks[self._space.site[errors[some, 0]]]
        marks = np.concatenate([start, forks[np.arange(1, most) * len(forks) // most]])
        least = min(LEAST_ROWS, max(4, FULL // self._size))
        served = np.bincount(np.searchsorted(marks, leaves, side="right") - 1, minlength=most)
        kept = np.ones(most, dtype=bool)
        for mark in range(most - 1, 0, -1):  # too few paths start one mark earlier
            if served[mark] < least:
                kept[mark] = False
                served[mark - 1] += served[mark]
        marks = marks[kept]
        return marks, np.searchsorted(marks, leaves, side="right") - 1

    def _cuts(self, errors: Integers) -> npt.NDArray[np.bool_]:
        """(D, 2 * places): before and behind each place, where undoing operators would multiply rounding errors.

        What cannot be undone at all is alone between two cuts: an engine may run what commutes with it before it. No
        columns if no path has a cut.
        """
        (count, width), places = errors.shape, len(self._usual_log)
        if self._usual_log.sum() + (width * self._error_log.max(initial=0.0) if width else 0.0) <= self._limit:
            return np.zeros((count, 0), dtype=bool)
        require_bytes(12 * count * places, f"where to cut {count} trajectories")
        logs = np.tile(self._usual_log, (count, 1))
        path, column = np.nonzero(errors >= 0)
        made = errors[path, column]
        logs[path, self._fork[self._space.site[made]]] = self._error_log[made]
        grown, cuts = np.zeros(count), np.zeros((count, places, 2), dtype=bool)
        for place, log in enumerate(logs.T):
            alone = log > self._limit
            full = grown + log > self._limit
            cuts[:, place, 0], cuts[:, place, 1] = full, alone
            grown = np.where(alone, 0.0, np.where(full, log, grown + log))
        return cuts.reshape(count, -1)


def _ordered(edges: Integers) -> list[int]:
    """Ascending, without repetitions."""
    return [int(edge) for edge in np.unique(edges)]
