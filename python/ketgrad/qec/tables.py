"""Exact logical error rates of small codes for one round with a perfect syndrome.

Owns: enumeration of all Pauli errors (weight enumerators, so all error rates at once), post-selection, thresholds, and
coherent noise through the state engine. May not know: noisy syndromes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit
from ..errors import ArgumentError, ArgumentTypeError, ParameterError
from ..model import compile_circuit
from .codes import Code, check_code
from .decoding import LookupDecoder, Words
from .encoders import decoder_circuit, encoder
from .words import Ints

Array = npt.NDArray[np.float64]
RARE = 1e-3  # the error rate at which the likeliest correction of rare phase flips is chosen


def _decoder(code: Code, decoder: Any, channel: Any = None) -> LookupDecoder:
    """The decoder given, or the best one for a channel."""
    if decoder is None:
        return LookupDecoder(code, channel)
    if not isinstance(decoder, LookupDecoder):
        raise ArgumentTypeError(f"a perfect syndrome is decoded by a LookupDecoder, got {type(decoder).__name__}")
    if decoder.code != code:
        raise ArgumentError(f"a decoder of {decoder.code} does not decode {code}")
    return decoder


def _rates(counts: Ints, p: npt.ArrayLike) -> Array:
    """Probability of so many words of each weight under depolarizing noise, of the shape of p."""
    rate = np.asarray(p, dtype=float)
    if not ((rate >= 0) & (rate <= 1)).all():
        raise ParameterError(f"a probability is between 0 and 1, got {p!r}")
    w, n = np.arange(len(counts)), len(counts) - 1
    return np.asarray(np.sum(counts * (rate[..., None] / 3) ** w * (1 - rate[..., None]) ** (n - w), axis=-1))


@dataclass(frozen=True, eq=False)
class Correction:
    """A code under depolarizing noise (X, Y, Z with p/3 each on every qubit), with perfect syndromes and a decoder.

    Attributes:
        code: what is corrected.
        failures: (n + 1,) how many errors of each weight leave a logical error.
    """

    code: Code
    failures: Ints

    @classmethod
    def of(cls, code: Code, decoder: LookupDecoder | None = None) -> Correction:
        """By enumeration of the 4^n errors; with the decoder of least weight where none is given."""
        decoder = _decoder(code, decoder)
        failed = decoder.failures() != 0
        return cls(code, np.bincount(decoder.words.weight[failed], minlength=code.n + 1))

    def logical_error(self, p: npt.ArrayLike) -> Array:
        """The probability of any logical error, of the shape of p."""
        return _rates(self.failures, p)

    @property
    def leading(self) -> tuple[float, int]:
        """(c, t): the logical error is c p^t for small p."""
        t = int(np.flatnonzero(self.failures)[0])
        return float(self.failures[t]) / 3.0**t, t

    def pseudo_threshold(self, factor: float = 1.0) -> float:
        """The least p > 0 at which the logical error reaches `factor` * p, to 1e-12.

        Raises:
            ArgumentError: it is above from the start, or stays below up to p = 3/4.
        """
        return crossing(lambda p: float(self.logical_error(p)) - factor * p)


def crossing(difference: Callable[[float], float], most: float = 0.75) -> float:
    """The least p at which a function that is negative for small p becomes positive.

    Raises:
        ArgumentError: it never does below `most`, or from the start.
    """
    grid = np.geomspace(1e-6, most, 400)
    above = np.flatnonzero([difference(p) > 0 for p in grid])
    if not above.size or above[0] == 0:
        raise ArgumentError(f"no crossing between p = 1e-6 and {most}; is the code any better than no code?")
    low, high = grid[above[0] - 1], grid[above[0]]
    while high - low > 1e-13:
        middle = (low + high) / 2
        low, high = (low, middle) if difference(middle) > 0 else (middle, high)
    return float(high)


@dataclass(frozen=True, eq=False)
class Detection:
    """A code under depolarizing noise where every detected error is thrown away.

    Attributes:
        code: what detects.
        accepted: (n + 1,) how many errors of each weight go undetected, among them no error at all.
        harmful: (n + 1,) those of them that are logical errors.
    """

    code: Code
    accepted: Ints
    harmful: Ints

    @classmethod
    def of(cls, code: Code) -> Detection:
        """By enumeration of the 4^n errors."""
        words = Words(code)
        silent = words.syndrome == 0
        counts = [
            np.bincount(words.weight[which], minlength=code.n + 1) for which in (silent, silent & (words.effect != 0))
        ]
        return cls(code, *counts)

    def acceptance(self, p: npt.ArrayLike) -> Array:
        """The probability that nothing is detected."""
        return _rates(self.accepted, p)

    def logical_error(self, p: npt.ArrayLike) -> Array:
        """The probability of a logical error where nothing was detected."""
        return np.asarray(_rates(self.harmful, p) / self.acceptance(p))


def logical_channel(code: Code, noise: Circuit, inputs: Any = None, decoder: LookupDecoder | None = None) -> Array:
    """What noise on the data, a perfect round and the decoder's correction do to the logical qubits: Pauli errors.

    The logical qubits start entangled with k more; the noise acts; the inverse of the encoder turns syndromes into
    bits. Every block of the final state then is the logical operation of one syndrome, coherent as it may be, of which
    the squared overlap with a logical Pauli is the probability of that error, summed over the syndromes.

    Args:
        code: of n qubits; the state has n + k.
        noise: a circuit on n wires without weights; its inputs are, say, the angle of an over-rotation.
        inputs: (F,) or (B, F) inputs of the noise.
        decoder: default: of least weight.

    Returns:
        (4^k,) or (B, 4^k): probabilities of the logical words by effect a * 2^k + b, X^a Z^b; number 0 is no error. For
        one logical qubit I, Z, X, Y.

    Raises:
        ArgumentError: noise on another number of wires, or with weights.
    """
    check_code(code)
    if not isinstance(noise, Circuit):
        raise ArgumentTypeError(f"logical_channel: noise is a Circuit, got {type(noise).__name__}")
    if noise.n_wires != code.n or noise.n_weights:
        raise ArgumentError(
            f"{code.name}: the noise is a circuit on {code.n} wires without weights, got {noise.n_wires} wires and "
            f"{noise.n_weights} weights"
        )
    decoder, n, k = _decoder(code, decoder), code.n, code.k
    circuit = noise.copy()
    circuit.n_wires, circuit.gates = n + k, []
    for j in range(k):
        circuit.h(n + j).cx(n + j, j)
    for part in (encoder(code), noise, decoder_circuit(code)):
        circuit.gates += part.gates
    state = compile_circuit(circuit).state(None, inputs)
    blocks = state.reshape(-1, 2**k, 2 ** (n - k), 2**k)  # logical, syndrome, partner
    out = np.zeros((len(blocks), 4**k))
    index = np.arange(2**k)
    for effect in range(4**k):
        a, b = effect >> k, effect & 2**k - 1
        sign = 1 - 2.0 * (np.bitwise_count(b & index) & 1)  # X^a Z^b takes |i> to (-1)^(b i) |i ^ a>
        overlaps = np.einsum("rsi,i->rs", blocks[:, index ^ a, :, index].transpose(1, 2, 0), sign) / 2 ** (k / 2)
        left = effect ^ decoder.effects  # of this operation, after the correction
        np.add.at(out.T, left, (np.abs(overlaps) ** 2).T)
    return out if np.ndim(inputs) == 2 else out[0]


def coherent_z(code: Code, theta: npt.ArrayLike, decoder: LookupDecoder | None = None) -> tuple[Array, Array]:
    """Logical error of e^{i theta Z} on every qubit, and of its Pauli twirl (Z with probability sin^2 theta).

    Args:
        theta: radians, any shape.
        decoder: default: of maximum likelihood for rare phase flips.

    Returns:
        The probabilities of any logical error, coherent and twirled, of the shape of theta.
    """
    angles = np.asarray(theta, dtype=float)
    decoder = _decoder(code, decoder, (1 - RARE, 0, 0, RARE))
    noise = Circuit(check_code(code).n)
    angle = noise.inputs(1)[0]
    for q in range(code.n):
        noise.rz(-2 * angle, q)
    channel = logical_channel(code, noise, angles.reshape(-1, 1), decoder)
    words = decoder.words
    failed = (words.x == 0) & (decoder.failures() != 0)
    counts = np.bincount(words.weight[failed], minlength=code.n + 1)
    p, w = np.sin(angles[..., None]) ** 2, np.arange(code.n + 1)
    twirled = np.sum(counts * p**w * (1 - p) ** (code.n - w), axis=-1)
    return channel[:, 1:].sum(axis=1).reshape(angles.shape), np.asarray(twirled)
