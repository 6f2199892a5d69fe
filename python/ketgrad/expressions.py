"""Parameters, the arithmetic a circuit may do with them, and its vectorised evaluation with its own VJP.

Owns: `Expression` (a polynomial of degree at most two in weights and inputs) and `Stage`, which fills the slots
of a program from weights and inputs in a fixed number of numpy calls. May not know: gates, bits, backends.

An expression that is affine in one parameter costs nothing here: the instruction carries its scale and offset.
Anything else (w * x, x[0] + w[1], (pi - x[0]) * (pi - x[1])) becomes a derived slot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ArgumentTypeError, ParameterError
from .finite import require_finite
from .memory import require_bytes

Array = npt.NDArray[np.float64]
Key = tuple[str, int]  # ("w", i) for weight i, ("x", j) for input j
Monomial = tuple[Key, ...]  # sorted; () is the constant


class Expression:
    """A polynomial of degree at most two in the parameters of one circuit."""

    __slots__ = ("owner", "terms")
    __array_ufunc__ = None  # numpy scalars and arrays leave the arithmetic to us

    def __init__(self, owner: int, terms: dict[Monomial, float]) -> None:
        self.owner = owner
        self.terms = terms

    @property
    def is_shared(self) -> bool:
        """Whether it depends on weights only, so has one value for the whole batch."""
        return all(kind == "w" for monomial in self.terms for kind, _ in monomial)

    @property
    def affine(self) -> tuple[Key, float, float] | None:
        """(parameter, scale, offset) when affine in exactly one parameter, else None."""
        linear = [(m, c) for m, c in self.terms.items() if m]
        if len(linear) == 1 and len(linear[0][0]) == 1:
            return linear[0][0][0], linear[0][1], self.terms.get((), 0.0)
        return None

    def _with(self, other: Any, combine: Callable[[Expression, Expression], Expression]) -> Any:
        if isinstance(other, np.ndarray):
            return np.array([self._with(o, combine) for o in other.flat], dtype=object).reshape(other.shape)
        if isinstance(other, Expression):
            if other.owner != self.owner:
                raise ParameterError("parameters of two different circuits cannot be combined")
            return combine(self, other)
        if isinstance(other, (int, float, np.integer, np.floating)):
            return combine(self, Expression(self.owner, {(): finite(other, "a constant in an expression")}))
        return NotImplemented

    def __add__(self, other: Any) -> Any:
        return self._with(other, _sum)

    __radd__ = __add__

    def __neg__(self) -> Expression:
        return Expression(self.owner, {m: -c for m, c in self.terms.items()})

    def __sub__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: _sum(a, -b))

    def __rsub__(self, other: Any) -> Any:
        return (-self) + other

    def __mul__(self, other: Any) -> Any:
        return self._with(other, _product)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, (int, float, np.integer, np.floating)):
            if other == 0:
                raise ZeroDivisionError("a parameter divided by zero")
            return self * (1.0 / float(other))
        return NotImplemented

    def __pow__(self, exponent: Any) -> Any:
        if exponent == 1:
            return self
        if exponent == 2:
            return self * self
        raise ParameterError(
            f"expressions have degree at most 2, got a power of {exponent!r}; compute it outside, pass it as an input"
        )

    def __float__(self) -> float:
        raise ArgumentTypeError(
            f"{self!r} has no value yet: it is a parameter of the circuit, filled when the model is called"
        )

    def __bool__(self) -> bool:
        raise ArgumentTypeError(f"{self!r} has no truth value: it is filled when the model is called")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.owner == other.owner and self.terms == other.terms

    def __hash__(self) -> int:
        return hash((self.owner, frozenset(self.terms.items())))

    def __repr__(self) -> str:
        shown = []
        for monomial, c in self.terms.items():
            name = "*".join(f"{kind}[{i}]" for kind, i in monomial)
            shown.append(f"{c:g}" if not name else name if c == 1 else f"-{name}" if c == -1 else f"{c:g}*{name}")
        return " + ".join(shown).replace("+ -", "- ") or "0"


def _sum(a: Expression, b: Expression) -> Expression:
    out = dict(a.terms)
    for m, c in b.terms.items():
        out[m] = out.get(m, 0.0) + c
    return Expression(a.owner, out)


def _product(a: Expression, b: Expression) -> Expression:
    out: dict[Monomial, float] = {}
    for ma, ca in a.terms.items():
        for mb, cb in b.terms.items():
            m = tuple(sorted(ma + mb))
            if len(m) > 2:
                raise ParameterError(
                    "expressions have degree at most 2 in the parameters; compute higher products outside and pass "
                    "them as inputs"
                )
            out[m] = out.get(m, 0.0) + ca * cb
    return Expression(a.owner, out)


def finite(value: Any, what: str) -> float:
    """`value` as a finite float.

    Raises:
        ArgumentTypeError: not a real number.
        ParameterError: NaN or infinite.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ArgumentTypeError(f"{what} must be a real number or a parameter, got {type(value).__name__}")
    try:
        out = float(value)
    except OverflowError:
        out = math.inf
    if not math.isfinite(out):
        raise ParameterError(f"{what} must be finite, got {out}")
    return out


