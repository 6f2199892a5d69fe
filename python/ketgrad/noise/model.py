"""`NoiseModel`: which noise follows which gate of a circuit, and how its outcomes are read.

Owns: rules, and the circuit with channels that they make of a circuit. May not know: how noise is simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import methodcaller
from typing import Any, NamedTuple

import numpy as np

from ..circuit import Circuit, Gate
from ..errors import ArgumentError, ArgumentTypeError, CircuitError, WireError, suggest
from ..gate_spec import CHANNEL
from ..gates import find
from ..pauli import check_wires
from .channel import Channel
from .readout import ReadoutErrors, flips

PARTS = ("each", "controls", "targets")
Wires = tuple[int, ...]
Change = Callable[[Channel], Channel]


@dataclass(frozen=True)
class Rule:
    """A channel after the gates that meet all conditions; made by `NoiseModel.after`, which explains them."""

    channel: Channel
    gates: tuple[str, ...] | None = None
    n_wires: int | None = None
    wires: Wires | None = None
    on: str | Wires | None = None
    at: Wires | None = None
    when: Callable[[Gate], bool] | None = None
    unless: frozenset[Wires] = frozenset()

    def meets(self, name: str, touched: Wires) -> bool:
        """Whether gates of this name on these wires may meet the conditions."""
        return (self.gates is None or name in self.gates) and (self.wires is None or touched == self.wires)

    def places(self, gate: Gate) -> list[Wires]:
        """Where the channel acts after this gate: nowhere, once, or on several of its wires."""
        touched = (*gate.controls, *gate.wires)  # none for a global phase, which takes no time
        k = self.channel.n_wires
        if (
            not touched
            or not self.meets(gate.spec.name, touched)
            or (self.n_wires is not None and len(touched) != self.n_wires)
            or touched in self.unless
            or (self.when is not None and not self.when(gate))
        ):
            return []
        if self.at is not None:
            return [self.at]
        if isinstance(self.on, tuple):
            return [tuple(touched[p] for p in self.on)] if max(self.on) < len(touched) else []
        if self.on is None and len(touched) == k:
            return [touched]
        own = gate.spec.controls if gate.spec.wires is not None else (len(gate.wires) - 1) * (gate.spec.controls > 0)
        split = len(gate.controls) + own
        part = {"controls": touched[:split], "targets": touched[split:]}.get(self.on or "each", touched)
        if k == 1:
            return [(w,) for w in part]
        return [part] if len(part) == k else []

    def __str__(self) -> str:
        what = "any gate" if self.gates is None else ", ".join(self.gates)
        if self.n_wires is not None:
            what += f" of {self.n_wires} wire{'s' * (self.n_wires > 1)}"
        if self.wires is not None:
            what += f" on {self.wires}"
        if self.when is not None:
            what += f" where {getattr(self.when, '__name__', 'a condition')}"
        where = f" at {self.at}" if self.at is not None else f" on {self.on}" if self.on is not None else ""
        return f"after {what}: {self.channel!r}{where}"

    def follow(self, gate: Gate) -> Iterable[tuple[Channel, Wires]]:
        """The channels after this gate, and where."""
        return [(self.channel, where) for where in self.places(gate)]

    def changed(self, change: Change) -> Rule:
        """The rule with another channel."""
        return replace(self, channel=change(self.channel))


@dataclass(frozen=True)
class Function:
    """The channels that a function of the gate gives, and what became of each since."""

    function: Callable[[Gate], Iterable[tuple[Channel, Any]]]
    changes: tuple[Change, ...] = ()

    def follow(self, gate: Gate) -> Iterable[tuple[Channel, Any]]:
        """The channels after this gate, and where."""
        for channel, wires in self.function(gate) if gate.wires or gate.controls else ():
            for change in self.changes:
                channel = change(_checked(channel))
            yield channel, wires

    def changed(self, change: Change) -> Function:
        """The same function, with one change more of what it gives."""
        return replace(self, changes=(*self.changes, change))

    def __str__(self) -> str:
        return f"after any gate: what {getattr(self.function, '__name__', repr(self.function))} gives"


class Spot(NamedTuple):
    """A channel of one wire, on every wire or on these, but on none of the others."""

    channel: Channel
    wires: Wires | None = None
    unless: Wires = ()

    def on(self, wires: Iterable[int]) -> list[int]:
        """Those of the wires on which it acts."""
        return [w for w in wires if (self.wires is None or w in self.wires) and w not in self.unless]


@dataclass(frozen=True, repr=False)
class NoiseModel:
    """Noise of a device; immutable, every method gives a new model.

    Example:
        >>> model = (
        ...     noise.NoiseModel()
        ...     .after(noise.depolarizing(0.001), n_wires=1)
        ...     .after(noise.depolarizing(0.01, 2), gates=["cx", "cz"])
        ...     .readout_error(0.02)
        ... )
        >>> noisy = model.apply(circuit)
    """

    rules: tuple[Rule | Function, ...] = ()
    idles: tuple[Spot, ...] = ()
    ends: tuple[Spot, ...] = ()
    readout: ReadoutErrors = field(default_factory=ReadoutErrors)

    # making one

    def after(
        self,
        channel: Channel,
        gates: str | Iterable[str] | None = None,
        *,
        n_wires: int | None = None,
        wires: int | Sequence[int] | None = None,
        on: str | int | Sequence[int] | None = None,
        at: int | Sequence[int] | None = None,
        when: Callable[[Gate], bool] | None = None,
        unless: Iterable[Sequence[int]] = (),
    ) -> NoiseModel:
        """The channel follows every gate that meets all conditions given; rules act in the order in which they came.

        Args:
            channel: on as many wires as the gate, or on one: then on each of the gate's wires. Gates on another number
                are left alone.
            gates: names or aliases of the gate table; further controls do not change a gate's name. Default: any.
            n_wires: only gates on so many wires, controls included.
            wires: only gates on exactly these wires in this order, controls first.
            on: "each" wire, only its "controls" or "targets", or positions among its wires, controls first.
            at: wires of the circuit to act on instead of the gate's, for crosstalk.
            when: a condition on the `Gate`, which has `spec.name`, `params`, `wires` and `controls`.
            unless: wires of gates that are left alone.

        Raises:
            CircuitError: an unknown gate, or positions or wires that are not as many as the channel's.
        """
        k = _checked(channel).n_wires
        names = None
        if gates is not None:
            names = tuple(find(g).name for g in ((gates,) if isinstance(gates, str) else gates))
        if n_wires is not None and (isinstance(n_wires, bool) or not isinstance(n_wires, int) or n_wires < 1):
            raise ArgumentError(f"after: n_wires is how many wires a gate has, from 1, got {n_wires!r}")
        if isinstance(on, str) and on not in PARTS:
            raise ArgumentError(f"after: on is one of {PARTS} or positions, got {on!r}.{suggest(on, PARTS)}")
        if when is not None and not callable(when):
            raise ArgumentTypeError(f"after: when is a function of the gate, got {type(when).__name__}")
        rule = Rule(
            channel,
            names,
            n_wires,
            _wires(wires, "wires"),
            on if isinstance(on, str) else _wires(on, "on"),
            _wires(at, "at"),
            when,
            frozenset(check_wires(w, "unless") for w in unless),
        )
        for what, given in (("at", rule.at), ("on", None if isinstance(on, str) else rule.on)):
            if given is not None and len(given) != k:
                raise CircuitError(f"after: {channel!r} acts on {k} wire{'s' * (k > 1)}, and {what} has {len(given)}")
        return replace(self, rules=(*self.rules, rule))

    def follow(self, function: Callable[[Gate], Iterable[tuple[Channel, Any]]]) -> NoiseModel:
        """After each gate come the channels that a function of the `Gate` gives, as pairs (channel, wires)."""
        if not callable(function):
            raise ArgumentTypeError(f"follow: a function of the gate, got {type(function).__name__}")
        return replace(self, rules=(*self.rules, Function(function)))

    def idle(self, channel: Channel, wires: int | Sequence[int] | None = None) -> NoiseModel:
        """The channel, of one wire, acts on every wire (or those given) in every moment in which no gate does.

        A moment is a layer of gates, each as early as its wires allow.
        """
        return replace(self, idles=(*self.idles, Spot(_single(channel, "idle"), _wires(wires, "wires"))))

    def before_measurement(
        self, channel: Channel, wires: int | Sequence[int] | None = None, *, unless: Sequence[int] = ()
    ) -> NoiseModel:
        """The channel, of one wire, acts at the end on every wire, or those given; on none of `unless`."""
        spot = Spot(_single(channel, "before_measurement"), _wires(wires, "wires"), check_wires(unless, "unless"))
        return replace(self, ends=(*self.ends, spot))

    def readout_error(self, error: Any, wires: int | Sequence[int] | None = None) -> NoiseModel:
        """Outcomes of every wire, or those given, are read wrongly.

        Args:
            error: the probability of a wrong bit, the pair (P(read 1 | 0), P(read 0 | 1)), or the matrix A[read, true].
        """
        pair = flips(error)
        if wires is None:
            return replace(self, readout=replace(self.readout, default=pair))
        rates = dict(self.readout.rates) | dict.fromkeys(_wires(wires, "wires") or (), pair)
        return replace(self, readout=replace(self.readout, rates=tuple(sorted(rates.items()))))

    def __add__(self, other: NoiseModel) -> NoiseModel:
        """The rules of both, this model's first; `other`'s readout errors if it has any."""
        if not isinstance(other, NoiseModel):
            return NotImplemented
        readout = other.readout if other.readout else self.readout
        return NoiseModel(self.rules + other.rules, self.idles + other.idles, self.ends + other.ends, readout)

    # using one

    def apply(self, circuit: Circuit) -> Circuit:
        """The circuit with channels; it shares the parameters. Channels that are there stay and cause no others.

        Readout errors are no channels: pass `readout` on to what measures the circuit.

        Raises:
            WireError: a rule whose `at` the circuit does not have.
        """
        if not isinstance(circuit, Circuit):
            raise ArgumentTypeError(f"apply: expected a Circuit, got {type(circuit).__name__}")
        out = circuit.copy()
        out.gates = []
        follow: dict[tuple[str, Wires], list[Rule | Function]] = {}  # devices have a rule for each pair of wires
        for gates, idle in _moments(circuit) if self.idles else [(circuit.gates, ())]:
            for gate in gates:
                out.gates.append(gate)
                if gate.spec is CHANNEL:
                    continue
                key = gate.spec.name, (*gate.controls, *gate.wires)
                if key not in follow:
                    follow[key] = [r for r in self.rules if isinstance(r, Function) or r.meets(*key)]
                for rule in follow[key]:
                    for channel, where in rule.follow(gate):
                        out.channel(channel, where)
            for spot in self.idles:
                for w in spot.on(idle):
                    out.channel(spot.channel, w)
        for spot in self.ends:
            for w in spot.on(range(circuit.n_wires)):
                out.channel(spot.channel, w)
        return out

    def scaled(self, factor: float) -> NoiseModel:
        """Every channel for `factor` times as long, see `Channel.scaled`; readout errors stay as they are."""
        return self._mapped(methodcaller("scaled", factor))

    def to_pauli(self) -> NoiseModel:
        """Every channel twirled, so that Pauli words with probabilities are left; readout errors stay as they are."""
        return self._mapped(_pauli)

    def _mapped(self, change: Change) -> NoiseModel:
        return replace(
            self,
            rules=tuple(rule.changed(change) for rule in self.rules),
            idles=tuple(spot._replace(channel=change(spot.channel)) for spot in self.idles),
            ends=tuple(spot._replace(channel=change(spot.channel)) for spot in self.ends),
        )

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The distinct channels, in the order of the rules; without those that functions give."""
        rules = [rule.channel for rule in self.rules if isinstance(rule, Rule)]
        return tuple(dict.fromkeys([*rules, *(spot.channel for spot in (*self.idles, *self.ends))]))

    def __bool__(self) -> bool:
        """Whether there is any noise."""
        return bool(self.rules or self.idles or self.ends or self.readout)

    def __repr__(self) -> str:
        lines = [str(rule) for rule in self.rules]
        for title, spots in (("on idle wires", self.idles), ("before measurement", self.ends)):
            for channel, wires, unless in spots:
                where = ("" if wires is None else f" of {wires}") + (f" but of {unless}" if unless else "")
                lines.append(f"{title}{where}: {channel!r}")
        if any(self.readout.default):
            lines.append("readout: 0 as 1 {:g}, 1 as 0 {:g}".format(*self.readout.default))
        lines += ["readout of wire {}: 0 as 1 {:g}, 1 as 0 {:g}".format(w, *pair) for w, pair in self.readout.rates]
        return "NoiseModel(" + "".join(f"\n  {line}" for line in lines) + "\n" * bool(lines) + ")"


