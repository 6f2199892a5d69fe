"""Large states in tiles: tiny tiles on small circuits must agree with gate by gate and with the dense oracle."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tile_cases import DRAWS, TOLERANCE, everything, layered, random_unitary

import ketgrad as kg

_core = pytest.importorskip("ketgrad._core")

GATE_BY_GATE = (3, 11, 64, 7)
TILINGS = (  # row bits, tile bits, least bits, chunk bits
    (0, 1, 1, 1),
    (0, 2, 1, 1),
    (1, 2, 1, 7),
    (1, 4, 1, 2),
    (2, 3, 1, 1),
    (0, 4, 1, 2),
    (0, 40, 1, 3),
)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = _core.tiling()
    yield
    _core.set_tiling(*before)


def tiled(seed: int, dtype: str, tiling: tuple[int, ...], batch: int | None = None) -> list[np.ndarray]:
    """Everything, with tiles of one size."""
    _core.set_tiling(*tiling)
    return everything(seed, dtype, "native", batch)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["complex128", "complex64"]), st.sampled_from(TILINGS))
@settings(max_examples=DRAWS)
def test_tiles_agree_with_gate_by_gate(seed, dtype, tiling):
    for ours, wanted in zip(tiled(seed, dtype, tiling), tiled(seed, dtype, GATE_BY_GATE), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=TOLERANCE[dtype] * max(1.0, np.abs(wanted).max()))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["complex128", "complex64"]),
    st.integers(3, 20),
    st.sampled_from([1, 2, 7]),
)
@settings(max_examples=DRAWS)
def test_samples_as_lanes_agree_with_gate_by_gate(seed, dtype, batch, chunk_bits):
    found = zip(tiled(seed, dtype, (3, 11, 6, chunk_bits), batch), tiled(seed, dtype, GATE_BY_GATE, batch), strict=True)
    for ours, wanted in found:
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=TOLERANCE[dtype] * max(1.0, np.abs(wanted).max()))


def passes(model: kg.Model) -> list[dict]:
    return model._ready().plan.choice(1)["passes"]


def test_permutations_and_phases_cost_no_pass_of_their_own():
    model = kg.compile(layered(20, 4), [kg.Z(0)], backend="native")
    plan = passes(model)
    assert len(plan) <= 6  # a layer needs two at least: 20 qubits, of which a tile has 14
    assert sum(p["turns"] + p["lane_turns"] for p in plan) == 80  # three rotations of a qubit are one turn
    circuit = kg.Circuit(20)
    for q in range(20):
        circuit.x(q).cx(q, (q + 1) % 20)
    assert len(passes(kg.compile(circuit.h(3), [kg.Z(0)], backend="native"))) == 1


def test_a_plan_is_printed():
    text = kg.compile(layered(20, 4), [kg.Z(0)], backend="native").plan(bandwidth=2e10, lane_rate=1e11)
    assert "20 qubits, 320 gates: 4 passes over 16.0 MiB" in text
    assert "1 of 64 tiles of 256.0 KiB: " in text  # from |0...0>, the first pass finds one tile
    assert text.splitlines()[-1].startswith("ideal ")
    small = kg.compile(layered(6, 2), [kg.Z(0)], backend="native")
    assert small.plan().startswith("6 qubits, 48 gates: gate by gate")
    text = small.plan(batch=20)
    assert "20 samples as lanes, 3 x 8 at once (estimated" in text and "12 turns in " in text


def test_a_wide_gate_runs_on_the_whole_state():
    _core.set_tiling(0, 1, 1)
    rng = np.random.default_rng(3)
    circuit = kg.Circuit(8)
    w = circuit.weights(2)
    circuit.ry(w[0], 0).unitary(random_unitary(rng, 3), [0, 2, 4]).double_excitation(w[1], 0, 1, 2, 3)
    tiled = kg.compile(circuit, [kg.Z(0)], backend="native")
    assert [p["whole"] for p in passes(tiled)].count(True) == 2
    values, pullback = tiled.forward([0.3, 0.7])
    _core.set_tiling(*GATE_BY_GATE)
    wanted, pullback_wanted = kg.compile(circuit, [kg.Z(0)], backend="native").forward([0.3, 0.7])
    np.testing.assert_allclose(values, wanted, atol=1e-12)
    np.testing.assert_allclose(pullback([1.0]).weights, pullback_wanted([1.0]).weights, atol=1e-12)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("count", range(4, 13))
def test_gradients_of_blocks_of_turns(count, dtype):
    rng = np.random.default_rng(count)
    circuit = kg.Circuit(12)
    for q, angle in enumerate(circuit.weights(count)):
        circuit.ry(angle, q)
    model = kg.compile(circuit, [kg.Z(q) for q in range(count)], dtype=dtype)
    for _ in range(5):
        angles = rng.uniform(-7, 7, count)
        gradient = model.forward(angles)[1](np.ones(count)).weights
        np.testing.assert_allclose(gradient, -np.sin(angles), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_the_number_of_threads_changes_no_bit(dtype):
    model = kg.compile(layered(18, 2), [kg.Z(0), kg.X(17) @ kg.Y(3)], dtype=dtype, backend="native")
    w = np.random.default_rng(0).normal(size=108)
    threads, found = kg.backend_info()["threads"], []
    try:
        for count in (1, 2, 3, 8):
            kg.set_num_threads(count)
            values, pullback = model.forward(w)
            found.append((values.tobytes(), pullback([1.0, 0.5]).weights.tobytes(), model.state(w).tobytes()))
    finally:
        kg.set_num_threads(threads)
    assert len(set(found)) == 1


def test_bad_sizes_of_tiles_are_refused():
    for sizes in ((-1, 2, 3), (3, 2, 1), (0, 1, 65)):
        with pytest.raises(ValueError, match="tile"):
            _core.set_tiling(*sizes)


@pytest.mark.parametrize("tiling", [(3, 11, 8, 7), (4, 6, 1, 7), (0, 3, 1, 1), *TILINGS])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_many_moves_at_once(dtype, tiling):
    _core.set_tiling(*tiling)
    n, rng = 13, np.random.default_rng(5)
    circuit, bits = kg.Circuit(n), (np.arange(1 << n)[:, None] >> np.arange(n)[::-1]) & 1  # bits[:, 0]: the first wire
    for _ in range(80):
        control, target = (int(w) for w in rng.permutation(n)[:2])
        circuit.cx(control, target).x(control)
        bits[:, target] ^= bits[:, control]
        bits[:, control] ^= 1
    to = bits @ (1 << np.arange(n)[::-1])
    start = (rng.normal(size=1 << n) + 1j * rng.normal(size=1 << n)).astype(dtype)
    start /= np.linalg.norm(start)
    model = kg.compile(circuit, [kg.Z(0)], dtype=dtype, backend="native")
    wanted = np.empty_like(start)
    wanted[to] = start
    np.testing.assert_array_equal(model.state(initial=start), wanted)
    bras = rng.normal(size=1 << n) + 1j * rng.normal(size=1 << n)
    _, pullback = model.forward(initial=start)
    pulled = pullback([0.0], bras=bras, to_initial=True)
    np.testing.assert_array_equal(pulled.initial, bras.astype(dtype)[to])


@pytest.mark.parametrize("entangle", ["cx", "cz"])
def test_a_deep_circuit_keeps_its_norm_in_single_precision(entangle):
    n, rng = 13, np.random.default_rng(3)
    circuit = kg.Circuit(n)
    for _ in range(60):
        for q in range(n):
            circuit.append("rx" if entangle == "cx" else "ry", [0.3 + 0.5 * rng.normal()], [q])
        for q in range(n):
            circuit.append(entangle, (), [q, (q + 1) % n])
    state = kg.compile(circuit, [kg.Z(0)], dtype="complex64", backend="native").state()
    assert abs(np.vdot(state.astype(complex), state.astype(complex)).real - 1) < 1e-5


def test_large_cotangents_do_not_overflow_single_precision():
    circuit = kg.Circuit(16)
    for q, angle in enumerate(circuit.weights(16)):
        circuit.ry(angle, q)
    model = kg.compile(circuit, [kg.Z(0) + kg.Z(15)], dtype="complex64", backend="native")
    gradient = model.forward(np.full(16, 2.4))[1]([1e29]).weights
    np.testing.assert_allclose(gradient[[0, 15]], -1e29 * np.sin(2.4), rtol=1e-5)
