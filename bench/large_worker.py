"""One simulator in a process of its own, which can be stopped: `large.py` writes tasks to it and reads times.

A line of JSON each way: {task, setting} in; {"ready": facts}, {"first": seconds, "answer": numbers} and
{"seconds": median} out, or {"error": text}. The answer is the amplitudes at 1024 places that both sides know, as real
and imaginary parts, or all values.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from clock import once, warm_time
from large_cases import Task
from large_peers import PEERS, THREADS

CALLS = ((0.5, 5), (2.0, 3), (10.0, 1))  # seconds of the first call, and warm calls at least; none beyond
PREPARE = 120.0  # seconds within which a package is imported and a circuit prepared


class Worker:
    """A simulator's process. A call that takes longer than `limit` seconds ends it; the next starts it anew."""

    def __init__(self, name: str, python: str, limit: float) -> None:
        self.name, self._python, self._limit = name, python, limit
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def version(self) -> str | None:
        """Of the package; None where it is not installed."""
        self._start()
        return self._version

    def ask(self, task: Task, setting: str) -> tuple[float | str, np.ndarray | None, dict[str, float]]:
        """Median seconds, or why there are none; the answer, if any; other facts."""
        self._start()
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps({"task": asdict(task), "setting": setting}) + "\n")
        self._process.stdin.flush()
        answer, facts = None, {}
        for key, limit in (("ready", PREPARE), ("first", self._limit), ("seconds", 20 + self._limit)):
            try:
                line = self._line(limit)
            except TimeoutError:
                return f"> {limit:g} s" + (" to prepare" if key == "ready" else ""), answer, facts
            except EOFError:
                return f"failed: the process ended with {self.stop()}", answer, facts
            if "error" in line:
                return f"failed: {line['error']}", answer, facts
            facts.update(line.get("ready", {}))
            if "answer" in line:
                answer = np.array(line["answer"])
        return line["seconds"], answer, facts

    def stop(self) -> int | None:
        """End the process; its exit status."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        return process.wait()

    def _start(self) -> None:
        if self._process is not None:
            return
        self._process = subprocess.Popen(
            [self._python, __file__, self.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(THREADS), **PEERS[self.name].environment},
        )  # fmt: skip
        self._lines = queue.Queue()
        threading.Thread(target=_collect, args=(self._process.stdout, self._lines), daemon=True).start()
        self._version = self._line(PREPARE)["version"]

    def _line(self, limit: float) -> dict[str, Any]:
        try:
            text = self._lines.get(timeout=limit)
        except queue.Empty:
            self.stop()
            raise TimeoutError from None
        if not text:
            raise EOFError
        return json.loads(text)


def _collect(stream: Any, lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")  # the end


def places(n: int) -> np.ndarray:
    """Where states are compared."""
    return np.random.default_rng(n).integers(2**n, size=1024) if n > 10 else np.arange(2**n)


def serve(name: str) -> None:
    """Answer until the input ends. What libraries print goes to the error stream."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(**facts: Any) -> None:
        out.write(json.dumps(facts) + "\n")

    try:
        here = version(PEERS[name].package)
    except PackageNotFoundError:
        here = "" if name == "ketgrad" else None  # from a source tree
    say(version=here)
    for line in sys.stdin:
        try:
            _answer(name, json.loads(line), say)
        except Exception as e:
            say(error=f"{type(e).__name__}: {e}"[:300])
        gc.collect()  # states, before the next ones


def _answer(name: str, request: dict[str, Any], say: Any) -> None:
    fields = request["task"]
    fields["gates"] = [(g, tuple(w), tuple(a)) for g, w, a in fields["gates"]]
    fields["words"] = [(c, p, tuple(w)) for c, p, w in fields["words"]]
    task = Task(**fields)
    run = PEERS[name].prepare(task, request["setting"])
    say(ready=run.facts)
    first, got = once(run.call)
    where = places(task.n) if task.what == "forward" else slice(None)
    numbers = np.atleast_1d(run.read(got, where))
    del got
    say(first=first, answer=(numbers.astype(complex).view(float) if task.what == "forward" else numbers).tolist())
    at_least = next((count for seconds, count in CALLS if first < seconds), 0)
    say(seconds=warm_time(run.call, 0.3, at_least, 1000) if at_least else first)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    serve(sys.argv[1])
