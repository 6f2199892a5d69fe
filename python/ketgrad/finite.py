"""Whether arrays are finite, quickly, and where they are not.

Owns: the one pass over an array that every call makes. May not know: what the numbers mean.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ParameterError

FEW, SOME = 8, 4096
_sum = np.add.reduce  # as `array.sum()`, without its layer of Python
_ones = np.ones(SOME)


def require_finite(array: npt.NDArray[Any], what: str) -> None:
    """Refuse NaN and infinity in a C-contiguous float64 array.

    Raises:
        ParameterError: names the first bad entry and its position.
    """
    flat = array.reshape(-1)
    # a sum is finite unless an entry is not (or it overflows, so look again): one pass, no temporary. Python's takes a
    # third of the time of any reduction in numpy for few numbers, a product with ones half of it for some: so few that
    # the library behind `dot` wakes no threads of its own
    n = flat.size
    total = sum(flat.tolist()) if n <= FEW else flat.dot(_ones[:n]) if n <= SOME else _sum(flat)
    if not math.isfinite(total) and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ParameterError(f"{what} must be finite, got {array[where]} at position {where}")
