"""The simulators of `large.py`: how each is given a task, at which settings, and how its answer is read.

Every package is imported inside its own function: a worker has only one of them. All use the threads of
OMP_NUM_THREADS, or as many as there are processors. The fastest setting counts.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from large_cases import PARAMETRIC, Gate, Task, Word

THREADS = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
PAULIS = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}


@dataclass
class Run:
    """A task, ready to be timed.

    Attributes:
        call: the work: a state, [value], or gradient.
        read: some amplitudes, or all numbers, of what `call` gave; not timed.
        facts: seconds of something else, by name.
    """

    call: Callable[[], Any]
    read: Callable[[Any, np.ndarray], np.ndarray] = lambda answer, where: np.asarray(answer)[where]
    facts: dict[str, float] = field(default_factory=dict)


def reversed_bits(where: np.ndarray, n: int) -> np.ndarray:
    """Indices of the same amplitudes where wire 0 is the least significant bit."""
    return sum(((where >> k) & 1) << (n - 1 - k) for k in range(n))


def matrix_of(gate: Gate) -> np.ndarray:
    """The matrix of a `unitary` (its angles are the numbers, row by row) or an excitation."""
    name, wires, angles = gate
    if name == "unitary":
        return np.array(angles).view(complex).reshape(4, 4)
    low, high = (1, 2) if name == "single_excitation" else (3, 12)
    matrix = np.eye(1 << len(wires))
    c, s = np.cos(angles[0] / 2), np.sin(angles[0] / 2)
    matrix[np.ix_([low, high], [low, high])] = [[c, -s], [s, c]]
    return matrix


@cache
def generator(name: str) -> list[tuple[float, str]]:
    """(f, word) of a gate with an angle t: the product of exp(-i f t P / 2) over its words P, which commute."""
    if name == "cp":
        return [(0.5, "ZI"), (0.5, "IZ"), (-0.5, "ZZ")]
    if not name.endswith("excitation"):
        return [(1.0, name[1:].upper())]
    wires = tuple(range(2 if name.startswith("single") else 4))
    turn = matrix_of((name, wires, (np.pi,))) - np.eye(1 << len(wires))
    slope = (turn - turn.T) / 4  # of the matrix, by the angle at 0
    out = []
    for letters in itertools.product("IXYZ", repeat=len(wires)):
        word = np.eye(1)
        for letter in letters:
            word = np.kron(word, PAULIS[letter])
        f = float(np.trace(2j * slope @ word).real) / len(slope)
        if abs(f) > 1e-12:
            out.append((f, "".join(letters)))
    return out


def ketgrad_model(task: Task) -> Any:
    """The task's model: its angles are weights for a gradient, constants otherwise."""
    import ketgrad as kg

    circuit = kg.Circuit(task.n)
    weights = iter(circuit.weights(len(task.angles)) if task.what == "gradient" else task.angles)
    for gate in task.gates:
        name, wires, angles = gate
        if name == "unitary":
            circuit.unitary(matrix_of(gate), list(wires))
        else:
            getattr(circuit, name)(*([next(weights)] if angles else []), *wires)
    words = [(c, "".join(dict(zip(wires, letters, strict=True)).get(q, "I") for q in range(task.n)))
             for c, letters, wires in task.words]  # fmt: skip
    return kg.compile(circuit, [kg.PauliSum.from_words(words)], dtype=task.dtype)


def ketgrad_run(task: Task, setting: str) -> Run:
    """ketgrad."""
    import ketgrad as kg

    kg.set_num_threads(THREADS)
    model = ketgrad_model(task)
    if task.what == "forward":
        return Run(model.state)
    if task.what == "gradient":
        return Run(lambda: model.forward(task.angles)[1](np.ones(1)).weights)
    fresh = ketgrad_model(task)
    start = time.perf_counter()
    fresh.plan()
    return Run(model, facts={"plan per gate": (time.perf_counter() - start) / len(task.gates)})


