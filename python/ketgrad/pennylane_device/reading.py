"""A tape, taken apart: its structure, which caches are keyed by, and its tensors.

Owns: `Reading`, and the quick way through tapes of nothing but plain gates, which most are. May not know: devices,
measurements, gradients.

Tapes are read at every call of a QNode, before anything runs, so what is asked of an operator here counts.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pennylane as qml
from pennylane.exceptions import DeviceError, WireError
from pennylane.operation import Operator, StatePrepBase
from pennylane.ops.op_math import Controlled

from .channels import CHANNEL, LiveChannel, is_channel, read_channel
from .conversion import SPECS, Index, Row, is_live, read_operator

KNOWN_ROWS = 4096  # plain gates that are remembered for one list of wires
STASH = "_ketgrad_reading"  # where a tape keeps what was read of it before it came to be executed


def _plain_types() -> dict[type, tuple[str, int, bool]]:
    """Operators that are a row of the table and its angles, and nothing else.

    For each class the row, how many angles it has, and whether it is a Controlled: these put their wires together at
    every question.
    """
    out = {}
    for name, spec in SPECS.items():
        kind = getattr(qml, name, None)
        if spec.wires and not spec.extra and spec.name != "i" and kind is not None and kind.__name__ == name:
            out[kind] = (spec.name, len(spec.params), issubclass(kind, Controlled))
    return out


PLAIN = _plain_types()
NOT_PLAIN = ("", 1, False)


class Labels(dict[Hashable, int]):
    """The index of each label, or PennyLane's error, which names all that a tape has and the device has not."""

    tape: Any = None

    def __missing__(self, label: Hashable) -> int:
        missing = [w for w in self.tape.wires if w not in self] if self.tape is not None else [label]
        raise WireError(f"ketgrad.qubit has wires {list(self)}; not found on the device: {missing}")


@dataclass(frozen=True, eq=False)
class Reading:
    """A tape, taken apart.

    Attributes:
        labels: the wire labels, in ketgrad's order.
        index: of each label.
        rows: its gates.
        angles: a number, or (B,) numbers where the parameter is broadcast, for each angle of the rows in order.
        initial: amplitudes (2^n,) or (B, 2^n) of the state it starts from, or None for |0...0>.
        slots: for each parameter of the tape's operators, the position of its angle, or None for a constant.
        noisy: whether there are channels.
    """

    labels: tuple[Hashable, ...]
    index: Labels
    rows: tuple[Row, ...]
    angles: tuple[Any, ...]
    initial: Any
    slots: tuple[int | None, ...]
    noisy: bool = False

    @property
    def tensors(self) -> tuple[Any, ...]:
        """The angles, then the initial state where there is one."""
        return self.angles if self.initial is None else (*self.angles, self.initial)


def was_read(tape: Any) -> bool:
    """Whether `read_plain` has found nothing but plain gates."""
    return STASH in tape.__dict__


def is_plain(op: Operator) -> bool:
    """Whether an operator is a row of the table and its angles, and nothing else."""
    name, count, _ = PLAIN.get(type(op), NOT_PLAIN)
    return bool(name) and (not count or count == len(op.data))


def read_tape(tape: Any, wires: Sequence[Hashable] | None, trained: Collection[int] = ()) -> Reading:
    """Take a tape apart.

    Args:
        wires: the device's; None for those of the tape.
        trained: parameters that are to be differentiated although no framework follows them.

    Raises:
        WireError: the tape has a wire that the device has not.
        DeviceError: a state that is prepared too late, or a channel without the derivatives that are asked for.
    """
    stash = tape.__dict__.pop(STASH, None)
    if stash is not None and stash[0] is tape.operations and stash[1] is wires:
        reading: Reading = stash[2]
        reading.index.tape = tape
        return reading
    found = _read(tape, wires, trained, False)
    assert found is not None
    return found


