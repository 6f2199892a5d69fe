"""`executor`: ketgrad as what Mitiq calls to run Cirq circuits, without importing either.

Owns: how a Cirq circuit becomes a `Circuit`. May not know: what Mitiq does with the values.

Mitiq takes a function for batched when it is annotated to return `list[float]`. Circuits are read when the function is
called, through `cirq`, which whoever has Cirq circuits has loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit
from ..errors import ArgumentError, ArgumentTypeError
from ..gates import find
from ..noise.channel import Channel
from ..pauli import PAULI_MATRICES, PauliSum
from ..simulator import Seed, check_shots, generator
from .noisy import Compile, Noise, compiled, with_noise

Matrix = npt.NDArray[np.complex128]
NAMED = "x y z h s sdg t tdg sx sxdg cx cz cy ch swap iswap ecr ccx ccz cswap".split()
ROTATIONS = {"rx": "X", "ry": "Y", "rz": "Z"}


def executor(
    observable: PauliSum,
    noise: Noise = None,
    *,
    shots: int | None = None,
    seed: Seed = None,
    compile: Compile | None = None,
    **options: Any,
) -> Callable[[Any], Any]:
    """A function `(list of cirq circuits) -> list of floats`, as `mitiq.Executor` wants it.

    Args:
        observable: its wires are the circuit's qubits in Cirq's order.
        noise: a `NoiseModel`, or a function circuit -> circuit with channels. Gates of Cirq that are one of ketgrad's
            fixed gates or a rotation about an axis have ketgrad's names for it, all others are "unitary". Channels of a
            Cirq circuit are kept.
        shots: measurements of each setting; None is exact.
        seed: of the shots: an int or a numpy Generator.
        compile, options: as for `zne`.

    Example:
        >>> run = kg.mitigation.executor(kg.Z(0), noise_model)
        >>> mitiq.zne.execute_with_zne(cirq_circuit, run)
    """
    if not isinstance(observable, PauliSum):
        raise ArgumentTypeError(f"executor: an observable such as kg.Z(0), got {type(observable).__name__}")
    if shots is not None:
        check_shots(shots)
    rng = generator(seed)

    def run(circuits: Any) -> Any:
        several = isinstance(circuits, (list, tuple))
        found = []
        for circuit in circuits if several else [circuits]:
            own = from_cirq(circuit, max(observable.wires, default=0) + 1)
            model = compiled(with_noise(own, noise), (observable,), noise, compile, options)
            found.append(float(model(shots=shots, seed=rng if shots is not None else None)[0]))
        return found if several else found[0]

    run.__annotations__ = {"return": list[float]}  # a type and no string: Mitiq compares it
    return run


def from_cirq(circuit: Any, n_wires: int = 1) -> Circuit:
    """A Cirq circuit without parameters; its qubits in Cirq's order are the wires. Measurements are left out.

    Args:
        n_wires: at least so many.

    Raises:
        ArgumentTypeError: not a Cirq circuit.
        ArgumentError: an operation that is neither unitary nor a channel.
    """
    if not hasattr(circuit, "all_operations") or not hasattr(circuit, "all_qubits"):
        raise ArgumentTypeError(f"executor: expected a cirq.Circuit, got {type(circuit).__name__}")
    cirq = importlib.import_module("cirq")
    wire = {q: k for k, q in enumerate(sorted(circuit.all_qubits()))}
    out = Circuit(max(n_wires, len(wire)))
    for operation in circuit.all_operations():
        if not cirq.is_measurement(operation):
            _append(out, cirq, operation, [wire[q] for q in operation.qubits])
    return out


def _append(out: Circuit, cirq: Any, operation: Any, wires: Sequence[int]) -> None:
    matrix = cirq.unitary(operation, None)
    if matrix is not None:
        _append_unitary(out, np.asarray(matrix, dtype=complex), wires)
        return
    kraus = cirq.kraus(operation, None)
    if kraus is None:
        raise ArgumentError(f"executor: {operation!r} is neither a unitary nor a channel; resolve its parameters first")
    out.channel(Channel(np.array(kraus), f"cirq {type(operation.gate).__name__}"), wires)


def _append_unitary(out: Circuit, matrix: Matrix, wires: Sequence[int]) -> None:
    if not wires:
        return  # a global phase
    name, angle = _recognised(matrix, len(wires))
    if name == "unitary":
        out.append("unitary", (), wires, extra=matrix)
    else:
        out.append(name, () if angle is None else (angle,), wires)


@cache
def _fixed(k: int) -> dict[str, Matrix]:
    specs = {n: find(n) for n in ("i", *NAMED)}
    return {n: s.matrix() for n, s in specs.items() if s.wires == k}


def _recognised(matrix: Matrix, k: int) -> tuple[str, float | None]:
    """A gate's name, and its angle if it is a rotation, up to a global phase."""
    for name, known in _fixed(k).items():
        if abs(abs(np.vdot(known, matrix)) - 2**k) < 1e-9:
            return name, None
    if k == 1:
        for name, letter in ROTATIONS.items():
            angle = _angle(matrix, letter)
            if angle is not None:
                return name, angle
    return "unitary", None


def _angle(matrix: Matrix, letter: str) -> float | None:
    """The angle of a rotation about an axis, None for another matrix."""
    one, word = np.trace(matrix) / 2, np.trace(PAULI_MATRICES[letter] @ matrix) / 2
    phase = np.exp(-1j * np.angle(one if abs(one) > abs(word) else 1j * word))
    cos, sin = one * phase, 1j * word * phase
    if abs(abs(cos) ** 2 + abs(sin) ** 2 - 1) > 1e-9 or abs(cos.imag) + abs(sin.imag) > 1e-9:
        return None
    return float(2 * np.arctan2(sin.real, cos.real))
