"""VQE: ground states of H2, LiH and others by unitary coupled cluster, beside full configuration interaction (FCI).

The circuit starts from the Hartree-Fock state and mixes in all single and double excitations. With two electrons that
reaches every state, so H2 must be exact; four electrons and more leave an error, small near equilibrium and beyond
chemical accuracy where several bonds are stretched. A curve takes its angles from length to length.

    python examples/vqe.py [--quick] [--out FOLDER]
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from shared import Figure, Picture, finish, options, progress

import ketgrad as kg

SOURCE = "FCI, STO-3G, PySCF 2.14"
CHEMICAL_ACCURACY = 1.6e-3  # hartree: 1 kcal/mol


def ground_state(molecule: kg.molecules.Molecule, start: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """The energy of the best angles, and these."""
    circuit = kg.molecules.uccsd(kg.Circuit(molecule.n_wires), molecule.n_electrons)
    model = kg.compile(circuit, molecule.hamiltonian)

    def energy_and_slope(angles: np.ndarray) -> tuple[float, np.ndarray]:
        values, pullback = model.forward(angles)
        return values[0], pullback([1.0]).weights

    first = np.zeros(model.n_weights) if start is None else start
    found = minimize(energy_and_slope, first, jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-7})
    return float(found.fun), found.x


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Energies of all lengths, a picture, and the figures."""
    chosen = options(__doc__, argv)
    wanted = {name: kg.molecules.lengths(name) for name in kg.molecules.names()}
    if chosen.quick:
        wanted = {"H2": (0.5, 0.735, 1.4), "LiH": (1.45,)}
    curves: dict[str, list[tuple[kg.molecules.Molecule, float]]] = {name: [] for name in wanted}
    started = time.perf_counter()
    angles: dict[str, np.ndarray] = {}
    for name, length in progress([(n, r) for n, many in wanted.items() for r in many], "bond lengths"):
        molecule = kg.molecules.load(name, length)
        energy, angles[name] = ground_state(molecule, angles.get(name))
        curves[name].append((molecule, energy))
    print(f"{sum(map(len, curves.values()))} ground states in {time.perf_counter() - started:.2f} s")

    figures = []
    exact = {("H2", 0.735): 1e-8, ("H2", 0.7414): 1e-8}
    for name, length in (*exact, ("LiH", 1.45), ("LiH", 1.6), ("H4", 1.0), ("BeH2", 1.3264), ("H2O", 0.9584)):
        for molecule, energy in curves.get(name, ()):
            if molecule.length == length:
                reference, allowed = molecule.energies["fci"], exact.get((name, length), CHEMICAL_ACCURACY)
                figures.append(Figure(f"{name} {length} A, hartree", energy, reference, SOURCE, allowed))

    picture = Picture(figsize=(10, 3.2), layout="constrained")
    *places, errors = picture.subplots(1, 3)
    for axes, name in zip(places, ("H2", "LiH"), strict=True):
        lengths = [m.length for m, _ in curves[name]]
        axes.plot(lengths, [m.energies["hartree_fock"] for m, _ in curves[name]], "--", c="gray", label="Hartree-Fock")
        axes.plot(lengths, [m.energies["fci"] for m, _ in curves[name]], c="C1", label="FCI")
        axes.plot(lengths, [e for _, e in curves[name]], "o", ms=4, label="VQE, UCCSD")
        axes.set(title=name, xlabel="bond length / angstrom", ylabel="energy / hartree")
        axes.legend()
    for name, points in curves.items():
        lengths, differences = zip(*((m.length, abs(e - m.energies["fci"])) for m, e in points), strict=True)
        errors.semilogy(lengths, differences, ".-", label=name)
    errors.axhline(CHEMICAL_ACCURACY, c="k", lw=0.8, ls=":", label="chemical accuracy")
    errors.set(title="VQE - FCI", xlabel="bond length / angstrom", ylabel="hartree")
    errors.legend(fontsize=7, loc="center right")
    return finish(figures, picture, chosen.out / "vqe.png")


if __name__ == "__main__":
    main()
