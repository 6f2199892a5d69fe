"""Tapes with measurements in the middle: their parts, and one run of them as a set of branches.

Owns: how a tape is cut, and the way of the branches' states through its parts and of cotangents back. May not know:
what is measured at the end, frameworks, configurations.

A branch is what happened so far: a state for each list of outcomes that is possible. All branches go through the gates
between two measurements as one batch, however many shots there are. States are projected and not normalised, so that
their squared norms are the branches' probabilities and everything is differentiable; where shots are counted, each
branch has its number of them, split at random at each measurement, and a normalised state.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane import measurements as mps
from pennylane.exceptions import DeviceError
from pennylane.ops.qubit.observables import BasisStateProjector

from ..memory import require_bytes
from ..simulator import CHUNK_BYTES
from .reading import Reading, read_tape, standard_labels
from .structure import Structure

Array = npt.NDArray[Any]
Back = Callable[[Array], Array]  # the cotangent of states after a part -> that of the states before it
Structures = Callable[[Reading, Sequence[Any], bool], Structure]  # of gates, measurements, and whether with shots

CUTS = {qml.ops.MidMeasure, qml.ops.Conditional, BasisStateProjector}
SUMS = (mps.ExpectationMP, mps.VarianceMP, mps.ProbabilityMP)  # what sums over branches give
TINY = 1e-32  # a branch with a smaller part of all weights changes no result, and no gradient by more than its root


class Gates(NamedTuple):
    """Gates, the position of their first angle in the tape's, and the measured values on which all of them depend."""

    reading: Reading
    first: int
    when: tuple[Any, ...]


class Measure(NamedTuple):
    """A measurement of one wire; only outcomes with a name are recorded."""

    wire: int
    name: Hashable
    reset: bool
    postselect: int | None


class Look(NamedTuple):
    """A snapshot of the states."""

    snapshot: Any


@dataclass(frozen=True, eq=False)
class Branches:
    """K branches: states (K, 2^n), outcomes (K,) by name, shots (K, bins) or None, and which were postselected."""

    states: Array
    outcomes: dict[Hashable, Array]
    shots: Array | None
    valid: Array

    def __len__(self) -> int:
        return len(self.states)

    def rows(self, which: Any) -> Branches:
        outcomes = {name: values[which] for name, values in self.outcomes.items()}
        return Branches(self.states[which], outcomes, self.shots if self.shots is None else self.shots[which],
                        self.valid[which])  # fmt: skip

    def values(self, mv: Any) -> list[Any]:
        """A measured value in each branch; worked out once for each list of outcomes, for it may be any function."""
        known: dict[tuple[int, ...], Any] = {}
        found = []
        for bits in zip(*(self.outcomes[name_of(m)].tolist() for m in mv.measurements), strict=True):
            if bits not in known:
                known[bits] = mv.processing_fn(*bits)
            found.append(known[bits])
        return found

    def weights(self) -> npt.NDArray[np.float64]:
        """(K,) squared norms."""
        return np.asarray(_weights(self.states).sum(axis=1, dtype=np.float64))


def name_of(measurement: Any) -> Hashable:
    """What identifies a measurement in the middle: the name PennyLane gave it, which 0.44 calls id."""
    name: Hashable = measurement.meas_uid if hasattr(measurement, "meas_uid") else measurement.id
    return name


def is_dynamic(tape: Any) -> bool:
    """Whether a tape has measurements or projections before its end."""
    return any([type(op) in CUTS for op in tape.operations])


def postselects(tape: Any) -> bool:
    """Whether part of the outcomes is discarded, so that results are quotients of expectation values."""
    return any([
        type(op) in CUTS and (isinstance(op, BasisStateProjector) or getattr(op, "postselect", None) is not None)
        for op in tape.operations
    ])  # fmt: skip


