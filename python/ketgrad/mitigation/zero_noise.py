"""Zero-noise extrapolation: the circuit at several strengths of the noise, extrapolated to none.

Owns: `zne`. Folding and extrapolation are in files of their own.

After Temme et al., PRL 119, 180509 (2017), and Giurgica-Tiron et al., 2020 (arXiv:2005.10921).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..circuit import Circuit
from ..errors import ArgumentError
from ..simulator import Seed
from .combination import Combine, Mitigated
from .extrapolation import check_scales, extrapolation
from .folding import FOLDINGS, folded, scales_of
from .member import Member
from .noisy import Compile, Noise, Observables, as_tuple, compiled, with_noise


def zne(
    circuit: Circuit,
    observables: Observables,
    noise: Noise,
    *,
    scales: Sequence[float] = (1, 3, 5),
    extrapolate: str | int | Combine = "richardson",
    asymptote: float | None = None,
    folding: str = "global",
    seed: Seed = 0,
    compile: Compile | None = None,
    **options: Any,
) -> Mitigated:
    """A model whose values are extrapolated from K strengths of the noise to none.

    The bias is what the extrapolation misses; the cost is its coefficients' (variance factor 5.2 for Richardson from
    1, 3, 5; 19 from 1, 2, 3; 2.5 for linear from 1, 3).

    Args:
        circuit: without channels; the noise is applied after folding, so that it acts on every folded gate.
        noise: a `NoiseModel`, or a function circuit -> circuit with channels.
        scales: of the noise, at least 1. Fractional ones are met as nearly as whole gates can, and the extrapolation
            uses what was met (`Mitigated.scales`).
        extrapolate: "linear", "polynomial" (of degree 2), "richardson", "exponential", a degree, or a `Combine`.
        asymptote: of "exponential", what values tend to under strong noise; None fits it, from 3 scales or more.
        folding: "global" (U U^-1 U), "gates" (each gate), "two-wire" (each gate on two wires or more), or "noise": the
            circuit stays and the model is `noise.scaled(scale)`.
        seed: of the gates that a fractional scale of "gates" folds once more.
        compile: what makes a model of (circuit, observables); default `ketgrad.compile`, which gets `options`. Another
            method of this package stacks: `functools.partial(twirled, frames=16)`.

    Raises:
        ArgumentError: scales below 1 or twice the same, or an unknown name.
        CircuitError: a circuit with channels.

    Example:
        >>> model = kg.mitigation.zne(circuit, kg.Z(0), noise_model, scales=(1, 2, 3), folding="gates")
        >>> values, pullback = model.forward(weights)
    """
    what, wanted = as_tuple(observables), check_scales(scales)
    if folding == "noise":
        scaled = getattr(noise, "scaled", None)
        if scaled is None:
            raise ArgumentError("folding='noise' needs a NoiseModel, which can be scaled; or fold the circuit")
        noisy = [with_noise(circuit, scaled(float(s))) for s in wanted]
        met = wanted
    elif folding in FOLDINGS:
        longer = [folded(circuit, s, folding, seed) for s in wanted]
        met = scales_of(circuit, longer, folding)
        noisy = [with_noise(c, noise) for c in longer]
    else:
        raise ArgumentError(f"folding is one of {(*FOLDINGS, 'noise')}, got {folding!r}")
    members = [Member(compiled(c, what, noise, compile, options)) for c in noisy]
    shown = extrapolate if isinstance(extrapolate, (str, int)) else type(extrapolate).__name__
    name = f"zne, {shown}, {folding} {', '.join(f'{s:g}' for s in met)}"
    out = Mitigated(circuit, what, members, extrapolation(extrapolate, met, asymptote), name)
    out.scales = np.asarray(met, dtype=np.float64)
    return out
