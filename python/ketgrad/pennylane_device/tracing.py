"""From a QNode and example arguments to a circuit whose angles are polynomials of the arguments.

Owns: the probes (the quantum function, queued at several points) and the polynomials fitted to its angles, each
verified at points that it was not fitted to. May not know: models, frameworks, how a circuit runs.

A variable is one entry of an argument, ("all", argument, index), or, where the circuit is broadcast, one entry of each
sample's part of an argument, ("each", argument, index). Angles that are no polynomial of degree 2 in few variables, and
circuits whose structure depends on the values of the arguments, are not traced: `trace` says why.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .conversion import to_array
from .reading import Reading

Array = npt.NDArray[np.float64]
Variable = tuple[str, int, int]
Polynomial = dict[tuple[Variable, ...], float]

POINTS = 6  # at which every circuit is queued
VERIFY = 3  # of them not used for fits
MAX_PROBED = 512  # entries of arguments that are probed one by one for an angle of several variables
MAX_PRODUCT = 4  # variables of a polynomial with products
STEP = 0.5  # how far a probe is from the example
TOLERANCE = 1e-9


class NotTraceableError(Exception):
    """Why a QNode cannot be compiled to a circuit of its arguments."""


@dataclass(frozen=True)
class Probe:
    """A circuit as it was queued.

    Attributes:
        structure: what it is made of.
        reading, measurements: of its tape.
        batch: of its tape, or None.
        output: what the quantum function returned.
    """

    structure: Hashable
    reading: Reading
    measurements: tuple[Any, ...]
    batch: int | None
    output: Any

    @property
    def angles(self) -> list[Array]:
        return [np.asarray(to_array(a), dtype=np.float64) for a in self.reading.angles]


@dataclass(frozen=True)
class Trace:
    """A circuit with polynomials for angles.

    Attributes:
        probe: the circuit at the example.
        polynomials: of each angle.
        shared, varied: the arguments that enter as a whole, and those that enter sample by sample.
    """

    probe: Probe
    polynomials: list[Polynomial]
    shared: tuple[int, ...]
    varied: tuple[int, ...]

    def angles(self, arguments: Sequence[Array]) -> list[Array]:
        """What the polynomials say of other arguments."""
        return [evaluate(p, arguments) for p in self.polynomials]


class _Watched(np.ndarray):
    """An array that notes when a condition, or a count, is made of its numbers."""

    asked: list[str]

    def __array_finalize__(self, source: Any) -> None:
        self.asked = getattr(source, "asked", [])

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        if not isinstance(found, _Watched):  # numpy makes a plain number of one entry
            return _watched(np.asarray(found), self.asked)
        return found

    def __bool__(self) -> bool:
        self.asked.append("bool")
        return bool(np.asarray(self))

    def __int__(self) -> int:
        self.asked.append("int")
        return int(np.asarray(self))

    def __index__(self) -> int:
        self.asked.append("index")
        return int(np.asarray(self))


def watch(arrays: Sequence[Array]) -> tuple[list[Array], list[str]]:
    """Arrays that look the same, and the list in which they note what was asked of them."""
    asked: list[str] = []
    return [_watched(array.copy(), asked) for array in arrays], asked


def _watched(array: Array, asked: list[str]) -> Array:
    out: _Watched = array.view(_Watched)
    out.asked = asked
    return out


def trace(queue: Callable[[Sequence[Array]], Probe], example: Sequence[Array], rng: np.random.Generator) -> Trace:
    """Queue a circuit at several points and find its angles' polynomials.

    Args:
        queue: gives the circuit at some arguments.
        example: float64 arrays.

    Raises:
        NotTraceableError: the structure depends on values, or an angle is nothing simple.
    """
    points = [list(example)] + [_moved(example, rng) for _ in range(POINTS - 1)]
    probes = [_queued(queue, p) for p in points]
    first = probes[0]
    for other in probes[1:]:
        if other.structure != first.structure or other.batch != first.batch:
            raise NotTraceableError("the circuit's gates or measurements depend on the values of its arguments")
    if first.reading.initial is not None:
        raise NotTraceableError("the circuit prepares a state from amplitudes")
    fits = _Fits(queue, points, probes, rng)
    polynomials = [fits.polynomial(k) for k in range(len(first.reading.angles))]
    used = {(kind, a) for p in polynomials for monomial in p for kind, a, _ in monomial}
    shared, varied = (tuple(sorted(a for kind, a in used if kind == want)) for want in ("all", "each"))
    return Trace(first, polynomials, shared, varied)


def evaluate(polynomial: Polynomial, arguments: Sequence[Array]) -> Array:
    """A polynomial's value, () or (B,)."""
    total: Any = np.zeros(())
    for monomial, factor in polynomial.items():
        value: Any = factor
        for v in monomial:
            value = value * _value(v, arguments)
        total = total + value
    return np.asarray(total)


