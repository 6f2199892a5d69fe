"""Numbers of blocks: coefficients for the kernels of numba_tiles.py, and gradients from the products those sum.

Owns: a block's matrices and their derivatives. May not know: states, threads.

A row's matrix on a pair is what it does to the two indices that stand for all pairs of one parity s, so it need not be
known how its masks lie to those of the block. A block is the product of its rows; the derivative by one of their angles
is later G later^-1 times the block, with G the row's generator and `later` what follows in the block.
"""

from __future__ import annotations

import numpy as np

from . import numba_tiles as tiles
from .numba_kernels import (
    _TURNS,
    EXP_DIAG,
    FIXED,
    KRAUS,
    OP,
    PAIR_ROT,
    PAULI_ROT,
    PAYLOAD,
    PHASE,
    SLOT,
    TURNS,
    VALUE,
    K,
    X,
    Z,
    _angle,
    _chosen,
    _coefficients,
    _gather,
    _is_identity,
    _jit,
    _jit_kernel,
    _popcount,
    _shift,
    _spread,
)
from .numba_lanes import BYTES


@_jit
def _embed(row, m, outside, i, x, out):
    """out (4): the row's matrix on i, i ^ x from what _coefficients gives; `outside` where controls fail."""
    fixed, value, z = row[FIXED], row[VALUE], row[Z]
    out[0], out[1], out[2], out[3] = outside, 0.0, 0.0, outside
    for side in range(2):
        j = i ^ x if side else i
        if j & fixed != value:
            continue
        odd = _popcount(j & z) & 1
        if row[X] == 0:
            out[3 * side] = m[odd]
        else:  # j is the first of the pair
            sign = 1.0 - 2.0 * odd
            out[3 * side], out[3 - 3 * side] = m[0], m[3]
            out[1 + side], out[2 - side] = sign * m[1], sign * m[2]
            return


@_jit
def _generator(row, m):
    """As _coefficients: the derivative by the angle, times the inverse."""
    op = row[OP]
    if op == PHASE:
        m[0] = m[1] = 1.0j
    elif op == PAULI_ROT and row[X] == 0:
        m[0], m[1] = -0.5j, 0.5j
    elif op == PAULI_ROT:
        word = -0.5j * _TURNS[row[TURNS]]
        m[0], m[1], m[2], m[3] = 0.0, word * (1.0 - 2.0 * (row[TURNS] & 1)), word, 0.0
    elif op == PAIR_ROT:
        m[0], m[1], m[2], m[3] = 0.0, -0.5, 0.5, 0.0


@_jit
def _times(a, b, out):
    """out = a b, 2x2; out may be one of them."""
    m, n, u, v = (
        a[0] * b[0] + a[1] * b[2],
        a[0] * b[1] + a[1] * b[3],
        a[2] * b[0] + a[3] * b[2],
        a[2] * b[1] + a[3] * b[3],
    )
    out[0], out[1], out[2], out[3] = m, n, u, v


@_jit
def _adjoint(m):
    m[0], m[1], m[2], m[3] = np.conj(m[0]), np.conj(m[2]), np.conj(m[1]), np.conj(m[3])


@_jit
def _representative(block, s):
    return block[tiles.BVALUE] | (block[tiles.BZ] & -block[tiles.BZ] if s else 0)


@_jit
def _bind_pairs(block, members, table, reals, pool, slots, way, lanes, c):
    both, exact, one = np.zeros((2, 4), np.complex128), np.zeros(4, np.complex128), np.zeros(4, np.complex128)
    both[:, 0] = both[:, 3] = 1.0
    for p in members[block[tiles.FIRST] : block[tiles.LAST]]:
        _coefficients(table[p], _angle(table[p], reals[p], slots), pool, 1.0, exact)
        for s in range(2):
            _embed(table[p], exact, 1.0, _representative(block, s), block[tiles.BX], one)
            _times(one, both[s], both[s])
    if way < 0:
        _adjoint(both[0])
        _adjoint(both[1])
    pairs, k = block[tiles.KIND] == tiles.PAIRS, block[tiles.COEF]
    for s in range(2):
        for side in range(2 if pairs else 1):
            for lane in range(lanes):
                place, parity = tiles._place(block, s, side, lane, lanes)
                mine, other = 1.0 + 0.0j, 0.0j
                if place >= 0:
                    mine, other = both[parity, 3 * place], both[parity, 1 + place]
                c[k + lane], c[k + lanes + lane] = mine.real, mine.imag
                if pairs:
                    c[k + 2 * lanes + lane], c[k + 3 * lanes + lane] = other.real, other.imag
            k += 4 * lanes if pairs else 2 * lanes


