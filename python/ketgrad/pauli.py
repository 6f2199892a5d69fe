"""Pauli words and observables: the vocabulary, and pure algebra on it.

Owns: `PauliSum` (any real combination of Pauli words), projectors and small Hermitian matrices as such sums,
products and squares. May not know: bits, opcodes, circuits, backends.

A term is a coefficient, a word and a pattern: coefficient * (word on some wires) * |pattern><pattern| on others.
Patterns keep a projector one term instead of 2^k words.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ArgumentTypeError, CircuitError, GateMatrixError, WireError

PAULI_MATRICES = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1.0 + 0j, -1.0]),
}

Word = tuple[tuple[int, str], ...]  # ((wire, letter), ...) by ascending wire, no identities
Pattern = tuple[tuple[int, int], ...]  # ((wire, bit), ...) by ascending wire
Key = tuple[Word, Pattern]

MAX_WIRES = 62  # 2^62 amplitudes still count in a signed 64-bit integer
MAX_MATRIX_WIRES = 14  # 2^14 x 2^14 complex numbers are 4 GiB
MAX_FLIPPED_WIRES = 10  # 2^10 words for one product of two terms
MAX_HERMITIAN_WIRES = 6  # 4^6 = 4096 words; beyond it a matrix costs more than the state it measures

_PRODUCT = {
    ("X", "Y"): (1j, "Z"),
    ("Y", "X"): (-1j, "Z"),
    ("Y", "Z"): (1j, "X"),
    ("Z", "Y"): (-1j, "X"),
    ("Z", "X"): (1j, "Y"),
    ("X", "Z"): (-1j, "Y"),
}


def word_matrix(word: str) -> npt.NDArray[np.complex128]:
    """The 2^k x 2^k matrix of a word such as "XZ", its first letter on the most significant bit."""
    out = np.eye(1, dtype=complex)
    for letter in word:
        out = np.kron(out, PAULI_MATRICES[letter])
    return out


def check_word(word: Any, length: int | None = None) -> str:
    """`word` as a string of I, X, Y, Z of the wanted length.

    Raises:
        CircuitError: another letter or length.
    """
    if not isinstance(word, str):
        raise ArgumentTypeError(f"a Pauli word is a string of I, X, Y and Z, got {type(word).__name__}")
    bad = sorted(set(word) - set("IXYZ"))
    if bad:
        raise CircuitError(f"a Pauli word has only the letters I, X, Y and Z, got {word!r} with {bad[0]!r}")
    if length is not None and len(word) != length:
        raise CircuitError(f"Pauli word {word!r} has {len(word)} letters for {length} wires")
    return word


def check_wires(wires: Any, what: str, n_wires: int | None = None) -> tuple[int, ...]:
    """`wires` as distinct ints from 0, and below `n_wires` when given.

    Raises:
        WireError: not integers, negative, out of range, or repeated.
        ArgumentTypeError: not a sequence.
    """
    try:
        items = iter(wires)
    except TypeError:
        raise ArgumentTypeError(f"{what}: wires are a sequence of integers, got {wires!r}") from None
    out: list[int] = []
    for w in items:
        if len(out) == MAX_WIRES:
            raise WireError(f"{what}: at most {MAX_WIRES} wires, got more")
        if isinstance(w, (bool, np.bool_)) or not isinstance(w, (int, np.integer)):
            raise WireError(f"{what}: wires are integers, got {w!r}")
        if w < 0:
            raise WireError(f"{what}: wires start at 0, got {int(w)}")
        if n_wires is not None and w >= n_wires:
            raise WireError(f"{what}: wire {int(w)} is out of range for {n_wires} wires (allowed 0..{n_wires - 1})")
        out.append(int(w))
    if len(set(out)) != len(out):
        raise WireError(f"{what}: wires must be distinct, got {tuple(out)}")
    return tuple(out)


def _multiply_words(a: Word, b: Word) -> tuple[complex, Word]:
    phase: complex = 1.0
    letters = dict(a)
    for wire, letter in b:
        mine = letters.get(wire)
        if mine is None:
            letters[wire] = letter
        elif mine == letter:
            del letters[wire]
        else:
            factor, letters[wire] = _PRODUCT[mine, letter]
            phase *= factor
    return phase, tuple(sorted(letters.items()))


def _multiply(a: Key, b: Key) -> Iterator[tuple[Key, complex]]:
    """The product of two terms of coefficient 1. Projectors stay patterns, except under an X or Y of the other term."""
    bits: dict[int, int] = dict(a[1])
    if any(bits.setdefault(wire, bit) != bit for wire, bit in b[1]):
        return  # |0><0| times |1><1|
    pairs = ((a[0], dict(b[1])), (b[0], dict(a[1])))
    flipped = sorted(w for word, pattern in pairs for w, c in word if c != "Z" and w in pattern)
    if len(flipped) > MAX_FLIPPED_WIRES:
        raise CircuitError(f"a projector times X or Y on more than {MAX_FLIPPED_WIRES} of its wires has too many terms")
    kept = {w: bits[w] for w in sorted(bits) if w not in flipped}
    for chosen in itertools.product((False, True), repeat=len(flipped)):  # |b><b| = (1 + (-1)^b Z) / 2
        letters = [(w, "Z") for w, take in zip(flipped, chosen, strict=True) if take]
        sign = (-1.0) ** sum(bits[w] for w, _ in letters) / 2 ** len(flipped)
        from_b, from_a = (tuple((w, c) for w, c in letters if w in pattern) for _, pattern in pairs)
        first, left = _multiply_words(a[0], from_a)
        second, right = _multiply_words(from_b, b[0])
        third, word = _multiply_words(left, right)
        sign *= (-1.0) ** sum(kept.get(w, 0) for w, _ in word)  # a Z where the pattern says which
        yield (tuple((w, c) for w, c in word if w not in kept), tuple(kept.items())), sign * first * second * third


class PauliSum:
    """A real linear combination of Pauli words and projectors, the only kind of observable ketgrad measures.

    Build one with `X(w)`, `Y(w)`, `Z(w)`, `I()`, `Projector`, `Hermitian` or `PauliSum.from_words`, and
    combine them with `@` (product), `+`, `-` and real factors: `0.5 * Z(0) @ Z(1) - X(2)`.
    """

    __slots__ = ("_terms",)

    def __init__(self, terms: Mapping[Key, complex] | None = None) -> None:
        if terms is not None and any(not isinstance(key, tuple) or len(key) != 2 for key in terms):
            raise ArgumentTypeError(
                "a PauliSum is built with kg.X, kg.Y, kg.Z, kg.Projector, kg.Hermitian or kg.PauliSum.from_words, "
                "as in kg.PauliSum.from_words({'ZZ': 0.5})"
            )
        self._terms: dict[Key, complex] = dict(terms or {})

    @classmethod
    def from_words(
        cls, words: Iterable[tuple[float, str]] | Mapping[str, float], wires: Sequence[int] | None = None
    ) -> PauliSum:
        """A sum from (coefficient, word) pairs or {word: coefficient}; letter k acts on `wires[k]`, or on wire k."""
        terms: dict[Key, complex] = {}
        for coefficient, word in ((c, w) for w, c in words.items()) if isinstance(words, Mapping) else words:
            check_word(word)
            where = range(len(word)) if wires is None else check_wires(wires, "PauliSum")
            if len(where) != len(word):
                raise CircuitError(f"Pauli word {word!r} has {len(word)} letters for {len(where)} wires")
            key = (tuple(sorted((w, c) for w, c in zip(where, word, strict=True) if c != "I")), ())
            terms[key] = terms.get(key, 0.0) + _real(coefficient)
        return cls(terms)

    @property
    def terms(self) -> tuple[tuple[float, Word, Pattern], ...]:
        """(coefficient, word, pattern) of every term, in the order they were added.

        Raises:
            CircuitError: a coefficient is not real, so the sum is not Hermitian.
        """
        out = []
        for (word, pattern), c in self._terms.items():
            if abs(c.imag) > 1e-12 * max(1.0, abs(c)):
                raise CircuitError(f"an observable is Hermitian, its coefficients are real; got {c} for {_name(word)}")
            out.append((float(c.real), word, pattern))
        return tuple(out)

    @property
    def wires(self) -> tuple[int, ...]:
        """All wires it acts on, ascending."""
        return tuple(sorted({w for word, pattern in self._terms for w, _ in (*word, *pattern)}))

    def simplify(self) -> PauliSum:
        """The same sum without terms of coefficient zero."""
        return PauliSum({k: c for k, c in self._terms.items() if abs(c) > 1e-15})

    def without_patterns(self) -> PauliSum:
        """The same operator in plain words: each |b><b| becomes (1 + (-1)^b Z)/2."""
        out: dict[Key, complex] = {}
        for (word, pattern), c in self._terms.items():
            for chosen in itertools.product((False, True), repeat=len(pattern)):
                sign, letters = 1.0, list(word)
                for (wire, bit), take in zip(pattern, chosen, strict=True):
                    if take:
                        letters.append((wire, "Z"))
                        sign = -sign if bit else sign
                key = (tuple(sorted(letters)), ())
                out[key] = out.get(key, 0.0) + c * sign / 2 ** len(pattern)
        return PauliSum(out)

    def __add__(self, other: Any) -> PauliSum:
        other = _as_sum(other)
        if other is NotImplemented:
            return NotImplemented
        out = dict(self._terms)
        for key, c in other._terms.items():
            out[key] = out.get(key, 0.0) + c
        return PauliSum(out)

    __radd__ = __add__

    def __neg__(self) -> PauliSum:
        return PauliSum({k: -c for k, c in self._terms.items()})

    def __sub__(self, other: Any) -> PauliSum:
        other = _as_sum(other)
        if other is NotImplemented:
            return NotImplemented
        out: PauliSum = self + (-other)
        return out

    def __rsub__(self, other: Any) -> PauliSum:
        out: PauliSum = (-self) + other
        return out

    def __mul__(self, factor: Any) -> PauliSum:
        if isinstance(factor, PauliSum):
            raise ArgumentTypeError("the product of two observables is written with @, as in kg.Z(0) @ kg.Z(1)")
        if not isinstance(factor, (int, float, np.integer, np.floating)):
            return NotImplemented
        return PauliSum({k: c * _real(factor) for k, c in self._terms.items()})

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> PauliSum:
        if not isinstance(divisor, (int, float, np.integer, np.floating)) or divisor == 0:
            return NotImplemented
        return self * (1.0 / divisor)

    def __matmul__(self, other: Any) -> PauliSum:
        """Operator product, wires may overlap."""
        if not isinstance(other, PauliSum):
            return NotImplemented
        out: dict[Key, complex] = {}
        for a, ca in self._terms.items():
            for b, cb in other._terms.items():
                for key, c in _multiply(a, b):
                    out[key] = out.get(key, 0.0) + ca * cb * c
        return PauliSum(out).simplify()

    def square(self) -> PauliSum:
        """The operator squared; what a variance needs."""
        if len(self._terms) == 1:
            ((word, pattern), c), *_ = self._terms.items()
            return PauliSum({((), pattern): c * c})
        return self @ self

    def matrix(self, n_wires: int) -> npt.NDArray[np.complex128]:
        """The dense 2^n x 2^n matrix, for at most 14 wires.

        Raises:
            WireError: `n_wires` is not an integer that covers its wires, or above 14.
        """
        least = max(self.wires, default=-1) + 1
        whole = isinstance(n_wires, (int, np.integer)) and not isinstance(n_wires, bool)
        if not whole or not least <= n_wires <= MAX_MATRIX_WIRES or n_wires < 1:
            raise WireError(f"matrix: a number of wires from {max(1, least)} to {MAX_MATRIX_WIRES}, got {n_wires!r}")
        out = np.zeros((2**n_wires, 2**n_wires), dtype=complex)
        for (word, _), c in self.without_patterns()._terms.items():
            letters = dict(word)
            out += c * word_matrix("".join(letters.get(w, "I") for w in range(n_wires)))
        return out

    def __len__(self) -> int:
        return len(self._terms)

    def __iter__(self) -> Iterator[tuple[float, Word, Pattern]]:
        return iter(self.terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PauliSum) and self.simplify()._terms == other.simplify()._terms

    def __hash__(self) -> int:
        return hash(frozenset(self.simplify()._terms.items()))

    def __repr__(self) -> str:
        shown = []
        for (word, pattern), c in list(self._terms.items())[:8]:
            name = _name(word) if word or not pattern else ""
            if pattern:
                bits = "".join(str(b) for _, b in pattern)
                name = " @ ".join(s for s in (name, f"Projector({bits!r}, wires={tuple(w for w, _ in pattern)})") if s)
            shown.append(name if c == 1 else f"{_shown(c)} * {name}")
        if len(self._terms) > 8:
            shown.append(f"... {len(self._terms) - 8} more terms")
        return " + ".join(shown) or "0"


def _shown(c: complex) -> str:
    c = complex(c)
    return f"{c.real:g}" if not c.imag else f"{c.imag:g}j" if not c.real else f"({c:g})"


def _name(word: Word) -> str:
    return " @ ".join(f"{letter}({wire})" for wire, letter in word) or "I()"


def _real(value: Any) -> float:
    c = complex(value)
    if c.imag or not np.isfinite(c.real):
        raise CircuitError(f"a coefficient is a finite real number, got {value!r}")
    return c.real


def _as_sum(value: Any) -> Any:
    if isinstance(value, PauliSum):
        return value
    if isinstance(value, (int, float, np.integer, np.floating)):
        return PauliSum({((), ()): _real(value)}) if value else PauliSum()
    return NotImplemented


def _single(letter: str, wire: Any) -> PauliSum:
    return PauliSum({(((check_wires((wire,), letter)[0], letter),), ()): 1.0})


def X(wire: int) -> PauliSum:
    """Pauli X on one wire."""
    return _single("X", wire)


def Y(wire: int) -> PauliSum:
    """Pauli Y on one wire."""
    return _single("Y", wire)


def Z(wire: int) -> PauliSum:
    """Pauli Z on one wire."""
    return _single("Z", wire)


def I() -> PauliSum:  # noqa: E743
    """The identity."""
    return PauliSum({((), ()): 1.0})


def Projector(bits: str | Sequence[int], wires: Sequence[int] | None = None) -> PauliSum:
    """|bits><bits| on `wires` (default: 0, 1, ...).

    Raises:
        CircuitError: a bit that is not 0 or 1, or not as many bits as wires.
    """
    values = [int(b) if str(b) in ("0", "1") else -1 for b in bits]
    if -1 in values:
        raise CircuitError(f"a projector's bits are 0 or 1, got {bits!r}")
    where = check_wires(range(len(values)) if wires is None else wires, "Projector")
    if len(where) != len(values):
        raise CircuitError(f"Projector: {len(values)} bits for {len(where)} wires")
    return PauliSum({((), tuple(sorted(zip(where, values, strict=True)))): 1.0})


def Hermitian(matrix: npt.ArrayLike, wires: Sequence[int]) -> PauliSum:
    """A Hermitian matrix on up to 6 wires, as its Pauli words.

    Raises:
        GateMatrixError: not square of size 2^len(wires), not finite, or not Hermitian.
    """
    where = check_wires(wires, "Hermitian")
    m = np.asarray(matrix, dtype=complex)
    k = len(where)
    if k > MAX_HERMITIAN_WIRES:
        raise GateMatrixError(
            f"Hermitian: a matrix observable has at most {MAX_HERMITIAN_WIRES} wires, got {k}; "
            "write it as a PauliSum instead"
        )
    if m.shape != (2**k, 2**k):
        raise GateMatrixError(f"Hermitian: {k} wires need a matrix of shape {(2**k, 2**k)}, got {m.shape}")
    if not np.all(np.isfinite(m)):
        raise GateMatrixError("Hermitian: the matrix has entries that are not finite")
    defect = float(np.abs(m - m.conj().T).max())
    if defect > 1e-8 * max(1.0, float(np.abs(m).max())):
        raise GateMatrixError(f"Hermitian: the matrix differs from its adjoint by {defect:.3g}")
    terms: dict[Key, complex] = {}
    for letters in itertools.product("IXYZ", repeat=k):
        c = np.einsum("ij,ji->", word_matrix("".join(letters)), m).real / 2**k
        if abs(c) > 1e-15:
            key = (tuple(sorted((w, c_) for w, c_ in zip(where, letters, strict=True) if c_ != "I")), ())
            terms[key] = float(c)
    return PauliSum(terms)
