"""One large state: forward, expectation value and gradient beside six simulators, and beside the ideal time.

    python bench/large.py [--sizes 12 16 20] [--dtypes complex64] [--what gradient] [--cases ring QAOA] [--out DIR]

Every answer is compared with ketgrad's before it is timed. Peers run at their best settings (of several, the fastest
counts) with as many threads as ketgrad, each in a process of its own; what takes longer than --limit seconds is shown
as such. With --out, rows are kept in DIR/results.json, a later call adds those that are missing, and a table and
figures are made of all. The ideal is frozen in `large_cases.py`; bandwidth and arithmetic rate are measured each time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from large_peers import PEERS, THREADS

os.environ["OMP_NUM_THREADS"] = str(THREADS)  # of the matrix product below

import numpy as np  # noqa: E402
from clock import once  # noqa: E402
from common import heading, lane_rates  # noqa: E402
from large_cases import CASES, WHAT, LargeCase, Task, ideal_time  # noqa: E402
from large_report import line, table, write  # noqa: E402
from large_worker import Worker  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.compare import format_table  # noqa: E402

TOLERANCE = {"complex64": 2e-3, "complex128": 1e-9}  # lightning.qubit's single precision is off by 4e-4
KEY = ("case", "n", "dtype", "what")
Row = dict[str, Any]


def machine() -> tuple[dict[str, float], float]:
    """Lane operations per second by dtype, and bytes per second of y *= a, all threads."""
    parts = np.array_split(np.ones(1 << 26), THREADS)  # 512 MiB
    with ThreadPoolExecutor(THREADS) as pool:

        def scale() -> None:
            list(pool.map(lambda y: np.multiply(y, 1.0, out=y), parts))

        return lane_rates(), 2 * (8 << 26) / min(once(scale)[0] for _ in range(6))


def processor() -> str:
    """Its name, where the system tells it."""
    path = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", path.read_text(), re.M) if path.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def wanted(options: argparse.Namespace) -> Iterator[tuple[LargeCase, str, int, str]]:
    """What the command line asks for: case, what, qubits, dtype."""
    for case in CASES:
        if options.cases and not any(word in case.name for word in options.cases):
            continue
        for what in options.what:
            for n in [case.only] if case.only else options.sizes:
                for dtype in options.dtypes:
                    yield case, what, n, dtype


def measure(workers: dict[str, Worker], case: LargeCase, task: Task) -> Row:
    """Times by simulator and setting; in place of a time, why there is none."""
    row: Row = {"gates": len(task.gates), "parameters": len(task.angles), "times": {}}
    answers: dict[str, np.ndarray] = {}
    for name, worker in workers.items():
        for setting in PEERS[name].settings(task):
            seconds, answer, facts = worker.ask(task, setting)
            row["times"].setdefault(name, {})[setting] = seconds
            row.update(facts)
            if answer is not None:
                check(f"{case.name}, {task.n} qubits, {task.dtype}, {task.what}: {name} {setting}", answer, answers,
                      TOLERANCE[task.dtype])  # fmt: skip
    return row


def check(label: str, answer: np.ndarray, answers: dict[str, np.ndarray], tolerance: float) -> None:
    """Every answer is the first one's, which is ketgrad's.

    Raises:
        AssertionError: otherwise.
    """
    first = answers.setdefault("first", answer)
    scale = np.abs(first).max() if len(first) == 2048 else max(1.0, np.abs(first).max())
    error = np.abs(answer - first).max() / scale if answer.shape == first.shape else np.inf
    if not error <= tolerance:
        raise AssertionError(f"{label} has another answer: off by {error:.1e}")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[12, 16, 20])
    parser.add_argument("--dtypes", nargs="+", default=list(TOLERANCE), choices=TOLERANCE)
    parser.add_argument("--what", nargs="+", default=list(WHAT), choices=WHAT)
    parser.add_argument("--cases", nargs="+", default=[], help="words of their names; default all")
    parser.add_argument("--peers", nargs="*", default=[p for p in PEERS if p != "ketgrad"], choices=PEERS)
    parser.add_argument("--qokit", default=sys.executable, help="the Python of an environment that has QOKit")
    parser.add_argument("--limit", type=float, default=60, help="seconds that one call of a simulator may take")
    parser.add_argument("--stop-after", type=float, default=np.inf, help="seconds after which no row is begun")
    parser.add_argument("--out", type=Path, help="folder of results.json, results.md and figures")
    parser.add_argument("--quick", action="store_true", help="only 12 qubits")
    options = parser.parse_args()
    if options.quick:
        options.sizes = [12]
    kg.set_num_threads(THREADS)
    start, (rates, bandwidth) = time.monotonic(), machine()
    python = {"QOKit": options.qokit}
    workers = {p: Worker(p, python.get(p, sys.executable), options.limit) for p in ["ketgrad", *options.peers]}
    versions = {p: w.version() for p, w in workers.items()}
    others = [f"{p} {v}" if v else f"{p} not installed" for p, v in versions.items() if p != "ketgrad"]
    about = f"{processor()}; {heading('').strip()}; {', '.join(others)}"
    print(about)
    workers = {p: w for p, w in workers.items() if versions[p] is not None}
    kept: dict[str, Any] = {"about": [], "rows": []}
    if options.out and (options.out / "results.json").exists():
        kept = json.loads((options.out / "results.json").read_text())
    there = {tuple(r[k] for k in KEY) for r in kept["rows"]}
    new: list[Row] = []
    missing = 0
    for case, what, n, dtype in wanted(options):
        if (case.name, n, dtype, what) in there:
            continue
        task = case.task(what, n, dtype)
        if what == "gradient" and not task.angles:
            continue
        if time.monotonic() - start > options.stop_after:
            missing += 1
            continue
        row = dict(zip(KEY, (case.name, n, dtype, what), strict=True)) | measure(workers, case, task)
        ideal = ideal_time(case, what, n, np.dtype(dtype).itemsize, bandwidth, rates[dtype])
        new.append(row | {"ideal": ideal, "bandwidth": bandwidth, "rate": rates[dtype]})
        print("  ".join(line(new[-1])), flush=True)
        if options.out:
            kept["rows"].append(new[-1])
            kept["about"] = list(dict.fromkeys([*kept["about"], about]))
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / "results.json").write_text(json.dumps(kept, indent=1) + "\n")
    for worker in workers.values():
        worker.stop()
    if new:
        print("\n" + format_table(*table(new)))
        if options.out:
            write(options.out, kept)
    if missing:
        print(f"{missing} rows are left")


if __name__ == "__main__":
    main()
