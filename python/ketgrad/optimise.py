"""The optimisers that know circuits: natural gradient and SPSA, and the loop around them.

Owns: the updates and their state. May not know: what the parameters mean. The optimisers of torch, optax and scipy work
as they are, see docs/optimisers.md; the trainer's is in `adam`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .errors import ArgumentError, ArgumentTypeError, KetgradError
from .expressions import real_array
from .objective import Objective as Objective
from .simulator import Seed, generator

Array = npt.NDArray[np.float64]
CALIBRATION = 25  # directions that say how long SPSA's first step will be


class Optimiser(Protocol):
    """Anything with a step, such as `QNG` and `SPSA`."""

    def step(self, cost: Any, theta: Any) -> tuple[Array, float]:
        """The next theta, in the shape of this one, and the value at this one."""


class QNG:
    """Quantum natural gradient: theta - lr (g + regularisation)^-1 gradient, with the metric tensor g.

    Source: J. Stokes, J. Izaac, N. Killoran, G. Carleo, Quantum 4, 269 (2020), arXiv:1909.02108.

    Args:
        lr: the learning rate.
        regularisation: added to the diagonal of g; 0 takes its pseudo-inverse, without eigenvalues below 1e-6 of the
            largest.
        approx: None or "diag", see `Model.metric_tensor`.

    Example:
        >>> theta, value = QNG(lr=0.1).step(model, theta)
    """

    def __init__(self, lr: float = 0.1, regularisation: float = 1e-3, approx: str | None = None) -> None:
        self.lr = _above("lr", lr, 0.0, strictly=True)
        self.regularisation = _above("regularisation", regularisation, 0.0)
        self.approx = approx

    def step(self, cost: Any, theta: Any) -> tuple[Array, float]:
        """The next theta, in the shape of this one, and the value at this one.

        Args:
            cost: a `Model`, or an `Objective` of one.
        """
        objective, here = Objective.of(cost), real_array(theta, "theta")
        value, gradient = objective.value_and_gradient(here)
        metric, flat = objective.metric(here, self.approx), gradient.reshape(-1)
        if self.regularisation:
            move = np.linalg.solve(metric + self.regularisation * np.eye(len(metric)), flat)
        else:
            move = np.linalg.pinv(metric, rcond=1e-6, hermitian=True) @ flat
        return here - self.lr * move.reshape(here.shape), value

    def __repr__(self) -> str:
        return f"QNG(lr={self.lr:g}, regularisation={self.regularisation:g}, approx={self.approx!r})"


class SPSA:
    """Simultaneous perturbation: a slope from two values at once in a random direction, however many parameters.

    Step k moves by a / (k + 1 + stability)^alpha times the slope, measured over c / (k + 1)^gamma. Source: J. C. Spall,
    "Implementation of the simultaneous perturbation algorithm", IEEE Trans. Aerosp. Electron. Syst. 34, 817 (1998).

    Args:
        a: None finds it at the first step, from 25 directions, such that every parameter moves by `first_step`.
        c: the first perturbation, radians; with shots about the standard deviation of a value, or more.
        stability: Spall's A, about a tenth of the steps to be taken.
        alpha, gamma: the decay of steps and perturbations.
        directions: that a step averages over, in one batch.
        first_step: radians.
        seed: of the directions: an int or a numpy Generator.

    Example:
        >>> theta, value = SPSA(seed=0).step(Objective(model, shots=1000, seed=1), theta)
    """

    def __init__(
        self,
        a: float | None = None,
        c: float = 0.2,
        *,
        stability: float = 10.0,
        alpha: float = 0.602,
        gamma: float = 0.101,
        directions: int = 1,
        first_step: float = 0.1,
        seed: Seed = None,
    ) -> None:
        self.a = None if a is None else _above("a", a, 0.0, strictly=True)
        self.c = _above("c", c, 0.0, strictly=True)
        self.stability = _above("stability", stability, 0.0)
        self.alpha, self.gamma = _above("alpha", alpha, 0.0), _above("gamma", gamma, 0.0)
        self.directions = _count("directions", directions)
        self.first_step = _above("first_step", first_step, 0.0, strictly=True)
        self.step_count = 0
        self._rng = generator(seed)

    def step(self, cost: Any, theta: Any) -> tuple[Array, float]:
        """The next theta, in the shape of this one, and the value at this one.

        Args:
            cost: a `Model`, an `Objective`, or a function theta -> float.
        """
        objective, here = Objective.of(cost), real_array(theta, "theta")
        if self.a is None:
            slopes = self._slopes(objective, here.reshape(-1), CALIBRATION, self.c)[1]
            size = float(np.abs(slopes).mean()) or 1.0
            self.a = self.first_step * (1 + self.stability) ** self.alpha / size
        k = self.step_count
        signs, slopes, value = self._slopes(
            objective, here.reshape(-1), self.directions, self.c / (k + 1) ** self.gamma
        )
        move = self.a / (k + 1 + self.stability) ** self.alpha * (slopes @ signs) / self.directions
        self.step_count += 1
        return here - move.reshape(here.shape), value

    def _slopes(self, objective: Objective, flat: Array, count: int, length: float) -> tuple[Array, Array, float]:
        """Directions (count, P), the slopes along them (count,), and the value here: one batch."""
        signs = self._rng.choice(np.array([-1.0, 1.0]), (count, flat.size))
        values = objective.many(np.concatenate([flat[None], flat + length * signs, flat - length * signs]))
        return signs, (values[1 : count + 1] - values[count + 1 :]) / (2 * length), float(values[0])

    def __repr__(self) -> str:
        a = "None" if self.a is None else f"{self.a:g}"
        return f"SPSA(a={a}, c={self.c:g}, directions={self.directions}, {self.step_count} steps done)"


@dataclass(frozen=True, eq=False)
class Minimum:
    """What `minimise` found: the last theta, the value there, and the value before every step and after the last."""

    theta: Array
    value: float
    history: Array  # (steps + 1,)
    optimiser: str
    seconds: float

    def __repr__(self) -> str:
        return (
            f"Minimum(value={self.value:.8g}, after {len(self.history) - 1} steps from {self.history[0]:.8g}, "
            f"{self.seconds:.2f} s, {self.optimiser})"
        )

    def plot(self) -> Any:
        """The values over the steps: a matplotlib Figure (needs `ketgrad[plot]`)."""
        from .plots import history

        return history(self.history, self.optimiser)


def minimise(
    cost: Any,
    theta: Any,
    optimiser: Optimiser,
    *,
    steps: int = 100,
    tolerance: float | None = None,
    progress: bool = False,
    callback: Callable[[int, Array, float], Any] | None = None,
) -> Minimum:
    """Take steps with `QNG`, `SPSA` or anything that has a `step`.

    Args:
        cost: a `Model` (the sum of its values), an `Objective`, or, for SPSA, a function theta -> float.
        theta: where to start; any shape.
        optimiser: keeps its state, so a second call goes on from the first.
        steps: at most.
        tolerance: stop when a step changes the value by no more than this; None never stops.
        progress: a progress bar (needs tqdm).
        callback: called with step number, theta and value before every step.

    Example:
        >>> result = kg.optimise.minimise(model, theta, kg.optimise.QNG(lr=0.1), steps=50)
        >>> result.theta, result.value, result.plot()
    """
    objective, here = Objective.of(cost), real_array(theta, "theta").copy()
    if not callable(getattr(optimiser, "step", None)):
        raise ArgumentTypeError(f"minimise: an optimiser has a step, such as QNG() or SPSA(), got {optimiser!r}")
    limit = -1.0 if tolerance is None else _above("tolerance", tolerance, 0.0)
    values: list[float] = []
    started = time.perf_counter()
    with progress_bar(_count("steps", steps), progress) as bar:
        for k in range(steps):
            after, value = optimiser.step(objective, here)
            values.append(value)
            if callback is not None:
                callback(k, here, value)
            if k and abs(value - values[-2]) <= limit:
                break
            here = after
            bar.set_postfix_str(f"{value:.6g}", refresh=False)
            bar.update()
        else:
            values.append(objective(here))
    return Minimum(here, values[-1], np.array(values), repr(optimiser), time.perf_counter() - started)


class _NoBar:
    """A progress bar that shows nothing."""

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, n: int = 1) -> None: ...

    def set_postfix_str(self, text: str, refresh: bool) -> None: ...


def progress_bar(steps: int, wanted: bool = True) -> Any:
    """tqdm's bar of so many steps, or one that shows nothing.

    Raises:
        KetgradError: tqdm is missing.
    """
    if not wanted:
        return _NoBar()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise KetgradError("progress=True needs tqdm, which is missing; pip install tqdm") from None
    return tqdm(total=steps)


def _above(name: str, value: Any, low: float, strictly: bool = False) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ArgumentTypeError(f"{name} is a number, got {value!r}")
    if not math.isfinite(value) or value < low or (strictly and value == low):
        raise ArgumentError(f"{name} must be finite and {'above' if strictly else 'at least'} {low:g}, got {value}")
    return float(value)


def _count(name: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ArgumentTypeError(f"{name} is an integer, got {value!r}")
    if value < 1:
        raise ArgumentError(f"{name} must be at least 1, got {value}")
    return int(value)
