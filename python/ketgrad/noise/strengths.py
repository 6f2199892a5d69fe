"""How values change with the strengths of the noise, exactly.

Owns: the sum over sites. A value is linear in every superoperator S of a density matrix's program, so its derivative by
a strength is the sum over the sites of 2 Re <bra after the site| dS |ket before it>. The kets are kept or made again,
the bras come from one sweep back. May not know: circuits, readouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from ..backends.contract import Array, States
from ..memory import how_many
from .density import DensityPlan, pulled_through
from .matrices import Matrix

Derivatives: TypeAlias = Mapping[int, tuple[Matrix, Sequence[int]]]


class Swept(NamedTuple):
    """Where a sweep back has come to: gradients of the slots, of the strengths, and of the first density matrices."""

    shared: Array  # (K, slots)
    per_sample: Array  # (K, B, slots)
    strengths: Array  # (K, B, S)
    bras: States  # (K, B, 4^n)


def swept(
    plan: DensityPlan,
    shared: Array,
    per_sample: Array,
    start: States | None,
    bras: States,
    derivatives: Derivatives,
    n_strengths: int,
) -> Swept:
    """Everything that cotangents of the last density matrices reach.

    Args:
        plan: with every one of these instructions cut out.
        start: (B, 4^n) first density matrices, or None for |0...0>.
        bras: (K, B, 4^n).
        derivatives: instruction -> (s, 4^k, 4^k) derivatives of its superoperator, in the order of its bits, and which
            strengths these belong to.
    """
    sets, batch = bras.shape[:2]
    to_shared, to_samples = np.zeros((sets, len(shared))), np.zeros((sets, *per_sample.shape))
    to_strengths = np.zeros((sets, batch, n_strengths))
    none = np.zeros((sets, batch, 0))
    for part, ket in plan.backwards(shared, per_sample, start):
        if part.back is None:
            found = part.plan.pullback_to_initial(shared, per_sample, none, None, ket, bras)
            to_shared += found[0]
            to_samples += found[1]
            bras = found[2]
            continue
        change, which = derivatives.get(part.piece.steps[0].source, (None, ()))
        if change is not None:
            inner = _overlaps(bras, ket, int(part.piece.steps[0].row["x_mask"]), batch)
            for matrix, column in zip(change, which, strict=True):
                to_strengths[..., column] += 2 * np.einsum("ij,kbij->kb", matrix, inner).real
        bras = pulled_through(part.back, bras, shared, per_sample)
    return Swept(to_shared, to_samples, to_strengths, bras)


def strength_gradients(
    plan: DensityPlan,
    shared: Array,
    per_sample: Array,
    seeds: Array,
    derivatives: Derivatives,
    n_strengths: int,
) -> Array:
    """Derivatives of seeds @ terms by the strengths, (B, K, n_strengths).

    Args:
        seeds: (K, R).
        plan, derivatives: see `swept`.
    """
    batch, sets = len(per_sample), len(seeds)
    out = np.zeros((batch, sets, n_strengths))
    step = rows_at_once(plan, batch, sets)
    for begin in range(0, batch, step):
        rows = slice(begin, min(begin + step, batch))
        bras = plan.bras(np.repeat(seeds[:, None], rows.stop - begin, axis=1))
        found = swept(plan, shared, per_sample[rows], None, bras, derivatives, n_strengths)
        out[rows] = found.strengths.swapaxes(0, 1)
    return out


def rows_at_once(plan: DensityPlan, batch: int, sets: int) -> int:
    """How many samples one sweep takes."""
    return how_many(batch, plan.matrix_bytes * (3 * sets + 4 + plan.held))


def _overlaps(bra: States, ket: States | None, mask: int, batch: int) -> Matrix:
    """(K, B, 2^k, 2^k): sum over all other bits of conj(bra[i]) ket[j], for the bits of a mask, ascending."""
    size = bra.shape[-1]
    n = size.bit_length() - 1
    if ket is None:
        ket = np.zeros((batch, size), dtype=bra.dtype)
        ket[:, 0] = 1.0
    bits = [b for b in range(n - 1, -1, -1) if mask >> b & 1]
    left, right = _split(bra, bits, n), _split(ket, bits, n)
    return np.asarray(left.conj() @ right.swapaxes(-1, -2))


def _split(states: States, bits: Sequence[int], n: int) -> States:
    """(..., 2^k, 2^(n-k)) with the listed bits, descending, in front."""
    lead = states.shape[:-1]
    axes = [len(lead) + n - 1 - b for b in range(n - 1, -1, -1)]
    first = [len(lead) + n - 1 - b for b in bits]
    rest = [a for a in axes if a not in first]
    tensor = states.reshape(*lead, *(2,) * n).transpose(*range(len(lead)), *first, *rest)
    return tensor.reshape(*lead, 1 << len(bits), -1)


def superoperator_on(matrices: Matrix, bits: Sequence[int], n: int) -> Matrix:
    """Superoperators (s, 4^k, 4^k) on wires at these bits, the first wire the most significant, in ascending order."""
    k = len(bits)
    order = [int(i) for i in np.argsort([-b for b in [*(n + b for b in bits), *bits]])]
    tensor = matrices.reshape(len(matrices), *(2,) * (4 * k))
    moved = tensor.transpose(0, *(1 + i for i in order), *(1 + 2 * k + i for i in order))
    return np.ascontiguousarray(moved).reshape(matrices.shape)
