"""Shots of noisy circuits by exact state vectors: coherent noise, any gate, measurements in the midst.

Owns: the order of random numbers, segments between measurements, and that no state is computed twice. May not know:
codes, decoders.

The faults of every shot are drawn first, from fixed probabilities; shots with the same history of faults and outcomes
share their states, and so do histories whose states have become equal. Operators that are not unitary give states that
are not normalised; the squared norm at the end is the weight of a shot (1 for mixtures of unitaries), and weighted
averages have no bias.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends import Backend, get_backend
from ..circuit import Circuit
from ..errors import ArgumentError, ArgumentTypeError
from ..lowering import lower, wire_bit
from ..memory import require_states
from ..noise.channel import Channel
from ..simulator import Seed, check_shots, generator
from .circuits import NoisyCircuit, Op

Array = npt.NDArray[np.float64]
Bits = npt.NDArray[np.bool_]
States = npt.NDArray[Any]
CHUNK_BYTES = 64 << 20  # of full states in one call of the engine
KEPT_BYTES = 256 << 20  # of states between two segments; more shots are simulated in turns
DIGITS = {"complex64": 5, "complex128": 9}  # decimals in which states count as equal


@dataclass(frozen=True, eq=False)
class Shots:
    """What was measured in N shots.

    Attributes:
        measurements: (N, M).
        detectors: (N, D) parities.
        observables: (N, O) parities.
        weights: (N,) of mean 1.
        n_states: how many states were computed, over all segments between measurements.
    """

    measurements: Bits
    detectors: Bits
    observables: Bits
    weights: Array
    n_states: int


class _Segment:
    """Gates and channels up to a measurement."""

    def __init__(self, n: int, ops: Sequence[Op], measure: Op) -> None:
        self.n, self.ops = n, tuple(ops)
        self.sites = [op.argument for op in ops if op.kind == "channel"]
        self.wires = measure.wires
        self.bits = tuple(wire_bit(w, n) for w in self.wires)
        self.reset = bool(measure.argument)

    def draw(self, uniforms: Array) -> npt.NDArray[np.uint8]:
        """Which operator of each channel occurs, (N, sites)."""
        out = np.empty(uniforms.shape, dtype=np.uint8)
        for channel in set(self.sites):
            which = [k for k, c in enumerate(self.sites) if c is channel or c == channel]
            edges = np.cumsum(channel.probabilities)[:-1]
            out[:, which] = np.searchsorted(edges, uniforms[:, which], side="right")
        return out

    def circuit(self, choices: npt.NDArray[np.uint8]) -> Circuit:
        """The gates with one operator at each site."""
        circuit, site = Circuit(self.n), 0
        for op in self.ops:
            if op.kind == "gate":
                circuit.append(op.argument[0], op.argument[1], op.wires)
                continue
            _apply(circuit, op.argument, int(choices[site]), op.wires)
            site += 1
        return circuit


def _apply(circuit: Circuit, channel: Channel, choice: int, wires: tuple[int, ...]) -> None:
    operator = channel.operators[choice]
    if abs(abs(np.trace(operator)) - len(operator)) < 1e-14 * len(operator):
        return  # the identity
    if channel.is_unitary_mixture:
        circuit.append("unitary", (), wires, extra=operator)
    else:  # a program has a channel's `operators`, which for this one operator is V_i again
        circuit.channel(Channel(channel.kraus[choice][None], channel.name, trace_preserving=False), wires)


def _segments(circuit: NoisyCircuit) -> list[_Segment]:
    out: list[_Segment] = []
    ops: list[Op] = []
    for op in circuit.ops:
        if op.kind == "measure":
            out.append(_Segment(circuit.n_wires, ops, op))
            ops = []
        else:
            ops.append(op)
    return out  # what comes after the last measurement changes nothing that is seen


def sample(
    circuit: NoisyCircuit,
    shots: int,
    seed: Seed = None,
    *,
    dtype: npt.DTypeLike = "complex128",
    backend: str | None = None,
) -> Shots:
    """Simulate shots exactly.

    Args:
        circuit: with at least one measurement.
        shots: N.
        seed: an int or a numpy Generator.
        dtype: "complex128" or "complex64" of the states.
        backend: "native" or "numba"; default the best one here.

    Raises:
        ArgumentError: nothing is measured, or another dtype.
        OutOfMemoryError: the states do not fit.
    """
    if not isinstance(circuit, NoisyCircuit):
        raise ArgumentTypeError(f"sample: expected a NoisyCircuit, got {type(circuit).__name__}")
    if not circuit.n_measurements:
        raise ArgumentError("the circuit measures nothing; end it with circuit.measure(wires, reset=False)")
    count, rng = check_shots(shots), generator(seed)
    engine, kind = get_backend(backend), _dtype(dtype)
    require_states(circuit.n_wires, kind.itemsize, 3)
    segments = _segments(circuit)
    smallest = min(len(s.wires) for s in segments)
    drawn = 17 * max(len(s.sites) for s in segments) + 64  # uniforms, choices and keys of a shot
    turn = max(1, KEPT_BYTES // max(drawn, kind.itemsize << circuit.n_wires - smallest))
    parts = [_sample(circuit, segments, min(turn, count - k), rng, engine, kind) for k in range(0, count, turn)]
    bits, weights = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
    return Shots(
        bits,
        _parities(bits, circuit.detectors),
        _parities(bits, circuit.observables),
        weights,
        sum(p[2] for p in parts),
    )


def _dtype(given: npt.DTypeLike) -> np.dtype[Any]:
    try:
        kind = np.dtype(given)
    except (TypeError, ValueError, SyntaxError):
        kind = np.dtype(object)
    if kind.name not in DIGITS:
        raise ArgumentError(f"dtype must be complex64 or complex128, got {given!r}")
    return kind


def _parities(bits: Bits, groups: Sequence[tuple[int, ...]]) -> Bits:
    out = np.zeros((len(bits), len(groups)), dtype=bool)
    for k, group in enumerate(groups):
        out[:, k] = np.bitwise_xor.reduce(bits[:, list(group)], axis=1)
    return out


def _sample(
    circuit: NoisyCircuit,
    segments: Sequence[_Segment],
    shots: int,
    rng: np.random.Generator,
    engine: Backend,
    dtype: np.dtype[Any],
) -> tuple[Bits, Array, int]:
    pool = _Pool(circuit.n_wires, dtype)
    owner = np.zeros(shots, dtype=np.int64)  # which state of the pool each shot has
    columns, computed = [], 0
    for segment in segments:
        choices = segment.draw(rng.random((shots, len(segment.sites))))
        uniforms = rng.random(shots)
        keys = np.concatenate([choices, owner[:, None].view(np.uint8)], axis=1)  # by faults, then by state
        groups, group_of = np.unique(keys.view(f"V{keys.shape[1]}")[:, 0], return_inverse=True)
        rows = groups.view(np.uint8).reshape(len(groups), -1)
        faults, starts = rows[:, : choices.shape[1]], np.ascontiguousarray(rows[:, choices.shape[1] :]).view(np.int64)
        members = np.split(np.argsort(group_of, kind="stable"), np.cumsum(np.bincount(group_of))[:-1])
        new = _Pool(circuit.n_wires, dtype, segment.wires)
        outcomes = np.zeros(shots, dtype=np.int64)
        for first, last in _runs(faults, max(1, CHUNK_BYTES // (dtype.itemsize << circuit.n_wires))):
            program = lower(segment.circuit(faults[first])).program
            plan = engine.prepare(program, dtype)
            none = np.zeros(0), np.zeros((last - first, 0))
            states = plan.states(*none, pool.full(starts[first:last, 0]))
            edges = np.cumsum(engine.probabilities(states, segment.bits), axis=1)
            for state, edge, shot in zip(states, edges, members[first:last], strict=True):
                if edge[-1] > 0:  # else the faults cannot have occurred in this state: any outcome, of weight 0
                    wanted = np.minimum(uniforms[shot] * edge[-1], np.nextafter(edge[-1], 0))
                    outcomes[shot] = np.searchsorted(edge, wanted, side="right")
                owner[shot] = new.collapse(state, edge, outcomes[shot], segment.reset)
        computed += len(groups)
        pool = new
        m = len(segment.wires)
        columns.append(outcomes[:, None] >> np.arange(m - 1, -1, -1) & 1)
    return np.concatenate(columns, axis=1).astype(bool), pool.norms()[owner], computed


def _runs(faults: npt.NDArray[np.uint8], most: int) -> list[tuple[int, int]]:
    """(first, last) of equal rows, at most so many together."""
    changes = np.flatnonzero((faults[1:] != faults[:-1]).any(axis=1)) + 1
    edges = [0, *changes.tolist(), len(faults)]
    return [
        (a, min(a + most, stop))
        for start, stop in zip(edges, edges[1:], strict=False)
        for a in range(start, stop, most)
    ]


class _Pool:
    """Distinct states after a measurement of some wires: what is left of the others, and the bits measured."""

    def __init__(self, n: int, dtype: np.dtype[Any], measured: tuple[int, ...] = ()) -> None:
        self.n, self.dtype, self.measured = n, dtype, measured
        start = np.zeros(2**n, dtype=dtype)
        start[0] = 1
        self.states: list[States] = [] if measured else [start]
        self.bits: list[int] = [] if measured else [0]
        self._known: dict[bytes, int] = {}
        rest = [w for w in range(n) if w not in measured]
        index = np.zeros(1, dtype=np.int64)
        for w in (*measured, *rest):  # the index of an amplitude from outcome and rest
            index = (index[:, None] | np.array([0, 1 << wire_bit(w, n)])).reshape(-1)
        self._index = index.reshape(2 ** len(measured), 2 ** len(rest))

    def full(self, which: npt.NDArray[np.int64]) -> States:
        """States of all wires, (B, 2^n)."""
        out = np.zeros((len(which), 2**self.n), dtype=self.dtype)
        for row, k in zip(out, which, strict=True):
            row[self._index[self.bits[k]]] = self.states[k]
        return out

    def collapse(
        self, state: States, edges: Array, outcomes: npt.NDArray[np.int64], reset: bool
    ) -> npt.NDArray[np.int64]:
        """The numbers of the states that one state becomes in shots with these outcomes.

        Args:
            edges: cumulative probabilities of the outcomes; the last is the squared norm, which the new states keep.
        """
        numbers = np.empty(len(outcomes), dtype=np.int64)
        for outcome in np.unique(outcomes).tolist():
            odds = edges[outcome] - (edges[outcome - 1] if outcome else 0.0)
            kept = state[self._index[outcome]] * (np.sqrt(edges[-1] / odds) if odds > 0 else 0.0)
            numbers[outcomes == outcome] = self._number(kept, 0 if reset else outcome)
        return numbers

    def _number(self, state: States, bits: int) -> int:
        """Of a state, known or new; states are the same where they differ by a phase."""
        pivot = state[np.argmax(np.abs(state) > np.abs(state).max() / 2)]
        phase = abs(pivot) / pivot if pivot else 1.0
        canonical = np.round(state * phase, DIGITS[self.dtype.name]) + 0.0
        key = hashlib.blake2b(canonical.tobytes() + bits.to_bytes(8, "little"), digest_size=16).digest()
        if key not in self._known:
            self._known[key] = len(self.states)
            self.states.append(state.astype(self.dtype, copy=False))
            self.bits.append(bits)
        return self._known[key]

    def norms(self) -> Array:
        """Squared norms, float64."""
        return np.array([np.vdot(s, s).real for s in self.states], dtype=float)
