"""Sums of many Pauli words: values of every term and H|psi> grouped by X mask, against plain index arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from conftest import Precision
from hypothesis import given
from hypothesis import strategies as st

import ketgrad as kg
from ketgrad import backends
from ketgrad.backends import get_backend
from ketgrad.pauli import Key
from ketgrad.program import INSTRUCTION, TERM, Opcode, Program

Masks = tuple[int, int, int, int]  # X, Z, pattern, its bits


def random_terms(rng: np.random.Generator, n: int, count: int, masks: int, patterns: bool) -> list[Masks]:
    """Distinct terms over about so many X masks; with `patterns` some are projected on some of the other bits."""
    flips = [0, *(int(rng.integers(0, 1 << n)) for _ in range(masks - 1))]
    out = {}
    for _ in range(count):
        x, z = flips[int(rng.integers(masks))], int(rng.integers(0, 1 << n))
        held = bits = 0
        if patterns and rng.random() < 0.3:
            held = int(rng.integers(0, 1 << n)) & ~(x | z)
            bits = int(rng.integers(0, 1 << n)) & held
        if x or z or held:
            out[x, z, held, bits] = None
    return list(out)


def applied(state: np.ndarray, term: Masks) -> np.ndarray:
    """(word and projector) state: i^|x & z| X^x Z^z where the pattern holds."""
    x, z, held, bits = term
    i = np.arange(len(state))
    signs = 1 - 2 * (np.bitwise_count(i & z) & 1).astype(float)
    return 1j ** (x & z).bit_count() * (signs * state * ((i & held) == bits))[i ^ x]


def key(term: Masks, n: int) -> Key:
    x, z, held, bits = term
    at = [1 << (n - 1 - w) for w in range(n)]
    letters = {(1, 0): "X", (0, 1): "Z", (1, 1): "Y"}
    word = tuple((w, letters[bool(x & b), bool(z & b)]) for w, b in enumerate(at) if (x | z) & b)
    return word, tuple((w, int(bool(bits & b))) for w, b in enumerate(at) if held & b)


def program(n: int, terms: list[Masks]) -> Program:
    """No gates, one slot: values of the terms in the initial state, and pullbacks to it."""
    rows = np.array([(0, 1, 0, 0, 1.0, 0.0, 0, 0, int(Opcode.PAULI_ROT), 0, 0, 0, 0)], dtype=INSTRUCTION)  # RZ on bit 0
    return Program(n, rows, np.zeros(0), np.array(terms, dtype=TERM), 1, 0)


def values_and_bras(
    backend: str, dtype: str, n: int, terms: list[Masks], states: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(B, R) values, and (B, 2^n) sum_r weights[r] term_r psi."""
    plan = get_backend(backend).prepare(program(n, terms), dtype)
    slots, none = np.zeros(1), np.zeros((len(states), 0))
    cotangents = np.broadcast_to(weights, (1, len(states), len(terms))).copy()
    values, _ = plan.forward(slots, none, initial=states)
    return values, plan.pullback_to_initial(slots, none, cotangents, initial=states)[2][0]


def check(backend: str, precision: Precision, seed: int, n: int, count: int, masks: int, patterns: bool, batch: int):
    rng = np.random.default_rng(seed)
    terms = random_terms(rng, n, count, masks, patterns)
    if not terms:
        return
    states = np.array([reference.random_state(n, rng) for _ in range(batch)])
    weights = rng.normal(size=len(terms))
    values, bras = values_and_bras(backend, precision.dtype, n, terms, states, weights)
    images = np.array([[applied(s, t) for t in terms] for s in states])
    wanted = np.einsum("bi,bri->br", states.conj(), images)
    assert np.abs(wanted.imag).max() < 1e-12
    np.testing.assert_allclose(values, wanted.real, rtol=0, atol=precision.atol)
    scale = 1 + np.linalg.norm(weights)
    np.testing.assert_allclose(bras, np.einsum("r,bri->bi", weights, images), rtol=0, atol=scale * precision.atol)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 9),
    count=st.sampled_from([1, 2, 8, 40, 300]),
    masks=st.sampled_from([1, 2, 5, 100]),
    patterns=st.booleans(),
    batch=st.sampled_from([1, 1, 3, 9]),
)
def test_values_and_images_of_random_sums(backend, precision, seed, n, count, masks, patterns, batch):
    check(backend, precision, seed, n, count, masks, patterns, batch)


@pytest.mark.parametrize(
    ("n", "count", "masks"),
    [
        (11, 2000, 1),  # more words than a block has groups
        (12, 3000, 3),
        (12, 300, 200),  # tasks share out the masks
        (13, 500, 2),
        (15, 150, 4),  # several tiles; X masks in a block, in a tile and beyond
    ],
)
def test_values_and_images_where_blocks_and_tiles_end(engine, precision: Precision, n: int, count: int, masks: int):
    check(engine, precision, n + count, n, count, masks, count < 400, 1)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6))
def test_a_model_of_many_words_has_the_value_and_gradient_of_the_matrix(backend, seed, n):
    rng = np.random.default_rng(seed)
    terms = random_terms(rng, n, 60, 8, True) or [(0, 1, 0, 0)]
    observable = kg.PauliSum({key(t, n): float(c) for t, c in zip(terms, rng.normal(size=len(terms)), strict=True)})
    circuit = kg.Circuit(n)
    w = circuit.weights((2, n))
    for layer in range(2):
        for q in range(n):
            circuit.ry(w[layer, q], q)
        for q in range(n - 1):
            circuit.cx(q, q + 1)
    model, at = kg.compile(circuit, [observable], backend=backend), rng.uniform(-3, 3, size=(2, n))
    state = model.state(at)
    dense = sum(
        c
        * reference.word(n, dict(word))
        @ reference.projector(n, "".join(str(b) for _, b in held), [v for v, _ in held])
        for c, word, held in observable
    )
    np.testing.assert_allclose(model(at), [reference.expectation(state, dense)], rtol=0, atol=1e-11)
    adjoint, shift = (model.jacobian(at, method=m).weights for m in ("adjoint", "parameter-shift"))
    np.testing.assert_allclose(adjoint, shift, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("n", "count", "masks"), [(12, 400, 150), (14, 3000, 1), (17, 60, 9)])
def test_the_number_of_threads_changes_no_bit(backend, dtype, threads, rng, n, count, masks):
    terms = random_terms(rng, n, count, masks, True)
    states, weights = reference.random_state(n, rng)[None], rng.normal(size=len(terms))
    found = []
    for number in (1, 2, 3, 8):
        backends.set_num_threads(number)
        found.append(values_and_bras(backend, dtype, n, terms, states, weights))
    for values, bras in found[1:]:
        assert np.array_equal(values, found[0][0])
        assert np.array_equal(bras, found[0][1])


def test_no_terms(backend, precision: Precision, rng):
    for n in (2, 12):
        states = reference.random_state(n, rng)[None]
        values, bras = values_and_bras(backend, precision.dtype, n, [], states, np.zeros(0))
        assert values.shape == (1, 0)
        assert not bras.any()
