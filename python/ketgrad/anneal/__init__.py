"""Annealing: Ising problems, their exact quantum dynamics, and classical solvers beside them.

Owns: the names that users import; everything is loaded on first use. May not know: what is behind them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import compare as compare
    from .exact import ExactAnnealing as ExactAnnealing
    from .exact import anneal as anneal
    from .exact_gradient import AnnealGradient as AnnealGradient
    from .exact_result import AnnealResult as AnnealResult
    from .exact_sampler import ExactAnnealingSampler as ExactAnnealingSampler
    from .exact_space import Diagonal as Diagonal
    from .path_integral import SimulatedQuantumAnnealingSampler as SimulatedQuantumAnnealingSampler
    from .problem import Ising as Ising
    from .qaoa import QAOA as QAOA
    from .qaoa import QAOASampler as QAOASampler
    from .schedules import Path as Path
    from .schedules import Schedule as Schedule
    from .simulated import SimulatedAnnealingSampler as SimulatedAnnealingSampler
    from .spectrum import Spectrum as Spectrum
    from .spectrum import energy_levels as energy_levels
    from .spectrum import locally_adiabatic as locally_adiabatic
    from .spectrum import minimum_gap as minimum_gap
    from .success import optimal_time_to_solution as optimal_time_to_solution
    from .success import success_of as success_of
    from .success import time_to_solution as time_to_solution

_HOMES = {  # name: module
    "AnnealGradient": "exact_gradient",
    "AnnealResult": "exact_result",
    "Diagonal": "exact_space",
    "ExactAnnealingSampler": "exact_sampler",
    "ExactAnnealing": "exact",
    "Ising": "problem",
    "Path": "schedules",
    "Schedule": "schedules",
    "QAOA": "qaoa",
    "QAOASampler": "qaoa",
    "SimulatedAnnealingSampler": "simulated",
    "SimulatedQuantumAnnealingSampler": "path_integral",
    "Spectrum": "spectrum",
    "anneal": "exact",
    "compare": "comparison",
    "energy_levels": "spectrum",
    "locally_adiabatic": "spectrum",
    "minimum_gap": "spectrum",
    "optimal_time_to_solution": "success",
    "success_of": "success",
    "time_to_solution": "success",
}
_MODULES = ("files", "generators", "solvable", "success")

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'ketgrad.anneal' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
