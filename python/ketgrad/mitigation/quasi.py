"""Quasi-probabilities: the inverse of a channel as a combination, with signs, of operations that can be done.

Owns: the inverse and its one-norm. May not know: circuits.

After Temme et al., PRL 119, 180509 (2017); Endo et al., PRX 8, 031027 (2018); Takagi, PRR 3, 033178 (2021).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ArgumentTypeError
from ..noise.channel import Channel
from ..noise.channels import reset as _reset
from ..pauli import check_word, word_matrix

Array = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.complex128]
Operation: TypeAlias = str | Channel  # a Pauli word, or anything else
_EXACT = 1e-9


@dataclass(frozen=True, eq=False)
class QuasiProbability:
    """sum_j coefficients[j] * operations[j]: a map that is no channel, of channels that are.

    The first operation is the identity where it takes part.
    """

    coefficients: Array
    operations: tuple[Operation, ...]

    @property
    def gamma(self) -> float:
        """The one-norm: sampled, the combination has the variance of gamma^2 values."""
        return float(np.abs(self.coefficients).sum())

    @property
    def probabilities(self) -> Array:
        """Of the operations, when they are drawn."""
        return np.asarray(np.abs(self.coefficients) / self.gamma)

    def superoperator(self) -> Matrix:
        """(4^k, 4^k), on rho flattened row by row."""
        return np.asarray(np.einsum("j,jab->ab", self.coefficients, [_superoperator(o) for o in self.operations]))

    def __repr__(self) -> str:
        shown = [f"{c:+.5g} {o}" for c, o in zip(self.coefficients[:6], self.operations, strict=False)]
        return f"QuasiProbability({' '.join(shown)}{' ...' * (len(self.operations) > 6)}, gamma={self.gamma:.6g})"


def invert(channel: Channel, operations: Sequence[Operation] | None = None) -> QuasiProbability:
    """The inverse of a channel.

    A Pauli channel is inverted by Pauli words, of any number of wires; a unitary by its adjoint; amplitude damping and
    thermal relaxation by Pauli words and a reset; any other by ten Clifford gates and three resets, which span all
    trace-preserving maps of one wire, and their products.

    Args:
        operations: what may be used instead: Pauli words and channels; where they leave a choice, the combination of
            least squares is taken.

    Raises:
        ArgumentError: the channel has no inverse, or the operations do not span it; with the distance.
    """
    if not isinstance(channel, Channel):
        raise ArgumentTypeError(f"invert: expected a ketgrad.noise.Channel, got {type(channel).__name__}")
    forward = channel.superoperator()
    singular = np.linalg.svd(forward, compute_uv=False)
    if singular[-1] < 1e-10 * singular[0]:
        raise ArgumentError(f"invert: {channel!r} has no inverse, its least singular value is {singular[-1]:.3g}")
    if operations is None and channel.is_pauli:
        return _invert_pauli(channel)
    inverse = np.asarray(np.linalg.inv(forward), dtype=np.complex128)
    sets = _sets(channel, inverse) if operations is None else [tuple(operations)]
    found = [(quasi, miss) for quasi, miss in (_solve(inverse, s) for s in sets)]
    exact = [quasi for quasi, miss in found if miss < _EXACT]
    if not exact:
        raise ArgumentError(
            f"invert: the operations do not span the inverse of {channel!r}, they miss it by "
            f"{min(miss for _, miss in found):.3g}"
        )
    return min(exact, key=lambda q: round(q.gamma, 9))


def _invert_pauli(channel: Channel) -> QuasiProbability:
    """By the eigenvalues f_Q = sum_P p_P (+-1), + where P and Q commute."""
    known = channel.pauli_probabilities
    words = list(known)
    signs = _signs(channel.n_wires)
    coefficients = signs @ (1 / (signs @ np.array([known[w] for w in words]))) / len(words)
    kept = np.abs(coefficients) > 1e-15
    return QuasiProbability(coefficients[kept], tuple(w for w, k in zip(words, kept, strict=True) if k))


@cache
def _signs(k: int) -> Array:
    """(4^k, 4^k): 1 where two words (I before X, Y, Z) commute, -1 where not."""
    one = np.where(np.eye(4) + (np.arange(4) == 0) + (np.arange(4) == 0)[:, None] > 0, 1.0, -1.0)
    out: Array = np.ones((1, 1))
    for _ in range(k):
        out = np.asarray(np.kron(out, one), dtype=np.float64)
    return out


def _superoperator(operation: Operation) -> Matrix:
    if isinstance(operation, Channel):
        return operation.superoperator()
    m = word_matrix(check_word(operation))
    return np.asarray(np.kron(m, m.conj()), dtype=np.complex128)


def _solve(inverse: Matrix, operations: tuple[Operation, ...]) -> tuple[QuasiProbability, float]:
    columns = np.stack([_superoperator(o).reshape(-1) for o in operations], axis=1)
    if columns.shape[0] != inverse.size:
        raise ArgumentError(f"invert: operations of the channel's number of wires, got {operations!r}")
    both = np.concatenate([columns.real, columns.imag])
    target = np.concatenate([inverse.real.reshape(-1), inverse.imag.reshape(-1)])
    found = np.linalg.lstsq(both, target, rcond=1e-10)[0]
    miss = float(np.abs(both @ found - target).max())
    kept = np.abs(found) > 1e-12
    return QuasiProbability(found[kept], tuple(o for o, k in zip(operations, kept, strict=True) if k)), miss


def _sets(channel: Channel, inverse: Matrix) -> list[tuple[Operation, ...]]:
    """Operations to try, each set linearly independent."""
    if len(channel.kraus) == 1:
        return [(_unitary(channel.kraus[0].conj().T, f"inverse of {channel.name}"),)]
    one = [("I", "X", "Y", "Z", _reset()), ("I", "X", "Y", "Z", _reset_to(_X, "1")), (*_cliffords(), *_resets())]
    return [tuple(_product(o) for o in itertools.product(s, repeat=channel.n_wires)) for s in one]


def _product(parts: tuple[Operation, ...]) -> Operation:
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(p, str) for p in parts):
        return "".join(str(p) for p in parts)
    matrices: list[Matrix] = [np.eye(1, dtype=complex)[None]]
    for part in parts:
        own = part.kraus if isinstance(part, Channel) else word_matrix(part)[None]
        matrices.append(np.array([np.kron(a, b) for a in matrices[-1] for b in own]))
    return Channel(matrices[-1], " x ".join(p.name if isinstance(p, Channel) else p for p in parts))


_X = word_matrix("X")


def _unitary(matrix: Matrix, name: str) -> Channel:
    return Channel(np.asarray(matrix)[None], name)


def _turn(word: str, sign: int = 1) -> Matrix:
    """A quarter turn about an axis."""
    return np.asarray((np.eye(2) - sign * 1j * word_matrix(word)) / np.sqrt(2))


@cache
def _cliffords() -> tuple[Operation, ...]:
    """Ten unitaries that span the unital maps of one wire: words, quarter turns, and half turns about diagonals."""
    half = [
        _unitary((word_matrix(a) + word_matrix(b)) / np.sqrt(2), f"half turn {a}{b}") for a, b in ("YZ", "ZX", "XY")
    ]
    turns = [_unitary(_turn(w), f"quarter turn {w}") for w in "XYZ"]
    return ("I", "X", "Y", "Z", *turns, *half)


def _reset_to(matrix: Matrix, name: str) -> Channel:
    """Reset, then a unitary."""
    return Channel(matrix @ _reset().kraus, f"reset to {name}")


@cache
def _resets() -> tuple[Operation, ...]:
    plus, imaginary = _turn("Y"), _turn("X", -1)
    return _reset(), _reset_to(plus, "+"), _reset_to(imaginary, "+i")


__all__ = ["Operation", "QuasiProbability", "invert"]
