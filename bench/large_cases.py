"""Circuits on one large state, as lists of gates that every simulator can be given, and the ideal time of each.

The ideal is frozen here: passes over memory and lane operations per amplitude are written down per case, from counting,
and do not know ketgrad's planner.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

Gate = tuple[str, tuple[int, ...], tuple[float, ...]]  # ketgrad's name, wires, angles
Word = tuple[float, str, tuple[int, ...]]  # coefficient, letters, a wire for each
PARAMETRIC = ("rx", "ry", "rz", "cp", "rxx", "ryy", "rzz", "single_excitation", "double_excitation")

WHAT = ("forward", "expectation", "gradient")
TILE_BITS, ROW_BITS = 15, 3  # of the ideal: 2^15 amplitudes in a tile, 2^3 in a row


@dataclass(frozen=True)
class Task:
    """What a simulator is asked for: a state, an expectation value, or the gradient of one for all angles.

    Attributes:
        what: one of `WHAT`.
    """

    what: str
    n: int
    dtype: str
    gates: list[Gate]
    words: list[Word]

    @property
    def angles(self) -> list[float]:
        """Of the gates that have one, in order."""
        return [g[2][0] for g in self.gates if g[0] in PARAMETRIC]


def z0(n: int) -> list[Word]:
    """Z on the first wire."""
    return [(1.0, "Z", (0,))]


def z_all(n: int) -> list[Word]:
    """Sum of Z over the wires: no gate is out of its light cone."""
    return [(1.0, "Z", (q,)) for q in range(n)]


def cost(n: int) -> list[Word]:
    """Sum of ZZ over the edges of `regular_graph`."""
    return [(1.0, "ZZ", e) for e in regular_graph(n)]


@dataclass(frozen=True)
class LargeCase:
    """A circuit, and what a perfect simulator would need for it.

    Attributes:
        gates: of n qubits.
        words: of its observable.
        passes, lane_ops: of n qubits; lane operations per amplitude.
        gradient_words: of the observable that is differentiated.
        word_ops: lane operations per amplitude for the observable; nothing where it is a few Zs.
        only: the number of qubits, where there is no choice.
    """

    name: str
    gates: Callable[[int], list[Gate]]
    words: Callable[[int], list[Word]]
    passes: Callable[[int], float]
    lane_ops: Callable[[int], float]
    gradient_words: Callable[[int], list[Word]] = z_all
    word_ops: float = 0
    only: int | None = None

    def task(self, what: str, n: int, dtype: str) -> Task:
        """What is measured."""
        return Task(what, n, dtype, self.gates(n), (self.gradient_words if what == "gradient" else self.words)(n))


def _rng(n: int) -> np.random.Generator:
    return np.random.default_rng(1000 + n)


def _rotations(rng: np.random.Generator, n: int) -> list[Gate]:
    return [(name, (q,), (float(rng.uniform(-3, 3)),)) for q in range(n) for name in ("rx", "ry", "rz")]


LAYERS = 5


def ring(n: int) -> list[Gate]:
    """RX RY RZ on every wire and a ring of CNOTs, five times."""
    rng = _rng(n)
    out: list[Gate] = []
    for _ in range(LAYERS):
        out += _rotations(rng, n)
        out += [("cx", (q, (q + 1) % n), ()) for q in range(n)]
    return out


def brick(n: int) -> list[Gate]:
    """RX RY RZ on every wire and CZs between neighbours, even and odd in turn, five times."""
    rng = _rng(n)
    out: list[Gate] = []
    for layer in range(LAYERS):
        out += _rotations(rng, n)
        out += [("cz", (q, q + 1), ()) for q in range(layer % 2, n - 1, 2)]
    return out


def fourier(n: int) -> list[Gate]:
    """Rotations, then the quantum Fourier transform with its swaps."""
    out: list[Gate] = [("ry", (q,), (0.2 + 0.1 * q,)) for q in range(n)]
    for q in range(n):
        out.append(("h", (q,), ()))
        out += [("cp", (k, q), (math.pi / 2 ** (k - q),)) for k in range(q + 1, n)]
    return out + [("swap", (q, n - 1 - q), ()) for q in range(n // 2)]


def volume(n: int) -> list[Gate]:
    """Quantum volume: random two-qubit unitaries on random pairs, five layers. The angles are a row-major matrix."""
    rng = _rng(n)
    out: list[Gate] = []
    for _ in range(LAYERS):
        wires = rng.permutation(n)
        for k in range(0, n - 1, 2):
            q, _r = np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))
            matrix = tuple(q.reshape(-1).view(float).tolist())
            out.append(("unitary", (int(wires[k]), int(wires[k + 1])), matrix))
    return out


def regular_graph(n: int) -> list[tuple[int, int]]:
    """Edges of a random 3-regular graph, from the pairing model."""
    rng = _rng(n)
    while True:
        pairs = rng.permutation(np.repeat(np.arange(n), 3)).reshape(-1, 2)
        edges = {(int(min(p)), int(max(p))) for p in pairs}
        if len(edges) == len(pairs) and all(a != b for a, b in edges):
            return sorted(edges)


def qaoa(n: int, layers: int = 2) -> list[Gate]:
    """QAOA layers of a 3-regular graph's ZZ terms."""
    out: list[Gate] = [("h", (q,), ()) for q in range(n)]
    for gamma, beta in ((0.4, 0.9), (0.7, 0.3))[:layers]:
        out += [("rzz", e, (gamma,)) for e in regular_graph(n)]
        out += [("rx", (q,), (beta,)) for q in range(n)]
    return out


