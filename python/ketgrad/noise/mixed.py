"""`Mixed`: the final density matrices of one call, and the one sweep back from whatever is computed from them.

Owns: from cotangents of density matrices and of values to gradients of weights, inputs, initial states and strengths.
May not know: circuits, what is computed from the matrices.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..backends.contract import Array, States
from ..gradients import adjoint
from ..lowering import Lowered
from ..model import Gradients
from .density import DensityPlan
from .strengths import Derivatives, rows_at_once, swept


class Mixed:
    """Final density matrices, kept for the way back; made by `NoisyModel.forward_density`.

    Args:
        lowered, plan: of the model; every channel of `derivatives` is cut out of the plan.
        weights, inputs: (P,) and (B, F).
        initial: (B, 2^n) or (1, 2^n) states it starts from, or None for |0...0>.
        derivatives: gives those of the superoperators by the S strengths, as for `strengths.swept`.

    Attributes:
        matrices: (B, 2^n, 2^n).
        values: (B, M).
    """

    def __init__(
        self,
        lowered: Lowered,
        plan: DensityPlan,
        weights: Array,
        inputs: Array,
        initial: States | None,
        derivatives: Callable[[], Derivatives],
        n_strengths: int,
    ) -> None:
        self._lowered, self._plan, self._weights, self._inputs = lowered, plan, weights, inputs
        self._initial, self._derivatives, self._n_strengths = initial, derivatives, n_strengths
        self._slots = lowered.stage.evaluate(weights, inputs)
        self.matrices = plan.matrices(*self._slots, initial)
        self.values = adjoint.values(lowered, plan.terms(self.matrices))

    def pull(self, cotangents: Array | None, bras: States | None, to_initial: bool = False) -> tuple[Gradients, Array]:
        """Gradients of weights (P,), inputs (B, F) and, if wanted, initial states, and of the strengths (B, S).

        Args:
            cotangents: of the values, (B, M), or None.
            bras: of the matrices, (B, 2^n, 2^n), or None: for a real function L of them (dL/d Re + i dL/d Im) / 2,
                every entry a variable of its own.
        """
        shared, per_sample = self._slots
        batch = len(per_sample)
        size = self.matrices.shape[-1]
        to_shared, to_samples = np.zeros((1, len(shared))), np.zeros((1, *per_sample.shape))
        to_strengths = np.zeros((batch, self._n_strengths))
        to_start = np.zeros((batch, size), self._plan.dtype) if to_initial else None
        step, derivatives = rows_at_once(self._plan, batch, 1), self._derivatives()
        for begin in range(0, batch, step):
            rows = slice(begin, min(begin + step, batch))
            ends = np.zeros((1, rows.stop - begin, size * size), self._plan.dtype)
            if cotangents is not None:
                ends += self._plan.bras(adjoint.to_terms(self._lowered, cotangents[rows])[None])
            if bras is not None:
                ends += bras[rows].reshape(1, rows.stop - begin, -1)
            start = self._plan.first(self._initial, rows)
            found = swept(self._plan, shared, per_sample[rows], start, ends, derivatives, self._n_strengths)
            to_shared += found.shared
            to_samples[:, rows] = found.per_sample
            to_strengths[rows] = found.strengths[0]
            if to_start is not None:
                to_start[rows] = self._plan.to_vectors(found.bras, self._initial, rows)[0]
        stage = self._lowered.stage
        grad_weights, grad_inputs = stage.pull(self._weights, self._inputs, to_shared, to_samples, each=False)
        if to_start is not None and self._initial is not None and len(self._initial) == 1:
            to_start = to_start.sum(axis=0)
        return Gradients(grad_weights[0], grad_inputs[0], to_start), to_strengths
