"""How each of PennyLane's measurement processes is evaluated exactly, and the keys that stand for them in a cache.

Owns: the plan of a list of measurements, and from the engine's numbers to PennyLane's results. May not know: execution
configurations, trackers, gradients.

Expectation values, variances and probabilities come from the engine. Anything else is the process's own
`process_state`, applied to the state as a tensor of the user's framework, which so differentiates it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import pennylane as qml
from pennylane import measurements as mps
from pennylane.ops.op_math import CompositeOp, SymbolicOp
from pennylane.wires import Wires

from ..pauli import MAX_HERMITIAN_WIRES, PauliSum
from .conversion import Constant, Index, is_live
from .observables import (
    LETTERS,
    coefficients,
    diagonal_sum,
    is_pauli_sum,
    is_trained,
    matrix_square,
    observable_key,
    pauli_sum,
    pauli_words,
)

MAX_VARIANCE_TERMS = 64  # the square of a longer sum costs more than a rotation into its eigenbasis
SHADOWS = (mps.ClassicalShadowMP, mps.ShadowExpvalMP)
MOMENTS = (mps.ExpectationMP, mps.VarianceMP)


def measurement_key(mp: Any, index: Index) -> Hashable:
    """What decides how a measurement is evaluated."""
    if type(mp.obs) in LETTERS:
        return (type(mp), observable_key(mp.obs, index))
    wires = tuple(index[w] for w in mp.wires)
    if mp.obs is not None:
        if not is_trained(mp.obs):
            return (type(mp), wires, observable_key(mp.obs, index))
        words = None if mp.obs.pauli_rep is None else tuple(pauli_words(mp.obs, index))
        return (type(mp), wires, mp.obs.name, words)
    if isinstance(mp, MOMENTS):
        return (type(mp), wires, Constant(qml.math.to_numpy(mp.eigvals())))
    if isinstance(mp, mps.MutualInfoMP):
        return (type(mp), wires, len(mp.raw_wires[0]))
    return (type(mp), wires)


def has_pauli_form(mp: Any) -> bool:
    """Whether a measurement's observable can be written as Pauli words."""
    if mp.obs is not None:
        return is_pauli_sum(mp.obs)
    return 0 < len(mp.wires) <= MAX_HERMITIAN_WIRES


def pauli_form(mp: Any, index: Index) -> PauliSum | None:
    """A measurement's observable as Pauli words, where it can be written so."""
    if not has_pauli_form(mp):
        return None
    if mp.obs is not None:
        return pauli_sum(mp.obs, index)
    return diagonal_sum(mp.eigvals(), tuple(index[w] for w in mp.wires))


class Step(NamedTuple):
    """How one measurement is evaluated.

    expval: expectation value `where`; variance: of the expectation values `where`, the observable and its square;
    terms: the expectation values `where`, to be summed with the observable's own coefficients; probabilities: of the
    bits `where`; sparse: a moment of a matrix; state, density: of the state in basis `where`.
    """

    how: str
    where: Any = None


