"""The transverse-field Ising ring at its critical point, by the Hamiltonian variational ansatz.

H = - sum Z_i Z_(i+1) - sum X_i. Each layer evolves by the first sum and then by the second, for times that are trained:
two weights a layer, whatever the number of spins. With n/2 layers the ansatz reaches the ground state exactly, with
fewer it cannot: correlations spread by one site a layer (Ho and Hsieh, SciPost Phys. 6, 029).

    python examples/ising.py [--quick] [--out FOLDER]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from shared import Figure, Picture, finish, options, progress

import ketgrad as kg

SOURCE = "-2 / sin(pi / 2n), Pfeuty 1970"


def ansatz(n: int, layers: int) -> kg.Model:
    """|+...+>, then the layers; measured is the energy."""
    bonds = sum((kg.Z(q) @ kg.Z((q + 1) % n) for q in range(n)), kg.PauliSum())
    field = sum((kg.X(q) for q in range(n)), kg.PauliSum())
    circuit = kg.Circuit(n)
    times = circuit.weights((layers, 2))
    for q in range(n):
        circuit.h(q)
    for bond_time, field_time in times:
        circuit.evolve(bonds, bond_time).evolve(field, field_time)
    return kg.compile(circuit, -bonds - field)


def ground_state(n: int, layers: int) -> float:
    """The energy of the best times, from a slow change of the field to the bonds (an annealing) as the start."""
    model = ansatz(n, layers)

    def energy_and_slope(times: np.ndarray) -> tuple[float, np.ndarray]:
        values, pullback = model.forward(times)
        return values[0], pullback([1.0]).weights

    s = (np.arange(layers) + 0.5) / layers
    start = -0.5 * np.stack([s, 1 - 0.5 * s], axis=1).reshape(-1)  # both sums have a minus sign in H
    return float(minimize(energy_and_slope, start, jac=True, method="BFGS", options={"gtol": 1e-9}).fun)


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Energies for every number of layers up to n/2, a picture, and the figures."""
    chosen = options(__doc__, argv)
    sizes = (4, 6, 8) if chosen.quick else (4, 6, 8, 10, 12, 14)
    exact = {n: -2 / np.sin(np.pi / (2 * n)) for n in sizes}
    energies: dict[int, list[float]] = {n: [] for n in sizes}
    cases = [(n, layers) for n in sizes for layers in range(1, n // 2 + 1)]
    for n, layers in progress(cases, "rings"):
        energies[n].append(ground_state(n, layers))

    picture = Picture(figsize=(5.5, 3.5), layout="constrained")
    axes = picture.subplots()
    for n in sizes:
        errors = np.maximum(1e-16, 1 - np.array(energies[n]) / exact[n])
        axes.semilogy(range(1, n // 2 + 1), errors, "o-", label=f"{n} spins")
    axes.set(title="critical Ising ring: exact at n/2 layers", xlabel="layers", ylabel="relative error of the energy")
    axes.legend(loc="lower left")
    figures = [Figure(f"{n} spins, {n // 2} layers", energies[n][-1], exact[n], SOURCE, 1e-9, ".10f") for n in sizes]
    return finish(figures, picture, chosen.out / "ising.png")


if __name__ == "__main__":
    main()
