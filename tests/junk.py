"""Calls public callables with junk and reports every answer that is not a result or a documented error.

Run as `python junk.py GROUP BACKEND` by test_bad_input.py, in a process of its own: a crash must not take the tests
with it. Prints one JSON list of findings. Before each call its name goes to stderr, so a crash names its cause.
"""

from __future__ import annotations

import inspect
import itertools
import json
import operator
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import ketgrad as kg
from ketgrad.backends import get_backend
from ketgrad.errors import KetgradError
from ketgrad.gates import GATES

ALLOWED = (KetgradError, TypeError, ValueError, IndexError, OverflowError, ZeroDivisionError, OSError)
SECONDS = 20  # for one call
Call = tuple[str, Callable[[], Any]]


class Hang(BaseException):
    """A call that takes too long."""


class Rude:
    """Raises whatever it is asked."""

    def __len__(self) -> int:
        return -1

    def __index__(self) -> int:
        raise ValueError("rude index")

    def __float__(self) -> float:
        raise ValueError("rude float")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError("rude array")

    def __iter__(self) -> Iterator[Any]:
        raise ValueError("rude iterator")


def junk() -> list[Any]:
    other = kg.Circuit(2)
    foreign = other.weights(2)
    deep: list[Any] = [0.0]
    for _ in range(200):
        deep = [deep]
    loop: list[Any] = []
    loop.append(loop)
    return [
        *(None, True, False, 0, 1, -1, 2, 61, 62, 63, 64, 10**6, 2**31, 2**63, -(2**63), 10**30),
        *(0.0, 1.5, float("nan"), float("inf"), -float("inf"), 1e308, 1j, "", "a", "Z", "01", "\x00", "é", b"x"),
        *([], [0], [0, 0], [-1], [1.5], [None], ["a"], [[]], [[0], [1, 2]], (0, 1), {}, {0: 1}, {"a"}, deep, loop),
        *(object(), int, len, Ellipsis, Rude(), iter([0, 1]), range(3), range(100), slice(1)),
        *(
            np.array(0.5),
            np.zeros(0),
            np.zeros(3),
            np.zeros((2, 2)),
            np.full((2, 2), np.nan),
            np.eye(4),
            np.zeros((1, 2, 2)),
        ),
        *(np.array(["a"]), np.array([None, 1]), np.int8(-1), np.uint64(2**63), np.float32(0.5), np.bool_(True)),
        *(np.datetime64("2020-01-01"), np.zeros(2, "f4,i4"), np.arange(6.0)[::-2], np.broadcast_to(0.0, (100,))),
        *(foreign, foreign[0], foreign[0] * foreign[1], other, kg.Z(0), kg.PauliSum(), GATES[0], kg.compile(other)),
    ]


def with_junk(
    name: str, function: Callable[..., Any], good: list[Any], keywords: dict[str, Any] | None = None, only: bool = False
) -> Iterator[Call]:
    """Each argument in turn as junk, the others good; unless `only`, all of them junk, too few and too many."""
    keywords = keywords or {}
    for j in junk():
        for position in range(len(good)):
            args = [*good[:position], j, *good[position + 1 :]]
            yield f"{name} argument {position} = {shown(j)}", lambda a=args: function(*a, **keywords)
        for key in keywords:
            changed = {**keywords, key: j}
            yield f"{name} {key} = {shown(j)}", lambda c=changed: function(*good, **c)
        if only:
            continue
        yield f"{name} all = {shown(j)}", lambda j=j: function(*[j] * len(good), **dict.fromkeys(keywords, j))
        yield f"{name} extra = {shown(j)}", lambda j=j: function(*good, j, **keywords)
    yield f"{name}()", lambda: function()


def shown(value: Any) -> str:
    try:
        return f"{type(value).__name__} {value!r:.60}" if not isinstance(value, list) else f"list {str(value)[:60]}"
    except Exception:
        return type(value).__name__


# the groups


