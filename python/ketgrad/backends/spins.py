"""Spins that interact, and what a backend does with them: annealing of spins and of their paths in imaginary time.

Owns: couplings in whole units, the schedules as kernels take them, and the checks that all backends share. A backend
subclasses `SpinEngine`. May not know: problems, samplers.

Shapes: n spins, E couplings, R reads, S sweeps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ParameterError
from ..memory import require_bytes

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Spins = npt.NDArray[np.int8]

NARROW = 127  # fields up to this are bytes
WIDEST = 1 << 30
MAX_SWEEPS = (1 << 31) - 1
MAX_READS = (1 << 40) - 1
MAX_SLICES = 1 << 16


@dataclass(frozen=True, eq=False)
class SpinModel:
    """E(s) = unit * (sum_i fields[i] s_i + sum over pairs of couplings s_i s_j), all in whole numbers.

    Attributes:
        fields: (n,) int32.
        starts: (n + 1,) int32: where the neighbours of each spin start.
        neighbours: (2 E,) int32, every pair from both sides.
        couplings: (2 E,) int32.
        unit: the energy of 1.
        most: the largest field that a spin can feel.
    """

    fields: Integers
    starts: Integers
    neighbours: Integers
    couplings: Integers
    unit: float
    most: int

    @classmethod
    def of(
        cls, fields: Array, starts: npt.ArrayLike, neighbours: npt.ArrayLike, couplings: Array, copies: int = 1
    ) -> SpinModel:
        """From numbers, which are exact where they are multiples of one unit, and else rounded to 2^-30 / copies of the
        largest field that a spin can feel.

        Raises:
            ParameterError: more than 2^31 - 1 spins or neighbours.
        """
        if max(len(fields), len(couplings)) > np.iinfo(np.int32).max:
            raise ParameterError(f"annealing takes up to 2^31 - 1 neighbours, got {len(couplings):,}")
        rows = np.ascontiguousarray(starts, dtype=np.int32)
        unit = _unit(np.concatenate([fields, couplings]), float(_bounds(fields, rows, couplings).max()), copies)
        h, j = (np.rint(v / unit).astype(np.int32) for v in (fields, couplings))
        most = int(_bounds(h, rows, j).max())
        return cls(h, rows, np.ascontiguousarray(neighbours, dtype=np.int32), j, unit, most)

    @property
    def n(self) -> int:
        """How many spins."""
        return len(self.fields)

    @property
    def narrow(self) -> bool:
        """Whether fields fit into bytes: four times as many reads side by side."""
        return self.most <= NARROW


def _bounds(fields: npt.NDArray[Any], starts: Integers, couplings: npt.NDArray[Any]) -> Array:
    """(n,) the largest field that each spin can feel."""
    sums = np.concatenate([[0.0], np.cumsum(np.abs(couplings), dtype=np.float64)])
    return np.asarray(np.abs(fields) + sums[starts[1:]] - sums[starts[:-1]], dtype=np.float64)


def _unit(values: Array, most: float, copies: int) -> float:
    """The unit of which all values are multiples, or else the finest that fits."""
    sizes = np.unique(np.abs(values[values != 0]))
    if not len(sizes):
        return 1.0
    room = WIDEST // copies
    for part in range(1, 9):
        unit = float(sizes[0]) / part
        ratios = sizes / unit
        if most / unit <= room and (np.abs(ratios - np.rint(ratios)) <= 1e-12 * ratios).all():
            return unit
    return most / (0.99 * room - 1)


class ReadRange(NamedTuple):
    """Reads first .. first + number - 1 of a seed; the first of them start from rows of `initial` (k, n)."""

    seed: int
    first: int
    number: int
    initial: Spins


class Paths(NamedTuple):
    """Of every read the slice of lowest energy (R, n), the mean energy of its slices, and its mean of sigma-x (R,)."""

    spins: Spins
    energies: Array
    magnetisations: Array


class SpinEngine(ABC):
    """A model made ready to be annealed. Read k of a seed is the same in every call, backend and number of threads."""

    updates_per_second: float  # about

    def __init__(self, model: SpinModel) -> None:
        self.model = model

    def anneal(self, betas: Array, sweeps: int, reads: ReadRange) -> Spins:
        """Metropolis sweeps over the spins in their order, `sweeps` at each inverse temperature.

        Returns:
            (R, n) spins +-1 at the end.

        Raises:
            ArgumentError: 2^31 sweeps or more.
            OutOfMemoryError: the spins do not fit.
        """
        self._check(len(betas) * sweeps, reads, 8)
        costs = 2.0 * np.asarray(betas, dtype=np.float64) * self.model.unit
        rates = np.exp(-costs) if self.model.narrow else costs
        return self._anneal(np.ascontiguousarray(rates), sweeps, reads)

    def anneal_paths(
        self,
        classical: Array,
        transverse: Array,
        slices: int,
        reads: ReadRange,
        lines: bool = True,
        measured: int = 1,
    ) -> Paths:
        """Metropolis sweeps over paths: exp(-sum over slices of classical E(s) / slices), neighbours in time coupled.

        The Suzuki-Trotter weight of exp(classical E(Z) - transverse sum X): M. Suzuki, Prog. Theor. Phys. 56, 1454
        (1976). Slices that are neighbours are coupled by K = log(coth(transverse / slices)) / 2.

        Args:
            classical: (S,) inverse temperature times the scale of E, one sweep each.
            transverse: (S,) inverse temperature times the transverse field, at least 0.
            slices: even, from 2.
            lines: after every sweep over slices, another that turns spins over in all slices at once.
            measured: how many of the last sweeps the means are of.

        Raises:
            ArgumentError: slices that are odd or too many, or 2^31 sweeps or more.
            OutOfMemoryError: the paths do not fit.
        """
        if slices < 2 or slices % 2 or slices > MAX_SLICES:
            raise ArgumentError(f"the number of slices must be even and from 2 to {MAX_SLICES:,}, got {slices}")
        if self.model.most * slices > WIDEST:
            raise ArgumentError(f"a model for {slices} slices is made with copies={slices}")
        self._check(len(classical), reads, 8 * max(slices, 32))
        with np.errstate(divide="ignore"):
            step = np.asarray(transverse, dtype=np.float64) / slices
            kept, broken = np.tanh(step), 1.0 / np.tanh(step)
            bond = np.where(step > 0, 2.0 * np.log(broken), np.inf)
        steps = np.stack([2.0 * np.asarray(classical) / slices * self.model.unit, np.minimum(bond, 1e30), kept,
                          np.where(step > 0, broken, 0.0)], axis=1)  # fmt: skip
        spins, energies, magnetisations = self._anneal_paths(
            np.ascontiguousarray(steps), slices, bool(lines), measured, reads
        )
        return Paths(spins, energies * self.model.unit, magnetisations)

    @abstractmethod
    def together(self, slices: int = 1) -> int:
        """How many reads run side by side at no further cost, on all threads."""

    def seconds(self, sweeps: int, slices: int = 1) -> float:
        """About what so many sweeps over the spins of those reads take."""
        return sweeps * self.model.n * self.together(slices) / self.updates_per_second

    def _check(self, sweeps: int, reads: ReadRange, lanes: int) -> None:
        if not 0 <= sweeps <= MAX_SWEEPS:
            raise ArgumentError(f"annealing takes up to {MAX_SWEEPS:,} sweeps, got {sweeps:,}")
        if reads.first + reads.number > MAX_READS:
            raise ArgumentError(f"annealing takes up to {MAX_READS:,} reads, got {reads.first + reads.number:,}")
        require_bytes((32 * lanes + reads.number) * self.model.n, f"{reads.number:,} reads of {self.model.n:,} spins")

    @abstractmethod
    def _anneal(self, rates: Array, sweeps: int, reads: ReadRange) -> Spins:
        """`rates` are exp(-2 beta unit) where the model is narrow, else 2 beta unit."""

    @abstractmethod
    def _anneal_paths(
        self, steps: Array, slices: int, lines: bool, measured: int, reads: ReadRange
    ) -> tuple[Spins, Array, Array]:
        """`steps` (S, 4): exponents of a unit of cost and of both bonds, and what bonds are worth in sigma-x."""
