"""Noise models: which gates a rule meets, idle wires, scaling, twirling; readout errors of observables and samples."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ketgrad as kg
from ketgrad import noise
from ketgrad.errors import ArgumentError, ArgumentTypeError, CircuitError, GateMatrixError, WireError
from ketgrad.noise.readout import flips
from ketgrad.pauli import word_matrix

ONE, TWO = noise.depolarizing(0.01), noise.depolarizing(0.02, 2)
FLIP, DAMP = noise.bit_flip(0.03), noise.amplitude_damping(0.04)


def small() -> kg.Circuit:
    circuit = kg.Circuit(3)
    w = circuit.weights(1)
    return circuit.h(0).cnot(0, 1).ry(w[0], 2).x(1, controls=[2], control_values=[0]).gphase(0.3).ccx(2, 0, 1)


def placed(circuit: kg.Circuit) -> list[tuple[int, str, tuple[int, ...]]]:
    """(number of gates before, channel, wires) of every channel."""
    gates, out = 0, []
    for gate in circuit.gates:
        if gate.spec.name == "channel":
            out.append((gates, gate.extra.name, gate.wires))
        else:
            gates += 1
    return out


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"channel": TWO}, [(2, (0, 1)), (4, (2, 1))]),
        ({"channel": TWO, "gates": "cnot"}, [(2, (0, 1))]),
        ({"channel": ONE, "n_wires": 1}, [(1, (0,)), (3, (2,))]),
        ({"channel": ONE, "gates": ["cx", "x"]}, [(2, (0,)), (2, (1,)), (4, (2,)), (4, (1,))]),
        ({"channel": ONE, "gates": ["cx", "x", "ccx"], "on": "targets"}, [(2, (1,)), (4, (1,)), (6, (1,))]),
        ({"channel": ONE, "n_wires": 3, "on": "controls"}, [(6, (2,)), (6, (0,))]),
        ({"channel": TWO, "gates": "toffoli", "on": "controls"}, [(6, (2, 0))]),
        ({"channel": TWO, "gates": "ccx", "on": [2, 0]}, [(6, (1, 2))]),
        ({"channel": ONE, "on": 1}, [(2, (1,)), (4, (1,)), (6, (0,))]),
        ({"channel": ONE, "wires": [2, 1], "at": 0}, [(4, (0,))]),
        ({"channel": TWO, "unless": [(0, 1)]}, [(4, (2, 1))]),
        ({"channel": ONE, "when": lambda g: bool(g.params) and bool(g.wires)}, [(3, (2,))]),
        ({"channel": noise.depolarizing(0.1, 3)}, [(6, (2, 0, 1))]),
        ({"channel": ONE, "gates": "swap"}, []),
    ],
)
def test_rules_meet_the_gates_they_name(options, wanted):
    circuit = small()
    noisy = noise.NoiseModel().after(**options).apply(circuit)
    assert [(k, where) for k, _, where in placed(noisy)] == wanted
    assert [g for g in noisy.gates if g.spec.name != "channel"] == circuit.gates
    assert noisy.n_weights == 1 and placed(circuit) == []


def test_rules_come_in_order_and_channels_cause_none():
    model = noise.NoiseModel().after(FLIP, "h").after(DAMP, "h").before_measurement(ONE, [2]).before_measurement(FLIP)
    once = model.apply(small())
    names = [name for _, name, _ in placed(once)]
    assert names == ["bit_flip", "amplitude_damping", "depolarizing", *["bit_flip"] * 3]
    assert placed(once)[2:] == [(6, "depolarizing", (2,)), *((6, "bit_flip", (w,)) for w in range(3))]
    again = noise.NoiseModel().after(FLIP).apply(once)
    assert len(placed(again)) == len(placed(once)) + 1 + 2 + 1 + 2 + 3  # per wire of each gate, none for the channels


def test_idle_wires_of_each_moment():
    circuit = kg.Circuit(3)
    circuit.h(0).channel(FLIP, 0).x(2).x(2).cnot(0, 1).gphase(0.1)  # moments: h x | x cnot
    noisy = noise.NoiseModel().idle(ONE).idle(DAMP, 1).after(FLIP, "cx", on="targets").apply(circuit)
    rows = [(gate.extra.name if gate.spec.name == "channel" else gate.spec.name, gate.wires) for gate in noisy.gates]
    assert rows[0] == ("gphase", ())
    assert rows[1:6] == [
        ("h", (0,)),
        ("bit_flip", (0,)),
        ("x", (2,)),
        ("depolarizing", (1,)),
        ("amplitude_damping", (1,)),
    ]
    assert rows[6:] == [("x", (2,)), ("cx", (0, 1)), ("bit_flip", (1,))]
    third = noise.NoiseModel().idle(ONE).apply(kg.Circuit(2).h(0).h(0).channel(TWO, [0, 1]).x(1))
    # the channel waits for wire 0, so what follows it on wire 1 comes third
    assert [(k, where) for k, _, where in placed(third)] == [(1, (1,)), (2, (0, 1)), (2, (1,)), (3, (0,))]


def test_scaled_twirled_added_shown():
    model = noise.NoiseModel().after(DAMP, n_wires=1).after(TWO, "cx", wires=[0, 1]).idle(FLIP).before_measurement(DAMP)
    model = model.readout_error(0.02).readout_error([0.01, 0.03], wires=[1])
    twice = model.scaled(2)
    assert twice.rules[0].channel == DAMP.scaled(2) and twice.idles[0][0] == FLIP.scaled(2)
    assert twice.ends[0][0].strengths[0] == pytest.approx(1 - 0.96**2) and twice.readout == model.readout
    assert all(c.is_pauli for c in model.to_pauli().channels) and model.to_pauli().rules[1] == model.rules[1]
    assert model.channels == (DAMP, TWO, FLIP)
    both = noise.NoiseModel().after(ONE) + model
    assert [r.channel for r in both.rules] == [ONE, DAMP, TWO] and both.readout == model.readout
    assert all(len(c.kraus) == 1 for c in model.scaled(0).channels)
    assert bool(model) and not noise.NoiseModel() and repr(noise.NoiseModel()) == "NoiseModel()"
    assert repr(model).splitlines()[1:] == [
        "  after any gate of 1 wire: amplitude_damping(0.04)",
        "  after cx on (0, 1): depolarizing(0.02)",
        "  on idle wires: bit_flip(0.03)",
        "  before measurement: amplitude_damping(0.04)",
        "  readout: 0 as 1 0.02, 1 as 0 0.02",
        "  readout of wire 1: 0 as 1 0.01, 1 as 0 0.03",
        ")",
    ]
    twin = pickle.loads(pickle.dumps(model))
    assert twin == model and hash(twin) == hash(model)


def test_refusals():
    model = noise.NoiseModel()
    for wrong, error, words in (
        (lambda: model.after(ONE, "xx"), CircuitError, "xx"),
        (lambda: model.after("flip"), ArgumentTypeError, "expected a ketgrad.noise.Channel, got str"),
        (lambda: model.after(noise.projection(0)), CircuitError, "post-selection"),
        (lambda: model.after(ONE, on="target"), ArgumentError, "Did you mean 'targets'"),
        (lambda: model.after(TWO, on=[0]), CircuitError, "acts on 2 wires, and on has 1"),
        (lambda: model.after(TWO, at=[0, 1, 2]), CircuitError, "and at has 3"),
        (lambda: model.after(ONE, wires=[]), WireError, "at least one wire"),
        (lambda: model.after(ONE, when=3), ArgumentTypeError, "function of the gate"),
        (lambda: model.idle(TWO), CircuitError, "a channel of one wire"),
        (lambda: model.before_measurement(TWO), CircuitError, "a channel of one wire"),
        (lambda: model.after(ONE, at=7).apply(small()), WireError, "wire 7 is out of range"),
        (lambda: model.apply(3), ArgumentTypeError, "expected a Circuit"),
        (lambda: model.readout_error(1.5), GateMatrixError, r"from 0 to 1, got 1\.5 \(\+0\.5\)"),
        (lambda: model.readout_error([-0.1, 0]), GateMatrixError, r"got -0\.1 \(-0\.1\)"),
        (lambda: model.readout_error([[0.9, 0.3], [0.2, 0.7]]), GateMatrixError, r"add up to 1, got 1 \+0\.1"),
        (lambda: model.readout_error([1, 2, 3]), GateMatrixError, r"got shape \(3,\)"),
        (lambda: model.readout_error("a"), ArgumentTypeError, "2 x 2 matrix"),
        (lambda: model + 3, TypeError, "unsupported"),
    ):
        with pytest.raises(error, match=words):
            wrong()


# readout


rates = st.tuples(st.floats(0, 0.5), st.floats(0, 0.5))


@st.composite
def observables(draw, n: int = 3):
    """A sum of words and patterns, and of words with patterns."""
    total = kg.PauliSum()
    for _ in range(draw(st.integers(1, 3))):
        letters = draw(st.text("IXYZ01", min_size=n, max_size=n))
        term = draw(st.floats(-2, 2)) * kg.I()
        for wire, letter in enumerate(letters):
            if letter in "01":
                term = term @ kg.Projector(letter, [wire])
            elif letter != "I":
                term = term @ kg.PauliSum.from_words({letter: 1.0}, [wire])
        total = total + term
    return total


@given(observables(), st.lists(rates, min_size=2, max_size=2), rates)
def test_observables_are_what_the_wrong_bits_say(observable, pairs, default):
    """Wire by wire, |read><read| stands for what is read: sum_true A[read, true] |true><true| in the word's basis."""
    errors = noise.ReadoutErrors.of({0: pairs[0], 2: pairs[1]}, default)
    wanted = np.zeros((8, 8), dtype=complex)
    for c, word, pattern in observable:
        parts = []
        letters, bits = dict(word), dict(pattern)
        for wire in range(3):
            letter = letters.get(wire, "Z")
            values, vectors = np.linalg.eigh(word_matrix(letter))
            true = [np.outer(v, v.conj()) for v in vectors.T[::-1]]  # eigenvalue +1 is the bit 0
            signs = values[::-1] if wire in letters else np.ones(2)
            if wire in bits:
                signs = np.eye(2)[bits[wire]]
            a = errors.confusion(wire)
            parts.append(sum(signs[r] * a[r, t] * true[t] for r, t in itertools.product(range(2), repeat=2)))
        wanted += c * np.kron(np.kron(parts[0], parts[1]), parts[2])
    np.testing.assert_allclose(errors.observable(observable).matrix(3), wanted, atol=1e-12)


