"""The Numba kernels of a large state: a tile is read, goes through all blocks of a pass, and is written back.

Owns: what the blocks of numba_passes.py do to a tile. May not know: threads, how blocks were chosen.

A tile is an array of groups: the lanes' real parts, then their imaginary parts; a lane is the low bits of an index, the
rows are the tile's other bits packed. Coefficients are one number for each lane, so a control or a sign on a low bit
costs nothing; those that depend on rows are looked up by the parity s, those on bits outside the tile by `base`.
Every element computes A self + B partner, where the partner has all x bits flipped; "side" says which of two rows.
"""

from __future__ import annotations

import numpy as np

from .numba_kernels import _gather, _jit, _jit_kernel, _popcount, _shift, _spread, _start
from .numba_lanes import BYTES, FLIPS, evens, load, odds, store, zeros, zip_high, zip_low

PAIRS, SIGNS, TABLE, MATRIX = range(4)
FLUSH = 256  # rows whose products are summed in the precision of the state

# Columns of a block: its kind; its masks x, z, fixed, value; the value beyond the lanes, and a bit that makes s = 1; on
# packed rows x, z, fixed (one bit of x among them), value, how many are free; x on lanes; on bits outside the tile z,
# fixed, value; z on rows, unpacked; where its coefficients and members are; whether it has an angle with a slot; where
# its coefficients for bras are.
(KIND, BX, BZ, BFIXED, BVALUE, START, PARITY, ROW_X, ROW_Z, FREE, FREE_VALUE, COUNT, LANE_X, OUT_Z, OUT_FIXED,
 OUT_VALUE, ROWS_Z, COEF, FIRST, LAST, MEASURED, BRAS) = range(22)  # fmt: skip
COLUMNS = 22
_flip1, _flip2, _flip4, _flip8 = FLIPS


@_jit
def _place(block, s, side, lane, lanes):
    """Of an element: its row in the block's matrices, -1 where controls fail; and which matrix."""
    x, fixed, value = block[BX], block[BFIXED], block[BVALUE]
    i = block[START] | (block[PARITY] if s else 0)
    i = (i ^ (x & -lanes) if side else i) | lane
    if i & fixed == value:
        return 0, _popcount(i & block[BZ]) & 1
    i ^= x
    if x and i & fixed == value:
        return 1, _popcount(i & block[BZ]) & 1
    return -1, 0


@_jit
def _flipped(lanes, x):
    """Position l takes from l ^ x."""
    if x & 1:
        lanes = _flip1(lanes, lanes)
    if x & 2:
        lanes = _flip2(lanes, lanes)
    if x & 4:
        lanes = _flip4(lanes, lanes)
    if x & 8:
        lanes = _flip8(lanes, lanes)
    return lanes


# a tile


@_jit
def _pack(state, base, rows, tile, at):
    """state holds real and imaginary parts in turns; rows is the mask of the tile's bits beyond the lanes."""
    size, row, p = BYTES // tile.itemsize, np.int64(0), at
    for _ in range(np.int64(1) << _popcount(rows)):
        q = 2 * (base | row)
        low, high = load(state, q), load(state, q + size)
        store(tile, p, evens(low, high))
        store(tile, p + size, odds(low, high))
        p += 2 * size
        row = ((row | ~rows) + 1) & rows


@_jit
def _unpack(state, base, rows, tile, at):
    size, row, p = BYTES // tile.itemsize, np.int64(0), at
    for _ in range(np.int64(1) << _popcount(rows)):
        q = 2 * (base | row)
        real, imag = load(tile, p), load(tile, p + size)
        store(state, q, zip_low(real, imag))
        store(state, q + size, zip_high(real, imag))
        p += 2 * size
        row = ((row | ~rows) + 1) & rows


