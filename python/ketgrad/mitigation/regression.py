"""Clifford data regression: what noise does to nearly Clifford circuits is learnt, and undone on the circuit itself.

Owns: the training circuits, the fit, and the derivatives of both. May not know: how circuits are run.

After Czarnik et al., Quantum 5, 592 (2021). The circuit becomes a circuit of its angles, so that all training circuits
of all samples are one batch.

Shapes: A angles, T training circuits for each of B samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit
from ..errors import ArgumentError, CircuitError
from ..expressions import Expression, Stage
from ..gate_spec import GateSpec
from ..model import compile_circuit
from ..pauli import PauliSum, word_matrix
from ..simulator import Seed, check_shots, generator
from ..unshared import weights_as_inputs
from .combination import Back, Mitigated
from .member import Member
from .noisy import Compile, Noise, Observables, as_tuple, compiled, noiseless, with_noise

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
FREE = np.iinfo(np.int64).max  # an angle that is left as it is
NEAREST = FREE - 1  # an angle that goes to the nearest Clifford value
MOST = 4096  # training circuits


class Angles:
    """The angles of a circuit as functions of its weights and inputs, and the circuit as one of its angles."""

    def __init__(self, circuit: Circuit) -> None:
        self.source, self.circuit = circuit, Circuit(circuit.n_wires)
        self.circuit.initial = circuit.initial
        angles = [(g.spec, q, p) for g in circuit.gates for q, p in zip(g.spec.params, g.params, strict=True)]
        x = iter(self.circuit.inputs(len(angles), "angles"))
        self.circuit.gates = [g._replace(params=tuple(next(x) for _ in g.params)) for g in circuit.gates]
        self.steps: Array = np.array([clifford_step(spec, name) for spec, name, _ in angles])
        found = [p if isinstance(p, Expression) else Expression(0, {(): float(p)}) for _, _, p in angles]
        derived = dict.fromkeys(e for e in found if e.affine is None)
        self._stage = Stage(circuit.n_weights, circuit.n_inputs, list(derived))
        rows = [self._stage.slot(e) for e in found]
        self._slot = np.array([r[0] for r in rows], dtype=np.intp)
        self._scale, self._offset = (np.array([r[k] for r in rows], dtype=np.float64) for k in (1, 2))

    def evaluate(self, w: Array, x: Array) -> Array:
        """(B, A), radians."""
        shared, per_sample = self._stage.evaluate(w, x)
        slots = np.concatenate([np.broadcast_to(shared, (len(x), len(shared))), per_sample], axis=1)
        return np.asarray(self._offset + self._scale * slots[:, self._slot])

    def pull(self, w: Array, x: Array, gradient: Array) -> tuple[Array, Array]:
        """Cotangents (B, S, A) of the angles -> (B, S, P) of the weights, (B, S, F) of the inputs."""
        shared = self._stage.n_shared
        slots = np.zeros((shared + self._stage.n_per_sample, *gradient.shape[1::-1]))  # (.., S, B)
        np.add.at(slots, self._slot, (self._scale * gradient).transpose(2, 1, 0))
        slots = np.moveaxis(slots, 0, -1)
        by_w, by_x = self._stage.pull(w, x, slots[..., :shared], slots[..., shared:], True)
        return by_w.swapaxes(0, 1), by_x.swapaxes(0, 1)


@cache
def clifford_step(spec: GateSpec, name: str) -> float:
    """The distance of the angles at which a gate is a Clifford gate, 0 among them; 0.0 where there are no others.

    Another angle of the gate is at a multiple of its own step then.
    """
    k = spec.wires if spec.wires is not None else 1
    if spec.extra not in (None, "word") or k > 3:
        return 0.0
    place = spec.params.index(name)
    for step in (np.pi / 2, np.pi, 2 * np.pi):
        angles = [step if j == place else 0.0 for j in range(len(spec.params))]
        if _is_clifford(spec.matrix(*angles, wires=k if spec.wires is None else None, extra="Z" * k)):
            return float(step)
    return 0.0


def _is_clifford(matrix: npt.NDArray[Any]) -> bool:
    """Whether conjugation takes the words of one letter to words."""
    k = len(matrix).bit_length() - 1
    for wire in range(k):
        for letter in "XZ":
            moved = matrix @ word_matrix("I" * wire + letter + "I" * (k - wire - 1)) @ matrix.conj().T
            if not _is_word(moved):
                return False
    return True


def _is_word(matrix: npt.NDArray[Any]) -> bool:
    """A Pauli word up to a factor: one entry of size 1 in each row, at a fixed distance, with signs of a character."""
    size = len(matrix)
    flip = int(np.abs(matrix[0]).argmax())
    values = matrix[np.arange(size), np.arange(size) ^ flip]
    if not np.allclose(np.abs(values), 1):
        return False
    ratio = values / values[0]
    bits = [1 << k for k in range(size.bit_length() - 1)]
    wanted = [np.prod([ratio[b] for b in bits if i & b]) for i in range(size)]
    return bool(np.allclose(ratio, wanted) and np.allclose(np.abs(ratio.imag), 0))


class Training(Member):
    """The training circuits of a circuit, and, where `target` is set, the circuit itself after them.

    Args:
        model: of the circuit's angles.
        recipes: (T, A): FREE, NEAREST, or which multiple of its Clifford step an angle becomes.
    """

    def __init__(self, model: Any, angles: Angles, recipes: Integers, target: bool) -> None:
        super().__init__(model, np.zeros((len(recipes) + target, 0)), exact=not target)
        self.angles, self.target = angles, target
        self.recipes = np.concatenate([recipes, np.full((int(target), recipes.shape[1]), FREE)])

    def weights_as_inputs(self) -> Member:
        """See `Member`."""
        recipes = self.recipes[:-1] if self.target else self.recipes
        return Training(self.model, Angles(weights_as_inputs(self.angles.source)), recipes, self.target)

    def expand(self, w: Array, x: Array) -> tuple[Array, Array]:
        """See `Member`."""
        here = self.angles.evaluate(w, x)[:, None]
        step = np.where(self.angles.steps > 0, self.angles.steps, 1.0)
        fixed = np.where(self.recipes >= NEAREST, 0, self.recipes) * step
        found = np.where(self.recipes == NEAREST, np.round(here / step) * step, fixed)
        return np.zeros(0), np.where(self.recipes == FREE, here, found)

    def collect(self, w: Array, x: Array, gradient: Array) -> tuple[Array, Array]:
        """See `Member`."""
        return self.angles.pull(w, x, np.where(self.recipes == FREE, gradient, 0.0).sum(axis=2))


class Regression:
    """Values (B, 2 T + 1, M): of T noisy training circuits, the noisy circuit, the T without noise.

    ideal = a noisy + b, by least squares for each sample and observable, with a ridge that keeps a at 1 and b at 0
    where the training circuits say nothing.
    """

    coefficients = None

    def __init__(self, training: int, differentiate: bool, ridge: float) -> None:
        self.training, self.differentiate, self.ridge = training, differentiate, ridge

    @property
    def whole(self) -> Regression:
        """The same with the slopes that errors have, which go through the fit whatever gradients do."""
        return Regression(self.training, True, self.ridge)

    def __call__(self, values: Array) -> tuple[Array, Back]:
        """See `Combine`."""
        t = self.training
        noisy, here, ideal = values[:, :t], values[:, t], values[:, t + 1 :]
        mean, wanted = noisy.mean(axis=1), ideal.mean(axis=1)
        from_mean, from_wanted = noisy - mean[:, None], ideal - wanted[:, None]
        spread = (from_mean**2).mean(axis=1) + self.ridge
        a = ((from_mean * from_wanted).mean(axis=1) + self.ridge) / spread

        def back(cotangents: Array) -> Array:
            out = np.zeros_like(values)
            out[:, t] = a * cotangents
            if self.differentiate:
                by_a, c = (cotangents * (here - mean) / spread)[:, None] / t, cotangents[:, None] / t
                out[:, :t] = by_a * (from_wanted - 2 * a[:, None] * from_mean) - a[:, None] * c
                out[:, t + 1 :] = by_a * from_mean + c
            return out

        return wanted + a * (here - mean), back


def cdr(
    circuit: Circuit,
    observables: Observables,
    noise: Noise = None,
    *,
    training: int = 16,
    kept: int | None = None,
    snap: str = "nearest",
    differentiate: bool = False,
    ridge: float = 1e-5,
    seed: Seed = 0,
    compile: Compile | None = None,
    **options: Any,
) -> Mitigated:
    """A model whose values are corrected by a straight line, fitted to training circuits near the circuit.

    A training circuit is the circuit with all but `kept` of its angles at Clifford values, which a classical computer
    can follow; here they are computed exactly by the simulator without noise. Biased where noise does more than scale
    and shift; no guarantee, little cost.

    Args:
        circuit: with channels, or without and `noise`.
        noise: a `NoiseModel`, or a function circuit -> circuit with channels.
        training: number of training circuits, T; 2 T + 1 circuits run for one value.
        kept: angles of each training circuit that stay as they are, drawn; default a third. The fewer, the more
            values are 0, 1 or -1 and say little of the noise. Angles without Clifford values of an even distance stay
            in any case.
        snap: "nearest": to the nearest Clifford value; "random": to any, drawn once.
        differentiate: whether gradients go through the fit too; else its slopes are frozen at each step, which is
            cheaper and is not the gradient of the values.
        ridge: added to the variance of the noisy training values, so that where these hardly differ the slope stays
            near 1, and is not the quotient of two errors.
        seed: of the training circuits.
        compile, options: as for `zne`.

    Raises:
        CircuitError: a circuit without angles.
        ArgumentError: a number out of its range.
    """
    what, noisy = as_tuple(observables), with_noise(circuit, noise)
    angles = Angles(noisy)
    if check_shots(training) > MOST:
        raise ArgumentError(f"cdr: at most {MOST:,} training circuits, got {training}; a line needs a few")
    recipes = _recipes(angles.steps, training, kept, snap, generator(seed))
    if not ridge > 0:
        raise ArgumentError(f"cdr: the ridge is above 0, got {ridge!r}")
    members = [
        Training(compiled(angles.circuit, what, noise, compile, options), angles, recipes, True),
        Training(_ideal(angles.circuit, what, options), angles, recipes, False),
    ]
    name = f"cdr, {training} training circuits, {'differentiated' if differentiate else 'frozen'}"
    return Mitigated(circuit, what, members, Regression(training, bool(differentiate), float(ridge)), name)


def _ideal(circuit: Circuit, what: Sequence[PauliSum], options: dict[str, Any]) -> Any:
    plain = {k: v for k, v in options.items() if k in ("dtype", "backend")}
    return compile_circuit(noiseless(circuit), what, **plain)


def _recipes(steps: Array, training: int, kept: int | None, snap: str, rng: np.random.Generator) -> Integers:
    able = np.flatnonzero(steps > 0)
    if not len(able):
        raise CircuitError("cdr: no angle of the circuit has Clifford values to train with")
    count = max(1, round(len(able) / 3)) if kept is None else kept
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 0 <= count <= len(able):
        raise ArgumentError(f"cdr: kept is a number of angles from 0 to {len(able)}, got {kept!r}")
    if snap not in ("nearest", "random"):
        raise ArgumentError(f"cdr: snap is 'nearest' or 'random', got {snap!r}")
    out = np.full((training, len(steps)), FREE)
    out[:, able] = NEAREST if snap == "nearest" else rng.integers(4, size=(training, len(able)))
    drawn = rng.random((training, len(able))).argsort(axis=1)[:, :count]
    np.put_along_axis(out, able[drawn], FREE, axis=1)
    return out
