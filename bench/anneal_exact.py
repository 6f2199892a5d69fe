"""Exact annealing beside QuTiP's sesolve (14 spins), beside Trotter steps on lightning.qubit (20), and alone (26).

QuTiP is given its quickest method and loosest tolerance that reach the accuracy, and a Hamiltonian made beforehand.
The problems have fields, but for one row, so that the parity sector helps nobody.
"""

from __future__ import annotations

import itertools
import math
import resource
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

import numpy as np
from clock import once, timed, warm_time
from common import LIGHTNING, heading, options

import ketgrad as kg
from ketgrad.anneal import Diagonal, ExactAnnealing, Ising, Schedule, anneal, minimum_gap
from ketgrad.compare import format_table, format_time
from ketgrad.memory import format_bytes

ACCURACY = 1e-6
METHODS = ("adams", "dop853", "vern7", "vern9")
GOALS = {"qutip": 20, "lightning": 15}


def dense(n: int, fields: bool = True) -> Ising:
    """Every pair coupled (Sherrington and Kirkpatrick), and fields."""
    rng = np.random.default_rng(14)
    pairs = list(itertools.combinations(range(n), 2))
    couplings = rng.normal(size=len(pairs)) / math.sqrt(n)
    return Ising.of(0.3 * rng.normal(size=n) * fields, pairs, couplings)


def sparse(n: int) -> Ising:
    """Three couplings a spin on average, and fields."""
    rng = np.random.default_rng(20)
    pairs = [(k, (k + d) % n) for k in range(n) for d in (1, 3)][: 3 * n // 2]
    return Ising.of(0.3 * rng.normal(size=n), pairs, rng.choice([-1.0, 1.0], len(pairs)))


def qutip_anneal(problem: Ising, total: float, method: str, tolerance: float) -> Any:
    """A call that gives the final state by QuTiP; the Hamiltonian is made here."""
    import qutip as qt

    n = problem.n
    drive = sum(qt.tensor([qt.sigmax() if q == k else qt.qeye(2) for q in range(n)]) for k in range(n))
    index = np.arange(2**n)
    spins = 1 - 2 * (index[:, None] >> np.arange(n - 1, -1, -1) & 1)
    cost = qt.qdiags(problem.energies(spins), 0, dims=drive.dims, dtype="dia")
    h = qt.QobjEvo([[-drive.to("csr"), lambda t: 1 - t / total], [cost.to("csr"), lambda t: t / total]])
    start = qt.Qobj(np.full((2**n, 1), 2.0 ** (-n / 2)), dims=[[2] * n, [1] * n])
    settings = {"method": method, "rtol": tolerance, "atol": tolerance / 10, "nsteps": 10**6, "progress_bar": ""}
    return lambda: qt.sesolve(h, start, [0.0, total], options=settings).states[-1].full()[:, 0]


def beside_qutip(n: int, total: float) -> None:
    """Equal accuracy of the success probability."""
    problem, free = dense(n), dense(n, fields=False)
    exact = ExactAnnealing(problem).run("linear", total, steps=1000)
    ground = np.flatnonzero(exact.probabilities() == exact.probabilities()[_lowest(problem)])
    best: tuple[float, str] | None = None
    if find_spec("qutip") is not None:
        for method, digits in itertools.product(METHODS, range(4, 9)):
            call = qutip_anneal(problem, total, method, 10.0**-digits)
            took, state = once(call)
            error = abs(float((np.abs(state[ground]) ** 2).sum()) - exact.success_probability)
            if error <= ACCURACY:
                took = warm_time(call, 0.0, 3, 3)
                best = min(best or (math.inf, ""), (took, f"{method}, rtol 1e-{digits}"))
                break
    rows = []
    for name, which, parity in (("all states", problem, False), ("no fields, even states", free, None)):
        annealing = ExactAnnealing(which, parity=parity)
        result = annealing.run("linear", total, tolerance=ACCURACY)
        finer = exact if which is problem else annealing.run("linear", total, steps=1000)
        error = abs(result.success_probability - finer.success_probability)
        assert error <= ACCURACY, (name, error)
        warm = timed(lambda a=annealing: a.run("linear", total, tolerance=ACCURACY), 0.5, 5)
        first = once(lambda w=which, p=parity: anneal(w, "linear", total, parity=p, tolerance=ACCURACY))[0]
        given = timed(lambda a=annealing, s=result.steps: a.run("linear", total, steps=s), 0.5, 5)
        ratio = "-" if best is None else f"{best[0] / warm:.1f}"
        rows.append(
            (name, format_time(warm), format_time(first), format_time(given), str(result.steps), f"{error:.0e}", ratio)
        )
    print(heading(f"{n} spins, all coupled, time {total:g}: success probability to {ACCURACY:g}"))
    print("qutip: " + ("not installed" if best is None else f"{format_time(best[0])} ({best[1]})"))
    head = ("anneal", "to tolerance", "and prepared", "steps given", "steps", "error", "qutip / ketgrad")
    print(format_table(head, rows))
    print(f"goal: at least {GOALS['qutip']} times\n")


def _lowest(problem: Ising) -> int:
    index = np.arange(2**problem.n)
    return int(problem.energies(1 - 2 * (index[:, None] >> np.arange(problem.n - 1, -1, -1) & 1)).argmin())


def lightning_steps(problem: Ising, total: float, steps: int) -> Any:
    """A call that runs second-order Trotter steps as gates and gives the probability of the last outcome."""
    import pennylane as qml

    n, h = problem.n, total / steps

    def phases(weight: float) -> None:
        for k, field in enumerate(problem.fields):
            qml.RZ(2 * weight * field, k)
        for (i, j), c in zip(problem.pairs.tolist(), problem.couplings, strict=True):
            qml.IsingZZ(2 * weight * c, [i, j])

    def circuit() -> Any:
        for k in range(n):
            qml.Hadamard(k)
        for k in range(steps):
            phases(h * k / steps * (0.5 if k == 0 else 1.0))
            for q in range(n):
                qml.RX(-2 * h * (1 - (k + 0.5) / steps), q)
        phases(h / 2)
        return qml.probs(range(4))

    tape = qml.tape.make_qscript(circuit)()
    device = qml.device("lightning.qubit", wires=n)
    (ready,), _ = device.preprocess_transforms()((tape,))
    return lambda: device.execute(ready)


def beside_lightning(n: int, steps: int) -> None:
    """Equal circuits: the same second-order steps."""
    rows = []
    for name, problem in (("three couplings a spin", sparse(n)), ("all coupled", dense(n))):
        annealing = ExactAnnealing(problem, order=2)
        run = lambda number, a=annealing: a.run("linear", 2.0, steps=number, records=1)  # noqa: E731
        theirs = None
        if LIGHTNING:
            few = 2
            call = lightning_steps(problem, 2.0, few)
            p = run(few).probabilities().reshape(16, -1).sum(axis=1)
            np.testing.assert_allclose(np.asarray(call()), p, atol=1e-10)
            theirs = warm_time(call, 0.0, 2, 2) / few
        for threads in sorted({1, kg.backend_info()["threads"]}):
            before = kg.backend_info()["threads"]
            kg.set_num_threads(threads)
            ours = timed(lambda r=run: r(steps), 1.0, 3) / steps
            kg.set_num_threads(before)
            other = "-" if theirs is None else format_time(theirs)
            rows.append(
                (name, str(threads), format_time(ours), other, "-" if theirs is None else f"{theirs / ours:.1f}")
            )
    print(heading(f"{n} spins, one second-order step"))
    head = ("problem", "threads", "ketgrad", "lightning.qubit", "lightning / ketgrad")
    print(format_table(head, rows))
    print(f"goal: at least {GOALS['lightning']} times\n")


def alone(n: int, dtype: str) -> None:
    """Time of a step and peak memory; runs in a process of its own."""
    problem = sparse(n)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    annealing = ExactAnnealing(problem, dtype=dtype)
    first, _ = once(lambda: annealing.run("linear", 1.0, steps=2, records=1))
    took, result = once(lambda: annealing.run("linear", 1.0, steps=4, records=1))
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) * 1024
    assert abs(result.probabilities().sum() - 1) < 1e-5 if n < 20 else True
    print(
        f"{n} spins, {dtype}: {format_time(took / 4)} a fourth-order step, {format_time(took / 24)} a rotation of all "
        f"qubits with its phases, the first two steps {format_time(first)}; peak {format_bytes(peak)}, "
        f"the state {format_bytes(result.state.nbytes)}"
    )


