"""`ketgrad anneal`: every engine from file to report, what is refused, and what a signal leaves."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_cli import Page, run

from ketgrad.anneal import Ising, files, generators
from ketgrad.charts import curves, histogram

pytest.importorskip("dimod")
pytest.importorskip("scipy")
nx = pytest.importorskip("networkx")


@pytest.fixture
def petersen(tmp_path: Path) -> Path:
    path = tmp_path / "petersen.rud"
    files.write(generators.maxcut(nx.petersen_graph()), path)
    return path


def facts(text: str) -> dict[str, str]:
    """The lines "name    value" at the end."""
    return {line[:16].strip(): line[16:] for line in text.splitlines() if line[14:16] == "  " or line[:3] == "suc"}


ENGINES = {
    "exact": ["--time", "10"],
    "sa": ["--sweeps", "100"],
    "sqa": ["--sweeps", "100"],
    "qaoa": ["--layers", "3"],
}


@pytest.mark.parametrize("engine", ENGINES)
def test_from_file_to_report(engine: str, petersen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out" / "deep"
    words = ["anneal", petersen, "--engine", engine, "--reads", 40, "--out", out, "--ground", -12, *ENGINES[engine]]
    code, shown, errors = run(capsys, *words)
    assert code == 0 and errors == ""
    told = facts(shown)
    assert told["largest cut"] == "12" and told["ground energy"].startswith("-12, reached by")
    assert ("success" if engine in ("exact", "qaoa") else "TTS99") in told

    rows = list(csv.DictReader((out / "samples.csv").read_text().splitlines()))
    assert list(rows[0])[:3] == ["energy", "occurrences", "0"] and len(rows[0]) == 12
    assert sum(int(r["occurrences"]) for r in rows) == 40
    energies = [float(r["energy"]) for r in rows]
    assert energies == sorted(energies) and energies[0] == -12
    problem = files.read(petersen)
    spins = np.array([[int(r[str(k)]) for k in range(10)] for r in rows])
    np.testing.assert_array_equal(problem.energies(spins), energies)
    assert len(np.unique(spins, axis=0)) == len(rows)

    page = Page((out / "report.html").read_text())
    assert not page.links and "Annealing of petersen.rud" in page.words and "Energies of the reads" in page.words
    assert "no advantage" in page.words and "The ground energy is -12" in page.words
    for engines, text in (
        (("exact",), "Gap above the ground state, even states"),
        (("exact",), "Populations of levels of H(s)"),
        (("qaoa",), "Angles"),
        (("exact", "qaoa"), "probability"),
        (("sa", "sqa"), "sweeps"),
    ):
        assert (text in page.words) == (engine in engines), text

    before = (out / "samples.csv").read_bytes()
    assert run(capsys, *(w for w in words if w not in ("--ground", -12)), "--quiet")[0] == 0
    assert (out / "samples.csv").read_bytes() == before  # the same seed


def test_an_unknown_ground_energy_is_said_to_be(petersen: Path, tmp_path: Path, capsys) -> None:
    code, shown, _ = run(capsys, "anneal", petersen, "--reads", 5, "--out", tmp_path)
    assert code == 0 and "ground energy" not in facts(shown) and "simulated annealing" in shown
    assert "need not be the lowest there is" in Page((tmp_path / "report.html").read_text()).words


def test_fields_and_labels(tmp_path: Path, capsys) -> None:
    problem = Ising.of([0.5, -1.0, 0.25], [(0, 1), (1, 2)], [1.0, -1.0], 0.5, [3, 1, 8])
    files.write(problem, tmp_path / "p.coo")
    lowest = problem.energies(np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T).min()
    code, shown, _ = run(
        capsys, "anneal", tmp_path / "p.coo", "--engine", "exact", "--levels", 0, "--reads", 9, "--out", tmp_path
    )
    told = facts(shown)
    assert code == 0 and float(told["lowest energy"].split()[0]) == pytest.approx(lowest) and "largest cut" not in told
    words = Page((tmp_path / "report.html").read_text()).words
    assert "Gap" not in words and "Mean energy along the anneal" in words
    header = (tmp_path / "samples.csv").read_text().splitlines()[0]
    assert header == "energy,occurrences,1,3,8"
    assert run(capsys, "anneal", tmp_path / "p.coo", "--format", "coo", "--engine", "qaoa", "--time", 8, "--layers", 30,
               "--schedule", "quadratic", "--out", tmp_path, "--quiet")[0] == 0  # fmt: skip


def test_what_is_refused(petersen: Path, tmp_path: Path, capsys) -> None:
    broken = tmp_path / "broken.rud"
    broken.write_text("3 2\n1 2 1\n1 9 1\n")
    large = tmp_path / "large.rud"
    files.write(generators.gset(60, 100, seed=0), large)
    for words, message in (
        ([tmp_path / "none.rud"], "none.rud cannot be read: No such file"),
        ([broken], "broken.rud, line 3: a variable must be from 1 to 3, got 9"),
        ([petersen, "--format", "rudi"], "Did you mean 'rudy'"),
        ([petersen, "--engine", "exact", "--sweeps", 5], "--sweeps is for --engine sqa and sa; exact takes --time"),
        ([petersen, "--engine", "sa", "--time", 5], "--time is for --engine exact and qaoa; sa takes --sweeps"),
        ([petersen, "--engine", "qaoa", "--schedule", "linear"], "give its --time"),
        ([petersen, "--reads", 0], "--reads is a number from 1"),
        ([petersen, "--seed", -1], "--seed is a number from 0"),
        ([petersen, "--ground", "nan"], "--ground is a finite energy"),
        ([petersen, "--engine", "exact", "--time", 0], "time"),
        ([petersen, "--engine", "exact", "--schedule", "lineer"], "Did you mean 'linear'"),
        ([large, "--engine", "exact"], "At most"),
        ([large, "--engine", "qaoa"], "at most"),
        ([petersen, "--reads", 2, "--out", broken], "cannot make the folder"),
    ):
        code, _, errors = run(capsys, "anneal", *words, *([] if "--out" in words else ["--out", tmp_path / "o"]))
        assert code == 1 and errors.startswith("ketgrad: error: ") and message in errors, errors
        assert errors.count("\n") == 1
    assert not (tmp_path / "o").exists()
    assert run(capsys, "anneal")[0] == 2 and run(capsys, "anneal", petersen, "--engine", "magic")[0] == 2
    assert run(capsys, "anneal", "--help")[0] == 0


def test_it_is_loaded_only_when_asked_for() -> None:
    code = "import sys; from ketgrad import cli; cli.main(['info']); assert 'ketgrad.anneal_cli' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=120)


def interrupted(out: Path, *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that gets SIGINT once it is at work."""
    command = [sys.executable, "-u", "-m", "ketgrad", "anneal", *map(str, words), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(1.0)
    os.kill(process.pid, signal.SIGINT)
    shown, errors = process.communicate(timeout=60)
    return process.returncode, first + shown, errors


def test_ctrl_c_keeps_finished_reads(petersen: Path, tmp_path: Path) -> None:
    code, shown, errors = interrupted(tmp_path / "o", petersen, "--reads", 10**7, "--sweeps", 10**4)
    assert code == 130 and "stopped by SIGINT after" in errors and "Traceback" not in errors
    reads = int(errors.split("after ")[1].split()[0])
    assert 0 < reads < 10**7
    rows = list(csv.DictReader((tmp_path / "o" / "samples.csv").read_text().splitlines()))
    assert sum(int(r["occurrences"]) for r in rows) == reads and facts(shown)["largest cut"] == "12"
    assert f"stopped after {reads:,} of 10,000,000 reads" in Page((tmp_path / "o" / "report.html").read_text()).words


def test_ctrl_c_without_a_read(tmp_path: Path) -> None:
    files.write(generators.gset(16, 40, seed=0), tmp_path / "g.rud")
    code, _, errors = interrupted(
        tmp_path / "o", tmp_path / "g.rud", "--engine", "exact", "--time", 10**5, "--levels", 0
    )
    assert code == 130 and errors == "ketgrad: stopped by SIGINT before any read was taken\n"
    assert not (tmp_path / "o").exists()


def test_charts() -> None:
    values = np.array([-3.0, -2.0, -2.0, 0.0])
    bars = histogram(values, np.array([1, 2, 3, 4]), "t", "energy")
    assert bars.count("<rect") == 3  # a bar for each value, none where there is nothing
    assert histogram(np.zeros(1), np.ones(1), "t", "x").count("<rect") == 1
    many = histogram(np.random.default_rng(0).normal(size=500), np.ones(500), "t", "x")
    assert 20 < many.count("<rect") <= 40
    line = curves([("a", np.array([1.0, np.nan, 2.0]))], "t", x=np.array([0.0, 0.5, 2.0]), x_label="s")
    assert ">s</text>" in line and ">0.5</text>" in line and "nan" not in line