class DynamicTape:
    """A tape, taken apart.

    Args:
        tape: preprocessed.
        wires: the device's, None for those of the tape.

    Attributes:
        parts: in order, without the gates at the end if nothing decides about them: `tail`.
        tensors: all angles, then the initial state where there is one.
        names: of the measurements in the middle.
        most: the number of branches that there can be.
    """

    def __init__(self, tape: Any, wires: Sequence[Hashable] | None) -> None:
        self.labels = standard_labels(tape) if wires is None else tuple(wires)
        self.index = {label: k for k, label in enumerate(self.labels)}
        self.parts: list[Any] = []
        self.angles: list[Any] = []
        self.initial: Any = None
        self._pending: list[Any] = []
        self._when: tuple[Any, ...] = ()
        for op in tape.operations:
            self._add(op)
        if self._when:
            self._flush()
        self._flush(last=True)
        self.tail: Gates = self.parts.pop()
        self.tensors = self.angles if self.initial is None else [*self.angles, self.initial]
        measures = [p for p in self.parts if isinstance(p, Measure)]
        self.names = {p.name for p in measures if p.name is not None}
        self.most = 2 ** sum(p.postselect is None for p in measures)

    def zeros_like(self, arrays: Sequence[Array]) -> list[Array]:
        """Where gradients of the tensors are added up."""
        kinds = [float] * len(self.angles) + [complex] * (self.initial is not None)
        return [np.zeros(a.shape, dtype=kind) for a, kind in zip(arrays, kinds, strict=True)]

    def _add(self, op: Any) -> None:
        when: tuple[Any, ...] = ()
        while isinstance(op, qml.ops.Conditional):
            when, op = (*when, op.meas_val), op.base
        kind = type(op)
        if kind is qml.ops.MidMeasure and not when:
            self._flush()
            self.parts.append(Measure(self.index[op.wires[0]], name_of(op), bool(op.reset), op.postselect))
        elif kind is BasisStateProjector and not when:
            self._flush()
            bits = [int(b) for b in qml.math.to_numpy(op.data[0])]
            self.parts += [Measure(self.index[w], None, False, b) for w, b in zip(op.wires, bits, strict=True)]
        elif kind is qml.Snapshot:
            self._flush()
            self.parts.append(Look(op))
        else:
            if [id(v) for v in when] != [id(v) for v in self._when]:
                self._flush()
                self._when = when
            self._pending.append(op)

    def _flush(self, last: bool = False) -> None:
        """What is pending becomes a part."""
        if self._pending or last:
            reading = read_tape(SimpleNamespace(operations=self._pending), self.labels)
            if reading.initial is not None:
                if self.parts:
                    raise DeviceError("ketgrad.qubit prepares states only before all gates and measurements")
                self.initial = reading.initial
            self.parts.append(Gates(replace(reading, initial=None), len(self.angles), self._when))
            self.angles += reading.angles
        self._pending, self._when = [], ()


