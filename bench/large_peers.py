"""The simulators that `large.py` compares, each at its best settings: a case in, an expectation value out.

A peer that is not installed is left out. `prepare` returns ways to run the case, by name of the setting; the fastest
counts. All use two threads, or what OMP_NUM_THREADS says.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from large_cases import Gate, Word

import ketgrad as kg

Runs = dict[str, Callable[[], float]]
THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))


def matrix_of(gate: Gate) -> np.ndarray:
    """The matrix of a `unitary`."""
    return np.array(gate[2]).view(complex).reshape(4, 4)


def ketgrad_model(gates: list[Gate], words: list[Word], n: int, dtype: str, backend: str | None = None) -> kg.Model:
    """The case as a model without parameters."""
    circuit = kg.Circuit(n)
    for gate in gates:
        name, wires, angles = gate
        if name == "unitary":
            circuit.unitary(matrix_of(gate), list(wires))
        else:
            getattr(circuit, name)(*angles, *wires)
    total: Any = None
    for coefficient, word in words:
        term: Any = coefficient * kg.Z(word[0])
        for w in word[1:]:
            term = term @ kg.Z(w)
        total = term if total is None else total + term
    return kg.compile(circuit, [total], dtype=dtype, backend=backend)


def run_ketgrad(gates: list[Gate], words: list[Word], n: int, dtype: str) -> Runs:
    """ketgrad."""
    model = ketgrad_model(gates, words, n, dtype)
    return {"": lambda: float(model()[0])}


def run_qsim(gates: list[Gate], words: list[Word], n: int, dtype: str) -> Runs:
    """qsim: single precision, every size of fused gates."""
    if dtype != "complex64":
        return {}
    import cirq
    import qsimcirq

    q = cirq.LineQubit.range(n)
    rotation = {
        "rx": cirq.rx, "ry": cirq.ry, "rz": cirq.rz,
        "rzz": lambda t: cirq.ZZPowGate(exponent=t / np.pi, global_shift=-0.5),
        "rxx": lambda t: cirq.XXPowGate(exponent=t / np.pi, global_shift=-0.5),
        "ryy": lambda t: cirq.YYPowGate(exponent=t / np.pi, global_shift=-0.5),
        "cp": lambda t: cirq.CZPowGate(exponent=t / np.pi),
    }  # fmt: skip
    fixed = {"h": cirq.H, "s": cirq.S, "t": cirq.T, "cx": cirq.CNOT, "cz": cirq.CZ, "swap": cirq.SWAP}

    def op(gate: Gate) -> Any:
        name, wires, angles = gate
        if name == "unitary":
            return cirq.MatrixGate(matrix_of(gate))(*(q[w] for w in wires))
        return (rotation[name](*angles) if angles else fixed[name])(*(q[w] for w in wires))

    circuit = cirq.Circuit(map(op, gates))
    observable = sum(c * cirq.PauliString({q[w]: cirq.Z for w in word}) for c, word in words)
    runs: Runs = {}
    for size in (2, 3, 4, 5):
        simulator = qsimcirq.QSimSimulator(qsimcirq.QSimOptions(max_fused_gate_size=size, cpu_threads=THREADS))
        runs[f"fusion {size}"] = lambda s=simulator: float(  # type: ignore[misc]
            s.simulate_expectation_values(circuit, [observable])[0].real
        )
    return runs


def run_qulacs(gates: list[Gate], words: list[Word], n: int, dtype: str) -> Runs:
    """qulacs: as it is, and with its two optimisers."""
    if dtype != "complex128":
        return {}
    import qulacs
    from qulacs.circuit import QuantumCircuitOptimizer

    runs: Runs = {}
    for setting in ("plain", "light", "full 3"):
        circuit = qulacs.QuantumCircuit(n)
        for gate in gates:
            _add_to_qulacs(circuit, gate)
        if setting == "light":
            QuantumCircuitOptimizer().optimize_light(circuit)
        elif setting != "plain":
            QuantumCircuitOptimizer().optimize(circuit, 3)
        state, observable = qulacs.QuantumState(n), qulacs.Observable(n)
        for c, word in words:
            observable.add_operator(c, " ".join(f"Z {w}" for w in word))

        def run(circuit: Any = circuit, state: Any = state, observable: Any = observable) -> float:
            state.set_zero_state()
            circuit.update_quantum_state(state)
            return float(observable.get_expectation_value(state))

        runs[setting] = run
    return runs


def _add_to_qulacs(circuit: Any, gate: Gate) -> None:
    name, w, a = gate
    if name in ("rx", "ry", "rz"):
        getattr(circuit, f"add_{name.upper()}_gate")(w[0], -a[0])
    elif name in ("h", "s", "t"):
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
        circuit.add_dense_matrix_gate([w[1], w[0]], matrix_of(gate))


def run_aer(gates: list[Gate], words: list[Word], n: int, dtype: str) -> Runs:
    """Aer: fusion on, in either precision."""
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp
    from qiskit_aer import AerSimulator

    circuit = QuantumCircuit(n)
    for gate in gates:
        if gate[0] == "unitary":
            circuit.unitary(matrix_of(gate), [gate[1][1], gate[1][0]])
        else:
            getattr(circuit, gate[0])(*gate[2], *gate[1])
    operator = SparsePauliOp.from_sparse_list([("Z" * len(word), list(word), c) for c, word in words], n)
    circuit.save_expectation_value(operator, range(n))
    simulator = AerSimulator(
        method="statevector",
        precision="single" if dtype == "complex64" else "double",
        max_parallel_threads=THREADS,
        fusion_enable=True,
    )
    return {"": lambda: float(simulator.run(circuit, shots=1).result().data()["expectation_value"])}


def _lightning(name: str) -> Callable[[list[Gate], list[Word], int, str], Runs]:
    def prepare(gates: list[Gate], words: list[Word], n: int, dtype: str) -> Runs:
        import pennylane as qml

        kinds = {
            "rx": qml.RX, "ry": qml.RY, "rz": qml.RZ, "h": qml.Hadamard, "s": qml.S, "t": qml.T, "cx": qml.CNOT,
            "cz": qml.CZ, "swap": qml.SWAP, "cp": qml.ControlledPhaseShift, "rxx": qml.IsingXX, "ryy": qml.IsingYY,
            "rzz": qml.IsingZZ,
        }  # fmt: skip
        ops = [
            qml.QubitUnitary(matrix_of(g), g[1]) if g[0] == "unitary" else kinds[g[0]](*g[2], wires=g[1]) for g in gates
        ]
        terms = [qml.prod(*(qml.Z(w) for w in word)) if len(word) > 1 else qml.Z(word[0]) for _, word in words]
        observable = qml.Hamiltonian([c for c, _ in words], terms) if len(terms) > 1 else terms[0]
        device = qml.device(name, wires=n, c_dtype=np.dtype(dtype).type)
        tape = qml.tape.QuantumScript(ops, [qml.expval(observable)])
        return {"": lambda: float(device.execute(tape))}

    return prepare


Prepare = Callable[[list[Gate], list[Word], int, str], Runs]
MODULES = {
    "qsim": "qsimcirq",
    "qulacs": "qulacs",
    "aer": "qiskit_aer",
    "lightning.qubit": "pennylane_lightning",
    "lightning.kokkos": "pennylane_lightning.lightning_kokkos_ops",
}
PREPARE: dict[str, Prepare] = {
    "qsim": run_qsim,
    "qulacs": run_qulacs,
    "aer": run_aer,
    "lightning.qubit": _lightning("lightning.qubit"),
    "lightning.kokkos": _lightning("lightning.kokkos"),
}


def installed() -> list[str]:
    """The peers that are here."""
    out = []
    for name, module in MODULES.items():
        try:
            if find_spec(module) is not None:
                out.append(name)
        except ModuleNotFoundError:
            pass
    return out
