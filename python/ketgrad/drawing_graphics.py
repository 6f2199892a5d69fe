"""The layout of a circuit painted as SVG or with matplotlib, through one list of shapes.

Owns: shapes and their two painters. May not know: gates; `drawing.layout` has placed and labelled everything.
"""

from __future__ import annotations

from html import escape
from typing import Any, Literal, NamedTuple

from .circuit import Circuit
from .drawing import Item, layout
from .errors import ArgumentError, KetgradError

ROW, BOX, CHARACTER = 40.0, 28.0, 6.7  # pixels: between wires, height of a box, width of a character
LEFT = 38.0  # where the gates start
INK, FILL, EDGE, WIRE = "#1f2937", "#eef2ff", "#6366f1", "#9ca3af"


class Shape(NamedTuple):
    """One shape; `x`, `y` is its centre, except for a line, which goes from there to (x + w, y + h)."""

    kind: Literal["line", "box", "text", "dot", "ring", "plus", "cross"]
    x: float
    y: float
    w: float = 0.0
    h: float = 0.0
    text: str = ""
    color: str = INK


class Picture(NamedTuple):
    """Shapes on a canvas of this size in pixels, painted in order."""

    width: float
    height: float
    shapes: list[Shape]


def picture(circuit: Circuit, width: int = 0) -> Picture:
    """Place the shapes of a circuit; a row wider than `width` pixels (0: never) goes on below."""
    if isinstance(width, bool) or not isinstance(width, int) or width < 0:
        raise ArgumentError(f"draw: width is a number of pixels, 0 for a single row, got {width!r}")
    plan = layout(circuit)
    shapes: list[Shape] = []
    top, right = 0.0, 0.0
    if plan.global_phase:
        label = f"global phase: {plan.global_phase}"
        shapes.append(Shape("text", 8 + len(label) * CHARACTER / 2, 12, text=label))
        top, right = 20.0, 16 + len(label) * CHARACTER
    for columns in _rows(plan.columns, width):
        right = max(right, _row(shapes, plan.n_wires, columns, top))
        top += plan.n_wires * ROW + 16
    return Picture(right, top, shapes)


def _column_width(column: list[Item]) -> float:
    """Pixels of a column, its gap included."""
    longest = max(max((len(label) for label, *_ in item.boxes), default=0) for item in column)
    return max(22.0, longest * CHARACTER + 14) + 6


def _rows(columns: list[list[Item]], width: int) -> list[list[list[Item]]]:
    rows: list[list[list[Item]]] = [[]]
    x = LEFT
    for column in columns:
        wide = _column_width(column)
        if width and rows[-1] and x + wide + 10 > width:
            rows.append([])
            x = LEFT
        rows[-1].append(column)
        x += wide
    return rows


def _row(shapes: list[Shape], n_wires: int, columns: list[list[Item]], top: float) -> float:
    """Append one row of columns; returns its right end."""
    right = LEFT + sum(map(_column_width, columns)) + 10
    for wire in range(n_wires):
        y = top + ROW * (wire + 0.5)
        shapes.append(Shape("text", 18, y, text=f"q{wire}"))
        shapes.append(Shape("line", LEFT - 8, y, right - LEFT + 4, 0, color=WIRE))
    x = LEFT
    for column in columns:
        wide = _column_width(column)
        for item in column:
            _mark(shapes, item, x + (wide - 6) / 2, top)
        x += wide
    return right


def _mark(shapes: list[Shape], item: Item, x: float, top: float) -> None:
    def y(wire: float) -> float:
        return top + ROW * (wire + 0.5)

    first, last = item.wires[0], item.wires[-1]
    if last > first:
        shapes.append(Shape("line", x, y(first), 0, y(last) - y(first)))
    shapes += [Shape("dot" if value else "ring", x, y(w)) for w, value in item.dots]
    shapes += [Shape("plus", x, y(w)) for w in item.pluses]
    shapes += [Shape("cross", x, y(w)) for w in item.crosses]
    for label, a, b in item.boxes:
        width, middle = max(22.0, len(label) * CHARACTER + 10), (y(a) + y(b)) / 2
        shapes.append(Shape("box", x, middle, width, y(b) - y(a) + BOX))
        shapes.append(Shape("text", x, middle, text=label))


