"""The Fubini-Study metric of the states a circuit can reach: the real part of the quantum geometric tensor.

Owns: the projection, the Gram products and the chunks they come in. May not know: models.

Source: J. Stokes, J. Izaac, N. Killoran, G. Carleo, "Quantum natural gradient", Quantum 4, 269 (2020),
arXiv:1909.02108, equation 12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..memory import require_states

Array = npt.NDArray[np.float64]
States = npt.NDArray[Any]
Tangents = Callable[[Array, Array], States]  # points (rows, D), directions (rows, D) -> (rows, 2^n)

CHUNK_BYTES = 128 << 20  # tangents held as one block; there are two, and as much again while one is made


def fubini_study(
    states: Callable[[Array], States],
    tangents: Tangents,
    points: Array,
    count: int,
    n_bits: int,
    itemsize: int,
    diagonal: bool,
) -> Array:
    """Re(<d_i psi|d_j psi> - <d_i psi|psi><psi|d_j psi>) for the first `count` parameters, (B, count, count).

    Args:
        states: (rows, 2^n) at points (rows, D).
        points: (B, D).
        itemsize: bytes of an amplitude.
        diagonal: leave all else 0, and do not compute it.

    Raises:
        OutOfMemoryError: a handful of states does not fit.
    """
    out = np.zeros((len(points), count, count))
    room = max(1, CHUNK_BYTES // (itemsize << n_bits))
    width, group = max(1, min(count, room)), max(1, room // max(1, count))
    require_states(n_bits, itemsize, 5 * width * min(group, len(points)))
    eye = np.eye(count, points.shape[1])
    blocks = [slice(s, min(s + width, count)) for s in range(0, count, width)]
    for start in range(0, len(points), group):
        rows = slice(start, start + group)
        here = points[rows]
        psi = states(here)

        def moved(block: slice, here: Array = here, psi: States = psi) -> tuple[States, States]:
            """Tangents, and their overlaps with the state, as real numbers."""
            along = eye[block]
            found = tangents(np.repeat(here, len(along), axis=0), np.tile(along, (len(here), 1)))
            found = found.reshape(len(here), len(along), -1)
            return found.view(psi.real.dtype), (found @ psi.conj()[:, :, None]).view(psi.real.dtype)

        for i, a in enumerate(blocks):
            left = moved(a)
            if diagonal:
                where = np.arange(count)[a]
                whole, along = (np.einsum("bpx,bpx->bp", part, part) for part in left)
                out[rows, where, where] = whole - along
                continue
            out[rows, a, a] = _gram(left, left)
            for b in blocks[i + 1 :]:
                out[rows, a, b] = _gram(left, moved(b))
                out[rows, b, a] = out[rows, a, b].swapaxes(1, 2)
    return out


def _gram(left: tuple[States, States], right: tuple[States, States]) -> States:
    """Inner products of tangents less what is along the state, (B, p, q)."""
    whole, along = (a @ b.swapaxes(1, 2) for a, b in zip(left, right, strict=True))
    return np.asarray(whole - along)
