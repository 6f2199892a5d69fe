"""Shifted circuits: exact values and drawn outcomes are those of the circuits themselves, however they are run."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import reference
import strategies
from conftest import BACKENDS, NATIVE, Precision
from hypothesis import given
from hypothesis import strategies as st
from strategies import recipes

import ketgrad as kg
from ketgrad.backends import get_backend, shifted
from ketgrad.backends.shifted import RowShifts, Setting
from ketgrad.errors import NotDifferentiableError, OutOfMemoryError, ParameterError
from ketgrad.gradients import shifted_shots
from ketgrad.gradients.parameter_shift import ShiftedBatch
from ketgrad.lowering import Lowered, lower
from ketgrad.program import INSTRUCTION, TERM, Opcode, Program
from ketgrad.shift_rules import differences, node_shifts, node_weights
from ketgrad.simulator import measurement_settings

seeds = st.integers(0, 2**32 - 1)


def lowered_recipe(recipe: strategies.Recipe, rng: np.random.Generator) -> Lowered:
    words = ["".join(rng.choice(list("IXYZ"), size=recipe.n)) for _ in range(4)]
    observables = [kg.PauliSum.from_words([(float(rng.normal()), word)]) for word in words]
    return lower(recipe.circuit(), [*observables, kg.Projector("1", (recipe.n - 1,))])


def batch_of(program: Program) -> ShiftedBatch | None:
    """Its rule, or None where a random diagonal has too many values for one."""
    try:
        return ShiftedBatch(program)
    except NotDifferentiableError:
        return None


# the mathematics


@given(count=st.integers(2, 7), seed=seeds)
def test_shifted_states_are_sums_of_those_at_the_nodes(count, seed):
    """For generators with equidistant eigenvalues in any basis."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-2, 2) + rng.uniform(0.1, 2) * np.arange(count)
    basis = np.linalg.qr(rng.normal(size=(9, 9)) + 1j * rng.normal(size=(9, 9)))[0]
    spectrum = rng.choice(values, size=9)
    psi = rng.normal(size=9) + 1j * rng.normal(size=9)

    def at(shift: float) -> np.ndarray:
        return basis @ (np.exp(1j * shift * spectrum) * (basis.conj().T @ psi))

    nodes, wanted = node_shifts(values), rng.uniform(-7, 7, size=5)
    states = np.array([psi, *(at(t) for t in nodes)])
    np.testing.assert_allclose(node_weights(values, wanted) @ states, [at(s) for s in wanted], atol=1e-11)


def test_weights_of_a_rotation_are_cosine_and_sine():
    s = np.linspace(-4, 4, 9)
    np.testing.assert_allclose(node_shifts((-0.5, 0.5)), [np.pi])
    np.testing.assert_allclose(node_weights((-0.5, 0.5), s), np.stack([np.cos(s / 2), np.sin(s / 2)], 1), atol=1e-15)


def test_generators_without_nodes():
    assert node_shifts((1.0,)) is None and node_shifts((0.0, 1.0, 2.5)) is None
    assert differences((1.0,)) == () and differences((-0.5, 0.0, 0.5)) == (0.5, 1.0)


# exact values


@given(recipe=recipes(max_wires=5, max_length=14), seed=seeds)
def test_values_are_those_of_the_shifted_circuits(backend, recipe, seed):
    """Random programs of all opcodes, batches, any shift of every instruction: against one circuit at a time."""
    rng = np.random.default_rng(seed)
    lowered = lowered_recipe(recipe, rng)
    program, batch = lowered.program, batch_of(lowered.program)
    if batch is None or not len(batch):
        return
    batch.shift = batch.shift + rng.uniform(-1, 1, len(batch))  # no rule's shifts in particular
    weights, inputs = recipe.arguments(rng, int(rng.choice([1, 2, 5, 19])))
    slots = lowered.stage.evaluate(weights, inputs)
    engine = get_backend(backend)
    found = engine.prepare_shifts(program).values(*slots, batch.rows)
    assert found.shape == (len(inputs), len(batch), len(program.terms))
    for k in rng.permutation(len(batch))[:6]:
        moved = program.instructions.copy()
        moved["offset"][program.parametrised[batch.instruction[k]]] += batch.shift[k]
        one = engine.prepare(replace(program, instructions=moved)).forward(*slots)[0]
        np.testing.assert_allclose(found[:, k], one, atol=1e-12)


