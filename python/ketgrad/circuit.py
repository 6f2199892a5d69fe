"""`Circuit`: gates on wires, with named parameters, in the user's language.

Owns: what a circuit may contain, checked where it is appended. May not know: bits, opcodes, programs, backends.
The gate methods (`circuit.rx(theta, 0)`) are made from the gate table; there is no second list.
"""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import ArgumentTypeError, CircuitError, ParameterError, StateError, WireError
from .evolution import EvolutionStep, evolution
from .expressions import Expression, finite
from .gate_spec import GateSpec, check_extra
from .gates import GATES, find
from .pauli import MAX_WIRES, PauliSum, check_wires

if TYPE_CHECKING:
    from .noise.channel import Channel


class Gate(NamedTuple):
    """One gate of a circuit: a row of the table with its arguments.

    `wires` are the row's own (its controls first); `controls` and `control_values` come on top.
    """

    spec: GateSpec
    params: tuple[float | Expression, ...]
    wires: tuple[int, ...]
    controls: tuple[int, ...] = ()
    control_values: tuple[int, ...] = ()
    inverse: bool = False
    extra: Any = None

    def __repr__(self) -> str:
        args = [repr(p) if isinstance(p, Expression) else f"{p:g}" for p in self.params]
        if not isinstance(self.extra, (np.ndarray, type(None))):
            args.append(repr(self.extra))
        args += [str(w) for w in self.wires]
        if self.controls:
            args.append(f"controls={self.controls}, control_values={self.control_values}")
        return f"{self.spec.name}({', '.join(args)})" + (".inverse" if self.inverse else "")


