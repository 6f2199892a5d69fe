"""Shots of circuits with channels: every shot takes a path of its own, drawn from the true distribution.

Owns: who shares a state. Mixtures of unitaries: all paths are drawn first, and equal ones run once. Other channels: the
shots are one state with a count, which each channel splits among its outcomes by their probabilities in that state,
binomially, as measurements would; so states are made for distinct histories only. May not know: circuits, observables.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..backends.contract import Array, Outcomes, States
from ..errors import ArgumentError
from ..memory import require_bytes
from ..simulator import reduced_density
from .path_rows import CHUNK_BYTES, PathRows
from .paths import Integers, distinct
from .trajectories import TrajectoryPlan
from .unravelled import Place

_PATHS, _UNIFORMS = 1, 2  # streams of a sample's randomness: paths are 0 of a model's seed


def sample_paths(
    plan: TrajectoryPlan,
    shared: Array,
    per_sample: Array,
    shots: int,
    rng: np.random.Generator,
    bits: Sequence[int],
    initial: States | None = None,
) -> Outcomes:
    """(B, shots) outcomes of the listed bits, the first the most significant.

    Raises:
        ArgumentError: a channel that keeps a part of the states only.
    """
    for place in plan.rows.single.places:
        lost = float(np.abs(_total(place) - np.eye(place.operators.shape[-1])).max())
        if lost > 1e-6:
            raise ArgumentError(
                f"shots of trajectories need trace-preserving channels, and that of instruction {place.instruction} is "
                f"off by {lost:.2g}; use method='density', or expectation values"
            )
    require_bytes(24 * len(per_sample) * shots, f"{shots} shots of {len(per_sample)} samples")
    out = np.empty((len(per_sample), shots), dtype=np.uint64)
    sampler = _Shots(plan.rows, shared, tuple(bits))
    for row, x in zip(out, per_sample, strict=True):
        start = None if initial is None else initial[:1]
        if initial is not None and len(initial) > 1:
            start, initial = initial[:1], initial[1:]
        seed = int(rng.integers(2**63))
        if plan.rows.single.is_unitary:
            sampler.drawn(x, shots, seed, start, row)
        else:
            sampler.split(x, shots, np.random.default_rng(seed), start, row)
    return out


def _total(place: Place) -> npt.NDArray[np.complex128]:
    return np.asarray(
        np.einsum("m,mji,mjk->ik", place.probabilities, place.operators.conj(), place.operators), np.complex128
    )


class _Shots:
    """Shots of one sample after another."""

    def __init__(self, rows: PathRows, shared: Array, bits: tuple[int, ...]) -> None:
        self.rows, self.shared, self.bits = rows, shared, bits
        self.together = max(1, CHUNK_BYTES // rows.state_bytes)

    def drawn(self, x: Array, shots: int, seed: int, start: States | None, out: Outcomes) -> None:
        """The paths first, then their states."""
        errors, path, counts = distinct(self.rows.space.drawn(shots, 0, (seed, _PATHS)))
        shot = np.argsort(path, kind="stable")  # those of each path together
        first = np.cumsum(counts) - counts
        uniforms = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_UNIFORMS, 0))).random(shots)
        for begin in range(0, len(errors), self.together):
            rows = slice(begin, begin + self.together)
            states = self.rows.inner.states(self.shared, self.rows.slots(x[None], errors[rows]), start)
            own = np.split(shot[first[begin] :], np.cumsum(counts[rows]))[:-1]
            self._measure(states, counts[rows], own, uniforms, out)

    def split(self, x: Array, shots: int, rng: np.random.Generator, start: States | None, out: Outcomes) -> None:
        """Channel by channel; at most `together` shots at a time, for each may end in a state of its own."""
        uniforms, order = rng.random(shots), rng.permutation(shots)
        for begin in range(0, shots, self.together):
            own = order[begin : begin + self.together]
            states, counts = self._histories(x, len(own), rng, start)
            ends = np.cumsum(counts)
            self._measure(states, counts, np.split(own, ends[:-1]), uniforms, out)

    def _histories(
        self, x: Array, shots: int, rng: np.random.Generator, start: States | None
    ) -> tuple[States, Integers]:
        """States (D, 2^n) of the distinct histories, and how many shots each has."""
        single = self.rows.single
        forks, end = single.forks, len(single.program.instructions)
        edges = [0, *(place.instruction for place in forks), end]
        slots = np.zeros((1, single.program.n_per_sample))
        slots[:, : len(x)] = x
        counts, states = np.array([shots], dtype=np.int64), start
        if edges[1] > 0:
            states = self.rows.segment(0, edges[1]).states(self.shared, slots, start)
        if states is None:
            states = np.eye(1, 1 << single.program.n_bits, dtype=self.rows.dtype)
        for place, begin, stop in zip(forks, edges[1:-1], edges[2:], strict=True):
            taken = rng.multinomial(counts, _chances(place, states, single.bits(place)))
            row, choice = np.nonzero(taken)
            counts = taken[row, choice]
            slots = slots[row]
            slots[:, place.column] = choice
            states = self.rows.segment(begin, stop).states(self.shared, slots, states[row])
            states /= np.linalg.norm(states, axis=1, keepdims=True)
        return states, counts

    def _measure(
        self, states: States, counts: Integers, shots: Sequence[Integers], uniforms: Array, out: Outcomes
    ) -> None:
        """Outcomes of shots that share states; those with equally many at once."""
        for count in np.unique(counts).tolist():
            rows = np.flatnonzero(counts == count)
            own = np.array([shots[row] for row in rows.tolist()])
            out[own] = self.rows.backend.sample(states[rows], uniforms[own], self.bits)


def _chances(place: Place, states: States, bits: tuple[int, ...]) -> Array:
    """(D, m): probabilities of the operators of a channel in each state."""
    n = int(states.shape[1]).bit_length() - 1
    local = reduced_density(states, [n - 1 - bit for bit in bits], n)
    effects = np.einsum("m,mji,mjk->mik", place.probabilities, place.operators.conj(), place.operators)
    chances = np.maximum(0.0, np.einsum("mij,dji->dm", effects, local.astype(np.complex128)).real)
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))
