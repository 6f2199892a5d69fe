"""Bundled molecules, FCIDUMP files, and unitary coupled cluster, against dense matrices of creation operators."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

import ketgrad as kg
from ketgrad import errors, molecules

EQUILIBRIUM = {"H2": 0.735, "H4": 1.0, "LiH": 1.45, "BeH2": 1.3264, "H2O": 0.9584}
TERMS = {"H2": 15, "H4": 185, "LiH": 631, "BeH2": 666, "H2O": 1086}  # as OpenFermion 1.8.1 counts them


@functools.cache
def load(name: str) -> molecules.Molecule:
    return molecules.load(name, EQUILIBRIUM[name])


def annihilators(n: int) -> list[np.ndarray]:
    """a_k = Z ... Z (X + iY)/2, which empties wire k, as dense matrices."""
    z, lower, one = np.diag([1.0, -1.0]), np.array([[0.0, 1.0], [0.0, 0.0]]), np.eye(2)
    return [functools.reduce(np.kron, [z] * k + [lower] + [one] * (n - k - 1)) for k in range(n)]


def sector(molecule: molecules.Molecule) -> np.ndarray:
    """The Hamiltonian on the states with as many electrons of each spin as the Hartree-Fock state."""
    n, half = molecule.n_wires, molecule.n_electrons // 2
    basis = np.arange(2**n)
    up, down = (sum(basis >> (n - 1 - w) & 1 for w in range(s, n, 2)) for s in (0, 1))
    kept = basis[(up == half) & (down == half)]
    place = {int(b): k for k, b in enumerate(kept)}
    out = np.zeros((len(kept), len(kept)), dtype=complex)
    for c, word, _ in molecule.hamiltonian.terms:
        flips = sum(1 << (n - 1 - w) for w, letter in word if letter in "XY")
        for k, b in enumerate(kept):
            to = place.get(int(b) ^ flips)
            if to is not None:
                bits = {w: int(b) >> (n - 1 - w) & 1 for w, _ in word}
                factors = {"X": (1, 1), "Y": (1j, -1j), "Z": (1, -1)}
                out[to, k] += c * np.prod([factors[letter][bits[w]] for w, letter in word])
    return out


@pytest.mark.parametrize("name", EQUILIBRIUM)
def test_hartree_fock_state_has_its_energy(name: str) -> None:
    molecule = load(name)
    assert len(molecule.hamiltonian) == TERMS[name]
    circuit = molecules.uccsd(kg.Circuit(molecule.n_wires), molecule.n_electrons)
    energy = kg.compile(circuit, molecule.hamiltonian)(np.zeros(circuit.n_weights))
    assert energy[0] == pytest.approx(molecule.energies["hartree_fock"], abs=1e-9)


@pytest.mark.parametrize("name", ["H2", "H4", "LiH"])
def test_lowest_eigenvalue_is_full_configuration_interaction(name: str) -> None:
    molecule = load(name)
    matrix = sector(molecule)
    np.testing.assert_allclose(matrix, matrix.conj().T, atol=1e-12)
    assert np.linalg.eigvalsh(matrix)[0] == pytest.approx(molecule.energies["fci"], abs=1e-9)


def test_reference_energies_of_the_literature() -> None:
    """Energies that qiskit-nature's tests (H2) and OpenFermion's bundled file (LiH) have."""
    assert load("H2").energies["fci"] == pytest.approx(-1.1373060356951838, abs=1e-9)
    assert load("LiH").energies["fci"] == pytest.approx(-7.8809823148, abs=1e-9)
    assert molecules.load("H2", 0.7414).energies["fci"] == pytest.approx(-1.137270175, abs=1e-9)


def test_every_geometry_is_sound() -> None:
    for name in molecules.names():
        lengths = molecules.lengths(name)
        assert list(lengths) == sorted(set(lengths)) and EQUILIBRIUM[name] in lengths
        for length in lengths:
            molecule = molecules.load(name, length)
            n, e = molecule.n_wires // 2, molecule.energies
            assert molecule.one_body.shape == (n, n) and molecule.two_body.shape == (n,) * 4
            np.testing.assert_array_equal(molecule.two_body, molecule.two_body.transpose(2, 3, 1, 0))
            assert e["fci"] < e["hartree_fock"]
            occupied = range(molecule.n_electrons // 2)
            field = sum(2 * molecule.one_body[i, i] for i in occupied) + sum(
                2 * molecule.two_body[i, i, j, j] - molecule.two_body[i, j, j, i] for i in occupied for j in occupied
            )
            assert molecule.nuclear + field == pytest.approx(e["hartree_fock"], abs=1e-9)


def test_hamiltonian_is_that_of_creation_operators() -> None:
    rng = np.random.default_rng(3)
    one = rng.normal(size=(3, 3))
    two = rng.normal(size=(3, 3, 3, 3))
    one = one + one.T
    for swap in ((1, 0, 2, 3), (0, 1, 3, 2), (2, 3, 0, 1)):
        two = two + two.transpose(swap)
    a = annihilators(6)
    hops = {
        (p, q): sum(a[2 * p + s].T @ a[2 * q + s] for s in (0, 1)) for p in range(3) for q in range(3)
    }  # E_pq, chemists' notation
    dense = 0.7 * np.eye(64) + sum(one[p, q] * hop for (p, q), hop in hops.items())
    for (p, q), left in hops.items():
        for (r, s), right in hops.items():
            dense = dense + 0.5 * two[p, q, r, s] * (left @ right - (q == r) * hops[p, s])
    molecule = molecules.Molecule("random", None, 2, 0.7, one, two)
    np.testing.assert_allclose(molecule.hamiltonian.matrix(6), dense, atol=1e-10)


@pytest.mark.parametrize("electrons", [2, 4])
def test_coupled_cluster_is_a_product_of_exponentials_of_fermions(electrons: int) -> None:
    n = 6
    circuit = molecules.uccsd(kg.Circuit(n), electrons)
    moves = molecules.excitations(electrons, n)
    weights = np.random.default_rng(electrons).normal(size=len(moves))
    a = annihilators(n)
    state = np.zeros(2**n)
    state[sum(1 << (n - 1 - w) for w in range(electrons))] = 1
    for wires, t in zip(moves, weights, strict=True):
        half = len(wires) // 2
        hop = functools.reduce(np.matmul, [a[w].T for w in wires[half:]] + [a[w] for w in reversed(wires[:half])])
        values, vectors = np.linalg.eigh(1j * (hop - hop.T))
        state = (vectors * np.exp(0.5j * t * values)) @ vectors.conj().T @ state  # exp(-t/2 (hop - hop^T))
    np.testing.assert_allclose(kg.compile(circuit).state(weights), state, atol=1e-12)


@pytest.mark.parametrize(("electrons", "n", "count"), [(2, 4, 3), (4, 8, 26), (4, 12, 92), (6, 14, 204), (10, 14, 140)])
def test_excitations_are_all_that_keep_the_spin(electrons: int, n: int, count: int) -> None:
    """As many as PennyLane's qchem.excitations finds."""
    moves = molecules.excitations(electrons, n)
    assert len(set(moves)) == len(moves) == count
    for wires in moves:
        half = len(wires) // 2
        occupied, empty = wires[:half], wires[half:]
        assert max(occupied) < electrons <= min(empty) and max(empty) < n
        assert sum(w % 2 for w in occupied) == sum(w % 2 for w in empty)


