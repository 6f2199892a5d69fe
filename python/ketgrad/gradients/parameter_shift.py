"""Gradients by the parameter-shift rule, exact or with finite shots.

Owns: the rule of each instruction (from its spectrum), the batch of shifted circuits, and the assembly of slots,
weights and inputs. It always shifts; it never becomes the adjoint, so that each can test the other.

Every parametrised instruction gets an angle of its own, and each shifted circuit is one row of a batch: however many
parameters, a gradient is a handful of backend calls. Parameters used many times are right by construction.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..errors import NotDifferentiableError
from ..expressions import Stage
from ..program import Opcode, Program
from ..shift_rules import MAX_FREQUENCIES, shift_rule

Array = npt.NDArray[np.float64]
Evaluate = Callable[[Array], tuple[Array, Array]]  # free angles (rows, I) -> values (rows, M), their variances

CHUNK_ENTRIES = 1 << 22  # angles held at once


def frequencies(program: Program, index: int) -> tuple[float, ...]:
    """The frequencies of expectation values in the angle of one instruction."""
    row = program.instructions[index]
    opcode = Opcode(row["opcode"])
    if opcode == Opcode.PHASE:
        return (1.0,) if row["ctrl_mask"] else ()
    if opcode == Opcode.PAIR_ROT or (opcode == Opcode.PAULI_ROT and row["ctrl_mask"]):
        return (0.5, 1.0)
    if opcode == Opcode.PAULI_ROT:
        return (1.0,) if row["x_mask"] or row["z_mask"] else ()
    if opcode == Opcode.EXP_DIAG:
        values = program.pool[row["payload"] : row["payload"] + (1 << int(row["k"]))]
        return exp_diagonal_frequencies(np.append(values, 0.0) if row["ctrl_mask"] else values)
    raise NotDifferentiableError(f"instruction {index} ({opcode.name}) has no angle")


def exp_diagonal_frequencies(values: Array) -> tuple[float, ...]:
    """Positive differences of the values of a diagonal generator."""
    distinct = np.unique(np.round(values, 12))
    if len(distinct) > 2 * MAX_FREQUENCIES:
        raise NotDifferentiableError(
            f"exp_diagonal with {len(distinct)} distinct values has too many frequencies for a parameter-shift rule; "
            "use method='adjoint'"
        )
    gaps = np.unique(np.round(np.abs(distinct[:, None] - distinct[None, :]), 10))
    return tuple(float(g) for g in gaps if g > 1e-9)


def value_rule(program: Program, index: int) -> tuple[Array, Array]:
    """Coefficients and shifts that differentiate expectation values by the angle of one instruction."""
    return shift_rule(frequencies(program, index))


class ShiftedBatch:
    """The shifted circuits of a program: which instruction, by how much, with which coefficient.

    Args:
        rule: coefficients and shifts for the angle of an instruction of the program.
    """

    def __init__(self, program: Program, rule: Callable[[Program, int], tuple[Array, Array]] = value_rule) -> None:
        where = program.parametrised
        rows = program.instructions[where]
        self.slot = rows["slot"].astype(np.intp)
        self.scale, self.offset = rows["scale"].copy(), rows["offset"].copy()
        instruction, shift, coefficient = [], [], []
        for position, index in enumerate(where):
            c, s = rule(program, int(index))
            instruction += [position] * len(c)
            shift += list(s)
            coefficient += list(c)
        self.instruction = np.array(instruction, dtype=np.intp)
        self.shift, self.coefficient = np.array(shift), np.array(coefficient)

    def __len__(self) -> int:
        return len(self.shift)

    def angles(self, shared: Array, per_sample: Array) -> Array:
        """(B, I) angles of the parametrised instructions."""
        slots = np.concatenate([np.broadcast_to(shared, (len(per_sample), len(shared))), per_sample], axis=1)
        return np.asarray(self.offset + self.scale * slots[:, self.slot])

    def derivatives(self, base: Array, evaluate: Evaluate, outputs: int) -> tuple[Array, Array]:
        """d outputs / d angle (B, I, M) at base angles (B, I), and the variances of these estimates."""
        batch, instructions = base.shape
        rows = batch * len(self)
        values, spread = np.zeros((rows, outputs)), np.zeros((rows, outputs))
        step = max(1, CHUNK_ENTRIES // max(1, instructions))
        for start in range(0, rows, step):
            sample, shifted = np.divmod(np.arange(start, min(start + step, rows)), len(self))
            angles = base[sample]
            angles[np.arange(len(sample)), self.instruction[shifted]] += self.shift[shifted]
            values[start : start + step], spread[start : start + step] = evaluate(angles)
        out = np.zeros((instructions, batch, outputs))
        variance = np.zeros_like(out)
        weight = self.coefficient[:, None, None]
        shape = (batch, len(self), outputs)
        np.add.at(out, self.instruction, weight * values.reshape(shape).swapaxes(0, 1))
        np.add.at(variance, self.instruction, weight**2 * spread.reshape(shape).swapaxes(0, 1))
        return out.swapaxes(0, 1), variance.swapaxes(0, 1)

    def jacobian(
        self, stage: Stage, weights: Array, inputs: Array, evaluate: Evaluate, outputs: int
    ) -> tuple[Array, Array, Array, Array]:
        """d outputs / d weights (B, M, P), d outputs / d inputs (B, M, F), and the variances of both."""
        shared, per_sample = stage.evaluate(weights, inputs)
        slope, spread = self.derivatives(self.angles(shared, per_sample), evaluate, outputs)
        per_slot = self._per_slot(slope, self.scale, stage)
        grad_weights, grad_inputs = stage.pull(weights, inputs, *per_slot, each=True)
        # a derived slot sends one gradient to several parameters: carry the variance of each instruction through
        # the squared entries of that linear map, instruction by instruction
        var_weights, var_inputs = np.zeros(grad_weights.shape), np.zeros(grad_inputs.shape)
        direct = stage.n_shared == stage.n_weights and stage.n_per_sample == stage.n_inputs
        if direct:
            var_weights, var_inputs = self._per_slot(spread, self.scale**2, stage)
        elif spread.any():
            for position in range(slope.shape[1]):
                unit = np.zeros_like(slope)
                unit[:, position] = 1.0
                to_weights, to_inputs = stage.pull(weights, inputs, *self._per_slot(unit, self.scale, stage), each=True)
                noise = np.moveaxis(spread[:, position], -1, 0)[..., None]
                var_weights += to_weights**2 * noise
                var_inputs += to_inputs**2 * noise
        return tuple(np.moveaxis(a, 0, 1) for a in (grad_weights, grad_inputs, var_weights, var_inputs))  # type: ignore[return-value]

    def _per_slot(self, slope: Array, scale: Array, stage: Stage) -> tuple[Array, Array]:
        """(B, I, M) -> shared (M, B, S) and per-sample (M, B, F')."""
        out = np.zeros((stage.n_shared + stage.n_per_sample, slope.shape[2], slope.shape[0]))
        np.add.at(out, self.slot, np.moveaxis(slope * scale[:, None], (0, 1, 2), (2, 0, 1)))
        out = np.moveaxis(out, 0, -1)
        return out[..., : stage.n_shared], out[..., stage.n_shared :]
