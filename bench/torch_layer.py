"""A training step through kg.torch.Layer beside the model's own two calls: what torch costs.

All threads, complex128, weights and inputs differentiated, a non-linear loss between forward and pullback. The goal is
1.3 times the native calls, plus a custom operator that does nothing with the same signature and loss, plus 30 us;
eager, and compiled by `torch.compile` with its default back end. All take turns in one run, after values and gradients
agreed.

Calls in a loop find their code and data in the cache, and threads awake; between torch's own calls they do not. "in a
row" is a step with the empty operator and then the native calls: what no layer can do much better than.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import common
import numpy as np
from clock import timed

if not find_spec("torch"):
    print("torch_layer.py needs torch, which is not installed here")
    raise SystemExit

import torch  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.compare import format_table, format_time  # noqa: E402
from ketgrad.hybrid import build_circuit  # noqa: E402

CASES = ((4, 3, 32), (8, 4, 64), (12, 4, 64))
SHARE, SLACK = 1.3, 30e-6
SECONDS = 4.0  # for each case, all ways together
ROUNDS = 7
Step = Callable[[], tuple[Any, ...]]  # values, gradients of inputs and of weights


@torch.library.custom_op("ketgrad_bench::empty", mutates_args=())
def empty(inputs: torch.Tensor, weights: torch.Tensor, outputs: int) -> torch.Tensor:
    """What the layer would be if circuits took no time."""
    return inputs.new_zeros(len(inputs), outputs)


@torch.library.custom_op("ketgrad_bench::empty_pullback", mutates_args=())
def empty_pullback(
    cotangents: torch.Tensor, inputs: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """And its way back."""
    return torch.zeros_like(inputs), torch.zeros_like(weights)


def _backward(ctx: Any, cotangents: torch.Tensor) -> Any:
    return (*empty_pullback(cotangents, *ctx.saved_tensors), None)


empty.register_fake(lambda inputs, weights, outputs: inputs.new_empty(len(inputs), outputs))
empty_pullback.register_fake(lambda c, inputs, weights: (torch.empty_like(inputs), torch.empty_like(weights)))
empty.register_autograd(_backward, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs[:2]))


class EmptyNode(torch.autograd.Function):  # type: ignore[misc]
    """The same as a node of autograd, which only eager mode has."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weights: torch.Tensor, outputs: int) -> torch.Tensor:
        ctx.save_for_backward(inputs, weights)
        return inputs.new_zeros(len(inputs), outputs)

    @staticmethod
    def backward(ctx: Any, cotangents: torch.Tensor) -> Any:
        return (*map(torch.zeros_like, ctx.saved_tensors), None)


LIBRARY = torch.library.Library("ketgrad_bench", "FRAGMENT")
LIBRARY.define("defined(Tensor inputs, Tensor weights, int outputs) -> Tensor")
LIBRARY.define("defined_pullback(Tensor cotangents, Tensor inputs, Tensor weights) -> (Tensor, Tensor)")
LIBRARY.impl("defined", lambda x, w, outputs: x.new_zeros(len(x), outputs), "CPU")
LIBRARY.impl("defined_pullback", lambda c, x, w: (torch.zeros_like(x), torch.zeros_like(w)), "CPU")
torch.library.register_autograd(
    "ketgrad_bench::defined",
    lambda ctx, c: (*torch.ops.ketgrad_bench.defined_pullback(c, *ctx.saved_tensors), None),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs[:2]),
    lib=LIBRARY,
)


def loss(values: torch.Tensor) -> torch.Tensor:
    """What stands between forward and backward; its derivative is 2 * values."""
    return (values * values).sum()


