"""A circuit with everything a torch layer may meet, and how its tests compare."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import ketgrad as kg

DOUBLE = torch.float64
F, M = 2, 3


def circuit() -> kg.Circuit:
    """Two groups of weights, one of them a single number, a product of weight and input, a weight in several gates."""
    out = kg.Circuit(3)
    x, w, s = out.inputs(F), out.weights((2, 3)), out.parameter("scale")
    for q in range(3):
        out.ry(x[q % F] * s, q).rx(w[0, q], q)
    out.cnot(0, 1).cnot(1, 2)
    for q in range(3):
        out.rz(0.5 * w[1, q] + x[0], q).ry(w[0, q], q)
    return out


OBSERVABLES = [kg.Z(0), kg.X(1) @ kg.Z(2), 0.5 * kg.Y(2) - kg.Z(1)]


def points(*lead: int, dtype: Any = DOUBLE, grad: bool = False) -> Any:
    generator = torch.Generator().manual_seed(1)
    out = torch.rand(*lead, F, dtype=DOUBLE, generator=generator).to(dtype)
    return out.requires_grad_(grad)


def flat(layer: Any) -> np.ndarray:
    """The weights in the order of the model."""
    return torch.cat([p.detach().reshape(-1) for p in layer.parameters()]).numpy()


def gradients(function: Any, layer: Any, x: Any) -> list[Any]:
    """Of a loss that is not linear."""
    return list(torch.autograd.grad(function(x).sin().square().sum(), [x, *layer.parameters()]))


def assert_close(found: Any, wanted: Any, atol: float = 1e-12) -> None:
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(a.detach()), np.asarray(b.detach()), rtol=0, atol=atol)


class Readings(torch.utils.data.Dataset):  # type: ignore[misc]
    """Values of a layer, computed by whoever loads them."""

    def __init__(self, layer: Any, x: Any) -> None:
        self.layer, self.x = layer, x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, k: int) -> Any:
        with torch.no_grad():
            return self.layer(self.x[k])
