"""Random circuits for the engines of large states, drawn from a seed, and everything a model gives for them."""

from __future__ import annotations

import os

import numpy as np

import ketgrad as kg
from ketgrad.gates import BY_NAME

DRAWS = int(os.environ.get("KETGRAD_DRAWS", "150"))
TOLERANCE = {"complex64": 1e-5, "complex128": 1e-12}
NAMES = (
    "rx ry rz h s t x y z sx p u3 rot cx cy cz ch swap iswap crx crz cp rxx ryy rzz ccx ccz cswap single_excitation "
    "double_excitation pauli_rot unitary diagonal exp_diagonal"
).split()


def random_unitary(rng: np.random.Generator, k: int) -> np.ndarray:
    q, _ = np.linalg.qr(rng.normal(size=(2**k, 2**k)) + 1j * rng.normal(size=(2**k, 2**k)))
    return q


def append(circuit: kg.Circuit, rng: np.random.Generator, name: str, weights: list) -> None:
    """A random gate of this name; half of the angles are trained."""
    n = circuit.n_wires
    spec = BY_NAME[name]
    count = spec.wires or int(rng.integers(1, 4))
    wires = [int(w) for w in rng.permutation(n)[:count]]
    if name == "unitary":
        circuit.unitary(random_unitary(rng, count), wires)
        return
    if name == "exp_diagonal":
        angle = weights[int(rng.integers(len(weights)))]
        circuit.exp_diagonal(angle, rng.normal(size=2**count), *wires)
        return
    if name == "diagonal":
        circuit.diagonal(np.exp(1j * rng.normal(size=2**count)), wires)
        return
    angles = [weights[int(rng.integers(len(weights)))] if rng.random() < 0.5 else rng.normal() for _ in spec.params]
    if name == "pauli_rot":
        circuit.pauli_rot(angles[0], "".join(rng.choice(list("XYZ"), count)), wires)
    else:
        controls = [int(w) for w in rng.permutation(n) if w not in wires][: int(rng.random() < 0.1)]
        circuit.append(name, angles, wires, controls=controls, control_values=[int(rng.integers(2)) for _ in controls])


def draw(seed: int, dtype: str) -> tuple[kg.Circuit, list[kg.PauliSum], np.ndarray, np.ndarray]:
    """A circuit with weights and inputs, its observables, and values of both."""
    rng = np.random.default_rng(seed)
    lanes = 4 if dtype == "complex64" else 3
    circuit = kg.Circuit(int(rng.integers(lanes + 1, lanes + 6)))
    n = circuit.n_wires
    weights = [*circuit.weights(4), *circuit.inputs(2)]
    chosen = [str(c) for c in rng.choice(NAMES, size=int(rng.integers(1, 7)))]
    for _ in range(int(rng.integers(0, 40))):
        append(circuit, rng, chosen[int(rng.integers(len(chosen)))], weights)
    observables = []
    for _ in range(int(rng.integers(1, 4))):
        word = {int(w): str(rng.choice(list("XYZ"))) for w in rng.permutation(n)[: int(rng.integers(1, 4))]}
        term = float(rng.normal())
        for w, letter in word.items():
            term = term * getattr(kg, letter)(w) if isinstance(term, float) else term @ getattr(kg, letter)(w)
        observables.append(term)
    if rng.random() < 0.15:
        observables.append(kg.Projector([int(rng.integers(2)), 1], (0, n - 1)))
    return circuit, observables, rng.normal(size=4), rng.normal(size=2)


def everything(seed: int, dtype: str, backend: str, batch: int | None = None) -> list[np.ndarray]:
    """Values, gradients, states and what goes with initial states and bras, of one sample or of a batch."""
    circuit, observables, w, x = draw(seed, dtype)
    rows = () if batch is None else (batch,)
    model = kg.compile(circuit, observables, dtype=dtype, backend=backend)
    rng = np.random.default_rng(seed + 1)
    x = x if batch is None else rng.normal(size=(batch, 2))
    size = 1 << circuit.n_wires
    initial = rng.normal(size=(*rows, size)) + 1j * rng.normal(size=(*rows, size))
    initial = (initial / np.linalg.norm(initial, axis=-1, keepdims=True)).astype(dtype)
    bras = (rng.normal(size=(*rows, size)) + 1j * rng.normal(size=(*rows, size))) / size
    cotangents = rng.normal(size=(*rows, len(observables)))
    values, pullback = model.forward(w, x)
    plain = pullback(cotangents)
    moved, pullback = model.forward(w, x, initial=initial)
    both = pullback(cotangents, bras=bras, to_initial=True)
    jacobian = model.jacobian(w, x)
    return [values, plain.weights, plain.inputs, moved, both.weights, both.inputs, both.initial, model.state(w, x),
            model.state(w, x, initial=initial), jacobian.weights, jacobian.inputs]  # fmt: skip


def layered(n: int, layers: int) -> kg.Circuit:
    circuit = kg.Circuit(n)
    w = circuit.weights((layers, n, 3))
    for layer in range(layers):
        for q in range(n):
            circuit.rx(w[layer, q, 0], q).ry(w[layer, q, 1], q).rz(w[layer, q, 2], q)
        for q in range(n):
            circuit.cx(q, (q + 1) % n)
    return circuit
