"""QAOA for MaxCut: the shares of edges that theory promises on the Petersen and Heawood graphs and on rings.

A layer is exp(-i gamma C) and then exp(-i beta sum X), C counting the edges that are cut: one `evolve` each. What p
layers reach is known where no cycle is shorter than 2p + 2: for rings, and for 3-regular graphs. The landscape of one
layer is one batch, with gamma and beta as inputs instead of weights.

    python examples/maxcut.py [--quick] [--out FOLDER]
"""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np
from scipy.optimize import minimize
from shared import Figure, Picture, finish, options, progress

import ketgrad as kg

WANG = "Wang et al., Phys. Rev. A 97, 022304"
FARHI = "(2p+1)/(2p+2), Farhi et al., arXiv:1411.4028"
WURTZ = "0.7559063 in Wurtz and Lykov, Phys. Rev. A 104, 052419"
SHARES = {1: 1 / 2 + 1 / (3 * np.sqrt(3)), 2: 0.755906458453}  # of 3-regular graphs


def qaoa(graph: nx.Graph, layers: int, trained: bool = True) -> kg.Model:
    """The share of edges cut, as a function of (layers, 2) angles: weights if trained, else inputs of a batch."""
    cut = sum((0.5 - 0.5 * kg.Z(a) @ kg.Z(b) for a, b in graph.edges), kg.PauliSum())
    mixer = sum((kg.X(q) for q in graph), kg.PauliSum())
    circuit = kg.Circuit(len(graph))
    angles = circuit.weights((layers, 2)) if trained else circuit.inputs((layers, 2))
    for q in graph:
        circuit.h(q)
    for gamma, beta in angles:
        circuit.evolve(cut, gamma).evolve(mixer, beta)
    return kg.compile(circuit, cut / graph.number_of_edges())


def best_angles(model: kg.Model, layers: int) -> tuple[float, np.ndarray]:
    """The largest share and its angles (layers, 2), from gammas that grow and betas that shrink with the layers."""

    def loss_and_slope(angles: np.ndarray) -> tuple[float, np.ndarray]:
        values, pullback = model.forward(angles)
        return -values[0], pullback([-1.0]).weights

    s = (np.arange(layers) + 0.5) / layers
    start = np.stack([0.4 + 0.4 * s, 0.7 - 0.5 * s], axis=1).reshape(-1)
    found = minimize(loss_and_slope, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    return float(-found.fun), found.x.reshape(layers, 2)


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Train every graph, sample cuts, draw the landscape, and give the figures."""
    chosen = options(__doc__, argv)
    graphs = [
        ("Petersen", nx.petersen_graph(), 1, SHARES[1], WANG),
        ("Heawood", nx.heawood_graph(), 2, SHARES[2], WURTZ),
    ]
    for p in range(1, 4 if chosen.quick else 7):
        graphs.append((f"ring of {2 * p + 2}", nx.cycle_graph(2 * p + 2), p, (2 * p + 1) / (2 * p + 2), FARHI))
    figures = []
    for name, graph, layers, share, source in progress(graphs, "graphs"):
        model = qaoa(graph, layers)
        value, angles = best_angles(model, layers)
        figures.append(Figure(f"{name}, p = {layers}", value, share, source, 1e-9, ".12f"))
        if name == "Petersen":
            petersen, optimum = graph, angles[0]
            sides = model.sample(angles, shots=1000, seed=0)
            cuts = sum((sides[:, a] != sides[:, b]).astype(int) for a, b in graph.edges)

    picture = Picture(figsize=(10, 3.2), layout="constrained")
    map_axes, bar_axes, ring_axes = picture.subplots(1, 3, width_ratios=(1.2, 1, 1))
    gammas, betas = np.linspace(0, np.pi, 61 if chosen.quick else 181), np.linspace(0, np.pi / 2, 61)
    grid = np.stack(np.meshgrid(gammas, betas), axis=-1)
    landscape = qaoa(petersen, 1, trained=False)(inputs=grid.reshape(-1, 2)).reshape(grid.shape[:2])
    shown = map_axes.pcolormesh(gammas, betas, landscape, rasterized=True)
    map_axes.plot(*optimum, "r*", ms=10)
    map_axes.set(title="Petersen graph, share of edges cut", xlabel="gamma", ylabel="beta")
    picture.colorbar(shown)
    bar_axes.bar(*np.unique(cuts, return_counts=True))
    bar_axes.set(title="1000 samples at the star", xlabel="edges cut, of 15 (at most 12)", ylabel="samples")
    rings = [f for f in figures if f.name.startswith("ring")]
    layers_shown = np.arange(1, len(rings) + 1)
    ring_axes.plot(layers_shown, [f.reference for f in rings], c="C1", label="(2p+1)/(2p+2)")
    ring_axes.plot(layers_shown, [f.value for f in rings], "o", label="trained")
    ring_axes.set(title="rings of 2p + 2", xlabel="layers p", ylabel="share of edges cut")
    ring_axes.legend()
    return finish(figures, picture, chosen.out / "maxcut.png")


if __name__ == "__main__":
    main()