class ExactPlan:
    """What a list of measurements needs: expectation values of `observables`, and states in `bases`.

    A basis is None, or the operators that rotate into it.
    """

    def __init__(self, measurements: Sequence[Any], index: Index) -> None:
        self.observables: list[PauliSum] = []
        self.bases: list[Any] = []
        self._index = index
        self.steps = [self._step(mp) for mp in measurements]
        self.only_expectations = [s for s in self.steps] == [Step("expval", k) for k in range(len(measurements))]

    def _step(self, mp: Any) -> Step:
        if isinstance(mp, MOMENTS):
            return self._moment(mp)
        if isinstance(mp, mps.ProbabilityMP) and mp.obs is None:
            self._basis(None)
            return Step("probabilities", tuple(self._index[w] for w in mp.wires) or tuple(range(len(self._index))))
        return Step("state", self._basis(mp))

    def _moment(self, mp: Any) -> Step:
        expectation = isinstance(mp, mps.ExpectationMP)
        if mp.obs is not None and is_trained(mp.obs):
            if expectation and mp.obs.pauli_rep is not None:
                first = len(self.observables)
                self.observables += [PauliSum({key: 1.0}) for key in pauli_words(mp.obs, self._index)]
                return Step("terms", slice(first, len(self.observables)))
            return Step("density", self._basis(None))
        observable = pauli_form(mp, self._index)
        if observable is not None and expectation:
            return Step("expval", self._add(observable))
        if observable is not None and len(observable) <= MAX_VARIANCE_TERMS:
            return Step("variance", (self._add(observable), self._add(observable.square())))
        if observable is not None and isinstance(mp.obs, (CompositeOp, SymbolicOp)):
            # PennyLane does not diagonalise these rightly where eigenvalues are degenerate
            if len(mp.obs.wires) <= MAX_HERMITIAN_WIRES:
                return Step("variance", (self._add(observable), self._add(matrix_square(mp.obs, self._index))))
        if mp.obs is not None and mp.obs.has_sparse_matrix and not mp.obs.has_diagonalizing_gates:
            self._basis(None)
            return Step("sparse")
        return Step("state", self._basis(mp))

    def _add(self, observable: PauliSum) -> int:
        self.observables.append(observable)
        return len(self.observables) - 1

    def _basis(self, mp: Any) -> int:
        rotation = None if mp is None or mp.obs is None else mp.diagonalizing_gates() or None
        if rotation is not None or None not in self.bases:
            self.bases.append(rotation)
            return len(self.bases) - 1
        return self.bases.index(None)


def finish(
    measurements: Sequence[Any],
    steps: Sequence[Step],
    outputs: Sequence[Any],
    labels: Sequence[Any],
    mixed: bool = False,
) -> Any:
    """One result for each measurement, from what the engine gave for its step, in the framework of the outputs.

    Args:
        mixed: whether states are density matrices, flattened.
    """
    order = Wires(labels)
    results = []
    for mp, step, output in zip(measurements, steps, outputs, strict=True):
        if mixed and step.how in ("state", "density"):
            side = 1 << len(labels)
            output = qml.math.reshape(output, (*output.shape[:-1], side, side))
        if step.how == "state" and mixed:
            if type(mp) is not mps.StateMP:
                order_here = Wires(range(len(labels)))
                output = _standard(mp, labels).process_density_matrix(output, wire_order=order_here)
        elif step.how == "state":
            output = _standard(mp, labels).process_state(output, wire_order=Wires(range(len(labels))))
        elif step.how == "terms":
            output = _dot(output, coefficients(mp.obs))
        elif step.how == "density":
            output = _matrix_moment(mp, output, order, mixed)
        results.append(output)
    return results


def _standard(mp: Any, labels: Sequence[Any]) -> Any:
    """A measurement of wires 0, 1, ...: PennyLane's entropies take labels for positions."""
    index = {label: k for k, label in enumerate(labels)}
    return mp if all(index[w] == w for w in mp.wires) else mp.map_wires(index)


def _dot(terms: Any, factors: Any) -> Any:
    terms, factors = _alike(terms, factors)
    return qml.math.sum(terms * factors, axis=-1)


def _alike(first: Any, second: Any) -> tuple[Any, Any]:
    """Two tensors in the framework that follows one of them, the second with the dtype of the first."""
    if is_live(second) and not is_live(first):
        first = qml.math.convert_like(first, second)
    else:
        second = qml.math.convert_like(second, first)
    return first, qml.math.cast_like(second, first)


def _matrix_moment(mp: Any, state: Any, order: Wires, mixed: bool) -> Any:
    """<M>, or <M^2> - <M>^2, of an observable whose matrix is differentiated too."""
    wires = mp.obs.wires
    reduced = qml.math.reduce_dm if mixed else qml.math.reduce_statevector
    density = reduced(state, indices=order.indices(wires))
    density, matrix = _alike(density, qml.matrix(mp.obs, wire_order=wires))

    def mean(m: Any) -> Any:
        return qml.math.real(qml.math.einsum("...ij,ji->...", density, m))

    if isinstance(mp, mps.ExpectationMP):
        return mean(matrix)
    return mean(matrix @ matrix) - mean(matrix) ** 2
