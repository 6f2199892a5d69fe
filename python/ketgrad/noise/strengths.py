"""How values change with the strengths of the noise, exactly.

Owns: the sum over sites. A value is linear in every superoperator S of a density matrix's program, so its derivative by
a strength is the sum over the sites of 2 Re <bra after the site| dS |ket before it>. The kets are kept or made again,
the bras come from one sweep back. May not know: circuits, readouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..backends.contract import Array, States
from ..memory import how_many
from .density import DensityPlan, pulled_through
from .matrices import Matrix


def strength_gradients(
    plan: DensityPlan,
    shared: Array,
    per_sample: Array,
    seeds: Array,
    derivatives: Mapping[int, tuple[Matrix, Sequence[int]]],
    n_strengths: int,
) -> Array:
    """Derivatives of seeds @ terms by the strengths, (B, K, n_strengths).

    Args:
        plan: with every one of these instructions cut out.
        seeds: (K, R).
        derivatives: instruction -> (s, 4^k, 4^k) derivatives of its superoperator, in the order of its bits, and which
            strengths these belong to.
    """
    batch, sets = len(per_sample), len(seeds)
    out = np.zeros((batch, sets, n_strengths))
    step = how_many(batch, plan.matrix_bytes * (3 * sets + 4 + plan.held))
    for begin in range(0, batch, step):
        rows = slice(begin, min(begin + step, batch))
        x = per_sample[rows]
        none = np.zeros((sets, len(x), 0))
        bra = plan.bras(np.repeat(seeds[:, None], len(x), axis=1))
        for part, ket in plan.backwards(shared, x):
            if part.back is None:
                bra = part.plan.pullback_to_initial(shared, x, none, None, ket, bra)[2]
                continue
            change, which = derivatives.get(part.piece.steps[0].source, (None, ()))
            if change is not None:
                inner = _overlaps(bra, ket, int(part.piece.steps[0].row["x_mask"]))
                for matrix, column in zip(change, which, strict=True):
                    out[rows, :, column] += 2 * np.einsum("ij,kbij->bk", matrix, inner).real
            bra = pulled_through(part.back, bra, shared, x)
    return out


def _overlaps(bra: States, ket: States | None, mask: int) -> Matrix:
    """(K, B, 2^k, 2^k): sum over all other bits of conj(bra[i]) ket[j], for the bits of a mask, ascending."""
    sets, batch, size = bra.shape
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
