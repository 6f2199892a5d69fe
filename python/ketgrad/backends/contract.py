"""What a backend is: the calls, their shapes, and the checks that are the same for every backend.

Owns: `Plan` and `Backend`. A backend subclasses both and implements the underscored methods, which may assume
checked arguments. May not know: gates, circuits.

Shapes: B samples, S shared slots, F per-sample slots, R terms, K sets of cotangents.

Two things may stand in for what a program says by itself. `initial`, (B, 2^n) or (1, 2^n) states of the plan's dtype,
replaces |0...0>; it need not be normalised. `bras`, (K, B, 2^n), are cotangents of the final states: the derivative of
what is differentiated by the conjugate of the state, so that it changes by 2 Re <bra|d state>.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ArgumentTypeError, ParameterError
from ..finite import require_finite
from ..memory import require_bytes, require_states
from ..program import Opcode, Program

if TYPE_CHECKING:
    from .shifted import ShiftedPlan
    from .spins import SpinEngine, SpinModel

Array = npt.NDArray[np.float64]
States = npt.NDArray[Any]  # (B, 2^n) complex64 or complex128
Outcomes = npt.NDArray[np.uint64]


def _slots(value: npt.ArrayLike, shape: tuple[int, ...], what: str) -> Array:
    array = np.ascontiguousarray(value, dtype=np.float64)
    if array.shape != shape:
        raise ParameterError(f"{what} must have shape {shape}, got {array.shape}")
    require_finite(array, what)
    return array


def checked_slots(program: Program, shared: npt.ArrayLike, per_sample: npt.ArrayLike) -> tuple[Array, Array]:
    """Slots (S,) and (B, F) of a program, contiguous.

    Raises:
        ParameterError: wrong shape or not finite.
    """
    shared = _slots(shared, (program.n_shared,), "shared slots")
    batch = len(per_sample) if np.ndim(per_sample) == 2 else 1  # type: ignore[arg-type]
    return shared, _slots(per_sample, (batch, program.n_per_sample), "per-sample slots")


class Tallies(NamedTuple):
    """How often outcomes occurred in each of B rows; those of row b are at starts[b]:starts[b + 1], ascending."""

    starts: npt.NDArray[np.int64]  # (B + 1,)
    outcomes: npt.NDArray[np.uint64]  # (D,)
    counts: npt.NDArray[np.int64]  # (D,), all positive

    @classmethod
    def of_rows(cls, rows: Sequence[tuple[Outcomes, npt.NDArray[np.int64]]]) -> Tallies:
        """From (outcomes, counts) of each row."""
        starts = np.cumsum([0, *(len(outcomes) for outcomes, _ in rows)], dtype=np.int64)
        outcomes = [np.zeros(0, np.uint64), *(o for o, _ in rows)]
        return cls(starts, np.concatenate(outcomes), np.concatenate([np.zeros(0, np.int64), *(c for _, c in rows)]))

    def rows(self) -> Iterator[tuple[Outcomes, npt.NDArray[np.int64]]]:
        """(outcomes, counts) of each row."""
        for start, stop in itertools.pairwise(self.starts.tolist()):
            yield self.outcomes[start:stop], self.counts[start:stop]


def _uniforms(states: States, uniforms: npt.ArrayLike) -> Array:
    return _slots(uniforms, (len(states), np.shape(uniforms)[-1]), "uniforms")


def _n_bits(states: States) -> int:
    if not isinstance(states, np.ndarray) or states.dtype not in (np.complex64, np.complex128):
        raise ArgumentTypeError("states are a complex64 or complex128 array")
    size = states.shape[-1] if states.ndim == 2 else 0
    if size < 2 or size & (size - 1):
        raise ArgumentError(f"states have shape (batch, 2^n), got {states.shape}")
    return int(size).bit_length() - 1


def _checked_bits(states: States, bits: Sequence[int] | None) -> tuple[int, ...]:
    n = _n_bits(states)
    bits = tuple(range(n - 1, -1, -1)) if bits is None else tuple(bits)
    if len(set(bits)) != len(bits) or any(not hasattr(b, "__index__") or not 0 <= b < n for b in bits):
        raise ArgumentError(f"bits must be distinct and below {n}, got {bits}")
    return bits


class Plan(ABC):
    """A program made ready to run in one dtype. Immutable; may be used from many threads at once."""

    def __init__(self, program: Program, dtype: np.dtype[Any]) -> None:
        self.program = program
        self.dtype = dtype

    def forward(
        self,
        shared: Array,
        per_sample: Array,
        keep: bool = False,
        initial: States | None = None,
        checked: bool = False,
    ) -> tuple[Array, Any]:
        """Expectation values of the terms.

        Args:
            shared: (S,) angles in radians, before each instruction's scale and offset.
            per_sample: (B, F).
            keep: also return what `pullback` can start from.
            initial: states to start from.
            checked: the slots are contiguous, of the right shapes and finite; the caller has seen to it.

        Returns:
            (B, R) float64, and a tape or None. A tape holds memory until it is dropped.

        Raises:
            ParameterError: wrong shape or not finite.
            OutOfMemoryError: the state does not fit.
        """
        if not checked:
            shared, per_sample = self._check(shared, per_sample)
        self._require(1)
        return self._forward(shared, per_sample, keep, self._initial(initial, len(per_sample)))

    def pullback(
        self,
        shared: Array,
        per_sample: Array,
        cotangents: Array,
        tape: Any = None,
        each: bool = False,
        initial: States | None = None,
        bras: States | None = None,
        checked: bool = False,
    ) -> tuple[Array, Array]:
        """Gradients of sum(cotangents * forward(...)) in one sweep, by the adjoint method.

        Args:
            cotangents: (K, B, R).
            tape: what `forward` returned for the same arguments, or None to run forward again.
            each: give the gradient of shared slots for every sample instead of its sum.
            initial: states to start from.
            bras: cotangents of the final states, added to those of the terms.
            checked: as for `forward`, and the cotangents too.

        Returns:
            (K, S) or (K, B, S), and (K, B, F); float64.
        """
        pulled = self._pull(shared, per_sample, cotangents, tape, each, initial, bras, False, checked)
        return pulled[0], pulled[1]

    def pullback_to_initial(
        self,
        shared: Array,
        per_sample: Array,
        cotangents: Array,
        tape: Any = None,
        initial: States | None = None,
        bras: States | None = None,
        each: bool = False,
    ) -> tuple[Array, Array, States]:
        """As `pullback`, and the cotangents of the initial states, (K, B, 2^n)."""
        return self._pull(shared, per_sample, cotangents, tape, each, initial, bras, True)

    def _pull(
        self,
        shared: Array,
        per_sample: Array,
        cotangents: Array,
        tape: Any,
        each: bool,
        initial: States | None,
        bras: States | None,
        to_initial: bool,
        checked: bool = False,
    ) -> tuple[Array, Array, Any]:
        batch = len(per_sample)
        if not checked:
            shared, per_sample = self._check(shared, per_sample)
            batch = len(per_sample)
            cotangents = _slots(cotangents, (len(cotangents), batch, len(self.program.terms)), "cotangents")
        if bras is not None:
            bras = self._rows(bras, (len(cotangents), batch), "bras")
        self._require(2 + (len(cotangents) * batch if to_initial else 0))
        start = self._initial(initial, batch)
        return self._pullback(shared, per_sample, cotangents, tape, each, start, bras, to_initial)

    def choice(self, batch_size: int) -> dict[str, Any]:
        """How a batch of this size runs: `mode`, "lanes" (a lane is a sample), "single" (a lane is an amplitude) or "".

        `passes` has a dictionary of counts for each pass over a tile or a state, and nothing if it runs gate by gate;
        `lanes` is the samples of a tile; `lanes_us` and `single_us` the estimates by which it was chosen, or 0.
        """
        return {"mode": "", "passes": []}

    def states(self, shared: Array, per_sample: Array, initial: States | None = None) -> States:
        """Final states, (B, 2^n) of this plan's dtype, C-contiguous."""
        shared, per_sample = self._check(shared, per_sample)
        self._require(max(1, len(per_sample)))
        return self._states(shared, per_sample, self._initial(initial, len(per_sample)))

    def states_and_tape(self, shared: Array, per_sample: Array, initial: States | None = None) -> tuple[States, Any]:
        """As `states`, and what `pullback` can start from, or None."""
        shared, per_sample = self._check(shared, per_sample)
        self._require(2 * max(1, len(per_sample)))
        return self._states_and_tape(shared, per_sample, self._initial(initial, len(per_sample)))

    def _states_and_tape(self, shared: Array, per_sample: Array, initial: States | None) -> tuple[States, Any]:
        return self._states(shared, per_sample, initial), None

    @property
    def runs(self) -> Program:
        """The program that states go through, where that is not `program` itself."""
        return self.program

    def kept_bytes(self, batch_size: int) -> int:
        """What a tape of a batch of this size holds."""
        return batch_size * self.dtype.itemsize << self.program.n_bits

    def _initial(self, initial: States | None, batch: int) -> States | None:
        if initial is None:
            return None
        rows = self.program.instructions
        if len(rows) and rows["opcode"][0] == Opcode.PREPARE:
            raise ArgumentError("the circuit prepares its own initial state; give it no other")
        return self._rows(initial, (1 if np.shape(initial)[:1] == (1,) else batch,), "initial")

    def _rows(self, states: States, lead: tuple[int, ...], what: str) -> States:
        array = np.ascontiguousarray(states, dtype=self.dtype)
        wanted = (*lead, 1 << self.program.n_bits)
        if array.shape != wanted:
            raise ParameterError(f"{what} must have shape {wanted}, got {array.shape}")
        if not np.isfinite(array).all():
            raise ParameterError(f"{what} must be finite")
        return array

    def _require(self, copies: int) -> None:
        require_states(self.program.n_bits, self.dtype.itemsize, copies)

    def _check(self, shared: Array, per_sample: Array) -> tuple[Array, Array]:
        return checked_slots(self.program, shared, per_sample)

    @abstractmethod
    def _forward(self, shared: Array, per_sample: Array, keep: bool, initial: States | None) -> tuple[Array, Any]: ...

    @abstractmethod
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
    ) -> tuple[Array, Array, Any]: ...

    @abstractmethod
    def _states(self, shared: Array, per_sample: Array, initial: States | None) -> States: ...