def tables(largest: int) -> None:
    """Reference values by the engine itself."""
    plan, rows = Schedule.of("linear").scaled(0.5, 1.0), []
    for n, wanted in ((16, 0.1201365), (20, None), (24, 0.1059643)):
        if n > largest:
            continue
        weights = np.arange(n + 1.0)
        weights[n // 4] += n
        begin = time.perf_counter()
        result = anneal(Diagonal.by_weight(weights), plan, 10.0, steps=160, records=1)
        if wanted is not None:
            assert abs(result.success_probability - wanted) < 1e-4
        gap, where = minimum_gap(Diagonal.by_weight(weights), plan)
        took = format_time(time.perf_counter() - begin)
        rows.append((str(n), f"{result.success_probability:.6f}", f"{gap:.6f}", f"{where:.4f}", took))
    print(heading("The spike of height n at weight n / 4, time 10"))
    print(format_table(("spins", "success", "least gap", "at s", "time"), rows))


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[1] == "--alone":
        return alone(int(sys.argv[2]), sys.argv[3])
    quick = options(__doc__).quick
    beside_qutip(10 if quick else 14, 10.0)
    beside_lightning(14 if quick else 20, 96)
    print(heading("Large states"))
    for dtype in ("complex64", "complex128"):
        size = "16" if quick else "26"
        subprocess.run([sys.executable, __file__, "--alone", size, dtype], check=True)
    tables(16 if quick else 24)


if __name__ == "__main__":
    main()
