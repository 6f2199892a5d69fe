"""What a structure measures, and the models that compute it: the values a device returns.

Owns: how each of PennyLane's measurement processes is evaluated, exactly or with shots, and `Compiled`, the models of
one structure. May not know: execution configurations, trackers, gradients.

Exact: expectation values, variances and probabilities come from the engine, anything else from its state through the
process's own `process_state`. With shots: sums of Pauli words through the engine's estimator; all else from samples,
drawn once for each set of measurements that one basis serves, through the process's own `process_samples`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane import measurements as mps
from pennylane.wires import Wires

from ..circuit import Circuit
from ..model import Model, compile
from ..pauli import MAX_HERMITIAN_WIRES, PauliSum
from ..simulator import qubit_wise_groups
from .conversion import Constant, Index, Reading, append_constant, build_circuit
from .observables import diagonal_sum, is_pauli_sum, observable_key, pauli_sum

MAX_VARIANCE_TERMS = 64  # the square of a longer sum costs more than a rotation into its eigenbasis
SHADOWS = (mps.ClassicalShadowMP, mps.ShadowExpvalMP)


def measurement_key(mp: Any, index: Index) -> Hashable:
    """What decides how a measurement is evaluated."""
    obs = None if mp.obs is None else observable_key(mp.obs, index)
    wires = tuple(index[w] for w in mp.wires)
    eigenvalues = None
    if obs is None and isinstance(mp, (mps.ExpectationMP, mps.VarianceMP)):
        eigenvalues = Constant(qml.math.to_numpy(mp.eigvals()))
    return (type(mp), wires, obs, eigenvalues)


def has_pauli_form(mp: Any) -> bool:
    """Whether a measurement's observable can be written as Pauli words."""
    if mp.obs is not None:
        return is_pauli_sum(mp.obs)
    return 0 < len(mp.wires) <= MAX_HERMITIAN_WIRES


def _pauli_form(mp: Any, index: Index) -> PauliSum | None:
    if not has_pauli_form(mp):
        return None
    if mp.obs is not None:
        return pauli_sum(mp.obs, index)
    return diagonal_sum(mp.eigvals(), tuple(index[w] for w in mp.wires))


class _Step(NamedTuple):
    """How one measurement is evaluated: `how`, and where its value is found."""

    how: str  # expval, variance, probabilities, state, sparse; with shots: estimate, sample, shadow
    where: Any = None


