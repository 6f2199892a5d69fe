"""Drawings of circuits: where every gate goes, and the text drawing.

Owns: labels, columns and the Unicode drawing; `drawing_graphics` paints the same layout as SVG or with matplotlib.
May not know: programs, backends, gate names other than the few with a symbol of their own (x, z, swap).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .circuit import Circuit, Gate
from .errors import ArgumentError, ArgumentTypeError, suggest
from .expressions import Expression
from .factors import Angle, Pauli, Phase, Swap
from .gate_spec import CHANNEL

KINDS = ("text", "mpl", "svg")
_PI = Angle(None, 0, np.pi)
LABEL = 26  # characters of one label before it is cut
_NAMES = {
    "rot": "Rot",
    "crot": "Rot",
    "mcx": "X",
    "sdg": "S†",
    "tdg": "T†",
    "sxdg": "SX†",
    "unitary": "U",
    "diagonal": "Diag",
    "exp_diagonal": "ExpDiag",
    "single_excitation": "Single",
    "single_excitation_plus": "Single+",
    "single_excitation_minus": "Single-",
    "double_excitation": "Double",
    "double_excitation_plus": "Double+",
    "double_excitation_minus": "Double-",
    "orbital_rotation": "Orbital",
}


@dataclass
class Item:
    """One gate as drawn.

    Args:
        boxes: label and the contiguous wires (first, last) of each box.
        dots: wire and value (1 full, 0 hollow) of each control.
        pluses: wires with the circled plus of a controlled X.
        crosses: wires with the cross of a swap.
    """

    boxes: list[tuple[str, int, int]] = field(default_factory=list)
    dots: list[tuple[int, int]] = field(default_factory=list)
    pluses: list[int] = field(default_factory=list)
    crosses: list[int] = field(default_factory=list)

    @property
    def wires(self) -> list[int]:
        """Every wire with a mark, ascending."""
        inside = [w for _, first, last in self.boxes for w in range(first, last + 1)]
        return sorted({*inside, *(w for w, _ in self.dots), *self.pluses, *self.crosses})

    @property
    def width(self) -> int:
        """Characters of the widest mark."""
        return max([len(label) + 4 for label, *_ in self.boxes], default=3)


@dataclass
class Layout:
    """Items packed into columns, left to right."""

    n_wires: int
    columns: list[list[Item]]
    global_phase: str = ""


def draw(circuit: Circuit, kind: str = "text", **options: Any) -> Any:
    """Draw a circuit.

    Args:
        kind: "text" gives a string, "svg" the text of an SVG image, "mpl" a matplotlib Figure.
        options: `width`, of a row before the drawing goes on below, 0 for never: characters (text), pixels (svg, mpl).

    Raises:
        ArgumentError: another kind.
    """
    if not isinstance(circuit, Circuit):
        raise ArgumentTypeError(f"draw: expected a Circuit, got {type(circuit).__name__}")
    if kind not in KINDS:
        raise ArgumentError(f"draw: kind must be one of {KINDS}, got {kind!r}.{suggest(str(kind), KINDS)}")
    if kind == "text":
        return draw_text(circuit, **options)
    from .drawing_graphics import draw_mpl, draw_svg

    return draw_svg(circuit, **options) if kind == "svg" else draw_mpl(circuit, **options)


# labels


def _number(value: float) -> str:
    return f"{value:.3g}"


def _angle(angle: float | Expression, names: dict[str, list[str]]) -> str:
    """An angle as a short text: `0.5`, `w[0,1]`, `2*x[0]+0.1`."""
    if not isinstance(angle, Expression):
        return _number(angle)
    out = ""
    for monomial, c in angle.terms.items():
        factors = "*".join(names[kind][index].replace(", ", ",") for kind, index in monomial)
        if not monomial:
            term = _number(c)
        else:
            term = factors if c == 1 else f"-{factors}" if c == -1 else f"{_number(c)}*{factors}"
        out += term if not out or term.startswith("-") else f"+{term}"
    return out or "0"


def _angles(gate: Gate, names: dict[str, list[str]]) -> str:
    """The gate's angles; neighbours of one array as a slice, `w[0,0:3]`."""
    shown = [_angle(p, names) for p in gate.params]
    parts = [re.fullmatch(r"(.+[\[,])(\d+)\]", text) for text in shown]
    if len(shown) > 1 and all(parts):
        heads = {m[1] for m in parts if m}
        first = int(parts[0][2]) if parts[0] else 0
        if len(heads) == 1 and all(m and int(m[2]) == first + k for k, m in enumerate(parts)):
            return f"{heads.pop()}{first}:{first + len(shown)}]"
    return ", ".join(shown)