def package(backend: str) -> Iterator[Call]:
    circuit = kg.Circuit(2).h(0)
    good: dict[str, list[Any]] = {
        "Circuit": [2],
        "Gradients": [np.zeros(1), np.zeros(1)],
        "Hermitian": [np.eye(2), (0,)],
        "I": [],
        "Jacobian": [np.zeros(1), np.zeros(1)],
        "Model": [circuit, (kg.Z(0),), "complex128", backend],
        "PauliSum": [],
        "Projector": ["01", (0, 1)],
        "X": [0],
        "Y": [0],
        "Z": [0],
        "backend_info": [backend],
        "load": ["/nonexistent"],
        "set_num_threads": [2],
    }
    for name in kg.__all__:
        value = getattr(kg, name)
        if name == "compile":
            yield from with_junk(name, value, [circuit, kg.Z(0)], {"dtype": "complex128", "backend": backend})
        elif callable(value):
            yield from with_junk(name, value, good[name])
    kg.set_num_threads(2)


def circuits(backend: str) -> Iterator[Call]:
    def method(name: str) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            circuit = kg.Circuit(3)
            circuit.weights(2)
            out = getattr(circuit, name)(*args, **keywords)
            if isinstance(out, kg.Circuit):
                kg.compile(out, kg.Z(0), backend=backend)
                repr(out), len(out), str(out.gates)
            return out

        return call

    good: dict[str, list[Any]] = {
        "append": ["rx", [0.1], [0]],
        "weights": [2],
        "inputs": [(2, 2)],
        "parameter": ["name"],
        "parameter_names": ["w"],
        "prepare": [[1, 0], [0]],
        "basis_state": ["010", [0, 1, 2]],
        "evolve": [kg.Z(0) @ kg.Z(1), 0.1],
        "extend": [kg.Circuit(1)],
        "copy": [],
        "draw": ["text"],
        "channel": [kg.noise.depolarizing(0.1, 2), [1, 0]],
    }
    gate_names = {n for s in GATES for n in (s.name, *s.aliases)}
    public = [n for n, v in inspect.getmembers(kg.Circuit, callable) if not n.startswith("_") and n not in gate_names]
    for name in public:
        yield from with_junk(f"Circuit.{name}", method(name), good[name])
    controlled = {"controls": (2,), "control_values": (1,), "inverse": False}
    yield from with_junk("Circuit.append", method("append"), good["append"], {**controlled, "extra": None})
    extras = {"word": "XZ", "matrix": np.eye(4), "diagonal": np.ones(4), "values": np.ones(4), "dim": 2}
    for spec in GATES:
        k = spec.wires if spec.wires is not None else 2
        arguments = [*[0.1] * len(spec.params), *([extras[spec.extra]] if spec.extra else []), *range(min(k, 3))]
        keywords = controlled if spec.name in ("rx", "unitary") else {}
        yield from with_junk(f"Circuit.{spec.name}", method(spec.name), arguments, keywords)


def models(backend: str) -> Iterator[Call]:
    circuit = kg.Circuit(3)
    w, x = circuit.weights(2), circuit.inputs(2)
    circuit.rx(w[0], 0).ry(w[1] * x[0], 1).rz(x[1], 2).cx(0, 1)
    model = kg.compile(circuit, [kg.Z(0), kg.X(1)], backend=backend)
    good = [np.zeros(2), np.zeros((3, 2))]
    shots = {"shots": 5, "seed": 1}
    options: dict[str, dict[str, Any]] = {
        "__call__": shots,
        "forward": {"method": "best"},
        "jacobian": {"method": "parameter-shift", **shots},
        "estimate": shots,
        "sample": {**shots, "wires": (0,)},
        "counts": {**shots, "wires": (0,)},
        "probabilities": {"wires": (0, 1)},
        "density_matrix": {"wires": (0, 1)},
    }
    arguments: dict[str, list[Any]] = {"disassembly": [], "save": ["/nonexistent/model"]}
    public = [n for n, v in inspect.getmembers(kg.Model, callable) if not n.startswith("_") or n == "__call__"]
    for name in public:
        yield from with_junk(f"Model.{name}", getattr(model, name), arguments.get(name, good), options.get(name))
    for method in ("adjoint", "parameter-shift"):
        _, pullback = model.forward(*good, method=method)
        yield from with_junk(f"pullback {method}", pullback, [np.zeros((3, 2))])


