"""How values at several strengths of the noise go over into one at strength zero.

Owns: linear, polynomial and Richardson extrapolation, whose coefficients are known beforehand, and exponential, which
is differentiated through its fit. May not know: circuits, how the noise was made stronger.

Shapes: K scales, values (B, K, M) -> (B, M).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, suggest
from .combination import Back, Combine, Linear

Array = npt.NDArray[np.float64]
Numbers: TypeAlias = Sequence[float] | Array
KINDS = ("linear", "polynomial", "richardson", "exponential")
_SLOWEST, _FASTEST = 1e-3, 6.0  # decay over the whole range of scales; slower is a straight line, faster a step
_GRID, _STEPS, _NEWTON = 48, 40, 3


def check_scales(scales: Numbers) -> Array:
    """Noise scales (K,): distinct numbers of at least 1 (0 is what is looked for).

    Raises:
        ArgumentError: anything else.
    """
    found = np.array(scales, dtype=np.float64)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all() or (found < 1).any():
        raise ArgumentError(f"noise scales are numbers of at least 1, got {scales!r}")
    if len(np.unique(found)) < len(found):
        raise ArgumentError(f"noise scales are distinct, got {found.tolist()}")
    return found


def polynomial_coefficients(scales: Numbers, degree: int) -> Array:
    """The (K,) numbers that values are multiplied by to get the least-squares polynomial of this degree at zero.

    Of degree K - 1 it is Richardson's extrapolation: prod_{j != k} s_j / (s_j - s_k).

    Raises:
        ArgumentError: a degree that K scales do not determine.
    """
    s = check_scales(scales)
    if isinstance(degree, bool) or not isinstance(degree, (int, np.integer)) or not 0 <= degree < len(s):
        raise ArgumentError(f"{len(s)} scales determine a polynomial of degree 0 to {len(s) - 1}, got {degree!r}")
    if degree == len(s) - 1:
        ratio = s[:, None] / np.where(np.eye(len(s), dtype=bool), 1.0, s[:, None] - s[None, :])
        return np.asarray(np.where(np.eye(len(s), dtype=bool), 1.0, ratio).prod(axis=0))
    unit = s / s.max()
    return np.asarray(np.linalg.pinv(np.vander(unit, degree + 1, increasing=True))[0])


def extrapolation(kind: str | int | Combine, scales: Numbers, asymptote: float | None = None) -> Combine:
    """The extrapolation by name.

    Args:
        kind: "linear", "richardson", "exponential", a degree for a polynomial ("polynomial" is of degree 2), or any
            `Combine`.
        scales: of the noise, (K,).
        asymptote: what the values tend to under ever stronger noise, of "exponential"; None fits it.

    Raises:
        ArgumentError: another name, or too few scales.
    """
    s = check_scales(scales)
    if asymptote is not None and kind != "exponential":
        raise ArgumentError(f"an asymptote belongs to extrapolation='exponential', got {kind!r}")
    if isinstance(kind, (int, np.integer)) and not isinstance(kind, bool):
        return Linear(polynomial_coefficients(s, int(kind)))
    if not isinstance(kind, str):
        if not callable(kind):
            raise ArgumentError(f"extrapolation is one of {KINDS}, a degree or a Combine, got {kind!r}")
        return kind
    if kind == "exponential":
        return Exponential(s) if asymptote is None else ExponentialTo(s, asymptote)
    degrees = {"linear": 1, "polynomial": 2, "richardson": len(s) - 1}
    if kind not in degrees:
        raise ArgumentError(f"extrapolation is one of {KINDS} or a degree, got {kind!r}.{suggest(kind, KINDS)}")
    return Linear(polynomial_coefficients(s, degrees[kind]))


class ExponentialTo:
    """a + sign exp(z(s)) with a known asymptote a: z, the logarithm of the distance from a, is extrapolated linearly.

    Where values lie on both sides of a, or on it, there is no such curve, and the values themselves are extrapolated
    linearly. The mitigated value jumps there.
    """

    coefficients = None

    def __init__(self, scales: Numbers, asymptote: float) -> None:
        self.gamma = polynomial_coefficients(scales, 1)
        self.asymptote = float(asymptote)
        if not np.isfinite(self.asymptote):
            raise ArgumentError(f"an asymptote is a finite number, got {asymptote!r}")

    def __call__(self, values: Array) -> tuple[Array, Back]:
        """See `Combine`."""
        distance = values - self.asymptote
        sign = np.sign(distance[:, :1])
        fits = (sign * distance > 0).all(axis=1, keepdims=True)
        safe = np.where(fits, distance, sign + (sign == 0))
        far = np.exp(np.einsum("k,bkm->bm", self.gamma, np.log(np.abs(safe))))[:, None]
        curved, straight = self.asymptote + sign * far, np.einsum("k,bkm->bm", self.gamma, values)[:, None]
        slopes = np.where(fits, sign * far / safe, 1.0) * self.gamma[:, None]

        def back(cotangents: Array) -> Array:
            return np.asarray(slopes * cotangents[:, None, :])

        return np.where(fits, curved, straight)[:, 0], back


class Exponential:
    """The least-squares a + b exp(-c s), all three fitted, at s = 0: a + b.

    The rate c is kept where a curve can be told from a straight line and from a step: between 0.001 and 6 over the
    range of the scales. Derivatives are those of the fit (implicit function theorem), also of the rate where it is not
    at its bounds.
    """

    coefficients = None

    def __init__(self, scales: Numbers) -> None:
        s = check_scales(scales)
        if len(s) < 3:
            raise ArgumentError(
                f"an exponential with an unknown asymptote needs 3 scales, got {len(s)}; give an asymptote"
            )
        self.scales = s
        self.bounds = _SLOWEST / np.ptp(s), _FASTEST / np.ptp(s)

    def __call__(self, values: Array) -> tuple[Array, Back]:
        """See `Combine`."""
        batch, count, outputs = values.shape
        y = np.moveaxis(values, 1, 2).reshape(-1, count)
        rate = self._rates(y)
        zero, slopes = self._solve(y, rate)
        slopes = np.moveaxis(slopes.reshape(batch, outputs, count), 2, 1)

        def back(cotangents: Array) -> Array:
            return np.asarray(slopes * cotangents[:, None, :])

        return zero.reshape(batch, outputs), back

    def _basis(self, rate: Array) -> tuple[Array, Array, Array]:
        """exp(-c (s - s_0)), (.., K), s_0 the least scale; what is left of it beside a constant, and its square."""
        e = np.exp(-rate[..., None] * (self.scales - self.scales.min()))
        rest = e - e.mean(axis=-1, keepdims=True)
        return e, rest, np.einsum("...k,...k->...", rest, rest)

    def _left(self, y: Array, rate: Array) -> Array:
        """The sum of squares that the best a and b leave at a rate."""
        _, rest, norm = self._basis(rate)
        centred = y - y.mean(axis=-1, keepdims=True)
        along = np.einsum("...k,...k->...", rest, centred)
        return np.asarray(np.einsum("...k,...k->...", centred, centred) - along**2 / norm)

    def _rates(self, y: Array) -> Array:
        """The best rate of each row: the best of a grid, narrowed by golden sections in its logarithm."""
        slow, fast = np.log(self.bounds)
        grid = np.linspace(slow, fast, _GRID)
        best = np.argmin(self._left(y[:, None], np.exp(grid)[None]), axis=1)
        low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, _GRID - 1)]
        golden = (5**0.5 - 1) / 2
        for _ in range(_STEPS):
            a, b = high - golden * (high - low), low + golden * (high - low)
            left = self._left(y, np.exp(a)) < self._left(y, np.exp(b))
            low, high = np.where(left, low, a), np.where(left, b, high)
        return np.asarray(np.exp((low + high) / 2))

    def _solve(self, y: Array, rate: Array) -> tuple[Array, Array]:
        """The curve at zero, and its derivatives (.., K) by the values."""
        for _ in range(_NEWTON):  # golden sections see a minimum to half the digits only
            a, b, e = self._line(y, rate)
            hessian, slopes = self._curvature(y, a, b, e)
            free = self._is_free(rate, b, hessian)
            error = np.einsum("nk,nk->n", a[:, None] + b[:, None] * e - y, slopes[:, 2])
            corner = np.linalg.solve(hessian[:, :2, :2], hessian[:, :2, 2:])[..., 0]
            reduced = hessian[:, 2, 2] - np.einsum("ni,ni->n", hessian[:, 2, :2], corner)
            move = np.where(free, -error / np.where(free, reduced, 1.0), 0.0)
            rate = np.clip(rate + np.clip(move, -0.01 * rate, 0.01 * rate), *self.bounds)
        a, b, e = self._line(y, rate)
        hessian, slopes = self._curvature(y, a, b, e)
        kept = np.ones((len(y), 3))
        kept[:, 2] = free = self._is_free(rate, b, hessian)
        hessian = hessian * kept[:, :, None] * kept[:, None, :]
        hessian[:, 2, 2] += ~free
        by_values = np.linalg.solve(hessian, slopes * kept[:, :, None])  # of a, b and the rate
        first = self.scales.min()
        back = np.exp(rate * first)
        return a + b * back, by_values[:, 0] + back[:, None] * (
            by_values[:, 1] + (b * first)[:, None] * by_values[:, 2]
        )

    def _line(self, y: Array, rate: Array) -> tuple[Array, Array, Array]:
        """The best a and b at a rate, and the exponential."""
        e, rest, norm = self._basis(rate)
        b = np.einsum("nk,nk->n", rest, y) / norm
        return y.mean(axis=1) - b * e.mean(axis=1), b, e

    def _curvature(self, y: Array, a: Array, b: Array, e: Array) -> tuple[Array, Array]:
        """Of half the sum of squares by a, b and the rate (.., 3, 3); and slopes (.., 3, K) of the curve."""
        s, error = self.scales - self.scales.min(), a[:, None] + b[:, None] * e - y
        slopes = np.stack([np.ones_like(e), e, -b[:, None] * s * e], axis=1)
        hessian = np.einsum("nik,njk->nij", slopes, slopes)
        mixed = np.einsum("nk,nk->n", error, -s * e)
        hessian[:, 1, 2] += mixed
        hessian[:, 2, 1] += mixed
        hessian[:, 2, 2] += np.einsum("nk,nk->n", error, s * s * b[:, None] * e)
        return hessian, slopes

    def _is_free(self, rate: Array, b: Array, hessian: Array) -> npt.NDArray[np.bool_]:
        """Whether the rate is inside its bounds and determined by the values."""
        inside = (rate > 1.0001 * self.bounds[0]) & (rate < 0.9999 * self.bounds[1])
        scale = hessian[:, 2, 2] * hessian[:, 0, 0] * hessian[:, 1, 1]
        return np.asarray(inside & (np.linalg.det(hessian) > 1e-13 * np.abs(scale)) & (np.abs(b) > 1e-12))


def fitted(kind: Any, scales: Numbers, values: npt.ArrayLike, asymptote: float | None = None) -> Array:
    """Extrapolate values (K,) or (K, M) by hand, as `zne` does.

    Example:
        >>> kg.mitigation.fitted("richardson", (1, 2, 3), [0.9, 0.82, 0.75])
    """
    y = np.asarray(values, dtype=np.float64)
    s = check_scales(scales)
    if y.ndim not in (1, 2) or len(y) != len(s):
        raise ArgumentError(f"{len(s)} scales need values of shape ({len(s)},) or ({len(s)}, M), got {y.shape}")
    found = extrapolation(kind, s, asymptote)(y.reshape(1, len(s), -1))[0]
    return np.asarray(found[0] if y.ndim == 2 else found[0, 0])
