"""Probabilistic error cancellation: every channel is followed by its inverse, as a combination of circuits.

Owns: which circuits, their coefficients, and drawing them. The inverses are in `quasi`.

After Temme et al., PRL 119, 180509 (2017), and Endo et al., PRX 8, 031027 (2018).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..circuit import Circuit, Gate
from ..errors import ArgumentError
from ..gate_spec import CHANNEL
from ..memory import require_bytes
from ..noise.channel import Channel
from ..simulator import Seed, check_shots, generator
from .combination import Linear, Mitigated
from .member import Member
from .noisy import Compile, Insertion, Noise, Observables, as_tuple, compiled, is_channel, with_noise, word_angles
from .quasi import QuasiProbability, invert

Array = npt.NDArray[np.float64]
Choices = npt.NDArray[np.int64]  # (R, sites): which operation of each site
MOST = 4096  # circuits of an exact sum


def pec(
    circuit: Circuit,
    observables: Observables,
    noise: Noise = None,
    *,
    samples: int | None = None,
    seed: Seed = 0,
    known: Callable[[Channel], Channel | QuasiProbability] | None = None,
    compile: Compile | None = None,
    **options: Any,
) -> Mitigated:
    """A model in which every channel is cancelled by its inverse: unbiased where the channels are known.

    Each channel's inverse is a combination of operations with one-norm g; the product of all g, `Mitigated.gamma`, is
    the cost: gamma^2 times as many shots. The circuit in which nothing is inserted is evaluated once and exactly. The
    others are summed, or drawn: as many as `samples`, each with the same size of coefficient, equal ones run once. The
    same seed draws the same circuits at every step of a training, whose gradients are those of the drawn combination.

    Args:
        circuit: with channels, or without and `noise`.
        noise: a `NoiseModel`, or a function circuit -> circuit with channels.
        samples: how many circuits are drawn; None sums over all, at most 4096 of them.
        seed: of the draw.
        known: what is believed of a channel, as a channel or its inverse, for studies of imperfect knowledge; default
            the channel itself.
        compile, options: as for `zne`.

    Raises:
        ArgumentError: no channel, one without an inverse, or too many circuits for an exact sum.
    """
    what, noisy = as_tuple(observables), with_noise(circuit, noise)
    sites = [_inverse(gate.extra, known) for gate in noisy.gates if is_channel(gate)]
    if not sites:
        raise ArgumentError("pec: the circuit has no channels to cancel; give noise=, or a circuit with channels")
    gamma = math.prod(s.gamma for s in sites)
    if samples is None:
        choices, coefficients = _all(sites)
    else:
        require_bytes(32 * check_shots(samples) * len(sites), f"{samples} samples")
        choices, coefficients = _drawn(sites, samples, generator(seed))
    members, order = _members(noisy, sites, choices, lambda c: compiled(c, what, noise, compile, options))
    name = f"pec, gamma {gamma:.6g}, {len(sites)} channels, " + ("exact" if samples is None else f"{samples} samples")
    out = Mitigated(circuit, what, members, Linear(coefficients[order]), name)
    out.gamma = gamma
    return out


def _inverse(channel: Channel, known: Callable[[Channel], Channel | QuasiProbability] | None) -> QuasiProbability:
    believed = channel if known is None else known(channel)
    return believed if isinstance(believed, QuasiProbability) else _inverted(believed)


_KNOWN: dict[Channel, QuasiProbability] = {}


def _inverted(channel: Channel) -> QuasiProbability:
    """`invert`, remembered: circuits repeat their channels."""
    if channel not in _KNOWN:
        if len(_KNOWN) > 256:
            _KNOWN.clear()
        _KNOWN[channel] = invert(channel)
    return _KNOWN[channel]


def _all(sites: list[QuasiProbability]) -> tuple[Choices, Array]:
    count = math.prod(len(s.operations) for s in sites)
    if count > MOST:
        raise ArgumentError(
            f"pec: the exact sum over {len(sites)} channels has {count:,} circuits, at most {MOST:,} are summed; give "
            "samples="
        )
    choices = np.array(list(itertools.product(*(range(len(s.operations)) for s in sites))), dtype=np.int64)
    return choices, np.prod([s.coefficients[c] for s, c in zip(sites, choices.T, strict=True)], axis=0)


def _drawn(sites: list[QuasiProbability], samples: int, rng: np.random.Generator) -> tuple[Choices, Array]:
    """The most probable circuit exactly, and a sample of the others, equal ones counted."""
    usual = np.array([int(np.argmax(s.probabilities)) for s in sites])
    chance = math.prod(float(s.probabilities[u]) for s, u in zip(sites, usual, strict=True))
    gamma = math.prod(s.gamma for s in sites)
    first = math.prod(float(s.coefficients[u]) for s, u in zip(sites, usual, strict=True))
    if 1 - chance < 1e-15:
        return usual[None], np.array([first])
    drawn = _others(sites, usual, samples, rng)
    rows, counts = np.unique(drawn, axis=0, return_counts=True)
    sign = np.prod([np.sign(s.coefficients[c]) for s, c in zip(sites, rows.T, strict=True)], axis=0)
    each = gamma * (1 - chance) / samples
    return np.concatenate([usual[None], rows]), np.concatenate([[first], each * sign * counts])


def _others(sites: list[QuasiProbability], usual: Choices, samples: int, rng: np.random.Generator) -> Choices:
    """(samples, sites) draws under the condition that something unusual happens.

    The first site where it does is drawn from its distribution, what comes after it freely.
    """
    unusual = np.array([1 - s.probabilities[u] for s, u in zip(sites, usual, strict=True)])
    before = np.concatenate([[1.0], np.cumprod(1 - unusual)[:-1]])
    reach = before * unusual
    first = rng.choice(len(sites), size=samples, p=reach / reach.sum())
    out = np.tile(usual, (samples, 1))
    for k, site in enumerate(sites):
        free = rng.choice(len(site.operations), size=samples, p=site.probabilities)
        out[first < k, k] = free[first < k]
        if unusual[k] > 0 and (here := first == k).any():
            other = np.where(np.arange(len(site.operations)) == usual[k], 0.0, site.probabilities)
            out[here, k] = rng.choice(len(site.operations), size=int(here.sum()), p=other / other.sum())
    return out


def _members(
    noisy: Circuit, sites: list[QuasiProbability], choices: Choices, compile: Callable[[Circuit], Any]
) -> tuple[list[Member], npt.NDArray[np.int64]]:
    """One model for each pattern of operations that are no Pauli words, and the order of their rows.

    Pauli words are inputs, so that a whole pattern is one batch.
    """
    words = [np.array([isinstance(o, str) for o in s.operations]) for s in sites]
    pattern = np.stack([np.where(w[c], -1, c) for w, c in zip(words, choices.T, strict=True)], axis=1)
    kinds, kind = np.unique(pattern, axis=0, return_inverse=True)
    members, order = [], []
    for k, special in enumerate(kinds):
        rows = np.flatnonzero(kind.reshape(-1) == k)
        used = [_used(s, choices[rows, j]) if special[j] < 0 else False for j, s in enumerate(sites)]
        members.append(Member(compile(_circuit(noisy, sites, special, used)), _angles(sites, choices[rows], used)))
        order.append(rows)
    return members, np.concatenate(order)


def _used(site: QuasiProbability, chosen: Choices) -> bool:
    """Whether a word other than the identity is ever inserted."""
    return any(set(str(site.operations[c])) != {"I"} for c in np.unique(chosen))


def _circuit(noisy: Circuit, sites: list[QuasiProbability], special: Choices, used: list[bool]) -> Circuit:
    wires = [gate.wires for gate in noisy.gates if is_channel(gate)]
    out = Insertion(noisy, sum(len(w) for w, u in zip(wires, used, strict=True) if u))
    site = iter(range(len(sites)))
    for gate in noisy.gates:
        out.append(gate)
        if is_channel(gate):
            j = next(site)
            if used[j]:
                out.place(gate.wires)
            elif special[j] >= 0:
                out.append(Gate(CHANNEL, (), gate.wires, extra=sites[j].operations[special[j]]))
    return out.circuit


def _angles(sites: list[QuasiProbability], choices: Choices, used: list[bool]) -> Array:
    """(R, inputs) of the rows."""
    parts = [np.zeros((len(choices), 0))]
    for site, chosen, wanted in zip(sites, choices.T, used, strict=True):
        if wanted:
            known = {c: word_angles(str(site.operations[c])) for c in np.unique(chosen).tolist()}
            parts.append(np.array([known[c] for c in chosen.tolist()]))
    return np.concatenate(parts, axis=1)
