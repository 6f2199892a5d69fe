"""Every exception ketgrad raises on purpose.

Each class also derives from the built-in a user would catch (`ValueError`, `MemoryError`, ...).
A message states the rule, the value that broke it and, where there is one, what to do instead.
"""

from __future__ import annotations


class KetgradError(Exception):
    """Base of all errors raised by ketgrad."""


class CircuitError(KetgradError, ValueError):
    """A circuit, gate or observable that cannot exist."""


class WireError(CircuitError, IndexError):
    """A wire out of range, repeated, or not an integer."""


class ParameterError(CircuitError):
    """A parameter that is unbound, of the wrong shape, or not a finite number."""


class GateMatrixError(CircuitError):
    """A matrix of the wrong shape, not unitary, or not Hermitian."""


class StateError(KetgradError, ValueError):
    """An initial state of the wrong length or norm."""


class ArgumentError(KetgradError, ValueError):
    """An option out of its range: shots, threads, a method's name."""


class ArgumentTypeError(KetgradError, TypeError):
    """An argument of the wrong type."""


class NotDifferentiableError(KetgradError, ValueError):
    """A gradient that was asked for and does not exist."""


class OutOfMemoryError(KetgradError, MemoryError):
    """A request larger than the memory this process may use; nothing was allocated."""


class DataError(KetgradError, ValueError):
    """A data file that cannot be read; the text names line and column."""


class CheckpointError(KetgradError, OSError):
    """A checkpoint or model file that is truncated, foreign, or cannot be written."""


class BackendUnavailableError(KetgradError, ImportError):
    """The backend that was asked for cannot be used here."""


class FallbackWarning(RuntimeWarning):
    """The native core is absent and the Numba backend is used in its place."""


def suggest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """Return `" Did you mean 'x'?"` for the closest known word, or an empty string."""
    import difflib

    close = difflib.get_close_matches(str(word), [str(k) for k in known], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
