"""From PennyLane's observables to sums of Pauli words, and the keys that stand for them in a cache.

Owns: the conversion. May not know: tapes, devices, circuits.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator
from pennylane.ops.op_math import CompositeOp, Prod, SProd, Sum
from pennylane.ops.qubit.observables import BasisStateProjector

from ..pauli import MAX_HERMITIAN_WIRES, Hermitian, Key, PauliSum, Projector
from .conversion import Constant, Index, is_live

LETTERS = {qml.X: "X", qml.Y: "Y", qml.Z: "Z"}  # most observables, known without a look into them


def is_trained(op: Operator) -> bool:
    """Whether a framework follows the observable's own parameters."""
    return any(is_live(d) for d in op.data)


def pauli_words(op: Operator, index: Index) -> list[Key]:
    """The words of an observable with a Pauli form, in the order of its coefficients."""
    return [(tuple(sorted((index[w], c) for w, c in word.items())), ()) for word in op.pauli_rep]


def coefficients(op: Operator) -> Any:
    """The coefficients of `pauli_words`, one tensor."""
    return qml.math.real(qml.math.stack(list(op.pauli_rep.values())))


def is_pauli_sum(op: Operator) -> bool:
    """Whether `pauli_sum` can convert the observable."""
    if op.pauli_rep is not None:
        return True
    if isinstance(op, CompositeOp):
        return all(is_pauli_sum(o) for o in op.operands)
    if isinstance(op, SProd):
        return is_pauli_sum(op.base)
    if isinstance(op, BasisStateProjector):
        return True
    return len(op.wires) <= MAX_HERMITIAN_WIRES and (op.has_matrix or op.has_sparse_matrix)


def pauli_sum(op: Operator, index: Index) -> PauliSum:
    """The observable as a sum of Pauli words (and patterns, for basis-state projectors)."""
    sentence = op.pauli_rep
    if sentence is not None:
        numbers = (complex(qml.math.to_numpy(c)) for c in sentence.values())
        return PauliSum(dict(zip(pauli_words(op, index), numbers, strict=True)))
    if isinstance(op, (Prod, Sum)):
        first, *others = (pauli_sum(o, index) for o in op.operands)
        for other in others:
            first = first @ other if isinstance(op, Prod) else first + other
        return first
    if isinstance(op, SProd):
        return PauliSum({((), ()): complex(qml.math.to_numpy(op.scalar))}) @ pauli_sum(op.base, index)
    wires = tuple(index[w] for w in op.wires)
    if isinstance(op, BasisStateProjector):
        return Projector([int(b) for b in qml.math.to_numpy(op.data[0])], wires)
    return Hermitian(observable_matrix(op), wires)


def matrix_square(op: Operator, index: Index) -> PauliSum:
    """The square of an observable, by way of its matrix: for long sums quicker than term by term."""
    matrix = observable_matrix(op)
    return Hermitian(matrix @ matrix, tuple(index[w] for w in op.wires))


def diagonal_sum(eigenvalues: Any, wires: tuple[int, ...]) -> PauliSum:
    """The observable that is diagonal with these eigenvalues on `wires`."""
    return Hermitian(np.diag(np.asarray(qml.math.to_numpy(eigenvalues), dtype=complex)), wires)


def observable_matrix(op: Operator) -> Any:
    """The dense matrix in the order of the observable's own wires."""
    matrix = op.matrix() if op.has_matrix else op.sparse_matrix().toarray()
    return np.asarray(qml.math.to_numpy(matrix), dtype=complex)


def observable_key(op: Operator, index: Index) -> Hashable:
    """A hashable value that two observables share only if they are the same operator."""
    if type(op) in LETTERS:
        return (LETTERS[type(op)], index[op.wires[0]])
    sentence = op.pauli_rep
    if sentence is not None:
        return tuple([
            (tuple([(index[w], letter) for w, letter in word.items()]), _number(coefficient))
            for word, coefficient in sentence.items()
        ])  # fmt: skip
    if isinstance(op, CompositeOp):
        return (op.name, tuple(observable_key(o, index) for o in op.operands))
    if isinstance(op, SProd):
        return (op.name, complex(qml.math.to_numpy(op.scalar)), observable_key(op.base, index))
    wires = tuple(index[w] for w in op.wires)
    if isinstance(op, BasisStateProjector):
        return (op.name, wires, Constant(qml.math.to_numpy(op.data[0])))
    if isinstance(op, qml.SparseHamiltonian):
        csr = op.sparse_matrix()
        return (op.name, wires, Constant(csr.data), Constant(csr.indices), Constant(csr.indptr))
    return (op.name, wires, Constant(observable_matrix(op)))


def _number(coefficient: Any) -> complex:
    return complex(coefficient if isinstance(coefficient, (int, float, complex)) else qml.math.to_numpy(coefficient))