def qsim_run(task: Task, setting: str) -> Run:
    """qsim: the translation of the circuit is kept from call to call."""
    import cirq
    import qsimcirq

    q = cirq.LineQubit.range(task.n)
    rotation = {
        "rx": cirq.rx, "ry": cirq.ry, "rz": cirq.rz,
        "rzz": lambda t: cirq.ZZPowGate(exponent=t / np.pi, global_shift=-0.5),
        "rxx": lambda t: cirq.XXPowGate(exponent=t / np.pi, global_shift=-0.5),
        "ryy": lambda t: cirq.YYPowGate(exponent=t / np.pi, global_shift=-0.5),
        "cp": lambda t: cirq.CZPowGate(exponent=t / np.pi),
    }  # fmt: skip
    fixed = {
        "x": cirq.X, "h": cirq.H, "s": cirq.S, "t": cirq.T, "cx": cirq.CNOT, "cz": cirq.CZ, "swap": cirq.SWAP
    }  # fmt: skip

    def op(gate: Gate) -> Any:
        name, wires, angles = gate
        kind = fixed[name] if name in fixed else rotation[name](*angles) if name in rotation else None
        return (kind or cirq.MatrixGate(matrix_of(gate)))(*(q[w] for w in wires))

    circuit = cirq.Circuit(map(op, task.gates))
    circuit += cirq.Circuit(cirq.I(x) for x in set(q) - circuit.all_qubits())
    settings = qsimcirq.QSimOptions(
        max_fused_gate_size=int(setting.split()[1]), cpu_threads=THREADS, denormals_are_zeros=True
    )
    simulator = qsimcirq.QSimSimulator(settings, circuit_memoization_size=1)
    if task.what == "forward":
        return Run(lambda: simulator.simulate_into_1d_array(circuit)[1])
    paulis = {"X": cirq.X, "Y": cirq.Y, "Z": cirq.Z}
    observable = cirq.PauliSum.from_pauli_strings(
        cirq.PauliString({q[w]: paulis[p] for p, w in zip(letters, wires, strict=True)}, coefficient=c)
        for c, letters, wires in task.words
    )
    return Run(lambda: np.real(simulator.simulate_expectation_values(circuit, [observable])))


def qulacs_run(task: Task, setting: str) -> Run:
    """qulacs: as it is, with either optimiser; gradients by backpropagation, which takes no optimised circuit."""
    import qulacs
    from qulacs.circuit import QuantumCircuitOptimizer

    observable = qulacs.Observable(task.n)
    for c, letters, wires in task.words:
        observable.add_operator(c, " ".join(f"{p} {w}" for p, w in zip(letters, wires, strict=True)))
    if task.what == "gradient":
        return _backpropagation(qulacs.ParametricQuantumCircuit(task.n), observable, task)
    circuit, state = qulacs.QuantumCircuit(task.n), qulacs.QuantumState(task.n)
    for gate in task.gates:
        _add_to_qulacs(circuit, gate)
    if setting == "light":
        QuantumCircuitOptimizer().optimize_light(circuit)
    elif setting.startswith("full"):
        QuantumCircuitOptimizer().optimize(circuit, int(setting.split()[1]))

    def run() -> Any:
        state.set_zero_state()
        circuit.update_quantum_state(state)
        return state if task.what == "forward" else np.array([observable.get_expectation_value(state)])

    if task.what != "forward":
        return Run(run)
    # its state is left where it is: copying it out would be most of the time
    return Run(run, lambda s, where: np.array([s.get_amplitude(int(i)) for i in reversed_bits(where, task.n)]))


def _add_to_qulacs(circuit: Any, gate: Gate) -> None:
    name, w, a = gate
    if name in ("rx", "ry", "rz"):
        getattr(circuit, f"add_{name.upper()}_gate")(w[0], -a[0])
    elif name in ("x", "h", "s", "t"):
        getattr(circuit, f"add_{name.upper()}_gate")(w[0])
    elif name in ("cx", "cz"):
        getattr(circuit, "add_CNOT_gate" if name == "cx" else "add_CZ_gate")(*w)
    elif name == "swap":
        circuit.add_SWAP_gate(*w)
    elif name in ("rxx", "ryy", "rzz"):
        circuit.add_multi_Pauli_rotation_gate(list(w), ["xyz".index(name[1]) + 1] * 2, -a[0])
    elif name == "cp":
        circuit.add_dense_matrix_gate(list(w), np.diag([1, 1, 1, np.exp(1j * a[0])]))
    else:
        circuit.add_dense_matrix_gate(list(reversed(w)), matrix_of(gate))