class Backend(ABC):
    """An engine that runs programs, and the few operations on states that want native speed."""

    name: str

    def prepare(self, program: Program, dtype: npt.DTypeLike = np.complex128) -> Plan:
        """Make a program ready to run.

        Raises:
            ArgumentError: a dtype other than complex64 and complex128.
        """
        return self._prepare(program, self._checked(program, dtype))

    def prepare_shifts(self, program: Program, dtype: npt.DTypeLike = np.complex128) -> ShiftedPlan:
        """Make a program ready to run with one angle moved; errors as for `prepare`."""
        return self._prepare_shifts(program, self._checked(program, dtype))

    def _checked(self, program: Program, dtype: npt.DTypeLike) -> np.dtype[Any]:
        if not isinstance(program, Program):
            raise ArgumentTypeError(f"prepare: expected a Program, got {type(program).__name__}")
        try:
            wanted = np.dtype(dtype)
        except (TypeError, ValueError, SyntaxError):
            raise ArgumentError(f"dtype must be complex64 or complex128, got {dtype!r}") from None
        if wanted not in (np.dtype(np.complex64), np.dtype(np.complex128)):
            raise ArgumentError(f"dtype must be complex64 or complex128, got {wanted}")
        return wanted

    def _prepare_shifts(self, program: Program, dtype: np.dtype[Any]) -> ShiftedPlan:
        from .shifted import RowShifts

        return RowShifts(self, program, dtype)

    def probabilities(self, states: States, bits: tuple[int, ...]) -> Array:
        """(B, 2^k) float64: probabilities of the listed bits, the first the most significant of the outcome."""
        bits = _checked_bits(states, bits)
        require_bytes(8 * len(states) << len(bits), f"the probabilities of {len(bits)} wires")
        return self._probabilities(np.ascontiguousarray(states), bits)

    def sample(self, states: States, uniforms: Array, bits: Sequence[int] | None = None) -> Outcomes:
        """(B, shots) outcomes by inverting the cumulative distribution at `uniforms` (B, shots) in [0, 1).

        Index i is drawn when cumulative(i - 1) <= u * norm < cumulative(i), sums in float64; a state of norm 0
        cannot occur. Its outcome is what the listed bits of i say, the first the most significant; default: i itself.
        """
        bits = _checked_bits(states, bits)
        return self._sample(np.ascontiguousarray(states), _uniforms(states, uniforms), bits)

    def counts(self, states: States, uniforms: Array, bits: Sequence[int] | None = None) -> Tallies:
        """How often `sample` draws each outcome, for each row. Needs 16 bytes a shot and 32 MiB beside the result."""
        bits = _checked_bits(states, bits)
        return self._counts(np.ascontiguousarray(states), _uniforms(states, uniforms), bits)

    @abstractmethod
    def prepare_spins(self, model: SpinModel) -> SpinEngine:
        """Make a model of spins ready to be annealed."""

    @abstractmethod
    def info(self) -> dict[str, Any]:
        """Facts for `backend_info()`: instruction set, reason, ..."""

    @abstractmethod
    def set_num_threads(self, count: int) -> None: ...

    @abstractmethod
    def num_threads(self) -> int: ...

    @abstractmethod
    def _prepare(self, program: Program, dtype: np.dtype[Any]) -> Plan: ...

    @abstractmethod
    def _probabilities(self, states: States, bits: tuple[int, ...]) -> Array: ...

    @abstractmethod
    def _sample(self, states: States, uniforms: Array, bits: tuple[int, ...]) -> Outcomes: ...

    @abstractmethod
    def _counts(self, states: States, uniforms: Array, bits: tuple[int, ...]) -> Tallies: ...
