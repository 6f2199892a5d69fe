"""Codes, encoders, lookup decoders and the exact tables that follow from them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import word as matrix_of

import ketgrad as kg
from ketgrad.errors import ArgumentError, ArgumentTypeError, CircuitError, KetgradError, ParameterError
from ketgrad.qec import (
    Code,
    Correction,
    Detection,
    LookupDecoder,
    coherent_z,
    decoder_circuit,
    encoder,
    five_qubit,
    four_two_two,
    iceberg,
    logical_channel,
    repetition,
    rotated_surface,
    steane,
)
from ketgrad.qec.words import anticommute, masks, product, word

CODES = [
    four_two_two(),
    five_qubit(),
    steane(),
    repetition(3),
    repetition(5),
    repetition(3, "X"),
    iceberg(4),
    iceberg(6),
    rotated_surface(3),
    Code.from_stabilizers(five_qubit().stabilizers, "found"),
    Code.from_stabilizers(["XXXXIIII", "IIIIXXXX", "ZZIIIIZZ"], "found too"),
]
DISTANCES = [2, 3, 3, 1, 1, 1, 2, 2, 3, 3, 1]
by_name = pytest.mark.parametrize("code", CODES, ids=lambda c: f"{c.name}-{c.n}")


def matrix(letters: str) -> np.ndarray:
    return matrix_of(len(letters), dict(enumerate(letters)))


def expectation(circuit: kg.Circuit, words) -> np.ndarray:
    return kg.compile(circuit, [kg.PauliSum.from_words({w: 1.0}) for w in words])()


@given(st.lists(st.text("IXYZ", min_size=3, max_size=3), min_size=1, max_size=5))
def test_words_multiply_as_their_matrices(words):
    x, z, power = product([masks(w) for w in words])
    wanted = np.linalg.multi_dot([np.eye(8), *(matrix(w) for w in words)])
    assert np.allclose(wanted, 1j**power * matrix(word(x, z, 3)))
    a, b = matrix(words[0]), matrix(words[-1])
    assert anticommute(masks(words[0]), masks(words[-1])) == (not np.allclose(a @ b, b @ a))


@pytest.mark.parametrize(("code", "distance"), [*zip(CODES, DISTANCES, strict=True)])
def test_distance(code, distance):
    assert code.distance == distance
    assert str(code) == f"{code.name} [[{code.n},{code.k},{distance}]]"
    assert code.is_css == (code.name not in ("five-qubit", "found"))


def test_larger_surface_codes_are_codes():
    code = rotated_surface(5)
    assert (code.n, code.k) == (25, 1)
    assert sorted(len(s) - s.count("I") for s in code.stabilizers) == [2] * 8 + [4] * 16
    assert code.distance == 5 and str(code) == "rotated surface [[25,1]]"


@by_name
def test_destabilizers_name_one_stabilizer_each(code):
    d = [masks(w) for w in code.destabilizers]
    for i, one in enumerate(d):
        assert [int(anticommute(one, masks(s))) for s in code.stabilizers] == [int(i == j) for j in range(len(d))]
        assert not any(anticommute(one, masks(w)) for w in (*code.logical_x, *code.logical_z))
        assert not any(anticommute(one, other) for other in d)


@by_name
def test_encoder_prepares_code_words(code):
    assert np.allclose(expectation(encoder(code), (*code.stabilizers, *code.logical_z)), 1, atol=1e-12)
    plus = kg.Circuit(code.n)
    for j in range(code.k):
        plus.h(j)
    plus.extend(encoder(code))
    assert np.allclose(expectation(plus, (*code.stabilizers, *code.logical_x)), 1, atol=1e-12)


@by_name
def test_encoder_carries_logical_states(code):
    rng = np.random.default_rng(5)
    bare = kg.Circuit(code.k)
    for j in range(code.k):
        bare.rot(*rng.uniform(0, 6, 3), j)
    for j in range(code.k - 1):
        bare.crx(rng.uniform(0, 6), j, j + 1)
    encoded = kg.Circuit(code.n).extend(bare).extend(encoder(code))
    words = ["".join(w) for w in itertools.product("IXYZ", repeat=code.k)][:64]
    wanted = expectation(bare, words)
    got = kg.compile(encoded, [code.logical(w) for w in words])()
    assert np.allclose(got, wanted, atol=1e-12)
    assert kg.compile(encoded, code.projector())() == pytest.approx(1, abs=1e-12)


@by_name
def test_inverse_encoder_reads_the_syndrome(code):
    rng = np.random.default_rng(6)
    letters = "".join(rng.choice(list("IXYZ"), code.n))
    circuit = encoder(code)
    for q, letter in enumerate(letters):
        if letter != "I":
            circuit.append(letter.lower(), (), (q,))
    circuit.extend(decoder_circuit(code))
    outcome = int(np.argmax(kg.compile(circuit).probabilities(wires=range(code.k, code.n))))
    wanted = "".join(str(int(anticommute(masks(letters), masks(s)))) for s in code.stabilizers)
    assert format(outcome, f"0{code.n - code.k}b") == wanted


@by_name
def test_encoder_is_that_of_stims_tableau(code):
    stim = pytest.importorskip("stim")
    xs = [stim.PauliString(w) for w in (*code.logical_x, *code.destabilizers)]
    zs = [stim.PauliString(w) for w in (*code.logical_z, *code.stabilizers)]
    ours = stim.Circuit()
    for gate in encoder(code).gates:
        ours.append({"sdg": "S_DAG"}.get(gate.spec.name, gate.spec.name.upper()), gate.wires)
    assert ours.to_tableau() == stim.Tableau.from_conjugated_generators(xs=xs, zs=zs)


@pytest.mark.parametrize("code", [five_qubit(), steane(), rotated_surface(3)], ids=str)
def test_every_single_error_is_corrected(code):
    decoder = LookupDecoder(code)
    left = decoder.failures()
    assert not left[decoder.words.weight <= 1].any()
    assert (left[decoder.words.weight == 2] != 0).any()
    for q, letter in itertools.product(range(code.n), "XYZ"):
        error = "I" * q + letter + "I" * (code.n - q - 1)
        syndrome = "".join(str(int(anticommute(masks(error), masks(s)))) for s in code.stabilizers)
        fixed = product([masks(error), masks(decoder.correction(syndrome))])[:2]
        assert not any(anticommute(fixed, masks(w)) for w in (*code.stabilizers, *code.logical_x, *code.logical_z))


def test_maximum_likelihood_follows_the_noise():
    code = repetition(3)
    noisy_first = [[0.6, 0.4, 0, 0], [0.999, 0.001, 0, 0], [0.999, 0.001, 0, 0]]
    assert LookupDecoder(code).correction("10") == "XII"
    assert LookupDecoder(code, (0.9, 0.1, 0, 0)).correction("10") == "XII"
    likely_two = [[0.99, 0.01, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0]]
    assert LookupDecoder(code, likely_two).correction("10") == "IXX"
    assert LookupDecoder(code, noisy_first).correction("01") == "IIX"


TABLE = {  # depolarizing p, and the logical error
    1e-3: (9.977796e-6, 1.329987e-5),
    5e-3: (2.472333e-4, 3.291581e-4),
    1e-2: (9.779551e-4, 1.300014e-3),
    5e-2: (2.233185e-2, 2.926141e-2),
    1e-1: (7.950815e-2, 1.018602e-1),
}


@pytest.mark.parametrize(
    ("column", "code", "c", "threshold", "fair"),
    [(0, five_qubit(), 10, 0.13763, 0.08), (1, rotated_surface(3), 40 / 3, 0.09747, 0.05825)],
    ids=["five-qubit", "surface"],
)
def test_exact_tables(column, code, c, threshold, fair):
    table = Correction.of(code)
    for p, row in TABLE.items():
        assert table.logical_error(p) == pytest.approx(row[column], rel=5e-7)
        likeliest = Correction.of(code, LookupDecoder(code, (1 - p, p / 3, p / 3, p / 3)))
        assert likeliest.logical_error(p) == pytest.approx(row[column], rel=5e-7)
    assert table.leading == (pytest.approx(c), 2)
    assert table.pseudo_threshold() == pytest.approx(threshold, abs=5e-6)
    assert table.pseudo_threshold(2 / 3) == pytest.approx(fair, abs=5e-6)
    assert np.allclose(table.logical_error([[1e-3], [0.1]]).shape, (2, 1))


def test_no_threshold_is_said():
    with pytest.raises(ArgumentError, match="no crossing"):
        Correction.of(four_two_two()).pseudo_threshold()
    with pytest.raises(ParameterError, match="between 0 and 1"):
        Correction.of(five_qubit()).logical_error(1.5)


def test_detection_of_four_two_two():
    table = Detection.of(four_two_two())
    assert table.accepted.tolist() == [1, 0, 18, 24, 21]
    assert table.harmful.tolist() == [0, 0, 18, 24, 18]
    assert table.acceptance([0.01, 0.1]) == pytest.approx([0.960793, 0.673126], abs=5e-7)
    assert table.logical_error([0.01, 0.1]) == pytest.approx([2.0494e-4, 2.5288e-2], rel=5e-5)


def test_detection_agrees_with_the_state_engine():
    """Acceptance is <projector> and harmful what an accepted state is not, averaged over random Pauli errors."""
    code, p = four_two_two(), 0.3
    table, accepted = Detection.of(code), 0.0
    for letters in itertools.product("IXYZ", repeat=4):
        circuit = encoder(code)
        for q, c in enumerate(letters):
            if c != "I":
                circuit.append(c.lower(), (), (q,))
        weight = sum(c != "I" for c in letters)
        accepted += (1 - p) ** (4 - weight) * (p / 3) ** weight * kg.compile(circuit, code.projector())()[0]
    assert table.acceptance(p) == pytest.approx(accepted, abs=1e-12)


COHERENT = {0.01: (4.841e-5, 1.746e-5, 2.77), 0.03: (3.737e-3, 1.364e-3, 2.74), 0.05: (2.613e-2, 9.789e-3, 2.67)}


def test_coherent_noise_on_the_surface_code():
    rows = {**COHERENT, 0.1: (2.561e-1, 1.113e-1, 2.30)}
    coherent, twirled = coherent_z(rotated_surface(3), math.pi * np.array(list(rows)))
    for a, b, (c, t, ratio) in zip(coherent, twirled, rows.values(), strict=True):
        assert a == pytest.approx(c, rel=2e-4) and b == pytest.approx(t, rel=4e-4)
        assert a / b == pytest.approx(ratio, abs=5e-3)


@pytest.mark.parametrize("d", [3, 5])
def test_coherent_noise_is_its_twirl_on_the_phase_flip_code(d):
    angles = np.array([0.01, 0.1, 0.4])
    coherent, twirled = coherent_z(repetition(d, "X"), angles)
    p = np.sin(angles) ** 2
    wanted = sum(math.comb(d, w) * p**w * (1 - p) ** (d - w) for w in range((d + 1) // 2, d + 1))
    assert np.allclose(coherent, wanted, rtol=1e-9) and np.allclose(twirled, wanted, rtol=1e-12)


def test_logical_channel_agrees_with_expectation_values_of_projectors():
    """The same probability of a logical Z, from |+> and one projector for each syndrome."""
    code, theta = five_qubit(), 0.2
    decoder = LookupDecoder(code)
    noise = kg.Circuit(5)
    for q in range(5):
        noise.rx(theta, q).rz(-1.4 * theta, q)
    circuit = kg.Circuit(5).h(0).extend(encoder(code)).extend(noise)
    flipped = 0.0
    for syndrome in itertools.product((0, 1), repeat=4):
        projector = kg.I()
        for s, bit in zip(code.stabilizers, syndrome, strict=True):
            projector = projector @ (0.5 * (kg.I() + (-1.0) ** bit * kg.PauliSum.from_words({s: 1.0})))
        fix = decoder.correction("".join(map(str, syndrome)))
        sign = -1.0 if anticommute(masks(fix), masks(code.logical_x[0])) else 1.0
        inside, logical = kg.compile(circuit, [projector, projector @ code.logical("X")])()
        flipped += (inside - sign * logical) / 2
    none, z, x, y = logical_channel(code, noise)
    assert none + x + y + z == pytest.approx(1, abs=1e-12)
    assert z + y == pytest.approx(flipped, abs=1e-12)


def test_logical_channel_of_two_qubits_has_pauli_errors():
    """Where the noise is one Pauli word, it is known which logical word is left."""
    code = four_two_two()
    noise = kg.Circuit(4).x(0).x(1)
    assert logical_channel(code, noise)[0b10_00] == pytest.approx(1)  # XXII is the first logical X
    noise = kg.Circuit(4).z(0).z(1)
    assert logical_channel(code, noise)[0b00_01] == pytest.approx(1)  # ZZII is the second logical Z


def refusals():
    yield CircuitError, "anticommute", lambda: Code("c", ("XX", "ZI"), (), ())
    yield CircuitError, "independent", lambda: Code("c", ("ZZI", "IZZ", "ZIZ"), (), ())
    yield CircuitError, "have 1 logical", lambda: Code("c", ("ZZ",), (), ())
    yield CircuitError, "logical X XI and stabilizer|stabilizer ZZ", lambda: Code("c", ("ZZ",), ("XI",), ("ZI",))
    yield CircuitError, "logical X XX and logical Z ZZ anticommute", lambda: Code("c", ("ZZ",), ("XX",), ("ZZ",))
    yield CircuitError, "letters", lambda: Code("c", ("ZZ", "ZZI"), (), ())
    yield CircuitError, "only the letters", lambda: Code.from_stabilizers(["AB"])
    yield CircuitError, "at least one", lambda: Code("c", (), (), ())
    yield CircuitError, "at least one", lambda: Code.from_stabilizers([])
    yield ArgumentTypeError, "sequence of words", lambda: Code.from_stabilizers("XXXX")
    yield ArgumentTypeError, "sequence of Pauli words", lambda: Code("c", 7, (), ())
    yield CircuitError, "independent", lambda: Code.from_stabilizers(["ZZ", "ZZ"])
    yield CircuitError, "no distance", lambda: Code("c", ("XX", "ZZ"), (), ()).distance
    yield ArgumentError, "even, got 3", lambda: iceberg(3)
    yield ArgumentError, "odd, got 4", lambda: rotated_surface(4)
    yield ArgumentError, "from 2 to 62", lambda: repetition(1)
    yield ArgumentError, "'X' or 'Z'", lambda: repetition(3, "Y")
    yield ArgumentError, "at most 11 qubits", lambda: LookupDecoder(rotated_surface(5))
    yield ArgumentError, "too many words", lambda: rotated_surface(5).projector()
    yield ArgumentError, "4 bits", lambda: LookupDecoder(five_qubit()).correction("10")
    yield ParameterError, "shape", lambda: LookupDecoder(repetition(3), [1.0, 0.0])
    yield ParameterError, "sum off by 0.1", lambda: LookupDecoder(repetition(3), [0.9, 0, 0, 0])
    wrong = LookupDecoder(repetition(3))
    yield ArgumentError, r"decoder of repetition \[\[3,1,1\]\]", lambda: Correction.of(five_qubit(), wrong)
    yield ArgumentError, "circuit on 5 wires", lambda: logical_channel(five_qubit(), kg.Circuit(4))


@pytest.mark.parametrize(("error", "text", "call"), [*refusals()], ids=lambda v: v if isinstance(v, str) else "")
def test_refusals(error, text, call):
    with pytest.raises(error, match=text):
        call()


def test_missing_decoder_is_said(monkeypatch):
    import sys

    from ketgrad.qec import MatchingDecoder

    monkeypatch.setitem(sys.modules, "stim", None)
    with pytest.raises(KetgradError, match=r"ketgrad\[qec\]"):
        MatchingDecoder("")
