"""What PennyLane asks of a device beside numbers: wires, tracking, copies, threads, seeds, errors, shapes, snapshots.

Most tests ask default.qubit the same question and want the same answer.
"""

from __future__ import annotations

import copy
import itertools
import pickle
import threading
from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")

from pennylane.exceptions import AllocationError, DeviceError, WireError  # noqa: E402
from pennylane_cases import IGNORED, MATRIX, assert_same, device_maker, reference, scramble  # noqa: E402

from ketgrad.pennylane_device import KetgradQubit  # noqa: E402

pytestmark = IGNORED
Config, MCMConfig, Script = qml.devices.ExecutionConfig, qml.devices.MCMConfig, qml.tape.QuantumScript
ADJOINT = Config(gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=True)


@pytest.fixture
def make(backend: str) -> Any:
    """A device on the backend under test."""
    return device_maker(backend)


# wires


@pytest.mark.parametrize("wires", [None, 4, range(4), list("dcba"), ("a", 1, 2.5, -1), qml.wires.Wires([9, 8, 7, 6])])
def test_wires_in_every_form(wires: Any, make: Any) -> None:
    labels = list(range(4)) if wires is None or wires == 4 else list(wires)

    def circuit(used: Any) -> Any:
        scramble(used)
        return qml.expval(qml.Z(used[-1]) @ qml.X(used[0])), qml.probs(wires=used[::-1]), qml.probs(), qml.state()

    device = make(wires)
    assert device.wires == reference(wires).wires
    for used in (labels, labels[2:], labels[1::-1]):  # one device, circuits of different wires
        assert_same(qml.QNode(circuit, device)(used), qml.QNode(circuit, reference(wires))(used))


@pytest.mark.parametrize("wires", [None, 5, ["q", 0, "a", "b", "c"]])
def test_dynamic_wires(wires: Any, make: Any) -> None:
    def circuit(x: Any) -> Any:
        qml.RX(x, 0)
        with qml.allocate(2, state="zero", restored=True) as w:
            qml.CNOT([0, w[0]])
            qml.CRY(0.3, [w[0], w[1]])
            qml.CRY(-0.3, [w[0], w[1]])
            qml.CNOT([0, w[0]])
        with qml.allocate(1) as (w,):
            qml.CRY(x, [0, w])
        return qml.expval(qml.Y(0)), qml.probs(wires=[0])

    x = qml.numpy.array(0.7, requires_grad=True)
    assert_same(qml.QNode(circuit, make(wires))(x), qml.QNode(circuit, reference(wires))(x))
    gradient = qml.grad(lambda x, device: qml.QNode(circuit, device)(x)[0], argnums=0)
    assert_same(gradient(x, make(wires)), gradient(x, reference(wires)), 1e-10)
    with pytest.raises(AllocationError, match="Not enough available wires"):
        qml.QNode(circuit, make(1))(x)


# tracking and drawing


def tracked(x: Any) -> Any:
    qml.RX(x, 0)
    qml.CNOT([0, 1])
    return qml.expval(qml.Z(0)), qml.expval(qml.X(1)), qml.probs(wires=[0])


@pytest.mark.parametrize("shots", [None, 10, (5, 3)])
@pytest.mark.parametrize("x", [0.3, np.array([0.1, 0.2])])
def test_the_tracker_counts_as_default_qubit_does(shots: Any, x: Any, make: Any) -> None:
    def track(device: Any) -> Any:
        with qml.Tracker(device) as tracker:
            node = qml.set_shots(qml.QNode(tracked, device), shots)
            node(x), node(x)
        return tracker

    got, wanted = track(make(2)), track(reference(2))
    assert got.totals == wanted.totals and set(got.history) == set(wanted.history)
    assert got.history["resources"] == wanted.history["resources"]
    assert got.history["executions"] == wanted.history["executions"]
    assert got.history.get("shots") == wanted.history.get("shots")


def test_a_single_expectation_value_is_a_float(make: Any) -> None:
    def run(device: Any) -> Any:
        with qml.Tracker(device) as tracker:
            return qml.QNode(lambda: (qml.RX(0.3, 0), qml.expval(qml.Z(0)))[1], device)(), tracker.totals["results"]

    value, total = run(make(1))  # the tracker adds up numbers, not arrays
    assert isinstance(value, float) and (value, total) == pytest.approx(run(reference(1)))


