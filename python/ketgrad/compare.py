"""`ketgrad compare`: one training step timed here and in PennyLane's simulators, on the same circuit, in one run.

Owns: the step (values, and gradients of weights and inputs, of a batch), the peers, their timing and the table. May not
know: the engine. Answers are compared before any clock starts; a peer whose step would take minutes is timed on one
sample and scaled, and its row says so. PennyLane, torch and lightning are imported here only when they are timed.
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
import numpy.typing as npt

from . import __version__
from .backends import NAMES, backend_info, default_num_threads
from .circuit import Circuit
from .errors import BackendUnavailableError, KetgradError
from .expressions import Expression
from .hybrid import build_circuit, readouts
from .model import compile
from .pauli import PauliSum

Array = npt.NDArray[np.float64]
Step = Callable[[], tuple[Array, Array, Array]]  # values (B, M), gradients of weights (P,) and inputs (B, F)

TOLERANCE = 1e-10
LIGHTNING_NOTE = "lightning.qubit: the wheel of version 0.45 runs its gates on one thread, whatever OMP_NUM_THREADS says."


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
class Problem:
    """The step: a circuit, its readouts, parameters, a batch, and the cotangents of the values."""

    circuit: Circuit
    observables: list[PauliSum]
    weights: Array
    inputs: Array
    cotangents: Array

    @classmethod
    def default(cls, qubits: int, layers: int, batch: int, seed: int = 7) -> Problem:
        """The hybrid model's circuit with random parameters, samples and cotangents."""
        circuit, observables = build_circuit(qubits, layers), readouts(qubits)
        rng = np.random.default_rng(seed)
        return cls(
            circuit,
            observables,
            rng.uniform(-np.pi, np.pi, circuit.n_weights),
            rng.uniform(-np.pi, np.pi, (batch, circuit.n_inputs)),
            rng.normal(size=(batch, len(observables))),
        )

    def first(self) -> Problem:
        """The same with one sample."""
        return Problem(self.circuit, self.observables, self.weights, self.inputs[:1], self.cotangents[:1])


@dataclass(frozen=True)
class _Peer:
    name: str
    make: Callable[[Problem], Step]
    note: str
    one_sample: bool = False


def ketgrad_step(problem: Problem, backend: str | None = None) -> Step:
    """The step through `Model.forward` and its pullback."""
    model = compile(problem.circuit, problem.observables, backend=backend)

    def step() -> tuple[Array, Array, Array]:
        values, pullback = model.forward(problem.weights, problem.inputs)
        gradients = pullback(problem.cotangents)
        return values, gradients.weights, gradients.inputs

    return step


def pennylane_step(problem: Problem, device: str, method: str, **options: Any) -> Step:
    """The step through a QNode: torch where it is installed, else autograd.

    One sample runs unbatched, as a loop over samples would; several run broadcast.
    """
    import pennylane as qml

    if device == "ketgrad.qubit":
        from .pennylane_device import KetgradQubit

        simulator: Any = KetgradQubit(problem.circuit.n_wires)
    else:
        simulator = qml.device(device, wires=problem.circuit.n_wires)
    observables = [_to_pennylane(o) for o in problem.observables]
    apply = _quantum_function(problem.circuit)
    single = len(problem.inputs) == 1
    inputs = problem.inputs[0] if single else problem.inputs
    cotangents = problem.cotangents[0] if single else problem.cotangents.T

    def function(x: Any, w: Any) -> Any:
        apply(x, w)
        return [qml.expval(o) for o in observables]

    step = _torch_step if find_spec("torch") else _autograd_step
    run = step(qml.QNode(function, simulator, diff_method=method, **options), inputs, problem.weights, cotangents)

    def arranged() -> tuple[Array, Array, Array]:
        values, grad_w, grad_x = run()
        return (values[None], grad_w, grad_x[None]) if single else (values.T, grad_w, grad_x)

    return arranged


def _torch_step(qnode: Any, inputs: Array, weights: Array, cotangents: Array) -> Step:
    import torch

    x, w = torch.tensor(inputs, requires_grad=True), torch.tensor(weights, requires_grad=True)
    c = torch.tensor(cotangents)

    def step() -> tuple[Array, Array, Array]:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # lightning returns Python floats, which torch would round to float32
        try:
            values = torch.stack(tuple(qnode(x, w)))
            grad_x, grad_w = torch.autograd.grad((values * c).sum(), (x, w))
        finally:
            torch.set_default_dtype(before)
        return values.detach().numpy(), grad_w.numpy(), grad_x.numpy()

    return step