def real_array(value: Any, what: str) -> Array:
    """`value` as a float64 array; complex, infinite and missing numbers are refused."""
    if type(value) is np.ndarray and value.dtype == np.float64 and value.flags.c_contiguous:
        require_finite(value, what)
        return value.view()
    if value is None:
        return np.zeros(0)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        raise ParameterError(f"{what} must be an array of real numbers, got a ragged {type(value).__name__}") from None
    if array.dtype.kind not in "fiub":
        raise ArgumentTypeError(f"{what} must be an array of real numbers, got dtype {array.dtype}")
    if array.dtype != np.float64 or not array.flags.c_contiguous:  # there will be a copy
        require_bytes(8 * array.size, f"an array of {what} of shape {array.shape}")
    out = np.ascontiguousarray(array, dtype=np.float64).reshape(array.shape)
    require_finite(out, what)
    return out


class _Derived:
    """The derived slots of one kind, as flat tables: out[o] += coefficient * base[i] * base[j]."""

    def __init__(self, expressions: Sequence[Expression], position: Callable[[Key], int]) -> None:
        rows = [
            (o, c, *[position(k) for k in m], *[0] * (2 - len(m)))
            for o, e in enumerate(expressions)
            for m, c in (e.terms or {(): 0.0}).items()
        ]
        self.size = len(expressions)
        self.out = np.array([r[0] for r in rows], dtype=np.intp)
        self.coefficient = np.array([r[1] for r in rows], dtype=float)
        self.i = np.array([r[2] for r in rows], dtype=np.intp)
        self.j = np.array([r[3] for r in rows], dtype=np.intp)
        self.starts = np.flatnonzero(np.r_[True, self.out[1:] != self.out[:-1]]) if rows else self.out

    def evaluate(self, base: Array) -> Array:
        """(..., n_base) -> (..., size)."""
        with np.errstate(over="ignore", invalid="ignore"):  # an overflow is refused with the slots
            terms = self.coefficient * base[..., self.i] * base[..., self.j]
        return np.asarray(np.add.reduceat(terms, self.starts, axis=-1))

    def pull(self, base: Array, gradient: Array) -> Array:
        """Cotangents (..., size) of the slots -> cotangents (..., n_base) of the base."""
        per_term = gradient[..., self.out] * self.coefficient
        out = np.zeros((base.shape[-1], *per_term.shape[:-1]))
        np.add.at(out, self.i, np.moveaxis(per_term * base[..., self.j], -1, 0))
        np.add.at(out, self.j, np.moveaxis(per_term * base[..., self.i], -1, 0))
        return np.moveaxis(out, 0, -1)


class Stage:
    """Fills slots from weights (P,) and inputs (B, F).

    Shared slots are the weights, then the derived shared ones; per-sample slots are the inputs, then the derived
    per-sample ones.
    """

    def __init__(self, n_weights: int, n_inputs: int, derived: Sequence[Expression]) -> None:
        self.n_weights, self.n_inputs = n_weights, n_inputs
        shared = [e for e in derived if e.is_shared]
        mixed = [e for e in derived if not e.is_shared]

        def position(key: Key) -> int:  # base = [1, weights, inputs]
            return 1 + key[1] + (n_weights if key[0] == "x" else 0)

        self._shared = _Derived(shared, position)
        self._mixed = _Derived(mixed, position)
        self.n_shared = n_weights + len(shared)
        self.n_per_sample = n_inputs + len(mixed)
        self._slots = {e: n_weights + k for k, e in enumerate(shared)}
        self._slots |= {e: self.n_shared + n_inputs + k for k, e in enumerate(mixed)}

    @property
    def is_direct(self) -> bool:
        """Whether slots are the weights and the inputs, and nothing else."""
        return not self._shared.size and not self._mixed.size

    def slot(self, expression: Expression) -> tuple[int, float, float]:
        """(slot, scale, offset) of an expression; per-sample slots follow the shared ones."""
        affine = expression.affine
        if affine is not None:
            (kind, index), scale, offset = affine
            return (index if kind == "w" else self.n_shared + index), scale, offset
        return self._slots[expression], 1.0, 0.0

    def evaluate(self, weights: Array, inputs: Array) -> tuple[Array, Array]:
        """Slots from weights (P,) and inputs (B, F): shared (S,), per-sample (B, F')."""
        shared, per_sample = weights, inputs
        if self._shared.size:
            shared = np.concatenate([weights, self._shared.evaluate(np.r_[1.0, weights])])
        if self._mixed.size:
            per_sample = np.concatenate([inputs, self._mixed.evaluate(self._base(weights, inputs))], axis=1)
        return shared, per_sample

    def pull(self, weights: Array, inputs: Array, shared: Array, per_sample: Array, each: bool) -> tuple[Array, Array]:
        """Cotangents of slots -> cotangents of weights and inputs.

        Args:
            shared: (K, S), or (K, B, S) when `each`: one gradient for every sample.
            per_sample: (K, B, F').

        Returns:
            (K, P) or (K, B, P), and (K, B, F).
        """
        grad_weights = shared[..., : self.n_weights]
        grad_inputs = per_sample[..., : self.n_inputs]
        if self._shared.size:
            base = np.r_[1.0, weights]
            grad_weights = grad_weights + self._shared.pull(base, shared[..., self.n_weights :])[..., 1:]
        if self._mixed.size:
            pulled = self._mixed.pull(self._base(weights, inputs), per_sample[..., self.n_inputs :])
            to_weights = pulled[..., 1 : 1 + self.n_weights]
            grad_weights = grad_weights + (to_weights if each else to_weights.sum(axis=1))
            grad_inputs = grad_inputs + pulled[..., 1 + self.n_weights :]
        return grad_weights, grad_inputs

    def _base(self, weights: Array, inputs: Array) -> Array:
        batch = len(inputs)
        return np.concatenate([np.ones((batch, 1)), np.broadcast_to(weights, (batch, len(weights))), inputs], axis=1)
