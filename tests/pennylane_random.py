"""Random QNodes for the differential test of the PennyLane device: circuits, observables, measurements.

Owns: `Recipe`, a QNode on paper: a seed for its wires and arguments and one for each gate and measurement, from which
everything follows, so that a failing QNode is reproduced from its repr and loses gates one by one. Knows PennyLane and
the names of the gate table, nothing else of ketgrad.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pennylane as qml
import reference
from pennylane_templates import TEMPLATES

from ketgrad.pennylane_device.conversion import SPECS

Rng = np.random.Generator
LABELS: tuple[Callable[[Rng, int], list[Any]], ...] = (
    lambda rng, n: list(range(n)),
    lambda rng, n: [int(v) for v in rng.permutation(n)],
    lambda rng, n: [int(v) for v in rng.permutation(12)[:n]],
    lambda rng, n: [str(v) for v in rng.permutation(list("abcdefg"))[:n]],
    lambda rng, n: [("q", 3, "b", -1, 2.5, 0)[int(v)] for v in rng.permutation(6)[:n]],
)
MATRICES = ("QubitUnitary", "DiagonalQubitUnitary")
JACOBIAN_KINDS = ("expval", "expval", "expval", "var", "probs")
SHIFT_KINDS = ("expval", "expval", "probs")
KINDS = (
    *JACOBIAN_KINDS,
    *JACOBIAN_KINDS,
    "probs of",
    "probs of",
    "state",
    "density",
    "purity",
    "entropy",
    "mutual",
    "eigvals",
)


def pick(rng: Rng, options: Sequence[Any], weights: Sequence[float] | None = None) -> Any:
    """One of them, as it is."""
    p = None if weights is None else np.asarray(weights) / np.sum(weights)
    return options[int(rng.choice(len(options), p=p))]


@dataclass(frozen=True, eq=False)
class Scope:
    """What a gate or measurement is made from: wires, the QNode's arguments, and mid-circuit measurements so far.

    Attributes:
        w: (4,) angles; x: (3,) or (B, 3); c: (3,) coefficients; a: (8,) or (B, 8) amplitudes.
    """

    labels: list[Any]
    w: Any
    x: Any
    c: Any
    a: Any
    dense: bool = False
    outcomes: list[Any] = field(default_factory=list)

    @property
    def batch(self) -> int | None:
        return int(self.x.shape[0]) if self.x.ndim == 2 else None

    def wires(self, rng: Rng, count: int) -> list[Any]:
        return [self.labels[int(i)] for i in rng.permutation(len(self.labels))[:count]]

    def some(self, rng: Rng, most: int = 3, least: int = 1) -> list[Any]:
        return self.wires(rng, int(rng.integers(least, min(most, len(self.labels)) + 1)))

    def angle(self, rng: Rng, batches: bool = True) -> Any:
        """A constant, or an expression of the arguments."""
        i, j = (int(v) for v in rng.integers(0, 4, 2))
        k, scale, constant = int(rng.integers(3)), float(rng.choice([-1.0, 0.5, 2.0])), float(rng.uniform(-7, 7))
        options: list[Callable[[], Any]] = [
            lambda: constant,
            lambda: self.w[i],
            lambda: self.w[i],
            lambda: scale * self.w[i] + 0.3,
            lambda: self.w[i] * self.w[j] - 0.5 * self.w[i],
            lambda: qml.math.sin(self.w[i]),
        ]
        if batches or self.batch is None:
            options += [lambda: self.x[..., k], lambda: self.x[..., k], lambda: self.x[..., k] * self.w[i] + scale]
        if batches and self.batch is not None:
            options.append(lambda: constant * np.linspace(0.5, 1.0, self.batch))
        return pick(rng, options)()

    def block(self, rng: Rng, shape: tuple[int, ...], batches: bool = True) -> Any:
        """Angles of a template: constants, or those times one angle."""
        constants = rng.uniform(-3, 3, shape)
        kind = int(rng.integers(3))
        if kind == 0:
            return constants
        if kind == 1 or self.batch is None or not batches:
            return self.w[int(rng.integers(4))] * qml.math.convert_like(constants, self.w)
        column = qml.math.reshape(self.x[:, int(rng.integers(3))], (-1,) + (1,) * len(shape))
        return column * qml.math.convert_like(constants, self.x)


@dataclass(frozen=True)
class Recipe:
    """A QNode on paper.

    Args:
        seed: of wires, broadcasting, arguments and which of them are trained.
        gates, measured: seeds.
        only: "jacobians" to measure what the device gives Jacobians of, "shifts" what PennyLane's parameter-shift rule
            differentiates rightly, or else everything.
    """

    seed: int
    gates: tuple[int, ...]
    measured: tuple[int, ...]
    only: str = ""

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        n = int(pick(rng, range(1, 6), [1, 2, 3, 2, 1]))
        labels = pick(rng, LABELS)(rng, n)
        batch = pick(rng, (None, 1, 2, 3), [6, 1, 1, 2])
        spare = [*labels, "spare"]
        wires = pick(rng, (None, labels, [spare[int(i)] for i in rng.permutation(n + 1)]))
        collapses = rng.random() < 0.12
        if collapses:  # deferred measurements take wires beyond the largest
            labels, wires = list(range(n)), None
        lead = () if batch is None else (batch,)
        arguments = (
            rng.uniform(-3, 3, 4),
            rng.uniform(-3, 3, (*lead, 3)),
            rng.normal(size=3),
            rng.normal(size=(*lead, 8)),
        )
        trained = tuple(bool(v) for v in rng.random(4) < (0.9, 0.5, 0.5, 0.7))
        prepared = int(rng.integers(1 << 32)) if rng.random() < 0.2 else None
        values = {"labels": labels, "batch": batch, "wires": wires, "collapses": collapses, "arguments": arguments}
        values |= {"trained": trained if any(trained) else (True, *trained[1:]), "prepared": prepared}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def queue(self, w: Any, x: Any, c: Any, a: Any, dense: bool = False) -> Scope:
        """Queue the gates; the arguments are those of `Scope`, which measurements are made from."""
        scope = Scope(self.labels, w, x, np.array([0.3, -1.2, 0.7]) if self.only else c, a, dense)
        if self.prepared is not None:
            prepare(np.random.default_rng(self.prepared), scope)
        for wire in self.labels if self.wires is None else ():
            qml.Identity(wire)  # else which wire is first used depends on what a device decomposes
        for seed in self.gates:
            rng = np.random.default_rng(seed)
            if self.collapses and rng.random() < 0.3:
                collapse(rng, scope)
            else:
                qml.apply(random_gate(rng, scope))
        return scope

    def function(self, w: Any, x: Any, c: Any, a: Any, dense: bool = False, matrices: bool = False) -> Any:
        """The quantum function of `queue`'s arguments."""
        scope = self.queue(w, x, c, a, dense)
        with qml.QueuingManager.stop_recording():  # or else the factors of observables would be queued
            out = [random_measurement(np.random.default_rng(seed), scope, self.only) for seed in self.measured]
            out = [of_matrix(mp) if matrices else mp for mp in out]
        for measurement in out:
            measurement.queue()
        return out[0] if len(out) == 1 else pick(np.random.default_rng(self.seed), (list, tuple))(out)

    def dense(self, w: Any, x: Any, c: Any, a: Any) -> Any:
        """The same without sparse matrices, through which default.qubit does not differentiate."""
        return self.function(w, x, c, a, True)

    def careful(self, w: Any, x: Any, c: Any, a: Any) -> Any:
        """The same with moments as of matrices: PennyLane may diagonalise composed observables wrongly, and caches
        products of Pauli sums so that they depend on what ran before."""
        return self.function(w, x, c, a, True, True)

    def fresh(self) -> tuple[Any, ...]:
        """Other arguments of the same kind, where there is a batch with two more samples."""
        rng = np.random.default_rng(self.seed + 1)
        shapes = [v.shape if v.ndim == 1 else (len(v) + 2, v.shape[1]) for v in self.arguments]
        return tuple(rng.uniform(-3, 3, shape) for shape in shapes)

    def program(self) -> str:
        """The circuit, for a reader."""
        try:
            tape = qml.tape.make_qscript(self.function)(*self.arguments)
        except Exception as error:
            return f"{self!r} cannot be queued: {error!r}"
        with np.printoptions(threshold=8, edgeitems=1, precision=4):
            lines = [f"{op!r}  # {[np.shape(d) for d in op.data]}" for op in tape.operations]
            lines += [f"return {mp!r}" for mp in tape.measurements]
        facts = f"wires {self.labels} of {self.wires}, batch {self.batch}, trained (w, x, c, a) {self.trained}"
        return "\n".join([repr(self), facts, *lines])


