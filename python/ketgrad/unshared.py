"""A circuit whose weights have become inputs, so that one batch may hold many weight vectors.

Owns: how parameters are renamed. May not know: bits, programs, models.
"""

from __future__ import annotations

from .circuit import Circuit
from .expressions import Expression, Key


def weights_as_inputs(circuit: Circuit) -> Circuit:
    """The same gates without weights: the inputs are the P weights, then the F inputs, in flat order."""
    out = Circuit(circuit.n_wires)
    for kind in ("w", "x"):
        for name, group_kind, shape, _ in circuit.groups:
            if group_kind == kind:
                out.inputs(shape, name)
    owner, start = out._owner, {"w": 0, "x": circuit.n_weights}

    def renamed(angle: float | Expression) -> float | Expression:
        def key(old: Key) -> Key:
            return "x", start[old[0]] + old[1]

        if not isinstance(angle, Expression):
            return angle
        return Expression(owner, {tuple(sorted(map(key, m))): c for m, c in angle.terms.items()})

    out.gates = [gate._replace(params=tuple(map(renamed, gate.params))) for gate in circuit.gates]
    out.initial = circuit.initial
    return out