@given(st.lists(rates, min_size=3, max_size=3), st.permutations(range(3)))
def test_probabilities_are_confused_wire_by_wire(pairs, wires):
    errors = noise.ReadoutErrors.of(dict(enumerate(pairs)))
    p = np.random.default_rng(0).dirichlet(np.ones(8), size=(2, 2))
    whole = np.array([[1.0]])
    for wire in wires:
        whole = np.kron(whole, errors.confusion(wire))
    np.testing.assert_allclose(errors.probabilities(p, wires), p @ whole.T, atol=1e-14)


def test_sampled_bits_have_the_probabilities():
    errors = noise.ReadoutErrors.of({0: [0.1, 0.3], 2: [[0.8, 0.05], [0.2, 0.95]]})
    true = np.tile(np.array([[0, 0, 0], [1, 1, 1]], dtype=np.uint8), (50_000, 1))
    read = errors.sample(true, [0, 1, 2], np.random.default_rng(5))
    assert read.dtype == np.uint8 and read.shape == true.shape
    up, down = read[0::2].mean(axis=0), 1 - read[1::2].mean(axis=0)
    np.testing.assert_allclose(up, [0.1, 0, 0.2], atol=0.007)  # five standard errors
    np.testing.assert_allclose(down, [0.3, 0, 0.05], atol=0.011)
    assert flips(np.array([[0.8, 0.05], [0.2, 0.95]])) == (0.2, 0.05)
    assert noise.ReadoutErrors().observable(kg.Z(0)) == kg.Z(0) and not noise.ReadoutErrors()
    assert noise.ReadoutErrors.of({}, 0.25).observable(kg.Z(0) @ kg.X(1)) == 0.25 * kg.Z(0) @ kg.X(1)


def test_readout_refusals():
    errors = noise.ReadoutErrors.of({}, [0.1, 0.2])
    with pytest.raises(CircuitError, match="more than 65,536 terms"):
        errors.observable(kg.PauliSum.from_words({"Z" * 20: 1.0}))
    with pytest.raises(CircuitError, match=r"4 probabilities, got shape \(3,\)"):
        errors.probabilities([1, 0, 0], [0, 1])
    with pytest.raises(CircuitError, match=r"2 wires have as many bits, got shape \(1, 3\)"):
        errors.sample([[0, 1, 0]], [0, 1], np.random.default_rng(0))
    with pytest.raises(WireError):
        noise.ReadoutErrors.of({-1: 0.1})
