"""Gradients by the parameter-shift rule, exact or with finite shots.

Owns: the rule of each instruction (from its spectrum), the shifted circuits it asks for, and the assembly of slots,
weights and inputs. It always shifts; it never becomes the adjoint, so that each can test the other.

Every parametrised instruction is shifted by itself, so parameters used many times are right by construction. How the
shifted circuits run, and what they share, is up to the backend.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends.shifted import MAX_NODES, Shifts, free_angles
from ..errors import NotDifferentiableError
from ..expressions import Stage
from ..program import Opcode, Program
from ..shift_rules import MAX_FREQUENCIES, differences, node_shifts, node_weights, shift_rule

Array = npt.NDArray[np.float64]
# (shared, per-sample slots) -> values (B, K, M) of the shifted circuits of each sample, and their variances or None
Evaluate = Callable[[Array, Array], tuple[Array, Array | None]]


def eigenvalues(program: Program, index: int) -> tuple[float, ...]:
    """Those of the generator of one instruction, ascending: it acts as exp(i angle generator)."""
    row = program.instructions[index]
    opcode = Opcode(row["opcode"])
    if opcode == Opcode.PHASE:
        return (0.0, 1.0) if row["ctrl_mask"] else (1.0,)
    if opcode == Opcode.PAIR_ROT or (opcode == Opcode.PAULI_ROT and row["ctrl_mask"]):
        return (-0.5, 0.0, 0.5)
    if opcode == Opcode.PAULI_ROT:
        return (-0.5, 0.5) if row["x_mask"] or row["z_mask"] else (-0.5,)
    if opcode == Opcode.EXP_DIAG:
        values = program.pool[row["payload"] : row["payload"] + (1 << int(row["k"]))]
        return tuple(np.unique(np.round(np.append(values, 0.0) if row["ctrl_mask"] else values, 12)).tolist())
    raise NotDifferentiableError(f"instruction {index} ({opcode.name}) has no angle")


def frequencies(program: Program, index: int) -> tuple[float, ...]:
    """The frequencies of expectation values in the angle of one instruction."""
    values = eigenvalues(program, index)
    if len(values) > 2 * MAX_FREQUENCIES:
        raise NotDifferentiableError(
            f"exp_diagonal with {len(values)} distinct values has too many frequencies for a parameter-shift rule; "
            "use method='adjoint'"
        )
    return differences(values)


def value_rule(program: Program, index: int) -> tuple[Array, Array]:
    """Coefficients and shifts that differentiate expectation values by the angle of one instruction."""
    return shift_rule(frequencies(program, index))


class ShiftedBatch:
    """The shifted circuits of a program: which instruction, by how much, with which coefficient.

    Args:
        rule: coefficients and shifts for the angle of an instruction of the program.
    """

    def __init__(self, program: Program, rule: Callable[[Program, int], tuple[Array, Array]] = value_rule) -> None:
        self._program, where = program, program.parametrised
        rows = program.instructions[where]
        self.slot = rows["slot"].astype(np.intp)
        self.scale = rows["scale"].copy()
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
        """(B, I + C) angles of the parametrised instructions, and after them the choices of matrices."""
        return free_angles(self._program, shared, per_sample)

    @property
    def importance(self) -> Array:
        """(K,): how much a shifted circuit's values weigh in the derivative by its slot."""
        return np.asarray(np.abs(self.coefficient * self.scale[self.instruction]))

    @cached_property
    def rows(self) -> Shifts:
        """The shifted circuits for a backend, those of one instruction made from as few of them as its spectrum allows.

        Where the eigenvalues of a generator are not two or three equidistant ones, every shift is run by itself.
        """
        where = self._program.parametrised
        bundle, weights = np.zeros(len(self), dtype=np.int64), np.zeros((len(self), 1 + MAX_NODES), complex)
        bundles: list[tuple[int, Array]] = []
        for position in np.unique(self.instruction):
            here = np.flatnonzero(self.instruction == position)
            values = eigenvalues(self._program, int(where[position]))
            nodes = node_shifts(values)
            if nodes is not None and len(nodes) <= MAX_NODES:
                bundle[here] = len(bundles)
                weights[here, : 1 + len(nodes)] = node_weights(values, self.shift[here])
                bundles.append((where[position], nodes))
            else:
                bundle[here] = len(bundles) + np.arange(len(here))
                weights[here, 1] = 1.0
                bundles += [(where[position], self.shift[row : row + 1]) for row in here]
        shifts = np.zeros((len(bundles), MAX_NODES))
        for row, (_, nodes) in zip(shifts, bundles, strict=True):
            row[: len(nodes)] = nodes
        return Shifts(
            self.instruction.astype(np.int64),
            self.shift,
            bundle,
            weights,
            np.array([index for index, _ in bundles], dtype=np.int64),
            np.array([len(nodes) for _, nodes in bundles], dtype=np.int64),
            shifts,
        )

    def jacobian(
        self, stage: Stage, weights: Array, inputs: Array, evaluate: Evaluate
    ) -> tuple[Array, Array, Array | None, Array | None]:
        """d outputs / d weights (B, M, P), d outputs / d inputs (B, M, F), and the variances of both, if there are."""
        shared, per_sample = stage.evaluate(weights, inputs)
        values, noise = evaluate(shared, per_sample)
        slope = self._per_angle(values, self.coefficient)
        gradients = stage.pull(weights, inputs, *self._per_slot(slope, self.scale, stage), each=True)
        out = [np.moveaxis(g, 0, 1) for g in gradients]
        if noise is None:
            return out[0], out[1], None, None
        spread = self._per_angle(noise, self.coefficient**2)
        if stage.is_direct:
            variances = self._per_slot(spread, self.scale**2, stage)
        else:
            variances = self._through(stage, weights, inputs, spread)
        return out[0], out[1], np.moveaxis(variances[0], 0, 1), np.moveaxis(variances[1], 0, 1)

    def _through(self, stage: Stage, weights: Array, inputs: Array, spread: Array) -> tuple[Array, Array]:
        """Variances (M, B, P), (M, B, F) where a derived slot sends one gradient to several parameters.

        Those of each instruction go through the squared entries of that linear map, instruction by instruction.
        """
        batch, instructions, outputs = spread.shape
        var_weights, var_inputs = np.zeros((outputs, batch, weights.size)), np.zeros((outputs, *inputs.shape))
        for position in np.unique(self.instruction):
            unit = np.zeros((batch, instructions, 1))
            unit[:, position] = 1.0
            to_weights, to_inputs = stage.pull(weights, inputs, *self._per_slot(unit, self.scale, stage), each=True)
            noise = np.moveaxis(spread[:, position], -1, 0)[..., None]
            var_weights += to_weights**2 * noise
            var_inputs += to_inputs**2 * noise
        return var_weights, var_inputs

    def _per_angle(self, values: Array, coefficient: Array) -> Array:
        """(B, K, M) -> (B, I, M)."""
        rows = (values * coefficient[:, None]).swapaxes(0, 1)
        return _sums(rows, self.instruction, len(self.slot)).swapaxes(0, 1)

    def _per_slot(self, slope: Array, scale: Array, stage: Stage) -> tuple[Array, Array]:
        """(B, I, M) -> shared (M, B, S) and per-sample (M, B, F')."""
        rows = (slope * scale[:, None]).swapaxes(0, 1)
        out = np.moveaxis(_sums(rows, self.slot, stage.n_shared + stage.n_per_sample), (0, 1, 2), (2, 1, 0))
        return out[..., : stage.n_shared], out[..., stage.n_shared :]


def _sums(rows: Array, index: npt.NDArray[np.intp], size: int) -> npt.NDArray[Any]:
    """(K, ...) -> (size, ...): rows with the same index added up."""
    out = np.zeros((size, *rows.shape[1:]))
    if len(index):
        order = np.argsort(index, kind="stable")
        which, starts = np.unique(index[order], return_index=True)
        out[which] = np.add.reduceat(rows[order], starts, axis=0)
    return out