def torch_step(function: Callable[..., Any], inputs: torch.Tensor, weights: torch.Tensor, compiled: bool) -> Step:
    """Forward, loss and backward of a function of inputs."""

    def forward(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values = function(x)
        return loss(values), values.detach()

    run = torch.compile(forward, fullgraph=True) if compiled else forward

    def step() -> tuple[Any, ...]:
        total, values = run(inputs)
        return (values, *torch.autograd.grad(total, (inputs, weights)))

    return step


def ways(qubits: int, layers: int, batch: int) -> dict[str, Step]:
    """The native calls, the layer and the empty operator."""
    circuit = build_circuit(qubits, layers)
    model = kg.compile(circuit, [kg.Z(q) for q in range(qubits)])
    layer = kg.torch.Layer(model, dtype=torch.float64, seed=7)
    (weights,) = layer.parameters()
    generator = torch.Generator().manual_seed(7)
    inputs = torch.rand(batch, qubits, dtype=torch.float64, generator=generator).requires_grad_()
    w, x = weights.detach().numpy(), inputs.detach().numpy()

    def native() -> tuple[Any, ...]:
        values, pullback = model.forward(w, x)
        gradients = pullback(2 * values)
        return values, gradients.inputs, gradients.weights

    def nothing(x: torch.Tensor) -> torch.Tensor:
        return empty(x, weights, qubits)  # type: ignore[no-any-return]

    out: dict[str, Step] = {"native": native}
    for how, compiled in (("eager", False), ("compiled", True)):
        empty_step = torch_step(nothing, inputs, weights, compiled)
        out[how] = torch_step(layer, inputs, weights, compiled)
        out[f"empty, {how}"] = empty_step
        out[f"in a row, {how}"] = lambda step=empty_step: (step(), native())
    return out


def check(steps: dict[str, Step]) -> None:
    """Values and gradients of the layer are those of the native calls."""
    for how in ("eager", "compiled"):
        for wanted, found in zip(steps["native"](), steps[how](), strict=True):
            np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=common.TOLERANCE["complex128"])


def in_turns(steps: dict[str, Step], seconds: float) -> dict[str, float]:
    """Medians of all steps, which take turns of some milliseconds: after a switch, caches and threads are cold."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            times[name].append(timed(step, seconds / ROUNDS / len(steps)))
    return {name: statistics.median(t) for name, t in times.items()}


def case(sizes: tuple[int, int, int], seconds: float) -> list[tuple[str, ...]]:
    """A row for each way through torch."""
    steps = ways(*sizes)
    check(steps)
    found = in_turns(steps, seconds)
    rows = []
    for how in ("eager", "compiled"):
        native, ours, nothing = found["native"], found[how], found[f"empty, {how}"]
        goal = SHARE * native + nothing + SLACK
        verdict = "met" if ours <= goal else "missed"
        name = "{} qubits, {} layers, batch {}".format(*sizes)
        row = found[f"in a row, {how}"]
        times = [format_time(t) for t in (native, nothing, ours, goal)]
        rows.append((name, how, *times, f"{ours / goal:.2f}", verdict, format_time(row), f"{ours / row:.2f}"))
    return rows


def routes(seconds: float) -> list[tuple[str, str]]:
    """What three ways into torch cost, forward and backward, beside the loss alone."""
    inputs, weights = (torch.zeros(*s, dtype=torch.float64, requires_grad=True) for s in ((32, 4), (36,)))
    ways = {
        "autograd.Function": lambda x: EmptyNode.apply(x, weights, 4),
        "Library.define, impl": lambda x: torch.ops.ketgrad_bench.defined(x, weights, 4),
        "custom_op": lambda x: empty(x, weights, 4),
    }
    steps = {name: torch_step(way, inputs, weights, False) for name, way in ways.items()}
    steps["nothing"] = lambda: torch.autograd.grad(loss(inputs), inputs)
    found = in_turns(steps, seconds)
    return [(name, format_time(found[name] - found["nothing"])) for name in ways]


def main(quick: bool = False) -> None:
    """Print the table."""
    print(common.heading("Training step through kg.torch.Layer, all threads"))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print(format_table(("way into torch", "costs"), routes(0.2 if quick else SECONDS)) + "\n")
    rows = [row for sizes in CASES[: 1 if quick else None] for row in case(sizes, 0.2 if quick else SECONDS)]
    header = ("case", "", "native calls", "empty operator", "layer", "goal", "layer/goal", "", "in a row", "layer/row")
    print(format_table(header, rows))


if __name__ == "__main__":
    main(common.options(__doc__).quick)