def _value(variable: Variable, arguments: Sequence[Array]) -> Any:
    kind, a, index = variable
    if kind == "all":
        return arguments[a].reshape(-1)[index]
    return arguments[a].reshape(len(arguments[a]), -1)[:, index]


def _moved(example: Sequence[Array], rng: np.random.Generator) -> list[Array]:
    return [a + STEP * rng.uniform(0.2, 1.0, a.shape) * rng.choice([-1.0, 1.0], a.shape) for a in example]


def _queued(queue: Callable[[Sequence[Array]], Probe], point: Sequence[Array]) -> Probe:
    try:
        return queue(point)
    except NotTraceableError:
        raise
    except Exception as error:  # the function may not be defined around the example
        raise NotTraceableError(f"the quantum function fails near the example: {error}") from error


class _Fits:
    """Polynomials for the angles of one circuit, from its angles at several points."""

    def __init__(
        self,
        queue: Callable[[Sequence[Array]], Probe],
        points: list[list[Array]],
        probes: list[Probe],
        rng: np.random.Generator,
    ) -> None:
        self._queue, self._rng = queue, rng
        self.points, self.batch = points, probes[0].batch
        self.angles = [p.angles for p in probes]
        self.variables = self._variables()
        self.columns = [self._column(p) for p in points]  # of each point: (V,) or (B, V)
        self._slopes: list[list[Array]] | None = None

    def _variables(self) -> list[Variable]:
        out: list[Variable] = []
        for a, array in enumerate(self.points[0]):
            out += [("all", a, k) for k in range(array.size)]
            if self.batch is not None and array.ndim and len(array) == self.batch:
                out += [("each", a, k) for k in range(array.size // max(1, len(array)))]
        return out

    def _column(self, point: Sequence[Array]) -> Array:
        """(B, V): the variables for every sample; B is 1 where there is no batch."""
        rows = self.batch or 1
        parts = [np.zeros((rows, 0))]
        for array in point:
            parts.append(np.broadcast_to(array.reshape(-1), (rows, array.size)))
            if self.batch is not None and array.ndim and len(array) == self.batch:
                parts.append(array.reshape(rows, -1))
        return np.concatenate(parts, axis=1)

    def polynomial(self, k: int) -> Polynomial:
        """Of angle k: constant, affine in one variable, affine in several, or of degree 2 in a few."""
        values = [np.atleast_1d(angles[k]) for angles in self.angles]
        varies = self.angles[0][k].ndim > 0
        if all(np.allclose(v, values[0].reshape(-1)[0], rtol=0, atol=1e-14) for v in values):
            return {(): float(values[0].reshape(-1)[0])}
        allowed = np.array([varies or kind == "all" for kind, _, _ in self.variables])
        return self._single(values, allowed) or self._several(k, values, allowed)

    def _single(self, values: list[Array], allowed: npt.NDArray[np.bool_]) -> Polynomial | None:
        """a + b v: the slope between two points must hold at every other."""
        x = [c[: len(v)] if len(c) >= len(v) else c for c, v in zip(self.columns, values, strict=True)]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (values[1][0] - values[0][0]) / (x[1][0] - x[0][0])
        fits = allowed & np.isfinite(slope) & (slope != 0)
        for xs, v in zip(x, values, strict=True):
            wanted = values[0][0] + slope * (xs - x[0][0])
            fits &= (np.abs(wanted - v[:, None]) <= TOLERANCE * (1 + np.abs(v[:, None]))).all(axis=0)
        found = np.flatnonzero(fits)
        # with a batch of one sample an entry is both; the sample's part is meant
        found = np.array(sorted(found, key=lambda j: self.variables[j][0] != "each"), dtype=int)
        if not len(found):
            return None
        j = int(found[0])
        b = _round(float(slope[j]))
        return _tidy({(): float(values[0][0] - b * x[0][0][j]), (self.variables[j],): b})

    def _several(self, k: int, values: list[Array], allowed: npt.NDArray[np.bool_]) -> Polynomial:
        slopes = self._probed()
        active = [int(j) for j in np.flatnonzero(allowed) if np.any(np.abs(slopes[j][k]) > TOLERANCE)]
        active = self._distinct(active)
        if not active:
            raise NotTraceableError("an angle changes in a way that no single argument explains")
        affine = [((), 0.0), *(((self.variables[j],), 0.0) for j in active)]
        for monomials in ([m for m, _ in affine], self._quadratic(active)):
            if monomials is not None and (found := self._fitted(k, monomials)) is not None:
                return found
        raise NotTraceableError(
            f"an angle depends on {len(active)} entries of the arguments in a way that is no polynomial of degree 2"
        )

    def _distinct(self, active: list[int]) -> list[int]:
        """Without entries of a whole argument where a sample's part explains the same."""
        each = {self.variables[j][1] for j in active if self.variables[j][0] == "each"}
        return [j for j in active if self.variables[j][0] == "each" or self.variables[j][1] not in each]

    def _quadratic(self, active: list[int]) -> list[tuple[Variable, ...]] | None:
        if len(active) > MAX_PRODUCT:
            return None
        v = [self.variables[j] for j in active]
        return [(), *((a,) for a in v), *itertools.combinations_with_replacement(v, 2)]

    def _fitted(self, k: int, monomials: list[tuple[Variable, ...]]) -> Polynomial | None:
        """Least squares at as many points as there are monomials and some more, verified at others."""
        while len(self.points) < len(monomials) + VERIFY + 2:
            point = _moved(self.points[0], self._rng)
            self.points.append(point)
            self.angles.append(_queued(self._queue, point).angles)
            self.columns.append(self._column(point))
        rows, wanted = [], []
        for point, angles in zip(self.points, self.angles, strict=True):
            size = angles[k].ndim and len(angles[k])
            basis = [np.broadcast_to(evaluate({m: 1.0}, point), (size or 1,)) for m in monomials]
            rows.append(np.stack(basis, axis=1))
            wanted.append(np.atleast_1d(angles[k]))
        fit, check = slice(0, len(rows) - VERIFY), slice(len(rows) - VERIFY, None)
        factors = np.linalg.lstsq(np.concatenate(rows[fit]), np.concatenate(wanted[fit]), rcond=None)[0]
        rounded = np.array([_round(f) for f in factors])
        left = np.concatenate(rows[check]) @ rounded - np.concatenate(wanted[check])
        if np.abs(left).max() > TOLERANCE * (1 + np.abs(np.concatenate(wanted[check])).max()):
            return None
        return _tidy(dict(zip(monomials, rounded.tolist(), strict=True)))

    def _probed(self) -> list[list[Array]]:
        """For each variable, how every angle changes with it at one of the points."""
        if self._slopes is None:
            if len(self.variables) > MAX_PROBED:
                raise NotTraceableError(
                    f"an angle depends on several of {len(self.variables)} entries; up to {MAX_PROBED} are searched"
                )
            start, angles = self.points[1], self.angles[1]
            self._slopes = []
            for kind, a, index in self.variables:
                point = [p.copy() for p in start]
                if kind == "all":
                    point[a].reshape(-1)[index] += STEP
                else:
                    point[a].reshape(len(point[a]), -1)[:, index] += STEP
                moved = _queued(self._queue, point).angles
                self._slopes.append([m - n for m, n in zip(moved, angles, strict=True)])
        return self._slopes


def _round(value: float) -> float:
    """A slope of 0.9999999999 is meant to be 1."""
    near = round(value * 5040) / 5040
    return near if abs(near - value) < 1e-10 * max(1.0, abs(value)) else value


def _tidy(polynomial: Polynomial) -> Polynomial:
    return {m: (0.0 if abs(c) < 1e-12 else c) for m, c in polynomial.items() if m == () or abs(c) >= 1e-12}
