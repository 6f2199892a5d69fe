"""Text of problem files: numbered lines, and numbers and indices in them, or a refusal that names the line.

Owns: encodings, comments, "i j value" lines. May not know: what the numbers of a format mean.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .problem import Array, Indices

_OFFSET = re.compile(r"#\s*offset\s*[:=]\s*(\S+)", re.IGNORECASE)
MAX_VARIABLES = 10**7  # a larger number in a header is a mistake, and would take gigabytes
Line = tuple[int, list[str]]  # a line's number, from 1, and its words


class Text(NamedTuple):
    """A text file: its name for messages, its comments, and its other lines, blank ones left out."""

    path: Path
    comments: list[tuple[int, str]]
    lines: list[Line]

    def wrong(self, number: int, reason: str) -> DataError:
        return DataError(f"{self.path}, line {number}: {reason}")


def decoded(path: Path, data: bytes, whole: bool = True) -> str:
    """Text of UTF-8 or UTF-16, with or without a byte order mark."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        code = "utf-16"
    elif len(data) > 3 and 0 in data[:4]:
        code = "utf-16-le" if data[1] == 0 else "utf-16-be"
    else:
        code = "utf-8-sig"
    try:
        return data.decode(code, errors="strict" if whole else "replace")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {number}: neither UTF-8 nor UTF-16 text; is this a problem's file?") from None


def text_of(path: Path, data: bytes) -> Text:
    comments, lines = [], []
    for number, line in enumerate(decoded(path, data).splitlines(), start=1):
        words = line.split()
        if words and words[0].startswith(("#", "%")):
            comments.append((number, line.strip()))
        elif words:
            lines.append((number, words))
    return Text(path, comments, lines)


def finite_number(text: Text, number: int, word: str, what: str) -> float:
    """A finite number, or a refusal; Python's float would also take "1_0" and the digits of other scripts."""
    try:
        if not word.isascii() or "_" in word:
            raise ValueError
        value = float(word)
    except ValueError:
        raise text.wrong(number, f"{what} is a number, got {word[:40]!r}") from None
    if not math.isfinite(value):
        raise text.wrong(number, f"{what} must be finite, got {word[:40]}")
    return value


def index(text: Text, number: int, word: str, low: int, high: int, what: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 19):
        raise text.wrong(number, f"{what} is an integer from {low}, got {word[:40]!r}")
    if not low <= int(word) <= high:
        raise text.wrong(number, f"{what} must be from {low} to {high}, got {word}")
    return int(word)


def offset_of(text: Text) -> float:
    """The constant that a comment tells, or 0."""
    for number, line in text.comments:
        if found := _OFFSET.match(line):
            return finite_number(text, number, found[1], "the offset")
    return 0.0


def entries_of(text: Text, weightless: bool) -> tuple[int, Indices, Array, list[int]]:
    """The number of variables, pairs from 0, weights and line numbers of a file "n m", "i j w" from 1."""
    if not text.lines:
        raise DataError(f"{text.path}: nothing but comments; the first line is 'n m', variables and entries")
    number, head = text.lines[0]
    if len(head) != 2:
        raise text.wrong(number, f"the first line is 'n m', variables and entries, got {' '.join(head)[:60]!r}")
    n = index(text, number, head[0], 1, MAX_VARIABLES, "the number of variables")
    m = index(text, number, head[1], 0, 10**9, "the number of entries")
    pairs: list[list[int]] = []
    weights: list[float] = []
    numbers: list[int] = []
    for number, words in text.lines[1:]:
        if len(weights) == m:
            raise text.wrong(number, f"more entries than the {m} of the first line")
        if len(words) != 3 and not (weightless and len(words) == 2):
            raise text.wrong(number, f"a line is 'i j weight', got {len(words)} words: {' '.join(words)[:60]!r}")
        pairs.append([index(text, number, w, 1, n, "a variable") - 1 for w in words[:2]])
        weights.append(finite_number(text, number, words[2], "a weight") if len(words) == 3 else 1.0)
        numbers.append(number)
    if len(weights) < m:
        raise DataError(f"{text.path}: ends after {len(weights)} entries of the {m} that its first line promises")
    return n, np.array(pairs, dtype=np.int64).reshape(-1, 2), np.array(weights), numbers


def refuse_repeated(text: Text, pairs: Indices, numbers: list[int]) -> None:
    """A pair given twice is a mistake or a convention that is not this format's; silence would double a weight."""
    ordered = np.sort(pairs, axis=1)
    _, first, group = np.unique(ordered, axis=0, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[group.reshape(-1)] != np.arange(len(pairs)))
    if len(again):
        k = int(again[0])
        here, there = numbers[k], numbers[int(first[group.reshape(-1)[k]])]
        raise text.wrong(here, f"the pair {tuple((pairs[k] + 1).tolist())} was given in line {there} already")


def lines(head: str, i: npt.ArrayLike, j: npt.ArrayLike, values: Array, base: int) -> bytes:
    """ "i j value" with as many digits as a number needs."""
    rows = zip(np.asarray(i).tolist(), np.asarray(j).tolist(), values.tolist(), strict=True)
    return "".join([head, *(f"{a + base} {b + base} {short(c)}\n" for a, b, c in rows)]).encode()


def short(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
