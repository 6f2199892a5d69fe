"""`Model`: a circuit with observables, ready to evaluate, differentiate and sample. What every front door holds.

Owns: `compile_circuit`, shapes of results, the choice of gradient engine. May not know: opcodes, bits, torch, jax.

Shapes: P weights, B samples of F inputs, M observables. Without a batch (inputs of shape (F,), or a circuit without
inputs) results have no batch axis.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .arguments import States, output_cotangents
from .circuit import Circuit
from .curved import Curved
from .errors import ArgumentError, ArgumentTypeError, CircuitError, suggest
from .gate_spec import CHANNEL
from .gradients import adjoint, differences
from .gradients.results import Gradients as Gradients
from .gradients.results import Jacobian as Jacobian
from .gradients.shifted_shots import check_allocation
from .lowering import Lowered, lower
from .pauli import PauliSum
from .simulator import Seed, check_shots, generator
from .unshared import weights_as_inputs

Array = npt.NDArray[np.float64]
METHODS = ("best", "adjoint", "parameter-shift", "finite-difference", "spsa")


class Model(Curved):
    """A compiled circuit. Thread-safe, picklable, deep-copyable; made by `ketgrad.compile`.

    Example:
        >>> model = kg.compile(circuit, [kg.Z(0), kg.Z(0) @ kg.Z(1)])
        >>> values, pullback = model.forward(weights, inputs)
        >>> gradients = pullback(2 * (values - targets))
    """

    def __init__(
        self, circuit: Circuit, observables: Sequence[PauliSum], dtype: npt.DTypeLike, backend: str | None
    ) -> None:
        if not isinstance(circuit, Circuit):
            raise ArgumentTypeError(f"compile: expected a Circuit, got {type(circuit).__name__}")
        try:
            wanted = np.dtype(dtype)
        except (TypeError, ValueError, SyntaxError):
            raise ArgumentError(f"dtype must be complex64 or complex128, got {dtype!r}") from None
        own = circuit.copy()
        self.observables = tuple(observables)
        super().__init__(own, self._lower(own), wanted, backend)
        self._squares: Model | None = None
        self._unshared: Model | None = None
        self.saved_weights: Array | None = None  # what `save` was given, after `kg.load`

    # evaluation

    def __call__(
        self,
        weights: Any = None,
        inputs: Any = None,
        *,
        shots: int | None = None,
        seed: Seed = None,
        initial: Any = None,
    ) -> Array:
        """Expectation values, (M,) or (B, M); estimates when `shots` is given.

        Args:
            weights: P numbers, any shape.
            inputs: (F,) or (B, F).
            shots: measurements of each setting; None is exact.
            seed: of the shots: an int or a numpy Generator.
            initial: states to start from instead of |0...0>, (2^n,) or (B, 2^n).
        """
        if shots is not None and initial is not None:
            return self.estimate(weights, inputs, shots=shots, seed=seed, initial=initial)[0]
        return self.forward(weights, inputs, shots=shots, seed=seed, initial=initial, _keep=False)[0]

    def forward(
        self,
        weights: Any = None,
        inputs: Any = None,
        *,
        method: str = "best",
        shots: int | None = None,
        seed: Seed = None,
        initial: Any = None,
        step: float | None = None,
        directions: int = 1,
        _keep: bool = True,
    ) -> tuple[Array, Callable[..., Gradients]]:
        """Values, and the pullback that turns cotangents of the values into `Gradients`.

        The pullback of the adjoint method also takes `bras`, cotangents of the final states as in `forward_state`, and
        `to_initial=True` to give the gradient of the initial states.

        Args:
            method: "adjoint", "parameter-shift", or "best": adjoint when exact, parameter-shift with shots. For
                comparison "finite-difference" (central) and "spsa" (simultaneous perturbation).
            seed: of shots and of random directions: an int or a numpy Generator.
            initial: states to start from instead of |0...0>, (2^n,) or (B, 2^n); exact and adjoint only.
            step: of the last two methods, radians; default: eps^(1/3) of the dtype, or shots^(-1/6).
            directions: random directions that "spsa" averages over.
        """
        self._check_observables()
        w, x, batched = self._arguments(weights, inputs)
        start, x, batched = self._starts(initial, x, batched)
        given = np.shape(weights) or (self._n_weights,)
        if _keep:
            w, x = w.copy(), x.copy()  # the caller may change his arrays before the pullback
        how = self._method(method, shots)
        length, count = self._lengths(how, step, directions, shots)
        if start is not None and (shots is not None or how != "adjoint"):
            raise ArgumentError("initial states go with exact values and the adjoint method only")
        rng = generator(seed) if shots is not None or how == "spsa" else None
        engines = self._ready()
        tape = None
        if shots is None:
            stage = self._lowered.stage
            slots = stage.evaluate(w, x)
            terms, tape = engines.plan.forward(*slots, _keep and how == "adjoint", start, stage.is_direct)
            values = adjoint.values(self._lowered, terms)
        else:
            assert rng is not None
            values, _ = self._estimate(w, x, check_shots(shots), rng)

        def pullback(cotangents: Any, bras: Any = None, to_initial: bool = False) -> Gradients:
            c = output_cotangents(cotangents, len(x), batched, len(self.observables))
            if how == "adjoint":
                return self._pull(w, x, batched, given, c, tape, start, bras, to_initial)
            else:
                jac = self._from_values(how, w, x, shots, rng, (length, count))
                grad_w, grad_x = np.einsum("bm,bmp->p", c, jac[0]), np.einsum("bm,bmf->bf", c, jac[1])
            return Gradients(grad_w.reshape(given), grad_x if batched else grad_x[0])

        return values if batched else values[0], pullback

    def jacobian(
        self,
        weights: Any = None,
        inputs: Any = None,
        *,
        method: str = "best",
        shots: int | None = None,
        seed: Seed = None,
        allocation: str = "uniform",
        step: float | None = None,
        directions: int = 1,
    ) -> Jacobian:
        """Derivatives of every value by every weight and input, with variances when `shots` is given.

        Args:
            shots: measurements of each shifted circuit in each setting.
            allocation: "uniform", or "variance": as many shots in all, more of them for circuits whose outcomes vary
                and weigh more, as a pilot of a tenth of them says. Unbiased either way. Of parameter-shift only.
            method, seed, step, directions: as for `forward`. The variance of "spsa" is that of all its randomness, and
                needs two directions.
        """
        self._check_observables()
        how = self._method(method, shots)
        check_allocation(allocation, how, shots)
        w, x, batched = self._arguments(weights, inputs)
        length, count = self._lengths(how, step, directions, shots)
        if how == "adjoint":
            parts: tuple[Array | None, ...] = (*adjoint.jacobian(self._lowered, self._ready().plan, w, x), None, None)
        else:
            parts = self._from_values(how, w, x, shots, generator(seed), (length, count), allocation)
        return Jacobian(*(p if p is None or batched else p[0] for p in parts))  # type: ignore[arg-type]

    def estimate(
        self, weights: Any = None, inputs: Any = None, *, shots: int, seed: Seed = None, initial: Any = None
    ) -> tuple[Array, Array]:
        """Finite-shot estimates of the values, and the variances of these estimates."""
        w, x, batched = self._arguments(weights, inputs)
        start, x, batched = self._starts(initial, x, batched)
        mean, variance = self._estimate(w, x, check_shots(shots), generator(seed), start)
        return (mean, variance) if batched else (mean[0], variance[0])

    def variance(self, weights: Any = None, inputs: Any = None) -> Array:
        """Variances <O^2> - <O>^2 of the observables, (M,) or (B, M), exact."""
        if self._squares is None:
            squares = [o.square() for o in self.observables]
            self._squares = self._like(self.circuit, (*self.observables, *squares))
        both = self._squares(weights, inputs)
        m = len(self.observables)
        return np.maximum(0.0, both[..., m:] - both[..., :m] ** 2)

    def weights_as_inputs(self) -> Model:
        """The same model without weights, with P + F inputs: weights first. One batch then holds many weight vectors.

        Example:
            >>> values = model.weights_as_inputs()(None, rows)  # rows (B, P + F) -> (B, M)
        """
        if self._unshared is None:
            self._unshared = self._like(weights_as_inputs(self.circuit), self.observables)
        return self._unshared

    def tangents(self, weights: Any, inputs: Any, along_weights: Any, along_inputs: Any) -> Array:
        """How the values change when weights and inputs move: Jacobian times direction, (M,) or (B, M).

        Args:
            along_weights, along_inputs: the direction, in the shapes of weights and inputs.
        """
        jac, batched = self.jacobian(weights, inputs), np.ndim(inputs) == 2
        dw, dx, _ = self._arguments(along_weights, along_inputs)
        out = np.einsum("...mp,p->...m", jac.weights, dw) + np.einsum(
            "...mf,...f->...m", jac.inputs, dx if batched else dx[0]
        )
        return np.asarray(out)

    def forward_state(
        self, weights: Any = None, inputs: Any = None, *, initial: Any = None
    ) -> tuple[States, Callable[..., Gradients]]:
        """Final states, (2^n,) or (B, 2^n), and the pullback that turns cotangents of them into `Gradients`.

        The pullback takes bras, of the states' shape: the derivative of what is differentiated by the states'
        conjugates. For a real function L of the state, bra = (dL/d Re + i dL/d Im) / 2.

        Args:
            initial: states to start from instead of |0...0>, (2^n,) or (B, 2^n).
        """
        w, x, batched = self._arguments(weights, inputs)
        start, x, batched = self._starts(initial, x, batched)
        w, x = w.copy(), x.copy()
        given = np.shape(weights) or (self._n_weights,)
        states = self._ready().plan.states(*self._lowered.stage.evaluate(w, x), start)

        def pullback(bras: Any, to_initial: bool = False) -> Gradients:
            none = np.zeros((len(x), len(self.observables)))
            return self._pull(w, x, batched, given, none, None, start, bras, to_initial)

        return states if batched else states[0], pullback

    def _pull(
        self,
        w: Array,
        x: Array,
        batched: bool,
        given: tuple[int, ...],
        cotangents: Array,
        tape: Any,
        start: States | None,
        bras: Any,
        to_initial: bool,
    ) -> Gradients:
        ends = None if bras is None else np.asarray(bras, dtype=self.dtype)
        if ends is not None and not batched:
            ends = ends[None]
        grads = adjoint.vjp(self._lowered, self._ready().plan, w, x, cotangents, tape, start, ends, to_initial)
        grad_start = grads[2]
        if grad_start is not None:
            grad_start = grad_start.sum(axis=0) if start is not None and len(start) == 1 else grad_start
        return Gradients(grads[0].reshape(given), grads[1] if batched else grads[1][0], grad_start)

    # files and looks

    def save(self, path: str | os.PathLike[str], weights: npt.ArrayLike | None = None) -> None:
        """Write circuit, observables and, where given, weights to one file, atomically; `ketgrad.load` reads it.

        Raises:
            CheckpointError: it cannot be written; an existing file is untouched.
        """
        from .persistence import save

        save(self, path, weights)

    def disassembly(self) -> str:
        """The program that runs, one instruction a line."""
        return self._ready().plan.runs.disassembly()

    @property
    def n_weights(self) -> int:
        """P."""
        return self._n_weights

    @property
    def n_inputs(self) -> int:
        """F."""
        return self._n_inputs

    @property
    def backend(self) -> str:
        """The backend that runs it: "native" or "numba"."""
        return self._ready().backend.name

    def __repr__(self) -> str:
        return (
            f"Model({self.circuit.n_wires} wires, {len(self.circuit)} gates, {self.n_weights} weights, "
            f"{self.n_inputs} inputs, {len(self.observables)} observables, {self.dtype}, {self.backend})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engines": None, "_squares": None, "_unshared": None}

    @property
    def options(self) -> dict[str, Any]:
        """What `compile` was told beyond circuit, observables, dtype and backend; JSON values."""
        return {}

    # inside

    def _lower(self, circuit: Circuit) -> Lowered:
        lowered = lower(circuit, self.observables)
        if lowered.sites:
            raise CircuitError(f"a Model has no noise, the circuit has {lowered.sites[0].channel!r}; use kg.compile")
        return lowered

    def _like(self, circuit: Circuit, observables: Sequence[PauliSum]) -> Model:
        """Another circuit or other observables, run as these are."""
        return Model(circuit, observables, self.dtype, self._backend_name)

    def _check_observables(self) -> None:
        if not self.observables:
            raise ArgumentError(
                "the model has no observables; compile it with some, as in kg.compile(circuit, [kg.Z(0)])"
            )

    def _method(self, method: str, shots: int | None) -> str:
        if method not in METHODS:
            raise ArgumentError(f"method must be one of {METHODS}, got {method!r}.{suggest(str(method), METHODS)}")
        if shots is not None:
            check_shots(shots)
            if method == "adjoint":
                raise ArgumentError("the adjoint method is exact and takes no shots; use method='parameter-shift'")
        if method == "best":
            return "adjoint" if shots is None else "parameter-shift"
        return method

    def _lengths(self, how: str, step: Any, directions: Any, shots: int | None) -> tuple[float, int]:
        """Step and directions, where the method has them: a step of training has no time for the others."""
        wanted = how in ("finite-difference", "spsa")
        return differences.checked(step, directions, shots, self.dtype) if wanted else (0.0, 0)

    def _estimate(
        self, w: Array, x: Array, shots: int, rng: np.random.Generator, start: States | None = None
    ) -> tuple[Array, Array]:
        return self._ready().estimator.estimate(*self._lowered.stage.evaluate(w, x), shots, rng, start)

    def _from_values(
        self,
        how: str,
        w: Array,
        x: Array,
        shots: int | None,
        rng: np.random.Generator | None,
        lengths: tuple[float, int],
        allocation: str = "uniform",
    ) -> tuple[Array, Array, Array | None, Array | None]:
        """A Jacobian from nothing but values at other parameters: d / d weights, d / d inputs, and their variances."""
        if how == "parameter-shift":
            engines = self._ready()
            return engines.shifts.jacobian(self._lowered.stage, w, x, engines.shifted(shots, rng, allocation))
        step, directions = lengths
        free, m, p = self.weights_as_inputs(), len(self.observables), self._n_weights
        points = np.concatenate([np.broadcast_to(w, (len(x), p)), x], axis=1)

        def evaluate(rows: Array) -> tuple[Array, Array]:
            if shots is not None:
                return free.estimate(None, rows, shots=shots, seed=rng)
            return (values := free(None, rows)), np.zeros_like(values)

        spread: Array | None
        if how == "spsa":
            slope, spread = differences.spsa(evaluate, points, step, m, directions, rng or generator(None))
        else:
            slope, spread = differences.central(evaluate, points, step, m)
            spread = spread if shots is not None else None
        both = (None, None) if spread is None else (spread[..., :p], spread[..., p:])
        return slope[..., :p], slope[..., p:], *both


def compile_circuit(
    circuit: Circuit,
    observables: PauliSum | Sequence[PauliSum] = (),
    *,
    dtype: npt.DTypeLike = "complex128",
    backend: str | None = None,
    **noise: Any,
) -> Model:
    """Make a circuit ready to run; users call it as `ketgrad.compile`. With channels or `noise`, a `NoisyModel`."""
    several = (observables,) if isinstance(observables, PauliSum) else observables
    try:
        items = tuple(several)
    except TypeError:
        raise ArgumentTypeError(
            f"compile: observables are PauliSums such as kg.Z(0), got {type(observables).__name__}"
        ) from None
    if noise or any(gate.spec is CHANNEL for gate in getattr(circuit, "gates", ())):
        from .noise.noisy_model import NoisyModel

        return NoisyModel(circuit, items, dtype, backend, **noise)
    return Model(circuit, items, dtype, backend)
