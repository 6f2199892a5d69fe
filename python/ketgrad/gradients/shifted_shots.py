"""Finite shots for shifted circuits: how many for each, the uniform numbers in chunks, estimates and their variances.

Owns: the allocation of shots. May not know: rules' origin, slots, weights.

A *circuit* here is one shifted circuit in one measurement setting. Uniformly, each gets the same shots. By variance, a
tenth of all shots is a pilot, and the others go where they lower the variance of the gradient most: in proportion to
|coefficient| * standard deviation, the pilot's estimate of it (J. M. Kuebler, A. Arrasmith, L. Cincio, P. J. Coles,
Quantum 4, 263 (2020); A. Arrasmith et al., arXiv:2004.06252). The means of pilot and main part are then added with
weights that no outcome has touched, so that the estimate has no bias, whatever the pilot said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..backends.shifted import Integers, Setting, ShiftedPlan, Shifts
from ..errors import ArgumentError, suggest
from ..memory import require_bytes

Array = npt.NDArray[np.float64]

ALLOCATIONS = ("uniform", "variance")
CHUNK_SHOTS = 1 << 23  # uniform numbers held at once: 64 MiB
LEAST_SHOTS = 10  # a circuit, for a pilot
LEAST_MAIN = 2  # shots of a circuit after the pilot, so that it has a variance


def check_allocation(allocation: str, method: str, shots: int | None) -> str:
    """`allocation` if it is one.

    Raises:
        ArgumentError: an unknown name; by variance: another method, or fewer shots than LEAST_SHOTS.
    """
    if allocation not in ALLOCATIONS:
        raise ArgumentError(
            f"allocation must be one of {ALLOCATIONS}, got {allocation!r}.{suggest(str(allocation), ALLOCATIONS)}"
        )
    if allocation == "variance" and method != "parameter-shift":
        raise ArgumentError(f"allocation='variance' is of method='parameter-shift' with shots, got method={method!r}")
    if allocation == "variance" and (shots is None or shots < LEAST_SHOTS):
        raise ArgumentError(f"allocation='variance' needs at least {LEAST_SHOTS} shots for its pilot, got {shots}")
    return allocation


class ShiftedShots:
    """Estimates of a model's outputs for shifted circuits."""

    def __init__(self, plan: ShiftedPlan, settings: Sequence[Setting], outputs: int) -> None:
        self._plan, self._settings = plan, tuple(settings)
        self._setting_of = np.repeat(np.arange(len(settings)), [len(s.outputs) for s in settings])  # (T,)
        self._reads = np.zeros((len(self._setting_of), outputs))  # (T, M)
        where = [m for s in settings for m, _ in s.outputs]
        self._reads[np.arange(len(where)), where] = 1.0

    def estimate(
        self,
        shared: Array,
        per_sample: Array,
        shifts: Shifts,
        shots: int,
        rng: np.random.Generator,
        allocation: str = "uniform",
        importance: Array | None = None,
    ) -> tuple[Array, Array]:
        """Estimates without their constants (B, K, M), and the unbiased variances of these estimates.

        Args:
            shots: of each circuit; by variance, on average over the circuits of a sample.
            importance: (K,) of the shifted circuits, for an allocation by variance.

        Raises:
            OutOfMemoryError: the estimates, or a circuit's shots, do not fit.
        """
        shape = (len(per_sample), len(shifts.shift), len(self._settings))
        held = len(self._settings) + 2 * len(self._setting_of)  # numbers of each shifted circuit
        parts = 1 if allocation == "uniform" else 2  # a pilot's are kept beside those of the main part
        require_bytes(8 * shape[0] * shape[1] * held * parts, "the estimates of all shifted circuits")
        if allocation == "uniform" or not all(shape):
            mean, variance = self._draw(shared, per_sample, shifts, np.full(shape, shots), rng)
        else:
            assert importance is not None
            pilot = max(LEAST_MAIN, shots // 10)
            share = pilot / shots
            first, spread = self._draw(shared, per_sample, shifts, np.full(shape, pilot), rng, each=True)
            deviation = importance[:, None] * np.sqrt(self._per_setting(spread, pilot))
            total = (shots - pilot) * shape[1] * shape[2]
            main = np.stack([allocated(total, row.ravel()).reshape(row.shape) for row in deviation])
            second, variance = self._draw(shared, per_sample, shifts, main, rng)
            mean = share * first + (1 - share) * second
            variance = share**2 * (spread / pilot) + (1 - share) ** 2 * variance
        return mean @ self._reads, variance @ self._reads

    def _per_setting(self, spread: Array, pilot: int) -> Array:
        """(B, K, T) variances of outputs -> (B, K, G), those of a setting added.

        A few outcomes may all be the same by chance: the mean over all circuits counts as one shot more.
        """
        starts = np.searchsorted(self._setting_of, np.arange(len(self._settings)))
        total = np.add.reduceat(spread, starts, axis=2)
        return np.asarray((pilot * total + total.mean(axis=(1, 2), keepdims=True)) / (pilot + 1))

    def _draw(
        self,
        shared: Array,
        per_sample: Array,
        shifts: Shifts,
        shots: Integers,
        rng: np.random.Generator,
        each: bool = False,
    ) -> tuple[Array, Array]:
        """(B, K, T): means, and their variances (of one shot if `each`)."""
        shape = (*shots.shape[:2], len(self._setting_of))
        mean, variance = np.zeros(shape), np.zeros(shape)
        for samples, rows in self._chunks(shots):
            some = shots[samples, rows]
            uniforms = rng.random(int(some.sum()))
            part = shifts if len(shifts.shift) == some.shape[1] else shifts.some(rows)
            mean[samples, rows], variance[samples, rows] = self._plan.moments(
                shared, per_sample[samples], part, self._settings, some, uniforms
            )
        return mean, variance if each else variance / shots[..., self._setting_of]

    @staticmethod
    def _chunks(shots: Integers) -> Iterator[tuple[slice, slice]]:
        """(samples, rows) in order: whole samples, or some rows of one, of at most CHUNK_SHOTS where that can be."""
        of_samples, every = shots.sum(axis=(1, 2)), slice(0, shots.shape[1])
        start = 0
        while start < len(shots):
            together = np.searchsorted(np.cumsum(of_samples[start:]), CHUNK_SHOTS, side="right")
            if together:
                yield slice(start, start + int(together)), every
                start += int(together)
                continue
            of_rows, row = shots[start].sum(axis=1), 0
            while row < len(of_rows):
                few = max(1, int(np.searchsorted(np.cumsum(of_rows[row:]), CHUNK_SHOTS, side="right")))
                require_bytes(8 * int(of_rows[row : row + few].sum()), f"{of_rows[row]} shots")
                yield slice(start, start + 1), slice(row, row + few)
                row += few
            start += 1


def allocated(total: int, deviation: Array) -> Integers:
    """`total` shots for circuits, in proportion to `deviation` beyond LEAST_MAIN for each; evenly where all are 0."""
    share = deviation / deviation.sum() if deviation.any() else np.full(deviation.size, 1 / deviation.size)
    wanted = share * (total - LEAST_MAIN * deviation.size)
    out = np.floor(wanted).astype(np.int64)
    left = total - LEAST_MAIN * deviation.size - int(out.sum())
    out[np.argsort(out - wanted, kind="stable")[:left]] += 1
    return np.asarray(out + LEAST_MAIN)
