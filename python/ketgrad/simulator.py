"""Measurements: samples, counts, finite-shot estimates, reduced density matrices, variances.

Owns: randomness (one seeded numpy generator; backends receive uniforms) and the size of the chunks in which states
are held. May not know: how a backend works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .backends import Backend, Plan
from .errors import ArgumentError, ArgumentTypeError
from .lowering import Lowered, measured_in_basis, term_masks, wire_bit
from .memory import require_bytes
from .pauli import Key

Array = npt.NDArray[np.float64]
Seed: TypeAlias = "int | np.random.Generator | None"  # a string: numpy.random is imported on first use

CHUNK_BYTES = 64 << 20  # states of a batch held at once when they are only passed through
TABLE_BITS = 12  # up to here outcomes are tallied over all 2^n basis states


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


def chunks(plan: Plan, per_sample: Array, extra_bytes: int = 0) -> Iterator[Array]:
    """Rows of a batch in pieces whose states (and `extra_bytes` a row) stay within CHUNK_BYTES."""
    row = (plan.dtype.itemsize << plan.program.n_bits) + extra_bytes
    step = max(1, CHUNK_BYTES // row)
    for start in range(0, len(per_sample), step):
        yield per_sample[start : start + step]


def over_states(
    plan: Plan, shared: Array, per_sample: Array, work: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
) -> npt.NDArray[Any]:
    """`work(states)` for a batch, chunk by chunk, concatenated."""
    return np.concatenate([work(plan.states(shared, rows)) for rows in chunks(plan, per_sample)])


def sample_indices(
    backend: Backend, plan: Plan, shared: Array, per_sample: Array, shots: int, rng: np.random.Generator
) -> npt.NDArray[np.uint64]:
    """(B, shots) basis-state indices; the stream of uniforms does not depend on chunks or threads."""
    require_bytes(8 * (len(per_sample) + 1) * shots, f"{shots} shots of {len(per_sample)} samples")
    out = np.empty((len(per_sample), shots), dtype=np.uint64)
    start = 0
    for rows in chunks(plan, per_sample, 16 * shots):
        states = plan.states(shared, rows)
        out[start : start + len(rows)] = backend.sample(states, rng.random((len(rows), shots)))
        start += len(rows)
    return out


def bits_of(indices: npt.NDArray[np.uint64], bits: Sequence[int]) -> npt.NDArray[np.uint8]:
    """(..., shots) indices -> (..., shots, k) zeros and ones."""
    require_bytes(indices.size * len(bits), f"the bits of {indices.size} shots")
    out = np.empty((*indices.shape, len(bits)), dtype=np.uint8)
    for position, b in enumerate(bits):
        out[..., position] = (indices >> np.uint64(b)) & np.uint64(1)
    return out


def counts_of(indices: npt.NDArray[np.uint64], bits: Sequence[int]) -> dict[str, int]:
    """How often each outcome of the listed bits occurred, as {"010": 5, ...}, ascending."""
    outcome = np.zeros(indices.shape, dtype=np.uint64)
    for b in bits:
        outcome = (outcome << np.uint64(1)) | ((indices >> np.uint64(b)) & np.uint64(1))
    values, numbers = np.unique(outcome, return_counts=True)
    names = [f"{int(v):0{len(bits)}b}" if bits else "" for v in values]
    return {name: int(c) for name, c in zip(names, numbers, strict=True)}


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


@dataclass(frozen=True, eq=False)
class _Setting:
    """One measurement setting: a plan that ends in its basis, and what each output reads from an outcome."""

    plan: Plan
    outputs: tuple[tuple[int, tuple[tuple[float, int, int, int], ...]], ...]  # m, (c, z_mask, ctrl, value)...

    def values(self, indices: npt.NDArray[np.uint64], terms: Sequence[tuple[float, int, int, int]]) -> Array:
        """The output's value for each basis-state index."""
        total = np.zeros(indices.shape)
        for c, z, mask, value in terms:
            parity = np.bitwise_count(indices & np.uint64(z)) & 1
            term = np.where(parity, -c, c)
            total += np.where((indices & np.uint64(mask)) == np.uint64(value), term, 0.0) if mask else term
        return total


class Estimator:
    """Finite-shot estimates of a model's outputs: one setting for each group of qubit-wise commuting terms.

    Every setting uses all the shots, as on hardware; outputs of one setting share them.
    """

    def __init__(self, backend: Backend, lowered: Lowered, dtype: np.dtype[Any]) -> None:
        self.backend = backend
        readout, n = lowered.readout, lowered.program.n_bits
        self.constant = readout.constant
        self.settings: list[_Setting] = []
        for basis, members in qubit_wise_groups(readout.keys):
            program = measured_in_basis(lowered.program, {wire_bit(w, n): c for w, c in basis.items()})
            outputs = []
            for m, row in enumerate(readout.coefficients):
                terms = []
                for r in members:
                    if row[r]:
                        x, z, mask, value = term_masks(readout.keys[r], n)
                        terms.append((float(row[r]), x | z, mask, value))
                if terms:
                    outputs.append((m, tuple(terms)))
            self.settings.append(_Setting(backend.prepare(program, dtype), tuple(outputs)))
        every = np.arange(1 << n, dtype=np.uint64) if n <= TABLE_BITS else None
        self._tables = [
            None if every is None else np.array([s.values(every, terms) for _, terms in s.outputs])
            for s in self.settings
        ]

    def estimate(self, shared: Array, per_sample: Array, shots: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Estimates (B, M) and the variances of these estimates (B, M)."""
        shape = (len(per_sample), len(self.constant))
        require_bytes(40 * shots, f"an estimate from {shots} shots")
        mean, variance = np.tile(self.constant, (shape[0], 1)), np.zeros(shape)
        for setting, table in zip(self.settings, self._tables, strict=True):
            start = 0
            for rows in chunks(setting.plan, per_sample, 40 * shots):
                here = slice(start, start + len(rows))
                start += len(rows)
                states = setting.plan.states(shared, rows)
                drawn = self.backend.sample(states, rng.random((len(rows), shots)))
                for m, first, second in self._moments(setting, table, drawn):
                    mean[here, m] += first
                    variance[here, m] += second
        return mean, variance

    @staticmethod
    def _moments(
        setting: _Setting, table: Array | None, drawn: npt.NDArray[np.uint64]
    ) -> Iterator[tuple[int, Array, Array]]:
        """For each output its mean over the shots, and the unbiased variance of that mean."""
        shots = drawn.shape[1]
        divisor = shots * max(1, shots - 1)
        if table is not None:
            size = table.shape[1]
            flat = drawn.astype(np.int64) + np.arange(len(drawn))[:, None] * size
            tally = np.bincount(flat.reshape(-1), minlength=len(drawn) * size).reshape(len(drawn), size)
            means = tally @ table.T / shots
            squares = tally @ (table**2).T
            for position, (m, _) in enumerate(setting.outputs):
                mean = means[:, position]
                yield m, mean, np.maximum(0.0, squares[:, position] - shots * mean**2) / divisor
        else:
            for m, terms in setting.outputs:
                values = setting.values(drawn, terms)
                mean = values.mean(axis=1)
                yield m, mean, ((values - mean[:, None]) ** 2).sum(axis=1) / divisor
