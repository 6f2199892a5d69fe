"""Expectation values after post-selection, as a model: <P O P> / <P> and its gradient, with the acceptance <P>.

Owns: the quotient, its derivatives, and a `Model` of it, so that whatever trains a model trains this one. May not know:
how the two expectation values come about, with noise or without.

Both are linear in the state, so a cotangent c of the quotient q = N / D is the cotangent c / D of N and -c q / D of D:
one adjoint sweep differentiates both, and no score function of the rejected shots is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from ..arguments import output_cotangents
from ..backends import Plan
from ..backends.contract import Array, States
from ..circuit import Circuit
from ..engines import Engines
from ..errors import ArgumentError, ArgumentTypeError, StateError
from ..gradients.results import Gradients
from ..lowering import Lowered, Readout
from ..model import Model, compile_circuit
from ..pauli import PauliSum
from ..program import TERM, Program

NO_SHOTS = (
    "post-selected values have no parameter-shift rule and no estimates from shots; use exact values and "
    "method='adjoint', or sample the circuit and keep what is accepted"
)
LEAST = {"complex64": 1e-5, "complex128": 1e-9}  # acceptances below are rounding


def _before(name: str) -> Any:
    """A method of the model within: what is not a value of an observable stays as it is before the selection."""

    def method(self: PostSelected, *args: Any, **options: Any) -> Any:
        return getattr(self._origin, name)(*args, **options)

    method.__name__, method.__doc__ = name, f"`{name}` of the circuit, before the selection; see `Model`."
    return method


class PostSelected(Model):
    """A model of what is left when the outcome of a projector is kept and everything else thrown away.

    Values are <P O P> / <P> of each observable O. It has the faces of `Model`: gradients are exact, layers and training
    take it. Samples, probabilities and states are those of the circuit, before the selection.

    Args:
        model: with observables; of a noisy circuit too. By trajectories both parts take the same paths, and the
            quotient has a bias that vanishes like one over their number.
        projector: P, a sum of words whose square is itself: a code's `projector()`, `kg.Projector("0", [4])` for an
            ancilla that has to be 0, a product of both. Default: the identity, for circuits in which `noise.projection`
            has made the selection already.

    Raises:
        ArgumentTypeError: not a model, or not a sum of words.
        ArgumentError: no observables, or a projector that is none.

    Example:
        >>> model = PostSelected(kg.compile(circuit, code.logical("ZZ")), code.projector())
        >>> values, pullback = model.forward(weights, inputs)
        >>> model.acceptance(weights, inputs)
    """

    def __init__(self, model: Model, projector: PauliSum | None = None) -> None:
        if not isinstance(model, Model):
            raise ArgumentTypeError(f"PostSelected: expected a Model, got {type(model).__name__}; kg.compile makes it")
        if not model.observables:
            raise ArgumentError("PostSelected: the model has no observables; compile it with some, as in [kg.Z(0)]")
        self.projector = PauliSum({((), ()): 1.0}) if projector is None else projector
        _check_projector(self.projector)
        kept = [_kept(o, self.projector) for o in model.observables]
        self.parts = model._like(model.circuit, (*kept, self.projector))
        self._origin = model
        super().__init__(model.circuit, model.observables, model.dtype, model._backend_name)

    def acceptance(self, weights: Any = None, inputs: Any = None) -> Any:
        """<P>: the share of shots that is kept, a number or (B,)."""
        return self.parts(weights, inputs)[..., -1]

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
        """As for `Model`; `bras` are refused, for the states are those before the selection.

        The cotangents of both parts stay, while the gradients move; and the cotangents move.
        """
        if bras is not None:
            raise ArgumentError("post-selected values have no bras; differentiate the states of model.parts")
        parts = self.parts
        x = np.asarray(inputs, dtype=float) if inputs is not None else np.zeros(0)
        values, pull = parts.forward(weights, inputs)
        batched, rows = values.ndim == 2, values.reshape(-1, values.shape[-1])
        c = output_cotangents(cotangents, len(rows), batched, len(self.observables))
        moved = parts.tangents(weights, inputs, along_weights, along_inputs).reshape(rows.shape)
        n, d, dn, dd = rows[:, :-1], rows[:, -1:], moved[:, :-1], moved[:, -1:]
        q = n / _accepted(d, self.dtype.name)
        dq = (dn - q * dd) / d
        fixed = np.concatenate([c, -(c * q).sum(axis=1, keepdims=True)], axis=1) / d
        change = np.concatenate([0 * c, -(c * dq).sum(axis=1, keepdims=True)], axis=1) / d - fixed * dd / d
        first = parts.gradient_change(
            weights, inputs, along_weights, along_inputs, cotangents=fixed.reshape(values.shape)
        )
        second = pull(change.reshape(values.shape))
        return Gradients(first.weights + second.weights, (first.inputs + second.inputs).reshape(x.shape))

    state, forward_state, state_tangents = _before("state"), _before("forward_state"), _before("state_tangents")
    density_matrix, metric_tensor, shadow = _before("density_matrix"), _before("metric_tensor"), _before("shadow")
    sample, tally, counts = _before("sample"), _before("tally"), _before("counts")
    probabilities = _before("probabilities")

    @property
    def options(self) -> dict[str, Any]:
        """Those of the model within, and the projector."""
        terms = [[c, [list(p) for p in word], [list(p) for p in pattern]] for c, word, pattern in self.projector.terms]
        return {**self._origin.options, "projector": terms}

    def save(self, *_: Any, **__: Any) -> NoReturn:
        """There is no file of it.

        Raises:
            ArgumentError: always.
        """
        raise ArgumentError("a post-selected model has no file; save the model it was made of, and select again")

    def __repr__(self) -> str:
        return f"PostSelected({self._origin!r}, a projector of {len(self.projector.terms)} terms)"

    # inside

    def _lower(self, circuit: Circuit) -> Lowered:
        inner, outputs = self.parts._lowered, len(self.observables)
        program = inner.program
        outer = Program(
            program.n_bits,
            program.instructions,
            program.pool,
            np.zeros(outputs, dtype=TERM),  # what the plan gives, one value for each observable
            program.n_shared,
            program.n_per_sample,
        )
        readout = Readout(np.eye(outputs), np.zeros(outputs), ())
        return Lowered(outer, inner.stage, readout, inner.sites)

    def _build(self) -> Engines:
        engines = self.parts._build()
        engines.plan = _Quotients(self._lowered.program, engines.plan, self.parts._lowered.readout)
        return engines

    def _like(self, circuit: Circuit, observables: Any) -> Model:
        return PostSelected(self._origin._like(circuit, observables), self.projector)

    def _method(self, method: str, shots: int | None) -> str:
        if shots is not None or method == "parameter-shift":
            raise ArgumentError(NO_SHOTS)
        return super()._method(method, shots)

    def _estimate(self, *_: Any, **__: Any) -> NoReturn:
        raise ArgumentError(NO_SHOTS)


class _Quotients(Plan):
    """A plan whose values are quotients of another plan's: all but the last of its outputs, by the last."""

    def __init__(self, program: Program, inner: Plan, readout: Readout) -> None:
        super().__init__(program, inner.dtype)
        self._inner, self._readout = inner, readout

    def choice(self, batch_size: int) -> dict[str, Any]:
        return self._inner.choice(batch_size)

    def kept_bytes(self, batch_size: int) -> int:
        return self._inner.kept_bytes(batch_size)

    def _require(self, copies: int) -> None:
        self._inner._require(copies)

    def _forward(self, shared: Array, per_sample: Array, keep: bool, initial: States | None) -> tuple[Array, Any]:
        terms, tape = self._inner._forward(shared, per_sample, keep, initial)
        values = terms @ self._readout.coefficients.T + self._readout.constant
        accepted = _accepted(values[:, -1:], self.dtype.name)
        quotients = values[:, :-1] / accepted
        return quotients, (tape, quotients, accepted)

    def _pullback(
        self,
        shared: Array,
        per_sample: Array,
        cotangents: Array,
        tape: Any,
        each: bool,
        initial: States | None,
        bras: States | None,
        to_initial: bool,
    ) -> tuple[Array, Array, Any]:
        if tape is None:
            _, tape = self._forward(shared, per_sample, True, initial)
        inner, quotients, accepted = tape
        to_last = -(cotangents * quotients).sum(axis=-1, keepdims=True)
        both = np.concatenate([cotangents, to_last], axis=-1) / accepted
        seeds = np.ascontiguousarray(both @ self._readout.coefficients)
        return self._inner._pullback(shared, per_sample, seeds, inner, each, initial, bras, to_initial)

    def _states(self, shared: Array, per_sample: Array, initial: States | None) -> States:
        return self._inner._states(shared, per_sample, initial)


