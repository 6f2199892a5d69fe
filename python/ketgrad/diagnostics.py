"""Whether a circuit can be trained: barren plateaus, landscapes, expressibility, entanglement.

Owns: what is drawn at random, and the statistics of it. May not know: backends, opcodes. Many weight vectors are one
batch, through `Model.weights_as_inputs`; figures are `plots`'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .circuit import Circuit
from .errors import ArgumentError, ArgumentTypeError, ParameterError
from .expressions import real_array
from .model import Model, compile_circuit
from .objective import Objective
from .pauli import PauliSum
from .plots import Line, decay, shares, surface
from .simulator import Seed, generator

Array = npt.NDArray[np.float64]
Build = Callable[[int, int], tuple[Circuit, PauliSum]]
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]


def uniform(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Angles from the whole circle."""
    return rng.uniform(0.0, 2 * np.pi, shape)


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    error: float


class Fit(NamedTuple):
    """Weighted fits of the variances: exp(-rate n) and n^-power, each with its chi^2 per degree of freedom."""

    rate: Estimate
    power: Estimate
    rate_chi2: float
    power_chi2: float

    @property
    def exponential(self) -> bool:
        """Whether exp(-rate n) describes the variances better than n^-power: a barren plateau."""
        return self.rate_chi2 < self.power_chi2


@dataclass(frozen=True, eq=False)
class VarianceScan:
    """Variances over random weights, and their standard errors, each (layers, qubits).

    `gradient` is of one entry of the gradient, or of the average entry; `cost` of the value itself.
    """

    qubits: tuple[int, ...]
    layers: tuple[int, ...]
    samples: int
    parameter: int | None
    gradient: Array
    gradient_error: Array
    cost: Array
    cost_error: Array

    def fit(self, layers: int | None = None, what: str = "gradient") -> Fit:
        """How the variance of "gradient" or "cost" decays with the qubits, at one of the depths (default: the last).

        Raises:
            ArgumentError: fewer than three numbers of qubits, a depth that was not scanned, or a variance of 0.
        """
        if what not in ("gradient", "cost"):
            raise ArgumentError(f"fit: what is 'gradient' or 'cost', got {what!r}")
        if layers is not None and layers not in self.layers:
            raise ArgumentError(f"fit: layers is one of {self.layers}, got {layers!r}")
        row = self.layers.index(self.layers[-1] if layers is None else layers)
        variance, error = getattr(self, what)[row], getattr(self, f"{what}_error")[row]
        if len(self.qubits) < 3 or not (variance > 0).all() or not (error > 0).all():
            raise ArgumentError("fit: a decay needs variances above 0 for three numbers of qubits or more")
        n, y, weight = np.array(self.qubits, dtype=float), np.log(variance), (variance / error) ** 2
        rate, rate_chi2 = _line(n, y, weight)
        power, power_chi2 = _line(np.log(n), y, weight)
        return Fit(rate, power, rate_chi2, power_chi2)

    def __repr__(self) -> str:
        entry = "average entry" if self.parameter is None else f"entry {self.parameter}"
        out = [f"VarianceScan: gradient, {entry}, {self.samples} random weights each", "layers  qubits  variance"]
        for row, depth in enumerate(self.layers):
            for n, v, e in zip(self.qubits, self.gradient[row], self.gradient_error[row], strict=True):
                out.append(f"{depth:6d}  {n:6d}  {v:.4g} +- {e:.2g}")
            try:
                fit = self.fit(depth)
            except ArgumentError:
                continue
            best = f"exp(-{fit.rate.value:.3f} n)" if fit.exponential else f"n^-{fit.power.value:.3f}"
            error = fit.rate.error if fit.exponential else fit.power.error
            out.append(f"{depth:6d}     all  like {best}, +- {error:.2g} in the exponent")
        return "\n".join(out)

    def plot(self, what: str = "gradient") -> Any:
        """The variance of "gradient" or "cost" over the qubits, a line for each depth: a matplotlib Figure."""
        lines, n = [], np.array(self.qubits, dtype=float)
        for row, depth in enumerate(self.layers):
            variance, error = getattr(self, what)[row], getattr(self, f"{what}_error")[row]
            try:
                fit = self.fit(depth, what)
                shape = -fit.rate.value * n if fit.exponential else -fit.power.value * np.log(n)
                fitted = np.exp(shape + np.average(np.log(variance) - shape, weights=(variance / error) ** 2))
            except ArgumentError:
                fitted = np.full(len(n), np.nan)
            lines.append(Line(f"{depth} layer{'s' * (depth != 1)}", variance, error, fitted))
        return decay(self.qubits, lines, f"Variance of the {what}", "qubits", "variance")


