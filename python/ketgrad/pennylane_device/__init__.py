"""The PennyLane device `ketgrad.qubit`, the only place where PennyLane is imported.

Its parts, each importing only those before it: `conversion` (operators to gates), `observables`, `measurements`
(values), `derivatives` (shapes of gradients), `dynamic`, `values`, `branches`, `branch_samples`, `snapshots` and
`midcircuit` (measurements on the way), `preprocessing` (transforms), `device` (the contract).
"""

from __future__ import annotations

from .device import KetgradQubit

__all__ = ["KetgradQubit"]
