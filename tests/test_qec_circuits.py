"""Noisy circuits with measurements in their midst: our shots beside density matrices, and beside Stim's."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import reference

from ketgrad import noise
from ketgrad.errors import ArgumentError, ArgumentTypeError, CircuitError, ParameterError, WireError
from ketgrad.gates import find
from ketgrad.noise.channel import superoperator
from ketgrad.qec import (
    CircuitNoise,
    Code,
    NoisyCircuit,
    Rate,
    discrepancy,
    five_qubit,
    four_two_two,
    iceberg,
    logical_error_rate,
    memory,
    repetition,
    rotated_surface,
    sample,
    steane,
    stim_error_rate,
)

LEAST = 1e-6  # of a pooled p-value
CSS = [
    four_two_two(),
    steane(),
    repetition(3),
    repetition(3, "X"),
    iceberg(4),
    Code.from_stabilizers(["ZZII", "IIZZ", "XXXX"]),
]


def tail(statistic: float, freedom: int) -> float:
    """P(chi^2 > statistic), by Wilson and Hilferty's normal approximation."""
    z = ((statistic / freedom) ** (1 / 3) - 1 + 2 / (9 * freedom)) / math.sqrt(2 / (9 * freedom))
    return 0.5 * math.erfc(z / math.sqrt(2))


def distribution(circuit: NoisyCircuit) -> dict[str, float]:
    """Exact probabilities of all records, by density matrices and every branch."""
    n = circuit.n_wires
    start = np.zeros((2**n, 2**n), dtype=complex)
    start[0, 0] = 1
    branches = {"": start}
    for op in circuit.ops:
        if op.kind == "measure":
            new = {}
            for record, rho in branches.items():
                for bits in itertools.product("01", repeat=len(op.wires)):
                    projector = reference.projector(n, "".join(bits), op.wires)
                    kept = projector @ rho @ projector
                    for wire, bit in zip(op.wires, bits, strict=True):
                        if op.argument and bit == "1":
                            x = reference.word(n, {wire: "X"})
                            kept = x @ kept @ x
                    new[record + "".join(bits)] = kept
            branches = {r: rho for r, rho in new.items() if rho.trace().real > 1e-14}
            continue
        if op.kind == "gate":
            matrices = [find(op.argument[0]).matrix(*op.argument[1])]
        else:
            matrices = list(op.argument.kraus)
        full = [reference.embed(m, op.wires, n) for m in matrices]
        branches = {r: sum(k @ rho @ k.conj().T for k in full) for r, rho in branches.items()}
    return {r: float(rho.trace().real) for r, rho in branches.items()}


def assert_agree(circuit: NoisyCircuit, shots: int, seed: int, backend: str | None = None) -> None:
    """Weighted frequencies of all records against their probabilities, pooled."""
    wanted = distribution(circuit)
    assert sum(wanted.values()) == pytest.approx(1)
    found = sample(circuit, shots, seed, backend=backend)
    records = ["".join(map(str, row)) for row in found.measurements.astype(int)]
    assert set(records) <= set(wanted)
    statistic = freedom = 0
    for record, p in wanted.items():
        hits = np.array([r == record for r in records]) * found.weights
        spread = max(hits.std(), math.sqrt(p * (1 - p)))
        if p * shots > 5 and spread > 0:
            statistic += (hits.mean() - p) ** 2 * shots / spread**2
            freedom += 1
    assert freedom > 3
    assert tail(statistic, freedom) > LEAST


def small(channel1, channel2) -> NoisyCircuit:
    """Three wires, of which one is measured twice."""
    circuit = NoisyCircuit(3).gate("h", 0).channel(channel1, 0).gate("cx", 0, 1).gate("ry", 2, angles=[0.7])
    circuit.channel(channel2, 2, 0).gate("crx", 0, 2, angles=[1.1])
    circuit.measure([2])
    circuit.channel(channel1, 1).gate("cx", 1, 2).gate("t", 0).gate("h", 0).channel(channel1, 2)
    circuit.measure([2, 1], reset=False)
    circuit.gate("cx", 2, 0).gate("sx", 1)
    circuit.measure([1, 0], reset=False)
    return circuit