def _label(gate: Gate, names: dict[str, list[str]]) -> str:
    spec = gate.spec
    if spec is CHANNEL:
        label = repr(gate.extra) if gate.extra.strengths else gate.extra.name
        return label if len(label) <= LABEL else label[: LABEL - 1] + "…"
    label = _NAMES.get(spec.name, spec.name.replace("_", " ") if len(spec.name) > 6 else spec.name.upper())
    if _own_controls(gate) and spec.name not in _NAMES:
        label = label.removeprefix("C")  # the dots say it
    if isinstance(gate.extra, str):
        label = f"R{gate.extra}" if len(gate.extra) <= 8 else f"R{gate.extra[:7]}…"
    elif isinstance(gate.extra, int):
        label += f"[{gate.extra}]"
    if gate.inverse:
        label += "†"
    if gate.params:
        label += f"({_angles(gate, names)})"
    return label if len(label) <= LABEL else label[: LABEL - 1] + "…"


def _own_controls(gate: Gate) -> int:
    """How many of the gate's own wires are controls."""
    spec = gate.spec
    if not spec.controls:
        return 0
    return spec.controls if spec.wires is not None else len(gate.wires) - 1


# layout


def _item(gate: Gate, names: dict[str, list[str]]) -> Item:
    own = _own_controls(gate)
    targets = gate.wires[own:]
    item = Item(dots=[(w, 1) for w in gate.wires[:own]])
    item.dots += list(zip(gate.controls, gate.control_values, strict=True))
    label = _label(gate, names)
    body = () if callable(gate.spec.body) and gate.spec.name != "mcx" else gate.spec.factors(len(targets), gate.extra)
    single = body[0] if len(body) == 1 else None
    if not targets:  # a controlled global phase: its first control carries the name
        wire, value = item.dots.pop(0)
        item.boxes.append((f"{'●' if value else '○'} {label}", wire, wire))
    elif isinstance(single, Pauli) and single.word == "X" and item.dots:
        item.pluses.append(targets[0])
    elif isinstance(single, Phase) and single.angle == _PI and single.on == "1" and item.dots:
        item.dots.append((targets[0], 1))  # a controlled Z is the same from all its wires
    elif isinstance(single, Swap):
        item.crosses += targets
    else:
        item.boxes += _boxes(label, targets)
    return item


def _boxes(label: str, targets: Sequence[int]) -> list[tuple[str, int, int]]:
    """One box where the wires are neighbours in order, else a numbered box on each wire."""
    low, high = min(targets), max(targets)
    if list(targets) == list(range(low, high + 1)):
        return [(label, low, high)]
    return [(f"{k}: {label}", w, w) for k, w in enumerate(targets)]


def layout(circuit: Circuit) -> Layout:
    """Every gate in the first column where its wires, and those it crosses, are free."""
    names = {kind: circuit.parameter_names(kind) for kind in ("w", "x")}
    out = Layout(circuit.n_wires, [])
    level = np.zeros(circuit.n_wires, dtype=int)
    items = []
    if circuit.initial is not None:
        items.append(Item(boxes=_boxes("|ψ⟩", circuit.initial[1])))
    phases = []
    for gate in circuit.gates:
        if gate.wires or gate.controls:
            items.append(_item(gate, names))
        else:
            phases.append(f"{'-' if gate.inverse else ''}({_angle(gate.params[0], names)})")
    out.global_phase = " + ".join(phases)
    for item in items:
        first, last = item.wires[0], item.wires[-1] + 1
        column = int(level[first:last].max())
        if column == len(out.columns):
            out.columns.append([])
        out.columns[column].append(item)
        level[first:last] = column + 1
    return out


