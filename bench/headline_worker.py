"""One peer of `headline.py` with so many cores, in a process of its own: `headline_worker.py PEER CORES LIMIT ...`.

Modules are imported once; each workload then runs in a fork, where nothing has run yet, so that first calls are cold
and memory is given back. What follows LIMIT are pairs of workload and dtype; for each, a line of JSON is written.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

CALLS, SECONDS = 5, 0.5  # warm calls at least; more within so many seconds
LONGEST = 900.0  # seconds after which a workload is given up
TOLERANCE = {"complex128": 1e-10, "complex64": 1e-4}  # of the largest entry, where that is above 1
Row = dict[str, Any]


def confine(cores: int) -> None:
    """Run on so many cores, with as many threads; before any library is loaded."""
    for name in ("OMP", "KETGRAD", "NUMBA", "MKL", "OPENBLAS"):
        os.environ[f"{name}_NUM_THREADS"] = str(cores)
    os.environ["OMP_PROC_BIND"] = "false"  # kokkos warns where it is not set
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def forked(function: Callable[..., Row], *args: Any) -> Row:
    """What the function gives in a fork of this process, or why it gives nothing."""
    ours, theirs = multiprocessing.get_context("fork").Pipe()

    def run() -> None:
        try:
            theirs.send(function(*args))
        except Exception as e:
            theirs.send({"failed": f"{type(e).__name__}: {e}"[:300]})

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(LONGEST) else {"failed": f"stopped after {LONGEST:g} s"}
    except EOFError:
        return {"failed": "its process died"}
    finally:
        process.kill()
        process.join()


def clocked(build: Callable[[], Callable[[], Any]], check: Callable[[Any], float]) -> Row:
    """Wall and CPU seconds of a cold step (build, compile, run), then, if its answer is right, of warm ones."""
    from clock import warm_times

    start, cpu = time.perf_counter(), time.process_time()
    step = build()
    answer = step()
    row: Row = {"cold": time.perf_counter() - start, "cold cpu": time.process_time() - cpu, "error": check(answer)}
    if row["cold"] < 1:
        step()  # some libraries still prepare something in a second call
    cpu = time.process_time()
    times = warm_times(step, SECONDS, CALLS, 5000)
    return row | {
        "seconds": statistics.median(times),
        "cpu": (time.process_time() - cpu) / len(times),
        "calls": len(times),
    }


def difference(got: Any, wanted: Any, dtype: str, frozen: bool = False) -> float:
    """Largest difference of an answer, relative where entries are above 1.

    Raises:
        AssertionError: it is too large.
    """
    import numpy as np

    worst = 0.0
    for name, a, b in zip(("values", "weight gradients", "input gradients")[: len(got)], got, wanted, strict=True):
        if b.size and not (frozen and name == "input gradients"):
            error = float(np.abs(a - b).max()) / max(1.0, float(np.abs(b).max())) if a.shape == b.shape else np.inf
            assert error <= TOLERANCE[dtype], f"its {name} are off by {error:.1e}"
            worst = max(worst, error)
    return worst


def expected(workload: str) -> Row:
    """ketgrad's answers in double precision, of the step and of its first sample."""
    from headline_cases import WORKLOADS
    from headline_peers import native

    work = WORKLOADS[workload]()
    return {"all": native(work, "complex128", None)(), "first": native(work.first(), "complex128", None)()}


def whole(peer: Any, workload: str, dtype: str, wanted: Row) -> Row:
    """The step of all samples."""
    from headline_cases import WORKLOADS

    def build() -> Any:
        return peer.make(WORKLOADS[workload](), dtype)

    return clocked(build, lambda answer: difference(answer, wanted["all"], dtype, peer.frozen))


def one_sample(peer: Any, workload: str, dtype: str, wanted: Row) -> Row:
    """The step of the first sample."""
    from headline_cases import WORKLOADS

    def build() -> Any:
        return peer.make(WORKLOADS[workload]().first(), dtype)

    return clocked(build, lambda answer: difference(answer, wanted["first"], dtype, peer.frozen))


def one_shift(peer: Any, workload: str, dtype: str, wanted: Row) -> Row:
    """Values of all samples, which parameter-shift computes again for every shifted angle."""
    import headline_torch
    from headline_cases import WORKLOADS

    def build() -> Any:
        return headline_torch.shifted_circuit(WORKLOADS[workload](), dtype)

    return clocked(build, lambda values: difference((values,), wanted["all"][:1], dtype))


def times(row: Row, count: int, what: str) -> Row:
    """A row of something that a step does so many times."""
    more = {"seconds": row["seconds"] * count, "cpu": row["cpu"] * count}
    cold = {k: row[k] + (count - 1) * row[warm] for k, warm in (("cold", "seconds"), ("cold cpu", "cpu"))}
    return row | more | cold | {"scaled": f"{what} x {count:,}"}


def measure(peer: Any, workload: str, dtype: str, limit: float, wanted: Row) -> Row:
    """The step; where the peer allows that and it would take longer than `limit` seconds, a part of it, scaled."""
    from headline_cases import WORKLOADS

    work = WORKLOADS[workload]()
    if peer.scaled and work.batch > 1:
        row = forked(one_sample, peer, workload, dtype, wanted)  # the gradients, if all that follows is values
        if "failed" in row:
            return row
        if peer.scaled == "sample" and row["seconds"] * work.batch > limit:
            return times(row, work.batch, "1 sample")
        if peer.scaled == "shift":
            count = 2 * work.facts()["shifted weights"] + 1
            shift = forked(one_shift, peer, workload, dtype, wanted)
            if "failed" in shift:
                return shift
            if shift["seconds"] * count > limit:
                return times(shift | {"error": max(row["error"], shift["error"])}, count, "1 shifted circuit")
    return forked(whole, peer, workload, dtype, wanted)


def main() -> None:
    """Answer for every pair; what libraries print goes to the error stream."""
    name, cores, limit, *pairs = sys.argv[1:]
    confine(int(cores))
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.filterwarnings("ignore")  # of peers, about themselves
    from headline_peers import PEERS

    peer = PEERS[name]
    start = time.perf_counter()
    for module in peer.preload:
        import_module(module)
    imports = time.perf_counter() - start
    for workload, dtype in zip(pairs[::2], pairs[1::2], strict=True):
        wanted = forked(expected, workload)
        row = wanted if "failed" in wanted else measure(peer, workload, dtype, float(limit), wanted)
        out.write(json.dumps({"workload": workload, "dtype": dtype, "imports": imports, **row}) + "\n")


if __name__ == "__main__":
    main()