def test_records_have_their_probabilities(backend):
    assert_agree(small(noise.depolarizing(0.2), noise.depolarizing(0.3, 2)), 4000, 1, backend)
    assert_agree(small(noise.over_rotation("Y", 0.5), noise.over_rotation("XZ", 0.8)), 4000, 2, backend)
    damping = noise.amplitude_damping(0.3)  # operators that are not unitary: shots have weights
    assert_agree(small(damping, noise.depolarizing(0.1, 2)), 4000, 3, backend)
    weights = sample(small(damping, noise.depolarizing(0.1, 2)), 4000, 3).weights
    assert weights.std() > 0.1 and abs(weights.mean() - 1) < 5 * weights.std() / math.sqrt(4000)


def test_states_are_shared_and_seeds_repeat():
    circuit = memory(repetition(3), 4, CircuitNoise())
    found = sample(circuit, 1000, 3)
    assert found.n_states == 5  # no fault, no random outcome: one state in each segment
    noisy = memory(repetition(3), 2, CircuitNoise.uniform(0.05))
    a, b, c = (sample(noisy, 300, seed) for seed in (4, 4, 5))
    assert (a.measurements == b.measurements).all() and (a.measurements != c.measurements).any()
    assert a.n_states < 900
    single = sample(noisy, 300, 4, dtype="complex64")
    assert (single.measurements == a.measurements).mean() > 0.999


def test_little_memory_changes_no_distribution(monkeypatch):
    from ketgrad.qec import simulate

    monkeypatch.setattr(simulate, "KEPT_BYTES", 16 * 4 * 100)  # a hundred states of the two qubits left
    monkeypatch.setattr(simulate, "CHUNK_BYTES", 16 * 8 * 2)
    assert_agree(small(noise.bit_flip(0.2), noise.depolarizing(0.3, 2)), 2000, 6)


@pytest.mark.parametrize("basis", ["X", "Z"])
@pytest.mark.parametrize("code", CSS, ids=str)
def test_without_noise_nothing_is_detected(code, basis):
    circuit = memory(code, 3, CircuitNoise(), basis)
    found = sample(circuit, 50, 7)
    assert not found.detectors.any() and not found.observables.any()
    kinds = sum(basis in s for s in code.stabilizers)
    assert found.detectors.shape[1] == 2 * len(code.stabilizers) + 2 * kinds
    assert found.observables.shape[1] == code.k


def test_surface_code_of_seventeen_qubits():
    circuit = memory(rotated_surface(3), 2, CircuitNoise())
    found = sample(circuit, 30, 8)
    assert circuit.n_wires == 17
    assert not found.detectors.any() and not found.observables.any()
    assert found.n_states <= 33  # one, then at most 2^4 outcomes of the X checks, the same ever after


def test_every_single_fault_is_seen_as_stim_sees_it():
    """Detectors and observables of all Pauli faults at all places, one at a time, beside Stim's error model."""
    stim = pytest.importorskip("stim")
    code = Code.from_stabilizers(["ZZII", "IIZZ", "XXXX"], "four qubits")
    places = memory(code, 2, CircuitNoise.uniform(0.1)).ops
    for k, op in enumerate(places):
        if op.kind != "channel":
            continue
        for word in list(op.argument.pauli_probabilities)[1:]:
            circuit = memory(code, 2, CircuitNoise.uniform(0.1))
            circuit.ops = [o for j, o in enumerate(circuit.ops) if o.kind != "channel" or j == k]
            where = circuit.ops.index(op)
            circuit.ops[where] = op._replace(argument=noise.pauli({word: 1.0}))
            found = sample(circuit, 3, 9)
            model = stim.Circuit(circuit.to_stim()).compile_detector_sampler(seed=1)
            detectors, observables = model.sample(1, separate_observables=True)
            assert (found.detectors == detectors).all(), (k, word)
            assert (found.observables == observables).all(), (k, word)


