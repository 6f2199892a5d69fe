"""Small charts as SVG text: curves, histograms, a confusion matrix. Owns: axes and marks. May not know: training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
COLORS = ("#4f46e5", "#0d9488", "#d97706", "#db2777")
GRID, MUTED, INK = "#e5e7eb", "#6b7280", "#111827"
_FONT = 'font-family="system-ui, sans-serif" font-size="11"'


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that cover low..high, about `count` of them."""
    span = high - low if high > low else 1.0
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def curves(
    series: Sequence[tuple[str, Array]],
    title: str,
    *,
    x: Array | None = None,
    x_label: str = "epoch",
    percent: bool = False,
    width: int = 520,
    height: int = 280,
) -> str:
    """Lines over the epochs 1, 2, ..., or over `x`; values that are not finite are left out.

    Args:
        series: name and (epochs,) values of each line.
        x: (epochs,) ascending.
        percent: label the axis in percent.
    """
    every = np.concatenate([v[np.isfinite(v)] for _, v in series])
    marks = ticks(float(every.min()), min(1.0, float(every.max())) if percent else float(every.max()))
    at = np.arange(1.0, 1 + max(len(v) for _, v in series)) if x is None else x
    out = [_open(width, height, title), _title(title)]
    px, py, frame = _frame(float(at[0]), float(at[-1]), marks, width, height, percent)
    out.append(frame)
    shown = [t for t in ticks(float(at[0]), float(at[-1]), 6) if at[0] <= t <= at[-1]]
    if x is None:
        shown = sorted({1.0, *(t for t in shown if t == int(t))})
    out += [_x_mark(px(t), height, f"{t:g}") for t in shown]
    out.append(_x_label(x_label, width, height))
    right = float(width - 14)
    for k in reversed(range(len(series))):
        name, values = series[k]
        points = [(px(e), py(v)) for e, v in zip(at, values, strict=False) if math.isfinite(v)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        color = COLORS[k % len(COLORS)]
        out.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2" stroke-linejoin="round"/>')
        if points:
            out.append(f'<circle cx="{points[-1][0]:.1f}" cy="{points[-1][1]:.1f}" r="3" fill="{color}"/>')
        out.append(f'<text x="{right:.0f}" y="16" fill="{INK}" text-anchor="end">{escape(name)}</text>')
        right -= 6.2 * len(name) + 18
        out.append(f'<rect x="{right + 4:.0f}" y="7" width="10" height="10" rx="2" fill="{color}"/>')
        right -= 10
    return "".join(out) + "</svg>"


def histogram(
    values: Array, counts: Array, title: str, x_label: str, *, bins: int = 40, width: int = 520, height: int = 280
) -> str:
    """How often values in each of some ranges occurred; few distinct values get a bar each.

    Args:
        values, counts: (R,) each.
    """
    distinct = np.unique(values)
    low, high = float(distinct[0]), float(distinct[-1])
    if 1 < len(distinct) <= bins:
        step = float(np.diff(distinct).min())
        if (high - low) / step <= 4 * bins:  # a bar around each
            low, high, bins = low - step / 2, high + step / 2, round((high - low) / step) + 1
    if high <= low:
        low, high, bins = low - 0.5, high + 0.5, 1
    heights, edges = np.histogram(values, bins, (low, high), weights=counts)
    out = [_open(width, height, title), _title(title)]
    px, py, frame = _frame(low, high, ticks(0.0, float(heights.max())), width, height, False)
    out.append(frame)
    gap = 0.1 * (px(edges[1]) - px(edges[0]))
    for a, b, c in zip(edges[:-1], edges[1:], heights, strict=True):
        if c:
            size = f'width="{max(0.8, px(b) - px(a) - gap):.2f}" height="{max(0.8, py(0) - py(c)):.2f}"'
            out.append(f'<rect x="{px(a) + gap / 2:.2f}" y="{min(py(c), py(0) - 0.8):.2f}" {size} fill="{COLORS[0]}"/>')
    out += [_x_mark(px(t), height, f"{t:g}") for t in ticks(low, high, 6) if low <= t <= high]
    out.append(_x_label(x_label, width, height))
    return "".join(out) + "</svg>"


Pixel = Callable[[float], float]


def _frame(
    first: float, last: float, marks: list[float], width: int, height: int, percent: bool
) -> tuple[Pixel, Pixel, str]:
    """Where x from first to last and y of the marks are, and the lines of the marks."""
    left, right, top, bottom = 46, 14, 34, 34
    low, high, span = marks[0], marks[-1], (last - first) or 1.0

    def px(x: float) -> float:
        return left + (width - left - right) * (x - first) / span

    def py(y: float) -> float:
        return height - bottom - (height - top - bottom) * (y - low) / (high - low)

    out = []
    for m in marks:
        label = f"{100 * m:g}%" if percent else f"{m:g}"
        out.append(f'<path d="M{left} {py(m):.1f}H{width - right}" stroke="{GRID}"/>')
        out.append(f'<text x="{left - 6}" y="{py(m) + 4:.1f}" fill="{MUTED}" text-anchor="end">{label}</text>')
    return px, py, "".join(out)


def _title(text: str) -> str:
    return f'<text x="46" y="16" fill="{INK}" font-weight="600">{escape(text)}</text>'


def _x_mark(x: float, height: int, label: str) -> str:
    return f'<text x="{x:.1f}" y="{height - 18}" fill="{MUTED}" text-anchor="middle">{label}</text>'


def _x_label(text: str, width: int, height: int) -> str:
    return f'<text x="{width - 14}" y="{height - 4}" fill="{MUTED}" text-anchor="end">{escape(text)}</text>'


def _open(width: float, height: float, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" {_FONT}><title>{escape(title)}</title>'
    )


def confusion(matrix: npt.NDArray[np.int64], classes: Sequence[str]) -> str:
    """A confusion matrix (true rows, predicted columns), its shade the share of the row."""
    n = len(classes)
    names = [c if len(c) <= 14 else c[:13] + "…" for c in classes]
    cell = max(14.0, min(40.0, 440.0 / n))
    left = 30 + 6.4 * max(map(len, names))
    slanted = max(map(len, names)) * 6.4 > cell
    top = 34 + (5.0 * max(map(len, names)) if slanted else 16)
    width, height = left + n * cell + 24, top + n * cell + 8
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    out = [_open(width, height, "Confusion matrix")]
    out.append(f'<text x="{left + n * cell / 2:.0f}" y="14" fill="{MUTED}" text-anchor="middle">predicted</text>')
    middle = top + n * cell / 2
    turn = f'transform="translate(12 {middle:.0f}) rotate(-90)"'
    out.append(f'<text {turn} fill="{MUTED}" text-anchor="middle">true</text>')
    for k, name in enumerate(names):
        x, y = left + (k + 0.5) * cell, top + (k + 0.5) * cell
        turn = f'transform="translate({x:.0f} {top - 6:.0f}){" rotate(-45)" if slanted else ""}"'
        out.append(f'<text {turn} fill="{INK}" text-anchor="{"start" if slanted else "middle"}">{escape(name)}</text>')
        out.append(f'<text x="{left - 6:.0f}" y="{y + 4:.0f}" fill="{INK}" text-anchor="end">{escape(name)}</text>')
    for r in range(n):
        for c in range(n):
            out.append(_cell(left + c * cell, top + r * cell, cell, int(matrix[r, c]), float(share[r, c]), r == c))
    return "".join(out) + "</svg>"


def _cell(x: float, y: float, size: float, count: int, share: float, right: bool) -> str:
    color = "#4f46e5" if right else "#dc2626"
    # a square root, so that one error in forty can be seen
    fill = f'fill="{color}" fill-opacity="{math.sqrt(share):.2f}"' if count else 'fill="#f9fafb"'
    side = f"{size - 1.5:.2f}"
    box = f'<rect x="{x + 0.75:.2f}" y="{y + 0.75:.2f}" width="{side}" height="{side}" rx="3" {fill}/>'
    if not count:
        return box
    ink = "#fff" if share > 0.3 else INK
    middle = f'x="{x + size / 2:.1f}" y="{y + size / 2 + 4:.1f}"'
    return box + f'<text {middle} fill="{ink}" text-anchor="middle">{count}</text>'
