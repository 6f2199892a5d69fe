"""The page and the figure of what `headline.py` measured: `python bench/headline_report.py DIR` makes them anew.

A peer's time in a comparison is its better one, of one core and of two, as is ketgrad's.
"""

from __future__ import annotations

import json
import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headline_peers import NATIVE, PEERS

from ketgrad.compare import format_time

Row = dict[str, Any]
KEY = ("workload", "dtype", "peer", "cores")
HEADER = ("workload", "dtype", "peer", "cores", "step", "CPU", "cold", "cold CPU", "error", "")
COLUMNS = ("", "2 cores", "CPU", "1 core", "CPU", "cold", "cold CPU", "times ketgrad native", "")
JAX = ("TensorCircuit-NG", "qujax")
LIGHTNING = tuple(p for p in PEERS if p.startswith("lightning.qubit"))
GOALS = (  # who, what, workloads and how many times ketgrad's time
    (JAX[:1], "JAX, jit of vmap (TensorCircuit-NG)", {"hybrid-4": 20, "hybrid-8": 40, "hybrid-12": 40}),
    (("default.qubit backprop",), "default.qubit backprop", {"hybrid-4": 150, "hybrid-8": 150, "hybrid-12": 150}),
    (LIGHTNING, "lightning.qubit adjoint, its best", {"hybrid-4": 2000, "hybrid-8": 2000, "hybrid-12": 800}),
    (("default.qubit shift, looped",), "default.qubit parameter-shift, looped", {"hybrid-4": 1e5, "hybrid-8": 1e5}),
)
COLD = 0.05  # seconds that a first call should stay below


def line(row: Row) -> tuple[str, ...]:
    """Cells of a table of rows."""
    head = (row["workload"], row["dtype"], row["peer"], str(row["cores"]))
    if "failed" in row:
        return (*head, *("-",) * 5, f"failed: {row['failed']}")
    shown = [format_time(row[k]) for k in ("seconds", "cpu", "cold", "cold cpu")]
    return (*head, *shown, f"{row['error']:.0e}", row.get("scaled", ""))


