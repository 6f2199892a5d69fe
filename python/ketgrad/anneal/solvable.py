"""Anneals that can be followed exactly for any size: costs of the number of ones, and the ferromagnetic ring.

Owns: quantum and Metropolis dynamics in the n + 1 states of the number of ones, and the ring's kinks by free fermions.
They check the engines, and carry the tunnelling demonstration beyond the sizes that a statevector holds. May not know:
engines.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ParameterError
from ..expressions import real_array
from .problem import Array, needed


def weight_anneal(energies: npt.ArrayLike, time: float, steps: int | None = None) -> Array:
    """(n + 1,) probabilities of the number of ones after H(t) = (1 - s) sum (1 - X) / 2 + s e(w), s = t / time.

    From the driver's ground state, which is symmetric under permutations, as the state stays. Strang's splitting, s at
    the middle of each step; the driver is diagonal in its own basis of n + 1 states.

    Args:
        energies: e (n + 1,), by the number of ones w.
        steps: default 1000 for each unit of time.

    Raises:
        ParameterError, ArgumentError: fewer than two energies, not finite; a time that is not positive.
    """
    e, n = _by_weight(energies)
    count = max(1, math.ceil(1000 * _positive("time", time))) if steps is None else int(_positive("steps", steps))
    k = np.arange(n)
    level, basis = needed("scipy.linalg").eigh_tridiagonal(np.full(n + 1, n / 2), -np.sqrt((k + 1) * (n - k)) / 2)
    state, dt = basis[:, 0].astype(complex), time / count
    for s in (np.arange(count) + 0.5) / count:
        half = np.exp(-0.5j * dt * s * e)
        state = half * (basis @ (np.exp(-1j * dt * (1 - s) * level) * (basis.T @ (half * state))))
    return np.asarray(np.abs(state) ** 2)


def metropolis_chain(energies: npt.ArrayLike, betas: npt.ArrayLike) -> Array:
    """Probabilities of the number of ones after single-spin Metropolis updates, without sampling.

    From random spins; each update proposes to turn a spin drawn at random, so a sweep is n updates. What it does to
    w depends on w only, so the chain on 2^n states is exactly one of births and deaths on n + 1.

    Args:
        energies: (n + 1,), by the number of ones.
        betas: (updates,) inverse temperatures; or (updates, K), for K chains at once.

    Returns:
        (n + 1,), or (K, n + 1).
    """
    e, n = _by_weight(energies)
    b = real_array(betas, "betas")
    if b.ndim not in (1, 2) or (b < 0).any():
        raise ParameterError(f"betas are inverse temperatures (updates,) or (updates, K) of at least 0, got {b.shape}")
    rows, w = b.reshape(len(b), -1, 1), np.arange(n + 1)
    p = np.tile(_binomial(n), (rows.shape[1], 1))
    rise, fall = np.maximum(0.0, np.diff(e)), np.maximum(0.0, -np.diff(e))
    for beta in rows:
        up = (n - w[:-1]) / n * np.exp(-beta * rise)  # from w to w + 1
        down = w[1:] / n * np.exp(-beta * fall)  # from w + 1 to w
        flow = p[:, :-1] * up - p[:, 1:] * down
        p[:, :-1] -= flow
        p[:, 1:] += flow
    return p if b.ndim == 2 else p[0]


def ring_kinks(n: int, time: float, steps: int | None = None) -> float:
    """Kinks per site of the ring after H(t) = -(1 - s) sum X - s sum Z Z, s = t / time: 1 / (pi sqrt time) if slow.

    By free fermions (Dziarmaga, Phys. Rev. Lett. 95, 245701): n / 2 independent two-level systems of momentum k. The
    law of Kibble and Zurek holds for rings that are long beside the distance of kinks.

    Args:
        n: sites, even.
        steps: default 800 for each unit of time.

    Raises:
        ArgumentError: an odd n, or a time that is not positive.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 4 or n % 2:
        raise ArgumentError(f"ring_kinks: n must be even, from 4, got {n!r}")
    count = max(1, math.ceil(800 * _positive("time", time))) if steps is None else int(_positive("steps", steps))
    momenta = np.pi * (2 * np.arange(n // 2) + 1) / n
    cos, sin, dt = np.cos(momenta), np.sin(momenta), time / count
    up, down = np.zeros(n // 2, dtype=complex), np.ones(n // 2, dtype=complex)  # the driver's ground state
    for s in (np.arange(count) + 0.5) / count:  # H_k = 2 [z sigma_z + x sigma_x], and its exponential for one step
        z, x = (1 - s) - s * cos, s * sin
        size = np.hypot(z, x)
        c, d = np.cos(2 * dt * size), -1j * np.sin(2 * dt * size) / size
        up, down = c * up + d * (z * up + x * down), c * down + d * (x * up - z * down)
    # at the end H_k = 2 [-cos k sigma_z + sin k sigma_x]: its upper state is (sin k/2, cos k/2), a pair of kinks
    excited = np.abs(np.sin(momenta / 2) * up + np.cos(momenta / 2) * down) ** 2
    return float(2 * excited.sum() / n)


def _by_weight(energies: npt.ArrayLike) -> tuple[Array, int]:
    e = real_array(energies, "energies by weight").reshape(-1)
    if len(e) < 2:
        raise ParameterError(f"energies by weight are n + 1 numbers, at least 2, got {len(e)}")
    return e, len(e) - 1


def _binomial(n: int) -> Array:
    """(n + 1,) of random spins."""
    lg = [math.lgamma(k + 1) for k in range(n + 1)]
    return np.exp([lg[n] - lg[k] - lg[n - k] - n * math.log(2) for k in range(n + 1)])


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < math.inf:
        raise ArgumentError(f"{name} must be finite and above 0, got {value!r}")
    return float(value)
