"""From PennyLane's operators to rows of the gate table, and from a tape to its structure and its angles.

Owns: which operators run natively (derived from the table's `pennylane` names; there is no second list), the
structure that caches are keyed by, and the circuit built from it. May not know: devices, measurements, gradients.

A structure is everything about a tape except its angles: gates, wires, control values and constant arrays. Two tapes
of one structure run through one program.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane.operation import Operator, StatePrepBase
from pennylane.ops.op_math import Adjoint, Controlled

from ..circuit import MAX_UNITARY_WIRES, Circuit
from ..gate_spec import GateSpec
from ..gates import BY_NAME, GATES

Index = dict[Hashable, int]  # PennyLane's wire label -> ketgrad's wire

# mcx is PennyLane's X under controls, and is reached as such, so that its control values survive
SPECS: dict[str, GateSpec] = {s.pennylane: s for s in GATES if s.pennylane and not (s.wires is None and s.controls)}
OPPOSITE_SIGN = {"GlobalPhase": BY_NAME["gphase"]}  # PennyLane's is e^{-i phi}
CONSTANT_EXTRAS = ("matrix", "diagonal")
CACHED_BYTES = 1 << 16  # structures with more constants than this are built anew each time, not kept


class Constant:
    """An array that hashes and compares by its contents."""

    __slots__ = ("_hash", "array")

    def __init__(self, array: Any) -> None:
        self.array: npt.NDArray[Any] = np.ascontiguousarray(array)
        self._hash = hash((self.array.shape, self.array.tobytes()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and np.array_equal(self.array, other.array)


class Row(NamedTuple):
    """One gate without its angles; `prepare` stands for a state preparation, with its amplitudes in `extra`."""

    name: str
    wires: tuple[int, ...]
    controls: tuple[int, ...]
    values: tuple[int, ...]
    inverse: bool
    extra: Hashable


@dataclass(frozen=True, eq=False)
class Reading:
    """A tape, taken apart.

    Attributes:
        labels: the wire labels, in ketgrad's order.
        rows: its gates.
        angles: a float, or a (B,) array where the parameter is broadcast, for each angle of the rows in order.
        slots: for each parameter of the tape's operators, the position of its angle, or None for a constant.
    """

    labels: tuple[Hashable, ...]
    rows: tuple[Row, ...]
    angles: tuple[Any, ...]
    slots: tuple[int | None, ...]

    @property
    def index(self) -> Index:
        return {label: k for k, label in enumerate(self.labels)}

    @property
    def batched(self) -> tuple[bool, ...]:
        """For each angle, whether it is broadcast."""
        return tuple(isinstance(a, np.ndarray) for a in self.angles)


class _Native(NamedTuple):
    spec: GateSpec
    base: Operator
    controls: tuple[Hashable, ...]
    values: tuple[int, ...]
    inverse: bool


def find_native(op: Operator) -> _Native | None:
    """The table's row for an operator, seen through any nesting of adjoints and controls; None if there is none."""
    controls: list[Hashable] = []
    values: list[int] = []
    inverse = False
    while op.name not in SPECS and op.name not in OPPOSITE_SIGN:
        if isinstance(op, Adjoint):
            inverse = not inverse
        elif isinstance(op, Controlled):
            controls += op.control_wires
            values += [int(v) for v in op.control_values]
        else:
            return None
        op = op.base
    spec = SPECS.get(op.name)
    if spec is None:
        return _Native(OPPOSITE_SIGN[op.name], op, tuple(controls), tuple(values), not inverse)
    if spec.wires is None and not len(op.wires):
        return None
    if spec.extra == "matrix" and len(op.wires) > MAX_UNITARY_WIRES:
        return None
    return _Native(spec, op, tuple(controls), tuple(values), inverse)


def has_constant_data(op: Operator) -> bool:
    """Whether the operator's data are a matrix or diagonal, or it runs as its matrix: no angles to batch or train."""
    found = find_native(op)
    return found is None or found.spec.extra in CONSTANT_EXTRAS


def is_supported(op: Operator, differentiate: bool = False) -> bool:
    """Whether the device applies the operator as it is: natively, or as a matrix where nothing else is known.

    Args:
        differentiate: also ask that the adjoint method reaches its trainable parameters.
    """
    trainable = differentiate and any(qml.math.requires_grad(d) for d in op.data)
    if find_native(op) is not None:
        return not (trainable and has_constant_data(op))
    if isinstance(op, (qml.ops.MidMeasure, qml.ops.Conditional, StatePrepBase, qml.Projector)) or trainable:
        return False
    return op.has_matrix and not op.has_decomposition and 0 < len(op.wires) <= MAX_UNITARY_WIRES


def target_gates() -> set[str]:
    """The names PennyLane's decomposition may end in."""
    names = {*SPECS, *OPPOSITE_SIGN, "MultiControlledX"}
    return names | {f"C({n})" for n in names} | {f"Adjoint({n})" for n in names}