# gates


def prepare(rng: Rng, scope: Scope) -> None:
    """A state to start from."""
    wires = scope.some(rng)
    size = 1 << len(wires)
    kind = int(rng.integers(4))
    if kind == 0:
        qml.BasisState(rng.integers(0, 2, len(wires)), wires)
    elif kind == 1:
        constant = reference.random_unitary(len(wires), rng)[0]
        qml.StatePrep(constant, wires)
    else:
        padded = size if kind == 2 else max(1, size - 1)
        qml.AmplitudeEmbedding(scope.a[..., :padded], wires, pad_with=0.25, normalize=True)


def random_gate(rng: Rng, scope: Scope) -> Any:
    """A gate, or one made of others; not yet queued."""
    with qml.QueuingManager.stop_recording():
        if rng.random() < 0.2:
            fitting = [t for t in TEMPLATES if t.fits(len(scope.labels))]
            return pick(rng, fitting).make(rng, scope)
        op = table_gate(rng, scope)
        for _ in range(int(pick(rng, (0, 1, 2), [6, 3, 1]))):
            op = _wrapped(rng, scope, op)
        return op


def table_gate(rng: Rng, scope: Scope) -> Any:
    """An operator of the gate table, or of PennyLane's other gates."""
    names = [*sorted(SPECS), "GlobalPhase", "MultiControlledX", "U1"]
    names = [n for n in names if n not in SPECS or (SPECS[n].wires or 1) <= len(scope.labels)]
    name = pick(rng, names)
    cls, spec = getattr(qml, name), SPECS.get(name)
    wires = scope.wires(rng, spec.wires) if spec and spec.wires else scope.some(rng)
    if name in MATRICES:
        return cls(_unitary(rng, scope, len(wires), name), wires)
    if name == "GlobalPhase":
        return cls(scope.angle(rng, batches=False))
    if name == "MultiControlledX":
        return (
            cls(wires, control_values=[bool(v) for v in rng.integers(0, 2, len(wires) - 1)])
            if wires[1:]
            else qml.X(wires)
        )
    if name == "U1":
        return cls(scope.angle(rng), wires[0])
    angles = [scope.angle(rng) for _ in spec.params]
    if name == "PauliRot":
        return cls(*angles, "".join(rng.choice(list("IXYZ"), len(wires))), wires)
    if name == "PCPhase":
        return cls(*angles, dim=int(rng.integers(0, (1 << len(wires)) + 1)), wires=wires)
    return cls(*angles, wires=wires)


