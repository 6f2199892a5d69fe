"""Classical shadows: their recipes, their bits given the recipes, and what they estimate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import reference
import strategies
from conftest import BACKENDS, Precision

import ketgrad as kg
from ketgrad import memory, shadows, simulator
from ketgrad.errors import ArgumentError, OutOfMemoryError, WireError

R = np.sqrt(0.5)
TO_Z = [np.array([[R, R], [R, -R]]), np.array([[R, -1j * R], [R, 1j * R]]), np.eye(2)]  # rows <basis, bit|


def model_of(state: np.ndarray, backend: str, dtype: str = "complex128") -> kg.Model:
    circuit = kg.Circuit(int(np.log2(len(state)))).prepare(state)
    return kg.compile(circuit, dtype=dtype, backend=backend)


def distribution(state: np.ndarray, recipe: tuple[int, ...]) -> np.ndarray:
    """Exact probabilities of all bits when wire w is measured in basis recipe[w]."""
    rotation = np.eye(1)
    for r in recipe:
        rotation = np.kron(rotation, TO_Z[r])
    return np.abs(rotation @ state) ** 2


def test_shapes_and_recipes(backend, rng):
    model = model_of(reference.random_state(4, rng), backend)
    bits, recipes = model.shadow(shots=9000, seed=3)
    assert bits.shape == recipes.shape == (9000, 4) and bits.dtype == recipes.dtype == np.uint8
    assert set(np.unique(bits)) == {0, 1}
    words = np.bincount(recipes @ 3 ** np.arange(4), minlength=81)
    assert words.sum() == 9000 and np.abs(words - 9000 / 81).max() < 5 * np.sqrt(9000 / 81)
    assert model.shadow(shots=5, seed=3, wires=(2, 0))[0].shape == (5, 2)
    for array in model.shadow(shots=5, wires=()):
        assert array.shape == (5, 0)


def test_bits_follow_the_exact_distribution_given_the_recipe(backend, precision: Precision, rng):
    n, shots = 3, 60_000
    state = reference.random_state(n, rng)
    bits, recipes = model_of(state, backend, precision.dtype).shadow(shots=shots, seed=5)
    outcomes, kinds = bits @ (1 << np.arange(n)[::-1]), recipes @ (3 ** np.arange(n)[::-1])
    statistic = freedom = 0
    for kind, recipe in enumerate(itertools.product(range(3), repeat=n)):
        got = np.bincount(outcomes[kinds == kind], minlength=2**n)
        wanted = got.sum() * distribution(state, recipe)
        statistic += ((got - wanted) ** 2 / wanted).sum()
        freedom += 2**n - 1
    assert abs(statistic - freedom) < 4.5 * np.sqrt(2 * freedom)


def one_by_one(state: np.ndarray, recipe: np.ndarray, uniforms: np.ndarray) -> list[int]:
    """Bits of one snapshot from its exact distribution, wire after wire."""
    p, bits = distribution(state, tuple(recipe)), []
    for u in uniforms:
        zero, one = np.split(p, 2)
        bits.append(int(u * p.sum() >= zero.sum()))
        p = one if bits[-1] else zero
    return bits


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_each_snapshot_is_the_one_of_its_uniforms(backend, n):
    state, shots = reference.random_state(n, np.random.default_rng(n)), 40
    bits, recipes = model_of(state, backend).shadow(shots=shots, seed=8)
    rng = np.random.default_rng(8)
    np.testing.assert_array_equal(recipes, rng.integers(0, 3, (1, shots, n), dtype=np.uint8)[0])
    for row, recipe, uniforms in zip(bits, recipes, rng.random((shots, n)), strict=True):
        assert row.tolist() == one_by_one(state, recipe, uniforms)


@pytest.mark.parametrize(
    ("word", "wires"),
    [("XYZ", (0, 1, 2)), ("ZZ", (0, 3)), ("Y", (2,)), ("XX", (1, 3)), ("Y", (4,)), ("ZYX", (4, 2, 0))],
)
def test_pauli_words_are_estimated(backend, word, wires, rng):
    n, shots = 5, 20_000
    state = reference.random_state(n, rng)
    bits, recipes = model_of(state, backend).shadow(shots=shots, seed=2)
    matches = np.all(recipes[:, wires] == ["XYZ".index(c) for c in word], axis=1)
    estimates = 3 ** len(word) * matches * (1 - 2.0 * (bits[:, wires].sum(axis=1) % 2))
    exact = kg.compile(kg.Circuit(n).prepare(state), kg.PauliSum.from_words({word: 1.0}, wires))()[0]
    assert abs(estimates.mean() - exact) < 4.5 * estimates.std() / np.sqrt(shots)


def test_certain_outcomes_are_certain(backend, precision: Precision):
    """A product state of the eigenstates of X, Y and Z, and a GHZ state's parities."""
    circuit = kg.Circuit(4).h(0).h(1).s(1).x(2).x(3).h(3)  # |+>, |+i>, |1>, |->
    bits, recipes = kg.compile(circuit, dtype=precision.dtype, backend=backend).shadow(shots=3000, seed=1)
    for wire, basis, bit in ((0, 0, 0), (1, 1, 0), (2, 2, 1), (3, 0, 1)):
        assert np.all(bits[recipes[:, wire] == basis, wire] == bit)
    ghz = kg.compile(kg.Circuit(3).h(0).cx(0, 1).cx(1, 2), dtype=precision.dtype, backend=backend)
    bits, recipes = ghz.shadow(shots=3000, seed=1)
    for recipe, parity in (((0, 0, 0), 0), ((0, 1, 1), 1), ((1, 0, 1), 1), ((1, 1, 0), 1)):
        assert np.all(bits[np.all(recipes == recipe, axis=1)].sum(axis=1) % 2 == parity)
    assert np.all(np.ptp(bits[np.all(recipes == 2, axis=1)], axis=1) == 0)


