"""Codes: exact tables, coherent noise beside its twirl, and the d = 3 surface code at circuit level beside Stim.

Shots of exact states for about a minute in all, beside those of Stim, both decoded by PyMatching. Stim is
orders of magnitude faster at what it does; what it cannot do is the last table.
"""

from __future__ import annotations

import math
import time
from importlib.util import find_spec

import numpy as np
from common import heading, options

from ketgrad import noise, qec
from ketgrad.compare import format_table

P = (1e-3, 5e-3, 1e-2, 5e-2, 1e-1)
CODES = {  # logical errors at P, c of c p^2, pseudo-thresholds p_L = p and p_L = 2p/3
    qec.five_qubit(): ((9.977796e-6, 2.472333e-4, 9.779551e-4, 2.233185e-2, 7.950815e-2), 10.0, 0.13763, 0.08),
    qec.rotated_surface(3): (
        (1.329987e-5, 3.291581e-4, 1.300014e-3, 2.926141e-2, 1.018602e-1),
        40 / 3,
        0.09747,
        0.05825,
    ),
    qec.steane(): None,
}
COHERENT = {0.01: 2.77, 0.03: 2.74, 0.05: 2.67, 0.10: 2.30}
LEAST = 1e-6  # of the pooled p-value


def depolarized() -> None:
    """One round with a perfect syndrome."""
    rows = []
    for code, known in CODES.items():
        table = qec.Correction.of(code)
        found = table.logical_error(P)
        ends = table.leading[0], table.pseudo_threshold(), table.pseudo_threshold(2 / 3)
        if known is not None:
            np.testing.assert_allclose(found, known[0], rtol=5e-7)
            np.testing.assert_allclose(ends, known[1:], atol=5e-6)
        likeliest = [qec.Correction.of(code, qec.LookupDecoder(code, noise.depolarizing(p))) for p in P]
        best = [float(c.logical_error(p)) for c, p in zip(likeliest, P, strict=True)]
        same = "yes" if np.allclose(best, found, rtol=1e-12) else "no"
        rows.append((str(code), *(f"{x:.6e}" for x in found), f"{ends[0]:.2f}", *(f"{x:.5f}" for x in ends[1:]), same))
    print(heading("Depolarizing noise on the data, a perfect syndrome: logical error, exact"))
    head = ("code", *(f"p = {p:g}" for p in P), "c of c p^2", "p_L = p at", "p_L = 2p/3 at", "maximum likelihood")
    print(format_table(head, rows))
    found = qec.Detection.of(qec.four_two_two())
    assert found.accepted.tolist() == [1, 0, 18, 24, 21] and found.harmful.tolist() == [0, 0, 18, 24, 18]
    rows = []
    for p in (1e-3, 1e-2, 1e-1):
        kept = (1 + 3 * (1 - 4 * p / 3) ** 4) / 4
        np.testing.assert_allclose(found.acceptance(p), kept, rtol=1e-12)
        rows.append((f"{p:g}", f"{kept:.6f}", f"{float(found.logical_error(p)):.4e}", f"{1 - (1 - p) ** 2:.4e}"))
    print("\n[[4,2,2]] with post-selection: undetected errors by weight 1, 0, 18, 24, 21, harmful 0, 0, 18, 24, 18")
    print(format_table(("p", "accepted", "error where accepted", "error of two bare qubits"), rows))


def coherent() -> None:
    """exp(i theta Z) on every data qubit."""
    angles, rows = np.array(list(COHERENT)), []
    for code in (qec.rotated_surface(3), qec.steane(), qec.repetition(3, "X")):
        exact, twirled = qec.coherent_z(code, math.pi * angles)
        for a, x, t in zip(angles, exact, twirled, strict=True):
            rows.append(
                (str(code), f"{a:g}", f"{math.sin(math.pi * a) ** 2:.3e}", f"{x:.3e}", f"{t:.3e}", f"{x / t:.2f}")
            )
            if code.name == "rotated surface":
                assert abs(x / t - COHERENT[a]) < 5e-3
            if code.name == "phase-flip":
                assert abs(x / t - 1) < 1e-9
    print(heading("exp(i theta Z) on every data qubit, a perfect syndrome: logical error, exact"))
    print(format_table(("code", "theta / pi", "p", "coherent", "its Pauli twirl", "ratio"), rows))


