"""Values measured on the way: what PennyLane's measurement processes make of them.

Owns: outcomes of measured values and lists of them, and results from samples of values. May not know: states, tapes.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pennylane import measurements as mps

from .dynamic import Branches, name_of

Array = npt.NDArray[Any]


def is_recorded(mp: Any, names: Collection[Hashable]) -> bool:
    """Whether a measurement is of values measured on the way (deferred ones are wires like others)."""
    if mp.mv is None:
        return False
    values = mp.mv if isinstance(mp.mv, Sequence) else [mp.mv]
    return all(name_of(m) in names for v in values for m in v.measurements)


def outcomes(mp: Any) -> list[Any]:
    """The outcomes of a value, or of a list of values as tuples, in PennyLane's order."""
    if isinstance(mp.mv, Sequence):
        return list(itertools.product(*(v.branches.values() for v in mp.mv)))
    return list(mp.mv.branches.values())


def of_branches(mp: Any, b: Branches) -> Array:
    """(K,) values, or (K, m) of a list of m values."""
    if isinstance(mp.mv, Sequence):
        return np.array([b.values(v) for v in mp.mv]).T
    return np.array(b.values(mp.mv))


def indicators(mp: Any, b: Branches) -> npt.NDArray[np.float64]:
    """(R, K): whether a branch has each of the outcomes; one that is listed twice counts half."""
    return _indicators(outcomes(mp), of_branches(mp, b))


def _indicators(possible: Sequence[Any], found: Array) -> npt.NDArray[np.float64]:
    each = np.array([found == p if found.ndim == 1 else (found == np.array(p)).all(axis=1) for p in possible])
    return np.asarray(each / each.sum(axis=0))


def from_samples(mp: Any, samples: Array) -> Any:
    """The result of a measurement of values, from (n,) or (n, m) samples of them; n is not 0."""
    if isinstance(mp, mps.SampleMP):
        return samples
    if isinstance(mp, mps.ExpectationMP):
        return samples.mean()
    if isinstance(mp, mps.VarianceMP):
        return samples.var()
    if isinstance(mp, mps.ProbabilityMP):
        return _indicators(outcomes(mp), samples).mean(axis=1)
    wires = samples.shape[1] if samples.ndim == 2 else 0  # lists are of outcomes, so their values are bits
    values, numbers = np.unique(samples @ (1 << np.arange(wires)[::-1]) if wires else samples, return_counts=True)
    keys = [f"{v:0{wires}b}" if wires else float(v) for v in values.tolist()]
    counts: dict[Any, int] = {}
    if mp.all_outcomes:
        counts = dict.fromkeys(("".join(map(str, v)) if wires else float(v) for v in outcomes(mp)), 0)
    counts.update(zip(keys, numbers.tolist(), strict=True))
    return dict(sorted(counts.items()))
