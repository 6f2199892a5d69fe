"""Random circuits with choices of matrices between their gates, as models and as numbers for the oracle.

Owns: `Case`. A choice is no gate: its place in the circuit is held by a unitary that occurs nowhere else, and taken
from it in the lowered program. Each sample's choices are inputs that no gate uses, after all others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import reference
from reference import Op
from strategies import Step, expression, random_step

import ketgrad as kg
from ketgrad.lowering import Lowered, lower
from ketgrad.program import Opcode

Array = np.ndarray
H = 3e-4  # of the differences, of fourth order, that differentiate a gate


@dataclass(frozen=True, eq=False)
class Site:
    """One of t matrices on ascending wires: a fixed one, or what slot values (choice - offset) / scale ask for."""

    wires: tuple[int, ...]
    matrices: Array  # (t, 2^k, 2^k)
    inverses: Array
    marker: Array
    fixed: int | None = None
    scale: float = 1.0
    offset: float = 0.0


def matrix(k: int, rng: np.random.Generator, spread: float = 1.25) -> Array:
    """Singular values from 1 / spread to spread."""
    u, v = reference.random_unitary(k, rng), reference.random_unitary(k, rng)
    return (u * spread ** rng.uniform(-1, 1, 2**k)) @ v


def site(wires: Sequence[int], matrices: Sequence[Array], rng: np.random.Generator, **options: float | int) -> Site:
    """Matrices with their inverses; 0 where there is none."""
    found = np.array(matrices, dtype=complex)
    inverses = np.array([np.linalg.inv(m) if np.linalg.cond(m) < 1e6 else np.zeros_like(m) for m in found])
    return Site(tuple(wires), found, inverses, reference.random_unitary(len(wires), rng), **options)


def random_site(n: int, rng: np.random.Generator) -> Site:
    """Unitary or not, one or several, the identity often among them; chosen by a slot, or fixed."""
    k, t = int(rng.integers(1, min(n, 3) + 1)), int(rng.integers(1, 6))
    draw = matrix if rng.random() < 0.7 else reference.random_unitary
    found = [draw(k, rng) for _ in range(t)]
    if rng.random() < 0.5:
        found[0] = np.eye(2**k)
    wires = sorted(int(w) for w in rng.permutation(n)[:k])
    if rng.random() < 0.25:
        return site(wires, found, rng, fixed=int(rng.integers(t)))
    return site(wires, found, rng, scale=float(rng.choice([1.0, -1.0, 0.5])), offset=float(rng.choice([0.0, 3.0])))


def spliced(lowered: Lowered, sites: Sequence[Site], first_slot: int) -> Lowered:
    """The program with its markers replaced; slots of sites that are not fixed follow from `first_slot`."""
    program = lowered.program
    rows, pool, size, slot = program.instructions.copy(), [program.pool], program.pool.size, first_slot
    for s in sites:
        words = s.marker.astype(complex).reshape(-1).view(float)
        here = [i for i in np.flatnonzero((rows["opcode"] == Opcode.DENSE) & (rows["k"] == len(s.wires)))
                if np.array_equal(program.pool[rows["payload"][i] :][: words.size], words)]  # fmt: skip
        assert len(here) == 1
        row = rows[here[0] : here[0] + 1]
        row["opcode"], row["payload"], row["t0"] = Opcode.KRAUS, size, len(s.matrices)
        row["scale"], row["offset"] = (0.0, s.fixed) if s.fixed is not None else (s.scale, s.offset)
        if s.fixed is None:
            row["slot"] = slot
            slot += 1
        pool.append(np.concatenate([s.matrices, s.inverses]).reshape(-1).view(float))
        size += pool[-1].size
    return dataclasses.replace(
        lowered, program=dataclasses.replace(program, instructions=rows, pool=np.concatenate(pool))
    )


class Case:
    """A circuit of gates and sites, with 3 weights and 2 inputs, its arguments, and what the oracle says about it.

    Args:
        steps: default: `length` random gates and sites, two of five a site; now and then on a prepared state.
    """

    def __init__(self, seed: int, n: int, batch: int, length: int = 20, steps: Sequence[Step | Site] = ()) -> None:
        rng = np.random.default_rng(seed)
        self.n = n
        self.steps = list(steps) or [
            random_site(n, rng) if rng.random() < 0.4 else random_step(rng, n, 3, 2) for _ in range(length)
        ]
        self.sites = [s for s in self.steps if isinstance(s, Site)]
        self.prepared = reference.random_state(min(n, 3), rng) if not steps and rng.random() < 0.2 else None
        words = rng.choice(list("IXYZ"), size=(2, n))
        words[:, int(rng.integers(n))] = rng.choice(list("XYZ"), size=2)  # an identity is the number 1, not a norm
        self.letters = ["".join(letters) for letters in words]
        self.weights, self.inputs = rng.uniform(-3, 3, 3), rng.uniform(-3, 3, (batch, 2))
        self.choices = np.array([rng.integers(len(s.matrices), size=batch) for s in self.sites]).reshape(-1, batch).T
        shape = (batch, 1 << n)
        self.initial = np.array([reference.random_state(n, rng) for _ in range(batch)])
        self.bras = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / (1 << n)
        self.cotangents = rng.normal(size=(batch, 3))
        self.along = 0.3 * rng.normal(size=3), 0.3 * rng.normal(size=(batch, 2))
        self.along_initial = np.array([reference.random_state(n, rng) for _ in range(batch)])

    # as a model

    def circuit(self, plain: bool = False) -> kg.Circuit:
        """With markers for the sites; `plain`: with the unitaries that the first sample chooses."""
        circuit = kg.Circuit(self.n)
        if self.prepared is not None:
            circuit.prepare(self.prepared, range(self.n - len(self.prepared).bit_length() + 1, self.n))
        choosing = sum(s.fixed is None for s in self.sites)
        w, x, choices = circuit.weights(3), circuit.inputs(2 + choosing), iter(self.choices[0].tolist())
        for s in self.steps:
            if isinstance(s, Site):
                chosen = next(choices)
                own = s.matrices[chosen if s.fixed is None else s.fixed]
                circuit.unitary(own if plain else s.marker, s.wires)
                continue
            angles = [expression(a, w, x) for a in s.angles]
            given = {"controls": s.controls, "control_values": s.values, "inverse": s.inverse, "extra": s.extra}
            circuit.append(s.name, angles, s.wires, **given)
        return circuit

    @property
    def observables(self) -> list[kg.PauliSum]:
        words = [kg.PauliSum.from_words([(1.0, letters)]) for letters in self.letters]
        return [*words, kg.Projector("1", (self.n - 1,))]

    def lowered(self) -> Lowered:
        found = lower(self.circuit(), self.observables)
        return spliced(found, self.sites, found.stage.n_shared + 2)

    def model(self, dtype: str, backend: str, plain: bool = False) -> kg.Model:
        model = kg.compile(self.circuit(plain), self.observables, dtype=dtype, backend=backend)
        if not plain:
            model._lowered, model._engines = self.lowered(), None
        return model

    @property
    def slots(self) -> Array:
        """(B, F + C): inputs, and what asks for the choices."""
        wanted = [(c - s.offset) / s.scale for s, c in zip(self.sites, self.choices.T, strict=True) if s.fixed is None]
        return np.column_stack([self.inputs, *wanted])

    # the oracle

    def run(self, initial: Array | None = None, along: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
        """Final states (B, 2^n), and how they change along a direction of weights and inputs.

        Args:
            initial: states to start from.
            along: the direction; default: that of the initial states.
        """
        if initial is None:
            initial = np.zeros_like(self.initial)
            initial[:, 0] = 1
            if self.prepared is not None:
                initial[:, : len(self.prepared)] = self.prepared
        states, tangents = initial, np.zeros_like(initial) if along else self.along_initial
        dw, dx = along or (np.zeros_like(self.weights), np.zeros_like(self.inputs))
        choices = iter(self.choices.T)
        for s in self.steps:
            if isinstance(s, Site):
                chosen = next(choices)
                matrices = s.matrices[chosen if s.fixed is None else np.full_like(chosen, s.fixed)]
                states, tangents = (reference.apply(rows, matrices, s.wires) for rows in (states, tangents))
                continue

            def at(t: float, s: Step = s) -> Array:
                return self._matrices(s, self.weights + t * dw, self.inputs + t * dx)

            own, wires = at(0.0), (*s.controls, *s.wires)
            tangents = reference.apply(tangents, own, wires)
            if s.angles and along:
                change = (8 * (at(H) - at(-H)) - at(2 * H) + at(-2 * H)) / (12 * H)
                tangents = tangents + reference.apply(states, change, wires)
            states = reference.apply(states, own, wires)
        return states, tangents

    def _matrices(self, s: Step, weights: Array, inputs: Array) -> Array:
        """Of a gate for every sample, (B, 2^k, 2^k), or for all of them."""
        found: dict[tuple[float, ...], Array] = {}
        rows = [tuple(float(expression(a, weights, x)) for a in s.angles) for x in inputs]
        for angles in set(rows):
            op = Op(s.name, angles, s.wires, s.controls, s.values, s.inverse, s.extra)
            found[angles] = reference.controlled(reference.body(op), s.values)
        return found[rows[0]] if len(found) == 1 else np.array([found[angles] for angles in rows])

    def observed(self, states: Array) -> Array:
        """(3, B, 2^n): the observables times states."""
        out = [states.copy() for _ in self.letters]
        for rows, letters in zip(out, self.letters, strict=True):
            for wire, letter in enumerate(letters):
                rows[:] = reference.apply(rows, reference.PAULI[letter], [wire])
        return np.array([*out, states * (np.arange(1 << self.n) % 2)])

    def values(self, states: Array) -> Array:
        """(B, 3)."""
        return np.einsum("bi,mbi->bm", states.conj(), self.observed(states)).real

    def slopes(self, states: Array, tangents: Array, bras: bool) -> Array:
        """(B,): how sum(cotangents * values), and 2 Re <bras|states> if `bras`, change with the states."""
        ends = np.einsum("bm,mbi->bi", self.cotangents, self.observed(states)) + self.bras * bras
        return 2 * np.einsum("bi,bi->b", ends.conj(), tangents).real
