"""`KetgradQubit`: the PennyLane device `ketgrad.qubit`.

Owns: PennyLane's device contract: preprocessing, execution configurations, batches of tapes, derivatives, errors in
PennyLane's classes. May not know: gates, Pauli words, how a measurement is evaluated.

Tapes of one structure share their compiled programs, found by what the tape contains (never by its hash), so that
another execution with other angles lowers nothing; and a batch of such tapes, as parameter-shift makes them, is one
call of the engine. Where a framework differentiates, its tensors come straight to `execute`, and one node of its graph
stands for the whole tape: PennyLane calls this route "backprop".
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.exceptions import DeviceError
from pennylane.exceptions import WireError as PennyLaneWireError
from pennylane.math import Interface

from ..errors import KetgradError, OutOfMemoryError, WireError
from ..interfaces import call
from .arguments import axes_of
from .channels import noise_options
from .conversion import is_light, to_array
from .derivatives import OnExecution, jacobian, nest, pull, tangent_product, trainable_columns
from .dynamic import is_dynamic
from .exact import Exact
from .jobs import Job, structure_key
from .midcircuit import Setting, evaluate, take_snapshots
from .preprocessing import (
    DIFF_METHODS,
    can_differentiate,
    pipeline,
    refuse_branches,
    refuse_shifted_strengths,
    refuse_shifts,
    resolved_mcm_method,
)
from .reading import Labels, Reading, read_tape, was_read
from .shots import Sampled
from .structure import Structure

CACHE_SIZE = 128  # structures kept
STACKED = ("expval", "variance", "terms", "probabilities", "estimate")  # steps with small results
GRADIENT = "gradient"  # the device option in which a resolved configuration keeps how the device differentiates
FRAMEWORKS = {
    Interface.AUTOGRAD: "autograd",
    Interface.TORCH: "torch",
    Interface.JAX: "jax",
    Interface.JAX_JIT: "jax",
}
JAX = (Interface.JAX, Interface.JAX_JIT)
TENSORFLOW = (Interface.TF, Interface.TF_AUTOGRAPH)


class _PennyLaneErrors:
    """ketgrad's errors in PennyLane's classes; a refusal for lack of memory stays a MemoryError."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, _: Any) -> None:
        if isinstance(error, KetgradError) and not isinstance(error, OutOfMemoryError):
            wire = isinstance(error, WireError)
            raise (PennyLaneWireError if wire else DeviceError)(f"ketgrad.qubit: {error}") from error


