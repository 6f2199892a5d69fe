"""Data sets: the bundled ones, CSV files, and the fixed stratified split.

Owns: reading and checking tables; every error names file, line and column. May not know: circuits, training.
"""

from __future__ import annotations

import csv
import io
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import ArgumentError, DataError, suggest

Array = npt.NDArray[np.float64]
BUNDLED = ("digits", "breast-cancer", "wine", "iris")
_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
_DELIMITERS = ",;\t"


class Dataset(NamedTuple):
    """N samples of F features with their labels."""

    name: str
    features: Array  # (N, F)
    labels: npt.NDArray[np.str_]  # (N,)
    feature_names: tuple[str, ...]
    target: str

    @property
    def fingerprint(self) -> int:
        """A CRC32 of the content; two equal data sets have the same."""
        return fingerprint(self.features, self.labels)


def fingerprint(features: Array, labels: npt.NDArray[Any]) -> int:
    """A CRC32 of features and labels."""
    head = zlib.crc32(np.ascontiguousarray(features).tobytes(), zlib.crc32(repr(features.shape).encode()))
    return zlib.crc32("\0".join(map(str, labels.tolist())).encode(), head)


def load(source: str | os.PathLike[str], target: str | None = None) -> Dataset:
    """A bundled data set by name, or a CSV file.

    Args:
        source: "digits", "breast-cancer", "wine", "iris" (they need scikit-learn), or a path.
        target: the column of the labels in a CSV; default the last.

    Raises:
        DataError: no such data set or file, or one that cannot be used.
    """
    name = os.fspath(source)
    if name in BUNDLED:
        if target is not None:
            raise ArgumentError(f"--target chooses a column of a CSV file, and {name} is a bundled data set")
        return _bundled(name)
    path = Path(name)
    if not path.exists() and not path.suffix and os.sep not in name:
        raise DataError(
            f"no bundled data set and no file is called {name!r}; bundled are {', '.join(BUNDLED)}."
            f"{suggest(name, BUNDLED)}"
        )
    return read_csv(path, target)


def _bundled(name: str) -> Dataset:
    try:
        from sklearn import datasets
    except ImportError:
        raise DataError(
            f"the data set {name!r} comes with scikit-learn, which is not installed; "
            "pip install 'ketgrad[sklearn]', or give a CSV file"
        ) from None
    bunch = getattr(datasets, "load_" + name.replace("-", "_"))()
    labels = np.array([str(bunch.target_names[t]) for t in bunch.target])
    names = tuple(str(n).replace(" ", "_") for n in bunch.feature_names)
    return Dataset(name, np.ascontiguousarray(bunch.data, dtype=np.float64), labels, names, "target")


# CSV


class _Table(NamedTuple):
    """A CSV file as text: its header, and its rows with the line each ends on."""

    path: Path
    header: list[str]
    rows: list[tuple[int, list[str]]]

    def where(self, line: int, column: int) -> str:
        return f"{self.path}, line {line}, column {column + 1} ({self.header[column]!r})"


def read_csv(path: str | os.PathLike[str], target: str | None = None) -> Dataset:
    """Read a CSV file: a header row, numeric features, one column of labels.

    Args:
        path: separated by commas, semicolons or tabs; UTF-8.
        target: the column of the labels; default the last.

    Raises:
        DataError: naming file, line and column.
    """
    table = _read_table(Path(path))
    name = table.header[-1] if target is None else target
    if name not in table.header:
        raise DataError(f"{path} has no column {name!r}; it has {_some(table.header)}.{suggest(name, table.header)}")
    at = table.header.index(name)
    columns = [c for c in range(len(table.header)) if c != at]
    if not columns:
        raise DataError(f"{path} has only the column {name!r}; features are needed beside the target")
    features = _numbers(table, columns)
    labels = np.array([_label(table, line, at, row[at]) for line, row in table.rows])
    if len(np.unique(labels)) < 2:
        raise DataError(
            f"{path}, column {at + 1} ({name!r}): every row has the label {str(labels[0])!r}, and at least two "
            "classes are needed; is it the right column? choose another with --target"
        )
    return Dataset(Path(path).stem, features, labels, tuple(table.header[c] for c in columns), name)


