"""Random circuits with channels, for ketgrad and for the oracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import reference
import strategies
from reference import Noise, Op

import ketgrad as kg
from ketgrad import noise

CHANNELS = {  # of one wire and of two, ordinary and such that cannot be undone
    "bit_flip": noise.bit_flip(0.1),
    "phase_flip": noise.phase_flip(0.2),
    "bit_phase_flip": noise.bit_phase_flip(0.05),
    "depolarizing": noise.depolarizing(0.1),
    "amplitude_damping": noise.amplitude_damping(0.3),
    "generalized_amplitude_damping": noise.generalized_amplitude_damping(0.2, 0.3),
    "phase_damping": noise.phase_damping(0.4),
    "thermal_relaxation": noise.thermal_relaxation(50.0, 30.0, 10.0, 0.1),
    "reset_error": noise.reset_error(0.1, 0.2),
    "over_rotation": noise.over_rotation("Y", 0.3),
    "pauli": noise.pauli({"X": 0.1, "Y": 0.05, "Z": 0.2}),
    "reset": noise.reset(),
    "measurement": noise.measurement(),
    "nothing left": noise.depolarizing(0.75),
    "all decayed": noise.amplitude_damping(1.0),
    "depolarizing 2": noise.depolarizing(0.1, 2),
    "pauli 2": noise.pauli({"XZ": 0.1, "YY": 0.05, "IZ": 0.2}),
    "over_rotation 2": noise.over_rotation("XY", 0.2),
    "nothing left 2": noise.depolarizing(15 / 16, 2),
}


@dataclass(frozen=True, eq=False)
class NoisyRecipe:
    """A circuit on paper with a channel behind some of its steps."""

    recipe: strategies.Recipe
    after: dict[int, tuple[noise.Channel, tuple[int, ...]]]

    def circuit(self) -> kg.Circuit:
        recipe = self.recipe
        circuit = kg.Circuit(recipe.n)
        w, x = circuit.weights(recipe.n_weights), circuit.inputs(recipe.n_inputs)
        for position, s in enumerate(recipe.steps):
            circuit.append(
                s.name,
                [strategies.expression(a, w, x) for a in s.angles],
                s.wires,
                controls=s.controls,
                control_values=s.values,
                inverse=s.inverse,
                extra=s.extra,
            )
            if position in self.after:
                circuit.channel(*self.after[position])
        return circuit

    def matrices(self, weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """The oracle's (B, 2^n, 2^n) for inputs (B, F)."""
        out = []
        for row in inputs:
            steps: list[Op | Noise] = []
            for position, op in enumerate(self.recipe.ops(weights, row)):
                steps.append(op)
                if position in self.after:
                    channel, wires = self.after[position]
                    steps.append(Noise(channel.kraus, wires))
            out.append(reference.run_mixed(self.recipe.n, steps))
        return np.array(out)


def random_channel(rng: np.random.Generator, most: int) -> noise.Channel:
    """One of the list, or random operators, on at most so many wires."""
    k = int(rng.integers(1, min(most, 2) + 1))
    if rng.random() < 0.3:
        return noise.kraus(reference.random_kraus(k, int(rng.integers(1, 4)), rng))
    fitting = [c for c in CHANNELS.values() if c.n_wires == k]
    return fitting[int(rng.integers(len(fitting)))]


def random_noisy(
    rng: np.random.Generator, n: int, length: int, n_weights: int = 0, n_inputs: int = 0, share: float = 0.5
) -> NoisyRecipe:
    """A random circuit with a channel behind about `share` of its gates."""
    recipe, after = strategies.random_recipe(rng, n, length, n_weights, n_inputs), {}
    for position in range(length):
        if rng.random() < share:
            channel = random_channel(rng, n)
            after[position] = channel, tuple(int(v) for v in rng.permutation(n)[: channel.n_wires])
    return NoisyRecipe(recipe, after)


def chance(statistic: float, freedom: int) -> float:
    """The probability of a larger chi-square."""
    from scipy.stats import chi2

    return float(chi2.sf(statistic, freedom))
