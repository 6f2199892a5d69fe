"""Barren plateaus: how gradients vanish with the number of qubits, for a global cost and not so fast for a local one.

The circuit is one RY on every wire, the target |0...0> (Cerezo et al., Nature Communications 12, 1791). The global cost
is 1 - prod cos^2(theta/2), the local one 1 - mean cos^2(theta/2). Over random angles a slope of the first has the
variance (1/8) (3/8)^(n-1), of the second 1/(8 n^2). Squares of slopes are trigonometric polynomials of degree 2 in each
angle, so their mean over a grid of three values for each angle, 3^n samples, is exact. Beside it: random angles in a
circuit of n layers.

    python examples/barren_plateau.py [--quick] [--out FOLDER] [--seed N]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from shared import Figure, Picture, finish, options, progress

import ketgrad as kg

SOURCE = "Cerezo et al., Nat. Commun. 12, 1791"
THEORY = {"global": lambda n: (1 / 8) * (3 / 8) ** (n - 1), "local": lambda n: 1 / (8 * n**2)}
ROWS = 4096  # of a batch


def costs(n: int) -> dict[str, kg.PauliSum]:
    """One minus the probability of |0...0>, and one minus the mean probability of |0>."""
    return {
        "global": kg.I() - kg.Projector("0" * n),
        "local": kg.I() - sum((kg.Projector("0", wires=[q]) for q in range(n)), kg.PauliSum()) / n,
    }


def rotations(n: int) -> kg.Circuit:
    """RY on every wire, the angles are inputs: each sample has its own."""
    circuit = kg.Circuit(n)
    for q, angle in enumerate(circuit.inputs(n)):
        circuit.ry(angle, q)
    return circuit


def layered(n: int) -> kg.Circuit:
    """n layers of RX and RZ on every wire and CZ between neighbours."""
    circuit = kg.Circuit(n)
    for layer in circuit.inputs((n, n, 2)):
        for q in range(n):
            circuit.rx(layer[q, 0], q).rz(layer[q, 1], q)
        for q in range(n - 1):
            circuit.cz(q, q + 1)
    return circuit


def mean_square_slope(circuit: kg.Circuit, cost: kg.PauliSum, angles: np.ndarray, which: int = 0) -> float:
    """The mean over samples (B, inputs) of the squared derivative by one input; its mean is 0 by symmetry."""
    model, total = kg.compile(circuit, cost), 0.0
    for start in range(0, len(angles), ROWS):
        rows = angles[start : start + ROWS]
        _, pullback = model.forward(inputs=rows)
        total += np.sum(pullback(np.ones((len(rows), 1))).inputs[:, which] ** 2)
    return total / len(angles)


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Variances for growing numbers of qubits, a picture, and the figures."""
    chosen = options(__doc__, argv, seed=0)
    rng = np.random.default_rng(chosen.seed)
    sizes, samples = (range(1, 9), 100) if chosen.quick else (range(1, 11), 1000)
    exact: dict[str, list[float]] = {"global": [], "local": []}
    random: dict[str, list[float]] = {"global": [], "local": []}
    for n in progress(sizes, "qubits"):
        grid = 2 * np.pi / 3 * np.indices((3,) * n).reshape(n, -1).T
        circuit = layered(n)
        angles = rng.uniform(0, 2 * np.pi, size=(samples, circuit.n_inputs))
        middle = 2 * (n * (n // 2) + n // 2)  # an angle in the middle of the circuit
        for name, cost in costs(n).items():
            exact[name].append(mean_square_slope(rotations(n), cost, grid))
            random[name].append(mean_square_slope(circuit, cost, angles, middle))

    picture = Picture(figsize=(5.5, 3.5), layout="constrained")
    axes = picture.subplots()
    for color, (name, theory) in zip(("C0", "C1"), THEORY.items(), strict=True):
        axes.semilogy(sizes, [theory(n) for n in sizes], c=color, lw=1, label=f"{name} cost, theory")
        axes.semilogy(sizes, exact[name], "o", c=color, label=f"{name} cost, RY on each wire")
        axes.semilogy(sizes, random[name], "x--", c=color, lw=0.6, label=f"{name} cost, n layers")
    axes.set(xlabel="qubits", ylabel="variance of a slope")
    axes.legend(fontsize=7)
    figures = []
    for name, theory in THEORY.items():
        for n in (4, sizes[-1]):
            figures.append(
                Figure(f"{name} cost, {n} qubits", exact[name][n - 1], theory(n), SOURCE, 1e-9 * theory(n), ".9e")
            )
    return finish(figures, picture, chosen.out / "barren_plateau.png")


if __name__ == "__main__":
    main()
