"""Small molecules for the variational eigensolver: Hamiltonians as Pauli sums, and the unitary coupled-cluster circuit.

Owns: the bundled integrals (`molecules.json`), FCIDUMP files, the Jordan-Wigner Hamiltonian, excitations. May not know:
how a circuit runs, optimisers. Energies are in hartree, lengths in angstrom.

Wire 2p is orbital p with spin up, wire 2p + 1 with spin down; the lowest wires are occupied in the Hartree-Fock state.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .circuit import Circuit
from .errors import ArgumentError, CircuitError, DataError, suggest
from .pauli import MAX_WIRES, I, PauliSum, X, Y, Z

Array = npt.NDArray[np.float64]
_FILE = Path(__file__).with_name("molecules.json")
_CUTOFF = 1e-10  # hartree; smaller coefficients are rounding errors


@dataclass(frozen=True, eq=False)
class Molecule:
    """Electrons in n orthonormal orbitals, 2 n wires.

    Attributes:
        name: as in `names()`, or the path of a file.
        length: of the bonds, angstrom; None where a file does not say.
        n_electrons: half of them with spin up.
        nuclear: repulsion of the nuclei (and of frozen electrons), hartree.
        one_body: (n, n) real and symmetric, hartree.
        two_body: (n, n, n, n), (pq|rs) in chemists' notation, with the eightfold symmetry of real orbitals.
        energies: what is known in this basis: "hartree_fock", "ccsd", "fci".
    """

    name: str
    length: float | None
    n_electrons: int
    nuclear: float
    one_body: Array
    two_body: Array
    energies: dict[str, float] = field(default_factory=dict)

    @property
    def n_wires(self) -> int:
        """Spin orbitals."""
        return 2 * len(self.one_body)

    @cached_property
    def hamiltonian(self) -> PauliSum:
        """The electronic Hamiltonian with the repulsion of the nuclei, by the Jordan-Wigner transformation.

        sum_pq h_pq E_pq + 1/2 sum_pqrs (pq|rs) (E_pq E_rs - delta_qr E_ps), E_pq = sum over spins of a_p^+ a_q
        (Helgaker, Jorgensen and Olsen 2000, eq. 2.2.18). With real orbitals only E_pq + E_qp occur, a handful of words.
        """
        n = len(self.one_body)
        hops = {(p, q): _hop(p, q) for p in range(n) for q in range(p + 1)}
        single = self.one_body - 0.5 * np.einsum("prrq->pq", self.two_body)
        total = self.nuclear * I()
        for (p, q), hop in hops.items():
            others = sum((float(self.two_body[p, q, r, s]) * other for (r, s), other in hops.items()), PauliSum())
            total = total + float(single[p, q]) * hop + 0.5 * (hop @ others)
        # hop @ others is not Hermitian, the sum is: its imaginary coefficients cancel
        return PauliSum({(w, b): c for c, w, b in total.terms if abs(c) > _CUTOFF})

    def __repr__(self) -> str:
        at = "" if self.length is None else f" at {self.length:g} angstrom"
        return f"Molecule({self.name}{at}, {self.n_electrons} electrons, {self.n_wires} wires)"


def _hop(p: int, q: int) -> PauliSum:
    """E_pq + E_qp, or E_pp, as Pauli words."""
    if p == q:
        return I() - 0.5 * Z(2 * p) - 0.5 * Z(2 * p + 1)
    total = PauliSum()
    for spin in (0, 1):
        low, high = sorted((2 * p + spin, 2 * q + spin))
        string = I()
        for wire in range(low + 1, high):
            string = string @ Z(wire)
        total = total + 0.5 * (X(low) @ string @ X(high)) + 0.5 * (Y(low) @ string @ Y(high))
    return total


# where molecules come from


@cache
def _bundled() -> dict[str, Any]:
    out: dict[str, Any] = json.loads(_FILE.read_text())["molecules"]
    return out


def names() -> tuple[str, ...]:
    """The bundled molecules: "H2", "H4" (a chain), "LiH", "BeH2" (linear) and "H2O" (104.45 degrees)."""
    return tuple(_bundled())


def lengths(name: str) -> tuple[float, ...]:
    """The bond lengths that a molecule is bundled at, angstrom, ascending.

    Raises:
        ArgumentError: no such molecule.
    """
    if name not in names():
        raise ArgumentError(f"the bundled molecules are {', '.join(names())}, got {name!r}.{suggest(name, names())}")
    return tuple(g["length"] for g in _bundled()[name]["geometries"])


def load(name: str, length: float) -> Molecule:
    """A bundled molecule in the basis STO-3G: integrals of its Hartree-Fock orbitals, and energies, by PySCF 2.14.

    Args:
        name: one of `names()`.
        length: of each of its bonds, one of `lengths(name)`, angstrom.

    Raises:
        ArgumentError: no such molecule or length; `read_fcidump` takes any molecule.
    """
    known = lengths(name)
    if length not in known:
        raise ArgumentError(
            f"{name} is bundled at the lengths {', '.join(map(str, known))} angstrom, got {length!r}; for others write "
            "an FCIDUMP file with PySCF and use read_fcidump"
        )
    geometry = _bundled()[name]["geometries"][known.index(length)]
    one = _symmetric(geometry["one"])
    pairs = _symmetric(geometry["two"])  # (pq), (rs)
    index = np.zeros(one.shape, dtype=int)
    index[np.tril_indices(len(one))] = range(len(pairs))
    index = np.maximum(index, index.T)
    energies = {k: geometry[k] for k in ("hartree_fock", "ccsd", "fci") if geometry[k] is not None}
    two = pairs[index[:, :, None, None], index]
    return Molecule(name, length, _bundled()[name]["electrons"], geometry["nuclear"], one, two, energies)


def _symmetric(lower: list[float]) -> Array:
    """The symmetric matrix with this lower triangle."""
    n = math.isqrt(2 * len(lower))
    out = np.zeros((n, n))
    out[np.tril_indices(n)] = lower
    return out + np.tril(out, -1).T


def read_fcidump(path: str | os.PathLike[str]) -> Molecule:
    """A molecule from an FCIDUMP file (Knowles and Handy 1989), as PySCF, Psi4 or Molpro write it: real, restricted.

    Raises:
        DataError: it cannot be read, is no FCIDUMP file, or has unpaired electrons.
    """
    source = Path(path)
    try:
        head, _, body = source.read_text().replace("/\n", "&END\n", 1).partition("&END")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {source}: {error}") from error
    keys = {}
    for part in head.upper().replace("&FCI", "").replace("\n", " ").split(","):
        key, equals, value = part.partition("=")
        if equals:
            keys[key.strip()] = value.strip()
    try:
        n, electrons, spin = int(keys["NORB"]), int(keys["NELEC"]), int(keys.get("MS2", 0))
    except (KeyError, ValueError):
        raise DataError(f"{source}: an FCIDUMP file begins with NORB and NELEC, as in &FCI NORB=2,NELEC=2") from None
    if spin or electrons % 2 or not 0 < electrons <= 2 * n <= MAX_WIRES:
        raise DataError(
            f"{source}: an even number of paired electrons in at most {MAX_WIRES // 2} orbitals is supported, got "
            f"NELEC={electrons}, MS2={spin}, NORB={n}"
        )
    nuclear, one, two = 0.0, np.zeros((n, n)), np.zeros((n, n, n, n))
    for line in body.splitlines():
        if not line.strip():
            continue
        try:
            value, *indices = line.replace("D", "E").split()
            number, (p, q, r, s) = float(value), (int(i) - 1 for i in indices)
            if not math.isfinite(number) or max(p, q, r, s) >= n or min(p, q, r, s) < -1:
                raise ValueError
        except ValueError:
            raise DataError(
                f"{source}: a line is a number and 4 indices up to {n}, got {line.strip()[:60]!r}"
            ) from None
        if r >= 0:
            for a, b, c, d in ((p, q, r, s), (r, s, p, q)):
                two[a, b, c, d] = two[b, a, c, d] = two[a, b, d, c] = two[b, a, d, c] = number
        elif q >= 0:
            one[p, q] = one[q, p] = number
        elif p < 0:
            nuclear = number  # (p alone is the energy of an orbital)
    return Molecule(os.fspath(path), None, electrons, nuclear, one, two)


# unitary coupled cluster


def excitations(n_electrons: int, n_wires: int) -> list[tuple[int, ...]]:
    """All doubles (i, j, a, b), then all singles (i, a): from occupied to empty wires, spin is kept."""
    occupied, empty = range(n_electrons), range(n_electrons, n_wires)
    doubles = [
        (i, j, a, b)
        for i in occupied
        for j in range(i + 1, n_electrons)
        for a in empty
        for b in range(a + 1, n_wires)
        if i % 2 + j % 2 == a % 2 + b % 2
    ]
    return [*doubles, *((i, a) for i in occupied for a in empty if i % 2 == a % 2)]


def uccsd(circuit: Circuit, n_electrons: int) -> Circuit:
    """Append the Hartree-Fock state and all single and double excitations, one new weight "uccsd" for each.

    A factor exp(-t/2 (T - T^+)) for each T = a_a^+ a_i or a_a^+ a_b^+ a_j a_i, in the order of `excitations`: one
    Trotter step of the unitary (Peruzzo et al. 2014). Weights of 0 are the Hartree-Fock state. Circuits after Yordanov,
    Arvidsson-Shukur and Barnes (2020): the sign that electrons on the wires between give a hop is a CZ from each.

    Raises:
        CircuitError: not an even number of electrons that leaves wires empty, or an odd number of wires.
    """
    n = circuit.n_wires
    if n % 2 or n_electrons % 2 or not 0 < n_electrons < n:
        raise CircuitError(
            f"uccsd: an even number of wires takes an even number of electrons below it, got {n} and {n_electrons}"
        )
    for wire in range(n_electrons):
        circuit.append("x", (), (wire,))
    moves = excitations(n_electrons, n)
    for weight, wires in zip(circuit.weights(len(moves), name="uccsd"), moves, strict=True):
        for wire in _between(wires):
            circuit.append("cz", (), (wire, wires[0]))
        circuit.append("double_excitation" if len(wires) == 4 else "single_excitation", (weight,), wires)
        for wire in _between(wires):
            circuit.append("cz", (), (wire, wires[0]))
    return circuit


def _between(wires: tuple[int, ...]) -> Iterator[int]:
    """The wires whose electrons a hop passes by."""
    for low, high in zip(wires[::2], wires[1::2], strict=True):
        yield from range(low + 1, high)
