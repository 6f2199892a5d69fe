"""Bias against cost of error mitigation on a VQE: hydrogen at 0.735 angstrom, four wires, depolarizing noise.

The circuit is the Hartree-Fock state and one rotation about YXXX between ladders of CNOTs, exact for two electrons. Its
CNOTs have two-wire depolarizing noise of probability p, its gates on one wire a tenth of that. For every method: the
error of the exact mitigated energy (its bias; root mean square over seeds), the cost (square of the one-norm: how many
times as many shots are needed), and the error to expect of 1,000,000 shots of each basis, from both.
Before: the optimum against FCI, gradients against differences, and every method must take half of the error away.
"""

from __future__ import annotations

from collections.abc import Callable

import common
import numpy as np
from clock import timed

import ketgrad as kg
from ketgrad import mitigation, noise
from ketgrad.compare import format_table, format_time

SHOTS = 1_000_000
RATES = (0.001, 0.005, 0.01, 0.02)
MILLI = 1000.0


def ansatz() -> kg.Circuit:
    """Hartree-Fock, then exp(-i theta Y X X X / 2)."""
    circuit = kg.Circuit(4)
    w = circuit.weights(1)
    circuit.x(0).x(1).append("sx", (), (0,))
    for q in range(1, 4):
        circuit.h(q)
    circuit.cx(0, 1).cx(1, 2).cx(2, 3).rz(w[0], 3).cx(2, 3).cx(1, 2).cx(0, 1)
    for q in range(1, 4):
        circuit.h(q)
    return circuit.append("sx", (), (0,), inverse=True)


def device(p: float) -> noise.NoiseModel:
    """Two-wire depolarizing noise of p, a tenth of it on one wire."""
    return noise.NoiseModel().after(noise.depolarizing(p / 10), n_wires=1).after(noise.depolarizing(p, 2), ["cx"])


Maker = Callable[[noise.NoiseModel, int], mitigation.Mitigated]


def unmitigated(circuit: kg.Circuit, energy: kg.PauliSum, model: noise.NoiseModel) -> mitigation.Mitigated:
    """The noisy circuit itself, as a combination of one."""
    member = mitigation.Member(kg.compile(model.apply(circuit), energy))
    return mitigation.Mitigated(circuit, [energy], [member], mitigation.Linear([1.0]), "none")


def methods(circuit: kg.Circuit, energy: kg.PauliSum) -> dict[str, Maker]:
    """Name -> a model for a noise model and a seed."""
    one_each = [-1.0 * kg.Z(0) @ kg.Z(2), -1.0 * kg.Z(1) @ kg.Z(3)]  # parity of electrons with spin up, and down
    make, it = mitigation, (circuit, energy)
    return {
        "none": lambda m, _: unmitigated(*it, m),
        "ZNE linear 1, 3": lambda m, _: make.zne(*it, m, scales=(1, 3), extrapolate="linear"),
        "ZNE Richardson 1, 3, 5": lambda m, _: make.zne(*it, m),
        "ZNE Richardson 1, 2, 3 by gates": lambda m, s: make.zne(*it, m, scales=(1, 2, 3), folding="gates", seed=s),
        "ZNE exponential 1, 3, 5": lambda m, _: make.zne(*it, m, extrapolate="exponential"),
        "PEC, 1000 samples": lambda m, s: make.pec(*it, m, samples=1000, seed=s),
        "CDR, 8 training circuits": lambda m, s: make.cdr(*it, m, training=8, kept=0, snap="random", seed=s),
        "symmetries": lambda m, _: make.verified(*it, one_each, m),
    }


def check(model: mitigation.Mitigated, theta: np.ndarray) -> None:
    """The gradient against differences."""
    step = np.array([1e-5])
    slope = float((model(theta + step) - model(theta - step))[0]) / 2e-5
    found = float(model.forward(theta)[1]([1.0]).weights[0])
    assert abs(found - slope) < 1e-7 + 1e-6 * abs(slope), (model, found, slope)


def main() -> None:
    """Optimise without noise, then measure every method at every rate."""
    chosen = common.options(__doc__)
    circuit, molecule = ansatz(), kg.molecules.load("H2", 0.735)
    energy = molecule.hamiltonian
    ideal, theta = kg.compile(circuit, energy), np.zeros(1)
    for _ in range(200):
        theta = theta - 0.5 * ideal.forward(theta)[1]([1.0]).weights
    exact = float(ideal(theta)[0])
    assert abs(exact - molecule.energies["fci"]) < 1e-8, (exact, molecule.energies)
    rates = RATES[1:3] if chosen.quick else RATES
    seeds = range(2 if chosen.quick else 5)
    rows, raw = [], {}
    for name, make in methods(circuit, energy).items():
        cells = []
        for p in rates:
            models = [make(device(p), seed) for seed in seeds]
            bias = float(np.sqrt(np.mean([(m(theta)[0] - exact) ** 2 for m in models])))
            raw.setdefault(p, bias)
            left = (
                1.0 if name == "none" or "by gates" in name else 0.5
            )  # gates folded by chance leave an error by chance
            assert bias <= left * raw[p], (name, p, bias)
            variance = float(models[0].estimate(theta, shots=SHOTS, seed=1)[1][0])
            cells += [f"{MILLI * bias:.3f}", f"{models[0].cost(theta).one_norm ** 2:.3g}"]
            cells += [f"{MILLI * np.hypot(bias, np.sqrt(variance)):.2f}"]
        check(models[0], theta)
        seconds = timed(lambda m=models[0]: m.forward(theta)[1]([1.0]), 0.2)
        rows.append((name, *cells, str(models[0].n_circuits), format_time(seconds)))
    heads = [f"{100 * p:g} %: {h}" if h == "bias" else h for p in rates for h in ("bias", "cost", "error")]
    print(common.heading("Error mitigation on the VQE of H2, errors in millihartree"))
    print(format_table(("method", *heads, "circuits", "value and gradient"), rows))


if __name__ == "__main__":
    main()
