"""`SampledBranches`: the measurements of a tape with others on the way, with shots.

Owns: from branches to samples, and from samples to results for each bin of the shots. May not know: configurations, how
branches come about.

A branch gives as many samples as it has shots, whatever the number of shots: the cost is that of the distinct branches.
The samples of all branches are then mixed, so that any part of them is as good as another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane import measurements as mps
from pennylane.exceptions import DeviceError
from pennylane.wires import Wires

from ..simulator import bits_of
from .dynamic import Branches, DynamicTape, Run, Structures, real_numbers
from .exact import REAL
from .values import from_samples, is_recorded, of_branches

Array = npt.NDArray[Any]
SUMMED = (qml.ops.Sum, qml.ops.SProd)
FILL = np.iinfo(np.int32).min  # PennyLane's mark of a sample that postselection discarded


@dataclass(frozen=True)
class Postselection:
    """What becomes of shots that are discarded.

    Attributes:
        fill: as many shots as were asked for are kept.
        pad: samples keep their length, with marks.
        skip: a bin without any shot left has no result, nan; else the process is asked for that of no samples.
    """

    fill: bool = False
    pad: bool = False
    skip: bool = True


class SampledBranches:
    """One tape's measurements with shots.

    Args:
        tape, measurements, shots: the tape's.
        structures: finds models.
        dtype: of states.
        rng: of the samples.
        postselection: what becomes of discarded shots.
        look: takes snapshots of branches.
        keep_failed: whether also of those that postselection discards.
    """

    def __init__(
        self,
        tape: DynamicTape,
        measurements: Sequence[Any],
        shots: Any,
        structures: Structures,
        dtype: str,
        rng: np.random.Generator,
        postselection: Postselection,
        look: Callable[[Any, Branches], None] | None = None,
        keep_failed: bool = False,
    ) -> None:
        self._tape, self._structures = tape, structures
        sums = [_terms(mp) for mp in measurements]  # expectation values of sums, term by term
        self._coefficients = [coefficients for coefficients, _ in sums]
        self._whole, self._measurements = measurements, [mp for _, terms in sums for mp in terms]
        self._dtype, self._rng, self._rule = dtype, rng, postselection
        self._look, self._keep_failed = look, keep_failed
        self._sizes = np.array([stop - start for start, stop in shots.bins()])
        self._recorded = [is_recorded(mp, tape.names) for mp in self._measurements]
        of_states = [_as_samples(mp) for mp, r in zip(self._measurements, self._recorded, strict=True) if not r]
        self._structure = structures(tape.tail.reading, of_states, True)
        bases = iter(step.where for step in self._structure.plan.steps)
        self._bases: list[int | None] = [None if r else next(bases) for r in self._recorded]
        self.axes = [getattr(t, "ndim", 0) for t in tape.tensors]

    # for frameworks

    def result_types(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and dtype of each result, those of a bin after another; for results that have a shape."""
        wires = len(self._tape.labels)
        shapes = [mp.shape(shots=int(n), num_device_wires=wires) for n in self._sizes for mp in self._whole]
        return [(tuple(shape), REAL) for shape in shapes]

    def forward(self, arrays: Sequence[Array], differentiate: bool) -> tuple[list[Array], Callable[..., Any] | None]:
        """The results; their derivatives are refused."""
        return [np.asarray(r)[()] for results in self.bins(arrays) for r in results], _refuse if differentiate else None

    # results

    def bins(self, arrays: Sequence[Array]) -> list[list[Any]]:
        """For each bin of the shots, one result for each measurement."""
        leaves = _Leaves(self._draw)
        run = leaves.run = Run(
            self._tape,
            arrays,
            self._structures,
            leaves.leaf,
            rng=self._rng,
            look=self._look,
            keep_failed=self._keep_failed and not self._rule.fill,
            at_once=self._rule.fill,
        )
        run.outputs(run.start(None if self._rule.fill else self._sizes, self._dtype))
        bins, valid, *columns = leaves.columns(2 + len(self._measurements))
        out = []
        for b, size in enumerate(self._sizes):
            here = np.flatnonzero((bins == b) & valid)
            if self._look is None:  # snapshots keep the order of the branches, and the samples with them
                here = self._rng.permutation(here)
            places = np.sort(self._rng.choice(size, len(here), replace=False)) if self._rule.pad else None
            out.append(self._sums([self._result(i, columns[i][here], size, places) for i in range(len(columns))]))
        return out

    def _sums(self, results: list[Any]) -> list[Any]:
        """One result for each measurement, from those of terms."""
        left = iter(results)
        return [next(left) if c is None else c[0] + sum(k * next(left) for k in c[1:]) for c in self._coefficients]

    def _draw(self, run: Run, b: Branches) -> list[Array]:
        """One row for each shot: its bin, whether it is valid, and its outcome of each measurement."""
        weights = b.weights()
        if b.shots is None:
            if not weights.any():
                raise DeviceError("ketgrad.qubit: the probability of what is postselected is 0, and no shots are left")
            chances = weights / weights.sum()
            b = replace(b, shots=np.array([self._rng.multinomial(n, chances) for n in self._sizes]).T)
        assert b.shots is not None
        owner = np.repeat(np.arange(len(b)), b.shots.sum(axis=1))
        bins = np.repeat(np.tile(np.arange(len(self._sizes)), len(b)), b.shots.reshape(-1))
        tail = self._tape.tail
        angles = real_numbers(run.arrays[tail.first : tail.first + len(tail.reading.angles)])
        drawn: dict[int, Array] = {}
        columns = []
        for mp, basis in zip(self._measurements, self._bases, strict=True):
            if basis is None:
                columns.append(of_branches(mp, b)[owner])
                continue
            if basis not in drawn:
                model = self._structure.rotated((False,) * len(angles), basis)
                drawn[basis] = draw(model.state(angles, None, initial=b.states), owner, self._rng)
            columns.append(drawn[basis])
        return [bins, b.valid[owner], *columns]

    def _result(self, i: int, samples: Array, size: int, places: Array | None) -> Any:
        mp = self._measurements[i]
        pad = places is not None and isinstance(mp, mps.SampleMP)
        result = self._process(i, samples) if len(samples) else self._nothing(i, pad)
        if not pad:
            return result
        padded = np.full((size, *np.shape(result)[1:]), FILL, dtype=np.asarray(result).dtype)
        padded[places] = result
        return padded

    def _process(self, i: int, samples: Array) -> Any:
        mp, n = self._measurements[i], len(self._tape.labels)
        if self._recorded[i]:
            return from_samples(mp, samples)
        return mp.process_samples(bits_of(samples, n).astype(np.int64), wire_order=Wires(self._tape.labels))

    def _nothing(self, i: int, pad: bool) -> Any:
        """The result of no shots."""
        mp = self._measurements[i]
        if isinstance(mp, mps.ProbabilityMP):
            return np.full(mp.shape(num_device_wires=len(self._tape.labels)), np.nan)
        if isinstance(mp, mps.SampleMP) and (pad or not self._rule.skip):
            none = np.zeros((0, len(mp.mv)) if isinstance(mp.mv, Sequence) else 0, dtype=np.int64)
            return none if self._recorded[i] else self._process(i, np.zeros(0, dtype=np.uint64))
        return {} if isinstance(mp, mps.CountsMP) and not self._rule.skip else np.nan


