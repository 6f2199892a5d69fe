"""Random circuits, drawn once and built twice: as a ketgrad circuit and as numbers for the oracle.

Owns: `Recipe` and the hypothesis strategies for it. Knows ketgrad only as a user does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import reference
from hypothesis import strategies as st
from reference import Op

import ketgrad as kg
from ketgrad.gates import GATES, GateSpec

Angle = tuple[Any, ...]  # ("c", value) ("w", i, scale, offset) ("x", j, ...) ("ww", i, j) ("wx", i, j) ("xx", i, j)


@dataclass(frozen=True, eq=False)
class Step:
    name: str
    angles: tuple[Angle, ...]
    wires: tuple[int, ...]
    controls: tuple[int, ...]
    values: tuple[int, ...]
    inverse: bool
    extra: Any


@dataclass(frozen=True, eq=False)
class Recipe:
    """A circuit on paper."""

    n: int
    n_weights: int
    n_inputs: int
    steps: tuple[Step, ...]

    def circuit(self, steps: Sequence[Step] | None = None, n: int | None = None) -> kg.Circuit:
        circuit = kg.Circuit(self.n if n is None else n)
        w, x = circuit.weights(self.n_weights), circuit.inputs(self.n_inputs)
        for s in self.steps if steps is None else steps:
            circuit.append(
                s.name,
                [expression(a, w, x) for a in s.angles],
                s.wires,
                controls=s.controls,
                control_values=s.values,
                inverse=s.inverse,
                extra=s.extra,
            )
        return circuit

    def ops(self, weights: np.ndarray, inputs: np.ndarray) -> list[Op]:
        return [
            Op(
                s.name,
                tuple(float(expression(a, weights, inputs)) for a in s.angles),
                s.wires,
                s.controls,
                s.values,
                s.inverse,
                s.extra,
            )
            for s in self.steps
        ]

    def states(self, weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """The oracle's (B, 2^n) for inputs (B, F)."""
        return np.array([reference.run(self.n, self.ops(weights, row)) for row in inputs])

    def arguments(self, rng: np.random.Generator, batch: int = 1) -> tuple[np.ndarray, np.ndarray]:
        return rng.uniform(-3, 3, self.n_weights), rng.uniform(-3, 3, (batch, self.n_inputs))

    def __repr__(self) -> str:
        return f"Recipe({self.n} wires, {self.n_weights} weights, {self.n_inputs} inputs, {list(self.steps)})"


def expression(angle: Angle, w: Any, x: Any) -> Any:
    kind = angle[0]
    if kind == "c":
        return angle[1]
    if kind in ("w", "x"):
        return angle[2] * (w if kind == "w" else x)[angle[1]] + angle[3]
    a, b = ({"w": w, "x": x}[k][i] for k, i in zip(kind, angle[1:], strict=True))
    return a * b - 0.5 * a + 0.25


def random_angle(rng: np.random.Generator, n_weights: int, n_inputs: int, constants: bool = True) -> Angle:
    sizes = {"w": n_weights, "x": n_inputs}
    kinds = [k for k in ("w", "w", "x", "x", "wx", "ww", "xx") if all(sizes[c] for c in k)]
    if constants:
        kinds.append("c")
    kind = str(rng.choice(kinds))
    if kind == "c":
        return ("c", float(rng.uniform(-7, 7)))
    if len(kind) == 2:
        return (kind, int(rng.integers(sizes[kind[0]])), int(rng.integers(sizes[kind[1]])))
    return (kind, int(rng.integers(sizes[kind])), float(rng.choice([1.0, -0.5, 2.0])), float(rng.choice([0.0, 0.3])))


def random_step(
    rng: np.random.Generator,
    n: int,
    n_weights: int = 0,
    n_inputs: int = 0,
    specs: Sequence[GateSpec] = GATES,
    wires: Sequence[int] | None = None,
) -> Step:
    """One gate on some of `wires` (default: all n), with further controls now and then."""
    where = [int(w) for w in rng.permutation(n if wires is None else list(wires))]
    fitting = [s for s in specs if (s.wires or 1) <= len(where)]
    spec = fitting[int(rng.integers(len(fitting)))]
    k = spec.wires if spec.wires is not None else int(rng.integers(1, min(3, len(where)) + 1))
    own, rest = where[:k], where[k:]
    extra = min(len(rest), int(rng.choice([0, 0, 0, 1, 2])))
    return Step(
        spec.name,
        tuple(random_angle(rng, n_weights, n_inputs) for _ in spec.params),
        tuple(own),
        tuple(rest[:extra]),
        tuple(int(v) for v in rng.integers(0, 2, extra)),
        bool(rng.random() < 0.3),
        reference.random_extra(spec.extra, k, rng),
    )


def random_recipe(
    rng: np.random.Generator,
    n: int,
    length: int,
    n_weights: int = 0,
    n_inputs: int = 0,
    specs: Sequence[GateSpec] = GATES,
) -> Recipe:
    steps = tuple(random_step(rng, n, n_weights, n_inputs, specs) for _ in range(length))
    return Recipe(n, n_weights, n_inputs, steps)


@st.composite
def recipes(
    draw: st.DrawFn, max_wires: int = 5, max_length: int = 14, max_weights: int = 3, max_inputs: int = 3
) -> Recipe:
    """Circuits of 1 to `max_wires` wires; each gate has a seed of its own, so a failing one loses gates one by one."""
    n = draw(st.integers(1, max_wires))
    n_weights, n_inputs = draw(st.integers(0, max_weights)), draw(st.integers(0, max_inputs))
    seeds = draw(st.lists(st.integers(0, 2**32 - 1), max_size=max_length))
    steps = tuple(random_step(np.random.default_rng(s), n, n_weights, n_inputs) for s in seeds)
    return Recipe(n, n_weights, n_inputs, steps)


KINDS = ("word", "word", "sum", "sum", "projector", "hermitian", "identity")


def random_observable(rng: np.random.Generator, n: int, kinds: Sequence[str] = KINDS) -> tuple[kg.PauliSum, np.ndarray]:
    """A word, a sum of words, a projector, a Hermitian matrix or the identity, and the oracle's matrix of it."""
    kind = rng.choice(list(kinds))
    if kind == "word":
        letters = "".join(rng.choice(list("IXYZ"), size=n))
        return kg.PauliSum.from_words([(1.0, letters)]), reference.word(n, dict(enumerate(letters)))
    if kind == "sum":
        pairs = [(float(rng.normal()), "".join(rng.choice(list("IXYZ"), size=n))) for _ in range(6)]
        return kg.PauliSum.from_words(pairs), sum(c * reference.word(n, dict(enumerate(w))) for c, w in pairs)
    k = int(rng.integers(1, min(n, 3) + 1))
    wires = [int(v) for v in rng.permutation(n)[:k]]
    if kind == "projector":
        bits = "".join(rng.choice(["0", "1"], size=k))
        return kg.Projector(bits, wires), reference.projector(n, bits, wires)
    if kind == "hermitian":
        m = reference.random_hermitian(k, rng)
        return kg.Hermitian(m, wires), reference.embed(m, wires, n)
    return 0.7 * kg.I(), 0.7 * np.eye(2**n)
