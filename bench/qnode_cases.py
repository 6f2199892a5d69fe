"""The QNodes that `pennylane_qnodes.py` times: their circuits, and a step of each in torch, JAX, autograd or numpy.

A step is a call without arguments that gives values, then gradients, as tensors of its framework.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pennylane as qml
import torch

BATCH, SHOTS = 64, 100_000
Step = Callable[[], Any]


@dataclass
class Case:
    """One row of the table.

    Attributes:
        function, arguments: the quantum function, and what it is called with.
        make: from a QNode and this case to a step; default the gradient in torch.
        tolerance: of an answer; with shots, how far it may be from the exact one.
        null: shapes of what the null device gives; None leaves it out.
        method: of differentiation; None is each simulator's best.
        exact: of counts, the function that gives their probabilities.
        options: of the QNode, beside shots and method.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[np.ndarray, ...] = ()
    wires: int = 4
    make: Callable[[Any, Case], Step] | None = None
    tolerance: float = 1e-9
    null: tuple[tuple[int, ...], ...] | None = None
    shots: int | None = None
    method: str | None = None
    exact: Callable[..., Any] | None = None
    options: tuple[tuple[str, Any], ...] = ()

    def step(self, node: Any) -> Step:
        """What is timed."""
        return (self.make or torch_gradient)(node, self)

    def node(self, simulator: Any, method: str) -> Any:
        """The QNode on a simulator; `method` where the case leaves it open."""
        node = qml.QNode(self.function, simulator, diff_method=self.method or method, **dict(self.options))
        return qml.set_shots(node, self.shots) if self.shots else node

    def exactly(self) -> Case:
        """The same without shots."""
        return replace(self, function=self.exact or self.function, shots=None, method=None, options=())


# steps


def torch_gradient(node: Any, case: Case) -> Step:
    """Values, and gradients for fixed cotangents of them, in torch."""
    tensors = [torch.tensor(a, requires_grad=True) for a in case.arguments]
    cotangents: list[Any] = []

    def step() -> Any:
        out = node(*tensors)
        parts = out if isinstance(out, (tuple, list)) else (out,)
        if not cotangents:
            cotangents.extend(torch.linspace(0.5, 1.5, p.numel()).reshape(p.shape).to(p.dtype) for p in parts)
        return [p.detach() for p in parts], *torch.autograd.grad(parts, tensors, cotangents)

    return step


def torch_values(node: Any, case: Case, requires_grad: bool = False) -> Step:
    """Values where nobody asks for a gradient."""
    tensors = [torch.tensor(a, requires_grad=requires_grad) for a in case.arguments]

    def step() -> Any:
        with torch.no_grad():
            return node(*tensors)

    return step


def torch_inference(node: Any, case: Case) -> Step:
    """Values under torch.no_grad() of weights that are trained elsewhere."""
    return torch_values(node, case, requires_grad=True)


def jax_gradient(node: Any, case: Case) -> Step:
    """Value and gradient, compiled by jax.jit."""
    import jax

    jax.config.update("jax_enable_x64", True)
    function = jax.jit(jax.value_and_grad(node))
    arguments = [jax.numpy.asarray(a) for a in case.arguments]
    return lambda: jax.block_until_ready(function(*arguments))


def autograd_gradient(node: Any, case: Case) -> Step:
    """Gradient in autograd, PennyLane's own numpy."""
    gradient = qml.grad(node)
    arguments = [qml.numpy.array(a, requires_grad=True) for a in case.arguments]
    return lambda: gradient(*arguments)


def plain(node: Any, case: Case) -> Step:
    """Values of numpy arguments."""
    return lambda: node(*case.arguments)


# circuits


def rotations(angles: Any) -> None:
    """12 rotations and 8 CNOTs on 4 qubits."""
    for q in range(4):
        qml.RY(angles[q], q)
    for first, gate in ((4, qml.RZ), (8, qml.RX)):
        for q in range(4):
            gate(angles[first + q], q)
        for q in range(4):
            qml.CNOT([q, (q + 1) % 4])


def four_values(x: Any, w: Any) -> Any:
    """Of angles x (..., 4) and w (8,)."""
    rotations([*(x[..., q] for q in range(4)), *(w[k] for k in range(8))])
    return [qml.expval(qml.Z(q)) for q in range(4)]


def measured(process: Callable[[], Any]) -> Callable[[Any], Any]:
    """The same circuit with one measurement, of angles w (12,)."""

    def function(w: Any) -> Any:
        rotations(w)
        return process()

    return function


