"""What a model builds on first use and does not pickle: its backend, plans and estimators.

Owns: when each is made, once, whichever thread asks first. May not know: weights, inputs, shapes of results.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .backends import Backend, Plan
from .backends.shifted import ShiftedPlan
from .gradients.parameter_shift import Evaluate, ShiftedBatch
from .gradients.second_order import state_rule
from .gradients.shifted_shots import ShiftedShots
from .lowering import Lowered, Readout
from .program import with_free_angles
from .simulator import Estimator, measurement_settings


class Engines:
    """What is built on first use and not pickled: backend, plans, estimators.

    `sampled` is what shots measure, where that is not what exact values read.
    """

    def __init__(
        self, lowered: Lowered, dtype: np.dtype[Any], backend: Backend, sampled: Readout | None = None
    ) -> None:
        self.backend = backend
        self.dtype = dtype
        self.plan: Plan = backend.prepare(lowered.program, dtype)
        self._lowered = lowered
        self._sampled = lowered if sampled is None else replace(lowered, readout=sampled)
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}

    def _once(self, key: str, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    @property
    def estimator(self) -> Estimator:
        return self._once("estimator", lambda: Estimator(self.backend, self._sampled, self.dtype))  # type: ignore[no-any-return]

    @property
    def shifts(self) -> ShiftedBatch:
        return self._once("shifts", lambda: ShiftedBatch(self._lowered.program))  # type: ignore[no-any-return]

    @property
    def state_shifts(self) -> ShiftedBatch:
        return self._once(  # type: ignore[no-any-return]
            "state shifts", lambda: ShiftedBatch(self._lowered.program, state_rule)
        )

    @property
    def free_plan(self) -> Plan:
        return self._once(  # type: ignore[no-any-return]
            "free", lambda: self.backend.prepare(with_free_angles(self._lowered.program), self.dtype)
        )

    @property
    def shifted_plan(self) -> ShiftedPlan:
        return self._once(  # type: ignore[no-any-return]
            "shifted", lambda: self.backend.prepare_shifts(self._lowered.program, self.dtype)
        )

    @property
    def shifted_shots(self) -> ShiftedShots:
        plan, readout = self.shifted_plan, self._sampled.readout
        return self._once(  # type: ignore[no-any-return]
            "shifted shots",
            lambda: ShiftedShots(
                plan, measurement_settings(readout, self._lowered.program.n_bits), len(readout.coefficients)
            ),
        )

    def shifted(self, shots: int | None, rng: np.random.Generator | None, allocation: str) -> Evaluate:
        """What evaluates the outputs of shifted circuits, exactly or from shots."""
        rows = self.shifts.rows
        if shots is None:
            plan, readout = self.shifted_plan, self._lowered.readout.coefficients.T
            return lambda shared, per_sample: (plan.values(shared, per_sample, rows) @ readout, None)
        assert rng is not None
        estimate, importance = self.shifted_shots.estimate, self.shifts.importance
        return lambda shared, per_sample: estimate(shared, per_sample, rows, shots, rng, allocation, importance)
