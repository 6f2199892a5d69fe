"""One run of a tape that has measurements or snapshots on the way.

Owns: the choice between exact results and samples, and the rules of postselection and of snapshots that go with a
method of PennyLane's. May not know: the device, caches, transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml

from ..interfaces import call
from .branch_samples import Fixed, Postselection, SampledBranches
from .branches import ExactBranches
from .channels import has_channels
from .conversion import to_array
from .dynamic import SUMS, DynamicTape, Structures
from .snapshots import Recorder, snapshots_of, snapshots_of_prefixes


@dataclass(frozen=True)
class Setting:
    """What a device gives to a run.

    Attributes:
        wires: the device's labels, or None.
        structures: finds models.
        measure: evaluates a measurement: wire labels, states, measurement, shots -> result.
        run: a tape's results as arrays.
        dtype, rng: of states, and of samples.
        mcm: PennyLane's configuration of measurements on the way, resolved.
        debugger: PennyLane's, if it wants snapshots.
    """

    wires: Sequence[Any] | None
    structures: Structures
    measure: Callable[[Sequence[Any], Any, Any, Any], Any]
    run: Callable[[Any], Any]
    dtype: str
    rng: np.random.Generator
    mcm: Any
    debugger: Any


def take_snapshots(tape: Any, setting: Setting) -> Any:
    """Take the snapshots of a tape without measurements on the way.

    Returns:
        The tape without its snapshots.
    """
    if has_channels(tape):
        snapshots_of_prefixes(tape, Recorder(setting.debugger, _of_prefix(setting.run), tape.shots, False))
    else:
        dynamic = DynamicTape(tape, setting.wires)
        snapshots_of(dynamic, setting.structures, _recorder(tape, setting, dynamic.labels, False))
    return tape.copy(operations=[op for op in tape.operations if not isinstance(op, qml.Snapshot)])


def _of_prefix(run: Callable[[Any], Any]) -> Callable[[Any, Any, Any], Any]:
    def measure(operations: Any, mp: Any, shots: Any) -> Any:
        return run(qml.tape.QuantumScript(operations, [mp], shots=shots))

    return measure


def _recorder(tape: Any, setting: Setting, labels: Sequence[Any], one_by_one: bool) -> Recorder:
    def measure(states: Any, mp: Any, shots: Any) -> Any:
        return setting.measure(labels, states, mp, shots)

    return Recorder(setting.debugger, measure, tape.shots, one_by_one)


def evaluate(tape: Any, setting: Setting, interface: str, differentiable: bool) -> list[list[Any]]:
    """For each bin of the shots, one result for each measurement.

    Args:
        interface: of the tensors.
        differentiable: whether results with shots are tensors of the framework too, which then refuse a gradient.
    """
    dynamic = DynamicTape(tape, setting.wires)
    method = setting.mcm.mcm_method
    recorder = None
    if setting.debugger is not None:
        recorder = _recorder(tape, setting, dynamic.labels, method == "one-shot" and bool(dynamic.names))
    if tape.shots:
        bins = _samples(tape, dynamic, setting, recorder, interface if differentiable else None)
    else:
        look = None if recorder is None else recorder.branches
        exact = ExactBranches(dynamic, tape.measurements, setting.structures, setting.dtype, look)
        tensors = [to_array(t) for t in dynamic.tensors] if interface == "numpy" else dynamic.tensors
        bins = [exact.finish(tape.measurements, list(call(exact, tensors, interface)))]
    if recorder is not None and method == "tree-traversal" and dynamic.names:
        recorder.as_lists()
    return bins


def _samples(
    tape: Any, dynamic: DynamicTape, setting: Setting, recorder: Recorder | None, interface: str | None
) -> list[list[Any]]:
    """As `evaluate`, with shots; without an interface as numbers and arrays."""
    deferred, mode = setting.mcm.mcm_method == "deferred", setting.mcm.postselect_mode
    rule = Postselection(mode == "fill-shots", mode == "pad-invalid-samples" and not deferred, not deferred)
    sampled = SampledBranches(
        dynamic,
        tape.measurements,
        tape.shots,
        setting.structures,
        setting.dtype,
        setting.rng,
        rule,
        look=None if recorder is None else recorder.branches,
        keep_failed=recorder is not None and recorder.one_by_one,
    )
    if interface is not None and all(isinstance(mp, SUMS) for mp in tape.measurements):
        flat, width = list(call(sampled, dynamic.tensors, interface)), len(tape.measurements)
        return [flat[k : k + width] for k in range(0, len(flat), width)]
    bins = sampled.bins([to_array(t) for t in dynamic.tensors])
    if interface is None:
        return bins
    return [_in_framework(tape, results, dynamic.tensors, interface) for results in bins]


def _in_framework(tape: Any, results: list[Any], tensors: Sequence[Any], interface: str) -> list[Any]:
    """Results as tensors: those that might be differentiated refuse it."""
    smooth = [k for k, mp in enumerate(tape.measurements) if isinstance(mp, SUMS)]
    fixed = Fixed([qml.math.ndim(t) for t in tensors], [results[k] for k in smooth])
    made = dict(zip(smooth, call(fixed, tensors, interface), strict=True))
    like = "numpy" if interface == "autograd" else interface
    plain = [qml.math.asarray(r, like=like) if isinstance(r, np.ndarray) else r for r in results]
    return [made.get(k, r) for k, r in enumerate(plain)]
