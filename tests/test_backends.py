"""Which backend runs, what both refuse in the same words, and what memory they ask for."""

from __future__ import annotations

import io
import json
import os
import time

import numpy as np
import pytest
from conftest import BACKENDS, NATIVE, Precision
from subprocesses import run

import ketgrad as kg
from ketgrad import backends, memory
from ketgrad.errors import (
    ArgumentError,
    ArgumentTypeError,
    BackendUnavailableError,
    KetgradError,
    OutOfMemoryError,
    ParameterError,
)

ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "ketgrad._core":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""

BROKEN = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "ketgrad._core":
            raise ImportError("undefined symbol: _ZN7ketgrad", name=name)
sys.meta_path.insert(0, Broken())
"""

USE = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import ketgrad as kg
    circuit = kg.Circuit(1).x(0)
    values = [float(kg.compile(circuit, kg.Z(0))()[0]) for _ in range(3)]
    name = kg.backend_info()["backend"]
print(json.dumps([name, values, [(w.category.__name__, str(w.message)) for w in caught]]))
"""


# the choice


def test_an_absent_core_falls_back_and_says_so_once():
    name, values, warned = json.loads(run(ABSENT + USE).stdout)
    assert name == "numba" and values == [-1.0] * 3
    assert [category for category, _ in warned] == ["FallbackWarning"]
    assert "Numba" in warned[0][1] and "compiler" in warned[0][1] and "KETGRAD_SILENCE_FALLBACK" in warned[0][1]


def test_the_warning_can_be_silenced_and_a_chosen_backend_does_not_warn():
    for variables in ({"KETGRAD_SILENCE_FALLBACK": "1"}, {"KETGRAD_BACKEND": "numba"}):
        name, values, warned = json.loads(run(ABSENT + USE, **variables).stdout)
        assert (name, values, warned) == ("numba", [-1.0] * 3, [])


@pytest.mark.parametrize("variables", [{"KETGRAD_REQUIRE_NATIVE": "1"}, {"KETGRAD_BACKEND": "native"}])
def test_an_absent_core_that_is_required_is_an_error(variables):
    done = run(ABSENT + USE, check=False, **variables)
    assert done.returncode == 1
    assert "BackendUnavailableError" in done.stderr and "KETGRAD_BACKEND=numba" in done.stderr


def test_a_broken_core_raises_whatever_is_set():
    for variables in ({}, {"KETGRAD_SILENCE_FALLBACK": "1"}, {"KETGRAD_REQUIRE_NATIVE": "1"}):
        done = run(BROKEN + USE, check=False, **variables)
        assert done.returncode == 1 and "undefined symbol" in done.stderr, done.stdout


def test_a_broken_core_does_not_keep_numba_from_being_chosen():
    assert json.loads(run(BROKEN + USE, KETGRAD_BACKEND="numba").stdout)[0] == "numba"


def test_import_works_without_a_core_and_with_a_broken_one():
    for blocker in (ABSENT, BROKEN):
        run(blocker + "import ketgrad; ketgrad.Circuit(1).h(0)")


def test_environment_chooses(backend):
    assert json.loads(run(USE, KETGRAD_BACKEND=backend).stdout)[0] == backend


@pytest.mark.skipif(not NATIVE, reason="needs the native core")
def test_native_is_the_default_without_a_warning():
    assert json.loads(run(USE).stdout) == ["native", [-1.0] * 3, []]


def test_unknown_backends_are_named_with_a_suggestion():
    with pytest.raises(ArgumentError, match="Did you mean 'numba'"):
        kg.compile(kg.Circuit(1), backend="nunba")
    done = run(USE, check=False, KETGRAD_BACKEND="natve")
    assert "Did you mean 'native'" in done.stderr


def test_backend_info(backend):
    info = kg.backend_info(backend)
    assert info["backend"] == backend and 1 <= info["threads"] <= 256
    assert kg.compile(kg.Circuit(1), backend=backend).backend == backend
    if backend == "native":
        assert info["instruction_set"] in info["available_instruction_sets"]


@pytest.mark.skipif("native" not in BACKENDS, reason="needs the native core")
def test_the_environment_chooses_an_instruction_set():
    script = "import ketgrad; print(ketgrad.backend_info('native')['instruction_set'])"
    assert run(script, KETGRAD_ISA="baseline").stdout.strip() == "baseline"
    done = run(script, check=False, KETGRAD_ISA="sse9")
    assert done.returncode == 1 and "sse9" in done.stderr and "baseline" in done.stderr
    assert run("import ketgrad", KETGRAD_ISA="sse9").returncode == 0  # the mistake shows where a backend is used


