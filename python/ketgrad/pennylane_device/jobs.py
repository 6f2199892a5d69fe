"""`Job`: tapes that one call of the engine can serve, and the key of what they share.

Owns: when two tapes are alike. May not know: how they are evaluated.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pennylane as qml

from .conversion import is_live
from .measurements import measurement_key
from .reading import Reading


class Key:
    """A long key that is hashed once, however often it is looked up."""

    __slots__ = ("_hash", "_parts")

    def __init__(self, *parts: Hashable) -> None:
        self._parts, self._hash = parts, hash(parts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._parts == other._parts


def structure_key(reading: Reading, measurements: Sequence[Any], shots: bool) -> Hashable:
    """What tapes of one structure share."""
    measured = tuple([measurement_key(mp, reading.index) for mp in measurements])
    return Key(len(reading.labels), reading.rows, measured, shots)


class Job:
    """Tapes of one structure, to run as one batch of the engine; `positions` are theirs in what was asked for."""

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.positions: list[int] = []
        self.tapes: list[Any] = []
        self.readings: list[Reading] = []

    def add(self, position: int, tape: Any, reading: Reading) -> None:
        """Append a tape."""
        self.positions.append(position)
        self.tapes.append(tape)
        self.readings.append(reading)

    def one_by_one(self) -> list[Job]:
        """A job for each tape."""
        out = []
        for part in zip(self.positions, self.tapes, self.readings, strict=True):
            out.append(Job(self.key))
            out[-1].add(*part)
        return out

    def tensors(self) -> list[Any]:
        """Those of the tape; of several tapes, stacked."""
        each = [r.tensors for r in self.readings]
        if len(each) == 1:
            return list(each[0])
        stack = qml.math.stack if any(is_live(t) for tensors in each for t in tensors) else np.stack
        return [stack([tensors[k] for tensors in each]) for k in range(len(each[0]))]
