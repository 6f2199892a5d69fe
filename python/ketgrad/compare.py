"""`ketgrad compare`: one training step timed here and in PennyLane's simulators, on the same circuit, in one run.

Owns: which simulators are compared, their timing and the table. May not know: the engine, PennyLane. Answers are
compared before any clock starts; a simulator whose step would take minutes is timed on one sample and scaled, and its
row says so.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import numpy as np

from . import __version__
from .backends import NAMES, backend_info, default_num_threads
from .errors import BackendUnavailableError, KetgradError
from .hybrid import build_circuit, readouts
from .peers import Array, Problem, Step, ketgrad_step, openmp_threads, pennylane_step
from .settings import Settings

TOLERANCE = 1e-10
LIGHTNING_NOTE = (
    "lightning.qubit: the wheel of version 0.45 runs its gates on one thread, whatever OMP_NUM_THREADS says."
)


class DisagreementError(KetgradError, AssertionError):
    """Two simulators gave different answers for one step; nothing was timed."""


@dataclass(frozen=True)
class Row:
    """One simulator's time for one step.

    Attributes:
        name: simulator and method.
        seconds: median time of the step of the whole batch; None where it could not run.
        repeats: how many times it was measured.
        ratio: its time over the first row's.
        error: largest difference of its values and gradients from the first row's.
        note: threads, versions, and what was scaled.
    """

    name: str
    seconds: float | None
    repeats: int
    ratio: float | None
    error: float | None
    note: str


@dataclass(frozen=True)
class _Peer:
    name: str
    make: Callable[[Problem], Step]
    note: str
    openmp: bool = False  # timed with one OpenMP thread and with all, the better counts
    one_sample: bool = False


def _peers() -> tuple[list[_Peer], list[str]]:
    """The simulators that can run here, ketgrad's best first, and what is not installed."""
    peers, missing = [], []
    for name in NAMES:
        try:
            info = backend_info(name)
        except BackendUnavailableError:
            missing.append(f"ketgrad's {name} backend")
            continue
        note = f"{info['threads']} thread{'s' * (info['threads'] != 1)}, {info.get('instruction_set', 'warm')}"
        peers.append(_Peer(f"ketgrad {name}", lambda p, name=name: ketgrad_step(p, name), note))  # type: ignore[misc]
    if not find_spec("pennylane"):
        return peers, [*missing, "pennylane (pip install pennylane)"]
    interface = "torch" if find_spec("torch") else "autograd"
    if not find_spec("torch"):
        missing.append("torch (PennyLane runs with autograd instead)")
    own = f"QNode, {interface}, adjoint"
    peers.append(_Peer("ketgrad.qubit in PennyLane", _qnode("ketgrad.qubit", "adjoint"), own))
    if find_spec("pennylane_lightning"):
        for name, note, options in (
            ("lightning.qubit adjoint", "Jacobian", {}),
            ("lightning.qubit adjoint, VJP", "device_vjp=True", {"device_vjp": True}),
        ):
            make = _qnode("lightning.qubit", "adjoint", **options)
            peers.append(_Peer(name, make, f"{interface}, {note}, batch expanded into a loop", openmp=True))
    else:
        missing.append("pennylane-lightning (pip install pennylane-lightning)")
    make = _qnode("default.qubit", "backprop")
    peers.append(_Peer("default.qubit backprop", make, f"{interface}, broadcast", openmp=True))
    make = _qnode("default.qubit", "parameter-shift")
    note = f"{interface}, looped (it cannot differentiate a broadcast batch)"
    peers.append(_Peer("default.qubit parameter-shift", make, note, openmp=True, one_sample=True))
    return peers, missing


def _qnode(device: str, method: str, **options: Any) -> Callable[[Problem], Step]:
    return lambda problem: pennylane_step(problem, device, method, **options)


def measure(step: Callable[[], Any], seconds: float, at_most: int = 1000) -> tuple[float, int]:
    """Median time of a warm call, and how many were made within about `seconds` (at least one)."""
    times: list[float] = []
    while not times or (sum(times) < seconds and len(times) < at_most):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), len(times)


def check(name: str, got: tuple[Array, Array, Array], wanted: tuple[Array, Array, Array]) -> float:
    """The largest difference of values and gradients.

    Raises:
        DisagreementError: it is above 1e-10.
    """
    worst = 0.0
    for what, a, b in zip(("values", "weight gradients", "input gradients"), got, wanted, strict=True):
        difference = float(np.abs(a - b).max()) if a.shape == b.shape else np.inf
        if not difference <= TOLERANCE:
            raise DisagreementError(
                f"{name}: its {what} differ from ketgrad's by {difference:.3g}, more than {TOLERANCE:g}; "
                "nothing was timed"
            )
        worst = max(worst, difference)
    return worst