@pytest.mark.parametrize("n", [3, 7, 11])
def test_every_instruction_set_gives_the_same_values(engine, precision: Precision, n, rng):
    """Runs of gates on one qubit, controls, pair rotations, matrices, tables, per-sample angles, a prepared state."""
    circuit = kg.Circuit(n).prepare(reference.random_state(2, rng), (n - 1, 0))
    w, x = circuit.weights(5), circuit.inputs(2)
    for q in range(n):
        circuit.h(q).rz(w[0], q).ry(x[0] * w[1], q).p(x[1], q).sx(q)
    circuit.cx(0, 1).crx(w[1], 0, n - 1).single_excitation(w[2], 1, 2).rxx(x[0], 0, 2).swap(0, 1).iswap(1, 2)
    circuit.exp_diagonal(w[3], [0.5, -1.0, 0.5, 2.0], 0, 1).exp_diagonal(x[1], [0.0, 1.0, 2.0, 1.0], 2, 0)
    circuit.unitary(reference.random_unitary(2, rng), 2, 0).ccx(0, 1, 2).cp(w[4], 1, 2)
    model = kg.compile(
        circuit, [kg.Z(0), kg.X(1) @ kg.Y(2), kg.Projector("01", (0, 2))], dtype=precision.dtype, backend=engine
    )
    weights, inputs = rng.uniform(-3, 3, 5), rng.uniform(-3, 3, (3, 2))
    exact, shifted_ = (model.jacobian(weights, inputs, method=m) for m in ("adjoint", "parameter-shift"))
    atol = 1e-11 if precision.dtype == "complex128" else 1e-4
    np.testing.assert_allclose(shifted_.weights, exact.weights, atol=atol)
    np.testing.assert_allclose(shifted_.inputs, exact.inputs, atol=atol)


def test_many_samples_and_many_observables(backend, rng):
    """More samples than are in work at once; a sample's gradient does not depend on its neighbours."""
    circuit = kg.Circuit(2)
    w, x = circuit.weights(2), circuit.inputs(2)
    circuit.rx(x[0], 0).crz(w[0], 0, 1).ry(w[1] + x[1], 1).cx(0, 1)
    model = kg.compile(circuit, [kg.Z(0), kg.X(1), kg.Y(0) @ kg.Y(1)], backend=backend)
    weights, inputs = rng.uniform(-3, 3, 2), rng.uniform(-3, 3, (700, 2))
    exact, found = (model.jacobian(weights, inputs, method=m) for m in ("adjoint", "parameter-shift"))
    np.testing.assert_allclose(found.weights, exact.weights, atol=1e-12)
    np.testing.assert_allclose(found.inputs, exact.inputs, atol=1e-12)
    one = model.jacobian(weights, inputs[333], method="parameter-shift")
    np.testing.assert_allclose(one.weights, found.weights[333], atol=1e-13)


# drawn outcomes


@given(recipe=recipes(max_wires=5, max_length=12), seed=seeds)
def test_outcomes_are_those_of_the_shifted_circuits(backend, recipe, seed):
    """The same uniform numbers give the outcomes that they give for the state of each circuit, in every setting."""
    rng = np.random.default_rng(seed)
    lowered = lowered_recipe(recipe, rng)
    program, batch = lowered.program, batch_of(lowered.program)
    settings = measurement_settings(lowered.readout, program.n_bits)
    if batch is None or not len(batch) or not settings:
        return
    weights, inputs = recipe.arguments(rng, int(rng.choice([1, 3, 9])))
    slots = lowered.stage.evaluate(weights, inputs)
    shots = rng.integers(1, 40, (len(inputs), len(batch), len(settings)))
    uniforms = rng.random(shots.sum())
    engine = get_backend(backend)
    mean, variance = engine.prepare_shifts(program).moments(*slots, batch.rows, settings, shots, uniforms)
    starts = np.cumsum(np.r_[0, shots.ravel()])[:-1].reshape(shots.shape)
    for k in rng.permutation(len(batch))[:3]:
        moved = program.instructions.copy()
        moved["offset"][program.parametrised[batch.instruction[k]]] += batch.shift[k]
        states = engine.prepare(replace(program, instructions=moved, terms=program.terms[:0])).states(*slots)
        for b in range(len(inputs)):
            column = 0
            for g, setting in enumerate(settings):
                own = uniforms[starts[b, k, g] :][: shots[b, k, g]]
                values = setting.values(engine.sample(setting.turned(states[b : b + 1]), own[None], setting.bits)[0])
                here = slice(column, column := column + len(values))
                np.testing.assert_allclose(mean[b, k, here], values.mean(axis=1), atol=1e-12)
                spread = values.var(axis=1, ddof=1) if len(own) > 1 else np.zeros(len(values))
                np.testing.assert_allclose(variance[b, k, here], spread, atol=1e-12)


