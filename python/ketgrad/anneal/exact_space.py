"""`Diagonal`: a problem that is nothing but a list of energies; `Space`: the states that an anneal moves in.

Owns: energies of all states, the terms that make them, and the parity sector. May not know: schedules, engines.

Variable 0 is the most significant bit of a state's index; bit 0 is spin +1.

Without fields the energy is the same when all spins turn over, and so is the driver. From the driver's ground state an
anneal then stays among the even states |x> + |~x>: half of all, those whose first spin is +1. In that sector X on the
first spin turns over all others, and a coupling to it is a field.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ArgumentTypeError, ParameterError
from ..finite import require_finite
from ..memory import require_bytes
from .problem import Ising

Array = npt.NDArray[np.float64]
Spins = npt.NDArray[np.int8]
MAX_SPINS = 30  # of a table of energies
BLOCK = 1 << 16  # states looked at together
_WHAT = "a diagonal problem's energies"


class Diagonal:
    """A problem given by the energy of each state, for any cost that is no sum of pairs.

    Made by `of`, `from_function` and `by_weight`.

    Attributes:
        n: how many spins, at most 30 for `of` and `from_function`.
        weights: (n + 1,) energies by the number of spins -1, where they depend on nothing else by construction.
    """

    def __init__(self, n: int, energies: Array | None, weights: Array | None = None) -> None:
        self.n, self.weights, self._energies = n, weights, energies

    @classmethod
    def of(cls, energies: npt.ArrayLike) -> Diagonal:
        """From (2^n,) energies; variable 0 is the most significant bit, bit 1 is spin -1.

        Raises:
            ParameterError: another length, or numbers that are not finite.
        """
        values = np.array(energies, dtype=np.float64)
        size = values.size
        if values.ndim != 1 or size < 2 or size & (size - 1):
            raise ParameterError(f"{_WHAT} have shape (2^n,), got {values.shape}")
        require_finite(values, _WHAT)
        return cls(size.bit_length() - 1, values)

    @classmethod
    def from_function(cls, n: int, function: Callable[[Spins], npt.ArrayLike]) -> Diagonal:
        """From a function of spins (R, n) of +-1 that gives (R,) energies; it is called for blocks of states.

        Raises:
            ArgumentError: n is not from 1 to 30.
            ParameterError: another shape than (R,), or numbers that are not finite.
            OutOfMemoryError: 2^n energies do not fit.
        """
        _check_n(n, MAX_SPINS)
        require_bytes(8 << n, f"the energies of {n} spins")
        out = np.empty(1 << n)
        for start in range(0, len(out), BLOCK):
            index = np.arange(start, min(start + BLOCK, len(out)))
            values = np.asarray(function(spins_of(index, n)), dtype=np.float64)
            if values.shape != index.shape:
                raise ParameterError(f"{_WHAT} are ({len(index)},) of as many rows of spins, got {values.shape}")
            out[index] = values
        require_finite(out, _WHAT)
        return cls(n, out)

    @classmethod
    def by_weight(cls, values: npt.ArrayLike) -> Diagonal:
        """From (n + 1,) energies by the number of spins -1; the gap of such a problem is known for thousands of spins.

        Raises:
            ParameterError: fewer than two, or numbers that are not finite.
        """
        weights = np.array(values, dtype=np.float64).reshape(-1)
        if len(weights) < 2:
            raise ParameterError(f"energies by weight are n + 1 numbers, at least 2, got {len(weights)}")
        require_finite(weights, "energies by weight")
        return cls(len(weights) - 1, None, weights)

    @property
    def labels(self) -> tuple[int, ...]:
        """0, 1, ..., n - 1."""
        return tuple(range(self.n))

    @property
    def energies(self) -> Array:
        """(2^n,)."""
        if self._energies is None:
            assert self.weights is not None
            _check_n(self.n, MAX_SPINS)
            require_bytes(9 << self.n, f"the energies of {self.n} spins")
            self._energies = self.weights[np.bitwise_count(np.arange(1 << self.n, dtype=np.uint32))]
        return self._energies

    @cached_property
    def is_even(self) -> bool:
        """Whether the energies stay when all spins turn over."""
        some = self._energies if self.weights is None else self.weights
        assert some is not None
        return bool((some == some[::-1]).all())

    def __repr__(self) -> str:
        return f"Diagonal({self.n} spins)"


Problem = Ising | Diagonal


class Space:
    """The states that an anneal moves in: all, or the even ones.

    Attributes:
        problem: it.
        parity: whether these are the even states; then the first spin is +1.
        qubits: how many spins are left, m.
        words: the wires of each Z word of the problem, of an Ising; None of a diagonal.
        coefficients: (T,) of the words.
    """

    def __init__(self, problem: Problem, parity: bool) -> None:
        self.problem, self.parity = problem, parity
        self.qubits = problem.n - parity
        self.words: tuple[tuple[int, ...], ...] | None = None
        if isinstance(problem, Ising):
            pairs = [tuple(w - parity for w in pair if w >= parity) for pair in problem.pairs.tolist()]
            fields = [] if parity else [(k,) for k in range(problem.n)]
            self.words = tuple(fields + pairs)
            self.coefficients = np.concatenate([np.zeros(0) if parity else problem.fields, problem.couplings])

    @cached_property
    def energies(self) -> Array:
        """(2^m,)."""
        if isinstance(self.problem, Diagonal):
            return self.problem.energies[: 1 << self.qubits]
        assert self.words is not None
        return energies_of(self.qubits, self.words, self.coefficients, self.problem.offset)

    @cached_property
    def lowest(self) -> float:
        """The lowest energy."""
        return float(self.energies.min())

    @cached_property
    def spread(self) -> float:
        """The range of all energies."""
        return float(self.energies.max()) - self.lowest

    @cached_property
    def flip_energy(self) -> float:
        """What turning over one spin changes the energy by: of an Ising problem, root mean square over the states, of
        the worst spin; else the largest of states evenly spread, the lowest and the highest: one may be what counts.
        """
        if isinstance(self.problem, Ising):
            squares = self.problem.fields**2
            for end in self.problem.pairs.T:
                squares = squares + np.bincount(end, self.problem.couplings**2, self.problem.n)
            return float(2 * np.sqrt(squares.max()))
        stride = max(1, len(self.energies) // BLOCK) | 1  # odd: neither bit is the same in all that are looked at
        some = np.append(np.arange(0, len(self.energies), stride), [self.energies.argmin(), self.energies.argmax()])
        here = self.energies[some]
        return max(float(np.abs(here - self.energies[some ^ 1 << k]).max()) for k in range(self.qubits))

    @cached_property
    def ground(self) -> npt.NDArray[np.int64]:
        """Indices of the states of lowest energy, but for rounding."""
        near = 1e-9 * max(1e-300, float(np.abs(self.energies).max()))
        return np.flatnonzero(self.energies <= self.lowest + near)

    def full(self, probabilities: Array) -> Array:
        """(2^n,) probabilities of all states from those of this space (2^m,)."""
        return np.concatenate([probabilities, probabilities[::-1]]) / 2 if self.parity else probabilities

    def fold(self, values: npt.ArrayLike) -> Array:
        """(2^m,) a diagonal observable on this space, from its values (2^n,) on all states.

        Raises:
            ParameterError: another shape, or numbers that are not finite.
        """
        given = np.asarray(values, dtype=np.float64)
        if given.shape != (1 << self.problem.n,):
            raise ParameterError(f"an observable has shape ({1 << self.problem.n},), got {given.shape}")
        require_finite(given, "an observable")
        half = 1 << self.qubits
        return (given[:half] + given[: half - 1 : -1]) / 2 if self.parity else given

    def index(self, spins: Any) -> int:
        """The index of a classical state, (n,) spins +-1.

        Raises:
            ParameterError: another shape, or other numbers.
        """
        row = np.asarray(spins)
        if row.shape != (self.problem.n,) or not (np.abs(row) == 1).all():
            raise ParameterError(f"a classical state has {self.problem.n} spins +1 or -1, got {spins!r:.60}")
        return int("".join("01"[int(s < 0)] for s in row), 2)


def is_even(problem: Problem) -> bool:
    """Whether the energies stay when all spins turn over."""
    return not problem.has_fields if isinstance(problem, Ising) else problem.is_even


def check_problem(problem: Any) -> Problem:
    """An `Ising` or a `Diagonal`.

    Raises:
        ArgumentTypeError: anything else.
    """
    if not isinstance(problem, (Ising, Diagonal)):
        raise ArgumentTypeError(f"a problem is an Ising or a Diagonal, got {type(problem).__name__}")
    return problem


def spins_of(index: npt.NDArray[np.int64], n: int) -> Spins:
    """(R, n) spins of states (R,)."""
    return (1 - 2 * (index[:, None] >> np.arange(n - 1, -1, -1) & 1)).astype(np.int8)


def energies_of(qubits: int, words: tuple[tuple[int, ...], ...], coefficients: Array, offset: float) -> Array:
    """(2^m,) energies of a sum of words of one and two Zs, by doubling: exact where the coefficients are integers."""
    require_bytes(12 << qubits, f"the energies of {qubits} spins")
    fields, couplings = np.zeros(qubits), np.zeros((qubits, qubits))
    for word, c in zip(words, coefficients, strict=True):
        if len(word) == 1:
            fields[word[0]] += c
        else:
            couplings[word] += c
    out, field = np.empty(1 << qubits), np.empty(max(1, 1 << qubits >> 1))
    out[0], size = offset, 1
    for k in reversed(range(qubits)):  # spin k becomes the most significant bit of those that are there
        field[0], width = fields[k], 1
        for j in reversed(range(k + 1, qubits)):
            np.subtract(field[:width], couplings[k, j], out=field[width : 2 * width])
            field[:width] += couplings[k, j]
            width *= 2
        np.subtract(out[:size], field[:size], out=out[size : 2 * size])
        out[:size] += field[:size]
        size *= 2
    return out


def _check_n(n: Any, most: int) -> None:
    if isinstance(n, (bool, np.bool_)) or not isinstance(n, (int, np.integer)):
        raise ArgumentTypeError(f"the number of spins is an integer, got {n!r:.60}")
    if not 1 <= n <= most:
        raise ArgumentError(f"a table of energies has 1 to {most} spins, got {n}")
