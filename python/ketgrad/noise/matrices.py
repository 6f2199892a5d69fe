"""Matrices of noise: Pauli words, superoperators, Kraus operators of a superoperator, twirls.

Owns: the conventions. A state rho is flattened row by row, so that K rho K^+ has the superoperator K (x) conj(K); the
first wire is the most significant. May not know: channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import GateMatrixError

Matrix = npt.NDArray[np.complex128]
MAX_OPERATORS = 255
TOLERANCE = 1e-8  # how far from trace-preserving, in the largest eigenvalue
_NOTHING = 1e-15  # an operator of less weight than rounding is none
A = TypeVar("A", bound=npt.NDArray[np.inexact])


@cache
def paulis(k: int) -> tuple[tuple[str, ...], Matrix]:
    """The 4^k words on k wires, I before X, Y, Z, and their matrices (4^k, 2^k, 2^k)."""
    letters = {
        "I": np.eye(2, dtype=complex),
        "X": np.array([[0, 1], [1, 0]], dtype=complex),
        "Y": np.array([[0, -1j], [1j, 0]]),
        "Z": np.diag([1.0 + 0j, -1]),
    }
    words = tuple("".join(w) for w in itertools.product("IXYZ", repeat=k))
    out = []
    for word in words:
        matrix = np.eye(1, dtype=complex)
        for letter in word:
            matrix = np.kron(matrix, letters[letter])
        out.append(matrix)
    return words, frozen(np.array(out))


def superoperator(kraus: Matrix) -> Matrix:
    """sum_i K_i (x) conj(K_i), shape (4^k, 4^k)."""
    d = kraus.shape[-1]
    return np.asarray(np.einsum("mij,mkl->ikjl", kraus, kraus.conj()).reshape(d * d, d * d))


def kraus_of(matrix: npt.ArrayLike, name: str = "superoperator") -> Matrix:
    """Kraus operators of a superoperator: the eigenvectors of its Choi matrix, at most 4^k.

    Raises:
        GateMatrixError: wrong shape, or not completely positive; with the amount.
    """
    full = np.asarray(matrix, dtype=complex)
    d = int(round(np.sqrt(full.shape[0]))) if full.ndim == 2 else 0
    if full.shape != (d * d, d * d) or d < 2 or d & (d - 1):
        raise GateMatrixError(f"{name}: a superoperator has the shape (4^k, 4^k), got {full.shape}")
    choi = full.reshape(d, d, d, d).transpose(0, 2, 1, 3).reshape(d * d, d * d)  # sum_i vec(K_i) vec(K_i)^+
    crooked = float(np.abs(choi - choi.conj().T).max())
    values, vectors = np.linalg.eigh((choi + choi.conj().T) / 2)
    if crooked > TOLERANCE or values[0] < -TOLERANCE:
        raise GateMatrixError(
            f"{name}: not completely positive: its Choi matrix has the eigenvalue {values[0]:.3g} and differs from its "
            f"adjoint by {crooked:.3g}"
        )
    kept = values > _NOTHING * d
    return np.asarray((vectors[:, kept] * np.sqrt(values[kept])).T.reshape(-1, d, d))


def power(full: Matrix, factor: float) -> Matrix:
    """S^factor: what acts for `factor` times as long."""
    if factor == int(factor):
        return np.asarray(np.linalg.matrix_power(full, int(factor)))
    values, vectors = np.linalg.eig(full)
    return np.asarray((vectors * values.astype(complex) ** factor) @ np.linalg.pinv(vectors))


def twirl(full: Matrix) -> Matrix:
    """The average of (P (x) P*) S (P (x) P*) over all words P; the last two axes are the superoperator's."""
    side = full.shape[-1]
    _, matrices = paulis((side.bit_length() - 1) // 2)
    basis = matrices.reshape(side, side).T  # columns: the words, flattened; orthogonal, of norm^2 2^k
    diagonal = np.einsum("pi,...ij,jp->...p", basis.conj().T, full, basis) / np.sqrt(side)
    return np.asarray(np.einsum("ip,...p,pj->...ij", basis, diagonal, basis.conj().T) / np.sqrt(side))


def merged(kraus: Matrix) -> Matrix:
    """Operators that are multiples of one another as one; the 4^k of the Choi matrix if there are more left."""
    flat = kraus.reshape(len(kraus), -1)
    norms = np.linalg.norm(flat, axis=1)
    flat, norms = flat[norms > 0], norms[norms > 0]
    left = np.arange(len(flat))
    out = []
    while left.size:
        unit = flat[left[0]] / norms[left[0]]
        apart = np.linalg.norm(flat[left] - (flat[left] @ unit.conj())[:, None] * unit, axis=1)
        same = apart < 1e-13 * norms[left]
        same[0] = True
        out.append(unit * np.linalg.norm(norms[left[same]]))
        left = left[~same]
    result = np.array(out).reshape(-1, *kraus.shape[1:])
    d = kraus.shape[1]
    square = result.conj().transpose(0, 2, 1) @ result - weights(result)[:, None, None] * np.eye(d)
    unitary = len(result) <= MAX_OPERATORS and np.abs(square).max() < 1e-12  # a mixture of unitaries remains one
    return result if len(result) <= d * d or unitary else kraus_of(superoperator(result))


def embedded(matrix: Matrix, places: Sequence[int], k: int) -> Matrix:
    """A matrix on `places`, the first its most significant, as a matrix on k wires."""
    j = len(places)
    tensor = np.eye(2**k, dtype=complex).reshape((2,) * (2 * k))
    moved = np.tensordot(matrix.reshape((2,) * (2 * j)), tensor, axes=(range(j, 2 * j), places))
    return np.asarray(np.moveaxis(moved, range(j), places).reshape(2**k, 2**k))


def weights(kraus: Matrix) -> npt.NDArray[np.float64]:
    """(m,) tr(K^+ K) / 2^k of each operator."""
    return np.asarray((np.abs(kraus) ** 2).sum(axis=(1, 2)) / kraus.shape[1], dtype=np.float64)


def frozen(array: A) -> A:
    """The array, which nobody can write to any more."""
    array.setflags(write=False)
    return array
