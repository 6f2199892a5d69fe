"""Kill trainings at random moments with SIGKILL, resume them, and check that nothing is lost or changed.

Usage: python bench/kill_resume.py [COUNT]        (default 50 kills, over as many trainings as it takes)

One training runs undisturbed. Then trainings with the same options are killed again and again, each time at a random
moment after their first new checkpoint, and resumed until they finish. They write a checkpoint every few milliseconds.
Every checkpoint found after a kill must be readable, and the final parameters, optimiser slots and history must be
those of the undisturbed training, bit for bit.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ketgrad.checkpoint import read_archive

OPTIONS = "--data digits --qubits 4 --layers 2 --epochs 300 --batch 128 --no-classical --quiet".split()


def command(out: Path) -> list[str]:
    """One `ketgrad train` that resumes what it finds."""
    return [sys.executable, "-m", "ketgrad", "train", *OPTIONS, "--out", str(out), "--resume"]


def final_state(out: Path) -> dict[str, np.ndarray]:
    """What must not depend on interruptions: all arrays but the column of times in the history."""
    _, header, arrays = read_archive(out / "checkpoint.npz", "checkpoint")
    arrays["history"] = arrays["history"][:, :4]
    arrays["epoch"] = np.array(header["epoch"])
    arrays["rng"] = np.array(repr(header["rng"]))
    return arrays


def written(path: Path) -> int:
    """When the checkpoint was written, in nanoseconds; 0 before the first."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def killed(out: Path, delay: float) -> bool:
    """SIGKILL a training `delay` seconds after its first new checkpoint; whether it was still running."""
    before = written(out / "checkpoint.npz")
    process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL)
    while process.poll() is None and written(out / "checkpoint.npz") == before:
        time.sleep(0.001)
    try:
        if process.wait(timeout=delay):
            raise SystemExit("a resumed training failed")
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


def main() -> int:
    """Run the kills; exit code 0 when all is well."""
    parser = argparse.ArgumentParser(description="kill trainings and resume them")
    parser.add_argument("count", nargs="?", type=int, default=50, help="number of kills (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    args = parser.parse_args()
    count, rng = args.count, random.Random(args.seed)
    folder = Path(tempfile.mkdtemp(prefix="ketgrad-kill-"))
    try:
        subprocess.run(command(folder / "whole"), check=True, stdout=subprocess.DEVNULL)
        whole = final_state(folder / "whole")
        kills = trainings = 0
        epochs = set()
        while kills < count:
            out = folder / f"killed{trainings}"
            while kills < count and killed(out, rng.uniform(0.0, 0.5)):
                kills += 1
                epochs.add(read_archive(out / "checkpoint.npz", "checkpoint")[1]["epoch"])
                print(f"\r{kills} kills", end="", flush=True)
            subprocess.run(command(out), check=True, stdout=subprocess.DEVNULL)
            for name, array in final_state(out).items():
                if array.tobytes() != whole[name].tobytes():
                    raise SystemExit(f"\n{name} differs from the undisturbed training after {kills} kills")
            left = [p.name for p in out.iterdir() if p.name.endswith(".tmp")]
            if left:
                raise SystemExit(f"\ntemporary files are left: {left}")
            trainings += 1
        print(
            f"\r{kills} kills at {len(epochs)} different epochs over {trainings} trainings: no checkpoint corrupt; "
            "final parameters, optimiser slots and history identical to the bit"
        )
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
