"""Annealing: Ising problems, their exact quantum dynamics, and classical solvers beside them.

Owns: the names that users import; everything is loaded on first use. May not know: what is behind them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .exact import ExactAnnealing as ExactAnnealing
    from .exact import anneal as anneal
    from .exact_gradient import AnnealGradient as AnnealGradient
    from .exact_result import AnnealResult as AnnealResult
    from .exact_sampler import ExactAnnealer as ExactAnnealer
    from .exact_space import Diagonal as Diagonal
    from .problem import Ising as Ising
    from .schedules import Path as Path
    from .schedules import Schedule as Schedule
    from .spectrum import Spectrum as Spectrum
    from .spectrum import energy_levels as energy_levels
    from .spectrum import locally_adiabatic as locally_adiabatic
    from .spectrum import minimum_gap as minimum_gap

_HOMES = {  # name: module
    "AnnealGradient": "exact_gradient",
    "AnnealResult": "exact_result",
    "Diagonal": "exact_space",
    "ExactAnnealing": "exact",
    "ExactAnnealer": "exact_sampler",
    "Ising": "problem",
    "Path": "schedules",
    "Schedule": "schedules",
    "Spectrum": "spectrum",
    "anneal": "exact",
    "locally_adiabatic": "spectrum",
    "minimum_gap": "spectrum",
    "energy_levels": "spectrum",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ketgrad.anneal' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
