"""The ground state of the hydrogen molecule by VQE: PennyLane's chemistry, a unitary coupled-cluster circuit, scipy.

Two electrons in four spin orbitals (STO-3G, Jordan-Wigner): the circuit starts from the Hartree-Fock state and mixes in
all single and double excitations. In this basis that is exact, so the energy must meet that of the diagonalised
Hamiltonian.

    python examples/vqe_h2.py                           on ketgrad
    python examples/vqe_h2.py --device default.qubit    the same numbers on PennyLane's own simulator
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import pennylane as qml
from pennylane import numpy as np
from scipy.optimize import minimize

ELECTRONS = 2


class Result(NamedTuple):
    """Energies in hartree: Hartree-Fock, VQE, exact; and the optimised angles (3,) in radians."""

    hartree_fock: float
    energy: float
    exact: float
    angles: Any


def main(argv: Sequence[str] | None = None) -> Result:
    """Optimise, report, and return the numbers."""
    parser = argparse.ArgumentParser(description="Find the ground-state energy of H2 by VQE.")
    parser.add_argument("--device", default="ketgrad.qubit", help="name of a PennyLane device (default: %(default)s)")
    parser.add_argument("--bond", type=float, default=0.735, help="length in angstrom (default: %(default)s)")
    options = parser.parse_args(argv)

    # Without `unit`, coordinates would be in bohr.
    coordinates = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, options.bond]], requires_grad=False)
    molecule = qml.qchem.Molecule(["H", "H"], coordinates, unit="angstrom", basis_name="sto-3g")
    hamiltonian, qubits = qml.qchem.molecular_hamiltonian(molecule)
    reference = qml.qchem.hf_state(ELECTRONS, qubits)
    singles, doubles = qml.qchem.excitations(ELECTRONS, qubits)

    @qml.qnode(qml.device(options.device, wires=qubits))
    def energy(angles: Any) -> Any:
        qml.BasisState(reference, wires=range(qubits))
        for k, wires in enumerate(doubles):
            qml.DoubleExcitation(angles[k], wires=wires)
        for k, wires in enumerate(singles, start=len(doubles)):
            qml.SingleExcitation(angles[k], wires=wires)
        return qml.expval(hamiltonian)

    start = time.perf_counter()
    first = np.zeros(len(doubles) + len(singles))  # all zeros: the Hartree-Fock state itself
    found = minimize(energy, first, jac=qml.grad(energy, 0), method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-8})
    elapsed = time.perf_counter() - start
    exact = np.linalg.eigvalsh(qml.matrix(hamiltonian, wire_order=range(qubits)))[0]

    result = Result(float(energy(first)), float(found.fun), float(exact), found.x)
    print(f"{options.device}: H2 at {options.bond} angstrom, {found.nfev} energies and gradients in {elapsed:.2f} s")
    print(f"  Hartree-Fock            {result.hartree_fock:.9f} Ha")
    print(f"  VQE                     {result.energy:.9f} Ha")
    print(f"  exact diagonalisation   {result.exact:.9f} Ha")
    print(f"  VQE - exact             {result.energy - result.exact:.1e} Ha")
    return result


if __name__ == "__main__":
    main()