def _backpropagation(circuit: Any, observable: Any, task: Task) -> Run:
    """Every gate with an angle as rotations about Pauli words, whose derivatives are added up."""
    owner, share = [], []
    for gate in task.gates:
        name, wires, angles = gate
        if name not in PARAMETRIC:
            _add_to_qulacs(circuit, gate)
            continue
        for f, word in generator(name):
            if len(word) == 1:
                getattr(circuit, f"add_parametric_R{word}_gate")(wires[0], -f * angles[0])
            else:
                at = [(w, "IXYZ".index(p)) for w, p in zip(wires, word, strict=True) if p != "I"]
                circuit.add_parametric_multi_Pauli_rotation_gate([w for w, _ in at], [p for _, p in at], -f * angles[0])
            share.append(-f)
        owner += [max(owner, default=-1) + 1] * len(generator(name))
    return Run(lambda: np.bincount(owner, np.array(share) * circuit.backprop(observable)))


def aer_run(task: Task, setting: str) -> Run:
    """Aer: fusion on, in either precision."""
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp
    from qiskit_aer import AerSimulator

    circuit = QuantumCircuit(task.n)
    for gate in task.gates:
        if gate[0] == "unitary" or gate[0].endswith("excitation"):
            circuit.unitary(matrix_of(gate), list(reversed(gate[1])))
        else:
            getattr(circuit, gate[0])(*gate[2], *gate[1])
    if task.what == "forward":
        circuit.save_statevector()
    else:
        operator = SparsePauliOp.from_sparse_list([(p, list(w), c) for c, p, w in task.words], task.n)
        circuit.save_expectation_value(operator, range(task.n))
    precision = "single" if task.dtype == "complex64" else "double"
    simulator = AerSimulator(
        method="statevector", precision=precision, max_parallel_threads=THREADS, fusion_enable=True
    )

    def run() -> Any:
        data = simulator.run(circuit, shots=1).result().data()
        return data["statevector"] if task.what == "forward" else np.array([data["expectation_value"]])

    if task.what != "forward":
        return Run(run)
    return Run(run, lambda s, where: np.asarray(s)[reversed_bits(where, task.n)])


def lightning_run(task: Task, setting: str, name: str) -> Run:
    """A device of PennyLane's without the QNode around it; gradients by its adjoint Jacobian or its VJP."""
    import pennylane as qml

    kinds = {
        "rx": qml.RX, "ry": qml.RY, "rz": qml.RZ, "x": qml.X, "h": qml.Hadamard, "s": qml.S, "t": qml.T, "cx": qml.CNOT,
        "cz": qml.CZ, "swap": qml.SWAP, "cp": qml.ControlledPhaseShift, "rxx": qml.IsingXX, "ryy": qml.IsingYY,
        "rzz": qml.IsingZZ, "single_excitation": qml.SingleExcitation, "double_excitation": qml.DoubleExcitation,
    }  # fmt: skip
    paulis = {"X": qml.X, "Y": qml.Y, "Z": qml.Z}

    def operator(word: Word) -> Any:
        factors = [paulis[p](w) for p, w in zip(word[1], word[2], strict=True)]
        return qml.prod(*factors) if len(factors) > 1 else factors[0] if factors else qml.Identity(0)

    ops = [
        qml.QubitUnitary(matrix_of(g), g[1]) if g[0] == "unitary" else kinds[g[0]](*g[2], wires=g[1])
        for g in task.gates
    ]
    observable = qml.Hamiltonian([w[0] for w in task.words], [operator(w) for w in task.words])
    if len(task.words) == 1 and task.words[0][0] == 1:
        observable = operator(task.words[0])
    if setting == "sparse matrix":
        observable = qml.SparseHamiltonian(observable.sparse_matrix(wire_order=range(task.n)), wires=range(task.n))
    tape = qml.tape.QuantumScript(ops, [qml.state() if task.what == "forward" else qml.expval(observable)])
    device = qml.device(name, wires=task.n, c_dtype=np.dtype(task.dtype).type)
    if task.what != "gradient":
        return Run(lambda: np.atleast_1d(device.execute(tape)))
    tape.trainable_params = list(range(len(task.angles)))
    product = setting == "VJP"
    config = qml.devices.ExecutionConfig(
        gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=product
    )
    program, config = device.preprocess(config)
    (ready,), _ = program([tape])
    if product:
        return Run(lambda: np.ravel(device.execute_and_compute_vjp(ready, (1.0,), config)[1]))
    return Run(lambda: np.ravel(device.execute_and_compute_derivatives(ready, config)[1]))


