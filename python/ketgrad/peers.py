"""One training step in ketgrad and in PennyLane's simulators: what `ketgrad compare` and the benchmarks time.

Owns: `Problem`, its step in each simulator, and the translation of a circuit into PennyLane. May not know: clocks,
tables. PennyLane and torch are imported here only when a step of theirs is made.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from .circuit import Circuit
from .expressions import Expression
from .hybrid import build_circuit, readouts
from .model import compile_circuit
from .pauli import PauliSum

Array = npt.NDArray[np.float64]
Step = Callable[[], tuple[Array, Array, Array]]  # values (B, M), gradients of weights (P,) and inputs (B, F)


@dataclass(frozen=True)
class Problem:
    """The step: a circuit, its readouts, parameters, a batch, and the cotangents of the values."""

    circuit: Circuit
    observables: list[PauliSum]
    weights: Array
    inputs: Array
    cotangents: Array

    @classmethod
    def default(cls, qubits: int, layers: int, batch: int, seed: int = 7) -> Problem:
        """The hybrid model's circuit with random parameters, samples and cotangents."""
        circuit, observables = build_circuit(qubits, layers), readouts(qubits)
        rng = np.random.default_rng(seed)
        return cls(
            circuit,
            observables,
            rng.uniform(-np.pi, np.pi, circuit.n_weights),
            rng.uniform(-np.pi, np.pi, (batch, circuit.n_inputs)),
            rng.normal(size=(batch, len(observables))),
        )

    def first(self) -> Problem:
        """The same with one sample."""
        return Problem(self.circuit, self.observables, self.weights, self.inputs[:1], self.cotangents[:1])


def ketgrad_step(problem: Problem, backend: str | None = None) -> Step:
    """The step through `Model.forward` and its pullback."""
    model = compile_circuit(problem.circuit, problem.observables, backend=backend)

    def step() -> tuple[Array, Array, Array]:
        values, pullback = model.forward(problem.weights, problem.inputs)
        gradients = pullback(problem.cotangents)
        return values, gradients.weights, gradients.inputs

    return step


def pennylane_step(problem: Problem, device: str, method: str, **options: Any) -> Step:
    """The step through a QNode: torch where it is installed, else autograd.

    One sample runs unbatched, as a loop over samples would; several run broadcast.
    """
    import pennylane as qml

    if device == "ketgrad.qubit":
        from .pennylane_device import KetgradQubit

        simulator: Any = KetgradQubit(problem.circuit.n_wires)
    else:
        simulator = qml.device(device, wires=problem.circuit.n_wires)
    observables = [pennylane_observable(o) for o in problem.observables]
    apply = quantum_function(problem.circuit)
    single = len(problem.inputs) == 1
    inputs = problem.inputs[0] if single else problem.inputs
    cotangents = problem.cotangents[0] if single else problem.cotangents.T

    def function(x: Any, w: Any) -> Any:
        apply(x, w)
        return [qml.expval(o) for o in observables]

    step = _torch_step if find_spec("torch") else _autograd_step
    run = step(qml.QNode(function, simulator, diff_method=method, **options), inputs, problem.weights, cotangents)

    def arranged() -> tuple[Array, Array, Array]:
        values, grad_w, grad_x = run()
        return (values[None], grad_w, grad_x[None]) if single else (values.T, grad_w, grad_x)

    return arranged


def _torch_step(qnode: Any, inputs: Array, weights: Array, cotangents: Array) -> Step:
    import torch

    x, w = torch.tensor(inputs, requires_grad=True), torch.tensor(weights, requires_grad=True)
    c = torch.tensor(cotangents)

    def step() -> tuple[Array, Array, Array]:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # lightning returns Python floats, which torch would round to float32
        try:
            values = torch.stack(tuple(qnode(x, w)))
            grad_x, grad_w = torch.autograd.grad((values * c).sum(), (x, w))
        finally:
            torch.set_default_dtype(before)
        return values.detach().numpy(), grad_w.numpy(), grad_x.numpy()

    return step


def _autograd_step(qnode: Any, inputs: Array, weights: Array, cotangents: Array) -> Step:
    import pennylane as qml
    from pennylane import numpy as pnp

    x, w = pnp.array(inputs, requires_grad=True), pnp.array(weights, requires_grad=True)
    kept: list[Array] = []

    def loss(x: Any, w: Any) -> Any:
        values = pnp.stack(qnode(x, w))
        kept[:] = [np.asarray(getattr(values, "_value", values))]
        return pnp.sum(values * cotangents)

    gradient = qml.grad(loss)

    def step() -> tuple[Array, Array, Array]:
        grad_x, grad_w = gradient(x, w)
        return kept[0], np.asarray(grad_w), np.asarray(grad_x)

    return step


def quantum_function(circuit: Circuit) -> Callable[[Any, Any], None]:
    """A circuit of ketgrad as a PennyLane quantum function of inputs (..., F) and weights (P,)."""
    import pennylane as qml

    def angle(p: float | Expression) -> Callable[[Any, Any], Any]:
        if not isinstance(p, Expression):
            return lambda x, w: p
        assert p.affine is not None
        (kind, k), scale, offset = p.affine
        if (scale, offset) == (1.0, 0.0):
            return (lambda x, w: w[k]) if kind == "w" else (lambda x, w: x[..., k])
        return lambda x, w: scale * (w[k] if kind == "w" else x[..., k]) + offset

    gates = [(getattr(qml, str(g.spec.pennylane)), [angle(p) for p in g.params], list(g.wires)) for g in circuit.gates]

    def apply(x: Any, w: Any) -> None:
        for operation, angles, wires in gates:
            operation(*[a(x, w) for a in angles], wires=wires)

    return apply


def pennylane_observable(observable: PauliSum) -> Any:
    """An observable of ketgrad without projectors, in PennyLane."""
    import pennylane as qml

    terms = observable.without_patterns().terms
    words = [qml.prod(*[getattr(qml, letter)(wire) for wire, letter in word]) for _, word, _ in terms]
    return words[0] if [c for c, _, _ in terms] == [1.0] else qml.Hamiltonian([c for c, _, _ in terms], words)


@contextmanager
def openmp_threads(count: int) -> Iterator[None]:
    """Run with this many OpenMP threads, where threadpoolctl is installed (it comes with scikit-learn)."""
    if not find_spec("threadpoolctl"):
        yield
        return
    with importlib.import_module("threadpoolctl").threadpool_limits(count, user_api="openmp"):
        yield
