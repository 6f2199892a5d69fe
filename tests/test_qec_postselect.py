"""Expectation values after post-selection, their gradients, and circuits of logical gates trained by them."""

from __future__ import annotations

import itertools
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import reference

import ketgrad as kg
from ketgrad import noise
from ketgrad.adam import Adam
from ketgrad.errors import ArgumentError, ArgumentTypeError, CircuitError, StateError
from ketgrad.qec import (
    EncodedCircuit,
    PostSelected,
    encoder,
    five_qubit,
    four_two_two,
    iceberg,
    parity_classifier,
    post_selected,
)

CODE = four_two_two()
OBSERVABLES = [CODE.logical("ZI"), CODE.logical("XY"), kg.X(0) + 0.5 * kg.I(), kg.Projector("10", [1, 4])]
BITS = np.pi * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
PARITY = np.array([[1.0], [-1.0], [-1.0], [1.0]])


def circuit(noisy: bool) -> kg.Circuit:
    """Code words that errors and an ancilla have left."""
    out = kg.Circuit(5)
    w, x = out.weights(3), out.inputs(2)
    out.extend(encoder(CODE))
    out.rx(0.3 * w[0] + x[0], 0).ry(w[1], 1).cx(1, 4).rz(w[2], 2)
    if noisy:
        out.channel(noise.depolarizing(0.05), 1).channel(noise.amplitude_damping(0.1), 3)
    return out.rxx(x[1] * w[0], 1, 3).cx(0, 4)


PROJECTOR = CODE.projector() @ kg.Projector("0", [4])
WEIGHTS, ALONG = np.array([0.3, 0.5, 0.7]), np.array([0.2, -0.3, 0.5])
INPUTS = np.random.default_rng(0).normal(size=(3, 2))


def dense(observable: kg.PauliSum, n: int) -> np.ndarray:
    out = np.zeros((2**n, 2**n), dtype=complex)
    for c, word, _ in observable.without_patterns().terms:
        out += c * reference.word(n, dict(word))
    return out


@pytest.fixture(scope="module", params=[False, True], ids=["pure", "noisy"])
def model(request) -> PostSelected:
    return post_selected(circuit(request.param), OBSERVABLES, projector=PROJECTOR)


def test_values_are_those_of_the_projected_state(backend):
    made = circuit(False)
    model = post_selected(made, OBSERVABLES, projector=PROJECTOR, backend=backend)
    p = dense(PROJECTOR, 5)
    for state, x in zip(kg.compile(made).state(WEIGHTS, INPUTS), INPUTS, strict=True):
        kept = p @ state
        odds = np.vdot(kept, kept).real
        assert model.acceptance(WEIGHTS, x) == pytest.approx(odds, abs=1e-12)
        wanted = [np.vdot(kept, dense(o, 5) @ kept).real / odds for o in OBSERVABLES]
        assert np.allclose(model(WEIGHTS, x), wanted, atol=1e-12)
    assert np.allclose(model.variance(WEIGHTS, INPUTS)[:, :1], 1 - model(WEIGHTS, INPUTS)[:, :1] ** 2)


def test_noisy_values_are_those_of_the_projected_density_matrix():
    made = circuit(True)
    model = post_selected(made, OBSERVABLES, projector=PROJECTOR)
    p, rho = dense(PROJECTOR, 5), kg.compile(made).density_matrix(WEIGHTS, INPUTS[0])
    odds = np.trace(p @ rho).real
    assert model.acceptance(WEIGHTS, INPUTS[0]) == pytest.approx(odds, abs=1e-12)
    wanted = [np.trace(dense(o, 5) @ p @ rho @ p).real / odds for o in OBSERVABLES]
    assert np.allclose(model(WEIGHTS, INPUTS[0]), wanted, atol=1e-12)


