"""The clock of every benchmark. Imports nothing, so that workers of any environment can use it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def timed(call: Callable[[], Any], seconds: float = 0.2, at_least: int = 5, at_most: int = 2000) -> float:
    """Median time of a call, after one that warms up, over about `seconds` and at least `at_least` calls."""
    call()
    return warm_time(call, seconds, at_least, at_most)


def warm_time(call: Callable[[], Any], seconds: float, at_least: int, at_most: int) -> float:
    """`timed`, of a call that is warm."""
    return statistics.median(warm_times(call, seconds, at_least, at_most))


def warm_times(call: Callable[[], Any], seconds: float, at_least: int, at_most: int) -> list[float]:
    """Seconds of each call."""
    times: list[float] = []
    while len(times) < at_least or (sum(times) < seconds and len(times) < at_most):
        times.append(once(call)[0])
    return times


def once(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one call, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result