# SVG


def draw_svg(circuit: Circuit, width: int = 0) -> str:
    """The text of an SVG image, without external resources."""
    image = picture(circuit, width)
    w, h = f"{image.width:.0f}", f"{image.height:.0f}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" '
        f'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="11">'
        f"<title>circuit of {circuit.n_wires} wires and {len(circuit)} gates</title>"
    )
    return head + "".join(_svg(s) for s in image.shapes) + "</svg>"


def _svg(s: Shape) -> str:
    x, y = f"{s.x:.1f}", f"{s.y:.1f}"
    if s.kind == "line":
        return f'<path d="M{x} {y}l{s.w:.1f} {s.h:.1f}" stroke="{s.color}" fill="none"/>'
    if s.kind == "box":
        return (
            f'<rect x="{s.x - s.w / 2:.1f}" y="{s.y - s.h / 2:.1f}" width="{s.w:.1f}" height="{s.h:.1f}" rx="4" '
            f'fill="{FILL}" stroke="{EDGE}"/>'
        )
    if s.kind == "text":
        where = f'x="{x}" y="{y}" text-anchor="middle" dominant-baseline="central"'
        return f'<text {where} fill="{INK}">{escape(s.text)}</text>'
    if s.kind in ("dot", "ring"):
        return f'<circle cx="{x}" cy="{y}" r="4" fill="{INK if s.kind == "dot" else "#fff"}" stroke="{INK}"/>'
    if s.kind == "plus":
        return (
            f'<circle cx="{x}" cy="{y}" r="8" fill="#fff" stroke="{INK}"/>'
            f'<path d="M{s.x - 8:.1f} {y}h16M{x} {s.y - 8:.1f}v16" stroke="{INK}"/>'
        )
    return f'<path d="M{s.x - 5:.1f} {s.y - 5:.1f}l10 10m0 -10l-10 10" stroke="{INK}" stroke-width="1.6"/>'


# matplotlib


def draw_mpl(circuit: Circuit, width: int = 0) -> Any:
    """A matplotlib Figure; it belongs to no window until it is shown or saved.

    Raises:
        KetgradError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Circle, FancyBboxPatch
    except ImportError:
        raise KetgradError("draw('mpl') needs matplotlib, which is missing; pip install 'ketgrad[plot]'") from None
    image = picture(circuit, width)
    figure = Figure(figsize=(image.width / 72, image.height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, image.width)
    axes.set_ylim(image.height, 0)
    axes.set_axis_off()
    for z, s in enumerate(image.shapes, start=1):
        if s.kind == "line":
            axes.plot([s.x, s.x + s.w], [s.y, s.y + s.h], color=s.color, linewidth=1, zorder=z)
        elif s.kind == "box":
            corner = (s.x - s.w / 2 + 3, s.y - s.h / 2 + 3)
            look: dict[str, Any] = {"boxstyle": "round,pad=3", "facecolor": FILL, "edgecolor": EDGE, "zorder": z}
            axes.add_patch(FancyBboxPatch(corner, s.w - 6, s.h - 6, **look))
        elif s.kind == "text":
            axes.text(s.x, s.y, s.text, ha="center", va="center", fontsize=8, color=INK, family="monospace", zorder=z)
        elif s.kind == "cross":
            for sign in (1, -1):
                axes.plot([s.x - 5, s.x + 5], [s.y - 5 * sign, s.y + 5 * sign], color=INK, linewidth=1.6, zorder=z)
        else:
            radius, face = (8, "white") if s.kind == "plus" else (4, INK if s.kind == "dot" else "white")
            axes.add_patch(Circle((s.x, s.y), radius, facecolor=face, edgecolor=INK, zorder=z))
            if s.kind == "plus":
                axes.plot([s.x - 8, s.x + 8], [s.y, s.y], color=INK, linewidth=1, zorder=z)
                axes.plot([s.x, s.x], [s.y - 8, s.y + 8], color=INK, linewidth=1, zorder=z)
    return figure
