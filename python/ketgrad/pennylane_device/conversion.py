"""From PennyLane's operators to rows of the gate table, and from a tape to its structure and its tensors.

Owns: which operators run natively (derived from the table's `pennylane` names; there is no second list), the
structure that caches are keyed by, and the circuit built from it. May not know: devices, measurements, gradients.

A structure is everything about a tape except its angles and the state it starts from: gates, wires, control values and
constant arrays. Two tapes of one structure run through one program. Tensors keep their framework.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane.operation import Operator, StatePrepBase
from pennylane.ops.op_math import Adjoint, Controlled, Pow

from ..circuit import Circuit
from ..gate_spec import MAX_UNITARY_WIRES, GateSpec
from ..gates import BY_NAME, GATES
from ..noise import Channel
from .channels import CHANNEL, CHANNELS, LiveChannel, is_channel

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
    """One gate without its angles, or one channel, whose parameters are angles where gradients have to reach them."""

    name: str
    wires: tuple[int, ...]
    controls: tuple[int, ...]
    values: tuple[int, ...]
    inverse: bool
    extra: Hashable


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


def is_live(value: Any) -> bool:
    """Whether a framework follows this tensor, to differentiate or to trace it: its numbers are not all that counts."""
    if isinstance(value, (float, int, np.ndarray, np.generic)):
        return False
    return bool(qml.math.requires_grad(value) or qml.math.is_abstract(value))


def is_supported(op: Operator, live: Callable[[Any], bool] = is_live) -> bool:
    """Whether the device applies the operator as it is: natively, or as a matrix where nothing else is known.

    Args:
        live: tells parameters that gradients have to reach.
    """
    if is_channel(op):
        return True
    trainable = any(live(d) for d in op.data)
    if find_native(op) is not None:
        return not (trainable and has_constant_data(op))
    if isinstance(op, (qml.ops.MidMeasure, qml.ops.Conditional, StatePrepBase, qml.Projector)) or trainable:
        return False
    base = op.base if isinstance(op, Controlled) and op.batch_size is not None else op  # see `decomposition`
    return op.has_matrix and not base.has_decomposition and 0 < len(op.wires) <= MAX_UNITARY_WIRES


def decomposition(op: Operator) -> list[Operator]:
    """PennyLane's decomposition, and ours where it has none: negative powers, exponentials of torch tensors, batches
    under controls.

    Raises:
        DecompositionUndefinedError: there is none.
    """
    if isinstance(op, Pow) and isinstance(op.z, int) and op.z < 0:
        return [qml.adjoint(op.base, lazy=False) for _ in range(-op.z)]
    if isinstance(op, Controlled) and (op.batch_size is not None or isinstance(op.base, Pow) and op.base.z < 0):
        return [qml.ctrl(o, op.control_wires, op.control_values) for o in decomposition(op.base)]
    if isinstance(op, qml.ops.Exp) and op.base.pauli_rep is not None and len(op.base.pauli_rep) == 1:
        ((word, factor),) = op.base.pauli_rep.items()
        angle = 2j * op.coeff * factor
        if qml.math.is_abstract(angle) or qml.math.allclose(qml.math.imag(angle), 0):
            theta, letters = qml.math.real(angle), "".join(word.values())
            return [qml.PauliRot(theta, letters, list(word)) if letters else qml.GlobalPhase(theta / 2)]
    return op.decomposition()  # type: ignore[no-any-return]


def target_gates() -> set[str]:
    """The names PennyLane's decomposition may end in."""
    names = {*SPECS, *OPPOSITE_SIGN, "MultiControlledX"}
    return names | {f"C({n})" for n in names} | {f"Adjoint({n})" for n in names} | set(CHANNELS)


def read_operator(op: Operator, index: Index) -> tuple[list[Row], Sequence[Any]]:
    """Rows and angles of one supported operator that is no state preparation but a basis state."""
    found = find_native(op)
    if found is None:
        if isinstance(op, qml.BasisState):
            return _read_basis_state(op, index), []
        return [Row("unitary", _where(op.wires, index), (), (), False, Constant(_dense(op.matrix())))], []
    spec, base, controls, values, inverse = found
    if spec.name == "i":
        return [], []
    extra: Hashable = None
    angles: Sequence[Any] = ()
    if spec.extra in CONSTANT_EXTRAS:
        extra = Constant(_dense(base.data[0]))
    else:
        angles = base.data[: len(spec.params)]
        if spec.extra == "word":
            extra = base.hyperparameters["pauli_word"]
        elif spec.extra == "dim":
            extra = int(base.hyperparameters["dimension"][0])
    own = () if spec.wires == 0 else _where(base.wires, index)
    return [Row(spec.name, own, _where(controls, index), values, inverse, extra)], angles


def _read_basis_state(op: qml.BasisState, index: Index) -> list[Row]:
    bits = [int(b) for b in qml.math.to_numpy(op.data[0]).reshape(-1)]
    return [Row("x", (w,), (), (), False, None) for w, b in zip(_where(op.wires, index), bits, strict=True) if b]


def _where(wires: Any, index: Index) -> tuple[int, ...]:
    return tuple(index[w] for w in wires)


def _dense(value: Any) -> npt.NDArray[Any]:
    if hasattr(value, "toarray"):
        value = value.toarray()
    return np.asarray(qml.math.to_numpy(value), dtype=complex)


def to_array(value: Any) -> npt.NDArray[Any]:
    """A tensor of any framework as an array, without its history."""
    return np.asarray(value if isinstance(value, (float, np.ndarray)) else qml.math.to_numpy(value))


def is_light(rows: Sequence[Row]) -> bool:
    """Whether the constants of a structure are small enough to keep it in a cache."""
    constants = [r.extra.array for r in rows if isinstance(r.extra, Constant)]
    operators = [r.extra.kraus for r in rows if isinstance(r.extra, Channel) and r.extra.family is None]
    return sum(a.nbytes for a in (*constants, *operators)) <= CACHED_BYTES


def build_circuit(n_wires: int, rows: Sequence[Row], batched: Sequence[bool]) -> Circuit:
    """A circuit whose weights are the structure's plain angles and whose inputs are its broadcast ones, in order."""
    circuit = Circuit(max(1, n_wires))
    shared = iter(circuit.weights(len(batched) - sum(batched)))
    varied = iter(circuit.inputs(sum(batched)))
    angles = iter([next(varied) if b else next(shared) for b in batched])
    for row in rows:
        append_row(circuit, row, angles)
    return circuit


def n_angles(row: Row) -> int:
    """How many angles a row has."""
    if row.name == CHANNEL:
        return len(row.extra.strengths) if isinstance(row.extra, LiveChannel) else 0
    return len(BY_NAME[row.name].params)


def append_row(circuit: Circuit, row: Row, angles: Iterator[Any]) -> None:
    """Append a gate with the next of the angles, or a channel."""
    name, wires, controls, values, inverse, extra = row
    if name == CHANNEL:
        circuit.channel(extra, wires)  # type: ignore[arg-type]
        return
    own = [next(angles) for _ in range(n_angles(row))]
    circuit.append(name, own, wires, controls=controls, control_values=values, inverse=inverse, extra=_extra(row))


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
            append_row(circuit, row, iter([float(qml.math.to_numpy(a)) for a in angles]))
