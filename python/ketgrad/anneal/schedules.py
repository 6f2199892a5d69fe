"""`Schedule`: how strongly driver and problem act along an anneal; `Path`: where on it the anneal is at which time.

Owns: H(s) = -A(s) sum_i X_i + B(s) H_P, the named schedules, tables and files, and s(t). May not know: engines.

This is the one convention here, with hbar = 1: A and B are angular frequencies, times are in units of their inverse.
D-Wave writes H / h = -A/2 sum_i X_i + B/2 H_P with A and B in GHz, which is a scale of pi and times in nanoseconds.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ArgumentTypeError, DataError, ParameterError, suggest

Array = npt.NDArray[np.float64]
Function = Callable[[Array], Any]

_NAMED: dict[str, tuple[Function, Function]] = {
    "linear": (lambda s: 1 - s, lambda s: s),
    "circular": (lambda s: np.cos(np.pi / 2 * s), lambda s: np.sin(np.pi / 2 * s)),
    "quadratic": (lambda s: (1 - s) ** 2, lambda s: s**2),
}
NAMES = tuple(_NAMED)
ALIGNED_KNOTS = 64  # a table of more is taken for a smooth function


@dataclass(frozen=True, eq=False)
class Schedule:
    """A(s) and B(s) of H(s) = -A(s) sum_i X_i + B(s) H_P, for s from 0 to 1.

    Attributes:
        driver, problem: A and B, functions of an array of s.
        name: for reports.
        knots: (3, K) rows s, A, B of a table, which is linear in between; None of functions.
    """

    driver: Function
    problem: Function
    name: str = "custom"
    knots: Array | None = None

    @classmethod
    def of(cls, what: Any) -> Schedule:
        """A schedule from a name, a CSV file, a pair of functions (A, B), or a table (s, A, B).

        Raises:
            ArgumentError, ArgumentTypeError, ParameterError, DataError: it is none of these.
        """
        if isinstance(what, Schedule):
            return what
        if isinstance(what, os.PathLike) or (isinstance(what, str) and what.endswith(".csv")):
            return cls.from_csv(what)
        if isinstance(what, str):
            if what not in _NAMED:
                raise ArgumentError(f"a schedule is one of {NAMES}, got {what!r}.{suggest(what, NAMES)}")
            return cls(*_NAMED[what], what)
        parts = tuple(what) if isinstance(what, (tuple, list, np.ndarray)) else ()
        if len(parts) == 2 and all(callable(p) for p in parts):
            return cls(*parts)
        if len(parts) == 3 and not any(callable(p) for p in parts):
            return cls.table(*parts)
        raise ArgumentTypeError(
            f"a schedule is one of {NAMES}, a CSV file, two functions (A, B) or a table (s, A, B), got {what!r:.60}"
        )

    @classmethod
    def table(cls, s: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike, name: str = "table") -> Schedule:
        """A table, linear between its knots; s ascends from 0 to 1.

        Raises:
            ParameterError: s that does not, other lengths, or numbers that are not finite.
        """
        columns = [_numbers(c, f"a schedule's {what}") for c, what in zip((s, a, b), "sAB", strict=True)]
        if len({len(c) for c in columns}) > 1 or len(columns[0]) < 2:
            lengths = tuple(len(c) for c in columns)
            raise ParameterError(f"a schedule's s, A and B have one length of at least 2, got {lengths}")
        x, rows = columns[0], np.array(columns)
        if x[0] != 0 or x[-1] != 1 or not (np.diff(x) > 0).all():
            raise ParameterError(f"a schedule's s ascends from 0 to 1, got {x[0]:g} to {x[-1]:g}, {len(x)} rows")
        return cls(lambda at: np.interp(at, x, rows[1]), lambda at: np.interp(at, x, rows[2]), name, rows)

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str], scale: float = math.pi) -> Schedule:
        """A table from a file with D-Wave's columns: s, A(s), B(s), told by their names; others are ignored.

        Args:
            scale: what A and B are multiplied by; pi for A and B in GHz and H / h = -A/2 sum X + B/2 H_P, with times
                in nanoseconds.

        Raises:
            DataError: a file that cannot be read; the text names the line.
        """
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                rows = [(n, [c.strip() for c in row]) for n, row in enumerate(csv.reader(file), 1) if any(row)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path}: {error}") from None
        names = [c.lower().split("(")[0].strip() for c in rows[0][1]] if rows else []
        missing = [c for c in "sab" if c not in names]
        if missing:
            raise DataError(f"{path}: line 1 names columns s, A(s) and B(s), got {names}")
        where, table = [names.index(c) for c in "sab"], []
        for number, row in rows[1:]:
            try:
                table.append([float(row[k]) for k in where])
            except (ValueError, IndexError):
                raise DataError(f"{path}: line {number} needs numbers s, A and B, got {','.join(row)!r:.60}") from None
        try:
            columns = np.array(table, dtype=np.float64).reshape(-1, 3).T
            return cls.table(columns[0], columns[1], columns[2], os.path.basename(path)).scaled(scale, scale)
        except ParameterError as error:
            raise DataError(f"{path}: {error}") from None

    def scaled(self, driver: float = 1.0, problem: float = 1.0) -> Schedule:
        """The same with A and B multiplied by numbers, as 1/2 for the convention with halves."""
        first, second = (_number(v, "a scale") for v in (driver, problem))
        if self.knots is not None:
            s, a, b = self.knots
            return Schedule.table(s, first * a, second * b, self.name)
        return Schedule(lambda s: first * self.driver(s), lambda s: second * self.problem(s), self.name)

    def __call__(self, s: npt.ArrayLike) -> tuple[Array, Array]:
        """A and B, each of the shape of s.

        Raises:
            ParameterError: a function that gives another shape, or numbers that are not finite.
        """
        at = np.asarray(s, dtype=np.float64)
        return _values(self.driver, at, "A"), _values(self.problem, at, "B")

    def to_knots(self, s: Array, driver: Array, problem: Array) -> tuple[Array, Array]:
        """Gradients by the table's A and B, (K,) each, from those by A and B at points `s`.

        Raises:
            ArgumentError: a schedule without knots.
        """
        if self.knots is None:
            raise ArgumentError("only a table has knots; make one with Schedule.table(s, A, B)")
        x = self.knots[0]
        right = np.clip(np.searchsorted(x, s), 1, len(x) - 1)
        share = (s - x[right - 1]) / (x[right] - x[right - 1])

        def spread(g: Array) -> Array:
            out = np.zeros(len(x))
            np.add.at(out, right - 1, (1 - share) * g)
            np.add.at(out, right, share * g)
            return out

        return spread(driver), spread(problem)

    def __repr__(self) -> str:
        return f"Schedule({self.name})"


@dataclass(frozen=True, eq=False)
class Path:
    """s(t), linear between points: an anneal of one slope, or with pauses, quenches and ways back.

    Attributes:
        times: (K,) ascending from 0.
        values: (K,) s from 0 to 1.
    """

    times: Array
    values: Array

    @classmethod
    def of(cls, time: Any = None, points: Any = None) -> Path:
        """From an annealing time (s goes from 0 to 1), or from points [[t, s], ...]; one of both.

        Raises:
            ArgumentError: both or none, or a time that is not positive.
            ParameterError: times that do not ascend from 0, or an s outside of 0 to 1.
        """
        if (time is None) == (points is None):
            raise ArgumentError("an anneal has either a time or a path [[t, s], ...]; give one of both")
        if points is None:
            total = _number(time, "the annealing time")
            if total <= 0:
                raise ArgumentError(f"the annealing time must be above 0, got {total:g}")
            return cls(np.array([0.0, total]), np.array([0.0, 1.0]))
        if isinstance(points, Path):
            return points
        try:
            rows = np.array(points, dtype=np.float64)
        except (TypeError, ValueError):
            rows = np.zeros(0)
        if rows.ndim != 2 or rows.shape[1] != 2 or len(rows) < 2 or not np.isfinite(rows).all():
            raise ParameterError(f"a path is a list of at least two [t, s], got {points!r:.60}")
        if rows[0, 0] != 0 or not (np.diff(rows[:, 0]) > 0).all():
            raise ParameterError(f"a path's times ascend from 0, got {rows[:, 0].tolist()}")
        if rows[:, 1].min() < 0 or rows[:, 1].max() > 1:
            raise ParameterError(f"a path's s is from 0 to 1, got {rows[:, 1].tolist()}")
        return cls(rows[:, 0].copy(), rows[:, 1].copy())

    @property
    def total(self) -> float:
        """The time of the whole anneal."""
        return float(self.times[-1])

    def __call__(self, times: Array) -> Array:
        """s at some times."""
        return np.interp(times, self.times, self.values)

    def kinks(self, schedule: Schedule) -> Array:
        """Times, 0 and the last included, between which A and B are smooth functions of time."""
        found = [self.times]
        if schedule.knots is not None and schedule.knots.shape[1] <= ALIGNED_KNOTS:
            inner = schedule.knots[0][1:-1]
            for t, s, u, v in zip(self.times, self.values, self.times[1:], self.values[1:], strict=False):
                between = inner[(inner > min(s, v)) & (inner < max(s, v))]
                found.append(t + (u - t) * (between - s) / (v - s) if len(between) else between)
        every = np.unique(np.concatenate(found))
        kept = np.append(True, np.diff(every) > 1e-12 * self.total)
        kept[np.searchsorted(every, self.times)] = True
        return np.asarray(every[kept])


def _numbers(values: Any, what: str) -> Array:
    try:
        out = np.array(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise ParameterError(f"{what} are numbers, got {values!r:.60}") from None
    bad: Iterable[int] = np.flatnonzero(~np.isfinite(out)).tolist()
    for k in bad:
        raise ParameterError(f"{what} must be finite, got {out[k]} at {k}")
    return out


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ArgumentTypeError(f"{what} is a number, got {value!r:.60}")
    if not math.isfinite(value):
        raise ArgumentError(f"{what} must be finite, got {value}")
    return float(value)


def _values(function: Function, s: Array, name: str) -> Array:
    try:
        out = np.broadcast_to(np.asarray(function(s), dtype=np.float64), s.shape)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"a schedule's {name} takes an array of s and gives as many numbers: {error}") from None
    if not np.isfinite(out).all():
        raise ParameterError(f"a schedule's {name} must be finite, got {out[~np.isfinite(out)][0]}")
    return out