_pennylane_errors = _PennyLaneErrors()


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
        method: of circuits with channels: "density" for density matrices, "trajectories" for an average over paths.
            None is exact without shots, and with shots what costs less.
        trajectories: how many paths a value may take; see `noise.NoisyModel`. The device's seed decides which.

    Raises:
        DeviceError: a dtype, backend or method that does not exist.
    """

    config_filepath = str(Path(__file__).with_name("ketgrad_qubit.toml"))

    def __init__(
        self,
        wires: Any = None,
        shots: Any = None,
        seed: Any = "global",
        c_dtype: Any = "complex128",
        backend: str | None = None,
        method: str | None = None,
        trajectories: int | None = None,
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
        if isinstance(seed, str) and seed != "global":
            raise DeviceError(f"ketgrad.qubit: seed is 'global', None, an integer or a numpy Generator, got {seed!r}")
        self._rng = np.random.default_rng(np.random.randint(2**31 - 1) if isinstance(seed, str) else seed)
        self.noise = noise_options(method, trajectories, self._rng)
        self._debugger: Any = None  # set by PennyLane while it takes snapshots
        self._forget()

    def _forget(self) -> None:
        self._cache: OrderedDict[Hashable, Structure] = OrderedDict()
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
        """Whether the device differentiates this circuit by itself; PennyLane has other methods."""
        if execution_config is None:
            return True
        method = execution_config.gradient_method
        if method not in DIFF_METHODS or execution_config.derivative_order > 2:
            return False
        if execution_config.derivative_order == 2:  # only exact gradients on the way of a framework have derivatives
            shifts = method == "parameter-shift" or bool(circuit is not None and circuit.shots)
            jacobians = method == "device" or execution_config.interface in TENSORFLOW
            if (
                shifts or jacobians or (method == "best" and execution_config.interface in JAX)
            ):  # jax.hessian goes forward
                return False
        return circuit is None or can_differentiate(circuit, execution_config)

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
            if option != GRADIENT:
                raise DeviceError(f"device option {option} not present on {self}; it has none")
        changed: dict[str, Any] = {}
        method = config.gradient_method
        if method in DIFF_METHODS and config.use_device_gradient is None:
            # a gradient costs one sweep however many measurements there are, and is computed when it is asked for, or
            # on execution where that is asked for; JAX's forward mode needs PennyLane's way with Jacobians
            shifts = method == "parameter-shift" or bool(circuit is not None and circuit.shots)
            if method == "device" and config.interface in JAX or config.interface in TENSORFLOW:
                changed = {"gradient_method": "adjoint"}
            else:
                options = {GRADIENT: "parameter-shift" if shifts else "adjoint"}
                changed = {"gradient_method": "backprop", "device_options": options}
            changed["grad_on_execution"] = config.grad_on_execution is True
            changed["use_device_gradient"] = True
        mcm = resolved_mcm_method(config.mcm_config, circuit)
        if mcm != config.mcm_config.mcm_method:
            changed["mcm_config"] = _changed(config.mcm_config, mcm_method=mcm)
        if circuit is not None:
            refuse_shifts(circuit, method, mcm, config.interface)
        return _changed(config, **changed) if changed else config

    def preprocess_transforms(self, execution_config: Any = None) -> Any:
        """The transforms after which a tape can be executed."""
        return pipeline(self.wires, self.name, execution_config or ExecutionConfig(), self._debugging() is not None)

    # execution

    def execute(self, circuits: Any, execution_config: Any = None) -> Any:
        """Results of preprocessed tapes, nested as PennyLane expects."""
        config = execution_config or ExecutionConfig()
        interface, method = "numpy", "adjoint"
        if config.gradient_method == "backprop":
            interface = FRAMEWORKS.get(config.interface, "numpy")
            method = config.device_options.get(GRADIENT, "adjoint")
        eager = config.grad_on_execution is True
        with _pennylane_errors:
            if len(circuits) == 1 and was_read(circuits[0]) and self._debugging() is None:  # most calls
                return tuple(self._run(self._jobs(circuits)[0], interface, method, eager))
            results, plain = [None] * len(circuits), list(circuits)
            if self._debugging() is not None or any(map(is_dynamic, circuits)):
                setting = self._setting(config.mcm_config)
                for position, tape in enumerate(circuits):
                    if is_dynamic(tape):
                        refuse_branches(tape)
                        bins = evaluate(tape, setting, interface, method == "parameter-shift")
                        results[position] = _nest(tape, [_squeeze(values) for values in bins])
                        plain[position] = None
                    elif setting.debugger is not None:
                        plain[position] = take_snapshots(tape, setting)
            for job in self._jobs(plain):
                for part in (job,) if len(job.tapes) == 1 or self._stacks(job) else job.one_by_one():
                    found = self._run(part, interface, method, eager)
                    for position, result in zip(part.positions, found, strict=True):
                        results[position] = result
        return tuple(results)

    def _stacks(self, job: Job) -> bool:
        """Whether many tapes of this structure may run as one batch: results are small, one row for each tape."""
        return all(s.how in STACKED for s in self._structure(job).plan.steps)

    def _run(self, job: Job, interface: str, method: str, eager: bool) -> list[Any]:
        bins, finish = self._evaluate(job, interface, method, eager)
        out = []
        for row, tape in enumerate(job.tapes):
            own = [[v[row] for v in values] if len(job.tapes) > 1 else values for values in bins]
            results = [_squeeze(finish(tape.measurements, values)) for values in own]
            out.append(_nest(tape, results))
        return out

    def _evaluate(
        self, job: Job, interface: str, method: str, eager: bool
    ) -> tuple[list[Any], Callable[[Any, Any], Any]]:
        """For each bin of the shots the outputs of all measurements, and what makes results of them."""
        structure, tensors = self._structure(job), job.tensors()
        tape, labels = job.tapes[0], job.readings[0].labels
        has_initial = job.readings[0].initial is not None
        if interface == "numpy":
            tensors = [to_array(t) for t in tensors]
        if not tape.shots:
            exact = Exact(structure, labels, tape.measurements, *axes_of(tensors, has_initial), has_initial, method)
            function = OnExecution(exact) if eager and exact.is_real else exact
            return [call(function, tensors, interface)], exact.finish
        sampled = Sampled(structure, labels, tensors, tape.measurements, tape.shots, has_initial, self._rng)
        differentiable = method == "parameter-shift" and not tape.shots.has_partitioned_shots
        if differentiable and structure.noisy and interface != "numpy":
            refuse_shifted_strengths(job.tapes)
        bins = [call(sampled, tensors, interface)] if differentiable else sampled.bins([to_array(t) for t in tensors])
        return bins, lambda _, values: values

    def _jobs(self, circuits: Sequence[Any], trained: Sequence[int] = ()) -> list[Job]:
        """The tapes, those of one structure together; see `read_tape`."""
        jobs: list[Job] = []
        open_jobs: dict[Hashable, Job] = {}
        for position, tape in enumerate(circuits):
            if tape is None:
                continue
            reading = read_tape(tape, self.wires, trained)
            key = structure_key(reading, tape.measurements, bool(tape.shots))
            together = len(circuits) > 1 and reading.angles and reading.initial is None and tape.batch_size is None
            job = open_jobs.get((key, tape.shots)) if together else None
            if job is None:
                job = Job(key)
                jobs.append(job)
                if together:
                    open_jobs[key, tape.shots] = job
            job.add(position, tape, reading)
        return jobs

    def _structure(self, job: Job) -> Structure:
        return self._find(job.key, job.readings[0], job.tapes[0].measurements, bool(job.tapes[0].shots))

    def _find(self, key: Hashable, reading: Reading, measurements: Sequence[Any], shots: bool) -> Structure:
        with self._lock:
            if (known := self._cache.get(key)) is not None:
                self._cache.move_to_end(key)
                return known
        structure = Structure(reading, measurements, shots, self.c_dtype, self._backend, self.noise)
        if is_light(reading.rows):
            with self._lock:
                structure = self._cache.setdefault(key, structure)
                while len(self._cache) > CACHE_SIZE:
                    self._cache.popitem(last=False)
        return structure

    # measurements and snapshots on the way

    def _debugging(self) -> Any:
        """PennyLane's debugger, if it wants snapshots."""
        return self._debugger if self._debugger is not None and self._debugger.active else None

    def _setting(self, mcm: Any) -> Setting:
        def structures(reading: Reading, measurements: Sequence[Any], shots: bool) -> Structure:
            return self._find(structure_key(reading, measurements, shots), reading, measurements, shots)

        def measure(labels: Sequence[Any], states: Any, mp: Any, shots: Any) -> Any:
            index = Labels(zip(labels, range(len(labels)), strict=True))
            reading = Reading(tuple(labels), index, (), (), states, ())
            job = Job(structure_key(reading, [mp], bool(shots)))
            job.add(0, qml.tape.QuantumScript([], [mp], shots=shots), reading)
            return self._run(job, "numpy", "adjoint", False)[0]

        def run(tape: Any) -> Any:
            return self._run(self._jobs([tape])[0], "numpy", "adjoint", False)[0]

        return Setting(self.wires, structures, measure, run, self.c_dtype, self._rng, mcm, self._debugging())

    # derivatives

    def compute_derivatives(self, circuits: Any, execution_config: Any = None) -> Any:
        """Jacobians of preprocessed tapes by the adjoint method."""
        return tuple(nest(jacobians) for _, jacobians in self._jacobians(circuits))

    def execute_and_compute_derivatives(self, circuits: Any, execution_config: Any = None) -> Any:
        """Results and Jacobians."""
        both = self._jacobians(circuits)
        return tuple(results for results, _ in both), tuple(nest(jacobians) for _, jacobians in both)

    def compute_jvp(self, circuits: Any, tangents: Any, execution_config: Any = None) -> Any:
        """Jacobians times tangents."""
        return self.execute_and_compute_jvp(circuits, tangents)[1]

    def execute_and_compute_jvp(self, circuits: Any, tangents: Any, execution_config: Any = None) -> Any:
        """Results, and Jacobians times tangents."""
        both = self._jacobians(circuits)
        products = tuple(tangent_product(j, t) for (_, j), t in zip(both, tangents, strict=True))
        return tuple(results for results, _ in both), products

    def compute_vjp(self, circuits: Any, cotangents: Any, execution_config: Any = None) -> Any:
        """Cotangents times Jacobians: P numbers for each tape, or P arrays (K,) for K sets of cotangents at once."""
        return self.execute_and_compute_vjp(circuits, cotangents)[1]

    def execute_and_compute_vjp(self, circuits: Any, cotangents: Any, execution_config: Any = None) -> Any:
        """Results, and cotangents times Jacobians."""
        both = [
            self._differentiate(tape, lambda exact, arrays, columns, c=c: pull(exact, arrays, c, columns))
            for tape, c in zip(circuits, cotangents, strict=True)
        ]
        return tuple(results for results, _ in both), tuple(gradients for _, gradients in both)

    def _jacobians(self, circuits: Sequence[Any]) -> list[tuple[Any, list[Any]]]:
        return [self._differentiate(tape, jacobian) for tape in circuits]

    def _differentiate(self, tape: Any, work: Callable[..., tuple[Any, Any]]) -> tuple[Any, Any]:
        """Results, and what `work` makes of the tape's measurements as a function of its arrays."""
        with _pennylane_errors:
            if is_dynamic(tape):
                raise DeviceError(
                    "ketgrad.qubit: with measurements or projections on the way leave grad_on_execution and device_vjp "
                    "to their defaults"
                )
            if self._debugging() is not None:
                tape = take_snapshots(tape, self._setting(None))
            (job,) = self._jobs([tape], tape.trainable_params)
            reading, structure, tensors = job.readings[0], self._structure(job), job.tensors()
            has_initial = reading.initial is not None
            exact = Exact(structure, reading.labels, tape.measurements, *axes_of(tensors, has_initial), has_initial)
            if any(
                s.how in ("state", "density") and (structure.noisy or not isinstance(mp, qml.measurements.StateMP))
                for s, mp in zip(structure.plan.steps, tape.measurements, strict=True)
            ):
                raise DeviceError(
                    "ketgrad.qubit: Jacobians are of expectation values, variances, probabilities and states; for "
                    "other measurements leave grad_on_execution and device_vjp to their defaults"
                )
            results, found = work(exact, [to_array(t) for t in tensors], trainable_columns(tape, reading.slots))
            return _squeeze(exact.finish(tape.measurements, results)), found


def _changed(config: Any, **fields: Any) -> Any:
    """`dataclasses.replace` without another look at what was checked before: it is done at every call of a QNode."""
    out = object.__new__(type(config))
    out.__dict__.update(config.__dict__)
    out.__dict__.update(fields)
    return out


def _nest(tape: Any, results: Sequence[Any]) -> Any:
    """Results of the bins of a tape's shots."""
    return tuple(results) if tape.shots.has_partitioned_shots else results[0]


def _squeeze(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)
