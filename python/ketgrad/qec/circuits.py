"""Noisy circuits with measurements in their midst, for Stim and for our own simulation alike.

Owns: `NoisyCircuit` (gates, channels, measurements, detectors, observables), its text for Stim with every channel
twirled, one specification of noise for all of it, and memory experiments of codes. May not know: how it is simulated.
Source: the noise and the layers of gates are those of Stim's generated circuits, C. Gidney, Quantum 5, 497 (2021).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..circuit import Circuit
from ..errors import ArgumentError, ArgumentTypeError, CircuitError
from ..noise import bit_flip, depolarizing
from ..noise.channel import Channel
from ..pauli import check_wires
from .codes import Code, check_code

MAX_ROUNDS = 10_000
STIM = {  # gates of the table that Stim knows
    **{name: name.upper() for name in ("i", "x", "y", "z", "h", "s", "cx", "cy", "cz", "swap", "iswap")},
    "sdg": "S_DAG",
    "sx": "SQRT_X",
    "sxdg": "SQRT_X_DAG",
}


@dataclass(frozen=True)
class CircuitNoise:
    """Where noise occurs in a syndrome circuit: a channel each, or None for none; a number is a probability.

    Attributes:
        gate1, gate2: after every gate on one or two wires; numbers: depolarizing.
        idle: on every data qubit before each round; a number: depolarizing.
        measure: on a wire before it is measured; a number: a bit flip.
        reset: on a wire after it was reset; a number: a bit flip.

    Example:
        >>> CircuitNoise(gate2=0.003, idle=noise.over_rotation("Z", 0.05))  # a coherent error, which Stim has to twirl
    """

    gate1: Any = None
    gate2: Any = None
    idle: Any = None
    measure: Any = None
    reset: Any = None

    def __post_init__(self) -> None:
        for name, k in (("gate1", 1), ("gate2", 2), ("idle", 1), ("measure", 1), ("reset", 1)):
            value = getattr(self, name)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                flips = name in ("measure", "reset")
                value = None if value == 0 else bit_flip(value) if flips else depolarizing(value, k)
                object.__setattr__(self, name, value)
            if value is not None and not isinstance(value, Channel):
                raise ArgumentTypeError(f"{name}: expected a channel or a probability, got {type(value).__name__}")
            if value is not None and value.n_wires != k:
                raise CircuitError(f"{name}: a channel on {k} wire{'s' * (k > 1)} is wanted, got {value!r}")

    @classmethod
    def uniform(cls, p: float) -> CircuitNoise:
        """The same probability everywhere, as in `stim.Circuit.generated` with all four of its arguments set to p."""
        return cls(p, p, p, p, p)

    def twirled(self) -> CircuitNoise:
        """Every channel replaced by its Pauli twirl: what Stim simulates."""
        parts = (self.gate1, self.gate2, self.idle, self.measure, self.reset)
        return CircuitNoise(*(None if c is None else c.twirled() for c in parts))


class Op(NamedTuple):
    """One step: a gate, a channel, or a measurement of wires, which are reset afterwards where `argument` says so."""

    kind: str  # "gate", "channel" or "measure"
    wires: tuple[int, ...]
    argument: Any  # a gate's name and angles; the channel; whether to reset


@dataclass
class NoisyCircuit:
    """Gates, channels and measurements, from |0...0>; measurements are numbered as they come.

    Attributes:
        n_wires: number of wires.
        ops: the steps so far.
        n_measurements: how many wires were measured so far.
        detectors: for each the measurements whose parity is 0 without noise.
        observables: for each the measurements whose parity is a logical outcome, 0 without noise.
    """

    n_wires: int
    ops: list[Op] = field(default_factory=list)
    n_measurements: int = 0
    detectors: list[tuple[int, ...]] = field(default_factory=list)
    observables: list[tuple[int, ...]] = field(default_factory=list)

    def gate(self, name: str, *wires: int, angles: Sequence[float] = ()) -> NoisyCircuit:
        """Append a gate of the table; whether Stim knows it matters only for `to_stim`."""
        Circuit(self.n_wires).append(name, angles, wires)  # which refuses what cannot be
        self.ops.append(Op("gate", tuple(wires), (name, tuple(angles))))
        return self

    def channel(self, channel: Channel | None, *wires: int) -> NoisyCircuit:
        """Append a channel on its wires; None is no noise.

        Raises:
            CircuitError: another number of wires, or a channel that is not trace-preserving.
        """
        if channel is None:
            return self
        if not isinstance(channel, Channel):
            raise ArgumentTypeError(f"channel: expected a ketgrad.noise.Channel, got {type(channel).__name__}")
        where = check_wires(wires, channel.name, self.n_wires)
        if len(where) != channel.n_wires or not channel.trace_preserving:
            raise CircuitError(f"{channel!r} on wires {wires}: a trace-preserving channel on its number of wires")
        self.ops.append(Op("channel", where, channel))
        return self

    def measure(self, wires: Sequence[int], reset: bool = True) -> list[int]:
        """Measure wires in Z, then set them to |0> if `reset`; gives the numbers of the measurements."""
        where = check_wires(wires, "measure", self.n_wires)
        self.ops.append(Op("measure", where, bool(reset)))
        first, self.n_measurements = self.n_measurements, self.n_measurements + len(where)
        return list(range(first, self.n_measurements))

    def detector(self, measurements: Sequence[int]) -> NoisyCircuit:
        """Declare measurements whose parity is 0 without noise."""
        self.detectors.append(self._measured(measurements))
        return self

    def observable(self, measurements: Sequence[int]) -> NoisyCircuit:
        """Declare measurements whose parity is a logical outcome."""
        self.observables.append(self._measured(measurements))
        return self

    def _measured(self, measurements: Sequence[int]) -> tuple[int, ...]:
        try:
            numbers = tuple(map(operator.index, measurements))
        except TypeError:
            raise ArgumentTypeError(f"a sequence of numbers of measurements is wanted, got {measurements!r}") from None
        if any(not 0 <= m < self.n_measurements for m in numbers):
            raise CircuitError(f"there are {self.n_measurements} measurements so far, got {numbers}")
        return numbers

    @property
    def is_pauli(self) -> bool:
        """Whether all noise is Pauli noise, so that Stim's circuit is the same and no twirl of it."""
        return all(op.argument.is_pauli for op in self.ops if op.kind == "channel")

    def to_stim(self) -> str:
        """The text of a Stim circuit, channels replaced by their Pauli twirls; `stim.Circuit(text)` reads it.

        Raises:
            CircuitError: a gate that is no Clifford gate of Stim's, or a channel on three wires.
        """
        lines: list[tuple[str, list[str]]] = []
        for op in self.ops:
            head, targets = _stim_op(op), [str(w) for w in op.wires]
            if lines and lines[-1][0] == head:
                lines[-1][1].extend(targets)
            elif head:
                lines.append((head, targets))
        for names, rows in (("DETECTOR", self.detectors), ("OBSERVABLE_INCLUDE({})", self.observables)):
            for k, row in enumerate(rows):
                lines.append((names.format(k), [f"rec[{m - self.n_measurements}]" for m in row]))
        return "\n".join(" ".join([head, *targets]) for head, targets in lines)


