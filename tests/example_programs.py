"""The programs in examples/ as modules, and the rows of their README's tables."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).parents[1] / "examples"
_NATIVE, _PENNYLANE = (EXAMPLES / "README.md").read_text().split("## From PennyLane")


def rows(text: str) -> list[tuple[str, str, str]]:
    """(file, command, what the row promises) of every program in a table."""
    return re.findall(r"^\| \[(.+?)\]\(.+?\) \|.*?\| `(python .+?)` \| (.+) \|$", text, re.M)


NATIVE_ROWS, PENNYLANE_ROWS = rows(_NATIVE), rows(_PENNYLANE)


def promised_numbers(promise: str) -> list[str]:
    """The numbers that a row has in backticks: those that the program prints on every machine."""
    return re.findall(r"`([-0-9.e]+)`", promise)


def program(name: str) -> ModuleType:
    """The example as a module; the folder is on the path meanwhile, as when it is run."""
    spec = importlib.util.spec_from_file_location(f"example_{Path(name).stem}", EXAMPLES / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(EXAMPLES))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(EXAMPLES))
    return module
