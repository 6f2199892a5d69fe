"""Data re-uploading: one qubit learns a circle when it sees the data often enough.

The problem of Perez-Salinas et al. (Quantum 4, 226, arXiv:1907.02085): points of the square [-1, 1]^2, inside or
outside the circle of radius sqrt(2/pi), which has half the area. Each layer is one Rot whose angles are weights plus
weights times coordinates; ketgrad differentiates such products by itself. The state that is nearer, |0> or |1>, is the
prediction.

    python examples/reuploading.py [--quick] [--out FOLDER] [--seed N]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from shared import Figure, Picture, finish, options, progress
from sklearn.svm import SVC

import ketgrad as kg

RADIUS = np.sqrt(2 / np.pi)


def points(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(count, 2) points of the square, and 1 for those inside the circle, -1 outside."""
    x = rng.uniform(-1, 1, size=(count, 2))
    return x, np.where(np.hypot(*x.T) < RADIUS, 1, -1)


def classifier(layers: int) -> kg.Model:
    """<Z> of one qubit after `layers` uploads of two coordinates."""
    circuit = kg.Circuit(1)
    x, angles, slopes = circuit.inputs(2), circuit.weights((layers, 3)), circuit.weights((layers, 2))
    for angle, slope in zip(angles, slopes, strict=True):
        circuit.rot(angle[0] + slope[0] * x[0], angle[1] + slope[1] * x[1], angle[2], 0)
    return kg.compile(circuit, kg.Z(0))


def train(model: kg.Model, x: np.ndarray, labels: np.ndarray, rng: np.random.Generator, starts: int) -> np.ndarray:
    """The weights of the least mean square error, of several starts."""

    def loss_and_slope(weights: np.ndarray) -> tuple[float, np.ndarray]:
        values, pullback = model.forward(weights, x)
        miss = values[:, 0] - labels
        return np.mean(miss**2), pullback(2 * miss[:, None] / len(x)).weights

    how = {"jac": True, "method": "L-BFGS-B", "options": {"maxiter": 200}}
    found = [minimize(loss_and_slope, rng.normal(size=model.n_weights), **how) for _ in range(starts)]
    return min(found, key=lambda f: f.fun).x


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Train for several numbers of layers, draw the boundaries, and give the accuracies."""
    chosen = options(__doc__, argv, seed=0)
    rng = np.random.default_rng(chosen.seed)
    x, labels = points(200, rng)
    test_x, test_labels = points(4000, rng)
    side = np.linspace(-1, 1, 81)
    grid = np.stack(np.meshgrid(side, side), axis=-1)

    depths = (1, 6) if chosen.quick else (1, 2, 4, 6, 8)
    picture = Picture(figsize=(2.3 * len(depths), 2.6), layout="constrained")
    accuracies = {}
    for axes, layers in zip(picture.subplots(1, len(depths)), progress(depths, "layers"), strict=True):
        model = classifier(layers)
        weights = train(model, x, labels, rng, starts=3 if chosen.quick else 6)
        accuracies[layers] = float(np.mean(np.sign(model(weights, test_x)[:, 0]) == test_labels))
        shown = model(weights, grid.reshape(-1, 2)).reshape(grid.shape[:2])
        axes.contourf(side, side, shown, levels=np.linspace(-1.01, 1.01, 11), cmap="RdBu")
        axes.contour(side, side, shown, levels=[0], colors="k", linewidths=0.8)
        axes.plot(RADIUS * np.cos(np.pi * side), RADIUS * np.sin(np.pi * side), "k--", lw=0.8)
        axes.set(title=f"{layers} layers: {accuracies[layers]:.3f}", aspect="equal", xticks=[], yticks=[])

    machine = SVC(C=100).fit(x, labels).score(test_x, test_labels)
    name = f"test accuracy, {depths[-1]} layers"
    figures = [Figure(name, accuracies[depths[-1]], machine, "an RBF SVC on the same 200 points", 0.05, ".3f")]
    return finish(figures, picture, chosen.out / "reuploading.png")


if __name__ == "__main__":
    main()
