"""`Member`: circuits that one model runs for a mitigated one, and how they are run.

Owns: what a model is given for each of its circuits, and the way back. May not know: how values are combined.

Shapes: P weights, B samples of F inputs, R circuits with N values each, whose E last inputs say which they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def _flat(array: Array) -> Array:
    """(B, R, n) -> (B R, n); n may be 0."""
    return array.reshape(array.shape[0] * array.shape[1], array.shape[2])


class Run:
    """How circuits are evaluated: exactly, or each with its shots (those of all measured circuits, in order)."""

    def __init__(
        self,
        method: str = "best",
        shots: npt.NDArray[np.int64] | None = None,
        rng: np.random.Generator | None = None,
        keep: bool | None = None,
    ) -> None:
        self.method, self.shots, self.rng, self.keep = method, shots, rng, keep
        self._start = 0

    def groups(self, member: Member) -> list[tuple[npt.NDArray[np.int64], int | None]]:
        """The circuits of the next member by their number of shots."""
        if self.shots is None or member.exact:
            return [(np.arange(member.size), None)]
        own = self.shots[self._start : self._start + member.size]
        self._start += member.size
        return [(np.flatnonzero(own == s), int(s)) for s in np.unique(own)]


class Member:
    """Circuits that one model runs: one for each row of values of its last inputs.

    Args:
        model: a `Model`, a noisy one or a mitigated one.
        rows: (R, E) numbers for the model's last E inputs; default one circuit without inputs of its own.
        exact: the circuits are computed, not measured: they have no part in shots.
    """

    def __init__(self, model: Any, rows: npt.ArrayLike | None = None, exact: bool = False) -> None:
        self.model, self.exact = model, exact
        self.rows: Array = np.zeros((1, 0)) if rows is None else np.array(rows, dtype=np.float64)

    @property
    def size(self) -> int:
        """R, the number of circuits."""
        return len(self.rows)

    def weights_as_inputs(self) -> Member:
        """The same for weights that come before the inputs."""
        return Member(self.model.weights_as_inputs(), self.rows, self.exact)

    def expand(self, w: Array, x: Array) -> tuple[Array, Array]:
        """What the model is given: weights, and inputs (B, R, F + E)."""
        shape = len(x), len(self.rows)
        parts = (x[:, None], self.rows[None])
        return w, np.concatenate([np.broadcast_to(p, (*shape, p.shape[-1])) for p in parts], axis=2)

    def collect(self, w: Array, x: Array, gradient: Array) -> tuple[Array, Array]:
        """From gradients (B, S, R, F + E) by the model's inputs those by weights (B, S, P) and inputs (B, S, F)."""
        return np.zeros((1, 1, 1)), gradient[..., : x.shape[1]].sum(axis=2)

    def forward(self, w: Array, x: Array, run: Run) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
        """Values (B, R, N), and the pullback of cotangents of them to gradients (P,) and (B, F)."""
        own, rows = self.expand(w, x)
        values: Array = np.zeros((*rows.shape[:2], len(self.model.observables)))
        pulls = []
        for some, shots in run.groups(self):
            keep = {} if run.keep is None else {"_keep": run.keep}
            flat = _flat(rows[:, some])
            method = "best" if self.exact else run.method
            found, pull = self.model.forward(own, flat, method=method, shots=shots, seed=run.rng, **keep)
            values[:, some] = found.reshape(len(x), len(some), -1)
            pulls.append((some, pull))

        def pullback(cotangents: Array) -> tuple[Array, Array]:
            by_weights, by_rows = np.zeros(len(w)), np.zeros(rows.shape)
            for some, pull in pulls:
                found = pull(_flat(cotangents[:, some]))
                by_weights[: len(own)] += np.ravel(found.weights)
                by_rows[:, some] = np.reshape(found.inputs, (len(x), len(some), -1))
            more, by_inputs = self.collect(w, x, by_rows[:, None])
            return by_weights + np.sum(more, axis=(0, 1)), by_inputs[:, 0]

        return values, pullback

    def standard_errors(self, w: Array, x: Array) -> tuple[Array, Array]:
        """Values (B, R, N), and the standard errors that trajectories leave them."""
        own, rows = self.expand(w, x)
        shape = (*rows.shape[:2], len(self.model.observables))
        method = getattr(self.model, "with_standard_errors", None)
        if method is None:
            return self.model(own, _flat(rows)).reshape(shape), np.zeros(shape)
        values, errors = method(own, _flat(rows))
        return values.reshape(shape), errors.reshape(shape)

    def estimate(self, w: Array, x: Array, run: Run) -> tuple[Array, Array]:
        """Values (B, R, N) from shots, and their variances."""
        own, rows = self.expand(w, x)
        mean: Array = np.zeros((*rows.shape[:2], len(self.model.observables)))
        variance = np.zeros_like(mean)
        for some, shots in run.groups(self):
            flat = _flat(rows[:, some])
            if shots is None:
                mean[:, some] = self.model(own, flat).reshape(len(x), len(some), -1)
                continue
            found = self.model.estimate(own, flat, shots=shots, seed=run.rng)
            for out, part in zip((mean, variance), found, strict=True):
                out[:, some] = part.reshape(len(x), len(some), -1)
        return mean, variance

    def jacobian(self, w: Array, x: Array, slopes: Array) -> tuple[Array, Array]:
        """Slopes (B, M, R, N) of the mitigated values times the Jacobian: (B, M, P) and (B, M, F)."""
        own, rows = self.expand(w, x)
        found = self.model.jacobian(own, _flat(rows))
        shape = (*slopes.shape[0::2], slopes.shape[3])
        by_weights = np.einsum("bmrn,brnp->bmp", slopes, np.reshape(found.weights, (*shape, len(own))))
        by_rows = np.einsum("bmrn,brnf->bmrf", slopes, np.reshape(found.inputs, (*shape, rows.shape[2])))
        more, by_inputs = self.collect(w, x, by_rows)
        return (by_weights + more if len(own) else np.broadcast_to(more, (*slopes.shape[:2], len(w)))), by_inputs

    def gradient_change(self, w: Array, x: Array, dw: Array, dx: Array, cotangents: Array) -> tuple[Array, Array]:
        """How gradients (P,) and (B, F) for cotangents (B, R, N) change when weights and inputs move."""
        own, rows = Member.expand(self, w, x)
        along = np.zeros(rows.shape)
        along[..., : x.shape[1]] = dx[:, None]
        flat, c = _flat(rows), _flat(cotangents)
        found = self.model.gradient_change(own, flat, dw, along.reshape(flat.shape), cotangents=c)
        by_rows = np.reshape(found.inputs, rows.shape)
        return np.ravel(found.weights), by_rows[..., : x.shape[1]].sum(axis=1)