def _accepted(acceptance: Array, dtype: str) -> Array:
    """The acceptance (B, 1), or an error where there is none."""
    least = int(np.argmin(acceptance))
    if not acceptance[least, 0] > LEAST[dtype]:
        raise StateError(
            f"post-selection keeps nothing of sample {least}: its acceptance is {float(acceptance[least, 0]):.3g}"
        )
    return acceptance


def _check_projector(projector: Any) -> None:
    if not isinstance(projector, PauliSum):
        raise ArgumentTypeError(f"PostSelected: a projector is a PauliSum, got {type(projector).__name__}")
    plain = projector.without_patterns()
    off = max((abs(c) for c, *_ in (plain @ plain - plain).terms), default=0.0)
    if off > 1e-9:
        raise ArgumentError(
            f"PostSelected: a projector is its own square, this sum of {len(projector.terms)} terms is off by {off:.3g}"
        )


def _kept(observable: PauliSum, projector: PauliSum) -> PauliSum:
    """P O P; P O where they commute, which is the same and shorter."""
    left, right = projector @ observable, observable @ projector
    commute = not (left - right).without_patterns().simplify()._terms
    return (left if commute else left @ projector).simplify()


def post_selected(
    model: Model | Circuit,
    observables: PauliSum | Sequence[PauliSum] | None = None,
    *,
    projector: PauliSum | None = None,
    **options: Any,
) -> PostSelected:
    """A post-selected model, of a model or of a circuit, its observables and the options of `ketgrad.compile`.

    Example:
        >>> model = post_selected(circuit, code.logical("ZZ"), projector=code.projector())

    Raises:
        ArgumentError: observables or options with a model, which has its own.
        ArgumentTypeError: neither a model nor a circuit.
    """
    if isinstance(model, Circuit):
        model = compile_circuit(model, () if observables is None else observables, **options)
    elif observables is not None or options:
        raise ArgumentError("post_selected: a model has its own observables and options; pass them to kg.compile")
    return PostSelected(model, projector)
