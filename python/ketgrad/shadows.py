"""Classical shadows: each snapshot measures every wire in a basis of its own, drawn at random.

Owns: how snapshots are drawn. May not know: backends, circuits.

A snapshot is measured wire after wire. What a wire says leaves half of the amplitudes, and all snapshots with the same
bases and bits so far share them: a tree whose level d holds at most 6^d states of 2^(n - d) amplitudes. Measuring all
wires of a snapshot by itself would take n passes over 2^n amplitudes instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .memory import require_bytes
from .simulator import CHUNK_BYTES, Source

Bits = npt.NDArray[np.uint8]

BASES = "XYZ"  # a recipe is a position in it
_R = math.sqrt(0.5)
# <basis, bit| in rows 2 basis + bit
_BRAS = np.array([[_R, _R], [_R, -_R], [_R, -1j * _R], [_R, 1j * _R], [1, 0], [0, 1]], dtype=np.complex128)
_NODE_BYTES = CHUNK_BYTES // 4  # of states of one level that are held at once


def snapshots(source: Source, shots: int, rng: np.random.Generator, wires: Sequence[int]) -> tuple[Bits, Bits]:
    """Bits and recipes (0 X, 1 Y, 2 Z) of `shots` snapshots of some wires, two arrays (B, shots, k)."""
    n, batch = source.plan.program.n_bits, len(source)
    require_bytes((64 << n) + 4 * min(_NODE_BYTES, (16 * shots) << n), f"the snapshots of {n} qubits")
    require_bytes((10 * len(wires) + 64) * shots * batch, f"{shots} snapshots of {batch} samples")
    recipes = rng.integers(0, len(BASES), (batch, shots, len(wires)), dtype=np.uint8)
    bits = np.empty_like(recipes)
    order = [*wires, *(w for w in range(n) if w not in wires)]
    for rows, states in source.chunks():
        for state, recipe, out in zip(states, recipes[rows], bits[rows], strict=True):
            ordered = state.reshape((2,) * n).transpose(order).reshape(1, -1).astype(np.complex128)
            root = np.zeros(shots, dtype=np.intp)
            _measure(ordered, root, np.arange(shots), 0, recipe, rng.random(recipe.shape), out)
    return bits, recipes


def _measure(
    states: npt.NDArray[np.complex128],
    state_of: npt.NDArray[np.intp],
    members: npt.NDArray[np.intp],
    level: int,
    recipes: Bits,
    uniforms: npt.NDArray[np.float64],
    out: Bits,
) -> None:
    """Measure wires level, level + 1, ... of the snapshots `members`, whose states are states[state_of]."""
    if level == recipes.shape[1]:
        return
    halves = states.reshape(len(states), 2, -1)
    recipe = recipes[members, level].astype(np.intp)
    zero, total = _weights(halves)
    bit = uniforms[members, level] * total[state_of] >= zero[state_of, recipe]
    out[members, level] = bit
    if level + 1 == recipes.shape[1]:
        return
    keys, child = np.unique((state_of * len(BASES) + recipe) * 2 + bit, return_inverse=True)
    by_child = np.argsort(child, kind="stable")
    members, child = members[by_child], child[by_child]
    size = max(1, _NODE_BYTES // halves[0, 0].nbytes)
    for lo in range(0, len(keys), size):
        here = slice(*np.searchsorted(child, [lo, lo + size]))
        parent, outcome = np.divmod(keys[lo : lo + size], 2 * len(BASES))
        left = halves[parent, 0]
        left *= _BRAS[outcome, :1]
        right = halves[parent, 1]
        right *= _BRAS[outcome, 1:]
        left += right
        del right
        _measure(left, child[here] - lo, members[here], level + 1, recipes, uniforms, out)


def _weights(halves: npt.NDArray[np.complex128]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For states (s, 2, N / 2): (s, 3) weights of bit 0 in each basis, and (s,) norms squared."""
    zero, one = halves[:, 0], halves[:, 1]
    first, overlap = np.vecdot(zero, zero).real, np.vecdot(zero, one)
    total = first + np.vecdot(one, one).real
    return np.stack([total / 2 + overlap.real, total / 2 + overlap.imag, first], axis=1), total