def paulis(backend: str) -> Iterator[Call]:
    one = 0.5 * kg.Z(0) @ kg.X(1) + kg.Projector("1", (2,))
    binary = [operator.add, operator.sub, operator.mul, operator.truediv, operator.matmul, operator.eq, operator.pow]
    binary += [operator.lt, operator.mod, operator.floordiv]
    for op in binary:
        yield from with_junk(f"PauliSum {op.__name__}", op, [one, kg.Z(0)], only=True)
    for op in (operator.neg, operator.pos, operator.abs, hash, len, iter, repr, str, list, bool, operator.index, float):
        yield f"{op.__name__}(PauliSum)", lambda op=op: op(one)
    yield from with_junk("PauliSum.from_words", kg.PauliSum.from_words, [[(1.0, "XZ")], (0, 1)])
    for j in junk():
        yield f"from_words of ({shown(j)}, 'X')", lambda j=j: kg.PauliSum.from_words([(j, "X")])
        yield f"from_words of (1, {shown(j)})", lambda j=j: kg.PauliSum.from_words([(1.0, j)])
    for name in ("simplify", "without_patterns", "square"):
        yield from with_junk(f"PauliSum.{name}", getattr(one, name), [])
    yield from with_junk("PauliSum.matrix", one.matrix, [3])
    circuit = kg.Circuit(2)
    w, x = circuit.weights(1), circuit.inputs(1)
    for op in binary:
        yield from with_junk(f"Expression {op.__name__}", op, [w[0], x[0]], only=True)
    for op in (operator.neg, operator.pos, operator.abs, hash, repr, str, float, int, bool, operator.index, complex):
        yield f"{op.__name__}(Expression)", lambda op=op: op(w[0])


def engines(backend: str) -> Iterator[Call]:
    yield from with_junk("get_backend", get_backend, [backend])
    engine = get_backend(backend)
    circuit = kg.Circuit(3)
    w, x = circuit.weights(2), circuit.inputs(1)
    circuit.rx(w[0], 0).ry(w[1], 1).rz(x[0], 2)
    plan = kg.compile(circuit, [kg.Z(0), kg.X(1)], backend=backend)._ready().plan
    states = plan.states(np.zeros(2), np.zeros((4, 1)))
    yield from with_junk("prepare", engine.prepare, [plan.program, "complex64"])
    yield from with_junk("Plan.forward", plan.forward, [np.zeros(2), np.zeros((4, 1)), True])
    yield from with_junk("Plan.states", plan.states, [np.zeros(2), np.zeros((4, 1))])
    yield from with_junk(
        "Plan.pullback", plan.pullback, [np.zeros(2), np.zeros((4, 1)), np.zeros((1, 4, 2)), None, True]
    )
    yield from with_junk("probabilities", engine.probabilities, [states, (0, 1)])
    for name in ("sample", "counts"):
        yield from with_junk(name, getattr(engine, name), [states, np.zeros((4, 5)), (0, 1)])
    yield from with_junk("set_num_threads", engine.set_num_threads, [2])
    yield from foreign_tapes(backend)
    for shape, dtype in itertools.product(
        [(0, 8), (4, 0), (4, 1), (4, 3), (8,), (2, 2, 2), (4, 8)], [complex, "c8", float, "i8", object]
    ):
        array = np.zeros(shape, dtype)
        yield f"probabilities of {shape} {dtype}", lambda a=array: engine.probabilities(a, (0,))
        yield f"sample of {shape} {dtype}", lambda a=array: engine.sample(a, np.zeros((4, 5)))


