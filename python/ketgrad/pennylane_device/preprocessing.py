"""What happens to a tape before the device executes it, as PennyLane transforms.

Owns: which tapes are accepted, and the order of the transforms. May not know: programs, engines, results.
"""

from __future__ import annotations

from collections.abc import Callable
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
from pennylane.transforms import broadcast_expand, defer_measurements
from pennylane.transforms.core import CompilePipeline, transform

from .conversion import has_constant_data, is_supported, target_gates
from .measurements import SHADOWS, has_pauli_form

JAX = (Interface.JAX, Interface.JAX_JIT)
Transformed = tuple[tuple[Any, ...], Callable[[Any], Any]]


def pipeline(wires: Any, name: str, config: Any) -> Any:
    """The transforms for one execution configuration, in order."""
    adjoint = config.gradient_method == "adjoint"
    out = CompilePipeline()
    out.add_transform(defer_measurements, allow_postselect=False)
    if adjoint:
        out.add_transform(no_sampling, name=f"adjoint + {name}")
        out.add_transform(_expand_trainable_preparation)
    out.add_transform(
        decompose,
        stopping_condition=lambda op: is_supported(op, adjoint),
        device_wires=wires,
        target_gates=target_gates(),
        name=name,
    )
    out.add_transform(device_resolve_dynamic_wires, wires=wires, allow_resets=False)
    out.add_transform(validate_device_wires, wires, name=name)
    out.add_transform(
        validate_measurements, analytic_measurements=_accepts_exact, sample_measurements=_accepts_shots, name=name
    )
    if adjoint:
        out.add_transform(_only_expectation_values)
    if adjoint and (config.interface in JAX or not config.use_device_jacobian_product):
        out.add_transform(broadcast_expand)  # Jacobians are wanted, and PennyLane has none of a broadcast tape
    else:
        out.add_transform(_expand_constant_batches)
    if adjoint:
        out.add_transform(validate_adjoint_trainable_params)
    return out


def can_differentiate(tape: Any) -> bool:
    """Whether the adjoint method serves a tape, before any preprocessing; cheap, for it is asked at every call."""
    return not tape.shots and all(
        isinstance(mp, mps.ExpectationMP) and (mp.mv is not None or has_pauli_form(mp)) for mp in tape.measurements
    )


def _first(results: Any) -> Any:
    return results[0]


@transform  # type: ignore[untyped-decorator]
def _only_expectation_values(tape: Any) -> Transformed:
    for mp in tape.measurements:
        if not isinstance(mp, mps.ExpectationMP) or not has_pauli_form(mp):
            raise DeviceError(
                f"adjoint + ketgrad.qubit differentiates expectation values of Pauli sums, projectors and matrices of "
                f"up to 6 wires, got {mp}; use diff_method='parameter-shift'"
            )
    return (tape,), _first


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
    constant = any(op.batch_size is not None and has_constant_data(op) for op in tape.operations)
    if constant or any(isinstance(mp, SHADOWS) for mp in tape.measurements):
        expanded, join = broadcast_expand(tape)
        return tuple(expanded), join
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
