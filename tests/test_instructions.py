"""The comparison of instruction counts in bench/instructions.py; counting itself needs valgrind, so not here."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).parents[1] / "bench" / "instructions.py"
if not FILE.exists():
    pytest.skip("the benchmarks are not part of a source distribution", allow_module_level=True)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_instructions", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record(**counts: int) -> dict[str, Any]:
    return {"build": "GNU 12.2.0 Release", "isa": "avx2", "counts": counts}


PROFILE = """\
version: 1
positions: line
events: Ir

ob=/lib/libc.so.6
fl=???
fn=memcpy
0 1000

ob=/site-packages/ketgrad/_core.cpython-311-x86_64-linux-gnu.so
fn=0x00001
0 30
cob=/lib/libc.so.6
cfn=memcpy
calls=2 0
0 1000
0 5
fn=0x00002
17 7

ob=/usr/bin/python3.11
fn=main
0 400
cob=/site-packages/ketgrad/_core.cpython-311-x86_64-linux-gnu.so
calls=1 0
0 1042
"""


def test_a_profile_is_summed_over_one_library_without_its_callees(tool: ModuleType) -> None:
    assert tool.instructions_inside(PROFILE, "_core.") == 30 + 5 + 7
    assert tool.instructions_inside(PROFILE, "libc.") == 1000
    assert tool.instructions_inside(PROFILE, "absent") == 0


@pytest.mark.parametrize(
    ("new", "worse", "verdict"),
    [(1000, False, "1.000"), (1019, False, "1.019"), (1021, True, "MORE"), (900, False, "fewer")],
)
def test_more_than_the_tolerance_is_a_regression(tool: ModuleType, new: int, worse: bool, verdict: str) -> None:
    lines, found = tool.compare(record(same=50, case=new), record(same=50, case=1000))
    assert found is worse
    assert verdict in lines[0] and lines[0].startswith("case")
    assert "MORE" not in lines[1] and "fewer" not in lines[1]


def test_a_case_that_is_lost_fails_and_a_new_one_does_not(tool: ModuleType) -> None:
    lines, worse = tool.compare(record(a=10), record(a=10, b=20))
    assert worse and "no longer counted" in lines[1]
    lines, worse = tool.compare(record(a=10, b=20), record(a=10))
    assert not worse and lines[1].endswith("new")


@pytest.mark.parametrize("fact", ["build", "isa"])
def test_counts_of_another_build_are_not_compared(tool: ModuleType, fact: str) -> None:
    with pytest.raises(tool.NotCompared, match="Clang 17.*--against"):
        tool.compare(record(a=10) | {fact: "Clang 17"}, record(a=10))


def test_the_status_tells_apart_no_regression_one_and_not_compared(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = record(a=100)
    monkeypatch.setattr(tool, "KNOWN", tmp_path / "known.json")
    monkeypatch.setattr(tool, "require_tools", lambda: None)
    monkeypatch.setattr(tool, "count", lambda: now)
    monkeypatch.setattr(tool, "count_of_commit", lambda ref: record(a=100 if ref == "HEAD" else 90))
    assert tool.main(["--update"]) == 0
    assert json.loads(tool.KNOWN.read_text()) == now
    assert tool.main([]) == 0
    assert tool.main(["--against", "HEAD"]) == 0
    assert tool.main(["--against", "older"]) == 1
    assert "ratio to older" in capsys.readouterr().out
    now["counts"]["a"] = 110
    assert tool.main([]) == 1
    assert "MORE" in capsys.readouterr().out
    now["build"] = "GNU 99"
    assert tool.main([]) == 3
    assert "not compared: counted with 'GNU 99'" in capsys.readouterr().out


def test_without_valgrind_it_says_how_to_get_it(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ketgrad._core", reason="needs the native core")
    monkeypatch.setenv("PATH", "")
    assert tool.main([]) == 3
    assert "apt-get install valgrind" in capsys.readouterr().out


def test_every_known_case_runs(tool: ModuleType) -> None:
    core = pytest.importorskip("ketgrad._core", reason="needs the native core")
    names = []
    for name, call in tool.cases():
        call()
        names.append(name)
    known = json.loads(tool.KNOWN.read_text())
    assert list(known["counts"]) == names
    assert known["build"] and core.build()
