"""One large state: forward and expectation value beside qsim, qulacs, Aer and lightning, and the ideal time.

    python bench/large.py --sizes 16 20 22 24 [--dtypes complex64 complex128] [--cases ring qaoa] [--json out.json]

Every answer is compared before it is timed. Peers run at their best settings (of several, the fastest counts) with as
many threads as ketgrad; lightning.qubit's 0.45 wheel runs gates on one thread. The ideal is frozen in
`large_cases.py`; bandwidth and arithmetic rate are measured in this run.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np  # noqa: E402
from common import heading, timed  # noqa: E402
from large_cases import CASES, LargeCase, ideal_time  # noqa: E402
from large_peers import PREPARE, THREADS, Runs, installed, ketgrad_model, run_ketgrad  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.compare import format_table, format_time  # noqa: E402

TOLERANCE = {"complex64": 2e-3, "complex128": 1e-9}  # lightning.qubit's single precision is off by 4e-4
SLOW = 5.0  # seconds: a setting that takes longer is run once


def machine() -> tuple[dict[str, float], float]:
    """Lane operations per second by dtype, from a matrix product, and bytes per second of y *= a, all threads."""
    rates = {}
    for dtype, real in (("complex64", np.float32), ("complex128", np.float64)):
        a = np.ones((1024, 1024), real)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - start)
        rates[dtype] = 1024**3 / min(times)
    return rates, _bandwidth()


def _bandwidth() -> float:
    """Of an in-place scaling of 512 MiB by as many Python threads as processors are used."""
    from concurrent.futures import ThreadPoolExecutor

    parts = np.array_split(np.ones(1 << 26), THREADS)
    times = []
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(6):
            start = time.perf_counter()
            list(pool.map(lambda y: np.multiply(y, 1.0, out=y), parts))
            times.append(time.perf_counter() - start)
    return 2 * (8 << 26) / min(times)


def fastest(runs: Runs, wanted: float | None, tolerance: float, label: str) -> tuple[float, str, float]:
    """Median time of the best setting, its name, and the answer, which is asserted first."""
    best = (float("inf"), "", 0.0)
    for setting, run in runs.items():
        start = time.perf_counter()
        answer = run()
        first = time.perf_counter() - start
        if wanted is not None and abs(answer - wanted) > tolerance * max(1.0, abs(wanted)):
            raise AssertionError(f"{label} {setting}: {answer} instead of {wanted}")
        best = min(best, (first if first > SLOW else timed(run, 0.3, 3, 30), setting, answer))
    return best


def row(case: LargeCase, n: int, dtype: str, peers: list[str], rate: float, bandwidth: float) -> dict[str, Any]:
    """Times of one case."""
    gates, words = case.gates(n), case.words(n)
    ours, _, answer = fastest(run_ketgrad(gates, words, n, dtype), None, 0, "ketgrad")
    out: dict[str, Any] = {"case": case.name, "n": n, "dtype": dtype, "gates": len(gates), "ketgrad": ours}
    fresh = ketgrad_model(gates, words, n, dtype)
    start = time.perf_counter()
    fresh.plan()
    out["plan"] = (time.perf_counter() - start) / len(gates)
    out["ideal"] = ideal_time(case, n, np.dtype(dtype).itemsize, bandwidth, rate)
    for peer in peers:
        runs = PREPARE[peer](gates, words, n, dtype)
        if runs:
            out[peer], out[f"{peer} setting"], _ = fastest(runs, answer, TOLERANCE[dtype], f"{case.name} {n} {peer}")
    return out


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 20, 22])
    parser.add_argument("--dtypes", nargs="+", default=["complex64", "complex128"])
    parser.add_argument("--cases", nargs="+", default=[], help="words of their names; default all")
    parser.add_argument("--peers", nargs="*", default=None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="only 16 qubits")
    options = parser.parse_args()
    if options.quick:
        options.sizes = [16]
    kg.set_num_threads(THREADS)
    peers = installed() if options.peers is None else options.peers
    rates, bandwidth = machine()
    print(heading("One large state: a circuit and its expectation value"))
    print(
        f"{bandwidth / 1e9:.1f} GB/s; " + ", ".join(f"{d}: {r / 1e9:.0f} G lane operations/s" for d, r in rates.items())
    )
    cases = [c for c in CASES if not options.cases or any(word in c.name for word in options.cases)]
    rows: list[dict[str, Any]] = []
    table = []
    for case in cases:
        for n in options.sizes:
            for dtype in options.dtypes:
                r = row(case, n, dtype, peers, rates[dtype], bandwidth)
                rows.append(r)
                times = {p: r[p] for p in peers if p in r}
                best = min(times, key=lambda p: times[p]) if times else ""
                ratio = times[best] / r["ketgrad"] if times else float("nan")
                table.append([case.name, str(n), dtype, str(r["gates"]), format_time(r["ketgrad"])]
                             + [format_time(times[p]) if p in times else "-" for p in peers]
                             + [f"{best} {r.get(best + ' setting', '')}".strip(), f"{ratio:.2f}",
                                f"{r['ideal'] / r['ketgrad']:.2f}", format_time(r["plan"]),
                                "slower" if ratio < 1 else ""])  # fmt: skip
                print(" ".join(table[-1]), flush=True)
                if options.json:
                    options.json.write_text(json.dumps(rows, indent=1))
    header = [
        "case",
        "n",
        "dtype",
        "gates",
        "ketgrad",
        *peers,
        "best peer",
        "peer/ketgrad",
        "of ideal",
        "plan/gate",
        "",
    ]
    print("\n" + format_table(header, table))


if __name__ == "__main__":
    main()