def foreign_tapes(backend: str) -> Iterator[Call]:
    """The tape of another plan, batch or dtype must be refused, or used without harm."""
    plans = []
    for n, dtype in ((2, "complex128"), (9, "complex128"), (9, "complex64"), (12, "complex128")):
        circuit = kg.Circuit(n)
        x = circuit.inputs(1)
        for q in range(n):
            circuit.rx(x[0], q)
        plans.append(kg.compile(circuit, kg.Z(0), dtype=dtype, backend=backend)._ready().plan)
    none = np.zeros(0)
    for (a, b), (k, m) in itertools.product(itertools.product(plans, plans), itertools.product((1, 5, 70), (1, 5, 70))):

        def call(a=a, b=b, k=k, m=m) -> None:
            _, tape = a.forward(none, np.zeros((k, 1)), keep=True)
            b.pullback(none, np.zeros((m, 1)), np.ones((1, m, 1)), tape)

        yield f"tape of {a.program} {a.dtype} batch {k} in {b.program} {b.dtype} batch {m}", call


def programs(backend: str) -> Iterator[Call]:
    """Programs with a few bytes changed: refused, or run without reading outside their arrays."""
    import strategies

    from ketgrad.gradients.parameter_shift import ShiftedBatch
    from ketgrad.lowering import lower
    from ketgrad.program import INSTRUCTION, TERM, Program

    rng, engine = np.random.default_rng(5), get_backend(backend)
    interesting = np.array([0, 1, 2, 3, 7, 8, 9, 255, 254, 31, 32, 62, 63, 64, 127, 128], dtype=np.uint8)

    def attempt(program_arguments: tuple[Any, ...], dtype: str) -> None:
        with np.errstate(all="ignore"):
            program = Program(*program_arguments)
            plan = engine.prepare(program, dtype)
            repr(program)
            if program.n_bits > 12 or program.n_shared + program.n_per_sample > 1000:
                return
            shared, per_sample = np.ones(program.n_shared), np.ones((3, program.n_per_sample))
            values, tape = plan.forward(shared, per_sample, True)
            plan.pullback(shared, per_sample, np.ones((1, *values.shape)), tape)
            plan.states(shared, per_sample)
            engine.prepare_shifts(program, dtype).values(shared, per_sample, ShiftedBatch(program).rows)
            ran[0] += 1

    ran = [0]
    for turn in range(1500):
        n = int(rng.integers(1, 7))
        recipe = strategies.random_recipe(rng, n, 6, n_weights=2, n_inputs=2)
        p = lower(recipe.circuit(), [strategies.random_observable(rng, n)[0]]).program
        if not len(p.instructions):
            continue
        instructions, terms, sizes = p.instructions.copy(), p.terms.copy(), [p.n_bits, p.n_shared, p.n_per_sample]
        for _ in range(int(rng.integers(1, 4))):
            which = rng.integers(10)
            if which < 6:
                field = str(rng.choice(INSTRUCTION.names))
                raw = (
                    instructions[field].view() if instructions[field].flags.c_contiguous else instructions[field].copy()
                )
                raw_bytes = np.ascontiguousarray(raw).view(np.uint8)
                raw_bytes[int(rng.integers(len(raw_bytes)))] = rng.choice(interesting)
                instructions[field] = raw_bytes.view(INSTRUCTION[field])
            elif which < 8 and len(terms):
                raw_bytes = np.ascontiguousarray(terms).view(np.uint8).copy()
                raw_bytes[int(rng.integers(len(raw_bytes)))] = rng.choice(interesting)
                terms = raw_bytes.view(TERM)
            else:
                position = int(rng.integers(3))
                sizes[position] = int(rng.choice([0, 1, 2, 3, 5, -1, 62, 63]))
        pool = p.pool.copy() if rng.integers(5) else p.pool[: int(rng.integers(len(p.pool) + 1))].copy()
        dtype = str(rng.choice(["complex64", "complex128"]))
        arguments = (sizes[0], instructions, pool, terms, sizes[1], sizes[2])
        name = f"program {turn}: {instructions.tolist()} {terms.tolist()} {sizes} pool {len(pool)}"
        yield name, lambda a=arguments, d=dtype: attempt(a, d)
    assert 200 < ran[0] < 1200, f"{ran[0]} programs ran: the changes do too little or too much"


