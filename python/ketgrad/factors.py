"""The factors a gate's body is made of, and their exact matrices on a handful of wires.

Owns: what each kind of factor means, and its generator. May not know: gate names, wires of a circuit, opcodes.
These matrices define the gates; they are small and obvious, and no backend uses them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import CircuitError
from .pauli import word_matrix

Matrix = npt.NDArray[np.complex128]


@dataclass(frozen=True)
class Angle:
    """theta = offset + scale * params[param]; a constant when `param` is None."""

    param: str | None
    scale: float = 1.0
    offset: float = 0.0

    def value(self, params: dict[str, float]) -> float:
        return self.offset + (self.scale * params[self.param] if self.param is not None else 0.0)


@dataclass(frozen=True)
class Rot:
    """exp(-i theta P / 2) with P the Pauli word over the targets."""

    word: str
    angle: Angle
    on: str = ""


@dataclass(frozen=True)
class Phase:
    """e^{i theta} where the targets match `on` ('0', '1', '-' for either)."""

    angle: Angle
    on: str = ""


@dataclass(frozen=True)
class PairRot:
    """Real rotation by theta/2 from pattern `first` to `second`: |first> -> c|first> + s|second>.

    '-' marks targets that play no part; where `z` marks one with 'Z', a 1 there flips the sign of theta.
    """

    first: str
    second: str
    angle: Angle
    z: str = ""
    on: str = ""


@dataclass(frozen=True)
class Pauli:
    """A Pauli word over the targets."""

    word: str
    on: str = ""


@dataclass(frozen=True)
class Swap:
    """Exchange of two targets, by position."""

    first: int = 0
    second: int = 1
    on: str = ""


@dataclass(frozen=True, eq=False)
class Dense:
    """A unitary matrix over all targets."""

    matrix: Matrix
    on: str = ""


@dataclass(frozen=True, eq=False)
class Diagonal:
    """A diagonal unitary over all targets, by its entries."""

    entries: Matrix
    on: str = ""


@dataclass(frozen=True, eq=False)
class ExpDiagonal:
    """e^{i theta d[x]} over all targets, with a real array d."""

    values: npt.NDArray[np.float64]
    angle: Angle
    on: str = ""


Factor = Rot | Phase | PairRot | Pauli | Swap | Dense | Diagonal | ExpDiagonal


def _select(pattern: str, k: int) -> npt.NDArray[np.bool_]:
    """Which of the 2^k basis states match a pattern of '0', '1' and '-'."""
    index = np.arange(2**k)
    keep = np.ones(2**k, dtype=bool)
    for position, want in enumerate(pattern):
        if want != "-":
            keep &= ((index >> (k - 1 - position)) & 1) == int(want)
    return keep


def factor_matrix(factor: Factor, k: int, params: dict[str, float]) -> Matrix:
    """The 2^k x 2^k matrix of one factor, `on` included."""
    eye = np.eye(2**k, dtype=complex)
    if isinstance(factor, Rot):
        theta = factor.angle.value(params)
        body = np.cos(theta / 2) * eye - 1j * np.sin(theta / 2) * word_matrix(factor.word)
    elif isinstance(factor, Phase):
        return np.diag(np.where(_select(factor.on, k), np.exp(1j * factor.angle.value(params)), 1.0))
    elif isinstance(factor, PairRot):
        theta = factor.angle.value(params)
        body = eye.copy()
        flip = int("".join("0" if a == "-" else "1" for a in factor.first), 2)
        for i in np.flatnonzero(_select(factor.first, k)).tolist():
            sign = 1.0
            for position, letter in enumerate(factor.z):
                if letter == "Z" and (i >> (k - 1 - position)) & 1:
                    sign = -sign
            j, c, s = i ^ flip, np.cos(theta / 2), sign * np.sin(theta / 2)
            body[i, i], body[j, j], body[j, i], body[i, j] = c, c, s, -s
    elif isinstance(factor, Pauli):
        body = word_matrix(factor.word)
    elif isinstance(factor, Swap):
        body = np.zeros_like(eye)
        for i in range(2**k):
            a, b = k - 1 - factor.first, k - 1 - factor.second
            swapped = i ^ ((((i >> a) ^ (i >> b)) & 1) * ((1 << a) | (1 << b)))
            body[swapped, i] = 1.0
    elif isinstance(factor, Diagonal):
        body = np.diag(factor.entries)
    elif isinstance(factor, ExpDiagonal):
        body = np.diag(np.exp(1j * factor.angle.value(params) * factor.values))
    else:
        body = factor.matrix
    keep = _select(factor.on, k)
    return np.where(keep[:, None] & keep[None, :], body, eye) if factor.on else np.asarray(body, dtype=complex)


def factor_generator(factor: Factor, k: int) -> Matrix:
    """G of a factor, with d/dtheta factor = -i G factor."""
    if isinstance(factor, Rot):
        body = word_matrix(factor.word) / 2
    elif isinstance(factor, Phase):
        return np.diag(-_select(factor.on, k).astype(complex))
    elif isinstance(factor, PairRot):
        quarter = factor_matrix(PairRot(factor.first, factor.second, Angle(None, 0.0, np.pi), factor.z), k, {})
        body = 1j * (quarter - np.diag(np.diag(quarter))) / 2
    elif isinstance(factor, ExpDiagonal):
        body = np.diag(-factor.values.astype(complex))
    else:
        raise CircuitError(f"{type(factor).__name__} has no angle")
    keep = _select(factor.on, k) if factor.on else np.ones(2**k, dtype=bool)
    return np.where(keep[:, None] & keep[None, :], body, 0)