def test_import_is_light():
    """No optional package, no numba, no compiler: only numpy."""
    heavy = "numba torch jax pennylane sklearn matplotlib scipy pandas tqdm llvmlite ketgrad._core".split()
    out = run(f"import sys, ketgrad; print([m for m in {heavy} if m in sys.modules])").stdout
    assert out.strip() == "[]"


@pytest.mark.skipif("native" not in BACKENDS, reason="needs the native core")
def test_the_native_backend_never_imports_numba():
    script = USE + "\nimport sys; assert 'numba' not in sys.modules"
    run(script, KETGRAD_BACKEND="native")


# threads


def test_numbers_of_threads(backend, threads):
    for count in (1, 2, np.int64(3), 256):
        kg.set_num_threads(count)
        assert kg.backend_info(backend)["threads"] == count


@pytest.mark.parametrize(
    ("count", "error"),
    [(0, ArgumentError), (-1, ArgumentError), (257, ArgumentError), (10**30, ArgumentError), (2.0, ArgumentTypeError),
     ("2", ArgumentTypeError), (True, ArgumentTypeError), (None, ArgumentTypeError), ([2], ArgumentTypeError)],
)  # fmt: skip
def test_numbers_of_threads_that_cannot_be(count, error, threads):
    before = backends.default_num_threads()
    with pytest.raises(error, match="threads"):
        kg.set_num_threads(count)
    assert backends.default_num_threads() == before


