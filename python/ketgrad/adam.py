"""Adam with decoupled weight decay and a cosine learning rate: all the optimiser the trainer needs.

Owns: the update and its slots. May not know: what the parameters mean.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def cosine(step: int, steps: int, lr: float) -> float:
    """The learning rate of this step: `lr` at the first, falling along half a cosine towards 0 after the last."""
    return lr * 0.5 * (1.0 + math.cos(math.pi * step / steps))


class Adam:
    """Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019).

    Args:
        size: the number of parameters.
        decay: weight decay, relative to the learning rate.
        decayed: (size,) which parameters decay; default all.
    """

    BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, size: int, decay: float = 0.0, decayed: npt.NDArray[np.bool_] | None = None) -> None:
        self.first, self.second = np.zeros(size), np.zeros(size)
        self.step_count = 0
        self._decay = decay * (np.ones(size) if decayed is None else decayed.astype(float))

    def step(self, theta: Array, gradient: Array, lr: float) -> None:
        """Move `theta` in place."""
        self.step_count += 1
        self.first += (1 - self.BETA1) * (gradient - self.first)
        self.second += (1 - self.BETA2) * (gradient * gradient - self.second)
        mean = self.first / (1 - self.BETA1**self.step_count)
        root = np.sqrt(self.second / (1 - self.BETA2**self.step_count))
        theta -= lr * (mean / (root + self.EPSILON) + self._decay * theta)

    def slots(self) -> dict[str, Any]:
        """What `restore` needs to go on from here."""
        return {"adam_first": self.first, "adam_second": self.second, "adam_step": np.array(self.step_count)}

    def restore(self, slots: dict[str, Any]) -> None:
        """Take over the slots of another run."""
        self.first, self.second = slots["adam_first"], slots["adam_second"]
        self.step_count = int(slots["adam_step"])
