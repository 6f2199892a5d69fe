"""exp(-i t H) of a sum whose terms commute, as a product of gates.

Owns: which terms commute, the values of a diagonal sum, and which of the two ways is taken. May not know: circuits,
parameters, backends. What grows with pairs of terms or with 2^k is vectorised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import CircuitError
from .pauli import PauliSum

# A diagonal sum of more terms than this evolves by a table: a pass, whatever the number of terms. Rotations of Zs are
# one multiplication too, but its factors take time for each (bench/pauli_sums.py)
TABLE_TERMS = 256
TABLE_WIRES = 24  # beyond it the table takes more than 128 MiB
TABLE_VALUES = 4096  # beyond it their phases take as much memory as a state, and leave the cache
CHUNK = 1 << 20  # pairs of terms looked at together


class EvolutionStep(NamedTuple):
    """One gate of exp(-i t H): its angle is `scale` times t."""

    gate: str
    scale: float
    wires: tuple[int, ...]
    controls: tuple[int, ...]
    control_values: tuple[int, ...]
    extra: Any


def evolution(observable: PauliSum) -> list[EvolutionStep]:
    """The gates of exp(-i t H), in any order.

    Raises:
        CircuitError: terms that do not commute, or a coefficient that is not real.
    """
    clash = first_clash(observable)
    if clash is not None:
        raise CircuitError(f"evolve: terms must commute, {clash[0]} and {clash[1]} do not; evolve by them in turn")
    wires, terms = observable.wires, [term for term in observable.terms if term[0]]
    if len(terms) > TABLE_TERMS and len(wires) <= TABLE_WIRES and is_diagonal(observable):
        values = diagonal(observable, wires)
        if len(np.unique(values)) <= TABLE_VALUES:
            return [EvolutionStep("exp_diagonal", -1.0, wires, (), (), values)]
    steps = []
    for c, word, pattern in terms:
        held, bits = tuple(w for w, _ in pattern), tuple(b for _, b in pattern)
        if word:
            letters = "".join(letter for _, letter in word)
            steps.append(EvolutionStep("pauli_rot", 2 * c, tuple(w for w, _ in word), held, bits, letters))
        else:
            steps.append(EvolutionStep("gphase", -c, (), held, bits, None))
    return steps


def is_diagonal(observable: PauliSum) -> bool:
    """Whether every term is made of Zs and projectors."""
    return all(letter == "Z" for _, word, _ in observable.terms for _, letter in word)


def first_clash(observable: PauliSum) -> tuple[PauliSum, PauliSum] | None:
    """Two terms, without their coefficients, that do not commute; None: all do."""
    if is_diagonal(observable):
        return None
    keys = [(word, pattern) for _, word, pattern in observable.terms]
    masks = np.zeros((4, len(keys)), dtype=np.uint64)  # X or Y, Z or Y, pattern, its bits; by wire
    for row, (word, pattern) in zip(masks.T, keys, strict=True):
        row[0] = sum(1 << w for w, letter in word if letter in "XY")
        row[1] = sum(1 << w for w, letter in word if letter in "YZ")
        row[2] = sum(1 << w for w, _ in pattern)
        row[3] = sum(bit << w for w, bit in pattern)
    x, z, held, bits = masks
    step = max(1, CHUNK // len(keys))
    for start in range(0, len(keys), step):
        some = slice(start, start + step)
        xs, zs, helds, bitss = (m[some, None] for m in masks)
        apart = (helds & held & (bitss ^ bits)) != 0  # one holds where the other does not
        odd = (np.bitwise_count(xs & z) + np.bitwise_count(zs & x)) % 2 == 1
        touched = (xs & held | helds & x) != 0  # one flips what the other looks at: multiply them
        for i, j in np.argwhere(odd & ~apart | touched):
            a, b = (PauliSum({keys[k]: 1.0}) for k in (start + int(i), int(j)))
            if a @ b != b @ a:
                return a, b
    return None


def diagonal(observable: PauliSum, wires: Sequence[int]) -> npt.NDArray[np.float64]:
    """The 2^k values of a diagonal sum on `wires`, the first the most significant bit; nobody can write to them.

    Those that agree to 13 digits of the largest are the same number, so that what is equal but for rounding is equal.
    """
    place = {w: k for k, w in enumerate(wires)}
    values = np.zeros(2 ** len(place))
    tensor = values.reshape((2,) * len(place))
    terms = observable.terms
    for c, word, pattern in terms:
        if not pattern:
            tensor[tuple(int(w in dict(word)) for w in wires)] += c
    for axis in range(len(place)):  # Walsh-Hadamard: coefficients of words to values
        pairs = values.reshape(2**axis, 2, -1)
        pairs[:] = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1)
    for c, word, pattern in terms:
        if pattern:
            held = dict(pattern)
            signs = np.ones(())
            for w in wires:
                if w not in held:
                    signs = np.multiply.outer(signs, [1.0, -1.0] if (w, "Z") in word else [1.0, 1.0])
            tensor[tuple(held.get(w, slice(None)) for w in wires)] += c * signs
    largest = float(np.abs(values).max())
    if largest:
        _, first, group = np.unique(np.round(values / largest, 13), return_index=True, return_inverse=True)
        values = values[first][group]
    return np.frombuffer(values.tobytes())
