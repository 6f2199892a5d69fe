"""`Sampled`: the measurements of a tape with shots, and their parameter-shift gradient.

Owns: samples to results for each bin of the shots; expectation values as a differentiable function. May not know:
frameworks, configurations.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane import measurements as mps
from pennylane.shadows import ClassicalShadow
from pennylane.wires import Wires

from ..backends.contract import Tallies
from ..simulator import counts_of
from .arguments import Arguments, axes_of
from .sampling import SampledPlan
from .structure import Structure

Array = npt.NDArray[Any]
TALLIED = (mps.CountsMP, mps.ProbabilityMP, mps.ExpectationMP, mps.VarianceMP)  # need no list of shots


class Sampled:
    """One tape's measurements with shots; differentiable where all are expectation values and no shots are binned.

    Args:
        structure: of the tape, with a `SampledPlan`.
        labels, measurements, shots: of the tape.
        tensors: its angles, then its initial state where there is one.
        has_initial: whether there is one.
        rng: of the samples.
    """

    def __init__(
        self,
        structure: Structure,
        labels: Sequence[Hashable],
        tensors: Sequence[Any],
        measurements: Sequence[Any],
        shots: Any,
        has_initial: bool,
        rng: np.random.Generator,
    ) -> None:
        assert isinstance(structure.plan, SampledPlan)
        self.structure, self.plan = structure, structure.plan
        self._measurements, self._order, self._shots = measurements, Wires(labels), shots
        self._has_initial, self._rng = has_initial, rng
        self.axes, self._batch = axes_of(tensors, has_initial)

    def result_types(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and dtype of each expectation value."""
        return [(() if self._batch is None else (self._batch,), np.dtype(np.float64))] * len(self.plan.steps)

    def forward(self, arrays: Sequence[Array], differentiate: bool) -> tuple[list[Array], Callable[..., Any] | None]:
        """Estimates of the expectation values; see `interfaces.Differentiable`."""
        given = self._arguments(arrays)
        model = self.structure.values(given.pattern)
        values, pull = model.forward(
            given.weights, given.inputs, shots=self._shots.total_shots, seed=self._rng, _keep=differentiate
        )
        where = [s.where for s in self.plan.steps]

        def pullback(cotangents: Sequence[Array]) -> list[Array]:
            to_values = np.zeros(values.shape)
            for w, c in zip(where, cotangents, strict=True):
                to_values[..., w] += given.gather(c, 0)
            return list(given.gradients(pull(to_values)))

        return [given.spread(values[..., w]) for w in where], pullback if differentiate else None

    def bins(self, arrays: Sequence[Array]) -> list[list[Any]]:
        """For each bin of the shots, one result for each measurement."""
        given = self._arguments(arrays)
        bins = list(self._shots.bins())
        out: list[list[Any]] = [[None] * len(self.plan.steps) for _ in bins]
        for b, (start, stop) in enumerate(bins):
            if self.plan.observables:
                self._estimates(given, stop - start, out[b])
        for basis in range(len(self.plan.bases)):
            members = [i for i, s in enumerate(self.plan.steps) if s.how == "sample" and s.where == basis]
            if members:
                self._samples(given, basis, members, bins, out)
        for i, step in enumerate(self.plan.steps):
            if step.how == "shadow":
                self._shadow(given, i, step.where, bins, out)
        return out

    def _arguments(self, arrays: Sequence[Array]) -> Arguments:
        return Arguments(arrays, self.axes, self._batch, self._has_initial)

    def _estimates(self, given: Arguments, shots: int, out: list[Any]) -> None:
        model = self.structure.values(given.pattern)
        values = model(given.weights, given.inputs, shots=shots, seed=self._rng, initial=given.initial)
        for i, step in enumerate(self.plan.steps):
            if step.how == "estimate":
                out[i] = given.spread(values[..., step.where])

    def _samples(self, given: Arguments, basis: int, members: list[int], bins: list[Any], out: list[Any]) -> None:
        model = self.structure.rotated(given.pattern, basis)
        options: dict[str, Any] = {"seed": self._rng, "initial": given.initial}
        if not given.shape and all(isinstance(self._measurements[i], TALLIED) for i in members):
            wires = tuple(sorted({w for i in members for w in self._wires(self._measurements[i])}))
            for b, (start, stop) in enumerate(bins):
                outcomes, counts = model.tally(given.weights, given.inputs, shots=stop - start, wires=wires, **options)
                for i in members:
                    mp = self._measurements[i]
                    own = gathered(outcomes, [wires.index(w) for w in self._wires(mp)], len(wires))
                    out[b][i] = from_tally(mp, own, counts, len(self._wires(mp)))
            return
        drawn = model.sample(given.weights, given.inputs, shots=self._shots.total_shots, **options)
        samples = given.spread(drawn.astype(np.int64))
        for b, (start, stop) in enumerate(bins):
            for i in members:
                part = samples[..., start:stop, :]
                out[b][i] = self._measurements[i].process_samples(part, wire_order=self._order)

    def _wires(self, mp: Any) -> list[int]:
        return list(self._order.indices(mp.wires)) or list(range(len(self._order)))

    def _shadow(self, given: Arguments, i: int, basis: int, bins: list[Any], out: list[Any]) -> None:
        mp, model = self._measurements[i], self.structure.rotated(given.pattern, basis)
        for b, (start, stop) in enumerate(bins):
            rng = self._rng if mp.seed is None else np.random.default_rng(mp.seed)
            bits, recipes = model.shadow(
                given.weights, given.inputs, shots=stop - start, seed=rng, wires=self._wires(mp), initial=given.initial
            )
            if isinstance(mp, mps.ClassicalShadowMP):
                out[b][i] = np.stack([bits, recipes]).astype(np.int8)
            else:
                shadow = ClassicalShadow(bits, recipes, wire_map=mp.wires.tolist())
                out[b][i] = shadow.expval(mp.H, mp.k)