def mixed_model(backend: str, n: int = 4, dtype: str = "complex128") -> tuple[kg.Model, np.ndarray, np.ndarray]:
    circuit = kg.Circuit(n)
    w, x = circuit.weights((2, n)), circuit.inputs(2)
    for layer in range(2):
        for q in range(n):
            circuit.ry(x[q % 2] + w[layer, q], q).rz(0.3 * q, q)
        for q in range(n):
            circuit.crx(w[layer, q], q, (q + 1) % n)
    observables = [kg.Z(0), 0.5 * kg.X(1) @ kg.Y(2) - 0.3 * kg.Z(1), kg.Projector("10", (2, 0)) + kg.I()]
    rng = np.random.default_rng(8)
    model = kg.compile(circuit, observables, dtype=dtype, backend=backend)
    return model, rng.uniform(-3, 3, (2, n)), rng.uniform(-3, 3, (3, 2))


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs two backends")
@pytest.mark.parametrize("allocation", ["uniform", "variance"])
def test_backends_draw_the_same(allocation):
    found = []
    for backend in BACKENDS:
        model, weights, inputs = mixed_model(backend)
        found.append(model.jacobian(weights, inputs, shots=30, seed=5, allocation=allocation))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("allocation", ["uniform", "variance"])
def test_draws_do_not_depend_on_chunks(backend, allocation, monkeypatch):
    """Whole samples at once, one sample, some rows of one, a row by itself."""
    model, weights, inputs = mixed_model(backend)
    whole = model.jacobian(weights, inputs, shots=20, seed=5, allocation=allocation)
    for size in (1, 700, 5000):
        with monkeypatch.context() as patch:
            patch.setattr(shifted_shots, "CHUNK_SHOTS", size)
            patch.setattr(shifted, "CHUNK_BYTES", 1 << 10)
            parts = model.jacobian(weights, inputs, shots=20, seed=5, allocation=allocation)
        for a, b in zip(whole, parts, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-13)


@pytest.mark.parametrize(("n", "batch"), [(4, 3), (4, 90), (9, 1)])
def test_same_bits_for_any_number_of_threads(backend, precision: Precision, n, batch, threads):
    model, weights, inputs = mixed_model(backend, n, precision.dtype)
    inputs = np.resize(inputs, (batch, 2))
    found = []
    for count in (1, 2, 5):
        kg.set_num_threads(count)
        exact = model.jacobian(weights, inputs, method="parameter-shift")
        found.append([*exact[:2], *model.jacobian(weights, inputs, shots=10, seed=3)])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_few_and_many_shots_on_many_outcomes(backend, rng):
    """A table of counts, or a list of outcomes: the same moments; and the same as from the values of each shot."""
    model, weights, inputs = mixed_model(backend, 10)
    lowered, batch = model._lowered, ShiftedBatch(model._lowered.program)
    setting = Setting(tuple((b, "Z") for b in range(9, -1, -1)), ((0, ((0.5, 513, 0, 0), (2.0, 0, 6, 2))),))
    rows, slots = batch.rows.some(slice(0, 2)), lowered.stage.evaluate(weights.ravel(), inputs[:1])
    plan, uniforms = get_backend(backend).prepare_shifts(lowered.program), rng.random(3000)
    few = np.array([[[40], [60]]])
    many = np.array([[[1400], [1600]]])
    for shots in (few, many):
        mean, variance = plan.moments(*slots, rows, [setting], shots, uniforms[: shots.sum()])
        other = RowShifts(get_backend(BACKENDS[-1]), lowered.program, np.dtype(complex))
        wanted = other.moments(*slots, rows, [setting], shots, uniforms[: shots.sum()])
        np.testing.assert_allclose(mean, wanted[0], atol=1e-12)
        np.testing.assert_allclose(variance, wanted[1], atol=1e-11)


