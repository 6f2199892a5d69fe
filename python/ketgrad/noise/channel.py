"""`Channel`: a quantum operation as its Kraus operators, checked, immutable and equal by value.

Owns: what follows from the operators alone (probabilities, superoperator, twirl, composition) and the contract of a
`Family`, which knows how a channel follows from its strengths. May not know: which channels there are, programs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit, Gate
from ..errors import ArgumentTypeError, CircuitError, GateMatrixError, NotDifferentiableError
from ..gate_spec import CHANNEL
from .matrices import (
    MAX_OPERATORS,
    TOLERANCE,
    Matrix,
    frozen,
    kraus_of,
    merged,
    paulis,
    power,
    superoperator,
    twirl,
    weights,
)

MAX_CHANNEL_WIRES = 3  # a superoperator acts on twice as many bits, and a KRAUS on six


class Family(ABC):
    """How a channel follows from its strengths; hashable and picklable."""

    @abstractmethod
    def __call__(self, *strengths: float) -> Channel:
        """The channel of these strengths."""

    @abstractmethod
    def derivatives(self, *strengths: float) -> Matrix:
        """d(superoperator)/d(strength), shape (len(strengths), 4^k, 4^k)."""

    @abstractmethod
    def scaled(self, factor: float, *strengths: float) -> Channel:
        """The channel that acts for `factor` times as long."""


@dataclass(frozen=True, eq=False, repr=False)
class Channel:
    """A completely positive map on k wires: rho -> sum_i K_i rho K_i^+.

    Args:
        kraus: (m, 2^k, 2^k) operators, k from 1 to 3. They are kept in order of probability after the one that is most
            like the identity; those that are zero are dropped, and more than 255 are replaced by the 4^k of the Choi
            matrix.
        name: for drawings and errors.
        strengths: the numbers the channel was made from.
        family: what makes the channel of other strengths.
        trace_preserving: False for what keeps a part of the states only (`noise.projection`).

    Raises:
        GateMatrixError: wrong shapes, not finite, or not trace-preserving; with the amount.
    """

    kraus: Matrix
    name: str = "kraus"
    strengths: tuple[float, ...] = ()
    family: Family | None = field(default=None)
    trace_preserving: bool = True

    def __post_init__(self) -> None:
        kraus = _checked(self.kraus, self.name, self.trace_preserving)
        kraus.setflags(write=False)
        object.__setattr__(self, "kraus", kraus)
        object.__setattr__(self, "strengths", tuple(float(s) for s in self.strengths))

    # identity by value

    @cached_property
    def _key(self) -> tuple[object, ...]:
        return self.name, self.strengths, self.family, self.trace_preserving, self.kraus.shape, self.kraus.tobytes()

    @cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Channel) and self._hash == other._hash and self._key == other._key)

    def __reduce__(self) -> tuple[Any, ...]:
        return Channel, (self.kraus, self.name, self.strengths, self.family, self.trace_preserving)

    def __repr__(self) -> str:
        if self.family is None:
            m, k = len(self.kraus), self.n_wires
            return f"{self.name}({m} operator{'s' * (m > 1)} on {k} wire{'s' * (k > 1)})"
        return f"{self.name}({', '.join(f'{s:g}' for s in self.strengths)})"

    # what follows from the operators

    @property
    def n_wires(self) -> int:
        """k, the number of wires it acts on."""
        return int(self.kraus.shape[1]).bit_length() - 1

    @cached_property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """(m,) q_i = tr(K_i^+ K_i) / 2^k: for a mixture of unitaries its probabilities. Their sum is 1."""
        return frozen(weights(self.kraus))

    @cached_property
    def operators(self) -> Matrix:
        """(m, 2^k, 2^k) V_i = K_i / sqrt(q_i): unitary for a mixture of unitaries."""
        return frozen(self.kraus / np.sqrt(self.probabilities)[:, None, None])

    @cached_property
    def inverses(self) -> Matrix:
        """(m, 2^k, 2^k) the inverses of `operators`; zero for an operator that has none."""
        out = np.zeros_like(self.operators)
        for target, operator in zip(out, self.operators, strict=True):
            values = np.linalg.svd(operator, compute_uv=False)
            if values[-1] > 1e-12 * values[0]:
                target[:] = np.linalg.inv(operator)
        return frozen(out)

    @cached_property
    def is_unitary_mixture(self) -> bool:
        """Whether every one of `operators` is unitary."""
        square = self.operators.conj().transpose(0, 2, 1) @ self.operators
        return bool(np.abs(square - np.eye(square.shape[-1])).max() < 1e-12)

    def superoperator(self) -> Matrix:
        """(4^k, 4^k) sum_i K_i (x) conj(K_i), which acts on rho flattened row by row."""
        return superoperator(self.kraus)

    def derivatives(self) -> Matrix:
        """d(superoperator)/d(strength_j), shape (len(strengths), 4^k, 4^k).

        Raises:
            NotDifferentiableError: a derivative that is not finite, as that of a square root at 0.
        """
        if self.family is None:
            side = 4**self.n_wires
            return np.zeros((0, side, side), dtype=complex)
        with np.errstate(divide="ignore", invalid="ignore"):
            out = self.family.derivatives(*self.strengths)
        if not np.isfinite(out).all():
            bad = int(np.flatnonzero(~np.isfinite(out).all(axis=(1, 2)))[0])
            raise NotDifferentiableError(f"{self!r}: the derivative by strength {bad} is infinite here")
        return out

    @property
    def is_pauli(self) -> bool:
        """Whether it applies Pauli words with some probabilities, whatever operators it is written with."""
        full = self.superoperator()
        return bool(np.abs(full - twirl(full)).max() < 1e-12)

    @cached_property
    def pauli_probabilities(self) -> dict[str, float]:
        """word -> probability, for all 4^k words: of this channel if it `is_pauli`, else of its twirl."""
        words, matrices = paulis(self.n_wires)
        overlaps = np.einsum("pij,mji->pm", matrices, self.kraus) / len(matrices[0])
        return dict(zip(words, (np.abs(overlaps) ** 2).sum(axis=1).tolist(), strict=True))

    def twirled(self) -> Channel:
        """The Pauli channel with `pauli_probabilities`: the average over conjugations with all Pauli words."""
        _, matrices = paulis(self.n_wires)
        kraus = np.sqrt(list(self.pauli_probabilities.values()))[:, None, None] * matrices
        family = Twirled(self.family) if self.family is not None else None
        return Channel(kraus, f"twirled {self.name}", self.strengths, family, self.trace_preserving)

    def scaled(self, factor: float) -> Channel:
        """The channel that acts for `factor` times as long: strength 0 is nothing, 2 is the channel twice.

        This is the power of the superoperator; of a composition with strengths, that of each part.

        Raises:
            CircuitError: a negative factor.
            GateMatrixError: a channel with no such power; with the amount by which it fails.
        """
        if not np.isfinite(factor) or factor < 0:
            raise CircuitError(f"{self!r}: a noise factor is a number of at least 0, got {factor!r}")
        if factor == 1:
            return self
        if self.family is None:
            name = f"{factor:g} times {self.name}"
            return Channel(kraus_of(power(self.superoperator(), float(factor)), name), name)
        return self.family.scaled(float(factor), *self.strengths)

    def __matmul__(self, first: Channel) -> Channel:
        """This channel after `first`, on the same wires."""
        if not isinstance(first, Channel):
            return NotImplemented
        if first.n_wires != self.n_wires:
            raise CircuitError(f"@: channels on the same number of wires, got {self.n_wires} and {first.n_wires}")
        family = None
        if self.family is not None or first.family is not None:
            family = Composed(_fixed(self), _fixed(first), len(self.strengths))
        side = self.kraus.shape[1:]
        products = merged((self.kraus[:, None] @ first.kraus[None]).reshape(-1, *side))
        name, both = f"{self.name} @ {first.name}", self.strengths + first.strengths
        return Channel(products, name, both, family, self.trace_preserving and first.trace_preserving)


def append_channel(circuit: Circuit, channel: Any, wires: Any) -> Circuit:
    """What `Circuit.channel` does.

    Raises:
        ArgumentTypeError: not a `Channel`.
        CircuitError: not on its number of wires.
    """
    if not isinstance(channel, Channel):
        raise ArgumentTypeError(f"channel: expected a ketgrad.noise.Channel, got {type(channel).__name__}")
    own = circuit._check_wires((wires,) if isinstance(wires, (int, np.integer)) else wires, channel.name)
    if len(own) != channel.n_wires:
        k = channel.n_wires
        raise CircuitError(f"{channel!r} acts on {k} wire{'s' * (k > 1)}, got {len(own)}")
    circuit.gates.append(Gate(CHANNEL, (), own, extra=channel))
    return circuit


# families of families


@dataclass(frozen=True)
class Constant(Family):
    """A channel without strengths."""

    channel: Channel

    def __call__(self, *strengths: float) -> Channel:
        return self.channel

    def derivatives(self, *strengths: float) -> Matrix:
        side = 4**self.channel.n_wires
        return np.zeros((0, side, side), dtype=complex)

    def scaled(self, factor: float, *strengths: float) -> Channel:
        return self.channel.scaled(factor)


def _fixed(channel: Channel) -> Family:
    return Constant(channel) if channel.family is None else channel.family


@dataclass(frozen=True)
class Composed(Family):
    """`second` after `first`; the first `split` strengths are those of `second`."""

    second: Family
    first: Family
    split: int

    def __call__(self, *strengths: float) -> Channel:
        return self.second(*strengths[: self.split]) @ self.first(*strengths[self.split :])

    def derivatives(self, *strengths: float) -> Matrix:
        mine, other = strengths[: self.split], strengths[self.split :]
        left = self.second.derivatives(*mine) @ self.first(*other).superoperator()
        right = self.second(*mine).superoperator() @ self.first.derivatives(*other)
        return np.concatenate([left, right])

    def scaled(self, factor: float, *strengths: float) -> Channel:
        mine, other = strengths[: self.split], strengths[self.split :]
        return self.second.scaled(factor, *mine) @ self.first.scaled(factor, *other)


@dataclass(frozen=True)
class Twirled(Family):
    """The twirl of a family's channels."""

    inner: Family

    def __call__(self, *strengths: float) -> Channel:
        return self.inner(*strengths).twirled()

    def derivatives(self, *strengths: float) -> Matrix:
        return twirl(self.inner.derivatives(*strengths))

    def scaled(self, factor: float, *strengths: float) -> Channel:
        return self.inner.scaled(factor, *strengths).twirled()


