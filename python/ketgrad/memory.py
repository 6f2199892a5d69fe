"""How much memory this process may still use, and the refusal before anything is allocated.

Owns: the bound (machine, cgroup, address-space limit, `KETGRAD_MAX_MEMORY`) and the text of the refusal.
"""

from __future__ import annotations

import os

from .errors import ArgumentError, OutOfMemoryError

_SMALL = 16 << 20  # below this the look at the limits costs more than it can save
_RESERVE = 0.95  # of what is available; the rest is for the interpreter and the page cache


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _read_number(path: str) -> int | None:
    try:
        text = _read(path).strip()
        return None if text == "max" else int(text)
    except (OSError, ValueError):
        return None


def _machine() -> int | None:
    try:
        for line in _read("/proc/meminfo").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _reclaimable(path: str) -> int:
    """Bytes of file cache that a cgroup counts as used and gives back on demand."""
    try:
        for line in _read(path).splitlines():
            if line.startswith("inactive_file "):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return 0


def _cgroup() -> int | None:
    """Bytes left in the tightest cgroup (v2, then v1)."""
    left = []
    folders = ["/sys/fs/cgroup"]
    try:
        for line in _read("/proc/self/cgroup").splitlines():
            if line.startswith("0::"):
                folders.append("/sys/fs/cgroup" + line[3:].rstrip("/"))
    except OSError:
        pass
    for folder in folders:
        limit, used = _read_number(f"{folder}/memory.max"), _read_number(f"{folder}/memory.current")
        if limit is not None and used is not None:
            left.append(limit - used + _reclaimable(f"{folder}/memory.stat"))
    limit = _read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes")
    used = _read_number("/sys/fs/cgroup/memory/memory.usage_in_bytes")
    if limit is not None and used is not None and limit < 1 << 60:
        left.append(limit - used + _reclaimable("/sys/fs/cgroup/memory/memory.stat"))
    return min(left) if left else None


def _rlimit() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return None
    pages = 0
    try:
        pages = int(_read("/proc/self/statm").split()[0])
    except (OSError, ValueError):
        pass
    return int(soft - pages * os.sysconf("SC_PAGE_SIZE"))


def _user() -> int | None:
    text = os.environ.get("KETGRAD_MAX_MEMORY")
    if not text:
        return None
    try:
        value = float(text)
        if value >= 0:
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise ArgumentError(f"KETGRAD_MAX_MEMORY is a number of bytes of at least 0, got {text!r}")


def available_bytes() -> int:
    """Bytes this process may still allocate: the least of machine, cgroup, RLIMIT_AS and KETGRAD_MAX_MEMORY."""
    bounds = [b for b in (_machine(), _cgroup(), _rlimit(), _user()) if b is not None]
    return max(0, min(bounds)) if bounds else 1 << 62


def format_bytes(count: int) -> str:
    """`268435456` -> `"256.0 MiB"`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if value < 1024 or unit == "EiB":
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def largest_n_bits(itemsize: int, copies: int = 1) -> int:
    """The largest number of qubits whose `copies` states fit now."""
    room = int(_RESERVE * available_bytes()) // (itemsize * copies)
    return max(0, room.bit_length() - 1)


def how_many(wanted: int, bytes_each: int) -> int:
    """How many of the wanted things may be held at once, at least 1: what fits into half of what is available."""
    if wanted * bytes_each <= _SMALL:
        return wanted
    return max(1, min(wanted, available_bytes() // (2 * bytes_each)))


def require_states(n_bits: int, itemsize: int, copies: int) -> None:
    """Refuse a request for `copies` states of 2^n_bits amplitudes that cannot fit.

    Raises:
        OutOfMemoryError: with the need, what is available and the largest circuit that fits.
    """
    need = copies * itemsize << n_bits
    if need <= _SMALL:
        return
    free = available_bytes()
    if need > _RESERVE * free:
        dtype = "complex64" if itemsize == 8 else "complex128"
        hint = " or dtype='complex64'" if itemsize == 16 else ""
        raise OutOfMemoryError(
            f"{n_bits} qubits in {dtype} need {format_bytes(need)} ({copies} state{'s' * (copies != 1)} x 2**{n_bits} "
            f"x {itemsize} B); {format_bytes(free)} are available. Use at most "
            f"{largest_n_bits(itemsize, copies)} qubits{hint}."
        )


def require_density(n_bits: int, itemsize: int, copies: int) -> None:
    """Refuse a request for `copies` density matrices of n_bits qubits that cannot fit.

    Raises:
        OutOfMemoryError: with the need, what is available and the largest circuit that fits.
    """
    need = copies * itemsize << 2 * n_bits
    if need <= _SMALL:
        return
    free = available_bytes()
    if need > _RESERVE * free:
        plural = "density matrices" if copies != 1 else "density matrix"
        raise OutOfMemoryError(
            f"{copies} {plural} of {n_bits} qubits need{'s' * (copies == 1)} {format_bytes(need)} (4**{n_bits} x "
            f"{itemsize} B each); {format_bytes(free)} are available. Use at most "
            f"{largest_n_bits(itemsize, copies) // 2} qubits, or method='trajectories'."
        )


def require_bytes(need: int, what: str) -> None:
    """Refuse any other large request.

    Raises:
        OutOfMemoryError: with the need and what is available.
    """
    if need > _SMALL and need > _RESERVE * available_bytes():
        raise OutOfMemoryError(f"{what} needs {format_bytes(need)}; {format_bytes(available_bytes())} are available")
