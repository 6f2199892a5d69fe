"""The job of `ketgrad anneal`: a problem, an engine, its reads, and the files about them.

Owns: which engine takes which option, and the names of the files. May not know: argv, how an engine works.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ArgumentError

if TYPE_CHECKING:
    from .anneal.problem import Ising
    from .anneal.success import Success

REPORT, SAMPLES = "report.html", "samples.csv"
ENGINES = {
    "exact": "the Schroedinger equation of an anneal, on the whole state vector",
    "sqa": "simulated quantum annealing, by path-integral Monte Carlo",
    "sa": "simulated annealing",
    "qaoa": "QAOA, trained from a digitised anneal",
}
TAKES = {
    "time": ("exact", "qaoa"),
    "schedule": ("exact", "qaoa"),
    "levels": ("exact",),
    "sweeps": ("sqa", "sa"),
    "layers": ("qaoa",),
}
TIME, LAYERS, RECORDS = 20.0, 8, 40
LEVELS, LEVELS_UP_TO = (
    2,
    12,
)  # spins: levels along an anneal take longer than the anneal; beyond it, who wants them asks


@dataclass(frozen=True)
class Options:
    """What a run is asked for; None is the default of the engine that takes it.

    Raises:
        ArgumentError: a value out of its range, or an option that the engine does not take.
    """

    engine: str = "sa"
    reads: int = 100
    seed: int = 0
    time: float | None = None
    schedule: str | None = None
    levels: int | None = None
    sweeps: int | None = None
    layers: int | None = None
    ground: float | None = None

    def __post_init__(self) -> None:
        for option, engines in TAKES.items():
            if getattr(self, option) is not None and self.engine not in engines:
                own = [f"--{o}" for o, those in TAKES.items() if self.engine in those]
                raise ArgumentError(
                    f"--{option} is for --engine {' and '.join(engines)}; {self.engine} takes {' and '.join(own)}"
                )
        if self.reads < 1:
            raise ArgumentError(f"--reads is a number from 1, got {self.reads}")
        if not 0 <= self.seed < 2**63:
            raise ArgumentError(f"--seed is a number from 0 to 2^63 - 1, got {self.seed}")
        if self.ground is not None and not np.isfinite(self.ground):
            raise ArgumentError(f"--ground is a finite energy, got {self.ground}")
        if self.engine == "qaoa" and self.schedule is not None and self.time is None:
            raise ArgumentError("--schedule of qaoa is that of an anneal it starts from; give its --time, too")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run gave.

    Attributes:
        name: of the problem.
        options: that were asked for.
        samples: a `dimod.SampleSet` of spins, one row a read.
        success: of the reads; of the lowest energy among them unless `known`.
        known: whether the ground energy is.
        seconds: of the engine; of Monte Carlo, of its sweeps.
        interrupted: whether it was stopped.
        settings: (name, value), for people to read.
        result: the engine's own, `AnnealResult` or `Trained`; None of Monte Carlo.
    """

    name: str
    problem: Ising
    options: Options
    samples: Any
    success: Success
    known: bool
    seconds: float
    interrupted: bool
    settings: tuple[tuple[str, str], ...]
    result: Any = None


def anneal(
    problem: Ising, name: str, options: Options, stop: Callable[[], bool] | None = None, progress: bool = False
) -> Outcome | None:
    """Run the engine; None where it was stopped before its first read.

    Args:
        name: of the problem.
        stop: asked now and then; once it returns True, what is finished is the outcome.
        progress: a bar (needs tqdm).
    """
    from .anneal.success import success_of

    began = time.perf_counter()
    try:
        found = {"exact": _exact, "qaoa": _qaoa}.get(options.engine, _monte_carlo)(problem, options, stop, progress)
    except KeyboardInterrupt:  # a second signal, with nothing done
        return None
    if found is None:
        return None
    samples, ground, result, interrupted, settings = found
    seconds = 1e-9 * samples.info["timing"]["sampling_ns"] if result is None else time.perf_counter() - began
    ground = options.ground if options.ground is not None else ground
    settings = [("reads", f"{options.reads:,}"), ("seed", str(options.seed)), *settings]
    success = success_of(samples, ground)
    return Outcome(
        name, problem, options, samples, success, ground is not None, seconds, interrupted, tuple(settings), result
    )