@pytest.mark.parametrize("option", ["device_vjp", "grad_on_execution"])
def test_the_tracker_counts_a_gradient_once(option: str, make: Any) -> None:
    device = make(2)

    def circuit(x: Any) -> Any:
        qml.RX(x, 0)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(0)), qml.expval(qml.Z(1))

    node = qml.QNode(circuit, device, diff_method="adjoint", **{option: True})
    with qml.Tracker(device) as tracker:
        qml.jacobian(lambda x: qml.math.stack(node(x)))(qml.numpy.array(0.3, requires_grad=True))
    assert tracker.totals["executions"] == 1 and tracker.totals.get("derivatives", 1) == 1
    assert tracker.totals.get("vjps", 0) <= 2  # one for each row of the Jacobian


def test_drawings_and_resources(make: Any) -> None:
    def circuit(x: Any) -> Any:
        scramble(range(3))
        qml.ctrl(qml.RX(x, 0), control=[1, 2], control_values=[0, 1])
        return qml.expval(qml.Z(0) @ qml.X(1)), qml.var(qml.Y(2))

    got, wanted = (qml.QNode(circuit, device) for device in (make(3), reference(3)))
    assert qml.draw(got)(0.3) == qml.draw(wanted)(0.3)
    assert qml.draw(got, level="device")(0.3) == qml.draw(wanted, level="device")(0.3)
    specs = qml.specs(got, level="device")(0.3)
    assert specs["resources"] == qml.specs(wanted, level="device")(0.3)["resources"]
    assert specs["device_name"] == "ketgrad.qubit" and specs["num_device_wires"] == 3
    assert "RX" in qml.draw(qml.QNode(lambda: (qml.QFT([0, 1]), qml.RX(0.3, 0), qml.state())[2], make(2)))()


# copies, threads, seeds, options


def sampled(device: Any) -> Any:
    def circuit() -> Any:
        scramble(range(3))
        return qml.sample(wires=[0, 1, 2]), qml.counts(wires=[0]), qml.expval(qml.X(0) + qml.Z(1))

    return qml.set_shots(qml.QNode(circuit, device), 20)()


@pytest.mark.parametrize("twin", [lambda d: pickle.loads(pickle.dumps(d)), copy.deepcopy, copy.copy])
@pytest.mark.parametrize("used", [False, True])
def test_a_copy_goes_on_as_the_original_would(twin: Any, used: bool, make: Any) -> None:
    device = make(["a", 0, 1, 2], seed=3, c_dtype="complex64")
    if used:
        sampled(device)
    other = twin(device)
    assert (other.wires, other.c_dtype, other.shots) == (device.wires, device.c_dtype, device.shots)
    state = qml.QNode(lambda: (scramble(range(3)), qml.state())[1], other)()
    assert_same(state, qml.QNode(lambda: (scramble(range(3)), qml.state())[1], device)())
    if twin is not copy.copy:  # a shallow copy shares the generator
        first, second = sampled(other), sampled(device)
        assert np.array_equal(first[0], second[0]) and first[1:] == second[1:]


def test_results_belong_to_the_caller(make: Any) -> None:
    device = make(2)
    tape = Script([qml.RX(0.3, 0)], [qml.probs(wires=[0]), qml.state()], trainable_params=[0])
    first = device.execute(tape)
    wanted = [np.array(r) for r in first]
    for result in first:
        result[...] = 7.0
    assert_same(device.execute(tape), tuple(wanted))
    assert tape.trainable_params == [0] and len(tape.operations) == 1


def test_eight_threads_at_once(make: Any) -> None:
    device, start = make(3), threading.Barrier(8)
    answers: dict[int, Any] = {}

    def tape(k: int, measured: Any, shots: int | None = None) -> Any:
        ops = [qml.RX(0.3 * k, 0), qml.CNOT([0, 1]), qml.RY(0.1 + k, 1), qml.CNOT([1, 2])]
        ops += [qml.CRZ(0.2 * k, [1, 2])] * (k % 3)
        return Script(ops, measured, shots=shots, trainable_params=[0, 1])

    def tapes(k: int) -> list[Any]:
        both = [qml.expval(qml.Z(1)), qml.expval(qml.X(0) @ qml.Y(2))]
        return [tape(k, both), tape(k, [qml.probs(wires=[1]), qml.state()]), tape(k, [qml.var(qml.X(1))])]

    def work(k: int) -> None:
        first, *others = tapes(k)
        start.wait(timeout=30)
        answers[k] = [
            (
                device.execute([first, *others]),
                device.compute_vjp(first, (1.0, 0.5)),
                device.execute(tape(k, [qml.counts(wires=[0])], shots=50)),
            )
            for _ in range(5)
        ]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(8))
    for k, rounds in answers.items():
        wanted = reference(3).execute(tapes(k))
        jacobian = reference(3).compute_derivatives(tapes(k)[0], ADJOINT)
        pulled = tuple(jacobian[0][p] + 0.5 * jacobian[1][p] for p in range(2))
        for values, vjp, counts in rounds:
            assert_same(values, wanted)
            assert_same(tuple(vjp), pulled, 1e-10)
            assert sum(counts.values()) == 50


