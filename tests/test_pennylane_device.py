"""The PennyLane device's gradients against PennyLane's own, and its manners: caches, batches, errors, the contract."""

from __future__ import annotations

import copy
import importlib.metadata
import pickle
import threading
from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")
pnp = qml.numpy

from pennylane_cases import (  # noqa: E402
    IGNORED,
    MATRIX,
    arguments,
    assert_same,
    device_maker,
    layered,
    reference,
    scramble,
)

import ketgrad.model  # noqa: E402
import ketgrad.pennylane_device.device as device_module  # noqa: E402
from ketgrad.backends import Plan  # noqa: E402
from ketgrad.pennylane_device import KetgradQubit  # noqa: E402

pytestmark = IGNORED


@pytest.fixture
def make(backend: str) -> Any:
    """A device on the backend under test."""
    return device_maker(backend)


# gradients


def autograd_jacobian(device: Any, batch: int | None, **options: Any) -> Any:
    x, w = (pnp.array(a, requires_grad=True) for a in arguments(batch))
    node = qml.QNode(layered, device, **options)
    return qml.jacobian(lambda x, w: pnp.stack(node(x, w)))(x, w)


@pytest.mark.parametrize(
    ("batch", "options"),
    [
        (None, {}),
        (None, {"diff_method": "adjoint"}),
        (None, {"diff_method": "adjoint", "grad_on_execution": True}),
        (None, {"diff_method": "adjoint", "device_vjp": True}),
        (None, {"diff_method": "device"}),
        (None, {"diff_method": "parameter-shift"}),
        (None, {"diff_method": "hadamard"}),
        (4, {}),
        (4, {"diff_method": "adjoint", "grad_on_execution": True}),
    ],
)
def test_gradients_with_autograd(batch: int | None, options: dict[str, Any], make: Any) -> None:
    wanted = autograd_jacobian(reference(3), batch, diff_method="backprop")
    wires = 4 if options.get("diff_method") == "hadamard" else 3  # it needs an auxiliary wire
    if options.get("diff_method") == "hadamard":
        options = {**options, "gradient_kwargs": {"aux_wire": 3}}
    assert_same(autograd_jacobian(make(wires), batch, **options), wanted, 1e-10)


@pytest.mark.parametrize("batch", [None, 4])
def test_gradients_with_torch(batch: int | None, make: Any) -> None:
    torch = pytest.importorskip("torch")
    x, w = (torch.tensor(a, requires_grad=True) for a in arguments(batch))

    def gradient(device: Any, method: str) -> Any:
        values = torch.stack(tuple(qml.QNode(layered, device, diff_method=method)(x, w)))
        scale = torch.arange(values.numel(), dtype=torch.float64).reshape(values.shape)
        return [g.numpy() for g in torch.autograd.grad((values * scale).sum(), (x, w))]

    assert_same(gradient(make(3), "adjoint"), gradient(reference(3), "backprop"), 1e-10)


@pytest.mark.parametrize("batch", [None, 4])
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("device_vjp", [False, True])
def test_gradients_with_jax(batch: int | None, jit: bool, device_vjp: bool, make: Any) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    x, w = (jax.numpy.array(a) for a in arguments(batch))

    node = qml.QNode(layered, make(3), diff_method="adjoint", device_vjp=device_vjp)
    function = jax.jacobian(lambda x, w: jax.numpy.stack(node(x, w)), argnums=(0, 1))
    got = (jax.jit(function) if jit else function)(x, w)
    assert_same(got, autograd_jacobian(reference(3), batch, diff_method="backprop"), 1e-10)


def test_jit_of_a_circuit_without_angles(make: Any) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)

    @qml.qnode(make(2))
    def node(c: Any) -> Any:
        qml.Hadamard(0)
        qml.CNOT([0, 1])
        return qml.expval(c * (qml.Z(0) @ qml.Z(1))), qml.probs(wires=[0])

    def loss(c: Any) -> Any:
        value, probabilities = node(c)
        return 3 * value**2, probabilities

    (value, probabilities), slope = jax.jit(jax.value_and_grad(loss, has_aux=True))(0.5)
    np.testing.assert_allclose([value, slope], [0.75, 3.0], atol=1e-12)
    np.testing.assert_allclose(probabilities, [0.5, 0.5], atol=1e-12)


