"""What derivatives look like to whoever asked for them. Owns: `Gradients` and `Jacobian`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Gradients(NamedTuple):
    """Gradients of sum(cotangents * values): weights in the shape they were given, inputs (F,) or (B, F).

    `initial`, in the shape of the initial states, is the derivative by their conjugates: a change of them changes the
    sum by 2 Re <initial|change>. None unless it was asked for.
    """

    weights: Array
    inputs: Array
    initial: npt.NDArray[Any] | None = None


class Jacobian(NamedTuple):
    """Derivatives of the values: weights ([B,] M, P) and inputs ([B,] M, F).

    The variances belong to estimates, from finite shots or random directions; None where there is nothing random, or
    nothing to estimate them from.
    """

    weights: Array
    inputs: Array
    weights_variance: Array | None = None
    inputs_variance: Array | None = None