@pytest.mark.parametrize("seed", [7, np.int64(7), [1, 2], np.random.SeedSequence(7), lambda: np.random.default_rng(7)])
def test_seeds_in_every_form(seed: Any, make: Any) -> None:
    seeds = [seed() if callable(seed) else copy.deepcopy(seed) for _ in range(2)]
    first, second = (sampled(make(3, seed=s)) for s in seeds)
    assert np.array_equal(first[0], second[0]) and first[1:] == second[1:]


def test_seeds_that_differ_and_the_global_one(make: Any) -> None:
    seeds = (1, 2, None, None, "global", "global")
    for a, b in itertools.combinations([sampled(make(3, seed=s))[0] for s in seeds], 2):
        assert not np.array_equal(a, b)
    state = np.random.get_state()
    try:
        draws = []
        for _ in range(2):
            np.random.seed(5)
            draws.append(sampled(make(3, seed="global"))[0])
        assert np.array_equal(*draws)
    finally:
        np.random.set_state(state)
    with pytest.raises(DeviceError, match="seed.*'global'"):
        make(3, seed="gobal")


@pytest.mark.parametrize("name", ["complex64", "complex128"])
@pytest.mark.parametrize("spelled", [str, np.dtype, lambda name: getattr(np, name)])
def test_dtypes_in_every_form(name: str, spelled: Any, make: Any) -> None:
    device = make(2, c_dtype=spelled(name))
    node = qml.QNode(lambda: (scramble(range(2)), qml.state(), qml.density_matrix([1]))[1:], device)
    state, matrix = node()
    assert device.c_dtype == name
    assert state.dtype == matrix.dtype == np.dtype(name)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (DeviceError, "complex64.*complex128.*'half'", lambda make: make(c_dtype="half")),
        (DeviceError, "'native'.*'numba'.*'gpu'", lambda make: KetgradQubit(1, backend="gpu")),
        (DeviceError, "speed", lambda make: make().setup_execution_config(Config(device_options={"speed": 1}))),
        (WireError, "not found on the device.*5", lambda make: run(make(2), qml.X(5), qml.state())),
        (WireError, "not found on the device.*'b'", lambda make: run(make("ac"), qml.X("a"), qml.expval(qml.Z("b")))),
        (DeviceError, "not accepted for analytic", lambda make: run(make(2), qml.X(0), qml.counts())),
        (DeviceError, "not accepted with finite", lambda make: run(make(2), qml.X(0), qml.purity([0]), shots=5)),
        (
            DeviceError,
            "deferred.*one-shot.*tree-traversal",
            lambda make: make().setup_execution_config(Config(mcm_config=MCMConfig("single-branch-statistics"))),
        ),
    ],
)
def test_errors_name_the_value_and_the_alternatives(error: Any, match: str, call: Any, make: Any) -> None:
    with pytest.raises(error, match=match):
        call(make)


def run(device: Any, op: Any, measured: Any, shots: Any = None, **options: Any) -> Any:
    return qml.set_shots(qml.QNode(lambda: (qml.apply(op), qml.apply(measured))[1], device, **options), shots)()


# shapes


def form(value: Any) -> Any:
    """Nesting and shapes of a result without its numbers."""
    if isinstance(value, (tuple, list)):
        return tuple(form(v) for v in value)
    return dict if isinstance(value, dict) else np.shape(value)


def expected_and_probabilities() -> Any:
    return [qml.expval(qml.Hermitian(MATRIX, 1)), qml.probs(wires=[0, 2])]


EXACTLY: dict[str, Any] = {
    "expval": lambda: [qml.expval(qml.Z(0) + qml.X(1))],
    "expval and probs": expected_and_probabilities,
    "state": lambda: [qml.state()],
    "states": lambda: [qml.density_matrix([0, 2]), qml.vn_entropy([1]), qml.var(qml.Y(0)), qml.probs()],
}
WITH_SHOTS: dict[str, Any] = {
    "expval": lambda: [qml.expval(qml.Z(0) + qml.X(1))],
    "expval and probs": expected_and_probabilities,
    "sample": lambda: [qml.sample(wires=[1])],
    "samples": lambda: [qml.sample(), qml.sample(qml.X(0)), qml.counts(wires=[0]), qml.var(qml.Z(1))],
    "shadows": lambda: [qml.shadow_expval([qml.Z(0), qml.X(1)]), qml.classical_shadow(wires=[0, 1])],
}
SHOTS = (1, 4, (4,), (1, 3), ((2, 2), 3))