def test_threads_from_the_environment(backend):
    script = "import ketgrad; print(ketgrad.backend_info()['threads'])"
    for variables, wanted in (
        ({"KETGRAD_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"KETGRAD_NUM_THREADS": "2", "OMP_NUM_THREADS": "5"}, 2),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"KETGRAD_NUM_THREADS": "9999"}, 256),
    ):
        assert int(run(script, KETGRAD_BACKEND=backend, **variables).stdout) == wanted
    for junk in ("0", "-3", "many", ""):
        assert int(run(script, KETGRAD_BACKEND=backend, KETGRAD_NUM_THREADS=junk).stdout) >= 1


def test_affinity_and_set_num_threads_before_first_use(backend):
    script = "import os, ketgrad; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    show = "print(ketgrad.backend_info()['threads'])"
    assert int(run(script + show, KETGRAD_BACKEND=backend).stdout) == 1
    assert int(run(script + "ketgrad.set_num_threads(7); " + show, KETGRAD_BACKEND=backend).stdout) == 7


# the same words from every backend


def refusals(backend: str) -> dict[str, str]:
    """What each mistake at the backends' own interface is answered with."""
    circuit = kg.Circuit(3)
    w, x = circuit.weights(2), circuit.inputs(1)
    circuit.rx(w[0], 0).ry(w[1], 1).rz(x[0], 2)
    model = kg.compile(circuit, [kg.Z(0), kg.X(1)], backend=backend)
    engine, plan = backends.get_backend(backend), model._ready().plan
    good_w, good_x, states = np.zeros(2), np.zeros((4, 1)), np.zeros((4, 8), complex)
    bad = np.array([[0.0], [1.0], [np.nan], [np.inf]])
    calls = {
        "shared shape": lambda: plan.forward(np.zeros(3), good_x),
        "per-sample shape": lambda: plan.forward(good_w, np.zeros((4, 2))),
        "nan": lambda: plan.forward(good_w, bad),
        "inf": lambda: plan.pullback(np.array([0, -np.inf]), good_x, np.zeros((1, 4, 2))),
        "cotangents shape": lambda: plan.pullback(good_w, good_x, np.zeros((1, 4, 3))),
        "cotangents batch": lambda: plan.pullback(good_w, good_x, np.zeros((1, 3, 2))),
        "nan cotangents": lambda: plan.pullback(good_w, good_x, np.full((1, 4, 2), np.nan)),
        "dtype": lambda: engine.prepare(plan.program, "float64"),
        "bits repeated": lambda: engine.probabilities(states, (0, 0)),
        "bits range": lambda: engine.probabilities(states, (3,)),
        "uniforms shape": lambda: engine.sample(states, np.zeros((3, 5))),
        "uniforms nan": lambda: engine.sample(states, np.full((4, 5), np.nan)),
        "states wide": lambda: kg.compile(kg.Circuit(62), backend=backend).state(),
        "values wide": lambda: kg.compile(kg.Circuit(50), kg.Z(0), backend=backend)(),
    }
    out = {}
    for name, call in calls.items():
        with pytest.raises(KetgradError) as caught:
            call()
        out[name] = f"{type(caught.value).__name__}: {caught.value}"
    return out


def test_refusals_read_the_same_on_every_backend(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 8 << 30)
    first = refusals(BACKENDS[0])
    assert first["nan"].startswith("ParameterError") and "nan at position (2, 0)" in first["nan"]
    for other in BACKENDS[1:]:
        assert refusals(other) == first


# memory


@pytest.mark.parametrize("n", [40, 62])
def test_too_large_a_circuit_is_refused_at_once(backend, precision: Precision, n):
    circuit = kg.Circuit(n)
    w = circuit.weights(1)
    circuit.rx(w[0], 0).cx(0, n - 1)
    model = kg.compile(circuit, kg.Z(0), dtype=precision.dtype, backend=backend)
    calls = [
        lambda: model([0.1]),
        lambda: model.forward([0.1]),
        lambda: model.jacobian([0.1]),
        lambda: model.jacobian([0.1], method="parameter-shift"),
        lambda: model.state([0.1]),
        lambda: model.probabilities([0.1], wires=[0]),
        lambda: model.density_matrix([0.1], wires=[0]),
        lambda: model.variance([0.1]),
        lambda: model.sample([0.1], shots=1),
        lambda: model.counts([0.1], shots=1, wires=[0]),
        lambda: model.estimate([0.1], shots=1),
    ]
    for call in calls:
        started = time.perf_counter()
        with pytest.raises(OutOfMemoryError) as caught:
            call()
        assert time.perf_counter() - started < 0.1
        text = str(caught.value)
        size = memory.format_bytes((8 if precision.dtype == "complex64" else 16) << n)
        assert f"{n} qubits" in text and "available" in text and "Use at most" in text
        assert size in text or "2 states" in text, text
    assert isinstance(caught.value, MemoryError)


def test_the_largest_circuit_named_is_the_largest_that_is_let_through(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 30)
    for itemsize, copies in ((16, 1), (16, 2), (8, 1), (8, 3)):
        n = memory.largest_n_bits(itemsize, copies)
        memory.require_states(n, itemsize, copies)
        with pytest.raises(OutOfMemoryError, match=f"Use at most {n} qubits"):
            memory.require_states(n + 1, itemsize, copies)


def test_a_batch_counts(backend, monkeypatch):
    circuit = kg.Circuit(16)
    x = circuit.inputs(1)
    model = kg.compile(circuit.rx(x[0], 0), backend=backend)
    monkeypatch.setattr(memory, "available_bytes", lambda: 64 << 20)
    model.state(None, np.zeros((20, 1)))  # 20 MiB
    with pytest.raises(OutOfMemoryError, match="100 states"):
        model.state(None, np.zeros((100, 1)))


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.density_matrix(wires=range(14)),
        lambda m: m.sample(shots=10**9),
        lambda m: m.counts(shots=10**9, wires=[0]),
        lambda m: m.estimate(shots=10**9),
    ],
    ids=["density_matrix", "sample", "counts", "estimate"],
)
def test_large_results_are_refused_before_they_are_allocated(backend, monkeypatch, call):
    model = kg.compile(kg.Circuit(22).h(0), kg.Z(0), dtype="complex64", backend=backend)
    monkeypatch.setattr(memory, "available_bytes", lambda: 40 << 20)  # a state has 32 MiB
    with pytest.raises(OutOfMemoryError, match="available"):
        call(model)


def test_memory_limit_of_the_user(backend):
    script = f"""
    import ketgrad as kg
    def state(n): return kg.compile(kg.Circuit(n), backend="{backend}").state()
    assert state(20).size == 1 << 20
    for n in (24, 40):
        try:
            state(n)
        except kg.errors.OutOfMemoryError as error:
            print(error)
        else:
            raise SystemExit("not refused")
    """
    out = run(script, KETGRAD_MAX_MEMORY=str(64 << 20)).stdout
    assert "24 qubits in complex128 need 256.0 MiB (1 state x 2**24 x 16 B); 64.0 MiB are available" in out
    assert "Use at most 21 qubits or dtype='complex64'" in out


@pytest.mark.parametrize("text", ["lots", "-5", "nan", "inf", "1e400"])
def test_a_memory_limit_that_is_no_number_is_named(text, monkeypatch):
    monkeypatch.setenv("KETGRAD_MAX_MEMORY", text)
    with pytest.raises(ArgumentError, match="KETGRAD_MAX_MEMORY"):
        memory.available_bytes()


