"""Second derivatives of a tape's measurements: how outputs and gradients change when its tensors move.

Owns: the chain rule from `Model.tangents` and `Model.gradient_change` to every step of an `ExactPlan`. May not know:
frameworks, configurations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pennylane import measurements as mps

from ..errors import NotDifferentiableError
from ..interfaces import SECOND
from ..model import Gradients, Model

Array = npt.NDArray[Any]


class SecondOrder:
    """Derivatives along one direction.

    Args:
        exact: the measurements, an `Exact`.
        given, along: its arguments, and the direction as arguments.

    Raises:
        NotDifferentiableError: an initial state.
    """

    def __init__(self, exact: Any, given: Any, along: Any) -> None:
        if given.initial is not None:
            raise NotDifferentiableError(SECOND + "; the amplitudes of the state it starts from have none")
        self._exact, self._given = exact, given
        along_inputs = None if given.inputs is None else along.inputs
        self._point = (given.weights, given.inputs)
        self._motion = (*self._point, along.weights, along_inputs)
        plan = exact.plan
        self._model: Model = exact.structure.values(given.pattern)
        self._values = self._model(*self._point) if plan.observables else None
        self._moved = self._model.tangents(*self._motion) if plan.observables else None
        self._states: dict[int, tuple[Array, Array]] = {}

    def tangents(self) -> list[Array]:
        """How each output changes."""
        steps = zip(self._exact.plan.steps, self._exact.measurements, strict=True)
        return [self._given.spread(self._tangent(step, mp)) for step, mp in steps]

    def _tangent(self, step: Any, mp: Any) -> Array:
        values, moved = self._values, self._moved
        if step.how in ("expval", "terms"):
            assert moved is not None
            return np.asarray(moved[..., step.where])
        if step.how == "variance":
            assert values is not None and moved is not None
            first, second = step.where
            return np.asarray(moved[..., second] - 2 * values[..., first] * moved[..., first])
        states, change = self._state(self._basis(step))
        if step.how == "probabilities":
            outcomes = self._exact.structure.outcomes(step.where)
            rates = 2 * (states.conj() * change).real.reshape(-1, states.shape[-1])
            sums = [np.bincount(outcomes, row, 1 << len(step.where)) for row in rates]
            return np.array(sums).reshape(*states.shape[:-1], -1)
        if step.how == "sparse":
            bra = self._exact.sparse_moment(mp, states)[1](np.ones(states.shape[:-1]))
            return np.asarray(2 * (bra.conj() * change).real.sum(axis=-1))
        return change

    def _basis(self, step: Any) -> int:
        plain = step.where is None or step.how in ("probabilities", "sparse")
        return int(self._exact.plan.bases.index(None) if plain else step.where)

    def _state(self, basis: int) -> tuple[Array, Array]:
        if basis not in self._states:
            model = self._exact.structure.rotated(self._given.pattern, basis)
            self._states[basis] = model.state(*self._point), model.state_tangents(*self._motion)
        return self._states[basis]

    def gradient_changes(self, cotangents: Sequence[Array]) -> list[Array]:
        """How the gradient of each argument changes, for fixed cotangents."""
        exact, given = self._exact, self._given
        still = None if self._values is None else np.zeros(self._values.shape)
        moving = None if self._values is None else np.zeros(self._values.shape)
        found: list[Gradients] = []
        for k, (step, mp, c) in enumerate(zip(exact.plan.steps, exact.measurements, cotangents, strict=True)):
            rows = given.gather(np.asarray(c), len(exact.own[k][0]))
            if step.how in ("expval", "terms"):
                assert still is not None
                still[..., step.where] += rows
            elif step.how == "variance":
                assert still is not None and moving is not None and self._values is not None
                assert self._moved is not None
                first, second = step.where
                still[..., second] += rows
                still[..., first] -= 2 * rows * self._values[..., first]
                moving[..., first] -= 2 * rows * self._moved[..., first]
            else:
                model = exact.structure.rotated(given.pattern, self._basis(step))
                found.append(model.gradient_change(*self._motion, bras=self._bras(step, mp, rows)))
        if still is not None and moving is not None:
            found.append(self._model.gradient_change(*self._motion, cotangents=still))
            if moving.any():
                found.append(self._model.forward(*self._point)[1](moving))
        weights, inputs = np.sum([g.weights for g in found], axis=0), np.sum([g.inputs for g in found], axis=0)
        return list(given.gradients(Gradients(weights, inputs)))

    def _bras(self, step: Any, mp: Any, rows: Array) -> Array | Callable[[Array, Array], Array]:
        """Cotangents of the state: an array where the output is linear in it, else a function of it."""
        if step.how == "probabilities":
            factors = np.atleast_2d(rows)[:, self._exact.structure.outcomes(step.where)]
            return lambda states, samples: factors[samples] * states
        if step.how == "sparse":
            if isinstance(mp, mps.VarianceMP):
                raise NotDifferentiableError(SECOND + "; the variance of a sparse matrix has none")
            each = np.atleast_1d(rows)
            return lambda states, samples: np.asarray(self._exact.sparse_moment(mp, states)[1](each[samples]))
        return rows / 2


def second(exact: Any, given: Any, along: Any, cotangents: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    """See `interfaces.second`."""
    order = SecondOrder(exact, given, along)
    return order.tangents(), order.gradient_changes(cotangents)
