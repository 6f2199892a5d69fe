"""Annealing in Numba: read by read, with the same spins as the native engine, bit by bit.

Owns: the kernels (their numbers are those of csrc/anneal.inc.hpp: Threefry-2x32-13 under keys of reads, whole fields,
float32 that rounds after every operation) and the tasks around them. A read is a task; kernels return after some
milliseconds, so that Ctrl-C is heard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from .numba_threads import check, run
from .spins import Array, ReadRange, SpinEngine, SpinModel, Spins

STEP = 1 << 18  # updates of one native call
START, NARROW, WIDE, SLICE, LINE = range(5)  # purposes of keys
LOG2 = np.float32(0.6931471805599453)
C1, C2, C3, C4, C5, C6, C7 = (
    np.float32(c)
    for c in (
        0.999981164932251, -0.4994717836380005, 0.3282422125339508, -0.22589801251888275, 0.134674534201622,
        -0.05514519289135933, 0.010764511302113533,
    )
)  # fmt: skip
ONE = np.float32(1.0)


def _jit_kernel(function: Any) -> Any:
    """Compiled on first use and kept on disk where it can be; no fused operations, so as to round like the others."""
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        return njit(nogil=True, error_model="numpy")(function)


def _jit(function: Any) -> Any:
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy", inline="never")(function)


@_jit
def _stir(a, b, by):
    a = np.uint32(a + b)
    b = np.uint32(np.uint32(b << by) | np.uint32(b >> (32 - by)))
    return a, np.uint32(b ^ a)


@_jit
def _words(k0, k1, counter, sweep):
    """Two random words."""
    k2 = np.uint32(np.uint32(0x1BD11BDA) ^ k0 ^ k1)
    a, b = np.uint32(k0 + np.uint32(counter)), np.uint32(k1 + np.uint32(sweep))
    a, b = _stir(a, b, 13)
    a, b = _stir(a, b, 15)
    a, b = _stir(a, b, 26)
    a, b = _stir(a, b, 6)
    a, b = np.uint32(a + k1), np.uint32(b + k2 + np.uint32(1))
    a, b = _stir(a, b, 17)
    a, b = _stir(a, b, 29)
    a, b = _stir(a, b, 16)
    a, b = _stir(a, b, 24)
    a, b = np.uint32(a + k2), np.uint32(b + k0 + np.uint32(2))
    a, b = _stir(a, b, 13)
    a, b = _stir(a, b, 15)
    a, b = _stir(a, b, 26)
    a, b = _stir(a, b, 6)
    a, b = np.uint32(a + k0), np.uint32(b + k1 + np.uint32(3))
    return _stir(a, b, 17)


@_jit
def _key(seed, index, purpose):
    low, high = np.uint32(index & 0xFFFFFFFF), np.uint32((index >> 32) << 8 | purpose)
    return _words(np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32), low, high)


@_jit
def _minus_log(word):
    bits = np.float32(np.int32(word >> 1 | 1)).view(np.int32)
    t = np.int32(bits & 0x7FFFFF | 0x3F800000).view(np.float32) - ONE
    p = C7 * t + C6
    p = p * t + C5
    p = p * t + C4
    p = p * t + C3
    p = p * t + C2
    p = p * t + C1
    return np.float32(158 - (bits >> 23)) * LOG2 - p * t


@_jit_kernel
def start_spins(seed, index, signs):
    """Random sign masks."""
    k0, k1 = _key(seed, index, START)
    a = b = np.uint32(0)
    for i in range(len(signs)):
        if i % 64 == 0:
            a, b = _words(k0, k1, i // 64, 0)
        word = a if i % 64 < 32 else b
        signs[i] = -(np.int64(word >> (i % 32)) & 1)


@_jit_kernel
def start_fields(fields, starts, neighbours, couplings, signs, out):
    """What turning spins over costs: out[i] = -(h_i + sum of J s)."""
    for i in range(len(fields)):
        total = -fields[i]
        for e in range(starts[i], starts[i + 1]):
            total -= couplings[e] * (1 + 2 * signs[neighbours[e]])
        out[i] = total


@_jit
def _turn(i, starts, neighbours, couplings, costs, signs):
    """Turn spin i over."""
    s = 1 + 2 * signs[i]
    for e in range(starts[i], starts[i + 1]):
        costs[neighbours[e]] += 2 * couplings[e] * s
    signs[i] = ~signs[i]


@_jit_kernel
def narrow_sweeps(starts, neighbours, couplings, limits, seed, read, sweep, count, costs, signs):
    """`count` sweeps at one temperature; limits (128,): exp(-2 beta k) in units of 2^-32."""
    k0, k1 = _key(seed, read // 4, NARROW)
    shift = 8 * (read % 4)
    for now in range(sweep, sweep + count):
        for i in range(len(costs)):
            cost = (costs[i] ^ signs[i]) - signs[i]
            if cost > 0:
                a, b = _words(k0, k1, i, now)
                drawn = np.int64(a >> shift & 255) << 8 | np.int64(b >> shift & 255)
                high = limits[cost] >> 16
                if drawn > high:
                    continue
                if drawn == high:
                    a, b = _words(k0, k1, i | 0x80000000, now)
                    if (np.int64(a >> shift & 255) << 8 | np.int64(b >> shift & 255)) >= limits[cost] & 0xFFFF:
                        continue
            _turn(i, starts, neighbours, couplings, costs, signs)


@_jit_kernel
def wide_sweeps(starts, neighbours, couplings, rate, seed, read, sweep, count, costs, signs):
    """`count` sweeps at one temperature."""
    k0, k1 = _key(seed, read, WIDE)
    b = np.uint32(0)
    for now in range(sweep, sweep + count):
        for i in range(len(costs)):
            if i % 2 == 0:
                word, b = _words(k0, k1, i // 2, now)
            else:
                word = b
            cost = (costs[i] ^ signs[i]) - signs[i]
            if np.float32(cost) * rate <= _minus_log(word):
                _turn(i, starts, neighbours, couplings, costs, signs)


@_jit_kernel
def path_sweeps(starts, neighbours, couplings, rates, bonds, lines, seed, read, first, last, costs, signs):
    """Sweeps first .. last - 1 over the slices of one read; costs, signs (P, n)."""
    slices, n = signs.shape
    l0, l1 = _key(seed, read, LINE)
    for now in range(first, last):
        rate, bond = rates[now], bonds[now]
        for half in range(2):
            for p in range(half, slices, 2):  # slices of one half do not know of each other
                k0, k1 = _key(seed, read * slices + p, SLICE)
                before, after, here, b = signs[p - 1], signs[(p + 1) % slices], signs[p], np.uint32(0)
                for i in range(n):
                    if i % 2 == 0:
                        word, b = _words(k0, k1, i // 2, now)
                    else:
                        word = b
                    cost = (costs[p, i] ^ here[i]) - here[i]
                    time = 1 + (here[i] ^ before[i]) + (here[i] ^ after[i])
                    if np.float32(cost) * rate + np.float32(time) * bond <= _minus_log(word):
                        _turn(i, starts, neighbours, couplings, costs[p], here)
        if not lines:
            continue
        for i in range(n):
            total = np.int64(0)
            for p in range(slices):
                total += (costs[p, i] ^ signs[p, i]) - signs[p, i]
            word, _ = _words(l0, l1, i, now)
            if np.float32(total) * rate <= _minus_log(word):
                for p in range(slices):
                    _turn(i, starts, neighbours, couplings, costs[p], signs[p])


def _limits(ratio: float, most: int) -> Any:
    """(128,) exp(-2 beta k) in units of 2^-32, from exp(-2 beta) by multiplication alone."""
    out, p = np.zeros(128, dtype=np.int64), 1.0
    for k in range(most + 1):
        if p < 2.0**-32:
            break
        out[k] = int(min(p * 2.0**32, 4294967295.0))
        p *= ratio
    return out


class NumbaSpins(SpinEngine):
    """A model as 64-bit arrays."""

    updates_per_second = 2e7

    def __init__(self, model: SpinModel, threads: Callable[[], int]) -> None:
        super().__init__(model)
        self._threads = threads
        self._graph = tuple(a.astype(np.int64) for a in (model.starts, model.neighbours, model.couplings))
        self._fields = model.fields.astype(np.int64)

    def together(self, slices: int = 1) -> int:
        return self._threads()

    def _start(self, reads: ReadRange, row: int, index: int, signs: Any) -> Any:
        """Fills in the signs at the start, and returns the costs."""
        if row < len(reads.initial):
            signs[:] = (reads.initial[row].astype(np.int64) - 1) // 2
        else:
            start_spins(reads.seed, index, signs)
        costs = np.empty(self.model.n, dtype=np.int64)
        start_fields(self._fields, *self._graph, signs, costs)
        return costs

    def _anneal(self, rates: Array, sweeps: int, reads: ReadRange) -> Spins:
        model, out = self.model, np.empty((reads.number, self.model.n), dtype=np.int8)
        chunk = max(1, STEP // model.n)

        def task(row: int) -> None:
            signs, sweep = np.empty(model.n, dtype=np.int64), 0
            costs = self._start(reads, row, reads.first + row, signs)
            kernel = narrow_sweeps if model.narrow else wide_sweeps
            for rate in rates.tolist():
                at = _limits(rate, model.most) if model.narrow else np.float32(rate)
                for done in range(0, sweeps, chunk):
                    check()
                    count = min(chunk, sweeps - done)
                    kernel(*self._graph, at, reads.seed, reads.first + row, sweep, count, costs, signs)
                    sweep += count
            out[row] = 1 + 2 * signs

        run(task, reads.number, self._threads())
        return out

    def _anneal_paths(
        self, steps: Array, slices: int, lines: bool, measured: int, reads: ReadRange
    ) -> tuple[Spins, Array, Array]:
        model, count = self.model, len(steps)
        out = np.empty((reads.number, model.n), dtype=np.int8)
        energies, magnetisations = np.zeros(reads.number), np.zeros(reads.number)
        rates, bonds = (np.ascontiguousarray(steps[:, k], dtype=np.float32) for k in (0, 1))
        chunk = max(1, STEP // (model.n * slices))

        def task(row: int) -> None:
            read = reads.first + row
            signs = np.empty((slices, model.n), dtype=np.int64)
            costs = np.stack([self._start(reads, row, read * slices + p, signs[p]) for p in range(slices)])
            done = 0
            while done < count:
                check()
                last = done + 1 if done >= count - measured else min(done + chunk, count - measured)
                path_sweeps(*self._graph, rates, bonds, lines, reads.seed, read, done, last, costs, signs)
                if last > count - measured:
                    share = np.count_nonzero(signs != np.roll(signs, 1, axis=0)) / (model.n * slices)
                    magnetisations[row] += steps[last - 1, 2] * (1 - share) + steps[last - 1, 3] * share
                    energies[row] += 0.5 * float(self._twice(costs, signs).sum()) / slices
                done = last
            energies[row] /= measured
            magnetisations[row] /= measured
            out[row] = 1 + 2 * signs[np.argmin(self._twice(costs, signs))]

        run(task, reads.number, self._threads())
        return out, energies, magnetisations

    def _twice(self, costs: Any, signs: Any) -> Any:
        """(P,) twice the energies of slices."""
        return ((self._fields - costs) * (1 + 2 * signs)).sum(axis=1)
