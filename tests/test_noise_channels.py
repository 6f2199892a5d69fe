"""Channels: completely positive and trace-preserving, exact derivatives, powers, composition, lowering, refusals."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ketgrad as kg
from ketgrad import noise
from ketgrad.errors import ArgumentTypeError, CircuitError, GateMatrixError, NotDifferentiableError, WireError
from ketgrad.lowering import lower
from ketgrad.noise.matrices import kraus_of, paulis, superoperator
from ketgrad.program import Opcode

P = st.floats(0.001, 0.3)
ANGLE = st.floats(-3, 3)
WORDS2 = st.lists(st.sampled_from(paulis(2)[0][1:]), min_size=1, max_size=3, unique=True)


@st.composite
def basic(draw, wires: int | None = None):
    """A channel of the library with random strengths."""
    k = wires or draw(st.integers(1, 2))
    if k == 2:
        kind = draw(st.integers(0, 2))
        if kind == 0:
            return noise.depolarizing(draw(P), 2)
        if kind == 1:
            return noise.over_rotation(draw(st.sampled_from(["ZZ", "XY", "IZ"])), draw(ANGLE))
        return noise.pauli({w: draw(P) for w in draw(WORDS2)})
    makers = [
        lambda: noise.bit_flip(draw(P)),
        lambda: noise.phase_flip(draw(P)),
        lambda: noise.bit_phase_flip(draw(P)),
        lambda: noise.depolarizing(draw(P)),
        lambda: noise.amplitude_damping(draw(P)),
        lambda: noise.generalized_amplitude_damping(draw(P), draw(st.floats(0.001, 0.999))),
        lambda: noise.phase_damping(draw(P)),
        lambda: noise.thermal_relaxation(draw(st.floats(20, 90)), draw(st.floats(1, 40)), draw(P), draw(P)),
        lambda: noise.reset_error(draw(P), draw(P)),
        lambda: noise.over_rotation("Y", draw(ANGLE)),
        lambda: noise.pauli({"X": draw(P), "Y": draw(P), "Z": draw(P)}),
    ]
    return makers[draw(st.integers(0, len(makers) - 1))]()


@st.composite
def channels(draw):
    """A channel, a composition of two, or a twirl."""
    first = draw(basic())
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(basic(first.n_wires)) @ first
    return first.twirled() if kind == 1 else first


def random_state(d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(d, d)) + 1j * rng.normal(size=(d, d))
    rho = a @ a.conj().T
    return rho / np.trace(rho)


@given(channels())
def test_channels_are_completely_positive_and_keep_the_trace(channel):
    d = 2**channel.n_wires
    total = np.einsum("mji,mjk->ik", channel.kraus.conj(), channel.kraus)
    np.testing.assert_allclose(total, np.eye(d), atol=1e-12)
    assert channel.probabilities.sum() == pytest.approx(1, abs=1e-12) and (channel.probabilities > 0).all()
    np.testing.assert_allclose(
        channel.kraus, np.sqrt(channel.probabilities)[:, None, None] * channel.operators, atol=1e-14
    )
    likeness = np.abs(np.einsum("mii->m", channel.kraus))
    assert likeness[0] >= likeness.max() - 1e-12
    assert (np.diff(channel.probabilities[1:]) <= 1e-15).all()
    rho = random_state(d)
    out = (channel.superoperator() @ rho.reshape(-1)).reshape(d, d)
    np.testing.assert_allclose(out, sum(k @ rho @ k.conj().T for k in channel.kraus), atol=1e-13)


EACH = [
    noise.bit_flip(0.1),
    noise.phase_flip(0.2),
    noise.bit_phase_flip(0.05),
    noise.depolarizing(0.3),
    noise.depolarizing(0.2, 2),
    noise.pauli({"X": 0.1, "Y": 0.05, "Z": 0.2}),
    noise.amplitude_damping(0.3),
    noise.generalized_amplitude_damping(0.3, 0.1),
    noise.phase_damping(0.4),
    noise.thermal_relaxation(50.0, 70.0, 9.0, 0.1),
    noise.reset_error(0.1, 0.05),
    noise.over_rotation("XZ", 0.7),
    noise.amplitude_damping(0.2) @ noise.over_rotation("Y", 0.3) @ noise.mixture([1.0], [np.eye(2)[::-1]]),
    (noise.reset_error(0.1, 0.3) @ noise.bit_flip(0.1)).twirled(),
]


@pytest.mark.parametrize("channel", EACH, ids=repr)
def test_each_has_derivatives_and_powers(channel):
    check_derivatives(channel)
    if "@" not in channel.name and "twirled" not in channel.name:
        half = channel.scaled(0.5).superoperator()
        np.testing.assert_allclose(half @ half, channel.superoperator(), atol=1e-12)


@given(channels())
def test_derivatives_are_those_of_the_superoperator(channel):
    check_derivatives(channel)


def check_derivatives(channel):
    slopes = channel.derivatives()
    assert slopes.shape == (len(channel.strengths), 4**channel.n_wires, 4**channel.n_wires)
    for j, strength in enumerate(channel.strengths):
        step = 1e-4 * max(abs(strength), 1e-3)
        at = [list(channel.strengths) for _ in range(4)]
        for row, moves in zip(at, (-2, -1, 1, 2), strict=True):
            row[j] += moves * step
        a, b, c, d = (channel.family(*row).superoperator() for row in at)
        np.testing.assert_allclose((a - 8 * b + 8 * c - d) / (12 * step), slopes[j], atol=1e-7)


@given(channels())
def test_values_compare_and_survive_pickling(channel):
    twin = pickle.loads(pickle.dumps(channel))
    assert twin == channel == copy.deepcopy(channel) and hash(twin) == hash(channel)
    assert twin.kraus.tobytes() == channel.kraus.tobytes()
    if channel.strengths:
        assert channel.family(*channel.strengths) == channel
        assert channel != channel.family(*(0.9 * s + 1e-6 for s in channel.strengths))


@given(basic(), st.sampled_from([0.25, 0.5, 1.5, 2.0, 3.0]))
def test_scaling_is_a_power(channel, factor):
    try:
        scaled = channel.scaled(factor).superoperator()
    except GateMatrixError as error:  # X and Z but never Y: no such noise acts continuously
        assert channel.name == "pauli" and "negative" in str(error) and factor != int(factor)
        return
    np.testing.assert_allclose(
        np.linalg.matrix_power(scaled, 4), np.linalg.matrix_power(channel.superoperator(), int(4 * factor)), atol=1e-12
    )


@given(basic(), st.sampled_from([0.5, 2.0]))
def test_scaling_without_strengths_is_the_same_power(channel, factor):
    try:
        wanted = channel.scaled(factor).superoperator()
    except GateMatrixError:
        return
    if channel.name == "over_rotation" and abs(channel.strengths[0]) * factor > 3:
        return  # another branch of the root
    bare = noise.kraus(channel.kraus)
    np.testing.assert_allclose(bare.scaled(factor).superoperator(), wanted, atol=1e-7)


@given(basic(2), basic(2))
def test_composition_is_the_product_and_keeps_mixtures(second, first):
    both = second @ first
    np.testing.assert_allclose(both.superoperator(), second.superoperator() @ first.superoperator(), atol=1e-13)
    assert both.is_unitary_mixture and len(both.kraus) <= 16
    assert both.strengths == second.strengths + first.strengths


@given(channels())
def test_twirling_keeps_the_diagonal_of_the_pauli_transfer_matrix(channel):
    twirled = channel.twirled()
    assert twirled.is_pauli and twirled.is_unitary_mixture
    assert channel.is_pauli == bool(np.abs(twirled.superoperator() - channel.superoperator()).max() < 1e-12)
    _, matrices = paulis(channel.n_wires)
    basis = matrices.reshape(len(matrices), -1)
    diagonals = [np.einsum("pi,ij,pj->p", basis.conj(), c.superoperator(), basis).real for c in (twirled, channel)]
    np.testing.assert_allclose(*diagonals, atol=1e-12)
    for word, p in channel.pauli_probabilities.items():
        assert twirled.pauli_probabilities[word] == pytest.approx(p, abs=1e-14)


@given(channels())
def test_kraus_operators_follow_from_the_superoperator(channel):
    again = kraus_of(channel.superoperator())
    assert len(again) <= 4**channel.n_wires
    np.testing.assert_allclose(superoperator(again), channel.superoperator(), atol=1e-12)


def test_textbook_forms():
    """Nielsen and Chuang, section 8.3."""
    g = 0.3
    np.testing.assert_allclose(
        noise.amplitude_damping(g).superoperator(),
        superoperator(np.array([[[1, 0], [0, np.sqrt(1 - g)]], [[0, np.sqrt(g)], [0, 0]]], dtype=complex)),
        atol=1e-15,
    )
    rho = random_state(2)
    out = (noise.depolarizing(0.3).superoperator() @ rho.reshape(-1)).reshape(2, 2)
    np.testing.assert_allclose(out, 0.6 * rho + 0.4 * np.eye(2) / 2, atol=1e-15)
    out = (noise.depolarizing(15 / 16, 2).superoperator() @ random_state(4).reshape(-1)).reshape(4, 4)
    np.testing.assert_allclose(out, np.eye(4) / 4, atol=1e-15)
    lam = 0.36
    assert noise.phase_damping(lam).superoperator()[1, 1] == pytest.approx(0.8)
    np.testing.assert_allclose(
        noise.phase_damping(lam).superoperator(), noise.phase_flip((1 - np.sqrt(1 - lam)) / 2).superoperator()
    )
    t1, t2, t, e = 50.0, 70.0, 3.0, 0.1
    s = noise.thermal_relaxation(t1, t2, t, e).superoperator()
    assert s[1, 1] == pytest.approx(np.exp(-t / t2)) and s[0, 3] == pytest.approx((1 - e) * (1 - np.exp(-t / t1)))
    np.testing.assert_allclose(  # after all eternity only the equilibrium is left
        noise.thermal_relaxation(t1, t2, 1e6, e).superoperator()[:, 0], [1 - e, 0, 0, e], atol=1e-15
    )
    np.testing.assert_allclose(noise.reset().superoperator()[0], [1, 0, 0, 1])
    np.testing.assert_allclose(noise.reset_error(1.0).superoperator(), noise.reset().superoperator(), atol=1e-15)
    np.testing.assert_allclose(np.diag(noise.measurement().superoperator()), [1, 0, 0, 1], atol=1e-15)
    np.testing.assert_allclose(noise.projection(1).superoperator(), np.diag([0, 0, 0, 1]))
    assert not noise.projection(0).trace_preserving


def test_operators_of_mixtures_are_the_unitaries():
    h = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    channel = noise.mixture([0.2, 0.7, 0.1, 0.0], [h, np.eye(2), np.diag([1, 1j]), h])
    np.testing.assert_allclose(channel.probabilities, [0.7, 0.2, 0.1])
    np.testing.assert_allclose(channel.operators[:2], [np.eye(2), h], atol=1e-15)
    assert channel.is_unitary_mixture and channel.strengths == () and channel.derivatives().shape == (0, 4, 4)
    assert not channel.is_pauli and noise.depolarizing(0.1).is_pauli and noise.phase_damping(0.1).is_pauli
    assert len(noise.depolarizing(0.0).kraus) == 1
    assert noise.depolarizing(0.0).derivatives()[0, 0, 0] == pytest.approx(-2 / 3)
    np.testing.assert_allclose(channel.inverses @ channel.operators, [np.eye(2)] * 3, atol=1e-14)
    assert not noise.reset().inverses.any()


def test_many_operators_become_those_of_the_choi_matrix():
    rng = np.random.default_rng(3)
    q = [np.linalg.qr(rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)))[0] for _ in range(300)]
    full = noise.mixture(np.full(300, 1 / 300), q)
    assert len(full.kraus) == 4
    np.testing.assert_allclose(full.superoperator(), superoperator(np.array(q) / np.sqrt(300)), atol=1e-13)
    some = noise.mixture(np.full(24, 1 / 24), q[:24])
    assert len(some.kraus) == 24 and some.is_unitary_mixture
    assert len((some @ some).kraus) == 4
    assert len((noise.amplitude_damping(0.1) @ noise.reset_error(0.1, 0.2)).kraus) == 4


REFUSED = [
    (lambda: noise.kraus([[[1, 0], [0, 0.9]]]), r"not trace-preserving.*eigenvalue -0\.19"),
    (lambda: noise.kraus([np.eye(2), 0.1 * np.eye(2)]), r"not trace-preserving.*eigenvalue 0\.01"),
    (lambda: noise.kraus(np.ones((2, 3, 3))), r"shape \(m, 2\^k, 2\^k\) with 1 to 3 wires, got \(2, 3, 3\)"),
    (lambda: noise.kraus(np.eye(16)[None]), r"1 to 3 wires, got \(1, 16, 16\)"),
    (lambda: noise.kraus([np.eye(2), np.eye(4)]), "of one size"),
    (lambda: noise.kraus([[[np.nan, 0], [0, 1]]]), "not finite"),
    (lambda: noise.kraus(np.zeros((0, 2, 2))), r"got \(0, 2, 2\)"),
    (lambda: noise.Channel(1.1 * np.eye(2)[None], trace_preserving=False), r"exceeds 1 by 0\.21"),
    (lambda: noise.Channel(np.zeros((1, 2, 2)), trace_preserving=False), "all operators are zero"),
    (lambda: noise.depolarizing(1.2), r"at most 1, got 1 \+0\.2"),
    (lambda: noise.bit_flip(-0.1), r"at least 0, got -0\.1"),
    (lambda: noise.pauli({"X": 0.7, "Z": 0.5}), r"at most 1, got 1 \+0\.2"),
    (lambda: noise.pauli({"X": 0.3, "I": 0.5}), r"add up to 1, got 1 -0\.2"),
    (lambda: noise.amplitude_damping(1.25), r"from 0 to 1, got 1\.25 \(\+0\.25\)"),
    (lambda: noise.reset_error(0.7, 0.4), r"at most 1, got 1 \+0\.1"),
    (lambda: noise.thermal_relaxation(1, 3, 1), "t2 is at most 2 t1, got 3, 1 more"),
    (lambda: noise.thermal_relaxation(0, 1, 1), "t1, t2 > 0"),
    (lambda: noise.thermal_relaxation(1, 1, -1), "time >= 0"),
    (lambda: noise.mixture([0.5, 0.6], [np.eye(2)] * 2), r"add up to 1, got 1 \+0\.1"),
    (lambda: noise.mixture([1.5, -0.5], [np.eye(2)] * 2), r"at least 0, got -0\.5"),
    (lambda: noise.mixture([1.0], [np.diag([1, 0.5])]), r"not unitary, .* = 0\.75"),
    (lambda: noise.mixture([1.0], [np.eye(2)] * 2), r"need unitaries of shape \(1,"),
    (lambda: kraus_of(np.diag([1, 1, 1, -1])), r"not completely positive.*eigenvalue -1"),
    (lambda: kraus_of(np.eye(3)), r"\(4\^k, 4\^k\), got \(3, 3\)"),
    (lambda: noise.bit_flip(0.7).scaled(0.5), r"eigenvalue -0\.4.*whole factors"),
    (lambda: noise.pauli({"X": 0.1, "Z": 0.1}).scaled(0.5), r"negative probability -0\.0\d"),
]


@pytest.mark.parametrize(("make", "words"), REFUSED)
def test_what_is_no_channel_is_refused_with_the_amount(make, words):
    with pytest.raises(GateMatrixError, match=words):
        make()


def test_other_refusals():
    for wrong, error, words in (
        (lambda: noise.depolarizing(0.1, 4), WireError, "1 to 3, got 4"),
        (lambda: noise.depolarizing("a"), ArgumentTypeError, "real number"),
        (lambda: noise.depolarizing(np.nan), CircuitError, "finite"),
        (lambda: noise.pauli([0.1]), ArgumentTypeError, "give the probabilities"),
        (lambda: noise.pauli({"Q": 0.1}), CircuitError, "letters"),
        (lambda: noise.pauli({"X": 0.1, "XX": 0.1}), CircuitError, "2 letters for 1 wires"),
        (lambda: noise.over_rotation("ZZZZ", 0.1), CircuitError, "1 to 3 letters"),
        (lambda: noise.projection(2), CircuitError, "0 or 1, got 2"),
        (lambda: noise.bit_flip(0.1).scaled(-1), CircuitError, "at least 0"),
        (lambda: noise.bit_flip(0.1) @ noise.depolarizing(0.1, 2), CircuitError, "same number of wires, got 1 and 2"),
        (lambda: noise.amplitude_damping(1.0).derivatives(), NotDifferentiableError, "strength 0 is infinite"),
        (lambda: kg.Circuit(2).channel(noise.bit_flip(0.1), [0, 1]), CircuitError, "acts on 1 wire, got 2"),
        (lambda: kg.Circuit(2).channel(noise.bit_flip(0.1), 2), WireError, "out of range"),
        (lambda: kg.Circuit(2).channel(noise.depolarizing(0.1, 2), [1, 1]), WireError, "distinct"),
        (lambda: kg.Circuit(2).channel("bit_flip", 0), ArgumentTypeError, "expected a ketgrad.noise.Channel, got str"),
        (lambda: kg.Circuit(2).append("channel", (), [0]), CircuitError, "channel"),
    ):
        with pytest.raises(error, match=words):
            wrong()
    with pytest.raises(TypeError):
        noise.bit_flip(0.1) @ 3


# circuits and programs


def test_a_channel_is_one_instruction_with_its_choice():
    circuit = kg.Circuit(3)
    w, x = circuit.weights(1), circuit.inputs(2)
    two = noise.pauli({"XZ": 0.1, "IY": 0.05})
    circuit.rx(w[0] * x[0], 0).channel(noise.depolarizing(0.1), 0).channel(two, [2, 0])
    circuit.channel(noise.over_rotation("Z", 0.2), 1).channel(noise.depolarizing(0.1), 1)
    lowered = lower(circuit, [kg.Z(0)])
    program, stage = lowered.program, lowered.stage
    assert [s.instruction for s in lowered.sites] == [1, 2, 3, 4]
    assert [s.channel for s in lowered.sites] == [gate.extra for gate in circuit.gates[1:]]
    assert program.n_per_sample == stage.n_per_sample + 3
    first = stage.n_shared + stage.n_per_sample
    rows = program.instructions[1:]
    assert rows["slot"].tolist() == [first, first + 1, -1, first + 2] and rows["scale"].tolist() == [1, 1, 0, 1]
    assert (rows["opcode"] == Opcode.KRAUS).all() and rows["t0"].tolist() == [4, 3, 1, 4]
    assert rows["x_mask"].tolist() == [4, 5, 2, 2]
    assert rows["payload"][0] == rows["payload"][3]  # equal channels are stored once
    side = program.pool[rows["payload"][1] :][: 2 * 6 * 16].view(complex).reshape(6, 4, 4)
    swap = np.eye(4)[[0, 2, 1, 3]]  # wire 2 is the lower bit, the channel's first wire the higher
    np.testing.assert_allclose(side[:3], [swap @ v @ swap for v in two.operators], atol=1e-15)
    np.testing.assert_allclose(side[3:] @ side[:3], [np.eye(4)] * 3, atol=1e-14)
    assert [s.channel for s in pickle.loads(pickle.dumps(lowered)).sites] == [s.channel for s in lowered.sites]


def test_circuits_without_channels_lower_as_before_and_models_refuse_noise():
    circuit = kg.Circuit(2)
    circuit.h(0).cnot(0, 1)
    assert lower(circuit).sites == ()
    with pytest.raises(CircuitError, match="bit_flip"):
        kg.Model(circuit.copy().channel(noise.bit_flip(0.1), 0), [kg.Z(0)], "complex128", None)
    assert len(circuit.channel(noise.bit_flip(0.1), 0)) == 3 and "bit_flip(0.1), 0" in repr(circuit.gates[-1])
