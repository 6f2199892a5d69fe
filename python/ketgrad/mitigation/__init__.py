"""Error mitigation: models that combine several noisy circuits into values with less bias, at the price of more shots.

Owns: the names that users import; everything is loaded on first use. May not know: what is behind them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cancellation import pec as pec
    from .cirq_circuits import executor as executor
    from .cirq_circuits import from_cirq as from_cirq
    from .combination import Linear as Linear
    from .combination import Mitigated as Mitigated
    from .cost import Cost as Cost
    from .extrapolation import fitted as fitted
    from .extrapolation import polynomial_coefficients as polynomial_coefficients
    from .folding import fold_gates as fold_gates
    from .folding import fold_global as fold_global
    from .member import Member as Member
    from .quasi import QuasiProbability as QuasiProbability
    from .quasi import invert as invert
    from .readout import corrected as corrected
    from .readout import mitigate_counts as mitigate_counts
    from .readout import readout_cost as readout_cost
    from .readout import readout_mitigated as readout_mitigated
    from .regression import cdr as cdr
    from .symmetry import acceptance as acceptance
    from .symmetry import verified as verified
    from .twirling import twirled as twirled
    from .zero_noise import zne as zne

_HOMES = {  # name: module
    "Cost": "cost",
    "Linear": "combination",
    "Member": "member",
    "Mitigated": "combination",
    "QuasiProbability": "quasi",
    "acceptance": "symmetry",
    "cdr": "regression",
    "corrected": "readout",
    "executor": "cirq_circuits",
    "fitted": "extrapolation",
    "fold_gates": "folding",
    "fold_global": "folding",
    "from_cirq": "cirq_circuits",
    "invert": "quasi",
    "mitigate_counts": "readout",
    "pec": "cancellation",
    "polynomial_coefficients": "extrapolation",
    "readout_cost": "readout",
    "readout_mitigated": "readout",
    "twirled": "twirling",
    "verified": "symmetry",
    "zne": "zero_noise",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ketgrad.mitigation' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
