"""Circuits with channels on disk and in drawings: every channel comes back exactly, forged ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ketgrad as kg
from ketgrad import noise
from ketgrad.checkpoint import read_archive, write_archive
from ketgrad.errors import CheckpointError
from ketgrad.noise.document import from_document, to_document
from ketgrad.persistence import KIND

BARE = noise.mixture([0.9, 0.1], [np.eye(2), np.diag([1, 1j])])
DEEP = noise.bit_flip(0.01)
for _ in range(40):
    DEEP = noise.phase_flip(0.001) @ DEEP
CHANNELS = [
    noise.bit_flip(0.1),
    noise.depolarizing(0.1, 2),
    noise.pauli({"XY": 0.1, "ZI": 0.2}),
    noise.amplitude_damping(0.2),
    noise.generalized_amplitude_damping(0.2, 0.3),
    noise.phase_damping(0.3),
    noise.thermal_relaxation(np.inf, 30.0, 1.0),
    noise.reset_error(0.1, 0.2),
    noise.over_rotation("ZZX", 0.3),
    noise.projection(1),
    noise.reset(),
    noise.measurement(),
    BARE,
    noise.amplitude_damping(0.2).twirled(),
    noise.bit_flip(0.1) @ BARE @ noise.amplitude_damping(0.3).twirled(),
    BARE @ BARE,
]


@pytest.mark.parametrize("channel", CHANNELS, ids=repr)
def test_every_channel(channel: noise.Channel) -> None:
    arrays: dict[str, Any] = {}
    again = from_document(to_document(channel, "k", arrays), arrays)
    assert again == channel and again.trace_preserving == channel.trace_preserving
    assert again.derivatives().tobytes() == channel.derivatives().tobytes()


def test_what_is_nested_deeply_is_written_as_operators() -> None:
    arrays: dict[str, Any] = {}
    again = from_document(to_document(DEEP, "k", arrays), arrays)
    assert list(arrays) == ["k"] and again.family is None and again.kraus.tobytes() == DEEP.kraus.tobytes()


def circuit_with_noise() -> kg.Circuit:
    circuit = kg.Circuit(3)
    w = circuit.weights(2)
    circuit.ry(w[0], 0).cnot(0, 1)
    for channel in CHANNELS[:8] * 2:
        circuit.channel(channel, [2, 0, 1][: channel.n_wires])
    return circuit.ry(w[1], 2).cnot(2, 0).channel(BARE, 1)


def test_models_of_noisy_circuits(tmp_path: Path) -> None:
    model = kg.compile(circuit_with_noise(), [kg.Z(0), kg.X(1)])
    model.save(tmp_path / "model.npz", weights=[0.3, 0.4])
    header = read_archive(tmp_path / "model.npz", KIND)[1]
    assert len(header["channels"]) == 9  # each is written once
    again = kg.load(tmp_path / "model.npz")
    assert type(again) is type(model) and again.disassembly() == model.disassembly()
    assert [g.extra for g in again.circuit.gates] == [g.extra for g in model.circuit.gates]
    assert np.array_equal(again([0.3, 0.4]), model([0.3, 0.4]))


FORGED = [
    ({"family": ["pauli", "p", ["X", "XX"], False], "strengths": [0.1, 0.1]}, "letters"),
    ({"family": ["pauli", "p", ["X", "X"], False], "strengths": [0.1, 0.1]}, "words"),
    ({"family": ["pauli", "p", ["I"], False], "strengths": [0.1]}, "words"),
    ({"family": ["pauli", "p", ["XXXX"], False], "strengths": [0.1]}, "words"),
    ({"family": ["pauli", "p", ["X"], False], "strengths": [1.1]}, r"\+0.1"),
    ({"family": ["pauli", "p", ["X"], False], "strengths": ["nan"]}, "finite"),
    ({"family": ["pauli", "p", ["X"], True], "strengths": []}, "1 strengths has 0"),
    ({"family": ["relaxation", "__class__"], "strengths": []}, "is one of"),
    ({"family": ["over_rotation", "XXXX"], "strengths": [0.1]}, "word"),
    ({"family": ["os.system", "true"], "strengths": []}, "unknown family"),
    ({"family": [], "strengths": []}, "valid circuit"),
    ({"kraus": "missing", "name": "k", "trace_preserving": True}, "missing"),
    ({"kraus": "half", "name": "k", "trace_preserving": True}, "-0.75"),
]


@pytest.mark.parametrize(("document", "words"), FORGED, ids=lambda v: str(v)[:40])
def test_forged_channels_are_refused(document: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    kg.compile(kg.Circuit(1).channel(BARE, 0), kg.Z(0)).save(path)
    _, header, arrays = read_archive(path, KIND)
    header["channels"][0] = document
    write_archive(path, KIND, header, {**arrays, "half": np.eye(2)[None] / 2})
    with pytest.raises(CheckpointError, match=words):
        kg.load(path)


def test_forged_nesting_and_places_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    kg.compile(kg.Circuit(2).channel(BARE, 0), kg.Z(0)).save(path)
    _, header, arrays = read_archive(path, KIND)
    family: list[Any] = ["relaxation", "phase_damping"]
    for _ in range(40):
        family = ["twirled", family]
    for key, value in (
        ("channels", [{"family": family, "strengths": [0.1]}]),
        ("gates", [{"channel": 1, "wires": [0]}]),
        ("gates", [{"channel": 0, "wires": [0, 1]}]),
        ("gates", [{"channel": 0, "wires": [2]}]),
        ("channels", 3),
    ):
        write_archive(path, KIND, {**header, key: value}, arrays)
        with pytest.raises(CheckpointError):
            kg.load(path)


def test_drawings_show_channels() -> None:
    circuit = kg.Circuit(2).h(0).channel(noise.amplitude_damping(0.25), 0).channel(noise.depolarizing(0.1, 2), [0, 1])
    text = str(circuit.channel(noise.generalized_amplitude_damping(0.123456, 0.2), 1))
    assert "┤ amplitude_damping(0.25) ├" in text and "depolarizing(0.1)" in text
    assert "generalized_amplitude_dam…" in text and "┤ reset ├" in str(kg.Circuit(1).channel(noise.reset(), 0))
    assert "amplitude_damping(0.25)" in circuit.draw("svg")
