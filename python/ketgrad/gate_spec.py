"""`GateSpec`: one row of the gate table, and everything that follows from its body.

Owns: what a row states, what is derived from it (matrix, generator, spectrum, flags), and the check of its extra
argument. May not know: which gates there are, wires of a circuit, bits, opcodes, backends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .errors import CircuitError, GateMatrixError
from .factors import Dense, Factor, Matrix, factor_generator, factor_matrix
from .pauli import check_word

MAX_UNITARY_WIRES = 12  # a 4096 x 4096 matrix, 256 MiB


@dataclass(frozen=True)
class GateSpec:
    """One row of the table: the minimum of independent facts about a gate.

    `wires` counts controls and targets; None marks a variadic gate, whose `body` is a function of the actual
    number of targets and the gate's extra argument. `extra` names that argument (a Pauli word, a matrix, ...), which
    comes before the wires.
    """

    name: str
    doc: str
    wires: int | None
    params: tuple[str, ...] = ()
    controls: int = 0
    body: tuple[Factor, ...] | Callable[[int, Any], tuple[Factor, ...]] | None = ()
    aliases: tuple[str, ...] = ()
    qasm: str | None = None
    pennylane: str | None = None
    extra: str | None = None
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.wires is None:
            return
        targets = self.wires - self.controls
        used = set()
        for factor in self.factors():
            for pattern in (getattr(factor, "word", ""), factor.on, getattr(factor, "first", "")):
                if isinstance(pattern, str) and pattern and len(pattern) != targets:
                    raise CircuitError(f"gate table, {self.name}: {pattern!r} does not span {targets} targets")
            if isinstance(factor, Dense):
                m = factor.matrix
                if m.shape != (2**targets, 2**targets) or not np.allclose(m @ m.conj().T, np.eye(2**targets)):
                    raise CircuitError(f"gate table, {self.name}: the literal is not a unitary on {targets} wires")
            angle = getattr(factor, "angle", None)
            if angle is not None and angle.param is not None:
                used.add(angle.param)
        if used != set(self.params):
            raise CircuitError(f"gate table, {self.name}: declared {self.params}, the body uses {sorted(used)}")

    def factors(self, targets: int | None = None, extra: Any = None) -> tuple[Factor, ...]:
        """The body for this many targets."""
        if callable(self.body):
            assert targets is not None
            return self.body(targets, extra)
        return self.body or ()

    def matrix(self, *params: float, wires: int | None = None, extra: Any = None) -> Matrix:
        """The gate's unitary, controls first, shape (2^k, 2^k).

        Args:
            params: angles in radians, in the order of `params`.
            wires: number of wires, for variadic gates only.
            extra: the Pauli word, matrix or vector of a variadic gate.
        """
        k = self.wires if self.wires is not None else wires
        if k is None:
            raise CircuitError(f"{self.name}: give wires=, the gate acts on any number of them")
        if len(params) != len(self.params):
            raise CircuitError(f"{self.name} takes {len(self.params)} parameters {self.params}, got {len(params)}")
        targets = 1 if self.wires is None and self.controls else k - self.controls
        controls = k - targets
        values = dict(zip(self.params, params, strict=True))
        out = np.eye(2**targets, dtype=complex)
        for factor in self.factors(targets, extra):
            out = factor_matrix(factor, targets, values) @ out
        full = np.eye(2**k, dtype=complex)
        full[2**k - 2**targets :, 2**k - 2**targets :] = out
        return full if controls else out

    def derivative(self, param: str, *params: float) -> Matrix:
        """dU/dparam, exact, from the factors (fixed-wire gates)."""
        assert self.wires is not None
        k = self.wires - self.controls
        values = dict(zip(self.params, params, strict=True))
        matrices = [factor_matrix(f, k, values) for f in self.factors()]
        total = np.zeros((2**k, 2**k), dtype=complex)
        for position, factor in enumerate(self.factors()):
            angle = getattr(factor, "angle", None)
            if angle is None or angle.param != param:
                continue
            out = np.eye(2**k, dtype=complex)
            for q, m in enumerate(matrices):
                out = m @ out
                if q == position:
                    out = -1j * angle.scale * factor_generator(factor, k) @ out
            total += out
        full = np.zeros((2**self.wires, 2**self.wires), dtype=complex)
        full[-(2**k) :, -(2**k) :] = total
        return full

    def generator(self, param: str) -> Matrix:
        """Hermitian G with dU/dparam = -i U G at generic angles; its spectrum does not depend on them."""
        key = f"generator {param}"
        if key not in self._cache:
            angles = [0.3 + 0.7 * i for i in range(len(self.params))]
            self._cache[key] = 1j * self.matrix(*angles).conj().T @ self.derivative(param, *angles)
        return np.asarray(self._cache[key])

    def spectrum(self, param: str) -> npt.NDArray[np.float64]:
        """Distinct eigenvalues of the generator, ascending."""
        return np.unique(np.round(np.linalg.eigvalsh(self.generator(param)), 9))

    def frequencies(self, param: str) -> tuple[float, ...]:
        """Positive differences of the spectrum: what an expectation value contains as a function of `param`."""
        values = self.spectrum(param)
        gaps = np.unique(np.round(np.abs(values[:, None] - values[None, :]), 9))
        return tuple(float(g) for g in gaps if g > 1e-6)

    @cached_property
    def _sample(self) -> Matrix:
        return self.matrix(*[0.3 + 0.7 * i for i in range(len(self.params))])

    @property
    def is_diagonal(self) -> bool:
        """Whether the matrix is diagonal for every angle."""
        return bool(np.allclose(self._sample, np.diag(np.diag(self._sample))))

    @property
    def is_permutation(self) -> bool:
        """Whether every row has one entry of modulus 1."""
        return bool(np.allclose(np.abs(self._sample).max(axis=0), 1.0))

    @property
    def is_self_inverse(self) -> bool:
        """Whether U U = 1 for every angle."""
        return bool(np.allclose(self._sample @ self._sample, np.eye(len(self._sample))))


# What a row of a circuit has that is noise: no gate, so in no table; `extra` is the `noise.Channel`.
CHANNEL = GateSpec("channel", "Noise.", None, body=None, extra="channel")


def check_extra(spec: GateSpec, extra: Any, k: int) -> Any:
    """The extra argument of a variadic gate, checked and frozen."""
    if spec.extra is None:
        if extra is not None:
            raise CircuitError(f"{spec.name} takes no extra argument, got {type(extra).__name__}")
        return None
    if spec is CHANNEL:
        raise CircuitError("a channel is appended by circuit.channel, and has neither controls nor an inverse")
    if spec.extra == "word":
        return check_word(extra, k)
    if spec.extra == "dim":
        if isinstance(extra, bool) or not isinstance(extra, (int, np.integer)) or not 0 <= extra <= 2**k:
            raise CircuitError(f"{spec.name}: dim is an integer from 0 to {2**k}, got {extra!r}")
        return int(extra)
    wanted = (2**k, 2**k) if spec.extra == "matrix" else (2**k,)
    if spec.extra == "matrix" and k > MAX_UNITARY_WIRES:
        raise GateMatrixError(f"{spec.name}: a matrix has at most {MAX_UNITARY_WIRES} wires, got {k}")
    kind = float if spec.extra == "values" else complex
    frozen = type(extra) is np.ndarray and extra.dtype == kind and isinstance(cast(object, extra.base), bytes)
    try:
        array = extra if frozen else np.array(extra, dtype=kind)  # what nobody can ever write to is shared
    except (TypeError, ValueError):
        raise GateMatrixError(
            f"{spec.name}: the {spec.extra} is an array of numbers, got {type(extra).__name__}"
        ) from None
    if array.shape != wanted:
        raise GateMatrixError(f"{spec.name}: {k} wires need a {spec.extra} of shape {wanted}, got {array.shape}")
    if not np.all(np.isfinite(array)):
        raise GateMatrixError(f"{spec.name}: the {spec.extra} has entries that are not finite")
    if spec.extra != "values":
        product = array @ array.conj().T - np.eye(2**k) if spec.extra == "matrix" else np.abs(array) ** 2 - 1
        defect = float(np.abs(product).max())
        if defect > 1e-8:
            raise GateMatrixError(f"{spec.name}: the {spec.extra} is not unitary, |U U^dagger - 1| = {defect:.3g}")
    array.setflags(write=False)
    return array
