"""`TilePass`: a pass of numba_passes.py as arrays for the kernels of numba_tiles.py, and how threads share its tiles.

Owns: the size of a tile, the columns of a block, tasks. May not know: circuits, what an opcode does to amplitudes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..program import Opcode
from . import numba_kernels as kernels
from . import numba_tiles as tiles
from .numba_bind import acting, bind, slopes
from .numba_lanes import BYTES
from .numba_passes import Block, Pass, Row, joined, passes
from .numba_table import Table, spans, trained
from .numba_threads import check, share

Reals = npt.NDArray[np.float64]

TILE_BYTES = 1 << 18
TASKS = 64  # of a pass, where it has as many tiles
TILE_VISITS = 1 << 22  # amplitudes times blocks of a native call, about a millisecond


def plan(table: Table, reals: Reals, pool: Reals, n_bits: int, dtype: np.dtype[Any]) -> list[TilePass | int]:
    """What a state of one sample goes through: passes over tiles, and rows of the table that need the whole state."""
    lane_bits = (2 * BYTES // dtype.itemsize).bit_length() - 1
    row_bits = min(n_bits, (TILE_BYTES // dtype.itemsize).bit_length() - 1) - lane_bits
    columns = (kernels.OP, kernels.X, kernels.Z, kernels.FIXED, kernels.VALUE, kernels.K)
    angles = np.flatnonzero(trained(table))
    before = np.arange(len(table)) < (angles[0] if len(angles) else 0)
    # a KRAUS may have no inverse where no angle comes before it; it must not be undone before an angle that follows
    barriers = (table[:, kernels.OP] == Opcode.PREPARE) | before & (table[:, kernels.OP] == Opcode.KRAUS)
    found = np.column_stack([np.arange(len(table)), table[:, columns], barriers])
    rows = [Row(*row) for row in found.tolist()]
    bound = (table, reals, pool)
    out: list[TilePass | int] = []
    for p in passes(joined(rows), n_bits, lane_bits, row_bits):
        if p.wide:
            out += [row.where for row in p.blocks[0].rows]
        else:
            out.append(TilePass(p, bound, (1 << n_bits) - 1, lane_bits, dtype))
    return out


def _packed(mask: int, onto: int) -> int:
    """The bits of mask at the positions where `onto` has a 1, packed, lowest first."""
    out = position = 0
    while onto:
        out |= (1 << position) * bool(mask & onto & -onto)
        onto &= onto - 1
        position += 1
    return out


class TilePass:
    """Immutable; may be used from many threads at once."""

    def __init__(
        self, source: Pass, bound: tuple[Table, Reals, Reals], everything: int, lane_bits: int, dtype: np.dtype[Any]
    ) -> None:
        self._table, self._reals, self._pool = bound
        self._lane_bits, self._rows, self._live = lane_bits, source.rows, source.live
        self._outer = everything & ~source.rows & -(1 << lane_bits)
        self._blocks = np.zeros((len(source.blocks), tiles.COLUMNS), dtype=np.int64)
        self._members = np.array([row.where for block in source.blocks for row in block.rows], dtype=np.int64)
        self._real = np.empty(0, dtype).real.dtype
        self._cost = sum(block.cost for block in source.blocks)
        angles, first = trained(self._table), 0
        self._room = 0
        for columns, block in zip(self._blocks, source.blocks, strict=True):
            last = first + len(block.rows)
            columns[[tiles.FIRST, tiles.LAST, tiles.COEF]] = first, last, self._room
            columns[tiles.MEASURED] = angles[self._members[first:last]].any()
            self._fill(columns, block)
            self._room += self._size(columns, block)
            columns[tiles.BRAS] = columns[tiles.COEF]
            if block.rows[0].op == Opcode.KRAUS:  # undone on kets and bras in different ways
                columns[tiles.BRAS] = self._room
                self._room += self._size(columns, block)
            first = last
        self.measured = bool(self._blocks[:, tiles.MEASURED].any())
        self._chooses = any(block.rows[0].op == Opcode.KRAUS for block in source.blocks)

    def _fill(self, columns: Table, block: Block) -> None:
        """The masks of a block."""
        lanes, rows, outer, op = (1 << self._lane_bits) - 1, self._rows, self._outer, block.rows[0].op
        table = op in (Opcode.DIAG, Opcode.EXP_DIAG)
        matrix = op == Opcode.KRAUS or (op == Opcode.DENSE and block.rows[0].k > 1)
        kind = tiles.TABLE if table else tiles.MATRIX if matrix else tiles.PAIRS if block.x else tiles.SIGNS
        high = block.x & ~lanes
        fixed = block.fixed & ~lanes | high & -high  # of two rows that meet, this bit says which is first
        z = block.z & ~lanes & ~fixed
        free = _packed(fixed & rows, rows)
        values = {
            tiles.KIND: kind,
            tiles.BX: block.x,
            tiles.BZ: block.z,
            tiles.BFIXED: block.fixed & ~block.x if matrix else block.fixed,
            tiles.BVALUE: block.value,
            tiles.START: block.value & ~lanes,
            tiles.PARITY: z & -z,
            tiles.ROW_X: _packed(block.x, rows),
            tiles.ROW_Z: _packed(z, rows),
            tiles.FREE: free,
            tiles.FREE_VALUE: _packed(block.value, rows),
            tiles.COUNT: 1 << (rows.bit_count() - free.bit_count()),
            tiles.LANE_X: block.x & lanes,
            tiles.OUT_Z: z & outer,
            tiles.OUT_FIXED: block.fixed & outer,
            tiles.OUT_VALUE: block.value & outer,
            tiles.ROWS_Z: z & rows,
        }
        for column, value in values.items():
            columns[column] = value

    def _size(self, columns: Table, block: Block) -> int:
        """How many coefficients a block has."""
        kind, lanes = columns[tiles.KIND], 1 << self._lane_bits
        if kind == tiles.PAIRS:
            return 16 * lanes
        if kind == tiles.SIGNS:
            return 4 * lanes
        if kind == tiles.TABLE:
            return 3 * lanes << (block.z >> self._lane_bits).bit_count()
        in_lanes = (block.x & (lanes - 1)).bit_count()
        return 2 * lanes << 2 * block.rows[0].k - in_lanes

    def _sweep(self, work: npt.NDArray[Any], slots: Reals, fresh: bool, threads: int, way: int) -> tuple[Table, Reals]:
        """The blocks that act, and their products, (G, blocks, 16), where way is -1."""
        blocks = self._blocks
        if self._chooses:
            blocks = acting(blocks, self._members, self._table, self._reals, self._pool, slots)
        raw = np.empty(self._room + BYTES // self._real.itemsize, self._real)
        start = -raw.ctypes.data % BYTES // self._real.itemsize
        c = raw[start : start + self._room]
        bind(blocks, self._members, self._table, self._reals, self._pool, slots, way, c)
        outer = self._outer & self._live if fresh else self._outer  # from |0...0> on, without tiles that are still 0
        count = 1 << outer.bit_count()
        tasks = spans(count, max(1, count // TASKS))
        size = max(1, TILE_VISITS // (self._cost + 4 << self._rows.bit_count() + self._lane_bits))
        reals = work.view(self._real)
        out = np.zeros((len(tasks), len(work) - 1, len(blocks), 16))

        def call(q: int) -> None:
            first, last = tasks[q]
            for lo in range(first, last, size):
                check()
                tiles.sweep(reals, blocks, c, self._rows, outer, lo, min(lo + size, last), way, out[q])

        if len(blocks):
            share(call, len(tasks), threads)
        return blocks, np.asarray(out.sum(axis=0))

    def forward(self, state: npt.NDArray[Any], slots: Reals, fresh: bool, threads: int) -> None:
        """A state (1, 2^n) through the pass; fresh: it began as |0...0>. slots are those of its sample."""
        self._sweep(state, slots, fresh, threads, 1)

    def backward(self, work: npt.NDArray[Any], slots: Reals, fresh: bool, threads: int, out: Reals) -> None:
        """work (1 + G, 2^n), ket and bras, back through the pass; gradients are added to out (G, S + F).

        With `fresh`, bras are not undone where the ket is 0.
        """
        blocks, products = self._sweep(work, slots, fresh, threads, -1)
        for g, to in enumerate(out):
            slopes(blocks, self._members, self._table, self._reals, self._pool, slots, products[g], to)
