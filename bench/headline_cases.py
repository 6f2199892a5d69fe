"""The workloads of `headline.py`: circuits and losses that suites and tutorials of other simulators already use.

Each is a circuit of ketgrad, which is translated gate by gate for the others. The loss is the sum over samples and
observables of (value - target)^2, so that cotangents depend on values; of an energy, the energy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from large_cases import regular_graph

import ketgrad as kg

Array = np.ndarray
Answer = tuple[Array, Array, Array]  # values (B, M), gradients of weights (P,) and inputs (B, F)


@dataclass(frozen=True)
class Workload:
    """One training step.

    Attributes:
        targets: (B, M) of a squared error; None where the loss is the sum of the values.
    """

    name: str
    circuit: kg.Circuit
    observables: list[kg.PauliSum]
    weights: Array
    inputs: Array
    targets: Array | None

    @property
    def batch(self) -> int:
        """B, samples of a step."""
        return len(self.inputs)

    @property
    def features(self) -> int:
        """F, inputs of a sample."""
        return self.inputs.shape[1]

    def first(self) -> Workload:
        """The same with one sample."""
        return replace(self, inputs=self.inputs[:1], targets=None if self.targets is None else self.targets[:1])

    def cotangents(self, values: Array) -> Array:
        """Derivatives of the loss by the values, (B, M)."""
        return np.ones_like(values) if self.targets is None else 2 * (values - self.targets)

    def facts(self) -> dict[str, int]:
        """What the cost of a step depends on; `shifted` counts the angles that parameter-shift has to shift."""
        gates, angles = self.circuit.gates, [p for g in self.circuit.gates for p in g.params]
        kinds = [p.affine[0][0] for p in angles if isinstance(p, kg.circuit.Expression) and p.affine]
        return {
            "n": self.circuit.n_wires,
            "P": self.circuit.n_weights,
            "F": self.features,
            "G": len(gates),
            "B": self.batch,
            "M": len(self.observables),
            "shifted weights": kinds.count("w"),
            "shifted inputs": kinds.count("x"),
        }


def workload(
    name: str, circuit: kg.Circuit, observables: list[kg.PauliSum], batch: int = 1, inputs: Array | None = None
) -> Workload:
    """With random weights, inputs and, where there are inputs, targets."""
    rng = np.random.default_rng(7)
    weights = rng.uniform(-np.pi, np.pi, circuit.n_weights)
    if inputs is None:
        inputs = rng.uniform(-np.pi, np.pi, (batch, circuit.n_inputs))
    targets = rng.uniform(-1, 1, (len(inputs), len(observables))) if circuit.n_inputs else None
    return Workload(name, circuit, observables, weights, inputs, targets)


def layered(name: str, qubits: int, layers: int, batch: int, reach: Callable[[int], int]) -> Workload:
    """RX of the inputs, then layers of Rot on every wire and CNOTs to the wire `reach(layer)` further on; Z of each."""
    circuit = kg.Circuit(qubits)
    x, w = circuit.inputs(qubits), circuit.weights((layers, qubits, 3))
    for q in range(qubits):
        circuit.rx(x[q], q)
    for layer in range(layers):
        for q in range(qubits):
            circuit.rot(w[layer, q], q)
        for q in range(qubits):
            circuit.cnot(q, (q + reach(layer)) % qubits)
    return workload(name, circuit, [kg.Z(q) for q in range(qubits)], batch)


def hybrid(qubits: int, layers: int, batch: int) -> Workload:
    """The hybrid step: CNOTs in a ring."""
    return layered(f"hybrid {qubits}, {layers}, {batch}", qubits, layers, batch, lambda layer: 1)


def entangling(case: str, qubits: int, layers: int, batch: int) -> Workload:
    """PennyLane's StronglyEntanglingLayers: CNOTs reach one wire further in every layer."""
    name = f"entangling {case}"
    return layered(name, qubits, layers, batch, lambda layer: layer % (qubits - 1) + 1)


