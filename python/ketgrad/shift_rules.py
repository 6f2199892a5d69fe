"""Parameter-shift rules from frequencies, and shifted states from few of them: pure mathematics.

Owns: `shift_rule`. Source: D. Wierichs, J. Izaac, C. Wang, C. Y.-Y. Lin, "General parameter-shift rules for quantum
gradients", Quantum 6, 677 (2022), arXiv:2107.12390, equations 25 and 26. The state itself is a trigonometric polynomial
of an angle, too, with the eigenvalues of the generator for frequencies: `node_shifts` and `node_weights`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .errors import NotDifferentiableError

Array = npt.NDArray[np.float64]
MAX_FREQUENCIES = 64


def shift_rule(frequencies: Sequence[float]) -> tuple[Array, Array]:
    """Coefficients c and shifts s with f'(t) = sum c_k f(t + s_k) for every f with these frequencies.

    Two terms for one frequency, four for two, 2 R for R.

    Args:
        frequencies: positive and distinct.

    Raises:
        NotDifferentiableError: none, or more than 64, frequencies; or a rule that would not be accurate.
    """
    return _rule(tuple(round(float(f), 12) for f in sorted(frequencies)))


@lru_cache(maxsize=256)
def _rule(frequencies: tuple[float, ...]) -> tuple[Array, Array]:
    count = len(frequencies)
    if not count:
        return np.zeros(0), np.zeros(0)
    if count > MAX_FREQUENCIES:
        raise NotDifferentiableError(
            f"a parameter-shift rule for {count} frequencies needs {2 * count} evaluations a gate, more than the "
            f"{2 * MAX_FREQUENCIES} allowed; use method='adjoint'"
        )
    omega = np.array(frequencies)
    base = frequencies[0]
    if np.allclose(omega, base * np.arange(1, count + 1), rtol=1e-9):
        mu = np.arange(1, 2 * count + 1)
        shifts = (2 * mu - 1) * np.pi / (2 * count)
        coefficients = (-1.0) ** (mu - 1) / (4 * count * np.sin(shifts / 2) ** 2)
        shifts = np.where(shifts > np.pi, shifts - 2 * np.pi, shifts)
        return base * coefficients, shifts / base
    # the odd part of f determines f'(0): sum_k c_k 2 sin(w s_k) = w for every frequency w
    positive = (2 * np.arange(1, count + 1) - 1) * np.pi / (2 * count + 1) / omega.mean()
    system = 2 * np.sin(np.outer(omega, positive))
    if np.linalg.cond(system) > 1e6:
        raise NotDifferentiableError(
            f"the frequencies {frequencies[:4]}... give no accurate parameter-shift rule; use method='adjoint'"
        )
    half = np.linalg.solve(system, omega)
    return np.r_[half, -half], np.r_[positive, -positive]


def differences(eigenvalues: Sequence[float]) -> tuple[float, ...]:
    """The frequencies of an expectation value: positive differences of the generator's eigenvalues, ascending."""
    values = np.asarray(eigenvalues, dtype=float)
    gaps = np.unique(np.round(np.abs(values[:, None] - values[None, :]), 10))
    return tuple(float(g) for g in gaps if g > 1e-9)


def node_shifts(eigenvalues: Sequence[float]) -> Array | None:
    """Shifts t_1 .. t_(d-1) whose states, with the unshifted one, span those of all shifts; None where there are none.

    For d equidistant eigenvalues at a distance of h: t_j = 2 pi j / (d h), which makes `node_weights` a unitary
    Fourier transform. Pauli rotations (d = 2, h = 1) have the node pi, controlled ones (d = 3, h = 1/2) two.
    """
    values = np.sort(np.asarray(eigenvalues, dtype=float))
    gaps = np.diff(values)
    if not len(gaps) or np.ptp(gaps) > 4e-12 * max(1.0, gaps[0]):
        return None
    return np.asarray(2 * np.pi * np.arange(1, len(values)) / (len(values) * gaps[0]))


def node_weights(eigenvalues: Sequence[float], shifts: npt.ArrayLike) -> npt.NDArray[np.complex128]:
    """(K, d) weights of the states at 0 and at the nodes that add up to the states at K shifts.

    A state is psi(s) = sum_v exp(i s v) psi_v over the generator's eigenvalues v, so w_j(s) = 1/d sum_v
    exp(i v (s - t_j)).
    """
    nodes = node_shifts(eigenvalues)
    assert nodes is not None
    away = np.subtract.outer(np.asarray(shifts, dtype=float), np.r_[0.0, nodes])
    return np.asarray(np.exp(1j * away[..., None] * np.asarray(eigenvalues, dtype=float)).mean(axis=-1))
