"""`NoisyModel`: a circuit with channels and its observables, with the faces of `Model`.

Owns: which of two ways the noise goes, and what a mixed state has or lacks. Everything else (shapes, shots, gradients,
second derivatives) is `Model`'s, on a backend whose programs have channels. May not know: opcodes, bits of density
matrices, how paths are drawn.

Shapes: P weights, B samples of F inputs, M observables, S strengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from ..backends import get_backend
from ..backends.contract import Outcomes, Tallies
from ..circuit import Circuit
from ..engines import Engines
from ..errors import ArgumentError, ArgumentTypeError, suggest
from ..gate_spec import CHANNEL
from ..gradients import adjoint
from ..lowering import Lowered, lower
from ..memory import require_density
from ..model import Array, Model
from ..pauli import PauliSum
from ..simulator import Source, bits_of
from .cost import choose
from .density import DensityPlan
from .mixed import Mixed
from .model import NoiseModel
from .noisy_backend import NoisyBackend, Prepare, with_whole_channels
from .path_samples import sample_paths
from .readout import ReadoutErrors
from .strengths import Derivatives, strength_gradients, superoperator_on
from .trajectories import MOST_TRAJECTORIES, TRAJECTORIES, TrajectoryPlan

if TYPE_CHECKING:
    from .channel import Channel

METHODS = ("density", "trajectories")


class Strength(NamedTuple):
    """One number of a channel: `channel.strengths[position]`, at `sites` places of the circuit."""

    channel: Channel
    position: int
    sites: int

    @property
    def value(self) -> float:
        """The number."""
        return self.channel.strengths[self.position]


class NoisyModel(Model):
    """A compiled circuit with channels; made by `ketgrad.compile`. Thread-safe, picklable, deep-copyable.

    Values are tr(O rho), exact by density matrices or with standard errors by trajectories; of a channel that is not
    trace-preserving they are not normalised. Gradients are those of these values: exact, or of the same trajectories.

    Args:
        method: "density", "trajectories", or None for the quicker one that fits in memory.
        trajectories: how many paths a value may take, default 1000; with a tolerance, at most so many.
        seed: of the paths, an int. The same seed gives the same paths, whatever the weights.
        tolerance: the standard error that is wanted of every value; paths are added until it is reached.
        readout: errors of the readout: `ReadoutErrors`, or for each wire a probability, a pair or a matrix. They are in
            values, samples and probabilities, not in density matrices.
        noise: a `NoiseModel`: its channels are added to the circuit, and its errors of the readout are those, unless
            `readout` is given.

    Raises:
        ArgumentError: an option out of its range.
    """

    def __init__(
        self,
        circuit: Circuit,
        observables: Sequence[PauliSum],
        dtype: npt.DTypeLike = "complex128",
        backend: str | None = None,
        *,
        method: str | None = None,
        trajectories: int | None = None,
        seed: int = 0,
        tolerance: float | None = None,
        readout: ReadoutErrors | Sequence[Any] | None = None,
        noise: NoiseModel | None = None,
    ) -> None:
        if noise is not None:
            if not isinstance(noise, NoiseModel):
                raise ArgumentTypeError(f"noise is a ketgrad.noise.NoiseModel, got {type(noise).__name__}")
            circuit, readout = noise.apply(circuit), noise.readout if readout is None else readout
        if method not in (None, *METHODS):
            raise ArgumentError(
                f"method must be one of {METHODS} or None, got {method!r}.{suggest(str(method), METHODS)}"
            )
        _check("trajectories", trajectories, 2)
        _check("seed", seed, 0)
        number = isinstance(tolerance, (int, float)) and not isinstance(tolerance, bool)
        if tolerance is not None and not (number and 0 < tolerance < np.inf):
            raise ArgumentError(f"tolerance is a positive number, got {tolerance!r}")
        self._wanted, self.trajectories, self.seed, self.tolerance = method, trajectories, seed, tolerance
        self.readout = _errors(readout)
        self._cut: tuple[tuple[int, ...], DensityPlan] | None = None
        super().__init__(circuit, observables, dtype, backend)

    # what noise has

    def with_standard_errors(
        self, weights: Any = None, inputs: Any = None, *, initial: Any = None
    ) -> tuple[Array, Array]:
        """Values, and the standard errors that trajectories leave them, each (M,) or (B, M).

        The errors are 0 by density matrices, and where every path is followed.
        """
        self._check_observables()
        w, x, batched = self._arguments(weights, inputs)
        start, x, batched = self._starts(initial, x, batched)
        lowered, plan = self._lowered, self._ready().plan
        slots, readout = lowered.stage.evaluate(w, x), lowered.readout
        if isinstance(plan, TrajectoryPlan):
            values, errors = plan.estimate(*slots, readout.coefficients, start)
            values = values + readout.constant
        else:
            values = adjoint.values(lowered, plan.forward(*slots, False, start)[0])
            errors = np.zeros_like(values)
        return (values, errors) if batched else (values[0], errors[0])

    def density_matrix(
        self, weights: Any = None, inputs: Any = None, wires: Sequence[int] | None = None
    ) -> npt.NDArray[Any]:
        """Density matrix of `wires` (default: all), (2^k, 2^k) or (B, 2^k, 2^k); exact, by whatever method values are.

        The readout has no part in it.
        """
        w, x, batched = self._arguments(weights, inputs)
        where, n = self._wires(wires), self.circuit.n_wires
        require_density(n, self.dtype.itemsize, 1)
        plan = DensityPlan(self._lowered.program, self.dtype, get_backend(self._backend_name))
        whole = plan.matrices(*self._lowered.stage.evaluate(w, x))
        rest = [v for v in range(n) if v not in where]
        axes = [1 + v for v in (*where, *rest)]
        tensor = whole.reshape((len(x),) + (2,) * (2 * n)).transpose(0, *axes, *(n + a for a in axes))
        size, other = 1 << len(where), 1 << len(rest)
        out = np.einsum("bikjk->bij", tensor.reshape(len(x), size, other, size, other))
        return np.asarray(out if batched else out[0])

    @property
    def strengths(self) -> tuple[Strength, ...]:
        """The S numbers the channels were made from, each once however often its channel occurs."""
        counts: dict[Channel, int] = {}
        for site in self._lowered.sites:
            counts[site.channel] = counts.get(site.channel, 0) + 1
        return tuple(Strength(c, j, n) for c, n in counts.items() for j in range(len(c.strengths)))

    def strength_jacobian(self, weights: Any = None, inputs: Any = None) -> Array:
        """Derivatives of every value by every one of `strengths`, (M, S) or (B, M, S); exact, by density matrices.

        Raises:
            NotDifferentiableError: a channel whose derivative is not finite.
            OutOfMemoryError: the density matrices do not fit.
        """
        self._check_observables()
        w, x, batched = self._arguments(weights, inputs)
        lowered, place = self._lowered, {(s.channel, s.position): k for k, s in enumerate(self.strengths)}
        changes = {}
        for k, site in enumerate(lowered.sites):
            if site.channel.strengths:
                which = [place[site.channel, j] for j in range(len(site.channel.strengths))]
                changes[site.instruction] = self._change(k), which
        plan = self._cut_out(tuple(changes))
        slots, seeds = lowered.stage.evaluate(w, x), lowered.readout.coefficients
        out = strength_gradients(plan, *slots, seeds, changes, len(place))
        return out if batched else out[0]

    def forward_density(
        self, weights: Any = None, inputs: Any = None, *, initial: Any = None, sites: Sequence[int] = ()
    ) -> Mixed:
        """Final density matrices and values of a batch, and the pullback of both; exact, whatever the method.

        Args:
            weights, inputs: (P,) and (F,) or (B, F), as for `__call__`.
            initial: states to start from instead of |0...0>, (2^n,) or (B, 2^n).
            sites: channels, counted along the circuit, by whose strengths the pullback differentiates: those of the
                first one, then those of the next.
        """
        w, x, batched = self._arguments(weights, inputs)
        start, x, _ = self._starts(initial, x, batched)
        require_density(self.circuit.n_wires, self.dtype.itemsize, 2)
        found = [self._lowered.sites[k] for k in sites]
        ends = np.cumsum([0, *(len(site.channel.strengths) for site in found)]).tolist()

        def derivatives() -> Derivatives:
            own = zip(sites, found, zip(ends, ends[1:], strict=False), strict=True)
            return {site.instruction: (self._change(k), range(*ends)) for k, site, ends in own}

        plan = self._cut_out(tuple(site.instruction for site in found))
        return Mixed(self._lowered, plan, w.copy(), x.copy(), start, derivatives, ends[-1])

    def _cut_out(self, instructions: tuple[int, ...]) -> DensityPlan:
        """A plan in which the channels of these instructions are cut out."""
        if not instructions and isinstance(plan := self._ready().plan, DensityPlan):
            return plan
        if self._cut is None or self._cut[0] != instructions:
            backend = get_backend(self._backend_name)
            self._cut = instructions, DensityPlan(self._lowered.program, self.dtype, backend, single=instructions)
        return self._cut[1]

    def _change(self, k: int) -> npt.NDArray[np.complex128]:
        """(s, 4^k, 4^k) derivatives of the superoperator of the k-th channel, in the order of its bits."""
        n, site = self.circuit.n_wires, self._lowered.sites[k]
        wires = [gate.wires for gate in self.circuit.gates if gate.spec is CHANNEL][k]
        return superoperator_on(site.channel.derivatives(), [n - 1 - v for v in wires], n)

    # what it lacks

    def state(self, *_: Any, **__: Any) -> NoReturn:
        """There is none.

        Raises:
            ArgumentError: always.
        """
        raise _no("state vector", "density_matrix or probabilities")

    def forward_state(self, *_: Any, **__: Any) -> NoReturn:
        """There is none; see `state`."""
        raise _no("state vector", "density_matrix, or forward of observables")

    def state_tangents(self, *_: Any, **__: Any) -> NoReturn:
        """There are none; see `state`."""
        raise _no("state vector", "tangents of observables")

    def metric_tensor(self, *_: Any, **__: Any) -> NoReturn:
        """There is none; see `state`."""
        raise _no("metric of pure states", "that of the circuit without its channels")

    def shadow(self, *_: Any, **__: Any) -> NoReturn:
        """There is none; see `state`."""
        raise _no("state vector to take snapshots of", "sample, in bases that the circuit turns to")

    # looks

    def __repr__(self) -> str:
        channels = sum(gate.spec is CHANNEL for gate in self.circuit.gates)
        return (
            f"NoisyModel({self.circuit.n_wires} wires, {len(self.circuit) - channels} gates, {channels} channels, "
            f"{self.n_weights} weights, {self.n_inputs} inputs, {len(self.observables)} observables, {self.dtype}, "
            f"{self.backend}, {self.method})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_cut": None}

    # inside

    @property
    def options(self) -> dict[str, Any]:
        """What `compile` was told beyond circuit, observables, dtype and backend; JSON values."""
        names = ("trajectories", "seed", "tolerance")
        found = {"method": self._wanted, **{name: getattr(self, name) for name in names}}
        if self.readout:
            found["readout"] = [list(self.readout.flip_probabilities(w)) for w in range(self.circuit.n_wires)]
        return found

    def _lower(self, circuit: Circuit) -> Lowered:
        self._sampled = None
        observed = self.observables
        if self.readout:
            self._sampled = with_whole_channels(lower(circuit, observed)).readout
            observed = tuple(self.readout.observable(o) for o in observed)
        whole = with_whole_channels(lower(circuit, observed))
        self.method = self._wanted or choose(whole.program, self.trajectories)
        return whole

    def _build(self) -> Engines:
        n = self.circuit.n_wires
        misread = [w for w in range(n) if any(self.readout.flip_probabilities(w))]
        confusion = [(n - 1 - w, self.readout.confusion(w)) for w in misread]
        backend = NoisyBackend(get_backend(self._backend_name), self._how(), confusion)
        return Engines(self._lowered, self.dtype, backend, self._sampled)

    def _how(self) -> Prepare:
        if self.method == "density":
            return DensityPlan
        most = self.trajectories or (TRAJECTORIES if self.tolerance is None else MOST_TRAJECTORIES)
        outputs = self._lowered.readout.coefficients
        return partial(TrajectoryPlan, trajectories=most, seed=self.seed, tolerance=self.tolerance, outputs=outputs)

    def _outcomes(self, source: Source, shots: int, rng: np.random.Generator, bits: Sequence[int]) -> Outcomes:
        plan = source.plan
        if not isinstance(plan, TrajectoryPlan):
            return super()._outcomes(source, shots, rng, bits)
        # every shot takes a path of its own, not one of those that values are averaged over
        drawn = sample_paths(plan, source.shared, source.per_sample, shots, rng, bits, source.initial)
        if not self.readout:
            return drawn
        wires = [self.circuit.n_wires - 1 - bit for bit in bits]
        read = self.readout.sample(bits_of(drawn, len(bits)), wires, rng).astype(np.uint64)
        return np.asarray(read @ (np.uint64(1) << np.arange(len(bits), dtype=np.uint64)[::-1]))

    def _tallies(self, source: Source, shots: int, rng: np.random.Generator, bits: Sequence[int]) -> Tallies:
        if not isinstance(source.plan, TrajectoryPlan):
            return super()._tallies(source, shots, rng, bits)
        return Tallies.of_rows([np.unique(row, return_counts=True) for row in self._outcomes(source, shots, rng, bits)])

    def _method(self, method: str, shots: int | None) -> str:
        if shots is not None:
            self._need_whole_states()
        return super()._method(method, shots)

    def _estimate(
        self, w: Array, x: Array, shots: int, rng: np.random.Generator, start: Any = None
    ) -> tuple[Array, Array]:
        self._need_whole_states()
        estimator, slots = self._ready().estimator, self._lowered.stage.evaluate(w, x)
        mean = np.tile(estimator.constant, (len(x), 1))
        variance = np.zeros_like(mean)
        for setting, plan in zip(estimator.settings, estimator.plans, strict=True):
            if not isinstance(plan, TrajectoryPlan):
                return super()._estimate(w, x, shots, rng, start)
            outputs = [m for m, _ in setting.outputs]
            tallies = self._tallies(Source(plan, *slots, start), shots, rng, setting.bits)
            first, second = setting.moments(tallies, shots)
            mean[:, outputs] += first
            variance[:, outputs] += second / shots
        return mean, variance

    def _need_whole_states(self) -> None:
        """What is sampled is normalised, and values are not."""
        for site in self._lowered.sites:
            if not site.channel.trace_preserving:
                raise ArgumentError(
                    f"{site.channel!r} keeps a part of the states, so values are not normalised and have no estimates "
                    "from shots; use exact values, and sample or counts of what is kept"
                )

    def _like(self, circuit: Circuit, observables: Sequence[PauliSum]) -> Model:
        options = {**self.options, "method": self.method, "readout": self.readout}
        return NoisyModel(circuit, observables, self.dtype, self._backend_name, **options)


def _errors(readout: Any) -> ReadoutErrors:
    if readout is None or isinstance(readout, ReadoutErrors):
        return readout or ReadoutErrors()
    return ReadoutErrors.of(dict(enumerate(readout)))


def _check(name: str, value: Any, least: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least):
        raise ArgumentError(f"{name} is an integer of at least {least}, got {value!r}")


def _no(what: str, instead: str) -> ArgumentError:
    return ArgumentError(f"a circuit with channels has no {what}; use {instead}")
