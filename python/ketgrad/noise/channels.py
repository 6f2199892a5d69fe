"""The channels there are, by name, and how each follows from its strengths.

Owns: the constructors, their conventions (what p means in each) and the analytic derivatives and powers of their
superoperators. Sources: Nielsen and Chuang, Quantum Computation and Quantum Information, section 8.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentTypeError, CircuitError, GateMatrixError, WireError
from ..expressions import finite
from ..pauli import check_word
from .channel import MAX_CHANNEL_WIRES, Channel, Family
from .matrices import TOLERANCE, Matrix, paulis, superoperator

Array = npt.NDArray[np.float64]


def pauli(probabilities: Mapping[str, float]) -> Channel:
    """Word -> probability: the word is applied with this probability, nothing with what is left of 1.

    Args:
        probabilities: as `{"X": 0.01, "Z": 0.02}` or `{"ZZ": 0.1}`; the words have one length, 1 to 3. The identity may
            be among them if all add up to 1.

    Raises:
        GateMatrixError: a negative probability, or more than 1 together; with the amount.
    """
    if not isinstance(probabilities, Mapping) or not probabilities:
        raise ArgumentTypeError('pauli: give the probabilities as {"X": 0.01, "Z": 0.02}')
    k = len(check_word(next(iter(probabilities))))
    if not 1 <= k <= MAX_CHANNEL_WIRES:
        raise CircuitError(f"pauli: words have 1 to {MAX_CHANNEL_WIRES} letters, got {k}")
    given = {check_word(word, k): _number(p, f"pauli: the probability of {word}") for word, p in probabilities.items()}
    identity = given.pop("I" * k, None)
    total = sum(given.values())
    if identity is not None and abs(identity + total - 1) > TOLERANCE:
        over = identity + total - 1
        raise GateMatrixError(f"pauli: probabilities with the identity's add up to 1, got 1 {over:+.3g}")
    given = given or {"X" + "I" * (k - 1): 0.0}  # no error at all
    return PauliErrors("pauli", tuple(given), False)(*given.values())


def bit_flip(p: float) -> Channel:
    """X with probability p."""
    return PauliErrors("bit_flip", ("X",), False)(p)


def phase_flip(p: float) -> Channel:
    """Z with probability p; at p = 0.5 a measurement whose outcome is forgotten."""
    return PauliErrors("phase_flip", ("Z",), False)(p)


def bit_phase_flip(p: float) -> Channel:
    """Y with probability p."""
    return PauliErrors("bit_phase_flip", ("Y",), False)(p)


def depolarizing(p: float, wires: int = 1) -> Channel:
    """One of the 4^k - 1 words that are not the identity, each with probability p / (4^k - 1).

    p is the probability that something happens. The state becomes (1 - lam) rho + lam 1/2^k with
    lam = p 4^k / (4^k - 1): p = 3/4 on one wire, 15/16 on two, leaves nothing of it.

    Args:
        wires: k, 1 to 3.
    """
    if isinstance(wires, bool) or not isinstance(wires, (int, np.integer)) or not 1 <= wires <= MAX_CHANNEL_WIRES:
        raise WireError(f"depolarizing: wires is their number, 1 to {MAX_CHANNEL_WIRES}, got {wires!r}")
    return PauliErrors("depolarizing", paulis(int(wires))[0][1:], True)(p)


def amplitude_damping(gamma: float) -> Channel:
    """|1> decays to |0> with probability gamma."""
    return Relaxation("amplitude_damping")(gamma)


def generalized_amplitude_damping(gamma: float, excited: float) -> Channel:
    """Decay by gamma towards an equilibrium in which |1> has the probability `excited`."""
    return Relaxation("generalized_amplitude_damping")(gamma, excited)


def phase_damping(lam: float) -> Channel:
    """Coherences shrink by sqrt(1 - lam): the same as a `phase_flip` of (1 - sqrt(1 - lam)) / 2."""
    return Relaxation("phase_damping")(lam)


def thermal_relaxation(t1: float, t2: float, time: float, excited: float = 0.0) -> Channel:
    """For `time`: populations decay by exp(-time / t1) towards `excited` in |1>, coherences by exp(-time / t2).

    Args:
        t1, t2, time: in the same unit; t2 is at most 2 t1. Infinite ones do not relax.
    """
    return Relaxation("thermal_relaxation")(t1, t2, time, excited)


def reset_error(p0: float, p1: float = 0.0) -> Channel:
    """The wire is set to |0> with probability p0 and to |1> with probability p1."""
    return Relaxation("reset_error")(p0, p1)


def reset() -> Channel:
    """The wire is set to |0>, whatever it was."""
    return Channel(np.array([[[1, 0], [0, 0]], [[0, 1], [0, 0]]], dtype=complex), "reset")


def measurement() -> Channel:
    """The wire is measured and the outcome forgotten: coherences vanish."""
    return Channel(phase_flip(0.5).kraus, "measure")


def projection(bit: int) -> Channel:
    """Only what has this bit is kept: the trace becomes the probability of it. For post-selection."""
    if bit not in (0, 1):
        raise CircuitError(f"projection: the bit is 0 or 1, got {bit!r}")
    kept = np.zeros((1, 2, 2), dtype=complex)
    kept[0, int(bit), int(bit)] = 1
    return Channel(kept, f"project {int(bit)}", trace_preserving=False)


def over_rotation(word: str, angle: float) -> Channel:
    """exp(-i angle word / 2), always: the coherent error of a gate that turns too far.

    Args:
        word: 1 to 3 letters.
        angle: radians.
    """
    if not 1 <= len(check_word(word)) <= MAX_CHANNEL_WIRES:
        raise CircuitError(f"over_rotation: a word has 1 to {MAX_CHANNEL_WIRES} letters, got {word!r}")
    return OverRotation(word)(angle)


def mixture(probabilities: Sequence[float], unitaries: npt.ArrayLike) -> Channel:
    """Unitary i with probability i.

    Raises:
        GateMatrixError: negative probabilities, which do not add up to 1, or matrices that are not unitary; with the
            amount.
    """
    weights = np.array([_number(p, "mixture: a probability") for p in probabilities])
    try:
        matrices = np.array(unitaries, dtype=complex)
    except (TypeError, ValueError):
        raise GateMatrixError("mixture: unitaries are square matrices of one size") from None
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or len(matrices) != len(weights):
        raise GateMatrixError(
            f"mixture: {len(weights)} probabilities need unitaries of shape ({len(weights)}, 2^k, 2^k), "
            f"got {matrices.shape}"
        )
    _nonnegative("mixture", weights)
    if abs(weights.sum() - 1) > TOLERANCE:
        raise GateMatrixError(f"mixture: probabilities add up to 1, got 1 {weights.sum() - 1:+.3g}")
    defect = np.abs(matrices @ matrices.conj().transpose(0, 2, 1) - np.eye(matrices.shape[1])).max()
    if not defect <= TOLERANCE:
        raise GateMatrixError(f"mixture: a matrix is not unitary, |U U^dagger - 1| = {defect:.3g}")
    return Channel(np.sqrt(weights)[:, None, None] * matrices, "mixture")


def kraus(matrices: npt.ArrayLike, name: str = "kraus") -> Channel:
    """The channel with these Kraus operators, (m, 2^k, 2^k) for k from 1 to 3.

    Raises:
        GateMatrixError: wrong shapes or not trace-preserving; with the amount.
    """
    return Channel(cast(Matrix, matrices), name)


# families


@dataclass(frozen=True)
class PauliErrors(Family):
    """Words with probabilities that are the strengths, or equal parts of the only strength."""

    name: str
    words: tuple[str, ...]
    shared: bool

    def __call__(self, *strengths: float) -> Channel:
        given = [_number(s, f"{self.name}: a probability") for s in strengths]
        _nonnegative(self.name, np.array(given))
        rest = 1 - sum(given)
        if rest < -TOLERANCE:
            raise GateMatrixError(f"{self.name}: probabilities add up to at most 1, got 1 {-rest:+.3g}")
        each = np.full(len(self.words), given[0] / len(self.words)) if self.shared else np.array(given)
        weights = np.concatenate([[max(rest, 0.0)], each])
        kraus = np.sqrt(weights)[:, None, None] * _matrices(self.words)
        return Channel(kraus, self.name, tuple(given), self)

    def derivatives(self, *strengths: float) -> Matrix:
        each = np.array([superoperator(m[None]) for m in _matrices(self.words)])
        slopes = each[1:] - each[0]
        return np.asarray(slopes.mean(axis=0, keepdims=True) if self.shared else slopes)

    def scaled(self, factor: float, *strengths: float) -> Channel:
        """Every eigenvalue sum_w (+-) p_w to the power; + where the words commute."""
        k = len(self.words[0])
        words, matrices = paulis(k)
        known = self(*strengths).pauli_probabilities
        signs = np.einsum("aij,bjk,akl,bli->ab", matrices, matrices, matrices, matrices).real / 2**k
        values = signs @ np.array([known[w] for w in words])
        values[np.abs(values) < 1e-15] = 0
        if values.min() < 0 and factor != int(factor):
            raise GateMatrixError(
                f"{self.name}: {factor:g} times as long needs a power of the eigenvalue {values.min():.3g}, which is "
                "negative; use whole factors"
            )
        out = signs @ values**factor / 4**k
        if out.min() < -TOLERANCE:
            raise GateMatrixError(f"{self.name}: {factor:g} times as long has the negative probability {out.min():.3g}")
        new = {w: max(float(p), 0.0) for w, p in zip(words[1:], out[1:], strict=True)}
        if self.shared:
            return self(min(sum(new.values()), 1.0))
        scale = max(1.0, sum(new.values()))
        kept = self.words if len(self.words) == 1 else tuple(w for w, p in new.items() if p > 1e-17 or w in self.words)
        return PauliErrors(self.name, kept, False)(*(new[w] / scale for w in kept))


@cache
def _matrices(words: tuple[str, ...]) -> Matrix:
    """The identity and the words."""
    known = dict(zip(*paulis(len(words[0])), strict=True))
    return np.array([known["I" * len(words[0])], *(known[w] for w in words)])


@dataclass(frozen=True)
class OverRotation(Family):
    """A rotation about a word."""

    word: str

    def _unitary(self, angle: float) -> tuple[Matrix, Matrix]:
        one, word = _matrices((self.word,))
        return np.cos(angle / 2) * one - 1j * np.sin(angle / 2) * word, word

    def __call__(self, *strengths: float) -> Channel:
        angle = _number(strengths[0], "over_rotation: angle")
        return Channel(self._unitary(angle)[0][None], f"over_rotation {self.word}", (angle,), self)

    def derivatives(self, *strengths: float) -> Matrix:
        unitary, word = self._unitary(strengths[0])
        half = np.kron(-0.5j * word @ unitary, unitary.conj())
        swapped = np.kron(unitary, (-0.5j * word @ unitary).conj())
        return np.asarray((half + swapped)[None])

    def scaled(self, factor: float, *strengths: float) -> Channel:
        return self(factor * strengths[0])


class _Kind(NamedTuple):
    """How (a, b, c) of a relaxation follows from its strengths, its (3, s) slopes, and the strengths of its power."""

    rates: Callable[..., tuple[float, float, float]]
    slopes: Callable[..., Any]
    power: Callable[..., tuple[float, ...]]
    chances: tuple[int, ...]  # strengths that are probabilities


def _decay(p: float, factor: float) -> float:
    return float(-np.expm1(factor * np.log1p(-p))) if p < 1 else float(factor > 0)


def _root(p: float) -> float:
    return float(np.sqrt(1 - p))


def _root_slope(p: float) -> float:
    return -0.5 / _root(p) if p < 1 else -np.inf


def _thermal(t1: float, t2: float, time: float, excited: float) -> tuple[float, float, float]:
    gone = -np.expm1(-time / np.float64(t1))
    return float(gone * excited), float(gone * (1 - excited)), float(np.exp(-time / np.float64(t2)))


def _thermal_slopes(t1: float, t2: float, time: float, excited: float) -> Any:
    left, c = np.exp(-time / np.float64(t1)), np.exp(-time / np.float64(t2))
    gone, by_t1, by_time = 1 - left, -left * time / np.float64(t1) ** 2, left / np.float64(t1)
    return [
        [by_t1 * excited, 0, by_time * excited, gone],
        [by_t1 * (1 - excited), 0, by_time * (1 - excited), -gone],
        [0, c * time / np.float64(t2) ** 2, -c / np.float64(t2), 0],
    ]


def _reset_power(f: float, p0: float, p1: float) -> tuple[float, float]:
    total = p0 + p1
    scale = _decay(min(total, 1.0), f) / total if total else 0.0
    return scale * p0, scale * p1


_KINDS = {
    "amplitude_damping": _Kind(
        lambda g: (0.0, g, _root(g)), lambda g: [[0], [1], [_root_slope(g)]], lambda f, g: (_decay(g, f),), (0,)
    ),
    "generalized_amplitude_damping": _Kind(
        lambda g, e: (g * e, g * (1 - e), _root(g)),
        lambda g, e: [[e, g], [1 - e, -g], [_root_slope(g), 0]],
        lambda f, g, e: (_decay(g, f), e),
        (0, 1),
    ),
    "phase_damping": _Kind(
        lambda g: (0.0, 0.0, _root(g)), lambda g: [[0], [0], [_root_slope(g)]], lambda f, g: (_decay(g, f),), (0,)
    ),
    "thermal_relaxation": _Kind(_thermal, _thermal_slopes, lambda f, t1, t2, t, e: (t1, t2, f * t, e), (3,)),
    "reset_error": _Kind(
        lambda p0, p1: (p1, p0, 1 - p0 - p1), lambda p0, p1: [[0, 1], [1, 0], [-1, -1]], _reset_power, (0, 1)
    ),
}
_RATES = np.zeros((3, 4, 4))  # d(superoperator) by a, b and c, in which it is affine
_RATES[0, [0, 3], 0] = -1, 1
_RATES[1, [0, 3], 3] = 1, -1
_RATES[2, [1, 2], [1, 2]] = 1


@dataclass(frozen=True)
class Relaxation(Family):
    """Populations exchanged with probabilities a (0 to 1) and b (1 to 0), coherences multiplied by c."""

    kind: str

    @property
    def n_strengths(self) -> int:
        """How many strengths it has."""
        if self.kind not in _KINDS:
            raise CircuitError(f"a relaxation is one of {', '.join(_KINDS)}, got {self.kind!r}")
        return _KINDS[self.kind].rates.__code__.co_argcount

    def __call__(self, *strengths: float) -> Channel:
        row = _KINDS[self.kind]
        given = tuple(_number(s, f"{self.kind}: strength {j}", self.kind) for j, s in enumerate(strengths))
        for j in row.chances:
            if not 0 <= given[j] <= 1:
                over = given[j] - 1 if given[j] > 1 else given[j]
                raise GateMatrixError(
                    f"{self.kind}: strength {j} is a probability, from 0 to 1, got {given[j]:g} ({over:+.3g})"
                )
        if self.kind == "reset_error" and sum(given) > 1 + TOLERANCE:
            raise GateMatrixError(f"reset_error: p0 + p1 is at most 1, got 1 {sum(given) - 1:+.3g}")
        if self.kind == "thermal_relaxation":
            t1, t2, time, _ = given
            if not (t1 > 0 and t2 > 0 and 0 <= time < np.inf):
                raise GateMatrixError(f"thermal_relaxation: t1, t2 > 0 and a finite time >= 0, got {t1}, {t2}, {time}")
            if t2 > 2 * t1 * (1 + TOLERANCE):
                raise GateMatrixError(f"thermal_relaxation: t2 is at most 2 t1, got {t2:g}, {t2 - 2 * t1:.3g} more")
        return Channel(_relaxation(*row.rates(*given)), self.kind, given, self)

    def derivatives(self, *strengths: float) -> Matrix:
        with np.errstate(divide="ignore"):
            slopes = np.array(_KINDS[self.kind].slopes(*strengths), dtype=float)
        with np.errstate(invalid="ignore"):
            return np.where(
                np.isfinite(slopes).all(axis=0)[:, None, None], np.einsum("rs,rij->sij", slopes, _RATES), np.inf + 0j
            )

    def scaled(self, factor: float, *strengths: float) -> Channel:
        return self(*_KINDS[self.kind].power(factor, *strengths))


def _relaxation(a: float, b: float, c: float) -> Matrix:
    """The four canonical operators: two diagonal ones from [[1 - a, c], [c, 1 - b]], and the two jumps."""
    half = (b - a) / 2
    radius = float(np.hypot(half, c))
    large = 1 - (a + b) / 2 + radius
    angle = 0.5 * np.arctan2(c, half) if radius > 0 else np.pi / 4
    small = max((1 - a) * (1 - b) - c * c, 0.0) / large if large > 0 else 0.0
    if small < 1e-15:
        small = 0.0
    cos, sin = np.cos(angle), np.sin(angle)
    out = np.zeros((4, 2, 2), dtype=complex)
    out[0] = np.sqrt(max(large, 0.0)) * np.diag([cos, sin])
    out[1] = np.sqrt(small) * np.diag([sin, -cos])
    out[2, 0, 1] = np.sqrt(b)
    out[3, 1, 0] = np.sqrt(a)
    return out


# arguments


def _number(value: Any, what: str, kind: str = "") -> float:
    if kind == "thermal_relaxation" and isinstance(value, (float, int, np.floating)) and value == np.inf:
        return float(value)
    return finite(value, what)


def _nonnegative(name: str, weights: Array) -> None:
    if weights.size and weights.min() < 0:
        raise GateMatrixError(f"{name}: probabilities are at least 0, got {weights.min():.3g}")
