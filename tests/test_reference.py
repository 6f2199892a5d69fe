"""The oracle against the few facts about it that can be said without an oracle."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import reference
from golden import PAULI, golden
from reference import Op


@pytest.mark.parametrize("module", ["reference.py", "golden.py"])
def test_oracle_never_imports_ketgrad(module):
    tree = ast.parse((Path(__file__).parent / module).read_text())
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [n for n in names if n.startswith("ketgrad")]


def test_wire_zero_is_the_most_significant_bit():
    np.testing.assert_array_equal(np.flatnonzero(reference.run(3, [Op("x", (), (0,))])), [0b100])
    np.testing.assert_array_equal(np.flatnonzero(reference.run(3, [Op("x", (), (2,))])), [0b001])


def test_controls_by_hand():
    start = [Op("x", (), (0,))]
    assert reference.run(2, [*start, Op("cx", (), (0, 1))])[0b11] == 1
    assert reference.run(2, [*start, Op("cx", (), (1, 0))])[0b10] == 1
    assert reference.run(2, [*start, Op("x", (), (1,), (0,), (0,))])[0b10] == 1
    assert reference.run(2, [Op("x", (), (1,), (0,), (0,))])[0b01] == 1


def test_embed_of_a_product_is_a_kron():
    a, b = golden("rot", (0.1, 0.2, 0.3)), golden("u3", (0.4, 0.5, 0.6))
    np.testing.assert_allclose(reference.embed(np.kron(a, b), (0, 2), 3), np.kron(np.kron(a, np.eye(2)), b))
    np.testing.assert_allclose(reference.embed(np.kron(a, b), (2, 0), 3), np.kron(np.kron(b, np.eye(2)), a))


def test_apply_equals_embed(rng):
    psi = reference.random_state(5, rng)
    for wires in ((0,), (4, 1), (2, 4, 0), (3, 0, 1, 2)):
        u = reference.random_unitary(len(wires), rng)
        np.testing.assert_allclose(reference.apply(psi, u, wires), reference.embed(u, wires, 5) @ psi, atol=1e-14)


def test_measurements_of_a_bell_pair():
    bell = reference.run(2, [Op("h", (), (0,)), Op("cx", (), (0, 1))])
    np.testing.assert_allclose(reference.probabilities(bell, (0, 1), 2), [0.5, 0, 0, 0.5], atol=1e-15)
    np.testing.assert_allclose(reference.density(bell, (1,), 2), np.eye(2) / 2, atol=1e-15)
    for letter, sign in (("X", 1), ("Y", -1), ("Z", 1)):
        assert reference.expectation(bell, np.kron(PAULI[letter], PAULI[letter])) == pytest.approx(sign)