def test_gradients_are_those_of_the_quotient(model):
    values, pullback = model.forward(WEIGHTS, INPUTS)
    c, step = np.random.default_rng(1).normal(size=values.shape), 1e-5
    found = pullback(c)
    for k, e in enumerate(np.eye(3)):
        rise = ((model(WEIGHTS + step * e, INPUTS) - model(WEIGHTS - step * e, INPUTS)) * c).sum()
        assert found.weights[k] == pytest.approx(rise / (2 * step), abs=1e-8)
    for k, e in enumerate(np.eye(2)):
        rise = ((model(WEIGHTS, INPUTS + step * e) - model(WEIGHTS, INPUTS - step * e)) * c).sum(axis=1)
        assert np.allclose(found.inputs[:, k], rise / (2 * step), atol=1e-8)
    jac = model.jacobian(WEIGHTS, INPUTS)
    assert np.allclose(np.einsum("bm,bmp->p", c, jac.weights), found.weights, atol=1e-12)
    numeric = model.jacobian(WEIGHTS, INPUTS, method="finite-difference")
    assert np.allclose(numeric.weights, jac.weights, atol=1e-6)


def test_second_derivatives(model):
    c, dx, step = np.random.default_rng(2).normal(size=(3, 4)), np.ones((3, 2)), 1e-5
    found = model.gradient_change(WEIGHTS, INPUTS, ALONG, dx, cotangents=c)
    ahead, behind = (model.forward(WEIGHTS + s * ALONG, INPUTS + s * dx)[1](c) for s in (step, -step))
    assert np.allclose(found.weights, (ahead.weights - behind.weights) / (2 * step), atol=1e-7)
    assert np.allclose(found.inputs, (ahead.inputs - behind.inputs) / (2 * step), atol=1e-7)
    hessian = model.hessian(WEIGHTS, INPUTS, cotangents=c)
    only = model.gradient_change(WEIGHTS, INPUTS, ALONG, 0 * dx, cotangents=c)
    assert np.allclose(hessian @ ALONG, only.weights, atol=1e-10)


def test_gradient_of_initial_states():
    bare = kg.Circuit(2)
    bare.rxx(bare.weights(1)[0], 0, 1)
    model = post_selected(bare, kg.Z(0), projector=kg.Projector("0", [1]))
    start = np.array([0.5, 0.1j, -0.7, 0.4]) + 0j
    bra = model.forward([0.4], initial=start)[1]([1.0], to_initial=True).initial
    e, step = np.array([0.3, 0.2, -0.1j, 0.5j]), 1e-6
    rise = (model([0.4], initial=start + step * e) - model([0.4], initial=start - step * e))[0] / (2 * step)
    assert 2 * np.vdot(bra, e).real == pytest.approx(rise, abs=1e-8)


def test_a_mid_circuit_projection_is_post_selection_too():
    """Projecting an ancilla in the circuit, or its last state by the observable: the same, where nothing follows."""
    outside, inside = circuit(True), circuit(True)
    inside.channel(noise.projection(0), 4)
    a = post_selected(outside, OBSERVABLES[:2], projector=kg.Projector("0", [4]))
    b = post_selected(inside, OBSERVABLES[:2])
    assert np.allclose(a(WEIGHTS, INPUTS), b(WEIGHTS, INPUTS), atol=1e-12)
    assert np.allclose(a.acceptance(WEIGHTS, INPUTS), b.acceptance(WEIGHTS, INPUTS), atol=1e-12)
    ones = np.ones((3, 2))
    grads = [m.forward(WEIGHTS, INPUTS)[1](ones).weights for m in (a, b)]
    assert np.allclose(*grads, atol=1e-12)


def test_layers_of_frameworks(model):
    torch = pytest.importorskip("torch")
    layer = kg.torch.Layer(model, init=WEIGHTS, dtype=torch.float64)
    layer(torch.tensor(INPUTS)).sum().backward()
    wanted = model.forward(WEIGHTS, INPUTS)[1](np.ones((3, 4))).weights
    assert np.allclose(layer.w.grad, wanted, atol=1e-12)
    other = kg.torch.Layer(model._origin, init=WEIGHTS, dtype=torch.float64)
    assert not np.allclose(other(torch.tensor(INPUTS)).detach(), layer(torch.tensor(INPUTS)).detach())
    rows = torch.func.vmap(layer)(torch.tensor(INPUTS))
    assert np.allclose(rows.detach(), model(WEIGHTS, INPUTS), atol=1e-12)


