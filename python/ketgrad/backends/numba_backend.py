"""`NumbaBackend`: plans, blocks and threads around the kernels of numba_kernels.py.

Owns: how a program becomes a table and a list of steps of at most some milliseconds each, and which of them run side
by side. May not know: circuits, gates, what an opcode does to amplitudes.

Small states: a task is a block of samples, run through the whole program. Large ones: one sample at a time, and the
tasks are ranges of one instruction. Blocks and ranges depend on the program alone and partial sums add in their
order, so results have the same bits for any number of threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from ..memory import available_bytes
from ..program import Opcode, Program
from . import numba_kernels as kernels
from .contract import Array, Backend, Plan, States
from .numba_threads import check, run

LARGE_BITS = 18  # from here on the threads share one state
STEP = 1 << 21  # amplitude visits of one native call, about 5 ms
CHUNK = 1 << 17  # amplitude visits of one range of a large state
BLOCK_AMPLITUDES = 1 << 14  # a block of samples stays in the cache
BLOCK_SAMPLES = 32
MAX_BRAS = 4  # cotangent sets swept together
TAPE_BYTES = 256 << 20

Table = npt.NDArray[np.int64]
Step = tuple[int, int, int, int]  # rows first..last-1; of a single row the free indices lo..hi-1, all where hi is 0


def _highest(x: int) -> int:
    return 1 << (x.bit_length() - 1) if x else 0


def _decode(program: Program) -> tuple[Table, Array]:
    """The table of instructions and (m, 2) scale and offset."""
    table = np.zeros((len(program.instructions), kernels.COLUMNS), dtype=np.int64)
    for p, row in enumerate(program.instructions):
        op, k = int(row["opcode"]), int(row["k"])
        x, z = int(row["x_mask"]), int(row["z_mask"])
        fixed, value = int(row["ctrl_mask"]), int(row["ctrl_value"])
        if op == Opcode.SWAP:
            x = 1 << int(row["t0"]) | 1 << int(row["t1"])
            fixed, value = fixed | x, value | 1 << int(row["t0"])
        elif op == Opcode.DENSE:
            fixed |= x
        elif op in (Opcode.PAULI, Opcode.PAULI_ROT):
            fixed |= _highest(x)
        count = 1 << (program.n_bits - fixed.bit_count())
        turns = (x & z).bit_count() % 4
        table[p] = op, x, z, fixed, value, count, int(row["slot"]), int(row["payload"]), k, turns
    reals = np.stack([program.instructions["scale"], program.instructions["offset"]], axis=1)
    return table, np.ascontiguousarray(reals, dtype=np.float64)


def _decode_terms(program: Program) -> Table:
    table = np.zeros((len(program.terms), kernels.COLUMNS), dtype=np.int64)
    for r, row in enumerate(program.terms):
        x, z, mask, value = (int(row[name]) for name in ("x_mask", "z_mask", "ctrl_mask", "ctrl_value"))
        fixed = mask | _highest(x)
        count = 1 << (program.n_bits - fixed.bit_count())
        table[r] = 0, x, z, fixed, value, count, -1, mask, 0, (x & z).bit_count() % 4
    return table


def _cost(row: npt.NDArray[np.int64]) -> int:
    """Amplitude visits of one free index, roughly."""
    op, k = int(row[kernels.OP]), int(row[kernels.K])
    if op == Opcode.DENSE and k > 1:
        return 1 << 2 * k
    if op in (Opcode.DIAG, Opcode.EXP_DIAG):
        return 8
    return 2 if row[kernels.X] else 1


def _steps(table: Table, budget: int) -> list[Step]:
    """Consecutive rows of at most `budget` amplitude visits together, or ranges of one row."""
    steps: list[Step] = []
    first = spent = 0
    for p, row in enumerate(table):
        each, count = _cost(row), int(row[kernels.COUNT])
        if spent + each * count > budget and p > first:
            steps.append((first, p, 0, 0))
            first, spent = p, 0
        if each * count > budget:
            size = max(1, budget // each)
            steps += [(p, p + 1, lo, min(count, lo + size)) for lo in range(0, count, size)]
            first = p + 1
        else:
            spent += each * count
    if first < len(table):
        steps.append((first, len(table), 0, 0))
    return steps


def _by_row(steps: Sequence[Step]) -> list[list[Step]]:
    """Steps grouped so that those of one group may run at the same time."""
    return [list(group) for _, group in itertools.groupby(steps, key=lambda step: step[:2])]


def _spans(count: int, size: int) -> list[tuple[int, int]]:
    return [(lo, min(count, lo + size)) for lo in range(0, count, size)]


class NumbaPlan(Plan):
    """A program as a table, and its steps."""

    def __init__(self, program: Program, dtype: np.dtype[Any], backend: NumbaBackend) -> None:
        super().__init__(program, dtype)
        self._backend = backend
        self._table, self._reals = _decode(program)
        self._terms = _decode_terms(program)
        self._pool = program.pool.copy()  # writable: one compiled signature
        self._size = 1 << program.n_bits
        self._large = program.n_bits >= LARGE_BITS
        self._block = 1 if self._large else max(1, min(BLOCK_SAMPLES, BLOCK_AMPLITUDES >> program.n_bits))
        budget = CHUNK if self._large else STEP // self._block
        self._steps = _steps(self._table, budget)
        self._term_steps = _steps(self._terms, budget)
        self._seed_size = max(1, budget // max(1, len(self._terms)))
        where = program.parametrised
        self._first = int(where[0]) if len(where) else len(self._table)
        self._reverse = [
            (first + self._first, last + self._first, lo, hi)
            for first, last, lo, hi in reversed(_steps(self._table[self._first :], budget))
        ]

    # one block of samples; `threads` share the ranges of a large state

    def _each(self, groups: Sequence[Sequence[Any]], call: Callable[[Any], None], threads: int) -> None:
        for group in groups:
            if threads > 1 and len(group) > 1:
                run(lambda k, group=group: call(group[k]), len(group), threads)  # type: ignore[misc]
            else:
                for item in group:
                    check()
                    call(item)

    def _prepare_states(self, work: States, slots: Array, threads: int) -> None:
        """work (s, N) becomes the final states."""
        work[:] = 0
        work[:, 0] = 1
        n_shared = self.program.n_shared

        def call(step: Step) -> None:
            kernels.forward(work, self._table, self._reals, self._pool, slots, n_shared, *step)

        self._each(_by_row(self._steps), call, threads)

    def _values(self, work: States, threads: int) -> Array:
        """(s, R) from final states."""
        steps = self._term_steps
        parts = np.zeros((len(steps), len(work), len(self._terms)))

        def call(q: int) -> None:
            kernels.values(work, self._terms, *steps[q], parts[q])

        self._each([range(len(steps))], call, threads)
        out = np.zeros((len(work), len(self._terms)))
        for part, (first, last, _, _) in zip(parts, steps, strict=True):
            out[:, first:last] += part[:, first:last]
        return out

    def _sweep(self, work: States, slots: Array, cotangents: Array, threads: int) -> Array:
        """(s, G, S + F) gradients; work[0] holds final states and is lost, cotangents are (G, s, R)."""
        spans = _spans(self._size, self._seed_size)
        seeds = [(g, b, *span) for g in range(len(cotangents)) for b in range(work.shape[1]) for span in spans]

        def plant(item: tuple[int, int, int, int]) -> None:
            g, b, lo, hi = item
            kernels.seed(work[0, b], work[1 + g, b], self._terms, cotangents[g, b], lo, hi)

        self._each([seeds], plant, threads)
        n_shared = self.program.n_shared
        out = np.zeros((work.shape[1], len(cotangents), slots.shape[1]))
        for group in _by_row(self._reverse):
            parts = np.zeros((len(group), *out.shape)) if len(group) > 1 else out[None]

            def call(q: int, group: list[Step] = group, parts: Array = parts) -> None:
                kernels.backward(
                    work, self._table, self._reals, self._pool, slots, n_shared, *group[q], parts[q]
                )

            self._each([range(len(group))], call, threads)
            if len(group) > 1:
                for part in parts:
                    out += part
        return out

    # blocks

    def _blocks(self, per_sample: Array) -> list[tuple[int, int]]:
        return _spans(len(per_sample), self._block)

    def _slots(self, shared: Array, rows: Array) -> Array:
        """(s, S + F), fresh and writable."""
        return np.concatenate([np.broadcast_to(shared, (len(rows), len(shared))), rows], axis=1)

    def _run_blocks(self, blocks: Sequence[tuple[int, int]], task: Callable[[int, int, int], None]) -> None:
        """task(lo, hi, threads) for each block: blocks side by side where states are small, else one by one."""
        threads = self._backend.num_threads()
        if self._large:
            for lo, hi in blocks:
                task(lo, hi, threads)
        else:
            run(lambda q: task(*blocks[q], 1), len(blocks), threads)

    def _forward(self, shared: Array, per_sample: Array, keep: bool) -> tuple[Array, Any]:
        batch = len(per_sample)
        tape = self._new_tape(batch) if keep else None
        out = np.zeros((batch, len(self._terms)))

        def task(lo: int, hi: int, threads: int) -> None:
            work = np.empty((hi - lo, self._size), self.dtype) if tape is None else tape[lo:hi]
            self._prepare_states(work, self._slots(shared, per_sample[lo:hi]), threads)
            out[lo:hi] = self._values(work, threads)

        self._run_blocks(self._blocks(per_sample), task)
        return out, tape

    def _new_tape(self, batch: int) -> States | None:
        need = batch * self._size * self.dtype.itemsize
        if need > TAPE_BYTES or (need > TAPE_BYTES // 16 and need > available_bytes() // 4):
            return None
        return np.empty((batch, self._size), self.dtype)

    def _states(self, shared: Array, per_sample: Array) -> States:
        out = np.empty((len(per_sample), self._size), self.dtype)

        def task(lo: int, hi: int, threads: int) -> None:
            self._prepare_states(out[lo:hi], self._slots(shared, per_sample[lo:hi]), threads)

        self._run_blocks(self._blocks(per_sample), task)
        return out

    def _pullback(
        self, shared: Array, per_sample: Array, cotangents: Array, tape: Any, each: bool
    ) -> tuple[Array, Array]:
        sets, batch, n_shared = len(cotangents), len(per_sample), self.program.n_shared
        blocks = self._blocks(per_sample)
        rows = batch if each else len(blocks)
        to_shared = np.zeros((sets, rows, n_shared))
        to_samples = np.zeros((sets, batch, self.program.n_per_sample))

        def task(lo: int, hi: int, threads: int) -> None:
            slots = self._slots(shared, per_sample[lo:hi])
            for first, last, work in self._groups(sets, hi - lo):
                if tape is None:
                    self._prepare_states(work[0], slots, threads)
                else:
                    work[0] = tape[lo:hi]
                some = cotangents[first:last, lo:hi].copy()
                found = self._sweep(work, slots, some, threads).swapaxes(0, 1)
                to_samples[first:last, lo:hi] = found[:, :, n_shared:]
                if each:
                    to_shared[first:last, lo:hi] = found[:, :, :n_shared]
                else:
                    to_shared[first:last, lo // self._block] = found[:, :, :n_shared].sum(axis=1)

        if self._first < len(self._table):
            self._run_blocks(blocks, task)
        return to_shared if each else to_shared.sum(axis=1), to_samples

    def _groups(self, sets: int, samples: int) -> Iterator[tuple[int, int, States]]:
        """Cotangent sets first..last-1 and room (1 + last - first, samples, N) for their sweep."""
        size = 1 if self._large else MAX_BRAS
        for first, last in _spans(sets, size):
            yield first, last, np.empty((1 + last - first, samples, self._size), self.dtype)


class NumbaBackend(Backend):
    """Programs run by Numba kernels on Python threads."""

    name = "numba"

    def __init__(self) -> None:
        from . import default_num_threads

        self._threads = default_num_threads()

    def info(self) -> dict[str, Any]:
        return {"instruction_set": "numba", "numba": numba.__version__}

    def set_num_threads(self, count: int) -> None:
        self._threads = count

    def num_threads(self) -> int:
        return self._threads

    def _prepare(self, program: Program, dtype: np.dtype[Any]) -> Plan:
        return NumbaPlan(program, dtype, self)

    def _probabilities(self, states: States, bits: tuple[int, ...]) -> Array:
        where = np.array(bits, dtype=np.int64)
        out = np.zeros((len(states), 1 << len(bits)))
        spans = _spans(states.shape[1], STEP)

        def task(b: int) -> None:
            for lo, hi in spans:
                kernels.probabilities(states[b], where, lo, hi, out[b])

        run(task, len(states), self._threads)
        return out

    def _sample(self, states: States, uniforms: Array) -> npt.NDArray[np.uint64]:
        out = np.empty(uniforms.shape, dtype=np.uint64)
        blocks = max(1, states.shape[1] // kernels.SAMPLE_BLOCK)

        def task(b: int) -> None:
            norms = np.zeros(blocks)
            for lo, hi in _spans(blocks, STEP // kernels.SAMPLE_BLOCK):
                kernels.block_norms(states[b], lo, hi, norms)
            cumulative = np.cumsum(norms)
            for lo, hi in _spans(uniforms.shape[1], 1 << 14):
                kernels.sample(states[b], cumulative, uniforms[b], lo, hi, out[b])

        run(task, len(states), self._threads)
        return out
