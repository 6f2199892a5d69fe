"""The opcode KRAUS in every engine: a matrix for each sample, unitary or not, forwards and backwards."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import reference
from conftest import Precision
from hypothesis import given
from hypothesis import strategies as st
from kraus_cases import Case, matrix, site
from strategies import random_step

import ketgrad as kg

Array = np.ndarray
BATCHES = (1, 2, 3, 7, 8, 9, 16, 17, 33, 40)


class Answers:
    """What the oracle says about a case: states, and slopes along its directions, from |0...0> and with bras."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.start = None if case.prepared is not None else case.initial  # a prepared state allows no other
        self.states, tangents = case.run(along=case.along)
        self.slopes = case.slopes(self.states, tangents, False)
        if self.start is not None:
            self.moved, tangents = case.run(self.start, case.along)
            self.slopes_moved = case.slopes(self.moved, tangents, True)
            self.slopes_of_initial = case.slopes(*case.run(self.start), True)


@lru_cache(maxsize=64)
def answers(seed: int, n: int, batch: int, length: int) -> Answers:
    return Answers(Case(seed, n, batch, length))


def assert_right(wanted: Answers, model: kg.Model, atol: float) -> None:
    """Values, states and gradients, of |0...0> and of other states with bras."""
    case, w, x = wanted.case, wanted.case.weights, wanted.case.slots
    dw, dx = case.along[0], np.column_stack([case.along[1], np.zeros((len(x), x.shape[1] - 2))])

    def close(ours: Any, theirs: Array, what: str) -> None:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol * max(1.0, np.abs(theirs).max()), err_msg=what)

    starts = [(None, None, wanted.states, wanted.slopes)]
    if wanted.start is not None:
        starts.append((wanted.start, case.bras, wanted.moved, wanted.slopes_moved))
    for start, bras, states, slopes in starts:
        close(model.state(w, x, initial=start), states, "states")
        values, pullback = model.forward(w, x, initial=start)
        close(values, case.values(states), "values")
        found = pullback(case.cotangents, bras=bras)
        close(found.weights @ dw + (found.inputs * dx).sum(), slopes.sum(), "gradients")
        assert not found.inputs[:, 2:].any()  # a choice has none
    if wanted.start is not None:
        found = pullback(case.cotangents, bras=case.bras, to_initial=True)
        ours = 2 * (np.reshape(found.initial, case.initial.shape).conj() * case.along_initial).sum(axis=1).real
        close(ours, wanted.slopes_of_initial, "gradients of initial states")
        close(found.weights @ dw + (found.inputs * dx).sum(), wanted.slopes_moved.sum(), "gradients beside those")
    jacobian = model.jacobian(w, x)
    each = np.einsum("bm,bmp,p->b", case.cotangents, jacobian.weights, dw)
    each += np.einsum("bm,bmf,bf->b", case.cotangents, jacobian.inputs, dx)
    close(each, wanted.slopes, "gradients of each sample")


def tolerance(precision: Precision) -> float:
    return 1e-10 if precision.dtype == "complex128" else 1e-4


@pytest.mark.parametrize("n", range(1, 15))
def test_random_circuits(n, engine, precision: Precision):
    for turn in range(2 if n < 12 else 1):
        batch = BATCHES[(n + 5 * turn) % len(BATCHES)] if n < 9 else 1 + 2 * ((n + turn) % 2)
        wanted = answers(100 * n + turn, n, batch, 24 if n < 11 else 16)
        assert_right(wanted, wanted.case.model(precision.dtype, engine), tolerance(precision))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 20), st.integers(0, 14))
def test_many_small_circuits(backend, precision: Precision, seed, n, batch, length):
    wanted = Answers(Case(seed, n, batch, length))
    assert_right(wanted, wanted.case.model(precision.dtype, backend), tolerance(precision))


TILES = [(rows, (0, rows + 1, 1, 1)) for rows in (0, 1, 2)] + [
    (1, (1, 4, 1, 2)),
    (30, (2, 3, 1, 1)),
    (3, (0, 40, 1, 3)),
]


@pytest.mark.parametrize("tile", TILES, ids=lambda t: str(t[0]))
def test_tiles_of_any_size(tile, engine, precision: Precision, monkeypatch):
    rows, tiling = tile
    before = None
    if engine == "numba":
        from ketgrad.backends import numba_backend, numba_large

        monkeypatch.setattr(numba_backend, "TILED_BITS", 1)
        monkeypatch.setattr(numba_large, "TILE_BYTES", 128 << rows)
    else:
        from ketgrad import _core

        before = _core.tiling()
        _core.set_tiling(*tiling)
    try:
        for turn in range(3):
            wanted = answers(5000 + 10 * rows + turn, 5 + turn, (1, 2, 9)[turn], 30)
            assert_right(wanted, wanted.case.model(precision.dtype, engine), tolerance(precision))
    finally:
        if before:
            _core.set_tiling(*before)


# choices


def of_one_site(n: int, batch: int, rng: np.random.Generator, *matrices: Array, **options: Any) -> Case:
    """Random gates without parameters, then a site, then random gates with parameters."""
    k = len(matrices[0]).bit_length() - 1
    wires = sorted(int(w) for w in rng.permutation(n)[:k])
    before = [random_step(rng, n) for _ in range(6)]
    after = [random_step(rng, n, 3, 2) for _ in range(12)]
    here = site(wires, matrices, rng, **options)
    return Case(int(rng.integers(2**32)), n, batch, steps=[*before, here, *after])


