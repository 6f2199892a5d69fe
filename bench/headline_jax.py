"""The steps of `headline.py` in JAX: TensorCircuit-NG, qujax and ketgrad; each is one function, jitted as a whole.

Rot is one matrix of three angles in the first two, which is less work for them than three gates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from headline_cases import Answer, Workload

import ketgrad as kg

Values = Callable[[Any, Any], Any]  # of inputs and weights


def jitted(values: Values, work: Workload, dtype: str) -> Callable[[], Answer]:
    """The step: value_and_grad of the loss, jitted.

    Args:
        values: (B, M), of inputs (B, F) and weights (P,).
    """
    real = "float64" if dtype == "complex128" else "float32"
    x, w = jnp.asarray(work.inputs, real), jnp.asarray(work.weights, real)
    targets = None if work.targets is None else jnp.asarray(work.targets, real)

    def loss(x: Any, w: Any) -> Any:
        found = values(x, w)
        return jnp.sum(found) if targets is None else jnp.sum((found - targets) ** 2), found

    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))

    def run() -> Answer:
        (_, found), (grad_x, grad_w) = jax.block_until_ready(step(x, w))
        return np.asarray(found), np.asarray(grad_w), np.asarray(grad_x)

    return run


def angle(p: Any, x: Any, w: Any) -> Any:
    """A gate's angle, of one sample."""
    (kind, k), scale, offset = p.affine
    value = (w if kind == "w" else x)[k]
    return value if (scale, offset) == (1.0, 0.0) else scale * value + offset


def rot(phi: Any, theta: Any, omega: Any) -> Any:
    """RZ(omega) RY(theta) RZ(phi)."""
    c, s = jnp.cos(theta / 2), jnp.sin(theta / 2)
    plus, minus = jnp.exp(-0.5j * (phi + omega)), jnp.exp(0.5j * (phi - omega))
    return jnp.array([[plus * c, -minus * s], [minus.conj() * s, plus.conj() * c]])


def tensorcircuit(work: Workload, dtype: str) -> Callable[[], Answer]:
    """Values by `expectation_ps`, as its users write them; between them the circuit keeps its state."""
    jax.config.update("jax_enable_x64", dtype == "complex128")
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype(dtype)

    def one(x: Any, w: Any) -> Any:
        circuit = tc.Circuit(work.circuit.n_wires)
        for gate in work.circuit.gates:
            angles = [angle(p, x, w) for p in gate.params]
            if gate.spec.name == "rot":
                circuit.any(*gate.wires, unitary=rot(*angles).astype(dtype))
            else:
                getattr(circuit, gate.spec.name)(*gate.wires, **({"theta": angles[0]} if angles else {}))
        values = []
        for observable in work.observables:
            total = 0.0
            for coefficient, word, _ in observable.terms:
                places = {letter.lower(): [q for q, at in word if at == letter] for letter in "XYZ"}
                total += coefficient * jnp.real(circuit.expectation_ps(**{k: v for k, v in places.items() if v}))
            values.append(total)
        return jnp.stack(values)

    return jitted(jax.vmap(one, in_axes=(0, None)), work, dtype)


def qujax(work: Workload, dtype: str) -> Callable[[], Answer]:
    """A state tensor, gate by gate, and expectation values of it. Its angles are in half turns."""
    jax.config.update("jax_enable_x64", dtype == "complex128")
    import qujax as qj

    gates = work.circuit.gates
    names = {"rx": "Rx", "rz": "Rz", "rzz": "ZZPhase", "cx": "CX", "h": "H", "rot": rot}
    starts = np.cumsum([0, *(len(g.params) for g in gates)]).tolist()
    where = [list(range(a, b)) for a, b in zip(starts[:-1], starts[1:], strict=True)]
    wires = [list(g.wires) for g in gates]
    state = qj.get_params_to_statetensor_func([names[g.spec.name] for g in gates], wires, where, work.circuit.n_wires)
    angles = [(p, 1.0 if g.spec.name == "rot" else 1 / math.pi) for g in gates for p in g.params]
    observables = []
    for observable in work.observables:
        letters = [[letter for _, letter in word] for _, word, _ in observable.terms]
        at = [[q for q, _ in word] for _, word, _ in observable.terms]
        observables.append(qj.get_statetensor_to_expectation_func(letters, at, [c for c, _, _ in observable.terms]))

    def one(x: Any, w: Any) -> Any:
        final = state(jnp.stack([turns * angle(p, x, w) for p, turns in angles]))
        return jnp.stack([value(final) for value in observables])

    return jitted(jax.vmap(one, in_axes=(0, None)), work, dtype)


def ketgrad(work: Workload, dtype: str) -> Callable[[], Answer]:
    """`kg.jax.function`."""
    jax.config.update("jax_enable_x64", dtype == "complex128")
    from ketgrad import jax as kg_jax

    function = kg_jax.function(kg.compile(work.circuit, work.observables, dtype=dtype))
    return jitted((lambda x, w: function(w, x)) if work.features else (lambda x, w: function(w)[None]), work, dtype)
