"""Random QNodes on ketgrad.qubit, and compiled, against default.qubit: results, their form, and gradients.

KETGRAD_DRAWS sets how many are drawn (150 unless said; 10,000 for the figures of a release). A draw that the reference
cannot judge is left out for one of the reasons in `excluded`, and few may be.
"""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    eager = () if interface in ("numpy", "jax-jit") else ("grad_on_execution",)
    option = draw(st.sampled_from((None, None, None, *eager, "device_vjp"))) if method else None
    gates, measured = draw(st.lists(SEEDS, max_size=12)), draw(st.lists(SEEDS, min_size=1, max_size=3))
    return Run(interface, method, option), Recipe(draw(SEEDS), tuple(gates), tuple(measured), option is not None)


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
        for part in (qml.math.real(leaf), qml.math.imag(leaf)) if is_complex(leaf) else (leaf,):
            first, second = (qml.math.convert_like(rng.normal(size=np.shape(leaf)), part) for _ in range(2))
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
    if not scalar.requires_grad:
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
    """Nesting, shapes, and which are complex."""
    if isinstance(nested, (tuple, list)):
        return type(nested), [form(part) for part in nested]
    return np.shape(nested), is_complex(nested)


def numbers(tensor: Any) -> Any:
    return np.asarray(qml.math.to_numpy(tensor))


def assert_agree(got: Any, wanted: Any, interface: str, atol: float) -> None:
    """The same form, and the same numbers where the reference has any."""
    assert form(got[0]) == form(wanted[0]), (form(got[0]), form(wanted[0]))
    if interface in FRAMEWORKS and any(np.any(g) for g in wanted[1]):
        assert interface in {qml.math.get_interface(leaf) for leaf in leaves(got[0])}
    pairs = [*zip(leaves(got[0]), leaves(wanted[0]), strict=True), *zip(got[1], wanted[1], strict=True)]
    for k, (a, b) in enumerate(pairs):
        a, b = numbers(a), numbers(b)
        assert a.shape == b.shape
        error = np.max(np.abs(a - b), initial=0.0)
        assert error <= atol * max(1.0, np.max(np.abs(b), initial=0.0)), (k, error, a, b)


def is_finite(result: Any) -> bool:
    return all(np.isfinite(numbers(v)).all() for v in (*leaves(result[0]), *result[1]))


class Judge:
    """Compares draws, and counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def wanted(self, run: Run, recipe: Recipe, arguments: Any) -> Any:
        """What default.qubit says by backpropagation, or None where it cannot."""
        interface = "autograd" if run.interface.startswith("jax") else run.interface  # JAX compiles each operation
        device = qml.device("default.qubit", wires=recipe.wires)
        node = qml.QNode(recipe.function, device, diff_method="backprop")
        try:
            found = EVALUATE[interface](node, recipe, arguments)
        except Exception as error:
            self.counts[f"excluded: default.qubit refuses ({type(error).__name__}: {str(error)[:60]})"] += 1
            return None
        if is_finite(found):
            return found
        self.counts["excluded: default.qubit's gradients are not finite"] += 1
        return None

    def refused(self, run: Run, recipe: Recipe) -> bool:
        """Whether default.qubit refuses the same options."""
        device = qml.device("default.qubit", wires=recipe.wires)
        options = {**run.options, "diff_method": "best" if run.method == "device" else run.method}  # it knows no "device"
        try:
            EVALUATE[run.interface](qml.QNode(recipe.function, device, **options), recipe, recipe.arguments)
        except Exception as error:
            self.counts[f"excluded: both refuse ({type(error).__name__}: {str(error)[:60]})"] += 1
            return True
        return False

    def compare(self, run: Run, recipe: Recipe, device: Any, atol: float) -> None:
        self.counts["draws"] += 1
        node = qml.QNode(recipe.function, device, **run.options)
        try:
            got = EVALUATE[run.interface](node, recipe, recipe.arguments)
        except Exception:
            if self.refused(run, recipe):
                return
            raise
        wanted = self.wanted(run, recipe, recipe.arguments)
        if wanted is not None:
            assert_agree(got, wanted, run.interface.removesuffix("-jit"), atol)

    def report(self) -> None:
        print(dict(self.counts))
        excluded = sum(v for k, v in self.counts.items() if k.startswith("excluded"))
        assert excluded <= max(2, MOST_EXCLUDED * self.counts["draws"])


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
