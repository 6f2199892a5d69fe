"""`ExactBranches`: the measurements of a tape with others on the way, as a differentiable function of its tensors.

Owns: from branches to results and back. May not know: frameworks, configurations, how branches come about.

Every result is made of sums over the branches, each with the weight that is the squared norm of its state, and of the
sum of all weights, which is less than one after postselection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane import measurements as mps

from ..memory import require_bytes
from .dynamic import Branches, DynamicTape, Run, Structures
from .exact import REAL, Exact
from .measurements import finish
from .values import indicators, is_recorded, outcomes

Array = npt.NDArray[Any]
STATES = ("state", "density")  # steps whose output is the state itself


class _Sum(NamedTuple):
    """Where a sum over the branches is found: a measurement of their states, or columns of the table of values."""

    of_states: bool
    where: Any


class ExactBranches:
    """A tape's measurements as a differentiable function of its tensors; see `interfaces.Differentiable`.

    Args:
        tape: the parts.
        measurements: of the tape.
        structures: finds models.
        dtype: of states.
        look: takes snapshots.
    """

    def __init__(
        self,
        tape: DynamicTape,
        measurements: Sequence[Any],
        structures: Structures,
        dtype: str,
        look: Callable[[Any, Branches], None] | None = None,
    ) -> None:
        self._tape, self._structures, self._dtype, self._look = tape, structures, dtype, look
        self.axes = [getattr(t, "ndim", 0) for t in tape.tensors]
        self._measured: list[Any] = []  # of states, each linear in their projectors but those that need one state
        self._values: list[tuple[Any, int]] = []  # of values, and how many powers of them
        self._width = 0
        self._reads = [self._read(mp) for mp in measurements]
        self._structure = structures(tape.tail.reading, self._measured, False)
        plan = self._structure.plan
        constants = np.array([sum(c for c, *where in o.terms if not any(where)) for o in plan.observables])
        self._constants = [constants[s.where] if s.how in ("expval", "terms") else 0.0 for s in plan.steps]

    def _read(self, mp: Any) -> tuple[str, tuple[_Sum, ...]]:
        variance = isinstance(mp, mps.VarianceMP)
        if is_recorded(mp, self._tape.names):
            first, width = self._width, len(outcomes(mp)) if isinstance(mp, mps.ProbabilityMP) else 1
            self._values.append((mp, 1 + variance))
            self._width += width * (1 + variance)
            if variance:
                return "variance", (_Sum(False, first), _Sum(False, first + 1))
            return "mean", (_Sum(False, slice(first, first + width) if isinstance(mp, mps.ProbabilityMP) else first),)
        if not variance:
            kind = "mean" if isinstance(mp, (mps.ExpectationMP, mps.ProbabilityMP)) else "whole"
            return kind, (self._state_sum(mp),)
        with qml.QueuingManager.stop_recording():
            if mp.obs is None:
                pair = [mps.ExpectationMP(eigvals=mp.eigvals() ** k, wires=mp.wires) for k in (1, 2)]
            else:
                pair = [qml.expval(mp.obs), qml.expval(mp.obs @ mp.obs)]
        return "variance", (self._state_sum(pair[0]), self._state_sum(pair[1]))

    def _state_sum(self, mp: Any) -> _Sum:
        self._measured.append(mp)
        return _Sum(True, len(self._measured) - 1)

    def result_types(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and dtype of each sum, of the states that are needed as they are, and of the values and weights."""
        exact = self._exact(1).own
        steps = self._structure.plan.steps
        shapes = [(self._tape.most, *s) if step.how in STATES else s for step, (s, _) in zip(steps, exact, strict=True)]
        return [*((s, kind) for s, (_, kind) in zip(shapes, exact, strict=True)), ((self._width + 1,), REAL)]

    def forward(self, arrays: Sequence[Array], differentiate: bool) -> tuple[list[Array], Callable[..., Any] | None]:
        """See `interfaces.Differentiable`."""
        fronts = [a.shape[: a.ndim - n] for a, n in zip(arrays, self.axes, strict=True)]
        lead = np.broadcast_shapes(*fronts)
        if not lead:
            return self._once(arrays, differentiate)
        where = [[_inside(at, front) for front in fronts] for at in np.ndindex(lead)]
        runs = [self._once([a[i] for a, i in zip(arrays, at, strict=True)], differentiate) for at in where]
        results = [np.array(each).reshape(*lead, *each[0].shape) for each in zip(*(r for r, _ in runs), strict=True)]

        def pullback(cotangents: Sequence[Array]) -> list[Array]:
            out = self._tape.zeros_like(arrays)
            for at, row, (_, pull) in zip(np.ndindex(lead), where, runs, strict=True):
                assert pull is not None
                for total, i, g in zip(out, row, pull([c[at] for c in cotangents]), strict=True):
                    total[i] += g
            return out

        return results, pullback if differentiate else None

    def _once(self, arrays: Sequence[Array], differentiate: bool) -> tuple[list[Array], Callable[..., Any] | None]:
        leaves = _Leaves(self, differentiate)
        run = leaves.run = Run(
            self._tape, arrays, self._structures, leaves.leaf, differentiate=differentiate, look=self._look
        )
        results, pullback = run.outputs(run.start(None, self._dtype))
        if not results[-1][-1]:
            results[-1][-1] = np.nan  # what was postselected cannot be, and there are no results
        return results, pullback

    def _exact(self, branches: int) -> Exact:
        angles = len(self._tape.tail.reading.angles)
        return Exact(self._structure, self._tape.labels, self._measured, [0] * angles + [2], branches, True)

    def finish(self, measurements: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
        """One result for each measurement, from the outputs as tensors of any framework."""
        with np.errstate(invalid="ignore"):  # a total of nan: there are no results
            return self._finish(*outputs)

    def _finish(self, *outputs: Any) -> list[Any]:
        *states, values = outputs
        total, steps = values[-1], self._structure.plan.steps
        whole = {s.where for kind, (s, *_) in self._reads if kind == "whole"}
        for k in whole:
            states[k] = states[k][0] / qml.math.cast_like(qml.math.sqrt(total), states[k])
        sums = finish(self._measured, steps, states, self._tape.labels)
        for k, step in enumerate(steps):
            if step.how in STATES and k not in whole:
                sums[k] = qml.math.sum(sums[k], axis=0)

        def mean(s: _Sum) -> Any:
            return (sums[s.where] if s.of_states else values[s.where]) / total

        out = []
        for kind, found in self._reads:
            if kind == "whole":
                out.append(sums[found[0].where])
            elif kind == "mean":
                out.append(mean(found[0]))
            else:
                out.append(mean(found[1]) - mean(found[0]) ** 2)
        return out


class _Leaves:
    """The outputs of branches at their end."""

    def __init__(self, whole: ExactBranches, differentiate: bool) -> None:
        self._whole, self._differentiate = whole, differentiate
        self.run: Any = None
        self._rows = 0  # of branches so far

    def leaf(self, b: Branches) -> tuple[list[Array], Callable[[Sequence[Array]], Array] | None]:
        whole, tail = self._whole, self._whole._tape.tail
        first, self._rows = self._rows, self._rows + len(b)
        exact = whole._exact(len(b))
        angles = slice(tail.first, tail.first + len(tail.reading.angles))
        rows: Sequence[Array] = []
        pull = None
        if whole._measured:
            given = [np.reshape(a, ()) for a in self.run.arrays[angles]]
            rows, pull = exact.forward([*given, b.states], self._differentiate)
        stays = [step.how in STATES for step in exact.plan.steps]
        table, weights = self._table(b), b.weights()
        lost = (1 - weights).sum()  # the engine takes states to be normalised, and adds constants as they are
        out = [
            self._place(r, first) if s else r.sum(axis=0) - lost * c
            for r, s, c in zip(rows, stays, whole._constants, strict=True)
        ]

        def back(cotangents: Sequence[Array]) -> Array:
            *to_states, to_values = cotangents
            constant = sum(np.sum(c * k) for c, k in zip(to_states, whole._constants, strict=True) if np.any(k))
            bra = (table @ to_values + constant)[:, None] * b.states
            if pull is not None:
                spread = [
                    c[first : first + len(b)] if s else np.broadcast_to(c, (len(b), *np.shape(c)))
                    for c, s in zip(to_states, stays, strict=True)
                ]
                *found, start = pull(spread)
                self.run.add_gradients(angles, found)
                bra = bra + start / 2
            return bra

        return [*out, weights @ table], back if self._differentiate else None

    def _table(self, b: Branches) -> npt.NDArray[np.float64]:
        """(K, R + 1): what each measurement of values wants of each branch, and 1."""
        columns = []
        for mp, powers in self._whole._values:
            rows = indicators(mp, b) if isinstance(mp, mps.ProbabilityMP) else np.array([b.values(mp.mv)], dtype=float)
            columns += [rows**k for k in range(1, powers + 1)]
        return np.concatenate([*columns, np.ones((1, len(b)))]).T

    def _place(self, states: Array, first: int) -> Array:
        """States among all that there can be, so that the shape does not depend on which outcomes are possible."""
        most = self._whole._tape.most
        require_bytes(most * states[0].nbytes, f"the states of {most} branches")
        out = np.zeros((most, states.shape[-1]), dtype=states.dtype)
        out[first : first + len(states)] = states
        return out


def _inside(at: tuple[int, ...], front: tuple[int, ...]) -> tuple[int, ...]:
    """The place in an array that is broadcast along axes of length 1 or that it does not have."""
    tail = at[len(at) - len(front) :]
    return tuple(i if n > 1 else 0 for i, n in zip(tail, front, strict=True))