def test_functions_of_jax(model):
    jax = pytest.importorskip("jax")
    with jax.experimental.enable_x64() if hasattr(jax.experimental, "enable_x64") else jax.enable_x64(True):
        f = kg.jax.function(model)
        gradient = jax.jit(jax.grad(lambda w: f(w, INPUTS).sum()))(WEIGHTS)
        wanted = model.forward(WEIGHTS, INPUTS)[1](np.ones((3, 4))).weights
        assert np.allclose(gradient, wanted, atol=1e-12)
        hessian = jax.hessian(lambda w: f(w, INPUTS).sum())(WEIGHTS)
        assert np.allclose(hessian, model.hessian(WEIGHTS, INPUTS), atol=1e-10)


def test_trajectories_give_the_same_quotient():
    exact = post_selected(circuit(True), OBSERVABLES, projector=PROJECTOR)
    paths = post_selected(
        circuit(True), OBSERVABLES, projector=PROJECTOR, method="trajectories", trajectories=2000, seed=3
    )
    assert np.allclose(exact(WEIGHTS, INPUTS), paths(WEIGHTS, INPUTS), atol=0.05)
    assert np.allclose(
        exact.forward(WEIGHTS, INPUTS)[1](np.ones((3, 4))).weights,
        paths.forward(WEIGHTS, INPUTS)[1](np.ones((3, 4))).weights,
        atol=0.15,
    )


def test_copies_and_looks(model):
    again = pickle.loads(pickle.dumps(model))
    assert (again(WEIGHTS, INPUTS) == model(WEIGHTS, INPUTS)).all()
    assert "PostSelected(" in repr(model) and "projector of 4 terms" in repr(model)
    assert np.allclose(model.weights_as_inputs()(None, np.concatenate([WEIGHTS, INPUTS[0]])), model(WEIGHTS, INPUTS[0]))


# logical gates


@pytest.mark.parametrize("code", [CODE, five_qubit(), iceberg(4)], ids=str)
def test_logical_rotations(code):
    rng = np.random.default_rng(4)
    words = ["".join(w) for w in itertools.product("IXYZ", repeat=code.k)][1:]
    chosen = words if code.k < 3 else list(rng.choice(words, 12, replace=False))
    encoded, bare = EncodedCircuit(code), kg.Circuit(code.k)
    encoded.encode()
    for word, angle in zip(chosen, rng.uniform(0, 6, len(chosen)), strict=True):
        encoded.rotate(word, angle)
        bare.pauli_rot(angle, word, *range(code.k))
    model = encoded.model(words)
    assert np.allclose(model(), kg.compile(bare, [kg.PauliSum.from_words({w: 1.0}) for w in words])(), atol=1e-12)
    assert model.acceptance() == pytest.approx(1, abs=1e-12)


def test_gates_of_four_two_two_that_cost_nothing():
    encoded, bare = EncodedCircuit(), kg.Circuit(2)
    encoded.encode()
    for k, word in enumerate(["XI", "IY", "ZX", "YZ"]):
        encoded.rotate(word, 0.3 + k)
        bare.pauli_rot(0.3 + k, word, 0, 1)
    encoded.cnot(0, 1).hadamards().flip("IX", np.pi).cnot(1, 0).swap().flip("XX", np.pi)
    bare.cx(0, 1).h(0).h(1).swap(0, 1).x(1).cx(1, 0).swap(0, 1).x(0).x(1)
    words = ["".join(w) for w in itertools.product("IXYZ", repeat=2)][1:]
    wanted = kg.compile(bare, [kg.PauliSum.from_words({w: 1.0}) for w in words])()
    assert np.allclose(encoded.model(words)(), wanted, atol=1e-12)


