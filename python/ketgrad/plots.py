"""Figures of diagnostics: histories, matrices, spectra, scans. Owns: axes and marks. May not know: what is plotted.

Each function gives a matplotlib Figure, which belongs to no window until it is shown or saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .charts import COLORS, GRID, INK, MUTED
from .errors import KetgradError, ParameterError

Array = npt.NDArray[np.float64]
ROUNDING = 1e-10  # eigenvalues below this share of the largest are counted as 0


class Line(NamedTuple):
    """Points with error bars, and the line fitted to them, over x."""

    name: str
    y: Array
    error: Array
    fitted: Array


def _axes(title: str, x: str, y: str, width: float = 5.6, height: float = 3.8) -> tuple[Any, Any]:
    """A figure and its axes in the house style.

    Raises:
        KetgradError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise KetgradError("a plot needs matplotlib, which is missing; pip install 'ketgrad[plot]'") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
    axes.set_xlabel(x, color=MUTED)
    axes.set_ylabel(y, color=MUTED)
    axes.tick_params(colors=MUTED)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _square(matrix: npt.ArrayLike) -> Array:
    out = np.asarray(matrix, dtype=float)
    if out.ndim != 2 or out.shape[0] != out.shape[1] or not out.size:
        raise ParameterError(f"a square matrix is plotted, such as a Hessian or a metric tensor, got shape {out.shape}")
    return out


def matrix(matrix: npt.ArrayLike, title: str = "Metric tensor") -> Any:
    """A heat map of a square matrix, such as a metric tensor or a Hessian: 0 is white, the signs have two colours."""
    entries = _square(matrix)
    figure, axes = _axes(title, "parameter", "parameter", 4.8, 4.0)
    largest = float(np.abs(entries).max()) or 1.0
    image = axes.imshow(entries, cmap="PuOr", vmin=-largest, vmax=largest, interpolation="nearest")
    axes.grid(False)
    figure.colorbar(image, ax=axes, shrink=0.85)
    return figure


def spectrum(matrix: npt.ArrayLike, title: str = "Hessian spectrum") -> Any:
    """The eigenvalues of a symmetric matrix, such as a Hessian, in descending order, counted by sign."""
    values = np.linalg.eigvalsh(_square(matrix))[::-1]
    figure, axes = _axes(title, "index", "eigenvalue")
    rank, least = np.arange(1, len(values) + 1), ROUNDING * float(np.abs(values).max())
    kinds = (
        (COLORS[0], values > least, "positive"),
        (MUTED, np.abs(values) <= least, "zero"),
        (COLORS[3], values < -least, "negative"),
    )
    for color, which, name in kinds:
        axes.vlines(rank[which], 0, values[which], color=color, linewidth=1)
        axes.plot(rank[which], values[which], "o", color=color, markersize=4, label=f"{name}: {which.sum()}")
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.legend(frameon=False)
    return figure


def history(values: Array, title: str) -> Any:
    """A line over the steps 0, 1, 2, ..."""
    figure, axes = _axes(title, "step", "value")
    axes.plot(np.arange(len(values)), values, color=COLORS[0])
    return figure


def error_rates(p: npt.ArrayLike, curves: Mapping[str, Any], title: str = "Logical error", x_label: str = "p") -> Any:
    """Logical error rates against a physical one on logarithmic axes, and where both are equal.

    Args:
        p: (n,) physical error rates.
        curves: by name (n,) rates, drawn as a line, or n estimates with a `value` and an `error`, drawn with bars.
    """
    rates = np.asarray(p, dtype=float)
    if not isinstance(curves, Mapping) or rates.ndim != 1:
        raise ParameterError(
            f"error_rates: curves by name over a list of error rates, got {type(curves).__name__} and "
            f"shape {rates.shape}"
        )
    figure, axes = _axes(title, x_label, "logical error rate")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for k, (name, curve) in enumerate(curves.items()):
        color = COLORS[k % len(COLORS)]
        if len(curve) != len(rates):
            raise ParameterError(f"{name}: {len(rates)} error rates need as many values, got {len(curve)}")
        if hasattr(curve[0], "error"):
            y, bars = (np.array([getattr(c, part) for c in curve]) for part in ("value", "error"))
            axes.errorbar(rates, y, yerr=bars, fmt="o", color=color, markersize=4, capsize=2, label=name)
        else:
            axes.plot(rates, curve, color=color, label=name)
    axes.plot(rates, rates, color=MUTED, linewidth=0.8, linestyle="--", label="no code")
    axes.legend(frameon=False)
    return figure


def decay(x: Sequence[int], lines: Sequence[Line], title: str, x_label: str, y_label: str) -> Any:
    """Points with error bars and fitted lines, on a logarithmic axis."""
    figure, axes = _axes(title, x_label, y_label)
    axes.set_yscale("log")
    for k, line in enumerate(lines):
        color = COLORS[k % len(COLORS)]
        axes.errorbar(x, line.y, yerr=line.error, fmt="o", color=color, markersize=4, capsize=2, label=line.name)
        axes.plot(x, line.fitted, color=color, linewidth=1)
    axes.set_xticks(list(x))
    axes.legend(frameon=False)
    return figure


def surface(x: Array, y: Array, values: Array, title: str) -> Any:
    """A contour plot of values (len(y), len(x)), with a cross at the origin."""
    figure, axes = _axes(title, "along the first direction", "along the second direction", 5.2, 4.2)
    filled = axes.contourf(x, y, values, levels=24, cmap="viridis")
    axes.plot(0, 0, "+", color="white", markersize=10)
    axes.grid(False)
    figure.colorbar(filled, ax=axes)
    return figure


def shares(edges: Array, observed: Array, wanted: Array, title: str, x_label: str) -> Any:
    """A histogram of shares, and the line it is compared with."""
    figure, axes = _axes(title, x_label, "share")
    axes.stairs(observed, edges, fill=True, color=COLORS[0], alpha=0.4, label="circuit")
    axes.stairs(wanted, edges, color=INK, label="Haar")
    axes.legend(frameon=False)
    return figure


def curves(
    lines: Sequence[tuple[str, npt.ArrayLike, npt.ArrayLike]],
    title: str,
    x_label: str,
    y_label: str,
    *,
    log: str = "",
    points: bool = True,
) -> Any:
    """Lines (name, x, y), with points; the axes named in `log`, of "x", "y" and "xy", are logarithmic."""
    figure, axes = _axes(title, x_label, y_label)
    for k, (name, x, y) in enumerate(lines):
        axes.plot(x, y, "o-" if points else "-", color=COLORS[k % len(COLORS)], markersize=4, label=name)
    axes.set(**{f"{axis}scale": "log" for axis in log})
    if len(lines) > 1:
        axes.legend(frameon=False)
    return figure


def intervals(names: Sequence[str], values: Array, low: Array, high: Array, title: str, x_label: str) -> Any:
    """Values with intervals, one to a row, on a logarithmic axis; what has no end is an arrow, no value a note."""
    figure, axes = _axes(title, x_label, "", height=1.4 + 0.42 * len(names))
    axes.set_xscale("log")
    for k, (value, a, b) in enumerate(zip(values, low, high, strict=True)):
        color = COLORS[k % len(COLORS)]
        if np.isfinite(value):
            axes.plot(value, k, "o", color=color)
        if np.isfinite(b):
            axes.plot([a, b], [k, k], color=color)
        else:
            axes.annotate("", (3 * a, k), (a, k), arrowprops={"arrowstyle": "->", "color": color})
            axes.plot([a, 3 * a], [k, k], alpha=0)  # so that the arrow is inside
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    return figure
