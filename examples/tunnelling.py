"""Tunnelling, where it helps and where it does not: a spike, a weak and a strong cell, and kinks in a ring.

A spike as high as n stands between most states and the lowest one. The exact anneal gets through it with a probability
that hardly falls with n; single-spin Metropolis annealing, followed exactly on the number of ones, needs a time that
grows exponentially. On a pair of a weak and a strong cell, 16 spins, annealing by Schroedinger's equation is no better
than simulated annealing. And the kinks that are left in a ring follow the law of Kibble and Zurek.

    python examples/tunnelling.py [--quick] [--out FOLDER]
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from shared import Figure, Picture, finish, options, progress

from ketgrad.anneal import Diagonal, SimulatedAnnealingSampler, anneal, generators
from ketgrad.anneal.solvable import metropolis_chain, ring_kinks, weight_anneal
from ketgrad.anneal.success import repetitions

CAVEATS = """
What this shows, and what it does not:
- The two times to solution have different units, an anneal's and a sweep's. Compare how they grow, and nothing else.
- The spike was made to be hard for single-spin moves. Simulated quantum annealing, a classical algorithm, takes
  polynomial time too on such spikes in much of the regime (Crosson and Harrow, arXiv:1601.03030).
- The best anneal is a fast one: its success is put down to diabatic transitions rather than to tunnelling
  (Muthukrishnan, Albash and Lidar, Phys. Rev. X 6, 031010).
- On the pair of cells simulated annealing does better, and nothing here says otherwise of a problem anybody has.
"""
TIMES = np.array([2.0, 5.0, 10.0, 15.0, 20.0])  # of anneals on the spike
SWEEPS, COLDEST = (1, 2, 3, 4, 5, 6, 8, 12), np.array([1.0, 3.0, 30.0])  # of linear ramps to 1 / temperature


def spike_times(n: int) -> tuple[float, float]:
    """The least TTS99 on the spike: of exact anneals, and of Metropolis annealing in sweeps."""
    e = generators.spike(n)
    quantum = TIMES * repetitions([weight_anneal(e, t)[0] for t in TIMES])
    ramps = [np.linspace(0, 1, n * sweeps)[:, None] * COLDEST for sweeps in SWEEPS]
    classical = [s * repetitions(metropolis_chain(e, r)[:, 0]).min() for s, r in zip(SWEEPS, ramps, strict=True)]
    return float(quantum.min()), float(min(classical))


def pair(times: Sequence[float], sweeps: Sequence[int]) -> tuple[list[float], list[float]]:
    """Success on the weak and the strong cell: of exact anneals, and of 2,000 reads of simulated annealing."""
    problem = generators.weak_strong()
    quantum = [anneal(problem, "linear", t, tolerance=1e-4).success_probability for t in times]
    ramp = {"num_reads": 2000, "beta_range": [0.1, 3.0], "seed": 0}
    found = [SimulatedAnnealingSampler().sample(problem, num_sweeps=k, **ramp).record.energy for k in sweeps]
    return quantum, [float((energies < -40.47).mean()) for energies in found]


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Anneal everything, print tables and caveats, draw, and give the figures."""
    chosen = options(__doc__, argv)
    sizes = np.array([16, 24, 32, 40] if chosen.quick else [16, 24, 32, 40, 48, 56, 64])
    spike = np.array([spike_times(int(n)) for n in progress(sizes, "spike")])
    power = np.polyfit(np.log(sizes), np.log(spike[:, 0]), 1)[0]
    factor = math.exp(8 * np.polyfit(sizes, np.log(spike[:, 1]), 1)[0])
    times, sweeps = ([10.0] if chosen.quick else [10.0, 20.0, 50.0]), [10, 100, 1000]
    quantum, classical = pair(times, sweeps)
    slow = np.array([1.0, 2.0, 4.0, 8.0] if chosen.quick else [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    kinks = [ring_kinks(512, t) for t in slow]

    driver = (lambda s: (1 - s) / 2, lambda s: s)  # sum (1 - X) / 2, but for a constant
    through = anneal(Diagonal.by_weight(generators.spike(12)), driver, 10.0, tolerance=1e-8).success_probability
    ring = (anneal(generators.ferromagnet(12), "linear", 4.0, tolerance=1e-8).energy + 12) / 24
    figures = [
        Figure("success on the spike, 12 spins", through, weight_anneal(generators.spike(12), 10.0, 40_000)[0],
               "in the 13 states of the number of ones", 1e-7, ".6f"),
        Figure("kinks per site, ring of 12, T = 4", ring, ring_kinks(12, 4.0, 20_000),
               "free fermions, Dziarmaga, Phys. Rev. Lett. 95, 245701", 1e-7, ".6f"),
        Figure("kinks per site, ring of 512, T = 8", kinks[3], 1 / (math.pi * math.sqrt(8)),
               "1 / (pi sqrt T) of slow anneals, Kibble and Zurek", 1e-3, ".6f"),
    ]  # fmt: skip

    print("time to solution on the spike, 99 %: of the exact anneal (its time), of Metropolis annealing (sweeps)")
    for n, (a, b) in zip(sizes, spike, strict=True):
        print(f"  n = {n}: {a:8.0f} {b:12.0f}")
    print(f"  the first grows like n^{power:.2f}, the second by a factor of {factor:.1f} for each 8 spins")
    print("success on the weak and the strong cell, 16 spins, by annealing time T and sweeps S:")
    print("  exact anneal         " + "".join(f"   T = {t:g}: {p:.3f}" for t, p in zip(times, quantum, strict=True)))
    print(
        "  simulated annealing  " + "".join(f"   {k} sweeps: {p:.3f}" for k, p in zip(sweeps, classical, strict=True))
    )
    print(CAVEATS)

    picture = Picture(figsize=(11, 3.4), layout="constrained")
    left, middle, right = picture.subplots(1, 3)
    left.plot(sizes, spike, "o-", label=["exact anneal, time", "Metropolis, sweeps"])
    left.set(title="Spike: time to solution", xlabel="spins (the two units differ)", yscale="log")
    names = [f"T = {t:g}" for t in times] + [f"{k} sweeps" for k in sweeps]
    middle.bar(names, quantum + classical, color=["C0"] * len(times) + ["C1"] * len(sweeps))
    middle.set(title="Weak and strong cell: no advantage", ylabel="success probability")
    middle.tick_params(axis="x", rotation=40)
    right.plot(slow, kinks, "o", label="ring of 512")
    right.plot(slow, 1 / (np.pi * np.sqrt(slow)), label="1 / (pi sqrt T)")
    right.set(title="Ring: kinks per site", xlabel="annealing time T", xscale="log", yscale="log")
    left.legend()
    right.legend()
    return finish(figures, picture, chosen.out / "tunnelling.png")


if __name__ == "__main__":
    main()
