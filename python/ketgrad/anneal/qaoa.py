"""`QAOA`: an anneal in a few digital layers whose angles are trained, from the same `Ising` as all engines.

Owns: the circuit, angles that start from an anneal, their training, and reads. May not know: the annealing engines.

Layer k is exp(-i gamma_k H_P), then exp(i beta_k sum_q X_q), from the ground state of -sum X: with gamma_k = dt B(s_k)
and beta_k = dt A(s_k) it is one step of the anneal H = -A sum X + B H_P. Angles (p, 2) are rows (gamma, beta); a gamma
is in units of 1 / energy. Bit 0 of wire k is spin +1 of variable k. Source: Farhi, Goldstone, Gutmann, arXiv:1411.4028.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit
from ..errors import ArgumentError, ArgumentTypeError, ParameterError
from ..evolution import diagonal
from ..expressions import real_array
from ..memory import available_bytes, format_bytes, largest_n_bits
from ..model import Model, compile_circuit
from ..optimise import progress_bar
from ..pauli import MAX_WIRES, PauliSum, X
from .problem import Array, Ising, needed
from .sampler import AnnealingSampler, Block, Request, Run, Spins, integer

LENGTHS = (0.15, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0, 1.2)  # of the ramps that `best_ramp` tries
STATES = 3  # of a gradient, with what the engine needs beside them
Stop = Callable[[], bool]


class QAOA:
    """QAOA of p layers for a problem of n variables.

    Args:
        problem: an `Ising`.
        layers: p, at least 1.
        dtype: "complex128" or "complex64".
        backend: "native" or "numba"; default the best one here.

    Raises:
        ArgumentTypeError, ArgumentError: no `Ising`, a number of layers that is none, or more variables than fit here.
    """

    def __init__(self, problem: Ising, layers: int, *, dtype: str = "complex128", backend: str | None = None) -> None:
        if not isinstance(problem, Ising):
            raise ArgumentTypeError(f"QAOA: a problem is an Ising, got {type(problem).__name__}; use Ising.from_bqm")
        self.problem, self.layers = problem, integer("layers", layers, 1, 10**5)
        self.scale = _scale(problem)
        check_size(problem.n, 16 if np.dtype(dtype) == np.complex128 else 8)
        terms: dict[Any, float] = {}
        for k in np.flatnonzero(problem.fields).tolist():
            terms[(((k, "Z"),), ())] = float(problem.fields[k])
        for (i, j), c in zip(problem.pairs.tolist(), problem.couplings.tolist(), strict=True):
            terms[(((i, "Z"), (j, "Z")), ())] = c
        self.cost = PauliSum(terms)
        mixer = sum((X(q) for q in range(problem.n)), PauliSum())
        circuit = Circuit(problem.n)
        weights = circuit.weights((self.layers, 2), "angles")
        for q in range(problem.n):
            circuit.h(q)
        for gamma, beta in weights:
            circuit.evolve(self.cost, gamma).evolve(mixer, -beta)
        self.model: Model = compile_circuit(circuit, self.cost + problem.offset, dtype=dtype, backend=backend)

    # angles

    def ramp(self, length: float) -> Array:
        """(p, 2): a linear anneal whose steps are `length`, gamma in units of the typical local field."""
        s = (np.arange(self.layers) + 0.5) / self.layers
        return length * np.stack([s / self.scale, 1 - s], axis=1)

    def best_ramp(self) -> Array:
        """(p, 2): the ramp of lowest energy of those of eight lengths, which is where training starts from."""
        several = [self.ramp(length) for length in LENGTHS]
        return several[int(np.argmin([self.energy(a) for a in several]))]

    def digitised(self, time: float, schedule: Any = "linear") -> Array:
        """(p, 2): p steps of an anneal of `time` by a schedule, what `Schedule.of` takes, right to second order.

        B is taken at the middle of steps and A at their ends, of which the last counts half.
        """
        from .schedules import Schedule

        if isinstance(time, bool) or not isinstance(time, (int, float, np.number)) or not 0 < time < math.inf:
            raise ArgumentError(f"an annealing time must be finite and above 0, got {time!r}")
        chosen, ends = Schedule.of(schedule), np.arange(1, self.layers + 1) / self.layers
        driver, problem = chosen(ends)[0].copy(), chosen(ends - 0.5 / self.layers)[1]
        driver[-1] /= 2
        return float(time) / self.layers * np.stack([problem, driver], axis=1)

    def check_angles(self, angles: Any) -> Array:
        """(p, 2) of what a user gives.

        Raises:
            ParameterError: another shape; `interpolated` makes angles for more layers.
        """
        out = real_array(angles, "QAOA: angles")
        if out.shape != (self.layers, 2):
            raise ParameterError(
                f"QAOA: angles of {self.layers} layers have shape ({self.layers}, 2), got {out.shape}; "
                "interpolated(angles, layers) makes those of more layers"
            )
        return out

    # what angles give

    def energy(self, angles: Any) -> float:
        """<H_P>, exact."""
        return float(self.model(self.check_angles(angles))[0])

    def energy_and_gradient(self, angles: Any) -> tuple[float, Array]:
        """<H_P> and its derivatives (p, 2), by the adjoint method."""
        values, pullback = self.model.forward(self.check_angles(angles))
        return float(values[0]), pullback([1.0]).weights

    def probabilities(self, angles: Any) -> Array:
        """(2^n,) of all states, variable 0 the most significant bit, bit 0 spin +1."""
        return np.abs(self.model.state(self.check_angles(angles))) ** 2

    def success_probability(self, angles: Any) -> float:
        """The probability of all states of lowest energy."""
        near = 1e-9 * max(1.0, float(np.abs(self._energies).max()))
        lowest = self.ground_energy - self.problem.offset
        return float(self.probabilities(angles)[self._energies <= lowest + near].sum())

    @cached_property
    def ground_energy(self) -> float:
        """The lowest energy of all states."""
        return float(self._energies.min()) + self.problem.offset

    @cached_property
    def _energies(self) -> Array:
        """(2^n,), without the offset."""
        if not self.cost.terms:
            return np.zeros(1 << self.problem.n)
        return diagonal(self.cost, range(self.problem.n))

    def spins(self, angles: Any, reads: int, seed: Any = None) -> Spins:
        """(reads, n) measured spins; read k depends on seed and k only."""
        bits = self.model.sample(self.check_angles(angles), shots=reads, seed=seed)
        return (1 - 2 * bits.astype(np.int8)).astype(np.int8)

    # training

    def train(
        self,
        angles: Any = None,
        *,
        steps: int = 100,
        tolerance: float = 1e-6,
        progress: bool = False,
        interrupt: Stop | None = None,
    ) -> Trained:
        """Lower <H_P> by L-BFGS with adjoint gradients (needs scipy).

        Args:
            angles: (p, 2) to start from; None for `best_ramp`. Those of fewer layers are `interpolated`.
            steps: of L-BFGS, at most; each takes one or a few gradients. 0 leaves the angles as they are.
            tolerance: stop when a step gains less than this share of the energy.
            progress: a bar of steps (needs tqdm).
            interrupt: called after every gradient; once it returns True, the best angles so far are the result. So they
                are after Ctrl-C.
        """
        integer("steps", steps, 0)
        here = self.best_ramp() if angles is None else real_array(angles, "QAOA: angles")
        if here.ndim == 2 and here.shape[1:] == (2,) and 0 < len(here) < self.layers:
            here = interpolated(here, self.layers)
        search, began = _Search(self, self.check_angles(here), interrupt), time.perf_counter()
        interrupted = False
        with progress_bar(max(1, steps), progress and steps > 0) as bar:

            def after(result: Any) -> None:
                search.history.append(search.energy)
                bar.set_postfix_str(f"energy {search.energy:.6g}", refresh=False)
                bar.update()

            try:
                if steps:
                    # gammas in the units of betas: L-BFGS starts from a step that knows no scales
                    options = {"maxiter": steps, "ftol": tolerance, "maxfun": 10 * steps + 10}
                    start = (search.angles * search.units).reshape(-1)
                    needed("scipy.optimize").minimize(
                        search, start, jac=True, method="L-BFGS-B", options=options, callback=after
                    )
            except KeyboardInterrupt:
                interrupted = True
        seconds = time.perf_counter() - began
        return Trained(
            self, search.angles, search.energy, np.array(search.history), search.gradients, seconds, interrupted
        )

    def __repr__(self) -> str:
        return f"QAOA({self.problem!r}, {self.layers} layers, {self.model.backend})"


class _Search:
    """The function that L-BFGS calls, and the best that it saw."""

    def __init__(self, qaoa: QAOA, start: Array, interrupt: Stop | None) -> None:
        self.qaoa, self.interrupt = qaoa, interrupt
        self.units = np.array([qaoa.scale, 1.0])
        self.angles, self.energy, self.gradients = start, qaoa.energy(start), 0
        self.history = [self.energy]

    def __call__(self, flat: Array) -> tuple[float, Array]:
        angles = flat.reshape(-1, 2) / self.units
        energy, gradient = self.qaoa.energy_and_gradient(angles)
        self.gradients += 1
        if energy < self.energy:
            self.angles, self.energy = angles, energy
        if self.interrupt is not None and self.interrupt():
            raise KeyboardInterrupt
        return energy, (gradient / self.units).reshape(-1)


@dataclass(frozen=True, eq=False)
class Trained:
    """What training found.

    Attributes:
        qaoa: what was trained.
        angles: (p, 2), the best that were seen.
        energy: there.
        history: energies, before the first step and after each.
        gradients: how many it took.
        seconds: of it all.
        interrupted: whether it was stopped.
    """

    qaoa: QAOA
    angles: Array
    energy: float
    history: Array
    gradients: int
    seconds: float
    interrupted: bool

    @property
    def success_probability(self) -> float:
        """The probability of all states of lowest energy."""
        return self.qaoa.success_probability(self.angles)

    def sample(self, reads: int, seed: int | None = None) -> Any:
        """A `dimod.SampleSet` of measured spins."""
        return self.qaoa.problem.sample_set(self.qaoa.spins(self.angles, reads, seed))

    def plot(self) -> Any:
        """The angles over the layers: a matplotlib Figure (needs `ketgrad[plot]`)."""
        from ..plots import curves

        k = np.arange(1, len(self.angles) + 1)
        lines = [("gamma", k, self.angles[:, 0]), ("beta", k, self.angles[:, 1])]
        return curves(lines, f"QAOA, energy {self.energy:.6g}", "layer", "angle")

    def __repr__(self) -> str:
        return (
            f"Trained(energy={self.energy:.8g}, from {self.history[0]:.8g}, {len(self.angles)} layers, "
            f"{self.gradients} gradients, {self.seconds:.2f} s)"
        )


def interpolated(angles: npt.ArrayLike, layers: int) -> Array:
    """(layers, 2) for more layers: INTERP of Zhou et al., Phys. Rev. X 10, 021067 (2020), one layer after the other."""
    out = real_array(angles, "QAOA: angles")
    if out.ndim != 2 or out.shape[1:] != (2,) or not 0 < len(out) <= integer("layers", layers):
        raise ParameterError(f"angles have shape (p, 2), p from 1 to {layers}, got {out.shape}")
    for p in range(len(out), layers):
        padded = np.concatenate([np.zeros((1, 2)), out, np.zeros((1, 2))])
        k = np.arange(p + 1)[:, None]
        out = k / p * padded[:-1] + (p - k) / p * padded[1:]
    return out


def check_size(n: int, itemsize: int) -> None:
    """Refuse a problem whose states do not fit.

    Raises:
        ArgumentError: with the largest that does, and the engines that would take it.
    """
    most = min(MAX_WIRES, largest_n_bits(itemsize, STATES))
    if n > most:
        need = format_bytes(STATES * itemsize << n)
        raise ArgumentError(
            f"QAOA of {n} variables needs {need} for its states, and {format_bytes(available_bytes())} are available: "
            f"at most {most} variables here; SimulatedAnnealingSampler and SimulatedQuantumAnnealingSampler take more"
        )


def _scale(problem: Ising) -> float:
    """The typical local field, from its variance over random spins."""
    square = (problem.fields**2).sum() + 2 * (problem.couplings**2).sum()
    return math.sqrt(square / problem.n) or 1.0


class QAOASampler(AnnealingSampler):
    """QAOA as a dimod sampler: trains the angles, then measures.

    Example:
        >>> QAOASampler().sample(bqm, layers=8, num_reads=100, seed=0)
    """

    engine = "qaoa"

    def sample(
        self,
        bqm: Any,
        *,
        num_reads: int | None = None,
        seed: int | None = None,
        layers: int = 8,
        angles: Any = None,
        annealing_time: float | None = None,
        schedule: Any = "linear",
        steps: int = 50,
        interrupt_function: Stop | None = None,
        progress: bool = False,
        **unknown: Any,
    ) -> Any:
        """Reads of a trained QAOA circuit.

        Args:
            bqm: a `dimod.BinaryQuadraticModel` or an `Ising`.
            num_reads, seed, progress: as for all samplers.
            layers: p.
            angles: (p, 2) to start from; None for the digitised anneal of `annealing_time`, or else the best ramp.
            annealing_time, schedule: of the anneal that training starts from.
            steps: of training; 0 measures what it starts from.
            interrupt_function: called after every gradient; once it returns True, the best angles so far are measured.

        Returns:
            `dimod.SampleSet`; `info` has "angles", "energy", "history", "gradients" and "training_seconds".
        """

        def start(problem: Ising, request: Request) -> Run:
            qaoa = QAOA(problem, layers)
            if angles is not None and annealing_time is not None:
                raise ArgumentError("QAOA starts from angles or from an annealing_time; give one of both")
            first = angles if annealing_time is None else qaoa.digitised(annealing_time, schedule)
            info: dict[str, Any] = {"layers": qaoa.layers}

            def blocks() -> Iterator[Block]:
                found = qaoa.train(first, steps=steps, progress=progress, interrupt=interrupt_function)
                info.update(angles=found.angles.tolist(), energy=found.energy, history=found.history.tolist())
                info.update(gradients=found.gradients, training_seconds=found.seconds)
                if found.interrupted:
                    info["interrupted"] = True
                yield Block(qaoa.spins(found.angles, request.reads, request.seed))

            return Run(info, blocks())

        integer("steps", steps, 0)
        return self._run(bqm, start, num_reads=num_reads, seed=seed, unknown=unknown)
