"""PennyLane's channels as ketgrad's.

Owns: which channel of ketgrad's each of PennyLane's is, and how the strengths of one follow from the parameters of the
other. May not know: tapes, circuits, devices.

A channel is its own constant unless a framework follows its parameters: then it is a `LiveChannel`, which stands in a
structure without its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
import pennylane as qml
from pennylane.exceptions import DeviceError
from pennylane.operation import Channel as PennyLaneChannel
from pennylane.operation import Operator

from .. import noise
from ..noise import Channel
from ..noise.noisy_model import METHODS

CHANNEL = "channel"  # the name of a channel's row


class Recipe(NamedTuple):
    """A constructor of PennyLane's parameters, and for each of these the strength that it is."""

    make: Callable[..., Channel]
    strengths: tuple[int, ...] = (0,)


RECIPES: dict[str, Recipe] = {  # by PennyLane's name
    "AmplitudeDamping": Recipe(noise.amplitude_damping),
    "BitFlip": Recipe(noise.bit_flip),
    "DepolarizingChannel": Recipe(noise.depolarizing),
    "GeneralizedAmplitudeDamping": Recipe(noise.generalized_amplitude_damping, (0, 1)),
    "PauliError": Recipe(lambda p, word: noise.pauli({word: p})),
    "PhaseDamping": Recipe(noise.phase_damping),
    "PhaseFlip": Recipe(noise.phase_flip),
    "ResetError": Recipe(noise.reset_error, (0, 1)),
    "ThermalRelaxationError": Recipe(
        lambda excited, t1, t2, time: noise.thermal_relaxation(t1, t2, time, excited),
        (3, 0, 1, 2),
    ),
}
CHANNELS = (*sorted(RECIPES), "QubitChannel")  # that the device names; any other runs by its Kraus matrices


class LiveChannel(NamedTuple):
    """A channel without its numbers: PennyLane's name of it, and what else its constructor takes."""

    name: str
    others: tuple[Hashable, ...]

    @property
    def strengths(self) -> tuple[int, ...]:
        """For each parameter the strength that it is."""
        return RECIPES[self.name].strengths

    def at(self, numbers: Sequence[float]) -> Channel:
        """The channel of these parameters."""
        return _made(self.name, tuple(map(float, numbers)), self.others)


def noise_options(method: str | None, trajectories: int | None, rng: np.random.Generator) -> dict[str, Any]:
    """A device's options for noise, as `noise.NoisyModel` takes them; the paths are the same for its whole life.

    Raises:
        DeviceError: a method that does not exist, or a number of trajectories that is none.
    """
    if method not in (None, *METHODS):
        raise DeviceError(f"ketgrad.qubit: method must be one of {METHODS} or None, got {method!r}")
    count = trajectories
    if count is not None and (isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 2):
        raise DeviceError(f"ketgrad.qubit: trajectories is an integer of at least 2, got {trajectories!r}")
    try:
        (own,) = rng.spawn(1)  # which leaves the samples as they are
    except TypeError:  # a generator that does not know its seed
        own = np.random.default_rng()
    return {"method": method, "trajectories": trajectories, "seed": int(own.integers(1 << 32))}


@lru_cache(maxsize=64)
def _is_channel_type(kind: Hashable) -> bool:
    return issubclass(cast(type, kind), PennyLaneChannel)


def is_channel(op: Operator) -> bool:
    """Whether an operator is noise; asked of every operator of every tape."""
    return _is_channel_type(cast(Hashable, type(op)))


def has_channels(tape: Any) -> bool:
    """Whether a tape has noise."""
    return any([_is_channel_type(cast(Hashable, type(op))) for op in tape.operations])


def read_channel(op: Operator, live: bool) -> tuple[tuple[int, ...], Channel | LiveChannel | None]:
    """Positions of the op's wires on which it acts, and the channel; None where it does nothing.

    Args:
        live: whether its parameters are to be differentiated.

    Raises:
        DeviceError: a parameter that is no number, or parameters whose derivatives are not known.
    """
    where: tuple[int, ...] = tuple(range(len(op.wires)))
    others: tuple[Hashable, ...] = ()
    if op.name == "PauliError":
        word = op.hyperparameters["operators"]
        where = tuple(k for k in where if word[k] != "I")
        if not where:  # a channel all the same, after which states are density matrices
            return (0,), _made("BitFlip", (0.0,), ())
        others = ("".join(word[k] for k in where),)
    if op.name not in RECIPES:
        return where, _by_matrices(op, live)
    for j, value in enumerate(op.data):
        if qml.math.ndim(value):
            raise DeviceError(
                f"ketgrad.qubit: parameter {j} of {op.name} is one number, got the shape {qml.math.shape(value)}; a "
                "batch of strengths is a tape for each, or jax.vmap"
            )
    if live:
        return where, LiveChannel(op.name, others)
    return where, _made(op.name, tuple([float(qml.math.to_numpy(d)) for d in op.data]), others)


@lru_cache(maxsize=1024)
def _made(name: str, numbers: tuple[float, ...], others: tuple[Hashable, ...]) -> Channel:
    return RECIPES[name].make(*numbers, *others)


def _by_matrices(op: Operator, live: bool) -> Channel:
    if live:
        raise DeviceError(
            f"ketgrad.qubit: the matrices of {op.name} are constants and have no gradient; use a channel with "
            f"strengths, such as {', '.join(CHANNELS[:3])}, or numbers that are not trained"
        )
    with qml.QueuingManager.stop_recording():
        matrices = np.stack([np.asarray(qml.math.to_numpy(k), dtype=complex) for k in op.kraus_matrices()])
    return _of_matrices(op.name, matrices.shape, matrices.tobytes())


@lru_cache(maxsize=256)
def _of_matrices(name: str, shape: tuple[int, ...], matrices: bytes) -> Channel:
    return noise.kraus(np.frombuffer(matrices, dtype=complex).reshape(shape), name)
