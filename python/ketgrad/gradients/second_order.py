"""Second derivatives: how an adjoint gradient changes when the parameters move in one direction.

Owns: shifted adjoint sweeps, and the second derivatives of the stage. May not know: models, frameworks.

The gradient of an expectation value is a trigonometric polynomial in each angle with the frequencies of the value
itself, so the parameter-shift rule differentiates it exactly: one batch of adjoint sweeps at shifted angles. What is
linear in the state has the eigenvalues of the generator for frequencies instead of their differences. The stage is of
degree 2, so central differences of any length are its exact derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends import Plan
from ..backends.contract import States
from ..backends.shifted import CHUNK_BYTES, CHUNK_ENTRIES
from ..expressions import Stage
from ..lowering import Lowered
from ..program import Opcode, Program
from ..shift_rules import shift_rule
from .adjoint import to_terms
from .parameter_shift import ShiftedBatch

Array = npt.NDArray[np.float64]
# angles and choices (rows, I + C), their samples -> d/d angle (rows, I + C)
Gradient = Callable[[Array, npt.NDArray[np.intp]], Array]
Bras = States | Callable[[States, npt.NDArray[np.intp]], States] | None


def state_frequencies(program: Program, index: int) -> tuple[float, ...]:
    """The frequencies of a state's amplitudes in the angle of one instruction."""
    row = program.instructions[index]
    opcode = Opcode(row["opcode"])
    if opcode == Opcode.EXP_DIAG:
        values = program.pool[row["payload"] : row["payload"] + (1 << int(row["k"]))]
        return tuple(float(v) for v in np.unique(np.round(np.abs(values), 10)) if v > 1e-9)
    return (1.0,) if opcode == Opcode.PHASE else (0.5,)


def state_rule(program: Program, index: int) -> tuple[Array, Array]:
    """Coefficients and shifts that differentiate a state by the angle of one instruction.

    A rotation without controls is turned by pi into twice its derivative, so one term does.
    """
    row = program.instructions[index]
    if Opcode(row["opcode"]) == Opcode.PAULI_ROT and not row["ctrl_mask"]:
        return np.array([0.5]), np.array([np.pi])
    return shift_rule(state_frequencies(program, index))


def _add(out: npt.NDArray[Any], samples: npt.NDArray[np.intp], rows: npt.NDArray[Any]) -> None:
    """out[samples] += rows, for ascending samples, which may repeat."""
    starts = np.flatnonzero(np.diff(samples, prepend=-1))
    if len(starts) < len(samples):
        rows = np.add.reduceat(rows, starts, axis=0)
    out[samples[starts]] += rows


