"""`CompiledQNode`: a QNode traced once to a model, as a function of numpy, torch, JAX or autograd arguments.

Owns: which trace serves a call, and the guard that compares a trace with the QNode now and then. May not know: how
angles were found, what a gate is.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane.devices import ExecutionConfig

from ..errors import ArgumentError, ArgumentTypeError
from ..interfaces import call, framework
from .exact import Exact
from .measurements import measurement_key
from .preprocessing import pipeline
from .reading import read_tape
from .traced_arguments import TracedArguments, TracedStructure
from .tracing import NotTraceableError, Probe, Trace, trace, watch

Array = npt.NDArray[Any]
GUARDED = 1024  # calls 1, 2, 4, ... up to this one, and every one of its multiples, are compared with the QNode
MAX_TRACES = 32  # kept, one for each set of shapes


class StructureChanged(Exception):
    """A trace and its QNode disagree."""


class _Traced(Exact):
    """The function of a trace; see `interfaces.Differentiable`."""

    def __init__(self, one: _One, axes: Sequence[int], batch: int | None) -> None:
        probe = one.structure.trace.probe
        super().__init__(one.structure, probe.reading.labels, probe.measurements, axes, batch, False)
        self._one = one
        self._direct = one.structure.direct(batch)

    def forward(self, arrays: Sequence[Array], differentiate: bool) -> tuple[Any, Any]:
        arrays = [np.asarray(a, dtype=np.float64) for a in arrays]
        if [a.ndim for a in arrays] == self.axes:  # none in front of its own
            self._one.guard(arrays)
            if self._direct is not None:
                return self._direct.forward(arrays, differentiate)
        return super().forward(arrays, differentiate)

    def _arguments(self, arrays: Sequence[Array]) -> Any:
        arrays = [np.asarray(a, dtype=np.float64) for a in arrays]
        return TracedArguments(arrays, self.axes, self._batch, self._one.structure.trace)


class _One:
    """One trace and its guard."""

    def __init__(self, owner: CompiledQNode, statics: Any, found: Trace, shapes: Sequence[tuple[int, ...]]) -> None:
        self._owner, self._statics, self._calls = owner, statics, 0
        self._functions: dict[int | None, _Traced] = {}
        self.structure = TracedStructure(found, shapes, owner.dtype, owner.backend, owner.device.noise)
        only_each = set(found.varied) - set(found.shared)
        self.free = tuple(a in only_each for a in range(len(shapes)))  # whose first axis may have any length

    def function(self, tensors: Sequence[Any]) -> _Traced:
        """The function of tensors of these shapes."""
        found = self.structure.trace
        batch = int(tensors[found.varied[0]].shape[0]) if found.varied else found.probe.batch
        if batch not in self._functions:
            self._functions[batch] = _Traced(self, [len(s) for s in self.structure.shapes], batch)
        return self._functions[batch]

    def guard(self, arrays: Sequence[Array]) -> None:
        """Compare with the QNode at these arguments, now and then.

        Raises:
            StructureChanged: they disagree.
        """
        self._calls += 1
        if self._calls % GUARDED and (self._calls > GUARDED or self._calls & (self._calls - 1)):
            return
        probe, found = self._owner.queue(self._statics, arrays), self.structure.trace
        same = probe.structure == found.probe.structure
        pairs = zip(probe.angles, found.angles(arrays), strict=True) if same else ()
        if not same or any(not np.allclose(a, b, rtol=1e-7, atol=1e-9, equal_nan=True) for a, b in pairs):
            raise StructureChanged


class CompiledQNode:
    """A QNode as a function that runs without PennyLane; made by `ketgrad.compile(qnode, *example)`.

    It takes the QNode's arguments, of any framework, and returns what the QNode returns, differentiable in that
    framework. Shapes that the example does not have are traced when they first occur. A QNode that cannot be traced is
    run on the device `ketgrad.qubit` instead, with a warning.
    """

    def __init__(
        self, qnode: Any, args: Sequence[Any], kwargs: dict[str, Any], dtype: Any, backend: str | None
    ) -> None:
        from .device import KetgradQubit

        self.qnode, self.dtype, self.backend = qnode, np.dtype(dtype).name, backend
        self._source = copy.copy(qnode)  # queueing leaves things on a QNode
        self.device = KetgradQubit(qnode.device.wires, c_dtype=dtype, backend=backend)
        if isinstance(qnode.device, KetgradQubit):  # its method and its paths
            self.device.noise = qnode.device.noise
        self._pipeline = pipeline(self.device.wires, self.device.name, ExecutionConfig(gradient_method="backprop"))
        self._requeued = qnode.update(device=self.device, diff_method="best")
        self._traces: dict[Any, _One | None] = {}
        self._free: list[tuple[Any, _One]] = []
        self._quick: dict[Any, tuple[_One, _Traced]] = {}  # of calls with nothing but tensors, by position
        if args or kwargs:
            tensors, statics = _split(args, kwargs)
            self._one(tensors, statics)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the QNode gives for these arguments."""
        quick = None if kwargs else self._quick.get(tuple([getattr(a, "shape", None) for a in args]))
        if quick is not None:
            tensors: Sequence[Any] = args
            one, function = quick
        else:
            tensors, statics = _split(args, kwargs)
            found = self._one(tensors, statics)
            if found is None:
                return self._requeued(*args, **kwargs)
            one, function = found, found.function(tensors)
            if len(tensors) == len(args) and not kwargs and all(hasattr(t, "shape") for t in tensors):
                self._quick[tuple([t.shape for t in tensors])] = one, function
        try:
            outputs = call(function, tensors, framework(tensors))
        except StructureChanged:
            self._give_up(one, "its gates, measurements or angles depend on the values of its arguments")
            return self._requeued(*args, **kwargs)
        if not function.plan.only_expectations:
            outputs = function.finish(function.measurements, outputs)
        return _shape(outputs, one.structure.trace.probe.output)

    def torch_layer(self, weights: dict[str, Any]) -> Any:
        """A `torch.nn.Module` of the arguments that are not named here, which are its parameters.

        Args:
            weights: for each argument that is trained, its initial value, or its shape for one drawn from [0, 2 pi).
        """
        from ..interfaces.torch_interface import Layer

        return Layer(self, weights)

    def __reduce__(self) -> Any:
        return CompiledQNode, (self.qnode, (), {}, self.dtype, self.backend)

    @property
    def traced(self) -> bool:
        """Whether the example runs as a compiled circuit."""
        return any(one is not None for one in self._traces.values())

    def __repr__(self) -> str:
        how = "traced" if self.traced else "queued at every call" if self._traces else "not traced yet"
        return f"CompiledQNode({getattr(self.qnode, '__name__', 'qnode')}, {how}, {self.dtype})"

    # inside

    def _one(self, tensors: Sequence[Any], statics: Any) -> _One | None:
        shapes = tuple([getattr(t, "shape", ()) for t in tensors])
        key = (statics, shapes)
        if key in self._traces:
            return self._traces[key]
        for known, one in self._free:
            if known == statics and _matches(shapes, one):
                return one
        return self._new(key, tensors, statics, shapes)

    def _new(self, key: Any, tensors: Sequence[Any], statics: Any, shapes: Any) -> _One | None:
        rng = np.random.default_rng(20240229)  # the probes are the same every time
        example = [_example(t, s, rng) for t, s in zip(tensors, shapes, strict=True)]
        one = None
        try:
            self._check_conditions(statics, example)
            found = trace(partial(self.queue, statics), example, rng)
            one = _One(self, statics, found, shapes)
            one.structure.values(tuple([False] * len(shapes)))
        except NotTraceableError as error:
            self._warn(str(error))
        if len(self._traces) >= MAX_TRACES:
            self._traces.clear()
            self._free.clear()
            self._quick.clear()
        self._traces[key] = one
        if one is not None and any(one.free):
            self._free.append((statics, one))
        return one

    def _check_conditions(self, statics: Any, example: Sequence[Array]) -> None:
        """Queue the function with arrays that tell when it asks for a value: no number of probes would find each."""
        watched, asked = watch(example)
        with suppress(Exception):  # a function that takes no such arrays is left to the probes
            self._source.construct(*_join(statics, watched))
        if asked:
            raise NotTraceableError(f"the quantum function asks for the value of an argument ({asked[0]})")

    def queue(self, statics: Any, arrays: Sequence[Array]) -> Probe:
        """The circuit at some arguments."""
        tape = self._source.construct(*_join(statics, arrays))
        if tape.shots:
            raise NotTraceableError("it has shots")
        named = "compile_pipeline" if hasattr(self.qnode, "compile_pipeline") else "transform_program"  # 0.44's
        transforms = getattr(self.qnode, named)
        tapes, _ = transforms([tape])
        if len(tapes) != 1 or transforms.is_informative:
            raise NotTraceableError("its transforms make something else than one circuit of it")
        output = self._source._qfunc_output
        (ready, *others), _ = self._pipeline(tapes)
        if others or ready.batch_size != tapes[0].batch_size:
            raise NotTraceableError("it is broadcast over matrices")
        reading = read_tape(ready, self.device.wires)
        measured = tuple(measurement_key(mp, reading.index) for mp in ready.measurements)
        batch = ready.batch_size
        return Probe((reading.labels, reading.rows, measured), reading, tuple(ready.measurements), batch, output)

    def _give_up(self, one: _One, why: str) -> None:
        for key, known in self._traces.items():
            if known is one:
                self._traces[key] = None
        self._free = [(s, o) for s, o in self._free if o is not one]
        self._quick = {k: v for k, v in self._quick.items() if v[0] is not one}
        self._warn(why)

    def _warn(self, why: str) -> None:
        warnings.warn(
            f"kg.compile: {why}; it is queued again at every call, on ketgrad.qubit", UserWarning, stacklevel=5
        )


