"""MaxCut on the Petersen graph by QAOA with one layer: PennyLane's qaoa module, then cuts from samples.

For every triangle-free 3-regular graph the best angles of one layer cut the same share of the edges on average,
1/2 + 1/(3 sqrt 3) = 0.692450090 (Wang, Hadfield, Jiang and Rieffel, Phys. Rev. A 97, 022304). The Petersen graph has 10
nodes and 15 edges; its largest cut has 12.

    python examples/qaoa_maxcut.py                           on ketgrad
    python examples/qaoa_maxcut.py --device default.qubit    the same numbers on PennyLane's own simulator
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import networkx as nx
import pennylane as qml
from pennylane import numpy as np

THEORY = 1 / 2 + 1 / (3 * np.sqrt(3))


class Result(NamedTuple):
    """The mean share of edges cut, its theoretical optimum, the angles (gamma, beta), and the best sampled cut."""

    ratio: float
    theory: float
    angles: Any
    best_cut: int


def main(argv: Sequence[str] | None = None) -> Result:
    """Optimise, sample, report, and return the numbers."""
    parser = argparse.ArgumentParser(description="Cut the Petersen graph by QAOA with one layer.")
    parser.add_argument("--device", default="ketgrad.qubit", help="name of a PennyLane device (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=40, help="of gradient descent (default: %(default)s)")
    parser.add_argument("--shots", type=int, default=1000, help="samples of the final state (default: %(default)s)")
    options = parser.parse_args(argv)

    graph = nx.petersen_graph()
    edges = graph.number_of_edges()
    if any(degree != 3 for _, degree in graph.degree) or any(nx.triangles(graph).values()):
        raise ValueError("the optimum above holds for 3-regular graphs without triangles only")

    cost, mixer = qml.qaoa.maxcut(graph)  # the expectation value of cost is minus the mean number of edges cut
    device = qml.device(options.device, wires=graph.number_of_nodes(), seed=0)

    def prepare(angles: Any) -> None:
        for wire in graph:
            qml.Hadamard(wires=wire)
        qml.qaoa.cost_layer(angles[0], cost)
        qml.qaoa.mixer_layer(angles[1], mixer)

    @qml.qnode(device)
    def energy(angles: Any) -> Any:
        prepare(angles)
        return qml.expval(cost)

    @qml.set_shots(options.shots)
    @qml.qnode(device)
    def samples(angles: Any) -> Any:
        prepare(angles)
        return qml.sample(wires=range(graph.number_of_nodes()))

    optimiser = qml.GradientDescentOptimizer(stepsize=0.02)
    angles = np.array([-0.5, 0.5], requires_grad=True)
    start = time.perf_counter()
    for _ in range(options.steps):
        angles = optimiser.step(energy, angles)
    elapsed = time.perf_counter() - start

    sides = samples(angles)  # (shots, nodes) zeros and ones: the side of each node
    best = int(np.max(sum(sides[:, a] != sides[:, b] for a, b in graph.edges)))
    result = Result(float(-energy(angles)) / edges, float(THEORY), angles, best)
    print(f"{options.device}: {options.steps} steps of gradient descent in {elapsed:.2f} s")
    print(f"  gamma, beta                 {angles[0]:.6f}, {angles[1]:.6f}")
    print(f"  mean share of edges cut     {result.ratio:.9f}")
    print(f"  optimum of one layer        {result.theory:.9f}")
    print(f"  best of {options.shots} samples        {result.best_cut} of {edges} edges")
    return result


if __name__ == "__main__":
    main()