def _autograd_step(qnode: Any, inputs: Array, weights: Array, cotangents: Array) -> Step:
    import pennylane as qml
    from pennylane import numpy as pnp

    x, w = pnp.array(inputs, requires_grad=True), pnp.array(weights, requires_grad=True)
    kept: list[Array] = []

    def loss(x: Any, w: Any) -> Any:
        values = pnp.stack(qnode(x, w))
        kept[:] = [np.asarray(getattr(values, "_value", values))]
        return pnp.sum(values * cotangents)

    gradient = qml.grad(loss)

    def step() -> tuple[Array, Array, Array]:
        grad_x, grad_w = gradient(x, w)
        return kept[0], np.asarray(grad_w), np.asarray(grad_x)

    return step


def _quantum_function(circuit: Circuit) -> Callable[[Any, Any], None]:
    """A circuit of ketgrad as a PennyLane quantum function of inputs (..., F) and weights (P,)."""
    import pennylane as qml

    def angle(p: float | Expression) -> Callable[[Any, Any], Any]:
        if not isinstance(p, Expression):
            return lambda x, w: p
        assert p.affine is not None
        (kind, k), scale, offset = p.affine
        if (scale, offset) == (1.0, 0.0):
            return (lambda x, w: w[k]) if kind == "w" else (lambda x, w: x[..., k])
        return lambda x, w: scale * (w[k] if kind == "w" else x[..., k]) + offset

    gates = [(getattr(qml, str(g.spec.pennylane)), [angle(p) for p in g.params], list(g.wires)) for g in circuit.gates]

    def apply(x: Any, w: Any) -> None:
        for operation, angles, wires in gates:
            operation(*[a(x, w) for a in angles], wires=wires)

    return apply


def _to_pennylane(observable: PauliSum) -> Any:
    import pennylane as qml

    ((coefficient, word, _),) = observable.terms
    operator = qml.prod(*[getattr(qml, letter)(wire) for wire, letter in word])
    return operator if coefficient == 1 else coefficient * operator


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
    peers.append(_Peer("ketgrad.qubit in PennyLane", _qnode("ketgrad.qubit", "adjoint"), f"QNode, {interface}, adjoint"))
    if find_spec("pennylane_lightning"):
        lightning = "1 thread, batch expanded into a loop"
        peers.append(
            _Peer("lightning.qubit adjoint", _qnode("lightning.qubit", "adjoint"), f"{interface}, Jacobian; {lightning}")
        )
        peers.append(
            _Peer(
                "lightning.qubit adjoint, VJP",
                _qnode("lightning.qubit", "adjoint", device_vjp=True),
                f"{interface}, device_vjp=True; {lightning}",
            )
        )
    else:
        missing.append("pennylane-lightning (pip install pennylane-lightning)")
    peers.append(
        _Peer("default.qubit backprop", _qnode("default.qubit", "backprop"), f"{interface}, broadcast, {_torch_threads()}")
    )
    peers.append(
        _Peer(
            "default.qubit parameter-shift",
            _qnode("default.qubit", "parameter-shift"),
            f"{interface}, looped (it cannot differentiate a broadcast batch)",
            one_sample=True,
        )
    )
    return peers, missing


def _qnode(device: str, method: str, **options: Any) -> Callable[[Problem], Step]:
    return lambda problem: pennylane_step(problem, device, method, **options)


def _torch_threads() -> str:
    if not find_spec("torch"):
        return "numpy's threads"
    import torch

    return f"{torch.get_num_threads()} torch threads"


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
                f"{name}: its {what} differ from ketgrad's by {difference:.3g}, more than {TOLERANCE:g}; nothing was timed"
            )
        worst = max(worst, difference)
    return worst


def compare(
    qubits: int = 8,
    layers: int = 3,
    batch: int = 32,
    *,
    quick: bool = False,
    say: Callable[[str], None] | None = None,
) -> list[Row]:
    """Time one training step on ketgrad and on the PennyLane simulators installed here.

    Args:
        qubits, layers, batch: of the hybrid model's circuit and the step.
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
        seconds, repeats = measure(step, 0.3 if quick else 3.0, 200)
        note = peer.note
        if peer.one_sample:
            seconds *= batch
            note = f"1 sample timed, x {batch}; {note}"
        base = base or seconds
        rows.append(Row(peer.name, seconds, repeats, seconds / base, error, note))
    return rows + [Row(name, None, 0, None, None, "not installed here") for name in missing]


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
    cells = [
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
    parser.add_argument("--qubits", type=int, default=8, help="qubits of the circuit (default 8)")
    parser.add_argument("--layers", type=int, default=3, help="variational layers (default 3)")
    parser.add_argument("--batch", type=int, default=32, help="samples of a step (default 32)")
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
