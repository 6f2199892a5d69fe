"""The spectrum of H(s) along a schedule: levels, gap, where the gap is least, and the schedule that follows from it.

Owns: H(s) as an operator in a symmetry sector, and eigenvalues. May not know: dynamics. Needs scipy.

What an anneal from the driver's ground state can see are states with the symmetry of that state, so the gap is told
within them: *symmetric* where the energy depends on the number of spins -1 alone (n + 1 states, any n), else *parity*
where there are no fields (2^(n-1) states), else *full*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ArgumentTypeError, ParameterError, suggest
from ..memory import require_bytes
from .exact_space import Diagonal, Problem, Space, check_problem, is_even
from .schedules import Schedule

Array = npt.NDArray[np.float64]
SECTORS = ("auto", "symmetric", "parity", "full")
FINE = 513  # points at which small matrices are looked at
SETTLED = 1e-6  # the s of the least gap has been found when it moves no more than this
MOST_JOINED = 20
DENSE = 256  # below this all eigenvalues at once are quicker than iterating
LOW_BITS = 6  # their sum of X is one matrix product; for the others it moves long rows
VECTORS = 24  # that the iteration holds, at least
RESIDUAL = 1e-8  # as a share of the eigenvalue, whose own error is about the square of it


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The lowest levels of H(s).

    Attributes:
        s: (P,) points of the schedule.
        levels: (P, levels) eigenvalues, ascending.
        sector: "symmetric", "parity" or "full", the states among which they were looked for.
    """

    s: Array
    levels: Array
    sector: str

    @property
    def gaps(self) -> Array:
        """(P,) between the two lowest levels of the sector."""
        return self.levels[:, 1] - self.levels[:, 0]


def energy_levels(
    problem: Problem, schedule: Any = "linear", s: Any = 41, levels: int = 2, sector: str = "auto"
) -> Spectrum:
    """The lowest levels of H(s) along a schedule.

    Args:
        problem: an `Ising` or a `Diagonal`.
        schedule: what `Schedule.of` takes.
        s: points from 0 to 1, or how many, evenly spread.
        levels: how many, at most as many as there are states.
        sector: "auto" for the smallest one that holds the driver's ground state.

    Raises:
        ArgumentError, ArgumentTypeError, ParameterError: an argument out of its range.
        OutOfMemoryError: the vectors do not fit.
    """
    plan, points = Schedule.of(schedule), _points(s)
    operator, name = _operator(check_problem(problem), sector)
    size = operator.size
    if isinstance(levels, bool) or not isinstance(levels, int) or not 1 <= levels <= min(64, size):
        raise ArgumentError(f"levels is an integer from 1 to {min(64, size)}, got {levels!r}")
    rows, guess = [], None
    for a, b in zip(*plan(points), strict=True):
        values, vectors = operator.lowest(float(a), float(b), levels, guess)
        guess = vectors.sum(axis=1)
        rows.append(values)
    return Spectrum(points, np.array(rows), name)


def minimum_gap(
    problem: Problem, schedule: Any = "linear", sector: str = "auto", *, level: int = 1, points: int = 17
) -> tuple[float, float]:
    """The least gap between the ground state and a level, and the s where it is.

    Eigenvectors at a few points span a space in which H(s) is a small matrix for all s; where its gap is least, the
    true eigenvectors join them, until that place stays. Source: D. Frame et al., Phys. Rev. Lett. 121, 032501 (2018).

    Args:
        level: 1 for the next level; d for the first one above where d states share the lowest energy at the end.
        points: to begin with, evenly spread.

    Raises:
        As for `energy_levels`.
    """
    plan = Schedule.of(schedule)
    operator, _ = _operator(check_problem(problem), sector)
    least, where, _ = _continued(operator, plan, _points(points), _check_level(level, operator.size))
    return least, where


def locally_adiabatic(
    problem: Problem, schedule: Any = "linear", sector: str = "auto", *, level: int = 1, points: int = 17
) -> Schedule:
    """The same way from driver to problem, slow where the gap is small: ds/dt is proportional to gap(s)^2.

    Source: J. Roland, N. J. Cerf, Phys. Rev. A 65, 042308 (2002).

    Args:
        level, points: as for `minimum_gap`.

    Raises:
        As for `energy_levels`; ArgumentError too where the gap closes, as between states of equal lowest energy.
    """
    plan = Schedule.of(schedule)
    operator, _ = _operator(check_problem(problem), sector)
    least, where, gap = _continued(operator, plan, _points(points), _check_level(level, operator.size))
    spread = where + np.linspace(-1, 1, FINE) ** 3  # most points where the gap is small
    s = np.unique(np.concatenate([np.linspace(0, 1, FINE), spread[(spread > 0) & (spread < 1)], [where]]))
    gaps = gap(s)
    if least <= 1e-9 * gaps.max():
        raise ArgumentError(
            f"the gap closes at s = {where:.6g}, where a locally adiabatic anneal would stand still; where d states "
            "share the lowest energy, take level=d"
        )
    slowness = gaps**-2
    passed = np.append(0, np.cumsum(np.diff(s) * (slowness[1:] + slowness[:-1]) / 2))
    passed /= passed[-1]

    def position(u: Array) -> Array:
        return np.asarray(np.interp(u, passed, s))

    return Schedule(
        lambda u: plan.driver(position(u)), lambda u: plan.problem(position(u)), f"locally adiabatic {plan.name}"
    )


