"""Second derivatives of QNodes are right or refused, in every interface and by every method.

The losses are such that a lost term would go unnoticed: a gradient that passed for a constant leaves a finite number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")
pnp = qml.numpy

from pennylane_cases import IGNORED, device_maker  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.errors import NotDifferentiableError  # noqa: E402

pytestmark = IGNORED
POINT = 0.4
REFUSALS = (
    "there are no second derivatives",  # ketgrad's own
    "does not require grad",  # torch's, of a gradient without a graph
    "can't apply forward-mode autodiff",  # JAX's, of custom gradients and of callbacks
    "Pure callbacks do not support JVP",
)


@pytest.fixture
def make(backend: str) -> Any:
    """A device on the backend under test."""
    return device_maker(backend)


def second_derivative(node: Any, loss: Callable[[Any, Any, Any], Any], interface: str) -> float:
    if interface == "torch":
        torch = pytest.importorskip("torch")
        t = torch.tensor(POINT, dtype=torch.float64, requires_grad=True)
        (first,) = torch.autograd.grad(loss(node(t), t, torch), t, create_graph=True)
        return float(torch.autograd.grad(first, t)[0])
    if interface == "autograd":
        found = qml.grad(qml.grad(lambda t: loss(node(t), t, pnp)))(pnp.array(POINT, requires_grad=True))
        return float(getattr(found, "_value", found))
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    outer = jax.jacfwd if interface == "jax forward" else jax.grad
    return float(outer(jax.grad(lambda t: loss(node(t), t, jax.numpy)))(jax.numpy.array(POINT)))


LOSSES: dict[str, tuple[Callable[..., Any], Callable[[float], float]]] = {
    "value": (lambda f, t, m: f, lambda t: -np.cos(t)),
    "value and more": (lambda f, t, m: f + m.sin(t), lambda t: -np.cos(t) - np.sin(t)),
    "square": (lambda f, t, m: f**2, lambda t: -2 * np.cos(2 * t)),
    "square and more": (lambda f, t, m: f**2 + m.sin(t), lambda t: -2 * np.cos(2 * t) - np.sin(t)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "adjoint": {"diff_method": "adjoint"},
    "device_vjp": {"diff_method": "adjoint", "device_vjp": True},
    "on execution": {"diff_method": "adjoint", "grad_on_execution": True},
    "parameter-shift": {"diff_method": "parameter-shift"},
}
INTERFACES = ("torch", "autograd", "jax forward", "jax reverse")


def cosine(t: Any) -> Any:
    qml.RX(t, 0)
    return qml.expval(qml.Z(0))


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("name", list(LOSSES))
@pytest.mark.parametrize("options", [*OPTIONS, "compiled"])
def test_a_second_derivative_is_never_silently_wrong(options: str, name: str, interface: str, make: Any) -> None:
    loss, exact = LOSSES[name]
    node = qml.QNode(cosine, make(1), **OPTIONS.get(options, {}))
    if options == "compiled":
        node = kg.compile(node, POINT, backend=node.device._backend)
    try:
        found = second_derivative(node, loss, interface)
    except (RuntimeError, TypeError, ValueError) as error:
        assert any(text in str(error) for text in REFUSALS), error
        return
    assert found == pytest.approx(exact(POINT), abs=1e-9)


def test_torch_keeps_the_graph_of_a_first_derivative(make: Any) -> None:
    torch = pytest.importorskip("torch")
    t, scale = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (POINT, 3.0))
    (first,) = torch.autograd.grad(scale * qml.QNode(cosine, make(1))(t) + t**2, t, create_graph=True)
    assert float(first.detach()) == pytest.approx(2 * POINT - 3 * np.sin(POINT), abs=1e-12)
    try:
        mixed = float(torch.autograd.grad(first, scale)[0])
    except NotDifferentiableError:
        return
    assert mixed == pytest.approx(-np.sin(POINT), abs=1e-12)


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("name", list(LOSSES))
def test_second_derivatives_by_parameter_shift(name: str, interface: str, make: Any) -> None:
    loss, exact = LOSSES[name]
    for options in ({}, {"diff_method": "parameter-shift"}):
        node = qml.QNode(cosine, make(1), max_diff=2, **options)
        assert second_derivative(node, loss, interface) == pytest.approx(exact(POINT), abs=1e-9)
