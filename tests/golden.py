"""One matrix literal per gate, typed from textbooks: the redundancy the gate table is held against.

Owns: `GOLDEN` (name -> function of the angles) and `GOLDEN_ANY` (name -> function of the number of wires, the extra
argument and the angles). Never imports ketgrad. Rows and columns count with the first wire most significant.
Sources: Nielsen and Chuang chapter 4; OpenQASM 3 stdgates.inc; the documentation of PennyLane's operations.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

Matrix = np.ndarray

PAULI = {
    "I": np.array([[1, 0], [0, 1]], dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=complex),
    "Z": np.array([[1, 0], [0, -1]], dtype=complex),
}
R2 = 1 / np.sqrt(2)


def e(angle: float) -> complex:
    return complex(np.cos(angle), np.sin(angle))


def cs(theta: float) -> tuple[float, float]:
    return float(np.cos(theta / 2)), float(np.sin(theta / 2))


def lit(rows: list[list[complex]]) -> Matrix:
    return np.array(rows, dtype=complex)


def under_control(body: Matrix) -> Matrix:
    """|0><0| (x) 1 + |1><1| (x) body."""
    return np.kron(np.diag([1, 0]), np.eye(len(body))) + np.kron(np.diag([0, 1]), body)


def rx(t: float) -> Matrix:
    c, s = cs(t)
    return lit([[c, -1j * s], [-1j * s, c]])


def ry(t: float) -> Matrix:
    c, s = cs(t)
    return lit([[c, -s], [s, c]])


def rz(t: float) -> Matrix:
    return lit([[e(-t / 2), 0], [0, e(t / 2)]])


def rot(phi: float, theta: float, omega: float) -> Matrix:
    c, s = cs(theta)
    return lit(
        [
            [e(-(phi + omega) / 2) * c, -e((phi - omega) / 2) * s],
            [e(-(phi - omega) / 2) * s, e((phi + omega) / 2) * c],
        ]
    )


def u3(theta: float, phi: float, lam: float) -> Matrix:
    c, s = cs(theta)
    return lit([[c, -e(lam) * s], [e(phi) * s, e(phi + lam) * c]])


H = lit([[R2, R2], [R2, -R2]])
SX = lit([[0.5 + 0.5j, 0.5 - 0.5j], [0.5 - 0.5j, 0.5 + 0.5j]])


def rxx(t: float) -> Matrix:
    c, s = cs(t)
    return lit([[c, 0, 0, -1j * s], [0, c, -1j * s, 0], [0, -1j * s, c, 0], [-1j * s, 0, 0, c]])


def ryy(t: float) -> Matrix:
    c, s = cs(t)
    return lit([[c, 0, 0, 1j * s], [0, c, -1j * s, 0], [0, -1j * s, c, 0], [1j * s, 0, 0, c]])


def rzx(t: float) -> Matrix:
    c, s = cs(t)
    return lit([[c, -1j * s, 0, 0], [-1j * s, c, 0, 0], [0, 0, c, 1j * s], [0, 0, 1j * s, c]])


def rxy(t: float) -> Matrix:
    c, s = cs(t)
    return lit([[1, 0, 0, 0], [0, c, 1j * s, 0], [0, 1j * s, c, 0], [0, 0, 0, 1]])


def single_excitation(t: float, corner: complex = 1.0) -> Matrix:
    c, s = cs(t)
    return lit([[corner, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, corner]])


def double_excitation(t: float, others: complex = 1.0) -> Matrix:
    c, s = cs(t)
    out = others * np.eye(16, dtype=complex)
    out[0b0011, 0b0011], out[0b0011, 0b1100] = c, -s
    out[0b1100, 0b0011], out[0b1100, 0b1100] = s, c
    return out


def orbital_rotation(t: float) -> Matrix:
    """Jordan-Wigner modes 0 alpha, 0 beta, 1 alpha, 1 beta: an electron that hops over one picks up a sign."""
    c, s = cs(t)
    out = np.eye(16, dtype=complex)
    # one electron, or three: (lower index, upper index, sign of the hop)
    for low, high, sign in ((0b0001, 0b0100, 1), (0b0010, 0b1000, 1), (0b0111, 0b1101, -1), (0b1011, 0b1110, -1)):
        out[low, low] = out[high, high] = c
        out[high, low], out[low, high] = sign * s, -sign * s
    # one electron of each spin
    pairs = [0b0011, 0b0110, 0b1001, 0b1100]
    out[np.ix_(pairs, pairs)] = lit(
        [
            [c * c, c * s, -c * s, s * s],
            [-c * s, c * c, s * s, c * s],
            [c * s, s * s, c * c, -c * s],
            [s * s, -c * s, c * s, c * c],
        ]
    )
    return out


def _bit_map(k: int, rule: Callable[..., tuple[int, ...]]) -> Matrix:
    """The permutation matrix of a rule on bits, one column at a time."""
    out = np.zeros((2**k, 2**k), dtype=complex)
    for column, bits in enumerate(itertools.product((0, 1), repeat=k)):
        row = int("".join(map(str, rule(*bits))), 2)
        out[row, column] = 1
    return out


def pauli_word(word: str) -> Matrix:
    out = np.ones((1, 1), dtype=complex)
    for letter in word:
        out = np.kron(out, PAULI[letter])
    return out


def pauli_rot(word: str, t: float) -> Matrix:
    c, s = cs(t)
    return c * np.eye(2 ** len(word)) - 1j * s * pauli_word(word)


GOLDEN: dict[str, Callable[..., Matrix]] = {
    "i": lambda: lit([[1, 0], [0, 1]]),
    "x": lambda: lit([[0, 1], [1, 0]]),
    "y": lambda: lit([[0, -1j], [1j, 0]]),
    "z": lambda: lit([[1, 0], [0, -1]]),
    "h": lambda: H,
    "s": lambda: lit([[1, 0], [0, 1j]]),
    "sdg": lambda: lit([[1, 0], [0, -1j]]),
    "t": lambda: lit([[1, 0], [0, R2 + 1j * R2]]),
    "tdg": lambda: lit([[1, 0], [0, R2 - 1j * R2]]),
    "sx": lambda: SX,
    "sxdg": lambda: lit([[0.5 - 0.5j, 0.5 + 0.5j], [0.5 + 0.5j, 0.5 - 0.5j]]),
    "rx": rx,
    "ry": ry,
    "rz": rz,
    "p": lambda t: lit([[1, 0], [0, e(t)]]),
    "rot": rot,
    "u2": lambda phi, lam: R2 * lit([[1, -e(lam)], [e(phi), e(phi + lam)]]),
    "u3": u3,
    "gphase": lambda t: lit([[e(t)]]),
    "cx": lambda: lit([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]),
    "cy": lambda: lit([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, -1j], [0, 0, 1j, 0]]),
    "cz": lambda: lit([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, -1]]),
    "ch": lambda: lit([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, R2, R2], [0, 0, R2, -R2]]),
    "cs": lambda: lit([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1j]]),
    "csx": lambda: under_control(SX),
    "cp": lambda t: lit([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, e(t)]]),
    "crx": lambda t: under_control(rx(t)),
    "cry": lambda t: under_control(ry(t)),
    "crz": lambda t: under_control(rz(t)),
    "crot": lambda phi, theta, omega: under_control(rot(phi, theta, omega)),
    "cu3": lambda theta, phi, lam: under_control(u3(theta, phi, lam)),
    "cu": lambda theta, phi, lam, gamma: under_control(e(gamma) * u3(theta, phi, lam)),
    "swap": lambda: lit([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
    "iswap": lambda: lit([[1, 0, 0, 0], [0, 0, 1j, 0], [0, 1j, 0, 0], [0, 0, 0, 1]]),
    "siswap": lambda: lit([[1, 0, 0, 0], [0, R2, 1j * R2, 0], [0, 1j * R2, R2, 0], [0, 0, 0, 1]]),
    "ecr": lambda: R2 * lit([[0, 0, 1, 1j], [0, 0, 1j, 1], [1, -1j, 0, 0], [-1j, 1, 0, 0]]),
    "rxx": rxx,
    "ryy": ryy,
    "rzz": lambda t: np.diag([e(-t / 2), e(t / 2), e(t / 2), e(-t / 2)]),
    "rzx": rzx,
    "rxy": rxy,
    "pswap": lambda t: lit([[1, 0, 0, 0], [0, 0, e(t), 0], [0, e(t), 0, 0], [0, 0, 0, 1]]),
    "single_excitation": single_excitation,
    "single_excitation_plus": lambda t: single_excitation(t, e(t / 2)),
    "single_excitation_minus": lambda t: single_excitation(t, e(-t / 2)),
    "ccx": lambda: _bit_map(3, lambda a, b, c: (a, b, c ^ (a & b))),
    "ccz": lambda: np.diag([1, 1, 1, 1, 1, 1, 1, -1]).astype(complex),
    "cswap": lambda: _bit_map(3, lambda a, b, c: (a, c, b) if a else (a, b, c)),
    "double_excitation": double_excitation,
    "double_excitation_plus": lambda t: double_excitation(t, e(t / 2)),
    "double_excitation_minus": lambda t: double_excitation(t, e(-t / 2)),
    "orbital_rotation": orbital_rotation,
    "qubit_carry": lambda: _bit_map(4, lambda a, b, c, d: (a, b, b ^ c, (b & c) ^ d ^ ((b ^ c) & a))),
    "qubit_sum": lambda: _bit_map(3, lambda a, b, c: (a, b, a ^ b ^ c)),
}

GOLDEN_ANY: dict[str, Callable[..., Matrix]] = {
    "multi_rz": lambda k, _, t: pauli_rot("Z" * k, t),
    "pauli_rot": lambda k, word, t: pauli_rot(word, t),
    "mcx": lambda k, _: _bit_map(k, lambda *b: (*b[:-1], b[-1] ^ int(all(b[:-1])))),
    "unitary": lambda k, m: np.array(m, dtype=complex),
    "diagonal": lambda k, d: np.diag(np.array(d, dtype=complex)),
    "exp_diagonal": lambda k, values, t: np.diag([e(t * v) for v in values]),
    "pcphase": lambda k, dim, t: np.diag([e(t) if i < dim else e(-t) for i in range(2**k)]),
}


def golden(name: str, params: tuple[float, ...] = (), k: int | None = None, extra: Any = None) -> Matrix:
    """The literal of a gate, controls of its own included."""
    if name in GOLDEN:
        return GOLDEN[name](*params)
    return GOLDEN_ANY[name](k, extra, *params)
