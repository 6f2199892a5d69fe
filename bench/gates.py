"""Time per gate, one thread, of every opcode, beside the bandwidth limit and lightning.qubit's raw state vector.

A gate's time is the difference of two circuits, one with the gate on every wire in turn and one without, over their
number: state preparation and readout cancel. The limit is the time of y *= a on the state, times the share of the
amplitudes the gate has to touch. Gates run one by one, as they do on small states: what a plan of a large circuit makes
of them (`large.py`) is no property of a gate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import common
import numpy as np
from clock import timed
from common import LIGHTNING, TOLERANCE, ratio, scale_time, verdict

import ketgrad as kg
from ketgrad.compare import format_table, format_time

RNG = np.random.default_rng(5)
ANGLE = 0.37


def random_unitary(k: int) -> np.ndarray:
    """A unitary on k wires."""
    q, _ = np.linalg.qr(RNG.normal(size=(2**k, 2**k)) + 1j * RNG.normal(size=(2**k, 2**k)))
    return q


ONE, TWO = random_unitary(1), random_unitary(2)
DIAGONAL = np.exp(1j * RNG.normal(size=4))


class Case(NamedTuple):
    """A gate in ketgrad and in lightning's binding.

    Attributes:
        opcode: which instruction it becomes.
        wires: how many it acts on, controls first.
        share: of the amplitudes it must read and write.
        append: (circuit, wires) -> None.
        lightning: (state, wires) -> None, on the raw binding; None where lightning has no such gate.
    """

    name: str
    opcode: str
    wires: int
    share: float
    append: Callable[[Any, list[int]], Any]
    lightning: Callable[[Any, list[int]], Any] | None


CASES = [
    Case("x", "PAULI", 1, 1, lambda c, w: c.x(*w), lambda s, w: s.PauliX(w, False, [])),
    Case("y", "PAULI", 1, 1, lambda c, w: c.y(*w), lambda s, w: s.PauliY(w, False, [])),
    Case("cx", "PAULI", 2, 0.5, lambda c, w: c.cx(*w), lambda s, w: s.CNOT(w, False, [])),
    Case("ccx", "PAULI", 3, 0.25, lambda c, w: c.ccx(*w), lambda s, w: s.Toffoli(w, False, [])),
    Case("z", "PHASE", 1, 0.5, lambda c, w: c.z(*w), lambda s, w: s.PauliZ(w, False, [])),
    Case("cp", "PHASE", 2, 0.25, lambda c, w: c.cp(ANGLE, *w), lambda s, w: s.ControlledPhaseShift(w, False, [ANGLE])),
    Case("rx", "PAULI_ROT", 1, 1, lambda c, w: c.rx(ANGLE, *w), lambda s, w: s.RX(w, False, [ANGLE])),
    Case("ry", "PAULI_ROT", 1, 1, lambda c, w: c.ry(ANGLE, *w), lambda s, w: s.RY(w, False, [ANGLE])),
    Case("rz", "PAULI_ROT", 1, 1, lambda c, w: c.rz(ANGLE, *w), lambda s, w: s.RZ(w, False, [ANGLE])),
    Case("crx", "PAULI_ROT", 2, 0.5, lambda c, w: c.crx(ANGLE, *w), lambda s, w: s.CRX(w, False, [ANGLE])),
    Case("rxx", "PAULI_ROT", 2, 1, lambda c, w: c.rxx(ANGLE, *w), lambda s, w: s.IsingXX(w, False, [ANGLE])),
    Case("rzz", "PAULI_ROT", 2, 1, lambda c, w: c.rzz(ANGLE, *w), lambda s, w: s.IsingZZ(w, False, [ANGLE])),
    Case(
        "pauli_rot XYZ",
        "PAULI_ROT",
        3,
        1,
        lambda c, w: c.pauli_rot(ANGLE, "XYZ", *w),
        lambda s, w: s.applyPauliRot(w, False, [ANGLE], "XYZ"),
    ),
    Case(
        "single_excitation",
        "PAIR_ROT",
        2,
        0.5,
        lambda c, w: c.single_excitation(ANGLE, *w),
        lambda s, w: s.SingleExcitation(w, False, [ANGLE]),
    ),
    Case(
        "double_excitation",
        "PAIR_ROT",
        4,
        0.125,
        lambda c, w: c.double_excitation(ANGLE, *w),
        lambda s, w: s.DoubleExcitation(w, False, [ANGLE]),
    ),
    Case("swap", "SWAP", 2, 0.5, lambda c, w: c.swap(*w), lambda s, w: s.SWAP(w, False, [])),
    Case(
        "diagonal",
        "DIAG",
        2,
        1,
        lambda c, w: c.diagonal(DIAGONAL, *w),
        lambda s, w: s.applyMatrix(np.diag(DIAGONAL), w, False),
    ),
    Case(
        "pcphase",
        "EXP_DIAG",
        2,
        1,
        lambda c, w: c.pcphase(ANGLE, 3, *w),
        lambda s, w: s.PCPhase(w, False, np.array([ANGLE, 3.0])),
    ),
    Case("h", "DENSE", 1, 1, lambda c, w: c.h(*w), lambda s, w: s.Hadamard(w, False, [])),
    Case("unitary 1", "DENSE", 1, 1, lambda c, w: c.unitary(ONE, *w), lambda s, w: s.applyMatrix(ONE, w, False)),
    Case("unitary 2", "DENSE", 2, 1, lambda c, w: c.unitary(TWO, *w), lambda s, w: s.applyMatrix(TWO, w, False)),
    Case(
        "controlled unitary 1",
        "DENSE",
        2,
        0.5,
        lambda c, w: c.unitary(ONE, w[1], controls=w[0]),
        lambda s, w: s.applyControlledMatrix(ONE, w[:1], [True], w[1:], False),
    ),
]


def places(case: Case, n: int) -> list[list[int]]:
    """The gate on every wire in turn, neighbours on the wires after it."""
    return [[(first + k) % n for k in range(case.wires)] for first in range(n)]


def circuit_of(case: Case, n: int, gates: bool) -> kg.Circuit:
    """Hadamards on all wires, then the gate at all its places."""
    circuit = kg.Circuit(n)
    for q in range(n):
        circuit.h(q)
    for wires in places(case, n) if gates else []:
        case.append(circuit, wires)
    return circuit


def ketgrad_time(case: Case, n: int, dtype: str, seconds: float) -> float:
    """Time of one gate."""
    both = [kg.compile(circuit_of(case, n, gates), kg.Z(0), dtype=dtype) for gates in (True, False)]
    return max(0.0, timed(both[0], seconds) - timed(both[1], seconds)) / n


def raw_state(n: int, dtype: str) -> Any:
    """Lightning's raw state vector in |+...+>."""
    from pennylane_lightning.lightning_qubit_ops import StateVectorC64, StateVectorC128

    state = (StateVectorC64 if dtype == "complex64" else StateVectorC128)(n)
    state.resetStateVector()
    for q in range(n):
        state.Hadamard([q], False, [])
    return state


