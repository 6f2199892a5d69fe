"""Quantum kernels: against dense states, closed forms and PennyLane; chunks, memory, shots, training."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import reference
from conftest import Precision

import ketgrad as kg
from ketgrad import kernels
from ketgrad.errors import ArgumentError, ArgumentTypeError, OutOfMemoryError, ParameterError, WireError
from ketgrad.feature_maps import NAMES

RNG = np.random.default_rng(7)
SAMPLES, OTHERS = RNG.uniform(-1.5, 1.5, (9, 3)), RNG.uniform(-1.5, 1.5, (4, 3))


def weights_of(circuit: kg.Circuit) -> np.ndarray:
    return np.random.default_rng(3).normal(size=circuit.n_weights)


def dense(circuit: kg.Circuit, x: np.ndarray) -> np.ndarray:
    """The reference's states, (N, 2^n), of one of the maps by name."""

    def angle(p: Any, sample: np.ndarray) -> float:
        if isinstance(p, float):
            return p
        of = {"w": weights_of(circuit), "x": sample}
        return sum(c * float(np.prod([of[kind][i] for kind, i in m])) for m, c in p.terms.items())

    def state(sample: np.ndarray) -> np.ndarray:
        ops = [reference.Op(g.spec.name, tuple(angle(p, sample) for p in g.params), g.wires) for g in circuit.gates]
        return reference.run(circuit.n_wires, ops)

    return np.array([state(sample) for sample in x])


# fidelity


@pytest.mark.parametrize("name", NAMES)
def test_fidelity(name: str, backend: str, precision: Precision) -> None:
    circuit = kernels.feature_map(name, 3)
    model = kg.compile(circuit, dtype=precision.dtype, backend=backend)
    w, s, t = weights_of(circuit), dense(circuit, SAMPLES), dense(circuit, OTHERS)
    gram = kernels.fidelity(model, SAMPLES, weights=w)
    np.testing.assert_allclose(gram, np.abs(s.conj() @ s.T) ** 2, atol=precision.atol)
    assert gram.dtype == np.float64 and (gram == gram.T).all() and (np.diag(gram) == 1).all()
    assert np.linalg.eigvalsh(gram).min() > -10 * precision.atol
    across = kernels.fidelity(model, SAMPLES, OTHERS, weights=w)
    np.testing.assert_allclose(across, np.abs(s.conj() @ t.T) ** 2, atol=precision.atol)
    assert (kernels.fidelity(model, SAMPLES, SAMPLES, weights=w) == gram).all()
    np.testing.assert_allclose(kernels.fidelity(model, SAMPLES, SAMPLES.copy(), weights=w), gram, atol=precision.atol)


def test_a_circuit_will_do() -> None:
    # a product state of RY has the kernel prod cos^2((x - y) / 2), Schuld and Killoran 2019
    gram = kernels.fidelity(kernels.feature_map("angle", 3), SAMPLES)
    np.testing.assert_allclose(
        gram, np.prod(np.cos((SAMPLES[:, None] - SAMPLES) / 2) ** 2, axis=-1).reshape(9, 9), atol=1e-14
    )
    assert kg.kernels is kernels


def test_every_state_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    state = kg.Model.state

    def counted(self: kg.Model, weights: Any, inputs: Any) -> Any:
        made.append(len(inputs))
        return state(self, weights, inputs)

    monkeypatch.setattr(kg.Model, "state", counted)
    model = kg.compile(kernels.feature_map("iqp", 3))
    x = RNG.normal(size=(100, 3))
    kernels.fidelity(model, x)
    assert made == [100]
    kernels.fidelity(model, x, x[:40] + 1)
    assert made == [100, 100, 40]


