"""Variance scans against closed forms, landscapes, expressibility, entanglement; docs/diagnostics.md is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ketgrad as kg
from ketgrad import diagnostics, errors

ROOT = Path(__file__).resolve().parents[1]
QUBITS = range(2, 7)


def product(n: int) -> kg.Circuit:
    circuit = kg.Circuit(n)
    w = circuit.weights(n)
    for q in range(n):
        circuit.ry(w[q], q)
    return circuit


def global_cost(n: int, layers: int) -> tuple[kg.Circuit, kg.PauliSum]:
    """1 - prod cos^2(theta / 2)."""
    return product(n), 1 - kg.Projector("0" * n, range(n))


def local_cost(n: int, layers: int) -> tuple[kg.Circuit, kg.PauliSum]:
    """1 - mean cos^2(theta / 2)."""
    return product(n), 1 - sum((kg.Projector("0", [q]) for q in range(n)), 0 * kg.I()) / n


EXACT = {  # gradient, cost
    global_cost: (lambda n: 0.125 * 0.375 ** (n - 1), lambda n: 0.375**n - 0.25**n),
    local_cost: (lambda n: 1 / (8 * n**2), lambda n: 1 / (8 * n)),
}


@pytest.mark.parametrize("parameter", [None, 0, -1])
@pytest.mark.parametrize("build", EXACT)
def test_variances_of_product_circuits(build, parameter):
    scan = diagnostics.variance_scan(build, QUBITS, samples=4000, parameter=parameter, seed=7)
    for found, error, exact in zip(
        (scan.gradient[0], scan.cost[0]), (scan.gradient_error[0], scan.cost_error[0]), EXACT[build], strict=True
    ):
        wanted = np.array([exact(n) for n in QUBITS])
        assert np.abs((found - wanted) / error).max() < 4, (found, wanted, error)
        assert (error < 0.15 * wanted).all()


def test_decay_of_product_circuits():
    fit = diagnostics.variance_scan(global_cost, QUBITS, samples=4000, seed=1).fit()
    assert fit.exponential and abs(fit.rate.value - np.log(8 / 3)) < 4 * fit.rate.error < 0.1
    fit = diagnostics.variance_scan(local_cost, QUBITS, samples=4000, seed=1).fit()
    assert not fit.exponential and abs(fit.power.value - 2) < 4 * fit.power.error < 0.1


def test_standard_errors_are_those_of_repetition():
    scans = [diagnostics.variance_scan(local_cost, [3], samples=100, seed=s) for s in range(300)]
    for name in ("gradient", "cost"):
        found = np.array([getattr(s, name).item() for s in scans])
        reported = np.array([getattr(s, f"{name}_error").item() for s in scans])
        assert 0.85 < (reported**2).mean() / found.var(ddof=1) < 1.18


def test_a_scan_over_depth():
    def build(n: int, layers: int) -> tuple[kg.Circuit, kg.PauliSum]:
        circuit = kg.Circuit(n)
        w = circuit.weights((layers, n, 2))
        for layer in range(layers):
            for q in range(n):
                circuit.ry(w[layer, q, 0], q).rz(w[layer, q, 1], q)
            for q in range(n - 1):
                circuit.cz(q, q + 1)
        return circuit, kg.Z(0) @ kg.Z(1)

    options = {"samples": 150, "seed": 3}
    scan = diagnostics.variance_scan(build, [2, 4, 6], [1, 12], **options)
    again = diagnostics.variance_scan(build, [2, 4, 6], [1, 12], **options)
    assert scan.gradient.shape == (2, 3) and np.array_equal(scan.gradient, again.gradient)
    assert scan.gradient[1, 2] < scan.gradient[1, 0] / 3  # deep: it decays
    assert len(repr(scan).splitlines()) == 2 + 2 * 4 and "12       6  " in repr(scan)
    narrow = diagnostics.variance_scan(build, [4], [1], draw=lambda rng, shape: rng.normal(0, 1e-3, shape), seed=0)
    assert narrow.gradient.item() < 1e-4  # near 0 the gradient is 0


def test_landscape_is_the_cost():
    model = kg.compile(*global_cost(3, 1))
    theta, first, second = np.array([0.1, 0.2, 0.3]), np.array([1.0, 0, 0]), np.array([0, 0.5, 0.5])
    plane = diagnostics.landscape(model, theta, (first, second), span=2.0, points=5)
    for i, y in enumerate(plane.y):
        for j, x in enumerate(plane.x):
            assert plane.values[i, j] == pytest.approx(model(theta + x * first + y * second)[0], abs=1e-14)
    function = diagnostics.landscape(lambda t: model(t)[0], theta, (first, second), span=2.0, points=5)
    np.testing.assert_allclose(function.values, plane.values, atol=1e-14)
    drawn = diagnostics.landscape(model, theta, seed=1, points=3)
    pair = np.array([drawn.first, drawn.second])
    np.testing.assert_allclose(pair @ pair.T, np.eye(2), atol=1e-14)
    assert "5 x 5 points" in repr(plane)


def single_qubit(gates: str) -> kg.Model:
    circuit = kg.Circuit(1)
    w = circuit.weights(2)
    for gate in gates:
        {"h": lambda: circuit.h(0), "z": lambda: circuit.rz(w[0], 0), "x": lambda: circuit.rx(w[1], 0)}[gate]()
    return kg.compile(circuit)


@pytest.mark.parametrize(("gates", "published", "atol"), [("", 4.30, 0.03), ("hz", 0.22, 0.03), ("hzx", 0.02, 0.01)])
def test_expressibility_of_sims_circuits(gates, published, atol):
    """Figure 1 of arXiv:1905.10876: the idle circuit, A and B, with 5,000 pairs."""
    found = diagnostics.expressibility(single_qubit(gates), seed=0)
    assert found.divergence == pytest.approx(published, abs=atol)
    assert found.observed.sum() == pytest.approx(1) == found.haar.sum()


def test_haar_random_states_have_no_divergence():
    """Of Haar-random states, prepared by angles drawn for that, only the bias of 75 bins remains."""

    def haar(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return np.stack([rng.uniform(0, 2 * np.pi, shape[0]), np.arccos(rng.uniform(-1, 1, shape[0]))], axis=1)

    circuit = kg.Circuit(1)
    w = circuit.weights(2)
    found = diagnostics.expressibility(kg.compile(circuit.ry(w[1], 0).rz(w[0], 0)), draw=haar, seed=0)
    assert 0 < found.divergence < 2 * 75 / (2 * 5000)


def test_entangling_capability():
    ghz = kg.Circuit(3).h(0).cnot(0, 1).cnot(1, 2)
    assert diagnostics.entangling_capability(kg.compile(ghz)).value == pytest.approx(1, abs=1e-12)
    assert diagnostics.entangling_capability(kg.compile(product(3))).value == pytest.approx(0, abs=1e-12)
    circuit = kg.Circuit(2)
    circuit.ry(circuit.weights(1)[0], 0).cnot(0, 1)  # Q = sin^2(theta), on average a half
    found = diagnostics.entangling_capability(kg.compile(circuit), samples=4000, seed=1)
    assert abs(found.value - 0.5) < 4 * found.error < 0.03


def test_plots():
    pytest.importorskip("matplotlib")
    scan = diagnostics.variance_scan(global_cost, QUBITS, samples=50, seed=0)
    (axes,) = scan.plot().axes
    assert axes.get_yscale() == "log" and axes.get_legend() is not None
    fitted = axes.lines[-1].get_ydata()
    assert np.log(fitted[0] / fitted[-1]) / 4 == pytest.approx(scan.fit().rate.value)
    assert scan.plot("cost").axes
    few = diagnostics.variance_scan(global_cost, [2, 3], samples=50, seed=0)
    assert few.plot().axes and "like" not in repr(few)  # two points have no fit

    model = kg.compile(*global_cost(3, 1))
    assert diagnostics.landscape(model, np.zeros(3), points=5, seed=0).plot().axes[0].collections
    assert diagnostics.expressibility(model, pairs=50, seed=0).plot().axes[0].patches
    matrix = np.array([[1.0, -0.5], [-0.5, 0.0]])
    assert np.array_equal(kg.plots.matrix(matrix).axes[0].images[0].get_array(), matrix)
    legend = kg.plots.spectrum(np.diag([3.0, 1.0, 1e-14, -2.0])).axes[0].get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["positive: 2", "zero: 1", "negative: 1"]
    with pytest.raises(errors.ParameterError, match="square matrix"):
        kg.plots.spectrum(np.zeros((2, 3)))


def with_inputs(n: int, layers: int) -> tuple[kg.Circuit, kg.PauliSum]:
    circuit = product(n)
    return circuit.rx(circuit.inputs(1)[0], 0), kg.Z(0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: diagnostics.variance_scan(with_inputs, [2]), errors.ParameterError, "without inputs"),
        (lambda: diagnostics.variance_scan(global_cost, []), errors.ArgumentError, "qubits"),
        (lambda: diagnostics.variance_scan(global_cost, [0]), errors.ArgumentError, "at least 1"),
        (lambda: diagnostics.variance_scan(global_cost, [2], samples=2), errors.ArgumentError, "at least 3"),
        (lambda: diagnostics.variance_scan(global_cost, [2], parameter=2), errors.ParameterError, "below 2"),
        (lambda: diagnostics.variance_scan(global_cost, [2, 3]).fit(), errors.ArgumentError, "three"),
        (lambda: diagnostics.variance_scan(global_cost, [2, 3, 4]).fit(7), errors.ArgumentError, "layers is one of"),
        (lambda: diagnostics.landscape(kg.compile(*global_cost(1, 1)), [0.0]), errors.ParameterError, "two weights"),
        (lambda: diagnostics.expressibility(kg.compile(*with_inputs(2, 1))), errors.ParameterError, "1 inputs"),
        (lambda: diagnostics.expressibility("model"), errors.ArgumentTypeError, "a Model"),
    ],
)
def test_what_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_page():
    pytest.importorskip("matplotlib")
    text = (ROOT / "docs" / "diagnostics.md").read_text()
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/diagnostics.md", "exec"), names)
    model, theta = names["model"], names["theta"]
    slopes = model.weights_as_inputs().jacobian(None, names["rows"]).inputs[:, 0]
    np.testing.assert_allclose(names["gradients"], slopes, atol=1e-12)
    np.testing.assert_allclose(names["hessian"].sum(axis=1), names["product"].reshape(-1), atol=1e-12)
    np.testing.assert_allclose(np.diag(names["metric"]), np.diag(names["diagonal"]), atol=1e-14)
    exact = model.jacobian(theta).weights
    np.testing.assert_allclose(names["differences"], exact, atol=1e-8)
    spsa = names["spsa"]
    assert (np.abs(spsa.weights - exact) < 5 * np.sqrt(spsa.weights_variance)).all()
    assert names["rate"].value > 0 and "VarianceScan" in repr(names["scan"])
