"""`NumbaBackend`: plans, blocks and threads around the kernels of numba_kernels.py.

Owns: how a program becomes a table and a list of steps of at most some milliseconds each, and which of them run side
by side. May not know: circuits, gates, what an opcode does to amplitudes.

Small states: a task is a block of samples, run through the whole program. Large ones: one sample at a time, and the
tasks are ranges of one instruction. Blocks and ranges depend on the program alone and partial sums add in their
order, so results have the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from ..memory import available_bytes
from ..program import Opcode, Program
from . import numba_kernels as kernels
from . import numba_measure as measure
from .contract import Array, Backend, Outcomes, Plan, States, Tallies
from .numba_terms import TermTable
from .numba_threads import check, run

LARGE_BITS = 18  # from here on the threads share one state
STEP = 1 << 20  # amplitude visits of one native call, some ms; a sweep of several bras makes ten times as many
CHUNK = 1 << 17  # amplitude visits of one range of a large state
BLOCK_AMPLITUDES = 1 << 14  # a block of samples stays in the cache
BLOCK_SAMPLES = 32
MAX_BRAS = 4  # cotangent sets swept together
SPARE_BYTES = 256 << 20  # what a call may keep or use beyond the states it cannot do without

Table = npt.NDArray[np.int64]
Span = tuple[int, int]
Step = tuple[int, int, int]  # rows first..last-1; a single row of more than the budget in ranges of `size`, else 0


def _column(table: npt.NDArray[np.void], name: str) -> npt.NDArray[np.int64]:
    return table[name].astype(np.int64)


def _rows(n_bits: int, **columns: Any) -> Table:
    """The table of numba_kernels; columns not given are 0, and the count follows from `fixed`."""
    names = ("op", "x", "z", "fixed", "value", "count", "slot", "payload", "k", "turns")
    columns["count"] = np.int64(1) << (n_bits - np.bitwise_count(columns["fixed"]).astype(np.int64))
    columns["turns"] = np.bitwise_count(columns["x"] & columns["z"]) % 4
    table = np.zeros((len(columns["x"]), len(names)), dtype=np.int64)
    for name, values in columns.items():
        table[:, names.index(name)] = values
    return table


def _decode(program: Program) -> Table:
    rows = program.instructions
    op, x, z = (_column(rows, name) for name in ("opcode", "x_mask", "z_mask"))
    fixed, value = _column(rows, "ctrl_mask"), _column(rows, "ctrl_value")
    swaps, first = op == Opcode.SWAP, np.int64(1) << _column(rows, "t0")
    x = np.where(swaps, first | np.int64(1) << _column(rows, "t1"), x)
    value = np.where(swaps, value | first, value)  # the pair 01, 10
    fixed = np.where(swaps | (op == Opcode.DENSE), fixed | x, fixed)
    fixed = np.where((op == Opcode.PAULI) | (op == Opcode.PAULI_ROT), fixed | (x & -x), fixed)
    slot, payload, k = (_column(rows, name) for name in ("slot", "payload", "k"))
    return _rows(program.n_bits, op=op, x=x, z=z, fixed=fixed, value=value, slot=slot, payload=payload, k=k)


def _steps(table: Table, budget: int) -> list[Step]:
    """Consecutive rows of at most `budget` amplitude visits together; ranges where one row has more."""
    op, x, k = table[:, kernels.OP], table[:, kernels.X], table[:, kernels.K]
    each = np.where(x != 0, 2, 1)  # visits of one free index, roughly
    each = np.where((op == Opcode.DIAG) | (op == Opcode.EXP_DIAG), 8, each)
    each = np.where((op == Opcode.DENSE) & (k > 1), np.int64(1) << 2 * k, each)
    sizes = np.maximum(1, budget // each)
    steps: list[Step] = []
    first = spent = 0
    for p, (cost, size, count) in enumerate(
        zip(each.tolist(), sizes.tolist(), table[:, kernels.COUNT].tolist(), strict=True)
    ):
        if spent + cost * count > budget and p > first:
            steps.append((first, p, 0))
            first, spent = p, 0
        if size < count:
            steps.append((p, p + 1, size))
            first = p + 1
        else:
            spent += cost * count
    if first < len(table):
        steps.append((first, len(table), 0))
    return steps


def _spans(count: int, size: int) -> list[Span]:
    return [(lo, min(count, lo + size)) for lo in range(0, count, size)]


def _part(initial: States | None, lo: int, hi: int) -> States | None:
    """Rows lo..hi-1 of the initial states, or the one for all."""
    return initial if initial is None or len(initial) == 1 else initial[lo:hi]


class NumbaPlan(Plan):
    """A program as a table, and its steps."""

    def __init__(self, program: Program, dtype: np.dtype[Any], backend: NumbaBackend) -> None:
        super().__init__(program, dtype)
        self._backend = backend
        self._table = _decode(program)
        self._reals = np.stack([program.instructions["scale"], program.instructions["offset"]], axis=1).astype(float)
        self._terms = TermTable(program)
        self._pool = program.pool.copy()  # writable: one compiled signature
        self._size = 1 << program.n_bits
        self._large = program.n_bits >= LARGE_BITS
        self._block = 1 if self._large else max(1, min(BLOCK_SAMPLES, BLOCK_AMPLITUDES >> program.n_bits))
        budget = CHUNK if self._large else STEP // self._block
        self._steps = _steps(self._table, budget)
        self._budget = budget
        where = program.parametrised  # what comes before the first of these needs no way back
        self._first = int(where[0]) if len(where) else len(self._table)
        self._reverse = [
            (first + self._first, last + self._first, size)
            for first, last, size in reversed(_steps(self._table[self._first :], budget))
        ]
        self._reverse_rest = _steps(self._table[: self._first], budget)[::-1]

    # one block of samples; `threads` share the ranges of a large state

    def _each(self, count: int, call: Callable[[int], None], threads: int) -> None:
        if threads > 1 and count > 1:
            run(call, count, threads)
        else:
            for index in range(count):
                check()
                call(index)

    def _ranges(self, table: Table, step: Step) -> list[Span]:
        first, _, size = step
        return _spans(int(table[first, kernels.COUNT]), size) if size else [(0, 0)]

    def _prepare_states(self, work: States, slots: Array, initial: States | None, threads: int) -> None:
        """work (1, s, N) becomes the final states; initial is (s, N), (1, N) or None."""
        fill = _spans(self._size, STEP // 4)

        def start(q: int) -> None:
            here = slice(*fill[q])
            work[0, :, here] = 0 if initial is None else initial[:, here]

        self._each(len(fill), start, threads)
        if initial is None:
            work[0, :, 0] = 1
        n_shared = self.program.n_shared
        for step in self._steps:
            ranges = self._ranges(self._table, step)

            def call(q: int, step: Step = step, ranges: list[Span] = ranges) -> None:
                kernels.forward(work, self._table, self._reals, self._pool, slots, n_shared, *step[:2], *ranges[q])

            self._each(len(ranges), call, threads)

    def _values(self, work: States, threads: int) -> Array:
        """(s, R) from final states (1, s, N)."""
        terms = self._terms
        out = np.zeros((work.shape[1], len(terms)))
        for first, last, size in terms.steps(self._budget, terms.blocks):
            ranges = _spans(terms.blocks, size)
            rows = slice(terms.starts[first], terms.starts[last])
            parts = np.zeros((len(ranges), len(out), rows.stop - rows.start))

            def call(q: int, groups: Span = (first, last), ranges: list[Span] = ranges, parts: Array = parts) -> None:
                terms.values(work[0], *groups, *ranges[q], parts[q])

            self._each(len(ranges), call, threads)
            for part in parts:
                out[:, rows] += part
        out[:, terms.order] = out.copy()
        return out

    def _sweep(
        self, work: States, slots: Array, cotangents: Array, bras: States | None, to_start: bool, threads: int
    ) -> Array:
        """(s, G, S + F) gradients; work[0] holds final states and is lost, cotangents are (G, s, R), bras (G, s, N).

        work[1:] are left at the start of the program when `to_start`.
        """
        sets, samples = cotangents.shape[:2]
        terms = self._terms
        weights = np.ascontiguousarray(cotangents[:, :, terms.order])
        steps = list(terms.steps(self._budget, 1))

        def plant(q: int) -> None:
            state, block = divmod(q, terms.blocks)
            g, b = divmod(state, samples)
            here = slice(block * terms.size, (block + 1) * terms.size)
            work[1 + g, b, here] = 0 if bras is None else bras[g, b, here]
            for first, last, _ in steps:
                check()
                terms.plant(work[0, b], work[1 + g, b], weights[g, b], first, last, block)

        self._each(sets * samples * terms.blocks, plant, threads)
        n_shared = self.program.n_shared
        out = np.zeros((samples, sets, slots.shape[1]))
        for step in self._reverse + (self._reverse_rest if to_start else []):
            ranges = self._ranges(self._table, step)
            slot = int(self._table[step[0], kernels.SLOT])
            base, parts = (max(0, slot), np.zeros((len(ranges), samples, sets, 1))) if step[2] else (0, out[None])

            def call(
                q: int, step: Step = step, ranges: list[Span] = ranges, base: int = base, parts: Array = parts
            ) -> None:
                kernels.backward(
                    work, self._table, self._reals, self._pool, slots, n_shared, *step[:2], *ranges[q], parts[q], base
                )

            self._each(len(ranges), call, threads)
            if step[2] and slot >= 0:
                for part in parts:
                    out[:, :, slot] += part[:, :, 0]
        return out

    # blocks

    def _blocks(self, per_sample: Array) -> list[Span]:
        return _spans(len(per_sample), self._block)

    def _slots(self, shared: Array, rows: Array) -> Array:
        """(s, S + F), fresh and C-contiguous: one compiled signature."""
        out = np.empty((len(rows), len(shared) + rows.shape[1]))
        out[:, : len(shared)], out[:, len(shared) :] = shared, rows
        return out

    def _run_blocks(self, blocks: list[Span], task: Callable[[int, int, int], None]) -> None:
        """task(lo, hi, threads) for each block: blocks side by side where states are small, else one by one."""
        threads = self._backend.num_threads()
        if self._large:
            for lo, hi in blocks:
                task(lo, hi, threads)
        else:
            run(lambda q: task(*blocks[q], 1), len(blocks), threads)

    def _forward(self, shared: Array, per_sample: Array, keep: bool, initial: States | None) -> tuple[Array, Any]:
        batch = len(per_sample)
        tape = self._new_tape(batch) if keep else None
        out = np.zeros((batch, len(self._terms)))

        def task(lo: int, hi: int, threads: int) -> None:
            work = (np.empty((hi - lo, self._size), self.dtype) if tape is None else tape[lo:hi])[None]
            self._prepare_states(work, self._slots(shared, per_sample[lo:hi]), _part(initial, lo, hi), threads)
            out[lo:hi] = self._values(work, threads)

        self._run_blocks(self._blocks(per_sample), task)
        return out, tape

    def _new_tape(self, batch: int) -> States | None:
        return np.empty((batch, self._size), self.dtype) if self._is_spare(batch) else None

    def _is_spare(self, copies: int) -> bool:
        """Whether there is room for states beyond those that every call needs."""
        need = copies * self._size * self.dtype.itemsize
        return need <= SPARE_BYTES and (need <= SPARE_BYTES // 16 or need <= available_bytes() // 4)

    def _states(self, shared: Array, per_sample: Array, initial: States | None) -> States:
        out = np.empty((len(per_sample), self._size), self.dtype)

        def task(lo: int, hi: int, threads: int) -> None:
            slots = self._slots(shared, per_sample[lo:hi])
            self._prepare_states(out[None, lo:hi], slots, _part(initial, lo, hi), threads)

        self._run_blocks(self._blocks(per_sample), task)
        return out

    def _pullback(
        self,
        shared: Array,
        per_sample: Array,
        cotangents: Array,
        tape: Any,
        each: bool,
        initial: States | None,
        bras: States | None,
        to_initial: bool,
    ) -> tuple[Array, Array, Any]:
        sets, batch, n_shared = len(cotangents), len(per_sample), self.program.n_shared
        blocks = self._blocks(per_sample)
        rows = batch if each else len(blocks)
        to_shared = np.zeros((sets, rows, n_shared))
        to_samples = np.zeros((sets, batch, self.program.n_per_sample))
        at_start = np.empty((sets, batch, self._size), self.dtype) if to_initial else None

        def task(lo: int, hi: int, threads: int) -> None:
            slots = self._slots(shared, per_sample[lo:hi])
            for first, last, work in self._groups(sets, hi - lo):
                if tape is None:
                    self._prepare_states(work[:1], slots, _part(initial, lo, hi), threads)
                else:
                    work[0] = tape[lo:hi]
                some = cotangents[first:last, lo:hi].copy()
                ends = None if bras is None else bras[first:last, lo:hi]
                found = self._sweep(work, slots, some, ends, to_initial, threads).swapaxes(0, 1)
                if at_start is not None:
                    at_start[first:last, lo:hi] = work[1:]
                to_samples[first:last, lo:hi] = found[:, :, n_shared:]
                if each:
                    to_shared[first:last, lo:hi] = found[:, :, :n_shared]
                else:
                    to_shared[first:last, lo // self._block] = found[:, :, :n_shared].sum(axis=1)

        if self._first < len(self._table) or to_initial:
            self._run_blocks(blocks, task)
        return to_shared if each else to_shared.sum(axis=1), to_samples, at_start

    def _groups(self, sets: int, samples: int) -> Iterator[tuple[int, int, States]]:
        """Cotangent sets first..last-1 and room (1 + last - first, samples, N) for their sweep."""
        size = MAX_BRAS if not self._large or self._is_spare(MAX_BRAS) else 1
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
        where, shift = measure.positions(bits)
        out = np.zeros((len(states), 1 << len(bits)))
        spans = _spans(states.shape[1], STEP // 8)
        if out.shape == states.shape:  # no outcome has two amplitudes: spans of one state may run at the same time
            tasks = [(b, [span]) for b in range(len(states)) for span in spans]
        else:
            tasks = [(b, spans) for b in range(len(states))]

        def task(q: int) -> None:
            b, some = tasks[q]
            for lo, hi in some:
                check()
                measure.probabilities(states[b], where, shift, lo, hi, out[b])

        run(task, len(tasks), self._threads)
        return out

    def _sample(self, states: States, uniforms: Array, bits: tuple[int, ...]) -> Outcomes:
        out = np.empty(uniforms.shape, dtype=np.uint64)
        where, shift = measure.positions(bits)
        size, shots = states.shape[1], uniforms.shape[1]
        n_blocks = measure.block_count(size, shots)
        buckets = min(n_blocks, 1 << shots.bit_length())

        def task(b: int) -> None:
            sums = np.empty(n_blocks)
            for lo, hi in _spans(n_blocks, STEP * n_blocks // size):
                check()
                measure.block_sums(states[b], lo, hi, sums)
            ends, guide = np.cumsum(sums), np.empty(buckets + 1, dtype=np.int64)
            measure.fill_guide(ends, guide)
            for lo, hi in _spans(shots, 1 << 14):
                check()
                measure.sample(states[b], ends, guide, uniforms[b], where, shift, lo, hi, out[b])

        run(task, len(states), self._threads)
        return out

    def _counts(self, states: States, uniforms: Array, bits: tuple[int, ...]) -> Tallies:
        return Tallies.of_rows([measure.tally(row, len(bits)) for row in self._sample(states, uniforms, bits)])
