"""Stabilizer codes as data: Pauli words that commute, and logical operators that do what they should.

Owns: `Code`, checked when made, and the codes everyone knows. May not know: circuits, noise, decoders.

Sources: D. Gottesman, arXiv:quant-ph/9705052 (stabilizers); R. Laflamme et al., PRL 77, 198 (1996) ([[5,1,3]]);
A. Steane, Proc. R. Soc. A 452, 2551 (1996); Y. Tomita and K. Svore, PRA 90, 062320 (2014) (rotated surface code on 17
qubits); C. Self et al., arXiv:2211.06703 (iceberg).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, CircuitError
from ..pauli import MAX_WIRES, I, PauliSum, check_word
from .words import Masks, anticommute, masks, product, rank, solve, word

SHOWN = 16  # qubits up to which the distance, found by enumeration, is shown
MAX_GROUP = 14  # generators whose group of 2^14 words is written down as one observable


@dataclass(frozen=True)
class Code:
    """A stabilizer code [[n, k]]: n - k commuting, independent Pauli words, and k pairs of logical operators.

    Attributes:
        name: what it is called in tables.
        stabilizers: n - k words of n letters, each with sign +; letter q acts on wire q.
        logical_x, logical_z: k words each. Those of equal index anticommute, all others commute.
        schedule: for each stabilizer the qubits its ancilla meets, layer by layer, None to pause; default: one
            stabilizer after another.

    Raises:
        CircuitError: words of other lengths or letters, that do not commute as they should, or that depend on one
            another.

    Example:
        >>> code = Code("phase flips", ("XXI", "IXX"), ("XII",), ("ZZZ",))
        >>> (code.n, code.k, code.distance)
        (3, 1, 1)
    """

    name: str
    stabilizers: tuple[str, ...]
    logical_x: tuple[str, ...]
    logical_z: tuple[str, ...]
    schedule: tuple[tuple[int | None, ...], ...] = ()

    def __post_init__(self) -> None:
        for field in ("stabilizers", "logical_x", "logical_z"):
            object.__setattr__(self, field, _words(getattr(self, field), f"{self.name}: {field}"))
        if not self.stabilizers:
            raise CircuitError(f"{self.name}: a code has at least one stabilizer, got none")
        for w in self._all:
            check_word(w, self.n)
        if not 1 <= self.n <= MAX_WIRES:
            raise CircuitError(f"{self.name}: a code has from 1 to {MAX_WIRES} qubits, got {self.n}")
        independent = rank([_row(masks(w), self.n) for w in self.stabilizers])
        if independent < len(self.stabilizers):
            raise CircuitError(
                f"{self.name}: stabilizers are independent, got {len(self.stabilizers)} words of which only "
                f"{independent} are; leave out those that are products of others"
            )
        if not len(self.logical_x) == len(self.logical_z) == self.k:
            raise CircuitError(
                f"{self.name}: {self.n} qubits with {len(self.stabilizers)} stabilizers have {self.k} logical qubits, "
                f"got {len(self.logical_x)} logical X and {len(self.logical_z)} logical Z"
            )
        pairs = {(len(self.stabilizers) + i, len(self.stabilizers) + self.k + i) for i in range(self.k)}
        for (i, a), (j, b) in itertools.combinations(enumerate(self._all), 2):
            if anticommute(masks(a), masks(b)) != ((i, j) in pairs):
                does, should = ("commute", "anticommute") if (i, j) in pairs else ("anticommute", "commute")
                raise CircuitError(f"{self.name}: {self._role(i)} {a} and {self._role(j)} {b} {should}, these {does}")
        self._check_schedule()

    def _check_schedule(self) -> None:
        if not self.schedule:
            after = [self.n - s.count("I") for s in self.stabilizers]
            rows = [[q for q, c in enumerate(s) if c != "I"] for s in self.stabilizers]
            pauses = [[None] * sum(after[:i]) for i in range(len(rows))]
            object.__setattr__(self, "schedule", tuple(tuple([*p, *r]) for p, r in zip(pauses, rows, strict=True)))
        place = [{q: t for t, q in enumerate(row) if q is not None} for row in self.schedule]
        supports = [{q for q, c in enumerate(s) if c != "I"} for s in self.stabilizers]
        met = [[q for q in row if q is not None] for row in self.schedule]
        if [set(p) for p in place] != supports or any(len(set(m)) < len(m) for m in met):
            raise CircuitError(
                f"{self.name}: a schedule has a row for each stabilizer, with the qubits it acts on, each once"
            )
        for (i, a), (j, b) in itertools.combinations(enumerate(self.stabilizers), 2):
            shared = supports[i] & supports[j]
            if any(place[i][q] == place[j][q] for q in shared):
                raise CircuitError(f"{self.name}: in the schedule, {a} and {b} meet a qubit in the same layer")
            if sum(place[i][q] < place[j][q] for q in shared if a[q] != b[q]) % 2:
                raise CircuitError(
                    f"{self.name}: the schedule entangles the ancillas of {a} and {b}; of the qubits where their "
                    "letters differ, an even number must meet the first before the second"
                )

    @classmethod
    def from_stabilizers(cls, stabilizers: Iterable[str], name: str = "code") -> Code:
        """A code whose logical operators are found by Gaussian elimination; any choice of them is as good.

        Raises:
            CircuitError: as for the class.
        """
        given = _words(stabilizers, f"{name}: stabilizers")
        if not given:
            raise CircuitError(f"{name}: a code has at least one stabilizer, got none")
        found = _logical_pairs([masks(w) for w in given], len(given[0]))
        x, z = (tuple(word(*pair[i], len(given[0])) for pair in found) for i in (0, 1))
        return cls(name, given, x, z)

    @property
    def n(self) -> int:
        """Physical qubits."""
        return len(self.stabilizers[0])

    @property
    def k(self) -> int:
        """Logical qubits."""
        return self.n - len(self.stabilizers)

    @property
    def _all(self) -> tuple[str, ...]:
        return (*self.stabilizers, *self.logical_x, *self.logical_z)

    def _role(self, index: int) -> str:
        if index < len(self.stabilizers):
            return "stabilizer"
        return "logical X" if index < len(self.stabilizers) + self.k else "logical Z"

    @cached_property
    def is_css(self) -> bool:
        """Whether every stabilizer has Xs only or Zs only."""
        return all(len(set(s) - {"I"}) == 1 and "Y" not in s for s in self.stabilizers)

    @cached_property
    def distance(self) -> int:
        """The least weight of a word that commutes with all stabilizers and is no product of them; by enumeration."""
        stabilizers = [masks(s) for s in self.stabilizers]
        logical = [masks(w) for w in (*self.logical_x, *self.logical_z)]
        for size in range(1, self.n + 1):
            for where in itertools.combinations(range(self.n), size):
                for x, z in self._letters(where):
                    if any(anticommute((x, z), w) for w in logical) and not any(
                        anticommute((x, z), s) for s in stabilizers
                    ):
                        return size
        raise CircuitError(f"{self.name}: a code without logical qubits has no distance")

    def _letters(self, where: tuple[int, ...]) -> Iterator[Masks]:
        """Words on these bits, among which one of least weight is: all; Xs only and Zs only of a code made of these."""
        if self.is_css:
            support = sum(1 << q for q in where)
            yield from ((support, 0), (0, support))
            return
        for letters in itertools.product(((1, 0), (0, 1), (1, 1)), repeat=len(where)):
            x, z = (sum(letter[k] << q for q, letter in zip(where, letters, strict=True)) for k in (0, 1))
            yield x, z

    @cached_property
    def destabilizers(self) -> tuple[str, ...]:
        """n - k commuting words: number i anticommutes with stabilizer i and with nothing else of the code.

        The product of those whose stabilizers report -1 is an error that explains a syndrome.
        """
        rows = [masks(w) for w in self._all]
        out: list[Masks] = []
        for i in range(len(self.stabilizers)):
            wanted = [int(j == i) for j in range(len(rows))]
            v = solve([z << self.n | x for x, z in rows], wanted)  # x and z exchanged: parity(row & v) is commutation
            new = (v >> self.n, v & (1 << self.n) - 1)
            for j, other in enumerate(out):
                if anticommute(new, other):
                    new = (new[0] ^ rows[j][0], new[1] ^ rows[j][1])
            out.append(new)
        return tuple(word(*d, self.n) for d in out)

    def projector(self) -> PauliSum:
        """The projector onto the code, prod (1 + S) / 2: one observable of 2^(n - k) words.

        Raises:
            ArgumentError: more than 14 stabilizers.
        """
        if len(self.stabilizers) > MAX_GROUP:
            raise ArgumentError(f"{self.name}: a projector of {len(self.stabilizers)} stabilizers has too many words")
        out = I()
        for s in self.stabilizers:
            out = out @ (0.5 * (I() + PauliSum.from_words({s: 1.0})))
        return out

    def logical(self, letters: str) -> PauliSum:
        """A word of logical Paulis, one letter for each logical qubit, as an observable of the physical ones.

        Example:
            >>> four_two_two().logical("ZZ")  # doctest: +SKIP
        """
        check_word(letters, self.k)
        rows: list[Masks] = []
        power = 0
        for letter, x, z in zip(letters, self.logical_x, self.logical_z, strict=True):
            rows += [masks(x)] * (letter in "XY") + [masks(z)] * (letter in "YZ")
            power += letter == "Y"  # Y = i X Z
        a, b, more = product(rows)
        sign = 1.0 if (power + more) % 4 == 0 else -1.0
        return PauliSum.from_words({word(a, b, self.n): sign})

    def __str__(self) -> str:
        distance = f",{self.distance}" if self.n <= SHOWN and self.k else ""
        return f"{self.name} [[{self.n},{self.k}{distance}]]"


def check_code(code: Any) -> Code:
    """The code itself.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not isinstance(code, Code):
        raise ArgumentTypeError(f"expected a code such as qec.four_two_two(), got {type(code).__name__}")
    return code


