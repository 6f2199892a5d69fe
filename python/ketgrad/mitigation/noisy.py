"""How a method gets its noisy circuits: apply the noise, compile.

Owns: what counts as noise, and the Pauli words that are inserted into a noisy circuit. May not know: methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit, Gate
from ..errors import ArgumentTypeError
from ..gate_spec import CHANNEL
from ..gates import find
from ..model import compile_circuit
from ..pauli import PauliSum, check_word

Array = npt.NDArray[np.float64]
Observables: TypeAlias = PauliSum | Sequence[PauliSum]
Compile: TypeAlias = Callable[..., Any]


class HasApply(Protocol):
    """What a `ketgrad.noise.NoiseModel` is to us."""

    def apply(self, circuit: Circuit) -> Circuit:
        """The circuit with channels."""


Noise: TypeAlias = HasApply | Callable[[Circuit], Circuit] | None


def is_channel(gate: Gate) -> bool:
    """Whether a row of a circuit is noise."""
    return gate.spec is CHANNEL


def is_noisy(circuit: Circuit) -> bool:
    """Whether a circuit has channels."""
    return any(map(is_channel, circuit.gates))


def as_tuple(observables: Observables) -> tuple[PauliSum, ...]:
    """One or more observables as a tuple.

    Raises:
        ArgumentTypeError: something else.
    """
    found = (observables,) if isinstance(observables, PauliSum) else tuple(observables)
    if not found or not all(isinstance(o, PauliSum) for o in found):
        raise ArgumentTypeError(f"mitigation needs observables such as kg.Z(0), got {observables!r}")
    return found


def with_noise(circuit: Circuit, noise: Noise) -> Circuit:
    """The circuit with the channels of a noise model, or of a function that adds them; None leaves it as it is.

    Raises:
        ArgumentTypeError: neither, or no circuit.
    """
    if not isinstance(circuit, Circuit):
        raise ArgumentTypeError(f"mitigation: expected a Circuit, got {type(circuit).__name__}")
    if noise is None:
        return circuit
    apply = getattr(noise, "apply", noise)
    if not callable(apply):
        raise ArgumentTypeError(
            "mitigation: noise is a NoiseModel, or a function that gives a circuit channels, got "
            f"{type(noise).__name__}"
        )
    out = apply(circuit)
    if not isinstance(out, Circuit):
        raise ArgumentTypeError(f"mitigation: noise turns a circuit into a circuit, got {type(out).__name__}")
    return out


def noiseless(circuit: Circuit) -> Circuit:
    """The circuit without its channels."""
    out = circuit.copy()
    out.gates = [g for g in circuit.gates if not is_channel(g)]
    return out


def compiled(
    circuit: Circuit, observables: Sequence[PauliSum], noise: Noise, compile: Compile | None, options: dict[str, Any]
) -> Any:
    """A model: of `compile(circuit, observables, **options)`, by default `ketgrad.compile`.

    The errors of the readout of a noise model are among the options, unless others are.
    """
    if readout := getattr(noise, "readout", None):
        options = {"readout": readout, **options}
    return (compile or compile_circuit)(circuit, tuple(observables), **options)


class Insertion:
    """A circuit into which Pauli words are inserted: which, two more inputs for each wire of a place say.

    X and Z are half turns about their axes, so that all choices are samples of one circuit.

    Args:
        circuit: what it starts from, without its gates.
        letters: how many wires all places have together.
    """

    def __init__(self, circuit: Circuit, letters: int) -> None:
        self.circuit = circuit.copy()
        self.circuit.gates = []
        self._free = iter(self.circuit.inputs((letters, 2), self.circuit._free_name("inserted")))

    def append(self, gate: Gate) -> None:
        """A gate or channel of the circuit."""
        self.circuit.gates.append(gate)

    def place(self, wires: Sequence[int]) -> None:
        """A word goes here."""
        for wire in wires:
            by_x, by_z = next(self._free)
            self.circuit.gates += [Gate(find("rx"), (by_x,), (wire,)), Gate(find("rz"), (by_z,), (wire,))]


def word_angles(word: str) -> Array:
    """What a place's inputs must be for a word: (2 letters,) radians."""
    return np.pi * np.array([[c in "XY", c in "YZ"] for c in check_word(word)], dtype=np.float64).reshape(-1)
