"""`Structure`: what all tapes of one structure and one list of measurements share, above all compiled models.

Owns: which models there are, each built when it is first needed. May not know: tensors, frameworks, configurations.

Angles that differ from sample to sample are inputs of a model, the others its weights, so a model belongs to a pattern
of angles: True for each that varies.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit
from ..model import Model, compile_circuit
from ..pauli import PauliSum
from .channels import CHANNEL, LiveChannel
from .conversion import Row, append_constant, build_circuit, n_angles
from .measurements import ExactPlan
from .reading import Reading
from .sampling import SampledPlan

Pattern = tuple[bool, ...]
STRUCTURES = 8  # kept with the numbers of their live channels


class Site(NamedTuple):
    """A live channel: which one of the circuit's channels, and the positions of its parameters among the angles."""

    site: int
    channel: LiveChannel
    angles: tuple[int, ...]


class Structure:
    """The models of one structure.

    Args:
        reading, measurements: of a tape of this structure.
        shots: whether it is measured with shots.
        dtype, backend: of its models.
        noise: method, trajectories and seed of `noise.NoisyModel`, for a circuit with channels.

    Attributes:
        noisy: whether it has channels.
        by_paths: whether exact results come from trajectories; without a method they are exact, with shots the cost
            decides.
        live: the channels without numbers; `at` gives them theirs.
    """

    def __init__(
        self,
        reading: Reading,
        measurements: Sequence[Any],
        shots: bool,
        dtype: str,
        backend: str | None,
        noise: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.n_wires, self.index = len(reading.labels), dict(reading.index)  # without its tape
        self.noisy, self.live = reading.noisy, _live(reading.rows)
        self._noise = dict(noise)
        if not shots and self._noise.get("method") is None:  # as everything else without shots
            self._noise["method"] = "density"
        self.by_paths = self.noisy and self._noise["method"] == "trajectories"
        self._with_numbers: OrderedDict[tuple[float, ...], Structure] = OrderedDict()
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

    def at(self, numbers: tuple[float, ...]) -> Structure:
        """The same with numbers for the live channels, in their order."""
        with self._lock:
            if numbers not in self._with_numbers:
                self._with_numbers[numbers] = self._filled(iter(numbers))
                if len(self._with_numbers) > STRUCTURES:
                    self._with_numbers.popitem(last=False)
            self._with_numbers.move_to_end(numbers)
            return self._with_numbers[numbers]

    def _filled(self, numbers: Iterator[float]) -> Structure:
        out = copy.copy(self)
        rows = []
        for row in self._rows:
            if isinstance(live := row.extra, LiveChannel):
                row = row._replace(extra=live.at([next(numbers) for _ in live.strengths]))
            rows.append(row)
        out._rows, out.live, out._models = tuple(rows), (), {}
        out._lock, out._with_numbers = threading.Lock(), OrderedDict()
        return out

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
        noise = self._noise if self.noisy else {}
        return compile_circuit(circuit, observables, dtype=self.dtype, backend=self.backend, **noise)

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


def _live(rows: Sequence[Row]) -> tuple[Site, ...]:
    out, site, angle = [], 0, 0
    for row in rows:
        count = n_angles(row)
        if isinstance(row.extra, LiveChannel):
            out.append(Site(site, row.extra, tuple(range(angle, angle + count))))
        site += row.name == CHANNEL
        angle += count
    return tuple(out)
