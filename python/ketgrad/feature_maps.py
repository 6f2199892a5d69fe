"""Feature maps by name: circuits whose inputs are the features of a sample, for quantum kernels.

Owns: their gates. May not know: kernels, models.

Each takes the number of features F and of layers, has one wire for each feature (heisenberg one more), and expects
features of about -pi/2 to pi/2.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from .circuit import Circuit
from .errors import ArgumentError, ArgumentTypeError, suggest


def _angle(n: int, layers: int) -> Circuit:
    circuit = Circuit(n)
    x = circuit.inputs(n)
    for _ in range(layers):
        for q in range(n):
            circuit.ry(x[q], q)
    return circuit


def _iqp(n: int, layers: int) -> Circuit:
    circuit = Circuit(n)
    x = circuit.inputs(n)
    for _ in range(layers):
        for q in range(n):
            circuit.h(q).rz(x[q], q)
        for i, j in combinations(range(n), 2):
            circuit.rzz(x[i] * x[j], i, j)
    return circuit


def _zz(n: int, layers: int) -> Circuit:
    circuit = Circuit(n)
    x = circuit.inputs(n)
    for _ in range(layers):
        for q in range(n):
            circuit.h(q).rz(2 * x[q], q)
        for i, j in combinations(range(n), 2):
            circuit.rzz(2 * (np.pi - x[i]) * (np.pi - x[j]), i, j)
    return circuit


def _heisenberg(n: int, layers: int) -> Circuit:
    circuit = Circuit(n + 1)
    x = circuit.inputs(n)
    rng = np.random.default_rng(0)  # part of the map's definition: its kernel is the same everywhere
    for q in range(n + 1):
        circuit.ry(float(np.arccos(rng.uniform(-1, 1))), q).rz(float(rng.uniform(0, 2 * np.pi)), q)  # Haar-random
    time = n / 3 / layers
    for _ in range(layers):
        for q in range(n):
            for gate in (circuit.rxx, circuit.ryy, circuit.rzz):
                gate(2 * time * x[q], q, q + 1)
    return circuit


def _trainable(n: int, layers: int) -> Circuit:
    circuit = Circuit(n)
    x, w = circuit.inputs(n), circuit.weights((layers, 2, n))
    for layer in range(layers):
        for q in range(n):
            circuit.h(q).rz(x[q], q).ry(w[layer, 0, q], q)
        for q in range(n if n > 1 else 0):
            circuit.crz(w[layer, 1, q], q, (q + 1) % n)
    return circuit


_MAPS: dict[str, tuple[Callable[[int, int], Circuit], int]] = {  # with their usual number of layers
    "angle": (_angle, 1),
    "iqp": (_iqp, 2),
    "zz": (_zz, 2),
    "heisenberg": (_heisenberg, 5),
    "trainable": (_trainable, 2),
}
NAMES = tuple(_MAPS)


def feature_map(name: str, n_features: int, layers: int | None = None) -> Circuit:
    """A circuit with `n_features` inputs.

    Args:
        name: "angle": RY(x_q), a product state; "iqp": H, RZ(x_q), exp(-i x_q x_r ZZ / 2), PennyLane's IQPEmbedding;
            "zz": the same with 2 x_q and 2 (pi - x_q) (pi - x_r), Qiskit's ZZFeatureMap (Havlicek et al. 2019);
            "heisenberg": random one-qubit states, then exp(-i t x_q (XX + YY + ZZ)) along a chain of F + 1 wires,
            Trotterised, in all F / 3 long (Huang et al. 2021); "trainable": H, RZ(x_q), RY(w), a ring of CRZ(w)
            (Hubregtsen et al. 2022), the one with weights: (layers, 2, F) of them.
        n_features: F.
        layers: how often the pattern is repeated; default 1 for "angle", 5 for "heisenberg", else 2.

    Raises:
        ArgumentError: an unknown name, or no layers or features.
        WireError: more features than wires.
    """
    if name not in _MAPS:
        raise ArgumentError(f"a feature map is one of {', '.join(NAMES)}, got {name!r}.{suggest(name, NAMES)}")
    build, usual = _MAPS[name]
    for what, value in (("n_features", n_features), ("layers", usual if layers is None else layers)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise ArgumentTypeError(f"{what} is an integer, got {value!r}")
        if value < 1:
            raise ArgumentError(f"{what} must be at least 1, got {value}")
    return build(int(n_features), usual if layers is None else int(layers))
