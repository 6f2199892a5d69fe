"""Corners of the native engine: tapes of large states, signal handlers that call back, junk past the contract."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import ketgrad as kg
from ketgrad.program import INSTRUCTION, TERM, Opcode

core = pytest.importorskip("ketgrad._core", reason="needs the native core")


def test_a_large_state_serves_several_pullbacks() -> None:
    circuit = kg.Circuit(25)  # 512 MiB: the first pullback works in the kept state, the next ones start anew
    w = circuit.weights(1)
    model = kg.compile(circuit.rx(w[0], 3), [kg.Z(3)], backend="native")
    values, pullback = model.forward([0.5])
    assert values[0] == pytest.approx(np.cos(0.5), abs=1e-12)
    for _ in range(3):
        assert pullback([1.0]).weights[0] == pytest.approx(-np.sin(0.5), abs=1e-12)


HANDLER = """
import signal
import ketgrad as kg
circuit = kg.Circuit(20)
for _ in range(100):
    for q in range(20):
        circuit.rx(0.1, q).cx(q, (q + 7) % 20)
model = kg.compile(circuit, [kg.Z(0)], backend="native")
kg.set_num_threads(2)
calls = []
def handler(*_):
    kg.set_num_threads(1 + len(calls) % 3)
    calls.append(kg.compile(kg.Circuit(1).x(0), [kg.Z(0)])()[0])
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
model()
signal.setitimer(signal.ITIMER_REAL, 0)
assert calls and set(calls) == {-1.0}, calls
"""


def test_a_signal_handler_may_call_ketgrad() -> None:
    done = subprocess.run([sys.executable, "-c", HANDLER], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("fields", "pool"),
    [
        ({"opcode": Opcode.PREPARE, "k": 20}, []),
        ({"opcode": Opcode.PREPARE, "k": 255}, []),
        ({"opcode": Opcode.DENSE, "k": 1, "x_mask": 1, "slot": 0}, [0.0] * 8),
        ({"opcode": Opcode.PAULI, "x_mask": 1, "slot": 0}, []),
        ({"opcode": Opcode.SWAP, "x_mask": 3, "t1": 1, "slot": 0}, []),
        ({"opcode": Opcode.EXP_DIAG, "k": 1, "z_mask": 1}, [0.0, np.nan]),
        ({"opcode": Opcode.KRAUS, "k": 1, "x_mask": 1, "t0": 1, "slot": 0}, [0.0] * 16),
        ({"opcode": Opcode.KRAUS, "k": 1, "x_mask": 1, "t0": 0}, [0.0] * 16),
        ({"opcode": Opcode.KRAUS, "k": 1, "x_mask": 1, "t0": 2}, [0.0] * 31),
        ({"opcode": Opcode.KRAUS, "k": 1, "x_mask": 1, "t0": 1, "ctrl_mask": 2}, [0.0] * 16),
        ({"opcode": Opcode.KRAUS, "k": 2, "x_mask": 1, "t0": 1}, [0.0] * 64),
        ({"opcode": Opcode.KRAUS, "k": 7, "x_mask": 1, "t0": 1}, [0.0] * 65536),
    ],
)
def test_the_binding_refuses_what_the_engine_cannot_run(fields: dict[str, int], pool: list[float]) -> None:
    rows = np.zeros(1, dtype=INSTRUCTION)
    rows["slot"] = -1
    for name, value in fields.items():
        rows[name] = value
    with pytest.raises(ValueError):
        core.Plan(rows, np.array(pool), np.zeros(0, dtype=TERM), 2, 1, 0, True)
