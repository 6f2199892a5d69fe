"""What a model builds on first use and does not pickle: its backend, plans and estimators.

Owns: when each is made, once, whichever thread asks first. May not know: weights, inputs, shapes of results.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .backends import Backend, Plan, get_backend
from .gradients.parameter_shift import ShiftedBatch
from .gradients.second_order import state_rule
from .lowering import Lowered, with_free_angles
from .simulator import Estimator


class Engines:
    """What is built on first use and not pickled: backend, plans, estimators."""

    def __init__(self, lowered: Lowered, dtype: np.dtype[Any], backend: str | None) -> None:
        self.backend: Backend = get_backend(backend)
        self.dtype = dtype
        self.plan: Plan = self.backend.prepare(lowered.program, dtype)
        self._lowered = lowered
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}

    def _once(self, key: str, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    @property
    def estimator(self) -> Estimator:
        return self._once("estimator", lambda: Estimator(self.backend, self._lowered, self.dtype))  # type: ignore[no-any-return]

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
            "free", lambda: self.backend.prepare(with_free_angles(self._lowered.program)[0], self.dtype)
        )

    @property
    def free_estimator(self) -> Estimator:
        def make() -> Estimator:
            free = Lowered(with_free_angles(self._lowered.program)[0], self._lowered.stage, self._lowered.readout)
            return Estimator(self.backend, free, self.dtype)

        return self._once("free estimator", make)  # type: ignore[no-any-return]
