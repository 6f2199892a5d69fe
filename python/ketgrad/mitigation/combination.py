"""`Mitigated`: several models of the same weights and inputs, combined into one that is called like any other.

Owns: which circuits run, how their values become mitigated ones, and the way back of the gradients. May not know: what
the circuits are, and why they are combined.

Shapes: P weights, B samples of F inputs, M observables, K circuits with N values each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from ..arguments import output_cotangents, parameters
from ..circuit import Circuit
from ..errors import ArgumentError, CheckpointError, NotDifferentiableError
from ..model import Gradients, Jacobian
from ..pauli import PauliSum
from ..simulator import Seed, check_shots, generator
from ..unshared import weights_as_inputs
from .cost import Cost, split_shots
from .member import Member, Run

Array = npt.NDArray[np.float64]
_NO_FILE = (
    "a mitigated model is several circuits, and no file describes it; save its circuit, as in "
    "kg.compile(model.circuit, model.observables).save(path)"
)
Back = Callable[[Array], Array]  # cotangents (B, M) of mitigated values -> (B, K, N) of the circuits' values


class Combine(Protocol):
    """How the circuits' values (B, K, N) become mitigated ones (B, M), with the pullback."""

    @property
    def coefficients(self) -> Array | None:
        """(K,), where the mitigated values are this combination of the circuits' values; None where they are not."""

    def __call__(self, values: Array) -> tuple[Array, Back]:
        """Mitigated values, and the pullback of cotangents."""


class Linear:
    """The sum of coefficients (K,) times values."""

    def __init__(self, coefficients: npt.ArrayLike) -> None:
        self.coefficients: Array = np.array(coefficients, dtype=np.float64)

    def __call__(self, values: Array) -> tuple[Array, Back]:
        """See `Combine`."""
        return np.einsum("k,bkn->bn", self.coefficients, values), self._back

    def _back(self, cotangents: Array) -> Array:
        return self.coefficients[:, None] * cotangents[:, None, :]


