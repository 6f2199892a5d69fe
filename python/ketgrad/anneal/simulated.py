"""Simulated annealing as a dimod sampler. Owns: its options. May not know: how sweeps are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .problem import Ising
from .sampler import AnnealingSampler, Block, Request, Run, integer, one_of
from .simulated_schedule import BETA_SCHEDULES, beta_schedule, prepared, ranges


class SimulatedAnnealingSampler(AnnealingSampler):
    """Metropolis sweeps from hot to cold, many reads side by side.

    Read k of a seed is the same whatever the number of reads and threads, the instruction set and the backend.
    Source: S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi, Science 220, 671 (1983); names and defaults are those of
    D-Wave's `SimulatedAnnealingSampler`.

    Args:
        backend: "native", "numba", or None for the best one here.

    Example:
        >>> SimulatedAnnealingSampler().sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_reads=10, seed=1).first.energy
        -1.5
    """

    engine = "simulated annealing"
    options = {"beta_schedule_type": BETA_SCHEDULES}

    def __init__(self, backend: str | None = None) -> None:
        self.backend = backend

    def sample(
        self,
        bqm: Any,
        beta_range: Any = None,
        num_reads: int | None = None,
        num_sweeps: int | None = None,
        num_sweeps_per_beta: int = 1,
        beta_schedule_type: str = "geometric",
        seed: int | None = None,
        interrupt_function: Callable[[], bool] | None = None,
        beta_schedule: Any = None,
        initial_states: Any = None,
        initial_states_generator: str = "random",
        progress: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Reads of a model.

        Args:
            bqm: a `dimod.BinaryQuadraticModel` or an `Ising`. Biases that are no multiples of a common unit are rounded
                to 2^-30 of the largest field of a spin while annealing; energies are those of the model itself.
            beta_range: first and last inverse temperature, in inverse units of energy; see `default_beta_range`.
            num_reads: None for as many as there are initial states, or 1. They are cheapest by 64.
            num_sweeps: of each read, 1,000 unless a custom schedule says otherwise; a multiple of the next.
            num_sweeps_per_beta: sweeps at each temperature.
            beta_schedule_type: "linear", "geometric", or "custom", which takes `beta_schedule`.
            seed: from 0 to 2^63 - 1; None for a new one, which `info` tells.
            interrupt_function: called after blocks of reads; once it returns True, the reads so far are the result.
            beta_schedule: the inverse temperatures themselves.
            initial_states: spins or bits to start from, in what `dimod.as_samples` takes.
            initial_states_generator: for reads beyond them: "random", "tile", or "none".
            progress: a bar of reads (needs tqdm).

        Returns:
            `dimod.SampleSet` in the order of reads; `info` has beta_range, beta_schedule_type, schedule, seed, timing.

        Raises:
            ArgumentTypeError, ArgumentError, ParameterError: what contradicts the above.
        """

        def start(problem: Ising, request: Request) -> Run:
            per_beta = integer("num_sweeps_per_beta", num_sweeps_per_beta)
            kind = one_of("beta_schedule_type", beta_schedule_type, BETA_SCHEDULES)
            sweeps = None if num_sweeps is None else integer("num_sweeps", num_sweeps, 0, 2**31 - 1)
            betas = _beta_schedule(problem, kind, beta_range, beta_schedule, sweeps, per_beta)
            spins = prepared(problem, self.backend)

            def blocks() -> Iterator[Block]:
                seconds = spins.seconds(len(betas) * per_beta)
                for some in ranges(request.seed, request.reads, request.initial, spins.together(), seconds):
                    yield Block(spins.anneal(betas, per_beta, some))

            ends = (float(betas[0]), float(betas[-1])) if len(betas) else ()
            schedule = {"beta": betas, "num_sweeps_per_beta": per_beta}
            return Run({"beta_range": ends, "beta_schedule_type": kind, "schedule": schedule}, blocks())

        return self._run(
            bqm,
            start,
            num_reads=num_reads,
            seed=seed,
            initial_states=initial_states,
            initial_states_generator=initial_states_generator,
            interrupt_function=interrupt_function,
            progress=progress,
            unknown=kwargs,
        )


_beta_schedule = beta_schedule  # the option of the same name hides it
