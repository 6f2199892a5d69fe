"""Files of optimisation problems: read with line and reason where they are wrong, and written without loss.

Owns: formats and how a file's is recognised. May not know: engines.

Formats, whose energies are to be minimised:
    rudy: "n m", then "i j weight" from 1: a graph to cut (G-set, Biq Mac .mc). The energy is minus the cut's weight.
    sparse: "n m", then "i j q" from 1: bits, x' Q x with Q symmetric, each pair given once (Biq Mac .sparse).
    coo: "i j bias" from 0, "i i bias" for fields, "# vartype=SPIN" or BINARY on top (dimod).
    qubo: a matrix Q of bits, x' Q x, as CSV or as NumPy's .npy.
    bqpjson: JSON by lanl-ansi/bqpjson.  bqm: `dimod.BinaryQuadraticModel.to_file`.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError, DataError, KetgradError, suggest
from .file_text import decoded, entries_of, finite_number, index, lines, offset_of, refuse_repeated, short, text_of
from .problem import Ising, needed

_SUFFIXES = {
    **dict.fromkeys((".rud", ".rudy", ".mc", ".mac", ".gset", ".txt", ".dat", ""), "rudy"),
    **{".sparse": "sparse", ".coo": "coo", ".csv": "qubo", ".npy": "qubo", ".json": "bqpjson", ".bqm": "bqm"},
}
_MAGIC = b"DIMODBQM"
_VARTYPE = re.compile(r"#.*?vartype\s*[:=]\s*(\w+)", re.IGNORECASE)


def read(path: str | os.PathLike[str], format: str | None = None) -> Ising:
    """A problem from a file.

    Args:
        path: text is UTF-8, or UTF-16, which is recognised.
        format: "rudy", "sparse", "coo", "qubo", "bqpjson" or "bqm"; default by what the file says or how it is called.

    Raises:
        DataError: it cannot be read, or says something that cannot be; names the line.
        ArgumentError: an unknown format.
    """
    where = Path(path)
    if format is not None and format not in FORMATS:
        raise ArgumentError(f"format must be one of {tuple(FORMATS)}, got {format!r}.{suggest(format, tuple(FORMATS))}")
    try:
        data = where.read_bytes()
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from None
    try:
        return FORMATS[format or _recognised(where, data)].read(where, data)
    except DataError:
        raise
    except (KetgradError, MemoryError, RecursionError) as error:  # what `Ising` refuses, such as no variables
        raise DataError(f"{where}: {error or type(error).__name__}") from None


def write(problem: Ising, path: str | os.PathLike[str], format: str | None = None) -> None:
    """Write a problem to a file that `read` gives back with the same energies.

    Args:
        format: see `read`; default by the name's ending.

    Raises:
        ArgumentError: an unknown format, or one that cannot hold this problem; says which can.
        CheckpointError: it cannot be written; an existing file is untouched.
    """
    from ..checkpoint import replace_file

    where = Path(path)
    name = _SUFFIXES.get(where.suffix.lower()) if format is None else format
    if name not in FORMATS:
        raise ArgumentError(
            f"format must be one of {tuple(FORMATS)}, got {name!r}"
            + (f" for a file that ends in {where.suffix!r}" if format is None else suggest(str(format), tuple(FORMATS)))
        )
    data = FORMATS[name].write(problem, where)

    def fill(file: Any) -> None:
        file.write(data)

    replace_file(where, fill)


def _recognised(path: Path, data: bytes) -> str:
    """The format of a file, by its content where that says it, else by its name."""
    if data.startswith(_MAGIC):
        return "bqm"
    if data.startswith(b"\x93NUMPY"):
        return "qubo"
    start = decoded(path, data[:4096], whole=False).lstrip()
    if start.startswith("{"):
        return "bqpjson"
    if _VARTYPE.match(start):
        return "coo"
    suffix = path.suffix.lower()
    name = _SUFFIXES.get(suffix)
    if name is None:
        raise DataError(f"{path}: files that end in {suffix!r} are not known; give format=, one of {tuple(FORMATS)}")
    return name


# one format after the other


def _read_rudy(path: Path, data: bytes) -> Ising:
    text = text_of(path, data)
    n, pairs, weights, numbers = entries_of(text, weightless=True)
    loop = np.flatnonzero(pairs[:, 0] == pairs[:, 1])
    if len(loop):
        node = int(pairs[loop[0], 0]) + 1
        raise text.wrong(numbers[loop[0]], f"an edge joins two nodes, got {node} twice; .sparse files have a diagonal")
    refuse_repeated(text, pairs, numbers)
    return Ising.of(np.zeros(n), pairs, weights / 2, -weights.sum() / 2)


def _write_rudy(problem: Ising, path: Path) -> bytes:
    if not problem.is_cut:
        constant = f"the constant {problem.offset:g}, not {-problem.couplings.sum():g}"
        what = "fields" if problem.has_fields else constant
        raise ArgumentError(f"a rudy file holds the graph of a cut, and this problem has {what}; use format='coo'")
    head = f"{problem.n} {len(problem.pairs)}\n"
    return lines(head, problem.pairs[:, 0], problem.pairs[:, 1], 2 * problem.couplings, 1)


def _read_sparse(path: Path, data: bytes) -> Ising:
    text = text_of(path, data)
    n, pairs, values, numbers = entries_of(text, weightless=False)
    refuse_repeated(text, pairs, numbers)
    own = pairs[:, 0] == pairs[:, 1]
    linear = np.bincount(pairs[own, 0], weights=values[own], minlength=n)
    return Ising.from_bits(linear, pairs[~own], 2 * values[~own], offset_of(text))


def _write_sparse(problem: Ising, path: Path) -> bytes:
    linear, pairs, quadratic, constant = problem.to_bits()
    own = np.flatnonzero(linear)
    i, j = np.concatenate([own, pairs[:, 0]]), np.concatenate([own, pairs[:, 1]])
    head = f"# offset={short(constant)}\n" if constant else ""
    return lines(f"{head}{problem.n} {len(i)}\n", i, j, np.concatenate([linear[own], quadratic / 2]), 1)


def _read_coo(path: Path, data: bytes) -> Ising:
    text = text_of(path, data)
    kinds = [(number, found[1].upper()) for number, c in text.comments if (found := _VARTYPE.match(c))]
    if not kinds:
        raise DataError(f"{path}: a COO file says '# vartype=SPIN' or '# vartype=BINARY' on top, and this one does not")
    for number, kind in kinds:
        if kind not in ("SPIN", "BINARY") or kind != kinds[0][1]:
            raise text.wrong(number, f"vartype is SPIN or BINARY, once, got {kind[:40]}")
    entries = []
    for number, words in text.lines:
        if len(words) != 3:
            raise text.wrong(number, f"a line is 'i j bias', got {len(words)} words: {' '.join(words)[:60]!r}")
        i, j = (index(text, number, w, 0, 2**62, "a variable") for w in words[:2])
        entries.append((i, j, finite_number(text, number, words[2], "a bias")))
    labels = sorted({v for i, j, _ in entries for v in (i, j)})
    place = {v: k for k, v in enumerate(labels)}
    linear = np.zeros(len(labels))
    for i, j, bias in entries:
        if i == j:
            linear[place[i]] += bias
    several = [(place[i], place[j]) for i, j, _ in entries if i != j]
    make = Ising.of if kinds[0][1] == "SPIN" else Ising.from_bits
    return make(linear, several, [b for i, j, b in entries if i != j], offset_of(text), labels)


def _write_coo(problem: Ising, path: Path) -> bytes:
    labels = problem.labels
    if not all(isinstance(v, (int, np.integer)) and v >= 0 for v in labels):
        raise ArgumentError(
            "a COO file has variables 0, 1, 2, ..., and this problem has other labels; use format='bqm'"
        )
    names = np.array(labels, dtype=np.int64)
    # a field of 0 is written where nothing else names its variable
    alone = np.setdiff1d(np.arange(problem.n), problem.pairs)
    own = np.union1d(np.flatnonzero(problem.fields), alone).astype(np.int64)
    head = "# vartype=SPIN\n" + (f"# offset={short(problem.offset)}\n" if problem.offset else "")
    i, j = (np.concatenate([names[own], names[problem.pairs[:, side]]]) for side in (0, 1))
    return lines(head, i, j, np.concatenate([problem.fields[own], problem.couplings]), 0)


def _read_qubo(path: Path, data: bytes) -> Ising:
    from .generators import qubo

    if data.startswith(b"\x93NUMPY"):
        try:
            matrix = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, OSError, EOFError, SyntaxError, TypeError) as error:
            raise DataError(f"{path}: not a NumPy file that can be read: {str(error)[:80]}") from None
        return qubo(matrix)
    text = text_of(path, data)
    rows: list[list[float]] = []
    for number, words in text.lines:
        cells = re.split(r"[,;]\s*|\s+", " ".join(words).strip(",; "))
        rows.append([finite_number(text, number, c, f"entry {k}") for k, c in enumerate(cells, start=1)])
        if len(cells) != len(rows[0]):
            raise text.wrong(number, f"{len(cells)} entries, and the first row has {len(rows[0])}")
    if rows and len(rows) != len(rows[0]):
        raise DataError(f"{path}: a QUBO matrix is square, got {len(rows)} rows of {len(rows[0])} entries")
    problem = qubo(np.array(rows).reshape(len(rows), len(rows)))
    return Ising.of(problem.fields, problem.pairs, problem.couplings, problem.offset + offset_of(text))


def _write_qubo(problem: Ising, path: Path) -> bytes:
    linear, pairs, quadratic, constant = problem.to_bits()
    if problem.n > 20_000:
        raise ArgumentError(f"a matrix of {problem.n:,} variables takes gigabytes; use format='sparse'")
    matrix = np.diag(linear)
    matrix[pairs[:, 0], pairs[:, 1]] = quadratic
    if path.suffix.lower() != ".npy":
        head = f"# offset={short(constant)}\n" if constant else ""
        return (head + "".join(",".join(map(short, row)) + "\n" for row in matrix.tolist())).encode()
    if abs(constant) > 1e-9 * max(1.0, float(np.abs(matrix).max())):
        raise ArgumentError(f"a .npy file has no place for the constant {constant:g}; write a .csv or use format='coo'")
    buffer = io.BytesIO()
    np.save(buffer, matrix)
    return buffer.getvalue()


def _read_bqpjson(path: Path, data: bytes) -> Ising:
    try:
        told = json.loads(decoded(path, data))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from None
    try:
        domain, ids = told["variable_domain"], told["variable_ids"]
        place = {v: k for k, v in enumerate(ids)}
        scale, offset = float(told.get("scale", 1.0)), float(told.get("offset", 0.0))
        linear = np.zeros(len(ids))
        for term in told["linear_terms"]:
            linear[place[term["id"]]] += float(term["coeff"])
        terms = told["quadratic_terms"]
        pairs = [(place[t["id_tail"]], place[t["id_head"]]) for t in terms]
        weights = np.array([float(t["coeff"]) for t in terms])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{path}: not the bqpjson format, see {type(error).__name__}: {str(error)[:60]}") from None
    if domain not in ("spin", "boolean"):
        raise DataError(f"{path}: variable_domain is 'spin' or 'boolean', got {domain!r:.40}")
    make = Ising.of if domain == "spin" else Ising.from_bits
    return make(scale * linear, pairs, scale * weights, scale * offset, ids)


def _write_bqpjson(problem: Ising, path: Path) -> bytes:
    ids = [int(v) if isinstance(v, (int, np.integer)) else k for k, v in enumerate(problem.labels)]
    if ids != list(problem.labels):
        raise ArgumentError("bqpjson has whole numbers for labels, and this problem has others; use format='bqm'")
    own = np.flatnonzero(problem.fields).tolist()
    told = {
        "version": "1.0.0",
        "id": 0,
        "metadata": {},
        "variable_domain": "spin",
        "variable_ids": ids,
        "scale": 1.0,
        "offset": problem.offset,
        "linear_terms": [{"id": ids[k], "coeff": problem.fields[k].item()} for k in own],
        "quadratic_terms": [
            {"id_tail": ids[i], "id_head": ids[j], "coeff": c}
            for (i, j), c in zip(problem.pairs.tolist(), problem.couplings.tolist(), strict=True)
        ],
    }
    return (json.dumps(told, indent=1) + "\n").encode()


def _read_bqm(path: Path, data: bytes) -> Ising:
    try:
        return Ising.from_bqm(needed("dimod").BinaryQuadraticModel.from_file(data))
    except KetgradError:
        raise
    except Exception as error:  # dimod raises whatever the bytes lead it to
        raise DataError(f"{path}: not a file of dimod.BinaryQuadraticModel: {str(error)[:80]}") from None


def _write_bqm(problem: Ising, path: Path) -> bytes:
    with problem.to_bqm().to_file() as file:
        return bytes(file.read())


class _Format(NamedTuple):
    """Both ways of a format."""

    read: Callable[[Path, bytes], Ising]
    write: Callable[[Ising, Path], bytes]


FORMATS = {
    "rudy": _Format(_read_rudy, _write_rudy),
    "sparse": _Format(_read_sparse, _write_sparse),
    "coo": _Format(_read_coo, _write_coo),
    "qubo": _Format(_read_qubo, _write_qubo),
    "bqpjson": _Format(_read_bqpjson, _write_bqpjson),
    "bqm": _Format(_read_bqm, _write_bqm),
}
