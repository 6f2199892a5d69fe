"""Drawings: what a few circuits look like, and that every gate of the table can be drawn in every way."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest

import ketgrad as kg
from ketgrad.charts import confusion, curves, ticks
from ketgrad.drawing import draw, draw_text
from ketgrad.errors import ArgumentError, ArgumentTypeError, KetgradError
from ketgrad.gates import GATES, GateSpec

EXTRA: dict[str, Any] = {
    "word": "XZY",
    "dim": 3,
    "matrix": np.eye(8),
    "diagonal": np.ones(8),
    "values": np.arange(8.0),
}
SVG = "{http://www.w3.org/2000/svg}"


BELL = """
     ┌───┐
q0: ─┤ H ├─●──
     └───┘ │
           │
q1: ───────⊕──
"""

MARKS = """
     ┌───┐
q0: ─┤ H ├─●─────────────────╳───────○──────
     └───┘ │                 │       │
           │ ┌─────────────┐ │       │
q1: ───────┼─┤ Rot(w[0:3]) ├─╳───────●──────
           │ └─────────────┘         │
           │                   ┌─────┴────┐
q2: ───────⊕───────────────────┤ RY(0.25) ├─
                               └──────────┘
"""

TALL = """
q0: ──────────────●──
                  │
     ┌──────────┐ │
q1: ─┤          ├─┼──
     │ RZZ(0.5) │ │
     │          │ │
q2: ─┤          ├─●──
     └──────────┘
"""

NUMBERED = """
     ┌─────────────┐
q0: ─┤ 1: RZX(0.5) ├─
     └──────┬──────┘
            │
q1: ────────┼────────
            │
     ┌──────┴──────┐
q2: ─┤ 0: RZX(0.5) ├─
     └─────────────┘
