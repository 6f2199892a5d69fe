"""Folding: longer circuits that do the same, so that noise acts more often.

Owns: which gates are repeated as G -> G G^-1 G, of the whole circuit or gate by gate. May not know: noise.

After Giurgica-Tiron et al., 2020 (arXiv:2005.10921); fractional scales as in Mitiq's `fold_global` and
`fold_gates_at_random`. Weights and inputs stay where they are: a folded circuit has the same parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit, Gate
from ..errors import ArgumentError, CircuitError, suggest
from ..simulator import Seed, generator
from .noisy import is_noisy

FOLDINGS = ("global", "gates", "two-wire")


def inverse_gate(gate: Gate) -> Gate:
    """The gate that undoes a gate, of the same name, so that noise rules find it."""
    return gate._replace(inverse=not gate.inverse)


def _check(circuit: Circuit, scale: float) -> float:
    if not isinstance(circuit, Circuit):
        raise CircuitError(f"folding: expected a Circuit, got {type(circuit).__name__}")
    if is_noisy(circuit):
        raise CircuitError(
            "folding: a circuit with channels cannot be undone; fold the circuit without noise first, and apply the "
            "noise model to the folded one"
        )
    value = float(scale)
    if not 1 <= value < 1e4:
        raise ArgumentError(f"folding: a noise scale is at least 1 and below 10,000, got {scale!r}")
    return value


def fold_global(circuit: Circuit, scale: float) -> Circuit:
    """The circuit U as U (U^-1 U)^n, and its last gates once more for what is left: about scale times as many gates.

    With d gates, 2 m gates are added for the fractional rest r of (scale - 1) / 2, m = round(r d).

    Raises:
        CircuitError: a circuit with channels.
        ArgumentError: a scale below 1.
    """
    folds, rest = divmod(_check(circuit, scale) - 1, 2)
    gates: list[Gate] = list(circuit.gates)
    undone = [inverse_gate(g) for g in reversed(gates)]
    some = round(rest * len(gates) / 2)
    out = circuit.copy()
    out.gates = gates + (undone + gates) * int(folds) + undone[:some] + gates[len(gates) - some :]
    return out


def fold_gates(
    circuit: Circuit,
    scale: float,
    *,
    seed: Seed = 0,
    weight: Callable[[Gate], float] | None = None,
) -> Circuit:
    """Every gate G as G (G^-1 G)^n, and some gates once more for what is left.

    Args:
        scale: by how much the summed weight of all gates grows, as nearly as whole folds can.
        seed: of the gates that are folded once more.
        weight: how noisy a gate is, at least 0; gates of weight 0 are not folded. Default 1 for each.

    Raises:
        CircuitError: a circuit with channels.
        ArgumentError: a scale below 1, or a negative weight.
    """
    wanted, gates = _check(circuit, scale), list(circuit.gates)
    weights = np.ones(len(gates)) if weight is None else np.array([float(weight(g)) for g in gates])
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ArgumentError(f"fold_gates: weights are finite and at least 0, got {weights.min():g}")
    whole = int((wanted - 1) / 2)
    folds = np.where(weights > 0, whole, 0)
    missing = (wanted - 1 - 2 * whole) * weights.sum()
    if missing > 1e-9 * weights.sum():
        for k in generator(seed).permutation(np.flatnonzero(weights)):
            if 2 * weights[k] >= 2 * missing:  # one more fold would miss by more
                break
            folds[k] += 1
            missing -= 2 * weights[k]
    out = circuit.copy()
    out.gates = []
    for gate, count in zip(gates, folds, strict=True):
        out.gates += [gate] + [inverse_gate(gate), gate] * int(count)
    return out


def on_several_wires(gate: Gate) -> float:
    """A weight for `fold_gates`: 1 for gates on two wires or more, 0 for the others."""
    return float(len(gate.wires) + len(gate.controls) > 1)


def folded(circuit: Circuit, scale: float, folding: str = "global", seed: Seed = 0) -> Circuit:
    """A folding by name: "global", "gates", or "two-wire", which folds only gates on two wires or more.

    Raises:
        ArgumentError: another name, or a scale below 1.
        CircuitError: a circuit with channels, or nothing to fold.
    """
    if folding not in FOLDINGS:
        raise ArgumentError(f"folding is one of {FOLDINGS}, got {folding!r}.{suggest(str(folding), FOLDINGS)}")
    if folding == "global":
        return fold_global(circuit, scale)
    return fold_gates(circuit, scale, seed=seed, weight=on_several_wires if folding == "two-wire" else None)


def achieved_scale(circuit: Circuit, longer: Circuit, folding: str = "global") -> float:
    """By how much the number of gates that were folded has grown; whole folds rarely meet a fractional scale.

    Raises:
        CircuitError: nothing to fold.
    """
    weight = on_several_wires if folding == "two-wire" else lambda _: 1.0
    before, after = (sum(weight(g) for g in c.gates) for c in (circuit, longer))
    if not before:
        raise CircuitError(f"folding={folding!r}: the circuit has no gate to fold")
    return after / before


def scales_of(circuit: Circuit, longer: list[Circuit], folding: str) -> npt.NDArray[np.float64]:
    """`achieved_scale` of several circuits.

    Raises:
        ArgumentError: two of them are equally long, so that nothing can be extrapolated.
    """
    found = np.array([achieved_scale(circuit, c, folding) for c in longer])
    if len(np.unique(found)) < len(found):
        raise ArgumentError(
            f"the circuit's {len(circuit)} gates are too few for these scales, which become {found.tolist()}; "
            "use odd ones"
        )
    return found