def test_detection_of_faults():
    """One X of the ancilla inside a rotation is seen; one Z of it turns the rotation into another and is not."""
    kept = {}
    for letter in "XZ":
        ancilla = noise.pauli({letter: 1.0})
        encoded = EncodedCircuit(ancilla=ancilla)
        encoded.encode().rotate("XI", 0.4)  # five gates on the ancilla: five faults
        plain = EncodedCircuit(ancilla=ancilla, detect=False)
        plain.encode().rotate("XI", 0.4)
        model, other = encoded.model(["ZI"]), plain.model(["ZI"])
        kept[letter] = float(model.parts()[-1])
        assert not isinstance(other, PostSelected)
    assert kept["X"] == pytest.approx(0, abs=1e-12) and kept["Z"] == pytest.approx(1, abs=1e-12)


def test_detection_helps_while_the_ancilla_is_good():
    """Trained parity classifiers: with a good ancilla detection beats bare qubits, with a bad one it does not."""

    def trained(model) -> float:
        weights = np.random.default_rng(5).uniform(-np.pi, np.pi, model.n_weights)
        adam = Adam(model.n_weights)
        for _ in range(60):
            values, pullback = model.forward(weights, BITS)
            adam.step(weights, pullback(2 * (values - PARITY)).weights, 0.2)
        return float(((1 + PARITY * model(weights, BITS)) / 2).mean())

    bare = trained(parity_classifier(1, data=0.01, encoded=False))
    good = trained(parity_classifier(1, data=0.01, ancilla=0.001))
    blind = trained(parity_classifier(1, data=0.01, ancilla=0.001, detect=False))
    bad = trained(parity_classifier(1, data=0.01, ancilla=0.03))
    assert good > bare + 0.01 > 0.9 and bare > bad and good > blind


def test_what_the_document_shows_is_run():
    text = Path(__file__).parents[1] / "docs" / "qec.md"
    if not text.is_file():
        pytest.skip("needs the source tree")
    first, second = re.findall(r"^```python\n(.*?)^```", text.read_text(), flags=re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(first, names)
    assert names["coherent"] > 2.7 * names["twirled"]
    assert names["shots"].detectors.shape == (20, 16) and names["text"].startswith("X_ERROR(0.001) 0")
    exec(second, names)
    assert 0.9 < names["accepted"] < 1 and names["gradient"].shape == (2,)


def refusals():
    model = kg.compile(kg.Circuit(2), kg.Z(0))
    selected = PostSelected(model, kg.Projector("0", [1]))
    yield ArgumentTypeError, "expected a Model", lambda: PostSelected(kg.Circuit(2), kg.I())
    yield ArgumentError, "no observables", lambda: PostSelected(kg.compile(kg.Circuit(2)), kg.I())
    yield ArgumentTypeError, "PauliSum", lambda: PostSelected(model, "0")
    yield ArgumentError, "its own square.*off by 1", lambda: PostSelected(model, kg.Z(0))
    yield ArgumentError, "has its own", lambda: post_selected(model, kg.Z(0))
    yield StateError, "keeps nothing of sample 0", lambda: PostSelected(model, kg.Projector("1", [1]))()
    yield ArgumentError, "no estimates from shots", lambda: selected(shots=10)
    yield ArgumentError, "no estimates from shots", lambda: selected.estimate(shots=10)
    yield ArgumentError, "no parameter-shift", lambda: selected.jacobian(method="parameter-shift")
    yield ArgumentError, "no bras", lambda: selected.gradient_change([], None, [], None, bras=np.ones(4))
    yield ArgumentError, "no file", lambda: selected.save("x")
    yield CircuitError, "other than I", lambda: EncodedCircuit().rotate("II", 0.1)
    yield CircuitError, "words of Xs", lambda: EncodedCircuit().flip("ZI", 0.1)
    yield CircuitError, "0 and 1", lambda: EncodedCircuit().cnot(0, 2)
    yield ArgumentError, "four_two_two", lambda: EncodedCircuit(five_qubit()).swap()
    yield CircuitError, "one wire", lambda: EncodedCircuit(data=noise.depolarizing(0.1, 2))


@pytest.mark.parametrize(("error", "text", "call"), [*refusals()], ids=lambda v: v if isinstance(v, str) else "")
def test_refusals(error, text, call):
    with pytest.raises(error, match=text):
        call()