@pytest.mark.parametrize("name", ["iqp", "angle"])  # complex states, and real ones
@pytest.mark.parametrize("chunk", [1, 5 * 128, 1 << 20])
def test_states_that_do_not_fit_pass_in_chunks(monkeypatch: pytest.MonkeyPatch, name: str, chunk: int) -> None:
    model = kg.compile(kernels.feature_map(name, 3))
    x, y = RNG.normal(size=(77, 3)), RNG.normal(size=(35, 3))
    whole = kernels.fidelity(model, x), kernels.fidelity(model, x, y)
    monkeypatch.setattr(kernels, "how_many", lambda wanted, size: min(wanted, 10))
    monkeypatch.setattr(kernels, "CHUNK_BYTES", chunk)
    parts = kernels.fidelity(model, x), kernels.fidelity(model, x, y)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-14)
    assert (parts[0] == parts[0].T).all() and (np.diag(parts[0]) == 1).all()


def test_memory_is_asked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    model = kg.compile(kernels.feature_map("angle", 21))
    x = RNG.normal(size=(5, 21))
    gram = kernels.fidelity(model, x)
    monkeypatch.setenv("KETGRAD_MAX_MEMORY", str(70 << 20))  # two states of 32 MiB, not five
    np.testing.assert_allclose(kernels.fidelity(model, x), gram, atol=1e-14)
    with pytest.raises(OutOfMemoryError, match="alignment of 5 samples needs 640.0 MiB"):
        kernels.alignment(model, x, [0, 1, 1, 0, 0], None)
    with pytest.raises(OutOfMemoryError, match="kernel of 3000 x 3000 needs"):
        kernels.fidelity(kernels.feature_map("angle", 1), np.zeros((3000, 1)))
    monkeypatch.setenv("KETGRAD_MAX_MEMORY", str(20 << 20))
    with pytest.raises(OutOfMemoryError, match="21 qubits"):
        kernels.fidelity(model, x)


# shots


def test_shots() -> None:
    model = kg.compile(kernels.feature_map("iqp", 3))
    exact, across = kernels.fidelity(model, SAMPLES), kernels.fidelity(model, SAMPLES, OTHERS)
    one, same, other = (kernels.fidelity(model, SAMPLES, shots=100, seed=s) for s in (1, 1, 2))
    assert (one == same).all() and (one != other).any()
    assert (one == one.T).all() and (np.diag(one) == 1).all()
    shares = kernels.fidelity(model, SAMPLES, OTHERS, shots=100, seed=1) * 100
    np.testing.assert_allclose(shares, np.round(shares), atol=1e-12)
    rng = np.random.default_rng(0)
    for y, p in ((None, exact), (OTHERS, across)):
        drawn = np.array([kernels.fidelity(model, SAMPLES, y, shots=50, seed=rng) for _ in range(400)])
        spread = np.sqrt(p * (1 - p) / 50)
        assert np.abs(drawn.mean(axis=0) - p).max() <= 5 * spread.max() / 20  # 5 standard errors of 400 draws
        np.testing.assert_allclose(drawn.std(axis=0), spread, atol=0.02)


# projected


def density_distances(s: np.ndarray, t: np.ndarray, n: int) -> np.ndarray:
    """sum_q |rho_q - rho'_q|_F^2 from dense states."""
    rho = [[[reference.density(state, [q], n) for q in range(n)] for state in states] for states in (s, t)]
    a, b = np.array(rho[0]), np.array(rho[1])
    return (np.abs(a[:, None] - b) ** 2).sum(axis=(2, 3, 4))


@pytest.mark.parametrize("name", ["iqp", "heisenberg", "trainable"])
def test_projected(name: str, backend: str, precision: Precision) -> None:
    circuit = kernels.feature_map(name, 3)
    model = kg.compile(circuit, kg.Z(0), dtype=precision.dtype, backend=backend)
    w, s, t = weights_of(circuit), dense(circuit, SAMPLES), dense(circuit, OTHERS)
    gram = kernels.projected(model, SAMPLES, weights=w, gamma=0.7)
    np.testing.assert_allclose(gram, np.exp(-0.7 * density_distances(s, s, circuit.n_wires)), atol=4 * precision.atol)
    assert (gram == gram.T).all() and (np.diag(gram) == 1).all() and np.linalg.eigvalsh(gram).min() > 0
    across = kernels.projected(model, SAMPLES, OTHERS, weights=w, gamma=0.7)
    np.testing.assert_allclose(across, np.exp(-0.7 * density_distances(s, t, circuit.n_wires)), atol=4 * precision.atol)


