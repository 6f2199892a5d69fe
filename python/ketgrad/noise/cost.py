"""Which way noise goes: density matrices, or trajectories.

Owns: the estimate of both, in amplitudes that instructions touch. May not know: circuits, channels.
"""

from __future__ import annotations

import numpy as np

from ..memory import available_bytes
from ..program import Opcode, Program

EXACT_BITS = 13  # 4^13 amplitudes of 16 bytes are 1 GiB
QUICK = 1e8  # amplitudes touched in some hundredths of a second: then the exact way needs no comparison
PATHS = 1000  # that are followed where nobody says how many


def choose(program: Program, trajectories: int | None) -> str:
    """ "density" where it fits and is quick, or touches no more amplitudes than trajectories do."""
    n, channels = program.n_bits, int((program.instructions["opcode"] == Opcode.KRAUS).sum())
    gates = len(program.instructions) - channels
    if n > EXACT_BITS or (4 * 16 << 2 * n) > available_bytes() // 2:
        return "trajectories"
    exact = np.ldexp(2.0 * gates + 4.0 * channels, 2 * n)
    sampled = np.ldexp(float(gates + channels), n) * (PATHS if trajectories is None else trajectories)
    return "density" if exact <= max(QUICK, sampled) else "trajectories"