def pooled(circuit: qec.NoisyCircuit, seconds: float) -> tuple[qec.Rate, float]:
    """Our estimate from as many shots as the time allows, and shots a second."""
    decoder = qec.MatchingDecoder(circuit.to_stim())
    begin, parts = time.perf_counter(), []
    while time.perf_counter() - begin < seconds:
        found = qec.sample(circuit, 1000, len(parts), dtype="complex64")
        wrong = (decoder.decode(found.detectors) != found.observables).any(axis=1)
        parts.append((wrong, found.weights))
    rate = qec.Rate.of(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return rate, rate.shots / (time.perf_counter() - begin)


def circuit_level(seconds: float, stim_shots: int) -> None:
    """The same noisy circuits, by states and by frames; the generated ones of Stim for comparison."""
    import stim

    rows, statistic = [], 0.0
    rates = (0.003, 0.005, 0.008)
    for p in rates:
        circuit = qec.memory(qec.rotated_surface(3), 3, qec.CircuitNoise.uniform(p))
        ours, speed = pooled(circuit, seconds / len(rates))
        begin = time.perf_counter()
        theirs = qec.stim_error_rate(circuit, stim_shots, 1)
        stim_speed = stim_shots / (time.perf_counter() - begin)
        generated = stim.Circuit.generated(
            "surface_code:rotated_memory_z",
            distance=3,
            rounds=3,
            after_clifford_depolarization=p,
            before_round_data_depolarization=p,
            before_measure_flip_probability=p,
            after_reset_flip_probability=p,
        )
        detectors, flips = generated.compile_detector_sampler(seed=2).sample(stim_shots, separate_observables=True)
        book = float((qec.MatchingDecoder(generated).decode(detectors) != flips).mean())
        found = qec.Discrepancy(ours, theirs)
        statistic += found.sigmas**2
        cells = (f"{r.value:.2e} +- {r.error:.0e}" for r in (ours, theirs))
        rows.append(
            (
                f"{p:g}",
                *cells,
                f"{found.sigmas:+.1f}",
                f"{book:.2e}",
                f"{ours.shots:,}",
                f"{speed:,.0f}",
                f"{stim_speed:,.0f}",
            )
        )
    print(
        heading("Surface code d = 3, 17 qubits, 3 rounds, Pauli noise p everywhere, PyMatching: logical error a shot")
    )
    head = (
        "p",
        "exact states",
        "Stim, same circuit",
        "sigmas",
        "Stim's own circuit",
        "our shots",
        "a second",
        "Stim's",
    )
    print(format_table(head, rows))
    chance = survival(statistic, len(rows))
    print(f"pooled over {len(rows)} rows: chi^2 {statistic:.2f}, p = {chance:.3g}, at least {LEAST:g} is asked\n")
    assert chance > LEAST


def survival(statistic: float, freedom: int) -> float:
    """P(chi^2 of 3 degrees of freedom > statistic)."""
    assert freedom == 3
    return math.erfc(math.sqrt(statistic / 2)) + math.sqrt(2 * statistic / math.pi) * math.exp(-statistic / 2)


def not_pauli(seconds: float, stim_shots: int) -> None:
    """The same specification, which Stim has to twirl."""
    rows = []
    for name, kind in (
        ("CX turns its target by 0.15 about X", {"gate2": noise.over_rotation("IX", 0.15)}),
        ("amplitude damping of 0.03 on idle data", {"idle": noise.amplitude_damping(0.03), "gate2": 1e-3}),
    ):
        circuit = qec.memory(qec.rotated_surface(3), 2, qec.CircuitNoise(gate1=1e-3, measure=1e-3, reset=1e-3, **kind))
        ours, _ = pooled(circuit, seconds / 2)
        found = qec.Discrepancy(ours, qec.stim_error_rate(circuit, stim_shots, 3))
        cells = (f"{r.value:.2e} +- {r.error:.0e}" for r in (found.exact, found.twirled))
        rows.append((name, *cells, f"{found.difference:+.1e}", f"{found.sigmas:+.1f}", f"{ours.shots:,}"))
    print(heading("Surface code d = 3, 2 rounds, p = 0.001 elsewhere, and noise that is no Pauli noise"))
    print(format_table(("noise", "exact states", "twirled, Stim", "difference", "sigmas", "our shots"), rows))


def main() -> None:
    quick = options(__doc__).quick
    depolarized()
    coherent()
    if find_spec("stim") is None or find_spec("pymatching") is None:
        print("circuit level: needs pip install 'ketgrad[qec]'")
        return
    circuit_level(6.0 if quick else 36.0, 100_000 if quick else 1_000_000)
    not_pauli(4.0 if quick else 12.0, 100_000 if quick else 1_000_000)


if __name__ == "__main__":
    main()
