"""`ReadoutErrors`: outcomes that are read wrongly, wire by wire.

Owns: the confusion of one wire's outcomes, and what it makes of observables, probabilities and sampled bits. May not
know: circuits, channels.

A[read, true] = P(read | true), columns add up to 1. A Pauli word is measured by reading every one of its wires in a
basis in which it is diagonal, so P becomes a P + b on each wire, whatever its letter.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentTypeError, CircuitError, GateMatrixError
from ..expressions import finite
from ..pauli import Key, PauliSum, check_wires
from ..simulator import Seed, generator
from .matrices import TOLERANCE

Array = npt.NDArray[np.float64]
Flips = tuple[float, float]
MAX_TERMS = 1 << 16


def flips(error: Any) -> Flips:
    """(P(read 1 | 0), P(read 0 | 1)) of a number for both, of the pair, or of the confusion matrix A[read, true].

    Raises:
        GateMatrixError: not probabilities, or columns that do not add up to 1; with the amount.
    """
    if isinstance(error, (int, float, np.integer, np.floating)):
        pair = (finite(error, "readout"),) * 2
    else:
        try:
            array = np.array(error, dtype=float)
        except (TypeError, ValueError):
            raise ArgumentTypeError("readout: a probability, a pair of them or a 2 x 2 matrix") from None
        if array.shape == (2, 2):
            over = array.sum(axis=0) - 1
            worst = float(over[np.abs(over).argmax()])
            if not abs(worst) <= TOLERANCE:
                raise GateMatrixError(f"readout: columns of A[read, true] add up to 1, got 1 {worst:+.3g}")
            array = array[[1, 0], [0, 1]]
        if array.shape != (2,):
            raise GateMatrixError(f"readout: a probability, a pair of them or a 2 x 2 matrix, got shape {array.shape}")
        pair = (finite(array[0], "readout"), finite(array[1], "readout"))
    for p in pair:
        if not 0 <= p <= 1:
            raise GateMatrixError(f"readout: probabilities are from 0 to 1, got {p:g} ({p - (p > 1):+.3g})")
    return pair


@dataclass(frozen=True)
class ReadoutErrors:
    """Confusion of every wire's outcomes.

    Args:
        rates: pairs (wire, (P(read 1 | 0), P(read 0 | 1))).
        default: the same for the wires that are not in `rates`.
    """

    rates: tuple[tuple[int, Flips], ...] = ()
    default: Flips = (0.0, 0.0)

    @classmethod
    def of(cls, errors: Mapping[int, Any], default: Any = 0.0) -> ReadoutErrors:
        """From wire -> a probability, a pair or a confusion matrix; see `flips`."""
        wires = check_wires(errors, "readout")
        return cls(tuple(sorted((w, flips(errors[w])) for w in wires)), flips(default))

    def __bool__(self) -> bool:
        """Whether there is any error."""
        return any(any(pair) for pair in (self.default, *(pair for _, pair in self.rates)))

    def flip_probabilities(self, wire: int) -> Flips:
        """(P(read 1 | 0), P(read 0 | 1)) of a wire."""
        return dict(self.rates).get(wire, self.default)

    def confusion(self, wire: int) -> Array:
        """(2, 2) A[read, true] of a wire."""
        up, down = self.flip_probabilities(wire)
        return np.array([[1 - up, down], [up, 1 - down]])

    def observable(self, observable: PauliSum) -> PauliSum:
        """What is estimated when this observable is measured with the errors: the same expectation value, exactly.

        Raises:
            CircuitError: more than 65,536 terms; errors that are not symmetric make 2^k of a word on k wires.
        """
        out: dict[Key, complex] = {}
        for c, word, pattern in observable:
            options: list[list[tuple[float, Any]]] = []  # per wire: (factor, what remains of it)
            for wire, letter in word:
                up, down = self.flip_probabilities(wire)
                options.append([(1 - up - down, (wire, letter)), (down - up, None)])
            for wire, bit in pattern:
                a = self.confusion(wire)[bit]
                options.append([(a[bit] - a[1 - bit], (wire, bit)), (a[1 - bit], None)])
            options = [[o for o in choices if o[0]] for choices in options]
            if np.prod([float(len(choices)) for choices in options]) + len(out) > MAX_TERMS:
                raise CircuitError(f"readout: an observable with errors has more than {MAX_TERMS:,} terms")
            for chosen in itertools.product(*options):
                kept = [item for _, item in chosen if item is not None]
                key = (
                    tuple((w, v) for w, v in kept if isinstance(v, str)),
                    tuple((w, v) for w, v in kept if not isinstance(v, str)),
                )
                out[key] = out.get(key, 0.0) + c * float(np.prod([f for f, _ in chosen]))
        return PauliSum(out)

    def probabilities(self, probabilities: npt.ArrayLike, wires: Sequence[int]) -> Array:
        """(..., 2^k) probabilities of what happens on `wires`, the first the most significant -> of what is read."""
        out = np.array(probabilities, dtype=float)
        shape, k = out.shape, len(wires)
        if not shape or shape[-1] != 1 << k:
            raise CircuitError(f"readout: {k} wires have {1 << k} probabilities, got shape {shape}")
        for position, wire in enumerate(wires):
            view = out.reshape(-1, 1 << position, 2, 1 << (k - 1 - position))
            out = np.einsum("rt,satb->sarb", self.confusion(wire), view)
        return out.reshape(shape)

    def sample(self, bits: npt.ArrayLike, wires: Sequence[int], seed: Seed = None) -> npt.NDArray[np.uint8]:
        """(..., k) bits that happened on `wires` -> bits that are read; `seed` is an int or a numpy Generator."""
        true = np.array(bits, dtype=np.uint8)
        pairs = np.array([self.flip_probabilities(w) for w in wires]).reshape(-1, 2)
        if true.shape[-1:] != (len(pairs),):
            raise CircuitError(f"readout: {len(pairs)} wires have as many bits, got shape {true.shape}")
        chance = np.where(true == 0, pairs[:, 0], pairs[:, 1])
        return true ^ (generator(seed).random(true.shape) < chance).astype(np.uint8)