class Fixed:
    """Results that are there already, as a function of tensors that refuses its derivatives."""

    def __init__(self, axes: Sequence[int], results: Sequence[Any]) -> None:
        self.axes, self._results = axes, [np.asarray(r) for r in results]

    def result_types(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """See `interfaces.Differentiable`."""
        return [(r.shape, r.dtype) for r in self._results]

    def forward(self, arrays: Sequence[Array], differentiate: bool) -> tuple[list[Array], Callable[..., Any] | None]:
        """See `interfaces.Differentiable`."""
        return self._results, _refuse if differentiate else None


def _refuse(cotangents: Sequence[Array]) -> NoReturn:
    raise DeviceError(
        "ketgrad.qubit: with shots, there is no gradient through postselection, nor through gates that depend on a "
        "measurement unless mcm_method='deferred'; leave shots away"
    )


class _Leaves:
    """The samples of branches at their end."""

    def __init__(self, draw: Callable[[Run, Branches], list[Array]]) -> None:
        self._draw = draw
        self._found: list[list[Array]] = []
        self.run: Any = None

    def leaf(self, b: Branches) -> tuple[list[Array], None]:
        if len(b):
            self._found.append(self._draw(self.run, b))
        return [], None

    def columns(self, count: int) -> list[Array]:
        """Those of all leaves, one after another."""
        if not self._found:  # nothing was left
            return [np.zeros(0, dtype=bool)] * count
        return [np.concatenate(parts) for parts in zip(*self._found, strict=True)]


def draw(states: Array, owner: Array, rng: np.random.Generator) -> npt.NDArray[np.uint64]:
    """The index of a basis state for each shot, from the state that owns it; states (K, 2^n), of any norm."""
    sums = np.cumsum(states.real.astype(np.float64) ** 2 + states.imag.astype(np.float64) ** 2, axis=1)
    sums /= sums[:, -1:]
    sums += np.arange(len(states))[:, None]  # one ascending list of all, each state's part ending at a whole number
    uniform = np.minimum(owner + rng.random(len(owner)), np.nextafter(owner + 1.0, 0))
    found = np.searchsorted(sums.reshape(-1), uniform, side="right")
    return np.asarray(found - owner * states.shape[1], dtype=np.uint64)


def _terms(mp: Any) -> tuple[list[float] | None, list[Any]]:
    """A constant and coefficients, and measurements of the terms; None and the measurement where it is no sum."""
    if not isinstance(mp, mps.ExpectationMP) or not isinstance(mp.obs, SUMMED):
        return None, [mp]
    with qml.QueuingManager.stop_recording():
        if mp.obs.pauli_rep is not None:
            pairs = [(c, word.operation() if word else None) for word, c in mp.obs.pauli_rep.items()]
        else:
            pairs = list(zip(*mp.obs.terms(), strict=True))
        numbers = [(float(np.real(qml.math.to_numpy(c))), op) for c, op in pairs]
        constant = sum(c for c, op in numbers if op is None)
        words = [(c, mps.ExpectationMP(op)) for c, op in numbers if op is not None]
    return [constant, *(c for c, _ in words)], [term for _, term in words]


def _as_samples(mp: Any) -> Any:
    """The measurement whose samples serve."""
    if mp.obs is None and isinstance(mp, (mps.ExpectationMP, mps.VarianceMP)):
        return mps.SampleMP(eigvals=mp.eigvals(), wires=mp.wires)
    return mps.SampleMP(obs=mp.obs) if mp.obs is not None else mps.SampleMP(wires=mp.wires)