def test_rules_for_gamma() -> None:
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    circuit = kernels.feature_map("iqp", 3)
    references = kernels.bloch_vectors(circuit, OTHERS)
    assert references.shape == (4, 3, 3)
    flat, ours = references.reshape(4, 9), kernels.bloch_vectors(circuit, SAMPLES).reshape(9, 9)
    scale = pairwise.rbf_kernel(ours, flat, gamma=1 / (9 * flat.var()))  # scikit-learn's rule
    np.testing.assert_allclose(kernels.projected(circuit, SAMPLES, OTHERS), scale, atol=1e-12)
    median = 1 / np.median(((flat[:, None] - flat) ** 2).sum(axis=2)[np.triu_indices(4, 1)])
    for x, y in ((SAMPLES, OTHERS), (OTHERS, None)):
        got = kernels.projected(circuit, x, y, gamma="median")
        np.testing.assert_allclose(got, pairwise.rbf_kernel(ours if y is not None else flat, flat, median), atol=1e-12)
    alike = np.ones((3, 3))
    for rule in ("scale", "median"):
        np.testing.assert_allclose(kernels.projected(circuit, alike, gamma=rule), 1, atol=1e-12)
    assert kernels.projected(circuit, alike[:1], gamma="median") == 1


def test_projected_with_shots() -> None:
    circuit = kernels.feature_map("iqp", 3)
    exact = kernels.projected(circuit, SAMPLES, OTHERS, gamma=1.0)
    noisy, again = (kernels.projected(circuit, SAMPLES, OTHERS, gamma=1.0, shots=10**5, seed=1) for _ in range(2))
    assert 0 < np.abs(exact - noisy).max() < 0.05 and (again == noisy).all()


# training


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_alignment_and_its_gradient(backend: str, centred: bool, classes: int) -> None:
    model = kg.compile(kernels.feature_map("trainable", 3), backend=backend)
    w, y = RNG.normal(size=(2, 2, 3)), np.arange(9) % classes
    found = kernels.alignment(model, SAMPLES, y, w, centred=centred)
    gram = kernels.fidelity(model, SAMPLES, weights=w)
    target = np.where(y[:, None] == y, 1, -1 / (classes - 1))
    if centred:
        h = np.eye(9) - 1 / 9
        gram, target = h @ gram @ h, h @ target @ h
    value = (gram * target).sum() / np.linalg.norm(gram) / np.linalg.norm(target)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.gradient.shape == w.shape
    for k in np.ndindex(*w.shape):
        ends = []
        for step in (1e-5, -1e-5):
            moved = w.copy()
            moved[k] += step
            ends.append(kernels.alignment(model, SAMPLES, y, moved, centred=centred).value)
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(found.gradient[k], abs=1e-8)


def test_training_a_kernel() -> None:
    circuit = kernels.feature_map("trainable", 2)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.5, 1.5, (40, 2))
    y = np.sign(x[:, 0] * x[:, 1])
    w = rng.normal(size=circuit.n_weights)
    values = []
    for _ in range(60):
        value, gradient = kernels.alignment(circuit, x, y, w)
        values.append(value)
        w += gradient
    assert values[-1] > values[0] + 0.15
    single = kernels.alignment(kg.compile(circuit, dtype="complex64"), x, y, w)
    assert single.value == pytest.approx(kernels.alignment(circuit, x, y, w).value, abs=1e-5)
    level = kernels.alignment(circuit, np.ones((4, 2)), [0, 1, 0, 1], w, centred=True)
    assert level.value == pytest.approx(0) and level.gradient == pytest.approx(0)


# the maps, and PennyLane


