"""Quantum kernels: similarities of samples, from the states that a circuit makes of them.

Owns: fidelity kernel, projected kernel, kernel-target alignment with its gradient. May not know: scikit-learn.

N samples cost N circuits, in one batched call, and one matrix product; never N^2 circuits.

Shapes: X (N, F), Y (M, F) features; P weights; n wires. A circuit may also be a `Model`, which fixes dtype and backend.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .circuit import Circuit
from .errors import ArgumentError, ArgumentTypeError, ParameterError
from .expressions import real_array
from .feature_maps import feature_map
from .memory import how_many, require_bytes
from .model import Model, compile_circuit
from .pauli import X as PAULI_X
from .pauli import Y as PAULI_Y
from .pauli import Z as PAULI_Z
from .simulator import CHUNK_BYTES, Seed, check_shots, generator

__all__ = ["Alignment", "alignment", "bloch_vectors", "feature_map", "fidelity", "projected"]

Array = npt.NDArray[np.float64]
States = npt.NDArray[Any]
_HELD = 2048  # states that wait for others; to make one again costs less than its products with so many
_ROWS = 32  # of the matrix at once: what is larger than the allocator keeps costs page faults at every call


class Alignment(NamedTuple):
    """Kernel-target alignment and its gradient, in the shape in which the weights were given."""

    value: float
    gradient: Array


def fidelity(
    circuit: Circuit | Model, X: Any, Y: Any = None, *, weights: Any = None, shots: int | None = None, seed: Seed = None
) -> Array:
    """The fidelity kernel |<s(x)|s(y)>|^2 of the final states, (N, M).

    Without Y (or with Y the same object as X) the matrix is symmetric to the bit, has a diagonal of exactly 1, and is
    positive semidefinite to rounding; it takes half the work.

    Args:
        X, Y: (N, F) and (M, F); Y defaults to X.
        weights: P numbers, any shape.
        shots: how often each pair's inversion test, U(y)^dagger U(x) |0...0>, is measured: entries are then the
            shares of outcome 0...0, and the matrix need not be positive. None is exact.
        seed: of the shots.

    Raises:
        ParameterError: not (samples, F), or another number of weights.
        OutOfMemoryError: the matrix, or two states, do not fit. Where only some of the states fit, they are made again.

    Example:
        >>> gram = kg.kernels.fidelity(kg.kernels.feature_map("iqp", 8), X)
    """
    model = _model(circuit)
    left = _samples(X, "X", model)
    same = Y is None or Y is X
    right = left if same else _samples(Y, "Y", model)
    count = None if shots is None else check_shots(shots)
    rng = None if shots is None else generator(seed)
    require_bytes((16 if rng is None else 48) * len(left) * len(right), f"a kernel of {len(left)} x {len(right)}")
    out = np.empty((len(left), len(right)))
    state_bytes = model.dtype.itemsize << model.circuit.n_wires
    held = min(_HELD, how_many(len(left), 2 * state_bytes))
    step = how_many(min(len(right), max(1, CHUNK_BYTES // state_bytes)), 2 * state_bytes)
    for start in range(0, len(left), held):
        rows = slice(start, min(start + held, len(left)))
        states = _states(model, weights, left[rows])
        if same:
            _fill_gram(out[rows, rows], states)
        for first in range(rows.stop if same else 0, len(right), step):
            columns = slice(first, first + step)
            _fill_overlaps(out[rows, columns], states, _states(model, weights, right[columns]))
            if same:
                out[columns, rows] = out[rows, columns].T
    np.minimum(out, 1.0, out=out)
    if same:
        np.fill_diagonal(out, 1.0)
    if rng is not None and count is not None:
        _measure(out, count, rng, same)
    return out


def bloch_vectors(
    circuit: Circuit | Model, X: Any, *, weights: Any = None, shots: int | None = None, seed: Seed = None
) -> Array:
    """<X>, <Y>, <Z> of every wire for each sample, (N, n, 3): its 1-qubit density matrices are (1 + r . sigma) / 2.

    Args:
        shots: measurements of each of the three settings; None is exact.
        seed: of the shots.
    """
    readout = _readout(_model(circuit))
    values = readout(weights, _samples(X, "X", readout), shots=shots, seed=seed)
    return values.reshape(len(values), -1, 3)


def projected(
    circuit: Circuit | Model,
    X: Any,
    Y: Any = None,
    *,
    weights: Any = None,
    gamma: float | str = "scale",
    shots: int | None = None,
    seed: Seed = None,
) -> Array:
    """The projected kernel exp(-gamma sum_q |rho_q(x) - rho_q(y)|_F^2) of 1-qubit density matrices, (N, M).

    Huang et al., Nature Communications 12, 2631 (2021), equation 9. Where fidelities of many qubits are all small, it
    still tells samples apart. Without Y it is symmetric and has a diagonal of exactly 1.

    Args:
        X, Y: (N, F) and (M, F); Y defaults to X.
        weights: P numbers, any shape.
        gamma: a positive number; "scale": 2 / (3 n variance) of the `bloch_vectors` of the references, as in
            scikit-learn's RBF kernel of them; "median": 1 over the median squared distance between references. The
            references are Y, the training data when a support vector machine asks for its kernel.
        shots: measurements of each of the three settings of a sample; None is exact.
        seed: of the shots.

    Raises:
        ArgumentError: another gamma.
    """
    readout = _readout(_model(circuit))
    same = Y is None or Y is X
    left = _samples(X, "X", readout)
    right = left if same else _samples(Y, "Y", readout)
    rng = None if shots is None else generator(seed)
    require_bytes(24 * len(left) * len(right), f"a kernel of {len(left)} x {len(right)}")
    a = readout(weights, left, shots=shots, seed=rng)
    b = a if same else readout(weights, right, shots=shots, seed=rng)
    out = _half_squared_distances(a, b)
    out *= -_gamma(gamma, b, out if same else None)
    return np.asarray(np.exp(out, out=out))


def alignment(circuit: Circuit | Model, X: Any, labels: Any, weights: Any, *, centred: bool = False) -> Alignment:
    """Kernel-target alignment <K, T> / (|K| |T|) of the fidelity kernel, and its gradient by the weights.

    T is 1 for samples of one class, else -1 / (C - 1) with C classes, so y y^T for two. To train a kernel, follow the
    gradient upwards: Hubregtsen et al., Physical Review A 106, 042431 (2022). One adjoint sweep for the whole batch.

    Args:
        X: (N, F), all samples or a batch of them.
        labels: (N,) of at least two classes.
        weights: P numbers, any shape.
        centred: of the centred matrices (Cortes et al., JMLR 13, 795 (2012)), which does not favour large classes.

    Raises:
        ParameterError: another number of labels, or a single class.
        OutOfMemoryError: four states for each sample do not fit.

    Example:
        >>> for _ in range(100):
        ...     weights += 0.1 * kg.kernels.alignment(circuit, X, labels, weights).gradient
    """
    model = _model(circuit)
    x = _samples(X, "X", model)
    target = _targets(labels, len(x))
    state_bytes = model.dtype.itemsize << model.circuit.n_wires
    require_bytes(4 * state_bytes * len(x) + 80 * len(x) ** 2, f"the alignment of {len(x)} samples")
    states, pullback = model.forward_state(weights, x)
    gram = states @ states.conj().T
    kernel = gram.real.astype(np.float64) ** 2 + gram.imag.astype(np.float64) ** 2
    if centred:
        kernel, target = (m - m.mean(axis=0) - m.mean(axis=1)[:, None] + m.mean() for m in (kernel, target))
    size, target_size = np.linalg.norm(kernel), np.linalg.norm(target)
    if not size:  # centred, of equal samples
        return Alignment(0.0, np.zeros(np.shape(weights)))
    value = float(np.vdot(kernel, target) / (size * target_size))
    slope = target / (size * target_size) - value / size**2 * kernel
    # d K_ij / d <s_i| = |s_j><s_j|s_i>, and each pair counts twice; a state's own norm does not change
    np.fill_diagonal(slope, 0.0)
    bras = (2 * slope * gram).astype(model.dtype) @ states
    return Alignment(value, pullback(bras).weights)


# inside


def _model(circuit: Any) -> Model:
    if isinstance(circuit, Model):
        return circuit
    if not isinstance(circuit, Circuit):
        raise ArgumentTypeError(f"a kernel takes a Circuit or a Model, got {type(circuit).__name__}")
    return compile_circuit(circuit)


def _readout(model: Model) -> Model:
    """The same circuit with X, Y, Z of every wire."""
    paulis = [make(q) for q in range(model.circuit.n_wires) for make in (PAULI_X, PAULI_Y, PAULI_Z)]
    return compile_circuit(model.circuit, paulis, dtype=model.dtype, backend=model.backend)


def _samples(samples: Any, name: str, model: Model) -> Array:
    x = real_array(samples, name)
    if x.ndim != 2 or x.shape[1] != model.n_inputs or not len(x):
        raise ParameterError(f"{name} has shape (samples, {model.n_inputs}), got {np.shape(samples)}")
    return x


def _states(model: Model, weights: Any, x: Array) -> States:
    """Final states (N, 2^n), as real numbers where they are: their products take a quarter of the time."""
    states = model.state(weights, x)
    return states if states[0].imag.any() or states.imag.any() else np.ascontiguousarray(states.real)


def _fill_gram(out: Array, states: States) -> None:
    """|<s_i|s_j>|^2 into (N, N), exactly symmetric: one triangle is computed."""
    for start in range(0, len(states), _ROWS):
        rows = slice(start, start + _ROWS)
        found = _squared_overlaps(states[rows], states[start:])
        out[rows, start:] = found
        out[start:, rows] = found.T
        square = out[rows, rows]
        np.maximum(square, square.T, out=square)


def _fill_overlaps(out: Array, states: States, others: States) -> None:
    """|<s_i|t_j>|^2 into (N, M)."""
    for start in range(0, len(states), _ROWS):
        rows = slice(start, start + _ROWS)
        out[rows] = _squared_overlaps(states[rows], others)


def _squared_overlaps(states: States, others: States) -> npt.NDArray[Any]:
    products = states.conj() @ others.T
    if products.dtype.kind == "f":
        return np.asarray(products**2)
    out = products.real**2
    out += products.imag**2
    return np.asarray(out)


def _measure(out: Array, shots: int, rng: np.random.Generator, same: bool) -> None:
    """Replace probabilities by shares of `shots` measurements; the diagonal of a symmetric matrix is certain."""
    if not same:
        out[...] = rng.binomial(shots, out) / shots
        return
    upper = np.triu_indices(len(out), 1)
    out[upper] = rng.binomial(shots, out[upper]) / shots
    out.T[upper] = out[upper]


def _half_squared_distances(a: Array, b: Array) -> Array:
    """|a_i - b_j|^2 / 2, (N, M): for Bloch vectors the squared Frobenius distance of the density matrices."""
    out = a @ b.T
    np.subtract(np.add.outer(0.5 * np.vecdot(a, a), 0.5 * np.vecdot(b, b)), out, out=out)
    np.maximum(out, 0.0, out=out)
    if a is b:
        np.fill_diagonal(out, 0.0)
    return np.asarray(out)


def _gamma(gamma: Any, references: Array, distances: Array | None) -> float:
    """The factor of squared distances; a rule that finds no spread gives 1."""
    if isinstance(gamma, str) and gamma in ("scale", "median"):
        if gamma == "scale":
            spread = float(references.shape[1] * references.var() / 2)
        else:
            between = _half_squared_distances(references, references) if distances is None else distances
            pairs = between[np.triu_indices(len(between), 1)]
            spread = float(np.median(pairs)) if pairs.size else 0.0
        return 1.0 / spread if spread > 1e-24 else 1.0
    if isinstance(gamma, (bool, str)) or not isinstance(gamma, (int, float, np.integer, np.floating)):
        raise ArgumentError(f"gamma is a positive number, 'scale' or 'median', got {gamma!r}")
    if not (np.isfinite(gamma) and gamma > 0):
        raise ArgumentError(f"gamma must be finite and above 0, got {gamma}")
    return float(gamma)


def _targets(labels: Any, count: int) -> Array:
    codes = np.asarray(labels)
    if codes.shape != (count,):
        raise ParameterError(f"{count} samples need as many labels, got shape {codes.shape}")
    classes, codes = np.unique(codes, return_inverse=True)
    if len(classes) < 2:
        raise ParameterError(f"an alignment needs labels of at least two classes, got {classes.tolist()}")
    return np.where(codes[:, None] == codes, 1.0, -1.0 / (len(classes) - 1))