def _continued(
    operator: _Bits | _Weights, plan: Schedule, grid: Array, level: int
) -> tuple[float, float, Callable[[Array], Array]]:
    """The least gap to a level, where it is, and the gap of the small matrices as a function of s."""
    from scipy.optimize import minimize_scalar

    count = level + 1
    require_bytes(8 * operator.size * (len(grid) + 8) * count, f"the eigenvectors at {len(grid)} points")
    basis, driver, problem = np.empty((0, operator.size)), np.empty((0, 0)), np.empty((0, 0))
    guess: Array | None = None

    def join(s: float) -> None:
        nonlocal basis, driver, problem, guess
        a, b = plan(np.array(s))
        _, vectors = operator.lowest(float(a), float(b), count, guess)
        guess = vectors.sum(axis=1)
        fresh: list[Array] = []
        for v in vectors.T:
            for _ in range(2):  # once is not enough for vectors that are nearly in the span
                v = v - (basis @ v) @ basis - sum((w @ v) * w for w in fresh)
            norm = float(np.linalg.norm(v))
            if norm > 1e-7:
                fresh.append(v / norm)
        basis = np.concatenate([basis, np.array(fresh).reshape(-1, operator.size)])
        k = len(driver)
        driver, problem = (np.pad(m, (0, len(basis) - k)) for m in (driver, problem))
        for row, v in enumerate(fresh, k):
            driver[row] = driver[:, row] = basis @ operator.driven(v)
            problem[row] = problem[:, row] = basis @ (operator.energies * v)

    def gap(s: Array) -> Array:
        a, b = plan(s)
        matrices = b[..., None, None] * problem - a[..., None, None] * driver
        values = np.linalg.eigvalsh(matrices)
        return np.asarray(values[..., level] - values[..., 0])

    for s in grid:
        join(float(s))
    fine, before = np.unique(np.concatenate([np.linspace(0, 1, FINE), grid])), np.inf
    for _ in range(MOST_JOINED):
        near = int(np.argmin(gap(fine)))
        bounds = (fine[max(near - 1, 0)], fine[min(near + 1, len(fine) - 1)])
        refine = {"bounds": bounds, "method": "bounded", "options": {"xatol": 1e-9}}
        found = minimize_scalar(lambda s: float(gap(np.array(s))), **refine)
        least, where = min((float(found.fun), float(found.x)), (float(gap(fine[near])), float(fine[near])))
        if abs(where - before) < SETTLED:
            break
        before = where
        join(where)
    return least, where, gap


def _check_level(level: Any, size: int) -> int:
    most = min(63, size - 1)
    if isinstance(level, bool) or not isinstance(level, (int, np.integer)) or not 1 <= level <= most:
        raise ArgumentError(f"level is an integer from 1 to {most}, got {level!r:.60}")
    return int(level)


def lowest(space: Space, schedule: Schedule, s: float, levels: int, guess: Array | None = None) -> tuple[Array, Array]:
    """The lowest levels (K,) of H(s) in a space, and their eigenvectors (2^m, K)."""
    a, b = schedule(np.array(s))
    return _Bits(space).lowest(float(a), float(b), levels, guess)


