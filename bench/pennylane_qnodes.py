"""QNodes on ketgrad.qubit and compiled ones, beside lightning.qubit, lightning.kokkos and default.qubit.

One thread each. Every simulator's answer is compared with default.qubit's before anything is timed; then they take
turns, so that noise hits all alike. The null device gives constants by the route that ketgrad.qubit takes: it is
PennyLane's own share. Peers differentiate by their best method (adjoint, its Jacobian on the way forward; default.qubit
backprop); where that is refused, by what PennyLane falls back to, and a note says so. Medians leave out the guard of
compiled QNodes, which queues the QNode again at every 1024th call.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import common
import numpy as np
from clock import timed
from common import ratio

if not (find_spec("pennylane") and find_spec("torch")):
    print("pennylane_qnodes.py needs pennylane and torch, which are not installed here")
    raise SystemExit
common.one_thread()  # before torch and the peers read their environment
os.environ.setdefault("OMP_PROC_BIND", "false")  # kokkos warns where it is not set

import pennylane as qml  # noqa: E402
import torch  # noqa: E402
from pennylane.exceptions import DeviceError, QuantumFunctionError  # noqa: E402
from pennylane.transforms.core import CompilePipeline  # noqa: E402
from qnode_cases import COUNTS, ENERGIES, FORWARD, GRADIENT, MANY, ONE, Case, Step, cases  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.backends import contract  # noqa: E402
from ketgrad.compare import format_table, format_time  # noqa: E402

DEVICE, COMPILED, NULL = "ketgrad.qubit", "kg.compile", "null device"
PEERS = {"lightning.qubit": "adjoint", "lightning.kokkos": "adjoint", "default.qubit": "backprop"}
COLUMNS = (DEVICE, COMPILED, NULL, *PEERS)
ROUNDS = 7  # turns of each simulator
REFUSALS = (DeviceError, QuantumFunctionError, NotImplementedError, TypeError, ValueError)
Times = dict[str, float]


class _Constants(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shapes: Any, *tensors: Any) -> Any:
        ctx.tensors = tensors
        return tuple(torch.zeros(shape) for shape in shapes)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        return None, *[torch.zeros_like(t) if isinstance(t, torch.Tensor) else None for t in ctx.tensors]


class NullDevice(qml.devices.Device):
    """Zeros in the shapes it was given, for torch, with gradients of zeros."""

    name = "null"

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self._shapes = tuple(shapes)

    def setup_execution_config(self, config: Any = None, circuit: Any = None) -> Any:
        config = config or qml.devices.ExecutionConfig()
        return replace(config, gradient_method="backprop", use_device_gradient=True, grad_on_execution=False)

    def supports_derivatives(self, execution_config: Any = None, circuit: Any = None) -> bool:
        return True

    def preprocess_transforms(self, execution_config: Any = None) -> Any:
        return CompilePipeline()

    def execute(self, circuits: Any, execution_config: Any = None) -> Any:
        results = (_Constants.apply(self._shapes, *t.get_parameters(trainable_only=False)) for t in circuits)
        return tuple(r[0] if len(r) == 1 else r for r in results)


def device(name: str, wires: int) -> Any:
    """A simulator; ketgrad's also where it is only on the path, so that PennyLane does not find it by name."""
    try:
        return qml.device(name, wires=wires)
    except DeviceError:
        if name != DEVICE:
            raise
        from ketgrad.pennylane_device import KetgradQubit

        return KetgradQubit(wires)


def installed() -> list[str]:
    """The simulators that are here, ketgrad's first."""
    names = [DEVICE]
    for name in PEERS:
        try:
            device(name, 1)
            names.append(name)
        except (DeviceError, ImportError):
            print(f"{name} is not installed here")
    return names


def prepare(case: Case, names: Sequence[str], notes: list[str]) -> dict[str, Step]:
    """A step of every simulator that can, each with its answer asserted."""
    wanted = flat(case.step(case.exactly().node(device("default.qubit", case.wires), "best"))())
    steps: dict[str, Step] = {}

    def add(column: str, build: Callable[[], Any]) -> str:
        """Why not, or nothing."""
        try:
            step = case.step(build())
            got = flat(step())
        except REFUSALS as error:
            return str(error).splitlines()[0][:150]
        assert got.shape == wanted.shape, f"{case.name}: {column} gives {got.shape}, not {wanted.shape}"
        worst = float(np.abs(got - wanted).max())
        assert worst <= case.tolerance, f"{case.name}: {column} is off by {worst:.3g}"
        steps[column] = step
        return ""

    for name in names:
        method = "best" if name == DEVICE or case.shots else PEERS[name]
        why = add(name, lambda n=name, m=method: case.node(device(n, case.wires), m))
        if why and method == "adjoint":
            why = add(name, lambda n=name: case.node(device(n, case.wires), "best")) or "timed with parameter-shift"
            why = f"adjoint is refused; {why}"
        if why:
            notes.append(f"{case.name}, {name}: {why}")
    if not case.shots:  # compiled QNodes have none
        why = add(COMPILED, lambda: kg.compile(case.node(device(DEVICE, case.wires), "best"), *case.arguments))
        notes += [f"{case.name}, {COMPILED}: {why}"] if why else []
    if case.null is not None:
        steps[NULL] = case.step(case.node(NullDevice(case.null), "best"))
    return steps


def flat(nested: Any) -> np.ndarray:
    """All numbers of an answer; counts become frequencies of the outcomes."""
    if isinstance(nested, dict):
        total, size = sum(nested.values()), len(next(iter(nested)))
        return np.array([nested.get(f"{k:0{size}b}", 0) / total for k in range(1 << size)])
    if isinstance(nested, (tuple, list)):
        return np.concatenate([flat(n) for n in nested])
    return np.asarray(qml.math.to_numpy(nested)).reshape(-1)