def heisenberg(n: int) -> list[Gate]:
    """Three Trotter steps of the Heisenberg chain, from a rotated start."""
    out: list[Gate] = [("ry", (q,), (0.3 * q,)) for q in range(n)]
    for _ in range(3):
        for first in (0, 1):
            for q in range(first, n - 1, 2):
                out += [(name, (q, q + 1), (0.2,)) for name in ("rxx", "ryy", "rzz")]
    return out


def clifford_t(n: int) -> list[Gate]:
    """20 n random gates of H, S, T and CNOT."""
    rng = _rng(n)
    out: list[Gate] = [("h", (q,), ()) for q in range(n)]
    for _ in range(20 * n):
        name = ("h", "s", "t", "cx")[rng.integers(4)]
        wires = rng.permutation(n)[: 2 if name == "cx" else 1]
        out.append((name, tuple(int(w) for w in wires), ()))
    return out


@cache
def _lih() -> tuple[list[Gate], list[Word]]:
    """LiH in a minimal basis: all singles and doubles from the Hartree-Fock state, by Givens, and the energy."""
    from ketgrad import molecules

    molecule = molecules.load("LiH", 1.6)
    moves = molecules.excitations(molecule.n_electrons, molecule.n_wires)
    rng = np.random.default_rng(0)
    gates: list[Gate] = [("x", (q,), ()) for q in range(molecule.n_electrons)]
    for wires in sorted(moves, key=len):
        name = "single_excitation" if len(wires) == 2 else "double_excitation"
        gates.append((name, wires, (float(rng.normal(scale=0.1)),)))
    words = [(c, "".join(a for _, a in word), tuple(w for w, _ in word)) for c, word, _ in molecule.hamiltonian.terms]
    return gates, words


def _windows(n: int) -> int:
    """Passes in which every high bit is resident once."""
    return max(1, math.ceil((n - ROW_BITS) / (TILE_BITS - ROW_BITS)))


def _diamond(n: int, depth: float) -> float:
    """Passes for a circuit of neighbours, by diamond tiles."""
    return max(_windows(n), math.ceil(2 * n * depth / (TILE_BITS - ROW_BITS) ** 2))


CASES = [
    LargeCase("rotations, CNOT ring", ring, z0, lambda n: LAYERS * _windows(n), lambda n: LAYERS * (2 * n + 4)),
    LargeCase("rotations, CZ brick", brick, z0, lambda n: _diamond(n, LAYERS), lambda n: LAYERS * (2 * n + 4)),
    LargeCase("QFT", fourier, z0, lambda n: 2 * _windows(n), lambda n: 2 * 2 * n + 4 * n),
    LargeCase("quantum volume", volume, z0, lambda n: LAYERS * _windows(n), lambda n: LAYERS * n / 2 * 16),
    LargeCase("QAOA, 3-regular", qaoa, cost, lambda n: 1 + 2 * (_windows(n) / 2), lambda n: 2 * (2 * n + 4) + 4, cost),
    LargeCase("QAOA layer", lambda n: qaoa(n, 1), cost, lambda n: 1 + _windows(n) / 2, lambda n: (2 * n + 4) + 4, cost),
    LargeCase("Heisenberg", heisenberg, z0, lambda n: _diamond(n, 3), lambda n: 3 * ((n - 1) * 4 + 8) + 2 * n),
    LargeCase("Clifford+T", clifford_t, z0, lambda n: 5 * _windows(n), lambda n: 5 * n * 4),
    # Two lane operations per amplitude that an excitation moves: half of them for 16 singles, an eighth for 76 doubles.
    # The energy's 631 words have 84 different masks of X: one complex amplitude times one real number for each.
    LargeCase("LiH, UCCSD", lambda n: _lih()[0], lambda n: _lih()[1], lambda n: 1, lambda n: 16 * 1 + 76 / 4,
              lambda n: _lih()[1], 84 * 2, 12),
]  # fmt: skip


def ideal_time(case: LargeCase, what: str, n: int, itemsize: int, bandwidth: float, lane_rate: float) -> float:
    """Seconds: the larger of memory traffic and arithmetic.

    A gradient makes the passes once with one state and once with two, and needs four times the arithmetic: forward,
    both inverses, inner product.

    Args:
        what: one of `WHAT`.
        itemsize: bytes of an amplitude.
        bandwidth: bytes per second of an in-place read and write, all threads.
        lane_rate: lane operations (fused multiply-adds of one real number) per second, all threads.
    """
    one_pass = 2 * itemsize * 2**n / bandwidth
    lane_ops = case.lane_ops(n) * (4 if what == "gradient" else 1) + case.word_ops * (what != "forward")
    # without a gradient the first pass only writes
    traffic = 3 * case.passes(n) * one_pass if what == "gradient" else (case.passes(n) - 0.5) * one_pass
    return max(traffic, lane_ops * 2**n / lane_rate)