def test_forward_mode_with_jax(make: Any) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    x, w = (jax.numpy.array(a) for a in arguments(None))

    node = qml.QNode(layered, make(3), diff_method="device")
    values, tangents = jax.jvp(lambda x: jax.numpy.stack(node(x, w)), (x,), (jax.numpy.arange(3.0),))
    jacobian, _ = autograd_jacobian(reference(3), None, diff_method="backprop")
    assert_same(values, np.array(qml.QNode(layered, reference(3))(*arguments(None))), 1e-10)
    assert_same(tangents, jacobian @ np.arange(3.0), 1e-10)


def test_shot_gradients_are_near_the_exact_ones(make: Any) -> None:
    x, w = (pnp.array(a, requires_grad=True) for a in arguments(None))
    shots = 20_000

    def gradient(device: Any, number: int | None) -> Any:
        node = qml.set_shots(qml.QNode(layered, device, diff_method="parameter-shift"), number)
        return qml.jacobian(lambda x, w: pnp.stack(node(x, w)))(x, w)

    assert_same(gradient(make(3), shots), gradient(reference(3), None), 8 * 2 / np.sqrt(shots))


def test_gradient_of_trainable_amplitudes_and_matrices(make: Any) -> None:
    amplitudes = pnp.array([0.1, 0.7, 0.5, 0.5], requires_grad=True)

    def circuit(a: Any, phi: Any) -> Any:
        qml.StatePrep(a / pnp.linalg.norm(a), wires=[0, 1])
        matrix = pnp.cos(phi) * np.eye(2) - 1j * pnp.sin(phi) * np.array([[0, 1], [1, 0]])
        qml.QubitUnitary(matrix, wires=0)
        return qml.expval(qml.Z(0) @ qml.X(1))

    def gradient(device: Any, method: str) -> Any:
        return qml.grad(qml.QNode(circuit, device, diff_method=method))(amplitudes, pnp.array(0.3, requires_grad=True))

    assert_same(gradient(make(2), "adjoint"), gradient(reference(2), "backprop"), 1e-8)


def test_best_falls_back_to_parameter_shift(make: Any) -> None:
    w = pnp.array(0.4, requires_grad=True)
    node = qml.QNode(lambda w: (qml.RX(w, 0), qml.probs(wires=0))[1], make(1))
    assert_same(qml.jacobian(node)(w), np.array([-0.5, 0.5]) * np.sin(0.4), 1e-12)


# structures, batches, calls


