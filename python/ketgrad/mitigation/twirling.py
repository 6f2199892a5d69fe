"""Pauli twirling: Clifford gates between random Pauli words that undo each other, so that noise becomes Pauli noise.

Owns: the words before and after a gate, and drawing them. May not know: how values are averaged.

After Wallman and Emerson, PRA 94, 052325 (2016).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit, Gate
from ..errors import ArgumentError, ArgumentTypeError, CircuitError
from ..gate_spec import GateSpec
from ..gates import find
from ..memory import require_bytes
from ..pauli import word_matrix
from ..simulator import Seed, check_shots, generator
from .combination import Linear, Mitigated
from .member import Member
from .noisy import Compile, Insertion, Noise, Observables, as_tuple, compiled, is_channel, with_noise, word_angles

GATES = ("cx", "cz")
MOST = 4096  # frames of an exact average


def twirled(
    circuit: Circuit,
    observables: Observables,
    noise: Noise = None,
    *,
    frames: int | None = 16,
    gates: Sequence[str] = GATES,
    seed: Seed = 0,
    compile: Compile | None = None,
    **options: Any,
) -> Mitigated:
    """A model that averages over Pauli frames of its Clifford gates on two wires.

    Each such gate G, with the channels that follow it on its wires, is put between a word P and G P G^-1. Without noise
    this changes nothing; the noise of G, averaged, is its Pauli twirl: coherent errors no longer add up in amplitude.
    The bias that is left is that of Pauli noise, which extrapolation and cancellation know how to treat. The words are
    free of noise, as if they were part of the gates on one wire.

    Args:
        circuit: with channels, or without and `noise`.
        noise: a `NoiseModel`, or a function circuit -> circuit with channels.
        frames: how many frames are drawn; None averages over all 16^gates, where these are at most 4096.
        gates: names of the gates that are twirled.
        seed: of the draw.
        compile, options: as for `zne`.

    Raises:
        CircuitError: a gate that is no Clifford gate on two wires, or none of them in the circuit.
        ArgumentError: too many frames for an exact average.
    """
    what, noisy = as_tuple(observables), with_noise(circuit, noise)
    if isinstance(gates, str) or not all(isinstance(g, str) for g in gates):
        raise ArgumentTypeError(f"twirled: gates are a sequence of names, got {gates!r}")
    specs = {find(name) for name in gates}
    places = [k for k, gate in enumerate(noisy.gates) if gate.spec in specs and not gate.controls]
    if not places:
        raise CircuitError(f"twirled: the circuit has none of the gates {tuple(gates)}")
    count = len(places)
    if frames is None:
        if 16**count > MOST:
            raise ArgumentError(
                f"twirled: {count} gates have 16^{count} frames; give frames=, a number of them to draw"
            )
        choices = np.array(list(itertools.product(range(16), repeat=count)), dtype=np.int64)
        counts = np.ones(len(choices), dtype=np.int64)
    else:
        require_bytes(16 * check_shots(frames) * count, f"{frames} frames")
        drawn = generator(seed).integers(16, size=(frames, count))
        choices, counts = np.unique(drawn, axis=0, return_counts=True)  # equal ones run once
    rows = _angles([conjugated(noisy.gates[k].spec, noisy.gates[k].inverse) for k in places], choices)
    member = Member(compiled(_framed(noisy, places), what, noise, compile, options), rows)
    shares = counts / counts.sum()
    return Mitigated(circuit, what, [member], Linear(shares), f"twirled, {count} gates, {int(counts.sum())} frames")


def _angles(tables: list[dict[str, str]], choices: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(R, 8 gates) of the words before and after every gate."""
    parts = []
    for table, chosen in zip(tables, choices.T, strict=True):
        known = np.array([np.concatenate([word_angles(before), word_angles(after)]) for before, after in table.items()])
        parts.append(known[chosen])
    return np.concatenate(parts, axis=1)


def _framed(noisy: Circuit, places: list[int]) -> Circuit:
    """The circuit with a word before and after each of these gates and the channels that belong to it."""
    out = Insertion(noisy, 4 * len(places))
    gates, k = noisy.gates, 0
    chosen = set(places)
    while k < len(gates):
        if k in chosen:
            out.place(gates[k].wires)
            out.append(gates[k])
            own, end = _own_noise(gates, k)
            for j in own:
                out.append(gates[j])
            out.place(gates[k].wires)
            for j in range(k + 1, end):
                if j not in own:
                    out.append(gates[j])
            k = end
        else:
            out.append(gates[k])
            k += 1
    return out.circuit


def _own_noise(gates: list[Gate], k: int) -> tuple[list[int], int]:
    """The channels that follow a gate on its wires, past those that touch none of them, and where they end."""
    wires, own, end = set(gates[k].wires), [], k + 1
    for j in range(k + 1, len(gates)):
        touched = set(gates[j].wires)
        if not is_channel(gates[j]) or (touched & wires and not touched <= wires):
            break
        if touched <= wires:
            own.append(j)
            end = j + 1
    return own, end


@cache
def conjugated(spec: GateSpec, inverse: bool = False) -> dict[str, str]:
    """word P -> word of G P G^-1 up to its sign, for the 16 words on a Clifford gate's two wires.

    Raises:
        CircuitError: another kind of gate.
    """
    problem = f"twirled: {spec.name} is no Clifford gate on two wires; such are cx, cy, cz, swap, iswap, ecr"
    if spec.wires != 2 or spec.params:
        raise CircuitError(problem)
    gate = spec.matrix()
    gate = gate.conj().T if inverse else gate
    words = ["".join(w) for w in itertools.product("IXYZ", repeat=2)]
    matrices = np.array([word_matrix(w) for w in words])
    moved = gate @ matrices @ gate.conj().T
    overlap = np.abs(np.einsum("aij,bji->ab", matrices, moved)) / 4
    found: npt.NDArray[np.intp] = overlap.argmax(axis=0)
    if not np.allclose(overlap.max(axis=0), 1):
        raise CircuitError(problem)
    return {w: words[f] for w, f in zip(words, found, strict=True)}
