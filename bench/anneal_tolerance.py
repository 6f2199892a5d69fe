"""How often exact annealing keeps the tolerance it is given: random anneals against four times as many steps.

    python bench/anneal_tolerance.py [--quick] [--anneals N] [--order 4]

Problems of 2 to 9 spins: couplings with and without fields, rings, spikes, needles, random energies. Schedules: linear,
circular, quadratic, tables, waves. Times from 0.2 to 60, pauses, quenches and ways back. What is compared is what the
tolerance is of: the success probability, and the energy over its spread.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from common import heading

import ketgrad as kg
from ketgrad.anneal import Diagonal, ExactAnnealing, Ising
from ketgrad.compare import format_table

TOLERANCES = (1e-3, 1e-4, 1e-6, 1e-8, 1e-10)
ROTATIONS = {2: 1, 4: 6, 6: 10}  # of all spins, in a step of an order
ROUNDING = 3e-12


def dense(rng: np.random.Generator, n: int, scale: float, fields: bool) -> Ising:
    """Every pair coupled."""
    pairs = list(itertools.combinations(range(n), 2))
    return Ising.of(scale * rng.normal(size=n) * fields, pairs, scale * rng.normal(size=len(pairs)))


def problem_of(rng: np.random.Generator) -> Ising | Diagonal:
    """One of six kinds."""
    n, scale = int(rng.integers(2, 9)), float(np.exp(rng.uniform(-1.5, 1.5)))
    kinds: list[Callable[[], Ising | Diagonal]] = [
        lambda: dense(rng, n, scale, True),
        lambda: dense(rng, n, scale, False),
        lambda: Ising.of(np.zeros(n + 1), [(k, (k + 1) % (n + 1)) for k in range(n + 1)], np.full(n + 1, -scale)),
        lambda: Diagonal.by_weight(scale * (np.arange(n + 1.0) + n * rng.random() * (np.arange(n + 1) == n // 4))),
        lambda: Diagonal.of(scale * rng.normal(size=2**n)),
        lambda: Diagonal.of(-scale * n * (np.arange(2**n) == rng.integers(2**n))),
    ]
    return kinds[rng.integers(len(kinds))]()


def schedule_of(rng: np.random.Generator) -> Any:
    """A name, a table or two functions."""
    kind = rng.integers(5)
    if kind < 3:
        return ("linear", "circular", "quadratic")[kind]
    if kind == 3:
        s = np.array([0, *np.sort(rng.uniform(0.1, 0.9, 3)), 1])
        return s, np.sort(rng.uniform(0, 4, 5))[::-1].copy(), np.sort(rng.uniform(0, 4, 5))
    w = float(rng.uniform(2, 20))
    return lambda s: 1 - s + 0.3 * np.sin(w * s), lambda s: s + 0.2 * np.sin(w * s) ** 2


def path_of(rng: np.random.Generator, n: int) -> dict[str, Any]:
    """A time; a pause and a quench; or back from spins and forth again."""
    total, kind = float(np.exp(rng.uniform(math.log(0.2), math.log(60)))), rng.integers(5)
    if kind < 3:
        return {"time": total}
    if kind == 3:
        return {"path": np.array([[0, 0], [0.3, 0.4], [0.6, 0.4], [0.8, 0.7], [1, 1]]) * [total, 1]}
    back = np.array([[0, 1], [0.4, 0.3], [0.6, 0.3], [1, 1]]) * [total, 1]
    return {"path": back, "initial": rng.choice([-1, 1], n)}


def spread_of(problem: Ising | Diagonal) -> float:
    """Highest energy less the lowest."""
    if isinstance(problem, Diagonal):
        return float(np.ptp(problem.energies))
    return float(np.ptp(problem.energies(np.array(list(itertools.product((1, -1), repeat=problem.n))))))


def survey(anneals: int, order: int, tolerances: Sequence[float]) -> dict[float, list[tuple[float, int]]]:
    """By tolerance: how far off each result was, in tolerances, and its steps."""
    found: dict[float, list[tuple[float, int]]] = {t: [] for t in tolerances}
    for seed in range(anneals):
        rng = np.random.default_rng([20, seed])
        problem = problem_of(rng)
        schedule, path = schedule_of(rng), path_of(rng, problem.n)
        annealing = ExactAnnealing(problem, order=order)
        results = {t: annealing.run(schedule, **path, tolerance=t, records=1) for t in tolerances}
        steps = 4 * max(r.steps for r in results.values()) + 20
        fine = annealing.run(schedule, **path, steps=steps, records=1)
        spread = max(spread_of(problem), 1e-300)
        for tolerance, r in results.items():
            off = max(abs(r.success_probability - fine.success_probability), abs(r.energy - fine.energy) / spread)
            found[tolerance].append((max(0.0, off - ROUNDING) / tolerance, r.steps))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 anneals")
    parser.add_argument("--anneals", type=int, default=1500)
    parser.add_argument("--order", type=int, default=4, choices=tuple(ROTATIONS))
    chosen = parser.parse_args()
    kg.set_num_threads(1)
    tolerances = TOLERANCES[: 3 if chosen.order == 2 else None]  # beyond, order 2 takes millions of steps
    count = 20 if chosen.quick else chosen.anneals
    print(heading(f"{count} random anneals, order {chosen.order}: results further off than their tolerance"))
    rows: list[tuple[str, ...]] = []
    for tolerance, off in survey(count, chosen.order, tolerances).items():
        distance, steps = np.array(off).T
        typical = np.median(steps)
        cells = (f"{tolerance:g}", str((distance > 1).sum()), f"{distance.max():.2f}", f"{typical:.0f}")
        rows.append((*cells, f"{ROTATIONS[chosen.order] * typical:.0f}"))
    print(format_table(("tolerance", "further off", "the worst, in tolerances", "steps, median", "rotations"), rows))
