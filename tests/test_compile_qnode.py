"""`kg.compile(qnode, *example)`: the same results and gradients as the QNode, or a warning and the QNode itself."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")
pnp = qml.numpy

from pennylane_cases import IGNORED, assert_same, device_maker, reference  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.pennylane_device import compiled  # noqa: E402

pytestmark = IGNORED
RNG = np.random.default_rng(12)
W = RNG.normal(size=(2, 3, 3))


@pytest.fixture
def make(backend: str) -> Any:
    """A device on the backend under test."""
    return device_maker(backend)


def layered(x: Any, w: Any, scale: int = 1, layers: int = 2) -> Any:
    """Angles of every kind that is traced: constant, scaled, shifted, a sum, a product of arguments, a square."""
    qml.Hadamard(0)
    for q in range(3):
        qml.RY(np.pi * x[..., q], q)
    for layer in range(layers):
        for q in range(3):
            qml.Rot(w[layer, q, 0], 0.5 * w[layer, q, 1] + 0.3, -w[layer, q, 2], q)
        qml.RX(x[..., layer] * w[layer, 0, 0], 0)
        qml.RZ(w[layer, 1, 1] - 2 * w[layer, 2, 1] + x[..., 1], 1)
        qml.CRY(scale * w[0, 0, 0] ** 2, [0, 2])
        qml.IsingXX(0.7, [1, 2])
    return [qml.expval(qml.Z(0)), qml.var(qml.X(1) + qml.Z(2)), qml.probs(wires=[2, 0])]


def point(batch: int | None) -> np.ndarray:
    return np.random.default_rng(3).normal(size=3 if batch is None else (batch, 3))


def loss(results: Any) -> Any:
    return sum((k + 1) * (r**2).sum() for k, r in enumerate(results))


def torch_gradients(f: Any, *arrays: Any) -> list[np.ndarray]:
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    return [g.numpy() for g in torch.autograd.grad(loss(f(*tensors)), tensors)]


def jax_gradients(f: Any, *arrays: Any, jit: bool = False) -> Any:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    gradient = jax.grad(lambda *a: loss(f(*a)), argnums=tuple(range(len(arrays))))
    return (jax.jit(gradient) if jit else gradient)(*(jax.numpy.array(a) for a in arrays))


def autograd_gradients(f: Any, *arrays: Any) -> Any:
    return qml.grad(lambda *a: loss(f(*a)), argnums=list(range(len(arrays))))(
        *(pnp.array(a, requires_grad=True) for a in arrays)
    )


GRADIENTS = {
    "torch": torch_gradients,
    "jax": jax_gradients,
    "jit": lambda *a: jax_gradients(*a, jit=True),
    "autograd": autograd_gradients,
}


@pytest.mark.parametrize("batch", [None, 1, 5])
@pytest.mark.parametrize("example", [None, 1, 5])
def test_results_and_shapes(make: Any, batch: int | None, example: int | None) -> None:
    node = qml.QNode(layered, make(3))
    fast = kg.compile(node, point(example), W, backend=node.device._backend)
    assert fast.traced and "traced" in repr(fast)
    got = fast(point(batch), W)
    assert isinstance(got, list)
    assert_same(got, qml.QNode(layered, reference(3))(point(batch), W))


@pytest.mark.parametrize("interface", list(GRADIENTS))
@pytest.mark.parametrize("batch", [None, 4])
def test_gradients(make: Any, interface: str, batch: int | None) -> None:
    wanted = torch_gradients(qml.QNode(layered, reference(3)), point(batch), W)
    fast = kg.compile(qml.QNode(layered, make(3)), point(batch), W, backend=make(1)._backend)
    for got, value in zip(GRADIENTS[interface](fast, point(batch), W), wanted, strict=True):
        assert_same(np.asarray(got), value, 1e-10)


@pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0)])
def test_vmap(make: Any, in_axes: tuple[int | None, int | None]) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    fast = kg.compile(qml.QNode(layered, make(3)), point(None), W, backend=make(1)._backend)
    arrays = [
        jax.numpy.array(np.stack([a, 0.5 * a, a + 1]) if axis == 0 else a)
        for a, axis in zip((point(None), W), in_axes, strict=True)
    ]
    gradient = jax.grad(lambda x, w: loss(fast(x, w)), argnums=(0, 1))
    got = jax.vmap(gradient, in_axes=in_axes)(*arrays)
    rows = [[a[k] if axis == 0 else a for a, axis in zip(arrays, in_axes, strict=True)] for k in range(3)]
    for k, row in enumerate(rows):
        for g, wanted in zip(got, gradient(*row), strict=True):
            assert_same(np.asarray(g[k]), np.asarray(wanted), 1e-10)


def test_a_batch_of_another_length_is_not_traced_again(make: Any) -> None:
    fast = kg.compile(qml.QNode(layered, make(3)), point(4), W, backend=make(1)._backend)
    queued = []
    original = fast.queue
    fast.queue = lambda *a: queued.append(1) or original(*a)  # type: ignore[method-assign]
    fast._traces[next(iter(fast._traces))]._calls = 5  # between two comparisons of the guard
    for batch in (7, 2, 9):
        assert_same(fast(point(batch), W), qml.QNode(layered, reference(3))(point(batch), W))
    assert len(queued) <= 1


def test_options_by_name_and_other_shapes_have_traces_of_their_own(make: Any) -> None:
    fast = kg.compile(qml.QNode(layered, make(3)), backend=make(1)._backend)
    assert "not traced yet" in repr(fast)
    wanted = qml.QNode(layered, reference(3))
    for options in ({}, {"layers": 1}, {"scale": 2}, {"layers": 1, "scale": 3}):
        assert_same(fast(point(None), W, **options), wanted(point(None), W, **options))
    assert len(fast._traces) == 4


def test_every_form_of_output(make: Any) -> None:
    def circuit(t: Any, form: str) -> Any:
        qml.RX(t, "a")
        qml.CNOT(["a", "b"])
        if form == "state":
            return qml.state()
        z = qml.expval(qml.Z("b"))
        if form in ("one", "list"):
            return z if form == "one" else [z]
        p = qml.probs(wires=["b"])
        return (z, p) if form == "tuple" else {"z": z, "p": p}

    fast = kg.compile(qml.QNode(circuit, make(["a", "b"])), backend=make(1)._backend)
    wanted = qml.QNode(circuit, reference(["a", "b"]))
    for form in ("one", "tuple", "list", "state"):
        got = fast(0.4, form)
        assert type(got) is type(wanted(0.4, form))
        assert_same(got, wanted(0.4, form))
    assert set(fast(0.4, "dict")) == {"z", "p"}


def test_a_transformed_qnode(make: Any) -> None:
    node = qml.transforms.merge_rotations(
        qml.QNode(lambda t: (qml.RX(t[0], 0), qml.RX(t[1], 0), qml.expval(qml.Z(0)))[2], make(1))
    )
    fast = kg.compile(node, np.array([0.1, 0.2]))
    assert fast.traced
    assert fast(np.array([0.3, 0.4])) == pytest.approx(np.cos(0.7), abs=1e-12)


def circuit_of(kind: str) -> Any:
    def circuit(t: Any) -> Any:
        if kind == "structure" and t[0] > 0.5:
            qml.X(0)
        qml.RX(qml.math.sin(t[1]) if kind == "sine" else t[1], 0)
        if kind == "amplitudes":
            qml.AmplitudeEmbedding(t, wires=[0], normalize=True)
        coefficient = t[0] if kind == "coefficients" else 1.0
        return qml.expval(coefficient * qml.Z(0))

    def prepared(t: Any) -> Any:
        qml.AmplitudeEmbedding(t, wires=[0], normalize=True)
        return qml.expval(qml.Z(0))

    return prepared if kind == "amplitudes" else circuit


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("structure", "asks for the value of an argument"),
        ("coefficients", "depend on the values"),
        ("sine", "no polynomial of degree 2"),
        ("amplitudes", "prepares a state"),
    ],
)
def test_what_is_not_traced_is_said_and_queued(make: Any, kind: str, why: str) -> None:
    node = qml.QNode(circuit_of(kind), make(1))
    with pytest.warns(UserWarning, match=f"{why}.*queued again at every call"):
        fast = kg.compile(node, np.array([0.3, 0.4]), backend=node.device._backend)
    assert not fast.traced and "queued at every call" in repr(fast)
    wanted = qml.QNode(circuit_of(kind), reference(1))
    for t in (np.array([0.3, 0.4]), np.array([0.9, -0.4])):
        assert_same(fast(t), wanted(t))
        assert_same(torch_gradients(lambda t: [fast(t)], t), torch_gradients(lambda t: [wanted(t)], t), 1e-10)


@pytest.mark.parametrize("question", [lambda v: v > 50, lambda v: bool(v // 50), lambda v: int(v) > 50])
def test_a_condition_on_a_value_is_noticed_though_every_probe_agrees(make: Any, question: Any) -> None:
    def circuit(t: Any) -> Any:
        if question(t[0]):
            qml.X(0)
        qml.RX(t[1], 0)
        return qml.expval(qml.Z(0))

    with pytest.warns(UserWarning, match="asks for the value of an argument.*queued again"):
        fast = kg.compile(qml.QNode(circuit, make(1)), np.array([0.3, 0.4]), backend=make(1)._backend)
    assert fast(np.array([0.3, 0.4])) == pytest.approx(np.cos(0.4), abs=1e-12)
    assert fast(np.array([60.0, 0.4])) == pytest.approx(-np.cos(0.4), abs=1e-12)


def test_the_guard_notices_what_the_probes_did_not(make: Any) -> None:
    def circuit(t: Any) -> Any:
        if t.tolist()[0] > 50:
            qml.X(0)
        qml.RX(t[1], 0)
        return qml.expval(qml.Z(0))

    fast = kg.compile(qml.QNode(circuit, make(1)), np.array([0.3, 0.4]), backend=make(1)._backend)
    assert fast.traced
    with pytest.warns(UserWarning, match="depend on the values"):
        got = fast(np.array([60.0, 0.4]))
    assert got == pytest.approx(-np.cos(0.4), abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fast(np.array([0.3, 0.4])) == pytest.approx(np.cos(0.4), abs=1e-12)


def test_the_guard_compares_at_powers_of_two_and_then_now_and_then(make: Any) -> None:
    fast = kg.compile(qml.QNode(lambda t: (qml.RX(t, 0), qml.expval(qml.Z(0)))[1], make(1)), 0.1)
    one = next(iter(fast._traces.values()))
    calls: list[int] = []
    original = fast.queue
    fast.queue = lambda *a: calls.append(one._calls) or original(*a)  # type: ignore[method-assign,union-attr]
    for _ in range(3 * compiled.GUARDED):
        fast(0.2)
    assert calls == [2**k for k in range(11)] + [2 * compiled.GUARDED, 3 * compiled.GUARDED]


def test_a_torch_layer_trains(make: Any) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    node = qml.QNode(lambda inputs, w: (qml.AngleEmbedding(inputs, range(2)), qml.BasicEntanglerLayers(w, range(2)),
                                        [qml.expval(qml.Z(q)) for q in range(2)])[2], make(2))  # fmt: skip
    inputs = torch.rand(6, 2, dtype=torch.float64)
    layer = kg.compile(node, inputs, np.zeros((2, 2)), backend=make(1)._backend).torch_layer({"w": (2, 2)})
    model = torch.nn.Sequential(layer, torch.nn.Linear(2, 1).double())
    assert {n for n, _ in model.named_parameters()} == {"0.w", "1.weight", "1.bias"}
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    targets, losses = torch.sin(inputs.sum(dim=1, keepdim=True)), []
    for _ in range(30):
        optimiser.zero_grad()
        error = ((model(inputs) - targets) ** 2).mean()
        error.backward()
        optimiser.step()
        losses.append(error.item())
    assert losses[-1] < 0.3 * losses[0]
    assert model(inputs[:3]).shape == (3, 1) and model(inputs[0]).shape == (1,)
    plain = qml.qnn.TorchLayer(qml.QNode(node.func, make(2)), {"w": (2, 2)}, init_method={"w": layer.w.detach()})
    assert torch.allclose(plain(inputs), layer(inputs))


def test_arguments_that_are_refused(make: Any) -> None:
    fast = kg.compile(qml.QNode(layered, make(3)), point(None), W)
    with pytest.raises(TypeError, match="make one array of it"):
        fast([0.1, 0.2, 0.3], W)
    with pytest.raises(ValueError, match="real arguments, got complex"):
        fast(point(None) + 1j, W[:1])
    with pytest.raises(TypeError, match="expected a Circuit"):
        kg.compile(layered, point(None), W)


def test_what_is_not_finite_is_refused_and_the_trace_stays(make: Any) -> None:
    fast = kg.compile(qml.QNode(layered, make(3)), point(None), W, backend=make(1)._backend)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="must be finite"):
            fast(np.array([0.1, bad, 0.2]), W)
    assert_same(fast(point(None), W), qml.QNode(layered, make(3))(point(None), W))
    assert fast.traced


def test_copies_start_anew(make: Any) -> None:
    fast = kg.compile(qml.QNode(layered, make(3)), point(None), W, backend=make(1)._backend)
    twin = copy.deepcopy(fast)
    assert "not traced yet" in repr(twin)
    assert_same(twin(point(None), W), fast(point(None), W))


def test_a_torch_layer_puts_results_of_all_shapes_side_by_side(make: Any) -> None:
    torch = pytest.importorskip("torch")
    fast = kg.compile(qml.QNode(layered, make(3)), point(4), W, backend=make(1)._backend)
    layer = fast.torch_layer({"w": W})
    for batch in (4, None):
        x = torch.tensor(point(batch))
        got, wanted = layer(x), fast(x, torch.tensor(W))
        assert got.shape == (*x.shape[:-1], 6)
        assert torch.allclose(got, torch.cat([r.reshape(*x.shape[:-1], -1) for r in wanted], dim=-1))


def test_single_precision(make: Any) -> None:
    torch = pytest.importorskip("torch")
    fast = kg.compile(qml.QNode(layered, make(3)), point(4), W, dtype="complex64", backend=make(1)._backend)
    assert_same(fast(point(4), W), qml.QNode(layered, reference(3))(point(4), W), 1e-5)
    w = torch.tensor(W, dtype=torch.float32, requires_grad=True)
    loss(fast(torch.tensor(point(4), dtype=torch.float32), w)).backward()
    assert w.grad is not None and w.grad.dtype == torch.float32