def qokit_run(task: Task, setting: str) -> Run:
    """QOKit's simulator in C; its table of costs is made beforehand.

    QOKit's own `__init__` imports all it can be used with, for which empty packages stand in.
    """
    for name in ("qokit", "qokit.fur"):
        if name not in sys.modules:
            package = types.ModuleType(name)
            package.__path__ = find_spec(name).submodule_search_locations
            sys.modules[name] = package
    from qokit.fur.c.qaoa_simulator import QAOAFURXSimulatorC

    gammas = [a[0] for name, w, a in task.gates if name == "rzz" and w == task.words[0][2]]
    betas = [a[0] for name, w, a in task.gates if name == "rx" and w == (0,)]
    simulator = QAOAFURXSimulatorC(task.n, terms=[(c, list(w)) for c, _, w in task.words])
    angles = gammas, [b / 2 for b in betas]  # it applies exp(-i gamma C / 2) and exp(-i beta X)
    if task.what == "expectation":
        return Run(lambda: np.array([simulator.get_expectation(simulator.simulate_qaoa(*angles))]))

    def read(state: Any, where: np.ndarray) -> np.ndarray:
        at = reversed_bits(where, task.n)
        return state.real[at] + 1j * state.imag[at]

    return Run(lambda: simulator.simulate_qaoa(*angles), read)


@dataclass(frozen=True)
class Peer:
    """A simulator.

    Attributes:
        package: on PyPI.
        prepare: a task at a setting.
        settings: those that a task is tried at.
        environment: variables of its process.
    """

    package: str
    prepare: Callable[[Task, str], Run]
    settings: Callable[[Task], tuple[str, ...]] = lambda task: ("",)
    environment: dict[str, str] = field(default_factory=dict)


def qsim_settings(task: Task) -> tuple[str, ...]:
    """Every size of fused gates, in single precision; it has no gradients."""
    single = task.dtype == "complex64" and task.what != "gradient"
    return tuple(f"fusion {k}" for k in (2, 3, 4, 5)) if single else ()


def qulacs_settings(task: Task) -> tuple[str, ...]:
    """Plain and two optimisers, in double precision."""
    if task.dtype == "complex64":
        return ()
    return ("backpropagation",) if task.what == "gradient" else ("plain", "light", "full 3")


def lightning_settings(task: Task) -> tuple[str, ...]:
    """Either of its gradients; a matrix of the observable where that is small and has many words."""
    sparse = ("sparse matrix",) if task.n <= 14 and len(task.words) > 2 * task.n else ()
    return {"forward": ("",), "expectation": ("", *sparse), "gradient": ("Jacobian", "VJP", *sparse)}[task.what]


def qokit_settings(task: Task) -> tuple[str, ...]:
    """QAOA in double precision, without gradients."""
    wanted = task.dtype == "complex128" and task.what != "gradient"
    return ("C",) if wanted and {g[0] for g in task.gates} == {"h", "rzz", "rx"} else ()


PEERS = {
    "ketgrad": Peer("ketgrad", ketgrad_run),
    "qsim": Peer("qsimcirq", qsim_run, qsim_settings),
    "qulacs": Peer("qulacs", qulacs_run, qulacs_settings),
    "Aer": Peer("qiskit-aer", aer_run, lambda task: () if task.what == "gradient" else ("",)),
    "lightning.qubit": Peer(
        "pennylane-lightning", lambda t, s: lightning_run(t, s, "lightning.qubit"), lightning_settings
    ),
    "lightning.kokkos": Peer(
        "pennylane-lightning-kokkos",
        lambda t, s: lightning_run(t, s, "lightning.kokkos"),
        lightning_settings,
        {"OMP_PROC_BIND": "spread", "OMP_PLACES": "threads"},  # as Kokkos advises
    ),
    "QOKit": Peer("qokit", qokit_run, qokit_settings),
}
