"""Models on disk: every gate and observable comes back exactly, and damaged files are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import recipes

import ketgrad as kg
from ketgrad.checkpoint import read_archive, write_archive
from ketgrad.errors import ArgumentTypeError, CheckpointError, ParameterError
from ketgrad.gates import GATES, GateSpec
from ketgrad.persistence import KIND, from_document, to_document

EXTRA: dict[str, Any] = {
    "word": "XZ",
    "dim": 3,
    "matrix": np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)) + 1j * np.eye(4))[0],
    "diagonal": np.exp(1j * np.arange(4)),
    "values": np.array([0.1, -2, 3e-7, 4]),
}


def same(a: kg.Model, b: kg.Model) -> None:
    """Equal documents, programs and results."""
    (header, arrays), (other_header, other_arrays) = to_document(a), to_document(b)
    assert header == other_header
    assert {k: v.tobytes() for k, v in arrays.items()} == {k: v.tobytes() for k, v in other_arrays.items()}
    assert a.disassembly() == b.disassembly() and a.dtype == b.dtype
    rng = np.random.default_rng(0)
    w, x = rng.uniform(-1, 1, a.n_weights), rng.uniform(-1, 1, (2, a.n_inputs))
    assert np.array_equal(a.state(w, x), b.state(w, x))
    assert np.array_equal(a(w, x), b(w, x))


def reloaded(model: kg.Model, folder: Path) -> kg.Model:
    model.save(folder / "model.npz")
    return kg.load(folder / "model.npz")


@pytest.mark.parametrize("spec", GATES, ids=lambda s: s.name)
def test_every_gate(spec: GateSpec, tmp_path: Path) -> None:
    circuit = kg.Circuit(6)
    w, x = circuit.weights(5), circuit.inputs(2, name="features")
    angles = [2 * w[0] + 0.1, x[1], w[2] * x[0] - w[1], 0.1 + 0.2][: len(spec.params)]
    k = spec.wires if spec.wires is not None else 2
    for wires in (range(k), reversed(range(k))):
        circuit.append(spec, angles, tuple(wires), extra=EXTRA.get(spec.extra or ""))
    circuit.append(
        spec, angles, range(k), controls=(5, 4), control_values=(0, 1), inverse=True, extra=EXTRA.get(spec.extra or "")
    )
    model = kg.compile(circuit, kg.Z(0))
    same(model, reloaded(model, tmp_path))


@given(recipe=recipes())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_circuits(recipe: Any, tmp_path: Path) -> None:
    model = kg.compile(recipe.circuit(), [kg.X(0), kg.Z(recipe.n - 1)])
    same(model, reloaded(model, tmp_path))


def test_everything_else(tmp_path: Path) -> None:
    circuit = kg.Circuit(4)
    theta, _, a = circuit.parameter("θ"), circuit.inputs((2, 2), name="x"), circuit.weights((2, 1, 3), name="a b")
    circuit.prepare(np.array([0.6, 0.8j, 0, 0]), [2, 0]).ry(theta, 1).rot(a[1, 0], 3).gphase(theta * theta)
    observables = [
        0.1 * kg.X(0) @ kg.Y(3) - 3 * kg.Z(2) + 0.7,
        kg.Projector("01", [3, 1]) @ kg.X(0),
        kg.Hermitian(np.array([[1, 2j], [-2j, 3]]), [1]),
        kg.I(),
    ]
    model = kg.compile(circuit, observables, dtype="complex64")
    back = reloaded(model, tmp_path)
    same(model, back)
    assert back.circuit.parameter_names() == circuit.parameter_names() and back.circuit.groups == circuit.groups
    assert back.observables == model.observables and back.saved_weights is None


def test_weights_come_along(tmp_path: Path) -> None:
    circuit = kg.Circuit(1)
    w = circuit.weights((2, 2))
    circuit.rot(w[0, 0], w[0, 1], w[1, 0], 0).rx(w[1, 1], 0)
    model = kg.compile(circuit, kg.Z(0))
    model.save(str(tmp_path / "m"), weights=[[0.1, 0.2], [0.3, 0.4]])
    back = kg.load(tmp_path / "m")
    assert back.saved_weights is not None and back.saved_weights.tolist() == [0.1, 0.2, 0.3, 0.4]
    assert np.array_equal(back(back.saved_weights), model([0.1, 0.2, 0.3, 0.4]))
    with pytest.raises(ParameterError, match="has 4 weights, got 3"):
        model.save(tmp_path / "m", weights=[1, 2, 3])
    assert kg.load(tmp_path / "m").saved_weights is not None


def test_a_loaded_model_trains(tmp_path: Path, backend: str) -> None:
    circuit = kg.Circuit(2)
    x, w = circuit.inputs(2), circuit.weights(2)
    circuit.ry(x[0] * w[0], 0).cnot(0, 1).ry(x[1] + w[1], 1)
    model = kg.compile(circuit, kg.Z(1))
    model.save(tmp_path / "m")
    back = kg.load(tmp_path / "m", backend=backend)
    assert back.backend == backend
    one, two = model.forward([0.1, 0.2], [[0.3, 0.4]])[1]([[1.0]]), back.forward([0.1, 0.2], [[0.3, 0.4]])[1]([[1.0]])
    assert np.allclose(one.weights, two.weights, atol=1e-14) and np.allclose(one.inputs, two.inputs, atol=1e-14)


def test_bad_paths_and_foreign_gates(tmp_path: Path) -> None:
    model = kg.compile(kg.Circuit(1).x(0), kg.Z(0))
    for wrong in (3, None, b"x"):
        with pytest.raises(ArgumentTypeError, match="a path is a str"):
            model.save(wrong)  # type: ignore[arg-type]
        with pytest.raises(ArgumentTypeError, match="a path is a str"):
            kg.load(wrong)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="does not exist"):
        kg.load(tmp_path / "none")
    with pytest.raises(CheckpointError, match="cannot write"):
        model.save(tmp_path / "no" / "folder")
    own = GateSpec("mine", "A gate of my own.", 1, body=GATES[1].body)
    with pytest.raises(CheckpointError, match="gate 0, 'mine', is not in the gate table"):
        kg.compile(kg.Circuit(1).append(own, (), (0,)), kg.Z(0)).save(tmp_path / "m")


def base() -> tuple[dict[str, Any], dict[str, Any]]:
    circuit = kg.Circuit(2)
    w = circuit.weights(2)
    circuit.rx(w[0] + w[1], 0).unitary(np.eye(2), 1)
    return to_document(kg.compile(circuit, [kg.Z(0) @ kg.X(1), kg.Projector("1")]))


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.update(n_wires=-3),
        lambda h: h.update(n_wires=10**9),
        lambda h: h.update(n_wires="2"),
        lambda h: h.pop("gates"),
        lambda h: h.update(gates=7),
        lambda h: h["gates"][0].update(name="system"),
        lambda h: h["gates"][0].update(wires=[5]),
        lambda h: h["gates"][0].update(wires=[0.5]),
        lambda h: h["gates"][0].update(params=["x"]),
        lambda h: h["gates"][0].update(params=[[[[["w", 9]], 1.0]]]),
        lambda h: h["gates"][0].update(params=[[[[["q", 0]], 1.0]]]),
        lambda h: h["gates"][0].update(params=[[[[["w", 0]], float("1e999")]]]),
        lambda h: h["gates"][0].update(params=[[[[["w", 0]] * 3, 1.0]]]),
        lambda h: h["gates"][0].update(controls=[0]),
        lambda h: h["gates"][1].update(wires=[0, 1]),
        lambda h: h.update(groups=[["w", "y", [2]]]),
        lambda h: h.update(groups=[["w", "w", [-2]]]),
        lambda h: h.update(groups=[["w", "w", [10**9, 10**9]]]),
        lambda h: h.update(initial=[0]),
        lambda h: h["observables"][0].append([1.0, [[0, "Q"]], []]),
        lambda h: h["observables"][0].append([1.0, [[7, "Z"]], []]),
        lambda h: h["observables"][0].append([1.0, [[1, "Z"], [0, "Z"]], []]),
        lambda h: h["observables"][0].append([1.0, [], [[0, 2]]]),
        lambda h: h["observables"][0].append([1.0]),
        lambda h: h.update(dtype="float64"),
    ],
)
def test_forged_documents(change: Any, tmp_path: Path) -> None:
    header, arrays = base()
    change(header)
    with pytest.raises(CheckpointError, match="forged does not hold a valid circuit"):
        from_document(header, arrays, "forged")


def test_a_forged_matrix(tmp_path: Path) -> None:
    header, arrays = base()
    for matrix in (2 * np.eye(2), np.eye(4), np.array([["a"]])):
        with pytest.raises(CheckpointError, match="does not hold a valid circuit"):
            from_document(header, {"extra1": matrix}, "forged")
    assert from_document(header, arrays, "good").n_weights == 2
    write_archive(tmp_path / "m", KIND, header, {"extra1": 2 * np.eye(2)})
    with pytest.raises(CheckpointError, match="not unitary"):
        kg.load(tmp_path / "m")
    assert read_archive(tmp_path / "m", KIND)[0] == KIND
