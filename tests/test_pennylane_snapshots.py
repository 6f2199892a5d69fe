"""`qml.snapshots` on the device: the dictionary that default.qubit gives, at the cost of one run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")

from pennylane import numpy as pnp  # noqa: E402
from pennylane_cases import IGNORED, assert_same, device_maker, reference  # noqa: E402

from ketgrad.model import Model  # noqa: E402

pytestmark = IGNORED


@pytest.fixture
def make(backend: str) -> Any:
    return device_maker(backend)


def same_snapshots(circuit: Any, make: Any, *args: Any, shots: Any = None, **options: Any) -> dict[Any, Any]:
    """Compare all results, in their order, and give those of the device."""
    got, wanted = (
        qml.snapshots(qml.set_shots(qml.QNode(circuit, d, **options), shots))(*args) for d in (make(3), reference(3))
    )
    assert list(got) == list(wanted)
    for key in wanted:
        assert_same(got[key], wanted[key], 1e-10)
    return got  # type: ignore[no-any-return]


def layered(x: Any) -> Any:
    qml.Snapshot()
    qml.RX(x, 0)
    qml.RY(2 * x, 1)
    qml.Snapshot("probabilities", measurement=qml.probs(wires=[1, 0]))
    qml.CRX(x, [0, 2])
    qml.Snapshot()
    qml.Snapshot("twice", measurement=qml.expval(qml.Y(0) @ qml.Z(1) + 0.5 * qml.X(2)))
    qml.IsingXX(x, [1, 2])
    qml.Snapshot("twice", measurement=qml.var(qml.X(1)))
    qml.Snapshot(measurement=qml.density_matrix([2, 0]))
    qml.Snapshot("entropy", measurement=qml.vn_entropy(wires=[1]))
    return qml.expval(qml.Z(2))


def after_gates(x: Any) -> Any:
    qml.BasisState(np.array([1, 0, 1]), wires=range(3))
    qml.Snapshot()
    qml.QFT(wires=range(3))
    qml.Snapshot("state")
    qml.RX(x, 0)
    return qml.probs(wires=[0]), qml.expval(qml.Z(1))


@pytest.mark.parametrize("circuit", [layered, after_gates])
@pytest.mark.parametrize("x", [0.4, np.array([0.4, 1.1])], ids=["one", "batch"])
def test_snapshots_are_exact(circuit: Any, x: Any, make: Any) -> None:
    same_snapshots(circuit, make, x)


def test_a_prepared_state(make: Any) -> None:
    def circuit() -> Any:
        qml.StatePrep(np.array([0.6, 0.8j]), wires=1)
        qml.Snapshot("start")
        qml.CNOT([1, 0])
        qml.Snapshot("end")
        qml.RX(0.2, 2)
        return qml.state()

    same_snapshots(circuit, make)


def test_shots(make: Any) -> None:
    def circuit() -> Any:
        qml.X(0)
        qml.Snapshot("counts", measurement=qml.counts(wires=[0, 1]))
        qml.Snapshot("samples", measurement=qml.sample(wires=[0]), shots=4)
        qml.H(1)
        qml.Snapshot("exact", measurement=qml.probs(wires=[1]), shots=None)
        qml.Snapshot("estimate", measurement=qml.probs(wires=[1]))
        return qml.counts(wires=[0])

    got = qml.snapshots(qml.set_shots(qml.QNode(circuit, make(2)), 1000))()
    assert got["counts"] == {"10": 1000} and got["execution_results"] == {"1": 1000}
    assert_same(got["samples"], np.ones((4, 1)))
    assert_same(got["exact"], np.array([0.5, 0.5]))
    assert_same(got["estimate"], np.array([0.5, 0.5]), 0.1)
    assert got["estimate"][0] != 0.5  # of this seed


def test_the_cost_is_that_of_one_run_and_snapshots_none_without_a_debugger(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates: list[int] = []
    real = Model.state
    monkeypatch.setattr(Model, "state", lambda self, *a, **k: gates.append(len(self.circuit)) or real(self, *a, **k))

    def circuit(x: Any) -> Any:
        for _ in range(10):
            qml.RX(x, 0)
            qml.Snapshot(measurement=qml.expval(qml.Z(0)))
        return qml.expval(qml.Z(0))

    node = qml.QNode(circuit, make(1))
    found = qml.snapshots(node)(0.1)
    assert_same([found[k] for k in range(10)], list(np.cos(0.1 * np.arange(1, 11))))
    assert gates == [1] * 10
    gates.clear()
    assert_same(node(0.1), np.cos(1.0))
    assert not gates
    assert_same(qml.grad(node)(pnp.array(0.1, requires_grad=True)), -10 * np.sin(1.0))


def test_gradients_of_what_is_executed(make: Any) -> None:
    torch = pytest.importorskip("torch")

    def circuit(x: Any) -> Any:
        qml.RX(x, 0)
        qml.Snapshot("half", measurement=qml.expval(qml.Z(0)))
        qml.RX(x, 0)
        return qml.expval(qml.Z(0))

    x = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    found = qml.snapshots(qml.QNode(circuit, make(1)))(x)
    found["execution_results"].backward()
    assert_same(x.grad.numpy(), -2 * np.sin(0.6))
    assert_same(found["half"], np.cos(0.3))
    y = pnp.array(0.3, requires_grad=True)
    eager = qml.QNode(circuit, make(1), grad_on_execution=True, diff_method="adjoint")
    assert_same(qml.grad(lambda y: qml.snapshots(eager)(y)["execution_results"])(y), -2 * np.sin(0.6))


# with measurements in the middle


def branching(x: Any, postselect: Any = None) -> Any:
    qml.RX(x, 0)
    qml.Snapshot("before", measurement=qml.probs(wires=[0]), shots=None)
    m = qml.measure(0, reset=True, postselect=postselect)
    qml.cond(m, qml.RY)(0.4, 1)
    qml.Snapshot("after", measurement=qml.probs(wires=[1]), shots=None)
    qml.CRX(0.3, [1, 0])
    n = qml.measure(1)
    qml.cond(n, qml.X)(2)
    qml.Snapshot(measurement=qml.expval(qml.Z(2)), shots=None)
    return qml.probs(wires=[0])


@pytest.mark.parametrize("postselect", [None, 1])
def test_a_tree_has_a_snapshot_for_each_branch(postselect: Any, make: Any) -> None:
    found = same_snapshots(branching, make, 1.0, postselect, mcm_method="tree-traversal")
    assert [len(found[k]) for k in ("before", "after")] == [1, 2 if postselect is None else 1]


@pytest.mark.parametrize("postselect", [None, 1])
def test_deferred_measurements_have_one(postselect: Any, make: Any) -> None:
    def circuit(x: Any) -> Any:
        qml.RX(x, 0)
        m = qml.measure(0, postselect=postselect)
        qml.cond(m, qml.RY)(0.4, 1)
        qml.Snapshot("after", measurement=qml.probs(wires=[1]))
        qml.CNOT([1, 2])
        return qml.expval(qml.Z(1))

    same_snapshots(circuit, make, 1.0, mcm_method="deferred")


def test_one_shot_has_a_snapshot_for_each_shot(make: Any) -> None:
    node = qml.QNode(branching, make(3), mcm_method="one-shot")
    found = qml.snapshots(qml.set_shots(node, 300))(1.0)
    tree = qml.snapshots(qml.QNode(branching, reference(3), mcm_method="tree-traversal"))(1.0)
    assert_same(found["before"], tree["before"] * 300)
    ones = sum(bool(np.allclose(p, tree["after"][1])) for p in found["after"])
    assert len(found["after"]) == 300 and abs(ones / 300 - np.sin(0.5) ** 2) < 0.1
    assert all(np.allclose(p, tree["after"][0]) or np.allclose(p, tree["after"][1]) for p in found["after"])
    single = qml.snapshots(qml.set_shots(node, 1))(1.0)
    assert_same(single["before"], tree["before"][0])
    discarded = qml.snapshots(qml.set_shots(node, 300))(1.0, 1)
    assert len(discarded["after"]) == 300  # postselection does not apply to snapshots
    assert_same(np.sum(discarded["execution_results"]), 1.0)