class Mitigated:
    """A mitigated model; made by `zne`, `pec`, `cdr`, `twirled`, `verified` and `readout_mitigated`.

    It is called, differentiated and trained like a `Model`. Its gradients are exact: those of its circuits, combined as
    the values are. Picklable.

    Args:
        circuit: the circuit that was meant, with its weights and inputs.
        observables: the M observables that the values are of.
        members: the circuits that run, K in all.
        combine: their values into mitigated ones.
        name: of the method, for `repr`.
    """

    scales: Array | None = None  # of `zne`: how much stronger the noise is in each circuit
    growth = 1.0  # of `readout_mitigated`: by how much the coefficients of its observables grow
    gamma: float | None = None  # of `pec`: the one-norm of the whole quasi-probability

    def __init__(
        self,
        circuit: Circuit,
        observables: Sequence[PauliSum],
        members: Sequence[Member],
        combine: Combine,
        name: str = "mitigated",
    ) -> None:
        self.circuit, self.observables = circuit, tuple(observables)
        self.members, self.combine, self.name = tuple(members), combine, name
        self._unshared: Mitigated | None = None

    @property
    def n_weights(self) -> int:
        """P."""
        return self.circuit.n_weights

    @property
    def n_inputs(self) -> int:
        """F."""
        return self.circuit.n_inputs

    @property
    def n_circuits(self) -> int:
        """K, how many circuits run for one value."""
        return sum(m.size for m in self.members)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the states."""
        found: np.dtype[Any] = self.members[0].model.dtype
        return found

    @property
    def backend(self) -> str:
        """The backend that runs it: "native" or "numba"."""
        return str(self.members[0].model.backend)

    @property
    def coefficients(self) -> Array | None:
        """(K,), where the values are this combination of the circuits' values; None where they are not."""
        return self.combine.coefficients

    def __call__(
        self, weights: Any = None, inputs: Any = None, *, shots: int | None = None, seed: Seed = None
    ) -> Array:
        """Mitigated values, (M,) or (B, M); see `forward`."""
        return self.forward(weights, inputs, shots=shots, seed=seed, _keep=False)[0]

    def forward(
        self,
        weights: Any = None,
        inputs: Any = None,
        *,
        method: str = "best",
        shots: int | None = None,
        seed: Seed = None,
        _keep: bool = True,
    ) -> tuple[Array, Callable[[Any], Gradients]]:
        """Mitigated values, and the pullback that turns cotangents of them into `Gradients`.

        Args:
            method: how the circuits are differentiated; see `Model.forward`.
            shots: measurements of each setting, of all K circuits together; shared out in proportion to the
                coefficients' sizes where there are some, evenly else, at least one for each. None is exact.
            seed: of the shots: an int or a numpy Generator.

        Raises:
            ArgumentError: fewer shots than circuits.
        """
        w, x, batched = parameters(weights, inputs, self.n_weights, self.n_inputs)
        given = np.shape(weights) or (self.n_weights,)
        if _keep:
            w, x = w.copy(), x.copy()
        run = self._run(shots, seed, method, _keep)
        parts, pulls = zip(*(m.forward(w, x, run) for m in self.members), strict=True)
        values, back = self.combine(np.concatenate(parts, axis=1))

        def pullback(cotangents: Any) -> Gradients:
            c = back(output_cotangents(cotangents, len(x), batched, len(self.observables)))
            found = [pull(part) for pull, part in zip(pulls, self._parted(c, 1), strict=True)]
            grad_w, grad_x = (np.sum([f[k] for f in found], axis=0) for k in (0, 1))
            return Gradients(grad_w.reshape(given), grad_x if batched else grad_x[0])

        return values if batched else values[0], pullback

    def estimate(
        self, weights: Any = None, inputs: Any = None, *, shots: int, seed: Seed = None
    ) -> tuple[Array, Array]:
        """Mitigated values from shots, and the variances of these estimates.

        The variances are those of the circuits times the squares of the slopes; that values of one circuit from the
        same shots vary together is left out.
        """
        w, x, batched = parameters(weights, inputs, self.n_weights, self.n_inputs)
        run = self._run(shots, seed)
        parts = [m.estimate(w, x, run) for m in self.members]
        mean, variance = (np.concatenate([p[k] for p in parts], axis=1) for k in (0, 1))
        values, back = self._for_errors(mean)
        spread = np.einsum("bmkn,bkn->bm", self._slopes(back, len(x)) ** 2, variance)
        return (values, spread) if batched else (values[0], spread[0])

    def with_standard_errors(self, weights: Any = None, inputs: Any = None) -> tuple[Array, Array]:
        """Mitigated values, and bounds of the standard errors that trajectories leave them, each (M,) or (B, M).

        The circuits' errors are added with the sizes of the slopes, for their paths have a seed in common and may not
        be independent. 0 by density matrices.
        """
        w, x, batched = parameters(weights, inputs, self.n_weights, self.n_inputs)
        parts = [m.standard_errors(w, x) for m in self.members]
        found, errors = (np.concatenate([p[k] for p in parts], axis=1) for k in (0, 1))
        values, back = self._for_errors(found)
        spread = np.einsum("bmkn,bkn->bm", np.abs(self._slopes(back, len(x))), errors)
        return (values, spread) if batched else (values[0], spread[0])

    def jacobian(self, weights: Any = None, inputs: Any = None) -> Jacobian:
        """Derivatives of every value by every weight (.., M, P) and input (.., M, F), exact."""
        w, x, batched = parameters(weights, inputs, self.n_weights, self.n_inputs)
        slopes = self._parted(self._slopes(self._combined(w, x)[1], len(x)), 2)
        found = [m.jacobian(w, x, s) for m, s in zip(self.members, slopes, strict=True)]
        grad_w, grad_x = (np.sum([f[k] for f in found], axis=0) for k in (0, 1))
        return Jacobian(grad_w, grad_x) if batched else Jacobian(grad_w[0], grad_x[0])

    def tangents(self, weights: Any, inputs: Any, along_weights: Any, along_inputs: Any) -> Array:
        """How the values change when weights and inputs move: Jacobian times direction, (M,) or (B, M)."""
        jac, batched = self.jacobian(weights, inputs), np.ndim(inputs) == 2
        dw, dx, _ = parameters(along_weights, along_inputs, self.n_weights, self.n_inputs)
        by_inputs = np.einsum("...mf,...f->...m", jac.inputs, dx if batched else dx[0])
        return np.asarray(np.einsum("...mp,p->...m", jac.weights, dw) + by_inputs)

    def gradient_change(
        self, weights: Any, inputs: Any, along_weights: Any, along_inputs: Any, *, cotangents: Any
    ) -> Gradients:
        """How `Gradients` change when weights and inputs move: a Hessian times a direction.

        Raises:
            NotDifferentiableError: the values are no fixed combination of the circuits' values.
        """
        if self.coefficients is None:
            raise NotDifferentiableError(
                f"{self.name}: there are no second derivatives of what is no fixed combination"
            )
        w, x, batched = parameters(weights, inputs, self.n_weights, self.n_inputs)
        dw, dx, _ = parameters(along_weights, along_inputs, self.n_weights, self.n_inputs)
        c = output_cotangents(cotangents, len(x), batched, len(self.observables))
        each = self.coefficients[:, None] * c[:, None, :]
        parts = zip(self.members, self._parted(each, 1), strict=True)
        found = [m.gradient_change(w, x, dw, dx, part) for m, part in parts]
        grad_w, grad_x = (np.sum([f[k] for f in found], axis=0) for k in (0, 1))
        return Gradients(grad_w.reshape(np.shape(weights) or (len(w),)), grad_x if batched else grad_x[0])

    def weights_as_inputs(self) -> Mitigated:
        """The same model without weights, with P + F inputs: weights first."""
        if self._unshared is None:
            members = [m.weights_as_inputs() for m in self.members]
            circuit = weights_as_inputs(self.circuit)
            self._unshared = Mitigated(circuit, self.observables, members, self.combine, self.name)
            self._unshared.scales, self._unshared.gamma, self._unshared.growth = self.scales, self.gamma, self.growth
        return self._unshared

    def circuit_values(self, weights: Any = None, inputs: Any = None) -> Array:
        """Values of all circuits before they are combined, (K, N) or (B, K, N)."""
        w, x, batched = parameters(weights, inputs, self.n_weights, self.n_inputs)
        values = np.concatenate([m.forward(w, x, Run(keep=False))[0] for m in self.members], axis=1)
        return values if batched else values[0]

    def cost(self, weights: Any = None, inputs: Any = None) -> Cost:
        """What mitigation costs in shots. Where it is not a fixed combination, at this point (no batch of inputs)."""
        if self.coefficients is not None:
            return Cost((self.growth * self.coefficients * self._inside)[self._measured])
        w, x, batched = parameters(weights, inputs, self.n_weights, self.n_inputs)
        if batched:
            raise ArgumentError("cost: the slopes are those of one sample, got a batch; give inputs of shape (F,)")
        slopes = self._slopes(self._combined(w, x)[1], 1)[0]
        return Cost(np.sqrt((slopes**2).sum(axis=2)).max(axis=0)[self._measured])

    def report(self, weights: Any = None, inputs: Any = None) -> str:
        """The method and its cost, in words."""
        return f"{self.name}: {self.cost(weights, inputs)}"

    @property
    def options(self) -> NoReturn:
        """What a file would have to hold beside circuit and observables; see `Model.options`.

        Raises:
            CheckpointError: always: it would be the noise and all circuits.
        """
        raise CheckpointError(_NO_FILE)

    def save(self, path: Any, weights: Any = None) -> NoReturn:
        """There is no file of a mitigated model.

        Raises:
            CheckpointError: always; it says what to save instead.
        """
        raise CheckpointError(_NO_FILE)

    def __repr__(self) -> str:
        return (
            f"Mitigated({self.name}, {self.n_circuits} circuits, {self.circuit.n_wires} wires, "
            f"{self.n_weights} weights, {self.n_inputs} inputs, {len(self.observables)} observables, "
            f"{self.dtype}, {self.backend})"
        )

    # inside

    def _for_errors(self, values: Array) -> tuple[Array, Back]:
        """As `combine`, with the slopes that errors of the circuits' values have."""
        found: tuple[Array, Back] = getattr(self.combine, "whole", self.combine)(values)
        return found

    def _combined(self, w: Array, x: Array) -> tuple[Array, Back]:
        return self.combine(np.concatenate([m.forward(w, x, Run(keep=False))[0] for m in self.members], axis=1))

    def _run(self, shots: int | None, seed: Seed, method: str = "best", keep: bool | None = None) -> Run:
        if shots is None:
            return Run(method, keep=keep)
        weights = np.ones(self.n_circuits) if self.coefficients is None else self.coefficients
        return Run(method, split_shots(check_shots(shots), weights[self._measured]), generator(seed), keep)

    @property
    def _inside(self) -> Array:
        """(K,) one-norms of the circuits that are combinations themselves."""
        inner = [getattr(m.model, "coefficients", None) is not None for m in self.members]
        norms = [m.model.cost().one_norm if i else 1.0 for m, i in zip(self.members, inner, strict=True)]
        return np.repeat(norms, [m.size for m in self.members])

    @property
    def _measured(self) -> npt.NDArray[np.bool_]:
        """(K,) which circuits shots are spent on."""
        return np.repeat([not m.exact for m in self.members], [m.size for m in self.members])

    def _slopes(self, back: Back, batch: int) -> Array:
        """Derivatives (B, M, K, N) of mitigated values by the circuits' values."""
        eye = np.eye(len(self.observables))
        return np.stack([back(np.broadcast_to(e, (batch, len(e)))) for e in eye], axis=1)

    def _parted(self, whole: Array, axis: int) -> list[Array]:
        return np.split(whole, np.cumsum([m.size for m in self.members])[:-1], axis=axis)
