"""The gate table, row by row: a new row costs no test here, only its literal in golden.py."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import reference
from conftest import Precision
from golden import GOLDEN, GOLDEN_ANY, golden
from reference import Op

import ketgrad as kg
from ketgrad.errors import CircuitError
from ketgrad.gate_reference import reference as reference_page
from ketgrad.gates import BY_NAME, GATES, GateSpec

FIXED = [s for s in GATES if s.wires is not None]
rows = pytest.mark.parametrize("spec", GATES, ids=lambda s: s.name)
fixed_rows = pytest.mark.parametrize("spec", FIXED, ids=lambda s: s.name)
parameters = pytest.mark.parametrize(
    ("spec", "param"), [(s, p) for s in FIXED for p in s.params], ids=lambda v: v if isinstance(v, str) else v.name
)


def sizes(spec: GateSpec) -> list[int]:
    """Numbers of wires to try a row on."""
    return [spec.wires] if spec.wires is not None else [1, 2, 3, 4]


def arguments(spec: GateSpec, k: int, rng: np.random.Generator) -> tuple[tuple[float, ...], object]:
    return tuple(float(v) for v in rng.uniform(-7, 7, len(spec.params))), reference.random_extra(spec.extra, k, rng)


def derived(spec: GateSpec, k: int, params: tuple[float, ...], extra: object) -> np.ndarray:
    return spec.matrix(*params) if spec.wires is not None else spec.matrix(*params, wires=k, extra=extra)


# the table against literals and against PennyLane


def test_every_row_has_a_literal_and_every_literal_a_row():
    assert {s.name for s in GATES} == set(GOLDEN) | set(GOLDEN_ANY)


@rows
def test_matrix_equals_the_literal(spec, rng):
    for k in sizes(spec):
        for _ in range(5):
            params, extra = arguments(spec, k, rng)
            np.testing.assert_allclose(derived(spec, k, params, extra), golden(spec.name, params, k, extra), atol=1e-14)


@rows
def test_matrix_is_unitary(spec, rng):
    for k in sizes(spec):
        m = derived(spec, k, *arguments(spec, k, rng))
        np.testing.assert_allclose(m @ m.conj().T, np.eye(len(m)), atol=1e-13)


@pytest.mark.parametrize("spec", [s for s in GATES if s.pennylane], ids=lambda s: s.name)
def test_matrix_equals_pennylanes(spec, rng):
    qml = pytest.importorskip("pennylane")
    gate = getattr(qml, spec.pennylane)
    for k in sizes(spec):
        if spec.name == "mcx" and k == 1:
            continue  # PennyLane wants at least one control
        params, extra = arguments(spec, k, rng)
        given = [extra] if spec.extra in ("word", "matrix", "diagonal", "dim") else []
        op = gate(*params, *given, wires=range(k))
        wanted = np.asarray(qml.matrix(op, wire_order=range(k)))
        np.testing.assert_allclose(derived(spec, k, params, extra), wanted, atol=1e-13)


def test_names_are_unique_in_every_vocabulary():
    for vocabulary in (
        [n for s in GATES for n in (s.name, *s.aliases)],
        [s.qasm for s in GATES if s.qasm],
        [s.pennylane for s in GATES if s.pennylane],
    ):
        assert len(vocabulary) == len(set(vocabulary))
    assert all(BY_NAME[n] is s for s in GATES for n in (s.name, *s.aliases))


@rows
def test_every_name_is_a_method_of_circuit(spec):
    for name in (spec.name, *spec.aliases):
        assert getattr(kg.Circuit, name).__doc__.startswith(spec.doc)


def test_page_in_docs_is_the_generated_one():
    page = Path(__file__).parents[1] / "docs" / "gates.md"
    assert page.read_text() == reference_page(), "run: python -m ketgrad.gate_reference > docs/gates.md"


# derived facts against brute force


@fixed_rows
def test_flags_hold_for_random_angles(spec, rng):
    matrices = [golden(spec.name, tuple(rng.uniform(-7, 7, len(spec.params)))) for _ in range(5)]
    off_diagonal = max(np.abs(m - np.diag(np.diag(m))).max() for m in matrices)
    assert spec.is_diagonal == (off_diagonal < 1e-12)
    assert spec.is_permutation == all(np.allclose(np.sort(np.abs(m), axis=0)[-1], 1) for m in matrices)
    assert spec.is_self_inverse == all(np.allclose(m @ m, np.eye(len(m))) for m in matrices)


@parameters
def test_derivative_and_generator(spec, param, rng):
    params = list(rng.uniform(-7, 7, len(spec.params)))
    where, step = spec.params.index(param), 1e-6
    up, down = list(params), list(params)
    up[where] += step
    down[where] -= step
    difference = (golden(spec.name, tuple(up)) - golden(spec.name, tuple(down))) / (2 * step)
    np.testing.assert_allclose(spec.derivative(param, *params), difference, atol=1e-8)
    g = spec.generator(param)
    np.testing.assert_allclose(g, g.conj().T, atol=1e-12)
    np.testing.assert_allclose(spec.spectrum(param), np.unique(np.linalg.eigvalsh(g).round(9)), atol=1e-9)


@pytest.mark.parametrize("spec", [s for s in FIXED if len(s.params) == 1], ids=lambda s: s.name)
def test_one_parameter_rows_are_the_exponential_of_their_generator(spec, rng):
    """U(t) = U(0) exp(-i t G), the exponential by eigenvalues."""
    energies, vectors = np.linalg.eigh(spec.generator(spec.params[0]))
    start = golden(spec.name, (0.0,))
    for t in rng.uniform(-7, 7, 3):
        exponential = vectors @ np.diag(np.exp(-1j * t * energies)) @ vectors.conj().T
        np.testing.assert_allclose(start @ exponential, golden(spec.name, (t,)), atol=1e-12)


@parameters
def test_frequencies_are_those_of_the_fourier_spectrum(spec, param, rng):
    """f(t) = <O> of a random state sampled over 8 pi: which multiples of 1/4 occur."""
    dimension, samples = 2**spec.wires, 64
    where = spec.params.index(param)
    params = rng.uniform(-3, 3, len(spec.params))
    psi, o = reference.random_state(spec.wires, rng), reference.random_hermitian(spec.wires, rng)
    values = []
    for t in np.arange(samples) * 8 * np.pi / samples:
        params[where] = t
        values.append(reference.expectation(golden(spec.name, tuple(params)) @ psi, o))
    amplitude = np.abs(np.fft.rfft(values)) / samples
    found = {float(f) / 4 for f in np.flatnonzero(amplitude > 1e-9) if f}
    assert found == set(spec.frequencies(param)), (dimension, found)


def test_a_row_that_cannot_be_right_is_refused():
    from ketgrad.factors import Angle, Dense, Rot

    with pytest.raises(CircuitError, match="does not span"):
        GateSpec("bad", "", 1, ("theta",), body=(Rot("XX", Angle("theta")),))
    with pytest.raises(CircuitError, match="not a unitary"):
        GateSpec("bad", "", 1, body=(Dense(np.ones((2, 2))),))
    with pytest.raises(CircuitError, match="declared"):
        GateSpec("bad", "", 1, ("theta", "phi"), body=(Rot("X", Angle("theta")),))
    with pytest.raises(CircuitError, match="takes 1 parameters"):
        BY_NAME["rx"].matrix()
    with pytest.raises(CircuitError, match="any number"):
        BY_NAME["multi_rz"].matrix(0.1)


# the lowered program of every row, through every backend and instruction set


def observables(n: int) -> tuple[list[kg.PauliSum], list[np.ndarray]]:
    """Three words that see every wire in every basis, and a projector."""
    words = ["".join("XYZ"[(q + s) % 3] for q in range(n)) for s in range(3)]
    ours = [kg.PauliSum.from_words([(1.0, w)]) for w in words] + [kg.Projector("10", (n - 1, 0))]
    theirs = [reference.word(n, dict(enumerate(w))) for w in words] + [reference.projector(n, "10", (n - 1, 0))]
    return ours, theirs


def placements(n: int, k: int, max_controls: int) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Every order of k of n wires; for each, no further control and every value of 1 .. max_controls others."""
    out = []
    for own in itertools.permutations(range(n), k):
        rest = [w for w in range(n) if w not in own]
        out.append((own, (), ()))
        for c in range(1, min(len(rest), max_controls) + 1):
            out += [(own, tuple(rest[-c:]), values) for values in itertools.product((0, 1), repeat=c)]
    return out


