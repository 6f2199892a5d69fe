"""Encoding circuits of any stabilizer code, by Gaussian elimination on its tableau.

Owns: the Clifford circuit whose images of X and Z are a code's logical operators and stabilizers. May not know: noise.
Source: S. Aaronson and D. Gottesman, PRA 70, 052328 (2004), for how gates change a tableau.
"""

from __future__ import annotations

from ..circuit import Circuit
from .codes import Code, check_code
from .words import masks


class _Tableau:
    """Words with signs, and what H, S and CX make of them; the gates are kept."""

    def __init__(self, words: list[str]) -> None:
        self.x, self.z = ([masks(w)[part] for w in words] for part in (0, 1))
        self.sign = [0] * len(words)
        self.n = len(words[0])
        self.gates: list[tuple[str, tuple[int, ...]]] = []

    def at(self, row: int, wire: int) -> tuple[int, int]:
        """The x and z bit of a row on a wire."""
        bit = self.n - 1 - wire
        return self.x[row] >> bit & 1, self.z[row] >> bit & 1

    def apply(self, name: str, *wires: int) -> None:
        """Conjugate all rows by a gate."""
        self.gates.append((name, wires))
        bits = [self.n - 1 - w for w in wires]
        for r in range(len(self.x)):
            (x, z), last = self.at(r, wires[0]), self.at(r, wires[-1])
            if name == "cx":
                self.sign[r] ^= x & last[1] & (last[0] ^ z ^ 1)
                self.x[r] ^= x << bits[1]
                self.z[r] ^= last[1] << bits[0]
            else:
                self.sign[r] ^= x & z
                self.z[r] ^= x << bits[0]
                if name == "h":  # x and z exchanged: z has become x ^ z
                    self.x[r] ^= (x ^ z) << bits[0]
                    self.z[r] ^= z << bits[0]

    def to_x(self, row: int, wire: int) -> None:
        """Make this row the X of this wire, up to its sign."""
        for w in range(self.n):
            if self.at(row, w) == (0, 1):
                self.apply("h", w)
            elif self.at(row, w) == (1, 1):
                self.apply("s", w)
        where = [w for w in range(self.n) if self.at(row, w)[0]]
        if wire not in where:
            self.apply("cx", where[0], wire)
        for w in where:
            if w != wire:
                self.apply("cx", wire, w)


def encoder(code: Code) -> Circuit:
    """The encoding circuit: wires 0..k-1 hold the logical qubits, the others |0>; afterwards all hold the code word.

    It is a Clifford circuit U with U X_j U^+ = logical X_j and U Z_j U^+ = logical Z_j for j < k, and U Z_(k+i) U^+ =
    stabilizer i, signs included. So on |0...0> it prepares the logical |0...0>, and its inverse turns the syndrome
    into the bits of wires k..n-1.

    Example:
        >>> circuit = kg.Circuit(5)
        >>> circuit.ry(0.3, 0).extend(encoder(five_qubit()))  # the encoded RY(0.3)|0>
    """
    check_code(code)
    pairs = [*zip(code.logical_x, code.logical_z, strict=True), *zip(code.destabilizers, code.stabilizers, strict=True)]
    tableau = _Tableau([w for pair in pairs for w in pair])
    for wire in range(code.n):
        x, z = 2 * wire, 2 * wire + 1
        tableau.to_x(x, wire)
        if (tableau.x[z], tableau.z[z]) != (0, 1 << code.n - 1 - wire):
            tableau.apply("h", wire)  # X has become Z, which the gates that make Z an X leave alone
            tableau.to_x(z, wire)
            tableau.apply("h", wire)
    circuit = Circuit(code.n)
    for wire in range(code.n):  # reduced to the Xs and Zs of the wires, with signs: a Pauli before everything
        if tableau.sign[2 * wire]:
            circuit.z(wire)
        if tableau.sign[2 * wire + 1]:
            circuit.x(wire)
    for name, wires in reversed(tableau.gates):
        circuit.append("sdg" if name == "s" else name, (), wires)
    return circuit


def decoder_circuit(code: Code) -> Circuit:
    """The inverse of `encoder`: wires k..n-1 hold the syndrome, bit 1 where a stabilizer is -1."""
    forward, circuit = encoder(code), Circuit(code.n)
    for gate in reversed(forward.gates):
        circuit.append(gate.spec, (), gate.wires, inverse=True)
    return circuit
