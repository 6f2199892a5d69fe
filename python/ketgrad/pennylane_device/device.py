"""`KetgradQubit`: the PennyLane device `ketgrad.qubit`.

Owns: PennyLane's device contract: preprocessing, execution configurations, batches of tapes, derivatives, errors in
PennyLane's classes. May not know: gates, Pauli words, how a measurement is evaluated.

Tapes of one structure share one compiled program, found by what the tape contains (never by its hash), so that
another execution with other angles lowers nothing; and a batch of such tapes, as parameter-shift makes them, is one
call of the engine.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.exceptions import DeviceError
from pennylane.exceptions import WireError as PennyLaneWireError

from ..errors import KetgradError, OutOfMemoryError, WireError
from .conversion import Reading, is_light, read_tape
from .derivatives import cotangent_rows, nest, pick, pick_each, pull_batch, tangent_product, trainable_columns
from .measurements import Compiled, measurement_key
from .preprocessing import JAX, can_differentiate, pipeline

Array = npt.NDArray[np.float64]
CACHE_SIZE = 128  # structures kept
DIFF_METHODS = ("adjoint", "best", "device")
MCM_METHODS = ("deferred", "device", None)


@contextmanager
def _pennylane_errors() -> Iterator[None]:
    """ketgrad's errors in PennyLane's classes; a refusal for lack of memory stays a MemoryError."""
    try:
        yield
    except OutOfMemoryError:
        raise
    except WireError as error:
        raise PennyLaneWireError(f"ketgrad.qubit: {error}") from error
    except KetgradError as error:
        raise DeviceError(f"ketgrad.qubit: {error}") from error


class _Job:
    """Tapes of one structure, to run as one batch of the engine; `positions` are theirs in what was asked for."""

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.positions: list[int] = []
        self.tapes: list[Any] = []
        self.readings: list[Reading] = []

    def add(self, position: int, tape: Any, reading: Reading) -> None:
        self.positions.append(position)
        self.tapes.append(tape)
        self.readings.append(reading)

    def one_by_one(self) -> list[_Job]:
        """A job for each tape."""
        out = []
        for part in zip(self.positions, self.tapes, self.readings, strict=True):
            out.append(_Job(self.key))
            out[-1].add(*part)
        return out

    def arguments(self) -> tuple[Any, Any]:
        """Weights and inputs of the compiled circuit."""
        first = self.readings[0]
        if len(self.readings) > 1:
            return None, np.array([r.angles for r in self.readings], dtype=np.float64).reshape(len(self.readings), -1)
        broadcast = [a for a in first.angles if isinstance(a, np.ndarray)]
        weights = np.array([a for a in first.angles if not isinstance(a, np.ndarray)], dtype=np.float64)
        return weights, np.stack(broadcast, axis=1) if broadcast else None

    def batched(self) -> tuple[bool, ...]:
        """Which angles are inputs of the compiled circuit."""
        first = self.readings[0]
        return (True,) * len(first.angles) if len(self.readings) > 1 else first.batched


@simulator_tracking
@single_tape_support
class KetgradQubit(Device):  # type: ignore[misc]
    """PennyLane's view of ketgrad: `qml.device("ketgrad.qubit", wires=4)`.

    Args:
        wires: number of wires, or their labels; None takes each circuit's own.
        shots: default shots (PennyLane asks to set them on the QNode).
        seed: of the samples: "global" draws one from numpy's global generator, None one from the system.
        c_dtype: "complex128" or "complex64".
        backend: "native" or "numba"; default the best one here.

    Raises:
        DeviceError: a dtype or backend that does not exist.
    """

    def __init__(
        self,
        wires: Any = None,
        shots: Any = None,
        seed: Any = "global",
        c_dtype: Any = "complex128",
        backend: str | None = None,
    ) -> None:
        super().__init__(wires=wires, shots=shots)
        try:
            self.c_dtype = np.dtype(c_dtype).name
        except TypeError:
            self.c_dtype = str(c_dtype)
        if self.c_dtype not in ("complex64", "complex128"):
            raise DeviceError(f"ketgrad.qubit: c_dtype must be complex64 or complex128, got {c_dtype!r}")
        if backend not in (None, "native", "numba"):
            raise DeviceError(f"ketgrad.qubit: backend must be 'native', 'numba' or None, got {backend!r}")
        self._backend = backend
        self._rng = np.random.default_rng(np.random.randint(2**31 - 1) if isinstance(seed, str) else seed)
        self._forget()

    def _forget(self) -> None:
        self._cache: OrderedDict[Hashable, Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_cache", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    @property
    def name(self) -> str:
        """The name of the device, equal to its entry point."""
        return "ketgrad.qubit"

    # configuration

    def supports_derivatives(self, execution_config: Any = None, circuit: Any = None) -> bool:
        """Whether the adjoint method serves this configuration and circuit; other methods are PennyLane's."""
        if execution_config is None:
            return True
        if execution_config.gradient_method not in DIFF_METHODS or execution_config.derivative_order > 1:
            return False
        return circuit is None or can_differentiate(circuit)

    def supports_vjp(self, execution_config: Any = None, circuit: Any = None) -> bool:
        """As `supports_derivatives`."""
        return self.supports_derivatives(execution_config, circuit)

    def supports_jvp(self, execution_config: Any = None, circuit: Any = None) -> bool:
        """As `supports_derivatives`."""
        return self.supports_derivatives(execution_config, circuit)

    def setup_execution_config(self, config: Any = None, circuit: Any = None) -> Any:
        """Fill in what the caller left open.

        Raises:
            DeviceError: an unknown device option, or a method this device does not have.
        """
        config = config or ExecutionConfig()
        for option in config.device_options:
            raise DeviceError(f"device option {option} not present on {self}; it has none")
        method = config.gradient_method
        if method == "backprop":
            raise DeviceError("ketgrad.qubit has no backprop; use diff_method='adjoint' or 'parameter-shift'")
        changed: dict[str, Any] = {}
        if method in DIFF_METHODS:
            # the pullback costs one sweep however many measurements there are, and runs only when it is asked for;
            # grad_on_execution=True asks for Jacobians instead, and JAX's forward mode needs them
            eager = config.grad_on_execution is True
            jacobians = eager or config.interface in JAX
            changed = {
                "gradient_method": "adjoint",
                "use_device_gradient": True,
                "use_device_jacobian_product": config.use_device_jacobian_product if jacobians else True,
                "grad_on_execution": eager,
            }
        mcm = config.mcm_config
        if mcm.mcm_method not in MCM_METHODS:
            raise DeviceError(
                f"mcm_method='{mcm.mcm_method}' is not supported with ketgrad.qubit; supported are 'deferred' and None"
            )
        return replace(config, **changed, mcm_config=replace(mcm, mcm_method="deferred"))

    def preprocess_transforms(self, execution_config: Any = None) -> Any:
        """The transforms after which a tape can be executed."""
        return pipeline(self.wires, self.name, execution_config or ExecutionConfig())

    # execution

    def execute(self, circuits: Any, execution_config: Any = None) -> Any:
        """Results of preprocessed tapes, nested as PennyLane expects."""
        return self._execute(circuits)

    def _execute(self, circuits: Sequence[Any]) -> tuple[Any, ...]:
        results: list[Any] = [None] * len(circuits)
        with _pennylane_errors():
            for job in self._jobs(circuits):
                batch = len(job.tapes) == 1 or self._compiled(job).stacks
                for part in (job,) if batch else job.one_by_one():
                    for position, result in zip(part.positions, self._run(part), strict=True):
                        results[position] = result
        return tuple(results)

    def _run(self, job: _Job) -> list[Any]:
        compiled = self._compiled(job)
        weights, inputs = job.arguments()
        tape, labels = job.tapes[0], job.readings[0].labels
        stacked = len(job.tapes) > 1
        if not tape.shots:
            bins = [compiled.exact(tape.measurements, labels, weights, inputs)]
        else:
            bins = compiled.sampled(tape.measurements, labels, weights, inputs, tape.shots, self._rng)
        out = []
        for row in range(len(job.tapes)):
            per_bin = [_squeeze([v[row] for v in values] if stacked else values) for values in bins]
            out.append(tuple(per_bin) if tape.shots.has_partitioned_shots else per_bin[0])
        return out

    def _jobs(self, circuits: Sequence[Any]) -> list[_Job]:
        """The tapes, those of one structure together."""
        jobs: list[_Job] = []
        open_jobs: dict[Hashable, _Job] = {}
        for position, tape in enumerate(circuits):
            reading = read_tape(tape, self.wires)
            index = reading.index
            measured = tuple(measurement_key(mp, index) for mp in tape.measurements)
            key = (len(reading.labels), reading.rows, measured, bool(tape.shots))
            together = reading.angles and not any(reading.batched)
            job = open_jobs.get((key, tape.shots)) if together else None
            if job is None:
                job = _Job(key)
                jobs.append(job)
                if together:
                    open_jobs[key, tape.shots] = job
            job.add(position, tape, reading)
        return jobs

    def _compiled(self, job: _Job) -> Compiled:
        batched = job.batched()
        key = (job.key, batched)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        tape = job.tapes[0]
        compiled = Compiled(job.readings[0], tape.measurements, bool(tape.shots), batched, self.c_dtype, self._backend)
        if is_light(job.readings[0].rows):
            with self._lock:
                self._cache[key] = compiled
                while len(self._cache) > CACHE_SIZE:
                    self._cache.popitem(last=False)
        return compiled

    # derivatives

    def compute_derivatives(self, circuits: Any, execution_config: Any = None) -> Any:
        """Jacobians of preprocessed tapes by the adjoint method."""
        return tuple(nest(jacobian) for jacobian in self._jacobians(circuits))

    def execute_and_compute_derivatives(self, circuits: Any, execution_config: Any = None) -> Any:
        """Results and Jacobians."""
        return self._execute(circuits), tuple(nest(jacobian) for jacobian in self._jacobians(circuits))

    def compute_jvp(self, circuits: Any, tangents: Any, execution_config: Any = None) -> Any:
        """Jacobians times tangents."""
        pairs = zip(self._jacobians(circuits), tangents, strict=True)
        return tuple(tangent_product(jacobian, t) for jacobian, t in pairs)

    def execute_and_compute_jvp(self, circuits: Any, tangents: Any, execution_config: Any = None) -> Any:
        """Results, and Jacobians times tangents."""
        pairs = zip(self._jacobians(circuits), tangents, strict=True)
        return self._execute(circuits), tuple(tangent_product(jacobian, t) for jacobian, t in pairs)

    def compute_vjp(self, circuits: Any, cotangents: Any, execution_config: Any = None) -> Any:
        """Cotangents times Jacobians: P numbers for each tape, or P arrays (K,) for K sets of cotangents at once."""
        return self._pull(circuits, cotangents)

    def execute_and_compute_vjp(self, circuits: Any, cotangents: Any, execution_config: Any = None) -> Any:
        """Results, and cotangents times Jacobians."""
        return self._execute(circuits), self._pull(circuits, cotangents)

    def _jacobians(self, circuits: Sequence[Any]) -> list[Array]:
        def work(job: _Job, compiled: Compiled, weights: Any, inputs: Any) -> Array:
            if any(job.readings[0].batched):
                raise DeviceError("ketgrad.qubit: Jacobians of broadcast tapes are taken after they are expanded")
            jacobian = compiled.model.jacobian(weights, inputs, method="adjoint")
            return jacobian.weights[None] if inputs is None else jacobian.inputs

        return self._differentiate(circuits, work, pick)

    def _pull(self, circuits: Sequence[Any], cotangents: Any) -> tuple[Any, ...]:
        rows = [
            cotangent_rows(c, len(t.measurements)) if t.batch_size is None else None
            for t, c in zip(circuits, cotangents, strict=True)
        ]
        if any(r is not None and r.ndim > 1 for r in rows):  # several sets of cotangents at once
            if len(circuits) > 1:
                return tuple(self._pull([t], [c])[0] for t, c in zip(circuits, cotangents, strict=True))
            (jacobian,) = self._jacobians(circuits)
            return (tuple(np.asarray(jacobian.T @ np.asarray(rows[0]))),)

        def work(job: _Job, compiled: Compiled, weights: Any, inputs: Any) -> Any:
            _, pullback = compiled.model.forward(weights, inputs, method="adjoint")
            tape, reading = job.tapes[0], job.readings[0]
            if any(reading.batched):
                chosen = cotangents[job.positions[0]]
                return [pull_batch(pullback, chosen, len(tape.measurements), len(inputs), reading.batched)]
            chosen = np.array([rows[p] for p in job.positions])
            gradients = pullback(chosen[0] if inputs is None else chosen)
            return gradients.weights[None] if inputs is None else gradients.inputs

        return tuple(self._differentiate(circuits, work, pick_each))

    def _differentiate(
        self, circuits: Sequence[Any], work: Callable[..., Any], choose: Callable[..., Any]
    ) -> list[Any]:
        """For each tape what `work` gives for its angles, of which `choose` takes the trainable parameters."""
        out: list[Any] = [None] * len(circuits)
        with _pennylane_errors():
            for job in self._jobs(circuits):
                compiled = self._compiled(job)
                if any(s.how != "expval" for s in compiled.steps):
                    raise DeviceError("ketgrad.qubit: the adjoint method differentiates expectation values only")
                gradients = work(job, compiled, *job.arguments())
                for position, tape, reading, gradient in zip(
                    job.positions, job.tapes, job.readings, gradients, strict=True
                ):
                    out[position] = choose(gradient, trainable_columns(tape, reading.slots))
        return out


def _squeeze(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)