def _unitary(rng: Rng, scope: Scope, k: int, name: str) -> Any:
    many = scope.batch is not None and rng.random() < 0.3
    if name == "QubitUnitary" and k == 1 and rng.random() < 0.15:
        return qml.RY.compute_matrix(scope.angle(rng, batches=False))
    found = [reference.random_unitary(k, rng) for _ in range(scope.batch if many else 1)]
    if name == "DiagonalQubitUnitary":
        found = [np.exp(1j * np.angle(u[0])) for u in found]
    return np.stack(found) if many else found[0]


def _wrapped(rng: Rng, scope: Scope, op: Any) -> Any:
    kind = pick(rng, ("adjoint", "ctrl", "pow", "prod"), [4, 4, 1, 1])
    if kind == "adjoint":
        return qml.adjoint(op)
    if kind == "pow":  # PennyLane is of two minds about roots of anything but plain constants
        return qml.pow(op, pick(rng, (2, 3) if op.data or op.name not in SPECS else (2, -1, 3, 0.5)))
    if kind == "prod":  # of which default.qubit runs no batches
        return qml.prod(op, table_gate(rng, scope)) if scope.batch is None else op
    free = [w for w in scope.labels if w not in op.wires]
    if not free:
        return qml.adjoint(op)
    controls = [free[int(i)] for i in rng.permutation(len(free))[: int(rng.integers(1, 3))]]
    return qml.ctrl(op, controls, control_values=[bool(v) for v in rng.integers(0, 2, len(controls))])


def collapse(rng: Rng, scope: Scope) -> None:
    """A mid-circuit measurement, or a gate under the condition of earlier ones."""
    if len(scope.outcomes) < 2 and (not scope.outcomes or rng.random() < 0.5):
        scope.outcomes.append(qml.measure(scope.wires(rng, 1)[0], reset=bool(rng.random() < 0.4)))
        return
    first, last, wire = scope.outcomes[0], scope.outcomes[-1], scope.wires(rng, 1)[0]
    condition = pick(rng, (first, first == 0, first | ~last, first + 2 * last >= 1))
    angle = scope.angle(rng)
    qml.cond(condition, qml.RX, *pick(rng, ((), (qml.RY,))))(angle, wire)


# observables and measurements


def word(rng: Rng, scope: Scope, wires: Sequence[Any] | None = None) -> Any:
    """A product of Pauli operators."""
    letters = [pick(rng, (qml.X, qml.Y, qml.Z))(w) for w in wires or scope.some(rng)]
    return qml.prod(*letters) if letters[1:] else letters[0]


