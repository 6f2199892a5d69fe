"""PennyLane's channels on the device: what default.mixed gives, and gradients that are never NaN."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")

from pennylane import numpy as pnp  # noqa: E402
from pennylane_cases import CHANNELS, EXACT, IGNORED, MATRIX, N, assert_same, device_maker, scramble  # noqa: E402

pytestmark = IGNORED
STRENGTHS = [s for _, own in CHANNELS.values() for s in own]
ANGLES = [0.3, 0.7, -0.4]
REFUSED = ("expval power", "expval eigenvalues", "expval sparse")  # by default.mixed
INTERFACES = ["autograd", "torch", "jax", "jax-jit"]


def mixed(wires: Any = N) -> Any:
    return qml.device("default.mixed", wires=wires)


@pytest.fixture
def make(backend: str) -> Any:
    return device_maker(backend)


def noisy(x: Any, strengths: Any) -> None:
    """A circuit with all channels on three wires; the first strength acts at two places."""
    qml.RX(x[0], 0)
    qml.CNOT([0, 1])
    qml.RY(x[1], 1)
    qml.CRX(x[2], [1, 2])
    k = 0
    for place, (channel, own) in enumerate(CHANNELS.values()):
        channel([strengths[k + j] for j in range(len(own))], [place % 3, (place + 1) % 3, (place + 2) % 3])
        k += len(own)
        qml.RY(0.3 + 0.1 * place, (place + 1) % 3)
    qml.AmplitudeDamping(strengths[0], 1)


# values


@pytest.mark.parametrize("name", sorted(CHANNELS))
def test_every_measurement_after_every_channel(name: str, make: Any) -> None:
    channel, strengths = CHANNELS[name]

    def circuit() -> Any:
        scramble()
        channel(strengths, [2, 0, 3])
        qml.CRX(0.4, [2, 1])
        channel(strengths, [1, 2, 0])
        return [measure() for name, measure in EXACT.items() if name not in REFUSED]

    assert_same(qml.QNode(circuit, make())(), qml.QNode(circuit, mixed())(), 1e-10)


def test_sparse_observables(make: Any) -> None:
    matrix = np.kron(MATRIX, MATRIX)
    sparse = qml.SparseHamiltonian(qml.Hermitian(matrix, [0, 1]).sparse_matrix(), wires=[2, 0])

    def circuit(x: Any, measure: Any, obs: Any) -> Any:
        noisy([x, *ANGLES[1:]], STRENGTHS)
        return measure(obs)

    node, x = qml.QNode(circuit, make(3)), pnp.array(0.3)
    for measure in (qml.expval, qml.var):
        pair = [(measure, sparse), (measure, qml.Hermitian(matrix, wires=[2, 0]))]
        assert_same(node(x, *pair[0]), node(x, *pair[1]), 1e-10)
        assert_same(*(qml.grad(node, argnums=0)(x, *p) for p in pair), 1e-10)


def test_labels_and_wires_of_the_tape(make: Any) -> None:
    def circuit() -> Any:
        qml.Hadamard("a")
        qml.AmplitudeDamping(0.2, "b")
        qml.PhaseFlip(0.1, "a")
        qml.CNOT(["a", "b"])
        return qml.density_matrix(["b"]), qml.vn_entropy(["a"]), qml.state()

    assert_same(qml.QNode(circuit, make(None))(), qml.QNode(circuit, mixed(["a", "b"]))(), 1e-10)


def test_a_batch_of_angles(make: Any) -> None:
    def circuit(x: Any) -> Any:
        noisy([x, *ANGLES[1:]], STRENGTHS)
        return qml.expval(qml.Z(0) @ qml.X(2)), qml.probs(wires=[2, 1]), qml.purity([0]), qml.var(qml.X(1))

    node, angles = qml.QNode(circuit, make(3)), np.array([0.1, 0.5, -1.2])
    rows = [node(x) for x in angles]
    assert_same(node(angles), tuple(np.stack(column) for column in zip(*rows, strict=True)), 1e-12)


def test_single_precision(make: Any) -> None:
    def circuit() -> Any:
        noisy(ANGLES, STRENGTHS)
        return qml.expval(qml.X(0) @ qml.Z(1)), qml.state()

    assert_same(qml.QNode(circuit, make(3, c_dtype="complex64"))(), qml.QNode(circuit, make(3))(), 1e-5)


# gradients


MEASURED: dict[str, Callable[[], Any]] = {
    "expval": lambda: qml.expval(qml.Z(0) @ qml.X(1) + 0.3 * qml.Y(2)),
    "hermitian": lambda: qml.expval(qml.Hermitian(MATRIX, 1)),
    "var": lambda: qml.var(qml.X(2) + 0.3 * qml.Y(1) @ qml.Y(0)),
    "probs": lambda: qml.probs(wires=[2, 0]),
    "probs op": lambda: qml.probs(op=qml.X(0) @ qml.Y(2)),
    "state": lambda: qml.state(),
    "density": lambda: qml.density_matrix([2, 1]),
    "purity": lambda: qml.purity([0]),
    "entropy": lambda: qml.vn_entropy([1]),
    "information": lambda: qml.mutual_info([0], [2]),
}


def all_measured(z: Any) -> Any:
    noisy(z[:3], z[3:])
    return tuple(m() for m in MEASURED.values())


@cache
def factors() -> tuple[Any, ...]:
    rng = np.random.default_rng(1)
    shapes = [np.shape(r) for r in qml.QNode(all_measured, device_maker("numba")(3))(np.array(ANGLES + STRENGTHS))]
    return tuple(rng.normal(size=s) + 1j * rng.normal(size=s) for s in shapes)


def loss(results: Any) -> Any:
    """Something real that depends on everything, not linearly."""
    out = 0.0
    for r, c in zip(results, factors(), strict=True):
        own = qml.math.convert_like(c, r) if qml.math.get_interface(r) == "torch" else c
        out = out + qml.math.sum(qml.math.real(own * r)) + qml.math.sum(qml.math.real(r * qml.math.conj(r)))
    return out


@cache
def differences() -> Any:
    node, point, step = qml.QNode(all_measured, device_maker("numba")(3)), np.array(ANGLES + STRENGTHS), 1e-4
    moved = [(loss(node(point + d)) - loss(node(point - d))) / (2 * step) for d in step * np.eye(len(point))]
    return np.array([float(np.real(m)) for m in moved])


def gradient(function: Any, point: Any, interface: str) -> Any:
    if interface == "autograd":
        return qml.grad(function)(pnp.array(point, requires_grad=True))
    if interface == "torch":
        torch = pytest.importorskip("torch")
        z = torch.tensor(point, dtype=torch.float64, requires_grad=True)
        function(z).backward()
        return z.grad.numpy()
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    found = jax.grad(function)
    return np.asarray((jax.jit(found) if interface == "jax-jit" else found)(jax.numpy.array(point)))


@pytest.mark.parametrize("interface", ["autograd", "torch", "jax-jit"])
def test_gradients_of_everything_by_angles_and_strengths(interface: str, make: Any) -> None:
    node = qml.QNode(all_measured, make(3), interface=interface.removesuffix("-jit"))
    got = gradient(lambda z: loss(node(z)), ANGLES + STRENGTHS, interface)
    assert np.allclose(got, differences(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", sorted(CHANNELS))
@pytest.mark.parametrize("interface", INTERFACES)
def test_no_gradient_is_nan(name: str, interface: str, make: Any) -> None:
    """In default.mixed, backprop through states with zeros gives NaN here."""
    channel, strengths = CHANNELS[name]

    def circuit(x: Any) -> Any:
        qml.RX(x, 0)
        qml.CNOT([0, 1])
        channel(strengths, [1, 2, 0])
        return qml.expval(qml.Z(0))

    expected = -np.sin(0.3) * (0.5 if name == "PauliError" else 1.0)  # whose X is on the wire that is measured
    got = gradient(qml.QNode(circuit, make(3)), 0.3, interface)
    assert np.allclose(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("interface", INTERFACES)
def test_gradients_by_strengths_that_are_zero(interface: str, make: Any) -> None:
    def circuit(p: Any) -> Any:
        qml.RX(0.3, 0)
        qml.BitFlip(p[0], 0)
        qml.DepolarizingChannel(p[1], 0)
        qml.AmplitudeDamping(p[2], 0)
        return qml.expval(qml.Z(0))

    z = np.cos(0.3)
    got = gradient(qml.QNode(circuit, make(1)), [0.0, 0.0, 0.0], interface)
    assert np.allclose(got, [-2 * z, -4 / 3 * z, 1 - z], rtol=0, atol=1e-12)


def expectation(x: Any, p: Any) -> Any:
    noisy([x, *ANGLES[1:]], [p, *STRENGTHS[1:]])
    return qml.expval(qml.Z(0) @ qml.X(1) + 0.3 * qml.Y(2))


@cache
def exact_gradient() -> Any:
    """Of `expectation`, by default.mixed."""
    node = qml.QNode(expectation, mixed(3), diff_method="parameter-shift")
    by_angle = qml.grad(node, argnums=0)(pnp.array(0.3), 0.3)
    step = 1e-4
    by_strength = (node(0.3, 0.3 + step) - node(0.3, 0.3 - step)) / (2 * step)
    return float(by_angle), float(by_strength)


@pytest.mark.parametrize(
    "options",
    [
        *({"diff_method": m} for m in ("best", "adjoint", "backprop", "device", "parameter-shift", "finite-diff")),
        {"diff_method": "adjoint", "grad_on_execution": True},
        {"diff_method": "adjoint", "device_vjp": True},
    ],
    ids=str,
)
def test_methods_of_differentiation(options: dict[str, Any], make: Any) -> None:
    node = qml.QNode(expectation, make(3), **options)
    assert np.allclose(qml.grad(node)(pnp.array(0.3), pnp.array(0.3)), exact_gradient(), rtol=0, atol=1e-5)


def test_jacobians_and_their_products(make: Any) -> None:
    """The way that PennyLane takes with TensorFlow, and JAX in forward mode."""
    device = make(3)
    tape = qml.tape.make_qscript(expectation)(0.3, 0.3)
    tape.trainable_params = [0, 3]  # the first angle, and the first strength, at the first place it acts
    config = device.setup_execution_config(qml.devices.ExecutionConfig(gradient_method="adjoint"), tape)
    both = device.compute_derivatives((tape,), config)[0]
    pulled = device.compute_vjp((tape,), (2.0,), config)[0]
    assert np.allclose(np.array(pulled), 2 * np.array(both))
    step = 1e-4
    moved = [tape.bind_new_parameters([0.3, 0.3 + d], [0, 3]) for d in (step, -step)]
    one, other = device.execute(moved)
    assert np.allclose(both, [exact_gradient()[0], (one - other) / (2 * step)], rtol=0, atol=1e-6)
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    node = qml.QNode(expectation, make(3), diff_method="device")
    assert np.allclose(jax.jacfwd(node, argnums=(0, 1))(0.3, 0.3), exact_gradient(), rtol=0, atol=1e-6)


def test_strengths_that_vary_under_vmap(make: Any) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    x, p = jax.numpy.array([0.1, 0.2, 0.3]), jax.numpy.array([0.1, 0.3, 0.1])
    found = jax.grad(qml.QNode(expectation, make(3)), argnums=(0, 1))
    got = np.array(jax.vmap(found)(x, p))
    assert np.allclose(got, np.array([found(a, b) for a, b in zip(x, p, strict=True)]).T, rtol=0, atol=1e-12)


def test_batches_of_angles_have_one_gradient_by_strengths(make: Any) -> None:
    node = qml.QNode(expectation, make(3))
    angles = pnp.array([0.1, 0.5])
    got = qml.grad(lambda x, p: qml.math.sum(node(x, p) * np.array([1.0, 2.0])))(angles, pnp.array(0.2))
    one, two = (qml.grad(node)(pnp.array(x), pnp.array(0.2)) for x in (0.1, 0.5))
    assert np.allclose(got[0], [one[0], 2 * two[0]], rtol=0, atol=1e-12)
    assert np.isclose(got[1], one[1] + 2 * two[1], rtol=0, atol=1e-12)


def test_gradients_by_amplitudes(make: Any) -> None:
    def circuit(amplitudes: Any, p: Any) -> Any:
        qml.StatePrep(amplitudes, wires=[0, 1], normalize=True)
        qml.AmplitudeDamping(p, 0)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(0) + qml.X(1) @ qml.X(0))

    node, reference = qml.QNode(circuit, make(2)), qml.QNode(circuit, mixed(2))
    amplitudes, step = np.array([0.3, 0.5, 0.2, 0.6]), 1e-5
    slopes = [(reference(amplitudes + d, 0.2) - reference(amplitudes - d, 0.2)) / (2 * step) for d in step * np.eye(4)]
    by_strength = (reference(amplitudes, 0.2 + step) - reference(amplitudes, 0.2 - step)) / (2 * step)
    got = qml.grad(node)(pnp.array(amplitudes), pnp.array(0.2))
    assert_same(got, (np.array(slopes), by_strength), 1e-8)


def test_second_derivatives_are_right_or_refused(make: Any) -> None:
    """PennyLane's parameter-shift takes them."""
    x, p = pnp.array(0.3), pnp.array(0.2, requires_grad=False)
    curvature = qml.jacobian(qml.grad(qml.QNode(expectation, make(3), max_diff=2)))(x, p)
    slope, step = qml.grad(qml.QNode(expectation, make(3))), 1e-4
    assert np.isclose(curvature, (slope(x + step, p) - slope(x - step, p)) / (2 * step), atol=1e-6)
    with pytest.raises(Exception, match="neither second derivatives nor"):
        qml.jacobian(slope)(x, p)
