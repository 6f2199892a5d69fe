"""Noise: channels, models of what follows which gate, and errors of the readout.

Example:
    >>> from ketgrad import noise
    >>> circuit.channel(noise.depolarizing(0.01), 0)
"""

from __future__ import annotations

from .aer import from_qiskit
from .channel import Channel
from .channels import (
    amplitude_damping,
    bit_flip,
    bit_phase_flip,
    depolarizing,
    generalized_amplitude_damping,
    kraus,
    measurement,
    mixture,
    over_rotation,
    pauli,
    phase_damping,
    phase_flip,
    projection,
    reset,
    reset_error,
    thermal_relaxation,
)
from .model import NoiseModel, Rule
from .noisy_model import NoisyModel
from .readout import ReadoutErrors

__all__ = [
    "Channel",
    "NoiseModel",
    "NoisyModel",
    "ReadoutErrors",
    "Rule",
    "amplitude_damping",
    "bit_flip",
    "bit_phase_flip",
    "depolarizing",
    "from_qiskit",
    "generalized_amplitude_damping",
    "kraus",
    "measurement",
    "mixture",
    "over_rotation",
    "pauli",
    "phase_damping",
    "phase_flip",
    "projection",
    "reset",
    "reset_error",
    "thermal_relaxation",
]