class Circuit:
    """A quantum circuit on `n_wires` wires, all starting in |0>; wire 0 is the most significant bit.

    Example:
        >>> circuit = Circuit(2)
        >>> x, w = circuit.inputs(1), circuit.weights(2)
        >>> circuit.rx(2 * x[0] + 0.1, 0).ry(w[0], 1).cnot(0, 1).rz(w[1], 1)

    Raises:
        WireError: `n_wires` is not an integer from 1 to 62.
    """

    def __init__(self, n_wires: int) -> None:
        if isinstance(n_wires, (bool, np.bool_)) or not isinstance(n_wires, (int, np.integer)):
            raise WireError(f"Circuit: the number of wires is an integer, got {n_wires!r}")
        if not 1 <= n_wires <= MAX_WIRES:
            raise WireError(f"Circuit: a circuit has 1 to {MAX_WIRES} wires, got {int(n_wires)}")
        self.n_wires = int(n_wires)
        self.n_weights = 0
        self.n_inputs = 0
        self.gates: list[Gate] = []
        self.initial: tuple[npt.NDArray[np.complex128], tuple[int, ...]] | None = None
        self.groups: list[tuple[str, str, tuple[int, ...], int]] = []  # name, kind, shape, start
        self._evolutions: dict[PauliSum, list[EvolutionStep]] = {}  # layers of a circuit share a table
        # random, so that a circuit unpickled in another process is not taken for one made there
        self._owner = int.from_bytes(os.urandom(8), "little")

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Circuit]: ...

    # parameters

    def _group(self, kind: str, shape: int | Sequence[int], name: str) -> npt.NDArray[np.object_]:
        if not isinstance(name, str):
            raise ParameterError(
                f"a group's name is a string, got {name!r}; for an array of shape (2, 3) pass the tuple"
            )
        sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        if any(isinstance(s, bool) or not isinstance(s, (int, np.integer)) or s < 0 for s in sizes):
            raise ParameterError(f"{name}: a shape has integers of at least 0, got {shape!r}")
        if any(name == other for other, *_ in self.groups):
            raise ParameterError(f"parameter group {name!r} exists already; give another name=")
        start = self.n_weights if kind == "w" else self.n_inputs
        size = int(np.prod(sizes, dtype=object)) if sizes else 1
        if size > 10**7:
            raise ParameterError(f"{name}: at most 10,000,000 parameters in a group, got {size}")
        out = np.empty(size, dtype=object)
        for k in range(size):
            out[k] = Expression(self._owner, {((kind, start + k),): 1.0})
        self.groups.append((name, kind, tuple(int(s) for s in sizes), start))
        if kind == "w":
            self.n_weights += size
        else:
            self.n_inputs += size
        return out.reshape(sizes)

    def weights(self, shape: int | Sequence[int], name: str | None = None) -> npt.NDArray[np.object_]:
        """An array of trainable parameters, one value for the whole batch. Groups are flattened in order."""
        return self._group("w", shape, name or self._free_name("w"))

    def inputs(self, shape: int | Sequence[int], name: str | None = None) -> npt.NDArray[np.object_]:
        """An array of features, one value for each sample of a batch."""
        return self._group("x", shape, name or self._free_name("x"))

    def parameter(self, name: str) -> Expression:
        """One named trainable parameter."""
        if not isinstance(name, str) or not name:
            raise ParameterError(f"a parameter's name is a non-empty string, got {name!r}")
        out: Expression = self._group("w", (), name).item()
        return out

    def _free_name(self, stem: str) -> str:
        taken = {name for name, *_ in self.groups}
        return next(s for s in itertools.chain([stem], (f"{stem}{k}" for k in itertools.count(1))) if s not in taken)

    def parameter_names(self, kind: str = "w") -> list[str]:
        """Readable names of the weights (`"w"`) or inputs (`"x"`), in flat order."""
        out = []
        for name, group_kind, shape, _ in self.groups:
            if group_kind == kind:
                out += [f"{name}[{', '.join(map(str, i))}]" if i else name for i in np.ndindex(*shape)]
        return out

    # gates

    def append(
        self,
        name: str | GateSpec,
        params: Sequence[Any] = (),
        wires: Sequence[int] = (),
        *,
        controls: Sequence[int] | int = (),
        control_values: Sequence[int] | int | None = None,
        inverse: bool = False,
        extra: Any = None,
    ) -> Circuit:
        """Append one gate and return the circuit.

        Args:
            name: a gate of the table, or one of its aliases.
            params: angles in radians: numbers or expressions of this circuit's parameters.
            wires: the gate's wires, its own controls first.
            controls: further control wires.
            control_values: the value (0 or 1) each further control must have; default all 1.
            inverse: append the inverse gate.
            extra: the word, matrix, diagonal, values or dim of a gate that takes one.

        Raises:
            CircuitError: unknown gate, wrong number of parameters or wires.
            WireError: a wire out of range or repeated.
            ParameterError: an angle that is not finite, or of another circuit.
            GateMatrixError: a matrix of the wrong shape or not unitary.
        """
        spec = name if isinstance(name, GateSpec) else find(name)
        own = self._check_wires(wires, spec.name)
        if not hasattr(params, "__len__"):
            raise ArgumentTypeError(f"{spec.name}: params are a sequence of angles, got {params!r}")
        if len(params) != len(spec.params):
            raise CircuitError(
                f"{spec.name} takes {len(spec.params)} parameter{'s' * (len(spec.params) != 1)} "
                f"{spec.params}, got {len(params)}"
            )
        if spec.wires is not None and len(own) != spec.wires:
            raise CircuitError(f"{spec.name} acts on {spec.wires} wire{'s' * (spec.wires != 1)}, got {len(own)}")
        if spec.wires is None and not own:
            raise CircuitError(f"{spec.name} acts on at least one wire, got none")
        control = self._check_wires((controls,) if isinstance(controls, (int, np.integer)) else controls, spec.name)
        if set(own) & set(control):
            raise WireError(f"{spec.name}: wires and controls must be distinct, got {own} and controls {control}")
        values = self._check_control_values(control, control_values, spec.name)
        angles = tuple(self._check_angle(p, spec.name, q) for p, q in zip(params, spec.params, strict=True))
        checked = check_extra(spec, extra, len(own))
        self.gates.append(Gate(spec, angles, own, control, values, bool(inverse), checked))
        return self

    def prepare(self, amplitudes: npt.ArrayLike, wires: Sequence[int] | None = None) -> Circuit:
        """Start from these amplitudes on `wires` (default: all), |0> elsewhere; before any gate.

        Args:
            amplitudes: 2^k complex numbers of norm 1 to 1e-8, the first wire the most significant bit.

        Raises:
            StateError: wrong length, not finite, not normalised, or gates were appended already.
        """
        if self.gates or self.initial is not None:
            raise StateError("prepare: a state is prepared once and before any gate")
        where = self._check_wires(range(self.n_wires) if wires is None else wires, "prepare")
        try:
            vector = np.array(amplitudes, dtype=complex)
        except (TypeError, ValueError):
            raise StateError("prepare: amplitudes are an array of numbers") from None
        if vector.shape != (2 ** len(where),) or not where:
            raise StateError(f"prepare: {len(where)} wires need {2 ** len(where)} amplitudes, got shape {vector.shape}")
        norm = float(np.linalg.norm(vector))
        if not np.isfinite(norm) or abs(norm - 1) > 1e-8:
            raise StateError(f"prepare: amplitudes have norm 1, got {norm:.9g}; divide by np.linalg.norm(amplitudes)")
        self.initial = (vector, where)
        return self

    def basis_state(self, bits: str | Sequence[int], wires: Sequence[int] | None = None) -> Circuit:
        """Flip the wires whose bit is 1; from the start state this prepares |bits>."""
        where = self._check_wires(range(self.n_wires) if wires is None else wires, "basis_state")
        try:
            values = [str(b) for b in itertools.islice(bits, MAX_WIRES + 1)]
        except TypeError:
            raise ArgumentTypeError(f"basis_state: bits are a string or a sequence, got {bits!r}") from None
        if len(values) != len(where) or any(v not in ("0", "1") for v in values):
            raise StateError(f"basis_state: {len(where)} wires need as many bits 0 or 1, got {bits!r}")
        for wire, value in zip(where, values, strict=True):
            if value == "1":
                self.append("x", (), (wire,))
        return self

    def evolve(
        self,
        observable: PauliSum,
        time: Any,
        *,
        controls: Sequence[int] | int = (),
        control_values: Sequence[int] | int | None = None,
    ) -> Circuit:
        """Append exp(-i time H), H a sum whose terms commute: a rotation for each term, or one `exp_diagonal`.

        The second where H has more than 256 terms, all of Zs and projectors, with at most 4096 distinct values.

        Args:
            observable: H. For terms that do not commute, alternate between `evolve` by each for short times (Trotter).
            time: a number or an expression of this circuit's parameters.
            controls, control_values: as for `append`.

        Raises:
            CircuitError: terms that do not commute, or a coefficient that is not real.
            WireError, ParameterError: as for `append`.
        """
        if not isinstance(observable, PauliSum):
            raise ArgumentTypeError(f"evolve: expected a PauliSum such as kg.Z(0), got {type(observable).__name__}")
        self._check_wires(observable.wires, "evolve")
        control = self._check_wires((controls,) if isinstance(controls, (int, np.integer)) else controls, "evolve")
        values = self._check_control_values(control, control_values, "evolve")
        if set(control) & set(observable.wires):
            raise WireError(f"evolve: wires and controls must be distinct, got controls {control}")
        angle = self._check_angle(time, "evolve", "time")
        if observable not in self._evolutions:
            self._evolutions[observable] = evolution(observable)
        before = len(self.gates)
        try:
            for gate, scale, wires, held, bits, extra in self._evolutions[observable]:
                self.append(
                    gate, (scale * angle,), wires, controls=control + held, control_values=values + bits, extra=extra
                )
        except BaseException:
            del self.gates[before:]  # all or nothing
            raise
        return self

    def channel(self, channel: Channel, wires: Sequence[int] | int) -> Circuit:
        """Append a channel of `ketgrad.noise` on its number of wires; the first is its most significant."""
        from .noise.channel import append_channel

        return append_channel(self, channel, wires)

    def extend(self, other: Circuit) -> Circuit:
        """Append all gates of a circuit without parameters of its own, on the same wires."""
        if not isinstance(other, Circuit):
            raise ArgumentTypeError(f"extend: expected a Circuit, got {type(other).__name__}")
        if other.n_wires > self.n_wires:
            raise WireError(f"extend: the other circuit has {other.n_wires} wires, this one {self.n_wires}")
        if other.initial is not None or other.n_weights or other.n_inputs:
            raise CircuitError("extend: the other circuit may have neither parameters nor a prepared state")
        self.gates += other.gates
        return self

    def _check_wires(self, wires: Any, what: str) -> tuple[int, ...]:
        return check_wires(wires, what, self.n_wires)

    @staticmethod
    def _check_control_values(controls: tuple[int, ...], values: Any, what: str) -> tuple[int, ...]:
        if values is None:
            return (1,) * len(controls)
        try:
            out = (values,) if isinstance(values, (int, np.integer)) else tuple(itertools.islice(values, MAX_WIRES + 1))
        except TypeError:
            raise ArgumentTypeError(f"{what}: control values are 0 or 1, got {values!r}") from None
        if len(out) != len(controls) or any(v not in (0, 1) for v in out):
            raise CircuitError(f"{what}: {len(controls)} controls need as many control values 0 or 1, got {values!r}")
        return tuple(int(v) for v in out)

    def _check_angle(self, value: Any, gate: str, param: str) -> float | Expression:
        if isinstance(value, np.ndarray) and value.shape == ():
            value = value[()]
        if isinstance(value, Expression):
            if value.owner != self._owner:
                raise ParameterError(f"{gate}: {param} is a parameter of another circuit")
            if any(m for m in value.terms):
                return value
            return value.terms.get((), 0.0)
        return finite(value, f"{gate}: {param}")

    def copy(self) -> Circuit:
        """A circuit that shares parameters with this one and can grow by itself."""
        out = Circuit(self.n_wires)
        out.__dict__.update(self.__dict__, gates=list(self.gates), groups=list(self.groups))
        return out

    # looks

    @property
    def depth(self) -> int:
        """Layers of gates when each gate starts as early as its wires allow."""
        level = [0] * self.n_wires
        for gate in self.gates:
            touched = (*gate.wires, *gate.controls)
            if touched:
                top = 1 + max(level[w] for w in touched)
                for w in touched:
                    level[w] = top
        return max(level)

    def __len__(self) -> int:
        return len(self.gates)

    def __repr__(self) -> str:
        return (
            f"Circuit(n_wires={self.n_wires}, gates={len(self.gates)}, depth={self.depth}, "
            f"weights={self.n_weights}, inputs={self.n_inputs})"
        )

    def __str__(self) -> str:
        from .drawing import draw_text

        return draw_text(self)

    def draw(self, kind: str = "text", **options: Any) -> Any:
        """A drawing: `"text"` gives a string, `"mpl"` a matplotlib figure (needs `ketgrad[plot]`)."""
        from .drawing import draw

        return draw(self, kind, **options)


