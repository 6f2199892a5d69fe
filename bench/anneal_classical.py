"""Simulated annealing and simulated quantum annealing beside D-Wave's and OpenJij's, on one core.

    python bench/anneal_classical.py [--gset FOLDER] [--only rates tts path-tts hard] [--quick]

MaxCut on graphs of the G-set, from FOLDER/G1.txt and so on where it is given; else on random graphs of the same kind,
whose target is the best cut that a long run of ketgrad's finds. Reported cuts are counted anew from spins and edges.

Rates are spin updates (of slices: slice updates) a second of whole calls of `sample` from a dimod model, at the same
sweeps and schedules. Time to solution is that of finding the target with probability 0.99: a trial is a read, but for
ketgrad a whole call, for its reads run side by side and none is done before the others; at least one trial counts.
Every sampler may choose its number of sweeps. Temperatures fall linearly over the same range in all of them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dimod
import numpy as np
from clock import once, warm_time
from common import heading, one_thread

from ketgrad.anneal import Ising, SimulatedAnnealingSampler, SimulatedQuantumAnnealingSampler
from ketgrad.compare import format_table, format_time

GRAPHS = {"G1": (800, 19176, 11624), "G43": (1000, 9990, 6660), "G22": (2000, 19990, 13359)}  # vertices, edges, best
RANGE = {"G1": (0.05, 3.0), "G43": (0.1, 4.5), "G22": (0.1, 4.5)}  # of beta
TOGETHER = 64  # ketgrad's reads of a call
FIELDS = {"beta": 5.0, "gamma": 1.0}  # of simulated quantum annealing: OpenJij's defaults


@dataclass
class Graph:
    """A graph, its model, and the cut to find."""

    name: str
    edges: np.ndarray  # (E, 2)
    model: Any
    target: int

    @property
    def n(self) -> int:
        return int(self.model.num_variables)

    def cuts(self, samples: Any) -> np.ndarray:
        """Of every read, from its spins, whatever the sampler calls their energy."""
        spins = samples.record.sample[:, np.argsort(np.array(samples.variables))]
        return (spins[:, self.edges[:, 0]] != spins[:, self.edges[:, 1]]).sum(axis=1)


@dataclass
class Sampler:
    """`call(graph, sweeps, reads, seed)`; a trial of so many reads is the least that can be asked for."""

    name: str
    call: Callable[[Graph, int, int, int], Any]
    trial: int = 1


def random_edges(n: int, edges: int, seed: int) -> np.ndarray:
    """Distinct pairs, all alike likely."""
    rng, found = np.random.default_rng(seed), np.zeros(0, dtype=np.int64)
    while len(found) < edges:
        a, b = np.sort(rng.integers(0, n, size=(2, 2 * edges)), axis=0)
        found = rng.permutation(np.unique(np.append(found, (a * n + b)[a < b])))[:edges]
    return np.stack(np.divmod(np.sort(found), n), axis=1)


def graph_of(name: str, folder: Path | None) -> Graph:
    """From its file, or one of the same kind."""
    n, m, target = GRAPHS[name]
    if folder is not None:
        edges = np.loadtxt(folder / f"{name}.txt", skiprows=1, dtype=np.int64)[:, :2] - 1
    else:
        edges = random_edges(n, m, seed=1)
    assert edges.shape == (m, 2) and edges.max() == n - 1, f"{name} is another graph"
    model = dimod.BinaryQuadraticModel("SPIN")
    model.add_linear_from((v, 0.0) for v in range(n))
    model.add_quadratic_from((a, b, 1.0) for a, b in edges.tolist())
    graph = Graph(name if folder else f"like {name}", edges, model, target)
    if folder is None:
        graph.target = int(graph.cuts(annealer().call(graph, 5000, TOGETHER, 0)).max())
    return graph


def range_of(graph: Graph) -> tuple[float, float]:
    return RANGE[graph.name.split()[-1]]


def annealer() -> Sampler:
    def call(graph: Graph, sweeps: int, reads: int, seed: int) -> Any:
        return SimulatedAnnealingSampler().sample(
            graph.model, num_reads=reads, num_sweeps=sweeps, beta_range=range_of(graph), beta_schedule_type="linear",
            seed=seed,
        )  # fmt: skip

    return Sampler("ketgrad", call, TOGETHER)


def other_annealers() -> list[Sampler]:
    found = []
    if find_spec("dwave.samplers"):
        from dwave.samplers import SimulatedAnnealingSampler as DWave

        def dwave(graph: Graph, sweeps: int, reads: int, seed: int) -> Any:
            return DWave().sample(
                graph.model, num_reads=reads, num_sweeps=sweeps, beta_range=range_of(graph),
                beta_schedule_type="linear", seed=seed,
            )  # fmt: skip

        found.append(Sampler("dwave-samplers", dwave))
    if find_spec("openjij"):
        import openjij

        def jij(graph: Graph, sweeps: int, reads: int, seed: int) -> Any:  # with a seed all its reads would be the same
            schedule = [(beta, 1) for beta in np.linspace(*range_of(graph), sweeps).tolist()]
            return openjij.SASampler().sample(graph.model, num_reads=reads, schedule=schedule)

        found.append(Sampler("OpenJij", jij))
    return found


def path_samplers(slices: int) -> list[Sampler]:
    def call(graph: Graph, sweeps: int, reads: int, seed: int, lines: bool = True) -> Any:
        return SimulatedQuantumAnnealingSampler().sample(
            graph.model, num_reads=reads, num_sweeps=sweeps, num_slices=slices, seed=seed, world_lines=lines, **FIELDS
        )

    def plain(graph: Graph, sweeps: int, reads: int, seed: int) -> Any:
        return call(graph, sweeps, reads, seed, lines=False)

    trial = 32 // math.gcd(slices, 32)
    found = [Sampler("ketgrad", call, trial), Sampler("ketgrad, slices alone", plain, trial)]
    if find_spec("openjij"):
        import openjij

        def jij(graph: Graph, sweeps: int, reads: int, seed: int) -> Any:
            return openjij.SQASampler().sample(
                graph.model, num_reads=reads, num_sweeps=sweeps, trotter=slices, **FIELDS
            )

        found.append(Sampler("OpenJij", jij))
    return found


def rates(graphs: list[Graph], quick: bool) -> None:
    """Updates a second."""
    table = []
    for graph in graphs:
        for kind, slices, samplers in (
            ("SA", 1, [annealer(), *other_annealers()]),
            ("SQA", 4, path_samplers(4)),
            ("SQA", 16, path_samplers(16)),
        ):
            ours = None
            for sampler in samplers:
                sweeps, reads = (20 if quick else 1000 if kind == "SA" else 100), max(4, sampler.trial)
                call = partial(sampler.call, graph, sweeps, reads, 2)
                found = call()
                seconds = warm_time(call, 0, 3, 3)
                rate = graph.n * sweeps * reads * slices / seconds
                ours = ours or rate
                table.append((graph.name, kind, str(slices), sampler.name, str(reads), f"{rate / 1e6:,.1f} M/s",
                              f"{ours / rate:.1f}", f"{graph.cuts(found).mean():,.0f}"))  # fmt: skip
    print(
        "\n"
        + format_table(("graph", "", "slices", "sampler", "reads", "updates", "ketgrad is times", "mean cut"), table)
    )


def tts_row(graph: Graph, sampler: Sampler, sweeps: int, budget: float) -> tuple[float, tuple[str, ...]]:
    """Time to solution at one number of sweeps, from about `budget` seconds of reads."""
    reads, hits, seconds, best, seed, trial = 0, 0, 0.0, 0, 1, math.inf
    while seconds < budget:
        many = sampler.trial if sampler.trial > 1 else max(1, min(20, int(budget / 4 / trial))) if reads else 1
        spent, found = once(partial(sampler.call, graph, sweeps, many, seed))
        cuts = graph.cuts(found)
        reads, hits, seconds, seed = reads + many, hits + int((cuts >= graph.target).sum()), seconds + spent, seed + 1
        best, trial = max(best, int(cuts.max())), seconds / reads * sampler.trial
    share = 1 - (1 - hits / reads) ** sampler.trial
    tts = math.inf if not share else trial * max(1.0, math.log(0.01) / math.log(max(1e-12, 1 - share)))
    return tts, (graph.name, sampler.name, f"{sweeps:,}", f"{best:,}", f"{hits} of {reads:,}", format_time(trial),
                 format_time(tts) if hits else "-")  # fmt: skip


TTS_HEADER = ("graph", "sampler", "sweeps", "best cut", "reads that find the target", "a trial", "TTS99")


def tts(graphs: list[Graph], samplers: list[Sampler], sweeps: dict[str, list[int]], quick: bool) -> None:
    """The best of every sampler, beside all that was tried."""
    table, least = [], {}
    for graph in graphs:
        for sampler in samplers:
            for number in sweeps[sampler.name if sampler.name in sweeps else ""]:
                value, row = tts_row(graph, sampler, number, 0.2 if quick else 2.5)
                table.append(row)
                least[graph.name, sampler.name] = min(value, least.get((graph.name, sampler.name), math.inf))
    print("\n" + format_table(TTS_HEADER, table) + "\n")
    for graph in graphs:
        for sampler in samplers[1:]:
            a, b = least[graph.name, samplers[0].name], least[graph.name, sampler.name]
            said = "finds no target" if b == math.inf else f"takes {b / a:.1f} times as long"
            print(f"{graph.name}, target {graph.target:,}: {samplers[0].name} {format_time(a)}; {sampler.name} {said}")


def hard(graph: Graph, quick: bool) -> None:
    """What is reached on G22, however it goes."""
    sweeps = 200 if quick else 10_000
    seconds, found = once(partial(annealer().call, graph, sweeps, 4 * TOGETHER, 1))
    cuts = graph.cuts(found)
    print(f"\n{graph.name}: {len(cuts)} reads of {sweeps:,} sweeps in {format_time(seconds)}: best cut {cuts.max():,} "
          f"of {graph.target:,} ({(cuts == cuts.max()).sum()} times), mean {cuts.mean():,.1f}")  # fmt: skip


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gset", type=Path, help="a folder with G1.txt, G22.txt, G43.txt")
    parser.add_argument("--only", nargs="+", default=["rates", "tts", "path-tts", "hard"])
    parser.add_argument("--quick", action="store_true", help="few sweeps and reads")
    options = parser.parse_args()
    one_thread()
    print(heading("Simulated annealing and simulated quantum annealing"))
    g1, g43, g22 = (graph_of(name, options.gset) for name in GRAPHS)
    problem = Ising.from_bqm(g1.model)
    spins = np.random.default_rng(1).choice([-1, 1], size=(3, g1.n))
    assert np.array_equal(problem.energies(spins), np.array([spin[g1.edges].prod(axis=1).sum() for spin in spins]))
    if "rates" in options.only:
        rates([g1, g43, g22], options.quick)
    if "tts" in options.only:
        sweeps = {"ketgrad": [400, 1000, 2000], "": [1000, 2000, 5000]}
        tts([g1, g43], [annealer(), *other_annealers()], sweeps, options.quick)
    if "path-tts" in options.only:
        tts([g1], path_samplers(4), {"": [200, 500, 1000]}, options.quick)
    if "hard" in options.only:
        hard(g22, options.quick)


if __name__ == "__main__":
    main()
