"""`Model`: a circuit with observables, ready to evaluate, differentiate and sample. What every front door holds.

Owns: `compile`, shapes of weights and inputs, the choice of gradient engine. May not know: opcodes, bits, torch, jax.

Shapes: P weights, B samples of F inputs, M observables. Without a batch (inputs of shape (F,), or a circuit without
inputs) results have no batch axis.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .circuit import Circuit
from .engines import Engines
from .errors import ArgumentError, ArgumentTypeError, ParameterError, suggest
from .expressions import real_array
from .gradients import adjoint
from .lowering import lower, wire_bit
from .memory import require_bytes
from .pauli import PauliSum, check_wires
from .simulator import (
    Seed,
    bits_of,
    check_shots,
    counts_of,
    generator,
    over_states,
    reduced_density,
    sample_indices,
)

Array = npt.NDArray[np.float64]
METHODS = ("best", "adjoint", "parameter-shift")


class Gradients(NamedTuple):
    """Gradients of sum(cotangents * values): weights in the shape they were given, inputs (F,) or (B, F)."""

    weights: Array
    inputs: Array


class Jacobian(NamedTuple):
    """Derivatives of the values: weights ([B,] M, P) and inputs ([B,] M, F).

    The variances belong to the finite-shot estimates; None where the derivatives are exact.
    """

    weights: Array
    inputs: Array
    weights_variance: Array | None = None
    inputs_variance: Array | None = None


class Model:
    """A compiled circuit. Thread-safe, picklable, deep-copyable; made by `compile`.

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
        self.circuit = circuit.copy()
        self.observables = tuple(observables)
        self.dtype = wanted
        self._backend_name = backend
        self._lowered = lower(self.circuit, self.observables)
        self._n_weights, self._n_inputs = circuit.n_weights, circuit.n_inputs
        self._engines: Engines | None = Engines(self._lowered, wanted, backend)
        self._squares: Model | None = None
        self.saved_weights: Array | None = None  # what `save` was given, after `kg.load`

    # evaluation

    def __call__(
        self, weights: Any = None, inputs: Any = None, *, shots: int | None = None, seed: Seed = None
    ) -> Array:
        """Expectation values, (M,) or (B, M); estimates when `shots` is given.

        Args:
            weights: P numbers, any shape.
            inputs: (F,) or (B, F).
            shots: measurements of each setting; None is exact.
            seed: of the shots: an int or a numpy Generator.
        """
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
        """Values, and the pullback that turns cotangents of the values into `Gradients`.

        Args:
            method: "adjoint", "parameter-shift", or "best": adjoint when exact, parameter-shift with shots.
        """
        self._check_observables()
        w, x, batched = self._arguments(weights, inputs)
        given = np.shape(weights) or (self._n_weights,)
        if _keep:
            w, x = w.copy(), x.copy()  # the caller may change his arrays before the pullback
        how = self._method(method, shots)
        rng = generator(seed)
        engines = self._ready()
        tape = None
        if shots is None:
            slots = self._lowered.stage.evaluate(w, x)
            terms, tape = engines.plan.forward(*slots, keep=_keep and how == "adjoint")
            values = adjoint.values(self._lowered, terms)
        else:
            values, _ = self._estimate(w, x, check_shots(shots), rng)

        def pullback(cotangents: Any) -> Gradients:
            c = self._cotangents(cotangents, len(x), batched)
            if how == "adjoint":
                grad_w, grad_x = adjoint.vjp(self._lowered, engines.plan, w, x, c, tape)
            else:
                jac = self._shift_jacobian(w, x, shots, rng)
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
    ) -> Jacobian:
        """Derivatives of every value by every weight and input, with variances when `shots` is given."""
        self._check_observables()
        w, x, batched = self._arguments(weights, inputs)
        how = self._method(method, shots)
        if how == "adjoint":
            parts: tuple[Array | None, ...] = (*adjoint.jacobian(self._lowered, self._ready().plan, w, x), None, None)
        else:
            parts = self._shift_jacobian(w, x, shots, generator(seed))
            if shots is None:
                parts = (*parts[:2], None, None)
        return Jacobian(*(p if p is None or batched else p[0] for p in parts))  # type: ignore[arg-type]

    def estimate(
        self, weights: Any = None, inputs: Any = None, *, shots: int, seed: Seed = None
    ) -> tuple[Array, Array]:
        """Finite-shot estimates of the values, and the variances of these estimates."""
        w, x, batched = self._arguments(weights, inputs)
        mean, variance = self._estimate(w, x, check_shots(shots), generator(seed))
        return (mean, variance) if batched else (mean[0], variance[0])

    def variance(self, weights: Any = None, inputs: Any = None) -> Array:
        """Variances <O^2> - <O>^2 of the observables, (M,) or (B, M), exact."""
        if self._squares is None:
            squares = [o.square() for o in self.observables]
            self._squares = Model(self.circuit, (*self.observables, *squares), self.dtype, self._backend_name)
        both = self._squares(weights, inputs)
        m = len(self.observables)
        return np.maximum(0.0, both[..., m:] - both[..., :m] ** 2)

    # states and samples

    def state(self, weights: Any = None, inputs: Any = None) -> npt.NDArray[Any]:
        """Final state, (2^n,) or (B, 2^n), of the model's dtype; wire 0 is the most significant bit."""
        w, x, batched = self._arguments(weights, inputs)
        states = self._ready().plan.states(*self._lowered.stage.evaluate(w, x))
        return states if batched else states[0]

    def probabilities(self, weights: Any = None, inputs: Any = None, wires: Sequence[int] | None = None) -> Array:
        """Probabilities of the outcomes of `wires` in the order given (default: all), (2^k,) or (B, 2^k)."""
        w, x, batched = self._arguments(weights, inputs)
        bits = self._bits(wires)
        require_bytes(16 * len(x) << len(bits), f"the probabilities of {len(bits)} wires for {len(x)} samples")
        engines = self._ready()
        slots = self._lowered.stage.evaluate(w, x)
        out = over_states(engines.plan, *slots, lambda s: engines.backend.probabilities(s, bits))
        return out if batched else out[0]

    def density_matrix(
        self, weights: Any = None, inputs: Any = None, wires: Sequence[int] | None = None
    ) -> npt.NDArray[Any]:
        """Reduced density matrix of `wires` (default: all), (2^k, 2^k) or (B, 2^k, 2^k)."""
        w, x, batched = self._arguments(weights, inputs)
        where = self._wires(wires)
        slots = self._lowered.stage.evaluate(w, x)
        n, size = self.circuit.n_wires, self.dtype.itemsize * len(x)
        require_bytes(2 * size << 2 * len(where), f"the density matrices of {len(where)} wires for {len(x)} samples")
        out = over_states(self._ready().plan, *slots, lambda s: reduced_density(s, where, n))
        return out if batched else out[0]

    def sample(
        self,
        weights: Any = None,
        inputs: Any = None,
        *,
        shots: int,
        seed: Seed = None,
        wires: Sequence[int] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Measured bits of `wires` (default: all), (shots, k) or (B, shots, k)."""
        bits = self._bits(wires)
        indices, batched = self._sample(weights, inputs, shots, seed)
        out = bits_of(indices, bits)
        return out if batched else out[0]

    def counts(
        self,
        weights: Any = None,
        inputs: Any = None,
        *,
        shots: int,
        seed: Seed = None,
        wires: Sequence[int] | None = None,
    ) -> dict[str, int] | list[dict[str, int]]:
        """How often each outcome of `wires` occurred, {"010": 5, ...}; a list of them for a batch."""
        bits = self._bits(wires)
        indices, batched = self._sample(weights, inputs, shots, seed)
        out = [counts_of(row, bits) for row in indices]
        return out if batched else out[0]

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
        return self._lowered.program.disassembly()

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
        return {**self.__dict__, "_engines": None, "_squares": None}

    # inside

    def _ready(self) -> Engines:
        if self._engines is None:
            self._engines = Engines(self._lowered, self.dtype, self._backend_name)
        return self._engines

    def _arguments(self, weights: Any, inputs: Any) -> tuple[Array, Array, bool]:
        w = real_array(weights, "weights").reshape(-1)
        if w.size != self._n_weights:
            raise ParameterError(f"the circuit has {self._n_weights} weights, got {w.size}")
        x = real_array(inputs, "inputs")
        batched = x.ndim == 2
        if x.ndim > 2 or (x.shape[-1:] or (0,)) != (self._n_inputs,):
            if inputs is None:
                raise ParameterError(f"the circuit has {self._n_inputs} inputs, and none were given")
            raise ParameterError(
                f"inputs have shape ({self._n_inputs},) or (batch, {self._n_inputs}), got {np.shape(inputs)}"
            )
        if batched and not len(x):
            raise ParameterError("inputs: a batch has at least one sample, got none")
        return w, x if batched else x.reshape(1, -1), batched

    def _check_observables(self) -> None:
        if not self.observables:
            raise ArgumentError(
                "the model has no observables; compile it with some, as in kg.compile(circuit, [kg.Z(0)])"
            )

    def _cotangents(self, cotangents: Any, batch: int, batched: bool) -> Array:
        c = real_array(cotangents, "cotangents")
        wanted = (batch, len(self.observables)) if batched else (len(self.observables),)
        if np.ndim(cotangents) == 0 and wanted == (1,):
            c = c.reshape(1)
        if c.shape != wanted:
            raise ParameterError(f"cotangents must have the shape of the values {wanted}, got {c.shape}")
        return c.reshape(batch, -1)

    def _method(self, method: str, shots: int | None) -> str:
        if method not in METHODS:
            raise ArgumentError(f"method must be one of {METHODS}, got {method!r}.{suggest(str(method), METHODS)}")
        if shots is not None:
            check_shots(shots)
            if method == "adjoint":
                raise ArgumentError("the adjoint method is exact and takes no shots; use method='parameter-shift'")
            return "parameter-shift"
        return "adjoint" if method == "best" else method

    def _estimate(self, w: Array, x: Array, shots: int, rng: np.random.Generator) -> tuple[Array, Array]:
        return self._ready().estimator.estimate(*self._lowered.stage.evaluate(w, x), shots, rng)

    def _shift_jacobian(
        self, w: Array, x: Array, shots: int | None, rng: np.random.Generator
    ) -> tuple[Array, Array, Array, Array]:
        engines, none = self._ready(), np.zeros(0)

        def exact(angles: Array) -> tuple[Array, Array]:
            values = adjoint.values(self._lowered, engines.free_plan.forward(none, angles)[0])
            return values, np.zeros_like(values)

        def sampled(angles: Array) -> tuple[Array, Array]:
            return engines.free_estimator.estimate(none, angles, int(shots or 0), rng)

        evaluate = exact if shots is None else sampled
        return engines.shifts.jacobian(self._lowered.stage, w, x, evaluate, len(self.observables))

    def _sample(self, weights: Any, inputs: Any, shots: Any, seed: Any) -> tuple[npt.NDArray[np.uint64], bool]:
        w, x, batched = self._arguments(weights, inputs)
        engines = self._ready()
        slots = self._lowered.stage.evaluate(w, x)
        return sample_indices(engines.backend, engines.plan, *slots, check_shots(shots), generator(seed)), batched

    def _wires(self, wires: Sequence[int] | None) -> tuple[int, ...]:
        n = self.circuit.n_wires
        return tuple(range(n)) if wires is None else check_wires(wires, "wires", n)

    def _bits(self, wires: Sequence[int] | None) -> tuple[int, ...]:
        return tuple(wire_bit(w, self.circuit.n_wires) for w in self._wires(wires))


def compile(
    circuit: Circuit,
    observables: PauliSum | Sequence[PauliSum] = (),
    *,
    dtype: npt.DTypeLike = "complex128",
    backend: str | None = None,
) -> Model:
    """Make a circuit ready to run.

    Args:
        circuit: later changes to it do not reach the model.
        observables: one, or M of them; none for states and samples only.
        dtype: "complex128" or "complex64".
        backend: "native" or "numba"; default the best one here.

    Raises:
        ArgumentTypeError: not a circuit, or not observables.
        WireError: an observable on a wire the circuit does not have.
    """
    several = (observables,) if isinstance(observables, PauliSum) else observables
    try:
        items = tuple(several)
    except TypeError:
        raise ArgumentTypeError(
            f"compile: observables are PauliSums such as kg.Z(0), got {type(observables).__name__}"
        ) from None
    return Model(circuit, items, dtype, backend)