def _words(given: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ArgumentTypeError(f"{what} are a sequence of words such as ['XXXX', 'ZZZZ'], got the string {given!r}")
    try:
        return tuple(check_word(w) for w in given)
    except TypeError:
        raise ArgumentTypeError(f"{what} are a sequence of Pauli words, got {given!r}") from None


def _row(w: Masks, n: int) -> int:
    return w[0] << n | w[1]


def _logical_pairs(stabilizers: Sequence[Masks], n: int) -> list[tuple[Masks, Masks]]:
    """Pairs of logical X and Z: a symplectic basis of what commutes with the stabilizers, modulo them."""
    basis = [masks("I" * q + c + "I" * (n - q - 1)) for c in "XZ" for q in range(n)]
    for s in stabilizers:  # what commutes with s: all but one that does not, which is multiplied into the others
        odd = next((b for b in basis if anticommute(b, s)), None)
        if odd is not None:
            rest = [b for b in basis if b is not odd]
            basis = [(b[0] ^ odd[0], b[1] ^ odd[1]) if anticommute(b, s) else b for b in rest]
    pairs: list[tuple[Masks, Masks]] = []
    while basis:
        first = basis.pop(0)
        partner = next((b for b in basis if anticommute(first, b)), None)
        if partner is None:
            continue  # a product of stabilizers
        basis.remove(partner)
        pairs.append((first, partner))
        for k, b in enumerate(basis):
            with_first, with_partner = anticommute(b, first), anticommute(b, partner)
            for other, odd in ((partner, with_first), (first, with_partner)):
                b = (b[0] ^ other[0], b[1] ^ other[1]) if odd else b
            basis[k] = b
    return pairs


def four_two_two() -> Code:
    """[[4,2,2]]: detects any error on one qubit."""
    return Code("four-two-two", ("XXXX", "ZZZZ"), ("XXII", "XIXI"), ("ZIZI", "ZZII"))


def five_qubit() -> Code:
    """[[5,1,3]]: the smallest code that corrects any error on one qubit."""
    return Code("five-qubit", ("XZZXI", "IXZZX", "XIXZZ", "ZXIXZ"), ("XXXXX",), ("ZZZZZ",))


def steane() -> Code:
    """[[7,1,3]]: all Clifford gates are transversal."""
    checks = ("IIIXXXX", "IXXIIXX", "XIXIXIX")
    return Code("Steane", (*checks, *(c.replace("X", "Z") for c in checks)), ("X" * 7,), ("Z" * 7,))


def repetition(distance: int, letter: str = "Z") -> Code:
    """The repetition code of `distance` qubits with checks ZZ, against bit flips; `letter="X"` against phase flips.

    Raises:
        ArgumentError: fewer than 2 qubits or more than 62, or another letter.
    """
    d = _size(distance, 2, MAX_WIRES, "repetition: the distance")
    if letter not in ("X", "Z"):
        raise ArgumentError(f"repetition: the letter of the checks is 'X' or 'Z', got {letter!r}")
    checks = tuple("I" * q + letter * 2 + "I" * (d - q - 2) for q in range(d - 1))
    schedule = tuple((q, q + 1) for q in range(d - 1))
    if letter == "X":
        return Code("phase-flip", checks, ("X" + "I" * (d - 1),), ("Z" * d,), schedule)
    return Code("repetition", checks, ("X" * d,), ("Z" + "I" * (d - 1),), schedule)


def iceberg(k: int) -> Code:
    """[[k+2,k,2]] for even k: detects any error on one qubit at the price of two qubits.

    Raises:
        ArgumentError: k odd, below 2 or above 60.
    """
    if _size(k, 2, MAX_WIRES - 2, "iceberg: k") % 2:
        raise ArgumentError(f"iceberg: the number of logical qubits is even, got {k}")
    n = k + 2
    x = tuple("X" + "".join("X" if q == i else "I" for q in range(1, n)) for i in range(1, k + 1))
    z = tuple("".join("Z" if q == i else "I" for q in range(n - 1)) + "Z" for i in range(1, k + 1))
    return Code("iceberg", ("X" * n, "Z" * n), x, z)


def rotated_surface(distance: int = 3) -> Code:
    """The rotated surface code on distance x distance qubits, row by row, of odd distance.

    Logical X is a column of Xs, logical Z a row of Zs. Its checks are those of `surface_plaquettes`.

    Raises:
        ArgumentError: a distance other than 3, 5 and 7.
    """
    checks, plaquettes = [], surface_plaquettes(distance)
    for letter, corners in plaquettes:
        on = {q for q in corners if q is not None}
        checks.append("".join(letter if q in on else "I" for q in range(distance**2)))
    column = "".join("X" if q % distance == 0 else "I" for q in range(distance**2))
    row = "Z" * distance + "I" * (distance**2 - distance)
    return Code("rotated surface", tuple(checks), (column,), (row,), tuple(corners for _, corners in plaquettes))


def surface_plaquettes(distance: int) -> list[tuple[str, tuple[int | None, ...]]]:
    """Checks of the rotated surface code: (letter, corners), None where a corner lies outside.

    The corners are in the order of the layers of gates: northwest, northeast, southwest, southeast for X, and
    northwest, southwest, northeast, southeast for Z. A fault of the ancilla halfway then spreads across the logical
    operator that it could make, never along it.
    """
    d = _size(distance, 3, 7, "rotated_surface: the distance")
    if d % 2 == 0:
        raise ArgumentError(f"rotated_surface: the distance is odd, got {d}")
    out = []
    for i, j in itertools.product(range(d + 1), repeat=2):  # the plaquette between rows i - 1, i and columns j - 1, j
        letter = "XZ"[(i + j) % 2]
        if (i in (0, d) and letter == "Z") or (j in (0, d) and letter == "X"):
            continue
        places = [(i - 1, j - 1), (i - 1, j), (i, j - 1), (i, j)]
        corners = [r * d + c if 0 <= r < d and 0 <= c < d else None for r, c in places]
        if sum(q is not None for q in corners) >= 2:
            order = (0, 1, 2, 3) if letter == "X" else (0, 2, 1, 3)
            out.append((letter, tuple(corners[k] for k in order)))
    return out


def _size(value: Any, least: int, most: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        raise ArgumentError(f"{what} is a whole number from {least} to {most}, got {value!r}")
    return int(value)