def read_plain(tape: Any, wires: Sequence[Hashable] | None) -> bool:
    """Read a tape ahead of `read_tape`, if it has nothing but plain gates; whether it has.

    What was read stays on the tape until it is executed: PennyLane's tapes are immutable, and keep hash and batch size
    in the same way.

    Raises:
        WireError: the tape has a wire that the device has not.
    """
    reading = _read(tape, wires, (), True)
    if reading is not None:
        reading.index.tape = None  # it would keep itself alive
        tape.__dict__[STASH] = tape.operations, wires, reading
    return reading is not None


def _read(tape: Any, wires: Sequence[Hashable] | None, trained: Collection[int], plain: bool) -> Reading | None:
    labels = standard_labels(tape) if wires is None else tuple(wires)
    index = Labels(zip(labels, range(len(labels)), strict=True))
    index.tape = tape
    known = _known_rows(labels)
    rows: list[Row] = []
    angles: list[Any] = []
    slots: list[int | None] = []
    initial, noisy = None, False
    for op in tape.operations:
        name, count, controlled = PLAIN.get(type(op), NOT_PLAIN)
        own: Sequence[Any] = op.data if count else ()
        if name and count == len(own):  # what most tapes are made of, without a further question
            here = op.control_wires.labels + op.base.wires.labels if controlled else op.wires.labels
            row = known.get((name, here))
            if row is None:
                row = _remember(known, name, here, index)
            rows.append(row)
            if count == 1:
                slots.append(len(angles))
                angles.append(own[0])
                continue
            if not count:
                continue
        elif plain:
            return None
        elif isinstance(op, StatePrepBase) and (not isinstance(op, qml.BasisState) or is_live(op.data[0])):
            if rows:
                raise DeviceError(f"ketgrad.qubit prepares states only before all gates, got {op.name} after some")
            initial = qml.math.reshape(op.state_vector(wire_order=labels), (*_lead(op), 1 << len(labels)))
            own = ()
        elif is_channel(op):
            own_slots = range(len(slots), len(slots) + len(own))
            live = not tape.shots and (any(map(is_live, own)) or any(p in own_slots for p in trained))
            here_rows, own = _read_channel(op, index, live)
            rows += here_rows
            noisy = noisy or bool(here_rows)
        else:
            here_rows, own = read_operator(op, index)
            rows += here_rows
        if own:
            slots += range(len(angles), len(angles) + len(own))
            angles += own
        slots += [None] * (len(op.data) - len(own))
    return Reading(labels, index, tuple(rows), tuple(angles), initial, tuple(slots), noisy)


def _read_channel(op: Operator, index: Index, live: bool) -> tuple[list[Row], Sequence[Any]]:
    where, channel = read_channel(op, live)
    wires = tuple([index[op.wires[k]] for k in where])
    rows = [] if channel is None else [Row(CHANNEL, wires, (), (), False, channel)]
    return rows, op.data if isinstance(channel, LiveChannel) else ()


@lru_cache(maxsize=64)
def _known_rows(labels: tuple[Hashable, ...]) -> dict[tuple[str, tuple[Hashable, ...]], Row]:
    """Rows of plain gates on wires with these labels, by the names and labels that were met so far."""
    return {}


def _remember(known: dict[tuple[str, tuple[Hashable, ...]], Row], name: str, here: Any, index: Index) -> Row:
    row = Row(name, tuple([index[w] for w in here]), (), (), False, None)
    if len(known) < KNOWN_ROWS:
        known[name, here] = row
    return row


def _lead(op: Operator) -> tuple[int, ...]:
    return () if op.batch_size is None else (op.batch_size,)


def standard_labels(tape: Any) -> tuple[Hashable, ...]:
    """The wires of a tape in PennyLane's standard order: 0, 1, ... where these are the labels, else by first use."""
    labels = tuple(tape.wires)
    first = {w for op in tape.operations for w in op.wires}
    if first == set(range(len(first))) and set(labels) == set(range(len(labels))):
        return tuple(range(len(labels)))
    return labels or (0,)
