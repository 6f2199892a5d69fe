"""Symmetry verification: what leaves the sector of a symmetry is an error, and is left out.

Owns: the projected observables and the quotient. May not know: how the circuit is run.

After Bonet-Monroig et al., PRA 98, 062339 (2018), and McArdle et al., PRL 122, 180501 (2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit
from ..errors import ArgumentError, ArgumentTypeError, CircuitError
from ..pauli import I, PauliSum
from .combination import Back, Mitigated
from .member import Member
from .noisy import Compile, Noise, Observables, as_tuple, compiled, with_noise

Array = npt.NDArray[np.float64]
_LEAST = 1e-9  # of the acceptance: below it the quotient is rounding errors


class Quotient:
    """Values (B, 1, M + 1) of M numerators and a denominator -> (B, M)."""

    coefficients = None

    def __call__(self, values: Array) -> tuple[Array, Back]:
        """See `Combine`."""
        numerator, accepted = values[:, 0, :-1], values[:, 0, -1:]
        if (accepted < _LEAST).any():
            raise ArgumentError(
                f"verified: next to nothing of the state is in the sector, {accepted.min():.3g}; choose another one"
            )
        quotient = numerator / accepted

        def back(cotangents: Array) -> Array:
            by_numerator = cotangents / accepted
            by_denominator = -(by_numerator * quotient).sum(axis=1, keepdims=True)
            return np.concatenate([by_numerator, by_denominator], axis=1)[:, None]

        return quotient, back


def projector(symmetries: PauliSum | Sequence[PauliSum]) -> PauliSum:
    """The product of all (1 + S) / 2.

    Raises:
        CircuitError: an S that is not a Pauli word with sign 1 or -1, or two that do not commute.
    """
    several = (symmetries,) if isinstance(symmetries, PauliSum) else tuple(symmetries)
    if not several or not all(isinstance(s, PauliSum) for s in several):
        raise ArgumentTypeError(f"verified: symmetries are Pauli words such as kg.Z(0) @ kg.Z(1), got {symmetries!r}")
    for s in several:
        words = s.terms
        if len(words) != 1 or abs(words[0][0]) != 1 or words[0][2] or not words[0][1]:
            raise CircuitError(f"verified: a symmetry is one Pauli word with sign 1 or -1, got {s!r}")
    for k, a in enumerate(several):
        for b in several[:k]:
            if a @ b != b @ a:
                raise CircuitError(f"verified: symmetries commute with one another; {a!r} and {b!r} do not")
    halves = [(I() + s) / 2 for s in several]
    return reduce(lambda a, b: a @ b, halves)


def verified(
    circuit: Circuit,
    observables: Observables,
    symmetries: PauliSum | Sequence[PauliSum],
    noise: Noise = None,
    *,
    compile: Compile | None = None,
    **options: Any,
) -> Mitigated:
    """A model of <P O P> / <P>, P the projector on the states with S = 1 for every symmetry S.

    This is what post-selection on measured symmetries gives. Errors that commute with all symmetries stay; the cost is
    1 / <P>, and the gradient that of the quotient, exactly. Where the state without noise is not in the sector, the
    mitigated value is another one.

    Args:
        circuit: with channels, or without and `noise`.
        symmetries: commuting Pauli words with the sign of the sector: -kg.Z(0) @ kg.Z(1) selects odd parity.
        noise: a `NoiseModel`, or a function circuit -> circuit with channels.
        compile, options: as for `zne`.

    Raises:
        CircuitError: not such words.

    Example:
        >>> model = kg.mitigation.verified(circuit, hamiltonian, kg.Z(0) @ kg.Z(1), noise_model)
        >>> kg.mitigation.acceptance(model, weights)
    """
    what, inside = as_tuple(observables), projector(symmetries)
    measured = [(inside @ o @ inside).simplify() for o in what] + [inside]
    member = Member(compiled(with_noise(circuit, noise), measured, noise, compile, options))
    return Mitigated(circuit, what, [member], Quotient(), f"verified, projector of {len(inside)} words")


def acceptance(model: Mitigated, weights: Any = None, inputs: Any = None) -> Any:
    """The part of the state that lies in the sector, a number or (B,).

    Raises:
        ArgumentTypeError: not a model of `verified`.
    """
    if not isinstance(model, Mitigated) or not isinstance(model.combine, Quotient):
        raise ArgumentTypeError("acceptance: expected a model of kg.mitigation.verified")
    found = model.circuit_values(weights, inputs)[..., 0, -1]
    return found if found.ndim else float(found)
