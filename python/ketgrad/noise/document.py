"""Channels as JSON values and arrays, for files: families by name with their strengths, others by their operators.

Owns: the words a channel is written in. A channel is rebuilt by the constructor that a user would call, so a forged
file meets every check.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from ..errors import CircuitError
from ..pauli import check_word
from .channel import MAX_CHANNEL_WIRES, Channel, Composed, Constant, Family, Twirled
from .channels import OverRotation, PauliErrors, Relaxation

Arrays = dict[str, npt.NDArray[Any]]
_DEPTH = 32  # compositions of compositions; deeper ones are written as operators


def to_document(channel: Channel, key: str, arrays: Arrays) -> dict[str, Any]:
    """The channel as JSON values; operators go to `arrays` under names that start with `key`."""
    parts: Arrays = {}
    known = None if channel.family is None else _write(channel.family, key, parts, 0)
    if known is not None:
        arrays.update(parts)
        return {"family": known, "strengths": [s if math.isfinite(s) else str(s) for s in channel.strengths]}
    return _operators(channel, key, arrays)


def from_document(document: dict[str, Any], arrays: Arrays) -> Channel:
    """The channel of a document.

    Raises:
        CircuitError: it does not describe a channel.
    """
    if "family" not in document:
        matrices, name = arrays[document["kraus"]], str(document["name"])
        return Channel(matrices, name, trace_preserving=bool(document["trace_preserving"]))
    strengths = [float(s) for s in document["strengths"]]
    family, wanted = _read(document["family"], arrays, 0)
    if len(strengths) != wanted:
        raise CircuitError(f"a channel with {wanted} strengths has {len(strengths)}")
    return family(*strengths)


def _operators(channel: Channel, key: str, arrays: Arrays) -> dict[str, Any]:
    arrays[key] = channel.kraus
    return {"kraus": key, "name": channel.name, "trace_preserving": channel.trace_preserving}


def _write(family: Family, key: str, arrays: Arrays, depth: int) -> list[Any] | None:
    """None where a part is of no family known here, or nested too deep."""
    if depth > _DEPTH:
        return None
    if isinstance(family, PauliErrors):
        return ["pauli", family.name, list(family.words), family.shared]
    if isinstance(family, Relaxation):
        return ["relaxation", family.kind]
    if isinstance(family, OverRotation):
        return ["over_rotation", family.word]
    if isinstance(family, Constant):
        return ["constant", _operators(family.channel, key, arrays)]
    if isinstance(family, Twirled):
        inner = _write(family.inner, key, arrays, depth + 1)
        return None if inner is None else ["twirled", inner]
    if isinstance(family, Composed):
        second = _write(family.second, f"{key}s", arrays, depth + 1)
        first = _write(family.first, f"{key}f", arrays, depth + 1)
        return None if first is None or second is None else ["composed", second, first]
    return None


def _read(row: list[Any], arrays: Arrays, depth: int) -> tuple[Family, int]:
    """The family and the number of its strengths."""
    kind, *rest = row
    if depth > _DEPTH:
        raise CircuitError(f"channels are nested at most {_DEPTH} deep")
    if kind == "pauli":
        name, words, shared = rest
        k = len(words[0])
        checked = tuple(check_word(word, k) for word in words)
        if not 1 <= k <= MAX_CHANNEL_WIRES or len(set(checked)) != len(checked) or "I" * k in checked:
            raise CircuitError(f"a Pauli channel has the words {words}")
        return PauliErrors(str(name), checked, bool(shared)), 1 if shared else len(checked)
    if kind == "relaxation":
        family = Relaxation(str(rest[0]))
        return family, family.n_strengths
    if kind == "over_rotation":
        word = check_word(rest[0])
        if not 1 <= len(word) <= MAX_CHANNEL_WIRES:
            raise CircuitError(f"a rotation has the word {word!r}")
        return OverRotation(word), 1
    if kind == "constant":
        return Constant(from_document(rest[0], arrays)), 0
    if kind == "twirled":
        inner, count = _read(rest[0], arrays, depth + 1)
        return Twirled(inner), count
    if kind == "composed":
        second, split = _read(rest[0], arrays, depth + 1)
        first, count = _read(rest[1], arrays, depth + 1)
        return Composed(second, first, split), split + count
    raise CircuitError(f"a channel of the unknown family {kind!r}")