@pytest.mark.parametrize(
    ("shots", "measured"),
    [pytest.param(None, m, id=f"exactly-{n}") for n, m in EXACTLY.items()]
    + [pytest.param(s, m, id=f"{s}-{n}") for s, (n, m) in itertools.product(SHOTS, WITH_SHOTS.items())],
)
def test_nesting_of_every_length(shots: Any, measured: Any, make: Any) -> None:
    for broadcast, tapes in itertools.product((None, 1, 2), (None, 1, 2)):
        x = 0.3 if broadcast is None else np.linspace(0, 1, broadcast)
        tape = Script([qml.RX(x, 0), qml.CNOT([0, 2])], measured(), shots=shots)
        got, wanted = (nesting(device, tape, tapes) for device in (make(3), reference(3)))
        if broadcast == 1 and shots is not None:  # default.qubit drops this axis from some; the tape says to keep it
            got, wanted = without_ones(got), without_ones(wanted)
        assert got == wanted, (broadcast, tapes)


def nesting(device: Any, tape: Any, tapes: int | None) -> Any:
    """The form of what a device returns for a tape, or for a batch of so many."""
    inner, join = device.preprocess()[0]((tape,))
    if len(inner) == 1:
        return form(device.execute(inner[0] if tapes is None else list(inner) * tapes))
    result = form(join(device.execute(inner))[0])  # expanded, so that there is no tape to be executed alone
    return result if tapes is None else (result,) * tapes


def without_ones(nested: Any) -> Any:
    return tuple(without_ones(v) for v in nested if v != 1) if isinstance(nested, tuple) else nested


@pytest.mark.parametrize("trainable", [[0], [0, 1]])
@pytest.mark.parametrize("measured", [1, 2])
@pytest.mark.parametrize("tapes", [None, 1, 2])
def test_nesting_of_derivatives(trainable: list[int], measured: int, tapes: int | None, make: Any) -> None:
    ops, observables = [qml.RX(0.3, 0), qml.RY(0.2, 1)], [qml.expval(qml.Z(0)), qml.expval(qml.X(1))]
    tape = Script(ops, observables[:measured], trainable_params=trainable)
    batch = tape if tapes is None else [tape] * tapes
    cotangents, tangents = ((1.0,) * n if n > 1 else 1.0 for n in (measured, len(trainable)))
    if len(trainable) == 1:
        tangents = (1.0,)
    pairs = {
        "compute_derivatives": (),
        "execute_and_compute_derivatives": (),
        "compute_vjp": (cotangents if tapes is None else [cotangents] * tapes,),
        "compute_jvp": (tangents if tapes is None else [tangents] * tapes,),
    }
    for method, arguments in pairs.items():
        got, wanted = (form(getattr(d, method)(batch, *arguments, ADJOINT)) for d in (make(2), reference(2)))
        assert got == wanted, method


@pytest.mark.parametrize("shots", [None, (None,), 0, -1, "many"])
def test_shots_that_are_none_or_nonsense(shots: Any, make: Any) -> None:
    if shots is None:
        assert make(1).shots == reference(1).shots and make(1, shots=None).shots.total_shots is None
        return
    with pytest.raises(ValueError, match="Shots must be"):
        run(make(1), qml.X(0), qml.probs(), shots=shots)


# snapshots


@pytest.mark.parametrize("wires", [None, 3, ["a", "b", "c"]])
@pytest.mark.parametrize("shots", [None, 200])
def test_snapshots(wires: Any, shots: Any, make: Any) -> None:
    a, b, c = wires if isinstance(wires, list) else range(3)

    def circuit(x: Any) -> Any:
        qml.Snapshot()
        qml.RX(x, a)
        qml.Snapshot("state", measurement=qml.state())
        qml.CNOT([a, b])
        qml.Snapshot(measurement=qml.expval(qml.Z(a) @ qml.Z(b)), **({"shots": None} if shots else {}))
        qml.CNOT([b, c])
        qml.Snapshot("counts", measurement=qml.counts(wires=[c]), shots=50)
        return qml.probs(wires=[c])

    got, wanted = [], []
    for device, out in ((make(wires), got), (reference(wires), wanted)):
        with qml.Tracker(device) as tracker:
            out.append(qml.snapshots(qml.set_shots(qml.QNode(circuit, device), shots))(np.pi))
        out.append((tracker.totals["simulations"], tracker.totals["executions"]))
    assert list(got[0]) == list(wanted[0])
    assert got[1] == wanted[1] == (1, 1)  # one run, however many snapshots
    assert got[0].pop("counts") == wanted[0].pop("counts") == {"1": 50}
    assert_same(list(got[0].values()), list(wanted[0].values()))
