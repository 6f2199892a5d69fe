"""`kg.jax.function` in compiled programs: trainings, lifetimes, devices and threads, another way to be called."""

from __future__ import annotations

import gc
import importlib.util
import sys
import weakref
from typing import Any

import pytest
from jax_cases import OBSERVABLES, assert_same, circuit, f, jax, loss, model, point, x64
from subprocesses import run

import ketgrad as kg

__all__ = ["f", "model", "point", "x64"]  # fixtures


def test_a_training_in_one_program(f: Any, point: Any) -> None:
    w, x = point

    def step(w: Any, _: Any) -> Any:
        value, gradient = jax.value_and_grad(loss(jax.checkpoint(f)))(w, x)
        return w - 0.05 * gradient, value

    history = jax.jit(lambda w: jax.lax.scan(step, w, length=20)[1])(w)
    assert history[-1] < history[0] - 0.1
    again = w
    for k in range(3):
        again, value = step(again, None)
        assert_same(value, history[k])


def test_training_with_optax(f: Any, point: Any) -> None:
    optax = pytest.importorskip("optax", reason="optax is not installed")
    w, x = point
    optimizer = optax.adam(0.1)
    state = optimizer.init(w)
    step = jax.jit(jax.value_and_grad(loss(f)))
    values = []
    for _ in range(15):
        value, gradient = step(w, x)
        updates, state = optimizer.update(gradient, state)
        w = optax.apply_updates(w, updates)
        values.append(value)
    assert values[-1] < values[0] - 0.1


def test_a_program_keeps_what_it_calls_and_no_longer(point: Any) -> None:
    w, x = point
    model = kg.compile(circuit(), OBSERVABLES)
    seen, wanted = weakref.ref(model), model(w, x)
    holder = [model]
    program = jax.jit(lambda w, x: kg.jax.function(holder.pop())(w, x)).lower(w, x).compile()
    del model
    gc.collect()
    assert_same(program(w, x), wanted)
    del program
    jax.clear_caches()
    gc.collect()
    assert seen() is None


def test_without_the_way_around_the_callback(
    model: kg.Model, point: Any, monkeypatch: pytest.MonkeyPatch, f: Any
) -> None:
    """A JAX that no longer hands out its handler: the same results through `jax.pure_callback`."""
    from jax.interpreters import mlir

    from ketgrad.interfaces import jax_interface

    monkeypatch.delattr(mlir, "emit_python_callback")
    name = "ketgrad.interfaces.jax_callback"
    spec = importlib.util.spec_from_file_location(name, jax_interface.__file__)
    assert spec and spec.loader
    other = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, other)
    spec.loader.exec_module(other)
    shapes: list[Any] = []
    real = jax.pure_callback
    monkeypatch.setattr(jax, "pure_callback", lambda c, s, *a, **k: shapes.append(s) or real(c, s, *a, **k))
    wanted = jax.value_and_grad(loss(f), (0, 1))(*point)
    hessian = jax.hessian(loss(f))(*point)
    monkeypatch.setattr(kg.jax, "jax_interface", other)
    again = kg.jax.function(model)
    assert_same(jax.jit(jax.value_and_grad(loss(again), (0, 1)))(*point), wanted)
    assert_same(jax.jit(jax.hessian(loss(again)))(*point), hessian)
    assert len(shapes) >= 4


DEVICES = """
    import threading
    import jax, numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
    from jax_cases import OBSERVABLES, assert_same, circuit, loss
    import ketgrad as kg

    jax.config.update("jax_enable_x64", True)
    f, rng = kg.jax.function(circuit(), OBSERVABLES), np.random.default_rng(1)
    w, x = rng.normal(size=(2, 3, 2)), rng.uniform(size=(8, 3))
    step = jax.jit(jax.value_and_grad(loss(f), (0, 1)))
    wanted = jax.value_and_grad(loss(f), (0, 1))(w, x)

    # whole arrays, on one device or shared among four
    assert_same(step(w, x), wanted)
    typed = jax.make_mesh((4,), ("b",), axis_types=(jax.sharding.AxisType.Explicit,))
    for mesh in (Mesh(np.array(jax.devices()), ("b",)), typed):
        shared = [jax.device_put(a, NamedSharding(mesh, P(*s))) for a, s in ((w, ()), (x, ("b",)))]
        assert_same(step(*shared), wanted)

    # each device with its part of the batch
    mesh = Mesh(np.array(jax.devices()), ("b",))
    for check in (True, False):
        options = dict(mesh=mesh, in_specs=(P(), P("b")), check_vma=check)
        mapped = jax.shard_map(f, out_specs=P("b"), **options)
        assert_same(jax.jit(jax.value_and_grad(loss(mapped), (0, 1)))(w, x), wanted)
        inside = lambda g: g if check else jax.lax.psum(g, "b")
        for derivative in (jax.grad, jax.hessian):
            both = jax.shard_map(lambda w, x: inside(derivative(loss(f))(w, x)), out_specs=P(), **options)
            assert_same(jax.jit(both)(w, x), derivative(loss(f))(w, x), 1e-11)

    # large arrays, one call behind another, and many threads
    many = jax.numpy.asarray(rng.uniform(size=(300_000, 3)))
    chain = jax.jit(lambda w, x: f(w, x.at[:, :2].add(f(w, x))).sum(axis=0))
    assert np.isfinite(chain(w, many)).all()
    failed = []

    def work():
        try:
            for k in range(20):
                assert_same(step(w, x), wanted)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not failed and not any(t.is_alive() for t in threads), failed
    print("done")
"""


@pytest.mark.parametrize("flags", ["", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"])
def test_devices_threads_and_large_arrays_without_deadlock(flags: str) -> None:
    done = run(DEVICES, timeout=90, XLA_FLAGS=f"--xla_force_host_platform_device_count=4 {flags}", JAX_PLATFORMS="cpu")
    assert done.stdout.split() == ["done"]
