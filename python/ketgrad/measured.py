"""`Measured`: the part of a model that needs no observables: final states, probabilities, samples.

Owns: what is measured on the final states of a circuit, in the shapes that users see. May not know: observables,
gradients.

Shapes: P weights, B samples of F inputs. Without a batch (inputs of shape (F,), or a circuit without inputs) results
have no batch axis. `initial`, (2^n,) or (B, 2^n), are states to start from instead of |0...0>.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .arguments import States, parameters, with_initial
from .backends import get_backend
from .backends.contract import Outcomes, Tallies
from .circuit import Circuit
from .engines import Engines
from .errors import ParameterError
from .lowering import Lowered, wire_bit
from .memory import require_bytes
from .pauli import check_wires
from .plan_text import plan_text
from .shadows import snapshots
from .simulator import (
    Seed,
    Source,
    bits_of,
    check_shots,
    count_outcomes,
    counts_of,
    generator,
    over_states,
    reduced_density,
    sample_outcomes,
)

Array = npt.NDArray[np.float64]


class Measured:
    """A compiled circuit and its final states; see `ketgrad.Model`."""

    def __init__(self, circuit: Circuit, lowered: Lowered, dtype: np.dtype[Any], backend: str | None) -> None:
        self.circuit = circuit
        self.dtype = dtype
        self._backend_name = backend
        self._lowered = lowered
        self._n_weights, self._n_inputs = circuit.n_weights, circuit.n_inputs
        self._engines: Engines | None = self._build()

    def state(self, weights: Any = None, inputs: Any = None, *, initial: Any = None) -> States:
        """Final state, (2^n,) or (B, 2^n), of the model's dtype; wire 0 is the most significant bit."""
        w, x, batched = self._arguments(weights, inputs)
        start, x, batched = self._starts(initial, x, batched)
        states = self._ready().plan.states(*self._lowered.stage.evaluate(w, x), start)
        return states if batched else states[0]

    def probabilities(self, weights: Any = None, inputs: Any = None, wires: Sequence[int] | None = None) -> Array:
        """Probabilities of the outcomes of `wires` in the order given (default: all), (2^k,) or (B, 2^k)."""
        w, x, batched = self._arguments(weights, inputs)
        bits = self._bits(wires)
        require_bytes(16 * len(x) << len(bits), f"the probabilities of {len(bits)} wires for {len(x)} samples")
        engines = self._ready()
        slots = self._lowered.stage.evaluate(w, x)
        out = over_states(Source(engines.plan, *slots), lambda s: engines.backend.probabilities(s, bits))
        return out if batched else out[0]

    def density_matrix(
        self, weights: Any = None, inputs: Any = None, wires: Sequence[int] | None = None
    ) -> npt.NDArray[Any]:
        """Reduced density matrix of `wires` (default: all), (2^k, 2^k) or (B, 2^k, 2^k)."""
        w, x, batched = self._arguments(weights, inputs)
        where = self._wires(wires)
        slots = self._lowered.stage.evaluate(w, x)
        n, size = self.circuit.n_wires, self.dtype.itemsize * len(x)
        require_bytes(2 * size << 2 * len(where), f"the density matrices of {len(where)} wires for {len(x)} samples")
        out = over_states(Source(self._ready().plan, *slots), lambda s: reduced_density(s, where, n))
        return out if batched else out[0]

    def sample(
        self,
        weights: Any = None,
        inputs: Any = None,
        *,
        shots: int,
        seed: Seed = None,
        wires: Sequence[int] | None = None,
        initial: Any = None,
    ) -> npt.NDArray[np.uint8]:
        """Measured bits of `wires` (default: all), (shots, k) or (B, shots, k)."""
        bits = self._bits(wires)
        source, batched = self._source(weights, inputs, initial)
        drawn = self._outcomes(source, check_shots(shots), generator(seed), bits)
        out = bits_of(drawn, len(bits))
        return out if batched else out[0]

    def counts(
        self,
        weights: Any = None,
        inputs: Any = None,
        *,
        shots: int,
        seed: Seed = None,
        wires: Sequence[int] | None = None,
        initial: Any = None,
    ) -> dict[str, int] | list[dict[str, int]]:
        """How often each outcome of `wires` occurred, {"010": 5, ...}; a list of them for a batch."""
        bits = self._bits(wires)
        source, batched = self._source(weights, inputs, initial)
        tallies = self._tallies(source, check_shots(shots), generator(seed), bits)
        out = counts_of(tallies, len(bits))
        return out if batched else out[0]

    def tally(
        self,
        weights: Any = None,
        inputs: Any = None,
        *,
        shots: int,
        seed: Seed = None,
        wires: Sequence[int] | None = None,
        initial: Any = None,
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """As `counts` without a batch, as arrays: outcomes, the first wire the most significant bit, and counts.

        Raises:
            ParameterError: a batch.
        """
        bits = self._bits(wires)
        source, batched = self._source(weights, inputs, initial)
        if batched:
            raise ParameterError("tally takes no batch; use counts")
        tallies = self._tallies(source, check_shots(shots), generator(seed), bits)
        return tallies.outcomes, tallies.counts

    def shadow(
        self,
        weights: Any = None,
        inputs: Any = None,
        *,
        shots: int,
        seed: Seed = None,
        wires: Sequence[int] | None = None,
        initial: Any = None,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """A classical shadow of `wires` (default: all): each shot measures each wire in X, Y or Z, drawn at random.

        Returns:
            Bits, and recipes 0, 1, 2 for X, Y, Z; each (shots, k) or (B, shots, k).
        """
        where = self._wires(wires)
        source, batched = self._source(weights, inputs, initial)
        bits, recipes = snapshots(source, check_shots(shots), generator(seed), where)
        return (bits, recipes) if batched else (bits[0], recipes[0])

    def plan(self, bandwidth: float | None = None, lane_rate: float | None = None, *, batch: int = 1) -> str:
        """How a batch runs and why: passes and what they do, bytes, lane operations (multiply-adds of one real).

        Args:
            batch: the number of samples.
            bandwidth, lane_rate: bytes and lane operations per second of this machine, for the ideal time.
        """
        made = self._ready().plan
        choice, n = made.choice(batch), made.runs.n_bits
        return plan_text(choice, batch, n, self.dtype.itemsize, len(self.circuit), bandwidth, lane_rate)

    # inside

    def _build(self) -> Engines:
        return Engines(self._lowered, self.dtype, get_backend(self._backend_name))

    def _ready(self) -> Engines:
        if self._engines is None:
            self._engines = self._build()
        return self._engines

    def _arguments(self, weights: Any, inputs: Any) -> tuple[Array, Array, bool]:
        return parameters(weights, inputs, self._n_weights, self._n_inputs)

    def _starts(self, initial: Any, x: Array, batched: bool) -> tuple[States | None, Array, bool]:
        return with_initial(initial, x, batched, 1 << self.circuit.n_wires, self.dtype)

    def _source(self, weights: Any, inputs: Any, initial: Any = None) -> tuple[Source, bool]:
        """Where the final states come from, and whether they have a batch axis."""
        w, x, batched = self._arguments(weights, inputs)
        start, x, batched = self._starts(initial, x, batched)
        return Source(self._ready().plan, *self._lowered.stage.evaluate(w, x), start), batched

    def _outcomes(self, source: Source, shots: int, rng: np.random.Generator, bits: Sequence[int]) -> Outcomes:
        return sample_outcomes(self._ready().backend, source, shots, rng, bits)

    def _tallies(self, source: Source, shots: int, rng: np.random.Generator, bits: Sequence[int]) -> Tallies:
        return count_outcomes(self._ready().backend, source, shots, rng, bits)

    def _wires(self, wires: Sequence[int] | None) -> tuple[int, ...]:
        n = self.circuit.n_wires
        return tuple(range(n)) if wires is None else check_wires(wires, "wires", n)

    def _bits(self, wires: Sequence[int] | None) -> tuple[int, ...]:
        return tuple(wire_bit(w, self.circuit.n_wires) for w in self._wires(wires))
