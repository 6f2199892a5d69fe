"""Small charts as SVG text: curves and a confusion matrix. Owns: axes and marks. May not know: training."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    series: Sequence[tuple[str, Array]], title: str, *, percent: bool = False, width: int = 520, height: int = 280
) -> str:
    """Lines over the epochs 1, 2, ...; values that are not finite are left out.

    Args:
        series: name and (epochs,) values of each line.
        percent: label the axis in percent.
    """
    every = np.concatenate([v[np.isfinite(v)] for _, v in series])
    marks = ticks(float(every.min()), min(1.0, float(every.max())) if percent else float(every.max()))
    low, high = marks[0], marks[-1]
    epochs = max(len(v) for _, v in series)
    left, right, top, bottom = 46, 14, 34, 34

    def px(epoch: float) -> float:
        return left + (width - left - right) * (epoch - 1) / max(1, epochs - 1)

    def py(value: float) -> float:
        return height - bottom - (height - top - bottom) * (value - low) / (high - low)

    out = [_open(width, height, title)]
    out.append(f'<text x="{left}" y="16" fill="{INK}" font-weight="600">{escape(title)}</text>')
    for m in marks:
        label = f"{100 * m:g}%" if percent else f"{m:g}"
        out.append(f'<path d="M{left} {py(m):.1f}H{width - right}" stroke="{GRID}"/>')
        out.append(f'<text x="{left - 6}" y="{py(m) + 4:.1f}" fill="{MUTED}" text-anchor="end">{label}</text>')
    for e in sorted({1, *(int(t) for t in ticks(1, epochs, 6) if 1 <= t <= epochs and t == int(t))}):
        out.append(f'<text x="{px(e):.1f}" y="{height - bottom + 16}" fill="{MUTED}" text-anchor="middle">{e}</text>')
    out.append(f'<text x="{width - right}" y="{height - 4}" fill="{MUTED}" text-anchor="end">epoch</text>')
    x = float(width - right)
    for k in reversed(range(len(series))):
        name, values = series[k]
        points = [(px(e), py(v)) for e, v in enumerate(values, start=1) if math.isfinite(v)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        color = COLORS[k % len(COLORS)]
        out.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2" stroke-linejoin="round"/>')
        if points:
            out.append(f'<circle cx="{points[-1][0]:.1f}" cy="{points[-1][1]:.1f}" r="3" fill="{color}"/>')
        out.append(f'<text x="{x:.0f}" y="16" fill="{INK}" text-anchor="end">{escape(name)}</text>')
        x -= 6.2 * len(name) + 18
        out.append(f'<rect x="{x + 4:.0f}" y="7" width="10" height="10" rx="2" fill="{color}"/>')
        x -= 10
    return "".join(out) + "</svg>"


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