def compare(
    qubits: int = Settings.qubits,
    layers: int = Settings.layers,
    batch: int = Settings.batch,
    *,
    quick: bool = False,
    say: Callable[[str], None] | None = None,
) -> list[Row]:
    """Time one training step on ketgrad and on the PennyLane simulators installed here.

    Args:
        qubits, layers, batch: of the hybrid model's circuit and the step; default the trainer's.
        quick: one measurement of each slow peer instead of several.
        say: called with a line of progress before each simulator.

    Returns:
        One row for each simulator, ketgrad's best backend first; all ratios are to it. A last row without a time
        for each that is not installed.

    Raises:
        DisagreementError: two simulators differ by more than 1e-10; raised before anything is timed.
        OutOfMemoryError: the circuit does not fit.
    """
    problem = Problem.default(qubits, layers, batch)
    peers, missing = _peers()
    prepared: list[tuple[_Peer, Step, float]] = []
    wanted = first = None
    for peer in peers:
        if say:
            say(f"checking {peer.name} ...")
        step = peer.make(problem.first() if peer.one_sample else problem)
        answer = step()
        if wanted is None:
            wanted = answer
        if peer.one_sample and first is None:
            first = ketgrad_step(problem.first())()
        reference = first if peer.one_sample else wanted
        assert reference is not None
        prepared.append((peer, step, check(peer.name, answer, reference)))
    rows: list[Row] = []
    base = 0.0
    for peer, step, error in prepared:
        if say:
            say(f"timing {peer.name} ...")
        seconds, repeats, note = _best_time(peer, step, 0.2 if quick else 2.0)
        if peer.one_sample:
            seconds *= batch
            note = f"1 sample timed, x {batch}; {note}"
        base = base or seconds
        rows.append(Row(peer.name, seconds, repeats, seconds / base, error, note))
    return rows + [Row(name, None, 0, None, None, "not installed here") for name in missing]


def _best_time(peer: _Peer, step: Step, budget: float) -> tuple[float, int, str]:
    """Median time, repeats, and the row's note."""
    if not (peer.openmp and find_spec("threadpoolctl")):
        return *measure(step, budget, 200), peer.note
    times = []
    for count in sorted({1, default_num_threads()}):
        with openmp_threads(count):
            times.append((*measure(step, budget, 200), count))
    seconds, repeats, count = min(times)
    return seconds, repeats, f"{peer.note}, {count} OpenMP thread{'s' * (count != 1)} (the best number)"


def environment() -> dict[str, Any]:
    """Versions, processor and threads: what the times belong to."""
    versions = {"ketgrad": __version__, "python": platform.python_version(), "numpy": np.__version__}
    for package in ("numba", "torch", "pennylane", "pennylane-lightning"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {"versions": versions, "machine": platform.machine(), "threads": default_num_threads()}


def format_time(seconds: float | None) -> str:
    """`0.00123` -> `"1.23 ms"`."""
    if seconds is None:
        return "-"
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            return f"{seconds * scale:.3g} {unit}" if seconds * scale < 1000 else f"{seconds * scale:,.0f} {unit}"
    raise AssertionError("unreachable")


def format_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Plain text: the first and last columns to the left, the others to the right."""
    lines = [header, *rows]
    last = len(header) - 1
    width = [max(len(line[k]) for line in lines) for k in range(len(header))]
    out = []
    for line in lines:
        cells = [c.ljust(w) if k in (0, last) else c.rjust(w) for k, (c, w) in enumerate(zip(line, width, strict=True))]
        out.append("  ".join(cells).rstrip())
    out.insert(1, "  ".join("-" * w for w in width))
    return "\n".join(out)


def report(rows: list[Row], qubits: int, layers: int, batch: int) -> str:
    """The table with what it needs to be read rightly."""
    problem = build_circuit(qubits, layers)
    cells: list[tuple[str, ...]] = [
        (
            r.name,
            format_time(r.seconds),
            "-" if r.ratio is None else f"{r.ratio:,.1f}x" if r.ratio < 100 else f"{r.ratio:,.0f}x",
            "-" if r.error is None else f"{r.error:.0e}",
            r.note,
        )
        for r in rows
    ]
    facts = environment()
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return "\n".join(
        [
            f"One training step: forward and gradients of {problem.n_weights} weights and {batch} x {problem.n_inputs} "
            f"inputs; {qubits} qubits, {layers} layers, {len(readouts(qubits))} readouts, batch {batch}, complex128.",
            "",
            format_table(("simulator", "per step", "ratio", "error", "note"), cells),
            "",
            f"Medians of warm calls in one run. {versions}; {facts['machine']}, {facts['threads']} threads available.",
            f"Values and gradients agreed to {TOLERANCE:g} before anything was timed (the error column).",
            *([LIGHTNING_NOTE] if any(r.name.startswith("lightning") for r in rows) else []),
            "This is a faster classical simulation of the same circuit; it claims no quantum advantage.",
        ]
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ketgrad compare`."""
    for name, text in (("qubits", "of the circuit"), ("layers", "of the circuit"), ("batch", "samples of a step")):
        default = getattr(Settings, name)
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default {default}, the trainer's)")
    parser.add_argument("--quick", action="store_true", help="measure each simulator for a fraction of a second only")
    parser.add_argument("--json", metavar="FILE", help="also write the rows to FILE as JSON")


def run(args: argparse.Namespace) -> int:
    """The command; 0 when all answers agreed, 1 when they did not."""
    import sys

    def say(line: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    try:
        rows = compare(args.qubits, args.layers, args.batch, quick=args.quick, say=say)
    except DisagreementError as error:
        print(f"ketgrad compare: {error}", file=sys.stderr)
        return 1
    finally:
        say("")
    print(report(rows, args.qubits, args.layers, args.batch))
    if args.json:
        settings = {"qubits": args.qubits, "layers": args.layers, "batch": args.batch}
        document = {**environment(), **settings, "rows": [asdict(r) for r in rows]}
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
    return 0
