"""Random QNodes on ketgrad.qubit, and compiled, against default.qubit: results, their form, and gradients.

KETGRAD_DRAWS sets how many are drawn (150 unless said; 10,000 for the figures of a release). A draw that the reference
cannot judge is left out for one of the reasons in `excluded`, and few may be.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

qml = pytest.importorskip("pennylane")
pnp = qml.numpy

from pennylane_cases import IGNORED  # noqa: E402
from pennylane_random import Recipe  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.pennylane_device import KetgradQubit  # noqa: E402

DRAWS = int(os.environ.get("KETGRAD_DRAWS", "150"))
CHUNK = 75  # draws of one test
START = int(os.environ.get("KETGRAD_DRAWS_SEED", "0"))
FRAMEWORKS = [name for name in ("torch", "jax") if importlib.util.find_spec(name)]
INTERFACES = ["numpy", *["autograd"] * 3, *(["torch"] * 3 if "torch" in FRAMEWORKS else [])]
INTERFACES += ["jax", "jax", "jax-jit"] if "jax" in FRAMEWORKS else []
REFERENCES = {  # default.qubit in the same framework, or else another; in JAX it would compile each operation
    "numpy": ("numpy", "autograd"),
    "torch": ("torch", "autograd"),
    **dict.fromkeys(("autograd", "jax", "jax-jit"), ("autograd", *FRAMEWORKS[:1])),
}
METHODS = ("best", "best", "adjoint", "backprop", "device", "parameter-shift")
SEEDS = st.integers(0, 2**32 - 1)
MOST_EXCLUDED = 0.05

pytestmark = [
    *IGNORED,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:Output seems independent of input"),
]


@dataclass(frozen=True)
class Run:
    """How a QNode is run: its interface, and its options on the device under test."""

    interface: str
    method: str | None
    option: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        return {"diff_method": self.method, **({self.option: True} if self.option else {})}


@st.composite
def draws(draw: st.DrawFn) -> tuple[Run, Recipe]:
    interface = draw(st.sampled_from(INTERFACES))
    method = draw(st.sampled_from((None, "best") if interface == "numpy" else METHODS))
    option = draw(st.sampled_from((None, None, None, "grad_on_execution", "device_vjp")))
    gates, measured = draw(st.lists(SEEDS, max_size=12)), draw(st.lists(SEEDS, min_size=1, max_size=3))
    return fit(Run(interface, method, option), draw(SEEDS), tuple(gates), tuple(measured))


def fit(run: Run, seed: int, gates: tuple[int, ...], measured: tuple[int, ...]) -> tuple[Run, Recipe]:
    """A draw without what PennyLane refuses on every device."""
    if run.method == "parameter-shift" and Recipe(seed, gates, measured).batch is not None:
        run = replace(run, method="best")
    if run.method in (None, "parameter-shift") or run == Run("jax-jit", run.method, "grad_on_execution"):
        run = replace(run, option=None)
    forward = run.option == "grad_on_execution" or run.method == "device" and run.interface.startswith("jax")
    only = "shifts" if run.method == "parameter-shift" else "jacobians" if forward else ""
    return run, Recipe(seed, gates, measured, only)


# a QNode's results and gradients in each framework


def leaves(nested: Any) -> list[Any]:
    """The tensors of a result."""
    return [leaf for part in nested for leaf in leaves(part)] if isinstance(nested, (tuple, list)) else [nested]


def is_complex(leaf: Any) -> bool:
    return qml.math.get_dtype_name(leaf).startswith("complex")


def cost(results: Any, seed: int) -> Any:
    """A random real function of all results."""
    rng, total = np.random.default_rng(seed), 0.0
    for leaf in leaves(results):
        weights = rng.normal(size=(2, 2, *np.shape(leaf)))
        parts = (qml.math.real(leaf), qml.math.imag(leaf)) if is_complex(leaf) else (leaf,)
        for part, pair in zip(parts, weights, strict=False):
            first, second = (qml.math.convert_like(w, part) for w in pair)
            total = total + qml.math.sum(first * part + second * part**2)
    return total


def with_numpy(function: Any, recipe: Recipe, arguments: Any) -> Any:
    return function(*arguments), ()


def with_autograd(function: Any, recipe: Recipe, arguments: Any) -> Any:
    tensors = [pnp.array(v, requires_grad=t) for v, t in zip(arguments, recipe.trained, strict=True)]
    where = [k for k, t in enumerate(recipe.trained) if t]
    results: list[Any] = []

    def scalar(*tensors: Any) -> Any:
        results.append(function(*tensors))
        return cost(results[0], recipe.seed)

    gradients = qml.grad(scalar, argnums=where)(*tensors)
    return values_of(results[0]), [np.asarray(g) for g in gradients]


def values_of(nested: Any) -> Any:
    """Without autograd's boxes."""
    if isinstance(nested, (tuple, list)):
        return type(nested)(map(values_of, nested))
    return values_of(nested._value) if hasattr(nested, "_value") else nested


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


# comparison


def form(nested: Any) -> Any:
    """Nesting and shapes."""
    return (type(nested), *map(form, nested)) if isinstance(nested, (tuple, list)) else tuple(np.shape(nested))


def numbers(tensor: Any) -> Any:
    return np.asarray(qml.math.to_numpy(tensor))


