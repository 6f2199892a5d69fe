"""Clifford data regression: training circuits, the fit by hand, its two gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mitigation_cases import MODEL, OBSERVABLES, angle, assert_derivatives, circuit, point, table

import ketgrad as kg
from ketgrad import noise
from ketgrad.errors import ArgumentError, CircuitError
from ketgrad.gates import find
from ketgrad.mitigation import Mitigated, cdr
from ketgrad.mitigation.noisy import noiseless
from ketgrad.mitigation.regression import FREE, NEAREST, Angles, Training, clifford_step

DAMPED = MODEL.after(noise.amplitude_damping(0.15), n_wires=1)


def make(model: noise.NoiseModel = MODEL, **options: Any) -> Mitigated:
    return cdr(circuit(), OBSERVABLES, model, **{"training": 6, "kept": 3, **options})


def test_angles_are_those_of_the_circuit(rng: np.random.Generator) -> None:
    (w, x), c = point(), circuit()
    angles = Angles(c)
    found = angles.evaluate(w.ravel(), x)
    wanted = [[angle(p, w, row) for g in c.gates for p in g.params] for row in x]
    np.testing.assert_allclose(found, wanted, atol=1e-15)
    np.testing.assert_allclose(
        kg.compile(angles.circuit, OBSERVABLES)(None, found), kg.compile(c, OBSERVABLES)(w, x), atol=1e-12
    )
    cotangents, step = rng.normal(size=(4, 2, found.shape[1])), 1e-6
    by_w, by_x = angles.pull(w.ravel(), x, cotangents)
    for k, e in enumerate(np.eye(6)):
        slope = (angles.evaluate(w.ravel() + step * e, x) - angles.evaluate(w.ravel() - step * e, x)) / (2 * step)
        np.testing.assert_allclose(by_w[..., k], np.einsum("bsa,ba->bs", cotangents, slope), atol=1e-8)
    for k, e in enumerate(np.eye(2)):
        slope = (angles.evaluate(w.ravel(), x + step * e) - angles.evaluate(w.ravel(), x - step * e)) / (2 * step)
        np.testing.assert_allclose(by_x[..., k], np.einsum("bsa,ba->bs", cotangents, slope), atol=1e-8)


@pytest.mark.parametrize(
    ("gate", "step"),
    [("rx", np.pi / 2), ("p", np.pi / 2), ("rzz", np.pi / 2), ("multi_rz", np.pi / 2), ("pauli_rot", np.pi / 2)]
    + [("crz", np.pi), ("cp", np.pi), ("exp_diagonal", 0.0), ("double_excitation", 0.0)],
)
def test_clifford_values(gate: str, step: float) -> None:
    spec = find(gate)
    assert clifford_step(spec, spec.params[0]) == pytest.approx(step)


@pytest.mark.parametrize("snap", ["nearest", "random"])
def test_training_circuits_are_near_clifford(snap: str) -> None:
    (w, x), model = point(), make(snap=snap, seed=2)
    member = model.members[0]
    assert isinstance(member, Training) and member.size == 7 and model.members[1].exact
    here = member.angles.evaluate(w.ravel(), x)
    rows = member.expand(w.ravel(), x)[1]
    np.testing.assert_array_equal(rows[:, -1], here)
    kept = member.recipes[:-1] == FREE
    assert (kept.sum(axis=1) == 3).all()
    quarter = np.round(rows[:, :-1] / (np.pi / 2)) * np.pi / 2
    np.testing.assert_allclose(rows[:, :-1], np.where(kept, here[:, None], quarter), atol=1e-12)
    if snap == "nearest":
        assert np.abs(rows - here[:, None]).max() <= np.pi / 4 + 1e-12 and (member.recipes[~kept.all()] != 0).any()
        assert set(np.unique(member.recipes)) == {NEAREST, FREE}


def test_values_are_the_fit_by_hand() -> None:
    (w, x), model = point(), make(kept=6, seed=1, ridge=1e-14)
    member, noisy = model.members[0], MODEL.apply(circuit())
    twin = member.angles.circuit  # type: ignore[attr-defined]
    rows = member.expand(w.ravel(), x)[1]
    for b in range(2):
        ys = table(twin, OBSERVABLES, None, rows[b, :-1])
        ts = table(noiseless(twin), OBSERVABLES, None, rows[b, :-1])
        here = table(noisy, OBSERVABLES, w, x[b : b + 1])[0]
        wanted = [np.polyval(np.polyfit(ys[:, m], ts[:, m], 1), here[m]) for m in range(2)]
        np.testing.assert_allclose(model(w, x)[b], wanted, atol=1e-6)


def test_gradients_with_and_without_the_fit(rng: np.random.Generator) -> None:
    w, x = point()
    whole, frozen = (make(DAMPED, kept=6, differentiate=d, ridge=1e-14) for d in (True, False))
    np.testing.assert_array_equal(whole(w, x), frozen(w, x))
    assert_derivatives(whole, w, x, rng)
    c = rng.normal(size=(4, 2))
    values = whole.circuit_values(w, x)
    t = 6
    y, ideal = values[:, :t], values[:, t + 1 :]
    from_mean = y - y.mean(axis=1, keepdims=True)
    slope = (from_mean * ideal).mean(axis=1) / (from_mean**2).mean(axis=1)
    raw = kg.compile(DAMPED.apply(circuit()), OBSERVABLES).forward(w, x)[1](slope * c)
    found = frozen.forward(w, x)[1](c)
    np.testing.assert_allclose(found.weights, raw.weights, atol=1e-5)
    np.testing.assert_allclose(found.inputs, raw.inputs, atol=1e-5)
    assert np.abs(found.weights - whole.forward(w, x)[1](c).weights).max() > 1e-3


def test_noise_that_scales_and_shifts_is_undone() -> None:
    """Amplitude damping of the one wire that is read, last: Z -> (1 - g) Z + g."""
    c = kg.Circuit(2)
    w = c.weights(3)
    c.ry(w[0], 0).rx(w[1], 1).cx(0, 1).ry(w[2], 1).i(1)
    damped = noise.NoiseModel().after(noise.amplitude_damping(0.2), ["i"])
    weights = np.array([0.7, 1.1, -0.5])
    found, ideal = cdr(c, kg.Z(1), damped, kept=1, ridge=1e-14)(weights), kg.compile(c, kg.Z(1))(weights)
    np.testing.assert_allclose(found, ideal, atol=1e-6)
    assert abs(kg.compile(damped.apply(c), kg.Z(1))(weights) - ideal)[0] > 0.1


def test_training_circuits_that_say_nothing_change_nothing() -> None:
    c = kg.Circuit(1)
    w = c.weights(1)
    c.rx(w[0], 0)
    rule = noise.NoiseModel().after(noise.depolarizing(0.1))
    model = cdr(c, kg.Z(0), rule, kept=0, differentiate=True)  # all training circuits are one
    values, pullback = model.forward([0.2])
    shift = 1 - (1 - 0.4 / 3)
    assert values[0] == pytest.approx((1 - 0.4 / 3) * np.cos(0.2) + shift)
    assert np.isfinite(pullback([1.0]).weights).all()


def test_shots_are_spent_on_the_noisy_circuits_only() -> None:
    (w, x), model = point(), make()
    assert model.cost(w, x[0]).circuits == 7
    mean, variance = model.estimate(w, x, shots=700_000, seed=1)
    assert (variance > 0).all() and np.abs(mean - model(w, x)).max() < 0.1
    with pytest.raises(ArgumentError, match="7 circuits, got shots=6"):
        model(w, x, shots=6)


def test_refusals() -> None:
    with pytest.raises(CircuitError, match="no angle of the circuit has Clifford values"):
        cdr(kg.Circuit(1).h(0), kg.Z(0), MODEL)
    for kept in (-1, 99, 1.5, True):
        with pytest.raises(ArgumentError, match="kept is a number of angles from 0 to 9"):
            make(kept=kept)
    with pytest.raises(ArgumentError, match="'nearest' or 'random'"):
        make(snap="closest")
    with pytest.raises(ArgumentError, match="at most 4,096 training circuits"):
        make(training=5000)
    with pytest.raises(ArgumentError, match="ridge is above 0"):
        make(ridge=0.0)