def _split(spec: GateSpec, args: tuple[Any, ...]) -> tuple[list[Any], Any, list[Any]]:
    """Positional arguments of a gate method -> parameters, extra argument, wires."""
    rest = list(args)
    params: list[Any] = []
    wanted = len(spec.params)
    if wanted > 1 and rest and isinstance(rest[0], (np.ndarray, list, tuple)):
        params = list(rest.pop(0))
    else:
        params, rest = rest[:wanted], rest[wanted:]
    extra = rest.pop(0) if spec.extra is not None and rest else None
    if len(rest) == 1 and isinstance(rest[0], (list, tuple, range, np.ndarray)):
        rest = list(rest[0])
    return params, extra, rest


def _gate_method(spec: GateSpec, name: str) -> Callable[..., Circuit]:
    def method(
        self: Circuit,
        *args: Any,
        controls: Sequence[int] | int = (),
        control_values: Sequence[int] | int | None = None,
        inverse: bool = False,
    ) -> Circuit:
        params, extra, wires = _split(spec, args)
        return self.append(
            spec, params, wires, controls=controls, control_values=control_values, inverse=inverse, extra=extra
        )

    names = [*spec.params, *([spec.extra] if spec.extra else [])]
    parameters = [inspect.Parameter(p, inspect.Parameter.POSITIONAL_ONLY) for p in ("self", *names)]
    parameters.append(inspect.Parameter("wires", inspect.Parameter.VAR_POSITIONAL))
    parameters += [
        inspect.Parameter(p, inspect.Parameter.KEYWORD_ONLY, default=d)
        for p, d in (("controls", ()), ("control_values", None), ("inverse", False))
    ]
    method.__name__ = name
    method.__qualname__ = f"Circuit.{name}"
    method.__doc__ = f"{spec.doc}\n\nParameters {spec.params or '()'} in radians, then the wires; see `append`."
    method.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return method


for _spec in GATES:
    for _name in (_spec.name, *_spec.aliases):
        setattr(Circuit, _name, _gate_method(_spec, _name))
