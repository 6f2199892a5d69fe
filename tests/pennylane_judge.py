"""QNodes in every framework, their results and gradients, and the comparison with default.qubit.

Owns: `Run` (how a QNode is run), `evaluate`, and `Judge`, which says whether a draw agrees with the reference, or why
the reference cannot tell. Knows PennyLane and `Recipe`, nothing of ketgrad.
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pennylane as qml
from pennylane import numpy as pnp
from pennylane_random import Recipe

FRAMEWORKS = [name for name in ("torch", "jax") if importlib.util.find_spec(name)]
INTERFACES = ["numpy", *["autograd"] * 3, *(["torch"] * 3 if "torch" in FRAMEWORKS else [])]
INTERFACES += ["jax", "jax-jit"] if "jax" in FRAMEWORKS else []
METHODS = ("best", "best", "adjoint", "backprop", "device", "parameter-shift")
REFERENCES = {  # default.qubit in the same framework, or else another; in JAX it would compile each operation
    "numpy": ("numpy", "autograd"),
    "torch": ("torch", "autograd"),
    **dict.fromkeys(("autograd", "jax", "jax-jit"), ("autograd", *FRAMEWORKS[:1])),
}
Probabilities = qml.measurements.ProbabilityMP
MOST_EXCLUDED = 0.1  # of a chunk, in which draws are alike; altogether it is some 2 %
DIFFERENCES = 1e-5  # how far central differences may be from a derivative


@dataclass(frozen=True)
class Run:
    """How a QNode is run: its interface, and its options."""

    interface: str
    method: str | None = "best"
    option: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        return {"diff_method": self.method, **({self.option: True} if self.option else {})}


def fit(run: Run, seed: int, gates: tuple[int, ...], measured: tuple[int, ...]) -> tuple[Run, Recipe]:
    """A draw without what PennyLane refuses on every device."""
    if Recipe(seed, gates, measured).batch is not None:  # neither takes trained batches, and jit confuses their shapes
        unfit = run.method == "parameter-shift" or run.method == "device" and run.interface == "jax-jit"
        run = replace(run, method="best") if unfit else run
    if run.method in (None, "parameter-shift") or run == Run("jax-jit", run.method, "grad_on_execution"):
        run = replace(run, option=None)
    forward = run.method == "device" and run.interface.startswith("jax")  # the device's Jacobians, for jax.jvp
    only = "shifts" if run.method == "parameter-shift" else "jacobians" if forward else ""
    return run, Recipe(seed, gates, measured, only)


# results and gradients


def leaves(nested: Any) -> list[Any]:
    """The tensors of a result."""
    return [leaf for part in nested for leaf in leaves(part)] if isinstance(nested, (tuple, list)) else [nested]


def cost(results: Any, seed: int) -> Any:
    """A random real function of all results."""
    rng, total = np.random.default_rng(seed), 0.0
    for leaf in leaves(results):
        weights = rng.normal(size=(2, 2, *np.shape(leaf)))
        is_complex = qml.math.get_dtype_name(leaf).startswith("complex")
        parts = (qml.math.real(leaf), qml.math.imag(leaf)) if is_complex else (leaf,)
        for part, pair in zip(parts, weights, strict=False):
            first, second = (qml.math.convert_like(w, part) for w in pair)
            total = total + qml.math.sum(first * part + second * part**2)
    return total


def with_numpy(function: Any, recipe: Recipe, arguments: Any) -> Any:
    return function(*arguments), []


def with_autograd(function: Any, recipe: Recipe, arguments: Any) -> Any:
    tensors = [pnp.array(v, requires_grad=t) for v, t in zip(arguments, recipe.trained, strict=True)]
    where = [k for k, t in enumerate(recipe.trained) if t]
    results: list[Any] = []

    def scalar(*tensors: Any) -> Any:
        results.append(function(*tensors))
        return cost(results[0], recipe.seed)

    gradients = qml.grad(scalar, argnums=where)(*tensors)
    return unboxed(results[0]), [np.asarray(g) for g in gradients]


def unboxed(nested: Any) -> Any:
    """Without autograd's boxes."""
    if isinstance(nested, (tuple, list)):
        return type(nested)(map(unboxed, nested))
    return unboxed(nested._value) if hasattr(nested, "_value") else nested