class Direction:
    """A direction in the space of weights (P,) and inputs (B, F), and where it leads the angles of a program."""

    def __init__(
        self, shifts: ShiftedBatch, stage: Stage, weights: Array, inputs: Array, along_w: Array, along_x: Array
    ) -> None:
        self._shifts, self._stage = shifts, stage
        self._here, self._along = (weights, inputs), (along_w, along_x)
        ahead, behind = (stage.evaluate(weights + s * along_w, inputs + s * along_x) for s in (1.0, -1.0))
        slots = [(a - b) / 2 for a, b in zip(ahead, behind, strict=True)]
        batch = len(inputs)
        self.base = shifts.angles(*stage.evaluate(weights, inputs))
        every = np.concatenate([np.broadcast_to(slots[0], (batch, len(slots[0]))), slots[1]], axis=1)
        self.angles = shifts.scale * every[:, shifts.slot]  # (B, I)
        self._terms = np.nonzero(self.angles[:, shifts.instruction])  # samples and what shifts them

    def rows(self, width: int) -> Iterator[tuple[npt.NDArray[np.intp], Array, Array]]:
        """(samples, ascending, shifted angles, factors) of all terms of the derivative along the direction, `width`
        entries a row at a time. What does not move a sample has no term there."""
        shifts = self._shifts
        samples, terms = self._terms
        step = max(1, CHUNK_ENTRIES // max(1, width))
        for start in range(0, len(samples), step):
            here, term = samples[start : start + step], terms[start : start + step]
            angles, instruction = self.base[here], shifts.instruction[term]
            angles[np.arange(len(here)), instruction] += shifts.shift[term]
            yield here, angles, shifts.coefficient[term] * self.angles[here, instruction]

    def derivative(self, gradient: Gradient) -> Array:
        """(B, I): how the gradient by the angles changes."""
        out = np.zeros_like(self.base)
        for samples, angles, factors in self.rows(self.base.shape[1]):
            _add(out, samples, factors[:, None] * gradient(angles, samples))
        return out[:, : self.angles.shape[1]]

    def states(self, plan: Plan) -> States:
        """(B, 2^n): how the final states change; the rule of the shifts must be one for states."""
        size, batch = 1 << plan.program.n_bits, len(self.base)
        single = np.array_equal(self._terms[0], np.arange(batch))  # the sum is over one term
        out = np.zeros((0 if single else batch, size), dtype=plan.dtype)
        parts = [out]
        width = max(1, CHUNK_ENTRIES * plan.dtype.itemsize * size // CHUNK_BYTES)
        for samples, angles, factors in self.rows(width):
            states = plan.states(np.zeros(0), angles)
            states *= factors[:, None]
            if single:
                parts.append(states)
            else:
                _add(out, samples, states)
        return parts[-1] if len(parts) <= 2 else np.concatenate(parts)

    def to_parameters(self, by_angle: Array, first: tuple[Array, Array] | None) -> tuple[Array, Array]:
        """Second derivatives along the direction by weights (P,) and inputs (B, F).

        Args:
            by_angle: (B, I), from `derivative`.
            first: gradients of the shared (B, S) and per-sample slots (B, F'); None where slots are parameters.
        """
        shifts, stage, (w, x), (along_w, along_x) = self._shifts, self._stage, self._here, self._along
        slots = np.zeros((len(by_angle), stage.n_shared + stage.n_per_sample))
        np.add.at(slots.T, shifts.slot, (by_angle * shifts.scale).T)
        grad = stage.pull(w, x, slots[None, :, : stage.n_shared], slots[None, :, stage.n_shared :], each=True)
        by_w, by_x = grad[0][0].sum(axis=0), grad[1][0]
        if first is None:
            return by_w, by_x
        ahead, behind = (
            stage.pull(w + s * along_w, x + s * along_x, first[0][None], first[1][None], each=True) for s in (1.0, -1.0)
        )
        return by_w + (ahead[0][0] - behind[0][0]).sum(axis=0) / 2, by_x + (ahead[1][0] - behind[1][0]) / 2


def gradient_change(
    lowered: Lowered,
    plan: Plan,
    free_plan: Plan,
    direction: Direction,
    slots: tuple[Array, Array],
    cotangents: Array,
    bras: Bras,
) -> tuple[Array, Array]:
    """How the adjoint gradient changes along a direction: by weights (P,) and inputs (B, F).

    Args:
        plan, free_plan: of the program, and of the one with an angle of its own for every instruction.
        direction: with the shift rule for what is differentiated.
        slots: shared and per-sample slots of the program.
        cotangents: (B, M) of the outputs.
        bras: (B, 2^n) cotangents of the final states that stay as they are, or a function that gives them for states
            (rows, 2^n) and their samples (rows,), or None.
    """
    terms = to_terms(lowered, cotangents)

    def ends(plan: Plan, slots: tuple[Array, Array], samples: npt.NDArray[np.intp]) -> States | None:
        found = bras(plan.states(*slots), samples) if callable(bras) else bras[samples] if bras is not None else None
        return None if found is None else found[None]

    def gradient(angles: Array, samples: npt.NDArray[np.intp]) -> Array:
        free = (np.zeros(0), angles)
        bra = ends(free_plan, free, samples)
        return np.asarray(free_plan.pullback(*free, terms[samples][None], None, False, None, bra)[1][0])

    first = None
    if not lowered.stage.is_direct:
        bra = ends(plan, slots, np.arange(len(terms)))
        by_slot = plan.pullback(*slots, terms[None], None, True, None, bra)
        first = by_slot[0][0], by_slot[1][0]
    return direction.to_parameters(direction.derivative(gradient), first)
