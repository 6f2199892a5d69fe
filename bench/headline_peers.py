"""Whoever takes part in `headline.py`: what it needs, how its step is made, and how one that takes too long is scaled.

Frameworks are imported when a step is made, or by the worker before its clock starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from headline_cases import Answer, Workload

import ketgrad as kg

Make = Callable[[Workload, str], Callable[[], Answer]]
BOTH = ("complex128", "complex64")


@dataclass(frozen=True)
class Peer:
    """One way to make a training step.

    Attributes:
        about: how it runs, for the page.
        packages: modules it needs; the version of the first is told.
        preload: modules that are imported before a clock starts.
        make: a step of a workload in a dtype.
        scaled: what is timed where a step takes too long: "sample", one sample; "shift", one shifted circuit of the
            whole batch; nothing.
        frozen: the gradient of the inputs is not asked for, as this cannot be done.
        batched: only for workloads with a batch; without one it is the same as another.
    """

    name: str
    about: str
    packages: tuple[str, ...]
    preload: tuple[str, ...]
    make: Make
    scaled: str = ""
    frozen: bool = False
    batched: bool = False
    dtypes: tuple[str, ...] = ("complex128",)

    @property
    def ours(self) -> bool:
        """Whether it is ketgrad."""
        return self.name.startswith("ketgrad")

    def missing(self) -> str:
        """The module that is not installed, if any."""
        return next((m for m in self.packages if not _found(m)), "")


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that a dotted name begins with
        return False


def native(work: Workload, dtype: str, backend: str = "native") -> Callable[[], Answer]:
    """`Model.forward` and its pullback."""
    model = kg.compile(work.circuit, work.observables, dtype=dtype, backend=backend)

    def step() -> Answer:
        values, pullback = model.forward(work.weights, work.inputs)
        gradients = pullback(work.cotangents(values))
        return values, gradients.weights, gradients.inputs

    return step


def _in(module: str, name: str) -> Make:
    """The maker of this name, in a module that imports a framework."""

    def make(work: Workload, dtype: str) -> Callable[[], Answer]:
        return getattr(import_module(module), name)(work, dtype)  # type: ignore[no-any-return]

    return make


def _qnode(device: str, method: str, looped: bool = False, **options: Any) -> Make:
    """The maker of a QNode's step in torch."""

    def make(work: Workload, dtype: str) -> Callable[[], Answer]:
        torch = import_module("headline_torch")
        return torch.pennylane(work, dtype, device, method, looped, **options)  # type: ignore[no-any-return]

    return make


TORCH, JAX = ("torch", "pennylane", "headline_torch"), ("jax", "headline_jax")
PENNYLANE = ("pennylane", "torch")
LIGHTNING = ("pennylane_lightning", "torch")
UNBATCHED = "torch, broadcast; it un-batches"
FROZEN = "torch, parameter-shift; inputs frozen, for it cannot differentiate them"


def _lightning(suffix: str, about: str, looped: bool = False, **options: Any) -> Peer:
    dtypes = BOTH if not suffix else BOTH[:1]
    make = _qnode("lightning.qubit", "adjoint", looped, **options)
    return Peer(f"lightning.qubit adjoint{suffix}", about, LIGHTNING, TORCH, make, "sample", False, looped, dtypes)


NATIVE = "ketgrad native"
PEERS = {
    p.name: p
    for p in (
        Peer(NATIVE, "forward and pullback, two calls", ("ketgrad._core",), ("ketgrad",), native, dtypes=BOTH),
        Peer("ketgrad Numba", "the same without the C++ core", ("numba",), ("numba",), partial(native, backend="numba"),
             dtypes=BOTH),
        Peer("ketgrad torch layer", "kg.torch.Layer", ("ketgrad.torch", "torch"), TORCH[::2],
             _in("headline_torch", "layer"), dtypes=BOTH),
        Peer("ketgrad JAX function", "kg.jax.function under jit", ("ketgrad.jax", "jax"), JAX,
             _in("headline_jax", "ketgrad"), dtypes=BOTH),
        Peer("ketgrad compiled QNode", "kg.compile(qnode), torch", PENNYLANE, TORCH,
             _in("headline_torch", "compiled_qnode")),
        Peer("ketgrad.qubit QNode", "the device in PennyLane, torch", PENNYLANE, TORCH,
             _qnode("ketgrad.qubit", "best")),
        Peer("TensorCircuit-NG", "JAX, jit of vmap and value_and_grad", ("tensorcircuit", "jax"),
             JAX, _in("headline_jax", "tensorcircuit"), dtypes=BOTH),
        Peer("qujax", "JAX, jit of vmap and value_and_grad", ("qujax", "jax"), JAX,
             _in("headline_jax", "qujax"), dtypes=BOTH),
        Peer("default.qubit backprop", "torch, broadcast: PennyLane's default", PENNYLANE, TORCH,
             _qnode("default.qubit", "backprop")),
        Peer("default.qubit adjoint", UNBATCHED, PENNYLANE, TORCH, _qnode("default.qubit", "adjoint"), "sample"),
        _lightning("", UNBATCHED),
        _lightning(" VJP", f"{UNBATCHED}; device_vjp=True", device_vjp=True),
        _lightning(", looped", "torch, a QNode call for each sample", True),
        _lightning(" VJP, looped", "torch, a QNode call for each sample; device_vjp=True", True, device_vjp=True),
        Peer("lightning.kokkos adjoint", UNBATCHED, ("pennylane_lightning.lightning_kokkos_ops", "torch"), TORCH,
             _qnode("lightning.kokkos", "adjoint"), "sample", dtypes=BOTH),
        Peer("default.qubit shift, broadcast", FROZEN, PENNYLANE, TORCH,
             _qnode("default.qubit", "parameter-shift", frozen=True), "shift", frozen=True, batched=True),
        Peer("default.qubit shift, looped", "torch, parameter-shift, a QNode call for each sample", PENNYLANE, TORCH,
             _qnode("default.qubit", "parameter-shift", True), "sample"),
    )
}  # fmt: skip
