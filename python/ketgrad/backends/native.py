"""The native backend: hands arrays to the C++ engine `ketgrad._core` and takes arrays back.

Owns: nothing but that. Importing this module where the core is absent raises ModuleNotFoundError for `ketgrad._core`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import ketgrad._core as _core  # `from .. import _core` would not name the missing module

from ..memory import require_states
from ..program import Opcode, Program
from .contract import Array, Backend, Outcomes, Plan, States, Tallies
from .shifted import Integers, Setting, ShiftedPlan, Shifts
from .spins import ReadRange, SpinEngine, SpinModel, Spins

MAX_SHIFT_BITS = 13  # kMaxShiftBits in csrc/shifts.hpp
_SHIFT_TILES = 80  # held at most, but for three a thread


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

    def choice(self, batch_size: int) -> dict[str, Any]:
        return self._core.choice(batch_size)

    def _forward(self, shared: Array, per_sample: Array, keep: bool, initial: States | None) -> tuple[Array, Any]:
        return self._core.forward(shared, per_sample, keep, initial)

    def _states_and_tape(self, shared: Array, per_sample: Array, initial: States | None) -> tuple[States, Any]:
        return self._core.states_and_tape(shared, per_sample, initial)

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


class NativeShifts(ShiftedPlan):
    """A program compiled for tiles of states that share all but one angle; up to MAX_SHIFT_BITS qubits."""

    def __init__(self, program: Program, dtype: np.dtype[Any]) -> None:
        super().__init__(program, dtype)
        self._core = _core.ShiftPlan(
            program.instructions,
            program.pool,
            program.terms,
            program.n_bits,
            program.n_shared,
            program.n_per_sample,
            dtype == np.complex128,
        )

    def _require(self) -> None:
        states = (_SHIFT_TILES + 3 * _core.num_threads()) * 128 // self.dtype.itemsize
        require_states(self.program.n_bits, self.dtype.itemsize, states)

    def _values(self, shared: Array, per_sample: Array, shifts: Shifts) -> Array:
        self._require()
        return self._core.values(
            shared, per_sample, shifts.instruction, shifts.nodes, shifts.node_shifts, shifts.bundle, shifts.weights
        )

    def _moments(
        self,
        shared: Array,
        per_sample: Array,
        shifts: Shifts,
        settings: Sequence[Setting],
        shots: Integers,
        uniforms: Array,
    ) -> tuple[Array, Array]:
        self._require()
        return self._core.moments(
            shared,
            per_sample,
            shifts.instruction,
            shifts.nodes,
            shifts.node_shifts,
            shifts.bundle,
            shifts.weights,
            [(s.mask("X"), s.mask("Y"), s.mask("XYZ"), s.table) for s in settings],
            shots,
            uniforms,
        )


class NativeSpins(SpinEngine):
    """A model of spins, held by the engine."""

    updates_per_second = 2e8

    def __init__(self, model: SpinModel) -> None:
        super().__init__(model)
        self._core = _core.Spins(model.fields, model.starts, model.neighbours, model.couplings)

    def together(self, slices: int = 1) -> int:
        if slices > 1:
            return 32 // math.gcd(slices, 32) * _core.num_threads()
        return (64 if self.model.narrow else 16) * _core.num_threads()

    def _anneal(self, rates: Array, sweeps: int, reads: ReadRange) -> Spins:
        return self._core.anneal(rates, sweeps, self.model.narrow, *reads)

    def _anneal_paths(
        self, steps: Array, slices: int, lines: bool, measured: int, reads: ReadRange
    ) -> tuple[Spins, Array, Array]:
        return self._core.anneal_paths(steps, slices, lines, measured, *reads)


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
        if program.n_bits > MAX_SHIFT_BITS or (program.instructions["opcode"] == Opcode.KRAUS).any():
            return super()._prepare_shifts(program, dtype)
        return NativeShifts(program, dtype)

    def prepare_spins(self, model: SpinModel) -> SpinEngine:
        return NativeSpins(model)

    def _probabilities(self, states: States, bits: tuple[int, ...]) -> Array:
        return _core.probabilities(states, list(bits))

    def _sample(self, states: States, uniforms: Array, bits: tuple[int, ...]) -> Outcomes:
        return _core.sample(states, uniforms, list(bits))

    def _counts(self, states: States, uniforms: Array, bits: tuple[int, ...]) -> Tallies:
        return Tallies(*_core.counts(states, uniforms, list(bits)))
