"""`TrajectoryPlan`: a program with channels, run as a weighted sum of paths, each one a state.

Owns: rows (paths times samples) and their chunks, means and standard errors, and sweeps back through operators that
cannot be undone. A KRAUS of its program is the whole channel of its matrices, as for `DensityPlan`. The paths are drawn
once: every call, and so every step of an optimisation, averages over the same ones (common random numbers), and a
gradient is exactly that of the values returned. May not know: circuits, how paths are drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..backends import Backend, Plan
from ..backends.contract import Array, States
from ..errors import ArgumentError
from ..memory import require_bytes
from ..program import Program
from .paths import Integers, Paths, PathSpace
from .unravelled import piece, unravelled

TRAJECTORIES = 1000
MOST_TRAJECTORIES = 1 << 22  # that a tolerance asks for
PILOT = 64  # paths by which a tolerance says how many it takes
CHUNK_ENTRIES = 1 << 22  # slots and values held at once
CHUNK_BYTES = 64 << 20  # states held at once
KEPT_BYTES = 256 << 20  # final states that a tape holds
SEGMENTS = 256  # pieces of the program that stay prepared


@dataclass(frozen=True, eq=False)
class Routes:
    """Paths in the order in which they run, and where a sweep back is cut.

    Attributes:
        groups: (instructions at which to cut, which of the paths); the first group has no cuts, and may be empty.
    """

    paths: Paths
    groups: tuple[tuple[tuple[int, ...], slice], ...]


class _Tape(NamedTuple):
    routes: Routes
    tapes: dict[tuple[int, ...], Any]  # of the inner plan, for chunks of the first group


class TrajectoryPlan(Plan):
    """A program with channels made ready to run on paths; see `Plan`.

    Args:
        program: a KRAUS of it, which has no slot here, is the channel rho -> sum_i K_i rho K_i^+.
        backend: what runs single paths.
        trajectories: N, how many paths a value may take; those that count exactly are among them. With a tolerance, at
            most so many.
        seed: of the paths.
        tolerance: the standard error wanted of every output; paths are added until it is reached.
        outputs: (M, R) outputs as sums of terms, for the tolerance; default: the terms.
        least: see `PathSpace.paths`.
    """

    def __init__(
        self,
        program: Program,
        dtype: np.dtype[Any],
        backend: Backend,
        *,
        trajectories: int = TRAJECTORIES,
        seed: int = 0,
        tolerance: float | None = None,
        outputs: Array | None = None,
        least: int | None = None,
    ) -> None:
        super().__init__(program, dtype)
        self.backend, self.seed, self.trajectories, self.tolerance = backend, seed, trajectories, tolerance
        self.single = unravelled(program)
        self.inner = backend.prepare(self.single.program, dtype)
        self.space = PathSpace([place.probabilities for place in self.single.forks])
        self._outputs, self._least = outputs, least
        self._limit = -0.25 * float(np.log(np.finfo(dtype).eps))  # 1e4 and 50: what undoing may multiply errors by
        self.segment = lru_cache(maxsize=SEGMENTS)(self._segment)
        self.routes = lru_cache(maxsize=2)(self._routes)
        fork = np.cumsum([place.column >= 0 for place in self.single.places]) - 1
        usual = [
            p.log_conditions[self.space.usual[f] if p.column >= 0 else 0]
            for p, f in zip(self.single.places, fork, strict=True)
        ]
        self._usual_log = np.array(usual, dtype=np.float64)
        self._place = np.flatnonzero([p.column >= 0 for p in self.single.places])
        forks, site, choice = self.single.forks, self.space.site.tolist(), self.space.choice.tolist()
        errors = [forks[s].log_conditions[c] for s, c in zip(site, choice, strict=True)]
        self._error_log = np.array(errors, dtype=np.float64)

    # values

    def estimate(
        self, shared: Array, per_sample: Array, outputs: Array | None = None, initial: States | None = None
    ) -> tuple[Array, Array]:
        """Outputs and their standard errors, (B, M) each; 0 where every path is enumerated.

        Args:
            outputs: (M, R) as sums of terms; default: the terms.
        """
        shared, per_sample = self._check(shared, per_sample)
        rows = np.eye(len(self.program.terms)) if outputs is None else outputs
        terms, error, _ = self._settled(shared, per_sample, False, self._initial(initial, len(per_sample)), rows)
        assert error is not None
        return terms @ rows.T, error

    def slots(self, per_sample: Array, errors: Integers) -> Array:
        """(D * B, F + C): slots of the program that takes single paths, all samples of a path together."""
        batch, own = per_sample.shape
        out = np.empty((len(errors), batch, own + self.space.sites))
        out[..., :own] = per_sample
        out[..., own:] = self.space.choices(errors)[:, None]
        return out.reshape(len(errors) * batch, out.shape[-1])

    def average(
        self,
        shared: Array,
        per_sample: Array,
        work: Callable[[States], npt.NDArray[Any]],
        initial: States | None = None,
    ) -> npt.NDArray[Any]:
        """The mean over paths of what `work` makes of states (rows, 2^n), an array for each row: (B, ...).

        Of states that may not be normalised; `work` is a quadratic function of them.
        """
        shared, per_sample = self._check(shared, per_sample)
        start = self._initial(initial, len(per_sample))
        routes, total = self._found(shared, per_sample, start), np.zeros(0)
        for samples, rows in self._chunks(slice(0, len(routes.paths)), len(per_sample), 2):
            x = self.slots(per_sample[samples], routes.paths.errors[rows])
            made = np.asarray(work(self.inner.states(shared, x, self._starts(start, samples, rows))))
            made = made.reshape(rows.stop - rows.start, -1, *made.shape[1:])
            if not rows.start and not samples.start:
                total = np.zeros((len(per_sample), *made.shape[2:]), made.dtype)
            total[samples] += np.tensordot(routes.paths.weights[rows], made, 1)
        return total

    # what a plan does

    def choice(self, batch_size: int) -> dict[str, Any]:
        return self.inner.choice(batch_size * self.trajectories)

    @property
    def runs(self) -> Program:
        return self.single.program

    def kept_bytes(self, batch_size: int) -> int:
        return min(KEPT_BYTES, batch_size * self.trajectories * self._state_bytes)

    def _forward(self, shared: Array, per_sample: Array, keep: bool, initial: States | None) -> tuple[Array, Any]:
        mean, _, tape = self._settled(shared, per_sample, keep, initial, None)
        return mean, tape

    def _states(self, shared: Array, per_sample: Array, initial: States | None) -> States:
        """Amplitudes whose squares are the mean probabilities of the basis states."""
        mean = self.average(shared, per_sample, lambda states: np.abs(states.astype(np.complex128)) ** 2, initial)
        return np.asarray(np.sqrt(mean), dtype=self.dtype)

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
        known = isinstance(tape, _Tape)
        routes = tape.routes if known else self._found(shared, per_sample, initial)
        tapes = tape.tapes if known else {}
        (sets, batch), (_, own) = cotangents.shape[:2], per_sample.shape
        to_shared = np.zeros((sets, batch, len(shared)) if each else (sets, len(shared)))
        to_samples = np.zeros((sets, batch, own))
        to_start = np.zeros((sets, batch, 1 << self.program.n_bits), self.dtype) if to_initial else None
        for cuts, group in routes.groups:
            held = (len(cuts) + 2 * sets if cuts or to_initial else 0) + (initial is not None)
            for samples, rows in self._chunks(group, batch, held):
                slots = self.slots(per_sample[samples], routes.paths.errors[rows])
                weighted = cotangents[:, None, samples] * routes.paths.weights[rows, None, None]
                seeds = np.ascontiguousarray(weighted.reshape(sets, len(slots), -1))
                start, kept = self._starts(initial, samples, rows), tapes.get(_key(samples, rows))
                found = self._swept(cuts, shared, slots, seeds, kept, each, start, to_initial)
                shape = rows.stop - rows.start, samples.stop - samples.start
                if each:
                    to_shared[:, samples] += _over_paths(found[0], *shape)
                else:
                    to_shared += found[0]
                to_samples[:, samples] += _over_paths(found[1][..., :own], *shape)
                if to_start is not None:
                    to_start[:, samples] += _over_paths(found[2], *shape)
        return to_shared, to_samples, to_start

    # inside: forward

    @property
    def _state_bytes(self) -> int:
        return int(self.dtype.itemsize) << self.program.n_bits

    def _routes(self, budget: int) -> Routes:
        """The paths of a budget: those that a sweep back can undo first, then the others by where it has to be cut."""
        paths = self.space.paths(budget, (self.seed,), self._least)
        cuts = self._cuts(paths.errors)
        if not cuts.any():
            return Routes(paths, (((), slice(0, len(paths))),))
        patterns, group = np.unique(cuts, axis=0, return_inverse=True)  # without cuts is the first, where it is at all
        order = np.argsort(group.ravel(), kind="stable")
        paths = replace(paths, errors=paths.errors[order], weights=paths.weights[order], counts=paths.counts[order])
        edges = np.concatenate([[0], np.cumsum(np.bincount(group.ravel()))]).tolist()
        instructions = np.array([place.instruction for place in self.single.places])
        groups = [
            (tuple(instructions[pattern].tolist()), slice(a, b))
            for pattern, a, b in zip(patterns, edges[:-1], edges[1:], strict=True)
        ]
        return Routes(paths, tuple(groups if not groups[0][0] else [((), slice(0, 0)), *groups]))

    def _cuts(self, errors: Integers) -> npt.NDArray[np.bool_]:
        """(D, places): where undoing the operators since the last cut would multiply rounding errors too much."""
        most = self._usual_log.sum() + errors.shape[1] * self._error_log.max(initial=0.0)
        if most <= self._limit:
            return np.zeros((len(errors), len(self._usual_log)), dtype=bool)
        logs = np.tile(self._usual_log, (len(errors), 1))
        path, column = np.nonzero(errors >= 0)
        made = errors[path, column]
        logs[path, self._place[self.space.site[made]]] = self._error_log[made]
        grown, cuts = np.zeros(len(errors)), np.zeros(logs.shape, dtype=bool)
        for place, log in enumerate(logs.T):
            cuts[:, place] = grown + log > self._limit
            grown = np.where(cuts[:, place], 0.0, grown + log)  # the first of a piece is never undone
        first = self.single.places[0].instruction == 0  # nothing is before it
        cuts[:, 0] &= not first
        return cuts

    def _settled(
        self, shared: Array, per_sample: Array, keep: bool, initial: States | None, outputs: Array | None
    ) -> tuple[Array, Array | None, _Tape | None]:
        """Means of terms, and standard errors of outputs where asked for, with as many paths as it takes."""
        terms = len(self.program.terms)
        if self.tolerance is None or not terms:
            return self._mean(shared, per_sample, keep, initial, outputs, self.routes(self.trajectories))
        wanted = self._outputs if self._outputs is not None and self._outputs.shape[1] == terms else np.eye(terms)
        budget, worst = min(PILOT, self.trajectories), np.inf
        while True:
            found = self._mean(shared, per_sample, keep, initial, wanted, self.routes(budget))
            assert found[1] is not None
            worst = float(found[1].max(initial=0.0)) / self.tolerance
            if worst <= 1 or budget >= self.trajectories:
                break
            budget = min(self.trajectories, int(max(2 * budget, 1.1 * worst**2 * budget)))
        if worst > 1:
            warnings.warn(
                f"the standard error is {worst * self.tolerance:.2g} after {budget} trajectories, and "
                f"{self.tolerance:.2g} was wanted; allow more trajectories or a larger tolerance",
                stacklevel=2,
            )
        if outputs is None or np.array_equal(outputs, wanted):
            return found
        return self._mean(shared, per_sample, keep, initial, outputs, self.routes(budget))

    def _found(self, shared: Array, per_sample: Array, initial: States | None) -> Routes:
        """The paths that `forward` took."""
        if self.tolerance is None:
            return self.routes(self.trajectories)
        tape = self._settled(shared, per_sample, True, initial, None)[2]
        assert tape is not None
        return tape.routes

    def _mean(
        self,
        shared: Array,
        per_sample: Array,
        keep: bool,
        initial: States | None,
        outputs: Array | None,
        routes: Routes,
    ) -> tuple[Array, Array | None, _Tape | None]:
        batch, paths, tapes, room = len(per_sample), routes.paths, dict[tuple[int, ...], Any](), KEPT_BYTES
        mean = np.zeros((batch, len(self.program.terms)))
        sums, base = np.zeros((2, batch, 0 if outputs is None else len(outputs))), np.zeros(0)
        if outputs is not None:
            base = np.zeros(sums.shape[1:])
        straight = routes.groups[0][1]
        for part in (straight, slice(straight.stop, len(paths))):
            for samples, rows in self._chunks(part, batch, initial is not None):
                slots = self.slots(per_sample[samples], paths.errors[rows])
                room -= len(slots) * self._state_bytes
                kept = keep and part is straight and room >= 0
                terms, tape = self.inner.forward(shared, slots, kept, self._starts(initial, samples, rows))
                if kept:
                    tapes[_key(samples, rows)] = tape
                terms = terms.reshape(rows.stop - rows.start, samples.stop - samples.start, terms.shape[1])
                mean[samples] += np.tensordot(paths.weights[rows], terms, 1)
                if outputs is not None:
                    values = terms @ outputs.T
                    if rows.start == 0:
                        base[samples] = values[0]  # spreads are those of differences to some path: nothing cancels
                    away, counts = values - base[samples], paths.counts[rows].astype(np.float64)
                    sums[0, samples] += np.tensordot(counts, away, 1)
                    sums[1, samples] += np.tensordot(counts, away**2, 1)
        tape = _Tape(routes, tapes) if keep else None
        return mean, None if outputs is None else self._error(paths, sums), tape

    def _error(self, paths: Paths, sums: Array) -> Array:
        """Standard errors (B, M): of the one stratum that is drawn from."""
        n = paths.draws
        if not n:
            return np.zeros(sums.shape[1:])
        variance = np.maximum(0.0, sums[1] - sums[0] ** 2 / n) / (n - 1)
        return np.asarray(paths.tail * np.sqrt(variance / n))

    def _chunks(self, paths: slice, batch: int, states: int) -> Iterator[tuple[slice, slice]]:
        """(samples, paths) whose rows are held at once, each with so many states."""
        entries = self.single.program.n_per_sample + len(self.program.terms) + 1
        most = max(1, CHUNK_ENTRIES // entries)
        if states:
            most = min(most, max(1, CHUNK_BYTES // (states * self._state_bytes)))
        wide = min(batch, most)
        deep = max(1, most // max(1, wide))
        require_bytes(8 * entries * wide * min(deep, paths.stop - paths.start), "the slots of the trajectories")
        for start in range(paths.start, paths.stop, deep):
            rows = slice(start, min(start + deep, paths.stop))
            for first in range(0, batch, max(1, wide)):
                yield slice(first, min(first + wide, batch)), rows

    def _starts(self, initial: States | None, samples: slice, rows: slice) -> States | None:
        """Initial states of the rows of a chunk."""
        if initial is None or len(initial) == 1:
            return initial
        own = initial[samples]
        return np.broadcast_to(own, (rows.stop - rows.start, *own.shape)).reshape(-1, own.shape[-1])

    # inside: back

    def _segment(self, start: int, stop: int) -> Plan:
        return self.backend.prepare(piece(self.single.program, start, stop), self.dtype)

    def _swept(
        self,
        cuts: tuple[int, ...],
        shared: Array,
        slots: Array,
        seeds: Array,
        tape: Any,
        each: bool,
        initial: States | None,
        to_initial: bool,
    ) -> tuple[Array, Array, Any]:
        """Gradients of the slots of rows, and cotangents of their first states where wanted.

        The program is cut before every operator that cannot be undone: the states there are kept on the way forward,
        and cotangents go from piece to piece on the way back.
        """
        edges = [0, *cuts, len(self.single.program.instructions)]
        pieces = [self.segment(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)] if cuts else [self.inner]
        starts = [initial]
        for plan in pieces[:-1]:
            starts.append(plan.states(shared, slots, starts[-1]))
        to_shared: Any = 0.0
        to_slots: Any = 0.0
        bras, none = None, np.zeros((*seeds.shape[:2], 0))
        for plan, start in zip(reversed(pieces), reversed(starts), strict=True):
            own = seeds if plan is pieces[-1] else none
            if plan is pieces[0] and not to_initial:
                found: Any = plan.pullback(shared, slots, own, tape, each, start, bras)
            else:
                found = plan.pullback_to_initial(shared, slots, own, tape, start, bras, each)
                bras = found[2]
            to_shared, to_slots = to_shared + found[0], to_slots + found[1]
        return to_shared, to_slots, bras


def _key(samples: slice, rows: slice) -> tuple[int, ...]:
    return samples.start, samples.stop, rows.start, rows.stop


def _over_paths(rows: npt.NDArray[Any], paths: int, batch: int) -> npt.NDArray[Any]:
    """(K, D * B, ...) -> (K, B, ...)."""
    return np.asarray(rows.reshape(len(rows), paths, batch, rows.shape[-1]).sum(axis=1))