def assert_agree(got: Any, wanted: Any, interface: str, atol: float) -> None:
    """The same form, and the same numbers where the reference has any."""
    assert form(got[0]) == form(wanted[0]), (form(got[0]), form(wanted[0]))
    if interface in FRAMEWORKS and any(np.any(np.abs(g) > 1e-6) for g in wanted[1]):
        assert any(type(leaf).__module__.startswith(interface) for leaf in leaves(got[0]))
    pairs = [*zip(leaves(got[0]), leaves(wanted[0]), strict=True), *zip(got[1], wanted[1], strict=True)]
    for k, (a, b) in enumerate(pairs):
        a, b = numbers(a), numbers(b)
        assert a.shape == b.shape
        error = np.max(np.abs(a - b), initial=0.0)
        assert error <= atol * max(1.0, np.max(np.abs(b), initial=0.0)), (k, error, a, b)  # and no NaN


def by_differences(recipe: Recipe, step: float = 1e-5) -> Any:
    """default.qubit's results, and gradients by central differences."""
    node = qml.QNode(recipe.dense, qml.device("default.qubit", wires=recipe.wires), diff_method=None)
    gradients = []
    for k in (k for k, trained in enumerate(recipe.trained) if trained):
        gradient = np.zeros(recipe.arguments[k].shape)
        for index in np.ndindex(gradient.shape):
            ends = []
            for sign in (1, -1):
                moved = [v.copy() for v in recipe.arguments]
                moved[k][index] += sign * step
                ends.append(float(np.real(cost(node(*moved), recipe.seed))))
            gradient[index] = (ends[0] - ends[1]) / (2 * step)
        gradients.append(gradient)
    return node(*recipe.arguments), gradients


def is_diagonalised(mp: Any) -> bool:
    """Whether PennyLane's diagonalising gates are right: they need not be where eigenvalues are degenerate."""
    if mp.obs is None or not mp.obs.has_diagonalizing_gates or not mp.obs.diagonalizing_gates():
        return True
    wires = mp.obs.wires
    gates = qml.matrix(qml.tape.QuantumScript(mp.obs.diagonalizing_gates()), wire_order=wires)
    diagonal = gates @ qml.matrix(mp.obs, wire_order=wires) @ gates.conj().T
    return np.allclose(diagonal, np.diag(mp.obs.eigvals()), atol=1e-9)


class Judge:
    """Compares draws, and counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def exclude(self, why: str) -> None:
        self.counts[f"excluded: {why}"] += 1

    def compare(self, run: Run, recipe: Recipe, device: Any, atol: float) -> None:
        """One draw on the device against backpropagation through default.qubit."""
        self.counts["draws"] += 1
        try:
            got = evaluate(run, recipe, device)
        except Exception as error:
            if self._refuses(replace(run, method="best" if run.method == "device" else run.method), recipe):
                return self.exclude(f"both refuse ({short(error)})")
            raise
        failed = None
        for interface in REFERENCES[run.interface]:
            try:
                wanted = evaluate(Run(interface, "backprop"), recipe, None)
            except Exception:
                continue  # it has gates and observables that it cannot run in this framework
            try:
                assert_agree(got, wanted, run.interface.removesuffix("-jit"), atol)
            except AssertionError as error:
                failed = error
            else:
                self.counts["default.qubit contradicts itself"] += failed is not None
                return None
        if failed is None:
            return self.exclude("default.qubit refuses")
        if why := self._fault_of_reference(run, recipe, got, atol):
            return self.exclude(why)
        raise failed

    def _refuses(self, run: Run, recipe: Recipe) -> bool:
        """Whether default.qubit refuses the same options."""
        try:
            evaluate(run, recipe, None)
        except Exception:
            return True
        return False

    def _fault_of_reference(self, run: Run, recipe: Recipe, got: Any, atol: float) -> str:
        """Why default.qubit is wrong where it disagrees, or nothing."""
        if not all(map(is_diagonalised, qml.tape.make_qscript(recipe.function)(*recipe.arguments).measurements)):
            return "PennyLane diagonalises an observable wrongly"
        if run.method == "parameter-shift":
            try:
                assert_agree(got, evaluate(run, recipe, None), "", atol)
            except AssertionError:
                return ""
            return "PennyLane's parameter-shift rule is wrong or inexact"
        try:
            assert_agree(got, by_differences(recipe), "", max(atol, 1e-5))
        except AssertionError:
            return ""
        return "backpropagation through default.qubit is wrong, as its own values show"

    def report(self) -> None:
        print(dict(self.counts))
        excluded = sum(v for k, v in self.counts.items() if k.startswith("excluded"))
        assert excluded <= max(2, MOST_EXCLUDED * self.counts["draws"])


def short(error: Exception) -> str:
    return f"{type(error).__name__}: {re.sub('<.*?>', '<>', str(error))[:100]}"


def evaluate(run: Run, recipe: Recipe, device: Any) -> Any:
    """A QNode's results and gradients; the device None stands for default.qubit."""
    device = device or qml.device("default.qubit", wires=recipe.wires)
    function = recipe.dense if run.method == "backprop" and device.name == "default.qubit" else recipe.function
    return EVALUATE[run.interface](qml.QNode(function, device, **run.options), recipe, recipe.arguments)


def repeat(check: Callable[[Run, Recipe], None], seed: int, count: int) -> None:
    """Check so many draws; a failure tells the draw."""

    @hypothesis.seed(START + seed)
    @hypothesis.settings(max_examples=count, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(draws())
    def one(drawn: tuple[Run, Recipe]) -> None:
        try:
            check(*drawn)
        except Exception as error:
            error.add_note(f"{drawn[0]}\n{drawn[1].program()}")
            raise

    one()


def chunks(count: int) -> list[tuple[int, int]]:
    """(seed, draws) of each test."""
    return [(k, min(CHUNK, count - k)) for k in range(0, count, CHUNK)]