def with_torch(function: Any, recipe: Recipe, arguments: Any) -> Any:
    import torch

    tensors = [torch.tensor(v, requires_grad=t) for v, t in zip(arguments, recipe.trained, strict=True)]
    results = function(*tensors)
    scalar, wanted = cost(results, recipe.seed), [t for t in tensors if t.requires_grad]
    if not getattr(scalar, "requires_grad", False):
        return results, [np.zeros(t.shape) for t in wanted]
    found = torch.autograd.grad(scalar, wanted, allow_unused=True)
    return results, [np.zeros(t.shape) if g is None else g.numpy() for g, t in zip(found, wanted, strict=True)]


def with_jax(function: Any, recipe: Recipe, arguments: Any, jit: bool = False) -> Any:
    import jax

    def scalar(*tensors: Any) -> Any:
        results = function(*tensors)
        return cost(results, recipe.seed), results

    where = tuple(k for k, t in enumerate(recipe.trained) if t)
    both = jax.value_and_grad(scalar, where, has_aux=True)
    (_, results), gradients = (jax.jit(both) if jit else both)(*map(jax.numpy.asarray, arguments))
    return results, [np.asarray(g) for g in gradients]


EVALUATE: dict[str, Callable[..., Any]] = {
    "numpy": with_numpy,
    "autograd": with_autograd,
    "torch": with_torch,
    "jax": with_jax,
    "jax-jit": lambda *a: with_jax(*a, jit=True),
}


def evaluate(run: Run, recipe: Recipe, device: Any, arguments: Any = None) -> Any:
    """A QNode's results and gradients; the device None stands for default.qubit."""
    device = device or qml.device("default.qubit", wires=recipe.wires)
    function = recipe.dense if run.method == "backprop" and device.name == "default.qubit" else recipe.function
    node = qml.QNode(function, device, **run.options)
    return EVALUATE[run.interface](node, recipe, recipe.arguments if arguments is None else arguments)


def by_differences(recipe: Recipe, arguments: Any, expand: bool, step: float = 1e-5) -> Any:
    """Results of default.qubit with what it is known to do well, and gradients by central differences.

    Args:
        expand: whether to run sample by sample, for batches of controlled matrices are wrong.
    """
    node = qml.QNode(recipe.careful, qml.device("default.qubit", wires=recipe.wires), diff_method=None)
    node = qml.transforms.broadcast_expand(node) if expand else node
    gradients = []
    for k in (k for k, trained in enumerate(recipe.trained) if trained):
        gradient = np.zeros(arguments[k].shape)
        for index in np.ndindex(gradient.shape):
            ends = []
            for sign in (1, -1):
                moved = [v.copy() for v in arguments]
                moved[k][index] += sign * step
                ends.append(float(np.real(cost(node(*moved), recipe.seed))))
            gradient[index] = (ends[0] - ends[1]) / (2 * step)
        gradients.append(gradient)
    return node(*arguments), gradients


# comparison


def form(nested: Any) -> Any:
    """Nesting and shapes."""
    return (type(nested), *map(form, nested)) if isinstance(nested, (tuple, list)) else tuple(np.shape(nested))


def assert_agree(got: Any, wanted: Any, interface: str, atol: float, gradients: float | None = None) -> None:
    """The same form, the same numbers, and where there is something to differentiate, tensors of the interface.

    Args:
        got, wanted: results, and gradients.
        atol, gradients: how far they may be apart, if that is not the same.
    """
    assert form(got[0]) == form(wanted[0]), (form(got[0]), form(wanted[0]))
    if interface in FRAMEWORKS and any(np.any(np.abs(g) > 1e-6) for g in wanted[1]):
        assert any(type(leaf).__module__.startswith(interface) for leaf in leaves(got[0]))
    pairs = [(*pair, atol) for pair in zip(leaves(got[0]), leaves(wanted[0]), strict=True)]
    if got[1]:  # numpy has none
        pairs += [(*pair, gradients or atol) for pair in zip(got[1], wanted[1], strict=True)]
    for k, (*pair, limit) in enumerate(pairs):
        a, b = (np.asarray(qml.math.to_numpy(v)) for v in pair)
        assert a.shape == b.shape
        error = np.max(np.abs(a - b), initial=0.0)
        assert error <= limit * max(1.0, np.max(np.abs(b), initial=0.0)), (k, error, a, b)  # and no NaN


