"""The Numba kernels: loops over amplitudes of rows of a decoded instruction table.

Owns: what an instruction does to amplitudes. May not know: threads, blocks, plans. Every kernel works on the
range [lo, hi) of "free" indices: those of the bits that an instruction does not fix, so that controls cost nothing.

A table row is (op, x, z, fixed, value, count, slot, payload, k, turns, matrices), int64; free index f stands for
amplitude i = value | (the bits of f spread over the bits outside `fixed`), `turns` is |x & z| mod 4, and `matrices` are
those that a KRAUS chooses from. Nearly all opcodes come down to two loops: `_signs` (a diagonal with two values) and
`_pairs` (2x2 blocks on i and i ^ x). States are work (g, s, N): g = 0 the kets of s samples, g > 0 bras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from ..program import Opcode

_F = TypeVar("_F", bound=Callable[..., Any])

PREPARE, PHASE, PAULI, PAULI_ROT, PAIR_ROT, SWAP, DIAG, EXP_DIAG, DENSE, KRAUS = (int(opcode) for opcode in Opcode)

OP, X, Z, FIXED, VALUE, COUNT, SLOT, PAYLOAD, K, TURNS, MATRICES = range(11)
_TURNS = (1.0 + 0.0j, 1.0j, -1.0 + 0.0j, -1.0j)

# "contract" lets a * b + c round once; nothing that would reorder a sum
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


def _jit(function: _F) -> _F:
    """For functions that only kernels call."""
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)  # type: ignore[no-any-return]


def _jit_kernel(function: _F) -> _F:
    """Compiled on first use, and kept on disk where a place for it can be written."""
    try:
        return njit(cache=True, **_OPTIONS)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # neither the package nor the user's cache
        return njit(**_OPTIONS)(function)  # type: ignore[no-any-return]


@intrinsic
def _popcount(_context: Any, _value: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.int64), codegen


@_jit
def _sign(i, z):
    return 1.0 - 2.0 * (_popcount(i & z) & 1)


@_jit
def _spread(index, mask):
    """Bits of `index`, lowest first, at the positions where `mask` has a 1."""
    out = np.int64(0)
    rest = mask
    while rest != 0 and index != 0:
        bit = rest & -rest
        if index & 1:
            out |= bit
        index >>= 1
        rest ^= bit
    return out


@_jit
def _shift(mask):
    """How far to shift when the bits of `mask` are neighbours, else -1."""
    low = mask & -mask
    return _popcount(low - 1) if _popcount(mask + low) <= 1 else -1


@_jit
def _gather(i, mask, shift):
    """The bits of i at the positions where `mask` has a 1, packed, lowest first; shift is _shift(mask)."""
    if shift >= 0:
        return (i & mask) >> shift
    out = np.int64(0)
    rest = mask
    position = 0
    while rest != 0:
        bit = rest & -rest
        if i & bit:
            out |= np.int64(1) << position
        position += 1
        rest ^= bit
    return out


@_jit
def _start(f, fixed):
    """Where the walk over free indices starts; the next place is ((i | fixed) + 1) & ~fixed."""
    return _spread(f, ~fixed & ((np.int64(1) << 62) - 1))


@_jit
def _coefficients(row, angle, pool, way, m):
    """Fill m: the diagonal (for sign +1, -1) where x == 0, else the 2x2 block, row by row; way is -1 to undo."""
    op, x = row[OP], row[X]
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    if op == PHASE:
        m[0] = m[1] = complex(np.cos(angle), np.sin(angle))
    elif op == PAULI and x == 0:
        m[0], m[1] = 1.0, -1.0
    elif op == PAULI_ROT and x == 0:
        m[0], m[1] = complex(c, -s), complex(c, s)
    elif op == PAULI or op == PAULI_ROT:
        word = _TURNS[row[TURNS]]
        flip = 1.0 - 2.0 * (row[TURNS] & 1)
        if op == PAULI_ROT:
            word = word * complex(0.0, -s)
        m[1], m[2] = word * flip, word
        m[0] = m[3] = c if op == PAULI_ROT else 0.0
    elif op == PAIR_ROT:
        m[0], m[1], m[2], m[3] = c, -s, s, c
    elif op == SWAP:
        m[0], m[1], m[2], m[3] = 0.0, 1.0, 1.0, 0.0
    elif op == DENSE and row[K] == 1:
        for e in range(4):
            m[e] = complex(pool[row[PAYLOAD] + 2 * e], pool[row[PAYLOAD] + 2 * e + 1])
    if way < 0:
        keep = m[1]
        m[0], m[3] = np.conj(m[0]), np.conj(m[3])
        if x == 0:
            m[1] = np.conj(keep)
        else:
            m[1], m[2] = np.conj(m[2]), np.conj(keep)


@_jit
def _signs(state, z, fixed, value, m, lo, hi):
    walk = _start(lo, fixed)
    for _ in range(lo, hi):
        i = walk | value
        state[i] *= m[_popcount(i & z) & 1]
        walk = ((walk | fixed) + 1) & ~fixed


@_jit
def _pairs(state, x, z, fixed, value, m, lo, hi):
    a, b, c, d = m[0], m[1], m[2], m[3]
    walk = _start(lo, fixed)
    if z == 0 and a == 0 and d == 0 and b == 1 and c == 1:  # X, CNOT, SWAP: a third of the time
        for _ in range(lo, hi):
            i = walk | value
            j = i ^ x
            state[i], state[j] = state[j], state[i]
            walk = ((walk | fixed) + 1) & ~fixed
        return
    for _ in range(lo, hi):
        i = walk | value
        j = i ^ x
        first, second = state[i], state[j]
        if _popcount(i & z) & 1:
            state[i], state[j] = a * first - b * second, d * second - c * first
        else:
            state[i], state[j] = a * first + b * second, d * second + c * first
        walk = ((walk | fixed) + 1) & ~fixed


@_jit
def _diagonal(work, b, row, angle, pool, way, factor, lo, hi):
    """DIAG and EXP_DIAG; each factor is computed once for all states of a sample."""
    z, fixed, value, payload = row[Z], row[FIXED], row[VALUE], row[PAYLOAD]
    shift = _shift(z)
    walk = _start(lo, fixed)
    for _ in range(lo, hi):
        i = walk | value
        entry = _gather(i, z, shift)
        if row[OP] == EXP_DIAG:
            theta = way * angle * pool[payload + entry]
            factor[0] = complex(np.cos(theta), np.sin(theta))
        else:
            factor[0] = complex(pool[payload + 2 * entry], way * pool[payload + 2 * entry + 1])
        for g in range(work.shape[0]):
            work[g, b, i] *= factor[0]
        walk = ((walk | fixed) + 1) & ~fixed


@_jit
def _dense(state, row, pool, payload, way, lo, hi):
    """The matrix at `payload`, or its adjoint where way is -1."""
    x, fixed, value = row[X], row[FIXED], row[VALUE]
    size = np.int64(1) << row[K]
    matrix = pool[payload : payload + 2 * size * size].view(np.complex128)
    where = np.empty(size, np.int64)
    for e in range(size):
        where[e] = _spread(e, x)
    old, new = np.empty(size, np.complex128), np.empty(size, np.complex128)
    walk = _start(lo, fixed)
    for _ in range(lo, hi):
        i = walk | value
        for e in range(size):
            old[e] = state[i | where[e]]
        if way < 0:
            for e in range(size):
                new[e] = 0
            for r in range(size):
                for e in range(size):
                    new[e] += np.conj(matrix[r * size + e]) * old[r]
        else:
            for r in range(size):
                total = 0.0 + 0.0j
                for e in range(size):
                    total += matrix[r * size + e] * old[e]
                new[r] = total
        for e in range(size):
            state[i | where[e]] = new[e]
        walk = ((walk | fixed) + 1) & ~fixed


@_jit
def _chosen(row, angle):
    """Where in the pool the matrix is that a KRAUS chooses, and where its inverse is."""
    words = np.int64(2) << 2 * row[K]
    choice = np.int64(np.floor(min(max(angle, 0.0), row[MATRICES] - 1.0) + 0.5))
    return row[PAYLOAD] + choice * words, row[PAYLOAD] + (row[MATRICES] + choice) * words


@_jit
def _is_identity(pool, payload, k):
    size = np.int64(1) << k
    for e in range(size * size):
        if pool[payload + 2 * e] != (e % (size + 1) == 0) or pool[payload + 2 * e + 1] != 0:
            return False
    return True


@_jit
def _kraus(work, b, row, angle, pool, m, way, lo, hi):
    """The chosen matrix; back, its inverse on the ket and its adjoint on the bras."""
    payload, inverse = _chosen(row, angle)
    if _is_identity(pool, payload, row[K]):
        return
    for g in range(work.shape[0]):
        at, turn = (inverse, 1.0) if way < 0 and g == 0 else (payload, way)
        if row[K] > 1:
            _dense(work[g, b], row, pool, at, turn, lo, hi)
            continue
        for e in range(4):
            m[e] = complex(pool[at + 2 * e], turn * pool[at + 2 * e + 1])
        if turn < 0:
            m[1], m[2] = m[2], m[1]
        _pairs(work[g, b], row[X], row[Z], row[FIXED], row[VALUE], m, lo, hi)


@_jit
def _prepare(state, row, pool, lo, hi):
    x, payload = row[X], row[PAYLOAD]
    shift = _shift(x)
    for i in range(lo, hi):
        if i & ~x:
            state[i] = 0
        else:
            entry = _gather(i, x, shift)
            state[i] = complex(pool[payload + 2 * entry], pool[payload + 2 * entry + 1])


@_jit
def _apply(work, b, row, angle, pool, m, way, lo, hi):
    """One instruction on all states of sample b; m holds its coefficients in their dtype."""
    op = row[OP]
    if op == DIAG or op == EXP_DIAG:
        _diagonal(work, b, row, angle, pool, way, m, lo, hi)
        return
    if op == KRAUS:
        _kraus(work, b, row, angle, pool, m, way, lo, hi)
        return
    for g in range(work.shape[0]):
        state = work[g, b]
        if op == PREPARE:
            _prepare(state, row, pool, lo, hi)
        elif op == DENSE and row[K] > 1:
            _dense(state, row, pool, row[PAYLOAD], way, lo, hi)
        elif row[X] == 0:
            _signs(state, row[Z], row[FIXED], row[VALUE], m, lo, hi)
        else:
            _pairs(state, row[X], row[Z], row[FIXED], row[VALUE], m, lo, hi)


@_jit
def _angle(row, reals, slots):
    return reals[1] + (reals[0] * slots[row[SLOT]] if row[SLOT] >= 0 else 0.0)


@_jit_kernel
def forward(work, table, reals, pool, slots, n_shared, first, last, lo, hi):
    """Apply rows first..last-1 to work (1, s, N); [lo, hi) is for a single row, all of it where hi is 0."""
    exact, m = np.zeros(4, np.complex128), np.zeros(4, work.dtype)
    for p in range(first, last):
        row = table[p]
        end = hi if hi else row[COUNT]
        for b in range(work.shape[1]):
            angle = _angle(row, reals[p], slots[b])
            if b == 0 or row[SLOT] >= n_shared:
                _coefficients(row, angle, pool, 1.0, exact)
                for e in range(4):
                    m[e] = exact[e]
            _apply(work, b, row, angle, pool, m, 1.0, lo, end)


@_jit
def _inner_signs(bra, ket, z, fixed, value, lo, hi):
    """sum sign(i) conj(bra_i) ket_i, float64."""
    real, imag = 0.0, 0.0
    walk = _start(lo, fixed)
    for _ in range(lo, hi):
        i = walk | value
        sign = _sign(i, z)
        p, q = np.float64(bra[i].real), np.float64(bra[i].imag)
        u, v = np.float64(ket[i].real), np.float64(ket[i].imag)
        real += sign * (p * u + q * v)
        imag += sign * (p * v - q * u)
        walk = ((walk | fixed) + 1) & ~fixed
    return complex(real, imag)


@_jit
def _inner_pairs(bra, ket, x, z, fixed, value, down, up, lo, hi):
    """sum sign(i) (down conj(bra_j) ket_i + up conj(bra_i) ket_j), j = i ^ x, float64."""
    first, second = 0.0 + 0.0j, 0.0 + 0.0j
    walk = _start(lo, fixed)
    for _ in range(lo, hi):
        i = walk | value
        j = i ^ x
        sign = _sign(i, z)
        first += sign * (np.conj(np.complex128(bra[j])) * np.complex128(ket[i]))
        second += sign * (np.conj(np.complex128(bra[i])) * np.complex128(ket[j]))
        walk = ((walk | fixed) + 1) & ~fixed
    return down * first + up * second


@_jit
def _inner_table(bra, ket, row, pool, lo, hi):
    """sum d[i] conj(bra_i) ket_i, float64."""
    total, shift = 0.0 + 0.0j, _shift(row[Z])
    walk = _start(lo, row[FIXED])
    for _ in range(lo, hi):
        i = walk | row[VALUE]
        d = pool[row[PAYLOAD] + _gather(i, row[Z], shift)]
        total += d * (np.conj(np.complex128(bra[i])) * np.complex128(ket[i]))
        walk = ((walk | row[FIXED]) + 1) & ~row[FIXED]
    return total


@_jit
def _inner_word(bra, ket, row, lo, hi):
    """<bra| word where the controls hold |ket>."""
    if row[X] == 0:
        return _inner_signs(bra, ket, row[Z], row[FIXED], row[VALUE], lo, hi)
    word = _TURNS[row[TURNS]]
    flip = 1.0 - 2.0 * (row[TURNS] & 1)
    return _inner_pairs(bra, ket, row[X], row[Z], row[FIXED], row[VALUE], word, word * flip, lo, hi)


@_jit
def _slope(bra, ket, row, pool, lo, hi):
    """Derivative of Re <bra|ket> by the angle, ket and bra on the same side of the gate."""
    op = row[OP]
    if op == PAULI_ROT:
        return _inner_word(bra, ket, row, lo, hi).imag
    if op == PHASE:
        return -2.0 * _inner_signs(bra, ket, row[Z], row[FIXED], row[VALUE], lo, hi).imag
    if op == PAIR_ROT:
        return _inner_pairs(bra, ket, row[X], row[Z], row[FIXED], row[VALUE], 1.0j, -1.0j, lo, hi).imag
    if op == EXP_DIAG:
        return -2.0 * _inner_table(bra, ket, row, pool, lo, hi).imag
    return 0.0


@_jit_kernel
def backward(work, table, reals, pool, slots, n_shared, first, last, lo, hi, out, base):
    """Rows last-1..first in reverse: add slopes to out (s, G, slots), then undo the row on all of work (1+G, s, N).

    Slopes of a range are those of its own amplitudes, so ranges are independent. out starts at slot `base`.
    """
    exact, m = np.zeros(4, np.complex128), np.zeros(4, work.dtype)
    for p in range(last - 1, first - 1, -1):
        row = table[p]
        end = hi if hi else row[COUNT]
        for b in range(work.shape[1]):
            angle = _angle(row, reals[p], slots[b])
            if b == 0 or row[SLOT] >= n_shared:
                _coefficients(row, angle, pool, -1.0, exact)
                for e in range(4):
                    m[e] = exact[e]
            if row[SLOT] >= 0:
                for g in range(1, work.shape[0]):
                    slope = _slope(work[g, b], work[0, b], row, pool, lo, end)
                    out[b, g - 1, row[SLOT] - base] += reals[p, 0] * slope
            _apply(work, b, row, angle, pool, m, -1.0, lo, end)