def gathered(outcomes: npt.NDArray[np.uint64], places: Sequence[int], width: int) -> npt.NDArray[np.uint64]:
    """Outcomes of `width` bits as outcomes of some of them; places count from the most significant."""
    found = np.zeros_like(outcomes)
    for place in places:
        found = found << np.uint64(1) | outcomes >> np.uint64(width - 1 - place) & np.uint64(1)
    return found


def from_tally(mp: Any, outcomes: npt.NDArray[np.uint64], counts: npt.NDArray[np.int64], width: int) -> Any:
    """A measurement's result from how often each outcome of its wires occurred; an outcome may be listed repeatedly."""
    shots = int(counts.sum())
    if isinstance(mp, mps.ProbabilityMP):
        return np.bincount(outcomes.astype(np.intp), counts, 1 << width) / shots
    if mp.obs is None and isinstance(mp, mps.CountsMP):
        return _outcome_counts(mp, outcomes, counts, width)
    values = np.real(qml.math.to_numpy(mp.eigvals()))[outcomes.astype(np.intp)]
    if isinstance(mp, mps.CountsMP):
        wanted = np.unique(mp.eigvals()) if mp.all_outcomes else ()
        found = {float(v): 0 for v in wanted}
        for v in np.unique(values):
            found[float(v)] = int(counts[values == v].sum())
        return found
    mean = np.dot(values, counts) / shots
    return mean if isinstance(mp, mps.ExpectationMP) else np.dot((values - mean) ** 2, counts) / shots


def _outcome_counts(mp: Any, outcomes: Array, counts: Array, width: int) -> dict[str, int]:
    if mp.all_outcomes:
        tally = np.bincount(outcomes.astype(np.intp), counts, 1 << width).astype(np.int64)
        listed = np.arange(1 << width, dtype=np.uint64)
    else:
        listed, where = np.unique(outcomes, return_inverse=True)
        tally = np.bincount(where, counts).astype(np.int64)
    return counts_of(Tallies(np.array([0, len(listed)]), listed, tally), width)[0]
