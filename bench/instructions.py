"""Counts the instructions that the native core executes for a few fixed cases, and compares with known counts.

    python bench/instructions.py                 with instructions.json, if this compiler made its counts
    python bench/instructions.py --against REF   with a build of that commit, by this compiler
    python bench/instructions.py --update        write instructions.json

Counts do not depend on how busy the machine is: valgrind's callgrind runs the cases, one thread, AVX2 kernels, and only
what is executed inside `ketgrad._core` is counted. Status: 0 no case needs more, 1 some does, 3 not compared.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KNOWN = Path(__file__).with_suffix(".json")
TOLERANCE = 0.02
ISA = "avx2"  # valgrind runs no AVX-512
MARK = "ctermid"  # of the C library, called by os.ctermid() and by nothing else: callgrind starts a new count there
REGRESSION, NOT_COMPARED = 1, 3

Record = dict[str, Any]  # "build": compiler and flags, "isa", "counts": case -> instructions


class NotCompared(Exception):
    """Why there is nothing to compare."""


# --- the cases, inside valgrind --------------------------------------------------------------------------------------


def layers(n: int, depth: int, trained: bool, inputs: int = 0) -> tuple[Any, int]:
    """RX RY RZ on every wire and a ring of CNOTs, `depth` times; gives the circuit and its number of weights."""
    import ketgrad as kg

    circuit, count = kg.Circuit(n), 3 * n * depth if trained else 0
    weights = iter(circuit.weights(count) if trained else [0.1 + 0.01 * k for k in range(3 * n * depth)])
    for q, x in enumerate(circuit.inputs(inputs) if inputs else []):
        circuit.ry(x, q)
    for _ in range(depth):
        for q in range(n):
            circuit.rx(next(weights), q).ry(next(weights), q).rz(next(weights), q)
        for q in range(n):
            circuit.cx(q, (q + 1) % n)
    return circuit, count


def gates(n: int, kind: str) -> Any:
    """Gates of one kind of kernel, on low bits, on high ones, and on both."""
    import numpy as np

    import ketgrad as kg

    rng = np.random.default_rng(5)
    matrix = np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))[0]
    circuit = kg.Circuit(n)
    for a, b in ((0, 1), (n - 1, n - 2), (0, n - 1), (n // 2, n // 2 - 1)):
        if kind == "permutations":
            circuit.x(a).y(b).cx(a, b).cx(b, a).swap(a, b)
        elif kind == "rotations":
            circuit.rx(0.3, a).ry(0.4, b).crx(0.2, a, b).rxx(0.3, a, b).single_excitation(0.6, a, b)
        elif kind == "diagonals":
            circuit.rz(0.4, a).cp(0.5, a, b).rzz(0.4, a, b).diagonal(np.exp(1j * np.arange(4)), [a, b])
        else:
            circuit.h(a).u3(0.1, 0.2, 0.3, b).ch(a, b).unitary(matrix, [a, b])
    return circuit


def cases() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and call of each case; what a call does is fixed."""
    import numpy as np

    import ketgrad as kg

    def compiled(circuit: Any, observables: list[Any], dtype: str = "complex128") -> Any:
        return kg.compile(circuit, observables, dtype=dtype, backend="native")

    def gradient(model: Any, *arguments: Any) -> Callable[[], Any]:
        def call() -> None:
            values, pullback = model.forward(*arguments)
            pullback(np.ones_like(values))

        return call

    forward = compiled(layers(14, 4, False)[0], [kg.Z(0)])
    yield "forward, 14 qubits, complex128", forward
    forward = compiled(layers(14, 4, False)[0], [kg.Z(0)], "complex64")
    yield "forward, 14 qubits, complex64", forward
    circuit, count = layers(12, 3, True)
    model = compiled(circuit, [kg.Z(0), kg.X(1) @ kg.Y(7)])
    yield "gradient, 12 qubits, complex128", gradient(model, np.linspace(-1, 1, count))
    circuit, count = layers(6, 2, True, inputs=6)
    model = compiled(circuit, [kg.Z(q) for q in range(6)])
    samples = np.linspace(-1, 1, 64 * 6).reshape(64, 6)
    yield "training step, 6 qubits, 64 samples", gradient(model, np.linspace(-1, 1, count), samples)
    circuit, count = layers(2, 1, True)
    yield "gradient, 2 qubits", gradient(compiled(circuit, [kg.Z(0)]), np.linspace(-1, 1, count))
    for kind in ("permutations", "rotations", "diagonals", "matrices"):
        yield f"{kind} gate by gate, 8 qubits", compiled(gates(8, kind), [kg.Z(0)])
    words = [kg.X(q) @ kg.Z((q + k) % 12) for q in range(12) for k in range(1, 6)]
    yield "60 Pauli words, 12 qubits", compiled(layers(12, 1, False)[0], words)
    sampled = compiled(layers(12, 1, False)[0], [kg.Z(0)])
    yield "10,000 shots, 12 qubits", lambda: sampled.sample(shots=10_000, seed=1)
    deep = layers(16, 5, False)[0]
    yield "planning, 16 qubits, 320 gates", lambda: compiled(deep, [kg.Z(0)]).plan()


