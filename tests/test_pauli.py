"""Observables as algebra: sums, products, squares and groups against dense matrices."""

from __future__ import annotations

import time

import numpy as np
import pytest
import reference
from golden import PAULI

import ketgrad as kg
from ketgrad.errors import CircuitError
from ketgrad.simulator import qubit_wise_groups

N = 4


def random_term(rng: np.random.Generator) -> tuple[kg.PauliSum, np.ndarray]:
    """A word on some wires times a projector on others, and its matrix."""
    wires = [int(w) for w in rng.permutation(N)]
    k = int(rng.integers(0, N + 1))
    m = int(rng.integers(0, N - k + 1))
    letters = {w: "XYZ"[int(rng.integers(3))] for w in wires[:k]}
    ours = kg.PauliSum.from_words([(1.0, "".join(letters.values()))], list(letters)) if letters else kg.I()
    theirs = reference.word(N, letters)
    if m:
        bits = "".join(rng.choice(["0", "1"], size=m))
        ours = ours @ kg.Projector(bits, wires[k : k + m])
        theirs = theirs @ reference.projector(N, bits, wires[k : k + m])
    return ours, theirs


def test_algebra_is_that_of_matrices(rng):
    for _ in range(300):
        (a, ma), (b, mb), (c, mc) = (random_term(rng) for _ in range(3))
        s, t = rng.normal(size=2)
        for got, wanted in (
            (a, ma),
            (s * a + b * t, s * ma + t * mb),
            (a - b, ma - mb),
            (-a, -ma),
            (a / 2 + 1.5, ma / 2 + 1.5 * np.eye(2**N)),
            (2 - a, 2 * np.eye(2**N) - ma),
            (a @ b, ma @ mb),
            ((a + t * b) @ c, (ma + t * mb) @ mc),
            ((a + s * b).square(), (ma + s * mb) @ (ma + s * mb)),
            (a.square(), ma @ ma),
            ((a + b).without_patterns(), ma + mb),
        ):
            np.testing.assert_allclose(got.matrix(N), wanted, atol=1e-12)


def test_products_of_single_letters():
    for a in "XYZ":
        for b in "XYZ":
            product = getattr(kg, a)(0) @ getattr(kg, b)(0)
            np.testing.assert_allclose(product.matrix(1), PAULI[a] @ PAULI[b], atol=1e-15)
    assert kg.Projector("0") @ kg.Projector("1") == kg.PauliSum()
    assert kg.Projector("0") @ kg.Z(0) == kg.Projector("0")
    assert kg.Z(0) @ kg.Projector("1") == -kg.Projector("1")


def test_wide_projectors_stay_one_term():
    """|0...0><0...0| on forty wires in sums, products and squares: never 2^40 words."""
    started = time.perf_counter()
    p = kg.Projector("0" * 40)
    assert len(p) == 1 and len(p.square()) == 1
    assert len((p + kg.Z(0) + kg.X(1)).square()) == 4
    assert len(p @ kg.Projector("0", [50])) == 1
    with pytest.raises(CircuitError, match="more than 10"):
        kg.PauliSum.from_words([(1, "X" * 40)]) @ p
    assert time.perf_counter() - started < 1


def test_variance_of_a_wide_projector_in_a_sum(backend):
    circuit = kg.Circuit(16)
    for q in range(16):
        circuit.ry(0.4, q)
    model = kg.compile(circuit, kg.Projector("0" * 16) + kg.Z(3), backend=backend)
    p, z = np.cos(0.2) ** 32, np.cos(0.4)
    np.testing.assert_allclose(model.variance(), [p + 1 + 2 * p - (p + z) ** 2], atol=1e-12)


def test_hermitian_matrices(rng):
    for wires in ((0,), (2, 0), (3, 1, 2)):
        m = reference.random_hermitian(len(wires), rng)
        np.testing.assert_allclose(kg.Hermitian(m, wires).matrix(N), reference.embed(m, wires, N), atol=1e-12)


def test_equality_and_hash_ignore_order_and_zeros():
    a, b = kg.Z(0) + 2 * kg.X(1), 2 * kg.X(1) + kg.Z(0) + 0.0 * kg.Y(2)
    assert a == b and hash(a) == hash(b) and a != kg.Z(0) and a != "Z"
    assert kg.Z(0) - kg.Z(0) == kg.PauliSum()


def test_looks():
    observable = 0.5 * kg.Z(0) @ kg.X(2) - kg.Projector("10", (3, 1)) + 2
    assert repr(observable) == "0.5 * Z(0) @ X(2) + -1 * Projector('01', wires=(1, 3)) + 2 * I()"
    assert observable.wires == (0, 1, 2, 3) and len(observable) == 3
    assert [c for c, _, _ in observable] == [0.5, -1.0, 2.0]
    assert repr(kg.PauliSum()) == "0"
    assert "2 more terms" in repr(kg.PauliSum.from_words([(1.0, f"{'I' * k}Z") for k in range(10)]))


def test_identities_of_words_do_not_matter(backend):
    """Padded and sparse words are one observable, the odd number of Y included."""
    circuit = kg.Circuit(3)
    w = circuit.weights(1)
    circuit.rx(w[0], 1).cx(1, 2)
    pair = [kg.PauliSum.from_words([(1, "IYX")]), kg.Y(1) @ kg.X(2)]
    assert pair[0] == pair[1]
    values = kg.compile(circuit, pair, backend=backend)([0.3])
    assert values[0] == values[1]


def test_qubit_wise_groups_are_groups(rng):
    keys = [key for _ in range(40) for key in random_term(rng)[0]._terms]
    groups = qubit_wise_groups(keys)
    assert sorted(m for _, members in groups for m in members) == list(range(len(keys)))
    for basis, members in groups:
        for m in members:
            word, pattern = keys[m]
            assert all(basis[w] == letter for w, letter in word)
            assert all(basis[w] == "Z" for w, _ in pattern)


def test_commuting_terms_share_a_setting(backend):
    circuit = kg.Circuit(3).h(0).h(1)
    observables = [kg.Z(0) + kg.Z(1) @ kg.Z(2), kg.Projector("00", (0, 1)), kg.X(0) + kg.Y(1)]
    model = kg.compile(circuit, observables, backend=backend)
    assert len(model._ready().estimator.settings) == 2