@dataclass(frozen=True, eq=False)
class Case:
    """One placement of a row on a random state, and what the oracle says."""

    op: Op
    psi: np.ndarray
    state: np.ndarray
    values: list[float]


@cache  # shared by the engines and dtypes: the oracle is what takes the time
def cases(spec: GateSpec) -> list[Case]:
    rng, out = np.random.default_rng(7), []
    for k in sizes(spec) if spec.wires is not None else [1, 2, 3]:
        n = min(5, max(3, k + 2))
        psi = reference.random_state(n, rng)
        operators = observables(n)[1]
        for turn, (own, controls, values) in enumerate(placements(n, k, 2)):
            params, extra = arguments(spec, k, rng)
            op = Op(spec.name, params, own, controls, values, turn % 3 == 2, extra)
            state = reference.op_matrix(op, n) @ psi
            out.append(Case(op, psi, state, [reference.expectation(state, o) for o in operators]))
    return out


def append(circuit: kg.Circuit, op: Op, angles: Sequence[object] | None = None) -> None:
    circuit.append(
        op.name,
        op.params if angles is None else list(angles),
        op.wires,
        controls=op.controls,
        control_values=op.values,
        inverse=op.inverse,
        extra=op.extra,
    )


@rows
def test_program_equals_oracle_for_every_wire_order_and_control(spec, engine, precision: Precision):
    for case in cases(spec):
        n = len(case.psi).bit_length() - 1
        circuit = kg.Circuit(n).prepare(case.psi)
        append(circuit, case.op)
        model = kg.compile(circuit, observables(n)[0], dtype=precision.dtype, backend=engine)
        state = model.state()
        assert state.dtype == precision.dtype
        np.testing.assert_allclose(state, case.state, atol=precision.atol, err_msg=str(case.op))
        np.testing.assert_allclose(model(), case.values, atol=4 * precision.atol, err_msg=str(case.op))


