"""Measurements: samples, counts, finite-shot estimates, reduced density matrices, variances.

Owns: randomness (one seeded numpy generator; backends receive uniforms) and the size of the chunks in which states
are held. May not know: how a backend works.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .backends import Backend, Plan
from .backends.contract import Outcomes, States, Tallies
from .backends.shifted import Setting
from .errors import ArgumentError, ArgumentTypeError
from .lowering import Lowered, Readout, measured_in_basis, term_masks, wire_bit
from .memory import require_bytes
from .pauli import Key

Array = npt.NDArray[np.float64]
Seed: TypeAlias = "int | np.random.Generator | None"  # a string: numpy.random is imported on first use

CHUNK_BYTES = 64 << 20  # states of a batch held at once when they are only passed through
COUNT_BYTES = 48  # that a shot may take while outcomes are counted


def generator(seed: Any) -> np.random.Generator:
    """A numpy Generator from None, an int or a Generator.

    Raises:
        ArgumentTypeError: anything else.
        ArgumentError: a negative int.
    """
    if isinstance(seed, np.random.Generator):
        return seed
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
        raise ArgumentTypeError(f"seed is None, an integer or a numpy Generator, got {type(seed).__name__}")
    if seed is not None and seed < 0:
        raise ArgumentError(f"seed must be at least 0, got {seed}")
    return np.random.default_rng(seed)


def check_shots(shots: Any) -> int:
    """`shots` as a positive int.

    Raises:
        ArgumentTypeError: not an integer.
        ArgumentError: not from 1 to 10^9.
    """
    if isinstance(shots, (bool, np.bool_)) or not isinstance(shots, (int, np.integer)):
        raise ArgumentTypeError(f"shots is an integer, got {type(shots).__name__}")
    if not 1 <= shots <= 10**9:
        raise ArgumentError(f"shots must be from 1 to 1,000,000,000, got {int(shots)}")
    return int(shots)


@dataclass(frozen=True, eq=False)
class Source:
    """Where the final states of a batch come from: the arguments of `Plan.states`."""

    plan: Plan
    shared: Array  # (S,)
    per_sample: Array  # (B, F)
    initial: States | None = None  # (1, 2^n) or (B, 2^n)

    def __len__(self) -> int:
        return len(self.per_sample)

    def chunks(self, extra_bytes: int = 0) -> Iterator[tuple[slice, States]]:
        """(rows, their states), in pieces that (with `extra_bytes` a row) stay within CHUNK_BYTES."""
        row = (self.plan.dtype.itemsize << self.plan.program.n_bits) + extra_bytes
        step = max(1, CHUNK_BYTES // row)
        for start in range(0, len(self), step):
            rows = slice(start, min(start + step, len(self)))
            initial = self.initial
            if initial is not None and len(initial) > 1:
                initial = initial[rows]
            yield rows, self.plan.states(self.shared, self.per_sample[rows], initial)

    def draws(self, shots: int, rng: np.random.Generator, shot_bytes: int) -> Iterator[tuple[slice, States, Array]]:
        """(rows, their states, uniforms (rows, shots)); the uniforms of a row do not depend on chunks or threads.

        shot_bytes is what the caller holds for each shot of a chunk, the uniforms included.
        """
        require_bytes(shot_bytes * shots, f"{shots} shots")
        for rows, states in self.chunks(shot_bytes * shots):
            yield rows, states, rng.random((len(states), shots))


def over_states(source: Source, work: Callable[[States], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """`work(states)` for a batch, chunk by chunk, concatenated."""
    return np.concatenate([work(states) for _, states in source.chunks()])


def sample_outcomes(
    backend: Backend, source: Source, shots: int, rng: np.random.Generator, bits: Sequence[int] | None = None
) -> Outcomes:
    """(B, shots) outcomes of the listed bits, the first the most significant; None: all bits, basis-state indices."""
    require_bytes(8 * (len(source) + 1) * shots, f"{shots} shots of {len(source)} samples")
    out = np.empty((len(source), shots), dtype=np.uint64)
    for rows, states, uniforms in source.draws(shots, rng, 16):
        out[rows] = backend.sample(states, uniforms, bits)
    return out


def count_outcomes(
    backend: Backend, source: Source, shots: int, rng: np.random.Generator, bits: Sequence[int] | None = None
) -> Tallies:
    """How often each outcome occurs among what `sample_outcomes` would draw, B rows, without holding them all."""
    draws = source.draws(shots, rng, COUNT_BYTES)
    found = [backend.counts(states, uniforms, bits) for _, states, uniforms in draws]
    return Tallies.of_rows([row for tallies in found for row in tallies.rows()])


def bits_of(outcomes: Outcomes, k: int) -> npt.NDArray[np.uint8]:
    """(...) outcomes of k bits -> (..., k) zeros and ones, the most significant first."""
    require_bytes(outcomes.size * (16 + k), f"the bits of {outcomes.size} shots")
    if not k:
        return np.zeros((*outcomes.shape, 0), dtype=np.uint8)
    leading = (outcomes << np.uint64(64 - k)).astype(">u8").view(np.uint8).reshape(*outcomes.shape, 8)
    return np.unpackbits(leading[..., : -(-k // 8)], axis=-1, count=k)


def counts_of(tallies: Tallies, k: int) -> list[dict[str, int]]:
    """{"010": 5, ...} for each row, ascending."""
    text = (bits_of(tallies.outcomes, k) + np.uint8(ord("0"))).tobytes().decode("ascii")
    names = [text[i * k : (i + 1) * k] for i in range(len(tallies.outcomes))]
    numbers, starts = tallies.counts.tolist(), tallies.starts.tolist()
    return [dict(zip(names[a:b], numbers[a:b], strict=True)) for a, b in itertools.pairwise(starts)]


def reduced_density(states: npt.NDArray[Any], wires: Sequence[int], n_wires: int) -> npt.NDArray[Any]:
    """(B, 2^k, 2^k) density matrices of some wires, the first the most significant."""
    batch, k = len(states), len(wires)
    rest = [w for w in range(n_wires) if w not in wires]
    tensor = states.reshape((batch,) + (2,) * n_wires)
    psi = tensor.transpose([0, *(1 + w for w in wires), *(1 + w for w in rest)]).reshape(batch, 2**k, -1)
    return np.asarray(psi @ psi.conj().transpose(0, 2, 1))


def qubit_wise_groups(keys: Sequence[Key]) -> list[tuple[dict[int, str], list[int]]]:
    """Greedy groups of terms that one measurement setting serves.

    Returns:
        For each group its basis {wire: letter} and the positions of its terms in `keys`. A pattern counts as Z
        on its wires.
    """
    groups: list[tuple[dict[int, str], list[int]]] = []
    for position, (word, pattern) in enumerate(keys):
        need = {**dict(word), **{w: "Z" for w, _ in pattern}}
        for basis, members in groups:
            if all(basis.get(w, letter) == letter for w, letter in need.items()):
                basis.update(need)
                members.append(position)
                break
        else:
            groups.append((dict(need), [position]))
    return groups


def measurement_settings(readout: Readout, n_wires: int) -> tuple[Setting, ...]:
    """One setting for each group of qubit-wise commuting terms."""
    out = []
    for basis, members in qubit_wise_groups(readout.keys):
        letters = sorted(((wire_bit(w, n_wires), c) for w, c in basis.items()), reverse=True)
        bits = [bit for bit, _ in letters]
        outputs = []
        for m, row in enumerate(readout.coefficients):
            terms = []
            for r in members:
                if row[r]:
                    x, z, *pattern = term_masks(readout.keys[r], n_wires)
                    mask, value = (_gathered(part, bits) for part in pattern)
                    terms.append((float(row[r]), _gathered(x | z, bits), mask, value))
            if terms:
                outputs.append((m, tuple(terms)))
        out.append(Setting(tuple(letters), tuple(outputs)))
    return tuple(out)


def _gathered(mask: int, bits: Sequence[int]) -> int:
    """A mask of basis-state indices as one of outcomes of `bits`."""
    return sum((mask >> b & 1) << place for place, b in enumerate(reversed(bits)))


class Estimator:
    """Finite-shot estimates of a model's outputs: one setting for each group of qubit-wise commuting terms.

    Every setting uses all the shots, as on hardware; outputs of one setting share them.
    """

    def __init__(self, backend: Backend, lowered: Lowered, dtype: np.dtype[Any]) -> None:
        self.backend = backend
        program, self.constant = lowered.program, lowered.readout.constant
        self.settings = measurement_settings(lowered.readout, program.n_bits)
        self.plans = [backend.prepare(measured_in_basis(program, dict(s.letters)), dtype) for s in self.settings]

    def estimate(
        self,
        shared: Array,
        per_sample: Array,
        shots: int,
        rng: np.random.Generator,
        initial: States | None = None,
    ) -> tuple[Array, Array]:
        """Estimates (B, M) and the unbiased variances of these estimates (B, M)."""
        shape = (len(per_sample), len(self.constant))
        mean, variance = np.tile(self.constant, (shape[0], 1)), np.zeros(shape)
        for setting, plan in zip(self.settings, self.plans, strict=True):
            outputs = [m for m, _ in setting.outputs]
            for rows, states, uniforms in Source(plan, shared, per_sample, initial).draws(shots, rng, COUNT_BYTES):
                first, second = setting.moments(self.backend.counts(states, uniforms, setting.bits), shots)
                mean[rows, outputs] += first
                variance[rows, outputs] += second / shots
        return mean, variance