def core(backend: str) -> Iterator[Call]:
    """The compiled module itself, past every check in Python."""
    from ketgrad import _core
    from ketgrad.lowering import lower

    circuit = kg.Circuit(3)
    w, x = circuit.weights(2), circuit.inputs(1)
    circuit.rx(w[0], 0).ry(w[1], 1).rz(x[0], 2).unitary(np.eye(4), 0, 1)
    p = lower(circuit, [kg.Z(0), kg.X(1)]).program
    parts = [p.instructions, p.pool, p.terms, 3, 2, 1, True]
    plan = _core.Plan(*parts)
    states = np.zeros((4, 8), complex)
    yield from with_junk("_core.Plan", _core.Plan, parts)
    yield from with_junk("_core.Plan.forward", plan.forward, [np.zeros(2), np.zeros((4, 1)), True])
    yield from with_junk("_core.Plan.states", plan.states, [np.zeros(2), np.zeros((4, 1))])
    yield from with_junk(
        "_core.Plan.pullback", plan.pullback, [np.zeros(2), np.zeros((4, 1)), np.zeros((1, 4, 2)), None, True]
    )
    yield from with_junk("_core.Plan.choice", plan.choice, [3])
    shifts = _core.ShiftPlan(*parts)
    slots, one = [np.zeros(2), np.zeros((4, 1))], np.zeros(1, dtype=np.int64)
    rows = [one, one + 1, np.ones((1, 2)), one, np.ones((1, 3), complex)]
    drawn = [[(0, 1, 3, np.zeros((1, 4)))], np.ones((4, 1, 1), dtype=np.int64), np.zeros(4)]
    yield from with_junk("_core.ShiftPlan", _core.ShiftPlan, parts)
    yield from with_junk("_core.ShiftPlan.values", shifts.values, [*slots, *rows])
    yield from with_junk("_core.ShiftPlan.moments", shifts.moments, [*slots, *rows, *drawn])
    ring = [np.array(a, np.int32) for a in ([1, 0, 0], [0, 2, 4, 6], [1, 2, 0, 2, 0, 1], [1, 2, 1, 1, 2, 1])]
    spins, reads = _core.Spins(*ring), [1, 0, 3, np.ones((2, 3), np.int8)]
    yield from with_junk("_core.Spins", _core.Spins, ring)
    yield from with_junk("_core.Spins.anneal", spins.anneal, [np.full(2, 0.5), 3, True, *reads])
    yield from with_junk("_core.Spins.anneal_paths", spins.anneal_paths, [np.full((4, 4), 0.5), 6, True, 2, *reads])
    yield from with_junk("_core.probabilities", _core.probabilities, [states, [0, 1]])
    yield from with_junk("_core.sample", _core.sample, [states, np.zeros((4, 5)), [0, 1]])
    yield from with_junk("_core.counts", _core.counts, [states, np.zeros((4, 5)), [0, 1]])
    for name in ("set_num_threads", "set_isa"):
        yield from with_junk(f"_core.{name}", getattr(_core, name), [2 if "num" in name else "baseline"])
    uniforms = np.array([[-1.0, 2.0, np.nan, np.inf, 1e308]])
    for call in (_core.sample, _core.counts):
        name = f"_core.{call.__name__}"
        for what, state in (
            ("zero", np.zeros((1, 8), complex)),
            ("nan", np.full((1, 8), np.nan, complex)),
            ("infinite", np.full((1, 1024), np.inf, complex)),
            ("basis", np.eye(1, 1024, 1023, dtype=complex)),
        ):
            yield (
                f"{name} of a {what} state outside [0, 1)",
                lambda c=call, s=state: c(s, uniforms, list(range(s.shape[1].bit_length() - 1))),
            )


