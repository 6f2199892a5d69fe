"""Numba kernels that read a state: probabilities and samples, in float64.

Owns: how an index is drawn. May not know: instructions, threads, who made the state.

An index is found by its block of amplitudes: `ends` are the cumulative sums at the ends of blocks, and `guide` says
where the search for u begins (Chen and Asau 1974): guide[g] is the block for u = g / buckets. The number of buckets
is a power of two, so that the bucket of u is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .numba_kernels import _jit, _jit_kernel

MAX_BLOCK = 256  # amplitudes whose probabilities are summed before the search
MAX_BLOCKS = 1 << 20  # more of them only where each has MAX_BLOCK amplitudes


def block_count(size: int, shots: int) -> int:
    """Blocks of a state, a power of two: every amplitude is one where shots outnumber them."""
    return min(size, max(size // MAX_BLOCK, min(MAX_BLOCKS, 1 << (2 * max(1, shots) - 1).bit_length())))


def positions(bits: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], int]:
    """The bits as an array, and the last of them where they are neighbours and descend, else -1."""
    where = np.array(bits, dtype=np.int64)
    return where, bits[-1] if bits and (np.diff(where) == -1).all() else -1


def tally(drawn: npt.NDArray[np.uint64], bits: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The distinct outcomes of `bits` bits, ascending, and their numbers."""
    if 1 << bits > 4 * len(drawn) + 64:
        return np.unique(drawn, return_counts=True)
    table = np.bincount(drawn.astype(np.int64), minlength=1)
    outcomes = np.flatnonzero(table)
    return outcomes.astype(np.uint64), table[outcomes]


@_jit
def _weight(amplitude: Any) -> Any:
    return np.float64(amplitude.real) ** 2 + np.float64(amplitude.imag) ** 2


@_jit
def _outcome(index: int, bits: Any, shift: int) -> Any:
    if shift >= 0:
        return (index >> shift) & ((np.int64(1) << len(bits)) - 1)
    outcome = np.int64(0)
    for q in range(bits.shape[0]):
        outcome = (outcome << 1) | ((index >> bits[q]) & 1)
    return outcome


@_jit_kernel
def probabilities(state: Any, bits: Any, shift: int, lo: int, hi: int, out: Any) -> None:
    """Add |state[i]|^2 for i in [lo, hi) to the outcome of i on `bits`, the first bit the most significant.

    shift is the last bit where the bits are neighbours and descend, else -1.
    """
    for i in range(lo, hi):
        out[_outcome(i, bits, shift)] += _weight(state[i])


@_jit_kernel
def block_sums(state: Any, lo: int, hi: int, out: Any) -> None:
    """out[q] = sum of |state|^2 over block q of len(out) equal ones, for blocks lo..hi-1."""
    size = state.shape[0] // out.shape[0]
    for q in range(lo, hi):
        total = 0.0
        for i in range(q * size, (q + 1) * size):
            total += _weight(state[i])
        out[q] = total


@_jit_kernel
def fill_guide(ends: Any, guide: Any) -> None:
    """The guide table; its last entry is the last block with any weight."""
    buckets, total = guide.shape[0] - 1, ends[-1]
    last = ends.shape[0] - 1
    while last > 0 and ends[last - 1] >= total:
        last -= 1
    q = 0
    for g in range(buckets):
        bound = g / buckets * total
        while q < last and ends[q] <= bound:
            q += 1
        guide[g] = q
    guide[buckets] = last


@_jit_kernel
def sample(state: Any, ends: Any, guide: Any, uniforms: Any, bits: Any, shift: int, lo: int, hi: int, out: Any) -> None:
    """out[s] = the outcome on `bits` of the index at which the cumulative distribution passes uniforms[s]."""
    total, buckets, size = ends[-1], guide.shape[0] - 1, state.shape[0] // ends.shape[0]
    for shot in range(lo, hi):
        target = uniforms[shot] * total
        bucket = min(max(np.int64(uniforms[shot] * buckets), 0), buckets - 1)
        q, end = guide[bucket], guide[bucket + 1]
        while q < end and ends[q] <= target:
            if end - q > 8:  # many rare outcomes under one entry: halve first
                middle = (q + end) // 2
                if ends[middle] > target:
                    end = middle
                    continue
                q = middle
            q += 1
        chosen = q * size
        if size > 1:
            running = ends[q - 1] if q > 0 else 0.0
            for i in range(q * size, (q + 1) * size):
                p = _weight(state[i])
                if p > 0.0:  # rounding may leave the target beyond the block: then the last with any weight
                    chosen = i
                    running += p
                    if running > target:
                        break
        out[shot] = _outcome(chosen, bits, shift)
