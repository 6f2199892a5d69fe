"""The programs in examples/, run in small form: every figure agrees with its reference, and there is a picture."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from example_programs import EXAMPLES, NATIVE_ROWS, PENNYLANE_ROWS, program, promised_numbers

pytest.importorskip("matplotlib")
threadpoolctl = pytest.importorskip("threadpoolctl", reason="comes with scikit-learn")

NEEDS = {
    "kernel_svc.py": ["sklearn"],
    "noisy_training.py": ["sklearn"],
    "maxcut.py": ["scipy", "networkx"],
    "reuploading.py": ["scipy", "sklearn"],
    "torch_digits.py": ["sklearn", "ketgrad.torch"],
    "ising.py": ["scipy"],
    "tunnelling.py": ["scipy", "dimod"],
    "vqe.py": ["scipy"],
}
NOT_PROGRAMS = {"shared.py", "make_molecules.py"}


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The programs keep BLAS to one thread; afterwards it is as before."""
    with threadpoolctl.threadpool_limits(1, "blas"):
        yield


def test_readme_lists_every_program() -> None:
    listed = [file for file, _, _ in [*NATIVE_ROWS, *PENNYLANE_ROWS]]
    assert sorted(listed) == sorted({path.name for path in EXAMPLES.glob("*.py")} - NOT_PROGRAMS)
    for name in NOT_PROGRAMS:
        assert name in (EXAMPLES / "README.md").read_text()


@pytest.mark.parametrize(("file", "command", "promise"), NATIVE_ROWS, ids=[file for file, _, _ in NATIVE_ROWS])
def test_figures_agree_with_their_references(
    file: str, command: str, promise: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in NEEDS.get(file, ()):
        pytest.importorskip(package)
    interpreter, path, *arguments = shlex.split(command)
    assert (interpreter, path, arguments) == ("python", f"examples/{file}", [])
    figures = program(file).main(["--quick", "--out", str(tmp_path)])
    assert figures
    for figure in figures:
        assert figure.agrees, figure
        assert figure.source
    printed = capsys.readouterr().out
    for number in promised_numbers(promise):
        assert number in printed.split(), number
    (picture,) = tmp_path.iterdir()
    assert picture.name == Path(file).with_suffix(".png").name
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"picture: {picture}" in printed


def test_a_figure_that_is_off_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = program("shared.py")
    good, bad = (shared.Figure("energy", 1.0 + off, 1.0, "a book", 1e-6) for off in (1e-9, 2e-6))
    shared.finish([good, bad], shared.Picture(), tmp_path / "new" / "empty.png")
    first, second, _ = capsys.readouterr().out.splitlines()
    assert "agrees" in first and "DIFFERS" in second
    assert (tmp_path / "new" / "empty.png").is_file()


def test_pictures_of_the_readme_are_there_and_small() -> None:
    text = (EXAMPLES / "README.md").read_text()
    shown = set(re.findall(r"\((pictures/.+?\.png)\)", text))
    assert shown == {f"pictures/{Path(file).stem}.png" for file, _, _ in NATIVE_ROWS}
    for name in shown:
        assert 0 < (EXAMPLES / name).stat().st_size < 60_000, name


@pytest.mark.parametrize("file", [file for file, _, _ in NATIVE_ROWS])
def test_programs_are_short_and_say_what_they_show(file: str) -> None:
    source = (EXAMPLES / file).read_text()
    assert source.count("\n") <= 115
    about = ast.get_docstring(ast.parse(source))
    assert about is not None and f"python examples/{file} [--quick] [--out FOLDER]" in about
