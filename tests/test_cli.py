"""The command line: the main job end to end, its files, exit codes, signals and kills."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ketgrad as kg
from ketgrad import cli, job
from ketgrad.checkpoint import read_archive
from ketgrad.console import Console, confusion_text
from ketgrad.report import duration
from ketgrad.train import Progress, Settings

SMALL = ["--qubits", "3", "--layers", "1", "--epochs", "4", "--lr", "0.05", "--input-noise", "0.1"]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A CSV of three kinds that can be told apart."""
    rng = np.random.default_rng(0)
    path = tmp_path / "pets.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["weight", "ears", "kind", "tail"])
        for k in range(90):
            kind = k % 3
            writer.writerow([*(rng.normal([4, 20, 0.1][kind], 0.05, 2)), ["cat", "dog", "fish"][kind], rng.normal()])
    return path


def run(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    code = cli.main([str(w) for w in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def final(out: Path) -> dict[str, Any]:
    """The state a finished training left, without its times."""
    _, header, arrays = read_archive(out / "checkpoint.npz", "checkpoint")
    arrays["history"] = arrays["history"][:, :4]
    return {name: array.tobytes() for name, array in arrays.items()} | {"rng": header["rng"], "epoch": header["epoch"]}


class Page(HTMLParser):
    """Checks that tags close, and gathers what the page refers to."""

    VOID = {"meta", "path", "rect", "circle", "polyline", "br"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data + " "


# train


def test_the_main_job(pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    out = tmp_path / "run"
    code, shown, _ = run(capsys, "train", "--data", pets, "--target", "kind", *SMALL, "--seeds", 3, "--out", out)
    assert code == 0
    assert {p.name for p in out.iterdir()} == {
        "checkpoint.npz", "checkpoint-seed1.npz", "checkpoint-seed2.npz", "model.npz", "report.html", "results.json"
    }  # fmt: skip
    results = json.loads((out / "results.json").read_text())
    assert results["samples"] == {"train": 72, "test": 18} and len(results["test_accuracies"]) == 3
    assert results["median_test_accuracy"] == sorted(results["test_accuracies"])[1]
    assert np.sum(results["confusion"]) == 18
    assert np.trace(results["confusion"]) / 18 == pytest.approx(results["test_accuracies"][0])
    hybrid, network = results["parameters"], results["classical"][0]["parameters"]
    assert abs(hybrid - network) <= (3 + 1 + 3) / 2 + 1  # as many parameters, to half a hidden unit
    for text in ("test accuracy", "median", "time per step", "classical network", "report.html", "predicted", "dog"):
        assert text in shown
    assert len(re.findall(r"seed \d: test accuracy", shown)) == 3
    assert re.search(r"epoch +4 of 4: loss \d\.\d+, accuracy", shown)


def test_the_report_needs_nothing_else(pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(capsys, "train", "--data", pets, "--target", "kind", *SMALL, "--out", out, "--quiet")[0] == 0
    text = (out / "report.html").read_text()
    page = Page(text)
    assert not page.links and "url(" not in text and "<script" not in text and "@import" not in text
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}
    for words in ("test accuracy", "Loss", "Accuracy", "Confusion matrix", "Circuit", "Times", "Settings", "RY(x[0])",
                  "Rot(w[0,0,0:3])", "per training step", "one step of 32 samples"):  # fmt: skip
        assert words in page.words, words
    assert text.count("<svg") == 4 and text.count("<polyline") == 3


def test_without_classical_models(pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    code, shown, _ = run(capsys, "train", "--data", pets, "--target", "kind", *SMALL, "--no-classical", "--out", out)
    assert code == 0 and "beside it" not in shown
    assert "were not trained" in (out / "report.html").read_text()


@pytest.mark.parametrize("options", [["--gradient", "parameter-shift"], ["--shots", "40"], ["--dtype", "complex64"]])
def test_options_reach_the_training(
    pets: Path, tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    out = tmp_path / "run"
    words = [
        "train",
        "--data",
        pets,
        "--target",
        "kind",
        *SMALL,
        "--epochs",
        2,
        "--no-classical",
        "--quiet",
        "--out",
        out,
    ]
    assert run(capsys, *words, "--backend", backend, "--seed", 7, *options)[0] == 0
    settings = json.loads((out / "results.json").read_text())["settings"]
    assert settings["backend"] == backend and settings["seed"] == 7 and settings["epochs"] == 2
    assert str(settings[options[0][2:]]) == options[1]


def test_resume_goes_on_with_the_same_settings(pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, out = tmp_path / "whole", tmp_path / "run"
    words = ["train", "--data", pets, "--target", "kind", *SMALL, "--seed", 5, "--no-classical"]
    assert run(capsys, *words, "--out", whole)[0] == 0
    code, shown, _ = run(capsys, *words, "--out", out, "--resume")
    assert code == 0 and "no checkpoint in" in shown and final(out) == final(whole)
    code, shown, _ = run(capsys, "train", "--out", out, "--resume", "--no-classical")  # everything from the checkpoint
    assert code == 0 and "pets: 90 samples" in shown and "seed 5" in shown and "resumed at epoch 5" in shown
    assert final(out) == final(whole)
    code, _, errors = run(capsys, "train", "--out", out, "--resume", "--lr", "0.01")
    assert code == 1 and "belongs to another training (lr was 0.05 and is 0.01)" in errors


def test_an_error_is_one_line_and_exit_code_1(pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, broken = tmp_path / "run", tmp_path / "broken"
    broken.mkdir()
    (broken / "checkpoint.npz").write_bytes(b"PK\x03\x04junk")
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n1,x\noops,y\n")
    (tmp_path / "file").touch()
    for words, message in (
        (["train", "--data", tmp_path / "none.csv", "--out", out], "does not exist"),
        (["train", "--data", bad, "--out", out], "line 3, column 1 ('a'): 'oops' is not a number"),
        (["train", "--data", "digit", "--out", out], "Did you mean 'digits'?"),
        (["train", "--data", pets, "--target", "kin", "--out", out], "Did you mean 'kind'?"),
        (["train", "--data", pets, "--out", out, "--qubits", 0], "qubits must be from 1 to 62"),
        (["train", "--data", pets, "--target", "kind", "--out", out, "--qubits", 60], "60 qubits"),
        (["train", "--data", pets, "--out", out, "--seeds", 0], "--seeds is a number from 1"),
        (["train", "--data", pets, "--out", out, "--shots", 5, "--gradient", "adjoint"], "takes no shots"),
        (["train", "--data", pets, "--target", "kind", "--out", tmp_path / "file"], "cannot make the folder"),
        (["train", "--data", pets, "--target", "kind", "--out", broken, "--resume"], "truncated or damaged"),
        (["predict", tmp_path / "none", pets], "does not exist"),
        (["predict", pets, pets], "was not written by ketgrad"),
    ):
        code, _, errors = run(capsys, *words)
        assert code == 1 and errors.startswith("ketgrad: error: ") and message in errors and errors.count("\n") == 1, (
            errors
        )
    assert (broken / "checkpoint.npz").read_bytes() == b"PK\x03\x04junk"


def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["trian"], [], ["train", "--epochs", "many"], ["train", "--backend", "gpu"], ["predict"]):
        code, _, errors = run(capsys, *words)
        assert code == 2 and "usage: ketgrad" in errors
    code, shown, _ = run(capsys, "--version")
    assert code == 0 and shown == f"ketgrad {kg.__version__}\n"
    assert run(capsys, "train", "--help")[0] == 0


# predict, info, compare


def test_predict(pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = ["--lr", "0.1", "--epochs", "15", "--quiet", "--no-classical"]
    assert run(capsys, "train", "--data", pets, "--target", "kind", *SMALL, *words, "--out", out)[0] == 0
    code, shown, errors = run(capsys, "predict", out, pets)
    rows = list(csv.DictReader(shown.splitlines()))
    assert code == 0 and len(rows) == 90 and list(rows[0]) == ["prediction", "p(cat)", "p(dog)", "p(fish)"]
    for row in rows:
        p = {name: float(row[f"p({name})"]) for name in ("cat", "dog", "fish")}
        assert max(p, key=lambda name: p[name]) == row["prediction"] and sum(p.values()) == pytest.approx(1, abs=1e-5)
    right = sum(row["prediction"] == ["cat", "dog", "fish"][k % 3] for k, row in enumerate(rows))
    assert f"{right} of 90 right" in errors and right > 80

    unlabelled = tmp_path / "new.csv"
    unlabelled.write_text("tail,ears,weight\n0,20,20\n0,4,4\n")  # other order, no labels
    code, shown, errors = run(capsys, "predict", out / "model.npz", unlabelled, "--out", tmp_path / "p.csv")
    assert code == 0 and shown == "" and errors == ""
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["prediction", "dog", "cat"]
    unlabelled.write_text("tail,ears\n0,20\n")
    code, _, errors = run(capsys, "predict", out, unlabelled)
    assert code == 1 and "lacks 1 of the 3 columns the model was trained on: 'weight'" in errors


def test_predict_a_bundled_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    words = ["--out", tmp_path / "run", "--quiet", "--no-classical"]
    assert run(capsys, "train", "--data", "iris", *SMALL, *words)[0] == 0
    code, shown, errors = run(capsys, "predict", tmp_path / "run", "iris")
    assert code == 0 and len(shown.splitlines()) == 151 and "of 150 right" in errors
    code, _, errors = run(capsys, "predict", tmp_path / "run", "wine")
    assert code == 1 and "was trained on 'iris'" in errors


def test_info(capsys: pytest.CaptureFixture[str], backend: str) -> None:
    code, shown, _ = run(capsys, "info", "--backend", backend)
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in shown.splitlines())
    assert code == 0 and facts["version"] == kg.__version__ and facts["backend"] == backend
    assert facts["threads"].isdigit() and "iB" in facts["memory available"] and facts["instruction set"] != "-"
    larger = re.fullmatch(r"(\d+) qubits in complex128, (\d+) in complex64", facts["largest circuit"])
    assert larger and int(larger[2]) == int(larger[1]) + 1


def test_compare_is_loaded_only_for_compare() -> None:
    code = "import sys; from ketgrad import cli; cli.main(['info']); assert 'ketgrad.compare' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=120)


def test_compare_has_its_own_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, _ = run(capsys, "compare", "--help")
    assert code == 0 and "--qubits" in shown


def test_interrupts_and_closed_pipes_are_no_tracebacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(error: BaseException) -> Any:
        def command(_: Any) -> int:
            raise error

        return command

    monkeypatch.setattr(cli, "_info", raises(KeyboardInterrupt()))
    code, _, errors = run(capsys, "info")
    assert code == 130 and errors == "ketgrad: interrupted\n"
    script = f"{sys.executable} -m ketgrad info | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr


# the console


class FakeBar:
    made: list[FakeBar] = []

    def __init__(self, **options: Any) -> None:
        self.options, self.n, self.text, self.closed = options, 0, "", False
        self.made.append(self)

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        self.text = text

    def update(self, _: int) -> None: ...

    def refresh(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    monkeypatch.setattr("tqdm.tqdm", FakeBar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    console = Console(Settings(epochs=3), seeds=2)
    for p in (Progress(0, 1, 4, 0.5, 0.25, None), Progress(1, 2, 4, 0.4, 0.75, 0.875)):
        console.progress(1, p)
    console.close()
    (bar,) = FakeBar.made
    assert bar.options["total"] == 12 and bar.options["desc"] == "seed 1" and bar.n == 6 and bar.closed
    assert bar.text == "loss 0.4000, accuracy 0.7500, test 0.8750"


def test_plain_lines_without_tqdm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    Console(Settings(epochs=1), seeds=1).progress(0, Progress(0, 4, 4, 0.5, 0.25, None))
    assert "epoch    1 of 1: loss 0.5000, accuracy 0.2500" in capsys.readouterr().out


def test_words_for_numbers() -> None:
    assert [duration(s) for s in (0.00425, 0.5, 2, 95, float("nan"))] == [
        "4.25 ms",
        "500 ms",
        "2.0 s",
        "1 min 35 s",
        "-",
    ]
    text = confusion_text([[12, 0], [3, 4]], ["a", "much too long a name"])
    assert text.splitlines()[1].split() == ["a", "12", "·"] and "much too lo…" in text
    assert job.confusion_matrix(["a", "b", "b"], ["a", "a", "b"], ["a", "b"]).tolist() == [[1, 0], [1, 1]]


# signals and kills


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_the_handlers_are_put_back(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    out, step = tmp_path / "run", Console.progress

    def progress(self: Console, index: int, p: Progress) -> None:
        step(self, index, p)
        if (p.epoch, p.step) == (1, 2):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Console, "progress", progress)
    code, _, errors = run(capsys, "train", "--data", pets, "--target", "kind", *SMALL, "--out", out)
    assert code == 143 and "stopped by SIGTERM at epoch 2, step 2 of 3" in errors
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert read_archive(out / "checkpoint.npz", "checkpoint")[1]["position"] == 2


LONG = ["--qubits", "4", "--layers", "2", "--epochs", "150", "--quiet", "--no-classical"]


def start(pets: Path, out: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "ketgrad", "train", "--data", str(pets), "--target", "kind", *LONG]
    words += ["--out", str(out), "--resume"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for an end in good order; the errors it printed."""
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    return errors


def wait_for_epoch(process: subprocess.Popen[str], out: Path, epoch: int) -> None:
    """Until the checkpoint has come this far; it must be readable whenever it is there."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (out / "checkpoint.npz").exists():
            if read_archive(out / "checkpoint.npz", "checkpoint")[1]["epoch"] >= epoch:
                return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    raise AssertionError("no checkpoint in two minutes")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Filled by the first test that needs it."""
    return {}


def reference(pets: Path, folder: Path, kept: dict[str, Any]) -> dict[str, Any]:
    if not kept:
        finish(start(pets, folder / "whole"))
        kept.update(final(folder / "whole"))
    return kept


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_with_a_checkpoint(
    pets: Path, tmp_path: Path, number: signal.Signals, code: int, undisturbed: dict[str, Any]
) -> None:
    out = tmp_path / "run"
    process = start(pets, out)
    wait_for_epoch(process, out, 3)
    process.send_signal(number)
    shown, errors = process.communicate(timeout=60)
    assert process.returncode == code and shown == ""
    assert re.fullmatch(rf"ketgrad: stopped by {number.name} at epoch \d+, step \d of 3; .*--resume\n", errors)
    assert read_archive(out / "checkpoint.npz", "checkpoint")[1]["epoch"] >= 3
    finish(start(pets, out))
    assert final(out) == reference(pets, tmp_path, undisturbed)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_kill_and_resume_changes_nothing(pets: Path, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    out = tmp_path / "run"
    for epoch in (1, 40, 90):
        process = start(pets, out)
        wait_for_epoch(process, out, epoch)
        process.kill()
        process.communicate()
        reached = read_archive(out / "checkpoint.npz", "checkpoint")[1]["epoch"]
        assert reached >= epoch
    (out / f".checkpoint.npz.{process.pid}-7.tmp").write_bytes(b"half a checkpoint")
    finish(start(pets, out))
    assert final(out) == reference(pets, tmp_path, undisturbed)
    assert not list(out.glob("*.tmp")) and not list(out.glob(".*.tmp"))
