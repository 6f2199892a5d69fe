"""`Ising`: the one form of a problem that every engine takes.

Owns: fields, couplings, labels; energies of spins. May not know: engines, files, dimod beyond its interface.
"""

from __future__ import annotations

import importlib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentTypeError, KetgradError, ParameterError

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def needed(package: str) -> Any:
    """An optional package, or a part of one.

    Raises:
        KetgradError: it is not installed.
    """
    top = package.split(".")[0]
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != top:
            raise
        raise KetgradError(f"annealing needs {top} for this, which is missing; pip install 'ketgrad[anneal]'") from None


@dataclass(frozen=True, eq=False)
class Ising:
    """E(s) = offset + sum_k fields[k] s_k + sum_e couplings[e] s_i s_j, spins s = +-1, to be minimised.

    Made by `of`, `from_bqm` and the like, which merge repeated pairs and drop zeros.

    Attributes:
        fields: (n,) float64.
        pairs: (E, 2) int64, i < j, ascending and distinct.
        couplings: (E,) float64.
        offset: a constant of all energies.
        labels: (n,) what the user calls the variables.
    """

    fields: Array
    pairs: Indices
    couplings: Array
    offset: float
    labels: tuple[Hashable, ...]

    @classmethod
    def of(
        cls,
        fields: npt.ArrayLike,
        pairs: npt.ArrayLike = (),
        couplings: npt.ArrayLike = (),
        offset: float = 0.0,
        labels: Iterable[Hashable] | None = None,
    ) -> Ising:
        """A problem from arrays; pairs may repeat, in either order.

        Raises:
            ParameterError: no variables, wrong shapes, a pair of one variable or out of range, numbers not finite, or
                labels that are too few or repeat.
        """
        h, j = (np.array(a, dtype=np.float64).reshape(-1) for a in (fields, couplings))
        p, n = np.array(pairs, dtype=np.int64).reshape(-1, 2), len(h)
        names = tuple(range(n)) if labels is None else tuple(labels)
        if not n:
            raise ParameterError("Ising: a problem needs at least one variable, got none")
        if len(p) != len(j):
            raise ParameterError(f"Ising: each pair has one coupling, got {len(p)} pairs and {len(j)} couplings")
        if len(names) != n or len(set(names)) != n:
            raise ParameterError(f"Ising: {n} variables need {n} distinct labels, got {names[:8]}")
        if p.size and (p.min() < 0 or p.max() >= n):
            raise ParameterError(f"Ising: pairs are of variables 0 to {n - 1}, got {p.min()} to {p.max()}")
        same = np.flatnonzero(p[:, 0] == p[:, 1])
        if len(same):
            raise ParameterError(
                f"Ising: a pair is of two variables, got {tuple(p[same[0]].tolist())}; s_i^2 = 1 belongs into offset"
            )
        for what, values in (("fields", h), ("couplings", j), ("offset", np.array([float(offset)]))):
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                raise ParameterError(f"Ising: {what} must be finite, got {values[bad[0]]} at {bad[0]}")
        p.sort(axis=1)
        distinct, where = np.unique(p[:, 0] * n + p[:, 1], return_inverse=True)
        total = np.bincount(where, weights=j, minlength=len(distinct)) if len(p) else j
        kept = total != 0
        return cls(h, np.stack(np.divmod(distinct[kept], n), axis=1), total[kept], float(offset), names)

    @classmethod
    def from_bqm(cls, bqm: Any) -> Ising:
        """From a `dimod.BinaryQuadraticModel` of either vartype, or what has its `to_ising`."""
        if not hasattr(bqm, "to_ising") or not hasattr(bqm, "variables"):
            raise ArgumentTypeError(f"Ising: expected a dimod.BinaryQuadraticModel, got {type(bqm).__name__}")
        names = tuple(bqm.variables)
        if hasattr(bqm, "to_numpy_vectors"):
            spin = bqm if bqm.vartype.name == "SPIN" else bqm.change_vartype("SPIN", inplace=False)
            fields, (rows, columns, couplings), offset = spin.to_numpy_vectors(variable_order=names)
            return cls.of(fields, np.stack([rows, columns], axis=1), couplings, float(offset), names)
        linear, quadratic, offset = bqm.to_ising()
        index = {v: k for k, v in enumerate(names)}
        return cls.of(
            [linear[v] for v in names],
            [(index[u], index[v]) for u, v in quadratic],
            list(quadratic.values()),
            float(offset),
            names,
        )

    @classmethod
    def from_bits(
        cls,
        linear: npt.ArrayLike,
        pairs: npt.ArrayLike = (),
        quadratic: npt.ArrayLike = (),
        offset: float = 0.0,
        labels: Iterable[Hashable] | None = None,
    ) -> Ising:
        """From E(b) = offset + sum_k linear[k] b_k + sum_e quadratic[e] b_i b_j of bits b = (1 + s) / 2; as `of`."""
        both = cls.of(linear, pairs, quadratic, offset, labels)  # checked, repeated pairs merged
        fields = both.fields / 2
        for column in both.pairs.T:
            fields += np.bincount(column, weights=both.couplings, minlength=both.n) / 4
        constant = both.offset + both.fields.sum() / 2 + both.couplings.sum() / 4
        return cls.of(fields, both.pairs, both.couplings / 4, constant, both.labels)

    def to_bits(self) -> tuple[Array, Indices, Array, float]:
        """(linear (n,), pairs (E, 2), quadratic (E,), offset) of the same energies, see `from_bits`."""
        linear = 2 * self.fields
        for column in self.pairs.T:
            linear -= 2 * np.bincount(column, weights=self.couplings, minlength=self.n)
        constant = self.offset - self.fields.sum() + self.couplings.sum()
        return linear, self.pairs, 4 * self.couplings, float(constant)

    def to_bqm(self) -> Any:
        """The same problem as a `dimod.BinaryQuadraticModel` of spins, for other samplers (needs dimod)."""
        model = needed("dimod").BinaryQuadraticModel("SPIN")
        model.add_linear_from(zip(self.labels, self.fields.tolist(), strict=True))
        names = self.labels
        model.add_quadratic_from(
            (names[i], names[j], c) for (i, j), c in zip(self.pairs.tolist(), self.couplings.tolist(), strict=True)
        )
        model.offset = self.offset
        return model

    def sample_set(self, spins: npt.ArrayLike) -> Any:
        """A `dimod.SampleSet` of spins (R, n), in their order, with their energies (needs dimod)."""
        rows, made = np.asarray(spins), needed("dimod").SampleSet
        return made.from_samples((rows, list(self.labels)), "SPIN", self.energies(rows), sort_labels=False)

    @property
    def n(self) -> int:
        """How many variables."""
        return len(self.fields)

    @property
    def has_fields(self) -> bool:
        """Without fields the energy is the same when all spins turn over."""
        return bool(self.fields.any())

    @property
    def is_cut(self) -> bool:
        """Whether minus the energy is the weight of a cut: of a graph with weights 2 * couplings."""
        size = float(np.abs(self.couplings).sum())
        return not self.has_fields and abs(self.offset + self.couplings.sum()) <= 1e-9 * max(1.0, size)

    @cached_property
    def neighbours(self) -> tuple[Indices, Indices, Array]:
        """(starts (n + 1,), neighbours (2 E,), couplings (2 E,)): each pair from both sides, row by row."""
        both = np.concatenate([self.pairs, self.pairs[:, ::-1]])
        order = np.argsort(both[:, 0] * self.n + both[:, 1])
        starts = np.searchsorted(both[order, 0], np.arange(self.n + 1))
        return starts, both[order, 1].copy(), np.concatenate([self.couplings] * 2)[order]

    def energies(self, spins: npt.ArrayLike) -> Array:
        """(R,) of spins (R, n), or one number (0-d) of (n,).

        Raises:
            ParameterError: another number of spins, or other numbers than +-1.
        """
        s = np.asarray(spins)
        if s.ndim not in (1, 2) or s.shape[-1] != self.n:
            raise ParameterError(f"Ising: spins have shape (..., {self.n}), got {s.shape}")
        if not (np.abs(s) == 1).all():
            raise ParameterError("Ising: spins are +1 or -1; for bits b use 2 b - 1")
        rows = np.atleast_2d(s)
        out = self.offset + rows @ self.fields
        columns = np.ascontiguousarray(rows.T, dtype=np.int8)  # a pair's spins of all rows lie together
        step = max(1, (1 << 20) // max(1, len(rows)))
        for start in range(0, len(self.pairs), step):
            a, b = self.pairs[start : start + step].T
            out += self.couplings[start : start + step] @ (columns[a] * columns[b]).astype(np.float64)
        return np.asarray(out if s.ndim == 2 else out[0])

    def __repr__(self) -> str:
        return f"Ising({self.n} spins, {len(self.pairs)} couplings, {'fields' if self.has_fields else 'no fields'})"
