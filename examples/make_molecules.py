"""Makes python/ketgrad/molecules.json: integrals of small molecules in STO-3G, with their energies, by PySCF.

It needs `pip install pyscf` (2.14.0 made the file; OpenFermion 1.8.1 agreed with its Hamiltonians, term by term).

    python examples/make_molecules.py            writes the file anew
    python examples/make_molecules.py --check    only compares it with what PySCF gives here

The integrals are those of the restricted Hartree-Fock orbitals, nothing frozen: (p q) and (p q | r s) in chemists'
notation, each symmetric pair once, in the order of `numpy.tril_indices`, rounded to 12 digits after the point.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyscf
from pyscf import ao2mo, cc, fci, gto, scf

FILE = Path(__file__).parents[1] / "python" / "ketgrad" / "molecules.json"
ANGLE = np.radians(104.45) / 2  # of water

LENGTHS = {  # angstrom, of each bond
    "H2": [0.3, 0.4, 0.5, 0.6, 0.7, 0.735, 0.7414, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4, 2.6],
    "H4": [0.6, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8],
    "LiH": [1.0, 1.2, 1.4, 1.45, 1.5949, 1.6, 1.8, 2.0, 2.2, 2.5, 3.0],
    "BeH2": [1.0, 1.3264, 1.6, 2.0],
    "H2O": [0.8, 0.9584, 1.2, 1.5],
}


def atoms(name: str, r: float) -> list[tuple[str, tuple[float, float, float]]]:
    """The geometry: all on a line, but for water."""
    if name == "H2O":
        x, y = float(r * np.sin(ANGLE)), float(r * np.cos(ANGLE))
        return [("O", (0, 0, 0)), ("H", (x, y, 0)), ("H", (-x, y, 0))]
    line = {"H2": "H H", "H4": "H H H H", "LiH": "Li H", "BeH2": "H Be H"}[name].split()
    return [(atom, (0, 0, k * r)) for k, atom in enumerate(line)]


def solve(name: str, r: float) -> dict[str, Any]:
    """Integrals and energies (hartree) of one geometry."""
    molecule = gto.M(atom=atoms(name, r), basis="sto-3g", unit="angstrom", symmetry=True, verbose=0)
    field = scf.RHF(molecule).run(conv_tol=1e-14)
    orbitals = field.mo_coeff
    one = orbitals.T @ field.get_hcore() @ orbitals
    two = ao2mo.restore(4, ao2mo.kernel(molecule, orbitals), len(one))  # (pairs, pairs)
    clusters = cc.CCSD(field).run(conv_tol=1e-11, max_cycle=300)
    exact = fci.FCI(field)
    exact.conv_tol = 1e-13
    return {
        "length": r,
        "hartree_fock": round(float(field.e_tot), 10),
        "ccsd": round(float(clusters.e_tot), 10) if clusters.converged else None,
        "fci": round(float(exact.kernel()[0]), 10),
        "nuclear": round(float(molecule.energy_nuc()), 12),
        "one": rounded(one[np.tril_indices(len(one))]),
        "two": rounded(two[np.tril_indices(len(two))]),
    }


def rounded(values: Any) -> list[float]:
    """12 digits after the point, and plain zeros."""
    return [round(float(v), 12) if abs(v) > 1e-11 else 0 for v in values]


def main() -> None:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare energies with the file, write nothing")
    check = parser.parse_args().check
    known = json.loads(FILE.read_text()) if check else {}
    out: dict[str, Any] = {"made by": f"PySCF {pyscf.__version__}, RHF/STO-3G", "molecules": {}}
    for name, lengths in LENGTHS.items():
        electrons = gto.M(atom=atoms(name, 1.0), basis="sto-3g").nelectron
        geometries = []
        for k, r in enumerate(lengths):
            found = solve(name, r)
            geometries.append(found)
            print(f"{name:5} {r:7.4f}  HF {found['hartree_fock']:15.10f}  FCI {found['fci']:15.10f}", end="")
            if check:
                there = known["molecules"][name]["geometries"][k]
                print(f"  differs by {max(abs(found[e] - there[e]) for e in ('hartree_fock', 'fci')):.0e}", end="")
            print(flush=True)
        out["molecules"][name] = {"electrons": electrons, "geometries": geometries}
    if not check:
        text = json.dumps(out, separators=(",", ":"))
        FILE.write_text(text.replace('{"length"', '\n{"length"').replace('"molecules":', '\n"molecules":') + "\n")


if __name__ == "__main__":
    main()
