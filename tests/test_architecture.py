"""The house rules that a machine can check: layers, boundaries, one place for each thing, sizes."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import BACKENDS, NATIVE

import ketgrad as kg
from ketgrad.gates import BY_NAME
from ketgrad.program import INSTRUCTION, TERM, Opcode

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "python" / "ketgrad"
CSRC = ROOT / "csrc"
pytestmark = pytest.mark.skipif(not SOURCE.is_dir(), reason="needs the source tree")

# Bottom first. A module imports from its own layer and those below it; a new module must say where it stands.
LAYERS: list[tuple[str, ...]] = [
    ("_version", "errors"),
    ("pauli", "shift_rules", "memory", "finite"),
    ("factors", "gate_spec", "gates", "gate_reference", "expressions", "evolution"),
    ("circuit", "unshared", "program", "molecules"),
    ("lowering", "backends"),
    ("simulator", "shadows"),
    ("gradients",),
    ("engines", "arguments", "plan_text", "measured", "curved", "model"),
    ("checkpoint", "persistence", "drawing", "drawing_graphics"),
    ("noise",),
    ("mitigation",),
    ("feature_maps", "kernels"),
    ("charts", "plots", "objective", "optimise", "diagnostics"),
    ("anneal",),
    (
        "data",
        "adam",
        "hybrid",
        "settings",
        "train",
        "baseline",
        "report",
        "job",
        "peers",
        "compare",
        "anneal_job",
        "anneal_report",
    ),
    ("interfaces", "compiling", "combined_function", "model_function", "layer_function"),
    ("jax", "sklearn", "torch", "pennylane_device", "console", "anneal_cli", "cli", "__main__", "__init__"),
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# Inside a function only, for convenience: whoever has the lower thing reaches the upper one by a method.
UPWARD = {
    ("circuit", "drawing"): "print(circuit) draws it",
    ("circuit", "noise"): "circuit.channel refuses what is none",
    ("persistence", "noise"): "files hold circuits with channels",
    ("model", "persistence"): "model.save writes a file",
    ("model", "noise"): "a circuit with channels is compiled to a model of its own",
    ("peers", "pennylane_device"): "the comparison runs the device too",
    ("compiling", "pennylane_device"): "kg.compile takes QNodes too",
}

APART = [  # (these modules, never import those)
    ("circuit", ("program", "lowering", "backends")),
    ("program", ("circuit", "gates", "gate_spec", "factors", "expressions", "pauli")),
    ("backends", ("circuit", "gates", "gate_spec", "factors", "expressions", "lowering", "pauli", "model")),
    ("gradients.adjoint", ("gradients.parameter_shift", "shift_rules")),
    ("gradients.parameter_shift", ("gradients.adjoint",)),
    ("gradients.shifted_shots", ("gradients.adjoint", "gradients.parameter_shift")),
    ("train", ("sklearn", "cli")),
    ("model", ("jax", "sklearn", "torch", "pennylane_device", "train")),
    ("interfaces", ("circuit", "model", "model_function", "layer_function")),
]

OPTIONAL = {  # module: the only files that may import it, whatever the place
    "numba": ("backends.",),
    "pennylane": ("pennylane_device.", "peers", "compare"),
    "sklearn": ("sklearn.", "data", "baseline", "train", "job", "hybrid"),
    "torch": ("interfaces.torch_interface", "interfaces.torch_operators", "torch", "peers"),
    "jax": ("interfaces.jax_interface", "jax"),
    "autograd": ("interfaces.autograd_interface",),
    "matplotlib": ("drawing", "drawing_graphics", "charts", "plots", "report"),
    "pandas": ("data", "settings"),
    "tqdm": ("console", "cli", "optimise", "train", "anneal.sampler"),
    "dimod": ("anneal.",),
    "networkx": ("anneal.",),
    "scipy": ("anneal.",),
}


def modules() -> dict[str, Path]:
    out = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        out[".".join(p for i, p in enumerate(parts) if p != "__init__" or i == 0)] = path
    return out


@cache
def imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """(absolute name, at the top of the module) of everything a file imports, but for type checkers only."""
    package = ["ketgrad", *path.relative_to(SOURCE).parent.parts]
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                found.extend((a.name, top) for a in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                stem = ".".join([*base, *filter(None, [child.module])])
                for a in child.names:  # `from . import data` imports a module, `from .data import load` does not
                    inner = stem.removeprefix("ketgrad").lstrip(".").replace(".", "/")
                    is_module = (SOURCE / inner / f"{a.name}.py").is_file() or (SOURCE / inner / a.name).is_dir()
                    found.append((f"{stem}.{a.name}" if stem.startswith("ketgrad") and is_module else stem, top))
            visit(child, top and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    visit(ast.parse(path.read_text()), True)
    return tuple(found)


def inner_imports() -> Iterator[tuple[str, str, bool]]:
    """(module, module it imports, at the top) within the package."""
    known = modules()
    for name, path in known.items():
        for target, top in imports(path):
            if target.startswith("ketgrad.") and target != "ketgrad._core":
                inner = target.removeprefix("ketgrad.")
                yield name, inner if inner in known else inner.split(".")[0], top


def layer(module: str) -> str:
    return module.split(".")[0]


def test_every_module_has_a_layer():
    unknown = {layer(m) for m in modules()} - set(LEVEL)
    assert not unknown, f"say in LAYERS where {sorted(unknown)} stand"
    gone = set(LEVEL) - {layer(m) for m in modules()}
    assert not gone, f"LAYERS names {sorted(gone)}, which do not exist"


def test_imports_point_down():
    wrong = []
    for name, target, top in inner_imports():
        a, b = layer(name), layer(target)
        if LEVEL[b] > LEVEL[a] and (top or (a, b) not in UPWARD):
            wrong.append(f"{name} imports {target}" + ("" if top else " inside a function"))
    assert not wrong, "\n".join(wrong)


def test_exceptions_are_needed():
    lazy = {(layer(a), layer(b)) for a, b, top in inner_imports() if not top}
    assert set(UPWARD) <= lazy


@pytest.mark.parametrize(("who", "never"), APART, ids=lambda v: v if isinstance(v, str) else "")
def test_what_may_not_know_what(who, never):
    for name, target, _ in inner_imports():
        if name == who or name.startswith(f"{who}."):
            assert not any(target == n or target.startswith(f"{n}.") for n in never), f"{name} imports {target}"


def test_no_cycles_at_import_time():
    graph: dict[str, set[str]] = {}
    for name, target, top in inner_imports():
        if top and name != target:
            graph.setdefault(name, set()).add(target)
    done: set[str] = set()

    def walk(node: str, path: tuple[str, ...]) -> None:
        assert node not in path, " -> ".join((*path[path.index(node) :], node))
        if node not in done:
            for target in sorted(graph.get(node, ())):
                walk(target, (*path, node))
            done.add(node)

    for name in sorted(graph):
        walk(name, ())


def test_optional_packages_are_imported_where_they_belong():
    wrong = []
    for name, path in modules().items():
        for target, _ in imports(path):
            allowed = OPTIONAL.get(target.split(".")[0])
            if allowed is not None and not any(
                name == a.rstrip(".") or (a.endswith(".") and name.startswith(a)) for a in allowed
            ):
                wrong.append(f"{name} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_only_one_file_imports_the_native_module():
    users = [name for name, path in modules().items() if any(t.startswith("ketgrad._core") for t, _ in imports(path))]
    assert users == ["backends.native"]


def test_the_environment_is_read_in_few_places():
    allowed = {"backends", "memory"}
    users = {name for name, path in modules().items() if re.search(r"environ\b|getenv", path.read_text())}
    assert {u for u in users if layer(u) not in allowed and LEVEL[layer(u)] < LEVEL["checkpoint"]} == set()


# the other language


def sources() -> list[Path]:
    return sorted([*CSRC.glob("*.cpp"), *CSRC.glob("*.hpp")])


BOUNDARY = ("module.cpp", "binding.hpp", "shift_binding.hpp", "anneal_binding.hpp")


def test_only_the_boundary_knows_python():
    assert sources()
    for path in sources():
        knows = re.search(r"(?i:pybind11)|Python\.h|PyErr|py::", path.read_text())
        assert bool(knows) == (path.name in BOUNDARY), path.name


def test_no_backend_knows_a_gate_by_name():
    words = {
        "i",
        "x",
        "y",
        "z",
        "h",
        "s",
        "t",
        "u",
        "p",
        "id",
        "identity",
        "phase",
        "rot",
        "swap",
        "unitary",
        "diagonal",
    }
    names = set(BY_NAME) - words
    for path in [*sources(), *(SOURCE / "backends").glob("*.py")]:
        text = re.sub(r"//.*|#.*|\"\"\".*?\"\"\"", "", path.read_text(), flags=re.DOTALL if path.suffix == ".py" else 0)
        found = names & set(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", text))
        assert not found, f"{path.name} says {sorted(found)}"


@pytest.mark.skipif(not NATIVE, reason="needs the native core")
def test_instruction_layout_is_the_same_in_both_languages():
    from ketgrad import _core

    layout = _core.layout()
    assert INSTRUCTION.itemsize == layout["itemsize"] == 64
    assert TERM.itemsize == layout["term_itemsize"] == 32
    assert {name: INSTRUCTION.fields[name][1] for name in INSTRUCTION.names} == layout["instruction"]
    assert {o.name: int(o) for o in Opcode} == layout["opcodes"]


def test_instruction_layout_is_what_numba_sees():
    if "numba" not in BACKENDS:
        pytest.skip("the Numba backend is not tested")
    import numba

    for dtype in (INSTRUCTION, TERM):
        record = numba.from_dtype(dtype)
        assert record.size == dtype.itemsize
        assert {n: record.offset(n) for n in dtype.names} == {n: dtype.fields[n][1] for n in dtype.names}


def test_instruction_is_packed_and_little_endian():
    covered = np.zeros(64, dtype=int)
    for name in INSTRUCTION.names:
        field, offset = INSTRUCTION.fields[name][:2]
        covered[offset : offset + field.itemsize] += 1
        assert offset % field.itemsize == 0 and field.str[0] in "<|"
    assert np.all(covered == 1)


# the stub


def parameter_names(doc: str) -> list[str]:
    """The names in the first line of a pybind11 docstring: f(a: list[int], b: str = 'x') -> None."""
    inside = doc[doc.index("(") + 1 :]
    depth, names, start = 0, [], True
    for token in re.findall(r"[\w.]+|[^\w\s]", inside):
        if depth == 0 and token == ")":
            break
        if start and re.match(r"\w", token):
            names.append(token)
            start = False
        depth += (token in "([{") - (token in ")]}")
        start = start or (depth == 0 and token == ",")
    return [n for n in names if n != "self"]


@pytest.mark.skipif(not NATIVE, reason="needs the native core")
def test_stub_matches_the_native_module():
    from ketgrad import _core

    tree = ast.parse((SOURCE / "_core.pyi").read_text())
    classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    assert {n for n in dir(_core) if not n.startswith("_")} == {*classes, *functions}

    def assert_same(ours: ast.FunctionDef, theirs: object) -> None:
        wanted = [a.arg for a in (*ours.args.posonlyargs, *ours.args.args) if a.arg != "self"]
        assert parameter_names(theirs.__doc__ or "") == wanted, f"{ours.name}: {theirs.__doc__}"

    for name, node in functions.items():
        assert_same(node, getattr(_core, name))
    for name, node in classes.items():
        members = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
        there = {n for n in vars(getattr(_core, name)) if not n.startswith("_")}
        assert there == {n for n in members if not n.startswith("_")}, name
        for member, definition in members.items():
            assert_same(definition, getattr(getattr(_core, name), member))


# one place for each thing, sizes, manners


def test_the_version_is_written_once():
    text = f'"{kg.__version__}"'
    holders = [p for p in SOURCE.rglob("*.py") if f"version__ = {text}" in p.read_text()]
    assert [p.name for p in holders] == ["_version.py"]
    for name in ("pyproject.toml", "CMakeLists.txt"):
        path = ROOT / name
        if path.exists():
            assert text not in path.read_text(), f"{name} repeats the version"
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|a\d+|b\d+|rc\d+)?", kg.__version__)


def test_installed_version_is_the_packages():
    from importlib import metadata

    try:
        installed = metadata.version("ketgrad")
    except metadata.PackageNotFoundError:
        pytest.skip("ketgrad is not installed, only on the path")
    assert installed == kg.__version__


LINES = 400
LONGER = {"gates.inc.hpp": 450, "compiled.cpp": 450}  # one kernel or one rule after the other, each a screen
TEST_LINES = 450


def test_files_are_short():
    limits = {p: LONGER.get(p.name, LINES) for p in [*SOURCE.rglob("*.py"), *sources()]}
    limits |= dict.fromkeys(Path(__file__).parent.glob("*.py"), TEST_LINES)
    long = {p.name: n for p, limit in limits.items() if (n := p.read_text().count("\n")) > limit}
    assert not long, f"too many lines: {long}"


def test_every_module_says_what_it_owns():
    for path in [*SOURCE.rglob("*.py"), *Path(__file__).parent.glob("*.py")]:
        doc = ast.get_docstring(ast.parse(path.read_text()))
        assert doc, f"{path.name} has no docstring"
        limit = 40 if path.name == "__init__.py" and path.parent == SOURCE else 20
        assert len(doc.splitlines()) < limit, f"{path.name}: a docstring under a dozen lines"


def test_public_names_have_docstrings():
    for name in kg.__all__:
        value = getattr(kg, name)
        if callable(value):
            assert value.__doc__, name
            for member, function in vars(value).items() if isinstance(value, type) else ():
                if callable(function) and not member.startswith("_"):
                    assert function.__doc__, f"{name}.{member}"


def test_warnings_are_errors(pytestconfig):
    assert "error" in pytestconfig.getini("filterwarnings")
    with pytest.raises(UserWarning, match="raised"):
        warnings.warn("raised", UserWarning, stacklevel=1)
