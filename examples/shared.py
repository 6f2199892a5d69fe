"""What the programs of this folder share: options, a progress bar, and figures printed beside their references."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure as Picture
from PIL import Image
from threadpoolctl import threadpool_limits


class Figure(NamedTuple):
    """A number that a program computed, and what it should be.

    Attributes:
        source: where the reference is from.
        tolerance: a larger difference is printed as one.
        form: how both are shown.
    """

    name: str
    value: float
    reference: float
    source: str
    tolerance: float
    form: str = ".9f"

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the tolerance."""
        return bool(abs(self.value - self.reference) <= self.tolerance)


def options(about: str, argv: Sequence[str] | None, seed: int | None = None) -> argparse.Namespace:
    """`quick`, `out` and, where a program draws random numbers, `seed`."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer points, the same figures where they are exact")
    parser.add_argument(
        "--out", type=Path, default=Path("pictures"), help="folder of the picture (default: %(default)s)"
    )
    if seed is not None:
        parser.add_argument("--seed", type=int, default=seed, help="of all random numbers (default: %(default)s)")
    threadpool_limits(1, "blas")  # the small matrices of optimisers: threads would only get in the way of ketgrad's
    return parser.parse_args(argv)


def progress(items: Sequence[Any], what: str) -> Iterable[Any]:
    """The items, behind a progress bar where tqdm is installed and a terminal is there."""
    try:
        from tqdm import tqdm
    except ImportError:
        return items
    return tqdm(items, desc=what, disable=None)  # type: ignore[no-any-return]


def finish(figures: list[Figure], picture: Picture, path: Path) -> list[Figure]:
    """Print the figures, write the picture, and return the figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with io.BytesIO() as drawn:
        picture.savefig(drawn, dpi=75)
        Image.open(drawn).convert("RGB").quantize(128).save(path, optimize=True)  # half the size, and looks the same
    width = max(len(f.name) for f in figures)
    for f in figures:
        verdict = "agrees" if f.agrees else "DIFFERS"
        print(
            f"{f.name:{width}}  {f.value:{f.form}}  reference {f.reference:{f.form}} ({f.source}): {verdict}, "
            f"by {f.value - f.reference:+.1e} with {f.tolerance:.1e} allowed"
        )
    print(f"picture: {path}")
    return figures