def interleaved(steps: dict[str, Step], seconds: float) -> Times:
    """Median time of a warm call of each, over at least `seconds` of each in ROUNDS turns."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(ROUNDS):
        for name, step in steps.items():
            end = time.perf_counter() + seconds / ROUNDS
            while (start := time.perf_counter()) < end:
                step()
                times[name].append(time.perf_counter() - start)
    return {name: float(np.median(t)) for name, t in times.items()}


def row(case: Case, times: Times) -> tuple[str, ...]:
    """Times, how many times longer the fastest peer takes, and losses in words."""
    peers = {n: t for n, t in times.items() if n in PEERS}
    fastest, best = min(peers.items(), key=lambda p: p[1]) if peers else ("", None)
    losses = [n for n in (DEVICE, COMPILED) if best and times.get(n, 0.0) > 1.05 * best]
    words = [f"{' and '.join(losses)} slower than {fastest}"] if losses else []
    words += [] if DEVICE in times else [f"{DEVICE} cannot"]
    cells = [format_time(times.get(n)) for n in COLUMNS]
    return (case.name, *cells, *(ratio(best, times.get(n)) for n in (DEVICE, COMPILED)), "; ".join(words))


def goals(found: dict[str, Times]) -> list[tuple[str, ...]]:
    """What was set out to be reached, and what was."""
    least = [
        (ONE, "lightning.qubit", DEVICE, 2.5),
        (ONE, "lightning.qubit", COMPILED, 30),
        (MANY, "lightning.qubit", DEVICE, 50),
        (MANY, "default.qubit", DEVICE, 5),
        (MANY, "lightning.qubit", COMPILED, 500),
        (MANY, "default.qubit", COMPILED, 60),
        (COUNTS, "lightning.qubit", DEVICE, 20),
        (ENERGIES, "lightning.qubit", DEVICE, 20),
    ]
    most = (ONE, DEVICE, NULL, 1.25)
    return [*(_goal(found, *g, ">=") for g in least), _goal(found, *most, "<=")]


def _goal(found: dict[str, Times], case: str, above: str, below: str, limit: float, sign: str) -> tuple[str, ...]:
    a, b = (found[case].get(n) for n in (above, below))
    word = "not measured"
    if a and b:
        word = "met" if (a / b >= limit if sign == ">=" else a / b <= limit) else "NOT MET"
    return (case, f"{above} / {below}", f"{sign} {limit:g}", ratio(a, b), word)


def sweeps(found: dict[str, Times]) -> str:
    """How much longer than a forward pass a backward pass takes."""
    forward, both = found[FORWARD], found[GRADIENT]
    shares = [f"{n} {both[n] / forward[n] - 1:.2f}" for n in COLUMNS if n in forward and n in both]
    return "backward / forward at 16 qubits: " + ", ".join(shares)


def in_two_threads(steps: dict[str, Step], seconds: float) -> str:
    """How many times as many gradients two Python threads make as one."""
    shares = []
    with ThreadPoolExecutor(2) as pool:
        for name, step in steps.items():
            alone = timed(step, seconds)
            together = timed(lambda s=step: [f.result() for f in [pool.submit(s), pool.submit(s)]], seconds)
            shares.append(f"{name} {2 * alone / together:.2f}")
    return "gradients at 16 qubits in two Python threads, times as many as in one: " + ", ".join(shares)


def states_held(wires: int = 10) -> str:
    """How many states the engine asks memory for, for gradients of ever more observables."""
    asked: list[int] = []
    real, counts = contract.require_states, []

    def require(n: int, itemsize: int, copies: int) -> None:
        asked.append(copies)
        real(n, itemsize, copies)

    contract.require_states = require
    try:
        for m in (1, wires, 9 * wires):
            words = [qml.prod(*(getattr(qml, "XYZ"[k % 3])(q) for q in range(k % wires + 1))) for k in range(m)]

            def function(w: Any, words: Any = words) -> Any:
                for q in range(wires):
                    qml.RX(w[q], q)
                return [qml.expval(o) for o in words]

            w = torch.ones(wires, requires_grad=True)
            asked.clear()
            torch.stack(tuple(qml.QNode(function, device(DEVICE, wires))(w))).sum().backward()
            counts.append(f"{max(asked)} for {m}")
    finally:
        contract.require_states = real
    return f"states that {DEVICE}'s gradient holds for so many observables: " + ", ".join(counts)


def main(quick: bool = False) -> None:
    """Print the times, the goals, and what has no row."""
    torch.set_default_dtype(torch.float64)  # lightning returns Python floats, which torch would round to float32
    warnings.filterwarnings("ignore")  # of peers, about themselves
    names, seconds = installed(), 0.05 if quick else 1.5
    notes: list[str] = []
    print(common.heading("QNodes: values and gradients, one thread each"))
    found: dict[str, Times] = {}
    rows, steps = [], {}
    for case in cases(quick):
        steps = prepare(case, names, notes)
        found[case.name] = interleaved(steps, seconds)
        rows.append(row(case, found[case.name]))
    header = ("case", *COLUMNS, "peer/device", "peer/compiled", "")
    print(format_table(header, rows))
    print("\n" + format_table(("goal", "ratio", "wanted", "reached", ""), goals(found)) + "\n")
    print(sweeps(found), in_two_threads(steps, seconds), states_held(), *notes, sep="\n")


if __name__ == "__main__":
    main(common.options(__doc__).quick)
