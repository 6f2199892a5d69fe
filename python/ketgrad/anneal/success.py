"""How good an annealer's reads are: success probability, residual energy, and time to solution with its uncertainty.

Owns: the statistics. May not know: samplers, beyond a sample set's energies and occurrences.

Source: Roennow et al., Science 345, 420 (2014), arXiv:1401.2910. The time to solution is the time to see the ground
state at least once with 99 % confidence, by repeating anneals of time t that succeed with probability p:
TTS99 = t ln(1 - 0.99) / ln(1 - p), and no less than t, at the t that makes it least. Its interval is from a bootstrap:
the success probability of k hits in R reads is drawn from Beta(k + 1/2, R - k + 1/2), and problems are drawn anew with
replacement. So no hit gives an infinite upper end, and all hits an interval that has a width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ArgumentTypeError, ParameterError
from ..expressions import real_array
from .problem import Array, needed

TOLERANCE = 1e-9  # of energies, relative to the largest; what rounding may add
Seed = int | np.random.Generator | None


@dataclass(frozen=True)
class Success:
    """How many of the reads of a sample set reached an energy, and how far the others are from it.

    Attributes:
        hits, reads: reads that reached it, and all.
        ground: the energy.
        best, mean: of all reads.
        error: the standard error of the mean.
    """

    hits: int
    reads: int
    ground: float
    best: float
    mean: float
    error: float

    @property
    def probability(self) -> float:
        """Hits per read."""
        return self.hits / self.reads

    @property
    def residual(self) -> float:
        """The mean energy above the ground energy."""
        return self.mean - self.ground

    def tts(self, time: float, *, target: float = 0.99, level: float = 0.95) -> TimeToSolution:
        """The time to solution, where one read takes `time`."""
        return time_to_solution(time, self.hits, self.reads, target=target, level=level)


@dataclass(frozen=True)
class TimeToSolution:
    """A time to solution and its interval, in the unit of the anneal's time.

    Attributes:
        value: infinite without a hit.
        low, high: the central interval of `level`.
        time: of one anneal, the best one where there were several.
        target: how sure one wants to be of a hit.
        at_edge: whether the best time was the first or last of a grid, so that the optimum may lie beyond it.
    """

    value: float
    low: float
    high: float
    time: float
    target: float = 0.99
    level: float = 0.95
    at_edge: bool = False

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def success_of(samples: Any, ground: float | None = None) -> Success:
    """Hits and residual energy of a sample set.

    Args:
        samples: a `dimod.SampleSet`, or energies (R,).
        ground: the energy to reach; None for the lowest that is there, which need not be the ground energy.

    Raises:
        ParameterError: no reads, or energies that are not finite.
    """
    if hasattr(samples, "record"):
        energies = np.asarray(samples.record.energy, dtype=np.float64)
        counts = np.asarray(samples.record.num_occurrences, dtype=np.int64)
    else:
        energies = real_array(samples, "energies").reshape(-1)
        counts = np.ones(len(energies), dtype=np.int64)
    reads = int(counts.sum())
    if not reads or not np.isfinite(energies).all():
        raise ParameterError("success_of: a sample set has at least one read, and finite energies")
    best = float(energies.min())
    wanted = best if ground is None else float(ground)
    near = TOLERANCE * max(1.0, abs(wanted), float(np.abs(energies).max()))
    mean = float(energies @ counts) / reads
    spread = float(((energies - mean) ** 2) @ counts)
    error = math.sqrt(spread / (reads * (reads - 1))) if reads > 1 else math.nan
    return Success(int(counts[energies <= wanted + near].sum()), reads, wanted, best, mean, error)


def repetitions(probability: npt.ArrayLike, target: float = 0.99) -> Array:
    """How many anneals it takes to succeed at least once with probability `target`: at least 1, infinite for 0.

    Raises:
        ParameterError: a probability outside of 0 to 1.
        ArgumentError: a target outside of 0 to 1, or one of these.
    """
    p = real_array(probability, "probabilities")
    if not ((p >= 0) & (p <= 1)).all():
        raise ParameterError("a success probability is from 0 to 1")
    _check_share("target", target)
    with np.errstate(divide="ignore"):
        return np.maximum(1.0, np.divide(math.log1p(-target), np.log1p(-p)))


def time_to_solution(
    time: float, hits: int, reads: int, *, target: float = 0.99, level: float = 0.95
) -> TimeToSolution:
    """TTS of anneals of one time: `reads` of them, `hits` of which succeeded. The interval is exact, without drawing.

    Raises:
        ParameterError, ArgumentError: more hits than reads, a time that is not positive, shares outside of 0 to 1.
    """
    _check_times([time])
    k, r = _check_hits([hits], [reads])
    _check_share("level", level)
    tails = needed("scipy.stats").beta.ppf([(1 + level) / 2, (1 - level) / 2], k + 0.5, r - k + 0.5)
    if hits == 0:
        tails[1] = 0.0  # nothing was seen: no end
    low, high = (time * repetitions(tails, target)).tolist()
    return TimeToSolution(float(time * repetitions(k / r, target)[0]), low, high, float(time), target, level)


def optimal_time_to_solution(
    times: npt.ArrayLike,
    hits: npt.ArrayLike,
    reads: npt.ArrayLike,
    *,
    target: float = 0.99,
    quantile: float = 0.5,
    level: float = 0.95,
    draws: int = 1000,
    seed: Seed = 0,
) -> TimeToSolution:
    """TTS at the anneal time of a grid that makes it least; of many problems, the quantile over them.

    Args:
        times: (T,) of one anneal.
        hits: (T,), or (I, T) of I problems.
        reads: as hits, or one number.
        quantile: of problems, at each time; the best time is that of the quantile, as a user has to choose it unseen.
        draws: of the bootstrap.

    Raises:
        ParameterError, ArgumentError: as `time_to_solution`.
    """
    grid = _check_times(times)
    k, r = _check_hits(hits, reads)
    k, r = np.atleast_2d(k), np.atleast_2d(r)
    if k.shape[1:] != grid.shape or not len(grid):
        raise ParameterError(f"hits have shape ({len(grid)},) or (problems, {len(grid)}) of the times, got {k.shape}")
    for name, share in (("quantile", quantile), ("level", level)):
        _check_share(name, share)
    if not isinstance(draws, (int, np.integer)) or draws < 1:
        raise ArgumentError(f"draws is an integer of at least 1, got {draws!r}")

    def least(probabilities: Array) -> tuple[float, int]:
        several = np.quantile(grid * repetitions(probabilities, target), quantile, axis=0, method="higher")
        return float(several.min()), int(several.argmin())

    rng = np.random.default_rng(seed)
    found = np.empty(draws)
    for d in range(draws):
        who = rng.integers(len(k), size=len(k)) if len(k) > 1 else np.zeros(1, dtype=np.int64)
        p = rng.beta(k[who] + 0.5, r[who] - k[who] + 0.5)
        found[d] = least(p)[0]
    value, at = least(k / r)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    if not math.isfinite(value):
        high = math.inf
    edge = len(grid) > 1 and at in (0, len(grid) - 1)
    return TimeToSolution(value, float(low), float(high), float(grid[at]), target, level, edge)


def _check_share(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ArgumentTypeError(f"{name} is a number, got {value!r}")
    if not 0 < value < 1:
        raise ArgumentError(f"{name} must be between 0 and 1, got {value}")


def _check_times(times: npt.ArrayLike) -> Array:
    out = real_array(times, "times").reshape(-1)
    if not (out > 0).all():
        raise ParameterError(f"the time of an anneal must be above 0, got {out.min():g}")
    return out


def _check_hits(hits: npt.ArrayLike, reads: npt.ArrayLike) -> tuple[Array, Array]:
    k, r = np.broadcast_arrays(real_array(hits, "hits"), real_array(reads, "reads"))
    if not (r >= 1).all() or not ((k >= 0) & (k <= r)).all() or (k % 1).any() or (r % 1).any():
        raise ParameterError("hits and reads are whole numbers, from 0 to reads and from 1")
    return k, r
