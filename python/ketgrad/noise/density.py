"""`DensityPlan`: a program with channels, run exactly on density matrices by any backend.

Owns: batches, memory, checkpoints and the chain of sweeps. A KRAUS of its program is the whole channel of its matrices.
Values tr(P rho) are linear in the vectorised density matrix, so cotangents of them are bras of the last one. The sweep
back undoes the ket by inverse matrices; where these would multiply rounding errors, or do not exist, the program is cut
and the ket before the cut kept. May not know: channels, circuits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..backends import Backend, Plan
from ..backends.contract import Array, States
from ..errors import ArgumentError
from ..memory import how_many, require_density
from ..program import Program
from .doubling import Piece, Step, adjoint, assembled, density_bits, doubled, pieces, term_table

KEPT_BYTES = 256 << 20  # density matrices at cuts that a tape may hold
TABLE_ENTRIES = 1 << 22  # of the terms' signs that are kept
LIMITS = {8: 30.0, 16: 1e3}  # by which a sweep back may multiply rounding errors, by itemsize


class Reading:
    """The terms of a program as linear functions of a flattened density matrix."""

    def __init__(self, terms: npt.NDArray[np.void], n: int) -> None:
        self._n, self._terms = n, terms
        masks, group = np.unique(terms["x_mask"], return_inverse=True)
        self._groups = [(int(mask), np.flatnonzero(group == g)) for g, mask in enumerate(masks)]
        self._kept: dict[int, npt.NDArray[np.complex128]] = {}

    def _tables(self) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.complex128]]]:
        """(positions in the matrix, terms, coefficients (terms, 2^n)), a piece of a group at a time."""
        keep = len(self._terms) << self._n <= TABLE_ENTRIES
        step = max(1, TABLE_ENTRIES >> self._n)
        for mask, members in self._groups:
            where = density_bits(self._n, mask)
            for start in range(0, len(members), step):
                which = members[start : start + step]
                table = self._kept.get(mask) if keep else None
                if table is None:
                    table = term_table(self._terms[which], self._n)
                    if keep:
                        self._kept[mask] = table
                yield where, which, table

    def values(self, states: States) -> Array:
        """(B, R) float64 from density matrices (B, 4^n)."""
        out = np.zeros((len(states), len(self._terms)))
        for where, which, table in self._tables():
            out[:, which] = (states[:, where] @ table.T).real
        return out

    def bras(self, cotangents: Array, dtype: np.dtype[Any]) -> States:
        """(K, B, 4^n) cotangents of the density matrices from those of the values (K, B, R)."""
        out = np.zeros((*cotangents.shape[:2], 1 << 2 * self._n), dtype=dtype)
        for where, which, table in self._tables():
            out[..., where] += cotangents[..., which] @ (table.conj() / 2)
        return out


class Part(NamedTuple):
    """A piece of the program made ready: forward, and back through channels that are not undone."""

    piece: Piece
    plan: Plan
    back: Plan | None


class _Tape(NamedTuple):
    """Density matrices before each part, of all samples, and the tape of the last part."""

    marks: Sequence[States | None]
    last: Any


class DensityPlan(Plan):
    """A program with channels made ready to run on density matrices; see `Plan`.

    Args:
        program: on n bits; a KRAUS, which has no slot here, is the channel rho -> sum_i K_i rho K_i^+.
        backend: what runs the program on 2n bits.
        single: instructions whose channels are cut out, each by itself.
    """

    def __init__(self, program: Program, dtype: np.dtype[Any], backend: Backend, *, single: Sequence[int] = ()) -> None:
        super().__init__(program, dtype)
        self._backend = backend
        self._reading = Reading(program.terms, program.n_bits)
        self._steps = doubled(program)
        self._pieces = pieces(self._steps, LIMITS[dtype.itemsize], single)
        self._whole = backend.prepare(assembled(self._steps, program), dtype)

    @cached_property
    def parts(self) -> list[Part]:
        """The pieces in order, made ready on first use: values alone do not need them."""
        if len(self._pieces) == 1 and self._pieces[0].undone:
            return [Part(self._pieces[0], self._whole, None)]
        return [self._part(piece) for piece in self._pieces]

    def _part(self, piece: Piece) -> Part:
        back = None
        if not piece.undone:
            back = self._prepared([adjoint(step) for step in reversed(piece.steps)])
        return Part(piece, self._prepared(piece.steps), back)

    def _prepared(self, steps: Sequence[Step]) -> Plan:
        return self._backend.prepare(assembled(steps, self.program), self.dtype)

    @property
    def matrix_bytes(self) -> int:
        """Of one density matrix."""
        return self.dtype.itemsize << 2 * self.program.n_bits

    @property
    def runs(self) -> Program:
        return self._whole.program

    def kept_bytes(self, batch_size: int) -> int:
        return batch_size * self.matrix_bytes * len(self._pieces)

    def choice(self, batch_size: int) -> dict[str, Any]:
        return self._whole.choice(batch_size)

    def matrices(self, shared: Array, per_sample: Array, initial: States | None = None) -> States:
        """(B, 2^n, 2^n) density matrices."""
        shared, per_sample = self._check(shared, per_sample)
        batch, size = len(per_sample), 1 << self.program.n_bits
        require_density(self.program.n_bits, self.dtype.itemsize, batch)
        start = self.first(self._initial(initial, batch), slice(None))
        return self._final(shared, per_sample, start).reshape(batch, size, size)

    def bras(self, cotangents: Array) -> States:
        """Cotangents (K, B, 4^n) of the last density matrices from those of the terms (K, B, R)."""
        return self._reading.bras(cotangents, self.dtype)

    def terms(self, matrices: States) -> Array:
        """(B, R) values of the terms in density matrices (B, 2^n, 2^n)."""
        return self._reading.values(matrices.reshape(len(matrices), -1))

    def first(self, initial: States | None, rows: slice) -> States | None:
        """(b, 4^n): |psi><psi| of the states that some samples start from; None for |0...0>."""
        return _squared(initial if initial is None or len(initial) == 1 else initial[rows], self.dtype)

    def backwards(
        self, shared: Array, per_sample: Array, start: States | None = None
    ) -> Iterator[tuple[Part, States | None]]:
        """(part, the density matrices (B, 4^n) before it), the last first.

        All of these are held where they are small; of others about twice the square root of their number, and the
        way forward is gone twice.
        """
        parts = self.parts
        stride = -(-len(parts) // self._strides(len(per_sample)))
        state, kept = start, [start]
        for index, part in enumerate(parts[:-1]):
            state = part.plan.states(shared, per_sample, state)
            if (index + 1) % stride == 0:
                kept.append(state)
        for block in range((len(parts) - 1) // stride, -1, -1):
            inside = parts[block * stride : (block + 1) * stride]
            states = [kept.pop()]
            for part in inside[:-1]:
                states.append(part.plan.states(shared, per_sample, states[-1]))
            yield from _reversed(inside, states)

    # what a plan does

    def _require(self, copies: int) -> None:
        # samples run one after another where they must; a sweep has a ket and a bra, and its kets at cuts
        least = 1 if copies == 1 else 3 + self.held
        require_density(self.program.n_bits, self.dtype.itemsize, least)

    def _forward(self, shared: Array, per_sample: Array, keep: bool, initial: States | None) -> tuple[Array, Any]:
        batch = len(per_sample)
        if keep and self._keeps(batch):
            last, marks = _squared(initial, self.dtype), []
            for part in self.parts[:-1]:
                marks.append(last)
                last = part.plan.states(shared, per_sample, last)
            marks.append(last)
            final, tape = self.parts[-1].plan.states_and_tape(shared, per_sample, last)
            return self._reading.values(final), _Tape(marks, tape)
        chunks = [self._final(shared, x, start) for _, x, start in self._chunks(per_sample, initial, 1)]
        return np.concatenate([self._reading.values(c) for c in chunks]), None

    def _states(self, shared: Array, per_sample: Array, initial: States | None) -> States:
        """Amplitudes whose squares are the probabilities of the basis states: what samples are drawn from."""
        size = 1 << self.program.n_bits
        out = np.empty((len(per_sample), size), dtype=self.dtype)
        for rows, x, start in self._chunks(per_sample, initial, 1):
            diagonal = self._final(shared, x, start)[:, density_bits(self.program.n_bits, 0)].real
            out[rows] = np.sqrt(np.maximum(diagonal, 0.0))
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
        if bras is not None:
            raise ArgumentError("a circuit with channels has no final state, and so no cotangents of it (bras)")
        sets, batch = cotangents.shape[:2]
        to_shared = np.zeros((sets, batch, len(shared)) if each else (sets, len(shared)))
        to_samples = np.zeros((sets, batch, per_sample.shape[1]))
        to_start = np.zeros((sets, batch, 1 << self.program.n_bits), self.dtype) if to_initial else None
        marks = tape.marks if isinstance(tape, _Tape) else None
        together = how_many(sets, 2 * self.matrix_bytes)
        copies = 3 + self.held + together
        for rows, x, start in self._chunks(per_sample, initial, copies, marks is not None):
            for first in range(0, sets, together):
                which = slice(first, first + together)
                bra = self.bras(cotangents[which, rows])
                kets = self.backwards(shared, x, start) if marks is None else _reversed(self.parts, marks)
                found = self._swept(shared, x, kets, bra, each, None if marks is None else tape.last)
                if each:
                    to_shared[which, rows] = found[0]
                else:
                    to_shared[which] += found[0]
                to_samples[which, rows] = found[1]
                if to_start is not None:
                    to_start[which, rows] = self.to_vectors(found[2], initial, rows)
        return to_shared, to_samples, to_start

    # inside

    def _strides(self, batch: int) -> int:
        """At how many cuts kets are held from the way forward on."""
        pieces = len(self._pieces)
        return pieces if self.kept_bytes(batch) <= KEPT_BYTES else math.isqrt(pieces)

    @property
    def held(self) -> int:
        """Density matrices of a sample that a sweep back holds at cuts."""
        strides = self._strides(1)
        return strides - 1 + -(-len(self._pieces) // strides) - 1

    def _keeps(self, batch: int) -> bool:
        return self.kept_bytes(batch) <= KEPT_BYTES and self._together(batch, 1) == batch

    def _together(self, batch: int, copies: int) -> int:
        return how_many(batch, (1 + copies) * self.matrix_bytes)

    def _chunks(
        self, per_sample: Array, initial: States | None, copies: int, whole: bool = False
    ) -> Iterator[tuple[slice, Array, States | None]]:
        """(rows, their slots, the density matrices they start from), as many as fit with some copies of theirs."""
        batch = len(per_sample)
        step = batch if whole else self._together(batch, copies)
        for begin in range(0, batch, step):
            rows = slice(begin, min(begin + step, batch))
            yield rows, per_sample[rows], self.first(initial, rows)

    def _final(self, shared: Array, per_sample: Array, start: States | None) -> States:
        return self._whole.states(shared, per_sample, start)

    def _swept(
        self,
        shared: Array,
        per_sample: Array,
        kets: Iterator[tuple[Part, States | None]],
        bra: States,
        each: bool,
        tape: Any,
    ) -> tuple[Array, Array, States]:
        """Gradients of the slots, and cotangents of the first density matrices, from those of the last."""
        sets, batch = bra.shape[:2]
        to_shared: Array = np.zeros((sets, batch, len(shared)) if each else (sets, len(shared)))
        to_samples = np.zeros((sets, batch, per_sample.shape[1]))
        for part, start in kets:
            if part.back is not None:
                bra = pulled_through(part.back, bra, shared, per_sample)
                continue
            none = np.zeros((sets, batch, 0))
            own = tape if part is self.parts[-1] else None
            found = part.plan.pullback_to_initial(shared, per_sample, none, own, start, bra, each)
            to_shared += found[0]
            to_samples += found[1]
            bra = found[2]
        return to_shared, to_samples, bra

    def to_vectors(self, bra: States, initial: States | None, rows: slice) -> States:
        """Cotangents of the initial states (K, B, 2^n) from those of |psi><psi|."""
        size = 1 << self.program.n_bits
        whole = bra.reshape(*bra.shape[:2], size, size)
        start = np.eye(1, size, dtype=self.dtype) if initial is None else initial
        psi = start if len(start) == 1 else start[rows]
        return np.asarray(((whole + whole.conj().swapaxes(-1, -2)) @ psi[..., None])[..., 0])


def _reversed(parts: Sequence[Part], kets: Sequence[States | None]) -> Iterator[tuple[Part, States | None]]:
    return zip(reversed(parts), reversed(kets), strict=True)


def pulled_through(back: Plan, bra: States, shared: Array, per_sample: Array) -> States:
    """Cotangents (K, B, 4^n) through channels that have no angles."""
    sets, batch, size = bra.shape
    slots = np.broadcast_to(per_sample, (sets, *per_sample.shape)).reshape(sets * batch, per_sample.shape[1])
    return back.states(shared, slots, bra.reshape(sets * batch, size)).reshape(bra.shape)


def _squared(initial: States | None, dtype: np.dtype[Any]) -> States | None:
    """|psi><psi| of state vectors (B, 2^n), flattened."""
    if initial is None:
        return None
    return np.asarray(np.einsum("bi,bj->bij", initial, initial.conj()).reshape(len(initial), -1), dtype=dtype)