def test_maps_of_other_libraries() -> None:
    qml = pytest.importorskip("pennylane")
    x = SAMPLES[:4]

    @qml.qnode(qml.device("default.qubit", wires=3))
    def iqp(a: Any, b: Any) -> Any:
        qml.IQPEmbedding(a, range(3), n_repeats=2)
        qml.adjoint(qml.IQPEmbedding)(b, range(3), n_repeats=2)
        return qml.probs()

    def theirs(a: Any, b: Any) -> Any:
        return iqp(a, b)[0]

    circuit = kernels.feature_map("iqp", 3)
    np.testing.assert_allclose(kernels.fidelity(circuit, x), qml.kernels.square_kernel_matrix(x, theirs), atol=1e-12)
    y = np.array([1, -1, -1, 1])
    alignment = qml.kernels.target_alignment(x, y, theirs, rescale_class_labels=False)
    assert kernels.alignment(circuit, x, y, None).value == pytest.approx(alignment, abs=1e-12)
    havlicek = kg.Circuit(3)  # as Qiskit's ZZFeatureMap writes it
    f = havlicek.inputs(3)
    for _ in range(2):
        for q in range(3):
            havlicek.h(q).p(2 * f[q], q)
        for i, j in combinations(range(3), 2):
            havlicek.cx(i, j).p(2 * (np.pi - f[i]) * (np.pi - f[j]), j).cx(i, j)
    np.testing.assert_allclose(
        kernels.fidelity(havlicek, x), kernels.fidelity(kernels.feature_map("zz", 3), x), atol=1e-12
    )


def test_heisenberg_is_an_evolution() -> None:
    circuit = kernels.feature_map("heisenberg", 1)
    start, end = (kg.compile(circuit).state(inputs=[x]) for x in (0.0, 0.8))
    coupling = sum(reference.word(2, {0: p, 1: p}) for p in "XYZ")
    energies, vectors = np.linalg.eigh(coupling)
    evolved = vectors @ (np.exp(-1j * 0.8 / 3 * energies) * (vectors.conj().T @ start))
    np.testing.assert_allclose(end, evolved, atol=1e-12)
    few, many, more = (kernels.fidelity(kernels.feature_map("heisenberg", 3, k), SAMPLES[:3]) for k in (5, 40, 80))
    assert np.abs(many - more).max() < np.abs(few - more).max() < 0.2  # Trotter steps converge


def test_bad_arguments() -> None:
    model = kg.compile(kernels.feature_map("iqp", 3))
    with pytest.raises(ArgumentTypeError, match="a Circuit or a Model, got str"):
        kernels.fidelity("iqp", SAMPLES)  # type: ignore[arg-type]
    for function in (kernels.fidelity, kernels.projected):
        for x in (SAMPLES[0], SAMPLES[:, :2], np.zeros((0, 3))):
            with pytest.raises(ParameterError, match=r"X has shape \(samples, 3\)"):
                function(model, x)
        with pytest.raises(ParameterError, match=r"Y has shape \(samples, 3\)"):
            function(model, SAMPLES, OTHERS[:, :1])
        with pytest.raises(ParameterError, match="0 weights, got 1"):
            function(model, SAMPLES, weights=[1.0])
        with pytest.raises(ArgumentError, match="shots must be from 1"):
            function(model, SAMPLES, shots=0)
    for gamma in (0, -1.0, np.inf, "auto", None, True):
        with pytest.raises(ArgumentError, match="gamma"):
            kernels.projected(model, SAMPLES, gamma=gamma)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="9 samples need as many labels"):
        kernels.alignment(model, SAMPLES, [0, 1], None)
    with pytest.raises(ParameterError, match="at least two classes"):
        kernels.alignment(model, SAMPLES, [1] * 9, None)
    with pytest.raises(ArgumentError, match="Did you mean 'heisenberg'"):
        kernels.feature_map("heisenbreg", 3)
    with pytest.raises(ArgumentError, match="layers must be at least 1"):
        kernels.feature_map("iqp", 3, 0)
    with pytest.raises(ArgumentTypeError, match="n_features is an integer"):
        kernels.feature_map("iqp", 2.0)  # type: ignore[arg-type]
    with pytest.raises(WireError, match="1 to 62 wires"):
        kernels.feature_map("heisenberg", 62)