"""


def test_drawings_to_the_letter() -> None:
    marks = kg.Circuit(3)
    w = marks.weights(3)
    marks.h(0).cnot(0, 2).rot(w, 1).swap(0, 1).ry(0.25, 2, controls=[0, 1], control_values=[0, 1])
    cases = [
        (kg.Circuit(2).h(0).cnot(0, 1), BELL),
        (marks, MARKS),
        (kg.Circuit(3).rzz(0.5, 1, 2).cz(0, 2), TALL),
        (kg.Circuit(3).rzx(0.5, 2, 0), NUMBERED),
    ]
    for circuit, expected in cases:
        assert str(circuit) == expected.strip("\n")


def test_columns_are_packed() -> None:
    circuit = kg.Circuit(4).x(0).x(1).x(2).cnot(0, 1).cnot(2, 3).cnot(0, 3).x(1)
    rows = [row for row in str(circuit).split("\n") if row.startswith("q")]
    assert len({len(r) for r in rows}) == 1
    assert rows[0].index("●") == rows[2].index("●")  # side by side
    assert rows[3].rindex("⊕") > rows[3].index("⊕")
    assert rows[1].rindex("X") > rows[1].index("┼")  # not under the line from wire 0 to wire 3


def test_special_marks() -> None:
    circuit = kg.Circuit(2)
    w = circuit.weights(2, name="angle")
    circuit.prepare([0.6, 0.8], [1]).gphase(0.5).gphase(w[1], controls=[0], control_values=[0])
    circuit.s(0, inverse=True).rx(2 * w[0] - w[1] * w[0] + 0.1, 1).rx(-w[0], 0)
    text = str(circuit)
    assert text.startswith("global phase: (0.5)\n") and "|ψ⟩" in text and "○ GPHASE(angle[1])" in text
    assert "S†" in text and "RX(2*angle[0]-angle[0]*an…" in text and "RX(-angle[0])" in text


def test_long_circuits_wrap() -> None:
    circuit = kg.Circuit(2)
    for k in range(40):
        circuit.rx(0.123 * k, k % 2)
    blocks = circuit.draw(width=60).split("\n\n")
    assert len(blocks) > 3 and all(len(row) <= 60 for block in blocks for row in block.split("\n"))
    assert all(block.count("»") == 2 for block in blocks[:-1]) and all(block.count("«") == 2 for block in blocks[1:])
    assert sum(block.count("RX") for block in blocks) == 40
    assert "»" not in circuit.draw(width=0) and len(circuit.draw(width=0).split("\n")[1]) > 200
    assert circuit.draw(width=5).count("RX") == 40  # narrower than any column: one column a row


def test_empty_circuit_and_many_wires() -> None:
    assert str(kg.Circuit(2)) == "q0: ──\nq1: ──"
    rows = str(kg.Circuit(12).cnot(0, 11)).split("\n")
    assert rows[0].startswith(" q0: ") and rows[-1].startswith("q11: ")


@pytest.mark.parametrize("spec", GATES, ids=lambda s: s.name)
def test_every_gate_in_every_way(spec: GateSpec) -> None:
    k = spec.wires if spec.wires is not None else 3
    circuit = kg.Circuit(7)
    w = circuit.weights(4)
    for wires in (range(k), [2 * j for j in reversed(range(k))]):
        circuit.append(spec, w[: len(spec.params)], tuple(wires), extra=EXTRA.get(spec.extra or ""))
    circuit.append(
        spec,
        w[: len(spec.params)],
        range(k),
        controls=(6, 5),
        control_values=(0, 1),
        inverse=True,
        extra=EXTRA.get(spec.extra or ""),
    )
    text = draw_text(circuit, width=0)
    rows = text.split("\n")
    wire_rows = [r for r in rows if r.startswith("q")]
    assert len(wire_rows) == 7 and len({len(r) for r in wire_rows}) == 1
    assert text.count("○") == 1 and "●" in text
    assert text.count("┌") == text.count("┐") == text.count("└") == text.count("┘")
    if spec.params:
        assert "w[0" in text
    root = ElementTree.fromstring(draw(circuit, "svg"))
    assert root.tag == f"{SVG}svg" and float(root.get("width", "0")) > 0
    labels = " ".join(t.text or "" for t in root.iter(f"{SVG}text"))
    assert "q6" in labels and ("w[0" in labels) == bool(spec.params)


def test_svg_wraps_and_stays_inside() -> None:
    circuit = kg.Circuit(3)
    for k in range(30):
        circuit.ry(0.1 * k, k % 3).cz(k % 3, (k + 1) % 3)
    root = ElementTree.fromstring(circuit.draw("svg", width=400))
    assert float(root.get("width", "0")) <= 400
    assert sum((t.text or "") == "q0" for t in root.iter(f"{SVG}text")) > 2
    for box in root.iter(f"{SVG}rect"):
        assert 0 <= float(box.get("x", "-1")) and float(box.get("x", "0")) + float(box.get("width", "0")) <= 400


def test_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    circuit = kg.Circuit(3).h(0).cnot(0, 1).swap(1, 2).z(2, controls=0, control_values=0).gphase(0.1)
    figure = circuit.draw("mpl")
    axes = figure.axes[0]
    assert {t.get_text() for t in axes.texts} == {"q0", "q1", "q2", "H", "global phase: (0.1)"}
    assert len(axes.patches) == 5  # a box, a dot, a plus, a ring and a dot
    figure.canvas.draw()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(KetgradError, match=r"pip install 'ketgrad\[plot\]'"):
        circuit.draw("mpl")


def test_bad_arguments() -> None:
    circuit = kg.Circuit(1)
    with pytest.raises(ArgumentError, match="kind must be one of .*Did you mean 'text'"):
        circuit.draw("txt")
    with pytest.raises(ArgumentTypeError, match="expected a Circuit, got str"):
        draw("circuit")  # type: ignore[arg-type]
    for kind in ("text", "svg"):
        for width in (-1, 2.5, True, "wide"):
            with pytest.raises(ArgumentError, match="width is a number of"):
                circuit.draw(kind, width=width)


# the charts of the report


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.02, 0.97), (0.913, 0.914), (1, 50), (0.5, 0.5), (0, 12345)])
def test_ticks_are_round_and_cover(low: float, high: float) -> None:
    got = ticks(low, high)
    assert got[0] <= low and got[-1] >= high and 2 <= len(got) <= 8
    assert np.allclose(np.diff(got), got[1] - got[0])


def test_curves_and_confusion_are_valid_svg() -> None:
    values = np.array([0.5, np.nan, 0.75, 1.0])
    root = ElementTree.fromstring(curves([("a<b", values), ("c", values / 2)], "Title & more", percent=True))
    lines = list(root.iter(f"{SVG}polyline"))
    assert [len((line.get("points") or "").split()) for line in lines] == [3, 3]
    ElementTree.fromstring(curves([("one epoch", np.array([0.3]))], "Loss"))
    matrix = np.array([[9, 1], [0, 5]])
    root = ElementTree.fromstring(confusion(matrix, ["<first>", "a name that is much too long"]))
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert texts.count("9") == 1 and texts.count("1") == 1 and "0" not in texts and "<first>" in texts
    assert len(list(root.iter(f"{SVG}rect"))) == 4
