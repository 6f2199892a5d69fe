"""Circuits of logical gates on an encoded register, with noise, ancillas, and error detection on or off.

Owns: `EncodedCircuit`: logical rotations through an ancilla for any code, the gates that cost nothing on [[4,2,2]],
and a variational classifier of parities. May not know: how it is trained.

Source: E. Adermann, H. Suzuki, M. Usman, arXiv:2504.06775 (an ancilla's errors spread to the code, so detection helps
only where ancillas are good enough); D. Gottesman, arXiv:1610.03507 ([[4,2,2]] and its gates).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..circuit import Circuit
from ..errors import ArgumentError, CircuitError
from ..model import Model, compile_circuit
from ..noise import depolarizing, projection, reset
from ..noise.channel import Channel
from ..pauli import PauliSum, Projector
from .codes import Code, check_code, four_two_two
from .encoders import encoder
from .postselect import PostSelected

MAX_LAYERS = 100


class EncodedCircuit:
    """Logical gates on the code words of a code: data on wires 0..n-1, one ancilla on wire n.

    A logical rotation exp(-i angle W / 2) about any logical word W collects the parity of W on the ancilla, turns the
    ancilla by RZ(angle), and takes the parity back. Without errors the ancilla returns to |0>. It is then measured:
    with detection a run with outcome 1 is thrown away, without it the ancilla is reset. An X of the ancilla shows, a Z
    of it is a logical error that nothing shows: hence the threshold for ancillas.

    Args:
        code: default [[4,2,2]].
        data: what follows every gate on each data qubit it acts on: a channel, or a probability of depolarizing.
        ancilla: the same on the ancilla.
        detect: whether runs in which an ancilla or, at the end, a stabilizer reports an error are thrown away.

    Attributes:
        circuit: the physical circuit so far; weights and inputs are made by it.

    Example:
        >>> encoded = EncodedCircuit(data=0.002, ancilla=0.001)
        >>> angle = encoded.circuit.weights(1)[0]
        >>> encoded.encode().rotate("XI", angle).cnot(0, 1)
        >>> model = encoded.model(["IZ"])
    """

    def __init__(
        self,
        code: Code | None = None,
        *,
        data: Channel | float | None = None,
        ancilla: Channel | float | None = None,
        detect: bool = True,
    ) -> None:
        self.code = four_two_two() if code is None else check_code(code)
        self.detect = bool(detect)
        self.circuit = Circuit(self.code.n + 1)
        self._data, self._ancilla = _channel(data), _channel(ancilla)

    def encode(self) -> EncodedCircuit:
        """Prepare the logical |0...0> by the code's encoder, whose gates have noise like all others."""
        for gate in encoder(self.code).gates:
            self._gate(gate.spec.name, *gate.wires, inverse=gate.inverse)
        return self

    def rotate(self, word: str, angle: Any) -> EncodedCircuit:
        """exp(-i angle W / 2) for a logical word such as "XI", by way of the ancilla.

        Args:
            angle: radians: a number or an expression of this circuit's parameters.
        """
        (sign, letters, _), *_ = self.code.logical(word).terms
        if not letters:
            raise CircuitError("a logical rotation is about a word with a letter other than I, got only I")
        ancilla = self.code.n
        for q, letter in letters:
            self._to_z(q, letter, inverse=False)
        for q, _ in letters:
            self._gate("cx", q, ancilla)
        self._gate("rz", ancilla, angle=sign * angle)
        for q, _ in reversed(letters):
            self._gate("cx", q, ancilla)
        for q, letter in letters:
            self._to_z(q, letter, inverse=True)
        self.circuit.channel(projection(0) if self.detect else reset(), ancilla)
        return self

    def flip(self, word: str, angle: Any) -> EncodedCircuit:
        """RX(angle) on every data qubit of a logical word of Xs: at an angle of pi times a bit, logical X to the bit.

        So classical bits are put into the register without an ancilla.
        """
        (_, letters, _), *_ = self.code.logical(word).terms
        if any(letter != "X" for _, letter in letters):
            raise CircuitError(f"flip: bits are put in by words of Xs, got {word!r}")
        for q, _ in letters:
            self._gate("rx", q, angle=angle)
        return self

    def cnot(self, control: int, target: int) -> EncodedCircuit:
        """The logical CNOT of [[4,2,2]]: two physical qubits change their names, for nothing and without noise."""
        self._only_four_two_two("cnot")
        if {control, target} != {0, 1}:
            raise CircuitError(f"cnot: control and target are 0 and 1 in some order, got {control} and {target}")
        self.circuit.swap(0, 2 if control == 0 else 1)
        return self

    def swap(self) -> EncodedCircuit:
        """The logical SWAP of [[4,2,2]], free like `cnot`."""
        self._only_four_two_two("swap")
        self.circuit.swap(1, 2)
        return self

    def hadamards(self) -> EncodedCircuit:
        """Logical H on both qubits of [[4,2,2]], then their SWAP: a physical H on each data qubit."""
        self._only_four_two_two("hadamards")
        for q in range(4):
            self._gate("h", q)
        return self

    def model(self, words: list[str], **options: Any) -> Model:
        """Expectation values of logical words: after post-selection with detection, of everything without.

        Args:
            words: one letter for each logical qubit.
            options: of `ketgrad.compile`.

        Returns:
            A `PostSelected`, whose `acceptance` tells the share of runs that is kept; a plain model without detection.
        """
        model = compile_circuit(self.circuit, [self.code.logical(w) for w in words], **options)
        if not self.detect:
            return model
        return PostSelected(model, self.code.projector() @ Projector("0", [self.code.n]))

    def _to_z(self, q: int, letter: str, inverse: bool) -> None:
        """Turn a letter into Z; or back."""
        if letter == "X":
            self._gate("h", q)
        elif letter == "Y":
            self._gate("sx", q, inverse=inverse)  # SX Y SX^+ = Z

    def _gate(self, name: str, *wires: int, angle: Any = None, inverse: bool = False) -> None:
        self.circuit.append(name, () if angle is None else (angle,), wires, inverse=inverse)
        for w in wires:
            channel = self._ancilla if w == self.code.n else self._data
            if channel is not None:
                self.circuit.channel(channel, w)

    def _only_four_two_two(self, what: str) -> None:
        if self.code != four_two_two():
            raise ArgumentError(f"{what}: this gate is that of four_two_two(), the code is {self.code.name}")


