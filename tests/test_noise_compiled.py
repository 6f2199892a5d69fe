"""`NoisyModel`: strengths, shots, the readout, files and copies, what it refuses, who takes it for a model."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import noise_cases
import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

import ketgrad as kg
from ketgrad import noise
from ketgrad.errors import ArgumentError, ArgumentTypeError, CheckpointError, NotDifferentiableError, OutOfMemoryError
from ketgrad.hybrid import Classifier, readouts
from ketgrad.noise import NoisyModel
from ketgrad.noise.cost import choose
from ketgrad.persistence import from_document, to_document

SEEDS = st.integers(0, 2**32 - 1)
EPS = 1e-6
MAKERS = {  # of strengths, and where to take them
    "depolarizing": (noise.depolarizing, (0.2,)),
    "nothing left": (noise.depolarizing, (0.75,)),
    "depolarizing 2": (lambda p: noise.depolarizing(p, 2), (0.1,)),
    "pauli": (lambda x, z: noise.pauli({"X": x, "Z": z}), (0.1, 0.2)),
    "amplitude_damping": (noise.amplitude_damping, (0.3,)),
    "generalized_amplitude_damping": (noise.generalized_amplitude_damping, (0.3, 0.2)),
    "phase_damping": (noise.phase_damping, (0.3,)),
    "thermal_relaxation": (noise.thermal_relaxation, (50.0, 30.0, 10.0, 0.1)),
    "reset_error": (noise.reset_error, (0.1, 0.2)),
    "over_rotation": (lambda a: noise.over_rotation("XY", a), (0.4,)),
    "composed": (lambda p, g: noise.bit_flip(p) @ noise.amplitude_damping(g), (0.1, 0.3)),
}
DEVICE = (
    noise.NoiseModel()
    .after(noise.depolarizing(0.02), n_wires=1)
    .after(noise.amplitude_damping(0.05), n_wires=2)
    .readout_error((0.02, 0.06))
)


def layered(n: int = 2) -> kg.Circuit:
    circuit = kg.Circuit(n)
    x, w = circuit.inputs(n), circuit.weights((2, n))
    for layer in range(2):
        for q in range(n):
            circuit.ry(x[q], q).rx(w[layer, q], q)
        for q in range(n - 1):
            circuit.cz(q, q + 1)
    return circuit


# strengths


@pytest.mark.parametrize("name", MAKERS)
def test_strength_derivatives_are_differences(backend: str, name: str):
    make, at = MAKERS[name]
    rng = np.random.default_rng(1)
    n, recipe = 3, strategies.random_recipe(rng, 3, 6, 1, 1)
    places = [tuple(int(v) for v in rng.permutation(n)) for _ in range(3)]
    observables = [strategies.random_observable(rng, n)[0] for _ in range(2)]
    w, x = recipe.arguments(rng, 2)

    def model(strengths: tuple[float, ...]) -> NoisyModel:
        channel = make(*strengths)
        after = {2 * i: (channel, p[: channel.n_wires]) for i, p in enumerate(places)}
        after[1] = noise.bit_flip(0.1), (0,)
        return kg.compile(noise_cases.NoisyRecipe(recipe, after).circuit(), observables, backend=backend)

    here = model(at)
    found = {(s.channel, s.position): k for k, s in enumerate(here.strengths)}
    assert len(here.strengths) == len(at) + 1 and {s.value for s in here.strengths} == {*at, 0.1}
    assert {s.sites for s in here.strengths} == {1, 3}
    got = here.strength_jacobian(w, x)
    assert got.shape == (2, 2, len(at) + 1)
    assert np.allclose(here.strength_jacobian(w, x[0]), got[0], rtol=0, atol=1e-13)
    for j, value in enumerate(at):
        step = EPS * max(1.0, abs(value))
        ahead, behind = ((*at[:j], value + s, *at[j + 1 :]) for s in (step, -step))
        if name == "nothing left":  # a probability is at most 1; nothing stops at 3/4
            assert ahead[0] > 0.75
        wanted = (model(ahead)(w, x) - model(behind)(w, x)) / (2 * step)
        column = got[..., found[make(*at), j]]
        assert np.allclose(column, wanted, rtol=0, atol=1e-6 * (1 + np.abs(wanted).max()))


def test_a_strength_without_a_derivative_is_said():
    circuit = kg.Circuit(1).h(0).channel(noise.phase_damping(1.0), 0)
    with pytest.raises(NotDifferentiableError, match="phase_damping"):
        kg.compile(circuit, kg.X(0)).strength_jacobian()
    assert kg.compile(kg.Circuit(1).channel(noise.reset(), 0), kg.Z(0)).strength_jacobian().shape == (1, 0)


# shots and the readout


def confused(probabilities: np.ndarray, errors: tuple[float, float], n: int) -> np.ndarray:
    up, down = errors
    one = np.array([[1 - up, down], [up, 1 - down]])
    whole = np.ones((1, 1))
    for _ in range(n):
        whole = np.kron(whole, one)
    return whole @ probabilities


@pytest.mark.parametrize("method", ["density", "trajectories"])
def test_shots_and_readout(backend: str, method: str):
    rng = np.random.default_rng(0)
    circuit, w, x = layered(), rng.normal(size=4), rng.normal(size=2)
    observables = [kg.Z(0), kg.X(0) @ kg.Y(1), kg.Projector("10", [0, 1]), 2.0 * kg.I() - kg.X(1)]
    model = kg.compile(circuit, observables, noise=DEVICE, method=method, backend=backend)
    clean = kg.compile(DEVICE.apply(circuit), observables, method="density", backend=backend)
    exact = confused(clean.probabilities(w, x), (0.02, 0.06), 2)
    assert np.allclose(model.probabilities(w, x), exact, rtol=0, atol=1e-12 if method == "density" else 0.01)
    shots = 40_000
    counts = model.counts(w, x, shots=shots, seed=3)
    seen = np.array([counts.get(b, 0) for b in ("00", "01", "10", "11")])
    assert seen.sum() == shots
    assert noise_cases.chance(((seen - shots * exact) ** 2 / (shots * exact)).sum(), 3) > 1e-6
    bits = model.sample(w, x[None], shots=shots, seed=3)
    assert bits.shape == (1, shots, 2)
    assert np.array_equal(np.bincount(2 * bits[0, :, 0] + bits[0, :, 1], minlength=4), seen)
    values, (mean, variance) = model(w, x), model.estimate(w, x, shots=shots, seed=5)
    assert np.allclose(mean, values, rtol=0, atol=5 * np.sqrt(variance.max()) + (0 if method == "density" else 0.02))
    lost = 1 - 0.02 - 0.06
    plain = clean(w, x)
    wanted = lost * plain[0] + 0.06 - 0.02
    assert values[0] == pytest.approx(wanted, abs=1e-12 if method == "density" else 0.02)
    assert np.allclose(model.density_matrix(w, x), clean.density_matrix(w, x), rtol=0, atol=1e-12)


def test_gradients_from_shots(backend: str):
    rng = np.random.default_rng(0)
    circuit, w, x = layered(), rng.normal(size=4), rng.normal(size=2)
    model = kg.compile(circuit, [kg.Z(0), kg.X(0) @ kg.Y(1)], noise=DEVICE, backend=backend)
    exact, drawn = model.jacobian(w, x), model.jacobian(w, x, shots=20_000, seed=1)
    for a, b, v in ((exact.weights, drawn.weights, drawn.weights_variance),):
        assert np.abs(a - b).max() < 5 * np.sqrt(v.max()) < 0.1
    cotangents = np.array([1.0, -2.0])
    same = model.forward(w, x, shots=20_000, seed=1)[1](cotangents)
    assert np.allclose(same.weights, np.einsum("m,mp->p", cotangents, exact.weights), rtol=0, atol=0.1)


def test_what_is_kept_is_not_normalised(backend: str):
    circuit = kg.Circuit(2)
    w = circuit.weights(1)
    circuit.ry(w[0], 0).cx(0, 1).channel(noise.projection(1), 1)
    model = kg.compile(circuit, [kg.I(), kg.Z(0)], backend=backend)
    values, pullback = model.forward([0.7])
    kept = np.sin(0.35) ** 2
    assert np.allclose(values, [kept, -kept], rtol=0, atol=1e-12)
    assert pullback([1.0, 0.0]).weights[0] == pytest.approx(np.sin(0.7) / 2, abs=1e-12)
    assert model.counts([0.7], shots=10, seed=0) == {"11": 10}
    for call in (model.estimate, model.jacobian, model.forward):
        with pytest.raises(ArgumentError, match="not normalised"):
            call([0.7], shots=10)


# files, copies, looks


@given(seed=SEEDS)
def test_copies_and_files(tmp_path_factory: Any, seed: int):
    rng = np.random.default_rng(seed)
    recipe = noise_cases.random_noisy(rng, 2, 6, 2, 1)
    w, x = recipe.recipe.arguments(rng, 2)
    options = {"readout": [0.01, (0.02, 0.03)], "method": "trajectories", "trajectories": 50, "seed": 7}
    for more in ({}, options):
        model = kg.compile(recipe.circuit(), [kg.Z(0), kg.X(1)], noise=noise.NoiseModel(), **more)
        wanted = model(w, x)
        path = tmp_path_factory.mktemp("model") / "noisy.kg"
        model.save(path, w)
        for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), kg.load(path)):
            assert isinstance(twin, NoisyModel) and repr(twin) == repr(model) and twin.options == model.options
            assert np.array_equal(twin(w, x), wanted)


def test_a_forged_file_is_refused():
    header, arrays = to_document(kg.compile(layered(), kg.Z(0), noise=DEVICE))
    assert from_document(header, arrays, "it").options == kg.compile(layered(), kg.Z(0), noise=DEVICE).options
    for forged in ({"method": "magic"}, {"seed": -1}, {"readout": [[2, 0]]}, {"colour": 1}, [1]):
        with pytest.raises(CheckpointError, match="it does not hold"):
            from_document({**header, "noise": forged}, arrays, "it")


def test_looks():
    model = kg.compile(layered(), kg.Z(0), noise=DEVICE, method="density", backend=None)
    text = repr(model)
    assert text.startswith("NoisyModel(2 wires, 10 gates, 12 channels, 4 weights, 2 inputs, 1 observables, complex128")
    assert text.endswith(", density)")
    assert "KRAUS" in model.disassembly() and model.disassembly().startswith("; 4 qubits")
    paths = kg.compile(layered(), kg.Z(0), noise=DEVICE, method="trajectories")
    assert repr(paths).endswith(", trajectories)") and paths.disassembly().startswith("; 2 qubits, 22 instructions")
    assert "4 qubits" in model.plan() and "2 qubits" in paths.plan()
    assert kg.compile(layered(), kg.Z(0)).options == {}


# who takes it


def test_a_network_trains_with_noise(backend: str):
    rng = np.random.default_rng(0)
    circuit = DEVICE.apply(layered())
    model = kg.compile(circuit, readouts(2), readout=DEVICE.readout, backend=backend)
    network = Classifier(model, np.zeros(3), np.ones(3), [0, 1])
    network.theta[:] = rng.normal(0, 0.5, network.theta.shape)
    x, targets = rng.normal(size=(5, 3)), rng.integers(0, 2, 5)
    loss, _, gradient = network.loss_and_gradient(x, targets)
    for k in range(len(network.theta)):
        both = []
        for s in (EPS, -EPS):
            network.theta[k] += s
            both.append(network.loss_and_gradient(x, targets)[0])
            network.theta[k] -= s
        assert gradient[k] == pytest.approx((both[0] - both[1]) / (2 * EPS), abs=1e-8)
    assert np.isfinite(loss)


def test_a_network_with_noise_is_saved(tmp_path: Any):
    network = Classifier(kg.compile(layered(), readouts(2), noise=DEVICE), np.zeros(3), np.ones(3), [0, 1])
    network.theta[:] = np.linspace(-1, 1, len(network.theta))
    network.save(tmp_path / "network.kg")
    twin = Classifier.load(tmp_path / "network.kg")
    x = np.linspace(-1, 1, 12).reshape(4, 3)
    assert isinstance(twin.model, NoisyModel) and np.array_equal(twin.outputs(x), network.outputs(x))


def test_a_torch_layer_of_weights_and_inputs():
    torch = pytest.importorskip("torch")
    model = kg.compile(layered(), [kg.Z(0), kg.Z(1)], noise=DEVICE)
    layer = kg.torch.Layer(model, dtype=torch.float64, seed=1)
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2).requires_grad_()
    layer(x).square().sum().backward()
    w = layer.w.detach().numpy()
    values, pullback = model.forward(w, x.detach().numpy())
    wanted = pullback(2 * values)
    assert np.allclose(layer.w.grad.numpy(), wanted.weights.reshape(w.shape), rtol=0, atol=1e-12)
    assert np.allclose(x.grad.numpy(), wanted.inputs, rtol=0, atol=1e-12)
    assert torch.autograd.gradgradcheck(lambda x: layer(x), (x.detach()[:1].requires_grad_(),))


def test_a_jax_function_of_weights_and_inputs():
    jax = pytest.importorskip("jax")
    model = kg.compile(layered(), [kg.Z(0), kg.Z(1)], noise=DEVICE)
    f = kg.jax.function(model)
    w, x = np.linspace(0, 1, 4, dtype=np.float32), np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)
    got = jax.jit(jax.grad(lambda w: (f(w, x) ** 2).sum()))(w)
    values, pullback = model.forward(w, x)
    assert np.allclose(got, pullback(2 * values).weights, rtol=0, atol=1e-5)
    rows = jax.vmap(f, in_axes=(0, None))(np.stack([w, 2 * w]), x)
    assert np.allclose(rows[1], model(2 * w, x), rtol=0, atol=1e-5)
    hessian = jax.hessian(lambda w: f(w, x[0])[0])(w)
    assert np.allclose(hessian, model.hessian(w, x[0], cotangents=[1.0, 0.0]), rtol=0, atol=1e-4)


# what it refuses, and how it chooses


def test_what_a_mixed_state_has_not():
    model = kg.compile(layered(), kg.Z(0), noise=DEVICE)
    w, x = np.zeros(4), np.zeros(2)
    for call in (model.state, model.forward_state, model.metric_tensor):
        with pytest.raises(ArgumentError, match="a circuit with channels has no"):
            call(w, x)
    with pytest.raises(ArgumentError, match="a circuit with channels has no"):
        model.shadow(w, x, shots=10)


def test_options_are_checked():
    circuit = DEVICE.apply(layered())
    wrong = {"method": "dens", "trajectories": 1, "seed": -1, "tolerance": 0.0}
    for name, value in wrong.items():
        with pytest.raises(ArgumentError, match=name):
            kg.compile(circuit, kg.Z(0), **{name: value})
    with pytest.raises(ArgumentTypeError, match="NoiseModel"):
        kg.compile(circuit, kg.Z(0), noise=noise.reset())
    with pytest.raises(TypeError, match="colour"):
        kg.compile(circuit, kg.Z(0), colour=1)


def test_a_method_is_chosen_by_cost():
    small, large = DEVICE.apply(layered(3)), DEVICE.apply(layered(14))
    assert kg.compile(small, kg.Z(0)).method == "density"
    assert kg.compile(large, kg.Z(0)).method == "trajectories"
    program = kg.compile(DEVICE.apply(layered(10)), kg.Z(0))._lowered.program
    assert choose(program, 10) == "trajectories" and choose(program, 10**6) == "density"


def test_memory_is_asked_for_first(monkeypatch: pytest.MonkeyPatch):
    model = kg.compile(DEVICE.apply(layered(12)), kg.Z(0), method="density")
    monkeypatch.setenv("KETGRAD_MAX_MEMORY", "1e8")
    with pytest.raises(OutOfMemoryError, match=r"density matri.* of 12 qubits .* method='trajectories'"):
        model(np.zeros(24), np.zeros(12))
    assert kg.compile(DEVICE.apply(layered(12)), kg.Z(0)).method == "trajectories"
