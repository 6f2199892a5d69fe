"""The native backend: hands arrays to the C++ engine `ketgrad._core` and takes arrays back.

Owns: nothing but that. Importing this module where the core is absent raises ModuleNotFoundError for `ketgrad._core`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import ketgrad._core as _core  # `from .. import _core` would not name the missing module

from ..program import Program
from .contract import Array, Backend, Outcomes, Plan, States, Tallies

if TYPE_CHECKING:
    from .shifted import ShiftedPlan


class NativePlan(Plan):
    """A program compiled to kernel operands; immutable."""

    def __init__(self, program: Program, dtype: np.dtype[Any]) -> None:
        super().__init__(program, dtype)
        self._core = _core.Plan(
            program.instructions,
            program.pool,
            program.terms,
            program.n_bits,
            program.n_shared,
            program.n_per_sample,
            dtype == np.complex128,
        )

    def mode(self, batch_size: int) -> str:
        """How a batch of this size runs: "lanes" (a lane is a sample) or "single" (a lane is an amplitude)."""
        return self._core.mode(batch_size)

    def passes(self) -> list[dict[str, int]]:
        return self._core.passes()

    def _forward(self, shared: Array, per_sample: Array, keep: bool, initial: States | None) -> tuple[Array, Any]:
        return self._core.forward(shared, per_sample, keep, initial)

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
        return self._core.pullback(shared, per_sample, cotangents, tape, each, initial, bras, to_initial)

    def _states(self, shared: Array, per_sample: Array, initial: States | None) -> States:
        return self._core.states(shared, per_sample, initial)


class NativeBackend(Backend):
    """The C++ engine."""

    name = "native"

    def __init__(self) -> None:
        from . import default_num_threads

        _core.set_num_threads(default_num_threads())

    def info(self) -> dict[str, Any]:
        return {"instruction_set": _core.isa(), "available_instruction_sets": tuple(_core.available_isas())}

    def set_num_threads(self, count: int) -> None:
        _core.set_num_threads(count)

    def num_threads(self) -> int:
        return _core.num_threads()

    def _prepare(self, program: Program, dtype: np.dtype[Any]) -> Plan:
        return NativePlan(program, dtype)

    def _prepare_shifts(self, program: Program, dtype: np.dtype[Any]) -> ShiftedPlan:
        from .native_shifts import MAX_BITS, NativeShifts

        if program.n_bits > MAX_BITS:
            return super()._prepare_shifts(program, dtype)
        return NativeShifts(program, dtype)

    def _probabilities(self, states: States, bits: tuple[int, ...]) -> Array:
        return _core.probabilities(states, list(bits))

    def _sample(self, states: States, uniforms: Array, bits: tuple[int, ...]) -> Outcomes:
        return _core.sample(states, uniforms, list(bits))

    def _counts(self, states: States, uniforms: Array, bits: tuple[int, ...]) -> Tallies:
        return Tallies(*_core.counts(states, uniforms, list(bits)))
