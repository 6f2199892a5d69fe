"""Gradients of an anneal by schedule, time, couplings and fields: the adjoint method.

Owns: objectives, and the chain rule from the angles of the steps to what a user turns. May not know: what a step is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError
from .exact_result import probabilities_of
from .exact_space import Space
from .exact_steps import Angles, States, Sweeper
from .problem import Ising
from .schedules import Path, Schedule

Array = npt.NDArray[np.float64]
OBJECTIVES = ("energy", "success")


@dataclass(frozen=True, eq=False)
class AnnealGradient:
    """The derivative of an anneal in N steps of s rotations.

    A parameter p of a schedule of functions has the derivative
    (driver * dA/dp(driver_s)).sum() + (problem * dB/dp(problem_s)).sum().

    Attributes:
        value: of the objective.
        driver, driver_s: (N, s) derivatives by the values of A that the anneal looked at, and where.
        problem, problem_s: (N, s + 1) the same for B.
        time: by the total time, with the shape of the path as it is.
        fields: (n,) by the problem's fields; None of a `Diagonal`. The objective "energy" changes with the problem,
            "success" stays the probability of the states that are lowest now.
        couplings: (E,) by its couplings, in the order of its pairs; None of a `Diagonal`.
        knots: (2, K) by A and B of a schedule that is a table; None of others.
    """

    value: float
    driver: Array
    driver_s: Array
    problem: Array
    problem_s: Array
    time: float
    fields: Array | None
    couplings: Array | None
    knots: Array | None


def gradient(
    sweeper: Sweeper, drive: Angles, schedule: Schedule, path: Path, start: States, objective: Any
) -> AnnealGradient:
    """The derivative of a diagonal observable of the final state.

    Raises:
        ArgumentError, ParameterError: an objective that is none.
    """
    space = sweeper.space
    values = _values(space, objective)
    state = start
    for _, state in sweeper.forward(drive, start):  # noqa: B007 - the last is wanted
        pass
    bra = (values * state).astype(sweeper.dtype)
    p = probabilities_of(state[0])
    to_phases, to_rotations, to_words = sweeper.backward(drive, state, bra)
    turned = float((to_phases * drive.phases).sum() + (to_rotations * drive.rotations).sum())
    driver, problem = to_rotations * drive.rotation_weights, to_phases * drive.phase_weights
    fields = couplings = knots = None
    if isinstance(space.problem, Ising):
        if isinstance(objective, str) and objective == "energy":
            to_words = to_words + word_means(space, p)
        cut = len(to_words) - len(space.problem.pairs)
        fields = np.zeros(space.problem.n) if space.parity else to_words[:cut]  # an even objective is even in a field
        couplings = to_words[cut:]
    if schedule.knots is not None:
        a, _ = schedule.to_knots(drive.rotation_s, driver, np.zeros_like(driver))
        _, b = schedule.to_knots(drive.phase_s, np.zeros_like(problem), problem)
        knots = np.array([a, b])
    return AnnealGradient(
        float(values @ p),
        driver,
        drive.rotation_s,
        problem,
        drive.phase_s,
        turned / path.total,
        fields,
        couplings,
        knots,
    )


def _values(space: Space, objective: Any) -> Array:
    if not isinstance(objective, str):
        return space.fold(objective)
    if objective not in OBJECTIVES:
        raise ArgumentError(f"an objective is one of {OBJECTIVES} or an array (2^n,), got {objective!r:.60}")
    if objective == "energy":
        return space.energies
    out = np.zeros(1 << space.qubits)
    out[space.ground] = 1
    return out


def word_means(space: Space, probabilities: Array) -> Array:
    """(T,) expectation values of the problem's words, by a Walsh-Hadamard transform."""
    assert space.words is not None
    sums = probabilities.copy()
    for axis in range(space.qubits):
        pairs = sums.reshape(2**axis, 2, -1)
        low, high = pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]
        pairs[:, 0], pairs[:, 1] = low, high
    top = space.qubits - 1
    return sums[[sum(1 << (top - wire) for wire in word) for word in space.words]]