def test_another_execution_lowers_nothing(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = qml.QNode(layered, make(3), diff_method="adjoint")
    x, w = (pnp.array(a, requires_grad=True) for a in arguments(None))
    gradient = qml.jacobian(lambda x, w: pnp.stack(node(x, w)))
    first = gradient(x, w)
    lowered: list[int] = []
    real = ketgrad.model.lower
    monkeypatch.setattr(ketgrad.model, "lower", lambda *a: lowered.append(1) or real(*a))
    again, other = gradient(x, w), gradient(x + 1, w)
    assert not lowered
    assert_same(again, first)
    assert np.abs(other[0] - first[0]).max() > 1e-3
    qml.QNode(lambda: (qml.RX(0.1, 0), qml.expval(qml.Z(0)))[1], make(3))()
    assert lowered  # another structure does lower


def test_structures_that_differ_are_kept_apart(make: Any) -> None:
    device = make(3)

    @qml.qnode(device)
    def circuit(kind: int) -> Any:
        scramble(range(3))
        if kind < 2:
            qml.ctrl(qml.RX(0.3, 0), control=[1, 2], control_values=[kind, 1])
        elif kind < 4:
            qml.QubitUnitary(qml.matrix(qml.RX(0.1 * kind, 0)), wires=0)
        elif kind < 6:
            qml.PauliRot(0.3, "XY" if kind == 4 else "YX", wires=[0, 1])
        return qml.expval(qml.Hermitian((1 + 0.1 * kind) * MATRIX, 0)), qml.probs(wires=[kind % 3])

    wanted = qml.QNode(circuit.func, reference(3))
    for kind in (*range(7), *range(7)):
        assert_same(circuit(kind), wanted(kind))


def test_a_batch_of_tapes_is_one_call(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    device = make(2)
    tapes = [qml.tape.QuantumScript([qml.RX(t, 0), qml.CNOT([0, 1])], [qml.expval(qml.Z(1))]) for t in (0.1, 0.2, 0.3)]
    calls: list[Any] = []
    real = Plan.forward
    monkeypatch.setattr(Plan, "forward", lambda self, *a: calls.append(1) or real(self, *a))
    assert_same(device.execute(tapes), tuple(np.cos([0.1, 0.2, 0.3])))
    assert len(calls) == 1


def test_a_broadcast_parameter_is_one_call(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[Any] = []
    real = Plan.forward
    monkeypatch.setattr(Plan, "forward", lambda self, w, x, *a: shapes.append(x.shape) or real(self, w, x, *a))
    x, w = arguments(5)
    got = qml.QNode(layered, make(3), diff_method=None)(x, w)
    assert shapes == [(5, 3)]
    assert_same(got, qml.QNode(layered, reference(3))(x, w))


def test_states_of_one_structure_run_one_by_one(make: Any) -> None:
    ops = [[qml.RX(t, 0), qml.CNOT([0, 1])] for t in (0.1, 0.2, 0.3)]
    tapes = [qml.tape.QuantumScript(o, [qml.state(), qml.vn_entropy(wires=[0])]) for o in ops]
    assert_same(make(2).execute(tapes), reference(2).execute(tapes))


def test_the_cache_is_bounded_and_leaves_out_what_is_heavy(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "CACHE_SIZE", 3)
    device = make(14)
    for depth in (1, 2, 3, 4, 5, 5, 4):
        tape = qml.tape.QuantumScript([qml.RX(0.1, 0)] * depth, [qml.expval(qml.Z(0))])
        assert_same(device.execute(tape), np.cos(0.1 * depth))
    assert len(device._cache) == 3
    phases = np.ones(2**14)
    heavy = qml.tape.QuantumScript([qml.DiagonalQubitUnitary(phases, wires=range(14))], [qml.expval(qml.Z(3))])
    before = list(device._cache)
    assert_same(device.execute(heavy), 1.0)
    assert list(device._cache) == before


def test_mixed_batches_keep_their_order(make: Any) -> None:
    def tape(k: int) -> Any:
        ops = [qml.RX(0.1 * k, 0)] if k % 2 else [qml.RY(0.1 * k, 0), qml.RX(np.array([0.1, 0.2]), 0)]
        return qml.tape.QuantumScript(ops, [qml.expval(qml.Z(0))] if k % 3 else [qml.probs(wires=[0]), qml.state()])

    tapes = [tape(k) for k in range(9)]
    assert_same(make(1).execute(tapes), reference(1).execute(tapes))
    assert_same(make(1).execute(tapes[1]), reference(1).execute(tapes[1]))


def test_labels_and_no_wires(make: Any) -> None:
    labels = ["q", -1, 7, "aux"]

    def circuit() -> Any:
        scramble(labels[:3])
        qml.CNOT([7, "q"])
        return qml.state(), qml.expval(qml.X(7) @ qml.Z("q")), qml.probs(wires=["q", -1])

    assert_same(qml.QNode(circuit, make(labels))(), qml.QNode(circuit, reference(labels))())
    assert_same(qml.QNode(circuit, make(None))(), qml.QNode(circuit, reference(None))())

    def unused() -> Any:
        qml.RX(0.3, 1)
        qml.RX(0.7, 0)
        return qml.state(), qml.expval(qml.Z(2)), qml.probs()

    assert_same(qml.QNode(unused, make(None))(), qml.QNode(unused, reference(None))())


def test_mid_circuit_measurements_are_deferred(make: Any) -> None:
    def circuit() -> Any:
        qml.RX(0.7, 0)
        m = qml.measure(0)
        qml.cond(m, qml.RY)(0.4, 1)
        return qml.expval(qml.Z(1)), qml.expval(m), qml.probs(op=m)

    assert_same(qml.QNode(circuit, make(4))(), qml.QNode(circuit, reference(4), mcm_method="deferred")())
    w = pnp.array(0.7, requires_grad=True)

    def trainable(w: Any) -> Any:
        qml.RX(w, 0)
        m = qml.measure(0)
        qml.cond(m, qml.RY)(w, 1)
        return qml.expval(qml.Z(1))

    got = qml.grad(qml.QNode(trainable, make(4), diff_method="adjoint"))(w)
    assert_same(got, qml.grad(qml.QNode(trainable, reference(4), diff_method="backprop"))(w))


def test_the_tracker_counts_once(make: Any) -> None:
    node = qml.QNode(layered, make(3), diff_method="adjoint")
    x, w = (pnp.array(a, requires_grad=True) for a in arguments(None))
    with qml.Tracker(node.device) as tracker:
        qml.grad(lambda x, w: node(x, w)[0])(x, w)
    assert tracker.totals["batches"] == tracker.totals["simulations"] == 1
    assert not {"vjps", "derivatives"} & set(tracker.totals)  # the framework's own pullback does it


def test_copies_and_pickles_after_use(make: Any) -> None:
    device = make(3, seed=11)
    circuit = qml.QNode(lambda: (scramble(range(3)), qml.expval(qml.Z(0)))[1], device)
    wanted = circuit()
    for twin in (pickle.loads(pickle.dumps(device)), copy.deepcopy(device)):
        assert qml.QNode(circuit.func, twin)() == wanted
        assert twin.wires == device.wires and twin.c_dtype == device.c_dtype


def test_many_threads_share_a_device(make: Any) -> None:
    device, wanted = make(3), qml.QNode(layered, reference(3))
    x, w = arguments(None)
    answers: list[Any] = [None] * 4

    def work(k: int) -> None:
        tape = qml.tape.make_qscript(layered)(x + k, w)
        (batch, join) = device.preprocess()[0]((tape,))
        answers[k] = [join(device.execute(batch))[0] for _ in range(3)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k, got in enumerate(answers):
        for one in got:
            assert_same(one, wanted(x + k, w))


# errors and the contract


def test_errors_are_pennylanes_own(make: Any) -> None:
    from pennylane.exceptions import DeviceError, QuantumFunctionError, WireError

    with pytest.raises(DeviceError, match="c_dtype must be complex64 or complex128, got 'float32'"):
        make(c_dtype="float32")
    with pytest.raises(DeviceError, match="got 'exact'"):
        make(c_dtype="exact")
    with pytest.raises(DeviceError, match="an angle is a real number"):
        make(1).execute(qml.tape.QuantumScript([qml.RX(0.1 + 0.2j, 0)], [qml.state()]))
    with pytest.raises(DeviceError, match="not accepted for analytic simulation"):
        qml.QNode(lambda: qml.sample(wires=0), make(1))()
    with pytest.raises(DeviceError, match="not accepted with finite shots"):
        qml.set_shots(qml.QNode(lambda: qml.state(), make(1)), 10)()
    purity = qml.tape.QuantumScript([qml.RX(0.1, 0)], [qml.purity(wires=0)], trainable_params=[0])
    with pytest.raises(DeviceError, match="leave grad_on_execution and device_vjp to their defaults"):
        make(1).compute_derivatives(purity)
    batched = qml.tape.QuantumScript([qml.RX(np.array([0.1, 0.2]), 0)], [qml.expval(qml.Z(0))], trainable_params=[0])
    with pytest.raises(DeviceError, match="Jacobians of broadcast tapes"):
        make(1).compute_derivatives(batched)
    with pytest.raises(DeviceError, match="backend must be"):
        KetgradQubit(1, backend="cuda")
    with pytest.raises(WireError, match="not found on the device"):
        qml.QNode(lambda: (qml.X(5), qml.state())[1], make(2))()
    with pytest.raises(DeviceError, match="not unitary"):
        qml.QNode(lambda: (qml.QubitUnitary(np.ones((2, 2)), 0), qml.state())[1], make(1))()
    with pytest.raises(DeviceError, match="must be finite"):
        qml.QNode(lambda: (qml.RX(np.nan, 0), qml.state())[1], make(1))()
    with pytest.raises(DeviceError, match="Projector"):
        qml.QNode(lambda: (qml.Projector(np.array([0.6, 0.8]), 0), qml.state())[1], make(1))()
    with pytest.raises(DeviceError, match="mcm_method='tree-traversal' does not support StateMP"):
        qml.QNode(lambda: (qml.measure(0), qml.state())[1], make(1), mcm_method="tree-traversal")()
    with pytest.raises(QuantumFunctionError, match="does not support adjoint"):
        qml.QNode(layered, make(3), diff_method="adjoint", max_diff=3)(*arguments(None))
    with pytest.raises(QuantumFunctionError, match="does not support adjoint"):
        qml.set_shots(qml.QNode(layered, make(3), diff_method="adjoint"), 10)(*arguments(None))
    with pytest.raises(DeviceError, match="device option speed not present"):
        make(1).setup_execution_config(qml.devices.ExecutionConfig(device_options={"speed": 3}))
    with pytest.raises(MemoryError):
        qml.QNode(lambda: (qml.X(0), qml.state())[1], make(60))()


def test_the_device_contract(make: Any) -> None:
    config = qml.devices.ExecutionConfig
    device = make(2)
    assert device.name == "ketgrad.qubit" and device.shots.total_shots is None
    assert device.supports_derivatives() and device.supports_derivatives(config(gradient_method="best"))
    assert not device.supports_derivatives(config(gradient_method="spsa"))
    probs = qml.tape.QuantumScript([], [qml.probs(wires=0)])
    assert device.supports_vjp(config(gradient_method="adjoint"), probs)
    assert not device.supports_vjp(config(gradient_method="parameter-shift"), probs)
    once = device.setup_execution_config(config(gradient_method="best"))
    assert once.gradient_method == "backprop" and once.use_device_gradient and once.grad_on_execution is False
    assert device.setup_execution_config(once) == once


def test_derivative_calls_in_every_shape(make: Any) -> None:
    device = make(2)
    x, y = 0.3, 0.8
    ops = [qml.RX(x, 0), qml.RY(y, 1)]
    tapes = [
        qml.tape.QuantumScript(ops, [qml.expval(qml.Z(0))], trainable_params=[0]),
        qml.tape.QuantumScript(ops, [qml.expval(qml.Z(0)), qml.expval(qml.Z(1))], trainable_params=[0, 1]),
        qml.tape.QuantumScript(ops, [qml.expval(qml.Z(0)), qml.expval(qml.X(1))], trainable_params=[1]),
        qml.tape.QuantumScript(ops, [qml.expval(qml.Z(0))], trainable_params=[]),
    ]
    dx, dy = -np.sin(x), -np.sin(y)
    jacobians = (np.array(dx), ((np.array(dx), np.array(0.0)), (np.array(0.0), np.array(dy))))
    jacobians += ((np.array(0.0), np.array(np.cos(y))), np.zeros(0))
    assert_same(device.compute_derivatives(tapes), jacobians)
    values, again = device.execute_and_compute_derivatives(tapes)
    assert_same(values, device.execute(tapes))
    assert_same(again, jacobians)
    cotangents = [2.0, (3.0, 4.0), (5.0, 6.0), 7.0]
    pulled = ((2 * dx,), (3 * dx, 4 * dy), (6 * np.cos(y),), ())
    assert_same(device.compute_vjp(tapes, cotangents), pulled)
    assert_same(device.execute_and_compute_vjp(tapes, cotangents), (device.execute(tapes), pulled))
    several = device.compute_vjp(tapes[1:2], [(np.array([3.0, 1.0]), np.array([4.0, 0.0]))])
    assert_same(several, ((np.array([3 * dx, dx]), np.array([4 * dy, 0.0])),))
    tangents = [(2.0,), (3.0, 4.0), (5.0,)]
    pushed = (2 * dx, (3 * dx, 4 * dy), (0.0, 5 * np.cos(y)))
    assert_same(device.compute_jvp(tapes[:3], tangents), pushed)
    assert_same(device.execute_and_compute_jvp(tapes[:3], tangents), (device.execute(tapes[:3]), pushed))


def test_entry_point() -> None:
    points = importlib.metadata.entry_points(group="pennylane.plugins", name="ketgrad.qubit")
    if not points:
        pytest.skip("ketgrad is not installed as a package here")
    assert {p.value for p in points} == {"ketgrad.pennylane_device:KetgradQubit"}
    assert isinstance(qml.device("ketgrad.qubit", wires=2, c_dtype="complex64"), KetgradQubit)
