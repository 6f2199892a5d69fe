"""Exact measurements of a tape with channels, by density matrices.

Owns: outputs and pullbacks of every step of an `ExactPlan` where the state is mixed, and which channel each sample has
when their strengths vary. May not know: frameworks, configurations.

Everything is a function of the final density matrix, so one sweep back for each basis gives the gradient of everything:
of angles, of the strengths of channels and of the amplitudes it starts from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pennylane import measurements as mps

from ..errors import ArgumentError, NotDifferentiableError
from ..model import Gradients
from ..noise.mixed import Mixed
from .measurements import Step
from .structure import Structure

Array = npt.NDArray[Any]
BY_PATHS = ("expval", "variance", "terms")  # what trajectories estimate and differentiate


def refuse_paths(exact: Any, given: Any, differentiate: bool) -> None:
    """Refuse what trajectories do not give.

    Raises:
        NotDifferentiableError: gradients by strengths.
        ArgumentError: a measurement of the whole density matrix.
    """
    if exact.structure.live:
        raise NotDifferentiableError(
            "method='trajectories' takes the strengths of channels as constants, got one that a framework follows; use "
            "method='density', or detach it"
        )
    for step, mp in zip(exact.plan.steps, exact.measurements, strict=True):
        plain = step.how == "probabilities" and not differentiate and given.initial is None
        if step.how not in BY_PATHS and not plain:
            raise ArgumentError(
                "method='trajectories' gives expectation values and variances of sums of Pauli words, their gradients, "
                f"and probabilities without a gradient, got {type(mp).__name__}; use method='density'"
            )


class MixedRun:
    """One call: what was computed on the way forward, for the way back."""

    def __init__(self, exact: Any, given: Any, differentiate: bool) -> None:
        self.exact, self.given, self.differentiate = exact, given, differentiate
        initial = given.initial
        self.count = len(given.inputs) if given.inputs is not None else 1
        if initial is not None and initial.ndim == 2:
            self.count = len(initial)
        self.groups = [_Group(self, *found) for found in self._alike()]

    def results(self) -> tuple[list[Array], Callable[..., Any] | None]:
        """Outputs and the pullback; see `interfaces.Differentiable`."""
        out = []
        for step, mp in zip(self.exact.plan.steps, self.exact.measurements, strict=True):
            parts = [group.output(step, mp) for group in self.groups]
            whole = parts[0] if len(parts) == 1 else np.empty((self.count, *parts[0].shape[1:]), parts[0].dtype)
            if len(parts) > 1:
                for group, part in zip(self.groups, parts, strict=True):
                    whole[group.rows] = part
            out.append(self.given.spread(whole if self.given.batched else whole[0]))
        return out, self.pullback if self.differentiate else None

    def pullback(self, cotangents: Sequence[Array]) -> list[Array]:
        """Gradients of the arguments."""
        given, live = self.given, self.exact.structure.live
        gathered = [given.gather(c, len(own)) for c, (own, _) in zip(cotangents, self.exact.own, strict=True)]
        rows = [c if given.batched else c[None] for c in gathered]
        if not live:  # one group of all samples, whose model has these weights and inputs
            return list(given.gradients(self.groups[0].pull(rows)[0]))
        places = _Places(given.pattern, live)
        weights = np.zeros(places.n_weights)
        inputs = np.zeros((self.count, places.n_inputs))
        initial = None if given.initial is None else np.zeros(given.initial.shape, dtype=complex)
        for group in self.groups:
            found, strengths = group.pull([c[group.rows] for c in rows])
            weights[places.weights] += found.weights
            inputs[group.rows[:, None], places.inputs] += found.inputs
            for k, (varies, place) in enumerate(places.live):
                if varies:
                    inputs[group.rows, place] += strengths[:, k]
                else:
                    weights[place] += strengths[:, k].sum()
            if initial is not None and initial.ndim == 2:
                initial[group.rows] += found.initial
            elif initial is not None:
                initial += found.initial
        return list(given.gradients(Gradients(weights, inputs, initial)))

    def _alike(self) -> list[tuple[Structure, Array, Any, Any]]:
        """Samples whose channels are the same: a structure with them, which samples, and its weights and inputs."""
        given, structure = self.given, self.exact.structure
        every = np.arange(self.count)
        if not structure.live:
            return [(structure, every, given.weights, given.inputs)]
        places = _Places(given.pattern, structure.live)
        columns = [given.inputs[:, k] if varies else np.full(self.count, given.weights[k]) for varies, k in places.live]
        numbers, group = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
        weights = given.weights[places.weights]
        out = []
        for k, row in enumerate(numbers):
            rows = np.flatnonzero(group.reshape(-1) == k)
            inputs = None if given.inputs is None else given.inputs[rows[:, None], places.inputs]
            out.append((structure.at(tuple(row.tolist())), rows, weights, inputs))
        return out


class _Places:
    """Where the parameters of live channels stand among weights and inputs, and where everything else."""

    def __init__(self, pattern: Sequence[bool], live: Sequence[Any]) -> None:
        self.n_inputs = sum(pattern)
        self.n_weights = len(pattern) - self.n_inputs
        place, counts = [], [0, 0]
        for varies in pattern:
            place.append((varies, counts[varies]))
            counts[varies] += 1
        positions = [p for site in live for p in site.angles]
        self.live = [place[p] for p in positions]
        rest = [place[p] for p in range(len(pattern)) if p not in set(positions)]
        self.weights = [k for varies, k in rest if not varies]
        self.inputs = [k for varies, k in rest if varies]


class _Group:
    """Samples with the same channels; `rows` are theirs among all."""

    def __init__(self, run: MixedRun, structure: Structure, rows: Array, weights: Any, inputs: Any) -> None:
        self.run, self.structure, self.rows = run, structure, rows
        self._weights, self._inputs = weights, inputs
        given, live = run.given, run.exact.structure.live
        start = given.initial
        self._initial = start[rows] if start is not None and start.ndim == 2 else start
        fixed = {p for site in live for p in site.angles}
        self._pattern = tuple([v for p, v in enumerate(given.pattern) if p not in fixed])
        self._sites = [site.site for site in live] if run.differentiate else []
        self._mixed: dict[int | None, Mixed] = {}

    def output(self, step: Step, mp: Any) -> Array:
        """A step's output for each sample of the group."""
        mixed = self._at(self._basis(step))
        if step.how in ("expval", "terms"):
            return np.asarray(mixed.values[:, step.where])
        if step.how == "variance":
            mean, second = (mixed.values[:, i] for i in step.where)
            return np.asarray(np.maximum(0.0, second - mean**2))
        if step.how == "probabilities":
            outcomes = self.structure.outcomes(step.where)
            diagonals = np.diagonal(mixed.matrices, axis1=1, axis2=2).real
            return np.array([np.bincount(outcomes, row, 1 << len(step.where)) for row in np.maximum(diagonals, 0.0)])
        if step.how == "sparse":
            return self._sparse(mixed, mp)[0]
        return mixed.matrices.reshape(len(self.rows), -1)

    def pull(self, cotangents: Sequence[Array]) -> tuple[Gradients, Array]:
        """Gradients of weights, inputs and initial states, and of each parameter of a live channel (b, L)."""
        to_values: dict[int | None, Array] = {}
        to_matrices: dict[int | None, Array] = {}
        for step, mp, c in zip(self.run.exact.plan.steps, self.run.exact.measurements, cotangents, strict=True):
            basis = self._basis(step)
            mixed = self._at(basis)
            if step.how in ("expval", "terms", "variance"):
                into = to_values.setdefault(basis, np.zeros(mixed.values.shape))
                if step.how == "variance":
                    first, second = step.where
                    into[:, second] += c
                    into[:, first] -= 2 * c * mixed.values[:, first]
                else:
                    into[:, step.where] += c
                continue
            bras = to_matrices.setdefault(basis, np.zeros(mixed.matrices.shape, dtype=complex))
            if step.how == "probabilities":
                diagonal = np.einsum("bii->bi", bras)
                diagonal += c[:, self.structure.outcomes(step.where)] / 2
            elif step.how == "sparse":
                bras += self._sparse(mixed, mp)[1](c) / 2
            else:
                bras += c.reshape(bras.shape) / 2
        want = self._initial is not None
        found = [self._mixed[b].pull(to_values.get(b), to_matrices.get(b), want) for b in self._mixed]
        weights, inputs = (np.sum([getattr(g, name) for g, _ in found], axis=0) for name in ("weights", "inputs"))
        initial = None
        if want:
            initial = np.sum([cast(Array, g.initial) for g, _ in found], axis=0).reshape(self._initial.shape)
        return Gradients(weights, inputs, initial), self._by_parameter(np.sum([s for _, s in found], axis=0))

    def _by_parameter(self, strengths: Array) -> Array:
        """From derivatives by the strengths of ketgrad's channels to those by PennyLane's parameters."""
        columns, first = [], 0
        for site in self.run.exact.structure.live:
            columns += [strengths[:, first + j] for j in site.channel.strengths]
            first += len(site.channel.strengths)
        return np.stack(columns, axis=1) if columns else np.zeros((len(self.rows), 0))

    def _basis(self, step: Step) -> int | None:
        """The basis of a step; None for the computational one, in which values are too."""
        if step.how in ("expval", "terms", "variance", "probabilities", "sparse") or step.where is None:
            return None
        return None if self.run.exact.plan.bases[step.where] is None else int(step.where)

    def _at(self, basis: int | None) -> Mixed:
        if basis not in self._mixed:
            s, pattern = self.structure, self._pattern
            model: Any = s.values(pattern) if basis is None else s.rotated(pattern, basis)
            self._mixed[basis] = model.forward_density(
                self._weights, self._inputs, initial=self._initial, sites=self._sites
            )
        return self._mixed[basis]

    def _sparse(self, mixed: Mixed, mp: Any) -> tuple[Array, Callable[[Array], Array]]:
        """tr(rho M), or tr(rho M^2) - tr(rho M)^2, and the cotangents of the matrices for those of it."""
        matrix = self.run.exact.sparse_matrix(mp)

        def mean(m: Any) -> Array:
            return np.array([(m.multiply(rho.T)).sum().real for rho in mixed.matrices])

        first = mean(matrix)
        if not isinstance(mp, mps.VarianceMP):
            return first, lambda c: c[:, None, None] * matrix.toarray()
        square = matrix @ matrix
        return mean(
            square
        ) - first**2, lambda c: c[:, None, None] * (square.toarray() - 2 * first[:, None, None] * matrix.toarray())
