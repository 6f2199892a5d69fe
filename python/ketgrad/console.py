"""What `ketgrad train` shows on a terminal, and how it hears SIGINT and SIGTERM. Owns: progress and signals."""

from __future__ import annotations

import signal
import statistics
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from .noisy_training import described, others
from .report import duration

if TYPE_CHECKING:
    from .data import Dataset
    from .job import Outcome
    from .train import Progress, Result, Settings


class Interrupts:
    """Remembers the first SIGINT or SIGTERM, so that the step in hand ends well; a second one acts at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def asked(self) -> bool:
        """Whether a signal has come."""
        return self.number is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


class Console:
    """Progress with loss and accuracy: a bar where tqdm and a terminal are there, else a line now and then."""

    def __init__(self, settings: Settings, seeds: int, quiet: bool = False) -> None:
        self.settings, self.seeds, self.quiet = settings, seeds, quiet
        self._lines = 10 if seeds == 1 else 2  # of a training, without a bar
        self._bar: Any = None
        self._tqdm = None if quiet else _tqdm()

    def say(self, text: str) -> None:
        """A line, unless quiet."""
        if not self.quiet:
            print(text, flush=True)

    def start(self, dataset: Dataset, out: Path, resume: bool, checkpoint: Path) -> None:
        """What is about to happen."""
        n, f = dataset.features.shape
        s = self.settings
        self.say(
            f"{dataset.name}: {n} samples, {f} features, {len(set(dataset.labels.tolist()))} classes; "
            f"{s.qubits} qubits, {s.layers} layers, {s.epochs} epochs, seed {s.seed}"
        )
        if s.noise is not None:
            beside = [described(own) for own in others(s)]
            self.say(f"under noise: {s.noise}; {described(s)}, then for comparison {', '.join(beside)}")
        if resume and not checkpoint.exists():
            self.say(f"no checkpoint in {out}: starting at the beginning")

    def progress(self, index: int, p: Progress) -> None:
        """After every step."""
        if self.quiet:
            return
        text = f"loss {p.loss:.4f}, accuracy {p.accuracy:.4f}"
        if p.test_accuracy is not None:
            text += f", test {p.test_accuracy:.4f}"
        if self._tqdm is not None:
            if self._bar is None:
                name = "training" if self.seeds == 1 else f"seed {self.settings.seed + index}"
                self._bar = self._tqdm(total=self.settings.epochs * p.steps, desc=name, unit="step", leave=True)
            self._bar.n = p.epoch * p.steps + p.step
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(0)
        elif p.step == p.steps and (p.epoch + 1) % max(1, self.settings.epochs // self._lines) == 0:
            self.say(f"  epoch {p.epoch + 1:>4} of {self.settings.epochs}: {text}")

    def finished(self, index: int, result: Result[Any], accuracy: float) -> None:
        """After every seed."""
        self.close()
        for note in result.notes:
            self.say(f"  {note}")
        took = f"{duration(result.times['train'])}, {duration(result.times['step'])} a step"
        self.say(f"seed {self.settings.seed + index}: test accuracy {accuracy:.4f} ({took})")

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
            self._bar = None

    def result(self, outcome: Outcome, out: Path) -> None:
        """The end: always printed."""
        from .job import MODEL, REPORT

        first = outcome.results[0]
        self.say("")
        self.say(confusion_text(outcome.confusion.tolist(), [str(c) for c in first.network.classes]))
        self.say("")
        print(f"test accuracy   {outcome.accuracies[0]:.4f} (seed {outcome.seeds[0]}, {outcome.n_test} samples)")
        if len(outcome.seeds) > 1:
            shown = ", ".join(f"{a:.4f}" for a in outcome.accuracies)
            print(f"median          {outcome.median:.4f} of {len(outcome.seeds)} seeds ({shown})")
        for v in outcome.variants:
            as_run = f"{statistics.median(v.as_run):.4f} as run"
            print(f"{v.name:<24} loss {v.loss:.4f}, test accuracy {v.accuracy:.4f} without noise, {as_run}")
        for b in outcome.baselines:
            print(f"beside it       {b.median:.4f} {b.name} of {b.parameters} parameters ({b.settings})")
        print(f"parameters      {len(first.network.theta)}")
        print(f"time per step   {duration(first.times['step'])} ({duration(first.times['train'])} of training)")
        print(f"model           {out / MODEL}")
        print(f"report          {out / REPORT}")


def has_bar() -> bool:
    """Whether a progress bar can be shown: a terminal and tqdm are there."""
    return _tqdm() is not None


def _tqdm() -> Any:
    """tqdm's bar on a terminal, or None."""
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


def confusion_text(matrix: list[list[int]], classes: list[str]) -> str:
    """A confusion matrix for a terminal; rows are the true classes."""
    names = [c if len(c) <= 12 else c[:11] + "…" for c in classes]
    left = max(4, *map(len, names))
    cells = [max(len(n), *(len(str(row[k])) for row in matrix)) for k, n in enumerate(names)]
    lines = [f"{'true':>{left}}  " + " ".join(f"{n:>{w}}" for n, w in zip(names, cells, strict=True)) + "  predicted"]
    for name, row in zip(names, matrix, strict=True):
        shown = " ".join(f"{c if c else '·':>{w}}" for c, w in zip(row, cells, strict=True))
        lines.append(f"{name:>{left}}  {shown}")
    return "\n".join(lines)