def table(rows: list[Row]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and lines."""
    return HEADER, [line(r) for r in rows]


class Results:
    """Rows by what they belong to."""

    def __init__(self, kept: dict[str, Any]) -> None:
        self.about, self.missing, self.workloads = kept["about"], kept.get("missing", []), kept["workloads"]
        self._rows = {tuple(r[k] for k in KEY): r for r in kept["rows"]}
        self.cases = [(w, d) for d in ("complex128", "complex64") for w in self.workloads if self.peers(w, d)]

    def peers(self, workload: str, dtype: str) -> list[str]:
        """Who has a row, in the order of the list of peers."""
        return [p for p in PEERS if any((workload, dtype, p, cores) in self._rows for cores in (1, 2))]

    def row(self, workload: str, dtype: str, peer: str, cores: int) -> Row:
        """A row with times, or an empty one."""
        row = self._rows.get((workload, dtype, peer, cores), {})
        return {} if "failed" in row else row

    def failed(self, workload: str, dtype: str, peer: str) -> str:
        """Why there are no times."""
        rows = (self._rows.get((workload, dtype, peer, cores), {}) for cores in (2, 1))
        return next((r["failed"] for r in rows if "failed" in r), "")

    def best(self, workload: str, dtype: str, peer: str, what: str = "seconds") -> float:
        """The smaller of one core's and two cores'; infinity without any."""
        return min(self.row(workload, dtype, peer, cores).get(what, math.inf) for cores in (1, 2))

    def ratio(self, workload: str, dtype: str, peer: str, to: str = NATIVE) -> float:
        """A peer's time over ketgrad's; not a number where one is missing."""
        a, b = (self.best(workload, dtype, p) for p in (peer, to))
        return a / b if a < math.inf and b < math.inf else math.nan


def shown(ratio: float) -> str:
    """A ratio with two or three digits."""
    if math.isnan(ratio):
        return "-"
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}" if ratio < 1000 else f"{round(ratio, -2):,.0f}"


def head(results: Results, workload: str, dtype: str) -> str:
    """A workload with its numbers."""
    facts = results.workloads[workload]
    numbers = ", ".join(f"{k} {facts[k]:,}" for k in ("n", "P", "F", "G", "B", "M"))
    return f"{facts['name']} ({numbers})" + (", complex64" if dtype == "complex64" else "")


def summary(results: Results) -> list[str]:
    """Ratios of all peers in all workloads."""
    cases = results.cases
    names = [f"{results.workloads[w]['name']}{' (c64)' if d == 'complex64' else ''}" for w, d in cases]
    out = ["| times ketgrad native | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 1)]
    out.append("| **ketgrad native** | " + " | ".join(format_time(results.best(*c, NATIVE)) for c in cases) + " |")
    for peer in list(PEERS)[1:]:
        ratios = [results.ratio(*case, peer) for case in cases]
        if not all(math.isnan(r) for r in ratios):
            cells = [f"**{shown(r)}, faster**" if r < 1 and not PEERS[peer].ours else shown(r) for r in ratios]
            out.append(f"| {peer} | {' | '.join(cells)} |")
    return out


def section(results: Results, workload: str, dtype: str) -> list[str]:
    """The table of one workload."""
    out = [f"## {head(results, workload, dtype)}", "", f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for peer in results.peers(workload, dtype):
        two, one = (results.row(workload, dtype, peer, cores) for cores in (2, 1))
        either, ratio = two or one, results.ratio(workload, dtype, peer)
        times = [format_time(r.get(k)) for r in (two, one) for k in ("seconds", "cpu")]
        times += [format_time(either.get(k)) for k in ("cold", "cold cpu")]
        notes = [either.get("scaled", ""), "inputs frozen" if PEERS[peer].frozen else ""]
        notes += ["**faster than ketgrad**" if ratio < 1 and not PEERS[peer].ours else ""]
        notes += [f"failed: {why}" for why in [results.failed(workload, dtype, peer)] if why]
        out.append(f"| {peer} | {' | '.join(times)} | {shown(ratio)} | {'; '.join(n for n in notes if n)} |")
    return [*out, ""]


def losses(results: Results) -> list[str]:
    """Every way into ketgrad that a peer is faster than."""
    out = []
    for case in results.cases:
        for ours in (p for p in results.peers(*case) if PEERS[p].ours):
            faster = [(results.ratio(*case, p, ours), p) for p in results.peers(*case) if not PEERS[p].ours]
            told = ", ".join(f"{p} takes {shown(r)} of its time" for r, p in sorted(faster) if r < 1)
            out += [f"- {head(results, *case)}, {ours}: {told}."] if told else []
    return out or ["None."]


def goals(results: Results) -> list[str]:
    """What was aimed at, and what was reached."""
    out = ["| goal: times ketgrad native's time | workload | wanted | reached | |", "|---|---|---|---|---|"]
    for peers, what, wanted in GOALS:
        for workload, least in wanted.items():
            ratios = [results.ratio(workload, "complex128", p) for p in peers]
            known = [r for r in ratios if not math.isnan(r)]
            if known:
                name, reached = results.workloads[workload]["name"], min(known)
                verdict = "met" if reached >= least else "missed"
                out.append(f"| {what} | {name} | {least:,.0f} | {shown(reached)} | {verdict} |")
    for workload, dtype in results.cases:
        cold = max(results.row(workload, dtype, NATIVE, cores).get("cold", 0.0) for cores in (1, 2))
        verdict = "met" if cold < COLD else "missed"
        name = head(results, workload, dtype)
        out.append(
            f"| cold first step, ketgrad native | {name} | < {format_time(COLD)} | {format_time(cold)} | {verdict} |"
        )
    return out


def markdown(results: Results, figure: str) -> str:
    """The page."""
    out = ["# One training step: results", "", "Made by `bench/headline.py`; docs/benchmarks.md says how to read it."]
    out += ["", *(f"- {about}" for about in results.about), *(f"- {missing}" for missing in results.missing), ""]
    out += [f"![Times of every simulator over ketgrad's, by workload]({figure})", ""] if figure else []
    out += ["## All ratios", "", *summary(results), "", "## Goals", "", *goals(results), ""]
    out += ["## Where a simulator is faster than a way into ketgrad", "", *losses(results), ""]
    for case in results.cases:
        out += section(results, *case)
    return "\n".join(out)


def draw(results: Results, path: Path) -> None:
    """Ratios to ketgrad native on a logarithmic axis, a panel for each workload; what is faster is red."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": path.name, "font.size": 8})
    cases = [(w, d) for w, d in results.cases if d == "complex128"]
    names = [p for p in list(PEERS)[1:] if any(not math.isnan(results.ratio(*c, p)) for c in cases)][::-1]
    high = math.ceil(len(cases) / 3)
    size = (11, high * (0.17 * len(names) + 0.7))
    figure, axes = plt.subplots(high, 3, figsize=size, squeeze=False, sharey=True, sharex=True, layout="constrained")
    for axis, case in zip(axes.flat, cases, strict=False):
        for place, peer in enumerate(names):
            ratio = results.ratio(*case, peer)
            if math.isnan(ratio):
                continue
            color = "#0072b2" if PEERS[peer].ours else "red" if ratio < 1 else "#e69f00"
            axis.barh(place, ratio - 1, left=1, color=color, height=0.7)
            axis.text(max(ratio, 1) * 1.15, place, shown(ratio), va="center", fontsize=6.5)
        facts = results.workloads[case[0]]
        title = f"{facts['name']}: {format_time(results.best(*case, NATIVE))}"
        axis.set(title=title, xscale="log", yticks=range(len(names)), yticklabels=names, xlim=(0.2, 1e7))
        axis.axvline(1, color="black", lw=0.8)
        axis.grid(axis="x", alpha=0.3)
        axis.tick_params(labelbottom=True)
    for axis in axes.flat[len(cases) :]:
        axis.set_axis_off()
    figure.supxlabel("time of a step over that of ketgrad's native engine, which each title gives")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def write(folder: Path, kept: dict[str, Any]) -> None:
    """The page, and the figure where matplotlib is installed."""
    results, figure = Results(kept), ""
    if find_spec("matplotlib"):
        figure = "ratios.svg"
        draw(results, folder / figure)
    else:
        print("no figure: matplotlib is not installed")
    (folder / "results.md").write_text(markdown(results, figure))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(Path(sys.argv[1]), json.loads((Path(sys.argv[1]) / "results.json").read_text()))
