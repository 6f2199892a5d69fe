"""`Cost`: what a combination of noisy values costs in shots, and how shots are best shared out.

Owns: one-norm, variance factor, shots for an error. May not know: circuits.

With coefficients g_k and N_k shots of a circuit whose outcomes have standard deviation s_k, the variance of the
combination is sum_k (g_k s_k)^2 / N_k. For N shots in all it is least at N_k in proportion to |g_k| s_k, where it is
(sum_k |g_k| s_k)^2 / N.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ParameterError
from ..simulator import check_shots

Array = npt.NDArray[np.float64]


class Cost:
    """The cost of mitigated values = sum of coefficients (K,) times values of circuits."""

    def __init__(self, coefficients: npt.ArrayLike) -> None:
        self.coefficients: Array = np.array(coefficients, dtype=np.float64)

    @property
    def circuits(self) -> int:
        """K."""
        return len(self.coefficients)

    @property
    def one_norm(self) -> float:
        """Sum of |coefficients|; its square is by how much more shots are needed than without mitigation."""
        return float(np.abs(self.coefficients).sum())

    @property
    def variance_factor(self) -> float:
        """Sum of squared coefficients: the variance, where every circuit has the shots that one had before."""
        return float((self.coefficients**2).sum())

    def variance(self, shots: int, deviation: npt.ArrayLike = 1.0, *, allocation: str = "optimal") -> float:
        """Of the mitigated value for so many shots in all, at best or shared out evenly.

        Args:
            deviation: of one shot of each circuit, (K,) or one number.
            allocation: "optimal" or "uniform".
        """
        each = np.abs(self.coefficients) * self._deviations(deviation)
        if allocation not in ("optimal", "uniform"):
            raise ArgumentError(f"allocation is 'optimal' or 'uniform', got {allocation!r}")
        total = each.sum() ** 2 if allocation == "optimal" else self.circuits * (each**2).sum()
        return float(total / check_shots(shots))

    def shots_for(self, error: float, deviation: npt.ArrayLike = 1.0, *, allocation: str = "optimal") -> int:
        """How many shots in all a standard error asks for."""
        if not error > 0:
            raise ArgumentError(f"a standard error is above 0, got {error!r}")
        need = self.variance(1, deviation, allocation=allocation) / error**2
        return max(self.circuits, math.ceil(need * (1 - 1e-12)))  # a rounding error is no shot

    def split(self, shots: int, deviation: npt.ArrayLike = 1.0) -> npt.NDArray[np.int64]:
        """The best shots of each circuit, (K,), at least one for each."""
        return split_shots(check_shots(shots), self.coefficients * self._deviations(deviation))

    def _deviations(self, deviation: npt.ArrayLike) -> Array:
        found = np.asarray(deviation, dtype=np.float64)
        if found.shape not in ((), self.coefficients.shape) or not (found >= 0).all():
            raise ParameterError(f"deviations are one number or {self.circuits} of at least 0, got shape {found.shape}")
        return np.broadcast_to(found, self.coefficients.shape)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Cost) and np.array_equal(self.coefficients, other.coefficients)

    def __hash__(self) -> int:
        return hash(self.coefficients.tobytes())

    def __str__(self) -> str:
        return (
            f"{self.circuits} circuit{'s' * (self.circuits != 1)}, one-norm {self.one_norm:.4g}, variance factor "
            f"{self.variance_factor:.4g}; for a standard error of 0.01 at most {self.shots_for(0.01):,} shots, "
            f"{max(1.0, self.one_norm**2):.3g} times as many as without mitigation"
        )

    def __repr__(self) -> str:
        return (
            f"Cost({self.circuits} circuits, one_norm={self.one_norm:.6g}, variance_factor={self.variance_factor:.6g})"
        )


def split_shots(total: int, weights: Array) -> npt.NDArray[np.int64]:
    """`total` shots in proportion to |weights| (K,), at least one for each.

    Raises:
        ArgumentError: fewer shots than circuits.
    """
    size = np.abs(weights)
    if total < len(size):
        raise ArgumentError(f"every circuit needs a shot: {len(size)} circuits, got shots={total}")
    wanted = (size / size.sum() if size.any() else np.full(len(size), 1 / len(size))) * total
    out: npt.NDArray[np.int64] = np.maximum(1, np.floor(wanted)).astype(np.int64)
    while (rest := total - int(out.sum())) != 0:
        gap = wanted - out
        if rest > 0:
            out[np.argsort(-gap, kind="stable")[:rest]] += 1
        else:  # circuits of less than one shot were given one: the largest give it back
            able = np.flatnonzero(out > 1)
            out[able[np.argsort(gap[able], kind="stable")[:-rest]]] -= 1
    return out
