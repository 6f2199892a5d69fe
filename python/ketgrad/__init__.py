"""ketgrad: a native-accelerated statevector simulator and gradient engine for hybrid quantum-classical training.

Example:
    >>> import ketgrad as kg
    >>> circuit = kg.Circuit(2)
    >>> w = circuit.weights(2)
    >>> circuit.ry(w[0], 0).cnot(0, 1).ry(w[1], 1)
    >>> model = kg.compile(circuit, kg.Z(1))
    >>> values, pullback = model.forward([0.1, 0.2])
    >>> pullback([1.0]).weights
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors
from ._version import __version__
from .backends import backend_info, set_num_threads
from .circuit import Circuit
from .compiling import compile
from .model import Gradients, Jacobian, Model
from .pauli import Hermitian, I, PauliSum, Projector, X, Y, Z

if TYPE_CHECKING:
    from .persistence import load as load

_OPTIONAL = "anneal diagnostics gates jax kernels mitigation molecules noise optimise plots sklearn torch train".split()
_LAZY = {"load": "persistence", **dict.fromkeys(_OPTIONAL)}

__all__ = [
    "Circuit",
    "Gradients",
    "Hermitian",
    "I",
    "Jacobian",
    "Model",
    "PauliSum",
    "Projector",
    "X",
    "Y",
    "Z",
    "__version__",
    "backend_info",
    "compile",
    "errors",
    "load",
    "set_num_threads",
]


def __getattr__(name: str) -> Any:
    """Optional parts load on first use, so that `import ketgrad` stays fast."""
    if name in _LAZY:
        import importlib

        module = importlib.import_module(f".{_LAZY[name] or name}", __name__)
        return getattr(module, name) if _LAZY[name] else module
    raise AttributeError(f"module 'ketgrad' has no attribute {name!r}")
