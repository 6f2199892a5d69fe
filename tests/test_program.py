"""Programs and parameter-shift rules as data: their printed form, what they refuse, and the rules as mathematics."""

from __future__ import annotations

import numpy as np
import pytest

import ketgrad as kg
from ketgrad.errors import CircuitError, NotDifferentiableError
from ketgrad.lowering import lower
from ketgrad.program import INSTRUCTION, TERM, Program
from ketgrad.shift_rules import shift_rule


def test_disassembly_is_what_runs():
    circuit = kg.Circuit(3)
    w, x = circuit.weights(1), circuit.inputs(1)
    circuit.rx(2 * w[0] + 0.5, 0).cp(x[0], 0, 1, controls=2, control_values=0).h(2).swap(0, 2).cx(0, 1)
    text = lower(circuit, [kg.Z(0) @ kg.X(2), kg.Projector("10", (0, 1))]).program.disassembly()
    assert text.split("\n") == [
        "; 3 qubits, 5 instructions, 1 shared and 1 per-sample slots, 8 pool words, 2 terms",
        "    0  PAULI_ROT  x=100  angle=2*s0 + 0.5",
        "    1  PHASE      if 110  angle=1*s1",
        "    2  DENSE      x=001  k=1 pool[0]",
        "    3  SWAP       x=101",
        "    4  PAULI      x=010  if 1--",
        "    0  TERM       x=001  z=100",
        "    1  TERM       x=000  z=000  on 10-",
    ]


def test_equal_matrices_are_stored_once():
    circuit = kg.Circuit(4)
    for q in range(4):
        circuit.h(q)
    assert len(lower(circuit).program.pool) == 8


def test_every_mode_of_the_native_backend_is_named(backend):
    if backend != "native":
        pytest.skip("modes are the native backend's")
    circuit = kg.Circuit(6)
    x = circuit.inputs(1)
    plan = kg.compile(circuit.rx(x[0], 0), kg.Z(0), backend=backend)._ready().plan
    assert plan.choice(1)["mode"] == "single" and plan.choice(1000)["mode"] == "lanes"


def program(**changes: object) -> Program:
    """A program of one controlled rotation and one matrix, with changes to its rows."""
    circuit = kg.Circuit(3)
    w = circuit.weights(1)
    circuit.crx(w[0], 0, 1).unitary(np.eye(4), 0, 2)
    p = lower(circuit, [kg.Z(0)]).program
    parts = {name: getattr(p, name) for name in ("n_bits", "pool", "n_shared", "n_per_sample")}
    rows, terms = p.instructions.copy(), p.terms.copy()
    for key, value in changes.items():
        field, _, row = key.rpartition("_at_")
        if field.startswith("term_"):
            terms[field.removeprefix("term_")][int(row)] = value
        elif field:
            rows[field][int(row)] = value
        else:
            parts[key] = value
    return Program(instructions=rows, terms=terms, **parts)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_bits": 0}, "1 to 62"),
        ({"n_bits": 63}, "1 to 62"),
        ({"n_bits": 2}, "outside the 2 qubits"),
        ({"n_shared": -1}, "start at 0"),
        ({"n_shared": 0}, "slot"),
        ({"pool": np.zeros(31)}, "payload"),
        ({"pool": np.zeros(32, "f4")}, "dtypes"),
        ({"opcode_at_0": 10}, "unknown opcode"),
        ({"opcode_at_0": 255}, "unknown opcode"),
        ({"slot_at_0": 1}, "slot"),
        ({"slot_at_0": -2}, "slot"),
        ({"scale_at_0": np.nan}, "not finite"),
        ({"offset_at_1": np.inf}, "not finite"),
        ({"ctrl_value_at_0": 7}, "outside the controls"),
        ({"ctrl_mask_at_0": 6}, "both target and control"),
        ({"opcode_at_0": 0}, "first"),
        ({"opcode_at_0": 1}, "controls only"),
        ({"opcode_at_0": 4}, "pair rotation"),
        ({"opcode_at_0": 5}, "two bits"),
        ({"opcode_at_0": 6}, "number of bits"),
        ({"opcode_at_0": 8}, "number of bits"),
        ({"opcode_at_0": 2}, "only an angle"),
        ({"pool": np.full(32, np.nan)}, "pool has numbers"),
        ({"k_at_1": 1}, "number of bits"),
        ({"k_at_1": 200}, "number of bits"),
        ({"payload_at_1": -1}, "payload"),
        ({"payload_at_1": 1}, "payload"),
        ({"payload_at_1": 2**31 - 1}, "payload"),
        ({"term_x_mask_at_0": 8}, "outside"),
        ({"term_ctrl_value_at_0": 1}, "pattern"),
        ({"term_ctrl_mask_at_0": 4}, "pattern"),
    ],
    ids=lambda v: str(v) if isinstance(v, dict) else "",
)
def test_programs_that_cannot_be(changes, words):
    with pytest.raises(CircuitError, match=words):
        program(**changes)


def test_programs_are_frozen():
    p = program()
    for array in (p.instructions, p.terms, p.pool):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[0]
    with pytest.raises(CircuitError, match="one axis"):
        Program(1, np.zeros((1, 1), INSTRUCTION), np.zeros(0), np.zeros(0, TERM), 0, 0)


# rules


@pytest.mark.parametrize(
    "frequencies",
    [(1.0,), (0.5,), (0.5, 1.0), (1, 2, 3), (2.0, 4.0, 6.0, 8.0), (1.0, 1.7), (0.3, 1.1, 2.9), (1.0, 2.5, 4.0)],
)
def test_rules_are_exact_for_their_frequencies(frequencies, rng):
    coefficients, shifts = shift_rule(frequencies)
    assert len(coefficients) == len(shifts) == 2 * len(frequencies)
    for _ in range(5):
        a, b = rng.normal(size=(2, len(frequencies)))
        omega, t = np.array(frequencies), rng.uniform(-5, 5)

        def f(t, a=a, b=b, omega=omega):
            return 0.7 + a @ np.cos(omega * t) + b @ np.sin(omega * t)

        slope = omega @ (b * np.cos(omega * t) - a * np.sin(omega * t))
        np.testing.assert_allclose(
            sum(c * f(t + s) for c, s in zip(coefficients, shifts, strict=True)), slope, atol=1e-11
        )


def test_the_well_known_rules():
    c, s = shift_rule((1.0,))
    assert sorted(zip(s.round(12), c.round(12), strict=True)) == [(-1.570796326795, -0.5), (1.570796326795, 0.5)]
    c, s = shift_rule((0.5, 1.0))  # the four-term rule of controlled rotations
    assert sorted(np.abs(s).round(12)) == sorted(np.round([np.pi / 2, np.pi / 2, 3 * np.pi / 2, 3 * np.pi / 2], 12))
    weights = [(np.sqrt(2) - 1) / (4 * np.sqrt(2)), (np.sqrt(2) + 1) / (4 * np.sqrt(2))]
    np.testing.assert_allclose(sorted(np.abs(c)), np.repeat(weights, 2))
    assert [len(a) for a in shift_rule(())] == [0, 0]


def test_rules_that_cannot_be():
    with pytest.raises(NotDifferentiableError, match="adjoint"):
        shift_rule(np.arange(1, 66))
    with pytest.raises(NotDifferentiableError, match="accurate"):
        shift_rule((1.0, 1.0 + 1e-9))
