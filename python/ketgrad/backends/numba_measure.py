"""Numba kernels that read a state: probabilities and samples, in float64.

Owns: how an index is drawn. May not know: instructions, threads, who made the state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .numba_kernels import _jit_kernel

SAMPLE_BLOCK = 256  # amplitudes whose probabilities are summed before the search


@_jit_kernel
def probabilities(state: Any, bits: Any, shift: int, lo: int, hi: int, out: Any) -> None:
    """Add |state[i]|^2 for i in [lo, hi) to the outcome of i on `bits`, the first bit the most significant.

    shift is the last bit where the bits are neighbours and descend, else -1.
    """
    for i in range(lo, hi):
        outcome = np.int64(0)
        if shift >= 0:
            outcome = (i >> shift) & (out.shape[0] - 1)
        else:
            for q in range(bits.shape[0]):
                outcome = (outcome << 1) | ((i >> bits[q]) & 1)
        out[outcome] += np.float64(state[i].real) ** 2 + np.float64(state[i].imag) ** 2


@_jit_kernel
def block_norms(state: Any, lo: int, hi: int, out: Any) -> None:
    """out[q] = sum of |state|^2 over block q of SAMPLE_BLOCK amplitudes, for blocks lo..hi-1."""
    for q in range(lo, hi):
        total = 0.0
        for i in range(q * SAMPLE_BLOCK, min(state.shape[0], (q + 1) * SAMPLE_BLOCK)):
            total += np.float64(state[i].real) ** 2 + np.float64(state[i].imag) ** 2
        out[q] = total


@_jit_kernel
def sample(state: Any, cumulative: Any, uniforms: Any, lo: int, hi: int, out: Any) -> None:
    """out[s] = the index at which the cumulative distribution passes uniforms[s]; cumulative (blocks) is inclusive."""
    total = cumulative[-1]
    for shot in range(lo, hi):
        target = uniforms[shot] * total
        q, end = 0, cumulative.shape[0] - 1
        while q < end:
            middle = (q + end) // 2
            if cumulative[middle] > target:
                end = middle
            else:
                q = middle + 1
        while q > 0 and cumulative[q] == cumulative[q - 1]:
            q -= 1
        running = cumulative[q - 1] if q > 0 else 0.0
        chosen = -1
        for i in range(q * SAMPLE_BLOCK, min(state.shape[0], (q + 1) * SAMPLE_BLOCK)):
            p = np.float64(state[i].real) ** 2 + np.float64(state[i].imag) ** 2
            if p > 0.0:
                chosen = i
                running += p
                if running > target:
                    break
        out[shot] = chosen
