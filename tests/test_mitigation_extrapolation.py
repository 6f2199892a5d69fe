"""Extrapolation and cost: coefficients, variance factors, exact curves, derivatives, the best split of shots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ketgrad.errors import ArgumentError, ParameterError
from ketgrad.mitigation import Cost, Linear, fitted, polynomial_coefficients
from ketgrad.mitigation.extrapolation import Exponential, ExponentialTo, extrapolation


@pytest.mark.parametrize(
    ("kind", "scales", "factor"),
    [("richardson", (1, 2, 3), 19.0), ("richardson", (1, 3, 5), 334 / 64), ("linear", (1, 3), 2.5)],
)
def test_variance_factors(kind: str, scales: Any, factor: float) -> None:
    gamma = extrapolation(kind, scales).coefficients
    assert gamma is not None and gamma.sum() == pytest.approx(1)
    assert Cost(gamma).variance_factor == pytest.approx(factor, rel=1e-12)


def test_richardson_is_what_it_is_said_to_be() -> None:
    np.testing.assert_allclose(extrapolation("richardson", (1, 2, 3)).coefficients, [3, -3, 1], atol=1e-12)
    np.testing.assert_allclose(extrapolation("linear", (1, 3)).coefficients, [1.5, -0.5], atol=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_polynomials_are_extrapolated_exactly(degree: int, rng: np.random.Generator) -> None:
    scales = np.array([1.0, 1.5, 2.0, 3.0, 4.5])
    p = rng.normal(size=degree + 1)
    assert fitted(degree, scales, np.polyval(p, scales)) == pytest.approx(p[-1], abs=1e-10)
    wanted = np.polynomial.polynomial.polyfit(scales, y := rng.normal(size=5), degree)[0]
    assert fitted(degree, scales, y) == pytest.approx(wanted, abs=1e-10)
    assert fitted("polynomial", scales, y) == pytest.approx(fitted(2, scales, y))


@pytest.mark.parametrize("scales", [(1, 2, 3), (1, 3, 5), (1, 1.5, 2.5, 4)])
@pytest.mark.parametrize("rate", [0.02, 0.2, 0.9])
def test_exponentials_are_extrapolated_exactly(scales: Any, rate: float) -> None:
    s = np.array(scales)
    y = np.stack([0.2 + 0.7 * np.exp(-rate * s), -0.1 - 0.5 * np.exp(-rate * s)], axis=1)
    np.testing.assert_allclose(fitted("exponential", s, y), [0.9, -0.6], atol=1e-7)
    np.testing.assert_allclose(fitted("exponential", s, y[:, 0], asymptote=0.2), 0.9, atol=1e-12)


def test_three_points_are_met_by_prony() -> None:
    y = np.array([0.71, 0.52, 0.41])
    ratio = (y[2] - y[1]) / (y[1] - y[0])
    asymptote = (y[0] * y[2] - y[1] ** 2) / (y[0] + y[2] - 2 * y[1])
    wanted = asymptote + (y[0] - asymptote) / ratio
    assert fitted("exponential", (1, 2, 3), y) == pytest.approx(wanted, abs=1e-9)


def curves(rng: np.random.Generator, scales: Any) -> Any:
    """(6, K, 2) noisy exponentials, a straight line, a growing curve and a constant."""
    s = np.array(scales)
    rates = np.array([0.05, 0.3, 0.8])[:, None, None]
    y = 0.1 + np.exp(-rates * s[:, None]) * np.array([0.8, -0.6]) + 0.003 * rng.normal(size=(3, len(s), 2))
    others = np.stack([0.9 - 0.1 * s, 0.5 + 0.01 * s**2, 0.3 + 0 * s])[..., None] * np.array([1.0, -1.0])
    return np.concatenate([y, others])


@pytest.mark.parametrize("asymptote", [None, 0.1, 0.0])
@pytest.mark.parametrize("scales", [(1, 2, 3), (1, 1.5, 2.5, 4)])
def test_derivatives_of_the_fit(asymptote: float | None, scales: Any, rng: np.random.Generator) -> None:
    fit = Exponential(scales) if asymptote is None else ExponentialTo(scales, asymptote)
    y = curves(rng, scales)[:3]
    values, back = fit(y)
    c, step = rng.normal(size=values.shape), 1e-6
    found = back(c)
    for k in range(y.shape[1]):
        move = np.zeros_like(y)
        move[:, k] = step
        slope = (fit(y + move)[0] - fit(y - move)[0]) / (2 * step)
        np.testing.assert_allclose(found[:, k], c * slope, rtol=2e-4, atol=1e-5)


def test_every_curve_has_a_finite_value_and_slope(rng: np.random.Generator) -> None:
    for scales in ((1, 2, 3), (1, 1.5, 2.5, 4)):
        y = np.concatenate([curves(rng, scales), rng.uniform(-1, 1, size=(200, len(scales), 2))])
        for fit in (Exponential(scales), ExponentialTo(scales, 0.0)):
            values, back = fit(y)
            slopes = back(np.ones_like(values))
            assert np.isfinite(values).all() and np.isfinite(slopes).all()
        still = Exponential(scales)(y)[0]
        np.testing.assert_allclose(still[5], [0.3, -0.3], atol=1e-9)
        np.testing.assert_allclose(still[3], [0.9, -0.9], atol=1e-3)  # nearly a straight line is as near as it comes


def test_without_a_side_of_the_asymptote_the_line_is_taken() -> None:
    y = np.array([0.2, 0.05, -0.05])
    assert fitted("exponential", (1, 2, 3), y, asymptote=0.0) == pytest.approx(fitted("linear", (1, 2, 3), y))
    assert fitted("exponential", (1, 2, 3), [0.2, 0.1, 0.0], asymptote=0.0) == pytest.approx(0.3)


def test_refusals() -> None:
    for scales in ((0.5, 1), (1, 1), (), (1, np.nan), 3):
        with pytest.raises(ArgumentError, match="noise scales"):
            extrapolation("linear", scales)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="degree 0 to 1, got 2"):
        extrapolation("polynomial", (1, 3))
    with pytest.raises(ArgumentError, match="Did you mean 'richardson'"):
        extrapolation("richardsen", (1, 3))
    with pytest.raises(ArgumentError, match="needs 3 scales"):
        extrapolation("exponential", (1, 3))
    with pytest.raises(ArgumentError, match="asymptote belongs"):
        extrapolation("linear", (1, 3), asymptote=0.0)
    with pytest.raises(ArgumentError, match="finite"):
        extrapolation("exponential", (1, 3), asymptote=np.inf)
    with pytest.raises(ArgumentError, match=r"values of shape"):
        fitted("linear", (1, 3), [1.0, 2.0, 3.0])
    with pytest.raises(ArgumentError, match="a Combine"):
        extrapolation(None, (1, 3))  # type: ignore[arg-type]
    own = Linear([2.0, -1.0])
    assert extrapolation(own, (1, 2)) is own


# cost


def test_shots_are_best_in_proportion_to_coefficients_and_deviations(rng: np.random.Generator) -> None:
    gamma, sigma = polynomial_coefficients((1, 2, 3), 2), np.array([0.3, 0.9, 1.0])
    cost = Cost(gamma)
    split = cost.split(10_000, sigma)
    assert split.sum() == 10_000
    np.testing.assert_allclose(split / split.sum(), np.abs(gamma) * sigma / (np.abs(gamma) * sigma).sum(), atol=1e-3)
    found = ((gamma * sigma) ** 2 / split).sum()
    assert found == pytest.approx(cost.variance(10_000, sigma), rel=1e-3)
    for _ in range(50):  # no other split is better
        other = rng.dirichlet(np.ones(3)) * 10_000
        assert ((gamma * sigma) ** 2 / other).sum() >= cost.variance(10_000, sigma) - 1e-15
    assert cost.variance(9_000, allocation="uniform") == pytest.approx(3 * 19 / 9_000)
    assert cost.shots_for(0.01) == 490_000 and cost.shots_for(0.01, allocation="uniform") == 570_000


def test_every_circuit_gets_a_shot() -> None:
    cost = Cost([1000.0, 1e-3, 1e-3, 0.5])
    assert cost.split(10).tolist() == [7, 1, 1, 1] and cost.split(4).tolist() == [1, 1, 1, 1]
    assert Cost([0.0, 0.0]).split(5).sum() == 5
    with pytest.raises(ArgumentError, match="4 circuits, got shots=3"):
        cost.split(3)
    with pytest.raises(ParameterError, match="deviations"):
        cost.split(10, [1.0, 2.0])
    with pytest.raises(ArgumentError, match="above 0"):
        cost.shots_for(0.0)
    with pytest.raises(ArgumentError, match="'optimal' or 'uniform'"):
        cost.variance(10, allocation="best")


def test_a_cost_says_what_it_is() -> None:
    cost = Cost([3.0, -3.0, 1.0])
    assert cost == Cost([3, -3, 1]) and hash(cost) == hash(Cost([3.0, -3.0, 1.0])) and cost != Cost([1.0])
    assert "490,000 shots, 49 times" in str(cost) and "variance_factor=19" in repr(cost)