def work() -> None:
    """Run each case once, warm, between two marks."""
    import ketgrad as kg
    from ketgrad import _core

    assert kg.backend_info("native")["instruction_set"] == ISA
    names = []
    for name, call in cases():
        call()
        call()
        os.ctermid()
        call()
        os.ctermid()
        names.append(name)
    print(json.dumps({"build": _core.build(), "cases": names}))


# --- counting --------------------------------------------------------------------------------------------------------


def instructions_inside(profile: str, library: str) -> int:
    """Sum of a callgrind profile over the functions of one library, without what they call elsewhere.

    Args:
        profile: text in callgrind's format, written with --compress-strings=no --compress-pos=no.
        library: start of the file's name.
    """
    total, inside, is_call = 0, False, False
    for line in profile.splitlines():
        if line.startswith("ob="):
            inside = os.path.basename(line[3:]).startswith(library)
        elif line.startswith("calls="):
            is_call = True  # the next line is what the callee took, counted where it is at home
        elif line[:1].isdigit():
            if inside and not is_call:
                total += int(line.split()[-1])
            is_call = False
    return total


def require_tools() -> None:
    """
    Raises:
        NotCompared: there is no valgrind, or the processor has no AVX2.
    """
    from ketgrad import _core

    if shutil.which("valgrind") is None:
        raise NotCompared("valgrind is missing; on Debian and Ubuntu: apt-get install valgrind")
    if ISA not in _core.available_isas():
        raise NotCompared(f"the {ISA} kernels do not run on this processor")


def count(python_path: str | None = None) -> Record:
    """Counts of all cases with the ketgrad found on `python_path`, or with the one that Python finds by itself."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("KETGRAD_", "PYTHON"))}
    environment |= {"KETGRAD_ISA": ISA, "KETGRAD_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    if path := python_path or os.environ.get("PYTHONPATH"):
        environment["PYTHONPATH"] = path
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "profile"
        tool = f"valgrind --tool=callgrind --dump-before={MARK} --compress-strings=no --compress-pos=no".split()
        command = [*tool, f"--callgrind-out-file={out}", sys.executable, __file__, "--work"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"the cases did not run\n{done.stderr[-1500:]}")
        said = json.loads(done.stdout.splitlines()[-1])
        # the first mark ends what is before the first case; then cases and what is between them take turns
        parts = [Path(f"{out}.{2 * k + 2}").read_text() for k in range(len(said["cases"]))]
    counts = {name: instructions_inside(part, "_core.") for name, part in zip(said["cases"], parts, strict=True)}
    assert all(counts.values()), counts
    return {"build": said["build"], "isa": ISA, "counts": counts}


def count_of_commit(ref: str) -> Record:
    """Counts of the same cases with that commit, built in a temporary worktree with today's compiler."""
    with tempfile.TemporaryDirectory() as folder:
        tree = os.path.join(folder, "tree")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", tree, ref], check=True)
        try:
            options = [f"-DPython_EXECUTABLE={sys.executable}", "-DKETGRAD_INPLACE=ON"]
            for step in (["-S", tree, "-B", f"{folder}/build", *options], ["--build", f"{folder}/build", "-j"]):
                subprocess.run(["cmake", *step], check=True, stdout=subprocess.DEVNULL)
            return count(os.path.join(tree, "python"))
        finally:
            subprocess.run([*git, "remove", "--force", tree], check=True)


# --- comparing -------------------------------------------------------------------------------------------------------


def compare(now: Record, before: Record, tolerance: float = TOLERANCE) -> tuple[list[str], bool]:
    """A line for each case, and whether one needs more than `tolerance` more instructions than before.

    Raises:
        NotCompared: the two were counted with different compilers, flags or instruction sets.
    """
    for fact in ("build", "isa"):
        if now[fact] != before[fact]:
            raise NotCompared(f"counted with {now[fact]!r}, the known counts with {before[fact]!r}; use --against REF")
    lines, worse = [], False
    for name in sorted(now["counts"].keys() | before["counts"].keys()):
        new, old = now["counts"].get(name), before["counts"].get(name)
        if new is None or old is None:
            lines.append(f"{name:<40}{new or old:>14,}  {'no longer counted' if new is None else 'new'}")
            worse = worse or new is None
            continue
        ratio = new / old
        verdict = "MORE" if ratio > 1 + tolerance else "fewer" if ratio < 1 - tolerance else ""
        worse = worse or verdict == "MORE"
        lines.append(f"{name:<40}{new:>14,}{ratio:>9.3f}  {verdict}".rstrip())
    return lines, worse


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--against", metavar="REF", help="a commit to build and compare with")
    group.add_argument("--update", action="store_true", help="write instructions.json")
    group.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.work:
        work()
        return 0
    try:
        require_tools()
        now = count()
        if options.update:
            KNOWN.write_text(json.dumps(now, indent=2) + "\n")
            print(f"{KNOWN.name}: {len(now['counts'])} cases, {now['build']}")
            return 0
        before = count_of_commit(options.against) if options.against else json.loads(KNOWN.read_text())
        lines, worse = compare(now, before)
    except NotCompared as why:
        print(f"not compared: {why}")
        return NOT_COMPARED
    print(f"instructions in the native core, {now['build']}, {now['isa']}; ratio to {options.against or KNOWN.name}")
    print("\n".join(lines))
    if worse:
        print(f"more than {TOLERANCE:.0%} more instructions; if that is meant, --update and say why in the commit")
    return REGRESSION if worse else 0


if __name__ == "__main__":
    sys.exit(main())
