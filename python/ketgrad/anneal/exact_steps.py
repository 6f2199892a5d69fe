"""The Schroedinger equation in steps: products of exponentials of driver and problem, as circuits of the engine.

Owns: the splittings, the angles of an anneal, and `Sweeper`, which takes a state through them, forward and back. May
not know: results, files, samplers.

A *step* of order p is e^{-i b_s h B H_P} R_s ... R_1 e^{-i b_0 h B H_P}, rotations R_j = e^{i a_j h A sum X} between
phases. Time is a coordinate of its own, once for either part: a phase sees B at the time that the rotations before
it have reached, a rotation sees A at the time of the phases before it. So point values of A and B keep the order, and
every angle is linear in one of them.

Some rotations with the phases around them are a *chunk*: one circuit for the whole anneal, its weights are the angles.
The engine runs a rotation of all qubits with its phases in about one pass over the state.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..backends import get_backend
from ..circuit import Circuit
from ..errors import ArgumentError
from ..lowering import lower
from .exact_space import Space
from .schedules import Path, Schedule

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
States = npt.NDArray[Any]

# Rotations a_1..a_s and phases b_0..b_s. 2: G. Strang, SIAM J. Numer. Anal. 5, 506 (1968). 4: S. Blanes, P. C. Moan,
# J. Comput. Appl. Math. 142, 313 (2002), table 2, S6: six rotations, and errors a thousandth of Suzuki's five. 6: S10
# of the same table, which takes fewer rotations for errors below some 1e-7.
_A4 = (0.209515106613362, -0.143851773179818)
_B4 = (0.0792036964311957, 0.353172906049774, -0.0420650803577195)
_A6 = (0.148816447901042, -0.132385865767784, 0.067307604692185, 0.432666402578175)
_B6 = (0.0502627644003922, 0.413514300428344, 0.0450798897943977, -0.188054853819569, 0.541960678450780)


def _symmetric(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    middle, last = 0.5 - sum(a), 1 - 2 * sum(b)
    return (*a, middle, middle, *a[::-1]), (*b, last, *b[::-1])


SPLITTINGS = {2: ((1.0,), (0.5, 0.5)), 4: _symmetric(_A4, _B4), 6: _symmetric(_A6, _B6)}
ROTATIONS = 12  # of a chunk: enough to hide what a call takes, few to plan
LARGE = 17  # from so many qubits on twice as many: there a call copies megabytes
PHASES_BYTES = 64 << 20  # that the tables of a chunk's phases may take


class Angles(NamedTuple):
    """What drives an anneal of N steps, and where A and B were looked at.

    Attributes:
        edges: (N + 1,) times of the steps' ends.
        phases: (N, s + 1) times for the problem's exponentials: b_j h B.
        rotations: (N, s) angles of the RX: -2 a_j h A.
        phase_s, rotation_s: s of the values of B and A.
        phase_weights, rotation_weights: d phase / d B and d rotation / d A.
    """

    edges: Array
    phases: Array
    rotations: Array
    phase_s: Array
    rotation_s: Array
    phase_weights: Array
    rotation_weights: Array


def steps_of_pieces(schedule: Schedule, path: Path, steps: int) -> Counts:
    """(K,) steps of the smooth pieces of a path, none longer than one of so many of the whole."""
    return np.ceil(steps * np.diff(path.kinks(schedule)) / path.total * (1 - 1e-12)).astype(np.int64)


def angles(schedule: Schedule, path: Path, counts: Counts, order: int) -> Angles:
    """The angles of an anneal, whose smooth pieces have `counts` steps (K,), those of a piece of one length.

    Raises:
        ParameterError: as `Schedule.__call__`.
    """
    kinks = path.kinks(schedule)
    pieces = [a + (b - a) * np.arange(k) / k for a, b, k in zip(kinks, kinks[1:], counts, strict=False)]
    edges = np.append(np.concatenate(pieces), path.total)
    a, b = (np.array(part) for part in SPLITTINGS[order])
    h = np.diff(edges)[:, None]
    phase_s = path(edges[:-1, None] + h * np.append(0, np.cumsum(a)))
    rotation_s = path(edges[:-1, None] + h * np.cumsum(b)[:-1])
    driver, problem = schedule(rotation_s)[0], schedule(phase_s)[1]
    return Angles(edges, h * b * problem, -2 * h * a * driver, phase_s, rotation_s, h * b, -2 * h * a)


def check_order(order: Any) -> int:
    """2, 4 or 6.

    Raises:
        ArgumentError: anything else.
    """
    if isinstance(order, bool) or order not in SPLITTINGS:
        raise ArgumentError(f"order is 2 (Strang), 4 or 6 (Blanes and Moan), got {order!r}")
    return int(order)


class Sweeper:
    """Takes states of a space through the steps of an order. Made once for a problem; may be used for many anneals.

    States are (1, 2^m) of `dtype`.
    """

    def __init__(self, space: Space, order: int, dtype: str, backend: str | None) -> None:
        self.space, self.order = space, order
        self.backend = get_backend(backend)
        self.dtype = np.dtype(dtype)
        self.stages = len(SPLITTINGS[order][0])
        if space.words is None:  # the phase of an exp_diagonal is e^{+i angle E}
            self._scales = np.array([-1.0])
            self.size = self._fitting(len(np.unique(space.energies)))
        else:
            self._scales = 2 * space.coefficients
            self.size = ROTATIONS // self.stages * self.stages << (space.qubits >= LARGE)
        self._program = lower(self._circuit()).program
        self._plan = self.backend.prepare(self._program, self.dtype)

    @cached_property
    def single(self) -> Sweeper:
        """The same for states of complex64."""
        if self.dtype == np.complex64:
            return self
        other = copy(self)
        other.dtype = np.dtype(np.complex64)
        other._plan = self.backend.prepare(self._program, other.dtype)
        return other

    def _fitting(self, values: int) -> int:
        """Rotations of a chunk, of which each phase has a table of as many values."""
        sizes = [k for k in range(1, ROTATIONS + 1) if k % self.stages == 0 or self.stages % k == 0]
        return max([k for k in sizes if 16 * values * (k + 1) <= PHASES_BYTES], default=1)

    def _circuit(self) -> Circuit:
        n, space = self.space.qubits, self.space
        circuit = Circuit(n)
        phases = circuit.weights((self.size + 1, len(self._scales)), "phases")
        rotations = circuit.weights(self.size, "rotations")
        table = space.energies if space.words is None else None
        wires = tuple(range(n))
        for k in range(self.size + 1):
            if table is not None:
                circuit.append("exp_diagonal", (phases[k, 0],), wires, extra=table)
            for word, angle in zip(space.words or (), phases[k], strict=space.words is not None):
                circuit.append("pauli_rot", (angle,), word, extra="Z" * len(word))
            if k == self.size:
                break
            for wire in wires:
                circuit.append("rx", (rotations[k],), (wire,))
            if space.parity:
                circuit.append("pauli_rot", (rotations[k],), wires, extra="X" * n)
        return circuit

    def _places(self, steps: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
        """Where the steps' phases (N, s + 1) go in chunks (C, size + 1): two meet where a step ends within one."""
        stage = np.arange(steps)[:, None] * self.stages + np.append(np.arange(self.stages), self.stages - 1)
        last = np.append(np.zeros(self.stages, dtype=np.int64), 1)
        return stage // self.size, stage % self.size + last, -(-steps * self.stages // self.size)

    def _chunks(self, drive: Angles) -> tuple[Array, Array]:
        """Phases (C, size + 1) and rotations (C, size) of all chunks; the last is filled up with angles of 0."""
        chunk, slot, count = self._places(len(drive.phases))
        phases = np.zeros((count, self.size + 1))
        np.add.at(phases, (chunk, slot), drive.phases)
        rotations = np.zeros(count * self.size)
        rotations[: drive.rotations.size] = drive.rotations.reshape(-1)
        return phases, rotations.reshape(count, self.size)

    def _slots(self, phases: Array, rotations: Array) -> tuple[Array, Array]:
        """Shared and per-sample slots: every angle is a weight by itself, and so a slot."""
        return np.concatenate([np.multiply.outer(phases, self._scales).reshape(-1), rotations]), np.zeros((1, 0))

    def forward(self, drive: Angles, state: States) -> Iterator[tuple[int, States]]:
        """(steps done, state) after every chunk that ends with a step; the state is a new array."""
        done = 0
        for k, (phases, rotations) in enumerate(zip(*self._chunks(drive), strict=True)):
            state = self._plan.states(*self._slots(phases, rotations), state)
            stages = min((k + 1) * self.size, drive.rotations.size)
            if stages % self.stages == 0 and stages // self.stages > done:
                done = stages // self.stages
                yield done, state

    def backward(self, drive: Angles, state: States, bra: States) -> tuple[Array, Array, Array]:
        """Gradients from the final state and the cotangent of it: by phases, by rotations, by the coefficients (T,).

        The state is taken back through the inverse of each chunk, which is the same circuit with its angles negated and
        in reverse; so nothing is kept of the way forward.
        """
        phases, rotations = self._chunks(drive)
        to_phases, to_rotations = np.zeros_like(phases), np.zeros_like(rotations)
        to_scales = np.zeros(len(self._scales))
        none, cut = np.zeros((1, 1, 0)), phases.shape[1] * len(self._scales)
        for k in reversed(range(len(phases))):
            state = self._plan.states(*self._slots(-phases[k, ::-1], -rotations[k, ::-1]), state)
            slots = self._slots(phases[k], rotations[k])
            pulled, _, bras = self._plan.pullback_to_initial(*slots, none, None, state, bra[None])
            words = pulled[0, :cut].reshape(-1, len(self._scales))
            to_phases[k], to_rotations[k] = words @ self._scales, pulled[0, cut:]
            to_scales += phases[k] @ words
            bra = bras[0]
        chunk, slot, _ = self._places(len(drive.phases))
        flat = to_rotations.reshape(-1)[: drive.rotations.size]
        return to_phases[chunk, slot], flat.reshape(drive.rotations.shape), 2 * to_scales