def large(w: Any) -> Any:
    """16 qubits: layers of rotations and CNOTs, angles w (layers, 16, 3)."""
    for angles in w:
        for q in range(16):
            qml.RX(angles[q, 0], q)
            qml.RY(angles[q, 1], q)
            qml.RZ(angles[q, 2], q)
        for q in range(16):
            qml.CNOT([q, (q + 1) % 16])
    return qml.expval(qml.Z(0))


def spread(process: Callable[[], Any]) -> Callable[[], Any]:
    """A state of 10 qubits with weight on every outcome, and one measurement."""

    def function() -> Any:
        for q in range(10):
            qml.RY(0.3 + 0.2 * q, q)
        for q in range(9):
            qml.CNOT([q, q + 1])
        return process()

    return function


def hamiltonian() -> Any:
    """20 words of one to three letters on 6 qubits."""
    rng = np.random.default_rng(5)
    words: set[tuple[tuple[int, str], ...]] = set()
    while len(words) < 20:
        wires = sorted(rng.choice(6, size=rng.integers(1, 4), replace=False).tolist())
        words.add(tuple((w, "XYZ"[rng.integers(3)]) for w in wires))
    operators = [qml.prod(*(getattr(qml, letter)(w) for w, letter in word)) for word in sorted(words)]
    return qml.Hamiltonian(rng.uniform(0.1, 0.5, 20), operators)


ENERGY = hamiltonian()


def energy(w: Any) -> Any:
    """Of angles w (6,)."""
    for q in range(6):
        qml.RY(w[q], q)
    for q in range(6):
        qml.CNOT([q, (q + 1) % 6])
    return qml.expval(ENERGY)


def conditioned() -> Any:
    """A measurement in the middle, and a gate that depends on it."""
    qml.RY(0.9, 0)
    qml.RX(0.4, 1)
    outcome = qml.measure(0)
    qml.cond(outcome, qml.RY)(0.7, 1)
    qml.CNOT([1, 2])
    return qml.expval(qml.Z(1)), qml.expval(qml.Z(2))


ONE, MANY = "1 value, torch", f"batch {BATCH}, 4 values, torch"
COUNTS, ENERGIES = f"counts, {SHOTS:,} shots, 10 wires", "20 terms, 1000 shots, torch"
FORWARD, GRADIENT = "16 qubits, forward", "16 qubits, gradient"


def cases(quick: bool) -> list[Case]:
    """Every row; with shots, tolerances are six standard errors or more."""
    rng = np.random.default_rng(3)
    w, x = rng.uniform(-np.pi, np.pi, 12), rng.uniform(-np.pi, np.pi, (BATCH, 4))
    layers = rng.uniform(-np.pi, np.pi, (1 if quick else 2, 16, 3))
    z = measured(lambda: qml.expval(qml.Z(0)))
    far = float(np.abs(ENERGY.terms()[0]).sum())  # no estimate's standard error is above far / sqrt(shots)
    out = [
        Case(ONE, z, (w,), null=((),)),
        Case("4 values, torch", four_values, (w[:4], w[4:]), null=((),) * 4),
        Case(MANY, four_values, (x, w[4:]), null=((BATCH,),) * 4),
        Case("1 value, autograd", z, (w,), make=autograd_gradient),
        Case("variance, torch", measured(lambda: qml.var(qml.X(0) @ qml.Z(1))), (w,)),
        Case("probabilities, torch", measured(lambda: qml.probs(wires=[0, 1])), (w,)),
        Case("state, torch", measured(qml.state), (w,)),
        Case(COUNTS, spread(qml.counts), (), 10, plain, 6 * 0.5 / np.sqrt(SHOTS), shots=SHOTS,
             exact=spread(lambda: qml.probs(wires=range(10)))),
        Case(ENERGIES, energy, (w[:6],), 6, None, 6 * far / np.sqrt(1000), shots=1000, method="parameter-shift"),
        Case("mid-circuit, 500 shots", conditioned, (), 4, plain, 6 / np.sqrt(500), shots=500,
             options=(("mcm_method", "one-shot"),)),
        Case(FORWARD, large, (layers,), 16, torch_values),
        Case("16 qubits, in no_grad", large, (layers,), 16, torch_inference),
        Case(GRADIENT, large, (layers,), 16),
    ]  # fmt: skip
    if find_spec("jax"):
        out.insert(4, Case("1 value, jax.jit", z, (w,), make=jax_gradient))
    return out
