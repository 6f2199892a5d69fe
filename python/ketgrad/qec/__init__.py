"""Error correction: codes, encoders, decoders, exact tables, noisy syndrome circuits, post-selected training.

Owns: the names that users import; everything is loaded on first use. May not know: what is behind them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codes import Code as Code
    from .codes import five_qubit as five_qubit
    from .codes import four_two_two as four_two_two
    from .codes import iceberg as iceberg
    from .codes import repetition as repetition
    from .codes import rotated_surface as rotated_surface
    from .codes import steane as steane
    from .decoding import LookupDecoder as LookupDecoder
    from .decoding import MatchingDecoder as MatchingDecoder
    from .encoders import decoder_circuit as decoder_circuit
    from .encoders import encoder as encoder
    from .tables import Correction as Correction
    from .tables import Detection as Detection
    from .tables import coherent_z as coherent_z
    from .tables import logical_channel as logical_channel

_HOMES = {  # name: module
    "Code": "codes",
    "Correction": "tables",
    "Detection": "tables",
    "LookupDecoder": "decoding",
    "MatchingDecoder": "decoding",
    "coherent_z": "tables",
    "decoder_circuit": "encoders",
    "encoder": "encoders",
    "five_qubit": "codes",
    "four_two_two": "codes",
    "iceberg": "codes",
    "logical_channel": "tables",
    "repetition": "codes",
    "rotated_surface": "codes",
    "steane": "codes",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ketgrad.qec' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