def lightning_time(case: Case, n: int, dtype: str, seconds: float) -> float | None:
    """Time of one gate on the raw binding, without PennyLane's Python."""
    if not LIGHTNING or case.lightning is None:
        return None
    state, where, apply = raw_state(n, dtype), places(case, n), case.lightning

    def run() -> None:
        for wires in where:
            apply(state, wires)

    return timed(run, seconds) / n


def check(case: Case, dtype: str, n: int = 6) -> None:
    """The state after all places, against lightning's; and against the gate's own matrix for one place."""
    got = kg.compile(circuit_of(case, n, True), dtype=dtype).state()
    assert abs(np.linalg.norm(got) - 1) < TOLERANCE[dtype]
    if LIGHTNING and case.lightning is not None:
        state = raw_state(n, dtype)
        for wires in places(case, n):
            case.lightning(state, wires)
        wanted = np.zeros(2**n, dtype=dtype)
        state.getState(wanted)
        assert np.abs(got - wanted).max() < TOLERANCE[dtype], f"{case.name}: differs from lightning"
    circuit = kg.Circuit(case.wires)
    case.append(circuit, list(range(case.wires)))
    (gate,) = circuit.gates
    variadic = None if gate.spec.wires is not None else len(gate.wires)
    matrix = gate.spec.matrix(*[float(p) for p in gate.params], wires=variadic, extra=gate.extra)
    rest = 2**case.wires - len(matrix)
    full = np.block([[np.eye(rest), np.zeros((rest, len(matrix)))], [np.zeros((len(matrix), rest)), matrix]])
    vector = RNG.normal(size=2**case.wires) + 1j * RNG.normal(size=2**case.wires)
    vector /= np.linalg.norm(vector)
    one = kg.Circuit(case.wires).prepare(vector)
    case.append(one, list(range(case.wires)))
    assert np.abs(kg.compile(one, dtype=dtype).state() - full @ vector).max() < TOLERANCE[dtype], case.name


def main(quick: bool = False) -> None:
    """Print one table for each dtype and size."""
    common.one_thread()
    common.gate_by_gate()
    print(common.heading("Gates: time per gate, one thread each"))
    print(
        "limit: y *= a on the state, times the share of amplitudes the gate touches; of limit: limit / ketgrad;\n"
        "lightning: the raw state vector of lightning.qubit" + ("" if LIGHTNING else " (not installed here)")
    )
    for dtype in ("complex128", "complex64"):
        for case in CASES:
            check(case, dtype)
        for n in (16,) if quick else (16, 18, 20, 22):
            scale, rows = scale_time(n, dtype), []
            bytes_moved = 2 * np.dtype(dtype).itemsize << n
            for case in CASES:
                seconds = 0.02 if quick else 0.1
                ours, theirs = ketgrad_time(case, n, dtype, seconds), lightning_time(case, n, dtype, seconds)
                limit = scale * case.share
                rows.append(
                    (
                        case.name,
                        case.opcode,
                        format_time(ours),
                        format_time(limit),
                        ratio(limit, ours),
                        format_time(theirs),
                        ratio(theirs, ours),
                        verdict(ours, theirs),
                    )
                )
            print(f"\nn = {n}, {dtype}, y *= a moves {bytes_moved / scale / 1e9:.1f} GB/s")
            header = ("gate", "opcode", "ketgrad", "limit", "of limit", "lightning", "lightning/ketgrad", "")
            print(format_table(header, rows))


if __name__ == "__main__":
    main(common.options(__doc__).quick)
