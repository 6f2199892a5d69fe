"""Junk for `kg.mitigation`: every function with each argument in turn as junk; run by the harness of junk.py."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import junk
import numpy as np
from junk import Call, with_junk

import ketgrad as kg
from ketgrad import mitigation, noise


def methods(backend: str) -> Iterator[Call]:
    circuit, observable = kg.Circuit(2), kg.Z(0)
    w = circuit.weights(2)
    circuit.rx(w[0], 0).cx(0, 1).ry(w[1], 1)
    device = noise.NoiseModel().after(noise.bit_flip(0.1), ["cx"])
    good = [circuit, observable, device]
    made: dict[Callable[..., Any], tuple[list[Any], dict[str, Any]]] = {
        mitigation.zne: (
            good,
            {"scales": (1, 3), "extrapolate": "linear", "asymptote": None, "folding": "gates", "seed": 0},
        ),
        mitigation.pec: (good, {"samples": 3, "seed": 0, "known": None}),
        mitigation.cdr: (good, {"training": 2, "kept": 1, "snap": "random", "ridge": 1e-9, "seed": 0}),
        mitigation.twirled: (good, {"frames": 3, "gates": ["cx"], "seed": 0}),
        mitigation.verified: ([circuit, observable, kg.Z(1), device], {}),
        mitigation.readout_mitigated: ([circuit, observable, 0.1, device], {}),
    }
    for method, (args, keywords) in made.items():
        if method is mitigation.zne:  # the others hand these on in the same way
            keywords |= {"compile": None, "backend": backend}

        def call(*a: Any, m: Any = method, **k: Any) -> None:
            m(*a, **k)([0.1, 0.2])

        yield from with_junk(method.__name__, call, args, keywords, only=method is not mitigation.zne)


def models(backend: str) -> Iterator[Call]:
    circuit = kg.Circuit(2)
    w, x = circuit.weights(2), circuit.inputs(1)
    circuit.rx(w[0], 0).cx(0, 1).ry(w[1] * x[0], 1)
    device = noise.NoiseModel().after(noise.bit_flip(0.1), ["cx"])
    model = mitigation.zne(circuit, kg.Z(0), device, scales=(1, 3), extrapolate="linear", backend=backend)
    at: list[Any] = [[0.1, 0.2], [0.3]]
    for name in ("__call__", "jacobian", "circuit_values", "cost", "report"):
        keywords = {"shots": 10, "seed": 0} if name == "__call__" else {}
        yield from with_junk(name, getattr(model, name), at, keywords)
    yield from with_junk("forward", model.forward, at, {"method": "best", "shots": 10, "seed": 0})
    yield from with_junk("estimate", model.estimate, at, {"shots": 10, "seed": 0})
    yield from with_junk("pullback", model.forward(*at)[1], [[1.0]])
    yield from with_junk("tangents", model.tangents, [*at, *at])
    yield from with_junk("gradient_change", model.gradient_change, [*at, *at], {"cotangents": [1.0]})


def functions(backend: str) -> Iterator[Call]:
    circuit = kg.Circuit(2).h(0).cx(0, 1)
    cost = mitigation.Cost([1.5, -0.5])
    made: dict[Callable[..., Any], tuple[list[Any], dict[str, Any]]] = {
        mitigation.fold_global: ([circuit, 3], {}),
        mitigation.fold_gates: ([circuit, 2], {"seed": 0, "weight": None}),
        mitigation.fitted: (["linear", (1, 3), [0.5, 0.4]], {"asymptote": None}),
        mitigation.polynomial_coefficients: ([(1, 2, 3), 1], {}),
        mitigation.invert: ([noise.bit_flip(0.1), ["I", "X"]], {}),
        mitigation.corrected: ([kg.Z(0), 0.1], {}),
        mitigation.readout_cost: ([kg.Z(0), 0.1], {}),
        mitigation.mitigate_counts: ([{"0": 3, "1": 4}, 0.1], {"method": "inverse"}),
        mitigation.executor: ([kg.Z(0)], {"shots": 3, "seed": 0}),
        mitigation.from_cirq: ([circuit, 2], {}),
        mitigation.acceptance: ([circuit, None], {}),
        mitigation.Cost: ([[1.0, 2.0]], {}),
        cost.split: ([10, 1.0], {}),
        cost.variance: ([10, 1.0], {"allocation": "uniform"}),
        cost.shots_for: ([0.1, 1.0], {"allocation": "optimal"}),
    }
    for function, (args, keywords) in made.items():
        yield from with_junk(function.__name__, function, args, keywords)


GROUPS = {f.__name__: f for f in (methods, models, functions)}

if __name__ == "__main__":
    np.seterr(all="ignore")
    junk.GROUPS.update(GROUPS)
    junk.main(*sys.argv[1:])
