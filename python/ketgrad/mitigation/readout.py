"""Readout mitigation: the confusion of measured bits is inverted, on observables or on counts.

Owns: the inversion and the nearest distribution. May not know: how circuits are run.

Errors are those of `ketgrad.noise.ReadoutErrors`: each wire is misread by itself. After Bravyi et al., PRA 103, 042605
(2021), and Smolin, Gambetta and Smith, PRL 108, 070502 (2012).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit
from ..errors import ArgumentError, ArgumentTypeError, GateMatrixError
from ..noise.readout import ReadoutErrors, flips
from ..pauli import I, PauliSum, X, Y, Z
from .combination import Linear, Mitigated
from .cost import Cost
from .member import Member
from .noisy import Compile, Noise, Observables, as_tuple, compiled, with_noise

Array = npt.NDArray[np.float64]
Errors: TypeAlias = ReadoutErrors | Mapping[int, Any] | npt.ArrayLike
MAX_COUNTED_WIRES = 14
_LETTERS = {"X": X, "Y": Y, "Z": Z}


def readout_errors(errors: Errors) -> ReadoutErrors:
    """From `ReadoutErrors`; a dictionary by wire, other wires without errors; or a probability, pair or matrix for all.

    Raises:
        GateMatrixError: not probabilities; with the amount.
    """
    if isinstance(errors, ReadoutErrors):
        return errors
    return ReadoutErrors.of(errors) if isinstance(errors, Mapping) else ReadoutErrors(default=flips(errors))


def _affine(errors: ReadoutErrors, wire: int) -> tuple[float, float]:
    """a and b of <Z read> = a <Z> + b."""
    up, down = errors.flip_probabilities(wire)
    if abs(1 - up - down) < 1e-9:
        raise GateMatrixError(
            f"readout: what is read from wire {wire} says nothing about it: P(1 read | 0) = {up:g} and "
            f"P(0 read | 1) = {down:g} add up to 1"
        )
    return 1 - up - down, down - up


def corrected(observable: PauliSum, errors: Errors) -> PauliSum:
    """The observable whose value, read with these errors, is that of the given one without: P -> (P - b) / a.

    Raises:
        GateMatrixError: errors that cannot be undone.
    """
    if not isinstance(observable, PauliSum):
        raise ArgumentTypeError(f"readout: an observable such as kg.Z(0), got {type(observable).__name__}")
    known, out = readout_errors(errors), PauliSum()
    for coefficient, word, _ in observable.without_patterns().terms:
        factors = []
        for wire, letter in word:
            a, b = _affine(known, wire)
            factors.append((_LETTERS[letter](wire) - b) / a)
        out = out + coefficient * reduce(lambda p, q: p @ q, factors, I())
    return out.simplify()


def readout_mitigated(
    circuit: Circuit,
    observables: Observables,
    errors: Errors | None = None,
    noise: Noise = None,
    *,
    compile: Compile | None = None,
    **options: Any,
) -> Mitigated:
    """A model whose observables undo the errors of the readout: unbiased where these are known.

    The cost is the growth of the coefficients: 1 / (1 - e0 - e1) or a little more for each wire of a word.

    Args:
        circuit: with channels, or without and `noise`.
        errors: what is believed of the readout: `noise.ReadoutErrors`, a dictionary by wire, or for all wires a
            probability, a pair (P(1 read | 0), P(0 read | 1)) or a matrix [read, true]. Default: those of `noise`.
        noise: a `NoiseModel`, whose errors of the readout are those that happen; or a function circuit -> circuit with
            channels. Without errors of its own, those that are believed happen.
        compile, options: as for `zne`; `readout` are the errors that happen.

    Raises:
        GateMatrixError: errors that cannot be undone.
        ArgumentError: no errors to undo.
    """
    what, happening = as_tuple(observables), getattr(noise, "readout", None)
    if errors is None and not happening:
        raise ArgumentError("readout_mitigated: give the errors to undo, or a noise model that has some")
    believed = happening if errors is None else readout_errors(errors)
    assert isinstance(believed, ReadoutErrors)
    measured = [corrected(o, believed) for o in what]
    options = {"readout": believed, **options} if not happening else options
    member = Member(compiled(with_noise(circuit, noise), measured, noise, compile, options))
    growth = max(_size(m) / max(_size(o), 1e-300) for o, m in zip(what, measured, strict=True))
    out = Mitigated(circuit, what, [member], Linear([1.0]), f"readout, coefficients grow {growth:.4g} times")
    out.growth = growth
    return out


def _size(observable: PauliSum) -> float:
    return float(sum(abs(c) for c, word, _ in observable.without_patterns().terms if word))


def readout_cost(observable: PauliSum, errors: Errors) -> Cost:
    """The cost of measuring `corrected` instead of the observable, its words as circuits of their own."""
    return Cost([c for c, word, _ in corrected(observable, errors).terms if word])


def mitigate_counts(counts: Mapping[str, float], errors: Errors, *, method: str = "least-squares") -> dict[str, float]:
    """Probabilities of the true outcomes from counts of measured ones.

    Args:
        counts: {"010": 5, ...}; the first bit is that of wire 0.
        errors: as for `readout_mitigated`.
        method: "least-squares" finds the probabilities (at least 0, sum 1) whose confused ones come closest to the
            measured frequencies; "inverse" gives quasi-probabilities, unbiased, some of them negative.

    Raises:
        ArgumentError: no counts, more than 14 bits, or another method.
    """
    if method not in ("least-squares", "inverse"):
        raise ArgumentError(f"mitigate_counts: method is 'least-squares' or 'inverse', got {method!r}")
    if not isinstance(counts, Mapping) or not all(isinstance(k, str) for k in counts):
        raise ArgumentTypeError(f'mitigate_counts: counts are {{"010": 5, ...}}, got {counts!r:.60}')
    lengths = {len(k) for k in counts}
    if len(lengths) != 1 or not 0 < (bits := lengths.pop()) <= MAX_COUNTED_WIRES:
        raise ArgumentError(
            f"mitigate_counts: outcomes of 1 to {MAX_COUNTED_WIRES} bits, all of the same length, got "
            f"{list(counts)[:3]}; beyond that correct observables instead"
        )
    measured = np.zeros(2**bits)
    for outcome, count in counts.items():
        if set(outcome) - {"0", "1"}:
            raise ArgumentError(f"mitigate_counts: outcomes are bits, got {outcome!r}")
        measured[int(outcome, 2)] += count
    if not measured.sum() > 0 or measured.min() < 0:
        raise ArgumentError("mitigate_counts: counts are at least 0 and not all 0")
    known = readout_errors(errors)
    matrices = [known.confusion(w) for w in range(bits)]
    frequencies = measured / measured.sum()
    for wire in range(bits):
        _affine(known, wire)  # refuses what cannot be inverted
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
    """The nearest probabilities."""
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
