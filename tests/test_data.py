"""Reading data: what is accepted, and that every error names file, line and column."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ketgrad import data
from ketgrad.errors import ArgumentError, DataError

GOOD = "length,width,kind\n1.5,2,cat\n3,-4e-1,dog\n5,6,cat\n"


def write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "pets.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.replace("cat", '"cat"').replace("length", ' "length"'),
        GOOD.replace("\n3", "\n\n  \n3"),
        GOOD.rstrip(),
        GOOD.replace(",", ", "),
    ],
    ids=["commas", "semicolons", "tabs", "crlf", "bom", "quotes", "blank lines", "no last newline", "spaces"],
)
def test_good_files(tmp_path: Path, content: str) -> None:
    got = data.read_csv(write(tmp_path, content))
    assert got.name == "pets" and got.target == "kind" and got.feature_names == ("length", "width")
    assert got.features.tolist() == [[1.5, 2], [3, -0.4], [5, 6]]
    assert got.labels.tolist() == ["cat", "dog", "cat"]


def test_target_is_any_column(tmp_path: Path) -> None:
    got = data.read_csv(write(tmp_path, "kind,a,b\nx,1,2\ny,3,4\n"), target="kind")
    assert got.features.tolist() == [[1, 2], [3, 4]] and got.labels.tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"pets\.csv is empty"),
        ("\n\n", r"pets\.csv is empty"),
        ("a,b,kind\n", "a header and no rows"),
        ("a,b,kind\n1,2,x\n1,two,y\n", r"pets\.csv, line 3, column 2 \('b'\): 'two' is not a number"),
        ("a,b,kind\n1,2,x\n\n,2,y\n", r"pets\.csv, line 4, column 1 \('a'\): a value is missing"),
        ("a,b,kind\n1,NA,x\n1,2,y\n", r"line 2, column 2 \('b'\): a value is missing"),
        ("a,b,kind\n1,nan,x\n1,2,y\n", r"line 2, column 2 \('b'\): a value is missing"),
        ("a,b,kind\n1,2,x\n1,inf,y\n", r"line 3, column 2 \('b'\): 'inf' is not finite"),
        ("a,b,kind\n1,1e999,x\n1,2,y\n", r"line 2, column 2 \('b'\): '1e999' is not finite"),
        ("a,b,kind\n1,2,x\n1,2\n", "line 3: 2 columns, and the header has 3; a value or a separator is missing"),
        ("a,b,kind\n1,2,x,5\n1,2,y\n", "line 2: 4 columns, and the header has 3; the row is too long"),
        ("a,b,kind\n1,2,x\n1,2,\n", r"line 3, column 3 \('kind'\): the label is missing"),
        ("a,b,kind\n1,2,x\n3,4,x\n", r"column 3 \('kind'\): every row has the label 'x'.*--target"),
        ("kind\nx\ny\n", "only the column 'kind'"),
        ("1,2,0\n3,4,1\n", "line 1: numbers in place of names; the first line must name the columns"),
        ("a,,kind\n1,2,x\n", "line 1, column 2: the column has no name"),
        ("a,a,kind\n1,2,x\n", "line 1, column 2: the name 'a' occurs twice"),
        ('a,b,kind\n1,"2,x\n1,2,y\n', "line 3: unexpected end of data"),
        (b"a,b\n1,\x00\n", r"line 2: a zero byte; this is a binary file"),
        (b"a,b\n1,\xff\n", r"line 2: byte 0xff is not UTF-8"),
        (bytes(range(1, 256)), r"pets\.csv, line \d+: "),
    ],
)
def test_bad_files(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.read_csv(write(tmp_path, content))


def test_a_record_over_two_lines_is_named_by_its_last(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 4, column 1 \('a'\): 'x' is not a number"):
        data.read_csv(write(tmp_path, 'a,kind\n1,"x\ny"\nx,z\n'))


def test_no_such_file_or_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        data.load(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot read"):
        data.load(tmp_path)
    with pytest.raises(DataError, match="no bundled data set and no file is called 'digit'.*Did you mean 'digits'"):
        data.load("digit")
    with pytest.raises(DataError, match="has no column 'Kind'; it has 'length'.*Did you mean 'kind'"):
        data.load(write(tmp_path, GOOD), target="Kind")
    with pytest.raises(ArgumentError, match="bundled"):
        data.load("iris", target="kind")


def test_read_features_goes_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, "extra,width,length,kind\nq,2,1,cat\nr,4,3,dog\n")
    features, labels = data.read_features(path, ["length", "width"], "kind")
    assert features.tolist() == [[1, 2], [3, 4]]
    assert labels is not None and labels.tolist() == ["cat", "dog"]
    assert data.read_features(path, ["width"], "absent")[1] is None
    with pytest.raises(DataError, match="lacks 2 of the 3 columns.*'depth', 'Width'"):
        data.read_features(path, ["depth", "length", "Width"])


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [("digits", (1797, 64), 10), ("breast-cancer", (569, 30), 2), ("wine", (178, 13), 3), ("iris", (150, 4), 3)],
)
def test_bundled(name: str, shape: tuple[int, int], classes: int) -> None:
    pytest.importorskip("sklearn")
    got = data.load(name)
    assert got.features.shape == shape and len(got.feature_names) == shape[1]
    assert len(data.sorted_classes(got.labels)) == classes


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(DataError, match=r"pip install 'ketgrad\[sklearn\]'"):
        data.load("digits")


def test_fingerprint_sees_every_change(tmp_path: Path) -> None:
    one = data.read_csv(write(tmp_path, GOOD))
    for changed in (GOOD.replace("1.5", "1.6"), GOOD.replace("dog", "cow"), GOOD.replace("5,6,cat\n", "")):
        assert data.read_csv(write(tmp_path, changed)).fingerprint != one.fingerprint
    assert data.read_csv(write(tmp_path, GOOD)).fingerprint == one.fingerprint


def test_classes_of_numbers_sort_as_numbers() -> None:
    assert data.sorted_classes(np.array(["10", "9", "1"])) == ["1", "9", "10"]
    assert data.sorted_classes(np.array(["10", "9", "x"])) == ["10", "9", "x"]
    assert data.sorted_classes(np.array([3, 1, 3])) == [1, 3]


def test_split_is_stratified_disjoint_and_fixed() -> None:
    labels = np.array(["a"] * 50 + ["b"] * 25 + ["c"] * 2 + ["d"])
    train, test = data.stratified_split(labels)
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert [(labels[test] == c).sum() for c in "abcd"] == [10, 5, 1, 0]
    again = data.stratified_split(labels)
    assert np.array_equal(train, again[0]) and np.array_equal(test, again[1])
    assert not np.array_equal(test, data.stratified_split(labels, seed=1)[1])
    with pytest.raises(DataError, match="more rows are needed"):
        data.stratified_split(np.array(["a", "b"]))


def test_a_missing_header_is_noticed_and_counted_columns_are_names(tmp_path: Path) -> None:
    rows = "0.1,2.5,cat\n0.3,1.5,dog\n0.2,2.0,cat\n0.4,1.0,dog\n"
    path = tmp_path / "plain.csv"
    path.write_text(rows)
    with pytest.raises(DataError, match="must name the columns"):
        data.read_csv(path)
    path.write_text("0,1,label\n" + rows)
    assert len(data.read_csv(path).labels) == 4
