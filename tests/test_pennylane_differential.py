"""Random QNodes on ketgrad.qubit, and compiled, against default.qubit: results, their form, and gradients.

KETGRAD_DRAWS sets how many are drawn (100 unless said; 10,000 for the figures of a release), KETGRAD_DRAWS_SEED which.
A draw that the reference cannot judge is left out for one of the reasons in `pennylane_judge`, and few may be.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import stats

qml = pytest.importorskip("pennylane")

from pennylane_cases import IGNORED  # noqa: E402
from pennylane_judge import EVALUATE, FRAMEWORKS, INTERFACES, METHODS, Judge, Run, fit  # noqa: E402
from pennylane_random import Recipe, of_matrix, word  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.pennylane_device import KetgradQubit  # noqa: E402

DRAWS = int(os.environ.get("KETGRAD_DRAWS", "100"))
FIRST_SEED = int(os.environ.get("KETGRAD_DRAWS_SEED", "0"))
CHUNK = 75  # draws of one test
SEEDS = st.integers(0, 2**32 - 1)

pytestmark = [
    *IGNORED,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:Output seems independent of input"),
]


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    """JAX with float64, and without what it compiled for these tests."""
    if "jax" not in FRAMEWORKS:
        yield
        return
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)
    jax.clear_caches()


@st.composite
def draws(draw: st.DrawFn) -> tuple[Run, Recipe]:
    interface = draw(st.sampled_from(INTERFACES))
    method = draw(st.sampled_from((None, "best") if interface == "numpy" else METHODS))
    option = draw(st.sampled_from((None, None, None, "grad_on_execution", "device_vjp")))
    gates, measured = draw(st.lists(SEEDS, max_size=12)), draw(st.lists(SEEDS, min_size=1, max_size=3))
    return fit(Run(interface, method, option), draw(SEEDS), tuple(gates), tuple(measured))


def repeat(check: Callable[[Run, Recipe], None], chunk: tuple[int, int]) -> None:
    """Check as many draws as a chunk has; a failure tells the draw, which its `Run` and `Recipe` reproduce."""

    @hypothesis.seed(FIRST_SEED + chunk[0])
    @hypothesis.settings(max_examples=chunk[1], suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(draws())
    def one(drawn: tuple[Run, Recipe]) -> None:
        try:
            check(*drawn)
        except Exception as error:
            error.add_note(f"{drawn[0]}\n{drawn[1].program()}")
            raise

    one()


def chunks(count: int) -> list[tuple[int, int]]:
    """(seed, draws) of each test."""
    return [(k, min(CHUNK, count - k)) for k in range(0, count, CHUNK)]


def share(chunk: tuple[int, int], backend: str) -> tuple[int, int]:
    """Fewer draws on any but the native backend: what differs is far below."""
    return chunk[0], chunk[1] if backend == "native" else max(1, chunk[1] // 3)


@pytest.mark.parametrize("chunk", chunks(DRAWS))
def test_qnodes_agree_with_default_qubit(chunk: tuple[int, int], backend: str) -> None:
    judge = Judge()

    def check(run: Run, recipe: Recipe) -> None:
        judge.compare(run, recipe, KetgradQubit(recipe.wires, backend=backend), 1e-9)

    repeat(check, share(chunk, backend))
    judge.report()


@pytest.mark.parametrize("chunk", chunks(max(1, DRAWS // 4)))
def test_qnodes_in_single_precision(chunk: tuple[int, int], backend: str) -> None:
    judge = Judge()

    def check(run: Run, recipe: Recipe) -> None:
        if run.method == "parameter-shift":  # PennyLane's may fall back to differences, too small for single precision
            run = replace(run, method="best")
        judge.compare(run, recipe, KetgradQubit(recipe.wires, c_dtype="complex64", backend=backend), 1e-4)

    repeat(check, share(chunk, backend))
    judge.report()


@pytest.mark.parametrize("seed", range(6))
def test_shifts_of_variances(seed: int, backend: str) -> None:
    """PennyLane's own rule is wrong for sums with more than Pauli words, so the device has one."""
    recipe = next(r for r in unbatched(99, 100 * seed) if r.trained[0])

    def circuit(w: Any) -> Any:
        scope, rng = recipe.queue(w, *recipe.arguments[1:]), np.random.default_rng(seed)
        for k, wire in enumerate(scope.labels):
            qml.RX(w[k % 4], wire)
        with qml.QueuingManager.stop_recording():
            total = qml.dot([0.5, -1.0, 2.0], [word(rng, scope), word(rng, scope), qml.Hadamard(scope.labels[0])])
        return qml.var(total)

    w = qml.numpy.array(recipe.arguments[0], requires_grad=True)
    device = KetgradQubit(recipe.wires, backend=backend)
    shifted, swept = (qml.grad(qml.QNode(circuit, device, diff_method=m))(w) for m in ("parameter-shift", "adjoint"))
    assert np.allclose(shifted, swept, rtol=0, atol=1e-9)


