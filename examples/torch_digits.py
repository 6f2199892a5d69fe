"""A hybrid network in torch on scikit-learn's ten-class digits: `kg.torch.Layer` between two linear layers.

The circuit is a layer like any other: optimiser, schedule, loss and DataLoader are torch's. Beside it stands the same
network with a layer of hyperbolic tangents in the circuit's place, of as many outputs. No advantage is claimed: both do
equally well.

    python examples/torch_digits.py [--quick] [--out FOLDER] [--seed N]
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import numpy as np
import torch
from shared import Figure, Picture, finish, options, progress
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

import ketgrad as kg

QUBITS, LAYERS = 8, 2
READOUTS = QUBITS * (QUBITS + 1) // 2


def quantum_layer() -> torch.nn.Module:
    """(..., 8) numbers in (-1, 1) to (..., 36) expectation values: Z of every wire, ZZ of every pair."""
    circuit = kg.Circuit(QUBITS)
    x, w = circuit.inputs(QUBITS), circuit.weights((LAYERS, QUBITS, 3))
    for q in range(QUBITS):
        circuit.ry(np.pi / 2 * (1 + x[q]), q)
    for layer in w:
        for q in range(QUBITS):
            circuit.cz(q, (q + 1) % QUBITS)
        for q in range(QUBITS):
            circuit.rot(layer[q], q)
    singles = [kg.Z(q) for q in range(QUBITS)]
    observables = singles + [a @ b for a, b in itertools.combinations(singles, 2)]
    return kg.torch.Layer(circuit, observables, init=(-0.1, 0.1))


def network(hidden: torch.nn.Module) -> torch.nn.Module:
    """64 pixels to 8 bounded numbers, through the hidden layer, to 10 classes."""
    return torch.nn.Sequential(torch.nn.Linear(64, QUBITS), torch.nn.Tanh(), hidden, torch.nn.Linear(READOUTS, 10))


def train(net: torch.nn.Module, data: TensorDataset, test: TensorDataset, epochs: int, name: str) -> list[float]:
    """The test accuracy after every epoch."""
    loader = DataLoader(data, batch_size=32, shuffle=True)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    accuracies = []
    for _ in progress(range(epochs), name):
        for x, labels in loader:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(x), labels).backward()
            optimiser.step()
        schedule.step()
        with torch.no_grad():
            x, labels = test.tensors
            accuracies.append((net(x).argmax(dim=1) == labels).double().mean().item())
    return accuracies


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Train both networks, draw their accuracies, and give the last."""
    chosen = options(__doc__, argv, seed=0)
    torch.manual_seed(chosen.seed)
    pixels, digits = load_digits(return_X_y=True)
    pixels = (pixels - pixels.mean(axis=0)) / np.maximum(pixels.std(axis=0), 0.3)
    split = train_test_split(pixels.astype(np.float32), digits, test_size=0.2, stratify=digits, random_state=0)
    x, test_x, labels, test_labels = map(torch.as_tensor, split)
    data, test = TensorDataset(x, labels), TensorDataset(test_x, test_labels)

    epochs = 3 if chosen.quick else 30
    rivals = {
        f"circuit of {QUBITS} qubits": quantum_layer(),
        f"{READOUTS} tanh units": torch.nn.Sequential(torch.nn.Linear(QUBITS, READOUTS), torch.nn.Tanh()),
    }
    picture = Picture(figsize=(5.5, 3.3), layout="constrained")
    axes = picture.subplots()
    last = []
    for name, hidden in rivals.items():
        started = time.perf_counter()
        net = network(hidden)
        accuracies = train(net, data, test, epochs, name)
        parameters = sum(p.numel() for p in net.parameters())
        last.append(accuracies[-1])
        print(f"{name}: {parameters} parameters, {time.perf_counter() - started:.1f} s")
        axes.plot(range(1, epochs + 1), accuracies, label=f"{name}, {parameters} parameters")
    axes.set(title="digits, 10 classes", xlabel="epoch", ylabel="test accuracy", ylim=(0.8, 1))
    axes.legend(loc="lower right")
    figures = [Figure("test accuracy", last[0], last[1], "tanh in the circuit's place, trained here", 0.05, ".3f")]
    return finish(figures, picture, chosen.out / "torch_digits.png")


if __name__ == "__main__":
    main()