def samplers(backend: str) -> Iterator[Call]:
    from ketgrad import anneal

    problem = anneal.Ising.of([1.0, 0.0, -0.5], [(0, 1), (1, 2)], [1.0, -1.0])
    yield from with_junk("Ising.of", anneal.Ising.of, [[0.0, 1.0], [(0, 1)], [1.0]], {"offset": 0.5, "labels": "ab"})
    yield from with_junk("Ising.from_bqm", anneal.Ising.from_bqm, [problem])
    common = {"num_sweeps": 2, "seed": 1, "interrupt_function": bool, "initial_states": [[1, 1, 1]],
              "initial_states_generator": "tile"}  # fmt: skip
    one, other = anneal.SimulatedAnnealingSampler(backend), anneal.SimulatedQuantumAnnealingSampler(backend)
    cooled = {"beta_range": (0.1, 1.0), "num_sweeps_per_beta": 1, "beta_schedule_type": "linear", "beta_schedule": None}
    ramped = {"num_slices": 4, "beta": 1.0, "gamma": 1.0, "world_lines": True, "num_measured": 1, "Hp_field": None}
    for name, sampler, own in (("simulated annealing", one, cooled), ("simulated quantum annealing", other, ramped)):
        for called, call in with_junk(name, sampler.sample, [problem], common | own):
            if called != f"{name} extra = int 1000000":  # a million reads: long, and no mistake
                yield called, call


def noises(backend: str) -> Iterator[Call]:
    noise, flip = kg.noise, kg.noise.bit_flip(0.1)
    model, errors = noise.NoiseModel().after(flip, "cx"), noise.ReadoutErrors.of({0: 0.1}, 0.2)
    made: dict[Callable[..., Any], list[Any]] = {
        noise.pauli: [{"XY": 0.1}], noise.depolarizing: [0.1, 2], noise.reset_error: [0.1, 0.2], flip.scaled: [2.0],
        noise.thermal_relaxation: [50.0, 70.0, 1.0, 0.1], noise.projection: [1], noise.over_rotation: ["XZ", 0.1],
        noise.mixture: [[0.5, 0.5], [np.eye(2), np.diag([1, -1])]], noise.kraus: [np.eye(2)[None]],
        noise.ReadoutErrors.of: [{0: 0.1}, [0.1, 0.2]], errors.probabilities: [[0.5, 0.5], [0]],
        errors.sample: [[[0, 1]], [0, 1], 0], errors.observable: [kg.Z(0)], model.readout_error: [[0.1, 0.2], [0]],
        model.idle: [flip, 0], model.before_measurement: [flip, [0]], model.scaled: [2.0], model.apply: [kg.Circuit(1)],
    }  # fmt: skip
    for function, good in made.items():
        yield from with_junk(function.__name__, function, good)
    rule = {"gates": "cx", "n_wires": 2, "wires": (0, 1), "on": "each", "at": 0, "when": bool, "unless": [(1, 0)]}
    circuit = kg.Circuit(3).cx(0, 1)
    yield from with_junk("after", lambda *args, **options: model.after(*args, **options).apply(circuit), [flip], rule)


GROUPS = {f.__name__: f for f in (package, circuits, models, paulis, engines, programs, core, samplers, noises)}


def main(group: str, backend: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
    warnings.simplefilter("ignore")

    def alarm(*_: Any) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, alarm)
    findings, count = [], 0
    for name, call in GROUPS[group](backend):
        print(name[:2000], file=sys.stderr, flush=True)
        count += 1
        signal.alarm(SECONDS)
        try:
            call()
        except ALLOWED:
            pass
        except (Exception, Hang) as error:
            findings.append(f"{name[:300]}: {type(error).__name__}: {str(error)[:200]}")
        finally:
            signal.alarm(0)
    print(json.dumps({"calls": count, "findings": findings}))


if __name__ == "__main__":
    main(*sys.argv[1:])
