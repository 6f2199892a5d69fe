"""Annealing: Ising problems, their exact quantum dynamics, and classical solvers beside them.

Owns: the names that users import; everything is loaded on first use. May not know: what is behind them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .path_integral import SimulatedQuantumAnnealingSampler as SimulatedQuantumAnnealingSampler
    from .problem import Ising as Ising
    from .simulated import SimulatedAnnealingSampler as SimulatedAnnealingSampler

_HOMES = {  # name: module
    "Ising": "problem",
    "SimulatedAnnealingSampler": "simulated",
    "SimulatedQuantumAnnealingSampler": "path_integral",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ketgrad.anneal' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