@_jit
def _room(like, size):
    """An array of the same dtype and a position in it on a cache line with `size` numbers behind."""
    room = np.empty(size + BYTES // like.itemsize, like.dtype)
    return room, (-room.ctypes.data % BYTES) // like.itemsize


# blocks on a tile


@_jit
def _mixed(c, k, size, a, b, p, q):
    """A (a + ib) + B (p + iq), with A and B in c from k on."""
    m, n, u, v = load(c, k), load(c, k + size), load(c, k + 2 * size), load(c, k + 3 * size)
    return m * a - n * b + u * p - v * q, m * b + n * a + u * q + v * p


@_jit
def _pairs(tile, at, block, c, s0):
    """A 2x2 matrix on all pairs: of rows, of rows with lanes exchanged, or of lanes of one row."""
    size = BYTES // tile.itemsize
    x, z, fixed, value, flip = block[ROW_X], block[ROW_Z], block[FREE], block[FREE_VALUE], block[LANE_X]
    walk = np.int64(0)
    for _ in range(block[COUNT]):
        i = walk | value
        k = block[COEF] + (s0 ^ (_popcount(i & z) & 1)) * 8 * size
        p = at + i * 2 * size
        a, b = load(tile, p), load(tile, p + size)
        if x == 0:
            a, b = _mixed(c, k, size, a, b, _flipped(a, flip), _flipped(b, flip))
            store(tile, p, a)
            store(tile, p + size, b)
        else:
            q = at + (i ^ x) * 2 * size
            u, v = load(tile, q), load(tile, q + size)
            if flip == 0:
                d, e = _mixed(c, k, size, a, b, u, v)
                u, v = _mixed(c, k + 4 * size, size, u, v, a, b)
            else:
                d, e = _mixed(c, k, size, a, b, _flipped(u, flip), _flipped(v, flip))
                u, v = _mixed(c, k + 4 * size, size, u, v, _flipped(a, flip), _flipped(b, flip))
            store(tile, p, d)
            store(tile, p + size, e)
            store(tile, q, u)
            store(tile, q + size, v)
        walk = ((walk | fixed) + 1) & ~fixed


@_jit
def _entry(block, i, z, shift, s0):
    """Which coefficients of a diagonal row i has; s0 is what bits outside the tile say."""
    if block[KIND] == SIGNS:
        return s0 ^ (_popcount(i & z) & 1)
    return s0 | _gather(i, z, shift)


@_jit
def _diagonal(tile, at, block, c, s0):
    """A factor for each element: two of them by a parity, or a table."""
    size = BYTES // tile.itemsize
    z, fixed, value, shift = block[ROW_Z], block[FREE], block[FREE_VALUE], _shift(block[ROW_Z])
    walk = np.int64(0)
    for _ in range(block[COUNT]):
        i = walk | value
        k = block[COEF] + _entry(block, i, z, shift, s0) * 2 * size
        p = at + i * 2 * size
        a, b, m, n = load(tile, p), load(tile, p + size), load(c, k), load(c, k + size)
        store(tile, p, m * a - n * b)
        store(tile, p + size, m * b + n * a)
        walk = ((walk | fixed) + 1) & ~fixed


@_jit
def _matrix(tile, at, block, c, coefficients):
    """DENSE of several qubits, KRAUS: for each of the rows it mixes, a sum over them, lanes exchanged in all ways."""
    size = BYTES // tile.itemsize
    x, fixed, value, flip = block[ROW_X], block[FREE], block[FREE_VALUE], block[LANE_X]
    rows, turns = np.int64(1) << _popcount(x), np.int64(1) << _popcount(flip)
    old, start = _room(tile, rows * turns * 2 * size)
    walk = np.int64(0)
    for _ in range(block[COUNT]):
        i = walk | value
        q = start
        for e in range(rows):
            p = at + (i | _spread(e, x)) * 2 * size
            a, b = load(tile, p), load(tile, p + size)
            for turn in range(turns):
                to = _spread(turn, flip)
                store(old, q, _flipped(a, to))
                store(old, q + size, _flipped(b, to))
                q += 2 * size
        k = coefficients
        for e in range(rows):
            p = at + (i | _spread(e, x)) * 2 * size
            real, imag = zeros(old), zeros(old)
            for q in range(start, start + rows * turns * 2 * size, 2 * size):
                a, b, m, n = load(old, q), load(old, q + size), load(c, k), load(c, k + size)
                real, imag = real + m * a - n * b, imag + m * b + n * a
                k += 2 * size
            store(tile, p, real)
            store(tile, p + size, imag)
        walk = ((walk | fixed) + 1) & ~fixed


@_jit
def _outside(block, base):
    """What the bits outside the tile say: -1 where controls fail, else the parity or the entry of a table."""
    if base & block[OUT_FIXED] != block[OUT_VALUE]:
        return np.int64(-1)
    if block[KIND] == TABLE:
        return _gather(base, block[OUT_Z], np.int64(-1)) << _popcount(block[ROW_Z])
    return _popcount(base & block[OUT_Z]) & 1


@_jit
def _run(tile, at, block, c, s0, g):
    """State g, the ket or a bra."""
    if block[KIND] == PAIRS:
        _pairs(tile, at, block, c, s0)
    elif block[KIND] == MATRIX:
        _matrix(tile, at, block, c, block[BRAS if g else COEF])
    else:
        _diagonal(tile, at, block, c, s0)


# products conj(bra) ket of a block, from which its gradients follow


@_jit
def _add_products(sums, k, size, a, b, p, q):
    """conj(a + ib) (p + iq) to sums at k."""
    store(sums, k, load(sums, k) + a * p + b * q)
    store(sums, k + size, load(sums, k + size) + a * q - b * p)


@_jit
def _pair_products(tiles, bra, ket, block, s0, lo, hi, sums, at):
    """(s, side, self or partner) products of elements and their partners."""
    size = BYTES // tiles.itemsize
    x, z, fixed, value, flip = block[ROW_X], block[ROW_Z], block[FREE], block[FREE_VALUE], block[LANE_X]
    walk = _start(lo, fixed)
    for _ in range(lo, hi):
        i = walk | value
        k = at + (s0 ^ (_popcount(i & z) & 1)) * 8 * size
        for side in range(2 if x else 1):
            p, q = (i ^ x if side else i) * 2 * size, (i if side else i ^ x) * 2 * size
            a, b = load(tiles, bra + p), load(tiles, bra + p + size)
            _add_products(sums, k, size, a, b, load(tiles, ket + p), load(tiles, ket + p + size))
            u, v = load(tiles, ket + q), load(tiles, ket + q + size)
            if flip:
                u, v = _flipped(u, flip), _flipped(v, flip)
            _add_products(sums, k + 2 * size, size, a, b, u, v)
            k += 4 * size
        walk = ((walk | fixed) + 1) & ~fixed


@_jit
def _diagonal_products(tiles, bra, ket, block, s0, lo, hi, sums, at):
    size = BYTES // tiles.itemsize
    z, fixed, value, shift = block[ROW_Z], block[FREE], block[FREE_VALUE], _shift(block[ROW_Z])
    walk = _start(lo, fixed)
    for _ in range(lo, hi):
        i = walk | value
        k = at + _entry(block, i, z, shift, s0) * 2 * size
        p, q = bra + i * 2 * size, ket + i * 2 * size
        _add_products(sums, k, size, load(tiles, p), load(tiles, p + size), load(tiles, q), load(tiles, q + size))
        walk = ((walk | fixed) + 1) & ~fixed


@_jit
def _width(block, size):
    """How many sums the products of a block have."""
    if block[KIND] == PAIRS:
        return 16 * size
    return 2 * size << (_popcount(block[BZ] & ~(size - 1)) if block[KIND] == TABLE else 1)


@_jit
def _measure(tiles, bra, ket, block, c, s0, sums, at, total, out):
    """Add to out (16): the products summed by (s, row, column) of the block's matrices; of a table, in out[0]."""
    size = BYTES // tiles.itemsize
    width = _width(block, size)
    total[:width] = 0
    for lo in range(0, block[COUNT], FLUSH):
        sums[at : at + width] = 0
        hi = min(lo + FLUSH, block[COUNT])
        if block[KIND] == PAIRS:
            _pair_products(tiles, bra, ket, block, s0, lo, hi, sums, at)
        else:
            _diagonal_products(tiles, bra, ket, block, s0, lo, hi, sums, at)
        for e in range(width):
            total[e] += sums[at + e]
    if block[KIND] == TABLE:
        for e in range(0, width // 2, size):
            for lane in range(size):
                out[0] += c[block[COEF] + width + e + lane] * total[2 * e + size + lane]
        return
    for e in range(width // (2 * size)):  # (s, side, which) of pairs, s of signs
        s, side, which = (e >> 2, e >> 1 & 1, e & 1) if block[KIND] == PAIRS else (e, 0, 0)
        for lane in range(size):
            place, parity = _place(block, s, side, lane, size)
            if place >= 0:
                k = 8 * parity + 4 * place + 2 * (place ^ which)
                out[k] += total[2 * e * size + lane]
                out[k + 1] += total[(2 * e + 1) * size + lane]


@_jit_kernel
def sweep(work, blocks, c, rows, outer, lo, hi, way, out):
    """Tiles lo..hi-1 of work (1 + G, 2N reals), a ket and G bras, through all blocks; t's bits are spread on `outer`.

    Where way is -1, c undoes the blocks, they are taken backwards, and out (G, blocks, 16) gets their products.
    """
    each, lanes = np.int64(2 * BYTES // work.itemsize) << _popcount(rows), np.int64(BYTES // work.itemsize)
    tiles, at = _room(work, each * work.shape[0])
    most = 0
    for o in range(blocks.shape[0]):
        most = max(most, _width(blocks[o], lanes))
    sums, start = _room(work, most)
    total = np.empty(most)
    for t in range(lo, hi):
        base = _spread(t, outer)
        for g in range(work.shape[0]):
            _pack(work[g], base, rows, tiles, at + g * each)
        for step in range(blocks.shape[0]):
            o = step if way > 0 else blocks.shape[0] - 1 - step
            s0 = _outside(blocks[o], base)
            if s0 < 0:
                continue
            if way < 0 and blocks[o, MEASURED]:
                for g in range(1, work.shape[0]):
                    _measure(tiles, at + g * each, at, blocks[o], c, s0, sums, start, total, out[g - 1, o])
            for g in range(work.shape[0]):
                _run(tiles, at + g * each, blocks[o], c, s0, g)
        for g in range(work.shape[0]):
            _unpack(work[g], base, rows, tiles, at + g * each)
