"""A variational classifier of parities on the [[4,2,2]] code, trained under noise with detection on and off.

Logical rotations go through an ancilla, whose own errors spread to the code (Adermann, Suzuki and Usman,
arXiv:2504.06775). With detection, runs in which the ancilla or a stabilizer reports an error are thrown away, and what
is trained is the expectation value of the others: a quotient, whose gradient is one adjoint sweep. So trained, the code
beats two bare qubits with the same noise, as long as its ancilla is good enough; and it pays in runs.

    python examples/encoded_training.py [--quick] [--out FOLDER]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from shared import Figure, Picture, finish, options, progress

import ketgrad as kg
from ketgrad import qec
from ketgrad.adam import Adam, cosine

BITS = np.pi * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
PARITY = np.array([[1.0], [-1.0], [-1.0], [1.0]])
DATA = 0.002  # depolarizing after every gate on data


def trained(model: kg.Model, steps: int, seed: int) -> tuple[float, np.ndarray]:
    """The share of right readouts after training, and the weights."""
    weights = np.random.default_rng(seed).uniform(-np.pi, np.pi, model.n_weights)
    adam = Adam(model.n_weights)
    for k in range(steps):
        _, pullback = model.forward(weights, BITS)
        adam.step(weights, pullback(-PARITY).weights, cosine(k, steps, 0.3))
    return float(((1 + PARITY * model(weights, BITS)) / 2).mean()), weights


def slope_error(model: kg.Model, weights: np.ndarray) -> float:
    """How far the gradient of the quotient is from central differences."""
    found, step = model.forward(weights, BITS)[1](PARITY).weights.reshape(-1), 1e-5
    moved = [(weights + s * e, weights - s * e) for s, e in ((step, e) for e in np.eye(len(weights)))]
    numeric = [((model(a, BITS) - model(b, BITS)) * PARITY).sum() / (2 * step) for a, b in moved]
    return float(np.abs(found - numeric).max())


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Accuracy over the ancilla's error rate, a picture, and the figures."""
    chosen = options(__doc__, argv, seed=1)
    layers, steps, seeds = (1, 100, 1) if chosen.quick else (2, 100, 2)
    rates = np.array([0.0005, 0.02] if chosen.quick else [0.0005, 0.001, 0.002, 0.004, 0.008, 0.02])
    runs = [chosen.seed + k for k in range(seeds)]

    ideal = trained(qec.parity_classifier(layers, detect=True), steps, chosen.seed)[0]
    bare_model = qec.parity_classifier(layers, data=DATA, encoded=False)
    bare = float(np.mean([trained(bare_model, steps, s)[0] for s in runs]))
    accuracy = {True: np.zeros((len(rates), seeds)), False: np.zeros((len(rates), seeds))}
    kept, worst = np.zeros(len(rates)), 0.0
    for k, rate in enumerate(progress(rates.tolist(), "ancilla error rates")):
        for detect, found in accuracy.items():
            model = qec.parity_classifier(layers, data=DATA, ancilla=rate, detect=detect)
            ends = [trained(model, steps, s) for s in runs]
            found[k] = [accurate for accurate, _ in ends]
            if detect:
                kept[k] = model.acceptance(ends[0][1], BITS).mean()
                worst = max(worst, slope_error(model, ends[0][1]))

    picture = Picture(figsize=(9, 3.6), layout="constrained")
    left, right = picture.subplots(1, 2)
    for detect, name in ((True, "[[4,2,2]], detection"), (False, "[[4,2,2]], no detection")):
        left.errorbar(
            rates, accuracy[detect].mean(axis=1), accuracy[detect].std(axis=1), fmt="o-", capsize=2, label=name
        )
    left.axhline(bare, color="gray", linestyle="--", label="two bare qubits")
    left.set(title="right readouts after training", xscale="log", xlabel="error of the ancilla's gates", ylabel="share")
    left.legend(fontsize=8)
    right.plot(rates, kept, "o-")
    right.set(
        title="runs that are kept", xscale="log", xlabel="error of the ancilla's gates", ylabel="share", ylim=(0, 1)
    )

    print(f"two bare qubits: {bare:.4f} right")
    for k, rate in enumerate(rates):
        on, off = (accuracy[d][k].mean() for d in (True, False))
        print(f"ancilla {rate:.4f}: {on:.4f} right with detection, {kept[k]:.3f} of runs kept; {off:.4f} without")
    figures = [
        Figure("right readouts without noise", ideal, 1.0, "parity is a logical CNOT", 1e-3, ".4f"),
        Figure("gradient of the quotient, error", worst, 0.0, "central differences", 1e-8, ".1e"),
        Figure("a good ancilla gains", float(accuracy[True][0].mean() > bare), 1.0, "arXiv:2504.06775", 0.0, ".0f"),
        Figure("a bad one gains", float(accuracy[True][-1].mean() > bare), 0.0, "arXiv:2504.06775", 0.0, ".0f"),
    ]
    return finish(figures, picture, chosen.out / "encoded_training.png")


if __name__ == "__main__":
    main()
