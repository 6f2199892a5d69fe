"""What a large state goes through: instructions joined to blocks, and blocks gathered into passes over tiles.

Owns: which instructions become one, and which run while a tile is in the cache. May not know: kernels, angles, threads.

A block acts on pairs i, i ^ x as a 2x2 matrix that depends on one parity s = |i & z| mod 2, so it holds any run of
rotations of a qubit together with a CNOT, CZ or ZZ that ends there. A tile holds all `lane` bits, the lowest, and as
many others as it has room for. A pass may flip only these; what it looks at elsewhere has one value for a tile. An
instruction or block overtakes those it commutes with: neither flips what the other touches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..program import Opcode

WINDOW = 64  # blocks an instruction looks back over
WINDOW_LEFT = 512  # blocks a pass leaves for later ones before it is closed
MAX_JOINED = 16  # instructions of a block
MAX_COST = 512  # of a pass, so that a tile takes no more than some milliseconds
MAX_DENSE = 4  # qubits of a matrix that runs in tiles
MAX_TABLE = 6  # bits outside the lanes of a diagonal that runs in tiles

_SINGLE = frozenset((Opcode.PREPARE, Opcode.DIAG, Opcode.EXP_DIAG, Opcode.KRAUS))  # those that stay by themselves
_MATRICES = frozenset((Opcode.DENSE, Opcode.KRAUS))


class Row(NamedTuple):
    """An instruction as numba_kernels sees it."""

    where: int  # in the table
    op: int
    x: int
    z: int
    fixed: int
    value: int
    k: int
    barrier: int  # whether nothing may overtake it


@dataclass(slots=True)
class Block:
    """Rows that run as one, in order; free indices i have (i & fixed) == value."""

    rows: list[Row]
    x: int
    z: int
    fixed: int
    value: int
    touched: int
    joins: bool

    @classmethod
    def of(cls, row: Row) -> Block:
        """One row by itself."""
        touched = -1 if row.barrier else row.x | row.z | row.fixed
        x = -1 if row.barrier else row.x
        joins = row.op not in _SINGLE and not (row.op == Opcode.DENSE and row.k > 1)
        return cls([row], x, row.z & ~row.fixed, row.fixed, row.value, touched, joins)

    def commutes(self, other: Block) -> bool:
        """Whether it is plain that the order of the two does not matter."""
        return not (self.rows[0].barrier or self.x & other.touched or self.touched & other.x)

    def join(self, other: Block) -> bool:
        """Take in another block of one row, if the result is a block."""
        if not (self.joins and other.joins) or len(self.rows) >= MAX_JOINED:
            return False
        if self.x != other.x and not (self.touched & other.x or self.x & other.touched):
            return False  # a Z elsewhere would fit, and take the place of the one parity
        found = _fit([*self.rows, *other.rows])
        if found is None:
            return False
        self.rows += other.rows
        self.x, self.z, self.fixed, self.value = found
        self.touched |= other.touched
        return True

    @property
    def cost(self) -> int:
        """Beside a 2x2 matrix."""
        return 1 << self.rows[0].k if self.rows[0].op in _MATRICES else 1

    def is_wide(self, lane_bits: int, row_bits: int) -> bool:
        """Whether it needs the whole state."""
        first, high = self.rows[0], self.x >> lane_bits
        if first.barrier or (first.op in _MATRICES and first.k > MAX_DENSE):
            return True
        table = first.op in (Opcode.DIAG, Opcode.EXP_DIAG) and (first.z >> lane_bits).bit_count() > MAX_TABLE
        return table or high.bit_count() > row_bits


def _fit(rows: Sequence[Row]) -> tuple[int, int, int, int] | None:
    """(x, z, fixed, value) of a block of these rows, if there is one."""
    x, fixed, value = 0, rows[0].fixed, rows[0].value
    for row in rows:
        if row.x:
            if x and x != row.x:
                return None
            x = row.x
        fixed &= row.fixed & ~(value ^ row.value)
    first = x & -x
    if not (fixed & first and all(row.x for row in rows)):
        fixed &= ~x  # not all of them keep to the same pairs of two patterns
    value &= fixed
    fixed |= first
    z = 0
    for row in rows:
        controls, signs = row.fixed & ~fixed, row.z & ~fixed
        if controls & (controls - 1) or (controls and signs):
            return None
        if controls | signs:
            if z not in (0, controls | signs):
                return None
            z = controls | signs
    return x, z, fixed, value


def joined(rows: Sequence[Row]) -> list[Block]:
    """All rows as blocks."""
    blocks: list[Block] = []
    for row in rows:
        new = Block.of(row)
        for block in reversed(blocks[-WINDOW:]):
            if block.join(new):
                break
            if not block.commutes(new):
                blocks.append(new)
                break
        else:
            blocks.append(new)
    return blocks


@dataclass(frozen=True)
class Pass:
    """Blocks that run together; `rows` are the bits of a tile beyond the lanes.

    `live` are the bits that any amplitude but the first may have before the pass, if the state began as |0...0>.
    """

    blocks: list[Block]
    rows: int
    live: int
    wide: bool


def passes(blocks: Sequence[Block], n_bits: int, lane_bits: int, row_bits: int) -> list[Pass]:
    """The blocks in passes, greedily; a wide block has one for itself."""
    everything, lanes = (1 << n_bits) - 1, (1 << lane_bits) - 1
    live, out, rest = 0, [], list(blocks)
    wide = {id(block) for block in rest if block.is_wide(lane_bits, row_bits)}
    while rest:
        if id(rest[0]) in wide:
            out.append(Pass([rest.pop(0)], 0, live, True))
            live = everything
            continue
        taken: list[Block] = []
        left: list[Block] = []
        flips = flips_left = touched_left = cost = 0
        for block in rest:
            wanted = flips | (block.x & ~lanes)
            overtakes = not (block.x & touched_left or block.touched & flips_left)
            if overtakes and id(block) not in wide and wanted.bit_count() <= row_bits:
                taken.append(block)
                flips, cost = wanted, cost + block.cost
            else:
                left.append(block)
                flips_left |= block.x
                touched_left |= block.touched
            if flips_left & everything == everything or len(left) >= WINDOW_LEFT or cost >= MAX_COST:
                break
        rest = left + rest[len(left) + len(taken) :]
        out.append(Pass(taken, _filled(flips, everything & ~lanes, row_bits), live, False))
        live |= flips | lanes
    return out


def _filled(flips: int, allowed: int, count: int) -> int:
    """`flips` and the lowest other bits, `count` together."""
    free = allowed & ~flips
    while flips.bit_count() < count and free:
        flips |= free & -free
        free &= free - 1
    return flips
