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
from pennylane import measurements as mps
from pennylane.exceptions import DeviceError
from pennylane.wires import Wires

from ..simulator import bits_of
from .dynamic import Branches, DynamicTape, Run, Structures, real_numbers
from .exact import REAL
from .values import from_samples, is_recorded, of_branches

Array = npt.NDArray[Any]
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
        look: takes snapshots of branches, also of those that postselection discards.
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
    ) -> None:
        self._tape, self._measurements, self._structures = tape, measurements, structures
        self._dtype, self._rng, self._rule, self._look = dtype, rng, postselection, look
        self._sizes = np.array([stop - start for start, stop in shots.bins()])
        self._recorded = [is_recorded(mp, tape.names) for mp in measurements]
        of_states = [_as_samples(mp) for mp, r in zip(measurements, self._recorded, strict=True) if not r]
        self._structure = structures(tape.tail.reading, of_states, True)
        bases = iter(step.where for step in self._structure.plan.steps)
        self._bases: list[int | None] = [None if r else next(bases) for r in self._recorded]
        self.axes = [getattr(t, "ndim", 0) for t in tape.tensors]

    # for frameworks

    def result_types(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and dtype of each result, those of a bin after another; of results that have a shape."""
        wires = len(self._tape.labels)
        each = [
            (mp.shape(shots=int(n), num_device_wires=wires), REAL) for n in self._sizes for mp in self._measurements
        ]
        return [(tuple(shape), kind) for shape, kind in each]

    def forward(self, arrays: Sequence[Array], differentiate: bool) -> tuple[list[Array], Callable[..., Any] | None]:
        """The results; their derivatives are refused."""

        def refuse(cotangents: Sequence[Array]) -> NoReturn:
            raise DeviceError(
                "ketgrad.qubit: with shots, there is no gradient through postselection or through gates that depend on "
                "a measurement; leave shots away, or without postselection use mcm_method='deferred'"
            )

        return [np.asarray(r)[()] for results in self.bins(arrays) for r in results], refuse if differentiate else None

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
            keep_failed=self._look is not None and not self._rule.fill,
        )
        run.outputs(run.start(None if self._rule.fill else self._sizes, self._dtype))
        bins, valid, *columns = leaves.columns(2 + len(self._measurements))
        out = []
        for b, size in enumerate(self._sizes):
            here = np.flatnonzero((bins == b) & valid)
            if self._look is None:  # snapshots keep the order of the branches, and the samples with them
                here = self._rng.permutation(here)
            places = np.sort(self._rng.choice(size, len(here), replace=False)) if self._rule.pad else None
            out.append([self._result(i, columns[i][here], size, places) for i in range(len(columns))])
        return out

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
        if not len(samples):
            return self._nothing(mp, self._recorded[i])
        if self._recorded[i]:
            result = from_samples(mp, samples)
        else:
            n = len(self._tape.labels)
            bits = bits_of(samples, n).astype(np.int64)
            result = mp.process_samples(bits, wire_order=Wires(self._tape.labels))
        if places is None or not isinstance(mp, mps.SampleMP):
            return result
        padded = np.full((size, *np.shape(result)[1:]), FILL, dtype=np.asarray(result).dtype)
        padded[places] = result
        return padded

    def _nothing(self, mp: Any, recorded: bool) -> Any:
        """The result of no shots."""
        if isinstance(mp, mps.ProbabilityMP):
            return np.full(mp.shape(num_device_wires=len(self._tape.labels)), np.nan)
        if self._rule.skip or not isinstance(mp, (mps.SampleMP, mps.CountsMP)):
            return np.nan
        if isinstance(mp, mps.CountsMP):
            return {}
        none = np.zeros((0, len(self._tape.labels)), dtype=np.int64)
        return mp.process_samples(none, wire_order=Wires(self._tape.labels))


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


def _as_samples(mp: Any) -> Any:
    """The measurement whose samples serve."""
    if mp.obs is None and isinstance(mp, (mps.ExpectationMP, mps.VarianceMP)):
        return mps.SampleMP(eigvals=mp.eigvals(), wires=mp.wires)
    return mps.SampleMP(obs=mp.obs) if mp.obs is not None else mps.SampleMP(wires=mp.wires)