def _pauli(channel: Channel) -> Channel:
    return channel if channel.is_pauli else channel.twirled()


def _moments(circuit: Circuit) -> list[tuple[list[Gate], list[int]]]:
    """Gates of each moment, in order, and the wires on which nothing happens in it. Channels take no time."""
    level = [0] * circuit.n_wires
    moments: list[tuple[list[Gate], set[int]]] = [([], set(range(circuit.n_wires)))]
    for gate in circuit.gates:
        touched = (*gate.wires, *gate.controls)
        timeless = gate.spec is CHANNEL or not touched
        moment = max((level[w] for w in touched), default=0) + (not timeless)
        if moment == len(moments):
            moments.append(([], set()))
        moments[moment][0].append(gate)
        if not timeless:
            moments[moment][1].update(touched)
        for w in touched:
            level[w] = moment
    return [(gates, [w for w in range(circuit.n_wires) if w not in busy]) for gates, busy in moments]


def _wires(wires: int | Sequence[int] | None, what: str) -> Wires | None:
    if wires is None:
        return None
    out = check_wires((wires,) if isinstance(wires, (int, np.integer)) else wires, what)
    if not out:
        raise WireError(f"{what}: at least one wire, got none")
    return out


def _checked(channel: Any) -> Channel:
    if not isinstance(channel, Channel):
        raise ArgumentTypeError(f"expected a ketgrad.noise.Channel, got {type(channel).__name__}")
    if not channel.trace_preserving:
        raise CircuitError(f"{channel!r} is for post-selection, not for a model of noise")
    return channel


def _single(channel: Any, what: str) -> Channel:
    if _checked(channel).n_wires != 1:
        raise CircuitError(f"{what}: a channel of one wire, got {channel!r} of {channel.n_wires}")
    return channel  # type: ignore[no-any-return]
