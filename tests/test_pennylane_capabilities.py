"""The capabilities file of the PennyLane device: made from the gate table, read by PennyLane, and true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

qml = pytest.importorskip("pennylane")

from pennylane.devices.capabilities import DeviceCapabilities, ExecutionCondition  # noqa: E402
from pennylane.exceptions import DeviceError  # noqa: E402
from pennylane_cases import CHANNELS, PAIR, SPARSE, assert_same, device_maker, operator  # noqa: E402

from ketgrad.pennylane_device import KetgradQubit, capabilities  # noqa: E402
from ketgrad.pennylane_device.conversion import target_gates  # noqa: E402

Config, Script = qml.devices.ExecutionConfig, qml.tape.QuantumScript
ADJOINT = Config(gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=True)
CAPABILITIES = DeviceCapabilities.from_toml_file(str(capabilities.PATH))
OBSERVABLES = {
    "Exp": lambda: qml.exp(qml.X(0) @ qml.Z(1), 0.3),
    "Hermitian": lambda: qml.Hermitian(PAIR, wires=[1, 0]),
    "LinearCombination": lambda: qml.Hamiltonian([0.1, 0.2], [qml.X(0), qml.Z(0)]),
    "Prod": lambda: qml.X(0) @ qml.Z(1),
    "Projector": lambda: qml.Projector([1, 0], wires=[0, 1]),
    "SProd": lambda: 2 * qml.Y(1),
    "SparseHamiltonian": lambda: qml.SparseHamiltonian(SPARSE, wires=[0, 1]),
    "Sum": lambda: qml.X(0) + qml.Z(0),
}
MEASUREMENTS = {
    "ClassicalShadowMP": lambda: qml.classical_shadow(wires=[0]),
    "CountsMP": lambda: qml.counts(wires=[0]),
    "DensityMatrixMP": lambda: qml.density_matrix(wires=[0]),
    "ExpectationMP": lambda: qml.expval(qml.Z(0)),
    "MutualInfoMP": lambda: qml.mutual_info(wires0=[0], wires1=[1]),
    "ProbabilityMP": lambda: qml.probs(wires=[0]),
    "PurityMP": lambda: qml.purity(wires=[0]),
    "SampleMP": lambda: qml.sample(wires=[0]),
    "ShadowExpvalMP": lambda: qml.shadow_expval(qml.Z(0)),
    "StateMP": lambda: qml.state(),
    "VarianceMP": lambda: qml.var(qml.Z(0)),
    "VnEntropyMP": lambda: qml.vn_entropy(wires=[0]),
}


def prepared(device: Any, tape: Any, config: Any = None) -> Any:
    """The one tape that a device makes of a tape."""
    ((out,), _) = device.preprocess_transforms(device.setup_execution_config(config, tape))((tape,))
    return out


def gate(name: str, wires: list[int]) -> Any:
    if name in CHANNELS:
        make, strengths = CHANNELS[name]
        return make(strengths, wires)
    if name == "MultiControlledX":
        return qml.MultiControlledX(wires[:3], control_values=[0, 1])
    return qml.GlobalPhase(0.3) if name == "GlobalPhase" else operator(name, wires)


def test_the_capabilities_file_is_the_generators_and_the_devices() -> None:
    text = capabilities.PATH.read_text(encoding="utf-8")
    assert text == capabilities.capabilities(), "run: python -m ketgrad.pennylane_device.capabilities"
    assert KetgradQubit.config_filepath == str(capabilities.PATH)
    assert KetgradQubit.capabilities == CAPABILITIES
    assert CAPABILITIES.gate_set() <= target_gates()
    constants = {name for name, properties in CAPABILITIES.operations.items() if not properties.differentiable}
    assert constants == {"QubitUnitary", "DiagonalQubitUnitary", "QubitChannel"}
    assert not CAPABILITIES.qjit_compatible and CAPABILITIES.initial_state_prep


@pytest.mark.parametrize("name", sorted(CAPABILITIES.operations))
def test_a_gate_of_the_file_runs_as_it_is(name: str) -> None:
    device, properties = KetgradQubit(7), CAPABILITIES.operations[name]
    forms: list[Callable[[], Any]] = [lambda: gate(name, [2, 0, 3, 1])]
    if properties.invertible:
        forms.append(lambda: qml.adjoint(gate, lazy=True)(name, [2, 0, 3, 1]))
    if properties.controllable:
        forms.append(lambda: qml.ctrl(gate, control=[4, 5], control_values=[0, 1])(name, [2, 0, 3, 1]))
    for form in forms:
        tape = qml.tape.make_qscript(lambda form=form: (qml.X(6), form(), qml.expval(qml.Z(0))))()
        assert prepared(device, tape).operations == tape.operations
        if properties.differentiable:
            assert runs_as_it_is_when_traced(device, tape)


def runs_as_it_is_when_traced(device: Any, tape: Any) -> bool:
    """Whether the device leaves a tape alone while its parameters are being differentiated."""
    answers = []

    def function(x: Any) -> Any:
        angles = [p * x for p in tape.get_parameters(trainable_only=False)]
        traced = tape.bind_new_parameters(angles, list(range(len(angles))))
        out = prepared(device, traced, ADJOINT).operations
        answers.append([op.name for op in out] == [op.name for op in tape.operations])
        return x

    qml.grad(function)(qml.numpy.array(1.0, requires_grad=True))
    return answers[0]


@pytest.mark.parametrize("name", sorted(CAPABILITIES.observables))
def test_an_observable_of_the_file_is_measured(name: str) -> None:
    observable = OBSERVABLES[name]() if name in OBSERVABLES else gate(name, [2, 0, 3, 1])
    assert observable.name == name
    properties = CAPABILITIES.observables[name]
    for shots in [None] if ExecutionCondition.ANALYTIC_MODE_ONLY in properties.conditions else [None, 10]:
        tape = Script([qml.RX(0.1, 0)], [qml.expval(observable)], shots=shots)
        assert prepared(KetgradQubit(4), tape).measurements == tape.measurements
    if properties.differentiable:
        tape = Script([qml.RX(0.1, 0)], [qml.expval(observable)], trainable_params=[0])
        assert KetgradQubit(4).supports_derivatives(ADJOINT, tape)
        assert prepared(KetgradQubit(4), tape, ADJOINT).measurements == tape.measurements


@pytest.mark.parametrize("name", sorted(set(MEASUREMENTS) | set(CAPABILITIES.measurement_processes)))
@pytest.mark.parametrize("shots", [None, 10])
def test_the_file_names_the_measurements_that_are_accepted(name: str, shots: int | None) -> None:
    tape = Script([qml.CNOT([0, 1])], [MEASUREMENTS[name]()], shots=shots)
    if name in CAPABILITIES.filter(finite_shots=shots is not None).measurement_processes:
        (measured,) = prepared(KetgradQubit(2), tape).measurements
        assert type(measured).__name__ == name
    else:
        with pytest.raises(DeviceError, match="not accepted"):
            prepared(KetgradQubit(2), tape)


@pytest.mark.parametrize("method", CAPABILITIES.supported_mcm_methods)
def test_a_mid_circuit_method_of_the_file_is_accepted(method: str, backend: str) -> None:
    def circuit() -> Any:
        qml.X(0)
        qml.cond(qml.measure(0), qml.X)(1)
        return qml.expval(qml.Z(1))

    node = qml.QNode(circuit, device_maker(backend)(3), mcm_method=method)
    assert_same(qml.set_shots(node, 20)(), -1.0)
