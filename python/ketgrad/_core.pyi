from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]
_States = npt.NDArray[Any]
_Integers = npt.NDArray[np.int64]

class Tape: ...

class Plan:
    def __init__(
        self,
        instructions: npt.NDArray[Any],
        pool: _Array,
        terms: npt.NDArray[Any],
        n_bits: int,
        n_shared: int,
        n_per_sample: int,
        double_precision: bool,
    ) -> None: ...
    def forward(
        self, shared: _Array, per_sample: _Array, keep: bool, initial: _States | None
    ) -> tuple[_Array, Tape | None]: ...
    def pullback(
        self,
        shared: _Array,
        per_sample: _Array,
        cotangents: _Array,
        tape: Tape | None,
        each: bool,
        initial: _States | None,
        bras: _States | None,
        to_initial: bool,
    ) -> tuple[_Array, _Array, _States | None]: ...
    def states(self, shared: _Array, per_sample: _Array, initial: _States | None) -> _States: ...
    def states_and_tape(
        self, shared: _Array, per_sample: _Array, initial: _States | None
    ) -> tuple[_States, Tape | None]: ...
    def choice(self, batch_size: int) -> dict[str, Any]: ...

class ShiftPlan:
    def __init__(
        self,
        instructions: npt.NDArray[Any],
        pool: _Array,
        terms: npt.NDArray[Any],
        n_bits: int,
        n_shared: int,
        n_per_sample: int,
        double_precision: bool,
    ) -> None: ...
    def values(
        self,
        shared: _Array,
        per_sample: _Array,
        instruction: _Integers,
        nodes: _Integers,
        shifts: _Array,
        bundle: _Integers,
        weights: npt.NDArray[np.complex128],
    ) -> _Array: ...
    def moments(
        self,
        shared: _Array,
        per_sample: _Array,
        instruction: _Integers,
        nodes: _Integers,
        shifts: _Array,
        bundle: _Integers,
        weights: npt.NDArray[np.complex128],
        settings: list[tuple[int, int, int, _Array]],
        shots: _Integers,
        uniforms: _Array,
    ) -> tuple[_Array, _Array]: ...

class Spins:
    def __init__(
        self,
        fields: npt.NDArray[np.int32],
        starts: npt.NDArray[np.int32],
        neighbours: npt.NDArray[np.int32],
        couplings: npt.NDArray[np.int32],
    ) -> None: ...
    def anneal(
        self,
        rates: _Array,
        sweeps: int,
        narrow: bool,
        seed: int,
        first: int,
        count: int,
        initial: npt.NDArray[np.int8],
    ) -> npt.NDArray[np.int8]: ...
    def anneal_paths(
        self,
        steps: _Array,
        slices: int,
        lines: bool,
        measured: int,
        seed: int,
        first: int,
        count: int,
        initial: npt.NDArray[np.int8],
    ) -> tuple[npt.NDArray[np.int8], _Array, _Array]: ...

def probabilities(states: npt.NDArray[Any], bits: list[int]) -> _Array: ...
def sample(states: npt.NDArray[Any], uniforms: _Array, bits: list[int]) -> npt.NDArray[np.uint64]: ...
def counts(
    states: npt.NDArray[Any], uniforms: _Array, bits: list[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.int64]]: ...
def num_threads() -> int: ...
def set_num_threads(count: int) -> None: ...
def available_isas() -> list[str]: ...
def isa() -> str: ...
def set_isa(name: str) -> None: ...
def set_tiling(row_bits: int, tile_bits: int, least_bits: int, chunk_bits: int = 7) -> None: ...
def tiling() -> tuple[int, int, int, int]: ...
def layout() -> dict[str, Any]: ...
def build() -> str: ...
