"""The Numba engine's tiles: tiny ones on small circuits must agree with instruction by instruction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from conftest import BACKENDS
from hypothesis import given, settings
from hypothesis import strategies as st
from tile_cases import DRAWS, TOLERANCE, everything, layered, random_unitary

import ketgrad as kg

if "numba" not in BACKENDS:
    pytest.skip("the Numba backend is not tested", allow_module_level=True)

from ketgrad.backends import numba_backend, numba_large, numba_passes

GROUP = 128  # bytes of a tile without rows
OPTIONS = {
    "tiled": (numba_backend, "TILED_BITS"),
    "tile": (numba_large, "TILE_BYTES"),
    "joined": (numba_passes, "MAX_JOINED"),
    "cost": (numba_passes, "MAX_COST"),
    "left": (numba_passes, "WINDOW_LEFT"),
}


@contextmanager
def chosen(**options: int) -> Iterator[None]:
    """Models compiled in here have these sizes."""
    before = {name: getattr(*OPTIONS[name]) for name in options}
    try:
        for name, value in options.items():
            setattr(*OPTIONS[name], value)
        yield
    finally:
        for name, value in before.items():
            setattr(*OPTIONS[name], value)


ROWS = {"tiled": 64}  # no tiles and no blocks


def close(ours: list[np.ndarray], wanted: list[np.ndarray], dtype: str) -> None:
    for a, b in zip(ours, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE[dtype] * max(1.0, np.abs(b).max(initial=0)))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["complex128", "complex64"]),
    st.sampled_from([0, 1, 2, 3, 30]),  # row bits of a tile
    st.sampled_from([{}, {"joined": 1}, {"cost": 1}, {"left": 1}]),
)
@settings(max_examples=DRAWS)
def test_tiles_agree_with_instruction_by_instruction(seed, dtype, rows, options):
    with chosen(tiled=1, tile=GROUP << rows, **options):
        ours = everything(seed, dtype, "numba")
    with chosen(**ROWS):
        close(ours, everything(seed, dtype, "numba"), dtype)


def plan(model: kg.Model) -> list:
    return model._ready().plan._steps


def test_a_rotation_and_the_gate_after_it_are_one_block():
    steps = plan(kg.compile(layered(20, 4), [kg.Z(0)], backend="numba"))
    blocks = [len(step._blocks) for step in steps]
    assert sum(blocks) <= 84  # 240 rotations and 80 CNOTs; the last CNOT of a ring finds its rotation elsewhere
    assert len(blocks) <= 8  # a layer needs two passes at least: 20 qubits, of which a tile has 14
    circuit = kg.Circuit(20)
    for q in range(19):
        circuit.rxx(0.1, q, q + 1).ryy(0.2, q, q + 1).rzz(0.3, q, q + 1)
    steps = plan(kg.compile(circuit, [kg.Z(0)], backend="numba"))
    assert sum(len(step._blocks) for step in steps) == 19


def test_a_wide_gate_runs_on_the_whole_state(rng):
    circuit = kg.Circuit(8)
    w = circuit.weights(2)
    circuit.ry(w[0], 0).unitary(random_unitary(rng, 3), [0, 2, 4]).double_excitation(w[1], 0, 1, 2, 3)
    found = []
    for options, wide in (({"tiled": 1, "tile": GROUP << 1}, 2), (ROWS, 1)):
        with chosen(**options):
            model = kg.compile(circuit, [kg.Z(0)], backend="numba")
            assert sum(isinstance(step, tuple) for step in plan(model)) >= wide
            values, pullback = model.forward([0.3, 0.7])
            found.append([values, pullback([1.0]).weights])
    close(*found, "complex128")


def test_batches_and_several_observables_of_states_in_tiles(dtype, rng):
    circuit = kg.Circuit(10)
    w, x = circuit.weights((10, 2)), circuit.inputs(10)
    for q in range(10):
        circuit.ry(x[q], q).rz(w[q, 0], q).crx(w[q, 1], q, (q + 3) % 10).rzz(x[q], q, (q + 1) % 10)
    weights, inputs, found = rng.uniform(-3, 3, 20), rng.uniform(-3, 3, (3, 10)), []
    for options in ({"tile": GROUP << 3}, ROWS):
        with chosen(**options):
            model = kg.compile(circuit, [kg.Z(q) for q in range(6)], dtype=dtype, backend="numba")
            jacobian = model.jacobian(weights, inputs)
            found.append([model(weights, inputs), jacobian.weights, jacobian.inputs])
    close(*found, dtype)


def test_the_number_of_threads_changes_no_bit_of_tiles(dtype, threads, rng):
    weights, found = rng.normal(size=72), set()
    with chosen(tile=GROUP << 4):
        model = kg.compile(layered(12, 2), [kg.Z(0), kg.X(11) @ kg.Y(3)], dtype=dtype, backend="numba")
        for count in (1, 2, 3, 8):
            kg.set_num_threads(count)
            values, pullback = model.forward(weights)
            found.add((values.tobytes(), pullback([1.0, 0.5]).weights.tobytes(), model.state(weights).tobytes()))
    assert len(found) == 1
