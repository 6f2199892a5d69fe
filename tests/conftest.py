"""Fixtures every test of behaviour shares: the backends, their instruction sets, the dtypes.

KETGRAD_TEST_BACKENDS=native,numba restricts the backends; KETGRAD_HYPOTHESIS=ci|dev|thorough sets how many random
circuits are drawn (ci, the default, always draws the same ones).
"""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import hypothesis
import numpy as np
import pytest

NATIVE = importlib.util.find_spec("ketgrad._core") is not None
_wanted = os.environ.get("KETGRAD_TEST_BACKENDS")
BACKENDS = [b.strip() for b in _wanted.split(",")] if _wanted else (["native"] if NATIVE else []) + ["numba"]
if "native" not in BACKENDS:
    os.environ.setdefault("KETGRAD_BACKEND", "numba")  # what tests that name no backend get, here and in subprocesses

hypothesis.settings.register_profile("ci", max_examples=30, deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("dev", max_examples=30, deadline=None, database=None, print_blob=True)
hypothesis.settings.register_profile("thorough", max_examples=1000, deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("KETGRAD_HYPOTHESIS", "ci"))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the Numba kernels before any test (and any xdist worker) starts: no test's time, and only once."""
    if "numba" in BACKENDS and not hasattr(session.config, "workerinput") and not session.config.option.collectonly:
        import ketgrad as kg

        for dtype, n in itertools.product(("complex128", "complex64"), (2, 10)):  # without tiles, and with
            circuit = kg.Circuit(n)
            w, x = circuit.weights(1), circuit.inputs(1)
            circuit.rx(w[0], 0).p(x[0], 1).cx(0, 1).h(0).single_excitation(w[0], 0, 1).swap(0, 1)
            model = kg.compile(circuit, [kg.Z(0), kg.X(1)], dtype=dtype, backend="numba")
            model.forward([0.1], [0.2])[1]([1.0, 1.0])
            model.sample([0.1], [0.2], shots=1)
            model.probabilities([0.1], [0.2], [0])
        from kraus_cases import Case

        case = Case(0, 10, 1)
        case.model("complex128", "numba")(case.weights, case.slots)


def native_isas() -> list[str]:
    """Instruction sets the native core can run here."""
    if "native" not in BACKENDS:
        return []
    from ketgrad import _core

    return list(_core.available_isas())


ISAS = native_isas()
ENGINES = [f"native-{isa}" for isa in ISAS] + [b for b in BACKENDS if b != "native"]


@dataclass(frozen=True)
class Precision:
    """A dtype and what agreement to ask of it."""

    dtype: str
    atol: float


@pytest.fixture(params=BACKENDS, scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """Every backend that is here."""
    return str(request.param)


@pytest.fixture(
    scope="session", params=[Precision("complex128", 1e-12), Precision("complex64", 1e-5)], ids=lambda p: p.dtype
)
def precision(request: pytest.FixtureRequest) -> Precision:
    """Both dtypes with their tolerances."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def dtype(precision: Precision) -> str:
    """Both dtypes by name."""
    return precision.dtype


def _with_isa(isa: str) -> Iterator[str]:
    from ketgrad import _core
    from ketgrad.backends import get_backend

    get_backend("native")
    before = _core.isa()
    _core.set_isa(isa)
    try:
        yield isa
    finally:
        _core.set_isa(before)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set of the native core; the test runs with it set."""
    yield from _with_isa(str(request.param))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every backend, the native one once for each instruction set; gives the backend's name."""
    name, _, isa = str(request.param).partition("-")
    if not isa:
        yield name
        return
    for _ in _with_isa(isa):
        yield name


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture
def threads() -> Iterator[None]:
    """Gives the number of threads back after a test that changes it."""
    from ketgrad import backends

    before = backends.default_num_threads()
    yield
    backends.set_num_threads(before)
