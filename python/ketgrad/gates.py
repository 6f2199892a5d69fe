"""The one gate table, and the conventions every other file follows.

Owns: each gate's name, external names and body. May not know: wires of a circuit, bits, opcodes, backends.
`gate_reference` prints the reference page docs/gates.md.

Conventions. Angles are radians. R_P(t) = exp(-i t P / 2). Phase(t) = diag(1, e^{it}). Controls come first.
Matrices are row-major and their first wire is the most significant bit; wire 0 is the most significant bit of
a state (PennyLane's order). A body is a sequence of factors, the first applied first; a factor acts on the gate's
targets, its wires after the controls.
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import CircuitError, suggest
from .factors import Angle, Dense, Diagonal, ExpDiagonal, Factor, Matrix, PairRot, Pauli, Phase, Rot, Swap
from .gate_spec import CHANNEL, GateSpec


def _a(param: str | None = "theta", scale: float = 1.0, offset: float = 0.0) -> Angle:
    return Angle(param, scale, offset)


def _word_body(_targets: int, word: Any) -> tuple[Factor, ...]:
    return (Rot(word, _a()),)


def _pcphase_body(targets: int, dim: Any) -> tuple[Factor, ...]:
    values = np.where(np.arange(2**targets) < dim, 1.0, -1.0)
    return (ExpDiagonal(values, _a()),)


_SQRT_HALF = 0.5**0.5
_H: Matrix = np.array([[_SQRT_HALF, _SQRT_HALF], [_SQRT_HALF, -_SQRT_HALF]], dtype=np.complex128)
_SX: Matrix = np.array([[0.5 + 0.5j, 0.5 - 0.5j], [0.5 - 0.5j, 0.5 + 0.5j]], dtype=np.complex128)
_ROT = (Rot("Z", _a("phi")), Rot("Y", _a("theta")), Rot("Z", _a("omega")))
_U3 = (Rot("Z", _a("lam")), Rot("Y", _a("theta")), Rot("Z", _a("phi")))
_U3_PHASE = (Phase(_a("phi", 0.5)), Phase(_a("lam", 0.5)))
_HALF_PI = np.pi / 2
_THETA = ("theta",)

_ROWS: tuple[GateSpec, ...] = (
    # constants on one wire
    GateSpec("i", "Identity.", 1, aliases=("id", "identity"), qasm="id", pennylane="Identity"),
    GateSpec("x", "Pauli X.", 1, body=(Pauli("X"),), qasm="x", pennylane="PauliX"),
    GateSpec("y", "Pauli Y.", 1, body=(Pauli("Y"),), qasm="y", pennylane="PauliY"),
    GateSpec("z", "Pauli Z.", 1, body=(Phase(_a(None, 0, np.pi), "1"),), qasm="z", pennylane="PauliZ"),
    GateSpec("h", "Hadamard.", 1, body=(Dense(_H),), aliases=("hadamard",), qasm="h", pennylane="Hadamard"),
    GateSpec("s", "diag(1, i).", 1, body=(Phase(_a(None, 0, _HALF_PI), "1"),), qasm="s", pennylane="S"),
    GateSpec("sdg", "Inverse of s.", 1, body=(Phase(_a(None, 0, -_HALF_PI), "1"),), qasm="sdg"),
    GateSpec("t", "diag(1, e^{i pi/4}).", 1, body=(Phase(_a(None, 0, np.pi / 4), "1"),), qasm="t", pennylane="T"),
    GateSpec("tdg", "Inverse of t.", 1, body=(Phase(_a(None, 0, -np.pi / 4), "1"),), qasm="tdg"),
    GateSpec("sx", "Square root of X.", 1, body=(Dense(_SX),), qasm="sx", pennylane="SX"),
    GateSpec("sxdg", "Inverse of sx.", 1, body=(Dense(_SX.conj().T),), qasm="sxdg"),
    # rotations and phases on one wire
    GateSpec("rx", "exp(-i theta X/2).", 1, _THETA, body=(Rot("X", _a()),), qasm="rx", pennylane="RX"),
    GateSpec("ry", "exp(-i theta Y/2).", 1, _THETA, body=(Rot("Y", _a()),), qasm="ry", pennylane="RY"),
    GateSpec("rz", "exp(-i theta Z/2).", 1, _THETA, body=(Rot("Z", _a()),), qasm="rz", pennylane="RZ"),
    GateSpec(
        "p",
        "diag(1, e^{i theta}).",
        1,
        _THETA,
        body=(Phase(_a(), "1"),),
        aliases=("phase", "u1"),
        qasm="p",
        pennylane="PhaseShift",
    ),
    GateSpec("rot", "RZ(omega) RY(theta) RZ(phi).", 1, ("phi", "theta", "omega"), body=_ROT, pennylane="Rot"),
    GateSpec(
        "u2",
        "u3 at theta = pi/2.",
        1,
        ("phi", "lam"),
        body=(Rot("Z", _a("lam")), Rot("Y", _a(None, 0, _HALF_PI)), Rot("Z", _a("phi")), *_U3_PHASE),
        qasm="u2",
        pennylane="U2",
    ),
    GateSpec(
        "u3",
        "e^{i(phi+lam)/2} RZ(phi) RY(theta) RZ(lam).",
        1,
        ("theta", "phi", "lam"),
        body=(*_U3, *_U3_PHASE),
        aliases=("u",),
        qasm="u3",
        pennylane="U3",
    ),
    GateSpec(
        "gphase",
        "Global phase e^{i theta}; PennyLane's GlobalPhase has the opposite sign.",
        0,
        _THETA,
        body=(Phase(_a()),),
        qasm="gphase",
    ),
    # controlled, two wires
    GateSpec("cx", "Controlled X.", 2, (), 1, (Pauli("X"),), ("cnot",), "cx", "CNOT"),
    GateSpec("cy", "Controlled Y.", 2, (), 1, (Pauli("Y"),), (), "cy", "CY"),
    GateSpec("cz", "Controlled Z.", 2, (), 1, (Phase(_a(None, 0, np.pi), "1"),), (), "cz", "CZ"),
    GateSpec("ch", "Controlled Hadamard.", 2, (), 1, (Dense(_H),), (), "ch", "CH"),
    GateSpec("cs", "Controlled s.", 2, (), 1, (Phase(_a(None, 0, _HALF_PI), "1"),)),
    GateSpec("csx", "Controlled sx.", 2, (), 1, (Dense(_SX),)),
    GateSpec(
        "cp",
        "Controlled phase.",
        2,
        _THETA,
        1,
        (Phase(_a(), "1"),),
        ("cphase", "cu1"),
        "cp",
        "ControlledPhaseShift",
    ),
    GateSpec("crx", "Controlled rx.", 2, _THETA, 1, (Rot("X", _a()),), (), "crx", "CRX"),
    GateSpec("cry", "Controlled ry.", 2, _THETA, 1, (Rot("Y", _a()),), (), "cry", "CRY"),
    GateSpec("crz", "Controlled rz.", 2, _THETA, 1, (Rot("Z", _a()),), (), "crz", "CRZ"),
    GateSpec("crot", "Controlled rot.", 2, ("phi", "theta", "omega"), 1, _ROT, pennylane="CRot"),
    GateSpec("cu3", "Controlled u3.", 2, ("theta", "phi", "lam"), 1, (*_U3, *_U3_PHASE), qasm="cu3"),
    GateSpec(
        "cu",
        "Controlled e^{i gamma} u3.",
        2,
        ("theta", "phi", "lam", "gamma"),
        1,
        (*_U3, *_U3_PHASE, Phase(_a("gamma"))),
        qasm="cu",
    ),
    # two targets
    GateSpec("swap", "Exchanges two wires.", 2, body=(Swap(),), qasm="swap", pennylane="SWAP"),
    GateSpec(
        "iswap",
        "Swap with i on the exchanged states.",
        2,
        body=(Rot("XX", _a(None, 0, -_HALF_PI)), Rot("YY", _a(None, 0, -_HALF_PI))),
        pennylane="ISWAP",
    ),
    GateSpec(
        "siswap",
        "Square root of iswap.",
        2,
        body=(Rot("XX", _a(None, 0, -_HALF_PI / 2)), Rot("YY", _a(None, 0, -_HALF_PI / 2))),
        aliases=("sqisw",),
        pennylane="SISWAP",
    ),
    GateSpec(
        "ecr",
        "Echoed cross-resonance: RZX(pi/4) X RZX(-pi/4), X on the first wire.",
        2,
        body=(Rot("ZX", _a(None, 0, np.pi / 4)), Pauli("XI"), Rot("ZX", _a(None, 0, -np.pi / 4))),
        pennylane="ECR",
    ),
    GateSpec("rxx", "exp(-i theta XX/2).", 2, _THETA, body=(Rot("XX", _a()),), qasm="rxx", pennylane="IsingXX"),
    GateSpec("ryy", "exp(-i theta YY/2).", 2, _THETA, body=(Rot("YY", _a()),), qasm="ryy", pennylane="IsingYY"),
    GateSpec("rzz", "exp(-i theta ZZ/2).", 2, _THETA, body=(Rot("ZZ", _a()),), qasm="rzz", pennylane="IsingZZ"),
    GateSpec("rzx", "exp(-i theta ZX/2).", 2, _THETA, body=(Rot("ZX", _a()),), qasm="rzx"),
    GateSpec(
        "rxy",
        "exp(i theta (XX+YY)/4).",
        2,
        _THETA,
        body=(Rot("XX", _a(scale=-0.5)), Rot("YY", _a(scale=-0.5))),
        pennylane="IsingXY",
    ),
    GateSpec(
        "pswap",
        "Swap with e^{i theta} on the exchanged states.",
        2,
        _THETA,
        body=(Phase(_a(), "01"), Phase(_a(), "10"), Swap()),
        pennylane="PSWAP",
    ),
    GateSpec(
        "single_excitation",
        "Real rotation |01> -> cos(theta/2)|01> + sin(theta/2)|10>.",
        2,
        _THETA,
        body=(PairRot("01", "10", _a()),),
        aliases=("givens",),
        pennylane="SingleExcitation",
    ),
    GateSpec(
        "single_excitation_plus",
        "single_excitation with e^{i theta/2} on |00> and |11>.",
        2,
        _THETA,
        body=(PairRot("01", "10", _a()), Phase(_a(scale=0.5), "00"), Phase(_a(scale=0.5), "11")),
        pennylane="SingleExcitationPlus",
    ),
    GateSpec(
        "single_excitation_minus",
        "single_excitation with e^{-i theta/2} on |00> and |11>.",
        2,
        _THETA,
        body=(PairRot("01", "10", _a()), Phase(_a(scale=-0.5), "00"), Phase(_a(scale=-0.5), "11")),
        pennylane="SingleExcitationMinus",
    ),
    # three and four wires
    GateSpec("ccx", "Toffoli.", 3, (), 2, (Pauli("X"),), ("toffoli",), "ccx", "Toffoli"),
    GateSpec("ccz", "Doubly controlled Z.", 3, (), 2, (Phase(_a(None, 0, np.pi), "1"),), pennylane="CCZ"),
    GateSpec("cswap", "Controlled swap.", 3, (), 1, (Swap(),), ("fredkin",), "cswap", "CSWAP"),
    GateSpec(
        "double_excitation",
        "Real rotation |0011> -> cos(theta/2)|0011> + sin(theta/2)|1100>.",
        4,
        _THETA,
        body=(PairRot("0011", "1100", _a()),),
        pennylane="DoubleExcitation",
    ),
    GateSpec(
        "double_excitation_plus",
        "double_excitation with e^{i theta/2} on the other 14 states.",
        4,
        _THETA,
        body=(
            PairRot("0011", "1100", _a()),
            Phase(_a(scale=0.5)),
            Phase(_a(scale=-0.5), "0011"),
            Phase(_a(scale=-0.5), "1100"),
        ),
        pennylane="DoubleExcitationPlus",
    ),
    GateSpec(
        "double_excitation_minus",
        "double_excitation with e^{-i theta/2} on the other 14 states.",
        4,
        _THETA,
        body=(
            PairRot("0011", "1100", _a()),
            Phase(_a(scale=-0.5)),
            Phase(_a(scale=0.5), "0011"),
            Phase(_a(scale=0.5), "1100"),
        ),
        pennylane="DoubleExcitationMinus",
    ),
    GateSpec(
        "orbital_rotation",
        "Spin-adapted rotation of two spatial orbitals (Jordan-Wigner, spins interleaved).",
        4,
        _THETA,
        body=(PairRot("0-1-", "1-0-", _a(), z="IZII"), PairRot("-0-1", "-1-0", _a(), z="IIZI")),
        pennylane="OrbitalRotation",
    ),
    GateSpec(
        "qubit_carry",
        "Carry of a binary adder.",
        4,
        body=(Pauli("IIIX", "-11-"), Pauli("IIXI", "-1--"), Pauli("IIIX", "1-1-")),
        pennylane="QubitCarry",
    ),
    GateSpec(
        "qubit_sum",
        "Sum of a binary adder.",
        3,
        body=(Pauli("IIX", "1--"), Pauli("IIX", "-1-")),
        pennylane="QubitSum",
    ),
    # any number of wires
    GateSpec(
        "multi_rz", "exp(-i theta Z...Z/2).", None, _THETA, 0, lambda k, _: (Rot("Z" * k, _a()),), pennylane="MultiRZ"
    ),
    GateSpec(
        "pauli_rot",
        "exp(-i theta P/2), P any Pauli word.",
        None,
        _THETA,
        0,
        _word_body,
        extra="word",
        pennylane="PauliRot",
    ),
    GateSpec(
        "mcx",
        "X on the last wire, controlled by all others.",
        None,
        (),
        1,
        lambda k, _: (Pauli("X"),),
        pennylane="MultiControlledX",
    ),
    GateSpec(
        "unitary",
        "Any unitary matrix.",
        None,
        (),
        0,
        lambda k, m: (Dense(m),),
        extra="matrix",
        pennylane="QubitUnitary",
    ),
    GateSpec(
        "diagonal",
        "Any diagonal unitary.",
        None,
        (),
        0,
        lambda k, d: (Diagonal(d),),
        extra="diagonal",
        pennylane="DiagonalQubitUnitary",
    ),
    GateSpec(
        "exp_diagonal",
        "exp(i theta diag(values)).",
        None,
        _THETA,
        0,
        lambda k, d: (ExpDiagonal(d, _a()),),
        extra="values",
    ),
    GateSpec(
        "pcphase",
        "e^{i theta} on the first `dim` states, e^{-i theta} on the others.",
        None,
        _THETA,
        0,
        _pcphase_body,
        extra="dim",
        pennylane="PCPhase",
    ),
)


def _build(rows: Sequence[GateSpec]) -> dict[str, GateSpec]:
    table: dict[str, GateSpec] = {}
    seen: dict[tuple[str, str], str] = {}
    for spec in rows:
        for kind, names in (
            ("ketgrad", (spec.name, *spec.aliases)),
            ("qasm", (spec.qasm,)),
            ("pennylane", (spec.pennylane,)),
        ):
            for name in names:
                if name is None:
                    continue
                if (kind, name) in seen:
                    raise CircuitError(f"gate table: {kind} name {name!r} is in {seen[kind, name]} and {spec.name}")
                seen[kind, name] = spec.name
        for name in (spec.name, *spec.aliases):
            table[name] = spec
    return table


GATES: tuple[GateSpec, ...] = _ROWS
BY_NAME: dict[str, GateSpec] = _build(GATES)


def find(name: str) -> GateSpec:
    """The row called `name` (or one of its aliases).

    Raises:
        CircuitError: no such gate; the message suggests the closest one.
    """
    try:
        return BY_NAME[name]
    except (KeyError, TypeError):
        raise CircuitError(f"unknown gate {name!r}.{suggest(name, list(BY_NAME))}") from None


def _row(name: str) -> GateSpec:
    return CHANNEL if name == CHANNEL.name else find(name)


# a row is pickled and copied as its name: there is one of each, and its body may be a function
copyreg.pickle(GateSpec, lambda spec: (_row, (spec.name,)))
