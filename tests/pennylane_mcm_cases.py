"""Circuits with measurements in the middle, for the tests of the PennyLane device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")

from pennylane_cases import MATRIX  # noqa: E402

X = np.array([0.4, 0.7])


def moving(x: Any, postselect: int | None = None, reset: bool = False) -> list[Any]:
    """Reused wires, conditions on several values, gates with one angle in and outside of conditions."""
    qml.RY(x[0], 0)
    qml.CNOT([0, 1])
    qml.RX(0.3, 1)
    a = qml.measure(1, postselect=postselect, reset=reset)
    qml.cond(a, qml.RY)(x[1], 0)
    qml.RY(0.3 * x[0], 1)
    b = qml.measure(0)
    qml.cond(b & ~a, qml.RY, qml.RZ)(x[1], 0)
    qml.cond(a + 2 * b == 1, qml.CRX)(x[1], [1, 2])
    qml.CRY(x[1], [0, 2])
    return [a, b]


def everything(x: Any, postselect: int | None = None, reset: bool = False) -> Any:
    a, b = moving(x, postselect, reset)
    return (
        qml.expval(qml.Z(0)),
        qml.expval(0.5 * qml.I(0) + qml.X(1) @ qml.Z(2)),
        qml.var(qml.X(1) @ qml.Z(0) + 0.5 * qml.Y(2)),
        qml.probs(wires=[2, 1]),
        qml.probs(op=qml.Hermitian(MATRIX, 1)),
        qml.expval(qml.Hermitian(MATRIX, 2)),
        qml.expval(a),
        qml.var(a + 2 * b),
        qml.probs(op=[a, b]),
        qml.expval(qml.Projector([1, 0], [0, 2])),
    )


def smooth(results: Any, math: Any) -> Any:
    """A number made of all results."""
    return sum(math.sum(math.sin(r * (k + 1))) for k, r in enumerate(results))
