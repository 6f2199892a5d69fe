"""`AnnealingSampler`: the face that all annealing engines show to dimod.

Owns: what every sampler is asked in the same words (reads, seed, initial states, interruption, progress), and the
`SampleSet` made of its answers. May not know: schedules, engines. Importing this module needs dimod.

An engine gives its reads block by block, so that whoever interrupts it keeps the blocks it has finished.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ArgumentTypeError, KetgradError
from ..memory import require_bytes
from .problem import Ising

try:
    import dimod
except ModuleNotFoundError as error:
    if error.name != "dimod":
        raise
    raise KetgradError("annealing samplers need dimod, which is missing; pip install 'ketgrad[anneal]'") from None

Spins = npt.NDArray[np.int8]
GENERATORS = ("none", "tile", "random")


class Request(NamedTuple):
    """What every engine is asked, checked.

    Attributes:
        reads: how many, at least 1.
        seed: from 0 to 2^63 - 1. Read k depends on (seed, k) and not on how many reads there are.
        initial: (k, n) spins +-1, k from 0 to reads. Read r < k starts there, the others where the engine likes.
    """

    reads: int
    seed: int
    initial: Spins


class Block(NamedTuple):
    """Some finished reads: spins (r, n) of +-1, and further vectors (r, ...) for the sample set."""

    spins: Spins
    vectors: Mapping[str, npt.NDArray[Any]] = {}


class Run(NamedTuple):
    """What an engine answers: facts for `info` (its schedule among them), and reads in ascending order."""

    info: dict[str, Any]
    blocks: Iterator[Block]


def integer(name: str, value: Any, low: int = 1, high: int = 2**63 - 1) -> int:
    """An integer of a range.

    Raises:
        ArgumentTypeError, ArgumentError: it is none, or out of range.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ArgumentTypeError(f"{name} is an integer, got {value!r:.60}")
    if not low <= value <= high:
        raise ArgumentError(f"{name} must be from {low:,} to {high:,}, got {value}")
    return int(value)


def one_of(name: str, value: Any, known: tuple[str, ...]) -> str:
    """A word of a list; errors as for `integer`."""
    if not isinstance(value, str):
        raise ArgumentTypeError(f"{name} is one of {known}, got {value!r:.60}")
    if value not in known:
        raise ArgumentError(f"{name} must be one of {known}, got {value!r:.60}")
    return value


