"""Measurements in the middle of a circuit with shots: distributions, forms of results, gradients and refusals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

qml = pytest.importorskip("pennylane")

from pennylane import numpy as pnp  # noqa: E402
from pennylane.exceptions import DeviceError, QuantumFunctionError  # noqa: E402
from pennylane_cases import IGNORED, assert_same, device_maker, reference  # noqa: E402
from pennylane_mcm_cases import X, everything, moving  # noqa: E402

import ketgrad.pennylane_device.dynamic as dynamic_module  # noqa: E402
from ketgrad.errors import NotDifferentiableError  # noqa: E402
from ketgrad.model import Model  # noqa: E402

pytestmark = IGNORED
SHOT_METHODS = ("deferred", "one-shot", "tree-traversal")


@pytest.fixture
def make(backend: str) -> Any:
    return device_maker(backend)


def pooled(counts: Any, probabilities: Any) -> float:
    """Chi-square of counts against probabilities, less its mean, in standard deviations."""
    expected = np.sum(counts) * np.asarray(probabilities)
    large = expected > 5
    rest = (np.sum(counts[~large]), np.sum(expected[~large]))
    c, e = np.append(counts[large], rest[0]), np.append(expected[large], rest[1])
    c, e = c[e > 1e-9], e[e > 1e-9]
    freedom = max(1, len(e) - 1)
    return float((np.sum((c - e) ** 2 / e) - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize("method", SHOT_METHODS)
@pytest.mark.parametrize("postselect, mode", [(None, None), (1, "hw-like"), (1, "fill-shots"), (0, None)])
def test_samples_have_the_right_distribution(method: str, postselect: Any, mode: Any, make: Any) -> None:
    def circuit(wires: Any, exact: bool) -> Any:
        a, b = moving(X + 0.5, postselect, reset=True)
        c = qml.measure(2)
        return qml.probs(op=[a, b, c]) if exact else (qml.sample([a, b, c]), qml.counts(wires=wires))

    shots, wires = 20_000, [1, 2]
    exact = qml.QNode(circuit, reference(None), mcm_method="deferred")(wires, True)
    node = qml.QNode(circuit, make(None), mcm_method=method, postselect_mode=mode)
    values, counts = qml.set_shots(node, shots)(wires, False)
    assert pooled(np.bincount(values @ [4, 2, 1], minlength=8), exact) < 5
    assert len(values) == sum(counts.values())
    kept = shots if mode == "fill-shots" or postselect is None else None
    assert len(values) == kept if kept else 0 < len(values) < shots

    def ends() -> Any:
        moving(X + 0.5, postselect, reset=True)
        qml.measure(2)
        return qml.probs(wires=wires)

    outcome = np.array([counts.get(f"{k:02b}", 0) for k in range(4)])
    assert pooled(outcome, qml.QNode(ends, reference(None), mcm_method="deferred")()) < 5


@pytest.mark.parametrize("method", SHOT_METHODS)
def test_estimates_are_unbiased(method: str, make: Any) -> None:
    shots = 100_000
    got = qml.set_shots(qml.QNode(everything, make(None), mcm_method=method), shots)(X + 0.4, 1)
    wanted = qml.QNode(everything, reference(None), mcm_method="deferred")(X + 0.4, 1)
    assert_same(got, wanted, 0.04)
    bins = qml.set_shots(qml.QNode(everything, make(None), mcm_method=method), [shots // 2] * 2)(X + 0.4)
    assert_same(bins, (qml.QNode(everything, reference(None), mcm_method="deferred")(X + 0.4),) * 2, 0.04)


@pytest.mark.parametrize("mode", ["hw-like", "fill-shots"])
def test_many_branches_go_in_pieces(mode: str, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamic_module, "CHUNK_BYTES", 2 * 16 * 8)

    def circuit(exact: bool) -> Any:
        values = moving(X + 0.5) + moving(X - 0.2, 1)
        return qml.probs(op=values) if exact else qml.sample(values)

    node = qml.QNode(circuit, make(3), mcm_method="tree-traversal", postselect_mode=mode)
    samples = qml.set_shots(node, 5000)(False)
    wanted = qml.QNode(circuit, reference(None), mcm_method="deferred")(True)
    assert pooled(np.bincount(samples @ [8, 4, 2, 1], minlength=16), wanted) < 5
    assert len(samples) == 5000 if mode == "fill-shots" else 0 < len(samples) < 5000


MEASURED = {
    "sample list": lambda a, b: qml.sample([a, b]),
    "sample": lambda a, b: qml.sample(a),
    "counts list": lambda a, b: qml.counts([a, b]),
    "counts": lambda a, b: qml.counts(a),
    "counts sum": lambda a, b: qml.counts(a + 2 * b),
    "counts all": lambda a, b: qml.counts(a, all_outcomes=True),
    "counts list all": lambda a, b: qml.counts([a, b], all_outcomes=True),
    "expval": lambda a, b: qml.expval(a - b),
    "var": lambda a, b: qml.var(a - b),
    "probs list": lambda a, b: qml.probs(op=[a, b]),
    "probs": lambda a, b: qml.probs(op=b),
    "sample wires": lambda a, b: qml.sample(wires=[1, 0]),
    "sample one": lambda a, b: qml.sample(wires=[1]),
    "sample observable": lambda a, b: qml.sample(qml.Z(0) @ qml.X(1)),
    "counts wires": lambda a, b: qml.counts(wires=[0]),
    "probs wires": lambda a, b: qml.probs(wires=[1, 0]),
    "expval sum": lambda a, b: qml.expval(qml.Z(0) + 0.5 * qml.Z(1) - 2 * qml.I(0)),
    "expval matrix": lambda a, b: qml.expval(qml.Hermitian(np.diag([1.0, 3]), 1)),
    "var observable": lambda a, b: qml.var(qml.Z(1)),
}


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("shots", [3, [2, 3], 1])
@pytest.mark.parametrize("postselect", [None, 1])
def test_the_form_of_results(name: str, shots: Any, postselect: Any, make: Any) -> None:
    """All outcomes are certain here, so that results agree to the last key."""

    def circuit() -> Any:
        qml.X(0)
        a = qml.measure(0, postselect=postselect)
        qml.cond(a, qml.X)(1)
        b = qml.measure(1, reset=True)
        return MEASURED[name](a, b)

    for method in ("one-shot", "tree-traversal"):
        got, wanted = (
            qml.set_shots(qml.QNode(circuit, d, mcm_method=method), shots)() for d in (make(2), reference(2))
        )
        for mine, theirs in zip(*((r if isinstance(r, tuple) else (r,)) for r in (got, wanted)), strict=True):
            if isinstance(theirs, dict):
                assert {str(k): v for k, v in mine.items()} == {str(k): v for k, v in theirs.items()}
            elif "sample observable" not in name:
                assert_same(np.reshape(mine, np.shape(theirs)) if shots != 3 else mine, theirs)
            else:
                assert np.shape(mine) == np.shape(theirs)


def test_no_shots_left(make: Any) -> None:
    def circuit() -> Any:
        m = qml.measure(0, postselect=1)
        return qml.expval(qml.Z(0)), qml.probs(wires=[0, 1]), qml.sample(m), qml.counts(wires=[1])

    value, probabilities, sample, counts = qml.set_shots(qml.QNode(circuit, make(None), mcm_method="one-shot"), 5)()
    assert np.isnan(value) and np.isnan(probabilities).all() and np.isnan(sample) and np.isnan(counts)
    value, probabilities, sample, counts = qml.set_shots(qml.QNode(circuit, make(None), mcm_method="deferred"), 5)()
    assert np.isnan(value) and np.isnan(probabilities).all() and sample.shape == (0,) and counts == {}
    with pytest.raises(DeviceError, match="probability of what is postselected is 0"):
        qml.set_shots(qml.QNode(circuit, make(2), postselect_mode="fill-shots"), 5)()


def test_a_shot_costs_nothing_by_itself(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = Model.state
    monkeypatch.setattr(Model, "state", lambda self, *a, **k: calls.append(1) or real(self, *a, **k))
    node = qml.QNode(everything, make(None))
    numbers = []
    for shots in (100, 1_000_000):
        calls.clear()
        qml.set_shots(node, shots)(X)
        numbers.append(len(calls))
    assert 0 < numbers[0] <= numbers[1] <= 12  # a rare branch may be missing


def test_jax_has_samples_of_fixed_shape(make: Any) -> None:
    jax = pytest.importorskip("jax")

    def circuit(x: Any) -> Any:
        qml.RX(x, 0)
        m = qml.measure(0, postselect=1)
        qml.cond(m, qml.X)(1)
        return qml.sample(wires=[0, 1]), qml.probs(wires=[1]), qml.expval(m)

    node = qml.set_shots(qml.QNode(circuit, make(2)), 40)
    for f in (node, jax.jit(node)):
        samples, probabilities, mean = f(jax.numpy.array(1.3))
        assert samples.shape == (40, 2) and mean == 1
        kept = np.asarray(samples)[np.asarray(samples)[:, 0] >= 0]
        assert 0 < len(kept) < 40 and (kept == 1).all() and (np.asarray(samples) < 0).any()
        assert_same(probabilities, np.array([0.0, 1.0]))
    nothing = node(jax.numpy.array(0.0))
    assert nothing[0].shape == (40, 2) and (np.asarray(nothing[0]) < 0).all()


# gradients with shots, and refusals


def test_gradients_with_shots(make: Any) -> None:
    def unconditional(x: Any) -> Any:
        qml.RX(x, 0)
        qml.CNOT([0, 1])
        m = qml.measure(0)
        qml.cond(m, qml.RY)(0.4, 1)
        return qml.expval(qml.Z(1))

    x = pnp.array(0.7, requires_grad=True)
    wanted = qml.grad(qml.QNode(unconditional, reference(None), mcm_method="deferred"))(x)
    for method in (None, "deferred", "tree-traversal"):
        got = qml.grad(qml.set_shots(qml.QNode(unconditional, make(None), mcm_method=method), 100_000))(x)
        assert_same(got, wanted, 0.02)


@pytest.mark.parametrize("samples", [False, True])
@pytest.mark.parametrize("interface", ["autograd", "torch"])
def test_what_has_no_shift_rule_is_refused(samples: bool, interface: str, make: Any) -> None:
    """PennyLane's own would be wrong with postselection, and differences of noise for conditional gates."""
    torch = pytest.importorskip("torch")
    x = pnp.array(0.7, requires_grad=True) if interface == "autograd" else torch.tensor(0.7, requires_grad=True)

    def circuit(x: Any, postselect: Any) -> Any:
        qml.RX(x, 0)
        m = qml.measure(0, postselect=postselect)
        qml.cond(m, qml.RY)(x if postselect is None else 0.3, 1)
        return (qml.expval(qml.Z(1)), *([qml.sample(wires=[1])] if samples else []))

    for postselect, method in itertools.product((None, 1), ("one-shot", "deferred")):
        if postselect is None and method == "deferred":
            continue
        node = qml.set_shots(qml.QNode(circuit, make(None), mcm_method=method), 50)
        results = node(x, postselect)
        assert abs(qml.math.toarray(results[0])) <= 1
        with pytest.raises(DeviceError, match="there is no gradient through postselection"):
            if interface == "autograd":
                qml.grad(lambda x, n=node, p=postselect: n(x, p)[0])(x)
            else:
                results[0].backward()
    with pytest.raises(DeviceError, match="parameter-shift is wrong with postselection"):
        qml.QNode(circuit, make(None), mcm_method="deferred", diff_method="parameter-shift", max_diff=2)(x, 1)


