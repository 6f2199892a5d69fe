"""PennyLane's templates and composed operators, made at random: what the device runs by decomposing it.

Owns: the table `TEMPLATES`. Its functions take a generator and a `pennylane_random.Scope`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pennylane as qml
import reference

Rng = np.random.Generator


class Template(NamedTuple):
    """A template: its name, how many wires it needs, and an instance of it."""

    name: str
    least: int
    make: Callable[[Rng, Any], Any]

    def fits(self, wires: int) -> bool:
        return wires >= self.least


def _word(rng: Rng, wires: list[Any]) -> Any:
    letters = [(qml.X, qml.Y, qml.Z)[int(rng.integers(3))](w) for w in wires]
    return qml.prod(*letters) if letters[1:] else letters[0]


def _hamiltonian(rng: Rng, scope: Any, commuting: bool = False) -> Any:
    words = [_word(rng, scope.some(rng, 2)) for _ in range(3)]
    if commuting:
        words = [qml.prod(*map(qml.Z, w.wires)) if w.wires[1:] else qml.Z(w.wires[0]) for w in words]
    return qml.dot(rng.normal(size=3), words)


def _bits(rng: Rng, n: int) -> Any:
    return rng.integers(0, 2, n)


def _strongly(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 5)
    return qml.StronglyEntanglingLayers(s.block(rng, (2, len(wires), 3)), wires)


def _basic(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 5)
    rotation = (qml.RX, qml.RY, qml.RZ)[int(rng.integers(3))]
    return qml.BasicEntanglerLayers(s.block(rng, (2, len(wires))), wires, rotation=rotation)


def _angles(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 3)
    return qml.AngleEmbedding(s.x[..., : len(wires)], wires, rotation="XYZ"[int(rng.integers(3))])


def _iqp(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 3)
    return qml.IQPEmbedding(s.x[..., : len(wires)], wires, n_repeats=2)


def _qaoa(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 3)
    shape = qml.QAOAEmbedding.shape(n_layers=1, n_wires=len(wires))
    return qml.QAOAEmbedding(s.x[..., : len(wires)], s.block(rng, shape, batches=False), wires)


def _two_design(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 4, least=2)
    first, later = qml.SimplifiedTwoDesign.shape(n_layers=1, n_wires=len(wires))
    return qml.SimplifiedTwoDesign(s.block(rng, first, batches=False), s.block(rng, later, batches=False), wires)


def _arbitrary(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 2)
    return qml.ArbitraryUnitary(s.block(rng, (4 ** len(wires) - 1,), batches=False), wires)


def _fabric(rng: Rng, s: Any) -> Any:
    return qml.GateFabric(s.block(rng, (1, 1, 2), batches=False), s.wires(rng, 4), init_state=_bits(rng, 4))


def _singles_doubles(rng: Rng, s: Any) -> Any:
    wires = s.wires(rng, 4)
    singles, doubles = [[wires[0], wires[2]], [wires[1], wires[3]]], [wires]
    return qml.AllSinglesDoubles(s.block(rng, (3,), batches=False), wires, _bits(rng, 4), singles, doubles)


def _fermionic_double(rng: Rng, s: Any) -> Any:
    wires = s.wires(rng, 4)
    return qml.FermionicDoubleExcitation(s.angle(rng, batches=False), wires[:2], wires[2:])


def _random_layers(rng: Rng, s: Any) -> Any:
    return qml.RandomLayers(s.block(rng, (2, 3), batches=False), s.some(rng, 4), seed=int(rng.integers(1000)))


def _conserving(cls: Any) -> Callable[[Rng, Any], Any]:
    def make(rng: Rng, s: Any) -> Any:
        wires = s.some(rng, 3, least=2)
        return cls(s.block(rng, cls.shape(n_layers=1, n_wires=len(wires)), batches=False), wires)

    return make


def _swap_network(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 4, least=3)
    count = len(wires) * (len(wires) - 1) // 2
    weights = s.block(rng, (count,), batches=False)
    return qml.TwoLocalSwapNetwork(
        wires, lambda index, wires, param, **_: qml.CRX(param, wires), weights, fermionic=False
    )


def _estimation(rng: Rng, s: Any) -> Any:
    target, *estimation = s.some(rng, 3, least=2)
    return qml.QuantumPhaseEstimation(
        reference.random_unitary(1, rng), target_wires=[target], estimation_wires=estimation
    )


def _sequence(rng: Rng, s: Any) -> Any:
    target, *control = s.some(rng, 3, least=2)
    return qml.ControlledSequence(qml.RX(s.angle(rng, batches=False), target), control)


def _select(rng: Rng, s: Any) -> Any:
    a, b, target = s.wires(rng, 3)
    ops = [cls(s.angle(rng, batches=False), target) for cls in (qml.RX, qml.RY, qml.RZ, qml.PhaseShift)]
    return qml.Select(ops, control=[a, b])


def _select_rot(rng: Rng, s: Any) -> Any:
    *control, target = s.some(rng, 3, least=2)
    angles = s.block(rng, (1 << len(control),), batches=False)
    return qml.SelectPauliRot(angles, control, target, rot_axis="XYZ"[int(rng.integers(3))])


def _comparator(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 4, least=2)
    return qml.IntegerComparator(int(rng.integers(0, 1 << (len(wires) - 1))), wires, geq=bool(rng.integers(2)))


def _encode(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 2)
    size = 1 << (len(wires) - 1)
    return qml.BlockEncode(0.3 * rng.normal(size=(size, size)), wires)


def _permute(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 4, least=2)
    return qml.Permute([wires[int(i)] for i in rng.permutation(len(wires))], wires)


def _reflection(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 3)
    layers = qml.prod(*(qml.RY(0.3 + k, w) for k, w in enumerate(wires))) if wires[1:] else qml.RY(0.4, wires)
    return qml.Reflection(layers, s.angle(rng, batches=False))


def _exp(rng: Rng, s: Any) -> Any:
    return qml.exp(_word(rng, s.some(rng)), 0.5j * s.angle(rng, batches=False))


def _evolve(rng: Rng, s: Any) -> Any:
    return qml.evolve(_word(rng, s.some(rng)), s.angle(rng, batches=False))


def _trotter(rng: Rng, s: Any) -> Any:
    order = int(rng.choice([1, 2]))
    return qml.TrotterProduct(_hamiltonian(rng, s), s.angle(rng, batches=False), n=2, order=order)


def _controlled_unitary(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 4, least=2)
    k = int(rng.integers(1, min(len(wires), 3)))
    values = [bool(v) for v in _bits(rng, len(wires) - k)]
    return qml.ControlledQubitUnitary(reference.random_unitary(k, rng), wires, control_values=values)


def _mottonen(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 3)
    return qml.MottonenStatePreparation(reference.random_unitary(len(wires), rng)[0], wires)


def _later_state(rng: Rng, s: Any) -> Any:
    wires = s.some(rng, 2)
    return qml.StatePrep(reference.random_unitary(len(wires), rng)[0], wires)


def _uccsd(rng: Rng, s: Any) -> Any:
    wires = s.wires(rng, 4)
    single, double = [wires[:3]], [[wires[:2], wires[2:]]]
    return qml.UCCSD(s.block(rng, (2,), batches=False), wires, single, double, init_state=_bits(rng, 4))


TEMPLATES = tuple(
    Template(make.__name__ if name is None else name, least, make)
    for name, least, make in (
        (None, 1, _strongly),
        (None, 1, _basic),
        (None, 1, _angles),
        (None, 1, _iqp),
        (None, 1, _qaoa),
        (None, 2, _two_design),
        (None, 1, _arbitrary),
        (None, 4, _fabric),
        (None, 4, _singles_doubles),
        (None, 4, _fermionic_double),
        (None, 1, _random_layers),
        ("U1", 2, _conserving(qml.ParticleConservingU1)),
        ("U2", 2, _conserving(qml.ParticleConservingU2)),
        (None, 3, _swap_network),
        (None, 2, _estimation),
        (None, 2, _sequence),
        (None, 3, _select),
        (None, 2, _select_rot),
        (None, 2, _comparator),
        (None, 1, _encode),
        (None, 2, _permute),
        (None, 1, _reflection),
        (None, 1, _exp),
        (None, 1, _evolve),
        (None, 1, _trotter),
        (None, 2, _controlled_unitary),
        (None, 1, _mottonen),
        (None, 1, _later_state),
        (None, 4, _uccsd),
        ("QFT", 1, lambda rng, s: qml.QFT(s.some(rng, 4))),
        ("AQFT", 3, lambda rng, s: qml.AQFT(1, s.some(rng, 4, least=3))),
        ("Grover", 2, lambda rng, s: qml.GroverOperator(s.some(rng, 4, least=2))),
        ("approximate", 1, lambda rng, s: qml.ApproxTimeEvolution(_hamiltonian(rng, s), s.angle(rng, False), 2)),
        ("commuting", 1, lambda rng, s: qml.CommutingEvolution(_hamiltonian(rng, s, True), s.angle(rng, False))),
        ("fermionic", 2, lambda rng, s: qml.FermionicSingleExcitation(s.angle(rng, False), s.some(rng, 4, least=2))),
        ("flip", 2, lambda rng, s: qml.FlipSign(int(rng.integers(4)), s.wires(rng, 2))),
        ("barrier", 1, lambda rng, s: qml.Barrier(s.some(rng))),
    )
)
