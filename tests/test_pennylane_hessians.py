"""Hessians of QNodes through the engine, against default.qubit's backprop: every measurement, batches, interfaces."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")
pnp = qml.numpy

from pennylane_cases import IGNORED, device_maker, reference  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.errors import NotDifferentiableError  # noqa: E402

pytestmark = IGNORED

MEASURED = {
    "expval": lambda: (qml.expval(qml.Z(0)), qml.expval(qml.X(1))),
    "mixed": lambda: (qml.probs(wires=[1]), qml.var(qml.X(1) + 0.5 * qml.Z(0)), qml.expval(qml.Y(0))),
    "probs of an observable": lambda: qml.probs(op=qml.X(0) @ qml.Y(1)),
    "state": lambda: qml.state(),
    "purity": lambda: qml.purity([0]),
}


JAX = {"jax": ("jacrev", "grad"), "jax-forward": ("jacfwd", "jacrev"), "jax-forward-twice": ("jacfwd", "jacfwd")}


@pytest.fixture
def make(backend: str) -> Any:
    """A device on the backend under test."""
    return device_maker(backend)


def circuit(x: Any, w: Any, kind: str) -> Any:
    for q in range(2):
        qml.RY(x[..., q], q)
        qml.Rot(w[q, 0], w[q, 1], w[q, 2], q)
    qml.CNOT([0, 1])
    qml.CRX(w[0, 0], [0, 1])
    qml.SingleExcitation(w[1, 1], [0, 1])
    return MEASURED[kind]()


def loss(results: Any, m: Any) -> Any:
    total = 0.0
    for k, r in enumerate(results if isinstance(results, (tuple, list)) else (results,)):
        r = m.real(r) + 0.3 * m.imag(r) if "complex" in str(r.dtype) else r
        total = total + ((r**2 + r) * (k + 1)).sum()
    return total


def hessian(node: Any, interface: str, x: np.ndarray, w: np.ndarray, kind: str) -> np.ndarray:
    """Of the loss by x and w together."""

    def split(flat: Any) -> tuple[Any, Any]:
        return flat[: x.size].reshape(x.shape), flat[x.size :].reshape(w.shape)

    flat = np.concatenate([x.ravel(), w.ravel()])
    if interface == "torch":
        torch = pytest.importorskip("torch")
        f = lambda p: loss(node(*split(p), kind), torch)  # noqa: E731
        return torch.autograd.functional.hessian(f, torch.tensor(flat)).numpy()  # type: ignore[no-any-return]
    if interface == "autograd":
        g = qml.grad(lambda p: loss(node(*split(p), kind), pnp))
        return np.array(qml.jacobian(g)(pnp.array(flat, requires_grad=True)))
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    outer, inner = JAX[interface.removesuffix("-jit")]
    second = getattr(jax, outer)(getattr(jax, inner)(lambda p: loss(node(*split(p), kind), jax.numpy)))
    return np.array((jax.jit(second) if interface.endswith("-jit") else second)(jax.numpy.array(flat)))


@cache
def arguments(batch: int | None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    return rng.normal(size=2 if batch is None else (batch, 2)), rng.normal(size=(2, 3))


@cache
def wanted(kind: str, batch: int | None) -> np.ndarray:
    return hessian(qml.QNode(circuit, reference(2)), "autograd", *arguments(batch), kind)


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("kind", list(MEASURED))
def test_hessians_of_every_measurement(make: Any, kind: str, batch: int | None) -> None:
    got = hessian(qml.QNode(circuit, make(2)), "torch", *arguments(batch), kind)
    assert np.allclose(got, wanted(kind, batch), rtol=0, atol=1e-9)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("interface", ["torch", "autograd", *JAX, "jax-jit", "jax-forward-jit"])
def test_hessians_in_every_interface(make: Any, interface: str, compiled: bool) -> None:
    node = qml.QNode(circuit, make(2))
    x, w = arguments(3)
    if compiled:
        node = kg.compile(node, x, w, "mixed", backend=node.device._backend)
        assert node.traced
    assert np.allclose(hessian(node, interface, x, w, "mixed"), wanted("mixed", 3), rtol=0, atol=1e-9)


@pytest.mark.parametrize("interface", ["jax-forward-jit", "jax-forward-twice"])
def test_hessians_of_states_in_forward_mode(make: Any, interface: str) -> None:
    got = hessian(qml.QNode(circuit, make(2)), interface, *arguments(None), "state")
    assert np.allclose(got, wanted("state", None), rtol=0, atol=1e-9)


def test_second_derivatives_that_are_refused(make: Any) -> None:
    def embedded(v: Any) -> Any:
        qml.AmplitudeEmbedding(v, wires=[0], normalize=True)
        return qml.expval(qml.X(0))

    v = pnp.array([0.3, 0.9], requires_grad=True)
    with pytest.raises(NotDifferentiableError, match="no second derivatives"):
        qml.jacobian(qml.grad(qml.QNode(embedded, make(1))))(v)
    third = qml.grad(qml.grad(qml.grad(qml.QNode(lambda t: (qml.RX(t, 0), qml.expval(qml.Z(0)))[1], make(1)))))
    with pytest.raises(NotDifferentiableError, match="no third derivatives"):
        third(pnp.array(0.3, requires_grad=True))
