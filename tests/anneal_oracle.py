"""Anneals by other means: dense matrices, symmetric states, free fermions. Nothing here comes from the product."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

X, Z, ONE = np.array([[0.0, 1], [1, 0]]), np.diag([1.0, -1]), np.eye(2)
Along = Callable[[float], tuple[float, float]]  # time -> A, B


def on(n: int, *factors: tuple[int, Any]) -> np.ndarray:
    """A product of matrices on some of n spins, the first the leftmost factor."""
    return reduce(np.kron, [dict(factors).get(k, ONE) for k in range(n)])


def driver(n: int) -> np.ndarray:
    """The sum of X, (2^n, 2^n)."""
    return sum(on(n, (k, X)) for k in range(n))


def problem_matrix(problem: Any) -> np.ndarray:
    """H_P of an Ising, (2^n, 2^n)."""
    n = problem.n
    out = problem.offset * np.eye(2**n)
    for k, h in enumerate(problem.fields):
        out += h * on(n, (k, Z))
    for (i, j), c in zip(problem.pairs, problem.couplings, strict=True):
        out += c * on(n, (i, Z), (j, Z))
    return out


def evolved(drive: np.ndarray, diagonal: np.ndarray, start: np.ndarray, along: Along, kinks: Any) -> np.ndarray:
    """The state at the last of some times between which H(t) = -A drive + B diagonal is smooth."""

    def slope(t: float, psi: np.ndarray) -> np.ndarray:
        a, b = along(t)
        return -1j * (-a * (drive @ psi) + b * diagonal * psi)

    psi = start.astype(complex)
    for t0, t1 in zip(kinks, kinks[1:], strict=False):
        psi = solve_ivp(slope, (t0, t1), psi, method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    return psi


def symmetric(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sum of X among the symmetric states by number of spins -1, and the uniform state."""
    n = len(weights) - 1
    w = np.arange(n)
    beside = np.sqrt((w + 1.0) * (n - w))
    logs = np.cumsum(np.log(np.append(1.0, (n - w) / (w + 1.0))))
    return np.diag(beside, 1) + np.diag(beside, -1), np.exp((logs - n * np.log(2)) / 2)


def symmetric_success(weights: np.ndarray, time: float, steps: int, scale: float = 1.0) -> float:
    """Probability of weight 0 after a linear anneal, A = scale (1 - s), B = s, by second-order steps."""
    drive, psi = symmetric(weights)
    values, vectors = np.linalg.eigh(drive)
    h, psi = time / steps, psi.astype(complex)
    for k in range(steps):
        s = (k + 0.5) / steps
        half = np.exp(-0.5j * h * s * weights)
        psi = half * (vectors @ (np.exp(1j * h * scale * (1 - s) * values) * (vectors.T @ (half * psi))))
    return float(abs(psi[0]) ** 2)


def kink_density(n: int, time: float, steps: int = 400) -> float:
    """Kinks a site of the ferromagnetic ring after H = -(1 - t/T) sum X - (t/T) sum ZZ, T = time, by free fermions.

    Modes k = pi (2 m - 1) / n: i d/dt psi_k = 2 ((A - B cos k) tau_z + B sin k tau_x) psi_k, from the ground state;
    kinks are excitations above the final ground state. J. Dziarmaga, Phys. Rev. Lett. 95, 245701 (2005).
    """
    tau_z, tau_x, h = np.diag([1.0, -1]), np.array([[0.0, 1], [1, 0]]), time / steps
    k = (np.pi * (2 * np.arange(1, n // 2 + 1) - 1) / n)[:, None, None]

    def at(s: float) -> np.ndarray:
        return 2 * ((1 - s - s * np.cos(k)) * tau_z + s * np.sin(k) * tau_x)

    psi = np.tile(np.array([[0], [1]], dtype=complex), (n // 2, 1, 1))
    for j in range(steps):  # fourth-order Magnus
        u, v = at((j + 0.5 - 3**0.5 / 6) / steps), at((j + 0.5 + 3**0.5 / 6) / steps)
        values, vectors = np.linalg.eigh(0.5 * h * (u + v) - 1j * 3**0.5 / 12 * h * h * (v @ u - u @ v))
        psi = vectors @ (np.exp(-1j * values)[..., None] * (vectors.conj().swapaxes(1, 2) @ psi))
    excited = np.linalg.eigh(at(1.0))[1][:, :, 1:]
    return float((np.abs(excited.conj().swapaxes(1, 2) @ psi) ** 2).sum() * 2 / n)
