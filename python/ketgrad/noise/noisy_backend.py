"""`NoisyBackend`: a backend whose programs have channels, on top of one that runs states.

Owns: what stands between a model, which knows nothing of noise, and the plans that do: every plan's "states" are square
roots of probabilities, which is all that samples, counts and estimates need of them. May not know: circuits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..backends import Backend, Plan
from ..backends.contract import Array, Outcomes, States, Tallies
from ..backends.shifted import RowShifts, Setting, ShiftedPlan
from ..backends.spins import SpinEngine, SpinModel
from ..lowering import Lowered, Readout, measured_in_basis
from ..program import Opcode, Program, with_free_angles

Prepare: TypeAlias = Callable[[Program, np.dtype[Any], Backend], Plan]
Confusion: TypeAlias = "Sequence[tuple[int, npt.NDArray[np.float64]]]"


def with_whole_channels(lowered: Lowered) -> Lowered:
    """The same with a KRAUS for the whole of each channel: without slot, its matrices the channel's operators K_i.

    Where a channel keeps a part of the states only, the identity is a term like any other: its value is their trace.
    """
    program, readout = lowered.program, lowered.readout
    rows, pool = program.instructions.copy(), program.pool.copy()
    scaled: set[int] = set()
    for site in lowered.sites:
        row = rows[site.instruction]
        row["slot"], row["scale"], row["offset"] = -1, 0.0, 0.0
        start, count, words = int(row["payload"]), int(row["t0"]), 2 << 2 * int(row["k"])
        if start not in scaled:
            scaled.add(start)
            factors = np.sqrt(site.probabilities)
            block = pool[start : start + 2 * count * words].reshape(2, count, words)
            block[0] *= factors[:, None]
            block[1] /= factors[:, None]
    terms = program.terms
    if readout.constant.any() and not all(site.channel.trace_preserving for site in lowered.sites):
        terms = np.concatenate([terms, np.zeros(1, terms.dtype)])
        both = np.concatenate([readout.coefficients, readout.constant[:, None]], axis=1)
        readout = Readout(both, np.zeros_like(readout.constant), (*readout.keys, ((), ())))
    stage = lowered.stage
    whole = Program(program.n_bits, rows, pool, terms, stage.n_shared, stage.n_per_sample)
    return Lowered(whole, stage, readout, lowered.sites)


class NoisyBackend(Backend):
    """Prepares plans by a function of program, dtype and the backend below, and misreads what it measures.

    Args:
        confusion: (bit, matrix [read, is] -> probability) of the bits that are misread.
    """

    def __init__(self, inner: Backend, prepare: Prepare, confusion: Confusion = ()) -> None:
        self.name, self._inner, self._how, self._confusion = inner.name, inner, prepare, confusion

    def info(self) -> dict[str, Any]:
        return self._inner.info()

    def set_num_threads(self, count: int) -> None:
        self._inner.set_num_threads(count)

    def num_threads(self) -> int:
        return self._inner.num_threads()

    def prepare_spins(self, model: SpinModel) -> SpinEngine:
        return self._inner.prepare_spins(model)

    def _prepare(self, program: Program, dtype: np.dtype[Any]) -> Plan:
        noisy = (program.instructions["opcode"] == Opcode.KRAUS).any()
        return self._how(program, dtype, self._inner) if noisy else self._inner.prepare(program, dtype)

    def _prepare_shifts(self, program: Program, dtype: np.dtype[Any]) -> ShiftedPlan:
        return _NoisyShifts(self, program, dtype)

    def _probabilities(self, states: States, bits: tuple[int, ...]) -> Array:
        return self._inner.probabilities(self._read(states), bits)

    def _sample(self, states: States, uniforms: Array, bits: tuple[int, ...]) -> Outcomes:
        return self._inner.sample(self._read(states), uniforms, bits)

    def _counts(self, states: States, uniforms: Array, bits: tuple[int, ...]) -> Tallies:
        return self._inner.counts(self._read(states), uniforms, bits)

    def _read(self, states: States) -> States:
        """Square roots of the probabilities of what is read."""
        if not self._confusion:
            return states
        probabilities = np.asarray(states.real, np.float64) ** 2 + np.asarray(states.imag, np.float64) ** 2
        for bit, matrix in self._confusion:
            pairs = probabilities.reshape(len(states), -1, 2, 1 << bit)
            probabilities = np.einsum("ri,baix->barx", matrix, pairs).reshape(len(states), -1)
        return np.sqrt(probabilities).astype(states.dtype)


class _NoisyShifts(RowShifts):
    """Shifted circuits; a setting is turned by its program, for square roots of probabilities cannot be."""

    def __init__(self, backend: Backend, program: Program, dtype: np.dtype[Any]) -> None:
        super().__init__(backend, program, dtype)
        self._turned = lru_cache(maxsize=None)(self._turn)

    def _turn(self, letters: tuple[tuple[int, str], ...]) -> Plan:
        return self._backend.prepare(measured_in_basis(with_free_angles(self.program), dict(letters)), self.dtype)

    def _settled(self, angles: Array) -> Callable[[Setting], States]:
        return lambda setting: self._turned(setting.letters).states(np.zeros(0), angles)
