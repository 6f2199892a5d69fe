"""What the README shows is run: every Python block, and every `make` target and link it names exists."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ketgrad as kg

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def run(block: str) -> dict[str, Any]:
    """The block's names after it ran."""
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    return names


def test_first_example() -> None:
    names = run(BLOCKS[0])
    assert len(BLOCKS[0].strip().splitlines()) <= 20
    values, gradients, model = names["values"], names["gradients"], names["model"]
    assert values.shape == (32, 4)
    assert gradients.weights.shape == (2, 4, 3)
    assert gradients.inputs.shape == (32, 4)
    step = 1e-6 * np.eye(24)[5]
    flat = (names["weights"] + 0.1 * gradients.weights).reshape(-1)  # before the step of the example
    slope = sum(s * (model(flat + s * step, names["inputs"]) ** 2).sum() for s in (1, -1)) / 2e-6
    assert gradients.weights.reshape(-1)[5] == pytest.approx(slope, abs=1e-6)


def test_choice_of_gradients() -> None:
    names = run(BLOCKS[1])
    np.testing.assert_allclose(names["exact"], names["shifted"], atol=1e-12)
    noisy = names["noisy"]
    assert (np.abs(noisy.weights - names["exact"]) <= 6 * np.sqrt(noisy.weights_variance) + 1e-12).all()


def test_torch_example() -> None:
    torch = pytest.importorskip("torch")
    names = run(BLOCKS[2])
    layer = names["network"][1]
    assert names["loss"].item() == pytest.approx(np.log(2), abs=0.3) and layer.w.grad.shape == (2, 4)
    x = torch.rand(3, 4, dtype=torch.float64)
    np.testing.assert_allclose(layer(x).detach(), layer.model(layer.w.detach().numpy(), x.numpy()), atol=1e-14)


def test_pennylane_example() -> None:
    pytest.importorskip("pennylane")
    if not entry_points(group="pennylane.plugins", name="ketgrad.qubit"):
        pytest.skip("run from a source tree: PennyLane finds devices of installed packages only (make test installs)")
    names = run(BLOCKS[3])
    # <Z_1> = cos(a) cos(b)
    a, b = 0.1, 0.2
    np.testing.assert_allclose(names["gradient"], [-np.sin(a) * np.cos(b), -np.cos(a) * np.sin(b)], atol=1e-10)
    assert names["fast"].traced
    np.testing.assert_allclose(names["fast"](np.array([a, b])), np.cos(a) * np.cos(b), atol=1e-12)


def test_estimator_example() -> None:
    pytest.importorskip("sklearn")
    names = run(BLOCKS[4])
    assert names["accuracy"] >= 0.8 and names["kernel_accuracy"] >= 0.9


def test_jax_example() -> None:
    jax = pytest.importorskip("jax")
    names = run(BLOCKS[5])
    f, inputs, weights = names["f"], names["inputs"], names["weights"]
    assert names["loss"] < names["step"](jax.numpy.full((2, 2), 0.1))[0] - 0.01
    wanted = jax.jacrev(jax.grad(lambda w: f(w, inputs).sum()))(weights)
    np.testing.assert_allclose(names["hessian"], wanted, atol=1e-5)


def test_annealing_example() -> None:
    for package in ("dimod", "networkx", "scipy"):
        pytest.importorskip(package)
    comparison = run(BLOCKS[6])["comparison"]
    assert len(comparison.rows) == 4
    for row in comparison.rows:
        assert row.success.best == -12 and row.success.hits > 100 and row.success.reads == 200, row.name


def test_noise_example(capsys: pytest.CaptureFixture[str]) -> None:
    names = run(BLOCKS[7])
    assert "shots" in capsys.readouterr().out
    weights = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]
    ideal = kg.compile(names["circuit"], kg.Z(0))(weights)
    raw, mitigated = names["noisy"](weights), names["values"]
    assert abs(mitigated - ideal)[0] < 0.5 * abs(raw - ideal)[0]
    assert names["pullback"]([1.0]).weights.shape == (2, 3)


def test_every_block_is_tested() -> None:
    assert len(BLOCKS) == 8


def test_named_targets_and_links_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)\b", "\n".join(re.findall(r"^make .*|`make [^`]*`", TEXT, re.MULTILINE))))
    assert {"demo", "test", "help"} <= named <= targets
    for link in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / link).is_file(), link


def test_environment_variables_are_read_somewhere() -> None:
    sources = "\n".join(p.read_text() for p in [*(ROOT / "python").rglob("*.py"), ROOT / "pyproject.toml"])
    for variable in set(re.findall(r"`(KETGRAD_[A-Z_]+)=", TEXT)):
        assert variable in sources, variable