Stop = Callable[[], bool] | None
Found = tuple[Any, float | None, Any, bool, list[tuple[str, str]]]  # samples, ground energy, result, stopped, settings


def _exact(problem: Ising, options: Options, stop: Stop, bar: bool) -> Found | None:
    from .anneal.exact import ExactAnnealing

    duration, schedule = TIME if options.time is None else options.time, options.schedule or "linear"
    levels = (LEVELS if 2 < problem.n <= LEVELS_UP_TO else 0) if options.levels is None else options.levels
    result = ExactAnnealing(problem).run(
        schedule, duration, records=RECORDS, levels=levels, progress=bar, interrupt=stop
    )
    if result.interrupted:
        return None
    samples = problem.sample_set(result.sample(options.reads, options.seed))
    settings = [("annealing time", f"{duration:g}"), ("schedule", schedule), ("steps", f"{result.steps:,}")]
    return samples, result.ground_energy, result, False, settings


def _qaoa(problem: Ising, options: Options, stop: Stop, bar: bool) -> Found | None:
    from .anneal.qaoa import QAOA

    qaoa = QAOA(problem, LAYERS if options.layers is None else options.layers)
    start = None if options.time is None else qaoa.digitised(options.time, options.schedule or "linear")
    trained = qaoa.train(start, progress=bar, interrupt=stop)
    settings = [("layers", str(qaoa.layers)), ("gradients", str(trained.gradients))]
    if options.time is not None:
        settings += [("digitised anneal of", f"{options.time:g}"), ("schedule", options.schedule or "linear")]
    return trained.sample(options.reads, options.seed), qaoa.ground_energy, trained, trained.interrupted, settings


def _monte_carlo(problem: Ising, options: Options, stop: Stop, bar: bool) -> Found | None:
    from . import anneal as engines

    name = {"sa": "SimulatedAnnealingSampler", "sqa": "SimulatedQuantumAnnealingSampler"}[options.engine]
    sampler = getattr(engines, name)()
    sweeps = {} if options.sweeps is None else {"num_sweeps": options.sweeps}
    samples = sampler.sample(
        problem, num_reads=options.reads, seed=options.seed, interrupt_function=stop, progress=bar, **sweeps
    )
    skip = ("engine", "seed", "interrupted", "timing", "schedule")
    told = ((k.replace("_", " "), v) for k, v in samples.info.items() if k not in skip)
    sweeps_done = len(next(iter(samples.info["schedule"].values())))
    settings = [("sweeps", f"{sweeps_done:,}")]
    settings += [(k, f"{v:g}" if isinstance(v, float) else str(v)) for k, v in told if isinstance(v, (int, float, str))]
    return samples, None, None, samples.info["interrupted"], settings


# files


def write(out: Path, outcome: Outcome, page: str) -> None:
    """The reads and the report, into a folder that is made."""
    from .checkpoint import replace_file
    from .job import prepare_folder

    prepare_folder(out)

    def writer(text: str) -> Any:
        return lambda file: file.write(text.encode()) and None

    replace_file(out / SAMPLES, writer(samples_csv(outcome)))
    replace_file(out / REPORT, writer(page))


def samples_csv(outcome: Outcome) -> str:
    """Reads in ascending energy: energy, occurrences, and the spin of each variable."""
    counted = outcome.samples.aggregate()
    record, buffer = counted.record, io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["energy", "occurrences", *map(str, counted.variables)])
    for k in np.argsort(record.energy, kind="stable"):
        row = record[k]
        writer.writerow([repr(float(row.energy)), int(row.num_occurrences), *row.sample.tolist()])
    return buffer.getvalue()
