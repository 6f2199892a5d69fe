"""A hybrid step in JAX: `jit(value_and_grad)` of a loss of a batch, through `kg.jax.function`.

    python bench/jax_function.py [--quick]

Beside the native calls alone (forward, the loss in numpy, pullback), which are the limit, and TensorCircuit-NG's
`jit(vmap)` of the same circuit where it is installed. The first call of each is timed too: tracing, compiling, running.
A second table says what a program pays to call a function that does nothing, once forward and once back: by JAX's
handler, as ketgrad does, and by `jax.pure_callback`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from clock import once, timed
from common import TOLERANCE, heading, options, ratio

import ketgrad as kg
from ketgrad.compare import format_table, format_time
from ketgrad.interfaces import jax_interface

PEER = find_spec("tensorcircuit") is not None
CASES = ((4, 3, 32), (8, 4, 64))


def circuit(n: int, layers: int) -> kg.Circuit:
    """Inputs as angles, then layers of rotations and a ring of CNOTs."""
    out = kg.Circuit(n)
    x, w = out.inputs(n), out.weights((layers, n, 3))
    for q in range(n):
        out.ry(x[q], q)
    for layer in range(layers):
        for q in range(n):
            out.rz(w[layer, q, 0], q).ry(w[layer, q, 1], q).rz(w[layer, q, 2], q)
        for q in range(n):
            out.cnot(q, (q + 1) % n)
    return out


def peer(n: int, layers: int) -> Callable[[Any, Any], Any]:
    """The same values by TensorCircuit-NG."""
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype("complex128")

    def values(w: Any, x: Any) -> Any:
        c = tc.Circuit(n)
        for q in range(n):
            c.ry(q, theta=x[q])
        for layer in range(layers):
            for q in range(n):
                c.rz(q, theta=w[layer, q, 0])
                c.ry(q, theta=w[layer, q, 1])
                c.rz(q, theta=w[layer, q, 2])
            for q in range(n):
                c.cnot(q, (q + 1) % n)
        return jnp.stack([jnp.real(c.expectation_ps(z=[q])) for q in range(n)])

    return jax.vmap(values, (None, 0))


def step(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The loss and its gradients as one program."""
    program = jax.jit(jax.value_and_grad(lambda w, x: (f(w, x) ** 2).sum(), (0, 1)))
    return lambda w, x: jax.block_until_ready(program(w, x))


def first_call(make: Callable[[], Any], given: Any) -> tuple[Any, Any]:
    """The program of a function that is made now, and its results."""
    run = step(make())
    return run, run(*given)


class Nothing:
    """A differentiable function that knows its results."""

    axes = (1, 1)

    def __init__(self, w: Any, x: Any) -> None:
        self._values, self._gradients = np.zeros(x.shape), [np.zeros((1, w.size)), np.zeros(x.shape)]

    def result_types(self) -> Any:
        return [(self._values.shape[-1:], self._values.dtype)]

    def forward(self, arrays: Any, differentiate: bool) -> Any:
        return [self._values], lambda cotangents: self._gradients

    def __call__(self, w: Any, x: Any) -> Any:
        return jax_interface.call(self, (w.reshape(1, -1), x))[0]


def by_callback(w: Any, x: Any) -> Callable[[Any, Any], Any]:
    """The same as `Nothing`, by what JAX offers for it."""
    values, gradients = np.zeros(x.shape), (np.zeros(w.shape), np.zeros(x.shape))
    shapes = tuple(jax.ShapeDtypeStruct(g.shape, g.dtype) for g in gradients)

    @jax.custom_vjp
    def f(w: Any, x: Any) -> Any:
        return jax.pure_callback(lambda *_: values, shapes[1], w, x)

    f.defvjp(
        lambda w, x: (f(w, x), (w, x)),
        lambda saved, c: jax.pure_callback(lambda *_: gradients, shapes, *saved, c),
    )
    return f


def case(n: int, layers: int, batch: int, seconds: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Assert, time, describe: a row of each table."""
    name = f"{n} qubits, {layers} layers, batch {batch}"
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(layers, n, 3)), rng.normal(size=(batch, n))
    model = kg.compile(circuit(n, layers), [kg.Z(q) for q in range(n)])

    def native() -> Any:
        values, pullback = model.forward(w, x)
        return (values**2).sum(), pullback(2 * values)

    value, gradients = native()
    given = jnp.asarray(w), jnp.asarray(x)
    makers = {"ours": lambda: kg.jax.function(model), **({"theirs": lambda: peer(n, layers)} if PEER else {})}
    first, warm = {}, {}
    for who, make in makers.items():
        first[who], (run, (loss, by)) = once(partial(first_call, make, given))
        pairs = ((loss, value), (by[0], gradients.weights), (by[1], gradients.inputs))
        assert all(np.abs(a - b).max() < TOLERANCE["complex128"] for a, b in pairs), f"{who} differs"
        warm[who] = timed(partial(run, *given), seconds)
    alone = timed(native, seconds)
    empty = [timed(partial(step(f), *given), seconds) for f in (Nothing(w, x), by_callback(w, x))]
    theirs = warm.get("theirs")
    steps = (
        name,
        format_time(alone),
        format_time(warm["ours"]),
        f"{1e6 * (warm['ours'] - alone):.0f} us",
        format_time(first["ours"]),
        format_time(theirs),
        ratio(theirs, warm["ours"]),
        format_time(first.get("theirs")),
        ratio(first.get("theirs"), first["ours"]),
    )
    return steps, (name, *map(format_time, empty))


def main(quick: bool = False) -> None:
    """Print both tables."""
    jax.config.update("jax_enable_x64", True)
    step(lambda w, x: x * w)(jnp.ones(1), jnp.ones(1))  # JAX itself is warm
    print(
        heading(f"Hybrid step in JAX {jax.__version__}: loss, gradients of weights and inputs, complex128, all threads")
    )
    steps, calls = zip(*(case(*sizes, 0.1 if quick else 1.0) for sizes in (CASES[:1] if quick else CASES)), strict=True)
    header = "case", "native calls", "kg.jax, jit", "more", "first call"
    print(format_table((*header, "TensorCircuit-NG, jit(vmap)", "ratio", "first call", "ratio"), steps))
    print("\nThe same program with a function that does nothing in place of the model\n")
    print(format_table(("case", "JAX's handler", "pure_callback"), calls))


if __name__ == "__main__":
    main(options(__doc__).quick)