def test_repetition_code_agrees_with_stim_and_pymatching():
    pytest.importorskip("stim")
    pytest.importorskip("pymatching")
    statistic = freedom = 0
    for seed, (d, p) in enumerate([(3, 0.03), (3, 0.08)]):
        found = discrepancy(memory(repetition(d), 3, CircuitNoise.uniform(p)), 2000, 200_000, seed=seed)
        assert found.exact.value > 0 and "sigma" in str(found)
        statistic, freedom = statistic + found.sigmas**2, freedom + 1
    assert tail(statistic, freedom) > LEAST


def test_surface_code_agrees_with_stim_and_pymatching():
    stim = pytest.importorskip("stim")
    pytest.importorskip("pymatching")
    circuit = memory(rotated_surface(3), 2, CircuitNoise.uniform(0.02))
    assert len(stim.Circuit(circuit.to_stim()).shortest_graphlike_error()) == 3
    found = sample(circuit, 250, 10, dtype="complex64")
    sampler = stim.Circuit(circuit.to_stim()).compile_detector_sampler(seed=11)
    rates = sampler.sample(100_000).mean(axis=0)
    z = (found.detectors.mean(axis=0) - rates) / np.sqrt(rates * (1 - rates) / 250)
    assert tail(float(z @ z), 2 * len(z)) > LEAST  # detectors correlate: count them twice over
    ours = logical_error_rate(circuit, 250, 10, dtype="complex64")
    theirs = stim_error_rate(circuit, 100_000, 12)
    assert abs(ours.value - theirs.value) < 5 * math.hypot(ours.error, theirs.error)


def test_coherent_noise_is_not_its_twirl():
    """Over-rotations add up between rounds, where Stim's twirl adds probabilities."""
    pytest.importorskip("pymatching")
    noisy = CircuitNoise(idle=noise.over_rotation("X", 0.3), gate2=noise.over_rotation("IX", 0.3))
    circuit = memory(repetition(3), 3, noisy)
    assert not circuit.is_pauli and memory(repetition(3), 3, noisy.twirled()).is_pauli
    found = discrepancy(circuit, 4000, 200_000, seed=13)
    assert found.sigmas > 5 and found.difference > 0
    twirled = discrepancy(memory(repetition(3), 3, noisy.twirled()), 4000, 200_000, seed=13)
    assert abs(twirled.sigmas) < 5


def test_text_for_stim():
    circuit = NoisyCircuit(3).gate("h", 0).gate("cx", 0, 1).gate("cx", 1, 2).channel(noise.depolarizing(0.01), 1)
    circuit.channel(noise.phase_flip(0.25), 2).channel(noise.depolarizing(0.15, 2), 0, 2)
    circuit.channel(noise.pauli({"XZ": 0.25}), 2, 1).channel(noise.over_rotation("Y", math.pi / 2), 0)
    circuit.channel(noise.pauli({"X": 0.1, "Z": 0.2}), 0).channel(noise.depolarizing(0.0), 0).channel(None, 0)
    first = circuit.measure([0, 2])
    circuit.detector(first).gate("sdg", 1)
    circuit.observable(circuit.measure([1], reset=False))
    assert circuit.to_stim().splitlines() == [
        "H 0",
        "CX 0 1 1 2",
        "DEPOLARIZE1(0.01) 1",
        "Z_ERROR(0.25) 2",
        "DEPOLARIZE2(0.15) 0 2",
        "PAULI_CHANNEL_2(0, 0, 0, 0, 0, 0, 0.25, 0, 0, 0, 0, 0, 0, 0, 0) 2 1",
        "Y_ERROR(0.5) 0",
        "PAULI_CHANNEL_1(0.1, 0, 0.2) 0",
        "MR 0 2",
        "S_DAG 1",
        "M 1",
        "DETECTOR rec[-3] rec[-2]",
        "OBSERVABLE_INCLUDE(0) rec[-1]",
    ]


