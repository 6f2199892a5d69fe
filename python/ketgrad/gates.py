"""The one gate table, and the conventions every other file follows.

Owns: each gate's name, external names and body. May not know: wires of a circuit, bits, opcodes, backends.
`python -m ketgrad.gates` prints the reference page in docs/gates.md.

Conventions. Angles are radians. R_P(t) = exp(-i t P / 2). Phase(t) = diag(1, e^{it}). Controls come first.
Matrices are row-major and their first wire is the most significant bit; wire 0 is the most significant bit of
a state (PennyLane's order).

A body is a sequence of factors, the first applied first; a factor acts on the gate's targets (its wires after
the controls). Everything else about a gate (matrix, inverse, spectrum, is it diagonal) is derived from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import CircuitError, suggest
from .factors import (
    Angle,
    Dense,
    Diagonal,
    ExpDiagonal,
    Factor,
    Matrix,
    PairRot,
    Pauli,
    Phase,
    Rot,
    Swap,
    factor_generator,
    factor_matrix,
)


@dataclass(frozen=True)
class GateSpec:
    """One row of the table: the minimum of independent facts about a gate.

    `wires` counts controls and targets; None marks a variadic gate, whose `body` is a function of the actual
    number of targets and the gate's extra argument. `n_extra` is 1 when such a gate takes one (a Pauli word, a
    matrix) before its wires.
    """

    name: str
    doc: str
    wires: int | None
    params: tuple[str, ...] = ()
    controls: int = 0
    body: tuple[Factor, ...] | Callable[[int, Any], tuple[Factor, ...]] | None = ()
    aliases: tuple[str, ...] = ()
    qasm: str | None = None
    pennylane: str | None = None
    extra: str | None = None
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.wires is None:
            return
        targets = self.wires - self.controls
        used = set()
        for factor in self.factors():
            for pattern in (getattr(factor, "word", ""), factor.on, getattr(factor, "first", "")):
                if isinstance(pattern, str) and pattern and len(pattern) != targets:
                    raise CircuitError(f"gate table, {self.name}: {pattern!r} does not span {targets} targets")
            if isinstance(factor, Dense):
                m = factor.matrix
                if m.shape != (2**targets, 2**targets) or not np.allclose(m @ m.conj().T, np.eye(2**targets)):
                    raise CircuitError(f"gate table, {self.name}: the literal is not a unitary on {targets} wires")
            angle = getattr(factor, "angle", None)
            if angle is not None and angle.param is not None:
                used.add(angle.param)
        if used != set(self.params):
            raise CircuitError(f"gate table, {self.name}: declared {self.params}, the body uses {sorted(used)}")

    def factors(self, targets: int | None = None, extra: Any = None) -> tuple[Factor, ...]:
        """The body for this many targets."""
        if callable(self.body):
            assert targets is not None
            return self.body(targets, extra)
        return self.body or ()

    def matrix(self, *params: float, wires: int | None = None, extra: Any = None) -> Matrix:
        """The gate's unitary, controls first, shape (2^k, 2^k).

        Args:
            params: angles in radians, in the order of `params`.
            wires: number of wires, for variadic gates only.
            extra: the Pauli word, matrix or vector of a variadic gate.
        """
        k = self.wires if self.wires is not None else wires
        if k is None:
            raise CircuitError(f"{self.name}: give wires=, the gate acts on any number of them")
        if len(params) != len(self.params):
            raise CircuitError(f"{self.name} takes {len(self.params)} parameters {self.params}, got {len(params)}")
        targets = 1 if self.wires is None and self.controls else k - self.controls
        controls = k - targets
        values = dict(zip(self.params, params, strict=True))
        out = np.eye(2**targets, dtype=complex)
        for factor in self.factors(targets, extra):
            out = factor_matrix(factor, targets, values) @ out
        full = np.eye(2**k, dtype=complex)
        full[2**k - 2**targets :, 2**k - 2**targets :] = out
        return full if controls else out

    def derivative(self, param: str, *params: float) -> Matrix:
        """dU/dparam, exact, from the factors (fixed-wire gates)."""
        assert self.wires is not None
        k = self.wires - self.controls
        values = dict(zip(self.params, params, strict=True))
        matrices = [factor_matrix(f, k, values) for f in self.factors()]
        total = np.zeros((2**k, 2**k), dtype=complex)
        for position, factor in enumerate(self.factors()):
            angle = getattr(factor, "angle", None)
            if angle is None or angle.param != param:
                continue
            out = np.eye(2**k, dtype=complex)
            for q, m in enumerate(matrices):
                out = m @ out
                if q == position:
                    out = -1j * angle.scale * factor_generator(factor, k) @ out
            total += out
        full = np.zeros((2**self.wires, 2**self.wires), dtype=complex)
        full[-(2**k) :, -(2**k) :] = total
        return full

    def generator(self, param: str) -> Matrix:
        """Hermitian G with dU/dparam = -i U G at generic angles; its spectrum does not depend on them."""
        key = f"generator {param}"
        if key not in self._cache:
            angles = [0.3 + 0.7 * i for i in range(len(self.params))]
            self._cache[key] = 1j * self.matrix(*angles).conj().T @ self.derivative(param, *angles)
        return np.asarray(self._cache[key])

    def spectrum(self, param: str) -> npt.NDArray[np.float64]:
        """Distinct eigenvalues of the generator, ascending."""
        return np.unique(np.round(np.linalg.eigvalsh(self.generator(param)), 9))

    def frequencies(self, param: str) -> tuple[float, ...]:
        """Positive differences of the spectrum: what an expectation value contains as a function of `param`."""
        values = self.spectrum(param)
        gaps = np.unique(np.round(np.abs(values[:, None] - values[None, :]), 9))
        return tuple(float(g) for g in gaps if g > 1e-6)

    @cached_property
    def _sample(self) -> Matrix:
        return self.matrix(*[0.3 + 0.7 * i for i in range(len(self.params))])

    @property
    def is_diagonal(self) -> bool:
        """Whether the matrix is diagonal for every angle."""
        return bool(np.allclose(self._sample, np.diag(np.diag(self._sample))))

    @property
    def is_permutation(self) -> bool:
        """Whether every row has one entry of modulus 1."""
        return bool(np.allclose(np.abs(self._sample).max(axis=0), 1.0))

    @property
    def is_self_inverse(self) -> bool:
        """Whether U U = 1 for every angle."""
        return bool(np.allclose(self._sample @ self._sample, np.eye(len(self._sample))))


def _a(param: str | None = "theta", scale: float = 1.0, offset: float = 0.0) -> Angle:
    return Angle(param, scale, offset)


def _word_body(_targets: int, word: Any) -> tuple[Factor, ...]:
    return (Rot(word, _a()),)


def _pcphase_body(targets: int, dim: Any) -> tuple[Factor, ...]:
    values = np.where(np.arange(2**targets) < dim, 1.0, -1.0)
    return (ExpDiagonal(values, _a()),)


_SQRT_HALF = np.sqrt(0.5)
_H = np.array([[1, 1], [1, -1]], dtype=complex) * _SQRT_HALF
_SX = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2
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
    GateSpec("multi_rz", "exp(-i theta Z...Z/2).", None, _THETA, 0, lambda k, _: (Rot("Z" * k, _a()),), pennylane="MultiRZ"),
    GateSpec("pauli_rot", "exp(-i theta P/2), P any Pauli word.", None, _THETA, 0, _word_body, extra="word", pennylane="PauliRot"),
    GateSpec("mcx", "X on the last wire, controlled by all others.", None, (), 1, lambda k, _: (Pauli("X"),), pennylane="MultiControlledX"),
    GateSpec("unitary", "Any unitary matrix.", None, (), 0, lambda k, m: (Dense(m),), extra="matrix", pennylane="QubitUnitary"),
    GateSpec("diagonal", "Any diagonal unitary.", None, (), 0, lambda k, d: (Diagonal(d),), extra="diagonal", pennylane="DiagonalQubitUnitary"),
    GateSpec("exp_diagonal", "exp(i theta diag(values)).", None, _THETA, 0, lambda k, d: (ExpDiagonal(d, _a()),), extra="values"),
    GateSpec("pcphase", "e^{i theta} on the first `dim` states, e^{-i theta} on the others.", None, _THETA, 0, _pcphase_body, extra="dim", pennylane="PCPhase"),
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


BY_NAME: dict[str, GateSpec] = _build(_ROWS)
GATES: tuple[GateSpec, ...] = _ROWS


def find(name: str) -> GateSpec:
    """The row called `name` (or one of its aliases).

    Raises:
        CircuitError: no such gate; the message suggests the closest one.
    """
    try:
        return BY_NAME[name]
    except (KeyError, TypeError):
        raise CircuitError(f"unknown gate {name!r}.{suggest(name, list(BY_NAME))}") from None


def reference() -> str:
    """The gate reference as Markdown."""
    lines = [
        "# Gates",
        "",
        "Generated by `python -m ketgrad.gates`; do not edit.",
        "Conventions: angles in radians, R_P(t) = exp(-i t P/2), controls first, the first wire is the most",
        "significant bit. Every gate takes `controls=`, `control_values=` and `inverse=`.",
        "",
        "| gate | wires | parameters | frequencies | PennyLane | OpenQASM | meaning |",
        "|---|---|---|---|---|---|---|",
    ]
    for spec in GATES:
        names = ", ".join(f"`{n}`" for n in (spec.name, *spec.aliases))
        wires = "any" if spec.wires is None else str(spec.wires)
        params = ", ".join((*spec.params, *([spec.extra] if spec.extra else []))) or "-"
        freq = "-"
        if spec.params and spec.wires is not None:
            freq = "; ".join(
                "{" + ", ".join(f"{f:g}" for f in spec.frequencies(p)) + "}" if spec.frequencies(p) else "none"
                for p in spec.params
            )
        elif spec.name in ("multi_rz", "pauli_rot"):
            freq = "{1}"
        elif spec.params:
            freq = "differences of the values"
        lines.append(
            f"| {names} | {wires} | {params} | {freq} | {spec.pennylane or '-'} | {spec.qasm or '-'} | {spec.doc} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
