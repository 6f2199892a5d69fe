"""The steps of `headline.py` in torch: PennyLane's QNodes on any simulator, compiled ones, and ketgrad's layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from headline_cases import Answer, Workload

import ketgrad as kg

Step = Callable[[], Answer]


def gradient_step(
    values: Callable[[Any, Any], Any],
    work: Workload,
    dtype: str,
    frozen: bool = False,
    parameters: list[torch.Tensor] | None = None,
) -> Step:
    """The step: forward, loss, and backward to weights and, where there are any and they are not frozen, inputs.

    Args:
        values: (B, M), of inputs (B, F) and weights (P,).
        parameters: the weights, where they are a module's.
    """
    real = real_dtype(dtype)
    x = torch.tensor(work.inputs, dtype=real, requires_grad=bool(work.features) and not frozen)
    w = torch.tensor(work.weights, dtype=real, requires_grad=True)
    targets = None if work.targets is None else torch.tensor(work.targets, dtype=real)
    weights = [w] if parameters is None else parameters
    wanted = (*weights, x) if x.requires_grad else weights

    def run() -> Answer:
        found = values(x, w)
        loss = found.sum() if targets is None else ((found - targets) ** 2).sum()
        gradients = [g.numpy() for g in torch.autograd.grad(loss, wanted)]
        grad_w = gradients[0] if parameters is None else np.concatenate([g.ravel() for g in gradients[: len(weights)]])
        grad_x = gradients[-1] if x.requires_grad else np.full(x.shape, np.nan if frozen else 0.0)
        return found.detach().numpy(), grad_w, grad_x

    return run


def real_dtype(dtype: str) -> torch.dtype:
    """Of angles and values; it becomes torch's default, to which lightning's Python floats are rounded."""
    real = torch.float64 if dtype == "complex128" else torch.float32
    torch.set_default_dtype(real)
    return real


def simulator(name: str, wires: int, dtype: str) -> Any:
    """A device of PennyLane; ketgrad's also where it is only on the path, so that PennyLane does not know its name."""
    import pennylane as qml

    if name == "default.qubit":
        return qml.device(name, wires=wires)  # its precision is that of the tensors
    if name != "ketgrad.qubit":
        return qml.device(name, wires=wires, c_dtype=np.dtype(dtype).type)
    from ketgrad.pennylane_device import KetgradQubit

    return KetgradQubit(wires, c_dtype=dtype)


def qnode(work: Workload, dtype: str, device: str, method: str, **options: Any) -> Any:
    """Of inputs (..., F) and weights, giving a tuple of M values."""
    import pennylane as qml

    from ketgrad.peers import pennylane_observable, quantum_function

    apply, observables = quantum_function(work.circuit), [pennylane_observable(o) for o in work.observables]

    def function(x: Any, w: Any) -> Any:
        apply(x, w)
        return tuple(qml.expval(o) for o in observables)

    return qml.QNode(function, simulator(device, work.circuit.n_wires, dtype), diff_method=method, **options)


def together(node: Any, work: Workload) -> Callable[[Any, Any], Any]:
    """Values (B, M) of one call; a single sample runs unbatched."""
    if work.batch == 1:
        return lambda x, w: torch.stack(tuple(node(x[0], w)))[None]
    return lambda x, w: torch.stack(tuple(node(x, w)), dim=1)


def one_by_one(node: Any, x: Any, w: Any) -> Any:
    """Values (B, M) of a call for each sample."""
    return torch.stack([torch.stack(tuple(node(sample, w))) for sample in x])


def pennylane(
    work: Workload, dtype: str, device: str, method: str, looped: bool, frozen: bool = False, **options: Any
) -> Step:
    """The step through a QNode: broadcast, or looped over the samples."""
    real_dtype(dtype)
    node = qnode(work, dtype, device, method, **options)
    values = partial(one_by_one, node) if looped else together(node, work)
    return gradient_step(values, work, dtype, frozen)


def shifted_circuit(work: Workload, dtype: str) -> Callable[[], Any]:
    """Values of default.qubit without gradients: what parameter-shift runs again for every shift."""
    real = real_dtype(dtype)
    values = together(qnode(work, dtype, "default.qubit", "parameter-shift"), work)
    x, w = torch.tensor(work.inputs, dtype=real), torch.tensor(work.weights, dtype=real)
    return lambda: values(x, w).numpy()


def compiled_qnode(work: Workload, dtype: str) -> Step:
    """`kg.compile` of a QNode."""
    real = real_dtype(dtype)
    x = torch.tensor(work.inputs[0] if work.batch == 1 else work.inputs, dtype=real)
    w = torch.tensor(work.weights, dtype=real)
    node = kg.compile(qnode(work, dtype, "default.qubit", "backprop"), x, w, dtype=dtype)
    return gradient_step(together(node, work), work, dtype)


def layer(work: Workload, dtype: str) -> Step:
    """`kg.torch.Layer`."""
    from ketgrad import torch as kg_torch

    module = kg_torch.Layer(kg.compile(work.circuit, work.observables, dtype=dtype), dtype=real_dtype(dtype))
    parameters = list(module.parameters())
    torch.nn.utils.vector_to_parameters(torch.tensor(work.weights), parameters)
    call = (lambda x, w: module(x)) if work.features else (lambda x, w: module()[None])
    return gradient_step(call, work, dtype, parameters=parameters)
