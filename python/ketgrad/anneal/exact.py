"""`ExactAnnealing`: the Schroedinger equation of an anneal, solved on the whole state vector.

Owns: anneals and what they run in. May not know: how a step is made, how many there are, dimod.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ArgumentTypeError, OutOfMemoryError, StateError
from ..memory import available_bytes, format_bytes, largest_n_bits
from ..optimise import progress_bar
from .exact_gradient import AnnealGradient, gradient
from .exact_result import AnnealResult, Track
from .exact_search import MOST_STEPS, first_steps, guess, search
from .exact_space import Problem, Space, check_problem, is_even
from .exact_steps import Angles, Counts, Sweeper, angles, check_order, steps_of_pieces
from .problem import Ising
from .schedules import Path, Schedule

Array = npt.NDArray[np.float64]
States = npt.NDArray[Any]
FINEST = {"complex64": 1e-5, "complex128": 1e-11}  # tolerances that rounding leaves room for
RUN_STATES, GRADIENT_STATES = 4, 11  # held at once; `bench/anneal_exact.py` measures the first
SMALL = 16  # qubits that need no look at the memory
SINGLE_FROM = 12  # qubits, where trials in complex64 are quicker
SINGLE_NOISE = 1e-7  # of their results, times the root of the steps; a trial is off by some ten times the tolerance


class ExactAnnealing:
    """Anneals of one problem; what it prepares is shared by all of them.

    Example:
        >>> result = ExactAnnealing(problem).run("linear", 20.0)
        >>> result.success[-1], result.energies[-1], result.sample(100, seed=1)

    Args:
        problem: an `Ising`, or a `Diagonal` of any energies.
        order: of a step, 4 (six rotations of all qubits), 2 (one) or 6 (ten, for tolerances below 1e-8).
        dtype: "complex128" or "complex64".
        backend: "native" or "numba"; None for the one that is there.
        parity: whether to stay among the even states, half of all; None: where the problem has no fields and the anneal
            starts in the driver's ground state.

    Raises:
        ArgumentError, ArgumentTypeError: an argument out of its range.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        order: int = 4,
        dtype: str = "complex128",
        backend: str | None = None,
        parity: bool | None = None,
    ) -> None:
        self.problem = check_problem(problem)
        self.order = check_order(order)
        if str(dtype) not in FINEST:
            raise ArgumentError(f"dtype must be complex64 or complex128, got {dtype!r}")
        if parity and (problem.n < 2 or not is_even(problem)):
            raise ArgumentError("parity=True needs a problem of two spins or more, and without fields")
        self.dtype, self.backend, self._parity = str(dtype), backend, parity
        self._sweepers: dict[bool, Sweeper] = {}

    def run(
        self,
        schedule: Any = "linear",
        time: float | None = None,
        *,
        path: Any = None,
        steps: int | None = None,
        tolerance: float = 1e-6,
        initial: Any = None,
        records: int = 20,
        levels: int = 0,
        progress: bool = False,
        interrupt: Callable[[], bool] | None = None,
    ) -> AnnealResult:
        """Anneal once.

        Args:
            schedule: what `Schedule.of` takes: "linear", "circular", "quadratic", a CSV file, (A, B), (s, A, B).
            time: of the anneal from s = 0 to 1, in units of the inverse of A and B.
            path: instead of a time, [[t, s], ...], linear in between: pauses, quenches, reverse annealing.
            steps: how many, and some more where the path has kinks; None: as many as the tolerance asks for, found by
                two short trials.
            tolerance: of the success probability, and of the energy as a share of the range of all energies. From
                1e-11, 1e-5 in complex64.
            initial: None for the driver's ground state, (n,) spins +-1, or (2^n,) amplitudes.
            records: about how many times, evenly spread, the energy and the success probability are noted.
            levels: how many of the lowest eigenstates of H(s) to look for at each of these times (needs scipy); their
                populations are noted, too.
            progress: a bar of steps (needs tqdm).
            interrupt: called between chunks of steps; once it returns True, the anneal ends where it is.

        Raises:
            ArgumentError, ArgumentTypeError, ParameterError, StateError: an argument out of its range.
            OutOfMemoryError: the state does not fit; the text names the largest that does.
        """
        plan, path = Schedule.of(schedule), Path.of(time, path)
        fine = self._tolerance(tolerance) if steps is None else 0.0
        count = _count("steps", steps, 1, MOST_STEPS) if steps is not None else 0
        records, levels = _count("records", records, 1, 10**6), _count("levels", levels, 0, 64)
        if interrupt is not None and not callable(interrupt):
            raise ArgumentTypeError(f"interrupt is a function without arguments, got {interrupt!r:.60}")
        sweeper = self._sweeper(path, initial, RUN_STATES)
        start = self._start(sweeper.space, initial)

        def anneal(counts: Counts, noted: int, few: int, by: Sweeper = sweeper) -> Track:
            drive = angles(plan, path, counts, self.order)
            track = Track(sweeper.space, plan, path, noted, few)
            self._drive(by, drive, start.astype(by.dtype, copy=False), track, progress, interrupt)
            return track

        if steps is not None:
            return anneal(steps_of_pieces(plan, path, count), records, levels).result(self, None)

        # Trials in single precision take half the time; a table of energies would be held a second time for them.
        quick = isinstance(self.problem, Ising) and sweeper.space.qubits >= SINGLE_FROM

        def attempt(counts: Counts, trial: bool) -> Track:
            if trial and quick and fine >= SINGLE_NOISE * math.sqrt(counts.sum()):
                return anneal(counts, 1, 0, sweeper.single)
            return anneal(counts, 1 if trial else records, 0)

        guessed = guess(plan, path, sweeper.space.flip_energy, self.order)
        first = steps_of_pieces(plan, path, first_steps(guessed, fine, self.order))
        counts, track, error = search(first, self.order, fine, attempt)
        if levels and not track.interrupted:
            track = anneal(counts, records, levels)
        return track.result(self, error)

    def gradient(
        self,
        schedule: Any = "linear",
        time: float | None = None,
        *,
        path: Any = None,
        steps: int | None = None,
        objective: Any = "energy",
        initial: Any = None,
    ) -> AnnealGradient:
        """The derivative of the final energy or success probability, by the adjoint method.

        It is that of the anneal in as many steps, exactly, whatever their error. Memory for eleven states; about six
        times as long as the anneal.

        Args:
            schedule, time, path, initial: as for `run`.
            steps: how many; None for about as many as a tolerance of 1e-6 needs.
            objective: "energy", "success", or (2^n,) values of a diagonal observable.

        Raises:
            As for `run`.
        """
        plan, path = Schedule.of(schedule), Path.of(time, path)
        sweeper = self._sweeper(path, initial, GRADIENT_STATES)
        if steps is None:
            steps = guess(plan, path, sweeper.space.flip_energy, self.order)
        counts = steps_of_pieces(plan, path, _count("steps", steps, 1, MOST_STEPS))
        drive = angles(plan, path, counts, self.order)
        return gradient(sweeper, drive, plan, path, self._start(sweeper.space, initial), objective)

    # inside

    def _tolerance(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)):
            raise ArgumentTypeError(f"tolerance is a number, got {value!r:.60}")
        low = FINEST[self.dtype]
        if not low <= value < 1:
            hint = "; dtype='complex128' goes to 1e-11" if self.dtype == "complex64" else ""
            raise ArgumentError(f"tolerance must be from {low:g} to below 1 in {self.dtype}, got {value:g}{hint}")
        return float(value)

    def _sweeper(self, path: Path, initial: Any, states: int) -> Sweeper:
        """The sweeper for a start, after a look at the memory for so many states."""
        if initial is None and path.values[0] > 0:
            raise ArgumentError(
                f"a path from s = {path.values[0]:g} needs an initial state; the driver's ground state belongs to s = 0"
            )
        if initial is not None and self._parity:
            raise ArgumentError("parity=True starts in the driver's ground state; leave out initial or parity")
        parity = self._parity
        if parity is None:
            parity = initial is None and self.problem.n > 1 and is_even(self.problem)
        each = states * np.dtype(self.dtype).itemsize + (8 if isinstance(self.problem, Ising) else 28)
        most = max(SMALL, largest_n_bits(each)) + parity
        if self.problem.n > most:
            smaller = " (complex64 takes half)" if self.dtype == "complex128" else ""
            raise OutOfMemoryError(
                f"exact annealing of {self.problem.n} spins takes {states} states of 2**{self.problem.n - parity} "
                f"amplitudes{smaller}, and {format_bytes(available_bytes())} are available. At most {most} spins fit; "
                "larger problems are for simulated quantum annealing, SimulatedQuantumAnnealingSampler"
            )
        if parity not in self._sweepers:
            self._sweepers[parity] = Sweeper(Space(self.problem, parity), self.order, self.dtype, self.backend)
        return self._sweepers[parity]

    def _start(self, space: Space, initial: Any) -> States:
        size = 1 << space.qubits
        if initial is None:
            return np.full((1, size), size**-0.5, dtype=self.dtype)
        given = np.asarray(initial)
        if given.shape == (size,) and given.dtype.kind in "fciu":
            norm = float(np.linalg.norm(given))
            if not abs(norm - 1) < 1e-4:
                raise StateError(f"an initial state has norm 1, got {norm:.6g}")
            return (given / norm).astype(self.dtype)[None]
        if given.shape != (space.problem.n,):
            n = space.problem.n
            raise StateError(f"an initial state is {n} spins or {size} amplitudes, got shape {given.shape}")
        state = np.zeros((1, size), dtype=self.dtype)
        state[0, space.index(given)] = 1
        return state

    def _drive(
        self,
        sweeper: Sweeper,
        drive: Angles,
        start: States,
        track: Track,
        progress: bool,
        interrupt: Callable[[], bool] | None,
    ) -> None:
        total, before = len(drive.phases), 0
        with progress_bar(total, progress) as bar:
            track.see(0, drive, start[0])
            for done, state in sweeper.forward(drive, start):
                track.see(done, drive, state[0])
                bar.update(done - before)
                before = done
                if done < total and interrupt is not None and interrupt():
                    track.stop(done, drive, state[0])
                    return


def anneal(problem: Problem, schedule: Any = "linear", time: float | None = None, **options: Any) -> AnnealResult:
    """One exact anneal: `ExactAnnealing(problem, ...).run(schedule, time, ...)` with the options of both."""
    own = {k: options.pop(k) for k in ("order", "dtype", "backend", "parity") if k in options}
    return ExactAnnealing(problem, **own).run(schedule, time, **options)


def _count(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ArgumentTypeError(f"{name} is an integer, got {value!r:.60}")
    if not low <= value <= high:
        raise ArgumentError(f"{name} must be from {low:,} to {high:,}, got {value}")
    return int(value)