def _line(x: Array, y: Array, weight: Array) -> tuple[Estimate, float]:
    """The falling slope of a weighted line through points, and chi^2 per degree of freedom."""
    mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
    spread = float((weight * (x - mean_x) ** 2).sum())
    slope = float((weight * (x - mean_x) * (y - mean_y)).sum()) / spread
    chi2 = float((weight * (y - mean_y - slope * (x - mean_x)) ** 2).sum()) / (len(x) - 2)
    return Estimate(-slope, spread**-0.5), chi2


def _variance(values: Array) -> tuple[float, float]:
    """Variance of the average column of (samples, columns), unbiased, and its standard error."""
    squares = ((values - values.mean(axis=0)) ** 2).mean(axis=1)
    k = len(squares)
    return float(squares.sum() / (k - 1)), float(squares.std(ddof=1) / np.sqrt(k))


def variance_scan(
    build: Build,
    qubits: Sequence[int],
    layers: Sequence[int] = (1,),
    *,
    samples: int = 200,
    parameter: int | None = None,
    draw: Draw = uniform,
    seed: Seed = None,
    dtype: npt.DTypeLike = "complex128",
    backend: str | None = None,
) -> VarianceScan:
    """How much gradient and cost vary over random weights, for a family of circuits: a barren-plateau scan.

    All samples of a circuit are one batch: one sweep gives all their gradients. Source: J. R. McClean et al., Nat.
    Commun. 9, 4812 (2018), arXiv:1803.11173.

    Args:
        build: from qubits and layers to a circuit without inputs, and an observable.
        qubits, layers: every pair is scanned.
        samples: weight vectors for each circuit, at least 3.
        parameter: position of a weight; None averages the variance over all entries of the gradient.
        draw: from a numpy Generator and (samples, P) to weights; default uniform on the circle.
        seed: an int or a numpy Generator.

    Example:
        >>> scan = kg.diagnostics.variance_scan(build, qubits=range(2, 9), layers=(1, 10), seed=0)
        >>> print(scan); scan.fit().rate; scan.plot().savefig("plateau.png")

    Raises:
        ArgumentError, ParameterError: nothing to scan, a circuit with inputs, or no such weight.
    """
    sizes, depths, count = _integers("qubits", qubits), _integers("layers", layers), _count(samples)
    rng = generator(seed)
    out = np.zeros((4, len(depths), len(sizes)))
    for row, depth in enumerate(depths):
        for column, n in enumerate(sizes):
            circuit, observable = build(n, depth)
            model = compile_circuit(circuit, observable, dtype=dtype, backend=backend)
            p = model.n_weights
            if model.n_inputs or len(model.observables) != 1 or not p:
                raise ParameterError("build gives a circuit with weights and without inputs, and one observable")
            if parameter is not None and not -p <= parameter < p:
                raise ParameterError(f"parameter must be below {p}, the number of weights, got {parameter}")
            weights = np.asarray(draw(rng, (count, p)), dtype=float)
            values, pullback = model.weights_as_inputs().forward(None, weights)
            gradients = pullback(np.ones_like(values)).inputs
            which = gradients if parameter is None else gradients[:, [parameter]]
            out[:, row, column] = *_variance(which), *_variance(values)
    return VarianceScan(sizes, depths, count, parameter, *out)


@dataclass(frozen=True, eq=False)
class Landscape:
    """Values (points, points) of a cost at theta + x[j] first + y[i] second."""

    theta: Array
    first: Array
    second: Array
    x: Array
    y: Array
    values: Array

    def __repr__(self) -> str:
        i, j = np.unravel_index(np.argmin(self.values), self.values.shape)
        return (
            f"Landscape({len(self.x)} x {len(self.y)} points, from {self.values.min():.6g} at "
            f"({self.x[j]:.3g}, {self.y[i]:.3g}) to {self.values.max():.6g})"
        )

    def plot(self) -> Any:
        """Contours: a matplotlib Figure."""
        return surface(self.x, self.y, self.values, "Landscape of the cost")


