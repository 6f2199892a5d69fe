"""The oracle: a statevector simulator that is obviously right and far too slow.

Owns: dense matrices on all wires, built from tests/golden.py by kron and index loops. Never imports ketgrad, so nothing
here can repeat its mistakes. Wire 0 is the most significant bit. Good to about 8 wires.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from golden import PAULI, golden

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Op:
    """One gate with numbers for angles; `controls` come on top of the gate's own."""

    name: str
    params: tuple[float, ...]
    wires: tuple[int, ...]
    controls: tuple[int, ...] = ()
    values: tuple[int, ...] = ()
    inverse: bool = False
    extra: Any = None


@lru_cache(maxsize=4096)
def _reading(wires: tuple[int, ...], n: int) -> Array:
    """For each basis state of n wires, its index when the listed wires are read first and the others after them."""
    order = [*wires, *(w for w in range(n) if w not in wires)]
    index = []
    for bits in itertools.product((0, 1), repeat=n):
        index.append(int("".join(str(bits[w]) for w in order), 2))
    return np.array(index)


def embed(matrix: Array, wires: Sequence[int], n: int) -> Array:
    """A matrix on some wires (the first the most significant) as a 2^n x 2^n matrix."""
    full = np.kron(matrix, np.eye(2 ** (n - len(wires))))
    where = _reading(tuple(wires), n)
    return full[np.ix_(where, where)]


def controlled(matrix: Array, values: Sequence[int]) -> Array:
    """`matrix` where the leading control wires have these values, the identity elsewhere."""
    size, k = len(matrix), len(values)
    out = np.eye(size * 2**k, dtype=complex)
    block = int("".join(map(str, values)), 2) if k else 0
    out[block * size : (block + 1) * size, block * size : (block + 1) * size] = matrix
    return out


def op_matrix(op: Op, n: int) -> Array:
    """The 2^n x 2^n matrix of a gate."""
    body = golden(op.name, op.params, len(op.wires), op.extra)
    if op.inverse:
        body = body.conj().T
    return embed(controlled(body, op.values), (*op.controls, *op.wires), n)


def zero_state(n: int) -> Array:
    out = np.zeros(2**n, dtype=complex)
    out[0] = 1
    return out


def run(n: int, ops: Sequence[Op], initial: Array | None = None) -> Array:
    """The final state."""
    state = zero_state(n) if initial is None else np.asarray(initial, dtype=complex)
    for op in ops:
        state = op_matrix(op, n) @ state
    return state


def word(n: int, letters: dict[int, str]) -> Array:
    """A Pauli word on n wires."""
    out = np.ones((1, 1), dtype=complex)
    for w in range(n):
        out = np.kron(out, PAULI[letters.get(w, "I")])
    return out


def projector(n: int, bits: str, wires: Sequence[int]) -> Array:
    """|bits><bits| on some wires."""
    out = np.zeros((2**n, 2**n), dtype=complex)
    for index, state in enumerate(itertools.product("01", repeat=n)):
        if all(state[w] == b for w, b in zip(wires, bits, strict=True)):
            out[index, index] = 1
    return out


def expectation(state: Array, operator: Array) -> float:
    return float((state.conj() @ operator @ state).real)


def variance(state: Array, operator: Array) -> float:
    return expectation(state, operator @ operator) - expectation(state, operator) ** 2


def probabilities(state: Array, wires: Sequence[int], n: int) -> Array:
    """Of the outcomes of some wires, in their order."""
    out = np.zeros(2 ** len(wires))
    for amplitude, bits in zip(state, itertools.product("01", repeat=n), strict=True):
        outcome = "".join(bits[w] for w in wires)
        out[int(outcome, 2) if outcome else 0] += abs(amplitude) ** 2
    return out


def density(state: Array, wires: Sequence[int], n: int) -> Array:
    """Reduced density matrix of some wires, in their order."""
    k = len(wires)
    rest = [w for w in range(n) if w not in wires]
    out = np.zeros((2**k, 2**k), dtype=complex)
    for environment in itertools.product((0, 1), repeat=len(rest)):
        column = np.zeros(2**k, dtype=complex)
        for index, inside in enumerate(itertools.product((0, 1), repeat=k)):
            bits = dict(zip((*wires, *rest), (*inside, *environment), strict=True))
            column[index] = state[int("".join(str(bits[w]) for w in range(n)), 2)]
        out += np.outer(column, column.conj())
    return out


def apply(state: Array, matrix: Array, wires: Sequence[int]) -> Array:
    """`matrix` on some wires of a state, without the 2^n x 2^n matrix; for more wires than `embed` can hold."""
    n, k = len(state).bit_length() - 1, len(wires)
    tensor = np.moveaxis(state.reshape((2,) * n), list(wires), range(k))
    moved = (matrix @ tensor.reshape(2**k, -1)).reshape((2,) * n)
    return np.moveaxis(moved, range(k), list(wires)).reshape(-1)


def apply_op(state: Array, op: Op) -> Array:
    body = golden(op.name, op.params, len(op.wires), op.extra)
    body = body.conj().T if op.inverse else body
    return apply(state, controlled(body, op.values), (*op.controls, *op.wires))


def random_state(n: int, rng: np.random.Generator) -> Array:
    v = rng.normal(size=2**n) + 1j * rng.normal(size=2**n)
    return v / np.linalg.norm(v)


def random_unitary(k: int, rng: np.random.Generator) -> Array:
    q, r = np.linalg.qr(rng.normal(size=(2**k, 2**k)) + 1j * rng.normal(size=(2**k, 2**k)))
    return q * (np.diag(r) / abs(np.diag(r)))


def random_hermitian(k: int, rng: np.random.Generator) -> Array:
    m = rng.normal(size=(2**k, 2**k)) + 1j * rng.normal(size=(2**k, 2**k))
    return (m + m.conj().T) / 2


def random_extra(kind: str | None, k: int, rng: np.random.Generator) -> Any:
    """The extra argument of a variadic gate on k targets."""
    if kind is None:
        return None
    if kind == "word":
        return "".join(rng.choice(list("IXYZ"), size=k))
    if kind == "matrix":
        return random_unitary(k, rng)
    if kind == "diagonal":
        return np.exp(1j * rng.uniform(-3, 3, 2**k))
    if kind == "values":
        return rng.integers(-3, 4, 2**k) / 2
    assert kind == "dim", kind
    return int(rng.integers(0, 2**k + 1))


# mixed states


@dataclass(frozen=True, eq=False)
class Noise:
    """A channel: rho -> sum of K rho K^+ over its operators (m, 2^k, 2^k) on some wires."""

    kraus: Any
    wires: tuple[int, ...]


def run_mixed(n: int, steps: Sequence[Op | Noise], initial: Array | None = None) -> Array:
    """The final density matrix."""
    state = zero_state(n) if initial is None else np.asarray(initial, dtype=complex)
    rho = np.outer(state, state.conj())
    for step in steps:
        if isinstance(step, Noise):
            matrices = [embed(np.asarray(k), step.wires, n) for k in step.kraus]
        else:
            matrices = [op_matrix(step, n)]
        rho = sum(m @ rho @ m.conj().T for m in matrices)
    return np.asarray(rho)


def mixed_expectation(rho: Array, operator: Array) -> float:
    return float(np.trace(operator @ rho).real)


def random_kraus(k: int, m: int, rng: np.random.Generator) -> Array:
    """m operators on k wires, the blocks of a random isometry."""
    size = 2**k
    q, _ = np.linalg.qr(rng.normal(size=(m * size, size)) + 1j * rng.normal(size=(m * size, size)))
    return np.asarray(q.reshape(m, size, size))
