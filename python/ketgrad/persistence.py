"""Models on disk: a circuit and its observables as JSON, matrices and weights as arrays. No pickle, no code.

Owns: the words a circuit is written in (`to_document`, `from_document`). May not know: opcodes, backends, training.
Circuits are rebuilt through `Circuit.append`, so a forged file meets every check a user's mistake would meet.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .checkpoint import Arrays, read_archive, write_archive
from .circuit import Circuit, Gate
from .errors import ArgumentTypeError, BackendUnavailableError, CheckpointError, KetgradError, ParameterError
from .expressions import Expression
from .gate_spec import CHANNEL
from .gates import BY_NAME, find
from .model import Model, compile_circuit
from .pauli import PauliSum

if TYPE_CHECKING:
    from .mitigation.combination import Mitigated
    from .noise.channel import Channel

KIND = "model"
Path = str | os.PathLike[str]


def save(model: Model, path: Path, weights: npt.ArrayLike | None = None) -> None:
    """Write a model to one file, atomically.

    Args:
        weights: P numbers to keep with it; `load` gives them back as `model.saved_weights`.

    Raises:
        ParameterError: `weights` is not as long as the circuit's.
        CheckpointError: it cannot be written, or the circuit has a gate outside the gate table.
    """
    header, arrays = to_document(model)
    if weights is not None:
        flat = np.asarray(weights, dtype=np.float64).reshape(-1)
        if flat.size != model.n_weights:
            raise ParameterError(f"save: the circuit has {model.n_weights} weights, got {flat.size}")
        arrays["weights"] = flat
    write_archive(_file(path), KIND, header, arrays)


def load(path: Path, *, backend: str | None = None) -> Model:
    """Read a model that `Model.save` wrote, on the best backend here unless one is named.

    Raises:
        CheckpointError: missing, damaged, or not a model.
    """
    _, header, arrays = read_archive(_file(path), KIND)
    model = from_document(header, arrays, str(path), backend)
    model.saved_weights = arrays.get("weights")
    return model


def _file(path: Any) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentTypeError(f"a path is a str or os.PathLike, got {type(path).__name__}")
    return path


def to_document(model: Model | Mitigated) -> tuple[dict[str, Any], Arrays]:
    """A model as JSON values and arrays; `from_document` is its inverse, bit for bit."""
    circuit = model.circuit
    arrays: Arrays = {}
    channels: dict[Channel, int] = {}
    gates = [_write_gate(k, gate, arrays, channels) for k, gate in enumerate(circuit.gates)]
    initial = None
    if circuit.initial is not None:
        arrays["initial"], initial = circuit.initial[0], list(circuit.initial[1])
    header: dict[str, Any] = {
        "n_wires": circuit.n_wires,
        "groups": [[name, kind, list(shape)] for name, kind, shape, _ in circuit.groups],
        "initial": initial,
        "gates": gates,
        **({"channels": _write_channels(channels, arrays)} if channels else {}),
        "observables": [_write_observable(o) for o in model.observables],
        "dtype": model.dtype.name,
    }
    if model.options:
        header["noise"] = model.options
    return header, arrays


def _write_gate(position: int, gate: Gate, arrays: Arrays, channels: dict[Channel, int]) -> dict[str, Any]:
    if gate.spec is CHANNEL:  # written once, however often it acts
        return {"channel": channels.setdefault(gate.extra, len(channels)), "wires": list(gate.wires)}
    if BY_NAME.get(gate.spec.name) is not gate.spec:
        raise CheckpointError(f"gate {position}, {gate.spec.name!r}, is not in the gate table and cannot be saved")
    out: dict[str, Any] = {"name": gate.spec.name, "wires": list(gate.wires)}
    if gate.params:
        out["params"] = [_write_angle(p) for p in gate.params]
    if gate.controls:
        out["controls"], out["control_values"] = list(gate.controls), list(gate.control_values)
    if gate.inverse:
        out["inverse"] = True
    if isinstance(gate.extra, np.ndarray):
        arrays[f"extra{position}"] = gate.extra
    elif gate.extra is not None:
        out["extra"] = gate.extra
    return out


def _write_channels(channels: dict[Channel, int], arrays: Arrays) -> list[dict[str, Any]]:
    from .noise.document import to_document as write

    return [write(channel, f"channel{k}", arrays) for channel, k in channels.items()]


def _write_angle(angle: float | Expression) -> Any:
    if isinstance(angle, Expression):
        return [[[list(key) for key in monomial], c] for monomial, c in angle.terms.items()]
    return angle


def _write_observable(observable: PauliSum) -> list[Any]:
    return [[c, [list(pair) for pair in word], [list(pair) for pair in pattern]] for c, word, pattern in observable]


def from_document(header: dict[str, Any], arrays: Arrays, source: str, backend: str | None = None) -> Model:
    """The model of a document; `source` names it in errors.

    Raises:
        CheckpointError: the document does not describe a circuit.
    """
    try:
        circuit = _read_circuit(header, arrays)
        observables = [_read_observable(terms, circuit.n_wires) for terms in header["observables"]]
        dtype = str(header["dtype"])
        if dtype not in ("complex64", "complex128"):
            raise ValueError(f"dtype {dtype!r}")
        return compile_circuit(circuit, observables, dtype=dtype, backend=backend, **header.get("noise", {}))
    except BackendUnavailableError:
        raise
    except (KetgradError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"{source} does not hold a valid circuit: {error}") from error


def _read_circuit(header: dict[str, Any], arrays: Arrays) -> Circuit:
    circuit = Circuit(header["n_wires"])
    for name, kind, shape in header["groups"]:
        if not isinstance(name, str) or not name or kind not in ("w", "x"):
            raise ValueError(f"parameter group {name!r} of kind {kind!r}")
        (circuit.weights if kind == "w" else circuit.inputs)(shape, name)
    if header["initial"] is not None:
        circuit.prepare(arrays["initial"], header["initial"])
    channels = _read_channels(header["channels"], arrays) if "channels" in header else []
    for position, row in enumerate(header["gates"]):
        if "channel" in row:
            circuit.channel(channels[row["channel"]], row["wires"])
            continue
        extra = arrays.get(f"extra{position}", row.get("extra"))
        circuit.append(
            find(row["name"]),
            [_read_angle(p, circuit) for p in row.get("params", ())],
            row["wires"],
            controls=row.get("controls", ()),
            control_values=row.get("control_values"),
            inverse=bool(row.get("inverse", False)),
            extra=extra,
        )
    return circuit


def _read_channels(documents: list[dict[str, Any]], arrays: Arrays) -> list[Channel]:
    from .noise.document import from_document as read

    return [read(document, arrays) for document in documents]


def _read_angle(value: Any, circuit: Circuit) -> Any:
    if not isinstance(value, list):
        return value
    sizes = {"w": circuit.n_weights, "x": circuit.n_inputs}
    terms = {}
    for monomial, c in value:
        keys = tuple((str(kind), int(index)) for kind, index in monomial)
        if len(keys) > 2 or any(not 0 <= index < sizes[kind] for kind, index in keys):
            raise ValueError(f"an angle uses {monomial}, which the circuit does not have")
        if not np.isfinite(c):
            raise ValueError(f"an angle has the coefficient {c}")
        terms[keys] = float(c)
    return Expression(circuit._owner, terms)


def _read_observable(terms: Any, n_wires: int) -> PauliSum:
    out = {}
    for c, word, pattern in terms:
        key = (tuple((int(w), str(p)) for w, p in word), tuple((int(w), int(b)) for w, b in pattern))
        letters, bits = {p for _, p in key[0]}, {b for _, b in key[1]}
        if not letters <= set("XYZ") or not bits <= {0, 1} or not np.isfinite(c):
            raise ValueError(f"an observable has the term {c}, {word}, {pattern}")
        if any(list(part) != sorted({w: (w, v) for w, v in part}.values()) for part in key):
            raise ValueError(f"an observable's wires are repeated or out of order: {word}, {pattern}")
        out[key] = float(c)
    observable = PauliSum(out)
    if any(w >= n_wires or w < 0 for w in observable.wires):
        raise ValueError(f"an observable acts on wire {max(observable.wires)} of {n_wires}")
    return observable