def _stim_op(op: Op) -> str:
    if op.kind == "measure":
        return "MR" if op.argument else "M"
    if op.kind == "gate":
        name = op.argument[0]
        if name not in STIM:
            raise CircuitError(f"{name} is no Clifford gate that Stim knows ({', '.join(STIM)}); simulate it here")
        return STIM[name]
    words: dict[str, float] = op.argument.pauli_probabilities
    errors = list(words.values())[1:]
    if len(op.wires) > 2:
        raise CircuitError(f"Stim has Pauli channels on one and two wires, got {op.argument!r}")
    if max(errors) - min(errors) < 1e-15:
        return f"DEPOLARIZE{len(op.wires)}({sum(errors):.15g})" if sum(errors) > 0 else ""
    for word, p in list(words.items())[1:]:
        if len(op.wires) == 1 and p > 0 and abs(p - sum(errors)) < 1e-15:
            return f"{word}_ERROR({p:.15g})"
    listed = ", ".join(f"{p:.15g}" for p in errors)
    return f"PAULI_CHANNEL_{len(op.wires)}({listed})"


def memory(code: Code, rounds: int, noise: CircuitNoise, basis: str = "Z") -> NoisyCircuit:
    """Keep the logical zeros (basis Z) or plusses (X) for some rounds of syndrome measurements, then measure them.

    Data are wires 0..n-1, the ancilla of stabilizer i is wire n + i, and all gates follow the code's schedule.
    Detectors compare each stabilizer with its outcome of the round before, the last with the data; observables are the
    logical operators of the basis.

    Args:
        code: with stabilizers of Xs only and Zs only.
        rounds: 1 to 10,000.
        noise: where it occurs; preparing and measuring in X have no noise beyond that of Z.
        basis: "Z" or "X".

    Raises:
        ArgumentError: a code with other stabilizers or logical operators, no rounds, another basis.
    """
    if not check_code(code).is_css:
        raise ArgumentError(f"{code.name}: a memory experiment takes stabilizers of Xs only and Zs only")
    if isinstance(rounds, bool) or not isinstance(rounds, (int, np.integer)) or not 1 <= rounds <= MAX_ROUNDS:
        raise ArgumentError(f"memory: rounds is a whole number from 1 to {MAX_ROUNDS}, got {rounds!r}")
    if not isinstance(noise, CircuitNoise):
        raise ArgumentTypeError(f"memory: noise is a CircuitNoise, got {type(noise).__name__}")
    if basis not in ("X", "Z"):
        raise ArgumentError(f"memory: the basis is 'X' or 'Z', got {basis!r}")
    logical = code.logical_x if basis == "X" else code.logical_z
    for word in logical:
        if set(word) - {"I", basis}:
            raise ArgumentError(f"memory: what is measured in {basis} has {basis}s only, the logical {basis} is {word}")
    n, m = code.n, len(code.stabilizers)
    data, ancillas = range(n), range(n, n + m)
    kinds = ["X" if "X" in s else "Z" for s in code.stabilizers]
    out = NoisyCircuit(n + m)
    for w in (*data, *ancillas):
        out.channel(noise.reset, w)
    _rotate(out, data, basis)
    last: list[int] = []
    for _ in range(rounds):
        now = _round(out, code, kinds, noise)
        for i in range(m):
            if last or kinds[i] == basis:
                out.detector([now[i], last[i]] if last else [now[i]])
        last = now
    _rotate(out, data, basis)
    for w in data:
        out.channel(noise.measure, w)
    final = out.measure(data, reset=False)
    for i, s in enumerate(code.stabilizers):
        if kinds[i] == basis:
            out.detector([*(final[q] for q in data if s[q] != "I"), last[i]])
    for word in logical:
        out.observable([final[q] for q in data if word[q] != "I"])
    return out


