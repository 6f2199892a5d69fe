"""Pauli words as pairs of bit masks: the algebra that codes, decoders and tables share.

Owns: words <-> masks, commutation, products with their phase, linear algebra over GF(2). May not know: codes, circuits.

A word on n qubits is (x, z): letter q sits at bit n - 1 - q, as in a state's index; X has its bit in x, Z in z, Y in
both. Masks are Python ints or integer arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..pauli import check_word

Masks = tuple[int, int]
Ints = npt.NDArray[np.int64]


def masks(word: str) -> Masks:
    """The masks of a word.

    Raises:
        CircuitError: another letter than I, X, Y, Z.
    """
    x = z = 0
    for letter in check_word(word):
        x = x << 1 | (letter in "XY")
        z = z << 1 | (letter in "YZ")
    return x, z


def word(x: int, z: int, n: int) -> str:
    """The word of these masks on n qubits."""
    return "".join("IZXY"[2 * (int(x) >> b & 1) + (int(z) >> b & 1)] for b in range(n - 1, -1, -1))


def anticommute(a: tuple[Any, Any], b: tuple[Any, Any]) -> Any:
    """1 where two words anticommute, else 0; of ints or of arrays that broadcast."""
    return np.bitwise_count((a[0] & b[1]) ^ (a[1] & b[0])) & 1


def weight(x: Any, z: Any) -> Any:
    """On how many qubits a word is not the identity."""
    return np.bitwise_count(x | z)


def product(words: Sequence[Masks]) -> tuple[int, int, int]:
    """(x, z, power): the words' product, in order, is i^power times the word (x, z)."""
    x = z = power = 0
    for a, b in words:  # a word is i^{|x & z|} X^x Z^z
        power += (a & b).bit_count() + 2 * (z & a).bit_count()
        x, z = x ^ a, z ^ b
    return x, z, (power - (x & z).bit_count()) % 4


def rank(rows: Sequence[int]) -> int:
    """Of a matrix over GF(2) with these rows."""
    pivots: list[int] = []
    for row in rows:
        for pivot in pivots:
            row = min(row, row ^ pivot)
        if row:
            pivots.append(row)
    return len(pivots)


def solve(rows: Sequence[int], wanted: Sequence[int]) -> int:
    """One v with parity(row & v) = wanted for every row; the rows are independent."""
    pivots: list[tuple[int, int, int]] = []  # (leading bit, row, its parity)
    for row, value in zip(rows, wanted, strict=True):
        for lead, other, parity in pivots:
            if row & lead:
                row, value = row ^ other, value ^ parity
        lead = 1 << row.bit_length() - 1
        pivots = [(a, r ^ row, p ^ value) if r & lead else (a, r, p) for a, r, p in pivots]
        pivots.append((lead, row, value))
    return sum(lead for lead, _, parity in pivots if parity)
