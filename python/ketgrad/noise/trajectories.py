"""`TrajectoryPlan`: a program with channels, run as a weighted sum of paths, each one a state.

Owns: how many paths it takes, means and standard errors, and the way back along the routes of the paths. A KRAUS of its
program is the whole channel of its matrices, as for `DensityPlan`. The paths are drawn once: every call, and so every
step of an optimisation, averages over the same ones (common random numbers), and a gradient is exactly that of the
values returned. May not know: circuits, how paths are drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..backends import Backend, Plan
from ..backends.contract import Array, States
from ..errors import ArgumentError
from ..program import Program
from .path_rows import NO_ERRORS, PathRows
from .paths import Paths
from .routes import Router, Routes

TRAJECTORIES = 1000
MOST_TRAJECTORIES = 1 << 22  # that a tolerance asks for
PILOT = 64  # paths by which a tolerance says how many it takes
KEPT_BYTES = 256 << 20  # final states that a tape holds


class _Tape(NamedTuple):
    routes: Routes
    tapes: dict[tuple[int, ...], Any]  # of the plans below, by `Piece.key`


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
        self.seed, self.trajectories, self.tolerance = seed, trajectories, tolerance
        self.rows = PathRows(program, dtype, backend)
        self._outputs, self._least = outputs, least
        limit = -0.25 * float(np.log(np.finfo(dtype).eps))  # 1e4 and 50: what undoing may multiply errors by
        self._router = Router(self.rows.single, self.rows.space, self.rows.state_bytes, limit)
        self.routes = lru_cache(maxsize=8)(self._routes)

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

    def average(
        self,
        shared: Array,
        per_sample: Array,
        work: Callable[[States], npt.NDArray[Any]],
        initial: States | None = None,
    ) -> npt.NDArray[Any]:
        """The mean over paths of what `work` makes of states (rows, 2^n), an array for each row, flattened: (B, ...).

        Of states that may not be normalised; `work` is a quadratic function of them.
        """
        shared, per_sample = self._check(shared, per_sample)
        start, total = self._initial(initial, len(per_sample)), np.zeros(0)
        routes = self._found(shared, per_sample, start)
        for samples, marks in self.rows.samples(routes, shared, per_sample, start):
            for piece in self.rows.pieces(routes, per_sample, samples, marks, 2):
                states = self.rows.last(piece.route).states(shared, piece.slots, piece.initial)
                made = np.asarray(work(states)).reshape(*piece.shape, -1)
                if not len(total):
                    total = np.zeros((len(per_sample), made.shape[2]), made.dtype)
                total[samples] += np.tensordot(routes.paths.weights[piece.rows], made, 1)
        return total

    # what a plan does

    def choice(self, batch_size: int) -> dict[str, Any]:
        return self.rows.inner.choice(batch_size * self.trajectories)

    @property
    def runs(self) -> Program:
        return self.rows.single.program

    def kept_bytes(self, batch_size: int) -> int:
        return min(KEPT_BYTES, batch_size * self.trajectories * self.rows.state_bytes)

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
        sets, batch, own = *cotangents.shape[:2], per_sample.shape[1]
        to_shared = np.zeros((sets, batch, len(shared)) if each else (sets, len(shared)))
        out = _Gradients(to_shared, np.zeros((sets, batch, own)), each)
        to_start = np.zeros((sets, batch, 1 << self.program.n_bits), self.dtype) if to_initial else None
        for samples, marks in self.rows.samples(routes, shared, per_sample, initial, sets):
            at: list[Any] = [0.0] * len(marks)  # cotangents of the states at the marks
            for piece in self.rows.pieces(routes, per_sample, samples, marks, 2 * sets if to_initial else 0, sets):
                weighted = cotangents[:, None, samples] * routes.paths.weights[piece.rows, None, None]
                seeds = np.ascontiguousarray(weighted.reshape(sets, len(piece.slots), -1))
                mark, edges, _ = piece.route
                kept, wanted = tapes.get(piece.key), to_initial or mark > 0
                found = self.rows.swept(edges, shared, piece.slots, seeds, kept, each, piece.initial, None, wanted)
                out.add(found, samples, piece.shape)
                if wanted:
                    at[mark] = at[mark] + _over_paths(found[2], *piece.shape)
            slots = self.rows.slots(per_sample[samples], NO_ERRORS)
            for mark in range(len(marks) - 1, 0, -1):  # the usual path, for all that left it later
                edges, start, wanted = routes.usual[mark - 1], marks[mark - 1], to_initial or mark > 1
                found = self.rows.swept(edges, shared, slots, None, None, each, start, at[mark], wanted)
                out.add(found, samples, (1, len(slots)))
                if wanted:
                    at[mark - 1] = at[mark - 1] + found[2]
            if to_start is not None:
                to_start[:, samples] += at[0]
        return out.shared, out.samples, to_start

    # inside

    def _routes(self, budget: int) -> Routes:
        return self._router.routes(budget, (self.seed,), self._least)

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
            routes = self.routes(budget)
            found = self._mean(shared, per_sample, keep, initial, wanted, routes)
            assert found[1] is not None
            worst = float(found[1].max(initial=0.0)) / self.tolerance
            if worst <= 1 or budget >= self.trajectories:
                break
            spread = worst * self.tolerance * np.sqrt(routes.paths.draws) / routes.paths.tail
            more = max(self.rows.space.budget(spread, self.tolerance), budget + budget // 2)
            budget = min(self.trajectories, more)
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
        mean, base = np.zeros((batch, len(self.program.terms))), np.zeros(0)
        sums = np.zeros((2, batch, 0 if outputs is None else len(outputs)))
        for samples, marks in self.rows.samples(routes, shared, per_sample, initial):
            for piece in self.rows.pieces(routes, per_sample, samples, marks):
                room -= len(piece.slots) * self.rows.state_bytes
                kept = keep and room >= 0 and len(piece.route.edges) == 2
                terms, tape = self.rows.last(piece.route).forward(shared, piece.slots, kept, piece.initial)
                if kept:
                    tapes[piece.key] = tape
                terms = terms.reshape(*piece.shape, terms.shape[1])
                mean[samples] += np.tensordot(paths.weights[piece.rows], terms, 1)
                if outputs is not None:
                    values, counts = terms @ outputs.T, paths.counts[piece.rows].astype(np.float64)
                    if not piece.rows.start:
                        base = values[0]  # spreads are those of differences to some path: nothing cancels
                    sums[0, samples] += np.tensordot(counts, values - base, 1)
                    sums[1, samples] += np.tensordot(counts, (values - base) ** 2, 1)
        tape = _Tape(routes, tapes) if keep else None
        return mean, None if outputs is None else self._error(paths, sums), tape

    def _error(self, paths: Paths, sums: Array) -> Array:
        """Standard errors (B, M): of the one stratum that is drawn from."""
        n = paths.draws
        if not n:
            return np.zeros(sums.shape[1:])
        variance = np.maximum(0.0, sums[1] - sums[0] ** 2 / n) / (n - 1)
        return np.asarray(paths.tail * np.sqrt(variance / n))


class _Gradients(NamedTuple):
    """Gradients of shared slots, (K, S) or of `each` sample, and of per-sample slots (K, B, F), as they add up."""

    shared: Array
    samples: Array
    each: bool

    def add(self, found: tuple[Array, Array, Any], samples: slice, shape: tuple[int, int]) -> None:
        """Those of rows, (paths, samples) of them; slots behind the first F are choices."""
        if self.each:
            self.shared[:, samples] += _over_paths(found[0], *shape)
        else:
            self.shared[...] += found[0]
        self.samples[:, samples] += _over_paths(found[1][..., : self.samples.shape[2]], *shape)


def _over_paths(rows: npt.NDArray[Any], paths: int, batch: int) -> npt.NDArray[Any]:
    """(K, D * B, ...) -> (K, B, ...)."""
    return np.asarray(rows.reshape(len(rows), paths, batch, rows.shape[-1]).sum(axis=1))