class AnnealingSampler(dimod.Sampler, dimod.Initialized):  # type: ignore[misc]
    """A dimod sampler around an engine. A subclass writes `sample`, with all its keywords, and gives them to `_run`."""

    engine: str
    options: Mapping[str, tuple[str, ...]] = {}  # the words that a parameter may be

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The keywords of `sample`, each with the properties that say what it may be."""
        found = inspect.signature(self.sample).parameters.values()
        names = [p.name for p in found if p.name != "bqm" and p.kind is not p.VAR_KEYWORD]
        return {name: [_property(name)] if name in self.options else [] for name in names}

    @property
    def properties(self) -> dict[str, Any]:
        """The words that parameters may be."""
        return {_property(name): words for name, words in self.options.items()}

    def _run(
        self,
        bqm: Any,
        start: Callable[[Ising, Request], Run],
        *,
        num_reads: int | None,
        seed: int | None,
        initial_states: Any = None,
        initial_states_generator: str = "random",
        interrupt_function: Callable[[], bool] | None = None,
        progress: bool = False,
        unknown: Mapping[str, Any] | None = None,
    ) -> Any:
        """The sample set of an engine that `start` starts.

        Args:
            bqm: a `dimod.BinaryQuadraticModel` or an `Ising`.
            start: checks what is its own, and does no more than that before its first block is asked for.
            num_reads: None for as many as there are initial states, or 1.
            seed: from 0 to 2^63 - 1; None for a new one, which `info` tells.
            initial_states: what `dimod.as_samples` takes, spins or bits.
            initial_states_generator: "none", "tile" or "random": what reads without an initial state do.
            interrupt_function: called between blocks of reads; once it returns True, the reads so far are the result.
            progress: a bar of reads (needs tqdm).
            unknown: keywords that `sample` does not know; dimod warns of them.

        Returns:
            `dimod.SampleSet` of the model's vartype, in the order of reads, energies computed anew. `info` has
            "engine", "seed", "interrupted", "timing" in nanoseconds, and what the engine says. Ctrl-C too gives the
            reads so far, and is raised again where there are none.

        Raises:
            ArgumentTypeError, ArgumentError, ParameterError: see the rules above.
            OutOfMemoryError: more reads than fit.
        """
        began = perf_counter_ns()
        self.remove_unknown_kwargs(**(unknown or {}))
        if interrupt_function is not None and not callable(interrupt_function):
            raise ArgumentTypeError(f"interrupt_function is a function without arguments, got {interrupt_function!r}")
        if not isinstance(bqm, (Ising, dimod.BinaryQuadraticModel)) and not hasattr(bqm, "to_ising"):
            raise ArgumentTypeError(f"a sampler takes a dimod.BinaryQuadraticModel or an Ising, got {bqm!r:.60}")
        seed = secrets.randbits(63) if seed is None else integer("seed", seed, 0)
        number = None if num_reads is None else integer("num_reads", num_reads)
        one_of("initial_states_generator", initial_states_generator, GENERATORS)
        if not isinstance(bqm, Ising) and not bqm.num_variables:
            return _empty(bqm, number or 1, {"engine": self.engine, "seed": seed})
        problem = bqm if isinstance(bqm, Ising) else Ising.from_bqm(bqm)
        vartype = dimod.SPIN if isinstance(bqm, Ising) else bqm.vartype
        initial = _initial(problem, initial_states, vartype)
        reads = number or max(1, len(initial))
        require_bytes(2 * reads * problem.n, f"{reads:,} reads of {problem.n:,} spins")
        run = start(problem, Request(reads, seed, _filled(initial[:reads], reads, initial_states_generator)))
        started = perf_counter_ns()
        blocks, interrupted = _collect(run.blocks, reads, interrupt_function, progress)
        ended = perf_counter_ns()
        spins = np.concatenate([b.spins for b in blocks])
        samples = spins if vartype is dimod.SPIN else (spins + 1) // 2
        vectors = {k: np.concatenate([b.vectors[k] for b in blocks]) for k in blocks[0].vectors}
        info = {"engine": self.engine, "seed": seed, "interrupted": interrupted, **run.info}
        out = dimod.SampleSet.from_samples(
            (samples, list(problem.labels)), vartype, problem.energies(spins), info=info, sort_labels=False, **vectors
        )
        info = {"preprocessing_ns": started - began, "sampling_ns": ended - started}
        out.info["timing"] = info | {"postprocessing_ns": perf_counter_ns() - ended}
        return out


def _property(parameter: str) -> str:
    """What D-Wave calls the property with the words of a parameter."""
    return f"{parameter.removesuffix('_type')}_options"


def _empty(bqm: Any, reads: int, info: dict[str, Any]) -> Any:
    """dimod's tests want models without variables sampled: every read is the offset."""
    return dimod.SampleSet.from_samples_bqm((np.empty((reads, 0), np.int8), []), bqm, info=info)


def _initial(problem: Ising, states: Any, vartype: Any) -> Spins:
    """(k, n) spins of what a user gives as initial states, in the order of the problem's labels."""
    if states is None:
        return np.empty((0, problem.n), np.int8)
    rows, names = dimod.as_samples(states)
    told = isinstance(states, dimod.SampleSet)
    kind = states.vartype if told else dimod.sampleset.infer_vartype((rows, names)) or vartype
    if set(names) != set(problem.labels):
        raise ArgumentError("initial_states must have the variables of the model, no more and no fewer")
    column = {v: k for k, v in enumerate(names)}
    ordered = np.asarray(rows)[:, [column[v] for v in problem.labels]]
    spins = ordered if kind is dimod.SPIN else 2 * ordered.astype(np.int8) - 1
    if not (np.abs(spins) == 1).all():
        raise ArgumentError(f"initial_states of vartype {kind.name} have other values than {sorted(kind.value)}")
    return np.ascontiguousarray(spins, dtype=np.int8)


def _filled(initial: Spins, reads: int, generator: str) -> Spins:
    """Initial states for all reads, but with "random" those that are there."""
    if generator == "random" or len(initial) == reads:
        return initial
    if generator == "tile" and len(initial):
        return np.resize(initial, (reads, initial.shape[1]))
    raise ArgumentError(
        f"{reads} reads need as many initial_states with initial_states_generator={generator!r}, got {len(initial)}; "
        "with 'random' the others start anywhere"
    )


def _collect(
    blocks: Iterator[Block], reads: int, interrupt: Callable[[], bool] | None, progress: bool
) -> tuple[list[Block], bool]:
    """Blocks until there are no more, and whether they were interrupted; at least one."""
    out: list[Block] = []
    bar = _bar(reads) if progress else None
    try:
        for block in blocks:
            out.append(block)
            if bar is not None:
                bar.update(len(block.spins))
            if sum(len(b.spins) for b in out) < reads and interrupt is not None and interrupt():
                return out, True
    except KeyboardInterrupt:
        if not out:
            raise
        return out, True
    finally:
        if bar is not None:
            bar.close()
    return out, False


def _bar(reads: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise KetgradError("progress=True needs tqdm, which is missing; pip install tqdm") from None
    return tqdm(total=reads, unit="read")