class Compiled:
    """The models of one structure and one list of measurements, each built when it is first needed."""

    def __init__(
        self,
        reading: Reading,
        measurements: Sequence[Any],
        shots: bool,
        batched: Sequence[bool],
        dtype: str,
        backend: str | None,
    ) -> None:
        self.n_wires = len(reading.labels)
        self.index = reading.index
        self.dtype, self.backend = dtype, backend
        self.circuit = build_circuit(self.n_wires, reading.rows, batched)
        self.expectations: list[PauliSum] = []
        self.variances: list[PauliSum] = []
        self.bases: list[Any] = []  # what is appended before a state is read: None, letters by wire, or gates
        self._rotated: dict[int, Model] = {}
        self.steps = self._with_shots(measurements) if shots else [self._exact(mp) for mp in measurements]

    # the plan

    def _exact(self, mp: Any) -> _Step:
        if isinstance(mp, (mps.ExpectationMP, mps.VarianceMP)):
            observable = _pauli_form(mp, self.index)
            if observable is not None and isinstance(mp, mps.ExpectationMP):
                return _Step("expval", self._add(self.expectations, observable))
            if observable is not None and len(observable) <= MAX_VARIANCE_TERMS:
                return _Step("variance", self._add(self.variances, observable))
            if mp.obs is not None and mp.obs.has_sparse_matrix and not mp.obs.has_diagonalizing_gates:
                return _Step("sparse", self._basis(None))
        if isinstance(mp, mps.ProbabilityMP) and mp.obs is None:
            return _Step("probabilities", tuple(self.index[w] for w in mp.wires) or None)
        return _Step("state", self._basis(self._rotation(mp)))

    def _with_shots(self, measurements: Sequence[Any]) -> list[_Step]:
        steps: list[_Step | None] = [None] * len(measurements)
        words: list[tuple[int, tuple[tuple[int, str], ...]]] = []
        only_expectations = all(isinstance(mp, mps.ExpectationMP) for mp in measurements)
        for i, mp in enumerate(measurements):
            word = self._word(mp)
            if isinstance(mp, SHADOWS):
                steps[i] = _Step("shadow", self._basis(None))
            elif isinstance(mp, mps.ExpectationMP) and has_pauli_form(mp) and (only_expectations or word is None):
                observable = _pauli_form(mp, self.index)
                assert observable is not None
                steps[i] = _Step("estimate", self._add(self.expectations, observable))
            elif word is not None:
                words.append((i, word))
            else:
                steps[i] = _Step("sample", self._basis(self._rotation(mp)))
        for letters, members in qubit_wise_groups([(word, ()) for _, word in words]):
            basis = self._basis({w: c for w, c in letters.items() if c != "Z"})
            for member in members:
                steps[words[member][0]] = _Step("sample", basis)
        return [s for s in steps if s is not None]

    def _word(self, mp: Any) -> tuple[tuple[int, str], ...] | None:
        """The Pauli word whose basis a measurement needs, or None where it needs more."""
        if mp.obs is None:
            return tuple((self.index[w], "Z") for w in mp.wires) or tuple((w, "Z") for w in range(self.n_wires))
        if mp.obs.pauli_rep is None or not qml.pauli.is_pauli_word(mp.obs):
            return None
        words = list(mp.obs.pauli_rep)
        if len(words) != 1 or not words[0]:
            return None
        return tuple(sorted((self.index[w], letter) for w, letter in words[0].items()))

    def _rotation(self, mp: Any) -> Any:
        return (mp.diagonalizing_gates() or None) if mp.obs is not None else None

    def _basis(self, rotation: Any) -> int:
        if not rotation and None in self.bases:
            return self.bases.index(None)
        self.bases.append(rotation or None)
        return len(self.bases) - 1

    @staticmethod
    def _add(observables: list[PauliSum], observable: PauliSum) -> int:
        observables.append(observable)
        return len(observables) - 1

    # the models

    def _compile(self, circuit: Circuit, observables: Sequence[PauliSum] = ()) -> Model:
        return compile(circuit, observables, dtype=self.dtype, backend=self.backend)

    @cached_property
    def model(self) -> Model:
        """The circuit with the observables whose expectation values are asked for."""
        return self._compile(self.circuit, self.expectations)

    @cached_property
    def _variance_model(self) -> Model:
        return self._compile(self.circuit, self.variances)

    def _rotated_model(self, basis: int) -> Model:
        """The circuit followed by the rotation into a basis."""
        rotation = self.bases[basis]
        if rotation is None:
            return self.model
        if basis not in self._rotated:
            circuit = self.circuit.copy()
            if isinstance(rotation, dict):
                for wire, letter in rotation.items():
                    if letter == "Y":
                        circuit.append("sdg", (), (wire,))
                    circuit.append("h", (), (wire,))
            else:
                append_constant(circuit, rotation, self.index)
            self._rotated[basis] = self._compile(circuit)
        return self._rotated[basis]

    # the values

    @property
    def stacks(self) -> bool:
        """Whether many tapes of this structure may run as one batch: results are small, one row for each tape."""
        return all(s.how in ("expval", "variance", "probabilities", "estimate") for s in self.steps)

    def exact(self, measurements: Sequence[Any], labels: Sequence[Hashable], weights: Any, inputs: Any) -> list[Any]:
        """One result for each measurement; a batch of inputs gives each a leading axis."""
        expectations = self.model(weights, inputs) if self.expectations else None
        variances = self._variance_model.variance(weights, inputs) if self.variances else None
        states: dict[int, Any] = {}
        out: list[Any] = []
        for mp, step in zip(measurements, self.steps, strict=True):
            if step.how == "expval":
                assert expectations is not None
                out.append(expectations[..., step.where])
            elif step.how == "variance":
                assert variances is not None
                out.append(variances[..., step.where])
            elif step.how == "probabilities":
                out.append(self.model.probabilities(weights, inputs, step.where))
            else:
                if step.where not in states:
                    states[step.where] = self._rotated_model(step.where).state(weights, inputs)
                state = states[step.where]
                if step.how == "sparse":
                    out.append(_sparse_moment(mp, state, labels))
                else:
                    out.append(mp.process_state(state, wire_order=Wires(labels)))
        return out

    def sampled(
        self,
        measurements: Sequence[Any],
        labels: Sequence[Hashable],
        weights: Any,
        inputs: Any,
        shots: Any,
        rng: np.random.Generator,
    ) -> list[list[Any]]:
        """For each bin of the shots, one result for each measurement."""
        bins = list(shots.bins())
        out: list[list[Any]] = [[None] * len(self.steps) for _ in bins]
        for b, (start, stop) in enumerate(bins):
            estimates = self.model(weights, inputs, shots=stop - start, seed=rng) if self.expectations else None
            for i, step in enumerate(self.steps):
                if step.how == "estimate":
                    assert estimates is not None
                    out[b][i] = estimates[..., step.where]
        for basis in range(len(self.bases)):
            members = [i for i, s in enumerate(self.steps) if s.how == "sample" and s.where == basis]
            if members:
                drawn = self._rotated_model(basis).sample(weights, inputs, shots=shots.total_shots, seed=rng)
                samples = drawn.astype(np.int64)
                for b, (start, stop) in enumerate(bins):
                    for i in members:
                        part = samples[..., start:stop, :]
                        out[b][i] = measurements[i].process_samples(part, wire_order=Wires(labels))
        for i, step in enumerate(self.steps):
            if step.how == "shadow":
                state = self._rotated_model(step.where).state(weights, inputs).reshape((2,) * self.n_wires)
                for b, (start, stop) in enumerate(bins):
                    order = Wires(labels)
                    out[b][i] = measurements[i].process_state_with_shots(state, order, stop - start, rng=rng)
        return out


def _sparse_moment(mp: Any, state: npt.NDArray[Any], labels: Sequence[Hashable]) -> Any:
    """<M>, or <M^2> - <M>^2, of an observable known only as a sparse matrix."""
    matrix = mp.obs.sparse_matrix(wire_order=Wires(labels))
    columns = state.reshape(-1, state.shape[-1]).T
    image = matrix @ columns
    mean = np.einsum("ib,ib->b", columns.conj(), image).real
    if isinstance(mp, mps.VarianceMP):
        mean = np.einsum("ib,ib->b", image.conj(), image).real - mean**2
    return mean[0] if state.ndim == 1 else mean
