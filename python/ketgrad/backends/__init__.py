"""Which backend runs, and every environment variable ketgrad reads about it.

KETGRAD_BACKEND=native|numba forces one. KETGRAD_REQUIRE_NATIVE=1 forbids the fallback. KETGRAD_SILENCE_FALLBACK=1
silences its warning. KETGRAD_NUM_THREADS (then OMP_NUM_THREADS, then the processors this process may use) is the
number of threads. KETGRAD_ISA=baseline|avx2|avx512|neon forces the native kernels.

Only an absent native core falls back to Numba, once, with a warning; a broken one raises.
"""

from __future__ import annotations

import math
import os
import threading
import warnings
from typing import Any

from ..errors import ArgumentError, ArgumentTypeError, BackendUnavailableError, FallbackWarning, suggest
from .contract import Backend, Plan

__all__ = ["NAMES", "Backend", "Plan", "backend_info", "default_num_threads", "get_backend", "set_num_threads"]

NAMES = ("native", "numba")
MAX_THREADS = 256
_loaded: dict[str, Backend] = {}
_lock = threading.Lock()
_warned = False
_threads: int | None = None  # what set_num_threads said


def _native() -> Backend:
    from .native import NativeBackend

    return NativeBackend()


def _numba() -> Backend:
    from .numba_backend import NumbaBackend

    return NumbaBackend()


def get_backend(name: str | None = None) -> Backend:
    """The backend called `name`, or the best one here.

    Raises:
        ArgumentError: an unknown name.
        BackendUnavailableError: the native core is absent where it is required.
        ImportError: the native core is there and broken, or the processor is older than x86-64-v2.
    """
    wanted = name if name is not None else os.environ.get("KETGRAD_BACKEND") or None
    if wanted is not None and wanted not in NAMES:
        raise ArgumentError(f"backend must be one of {NAMES}, got {wanted!r}.{suggest(str(wanted), NAMES)}")
    with _lock:
        return _load(wanted)


def _load(wanted: str | None) -> Backend:
    global _warned
    if wanted == "numba":
        if "numba" not in _loaded:
            _loaded["numba"] = _numba()
        return _loaded["numba"]
    if "native" not in _loaded:
        try:
            _loaded["native"] = _native()
        except ModuleNotFoundError as error:
            if error.name != "ketgrad._core":
                raise
            if wanted == "native" or os.environ.get("KETGRAD_REQUIRE_NATIVE") == "1":
                raise BackendUnavailableError(
                    "the native core ketgrad._core is not installed; reinstall ketgrad where a C++20 compiler is found "
                    "(pip install --no-cache-dir --force-reinstall ketgrad), or use KETGRAD_BACKEND=numba"
                ) from error
            if not _warned and os.environ.get("KETGRAD_SILENCE_FALLBACK") != "1":
                _warned = True
                warnings.warn(
                    "the native core ketgrad._core is not installed: using the Numba backend, which is slower. "
                    "Reinstall where a C++20 compiler is found, or set KETGRAD_SILENCE_FALLBACK=1.",
                    FallbackWarning,
                    stacklevel=3,
                )
            return _load("numba")
    return _loaded["native"]


def _cgroup_cpus() -> int | None:
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return None if quota == "max" else max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return None


def default_num_threads() -> int:
    """Threads a backend starts with: what `set_num_threads` said, the environment, affinity and cgroup quota."""
    if _threads is not None:
        return _threads
    for variable in ("KETGRAD_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(variable, "").split(",")[0].strip()
        if text.isdigit() and int(text) > 0:
            return min(int(text), MAX_THREADS)
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    return max(1, min(count, _cgroup_cpus() or count, MAX_THREADS))


def set_num_threads(count: int) -> None:
    """Use this many threads from now on, in every backend of this process. Results do not depend on it.

    Raises:
        ArgumentTypeError: not an integer.
        ArgumentError: not from 1 to 256.
    """
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise ArgumentTypeError(f"the number of threads is an integer, got {type(count).__name__}")
    number = count.__index__()
    if not 1 <= number <= MAX_THREADS:
        raise ArgumentError(f"the number of threads is from 1 to {MAX_THREADS}, got {number}")
    global _threads
    _threads = number
    for backend in list(_loaded.values()):
        backend.set_num_threads(number)


def backend_info(name: str | None = None) -> dict[str, Any]:
    """Name, instruction set, threads and other facts of the backend in use."""
    backend = get_backend(name)
    return {"backend": backend.name, "threads": backend.num_threads(), **backend.info()}
