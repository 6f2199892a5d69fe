"""`Curved`: the part of a model beyond first derivatives: Hessians, the metric of its states, and their directions.

Owns: their shapes and chunks. May not know: how a model gets its values.

Shapes: P weights, B samples of F inputs, M observables. Without a batch (inputs of shape (F,), or a circuit without
inputs) results have no batch axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .arguments import States, output_cotangents
from .errors import ArgumentError
from .gradients.metric import fubini_study
from .gradients.results import Gradients
from .gradients.second_order import Direction, gradient_change
from .measured import Measured
from .memory import require_bytes
from .pauli import PauliSum

Array = npt.NDArray[np.float64]
CHUNK_ENTRIES = 1 << 22  # numbers of a Hessian's directions held at once


class Curved(Measured):
    """A measured circuit with second derivatives; see `ketgrad.Model`."""

    observables: tuple[PauliSum, ...]

    def weights_as_inputs(self) -> Curved:
        """The same model without weights, with P + F inputs."""
        raise NotImplementedError  # Model makes it: nothing below knows how to compile another circuit

    def hessian(self, weights: Any = None, inputs: Any = None, *, cotangents: Any = None) -> Array:
        """Second derivatives of sum(cotangents * values) by the weights, (P, P), exact.

        All rows are one batch of adjoint sweeps at shifted angles: two for each rotation and sample. A Hessian times a
        direction is `gradient_change`, which costs as much as the rotations that the direction moves.

        Args:
            weights: P numbers, any shape; rows and columns are in their flat order.
            inputs: (F,) or (B, F); samples are summed over, as in the pullback.
            cotangents: of the values, as for the pullback of `forward`; default all 1.

        Example:
            >>> model.hessian(weights)  # of the energy, where the one observable is a Hamiltonian

        Raises:
            ParameterError: other shapes.
            OutOfMemoryError: the matrix does not fit.
        """
        w, x, batched = self._arguments(weights, inputs)
        batch, m, p = len(x), len(self.observables), self._n_weights
        c = np.ones((batch, m)) if cotangents is None else output_cotangents(cotangents, batch, batched, m)
        require_bytes(16 * p * p, f"a Hessian of {p} weights")
        free, out = self.weights_as_inputs(), np.zeros((p, p))
        points = np.concatenate([np.broadcast_to(w, (batch, p)), x], axis=1)
        size = points.shape[1]
        step = max(1, CHUNK_ENTRIES // max(1, size))
        for start in range(0, batch * p, step):
            sample, weight = np.divmod(np.arange(start, min(start + step, batch * p)), max(1, p))
            along = np.zeros((len(sample), size))
            along[np.arange(len(sample)), weight] = 1.0
            rows = free.gradient_change(None, points[sample], None, along, cotangents=c[sample]).inputs
            np.add.at(out, weight, rows[:, :p])
        return (out + out.T) / 2

    def metric_tensor(self, weights: Any = None, inputs: Any = None, *, approx: str | None = None) -> Array:
        """The Fubini-Study metric of the states by the weights, (P, P) or (B, P, P), exact.

        g_ij = Re(<d_i psi|d_j psi> - <d_i psi|psi><psi|d_j psi>), with the states' tangents from one batch of circuits
        and one product. The quantum Fisher information is 4 g. Observables have no part in it.

        Args:
            weights: P numbers, any shape; rows and columns are in their flat order.
            inputs: (F,) or (B, F).
            approx: "diag" leaves everything off the diagonal 0, and saves the product.

        Raises:
            ArgumentError: another `approx`.
            OutOfMemoryError: the matrix, or a handful of states, does not fit.
        """
        w, x, batched = self._arguments(weights, inputs)
        if approx not in (None, "diag"):
            raise ArgumentError(
                f"approx must be None or 'diag', got {approx!r}; blocks save nothing here: the whole tensor is exact"
            )
        p = self._n_weights
        require_bytes(8 * len(x) * p * p, f"the metric of {p} weights for {len(x)} samples")
        free = self.weights_as_inputs()
        points = np.concatenate([np.broadcast_to(w, (len(x), p)), x], axis=1)
        out = fubini_study(
            lambda rows: free.state(None, rows),
            lambda rows, along: free.state_tangents(None, rows, None, along),
            points,
            p,
            self.circuit.n_wires,
            self.dtype.itemsize,
            approx == "diag",
        )
        return out if batched else out[0]

    def state_tangents(self, weights: Any, inputs: Any, along_weights: Any, along_inputs: Any) -> States:
        """How the final states change when weights and inputs move, (2^n,) or (B, 2^n)."""
        w, x, batched = self._arguments(weights, inputs)
        dw, dx, _ = self._arguments(along_weights, along_inputs)
        engines = self._ready()
        direction = Direction(engines.state_shifts, self._lowered.stage, w, x, dw, dx)
        states = direction.states(engines.free_plan)
        return states if batched else states[0]

    def gradient_change(
        self,
        weights: Any,
        inputs: Any,
        along_weights: Any,
        along_inputs: Any,
        *,
        cotangents: Any = None,
        bras: Any = None,
    ) -> Gradients:
        """How `Gradients` change when weights and inputs move: a Hessian times a direction, in one batch of sweeps.

        Args:
            along_weights, along_inputs: the direction, in the shapes of weights and inputs.
            cotangents: of the values, as for the pullback of `forward`.
            bras: cotangents of the final states: an array of their shape, which stays as it is, or a function of states
                (rows, 2^n) and of the samples (rows,) they belong to.
        """
        w, x, batched = self._arguments(weights, inputs)
        dw, dx, _ = self._arguments(along_weights, along_inputs)
        m = len(self.observables)
        c = np.zeros((len(x), m)) if cotangents is None else output_cotangents(cotangents, len(x), batched, m)
        engines, stage, given = self._ready(), self._lowered.stage, np.shape(weights) or (self._n_weights,)
        total = (np.zeros(self._n_weights), np.zeros(x.shape))
        parts: list[tuple[Any, Any, Any]] = [(engines.shifts, c, bras if callable(bras) else None)]
        if bras is not None and not callable(bras):  # linear in the state: another rule
            parts.append((engines.state_shifts, np.zeros_like(c), np.asarray(bras, self.dtype).reshape(len(x), -1)))
        for shifts, values, ends in parts:
            if ends is None and not values.any():
                continue
            direction = Direction(shifts, stage, w, x, dw, dx)
            slots = stage.evaluate(w, x)
            found = gradient_change(self._lowered, engines.plan, engines.free_plan, direction, slots, values, ends)
            total = (total[0] + found[0], total[1] + found[1])
        return Gradients(total[0].reshape(given), total[1] if batched else total[1][0])