def _channel(value: Any) -> Channel | None:
    if isinstance(value, Channel):
        if value.n_wires != 1:
            raise CircuitError(f"noise of an encoded circuit acts on one wire, got {value!r}")
        return value
    return None if value is None or value == 0 else depolarizing(value)


def parity_classifier(
    layers: int = 2,
    *,
    data: Channel | float | None = None,
    ancilla: Channel | float | None = None,
    detect: bool = True,
    encoded: bool = True,
    **options: Any,
) -> Model:
    """A variational classifier of the parity of two bits, on the two logical qubits of [[4,2,2]] or on two bare ones.

    The bits are put in by logical Xs. Each layer turns both qubits by logical RX and RZ through the ancilla, four
    weights, and ends with a logical CNOT. The value is the last logical Z: +1 for even, -1 for odd.

    Args:
        layers: 1 to 100, of four weights each.
        data, ancilla, detect: as for `EncodedCircuit`.
        encoded: False for two bare qubits with the noise of `data` after every gate, which have no ancilla and no
            detection.
        options: of `ketgrad.compile`.

    Returns:
        A model of 4 * layers weights and 2 inputs, pi times each bit.
    """
    if isinstance(layers, bool) or not isinstance(layers, (int, np.integer)) or not 1 <= layers <= MAX_LAYERS:
        raise ArgumentError(f"parity_classifier: layers is a whole number from 1 to {MAX_LAYERS}, got {layers!r}")
    if encoded:
        build = EncodedCircuit(data=data, ancilla=ancilla, detect=detect)
        weights, bits = build.circuit.weights((layers, 4)), build.circuit.inputs(2)
        build.encode().flip("XI", bits[0]).flip("IX", bits[1])
        for row in weights:
            for word, angle in zip(("XI", "IX", "ZI", "IZ"), row, strict=True):
                build.rotate(word, angle)
            build.cnot(0, 1)
        return build.model(["IZ"], **options)
    circuit, noise = Circuit(2), _channel(data)
    weights, bits = circuit.weights((layers, 4)), circuit.inputs(2)

    def gate(name: str, angles: tuple[Any, ...], *wires: int) -> None:
        circuit.append(name, angles, wires)
        for w in wires:
            if noise is not None:
                circuit.channel(noise, w)

    for q in (0, 1):
        gate("rx", (bits[q],), q)
    for row in weights:
        for name, q, angle in zip(("rx", "rx", "rz", "rz"), (0, 1, 0, 1), row, strict=True):
            gate(name, (angle,), q)
        gate("cx", (), 0, 1)
    return compile_circuit(circuit, PauliSum.from_words({"IZ": 1.0}), **options)