def read_tape(tape: Any, wires: Sequence[Hashable] | None) -> Reading:
    """Take a tape apart; `wires` are the device's, None for those of the tape."""
    labels = standard_labels(tape) if wires is None else tuple(wires)
    index: Index = {label: k for k, label in enumerate(labels)}
    rows: list[Row] = []
    angles: list[Any] = []
    slots: list[int | None] = []
    for op in tape.operations:
        row, own = read_operator(op, index)
        rows += row
        if own:
            slots += range(len(angles), len(angles) + len(own))
            angles += own
        else:
            slots += [None] * len(op.data)
    return Reading(labels, tuple(rows), tuple(angles), tuple(slots))


def standard_labels(tape: Any) -> tuple[Hashable, ...]:
    """The wires of a tape in PennyLane's standard order: 0, 1, ... where these are the labels, else by first use."""
    labels = tuple(tape.wires)
    first = {w for op in tape.operations for w in op.wires}
    if first == set(range(len(first))) and set(labels) == set(range(len(labels))):
        return tuple(range(len(labels)))
    return labels or (0,)


def read_operator(op: Operator, index: Index) -> tuple[list[Row], list[Any]]:
    """Rows and angles of one supported operator."""
    found = find_native(op)
    if found is None:
        if isinstance(op, StatePrepBase):
            return _read_preparation(op, index), []
        return [Row("unitary", _where(op.wires, index), (), (), False, Constant(_dense(op.matrix())))], []
    spec, base, controls, values, inverse = found
    if spec.name == "i":
        return [], []
    extra: Hashable = None
    angles: list[Any] = []
    if spec.extra in CONSTANT_EXTRAS:
        extra = Constant(_dense(base.data[0]))
    else:
        angles = [_angle(d) for d in base.data]
        if spec.extra == "word":
            extra = base.hyperparameters["pauli_word"]
        elif spec.extra == "dim":
            extra = int(base.hyperparameters["dimension"][0])
    own = () if spec.wires == 0 else _where(base.wires, index)
    return [Row(spec.name, own, _where(controls, index), values, inverse, extra)], angles


def _read_preparation(op: StatePrepBase, index: Index) -> list[Row]:
    where = _where(op.wires, index)
    if isinstance(op, qml.BasisState):
        bits = [int(b) for b in qml.math.to_numpy(op.data[0]).reshape(-1)]
        return [Row("x", (w,), (), (), False, None) for w, b in zip(where, bits, strict=True) if b]
    vector = _dense(op.state_vector(wire_order=op.wires)).reshape(-1)
    return [Row("prepare", where, (), (), False, Constant(vector.astype(complex)))]


def _where(wires: Any, index: Index) -> tuple[int, ...]:
    return tuple(index[w] for w in wires)


def _dense(value: Any) -> npt.NDArray[Any]:
    if hasattr(value, "toarray"):
        value = value.toarray()
    return np.asarray(qml.math.to_numpy(value), dtype=complex)


def _angle(value: Any) -> Any:
    """A float, or a (B,) float64 array."""
    if isinstance(value, float):
        return float(value)
    array = np.asarray(qml.math.to_numpy(value))
    if array.dtype.kind == "c":
        if np.any(array.imag):
            raise qml.exceptions.DeviceError(f"ketgrad.qubit: an angle is a real number, got {value}")
        array = array.real
    return float(array) if array.ndim == 0 else np.ascontiguousarray(array, dtype=np.float64)


def is_light(rows: Sequence[Row]) -> bool:
    """Whether the constants of a structure are small enough to keep it in a cache."""
    return sum(r.extra.array.nbytes for r in rows if isinstance(r.extra, Constant)) <= CACHED_BYTES


def build_circuit(n_wires: int, rows: Sequence[Row], batched: Sequence[bool]) -> Circuit:
    """A circuit whose weights are the structure's plain angles and whose inputs are its broadcast ones, in order."""
    circuit = Circuit(max(1, n_wires))
    shared = iter(circuit.weights(len(batched) - sum(batched)))
    varied = iter(circuit.inputs(sum(batched)))
    angles = iter([next(varied) if b else next(shared) for b in batched])
    for row in rows:
        if row.name == "prepare":
            circuit.prepare(_extra(row), row.wires)
        else:
            _append(circuit, row, [next(angles) for _ in BY_NAME[row.name].params])
    return circuit


def _append(circuit: Circuit, row: Row, angles: Sequence[Any]) -> None:
    name, wires, controls, values, inverse, _ = row
    circuit.append(name, angles, wires, controls=controls, control_values=values, inverse=inverse, extra=_extra(row))


def _extra(row: Row) -> Any:
    return row.extra.array if isinstance(row.extra, Constant) else row.extra


def append_constant(circuit: Circuit, ops: Sequence[Operator], index: Index) -> None:
    """Append operators with the angles they have now."""
    for op in ops:
        if find_native(op) is None and op.has_decomposition and len(op.wires) > 2:
            append_constant(circuit, op.decomposition(), index)
            continue
        rows, angles = read_operator(op, index)
        for row in rows:
            _append(circuit, row, angles)