class _Bits:
    """H = -a D + b diag(energies) on all states of a space; D is the sum of X on every bit, and of X on all at once."""

    def __init__(self, space: Space) -> None:
        self.energies, self.qubits, self.parity = space.energies, space.qubits, space.parity
        self.size = len(self.energies)
        low = np.arange(1 << min(LOW_BITS, self.qubits))
        self._low = np.zeros((len(low), len(low)))
        for k in range(min(LOW_BITS, self.qubits)):
            self._low[low, low ^ 1 << k] = 1

    def driven(self, vector: Array) -> Array:
        """D v (size,)."""
        out = (vector.reshape(-1, len(self._low)) @ self._low).reshape(-1)
        for k in range(LOW_BITS, self.qubits):
            halves, to = vector.reshape(-1, 2, 1 << k), out.reshape(-1, 2, 1 << k)
            to[:, 0] += halves[:, 1]
            to[:, 1] += halves[:, 0]
        if self.parity:
            out += vector[::-1]
        return out

    @cached_property
    def _dense(self) -> Array:
        return np.array([self.driven(row) for row in np.eye(self.size)])

    def lowest(self, a: float, b: float, count: int, guess: Array | None) -> tuple[Array, Array]:
        """(K,) lowest eigenvalues, ascending, and eigenvectors (size, K); `guess` is a vector near all of them."""
        if self.size <= DENSE:
            values, vectors = np.linalg.eigh(b * np.diag(self.energies) - a * self._dense)
            return values[:count], vectors[:, :count]
        from scipy.sparse.linalg import LinearOperator, eigsh

        def times(vector: Array) -> Array:
            flat = vector.reshape(-1)
            return b * self.energies * flat - a * self.driven(flat)

        kept = max(VECTORS, 2 * count + 1)
        require_bytes(8 * (kept + 4) * self.size, f"Lanczos iterations with {self.size} states")
        if guess is None:
            guess = np.full(self.size, self.size**-0.5)
        start = guess + 1e-3 * np.random.default_rng(0).standard_normal(self.size) * self.size**-0.5
        operator = LinearOperator((self.size, self.size), matvec=times, dtype=np.float64)
        values, vectors = eigsh(operator, count, which="SA", v0=start, ncv=kept, tol=RESIDUAL, maxiter=10**5)
        order = np.argsort(values)
        return values[order], vectors[:, order]


class _Weights:
    """Symmetric states, numbered by the number w of spins -1: D couples w and w + 1 by sqrt((w + 1) (n - w))."""

    def __init__(self, weights: Array) -> None:
        self.energies, self.size = weights, len(weights)
        w = np.arange(self.size - 1)
        self.couplings = np.sqrt((w + 1) * (self.size - 1 - w))

    def driven(self, vector: Array) -> Array:
        """D v (size,)."""
        out = np.zeros_like(vector)
        out[1:] = self.couplings * vector[:-1]
        out[:-1] += self.couplings * vector[1:]
        return out

    def lowest(self, a: float, b: float, count: int, guess: Array | None) -> tuple[Array, Array]:
        """As `_Bits.lowest`, from nothing."""
        from scipy.linalg import eigh_tridiagonal

        diagonal, beside = b * self.energies, -a * self.couplings
        values, vectors = eigh_tridiagonal(diagonal, beside, select="i", select_range=(0, count - 1))
        return values, vectors


def _operator(problem: Problem, sector: str) -> tuple[_Bits | _Weights, str]:
    """The operator of a sector, and the name of it.

    Raises:
        ArgumentError: an unknown sector, or one that the problem does not have.
    """
    if sector not in SECTORS:
        raise ArgumentError(f"a sector is one of {SECTORS}, got {sector!r}.{suggest(str(sector), SECTORS)}")
    if sector in ("auto", "symmetric"):
        weights = _by_weight(problem)
        if weights is not None:
            return _Weights(weights), "symmetric"
        if sector == "symmetric":
            raise ArgumentError("the energy does not depend on the number of spins -1 alone; sector='auto' knows")
    parity = problem.n > 1 and is_even(problem)
    if sector == "parity" and not parity:
        raise ArgumentError("sector='parity' needs a problem of two spins or more, and without fields")
    parity &= sector != "full"
    return _Bits(Space(problem, parity)), "parity" if parity else "full"


def _by_weight(problem: Problem) -> Array | None:
    """(n + 1,) energies by the number of spins -1, where they depend on that alone."""
    n = problem.n
    if isinstance(problem, Diagonal):
        if problem.weights is not None:
            return problem.weights
        weights = problem.energies[(1 << np.arange(n + 1)) - 1]
        count = np.bitwise_count(np.arange(1 << n, dtype=np.uint32))
        return weights if (problem.energies == weights[count]).all() else None
    every = len(problem.pairs) == n * (n - 1) // 2
    if not (problem.fields == problem.fields[0]).all() or not (every or not len(problem.pairs)):
        return None
    if len(problem.pairs) and not (problem.couplings == problem.couplings[0]).all():
        return None
    m = n - 2.0 * np.arange(n + 1)
    j = problem.couplings[0] if len(problem.pairs) else 0.0
    return np.asarray(problem.offset + problem.fields[0] * m + j * (m**2 - n) / 2)


def _points(s: Any) -> Array:
    if isinstance(s, (int, np.integer)) and not isinstance(s, bool):
        if not 2 <= s <= 10**6:
            raise ArgumentError(f"points are from 2 to 1,000,000, got {s}")
        return np.linspace(0, 1, int(s))
    try:
        out = np.array(s, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"points are numbers, or how many, got {s!r:.60}") from None
    if not len(out) or not ((out >= 0) & (out <= 1)).all():
        raise ParameterError(f"points of a schedule are from 0 to 1, got {out.tolist()!r:.60}")
    return out
