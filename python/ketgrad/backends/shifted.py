"""Shifted circuits: a program with one angle moved, many of them for every sample of a batch; values and shots.

Owns: what a shift and a measurement setting are, the calls with their checks, and `RowShifts`, which any backend can
do: every shifted circuit is a row of a batch. May not know: rules, gates, observables.

Shapes: B samples, K rows (shifted circuits of each sample), R terms, G settings, T outputs of all settings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import ParameterError
from ..memory import require_bytes
from ..program import Program, with_free_angles
from .contract import Array, Backend, Outcomes, States, Tallies, checked_slots

Integers = npt.NDArray[np.int64]

MAX_NODES = 2  # of a bundle
CHUNK_ENTRIES = 1 << 22  # angles held at once
CHUNK_BYTES = 64 << 20  # states held at once
TABLE_BITS = 12  # up to here outcomes are looked up in the table of all
_TO_Z = {"x": (1, 1, 1, -1), "y": (1, -1j, 1, 1j)}  # times sqrt(1/2)


class Shifts(NamedTuple):
    """The rows of each sample, and what they can be made from.

    A row is the program with the angle of one instruction moved by a shift. Its final state is a sum, with the row's
    weights, of the unshifted one's and those of the nodes (other shifts of the same instruction) of its bundle.
    """

    position: Integers  # (K,), the instruction's place in program.parametrised
    shift: Array  # (K,)
    bundle: Integers  # (K,)
    weights: npt.NDArray[np.complex128]  # (K, 1 + MAX_NODES)
    instruction: Integers  # (N,) of each bundle
    nodes: Integers  # (N,): how many, 1 to MAX_NODES
    node_shifts: Array  # (N, MAX_NODES)

    def some(self, rows: slice) -> Shifts:
        """Some of the rows, with their bundles."""
        used, bundle = np.unique(self.bundle[rows], return_inverse=True)
        return Shifts(
            self.position[rows],
            self.shift[rows],
            bundle.astype(np.int64),
            self.weights[rows],
            self.instruction[used],
            self.nodes[used],
            self.node_shifts[used],
        )


@dataclass(frozen=True, eq=False)
class Setting:
    """One way to measure: bits in X, Y or Z, and what each output reads from an outcome.

    A term is (coefficient, z_mask, ctrl_mask, ctrl_value), masks of an outcome.
    """

    letters: tuple[tuple[int, str], ...]  # (bit, letter) of the measured bits, descending
    outputs: tuple[tuple[int, tuple[tuple[float, int, int, int], ...]], ...]  # (m, terms)

    @cached_property
    def bits(self) -> tuple[int, ...]:
        """The measured bits, the first the most significant of an outcome."""
        return tuple(bit for bit, _ in self.letters)

    def mask(self, letters: str) -> int:
        """The bits that are measured in one of these letters."""
        return sum(1 << bit for bit, letter in self.letters if letter in letters)

    @cached_property
    def table(self) -> Array:
        """(outputs, 2^k): the values of all outcomes."""
        return self._values(np.arange(1 << len(self.bits), dtype=np.uint64))

    def values(self, outcomes: Outcomes) -> Array:
        """(outputs, ...): their values for each outcome."""
        return self.table[:, outcomes] if len(self.bits) <= TABLE_BITS else self._values(outcomes)

    def _values(self, outcomes: Outcomes) -> Array:
        total = np.zeros((len(self.outputs), *outcomes.shape))
        for row, (_, terms) in zip(total, self.outputs, strict=True):
            for c, z, mask, value in terms:
                parity = np.bitwise_count(outcomes & np.uint64(z)) & 1
                term = np.where(parity, -c, c)
                row += np.where((outcomes & np.uint64(mask)) == np.uint64(value), term, 0.0) if mask else term
        return total

    def moments(self, tallies: Tallies, shots: int) -> tuple[Array, Array]:
        """(rows, outputs): mean of the values of `shots` outcomes of each row, and variance (n - 1; 0 for one shot)."""
        row = np.repeat(np.arange(len(tallies.starts) - 1), np.diff(tallies.starts))
        mean, variance = [], []
        for value in self.values(tallies.outcomes):
            mean.append(np.bincount(row, tallies.counts * value) / shots)
            second = np.bincount(row, tallies.counts * (value - mean[-1][row]) ** 2)
            variance.append(second / max(1, shots - 1))
        return np.stack(mean, axis=1), np.stack(variance, axis=1)

    def turned(self, states: States) -> States:
        """States (rows, 2^n) after the rotations that turn X and Y on a bit into Z."""
        for bit, letter in self.letters:
            if letter == "Z":
                continue
            pairs = states.reshape(len(states), -1, 2, 1 << bit)
            a, b, c, d = np.array(_TO_Z[letter.lower()], dtype=states.dtype) * states.real.dtype.type(np.sqrt(0.5))
            low, high = pairs[:, :, 0], pairs[:, :, 1]
            states = np.stack([a * low + b * high, c * low + d * high], axis=2).reshape(states.shape)
        return states


class ShiftedPlan(ABC):
    """A program made ready to run with one angle moved. Immutable; may be used from many threads at once."""

    def __init__(self, program: Program, dtype: np.dtype[Any]) -> None:
        self.program = program
        self.dtype = dtype

    def values(self, shared: Array, per_sample: Array, shifts: Shifts) -> Array:
        """(B, K, R): exact expectation values of the terms.

        Args:
            shared: (S,) angles in radians, before each instruction's scale and offset.
            per_sample: (B, F).

        Raises:
            ParameterError: wrong shape or not finite.
            OutOfMemoryError: the states do not fit.
        """
        shared, per_sample = checked_slots(self.program, shared, per_sample)
        require_bytes(8 * len(per_sample) * len(shifts.shift) * len(self.program.terms), "the shifted values")
        return self._values(shared, per_sample, shifts)

    def moments(
        self,
        shared: Array,
        per_sample: Array,
        shifts: Shifts,
        settings: Sequence[Setting],
        shots: Integers,
        uniforms: Array,
    ) -> tuple[Array, Array]:
        """(B, K, T): mean and variance of the outputs of all settings over shots from each row's own distribution.

        Args:
            shots: (B, K, G), each at least 1.
            uniforms: one number in [0, 1) for each shot, in the order of `shots`; see `Backend.sample`.
        """
        shared, per_sample = checked_slots(self.program, shared, per_sample)
        wanted = (len(per_sample), len(shifts.shift), len(settings))
        if shots.shape != wanted or shots.size and shots.min() < 1:
            raise ParameterError(f"shots must be at least 1 and of shape {wanted}, got shape {shots.shape}")
        if uniforms.shape != (shots.sum(),):
            raise ParameterError(f"uniforms must be {shots.sum()} numbers, got shape {uniforms.shape}")
        return self._moments(shared, per_sample, shifts, settings, shots, uniforms)

    @abstractmethod
    def _values(self, shared: Array, per_sample: Array, shifts: Shifts) -> Array: ...

    @abstractmethod
    def _moments(
        self,
        shared: Array,
        per_sample: Array,
        shifts: Shifts,
        settings: Sequence[Setting],
        shots: Integers,
        uniforms: Array,
    ) -> tuple[Array, Array]: ...


def free_angles(program: Program, shared: Array, per_sample: Array) -> Array:
    """(B, I + C): the slots of `with_free_angles`, angles of the parametrised instructions and then the choices."""
    slots = np.concatenate([np.broadcast_to(shared, (len(per_sample), len(shared))), per_sample], axis=1)
    rows = program.instructions[np.concatenate([program.parametrised, program.choices])]
    return np.asarray(rows["offset"] + rows["scale"] * slots[:, rows["slot"]])


class RowShifts(ShiftedPlan):
    """Every shifted circuit as a row of a batch, run from its start."""

    def __init__(self, backend: Backend, program: Program, dtype: np.dtype[Any]) -> None:
        super().__init__(program, dtype)
        self._backend = backend
        self._plan = backend.prepare(with_free_angles(program), dtype)

    def _values(self, shared: Array, per_sample: Array, shifts: Shifts) -> Array:
        base = free_angles(self.program, shared, per_sample)
        out = np.zeros((len(base) * len(shifts.shift), len(self.program.terms)))
        step = max(1, CHUNK_ENTRIES // max(1, base.shape[1]))
        for start in range(0, len(out), step):
            rows = np.arange(start, min(start + step, len(out)))
            out[rows] = self._plan.forward(np.zeros(0), self._angles(base, shifts, rows))[0]
        return out.reshape(len(base), len(shifts.shift), out.shape[1])

    def _settled(self, angles: Array) -> Callable[[Setting], States]:
        """What gives the states of these circuits, turned so that a setting measures Zs."""
        states = self._plan.states(np.zeros(0), angles)
        return lambda setting: setting.turned(states)

    def _angles(self, base: Array, shifts: Shifts, rows: npt.NDArray[np.intp]) -> Array:
        sample, row = np.divmod(rows, len(shifts.shift))
        angles = base[sample]
        angles[np.arange(len(rows)), shifts.position[row]] += shifts.shift[row]
        return angles

    def _moments(
        self,
        shared: Array,
        per_sample: Array,
        shifts: Shifts,
        settings: Sequence[Setting],
        shots: Integers,
        uniforms: Array,
    ) -> tuple[Array, Array]:
        base = free_angles(self.program, shared, per_sample)
        flat, first = shots.reshape(-1, len(settings)), np.cumsum(np.r_[0, shots.ravel()])
        starts = first[:-1].reshape(flat.shape)
        mean = np.zeros((len(flat), sum(len(s.outputs) for s in settings)))
        variance = np.zeros_like(mean)
        row_bytes = self.dtype.itemsize << self.program.n_bits
        step = max(1, min(CHUNK_ENTRIES // max(1, base.shape[1]), CHUNK_BYTES // row_bytes))
        for begin in range(0, len(flat), step):
            rows = np.arange(begin, min(begin + step, len(flat)))
            turn = self._settled(self._angles(base, shifts, rows))
            column = 0
            for g, setting in enumerate(settings):
                turned, outputs = turn(setting), slice(column, column + len(setting.outputs))
                for count in np.unique(flat[rows, g]).tolist():
                    here = np.flatnonzero(flat[rows, g] == count)
                    drawn = uniforms[starts[rows[here], g][:, None] + np.arange(count)]
                    tallies = self._backend.counts(turned[here], drawn, setting.bits)
                    mean[rows[here], outputs], variance[rows[here], outputs] = setting.moments(tallies, count)
                column = outputs.stop
        shape = (*shots.shape[:2], mean.shape[1])
        return mean.reshape(shape), variance.reshape(shape)
