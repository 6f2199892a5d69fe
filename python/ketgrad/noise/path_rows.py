"""Rows of trajectories: which paths and samples are run together, and how a batch of rows goes there and back.

Owns: slots and states of rows, how many are held at once, and the pieces of the program that routes are made of. May
not know: observables, means, how paths are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..backends import Backend, Plan
from ..backends.contract import Array, States
from ..program import Program
from .paths import Integers, PathSpace
from .routes import Route, Routes
from .unravelled import piece, unravelled

CHUNK_ENTRIES = 1 << 22  # slots and values held at once
CHUNK_BYTES = 64 << 20  # states held at once
SEGMENTS = 256  # pieces of the program that stay prepared
NO_ERRORS = np.zeros((1, 0), dtype=np.int64)


class Piece(NamedTuple):
    """Rows that are held at once: some paths of a route, for some samples."""

    route: Route
    samples: slice
    rows: slice
    slots: Array
    initial: States | None

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.samples.stop - self.samples.start

    @property
    def key(self) -> tuple[int, ...]:
        return self.samples.start, self.samples.stop, self.rows.start, self.rows.stop


class PathRows:
    """The program that takes single paths, ready to run.

    Args:
        program: with whole channels, see `TrajectoryPlan`.
    """

    def __init__(self, program: Program, dtype: np.dtype[Any], backend: Backend) -> None:
        self.dtype, self.backend = dtype, backend
        self.single = unravelled(program)
        self.inner = backend.prepare(self.single.program, dtype)
        self.space = PathSpace([place.probabilities for place in self.single.forks])
        self.segment = lru_cache(maxsize=SEGMENTS)(self._segment)

    @property
    def state_bytes(self) -> int:
        """Of one state."""
        return int(self.dtype.itemsize) << self.single.program.n_bits

    def slots(self, per_sample: Array, errors: Integers) -> Array:
        """(D * B, F + C): slots of the program that takes single paths, all samples of a path together."""
        batch, own = per_sample.shape
        out = np.empty((len(errors), batch, own + self.space.sites))
        out[..., :own] = per_sample
        out[..., own:] = self.space.choices(errors)[:, None]
        return out.reshape(len(errors) * batch, out.shape[-1])

    def samples(
        self, routes: Routes, shared: Array, per_sample: Array, initial: States | None, sets: int = 0
    ) -> Iterator[tuple[slice, list[States | None]]]:
        """(samples, their states at the marks of the usual path), as many as may be held."""
        batch, copies = len(per_sample), len(routes.marks) * (1 + sets) - 1 + (initial is not None)
        step = min(batch, max(1, CHUNK_ENTRIES // self._entries))
        if copies:
            step = min(step, max(1, CHUNK_BYTES // (copies * self.state_bytes)))
        for first in range(0, batch, max(1, step)):
            samples = slice(first, min(first + step, batch))
            own = initial if initial is None or len(initial) == 1 else initial[samples]
            marks, slots = [own], self.slots(per_sample[samples], NO_ERRORS)
            for a, b in pairwise(routes.marks):
                marks.append(self.segment(a, b).states(shared, slots, marks[-1]))
            yield samples, marks

    def pieces(
        self,
        routes: Routes,
        per_sample: Array,
        samples: slice,
        marks: list[States | None],
        states: int = 0,
        sets: int = 1,
    ) -> Iterator[Piece]:
        """All paths of some samples, in pieces.

        Args:
            states: that are held for each row, beside those at its start and at cuts of a sweep with so many sets.
        """
        wide = samples.stop - samples.start
        for route in routes.groups:
            start, (_, *cuts, _) = marks[route.mark], route.edges
            spread = start is not None and len(start) > 1
            held = states + spread + (len(cuts) + 2 * sets if cuts else 2 * sets if route.mark else 0)
            deep = max(1, CHUNK_ENTRIES // self._entries // wide)
            if held:
                deep = min(deep, max(1, CHUNK_BYTES // (held * self.state_bytes * wide)))
            for first in range(route.rows.start, route.rows.stop, deep):
                rows = slice(first, min(first + deep, route.rows.stop))
                slots = self.slots(per_sample[samples], routes.paths.errors[rows])
                initial = start
                if spread and start is not None:
                    initial = np.broadcast_to(start, (rows.stop - first, *start.shape)).reshape(-1, start.shape[1])
                yield Piece(route, samples, rows, slots, initial)

    @property
    def _entries(self) -> int:
        """Numbers that a row takes beside states."""
        return self.single.program.n_per_sample + len(self.single.program.terms) + 1

    def last(self, route: Route) -> Plan:
        """The program from where a route starts."""
        return self.inner if not route.edges[0] else self.segment(route.edges[0], route.edges[-1])

    def swept(
        self,
        edges: tuple[int, ...],
        shared: Array,
        slots: Array,
        seeds: Array | None,
        tape: Any,
        each: bool,
        initial: States | None,
        bras: States | None,
        to_initial: bool,
    ) -> tuple[Array, Array, Any]:
        """Gradients of the slots of rows between edges, and cotangents of their first states where wanted.

        The states at the edges are kept on the way forward, and cotangents go from piece to piece on the way back: of
        terms (`seeds`) from the end of the program, of states (`bras`) from elsewhere.
        """
        whole = edges == (0, len(self.single.program.instructions))
        pieces = [self.inner] if whole else [self.segment(a, b) for a, b in pairwise(edges)]
        starts = [initial]
        for plan in pieces[:-1]:
            starts.append(plan.states(shared, slots, starts[-1]))
        to_shared: Any = 0.0
        to_slots: Any = 0.0
        for plan, start in zip(reversed(pieces), reversed(starts), strict=True):
            if seeds is None:
                assert bras is not None
                seeds = np.zeros((len(bras), len(slots), 0))
            if plan is pieces[0] and not to_initial:
                found: Any = plan.pullback(shared, slots, seeds, tape, each, start, bras)
            else:
                found = plan.pullback_to_initial(shared, slots, seeds, tape, start, bras, each)
                bras = found[2]
            to_shared, to_slots, seeds = to_shared + found[0], to_slots + found[1], None
        return to_shared, to_slots, bras

    def _segment(self, start: int, stop: int) -> Plan:
        return self.backend.prepare(piece(self.single.program, start, stop), self.dtype)
