"""Readout mitigation: the confusion of measured bits is inverted, on observables or on counts.

Owns: the inversion and the nearest distribution. May not know: how circuits are run.

A confusion matrix of one wire is [true bit, measured bit] -> probability: rows have the sum 1. Each wire is
confused by itself. After Bravyi et al., PRA 103, 042605 (2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit
from ..errors import ArgumentError, GateMatrixError, ParameterError
from ..pauli import I, PauliSum, X, Y, Z
from .combination import Linear, Mitigated
from .cost import Cost
from .member import Member
from .noisy import Compile, Noise, Observables, as_tuple, compiled, with_noise

Array = npt.NDArray[np.float64]
Confusion: TypeAlias = Mapping[int, npt.ArrayLike] | Sequence[npt.ArrayLike] | npt.ArrayLike
MAX_COUNTED_WIRES = 14
_LETTERS = {"X": X, "Y": Y, "Z": Z}


def confusions(confusion: Confusion, wires: Sequence[int]) -> dict[int, Array]:
    """wire -> (2, 2), from a dictionary by wire, a sequence over the wires, or one matrix for all.

    Raises:
        GateMatrixError: not a matrix of probabilities, or one that cannot be inverted; with the amount.
    """
    if isinstance(confusion, Mapping):
        found = {w: np.asarray(confusion[w], dtype=np.float64) for w in wires if w in confusion}
    else:
        whole = np.asarray(confusion, dtype=np.float64)
        if whole.ndim == 3 and len(whole) <= max(wires, default=-1):
            raise ParameterError(f"readout: a confusion matrix for every wire up to {max(wires)}, got {len(whole)}")
        found = {w: whole if whole.ndim == 2 else whole[w] for w in wires}
    for wire, matrix in found.items():
        if matrix.shape != (2, 2):
            raise GateMatrixError(f"readout: a confusion matrix has shape (2, 2), got {matrix.shape} for wire {wire}")
        off = float(np.abs(matrix.sum(axis=1) - 1).max())
        if not np.isfinite(matrix).all() or matrix.min() < 0 or off > 1e-8:
            raise GateMatrixError(
                f"readout: rows of a confusion matrix (the true bit) are probabilities of sum 1; those of wire {wire} "
                f"have the least entry {matrix.min():.3g} and miss 1 by {off:.3g}"
            )
        if abs(_affine(matrix)[0]) < 1e-9:
            raise GateMatrixError(
                f"readout: what is read from wire {wire} says nothing about it, P = {matrix.tolist()}"
            )
    return found


def _affine(matrix: Array) -> tuple[float, float]:
    """a and b of <Z measured> = a <Z> + b."""
    up, down = float(matrix[0, 1]), float(matrix[1, 0])
    return 1 - up - down, down - up


def corrected(observable: PauliSum, confusion: Confusion) -> PauliSum:
    """The observable whose expectation, read with these errors, is that of the given one without: P -> (P - b) / a."""
    plain = observable.without_patterns()
    known = confusions(confusion, plain.wires)
    out = PauliSum()
    for coefficient, word, _ in plain.terms:
        factors = []
        for wire, letter in word:
            a, b = _affine(known[wire]) if wire in known else (1.0, 0.0)
            factors.append((_LETTERS[letter](wire) - b) / a)
        out = out + coefficient * reduce(lambda p, q: p @ q, factors, I())
    return out.simplify()


def readout_mitigated(
    circuit: Circuit,
    observables: Observables,
    confusion: Confusion,
    noise: Noise = None,
    *,
    compile: Compile | None = None,
    **options: Any,
) -> Mitigated:
    """A model whose observables undo the errors of the readout: unbiased where the confusion matrices are right.

    The cost is the growth of the coefficients: 1 / (1 - e0 - e1) or a little more for each wire of a word.

    Args:
        circuit: with channels, or without and `noise`.
        confusion: by wire [true bit, measured bit], or one for all; wires that a dictionary leaves out have no errors.
        noise: a `NoiseModel` (with its readout errors), or a function circuit -> circuit with channels.
        compile, options: as for `zne`.

    Raises:
        GateMatrixError: no confusion matrix; with the amount.
    """
    what = as_tuple(observables)
    measured = [corrected(o, confusion) for o in what]
    member = Member(compiled(with_noise(circuit, noise), measured, compile, options))
    growth = max(_size(m) / max(_size(o), 1e-300) for o, m in zip(what, measured, strict=True))
    return Mitigated(circuit, what, [member], Linear([1.0]), f"readout, coefficients grow {growth:.4g} times")


def _size(observable: PauliSum) -> float:
    return float(sum(abs(c) for c, word, _ in observable.without_patterns().terms if word))


def readout_cost(observable: PauliSum, confusion: Confusion) -> Cost:
    """The cost of measuring `corrected` instead of the observable, its words as circuits of their own."""
    return Cost([c for c, word, _ in corrected(observable, confusion).terms if word])


def mitigate_counts(
    counts: Mapping[str, float], confusion: Confusion, *, method: str = "least-squares"
) -> dict[str, float]:
    """Probabilities of the true outcomes from counts of measured ones.

    Args:
        counts: {"010": 5, ...}; the first bit is that of wire 0.
        confusion: as for `readout_mitigated`.
        method: "least-squares" finds the probabilities (at least 0, sum 1) whose confused ones come closest to the
            measured frequencies; "inverse" gives quasi-probabilities, unbiased, some of them negative.

    Raises:
        ArgumentError: no counts, more than 14 bits, or another method.
    """
    if method not in ("least-squares", "inverse"):
        raise ArgumentError(f"mitigate_counts: method is 'least-squares' or 'inverse', got {method!r}")
    lengths = {len(k) for k in counts}
    if len(lengths) != 1 or not 0 < (bits := lengths.pop()) <= MAX_COUNTED_WIRES:
        raise ArgumentError(
            f"mitigate_counts: outcomes of 1 to {MAX_COUNTED_WIRES} bits, all of the same length, got "
            f"{list(counts)[:3]}; beyond that correct observables instead"
        )
    measured = np.zeros(2**bits)
    for outcome, count in counts.items():
        measured[int(outcome, 2)] += count
    if not measured.sum() > 0 or measured.min() < 0:
        raise ArgumentError("mitigate_counts: counts are at least 0 and not all 0")
    known = confusions(confusion, range(bits))
    matrices: list[Array] = [known.get(w, np.eye(2)).T for w in range(bits)]  # measured from true
    frequencies = measured / measured.sum()
    found = _apply([np.asarray(np.linalg.inv(m), dtype=np.float64) for m in matrices], frequencies)
    if method == "least-squares":
        found = _nearest(matrices, frequencies, _onto_simplex(found))
    return {format(k, f"0{bits}b"): float(found[k]) for k in np.flatnonzero(np.abs(found) > 1e-12)}


def _apply(matrices: Sequence[Array], vector: Array) -> Array:
    """The tensor product of one matrix for each bit, applied."""
    out = vector.reshape((2,) * len(matrices))
    for k, m in enumerate(matrices):
        out = np.moveaxis(np.tensordot(m, out, axes=(1, k)), 0, k)
    return out.reshape(-1)


def _onto_simplex(vector: Array) -> Array:
    """The nearest probabilities (Smolin, Gambetta and Smith, PRL 108, 070502, 2012)."""
    falling = np.sort(vector)[::-1]
    over = (np.cumsum(falling) - 1) / np.arange(1, len(vector) + 1)
    return np.asarray(np.maximum(vector - over[np.flatnonzero(falling > over)[-1]], 0))


def _nearest(matrices: Sequence[Array], target: Array, start: Array) -> Array:
    """min |A p - target| over probabilities, by accelerated projected gradients (FISTA, with restarts)."""
    back = [m.T for m in matrices]
    length = 1 / np.prod([np.linalg.norm(m, 2) ** 2 for m in matrices])
    here, ahead, momentum = start, start, 1.0
    for _ in range(5000):
        after = _onto_simplex(ahead - length * _apply(back, _apply(matrices, ahead) - target))
        move = after - here
        if np.abs(move).max() < 1e-15:
            break
        if (ahead - after) @ move > 0:  # the momentum points uphill
            momentum, ahead = 1.0, after
        else:
            larger = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            ahead, momentum = after + (momentum - 1) / larger * move, larger
        here = after
    return here
