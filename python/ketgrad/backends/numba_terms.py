"""Terms of observables for the Numba backend, grouped by X mask, and their kernels.

Owns: values of all terms, and the bra that a reverse sweep starts from. May not know: instructions, threads.

Terms of one X mask share the products conj(psi_i) psi_{i ^ x}. They are made for blocks of 2^12 amplitudes; where many
terms want them with different signs, a Walsh-Hadamard transform of the block has all signs at once. The bra is made
the other way round. A row is (x, z, mask, value, odd, negative): pattern, and what the number of Ys says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..program import Program
from .numba_kernels import _jit, _jit_kernel, _sign
from .numba_lanes import BYTES, load, store

X, Z, MASK, VALUE, ODD, NEGATIVE = range(6)
GROUP = BYTES // 8  # float64 that are added at once
BLOCK = 1 << 12  # amplitudes: products of 64 KiB
FEW = 12  # terms without a pattern; the transform of a block takes as many additions for each amplitude

Array = npt.NDArray[np.float64]


class TermTable:
    """The terms of a program, and how they are cut into calls of `values` and `plant` of at most some milliseconds."""

    def __init__(self, program: Program) -> None:
        x, z, mask, value = (
            program.terms[name].astype(np.int64) for name in ("x_mask", "z_mask", "ctrl_mask", "ctrl_value")
        )
        turns = np.bitwise_count(x & z).astype(np.int64) % 4
        self.order = np.lexsort((mask != 0, x))  # by X mask, those with a pattern last
        self.rows = np.stack([x, z, mask, value, turns % 2, turns // 2], axis=1)[self.order]
        heads = np.flatnonzero(np.diff(self.rows[:, X], prepend=-1))
        self.starts = np.append(heads, len(self.rows))
        self.plain = np.add.reduceat(self.rows[:, MASK] == 0, heads, dtype=np.int64) if len(heads) else heads
        self.size = min(BLOCK, 1 << program.n_bits)
        self.blocks = (1 << program.n_bits) // self.size
        patterns = np.diff(self.starts) - self.plain
        self._visits = 4 + patterns + np.minimum(self.plain, FEW)  # of an amplitude, roughly

    def __len__(self) -> int:
        return len(self.rows)

    def steps(self, budget: int, blocks: int) -> Iterator[tuple[int, int, int]]:
        """(first, last, n): groups that stay within the budget on n of `blocks` blocks; several only on all of them."""
        room, first = budget // self.size, 0
        while first < len(self.plain):
            spent, last = int(self._visits[first]) * blocks, first + 1
            while last < len(self.plain) and spent + int(self._visits[last]) * blocks <= room:
                spent += int(self._visits[last]) * blocks
                last += 1
            yield first, last, min(blocks, max(1, blocks * room // spent))
            first = last

    def values(self, kets: Any, first: int, last: int, lo: int, hi: int, out: Array) -> None:
        """Add to out (s, rows of groups first..last-1) their values from blocks lo..hi-1 of kets (s, N)."""
        _values(kets, self.rows, self.starts, self.plain, first, last, lo, hi, self.size, out)

    def plant(self, ket: Any, bra: Any, weights: Array, first: int, last: int, block: int) -> None:
        """Add to one block of bra (N,) the terms of groups first..last-1, times weights (R,), of ket (N,)."""
        _plant(ket, bra, self.rows, self.starts, self.plain, weights, first, last, block, self.size)


@_jit
def _transform(v: Any) -> None:
    step = 1
    while step < v.shape[0]:
        for start in range(0, v.shape[0], 2 * step):
            if step < GROUP:
                for i in range(start, start + step):
                    a, b = v[i], v[i + step]
                    v[i], v[i + step] = a + b, a - b
            else:
                for i in range(start, start + step, GROUP):
                    c, d = load(v, i), load(v, i + step)
                    store(v, i, c + d)
                    store(v, i + step, c - d)
        step *= 2


@_jit
def _half(x: Any, size: int) -> Any:
    """A bit of x: the blocks without it give the same values as those with it; 0: none."""
    bit = np.int64(0)
    while x >= size:
        bit = x & -x
        x ^= bit
    return bit


@_jit
def _operator_sign(row: Any, i: Any) -> Any:
    """Of a term as an operator. (-i)^nY: an odd number of Ys puts it into the imaginary part with the opposite sign."""
    return _sign(i, row[Z]) * (1.0 - 2.0 * (row[NEGATIVE] ^ row[ODD]))


@_jit
def _products(ket: Any, x: Any, base: int, v: Any) -> None:
    """v[0] + i v[1] = conj(ket_i) ket_{i ^ x} on a block."""
    for u in range(v.shape[1]):
        a, b = ket[base + u], ket[(base + u) ^ x]
        p, q, s, t = np.float64(a.real), np.float64(a.imag), np.float64(b.real), np.float64(b.imag)
        v[0, u] = p * s + q * t
        v[1, u] = p * t - q * s


@_jit_kernel
def _values(
    kets: Any, rows: Any, starts: Any, plain: Any, first: int, last: int, lo: int, hi: int, size: int, out: Any
) -> None:
    v = np.empty((2, size))
    for g in range(first, last):
        begin, end = starts[g], starts[g + 1]
        direct = begin + plain[g] if plain[g] > FEW else begin
        x = rows[begin, X]
        half = _half(x, size)
        times = 2.0 if half else 1.0
        for b in range(kets.shape[0]):
            for base in range(lo * size, hi * size, size):
                if base & half:
                    continue
                _products(kets[b], x, base, v)
                for r in range(direct, end):
                    row = rows[r]
                    total = 0.0
                    for u in range(size):
                        if (base + u) & row[MASK] == row[VALUE]:
                            total += _sign(base + u, row[Z]) * v[row[ODD], u]
                    out[b, r - starts[first]] += times * (1.0 - 2.0 * row[NEGATIVE]) * total
                if direct > begin:
                    _transform(v[0])
                    if x:  # else there is nothing imaginary
                        _transform(v[1])
                for r in range(begin, direct):
                    row = rows[r]
                    sign = _sign(base, row[Z]) * (1.0 - 2.0 * row[NEGATIVE])
                    out[b, r - starts[first]] += times * sign * v[row[ODD], row[Z] & (size - 1)]


@_jit_kernel
def _plant(
    ket: Any, bra: Any, rows: Any, starts: Any, plain: Any, weights: Any, first: int, last: int, block: int, size: int
) -> None:
    v = np.empty((2, size))
    base = block * size
    for g in range(first, last):
        begin, end = starts[g], starts[g + 1]
        direct = begin + plain[g] if plain[g] > FEW else begin
        x = rows[begin, X]
        v[:] = 0.0
        for r in range(begin, direct):
            row = rows[r]
            v[row[ODD], row[Z] & (size - 1)] += _operator_sign(row, base) * weights[r]
        if direct > begin:
            _transform(v[0])
            if x:
                _transform(v[1])
        for r in range(direct, end):
            row = rows[r]
            for u in range(size):
                if (base + u) & row[MASK] == row[VALUE]:
                    v[row[ODD], u] += _operator_sign(row, base + u) * weights[r]
        for u in range(size):
            a = ket[(base + u) ^ x]
            p, q = np.float64(a.real), np.float64(a.imag)
            bra[base + u] += complex(v[0, u] * p - v[1, u] * q, v[0, u] * q + v[1, u] * p)
