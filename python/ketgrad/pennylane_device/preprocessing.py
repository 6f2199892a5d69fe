"""What happens to a tape before the device executes it, as PennyLane transforms.

Owns: which tapes are accepted, and the order of the transforms. May not know: programs, engines, results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pennylane as qml
from pennylane import measurements as mps
from pennylane.devices.preprocess import (
    decompose,
    device_resolve_dynamic_wires,
    no_sampling,
    validate_adjoint_trainable_params,
    validate_device_wires,
    validate_measurements,
)
from pennylane.exceptions import DeviceError
from pennylane.math import Interface
from pennylane.operation import Operator, StatePrepBase
from pennylane.ops.op_math import Adjoint, Controlled, ControlledOp
from pennylane.transforms import broadcast_expand, defer_measurements
from pennylane.transforms.core import CompilePipeline, transform

from .capabilities import MCM_METHODS
from .channels import has_channels, is_channel
from .conversion import decomposition, has_constant_data, is_live, is_supported, target_gates
from .dynamic import CUTS, SUMS, is_dynamic, postselects
from .measurements import SHADOWS, has_pauli_form
from .observables import LETTERS, is_trained
from .reading import is_plain, read_plain

DIFF_METHODS = ("best", "adjoint", "backprop", "device", "parameter-shift")
Transformed = tuple[tuple[Any, ...], Callable[[Any], Any]]


def pipeline(wires: Any, name: str, config: Any, debugging: bool = False) -> Any:
    """The transforms for one execution configuration: one, which leaves a tape alone that needs none of the others.

    Args:
        wires, name: of the device.
        config: PennyLane's.
        debugging: whether snapshots are kept.
    """
    others = partial(_others, wires, name, config, debugging)
    if config.gradient_method == "adjoint":
        return others()
    out = CompilePipeline()
    out.add_transform(_prepare, others, wires)
    return out


@transform  # type: ignore[untyped-decorator]
def _prepare(tape: Any, others: Any, wires: Any) -> Transformed:
    """Most tapes can run as they are, and to see so is much quicker than to run every transform on them.

    A wire that the device does not have is noticed when the tape is read.
    """
    if _is_ready(tape, wires):
        return (tape,), _first
    tapes, join = others()([tape])
    return tuple(tapes), lambda results: join(results)[0]


def _is_ready(tape: Any, wires: Any) -> bool:
    if not read_plain(tape, wires) and not all([is_plain(op) or is_channel(op) for op in tape.operations]):
        return False
    accepts = _accepts_shots if tape.shots else _accepts_exact
    for mp in tape.measurements:
        if type(mp) is mps.ExpectationMP and (
            type(mp.obs) in LETTERS or mp.obs is not None and mp.obs.pauli_rep is not None
        ):
            continue  # accepted in any case
        if mp.mv is not None or isinstance(mp, SHADOWS) or not accepts(mp):
            return False
    return True


def _others(wires: Any, name: str, config: Any, debugging: bool) -> Any:
    """The transforms for one execution configuration, in order."""
    adjoint = config.gradient_method == "adjoint"
    deferred = config.mcm_config.mcm_method in (None, "deferred")
    live = qml.math.requires_grad if adjoint else is_live
    kept = frozenset((*CUTS, qml.Snapshot) if debugging else CUTS)
    to_gates = {
        "stopping_condition": partial(_is_supported, live=live, kept=kept),
        "decomposer": decomposition,
        "device_wires": wires,
        "target_gates": target_gates(),
        "name": name,
    }
    out = CompilePipeline()
    if deferred:
        out.add_transform(defer_measurements, allow_postselect=True)
    if adjoint:
        out.add_transform(no_sampling, name=f"adjoint + {name}")
        out.add_transform(_expand_trainable_preparation)
    out.add_transform(_expand_conditionals, to_gates)
    out.add_transform(decompose, **to_gates)
    out.add_transform(device_resolve_dynamic_wires, wires=wires, allow_resets=not deferred)
    out.add_transform(validate_device_wires, wires, name=name)
    out.add_transform(
        validate_measurements, analytic_measurements=_accepts_exact, sample_measurements=_accepts_shots, name=name
    )
    out.add_transform(_split_into_branches, config.mcm_config)
    if adjoint and (not config.use_device_jacobian_product or config.interface == Interface.JAX_JIT):
        out.add_transform(_keep_control_values)
        out.add_transform(broadcast_expand)  # PennyLane has no Jacobians of broadcast tapes, and under jit no products
    else:
        out.add_transform(_expand_constant_batches)
    if adjoint:
        out.add_transform(validate_adjoint_trainable_params)
    return out


def can_differentiate(tape: Any, config: Any) -> bool:
    """Whether the device differentiates a tape, before any preprocessing; cheap, for it is asked at every call."""
    method = config.gradient_method
    if (method == "parameter-shift" or tape.shots or config.derivative_order > 1) and has_channels(tape):
        trained = any(any(map(is_live, op.data)) for op in tape.operations if is_channel(op))
        if not tape.shots or trained:
            return False  # PennyLane has rules for strengths, and shifts again for second derivatives
    if (tape.shots or method == "parameter-shift") and is_dynamic(tape):
        branched = resolved_mcm_method(config.mcm_config, tape) != "deferred"
        if not tape.shots and (branched or postselects(tape)):
            return all(isinstance(mp, SUMS) for mp in tape.measurements)  # by the adjoint method, whatever is asked for
        if no_shift_rule(tape, branched, config.interface):
            return method in ("best", "parameter-shift")  # and refused when a gradient is asked for
        if branched:
            return False
    if not tape.shots and method != "parameter-shift":
        return all(isinstance(mp, mps.StateMeasurement) for mp in tape.measurements)
    if method not in ("best", "parameter-shift") or config.gradient_keyword_arguments or config.grad_on_execution:
        return False
    if tape.shots.has_partitioned_shots or any(map(_prepares_amplitudes, tape.operations)):
        return False
    # PennyLane's own rule is wrong for variances of most sums
    moments = mps.ExpectationMP if tape.shots else (mps.ExpectationMP, mps.VarianceMP)
    return all(
        isinstance(mp, moments)
        and (mp.mv is not None or has_pauli_form(mp))
        and not (mp.obs is not None and is_trained(mp.obs))
        for mp in tape.measurements
    )


def _prepares_amplitudes(op: Operator) -> bool:
    return isinstance(op, StatePrepBase) and not isinstance(op, qml.BasisState)


def resolved_mcm_method(mcm: Any, tape: Any) -> str:
    """How measurements on the way are evaluated, where PennyLane's configuration may leave it open.

    Raises:
        DeviceError: a method that is not here.
    """
    method = mcm.mcm_method
    if method is None:
        return "one-shot" if tape is not None and tape.shots and not has_channels(tape) else "deferred"
    if method == "device":
        return "tree-traversal"
    if method not in MCM_METHODS:
        raise DeviceError(f"mcm_method='{method}' is not supported with ketgrad.qubit; supported are {MCM_METHODS}")
    return str(getattr(method, "value", method))


def refuse_branches(tape: Any) -> None:
    """Refuse noise in a tape that runs as branches of pure states.

    Raises:
        DeviceError: there are channels.
    """
    if has_channels(tape):
        raise DeviceError(
            "ketgrad.qubit: a circuit with channels has measurements on the way with mcm_method='deferred' and without "
            "postselection only; for the latter divide two probabilities"
        )


def refuse_shifted_strengths(tapes: Sequence[Any]) -> None:
    """Refuse a gradient that would leave out what channels contribute.

    Raises:
        DeviceError: a framework follows the strength of a channel.
    """
    if any(any(map(is_live, op.data)) for tape in tapes for op in tape.operations if is_channel(op)):
        raise DeviceError(
            "ketgrad.qubit: with shots PennyLane shifts the strengths of channels, and has to see them in the QNode; "
            "add the noise to the QNode and not to the device, or differentiate without shots"
        )


def no_shift_rule(tape: Any, branched: bool, interface: Any) -> bool:
    """Whether parameter-shift is wrong: results are quotients, or a gate is there only in some of the branches.

    JAX refuses by itself to differentiate a function that has samples beside other results.
    """
    if "jax" in str(getattr(interface, "value", interface)) and not all(isinstance(m, SUMS) for m in tape.measurements):
        return False
    if postselects(tape):
        return True
    return branched and any(
        isinstance(op, qml.ops.Conditional) and any(map(is_live, op.data)) for op in tape.operations
    )


def refuse_shifts(tape: Any, method: Any, mcm_method: str, interface: Any) -> None:
    """Refuse a tape to PennyLane's own parameter-shift, which would be wrong without a word.

    Raises:
        DeviceError: there is no shift rule.
    """
    if method not in (qml.gradients.param_shift, qml.gradients.hadamard_grad) or not tape.trainable_params:
        return
    for op in tape.operations if tape.shots else ():
        if is_channel(op) and op.grad_method != "A" and any(map(is_live, op.data)):
            raise DeviceError(
                f"ketgrad.qubit: there is no shift rule for the parameters of {op.name}, and differences of samples "
                "are noise; differentiate without shots, or detach them"
            )
    if is_dynamic(tape) and no_shift_rule(tape, mcm_method != "deferred", interface):
        raise DeviceError(
            f"ketgrad.qubit: with mcm_method='{mcm_method}' parameter-shift is wrong with postselection and for gates "
            "that depend on a measurement; use diff_method='best', without shots, for first derivatives"
        )


def _is_supported(op: Operator, live: Callable[[Any], bool], kept: frozenset[type]) -> bool:
    if isinstance(op, qml.ops.Conditional):
        return _is_supported(op.base, live, kept)
    return type(op) in kept or is_supported(op, live)


@transform  # type: ignore[untyped-decorator]
def _expand_conditionals(tape: Any, to_gates: dict[str, Any]) -> Transformed:
    """Operators that depend on a measured value become gates that do."""
    accepts = to_gates["stopping_condition"]
    if all(accepts(op) for op in tape.operations if isinstance(op, qml.ops.Conditional)):
        return (tape,), _first
    ops = []
    with qml.QueuingManager.stop_recording():
        for op in tape.operations:
            ops += _conditional_gates(op, to_gates) if isinstance(op, qml.ops.Conditional) else [op]
    return (tape.copy(operations=ops),), _first


def _conditional_gates(op: Any, to_gates: dict[str, Any]) -> list[Any]:
    if isinstance(op.base, qml.ops.Conditional):
        gates = _conditional_gates(op.base, to_gates)
    else:
        (expanded,), _ = decompose(qml.tape.QuantumScript([op.base]), skip_initial_state_prep=False, **to_gates)
        gates = expanded.operations
    return [qml.ops.Conditional(op.meas_val, gate) for gate in gates]


@transform  # type: ignore[untyped-decorator]
def _split_into_branches(tape: Any, mcm: Any) -> Transformed:
    """Tapes that run as branches measure what is a sum over them, and are not broadcast."""
    if not is_dynamic(tape):
        return (tape,), _first
    deferred = not any(isinstance(op, qml.ops.MidMeasure) for op in tape.operations)
    accepted = mps.SampleMeasurement if tape.shots else mps.StateMeasurement if deferred else SUMS
    for mp in tape.measurements:
        if not isinstance(mp, accepted):
            raise DeviceError(
                f"ketgrad.qubit: mcm_method='{resolved_mcm_method(mcm, tape)}' does not support {type(mp).__name__}"
                + (" with postselection" if deferred else "; use mcm_method='deferred'")
            )
    if tape.batch_size is None:
        return (tape,), _first
    return _expand_batch(tape)


def _first(results: Any) -> Any:
    return results[0]


def _expand_batch(tape: Any) -> Transformed:
    """A tape for each element of the batch."""
    (plain,), _ = _keep_control_values(tape)
    tapes, join = broadcast_expand(plain)
    return tuple(tapes), join


@transform  # type: ignore[untyped-decorator]
def _keep_control_values(tape: Any) -> Transformed:
    """PennyLane forgets the control values of a `ControlledQubitUnitary` when it binds other parameters."""
    return (tape.copy(operations=[_generic(op) for op in tape.operations]),), _first


def _generic(op: Operator) -> Operator:
    if isinstance(op, qml.ControlledQubitUnitary):
        return ControlledOp(op.base, op.control_wires, op.control_values)
    if not isinstance(op, (Adjoint, Controlled, qml.ops.Conditional)) or (base := _generic(op.base)) is op.base:
        return op
    if isinstance(op, Adjoint):
        return Adjoint(base)
    if isinstance(op, Controlled):
        return ControlledOp(base, op.control_wires, op.control_values)
    return qml.ops.Conditional(op.meas_val, base)


@transform  # type: ignore[untyped-decorator]
def _expand_trainable_preparation(tape: Any) -> Transformed:
    """A first state preparation with trainable amplitudes becomes gates, which the adjoint method differentiates."""
    ops = tape.operations
    if not ops or not isinstance(ops[0], StatePrepBase) or not any(qml.math.requires_grad(d) for d in ops[0].data):
        return (tape,), _first
    return (tape.copy(operations=[*ops[0].decomposition(), *ops[1:]]),), _first


@transform  # type: ignore[untyped-decorator]
def _expand_constant_batches(tape: Any) -> Transformed:
    """Batches of angles run as they are; batches of matrices or amplitudes, and of shadows, tape by tape."""
    if tape.batch_size is None:
        return (tape,), _first
    constant = any(
        op.batch_size is not None and not isinstance(op, StatePrepBase) and has_constant_data(op)
        for op in tape.operations
    )
    if constant or any(isinstance(mp, SHADOWS) for mp in tape.measurements):
        return _expand_batch(tape)
    return (tape,), _first


def _accepts_exact(mp: Any) -> bool:
    if not isinstance(mp, mps.StateMeasurement):
        return False
    if mp.obs is None or isinstance(mp, (mps.ExpectationMP, mps.VarianceMP)) and has_pauli_form(mp):
        return True
    return _diagonalises(mp.obs) or (
        isinstance(mp, (mps.ExpectationMP, mps.VarianceMP)) and bool(mp.obs.has_sparse_matrix)
    )


def _accepts_shots(mp: Any) -> bool:
    if not isinstance(mp, (mps.SampleMeasurement, *SHADOWS)):
        return False
    if mp.obs is None or isinstance(mp, mps.ExpectationMP) and has_pauli_form(mp):
        return True
    return _diagonalises(mp.obs)


def _diagonalises(obs: Operator) -> bool:
    if isinstance(obs, qml.ops.CompositeOp):
        return all(_diagonalises(o) for o in obs.operands)
    if isinstance(obs, qml.ops.SymbolicOp):
        return _diagonalises(obs.base)
    return bool(obs.has_diagonalizing_gates)