@pytest.mark.parametrize("name", ["i", "x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "cx", "cy", "cz", "swap", "iswap"])
def test_gates_are_stims(name):
    stim = pytest.importorskip("stim")
    k = find(name).wires
    theirs = stim.Circuit(NoisyCircuit(k).gate(name, *range(k)).to_stim()).to_tableau()
    ours = find(name).matrix()
    wanted = theirs.to_unitary_matrix(endian="big")
    assert abs(np.trace(ours.conj().T @ wanted)) == pytest.approx(2**k, abs=1e-5)


def test_figure_of_rates():
    pytest.importorskip("matplotlib")
    from ketgrad import plots

    p = [0.01, 0.1]
    figure = plots.error_rates(
        p, {"exact": np.array([1e-3, 0.05]), "shots": [Rate(1e-3, 1e-4, 10), Rate(0.1, 0.01, 10)]}
    )
    (axes,) = figure.axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["exact", "no code", "shots"]
    with pytest.raises(ParameterError, match="2 error rates"):
        plots.error_rates(p, {"short": [0.1]})


def test_rates():
    few = Rate.of(np.array([True, False, False, False]))
    assert few.value == 0.25 and few.error == pytest.approx(math.sqrt(3) / 8)
    none = Rate.of(np.zeros(99, dtype=bool))
    assert none.value == 0 and none.error == pytest.approx(math.sqrt(0.0099 / 99))
    weighted = Rate.of(np.array([True, False]), np.array([0.5, 1.5]))
    assert weighted.value == 0.25 and "2 shots" in str(weighted)


def test_twirl_of_a_specification():
    given = CircuitNoise(gate1=0.1, idle=noise.over_rotation("Z", 0.2), measure=noise.amplitude_damping(0.1), reset=0.0)
    twirl = given.twirled()
    assert given.reset is None and twirl.gate2 is None and given.gate1 == noise.depolarizing(0.1)
    assert twirl.idle.pauli_probabilities["Z"] == pytest.approx(math.sin(0.1) ** 2)
    assert np.allclose(superoperator(twirl.gate1.kraus), superoperator(given.gate1.kraus))


def refusals():
    circuit = NoisyCircuit(2)
    yield ArgumentTypeError, "channel or a probability", lambda: CircuitNoise(gate1="x")
    yield CircuitError, "2 wires is wanted", lambda: CircuitNoise(gate2=noise.bit_flip(0.1))
    yield CircuitError, "trace-preserving", lambda: circuit.channel(noise.projection(0), 0)
    yield CircuitError, "its number of wires", lambda: circuit.channel(noise.bit_flip(0.1), 0, 1)
    yield WireError, "out of range", lambda: circuit.gate("x", 2)
    yield WireError, "distinct", lambda: circuit.measure([0, 0])
    yield CircuitError, "0 measurements so far", lambda: circuit.detector([0])
    yield CircuitError, "no Clifford gate", lambda: NoisyCircuit(1).gate("t", 0).to_stim()
    yield CircuitError, "one and two", lambda: NoisyCircuit(3).channel(noise.depolarizing(0.1, 3), 0, 1, 2).to_stim()
    yield ArgumentError, "Xs only and Zs only", lambda: memory(five_qubit(), 1, CircuitNoise())
    yield ArgumentError, "from 1 to", lambda: memory(steane(), 0, CircuitNoise())
    yield ArgumentError, "'X' or 'Z'", lambda: memory(steane(), 1, CircuitNoise(), "Y")
    mixed = Code("c", ("ZZ",), ("XX",), ("YX",))
    yield ArgumentError, "the logical Z is YX", lambda: memory(mixed, 1, CircuitNoise())
    yield ArgumentError, "measures nothing", lambda: sample(circuit, 10)
    words = (("ZZ", "XX"), (), ())
    yield CircuitError, "same layer", lambda: Code("c", *words, ((0, 1), (0, 1)))
    yield CircuitError, "entangles", lambda: Code("c", *words, ((0, 1), (1, 0)))
    yield CircuitError, "a row for each", lambda: Code("c", *words, ((0, 1),))


@pytest.mark.parametrize(("error", "text", "call"), [*refusals()], ids=lambda v: v if isinstance(v, str) else "")
def test_refusals(error, text, call):
    with pytest.raises(error, match=text):
        call()