@pytest.mark.parametrize("n", [2, 7, 10])
def test_values_are_rounded_to_a_choice_that_is_there(n, engine, rng):
    """So nothing outside the matrices is ever read."""
    asked = [-1e308, -3.0, -0.6, 0.4, 0.6, 1.0, 1.4, 1.6, 2.4, 2.6, 255.0, 2.0**31, 2.0**63, 1e308]
    case = of_one_site(n, len(asked), rng, *(matrix(1, rng) for _ in range(3)))
    case.choices = np.array([[0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2]]).T
    model = case.model("complex128", engine)
    states, tangents = case.run(along=case.along)
    rows = np.column_stack([case.inputs, asked])
    np.testing.assert_allclose(model.state(case.weights, rows), states, atol=1e-11)
    jacobian = model.jacobian(case.weights, rows)
    ours = np.einsum("bm,bmp,p->b", case.cotangents, jacobian.weights, case.along[0])
    ours += np.einsum("bm,bmf,bf->b", case.cotangents, jacobian.inputs[..., :2], case.along[1])
    np.testing.assert_allclose(ours, case.slopes(states, tangents, False), atol=1e-10)


@pytest.mark.parametrize("n", [2, 10])
def test_where_the_identity_is_chosen_nothing_is_done(n, engine, precision: Precision, rng):
    """Not even its inverse is looked at."""
    case = of_one_site(n, 5, rng, np.eye(4), matrix(2, rng))
    case.sites[0].inverses[0] = 1e3
    case.choices[:] = 0
    assert_right(Answers(case), case.model(precision.dtype, engine), tolerance(precision))


@pytest.mark.parametrize("n", [1, 3, 6, 10, 11])
def test_a_matrix_without_inverse_before_all_angles(n, engine, precision: Precision, rng):
    """As where a program was cut: nothing with an angle may run before it, and be undone after it."""
    lower, k = np.array([[0, 1], [0, 0]]), min(2, n)
    singular = [np.diag([1, 0]), lower] if k == 1 else [np.kron(lower, np.eye(2)), np.kron(matrix(1, rng), lower)]
    case = of_one_site(n, 3, rng, *singular)
    assert_right(Answers(case), case.model(precision.dtype, engine), tolerance(precision))


# what else runs programs


def test_every_method_and_second_derivatives(backend, rng):
    for n in (2, 5):
        wanted = answers(700 + n, n, 7, 20)
        case, w, x = wanted.case, wanted.case.weights, wanted.case.slots
        model = case.model("complex128", backend)
        first, other = (model.jacobian(w, x, method=m) for m in ("adjoint", "parameter-shift"))
        np.testing.assert_allclose(other.weights, first.weights, atol=1e-9)
        np.testing.assert_allclose(other.inputs, first.inputs, atol=1e-9)
        dx = np.column_stack([case.along[1], np.zeros((7, x.shape[1] - 2))])
        along = case.along[0], dx

        def gradients(t: float, bras: Array | None = None, case=case, w=w, x=x, along=along, model=model) -> Any:
            _, pullback = model.forward(w + t * along[0], x + t * along[1])
            found = pullback(case.cotangents, bras=bras)
            return np.concatenate([found.weights, found.inputs.ravel()])

        for bras in (None, case.bras):
            change = model.gradient_change(w, x, *along, cotangents=case.cotangents, bras=bras)
            ours = np.concatenate([change.weights, change.inputs.ravel()])
            step = 1e-5
            theirs = (gradients(step, bras) - gradients(-step, bras)) / (2 * step)
            np.testing.assert_allclose(ours, theirs, atol=1e-6 * max(1.0, np.abs(theirs).max()))
        tangents = case.run(along=case.along)[1]
        np.testing.assert_allclose(model.state_tangents(w, x, *along), tangents, atol=1e-9 * np.abs(tangents).max())


def test_shots_are_those_of_a_circuit_with_the_chosen_gates(backend, rng):
    unitaries = [reference.random_unitary(2, rng) for _ in range(3)]
    case = of_one_site(4, 1, rng, *unitaries)
    model, plain = (case.model("complex128", backend, p) for p in (False, True))
    w, x = case.weights, case.slots
    np.testing.assert_allclose(model(w, x, shots=50, seed=3), plain(w, x, shots=50, seed=3))
    np.testing.assert_array_equal(model.sample(w, x, shots=50, seed=3), plain.sample(w, x, shots=50, seed=3))
    ours, theirs = (m.jacobian(w, x, method="parameter-shift", shots=20, seed=4) for m in (model, plain))
    np.testing.assert_allclose(ours.weights, theirs.weights, atol=1e-12)
    np.testing.assert_allclose(ours.inputs[..., :2], theirs.inputs[..., :2], atol=1e-12)


@pytest.mark.parametrize("k", [1, 4, 6])
def test_a_large_state_agrees_with_dense_matrices(k, backend, precision: Precision, rng):
    case = of_one_site(18, 1, rng, *(reference.random_unitary(k, rng) for _ in range(2)))
    results = []
    for plain in (False, True):
        model = case.model(precision.dtype, backend, plain)
        values, pullback = model.forward(case.weights, case.slots)
        found = pullback(case.cotangents)
        results.append([values, found.weights, found.inputs, model.state(case.weights, case.slots)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=10 * precision.atol)


@pytest.mark.parametrize(("n", "batch"), [(5, 33), (12, 1), (12, 3)])
def test_the_number_of_threads_changes_no_bit(n, batch, backend, dtype, threads):
    case, found = Case(n, n, batch, 30), set()
    model = case.model(dtype, backend)
    for count in (1, 2, 3):
        kg.set_num_threads(count)
        values, pullback = model.forward(case.weights, case.slots)
        gradients = pullback(case.cotangents)
        found.add((values.tobytes(), gradients.weights.tobytes(), gradients.inputs.tobytes()))
    assert len(found) == 1
