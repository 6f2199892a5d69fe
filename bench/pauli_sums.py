"""Sums of thousands of Pauli words: value and gradient beside qulacs and lightning; evolution under diagonal sums.

    python bench/pauli_sums.py [--sizes 12 16 20] [--quick]

The circuit is one layer of RY and a ring of CNOTs, so that the observable is what takes time. Random words over few or
many X masks; one X mask means words of Z alone. Values and gradients are compared before anything is timed; a peer that
takes more than a few seconds is run once. The limit is one reading of the state for each X mask, at the bandwidth
measured in the same run (in the cache, where the state fits, ketgrad may be faster).

The second table is QAOA for low-autocorrelation sequences (a cost of words of two and four Zs, whole numbers): the cost
layer as rotations one by one, and by `Circuit.evolve`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np  # noqa: E402
from common import heading, ratio, timed  # noqa: E402
from large import SLOW, machine  # noqa: E402
from large_gradient import device_gradient  # noqa: E402
from large_peers import THREADS, installed  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.compare import format_table, format_time  # noqa: E402

CASES = ((1000, 1), (5000, 1), (1000, 8), (5000, 16), (1000, 500))  # terms, X masks
PEERS = ("qulacs", "lightning.qubit", "lightning.kokkos")
Words = dict[str, float]
Pair = tuple[Callable[[], float], Callable[[], np.ndarray]]  # value; gradient


def random_words(n: int, terms: int, masks: int) -> Words:
    """{word: coefficient}, as many of each X mask."""
    rng = np.random.default_rng(terms + masks)
    flips = [0, *rng.integers(1, 1 << n, size=masks - 1).tolist()]
    out: Words = {}
    while len(out) < terms:
        x, z = flips[len(out) % masks], int(rng.integers(1, 1 << n))
        out["".join("IXZY"[(x >> q & 1) + 2 * (z >> q & 1)] for q in range(n))] = float(rng.normal()) / terms**0.5
    return out


def angles(n: int) -> np.ndarray:
    """Of the layer."""
    return np.random.default_rng(5).uniform(-3, 3, size=n)


def ketgrad_runs(n: int, words: Words) -> Pair:
    """A model and its pullback."""
    circuit = kg.Circuit(n)
    w = circuit.weights(n)
    for q in range(n):
        circuit.ry(w[q], q)
    for q in range(n):
        circuit.cx(q, (q + 1) % n)
    model, at = kg.compile(circuit, [kg.PauliSum.from_words(words)]), angles(n)

    def gradient() -> np.ndarray:
        _, pullback = model.forward(at)
        return np.asarray(pullback(np.ones(1)).weights)

    return lambda: float(model(at)[0]), gradient


def qulacs_runs(n: int, words: Words) -> Pair:
    """qulacs: a state and an observable; backpropagation."""
    import qulacs

    circuit, observable, state = qulacs.ParametricQuantumCircuit(n), qulacs.Observable(n), qulacs.QuantumState(n)
    for q, angle in enumerate(angles(n)):
        circuit.add_parametric_RY_gate(q, -float(angle))
    for q in range(n):
        circuit.add_CNOT_gate(q, (q + 1) % n)
    for word, c in words.items():
        observable.add_operator(c, " ".join(f"{letter} {q}" for q, letter in enumerate(word) if letter != "I"))

    def value() -> float:
        state.set_zero_state()
        circuit.update_quantum_state(state)
        return float(observable.get_expectation_value(state))

    return value, lambda: -np.array(circuit.backprop(observable))


def lightning_runs(name: str, n: int, words: Words) -> Pair:
    """One tape on the device; its own adjoint."""
    import pennylane as qml

    def word(text: str) -> Any:
        letters = [getattr(qml, c)(q) for q, c in enumerate(text) if c != "I"]
        return qml.prod(*letters) if len(letters) > 1 else letters[0]

    ops = [qml.RY(a, q) for q, a in enumerate(angles(n))] + [qml.CNOT([q, (q + 1) % n]) for q in range(n)]
    observable = qml.Hamiltonian(list(words.values()), [word(w) for w in words])
    device, tape = qml.device(name, wires=n), qml.tape.QuantumScript(ops, [qml.expval(observable)])
    tape.trainable_params = list(range(n))
    return lambda: float(device.execute(tape)), device_gradient(device, tape)


def once_or_median(run: Callable[[], Any]) -> float:
    """Seconds; what is slow is run once."""
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    return first if first > SLOW else timed(run, 0.3, 3, 50)


def row(n: int, terms: int, masks: int, peers: list[str], bandwidth: float) -> list[str]:
    """One line, after the answers have been compared."""
    words = random_words(n, terms, masks)
    value, gradient = ketgrad_runs(n, words)
    wanted, slopes = value(), gradient()
    mine = timed(value, 0.3), timed(gradient, 0.3)
    theirs: dict[str, tuple[float, float]] = {}
    for peer in peers:
        runs = qulacs_runs(n, words) if peer == "qulacs" else lightning_runs(peer, n, words)
        assert abs(runs[0]() - wanted) < 1e-9, f"{peer} has another value"
        assert np.abs(runs[1]() - slopes).max() < 1e-8, f"{peer} has another gradient"
        theirs[peer] = once_or_median(runs[0]), once_or_median(runs[1])
    best = [min((t[k], p) for p, t in theirs.items()) if theirs else (None, "-") for k in (0, 1)]
    limit = masks * 16 * 2**n / bandwidth
    return [str(n), f"{terms:,}", str(masks), format_time(mine[0]), f"{limit / mine[0]:.2f}", best[0][1],
            ratio(best[0][0], mine[0]), format_time(mine[1]), best[1][1], ratio(best[1][0], mine[1])]  # fmt: skip


def autocorrelation(n: int) -> kg.PauliSum:
    """Energy of a sequence: the squares of its autocorrelations, without their constant part."""
    words: Words = {}
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
        for layer in range(2):
            if whole:
                circuit.evolve(cost, w[2 * layer])
            else:
                for c, word, _ in cost:
                    circuit.multi_rz(2 * c * w[2 * layer], *(q for q, _ in word))
            for q in range(n):
                circuit.rx(w[2 * layer + 1], q)
        models.append(kg.compile(circuit, [cost]))
    at, times, gradients = np.array([0.01, 0.4, 0.02, 0.2]), [], []
    for model in models:

        def gradient(model: kg.Model = model) -> np.ndarray:
            _, pullback = model.forward(at)
            return np.asarray(pullback(np.ones(1)).weights)

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
    parser.add_argument("--quick", action="store_true", help="12 qubits and 1,000 terms only")
    options = parser.parse_args()
    kg.set_num_threads(THREADS)
    _, bandwidth = machine()
    print(heading("Sums of Pauli words, complex128"))
    peers = [p for p in installed() if p in options.peers]
    table = [
        row(n, terms, masks, peers, bandwidth)
        for n in ([12] if options.quick else options.sizes)
        for terms, masks in CASES
        if terms < 2**n * masks and not (options.quick and terms > 1000)
    ]
    header = ["qubits", "terms", "X masks", "value", "of limit", "best peer", "peer/ketgrad", "gradient", "best peer",
              "peer/ketgrad"]  # fmt: skip
    print("\n" + format_table(header, table))
    print(heading("QAOA for low-autocorrelation sequences, two layers, complex128"))
    rows = [evolution_row(n) for n in ([12] if options.quick else options.sizes)]
    header = ["qubits", "terms", "value, words", "evolve", "ratio", "gradient, words", "evolve", "ratio"]
    print("\n" + format_table(header, rows))


if __name__ == "__main__":
    main()