N = 9
WORDS = ["".join("XYZ"[(q + s) % 3] for q in range(N)) for s in range(3)]


def start(circuit: kg.Circuit, x: np.ndarray) -> None:
    """A different entangled state for each sample."""
    for q in range(N):
        circuit.ry(x[q], q).rz(x[q] + 0.5, q)
    for q in range(N - 1):
        circuit.cx(q, q + 1)


@cache
def nine_wires(spec: GateSpec, batch: int) -> tuple[np.ndarray, list[Op], np.ndarray, np.ndarray]:
    """Inputs (batch, N + angles), placements of the row one after another, and the oracle's states and values."""
    rng = np.random.default_rng(11)
    k = spec.wires if spec.wires is not None else 3
    inputs = rng.uniform(-3, 3, (batch, N + len(spec.params)))
    ops = []
    for turn in range(24 if k > 1 else 2 * N):
        order = [int(w) for w in rng.permutation(N)]
        if k == 1:
            order = [turn % N, *(w for w in order if w != turn % N)]
        controls = tuple(order[k : k + turn % 3])
        values = tuple(int(v) for v in rng.integers(0, 2, len(controls)))
        ops.append(
            Op(spec.name, (), tuple(order[:k]), controls, values, False, reference.random_extra(spec.extra, k, rng))
        )
    states, expected = [], np.zeros((batch, len(WORDS)))
    for b, row in enumerate(inputs):
        psi = reference.zero_state(N)
        for q in range(N):
            psi = reference.apply(psi, golden("rz", (row[q] + 0.5,)) @ golden("ry", (row[q],)), (q,))
        for q in range(N - 1):
            psi = reference.apply(psi, golden("cx"), (q, q + 1))
        for op in ops:
            psi = reference.apply_op(psi, replace(op, params=tuple(row[N:])))
        states.append(psi)
        for m, word in enumerate(WORDS):
            moved = psi
            for q, letter in enumerate(word):
                moved = reference.apply(moved, golden(letter.lower()), (q,))
            expected[b, m] = np.vdot(psi, moved).real
    return inputs, ops, np.array(states), expected


@rows
@pytest.mark.parametrize("batch", [1, 5])
def test_program_equals_oracle_on_nine_wires(spec, engine, precision: Precision, batch):
    """Every bit a kernel may treat apart (low ones within a vector, high ones), in batches, angles per sample."""
    inputs, ops, states, expected = nine_wires(spec, batch)
    circuit = kg.Circuit(N)
    x = circuit.inputs(N + len(spec.params))
    start(circuit, x)
    for op in ops:
        append(circuit, op, x[N:])
    observables = [kg.PauliSum.from_words([(1.0, w)]) for w in WORDS]
    model = kg.compile(circuit, observables, dtype=precision.dtype, backend=engine)
    np.testing.assert_allclose(model.state(None, inputs), states, atol=precision.atol)
    np.testing.assert_allclose(model(None, inputs), expected, atol=4 * precision.atol)
