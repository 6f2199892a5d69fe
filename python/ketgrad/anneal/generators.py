"""Problems people have, as `Ising`: cuts, QUBO matrices, partitions, portfolios, routes, and spin glasses.

Owns: how each is put into energies and read back. May not know: engines, files.

Whatever `dimod.generators` makes (frustrated loops, satisfiability, knapsacks, ...) comes in by `Ising.from_bqm`; here
is what it has not. Everything random is drawn by a seeded numpy generator.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ArgumentTypeError, ParameterError
from ..expressions import real_array
from .problem import Array, Ising, needed

Seed = int | np.random.Generator | None


# graphs


def maxcut(graph: Any, weight: str = "weight") -> Ising:
    """The cut of largest weight: the energy of spins is minus the weight of the edges between +1 and -1.

    Args:
        graph: a `networkx.Graph`; or pairs (u, v), or triples (u, v, weight), of labels.
        weight: the attribute of networkx edges that weighs them, 1 where it is missing.

    Raises:
        ArgumentTypeError: no graph.
        ParameterError: an edge from a node to itself, or a directed graph.
    """
    if hasattr(graph, "edges") and hasattr(graph, "nodes"):
        if graph.is_directed():
            raise ParameterError("maxcut: a cut is of an undirected graph; use graph.to_undirected()")
        nodes: list[Hashable] = list(graph.nodes)
        edges = [(u, v, data.get(weight, 1.0)) for u, v, data in graph.edges(data=True)]
    else:
        try:
            edges = [(e[0], e[1], e[2] if len(e) > 2 else 1.0) for e in map(tuple, graph)]
        except (TypeError, IndexError):
            raise ArgumentTypeError(f"maxcut: a graph is networkx's or a list of edges, got {graph!r:.60}") from None
        nodes = list(dict.fromkeys(itertools.chain.from_iterable(e[:2] for e in edges)))
    place = {v: k for k, v in enumerate(nodes)}
    weights = real_array([w for *_, w in edges], "maxcut: weights")
    return Ising.of(
        np.zeros(len(nodes)), [(place[u], place[v]) for u, v, _ in edges], weights / 2, -weights.sum() / 2, nodes
    )


def ferromagnet(n: int) -> Ising:
    """A ring of n >= 3 spins, E = -sum s_i s_{i+1}: the chain whose kinks Kibble and Zurek count."""
    k = np.arange(_count("n", n, 3))
    return Ising.of(np.zeros(n), np.stack([k, (k + 1) % n], axis=1), -np.ones(n))


def random_regular(n: int, degree: int = 3, seed: Seed = None) -> Ising:
    """A random regular graph with couplings +-1: a spin glass without geometry (needs networkx).

    Raises:
        ArgumentError: n * degree is odd, or the degree is not below n.
    """
    if not 0 < degree < n or n * degree % 2:
        raise ArgumentError(f"random_regular: degree must be below n, and n * degree even, got {n} and {degree}")
    rng = np.random.default_rng(seed)
    graph = needed("networkx").random_regular_graph(degree, n, seed=int(rng.integers(2**32)))
    pairs = sorted(tuple(sorted(e)) for e in graph.edges)
    return Ising.of(np.zeros(n), pairs, rng.choice([-1.0, 1.0], len(pairs)))


def torus(sides: Sequence[int], seed: Seed = None) -> Ising:
    """A periodic lattice with couplings +-1 (Edwards and Anderson): sides (L, L) or (L, L, L), each at least 3."""
    shape = tuple(_count("a side", s, 3) for s in sides)
    site = np.arange(math.prod(shape)).reshape(shape)
    pairs = np.concatenate(
        [np.stack([site, np.roll(site, -1, axis)], axis=-1).reshape(-1, 2) for axis in range(len(shape))]
    )
    return Ising.of(np.zeros(site.size), pairs, np.random.default_rng(seed).choice([-1.0, 1.0], len(pairs)))


def sherrington_kirkpatrick(n: int, seed: Seed = None) -> Ising:
    """All pairs, normal couplings of variance 1 / n; the ground energy per spin tends to -0.7632 (Parisi)."""
    i, j = np.triu_indices(_count("n", n, 2), 1)
    couplings = np.random.default_rng(seed).normal(size=len(i)) / math.sqrt(n)
    return Ising.of(np.zeros(n), np.stack([i, j], axis=1), couplings)


def gset(n: int, edges: int, signed: bool = False, seed: Seed = None) -> Ising:
    """A random graph to cut, as in the G-set (G1: 800, 19176; G22: 2000, 19990; G43: 1000, 9990).

    Args:
        signed: weights +-1 as in G6 or G27, instead of 1.
    """
    most = _count("n", n, 2) * (n - 1) // 2
    if not 0 <= edges <= most:
        raise ArgumentError(f"gset: {n} nodes have at most {most:,} edges, got {edges}")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(most, edges, replace=False))
    # the pair of an index in the order (0, 1), (0, 2), (1, 2), (0, 3), ...
    j = ((1 + np.sqrt(1 + 8 * chosen.astype(np.float64))) / 2).astype(np.int64)
    j += (j + 1) * j // 2 <= chosen  # what rounding of the root may have lost
    j -= j * (j - 1) // 2 > chosen
    pairs = np.stack([chosen - j * (j - 1) // 2, j], axis=1)
    weights = rng.choice([-1.0, 1.0], edges) if signed else np.ones(edges)
    return Ising.of(np.zeros(n), pairs, weights / 2, -weights.sum() / 2)


def frustrated_loops(graph: Any, loops: int, seed: int | None = None) -> tuple[Ising, npt.NDArray[np.int8], float]:
    """Planted: a sum of frustrated loops on a graph, the spins (n,) hidden in it, and their energy, the lowest.

    Source: `dimod.generators.frustrated_loop` (Hen et al., arXiv:1502.01663), behind a random spin reversal.

    Args:
        graph: what dimod takes: a networkx graph, edges, or n for all pairs.
    """
    bare = Ising.from_bqm(needed("dimod").generators.frustrated_loop(graph, loops, seed=seed))
    hidden = np.random.default_rng(seed).choice(np.array([-1, 1], dtype=np.int8), bare.n)
    turned = bare.couplings * hidden[bare.pairs].prod(axis=1)
    problem = Ising.of(np.zeros(bare.n), bare.pairs, turned, bare.offset, bare.labels)
    return problem, hidden, float(problem.energies(hidden))


# bits


def qubo(matrix: npt.ArrayLike, labels: Iterable[Hashable] | None = None) -> Ising:
    """E(b) = b' Q b of bits b = (1 + s) / 2; Q (n, n) need not be symmetric.

    Raises:
        ParameterError: not square, not numbers, or not finite.
    """
    q = real_array(matrix, "qubo: the matrix")
    if q.ndim != 2 or q.shape[0] != q.shape[1]:
        raise ParameterError(f"qubo: a matrix is square, got shape {q.shape}")
    i, j = np.triu_indices(len(q), 1)
    both = q[i, j] + q[j, i]
    there = both != 0
    return Ising.from_bits(q.diagonal(), np.stack([i, j], axis=1)[there], both[there], 0.0, labels)


def number_partitioning(numbers: Sequence[float] | Array) -> Ising:
    """Two heaps of equal sum: the energy is the squared difference of the sums of the +1 and the -1 numbers."""
    a = real_array(numbers, "number_partitioning: numbers").reshape(-1)
    i, j = np.triu_indices(len(a), 1)
    return Ising.of(np.zeros(len(a)), np.stack([i, j], axis=1), 2 * a[i] * a[j], float(a @ a))


def portfolio(
    returns: npt.ArrayLike,
    covariance: npt.ArrayLike,
    chosen: int,
    risk: float = 1.0,
    penalty: float | None = None,
    labels: Iterable[Hashable] | None = None,
) -> Ising:
    """Which assets to hold, bits b: E = risk b' C b - r' b + penalty (sum b - chosen)^2.

    Args:
        returns: r (n,), expected.
        covariance: C (n, n), symmetric.
        chosen: how many assets, K.
        risk: how much variance costs beside returns.
        penalty: None is a bound above which no other number of assets can have the lowest energy.

    Raises:
        ParameterError, ArgumentError: shapes that do not agree, or K out of range.
    """
    r, c = real_array(returns, "portfolio: returns").reshape(-1), real_array(covariance, "portfolio: covariance")
    n = len(r)
    if c.shape != (n, n):
        raise ParameterError(f"portfolio: {n} returns need a covariance of shape ({n}, {n}), got {c.shape}")
    if not 0 <= chosen <= n:
        raise ArgumentError(f"portfolio: chosen must be from 0 to {n}, got {chosen}")
    matrix = risk * c - np.diag(r)
    if penalty is None:  # adding or dropping one asset changes the energy by no more than the sum of a row
        penalty = 1.0 + float((np.abs(matrix + matrix.T).sum(axis=1) - np.abs(matrix.diagonal())).max())
    square = penalty * (np.ones((n, n)) - 2 * chosen * np.eye(n))
    held = qubo(matrix + square, labels)
    return Ising.of(held.fields, held.pairs, held.couplings, held.offset + penalty * chosen**2, held.labels)


def route_assignment(routes: Mapping[Hashable, Sequence[Sequence[Hashable]]], penalty: float | None = None) -> Ising:
    """Which of its routes each vehicle takes, so that as few as possible share a road: sum over roads of load^2.

    Source: the traffic flow problem of Neukart et al., Frontiers in ICT 4, 29 (2017). One bit (vehicle, route number)
    each; E is the sum of squared loads, plus the penalty for a vehicle that takes none or several.

    Args:
        routes: of each vehicle, the roads of each route it may take.
        penalty: None is a bound above which the lowest energy has one route for each vehicle.

    Raises:
        ParameterError: a vehicle without routes, or none at all.
    """
    if not routes or not all(routes.values()):
        raise ParameterError("route_assignment: every vehicle needs at least one route, and there is at least one")
    labels = [(vehicle, k) for vehicle, several in routes.items() for k in range(len(several))]
    roads = sorted({road for several in routes.values() for route in several for road in route}, key=repr)
    uses = np.array([[road in routes[v][k] for road in roads] for v, k in labels], dtype=float).reshape(len(labels), -1)
    matrix = uses @ uses.T
    if penalty is None:  # one bit less or more changes the sum of squares by no more than the sum of its row, doubled
        penalty = 1.0 + float(2 * matrix.sum(axis=1).max())
    same = np.array([[a[0] == b[0] for b in labels] for a in labels], dtype=float)
    held = qubo(matrix + penalty * (same - 2 * np.eye(len(labels))), labels)
    return Ising.of(held.fields, held.pairs, held.couplings, held.offset + penalty * len(routes), held.labels)


# landscapes made to be hard


def weak_strong(strong: float = -1.0, weak: float = 0.44) -> Ising:
    """Two cells K4,4 of ferromagnetic spins, a strong and a weak field, joined by four bonds: 16 spins.

    The weak cell alone would follow its field; in the lowest state, all +1, it follows the strong cell. Source: Denchev
    et al., Phys. Rev. X 6, 031015 (2016), where lattices of such pairs show what tunnelling can do. Energies: -40.48
    with all +1, -39.52 with the weak cell turned.
    """
    cells = [(8 * c + a, 8 * c + 4 + b) for c in (0, 1) for a in range(4) for b in range(4)]
    between = [(4 + k, 12 + k) for k in range(4)]
    return Ising.of([strong] * 8 + [weak] * 8, cells + between, [-1.0] * 36)


def spike(n: int, height: float | None = None, at: int | None = None) -> Array:
    """Energies (n + 1,) by the number w of spins -1: w, with a barrier added at one w.

    Source: Farhi, Goldstone and Gutmann, arXiv:quant-ph/0201031. No `Ising`, for the barrier is not quadratic:
    `Diagonal.by_weight` takes it to the exact engine, and `ketgrad.anneal.solvable` has its dynamics for large n.

    Args:
        height: default n.
        at: default n / 4, which needs an n that 4 divides.
    """
    _count("n", n, 4)
    if at is None and n % 4:
        raise ArgumentError(f"spike: n must be a multiple of 4 for a barrier at n / 4, got {n}; give at=")
    energies = np.arange(n + 1, dtype=np.float64)
    energies[n // 4 if at is None else at] += n if height is None else height
    return energies


def _count(name: str, value: Any, low: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ArgumentTypeError(f"{name} is an integer, got {value!r}")
    if value < low:
        raise ArgumentError(f"{name} must be at least {low}, got {value}")
    return int(value)
