"""Measurements in the middle of a circuit: deferred, as a tree of branches and shot by shot, against default.qubit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

qml = pytest.importorskip("pennylane")

from pennylane import numpy as pnp  # noqa: E402
from pennylane_cases import IGNORED, MATRIX, assert_same, device_maker, reference  # noqa: E402
from pennylane_mcm_cases import X, everything, moving, smooth  # noqa: E402

import ketgrad.pennylane_device.dynamic as dynamic_module  # noqa: E402
from ketgrad.pennylane_device import KetgradQubit  # noqa: E402

# default.qubit divides by zero where what is postselected cannot be
pytestmark = [*IGNORED, pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")]
EXACT_METHODS = ("deferred", "tree-traversal")


@pytest.fixture
def make(backend: str) -> Any:
    return device_maker(backend)


# exact


@pytest.mark.parametrize("method", [*EXACT_METHODS, "device", None])
@pytest.mark.parametrize("postselect", [None, 0, 1])
@pytest.mark.parametrize("reset", [False, True])
def test_results_and_gradients_are_exact(method: Any, postselect: Any, reset: bool, make: Any) -> None:
    x = pnp.array(X, requires_grad=True)
    node = qml.QNode(everything, make(None), mcm_method=method)
    wanted = qml.QNode(everything, reference(None), mcm_method="deferred")
    assert_same(node(X, postselect, reset), wanted(X, postselect, reset), 1e-10)
    got, true = (qml.grad(lambda x, n=n: smooth(n(x, postselect, reset), pnp))(x) for n in (node, wanted))
    assert_same(got, true, 1e-10)


@pytest.mark.parametrize("method", EXACT_METHODS)
@pytest.mark.parametrize("postselect", [None, 1])
def test_gradients_in_torch_and_jax(method: str, postselect: Any, make: Any) -> None:
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    node = qml.QNode(everything, make(None), mcm_method=method)
    wanted = qml.QNode(everything, reference(None), mcm_method="deferred")
    true = qml.grad(lambda x: smooth(wanted(x, postselect), pnp))(pnp.array(X, requires_grad=True))
    t = torch.tensor(X, requires_grad=True)
    smooth(node(t, postselect), torch).backward()
    assert_same(t.grad.numpy(), true, 1e-10)

    def cost(x: Any) -> Any:
        return smooth(node(x, postselect), jax.numpy)

    assert_same(jax.grad(cost)(jax.numpy.array(X)), true, 1e-10)
    assert_same(jax.jit(jax.grad(cost))(jax.numpy.array(X)), true, 1e-10)
    two = jax.vmap(jax.grad(cost))(jax.numpy.array([X, X + 0.1]))
    assert_same(two[0], true, 1e-10)
    assert_same(two[1], jax.grad(cost)(jax.numpy.array(X + 0.1)), 1e-10)


@pytest.mark.parametrize("dtype, atol", [("complex64", 1e-5), ("complex128", 1e-12)])
def test_both_dtypes(dtype: str, atol: float, make: Any) -> None:
    node = qml.QNode(everything, make(None, c_dtype=dtype), mcm_method="tree-traversal")
    assert_same(node(X, 1), qml.QNode(everything, reference(None), mcm_method="deferred")(X, 1), atol)


GATES = ("RX", "RY", "H", "CNOT", "CRZ", "SX", "RX-if", "RY-if", "X-if", "CRY-if", "measure", "measure")
MEASURE = st.tuples(st.just("measure"), st.integers(0, 2), st.booleans(), st.sampled_from([None, None, None, 0, 1]))
STEP = st.tuples(st.sampled_from(GATES), st.permutations(range(3)), st.floats(-3, 3), st.integers(0, 5))


def drawn(steps: Sequence[Any], measures: Sequence[Any]) -> list[Any]:
    """Gates, with measurements and conditions on what has been measured."""
    values: list[Any] = []
    left = iter(measures)
    for k in range(3):
        qml.RY(0.7 + k, k)
    for name, wires, angle, which in steps:
        if name == "measure":
            step = next(left, None)
            if step is not None:
                values.append(qml.measure(step[1], reset=step[2], postselect=step[3]))
            continue
        op = getattr(qml, name.removesuffix("-if"))
        own = wires[: op.num_wires]
        call = partial(op, angle, wires=own) if op.num_params else partial(op, wires=own)
        if not name.endswith("-if"):
            call()
        elif values:
            first, last = values[which % len(values)], values[-1]
            conditions = (first, ~last, first & last, first + last == 1, first | ~last, 2 * first - last > 0)
            qml.cond(conditions[which], call)()
    return values


@pytest.mark.parametrize("method", EXACT_METHODS)
@given(steps=st.lists(STEP, min_size=3, max_size=10), measures=st.lists(MEASURE, min_size=1, max_size=3))
def test_random_circuits(method: str, steps: Any, measures: Any) -> None:
    def circuit() -> Any:
        values = drawn(steps, measures)
        found = [qml.expval(qml.X(0) @ qml.Z(1)), qml.var(qml.Y(2)), qml.probs(wires=[1, 2, 0])]
        return [*found, *([qml.expval(values[0]), qml.probs(op=values)] if values else [])]

    wanted = qml.QNode(circuit, reference(None), mcm_method="deferred")()
    if np.isnan(wanted[0]):
        return  # what is postselected cannot be; another test
    assert_same(qml.QNode(circuit, KetgradQubit(None), mcm_method=method)(), wanted, 1e-10)


def test_states_after_deferred_postselection(make: Any) -> None:
    def circuit(x: Any) -> Any:
        moving(x, 1)
        return qml.density_matrix([0, 2]), qml.purity([0]), qml.vn_entropy([1])

    assert_same(qml.QNode(circuit, make(None))(X), qml.QNode(circuit, reference(None))(X), 1e-10)
    x = pnp.array(X, requires_grad=True)
    got, wanted = (qml.grad(lambda x, d=d: qml.QNode(circuit, d)(x)[1] ** 2)(x) for d in (make(None), reference(None)))
    assert_same(got, wanted, 1e-10)

    def projected(x: Any) -> Any:
        qml.RX(x, 0)
        qml.CRY(x, [0, 1])
        qml.Projector([1, 0], [0, 1])
        qml.RX(x, 1)
        return qml.state(), qml.expval(qml.Z(1))

    assert_same(qml.QNode(projected, make(2))(0.6), qml.QNode(projected, reference(2))(0.6), 1e-12)


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_what_cannot_be_gives_nan(method: str, make: Any) -> None:
    def circuit() -> Any:
        m = qml.measure(0, postselect=1)
        qml.H(1)
        return qml.expval(qml.Z(1)), qml.probs(wires=[1]), qml.expval(m)

    value, probabilities, measured = qml.QNode(circuit, make(None), mcm_method=method)()
    assert np.isnan(value) and np.isnan(measured) and np.isnan(probabilities).all()


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_broadcast_angles(method: str, make: Any) -> None:
    def circuit(x: Any) -> Any:
        qml.RX(x, 0)
        m = qml.measure(0, postselect=1)
        qml.RY(x, 1)
        n = qml.measure(1)
        qml.cond(n, qml.RX)(x, 0)
        return qml.expval(qml.Y(0)), qml.probs(op=n), qml.expval(m)

    x = np.array([0.3, 0.8, 1.9])
    got = qml.QNode(circuit, make(None), mcm_method=method)(x)
    assert_same(got, qml.QNode(circuit, reference(None), mcm_method="deferred")(x), 1e-10)


def test_conditional_operators_become_gates(make: Any) -> None:
    def circuit() -> Any:
        qml.H(0)
        m = qml.measure(0)
        n = qml.measure(0)
        qml.cond(m, lambda: qml.cond(n, qml.QFT)(range(1, 4)))()
        qml.cond(m, qml.StronglyEntanglingLayers)(np.ones((1, 3, 3)), range(1, 4))
        qml.cond(~n, qml.adjoint(qml.Rot))(0.1, 0.2, 0.3, 2)
        return qml.probs(wires=[1, 2, 3])

    def deferrable() -> Any:
        qml.H(0)
        m = qml.measure(0)
        n = qml.measure(0)
        qml.cond(m & n, qml.QFT)(range(1, 4))
        qml.cond(m, qml.StronglyEntanglingLayers)(np.ones((1, 3, 3)), range(1, 4))
        qml.cond(~n, qml.adjoint(qml.Rot))(0.1, 0.2, 0.3, 2)
        return qml.probs(wires=[1, 2, 3])

    wanted = qml.QNode(deferrable, reference(None), mcm_method="deferred")()
    assert_same(qml.QNode(deferrable, make(None), mcm_method="tree-traversal")(), wanted, 1e-10)
    assert_same(qml.QNode(circuit, make(None), mcm_method="tree-traversal")(), wanted, 1e-10)


def test_trainable_amplitudes(make: Any) -> None:
    def circuit(a: Any) -> Any:
        qml.StatePrep(a, wires=[0, 1], normalize=True)
        m = qml.measure(0)
        qml.cond(m, qml.RY)(0.4, 1)
        return qml.expval(qml.X(1))

    a = pnp.array([0.1, 0.5, 0.7, 0.2], requires_grad=True)
    got = qml.grad(qml.QNode(circuit, make(None), mcm_method="tree-traversal"))(a)
    assert_same(got, qml.grad(qml.QNode(circuit, reference(None), mcm_method="deferred"))(a), 1e-10)


def test_many_branches_go_in_pieces(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def circuit(x: Any) -> Any:
        values = []
        for k in range(6):
            qml.RY(x + 0.1 * k, k % 3)
            qml.CRX(0.3, [k % 3, (k + 1) % 3])
            values.append(qml.measure(k % 3))
            qml.cond(sum(values[1:], values[0]) > 1, qml.RX)(x, (k + 1) % 3)
        return qml.expval(qml.Z(0) @ qml.Y(1)), qml.probs(op=values), qml.probs(op=qml.Hermitian(MATRIX, 1))

    x = pnp.array(0.4, requires_grad=True)

    def run() -> Any:
        node = qml.QNode(circuit, make(None), mcm_method="tree-traversal")
        return node(x), qml.grad(lambda x: smooth(node(x), pnp))(x)

    whole = run()
    monkeypatch.setattr(dynamic_module, "CHUNK_BYTES", 3 * 16 * 8)
    pieces = run()
    assert_same(pieces[0], whole[0], 1e-12)
    assert_same(pieces[1], whole[1], 1e-12)
    assert_same(whole[0][:2], qml.QNode(circuit, reference(None), mcm_method="tree-traversal")(x)[:2], 1e-10)
