"""The report of a training: one HTML page that needs nothing but itself.

Owns: the page and its words. May not know: how anything on it was computed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from .charts import confusion, curves
from .drawing import draw

if TYPE_CHECKING:
    from .job import Outcome

_STYLE = """
:root{--ink:#111827;--muted:#6b7280;--line:#e5e7eb;--accent:#4f46e5}
*{box-sizing:border-box}
body{margin:0;background:#f3f4f6;color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:36px 24px 60px}
header h1{font-size:27px;line-height:1.25;margin:0 0 4px;letter-spacing:-.01em}
header p{color:var(--muted);margin:0 0 22px}
section{background:#fff;border:1px solid var(--line);border-radius:12px;padding:20px 22px;margin:0 0 18px;
box-shadow:0 1px 2px rgba(0,0,0,.04)}
h2{font-size:16px;margin:0 0 12px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:14px;margin:0 0 18px}
.card{background:#fff;border:1px solid var(--line);border-radius:12px;padding:16px 18px}
.card b{display:block;font-size:27px;line-height:1.2;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.card span{color:var(--muted);font-size:13px}
.card.main{background:var(--accent);border-color:var(--accent);color:#fff}
.card.main span{color:#e0e7ff}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:18px}
.two section{margin:0}
.two{margin:0 0 18px}
svg{max-width:100%;height:auto;display:block}
.scroll{overflow-x:auto}
.scroll svg{max-width:none;margin:0 auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:7px 10px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--muted);font-weight:500;font-size:13px}
td.n,th.n{text-align:right;padding-right:0;padding-left:14px;white-space:nowrap}
tr:last-child td{border-bottom:0}
tr.ours td{font-weight:600}
.note{color:var(--muted);font-size:13.5px;margin:12px 0 0}
footer{color:var(--muted);font-size:13px}
@media print{body{background:#fff}section,.card{box-shadow:none;break-inside:avoid}}
"""


def render(outcome: Outcome) -> str:
    """The page."""
    parts = [
        _header(outcome),
        _cards(outcome),
        f'<div class="two"><section>{_loss(outcome)}</section><section>{_accuracy(outcome)}</section></div>',
        _under_noise(outcome),
        _confusion_and_classical(outcome),
        _circuit(outcome),
        f'<div class="two">{_times(outcome)}{_settings(outcome)}</div>',
        footer(outcome.engine),
    ]
    return page(f"ketgrad: {outcome.dataset.name}", parts)


# what every report is made of


def page(title: str, parts: Sequence[str]) -> str:
    """An HTML page of parts."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def cards(shown: Sequence[tuple[str, str, str]]) -> str:
    """Large figures: (CSS class, figure, what it is); the first is "main"."""
    each = "".join(f'<div class="card {c}"><b>{escape(v)}</b><span>{escape(text)}</span></div>' for c, v, text in shown)
    return f'<div class="cards">{each}</div>'


def footer(engine: Mapping[str, Any]) -> str:
    """Which versions made it."""
    return f"<footer>ketgrad {engine['version']}, Python {engine['python']} on {engine['machine']}</footer>"


def table(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], numeric: Sequence[int]) -> str:
    """Rows are (CSS class, cells); the listed columns are aligned as numbers."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(f"<{tag}{' class=n' if k in numeric else ''}>{escape(c)}</{tag}>" for k, c in enumerate(cells))

    top = f"<thead><tr>{line('th', head)}</tr></thead>" if head else ""
    body = "".join(f"<tr{f' class={name}' if name else ''}>{line('td', cells)}</tr>" for name, cells in rows)
    return f"<table>{top}<tbody>{body}</tbody></table>"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def duration(seconds: float) -> str:
    """`0.0042` -> `"4.20 ms"`, `95` -> `"1 min 35 s"`."""
    if math.isnan(seconds):
        return "-"
    if seconds < 1:
        return f"{1e3 * seconds:.3g} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


# the report of a training


def _header(o: Outcome) -> str:
    data = o.dataset
    return (
        f"<header><h1>Hybrid quantum-classical classifier on {escape(data.name)}</h1>"
        f"<p>{o.n_train:,} samples to train on, {o.n_test:,} to test on, {data.features.shape[1]} features, "
        f"{len(o.results[0].network.classes)} classes</p></header>"
    )


def _cards(o: Outcome) -> str:
    result = o.results[0]
    shown = [("main", _percent(o.accuracies[0]), f"test accuracy, seed {o.seeds[0]}")]
    if len(o.seeds) > 1:
        shown.append(("", _percent(o.median), f"median of {len(o.seeds)} seeds"))
    if o.baselines:
        shown.append(("", _percent(o.baselines[0].median), "classical network of as many parameters"))
    shown.append(("", duration(result.times["step"]), "per training step (median)"))
    shown.append(("", duration(result.times["train"]), f"of training, {o.settings.epochs} epochs"))
    return cards(shown)


def _loss(o: Outcome) -> str:
    return curves([("training loss", o.results[0].history["loss"])], "Loss")


def _accuracy(o: Outcome) -> str:
    history = o.results[0].history
    lines = [("training", history["accuracy"]), ("test", history["test_accuracy"])]
    note = (
        f'<p class="note">The training accuracy is measured while training, on inputs with noise of '
        f"{o.settings.input_noise:g} standard deviations added.</p>"
        if o.settings.input_noise
        else ""
    )
    return curves(lines, "Accuracy", percent=True) + note


def _under_noise(o: Outcome) -> str:
    if not o.variants:
        return ""
    head = ["training", "loss without noise", "test accuracy without noise", "as run", "circuits", "shots", "time"]
    rows = [
        (
            "" if k else "ours",
            [
                v.name,
                f"{v.loss:.4f}",
                _percent(v.accuracy),
                _percent(statistics.median(v.as_run)),
                str(v.circuits),
                f"x {v.variance:.3g}" if v.variance is not None else "x 1" if v.circuits == 1 else "-",
                duration(v.results[0].times["train"]),
            ],
        )
        for k, v in enumerate(o.variants)
    ]
    lines = [(v.name, v.results[0].history["test_accuracy"]) for v in o.variants]
    seeds = f"Medians of {len(o.seeds)} seeds" if len(o.seeds) > 1 else "One seed"
    note = (
        f"Noise: {o.settings.noise}. {seeds}. Every training is judged by the circuit without noise, on the training "
        "set for the loss; as run is the test set on the circuit as it was trained. Circuits run for one value, and "
        "shots are how many times as many it takes for the same statistical error. Mitigation takes bias away and "
        "costs shots; it does not bring back gradients that noise has made vanish."
    )
    return (
        f'<div class="two"><section><h2>Under noise</h2>{table(head, rows, (1, 2, 3, 4, 5, 6))}'
        f'<p class="note">{escape(note)}</p></section>'
        f"<section>{curves(lines, 'Test accuracy without noise', percent=True)}</section></div>"
    )


def _confusion_and_classical(o: Outcome) -> str:
    names = [str(c) for c in o.results[0].network.classes]
    wrong = int(o.confusion.sum() - o.confusion.trace())
    left = (
        f"<section><h2>Confusion matrix</h2>{confusion(o.confusion, names)}"
        f'<p class="note">{o.n_test} test samples, {wrong} wrong; rows are the true classes.</p></section>'
    )
    return f'<div class="two">{left}{_classical(o)}</div>'


def _classical(o: Outcome) -> str:
    network, seeds = o.results[0].network, len(o.seeds)
    rows = [
        (
            "ours",
            [
                "hybrid network",
                f"{len(network.theta):,}",
                _percent(o.median),
                _spread(o.accuracies),
                duration(o.results[0].times["train"]),
            ],
        )
    ]
    rows += [
        ("", [b.name, f"{b.parameters:,}", _percent(b.median), _spread(b.accuracies), duration(b.seconds)])
        for b in o.baselines
    ]
    shown = table(["model", "parameters", "test accuracy", "range", "one training"], rows, (1, 2, 3, 4))
    if not o.baselines:
        note = "The classical models were not trained: they were switched off, or scikit-learn is not installed."
    else:
        note = (
            f"Same split, {'medians of ' + str(seeds) + ' seeds' if seeds > 1 else 'one seed'}. The classical network "
            f"({o.baselines[0].settings}; settings chosen on a fifth of the training data) {_verdict(o)}; it trains in "
            f"{duration(o.baselines[0].seconds)}. The hybrid network's defaults were chosen on digits. A simulated "
            "circuit of this size has no advantage over it, and none is claimed."
        )
    return f'<section><h2>Beside classical models</h2>{shown}<p class="note">{escape(note)}</p>{_seeds(o)}</section>'


def _verdict(o: Outcome) -> str:
    """How the classical network did, in words that a test set of this size can bear."""
    gap = o.baselines[0].median - o.median
    mean = (o.baselines[0].median + o.median) / 2
    error = math.sqrt(max(mean * (1 - mean), 1e-4) / o.n_test)
    if abs(gap) <= 2 * error:
        return f"and the hybrid one are level: on {o.n_test} test samples one standard error is {_percent(error)}"
    return "does better than the hybrid one" if gap > 0 else "does worse than the hybrid one"


def _spread(values: Sequence[float]) -> str:
    return f"{_percent(min(values))} - {_percent(max(values))}" if len(values) > 1 else ""


def _seeds(o: Outcome) -> str:
    if len(o.seeds) == 1:
        return ""
    rows = [
        ("", [str(s), _percent(a), duration(r.times["train"])])
        for s, a, r in zip(o.seeds, o.accuracies, o.results, strict=True)
    ]
    return f"<h2 style='margin-top:22px'>Seeds</h2>{table(['seed', 'test accuracy', 'training'], rows, (1, 2))}"


def _circuit(o: Outcome) -> str:
    model = o.results[0].network.model
    m = len(model.observables)
    drawing = draw(model.circuit, "svg", width=1120)
    return (
        f'<section><h2>Circuit</h2><div class="scroll">{drawing}</div><p class="note">{model.circuit.n_wires} qubits, '
        f"{len(model.circuit)} gates, depth {model.circuit.depth}, {model.n_weights} trainable angles w; x are the "
        f"outputs of the linear encoder, squashed to (0, &pi;). Read out: {m} expectation values, "
        f"&lang;Z<sub>i</sub>&rang; of every wire and &lang;Z<sub>i</sub>Z<sub>j</sub>&rang; of every pair, which a "
        "linear head turns into class probabilities.</p></section>"
    )


def _times(o: Outcome) -> str:
    result, s = o.results[0], o.settings
    steps = max(1.0, result.times["steps"])
    rows = [
        ("training", duration(result.times["train"])),
        ("one epoch", duration(result.times["train"] / s.epochs)),
        (f"one step of {s.batch} samples, median", duration(result.times["step"])),
        ("samples a second", f"{s.batch / result.times['step']:,.0f}" if result.times["step"] > 0 else "-"),
        ("steps", f"{steps:,.0f}"),
        ("test set, after every epoch", duration(result.times["test"] / s.epochs)),
        ("checkpoints, all", duration(result.times["checkpoint"])),
    ]
    rows += [(b.name, duration(b.seconds)) for b in o.baselines]
    return f"<section><h2>Times</h2>{table((), [('', r) for r in rows], (1,))}</section>"


def _settings(o: Outcome) -> str:
    s, info = o.settings, o.engine
    engine = " ".join(str(info[k]) for k in ("backend", "instruction_set") if info.get(k))
    gradient = s.gradient if s.gradient != "best" else "adjoint" if s.shots is None else "parameter-shift"
    rows: list[tuple[str, Any]] = [
        ("engine", engine),
        ("threads", info.get("threads", "-")),
        ("precision", s.dtype),
        ("gradient", gradient),
        ("shots", "none, exact" if s.shots is None else f"{s.shots:,}"),
        ("qubits, layers", f"{s.qubits}, {s.layers}"),
        ("parameters", f"{len(o.results[0].network.theta):,}"),
        ("epochs, batch", f"{s.epochs}, {s.batch}"),
        ("learning rate", f"{s.lr:g}, cosine to 0"),
        ("noise, mitigation", f"{s.noise or 'none'}, {s.mitigation or 'none'}"),
        ("weight decay, input noise", f"{s.decay:g}, {s.input_noise:g}"),
    ]
    return f"<section><h2>Settings</h2>{table((), [('', (k, str(v))) for k, v in rows], (1,))}</section>"
