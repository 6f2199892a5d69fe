"""`Structure`: what all tapes of one structure and one list of measurements share, above all compiled models.

Owns: which models there are, each built when it is first needed. May not know: tensors, frameworks, configurations.

Angles that differ from sample to sample are inputs of a model, the others its weights, so a model belongs to a pattern
of angles: True for each that varies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit
from ..model import Model, compile_circuit
from ..pauli import PauliSum
from .conversion import Reading, append_constant, build_circuit
from .measurements import ExactPlan
from .sampling import SampledPlan

Pattern = tuple[bool, ...]


class Structure:
    """The models of one structure.

    Args:
        reading, measurements: of a tape of this structure.
        shots: whether it is measured with shots.
        dtype, backend: of its models.
    """

    def __init__(
        self, reading: Reading, measurements: Sequence[Any], shots: bool, dtype: str, backend: str | None
    ) -> None:
        self.n_wires, self.index = len(reading.labels), dict(reading.index)  # without its tape
        self.dtype, self.backend = dtype, backend
        self._rows = reading.rows
        self._models: dict[Hashable, Model] = {}
        self._outcomes: dict[tuple[int, ...], npt.NDArray[np.intp]] = {}
        self._lock = threading.Lock()
        self.plan: ExactPlan | SampledPlan = (
            SampledPlan(measurements, self.index) if shots else ExactPlan(measurements, self.index)
        )

    def values(self, pattern: Pattern) -> Model:
        """The circuit with the observables of the plan."""
        return self._once(
            (pattern, "values"),
            lambda: self._compile(self._circuit(pattern), self.plan.observables),
        )

    def rotated(self, pattern: Pattern, basis: int) -> Model:
        """The circuit followed by the rotation into one of the plan's bases."""
        rotation = self.plan.bases[basis]
        if rotation is None:
            return self.values(pattern)
        return self._once((pattern, basis), lambda: self._compile(self._with_rotation(pattern, rotation)))

    def outcomes(self, wires: tuple[int, ...]) -> npt.NDArray[np.intp]:
        """(2^n,) outcome of each basis state on some wires, the first the most significant."""
        if wires not in self._outcomes:
            states = np.arange(1 << self.n_wires)
            found = np.zeros_like(states)
            for w in wires:
                found = found << 1 | states >> (self.n_wires - 1 - w) & 1
            self._outcomes[wires] = found
        return self._outcomes[wires]

    def _circuit(self, pattern: Pattern) -> Circuit:
        return build_circuit(self.n_wires, self._rows, pattern)

    def _once(self, key: Hashable, make: Callable[[], Model]) -> Model:
        with self._lock:
            if key not in self._models:
                self._models[key] = make()
            return self._models[key]

    def _compile(self, circuit: Circuit, observables: Sequence[PauliSum] = ()) -> Model:
        return compile_circuit(circuit, observables, dtype=self.dtype, backend=self.backend)

    def _with_rotation(self, pattern: Pattern, rotation: Any) -> Circuit:
        circuit = self._circuit(pattern)
        if isinstance(rotation, dict):  # letters by wire
            for wire, letter in rotation.items():
                if letter == "Y":
                    circuit.append("sdg", (), (wire,))
                circuit.append("h", (), (wire,))
        else:
            append_constant(circuit, rotation, self.index)
        return circuit
