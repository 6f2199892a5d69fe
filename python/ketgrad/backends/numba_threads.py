"""Python threads that share the tasks of one call; the work itself releases the GIL.

Owns: the daemon threads of this process and who takes which task. May not know: what a task does. The caller works
too, and only it can be interrupted: between two tasks, or wherever a task calls `check`. Threads start when first
needed and again after a fork, where they do not survive.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable


class _StoppedError(Exception):
    """Another thread of the same job failed or was interrupted."""


class _Job:
    """Tasks 0..count-1, handed out in order; the first exception stops it."""

    def __init__(self, task: Callable[[int], None], count: int) -> None:
        self.task, self.count = task, count
        self.error: BaseException | None = None
        self.stopped = False
        self._next = 0
        self._helpers = 0
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()

    def work(self) -> None:
        """Run tasks until none is left."""
        outer, _current.job = getattr(_current, "job", None), self
        try:
            while (index := self._take()) < self.count:
                self.task(index)
        finally:
            _current.job = outer

    def _take(self) -> int:
        with self._lock:
            index = self.count if self.stopped else self._next
            self._next = index + 1
            return index

    def help(self) -> None:
        """What a worker does. Counted, so that the caller can wait for it; the caller itself is not."""
        with self._lock:
            self._helpers += 1
            self._idle.clear()
        try:
            self.work()
        except _StoppedError:
            pass
        except BaseException as error:
            self.error = self.error or error
            self.stopped = True
        finally:
            with self._lock:
                self._helpers -= 1
                if not self._helpers:
                    self._idle.set()

    def wait(self) -> None:
        """Until nobody helps any more; whoever comes later finds no task left."""
        self._idle.wait()


class _Workers:
    """The threads of one process."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0

    def help(self, job: _Job, count: int) -> None:
        with self._lock:
            while self._count < count:
                threading.Thread(target=self._loop, name=f"ketgrad-numba-{self._count}", daemon=True).start()
                self._count += 1
        for _ in range(count):
            self._jobs.put(job)

    def _loop(self) -> None:
        while True:
            self._jobs.get().help()


_workers: dict[int, _Workers] = {}  # by process
_current = threading.local()


def check() -> None:
    """Called by tasks between two native calls: leave when the job was stopped."""
    job = getattr(_current, "job", None)
    if job is not None and job.stopped:
        raise _StoppedError


def share(task: Callable[[int], None], count: int, threads: int) -> None:
    """As `run`, within a task too: on one thread with a `check` before each part."""
    if threads > 1 and count > 1:
        run(task, count, threads)
        return
    for index in range(count):
        check()
        task(index)


def run(task: Callable[[int], None], count: int, threads: int) -> None:
    """task(0) .. task(count - 1) on up to `threads` threads, the calling one among them.

    Raises:
        Exception: what a task raised first; the others stop at their next `check`.
        KeyboardInterrupt: in the main thread, after the others stopped.
    """
    threads = min(threads, count)
    if threads <= 1:
        for index in range(count):
            task(index)
        return
    job = _Job(task, count)
    pid = os.getpid()
    try:
        _workers.setdefault(pid, _workers.get(pid) or _Workers()).help(job, threads - 1)
        job.work()
        job.wait()
    except _StoppedError:
        job.wait()
    except BaseException:
        job.stopped = True
        job.wait()
        raise
    error, job.error = job.error, None  # no cycle of job, exception and frames that would hold states
    if error is not None:
        try:
            raise error
        finally:
            del error
