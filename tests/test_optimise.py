"""Objectives, natural gradient, SPSA and the loop around them; and what docs/optimisers.md shows is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ketgrad as kg
from ketgrad import errors
from ketgrad.optimise import QNG, SPSA, Objective, minimise

ROOT = Path(__file__).resolve().parents[1]


def ising(n: int = 4, layers: int = 2) -> kg.Model:
    """Energy of a transverse-field Ising chain, periodic at its critical point: -2 / sin(pi / 2n)."""
    circuit = kg.Circuit(n)
    w = circuit.weights((layers, 2))
    bonds = [kg.Z(q) @ kg.Z((q + 1) % n) for q in range(n)]
    for q in range(n):
        circuit.h(q)
    for layer in range(layers):
        for q in range(n):
            circuit.rzz(w[layer, 0], q, (q + 1) % n)
        for q in range(n):
            circuit.rx(w[layer, 1], q)
    return kg.compile(circuit, -1.0 * sum(bonds, 0 * kg.I()) - sum((kg.X(q) for q in range(n)), 0 * kg.I()))


def with_inputs() -> tuple[kg.Model, np.ndarray, np.ndarray]:
    circuit = kg.Circuit(2)
    w, x = circuit.weights(2), circuit.inputs(1)
    circuit.ry(x[0], 0).ry(w[0], 1).cnot(0, 1).rx(w[1] * x[0], 1)
    return kg.compile(circuit, [kg.Z(0), kg.Z(1)]), np.array([0.3, 0.8]), np.array([[0.2], [1.0], [-0.7]])


def squares(values: np.ndarray) -> tuple[float, np.ndarray]:
    return float((values**2).mean()), 2 * values / values.size


START = np.array([[0.3, 0.2], [0.1, 0.4]])


def test_objective():
    model, w, x = with_inputs()
    rows = w + np.array([[0.0, 0.0], [0.5, -0.3]])
    plain, squared, one = Objective(model, x), Objective(model, x, squares), Objective(model, x[0], squares)
    np.testing.assert_allclose(plain.many(rows), [model(r, x).sum(axis=1).mean() for r in rows], atol=1e-14)
    np.testing.assert_allclose(squared.many(rows), [(model(r, x) ** 2).mean() for r in rows], atol=1e-14)
    np.testing.assert_allclose(one.many(rows), [(model(r, x[0]) ** 2).mean() for r in rows], atol=1e-14)
    for objective in (plain, squared, one):
        value, gradient = objective.value_and_gradient(w)
        assert value == pytest.approx(objective(w), abs=1e-14)
        slope = [(objective(w + 1e-6 * e) - objective(w - 1e-6 * e)) / 2e-6 for e in np.eye(2)]
        np.testing.assert_allclose(gradient, slope, atol=1e-8)
    np.testing.assert_allclose(plain.metric(w), model.metric_tensor(w, x).mean(axis=0), atol=1e-15)


def test_objective_with_shots_is_random_and_seeded():
    model = ising()
    one, two = (Objective(model, shots=200, seed=s) for s in (1, 1))
    assert one(START) == two(START) != one(START)
    assert abs(one.many(np.tile(START.reshape(-1), (200, 1))).mean() - model(START)[0]) < 0.2


def test_a_natural_step_is_the_formula():
    model = ising()
    value, gradient = Objective(model).value_and_gradient(START)
    metric = model.metric_tensor(START)
    for regularisation, inverse in ((0.1, np.linalg.inv(metric + 0.1 * np.eye(4))), (0.0, np.linalg.pinv(metric))):
        after, before = QNG(lr=0.3, regularisation=regularisation).step(model, START)
        assert before == value == pytest.approx(model(START)[0])
        wanted = START.reshape(-1) - 0.3 * inverse @ gradient.reshape(-1)
        np.testing.assert_allclose(after.reshape(-1), wanted, atol=1e-12)
    diagonal = QNG(lr=0.3, regularisation=0.1, approx="diag").step(model, START)[0]
    wanted = START.reshape(-1) - 0.3 * gradient.reshape(-1) / (np.diag(metric) + 0.1)
    np.testing.assert_allclose(diagonal.reshape(-1), wanted, atol=1e-12)


def test_a_natural_step_is_pennylanes():
    qml = pytest.importorskip("pennylane")

    @qml.qnode(qml.device("default.qubit", wires=3))
    def cost(w):
        qml.RX(w[0], 0)
        qml.RY(w[1], 1)
        qml.CNOT([0, 1])
        qml.RZ(w[2], 1)
        qml.RX(w[3], 1)
        return qml.expval(qml.Z(1))

    circuit = kg.Circuit(2)
    w = circuit.weights(4)
    model = kg.compile(circuit.rx(w[0], 0).ry(w[1], 1).cnot(0, 1).rz(w[2], 1).rx(w[3], 1), kg.Z(1))
    theta = qml.numpy.array([0.4, 0.7, -0.3, 1.1], requires_grad=True)
    wanted = qml.QNGOptimizer(0.1, approx=None, lam=0.05).step(cost, theta)
    np.testing.assert_allclose(QNG(0.1, 0.05).step(model, np.array(theta))[0], wanted, atol=1e-9)


def test_natural_gradient_finds_the_ground_state():
    result = minimise(ising(), START, QNG(lr=0.05), steps=400, tolerance=1e-12)
    assert result.value == pytest.approx(-2 / np.sin(np.pi / 8), abs=1e-8)
    assert result.theta.shape == (2, 2) and len(result.history) < 401  # the tolerance stopped it
    assert ising()(result.theta)[0] == pytest.approx(result.value, abs=1e-12) == result.history[-1]


def test_spsa_step_is_the_formula():
    rng, theta = np.random.default_rng(5), np.array([0.2, -0.4, 1.0])
    signs = np.random.default_rng(5).choice([-1.0, 1.0], (1, 3))[0]

    def cost(t: np.ndarray) -> float:
        return float((t**2).sum() + t[0] * t[1])

    after, value = SPSA(a=0.5, c=0.1, stability=4.0, seed=rng).step(cost, theta)
    slope = (cost(theta + 0.1 * signs) - cost(theta - 0.1 * signs)) / 0.2
    np.testing.assert_allclose(after, theta - 0.5 / 5**0.602 * slope * signs, atol=1e-14)
    assert value == cost(theta)


@pytest.mark.parametrize("shots", [None, 1000])
def test_spsa_descends(shots):
    def run() -> np.ndarray:
        objective = Objective(ising(), shots=shots, seed=0)
        return minimise(objective, START, SPSA(seed=1, directions=4, stability=20), steps=200).theta

    assert ising()(run())[0] < -5.1  # the ground state is at -5.226, the start at -4.69
    assert np.array_equal(run(), run())


def test_first_step_is_as_long_as_asked():
    spsa, moves = SPSA(seed=3, first_step=0.2, directions=50), []
    for _ in range(20):
        spsa.step_count, spsa.a = 0, None
        moves.append(np.abs(spsa.step(ising(), START)[0] - START).mean())
    assert 0.02 < np.mean(moves) <= 0.21  # 0.2 for one direction; averaged ones cancel in part
    flat = SPSA(seed=0).step(lambda t: 1.0, START)[0]
    assert np.array_equal(flat, START)


def test_minimise_reports():
    calls: list[tuple[int, float]] = []
    model = ising()
    result = minimise(model, START, QNG(), steps=3, callback=lambda k, t, v: calls.append((k, v)), progress=True)
    assert [k for k, _ in calls] == [0, 1, 2] and [v for _, v in calls] == list(result.history[:3])
    assert result.history[0] == pytest.approx(model(START)[0]) and len(result.history) == 4
    assert "after 3 steps" in repr(result) and "QNG(lr=0.1" in repr(result)
    assert not np.shares_memory(result.theta, START)


def test_plot_of_a_minimum():
    pytest.importorskip("matplotlib")
    result = minimise(ising(), START, QNG(), steps=3)
    (line,) = result.plot().axes[0].lines
    assert np.array_equal(line.get_ydata(), result.history)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: QNG(lr=0), errors.ArgumentError, "lr must be finite and above 0"),
        (lambda: QNG(regularisation=-1), errors.ArgumentError, "regularisation"),
        (lambda: SPSA(c="x"), errors.ArgumentTypeError, "c is a number"),
        (lambda: SPSA(directions=0), errors.ArgumentError, "at least 1"),
        (lambda: Objective(5), errors.ArgumentTypeError, "Model or a function"),
        (lambda: Objective(lambda t: 0.0, shots=5), errors.ArgumentError, "go with a model"),
        (lambda: Objective(kg.compile(kg.Circuit(1))), errors.ArgumentError, "observables"),
        (lambda: Objective(lambda t: t)(START), errors.ArgumentTypeError, "one real number"),
        (lambda: Objective(ising()).many(np.zeros((2, 3))), errors.ParameterError, "4 weights"),
        (lambda: QNG().step(lambda t: 0.0, START), errors.ArgumentTypeError, "SPSA needs none"),
        (lambda: minimise(ising(), START, "adam"), errors.ArgumentTypeError, "has a step"),
        (lambda: minimise(ising(), START, QNG(), steps=0), errors.ArgumentError, "steps"),
    ],
)
def test_what_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/optimisers.md").read_text(), re.MULTILINE | re.DOTALL)
NEEDS = {"import torch": "torch", "import optax": "optax", "import scipy": "scipy"}


@pytest.mark.parametrize("position", range(1, len(BLOCKS)))
def test_page(position):
    block = BLOCKS[position]
    for text, library in NEEDS.items():
        if text in block:
            pytest.importorskip(library)
    names: dict[str, Any] = {}
    for part in (BLOCKS[0], block):
        exec(compile(part, "docs/optimisers.md", "exec"), names)
    energy, ground = names["model"](names["theta"])[0], -2 / np.sin(np.pi / 12)
    assert ground - 1e-9 <= energy <= (0.9 * ground if "SPSA" in block else ground + 1e-2)


def test_every_block_of_the_page_is_there():
    assert len(BLOCKS) == 7 and all(any(text in b for b in BLOCKS) for text in NEEDS)
