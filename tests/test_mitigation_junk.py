"""`kg.mitigation` answers junk with documented errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import junk_mitigation
import pytest
from conftest import BACKENDS
from subprocesses import environment


@pytest.mark.parametrize("group", junk_mitigation.GROUPS)
def test_junk_ends_in_documented_errors(group: str, tmp_path: Path) -> None:
    """As for the rest of the package: no signal, no hang, no undocumented error."""
    script = Path(__file__).parent / "junk_mitigation.py"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(script), group, BACKENDS[0]],
        env=environment(),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, f"exit {done.returncode} after:\n{done.stderr[-3000:]}"
    report = json.loads(done.stdout.splitlines()[-1])
    assert not report["findings"], "\n".join(report["findings"][:20])
    assert report["calls"] > 1000
