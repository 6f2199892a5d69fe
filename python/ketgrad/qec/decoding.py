"""Decoders: from a syndrome to a correction, or from detectors to the logical outcome.

Owns: all Pauli words of a code with their syndromes and logical effects; the lookup decoder; PyMatching's face. May not
know: circuits, states.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, KetgradError, ParameterError
from .codes import Code, check_code
from .words import Ints, anticommute, masks, weight, word

Array = npt.NDArray[np.float64]
Bits = npt.NDArray[np.bool_]

MISSING = "this needs stim and pymatching, of which one is missing; pip install 'ketgrad[qec]'"
MAX_QUBITS = 11  # 4^11 = 4.2 million words, a few hundred MiB


class Words:
    """All 4^n Pauli words of a code's qubits: syndrome, logical effect, weight.

    Attributes:
        x, z: masks, (4^n,).
        syndrome: (4^n,); bit n - k - 1 - i where stabilizer i reports -1.
        effect: (4^n,), 2 k bits; a word that commutes with all stabilizers is the logical word (a, b) of these bits,
            a = effect >> k, b = effect & (2^k - 1), times stabilizers; another one is that, times `recovery`.
        weight: (4^n,) qubits it acts on.
        recovery: (2^(n - k), 2) masks: the product of destabilizers that a syndrome names.

    Raises:
        ArgumentError: more than 11 qubits.
    """

    def __init__(self, code: Code) -> None:
        if check_code(code).n > MAX_QUBITS:
            raise ArgumentError(f"{code.name}: all words of at most {MAX_QUBITS} qubits are enumerated, got {code.n}")
        self.code = code
        index = np.arange(4**code.n, dtype=np.int64)
        self.x, self.z = index >> code.n, index & (1 << code.n) - 1
        self.weight = weight(self.x, self.z).astype(np.int64)
        self.syndrome = self._bits(code.stabilizers)
        self.effect = self._bits((*code.logical_z, *code.logical_x))  # an X shows in what anticommutes with Z
        self.recovery = np.zeros((2 ** len(code.stabilizers), 2), dtype=np.int64)
        for i, d in enumerate(code.destabilizers):
            hit = np.arange(len(self.recovery)) >> len(code.stabilizers) - 1 - i & 1 == 1
            self.recovery[hit] ^= masks(d)

    def _bits(self, words: tuple[str, ...]) -> Ints:
        out = np.zeros(len(self.x), dtype=np.int64)
        for w in words:
            out = out << 1 | anticommute((self.x, self.z), masks(w))
        return out

    def probabilities(self, channel: Any) -> Array:
        """(4^n,) of every word under independent noise on each qubit.

        Args:
            channel: probabilities of I, X, Y, Z, (4,) for all qubits or (n, 4); or a `noise.Channel` of Paulis.
        """
        table = pauli_probabilities(channel, self.code.n)
        out = np.ones(len(self.x))
        for q in range(self.code.n):
            bit = self.code.n - 1 - q
            letter = np.array([0, 3, 1, 2])[2 * (self.x >> bit & 1) + (self.z >> bit & 1)]
            out *= table[q, letter]
        return out


def pauli_probabilities(channel: Any, n: int) -> Array:
    """(n, 4) probabilities of I, X, Y, Z on each of n qubits.

    Raises:
        ParameterError: negative, not of sum 1, or another shape.
        ArgumentError: a channel that is no mixture of Paulis.
    """
    if hasattr(channel, "pauli_probabilities"):
        if not channel.is_pauli:
            raise ArgumentError(f"a Pauli channel is wanted, {channel!r} is none; take its twirled()")
        channel = list(channel.pauli_probabilities.values())
    table = np.asarray(channel, dtype=float)
    if table.shape == (4,):
        table = np.broadcast_to(table, (n, 4))
    if table.shape != (n, 4):
        raise ParameterError(f"probabilities of I, X, Y, Z have shape (4,) or ({n}, 4), got {table.shape}")
    least, off = float(table.min()), float(np.abs(table.sum(axis=1) - 1).max())
    if not least >= 0 or not off < 1e-9:
        raise ParameterError(
            f"probabilities are at least 0 and sum to 1, got {least:g} as the least and a sum off by {off:g}"
        )
    return table


class LookupDecoder:
    """The best correction of every syndrome, by enumeration.

    Args:
        code: of at most 11 qubits.
        channel: the noise, as for `Words.probabilities`: then the correction belongs to the most likely logical effect
            (maximum likelihood). Without it, it is a word of least weight; where several effects have one, of that
            which has more such words, then more words of the next weight, as is most likely for rare errors, and
            then of that whose word comes first in the order of (x, z).

    Attributes:
        corrections: (2^(n - k), 2) masks (x, z) by syndrome.
        effects: (2^(n - k),) logical effect of each correction, as in `Words.effect`.
    """

    def __init__(self, code: Code, channel: Any = None) -> None:
        self.words = words = Words(code)
        syndromes, effects = 2 ** len(code.stabilizers), 4**code.k
        cell = words.syndrome * effects + words.effect
        order = np.lexsort((words.weight, cell))  # of each syndrome and effect the word of least weight comes first
        cells, first = np.unique(cell[order], return_index=True)
        lightest = order[first].reshape(syndromes, effects)
        assert len(cells) == syndromes * effects
        if channel is None:
            weights = code.n + 1
            counts = np.bincount(cell * weights + words.weight, minlength=len(cells) * weights).reshape(-1, weights)
            order = np.lexsort((-lightest.reshape(-1), *counts.T[::-1]))
            score = np.argsort(order).reshape(syndromes, effects).astype(float)
        else:
            likely = np.bincount(cell, words.probabilities(channel), syndromes * effects)
            score = likely.reshape(syndromes, effects)
        self.effects = score.argmax(axis=1)
        chosen = lightest[np.arange(syndromes), self.effects]
        self.corrections = np.stack([words.x[chosen], words.z[chosen]], axis=1)

    @property
    def code(self) -> Code:
        """What it corrects."""
        return self.words.code

    def correction(self, syndrome: str) -> str:
        """The word that corrects a syndrome, one bit for each stabilizer, 1 where it reports -1.

        Raises:
            ArgumentError: another length, or other bits.
        """
        length = len(self.code.stabilizers)
        if len(syndrome) != length or set(syndrome) - {"0", "1"}:
            raise ArgumentError(f"a syndrome of {self.code.name} has {length} bits 0 or 1, got {syndrome!r}")
        x, z = self.corrections[int(syndrome, 2)]
        return word(x, z, self.code.n)

    def failures(self) -> Ints:
        """(4^n,) the logical word that is left of each error after its correction; 0 where it was corrected."""
        return np.asarray(self.words.effect ^ self.effects[self.words.syndrome])


class MatchingDecoder:
    """Minimum-weight perfect matching (PyMatching) on the detector error model of a Stim circuit.

    Args:
        circuit: a `stim.Circuit` or its text; its errors must flip at most two detectors each, or be products of such.

    Raises:
        KetgradError: stim or pymatching is not installed.
    """

    def __init__(self, circuit: Any) -> None:
        try:
            import pymatching
        except ImportError:
            raise KetgradError(MISSING) from None
        self.circuit = stim_circuit(circuit)
        self.matching = pymatching.Matching.from_detector_error_model(
            self.circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)
        )

    def decode(self, detectors: Bits) -> Bits:
        """(N, O) predicted flips of the observables from (N, D) detectors."""
        return np.asarray(self.matching.decode_batch(detectors), dtype=bool)


def stim_circuit(circuit: Any) -> Any:
    """A `stim.Circuit`, from its text or from what is one already.

    Raises:
        KetgradError: stim is not installed.
    """
    if not isinstance(circuit, str):
        return circuit
    try:
        import stim
    except ImportError:
        raise KetgradError(MISSING) from None
    return stim.Circuit(circuit)
