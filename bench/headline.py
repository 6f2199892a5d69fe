"""One training step of the workloads people already use, in ketgrad and in every simulator that offers it.

    python bench/headline.py [--only hybrid-4 vqe] [--peers ketgrad JAX] [--cores 2] [--out DIR]

Forward, a loss, and gradients of weights and inputs, compared before warm steps are timed. For each peer: wall and CPU
seconds (of all threads, for energy) of warm steps, medians of five or more, and of the cold first one, on one core and
on two. Where a step is a plain loop and takes longer than --limit seconds, a part of it is timed and scaled, and the
row says so. With --out, rows are kept in DIR/results.json, a later call adds those that are missing, and a page and a
figure are made of all. Workloads are in `headline_cases.py`, peers in `headline_peers.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from headline_cases import SINGLE, WORKLOADS
from headline_peers import PEERS, Peer
from headline_report import KEY, line, table, write
from large import processor

import ketgrad as kg
from ketgrad.compare import environment, format_table

Row = dict[str, Any]


def versions(peers: list[Peer]) -> dict[str, str]:
    """Of every package that takes part; what is not installed says so."""
    owners = packages_distributions()
    out = {"ketgrad": kg.__version__, "python": environment()["versions"]["python"]}
    for name in ["numpy", "jax", *dict.fromkeys(m for p in peers for m in p.packages)]:
        if not name.startswith("ketgrad"):
            try:
                out[name] = version(owners.get(name.split(".")[0], [name])[0])
            except PackageNotFoundError:
                out[name] = "not installed"
    return out


def wanted(options: argparse.Namespace) -> Iterator[tuple[Peer, int, list[tuple[str, str]]]]:
    """Peers, cores, and workloads with dtypes."""
    for peer in PEERS.values():
        if options.peers and not any(word in peer.name for word in options.peers):
            continue
        for cores in options.cores:
            pairs = [(w, d) for d in options.dtypes if d in peer.dtypes for w in options.only if applies(peer, w, d)]
            yield peer, cores, pairs


def applies(peer: Peer, workload: str, dtype: str) -> bool:
    """Whether this is measured: single precision for a few workloads, loops where there is a batch."""
    if dtype == "complex64" and workload not in SINGLE:
        return False
    return not peer.batched or WORKLOADS[workload]().batch > 1


def measured(peer: Peer, cores: int, pairs: list[tuple[str, str]], limit: float) -> Generator[Row, None, None]:
    """Rows, as the peer's process tells them."""
    if not pairs:
        return
    arguments = [peer.name, str(cores), str(limit), *(text for pair in pairs for text in pair)]
    worker = Path(__file__).with_name("headline_worker.py")
    process = subprocess.Popen([sys.executable, str(worker), *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for text in process.stdout:
            yield {"peer": peer.name, "cores": cores, **json.loads(text)}
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(WORKLOADS), choices=WORKLOADS, help="workloads; default all")
    parser.add_argument("--peers", nargs="+", default=[], help="words of their names; default all")
    parser.add_argument("--dtypes", nargs="+", default=["complex128", "complex64"])
    parser.add_argument("--cores", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--limit", type=float, default=2, help="seconds of a step, above which a part is timed")
    parser.add_argument("--stop-after", type=float, default=float("inf"), help="seconds after which no row is begun")
    parser.add_argument("--out", type=Path, help="folder of results.json, results.md and the figure")
    parser.add_argument("--quick", action="store_true", help="one small workload, on two cores")
    options = parser.parse_args()
    if options.quick:
        options.only, options.cores, options.dtypes = ["hybrid-4"], [2], ["complex128"]
    start, kept = time.monotonic(), {"about": [], "workloads": {}, "rows": []}
    if options.out and (options.out / "results.json").exists():
        kept = json.loads((options.out / "results.json").read_text())
    told = ", ".join(f"{k} {v}" for k, v in versions([p for p, _, _ in wanted(options)]).items())
    about = f"{processor()}, {os.cpu_count()} cores; {kg.backend_info().get('instruction_set', 'Numba')}; {told}"
    print(about)
    kept["about"] = list(dict.fromkeys([*kept["about"], about]))
    kept["workloads"] = {k: {"name": w.name, **w.facts()} for k, w in ((k, make()) for k, make in WORKLOADS.items())}
    kept["missing"] = []
    there, new, left = {tuple(r[k] for k in KEY) for r in kept["rows"]}, [], 0
    for peer, cores, pairs in wanted(options):
        pairs = [(w, d) for w, d in pairs if (w, d, peer.name, cores) not in there]
        if peer.missing():
            kept["missing"] = sorted({*kept["missing"], f"{peer.name}: {peer.missing()} is not installed"})
            continue
        if time.monotonic() - start > options.stop_after:
            left += len(pairs)
            continue
        with closing(measured(peer, cores, pairs, options.limit)) as rows:
            for count, row in enumerate(rows, 1):
                new.append(row)
                print("  ".join(line(row)), flush=True)
                if options.out:
                    kept["rows"].append(row)
                    options.out.mkdir(parents=True, exist_ok=True)
                    (options.out / "results.json").write_text(json.dumps(kept, indent=1) + "\n")
                if time.monotonic() - start > options.stop_after:
                    left += len(pairs) - count
                    break
    if options.out:
        write(options.out, kept)
    elif new:
        print("\n" + format_table(*table(new)))
    if left:
        print(f"{left} rows are left")
    wrong = [r for r in new if "failed" in r]
    if wrong:
        sys.exit("\n".join(f"{r['workload']}, {r['peer']}: {r['failed']}" for r in wrong))


if __name__ == "__main__":
    main()