# text


def draw_text(circuit: Circuit, width: int = 110) -> str:
    """A drawing in Unicode, three lines a wire.

    Args:
        width: characters a line before the drawing goes on below; 0 for one long drawing.
    """
    if isinstance(width, bool) or not isinstance(width, int) or width < 0:
        raise ArgumentError(f"draw: width is a number of characters, 0 for no wrapping, got {width!r}")
    plan = layout(circuit)
    names = [f"q{w}: " for w in range(circuit.n_wires)]
    margin = max(map(len, names))
    left = [line for name in names for line in (" " * margin, f"{name:>{margin}}", " " * margin)]
    blocks, lines = [], _wires(circuit.n_wires)
    for column in plan.columns:
        part = _text_column(column, circuit.n_wires)
        if width and 1 < len(lines[1]) and margin + len(lines[1]) + len(part[1]) + 2 > width:
            blocks.append(lines)
            lines = _wires(circuit.n_wires)
        lines = [a + b for a, b in zip(lines, part, strict=True)]
    blocks.append(lines)
    out = []
    for number, block in enumerate(blocks):
        head, tail = "«" if number else "", "─»" if number + 1 < len(blocks) else "─"
        wired = [
            f"{start}{head if k % 3 == 1 else ' ' * len(head)}{line}{tail if k % 3 == 1 else ''}".rstrip()
            for k, (start, line) in enumerate(zip(left, block, strict=True))
        ]
        out.append("\n".join(line for line in wired if line))
    phase = f"global phase: {plan.global_phase}\n" if plan.global_phase else ""
    return phase + "\n\n".join(out)


def _wires(n_wires: int) -> list[str]:
    """The three lines of every wire, before any gate."""
    return [" ", "─", " "] * n_wires


def _text_column(column: list[Item], n_wires: int) -> list[str]:
    """3 n lines of equal length."""
    width = max(item.width for item in column)
    rows = [" " * width, "─" * width, " " * width] * n_wires
    canvas = [list(row) for row in rows]
    for item in column:
        _text_item(canvas, item, width)
    return ["".join(row) for row in canvas]


def _text_item(canvas: list[list[str]], item: Item, width: int) -> None:
    middle, wires = width // 2, item.wires
    for row in range(3 * wires[0] + 1, 3 * wires[-1] + 2):  # the line that joins all marks
        if len(wires) > 1:
            canvas[row][middle] = "┼" if row % 3 == 1 else "│"
    for wire, value in item.dots:
        canvas[3 * wire + 1][middle] = "●" if value else "○"
    for wire in item.pluses:
        canvas[3 * wire + 1][middle] = "⊕"
    for wire in item.crosses:
        canvas[3 * wire + 1][middle] = "╳"
    for label, first, last in item.boxes:
        inner = max(len(label) + 2, 3)
        start = middle - inner // 2 - 1
        above, below = first > wires[0], last < wires[-1]
        _put(canvas[3 * first], start, "┌" + _edge(inner, "┴" if above else "─") + "┐")
        for row in range(3 * first + 1, 3 * last + 2):
            wire_row = row % 3 == 1
            text = f"{label:^{inner}}" if row == (3 * first + 3 * last + 2) // 2 else " " * inner
            _put(canvas[row], start, ("┤" if wire_row else "│") + text + ("├" if wire_row else "│"))
        _put(canvas[3 * last + 2], start, "└" + _edge(inner, "┬" if below else "─") + "┘")


def _edge(inner: int, mark: str) -> str:
    return "─" * (inner // 2) + mark + "─" * (inner - inner // 2 - 1)


def _put(row: list[str], start: int, text: str) -> None:
    row[start : start + len(text)] = list(text)