def test_wires_left_out_are_traced_out(backend, rng):
    state = reference.random_state(4, rng)
    bits, recipes = model_of(state, backend).shadow(shots=30_000, seed=4, wires=(3, 1))
    density = np.einsum("abcd,aBcD->dbDB", state.reshape((2,) * 4), state.conj().reshape((2,) * 4)).reshape(4, 4)
    for recipe in itertools.product(range(3), repeat=2):
        rotation = np.kron(TO_Z[recipe[0]], TO_Z[recipe[1]])
        wanted = np.einsum("oi,ij,oj->o", rotation, density, rotation.conj()).real
        here = np.all(recipes == recipe, axis=1)
        got = np.bincount(bits[here] @ [2, 1], minlength=4)
        assert (((got - here.sum() * wanted) ** 2) / (here.sum() * wanted)).sum() < 3 + 4.5 * np.sqrt(6)


def test_batches_chunks_seeds_and_threads(backend, monkeypatch, threads, rng):
    recipe = strategies.random_recipe(rng, 6, 12, n_inputs=2)
    weights, inputs = recipe.arguments(rng, 5)
    model = kg.compile(recipe.circuit(), backend=backend)

    def draw() -> bytes:
        bits, recipes = model.shadow(weights, inputs, shots=300, seed=9)
        assert bits.shape == recipes.shape == (5, 300, 6)
        return bits.tobytes() + recipes.tobytes()

    first = draw()
    for count in (1, 3):
        kg.set_num_threads(count)
        assert draw() == first
    monkeypatch.setattr(simulator, "CHUNK_BYTES", 5000)
    monkeypatch.setattr(shadows, "_NODE_BYTES", 600)  # a few states of each level at a time
    assert draw() == first
    assert model.shadow(weights, inputs, shots=300, seed=10)[0].tobytes() != first[: 5 * 300 * 6]
    generator = np.random.default_rng(9)
    a, b = (model.shadow(weights, inputs, shots=300, seed=generator)[0] for _ in range(2))
    assert a.tobytes() == first[: a.size] and np.any(a != b)


def test_both_backends_draw_the_same(rng):
    if len(BACKENDS) < 2:
        pytest.skip("compares two backends")
    state = reference.random_state(9, rng)
    a, b = (model_of(state, backend).shadow(shots=2000, seed=1) for backend in BACKENDS)
    np.testing.assert_array_equal(a[1], b[1])
    assert (a[0] != b[0]).any(axis=1).mean() < 1e-3  # only draws at a bin's edge may differ


def test_from_given_states(backend, rng):
    state = reference.random_state(3, rng)
    started = kg.compile(kg.Circuit(3), backend=backend).shadow(shots=40, seed=2, initial=state)
    for a, b in zip(started, model_of(state, backend).shadow(shots=40, seed=2), strict=True):
        np.testing.assert_array_equal(a, b)


def test_refusals(backend, monkeypatch):
    model = kg.compile(kg.Circuit(20).h(0), backend=backend)
    with pytest.raises(ArgumentError, match="shots"):
        model.shadow(shots=0)
    with pytest.raises(ArgumentError, match="seed"):
        model.shadow(shots=1, seed=-1)
    with pytest.raises(WireError):
        model.shadow(shots=1, wires=(20,))
    monkeypatch.setattr(memory, "available_bytes", lambda: 60 << 20)
    with pytest.raises(OutOfMemoryError, match="snapshots of 20 qubits"):
        model.shadow(shots=1)
    small = kg.compile(kg.Circuit(1).h(0), backend=backend)
    monkeypatch.setattr(memory, "available_bytes", lambda: 200 << 20)
    with pytest.raises(OutOfMemoryError, match="10000000 snapshots"):
        small.shadow(shots=10_000_000)
