"""What users of PennyLane's simulators miss most: each test is named in docs/pennylane.md beside its complaint.

Work is counted where the engine is called, so that "nobody asked" and "once for the batch" are meant literally. What
has to be timed is in bench/pennylane_qnodes.py.
"""

from __future__ import annotations

import copy
import pickle
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")
torch = pytest.importorskip("torch")
pnp = qml.numpy

from pennylane_cases import IGNORED, MATRIX, assert_same, device_maker, reference  # noqa: E402

import ketgrad as kg  # noqa: E402
import ketgrad.model  # noqa: E402
from ketgrad.backends import contract  # noqa: E402
from ketgrad.pennylane_device import preprocessing  # noqa: E402

pytestmark = IGNORED
RNG = np.random.default_rng(11)
WEIGHTS, INPUTS = RNG.uniform(-2, 2, 9), RNG.uniform(-2, 2, (6, 3))
Z = [qml.Z(0), qml.Z(1), qml.Z(2)]


@pytest.fixture
def make(backend: str) -> Any:
    """A device on the backend under test."""
    return device_maker(backend)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the engine ran: forward (values or states) and pullback; and how many shots were drawn."""
    done: Counter[str] = Counter()

    def count(owner: type, method: str, what: str, amount: Callable[..., int] = lambda *_, **__: 1) -> None:
        real = getattr(owner, method)

        def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
            done[what] += amount(*args, **kwargs)
            return real(self, *args, **kwargs)

        monkeypatch.setattr(owner, method, counted)

    count(contract.Plan, "forward", "forward")
    count(contract.Plan, "states", "forward")
    count(contract.Plan, "pullback", "pullback")
    count(contract.Plan, "pullback_to_initial", "pullback")
    for method in ("sample", "counts"):
        count(contract.Backend, method, "shots", lambda states, uniforms, *_: np.size(uniforms))
    return done


def ansatz(w: Any, x: Any = (0.3, -0.2, 0.9)) -> None:
    """On three wires; angles w (9,) and x (..., 3)."""
    for q in range(3):
        qml.RY(x[..., q] if hasattr(x, "ndim") else x[q], q)
    for q in range(3):
        qml.Rot(w[3 * q], w[3 * q + 1], w[3 * q + 2], q)
    for q in range(3):
        qml.CNOT([q, (q + 1) % 3])
        qml.RX(w[q], q)


def values(x: Any, w: Any) -> Any:
    ansatz(w, x)
    return [qml.expval(o) for o in Z]


def value(w: Any) -> Any:
    ansatz(w)
    return qml.expval(qml.X(0) @ qml.Z(1))


def tensor(array: Any) -> Any:
    return torch.tensor(np.asarray(array, dtype=float), requires_grad=True)


def torch_gradients(node: Any, *arrays: Any) -> list[Any]:
    """Gradients of a loss without symmetries of everything that a QNode returns."""
    tensors = [tensor(a) for a in arrays]
    out = node(*tensors)
    parts = out if isinstance(out, (tuple, list)) else (out,)
    loss = sum(((p.abs() ** 2 + p.real) * torch.arange(1, p.numel() + 1).reshape(p.shape)).sum() for p in parts)
    return [g.numpy() for g in torch.autograd.grad(loss, tensors)]


def assert_gradients(function: Any, arrays: Any, make: Any, wires: Any = 3, **options: Any) -> None:
    got = torch_gradients(qml.QNode(function, make(wires), **options), *arrays)
    wanted = torch_gradients(qml.QNode(function, reference(wires), diff_method="backprop"), *arrays)
    assert_same(got, wanted, 1e-9)


# 1: fixed costs of every call


def test_a_native_circuit_goes_through_no_transform(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    real = preprocessing.is_supported
    monkeypatch.setattr(preprocessing, "is_supported", lambda *a, **k: asked.append(a) or real(*a, **k))
    torch_gradients(qml.QNode(value, make(3)), WEIGHTS)
    assert not asked
    qml.QNode(lambda: (qml.QFT(range(3)), qml.expval(qml.X(0)))[1], make(3))()
    assert asked  # what the engine does not know is still decomposed


def test_a_compiled_qnode_neither_queues_nor_lowers(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[int] = []
    lowered: list[int] = []

    def function(w: Any) -> Any:
        queued.append(1)
        return value(w)

    node = qml.QNode(function, make(3))
    compiled = kg.compile(node, WEIGHTS, backend=node.device._backend)
    real = ketgrad.model.lower
    monkeypatch.setattr(ketgrad.model, "lower", lambda *a: lowered.append(1) or real(*a))
    for k in range(16):  # its guard looks at the 1st, 2nd, 4th, ... call
        compiled(WEIGHTS + k)
    before = len(queued)
    got = [torch_gradients(compiled, WEIGHTS + k) for k in range(10)]
    assert len(queued) == before and not lowered
    assert_same(got[3], torch_gradients(qml.QNode(value, reference(3)), WEIGHTS + 3), 1e-9)


# 2, 3: batches and hybrid training


@pytest.mark.parametrize("how", ["device", "compiled"])
@pytest.mark.parametrize("interface", ["torch", "autograd", "jax", "jax.jit", "jax.vmap"])
def test_a_batch_is_one_call_of_the_engine(how: str, interface: str, make: Any, work: Counter[str]) -> None:
    node = qml.QNode(values, make(3))
    if how == "compiled":
        example = INPUTS[0] if interface == "jax.vmap" else INPUTS
        node = kg.compile(node, example, WEIGHTS, backend=node.device._backend)
    weight = np.arange(18.0).reshape(3, 6)
    work.clear()
    if interface == "torch":
        x, w = tensor(INPUTS), tensor(WEIGHTS)
        got = torch.autograd.grad((torch.stack(tuple(node(x, w))) * torch.tensor(weight)).sum(), (x, w))
    elif interface == "autograd":
        x, w = (pnp.array(a, requires_grad=True) for a in (INPUTS, WEIGHTS))
        got = qml.grad(lambda x, w: qml.math.sum(qml.math.stack(node(x, w)) * weight))(x, w)
    else:
        jax = pytest.importorskip("jax")
        jax.config.update("jax_enable_x64", True)
        many = jax.vmap(lambda x, w: jax.numpy.stack(node(x, w)), (0, None), 1) if interface == "jax.vmap" else node
        loss = jax.grad(lambda x, w: (jax.numpy.stack(many(x, w)) * weight).sum(), argnums=(0, 1))
        got = (jax.jit(loss) if interface == "jax.jit" else loss)(jax.numpy.array(INPUTS), jax.numpy.array(WEIGHTS))
    assert work["pullback"] == 1
    assert work["forward"] <= (2 if "jax" in interface else 1)  # JAX keeps nothing of ours for the way back
    x, w = (pnp.array(a, requires_grad=True) for a in (INPUTS, WEIGHTS))
    default = qml.QNode(values, reference(3), diff_method="backprop")
    wanted = qml.grad(lambda x, w: qml.math.sum(qml.math.stack(default(x, w)) * weight))(x, w)
    assert_same([np.asarray(g) for g in got], list(wanted), 1e-9)


def test_a_training_step_of_a_torch_layer_is_two_calls(make: Any, work: Counter[str]) -> None:
    def function(inputs: Any, w: Any) -> Any:
        return values(inputs, w)

    def step(device: Any) -> list[Any]:
        torch.manual_seed(1)
        layer = qml.qnn.TorchLayer(qml.QNode(function, device), {"w": 9})
        model = torch.nn.Sequential(torch.nn.Linear(4, 3), layer, torch.nn.Linear(3, 2)).double()
        work.clear()
        loss = model(torch.linspace(-1, 1, 40, dtype=torch.float64).reshape(10, 4)).square().sum()
        loss.backward()
        return [loss.detach().numpy(), *(p.grad.numpy() for p in model.parameters())]

    got = step(make(3))
    assert (work["forward"], work["pullback"]) == (1, 1)
    assert_same(got, step(reference(3)), 1e-9)


# 4: nothing is computed that nobody asked for


@pytest.mark.parametrize("how", ["device", "compiled"])
def test_gradients_that_nobody_asks_for_are_not_computed(how: str, make: Any, work: Counter[str]) -> None:
    node = qml.QNode(values, make(3))
    if how == "compiled":
        node = kg.compile(node, INPUTS[0], WEIGHTS, backend=node.device._backend)
    x, w = tensor(INPUTS[0]), tensor(WEIGHTS)
    work.clear()
    with torch.no_grad():
        assert not any(v.requires_grad for v in node(x, w))
    out = node(x, w)
    assert work == {"forward": 2}
    sum(out).backward()
    assert work == {"forward": 2, "pullback": 1}  # one sweep for 12 parameters and 3 values
    node(INPUTS[0], pnp.array(WEIGHTS, requires_grad=True))
    assert work == {"forward": 3, "pullback": 1}
    jax = pytest.importorskip("jax")
    jax.jit(lambda x, w: node(x, w))(jax.numpy.array(INPUTS[0]), jax.numpy.array(WEIGHTS))
    assert work["pullback"] == 1


# 5, 7: one backward sweep, two states, however many observables


def test_the_cost_of_a_gradient_does_not_grow_with_observables(
    make: Any, work: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(contract, "require_states", lambda n, size, copies: asked.append(copies))
    held = []
    for observables in (Z[:1], [qml.prod(a, b) for a in Z for b in (qml.X(5), qml.Y(4), qml.Z(3))] * 5):

        def function(w: Any, observables: Any = observables) -> Any:
            ansatz(w)
            return [qml.expval(o) for o in observables]

        asked.clear()
        work.clear()
        torch_gradients(qml.QNode(function, make(6)), WEIGHTS)
        assert work == {"forward": 1, "pullback": 1}
        held.append(max(asked))
    assert held == [2, 2]


def test_the_number_of_threads_changes_no_bit(make: Any, threads: None) -> None:
    found = []
    for count in (1, 2, 3):
        kg.set_num_threads(count)
        found.append(torch_gradients(qml.QNode(values, make(12)), INPUTS, WEIGHTS))
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


# 8: adjoint gradients of everything that comes from the state; 14: observables that others refuse

MEASUREMENTS: dict[str, Callable[[], Any]] = {
    "state": lambda: qml.state(),
    "density matrix": lambda: qml.density_matrix([2, 0]),
    "probabilities": lambda: qml.probs(wires=[2, 0]),
    "probabilities of an observable": lambda: qml.probs(op=qml.X(0) @ qml.Y(2)),
    "variance": lambda: qml.var(qml.X(0) @ qml.Z(1)),
    "variance of a sum": lambda: qml.var(qml.X(0) + 2 * qml.Z(1)),
    "purity": lambda: qml.purity([0]),
    "entropy": lambda: qml.vn_entropy([0, 2]),
    "mutual information": lambda: qml.mutual_info([0], [2]),
    "power": lambda: qml.expval((qml.X(0) + 0.5 * qml.Z(1)) ** 2),
    "overlapping product": lambda: qml.expval(qml.X(0) @ qml.X(1) @ qml.Z(0) @ qml.X(0)),
    "projector": lambda: qml.expval(qml.Projector([1, 0], [0, 2])),
    "matrix": lambda: qml.expval(qml.Hermitian(MATRIX, 1) @ qml.Hadamard(2)),
    "eigenvalues": lambda: qml.measurements.ExpectationMP(
        eigvals=np.array([1.0, 2.0, 3.0, -4.0]), wires=qml.wires.Wires([2, 0])
    ),
}


@pytest.mark.parametrize("name", list(MEASUREMENTS))
@pytest.mark.parametrize("batch", [False, True])
def test_the_adjoint_method_differentiates(name: str, batch: bool, make: Any, work: Counter[str]) -> None:
    def function(x: Any, w: Any) -> Any:
        ansatz(w, x)
        return MEASUREMENTS[name](), qml.expval(qml.Y(1))

    arrays = (INPUTS if batch else INPUTS[0], WEIGHTS)
    assert_gradients(function, arrays, make, diff_method="adjoint")
    assert work["pullback"] <= 2  # one more where a measurement has a basis of its own


@pytest.mark.parametrize(
    "gate",
    [
        lambda t: qml.PCPhase(t, dim=3, wires=[2, 0]),
        lambda t: qml.ctrl(qml.PCPhase(t, dim=1, wires=[1]), control=[0], control_values=[0]),
        lambda t: qml.PauliRot(t, "XYZ", wires=[1, 2, 0]),
        lambda t: qml.OrbitalRotation(t, wires=range(4)),
    ],
)
def test_the_adjoint_method_differentiates_gates_that_others_refuse(gate: Any, make: Any) -> None:
    def function(w: Any) -> Any:
        ansatz(w)
        gate(w[0])
        qml.RY(w[1], 0)
        return qml.expval(qml.X(0) @ qml.Z(1)), qml.expval(qml.Y(2))

    assert_gradients(function, [WEIGHTS], make, 4, diff_method="adjoint")


def test_coefficients_of_observables_are_trained(make: Any) -> None:
    def function(w: Any, c: Any) -> Any:
        ansatz(w)
        words = [qml.X(0) @ qml.Z(1), qml.Y(2), qml.Z(0)]
        return qml.expval(qml.Hamiltonian(c, words)), qml.expval(qml.dot(c[::2], words[:2]))

    assert_gradients(function, (WEIGHTS, [0.4, -1.0, 2.0]), make)


# 9: gradients from shots


def test_a_shot_gradient_costs_the_same_for_any_number_of_commuting_terms(make: Any, work: Counter[str]) -> None:
    def drawn(observable: Any) -> int:
        def function(w: Any) -> Any:
            ansatz(w)
            return qml.expval(observable)

        work.clear()
        node = qml.set_shots(qml.QNode(function, make(3), diff_method="parameter-shift"), 50)
        (gradient,) = torch_gradients(node, WEIGHTS)
        assert np.abs(gradient).max() > 0
        return work["shots"]

    words = [qml.Z(0), qml.Z(1), qml.Z(2), qml.Z(0) @ qml.Z(1), qml.Z(1) @ qml.Z(2), qml.Z(0) @ qml.Z(1) @ qml.Z(2)]
    one = drawn(qml.Z(0))
    assert drawn(qml.dot(np.arange(1.0, 7.0), words)) == one  # a group
    assert drawn(qml.dot(np.arange(1.0, 8.0), [*words, qml.X(0)])) == 2 * one  # two groups


# 12: mid-circuit measurements


def test_the_adjoint_method_goes_through_deferred_measurements(make: Any) -> None:
    def function(w: Any) -> Any:
        ansatz(w)
        first = qml.measure(0)
        qml.cond(first, qml.RY)(w[0], 1)
        second = qml.measure(1, reset=True)
        qml.cond(first & second, qml.RX)(w[1], 2)
        qml.RX(w[2], 1)
        return qml.expval(qml.Z(1)), qml.expval(qml.Y(2)), qml.expval(first), qml.probs(op=[first, second])

    assert_gradients(function, [WEIGHTS], make, None, diff_method="adjoint", mcm_method="deferred")
    assert_gradients(function, [WEIGHTS], make, None)


# 13: trained and batched amplitudes


@pytest.mark.parametrize("shape", [(8,), (5, 8)])
@pytest.mark.parametrize("prepare", ["AmplitudeEmbedding", "StatePrep"])
def test_amplitudes_are_trained(shape: tuple[int, ...], prepare: str, make: Any, work: Counter[str]) -> None:
    amplitudes = np.random.default_rng(3).normal(size=shape)

    def function(a: Any, w: Any) -> Any:
        getattr(qml, prepare)(a, wires=[2, 0, 1], normalize=True)
        ansatz(w)
        return [qml.expval(o) for o in Z]

    assert_gradients(function, (amplitudes, WEIGHTS), make, diff_method="adjoint")
    assert work == {"forward": 1, "pullback": 1}


# 15: copies and threads


def test_a_device_is_copied_after_a_gradient(make: Any) -> None:
    device = make(3)
    wanted = torch_gradients(qml.QNode(values, device), INPUTS, WEIGHTS)
    for twin in (pickle.loads(pickle.dumps(device)), copy.deepcopy(device)):
        assert_same(torch_gradients(qml.QNode(values, twin), INPUTS, WEIGHTS), wanted, 0)


@pytest.mark.parametrize("how", ["device", "compiled"])
def test_other_python_threads_run_while_the_engine_works(how: str, make: Any, monkeypatch: Any) -> None:
    def function(w: Any) -> Any:
        for angles in w:
            for q in range(16):
                qml.RX(angles[q], q)
            for q in range(15):
                qml.CNOT([q, q + 1])
        return qml.expval(qml.Z(15))

    inside: list[tuple[float, float]] = []
    real = contract.Plan.pullback

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        found = real(self, *args, **kwargs)
        inside.append((start, time.perf_counter()))
        return found

    monkeypatch.setattr(contract.Plan, "pullback", watched)
    device, ticks, layers, lasts = make(16), list[float](), 1, 0.0
    while lasts < 0.1:  # seconds; whatever the machine, a thread would miss so long a time
        layers *= 2
        w = np.full((layers, 16), 0.3)
        node = qml.QNode(function, device)
        node = kg.compile(node, w, backend=device._backend) if how == "compiled" else node
        torch_gradients(node, w)
        lasts = inside[-1][1] - inside[-1][0]
    worker = threading.Thread(target=torch_gradients, args=(node, w))
    worker.start()
    while worker.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(0.001)
    start, end = inside[-1]
    assert sum(start < t < end for t in ticks) >= 5


# the page


ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "pennylane.md").read_text()


def test_the_page_names_tests_that_exist() -> None:
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", PAGE)
    assert len(named) >= 15
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(), f"{file}::{test}"
    bench = "".join((ROOT / "bench" / f).read_text() for f in ("qnode_cases.py", "pennylane_qnodes.py"))
    for names in re.findall(r"bench: ([^|]*)", PAGE):
        for name in re.findall(r'"([^"]+)"', names):
            assert name in bench.replace("{BATCH}", "64"), name


def test_the_examples_of_the_page_run() -> None:
    first, second = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(second, "docs/pennylane.md", "exec"), names)
    assert names["fast"].traced
    assert_same(names["second"].detach(), names["circuit"](names["x"], names["w"])[1].detach(), 1e-6)
    assert names["w"].grad.shape == (2,) and names["layer"](names["x"]).shape == (64, 2)
    if not entry_points(group="pennylane.plugins", name="ketgrad.qubit"):
        pytest.skip("run from a source tree: PennyLane finds devices of installed packages only (make test installs)")
    exec(compile(first, "docs/pennylane.md", "exec"), names)
    assert names["device"].name == "ketgrad.qubit"
