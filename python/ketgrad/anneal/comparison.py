"""One comparison of any dimod samplers on one problem: ours, those of dwave-samplers, OpenJij, or anybody's.

Owns: how they are run and timed, the table and the plot. May not know: any sampler.

All get the same problem and as many reads; the time is the wall time of a call of `sample`, divided by its reads, after
one call that warms up. Whose energy counts as the lowest is told: a known ground energy, or the lowest that any found.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError
from .problem import Ising
from .success import Success, TimeToSolution, success_of

Entry = Any  # a sampler, or (sampler, its keywords)


@dataclass(frozen=True)
class Row:
    """One sampler.

    Attributes:
        name: as given.
        success: of its reads.
        distinct: how many different states they are. Far fewer than its misses: the reads repeat each other.
        seconds: of one read.
        tts: time to solution, seconds.
        samples: its `dimod.SampleSet`.
    """

    name: str
    success: Success
    distinct: int
    seconds: float
    tts: TimeToSolution
    samples: Any


@dataclass(frozen=True)
class Comparison:
    """The rows of a comparison, the problem they are of, and whether its ground energy is known."""

    problem: Ising
    rows: tuple[Row, ...]
    ground: float
    known: bool

    def table(self) -> str:
        """Markdown."""
        head = ["sampler", "lowest energy", "mean", "hits / reads", "distinct", "time a read", "TTS99 (95 % interval)"]
        lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        for r in self.rows:
            s = r.success
            cells = [r.name, f"{s.best:.8g}", f"{s.mean:.6g}", f"{s.hits} / {s.reads}", str(r.distinct)]
            cells += [f"{r.seconds:.3g} s", f"{r.tts} s"]
            lines.append(f"| {' | '.join(cells)} |")
        said = "given" if self.known else "the lowest that any of them found, which need not be the ground state's"
        return "\n".join([*lines, "", f"A hit has the energy {self.ground:.8g}, {said}. Wall times, on this machine."])

    def plot(self) -> Any:
        """Times to solution with their intervals: a matplotlib Figure (needs `ketgrad[plot]`)."""
        from ..plots import intervals

        value, low, high = (np.array([getattr(r.tts, what) for r in self.rows]) for what in ("value", "low", "high"))
        title = f"Time to solution, {self.problem.n} spins"
        return intervals([r.name for r in self.rows], value, low, high, title, "seconds to a hit with 99 % confidence")

    def __repr__(self) -> str:
        return self.table()


def compare(
    problem: Any,
    samplers: Mapping[str, Entry],
    *,
    reads: int = 100,
    ground: float | None = None,
    seed: int | None = 0,
    warm_up: bool = True,
) -> Comparison:
    """Run every sampler on the problem and compare success, energies and time to solution.

    Args:
        problem: an `Ising` or a `dimod.BinaryQuadraticModel`.
        samplers: by name, `dimod.Sampler`s or pairs (sampler, keywords of its `sample`).
        reads: `num_reads` of samplers that know it.
        ground: the energy to reach; None for the lowest that any of them finds.
        seed: of samplers that know it, unless their keywords say otherwise; None for none.
        warm_up: call each with one read before, so that what it compiles is not timed.

    Raises:
        ArgumentTypeError, ArgumentError: no samplers, or something else; fewer than one read.

    Example:
        >>> compare(problem, {"ours": SimulatedAnnealingSampler(), "Ocean's": (theirs, {"num_sweeps": 1000})}).table()
    """
    ising = problem if isinstance(problem, Ising) else Ising.from_bqm(problem)
    bqm = ising.to_bqm()
    if not isinstance(samplers, Mapping) or not samplers:
        raise ArgumentTypeError(f"compare: samplers by name, {{name: sampler}}, at least one, got {samplers!r:.60}")
    if isinstance(reads, bool) or not isinstance(reads, (int, np.integer)) or reads < 1:
        raise ArgumentError(f"compare: reads is an integer of at least 1, got {reads!r}")
    results = {name: _timed(name, entry, bqm, int(reads), seed, warm_up) for name, entry in samplers.items()}
    found = min(float(samples.record.energy.min()) for samples, _ in results.values())
    wanted = found if ground is None else float(ground)
    rows = []
    for name, (samples, seconds) in results.items():
        how = success_of(samples, wanted)
        distinct = len(np.unique(samples.record.sample, axis=0))
        rows.append(Row(name, how, distinct, seconds / how.reads, how.tts(seconds / how.reads), samples))
    return Comparison(ising, tuple(rows), wanted, ground is not None)


def _timed(name: str, entry: Entry, bqm: Any, reads: int, seed: int | None, warm_up: bool) -> tuple[Any, float]:
    """A sample set, and the seconds it took."""
    sampler, given = entry if isinstance(entry, tuple) else (entry, {})
    if not callable(getattr(sampler, "sample", None)) or not isinstance(given, Mapping):
        raise ArgumentTypeError(f"compare: {name} is a dimod sampler, or a pair (sampler, keywords), got {entry!r:.60}")
    known = {*inspect.signature(sampler.sample).parameters, *(getattr(sampler, "parameters", None) or ())}
    ours = {"num_reads": reads} | ({} if seed is None else {"seed": seed})
    words = {k: v for k, v in ours.items() if k in known} | dict(given)
    if warm_up:
        sampler.sample(bqm, **{**words, **({"num_reads": 1} if "num_reads" in words else {})}).resolve()
    started = time.perf_counter()
    samples = sampler.sample(bqm, **words)
    samples.resolve()
    return samples, time.perf_counter() - started