class Run:
    """One run of a tape.

    Args:
        tape, arrays: the tape, and its tensors as arrays.
        structures: finds models.
        leaf: takes branches at their end, and gives its outputs and, where wanted, the way back from their cotangents.
        differentiate: whether a way back is wanted.
        rng: of the numbers of shots.
        look: takes snapshots of branches.
        keep_failed: whether branches that postselection discards go on.
        at_once: whether the leaf wants all branches in one call.
    """

    def __init__(
        self,
        tape: DynamicTape,
        arrays: Sequence[Array],
        structures: Structures,
        leaf: Callable[[Branches], tuple[list[Array], Callable[[Sequence[Array]], Array] | None]],
        differentiate: bool = False,
        rng: np.random.Generator | None = None,
        look: Callable[[Any, Branches], None] | None = None,
        keep_failed: bool = False,
        at_once: bool = False,
    ) -> None:
        self._most_bytes = np.inf if at_once else CHUNK_BYTES
        self.tape, self.arrays, self._structures, self._leaf = tape, arrays, structures, leaf
        self._differentiate, self._rng, self._look, self._keep = differentiate, rng, look, keep_failed
        self.gradients = tape.zeros_like(arrays)
        self._held = 0  # bytes that the way back needs

    def start(self, shots: Array | None, dtype: str) -> Branches:
        """The one branch at the beginning, with its number of shots in each bin."""
        size = 1 << len(self.tape.labels)
        require_bytes(np.dtype(dtype).itemsize * 3 * size, f"a state of {len(self.tape.labels)} wires")
        states = np.zeros((1, size), dtype=dtype)
        if self.tape.initial is None:
            states[0, 0] = 1
        else:
            states[0] = self.arrays[-1].reshape(size)
        return Branches(states, {}, None if shots is None else shots[None], np.ones(1, dtype=bool))

    def outputs(self, first: Branches) -> tuple[list[Array], Callable[[Sequence[Array]], list[Array]] | None]:
        """The sums of the leaves' outputs, and the way from their cotangents to the gradients of the arrays.

        A cotangent g of a complex array stands for the change Re <g|change>.
        """
        out, back = self._walk(0, first)

        def pullback(cotangents: Sequence[Array]) -> list[Array]:
            assert back is not None
            for g in self.gradients:
                g[...] = 0
            bra = back(cotangents)
            if self.tape.initial is not None:
                self.gradients[-1] += 2 * bra.reshape(self.gradients[-1].shape)
            return self.gradients

        return out, pullback if self._differentiate else None

    def _walk(self, k: int, b: Branches) -> tuple[list[Array], Callable[[Sequence[Array]], Array] | None]:
        """Through the parts from the k-th on; many branches go one half after the other."""
        backs: list[Back] = []
        ends: list[tuple[list[Array], Any]] = []
        while not ends:
            if len(b) > 1 and b.states.nbytes > self._most_bytes:
                half = len(b) // 2
                ends = [self._walk(k, b.rows(slice(None, half))), self._walk(k, b.rows(slice(half, None)))]
            elif k == len(self.tape.parts) or not len(b):
                ends = [self._leaf(b)]
            else:
                b, back = self._step(self.tape.parts[k], b)
                backs.append(back)
                k += 1

        def pullback(cotangents: Sequence[Array]) -> Array:
            bra = np.concatenate([back(cotangents) for _, back in ends])
            for back in reversed(backs):
                bra = back(bra)
            return bra

        totals = [sum(parts[1:], parts[0]) for parts in zip(*(out for out, _ in ends), strict=True)]
        return totals, pullback if self._differentiate else None

    def _step(self, part: Any, b: Branches) -> tuple[Branches, Back]:
        if isinstance(part, Measure):
            return self._measure(part, b)
        if isinstance(part, Gates):
            return self._apply(part, b)
        if self._look is not None:
            self._look(part.snapshot, b)
        return b, lambda bra: bra

    def _apply(self, part: Gates, b: Branches) -> tuple[Branches, Back]:
        """Gates, in those branches where their values hold."""
        holds = np.ones(len(b), dtype=bool)
        for mv in part.when:
            holds &= np.array([bool(v) for v in b.values(mv)])
        if not holds.any() or not part.reading.rows:
            return b, lambda bra: bra
        model = self._structures(part.reading, (), False).values((False,) * len(part.reading.angles))
        angles = slice(part.first, part.first + len(part.reading.angles))
        weights = real_numbers(self.arrays[angles])
        if self._differentiate:
            self._hold(b.states.nbytes)
            new, pull = model.forward_state(weights, None, initial=b.states[holds])
        else:
            new, pull = model.state(weights, None, initial=b.states[holds]), None
        if holds.all():
            states = new.reshape(b.states.shape)
        else:
            states = b.states.copy()
            states[holds] = new

        def back(bra: Array) -> Array:
            assert pull is not None
            found = pull(bra[holds], to_initial=True)
            self.add_gradients(angles, found.weights)
            out = bra.copy()
            out[holds] = found.initial
            return out

        return replace(b, states=states), back

    def _measure(self, part: Measure, b: Branches) -> tuple[Branches, Back]:
        """Every branch becomes one for each possible outcome, in order."""
        n, count = len(self.tape.labels), len(b)
        shape = (-1, 1 << part.wire, 2, 1 << (n - 1 - part.wire))
        before = b.states.reshape(shape)
        weights = np.asarray(_weights(before).sum(axis=(1, 3), dtype=np.float64))
        wanted = (0, 1) if part.postselect is None or self._keep else (part.postselect,)
        if b.shots is None:
            possible = weights > TINY * weights.sum()
            shots = None
        else:
            shots = self._split(b.shots, weights, wanted)
            possible = shots.any(axis=2)
        pairs = [(k, o) for k in range(count) for o in wanted if possible[k, o]]
        if not pairs and shots is None:
            pairs = [(0, wanted[0])]  # its weight of zero says that this cannot be
        source, outcome = np.array(pairs, dtype=int).reshape(-1, 2).T
        target = np.zeros_like(outcome) if part.reset else outcome
        rows = np.arange(len(source))
        require_bytes(2 * len(source) * b.states.itemsize << n, f"{len(source)} branches of {n} wires")
        states = np.zeros((len(source), *before.shape[1:]), dtype=b.states.dtype)
        states[rows, :, target] = before[source, :, outcome]
        if shots is not None:
            states /= np.sqrt(weights[source, outcome]).astype(states.real.dtype)[:, None, None, None]

        def back(bra: Array) -> Array:
            out = np.zeros(before.shape, dtype=bra.dtype)
            out[source, :, outcome] = bra.reshape(states.shape)[rows, :, target]
            return out.reshape(count, -1)

        new = b.rows(source)
        outcomes = new.outcomes if part.name is None else {**new.outcomes, part.name: outcome}
        valid = new.valid if part.postselect is None else new.valid & (outcome == part.postselect)
        counted = None if shots is None else shots[source, outcome]
        return Branches(states.reshape(len(source), 1 << n), outcomes, counted, valid), back

    def _split(self, shots: Array, weights: Array, wanted: Sequence[int]) -> Array:
        """(K, 2, bins) shots of each outcome; without a place for those that are discarded."""
        assert self._rng is not None
        ones = self._rng.binomial(shots, np.clip(weights[:, 1] / weights.sum(axis=1), 0, 1)[:, None])
        out = np.stack([shots - ones, ones], axis=1)
        out[:, [o for o in (0, 1) if o not in wanted]] = 0
        return out

    def _hold(self, size: int) -> None:
        self._held += size
        require_bytes(2 * self._held, "the states that a gradient through measurements needs")

    def add_gradients(self, angles: slice, found: Array) -> None:
        """Add to the gradients of some angles."""
        for g, value in zip(self.gradients[angles], found, strict=True):
            g += np.reshape(value, g.shape)


def real_numbers(arrays: Sequence[Array]) -> npt.NDArray[np.float64]:
    """Angles of one element each, as one array."""
    if any(a.dtype.kind == "c" and np.any(a.imag) for a in arrays):
        raise DeviceError("ketgrad.qubit: an angle is a real number")
    return np.array([np.real(a).reshape(()) for a in arrays], dtype=np.float64).reshape(-1)


def _weights(states: Array) -> Array:
    return np.asarray(states.real**2 + states.imag**2)
