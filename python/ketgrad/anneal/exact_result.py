"""What an anneal was like: `Track` notes it on the way, `AnnealResult` is what is handed out.

Owns: energies, success, populations, probabilities, samples of one anneal. May not know: how a step is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..backends import get_backend
from ..memory import require_bytes
from ..simulator import Seed, bits_of, check_shots, generator
from .exact_space import BLOCK, Problem, Space, Spins
from .exact_steps import Angles, States
from .schedules import Path, Schedule

if TYPE_CHECKING:
    from .exact import ExactAnnealing

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AnnealResult:
    """One anneal. R times were noted, the first and the last included.

    Attributes:
        problem: what was annealed.
        times, s: (R,) when, and where on the schedule.
        energies: (R,) <H_P>.
        success: (R,) probability of the states of lowest energy.
        ground_energy: that energy.
        level_energies: (R, levels) the lowest eigenvalues of H(s), within the even states where the anneal is.
        populations: (R, levels) probabilities of their eigenstates; column 0 is the overlap with the ground state.
        state: (2^m,) final amplitudes; m = n - 1 where `parity`, see `probabilities`.
        steps, order: of the integration.
        error: its estimate, of success and energy as `tolerance` says; None where the number of steps was given.
        parity: whether the anneal stayed among the even states.
        interrupted: whether it ended before its time.
    """

    problem: Problem
    times: Array
    s: Array
    energies: Array
    success: Array
    ground_energy: float
    level_energies: Array
    populations: Array
    state: States
    steps: int
    order: int
    error: float | None
    parity: bool
    interrupted: bool
    backend: str | None

    @property
    def energy(self) -> float:
        """The final <H_P>."""
        return float(self.energies[-1])

    @property
    def success_probability(self) -> float:
        """The final probability of the states of lowest energy."""
        return float(self.success[-1])

    @property
    def residual_energy(self) -> float:
        """How far the final energy is above the lowest."""
        return self.energy - self.ground_energy

    @property
    def gaps(self) -> Array:
        """(R,) between the two lowest levels, where two were asked for."""
        return self.level_energies[:, 1] - self.level_energies[:, 0]

    def probabilities(self) -> Array:
        """(2^n,) final probabilities of the classical states; variable 0 is the most significant bit, bit 0 is +1.

        Raises:
            OutOfMemoryError: they do not fit.
        """
        require_bytes(24 * len(self.state), "the final probabilities")
        p = probabilities_of(self.state)
        return np.concatenate([p, p[::-1]]) / 2 if self.parity else p

    def sample(self, reads: int, seed: Seed = None) -> Spins:
        """(reads, n) spins measured at the end. Read k of a seed is the same however many there are."""
        uniforms = generator(seed).random((check_shots(reads), 2))
        drawn = get_backend(self.backend).sample(self.state[None], np.ascontiguousarray(uniforms[:, 0])[None])
        spins = 1 - 2 * bits_of(drawn[0], len(self.state).bit_length() - 1).astype(np.int8)
        if self.parity:
            side = np.where(uniforms[:, 1:] < 0.5, 1, -1).astype(np.int8)
            spins = np.concatenate([side, side * spins], axis=1)
        return np.asarray(spins)

    def __repr__(self) -> str:
        return (
            f"AnnealResult({self.problem.n} spins, time {self.times[-1]:g}, {self.steps} steps: "
            f"success {self.success_probability:.6g}, energy {self.energy:.6g} above {self.ground_energy:.6g})"
        )


class Track:
    """Notes one anneal while it runs."""

    def __init__(self, space: Space, schedule: Schedule, path: Path, records: int, levels: int) -> None:
        self.space, self.schedule, self.path = space, schedule, path
        self.records, self.levels = records, levels
        self.interrupted, self.steps, self._seen = False, 0, 0
        self._rows: list[tuple[float, float, float, Array, Array]] = []
        self._state: States | None = None
        self._guess: Any = None

    def see(self, done: int, drive: Angles, state: States) -> None:
        """After so many steps; the state is looked at where it is time for it."""
        total = len(drive.phases)
        if done == total or not self._rows or done * self.records // total > self._seen * self.records // total:
            self._note(done, drive, state)

    def stop(self, done: int, drive: Angles, state: States) -> None:
        """The anneal ends here."""
        self.interrupted = True
        if self._seen < done:
            self._note(done, drive, state)

    def _note(self, done: int, drive: Angles, state: States) -> None:
        self._seen, self.steps, self._state = done, len(drive.phases), state
        time = float(drive.edges[done])
        energies, populations = np.zeros(0), np.zeros(0)
        if self.levels:
            from .spectrum import lowest

            s = np.array(self.path(np.array(time)))
            energies, vectors = lowest(self.space, self.schedule, float(s), self.levels, self._guess)
            self._guess = vectors.sum(axis=1)
            populations = np.abs(vectors.T @ state) ** 2
        self._rows.append((time, *expectations(state, self.space), energies, populations))

    @property
    def final(self) -> Array:
        """(2,) the last success, and energy as a share of the range."""
        _, energy, success, *_ = self._rows[-1]
        return np.array([success, (energy - self.space.lowest) / max(self.space.spread, 1e-300)])

    def result(self, annealing: ExactAnnealing, error: float | None) -> AnnealResult:
        """What was noted."""
        times, energies, success, levels, populations = (np.array(c) for c in zip(*self._rows, strict=True))
        assert self._state is not None
        return AnnealResult(
            self.space.problem,
            times,
            self.path(times),
            energies,
            success,
            self.space.lowest,
            levels,
            populations,
            self._state.astype(annealing.dtype, copy=False),
            self.steps,
            annealing.order,
            error,
            self.space.parity,
            self.interrupted,
            annealing.backend,
        )


def probabilities_of(state: States) -> Array:
    """(N,) float64, of sum 1."""
    p = np.empty(len(state))
    for start in range(0, len(state), BLOCK):
        part = state[start : start + BLOCK]
        p[start : start + BLOCK] = part.real.astype(np.float64) ** 2 + part.imag.astype(np.float64) ** 2
    p /= p.sum()
    return p


def expectations(state: States, space: Space) -> tuple[float, float]:
    """<H_P> and the probability of its ground states; block by block, for a state may be most of the memory."""
    norm = energy = 0.0
    for start in range(0, len(state), BLOCK):
        part = state[start : start + BLOCK]
        p = part.real.astype(np.float64) ** 2 + part.imag.astype(np.float64) ** 2
        norm += float(p.sum())
        energy += float(np.einsum("i,i", p, space.energies[start : start + BLOCK]))  # no threads of BLAS beside ours
    ground = float((np.abs(state[space.ground]).astype(np.float64) ** 2).sum())
    return energy / norm, ground / norm
