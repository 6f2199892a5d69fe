"""Ising problems and their makers: energies beside direct counts, known optima found by brute force."""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pytest

from ketgrad.anneal import Ising, generators, success
from ketgrad.errors import ArgumentError, ArgumentTypeError, KetgradError, ParameterError

dimod = pytest.importorskip("dimod")
nx = pytest.importorskip("networkx")


def spins(n: int) -> np.ndarray:
    return np.array(list(itertools.product([-1, 1], repeat=n)), dtype=np.int8)


def lowest(problem: Ising) -> tuple[float, list[dict]]:
    """The ground energy by brute force, and the states that have it, as bits by label."""
    rows = spins(problem.n)
    energies = problem.energies(rows)
    best = rows[np.isclose(energies, energies.min(), atol=1e-9)]
    return float(energies.min()), [dict(zip(problem.labels, ((r + 1) // 2).tolist(), strict=True)) for r in best]


# bits and dimod


def test_bits_and_back() -> None:
    rng = np.random.default_rng(0)
    q = rng.normal(size=(5, 5))
    problem = generators.qubo(q, labels="abcde")
    b = (spins(5) + 1) // 2
    np.testing.assert_allclose(problem.energies(spins(5)), np.einsum("ri,ij,rj->r", b, q, b), atol=1e-12)
    linear, pairs, quadratic, offset = problem.to_bits()
    assert offset == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(linear, q.diagonal(), atol=1e-12)
    again = Ising.from_bits(linear, pairs, quadratic, offset, problem.labels)
    np.testing.assert_allclose(again.energies(spins(5)), problem.energies(spins(5)), atol=1e-12)
    assert again.labels == tuple("abcde")


def test_to_bqm_and_back() -> None:
    problem = Ising.of([0.5, 0.0, -1.0], [(0, 2), (1, 2)], [1.5, -2.0], 0.25, ["x", ("y", 1), 7])
    bqm = problem.to_bqm()
    assert bqm.vartype is dimod.SPIN and list(bqm.variables) == ["x", ("y", 1), 7]
    for row in spins(3):
        assert bqm.energy(dict(zip(problem.labels, row, strict=True))) == pytest.approx(problem.energies(row))
    for model in (bqm, bqm.change_vartype("BINARY", inplace=False)):
        np.testing.assert_allclose(Ising.from_bqm(model).energies(spins(3)), problem.energies(spins(3)), atol=1e-14)


# problems people have


def test_cut_of_the_petersen_graph() -> None:
    problem = generators.maxcut(nx.petersen_graph())
    energy, states = lowest(problem)
    assert energy == -12 and problem.labels == tuple(range(10))
    side = states[0]
    assert sum(side[u] != side[v] for u, v in nx.petersen_graph().edges) == 12


def test_cut_with_weights_and_labels() -> None:
    graph = nx.Graph()
    graph.add_edge("a", "b", weight=3.0)
    graph.add_edge("b", "c", weight=-1.0)
    graph.add_edge("a", "c", length=5.0)
    graph.add_node("alone")
    problem = generators.maxcut(graph)
    edges = generators.maxcut([("a", "b", 3.0), ("b", "c", -1.0), ("a", "c")])
    assert problem.labels == ("a", "b", "c", "alone") and edges.labels == ("a", "b", "c")
    for row in spins(3):
        cut = 3 * (row[0] != row[1]) - (row[1] != row[2]) + (row[0] != row[2])
        assert problem.energies([*row, 1]) == edges.energies(row) == -cut
    lengths = generators.maxcut(graph, weight="length")
    assert lowest(lengths)[0] == -6


def test_number_partitioning() -> None:
    numbers = [4, 5, 6, 7, 8]
    energy, states = lowest(generators.number_partitioning(numbers))
    assert energy == 0
    assert {abs(sum(a * (2 * s[k] - 1) for k, a in enumerate(numbers))) for s in states} == {0}
    assert lowest(generators.number_partitioning([3, 1, 1]))[0] == 1


def test_portfolio() -> None:
    rng = np.random.default_rng(3)
    half = rng.normal(size=(7, 7))
    covariance, returns = half @ half.T / 7, rng.normal(size=7)
    problem = generators.portfolio(returns, covariance, 3, risk=0.8, labels="ABCDEFG")

    def cost(held: tuple[int, ...]) -> float:
        return 0.8 * covariance[np.ix_(held, held)].sum() - returns[list(held)].sum()

    best = min(itertools.combinations(range(7), 3), key=cost)
    energy, (state,) = lowest(problem)
    assert energy == pytest.approx(cost(best))
    assert {a for a, b in state.items() if b} == {"ABCDEFG"[k] for k in best}
    for chosen in (0, 7):
        assert sum(lowest(generators.portfolio(returns, covariance, chosen))[1][0].values()) == chosen


def test_routes() -> None:
    routes = {
        "red": [["north", "bridge"], ["south"]],
        "green": [["north", "bridge"], ["tunnel", "south"]],
        "blue": [["bridge"], ["tunnel"], ["north"]],
    }
    problem = generators.route_assignment(routes)
    energy, states = lowest(problem)

    def load(choice: tuple[int, ...]) -> int:
        roads = [road for several, k in zip(routes.values(), choice, strict=True) for road in several[k]]
        return sum(roads.count(r) ** 2 for r in set(roads))

    loads = {c: load(c) for c in itertools.product(range(2), range(2), range(3))}
    assert energy == pytest.approx(min(loads.values()))
    found = {tuple(k for v in routes for k in range(3) if s.get((v, k))) for s in states}
    assert found == {c for c, e in loads.items() if e == min(loads.values())}


# glasses


def test_known_shapes() -> None:
    ring = generators.ferromagnet(7)
    assert lowest(ring)[0] == -7 and len(ring.pairs) == 7
    regular = generators.random_regular(12, 3, seed=0)
    assert (np.bincount(regular.pairs.reshape(-1)) == 3).all() and set(regular.couplings) == {-1.0, 1.0}
    for sides in ((3, 4), (3, 3, 4)):
        lattice = generators.torus(sides, seed=0)
        assert (np.bincount(lattice.pairs.reshape(-1)) == 2 * len(sides)).all()
        assert lattice.n == math.prod(sides) and set(lattice.couplings) <= {-1.0, 1.0}
    clean = nx.grid_graph((3, 4), periodic=True)  # networkx has the first side last
    place = {(a, b): 3 * a + b for a, b in clean.nodes}
    wanted = {tuple(sorted((place[u], place[v]))) for u, v in clean.edges}
    assert {tuple(p) for p in generators.torus((4, 3)).pairs.tolist()} == wanted


def test_sherrington_kirkpatrick_has_its_variance_and_energy() -> None:
    couplings = generators.sherrington_kirkpatrick(400, seed=0).couplings
    assert couplings.std() * 20 == pytest.approx(1, abs=4 / math.sqrt(2 * len(couplings)))
    energies = [lowest(generators.sherrington_kirkpatrick(12, seed=k))[0] / 12 for k in range(20)]
    # -0.7632 + 0.70 n^(-2/3) is -0.63 at n = 12; the spread of a mean of twenty is 0.02
    assert np.mean(energies) == pytest.approx(-0.63, abs=0.08)


@pytest.mark.parametrize("signed", [False, True])
def test_gset_like_graphs(signed: bool) -> None:
    problem = generators.gset(800, 19176, signed, seed=0)
    assert problem.n == 800 and len(problem.pairs) == 19176
    assert set(problem.couplings) == ({-0.5, 0.5} if signed else {0.5})
    assert problem.energies(np.ones(800)) == 0
    degrees = np.bincount(problem.pairs.reshape(-1), minlength=800)
    assert degrees.mean() == 2 * 19176 / 800 and 4 < degrees.std() < 9


@pytest.mark.parametrize("n", [2, 3, 10, 3000])
def test_every_pair_has_an_index(n: int) -> None:
    edges = n * (n - 1) // 2 if n < 100 else 1000
    pairs = generators.gset(n, edges, seed=0).pairs
    assert len(np.unique(pairs, axis=0)) == edges and (pairs[:, 0] < pairs[:, 1]).all()
    assert pairs.min() >= 0 and pairs.max() <= n - 1


def test_planted_loops() -> None:
    problem, hidden, energy = generators.frustrated_loops(nx.grid_graph((4, 4), periodic=True), 10, seed=1)
    assert problem.n == 16 and energy == problem.energies(hidden)
    assert problem.energies(spins(16)).min() == pytest.approx(energy)
    assert len(set(hidden.tolist())) == 2
    again = generators.frustrated_loops(nx.grid_graph((4, 4), periodic=True), 10, seed=1)
    assert (again[1] == hidden).all() and (again[0].couplings == problem.couplings).all()


def test_weak_strong_pair() -> None:
    problem = generators.weak_strong()
    turned = [1] * 8 + [-1] * 8
    assert problem.energies(np.ones(16)) == pytest.approx(-40.48)
    assert problem.energies(turned) == pytest.approx(-39.52)
    ordered = np.sort(problem.energies(spins(16)))
    assert ordered[0] == pytest.approx(-40.48) and ordered[1] == pytest.approx(-39.52)


def test_spike() -> None:
    energies = generators.spike(8)
    np.testing.assert_array_equal(energies, [0, 1, 10, 3, 4, 5, 6, 7, 8])
    np.testing.assert_array_equal(generators.spike(6, 2.0, at=3), [0, 1, 2, 5, 4, 5, 6])


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: generators.random_regular(10, 3, seed),
        lambda seed: generators.torus((3, 3), seed),
        lambda seed: generators.sherrington_kirkpatrick(6, seed),
        lambda seed: generators.gset(12, 30, True, seed),
    ],
)
def test_a_seed_decides(make) -> None:
    a, b, c = make(4), make(4), make(5)
    assert (a.couplings == b.couplings).all() and (a.pairs == b.pairs).all()
    assert len(a.pairs) != len(c.pairs) or (a.couplings != c.couplings).any() or (a.pairs != c.pairs).any()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: generators.maxcut(5), ArgumentTypeError, "a list of edges"),
        (lambda: generators.maxcut([]), ParameterError, "at least one variable"),
        (lambda: generators.maxcut([(1, 1)]), ParameterError, "two variables"),
        (lambda: generators.maxcut([(1, 2, math.nan)]), ParameterError, "finite"),
        (lambda: generators.maxcut(nx.DiGraph([(0, 1)])), ParameterError, "to_undirected"),
        (lambda: generators.random_regular(5, 3), ArgumentError, "even"),
        (lambda: generators.torus((2, 3)), ArgumentError, "a side"),
        (lambda: generators.gset(3, 9), ArgumentError, "at most 3"),
        (lambda: generators.qubo(np.zeros((2, 3))), ParameterError, "square"),
        (lambda: generators.qubo([["a"]]), ArgumentTypeError, "real numbers"),
        (lambda: generators.number_partitioning([]), ParameterError, "at least one variable"),
        (lambda: generators.portfolio([1.0], np.eye(2), 1), ParameterError, r"\(1, 1\)"),
        (lambda: generators.portfolio([1.0], np.eye(1), 2), ArgumentError, "from 0 to 1"),
        (lambda: generators.route_assignment({"a": []}), ParameterError, "at least one route"),
        (lambda: generators.spike(10), ArgumentError, "multiple of 4"),
        (lambda: generators.ferromagnet(2.0), ArgumentTypeError, "integer"),
    ],
)
def test_refused(call, error: type[KetgradError], says: str) -> None:
    with pytest.raises(error, match=says):
        call()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = generators.ferromagnet(4)
    for package, call in (
        ("dimod", problem.to_bqm),
        ("dimod", lambda: problem.sample_set(np.ones((1, 4)))),
        ("networkx", lambda: generators.random_regular(4)),
        ("scipy", lambda: success.time_to_solution(1.0, 1, 2)),
    ):
        with monkeypatch.context() as patch:
            for name in [m for m in sys.modules if m.split(".")[0] == package]:
                patch.setitem(sys.modules, name, None)
            with pytest.raises(KetgradError, match=f"needs {package} .* 'ketgrad\\[anneal\\]'"):
                call()