@_jit
def _bind_table(block, row, angle, pool, way, lanes, c):
    """Factors, and behind them the derivatives of their angles."""
    n_rows, shift = _popcount(block[tiles.ROW_Z]), _shift(row[Z])
    entries = np.int64(1) << _popcount(row[Z] & -lanes)
    for e in range(entries):
        i = block[tiles.START] | _spread(e, block[tiles.ROWS_Z]) | _spread(e >> n_rows, block[tiles.OUT_Z])
        k, slope = block[tiles.COEF] + 2 * lanes * e, block[tiles.COEF] + lanes * (2 * entries + e)
        for lane in range(lanes):
            factor, d = 1.0 + 0.0j, 0.0
            if (i | lane) & block[tiles.BFIXED] == block[tiles.BVALUE]:
                entry = row[PAYLOAD] + _gather(i | lane, row[Z], shift) * (1 if row[OP] == EXP_DIAG else 2)
                if row[OP] == EXP_DIAG:
                    d = pool[entry]
                    factor = complex(np.cos(angle * d), way * np.sin(angle * d))
                else:
                    factor = complex(pool[entry], way * pool[entry + 1])
            c[k + lane], c[k + lanes + lane], c[slope + lane] = factor.real, factor.imag, d


@_jit
def _bind_matrix(block, row, pool, payload, way, lanes, c, k):
    """The matrix at `payload`, or its adjoint where way is -1, to c from k on."""
    x = row[X]
    shift, size = _shift(x), np.int64(1) << row[K]
    rows, turns = np.int64(1) << _popcount(x & -lanes), np.int64(1) << _popcount(block[tiles.LANE_X])
    for e in range(rows):
        for f in range(rows):
            for turn in range(turns):
                for lane in range(lanes):
                    to = block[tiles.START] | _spread(e, x & -lanes) | lane
                    of = block[tiles.START] | _spread(f, x & -lanes) | (lane ^ _spread(turn, block[tiles.LANE_X]))
                    factor = complex(1.0 if to == of else 0.0, 0.0)
                    if to & ~x & block[tiles.BFIXED] == block[tiles.BVALUE]:
                        a, b = _gather(to, x, shift), _gather(of, x, shift)
                        entry = payload + 2 * (a * size + b if way > 0 else b * size + a)
                        factor = complex(pool[entry], way * pool[entry + 1])
                    c[k + lane], c[k + lanes + lane] = factor.real, factor.imag
                k += 2 * lanes


@_jit_kernel
def acting(blocks, members, table, reals, pool, slots):
    """The blocks without those that are but a KRAUS whose chosen matrix is the identity."""
    out, count = np.empty_like(blocks), 0
    for o in range(blocks.shape[0]):
        p = members[blocks[o, tiles.FIRST]]
        if table[p, OP] == KRAUS:
            payload, _ = _chosen(table[p], _angle(table[p], reals[p], slots))
            if _is_identity(pool, payload, table[p, K]):
                continue
        out[count] = blocks[o]
        count += 1
    return out[:count]


@_jit_kernel
def bind(blocks, members, table, reals, pool, slots, way, c):
    """Fill the coefficients c of all blocks, of their inverses where way is -1; members are rows of the table."""
    lanes = np.int64(BYTES // c.itemsize)
    for o in range(blocks.shape[0]):
        block = blocks[o]
        p = members[block[tiles.FIRST]]
        if block[tiles.KIND] == tiles.TABLE:
            _bind_table(block, table[p], _angle(table[p], reals[p], slots), pool, way, lanes, c)
        elif block[tiles.KIND] == tiles.MATRIX:
            at, way_of_ket = table[p, PAYLOAD], way
            if table[p, OP] == KRAUS:
                at, inverse = _chosen(table[p], _angle(table[p], reals[p], slots))
                if way < 0:
                    _bind_matrix(block, table[p], pool, at, way, lanes, c, block[tiles.BRAS])
                    at, way_of_ket = inverse, -way
            _bind_matrix(block, table[p], pool, at, way_of_ket, lanes, c, block[tiles.COEF])
        else:
            _bind_pairs(block, members, table, reals, pool, slots, way, lanes, c)


@_jit_kernel
def slopes(blocks, members, table, reals, pool, slots, products, out):
    """Add to out (slots) the gradients that follow from products (blocks, 16)."""
    exact, one, later = np.zeros(4, np.complex128), np.zeros(4, np.complex128), np.zeros((2, 4), np.complex128)
    for o in range(blocks.shape[0]):
        block = blocks[o]
        if not block[tiles.MEASURED]:
            continue
        if block[tiles.KIND] == tiles.TABLE:
            p = members[block[tiles.FIRST]]
            out[table[p, SLOT]] -= 2 * reals[p, 0] * products[o, 0]
            continue
        later[:] = 0
        later[:, 0] = later[:, 3] = 1.0
        for m in range(block[tiles.LAST] - 1, block[tiles.FIRST] - 1, -1):
            p = members[m]
            row = table[p]
            for s in range(2):
                i = _representative(block, s)
                if row[SLOT] >= 0:  # later generator later^-1
                    _generator(row, exact)
                    _embed(row, exact, 0.0, i, block[tiles.BX], one)
                    _times(later[s], one, one)
                    _adjoint(later[s])
                    _times(one, later[s], one)
                    _adjoint(later[s])
                    slope = 0.0
                    for e in range(4):
                        slope += one[e].real * products[o, 8 * s + 2 * e] - one[e].imag * products[o, 8 * s + 2 * e + 1]
                    out[row[SLOT]] += 2 * reals[p, 0] * slope
                _coefficients(row, _angle(row, reals[p], slots), pool, 1.0, exact)
                _embed(row, exact, 1.0, i, block[tiles.BX], one)
                _times(later[s], one, later[s])
