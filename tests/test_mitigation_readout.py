"""Readout mitigation: observables and counts against confusion by hand; what is refused."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest
from mitigation_cases import MODEL, OBSERVABLES, assert_derivatives, circuit, point

import ketgrad as kg
from ketgrad import noise
from ketgrad.errors import ArgumentError, ArgumentTypeError, GateMatrixError
from ketgrad.mitigation import corrected, mitigate_counts, readout_cost, readout_mitigated, zne

PAIRS = {0: (0.02, 0.07), 1: (0.1, 0.0), 2: (0.04, 0.05)}
ERRORS = noise.ReadoutErrors.of(PAIRS)


def confused(word: str, values: Any) -> float:
    """<word read> from the expectations of all words below it: each letter P becomes (1 - u - d) P + d - u."""
    total = 0.0
    for taken in itertools.product((True, False), repeat=3):
        factor, below = 1.0, ""
        for wire, (letter, take) in enumerate(zip(word, taken, strict=True)):
            up, down = PAIRS[wire]
            if letter == "I":
                factor *= take
            else:
                factor *= 1 - up - down if take else down - up
            below += letter if take else "I"
        total += factor * values[below]
    return total


@pytest.mark.parametrize("word", ["ZII", "IXI", "ZZI", "XYZ", "III"])
def test_corrected_observables_read_as_the_given_ones(word: str, rng: np.random.Generator) -> None:
    values = {"".join(w): rng.normal() for w in itertools.product("IXYZ", repeat=3)}
    values["III"] = 1.0
    found = 0.0
    for c, letters, _ in corrected(kg.PauliSum.from_words({word: 1.0}), ERRORS).terms:
        below = dict(letters)
        found += c * confused("".join(below.get(k, "I") for k in range(3)), values)
    assert found == pytest.approx(values[word])


def test_a_model_undoes_its_readout(rng: np.random.Generator) -> None:
    w, x = point()
    device = MODEL.readout_error(0.0).readout_error((0.02, 0.07), 0).readout_error((0.1, 0.0), 1)
    device = device.readout_error((0.04, 0.05), 2)
    misread = kg.compile(MODEL.apply(circuit()), OBSERVABLES, readout=ERRORS)
    plain = kg.compile(MODEL.apply(circuit()), OBSERVABLES)
    for model in (
        readout_mitigated(circuit(), OBSERVABLES, ERRORS, MODEL),
        readout_mitigated(circuit(), OBSERVABLES, None, device),
        readout_mitigated(MODEL.apply(circuit()), OBSERVABLES, PAIRS),
    ):
        np.testing.assert_allclose(model(w, x), plain(w, x), atol=1e-12)
        assert_derivatives(model, w, x, rng)
    assert np.abs(misread(w, x) - plain(w, x)).max() > 0.02
    believed = readout_mitigated(circuit(), OBSERVABLES, 0.0, device)
    np.testing.assert_allclose(believed(w, x), misread(w, x), atol=1e-12)  # who believes in none changes nothing


def test_shots_of_misread_bits() -> None:
    w, x = point()
    model = readout_mitigated(circuit(), OBSERVABLES, ERRORS, MODEL)
    mean, variance = model.estimate(w, x, shots=100_000, seed=2)
    assert (np.abs(mean - model(w, x)) < 5.5 * np.sqrt(variance)).all()


def test_it_stacks_under_extrapolation() -> None:
    (w, x), device = point(), MODEL.readout_error(0.05)
    both = zne(circuit(), OBSERVABLES, device, compile=partial(readout_mitigated, errors=0.05))
    without = zne(circuit(), OBSERVABLES, MODEL)
    np.testing.assert_allclose(both(w, x), without(w, x), atol=1e-11)
    alone = zne(circuit(), OBSERVABLES, device)(w, x)  # folding does not make readout errors stronger
    assert np.abs(alone - without(w, x)).max() > 0.01


def test_cost_of_a_word() -> None:
    cost = readout_cost(kg.Z(0) @ kg.Z(1), 0.05)
    assert cost.one_norm == pytest.approx(1 / 0.9**2) and cost.circuits == 1
    assert readout_cost(kg.Z(0), (0.0, 0.2)).one_norm == pytest.approx(1 / 0.8)  # the constant costs nothing
    assert "grow 1.235 times" in readout_mitigated(circuit(), kg.Z(0) @ kg.Z(1), 0.05, MODEL).report()


# counts


def measured(truth: Any) -> Any:
    confusion = np.kron(np.kron(ERRORS.confusion(0), ERRORS.confusion(1)), ERRORS.confusion(2))
    return confusion @ truth


def as_counts(vector: Any) -> dict[str, float]:
    return {format(k, "03b"): float(v) for k, v in enumerate(vector) if v}


def as_vector(found: dict[str, float]) -> Any:
    out = np.zeros(8)
    for outcome, p in found.items():
        out[int(outcome, 2)] = p
    return out


@pytest.mark.parametrize("method", ["inverse", "least-squares"])
def test_counts_without_statistics_are_undone(method: str, rng: np.random.Generator) -> None:
    truth = rng.dirichlet(np.ones(8))
    found = mitigate_counts(as_counts(1000 * measured(truth)), ERRORS, method=method)
    np.testing.assert_allclose(as_vector(found), truth, atol=1e-10)


def test_least_squares_is_the_nearest_distribution(rng: np.random.Generator) -> None:
    """Against the conditions of Karush, Kuhn and Tucker, which the minimum of a convex function fulfils alone."""
    truth = np.zeros(8)
    truth[[0, 7]] = 0.5
    counts = rng.multinomial(200, measured(truth)).astype(float)
    quasi = as_vector(mitigate_counts(as_counts(counts), ERRORS, method="inverse"))
    assert quasi.min() < 0 and quasi.sum() == pytest.approx(1)
    found = as_vector(mitigate_counts(as_counts(counts), ERRORS))
    assert found.min() >= 0 and found.sum() == pytest.approx(1)
    confusion = measured(np.eye(8))
    slope = confusion.T @ (confusion @ found - counts / counts.sum())
    level = slope[found > 1e-9].mean()
    np.testing.assert_allclose(slope[found > 1e-9], level, atol=1e-9)
    assert (slope[found <= 1e-9] >= level - 1e-9).all()


def test_refusals() -> None:
    with pytest.raises(GateMatrixError, match=r"add up to 1"):
        corrected(kg.Z(0), 0.5)
    with pytest.raises(GateMatrixError, match=r"\+0.2"):
        corrected(kg.Z(0), 1.2)
    with pytest.raises(ArgumentError, match="give the errors to undo"):
        readout_mitigated(circuit(), OBSERVABLES, None, MODEL)
    with pytest.raises(ArgumentError, match="'least-squares' or 'inverse'"):
        mitigate_counts({"0": 1}, 0.1, method="bayes")
    for counts in ({}, {"0": 1, "01": 1}, {"": 1}, {"0" * 15: 1}):
        with pytest.raises(ArgumentError, match="1 to 14 bits"):
            mitigate_counts(counts, 0.1)
    with pytest.raises(ArgumentError, match="outcomes are bits, got '2'"):
        mitigate_counts({"2": 1}, 0.1)
    with pytest.raises(ArgumentTypeError, match="counts are"):
        mitigate_counts([3, 4], 0.1)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="observable such as"):
        corrected(0.5, 0.1)  # type: ignore[arg-type]
    for wrong in ({"0": 0}, {"0": -1, "1": 3}):
        with pytest.raises(ArgumentError, match="not all 0"):
            mitigate_counts(wrong, 0.1)
    with pytest.raises(GateMatrixError, match="says nothing"):
        mitigate_counts({"0": 1}, 0.5)
