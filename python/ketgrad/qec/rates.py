"""Logical error rates of noisy circuits: by our states, by Stim's frames of the twirled noise, and their difference.

Owns: the estimates and their standard errors. May not know: how shots are made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..simulator import Seed, check_shots, generator
from .circuits import NoisyCircuit
from .decoding import Bits, MatchingDecoder, stim_circuit
from .simulate import sample


class Decoder(Protocol):
    """What predicts logical outcomes from detectors."""

    def decode(self, detectors: Bits) -> Bits:
        """(N, O) predicted parities of the observables from (N, D) parities of the detectors."""
        ...


@dataclass(frozen=True)
class Rate:
    """A logical error rate per shot: the share of shots in which any observable was predicted wrongly.

    Attributes:
        value: the estimate.
        error: its standard error; where no or every shot failed, that of one failure more.
        shots: how many.
    """

    value: float
    error: float
    shots: int

    @classmethod
    def of(cls, failed: Bits, weights: npt.NDArray[np.float64] | None = None) -> Rate:
        """From (N,) shots, with weights of mean 1 where they have any."""
        n = len(failed)
        x = failed.astype(float) if weights is None else failed * weights
        value, spread = float(x.mean()), float(x.std())
        if spread == 0:
            share = 1 / (n + 1)
            spread = math.sqrt(share * (1 - share))
        return cls(value, spread / math.sqrt(n), n)

    def __str__(self) -> str:
        return f"{self.value:.3e} +- {self.error:.1e} ({self.shots:,} shots)"


def logical_error_rate(
    circuit: NoisyCircuit, shots: int, seed: Seed = None, decoder: Decoder | None = None, **options: Any
) -> Rate:
    """From shots of exact states, whatever the noise and the gates.

    Args:
        decoder: default PyMatching on the detectors of the twirled circuit, which needs stim and pymatching.
        options: dtype and backend, as for `sample`.
    """
    decoder = decoder or MatchingDecoder(circuit.to_stim())
    found = sample(circuit, shots, seed, **options)
    return Rate.of((decoder.decode(found.detectors) != found.observables).any(axis=1), found.weights)


def stim_error_rate(circuit: NoisyCircuit, shots: int, seed: Seed = None, decoder: Decoder | None = None) -> Rate:
    """From Stim's shots of the same circuit with every channel twirled; arguments as for `logical_error_rate`."""
    text = circuit.to_stim()
    decoder = decoder or MatchingDecoder(text)
    sampler = stim_circuit(text).compile_detector_sampler(seed=int(generator(seed).integers(2**62)))
    detectors, observables = sampler.sample(check_shots(shots), separate_observables=True)
    return Rate.of((decoder.decode(detectors) != observables).any(axis=1))


@dataclass(frozen=True)
class Discrepancy:
    """What twirling the noise does to a logical error rate; decoder and circuit are the same.

    Attributes:
        exact: by our states.
        twirled: by Stim.
    """

    exact: Rate
    twirled: Rate

    @property
    def difference(self) -> float:
        """Exact less twirled."""
        return self.exact.value - self.twirled.value

    @property
    def sigmas(self) -> float:
        """The difference in units of its standard error."""
        return self.difference / math.hypot(self.exact.error, self.twirled.error)

    def __str__(self) -> str:
        ratio = f", ratio {self.exact.value / self.twirled.value:.2f}" if self.twirled.value else ""
        return (
            f"exact {self.exact}; twirled {self.twirled}; difference {self.difference:+.2e} "
            f"({self.sigmas:+.1f} sigma{ratio})"
        )


def discrepancy(
    circuit: NoisyCircuit, shots: int, stim_shots: int | None = None, seed: Seed = None, **options: Any
) -> Discrepancy:
    """The logical error rate by exact states and by Stim with twirled noise, decoded alike.

    Args:
        shots: of the exact states.
        stim_shots: default 50 times as many.

    Example:
        >>> noise = CircuitNoise(gate2=1e-3, idle=ketgrad.noise.over_rotation("Z", 0.15))
        >>> print(discrepancy(memory(rotated_surface(3), 3, noise, "X"), 5000))
    """
    rng, decoder = generator(seed), MatchingDecoder(circuit.to_stim())
    exact = logical_error_rate(circuit, shots, rng, decoder, **options)
    return Discrepancy(exact, stim_error_rate(circuit, stim_shots or 50 * shots, rng, decoder))