def ising_layers(circuit: kg.Circuit, pairs: list[tuple[int, int]], layers: int) -> None:
    """Layers of exp(-i w ZZ) on pairs and of RX on every wire, a weight for each."""
    zz, w = circuit.weights((layers, len(pairs))), circuit.weights((layers, circuit.n_wires))
    for layer in range(layers):
        for k, (a, b) in enumerate(pairs):
            circuit.rzz(2 * zz[layer, k], a, b)
        for q in range(circuit.n_wires):
            circuit.rx(w[layer, q], q)


def vqe(qubits: int = 10, layers: int = 3) -> Workload:
    """TensorCircuit's VQE benchmark: energy of the transverse-field Ising chain with open ends."""
    circuit, chain = kg.Circuit(qubits), [(q, q + 1) for q in range(qubits - 1)]
    for q in range(qubits):
        circuit.h(q)
    ising_layers(circuit, chain, layers)
    energy = sum((kg.Z(a) @ kg.Z(b) for a, b in chain), start=kg.PauliSum())
    energy -= sum((kg.X(q) for q in range(qubits)), start=kg.PauliSum())
    return workload("VQE, Ising chain", circuit, [energy])


def qaoa(qubits: int = 12, layers: int = 3) -> Workload:
    """MaxCut of a random 3-regular graph: the cost, sum of ZZ over the edges, and its 2 p derivatives."""
    circuit, edges = kg.Circuit(qubits), regular_graph(qubits)
    gamma, beta = circuit.weights(layers), circuit.weights(layers)
    for q in range(qubits):
        circuit.h(q)
    for layer in range(layers):
        for a, b in edges:
            circuit.rzz(gamma[layer], a, b)
        for q in range(qubits):
            circuit.rx(2 * beta[layer], q)
    cost = sum((kg.Z(a) @ kg.Z(b) for a, b in edges), start=kg.PauliSum())
    return workload("QAOA, MaxCut", circuit, [cost])


def classifier(qubits: int = 10, layers: int = 3, batch: int = 100) -> Workload:
    """TensorCircuit's QML benchmark: features of norm 1, times pi; every wire couples to the readout."""
    circuit = kg.Circuit(qubits)
    x = circuit.inputs(qubits - 1)
    for q in range(qubits - 1):
        circuit.rx(np.pi * x[q], q)
    ising_layers(circuit, [(q, qubits - 1) for q in range(qubits - 1)], layers)
    features = np.random.default_rng(3).normal(size=(batch, qubits - 1))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return workload("QML, Ising layers", circuit, [kg.Z(qubits - 1)], inputs=features)


def ladder(qubits: int = 10, layers: int = 4) -> Workload:
    """TensorCircuit's gradient benchmark: a ladder of CNOTs, RX RZ RX on every wire; the value is of X on all wires."""
    circuit = kg.Circuit(qubits)
    w = circuit.weights((layers, 3, qubits))
    for layer in range(layers):
        for q in range(qubits - 1):
            circuit.cnot(q, q + 1)
        for k, gate in enumerate((circuit.rx, circuit.rz, circuit.rx)):
            for q in range(qubits):
                gate(w[layer, k, q], q)
    word = kg.PauliSum.from_words({"X" * qubits: 1.0})
    return workload("gradient, X on all", circuit, [word])


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "hybrid-4": lambda: hybrid(4, 3, 32),
    "hybrid-8": lambda: hybrid(8, 4, 64),
    "hybrid-12": lambda: hybrid(12, 4, 64),
    "entangling-A": lambda: entangling("A", 4, 3, 32),
    "entangling-G": lambda: entangling("G", 4, 4, 1024),
    "entangling-D": lambda: entangling("D", 10, 5, 32),
    "vqe": vqe,
    "qaoa": qaoa,
    "qml": classifier,
    "gradient": ladder,
}
SINGLE = ("hybrid-4", "hybrid-8", "hybrid-12")  # of which complex64 is measured too
