"""Noise models of Qiskit: from an Aer `NoiseModel`, or from a backend with a target, such as IBM's fake backends.

Owns: what their numbers mean. Nothing is imported: an Aer model is read through its `to_dict()`, a backend through its
`target`. Qiskit orders qubits with the first the least significant; here it is the most significant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentTypeError, CircuitError
from ..gates import BY_NAME
from ..pauli import check_wires, word_matrix
from .channel import Channel
from .channels import depolarizing, pauli, reset, thermal_relaxation
from .matrices import Matrix, embedded, kraus_of, merged
from .model import NoiseModel

Qubits = tuple[int, ...]
Places = dict[Qubits | None, list[tuple[Channel, Qubits | None]]]  # qubits of a gate -> channels and positions


def from_qiskit(
    source: Any, *, qubits: Sequence[int] | None = None, stand_ins: Mapping[str, Iterable[str]] | None = None
) -> NoiseModel:
    """The noise of an Aer `NoiseModel`, of its `to_dict()`, or of a backend.

    A backend's gates are followed by a depolarizing channel and the thermal relaxation of each qubit during the gate,
    so strong that the average gate fidelity is the one reported, as in Aer's `NoiseModel.from_backend`.

    Errors of `measure` come before the measurement. Errors of what is no gate here (reset, delay) are left out: add
    `idle` rules for the latter.

    Args:
        qubits: wire w is the device's qubit `qubits[w]`; default: wire w is qubit w. Noise of other qubits is left out.
        stand_ins: gate of the device -> names of gates that have its noise too, on pairs of qubits in either direction,
            as in `{"sx": ["h", "ry"], "ecr": ["cx"]}`. A model has noise for the gates it names, and for no others.

    Raises:
        ArgumentTypeError: none of these.
        CircuitError: an error that has no counterpart: on more than 3 qubits, of correlated readout, or of an
            instruction that is not known.
    """
    wire_of = None if qubits is None else {q: w for w, q in enumerate(check_wires(qubits, "qubits"))}
    if hasattr(source, "target") and hasattr(source.target, "qubit_properties"):
        gates, readout = _of_target(source.target)
    else:
        document = source.to_dict() if hasattr(source, "noise_instructions") else source
        if not isinstance(document, Mapping) or not isinstance(document.get("errors"), Sequence):
            raise ArgumentTypeError(
                f"from_qiskit: an Aer NoiseModel or a backend with a target, got {type(source).__name__}"
            )
        gates, readout = _of_aer(document["errors"])
    model = NoiseModel()
    for name, places in gates.items():
        if name == "measure":
            model = _before_measurement(model, places, wire_of)
        for stand_in in (name, *(stand_ins or {}).get(name, ())):
            if stand_in in BY_NAME:
                model = _after(model, stand_in, places, wire_of, stand_in != name)
    for place, rates in readout.items():
        if place is None:
            model = model.readout_error(rates)
        elif (wires := _wires(place, wire_of)) is not None:
            model = model.readout_error(rates, wires)
    return model


def _wires(place: Qubits, wire_of: dict[int, int] | None) -> Qubits | None:
    if wire_of is None:
        return place
    return tuple(wire_of[q] for q in place) if all(q in wire_of for q in place) else None


def _known(places: Places, wire_of: dict[int, int] | None) -> list[Qubits]:
    """Wires of the gates with errors of their own, to which those of any qubits do not apply."""
    return [w for place in places if place is not None and (w := _wires(place, wire_of)) is not None]


def _after(
    model: NoiseModel, name: str, places: Places, wire_of: dict[int, int] | None, either_way: bool
) -> NoiseModel:
    own = _known(places, wire_of)
    for place, channels in places.items():
        for channel, positions in channels:
            back = [1 - p for p in positions or (0, 1)]
            if place is None:
                model = model.after(channel, name, n_wires=channel.n_wires, unless=own)
            elif (wires := _wires(place, wire_of)) is not None:
                model = model.after(channel, name, wires=wires, on=positions if len(wires) > 1 else None)
                if either_way and len(wires) == 2 and wires[::-1] not in own:
                    model = model.after(channel, name, wires=wires[::-1], on=back)
    return model


def _before_measurement(model: NoiseModel, places: Places, wire_of: dict[int, int] | None) -> NoiseModel:
    own = _known(places, wire_of)
    for place, channels in places.items():
        for channel, _ in channels:
            if place is None:
                model = model.before_measurement(channel, unless=[w for (w,) in own])
            elif (wires := _wires(place, wire_of)) is not None:
                model = model.before_measurement(channel, wires)
    return model


# Aer's models


def _of_aer(errors: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Places], dict[Qubits | None, Matrix]]:
    gates: dict[str, Places] = {}
    readout: dict[Qubits | None, Any] = {}
    for error in errors:
        for place in error.get("gate_qubits", [None]):
            where = None if place is None else tuple(int(q) for q in place)
            if error["type"] == "roerror":
                matrix = np.array(error["probabilities"], dtype=float).T  # theirs has a row for each true outcome
                if matrix.shape != (2, 2):
                    raise CircuitError(f"from_qiskit: readout errors are of one qubit each, got shape {matrix.shape}")
                readout[where] = matrix
                continue
            known = [BY_NAME[n].wires or 1 for n in error["operations"] if n in BY_NAME]
            channel = _quantum_error(error, max(known, default=1) if where is None else len(where))
            for name in error["operations"]:
                if np.abs(channel.superoperator() - np.eye(4**channel.n_wires)).max() > 1e-12:
                    gates.setdefault(str(name), {}).setdefault(where, []).append((channel, None))
    return gates, readout


def _quantum_error(error: Mapping[str, Any], least: int) -> Channel:
    """A mixture of circuits, on at least so many qubits; Pauli words with probabilities where it is one."""
    k = max([least, *(1 + int(q) for circuit in error["instructions"] for step in circuit for q in step["qubits"])])
    if k > 3:
        raise CircuitError(f"from_qiskit: an error of {error['operations']} acts on {k} qubits, at most 3 can")
    d, terms = 2**k, []
    for p, circuit in zip(error["probabilities"], error["instructions"], strict=True):
        product = np.sqrt(float(p)) * np.eye(d, dtype=complex)[None]
        for step in circuit:
            matrices, places = _step(step)
            full = np.array([embedded(m, places, k) for m in matrices])
            product = (full[:, None] @ product[None]).reshape(-1, d, d)
        terms.append(product)
    channel = Channel(merged(np.concatenate(terms)), f"{'/'.join(error['operations'])} error")
    if not (channel.is_pauli and channel.is_unitary_mixture):
        return channel
    (_, *words), (_, *chances) = zip(*channel.pauli_probabilities.items(), strict=True)
    if np.ptp(chances) < 1e-14:
        return depolarizing(sum(chances), k)
    return pauli({w: p for w, p in zip(words, chances, strict=True) if p > 1e-16})


def _step(step: Mapping[str, Any]) -> tuple[Matrix, list[int]]:
    """Kraus operators of one instruction, and the qubits they act on, the most significant first."""
    name, qubits = str(step["name"]), [int(q) for q in step["qubits"]]
    little = qubits[::-1]
    if name == "pauli":
        return word_matrix(str(step["params"][0]))[None], little
    if name in ("kraus", "unitary"):
        return np.array(step["params"], dtype=complex), little
    if name == "superop":
        full = np.asarray(step["params"][0], dtype=complex)
        d = 2 ** len(qubits)
        columns = full.reshape(d, d, d, d).transpose(1, 0, 3, 2).reshape(d * d, d * d)  # they flatten column by column
        return kraus_of(columns, name), little
    if name == "reset":
        return reset().kraus, qubits
    if name not in BY_NAME or BY_NAME[name].params or BY_NAME[name].wires != len(qubits):
        raise CircuitError(f"from_qiskit: an error has the instruction {name!r} on {len(qubits)} qubits")
    return BY_NAME[name].matrix()[None], qubits


# backends


def _of_target(target: Any) -> tuple[dict[str, Places], dict[Qubits | None, Any]]:
    gates: dict[str, Places] = {}
    readout: dict[Qubits | None, Any] = {}
    for name in sorted(target.operation_names):
        for place, known in (target[name] or {}).items():
            if known is None or place is None:
                continue
            where = tuple(int(q) for q in place)
            if name == "measure":
                wrong = getattr(known, "error", None) or 0.0
                up, down = (getattr(known, f"prob_meas{i}_prep{1 - i}", None) for i in (1, 0))
                readout[where] = [wrong, wrong] if up is None or down is None else [up, down]
            elif name in BY_NAME:
                channels = _gate_error(known, [target.qubit_properties[q] for q in where])
                gates.setdefault(name, {})[where] = channels
    return gates, readout


def _gate_error(known: Any, properties: Sequence[Any]) -> list[tuple[Channel, Qubits | None]]:
    """Depolarizing, then relaxation of each qubit; together of the reported average gate infidelity."""
    k, time = len(properties), getattr(known, "duration", None) or 0.0
    relaxation = [_relaxation(p, time) for p in properties] if time else []
    d = 2**k
    # of channels: entanglement fidelity tr(S) / d^2, average gate fidelity (d F_e + 1) / (d + 1)
    process = float(np.prod([np.trace(c.superoperator()).real / 4 for c in relaxation]))
    fidelity = (d * process + 1) / (d + 1)
    wrong = min(getattr(known, "error", None) or 0.0, d / (d + 1))
    out: list[tuple[Channel, Qubits | None]] = []
    if wrong > 1 - fidelity:
        lam = min(d * (wrong - 1 + fidelity) / (d * fidelity - 1), d * d / (d * d - 1))  # (1 - lam) rho + lam 1/d
        out.append((depolarizing(min(lam * (d * d - 1) / (d * d), 1.0), k), None))
    return out + [(channel, (position,)) for position, channel in enumerate(relaxation)]


def _relaxation(properties: Any, time: float) -> Channel:
    t1, t2 = (getattr(properties, name, None) for name in ("t1", "t2"))
    longest = np.inf if t1 is None else 2 * t1
    return thermal_relaxation(np.inf if t1 is None else t1, longest if t2 is None else min(t2, longest), time)
