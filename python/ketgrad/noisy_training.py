"""Training a network's circuit under noise: the model that is differentiated, and what it costs beside the ideal one.

Owns: the names of mitigations, the noisy model of a network, and how trainings with and without are compared. May not
know: argv, how a page looks, how noise is simulated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .errors import ArgumentError, ArgumentTypeError, suggest

if TYPE_CHECKING:
    from .hybrid import Network
    from .settings import Settings
    from .train import Result

MITIGATIONS: dict[str, tuple[str, dict[str, Any]]] = {  # name: function of `ketgrad.mitigation`, its options
    "zne": ("zne", {"scales": (1, 3, 5)}),
    "zne-linear": ("zne", {"scales": (1, 3), "extrapolate": "linear"}),
    "zne-exponential": ("zne", {"scales": (1, 3, 5), "extrapolate": "exponential", "asymptote": 0.0}),
    "pec": ("pec", {"samples": 128}),
    "readout": ("readout_mitigated", {}),
}


def check(noise: str, mitigation: str | None) -> None:
    """Refuse what is no noise and no mitigation.

    Raises:
        ArgumentError, ArgumentTypeError: see `noise.parse`; an unknown mitigation.
    """
    from .noise import parse

    if isinstance(noise, (int, float)):
        raise ArgumentTypeError(
            f"noise is of the circuit and a text, as in noise='{noise}'; that of features is input_noise"
        )
    parse(noise)
    if mitigation is not None and mitigation not in MITIGATIONS:
        raise ArgumentError(
            f"mitigation is one of {', '.join(MITIGATIONS)}, got {mitigation!r}."
            f"{suggest(str(mitigation), tuple(MITIGATIONS))}"
        )


def noisy_model(network: Network, settings: Settings) -> Any:
    """The network's circuit under the noise of the settings, mitigated where they say so; None without noise."""
    if settings.noise is None:
        return None
    from . import mitigation
    from .model import compile_circuit
    from .noise import parse

    model, noise = network.model, parse(settings.noise)
    options: dict[str, Any] = {"dtype": model.dtype, "backend": settings.backend}
    if settings.trajectories is not None:
        options |= {"method": "trajectories", "trajectories": settings.trajectories}
    if settings.mitigation is None:
        return compile_circuit(model.circuit, model.observables, noise=noise, **options)
    name, own = MITIGATIONS[settings.mitigation]
    return getattr(mitigation, name)(model.circuit, model.observables, noise=noise, **own, **options)


class Variant(NamedTuple):
    """Trainings that differ in noise and mitigation alone, one for each seed, all judged by the ideal circuit."""

    name: str
    settings: Settings  # of the first seed
    results: tuple[Result[Any], ...]
    losses: tuple[float, ...]  # on the training set, of the circuit without noise
    accuracies: tuple[float, ...]  # on the test set, of the circuit without noise
    as_run: tuple[float, ...]  # on the test set, of the circuit as it was trained
    circuits: int  # that run for one value
    variance: float | None  # how many times as many shots mitigation takes, where that is known

    @property
    def loss(self) -> float:
        """Median loss."""
        return float(np.median(self.losses))

    @property
    def accuracy(self) -> float:
        """Median accuracy."""
        return float(np.median(self.accuracies))


def described(settings: Settings) -> str:
    """The variant in words."""
    if settings.noise is None:
        return "no noise"
    return f"noise, {settings.mitigation}" if settings.mitigation else "noise, not mitigated"


def others(settings: Settings) -> list[Settings]:
    """What a training under noise is compared with: the same without mitigation, and without noise."""
    if settings.noise is None:
        return []
    plain = dataclasses.replace(settings, mitigation=None)
    ideal = dataclasses.replace(plain, noise=None, trajectories=None)
    return [*([plain] if settings.mitigation else []), ideal]


def variant(settings: Settings, results: Sequence[Result[Any]], train: Any, test: Any) -> Variant:
    """Judge finished trainings; train and test are (features, labels)."""
    networks = [result.network for result in results]
    losses = tuple(n.loss(*train) for n in networks)
    accuracies, as_run = (tuple(n.score(*test, noisy=noisy) for n in networks) for noisy in (False, True))
    noisy = networks[0].noisy
    linear = getattr(noisy, "coefficients", None) is not None
    variance = float(noisy.cost().variance_factor) if linear else None
    circuits = getattr(noisy, "n_circuits", 1)
    return Variant(described(settings), settings, tuple(results), losses, accuracies, as_run, circuits, variance)
