"""`NumbaBackend`: plans, blocks of samples and threads around the Numba kernels.

Owns: which steps a program takes, each of at most some milliseconds, and which of them run side by side. May not know:
circuits, gates, what an opcode does to amplitudes.

Small states: a task is a block of samples, run through the whole program. From TILED_BITS on a block is one sample, and
its steps are passes over tiles. Of a large state, or of one sample alone, tasks are tiles, or ranges of an instruction.
What a task is depends on the program and the batch alone and partial sums add in their order, so results have the same
bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np

from ..memory import available_bytes
from ..program import Program
from . import numba_kernels as kernels
from . import numba_measure as measure
from .contract import Array, Backend, Outcomes, Plan, States, Tallies
from .numba_large import TilePass, plan
from .numba_table import Span, Step, decode, ranges, spans, steps, trained
from .numba_terms import TermTable
from .numba_threads import check, run, share
from .spins import SpinEngine, SpinModel

TILED_BITS = 10  # from here on a state goes through tiles, by itself
LARGE_BITS = 18  # from here on the threads share one state
STEP = 1 << 20  # amplitude visits of one native call, some ms; a sweep of several bras makes ten times as many
CHUNK = 1 << 17  # amplitude visits of one range of a large state
BLOCK_AMPLITUDES = 1 << 14  # a block of samples stays in the cache
BLOCK_SAMPLES = 32
MAX_BRAS = 4  # cotangent sets swept together
SPARE_BYTES = 256 << 20  # what a call may keep or use beyond the states it cannot do without


def _part(initial: States | None, lo: int, hi: int) -> States | None:
    """Rows lo..hi-1 of the initial states, or the one for all."""
    return initial if initial is None or len(initial) == 1 else initial[lo:hi]


class NumbaPlan(Plan):
    """A program as a table, and its steps."""

    def __init__(self, program: Program, dtype: np.dtype[Any], backend: NumbaBackend) -> None:
        super().__init__(program, dtype)
        self._backend = backend
        self._table = decode(program)
        self._reals = np.stack([program.instructions["scale"], program.instructions["offset"]], axis=1).astype(float)
        self._pool = program.pool.copy()  # writable: one compiled signature
        self._size = 1 << program.n_bits
        self._large, self._tiled = program.n_bits >= LARGE_BITS, program.n_bits >= TILED_BITS
        self._block = 1 if self._tiled else max(1, min(BLOCK_SAMPLES, BLOCK_AMPLITUDES >> program.n_bits))
        budget = CHUNK if self._large else STEP // self._block
        self._steps: list[Step | TilePass] = []
        if self._tiled:
            for part in plan(self._table, self._reals, self._pool, program.n_bits, dtype):
                if isinstance(part, TilePass):
                    self._steps.append(part)
                else:
                    self._steps += steps(self._table[part : part + 1], budget, part)
        else:
            first = int(program.parametrised[0]) if len(program.parametrised) else 0
            self._steps += steps(self._table[:first], budget) + steps(self._table[first:], budget, first)
        # what comes before the first angle of a slot needs no way back
        self._first = next((k for k, step in enumerate(self._steps) if self._has_slot(step)), len(self._steps))
        self._terms, self._budget = TermTable(program), budget

    def _has_slot(self, step: Step | TilePass) -> bool:
        if isinstance(step, TilePass):
            return step.measured
        return bool(trained(self._table[step[0] : step[1]]).any())

    # one block of samples; `threads` share the ranges or tiles of a large state

    def _prepare_states(self, work: States, slots: Array, initial: States | None, threads: int) -> None:
        """work (1, s, N) becomes the final states; initial is (s, N), (1, N) or None."""
        fill = spans(self._size, STEP // 4)

        def start(q: int) -> None:
            here = slice(*fill[q])
            work[0, :, here] = 0 if initial is None else initial[:, here]

        share(start, len(fill), threads)
        if initial is None:
            work[0, :, 0] = 1
        n_shared = self.program.n_shared
        for step in self._steps:
            if isinstance(step, TilePass):
                step.forward(work[:, 0], slots[0], initial is None, threads)
                continue
            pieces = ranges(self._table, step)

            def call(q: int, step: Step = step, pieces: list[Span] = pieces) -> None:
                kernels.forward(work, self._table, self._reals, self._pool, slots, n_shared, *step[:2], *pieces[q])

            share(call, len(pieces), threads)

    def _values(self, work: States, threads: int) -> Array:
        """(s, R) from final states (1, s, N)."""
        terms = self._terms
        out = np.zeros((work.shape[1], len(terms)))
        for first, last, size in terms.steps(self._budget, terms.blocks):
            pieces = spans(terms.blocks, size)
            rows = slice(terms.starts[first], terms.starts[last])
            parts = np.zeros((len(pieces), len(out), rows.stop - rows.start))

            def call(q: int, groups: Span = (first, last), pieces: list[Span] = pieces, parts: Array = parts) -> None:
                terms.values(work[0], *groups, *pieces[q], parts[q])

            share(call, len(pieces), threads)
            for part in parts:
                out[:, rows] += part
        out[:, terms.order] = out.copy()
        return out

    def _plant(self, work: States, cotangents: Array, bras: States | None, threads: int) -> None:
        """work[1:] = bras and the cotangents' sums of terms of work[0]."""
        terms, samples = self._terms, work.shape[1]
        weights = np.ascontiguousarray(cotangents[:, :, terms.order])
        groups = list(terms.steps(self._budget, 1))

        def plant(q: int) -> None:
            state, block = divmod(q, terms.blocks)
            g, b = divmod(state, samples)
            here = slice(block * terms.size, (block + 1) * terms.size)
            work[1 + g, b, here] = 0 if bras is None else bras[g, b, here]
            for first, last, _ in groups:
                check()
                terms.plant(work[0, b], work[1 + g, b], weights[g, b], first, last, block)

        share(plant, len(cotangents) * samples * terms.blocks, threads)

    def _sweep(
        self,
        work: States,
        slots: Array,
        cotangents: Array,
        bras: States | None,
        fresh: bool,
        to_start: bool,
        threads: int,
    ) -> Array:
        """(s, G, S + F) gradients; work[0] holds final states and is lost, cotangents are (G, s, R), bras (G, s, N).

        work[1:] are left at the start of the program when `to_start`; fresh: the kets began as |0...0>.
        """
        sets, samples = cotangents.shape[:2]
        self._plant(work, cotangents, bras, threads)
        n_shared = self.program.n_shared
        out = np.zeros((samples, sets, slots.shape[1]))
        for step in reversed(self._steps if to_start else self._steps[self._first :]):
            if isinstance(step, TilePass):
                step.backward(work[:, 0], slots[0], fresh and not to_start, threads, out[0])
                continue
            pieces = ranges(self._table, step)
            slot = int(self._table[step[0], kernels.SLOT])
            base, parts = (max(0, slot), np.zeros((len(pieces), samples, sets, 1))) if step[2] else (0, out[None])

            def call(
                q: int, step: Step = step, pieces: list[Span] = pieces, base: int = base, parts: Array = parts
            ) -> None:
                kernels.backward(
                    work, self._table, self._reals, self._pool, slots, n_shared, *step[:2], *pieces[q], parts[q], base
                )

            share(call, len(pieces), threads)
            if step[2] and slot >= 0:
                for part in parts:
                    out[:, :, slot] += part[:, :, 0]
        return out

    # blocks

    def _blocks(self, per_sample: Array) -> list[Span]:
        return spans(len(per_sample), self._block)

    def _slots(self, shared: Array, rows: Array) -> Array:
        """(s, S + F), fresh and C-contiguous: one compiled signature."""
        out = np.empty((len(rows), len(shared) + rows.shape[1]))
        out[:, : len(shared)], out[:, len(shared) :] = shared, rows
        return out

    def _run_blocks(self, blocks: list[Span], task: Callable[[int, int, int], None]) -> None:
        """task(lo, hi, threads) for each block: blocks side by side where states are small, else one by one."""
        threads = self._backend.num_threads()
        if self._large or (self._tiled and len(blocks) == 1):
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
                found = self._sweep(work, slots, some, ends, initial is None, to_initial, threads)
                found = found.swapaxes(0, 1)
                if at_start is not None:
                    at_start[first:last, lo:hi] = work[1:]
                to_samples[first:last, lo:hi] = found[:, :, n_shared:]
                if each:
                    to_shared[first:last, lo:hi] = found[:, :, :n_shared]
                else:
                    to_shared[first:last, lo // self._block] = found[:, :, :n_shared].sum(axis=1)

        if self._first < len(self._steps) or to_initial:
            self._run_blocks(blocks, task)
        return to_shared if each else to_shared.sum(axis=1), to_samples, at_start

    def _groups(self, sets: int, samples: int) -> Iterator[tuple[int, int, States]]:
        """Cotangent sets first..last-1 and room (1 + last - first, samples, N) for their sweep."""
        size = MAX_BRAS if not self._large or self._is_spare(MAX_BRAS) else 1
        for first, last in spans(sets, size):
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

    def prepare_spins(self, model: SpinModel) -> SpinEngine:
        from .numba_anneal import NumbaSpins

        return NumbaSpins(model, self.num_threads)

    def _probabilities(self, states: States, bits: tuple[int, ...]) -> Array:
        where, shift = measure.positions(bits)
        out = np.zeros((len(states), 1 << len(bits)))
        pieces = spans(states.shape[1], STEP // 8)
        if out.shape == states.shape:  # no outcome has two amplitudes: pieces of one state may run at the same time
            tasks = [(b, [piece]) for b in range(len(states)) for piece in pieces]
        else:
            tasks = [(b, pieces) for b in range(len(states))]

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
            for lo, hi in spans(n_blocks, STEP * n_blocks // size):
                check()
                measure.block_sums(states[b], lo, hi, sums)
            ends, guide = np.cumsum(sums), np.empty(buckets + 1, dtype=np.int64)
            measure.fill_guide(ends, guide)
            for lo, hi in spans(shots, 1 << 14):
                check()
                measure.sample(states[b], ends, guide, uniforms[b], where, shift, lo, hi, out[b])

        run(task, len(states), self._threads)
        return out

    def _counts(self, states: States, uniforms: Array, bits: tuple[int, ...]) -> Tallies:
        return Tallies.of_rows([measure.tally(row, len(bits)) for row in self._sample(states, uniforms, bits)])
