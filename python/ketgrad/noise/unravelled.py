"""From a program whose KRAUS are whole channels to one that takes a single path through them.

Owns: the scaled operators V_i = K_i / sqrt(q_i) with their fixed probabilities q_i ~ tr(K_i^+ K_i), the slots
that choose among them, and the pieces of that program. For a mixture of unitaries V is unitary; for any other channel
the average of <V psi|O|V psi> over choices is still the channel's, so unnormalised states keep values and adjoint
gradients linear and unbiased. May not know: circuits, how paths are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..program import TERM, Opcode, Program
from .doubling import kraus_matrices

Array = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.complex128]
UNITARY = 1e-9  # logarithm of a condition number of what keeps norms
SINGULAR = 1e-12  # a smallest singular value, relative to the largest, from which nothing is undone


@dataclass(frozen=True, eq=False)
class Place:
    """Where a program has a channel.

    Attributes:
        instruction: position of its KRAUS.
        probabilities: (m,) of the choices, of sum 1.
        operators: (m, 2^k, 2^k) V_i, in the order of the bits.
        log_conditions: (m,) logarithm of largest over smallest singular value; infinite where V has no inverse.
        column: of the per-sample slots, that chooses; -1 where there is one operator only.
    """

    instruction: int
    probabilities: Array
    operators: Matrix
    log_conditions: Array
    column: int


@dataclass(frozen=True, eq=False)
class Unravelled:
    """A program with a choice for each place, in slots behind those it had."""

    program: Program
    places: tuple[Place, ...]

    @property
    def forks(self) -> tuple[Place, ...]:
        """The places where there is something to choose."""
        return tuple(p for p in self.places if p.column >= 0)

    @property
    def is_unitary(self) -> bool:
        """Whether paths keep the norms of states, so that choices do not depend on them."""
        return all((p.log_conditions < UNITARY).all() for p in self.places)

    def bits(self, place: Place) -> tuple[int, ...]:
        """Those a channel acts on, descending: the first is the most significant of its operators."""
        mask = int(self.program.instructions["x_mask"][place.instruction])
        return tuple(bit for bit in reversed(range(self.program.n_bits)) if mask >> bit & 1)


def unravelled(program: Program) -> Unravelled:
    """The program that takes one path; equal channels share their operators."""
    rows, slots = program.instructions.copy(), program.n_shared + program.n_per_sample
    pool, size = [program.pool], program.pool.size
    known: dict[tuple[int, int, int], tuple[int, Array, Matrix, Array]] = {}
    places: list[Place] = []
    for index in np.flatnonzero(rows["opcode"] == Opcode.KRAUS).tolist():
        row = rows[index]
        key = int(row["payload"]), int(row["k"]), int(row["t0"])
        if key not in known:
            constants, probabilities, operators, conditions = _scaled(kraus_matrices(program, index))
            known[key] = size, probabilities, operators, conditions
            pool.append(constants)
            size += constants.size
        row["payload"], probabilities, operators, conditions = known[key]
        several = len(probabilities) > 1
        row["slot"], row["scale"], row["offset"] = slots if several else -1, float(several), 0.0
        places.append(Place(index, probabilities, operators, conditions, slots - program.n_shared if several else -1))
        slots += several
    whole = Program(
        program.n_bits, rows, np.concatenate(pool), program.terms, program.n_shared, slots - program.n_shared
    )
    return Unravelled(whole, tuple(places))


def _scaled(kraus: Matrix) -> tuple[Array, Array, Matrix, Array]:
    """What stands in the pool, probabilities, operators, conditions. One K stays as it is."""
    q = np.asarray((np.abs(kraus) ** 2).sum(axis=(1, 2)))
    total = q.sum() if len(kraus) > 1 else 1.0
    probabilities = q / total if len(kraus) > 1 and total > 0 else np.full(len(kraus), 1.0 / len(kraus))
    operators = kraus / np.sqrt(np.where(probabilities > 0, probabilities, 1.0))[:, None, None]
    values = np.linalg.svd(operators, compute_uv=False)
    regular = values[:, -1] > SINGULAR * values[:, 0]
    conditions = np.full(len(kraus), np.inf)
    conditions[regular] = np.log(values[regular, 0] / values[regular, -1])
    inverses = np.zeros_like(operators)
    inverses[regular] = np.linalg.inv(operators[regular])
    return np.concatenate([operators, inverses]).reshape(-1).view(np.float64), probabilities, operators, conditions


def piece(program: Program, start: int, stop: int) -> Program:
    """The instructions from `start` to before `stop`; the terms are those of the last piece."""
    terms = program.terms if stop == len(program.instructions) else np.zeros(0, TERM)
    rows = program.instructions[start:stop].copy()
    return Program(program.n_bits, rows, program.pool, terms, program.n_shared, program.n_per_sample)
