"""Many weight vectors in one batch, Hessians and metric tensors: against differences, the oracle, PennyLane, paper."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import reference
import strategies
from hypothesis import given
from hypothesis import strategies as st

import ketgrad as kg
from ketgrad import curved, errors
from ketgrad.gradients import metric

EPS = 1e-6


def drawn(seed: int, n: int = 3, batch: int = 2) -> tuple[strategies.Recipe, list[kg.PauliSum], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    recipe = strategies.random_recipe(rng, n, 8, 3, 2)
    observables = [strategies.random_observable(rng, n)[0] for _ in range(2)]
    return recipe, observables, *recipe.arguments(rng, batch)


def layered(n: int = 3, layers: int = 2) -> kg.Circuit:
    circuit = kg.Circuit(n)
    w = circuit.weights((layers, n, 2))
    for layer in range(layers):
        for q in range(n):
            circuit.ry(w[layer, q, 0], q).rz(w[layer, q, 1], q)
        for q in range(n - 1):
            circuit.cnot(q, q + 1)
    return circuit


# many weight vectors


@given(seed=st.integers(0, 2**32 - 1))
def test_weights_as_inputs(backend: str, seed: int):
    recipe, observables, w, x = drawn(seed)
    model = kg.compile(recipe.circuit(), observables, backend=backend)
    free = model.weights_as_inputs()
    rows = np.array([np.r_[w + shift, row] for shift in (0.0, 0.7) for row in x])
    wanted = np.concatenate([model(w + shift, x) for shift in (0.0, 0.7)])
    assert (free.n_weights, free.n_inputs) == (0, model.n_weights + model.n_inputs)
    np.testing.assert_allclose(free(None, rows), wanted, rtol=0, atol=1e-12)
    cotangents = np.random.default_rng(seed).normal(size=(2, 2))
    one = model.forward(w, x)[1](cotangents)
    many = free.forward(None, rows[:2])[1](cotangents).inputs
    np.testing.assert_allclose(many[:, :3].sum(axis=0), one.weights, rtol=0, atol=1e-10)
    np.testing.assert_allclose(many[:, 3:], one.inputs, rtol=0, atol=1e-10)


def test_weights_as_inputs_keeps_names_and_the_prepared_state():
    circuit = kg.Circuit(2)
    circuit.prepare([0, 1, 0, 0])
    x, a, w = circuit.inputs(1), circuit.parameter("a"), circuit.weights((1, 2), name="b")
    circuit.rx(a * x[0], 0).ry(w[0, 1], 1)
    model = kg.compile(circuit, kg.Z(1))
    free = model.weights_as_inputs()
    assert free.circuit.parameter_names("x") == ["a", "b[0, 0]", "b[0, 1]", "x[0]"]
    assert free.weights_as_inputs().n_inputs == 4 and model.weights_as_inputs() is free
    np.testing.assert_allclose(free(None, [0.1, 0.2, 0.3, 0.4]), model([0.1, 0.2, 0.3], [0.4]), atol=1e-14)
    assert model.circuit.n_weights == 3  # the model's own circuit is as it was
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_allclose(twin.hessian([1, 2, 3], [4]), model.hessian([1, 2, 3], [4]), atol=1e-14)


# Hessians


@given(seed=st.integers(0, 2**32 - 1), batched=st.booleans())
def test_hessian_is_the_difference_of_gradients(backend: str, seed: int, batched: bool):
    recipe, observables, w, x = drawn(seed)
    x = x if batched else x[0]
    model = kg.compile(recipe.circuit(), observables, backend=backend)
    cotangents = np.random.default_rng(seed).normal(size=(2, 2) if batched else 2)
    found = model.hessian(w, x, cotangents=cotangents)
    gradients = [
        [model.forward(w + s * EPS * e, x)[1](cotangents).weights for s in (1, -1)] for e in np.eye(3)
    ]  # (3, 2, 3)
    wanted = np.array([(a - b) / (2 * EPS) for a, b in gradients])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * (1 + np.abs(wanted).max()))
    assert np.array_equal(found, found.T)
    along = np.array([0.3, -1.0, 0.5])
    product = model.gradient_change(w, x, along, np.zeros_like(x), cotangents=cotangents).weights
    np.testing.assert_allclose(found @ along, product, rtol=0, atol=1e-9 * (1 + np.abs(wanted).max()))


def test_hessian_is_parameter_shift_twice(backend, precision, monkeypatch):
    """Four values for each entry, as on hardware; and the same in pieces."""
    model = kg.compile(layered(), 0.5 * kg.Z(0) @ kg.X(2) + kg.Y(1), dtype=precision.dtype, backend=backend)
    w = np.random.default_rng(3).normal(size=12)
    half = np.pi / 2 * np.eye(12)
    rows = [w + s * half[i] + t * half[j] for i in range(12) for j in range(12) for s in (1, -1) for t in (1, -1)]
    values = model.weights_as_inputs()(None, rows).reshape(12, 12, 4)
    wanted = (values @ [1, -1, -1, 1]) / 4
    np.testing.assert_allclose(model.hessian(w.reshape(2, 3, 2)), wanted, rtol=0, atol=10 * precision.atol)
    monkeypatch.setattr(curved, "CHUNK_ENTRIES", 40)
    np.testing.assert_allclose(model.hessian(w), wanted, rtol=0, atol=10 * precision.atol)


def test_hessian_sums_over_samples_and_values(backend):
    recipe, observables, w, x = drawn(5)
    model = kg.compile(recipe.circuit(), observables, backend=backend)
    single = sum(model.hessian(w, row, cotangents=c) for row in x for c in np.eye(2))
    np.testing.assert_allclose(model.hessian(w, x), single, rtol=0, atol=1e-11)


# metric tensors


@given(seed=st.integers(0, 2**32 - 1))
def test_metric_tensor_against_the_oracle(backend: str, seed: int):
    recipe, _, w, x = drawn(seed)
    model = kg.compile(recipe.circuit(), backend=backend)
    step = 1e-5
    found = model.metric_tensor(w, x)
    for row, one in zip(x, found, strict=True):
        psi = reference.run(recipe.n, recipe.ops(w, row))
        shifted = [[reference.run(recipe.n, recipe.ops(w + s * step * e, row)) for s in (1, -1)] for e in np.eye(3)]
        tangents = np.array([(a - b) / (2 * step) for a, b in shifted])
        along = tangents.conj() @ psi
        wanted = (tangents.conj() @ tangents.T - np.outer(along, along.conj())).real
        np.testing.assert_allclose(one, wanted, rtol=0, atol=1e-7 * (1 + np.abs(wanted).max()))
        np.testing.assert_allclose(model.metric_tensor(w, row), one, rtol=0, atol=1e-10)
    diagonal = model.metric_tensor(w, x, approx="diag")
    np.testing.assert_allclose(diagonal, found * np.eye(3), rtol=0, atol=1e-10)


def test_metric_of_one_rotation(backend):
    circuit = kg.Circuit(1)
    circuit.ry(circuit.weights(1)[0], 0)
    np.testing.assert_allclose(kg.compile(circuit, backend=backend).metric_tensor([0.7]), [[0.25]], atol=1e-15)


def two_qubits() -> kg.Circuit:
    circuit = kg.Circuit(2)
    w = circuit.weights(4)
    return circuit.rx(w[0], 0).rx(w[1], 1).cnot(0, 1).rz(w[2], 0).rz(w[3], 1)


def test_metric_of_pennylanes_example(backend):
    found = kg.compile(two_qubits(), backend=backend).metric_tensor([0.1, 0.2, 0.4, 0.5])
    np.testing.assert_allclose(found[:2, :2], np.diag([0.25, 0.25]), atol=1e-15)
    np.testing.assert_allclose(found[2:, 2:], [[0.0025, 0.0024], [0.0024, 0.0123]], atol=5e-5)


def test_metric_is_pennylanes():
    qml = pytest.importorskip("pennylane")
    n, w = 3, np.random.default_rng(1).normal(size=(2, 3, 2))

    @qml.qnode(qml.device("default.qubit", wires=n + 1))
    def node(w):
        for layer in range(2):
            for q in range(n):
                qml.RY(w[layer, q, 0], q)
                qml.RZ(w[layer, q, 1], q)
            for q in range(n - 1):
                qml.CNOT([q, q + 1])
        return qml.expval(qml.Z(0))

    model = kg.compile(layered())
    trained = qml.numpy.array(w, requires_grad=True)
    wanted = np.array(qml.metric_tensor(node)(trained)).reshape(12, 12)
    np.testing.assert_allclose(model.metric_tensor(w), wanted, rtol=0, atol=1e-10)
    diagonal = np.array(qml.metric_tensor(node, approx="diag")(trained)).reshape(12, 12)
    np.testing.assert_allclose(model.metric_tensor(w, approx="diag"), diagonal, rtol=0, atol=1e-10)
    fisher = np.array(qml.gradients.quantum_fisher(node)(trained)).reshape(12, 12)
    np.testing.assert_allclose(4 * model.metric_tensor(w), fisher, rtol=0, atol=1e-10)


@pytest.mark.parametrize("states", [1, 3, 7, 24])
def test_metric_in_pieces(backend, precision, states, monkeypatch):
    circuit = layered()
    x = circuit.inputs(1)
    circuit.rx(x[0] * 0.5, 0)
    model = kg.compile(circuit, dtype=precision.dtype, backend=backend)
    w, inputs = np.random.default_rng(4).normal(size=12), [[0.1], [0.9], [2.0]]
    whole, diagonal = model.metric_tensor(w, inputs), model.metric_tensor(w, inputs, approx="diag")
    monkeypatch.setattr(metric, "CHUNK_BYTES", states * 8 * np.dtype(precision.dtype).itemsize)
    np.testing.assert_allclose(model.metric_tensor(w, inputs), whole, rtol=0, atol=precision.atol)
    np.testing.assert_allclose(model.metric_tensor(w, inputs, approx="diag"), diagonal, rtol=0, atol=precision.atol)


def test_a_weight_in_many_gates_and_one_in_none(backend):
    circuit = kg.Circuit(2)
    w = circuit.weights(3)
    circuit.rx(w[0], 0).rx(w[0], 1).rx(2 * w[1] + w[0], 0).crz(w[1], 0, 1)
    model = kg.compile(circuit, kg.Z(0) + kg.Y(1), backend=backend)
    found, curvature = model.metric_tensor([0.3, 0.5, 0.7]), model.hessian([0.3, 0.5, 0.7])
    assert np.abs(found[:2, :2]).min() > 0.05 and not found[2].any() and not curvature[2].any()


def test_what_is_refused():
    model = kg.compile(layered(), kg.Z(0))
    w = np.zeros(12)
    with pytest.raises(errors.ArgumentError, match="'block-diag'; blocks save nothing"):
        model.metric_tensor(w, approx="block-diag")
    with pytest.raises(errors.ParameterError, match="12 weights, got 3"):
        model.hessian(w[:3])
    with pytest.raises(errors.ParameterError, match="cotangents"):
        model.hessian(w, cotangents=[1.0, 2.0])


def test_memory_is_checked_first(monkeypatch):
    monkeypatch.setenv("KETGRAD_MAX_MEMORY", str(100 << 20))
    circuit = kg.Circuit(20)
    w = circuit.weights(2)
    model = kg.compile(circuit.ry(w[0], 0).ry(w[1], 1), kg.Z(0))
    with pytest.raises(errors.OutOfMemoryError, match="20 qubits"):
        model.metric_tensor([0.1, 0.2])
