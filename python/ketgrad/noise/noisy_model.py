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

from ..backends import Backend, Plan, get_backend
from ..circuit import Circuit
from ..engines import Engines
from ..errors import ArgumentError, suggest
from ..gate_spec import CHANNEL
from ..lowering import Lowered, lower
from ..memory import require_density
from ..model import Array, Model
from ..pauli import PauliSum
from .cost import choose
from .density import DensityPlan
from .noisy_backend import NoisyBackend, with_whole_channels
from .strengths import strength_gradients, superoperator_on

if TYPE_CHECKING:
    from .channel import Channel

METHODS = ("density", "trajectories")


class Strength(NamedTuple):
    """One number of a channel: `channel.strengths[index]`, at `sites` places of the circuit."""

    channel: Channel
    index: int
    sites: int

    @property
    def value(self) -> float:
        """The number."""
        return self.channel.strengths[self.index]


class NoisyModel(Model):
    """A compiled circuit with channels; made by `ketgrad.compile`. Thread-safe, picklable, deep-copyable.

    Values are tr(O rho), exact by density matrices or with standard errors by trajectories; of a channel that is not
    trace-preserving they are not normalised. Gradients are those of these values: exact, or of the same trajectories.

    Args:
        method: "density", "trajectories", or None for the quicker one that fits in memory.
        trajectories: how many paths may be followed; default see `noise.trajectories`.
        seed: of the paths. The same seed gives the same paths, whatever the weights.
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
    ) -> None:
        if method not in (None, *METHODS):
            raise ArgumentError(
                f"method must be one of {METHODS} or None, got {method!r}.{suggest(str(method), METHODS)}"
            )
        self._wanted, self.trajectories, self.seed = method, trajectories, seed
        self._cut: DensityPlan | None = None
        super().__init__(circuit, observables, dtype, backend)

    # what a mixed state has

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
        return out if batched else out[0]

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
        lowered, place = self._lowered, {(s.channel, s.index): k for k, s in enumerate(self.strengths)}
        changes = {}
        for site in lowered.sites:
            if site.channel.strengths:
                bits = [self.circuit.n_wires - 1 - v for v in self._site_wires[site.instruction]]
                matrices = superoperator_on(site.channel.derivatives(), bits, self.circuit.n_wires)
                changes[site.instruction] = matrices, [place[site.channel, j] for j in range(len(matrices))]
        if self._cut is None:
            self._cut = DensityPlan(
                lowered.program, self.dtype, get_backend(self._backend_name), single=tuple(changes)
            )
        slots, seeds = lowered.stage.evaluate(w, x), lowered.readout.coefficients
        out = strength_gradients(self._cut, *slots, seeds, changes, len(place))
        return out if batched else out[0]

    @property
    def _site_wires(self) -> dict[int, tuple[int, ...]]:
        """The wires of every channel by the position of its instruction."""
        channels = [gate.wires for gate in self.circuit.gates if gate.spec is CHANNEL]
        return {s.instruction: wires for s, wires in zip(self._lowered.sites, channels, strict=True)}

    # what it lacks

    def state(self, *_: Any, **__: Any) -> NoReturn:
        """There is none.

        Raises:
            ArgumentError: always.
        """
        raise _no("a state vector", "density_matrix or probabilities")

    def forward_state(self, *_: Any, **__: Any) -> NoReturn:
        """There is none; see `state`."""
        raise _no("a state vector", "density_matrix, or forward of observables")

    def state_tangents(self, *_: Any, **__: Any) -> NoReturn:
        """There are none; see `state`."""
        raise _no("a state vector", "tangents of observables")

    def metric_tensor(self, *_: Any, **__: Any) -> NoReturn:
        """There is none; see `state`."""
        raise _no("the metric of pure states", "that of the circuit without its channels")

    def shadow(self, *_: Any, **__: Any) -> NoReturn:
        """There is none; see `state`."""
        raise _no("a state vector to take snapshots of", "sample, in bases that the circuit turns to")

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
        """What `compile` was told beyond circuit, observables, dtype and backend."""
        return {"method": self._wanted, "trajectories": self.trajectories, "seed": self.seed}

    def _lower(self, circuit: Circuit) -> Lowered:
        whole = with_whole_channels(lower(circuit, self.observables))
        self.method = self._wanted or choose(whole.program, self.trajectories)
        return whole

    def _build(self) -> Engines:
        inner = get_backend(self._backend_name)
        prepare = DensityPlan if self.method == "density" else partial(_paths, self.trajectories, self.seed)
        return Engines(self._lowered, self.dtype, NoisyBackend(inner, prepare))

    def _like(self, circuit: Circuit, observables: Sequence[PauliSum]) -> Model:
        return NoisyModel(circuit, observables, self.dtype, self._backend_name, **{**self.options, "method": self.method})


def _paths(trajectories: int | None, seed: int, program: Any, dtype: np.dtype[Any], inner: Backend) -> Plan:
    from .path_plan import PathPlan

    return PathPlan(program, dtype, inner, trajectories, seed)


def _no(what: str, instead: str) -> ArgumentError:
    return ArgumentError(f"a circuit with channels has not {what}; use {instead}")