def read_features(
    path: str | os.PathLike[str], names: Sequence[str], target: str | None = None
) -> tuple[Array, npt.NDArray[np.str_] | None]:
    """The named feature columns of a CSV in this order, and its labels when it has the column `target`.

    Raises:
        DataError: a column is missing, or as in `read_csv`.
    """
    table = _read_table(Path(path))
    missing = [n for n in names if n not in table.header]
    if missing:
        raise DataError(
            f"{path} lacks {len(missing)} of the {len(names)} columns the model was trained on: {_some(missing)}."
            f"{suggest(missing[0], table.header)}"
        )
    features = _numbers(table, [table.header.index(n) for n in names])
    if target is None or target not in table.header:
        return features, None
    at = table.header.index(target)
    return features, np.array([row[at].strip() for _, row in table.rows])


def _read_table(path: Path) -> _Table:
    lines = _records(path, _read_text(path))
    _, header = next(lines, (0, []))
    header = [h.strip() for h in header]
    if not header:
        raise DataError(f"{path} is empty; a header row and rows of numbers are needed")
    _check_header(path, header)
    rows = []
    for line, row in lines:
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {line}: {len(row)} columns, and the header has {len(header)}; "
                f"{'a value or a separator is missing' if len(row) < len(header) else 'the row is too long'}"
            )
        rows.append((line, row))
    if not rows:
        raise DataError(f"{path} has a header and no rows of data")
    return _Table(path, header, rows)


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path, or use one of {', '.join(BUNDLED)}") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DataError(f"{path}, line {line}: a zero byte; this is a binary file, not a CSV")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8; save the file as a UTF-8 CSV"
        ) from None


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of every record that is not blank."""
    first = text.lstrip().partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}") from None
        if any(field.strip() for field in row):
            yield reader.line_num, row


def _check_header(path: Path, header: list[str]) -> None:
    numbers = [h for h in header if _is_number(h)]
    # columns may be named 0, 1, 2, ...; any other numbers beside one label are a first row of data
    counted = any(numbers == [str(i + first) for i in range(len(numbers))] for first in (0, 1))
    if len(numbers) == len(header) or (len(numbers) == len(header) - 1 and numbers and not counted):
        raise DataError(f"{path}, line 1: numbers in place of names; the first line must name the columns")
    for column, name in enumerate(header):
        if not name:
            raise DataError(f"{path}, line 1, column {column + 1}: the column has no name")
        if name in header[:column]:
            raise DataError(f"{path}, line 1, column {column + 1}: the name {name!r} occurs twice")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(table: _Table, columns: Sequence[int]) -> Array:
    """(rows, columns) of finite numbers."""
    out = np.empty((len(table.rows), len(columns)))
    for r, (line, row) in enumerate(table.rows):
        for k, column in enumerate(columns):
            try:
                out[r, k] = float(row[column])
            except ValueError:
                raise _unreadable(table, line, column, row[column]) from None
        if not math.isfinite(out[r].sum()):
            for k, column in enumerate(columns):
                if not math.isfinite(out[r, k]):
                    raise _unreadable(table, line, column, row[column])
    return out


def _unreadable(table: _Table, line: int, column: int, text: str) -> DataError:
    where = table.where(line, column)
    if text.strip().lower() in _MISSING:
        return DataError(f"{where}: a value is missing; fill it in or drop the row")
    if _is_number(text):
        return DataError(f"{where}: {text.strip()!r} is not finite; fill it in or drop the row")
    return DataError(f"{where}: {text.strip()[:40]!r} is not a number; only the target column may be text")


def _label(table: _Table, line: int, column: int, text: str) -> str:
    label = text.strip()
    if not label:
        raise DataError(f"{table.where(line, column)}: the label is missing; fill it in or drop the row")
    return label


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(n) for n in names[:6])
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "")


# classes and the split


def sorted_classes(labels: npt.NDArray[Any]) -> list[Any]:
    """The distinct labels in order; text that is all numbers sorts as numbers ("2" before "10")."""
    classes: list[Any] = np.unique(labels).tolist()
    if all(isinstance(c, str) and _is_number(c) and math.isfinite(float(c)) for c in classes):
        classes.sort(key=lambda c: (float(c), c))
    return classes


def stratified_split(
    labels: npt.NDArray[Any], fraction: float = 0.2, seed: int = 0
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices for training and for testing, with each class in both in proportion.

    Args:
        fraction: of each class that is tested, rounded; a class of one sample is trained on.
        seed: the same seed gives the same split on every machine.

    Raises:
        DataError: nothing would be left to test.
    """
    rng = np.random.default_rng(seed)
    train, test = [], []
    for label in sorted_classes(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(len(members) - 1, max(1, round(fraction * len(members))))
        test.append(members[:count])
        train.append(members[count:])
    if not sum(map(len, test)):
        raise DataError("every class has a single row, so none can be kept for the test; more rows are needed")
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))
