"""Tables and figures of what `large.py` measured: `python bench/large_report.py DIR` makes those of results.json."""

from __future__ import annotations

import json
import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from large_cases import CASES, WHAT

from ketgrad.compare import format_table, format_time

Row = dict[str, Any]
PEERS = ("qsim", "qulacs", "Aer", "lightning.qubit", "lightning.kokkos", "QOKit")
COLORS = dict(zip(("ketgrad", *PEERS), ("black", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00"),
                  strict=True))  # fmt: skip
HEADER = ("case", "n", "ketgrad", *PEERS, "best peer", "peer / ketgrad", "of ideal", "plan per gate", "")
TITLES = {"forward": "State vector", "expectation": "Expectation value", "gradient": "Gradient of all angles"}


def best(row: Row, name: str) -> tuple[float, str]:
    """Seconds at the best setting and its name; infinity and the reason where no setting has a time."""
    times = row["times"].get(name, {})
    done = [(t, setting) for setting, t in times.items() if not isinstance(t, str)]
    return min(done) if done else (math.inf, next((t.split(":")[0] for t in times.values()), "-"))


def rival(row: Row) -> tuple[str, float, float]:
    """The fastest peer, its seconds, and those over ketgrad's."""
    ours = best(row, "ketgrad")[0]
    seconds, name = min((best(row, p)[0], p) for p in PEERS)
    return name, seconds, seconds / ours


def limit(row: Row, name: str) -> float:
    """Seconds after which all settings were stopped; nothing where one has a time, or none was stopped."""
    times = row["times"].get(name, {}).values()
    limits = [float(t.split()[1]) for t in times if isinstance(t, str) and t.startswith(">")]
    return min(limits) if limits and best(row, name)[0] == math.inf else 0.0


def line(row: Row) -> tuple[str, ...]:
    """Cells of a table."""
    name, seconds, ratio = rival(row)
    ours = best(row, "ketgrad")[0]
    shown = [format_time(t) if t < math.inf else why for t, why in (best(row, p) for p in ("ketgrad", *PEERS))]
    told = f"{name} {best(row, name)[1]}".strip(), f"{ratio:.2f}"
    if seconds == math.inf:
        least = min((t for t in (limit(row, p) for p in PEERS) if t), default=0.0)
        told = "-", f"> {least / ours:.0f}" if least else "-"
    share, plan = f"{row['ideal'] / ours:.2f}", format_time(row.get("plan per gate"))
    return (row["case"], str(row["n"]), *shown, *told, share, plan, "slower" if ratio < 1 else "")


def table(rows: list[Row]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and lines, with what and dtype as columns."""
    header = (HEADER[0], "what", "dtype", *HEADER[1:])
    return header, [(cells[0], r["what"], r["dtype"], *cells[1:]) for r in rows for cells in [line(r)]]


def groups(rows: list[Row]) -> list[tuple[str, str, list[Row]]]:
    """What, dtype, and their rows in the order of the cases."""
    order = {case.name: k for k, case in enumerate(CASES)}
    ranked = sorted(rows, key=lambda r: (order[r["case"]], r["n"]))
    pairs = [(what, dtype) for what in WHAT for dtype in ("complex64", "complex128")]
    out = [(what, dtype, [r for r in ranked if (r["what"], r["dtype"]) == (what, dtype)]) for what, dtype in pairs]
    return [group for group in out if group[2]]


def markdown(kept: dict[str, Any], figures: list[str]) -> str:
    """The page: tables, figures, and every setting that gave no time."""
    out = [
        "# Circuits on one state: results",
        "",
        "Made by `bench/large.py`; docs/benchmarks.md says how to read it.",
        "",
    ]
    out += [f"- {about}" for about in kept["about"]]
    for label, get in (("memory", "bandwidth"), ("arithmetic", "rate")):
        values = [r[get] / 1e9 for r in kept["rows"]]
        out.append(f"- {label}, measured in each run: {min(values):.0f} to {max(values):.0f} "
                   + ("GB/s" if get == "bandwidth" else "G lane operations/s (both dtypes)"))  # fmt: skip
    for what, dtype, rows in groups(kept["rows"]):
        out += ["", f"## {TITLES[what]}, {dtype}", ""]
        name = f"{what}-{dtype}.svg"
        out += [f"![Times of {what} in {dtype} by number of qubits]({name})", ""] if name in figures else []
        out += [f"| {' | '.join(HEADER)} |", "|" + "---|" * len(HEADER)]
        out += [f"| {' | '.join(line(r))} |" for r in rows]
        lost = [f"{r['case']}, {r['n']} qubits: {rival(r)[0]}, {rival(r)[2]:.2f}" for r in rows if rival(r)[2] < 1]
        out += ["", "Slower than a peer: " + ("; ".join(lost) if lost else "none") + "."]
        for r in rows:
            for peer, times in r["times"].items():
                failed = [f"{s} {t}".strip() for s, t in times.items() if isinstance(t, str)]
                out += [f"\n{r['case']}, {r['n']} qubits, {peer}: {', '.join(failed)}."] if failed else []
    return "\n".join(out) + "\n"


def draw(what: str, dtype: str, rows: list[Row], path: Path) -> None:
    """Time by number of qubits, a panel for each case; losses in red circles, what was stopped as triangles."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": path.name, "font.size": 9})
    names = list(dict.fromkeys(r["case"] for r in rows))
    high = math.ceil(len(names) / 3)
    figure, axes = plt.subplots(high, 3, figsize=(10, 2.6 * high + 0.8), squeeze=False, layout="constrained")
    for axis, name in zip(axes.flat, names, strict=False):
        mine = [r for r in rows if r["case"] == name]
        for peer, color in COLORS.items():
            points = [(r["n"], best(r, peer)[0]) for r in mine if best(r, peer)[0] < math.inf]
            width = 2.2 if peer == "ketgrad" else 1.2
            axis.plot(*zip(*points, strict=True), "o-", color=color, ms=3.5, lw=width) if points else None
            stopped = [(r["n"], limit(r, peer)) for r in mine if limit(r, peer)]
            axis.plot(*zip(*stopped, strict=True), "^", color=color, mfc="none", ms=7) if stopped else None
        lost = [(r["n"], best(r, "ketgrad")[0]) for r in mine if rival(r)[2] < 1]
        axis.plot(*zip(*lost, strict=True), "o", color="red", mfc="none", ms=11, mew=1.5) if lost else None
        axis.plot([r["n"] for r in mine], [r["ideal"] for r in mine], "--", color="gray", lw=1, marker="_")
        axis.set(title=name, yscale="log", xticks=sorted({r["n"] for r in mine}))
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    marks = [plt.Line2D([], [], color=c, marker="o", ms=3.5, label=p) for p, c in COLORS.items()
             if any(p in r["times"] for r in rows)]  # fmt: skip
    marks += [
        plt.Line2D([], [], color="gray", ls="--", label="ideal"),
        plt.Line2D([], [], color="red", marker="o", mfc="none", ms=9, ls="", label="a peer is faster"),
        plt.Line2D([], [], color="gray", marker="^", mfc="none", ls="", label="stopped at the limit"),
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=5, frameon=False)
    figure.supxlabel("qubits")
    figure.supylabel("seconds")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def write(folder: Path, kept: dict[str, Any]) -> None:
    """The page, and figures where matplotlib is installed."""
    figures = []
    if find_spec("matplotlib"):
        import matplotlib

        matplotlib.use("svg")
        for what, dtype, rows in groups(kept["rows"]):
            figures.append(f"{what}-{dtype}.svg")
            draw(what, dtype, rows, folder / figures[-1])
    else:
        print("no figures: matplotlib is not installed")
    (folder / "results.md").write_text(markdown(kept, figures))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    results = json.loads((Path(sys.argv[1]) / "results.json").read_text())
    write(Path(sys.argv[1]), results)
    print(format_table(*table([r for _, _, rows in groups(results["rows"]) for r in rows])))
