"""`Program`: the machine data a circuit is lowered to, and the only thing a backend reads.

Owns: the 64-byte instruction, the opcode numbers, the observable's row, and their printed form. May not know:
gate names, wires, Python circuits. csrc/instruction.hpp repeats the layout; a test holds the two together.

Bit b of a mask is bit b of a basis-state index. Angle = offset + scale * slots[slot]; slot -1 is a constant.
A Pauli word is P = i^{|x & z|} X^x Z^z. Slots below `n_shared` have one value for the batch, the others one for
each sample. `payload` is an index into the pool of float64 (complex numbers as pairs, real part first).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import CircuitError

MAX_BITS = 62


class Opcode(IntEnum):
    """What an instruction does; "where controls hold" means (i & ctrl_mask) == ctrl_value."""

    PREPARE = 0  # first only: amplitudes from the pool on the k bits of x_mask, |0> elsewhere
    PHASE = 1  # e^{i angle} where controls hold
    PAULI = 2  # the word (x_mask, z_mask) where controls hold
    PAULI_ROT = 3  # exp(-i angle P / 2) where controls hold
    PAIR_ROT = 4  # real rotation by angle/2 between v = ctrl_value & x_mask and v ^ x_mask, sign from z_mask
    SWAP = 5  # exchange bits t0 and t1 where controls hold
    DIAG = 6  # 2^k diagonal from the pool on the bits of z_mask
    EXP_DIAG = 7  # e^{i angle d[x]}, d the 2^k reals in the pool, on the bits of z_mask
    DENSE = 8  # 2^k x 2^k matrix from the pool on the bits of x_mask, ascending
    KRAUS = 9  # one of t0 such matrices, not necessarily unitary; which one is what elsewhere is the angle, rounded


INSTRUCTION = np.dtype(
    [
        ("x_mask", "<u8"),
        ("z_mask", "<u8"),
        ("ctrl_mask", "<u8"),
        ("ctrl_value", "<u8"),
        ("scale", "<f8"),
        ("offset", "<f8"),
        ("slot", "<i4"),
        ("payload", "<i4"),
        ("opcode", "u1"),
        ("k", "u1"),
        ("t0", "u1"),
        ("t1", "u1"),
        ("pad", "<u4"),
    ]
)

TERM = np.dtype([("x_mask", "<u8"), ("z_mask", "<u8"), ("ctrl_mask", "<u8"), ("ctrl_value", "<u8")])

POOL_WORDS = {Opcode.PREPARE: 2, Opcode.DIAG: 2, Opcode.EXP_DIAG: 1}  # float64 per 2^k; DENSE has 2 * 4^k


def pool_words(opcode: int, k: int, count: int = 0) -> int:
    """How many float64 of the pool an instruction reads; `count` is the number of matrices of a KRAUS, its t0.

    A KRAUS has its matrices one after another, and after them their inverses, by which a sweep back undoes them. What
    stands there for a matrix without inverse is never used: whoever differentiates cuts the program before it.
    """
    if opcode == Opcode.DENSE:
        return 2 << (2 * int(k))
    if opcode == Opcode.KRAUS:
        return 2 * int(count) * (2 << (2 * int(k)))
    return POOL_WORDS.get(Opcode(opcode), 0) << int(k)


_MASKS = ("x_mask", "z_mask", "ctrl_mask", "ctrl_value")
_WORDS = np.array([2, 0, 0, 0, 0, 0, 2, 1, 2, 4])  # per opcode, float64 of the pool for 2^k (matrices: 4^k) entries
_MOST = np.array([30, 0, 0, 0, 0, 0, 30, 30, 12, 6])  # per opcode, the largest k


def _refuse(what: str, bad: npt.NDArray[Any], rule: str) -> None:
    where = np.flatnonzero(bad)
    if where.size:
        raise CircuitError(f"{what} {where[0]}: {rule}")


def _check_instructions(program: Program) -> None:
    """The rules csrc/compiled.cpp checks too, whole columns at a time: a deep circuit costs no more than lowering."""
    rows, n = program.instructions, program.n_bits
    x, z, ctrl, value = (rows[name] for name in _MASKS)
    opcode, k, payload = (rows[name].astype(np.int64) for name in ("opcode", "k", "payload"))
    outside = np.uint64(~((1 << n) - 1) & (1 << 64) - 1)
    _refuse("instruction", opcode >= len(Opcode), "unknown opcode")
    _refuse("instruction", (x | z | ctrl | value) & outside, f"a mask has a bit outside the {n} qubits")
    _refuse("instruction", value & ~ctrl, "a control value outside the controls")
    slots = program.n_shared + program.n_per_sample
    _refuse("instruction", (rows["slot"] < -1) | (rows["slot"] >= slots), f"the slot is not below {slots}")
    _refuse("instruction", ~np.isfinite(rows["scale"]) | ~np.isfinite(rows["offset"]), "the angle is not finite")
    pair, prepare, swap = opcode == Opcode.PAIR_ROT, opcode == Opcode.PREPARE, opcode == Opcode.SWAP
    _refuse("instruction", ~pair & ((x | z) & ctrl != 0), "a bit is both target and control")
    _refuse(
        "instruction", pair & ((x == 0) | (x & ~ctrl != 0) | (x & z != 0)), "a pair rotation controls what it flips"
    )
    _refuse("instruction", prepare & ((ctrl != 0) | (np.arange(len(rows)) > 0)), "a state is prepared first")
    _refuse("instruction", (opcode == Opcode.PHASE) & (x | z != 0), "a phase has controls only")
    t0, t1 = (np.minimum(rows[name], 63).astype(np.uint64) for name in ("t0", "t1"))
    both = np.uint64(1) << t0 | np.uint64(1) << t1
    _refuse("instruction", swap & ((t0 == t1) | (x != both) | (z != 0)), "a swap has two bits")
    words, diagonal = _WORDS[opcode], (opcode == Opcode.DIAG) | (opcode == Opcode.EXP_DIAG)
    targets, others = np.where(diagonal, z, x), np.where(diagonal, x, z)
    wrong = (np.bitwise_count(targets) != k) | (k == 0) | (k > _MOST[opcode]) | (others != 0)
    _refuse("instruction", (words > 0) & wrong, "k is not the number of bits")
    kraus = opcode == Opcode.KRAUS
    size = words << np.where(words > 0, np.where((opcode == Opcode.DENSE) | kraus, 2 * k, k), 0)
    size = size * np.where(kraus, rows["t0"].astype(np.int64), 1)
    _refuse("instruction", kraus & (rows["t0"] == 0), "a KRAUS has matrices to choose from")
    shared = (rows["slot"] >= 0) & (rows["slot"] < program.n_shared)
    _refuse("instruction", kraus & (shared | (ctrl != 0)), "a KRAUS has no controls, and a choice for each sample")
    _refuse("instruction", (words > 0) & ((payload < 0) | (payload + size > len(program.pool))), "payload out of range")
    angled = np.isin(opcode, (Opcode.PHASE, Opcode.PAULI_ROT, Opcode.PAIR_ROT, Opcode.EXP_DIAG))
    _refuse("instruction", ~(angled | kraus) & (rows["slot"] >= 0), "only an angle or a choice has a slot")


@dataclass(frozen=True, eq=False)
class Program:
    """Instructions, constants and observable rows of one circuit; immutable and picklable.

    Attributes:
        n_bits: number of qubits, 1 to 62.
        instructions: (m,) array of dtype INSTRUCTION.
        pool: float64 constants.
        terms: (R,) array of dtype TERM; row r is the operator P * |ctrl_value><ctrl_value|.
        n_shared: slots with one value for the batch.
        n_per_sample: slots with one value for each sample; they follow the shared ones.
    """

    n_bits: int
    instructions: npt.NDArray[np.void]
    pool: npt.NDArray[np.float64]
    terms: npt.NDArray[np.void]
    n_shared: int
    n_per_sample: int

    def __post_init__(self) -> None:
        """Memory safety: whatever built this, no backend can be made to read outside its arrays."""
        if not 1 <= self.n_bits <= MAX_BITS:
            raise CircuitError(f"a program has 1 to {MAX_BITS} qubits, got {self.n_bits}")
        if self.instructions.dtype != INSTRUCTION or self.terms.dtype != TERM or self.pool.dtype != np.float64:
            raise CircuitError("a program's arrays have the dtypes INSTRUCTION, float64 and TERM")
        if self.n_shared < 0 or self.n_per_sample < 0:
            raise CircuitError(f"slot counts start at 0, got {self.n_shared} and {self.n_per_sample}")
        if self.instructions.ndim != 1 or self.terms.ndim != 1 or self.pool.ndim != 1:
            raise CircuitError("a program's arrays have one axis")
        if not np.isfinite(self.pool).all():
            raise CircuitError("a program's pool has numbers that are not finite")
        _check_instructions(self)
        x, z, ctrl, value = (self.terms[name] for name in _MASKS)
        outside = np.uint64(~((1 << self.n_bits) - 1) & (1 << 64) - 1)
        _refuse("term", (x | z | ctrl | value) & outside, f"a mask has a bit outside the {self.n_bits} qubits")
        _refuse("term", value & ~ctrl | ctrl & (x | z), "a pattern has bits of its own")
        for array in (self.instructions, self.pool, self.terms):
            array.setflags(write=False)

    @property
    def parametrised(self) -> npt.NDArray[np.intp]:
        """Positions of the instructions whose angle has a slot."""
        return np.flatnonzero((self.instructions["slot"] >= 0) & (self.instructions["opcode"] != Opcode.KRAUS))

    @property
    def choices(self) -> npt.NDArray[np.intp]:
        """Positions of the instructions whose matrix a slot chooses."""
        return np.flatnonzero((self.instructions["slot"] >= 0) & (self.instructions["opcode"] == Opcode.KRAUS))

    def disassembly(self) -> str:
        """One line per instruction, bits written most significant first."""
        n = self.n_bits
        lines = [
            f"; {n} qubits, {len(self.instructions)} instructions, {self.n_shared} shared and "
            f"{self.n_per_sample} per-sample slots, {len(self.pool)} pool words, {len(self.terms)} terms"
        ]
        for index, row in enumerate(self.instructions):
            parts = [f"{index:5d}  {Opcode(row['opcode']).name:<9}"]
            if row["x_mask"]:
                parts.append(f"x={row['x_mask']:0{n}b}")
            if row["z_mask"]:
                parts.append(f"z={row['z_mask']:0{n}b}")
            if row["ctrl_mask"]:
                parts.append("if " + _pattern(int(row["ctrl_mask"]), int(row["ctrl_value"]), n))
            if row["opcode"] in (Opcode.PHASE, Opcode.PAULI_ROT, Opcode.PAIR_ROT, Opcode.EXP_DIAG):
                angle = f"{row['offset']:.6g}"
                if row["slot"] >= 0:
                    angle = f"{row['scale']:.6g}*s{row['slot']}" + (f" + {angle}" if row["offset"] else "")
                parts.append(f"angle={angle}")
            if row["opcode"] == Opcode.KRAUS:
                chosen = f"s{row['slot']}" if row["slot"] >= 0 else f"{row['offset']:.0f}"
                parts.append(f"matrix={chosen} of {row['t0']}")
            if pool_words(row["opcode"], row["k"], row["t0"]):
                parts.append(f"k={row['k']} pool[{row['payload']}]")
            lines.append("  ".join(parts))
        for index, row in enumerate(self.terms):
            where = f"  on {_pattern(int(row['ctrl_mask']), int(row['ctrl_value']), n)}" if row["ctrl_mask"] else ""
            lines.append(f"{index:5d}  TERM       x={row['x_mask']:0{n}b}  z={row['z_mask']:0{n}b}{where}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.disassembly().split("\n", 1)[0][2:].join(("<Program: ", ">"))


def with_free_angles(program: Program) -> Program:
    """The program with one per-sample slot for each parametrised instruction, its angle, in order; then the choices.

    What parameter-shift needs: every occurrence of a parameter can be shifted by itself.
    """
    where = np.concatenate([program.parametrised, program.choices])
    instructions = program.instructions.copy()
    instructions["slot"][where] = np.arange(len(where))
    instructions["scale"][where] = 1.0
    instructions["offset"][where] = 0.0
    return Program(program.n_bits, instructions, program.pool, program.terms, 0, len(where))


def _pattern(mask: int, value: int, n: int) -> str:
    return "".join(str(value >> b & 1) if mask >> b & 1 else "-" for b in reversed(range(n)))
