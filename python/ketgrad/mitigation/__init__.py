"""Error mitigation: models that combine several noisy circuits into values with less bias, at the price of more shots.

Owns: the names that users import; everything is loaded on first use. May not know: what is behind them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cdr import cdr as cdr
    from .combination import Linear as Linear
    from .combination import Mitigated as Mitigated
    from .cost import Cost as Cost
    from .executor import executor as executor
    from .executor import from_cirq as from_cirq
    from .extrapolation import fitted as fitted
    from .extrapolation import polynomial_coefficients as polynomial_coefficients
    from .folding import fold_gates as fold_gates
    from .folding import fold_global as fold_global
    from .member import Member as Member
    from .pec import pec as pec
    from .quasi import QuasiProbability as QuasiProbability
    from .quasi import invert as invert
    from .readout import corrected as corrected
    from .readout import mitigate_counts as mitigate_counts
    from .readout import readout_cost as readout_cost
    from .readout import readout_mitigated as readout_mitigated
    from .symmetry import acceptance as acceptance
    from .symmetry import verified as verified
    from .twirling import twirled as twirled
    from .zne import zne as zne

_HOMES = {  # name: module
    "Cost": "cost",
    "Linear": "combination",
    "Member": "member",
    "Mitigated": "combination",
    "QuasiProbability": "quasi",
    "acceptance": "symmetry",
    "cdr": "cdr",
    "corrected": "readout",
    "executor": "executor",
    "fitted": "extrapolation",
    "fold_gates": "folding",
    "fold_global": "folding",
    "from_cirq": "executor",
    "invert": "quasi",
    "mitigate_counts": "readout",
    "pec": "pec",
    "polynomial_coefficients": "extrapolation",
    "readout_cost": "readout",
    "readout_mitigated": "readout",
    "twirled": "twirling",
    "verified": "symmetry",
    "zne": "zne",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ketgrad.mitigation' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found  # over the submodule of the same name, which importing it has put here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
