"""Junk for every public name of ketgrad.qec: each call gives a result or an error that says why."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import junk
import numpy as np
import pytest

import ketgrad as kg
from ketgrad import qec

SMALL = qec.repetition(3)
NOISY = qec.memory(SMALL, 1, qec.CircuitNoise(0.1))
SELECTED = qec.post_selected(kg.compile(kg.Circuit(2).h(0), kg.Z(0)), projector=kg.Projector("0", [1]))


def appended(name: str) -> Callable[..., Any]:
    """A method of a circuit of its own each time."""

    def call(*args: Any, **keywords: Any) -> Any:
        circuit = qec.NoisyCircuit(2)
        circuit.measure([0, 1])
        return getattr(circuit, name)(*args, **keywords)

    return call


def encoded(name: str) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        return getattr(qec.EncodedCircuit(), name)(*args)

    return call


CALLS: list[tuple[str, Callable[..., Any], list[Any], dict[str, Any]]] = [
    ("Code", qec.Code, ["c", ("ZZ",), ("XX",), ("ZI",), ((0, 1),)], {}),
    ("from_stabilizers", qec.Code.from_stabilizers, [["ZZI", "IZZ"]], {}),
    ("logical", SMALL.logical, ["Y"], {}),
    ("repetition", qec.repetition, [3, "X"], {}),
    ("rotated_surface", qec.rotated_surface, [3], {}),
    ("iceberg", qec.iceberg, [2], {}),
    ("encoder", qec.encoder, [SMALL], {}),
    ("decoder_circuit", qec.decoder_circuit, [SMALL], {}),
    ("LookupDecoder", qec.LookupDecoder, [SMALL, [0.9, 0.1, 0.0, 0.0]], {}),
    ("correction", qec.LookupDecoder(SMALL).correction, ["10"], {}),
    ("Correction", qec.Correction.of, [SMALL], {}),
    ("logical_error", qec.Correction.of(SMALL).logical_error, [0.1], {}),
    ("Detection", qec.Detection.of, [SMALL], {}),
    ("acceptance", qec.Detection.of(SMALL).acceptance, [0.1], {}),
    ("logical_channel", qec.logical_channel, [SMALL, kg.Circuit(3).x(0)], {}),
    ("coherent_z", qec.coherent_z, [SMALL, 0.1], {}),
    ("CircuitNoise", qec.CircuitNoise, [0.1, 0.1, 0.1, 0.1, 0.1], {}),
    ("uniform", qec.CircuitNoise.uniform, [0.1], {}),
    ("memory", qec.memory, [SMALL, 2, qec.CircuitNoise(), "Z"], {}),
    ("gate", appended("gate"), ["cx", 0, 1], {"angles": ()}),
    ("channel", appended("channel"), [kg.noise.bit_flip(0.1), 0], {}),
    ("measure", appended("measure"), [[0], True], {}),
    ("detector", appended("detector"), [[0, 1]], {}),
    ("sample", qec.sample, [NOISY, 10, 0], {"dtype": "complex64", "backend": None}),
    ("post_selected", qec.post_selected, [kg.Circuit(2), kg.Z(0)], {"projector": kg.Projector("0", [1])}),
    ("values", SELECTED, [[], None], {}),
    ("gradient_change", SELECTED.gradient_change, [[], None, [], None], {"cotangents": [1.0]}),
    ("rotate", encoded("rotate"), ["XI", 0.1], {}),
    ("flip", encoded("flip"), ["XI", 0.1], {}),
    ("cnot", encoded("cnot"), [0, 1], {}),
    ("model", encoded("model"), [["ZI"]], {}),
    ("parity_classifier", qec.parity_classifier, [1], {"data": 0.1, "ancilla": 0.1, "detect": True}),
    ("error_rates", kg.plots.error_rates, [[0.1], {"a": np.array([0.1])}, "title", "p"], {}),
]


@pytest.mark.parametrize(("name", "function", "good", "keywords"), CALLS, ids=[name for name, *_ in CALLS])
def test_junk(name, function, good, keywords):
    found = []
    for called, call in junk.with_junk(name, function, good, keywords):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call()
        except junk.ALLOWED:
            pass
        except Exception as error:
            found.append(f"{called}: {type(error).__name__}: {error}")
    assert not found, "\n".join(found)