def _factor(rng: Rng, scope: Scope) -> Any:
    wires = scope.some(rng, 2)
    kind = int(rng.integers(5))
    if kind == 0:
        return qml.Hermitian(reference.random_hermitian(len(wires), rng), wires)
    if kind == 1:
        return qml.Projector(rng.integers(0, 2, len(wires)), wires)
    if kind == 2:
        return qml.Projector(reference.random_unitary(len(wires), rng)[0], wires)
    return qml.Hadamard(wires[0]) if kind == 3 else word(rng, scope)


def observable(rng: Rng, scope: Scope, depth: int = 0) -> Any:
    """A Hermitian operator."""
    kinds = ["word", "word", "factor", "factor", "sum", "sandwich", "power", "identity", "trained", "trained matrix"]
    kind = pick(rng, kinds + (["nested", "nested"] if depth < 2 else []))
    if kind == "word":
        return word(rng, scope)
    if kind == "factor":
        return _factor(rng, scope)
    if kind == "sum":
        terms = [word(rng, scope) for _ in range(int(rng.integers(1, 5)))]
        return pick(rng, (qml.Hamiltonian, qml.dot))(rng.normal(size=len(terms)), terms)
    if kind == "sandwich":
        inner, outer = _factor(rng, scope), pick(rng, (word, _factor))(rng, scope)
        return qml.prod(outer, inner, outer)
    if kind == "power":
        return _factor(rng, scope) ** 2
    if kind == "identity":
        return 0.7 * qml.I(scope.wires(rng, 1)[0])
    if kind == "trained":
        terms = [
            word(rng, scope) if rng.random() < 0.8 else _factor(rng, scope) for _ in range(int(rng.integers(1, 4)))
        ]
        return pick(rng, (qml.Hamiltonian, qml.dot))(scope.c[: len(terms)], terms)
    if kind == "trained matrix":
        return qml.s_prod(scope.c[0], _factor(rng, scope))
    first, second = observable(rng, scope, depth + 1), observable(rng, scope, depth + 1)
    if not set(first.wires) & set(second.wires):
        return qml.prod(first, second)
    return qml.sum(first, qml.s_prod(-0.5, second))


def random_measurement(rng: Rng, scope: Scope, only: str = "") -> Any:
    """A measurement; for `only` see `Recipe`."""
    if scope.outcomes and not only and rng.random() < 0.4:
        return _of_outcomes(rng, scope)
    kind = pick(rng, {"jacobians": JACOBIAN_KINDS, "shifts": SHIFT_KINDS, "": KINDS}[only])
    if kind in ("density", "purity", "entropy"):
        wires = scope.some(rng)
        return {
            "density": lambda: qml.density_matrix(wires),
            "purity": lambda: qml.purity(wires),
            "entropy": lambda: qml.vn_entropy(wires, log_base=pick(rng, (None, 2))),
        }[kind]()
    if kind == "mutual" and len(scope.labels) > 1:
        wires = scope.some(rng, 4, least=2)
        cut = int(rng.integers(1, len(wires)))
        return qml.mutual_info(wires[:cut], wires[cut:])
    if kind == "state" and not scope.outcomes:  # which stand for wires of their own
        return qml.state()
    if kind == "probs":
        return qml.probs(wires=scope.some(rng, 5) if scope.outcomes or rng.random() < 0.5 else None)
    if kind == "probs of":
        return qml.probs(op=pick(rng, (word, _factor))(rng, scope))
    if kind == "eigvals":
        wires = scope.some(rng, 2)
        cls = pick(rng, (qml.measurements.ExpectationMP, qml.measurements.VarianceMP))
        return cls(eigvals=rng.normal(size=1 << len(wires)), wires=qml.wires.Wires(wires))
    if kind == "var":
        return qml.var(observable(rng, scope))
    if rng.random() < 0.1:
        wires = scope.some(rng)
        matrix = qml.Hermitian(reference.random_hermitian(len(wires), rng), wires)
        return qml.expval(matrix if scope.dense else qml.SparseHamiltonian(matrix.sparse_matrix(), wires))
    return qml.expval(observable(rng, scope))


def of_matrix(mp: Any) -> Any:
    """A moment of a single Pauli word as it is, one of anything else as that of a matrix."""
    if mp.obs is None or isinstance(mp, qml.measurements.ProbabilityMP) or len(mp.obs.pauli_rep or ()) == 1:
        return mp
    return type(mp)(obs=qml.Hermitian(qml.matrix(mp.obs, wire_order=mp.obs.wires), mp.obs.wires))


def _of_outcomes(rng: Rng, scope: Scope) -> Any:
    first, last = scope.outcomes[0], scope.outcomes[-1]
    measures = (
        lambda: qml.expval(first),
        lambda: qml.var(last),
        lambda: qml.expval(first + 2 * last),
        lambda: qml.probs(op=[first, last] if first is not last else first),
    )
    return pick(rng, measures)()
