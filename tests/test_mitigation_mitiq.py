"""The executor for Mitiq: Cirq circuits are read right, and Mitiq's own methods run on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ketgrad as kg
from ketgrad import noise
from ketgrad.errors import ArgumentError, ArgumentTypeError
from ketgrad.mitigation import executor, from_cirq

pytestmark = pytest.mark.filterwarnings("default")  # the other packages have warnings of their own
MODEL = noise.NoiseModel().after(noise.depolarizing(0.02))


def test_the_executor_needs_neither_cirq_nor_mitiq() -> None:
    run = executor(kg.Z(0), MODEL)
    assert run.__annotations__["return"] == list[float]
    with pytest.raises(ArgumentTypeError, match=r"expected a cirq\.Circuit, got str"):
        run(["circuit"])
    with pytest.raises(ArgumentTypeError, match="observable such as"):
        executor("Z")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="shots must be from 1"):
        executor(kg.Z(0), shots=0)


def random_circuit(cirq: Any, rng: np.random.Generator) -> Any:
    q = cirq.LineQubit.range(3)
    gates = [cirq.H, cirq.S, cirq.T, cirq.X, cirq.Y**0.3, cirq.rx(0.7), cirq.ry(-2.5), cirq.rz(4.0), cirq.X**0.5]
    pairs = [cirq.CNOT, cirq.CZ, cirq.ISWAP, cirq.SWAP, cirq.CNOT**0.5, cirq.XX(q[0], q[1]).gate]
    out = cirq.Circuit()
    for _ in range(20):
        out.append(gates[rng.integers(len(gates))](q[rng.integers(3)]))
        a, b = rng.choice(3, 2, replace=False)
        out.append(pairs[rng.integers(len(pairs))](q[a], q[b]))
    out.append(cirq.TOFFOLI(*q))
    return out


def test_cirq_circuits_are_read_right(rng: np.random.Generator) -> None:
    cirq = pytest.importorskip("cirq")
    for _ in range(5):
        circuit = random_circuit(cirq, rng)
        state = cirq.Simulator(dtype=np.complex128).simulate(circuit).final_state_vector
        found = kg.compile(from_cirq(circuit)).state()
        assert abs(np.vdot(state, found)) == pytest.approx(1, abs=1e-6)
    q = cirq.NamedQubit.range(2, prefix="q")
    named = from_cirq(cirq.Circuit(cirq.H(q[1]), cirq.CNOT(q[1], q[0]), cirq.rz(0.3)(q[0]), cirq.measure(*q)))
    assert [(g.spec.name, g.wires) for g in named.gates] == [("h", (1,)), ("cx", (1, 0)), ("rz", (0,))]
    assert from_cirq(cirq.Circuit(cirq.H(q[0])), 3).n_wires == 3
    noisy = cirq.Circuit(cirq.H(q[0]), cirq.amplitude_damp(0.3)(q[0]), cirq.depolarize(0.1)(q[1]))
    wanted = cirq.DensityMatrixSimulator(dtype=np.complex128).simulate(noisy).final_density_matrix
    np.testing.assert_allclose(kg.compile(from_cirq(noisy)).density_matrix(), wanted, atol=1e-7)  # type: ignore[attr-defined]
    with pytest.raises(ArgumentError, match="neither a unitary nor a channel"):
        from_cirq(cirq.Circuit(cirq.rx(__import__("sympy").Symbol("a"))(q[0])))


def ladder(cirq: Any) -> Any:
    """A circuit of 24 gates that gives <Z Z> = 1 without noise."""
    q = cirq.LineQubit.range(2)
    half = cirq.Circuit([cirq.H(q[0]), cirq.CNOT(*q), cirq.T(q[1]), cirq.ry(0.4)(q[0]), cirq.CZ(*q), cirq.S(q[0])] * 2)
    return half + cirq.inverse(half)


def test_mitiq_extrapolates_on_it() -> None:
    cirq, mitiq_zne = pytest.importorskip("cirq"), pytest.importorskip("mitiq.zne")
    run, circuit = executor(kg.Z(0) @ kg.Z(1), MODEL), ladder(cirq)
    raw = run(circuit)
    assert run([circuit, circuit]) == [raw, raw] and raw < 0.8
    factory = mitiq_zne.RichardsonFactory([1, 3, 5])
    found = mitiq_zne.execute_with_zne(circuit, run, factory=factory, scale_noise=mitiq_zne.scaling.fold_global)
    ours = kg.mitigation.zne(from_cirq(circuit), kg.Z(0) @ kg.Z(1), MODEL, scales=(1, 3, 5))()[0]
    assert found == pytest.approx(ours, abs=1e-6) and abs(found - 1) < 0.5 * abs(raw - 1)
    gates = mitiq_zne.execute_with_zne(circuit, run, factory=factory, scale_noise=mitiq_zne.scaling.fold_all)
    own = kg.mitigation.zne(from_cirq(circuit), kg.Z(0) @ kg.Z(1), MODEL, scales=(1, 3, 5), folding="gates")()[0]
    assert gates == pytest.approx(own, abs=1e-6)


def test_mitiq_cancels_on_it() -> None:
    """Words that Mitiq inserts come without noise here, as its representations assume: the rules name other gates."""
    cirq, mitiq_pec = pytest.importorskip("cirq"), pytest.importorskip("mitiq.pec")
    q = cirq.LineQubit.range(2)
    half = cirq.Circuit([cirq.H(q[0]), cirq.CNOT(*q), cirq.S(q[0]), cirq.H(q[1])] * 2)
    circuit = half + cirq.inverse(half)
    local = noise.depolarizing(0.02)
    model = noise.NoiseModel().after(local, ["h", "s", "sdg"]).after(local, ["cx"], on="each")
    run = executor(kg.Z(0) @ kg.Z(1), model)
    raw = run(circuit)
    given = mitiq_pec.represent_operations_in_circuit_with_local_depolarizing_noise(circuit, 0.02)
    found, data = mitiq_pec.execute_with_pec(
        circuit, run, representations=given, num_samples=600, random_state=5, full_output=True
    )
    assert abs(found - 1) < min(5 * data["pec_error"], 0.3 * abs(raw - 1))
    ours = kg.mitigation.pec(from_cirq(circuit), kg.Z(0) @ kg.Z(1), model, samples=600, seed=5)
    assert abs(ours()[0] - 1) < 0.3 * abs(raw - 1)
