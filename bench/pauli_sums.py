"""Sums of thousands of Pauli words: value and gradient beside qulacs and lightning; evolution under diagonal sums.

    python bench/pauli_sums.py [--sizes 12 16 20] [--peers qulacs] [--quick]

The circuit is one layer of RY and a ring of CNOTs, so that the observable is what takes time: random words over few or
many X masks; one X mask means words of Z alone. Answers are compared first. The limit is one reading of the state for
each X mask, at the bandwidth measured in the same run; a state that fits the cache may be read faster.

The second table is QAOA for low-autocorrelation sequences (a cost of words of two and four Zs, whole numbers): the cost
layer as rotations one by one, and by `Circuit.evolve`.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from clock import timed
from common import heading, ratio
from large import machine, measure
from large_cases import Gate, LargeCase, Word
from large_peers import THREADS
from large_worker import Worker

import ketgrad as kg
from ketgrad.compare import format_table, format_time

SUMS = ((1000, 1), (5000, 1), (1000, 8), (5000, 16), (1000, 500))  # terms, X masks
PEERS = ("qulacs", "lightning.qubit", "lightning.kokkos")


def layer(n: int) -> list[Gate]:
    """RY on every wire and a ring of CNOTs."""
    angles = np.random.default_rng(5).uniform(-3, 3, size=n).tolist()
    return [("ry", (q,), (angles[q],)) for q in range(n)] + [("cx", (q, (q + 1) % n), ()) for q in range(n)]


def random_words(n: int, terms: int, masks: int) -> list[Word]:
    """Distinct words, as many of each X mask."""
    rng = np.random.default_rng(terms + masks)
    flips = [0, *rng.integers(1, 1 << n, size=masks - 1).tolist()]
    words: dict[str, float] = {}
    while len(words) < terms:
        x, z = flips[len(words) % masks], int(rng.integers(1, 1 << n))
        words["".join("IXZY"[(x >> q & 1) + 2 * (z >> q & 1)] for q in range(n))] = float(rng.normal()) / terms**0.5
    wires = {word: tuple(q for q in range(n) if word[q] != "I") for word in words}
    return [(c, word.replace("I", ""), wires[word]) for word, c in words.items()]


def sum_case(terms: int, masks: int) -> LargeCase:
    """Its ideal: a pass for each X mask."""
    name = f"{terms:,} terms, {masks} X mask" + "s" * (masks > 1)

    def words(n: int) -> list[Word]:
        return random_words(n, terms, masks)

    return LargeCase(name, layer, words, lambda n: masks, lambda n: 0, words)


def row(workers: dict[str, Worker], terms: int, masks: int, n: int, what: str, bandwidth: float) -> list[str]:
    """One line."""
    case = sum_case(terms, masks)
    times = measure(workers, case, case.task(what, n, "complex128"))["times"]
    mine = times.pop("ketgrad")[""]
    peers = {p: [t for t in some.values() if isinstance(t, float)] for p, some in times.items()}
    best, peer = min(((min(some), p) for p, some in peers.items() if some), default=(None, "-"))
    limit = masks * 16 * 2**n / bandwidth
    return [case.name, str(n), what, format_time(mine), f"{limit / mine:.2f}" if what == "expectation" else "",
            peer, format_time(best) if best else "-", ratio(best, mine)]  # fmt: skip


def autocorrelation(n: int) -> kg.PauliSum:
    """Energy of a sequence: the squares of its autocorrelations, without their constant part."""
    words: dict[str, float] = {}
    for k in range(1, n):
        for i in range(n - k):
            for j in range(i):
                places = {i} ^ {i + k} ^ {j} ^ {j + k}
                word = "".join("Z" if q in places else "I" for q in range(n))
                words[word] = words.get(word, 0.0) + 2.0
    return kg.PauliSum.from_words(words)


def evolution_row(n: int) -> list[str]:
    """Two layers of QAOA, with the cost by words and by `evolve`."""
    cost, models = autocorrelation(n), []
    for whole in (False, True):
        circuit = kg.Circuit(n)
        w = circuit.weights(4)
        for q in range(n):
            circuit.h(q)
        for k in (0, 2):
            if whole:
                circuit.evolve(cost, w[k])
            else:
                for c, word, _ in cost:
                    circuit.multi_rz(2 * c * w[k], *(q for q, _ in word))
            for q in range(n):
                circuit.rx(w[k + 1], q)
        models.append(kg.compile(circuit, [cost]))
    at, times, gradients = np.array([0.01, 0.4, 0.02, 0.2]), [], []
    for model in models:

        def gradient(model: Any = model) -> np.ndarray:
            return np.asarray(model.forward(at)[1](np.ones(1)).weights)

        gradients.append(gradient())
        times += [timed(lambda model=model: model(at), 0.3), timed(gradient, 0.3)]  # type: ignore[misc]
    assert np.allclose(*gradients, rtol=1e-9), "the two ways differ"
    return [str(n), f"{len(cost):,}", *map(format_time, (times[0], times[2])), ratio(times[0], times[2]),
            *map(format_time, (times[1], times[3])), ratio(times[1], times[3])]  # fmt: skip


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[12, 16, 20])
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--limit", type=float, default=30, help="seconds that one call of a simulator may take")
    parser.add_argument("--quick", action="store_true", help="12 qubits and 1,000 terms only")
    options = parser.parse_args()
    sizes = [12] if options.quick else options.sizes
    kg.set_num_threads(THREADS)
    _, bandwidth = machine()
    print(heading("Sums of Pauli words, complex128"))
    workers = {p: Worker(p, sys.executable, options.limit) for p in ["ketgrad", *options.peers]}
    workers = {p: w for p, w in workers.items() if w.version() is not None}
    table = []
    for n in sizes:
        for terms, masks in SUMS:
            if terms < 2**n * masks and not (options.quick and terms > 1000):
                for what in ("expectation", "gradient"):
                    table.append(row(workers, terms, masks, n, what, bandwidth))
                    print("  ".join(table[-1]), flush=True)
    for worker in workers.values():
        worker.stop()
    print(
        "\n"
        + format_table(["sum", "qubits", "", "ketgrad", "of limit", "best peer", "its time", "peer/ketgrad"], table)
    )
    print(heading("QAOA for low-autocorrelation sequences, two layers, complex128"))
    header = ["qubits", "terms", "value, words", "evolve", "ratio", "gradient, words", "evolve", "ratio"]
    print(format_table(header, [evolution_row(n) for n in sizes]))


if __name__ == "__main__":
    main()
