"""Mitigated models: values against dense matrices, derivatives against differences, batches, shots, files, refusals."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
from mitigation_cases import MODEL, OBSERVABLES, N, assert_derivatives, circuit, point, table

import ketgrad as kg
from ketgrad import noise
from ketgrad.errors import (
    ArgumentError,
    ArgumentTypeError,
    CheckpointError,
    CircuitError,
    NotDifferentiableError,
    ParameterError,
)
from ketgrad.mitigation import Linear, Mitigated, acceptance, cdr, fold_global, pec, twirled, verified, zne
from ketgrad.mitigation.folding import folded
from ketgrad.model import compile_circuit

SYMMETRY = kg.Z(0) @ kg.Z(2)
METHODS: dict[str, Any] = {
    "zne": lambda **k: zne(circuit(), OBSERVABLES, MODEL, **k),
    "zne gates": lambda **k: zne(circuit(), OBSERVABLES, MODEL, scales=(1, 2, 3), folding="gates", **k),
    "zne exponential": lambda **k: zne(circuit(), OBSERVABLES, MODEL, extrapolate="exponential", asymptote=-0.4, **k),
    "zne by noise": lambda **k: zne(circuit(), OBSERVABLES, MODEL, folding="noise", extrapolate="linear", **k),
    "pec": lambda **k: pec(circuit(), OBSERVABLES, MODEL, samples=30, **k),
    "twirled": lambda **k: twirled(circuit(), OBSERVABLES, MODEL, frames=5, **k),
    "verified": lambda **k: verified(circuit(), OBSERVABLES, SYMMETRY, MODEL, **k),
    "cdr": lambda **k: cdr(circuit(), OBSERVABLES, MODEL, training=5, kept=2, differentiate=True, **k),
    "zne of twirled": lambda **k: zne(circuit(), OBSERVABLES, MODEL, compile=partial(twirled, frames=3), **k),
}


@pytest.fixture(scope="module", params=METHODS)
def model(request: pytest.FixtureRequest) -> Mitigated:
    return METHODS[request.param]()  # type: ignore[no-any-return]


def test_derivatives(model: Mitigated, rng: np.random.Generator) -> None:
    assert_derivatives(model, *point(), rng)


def test_one_sample_and_a_batch_are_the_same(model: Mitigated) -> None:
    w, x = point()
    values, pullback = model.forward(w, x)
    jac = model.jacobian(w, x)
    for k, row in enumerate(x):
        np.testing.assert_allclose(model(w, row), values[k], atol=1e-12)
        one = model.jacobian(w, row)
        np.testing.assert_allclose(one.weights, jac.weights[k], atol=1e-11)
        np.testing.assert_allclose(one.inputs, jac.inputs[k], atol=1e-11)
    single = model.forward(w, x[1])[1]([1.0, 0.0])
    np.testing.assert_allclose(single.weights.ravel(), jac.weights[1, 0], atol=1e-11)
    np.testing.assert_allclose(single.inputs, jac.inputs[1, 0], atol=1e-11)
    only = pullback(np.eye(4, 2)).inputs
    np.testing.assert_allclose(only[2:], 0, atol=1e-15)


def test_weights_may_be_inputs(model: Mitigated) -> None:
    w, x = point()
    rows = np.concatenate([np.broadcast_to(w.ravel(), (4, 6)), x], axis=1)
    twin = model.weights_as_inputs()
    assert twin is model.weights_as_inputs() and (twin.n_weights, twin.n_inputs) == (0, 8)
    np.testing.assert_allclose(twin(None, rows), model(w, x), atol=1e-12)
    jac, wanted = twin.jacobian(None, rows).inputs, model.jacobian(w, x)
    np.testing.assert_allclose(jac, np.concatenate([wanted.weights, wanted.inputs], axis=2), atol=1e-11)


def test_copies_and_pickles(model: Mitigated) -> None:
    w, x = point()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other(w, x), model(w, x))
        assert repr(other) == repr(model)


def test_what_it_says(model: Mitigated) -> None:
    w, x = point()
    assert (model.n_weights, model.n_inputs) == (6, 2) and model.dtype == np.complex128
    assert f"{model.n_circuits} circuits" in repr(model) and model.backend in repr(model)
    assert model.name in model.report(w, x[0]) and "one-norm" in model.report(w, x[0])
    cost = model.cost(w, x[0])
    assert cost.circuits <= model.n_circuits and cost.one_norm > 0
    assert model.circuit_values(w, x).shape[:2] == (4, model.n_circuits)


def test_wrong_arguments(model: Mitigated) -> None:
    w, x = point()
    with pytest.raises(ParameterError, match="6 weights"):
        model(w[0], x)
    with pytest.raises(ParameterError, match="inputs have shape"):
        model(w, x[:, :1])
    with pytest.raises(ParameterError, match="cotangents"):
        model.forward(w, x)[1](np.zeros(3))


@pytest.mark.parametrize("name", ["zne", "pec", "twirled", "verified", "zne gates"])
def test_shots(name: str) -> None:
    (w, x), model = point(), METHODS[name]()
    exact, shots = model(w, x[:2]), 400_000
    mean, variance = model.estimate(w, x[:2], shots=shots, seed=3)
    assert (np.abs(mean - exact) < 5.5 * np.sqrt(variance)).all()
    np.testing.assert_array_equal(mean, model(w, x[:2], shots=shots, seed=3))
    most = 1.3**2 * model.cost(w, x[0]).one_norm ** 2 / shots  # the second observable is a word, and 0.3
    assert (variance > 0).all() and (variance[0] < 1.1 * most).all()
    with pytest.raises(ArgumentError, match="every circuit needs a shot|shots must be from 1"):
        model(w, x, shots=model.n_circuits - 1)


def test_gradients_from_shots() -> None:
    (w, x), model = point(), METHODS["zne"]()
    c = np.ones((2, 2))
    exact = model.forward(w, x[:2])[1](c).weights
    found = model.forward(w, x[:2], shots=200_000, seed=1)[1](c).weights
    assert 0 < np.abs(found - exact).max() < 0.2


@pytest.mark.parametrize("name", METHODS)
def test_backends_and_dtypes_agree(name: str, backend: str, precision: Any) -> None:
    (w, x), c = point(), np.ones((4, 2))
    wanted, found = (METHODS[name](**k) for k in ({}, {"backend": backend, "dtype": precision.dtype}))
    assert found.backend == backend and found.dtype == precision.dtype
    atol = 1e-10 if precision.dtype == "complex128" else 2e-3  # of extrapolated single precision
    np.testing.assert_allclose(found(w, x), wanted(w, x), atol=atol)
    ours, theirs = (m.forward(w, x)[1](c) for m in (found, wanted))
    np.testing.assert_allclose(ours.weights, theirs.weights, atol=10 * atol)
    np.testing.assert_allclose(ours.inputs, theirs.inputs, atol=10 * atol)


@pytest.mark.parametrize("name", ["zne", "twirled", "verified", "cdr", "zne of twirled"])
def test_trajectories_and_their_standard_errors(name: str) -> None:
    (w, x), exact = point(), METHODS[name]()
    paths: dict[str, Any] = {"method": "trajectories", "trajectories": 300}
    if name == "zne of twirled":
        sampled = METHODS[name](**paths)
    else:
        sampled = METHODS[name](compile=partial(compile_circuit, seed=4), **paths)
    values, errors = sampled.with_standard_errors(w, x)
    np.testing.assert_array_equal(values, sampled(w, x))
    assert (errors >= 0).all() and 0 < errors.max() < 0.2
    assert (np.abs(values - exact(w, x)) < 5 * errors + 1e-9).all()
    np.testing.assert_array_equal(exact.with_standard_errors(w, x[0])[1], 0)


# values, by dense matrices


def test_zne_is_the_combination_of_folded_circuits() -> None:
    (w, x), c = point(), circuit()
    parts = [table(MODEL.apply(fold_global(c, s)), OBSERVABLES, w, x) for s in (1, 3, 5)]
    wanted = np.tensordot([15 / 8, -10 / 8, 3 / 8], parts, axes=1)
    model = METHODS["zne"]()
    np.testing.assert_allclose(model(w, x), wanted, atol=1e-12)
    np.testing.assert_allclose(model.circuit_values(w, x), np.stack(parts, axis=1), atol=1e-12)
    assert model.scales.tolist() == [1, 3, 5]
    ideal, raw = kg.compile(c, OBSERVABLES)(w, x), parts[0]
    assert np.abs(model(w, x) - ideal).max() < 0.1 * np.abs(raw - ideal).max()


def test_zne_extrapolates_at_the_scales_that_were_met() -> None:
    model = zne(circuit(), OBSERVABLES, MODEL, scales=(1, 1.9, 3), folding="gates", seed=4)
    np.testing.assert_allclose(model.scales, [1, 22 / 12, 3])
    w, x = point()
    lengths = [folded(circuit(), s, "gates", 4) for s in (1, 1.9, 3)]
    parts = [table(MODEL.apply(c), OBSERVABLES, w, x) for c in lengths]
    s = model.scales
    gamma = [np.prod([t / (t - a) for t in s if t != a]) for a in s]
    np.testing.assert_allclose(model(w, x), np.tensordot(gamma, parts, axes=1), atol=1e-11)


def test_zne_by_a_stronger_noise_model() -> None:
    w, x = point()
    parts = [table(MODEL.scaled(s).apply(circuit()), OBSERVABLES, w, x) for s in (1, 3, 5)]
    wanted = [np.polyfit([1, 3, 5], np.array(p), 1)[-1] for p in np.moveaxis(parts, 0, -1).reshape(-1, 3)]
    np.testing.assert_allclose(METHODS["zne by noise"]()(w, x).ravel(), wanted, atol=1e-11)
    with pytest.raises(ArgumentError, match="needs a NoiseModel"):
        zne(circuit(), OBSERVABLES, MODEL.apply, folding="noise")


def test_global_depolarizing_noise_is_undone_by_an_exponential() -> None:
    """A Pauli expectation falls as f^gates towards 0 under depolarizing noise of all its wires after each gate."""
    c = kg.Circuit(2)
    w = c.weights(4)
    c.ry(w[0], 0).rx(w[1], 1).cx(0, 1).ry(w[2], 0).rz(w[3], 1).cx(1, 0)

    def everywhere(plain: kg.Circuit) -> kg.Circuit:
        out = plain.copy()
        out.gates = []
        for gate in plain.gates:
            out.gates.append(gate)
            out.channel(noise.depolarizing(0.03, 2), (0, 1))
        return out

    weights = np.array([0.4, 1.1, -0.7, 0.3])
    observables = [kg.Z(0), kg.X(0) @ kg.Y(1)]
    ideal = kg.compile(c, observables)(weights)
    model = zne(c, observables, everywhere, scales=(1, 3), extrapolate="exponential", asymptote=0.0)
    np.testing.assert_allclose(model(weights), ideal, atol=1e-12)
    fitted = zne(c, observables, everywhere, scales=(1, 2, 3), extrapolate="exponential")
    np.testing.assert_allclose(fitted(weights), ideal, atol=1e-6)
    assert np.abs(zne(c, observables, everywhere)(weights) - ideal).max() > 1e-3  # Richardson has a bias


def test_all_frames_give_the_twirled_channel() -> None:
    c = kg.Circuit(2)
    w, x = c.weights(2), c.inputs(1)
    c.ry(w[0], 0).rx(x[0], 1).cx(0, 1).ry(w[1], 0).cz(1, 0)
    coherent = noise.NoiseModel().after(noise.over_rotation("XX", 0.4), ["cx"])
    coherent = coherent.after(noise.amplitude_damping(0.1), ["cx", "cz"])
    observables = [kg.Z(0), kg.X(0) @ kg.Y(1)]
    at = np.array([0.7, -0.4]), np.array([[0.3], [1.2]])
    model = twirled(c, observables, coherent, frames=None)
    assert model.n_circuits == 256
    np.testing.assert_allclose(model(*at), table(coherent.to_pauli().apply(c), observables, *at), atol=1e-12)
    assert np.abs(kg.compile(coherent.apply(c), observables)(*at) - model(*at)).max() > 0.01
    several = [twirled(c, observables, coherent, frames=4, seed=s)(*at) for s in range(40)]
    spread = np.std(several, axis=0) / np.sqrt(40)
    assert (np.abs(np.mean(several, axis=0) - model(*at)) < 5 * spread + 1e-12).all()


@pytest.mark.parametrize("gate", ["cx", "cy", "cz", "swap", "iswap", "ecr"])
@pytest.mark.parametrize("inverse", [False, True])
def test_frames_change_nothing_without_noise(gate: str, inverse: bool) -> None:
    c = kg.Circuit(2).ry(0.3, 0).rx(0.8, 1).append(gate, (), (1, 0), inverse=inverse).rx(0.4, 0)
    observables = [kg.Z(0) @ kg.Z(1), kg.X(0), kg.Y(1)]
    values = twirled(c, observables, frames=None, gates=[gate]).circuit_values()
    np.testing.assert_allclose(values, np.broadcast_to(kg.compile(c, observables)(), (256 // 16, 3)), atol=1e-12)


def test_verification_is_post_selection() -> None:
    (w, x), noisy = point(), MODEL.apply(circuit())
    inside = (kg.I() + SYMMETRY) / 2
    projected = [(inside @ o @ inside).simplify() for o in OBSERVABLES] + [inside]
    found = table(noisy, projected, w, x)
    model = METHODS["verified"]()
    np.testing.assert_allclose(model(w, x), found[:, :2] / found[:, 2:], atol=1e-12)
    np.testing.assert_allclose(acceptance(model, w, x), found[:, 2], atol=1e-12)
    assert isinstance(acceptance(model, w, x[0]), float)


def test_verification_finds_what_a_symmetry_can_see() -> None:
    """Bit flips of a state with even parity: single ones are found, pairs are not."""
    c = kg.Circuit(2)
    w = c.weights(1)
    c.rxx(w[0], 0, 1)
    flips = noise.NoiseModel().after(noise.bit_flip(0.1), n_wires=2, on="each")
    parity, observable = kg.Z(0) @ kg.Z(1), kg.Z(0)
    ideal = float(kg.compile(c, observable)([0.6])[0])
    model = verified(c, observable, parity, flips)
    good, pair = 0.9**2, 0.1**2
    assert acceptance(model, [0.6]) == pytest.approx(good + pair)
    assert model([0.6])[0] == pytest.approx((good - pair) / (good + pair) * ideal)
    with pytest.raises(ArgumentError, match="next to nothing of the state"):
        verified(c, observable, -parity)([0.6])


# refusals


def test_no_file_describes_it(tmp_path: Any) -> None:
    with pytest.raises(CheckpointError, match="save its circuit"):
        METHODS["zne"]().save(tmp_path / "model.kg")
    assert not list(tmp_path.iterdir())


def test_no_second_derivatives_of_what_is_no_fixed_combination() -> None:
    (w, x), c = point(), np.ones((4, 2))
    for name in ("verified", "cdr", "zne exponential"):
        with pytest.raises(NotDifferentiableError, match="no fixed combination"):
            METHODS[name]().gradient_change(w, x, w, x, cotangents=c)


@pytest.mark.parametrize("name", ["zne", "pec", "zne of twirled"])
def test_second_derivatives_of_fixed_combinations(name: str, rng: np.random.Generator) -> None:
    (w, x), model, c, step = point(), METHODS[name](), rng.normal(size=(4, 2)), 1e-5
    dw, dx = rng.normal(size=w.shape), rng.normal(size=x.shape)
    found = model.gradient_change(w, x, dw, dx, cotangents=c)
    ends = [model.forward(w + s * dw, x + s * dx)[1](c) for s in (step, -step)]
    np.testing.assert_allclose(found.weights, (ends[0].weights - ends[1].weights) / (2 * step), atol=1e-6)
    np.testing.assert_allclose(found.inputs, (ends[0].inputs - ends[1].inputs) / (2 * step), atol=1e-6)


def test_refusals() -> None:
    c = circuit()
    with pytest.raises(CircuitError, match="fold the circuit without noise first"):
        zne(MODEL.apply(c), OBSERVABLES, MODEL)
    with pytest.raises(ArgumentError, match="folding is one of"):
        zne(c, OBSERVABLES, MODEL, folding="locally")
    with pytest.raises(ArgumentTypeError, match="needs observables"):
        zne(c, [], MODEL)
    with pytest.raises(ArgumentTypeError, match="expected a Circuit, got str"):
        twirled("circuit", OBSERVABLES)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="noise is a NoiseModel"):
        pec(c, OBSERVABLES, 0.1)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="circuit into a circuit, got NoneType"):
        pec(c, OBSERVABLES, lambda _: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(CircuitError, match="no Clifford gate on two wires"):
        twirled(kg.Circuit(2).ch(0, 1), kg.Z(0), gates=["ch"])
    with pytest.raises(CircuitError, match="none of the gates"):
        twirled(kg.Circuit(2).h(0), kg.Z(0))
    with pytest.raises(ArgumentTypeError, match="sequence of names"):
        twirled(c, OBSERVABLES, gates="cx")
    with pytest.raises(ArgumentError, match="16\\^4 frames"):
        twirled(kg.Circuit(2).cx(0, 1).cx(1, 0).cz(0, 1).cx(0, 1), kg.Z(0), frames=None)
    with pytest.raises(CircuitError, match="do not"):
        verified(c, OBSERVABLES, [kg.Z(0), kg.X(0)])
    for wrong in (2 * kg.Z(0), kg.Z(0) + kg.Z(1), kg.I(), kg.Projector("1")):
        with pytest.raises(CircuitError, match="one Pauli word with sign"):
            verified(c, OBSERVABLES, wrong)
    with pytest.raises(ArgumentTypeError, match=r"kg\.Z\(0\) @ kg\.Z\(1\)"):
        verified(c, OBSERVABLES, [])
    with pytest.raises(ArgumentTypeError, match="a model of kg.mitigation.verified"):
        acceptance(METHODS["zne"](), *point())
    with pytest.raises(ArgumentError, match="one sample, got a batch"):
        METHODS["verified"]().cost(*point())
    assert Linear([1.0]).coefficients.tolist() == [1.0] and N == 3
    with pytest.raises(AttributeError, match="no attribute 'zen'"):
        _ = kg.mitigation.zen
    assert "zne" in dir(kg.mitigation)
