"""From a circuit to a program: names to opcodes, wires to bits, expressions to slots.

Owns: the only place where wire w becomes bit n - 1 - w, and where a gate's factors become instructions. May not
know: how a backend runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .circuit import Circuit, Gate
from .errors import ArgumentTypeError, WireError
from .expressions import Expression, Stage
from .factors import Angle, Dense, Diagonal, ExpDiagonal, Factor, PairRot, Pauli, Phase, Rot
from .gate_spec import CHANNEL
from .pauli import Key, PauliSum
from .program import INSTRUCTION, TERM, Opcode, Program

if TYPE_CHECKING:
    from .noise.channel import Channel

Row = tuple[int, int, int, int, float, float, int, int, int, int, int, int, int]


@dataclass(frozen=True, eq=False)
class Readout:
    """values (B, M) = terms (B, R) @ coefficients.T + constant."""

    coefficients: npt.NDArray[np.float64]
    constant: npt.NDArray[np.float64]
    keys: tuple[Key, ...]

    @cached_property
    def is_identity(self) -> bool:
        """Whether every value is one term with coefficient 1, in order."""
        m, r = self.coefficients.shape
        return m == r and not self.constant.any() and bool((self.coefficients == np.eye(m)).all())


class Site(NamedTuple):
    """Where a program has a channel: a KRAUS whose matrices are the channel's operators, and their inverses.

    A channel of several operators has a per-sample slot of its own, the choice among them; these slots follow those
    that the stage fills, in the order of the sites.
    """

    instruction: int
    channel: Channel
    probabilities: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lowered:
    """A program, the stage that fills its slots, the map from its terms to the observables, and where it has noise."""

    program: Program
    stage: Stage
    readout: Readout
    sites: tuple[Site, ...] = ()


def wire_bit(wire: int, n_wires: int) -> int:
    """The bit of a wire; wire 0 is the most significant."""
    return n_wires - 1 - wire


def lower(circuit: Circuit, observables: Sequence[PauliSum] = ()) -> Lowered:
    """Lower a circuit and its observables.

    Raises:
        WireError: an observable on a wire the circuit does not have.
    """
    derived: dict[Expression, None] = {}
    for gate in circuit.gates:
        for p in gate.params:
            if isinstance(p, Expression) and p.affine is None:
                derived[p] = None
    stage = Stage(circuit.n_weights, circuit.n_inputs, list(derived))
    builder = _Builder(circuit.n_wires, stage)
    if circuit.initial is not None:
        builder.prepare(*circuit.initial)
    for gate in circuit.gates:
        if gate.spec is CHANNEL:
            builder.channel(gate)
        else:
            builder.gate(gate)
    readout = _readout(observables)
    terms = np.zeros(len(readout.keys), dtype=TERM)
    for row, key in zip(terms, readout.keys, strict=True):
        row["x_mask"], row["z_mask"], row["ctrl_mask"], row["ctrl_value"] = term_masks(key, circuit.n_wires)
    program = Program(
        circuit.n_wires,
        np.array(builder.rows, dtype=INSTRUCTION),
        np.concatenate(builder.pool) if builder.pool else np.zeros(0),
        terms,
        stage.n_shared,
        stage.n_per_sample + builder.choices,
    )
    return Lowered(program, stage, readout, tuple(builder.sites))


def term_masks(key: Key, n_wires: int) -> tuple[int, int, int, int]:
    """(x_mask, z_mask, ctrl_mask, ctrl_value) of a word and pattern.

    Raises:
        WireError: a wire out of range.
    """
    word, pattern = key
    x = z = mask = value = 0
    for wire, _ in (*word, *pattern):
        if wire >= n_wires:
            raise WireError(f"observable: wire {wire} is out of range for {n_wires} wires (allowed 0..{n_wires - 1})")
    for wire, letter in word:
        bit = 1 << wire_bit(wire, n_wires)
        x |= bit * (letter in "XY")
        z |= bit * (letter in "YZ")
    for wire, wanted in pattern:
        bit = 1 << wire_bit(wire, n_wires)
        mask |= bit
        value |= bit * wanted
    return x, z, mask, value


_TO_Z = {
    "X": np.array([[1, 1], [1, -1]], dtype=complex) * np.sqrt(0.5),
    "Y": np.array([[1, -1j], [1, 1j]], dtype=complex) * np.sqrt(0.5),
}


def measured_in_basis(program: Program, basis: dict[int, str]) -> Program:
    """The program followed by the rotations that turn X or Y on a bit into Z; without terms."""
    rows, pool, size = [], [program.pool], program.pool.size
    for bit, letter in basis.items():
        if letter in _TO_Z:
            rows.append((1 << bit, 0, 0, 0, 0.0, 0.0, -1, size, int(Opcode.DENSE), 1, 0, 0, 0))
            pool.append(_TO_Z[letter].reshape(-1).view(np.float64))
            size += 8
    instructions = np.concatenate([program.instructions, np.array(rows, dtype=INSTRUCTION)])
    return Program(
        program.n_bits,
        instructions,
        np.concatenate(pool),
        np.zeros(0, dtype=TERM),
        program.n_shared,
        program.n_per_sample,
    )


def _readout(observables: Sequence[PauliSum]) -> Readout:
    keys: dict[Key, int] = {}
    entries: list[tuple[int, int, float]] = []
    constant = np.zeros(len(observables))
    for m, observable in enumerate(observables):
        if not isinstance(observable, PauliSum):
            raise ArgumentTypeError(
                f"observable {m}: expected a PauliSum such as kg.Z(0), got {type(observable).__name__}"
            )
        for c, word, pattern in observable.terms:
            if not word and not pattern:
                constant[m] += c
            else:
                entries.append((m, keys.setdefault((word, pattern), len(keys)), c))
    coefficients = np.zeros((len(observables), len(keys)))
    for m, r, c in entries:
        coefficients[m, r] += c
    return Readout(coefficients, constant, tuple(keys))


class _Builder:
    """Collects instruction rows and pool constants."""

    def __init__(self, n_wires: int, stage: Stage) -> None:
        self.n, self.stage = n_wires, stage
        self.rows: list[Row] = []
        self.pool: list[npt.NDArray[np.float64]] = []
        self.sites: list[Site] = []
        self.choices = 0  # slots that choose among a channel's operators
        self._pool_size = 0
        self._known: dict[tuple[object, ...], tuple[object, int]] = {}

    def prepare(self, vector: npt.NDArray[np.complex128], wires: tuple[int, ...]) -> None:
        bits = [wire_bit(w, self.n) for w in wires]
        payload = self._constant(_ascending(vector, bits).view(np.float64))
        self._emit(Opcode.PREPARE, x=_mask(bits), payload=payload, k=len(bits))

    def gate(self, gate: Gate) -> None:
        own = gate.wires
        n_controls = len(own) - 1 if gate.spec.wires is None and gate.spec.controls else gate.spec.controls
        targets = [wire_bit(w, self.n) for w in own[n_controls:]]
        ctrl = value = 0
        for wire, wanted in (
            *((w, 1) for w in own[:n_controls]),
            *zip(gate.controls, gate.control_values, strict=True),
        ):
            bit = 1 << wire_bit(wire, self.n)
            ctrl |= bit
            value |= bit * wanted
        params = dict(zip(gate.spec.params, gate.params, strict=True))
        factors = gate.spec.factors(len(targets), gate.extra)
        for factor in reversed(factors) if gate.inverse else factors:
            self._factor(factor, targets, ctrl, value, params, gate.inverse)

    def channel(self, gate: Gate) -> None:
        """A KRAUS of the channel's operators; if there are several, a slot of its own chooses."""
        channel: Channel = gate.extra
        targets = [wire_bit(w, self.n) for w in gate.wires]
        payload = self._cached(
            channel,
            (channel, tuple(np.argsort(targets))),
            lambda: np.concatenate([_ascending_matrix(m, targets) for m in (*channel.operators, *channel.inverses)]),
        )
        choice = (0.0, 0.0, -1)
        if len(channel.operators) > 1:
            choice = (1.0, 0.0, self.stage.n_shared + self.stage.n_per_sample + self.choices)
            self.choices += 1
        self.sites.append(Site(len(self.rows), channel, channel.probabilities))
        count = len(channel.operators)
        self._emit(Opcode.KRAUS, _mask(targets), 0, 0, 0, choice, payload, len(targets), count)

    def _factor(
        self,
        factor: Factor,
        targets: list[int],
        ctrl: int,
        value: int,
        params: dict[str, float | Expression],
        inverse: bool,
    ) -> None:
        for bit, want in zip(targets, factor.on, strict=False):
            if want != "-":
                ctrl |= 1 << bit
                value |= (want == "1") << bit
        x = z = 0
        if isinstance(factor, (Rot, Pauli)):
            for bit, letter in zip(targets, factor.word, strict=True):
                x |= (letter in "XY") << bit
                z |= (letter in "YZ") << bit
        if isinstance(factor, Rot):
            self._emit(Opcode.PAULI_ROT, x, z, ctrl, value, self._angle(factor.angle, params, inverse))
        elif isinstance(factor, Phase):
            self._emit(Opcode.PHASE, 0, 0, ctrl, value, self._angle(factor.angle, params, inverse))
        elif isinstance(factor, Pauli):
            self._emit(Opcode.PAULI, x, z, ctrl, value)
        elif isinstance(factor, PairRot):
            for position, bit in enumerate(targets):
                if factor.first[position] != "-":
                    x |= 1 << bit
                    value |= (factor.first[position] == "1") << bit
                if factor.z and factor.z[position] == "Z":
                    z |= 1 << bit
            self._emit(Opcode.PAIR_ROT, x, z, ctrl | x, value, self._angle(factor.angle, params, inverse))
        elif isinstance(factor, Dense):
            k = len(targets)
            matrix = factor.matrix.conj().T if inverse else factor.matrix
            source = (id(factor.matrix), inverse, tuple(np.argsort(targets)))
            payload = self._cached(factor.matrix, source, lambda: _ascending_matrix(matrix, targets))
            self._emit(Opcode.DENSE, _mask(targets), 0, ctrl, value, payload=payload, k=k)
        elif isinstance(factor, Diagonal):
            entries = factor.entries.conj() if inverse else factor.entries
            payload = self._constant(_ascending(entries, targets).view(np.float64))
            self._emit(Opcode.DIAG, 0, _mask(targets), ctrl, value, payload=payload, k=len(targets))
        elif isinstance(factor, ExpDiagonal):
            source = (id(factor.values), False, tuple(np.argsort(targets)))
            payload = self._cached(factor.values, source, lambda: _ascending(factor.values, targets))
            angle = self._angle(factor.angle, params, inverse)
            self._emit(Opcode.EXP_DIAG, 0, _mask(targets), ctrl, value, angle, payload, len(targets))
        else:
            t0, t1 = sorted((targets[factor.first], targets[factor.second]))
            self._emit(Opcode.SWAP, 1 << t0 | 1 << t1, 0, ctrl, value, t0=t0, t1=t1)

    def _angle(self, angle: Angle, params: dict[str, float | Expression], inverse: bool) -> tuple[float, float, int]:
        """(scale, offset, slot) of a factor's angle."""
        sign = -1.0 if inverse else 1.0
        bound = params[angle.param] if angle.param is not None else 0.0
        if not isinstance(bound, Expression):
            return 0.0, sign * (angle.offset + angle.scale * bound), -1
        slot, scale, offset = self.stage.slot(bound)
        return sign * angle.scale * scale, sign * (angle.offset + angle.scale * offset), slot

    def _emit(
        self,
        opcode: Opcode,
        x: int = 0,
        z: int = 0,
        ctrl: int = 0,
        value: int = 0,
        angle: tuple[float, float, int] = (0.0, 0.0, -1),
        payload: int = 0,
        k: int = 0,
        t0: int = 0,
        t1: int = 0,
    ) -> None:
        scale, offset, slot = angle
        self.rows.append((x, z, ctrl, value, scale, offset, slot, payload, int(opcode), k, t0, t1, 0))

    def _cached(self, keep: object, source: tuple[object, ...], make: Callable[[], npt.NDArray[np.float64]]) -> int:
        """Store a constant once, however often the same array is used; `keep` holds the id in `source` alive."""
        if source not in self._known:
            self._known[source] = (keep, self._constant(make()))
        return self._known[source][1]

    def _constant(self, values: npt.NDArray[np.float64]) -> int:
        start = self._pool_size
        self.pool.append(np.ascontiguousarray(values, dtype=np.float64).reshape(-1))
        self._pool_size += self.pool[-1].size
        return start


def _mask(bits: Sequence[int]) -> int:
    return sum(1 << b for b in bits)


def _order(bits: Sequence[int]) -> list[int]:
    """Axes of a tensor (first target first) in the order of descending bits."""
    return [int(i) for i in np.argsort([-b for b in bits])]


def _ascending(vector: npt.NDArray[Any], bits: Sequence[int]) -> npt.NDArray[Any]:
    """A vector over the targets, first target most significant -> highest bit most significant."""
    k = len(bits)
    return np.ascontiguousarray(vector.reshape((2,) * k).transpose(_order(bits))).reshape(-1)


def _ascending_matrix(matrix: npt.NDArray[np.complex128], bits: Sequence[int]) -> npt.NDArray[np.float64]:
    k, order = len(bits), _order(bits)
    tensor = matrix.reshape((2,) * (2 * k)).transpose([*order, *(k + i for i in order)])
    return np.ascontiguousarray(tensor, dtype=complex).reshape(-1).view(np.float64)