# arguments


def _checked(kraus: Any, name: str, trace_preserving: bool) -> Matrix:
    """The operators, validated, without zeros and in order."""
    try:
        out = np.array(kraus, dtype=complex)
    except (TypeError, ValueError):
        raise GateMatrixError(f"{name}: Kraus operators are square matrices of one size") from None
    d = out.shape[-1] if out.ndim == 3 else 0
    k = d.bit_length() - 1
    if out.ndim != 3 or out.shape[1] != d or not len(out) or d != 1 << max(k, 0) or not 1 <= k <= MAX_CHANNEL_WIRES:
        raise GateMatrixError(
            f"{name}: Kraus operators have the shape (m, 2^k, 2^k) with 1 to {MAX_CHANNEL_WIRES} wires, got {out.shape}"
        )
    if not np.isfinite(out).all():
        raise GateMatrixError(f"{name}: the Kraus operators have entries that are not finite")
    defect = np.linalg.eigvalsh(np.einsum("mji,mjk->ik", out.conj(), out) - np.eye(d))
    worst = float(defect[np.argmax(np.abs(defect))])
    if trace_preserving and abs(worst) > TOLERANCE:
        raise GateMatrixError(
            f"{name}: not trace-preserving: sum K^+ K - 1 has the eigenvalue {worst:.3g}, and may differ from 0 by "
            f"{TOLERANCE:g}"
        )
    if float(defect[-1]) > TOLERANCE:
        raise GateMatrixError(f"{name}: trace-increasing: sum K^+ K exceeds 1 by {float(defect[-1]):.3g}")
    if len(out) > MAX_OPERATORS:
        out = kraus_of(superoperator(out), name)
    out = out[weights(out) > 0]
    if not len(out):
        raise GateMatrixError(f"{name}: all operators are zero")
    likeness = np.abs(np.einsum("mii->m", out))
    order = np.argsort(-weights(out), kind="stable")
    first = order[np.argmax(likeness[order] > likeness.max() - 1e-12)]
    return out[[first, *order[order != first]]]


def chain(channels: Sequence[Channel]) -> Channel:
    """The channels one after another, the first one first."""
    out = channels[0]
    for channel in channels[1:]:
        out = channel @ out
    return out
