"""A quantum kernel in scikit-learn's support vector machine, on the data it was invented for.

Havlicek et al. (Nature 567, 209): two features in [0, 2 pi) become a state of two qubits by Hadamards and phases,
twice; the kernel is the overlap |<x|y>|^2. Their data are labelled by the sign of <x| V^+ ZZ V |x> for a random unitary
V, with a gap of 0.3: made for this kernel, which can be right for every point, and hard for kernels of the two numbers.
That says nothing of other data. N points are N states and one matrix product, not N^2 circuits.

    python examples/kernel_svc.py [--quick] [--out FOLDER] [--seed N]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from shared import Figure, Picture, finish, options, progress
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

import ketgrad as kg

GAP = 0.3


def feature_map() -> kg.Circuit:
    """Two inputs to a state of two qubits: (H H, then phases x, y and (pi - x)(pi - y)), twice."""
    circuit = kg.Circuit(2)
    x = circuit.inputs(2)
    for _ in range(2):
        for q in range(2):
            circuit.h(q).rz(-2 * x[q], q)
        circuit.rzz(-2 * (np.pi - x[0]) * (np.pi - x[1]), 0, 1)
    return circuit


def hidden_observable(rng: np.random.Generator) -> kg.PauliSum:
    """V^+ ZZ V of a random unitary V: the labels are its sign."""
    unitary, _ = np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))
    return kg.Hermitian(unitary.conj().T @ np.diag([1, -1, -1, 1]) @ unitary, wires=[0, 1])


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Make the data, fit both machines for growing numbers of points, draw, and give the accuracies."""
    chosen = options(__doc__, argv, seed=0)
    rng = np.random.default_rng(chosen.seed)
    model = kg.compile(feature_map(), hidden_observable(rng))
    x = rng.uniform(0, 2 * np.pi, size=(6000, 2))
    truth = model(inputs=x)[:, 0]
    x, labels = x[np.abs(truth) > GAP], np.sign(truth[np.abs(truth) > GAP])
    test_x, test_labels = x[-1000:], labels[-1000:]

    sizes = (40, 100) if chosen.quick else (20, 40, 60, 100, 150, 200, 300)
    scores: dict[str, list[float]] = {"quantum kernel": [], "RBF kernel": []}  # the second with its best C and gamma
    for count in progress(sizes, "training sets"):
        machine = SVC(C=1e3, kernel=lambda a, b: kg.kernels.fidelity(model, a, b)).fit(x[:count], labels[:count])
        scores["quantum kernel"].append(machine.score(test_x, test_labels))
        rival = GridSearchCV(SVC(), {"C": [1, 10, 100, 1000], "gamma": [0.3, 1, 3, 10]}).fit(x[:count], labels[:count])
        scores["RBF kernel"].append(rival.score(test_x, test_labels))

    picture = Picture(figsize=(9.5, 3), layout="constrained")
    truth_axes, machine_axes, score_axes = picture.subplots(1, 3)
    side = np.linspace(0, 2 * np.pi, 61)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    for axes, shown, title in (
        (truth_axes, model(inputs=grid.reshape(-1, 2))[:, 0], "hidden observable"),
        (machine_axes, machine.decision_function(grid.reshape(-1, 2)), f"quantum kernel, {sizes[-1]} points"),
    ):
        shown = shown.reshape(grid.shape[:2]) / np.abs(shown).max()
        axes.contourf(side, side, shown, levels=np.linspace(-1, 1, 11), cmap="RdBu")
        axes.contour(side, side, shown, levels=[0], colors="k", linewidths=0.8)
        axes.scatter(*x[: sizes[-1]].T, c=labels[: sizes[-1]], cmap="RdBu", s=8, edgecolors="k", linewidths=0.4)
        axes.set(title=title, aspect="equal", xticks=[], yticks=[])
    for name, values in scores.items():
        score_axes.plot(sizes, values, "o-", label=name)
    score_axes.set(title="test accuracy", xlabel="training points")
    score_axes.legend()
    source = "every point, Havlicek et al., Nature 567, 209"
    name = f"test accuracy, {sizes[-1]} points"
    figures = [Figure(name, scores["quantum kernel"][-1], 1.0, source, 0.02, ".3f")]
    return finish(figures, picture, chosen.out / "kernel_svc.png")


if __name__ == "__main__":
    main()
