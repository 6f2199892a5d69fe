"""Simulated quantum annealing as a dimod sampler. Owns: its options and its ramp. May not know: how sweeps are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import ArgumentError
from .problem import Ising
from .sampler import AnnealingSampler, Block, Request, Run, integer
from .simulated_schedule import Array, default_beta_range, numbers, prepared, ranges


class SimulatedQuantumAnnealingSampler(AnnealingSampler):
    """Path-integral Monte Carlo of H = B E(Z) - A sum X at inverse temperature beta, while A falls and B rises.

    A classical computation: it samples the thermal state of H at every point of the ramp, as far as sweeps suffice, and
    does not follow its dynamics. A read is a ring of slices in imaginary time; Metropolis sweeps turn over single spins
    of slices and spins in all slices at once. Read k of a seed is the same whatever the number of reads and threads,
    the instruction set and the backend.

    Source: G. E. Santoro, R. Martonak, E. Tosatti, R. Car, Science 295, 2427 (2002).

    Args:
        backend: "native", "numba", or None for the best one here.

    Example:
        >>> sampler = SimulatedQuantumAnnealingSampler()
        >>> sampler.sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_reads=10, seed=1).first.energy
        -1.5
    """

    engine = "simulated quantum annealing"

    def __init__(self, backend: str | None = None) -> None:
        self.backend = backend

    def sample(
        self,
        bqm: Any,
        num_reads: int | None = None,
        num_sweeps: int | None = None,
        num_slices: int = 16,
        beta: float | None = None,
        gamma: float | None = None,
        seed: int | None = None,
        interrupt_function: Callable[[], bool] | None = None,
        Hp_field: Any = None,
        Hd_field: Any = None,
        world_lines: bool = True,
        num_measured: int = 1,
        initial_states: Any = None,
        initial_states_generator: str = "random",
        progress: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Reads of a model.

        Args:
            bqm: a `dimod.BinaryQuadraticModel` or an `Ising`. Biases that are no multiples of a common unit are rounded
                to 2^-30 num_slices of the largest field of a spin while annealing; energies are those of the model.
            num_reads: None for as many as there are initial states, or 1.
            num_sweeps: of each read, 1,000 unless fields say otherwise. A sweep visits every spin of every slice.
            num_slices: of imaginary time, an even number P; means are exact up to an error of order (beta A / P)^2.
            beta: inverse temperature, in inverse units of energy; by default the cold end of `default_beta_range`.
            gamma: A at the start of the ramp A = gamma (1 - s), B = s; by default the root mean square, over spins, of
                the field that each feels from random neighbours.
            seed: from 0 to 2^63 - 1; None for a new one, which `info` tells.
            interrupt_function: called after blocks of reads; once it returns True, the reads so far are the result.
            Hp_field, Hd_field: instead of the ramp, beta B and beta A of every sweep (D-Wave's names).
            world_lines: whether spins also turn over in all slices at once.
            num_measured: over how many of the last sweeps energies and sigma-x are averaged.
            initial_states: spins or bits to start from, all slices alike, in what `dimod.as_samples` takes.
            initial_states_generator: for reads beyond them: "random" (each slice on its own), "tile", or "none".
            progress: a bar of reads (needs tqdm).

        Returns:
            `dimod.SampleSet` in the order of reads. A sample is the slice of lowest energy at the end. Vectors:
            `energy_mean`, the mean of E over slices and measured sweeps, an estimate of the thermal <E>, and `sigma_x`,
            one of <X> averaged over spins. `info` has the schedule, seed and timing.

        Raises:
            ArgumentTypeError, ArgumentError, ParameterError: what contradicts the above.
        """

        def start(problem: Ising, request: Request) -> Run:
            slices = integer("num_slices", num_slices, 2, 1 << 16)
            if slices % 2:
                raise ArgumentError(f"num_slices must be even, got {slices}")
            if Hp_field is None and Hd_field is None:
                classical, transverse = _ramp(problem, num_sweeps, beta, gamma)
            else:
                classical, transverse = _fields(Hp_field, Hd_field, num_sweeps, beta, gamma)
            measured = integer("num_measured", num_measured, 1, len(classical))
            spins = prepared(problem, self.backend, slices)

            def blocks() -> Iterator[Block]:
                seconds = spins.seconds(len(classical) * slices, slices)
                for some in ranges(request.seed, request.reads, request.initial, spins.together(slices), seconds):
                    paths = spins.anneal_paths(classical, transverse, slices, some, bool(world_lines), measured)
                    means = {"energy_mean": paths.energies + problem.offset, "sigma_x": paths.magnetisations}
                    yield Block(paths.spins, means)

            schedule = {"Hp_field": classical, "Hd_field": transverse}
            return Run({"schedule": schedule, "num_slices": slices, "num_measured": measured}, blocks())

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


def _ramp(problem: Ising, num_sweeps: int | None, beta: Any, gamma: Any) -> tuple[Array, Array]:
    """beta B and beta A of every sweep, A = gamma (1 - s) and B = s at the middles of equal steps of s."""
    sweeps = 1000 if num_sweeps is None else integer("num_sweeps", num_sweeps, 1, 2**31 - 1)
    cold = default_beta_range(problem)[1] if beta is None else float(numbers("beta", [beta])[0])
    width = default_gamma(problem) if gamma is None else float(numbers("gamma", [gamma])[0])
    s = (np.arange(sweeps) + 0.5) / sweeps
    return cold * s, cold * width * (1 - s)


def default_gamma(problem: Ising) -> float:
    """The root mean square of the field on a spin among random neighbours, or 1 where there is none."""
    squares = problem.fields @ problem.fields + 2.0 * problem.couplings @ problem.couplings
    return float(np.sqrt(squares / problem.n)) or 1.0


def _fields(classical: Any, transverse: Any, num_sweeps: int | None, beta: Any, gamma: Any) -> tuple[Array, Array]:
    if classical is None or transverse is None:
        raise ArgumentError("Hp_field and Hd_field are given together")
    if beta is not None or gamma is not None:
        raise ArgumentError("Hp_field and Hd_field stand for beta and gamma too; leave those out")
    p, d = numbers("Hp_field", classical), numbers("Hd_field", transverse)
    if len(p) != len(d):
        raise ArgumentError(f"Hp_field and Hd_field have a number for each sweep, got {len(p)} and {len(d)}")
    if num_sweeps is not None and integer("num_sweeps", num_sweeps) != len(p):
        raise ArgumentError(f"fields of {len(p)} sweeps are not num_sweeps={num_sweeps}; leave it out")
    return p, d
