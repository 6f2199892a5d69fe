"""From a program on n bits to one on 2n bits that does the same to density matrices.

Owns: the vectorised density matrix: rho[r, c] is amplitude r 2^n + c, so bits n..2n-1 are the row's and get U, bits
0..n-1 are the column's and get conj(U); a KRAUS stands for the whole channel rho -> sum_i K_i rho K_i^+ of its matrices
and becomes one matrix on both. Also where a sweep back through it has to be cut. May not know: channels, circuits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import CircuitError
from ..program import INSTRUCTION, TERM, Opcode, Program, pool_words
from .matrices import Matrix, superoperator

MAX_CHANNEL_BITS = 3  # a superoperator has twice as many, and KRAUS at most 6
_MASKS = ("x_mask", "z_mask", "ctrl_mask", "ctrl_value")


@dataclass(frozen=True, eq=False)
class Step:
    """One instruction on 2n bits, what it reads, and by how much a sweep back multiplies rounding errors there.

    Attributes:
        row: of dtype INSTRUCTION, without its payload.
        constants: float64 numbers of the pool, (0,) where it reads none.
        condition: largest over smallest singular value; infinite where there is no inverse; 1 of a unitary.
        source: position of the instruction it comes from.
    """

    row: np.void
    constants: npt.NDArray[np.float64]
    condition: float
    source: int


def kraus_matrices(program: Program, index: int) -> Matrix:
    """(m, 2^k, 2^k): the matrices of a KRAUS, in the order of its bits."""
    row = program.instructions[index]
    size, count = 1 << int(row["k"]), int(row["t0"])
    start = int(row["payload"])
    flat = program.pool[start : start + 2 * count * size * size]
    return flat.view(np.complex128).reshape(count, size, size)


def doubled(program: Program) -> list[Step]:
    """The steps on 2n bits.

    Raises:
        CircuitError: a channel on more than three qubits.
    """
    maker = _Doubler(program)
    return [step for index in range(len(program.instructions)) for step in maker.steps(index)]


class _Doubler:
    """Makes the steps of one program; equal channels share their matrices."""

    def __init__(self, program: Program) -> None:
        self.program, self.n = program, program.n_bits
        self._channels: dict[tuple[int, int, int], tuple[npt.NDArray[np.float64], float]] = {}
        self._tables: dict[tuple[int, int], npt.NDArray[np.float64]] = {}
        self._mirrors: dict[tuple[int, int], npt.NDArray[np.float64]] = {}  # their complex conjugates

    def steps(self, index: int) -> list[Step]:
        row = self.program.instructions[index]
        opcode = Opcode(row["opcode"])
        if opcode == Opcode.KRAUS:
            return [self._channel(index, row)]
        if opcode == Opcode.PREPARE:
            return [self._prepared(index, row)]
        constants = self._constants(row)
        above, below = self._moved(row, self.n), row.copy()
        mirror = constants
        if opcode in (Opcode.DIAG, Opcode.DENSE):
            key = int(row["payload"]), len(constants)
            if key not in self._mirrors:
                self._mirrors[key] = np.ascontiguousarray(constants.view(np.complex128).conj()).view(np.float64)
            mirror = self._mirrors[key]
        odd = (int(row["x_mask"]) & int(row["z_mask"])).bit_count() % 2 == 1  # conj(P) = -P
        if opcode in (Opcode.PHASE, Opcode.EXP_DIAG) or (opcode == Opcode.PAULI_ROT and not odd):
            below["scale"], below["offset"] = -row["scale"], -row["offset"]
        out = [Step(above, constants, 1.0, index), Step(below, mirror, 1.0, index)]
        if opcode == Opcode.PAULI and odd:
            out.append(Step(self._sign(row), np.zeros(0), 1.0, index))
        return out

    def _moved(self, row: np.void, bits: int) -> np.void:
        out = row.copy()
        for name in _MASKS:
            out[name] = int(row[name]) << bits
        if row["opcode"] == Opcode.SWAP:
            out["t0"], out["t1"] = int(row["t0"]) + bits, int(row["t1"]) + bits
        return out

    def _sign(self, row: np.void) -> np.void:
        """-1 where the controls hold."""
        out: np.void = np.zeros(1, dtype=INSTRUCTION)[0]
        out["opcode"], out["slot"], out["offset"] = Opcode.PHASE, -1, np.pi
        out["ctrl_mask"], out["ctrl_value"] = row["ctrl_mask"], row["ctrl_value"]
        return out

    def _both(self, row: np.void) -> np.void:
        """On the bits of the row and the column."""
        out = row.copy()
        out["x_mask"] = int(row["x_mask"]) << self.n | int(row["x_mask"])
        out["k"] = 2 * int(row["k"])
        return out

    def _prepared(self, index: int, row: np.void) -> Step:
        constants = self._constants(row)
        vector = constants.view(np.complex128)
        return Step(self._both(row), np.kron(vector, vector.conj()).view(np.float64), 1.0, index)

    def _channel(self, index: int, row: np.void) -> Step:
        k = int(row["k"])
        if k > MAX_CHANNEL_BITS:
            raise CircuitError(
                f"a channel of a density matrix acts on at most {MAX_CHANNEL_BITS} wires, got {k}; split it, or use "
                "method='trajectories'"
            )
        key = int(row["payload"]), k, int(row["t0"])
        if key not in self._channels:
            self._channels[key] = with_inverse(superoperator(kraus_matrices(self.program, index)))
        constants, condition = self._channels[key]
        out = self._both(row)
        out["t0"], out["slot"], out["scale"], out["offset"] = 1, -1, 0.0, 0.0
        return Step(out, constants, condition, index)

    def _constants(self, row: np.void) -> npt.NDArray[np.float64]:
        words = pool_words(row["opcode"], row["k"], row["t0"])
        key = int(row["payload"]), words
        if key not in self._tables:
            self._tables[key] = self.program.pool[key[0] : key[0] + words]
        return self._tables[key]


def with_inverse(matrix: Matrix) -> tuple[npt.NDArray[np.float64], float]:
    """The constants of a KRAUS of one matrix, and its condition number; zeros for the inverse where there is none."""
    values = np.linalg.svd(matrix, compute_uv=False)
    condition = float(values[0] / values[-1]) if values[-1] > 1e-14 * values[0] else np.inf
    inverse = np.linalg.inv(matrix) if np.isfinite(condition) else np.zeros_like(matrix)
    both = np.stack([matrix, inverse]).astype(np.complex128)
    return both.reshape(-1).view(np.float64), condition


def assembled(steps: Sequence[Step], program: Program) -> Program:
    """A program on twice the bits with the slots of `program` and without terms."""
    rows = np.array([step.row for step in steps], dtype=INSTRUCTION)
    rows["payload"] = 0
    pool: list[npt.NDArray[np.float64]] = []
    places: dict[int, int] = {}
    size = 0
    for out, step in zip(rows, steps, strict=True):
        if not len(step.constants):
            continue
        if id(step.constants) not in places:
            places[id(step.constants)] = size
            pool.append(step.constants)
            size += len(step.constants)
        out["payload"] = places[id(step.constants)]
    constants = np.concatenate(pool) if pool else np.zeros(0)
    none = np.zeros(0, dtype=TERM)
    return Program(2 * program.n_bits, rows, constants, none, program.n_shared, program.n_per_sample)


def adjoint(step: Step) -> Step:
    """A channel that acts on cotangents: the adjoint of its matrix."""
    size = 1 << int(step.row["k"])
    both = step.constants.view(np.complex128).reshape(2, size, size).conj().transpose(0, 2, 1)
    constants = np.ascontiguousarray(both).reshape(-1).view(np.float64)
    return Step(step.row, constants, step.condition, step.source)


@dataclass(frozen=True, eq=False)
class Piece:
    """Steps that a sweep goes back through at once.

    Attributes:
        undone: whether the sweep undoes them on its way, as gradients by angles need it. Otherwise they are channels
            only, which have no angles: nothing but their adjoints is needed.
    """

    steps: tuple[Step, ...]
    undone: bool


def pieces(steps: Sequence[Step], limit: float, single: Sequence[int] = ()) -> list[Piece]:
    """The steps cut so that no sweep multiplies its rounding errors by more than `limit`.

    Args:
        single: instructions of the program whose channels are pieces of their own.
    """
    alone = frozenset(single)
    out: list[tuple[list[Step], bool]] = []
    grown, closed = 1.0, True
    for step in steps:
        apart, undone = step.source in alone, step.condition <= limit and step.source not in alone
        factor = step.condition if undone else 1.0
        if closed or apart or out[-1][1] != undone or grown * factor > limit:
            out.append(([], undone))
            grown = 1.0
        out[-1][0].append(step)
        grown *= factor
        closed = apart
    return [Piece(tuple(steps), undone) for steps, undone in out] or [Piece((), True)]


def density_bits(n: int, x_mask: int) -> npt.NDArray[np.intp]:
    """(2^n,): where rho[b, b ^ x] stands, for all b."""
    b = np.arange(1 << n, dtype=np.intp)
    return np.asarray(b << n | b ^ x_mask)


def term_table(terms: npt.NDArray[Any], n: int) -> Matrix:
    """(R, 2^n) complex: tr(P rho) = sum_b table[b] rho[b, b ^ x] for terms P of one X mask x."""
    b = np.arange(1 << n, dtype=np.uint64)
    x, z, ctrl, value = (terms[name][:, None] for name in _MASKS)
    signs = 1.0 - 2.0 * (np.bitwise_count(b & z) & np.uint8(1))
    held = (b & ctrl) == value
    return np.asarray(signs * held * 1j ** (np.bitwise_count(x & z) % 4).astype(int))
