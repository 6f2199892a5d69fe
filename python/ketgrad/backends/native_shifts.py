"""The native engine of shifted circuits: hands arrays to `ketgrad._core.ShiftPlan` and takes arrays back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import ketgrad._core as _core

from ..memory import require_states
from ..program import Program
from .contract import Array
from .shifted import Integers, Setting, ShiftedPlan, Shifts

MAX_BITS = 13  # kMaxShiftBits in csrc/shifts.hpp
_TILES = 80  # held at most, but for three a thread


class NativeShifts(ShiftedPlan):
    """A program compiled for tiles of states that share all but one angle; up to MAX_BITS qubits."""

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
        states = (_TILES + 3 * _core.num_threads()) * 128 // self.dtype.itemsize
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
            [(s.mask("X"), s.mask("Y"), s.mask("XYZ"), s.full_table) for s in settings],
            shots,
            uniforms,
        )