@pytest.mark.parametrize("method", ["deferred", "tree-traversal"])
def test_second_derivatives_are_refused(method: str, make: Any) -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, requires_grad=True)
    node = qml.QNode(everything, make(None), mcm_method=method, max_diff=2)
    (first,) = torch.autograd.grad(node(x, 1)[0], x, create_graph=True)
    with pytest.raises(NotDifferentiableError, match="no second derivatives"):
        first[0].backward()


def test_the_device_has_no_jacobians_of_branches(make: Any) -> None:
    tape = qml.tape.QuantumScript([qml.RX(0.1, 0), *qml.measure(0).measurements], [qml.expval(qml.Z(0))])
    for work in (make(1).compute_derivatives, lambda t: make(1).compute_vjp([t], [1.0])):
        with pytest.raises(DeviceError, match="leave grad_on_execution and device_vjp to their defaults"):
            work(tape)


def test_refusals(make: Any) -> None:
    def state() -> Any:
        qml.measure(0)
        return qml.state()

    with pytest.raises(DeviceError, match="does not support StateMP; use mcm_method='deferred'"):
        qml.QNode(state, make(1), mcm_method="tree-traversal")()

    def shadow() -> Any:
        qml.measure(0, postselect=0)
        return qml.classical_shadow(wires=[0])

    with pytest.raises(DeviceError, match="does not support ClassicalShadowMP; use mcm_method='deferred'"):
        qml.set_shots(qml.QNode(shadow, make(1)), 10)()
    with pytest.raises(DeviceError, match="does not support ClassicalShadowMP with postselection"):
        qml.set_shots(qml.QNode(shadow, make(None), mcm_method="deferred"), 10)()
    config = qml.devices.ExecutionConfig(mcm_config=qml.devices.MCMConfig("single-branch-statistics"))
    with pytest.raises(DeviceError, match="supported are .*'deferred', 'one-shot', 'tree-traversal'"):
        make(1).setup_execution_config(config)

    with pytest.raises(QuantumFunctionError, match="does not support adjoint"):
        qml.set_shots(qml.QNode(everything, make(None), diff_method="adjoint"), 10)(X)
