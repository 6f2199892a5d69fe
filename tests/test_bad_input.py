"""Mistakes: each is answered where it is made, by an error that names the rule, the value and what to do.

The table below holds the class and the words of every answer; the junk harness after it looks for answers nobody wrote.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import junk
import numpy as np
import pytest
from conftest import BACKENDS
from subprocesses import environment

import ketgrad as kg
from ketgrad import errors

E = errors
NAN, INF = float("nan"), float("inf")


def three() -> kg.Circuit:
    circuit = kg.Circuit(3)
    circuit.weights(2), circuit.inputs(2)
    return circuit


def add(method: str, /, *args: Any, **keywords: Any) -> Callable[[], Any]:
    return lambda: getattr(three(), method)(*args, **keywords)


def append(*args: Any, **keywords: Any) -> Callable[[], Any]:
    return lambda: three().append(*args, **keywords)


other = kg.Circuit(1)
FOREIGN = other.weights(1)[0]
SKEWED = np.array([[1, 0], [0, 1.1]])

# name: (what is done, class, words of the message)
CIRCUITS: dict[str, tuple[Callable[[], Any], type, tuple[str, ...]]] = {
    # sizes
    "no wires": (lambda: kg.Circuit(0), E.WireError, ("1 to 62", "got 0")),
    "negative wires": (lambda: kg.Circuit(-3), E.WireError, ("1 to 62", "-3")),
    **{
        f"{n} wires": (lambda n=n: kg.Circuit(n), E.WireError, ("1 to 62", str(n)))
        for n in (63, 64, 65, 66, 70, 128, 10**6, 2**64)
    },
    "float number of wires": (lambda: kg.Circuit(2.0), E.WireError, ("integer", "2.0")),
    "text number of wires": (lambda: kg.Circuit("2"), E.WireError, ("integer", "'2'")),
    "bool number of wires": (lambda: kg.Circuit(True), E.WireError, ("integer", "True")),
    # wires
    "wire just out of range": (add("x", 3), E.WireError, ("x:", "wire 3", "3 wires", "0..2")),
    "wire far out of range": (add("cx", 0, 2**70), E.WireError, ("cx:", "out of range")),
    "negative wire": (add("h", -1), E.WireError, ("h:", "start at 0", "-1")),
    "float wire": (add("h", 1.0), E.WireError, ("integers", "1.0")),
    "bool wire": (add("h", True), E.WireError, ("integers", "True")),
    "text wire": (add("h", "0"), E.WireError, ("integers", "'0'")),
    "None as wire": (add("h", None), E.WireError, ("integers", "None")),
    "repeated wire": (add("crx", 0.1, 2, 2), E.WireError, ("crx:", "distinct", "(2, 2)")),
    "repeated among many": (add("ccx", 0, 1, 0), E.WireError, ("ccx:", "distinct")),
    "too few wires": (add("cx", 0), E.CircuitError, ("cx", "2 wires", "got 1")),
    "too many wires": (add("h", 0, 1), E.CircuitError, ("h", "1 wire", "got 2")),
    "no wires at all": (add("multi_rz", 0.1), E.CircuitError, ("multi_rz", "at least one wire")),
    "wires are a number": (append("rx", [0.1], 0), E.ArgumentTypeError, ("rx", "sequence")),
    "endless wires": (append("multi_rz", [0.1], range(10**12)), E.WireError, ("out of range",)),
    # controls
    "control out of range": (add("x", 0, controls=5), E.WireError, ("x:", "wire 5")),
    "control is a target": (add("x", 0, controls=(0, 1)), E.WireError, ("distinct", "controls")),
    "repeated control": (add("x", 0, controls=(1, 1)), E.WireError, ("distinct",)),
    "too few control values": (
        add("x", 0, controls=(1, 2), control_values=(1,)),
        E.CircuitError,
        ("2 controls", "(1,)"),
    ),
    "control value 2": (add("x", 0, controls=1, control_values=2), E.CircuitError, ("0 or 1", "2")),
    "control values without controls": (add("x", 0, control_values=[1]), E.CircuitError, ("0 controls",)),
    # gates and angles
    "unknown gate": (append("cnott", (), (0, 1)), E.CircuitError, ("cnott", "Did you mean 'cnot'")),
    "unknown gate with nothing close": (append("qqqqqq", (), (0,)), E.CircuitError, ("unknown gate",)),
    "gate is no name": (append(5, (), (0,)), E.CircuitError, ("unknown gate", "5")),
    "too few angles": (append("rot", [0.1], [0]), E.CircuitError, ("rot", "3 parameters", "got 1")),
    "too many angles": (append("h", [0.1], [0]), E.CircuitError, ("h", "0 parameters", "got 1")),
    "nan angle": (add("rx", NAN, 0), E.ParameterError, ("rx", "theta", "finite", "nan")),
    "inf angle": (add("rz", -INF, 0), E.ParameterError, ("rz", "finite", "inf")),
    "huge integer angle": (add("rz", 10**400, 0), E.ParameterError, ("finite",)),
    "nan among several": (add("rot", [0.1, NAN, 0.2], 0), E.ParameterError, ("rot", "theta", "nan")),
    "complex angle": (add("rx", 1j, 0), E.ArgumentTypeError, ("rx", "real number", "complex")),
    "text angle": (add("rx", "0.1", 0), E.ArgumentTypeError, ("rx", "real number", "str")),
    "bool angle": (add("rx", True, 0), E.ArgumentTypeError, ("real number", "bool")),
    "array angle": (add("rx", np.zeros(2), 0), E.ArgumentTypeError, ("real number", "ndarray")),
    "parameter of another circuit": (add("rx", FOREIGN, 0), E.ParameterError, ("rx", "another circuit")),
    # matrices
    "skewed matrix": (add("unitary", SKEWED, 0), E.GateMatrixError, ("not unitary", "0.21")),
    "nan matrix": (add("unitary", np.full((2, 2), NAN), 0), E.GateMatrixError, ("not finite",)),
    "matrix for other wires": (add("unitary", np.eye(2), 0, 1), E.GateMatrixError, ("2 wires", "(4, 4)", "(2, 2)")),
    "flat matrix": (add("unitary", np.ones(4), 0), E.GateMatrixError, ("(2, 2)", "(4,)")),
    "ragged matrix": (add("unitary", [[1, 0], [0]], 0), E.GateMatrixError, ("array of numbers",)),
    "text matrix": (add("unitary", "eye", 0), E.GateMatrixError, ("array of numbers", "str")),
    "diagonal not of modulus one": (add("diagonal", [1, 2], 0), E.GateMatrixError, ("not unitary",)),
    "diagonal too short": (add("diagonal", [1], 0), E.GateMatrixError, ("(2,)", "(1,)")),
    "nan diagonal": (add("diagonal", [1, NAN], 0), E.GateMatrixError, ("not finite",)),
    "inf values": (add("exp_diagonal", 0.1, [0, INF], 0), E.GateMatrixError, ("not finite",)),
    "complex values": (add("exp_diagonal", 0.1, [0, 1j], 0), E.GateMatrixError, ("array of numbers",)),
    "dim too large": (add("pcphase", 0.1, 5, 0, 1), E.CircuitError, ("0 to 4", "5")),
    "dim negative": (add("pcphase", 0.1, -1, 0, 1), E.CircuitError, ("0 to 4", "-1")),
    "word with a wrong letter": (add("pauli_rot", 0.1, "XQ", 0, 1), E.CircuitError, ("I, X, Y and Z", "'Q'")),
    "word of another length": (add("pauli_rot", 0.1, "XYZ", 0, 1), E.CircuitError, ("3 letters", "2 wires")),
    "word is a number": (add("pauli_rot", 0.1, 5, 0), E.ArgumentTypeError, ("string", "int")),
    "extra for a gate without": (append("h", (), [0], extra=5), E.CircuitError, ("no extra",)),
    # states
    "zero-norm state": (add("prepare", np.zeros(8)), E.StateError, ("norm 1", "got 0")),
    "unnormalised state": (add("prepare", np.ones(8)), E.StateError, ("norm 1", "2.828", "np.linalg.norm")),
    "almost normalised state": (add("prepare", [1 + 1e-6, 0], [0]), E.StateError, ("norm 1",)),
    "nan state": (add("prepare", [NAN, 0], [0]), E.StateError, ("norm 1", "nan")),
    "state of wrong length": (add("prepare", [1, 0, 0]), E.StateError, ("3 wires", "8 amplitudes", "(3,)")),
    "state as a matrix": (add("prepare", np.eye(2), [0]), E.StateError, ("2 amplitudes", "(2, 2)")),
    "text state": (add("prepare", "up", [0]), E.StateError, ("array of numbers",)),
    "state on repeated wires": (add("prepare", [1, 0, 0, 0], [0, 0]), E.WireError, ("distinct",)),
    "state after a gate": (lambda: three().h(0).prepare([1, 0], [0]), E.StateError, ("before any gate",)),
    "state twice": (lambda: three().prepare([1, 0], [0]).prepare([1, 0], [1]), E.StateError, ("once",)),
    "bits that are none": (add("basis_state", "012"), E.StateError, ("0 or 1", "012")),
    "too few bits": (add("basis_state", "01"), E.StateError, ("3 wires", "01")),
    # parameters
    "negative shape": (add("weights", -1), E.ParameterError, ("at least 0", "-1")),
    "float shape": (add("weights", (2.5,)), E.ParameterError, ("integers", "2.5")),
    "too many parameters": (add("weights", 10**9), E.ParameterError, ("10,000,000", "1000000000")),
    "overflowing shape": (add("weights", (2**40, 2**40)), E.ParameterError, ("10,000,000",)),
    "repeated name": (add("weights", 1, name="w"), E.ParameterError, ("'w'", "exists")),
    "empty name": (add("parameter", ""), E.ParameterError, ("non-empty", "''")),
    "power of an expression": (lambda: three().weights(1)[0] ** 3, E.ParameterError, ("degree at most 2", "input")),
    "cubic product": (lambda: (lambda w: w * w * w)(three().weights(1)[0]), E.ParameterError, ("degree at most 2",)),
    "mixed circuits": (lambda: FOREIGN + three().weights(1)[0], E.ParameterError, ("two different circuits",)),
    "expression divided by zero": (lambda: FOREIGN / 0, ZeroDivisionError, ("zero",)),
    "expression plus nan": (lambda: FOREIGN + NAN, E.ParameterError, ("finite", "nan")),
    "expression as a number": (lambda: float(FOREIGN), E.ArgumentTypeError, ("no value yet",)),
    "math on an expression": (lambda: np.sin(FOREIGN), TypeError, ()),
    # circuits in circuits
    "extend by more wires": (lambda: kg.Circuit(1).extend(kg.Circuit(2)), E.WireError, ("2 wires", "1")),
    "extend by parameters": (lambda: kg.Circuit(3).extend(three()), E.CircuitError, ("parameters",)),
    "extend by nothing": (lambda: kg.Circuit(3).extend(None), E.ArgumentTypeError, ("Circuit", "NoneType")),
    # observables
    "observable on a negative wire": (lambda: kg.Z(-1), E.WireError, ("start at 0",)),
    "observable on a float wire": (lambda: kg.X(0.0), E.WireError, ("integers",)),
    "observable out of range": (lambda: kg.compile(three(), kg.Z(3)), E.WireError, ("wire 3", "0..2")),
    "no observable": (lambda: kg.compile(three(), "Z"), E.ArgumentTypeError, ("observable 0", "PauliSum", "str")),
    "observable is a number": (lambda: kg.compile(three(), 5), E.ArgumentTypeError, ("PauliSum", "int")),
    "no circuit": (lambda: kg.compile("circuit"), E.ArgumentTypeError, ("Circuit", "str")),
    "complex coefficient": (lambda: kg.PauliSum.from_words([(1j, "X")]), E.CircuitError, ("real", "1j")),
    "nan coefficient": (lambda: kg.Z(0) * NAN, E.CircuitError, ("finite", "nan")),
    "inf coefficient": (lambda: kg.PauliSum.from_words([(INF, "X")]), E.CircuitError, ("finite",)),
    "anti-Hermitian product": (lambda: kg.compile(three(), kg.X(0) @ kg.Z(0)), E.CircuitError, ("Hermitian", "real")),
    "words for other wires": (
        lambda: kg.PauliSum.from_words([(1, "XY")], [0]),
        E.CircuitError,
        ("2 letters", "1 wires"),
    ),
    "projector bits": (lambda: kg.Projector("02"), E.CircuitError, ("0 or 1", "02")),
    "projector wires": (lambda: kg.Projector("01", [0]), E.CircuitError, ("2 bits", "1 wires")),
    "not Hermitian": (lambda: kg.Hermitian([[0, 1], [0, 0]], [0]), E.GateMatrixError, ("adjoint", "1")),
    "Hermitian of wrong size": (lambda: kg.Hermitian(np.eye(3), [0]), E.GateMatrixError, ("(2, 2)", "(3, 3)")),
    "Hermitian with nan": (lambda: kg.Hermitian(np.full((2, 2), NAN), [0]), E.GateMatrixError, ("not finite",)),
    "Hermitian too large": (lambda: kg.Hermitian(np.eye(128), range(7)), E.GateMatrixError, ("6 wires", "PauliSum")),
    "dense matrix too large": (lambda: kg.Z(0).matrix(40), E.WireError, ("14", "40")),
    "matrix on too few wires": (lambda: kg.Z(3).matrix(2), E.WireError, ("from 4", "2")),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_mistakes_in_circuits_and_observables(name):
    call, error, words = CIRCUITS[name]
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def model(backend: str) -> kg.Model:
    circuit = kg.Circuit(3)
    w, x = circuit.weights((2, 2)), circuit.inputs(2)
    circuit.rx(w[0, 0], 0).ry(w[0, 1] * x[0], 1).rz(w[1, 0], 2).cx(0, 1).ry(w[1, 1] + x[1], 2)
    return kg.compile(circuit, [kg.Z(0), kg.X(1), kg.Z(2)], backend=backend)


W, X = np.zeros((2, 2)), np.zeros((5, 2))

CALLS: dict[str, tuple[Callable[[kg.Model], Any], type, tuple[str, ...]]] = {
    "no weights": (lambda m: m(None, X), E.ParameterError, ("4 weights", "got 0")),
    "no inputs": (lambda m: m(W), E.ParameterError, ("2 inputs", "none")),
    "nothing": (lambda m: m(), E.ParameterError, ("weights",)),
    "too few weights": (lambda m: m(np.zeros(3), X), E.ParameterError, ("4 weights", "got 3")),
    "too many inputs": (lambda m: m(W, np.zeros((5, 3))), E.ParameterError, ("(2,)", "(batch, 2)", "(5, 3)")),
    "inputs with three axes": (lambda m: m(W, np.zeros((1, 5, 2))), E.ParameterError, ("(1, 5, 2)",)),
    "scalar inputs": (lambda m: m(W, 0.0), E.ParameterError, ("inputs",)),
    "empty batch": (lambda m: m(W, np.zeros((0, 2))), E.ParameterError, ("at least one sample",)),
    "nan weight": (lambda m: m([0, 0, NAN, 0], X), E.ParameterError, ("finite", "nan")),
    "inf input": (lambda m: m(W, [[0, 0], [0, -INF]]), E.ParameterError, ("finite", "inf")),
    "nan weight in a gradient": (lambda m: m.jacobian([0, 0, NAN, 0], X), E.ParameterError, ("finite",)),
    "nan weight in a shift": (
        lambda m: m.jacobian([0, 0, 0, NAN], X, method="parameter-shift"),
        E.ParameterError,
        ("finite",),
    ),
    "nan weight in a state": (lambda m: m.state([0, 0, 0, NAN], X), E.ParameterError, ("finite",)),
    "overflowing product": (lambda m: m([0, 1e200, 0, 0], [[1e200, 0]]), E.ParameterError, ("finite",)),
    "complex weights": (lambda m: m(W * 1j, X), E.ArgumentTypeError, ("weights", "real", "complex128")),
    "text weights": (lambda m: m(["a", "b", "c", "d"], X), E.ArgumentTypeError, ("weights", "real")),
    "object weights": (lambda m: m(np.array([None] * 4), X), E.ArgumentTypeError, ("weights", "object")),
    "date inputs": (lambda m: m(W, np.zeros(2, "M8[s]")), E.ArgumentTypeError, ("inputs", "datetime64")),
    "ragged inputs": (lambda m: m(W, [[1, 2], [3]]), E.ParameterError, ("inputs", "ragged")),
    "huge inputs": (lambda m: m(W, np.broadcast_to(0.0, (10**12, 2))), E.OutOfMemoryError, ("available",)),
    "huge weights": (lambda m: m(np.broadcast_to(0.0, (10**12,)), X), E.OutOfMemoryError, ("weights", "available")),
    "cotangents of another shape": (
        lambda m: m.forward(W, X)[1](np.ones((5, 2))),
        E.ParameterError,
        ("(5, 3)", "(5, 2)"),
    ),
    "nan cotangents": (lambda m: m.forward(W, X)[1](np.full((5, 3), NAN)), E.ParameterError, ("cotangents", "finite")),
    "no cotangents": (lambda m: m.forward(W, X)[1](None), E.ParameterError, ("cotangents",)),
    "unknown method": (lambda m: m.forward(W, X, method="ajoint"), E.ArgumentError, ("Did you mean 'adjoint'",)),
    "method is a number": (lambda m: m.jacobian(W, X, method=5), E.ArgumentError, ("method", "5")),
    "adjoint with shots": (
        lambda m: m.jacobian(W, X, method="adjoint", shots=5),
        E.ArgumentError,
        ("no shots", "parameter-shift"),
    ),
    "zero shots": (lambda m: m.sample(W, X, shots=0), E.ArgumentError, ("shots", "got 0")),
    "negative shots": (lambda m: m.jacobian(W, X, shots=-5), E.ArgumentError, ("shots", "-5")),
    "float shots": (lambda m: m(W, X, shots=10.0), E.ArgumentTypeError, ("integer", "float")),
    "sampled wire out of range": (lambda m: m.sample(W, X, shots=1, wires=[3]), E.WireError, ("wire 3", "0..2")),
    "repeated wires": (lambda m: m.probabilities(W, X, [0, 0]), E.WireError, ("distinct",)),
    "wires are a number": (lambda m: m.probabilities(W, X, 0), E.ArgumentTypeError, ("sequence", "0")),
    "text wires": (lambda m: m.density_matrix(W, X, "01"), E.WireError, ("integers", "'0'")),
}


@pytest.mark.parametrize("name", CALLS)
def test_mistakes_in_calls(backend, name):
    call, error, words = CALLS[name]
    here = model(backend)
    started = time.perf_counter()
    with pytest.raises(error) as caught:
        call(here)
    assert time.perf_counter() - started < 5
    for word in words:
        assert word in str(caught.value)
    assert np.all(np.isfinite(here(W, X)))  # and nothing is lost


def test_a_mistake_in_a_circuit_adds_nothing_to_it():
    for call in (
        lambda c: c.x(7),
        lambda c: c.rx(NAN, 0),
        lambda c: c.unitary(SKEWED, 0),
        lambda c: c.x(0, controls=(0,)),
        lambda c: c.extend(three()),
        lambda c: c.basis_state("0x1"),
        lambda c: c.weights(1, name="w"),
    ):
        circuit = three().h(0)
        before = repr(circuit), list(circuit.gates), list(circuit.groups)
        with pytest.raises(errors.KetgradError):
            call(circuit)
        assert (repr(circuit), list(circuit.gates), list(circuit.groups)) == before


# what looks odd and is right


def strided(a: np.ndarray) -> dict[str, np.ndarray]:
    """The same numbers, laid out otherwise."""
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]))
    wide[..., ::2] = a
    frozen = a.copy()
    frozen.setflags(write=False)
    raw = np.zeros(a.nbytes + 8, dtype=np.uint8)
    unaligned = raw[3 : 3 + a.nbytes].view(a.dtype).reshape(a.shape)
    unaligned[:] = a
    return {
        "F order": np.asfortranarray(a),
        "every other": wide[..., ::2],
        "negative stride": a[::-1].copy()[::-1],
        "transposed": a.T.copy().T,
        "read-only": frozen,
        "unaligned": unaligned,
        "big-endian": a.astype(">f8"),
        "list": a.tolist(),
        "masked": np.ma.array(a),
        "subclass": a.view(type("Sub", (np.ndarray,), {})),
    }


def test_arrays_of_any_layout(backend, rng):
    here = model(backend)
    w, x, c = rng.normal(size=(2, 2)), rng.normal(size=(6, 2)), rng.normal(size=(6, 3))
    values, pullback = here.forward(w, x)
    wanted = pullback(c)
    layouts = zip(strided(w).items(), strided(x).values(), strided(c).values(), strict=True)
    for (name, other_w), other_x, other_c in layouts:
        got, pull = here.forward(other_w, other_x)
        np.testing.assert_array_equal(got, values, err_msg=name)
        gradients = pull(other_c)
        np.testing.assert_array_equal(gradients.weights, wanted.weights, err_msg=name)
        np.testing.assert_array_equal(gradients.inputs, wanted.inputs, err_msg=name)
        np.testing.assert_array_equal(here.state(other_w, other_x), here.state(w, x), err_msg=name)


def test_numbers_of_any_real_type(backend):
    here = model(backend)
    wanted = here(np.ones(4), np.ones((3, 2)))
    for kind in ("f4", "f2", "i4", "u1", "?", "i8", "g"):
        np.testing.assert_allclose(here(np.ones(4, kind), np.ones((3, 2), kind)), wanted, atol=1e-14)


def test_matrices_and_states_of_any_layout(backend, rng):
    q, _ = np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))
    psi = q[0].copy()
    frozen = q.copy()
    frozen.setflags(write=False)
    wanted = kg.compile(kg.Circuit(2).prepare(psi).unitary(q, 1, 0), backend=backend).state()
    for u in (np.asfortranarray(q), frozen, q.tolist(), np.repeat(q, 2, axis=1)[:, ::2], q[::-1].copy()[::-1]):
        for v in (psi[::-1].copy()[::-1], np.repeat(psi, 2)[::2], psi.tolist(), q[0]):
            got = kg.compile(kg.Circuit(2).prepare(v).unitary(u, 1, 0), backend=backend).state()
            np.testing.assert_array_equal(got, wanted)


def test_what_was_given_can_be_changed_afterwards(backend):
    u, psi = np.eye(2, dtype=complex), np.array([1, 0], dtype=complex)
    circuit = kg.Circuit(1).prepare(psi).unitary(u, 0)
    u[:], psi[:] = 0, 0
    np.testing.assert_array_equal(kg.compile(circuit, backend=backend).state(), [1, 0])


def test_integers_of_any_kind_are_wires(backend):
    circuit = kg.Circuit(np.int8(3)).x(np.uint8(1)).cx(np.int64(1), np.int32(2)).x(0, controls=np.int64(1))
    np.testing.assert_array_equal(np.flatnonzero(kg.compile(circuit, backend=backend).state()), [7])


def test_sixty_two_wires_are_a_circuit():
    circuit = kg.Circuit(62)
    w = circuit.weights(1)
    circuit.rx(w[0], 61).cx(0, 61).mcx(*range(62)).swap(0, 61)
    here = kg.compile(circuit, kg.Z(0) @ kg.Z(61))
    assert "62 qubits" in here.disassembly()


# junk


@pytest.mark.parametrize("group", junk.GROUPS)
def test_junk_ends_in_documented_errors(backend, group, tmp_path):
    """Thousands of calls with junk in a process of its own: no signal, no hang, no undocumented error."""
    if group == "core" and backend != "native":
        pytest.skip("the compiled module is the native backend's")
    if group in ("package", "paulis", "samplers") and backend != BACKENDS[0]:
        pytest.skip("the backend takes no part, or the same Python checks what it is given")
    if group == "samplers":
        pytest.importorskip("dimod")
    script = Path(__file__).parent / "junk.py"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(script), group, backend],
        env=environment(),
        cwd=tmp_path,  # some of the junk is a file name that can be written
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, f"exit {done.returncode} after:\n{done.stderr[-3000:]}"
    report = json.loads(done.stdout.splitlines()[-1])
    assert not report["findings"], "\n".join(report["findings"][:20])
    assert report["calls"] > 1000
