"""A row of "Better than classical?" (Bowles, Ahmed and Schuld, arXiv:2403.07059): data re-uploading on separable data.

Ten features, uniform in a cube, labelled by the side of a hyperplane from which they keep a margin; 240 points to learn
from, 60 to test. The model: four qubits of three features each, five layers of Rot(x * omega) Rot(theta) with CZs
between neighbours, all qubits measured, weighted squared fidelities as the loss. Adam (0.01), batches of 32, until the
mean loss of 200 steps stops falling; five seeds. The points are those of the paper: the same random numbers in the same
order. The seeds of the training are not, so only means compare.

    python examples/qml_benchmarks.py [--quick] [--out FOLDER]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from shared import Figure, Picture, finish, options, progress

import ketgrad as kg

FEATURES, LAYERS, BATCH, RATE, PATIENCE = 10, 5, 32, 0.01, 200
QUBITS = -(-FEATURES // 3)
PUBLISHED = (0.9667, 0.8167, 0.9, 0.8833, 0.8833)  # seeds 0 to 4


def separable(features: int) -> tuple[np.ndarray, ...]:
    """Training points (240, features) and labels, test points and labels; scaled to +-pi/2 by the former."""
    rng = np.random.RandomState(42)
    for f in range(2, features + 1):  # the paper makes all dimensions in one go
        x = 2 * rng.rand(600, f) - 1
        x = x[np.abs(x.sum(axis=1)) > 0.02 * f][:300]
        order = rng.permutation(300)
    labels = -np.sign(x.sum(axis=1))
    test, train = order[:60], order[60:]
    low, high = x[train].min(axis=0), x[train].max(axis=0)
    x = np.pi * ((x - low) / (high - low) - 0.5)
    return x[train], labels[train], x[test], labels[test]


def reuploading() -> kg.Model:
    """<Z> of every qubit; weights are omega and then theta, (layers + 1, qubits, 3) each."""
    circuit = kg.Circuit(QUBITS)
    x = [*circuit.inputs(FEATURES), *[0.0] * (3 * QUBITS - FEATURES)]
    omega, theta = circuit.weights((LAYERS + 1, QUBITS, 3)), circuit.weights((LAYERS + 1, QUBITS, 3))
    for layer in range(LAYERS + 1):
        for q in range(QUBITS):
            upload = [x[3 * q + k] * omega[layer, q, k] for k in range(3)]
            if layer < LAYERS:
                circuit.rot(*upload, q).rot(*theta[layer, q], q)
            else:
                circuit.rot(*(u + t for u, t in zip(upload, theta[layer, q], strict=True)), q)
        for q in range(layer % 2, QUBITS - 1, 2) if layer < LAYERS else ():
            circuit.cz(q, q + 1)
    return kg.compile(circuit, [kg.Z(q) for q in range(QUBITS)])


def loss_and_slope(model: kg.Model, theta: np.ndarray, x: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """The weighted fidelity loss (equation 23 of arXiv:1907.02085): two trainable factors for each qubit."""
    factors = theta[model.n_weights :].reshape(2, 1, QUBITS)
    values, pullback = model.forward(theta[: model.n_weights], x)
    signs = np.array([-1, 1])[:, None, None]
    fidelities = (1 + signs * values) / 2  # with |1> and |0>, (2, B, qubits)
    miss = factors * fidelities - (1 + signs * labels[:, None]) / 2
    to_values = (miss * factors * signs / 2).sum(axis=0) / len(x)
    to_factors = (miss * fidelities).sum(axis=1) / len(x)
    return 0.5 * np.sum(miss**2) / len(x), np.concatenate([pullback(to_values).weights, to_factors.reshape(-1)])


def train(model: kg.Model, x: np.ndarray, labels: np.ndarray, seed: int, steps: int) -> tuple[np.ndarray, list[float]]:
    """Trained weights and factors, and the loss of every step."""
    rng = np.random.default_rng(seed)
    theta = np.concatenate([rng.uniform(size=model.n_weights), np.ones(2 * QUBITS)])
    mean, square, losses = np.zeros_like(theta), np.zeros_like(theta), []
    for step in progress(range(1, steps + 1), f"seed {seed}"):
        rows = rng.choice(len(x), BATCH, replace=False)
        loss, slope = loss_and_slope(model, theta, x[rows], labels[rows])
        losses.append(loss)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        theta = theta - RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        last, before = losses[-PATIENCE:], losses[-2 * PATIENCE : -PATIENCE]
        if step > 2 * PATIENCE and abs(np.mean(before) - np.mean(last)) <= np.std(last) / (2 * np.sqrt(PATIENCE)):
            break
    return theta, losses


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Train all seeds, draw losses and accuracies, and give the mean accuracy."""
    chosen = options(__doc__, argv)
    x, labels, test_x, test_labels = separable(FEATURES)
    model = reuploading()
    picture = Picture(figsize=(8, 3), layout="constrained")
    loss_axes, axes = picture.subplots(1, 2)
    accuracies = []
    for seed in range(1 if chosen.quick else 5):
        theta, losses = train(model, x, labels, seed, steps=600 if chosen.quick else 10_000)
        values = model(theta[: model.n_weights], test_x)
        accuracies.append(float(np.mean(np.sign(values.mean(axis=1)) == test_labels)))
        print(f"seed {seed}: {len(losses)} steps, test accuracy {accuracies[-1]:.4f}")
        loss_axes.plot(np.convolve(losses, np.ones(50) / 50, mode="valid"), label=f"seed {seed}")
    loss_axes.set(title="loss, mean of 50 steps", xlabel="step")
    loss_axes.legend(fontsize=7)
    axes.plot(range(5), sorted(PUBLISHED), "s", label="published")
    axes.plot(range(len(accuracies)), sorted(accuracies), "o", label="ketgrad")
    axes.set(title="test accuracies, sorted", xlabel="seeds", ylim=(0.5, 1.02))
    axes.legend()
    spread = np.std(PUBLISHED, ddof=1) * np.sqrt(1 / len(PUBLISHED) + 1 / len(accuracies))
    source = "arXiv:2403.07059, mean of 5 seeds; allowed: two standard deviations"
    name = f"mean test accuracy, {len(accuracies)} seeds"
    figures = [Figure(name, float(np.mean(accuracies)), float(np.mean(PUBLISHED)), source, 2 * spread, ".4f")]
    return finish(figures, picture, chosen.out / "qml_benchmarks.png")


if __name__ == "__main__":
    main()
