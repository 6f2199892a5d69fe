"""`Exact`: the measurements of a tape as a differentiable function of its tensors.

Owns: results and pullbacks of every step of an `ExactPlan`, in numpy. May not know: frameworks, configurations.

One adjoint sweep gives the gradient of everything: expectation values send cotangents of their terms, whatever is
computed from the state sends a cotangent of the state.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from pennylane import measurements as mps
from pennylane.wires import Wires

from ..errors import NotDifferentiableError
from ..gradients import adjoint
from ..model import Gradients, Model
from .arguments import Arguments
from .direct import NONE
from .measurements import ExactPlan, Step, finish
from .mixed import MixedRun, refuse_paths
from .second import second
from .structure import Structure

Array = npt.NDArray[Any]
NOISY_SECOND = (
    "a circuit with channels has neither second derivatives nor JAX's forward mode here; try "
    "diff_method='parameter-shift' with max_diff=2, or diff_method='device' for the latter"
)
REAL: np.dtype[Any] = np.dtype(np.float64)


class Exact:
    """One tape's measurements; see `interfaces.Differentiable`.

    Args:
        structure: of the tape, with an `ExactPlan`.
        labels, measurements: of the tape.
        axes, batch: of its tensors, the angles and then the initial state where there is one; see `axes_of`.
        has_initial: whether there is one.
        method: "adjoint" or "parameter-shift".
    """

    def __init__(
        self,
        structure: Structure,
        labels: Sequence[Hashable],
        measurements: Sequence[Any],
        axes: Sequence[int],
        batch: int | None,
        has_initial: bool,
        method: str = "adjoint",
    ) -> None:
        assert isinstance(structure.plan, ExactPlan)
        self.structure, self.plan, self.method = structure, structure.plan, method
        self.measurements, self._labels, self._has_initial = measurements, labels, has_initial
        self.axes, self._batch = axes, batch

    def result_types(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and dtype of each step's output."""
        lead = () if self._batch is None else (self._batch,)
        return [((*lead, *own), kind) for own, kind in self.own]

    @cached_property
    def own(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """As `result_types`, without the axis of a batch."""
        size, state = 1 << self.structure.n_wires, np.dtype(self.structure.dtype)
        if self.structure.noisy:
            size = size**2  # a density matrix
        out: list[tuple[tuple[int, ...], np.dtype[Any]]] = []
        for step in self.plan.steps:
            if step.how in ("state", "density"):
                out.append(((size,), state))
            elif step.how == "probabilities":
                out.append(((1 << len(step.where),), REAL))
            else:
                out.append(((step.where.stop - step.where.start,) if step.how == "terms" else (), REAL))
        return out

    def forward(self, arrays: Sequence[Array], differentiate: bool) -> tuple[list[Array], Callable[..., Any] | None]:
        """See `interfaces.Differentiable`."""
        given = self._arguments(arrays)
        if self.plan.only_expectations and given.initial is None:
            if not self.structure.live:
                return self._expectations(given, differentiate)
        if self.structure.by_paths:
            refuse_paths(self, given, differentiate)
        elif self.structure.noisy:
            return MixedRun(self, given, differentiate).results()
        return _Run(self, given, differentiate).results()

    def _expectations(self, given: Any, differentiate: bool) -> tuple[list[Array], Callable[..., Any] | None]:
        """As `_Run`, for the most frequent list of measurements, in which every step is what the model gives."""
        model = self.structure.values(given.pattern)
        if self.method == "adjoint" and not self.structure.noisy:
            values, pull = _evaluate(model, given, differentiate)
        else:
            values, pull = model.forward(given.weights, given.inputs, method=self.method, _keep=differentiate)

        def pullback(cotangents: Sequence[Array]) -> Any:
            whole = not given.shape or given.batched and all(c.shape == given.shape for c in cotangents)
            rows = cotangents if whole and len(given.shape) < 2 else [given.gather(c, 0) for c in cotangents]
            return given.gradients(pull(np.array(rows).T))

        outputs: Any = list(values)
        if given.shape:
            rows = np.ascontiguousarray(values.T)
            outputs = rows if len(given.shape) == 1 and given.batched else [given.spread(v) for v in rows]
        return outputs, pullback if differentiate else None

    def second(
        self, arrays: Sequence[Array], cotangents: Sequence[Array], along: Sequence[Array]
    ) -> tuple[list[Array], list[Array]]:
        """See `interfaces.second`."""
        if self.structure.noisy:
            raise NotDifferentiableError(NOISY_SECOND)
        return second(self, self._arguments(arrays), self._arguments(along), cotangents)

    def _arguments(self, arrays: Sequence[Array]) -> Any:
        return Arguments(arrays, self.axes, self._batch, self._has_initial)

    @property
    def is_real(self) -> bool:
        """Whether all outputs are real: no states."""
        return all(kind.kind != "c" for _, kind in self.own)

    def finish(self, measurements: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """One result for each measurement, from the outputs as tensors of any framework."""
        return finish(measurements, self.plan.steps, outputs, self._labels, self.structure.noisy)

    # steps that need the state

    def sparse_matrix(self, mp: Any) -> Any:
        """Of an observable, on all wires."""
        return mp.obs.sparse_matrix(wire_order=Wires(self._labels))

    def sparse_moment(self, mp: Any, states: Array) -> tuple[Array, Callable[[Array], Array]]:
        """<M>, or <M^2> - <M>^2, of an observable known only as a sparse matrix, and its bra for a cotangent."""
        matrix = self.sparse_matrix(mp)
        image = (matrix @ np.atleast_2d(states).T).T.reshape(states.shape)
        mean = np.einsum("...i,...i->...", states.conj(), image).real
        if not isinstance(mp, mps.VarianceMP):
            return mean, lambda c: c[..., None] * image
        second = (matrix @ np.atleast_2d(image).T).T.reshape(states.shape)
        moment = np.einsum("...i,...i->...", image.conj(), image).real - mean**2
        return moment, lambda c: c[..., None] * (second - 2 * mean[..., None] * image)


def _evaluate(model: Model, given: Any, differentiate: bool) -> tuple[Array, Any]:
    """As `model.forward`, of arguments that need no second look."""
    inputs = NONE if given.inputs is None else np.array(given.inputs, dtype=np.float64, order="C")
    values, pull = adjoint.evaluate(model._lowered, model._ready().plan, given.weights, inputs, differentiate)
    if given.inputs is not None:
        return values, lambda c: Gradients(*pull(c))

    def pull_one(cotangents: Array) -> Gradients:
        to_weights, to_inputs = pull(cotangents.reshape(1, -1))
        return Gradients(to_weights, to_inputs[0])

    return values[0], pull_one


class _Run:
    """One call: what was computed on the way forward, for the way back."""

    def __init__(self, exact: Exact, given: Any, differentiate: bool) -> None:
        self.exact, self.given, self.differentiate = exact, given, differentiate
        self.values: Any = None
        self.pull: Any = None
        self.states: dict[int, Array] = {}
        self.pulls: dict[int, Any] = {}
        self.bras: dict[int, Callable[[Array], Array]] = {}  # of steps: cotangent -> bra

    def results(self) -> tuple[list[Array], Callable[..., Any] | None]:
        plan, given = self.exact.plan, self.given
        if plan.observables:
            model = self.exact.structure.values(given.pattern)
            self.values, self.pull = model.forward(
                given.weights, given.inputs, method=self.exact.method, initial=given.initial, _keep=self.differentiate
            )
        steps = list(zip(plan.steps, self.exact.measurements, strict=True))
        out = [given.spread(self._output(k, step, mp)) for k, (step, mp) in enumerate(steps)]
        return out, self.pullback if self.differentiate else None

    def _output(self, k: int, step: Step, mp: Any) -> Array:
        if step.how == "expval" or step.how == "terms":
            return np.asarray(self.values[..., step.where])
        if step.how == "variance":
            mean, second = (self.values[..., i] for i in step.where)
            return np.asarray(np.maximum(0.0, second - mean**2))
        if step.how == "probabilities":
            return self._probabilities(k, step.where)
        basis = 0 if step.where is None else step.where
        states = self._state(self.exact.plan.bases.index(None) if step.how == "sparse" else basis)
        if step.how == "sparse":
            states, self.bras[k] = self.exact.sparse_moment(mp, states)
        return states

    def _state(self, basis: int) -> Array:
        if basis not in self.states:
            model, g = self.exact.structure.rotated(self.given.pattern, basis), self.given
            if self.differentiate:
                self.states[basis], self.pulls[basis] = model.forward_state(g.weights, g.inputs, initial=g.initial)
            else:
                self.states[basis] = model.state(g.weights, g.inputs, initial=g.initial)
        return self.states[basis]

    def _probabilities(self, k: int, wires: tuple[int, ...]) -> Array:
        basis, structure = self.exact.plan.bases.index(None), self.exact.structure
        if not self.differentiate and basis not in self.states and self.given.initial is None:
            model = structure.rotated(self.given.pattern, basis)
            return np.asarray(model.probabilities(self.given.weights, self.given.inputs, wires))
        states = self._state(basis)
        outcomes = structure.outcomes(wires)
        self.bras[k] = lambda c: c[..., outcomes] * states
        weights = (states.real**2 + states.imag**2).reshape(-1, states.shape[-1])
        sums = [np.bincount(outcomes, row, 1 << len(wires)) for row in weights]
        return np.array(sums).reshape(*states.shape[:-1], -1)

    # back

    def pullback(self, cotangents: Sequence[Array]) -> list[Array]:
        """Gradients of the arguments."""
        plan, given = self.exact.plan, self.given
        to_values = None if self.values is None else np.zeros(self.values.shape)
        to_states: dict[int, Array] = {}
        for k, (step, c) in enumerate(zip(plan.steps, cotangents, strict=True)):
            own = len(self.exact.own[k][0])
            rows = given.gather(c, own)
            if step.how in ("expval", "terms"):
                assert to_values is not None
                to_values[..., step.where] += rows
            elif step.how == "variance":
                assert to_values is not None
                first, second = step.where
                to_values[..., second] += rows
                to_values[..., first] -= 2 * rows * self.values[..., first]
            else:
                native = k in self.bras
                basis = plan.bases.index(None) if native else step.where
                bra = self.bras[k](rows) if native else rows / 2
                to_states[basis] = to_states[basis] + bra if basis in to_states else bra
        return list(given.gradients(self._sweep(to_values, to_states)))

    def _sweep(self, to_values: Array | None, to_states: dict[int, Array]) -> Gradients:
        """One sweep where it can be, one more for each rotated basis."""
        want = self.given.initial is not None
        extra: dict[str, Any] = {"to_initial": True} if want else {}
        found: list[Gradients] = []
        plain = self.exact.plan.bases.index(None) if None in self.exact.plan.bases else None
        if to_values is not None:
            bras = to_states.pop(plain, None) if plain is not None else None
            if bras is not None:
                extra = {**extra, "bras": bras}
            found.append(self.pull(to_values, **extra))
        for basis, bras in to_states.items():
            found.append(self.pulls[basis](bras, to_initial=want))
        total = found[0]
        for g in found[1:]:
            start = None if total.initial is None else total.initial + g.initial
            total = Gradients(total.weights + g.weights, total.inputs + g.inputs, start)
        return total