def fails(function: Callable[..., Any], *arguments: Any) -> bool:
    try:
        function(*arguments)
    except Exception:
        return True
    return False


@pytest.mark.filterwarnings("ignore:kg.compile:UserWarning")
@pytest.mark.parametrize("chunk", chunks(max(1, DRAWS // 3)))
def test_compiled_qnodes(chunk: tuple[int, int], backend: str) -> None:
    judge = Judge()

    def check(run: Run, recipe: Recipe) -> None:
        judge.counts["draws"] += 1
        node = qml.QNode(recipe.function, KetgradQubit(recipe.wires, backend=backend))
        compiled = kg.compile(node, *recipe.arguments, backend=backend)
        judge.counts["traced"] += compiled.traced
        for arguments in (recipe.arguments, recipe.fresh()):
            try:
                got = EVALUATE[run.interface](compiled, recipe, arguments)
            except Exception:
                if not fails(EVALUATE[run.interface], node, recipe, arguments):
                    raise
                judge.counts["excluded: the QNode refuses too"] += 1
            else:
                judge.against_reference(Run(run.interface), recipe, arguments, got, 1e-9)

    repeat(check, share(chunk, backend))
    judge.report()
    assert judge.counts["traced"] > 0.2 * judge.counts["draws"]


# with shots: a p-value for each draw, all of which together must be uniform


def unbatched(count: int, first: int) -> list[Recipe]:
    """Circuits of known seeds without batches, prepared states and mid-circuit measurements."""
    out: list[Recipe] = []
    for seed in itertools.count(1000 * FIRST_SEED + first):
        if len(out) == count:
            return out
        rng = np.random.default_rng(seed)
        recipe = Recipe(int(rng.integers(1 << 32)), tuple(int(v) for v in rng.integers(0, 1 << 32, 6)), (), "shifts")
        if recipe.batch is None and recipe.prepared is None and not recipe.collapses:
            out.append(recipe)
    return out


def chi_square(counts: Any, expected: Any) -> float | None:
    """The p-value of counts; outcomes that are too rare for the statistic are taken together."""
    order = np.argsort(expected)
    rare = order[: int(np.searchsorted(np.cumsum(np.sort(expected)), 10.0, side="right"))]
    assert not np.any(counts[expected < 1e-9])
    kept = np.setdiff1d(order, rare)
    observed = np.append(counts[kept], counts[rare].sum())
    wanted = np.append(expected[kept], expected[rare].sum())
    observed, wanted = observed[wanted > 1e-9], wanted[wanted > 1e-9]
    if len(wanted) < 2 or wanted.min() < 5:
        return None
    return float(stats.chi2.sf(((observed - wanted) ** 2 / wanted).sum(), len(wanted) - 1))


def t_test(samples: Any, exact: float) -> float | None:
    """The p-value of independent estimates of a number; None where they hardly spread, so that no test is fair."""
    spread = np.std(samples, ddof=1) / np.sqrt(len(samples))
    if spread < 0.003:
        assert abs(np.mean(samples) - exact) < 0.05
        return None
    return float(2 * stats.t.sf(abs(np.mean(samples) - exact) / spread, len(samples) - 1))


def assert_uniform(found: list[float | None]) -> None:
    values = [p for p in found if p is not None]
    assert len(values) >= len(found) // 4
    assert stats.kstest(values, "uniform").pvalue > 1e-6
    assert stats.combine_pvalues(values).pvalue > 1e-6


def test_shots_follow_the_exact_distribution(backend: str) -> None:
    found: list[float | None] = []
    shots, parts = 4000, 40
    for k, recipe in enumerate(unbatched(max(8, DRAWS // 4), 1)):

        def circuit(careful: bool, recipe: Recipe = recipe) -> Any:
            scope, rng = recipe.queue(*recipe.arguments), np.random.default_rng(recipe.seed)
            with qml.QueuingManager.stop_recording():
                wires, words = scope.some(rng, 3), [word(rng, scope) for _ in range(3)]
                total = qml.expval(qml.dot([0.5, -1.0, 2.0], words))
                out = qml.probs(wires=wires), qml.probs(op=words[0]), of_matrix(total) if careful else total
                out += qml.expval(words[1]), qml.var(words[2])
            return tuple(measurement.queue() for measurement in out)

        def counted(recipe: Recipe = recipe) -> Any:
            scope, rng = recipe.queue(*recipe.arguments), np.random.default_rng(recipe.seed)
            return qml.counts(wires=scope.some(rng, 3), all_outcomes=True)

        exact = qml.QNode(circuit, qml.device("default.qubit", wires=recipe.wires))(True)
        device = KetgradQubit(recipe.wires, seed=k, backend=backend)
        drawn = qml.set_shots(qml.QNode(circuit, device), [(shots // parts, parts)])(False)
        for m in (0, 1):
            found.append(chi_square(sum(d[m] for d in drawn) * (shots // parts), exact[m] * shots))
        for m, bias in ((2, 1.0), (3, 1.0), (4, 1 - parts / shots)):  # a sample's variance is too small by one shot
            found.append(t_test([float(d[m]) for d in drawn], bias * float(exact[m])))
        counts = qml.set_shots(qml.QNode(counted, device), shots)()
        found.append(chi_square(np.array([counts[key] for key in sorted(counts)]), exact[0] * shots))
    assert_uniform(found)


def test_gradients_with_shots_are_unbiased(backend: str) -> None:
    found: list[float | None] = []
    for k, recipe in enumerate(unbatched(max(6, DRAWS // 12), 5001)):

        def circuit(w: Any, recipe: Recipe = recipe) -> Any:
            scope, rng = recipe.queue(w, *recipe.arguments[1:]), np.random.default_rng(recipe.seed)
            with qml.QueuingManager.stop_recording():
                total = qml.expval(qml.dot([0.5, -1.0, 2.0], [word(rng, scope) for _ in range(3)]))
            return total.queue()

        def gradient(device: Any, shots: int | None, recipe: Recipe = recipe, circuit: Any = circuit) -> Any:
            w = qml.numpy.array(recipe.arguments[0], requires_grad=True)
            return qml.grad(qml.set_shots(qml.QNode(circuit, device), shots))(w)

        device = KetgradQubit(recipe.wires, seed=k, backend=backend)
        if fails(gradient, device, 60) and fails(gradient, qml.device("default.qubit", wires=recipe.wires), 60):
            continue  # PennyLane has no rule for some gates beside a state that is prepared late
        exact, drawn = gradient(device, None), np.array([gradient(device, 60) for _ in range(24)])
        found += [t_test(drawn[:, i], exact[i]) for i in range(len(exact))]
    assert_uniform(found)
