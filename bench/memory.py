"""Peak memory of one large state, above what the process had before the call. Linux only.

    python bench/memory.py [--sizes 20 26] [--dtypes complex128] [--what gradient] [--cases ring]

Promised are 1.05 states and 32 MiB for a state or an expectation value, 2.1 states and 32 MiB for a gradient of all
angles; one state more where it takes at most 256 MiB, since it is then kept for another pullback. Each figure is the
first call of a process of its own: it includes planning. Ends with 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from large_cases import CASES, WHAT, LargeCase
from large_peers import ketgrad_run

from ketgrad.compare import format_table

MIB = 1 << 20
STATES = {"forward": 1.05, "expectation": 1.05, "gradient": 2.1}
KEPT = 256 * MIB


def resident() -> tuple[int, int]:
    """Bytes of this process now, and the most there ever were."""
    text = Path("/proc/self/status").read_text()
    now, most = (int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def peak(call: Callable[[], Any]) -> tuple[int, Any]:
    """Bytes that a call takes at its peak, and its result."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, _ = resident()
    answer = call()
    return resident()[1] - before, answer


def growth(case: LargeCase, what: str, n: int, dtype: str) -> int:
    """Bytes that the first call takes at its peak."""
    took, answer = peak(ketgrad_run(case.task(what, n, dtype), "").call)
    assert np.isfinite(answer).all()
    return took


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[26])
    parser.add_argument("--dtypes", nargs="+", default=["complex64", "complex128"])
    parser.add_argument("--what", nargs="+", default=list(WHAT), choices=WHAT)
    parser.add_argument("--cases", nargs="+", default=["ring", "QAOA layer"], help="words of their names")
    parser.add_argument("--quick", action="store_true", help="only 20 qubits")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, what, n, dtype = options.child
        print(json.dumps(growth(next(c for c in CASES if c.name == name), what, int(n), dtype)))
        return
    table, broken = [], 0
    for case in (c for c in CASES if any(word in c.name for word in options.cases)):
        for n in [20] if options.quick else options.sizes:
            for dtype in options.dtypes:
                for what in options.what:
                    child = [sys.executable, __file__, "--child", case.name, what, str(n), dtype]
                    took = json.loads(subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True).stdout)
                    state = np.dtype(dtype).itemsize << n
                    promised = (STATES[what] + (what == "gradient" and state <= KEPT)) * state + 32 * MIB
                    broken += took > promised
                    told = "more than promised" if took > promised else ""
                    table.append((case.name, str(n), dtype, what, f"{state / MIB:.0f}", f"{took / MIB:.1f}",
                                  f"{promised / MIB:.1f}", f"{took / state:.3f}", told))  # fmt: skip
    print(format_table(("case", "n", "dtype", "", "state, MiB", "peak", "promised", "states", ""), table))
    sys.exit(broken > 0)


if __name__ == "__main__":
    main()
