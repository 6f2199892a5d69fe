"""Noise models from a line of text, as a command line has it.

Owns: the grammar. May not know: what the channels are.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ArgumentError, ArgumentTypeError, suggest
from .channel import Channel
from .channels import amplitude_damping, bit_flip, bit_phase_flip, depolarizing, phase_damping, phase_flip
from .model import NoiseModel

ON_EACH_WIRE: dict[str, Callable[[float], Channel]] = {
    "amplitude_damping": amplitude_damping,
    "bit_flip": bit_flip,
    "bit_phase_flip": bit_phase_flip,
    "phase_damping": phase_damping,
    "phase_flip": phase_flip,
}
NAMES = (*sorted([*ON_EACH_WIRE, "depolarizing", "depolarizing1", "depolarizing2"]), "readout")


def parse(text: str) -> NoiseModel:
    """A noise model from `name=strength,...`; a number alone is `depolarizing` of that strength.

    `depolarizing1` follows each gate on one wire, `depolarizing2` each gate on two with the channel on both, and
    `depolarizing` is both. The other channels follow each gate on each of its wires. `readout` is the probability that
    a measured bit is read wrong.

    Raises:
        ArgumentError: an unknown name, or no number.
        CircuitError: a strength that the channel refuses.

    Example:
        >>> kg.noise.parse("depolarizing1=0.001,depolarizing2=0.01,readout=0.02")
    """
    if not isinstance(text, str):
        raise ArgumentTypeError(f"noise is a text such as 'depolarizing=0.01,readout=0.02', got {type(text).__name__}")
    model = NoiseModel()
    for part in text.split(","):
        name, equals, number = part.strip().partition("=")
        if not equals:
            name, number = "depolarizing", name
        try:
            strength = float(number)
        except ValueError:
            known = suggest(name, NAMES) if equals else suggest(number, NAMES)
            raise ArgumentError(
                f"noise is a list of name=strength, as in depolarizing=0.01,readout=0.02; got {part.strip()!r}.{known}"
            ) from None
        if name not in NAMES:
            raise ArgumentError(f"noise: unknown name {name!r}, known are {', '.join(NAMES)}.{suggest(name, NAMES)}")
        if name == "readout":
            model = model.readout_error(strength)
        elif name in ON_EACH_WIRE:
            model = model.after(ON_EACH_WIRE[name](strength))
        else:
            if name != "depolarizing2":
                model = model.after(depolarizing(strength), n_wires=1)
            if name != "depolarizing1":
                model = model.after(depolarizing(strength, 2), n_wires=2)
    return model
