"""Error correction: codes, encoders, decoders, exact tables, noisy syndrome circuits, post-selected training.

Owns: the names that users import; everything is loaded on first use. May not know: what is behind them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .circuits import CircuitNoise as CircuitNoise
    from .circuits import NoisyCircuit as NoisyCircuit
    from .circuits import memory as memory
    from .codes import Code as Code
    from .codes import five_qubit as five_qubit
    from .codes import four_two_two as four_two_two
    from .codes import iceberg as iceberg
    from .codes import repetition as repetition
    from .codes import rotated_surface as rotated_surface
    from .codes import steane as steane
    from .decoding import LookupDecoder as LookupDecoder
    from .decoding import MatchingDecoder as MatchingDecoder
    from .encoded import EncodedCircuit as EncodedCircuit
    from .encoded import parity_classifier as parity_classifier
    from .encoders import decoder_circuit as decoder_circuit
    from .encoders import encoder as encoder
    from .postselect import PostSelected as PostSelected
    from .postselect import post_selected as post_selected
    from .rates import Discrepancy as Discrepancy
    from .rates import Rate as Rate
    from .rates import discrepancy as discrepancy
    from .rates import logical_error_rate as logical_error_rate
    from .rates import stim_error_rate as stim_error_rate
    from .simulate import Shots as Shots
    from .simulate import sample as sample
    from .tables import Correction as Correction
    from .tables import Detection as Detection
    from .tables import coherent_z as coherent_z
    from .tables import logical_channel as logical_channel

_HOMES = {  # name: module
    "CircuitNoise": "circuits",
    "Code": "codes",
    "Correction": "tables",
    "Detection": "tables",
    "Discrepancy": "rates",
    "EncodedCircuit": "encoded",
    "LookupDecoder": "decoding",
    "MatchingDecoder": "decoding",
    "NoisyCircuit": "circuits",
    "PostSelected": "postselect",
    "Rate": "rates",
    "Shots": "simulate",
    "coherent_z": "tables",
    "decoder_circuit": "encoders",
    "discrepancy": "rates",
    "encoder": "encoders",
    "five_qubit": "codes",
    "four_two_two": "codes",
    "iceberg": "codes",
    "logical_channel": "tables",
    "logical_error_rate": "rates",
    "memory": "circuits",
    "parity_classifier": "encoded",
    "post_selected": "postselect",
    "repetition": "codes",
    "rotated_surface": "codes",
    "sample": "simulate",
    "steane": "codes",
    "stim_error_rate": "rates",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ketgrad.qec' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
