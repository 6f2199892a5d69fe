"""Files of optimisation problems: what is read, what is written, and what is said of files that are wrong."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ketgrad.anneal import Ising, files
from ketgrad.errors import ArgumentError, DataError, KetgradError

dimod = pytest.importorskip("dimod")

TRIANGLE = "3 3\n1 2 1\n2 3 -2\n1 3 0.5\n"
ENDINGS = {"rudy": ".rud", "sparse": ".sparse", "coo": ".coo", "qubo": ".csv", "bqpjson": ".json", "bqm": ".bqm"}


def all_energies(problem: Ising) -> np.ndarray:
    return problem.energies(np.array(list(itertools.product([-1, 1], repeat=problem.n))))


def bits(n: int) -> np.ndarray:
    return np.array(list(itertools.product([0, 1], repeat=n)))


def save(folder: Path, text: str | bytes, name: str = "problem.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def dense(n: int = 5, fields: bool = True, offset: float = 0.3) -> Ising:
    rng = np.random.default_rng(n)
    pairs = [p for p in itertools.combinations(range(n), 2) if rng.random() < 0.7]
    return Ising.of(rng.normal(size=n) * fields, pairs, rng.normal(size=len(pairs)), offset)


def test_a_graph_to_cut(tmp_path: Path) -> None:
    problem = files.read(save(tmp_path, "# a comment\n\n" + TRIANGLE))
    for spins in itertools.product([-1, 1], repeat=3):
        cut = sum(w for i, j, w in [(0, 1, 1), (1, 2, -2), (0, 2, 0.5)] if spins[i] != spins[j])
        assert problem.energies(spins) == pytest.approx(-cut, abs=1e-15)
    unweighted = files.read(save(tmp_path, "2 1\r\n1 2\r\n"))
    assert unweighted.energies([1, -1]) == -1


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-8"])
def test_encodings(tmp_path: Path, code: str) -> None:
    problem = files.read(save(tmp_path, TRIANGLE.replace("\n", "\r\n").encode(code), "G14.txt"))
    assert problem.n == 3 and len(problem.pairs) == 3


def test_bits_of_a_symmetric_matrix(tmp_path: Path) -> None:
    problem = files.read(save(tmp_path, "3 4\n1 1 -5\n2 2 3\n1 2 2\n3 1 -1.5\n", "bqp.sparse"))
    q = np.array([[-5, 2, -1.5], [2, 3, 0], [-1.5, 0, 0]])
    b = bits(3)
    np.testing.assert_allclose(problem.energies(2 * b - 1), np.einsum("ri,ij,rj->r", b, q, b), atol=1e-12)


def test_a_qubo_matrix(tmp_path: Path) -> None:
    q = np.random.default_rng(0).normal(size=(4, 4))
    wanted = np.einsum("ri,ij,rj->r", bits(4), q, bits(4))
    np.save(tmp_path / "q.npy", q)
    np.savetxt(tmp_path / "q.csv", q, delimiter=",", fmt="%.18e")
    np.savetxt(tmp_path / "spaces.csv", q, fmt="%.18e")
    for name in ("q.npy", "q.csv", "spaces.csv"):
        np.testing.assert_allclose(files.read(tmp_path / name).energies(2 * bits(4) - 1), wanted, atol=1e-12)


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_what_dimod_writes(tmp_path: Path, vartype: str) -> None:
    from dimod.serialization import coo

    bqm = dimod.BinaryQuadraticModel({0: 0.5, 3: -1.25}, {(0, 3): 2.0, (3, 7): -0.75}, 0.0, vartype)
    save(tmp_path, coo.dumps(bqm, vartype_header=True), "anything.txt")
    with bqm.to_file() as file:
        save(tmp_path, file.read(), "model.bin")
    for name in ("anything.txt", "model.bin"):
        problem = files.read(tmp_path / name)
        assert problem.labels == (0, 3, 7)
        for s in itertools.product([-1, 1], repeat=3):
            sample = {v: x if vartype == "SPIN" else (x + 1) // 2 for v, x in zip(problem.labels, s, strict=True)}
            assert problem.energies(s) == pytest.approx(bqm.energy(sample))


@pytest.mark.parametrize("domain", ["spin", "boolean"])
def test_bqpjson(tmp_path: Path, domain: str) -> None:
    told = {
        "version": "1.0.0",
        "id": 7,
        "metadata": {},
        "variable_ids": [2, 4, 9],
        "variable_domain": domain,
        "scale": 2.0,
        "offset": 0.25,
        "linear_terms": [{"id": 4, "coeff": -1.5}],
        "quadratic_terms": [{"id_tail": 2, "id_head": 9, "coeff": 3.0}],
    }
    problem = files.read(save(tmp_path, json.dumps(told), "p.json"))
    assert problem.labels == (2, 4, 9)
    for s in itertools.product([-1, 1], repeat=3):
        v = s if domain == "spin" else [(x + 1) // 2 for x in s]
        assert problem.energies(s) == pytest.approx(2 * (0.25 - 1.5 * v[1] + 3 * v[0] * v[2]))


@pytest.mark.parametrize("format", [f for f in ENDINGS if f != "rudy"])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_written_and_read_again(tmp_path: Path, format: str, offset: float) -> None:
    problem = dense(offset=offset)
    path = tmp_path / f"p{ENDINGS[format]}"
    files.write(problem, path)
    np.testing.assert_allclose(all_energies(files.read(path)), all_energies(problem), atol=1e-12)
    other = tmp_path / "p.unknown"
    files.write(problem, other, format)
    assert other.read_bytes() == path.read_bytes()
    np.testing.assert_allclose(all_energies(files.read(other, format)), all_energies(problem), atol=1e-12)


def test_a_cut_written_and_read_again(tmp_path: Path) -> None:
    from ketgrad.anneal import generators

    problem = generators.gset(9, 20, signed=True, seed=1)
    files.write(problem, tmp_path / "g.rud")
    assert (tmp_path / "g.rud").read_text().splitlines()[0] == "9 20"
    np.testing.assert_array_equal(all_energies(files.read(tmp_path / "g.rud")), all_energies(problem))


def test_variables_that_nothing_names_are_kept(tmp_path: Path) -> None:
    problem = Ising.of([0.0, 0.0, 1.0], [(0, 2)], [1.0])
    for format, ending in ENDINGS.items():
        if format != "rudy":
            files.write(problem, tmp_path / f"p{ending}")
            assert files.read(tmp_path / f"p{ending}").n == 3


def test_npy_without_a_constant(tmp_path: Path) -> None:
    problem = Ising.from_bits([1.0, -2.0], [(0, 1)], [3.0])
    files.write(problem, tmp_path / "q.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "q.npy"), [[1, 3], [0, -2]])


@pytest.mark.parametrize(
    ("make", "name", "says"),
    [
        (lambda: dense(), "p.rud", "fields"),
        (lambda: dense(fields=False), "p.rud", "constant"),
        (lambda: dense(), "p.npy", "no place for the constant"),
        (lambda: Ising.of([1.0], labels=["a"]), "p.coo", "format='bqm'"),
        (lambda: Ising.of([1.0], labels=["a"]), "p.json", "format='bqm'"),
        (lambda: dense(), "p.docx", "format must be one of"),
    ],
)
def test_what_a_format_cannot_hold(tmp_path: Path, make, name: str, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        files.write(make(), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "text", "line", "says"),
    [
        ("g.txt", "3\n1 2 1\n", 1, "the first line is 'n m'"),
        ("g.txt", "three 3\n", 1, "number of variables is an integer"),
        ("g.txt", "0 0\n", 1, "must be from 1"),
        ("g.txt", "99999999999 0\n", 1, "number of variables must be from 1 to"),
        ("g.txt", "3 1\n# half\n1 2 1 1\n", 3, "got 4 words"),
        ("g.txt", "3 1\n1 4 1\n", 2, "a variable must be from 1 to 3, got 4"),
        ("g.txt", "3 1\n0 2 1\n", 2, "got 0"),
        ("g.txt", "3 1\n1 -2 1\n", 2, "an integer from 1, got '-2'"),
        ("g.txt", "3 1\n1 2.5 1\n", 2, "got '2.5'"),
        ("g.txt", "3 1\n1 2 x\n", 2, "a weight is a number, got 'x'"),
        ("g.txt", "3 1\n1 2 1_0\n", 2, "got '1_0'"),
        ("g.txt", "3 1\n1 2 nan\n", 2, "must be finite"),
        ("g.txt", "3 1\n1 2 -inf\n", 2, "must be finite"),
        ("g.txt", "3 1\n2 2 1\n", 2, "an edge joins two nodes"),
        ("g.txt", "3 2\n1 2 1\n2 1 1\n", 3, "was given in line 2 already"),
        ("g.txt", "3 1\n1 2 1\n2 3 1\n", 3, "more entries than the 1"),
        ("g.txt", "3 9\n1 2 1\n", None, "ends after 1 entries of the 9"),
        ("g.txt", "# nothing\n", None, "nothing but comments"),
        ("g.txt", "", None, "nothing but comments"),
        ("g.sparse", "3 1\n1 2\n", 2, "got 2 words"),
        ("g.sparse", "3 2\n1 1 1\n1 1 2\n", 3, "given in line 2 already"),
        ("g.coo", "0 1 2\n", None, "vartype=SPIN"),
        ("g.coo", "# vartype=SPAN\n0 1 2\n", 1, "got SPAN"),
        ("g.coo", "# vartype=SPIN\n# vartype=BINARY\n", 2, "got BINARY"),
        ("g.coo", "# vartype=SPIN\n0 1\n", 2, "got 2 words"),
        ("g.coo", "# vartype=SPIN\na 1 2\n", 2, "got 'a'"),
        ("g.coo", "# vartype=SPIN\n", None, "at least one variable"),
        ("g.coo", "# vartype=SPIN\n# offset=one\n0 0 1\n", 2, "the offset is a number"),
        ("q.csv", "1,2\n3\n", 2, "1 entries, and the first row has 2"),
        ("q.csv", "1,2\n3,four\n", 2, "entry 2 is a number, got 'four'"),
        ("q.csv", "1,2,3\n4,5,6\n", None, "square"),
        ("q.csv", "1,,3\n", 1, "entry 2"),
        ("q.csv", "", None, "at least one variable"),
        ("p.json", '{"a": 1,\n]', 2, "not JSON"),
        ("p.json", '{"a": 1}', None, "not the bqpjson format"),
        ("p.xyz", "3 1\n1 2 1\n", None, "'.xyz' are not known"),
        ("g.txt", b"3 1\n1 2 \xff\n", 2, "neither UTF-8 nor UTF-16"),
        ("q.npy", b"\x93NUMPY\x01\x00v\x00", None, "not a NumPy file"),
        ("m.bqm", b"DIMODBQM\x02\x00", None, "BinaryQuadraticModel"),
    ],
)
def test_malformed(tmp_path: Path, name: str, text: str | bytes, line: int | None, says: str) -> None:
    path = save(tmp_path, text, name)
    with pytest.raises(DataError) as error:
        files.read(path)
    message = str(error.value)
    assert message.startswith(f"{path}, line {line}: " if line else str(path)), message
    assert says in message, message


def test_other_mistakes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        files.read(tmp_path / "absent.txt")
    with pytest.raises(DataError, match="cannot be read"):
        files.read(tmp_path)
    with pytest.raises(ArgumentError, match="Did you mean 'rudy'"):
        files.read(tmp_path / "absent.txt", format="rudi")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a NumPy file"):
        files.read(tmp_path / "objects.npy")
    np.save(tmp_path / "nan.npy", np.full((2, 2), np.nan))
    with pytest.raises(DataError, match="nan.npy"):
        files.read(tmp_path / "nan.npy")


WORDS = st.sampled_from(
    ["1", "2", "3", "-1", "0.5", "nan", "1e999", "x", "#", "# vartype=SPIN", "{", "", "9" * 30, "é"]
)
TEXTS = st.lists(st.lists(WORDS, max_size=4).map(" ".join), max_size=6).map("\n".join)
JSONS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["variable_ids", "linear_terms", "quadratic_terms", "id", "coeff"]), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60) | TEXTS.map(str.encode) | JSONS.map(lambda j: json.dumps(j).encode()),
    format=st.sampled_from([None, *files.FORMATS]),
    ending=st.sampled_from([*ENDINGS.values(), ".npy", ".txt", ".z"]),
)
def test_junk_is_read_or_refused(tmp_path: Path, content: bytes, format: str | None, ending: str) -> None:
    path = save(tmp_path, content, f"junk{ending}")
    try:
        problem = files.read(path, format)
    except KetgradError as error:
        assert isinstance(error, DataError) and str(error).startswith(str(path))
    else:
        assert problem.n >= 1 and np.isfinite(problem.energies(np.ones(problem.n)))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), format=st.sampled_from([f for f in ENDINGS if f != "bqm"]))
def test_a_changed_byte_is_read_or_refused(tmp_path: Path, data: st.DataObject, format: str) -> None:
    problem = Ising.of([0.0] * 3, [(0, 1), (1, 2)], [0.5, -1.0], 0.5) if format == "rudy" else dense(3)
    path = tmp_path / f"p{ENDINGS[format]}"
    files.write(problem, path)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        files.read(path, format)
    except KetgradError as error:
        assert isinstance(error, DataError)
