"""`ExactAnnealingSampler`: exact annealing as a dimod sampler, with D-Wave's parameter names. It needs dimod."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError
from .exact import ExactAnnealing
from .exact_result import AnnealResult
from .problem import Ising
from .sampler import GENERATORS, AnnealingSampler, Block, Request, Run, Spins, one_of
from .schedules import Path, Schedule


class ExactAnnealingSampler(AnnealingSampler):
    """Samples from the final state of an anneal, the Schroedinger equation solved on the whole state vector.

    Example:
        >>> ExactAnnealingSampler().sample(bqm, num_reads=100, annealing_time=50, seed=1).first
    """

    engine = "exact Schroedinger annealing"

    def sample(
        self,
        bqm: Any,
        *,
        num_reads: int | None = None,
        seed: int | None = None,
        annealing_time: float | None = None,
        anneal_schedule: Any = None,
        schedule: Any = "linear",
        initial_state: Mapping[Any, int] | None = None,
        initial_states: Any = None,
        initial_states_generator: str = "tile",
        reinitialize_state: bool = True,
        auto_scale: bool = True,
        steps: int | None = None,
        tolerance: float = 1e-4,
        order: int = 4,
        dtype: str = "complex128",
        interrupt_function: Callable[[], bool] | None = None,
        progress: bool = False,
        **unknown: Any,
    ) -> Any:
        """Anneal, and measure the final state so often. Reads of one anneal cost next to nothing.

        Args:
            bqm: a `dimod.BinaryQuadraticModel` or an `Ising`; as many variables as the memory holds amplitudes.
            num_reads: None for as many as there are initial states, or 1.
            seed: read k depends on (seed, k) alone.
            annealing_time: in units of the inverse of A and B, see `Schedule`; None with no `anneal_schedule`: 20.
            anneal_schedule: instead, [[t, s], ...]: pauses, quenches, or from s = 1 reverse annealing.
            schedule: A(s) and B(s), what `Schedule.of` takes.
            initial_state: {variable: value} that reverse annealing starts from.
            initial_states: the same for every read; as many anneals as there are different ones.
            initial_states_generator: what reads without one do in reverse annealing: "none" and they are refused, or
                "tile"; in other anneals it says nothing.
            reinitialize_state: whether every read starts from its initial state; if not, from the read before, which
                takes an anneal for each.
            auto_scale: divide the problem by the largest of its fields and couplings; energies are told unscaled.
            steps, tolerance, order, dtype: of the integration, see `ExactAnnealing`.
            interrupt_function: called between chunks of steps and between anneals; once it returns True, the anneal
                ends where it is and is measured there, `info["interrupted"]` says so.
            progress: a bar of steps for every anneal (needs tqdm).

        Returns:
            `dimod.SampleSet`; `info` has "schedule", "path", "steps", "error", "scale", "success_probability" and
            "mean_energy" of the last anneal, and what every sampler tells.

        Raises:
            ArgumentError, ArgumentTypeError, ParameterError: an argument out of its range.
            OutOfMemoryError: too many variables; the text names the most that fit.
        """
        for name, flag in (("reinitialize_state", reinitialize_state), ("auto_scale", auto_scale)):
            if not isinstance(flag, (bool, np.bool_)):
                raise ArgumentTypeError(f"{name} is True or False, got {flag!r:.60}")
        one_of("initial_states_generator", initial_states_generator, GENERATORS)
        if initial_state is not None:
            if initial_states is not None:
                raise ArgumentError("give initial_state or initial_states, not both")
            initial_states = initial_state
        if annealing_time is None and anneal_schedule is None:
            annealing_time = 20.0
        plan, path = Schedule.of(schedule), Path.of(annealing_time, anneal_schedule)
        backwards = path.values[0] > 0
        if not backwards and initial_states is not None:
            raise ArgumentError("initial states go with an anneal_schedule from s = 1; at s = 0 the driver has its own")

        def start(problem: Ising, request: Request) -> Run:
            if backwards and len(request.initial) < request.reads:
                raise ArgumentError("reverse annealing needs an initial_state, or initial_states for all reads")
            largest = float(max(np.abs(problem.fields).max(), np.abs(problem.couplings).max(initial=0.0)))
            scale = 1 / largest if auto_scale and largest else 1.0
            scaled = Ising.of(problem.fields * scale, problem.pairs, problem.couplings * scale, problem.offset * scale)
            annealing = ExactAnnealing(scaled, order=order, dtype=dtype)
            info: dict[str, Any] = {
                "schedule": plan.name,
                "path": np.stack([path.times, path.values], 1).tolist(),
                "scale": scale,
            }

            def anneal(initial: Spins | None) -> AnnealResult:
                result = annealing.run(
                    plan,
                    path=path,
                    steps=steps,
                    tolerance=tolerance,
                    initial=initial,
                    records=1,
                    progress=progress,
                    interrupt=interrupt_function,
                )
                info.update(
                    steps=result.steps,
                    error=result.error,
                    success_probability=result.success_probability,
                    mean_energy=result.energy / scale,
                )
                if result.interrupted:
                    info["interrupted"] = True
                return result

            return Run(info, _blocks(anneal, request, backwards, bool(reinitialize_state)))

        return self._run(
            bqm,
            start,
            num_reads=num_reads,
            seed=seed,
            initial_states=initial_states,
            initial_states_generator="random" if initial_states is None else initial_states_generator,
            interrupt_function=interrupt_function,
            unknown=unknown,
        )


def _blocks(
    anneal: Callable[[Spins | None], AnnealResult], request: Request, backwards: bool, reinitialize: bool
) -> Iterator[Block]:
    """Reads in order: all of one anneal together; those after one another with the same initial state share theirs."""
    reads = request.reads
    if not backwards:
        yield Block(anneal(None).sample(reads, request.seed))
        return
    if not reinitialize:
        state = request.initial[0]
        for k in range(reads):
            state = anneal(state).sample(k + 1, request.seed)[k]
            yield Block(state[None])
        return
    k = 0
    while k < reads:
        same = (request.initial[k:] == request.initial[k]).all(axis=1)
        end = k + (len(same) if same.all() else int(np.argmin(same)))
        yield Block(anneal(request.initial[k]).sample(end, request.seed)[k:])
        k = end