def test_address_space_limit(backend):
    script = f"""
    import resource, ketgrad as kg
    kg.compile(kg.Circuit(2).h(0), kg.Z(0), backend="{backend}")()
    kg.compile(kg.Circuit(20).h(0), kg.Z(0), backend="{backend}").state()
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), resource.getrlimit(resource.RLIMIT_AS)[1]))
    assert kg.compile(kg.Circuit(20).h(0), backend="{backend}").state().size == 1 << 20
    try:
        kg.compile(kg.Circuit(26), backend="{backend}").state()
    except kg.errors.OutOfMemoryError as error:
        print(error)
    """
    assert "26 qubits in complex128 need 1.0 GiB" in run(script).stdout


def test_memory_text():
    assert memory.format_bytes(268435456) == "256.0 MiB"
    assert memory.format_bytes(17) == "17 B"
    assert memory.format_bytes(16 << 62) == "64.0 EiB"
    assert memory.available_bytes() > 0


def test_limits_of_containers_are_read(monkeypatch):
    files = {
        "/proc/self/cgroup": "0::/box\n",
        "/sys/fs/cgroup/memory.max": "max\n",
        "/sys/fs/cgroup/memory.current": "5\n",
        "/sys/fs/cgroup/box/memory.max": str(3 << 20),
        "/sys/fs/cgroup/box/memory.current": str(1 << 20),
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": str(9 << 20),
        "/sys/fs/cgroup/memory/memory.usage_in_bytes": str(8 << 20),
    }

    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    monkeypatch.setattr(memory, "_read", read)
    assert memory._cgroup() == 1 << 20  # the tightest of both
    for path in list(files)[5:]:
        del files[path]
    assert memory._cgroup() == 2 << 20
    files["/sys/fs/cgroup/box/memory.stat"] = "anon 17\ninactive_file 4096\n"
    assert memory._cgroup() == (2 << 20) + 4096  # file cache is given back on demand
    files.clear()
    assert memory._cgroup() is None
    assert memory._machine() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    files["/proc/meminfo"] = "MemTotal: 9 kB\nMemAvailable:    7 kB\n"
    assert memory._machine() == 7 * 1024


def test_quota_of_processors_is_read(monkeypatch):
    for text, wanted in (("150000 100000", 2), ("max 100000", None), ("50000 100000", 1), ("nonsense", None)):
        monkeypatch.setattr("builtins.open", lambda *_, text=text: io.StringIO(text))
        assert backends._cgroup_cpus() == wanted


def test_many_calls_do_not_leak(backend):
    script = f"""
    import resource, numpy as np, ketgrad as kg
    circuit = kg.Circuit(8)
    w, x = circuit.weights(8), circuit.inputs(8)
    for q in range(8):
        circuit.rx(w[q] * x[q], q).cx(q, (q + 1) % 8)
    def once():
        model = kg.compile(circuit, [kg.Z(0), kg.X(1)], backend="{backend}")
        values, pullback = model.forward(np.ones(8), np.ones((16, 8)))
        pullback(values)
        model.state(np.ones(8), np.ones((16, 8)))
        model.sample(np.ones(8), np.ones((16, 8)), shots=10)
        try:
            model(np.full(8, np.nan), np.ones((16, 8)))
        except ValueError:
            pass
    def resident():
        return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
    for _ in range(200): once()
    before = resident()
    for _ in range(600): once()
    print(resident() - before)
    """
    assert int(run(script).stdout) < 8 << 20  # one leaked state of 16 samples a call would be 37 MiB


@pytest.mark.parametrize("bad", [np.float32, "complex256", "int", object, 5, "nonsense"])
def test_dtypes_that_cannot_be(backend, bad):
    with pytest.raises((ArgumentError, ArgumentTypeError), match="complex64 or complex128"):
        kg.compile(kg.Circuit(1), dtype=bad, backend=backend)


def test_errors_are_also_the_built_in_ones():
    from ketgrad import errors

    for name, base in {
        "CircuitError": ValueError,
        "WireError": IndexError,
        "ParameterError": ValueError,
        "GateMatrixError": ValueError,
        "StateError": ValueError,
        "ArgumentError": ValueError,
        "ArgumentTypeError": TypeError,
        "NotDifferentiableError": ValueError,
        "OutOfMemoryError": MemoryError,
        "DataError": ValueError,
        "CheckpointError": OSError,
        "BackendUnavailableError": ImportError,
    }.items():
        assert issubclass(getattr(errors, name), (base, KetgradError)) and issubclass(getattr(errors, name), base)
    assert issubclass(BackendUnavailableError, KetgradError) and issubclass(ParameterError, KetgradError)
