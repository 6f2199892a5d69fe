"""From PennyLane's channels to `Channel`, and from a `qml.NoiseModel` to a `NoiseModel`.

Owns: what PennyLane's numbers mean, and the operator that stands for a gate when a noise model's conditions are asked.
May not know: devices, tapes, how noise is simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator

from ..circuit import Gate
from ..errors import ArgumentTypeError, CircuitError
from ..expressions import Expression
from ..noise import channels
from ..noise.channel import Channel
from ..noise.model import NoiseModel
from .channels import RECIPES

_ROTATIONS = {"RX": "X", "RY": "Y", "RZ": "Z", "IsingXX": "XX", "IsingYY": "YY", "IsingZZ": "ZZ"}
_OTHERS: dict[str, Callable[..., Operator]] = {  # gates that are no class of their own
    "sdg": lambda w: qml.adjoint(qml.S(w)),
    "tdg": lambda w: qml.adjoint(qml.T(w)),
    "sxdg": lambda w: qml.adjoint(qml.SX(w)),
    "cs": lambda w: qml.ctrl(qml.S(w[1]), w[0]),
    "csx": lambda w: qml.ctrl(qml.SX(w[1]), w[0]),
    "cu3": lambda a, b, c, w: qml.ctrl(qml.U3(a, b, c, w[1]), w[0]),
    "mcx": lambda w: qml.ctrl(qml.X(w[-1]), w[:-1]),
}


def channel_of(op: Operator) -> Channel:
    """The channel of one of PennyLane's operators, the first wire the most significant in both.

    Strengths mean the same, too: `DepolarizingChannel(p)` is `depolarizing(p)`, and so on; only those of
    `ThermalRelaxationError` come in another order. Rotations become `over_rotation`, other unitaries one operator.

    Raises:
        CircuitError: an operator that is neither a channel nor a unitary on at most 3 wires, or one that is broadcast.
        GateMatrixError: parameters that make no channel; with the amount.
    """
    if not isinstance(op, Operator):
        raise ArgumentTypeError(f"channel_of: expected a PennyLane operator, got {type(op).__name__}")
    name = op.name
    if name == "QubitChannel":
        return channels.kraus(np.array([qml.math.to_numpy(k) for k in op.data]))
    if name == "PauliError":
        return RECIPES[name].make(_number(op.data[0]), str(op.hyperparameters["operators"]))
    if name in RECIPES:
        return RECIPES[name].make(*map(_number, op.data))
    if name in _ROTATIONS:
        return channels.over_rotation(_ROTATIONS[name], _number(op.data[0]))
    if name == "PauliRot" and set(op.hyperparameters["pauli_word"]) != {"I"}:
        return channels.over_rotation(op.hyperparameters["pauli_word"], _number(op.data[0]))
    if isinstance(op, qml.operation.Channel):
        return channels.kraus(np.array([qml.math.to_numpy(k) for k in op.kraus_matrices()]), name)
    if op.batch_size is not None or not op.has_matrix or not 1 <= len(op.wires) <= 3:
        raise CircuitError(f"{name} on {len(op.wires)} wires is neither a channel nor one unitary on at most 3 wires")
    return channels.kraus(qml.math.to_numpy(op.matrix())[None], name)


def _number(value: Any) -> float:
    array = np.asarray(qml.math.to_numpy(value))
    if array.size != 1:
        raise CircuitError(f"a channel has one value of each strength, got shape {array.shape}")
    return float(array.reshape(()))


def from_pennylane(model: Any, wires: Sequence[Hashable] | None = None) -> NoiseModel:
    """A `NoiseModel` that asks a `qml.NoiseModel` after each gate, as `qml.noise.add_noise` does on a tape.

    Args:
        wires: PennyLane's label of each wire; default: the wires themselves.

    Angles that are parameters are NaN for the model's conditions and noise functions: noise whose strength depends on
    them is refused when the model is applied.

    Raises:
        ArgumentTypeError: not a `qml.NoiseModel`.
        CircuitError: it has noise of measurements; when applied: noise before its gate, or a gate that PennyLane lacks.
    """
    if not hasattr(model, "model_map") or not hasattr(model, "metadata"):
        raise ArgumentTypeError(f"from_pennylane: expected a qml.NoiseModel, got {type(model).__name__}")
    if getattr(model, "meas_map", None):
        raise CircuitError("from_pennylane: noise of measurements (meas_map) is given by before_measurement here")
    return NoiseModel().follow(_Asked(model, None if wires is None else tuple(wires)))


@dataclass(frozen=True, eq=False)
class _Asked:
    """What a `qml.NoiseModel` puts after a gate."""

    model: Any
    wires: tuple[Hashable, ...] | None

    def __call__(self, gate: Gate) -> list[tuple[Channel, tuple[int, ...]]]:
        used = (*gate.controls, *gate.wires)
        names = {w: w if self.wires is None else self.wires[w] for w in used}
        index = {label: w for w, label in names.items()}
        if self.wires is not None:
            index |= {label: w for w, label in enumerate(self.wires)}
        asked = operator_of(gate, names)
        out = []
        for condition, noise in self.model.model_map.items():
            if not condition(asked):
                continue
            with qml.queuing.AnnotatedQueue() as queue:
                noise(asked, **self.model.metadata)
            found = list(qml.tape.QuantumScript.from_queue(queue).operations)
            same = [k for k, op in enumerate(found) if qml.equal(op, asked, check_interface=False)]
            if same and same[0] > 0:
                raise CircuitError(f"from_pennylane: noise before its gate, {found[0].name} before {asked.name}")
            for op in found[1:] if same else found:
                where = tuple(index.get(label, label) for label in op.wires)
                out.append((channel_of(op), where))
        return out

    def __repr__(self) -> str:
        return f"qml.NoiseModel of {len(self.model.model_map)} conditions"


def operator_of(gate: Gate, labels: dict[int, Hashable]) -> Operator:
    """PennyLane's operator for a gate; angles that are parameters are NaN.

    Raises:
        CircuitError: PennyLane has none.
    """
    spec, where = gate.spec, [labels[w] for w in gate.wires]
    angles = [np.nan if isinstance(p, Expression) else p for p in gate.params]
    extra = [] if gate.extra is None else [gate.extra]
    with qml.QueuingManager.stop_recording():
        if spec.name in _OTHERS:
            op = _OTHERS[spec.name](*angles, where)
        elif spec.pennylane is not None:
            op = getattr(qml, spec.pennylane)(*angles, *extra, wires=where)
        elif spec.wires and not np.isnan(angles).any():
            op = qml.QubitUnitary(spec.matrix(*angles), wires=where)
        else:
            raise CircuitError(f"from_pennylane: PennyLane has no {spec.name} with parameters to ask its noise model")
        if gate.inverse:
            op = qml.adjoint(op)
        if gate.controls:
            op = qml.ctrl(op, [labels[w] for w in gate.controls], [bool(v) for v in gate.control_values])
    return op
