"""Paths through a noisy circuit: one choice at each place of a channel; which are enumerated, how the rest is drawn.

Owns: the strata (by how many errors a path has), their weights, the draws and what makes them reproducible. May not
know: circuits, programs, states.

The most probable choice of a site is "no error". All paths with fewer than m errors are enumerated with their exact
weights; the others are drawn from their exact conditional distribution, without rejection: P(the next error is behind
site t | j more are needed) is a ratio of tail sums of positive numbers, so one uniform number and a binary search give
the next error. Shapes: S sites, A alternatives (the choices that are errors, of all sites), D distinct paths, L errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..memory import require_bytes

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Seed: TypeAlias = "tuple[int, ...]"  # a user's seed, then what tells his streams apart

FEWEST = 32  # draws that a standard error is read from
BLOCK = 1024  # paths that share a generator, always drawn together
_TINY = -600.0  # logarithm of a weight below which strata are not told apart


@dataclass(frozen=True, eq=False)
class Paths:
    """Distinct paths, sorted such that neighbours share their first errors; the exact ones come first.

    The sum of f over all paths, weighted by probability, is estimated by (weights * f).sum().

    Attributes:
        errors: (D, L) alternatives in the order of their sites, -1 behind the last.
        weights: (D,): probabilities of the exact paths; of a drawn one the stratum's, times its share of the draws.
        counts: (D,): how often each was drawn, 0 for exact ones.
        tail: probability of the stratum that was drawn from.
        least: errors that a drawn path has at least.
    """

    errors: Integers
    weights: Array
    counts: Integers
    tail: float
    least: int

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def draws(self) -> int:
        """N, how many paths were drawn."""
        return int(self.counts.sum())


class PathSpace:
    """All paths of a circuit's sites.

    Args:
        probabilities: (m_s,) for each site, positive, of sum 1.
    """

    def __init__(self, probabilities: Sequence[Array]) -> None:
        self.sites = len(probabilities)
        self.usual = np.array([int(np.argmax(q)) for q in probabilities], dtype=np.int64)
        sizes = np.array([len(q) - 1 for q in probabilities], dtype=np.int64)
        self.first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)  # (S + 1,) first alternative of a site
        self.site = np.repeat(np.arange(self.sites), sizes)
        choices = [np.delete(np.arange(len(q)), u) for q, u in zip(probabilities, self.usual, strict=True)]
        self.choice = np.concatenate([np.zeros(0, np.int64), *choices]).astype(np.int64)
        odds = [np.delete(q, u) / q[u] for q, u in zip(probabilities, self.usual, strict=True)]
        self.odds = np.concatenate([np.zeros(0), *odds])  # (A,) probability over that of no error
        self._site_odds = np.array([o.sum() for o in odds])
        self._log_free = np.concatenate([[0.0], -np.cumsum(np.log1p(self._site_odds))])  # no error before site t
        self._kinds = np.full((self.sites, max(1, int(sizes.max(initial=0)))), np.inf)
        for row, o in zip(self._kinds, odds, strict=True):
            row[: max(0, len(o) - 1)] = np.cumsum(o)[:-1] / max(o.sum(), np.finfo(float).tiny)
        self._tails = [np.exp(self._log_free)]
        self._ways = [np.ones(self.sites + 1)]

    def tail(self, errors: int) -> float:
        """The probability of at least so many errors."""
        return 1.0 if errors == 0 else float(self._tail(errors)[0])

    def ways(self, errors: int) -> float:
        """How many paths have exactly so many errors; rounded where they are beyond 2^53."""
        while len(self._ways) <= errors:
            self._ways.append(_behind(np.diff(self.first) * self._ways[-1][1:]))
        return float(self._ways[errors][0])

    def _tail(self, errors: int) -> Array:
        """(S + 1,): at t, the probability of no error before site t, times that of so many from there on, or more."""
        while len(self._tails) <= errors:
            self._tails.append(_behind(self._site_odds * self._tails[-1][1:]))
        tails: Array = self._tails[errors]
        return tails

    def least_errors(self, budget: int) -> int:
        """The m for which enumerating fewer errors, and drawing with what is left, promises the least variance.

        Some are drawn anyway (FEWEST, or a quarter of the budget), or the standard error would mean little; unless
        nothing is left to draw.
        """
        if self._log_free[-1] < _TINY:
            return 0
        best, score, cost = 0, 1.0 / budget, 0.0
        for m in range(1, self.sites + 2):
            cost += self.ways(m - 1)
            left, tail = budget - cost, self.tail(m)
            if left < 0 or (tail > 0 and left < max(2, min(FEWEST, budget / 4))):
                break
            if tail == 0 or tail**2 / left < score:
                best, score = m, tail**2 / max(left, 1)
            if tail == 0:
                break
        return best

    def budget(self, spread: float, error: float) -> int:
        """How many paths promise a standard error, with the number of enumerated ones that makes them fewest.

        Args:
            spread: standard deviation of what is averaged, from path to path.
        """
        best, cost = np.inf, 0.0
        for m in range(1 if self._log_free[-1] < _TINY else self.sites + 2):
            cost += self.ways(m - 1) if m else 0.0
            if cost >= best:
                break
            draws = max(FEWEST, 1.25 * (self.tail(m) * spread / error) ** 2) if self.tail(m) else 0.0
            best = min(best, cost + draws)
        return int(min(np.ceil(best), 2.0**62))

    def paths(self, budget: int, seed: Seed, least: int | None = None) -> Paths:
        """At most `budget` paths (of fewer than `least` errors all, at any rate); the same ones for the same seed.

        Args:
            least: errors that a drawn path has at least; 0 draws all paths, 1 splits off the one without errors; None
                decides by `least_errors`.
        """
        m = self.least_errors(budget) if least is None else min(least, self.sites + 1)
        exact, tail = self.enumerated(m), self.tail(m)
        weights = self.probabilities(exact)
        if tail == 0:
            return Paths(exact, weights, np.zeros(len(exact), np.int64), 0.0, m)
        count = max(2, budget - len(exact))
        drawn, _, counts = distinct(self.drawn(count, m, seed))
        width = max(exact.shape[1], drawn.shape[1])
        return Paths(
            np.concatenate([_padded(exact, width), _padded(drawn, width)]),
            np.concatenate([weights, tail * counts / count]),
            np.concatenate([np.zeros(len(exact), np.int64), counts]),
            tail,
            m,
        )

    def enumerated(self, errors: int) -> Integers:
        """All paths with fewer errors, (D, errors - 1), sorted."""
        width = max(0, errors - 1)
        need = min(24.0 * max(1, width) * sum(self.ways(j) for j in range(errors)), 2.0**62)
        require_bytes(int(need), "the enumerated paths")
        if errors == 0:
            return np.zeros((0, 0), np.int64)
        level, start = np.zeros((1, 0), np.int64), np.zeros(1, np.int64)
        levels = [_padded(level, width)]
        for _ in range(width):
            more = len(self.site) - start  # every alternative from `start` on makes a path with one error more
            rows = np.repeat(np.arange(len(level)), more)
            added = np.arange(len(rows)) - np.repeat(np.cumsum(more) - more, more) + start[rows]
            level = np.concatenate([level[rows], added[:, None]], axis=1)
            start = self.first[self.site[added] + 1] if len(added) else added
            levels.append(_padded(level, width))
        return distinct(np.concatenate(levels))[0]

    def drawn(self, count: int, least: int, seed: Seed) -> Integers:
        """(count, L) paths of at least so many errors, independent; fewer are the first of more."""
        blocks = -(-count // BLOCK)
        parts = [self._block(least, stream(seed, 0))]
        require_bytes(16 * blocks * BLOCK * parts[0].shape[1], f"{count} paths")  # others are about as wide
        parts += [self._block(least, stream(seed, block)) for block in range(1, blocks)]
        width = max(part.shape[1] for part in parts)
        return np.concatenate([_padded(part, width) for part in parts])[:count]

    def _block(self, least: int, rng: np.random.Generator) -> Integers:
        at, alive = np.zeros(BLOCK, np.int64), np.arange(BLOCK)
        columns: list[Integers] = []
        while len(alive):
            u, kind = rng.random((2, len(alive)))
            if len(columns) < least:  # behind t with probability tails[t + 1] / tails[at], or nowhere
                tails = self._tail(least - len(columns))
                site = np.searchsorted(-tails, -tails[at[alive]] * u, side="left") - 1
            else:
                free = self._log_free
                site = np.searchsorted(-free, -(free[at[alive]] + np.log1p(-u)), side="right") - 1
            inside = site < self.sites
            alive, site, kind = alive[inside], site[inside], kind[inside]
            if len(alive):
                column = np.full(BLOCK, -1, np.int64)
                column[alive] = self.first[site] + (kind[:, None] >= self._kinds[site]).sum(axis=1)
                columns.append(column)
                at[alive] = site + 1
        return np.stack(columns, axis=1) if columns else np.zeros((BLOCK, 0), np.int64)

    def probabilities(self, errors: Integers) -> Array:
        """(D,): of each path."""
        if not self.sites:
            return np.ones(len(errors))
        odds = np.where(errors >= 0, self.odds[errors], 1.0) if len(self.odds) else np.ones(errors.shape)
        return np.asarray(np.exp(self._log_free[-1]) * odds.prod(axis=1))

    def choices(self, errors: Integers) -> Array:
        """(D, S): what paths choose at each site."""
        out = np.tile(self.usual.astype(np.float64), (len(errors), 1))
        path, column = np.nonzero(errors >= 0)
        made = errors[path, column]
        out[path, self.site[made]] = self.choice[made]
        return out


def stream(seed: Seed, part: int) -> np.random.Generator:
    """The generator of one part of what a seed says; no two parts, nor a user's own generators, share numbers."""
    return np.random.default_rng(np.random.SeedSequence(seed[0], spawn_key=(*seed[1:], part, BLOCK)))


def distinct(errors: Integers) -> tuple[Integers, Integers, Integers]:
    """Distinct rows, sorted by their first error, then their second, ...; where each row went, and how many did."""
    if not len(errors) or not errors.shape[1]:
        count = min(1, len(errors))
        return errors[:count], np.zeros(len(errors), np.int64), np.full(count, len(errors), np.int64)
    order = np.lexsort(errors.T[::-1])
    ordered = errors[order]
    new = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    where = np.empty(len(errors), np.int64)
    where[order] = np.cumsum(new) - 1
    return ordered[new], where, np.diff(np.append(np.flatnonzero(new), len(errors)))


def _behind(values: Array) -> Array:
    """(S,) -> (S + 1,): at t the sum from t on."""
    return np.concatenate([np.cumsum(values[::-1])[::-1], [0.0]])


def _padded(errors: Integers, width: int) -> Integers:
    return np.pad(errors, ((0, 0), (0, width - errors.shape[1])), constant_values=-1)
