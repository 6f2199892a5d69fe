"""`Circuit.evolve`: exp(-i t H) of sums whose terms commute, against the exponential of the matrix."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

import ketgrad as kg
from ketgrad.errors import ArgumentTypeError, CircuitError, ParameterError, WireError
from ketgrad.evolution import TABLE_TERMS, diagonal, first_clash


def dense(observable: kg.PauliSum, n: int) -> np.ndarray:
    out = np.zeros((2**n, 2**n), dtype=complex)
    for c, word, held in observable:
        bits = "".join(str(b) for _, b in held)
        out += c * reference.word(n, dict(word)) @ reference.projector(n, bits, [w for w, _ in held])
    return out


def exponential(matrix: np.ndarray, time: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.exp(-1j * time * values)) @ vectors.conj().T


def random_term(rng: np.random.Generator, n: int) -> kg.PauliSum:
    letters = rng.choice(list("IIXYZ"), size=n)
    term = kg.PauliSum.from_words([(1.0, "".join(letters))])
    free = [int(w) for w in np.flatnonzero(letters == "I")]
    if free and rng.random() < 0.4:
        held = free[: int(rng.integers(1, len(free) + 1))]
        term = term @ kg.Projector(rng.integers(0, 2, size=len(held)).tolist(), held)
    return term


def commuting_sum(rng: np.random.Generator, n: int, count: int) -> kg.PauliSum:
    """Of random terms those that commute with all before them, by their matrices."""
    out, matrices = kg.PauliSum(), []
    for _ in range(count):
        term = random_term(rng, n)
        m = dense(term, n)
        if all(np.allclose(m @ other, other @ m) for other in matrices):
            matrices.append(m)
            out = out + float(rng.normal()) * term
    return out


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4), control=st.booleans())
def test_evolution_is_the_exponential(backend, seed, n, control):
    rng = np.random.default_rng(seed)
    observable, time = commuting_sum(rng, n, 12), float(rng.uniform(-2, 2))
    state = reference.random_state(n + control, rng)
    circuit = kg.Circuit(n + control)
    wanted = exponential(dense(observable, n), time)
    if control:
        circuit.evolve(observable, time, controls=n, control_values=0)
        wanted = np.kron(wanted, np.diag([1, 0])) + np.kron(np.eye(2**n), np.diag([0, 1]))
    else:
        circuit.evolve(observable, time)
    got = kg.compile(circuit, [], backend=backend).state(initial=state)
    np.testing.assert_allclose(got, wanted @ state, rtol=0, atol=1e-11)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4))
def test_gradients_of_the_time(backend, seed, n):
    """Adjoint = parameter-shift = finite difference, of a parameter in many gates and of an affine expression."""
    rng = np.random.default_rng(seed)
    circuit = kg.Circuit(n)
    w, x = circuit.weights(2), circuit.inputs(1)
    for q in range(n):
        circuit.ry(0.3 + q, q)
    circuit.evolve(commuting_sum(rng, n, 8), w[0])
    for q in range(n):
        circuit.rx(0.7 - q, q)
    circuit.evolve(commuting_sum(rng, n, 8), 0.5 * w[0] - w[1] + x[0])
    model = kg.compile(circuit, [kg.Z(0), kg.X(n - 1)], backend=backend)
    at, features = rng.uniform(-2, 2, size=2), rng.uniform(-2, 2, size=1)
    adjoint, shift = (model.jacobian(at, features, method=m) for m in ("adjoint", "parameter-shift"))
    np.testing.assert_allclose(adjoint.weights, shift.weights, rtol=0, atol=1e-10)
    np.testing.assert_allclose(adjoint.inputs, shift.inputs, rtol=0, atol=1e-10)
    h = 1e-5
    for k, step in enumerate(h * np.eye(2)):
        finite = (model(at + step, features) - model(at - step, features)) / (2 * h)
        np.testing.assert_allclose(adjoint.weights[:, k], finite, rtol=0, atol=1e-7)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4))
def test_two_terms_that_do_not_commute_are_found(seed, n):
    rng = np.random.default_rng(seed)
    terms = [random_term(rng, n) for _ in range(5)]
    observable = sum(terms, kg.PauliSum())
    matrices = [dense(kg.PauliSum({(word, held): 1.0}), n) for _, word, held in observable]
    all_commute = all(np.allclose(a @ b, b @ a) for a in matrices for b in matrices)
    clash = first_clash(observable)
    assert (clash is None) == all_commute
    if clash is not None:
        a, b = (dense(term, n) for term in clash)
        assert not np.allclose(a @ b, b @ a)
        with pytest.raises(CircuitError, match="terms must commute"):
            kg.Circuit(n).evolve(observable, 0.1)


def diagonal_sum(rng: np.random.Generator, n: int, words: int, whole: bool) -> kg.PauliSum:
    out = {}
    while len(out) < words:
        z = int(rng.integers(1, 1 << n))
        out["".join("IZ"[z >> k & 1] for k in range(n))] = float(rng.integers(1, 4)) if whole else float(rng.normal())
    return kg.PauliSum.from_words(out) + 0.5 * kg.Projector("01", [2, n - 1]) + 2.0 * kg.Projector("1", [0]) @ kg.Z(1)


@pytest.mark.parametrize("wires", [(0, 1, 2, 3, 4, 5), (5, 2, 0, 3, 1, 4)])
def test_the_diagonal_of_a_sum(rng, wires):
    observable = diagonal_sum(rng, 6, 40, whole=False)
    values = diagonal(observable, wires)
    bits = np.array([[i >> (5 - k) & 1 for k in range(6)] for i in range(64)])  # of the listed wires
    index = (bits << (5 - np.array(wires))).sum(axis=1)
    np.testing.assert_allclose(values, np.diag(dense(observable, 6)).real[index], rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", [10, 12])
def test_a_long_diagonal_sum_is_one_table(backend, dtype, rng, n):
    """The same as its words one by one; layers share the table; the parameter trains; controls hold."""
    observable = diagonal_sum(rng, n, TABLE_TERMS + 10, whole=True)
    circuits = kg.Circuit(n), kg.Circuit(n)
    found = []
    for circuit, whole in zip(circuits, (True, False), strict=True):
        w = circuit.weights(4)
        for q in range(n):
            circuit.h(q)
        for layer in range(2):
            if whole:
                circuit.evolve(observable, w[2 * layer])
            else:
                for c, word, held in observable:
                    circuit.evolve(kg.PauliSum({(word, held): c}), w[2 * layer])
            for q in range(n):
                circuit.rx(w[2 * layer + 1], q)
        model = kg.compile(circuit, [observable, kg.X(1)], backend=backend, dtype=dtype)
        at = 0.1 * np.arange(1, 5)
        values, pullback = model.forward(at)
        found.append((values, pullback(np.array([0.01, 1.0])).weights))
    tables = [gate.extra for gate in circuits[0].gates if gate.spec.name == "exp_diagonal"]
    assert len(tables) == 2
    assert tables[0] is tables[1]
    atol = 1e-9 if dtype == "complex128" else 3e-2
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def test_a_long_diagonal_sum_with_many_values_is_words(rng):
    observable = diagonal_sum(rng, 13, TABLE_TERMS + 10, whole=False)
    circuit = kg.Circuit(13).evolve(observable, 0.1)
    assert len(circuit) == len(observable)


def test_arrays_that_can_change_are_copied():
    values = np.zeros(4)
    circuit = kg.Circuit(2).exp_diagonal(0.1, values, 0, 1)
    values[:] = 7
    assert not circuit.gates[0].extra.any()


@pytest.mark.parametrize(
    ("observable", "time", "options", "error", "text"),
    [
        (kg.X(0) + kg.Z(0), 0.1, {}, CircuitError, "terms must commute"),
        (kg.X(0) + kg.Z(5), 0.1, {}, WireError, "out of range"),
        (kg.X(0) + kg.Z(1), 0.1, {"controls": 1}, WireError, "distinct"),
        (kg.X(0) + kg.Z(1), 0.1, {"controls": 2, "control_values": 2}, CircuitError, "control values"),
        (kg.X(0), float("nan"), {}, ParameterError, "time"),
        ("XX", 0.1, {}, ArgumentTypeError, "PauliSum"),
    ],
)
def test_what_cannot_be_evolved(observable, time, options, error, text):
    circuit = kg.Circuit(3)
    with pytest.raises(error, match=text):
        circuit.evolve(observable, time, **options)
    assert len(circuit) == 0


def test_a_parameter_of_another_circuit_is_refused():
    circuit, other = kg.Circuit(2), kg.Circuit(2)
    with pytest.raises(ParameterError, match="another circuit"):
        circuit.evolve(kg.Z(0), other.parameter("t"))


def test_the_empty_sum_does_nothing():
    assert len(kg.Circuit(2).evolve(kg.PauliSum(), 0.3)) == 0


def test_a_table_is_as_exact_as_words():
    n, rng = 9, np.random.default_rng(2)
    words = rng.permutation(2**n)[: TABLE_TERMS + 1]
    terms = [(float(rng.normal()), "".join("IZ"[x >> q & 1] for q in range(n))) for x in words.tolist()]
    table = kg.Circuit(n).h(0).evolve(kg.PauliSum.from_words(terms), 100.0)
    assert [g.spec.name for g in table.gates] == ["h", "exp_diagonal"]
    apart = kg.Circuit(n).h(0)
    for c, word in terms:
        apart.evolve(kg.PauliSum.from_words([(c, word)]), 100.0)
    states = [kg.compile(c, [kg.Z(0)]).state() for c in (table, apart)]
    np.testing.assert_allclose(*states, rtol=0, atol=1e-11)


def test_evolve_is_all_or_nothing_and_leaves_out_what_is_zero():
    circuit = kg.Circuit(2)
    with pytest.raises(ParameterError):
        circuit.evolve(kg.Z(0) + 1e300 * kg.Z(1), 1e300)
    assert not circuit.gates
    assert not circuit.evolve(kg.Z(0) - kg.Z(0), 0.3).gates


def test_what_a_circuit_shares_cannot_be_written_to():
    values = np.arange(2.0)
    values.setflags(write=False)
    circuit = kg.Circuit(1).exp_diagonal(0.3, values, 0)
    values.setflags(write=True)
    values[:] = 9
    np.testing.assert_array_equal(circuit.gates[0].extra, [0, 1])
    with pytest.raises(ValueError):
        diagonal(kg.Z(0), (0,)).setflags(write=True)