def _rotate(out: NoisyCircuit, data: range, basis: str) -> None:
    if basis == "X":
        for w in data:
            out.gate("h", w)


def _round(out: NoisyCircuit, code: Code, kinds: list[str], noise: CircuitNoise) -> list[int]:
    """One round of all stabilizers; gives the numbers of their measurements."""
    n, ancillas = code.n, [code.n + i for i in range(len(kinds))]
    turned = [a for a, kind in zip(ancillas, kinds, strict=True) if kind == "X"]
    for w in range(n):
        out.channel(noise.idle, w)
    for part in ("before", "gates", "after"):
        if part != "gates":
            for w in turned:
                out.gate("h", w)
            for w in turned:
                out.channel(noise.gate1, w)
            continue
        for layer in range(max(map(len, code.schedule))):
            pairs = []
            for a, kind, row in zip(ancillas, kinds, code.schedule, strict=True):
                q = row[layer] if layer < len(row) else None
                if q is not None:
                    pairs.append((a, q) if kind == "X" else (q, a))
            for pair in pairs:
                out.gate("cx", *pair)
            for pair in pairs:
                out.channel(noise.gate2, *pair)
    for w in ancillas:
        out.channel(noise.measure, w)
    measured = out.measure(ancillas)
    for w in ancillas:
        out.channel(noise.reset, w)
    return measured
