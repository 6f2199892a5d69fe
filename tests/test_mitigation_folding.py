"""Folding: the same circuit, longer by the right factor, with the right gates; refusals."""

from __future__ import annotations

import numpy as np
import pytest
from mitigation_cases import MODEL, OBSERVABLES, circuit, point

import ketgrad as kg
from ketgrad.errors import ArgumentError, CircuitError
from ketgrad.mitigation import fold_gates, fold_global
from ketgrad.mitigation.folding import achieved_scale, folded, on_several_wires

SCALES = (1, 1.4, 2, 3, 3.7, 5, 8)


@pytest.mark.parametrize("folding", ["global", "gates", "two-wire"])
@pytest.mark.parametrize("scale", SCALES)
def test_a_folded_circuit_does_the_same(folding: str, scale: float) -> None:
    (w, x), c = point(), circuit()
    longer = folded(c, scale, folding)
    assert longer.n_weights == c.n_weights and longer.n_inputs == c.n_inputs
    ours, wanted = (kg.compile(k, OBSERVABLES).forward(w, x) for k in (longer, c))
    np.testing.assert_allclose(ours[0], wanted[0], atol=1e-12)
    cotangents = np.ones(wanted[0].shape)
    np.testing.assert_allclose(ours[1](cotangents).weights, wanted[1](cotangents).weights, atol=1e-12)
    count = 3 if folding == "two-wire" else len(c)
    assert abs(achieved_scale(c, longer, folding) - scale) <= 1 / count + 1e-12


def names(circuit: kg.Circuit) -> str:
    return " ".join(g.spec.name + "'" * g.inverse for g in circuit.gates)


def test_which_gates_are_folded() -> None:
    c = kg.Circuit(2).h(0).cx(0, 1).s(1).t(0)
    assert names(fold_global(c, 3)) == "h cx s t t' s' cx' h' h cx s t"
    assert names(fold_global(c, 2)) == "h cx s t t' s' s t"  # half of the gates once more, the last ones
    assert names(fold_global(c, 4)) == "h cx s t t' s' cx' h' h cx s t t' s' s t"
    assert names(fold_gates(c, 3)) == "h h' h cx cx' cx s s' s t t' t"
    assert names(folded(c, 5, "two-wire")) == "h cx cx' cx cx' cx s t"
    twice = fold_gates(c, 2, seed=3)
    assert len(twice) == 8 and names(twice) == names(fold_gates(c, 2, seed=3))
    assert len({names(fold_gates(c, 2, seed=s)) for s in range(20)}) > 1
    heavy = fold_gates(c, 2, weight=lambda g: 10.0 if g.spec.name == "cx" else 0.0)
    assert names(heavy) == "h cx s t"  # once more would miss by as much


def test_folding_an_inverse_gives_the_gate() -> None:
    c = kg.Circuit(1).s(0, inverse=True)
    assert names(fold_global(c, 3)) == "s' s s'"


def test_refusals() -> None:
    c = circuit()
    for scale in (0.5, 0, -1, np.nan, np.inf):
        with pytest.raises(ArgumentError, match="at least 1"):
            fold_global(c, scale)
    with pytest.raises(CircuitError, match="fold the circuit without noise first"):
        fold_global(MODEL.apply(c), 3)
    with pytest.raises(ArgumentError, match="Did you mean 'global'"):
        folded(c, 3, "globl")
    with pytest.raises(ArgumentError, match="at least 0"):
        fold_gates(c, 3, weight=lambda _: -1.0)
    single = kg.Circuit(2).h(0)
    with pytest.raises(CircuitError, match="no gate to fold"):
        achieved_scale(single, folded(single, 3, "two-wire"), "two-wire")
    assert on_several_wires(kg.Circuit(2).x(0, controls=1).gates[0]) == 1.0


def test_scales_that_a_short_circuit_cannot_meet_are_refused() -> None:
    with pytest.raises(ArgumentError, match="use odd ones"):
        kg.mitigation.zne(kg.Circuit(1).h(0), kg.Z(0), MODEL, scales=(1, 1.2, 3))
