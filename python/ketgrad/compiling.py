"""`compile`, the one word for making something ready to run: a circuit, or a PennyLane QNode.

Owns: which of the two it is. May not know: how either is compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy.typing as npt

from .circuit import Circuit
from .errors import ArgumentTypeError
from .model import Model, compile_circuit

if TYPE_CHECKING:
    from .pauli import PauliSum
    from .pennylane_device.compiled import CompiledQNode


@overload
def compile(
    circuit: Circuit,
    observables: PauliSum | list[PauliSum] | tuple[PauliSum, ...] = ...,
    *,
    dtype: npt.DTypeLike = ...,
    backend: str | None = ...,
    **noise: Any,
) -> Model: ...
@overload
def compile(
    circuit: Any, *example: Any, dtype: npt.DTypeLike = ..., backend: str | None = ..., **named: Any
) -> CompiledQNode: ...
def compile(
    circuit: Any, *args: Any, dtype: npt.DTypeLike = "complex128", backend: str | None = None, **named: Any
) -> Any:
    """Make a circuit, or a PennyLane QNode, ready to run.

    `compile(circuit, observables)` gives a `Model`.

    `compile(qnode, *example)` queues the QNode at its example arguments (and a few others near them), finds how every
    angle follows from the arguments, and gives a `CompiledQNode`: a function of the same arguments, in numpy, torch,
    JAX or autograd, that runs without PennyLane. Its `torch_layer` makes a torch module. A QNode whose structure
    depends on the values of its arguments, or whose angles are no polynomials of degree 2 in them, is queued again at
    every call and run by the device `ketgrad.qubit`; a warning says so.

    Args:
        circuit: a `Circuit`, to which later changes do not reach the model; or a QNode.
        args: the observables, one or M of them, none for states and samples only; or the QNode's example arguments.
        named: `observables`, or example arguments of the QNode by name. A circuit with channels takes the options of
            `ketgrad.noise.NoisyModel`, which it becomes; with one of these (`noise`, `readout`), so does any circuit.
        dtype: "complex128" or "complex64".
        backend: "native" or "numba"; default the best one here.

    Raises:
        ArgumentTypeError: neither a circuit nor a QNode, or not observables.
        WireError: an observable on a wire the circuit does not have.

    Example:
        >>> model = kg.compile(circuit, kg.Z(0))
        >>> layer = kg.compile(qnode, x, w).torch_layer({"w": (2, 4)})
    """
    if type(circuit).__module__.partition(".")[0] == "pennylane" and hasattr(circuit, "construct"):
        from .pennylane_device.compiled import CompiledQNode

        return CompiledQNode(circuit, args, named, dtype, backend)
    if not isinstance(circuit, Circuit):
        raise ArgumentTypeError(f"compile: expected a Circuit or a PennyLane QNode, got {type(circuit).__name__}")
    return compile_circuit(circuit, *args, dtype=dtype, backend=backend, **named)
