"""A variational classifier: two interleaved half-moons, told apart by a circuit of three qubits.

Each layer encodes both coordinates of a point anew and then turns every qubit by trainable angles. A whole mini-batch
goes through the circuit in one call: PennyLane broadcasts `points[:, 0]`, and ketgrad.qubit simulates the batch, and
differentiates it, as a batch.

    python examples/classifier.py                           on ketgrad
    python examples/classifier.py --device default.qubit    the same numbers on PennyLane's own simulator
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pennylane as qml
from pennylane import numpy as np

WIRES = 3
LAYERS = 4
BATCH = 32


class Result(NamedTuple):
    """Accuracies in [0, 1], the mean loss of the training set, and the trained weights (LAYERS, WIRES, 3)."""

    train_accuracy: float
    test_accuracy: float
    loss: float
    weights: Any


def half_moons(count: int, rng: Any) -> tuple[Any, Any]:
    """`count` points (count, 2) of two noisy half circles that reach into each other, and their labels, 1 or -1."""
    angle = np.pi * rng.random(count)
    labels = np.where(np.arange(count) % 2 == 0, 1, -1)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    points = np.where(labels[:, None] == 1, upper, lower) + 0.1 * rng.normal(size=(count, 2))
    return np.array(points, requires_grad=False), np.array(labels, requires_grad=False)


def classifier(device: Any) -> Any:
    """The QNode: weights (LAYERS, WIRES, 3) and points (B, 2) to B scores in [-1, 1]."""

    @qml.qnode(device)
    def score(weights: Any, points: Any) -> Any:
        for layer in range(LAYERS):
            for wire in range(WIRES):
                qml.RY(points[:, wire % 2], wires=wire)  # one angle a point: this makes the circuit a batch
                qml.Rot(*weights[layer, wire], wires=wire)
            for wire in range(WIRES):
                qml.CNOT(wires=[wire, (wire + 1) % WIRES])
        return qml.expval(qml.PauliZ(0))

    return score


def progress(steps: int) -> Iterable[int]:
    """The numbers of the steps, behind a progress bar where tqdm is installed."""
    try:
        from tqdm import trange
    except ImportError:
        return range(steps)
    return trange(steps, desc="training", unit="step")


def main(argv: Sequence[str] | None = None) -> Result:
    """Train, report, and return the numbers."""
    parser = argparse.ArgumentParser(description="Train a variational classifier on two half-moons.")
    parser.add_argument("--device", default="ketgrad.qubit", help="name of a PennyLane device (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=150, help="mini-batches to train on (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of data, weights and batches (default: %(default)s)")
    options = parser.parse_args(argv)

    rng = np.random.default_rng(options.seed)
    train_points, train_labels = half_moons(200, rng)
    test_points, test_labels = half_moons(200, rng)
    weights = np.array(rng.normal(scale=0.3, size=(LAYERS, WIRES, 3)), requires_grad=True)

    score = classifier(qml.device(options.device, wires=WIRES))

    def loss(weights: Any, points: Any, labels: Any) -> Any:
        return np.mean((score(weights, points) - labels) ** 2)

    def accuracy(points: Any, labels: Any) -> float:
        return float(np.mean(np.sign(score(weights, points)) == labels))

    optimiser = qml.AdamOptimizer(stepsize=0.05)
    start = time.perf_counter()
    for _ in progress(options.steps):
        batch = rng.choice(len(train_points), BATCH, replace=False)
        weights, _, _ = optimiser.step(loss, weights, train_points[batch], train_labels[batch])
    elapsed = time.perf_counter() - start

    result = Result(
        accuracy(train_points, train_labels),
        accuracy(test_points, test_labels),
        float(loss(weights, train_points, train_labels)),
        weights,
    )
    print(f"{options.device}: {options.steps} steps of {BATCH} points in {elapsed:.1f} s")
    print(f"  loss            {result.loss:.6f}")
    print(f"  train accuracy  {result.train_accuracy:.3f}")
    print(f"  test accuracy   {result.test_accuracy:.3f}")
    return result


if __name__ == "__main__":
    main()
