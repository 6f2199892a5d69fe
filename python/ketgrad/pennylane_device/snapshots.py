"""Snapshots: measurements of states on the way, for PennyLane's debugger.

Owns: the order and nesting in which the debugger gets them. May not know: how a measurement is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pennylane import Snapshot
from pennylane.measurements import Shots

from .arguments import Arguments, axes_of
from .conversion import to_array
from .dynamic import Branches, DynamicTape, Gates, Look, Structures

Array = npt.NDArray[Any]
Measured = Callable[[Any, Any, Any], Any]  # states or operators before, measurement, shots -> result


class Recorder:
    """Takes the snapshots of one tape.

    Args:
        debugger: PennyLane's.
        measure: evaluates a measurement of states, (2^n,) or (B, 2^n).
        shots: of the tape.
        one_by_one: whether each shot has snapshots of its own; else each branch has.
    """

    def __init__(self, debugger: Any, measure: Measured, shots: Any, one_by_one: bool) -> None:
        self._debugger, self._measure, self.shots, self.one_by_one = debugger, measure, shots, one_by_one

    def take(self, snapshot: Any, states: Any, shots: Any) -> None:
        """Measure states and hand the result to the debugger; `shots` are those of the circuit here."""
        own = snapshot.hyperparameters["shots"]
        shots = Shots(shots if own == "workflow" else own)
        self._add(snapshot.tag, self._measure(states, snapshot.hyperparameters["measurement"], shots))

    def branches(self, snapshot: Any, b: Branches) -> None:
        """Of each branch, or of each shot, in the order of the branches."""
        norms = np.sqrt(b.weights())
        for k, norm in enumerate(norms):
            state = b.states[k] if norm == 0 else (b.states[k] / norm).astype(b.states.dtype)
            here = self.shots if b.shots is None else int(b.shots[k].sum())
            if not self.one_by_one or b.shots is None:
                self.take(snapshot, state, here)
                continue
            for _ in range(here):
                self.take(snapshot, state, 1)

    def _add(self, tag: Any, result: Any) -> None:
        found = self._debugger.snapshots
        if tag is None:
            found[len(found)] = result
        elif tag not in found:
            found[tag] = result
        elif isinstance(found[tag], list):
            found[tag].append(result)
        else:
            found[tag] = [found[tag], result]

    def as_lists(self) -> None:
        """A tree of branches has lists of snapshots, even where there was one branch."""
        for tag, result in self._debugger.snapshots.items():
            if not isinstance(result, list):
                self._debugger.snapshots[tag] = [result]


def snapshots_of(tape: DynamicTape, structures: Structures, recorder: Recorder) -> None:
    """Take the snapshots of a tape without other measurements on the way, which may be broadcast."""
    state = to_array(tape.initial) if tape.initial is not None else np.eye(1, 1 << len(tape.labels), dtype=complex)[0]
    for part in tape.parts:
        if isinstance(part, Gates):
            state = _after(part, state, structures)
        else:
            assert isinstance(part, Look)
            recorder.take(part.snapshot, state, recorder.shots)


def snapshots_of_prefixes(tape: Any, recorder: Recorder) -> None:
    """Take the snapshots of a tape with channels, each from the operators before it."""
    before: list[Any] = []
    for op in tape.operations:
        if isinstance(op, Snapshot):
            recorder.take(op, before, recorder.shots)
        else:
            before.append(op)


def _after(gates: Gates, state: Array, structures: Structures) -> Array:
    """States after gates, (2^n,) or (B, 2^n)."""
    tensors = [*(to_array(a) for a in gates.reading.angles), state]
    given = Arguments(tensors, *axes_of(tensors, True), True)
    model = structures(gates.reading, (), False).values(given.pattern)
    return model.state(given.weights, given.inputs, initial=given.initial)
