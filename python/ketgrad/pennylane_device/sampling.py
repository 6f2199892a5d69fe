"""Measurements with shots: which samples serve which of them, and PennyLane's results from samples.

Owns: the plan of a list of measurements with shots, and its results for each bin of the shots. May not know: execution
configurations, trackers, gradients.

Sums of Pauli words are estimated by the engine, term by term in groups that commute. All else comes from samples, drawn
once for each set of measurements that one basis serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pennylane as qml
from pennylane import measurements as mps
from pennylane.operation import Operator
from pennylane.ops.op_math import Prod, SProd

from ..pauli import PauliSum
from ..simulator import qubit_wise_groups
from .conversion import Index
from .measurements import SHADOWS, Step, has_pauli_form, pauli_form

Word = tuple[tuple[int, str], ...]


def is_factored(op: Operator) -> bool:
    """Whether an observable is a product of Paulis on wires of their own, perhaps scaled.

    Only then are its eigenvalues those of the letters in their order; sums that amount to one word have another.
    """
    if isinstance(op, SProd):
        return is_factored(op.base)
    if isinstance(op, Prod):
        return len(op.wires) == sum(len(o.wires) for o in op.operands) and all(map(is_factored, op.operands))
    return isinstance(op, (qml.X, qml.Y, qml.Z, qml.I))


class SampledPlan:
    """How each measurement is evaluated with shots.

    Steps: estimate (expectation value `where` of the engine), sample (in basis `where`), shadow.
    A basis is None, the letters by wire, or the operators that rotate into it.
    """

    def __init__(self, measurements: Sequence[Any], index: Index) -> None:
        self.observables: list[PauliSum] = []
        self.bases: list[Any] = []
        self._index = index
        steps: list[Step | None] = [None] * len(measurements)
        words: list[tuple[int, Word]] = []
        only_expectations = all(isinstance(mp, mps.ExpectationMP) for mp in measurements)
        for i, mp in enumerate(measurements):
            word = self._word(mp)
            if isinstance(mp, SHADOWS):
                steps[i] = Step("shadow", self._basis(None))
            elif isinstance(mp, mps.ExpectationMP) and has_pauli_form(mp) and (only_expectations or word is None):
                observable = pauli_form(mp, index)
                assert observable is not None
                self.observables.append(observable)
                steps[i] = Step("estimate", len(self.observables) - 1)
            elif word is not None:
                words.append((i, word))
            else:
                rotation = None if mp.obs is None else mp.diagonalizing_gates() or None
                steps[i] = Step("sample", self._basis(rotation))
        for letters, members in qubit_wise_groups([(word, ()) for _, word in words]):
            basis = self._basis({w: c for w, c in letters.items() if c != "Z"} or None)
            for member in members:
                steps[words[member][0]] = Step("sample", basis)
        self.steps = [s for s in steps if s is not None]

    def _word(self, mp: Any) -> Word | None:
        """The Pauli word whose basis a measurement needs, or None where it needs more."""
        if mp.obs is None:
            wires = tuple(self._index[w] for w in mp.wires) or tuple(range(len(self._index)))
            return tuple((w, "Z") for w in wires)
        if not is_factored(mp.obs) or not any(mp.obs.pauli_rep):
            return None
        return tuple(sorted((self._index[w], letter) for word in mp.obs.pauli_rep for w, letter in word.items()))

    def _basis(self, rotation: Any) -> int:
        if rotation is None and None in self.bases:
            return self.bases.index(None)
        self.bases.append(rotation)
        return len(self.bases) - 1
