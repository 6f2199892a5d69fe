"""The report of `ketgrad anneal`: one HTML page, and the lines of the terminal. Owns: words, cards, charts, tables.

May not know: how anything was computed.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from .anneal_job import ENGINES
from .charts import curves, histogram
from .job import engine as about_engine
from .report import cards, duration, footer, page, table

if TYPE_CHECKING:
    from .anneal_job import Outcome

SHOWN = 12  # states in the table
SPINS = 64  # of a state that are printed


def summary(o: Outcome) -> str:
    """What the terminal shows at the end."""
    s, rows = o.success, []
    of = f"{s.hits} of {s.reads} reads"
    rows.append(("lowest energy", f"{s.best:.10g} ({_reads_at(o, s.best)} of {s.reads} reads)"))
    if o.problem.is_cut:
        rows.append(("largest cut", f"{-s.best:.10g}"))
    rows.append(("mean energy", f"{s.mean:.8g} +- {s.error:.2g}"))
    if o.known:
        rows.append(("ground energy", f"{s.ground:.10g}, reached by {of}"))
        if o.options.engine in ("exact", "qaoa"):
            rows.append(("success", f"{o.result.success_probability:.6g}, exact"))
        else:
            rows.append(("TTS99", f"{s.tts(o.seconds / s.reads)} s"))
    rows.append(_time(o))
    return "\n".join(f"{name:<16}{value}" for name, value in rows)


def render(o: Outcome) -> str:
    """The page."""
    p = o.problem
    header = (
        f"<header><h1>Annealing of {escape(o.name)}</h1><p>{p.n:,} variables, {len(p.pairs):,} couplings, "
        f"{'fields' if p.has_fields else 'no fields'}; {escape(ENGINES[o.options.engine])}</p></header>"
    )
    record = o.samples.record
    bars = histogram(
        np.asarray(record.energy, dtype=float), np.asarray(record.num_occurrences), "Energies of the reads", "energy"
    )
    charts = [f"<section>{chart}</section>" for chart in (bars, *_charts(o))]
    parts = [header, cards(_cards(o)), f'<div class="two">{"".join(charts)}</div>', _states(o), _settings(o)]
    return page(f"ketgrad: {o.name}", [*parts, footer(about_engine(None))])


def _reads_at(o: Outcome, energy: float) -> int:
    near = 1e-9 * max(1.0, abs(energy))
    return int(o.samples.record.num_occurrences[o.samples.record.energy <= energy + near].sum())


def _time(o: Outcome) -> tuple[str, str]:
    """Of a read where each costs the same, or of all."""
    whole = o.options.engine in ("exact", "qaoa")
    return ("time", duration(o.seconds)) if whole else ("time a read", duration(o.seconds / o.success.reads))


def _cards(o: Outcome) -> list[tuple[str, str, str]]:
    s = o.success
    cut = o.problem.is_cut
    shown = [("main", f"{-s.best:.8g}", "largest cut") if cut else ("main", f"{s.best:.8g}", "lowest energy")]
    shown.append(("", f"{_reads_at(o, s.best):,} of {s.reads:,}", "reads that have it"))
    shown.append(("", f"{s.mean:.6g}", f"mean energy, +- {s.error:.2g}"))
    if o.known and o.options.engine in ("exact", "qaoa"):
        shown.append(("", f"{o.result.success_probability:.4g}", "success probability, exact"))
    elif o.known:
        shown.append(("", f"{s.tts(o.seconds / s.reads).value:.3g} s", "time to solution, 99 %"))
    what, time = _time(o)
    shown.append(("", time, what))
    return shown


def _charts(o: Outcome) -> list[str]:
    """What the engine itself tells."""
    if o.options.engine == "exact":
        r = o.result
        shown = [curves([("energy", r.energies)], "Mean energy along the anneal", x=r.s, x_label="s")]
        if r.populations.shape[1] >= 2:
            title = "Gap above the ground state" + (", even states" if r.parity else "")
            shown.append(curves([("gap", r.gaps)], title, x=r.s, x_label="s"))
            # where levels coincide, which of their states is the first is no fact
            apart = np.where(r.gaps > 1e-6 * max(1.0, float(r.gaps.max())), 1.0, np.nan)
            named = ("ground state", *(f"level {k}" for k in range(1, r.populations.shape[1])))
            lines = [(name, p * apart) for name, p in zip(named, r.populations.T, strict=True)]
            shown.append(curves(lines[:4], "Populations of levels of H(s)", x=r.s, x_label="s"))
        return shown
    if o.options.engine == "qaoa":
        r = o.result
        angles = [("gamma", r.angles[:, 0]), ("beta", r.angles[:, 1])]
        shown = [curves(angles, "Angles", x_label="layer")] if len(r.angles) > 1 else []
        return [*shown, curves([("energy", r.history)], "Mean energy while training", x_label="step")]
    return []


def _states(o: Outcome) -> str:
    counted = o.samples.aggregate().record
    order = np.argsort(counted.energy, kind="stable")[:SHOWN]
    exact = _probabilities(o)
    head = ["state", "energy", "reads", "share", *([] if exact is None else ["probability"])]
    rows = []
    for k in order:
        row = counted[k]
        signs = "".join("+" if x > 0 else "-" for x in row.sample[:SPINS]) + ("…" if o.problem.n > SPINS else "")
        cells = [
            signs,
            f"{row.energy:.10g}",
            f"{row.num_occurrences:,}",
            f"{row.num_occurrences / o.success.reads:.4g}",
        ]
        if exact is not None:
            cells.append(f"{exact[int(''.join('01'[int(x < 0)] for x in row.sample), 2)]:.6g}")
        rows.append(("ours" if k == order[0] else "", cells))
    distinct = len(counted)
    note = f"{distinct:,} distinct states in {o.success.reads:,} reads; the {len(rows)} of lowest energy are shown."
    known = (
        f"The ground energy is {o.success.ground:.10g}."
        if o.known
        else "The ground energy is not known: the lowest energy found need not be the lowest there is."
    )
    shown = table(head, rows, tuple(range(1, len(head))))
    return f'<section><h2>States</h2><div class="scroll">{shown}</div><p class="note">{note} {known}</p></section>'


def _probabilities(o: Outcome) -> np.ndarray | None:
    """(2^n,) of all states, where the engine has them and they are few enough to look at."""
    if o.problem.n > 20:
        return None
    if o.options.engine == "exact":
        return np.asarray(o.result.probabilities())
    return np.asarray(o.result.qaoa.probabilities(o.result.angles)) if o.options.engine == "qaoa" else None


def _settings(o: Outcome) -> str:
    done = (
        f", stopped after {len(o.samples):,} of {o.options.reads:,} reads"
        if o.interrupted and o.options.engine != "qaoa"
        else ""
    )
    rows = [("", ("engine", o.options.engine + done)), *(("", pair) for pair in o.settings)]
    rows.append(("", ("all reads", duration(o.seconds))))
    note = (
        "Simulated on a classical computer. How these engines compare depends on the problem; "
        "a short time here is no advantage of quantum over classical annealing."
    )
    return f'<section><h2>Settings</h2>{table((), rows, (1,))}<p class="note">{note}</p></section>'