def is_diagonalised(obs: Any) -> bool:
    """Whether PennyLane diagonalises an observable and its parts: not always, where eigenvalues are degenerate."""
    parts = [*getattr(obs, "operands", ()), *([obs.base] if hasattr(obs, "base") else [])]
    if not all(map(is_diagonalised, parts)):
        return False
    if not obs.has_diagonalizing_gates or not obs.diagonalizing_gates():
        return True
    gates = qml.matrix(qml.tape.QuantumScript(obs.diagonalizing_gates()), wire_order=obs.wires)
    diagonal = gates @ qml.matrix(obs, wire_order=obs.wires) @ gates.conj().T
    return bool(np.allclose(diagonal, np.diag(obs.eigvals()), atol=1e-9))


class Judge:
    """Compares draws with default.qubit, and counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def compare(self, run: Run, recipe: Recipe, device: Any, atol: float) -> None:
        """A QNode on a device.

        Raises:
            AssertionError: they disagree.
            Exception: the device refuses what default.qubit can do.
        """
        self.counts["draws"] += 1
        try:
            got = evaluate(run, recipe, device)
        except Exception as error:
            if why := self._also_refused(run, recipe, atol, str(error)):
                return self._exclude(f"{why}: {type(error).__name__}: {re.sub('<.*?>', '<>', str(error))[:70]}")
            raise
        self.against_reference(run, recipe, recipe.arguments, got, atol)

    def against_reference(self, run: Run, recipe: Recipe, arguments: Any, got: Any, atol: float) -> None:
        """Results and gradients of any origin.

        Raises:
            AssertionError: they disagree.
        """
        failed = None
        for interface in REFERENCES[run.interface]:
            try:
                wanted = evaluate(Run(interface, "backprop"), recipe, None, arguments)
                assert_agree(got, wanted, run.interface.removesuffix("-jit"), atol)
            except AssertionError as error:
                failed = error
            except Exception:
                continue  # there are gates and observables that it cannot run in this framework
            else:
                self.counts["default.qubit contradicts itself"] += failed is not None
                return
        measured = qml.tape.make_qscript(recipe.function)(*arguments).measurements
        if not all(is_diagonalised(mp.obs) for mp in measured if isinstance(mp, Probabilities) and mp.obs is not None):
            return self._exclude("PennyLane diagonalises an observable wrongly")
        for expand in (False, True):
            try:
                wanted = by_differences(recipe, arguments, expand)
            except Exception:
                continue
            try:
                assert_agree(got, wanted, "", atol, max(atol, DIFFERENCES))
            except AssertionError as error:
                failed = failed or error
            else:
                self.counts["gradients by differences, as backpropagation fails"] += 1
                return
        if failed is not None:
            raise failed
        self._exclude("default.qubit refuses")

    def report(self) -> None:
        """Print the counts; too many exclusions are an error."""
        print(dict(self.counts))
        excluded = sum(v for k, v in self.counts.items() if k.startswith("excluded"))
        assert excluded <= max(15, MOST_EXCLUDED * self.counts["draws"])

    def _exclude(self, why: str) -> None:
        self.counts[f"excluded: {why}"] += 1

    def _also_refused(self, run: Run, recipe: Recipe, atol: float, message: str) -> str:
        """Why it is right to refuse a draw, or nothing."""
        if run.method == "parameter-shift" and ("Exp(" in message or "not unitary" in message):
            return "PennyLane shifts an exponential to one that is not unitary"
        try:
            got = evaluate(replace(run, method="best" if run.method == "device" else run.method), recipe, None)
            wanted = by_differences(recipe, recipe.arguments, expand=False)
        except Exception:
            return "both refuse"
        try:
            assert_agree(got, wanted, "", atol, max(atol, DIFFERENCES))
        except AssertionError:
            return "default.qubit answers, and wrongly"
        return ""