def fcidump(molecule: molecules.Molecule, end: str = "&END") -> str:
    """The molecule in the format of Knowles and Handy, as PySCF writes it."""
    n = len(molecule.one_body)
    lines = [
        f" &FCI NORB= {n:3d},NELEC={molecule.n_electrons:2d},MS2=0,",
        f"  ORBSYM={'1,' * n}",
        "  ISYM=1,",
        f" {end}",
    ]
    pairs = [(p, q) for p in range(n) for q in range(p + 1)]
    for k, (p, q) in enumerate(pairs):
        for r, s in pairs[: k + 1]:
            lines.append(f" {molecule.two_body[p, q, r, s]: .16g} {p + 1} {q + 1} {r + 1} {s + 1}")
    lines += [f" {molecule.one_body[p, q]: .16g} {p + 1} {q + 1} 0 0" for p, q in pairs]
    return "\n".join([*lines, " -0.5D+00 1 0 0 0", f" {molecule.nuclear: .16g} 0 0 0 0", ""])


@pytest.mark.parametrize("end", ["&END", "/"])
def test_fcidump_gives_the_same_molecule(tmp_path: Path, end: str) -> None:
    molecule = load("H4")
    path = tmp_path / "h4.fcidump"
    path.write_text(fcidump(molecule, end))
    found = molecules.read_fcidump(path)
    assert (found.n_electrons, found.nuclear, found.length) == (4, molecule.nuclear, None)
    np.testing.assert_array_equal(found.one_body, molecule.one_body)
    np.testing.assert_array_equal(found.two_body, molecule.two_body)
    assert found.hamiltonian == molecule.hamiltonian


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with NORB"),
        ("&FCI NORB=two,NELEC=2,\n&END\n", "begins with NORB"),
        ("&FCI NORB=2,NELEC=3,MS2=1,\n&END\n", "paired electrons"),
        ("&FCI NORB=2,NELEC=6,MS2=0,\n&END\n", "paired electrons"),
        ("&FCI NORB=2,NELEC=2,MS2=0,\n&END\n 0.5 1 1 3 1\n", "indices up to 2"),
        ("&FCI NORB=2,NELEC=2,MS2=0,\n&END\n nan 1 1 1 1\n", "a number"),
        ("&FCI NORB=2,NELEC=2,MS2=0,\n&END\n 0.5 1 1\n", "4 indices"),
    ],
)
def test_fcidump_errors(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.fcidump"
    path.write_text(text)
    with pytest.raises(errors.DataError, match=says) as caught:
        molecules.read_fcidump(path)
    assert str(path) in str(caught.value)


def test_errors() -> None:
    with pytest.raises(errors.ArgumentError, match="did you mean 'LiH'|LiH"):
        molecules.load("Lih", 1.45)
    with pytest.raises(errors.ArgumentError, match="0.735.*got 0.8123.*read_fcidump"):
        molecules.load("H2", 0.8123)
    with pytest.raises(errors.DataError, match="cannot read"):
        molecules.read_fcidump("/nowhere/at.all")
    for wires, electrons in ((4, 4), (4, 3), (3, 2), (4, 0)):
        with pytest.raises(errors.CircuitError, match="even number"):
            molecules.uccsd(kg.Circuit(wires), electrons)


def test_looks() -> None:
    assert repr(load("LiH")) == "Molecule(LiH at 1.45 angstrom, 4 electrons, 12 wires)"
    assert kg.molecules is molecules