def _shape(results: Sequence[Any], output: Any) -> Any:
    """Results in the place of the measurements that the quantum function returned."""
    if isinstance(output, qml.measurements.MeasurementProcess):
        return results[0]
    if type(output) in (list, tuple):
        return type(output)(results)
    is_leaf = lambda o: isinstance(o, qml.measurements.MeasurementProcess)  # noqa: E731
    return qml.pytrees.unflatten(results, qml.pytrees.flatten(output, is_leaf=is_leaf)[1])


def _matches(shapes: Any, one: _One) -> bool:
    known = one.structure.shapes
    if len(shapes) != len(known):
        return False
    lengths = set()
    for have, want, free in zip(shapes, known, one.free, strict=True):
        if free:
            lengths.add(have[:1])
            have, want = have[1:], want[1:]
        if tuple(have) != tuple(want):
            return False
    return len(lengths) <= 1 and () not in lengths


def _split(args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[list[Any], Any]:
    """Tensors and floats, and everything else with the places of the tensors marked."""
    tensors: list[Any] = []
    places: list[Any] = []
    for name, value in (*enumerate(args), *kwargs.items()):
        if isinstance(value, float) or hasattr(value, "dtype") and hasattr(value, "shape"):
            tensors.append(value)
            places.append((name, _TENSOR))
        else:
            try:
                hash(value)
            except TypeError:
                raise ArgumentTypeError(
                    f"a compiled QNode takes arrays, numbers and hashable options, got {type(value).__name__} for "
                    f"argument {name!r}; make one array of it"
                ) from None
            places.append((name, value))
    return tensors, tuple(places)


def _join(statics: Any, arrays: Sequence[Array]) -> tuple[list[Any], dict[str, Any]]:
    values, args, kwargs = iter(arrays), [], {}
    for name, value in statics:
        given = next(values) if value is _TENSOR else value
        if isinstance(name, int):
            args.append(given)
        else:
            kwargs[name] = given
    return args, kwargs


class _Tensor:
    def __repr__(self) -> str:
        return "tensor"


_TENSOR = _Tensor()


def _example(tensor: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """The argument's numbers, or where a framework only traces it, some."""
    if qml.math.is_abstract(tensor):
        return rng.uniform(0.1, 1.0, shape)
    array = np.asarray(qml.math.to_numpy(tensor))
    if array.dtype.kind == "c":
        raise ArgumentError("a compiled QNode takes real arguments, got complex ones")
    return array.astype(np.float64)