# what cannot be


def test_wrong_shots_are_refused(backend):
    model, weights, inputs = mixed_model(backend)
    lowered, batch = model._lowered, ShiftedBatch(model._lowered.program)
    plan = get_backend(backend).prepare_shifts(lowered.program)
    settings = measurement_settings(lowered.readout, 4)
    slots = lowered.stage.evaluate(weights.ravel(), inputs)
    shape = (3, len(batch), len(settings))
    for shots, uniforms in (
        (np.ones(shape[:2], dtype=np.int64), np.zeros(9)),
        (np.zeros(shape, dtype=np.int64), np.zeros(0)),
        (np.ones(shape, dtype=np.int64), np.zeros(1)),
    ):
        with pytest.raises(ParameterError, match="shots|uniforms"):
            plan.moments(*slots, batch.rows, settings, shots, uniforms)


def test_too_many_shots_are_refused_before_they_are_drawn(backend, monkeypatch):
    monkeypatch.setenv("KETGRAD_MAX_MEMORY", str(256 << 20))
    model, weights, inputs = mixed_model(backend)
    with pytest.raises(OutOfMemoryError, match="shots"):
        model.jacobian(weights, inputs, shots=10**9)


@pytest.mark.parametrize("allocation", ["uniform", "variance"])
def test_estimates_that_do_not_fit_are_refused_before_memory_is_asked_for(backend, allocation, monkeypatch):
    limit = 64 << 20
    monkeypatch.setenv("KETGRAD_MAX_MEMORY", str(limit))
    model, weights, inputs = mixed_model(backend)
    many = np.zeros((100_000, inputs.shape[1]))
    tracemalloc.start()
    try:
        with pytest.raises(OutOfMemoryError, match="estimates of all shifted circuits"):
            model.jacobian(weights, many, shots=10, allocation=allocation)
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not NATIVE, reason="needs the native core")
@pytest.mark.parametrize(
    "wrong",
    [{0: [5]}, {0: [1]}, {0: [-1]}, {1: [3]}, {1: [0]}, {1: []}, {2: [[0.0]]}, {3: [1]}, {3: [-1]}, {4: [[1j, 0.0]]}],
    ids=str,
)
def test_the_binding_refuses_what_the_engine_cannot_run(wrong):
    from ketgrad import _core

    rows = np.zeros(2, dtype=INSTRUCTION)
    rows["opcode"], rows["x_mask"], rows["slot"], rows["scale"] = Opcode.PAULI_ROT, 1, [0, -1], 1.0
    terms = np.zeros(1, dtype=TERM)
    terms["z_mask"] = 1
    plan = _core.ShiftPlan(rows, np.zeros(0), terms, 2, 1, 0, True)
    parts = [np.array([0]), np.array([1]), np.array([[np.pi, 0.0]]), np.array([0]), np.array([[0, 1, 0]], complex)]
    slots = (np.array([0.4]), np.zeros((1, 0)))
    np.testing.assert_allclose(plan.values(*slots, *parts), [[[-np.cos(0.4)]]], atol=1e-15)
    table = np.array([[1.0, -1.0]])
    mean, _ = plan.moments(*slots, *parts, [(0, 0, 1, table)], np.array([[[1]]]), np.array([0.999]))
    assert mean == -1.0 or mean == 1.0
    for settings, shots, uniforms in (
        ([(0, 0, 4, table)], [[[1]]], [0.5]),
        ([(1, 1, 1, table)], [[[1]]], [0.5]),
        ([(0, 0, 3, table)], [[[1]]], [0.5]),
        ([(0, 0, 1, table)], [[[2]]], [0.5]),
        ([(0, 0, 1, table)], [[[0]]], []),
        ([(0, 0, 1, table)], [[1]], [0.5]),
    ):
        with pytest.raises(ValueError):
            plan.moments(*slots, *parts, settings, np.array(shots, dtype=np.int64), np.array(uniforms, dtype=float))
    for index, value in wrong.items():
        parts[index] = np.array(value, dtype=parts[index].dtype)
    with pytest.raises(ValueError):
        plan.values(*slots, *parts)
    with pytest.raises(ValueError, match="13 qubits"):
        _core.ShiftPlan(rows, np.zeros(0), terms, 14, 1, 0, True)
