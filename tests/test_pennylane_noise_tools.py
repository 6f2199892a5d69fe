"""Noise on the device beside the rest of PennyLane: transforms, shots, snapshots, trajectories, compiled QNodes."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ketgrad as kg

qml = pytest.importorskip("pennylane")

from pennylane import numpy as pnp  # noqa: E402
from pennylane.exceptions import DeviceError  # noqa: E402
from pennylane_cases import IGNORED, assert_same, device_maker  # noqa: E402

from ketgrad.pennylane_device import KetgradQubit  # noqa: E402

pytestmark = IGNORED
X = np.array([0.3, 0.5])


def mixed(wires: Any = 3) -> Any:
    return qml.device("default.mixed", wires=wires)


@pytest.fixture
def make(backend: str) -> Any:
    return device_maker(backend)


def clean(x: Any) -> Any:
    qml.RX(x[0], 0)
    qml.CNOT([0, 1])
    qml.RY(x[1], 1)
    qml.RX(0.2, 1)
    qml.CNOT([1, 2])
    return qml.expval(qml.Z(0) @ qml.Z(1) @ qml.Z(2))


def gates(x: Any, p: Any = 0.2) -> None:
    qml.RX(x, 0)
    qml.CNOT([0, 1])
    qml.RY(0.4, 1)
    qml.BitFlip(p, 0)
    qml.AmplitudeDamping(0.1, 1)


def value(x: Any, p: Any = 0.2) -> Any:
    gates(x, p)
    return qml.expval(qml.Z(0) @ qml.Z(1))


# transforms


def model() -> Any:
    def after(op: Any, **_: Any) -> None:
        qml.AmplitudeDamping(0.03, op.wires[0])
        qml.PhaseDamping(0.02, op.wires[1])

    rules = {
        qml.noise.op_in([qml.RX, qml.RY]): qml.noise.partial_wires(qml.DepolarizingChannel, 0.05),
        qml.noise.op_eq(qml.CNOT): after,
    }
    last = {qml.noise.meas_eq(qml.expval): qml.noise.partial_wires(qml.BitFlip, 0.02)}
    return qml.NoiseModel(rules, meas_map=last)


NOISY = {
    "add_noise to the qnode": lambda device: qml.add_noise(qml.QNode(clean, device), model()),
    "add_noise to the device": lambda device: qml.QNode(clean, qml.add_noise(device, model())),
    "insert into the qnode": lambda device: qml.noise.insert(
        qml.QNode(clean, device), qml.AmplitudeDamping, 0.05, position="all"
    ),
    "insert into the device": lambda device: qml.QNode(
        clean, qml.noise.insert(device, qml.PhaseFlip, 0.05, position="end")
    ),
    "zero-noise extrapolation": lambda device: qml.noise.mitigate_with_zne(
        qml.QNode(clean, qml.noise.insert(device, qml.DepolarizingChannel, 0.02, position="all")),
        [1, 2, 3],
        qml.noise.fold_global,
        qml.noise.poly_extrapolate,
        extrapolate_kwargs={"order": 2},
    ),
}


@pytest.mark.parametrize("name", NOISY)
def test_transforms_that_add_noise(name: str, make: Any) -> None:
    ours, reference = NOISY[name](make(3)), NOISY[name](mixed())
    assert_same(ours(X), reference(X), 1e-10)
    step = 1e-5  # default.mixed's own gradient is NaN for some of them
    slopes = [(reference(X + d) - reference(X - d)) / (2 * step) for d in step * np.eye(2)]
    assert np.allclose(qml.grad(ours)(pnp.array(X)), slopes, rtol=0, atol=1e-8)


def test_strengths_inside_a_transform_are_trained(make: Any) -> None:
    def noisy(device: Any) -> Any:
        return lambda p: qml.noise.insert(qml.QNode(clean, device), qml.AmplitudeDamping, p, position="all")(X)

    ours, p, step = noisy(make(3)), 0.1, 1e-5
    slope = (noisy(mixed())(p + step) - noisy(mixed())(p - step)) / (2 * step)
    assert np.isclose(qml.grad(ours)(pnp.array(p)), slope, atol=1e-8)


# shots


def test_shots_agree_with_exact_values(make: Any) -> None:
    def circuit() -> Any:
        gates(0.7)
        return (
            qml.expval(qml.Z(0) @ qml.Z(1)),
            qml.expval(qml.X(1)),
            qml.probs(wires=[1, 0]),
            qml.var(qml.Z(1)),
            qml.expval(qml.Hermitian(np.array([[0.2, 1j], [-1j, 0.5]]), 0)),
        )

    node = qml.QNode(circuit, make(2))
    for got, wanted in zip(qml.set_shots(node, 40_000)(), node(), strict=True):
        assert np.allclose(got, wanted, rtol=0, atol=0.03)


def test_samples_and_counts(make: Any) -> None:
    def circuit() -> Any:
        gates(0.7)
        return qml.sample(wires=[1]), qml.counts()

    samples, counts = qml.set_shots(qml.QNode(circuit, make(2)), 500)()
    assert samples.shape == (500, 1) and sum(counts.values()) == 500
    one, other = (qml.set_shots(qml.QNode(circuit, make(2)), 500)()[1] for _ in range(2))
    assert one == other  # the seed decides
    assert [np.shape(r) for r in qml.set_shots(qml.QNode(value, make(2)), [10, 20])(0.3)] == [(), ()]


def test_gradients_with_shots(make: Any) -> None:
    exact = qml.grad(qml.QNode(value, make(2)))(pnp.array(0.3), pnp.array(0.2))
    node = qml.set_shots(qml.QNode(value, make(2)), 100_000)
    assert np.allclose(qml.grad(node)(pnp.array(0.3), pnp.array(0.2)), exact, rtol=0, atol=0.03)
    by_angle = qml.grad(node, argnums=0)(pnp.array(0.3), 0.2)
    assert np.isclose(by_angle, exact[0], atol=0.03)


def test_what_has_no_rule_with_shots_is_refused(make: Any) -> None:
    def circuit(p: Any) -> Any:
        qml.AmplitudeDamping(p, 0)
        return qml.expval(qml.Z(0))

    with pytest.raises(DeviceError, match="no shift rule for the parameters of AmplitudeDamping"):
        qml.grad(qml.set_shots(qml.QNode(circuit, make(1)), 100))(pnp.array(0.2))


# on the way


def test_snapshots(make: Any) -> None:
    def circuit(x: Any) -> Any:
        qml.RX(x, 0)
        qml.BitFlip(0.2, 0)
        qml.Snapshot("density")
        qml.CNOT([0, 1])
        qml.Snapshot(measurement=qml.expval(qml.Z(1)))
        qml.Snapshot("entropy", measurement=qml.vn_entropy([1]))
        return qml.probs()

    got, wanted = (qml.snapshots(qml.QNode(circuit, d))(0.3) for d in (make(2), mixed(2)))
    assert list(got) == list(wanted)
    for key in wanted:
        assert_same(got[key], wanted[key], 1e-10)


def test_deferred_measurements(make: Any) -> None:
    def circuit(x: Any) -> Any:
        qml.RX(x, 0)
        qml.BitFlip(0.2, 0)
        m = qml.measure(0, reset=True)
        qml.cond(m, qml.RY)(0.4, 1)
        qml.DepolarizingChannel(0.1, 1)
        return qml.expval(qml.Z(1)), qml.probs(op=m)

    exact = qml.QNode(circuit, mixed(3))(0.7)
    assert_same(qml.QNode(circuit, make(3))(0.7), exact, 1e-10)
    for got, wanted in zip(qml.set_shots(qml.QNode(circuit, make(3)), 20_000)(0.7), exact, strict=True):
        assert np.allclose(got, wanted, rtol=0, atol=0.04)


# trajectories


def wide(x: Any) -> Any:
    for k in range(5):
        qml.RY(x * (k + 1), k)
        qml.DepolarizingChannel(0.1, k)
    for k in range(4):
        qml.CNOT([k, k + 1])
        qml.AmplitudeDamping(0.1, k)
    return qml.expval(qml.Z(0) @ qml.Z(4)), qml.expval(qml.X(2)), qml.var(qml.Z(3))


def test_trajectories(make: Any) -> None:
    exact = np.array(qml.QNode(wide, make(5))(0.3))
    options = {"method": "trajectories", "trajectories": 2000}
    device = make(5, **options, seed=1)
    node = qml.QNode(wide, device)
    got = np.array(node(0.3))
    assert 0 < np.abs(got - exact).max() < 0.06  # some five standard errors
    assert np.array_equal(got, node(0.3)) and np.array_equal(got, qml.QNode(wide, make(5, **options, seed=1))(0.3))
    assert not np.array_equal(got, qml.QNode(wide, make(5, **options, seed=2))(0.3))

    def first(x: Any, on: Any) -> Any:
        return qml.QNode(wide, on)(x)[0]

    slope = qml.grad(first, argnums=0)(pnp.array(0.3), device)
    step = 1e-5
    assert np.isclose(slope, (first(0.3 + step, device) - first(0.3 - step, device)) / (2 * step), atol=1e-6)
    assert np.isclose(slope, qml.grad(first, argnums=0)(pnp.array(0.3), make(5)), atol=0.15)


def test_trajectories_of_many_wires(make: Any) -> None:
    """Whose density matrix fits nowhere."""

    def circuit() -> Any:
        for k in range(18):
            qml.Hadamard(k)
        qml.PhaseFlip(0.1, 0)
        qml.PhaseFlip(0.1, 17)
        return qml.expval(qml.X(0) @ qml.X(17))

    assert np.isclose(qml.QNode(circuit, make(18, method="trajectories", trajectories=50))(), 0.64, atol=0.2)


# compiled QNodes


def test_a_compiled_qnode_has_its_channels(make: Any) -> None:
    node = qml.QNode(lambda x: value(x), make(2))
    fast = kg.compile(node, np.array(0.3))
    assert fast.traced
    assert np.isclose(fast(np.array(0.7)), node(0.7), atol=1e-12)
    assert np.isclose(qml.grad(fast)(pnp.array(0.7)), qml.grad(node)(pnp.array(0.7)), atol=1e-12)


def test_a_compiled_qnode_keeps_the_method_of_its_device(make: Any) -> None:
    device = make(5, method="trajectories", trajectories=100)
    node = qml.QNode(wide, device)
    fast = kg.compile(node, np.array(0.3))
    assert fast.traced
    assert_same(fast(np.array(0.3)), node(0.3), 1e-12)


def test_strengths_as_arguments_are_queued_at_every_call(make: Any) -> None:
    node = qml.QNode(value, make(2))
    with pytest.warns(UserWarning, match="queued again at every call"):
        fast = kg.compile(node, np.array(0.3), np.array(0.2))
    x, p = pnp.array(0.7), pnp.array(0.1)
    assert_same(qml.grad(fast)(x, p), qml.grad(node)(x, p), 1e-12)


# refusals


def refused(make: Any, circuit: Any, options: dict[str, Any], *args: Any) -> Any:
    return qml.QNode(circuit, make(2, **options))(*args)


def postselected() -> Any:
    gates(0.3)
    qml.measure(0, postselect=1)
    return qml.expval(qml.Z(1))


def density() -> Any:
    gates(0.3)
    return qml.density_matrix([0])


def shadows() -> Any:
    gates(0.3)
    return qml.shadow_expval(qml.Z(0))


PATHS = {"method": "trajectories"}


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda m: m(2, method="dense"), r"method must be one of \('density', 'trajectories'\) or None, got 'dense'"),
        (lambda m: m(2, trajectories=0), "trajectories is an integer of at least 2, got 0"),
        (lambda m: refused(m, value, {}, 0.3, 1.2), r"add up to at most 1, got 1 \+0.2"),
        (lambda m: refused(m, value, {}, 0.3, np.array([0.1, 0.2])), r"parameter 0 of BitFlip is one number.*\(2,\)"),
        (lambda m: refused(m, density, PATHS), "got DensityMatrixMP; use method='density'"),
        (lambda m: qml.grad(qml.QNode(value, m(2, **PATHS)))(pnp.array(0.3), pnp.array(0.2)), "use method='density'"),
        (lambda m: refused(m, postselected, {}), "without postselection"),
        (lambda m: qml.set_shots(qml.QNode(shadows, m(2)), 10)(), "no state vector to take snapshots of"),
        (
            lambda m: qml.grad(lambda k: trained_matrices(m, k))(pnp.array(0.6)),
            "the matrices of Custom are constants",
        ),
        (lambda m: shifted_on_the_device(m), "add the noise to the QNode"),
    ],
)
def test_refusals(work: Any, message: str, make: Any) -> None:
    with pytest.raises(DeviceError, match=message):
        work(make)


class Custom(qml.operation.Channel):  # type: ignore[misc]
    """A channel that nobody knows."""

    num_params = 1
    num_wires = 1

    @staticmethod
    def compute_kraus_matrices(p: Any) -> list[Any]:
        return [np.sqrt(1 - p) * np.eye(2), np.sqrt(p) * np.diag([1.0, 1j])]


def custom(p: Any) -> Any:
    qml.Hadamard(0)
    Custom(p, wires=0)
    return qml.expval(qml.X(0)), qml.expval(qml.Y(0))


def trained_matrices(make: Any, p: Any) -> Any:
    return qml.QNode(custom, make(1))(p)[0]


def shifted_on_the_device(make: Any) -> Any:
    """With shots, strengths that PennyLane does not see."""

    def loss(x: Any, p: Any) -> Any:
        device = qml.noise.insert(make(3), qml.BitFlip, p, position="end")
        return qml.set_shots(qml.QNode(clean, device), 100)(x)

    return qml.grad(loss)(pnp.array(X), pnp.array(0.1))


def test_a_channel_that_nobody_knows_runs_by_its_matrices(make: Any) -> None:
    assert_same(qml.QNode(custom, make(1))(0.2), (0.8, 0.2), 1e-12)


# the page


def test_the_example_of_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "noise.md").read_text()
    (block,) = re.findall(r"^```python\n(import pennylane.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    plugins = qml.devices.device_constructor.plugin_devices
    monkeypatch.setitem(plugins, "ketgrad.qubit", SimpleNamespace(load=lambda: KetgradQubit))
    names: dict[str, Any] = {}
    exec(compile(block, "docs/noise.md", "exec"), names)
    reference = qml.QNode(names["noisy"].func, mixed(2))(0.3, 0.1)
    assert_same((names["value"], names["purity"], names["matrix"]), reference, 1e-10)
    assert np.isfinite(names["slopes"]).all()