def landscape(
    cost: Any,
    theta: Any,
    directions: tuple[Any, Any] | None = None,
    *,
    span: float = np.pi,
    points: int = 41,
    seed: Seed = None,
) -> Landscape:
    """A plane through the space of weights, all its points in one batch.

    Args:
        cost: a `Model` (the sum of its values), an `Objective`, or a function theta -> float.
        theta: the middle; any shape.
        directions: two of theta's size, such as eigenvectors of a Hessian; default random, orthogonal, of length 1.
        span: how far to go either way, in lengths of the directions.
        points: along each direction.

    Raises:
        ParameterError: directions of another size.
    """
    here = real_array(theta, "theta")
    if directions is None:
        drawn = generator(seed).normal(size=(here.size, 2))
        if here.size < 2:
            raise ParameterError(f"a landscape needs two weights, got {here.size}")
        first, second = np.linalg.qr(drawn)[0].T
    else:
        first, second = (real_array(d, "directions").reshape(-1) for d in directions)
        if first.size != here.size or second.size != here.size:
            raise ParameterError(f"directions have theta's size {here.size}, got {first.size} and {second.size}")
    along = np.linspace(-span, span, _count(points))
    x, y = np.meshgrid(along, along)
    rows = here.reshape(-1) + x.reshape(-1, 1) * first + y.reshape(-1, 1) * second
    values = Objective.of(cost).many(rows).reshape(x.shape)
    return Landscape(here, first, second, along, along, values)


@dataclass(frozen=True, eq=False)
class Expressibility:
    """Shares of the fidelities of random pairs of states in bins, beside those of Haar-random states.

    `divergence` is D(circuit || Haar), in nats: 0 for a circuit that reaches all states evenly.
    """

    divergence: float
    edges: Array
    observed: Array
    haar: Array

    def __repr__(self) -> str:
        return f"Expressibility(divergence={self.divergence:.4g}, {len(self.haar)} bins)"

    def plot(self) -> Any:
        """Both histograms: a matplotlib Figure."""
        return shares(self.edges, self.observed, self.haar, f"Expressibility {self.divergence:.3g}", "fidelity")


def expressibility(
    model: Model, *, pairs: int = 5000, bins: int = 75, draw: Draw = uniform, seed: Seed = None
) -> Expressibility:
    """How evenly random weights cover the states.

    Source: S. Sim, P. D. Johnson, A. Aspuru-Guzik, Adv. Quantum Technol. 2, 1900070 (2019), arXiv:1905.10876, eq. 8.

    Args:
        model: without inputs; its observables have no part in it.
        pairs: of states; the divergence is too large by about bins / (2 pairs).
    """
    states = _random_states(model, 2 * _count(pairs), draw, seed)
    fidelity = np.abs(np.einsum("bx,bx->b", states[::2].conj(), states[1::2])) ** 2
    edges = np.linspace(0.0, 1.0, _count(bins) + 1)
    observed = np.histogram(np.clip(fidelity, 0.0, 1.0), edges)[0] / pairs
    haar = -np.diff((1.0 - edges) ** (states.shape[1] - 1))
    held = observed > 0
    with np.errstate(divide="ignore"):  # a bin that Haar-random states do not reach in floating point
        divergence = float((observed[held] * np.log(observed[held] / haar[held])).sum())
    return Expressibility(divergence, edges, observed, haar)


def entangling_capability(model: Model, *, samples: int = 1000, draw: Draw = uniform, seed: Seed = None) -> Estimate:
    """The Meyer-Wallach entanglement 2 (1 - average purity of one qubit), from 0 to 1, averaged over random weights.

    Source: as for `expressibility`, eq. 13.

    Args:
        model: without inputs.
    """
    states = _random_states(model, _count(samples), draw, seed)
    n, purity = model.circuit.n_wires, np.zeros(len(states))
    for wire in range(n):
        split = states.reshape(len(states), 1 << wire, 2, -1).swapaxes(1, 2).reshape(len(states), 2, -1)
        purity += (np.abs(split @ split.conj().swapaxes(1, 2)) ** 2).sum(axis=(1, 2))
    found = 2 * (1 - purity / n)
    return Estimate(float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found))))


def _random_states(model: Model, count: int, draw: Draw, seed: Seed) -> npt.NDArray[Any]:
    if not isinstance(model, Model):
        raise ArgumentTypeError(f"expected a Model, got {type(model).__name__}")
    if model.n_inputs:
        raise ParameterError(f"the circuit has {model.n_inputs} inputs; this is about circuits of weights alone")
    weights = np.asarray(draw(generator(seed), (count, model.n_weights)), dtype=float)
    return model.weights_as_inputs().state(None, weights)


def _count(value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ArgumentTypeError(f"samples, pairs, bins and points are integers, got {value!r}")
    if value < 3:
        raise ArgumentError(f"samples, pairs, bins and points are at least 3, got {value}")
    return int(value)


def _integers(name: str, values: Any) -> tuple[int, ...]:
    out = tuple(values) if hasattr(values, "__iter__") else (values,)
    if not out or any(isinstance(v, bool) or not isinstance(v, (int, np.integer)) or v < 1 for v in out):
        raise ArgumentError(f"{name} are integers of at least 1, got {values!r}")
    return tuple(int(v) for v in out)
