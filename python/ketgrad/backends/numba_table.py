"""Programs as the int64 tables of numba_kernels.py, and tables as steps of at most some milliseconds each.

Owns: which bits an instruction fixes, and what a visit of an amplitude costs, roughly. May not know: threads, kernels'
insides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..program import Opcode, Program
from . import numba_kernels as kernels

Table = npt.NDArray[np.int64]
Span = tuple[int, int]
Step = tuple[int, int, int]  # rows first..last-1; a single row of more than the budget in ranges of `size`, else 0


def _column(table: npt.NDArray[np.void], name: str) -> npt.NDArray[np.int64]:
    return table[name].astype(np.int64)


def _rows(n_bits: int, **columns: Any) -> Table:
    """The table of numba_kernels; columns not given are 0, and the count follows from `fixed`."""
    names = ("op", "x", "z", "fixed", "value", "count", "slot", "payload", "k", "turns", "matrices")
    columns["count"] = np.int64(1) << (n_bits - np.bitwise_count(columns["fixed"]).astype(np.int64))
    columns["turns"] = np.bitwise_count(columns["x"] & columns["z"]) % 4
    table = np.zeros((len(columns["x"]), len(names)), dtype=np.int64)
    for name, values in columns.items():
        table[:, names.index(name)] = values
    return table


def decode(program: Program) -> Table:
    """A row for each instruction."""
    rows = program.instructions
    op, x, z = (_column(rows, name) for name in ("opcode", "x_mask", "z_mask"))
    fixed, value = _column(rows, "ctrl_mask"), _column(rows, "ctrl_value")
    swaps, first = op == Opcode.SWAP, np.int64(1) << _column(rows, "t0")
    x = np.where(swaps, first | np.int64(1) << _column(rows, "t1"), x)
    value = np.where(swaps, value | first, value)  # the pair 01, 10
    kraus = op == Opcode.KRAUS
    fixed = np.where(swaps | kraus | (op == Opcode.DENSE), fixed | x, fixed)
    fixed = np.where((op == Opcode.PAULI) | (op == Opcode.PAULI_ROT), fixed | (x & -x), fixed)
    slot, payload, k = (_column(rows, name) for name in ("slot", "payload", "k"))
    matrices = np.where(kraus, _column(rows, "t0"), 0)
    masks = {"x": x, "z": z, "fixed": fixed, "value": value}
    return _rows(program.n_bits, op=op, **masks, slot=slot, payload=payload, k=k, matrices=matrices)


def trained(table: Table) -> npt.NDArray[np.bool_]:
    """Which rows have an angle with a slot."""
    return np.asarray((table[:, kernels.SLOT] >= 0) & (table[:, kernels.OP] != Opcode.KRAUS))


def steps(table: Table, budget: int, start: int = 0) -> list[Step]:
    """Consecutive rows, the first being row `start`, of at most `budget` amplitude visits together; else ranges."""
    op, x, k = table[:, kernels.OP], table[:, kernels.X], table[:, kernels.K]
    each = np.where(x != 0, 2, 1)  # visits of one free index, roughly
    each = np.where((op == Opcode.DIAG) | (op == Opcode.EXP_DIAG), 8, each)
    matrix = (op == Opcode.KRAUS) | (op == Opcode.DENSE)
    each = np.where(matrix & (k > 1), np.int64(1) << 2 * k, each)
    sizes = np.maximum(1, budget // each)
    out: list[Step] = []
    first, spent, counts = start, 0, table[:, kernels.COUNT].tolist()
    for p, (cost, size, count) in enumerate(zip(each.tolist(), sizes.tolist(), counts, strict=True), start):
        if spent + cost * count > budget and p > first:
            out.append((first, p, 0))
            first, spent = p, 0
        if size < count:
            out.append((p, p + 1, size))
            first = p + 1
        else:
            spent += cost * count
    if first < start + len(table):
        out.append((first, start + len(table), 0))
    return out


def spans(count: int, size: int) -> list[Span]:
    """0..count-1 in ranges of `size`."""
    return [(lo, min(count, lo + size)) for lo in range(0, count, size)]


def ranges(table: Table, step: Step) -> list[Span]:
    """The ranges of free indices of a step; (0, 0) is all of it."""
    first, _, size = step
    return spans(int(table[first, kernels.COUNT]), size) if size else [(0, 0)]
