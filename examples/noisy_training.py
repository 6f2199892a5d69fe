"""Training under noise: the hybrid classifier of ten digits, unmitigated and by zero-noise extrapolation.

Every seed is trained four times from the same start on the same minibatches: without noise, with noise, and with noise
extrapolated from two and from three strengths, through which gradients go exactly. What noise costs is the test loss
above that of the training without it. Mitigation takes most of it away at this depth and this noise; it asks for more
shots, which it prints, and it is no cure where noise has flattened the landscape (Wang et al., Quantum 8, 1287).

    python examples/noisy_training.py [--quick] [--out FOLDER] [--seed N]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from shared import Figure, Picture, finish, options, progress

import ketgrad as kg
from ketgrad import mitigation, noise
from ketgrad.adam import Adam, cosine
from ketgrad.data import load, stratified_split
from ketgrad.hybrid import Classifier

QUBITS, LAYERS, BATCH, RATE = 4, 3, 32, 0.01
DEVICE = (
    noise.NoiseModel()
    .after(noise.depolarizing(0.02, 2), ["cz"])
    .after(noise.amplitude_damping(0.02), ["cz"], on="each")
    .after(noise.depolarizing(0.002), n_wires=1)
)
WAYS: dict[str, Callable[[kg.Circuit, Any], Any]] = {
    "without noise": kg.compile,
    "noise": lambda c, o: kg.compile(DEVICE.apply(c), o),
    "noise, ZNE linear 1, 3": lambda c, o: mitigation.zne(c, o, DEVICE, scales=(1, 3), extrapolate="linear"),
    "noise, ZNE Richardson 1, 3, 5": lambda c, o: mitigation.zne(c, o, DEVICE),
}


def train(way: Callable[[kg.Circuit, Any], Any], data: Any, test: Any, epochs: int, seed: int) -> list[float]:
    """The test loss before the first epoch and after each."""
    rng = np.random.default_rng(seed)
    features, labels = data
    network = Classifier.create(features, sorted(set(labels)), qubits=QUBITS, layers=LAYERS, rng=rng)
    network.model = way(network.model.circuit, network.model.observables)
    x, targets = network.standardise(features), network.targets(labels)
    test_x, test_targets = network.standardise(test[0]), network.targets(test[1])
    adam, steps = Adam(len(network.theta), 0.0, network.decayed), len(x) // BATCH
    losses = [network.loss_and_gradient(test_x, test_targets)[0]]
    for epoch in range(epochs):
        order = rng.permutation(len(x))
        for k in range(steps):
            rows = order[k * BATCH : (k + 1) * BATCH]
            gradient = network.loss_and_gradient(x[rows], targets[rows])[2]
            adam.step(network.theta, gradient, cosine(epoch * steps + k, epochs * steps, RATE))
        losses.append(network.loss_and_gradient(test_x, test_targets)[0])
    return losses


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Train every seed in every way, draw the losses, and give what noise costs."""
    chosen = options(__doc__, argv, seed=0)
    digits = load("digits")
    first, second = stratified_split(digits.labels)
    first = first[::2] if chosen.quick else first
    data, test = ((digits.features[k], digits.labels[k]) for k in (first, second))
    epochs, seeds = (
        (1, range(chosen.seed, chosen.seed + 2)) if chosen.quick else (4, range(chosen.seed, chosen.seed + 5))
    )
    losses: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    for name, seed in progress([(n, s) for n in WAYS for s in seeds], "trainings"):
        losses[name].append(train(WAYS[name], data, test, epochs, seed))

    picture = Picture(figsize=(9, 3.3), layout="constrained")
    curves, costs = picture.subplots(1, 2)
    excess, error = {}, {}
    for k, (name, runs) in enumerate(losses.items()):
        table = np.array(runs)
        above = table[:, -1] - np.array(losses["without noise"])[:, -1]
        excess[name], error[name] = above.mean(), above.std(ddof=1) / np.sqrt(len(above))
        spread = table.std(axis=0, ddof=1) / np.sqrt(len(table))
        curves.errorbar(range(epochs + 1), table.mean(axis=0), spread, capsize=2, label=name, c=f"C{k}")
        if name != "without noise":
            costs.errorbar(name.removeprefix("noise, "), excess[name], error[name], fmt="o", capsize=3, c=f"C{k}")
            model = WAYS[name](kg.Circuit(1).x(0), [kg.Z(0)])
            shots = f"{model.cost().one_norm ** 2:.3g} times the shots" if name != "noise" else "no mitigation"
            print(f"{name}: test loss {excess[name]:.3f} +- {error[name]:.3f} above that without noise; {shots}")
    curves.set(title="ten digits", xlabel="epoch", ylabel="test loss", yscale="log")
    curves.legend(fontsize=7)
    costs.margins(x=0.3)
    costs.axhline(0, c="k", lw=0.8, ls=":")
    costs.set(title=f"what noise costs, {len(seeds)} seeds", ylabel="test loss above that without noise")
    costs.tick_params(axis="x", labelsize=7)
    half = excess["noise"] / 2
    figures = [
        Figure(f"excess loss, {name}", excess[name], 0.0, "half of that of noise is allowed", half, ".4f")
        for name in WAYS
        if "ZNE" in name
    ]
    return finish(figures, picture, chosen.out / "noisy_training.png")


if __name__ == "__main__":
    main()
